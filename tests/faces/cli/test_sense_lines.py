"""What `fairlead sense` prints of events, as lines: the tree, what fits a terminal, what is folded, and that nothing hostile passes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import pytest

from fairlead.drivers.kernel.guarding import Prevented
from fairlead.faces.cli.happenings import Stream, columns, cut, span
from fairlead.faces.cli.pens import Pen
from fairlead.reactor.flights import Died
from fairlead.sense.events import Container, Event, Process, make_event
from fairlead.sense.rules import Detection, Rule
from fairlead.words import Severity

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
PLAIN = Pen()
KILLED, DENIED = 4, 8


class World:
    """Processes made by hand: each starts a millisecond after the one before."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.now = BEGIN
        self.pid = 100
        self.shell = self.process(None, "/usr/bin/bash")

    def process(self, parent: Process | None, exe: str, *args: str) -> Process:
        self.pid += 1
        process = Process(self.pid, self.pid)
        process.parent, process.started = parent, self.now + SECOND // 1000
        process.exe, process.name = exe, exe.rpartition("/")[2][:15]
        process.args = [process.name, *args]
        return process

    def run(self, parent: Process, exe: str, *args: str, flags: int = 0) -> Process:
        process = self.process(parent, exe, *args)
        self.tell("exec", process, flags=flags)
        return process

    def end(self, process: Process, status: int = 0) -> None:
        self.tell("exited", process, ret=status)

    def tell(self, kind: str, process: Process, ret: int = 0, flags: int = 0) -> None:
        self.now += SECOND // 1000
        self.stream.event(make_event(kind, process, ret=ret, time=self.now, flags=flags))

    def detect(
        self, process: Process, message: str = "it is bad", *, rule: Rule | None = None, flags: int = 0
    ) -> None:
        self.now += SECOND // 1000
        event = make_event("openat", process, time=self.now, flags=flags)
        self.stream.detection(Detection(rule or BAD, event), message)

    def lines(self) -> list[str]:
        """What was told, without the time of day."""
        found = self.stream.lines()
        return [re.sub(r"^\S*\d\d:\d\d:\d\d\.\d{3}\S*  ", "", line) for line in found]


BAD = Rule(key="falco/Bad", dialect="falco", name="Bad thing", severity=Severity.WARNING, priority="Warning")
WORSE = Rule(key="tracingpolicy/worse", dialect="tracingpolicy", name="worse", severity=Severity.CRITICAL)


@pytest.fixture
def world() -> World:
    return World(Stream(PLAIN))


Make = Callable[[int], World]


@pytest.fixture
def narrow() -> Make:
    return lambda width: World(Stream(PLAIN, width))


def test_processes_are_a_tree(world: World) -> None:
    make = world.run(world.shell, "/usr/bin/make", "all")
    compiler = world.run(make, "/usr/bin/cc", "-c", "a b.c")
    helper = world.run(compiler, "/usr/bin/as")
    world.stream.lines()
    world.end(helper)
    world.end(compiler, 1 << 8)
    world.end(make, 9)
    told = world.lines()
    again = World(Stream(PLAIN))
    first = again.run(again.shell, "/usr/bin/make", "all")
    second = again.run(first, "/usr/bin/cc", "-c", "a b.c")
    again.run(second, "/usr/bin/as")
    assert again.lines() == [
        "host  bash [101]",
        "host  ├ /usr/bin/make all [102]",
        "host  │ ├ /usr/bin/cc -c 'a b.c' [103]",
        "host  │ │ ├ /usr/bin/as [104]",
    ]
    assert told == [
        "host  │ │ │ ╰ as [104]  exit 0, 1 ms",
        "host  │ │ ╰ cc [103]  exit 1, 3 ms",
        "host  │ ╰ make [102]  ended by SIGKILL, 5 ms",
    ]


def test_a_start_and_its_end_are_one_line_where_nothing_lies_between(world: World) -> None:
    world.end(world.run(world.shell, "/usr/bin/true"))
    one = world.run(world.shell, "/usr/bin/sleep", "1")
    other = world.run(world.shell, "/usr/bin/date")
    world.end(other)
    world.end(one, 15)
    assert world.lines() == [
        "host  bash [101]",
        "host  ├ /usr/bin/true [102]  exit 0, 1 ms",
        "host  ├ /usr/bin/sleep 1 [103]",
        "host  ├ /usr/bin/date [104]  exit 0, 1 ms",
        "host  ├ sleep [103]  ended by SIGTERM, 3 ms",
    ]


