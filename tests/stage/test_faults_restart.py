"""A sensor that is killed leaves nothing but its pins, and the next one takes over; where nothing can be watched that is said in words."""

from __future__ import annotations

import functools
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from stage import actor, script

from fairlead.drivers import kernel
from fairlead.drivers.kernel import pinning
from fairlead.drivers.kernel.libbpf import library, loaded_programs
from fairlead.sense.plans import Plan
from fairlead.sense.syscalls import number_of

pytestmark = [pytest.mark.kernel, pytest.mark.root]

FAIRLEAD = [sys.executable, "-m", "fairlead.faces.cli.main"]
SECONDS = 30.0
OWNER = f"fault{os.getpid()}"
UNAME = number_of("uname", platform.machine())

KILL = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: no-uname}}
spec:
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_newuname
    selectors:
    - matchBinaries: [{{operator: In, values: ["{path}"]}}]
      matchActions: [{{action: Sigkill}}]
"""
SENSE = """
import asyncio, sys
from fairlead.reactor.sensing import Sensing
from fairlead.reactor.sensing_steps import Options
async def main():
    options = Options(files=[("policy.yaml", sys.argv[1])], pin=sys.argv[2], identify=False, recorder=False)
    sensing = Sensing(options)
    await sensing.start()
    print("ready", flush=True)
    async for step in sensing.steps():
        for one in step.detections:
            print(one.rule.name, one.event.process.exe, flush=True)
asyncio.run(main())
"""


def eventually(what: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def held(pid: int) -> dict[str, set[int]]:
    """Return the kernel's ids of the programs, maps and links that a process holds."""
    found: dict[str, set[int]] = {"prog": set(), "map": set(), "link": set()}
    for one in Path(f"/proc/{pid}/fdinfo").iterdir():
        text = ""
        with suppress(FileNotFoundError):  # it was closed meanwhile
            text = one.read_text()
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name.removesuffix("_id") in found and name.endswith("_id"):
                found[name.removesuffix("_id")].add(int(value))
    return found


def left(ids: dict[str, set[int]]) -> set[tuple[str, int]]:
    """Return those that are still in the kernel."""
    there = set()
    for sort, numbers in ids.items():
        for number in numbers:
            fd = getattr(library(), f"bpf_{sort}_get_fd_by_id")(number)
            if fd >= 0:
                os.close(fd)
                there.add((sort, number))
    return there


def gone(ids: dict[str, set[int]]) -> bool:
    return not left(ids)


