"""Processes that make it hard: they rename themselves, stand deep in a tree, pass by in tens of thousands, or pass on for ever."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Room, actor, script
from stage.watching import Watch, around

from fairlead.dialects import falco
from fairlead.dialects.tracingpolicy import events as tetragon
from fairlead.drivers import kernel, procfs
from fairlead.faces.cli import happenings
from fairlead.reactor.sensing_serving import sighting_of
from fairlead.sense.decoding import Decoder
from fairlead.sense.events import Event, Process
from fairlead.sense.fields import Fields
from fairlead.sense.findings import Ledger
from fairlead.sense.plans import Plan
from fairlead.sense.processes import DEEPEST, Processes
from fairlead.sense.rules import Detection

pytestmark = [pytest.mark.kernel, pytest.mark.root]

RULES = """
- macro: opened
  condition: evt.type in (open, openat, openat2)
- rule: By the first
  desc: x
  condition: opened and fd.name endswith /fl-marked and proc.name = fl-first
  output: name=%proc.name parent=%proc.pname command=%proc.cmdline
  priority: NOTICE
- rule: By the renamed
  desc: x
  condition: opened and fd.name endswith /fl-marked and proc.name = fl-renamed
  output: name=%proc.name parent=%proc.pname command=%proc.cmdline
  priority: NOTICE
- rule: By the second
  desc: x
  condition: opened and fd.name endswith /fl-marked and proc.name = fl-second
  output: name=%proc.name parent=%proc.pname command=%proc.cmdline
  priority: NOTICE
- rule: Deep
  desc: x
  condition: opened and fd.name endswith /fl-deep and proc.aname[200] = fl-first and proc.aname[199] = fl-renamed and proc.aname = fl-first and not proc.aname[9000] exists
  output: name=%proc.name parent=%proc.pname top=%proc.aname[200] none=%proc.aname[9000]
  priority: NOTICE
- rule: Chain
  desc: x
  condition: opened and fd.name endswith /fl-chain and not proc.aname contains nobody and not proc.aname[5000] = fl-first
  output: name=%proc.name parent=%proc.pname
  priority: NOTICE
