"""A policy and a detector on a real kernel, through the engine: what they ask for is seen, and their neighbours are not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Room

from fairlead.dialects import tracee
from fairlead.drivers import kernel
from fairlead.sense.fields import Around
from fairlead.sense.judging import Engine
from fairlead.sense.processes import Processes
from fairlead.sense.rules import Detection

pytestmark = pytest.mark.kernel

POLICY = """
apiVersion: tracee.aquasec.com/v1beta1
kind: Policy
metadata: {name: live}
spec:
  scope: [container]
  rules:
    - {event: security_file_open, filters: ["data.pathname=/etc/pass*", "comm=actor"]}
    - {event: openat, filters: ["retval<0", "data.pathname=/absent*"]}
    - {event: sched_process_exec, filters: ["data.pathname=/bin/tool"]}
    - {event: sched_process_exit}
    - {event: security_inode_rename, filters: ["data.new_path=/tmp/new"]}
    - {event: security_inode_unlink, filters: ["data.pathname=/tmp/new"]}
    - {event: mkdir, filters: ["data.pathname=*made"]}
    - {event: net_tcp_connect, filters: ["data.dst_port=4447"]}
    - {event: security_socket_connect}
    - {event: magic_write, filters: ["data.pathname=/tmp/written"]}
    - {event: write, filters: ["comm=nobody"]}
    - {event: chmod_common}
    - {event: exit_group, filters: ["data.status=7"]}
    - {event: ptrace, filters: ["data.request=PTRACE_TRACEME"]}
    - {event: process_execute_failed}
    - {event: set_fs_pwd, filters: ["data.resolved_path=/tmp"]}
    - {event: security_sb_mount, filters: ["data.type=tmpfs"]}
    - {event: anti_debugging}
    - {event: hidden_file_created}
"""
DETECTOR = """
id: live-1
produced_event: {name: tool_run, version: 1.0.0, fields: [{name: path, type: string}, {name: pid, type: int32}]}
requirements: {events: [{name: sched_process_exec, scope_filters: [container], data_filters: ["pathname=/bin/tool"]}]}
conditions: ['workload.process.thread.name == "tool"']
threat: {name: A tool, severity: low, description: it ran}
auto_populate: {threat: true}
output: {fields: [{name: path, expression: 'getData("pathname")'}, {name: pid, expression: workload.process.pid}]}
"""


class Live:
    """A sensor, and an engine with the rules of the files."""

    def __init__(self) -> None:
        loaded = tracee.load([("p", POLICY), ("d", DETECTOR)])
        assert not loaded.findings
        epoch = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.engine = Engine(loaded.rules, Around(processes=Processes(epoch=epoch)))
        self.sensor = kernel.open(self.engine.plan)
        self.engine.place({one.slot: one.hook for one in self.sensor.placed if one.slot})

    def during(self, room: Room, *steps: tuple[object, ...]) -> list[Detection]:
        list(self.engine.feed(self.sensor.read()))
        room.install("/bin/tool")
        room.run("/bin/actor", act=steps, new=("mnt", "uts", "ipc", "pid", "net"))
        judged = list(self.engine.feed(self.sensor.read()))
        assert not self.engine.errors
        return [found for one in judged for found in one.detections if one.event.cgroup == room.cgroup_id]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    made = Live()
    yield made
    made.sensor.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path / "root", Path(kernel.hierarchy().mount))
    yield made
    made.close()


CASES: list[tuple[str, list[tuple[object, ...]], list[tuple[object, ...]]]] = [
    ("security_file_open", [("read", "/etc/passwd")], [("read", "/etc/group")]),
    ("openat", [("openat", "/", "/absent")], [("openat", "/", "/nothing")]),
    ("sched_process_exec", [("run", "/bin/tool", "tool")], [("run", "/bin/actor", "actor")]),
    ("tool_run", [("run", "/bin/tool", "tool")], [("run", "/bin/actor", "actor")]),
    ("security_inode_rename", [("write", "/tmp/x", "x"), ("chdir", "/tmp"), ("rename", "x", "new")], [("write", "/tmp/x", "x"), ("rename", "/tmp/x", "/tmp/y")]),
    ("security_inode_unlink", [("write", "/tmp/new", "x"), ("unlinkat", "/tmp/new")], [("write", "/tmp/x", "x"), ("unlink", "/tmp/x")]),
    ("mkdir", [("mkdir", "/tmp/made")], [("mkdir", "/tmp/other")]),
    ("net_tcp_connect", [("address", "127.0.0.1"), ("accept", "127.0.0.1", 4447)], [("address", "127.0.0.1"), ("accept", "127.0.0.1", 4448)]),
    ("magic_write", [("write", "/tmp/written", "x")], [("write", "/tmp/other", "x")]),
    ("chmod_common", [("fchmodat", "/etc/passwd", 0o600)], [("chown", "/etc/passwd", 0, 0)]),
    ("ptrace", [("ptrace", "traceme")], [("ptrace", "seize")]),
    ("anti_debugging", [("ptrace", "traceme")], [("ptrace", "seize")]),
    ("process_execute_failed", [("run", "/bin/none", "none")], [("run", "/bin/actor", "actor")]),
    ("set_fs_pwd", [("chdir", "/tmp")], [("read", "/etc/passwd")]),
    ("security_sb_mount", [("mount", "none", "/tmp", "tmpfs", 0)], [("mount", "none", "/tmp", "ramfs", 0)]),
    ("hidden_file_created", [("copy", "/bin/actor", "/tmp/.x")], [("copy", "/bin/actor", "/tmp/x")]),
    ("exit_group", [("exit", 7)], [("exit", 6)]),
    ("write", [], [("write", "/tmp/x", "x")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "bad", "good"), CASES, ids=[case[0] for case in CASES])
def test_what_a_policy_asks_for_is_seen(
    live: Live, room: Room, name: str, bad: list[tuple[object, ...]], good: list[tuple[object, ...]]
) -> None:
    if bad:
        seen = [one for one in live.during(room, *bad) if one.rule.name == name]
        assert seen
        written = tracee.event(seen[-1])
        assert written["eventName"] == name
        assert written["processId"] < written["hostProcessId"]
    assert name not in {one.rule.name for one in live.during(room, *good)}
