"""What goes wrong around the pump: rings overrun, rules with errors, processes and containers that are gone before anybody looks."""

from __future__ import annotations

import asyncio
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stage import Room, actor, script
from stage.pumping import Pump, pumping, run

from fairlead.drivers import kernel
from fairlead.reactor.sensing_steps import Source
from fairlead.sense.events import Container

pytestmark = [pytest.mark.kernel, pytest.mark.root]

NAMED = """
- rule: Looked
  desc: Somebody looked at the marked file
  condition: evt.type in (open, openat, openat2) and fd.name endswith /fl-marked
  output: looked (name=%proc.name exe=%proc.exepath parent=%proc.pname container=%container.id file=%fd.name)
  priority: WARNING
"""
STARTED = """
- rule: Started
  desc: The marked program was started
  condition: evt.type in (execve, execveat) and evt.dir=< and proc.exepath endswith /fl-program
  output: started (name=%proc.name parent=%proc.pname container=%container.id image=%container.name)
  priority: NOTICE
"""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    actor()
    made = room_in(tmp_path)
    yield made
    made.close()


def room_in(folder: Path, name: str = "root") -> Room:
    (folder / name).mkdir()
    return Room(folder / name, Path(kernel.hierarchy().mount))


def test_an_overrun_is_told_and_over(tmp_path: Path) -> None:
    marked = tmp_path / "fl-marked"
    marked.write_text("x")
    act = [("open", marked)] * 400

    async def test() -> None:
        small = dict.fromkeys(kernel.SIZES, 1 << 15)
        async with pumping(files=[("own.yaml", NAMED)], sizes=small) as pump:
            await pump.settle()
            await doing(act)  # and nobody reads
            counts = source(pump).counters()["named"]
            assert counts.sent + counts.dropped == 400
            assert counts.dropped > 200
            pump.sensing._counted = 0.0
            await pump.settle()
            assert len(pump.of("Looked")) == counts.sent
            assert pump.dropped["named"] == counts.dropped
            [finding] = [
                one for one in pump.findings if one.rule == "sense.dropped" and " named " in one.message
            ]
            assert str(counts.dropped) in finding.message
            line = f'fairlead_sense_kernel_events_total{{class="named",what="dropped"}} {counts.dropped}\n'
            assert line in pump.sensing.metrics.text()
            pump.detections.clear()
            await doing(act[:3])
            pump.sensing._counted = 0.0
            await pump.settle()
            assert len(pump.of("Looked")) == 3
            assert pump.dropped["named"] == counts.dropped

    run(test())


def source(pump: Pump) -> Source:
    """Return the kernel's driver beneath a pump."""
    found = pump.sensing._source
    assert found is not None
    return found


async def doing(act: list[tuple[Any, ...]], **env: str) -> None:
    """Have the actor do something on the host."""
    process = await asyncio.create_subprocess_exec(str(actor()), env={"ACT": script(*act), **env})
    await process.wait()


WRONG = """
- list: readers
  items: [cat, actor
- rule: Unread
"""
FAULTY = (
    NAMED
    + """
- rule: Unknown field
  desc: x
  condition: evt.type = open and proc.nam = x
  output: x
  priority: NOTICE

- rule: Unknown macro
  desc: x
  condition: evt.type = open and no_such_macro
  output: x
  priority: NOTICE

- rule: No output
  desc: x
  condition: evt.type = open
  priority: NOTICE

- rule: Unclosed
  desc: x
  condition: evt.type = open and (fd.name = x
  output: x
  priority: NOTICE

- rule: Bad priority
  desc: x
  condition: evt.type = open
  output: x
  priority: DREADFUL
"""
)
POLICY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: broken}
spec:
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_mkdirat
    args: [{index: 5, type: nonsense}]
    selectors: [{matchArgs: [{index: 5, operator: Resembles, values: [x]}]}]
"""
TRACEE = """
apiVersion: tracee.aquasec.com/v1beta1
kind: Policy
metadata: {name: broken}
spec:
  scope: [universe]
  rules: [{event: no_such_event}]
