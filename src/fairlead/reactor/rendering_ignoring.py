"""Which files of a folder do not belong to its package: .fairleadignore, timoni.ignore and .helmignore.

The first two have Git's pattern language (gitignore(5)); .helmignore has the smaller one of Helm's own, without `**`, in which
no pattern with a `**` is allowed. Texts in, a function out: reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

Ignored: TypeAlias = Callable[[str, bool], bool]
"""(path relative to the package, whether it is a folder) -> whether it is left out. What is below an ignored folder is never asked."""

NAMES: Final = (".fairleadignore", "timoni.ignore", ".helmignore")
ALWAYS: Final = (".git", ".hg", ".svn", ".DS_Store", "__pycache__")
"""Names that belong to no package, wherever they are."""


MOST_PATTERNS: Final = 1_000
LONGEST_PATTERN: Final = 1_000
MOST_COMPARED: Final = 5_000_000
"""How often paths are compared with patterns, a few microseconds each: 250 patterns for each file of the largest package."""


class BadPattern(ValueError):
    """A line of an ignore file that is no pattern. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def nothing(path: str, folder: bool) -> bool:  # noqa: ARG001  it is an Ignored
    """Leave out only what never belongs to a package."""
    return path.rpartition("/")[2] in ALWAYS


def ignoring(text: str, *, helm: bool = False) -> Ignored:
    """Return what an ignore file leaves out. The last line that fits decides, and `!` takes back in.

    Raises BadPattern, and what is returned does so too where there is no end to comparing.
    """
    from fairlead.tongues import regexes

    rules: list[tuple[bool, bool, Callable[[str], object]]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip() if helm else _stripped(raw)
        if not line or line.startswith("#"):
            continue
        taken_back = line.startswith("!")
        pattern = line[1:] if taken_back else line
        if len(pattern) > LONGEST_PATTERN:
            raise BadPattern(f"a pattern of more than {LONGEST_PATTERN:,} characters", number)
        if helm and "**" in pattern:
            raise BadPattern(f'"{pattern}": double-star (**) syntax is not supported in .helmignore', number)
        folders_only = pattern.endswith("/")
        pattern = pattern.rstrip("/")
        if not pattern:
            continue
        expression = _expression(pattern, line=number)
        try:
            compiled = regexes.compile(expression)
        except regexes.BadPattern as error:
            raise BadPattern(f'"{line}" is no pattern', number) from error
        rules.append((taken_back, folders_only, compiled.fullmatch))
        if len(rules) > MOST_PATTERNS:
            raise BadPattern(f"more than {MOST_PATTERNS:,} patterns", number)
    left = MOST_COMPARED

    def left_out(path: str, folder: bool) -> bool:
        nonlocal left
        if nothing(path, folder):
            return True
        left -= len(rules)
        if left < 0:
            raise BadPattern(f"{len(rules):,} patterns are too many for so many files", 1)
        found = False
        for taken_back, folders_only, fits in rules:
            if (folder or not folders_only) and found == taken_back and fits(path):
                found = not taken_back
        return found

    return left_out


def _stripped(line: str) -> str:
    """Return a line without the blanks at its end, unless the last is escaped."""
    bare = line.rstrip("\r\n").rstrip(" \t")
    return bare + " " if bare.endswith("\\") and len(bare) < len(line.rstrip("\r\n")) else bare


def _expression(pattern: str, line: int) -> str:
    """Return a regular expression over whole paths: a pattern with an inner slash is anchored, any other fits at any depth."""
    anchored = "/" in pattern
    pattern = pattern.removeprefix("/")
    made = "" if anchored else "(?:.*/)?"
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            made, at = made + "(?:.*/)?", at + 3
        elif pattern[at:] == "**" and (at == 0 or pattern[at - 1] == "/"):
            made, at = made + ".+", at + 2
        elif pattern[at] == "*":
            made, at = made + "[^/]*", at + 1
        elif pattern[at] == "?":
            made, at = made + "[^/]", at + 1
        elif pattern[at] == "[":
            part, at = _class(pattern, at, line)
            made += part
        else:
            at += pattern[at] == "\\" and at + 1 < len(pattern)
            made, at = made + _literal(pattern[at]), at + 1
    return made


def _class(pattern: str, at: int, line: int) -> tuple[str, int]:
    """Return a set of characters (`[a-z]`, `[!a]`) as an expression, and where the pattern goes on."""
    end = pattern.find("]", at + 2)
    if end < 0:
        raise BadPattern(f'"{pattern}" opens a [ that nothing closes', line)
    inner = pattern[at + 1 : end]
    negated = inner[:1] in {"!", "^"}
    inner = inner[negated:].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
    return f"[{'^/' if negated else ''}{inner}]", end + 1


def _literal(character: str) -> str:
    return "\\" + character if character in r".^$*+?{}[]\|()" else character
