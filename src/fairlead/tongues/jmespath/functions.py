"""The functions of the JMESPath specification.

Arguments have the types that the table says, null where something is missing. Nothing is changed in place.
Source: jmespath.org/specification.html, built-in functions; Kyverno's go-jmespath where that says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fairlead.tongues.jmespath.kinds import Failed, Function, Moment
from fairlead.tongues.jmespath.rendering import kind_of, to_json

LONGEST = 1 << 24
"""How long a text may become."""


def _avg(_: Moment, values: list[float]) -> Any:
    return whole(sum(values) / len(values)) if values else None


def _contains(_: Moment, where: Any, what: Any) -> bool:
    if isinstance(where, str):
        return isinstance(what, str) and what in where
    return any(item == what and kind_of(item) == kind_of(what) for item in where)


def _join(moment: Moment, between: str, texts: list[str]) -> str:
    moment.spend(len(texts))
    if sum(map(len, texts)) + len(between) * len(texts) > LONGEST:
        raise Failed("the text would be too long")
    return between.join(texts)


def _merge(_: Moment, *objects: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for one in objects:
        merged.update(one)
    return merged


def _max(_: Moment, values: list[Any]) -> Any:
    return max(values) if values else None


def _min(_: Moment, values: list[Any]) -> Any:
    return min(values) if values else None


def _keyed(values: list[Any], key: Callable[[Any], Any]) -> list[tuple[Any, Any]]:
    """Return each value after its key; the keys are all numbers or all texts. Raises Failed."""
    pairs = [(key(value), value) for value in values]
    kinds = {kind_of(one) for one, _ in pairs}
    if kinds not in ({"number"}, {"string"}) and pairs:
        found = next(one for one, _ in pairs if kind_of(one) not in {"number", "string"} or len(kinds) > 1)
        raise Failed(f"invalid type, must be number or string: {to_json(found)}")
    return pairs


def _max_by(_: Moment, values: list[Any], key: Callable[[Any], Any]) -> Any:
    return max(_keyed(values, key), key=_first)[1] if values else None


def _min_by(_: Moment, values: list[Any], key: Callable[[Any], Any]) -> Any:
    return min(_keyed(values, key), key=_first)[1] if values else None


def _sort_by(_: Moment, values: list[Any], key: Callable[[Any], Any]) -> list[Any]:
    return [value for _, value in sorted(_keyed(values, key), key=_first)]


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


def _not_null(_: Moment, *values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _reverse(_: Moment, value: Sequence[Any]) -> Any:
    return value[::-1]


def _to_array(_: Moment, value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _to_number(_: Moment, value: Any) -> Any:
    if isinstance(value, str):
        return number_of(value)
    return value if kind_of(value) == "number" else None


def _to_string(_: Moment, value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)


def number_of(text: str) -> int | float | None:
    """Return the number that the text writes, or None when it is none."""
    if not text.strip() or text != text.strip() or "_" in text or len(text) > 4000:
        return None
    try:
        return whole(float(text)) if not text.lstrip("+-").isdigit() else int(text)
    except (ValueError, OverflowError):
        return None


def whole(value: float) -> int | float:
    """Return a whole number as an integer, another one as it is: JSON has one type of number."""
    return int(value) if float(value).is_integer() else value


_ANY = ("any",)
_NUMBER = ("number",)
_STRING = ("string",)
_ARRAY = ("array",)
_OBJECT = ("object",)
_EXPREF = ("expref",)
_SORTABLE = ("array[number]", "array[string]")

_TABLE: tuple[Function, ...] = (
    Function("abs", (_NUMBER,), lambda _, value: abs(value)),
    Function("avg", (("array[number]",),), _avg),
    Function("ceil", (_NUMBER,), lambda _, value: math.ceil(value)),
    Function("contains", (("array", "string"), _ANY), _contains),
    Function("ends_with", (_STRING, _STRING), lambda _, text, end: text.endswith(end)),
    Function("floor", (_NUMBER,), lambda _, value: math.floor(value)),
    Function("join", (_STRING, ("array[string]",)), _join),
    Function("keys", (_OBJECT,), lambda _, value: list(value)),
    Function("length", (("string", "array", "object"),), lambda _, value: len(value)),
    Function("map", (_EXPREF, _ARRAY), lambda _, what, values: [what(value) for value in values]),
    Function("max", (_SORTABLE,), _max),
    Function("max_by", (_ARRAY, _EXPREF), _max_by),
    Function("merge", (_OBJECT,), _merge, more=True),
    Function("min", (_SORTABLE,), _min),
    Function("min_by", (_ARRAY, _EXPREF), _min_by),
    Function("not_null", (_ANY,), _not_null, more=True),
    Function("reverse", (("array", "string"),), _reverse),
    Function("sort", (_SORTABLE,), lambda _, values: sorted(values)),
    Function("sort_by", (_ARRAY, _EXPREF), _sort_by),
    Function("starts_with", (_STRING, _STRING), lambda _, text, start: text.startswith(start)),
    Function("sum", (("array[number]",),), lambda _, values: sum(values)),
    Function("to_array", (_ANY,), _to_array),
    Function("to_number", (_ANY,), _to_number),
    Function("to_string", (_ANY,), _to_string),
    Function("type", (_ANY,), lambda _, value: kind_of(value)),
    Function("values", (_OBJECT,), lambda _, value: list(value.values())),
)

STANDARD: Mapping[str, Function] = {function.name: function for function in _TABLE}
"""The specification's functions by name."""
