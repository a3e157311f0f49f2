"""What watching costs, and how much of it one processor can do: `python benchmarks/sense.py [CORPUS]`, as root, in about two minutes.

Every figure stands beside its goal. Ratios compare a workload with the same one a moment before and after, without a sensor. Falco and Tetragon are
not run here: what their own pages say of them is printed beside, and was measured on other machines. The folder of rules is the
argument, $FAIRLEAD_CORPUS, or shared/corpus beside the checkout.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from sense_reading import counting, rates, read_all, runs
from sense_slowing import (
    ROOT,
    RULES,
    WATCHER,
    WORKER,
    Ratio,
    Sensor,
    Workload,
    calls,
    compiling,
    forks,
    programs,
    sensing,
    slowdowns,
)  # isort: skip  it says where the stage is
from stage import actor, script

from fairlead.drivers import kernel

ALWAYS, FULL = "always on", "full rules"
LATE = 300
"""Detections whose delay is measured."""
WARM = 100
"""Detections before those: what is judged often gets functions of its own."""
TRIES = 3
GAP = 10
"""ms between two of them."""


@dataclass(slots=True)
class Table:
    """Rows of what was measured, what was wanted, and whether it holds."""

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(
        self, what: str, figure: str, wanted: str = "", *, holds: bool | None = None, note: str = ""
    ) -> None:
        self.rows.append((what, figure, wanted, {True: "yes", False: "NO", None: ""}[holds], note))

    def show(self) -> None:
        print("| | here | wanted | holds | |")
        print("| --- | ---: | ---: | --- | --- |")
        for row in self.rows:
            print("| " + " | ".join(row) + " |")


def slowed(table: Table, rules: list[Path], folder: Path) -> list[Workload]:
    """Workloads with and without a sensor, by the processor time that they take: others of the machine change that least."""
    jobs = [calls(), programs(), forks(), compiling(folder)]
    loop, shell, bare, compiled = (one.name for one in jobs)
    found = slowdowns(jobs, {ALWAYS: ([], [loop, shell, bare]), FULL: (rules, [loop, shell, bare, compiled])})
    limits = {(ALWAYS, shell): 1.02, (FULL, loop): 1.25, (FULL, compiled): 1.05}
    for (sensor, job), one in found.items():
        unit = next(each.unit for each in jobs if each.name == job)
        limit = limits.get((sensor, job))
        wanted = f"at most {limit}" if limit else ""
        holds = one.cpu <= limit if limit else None
        table.add(f"{job}, {sensor}", f"{one.cpu:.3f}", wanted, holds=holds, note=_spread(one, unit))
    return jobs


def _spread(one: Ratio, unit: str) -> str:
    scale, name = (1e9, "s") if one.before > 1e8 else (1e3, "us") if one.before > 1e4 else (1, "ns")
    return (
        f"by the clock {one.wall:.3f}, {one.least:.3f} to {one.most:.3f}; best to best {one.best:.3f}; "
        f"{one.before / scale:.3g} -> {one.after / scale:.3g} {name} a {unit}"
    )


def read(table: Table) -> None:
    """The reader at full speed. One that others kept from reading is let try again."""
    for named, size in ((False, 200), (True, 440)):
        one = min((read_all(named=named) for _ in range(TRIES)), key=lambda one: one.dropped)
        speed = one.produced / one.seconds
        table.add(
            f"read at full speed, records of {size} bytes",
            f"{speed / 1e6:.2f} M/s, {one.dropped:,} dropped",
            "" if named else "none dropped at 1 M/s",
            holds=None if named else one.dropped == 0 and speed >= 1e6,
            note=f"{one.cpu / max(one.read, 1) * 1e9:.0f} ns of the reader for each: {one.read / one.cpu / 1e6:.1f} M/s a processor",
        )


def judged(table: Table, rules: list[Path]) -> None:
    """Decoding and judging."""
    found = rates(rules)
    for name, rate in found.asked.items():
        table.add(
            f"decoded and judged, every rule asked: {name}",
            f"{rate / 1e3:.0f} K/s",
            note=f"{1e6 / rate:.2f} us",
        )
    table.add(
        "decoded and judged, as the kernel sends them",
        f"{found.sent / 1e3:.0f} K/s",
        "at least 250 K/s",
        holds=found.sent >= 250_000,
        note=f"{1e6 / found.sent:.2f} us; the clauses let {found.passed} of {found.seen} calls through",
    )


def busy(table: Table, rules: list[Path], jobs: list[Workload]) -> dict[str, tuple[int, int]]:
    """One sensor with all rules under load: how late it tells, how large it is, what it lost; and what its programs' runs cost."""
    with sensing(rules, keep=True) as sensor:
        _delayed(table, sensor, jobs)
        with counting():
            for one in jobs:
                one.run()
            spent = runs(sensor.pid)
        time.sleep(1.5)  # the counters are looked at once a second
        most, own = sensor.memory(), sensor.memory("RssAnon")
        table.add(
            "memory of the sensor, most resident",
            f"{most:.0f} MiB",
            "under 150 MiB",
            holds=most < 150,
            note=f"{own:.0f} MiB its own, the rest rings and files",
        )
        dropped = sensor.counted("fairlead_sense_kernel_events_total", 'what="dropped"')
        table.add("events lost meanwhile", f"{dropped}", "0", holds=dropped == 0)
    return spent


