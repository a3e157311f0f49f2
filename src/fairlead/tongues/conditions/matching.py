"""What generated functions call: globs, path prefixes, networks, regular expressions, transformers. All linear in the text; none raises over a value."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import re2

from fairlead.tongues.conditions.types import Type

_POSIX = re2.Options()
_POSIX.posix_syntax = True
_POSIX.longest_match = True
_POSIX.log_errors = False
_PLAIN = re2.Options()
_PLAIN.log_errors = False
_UPPER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})
_LOWER = str.maketrans({chr(code): chr(code - 32) for code in range(ord("a"), ord("z") + 1)})
_CLASSES = frozenset(
    [
        "alnum",
        "alpha",
        "blank",
        "cntrl",
        "digit",
        "graph",
        "lower",
        "print",
        "punct",
        "space",
        "upper",
        "xdigit",
    ]
)
_SIMPLE_GLOB = re.compile(r"(\**)([^*?\[\\]*)(\**)")

Matcher: TypeAlias = Callable[[str], bool]


def plain(text: str) -> str:
    """Return the text with what is no Unicode replaced, as regular expressions want it."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@lru_cache(maxsize=4096)
def regex(pattern: str) -> Matcher:
    """Return what tells whether a whole text matches. Raises ValueError over what RE2 does not understand, in POSIX's syntax or Perl's."""
    try:
        compiled = re2.compile(plain(pattern), options=_POSIX)
    except re2.error as wrong:
        try:
            compiled = re2.compile(plain(pattern), options=_PLAIN)
        except re2.error:
            said = wrong.args[0] if wrong.args else wrong
            raise ValueError(
                f"invalid regex pattern: {said.decode() if isinstance(said, bytes) else said}"
            ) from None
    return _whole(compiled)


@lru_cache(maxsize=4096)
def glob(pattern: str, fold: bool = False) -> Matcher:
    """Return what tells whether a whole text matches, as fnmatch(3) without flags does; `fold` regardless of the case of ASCII letters."""
    simple = _SIMPLE_GLOB.fullmatch(pattern)
    if simple is not None and not fold:
        before, middle, after = simple.groups()
        if before and after:
            return lambda text: middle in text
        if before:
            return (lambda _: True) if not middle else (lambda text: text.endswith(middle))
        if after:
            return lambda text: text.startswith(middle)
        return lambda text: text == middle
    return _whole(re2.compile(("(?si)" if fold else "(?s)") + _translated(plain(pattern)), options=_PLAIN))


def _whole(compiled: Any) -> Matcher:
    raw, anchor = getattr(compiled, "_regexp", None), getattr(re2, "_Anchor", None)
    if raw is None or anchor is None:
        fullmatch = compiled.fullmatch
        return lambda text: fullmatch(plain(text)) is not None
    match, both = raw.Match, anchor.ANCHOR_BOTH

    def matches(text: str) -> bool:
        encoded = text.encode() if text.isascii() else plain(text).encode()
        return bool(match(both, encoded, 0, len(encoded))[0][0] >= 0)

    return matches


def _translated(pattern: str) -> str:
    parts: list[str] = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        index += 1
        if char == "*":
            if not parts or parts[-1] != ".*":
                parts.append(".*")
        elif char == "?":
            parts.append(".")
        elif char == "\\" and index < len(pattern):
            parts.append(re2.escape(pattern[index]))
            index += 1
        elif char == "[":
            found = _bracket(pattern, index)
            if found is None:
                parts.append(re2.escape(char))
            else:
                parts.append(found[0])
                index = found[1]
        else:
            parts.append(re2.escape(char))
    return "".join(parts)


def _bracket(pattern: str, start: int) -> tuple[str, int] | None:
    """The class that begins after `[`, in RE2's syntax, and where it ends; None when nothing closes it. Nothing matches an empty range."""
    index = start
    negated = pattern[index : index + 1] in {"!", "^"}
    index += negated
    first = index
    parts: list[str] = []
    while index < len(pattern):
        char = pattern[index]
        if char == "]" and index > first:
            inner = "".join(parts)
            if not inner:
                return ("." if negated else r"[^\x00-\x{10FFFF}]"), index + 1
            return f"[{'^' if negated else ''}{inner}]", index + 1
        named = re.compile(r"\[:([a-z]+):\]").match(pattern, index)
        if named is not None and named.group(1) in _CLASSES:
            parts.append(named.group())
            index = named.end()
            continue
        if char == "\\" and index + 1 < len(pattern):
            index += 1
            char = pattern[index]
        index += 1
        if pattern[index : index + 1] == "-" and pattern[index + 1 : index + 2] not in {"]", ""}:
            index += 1
            if pattern[index] == "\\" and index + 1 < len(pattern):
                index += 1
            last = pattern[index]
            index += 1
            if char <= last:
                parts.append(f"{_escaped(char)}-{_escaped(last)}")
            continue
        parts.append(_escaped(char))
    return None


def _escaped(char: str) -> str:
    return f"\\x{{{ord(char):x}}}"


