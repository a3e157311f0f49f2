"""Kyverno's patterns: documents shaped like the objects they want, with anchors, wildcards, operators and ranges.

`compile` turns a pattern into a function that gives None for an object that matches, or a Mismatch that knows where and why.
The pattern has no variables left; an object is only read.

| anchor | on a key means |
| --- | --- |
| `(key)` | if the value matches, the rest must; else the element is skipped |
| `<(key)` | as above, but for the whole object |
| `=(key)` | if the key is there, its value must match |
| `^(key)` | of the list, at least one element must match each pattern |
| `X(key)` | the key must not be there |

A failing pattern of which an anchored key was nowhere in the object is an error rather than a fail, as in Kyverno.
Source: kyverno/kyverno pkg/engine/validate, pkg/engine/anchor, pkg/engine/pattern, pkg/engine/wildcards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from fairlead.judge.patterns_words import (
    ANY,
    CONDITION,
    EQUALITY,
    EXISTENCE,
    FIRST,
    GLOBAL,
    NEGATION,
    NOT_RANGE,
    RANGE,
    TRACKED,
    anchor_of,
    duration_of,
    operator_of,
    plain_value,
    quantity_of,
    show,
    sketch,
)
from fairlead.tongues import globs
from fairlead.tongues.paths import Path

Kind: TypeAlias = Literal["fail", "skip", "negation"]

_DEEPEST = 200
_MOST_PARTS = 100_000


class Mismatch:
    """Where an object differs from a pattern. `kind` is `skip` when an anchor says that the pattern is not about the object.

    `wanted` says what would pass there; `remedy` holds one value that would, or nothing where none is known for sure.
    """

    __slots__ = ("_causes", "_prefix", "_steps", "_text", "error", "kind", "remedy", "wanted")

    def __init__(
        self,
        text: str,
        wanted: str = "",
        kind: Kind = "fail",
        steps: Iterable[str | int] = (),
        remedy: tuple[Any, ...] = (),
    ) -> None:
        self.kind: Kind = kind
        self.wanted = wanted
        self.remedy = remedy
        self.error = False
        self._text = text
        self._steps = list(steps)
        self._prefix = ""
        self._causes: list[Mismatch] = []

    def under(self, step: str | int) -> Mismatch:
        """Note that all this lies under a key or an index, and return itself."""
        self._steps.append(step)
        return self

    def behind(self, prefix: str, kind: Kind) -> Mismatch:
        """Note that an anchor turns this into something else, and return itself."""
        self._prefix = f"{prefix}{self._prefix}"
        self.kind = kind
        return self

    @property
    def path(self) -> Path:
        """The place in the object."""
        return tuple(reversed(self._steps))

    @property
    def pointer(self) -> str:
        """The place as Kyverno writes it: `/spec/containers/0/image/`. Empty when the pattern is in error."""
        return "" if self.error else _pointer(self.path)

    def message(self, above: Path = ()) -> str:
        """Return what is wrong, in Kyverno's words."""
        here = (*above, *self.path)
        if self._causes:
            return self._prefix + "; ".join(cause.message(here) for cause in self._causes)
        return self._prefix + self._text.replace("\0", _pointer(here))

    @classmethod
    def all_skipped(cls, causes: list[Mismatch]) -> Mismatch:
        """Return the Mismatch of a list all of whose elements were skipped."""
        made = cls("", "", "skip")
        made._causes = causes
        return made


Match: TypeAlias = Callable[[Any], "Mismatch | None"]
"""Compare an object with the pattern. None: it matches."""

_Seen: TypeAlias = "dict[str, bool] | None"
_Node: TypeAlias = Callable[[Any, _Seen], "Mismatch | None"]
_Leaf: TypeAlias = Callable[[Any], bool]


class BadPattern(ValueError):
    """The document cannot be a pattern; the message says why."""


def compile(pattern: Any) -> Match:  # noqa: A001  as in the standard library
    """Return the function that compares an object with the pattern. Raises BadPattern."""
    _refuse_depth(pattern)
    node = _node(pattern, expand=False)
    tracked = _has_anchor(pattern, TRACKED)

    def match(value: Any) -> Mismatch | None:
        found = node(value, None)
        if found is not None and tracked and found.kind == "fail":
            seen: dict[str, bool] = {}
            found = node(value, seen)
            assert found is not None  # the same comparison again
            found.error = not all(seen.values())
        return found

    return match


def matches(value: Any, pattern: Any) -> bool:
    """Return whether a plain value (no list or object pattern) matches: `10`, `!*:latest`, `>= 1Gi | 0`, `10-20`."""
    return _leaf(pattern)(value)