def test_forks_between_are_told_on_the_way_and_another_program_in_the_same_process_too(world: World) -> None:
    script = world.run(world.shell, "/usr/bin/env", "bash", "x")
    script.exe, script.name, script.args = "/usr/bin/bash", "bash", ["bash", "x"]
    world.tell("exec", script)
    fork = world.process(script, "/usr/bin/bash")
    fork.forked_only = True
    child = world.run(fork, "/usr/bin/id")
    world.end(child)
    world.end(fork)
    alone = world.process(script, "/usr/bin/bash")
    alone.forked_only = True
    world.end(alone)
    assert world.lines() == [
        "host  bash [101]",
        "host  ├ /usr/bin/env bash x [102]",
        "host  → /usr/bin/bash x [102]",
        "host  │ ├ bash [103]",
        "host  │ │ ├ /usr/bin/id [104]  exit 0, 1 ms",
        "host  │ │ ╰ bash [103]  exit 0, 2 ms",
        "host  │ ├ bash [105]  exit 0, 1 ms",
    ]


def test_a_process_of_elsewhere_is_told_with_those_who_started_it(world: World) -> None:
    init = world.process(None, "/sbin/init")
    daemon = world.process(init, "/usr/sbin/sshd")
    world.run(world.shell, "/usr/bin/ls")
    world.run(daemon, "/usr/bin/bash")
    orphan = world.process(None, "/usr/bin/old")
    world.end(orphan)
    world.tell("exec", world.process(None, "/usr/bin/nobody"))
    assert world.lines() == [
        "host  bash [101]",
        "host  ├ /usr/bin/ls [104]",
        "host  init → sshd [103]",
        "host  ├ /usr/bin/bash [105]",
        "host  ╰ old [106]  exit 0, 1 ms",
        "host  /usr/bin/nobody [107]",
    ]


def test_what_was_told_of_a_process_stays_as_it_was_then(world: World) -> None:
    process = world.run(world.shell, "/usr/bin/env", "x")
    world.detect(process)
    process.exe, process.name, process.args = "/usr/bin/x", "x", ["x"]
    told = world.lines()
    assert told[1] == "host  ├ /usr/bin/env x [102]"
    assert told[-1] == "    bash → env x [102] uid 0"


@pytest.mark.parametrize("width", [40, 60, 80, 133, 250])
def test_no_line_is_wider_than_the_terminal(narrow: Make, width: int) -> None:
    world = narrow(width)
    one = world.shell
    for at in range(30):
        one = world.run(one, f"/usr/bin/program-{at}", "x" * 50, "ö" * 40, "漢字" * 30)
    world.detect(one, "m" * 500 + " some words that go on and on " * 10, flags=DENIED)
    world.detect(one, "a second message of the same")
    world.end(one, 1 << 8)
    told = world.stream.lines()
    assert max(map(columns, told)) <= width
    assert len(told) > 40
    if width >= 80:
        starts = [line for line in told if "program-" in line and "├" in line]
        assert len(starts) == 30
        assert all(re.search(r"… \[\d+\]", line) for line in starts if columns(line) > width - 2)
        assert all(re.search(r" \[\d+\]", line) for line in starts)


def test_without_a_terminal_nothing_is_cut(world: World) -> None:
    world.run(world.shell, "/usr/bin/echo", "x" * 900)
    assert "x" * 900 in world.lines()[-1]


def test_the_place_has_as_many_columns_as_it_needs(world: World) -> None:
    inside = world.process(world.shell, "/bin/sh")
    inside.container = Container(
        id="ab" * 32, name="main", pod="web-7d9", pod_namespace="shop-with-a-long-name"
    )
    world.tell("exec", world.process(world.shell, "/bin/ls"))
    assert world.lines()[-1] == "host  ├ /bin/ls [103]"
    world.tell("exec", inside)
    world.run(world.shell, "/bin/cat")
    first, second = world.lines()[-2:]
    assert first == "…-long-name/web-7d9:main  ├ /bin/sh [102]"
    assert second == "host                      ├ /bin/cat [104]"
    only = Container(id="cd" * 32)
    inside.container = only
    world.end(inside)
    assert world.lines() == ["cdcdcdcdcdcd              ├ sh [102]  exit 0, 3 ms"]


def test_a_detection_says_rule_message_process_and_those_who_started_it(world: World) -> None:
    process = world.process(world.shell, "/usr/bin/cat", "/etc/shadow")
    process.uid = 1000
    world.detect(process, "a message   with\\n   blanks ")
    world.detect(process, "it was killed", rule=WORSE, flags=KILLED)
    assert world.lines() == [
        "host  ▲ Bad thing  falco warning",
        "    a message with\\n blanks",
        "    bash → cat /etc/shadow [102] uid 1000",
        "host  ✖ worse  tracingpolicy  killed",
        "    it was killed",
        "    bash → cat /etc/shadow [102] uid 1000",
    ]


