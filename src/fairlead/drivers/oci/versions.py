"""Versions of packages and ranges of them: `1.2.3`, `>=1.0 <2.0`, `^1`, `~1.2`, `1.x`, `1.2 - 1.4`, `^1 || ^2`.

Pure. Source: semver.org 2.0.0, and the ranges of Masterminds/semver, which Timoni, Flux and Helm use: a pre-release only fits where
the range itself names one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import total_ordering
from typing import Final

from fairlead.drivers.oci.errors import RegistryError

_NUMBER: Final = r"(?:0|[1-9][0-9]{0,17})"
_PART: Final = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_STRICT: Final = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PART}(?:\.{_PART})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?\Z"
)
_WILD: Final = r"[0-9]{1,18}|[xX*]"
_LOOSE: Final = re.compile(
    rf"\s*(=|==|!=|>=|=>|<=|=<|>|<|~>|~|\^)?\s*v?({_WILD})(?:\.({_WILD}))?(?:\.({_WILD}))?(?:-({_PART}(?:\.{_PART})*))?(?:\+[0-9A-Za-z.-]+)?(?=[\s,]|\Z)"
)
_LONGEST: Final = 256


class BadVersion(RegistryError):
    """The text is no version, or no range of versions; the text says what would be one."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A semantic version. Build metadata takes no part in the order."""

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Return a strict version: three numbers, no leading v. Raises BadVersion."""
        found = _STRICT.match(text) if len(text) <= _LONGEST else None
        if found is None:
            hint = text.removeprefix("v")
            right = (
                f"; {hint} would be one" if hint != text and _STRICT.match(hint) else "; one looks like 1.2.3"
            )
            raise BadVersion(f"{text[:100]!r} is no semantic version{right}")
        pre = tuple(found[4].split(".")) if found[4] else ()
        return cls(int(found[1]), int(found[2]), int(found[3]), pre, found[5] or "")

    @property
    def _key(self) -> tuple[object, ...]:
        parts = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in self.pre)
        return (self.major, self.minor, self.patch, not self.pre, parts)

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Version) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __lt__(self, other: Version) -> bool:
        return self._key < other._key

    def __str__(self) -> str:
        pre = f"-{'.'.join(self.pre)}" if self.pre else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{'+' + self.build if self.build else ''}"


def tag_of(version: Version) -> str:
    """Return the tag of a version; tags know no `+`, which becomes `_` as Helm has it."""
    return str(version).replace("+", "_")


def version_of(tag: str) -> Version | None:
    """Return the version that a tag stands for, None for tags that are none."""
    try:
        return Version.parse(tag.replace("_", "+"))
    except BadVersion:
        return None


_Test = Callable[[Version], bool]


def parse_range(text: str) -> _Test:
    """Return a function that says whether a version is in a range. Raises BadVersion."""
    if len(text) > _LONGEST:
        raise BadVersion(f"{text[:60]!r}… is too long for a range of versions")
    groups = [_all_of(part, text) for part in text.split("||")]
    return lambda version: any(all(test(version) for test in group) for group in groups)


def is_range(text: str) -> bool:
    """Return whether a text is a range and not one version, a tag or `latest`."""
    if _STRICT.match(text):
        return False
    try:
        parse_range(text)
    except BadVersion:
        return False
    return True


def newest(tags: Iterable[str], text: str) -> str:
    """Return the tag of the newest version in a range, "" where none is. Raises BadVersion."""
    fits = parse_range(text)
    found = [(version, tag) for tag in tags if (version := version_of(tag)) is not None and fits(version)]
    return max(found, key=lambda pair: (pair[0], pair[1]))[1] if found else ""


def _all_of(part: str, whole: str) -> list[_Test]:
    text = re.sub(r"(\S+)\s+-\s+(\S+)", r">=\1 <=\2", part)
    tests: list[_Test] = []
    position = 0
    while position < len(text):
        if text[position] in " ,\t":
            position += 1
            continue
        found = _LOOSE.match(text, position)
        if found is None or found.end() == position:
            break
        tests.append(_one(found))
        position = found.end()
    if position < len(text) or not tests:
        raise BadVersion(f"{whole!r} is no range of versions; ranges look like >=1.0 <2.0, ^1, ~1.2 or 1.x")
    return tests


def _one(found: re.Match[str]) -> _Test:
    """Return the test of one comparison; parts that are missing or wild leave a span of versions."""
    sign = {"==": "=", "=>": ">=", "=<": "<=", "~>": "~", None: ""}.get(found[1], found[1] or "")
    numbers: list[int] = []
    for part in (found[2], found[3], found[4]):
        if part is None or part in "xX*":
            break
        numbers.append(int(part))
    whole = len(numbers) == 3
    pre = tuple(found[5].split(".")) if found[5] and whole else ()
    low = _version(numbers, pre)
    beyond = _bump(numbers, len(numbers) - 1)  # the first version after the span that the numbers name

    def before(version: Version, end: Version | None) -> bool:
        return end is None or version < end

    if sign == "^":
        first = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
        end = _bump(numbers, first)
        inside: _Test = lambda v: low <= v and before(v, end)  # noqa: E731  a table of small functions
    elif sign == "~":
        near = _bump(numbers, min(1, len(numbers) - 1))
        inside = lambda v: low <= v and before(v, near)  # noqa: E731  a table of small functions
    elif sign == ">":
        inside = (lambda v: v > low) if whole else (lambda v: beyond is not None and v >= beyond)
    elif sign == ">=":
        inside = lambda v: v >= low  # noqa: E731  a table of small functions
    elif sign == "<":
        inside = lambda v: v < low  # noqa: E731  a table of small functions
    elif sign == "<=":
        inside = (lambda v: v <= low) if whole else (lambda v: before(v, beyond))
    elif sign == "!=":
        inside = (lambda v: v != low) if whole else (lambda v: not (low <= v and before(v, beyond)))
    else:
        inside = (lambda v: v == low) if whole else (lambda v: low <= v and before(v, beyond))
    return lambda version: (bool(pre) or not version.pre) and inside(version)


def _bump(numbers: list[int], at: int) -> Version | None:
    """Return the version with the part at an index one higher, and what follows at 0; None where nothing is named."""
    if at < 0:
        return None
    return _version([*numbers[:at], numbers[at] + 1])


def _version(numbers: list[int], pre: tuple[str, ...] = ()) -> Version:
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return Version(major, minor, patch, pre)