def _refuse_depth(pattern: Any) -> None:
    level = [pattern]
    parts = 0
    for _ in range(_DEEPEST):
        deeper: list[Any] = []
        for one in level:
            if isinstance(one, Mapping | list):
                deeper += one.values() if isinstance(one, Mapping) else one
                if len(deeper) + parts > _MOST_PARTS:
                    raise BadPattern("the pattern is too large")
        if not deeper:
            return
        parts += len(deeper)
        level = deeper
    raise BadPattern("the pattern is nested too deeply")


def _pointer(path: Path) -> str:
    return "/" + "".join(f"{step}/" for step in path)


def _has_anchor(pattern: Any, kinds: frozenset[str | None]) -> bool:
    if isinstance(pattern, Mapping):
        return any(anchor_of(key)[0] in kinds or _has_anchor(value, kinds) for key, value in pattern.items())
    return isinstance(pattern, list) and any(_has_anchor(item, kinds) for item in pattern)


def _node(pattern: Any, *, expand: bool) -> _Node:
    """Compile any part of a pattern; `expand` says that keys may have wildcards (labels and annotations)."""
    if isinstance(pattern, Mapping):
        return _map(pattern, expand=expand)
    if isinstance(pattern, list):
        return _list(pattern)
    return _value(pattern)


def _value(pattern: Any) -> _Node:
    leaf = _leaf(pattern)
    shown = show(pattern)
    remedy = plain_value(pattern)
    wanted = shown if remedy else f"a value that matches '{shown}'" if pattern is not None else "no value"

    def node(value: Any, _: _Seen) -> Mismatch | None:
        if value.__class__ is list:
            if all(map(leaf, value)):
                return None
        elif leaf(value):
            return None
        return Mismatch(
            f"resource value '{show(value)}' does not match '{shown}' at path \0", wanted, remedy=remedy
        )

    return node


def _list(pattern: list[Any]) -> _Node:
    if not pattern:
        return lambda _value, _seen: Mismatch("pattern Array empty")
    first = pattern[0]
    if isinstance(first, Mapping):
        inner = _each(_node(first, expand=False))
    elif isinstance(first, list):
        inner = _by_index([_node(item, expand=False) for item in pattern])
    else:
        inner = _value(first)

    def node(value: Any, seen: _Seen) -> Mismatch | None:
        if value.__class__ is not list:
            return Mismatch(
                "validation rule failed at path \0, resource does not satisfy the expected overlay pattern",
                "a list",
            )
        return inner(value, seen)

    return node


def _each(inner: _Node) -> _Node:
    """Compare every element; those that an anchor skips do not count, unless it skips all of them."""

    def node(value: Any, seen: _Seen) -> Mismatch | None:
        skipped: list[Mismatch] = []
        applied = False
        for index, item in enumerate(value):
            found = inner(item, seen)
            if found is None:
                applied = True
            elif found.kind == "skip":
                skipped.append(found.under(index))
            else:
                return found.under(index)
        return Mismatch.all_skipped(skipped) if skipped and not applied else None

    return node


def _by_index(nodes: Sequence[_Node]) -> _Node:
    def node(value: Any, seen: _Seen) -> Mismatch | None:
        if len(value) < len(nodes):
            return Mismatch(
                f"validate Array failed, array length mismatch, resource Array len is {len(value)} "
                f"and pattern Array len is {len(nodes)}"
            )
        skipped: list[Mismatch] = []
        for index, (inner, item) in enumerate(zip(nodes, value, strict=False)):
            found = inner(item, seen)
            if found is not None:
                if found.kind != "skip":
                    return found.under(index)
                skipped.append(found.under(index))
        return Mismatch.all_skipped(skipped) if len(skipped) == len(nodes) else None

    return node


_Entry: TypeAlias = "Callable[[Mapping[str, Any], _Seen], Mismatch | None]"


def _map(pattern: Mapping[str, Any], *, expand: bool) -> _Node:
    first: list[str] = []
    nested: list[str] = []
    plain: list[str] = []
    for key in sorted(pattern, key=str):
        anchor, _ = anchor_of(key)
        if anchor in FIRST:
            first.append(key)
        elif anchor == GLOBAL or _has_anchor(pattern[key], ANY):
            nested.insert(0, key)
        else:
            plain.append(key)
    entries = tuple(_entry(key, pattern[key], expand=expand) for key in (*first, *nested, *plain))
    tracked = [(key, bare) for key in first for anchor, bare in (anchor_of(key),) if anchor in TRACKED]
    remedy = plain_value(pattern)
    wanted = sketch(pattern)

    def node(value: Any, seen: _Seen) -> Mismatch | None:
        if not isinstance(value, dict):
            return Mismatch(
                "pattern and resource have different structures. Path: \0. "
                f"Expected map[string]interface {{}}, found {_go_type(value)}",
                wanted,
                remedy=remedy if value is None else (),
            )
        if seen is not None:
            for key, bare in tracked:
                seen[key] = seen.get(key, False) or bare in value
        for entry in entries:
            found = entry(value, seen)
            if found is not None:
                return found
        return None

    return node


