"""Events and detections told to a person: when, where, who (with those who started it), and what; processes as a tree.

Nothing that a process says of itself reaches the terminal unescaped, and no line is wider than it. What is told of a process is written down
when it happens, since later events change the process. Decides nothing.
"""

from __future__ import annotations

import datetime as dt
import signal
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fairlead.sense.events import CUT, printable
from fairlead.words import Severity

if TYPE_CHECKING:
    from fairlead.drivers.kernel.guarding import Prevented
    from fairlead.faces.cli.pens import Pen
    from fairlead.reactor.flights import Died
    from fairlead.sense.events import Container, Event, Process
    from fairlead.sense.rules import Detection

_MARKS = {Severity.CRITICAL: ("✖", "31;1"), Severity.WARNING: ("▲", "33;1"), Severity.INFO: ("·", "36")}
_ACTED = ((4, "killed", "31;1"), (8, "prevented", "35;1"))
_REFUSED = {
    "open": "opening",
    "exec": "executing",
    "connect": "connecting to",
    "bind": "binding to",
    "sendmsg": "sending to",
    "socket": "making a socket of",
}
_DIM = "2"
_PLACE = 24
_NARROW = 14
"""Columns of the place at most, and where there are few."""
_FEW = 90
_WIDE = 120
_GENERATIONS = 6
_DEEPEST = 12
"""Steps to the right at most."""
_TEXT = 100
"""Columns that a message is wrapped to where no terminal says."""
_BETWEEN = 4
"""Processes between one that is told and its nearest ancestor above, that are told on the way."""
_MESSAGES = 3
_CALLS = 5
_LONGEST = 4096

Piece = tuple[str, str]
"""A text and its colour (an SGR code, "" for none)."""


def clock(nanoseconds: int) -> str:
    """Return the local time of day of ns since the epoch: `14:03:59.123`."""
    moment = dt.datetime.fromtimestamp(nanoseconds / 1e9).astimezone()
    return f"{moment:%H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}"


def span(nanoseconds: int) -> str:
    """Return how long something took: `3 ms`, `1.2 s`, `4 min`, `2 h`."""
    if nanoseconds < 1_000_000_000:
        return f"{max(1, round(nanoseconds / 1e6))} ms"
    seconds = nanoseconds / 1e9
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def place(container: Container | None) -> str:
    """Return where a process runs: pod and container, the container, or the host."""
    if container is None:
        return "host"
    if container.pod:
        where = f"{container.pod_namespace}/{container.pod}" + (
            f":{container.name}" if container.name else ""
        )
    else:
        where = container.name or container.short
    return printable(where)


