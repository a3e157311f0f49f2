"""Conditions: `key`, `operator`, `value`, in `any` and `all` blocks or as the old plain list; preconditions and deny rules.

Keys and values are filled in one condition after the other, so that a variable behind a decided block is never asked for.
Source: kyverno/kyverno pkg/engine/variables/evaluate.go and operator/*.go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.dialects.kyverno.templates import compile_template, compile_text
from fairlead.judge import patterns, patterns_words
from fairlead.judge.patterns_words import duration_of, quantity_of
from fairlead.tongues import durations, globs
from fairlead.tongues.jmespath import equal, sprint

Test: TypeAlias = Callable[[Any, Any], bool]

_Check: TypeAlias = Callable[[Context], tuple[bool, str]]

_HELD, _NOT_HELD = (True, ""), (False, "")


class _Condition(NamedTuple):
    """One condition: whether it holds, and what is told of it, if it has a message."""

    holds: Callable[[Context], bool]
    message: Callable[[Context], str] | None


class BadCondition(ValueError):
    """The document is no condition; the message says why."""


class Conditions:
    """Compiled conditions. Called with a Context they say whether they hold; `explain` gives the conditions' messages too."""

    __slots__ = ("_blocks",)

    def __init__(self, blocks: Sequence[_Check]) -> None:
        self._blocks = blocks

    def __bool__(self) -> bool:
        """Whether there is anything to check."""
        return bool(self._blocks)

    def __call__(self, context: Context) -> bool:
        """Return whether all blocks hold. Raises Unresolved, Lacking."""
        for block in self._blocks:  # noqa: SIM110  a generator would cost more than most blocks
            if not block(context)[0]:
                return False
        return True

    def explain(self, context: Context) -> tuple[bool, str]:
        """Return whether all blocks hold, and the messages of the conditions that decided it, joined by `; `."""
        if len(self._blocks) == 1:
            return self._blocks[0](context)
        messages: list[str] = []
        for block in self._blocks:
            held, message = block(context)
            if not held:
                return False, message
            if message:
                messages.append(message)
        return True, "; ".join(messages)


def compile_conditions(document: Any) -> Conditions:
    """Return the compiled conditions: a mapping with `any` and `all`, a list of those, or a list of conditions.

    Nothing, or an empty document, always holds. Raises BadCondition.
    """
    if not document:
        return Conditions(())
    if isinstance(document, Mapping):
        return Conditions([_block(document)])
    if not isinstance(document, list) or not all(isinstance(one, Mapping) for one in document):
        raise BadCondition("invalid conditions: expected a mapping with any or all, or a list of conditions")
    blocks = [_block(one) if "any" in one or "all" in one else _block({"all": [one]}) for one in document]
    return Conditions(blocks)


def _block(document: Mapping[str, Any]) -> _Check:
    unknown = set(document) - {"any", "all"}
    if unknown:
        raise BadCondition(f"invalid conditions: unknown field {min(map(str, unknown))}")
    any_of, all_of = (document.get(name) for name in ("any", "all"))
    anys = None if any_of is None else [_condition(one) for one in _listed(any_of)]
    alls = [_condition(one) for one in _listed(all_of or [])]
    if not any(one.message for one in (*(anys or ()), *alls)):
        return _silent_block(anys, alls)
    return _telling_block(anys, alls)


def _silent_block(anys: Sequence[_Condition] | None, alls: Sequence[_Condition]) -> _Check:
    """Compile a block whose conditions have no messages: the usual case, for which nothing is collected."""
    any_holds = None if anys is None else [one.holds for one in anys]
    all_hold = [one.holds for one in alls]

    def run(context: Context) -> tuple[bool, str]:
        if any_holds is not None:
            for holds in any_holds:
                if holds(context):
                    break
            else:
                return _NOT_HELD
        for holds in all_hold:
            if not holds(context):
                return _NOT_HELD
        return _HELD

    return run


