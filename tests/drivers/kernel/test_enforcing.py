"""A plan's actions on real processes, by a whole sensor: killed before the first instruction, prevented, guarded; neighbours untouched.

Each clause names an executable that a test made, so that it can hit nothing else.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers import kernel
from fairlead.drivers.kernel import pinning, preventing
from fairlead.sense import records
from fairlead.sense.plans import Clause, Hook, Op, Plan, Prevention, What
from fairlead.sense.plans import Test as Ask
from fairlead.sense.records import Flag, Kind
from fairlead.sense.syscalls import hook_of

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="acting needs root on Linux"),
]

Open = Callable[..., kernel.Sensor]


@pytest.fixture
def begin() -> Iterator[Open]:
    with ExitStack() as stack:

        def start(plan: Plan, **how: Any) -> kernel.Sensor:
            small = dict.fromkeys(("calls", "named", "long", "alerts"), 1 << 20)
            try:
                return stack.enter_context(kernel.open(plan, sizes=small, **how))
            except kernel.Refused as error:
                pytest.skip(str(error))

        yield start


def first_thing(program: Path, made: Path, *, after: bool = False) -> None:
    """Write a program whose first instructions make a file (after a sched_yield, if so wanted), and which then ends."""
    if platform.machine() != "x86_64":
        program.write_text(f"#!/bin/sh\n: > {made}\n")
        pytest.skip("the program is written in x86_64's instructions")
    code = b"\xb8\x18\x00\x00\x00\x0f\x05" if after else b""  # eax = sched_yield
    code += b"\xb8\x02\x00\x00\x00"  # eax = open
    code += b"\x48\x8d\x3d\x15\x00\x00\x00"  # rdi = the path, 21 bytes from here
    code += b"\xbe\x41\x00\x00\x00\xba\xa4\x01\x00\x00\x0f\x05"  # esi = O_CREAT | O_WRONLY, edx = 0644
    code += b"\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05"  # exit(0)
    code += os.fsencode(made) + b"\0"
    base, size = 0x400000, 64 + 56 + len(code)
    head = b"\x7fELF\2\1\1" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    program.write_bytes(head + code)
    program.chmod(0o755)


def exe(path: Path) -> Ask:
    return Ask(What.EXE, Op.TEXT_IN, (os.fsencode(path),))


def codes(*command: str | Path, times: int = 200) -> set[int]:
    return {subprocess.run(command, check=False, capture_output=True).returncode for _ in range(times)}


def acted(sensor: kernel.Sensor) -> list[Any]:
    """The records of what clauses did, of all reads since the last time."""
    return [
        records.call_of(one)
        for batch in sensor.read()
        if batch.ring == "alerts" and isinstance(batch.records, list)
        for one in batch.records
    ]


def test_an_execution_is_killed_before_its_first_instruction(begin: Open, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    first_thing(bad, tmp_path / "made-by-bad")
    first_thing(good, tmp_path / "made-by-good")
    clause = Clause(tests=(exe(bad),), owner="kill", signal=9)
    sensor = begin(Plan(hooks=(Hook(sort="process", name="exec", clauses=(clause,)),), recorder=False))
    assert codes(bad) == {-signal.SIGKILL}
    assert not (tmp_path / "made-by-bad").exists()
    assert codes(good) == {0}
    assert (tmp_path / "made-by-good").exists()
    told = [one for one in acted(sensor) if one["kind"] == Kind.EXEC]
    assert len(told) == 200
    assert all(one["flags"] & Flag.KILLED and one["clauses"] == 1 for one in told)
    sensor.close()
    assert codes(bad, times=1) == {0}
    assert (tmp_path / "made-by-bad").exists()


def test_a_call_is_killed_at_its_entry(begin: Open, tmp_path: Path) -> None:
    """Killed, not prevented: what a call does in the kernel may still happen, the program's next instruction does not."""
    bad, good = tmp_path / "bad", tmp_path / "good"
    first_thing(bad, tmp_path / "made-by-bad", after=True)
    first_thing(good, tmp_path / "made-by-good", after=True)
    clause = Clause(tests=(exe(bad),), owner="kill", signal=9)
    sensor = begin(Plan(hooks=(hook_of("sched_yield", (clause,), enter=True),), recorder=False))
    assert codes(bad) == {-signal.SIGKILL}
    assert not (tmp_path / "made-by-bad").exists()
    assert codes(good) == {0}
    assert (tmp_path / "made-by-good").exists()
    assert len([one for one in acted(sensor) if one["flags"] & Flag.KILLED]) == 200