def _entry(key: str, pattern: Any, *, expand: bool) -> _Entry:
    anchor, bare = anchor_of(key)
    if anchor == "+":  # adds in mutations; means nothing here, so that it is a key as any other
        anchor, bare = None, key
    if anchor == EXISTENCE:
        handle = _existence(pattern)
    else:
        below = bare in {"labels", "annotations"} if expand else bare == "metadata"
        inner = _node(pattern, expand=below)
        if anchor is None and pattern != "*" and not (expand and globs.has_wildcard(bare)):
            return _plain(bare, inner)
        handle = _anchored(anchor, inner, pattern)
    if expand and globs.has_wildcard(bare):
        fits = globs.compile(bare)
        return lambda here, seen: handle(next((name for name in here if fits(name)), bare), here, seen)
    return lambda here, seen: handle(bare, here, seen)


def _plain(key: str, inner: _Node) -> _Entry:
    def entry(here: Mapping[str, Any], seen: _Seen) -> Mismatch | None:
        found = inner(here.get(key), seen)
        return None if found is None else found.under(key)

    return entry


_Handler: TypeAlias = "Callable[[str, Mapping[str, Any], _Seen], Mismatch | None]"


def _anchored(anchor: str | None, inner: _Node, pattern: Any) -> _Handler:
    def plain(key: str, here: Mapping[str, Any], seen: _Seen) -> Mismatch | None:
        found = inner(here.get(key), seen)
        return None if found is None else found.under(key)

    def anything(key: str, here: Mapping[str, Any], _: _Seen) -> Mismatch | None:
        return None if here.get(key) is not None else Mismatch(f"\0/{key} not found", f"a value for {key}")

    def equality(key: str, here: Mapping[str, Any], seen: _Seen) -> Mismatch | None:
        if key not in here:
            return None
        return plain(key, here, seen)

    def negation(key: str, here: Mapping[str, Any], _: _Seen) -> Mismatch | None:
        if key not in here:
            return None
        text = "negation anchor matched in resource: \0 is not allowed"
        return Mismatch(text, f"no {key}", "negation", [key])

    def condition(key: str, here: Mapping[str, Any], seen: _Seen) -> Mismatch | None:
        if key not in here:
            text = "conditional anchor mismatch: conditional anchor key doesn't exist in the resource"
            return Mismatch(text, "", "skip", [key])
        found = plain(key, here, seen)
        return None if found is None else found.behind("conditional anchor mismatch: ", "skip")

    def everywhere(key: str, here: Mapping[str, Any], seen: _Seen) -> Mismatch | None:
        if key not in here:
            return None
        found = plain(key, here, seen)
        return None if found is None else found.behind("global anchor mismatch: ", "skip")

    if anchor is None:
        return anything if pattern == "*" else plain
    handlers: dict[str, _Handler] = {
        CONDITION: condition,
        EQUALITY: equality,
        NEGATION: negation,
        GLOBAL: everywhere,
    }
    return handlers[anchor]


def _existence(pattern: Any) -> _Handler:
    complaint = ""
    nodes: list[_Node] = []
    if not isinstance(pattern, list):
        complaint = (
            f"invalid pattern type {_go_type(pattern)}: Pattern has to be of list to compare against resource"
        )
    elif not all(isinstance(item, Mapping) for item in pattern):
        complaint = f"invalid pattern type {_go_type(pattern)}: Pattern has to be of type map to compare against items in resource"
    else:
        nodes = [_node(item, expand=False) for item in pattern]

    def handle(key: str, here: Mapping[str, Any], seen: _Seen) -> Mismatch | None:
        if key not in here:
            return None
        value = here[key]
        if value.__class__ is not list:
            text = f"invalid resource type {_go_type(value)}: Existence ^ () anchor can be used only on list/array type resource"
            return Mismatch(text, "a list", steps=[key])
        if complaint:
            return Mismatch(complaint, steps=[key])
        for node in nodes:
            if not any(node(item, seen) is None for item in value):
                text = "existence anchor validation failed at path \0"
                return Mismatch(text, f"at least one element of {key} as the pattern has it", steps=[key])
        return None

    return handle


