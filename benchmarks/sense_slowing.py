"""What a sensor costs those that it watches: `fairlead sense` as a process of its own beside workloads, started and ended again and again.

The workload has the first processor and the sensor the second. Rounds with and without a sensor take turns, so that a slower minute of the
machine falls on both; a ratio is that of a round with one to the rounds without before and after it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from stage import actor, script  # noqa: E402

WORKER, WATCHER = 0, 1
"""The processors of the workload and of the sensor."""
CALLS = 250_000
FORKS = 1000
PROGRAMS = 150
FILES = 5
TURNS = 3
"""Rounds with each sensor."""
LOOPS = 8
"""How often the short loops are run in a round."""
RULES = ("falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")
_MOUNTS = 0x20000
_READY = 60.0


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that a workload took: by the clock, and of the processor."""

    wall: float
    cpu: float


@dataclass(slots=True)
class Workload:
    """Something to be slowed down: its command, its environment, what one unit of it is, and how many of them it does."""

    name: str
    command: Sequence[str]
    env: dict[str, str]
    unit: str
    count: int
    turns: int = 1
    setup: Callable[[], None] | None = None

    def run(self) -> Spent:
        """Run it once on its processor."""
        started = time.perf_counter()
        pid = os.fork()
        if not pid:
            try:
                os.sched_setaffinity(0, {WORKER})
                os.execve(self.command[0], list(self.command), self.env)
            finally:
                os._exit(127)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - started
        if status:
            raise RuntimeError(f"{self.name}: {status}")
        return Spent(wall, usage.ru_utime + usage.ru_stime)


def contained(*act: Sequence[object], then: Sequence[Sequence[object]] = ()) -> dict[str, str]:
    """Return an environment in which the actor does this in a mount namespace of its own, as in a container; most rules look there only."""
    away = [("must", "unshare", _MOUNTS)]
    return {"ACT": script(*away, *act), "ACT1": script(*then), "PATH": os.environ["PATH"], "TMPDIR": "/tmp"}


def calls() -> Workload:
    """The worst case: system calls that do next to nothing, one after the other."""
    return Workload(
        "syscall loop", [str(actor())], contained(("repeat", CALLS)), "system call", 2 * CALLS, LOOPS
    )


def programs() -> Workload:
    """Programs of the system, one after the other, as a shell's script starts them."""
    loop = f"i=0; while [ $i -lt {PROGRAMS} ]; do /bin/true; i=$((i+1)); done"
    return Workload(
        "fork+exec loop",
        [str(actor())],
        contained(("exec", "/bin/sh", "sh", "-c", loop)),
        "program",
        PROGRAMS,
        LOOPS,
    )


def forks() -> Workload:
    """The worst case of that: static programs that end at once, by vfork."""
    return Workload(
        "vfork+exec loop, static",
        [str(actor())],
        contained(("forks", FORKS, actor())),
        "process",
        FORKS,
        LOOPS,
    )


def compiling(folder: Path) -> Workload:
    """A C project of some files, compiled one by one."""
    for at in range(FILES):
        (folder / f"part{at}.c").write_text(_part(at))
    compiler = _compiler()
    lines = "\n".join(
        f"{compiler} -O1 -c -o {folder}/part{at}.o {folder}/part{at}.c || exit 1" for at in range(FILES)
    )
    build = folder / "build.sh"
    build.write_text(lines + "\n")
    env = contained(("exec", "/bin/sh", "sh", build))
    return Workload("compile job", [str(actor())], {**env, "HOME": str(folder)}, "file", FILES, 2)


def _part(at: int) -> str:
    """Return a C file that takes a compiler some tenths of a second, and opens some headers."""
    head = "".join(f"#include <{name}.h>\n" for name in ("stdio", "stdlib", "string", "errno", "math"))
    one = "static double f{n}(double *a, int n) {{ double s = {n}; for (int i = 0; i < n; i++) {{ s += a[i] * sin(s + i); if (s > {n}e3) s /= 2; }} return s; }}\n"
    body = "".join(one.format(n=n) for n in range(60))
    total = " + ".join(f"f{n}(a, n)" for n in range(60))
    return f"{head}{body}double part{at}(double *a, int n) {{ return {total}; }}\n"


def _compiler() -> str:
    for name in ("cc", "gcc", "clang"):
        found = subprocess.run(["which", name], capture_output=True, text=True, check=False).stdout.strip()
        if found:
            return found
    return f"{sys.executable} -m ziglang cc"


