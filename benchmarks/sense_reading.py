"""How many events a second one processor reads, decodes and judges: with the kernel at full speed, and from records that were taken before.

The records are those of a throw-away container whose program opens files, executes and connects, read with hooks that let everything
pass; every rule is then asked about each of them, as if the kernel had decided nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sense_slowing import WATCHER, WORKER
from stage import Room, actor, script
from stage.watching import around, describe

from fairlead.dialects import falco
from fairlead.drivers import kernel
from fairlead.drivers.kernel import Batch
from fairlead.drivers.kernel.placing import machine
from fairlead.reactor.sensing import Sensing
from fairlead.sense.events import Container
from fairlead.sense.fields import Fields
from fairlead.sense.judging import Engine
from fairlead.sense.planning import ALWAYS
from fairlead.sense.plans import Arg, Clause, Hook, Plan
from fairlead.sense.records import Kind
from fairlead.sense.syscalls import NAMES, hook_of

PRODUCED = 1_500_000
"""Read and write calls that the reader has to keep up with."""
REST = 0.005
ROUNDS = 8
ENOUGH = 20_000
"""Events that one round judges."""
FILES = (
    ("/usr/lib", "libweb.so.", "r"), ("/usr/lib/python3/site", "module", "r"), ("/srv/web/templates", "page", "r"), ("/srv/web/static", "image", "r"),
    ("/etc/web", "part", "r"), ("/tmp/upload", "piece", "wct"), ("/var/lib/web", "table", "rw"), ("/usr/share/zoneinfo", "Zone", "r"),
)  # fmt: skip
"""What a busy server's container opens: folder, beginning of the name, how."""
HOOKED = ("open", "openat", "connect")
OPENED, CONNECTED, EXECUTED = 400, 200, 50
"""How much of what the container does."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a full-speed run came to. `produced` and `seconds` are the program's, `cpu` seconds of the reader's processor."""

    produced: int
    sent: int
    dropped: int
    read: int
    seconds: float
    cpu: float


def read_all(*, named: bool = False) -> Read:
    """Read what a program's reads and writes make, as many as it can do. With `named` records hold the path of the file, too."""
    hooks = [hook_of(name, (Clause(),)) for name in ("read", "write")]
    if not named:
        hooks = [replace(one, args=(Arg.INT,) * 3, about=-1) for one in hooks]
    whole = os.sched_getaffinity(0)
    with kernel.open(Plan(hooks=tuple(hooks), recorder=False)) as sensor:
        try:
            os.sched_setaffinity(0, {WATCHER})
            return _read(sensor, "named" if named else "calls")
        finally:
            os.sched_setaffinity(0, whole)


