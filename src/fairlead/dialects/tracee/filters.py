"""Tracee's filters: `=`, `!=`, `<`, `<=`, `>`, `>=`, lists with commas, and a star at the beginning or end of a text.

A filter is filled by one or several expressions about the same thing and then asked about values. It also says what of itself the
kernel can decide, as alternatives of tests that never pass too little. Pure, and never raises but BadFilter.
Source: aquasecurity/tracee, pkg/filters, whose rules of precedence are kept: what is asked for by `=` passes even where a `!=` excludes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from fairlead.sense.plans import Op, Test, What

Alternatives: TypeAlias = tuple[tuple[Test, ...], ...]
"""Clauses of which one must pass, each of tests that all must. `ALL` lets everything through."""
ALL: Alternatives = ((),)

MOST = 32
"""Alternatives that one rule may need at a hook; beyond, a filter is left to the residue."""
_TRIE = 120
"""Bytes that the kernel compares of the beginning or end of a text."""
OPERATORS = ("!=", "<=", ">=", "=", "<", ">")


class BadFilter(ValueError):
    """A filter is not written as Tracee wants it. Its text says what is wrong."""


def split(text: str) -> tuple[str, str, str]:
    """Return what is before the operator, the operator and what follows it; the last two are "" when there is none."""
    at = min((found for found in map(text.find, "=!<>") if found >= 0), default=-1)
    if at < 0:
        return text, "", ""
    rest = text[at:]
    operator = next((one for one in OPERATORS if rest.startswith(one)), "")
    if not operator or rest == operator:
        raise BadFilter(f"invalid filter expression: {text}")
    return text[:at], operator, rest[len(operator) :]


def both(left: Alternatives, right: Alternatives) -> Alternatives:
    """Return alternatives for what passes both; the right ones are left out where it would be too many or too long."""
    joined = tuple(
        tuple(dict.fromkeys((*one, *other))) for one in left for other in right
    )  # fmt: skip
    if len(joined) > MOST or any(len(one) > 8 for one in joined):
        return left
    return joined


class Texts:
    """A filter of texts: whole ones, beginnings (`/etc/*`), ends (`*.so`) and parts (`*tmp*`)."""

    def __init__(self) -> None:
        self.whole: dict[str, None] = {}
        self.begins: dict[str, None] = {}
        self.ends: dict[str, None] = {}
        self.parts: dict[str, None] = {}
        self.not_whole: dict[str, None] = {}
        self.not_begins: dict[str, None] = {}
        self.not_ends: dict[str, None] = {}
        self.not_parts: dict[str, None] = {}

    def add(self, operator: str, values: str) -> None:
        """Ask for values as well. Raises BadFilter."""
        if operator not in {"=", "!="}:
            raise BadFilter(f"unsupported operator: {operator}")
        wanted = operator == "="
        for value in values.split(","):
            if value in {"", "*", "**"}:
                raise BadFilter(f"invalid filter value: {value!r}")
            first, last = value[0] == "*", value[-1] == "*"
            if first and last:
                (self.parts if wanted else self.not_parts)[value[1:-1]] = None
            elif last:
                (self.begins if wanted else self.not_begins)[value[:-1]] = None
            elif first:
                (self.ends if wanted else self.not_ends)[value[1:]] = None
            else:
                (self.whole if wanted else self.not_whole)[value] = None

    @property
    def excludes(self) -> bool:
        """Whether anything is excluded, so that whatever is not passes."""
        return bool(self.not_whole or self.not_begins or self.not_ends or self.not_parts)

    def __call__(self, *spellings: str) -> bool:
        """Return whether a text passes, which may be spelt in several ways: `2` and `O_RDWR`."""
        for value in spellings:
            if (
                value in self.whole
                or value.startswith(tuple(self.begins))
                or value.endswith(tuple(self.ends))
                or any(part in value for part in self.parts)
            ):
                return True
        return self.excludes and not any(map(self._excluded, spellings))

    def _excluded(self, value: str) -> bool:
        return (
            value in self.not_whole
            or value.startswith(tuple(self.not_begins))
            or value.endswith(tuple(self.not_ends))
            or any(part in value for part in self.not_parts)
        )

    def numbers(self, read: Callable[[str], int | None]) -> Numbers | None:
        """Return the same as a filter of numbers, where it asks for whole values only and `read` knows each."""
        if self.begins or self.ends or self.parts or self.not_begins or self.not_ends or self.not_parts:
            return None
        made = Numbers()
        for values, into in ((self.whole, made.whole), (self.not_whole, made.not_whole)):
            for text in values:
                value = read(text)
                if value is None:
                    return None
                into[value] = None
        return made

    def tests(self, what: What, index: int = 0, most: int = 4096) -> Alternatives:
        """Return what the kernel can decide of it about one text, of which it sees `most` bytes."""
        found: list[tuple[Test, ...]] = []
        if self.parts:  # the kernel looks for parts in the beginning of a text only
            return ALL
        whole = _cut(self.whole)
        if whole:
            if any(len(one) >= most for one in whole):
                return ALL
            found.append((Test(what, Op.TEXT_IN, whole, index),))
        if self.begins:
            found.append((Test(what, Op.PREFIX, _cut(self.begins, _TRIE), index),))
        if self.ends:
            ends = tuple(one[-_TRIE:] for one in _cut(self.ends))
            found.append((Test(what, Op.SUFFIX, ends, index),))
        if self.excludes:
            found.append(self._excluding(what, index, most))
        return tuple(found) if all(found) else ALL

    def _excluding(self, what: What, index: int, most: int) -> tuple[Test, ...]:
        tests = []
        for values, op, longest in (
            (self.not_whole, Op.TEXT_NOTIN, most - 1),
            (self.not_begins, Op.NOTPREFIX, _TRIE),
            (self.not_ends, Op.NOTSUFFIX, _TRIE),
        ):
            # What is longer than the kernel compares would exclude too much: it is left to the residue.
            fitting = tuple(one for one in _cut(values) if len(one) <= longest)
            if fitting:
                tests.append(Test(what, op, fitting, index))
        return tuple(tests)


def _cut(values: dict[str, None], most: int | None = None) -> tuple[bytes, ...]:
    return tuple(one.encode("utf-8", "surrogateescape")[:most] for one in values)


class Numbers:
    """A filter of numbers. Several bounds widen: `<5` and `<9` is `<9`, as in Tracee."""

    def __init__(self, *, signed: bool = True) -> None:
        self.whole: dict[int, None] = {}
        self.not_whole: dict[int, None] = {}
        self.above: int | None = None
        self.below: int | None = None
        self._signed = signed

    def add(self, operator: str, values: str) -> None:
        """Ask for values as well. Raises BadFilter."""
        for text in values.split(","):
            value = self._read(text, operator)
            if operator in {"=", "<=", ">="}:
                self.whole[value] = None
            if operator == "!=":
                self.not_whole[value] = None
            elif operator in {"<", "<="}:
                self.below = value if self.below is None else max(self.below, value)
            elif operator in {">", ">="}:
                self.above = value if self.above is None else min(self.above, value)

    def _read(self, text: str, operator: str) -> int:
        digits = text[1:] if text[:1] in {"-", "+"} else text
        if not (digits.isascii() and digits.isdigit() and len(digits) < 21):
            raise BadFilter(f"invalid filter value: {text!r}")
        value = int(text)
        low, high = (-(1 << 63), (1 << 63) - 1) if self._signed else (0, (1 << 64) - 1)
        if not low <= value <= high:
            raise BadFilter(f"invalid filter value: {text!r}")
        if not self._signed and value == 0 and operator in {"<", "<="}:
            raise BadFilter(f"invalid filter expression: {operator}{text}")
        return value

    def __call__(self, value: int) -> bool:
        """Return whether the number passes."""
        if value in self.whole:
            return True
        if value in self.not_whole:
            return False
        if self.above is None and self.below is None:
            return bool(self.not_whole)
        return (self.above is None or value > self.above) and (self.below is None or value < self.below)

    def tests(self, what: What, index: int = 0, mask: int = 0) -> Alternatives:
        """Return what the kernel can decide of it about one number."""
        found: list[tuple[Test, ...]] = []
        if len(self.whole) == 1:
            found.append((Test(what, Op.EQ, tuple(self.whole), index, mask),))
        elif self.whole:
            found.append((Test(what, Op.INSET, tuple(self.whole), index, mask),))
        rest: list[Test] = []
        if self.above is not None:
            rest.append(Test(what, Op.GT if self._signed else Op.GTU, (self.above,), index, mask))
        if self.below is not None:
            rest.append(Test(what, Op.LT if self._signed else Op.LTU, (self.below,), index, mask))
        if len(self.not_whole) == 1:
            rest.append(Test(what, Op.NE, tuple(self.not_whole), index, mask))
        elif self.not_whole:
            rest.append(Test(what, Op.NOTINSET, tuple(self.not_whole), index, mask))
        if rest:
            found.append(tuple(rest))
        return tuple(found) or ALL