# ---- the sensor ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sensor:
    """A running `fairlead sense`."""

    process: subprocess.Popen[str]
    port: int
    delays: list[float] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    def memory(self, which: str = "VmHWM") -> float:
        """MiB of memory: the most that were resident so far, or another line of /proc's status."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{which}:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"no {which} of {self.pid}")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def counted(self, name: str, label: str = "") -> int:
        """The sum of a metric's values whose labels hold a text."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(
            int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(name) and label in line
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def sensing(rules: Sequence[Path], *, keep: bool = False) -> Iterator[Sensor]:
    """A sensor on its own processor, with these files of rules; with `keep` it notes how late detections come out of it."""
    port = _free_port()
    command = [sys.executable, "-m", "fairlead.faces.cli.main", "sense", "-o", "json", "--metrics", str(port)]
    if not rules:  # nothing is detected then, and nothing is told: what is measured is the watching
        command += ["--binary", "/none"]
    for one in rules:
        command += ["--rules", str(one)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE if keep else subprocess.DEVNULL, stderr=said, text=True
        )
        os.sched_setaffinity(process.pid, {WATCHER})
        sensor = Sensor(process, port)
        reader = threading.Thread(target=_note, args=(sensor,), daemon=True)
        try:
            until = time.monotonic() + _READY
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > until:
                    said.seek(0)
                    raise RuntimeError(f"the sensor did not start: {said.read()[-2000:]}")
                time.sleep(0.05)
            if keep:
                reader.start()
            yield sensor
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            if keep and reader.is_alive():
                reader.join(5)


def _note(sensor: Sensor) -> None:
    assert sensor.process.stdout is not None
    for line in sensor.process.stdout:
        now = time.time_ns()
        found = json.loads(line)
        if "rule" in found:
            sensor.delays.append((now - found["time"]) / 1e6)


# ---- turns -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ratio:
    """How much longer a workload took: the median of its rounds, the least and the most, the median by processor time, and the best runs compared.

    `before` and `after` are ns of processor time for one unit without and with.
    """

    wall: float
    least: float
    most: float
    cpu: float
    best: float
    before: float
    after: float


def measure(jobs: Sequence[Workload]) -> dict[str, Spent]:
    """Return the median of each job in this round. The jobs take turns."""
    found: dict[str, list[Spent]] = {one.name: [] for one in jobs}
    for turn in range(max(one.turns for one in jobs)):
        for one in jobs:
            if turn < one.turns:
                found[one.name].append(one.run())
    return {
        name: Spent(statistics.median(one.wall for one in many), statistics.median(one.cpu for one in many))
        for name, many in found.items()
    }


def slowdowns(
    jobs: Sequence[Workload], sensors: dict[str, tuple[Sequence[Path], Sequence[str]]], turns: int = TURNS
) -> dict[tuple[str, str], Ratio]:
    """Return the ratio of each job with each sensor: name -> (files of rules, names of the jobs that are run beside it)."""
    for one in jobs:
        one.run()
    before = measure(jobs)
    rounds: dict[tuple[str, str], list[tuple[Spent, Spent, Spent]]] = {}
    for _ in range(turns):
        for name, (rules, wanted) in sensors.items():
            with sensing(rules):
                during = measure([one for one in jobs if one.name in wanted])
            after = measure(jobs)
            for job, spent in during.items():
                rounds.setdefault((name, job), []).append((before[job], spent, after[job]))
            before = after
    counts = {one.name: one.count for one in jobs}
    return {key: _ratio(many, counts[key[1]]) for key, many in rounds.items()}


def _ratio(many: Sequence[tuple[Spent, Spent, Spent]], count: int) -> Ratio:
    walls = sorted(2 * with_.wall / (before.wall + after.wall) for before, with_, after in many)
    cpus = [2 * with_.cpu / (before.cpu + after.cpu) for before, with_, after in many]
    without = statistics.median((before.cpu + after.cpu) / 2 for before, _, after in many)
    taken = statistics.median(with_.cpu for _, with_, _ in many)
    best = min(with_.wall for _, with_, _ in many) / min(
        min(before.wall, after.wall) for before, _, after in many
    )
    return Ratio(
        statistics.median(walls), walls[0], walls[-1], statistics.median(cpus), best, without / count * 1e9, taken / count * 1e9,
    )  # fmt: skip