def _telling_block(anys: Sequence[_Condition] | None, alls: Sequence[_Condition]) -> _Check:
    def told(one: _Condition, context: Context) -> tuple[bool, str]:
        return one.holds(context), "" if one.message is None else one.message(context)

    def run(context: Context) -> tuple[bool, str]:
        true: list[str] = []
        false: list[str] = []
        held = True
        if anys is not None:
            held = False
            for one in anys:
                passed, message = told(one, context)
                if passed:
                    held = True
                    if message:
                        true.append(message)
                    break
                if message:
                    false.append(message)
        if held:
            for one in alls:
                passed, message = told(one, context)
                if not passed:
                    held = False
                    if message:
                        false.append(message)
                    break
                if message:
                    true.append(message)
        return held, "; ".join(true if held else false)

    return run


def _listed(document: Any) -> list[Mapping[str, Any]]:
    if not isinstance(document, list) or not all(isinstance(one, Mapping) for one in document):
        raise BadCondition("invalid conditions: any and all must be lists of conditions")
    return document


def _condition(document: Mapping[str, Any]) -> _Condition:
    unknown = set(document) - {"key", "operator", "value", "message"}
    if unknown:
        raise BadCondition(f"invalid condition: unknown field {min(map(str, unknown))}")
    operator = document.get("operator")
    test = _OPERATORS.get(str(operator).lower())
    if test is None:
        raise BadCondition(f"entered value of `operator` is invalid: {operator}")
    key, value = compile_template(document.get("key")), compile_template(document.get("value"))
    text = document.get("message")
    fill = compile_text(str(text)) if text else None

    def holds(context: Context) -> bool:
        part = "key"
        try:
            left = key(context)
            part = "value"
            right = value(context)
        except Unresolved as error:
            raise Unresolved(f"failed to substitute variables in condition {part}: {error}") from None
        return test(left, right)

    if fill is None:
        return _Condition(holds, None)

    def message(context: Context) -> str:
        try:
            return fill(context)
        except Unresolved:
            return str(text)

    return _Condition(holds, message)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _duration(value: Any) -> int | None:
    return duration_of(value) if isinstance(value, str) and value != "0" else None


def _durations(key: Any, value: Any) -> tuple[int, int] | None:
    """Return both as nanoseconds when one of them is a duration and the other one too, or a number of seconds."""
    left, right = _duration(key), _duration(value)
    if left is None and right is None:
        return None
    if left is None:
        if not _number(key):
            return None
        left = int(key) * durations.SECOND
    if right is None:
        if not _number(value):
            return None
        right = int(value) * durations.SECOND
    return left, right


def _float(text: str) -> float | None:
    try:
        return float(text) if "_" not in text and text == text.strip() else None
    except ValueError:
        return None


def _equals(key: Any, value: Any) -> bool:
    if isinstance(key, bool):
        return isinstance(value, bool) and key == value
    if _number(key):
        return _number_equals(key, value)
    if isinstance(key, str):
        return _text_equals(key, value)
    if isinstance(key, dict | list):
        return equal(key, value)
    return False


def _number_equals(key: float, value: Any) -> bool:
    if _number(value):
        return bool(key == value)
    if isinstance(value, str):
        pair = _durations(key, value)
        if pair is not None:
            return pair[0] == pair[1]
        return _float(value) == key
    return False


def _text_equals(key: str, value: Any) -> bool:
    pair = _durations(key, value)
    if pair is not None:
        return pair[0] == pair[1]
    if not isinstance(value, str):
        return False
    amount = quantity_of(key)
    if amount is not None:
        other = quantity_of(value)
        if other is not None:
            return bool(amount == other)
    return globs.matches(value, key)


def _not_equals(key: Any, value: Any) -> bool:
    return key is not None and not _equals(key, value)


