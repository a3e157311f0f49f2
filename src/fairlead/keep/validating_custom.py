"""What a custom resource's structural schema refuses, in the words of Kubernetes' schema validator.

A schema is compiled once into a function over values. Rules in CEL are `rules`'.
Source: k8s.io/kube-openapi/pkg/validation, k8s.io/apiextensions-apiserver/pkg/apiserver/validation.
"""

from __future__ import annotations

import binascii
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from fairlead.keep import validating_values as v
from fairlead.keep.errors import Cause
from fairlead.keep.validating_values import Causes
from fairlead.tongues import selectors

Schema: TypeAlias = Mapping[str, Any]
Judge: TypeAlias = Callable[[Any, str, Causes], None]
"""Appends what is wrong with a value at a path."""

_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_DURATION = re.compile(r"-?(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+|0|\d+\s*(?:ns|us|ms|s|m|h|d|w)\w*")
_MAC = re.compile(r"(?:[0-9a-fA-F]{2}[:-]){5}(?:[0-9a-fA-F]{2})")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.?[^@\s]*")
_HOST = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?)*")
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[zZ]|[+-]\d\d:\d\d)")
_BOUNDS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def judging(schema: Schema, *, root: bool = False) -> Judge:
    """Return the judge of a schema. At the root, apiVersion, kind and metadata are somebody else's."""
    parts: list[Judge] = []
    kind = schema.get("type", "")
    if schema.get("x-kubernetes-int-or-string"):
        parts.append(_typed(("integer", "string")))
    elif kind:
        parts.append(_typed((kind,)))
    if "enum" in schema:
        parts.append(_enum(schema["enum"]))
    if (
        any(name in schema for name in ("minimum", "maximum", "multipleOf"))
        or schema.get("format") in _BOUNDS
    ):
        parts.append(_number(schema))
    if any(name in schema for name in ("minLength", "maxLength", "pattern")):
        parts.append(_text(schema))
    if "format" in schema and schema["format"] in _FORMATS:
        parts.append(_format(schema["format"]))
    if "items" in schema or any(
        name in schema for name in ("minItems", "maxItems", "x-kubernetes-list-type")
    ):
        parts.append(_list(schema))
    sized = ("properties", "additionalProperties", "required", "minProperties", "maxProperties")
    if any(name in schema for name in sized) or schema.get("x-kubernetes-embedded-resource"):
        parts.append(_object(schema, root=root))
    parts.extend(
        _several(name, [judging(inner, root=root) for inner in schema[name]])
        for name in ("allOf", "anyOf", "oneOf")
        if schema.get(name)
    )
    if "not" in schema:
        parts.append(_refused(judging(schema["not"], root=root)))
    nullable = bool(schema.get("nullable"))

    def judge(value: Any, path: str, causes: Causes) -> None:
        if value is None and nullable:
            return
        before = len(causes)
        for part in parts:
            part(value, path, causes)
            if len(causes) > before and part is parts[0] and kind:
                return

    return judge


def _name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _shown(path: str) -> str:
    return path or "<nil>"


