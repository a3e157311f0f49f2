"""The JSON Schema of a module's values (draft 2020-12), for editors and for whoever checks values elsewhere.

Made from the type and from nothing else, so that it never lags behind. It accepts what `values.settle` accepts, apart from what a schema
cannot say (the uniqueness of one field of a list's items, amounts within bounds), which it leaves open.
"""

from __future__ import annotations

from typing import Any, Final

from fairlead.render.values import UNSET, ValuesType

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
FILE: Final = "values.schema.json"
MODELINE: Final = "# yaml-language-server: $schema="
"""What the first line of a values file says to editors, before the path of the schema."""

_QUANTITY: Final = r"^[+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
_DURATION: Final = r"^[+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$"


def schema(made: ValuesType, title: str = "", description: str = "") -> dict[str, Any]:
    """Return the schema of a module's values as JSON."""
    head: dict[str, Any] = {"$schema": DIALECT}
    if title:
        head["title"] = title
    if description:
        head["description"] = description
    return {**head, **_part(made)}


def default_of(made: ValuesType) -> Any:
    """Return what holds where nobody says anything: a group's is made of its fields'; UNSET for what is required."""
    if made.default is not UNSET:
        if made.sort == "group" and isinstance(made.default, dict):
            return {**_fields(made), **made.default}
        return made.default
    if made.required:
        return UNSET
    if made.nullable:
        return None
    if made.sort == "group":
        return _fields(made)
    return {"listing": [], "mapping": {}}.get(made.sort)


def _fields(made: ValuesType) -> dict[str, Any]:
    found = {name: default_of(one) for name, one in made.fields.items()}
    return {name: value for name, value in found.items() if value is not UNSET}


def _part(made: ValuesType) -> dict[str, Any]:
    part = _sort(made)
    if made.enum:
        part.pop("type", None)
        part["enum"] = [*made.enum, None] if made.nullable else list(made.enum)
    elif made.nullable and "type" in part:
        types = part["type"] if isinstance(part["type"], list) else [part["type"]]
        part["type"] = [*types, "null"]
    if made.doc:
        part["description"] = made.doc
    if made.default is not UNSET and not made.secret:
        part["default"] = made.default
    if made.examples and not made.secret:
        part["examples"] = list(made.examples)
    if made.deprecated:
        part["deprecated"] = True
        part["description"] = " ".join(text for text in (made.doc, f"Deprecated: {made.deprecated}") if text)
    return part


def _sort(made: ValuesType) -> dict[str, Any]:
    match made.sort:
        case "text" | "image_ref":
            return _text(made)
        case "secret_text":
            return {**_text(made), "writeOnly": True}
        case "integer":
            return {"type": "integer", **_bounds(made)}
        case "number":
            return {"type": "number", **_bounds(made)}
        case "port":
            return {"type": "integer", "minimum": 1, "maximum": 65535, **_bounds(made)}
        case "boolean":
            return {"type": "boolean"}
        case "quantity":
            return {"type": ["string", "number"], "pattern": _QUANTITY}
        case "duration":
            return {"type": "string", "pattern": _DURATION}
        case "listing":
            return _listing(made)
        case "mapping":
            return _mapping(made)
        case "group":
            return _group(made)
        case _:
            return {}


def _text(made: ValuesType) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "string"}
    if made.least is not None:
        part["minLength"] = made.least
    if made.most is not None:
        part["maxLength"] = made.most
    if made.pattern:
        part["pattern"] = f"^(?:{made.pattern})$"
    return part


def _bounds(made: ValuesType) -> dict[str, Any]:
    pairs = (("minimum", made.minimum), ("maximum", made.maximum), ("multipleOf", made.multiple_of))
    return {name: value for name, value in pairs if value is not None}


def _listing(made: ValuesType) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "array"}
    if made.of is not None:
        part["items"] = _part(made.of)
    if made.least is not None:
        part["minItems"] = made.least
    if made.most is not None:
        part["maxItems"] = made.most
    if made.unique is True:
        part["uniqueItems"] = True
    return part


def _mapping(made: ValuesType) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "object"}
    if made.of is not None:
        part["additionalProperties"] = _part(made.of)
    if made.keys:
        part["propertyNames"] = {"pattern": f"^(?:{made.keys})$"}
    if made.least is not None:
        part["minProperties"] = made.least
    if made.most is not None:
        part["maxProperties"] = made.most
    return part


def _group(made: ValuesType) -> dict[str, Any]:
    part: dict[str, Any] = {
        "type": "object",
        "properties": {name: _part(one) for name, one in made.fields.items()},
    }
    required = [name for name, one in made.fields.items() if one.required]
    if required:
        part["required"] = required
    if not made.open:
        part["additionalProperties"] = False
    return part
