"""What goes wrong while a sensor listens: nobody reads, thousands of processes pass by, plans change under load, calls fail in containers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fairlead.drivers import kernel
from fairlead.sense import records
from fairlead.sense.plans import Clause, Hook, Op, Plan, Test, What
from fairlead.sense.records import Kind
from fairlead.sense.syscalls import hook_of, number_of

if TYPE_CHECKING:
    from tests.drivers.kernel.conftest import Listen

pytestmark = pytest.mark.kernel
MACHINE = os.uname().machine


def script(text: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-S", "-c", text, *map(str, arguments)]


def test_what_nobody_reads_is_counted(listen: Listen, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("x")
    about = Clause(tests=(Test(What.TEXT, Op.TEXT_IN, (os.fsencode(target),)),))
    small = dict.fromkeys(kernel.SIZES, 1 << 16)
    listener = listen(hook_of("openat", [about]), sizes=small)
    subprocess.run(
        script("import os, sys\nfor _ in range(1000): os.close(os.open(sys.argv[1], 0))", target), check=True
    )
    before = listener.sensor.counters()
    named = before["named"]
    assert named.sent + named.dropped == 1000
    assert named.sent == (1 << 16) // (records.NAMED_SIZE + 8)
    kept = [one for one in listener.read() if one.texts.first == bytes(target)]
    assert len(kept) == named.sent, "what was kept is whole"
    subprocess.run(["cat", target], check=True, capture_output=True)
    listener.until(lambda one: one.texts.first == bytes(target), len(kept) + 1)
    assert listener.sensor.counters()["named"].dropped == named.dropped, "once read, there is room again"


def test_thousands_of_short_lived_processes_are_all_seen(listen: Listen) -> None:
    listener = listen()
    before = listener.sensor.counters()["process"].dropped
    shell = subprocess.Popen(
        [
            "sh",
            "-c",
            "i=0; while [ $i -lt 5000 ]; do (exit 0); i=$((i+1)); done; i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done",
        ]
    )
    while shell.poll() is None:
        listener.read()
        time.sleep(0.01)
    listener.until(lambda one: one.tgid == shell.pid and one.kind == Kind.EXIT)
    children = [one.args[0] for one in listener.found if one.kind == Kind.FORK and one.tgid == shell.pid]
    ended = {one.tgid for one in listener.found if one.kind == Kind.EXIT}
    executed = {one.tgid for one in listener.found if one.kind == Kind.EXEC}
    assert len(children) == 5200
    assert set(children) <= ended
    assert len(executed & set(children)) == 200
    assert listener.sensor.counters()["process"].dropped == before == 0


def test_a_plan_changes_under_load(listen: Listen, tmp_path: Path) -> None:
    """What both plans ask for is missed by neither, and every record says by its slot which plan it was seen by."""
    target, other = tmp_path / "target", tmp_path / "other"
    target.write_text("x")
    other.write_text("x")
    opening, making = number_of("openat", MACHINE), number_of("mkdirat", MACHINE)

    def of(*paths: Path) -> Test:
        return Test(What.TEXT, Op.TEXT_IN, tuple(bytes(one) for one in paths))

    stays = Hook(sort="kernel", name="module", clauses=(Clause(owner="stays"),))
    first = Plan(hooks=(stays, hook_of("openat", [Clause(tests=(of(target),), owner="one")])), recorder=False)
    second = Plan(
        hooks=(
            stays,
            hook_of(
                "openat", [Clause(tests=(of(other),), owner="two"), Clause(tests=(of(target),), owner="one")]
            ),
            hook_of("mkdirat"),
        ),
        recorder=False,
    )
    listener = listen(*first.hooks)
    sensor = listener.sensor
    [kept] = [one.slot for one in sensor.placed if one.hook is stays]
    text = (
        "import os, sys, time\nend = time.time() + 3\ncount = 0\nwhile time.time() < end:\n"
        "    os.close(os.open(sys.argv[1], 0)); count += 1; time.sleep(0.0005)\nprint(count)"
    )
    child = subprocess.Popen(script(text, target), stdout=subprocess.PIPE, text=True)
    slots = []
    while child.poll() is None:
        listener.read()
        slots.append(next(one.slot for one in sensor.placed if one.hook.name == "openat"))
        sensor.update(second if sensor.plan == first else first)
        assert kept in {one.slot for one in sensor.placed}
        time.sleep(0.02)
    assert child.stdout
    count = int(child.stdout.read())
    child.stdout.close()
    opened = listener.until(lambda one: one.tgid == child.pid and one.kind == opening, count)
    assert len(opened) == count
    assert len(set(slots)) > 2, "a changed hook has a slot of its own"
    for one in opened:
        owners = {
            clause.owner for at, clause in enumerate(sensor.slots[one.slot].clauses) if one.clauses >> at & 1
        }
        assert owners == {"one"}
    if sensor.plan != first:
        sensor.update(first)
    made = len([one for one in listener.read() if one.kind == making])
    (tmp_path / "made").mkdir()
    subprocess.run(["mkdir", str(tmp_path / "made too")], check=True)
    subprocess.run(["cat", str(target)], check=True, capture_output=True)
    listener.until(lambda one: one.kind == opening and one.texts.first == bytes(target), count + 1)
    assert len([one for one in listener.found if one.kind == making]) == made


def test_sets_that_nobody_asks_about_leave_the_maps(listen: Listen) -> None:
    listener = listen(
        hook_of("openat", [Clause(tests=(Test(What.TEXT, Op.TEXT_IN, (b"/a", b"/b")), Test(What.EXE, Op.PREFIX, (b"/x/",))))])
    )  # fmt: skip
    maps = listener.sensor.maps
    assert (len(list(maps["words"].keys())), len(list(maps["exe_prefixes"].keys()))) == (2, 1)
    listener.sensor.update(
        Plan(
            hooks=(hook_of("openat", [Clause(tests=(Test(What.TEXT, Op.TEXT_IN, (b"/c",)),))]),),
            recorder=False,
        )
    )
    assert (len(list(maps["words"].keys())), len(list(maps["exe_prefixes"].keys()))) == (1, 0)
    listener.sensor.update(Plan(recorder=False))
    assert list(maps["words"].keys()) == []
    assert listener.sensor.placed == []


@pytest.fixture
def cgroup() -> Iterator[str]:
    """A cgroup of its own, by its path."""
    path = f"/fairlead-test-{os.getpid()}"
    place = Path(kernel.hierarchy().mount + path)
    place.mkdir()
    yield path
    for _ in range(50):
        with suppress(OSError):
            place.rmdir()
            break
        time.sleep(0.05)


def test_the_flight_recorder_keeps_the_last_failures_of_a_cgroup(
    listen: Listen, cgroup: str, tmp_path: Path
) -> None:
    number = kernel.cgroup_id(cgroup)
    assert kernel.cgroup_path(number) == cgroup
    listener = listen(recorder=True, contained_only=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        taken.close()
        text = (
            "import os, socket, sys\nPath = sys.argv[1]\n"
            f"open({str(Path(kernel.hierarchy().mount + cgroup) / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
            "for _ in range(3):\n    try: open(Path + '/absent')\n    except OSError: pass\n"
            f"try: socket.create_connection(('127.0.0.1', {port}))\nexcept OSError: pass\n"
            "try: os.execv(Path + '/nothing', ['x'])\nexcept OSError: pass\n"
            "os.kill(os.getpid(), 9)"
        )
        child = subprocess.Popen(script(text, tmp_path))
        assert child.wait(20) == -9
    listener.until(lambda one: one.tgid == child.pid and one.kind == Kind.EXIT)
    found = [np.frombuffer(one, records.FLIGHT)[0] for one in listener.sensor.flight(number)]
    mine = [one for one in found if one["tgid"] == child.pid]
    by_kind = {(int(one["kind"]), int(one["error"])): one for one in mine}
    opened = by_kind[number_of("openat", MACHINE) or 0, 2]
    assert opened["text"] == bytes(tmp_path / "absent")
    assert opened["count"] == 3
    refused = by_kind[number_of("connect", MACHINE) or 0, 111]
    assert (bytes(refused["peer"]["addr"][:4]), refused["peer"]["port"]) == (b"\x7f\0\0\1", port)
    assert by_kind[number_of("execve", MACHINE) or 0, 2]["text"] == bytes(tmp_path / "nothing")
    assert mine[-1]["kind"] == Kind.EXIT
    assert mine[-1]["error"] == 9
    assert [int(one["last"]) for one in found] == sorted(int(one["last"]) for one in found)
    listener.sensor.drop_flight(number)
    assert listener.sensor.flight(number) == []


def test_waiting_ends_when_a_clause_has_acted(listen: Listen, tmp_path: Path) -> None:
    target = tmp_path / "never"
    listener = listen(
        hook_of(
            "openat", [Clause(tests=(Test(What.TEXT, Op.TEXT_IN, (bytes(target),), index=1),), signal=10)]
        )
    )
    assert not listener.sensor.wait(0.05)
    text = "import os, signal, sys\nsignal.signal(10, lambda *_: os._exit(7))\nopen(sys.argv[1])"
    ended: list[int] = []
    thread = threading.Thread(
        target=lambda: ended.append(subprocess.run(script(text, target), check=False).returncode)
    )
    thread.start()
    assert listener.sensor.wait(20)
    thread.join()
    assert ended == [7]
    [told] = listener.until(lambda one: bool(one.flags & records.Flag.KILLED))
    assert told.texts.second == bytes(target)


def test_a_flood_keeps_its_order_and_none_is_lost(listen: Listen) -> None:
    """Not as fast as can be: as many as a second of a busy machine, read by batches as the reactor does."""
    name = b"fl-flood"
    listener = listen(
        hook_of("getppid", [Clause(tests=(Test(What.COMM, Op.TEXT_IN, (name,)),))]), sizes={"calls": 16 << 20}
    )
    text = (
        "import ctypes, os\nctypes.CDLL(None).prctl(15, b'fl-flood')\nf = os.getppid\n"
        "for _ in range(100000): f()"
    )
    child = subprocess.Popen(script(text))
    parts = []
    ended = False
    while not ended:
        ended = child.poll() is not None
        parts += [
            batch.records[batch.records["tgid"] == child.pid]["time"]
            for batch in listener.sensor.read()
            if isinstance(batch.records, np.ndarray) and batch.ring == "calls"
        ]
        time.sleep(0.01)
    times = np.concatenate(parts)
    assert 100_000 <= len(times) <= 100_003
    assert (np.diff(times.astype(np.int64)) >= 0).all()
    assert listener.sensor.counters()["calls"].dropped == 0