def _wrong(path: str, value: Any, text: str) -> Cause:
    if isinstance(value, (dict, list)):
        value = v.Verbatim(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    return v.invalid(_shown(path), value, f"{path} in body {text}" if path else f"in body {text}")


def _typed(names: tuple[str, ...]) -> Judge:
    expected = ",".join(names)

    def judge_type(value: Any, path: str, causes: Causes) -> None:
        found = _name(value)
        if found in names or (found == "integer" and "number" in names):
            return
        text = f'Invalid value: "{found}": {path} in body must be of type {expected}: "{found}"'
        causes.append(Cause("FieldValueTypeInvalid", text, _shown(path)))

    return judge_type


def _enum(allowed: list[Any]) -> Judge:
    names = [one if isinstance(one, str) else json.dumps(one) for one in allowed]

    def judge_enum(value: Any, path: str, causes: Causes) -> None:
        if not any(one == value and isinstance(one, bool) == isinstance(value, bool) for one in allowed):
            causes.append(v.not_supported(_shown(path), value, names))

    return judge_enum


def _plain(number: Any) -> str:
    return str(int(number)) if float(number).is_integer() else repr(number)


def _number(schema: Schema) -> Judge:
    low, high, step = (schema.get(name) for name in ("minimum", "maximum", "multipleOf"))
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    bounds = _BOUNDS.get(schema.get("format", ""))

    def judge_number(value: Any, path: str, causes: Causes) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        if high is not None and (value >= high if below else value > high):
            word = "less than" if below else "less than or equal to"
            causes.append(_wrong(path, value, f"should be {word} {_plain(high)}"))
        if low is not None and (value <= low if above else value < low):
            word = "greater than" if above else "greater than or equal to"
            causes.append(_wrong(path, value, f"should be {word} {_plain(low)}"))
        if step and Decimal(str(value)) % Decimal(str(step)) != 0:
            causes.append(_wrong(path, value, f"should be a multiple of {_plain(step)}"))
        if bounds is not None and not bounds[0] <= value <= bounds[1]:
            text = f"Checked value must be of type {schema.get('type', 'integer')} with format {schema['format']}"
            causes.append(v.invalid(_shown(path), value, text))

    return judge_number


def _text(schema: Schema) -> Judge:
    least, most, pattern = (schema.get(name) for name in ("minLength", "maxLength", "pattern"))
    search = re.compile(_python(pattern)).search if pattern else None

    def judge_text(value: Any, path: str, causes: Causes) -> None:
        if not isinstance(value, str):
            return
        if most is not None and len(value) > most:
            causes.append(v.too_long(_shown(path), most))
        if least is not None and len(value) < least:
            causes.append(_wrong(path, value, f"should be at least {least} chars long"))
        if search is not None and not search(value):
            causes.append(_wrong(path, value, f"should match '{pattern}'"))

    return judge_text


def _python(pattern: str) -> str:
    r"""Return a Go regular expression as Python writes it: `$` and `\z` are the very end, `\d` is ASCII."""
    out, index, inside = [], 0, False
    while index < len(pattern):
        sign = pattern[index]
        if sign == "\\" and index + 1 < len(pattern):
            following = pattern[index + 1]
            out.append("\\Z" if following == "z" else sign + following)
            index += 2
            continue
        if sign == "[":
            inside = True
        elif sign == "]":
            inside = False
        out.append("\\Z" if sign == "$" and not inside and "(?m" not in pattern else sign)
        index += 1
    return "(?a)" + "".join(out)


def _address(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version
        except ValueError:
            return False

    return check


def _parsed(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _matched(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


_FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": _parsed(lambda text: binascii.a2b_base64(text, strict_mode=True)),
    "cidr": lambda text: "/" in text and _parsed(ipaddress.ip_interface)(text),
    "date": _parsed(date.fromisoformat),
    "date-time": lambda text: bool(_STAMP.fullmatch(text)) and _parsed(datetime.fromisoformat)(text.upper()),
    "datetime": lambda text: bool(_STAMP.fullmatch(text)) and _parsed(datetime.fromisoformat)(text.upper()),
    "duration": _matched(_DURATION),
    "email": _matched(_EMAIL),
    "hostname": lambda text: len(text) <= 255 and bool(_HOST.fullmatch(text)),
    "ipv4": _address(4),
    "ipv6": _address(6),
    "mac": _matched(_MAC),
    "uri": _matched(_URI),
    "uuid": _matched(_UUID),
}


def _format(name: str) -> Judge:
    check = _FORMATS[name]

    def judge_format(value: Any, path: str, causes: Causes) -> None:
        if isinstance(value, str) and not check(value):
            quoted = selectors.quote(value)
            text = f"Invalid value: {quoted}: {path} in body must be of type {name}: {quoted}"
            causes.append(Cause("FieldValueTypeInvalid", text, _shown(path)))

    return judge_format


def _list(schema: Schema) -> Judge:
    least, most = schema.get("minItems"), schema.get("maxItems")
    inner = judging(schema["items"]) if schema.get("items") else None
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys", ())
    defaults = (schema.get("items") or {}).get("properties", {})

    def judge_list(value: Any, path: str, causes: Causes) -> None:
        if not isinstance(value, list):
            return
        if most is not None and len(value) > most:
            causes.append(v.too_many(_shown(path), len(value), most))
        if least is not None and len(value) < least:
            causes.append(_wrong(path, v.Verbatim(str(len(value))), f"should have at least {least} items"))
        if inner is not None:
            for index, item in enumerate(value):
                inner(item, f"{path}[{index}]", causes)
        if kind in {"set", "map"}:
            seen: set[str] = set()
            for index, item in enumerate(value):
                if kind == "map" and isinstance(item, dict):
                    shown: Any = {
                        key: item.get(key, defaults.get(key, {}).get("default"))
                        for key in keys
                        if key in item or "default" in defaults.get(key, {})
                    }
                else:
                    shown = item
                text = json.dumps(shown, sort_keys=True)
                if text in seen:
                    causes.append(v.duplicate(f"{path}[{index}]", _go(shown)))
                seen.add(text)

    return judge_list


def _go(value: Any) -> Any:
    """Return a value as Go prints an interface{}; plain ones as they are."""
    if not isinstance(value, dict):
        return value
    pairs = ", ".join(f"{selectors.quote(key)}:{v.printed(value[key])}" for key in sorted(value))
    return v.Verbatim(f"map[string]interface {{}}{{{pairs}}}")


def _object(schema: Schema, *, root: bool) -> Judge:
    properties = {
        name: judging(inner)
        for name, inner in schema.get("properties", {}).items()
        if not (root and name in {"apiVersion", "kind", "metadata"})
    }
    more = schema.get("additionalProperties")
    values = judging(more) if isinstance(more, Mapping) else None
    required = [name for name in schema.get("required", ()) if not (root and name in {"apiVersion", "kind"})]
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))

    def judge_object(value: Any, path: str, causes: Causes) -> None:
        if not isinstance(value, dict):
            return
        dot = f"{path}." if path else ""
        for name in required:
            if name not in value:
                causes.append(v.required(f"{dot}{name}"))
        if embedded:
            for name in ("apiVersion", "kind"):
                if not value.get(name):
                    causes.append(v.required(f"{dot}{name}", "must not be empty"))
        for name, item in value.items():
            inner = properties.get(name)
            if inner is not None:
                inner(item, f"{dot}{name}", causes)
            elif values is not None:
                values(item, f"{dot}{name}", causes)
        if least is not None and len(value) < least:
            causes.append(
                _wrong(path, v.Verbatim(str(len(value))), f"should have at least {least} properties")
            )
        if most is not None and len(value) > most:
            causes.append(v.too_many(_shown(path), len(value), most))

    return judge_object


def _several(name: str, judges: list[Judge]) -> Judge:
    def judge_several(value: Any, path: str, causes: Causes) -> None:
        found: list[Causes] = []
        for one in judges:
            mine: Causes = []
            one(value, path, mine)
            found.append(mine)
        good = sum(not mine for mine in found)
        quoted = selectors.quote(path)
        if name == "allOf":
            if good < len(judges):
                causes.append(v.invalid(_shown(path), "", f"{quoted} must validate all the schemas (allOf)"))
                causes.extend(cause for mine in found for cause in mine)
        elif name == "anyOf":
            if not good:
                causes.append(
                    v.invalid(_shown(path), "", f"{quoted} must validate at least one schema (anyOf)")
                )
                causes.extend(_nearest(found))
        elif good != 1:
            why = "Found none valid" if not good else f"Found {good} valid alternatives"
            text = f"{quoted} must validate one and only one schema (oneOf). {why}"
            causes.append(v.invalid(_shown(path), "", text))
            causes.extend(() if good else _nearest(found))

    return judge_several


def _nearest(found: list[Causes]) -> Causes:
    """Return the faults of the alternative that has the fewest."""
    return found[min(range(len(found)), key=lambda index: len(found[index]))]


def _refused(inner: Judge) -> Judge:
    def judge_not(value: Any, path: str, causes: Causes) -> None:
        mine: Causes = []
        inner(value, path, mine)
        if not mine:
            text = f"{selectors.quote(path)} must not validate the schema (not)"
            causes.append(v.invalid(_shown(path), "", text))

    return judge_not
