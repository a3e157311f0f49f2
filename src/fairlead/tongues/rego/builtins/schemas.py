"""JSON Schema: a schema read and checked, a document matched, with the messages that OPA's users know.

References stay within the schema: nothing is fetched. Patterns are RE2's. Source: JSON Schema drafts 4, 6 and 7, read together
as github.com/xeipuuv/gojsonschema reads them; its messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

from fairlead.tongues import regexes
from fairlead.tongues.rego.values import Set, equal, number_text, to_json

from .encodings import marshal, unmarshal
from .kinds import MOST_ITEMS, Builtin, BuiltinError, Context, bounded, table
from .schema_formats import matches_format

_TYPES = ("array", "boolean", "integer", "number", "null", "object", "string")
_ROOT = "(root)"
_SCHEMA = (dict, bool)
_LIMITS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")


class BadSchema(BuiltinError):
    """A schema that cannot be used; the message says why."""


def _wrong_type(expected: str, given: str) -> BadSchema:
    return BadSchema(f"Invalid type. Expected: {expected}, given: {given}")


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


@dataclass(slots=True)
class _Result:
    """What a document's part was found to be: errors, and how near it came."""

    errors: list[tuple[str, str, str]] = field(default_factory=list)
    score: int = 0

    def add(self, kind: str, path: str, said: str) -> None:
        self.errors.append((kind, path.removeprefix(f"{_ROOT}."), said))
        self.score -= 2
        bounded(len(self.errors), MOST_ITEMS // 100, "errors")

    def merge(self, other: _Result) -> None:
        self.errors += other.errors
        self.score += other.score


class Schema:
    """A schema that was read: `validate(document)` gives its errors as (type, field, description)."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._ids: dict[str, Any] = {}
        self._patterns: dict[str, Any] = {}
        self._checked: set[int] = set()
        self._budget = MOST_ITEMS
        try:
            self._read(document)
        except RecursionError:
            raise BadSchema("the schema is too deep") from None

    # Reading

    def _read(self, node: Any) -> None:
        """Check a schema and all within it."""
        if type(node) is bool:
            return
        if type(node) is not dict:
            raise BadSchema("Expected: schema, given: Invalid JSON")
        if id(node) in self._checked:
            return
        self._checked.add(id(node))
        for name in ("$id", "id", "title", "description", "$ref", "pattern", "format"):
            if name in node and type(node[name]) is not str:
                raise _wrong_type("string", name)
        for name in ("$id", "id"):
            if name in node:
                self._ids[node[name]] = node
        self._read_types(node)
        self._read_children(node)
        self._read_limits(node)
        if "$ref" in node:
            self._read(self._resolve(node["$ref"]))

    def _read_types(self, node: dict[str, Any]) -> None:
        listed = node.get("type", [])
        types = [listed] if type(listed) is str else listed
        if type(types) is not list or any(type(name) is not str for name in types):
            raise _wrong_type("string/array of strings", "type")
        for place, name in enumerate(types):
            if name not in _TYPES:
                raise BadSchema(
                    f"has a primitive type that is NOT VALID -- given: /{name}/ "
                    f"Expected valid values are:[{' '.join(_TYPES)}]"
                )
            if name in types[:place]:
                raise BadSchema(f"{name} type is duplicated")

    def _read_children(self, node: dict[str, Any]) -> None:
        for name in ("definitions", "properties", "patternProperties"):
            if name in node:
                if type(node[name]) is not dict:
                    raise _wrong_type("array of schemas" if name == "definitions" else "object", name)
                for key, inner in node[name].items():
                    if name == "patternProperties":
                        self._pattern(key, f"Invalid regex pattern '{key}'")
                    if type(inner) not in _SCHEMA:
                        raise _wrong_type("array of schemas" if name == "definitions" else "schema", name)
                    self._read(inner)
        for name in ("additionalProperties", "additionalItems"):
            if name in node:
                if type(node[name]) not in _SCHEMA:
                    raise _wrong_type("boolean/schema", name)
                self._read(node[name])
        for name in ("not", "if", "then", "else", "contains", "propertyNames"):
            if name in node:
                if type(node[name]) not in _SCHEMA:
                    raise BadSchema(f"{name} must be of an object")
                self._read(node[name])
        for name in ("anyOf", "oneOf", "allOf"):
            if name in node:
                if type(node[name]) is not list:
                    raise BadSchema(f"{name} must be of an array")
                for inner in node[name]:
                    self._read(inner)
        items = node.get("items", True)
        for inner in items if type(items) is list else [items]:
            if type(inner) not in _SCHEMA:
                raise _wrong_type("schema/array of schemas", "items")
            self._read(inner)
        self._read_dependencies(node)

    def _read_dependencies(self, node: dict[str, Any]) -> None:
        dependencies = node.get("dependencies", {})
        if type(dependencies) is not dict:
            raise _wrong_type("schema", "dependencies")
        for inner in dependencies.values():
            if type(inner) is list:
                if any(type(name) is not str for name in inner):
                    raise BadSchema("dependency must be of a schema or array of strings")
            elif type(inner) in _SCHEMA:
                self._read(inner)
            else:
                raise BadSchema("dependency must be of a schema or array of strings")

    def _read_limits(self, node: dict[str, Any]) -> None:
        for name in _LIMITS:
            if name in node:
                value = node[name]
                if not _is_number(value) or value != int(value):
                    raise BadSchema(f"{name} must be of an integer")
                if value < 0:
                    raise BadSchema(f"{name} must be greater than or equal to 0")
        for low, high in (("minLength", "maxLength"), ("minProperties", "maxProperties")):
            if low in node and high in node and node[low] > node[high]:
                raise BadSchema(f"{low} cannot be greater than {high}")
        if "multipleOf" in node:
            if not _is_number(node["multipleOf"]):
                raise _wrong_type("number", "multipleOf")
            if node["multipleOf"] <= 0:
                raise BadSchema("multipleOf must be strictly greater than 0")
        for name, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if name in node and not _is_number(node[name]):
                raise BadSchema(f"{name} must be of a number")
            if exclusive in node:
                if type(node[exclusive]) is bool:
                    if name not in node:
                        raise BadSchema(f"{exclusive} cannot be used without {name}")
                elif not _is_number(node[exclusive]):
                    raise _wrong_type("boolean/number", exclusive)
        if "uniqueItems" in node and type(node["uniqueItems"]) is not bool:
            raise BadSchema("uniqueItems must be of a boolean")
        if "pattern" in node:
            self._pattern(node["pattern"], "pattern must be a valid regex")
        for name in ("required", "enum"):
            listed = node.get(name, [])
            if type(listed) is not list:
                raise BadSchema(f"{name} must be of an array")
            if name == "required" and any(type(value) is not str for value in listed):
                raise BadSchema("required items must be string")
            said = [marshal(value) for value in listed]
            if len(set(said)) < len(said):
                raise BadSchema(f"{name} items must be unique")

    def _pattern(self, source: str, complaint: str) -> Any:
        found = self._patterns.get(source)
        if found is None:
            try:
                found = self._patterns[source] = regexes.compile(source)
            except regexes.BadPattern:
                raise BadSchema(complaint) from None
        return found

    def _resolve(self, reference: str) -> Any:
        """Return the schema that a reference within this one names."""
        if reference in self._ids:
            return self._ids[reference]
        place, _, pointer = reference.partition("#")
        found = self._document if not place else self._ids.get(place, self._ids.get(f"{place}#"))
        if found is None:
            raise BadSchema(f"remote reference loading disabled: {reference}")
        if pointer and not pointer.startswith("/"):
            raise BadSchema(f"Could not find the reference {reference}")
        for step in pointer.split("/")[1:]:
            key = re.sub("%([0-9a-fA-F]{2})", lambda hit: chr(int(hit[1], 16)), step)
            key = key.replace("~1", "/").replace("~0", "~")
            if type(found) is dict and key in found:
                found = found[key]
            elif type(found) is list and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise BadSchema(f"Object has no key '{key}'")
        return found

    # Matching

    def validate(self, document: Any) -> list[tuple[str, str, str]]:
        """Return (type, field, description) of everything that does not match."""
        self._budget = MOST_ITEMS
        result = _Result()
        try:
            self._match(self._document, document, result, _ROOT)
        except RecursionError:
            raise BuiltinError("the document or the schema is too deep") from None
        return result.errors

    def _within(self, node: Any, value: Any, path: str) -> _Result:
        result = _Result()
        self._match(node, value, result, path)
        return result

    def _match(self, node: Any, value: Any, result: _Result, path: str) -> None:
        self._budget -= 1
        if self._budget < 0:
            raise BuiltinError("matching the schema takes too many steps")
        if type(node) is bool:
            if not node:
                result.add("false", path, "False always fails validation")
            return
        if "$ref" in node:
            self._match(self._resolve(node["$ref"]), value, result, path)
            return
        given = _type_of(value)
        types = node.get("type", [])
        types = [types] if type(types) is str else types
        if types and given not in types and not (given == "integer" and "number" in types):
            expected = types[0] if len(types) == 1 else f"[{','.join(types)}]"
            result.add("invalid_type", path, f"Invalid type. Expected: {expected}, given: {given}")
            return
        self._combine(node, value, result, path)
        if given == "array":
            self._array(node, value, result, path)
        elif given == "object":
            self._object(node, value, result, path)
        elif given in {"integer", "number"}:
            _number(node, value, result, path)
        _plain(node, value, result, path)
        if given == "string":
            self._string(node, value, result, path)
        if given == "object":
            for name, inner in sorted(node.get("properties", {}).items()):
                if name in value:
                    self._match(inner, value[name], result, f"{path}.{name}")
        result.score += 1

    def _best(self, nodes: list[Any], value: Any, path: str, *, one: bool) -> tuple[int, _Result | None]:
        """Return how many schemas match, and the result of the nearest of the others."""
        count = 0
        best: _Result | None = None
        for node in nodes:
            found = self._within(node, value, path)
            if not found.errors:
                count += 1
                if not one:
                    break
            elif not count and (best is None or found.score > best.score):
                best = found
        return count, best

    def _combine(self, node: dict[str, Any], value: Any, result: _Result, path: str) -> None:
        if node.get("anyOf"):
            count, best = self._best(node["anyOf"], value, path, one=False)
            if not count:
                result.add("number_any_of", path, "Must validate at least one schema (anyOf)")
                if best is not None:
                    result.merge(best)
        if node.get("oneOf"):
            count, best = self._best(node["oneOf"], value, path, one=True)
            if count != 1:
                result.add("number_one_of", path, "Must validate one and only one schema (oneOf)")
                if not count and best is not None:
                    result.merge(best)
        if node.get("allOf"):
            failed = False
            for inner in node["allOf"]:
                found = self._within(inner, value, path)
                failed = failed or bool(found.errors)
                result.merge(found)
            if failed:
                result.add("number_all_of", path, "Must validate all the schemas (allOf)")
        if "not" in node and not self._within(node["not"], value, path).errors:
            result.add("number_not", path, "Must not validate the schema (not)")
        if "dependencies" in node and type(value) is dict:
            self._depend(node["dependencies"], value, result, path)
        if "if" in node:
            fine = not self._within(node["if"], value, path).errors
            name = "then" if fine else "else"
            found = self._within(node.get(name, True), value, path)
            if found.errors:
                was = "" if fine else "not "
                result.add(f"condition_{name}", path, f'Must validate "{name}" as "if" was {was}valid')
                result.merge(found)
        result.score += 1

    def _depend(
        self, dependencies: dict[str, Any], value: dict[str, Any], result: _Result, path: str
    ) -> None:
        for name in sorted(dependencies):
            if name not in value:
                continue
            needed = dependencies[name]
            if type(needed) is not list:
                self._match(needed, value, result, path)
                continue
            for other in needed:
                if other not in value:
                    result.add("missing_dependency", path, f"Has a dependency on {other}")

    def _array(self, node: dict[str, Any], value: list[Any], result: _Result, path: str) -> None:
        items = node.get("items", True)
        heads = items if type(items) is list else [items] * len(value)
        for place, (inner, element) in enumerate(zip(heads, value, strict=False)):
            result.merge(self._within(inner, element, f"{path}.{place}"))
        if type(items) is list and 0 < len(items) < len(value):
            rest = node.get("additionalItems", True)
            if rest is False:
                result.add("array_no_additional_items", path, "No additional items allowed on array")
            elif type(rest) is dict:
                for place in range(len(items), len(value)):
                    result.merge(self._within(rest, value[place], f"{path}.{place}"))
        _bound(
            node, "minItems", len(value), result, path, "array_min_items", "Array must have at least {} items"
        )
        _bound(
            node, "maxItems", len(value), result, path, "array_max_items", "Array must have at most {} items"
        )
        if node.get("uniqueItems"):
            seen: dict[str, int] = {}
            for place, element in enumerate(value):
                said = marshal(element)
                if said in seen:
                    result.add("unique", path, f"array items[{seen[said]},{place}] must be unique")
                seen[said] = place
        if "contains" in node and value:
            count, best = self._best([node["contains"]], value[0], path, one=False)
            for element in value[1:]:
                if not count:
                    count, found = self._best([node["contains"]], element, path, one=False)
                    best = found if found is not None and (best is None or found.score > best.score) else best
            if not count:
                result.add("contains", path, "At least one of the items must match")
                if best is not None:
                    result.merge(best)
        result.score += 1

    def _object(self, node: dict[str, Any], value: dict[str, Any], result: _Result, path: str) -> None:
        _bound(
            node,
            "minProperties",
            len(value),
            result,
            path,
            "array_min_properties",
            "Must have at least {} properties",
        )
        _bound(
            node,
            "maxProperties",
            len(value),
            result,
            path,
            "array_max_properties",
            "Must have at most {} properties",
        )
        for name in node.get("required", []):
            if name not in value:
                result.add("required", path, f"{name} is required")
        known = node.get("properties", {})
        others = node.get("additionalProperties", True)
        for name in sorted(value):
            fits = self._by_pattern(node, name, value[name], result, f"{path}.{name}")
            if name in known or fits:
                continue
            if others is False:
                result.add(
                    "additional_property_not_allowed", path, f"Additional property {name} is not allowed"
                )
            elif type(others) is dict:
                result.merge(self._within(others, value[name], f"{path}.{name}"))
        if "propertyNames" in node:
            for name in sorted(value):
                found = self._within(node["propertyNames"], name, path)
                if found.errors:
                    result.add("invalid_property_name", path, f'Property name of "{name}" does not match')
                    result.merge(found)
        result.score += 1

    def _by_pattern(self, node: dict[str, Any], name: str, value: Any, result: _Result, path: str) -> bool:
        fits = False
        for pattern, inner in node.get("patternProperties", {}).items():
            if self._pattern(pattern, "").search(name) is not None:
                fits = True
                result.merge(self._within(inner, value, path))
        return fits

    def _string(self, node: dict[str, Any], value: str, result: _Result, path: str) -> None:
        size = len(value)
        said = "String length must be {} than or equal to {{}}"
        _bound(node, "minLength", size, result, path, "string_gte", said.format("greater"))
        _bound(node, "maxLength", size, result, path, "string_lte", said.format("less"))
        if "pattern" in node and self._pattern(node["pattern"], "").search(value) is None:
            result.add("pattern", path, f"Does not match pattern '{node['pattern']}'")
        result.score += 1


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if type(value) is float:
        return "integer" if value.is_integer() else "number"
    return {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}[type(value)]


def _bound(
    node: dict[str, Any], name: str, size: int, result: _Result, path: str, kind: str, said: str
) -> None:
    limit = node.get(name)
    if limit is not None and (size < limit if name.startswith("min") else size > limit):
        result.add(kind, path, said.format(int(limit)))


_COMPARED: tuple[tuple[str, str, str, Callable[[Any, Any], bool]], ...] = (
    ("maximum", "number_lte", "Must be less than or equal to", lambda value, limit: value <= limit),
    ("exclusiveMaximum", "number_lt", "Must be less than", lambda value, limit: value < limit),
    ("minimum", "number_gte", "Must be greater than or equal to", lambda value, limit: value >= limit),
    ("exclusiveMinimum", "number_gt", "Must be greater than", lambda value, limit: value > limit),
)


def _number(node: dict[str, Any], value: Any, result: _Result, path: str) -> None:
    step = node.get("multipleOf")
    if step is not None and (Fraction(number_text(value)) / Fraction(number_text(step))).denominator != 1:
        result.add("multiple_of", path, f"Must be a multiple of {number_text(step)}")
    for name, kind, said, fine in _COMPARED:
        limit = node.get(name)
        exclusive = node.get(f"exclusive{name.capitalize()}") is True
        if exclusive:
            continue
        if limit is True:
            limit = node[name.removeprefix("exclusive").lower()]
        if limit is not None and _is_number(limit) and not fine(value, limit):
            result.add(kind, path, f"{said} {number_text(limit)}")
    result.score += 1


def _plain(node: dict[str, Any], value: Any, result: _Result, path: str) -> None:
    where = path.removeprefix(f"{_ROOT}.")
    if "const" in node and not equal(node["const"], value):
        result.add("const", path, f"{where} does not match: {marshal(node['const'])}")
    if "enum" in node and not any(equal(allowed, value) for allowed in node["enum"]):
        allowed = ", ".join(marshal(one) for one in node["enum"])
        result.add("enum", path, f"{where} must be one of the following: {allowed}")
    if "format" in node and not matches_format(node["format"], value):
        result.add("format", path, f"Does not match format '{node['format']}'")
    result.score += 1


def _loaded(value: Any) -> str:
    """Return the JSON text of an operand: a string is JSON itself."""
    if type(value) is str:
        try:
            unmarshal(value)
        except BuiltinError:
            raise BuiltinError("invalid JSON string") from None
        return value
    if type(value) is dict or type(value) is list:
        return marshal(value)
    raise BuiltinError("wrong type, expected string or object")


@lru_cache(maxsize=128)
def _schema(source: str) -> Schema:
    return Schema(unmarshal(source))


def verify_schema(_: Context, value: Any) -> list[Any]:
    """Return [true, null] for a schema, else [false, why not]."""
    try:
        _schema(_loaded(value))
    except BuiltinError as error:
        return [False, f"jsonschema: {error}"]
    return [True, None]


def match_schema(_: Context, document: Any, schema: Any) -> list[Any]:
    """Return whether a document matches a schema, and what does not."""
    if type(document) is Set:
        raise BuiltinError("wrong type, expected string or object")
    found = unmarshal(_loaded(document)) if type(document) is str else to_json(document)
    if type(found) not in {dict, list} and type(document) is not str:
        raise BuiltinError("wrong type, expected string or object")
    errors = [
        {"error": f"{where}: {said}", "type": kind, "field": where, "desc": said}
        for kind, where, said in _schema(_loaded(schema)).validate(found)
    ]
    return [not errors, errors]


BUILTINS = table(
    Builtin("json.verify_schema", 1, verify_schema),
    Builtin("json.match_schema", 2, match_schema),
)