def _read(sensor: kernel.Sensor, ring: str) -> Read:
    """Let a program run, and read meanwhile: which records are the program's, and which tell of a failure."""
    sensor.read()
    first = sensor.counters()[ring]
    started, cpu = time.perf_counter(), time.process_time()
    pid = os.fork()
    if not pid:
        os.sched_setaffinity(0, {WORKER})
        os.execve(actor(), [str(actor())], {"ACT": script(("repeat", PRODUCED // 2))})
    read = mine = failed = 0
    seconds = 0.0
    while True:
        for batch in sensor.read():
            if batch.ring == ring:
                records = batch.records
                assert isinstance(records, np.ndarray)
                read += len(records)
                own = records["tgid"] == pid
                mine += int(np.count_nonzero(own))
                failed += int(np.count_nonzero(own & (records["ret"] != 1)))
        if seconds:
            break
        if os.waitpid(pid, os.WNOHANG)[0]:
            seconds = time.perf_counter() - started
            continue  # once more: what came since
        time.sleep(REST)
    cpu = time.process_time() - cpu
    last = sensor.counters()[ring]
    return Read(mine, last.sent - first.sent, last.dropped - first.dropped, read, seconds, cpu)


# ---- judged ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """Events a second: `asked` by their kind where every rule is asked, "all" in their order; `sent` of those that the kernel's clauses let through.

    `passed` of `seen` calls did that.
    """

    asked: dict[str, float]
    sent: float
    passed: int
    seen: int


def rates(files: Sequence[Path]) -> Judged:
    """Return how many events are decoded and judged in a second of processor time; best of ROUNDS."""
    about, containers = around()
    loaded = falco.load([(str(one), one.read_text()) for one in files], fields=Fields(about))
    engine = Engine(loaded.rules, about)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        room = Room(root, Path(kernel.hierarchy().mount))
        try:
            words = {"image": "docker.io/library/web:1.0", "privileged": False, "mounts": [["/srv", "/data"]]}
            containers[room.cgroup_id] = Container(id=room.id, name="web", runtime="containerd")
            describe(containers[room.cgroup_id], words)
            wide = _taken(
                room, [replace(hook, clauses=()) for hook in engine.plan.hooks if hook.name in HOOKED]
            )
            narrow = _taken(room, engine.plan.hooks)
        finally:
            room.close()
    Sensing.dedicate()  # as in the sensor's own process
    engine.place(wide.slots)
    for _ in engine.feed(wide.batches):  # the processes are known from here on
        continue
    kinds = {
        name: next(number for number, call in NAMES[machine()].items() if call == name) for name in HOOKED
    }
    chosen = {name: _only(wide.batches, kind) for name, kind in {**kinds, "exec": Kind.EXEC}.items()}
    asked = {name: _rate(engine, some) for name, some in chosen.items() if some}
    asked["all"] = _rate(engine, wide.batches)
    engine.place(narrow.slots)
    passed = sum(event.kind not in ALWAYS for event, _ in engine.feed(narrow.batches))
    sent = _rate(engine, narrow.batches)
    if engine.errors:
        raise RuntimeError(f"rules failed: {sorted(engine.errors)}")
    return Judged(asked, sent, passed, narrow.seen)


@dataclass(frozen=True, slots=True)
class _Taken:
    """What the kernel told of a container: which hook is behind each slot, the records, and how many calls it looked at."""

    slots: dict[int, Hook]
    batches: list[Batch]
    seen: int


def _taken(room: Room, hooks: Sequence[Hook]) -> _Taken:
    """Return what a busy container does, as the kernel tells it."""
    files = [
        (f"{folder}/{name}{at}", how) for at in range(OPENED // len(FILES)) for folder, name, how in FILES
    ]
    for path, _ in files:
        room.outside(path).parent.mkdir(parents=True, exist_ok=True)
        room.outside(path).write_text("x")
    with kernel.open(Plan(hooks=tuple(hooks), recorder=False)) as sensor, socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(CONNECTED)
        port = server.getsockname()[1]
        act: list[Sequence[object]] = [("open", path, how) for path, how in files]
        act += [("connect", "127.0.0.1", port) for _ in range(CONNECTED // 2)]
        act += [("connect", f"10.1.2.{at}", 53, "udp") for at in range(CONNECTED // 2)]
        act += [
            ("run", "/bin/actor", "web", "--port", str(at), "--config", "/etc/web.conf")
            for at in range(EXECUTED)
        ]
        before = sensor.counters()["calls"].seen
        found = room.run("/bin/actor", "sh", "-c", "serve", act=act, then=[[("sleep", 0)]])
        if found.returncode:
            raise RuntimeError(found.stderr.decode())
        batches = [_within(batch, room.cgroup_id) for batch in sensor.read()]
        seen = sensor.counters()["calls"].seen - before
        return _Taken(dict(sensor.slots), [one for one in batches if len(one)], seen)


def _within(batch: Batch, cgroup: int) -> Batch:
    """Return the records of a cgroup."""
    if isinstance(batch.records, list):
        return Batch(
            batch.ring, [one for one in batch.records if int.from_bytes(one[16:24], "little") == cgroup]
        )
    return Batch(batch.ring, batch.records[batch.records["cgroup"] == cgroup])


def _only(batches: Sequence[Batch], kind: int) -> list[Batch]:
    """Return the records of a kind."""
    found = []
    for one in batches:
        if isinstance(one.records, list):
            found.append(
                Batch(one.ring, [raw for raw in one.records if int.from_bytes(raw[48:50], "little") == kind])
            )
        else:
            found.append(Batch(one.ring, one.records[one.records["kind"] == kind]))
    return [one for one in found if len(one)]


def _rate(engine: Engine, batches: Sequence[Batch]) -> float:
    """Return events a second of processor time."""
    count = sum(1 for _ in engine.feed(batches))
    times = max(1, ENOUGH // max(count, 1))
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(times):
            for _ in engine.feed(batches):
                pass
        best = min(best, time.process_time() - started)
    return count * times / best


# ---- what a run of each program costs ----------------------------------------------------------------------------------

STATS = Path("/proc/sys/kernel/bpf_stats_enabled")


@contextlib.contextmanager
def counting() -> Iterator[None]:
    """Let the kernel take the time of its programs."""
    before = STATS.read_text()
    STATS.write_text("1")
    try:
        yield
    finally:
        STATS.write_text(before)


def runs(pid: int) -> dict[str, tuple[int, int]]:
    """Return how often each program of a process ran so far, and for how many ns in all."""
    names = kernel.loaded_programs()
    found = {}
    for one in Path(f"/proc/{pid}/fdinfo").iterdir():
        lines = dict(line.split(":", 1) for line in one.read_text().splitlines() if ":" in line)
        if "run_cnt" in lines:
            found[names.get(int(lines["prog_id"]), "?")] = (int(lines["run_cnt"]), int(lines["run_time_ns"]))
    return found
