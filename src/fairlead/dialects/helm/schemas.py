"""values.schema.json: JSON Schema of drafts 4, 6, 7, 2019-09 and 2020-12 over values, with Helm's words for what does not fit.

References lead within the schema alone: one that leads elsewhere is a mistake of the schema, as nothing is fetched. Must never
change values. Source: json-schema.org; github.com/santhosh-tekuri/jsonschema/v6, which Helm uses.
"""

from __future__ import annotations

import json
import math
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from fairlead.dialects.helm.formats import FORMATS
from fairlead.tongues import regexes
from fairlead.tongues.gotemplate.printing import float_text, quoted

DEEPEST: Final = 100
MOST: Final = 500_000
"""How many times a schema may be looked at for one set of values."""


class BadSchema(Exception):
    """The schema itself is wrong."""


@dataclass(slots=True)
class Fault:
    """Something that does not fit: where in the values (their names in order), what, and what led to it."""

    place: tuple[str, ...]
    message: str
    causes: list[Fault] = field(default_factory=list)
    sort: str = ""
    """`group`: several faults of one value; `ref`: those of a schema that is referred to."""

    def lines(self, depth: int = 0) -> Iterator[str]:
        """The fault and its causes, one a line, as Helm prints them."""
        hidden = self.sort == "ref" and len(self.causes) == 1
        if not hidden:
            yield f"{'  ' * depth}- at {_quote(_pointer(self.place))}: {self.message}"
        for cause in self.causes:
            yield from cause.lines(depth + (not hidden))


def check(schema: bytes, values: Any) -> list[Fault]:
    """Return what in the values does not fit the schema. Raises BadSchema."""
    try:
        document = json.loads(schema.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as fault:
        raise BadSchema(str(fault)) from None
    if not isinstance(document, dict | bool):
        raise BadSchema("a schema is an object or a boolean")
    checking = _Checking(document)
    try:
        found = checking.validate(document, values, (), 0)[0]
    except regexes.BadPattern as fault:
        raise BadSchema(f"a pattern is wrong: {fault}") from None
    except (RecursionError, TypeError, ValueError, AttributeError) as fault:
        raise BadSchema(f"unable to validate schema: {fault}") from None
    return (
        found.causes if found is not None and found.sort == "group" else [found] if found is not None else []
    )


def _quote(text: str) -> str:
    return "'" + quoted(text)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _pointer(place: tuple[str, ...]) -> str:
    return "".join(f"/{name.replace('~', '~0').replace('/', '~1')}" for name in place)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, list | dict):
        return "value"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return str(value).lower()
    return float_text(value) if isinstance(value, float) else str(value)


def _number(value: Any) -> str:
    """A number as messages have it, in groups of three digits."""
    number = float(value)
    if number.is_integer() and abs(number) < 1e15:
        return f"{int(number):,}"
    whole, point, part = float_text(number, "f").partition(".")
    return f"{int(whole):,}{point}{part}" if abs(number) >= 1 else f"{whole}{point}{part}"


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _is_type(value: Any, wanted: str) -> bool:
    sort = _type(value)
    if wanted == "integer":
        return sort == "number" and not math.isinf(value) and float(value).is_integer()
    return sort == wanted


def _equal(left: Any, right: Any) -> bool:
    if _type(left) != _type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_equal(value, right[key]) for key, value in left.items())
    return bool(left == right)


Seen = tuple[set[str], set[int]]
"""The properties and items that some keyword has looked at."""


