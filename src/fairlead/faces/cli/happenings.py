"""Events and detections told to a person, a line each: when, where, who (with those who started it), and what.

Colours only where they are wanted; nothing that a process says of itself reaches the terminal unescaped. Decides nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from fairlead.sense.events import printable
from fairlead.words import Severity

if TYPE_CHECKING:
    from fairlead.faces.cli.stories import Pen
    from fairlead.sense.events import Container, Event, Process
    from fairlead.sense.rules import Detection

_MARKS = {Severity.CRITICAL: ("✖", "31;1"), Severity.WARNING: ("▲", "33;1"), Severity.INFO: ("·", "36")}
_PLACE = 24
_GENERATIONS = 6
_ACTED = ((4, "killed", "31;1"), (8, "prevented", "35;1"))


def clock(nanoseconds: int) -> str:
    """Return the local time of day of ns since the epoch: `14:03:59.123`."""
    moment = dt.datetime.fromtimestamp(nanoseconds / 1e9).astimezone()
    return f"{moment:%H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}"


def place(container: Container | None) -> str:
    """Return where a process runs: pod and container, the container, or the host."""
    if container is None:
        return "host"
    if container.pod:
        return f"{container.pod_namespace}/{container.pod}" + (f":{container.name}" if container.name else "")
    return container.name or container.short


def lineage(process: Process) -> str:
    """Return those who started a process, the nearest last: `systemd → sshd → bash`."""
    names = [printable(one.name or f"[{one.pid}]") for one in process.ancestors()][:_GENERATIONS]
    return " → ".join(reversed(names))


def depth(process: Process) -> int:
    """Return how many known ancestors a process has, as far as is told."""
    return sum(1 for _, _ in zip(process.ancestors(), range(_GENERATIONS), strict=False))


def event(one: Event, pen: Pen) -> str:
    """Return the line of an event of a process: its start, or its end."""
    process = one.process
    head = _head(one, pen)
    indent = pen.paint("│ " * max(0, depth(process) - 1), "2")
    if one.kind == "exited":
        signal = one.ret & 127
        how = f"killed by signal {signal}" if signal else f"exit {one.ret >> 8 & 255}"
        return f"{head}{indent}{pen.paint('╰', '2')} {printable(process.name)}[{process.pid}] {pen.paint(how, '31' if one.ret else '2')}"
    if one.kind == "exec":
        told = " ".join([printable(process.exe or process.name), *map(_word, process.args[1:])])
        acted = _acted(one, pen)
        return f"{head}{indent}{pen.paint('├', '2')} {told} {pen.paint(f'[{process.pid}]', '2')}{acted}"
    return f"{head}{indent}{pen.paint('·', '2')} {printable(process.name)}[{process.pid}] {one.kind} {call(one)}{_acted(one, pen)}"


def call(one: Event) -> str:
    """Return what an event was about, as far as its texts, its socket and its result tell."""
    parts = [_word(text) for text in one.texts if text]
    sock = one.sock
    if sock is not None and sock.family in {2, 10}:
        parts.append(f"{sock.local}:{sock.lport}->{sock.remote}:{sock.rport}")
    if one.ret:
        parts.append(f"= {one.ret}")
    return " ".join(parts)


def detection(one: Detection, message: str, pen: Pen) -> list[str]:
    """Return the lines of a detection: its rule and message, and under it who did it and who started that."""
    rule, about = one.rule, one.event
    mark, code = _MARKS[rule.severity]
    head = f"{_head(about, pen)}{pen.paint(f'{mark} {rule.name}', code)}  {pen.paint(rule.dialect, '2')}{_acted(about, pen)}"
    process = about.process
    who = f"{printable(process.cmdline)} [{process.pid}] uid {process.uid}"
    above = lineage(process)
    under = f"    {pen.paint(f'{above} → ', '2') if above else ''}{who}"
    told = " ".join(printable(message).split())
    return [head, *pen.wrap(told, "    ", hang="      "), under]


def _head(one: Event, pen: Pen) -> str:
    where = place(one.process.container)
    where = where if len(where) <= _PLACE else f"…{where[1 - _PLACE :]}"
    return f"{pen.paint(clock(one.time), '2')}  {pen.paint(where.ljust(_PLACE), '36')}  "


def _acted(one: Event, pen: Pen) -> str:
    return "".join(f"  {pen.paint(word, code)}" for flag, word, code in _ACTED if one.flags & flag)


def _word(text: str) -> str:
    """Return an argument as a shell would want it quoted, with nothing that a terminal would obey."""
    shown = printable(text)
    return (
        shown
        if shown and not set(shown) & set(" \t'\"\\$`|&;<>()*?[]#~")
        else "'" + shown.replace("'", "'\\''") + "'"
    )


def as_json(one: Event) -> dict[str, Any]:
    """Return an event as plain data: {time, kind, ret, process: {...}, container, texts, socket}."""
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
        "cwd": printable(process.cwd),
        "uid": process.uid,
    }
    container = process.container
    if container is not None:
        found["container"] = {"id": container.id, "name": container.name, "image": container.image}
        if container.pod:
            found["pod"] = {"namespace": container.pod_namespace, "name": container.pod}
    return found