def test_nobody_is_killed_who_is_spared_and_nothing_acts_that_only_watches(
    begin: Open, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    first_thing(bad, tmp_path / "made")
    script = 'read line; exec "$0"'
    with subprocess.Popen(["sh", "-c", script, bad], stdin=subprocess.PIPE) as child:
        clause = Clause(tests=(exe(bad),), owner="kill", signal=9)
        watching = replace(clause, signal=0)
        sensor = begin(
            Plan(hooks=(Hook(sort="process", name="exec", clauses=(watching,)),), recorder=False),
            spare=(child.pid,),
        )
        assert codes(bad, times=20) == {0}
        assert acted(sensor) == []
        sensor.update(Plan(hooks=(Hook(sort="process", name="exec", clauses=(clause,)),), recorder=False))
        assert codes(bad, times=20) == {-signal.SIGKILL}
        child.communicate(b"\n")
        assert child.returncode == 0


def test_connections_of_one_executable_are_prevented(
    begin: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", sys.base_prefix)
    bad, good = tmp_path / "bad", tmp_path / "good"
    for path in (bad, good):
        shutil.copy(Path(sys.executable).resolve(), path)
    script = (
        "import socket, sys\nsaid = []\nfor _ in range(200):\n  for port in sys.argv[1:]:\n"
        "    try: socket.create_connection(('127.0.0.1', int(port))).close()\n"
        "    except PermissionError: said.append(port)\nprint(len(said), *sorted(set(said)))"
    )
    with (
        socket.create_server(("127.0.0.1", 0), backlog=4000) as one,
        socket.create_server(("127.0.0.1", 0), backlog=4000) as two,
    ):
        ports = [str(each.getsockname()[1]) for each in (one, two)]
        port = Ask(What.RPORT, Op.EQ, (int(ports[0]),))
        clause = Clause(tests=(exe(bad), port), owner="prevent", deny=1)
        sensor = begin(Plan(preventions=(Prevention(at="connect", clauses=(clause,)),), recorder=False))
        for program, said in ((bad, f"200 {ports[0]}\n"), (good, "0\n")):
            done = subprocess.run(
                [program, "-S", "-c", script, *ports], capture_output=True, text=True, check=True
            )
            assert done.stdout == said
    assert sensor.wait(1)
    told = [one for one in acted(sensor) if one["kind"] == Kind.PREVENTED]
    assert len(told) == 200
    assert {preventing.owners(sensor.slots[int(one["slot"])], int(one["clauses"])) for one in told} == {
        ("prevent",)
    }


_PINS = """
import os, sys
from fairlead.drivers import kernel
from fairlead.drivers.kernel import pinning, preventing
from fairlead.sense.plans import Clause, Hook, Op, Plan, Test, What
test = Test(What.EXE, Op.TEXT_IN, (os.fsencode(sys.argv[1]),))
execs = Hook(sort="process", name="exec", clauses=(Clause(tests=(test,), signal=9),))
sensor = kernel.open(Plan(hooks=(execs,), recorder=False))
sensor.pin(sys.argv[2])
if sys.argv[3] == "close":
    sensor.close()
os._exit(0)
"""


@pytest.mark.parametrize("how", ["close", "die"])
def test_what_kills_can_outlive_the_sensor(tmp_path: Path, how: str) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    first_thing(bad, tmp_path / "made")
    first_thing(good, tmp_path / "made-by-good")
    owner = f"kills{os.getpid()}"
    done = subprocess.run(
        [sys.executable, "-c", _PINS, bad, owner, how], check=False, capture_output=True, text=True
    )
    if "Refused" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    try:
        assert codes(bad, times=50) == {-signal.SIGKILL}
        assert not (tmp_path / "made").exists()
        assert codes(good, times=20) == {0}
    finally:
        pins = pinning.unpin(owner)
    assert {one.name.partition("_")[0] for one in pins if one.kind == "link"} == {"exec", "fork", "exit"}
    for _ in range(200):  # the kernel detaches a moment later
        if codes(bad, times=1) == {0}:
            break
        time.sleep(0.01)
    assert codes(bad, times=1) == {0}


def test_there_is_nothing_to_pin_where_nothing_acts(begin: Open) -> None:
    with pytest.raises(kernel.Refused, match="nothing of the plan acts"):
        begin(Plan(recorder=False)).pin("none")