@contextmanager
def started(*command: str, ready: str) -> Iterator[subprocess.Popen[str]]:
    """Start a sensor, and wait until it says so; it is killed at the end at the latest."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        for line in process.stdout:
            if ready in line:
                break
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_killed_sensor_leaves_nothing(tmp_path: Path) -> None:
    program = tmp_path / "fl-mark"
    program.write_bytes(actor().read_bytes())
    program.chmod(0o755)
    with subprocess.Popen(
        ["sh", "-c", f"while sleep 0.2; do {program}; done"], start_new_session=True
    ) as marks:
        try:
            command = [
                *FAIRLEAD,
                "sense",
                "-o",
                "json",
                "--binary",
                str(program),
                "--data-dir",
                str(tmp_path),
            ]
            with started(*command, ready=str(program)) as sensor:
                ids = held(sensor.pid)
                assert len(ids["prog"]) >= 4
                assert len(ids["map"]) >= 10
                assert ids["prog"] <= loaded_programs().keys()
                assert len(left(ids)) == sum(map(len, ids.values()))
                sensor.kill()
                sensor.wait()
                eventually(functools.partial(gone, ids))
        finally:
            os.killpg(marks.pid, signal.SIGKILL)


def test_pins_hold_and_the_next_one_takes_them_over(tmp_path: Path) -> None:
    victim, neighbour = (tmp_path / name for name in ("fl-victim", "fl-neighbour"))
    for one in (victim, neighbour):
        one.write_bytes(actor().read_bytes())
        one.chmod(0o755)

    def uname(program: Path) -> set[int]:
        act = {"ACT": script(("call", UNAME))}
        return {
            subprocess.run([str(program)], env=act, capture_output=True, check=False).returncode
            for _ in range(20)
        }

    command = [sys.executable, "-c", SENSE, KILL.format(path=victim), OWNER]
    try:
        with started(*command, ready="ready") as first:
            ids = held(first.pid)
            assert (uname(victim), uname(neighbour)) == ({-9}, {0})
        assert (uname(victim), uname(neighbour)) == ({-9}, {0})  # the first was killed
        before = left(ids)
        assert before
        with started(*command, ready="ready") as second:
            eventually(functools.partial(gone, ids))  # the second has its own instead
            assert (uname(victim), uname(neighbour)) == ({-9}, {0})
            assert second.stdout
            assert second.stdout.readline().endswith(f" {victim}\n")
            ids = held(second.pid)
        assert uname(victim) == {-9}
        eventually(lambda: 0 < len(left(ids)) <= len(before))
        assert pinning.unpin(OWNER)
        eventually(functools.partial(gone, ids))
        assert uname(victim) == {0}
    finally:
        pinning.unpin(OWNER)


@pytest.mark.slow
def test_the_supervisor_starts_a_killed_sensor_again(tmp_path: Path) -> None:
    data = ["--data-dir", str(tmp_path / "data")]
    record = tmp_path / "data" / "run" / "sensor.json"

    def pid() -> int:
        try:
            return int(json.loads(record.read_text())["pid"])
        except (OSError, ValueError):
            return 0

    try:
        up = subprocess.run([*FAIRLEAD, "up", *data, "--port", "0", "--no-containers", "--detach"], capture_output=True, text=True, check=False)  # fmt: skip
        assert up.returncode == 0, up.stderr
        assert "the sensor watches" in up.stdout
        first = pid()
        ids = held(first)
        assert ids["prog"]
        os.kill(first, signal.SIGKILL)
        eventually(lambda: pid() not in {0, first})
        assert held(pid())["prog"]
        assert not left(ids)
        state = json.loads(
            subprocess.run(
                [*FAIRLEAD, "status", *data, "-o", "json"], capture_output=True, check=False
            ).stdout
        )
        [sensor] = [one for one in state["processes"] if one["name"] == "sensor"]
        assert sensor["state"] == "running"
        ids = held(pid())
    finally:
        subprocess.run([*FAIRLEAD, "down", *data], capture_output=True, check=False)
    eventually(functools.partial(gone, ids))


def test_two_sensors_at_once() -> None:
    small = dict.fromkeys(kernel.SIZES, 1 << 22)

    def execs(sensor: kernel.Sensor, pid: int) -> int:
        return sum(
            int.from_bytes(one[40:44], "little") == pid and int.from_bytes(one[48:50], "little") == 1024
            for batch in sensor.read()
            for one in batch.records
            if isinstance(one, bytes)
        )

    def child() -> int:
        with subprocess.Popen([str(actor())]) as process:
            process.wait()
        return process.pid

    with kernel.open(Plan(recorder=False), sizes=small) as one:
        with kernel.open(Plan(recorder=False), sizes=small) as two:
            assert not one.program_ids() & two.program_ids()
            pid = child()
            assert (execs(one, pid), execs(two, pid)) == (1, 1)
        assert execs(one, child()) == 1


# --- where nothing can be watched

REFUSE_BPF = """
import ctypes, os, struct
code = struct.pack("<HBBI", 0x20, 0, 0, 0) + struct.pack("<HBBI", 0x15, 0, 1, NUMBER) + struct.pack("<HBBI", 0x06, 0, 0, 0x00050001) + struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
held = ctypes.create_string_buffer(code)
filter = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 4, ctypes.addressof(held)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter) == 0
""".replace("NUMBER", {"x86_64": "321", "aarch64": "280"}[platform.machine()])
NOBODY = "import os\nos.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\n"
NO_BTF = """
import ctypes
libc = ctypes.CDLL(None)
assert libc.unshare(0x20000) == 0
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0
assert libc.mount(b"none", b"/sys/kernel/btf", b"tmpfs", 0, None) == 0
"""


def without(how: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where something is missing. What it needs is imported before, since nobody may not read everything."""
    code = (
        "import sys\nfrom fairlead.faces.cli.main import main\nimport fairlead.faces.cli.sense, fairlead.faces.cli.sensedoctor, fairlead.faces.cli.pens\n"
        "import concurrent.futures.thread, fairlead.reactor.sensing, fairlead.reactor.sensing_replaying, fairlead.reactor.sensing_metrics\n"
        f"{how}\nsys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("how", "told"),
    [(NOBODY, "root"), (REFUSE_BPF, "not permitted"), (NO_BTF, "BTF")],
    ids=["nobody", "bpf-refused", "no-btf"],
)
def test_where_nothing_can_be_watched(how: str, told: str, tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "none"))
    done = without(how, "sense", "--seconds", "1", *data)
    assert done.returncode == 1, done.stderr
    first, *more = done.stderr.splitlines()
    assert first.startswith("fairlead: error: nothing can be watched here: "), done.stderr
    assert told.lower() in done.stderr.lower()
    assert len(more) <= 1
    assert done.stdout == ""
    doctor = without(how, "sense", "doctor", "-o", "json", *data)
    assert "Traceback" not in doctor.stderr
    assert doctor.returncode in {0, 1}


def test_sockets_that_nobody_may_see_are_none(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    code = f"""{NOBODY}
from pathlib import Path
assert inspecting.runtimes([Path({str(hidden / "containerd.sock")!r})]) is not None
"""
    done = subprocess.run([sys.executable, "-c", f"from fairlead.drivers.containers import inspecting\n{code}"], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