"""


def test_rules_with_errors_are_told_by_line_and_the_rest_detects(tmp_path: Path) -> None:
    marked = tmp_path / "fl-marked"
    files = [
        ("wrong.yaml", WRONG), ("faulty.yaml", FAULTY), ("policy.yaml", POLICY), ("tracee.yaml", TRACEE), ("other.yaml", "a: [1"),
    ]  # fmt: skip

    async def test() -> None:
        async with pumping(files=files) as pump:
            told = [one for one in pump.started.findings if one.where.file]
            lines = {one.where.line for one in told if one.where.file == "faulty.yaml"}
            rules = {at + 1: line for at, line in enumerate(FAULTY.splitlines()) if line.startswith("- rule")}
            starts = [at for at in rules if rules[at] != "- rule: Looked"]
            for start in starts:  # each of them has a finding within its own lines
                end = min((at for at in rules if at > start), default=1 << 30)
                assert any(start <= line < end for line in lines), (rules[start], told)
            assert any(one.where.file == "wrong.yaml" and one.where.line >= 3 for one in told), told
            assert {"policy.yaml", "tracee.yaml", "other.yaml"} <= {one.where.file for one in told}
            assert [rule.name for rule in pump.sensing.engine.rules if rule.dialect == "falco"] == ["Looked"]
            await pump.during(lambda: acting([("open", marked, "c")]))
            assert len(pump.of("Looked")) == 1
            assert not pump.sensing.engine.errors

    run(test())


def acting(act: list[tuple[Any, ...]]) -> None:
    """Have the actor do something on the host, and wait for it."""
    subprocess.run([str(actor())], env={"ACT": script(*act)}, check=False, capture_output=True)


class Runtime:
    """A container runtime that knows a container for as long as its cgroup is there, and is slow to say so."""

    name = "containerd"

    def __init__(self, *rooms: Room, slow: float = 0.0) -> None:
        self.rooms = {one.id: one for one in rooms}
        self.slow = slow
        self.asked: list[str] = []

    async def find(self, container_id: str) -> Container | None:
        self.asked.append(container_id)
        known = container_id in self.rooms and self.rooms[container_id].cgroup.exists()
        await asyncio.sleep(self.slow)
        return (
            Container(id=container_id, name="moment", image="registry/app:1", runtime="containerd")
            if known
            else None
        )

    async def close(self) -> None:
        return


def test_a_container_of_a_moment_is_named(tmp_path: Path) -> None:
    """It is gone when the pump looks, cgroup and all, for the second of the two: nobody can tell then but its own cgroup's path."""
    actor()

    async def test() -> None:
        async with pumping(files=[("own.yaml", STARTED)]) as pump:
            runtime = Runtime()
            pump.sensing.identities._runtimes = [runtime]

            def moment(name: str) -> Room:
                room = room_in(tmp_path, name)
                runtime.rooms[room.id] = room
                room.install("/bin/fl-program")
                room.run("/bin/fl-program")
                return room

            rooms = [await pump.during(functools.partial(moment, name)) for name in ("a", "b", "c")]
            for room in rooms:
                [found] = [one for one in pump.of("Started") if one.event.cgroup == room.cgroup_id]
                assert found.rule.message is not None
                assert found.event.process.container is not None
                assert (found.event.process.container.id, found.event.process.container.name) == (
                    room.id,
                    "moment",
                )
                assert f"container={room.id[:12]} image=moment" in found.rule.message(found.event)
                room.close()
            pump.detections.clear()
            runtime.slow = 0.2
            unseen = [moment(name) for name in ("d", "e")]  # in this thread: nobody reads meanwhile
            numbers = [room.cgroup_id for room in unseen]
            for room in unseen:
                room.close()
            await pump.settle()
            for room, number in zip(unseen, numbers, strict=True):
                [found] = [one for one in pump.of("Started") if one.event.cgroup == number]
                assert found.rule.message is not None
                assert f"container={room.id[:12]}" in found.rule.message(found.event)

    run(test())


def test_processes_that_are_gone_before_anybody_looks(tmp_path: Path) -> None:
    """Nobody reads until all has ended, and their parents have too: names, paths and parents are right nevertheless."""
    actor()
    room = room_in(tmp_path)
    marked = room.install("/tmp/fl-marked")
    count = 30

    async def test() -> None:
        async with pumping(files=[("own.yaml", NAMED)]) as pump:
            await pump.settle()
            unknown = pump.sensing.processes.unknown
            room.install("/bin/fl-program")
            act = [("run", "/bin/fl-program")] * count
            room.run("/bin/actor", act=act, then=[[("open", marked)]])
            cgroup = room.cgroup_id
            room.close()
            await pump.settle()
            found = [one for one in pump.of("Looked") if one.event.cgroup == cgroup]
            assert len(found) == count
            for one in found:
                process = one.event.process
                assert process.exited
                assert (process.name, process.exe) == ("fl-program", "/bin/fl-program")
                assert process.parent is not None
                assert process.parent.name == "actor"
            assert (
                sum("name=fl-program exe=/bin/fl-program parent=actor" in one for one in pump.said) == count
            )
            assert pump.sensing.processes.unknown == unknown

    run(test())
    assert not room.cgroup.exists()


def test_a_process_that_nobody_told_of_and_that_is_gone(tmp_path: Path) -> None:
    """Its fork and exec were lost in an overrun: what it did is still judged, by what the record itself says."""
    marked = tmp_path / "fl-marked"
    marked.write_text("x")

    async def test() -> None:
        async with pumping(files=[("own.yaml", NAMED)]) as pump:
            await pump.settle()
            process = await asyncio.create_subprocess_exec(
                str(actor()), env={"ACT": script(("await",), ("open", marked))}, stdin=asyncio.subprocess.PIPE
            )
            await asyncio.sleep(0.1)
            source(pump).read()  # lost
            await process.communicate(b"\n")
            await pump.settle()
            [found] = pump.of("Looked")
            assert found.event.pid == process.pid
            assert not found.event.process.known
            assert f"looked (name={actor().name[:15]} exe=" in pump.said[0]
            assert not pump.sensing.engine.errors

    run(test())