def _leaf(pattern: Any) -> _Leaf:
    if isinstance(pattern, bool):
        return lambda value: value is pattern
    if isinstance(pattern, int | float):
        return _number_leaf(pattern)
    if pattern is None:
        return _is_nothing
    if isinstance(pattern, str):
        return _text_leaf(pattern)
    if isinstance(pattern, Mapping):
        return lambda value: isinstance(value, dict)
    return lambda _: False


def _is_nothing(value: Any) -> bool:
    return (
        value is None or value is False or value == "" or (not isinstance(value, dict | list) and value == 0)
    )


def _number_leaf(pattern: float) -> _Leaf:
    whole = isinstance(pattern, int)

    def leaf(value: Any) -> bool:
        if isinstance(value, str):
            try:
                return bool((int(value) if whole else float(value)) == pattern) and "_" not in value
            except ValueError:
                return False
        return isinstance(value, int | float) and not isinstance(value, bool) and bool(value == pattern)

    return leaf


@lru_cache(maxsize=4096)
def _text_leaf(pattern: str) -> _Leaf:
    """Compile `a | b & c`: any of the parts between bars, each of which is all of its parts between ampersands."""
    ways = [[_one(part.strip(" ")) for part in way.strip(" ").split("&")] for way in pattern.split("|")]
    if len(ways) == 1 and len(ways[0]) == 1:
        only = ways[0][0]
        return lambda value: value == pattern or only(value)
    return lambda value: value == pattern or any(all(one(value) for one in way) for way in ways)


def _one(pattern: str) -> _Leaf:
    operator = operator_of(pattern)
    if operator in {"-", "!-"}:
        found = (RANGE if operator == "-" else NOT_RANGE).match(pattern)
        assert found is not None  # that is how the operator was found
        if operator == "-":
            least, most = _compared(found[1], ">="), _compared(found[2], "<=")
            return lambda value: least(value) and most(value)
        below, above = _compared(found[1], "<"), _compared(found[2], ">")
        return lambda value: below(value) or above(value)
    return _compared(pattern[len(operator) :].strip(), operator)


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "": lambda a, b: bool(a == b),
    "!": lambda a, b: bool(a != b),
    ">": lambda a, b: bool(a > b),
    "<": lambda a, b: bool(a < b),
    ">=": lambda a, b: bool(a >= b),
    "<=": lambda a, b: bool(a <= b),
}


def _compared(pattern: str, operator: str) -> _Leaf:
    """Compare as durations if both are, else as quantities if both are, else as texts with wildcards."""
    compare = _COMPARE[operator]
    lasting, amount = duration_of(pattern), quantity_of(pattern)
    fits = _texts(pattern, operator)
    if lasting is None and amount is None:
        return fits

    def leaf(value: Any) -> bool:
        text = _as_number(value)
        if text is not None:
            if lasting is not None:
                other = duration_of(text)
                if other is not None:
                    return compare(other, lasting)
            if amount is not None:
                number = quantity_of(text)
                if number is not None:
                    return compare(number, amount)
        return fits(value)

    return leaf


def _texts(pattern: str, operator: str) -> _Leaf:
    if operator not in {"", "!"}:
        return lambda _: False
    fits = globs.compile(pattern)
    wanted = not operator

    def leaf(value: Any) -> bool:
        if value.__class__ is str:
            return fits(value) is wanted
        text = _as_text(value)
        return text is not None and fits(text) is wanted

    return leaf


def _as_number(value: Any) -> str | None:
    """Return the text in which a value is compared as a number; nothing counts as 0."""
    if value.__class__ is str:
        return str(value)
    if value is None:
        return "0"
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    return f"{value:f}" if isinstance(value, float) else None


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    return _scientific(value) if isinstance(value, float) else None


def _scientific(value: float) -> str:
    """Return the number as Go's strconv writes it with the format 'E'."""
    digits, _, exponent = f"{value!r}".lower().partition("e")
    whole, _, fraction = digits.lstrip("-").partition(".")
    significant = (whole + fraction.rstrip("0")).lstrip("0") or "0"
    shift = int(exponent or 0) + (
        len(whole) - 1 if whole.strip("0") else -len(fraction) + len(fraction.lstrip("0")) - 1
    )
    if significant == "0":
        shift = 0
    rest = significant[1:].rstrip("0")
    sign = "-" if value < 0 else ""
    return f"{sign}{significant[0]}{'.' + rest if rest else ''}E{'-' if shift < 0 else '+'}{abs(shift):02}"


def _go_type(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64"
    if isinstance(value, float):
        return "float64"
    if isinstance(value, str):
        return "string"
    return "[]interface {}" if isinstance(value, list) else "map[string]interface {}"
