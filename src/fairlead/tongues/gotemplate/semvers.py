"""Semantic versions and the ranges that Helm takes: `>=1.2 <2`, `~1.2.3`, `^1`, `1.x`, `1.2 - 1.4`, `||`.

Versions without a minor or patch number, and with a v in front, are taken. Must never compare build metadata.
Source: github.com/Masterminds/semver/v3.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fairlead.tongues.gotemplate.kinds import Function, GoError, Struct, Uint64
from fairlead.tongues.gotemplate.printing import quoted

LONGEST: Final = 256
_VERSION = re.compile(
    r"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:-([0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?(?:\+([0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?\Z",
    re.ASCII,
)
_PART = r"[0-9|xX*]+"
_RANGE_VERSION = (
    rf"v?(?:{_PART})(?:\.{_PART})?(?:\.{_PART})?(?:-(?:[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?"
    r"(?:\+(?:[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?"
)
_OPERATOR = r"=|!=|>|<|>=|=>|<=|=<|~|~>|\^|"
_LONG_OPERATOR = r"!=|>=|=>|<=|=<|~>|=|>|<|~|\^|"
_ONE = re.compile(
    rf"\s*({_LONG_OPERATOR})\s*(v?({_PART})(\.{_PART})?(\.{_PART})?(-(?:[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?(?:\+[0-9A-Za-z\-.]+)?)\s*\Z"
)
_FIND = re.compile(rf"(?:{_LONG_OPERATOR})\s*(?:{_RANGE_VERSION})")
_VALID = re.compile(
    rf"(?:\s*(?:{_LONG_OPERATOR})\s*(?:{_RANGE_VERSION})\s*)(?:(?:\s+|,\s*)(?:{_LONG_OPERATOR})\s*(?:{_RANGE_VERSION})\s*)*\Z"
)
_HYPHEN = re.compile(rf"\s*({_RANGE_VERSION})\s+-\s+({_RANGE_VERSION})\s*")


@functools.total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version. Two are equal whose numbers and prerelease are."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    metadata: str = ""
    original: str = ""

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        text += f"-{self.prerelease}" if self.prerelease else ""
        return text + (f"+{self.metadata}" if self.metadata else "")

    @property
    def order(self) -> tuple[Any, ...]:
        """What versions are sorted by."""
        parts = tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease.split(".")
        )
        return (self.major, self.minor, self.patch, not self.prerelease, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.order == other.order

    def __lt__(self, other: Version) -> bool:
        return self.order < other.order

    def __hash__(self) -> int:
        return hash(self.order)


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Version:
    """Return the version that a text means. Raises GoError."""
    if len(text) > LONGEST:
        raise GoError(f"version string is too long (max {LONGEST} bytes)")
    match = _VERSION.match(text)
    if match is None:
        raise GoError("invalid semantic version")
    major, minor, patch, prerelease, metadata = match.groups()
    numbers = (int(major), int(minor or 0), int(patch or 0))
    if max(numbers) >= 1 << 64:
        raise GoError("error parsing version segment: value out of range")
    if any(part.isdigit() and len(part) > 1 and part[0] == "0" for part in (prerelease or "").split(".")):
        raise GoError("version segment starts with 0")
    return Version(*numbers, prerelease or "", metadata or "", text)


@dataclass(frozen=True, slots=True)
class _Bound:
    operator: str
    version: Version
    any_minor: bool
    any_patch: bool
    dirty: bool

    def holds(self, version: Version, prereleases: bool) -> bool:
        if version.prerelease and not prereleases:
            return False
        con = self.version
        match self.operator:
            case "!=":
                return self._differs(version)
            case ">":
                return self._above(version)
            case "<":
                return version < con
            case ">=" | "=>":
                return version >= con
            case "<=" | "=<":
                if not self.dirty:
                    return version <= con
                return version.major < con.major or (
                    version.major == con.major and (version.minor <= con.minor or self.any_minor)
                )
            case "~" | "~>":
                return self._tilde(version)
            case "^":
                return self._caret(version)
            case _:
                return self._tilde(version) if self.dirty else version == con

    def _differs(self, version: Version) -> bool:
        con = self.version
        if self.dirty:
            if con.major != version.major or (con.minor != version.minor and not self.any_minor):
                return True
            if self.any_minor:
                return False
            if con.patch != version.patch and not self.any_patch:
                return True
            if self.any_patch:
                return bool(version.prerelease or con.prerelease) and version.prerelease != con.prerelease
        return version != con

    def _above(self, version: Version) -> bool:
        con = self.version
        if not self.dirty or version.major != con.major:
            return version > con if not self.dirty else version.major > con.major
        if self.any_minor:
            return False
        return version.minor > con.minor if self.any_patch else version > con

    def _tilde(self, version: Version) -> bool:
        con = self.version
        if version < con:
            return False
        if not (con.major or con.minor or con.patch or self.any_minor or self.any_patch):
            return True
        return version.major == con.major and (version.minor == con.minor or self.any_minor)

    def _caret(self, version: Version) -> bool:
        con = self.version
        if version < con:
            return False
        if con.major > 0 or self.any_minor:
            return version.major == con.major
        if version.major > 0:
            return False
        if con.minor > 0 or self.any_patch:
            return version.minor == con.minor
        if version.minor > 0:
            return False
        return version.patch == con.patch


class Range:
    """Alternatives of bounds. A prerelease is in it only where its alternative names one."""

    def __init__(self, alternatives: tuple[tuple[_Bound, ...], ...]) -> None:
        self._alternatives = alternatives

    def __contains__(self, version: Version) -> bool:
        return any(
            all(bound.holds(version, any(each.version.prerelease for each in bounds)) for bound in bounds)
            for bounds in self._alternatives
        )


@functools.lru_cache(maxsize=1024)
def parse_range(text: str) -> Range:
    """Return the range that a text means. Raises GoError."""
    if len(text) > 512:
        raise GoError("constraint string is too long (max 512 bytes)")
    rewritten = text
    for match in _HYPHEN.finditer(text):
        rewritten = rewritten.replace(match.group(), f">= {match.group(1)}, <= {match.group(2)} ", 1)
    parts = rewritten.split("||")
    if len(parts) > 32:
        raise GoError("too many constraint groups (max 32)")
    alternatives = []
    for part in parts:
        if not _VALID.match(part):
            raise GoError(f"improper constraint: {quoted(part)}")
        found = [match.group() for match in _FIND.finditer(part)] or [part]
        alternatives.append(tuple(map(_bound, found)))
    return Range(tuple(alternatives))


def _bound(text: str) -> _Bound:
    match = _ONE.match(text)
    if match is None:
        raise GoError(f"improper constraint: {quoted(text)}")
    operator, version, major, minor, patch, prerelease = match.groups()
    free = {"x", "X", "*", ""}
    any_minor = any_patch = dirty = False
    tail = prerelease or ""
    if major in free:
        version, dirty = f"0.0.0{tail}", True
    elif (minor or "")[1:] in free:
        version, dirty, any_minor = f"{major}.0.0{tail}", True, True
    elif (patch or "")[1:] in free:
        version, dirty, any_patch = f"{major}{minor}.0{tail}", True, True
    try:
        return _Bound(operator, parse(version), any_minor, any_patch, dirty)
    except GoError:
        raise GoError("constraint parser error") from None


def matches(wanted: str, version: str) -> bool:
    """Return whether the version is in the range. Raises GoError where either is none."""
    within = parse_range(wanted)
    return parse(version) in within


def struct(version: Version) -> Struct:
    """Return the version as templates have it, with its methods."""
    made = Struct("semver.Version", pointer=True, text=version.__str__, data=version, tags={"": "text"})

    def other(value: Struct) -> Version:
        assert isinstance(value.data, Version)
        return value.data

    def numbered(major: int, minor: int, patch: int) -> Struct:
        lead = "v" if version.original.startswith("v") else ""
        bumped = Version(major, minor, patch)
        changed = struct(Version(major, minor, patch, original=f"{lead}{bumped}"))
        changed.pointer = False
        return changed

    made.methods = {
        "Major": Function(lambda: Uint64(version.major)),
        "Minor": Function(lambda: Uint64(version.minor)),
        "Patch": Function(lambda: Uint64(version.patch)),
        "Prerelease": Function(lambda: version.prerelease),
        "Metadata": Function(lambda: version.metadata),
        "Original": Function(lambda: version.original),
        "String": Function(version.__str__),
        "Equal": Function(lambda value: version == other(value), "V"),
        "LessThan": Function(lambda value: version < other(value), "V"),
        "LessThanEqual": Function(lambda value: version <= other(value), "V"),
        "GreaterThan": Function(lambda value: version > other(value), "V"),
        "GreaterThanEqual": Function(lambda value: version >= other(value), "V"),
        "Compare": Function(lambda value: (version > other(value)) - (version < other(value)), "V"),
        "IncMajor": Function(lambda: numbered(version.major + 1, 0, 0)),
        "IncMinor": Function(lambda: numbered(version.major, version.minor + 1, 0)),
        "IncPatch": Function(
            lambda: numbered(version.major, version.minor, version.patch + (not version.prerelease))
        ),
    }
    return made


SEMVERS: Final[Mapping[str, Function]] = {
    "semver": Function(lambda text: struct(parse(text)), "s"),
    "semverCompare": Function(matches, "ss"),
}
"""The functions by name."""
