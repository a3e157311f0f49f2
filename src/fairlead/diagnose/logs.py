"""The line of a log that tells why a process ended, found by the log's shape.

Four shapes are known: a stack trace (its head or, in Python, its end names the error), structured or prefixed levels
(JSON, logfmt, glog, `ERROR:`), a complaint followed by how the program is used, and plain text, where the last words are the telling
ones. No list of error words decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TIME = re.compile(
    r"^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?\s*(?:[|-]\s+)?"
)
_FRAME = re.compile(
    r"^\s+(?:at\s|File \"|\d+:\s|from\s|\.\.\. \d+ more|in\s)|^\t.*\.go:\d+|^goroutine \d+ \[|^#\d+\s"
)
_PYTHON = re.compile(r"^Traceback \(most recent call last\):")
_GO = re.compile(r"^(?:panic|fatal error): ")
_CAUSED = re.compile(r"^Caused by: ")
_RUST = re.compile(r"^thread '.*' (?:\(\d+\) )?panicked at ")
_GLOG = re.compile(r"^([EF])\d{4} \d\d:\d\d:\d\d")
_LOGFMT = re.compile(
    r"\b(?:level|lvl|severity)=\"?(error|err|fatal|panic|critical|crit|emerg|alert)\"?\b", re.IGNORECASE
)
_PREFIX = re.compile(
    r"^(?:\S+\s+){0,4}?[\[(<]?(ERROR|ERR|FATAL|PANIC|CRITICAL|CRIT|EMERG|SEVERE|error|fatal|crit|emerg|panic)[\])>]?(?=[:\s|\]-])"
)
_VALUE = r"(\"(?:[^\"\\]|\\.)*\"|.+?(?=\s+[\w.]+=|$))"
_MESSAGE = re.compile(rf"\bmsg={_VALUE}")
_ERROR = re.compile(rf"\b(?:err|error)={_VALUE}")
_LEVELS = frozenset({"error", "err", "fatal", "panic", "critical", "crit", "emerg", "alert", "severe"})
_TAIL = 200

_USAGE = re.compile(r"^\s*usage(?: of \S+)?:", re.IGNORECASE)
_COMPLAINT = re.compile(r"^[\w./-]+: \S")
_BEFORE_USAGE = 6

Shape = Literal["trace", "level", "usage", "last"]


@dataclass(frozen=True, slots=True)
class Telling:
    """The line, without colours and leading time, and how it was found."""

    line: str
    shape: Shape


def telling(log: str) -> Telling | None:
    """Return the line of a log's end that says most about why the process ended; None where there is no text."""
    lines = [_ANSI.sub("", line).rstrip() for line in log.splitlines()[-_TAIL:]]
    lines = [line for line in lines if line.strip()]
    if not lines:
        return None
    traced = _trace(lines)
    levelled = _level(lines)
    if traced is not None and (levelled is None or traced[0] >= levelled[0] - 1):
        return Telling(traced[1], "trace")
    if levelled is not None:
        return Telling(levelled[1], "level")
    complaint = _complaint(lines)
    if complaint is not None:
        return Telling(complaint, "usage")
    return Telling(_plain(lines[-1]), "last")


def _plain(line: str) -> str:
    line = line.strip()
    return _TIME.sub("", line) or line


def _trace(lines: Sequence[str]) -> tuple[int, str] | None:
    """Return the last stack trace's error, with the index of its last line."""
    found: tuple[int, str] | None = None
    index = 0
    while index < len(lines):
        line = _TIME.sub("", lines[index])
        if _PYTHON.match(line.strip()):
            end = next(
                (at for at in range(index + 1, len(lines)) if not lines[at].startswith((" ", "\t"))), None
            )
            if end is not None:
                found = (end, lines[end].strip())
                index = end
        elif _GO.match(line):  # everything after it is its stacks: the program is at its end
            return len(lines) - 1, line.strip()
        elif _CAUSED.match(line.strip()):
            found = (_past_frames(lines, index), line.strip())
        elif _RUST.match(line):
            said = lines[index + 1].strip() if index + 1 < len(lines) else line
            found = (min(index + 1, len(lines) - 1), said)
        elif index + 1 < len(lines) and not _FRAME.match(lines[index]) and _FRAME.match(lines[index + 1]):
            found = (_past_frames(lines, index), _plain(lines[index]))
        index += 1
    return found


def _past_frames(lines: Sequence[str], index: int) -> int:
    end = index
    while end + 1 < len(lines) and (_FRAME.match(lines[end + 1]) or lines[end + 1].startswith((" ", "\t"))):
        end += 1
    return end


def _complaint(lines: Sequence[str]) -> str | None:
    """Return what a program said before it told how it is used: the line that begins with its name, or else the last one."""
    usage = next((at for at in range(len(lines) - 1, 0, -1) if _USAGE.match(lines[at])), None)
    if usage is None:
        return None
    before = [_plain(line) for line in lines[max(0, usage - _BEFORE_USAGE) : usage]]
    return next((line for line in reversed(before) if _COMPLAINT.match(line)), before[-1])


def _level(lines: Sequence[str]) -> tuple[int, str] | None:
    """Return the last line that bears a level of error or worse, with its index."""
    for index in range(len(lines) - 1, -1, -1):
        said = _levelled(lines[index])
        if said is not None:
            return index, said
    return None


def _levelled(line: str) -> str | None:
    bare = line.strip()
    if bare.startswith("{"):
        return _structured(bare)
    if _LOGFMT.search(bare):
        parts = [
            match.group(1).strip().strip('"')
            for match in (_MESSAGE.search(bare), _ERROR.search(bare))
            if match
        ]
        return ": ".join(parts) or _plain(bare)
    plain = _plain(bare)
    if _GLOG.match(plain) or _PREFIX.match(plain):
        return plain
    return None


def _structured(line: str) -> str | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    level = next(
        (record[key] for key in ("level", "lvl", "severity", "levelname", "log.level") if key in record), None
    )
    grave = level.lower() in _LEVELS if isinstance(level, str) else isinstance(level, int) and level >= 50
    if not grave:
        return None
    said = [
        str(record[key])
        for key in ("msg", "message", "event", "error", "err", "exception")
        if record.get(key)
    ]
    return ": ".join(dict.fromkeys(said)) or line