def columns(text: str) -> int:
    """Return how wide a terminal shows a text."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in {"W", "F"} else 1
        for one in text
    )


def cut(text: str, most: int) -> str:
    """Return a text in so many columns at most; where it is longer, its beginning and an ellipsis."""
    if columns(text) <= most:
        return text
    room, kept = max(0, most - 1), []
    for one in text:
        room -= columns(one)
        if room < 0:
            break
        kept.append(one)
    return "".join(kept) + "…"


def lineage(process: Process, most: int = _GENERATIONS) -> str:
    """Return those who started a process, the nearest last: `systemd → sshd → bash`, and `… →` in front where there are more."""
    names: list[str] = []
    for one in process.ancestors():
        if len(names) == most:
            names.append("…")
            break
        names.append(printable(one.name or f"[{one.pid}]"))
    return " → ".join(reversed(names))


def command(process: Process) -> str:
    """Return the executable and the arguments of a process, as a shell would want them."""
    words, size = [_word(process.exe or process.name)], 0
    for one in process.args[1:]:
        words.append(_word(one[:_LONGEST]))
        size += len(one)
        if size > _LONGEST:
            break
    if process.cut or size > _LONGEST:
        words.append("…")
    return " ".join(words)


@dataclass(slots=True)
class _Block:
    """Lines that belong together: the head, and what stands under it. `process` and `rule` tell what may still be added to it."""

    head: list[Piece]
    flexible: int = -1
    tail: list[Piece] = field(default_factory=list)
    process: Process | None = None
    rule: str = ""
    count: int = 1
    messages: dict[str, None] = field(default_factory=dict)
    under: list[Piece] = field(default_factory=list)


class Stream:
    """Makes lines of what happens, for one terminal or file. `width` is that of the terminal; 0 where nobody knows, so that nothing is cut.

    `event`, `detection` and the others take note; `lines` gives what was noted since it was asked last. What a rule says of one process again
    and again in between becomes one, as do a process' start and its end where nothing lies between.
    """

    def __init__(self, pen: Pen, width: int = 0) -> None:
        self._pen = pen
        self._width = width
        self._most = _PLACE if not width or width >= _FEW else _NARROW
        self._place = len("host")
        self._branch: list[Process] = []
        self._blocks: list[_Block] = []
        self._last: _Block | None = None

    def event(self, one: Event) -> None:
        """Take note of an execution or an exit; of other events nothing is told."""
        if one.kind == "exec":
            self._started(one)
        elif one.kind == "exited":
            self._ended(one)

    def detection(self, one: Detection, message: str) -> None:
        """Take note of a detection: its rule and message, and under it who did it and who started that."""
        rule, about = one.rule, one.event
        process = about.process
        told = " ".join(printable(message).split())
        for block in self._blocks:
            if block.rule == rule.key and block.process is process:
                block.count += 1
                block.messages[told] = None
                return
        mark, code = _MARKS[rule.severity]
        name = f"{mark} {printable(rule.name)}"
        whose = f"{rule.dialect} {rule.priority.lower()}".strip()
        head = [*self._head(about.time, process.container), (name, code), (f"  {whose}", _DIM)]
        above = lineage(
            process, _GENERATIONS if not self._width or self._width >= _WIDE else _GENERATIONS // 2
        )
        who = [(f"{above} → " if above else "", _DIM), (printable(process.cmdline[:_LONGEST] or process.name), ""),
               (f" [{process.pid}]", ""), (f" uid {process.uid}", _DIM)]  # fmt: skip
        self._add(_Block(head, -1, _acted(about), process, rule.key, 1, {told: None}, who))
        self._branch.clear()

    def prevented(self, one: Prevented) -> None:
        """Take note of what was refused before it had any effect."""
        what = _REFUSED[one.what]
        who = printable(one.exe or one.comm)
        head = [
            *self._head(one.time, None),
            (f"▲ {printable(one.owner)}", _MARKS[Severity.WARNING][1]),
            ("  prevented", _ACTED[1][2]),
        ]
        self._add(_Block(head, messages={f"{what} {printable(one.path)}": None}, under=[(f"{who} [{one.pid}]", ""), (f" uid {one.uid}", _DIM)]))  # fmt: skip
        self._branch.clear()

    def died(self, one: Died, now: int) -> None:
        """Take note of a container that ended badly, with what failed in it last."""
        death = one.death
        how = death.get("signal") or f"exit {death.get('exitCode', '?')}"
        head = [*self._head(now, one.container), (f"✖ container ended: {how}", _MARKS[Severity.CRITICAL][1])]
        calls = death.get("calls", [])[-_CALLS:]
        told = [death["outOfMemory"]] if "outOfMemory" in death else []
        told += [
            " ".join(str(each[key]) for key in ("command", "call", "path", "peer", "error") if each.get(key))
            + (f" ({each['count']} times)" if each.get("count", 1) > 1 else "")
            for each in calls
        ]
        self._add(_Block(head, messages=dict.fromkeys(map(printable, told))))
        self._branch.clear()

    def lines(self) -> list[str]:
        """Return what was noted since the last time."""
        blocks, self._blocks, self._last = self._blocks, [], None
        return [line for block in blocks for line in self._lines(block)]

    # --- processes

    def _started(self, one: Event) -> None:
        process = one.process
        glyph = "├ "
        if process in self._branch:
            del self._branch[self._branch.index(process) + 1 :]
            glyph = "→ "  # the same process is another program now
        else:
            self._under(process, one.time)
            self._branch.append(process)
        head = [
            *self._head(one.time, process.container),
            (self._indent(len(self._branch) - 1, glyph), _DIM),
            (command(process), ""),
        ]
        block = _Block(head, len(head) - 1, [(f" [{process.pid}]", _DIM), *_acted(one)], process)
        self._add(block)
        self._last = block

    def _under(self, process: Process, time: int) -> None:
        """Go to where a process' children are told; say who lies between, or who that is where nothing of it stands above."""
        between: list[Process] = []
        for one in process.ancestors():
            if one in self._branch:
                del self._branch[self._branch.index(one) + 1 :]
                for each in reversed(between):
                    tree = self._indent(len(self._branch), "├ ")
                    line = f"{tree}{printable(each.name)} [{each.pid}]"
                    self._add(_Block([*self._head(time, process.container), (line, _DIM)], 3))
                    self._branch.append(each)
                return
            if len(between) == _BETWEEN:
                break
            between.append(one)
        self._branch.clear()
        if process.parent is not None:
            self._branch.append(process.parent)
            line = f"{lineage(process)} [{process.parent.pid}]"
            self._add(_Block([*self._head(time, process.container), (line, _DIM)], 3))

    def _ended(self, one: Event) -> None:
        process = one.process
        number = one.ret & 127
        how = f"ended by {_signal(number)}" if number else f"exit {one.ret >> 8 & 255}"
        since = process.started
        took = f", {span(one.time - since)}" if 0 < since <= one.time else ""
        ending: list[Piece] = [(f"  {how}", "31" if one.ret else _DIM), (took, _DIM)]
        if self._last is not None and self._last.process is process:
            self._last.tail += ending
            self._last = None
            self._leave(process)
            return
        glyph = "╰ "
        if process in self._branch:
            depth = self._branch.index(process) + 1
        elif process.forked_only:
            self._under(process, one.time)
            depth, glyph = len(self._branch), "├ "
        elif process.parent in self._branch:  # others of the same parent stand between
            depth, glyph = self._branch.index(process.parent) + 1, "├ "
        else:
            depth = 1
        tree = self._indent(depth, glyph)
        head = [*self._head(one.time, process.container), (tree, _DIM), (f"{printable(process.name)} [{process.pid}]", _DIM)]  # fmt: skip
        self._add(_Block(head, len(head) - 1, ending))
        self._leave(process)

    def _leave(self, process: Process) -> None:
        if process in self._branch:
            del self._branch[self._branch.index(process) :]

    @staticmethod
    def _indent(depth: int, glyph: str) -> str:
        return "│ " * min(depth - 1, _DEEPEST) + glyph if depth > 0 else ""

    # --- lines

    def _add(self, block: _Block) -> None:
        self._blocks.append(block)
        self._last = None

    def _head(self, time: int, container: Container | None) -> list[Piece]:
        where = place(container)
        self._place = max(self._place, min(columns(where), self._most))
        if columns(where) > self._place:
            where = "…" + where[1 - self._place :]
        return [(clock(time), _DIM), ("  ", ""), (where + " " * (self._place - columns(where) + 2), "36")]

    def _lines(self, block: _Block) -> list[str]:
        times: list[Piece] = [(f"  {block.count} times", "1")] if block.count > 1 else []
        found = [self._line([*block.head, *block.tail, *times], block.flexible)]
        messages = list(block.messages)
        for one in messages[:_MESSAGES] if block.rule else messages:
            found += self._wrapped(one)
        if block.rule and len(messages) > _MESSAGES:
            found.append(self._line([(f"    and {len(messages) - _MESSAGES} other messages", _DIM)], -1))
        if block.under:
            found.append(self._line([("    ", ""), *block.under], min(2, len(block.under) - 1)))
        return found

    def _wrapped(self, text: str) -> list[str]:
        width = min(self._width, 120) if self._width else _TEXT
        return textwrap.wrap(
            text, max(40, width), initial_indent="    ", subsequent_indent="      ", break_long_words=bool(self._width), break_on_hyphens=False
        )  # fmt: skip

    def _line(self, pieces: Sequence[Piece], flexible: int) -> str:
        """Return pieces as one line. Where they are too wide, the flexible one is cut, and if that is not enough the end."""
        shown = list(pieces)
        if self._width:
            over = sum(columns(text) for text, _ in shown) - self._width
            if over > 0 and flexible >= 0:
                text, code = shown[flexible]
                shown[flexible] = (cut(text, max(8, columns(text) - over)), code)
            room = self._width
            for at, (text, code) in enumerate(shown):
                shown[at] = (cut(text, room) if room > 0 else "", code)
                room -= columns(shown[at][0])
        return "".join(self._pen.paint(text, code) for text, code in shown).rstrip()