def test_what_a_rule_says_of_a_process_again_is_folded_within_a_step(world: World) -> None:
    one, other = (world.process(world.shell, f"/usr/bin/{name}") for name in ("one", "other"))
    for at in range(6):
        world.detect(one, f"opened {at % 5}")
        world.detect(other)
    told = world.lines()
    assert told == [
        "host  ▲ Bad thing  falco warning  6 times",
        "    opened 0", "    opened 1", "    opened 2", "    and 2 other messages",
        "    bash → one [102] uid 0",
        "host  ▲ Bad thing  falco warning  6 times",
        "    it is bad",
        "    bash → other [103] uid 0",
    ]  # fmt: skip
    world.detect(one)
    assert world.lines()[0] == "host  ▲ Bad thing  falco warning"
    assert world.lines() == []


def test_nothing_that_a_process_says_reaches_the_terminal_as_it_is() -> None:
    world = World(Stream(Pen(colour=True), 100))
    vile = "\x1b]0;owned\x07\x1b[31m\x9b31m\r\n\x00\u202e\u2028\udcff"
    process = world.process(world.shell, f"/tmp/{vile}", vile, "--x=" + vile)
    process.name = world.shell.name = vile
    process.container = Container(id="ab" * 32, name=vile, pod=vile, pod_namespace=vile)
    world.tell("exec", process)
    world.detect(process, f"a message: {vile}", rule=Rule(key="k", dialect="falco", name=vile))
    world.end(process)
    death = {"exitCode": 1, "calls": [{"call": "openat", "path": vile, "error": "ENOENT", "command": vile}]}
    world.stream.died(Died(process.container, death), world.now)
    world.stream.prevented(
        Prevented(what="open", path=vile, pid=1, uid=0, exe=vile, comm=vile, owner=vile, cgroup=1, time=BEGIN)
    )
    told = "\n".join(world.stream.lines())
    bare = re.sub(r"\x1b\[[0-9;]*m", "", told)
    assert told != bare
    assert not [one for one in bare if one != "\n" and unicodedata.category(one)[0] in "CZ" and one != " "]
    assert told.encode()
    assert r"\x1b[31m" in bare


def test_colours_only_where_they_are_wanted() -> None:
    for colour in (False, True):
        world = World(Stream(Pen(colour=colour)))
        world.end(world.run(world.shell, "/bin/false"), 1 << 8)
        world.detect(world.shell)
        assert ("\x1b[" in "".join(world.stream.lines())) is colour


def test_refusals_by_guards_and_deaths_of_containers_are_told(world: World) -> None:
    world.stream.prevented(
        Prevented(
            what="exec", path="/usr/bin/nc", pid=7, uid=33, exe="/usr/bin/sh", comm="sh", owner="tracingpolicy/nc", cgroup=1, time=BEGIN
        )
    )  # fmt: skip
    box = Container(id="ab" * 32, name="main", pod="web", pod_namespace="shop")
    calls = [
        {"call": "openat", "path": "/etc/app.conf", "error": "ENOENT", "command": "app", "count": 3},
        {"call": "connect", "peer": "10.0.0.1:5432", "error": "ECONNREFUSED", "command": "app", "count": 1},
    ]
    world.stream.died(Died(box, {"exitCode": 1, "calls": calls}), BEGIN)
    world.stream.died(Died(box, {"exitCode": 137, "signal": "SIGKILL", "outOfMemory": "the kernel killed app (process 3) for memory"}), BEGIN)  # fmt: skip
    assert world.lines() == [
        "host  ▲ tracingpolicy/nc  prevented",
        "    executing /usr/bin/nc",
        "    /usr/bin/sh [7] uid 33",
        "shop/web:main  ✖ container ended: exit 1",
        "    app openat /etc/app.conf ENOENT (3 times)",
        "    app connect 10.0.0.1:5432 ECONNREFUSED",
        "shop/web:main  ✖ container ended: SIGKILL",
        "    the kernel killed app (process 3) for memory",
    ]


def test_other_events_are_no_lines(world: World) -> None:
    event: Event = make_event("openat", world.shell, time=BEGIN)
    world.stream.event(event)
    assert world.stream.lines() == []


def test_columns_and_cuts() -> None:
    assert columns("a漢e\u0301") == 4
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert cut("漢字漢字", 6) == "漢字…"
    assert columns(cut("漢字漢字", 6)) <= 6
    took = [span(SECOND // 10_000), span(SECOND * 3 // 2), span(300 * SECOND), span(9000 * SECOND)]
    assert took == ["1 ms", "1.5 s", "5 min", "2 h"]