def _delayed(table: Table, sensor: Sensor, jobs: list[Workload]) -> None:
    """Have something detected again and again while another job is done."""
    deed = [("open", "/etc/shadow"), ("sleep", GAP)]
    compiled = jobs[-1]
    pid = os.fork()
    if not pid:
        os.sched_setaffinity(0, {WORKER})
        while os.getppid() != 1:
            subprocess.run(list(compiled.command), env=compiled.env, check=False)
        os._exit(0)
    try:
        for count in (WARM, LATE):
            sensor.delays.clear()
            done = subprocess.Popen([str(actor())], env={"ACT": script(*deed * count)})
            slept = _oversleeping(done)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    time.sleep(0.2)
    late = sorted(sensor.delays)
    if len(late) < LATE:
        raise RuntimeError(f"{len(late)} detections of {LATE}")
    worst = late[int(len(late) * 0.99)]
    table.add(
        "from an event to its finding, p99", f"{worst:.1f} ms", "under 50 ms", holds=worst < 50,
        note=f"p50 {statistics.median(late):.1f} ms, most {late[-1]:.1f} ms, {len(late)} findings on standard output beside a compile job; "
        f"a sleeper on the same processor woke {slept:.1f} ms too late (p99)",
    )  # fmt: skip


def _oversleeping(done: subprocess.Popen[bytes]) -> float:
    """Sleep on the sensor's processor until a program has ended; return by how many ms too long at p99: what the machine adds to any delay."""
    whole = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {WATCHER})
    late = []
    while done.poll() is None:
        before = time.perf_counter()
        time.sleep(GAP / 1e3)
        late.append((time.perf_counter() - before) * 1e3 - GAP)
    os.sched_setaffinity(0, whole)
    return sorted(late)[int(len(late) * 0.99)]


def main() -> int:
    """Measure all, and print it as a table."""
    beside = ROOT.parent / "shared" / "corpus"
    corpus = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FAIRLEAD_CORPUS") or beside)
    rules = [corpus / "falco" / name for name in RULES]
    if why := _cannot(rules):
        sys.exit(f"benchmarks/sense.py {why}")
    print(
        f"before: load {os.getloadavg()[0]:.2f}, {len(kernel.loaded_programs())} programs of others in the kernel; workload on processor {WORKER}, sensor on {WATCHER}\n",
        flush=True,
    )
    table = Table()
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder:
        read(table)
        judged(table, rules)
        jobs = slowed(table, rules, Path(folder))
        spent = busy(table, rules, jobs)
    table.add(
        "Falco, published, another machine",
        "150 / 250 / 320 K/s",
        note="system calls a second that it keeps up with on 0.5 / 1 / 2 processors",
    )
    table.add(
        "Tetragon, published, another machine",
        "1.106",
        note="kernel build, every open and close posted; 54 M events lost before its queue was mended",
    )
    table.show()
    print("\nWhat a run of each program in the kernel takes, taking its time included (full rules):")
    for name, (count, ns) in sorted(spent.items(), key=lambda one: -one[1][1]):
        if count:
            print(f"  {name:15} {count:9,} runs {ns / count:8,.0f} ns")
    return 0


def _cannot(rules: list[Path]) -> str:
    if os.geteuid():
        return "needs root: it loads programs into the kernel"
    if len(os.sched_getaffinity(0)) < 2:
        return "needs two processors"
    missing = [one for one in rules if not one.exists()]
    return f"needs Falco's rule files: {missing[0]} is missing" if missing else ""


if __name__ == "__main__":
    sys.exit(main())