def _acted(one: Event) -> list[Piece]:
    return [(f"  {word}", code) for flag, word, code in _ACTED if one.flags & flag]


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _word(text: str) -> str:
    """Return an argument as a shell would want it quoted, with nothing that a terminal would obey."""
    shown = printable(text)
    return (
        shown
        if shown and not set(shown) & set(" \t'\"\\$`|&;<>()*?[]#~")
        else "'" + shown.replace("'", "'\\''") + "'"
    )


def refusal_json(one: Prevented) -> dict[str, Any]:
    """Return a refusal as plain data: {time, kind, rule: {name}, action, what, about, process: {pid, name, exe, uid}}."""
    process = {"pid": one.pid, "name": printable(one.comm), "exe": printable(one.exe), "uid": one.uid}
    told = {"what": one.what, "about": printable(one.path), "process": process}
    return {"time": one.time, "kind": "prevented", "rule": {"name": one.owner}, "action": "prevented", **told}


def death_json(one: Died) -> dict[str, Any]:
    """Return a container's end as plain data: {kind, container, pod, death}, the last as a FlightRecord has it."""
    container = one.container
    found: dict[str, Any] = {
        "kind": "died",
        "container": {"id": container.id, "name": printable(container.name)},
    }
    if container.pod:
        found["pod"] = {"namespace": container.pod_namespace, "name": container.pod}
    return {**found, "death": one.death}