class _Checking:
    def __init__(self, document: Any) -> None:
        self._root = document
        self._looks = 0
        self._anchors: dict[str, Any] = {}
        named = document.get("$schema", "") if isinstance(document, dict) else ""
        drafts = (("draft-04", 4), ("draft-06", 6), ("draft-07", 7), ("2019-09", 2019))
        self._draft = next((draft for part, draft in drafts if part in str(named)), 2020)
        self._index(document, 0)

    def _index(self, schema: Any, depth: int) -> None:
        """Note what has a name of its own."""
        if depth > DEEPEST:
            raise BadSchema(f"nested more than {DEEPEST} levels deep")
        if isinstance(schema, dict):
            for key in ("$id", "id", "$anchor", "$dynamicAnchor"):
                name = schema.get(key)
                if isinstance(name, str):
                    self._anchors.setdefault(name if key.endswith("d") else f"#{name}", schema)
            for value in schema.values():
                self._index(value, depth + 1)
        elif isinstance(schema, list):
            for value in schema:
                self._index(value, depth + 1)

    def _resolved(self, reference: str) -> Any:
        if reference in self._anchors:
            return self._anchors[reference]
        base, _, fragment = reference.partition("#")
        root: Any = self._root
        if base:
            root = self._anchors.get(base) or next(
                (found for name, found in self._anchors.items() if name.rpartition("/")[2] == base), None
            )
            if root is None:
                raise BadSchema(
                    f'"{reference}" leads out of the schema; only references within it are followed'
                )
        here = root
        for token in fragment.split("/")[1:] if fragment.startswith("/") else []:
            name = urllib.parse.unquote(token).replace("~1", "/").replace("~0", "~")
            if isinstance(here, dict) and name in here:
                here = here[name]
            elif isinstance(here, list) and name.isdigit() and int(name) < len(here):
                here = here[int(name)]
            else:
                raise BadSchema(f'"{reference}" leads to nothing in the schema')
        if fragment and not fragment.startswith("/"):
            raise BadSchema(f'"{reference}" leads to nothing in the schema')
        return here

    def validate(
        self, schema: Any, value: Any, place: tuple[str, ...], depth: int
    ) -> tuple[Fault | None, Seen]:
        """What does not fit, and which properties and items were looked at."""
        self._looks += 1
        if self._looks > MOST or depth > DEEPEST:
            raise BadSchema(
                "the schema is too deep or too large for these values, or refers to itself without end"
            )
        seen: Seen = (set(), set())
        if isinstance(schema, bool):
            return (None if schema else Fault(place, "false schema")), seen
        if not isinstance(schema, dict):
            raise BadSchema(f"{_pointer(place) or '/'}: a schema is an object or a boolean")
        early = self._early(schema, value, place)
        if early is not None:
            return early, seen
        faults: list[Fault] = []
        if "$ref" in schema and (self._draft < 2019 or isinstance(schema["$ref"], str)):
            fault = self._referred(schema["$ref"], value, place, depth, seen)
            if self._draft < 2019:
                return fault, seen
            faults += [fault] if fault is not None else []
        if isinstance(value, dict):
            self._object(schema, value, place, depth, faults, seen)
        elif isinstance(value, list):
            self._array(schema, value, place, depth, faults, seen)
        elif isinstance(value, str):
            self._text(schema, value, place, faults)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self._numbers(schema, value, place, faults)
        for keyword in ("$dynamicRef", "$recursiveRef"):
            if self._draft >= 2019 and isinstance(schema.get(keyword), str):
                fault = self._referred(schema[keyword], value, place, depth, seen)
                faults += [fault] if fault is not None else []
        self._conditions(schema, value, place, depth, faults, seen)
        if self._draft >= 2019:
            self._unevaluated(schema, value, place, depth, faults, seen)
        if len(faults) > 1:
            return Fault(place, "validation failed", faults, "group"), seen
        return (faults[0] if faults else None), seen

    def _early(self, schema: Mapping[str, Any], value: Any, place: tuple[str, ...]) -> Fault | None:
        """What ends the look at a value: its type, const, enum and format."""
        if self._draft < 2019 and "$ref" in schema:
            return None
        wanted = schema.get("type")
        if wanted:
            types = wanted if isinstance(wanted, list) else [wanted]
            if not any(_is_type(value, name) for name in types):
                order = [name for name in _TYPES if name in types]
                return Fault(place, f"got {_type(value)}, want {' or '.join(order)}")
        if "const" in schema and self._draft > 4 and not _equal(value, schema["const"]):
            constant = schema["const"]
            plain = not isinstance(constant, list | dict)
            return Fault(place, f"value must be {_shown(constant)}" if plain else "'const' failed")
        if "enum" in schema and not any(_equal(value, item) for item in schema["enum"]):
            items = schema["enum"]
            if any(isinstance(item, list | dict) for item in items):
                return Fault(place, "'enum' failed")
            one = "" if len(items) == 1 else "one of "
            return Fault(place, f"value must be {one}{', '.join(map(_shown, items))}")
        if self._draft < 2019 and isinstance(value, str) and schema.get("format") in FORMATS:
            wrong = FORMATS[schema["format"]](value)
            if wrong:
                return Fault(place, f"{_quote(value)} is not valid {schema['format']}: {wrong}")
        return None

    def _referred(
        self, reference: str, value: Any, place: tuple[str, ...], depth: int, seen: Seen
    ) -> Fault | None:
        fault, inner = self.validate(self._resolved(reference), value, place, depth + 1)
        if fault is None:
            _merge(seen, inner)
            return None
        causes = fault.causes if fault.sort == "group" else [fault]
        return Fault(place, "validation failed", causes, "ref")

    def _below(
        self, schema: Any, value: Any, place: tuple[str, ...], depth: int, faults: list[Fault]
    ) -> bool:
        """Check a value inside; tell whether it fits."""
        fault, _ = self.validate(schema, value, place, depth + 1)
        if fault is not None:
            faults.append(fault)
        return fault is None

    def _same(
        self, schema: Any, value: Any, place: tuple[str, ...], depth: int, seen: Seen, faults: list[Fault]
    ) -> None:
        """Check the same value by another schema."""
        fault, inner = self.validate(schema, value, place, depth + 1)
        if fault is None:
            _merge(seen, inner)
        else:
            faults.append(fault)

    def _object(
        self,
        schema: Mapping[str, Any],
        value: dict[str, Any],
        place: tuple[str, ...],
        depth: int,
        faults: list[Fault],
        seen: Seen,
    ) -> None:
        _sized(schema, "minProperties", "maxProperties", len(value), place, faults)
        missing = [
            name for name in schema.get("required") or [] if isinstance(name, str) and name not in value
        ]
        if missing:
            word = "property" if len(missing) == 1 else "properties"
            faults.append(Fault(place, f"missing {word} {', '.join(map(_quote, missing))}"))
        self._dependencies(schema, value, place, depth, faults, seen)
        properties, patterns = schema.get("properties") or {}, schema.get("patternProperties") or {}
        further: list[str] = []
        for name in sorted(value):
            known = False
            if name in properties:
                known = True
                self._below(properties[name], value[name], (*place, name), depth, faults)
            for pattern, inner in patterns.items():
                if regexes.compile(pattern).search(name):
                    known = True
                    self._below(inner, value[name], (*place, name), depth, faults)
            if not known and "additionalProperties" in schema:
                known = True
                if schema["additionalProperties"] is False:
                    further.append(name)
                else:
                    self._below(schema["additionalProperties"], value[name], (*place, name), depth, faults)
            if known:
                seen[0].add(name)
        if further:
            faults.append(
                Fault(place, f"additional properties {', '.join(map(_quote, further))} not allowed")
            )
        if "propertyNames" in schema and self._draft > 4:
            for name in sorted(value):
                inner_faults: list[Fault] = []
                if not self._below(schema["propertyNames"], name, (), depth, inner_faults):
                    faults.append(Fault(place, f"invalid propertyName {_quote(name)}", inner_faults))

    def _dependencies(
        self,
        schema: Mapping[str, Any],
        value: dict[str, Any],
        place: tuple[str, ...],
        depth: int,
        faults: list[Fault],
        seen: Seen,
    ) -> None:
        for keyword in ("dependencies", "dependentSchemas", "dependentRequired"):
            for name, wanted in (schema.get(keyword) or {}).items():
                if name not in value:
                    continue
                if isinstance(wanted, list):
                    missing = [other for other in wanted if other not in value]
                    if missing:
                        listed = ", ".join(map(_quote, missing))
                        faults.append(Fault(place, f"properties {listed} required, if {_quote(name)} exists"))
                else:
                    self._same(wanted, value, place, depth, seen, faults)

    def _array(
        self,
        schema: Mapping[str, Any],
        value: list[Any],
        place: tuple[str, ...],
        depth: int,
        faults: list[Fault],
        seen: Seen,
    ) -> None:
        _sized(schema, "minItems", "maxItems", len(value), place, faults)
        if schema.get("uniqueItems") is True:
            pair = _duplicates(value)
            if pair is not None:
                faults.append(Fault(place, f"items at {pair[0]} and {pair[1]} are equal"))
        first, items = schema.get("prefixItems") or [], schema.get("items")
        if self._draft < 2020:
            first, items = (items, None) if isinstance(items, list) else ([], items)
        begun = min(len(first), len(value))
        for at in range(begun):
            self._below(first[at], value[at], (*place, str(at)), depth, faults)
        if items is not None:
            for at in range(begun, len(value)):
                self._below(items, value[at], (*place, str(at)), depth, faults)
            begun = len(value)
        if self._draft < 2020 and isinstance(schema.get("items"), list) and "additionalItems" in schema:
            if schema["additionalItems"] is False and begun < len(value):
                faults.append(Fault(place, f"last {len(value) - begun} additionalItem(s) not allowed"))
            elif schema["additionalItems"] is not False:
                for at in range(begun, len(value)):
                    self._below(schema["additionalItems"], value[at], (*place, str(at)), depth, faults)
                begun = len(value)
        seen[1].update(range(begun))
        if "contains" in schema and self._draft > 4:
            self._contains(schema, value, place, depth, faults, seen)

    def _contains(
        self,
        schema: Mapping[str, Any],
        value: list[Any],
        place: tuple[str, ...],
        depth: int,
        faults: list[Fault],
        seen: Seen,
    ) -> None:
        causes: list[Fault] = []
        fitting = [
            at
            for at, item in enumerate(value)
            if self._below(schema["contains"], item, (*place, str(at)), depth, causes)
        ]
        if self._draft >= 2020:
            seen[1].update(fitting)
        least, most = schema.get("minContains"), schema.get("maxContains")
        listed = " ".join(map(str, fitting))
        if least is not None and self._draft >= 2019:
            if len(fitting) < least:
                but = f"but matched {len(fitting)} items at {listed}" if fitting else "but none matched"
                faults.append(
                    Fault(place, f"min {least} items required to match contains schema, {but}", causes)
                )
        elif not fitting:
            faults.append(Fault(place, "no items match contains schema", causes))
        if most is not None and self._draft >= 2019 and len(fitting) > most:
            faults.append(
                Fault(
                    place,
                    f"max {most} items required to match contains schema, but matched {len(fitting)} items at {listed}",
                )
            )

    @staticmethod
    def _text(schema: Mapping[str, Any], value: str, place: tuple[str, ...], faults: list[Fault]) -> None:
        _sized(schema, "minLength", "maxLength", len(value), place, faults)
        if "pattern" in schema and regexes.compile(schema["pattern"]).search(value) is None:
            faults.append(Fault(place, f"{_quote(value)} does not match pattern {_quote(schema['pattern'])}"))

    def _numbers(
        self, schema: Mapping[str, Any], value: float, place: tuple[str, ...], faults: list[Fault]
    ) -> None:
        number = Fraction(value)

        def bound(keyword: str) -> Fraction | None:
            found = schema.get(keyword)
            return (
                Fraction(str(found))
                if isinstance(found, int | float) and not isinstance(found, bool)
                else None
            )

        def wrong(keyword: str, limit: Fraction) -> None:
            faults.append(Fault(place, f"{keyword}: got {_number(value)}, want {_number(limit)}"))

        least, most = bound("minimum"), bound("maximum")
        above, below = bound("exclusiveMinimum"), bound("exclusiveMaximum")
        if self._draft == 4:
            if schema.get("exclusiveMinimum") is True:
                least, above = None, least
            if schema.get("exclusiveMaximum") is True:
                most, below = None, most
        if least is not None and number < least:
            wrong("minimum", least)
        if most is not None and number > most:
            wrong("maximum", most)
        if above is not None and number <= above:
            wrong("exclusiveMinimum", above)
        if below is not None and number >= below:
            wrong("exclusiveMaximum", below)
        step = bound("multipleOf")
        if step and (Fraction(str(value)) / step).denominator != 1:
            wrong("multipleOf", step)

    def _conditions(
        self,
        schema: Mapping[str, Any],
        value: Any,
        place: tuple[str, ...],
        depth: int,
        faults: list[Fault],
        seen: Seen,
    ) -> None:
        if "not" in schema and self.validate(schema["not"], value, place, depth + 1)[0] is None:
            faults.append(Fault(place, "'not' failed"))
        for keyword in ("allOf", "anyOf", "oneOf"):
            if not schema.get(keyword):
                continue
            failed: list[Fault] = []
            matched: list[int] = []
            for at, inner in enumerate(schema[keyword]):
                fault, looked = self.validate(inner, value, place, depth + 1)
                if fault is None:
                    matched.append(at)
                    _merge(seen, looked)
                else:
                    failed.append(fault)
            if keyword == "allOf" and failed:
                faults.append(Fault(place, "'allOf' failed", failed))
            elif keyword == "anyOf" and not matched:
                faults.append(Fault(place, "'anyOf' failed", failed))
            elif keyword == "oneOf" and not matched:
                faults.append(Fault(place, "'oneOf' failed, none matched", failed))
            elif keyword == "oneOf" and len(matched) > 1:
                faults.append(Fault(place, f"'oneOf' failed, subschemas {matched[0]}, {matched[1]} matched"))
        if "if" in schema and self._draft >= 7:
            fault, looked = self.validate(schema["if"], value, place, depth + 1)
            if fault is None:
                _merge(seen, looked)
            branch = "then" if fault is None else "else"
            if branch in schema:
                self._same(schema[branch], value, place, depth, seen, faults)

    def _unevaluated(
        self,
        schema: Mapping[str, Any],
        value: Any,
        place: tuple[str, ...],
        depth: int,
        faults: list[Fault],
        seen: Seen,
    ) -> None:
        if isinstance(value, dict) and "unevaluatedProperties" in schema:
            for name in sorted(value.keys() - seen[0]):
                self._below(schema["unevaluatedProperties"], value[name], (*place, name), depth, faults)
            seen[0].update(value)
        if isinstance(value, list) and "unevaluatedItems" in schema:
            for at in sorted(set(range(len(value))) - seen[1]):
                self._below(schema["unevaluatedItems"], value[at], (*place, str(at)), depth, faults)
            seen[1].update(range(len(value)))


_TYPES: Final = ("null", "boolean", "number", "integer", "string", "array", "object")


def _sized(
    schema: Mapping[str, Any], least: str, most: str, size: int, place: tuple[str, ...], faults: list[Fault]
) -> None:
    """Hold a size against the two bounds that it may have."""
    if least in schema and size < schema[least]:
        faults.append(Fault(place, f"{least}: got {_number(size)}, want {_number(schema[least])}"))
    if most in schema and size > schema[most]:
        faults.append(Fault(place, f"{most}: got {_number(size)}, want {_number(schema[most])}"))


def _merge(into: Seen, other: Seen) -> None:
    into[0].update(other[0])
    into[1].update(other[1])


def _duplicates(items: list[Any]) -> tuple[int, int] | None:
    first: dict[Any, int] = {}
    for at, item in enumerate(items):
        key = (
            _type(item),
            json.dumps(item, sort_keys=True, default=str) if isinstance(item, list | dict) else item,
        )
        if key in first:
            return first[key], at
        first[key] = at
    return None