"""


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    actor()
    about, containers = around()
    loaded = falco.load([("own.yaml", RULES)], fields=Fields(about))
    assert not loaded.findings
    made = Watch(loaded.rules, about, containers)
    yield made
    made.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path, Path(kernel.hierarchy().mount))
    for name in ("first", "second"):
        made.install(f"/bin/fl-{name}")
    for name in ("marked", "deep", "chain"):
        (tmp_path / "tmp" / f"fl-{name}").write_text("x")
    yield made
    made.close()


def seen(watch: Watch, room: Room) -> dict[str, list[Detection]]:
    found: dict[str, list[Detection]] = {}
    for one in watch.seen(room):
        found.setdefault(one.rule.name, []).append(one)
    watch.detections.clear()
    assert not watch.engine.errors
    return found


def text(one: Detection) -> str:
    assert one.rule.message is not None
    return one.rule.message(one.event)


def test_a_process_that_renames_itself(watch: Watch, room: Room) -> None:
    """As Falco has it: a name is that of the last exec, or of the moment of the fork; who renames itself keeps it for its children."""
    look = ("open", "/tmp/fl-marked")
    act = [look, ("name", "fl-renamed"), look, ("fork",), look, ("name", "fl-first"), look, ("exec", "/bin/fl-second", "fl-first", "one")]  # fmt: skip
    watch.settle()
    watch.said.clear()
    room.run("/bin/fl-first", act=act, then=[[look, ("name", "fl-renamed"), look]])
    found = seen(watch, room)
    assert {name: len(of) for name, of in found.items()} == {
        "By the first": 2,
        "By the renamed": 2,
        "By the second": 2,
    }
    assert [one.partition(" (")[0] for one in watch.said] == [
        f"name=fl-first parent={actor().name[:15]} command=fl-first",
        f"name=fl-first parent={actor().name[:15]} command=fl-first",
        "name=fl-renamed parent=fl-first command=fl-renamed",
        "name=fl-renamed parent=fl-first command=fl-renamed",
        "name=fl-second parent=fl-first command=fl-second one",
        "name=fl-second parent=fl-first command=fl-second one",
    ]
    assert [one.event.comm for one in found["By the second"]] == [
        "fl-second",
        "fl-renamed",
    ]  # what the thread calls itself


def test_a_deep_tree(watch: Watch, room: Room) -> None:
    room.run("/bin/fl-first", act=[("name", "fl-renamed"), ("deep", 200), ("open", "/tmp/fl-deep")])
    [found] = seen(watch, room)["Deep"]
    assert "name=fl-renamed parent=fl-renamed top=fl-first none=<NA>" in text(found)
    above = list(found.event.process.ancestors())
    assert [one.name for one in above[:200]] == ["fl-renamed"] * 199 + ["fl-first"]
    assert len({one.pid for one in above}) == len(above) < 250
    assert all(
        one.ppid == parent.pid
        for one, parent in zip([found.event.process, *above[:199]], above, strict=False)
    )
    outputs(found)


def test_a_chain_without_end(watch: Watch, room: Room) -> None:
    """Each starts the next and ends: whoever looks from its end does not hold them all."""
    steps = [("leave",)] * 3000
    path = room.outside("/tmp/fl-chain")
    script_ = script(*steps, ("open", path), ("say", "end"))
    command = [str(room.outside("/bin/fl-first"))]
    ended = subprocess.run(command, env={"ACT": script_}, capture_output=True, check=True)
    assert ended.stdout == b"end\n"  # of the last of them
    [found] = seen(watch, room)["Chain"]
    above = list(found.event.process.ancestors())
    assert DEEPEST // 2 <= len(above) <= DEEPEST
    assert {one.name for one in above} == {"fl-first"}
    outputs(found)


def outputs(found: Detection) -> None:
    """Have every form of output made, and see that it is bounded and valid."""
    line = json.loads(falco.json_line(found, "stage"))
    assert line["rule"] == found.rule.name
    assert "\n" not in falco.line(found)
    ledger = Ledger("stage")
    assert ledger.add(found)
    [finding] = ledger.findings()
    assert all(len(one.text) <= 1000 for one in finding.evidence)
    assert any("... > " in one.text for one in finding.evidence)
    assert json.loads(json.dumps(happenings.as_json(found.event)))["ancestors"]
    assert len(sighting_of(found, "stage").processes) < 1000
    exporter = tetragon.Exporter(node="stage", machine=platform.machine(), ancestors=5)
    told = exporter.event(found.event)
    assert told is None or json.loads(tetragon.line(told))
    repr(found.event)


def test_processes_that_nobody_reads_of_are_counted() -> None:
    """What there was no room for is dropped and counted, and who is met later without its beginning is known by its own records."""
    small = dict.fromkeys(kernel.SIZES, 1 << 15)
    with kernel.open(Plan(recorder=False), sizes=small) as sensor:
        done = subprocess.run([str(actor())], env={"ACT": script(("forks", 1000, actor()))}, check=True)
        counts = sensor.counters()
        assert done.returncode == 0
        assert counts["process"].seen >= 3000
        assert counts["process"].dropped > 2000
        for count in counts.values():
            assert count.seen >= count.sent + count.dropped
        assert counts["process"].seen == counts["process"].sent + counts["process"].dropped
        processes = Processes(epoch=procfs.booted())
        decoder = Decoder(processes, machine=platform.machine())
        kinds = Counter(one.kind for one in decoder.feed(sensor.read()))
        assert sum(kinds.values()) <= counts["process"].sent + 50
        again = subprocess.run([str(actor())], env={"ACT": script(("forks", 20, actor()))}, check=True)
        assert again.returncode == 0
        found = [one for one in decoder.feed(sensor.read()) if one.process.exe == str(actor())]
        assert sum(one.kind == "exec" for one in found) >= 20
        assert all(one.process.name == actor().name[:15] for one in found)


COUNT = 50_000


def test_tens_of_thousands_of_processes(tmp_path: Path) -> None:
    """Every exec and exit is seen or counted; the table and the memory stay bounded; who was whose child is right."""
    program = tmp_path / "fl-crowd"
    program.write_bytes(actor().read_bytes())
    program.chmod(0o755)
    sizes = {"calls": 4 << 20, "named": 1 << 16, "long": 8 << 20, "alerts": 1 << 16}
    most = 8192
    with kernel.open(Plan(recorder=False), sizes=sizes, environment=0) as sensor:
        processes = Processes(epoch=procfs.booted(), most=most)
        decoder = Decoder(processes, machine=platform.machine())
        found = kernel.hierarchy()
        processes.adopt(
            procfs.processes(procfs.Cgroups((found.controller, found.mount)), epoch=processes.epoch)
        )
        counted: Counter[str] = Counter()
        sampled: list[Process] = []
        largest = 0
        memory: list[int] = []

        def take(event: Event) -> None:
            one = event.process
            if one.exe == str(program) and (one.ppid == crowd.pid or event.kind == "forked"):
                counted[event.kind] += 1
                if event.kind == "exited" and counted["exited"] % 500 == 1:
                    sampled.append(one)

        crowd = subprocess.Popen([str(program)], env={"ACT": script(("forks", COUNT, program))})
        ended = False
        while not ended:
            ended = crowd.poll() is not None
            until = None if ended else time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            for event in decoder.feed(sensor.read(), until):
                take(event)
            processes.tick(time.time_ns())
            largest = max(largest, len(processes))
            if counted["exited"] > COUNT // 5:
                memory.append(procfs.resident())
            time.sleep(0.01)
        lost = sensor.counters()
    dropped = lost["process"].dropped
    assert all(COUNT - dropped <= counted[kind] <= COUNT + 1 for kind in ("exec", "exited")), (counted, lost)
    assert lost["process"].seen == lost["process"].sent + dropped
    assert largest <= most
    assert processes.forgotten > 0
    assert memory[-1] - memory[0] < 32 << 20, [one >> 20 for one in memory]
    assert len(sampled) >= (COUNT - dropped) // 500
    for one in sampled:
        assert one.parent is not None
        assert (one.parent.pid, one.parent.exe) == (crowd.pid, str(program))
        assert (one.name, one.args, one.env) == ("fl-crowd", [str(program)], [])
        assert one.exit_code == 0
        assert one.exited >= one.exec_at
    assert len({one.start for one in sampled}) == len(sampled)