def as_json(one: Event) -> dict[str, Any]:
    """Return an event as plain data: {time, kind, ret, process: {...}, container, texts, socket}; `cut` where a text is longer than what is here."""
    process, sock = one.process, one.sock
    found: dict[str, Any] = {
        "time": one.time,
        "kind": one.kind,
        "ret": one.ret,
        "process": process_json(process),
        "ancestors": [printable(above.name) for above in process.ancestors()][:_GENERATIONS],
    }
    texts = [printable(text) for text in one.texts if text]
    if texts:
        found["texts"] = texts
    if one.flags & CUT and one.kind != "exec":
        found["cut"] = True
    if sock is not None and sock.family in {2, 10}:
        found["socket"] = {
            "local": sock.local,
            "localPort": sock.lport,
            "remote": sock.remote,
            "remotePort": sock.rport,
        }
    acted = [word for flag, word, _ in _ACTED if one.flags & flag]
    if acted:
        found["action"] = acted[0]
    return found


def process_json(process: Process) -> dict[str, Any]:
    """Return a process as plain data: {pid, name, exe, args, cwd, uid, tty, container: {...}}."""
    found: dict[str, Any] = {
        "pid": process.pid,
        "name": printable(process.name),
        "exe": printable(process.exe),
        "args": [printable(one) for one in process.args[1:]],
        **({"argsCut": True} if process.cut else {}),
        "cwd": printable(process.cwd),
        "uid": process.uid,
    }
    container = process.container
    if container is not None:
        found["container"] = {"id": container.id, "name": container.name, "image": container.image}
        if container.pod:
            found["pod"] = {"namespace": container.pod_namespace, "name": container.pod}
    return found