def paths(prefixes: Iterable[str]) -> Matcher:
    """Return what tells whether one of the paths is a prefix of a path, component by component; components may be globs."""
    root = _Branch()
    for prefix in prefixes:
        root.add([part for part in prefix.split("/") if part])

    def matches(text: str) -> bool:
        return root.matches([part for part in text.split("/") if part], 0)

    return matches


class _Branch:
    """One level of the trie of path prefixes."""

    __slots__ = ("ends", "globs", "names")

    def __init__(self) -> None:
        self.ends = False
        self.names: dict[str, _Branch] = {}
        self.globs: dict[str, tuple[Matcher, _Branch]] = {}

    def add(self, parts: Sequence[str]) -> None:
        branch = self
        for part in parts:
            if any(char in part for char in "?*["):
                if part not in branch.globs:
                    branch.globs[part] = glob(part), _Branch()
                branch = branch.globs[part][1]
            else:
                branch = branch.names.setdefault(part, _Branch())
        branch.ends = True

    def matches(self, parts: Sequence[str], index: int) -> bool:
        if self.ends:
            return True
        if index == len(parts):
            return False
        part = parts[index]
        below = self.names.get(part)
        if below is not None and below.matches(parts, index + 1):
            return True
        return any(
            matches(part) and branch.matches(parts, index + 1) for matches, branch in self.globs.values()
        )


def networks(members: Iterable[tuple[bytes, int]]) -> Callable[[bytes], bool]:
    """Return what tells whether a packed address is in one of the networks: (packed address, bits of the prefix)."""
    wanted: dict[tuple[int, int], set[int]] = {}
    for packed, bits in members:
        shift = len(packed) * 8 - bits
        wanted.setdefault((len(packed), shift), set()).add(int.from_bytes(packed) >> shift)
    rows = tuple((length, shift, frozenset(prefixes)) for (length, shift), prefixes in wanted.items())

    @lru_cache(maxsize=1024)  # the same few addresses come again and again
    def contains(packed: bytes) -> bool:
        number = int.from_bytes(packed)
        return any(length == len(packed) and number >> shift in prefixes for length, shift, prefixes in rows)

    return contains


def lower(text: str | None) -> str | None:
    """Return the text with ASCII letters small; None of None."""
    return None if text is None else text.lower() if text.isascii() else text.translate(_UPPER)


def upper(text: str | None) -> str | None:
    """Return the text with ASCII letters large; None of None."""
    return None if text is None else text.upper() if text.isascii() else text.translate(_LOWER)


def basename(text: str | None) -> str | None:
    """Return what follows the last slash; None of None."""
    return None if text is None else text[text.rfind("/") + 1 :]


def decoded(value: str | bytes | None) -> str | bytes | None:
    """Return what a base64 text says, of the type that it has; None when it is none. Padding is optional."""
    if value is None:
        return None
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    raw = raw.rstrip(b"\0").rstrip(b"=")
    try:
        found = base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return found.decode("utf-8", "surrogateescape") if isinstance(value, str) else found


def length(value: str | bytes | Sequence[Any] | None) -> int | None:
    """Return the bytes of a text or buffer, or the members of a list; None of None."""
    if isinstance(value, str) and not value.isascii():
        return len(value.encode("utf-8", "surrogateescape"))
    return None if value is None else len(value)


def shown(value: Any, of: Type) -> str:
    """Return a value as text, as outputs show it."""
    match of:
        case Type.TEXT:
            return str(value)
        case Type.BOOL:
            return "true" if value else "false"
        case Type.BYTES:
            return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in value)
        case Type.ADDRESS | Type.NETWORK:
            return str(ipaddress.ip_address(value))
        case Type.DOUBLE:
            return f"{value:.1f}"
        case _:
            return str(value)


def joined(separator: str, values: Sequence[Any], types: Sequence[Type]) -> str | None:
    """Return the values as one text, or None when one of them is absent."""
    if any(value is None for value in values):
        return None
    return separator.join(shown(value, of) for value, of in zip(values, types, strict=True))


def joined_list(separator: str, values: Sequence[Any] | None, of: Type) -> str | None:
    """Return the members of a list as one text; None of None or an empty list."""
    return separator.join(shown(value, of) for value in values) if values else None


def first(values: Sequence[Any] | None) -> Any:
    """Return the first of several values, None where there is none."""
    return values[0] if values else None


def any_of(tests: Iterable[Callable[[Any], bool]], value: Any) -> bool:
    """Return whether one of the tests passes."""
    return any(test(value) for test in tests)


def all_of(tests: Iterable[Callable[[Any], bool]], value: Any) -> bool:
    """Return whether all of the tests pass."""
    return all(test(value) for test in tests)


def one_of(tests: Iterable[Callable[[Any], bool]], value: Any) -> bool:
    """Return whether exactly one of the tests passes."""
    found = 0
    for test in tests:
        if test(value):
            found += 1
            if found > 1:
                return False
    return found == 1