def _listed_texts(value: str) -> list[str] | None:
    """Return the texts of a JSON list of texts, or the text alone where it is no JSON. None for any other JSON."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return [value]
    if found is None:
        return []
    return found if isinstance(found, list) and all(isinstance(item, str) for item in found) else None


def _among(key: str, options: Sequence[str]) -> bool:
    """Return whether a key is one of the options; both may have wildcards."""
    if key in options:
        return True
    if globs.has_wildcard(key):
        fits = globs.compile(key)
        if any(map(fits, options)):
            return True
    return any(("*" in one or "?" in one) and globs.matches(one, key) for one in options)


def _is_range(value: str) -> bool:
    return patterns_words.operator_of(value) in {"-", "!-"}


def _one_found(key: str, value: Any) -> bool | None:
    """Return whether a key is among the values, None when the values are of no use."""
    if isinstance(value, list):
        return _among(key, _texts(value))
    if not isinstance(value, str):
        return None
    if globs.matches(value, key):
        return True
    if _is_range(value):
        return patterns.matches(key, value)
    options = _listed_texts(value)
    return None if options is None else key in options


def _each_found(keys: list[str], value: Any) -> list[bool] | None:
    """Return for each key whether it is among the values, None when the values are of no use."""
    if isinstance(value, list):
        options: list[str] | None = _texts(value)
    elif _number(value):
        options = [sprint(value)]
    elif not isinstance(value, str):
        return None
    elif keys == [value]:
        return [True]
    elif _is_range(value):
        return [patterns.matches(key, value) for key in keys]
    else:
        options = _listed_texts(value)
    if options is None:
        return None
    return [_among(key, options) for key in keys]


def _texts(values: list[Any]) -> list[str]:
    return [one if one.__class__ is str else sprint(one) for one in values]


def _membership(wanted: Callable[[list[bool]], bool]) -> Test:
    """Make a test from what must hold of each key's being among the values."""

    def test(key: Any, value: Any) -> bool:
        if isinstance(key, list):
            found = _each_found(_texts(key), value)
            return found is not None and wanted(found)
        if not isinstance(key, str | int | float):
            return False
        one = _one_found(key if key.__class__ is str else sprint(key), value)
        return one is not None and wanted([one])

    return test


def _not_all(found: list[bool]) -> bool:
    return not all(found)


def _none(found: list[bool]) -> bool:
    return not any(found)


def _ordered(compare: Callable[[Any, Any], bool]) -> Test:
    """Make a test of order: durations first, then quantities (both written as texts), numbers, and versions."""

    def test(key: Any, value: Any) -> bool:
        pair = _durations(key, value)
        if pair is not None:
            return compare(*pair)
        if isinstance(key, str) and isinstance(value, str):
            left, right = quantity_of(key), quantity_of(value)
            if left is not None and right is not None:
                return compare(left, right)
        number = _float(key) if isinstance(key, str) else key if _number(key) else None
        if number is not None:
            other = _float(value) if isinstance(value, str) else value if _number(value) else None
            return other is not None and compare(number, other)
        return isinstance(key, str) and _compare_versions(key, value, compare)

    return test


def _compare_versions(key: str, value: Any, compare: Callable[[Any, Any], bool]) -> bool:
    from fairlead.tongues.jmespath import versions

    if not isinstance(value, str):
        return False
    try:
        return compare(versions.parse(key), versions.parse(value))
    except ValueError:
        return False


def _lasting(compare: Callable[[Any, Any], bool]) -> Test:
    """Make a test of two durations, where numbers are seconds."""

    def nanoseconds(value: Any) -> int | None:
        if _number(value):
            return int(value) * durations.SECOND
        try:
            return durations.parse(value) if isinstance(value, str) else None
        except ValueError:
            return None

    def test(key: Any, value: Any) -> bool:
        left, right = nanoseconds(key), nanoseconds(value)
        return left is not None and right is not None and compare(left, right)

    return test


_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "greaterthanorequals": lambda a, b: a >= b,
    "greaterthan": lambda a, b: a > b,
    "lessthanorequals": lambda a, b: a <= b,
    "lessthan": lambda a, b: a < b,
}

_OPERATORS: Mapping[str, Test] = {
    "equal": _equals,
    "equals": _equals,
    "notequal": _not_equals,
    "notequals": _not_equals,
    "in": _membership(all),
    "anyin": _membership(any),
    "allin": _membership(all),
    "notin": _membership(_not_all),
    "anynotin": _membership(_not_all),
    "allnotin": _membership(_none),
    **{name: _ordered(compare) for name, compare in _ORDER.items()},
    **{f"duration{name}": _lasting(compare) for name, compare in _ORDER.items()},
}
