"""Helm's and Sprig's functions that turn values into texts and back: YAML, JSON, TOML, base64 and base32.

Must never raise over a text that is none: Helm's functions put what is wrong under the key Error. Source: helm.sh/helm/v3/pkg/engine.
"""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any, Final

from yaml.scanner import ScannerError

from fairlead.tongues import yamls
from fairlead.tongues.gotemplate import jsonwriting, yamlwriting
from fairlead.tongues.gotemplate.kinds import (
    Function,
    GoError,
    Int64,
    NilList,
    NilMap,
    Struct,
    octets,
    sorted_keys,
    textual,
    type_name,
)
from fairlead.tongues.gotemplate.printing import float_text
from fairlead.tongues.gotemplate.states import State


def as_go(value: Any) -> Any:
    """Return YAML's or JSON's values as Go's decoder gives them: every number is a float64."""
    kind = type(value)
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            raise GoError(f"cannot unmarshal number {value} into Go value of type float64") from None
    if kind is dict:
        return {key: as_go(item) for key, item in value.items()}
    if kind is list:
        return [as_go(item) for item in value]
    return value


def _quietly(make: Callable[..., str]) -> Callable[..., str]:
    """What gives an empty text where a value cannot be written."""

    def made(state: State, value: Any) -> str:
        try:
            return make(value, state)
        except GoError:
            return ""

    return made


_YES_NO: Final[Mapping[str, bool]] = {"y": True, "Y": True, "n": False, "N": False}


def _scalar(text: str) -> Any:
    """What an unquoted scalar means to Helm: also y and n are booleans."""
    return _YES_NO[text] if text in _YES_NO else yamls.scalar(text)


def read_yaml(text: str) -> Any:
    """Return the value of the first document as Helm reads it, numbers as they are. Raises BadYaml, with Go's message."""
    try:
        found = yamls.load_all(text, _scalar, repeats=True)
    except yamls.BadYaml as fault:
        raise yamls.BadYaml(f"{_place(fault)}{fault.message}", fault.line, fault.column) from None
    return found[0] if found else None


def _place(fault: yamls.BadYaml) -> str:
    """The line as go-yaml counts it: from one where the text has no such word, from zero where the words make no sense; zero is left out."""
    line = fault.line if isinstance(fault.__cause__, ScannerError) else fault.line - 1
    return f"line {line}: " if line > 0 and fault.line > 1 else ""


def _read_yaml(text: str) -> Any:
    if re.search("[\ud800-\udfff]", text):
        raise GoError("error converting YAML to JSON: yaml: invalid leading UTF-8 octet")
    try:
        return as_go(read_yaml(text))
    except yamls.BadYaml as fault:
        raise GoError(f"error converting YAML to JSON: yaml: {fault.message}") from None


def _json_sort(value: Any) -> str:
    return {dict: "object", list: "array", str: "string", bool: "bool", float: "number"}.get(
        type(value), "null"
    )


def _from_yaml(text: str) -> dict[str, Any]:
    try:
        found = _read_yaml(text)
    except GoError as fault:
        return {"Error": str(fault)}
    if found is None:
        return {}
    if isinstance(found, dict):
        return found
    return {
        "Error": "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
        f"{_json_sort(found)} into Go value of type map[string]interface {{}}"
    }


def _from_yaml_array(text: str) -> list[Any]:
    try:
        found = _read_yaml(text)
    except GoError as fault:
        return [str(fault)]
    if found is None:
        return []
    if isinstance(found, list):
        return found
    wrong = f"json: cannot unmarshal {_json_sort(found)} into Go value of type []interface {{}}"
    return [f"error unmarshaling JSON: while decoding JSON: {wrong}"]


def _from_json(text: str) -> dict[str, Any]:
    try:
        found = jsonwriting.from_json(text)
    except GoError as fault:
        return {"Error": str(fault)}
    if found is None:
        return NilMap()
    if isinstance(found, dict):
        return found
    return {
        "Error": f"json: cannot unmarshal {_json_sort(found)} into Go value of type map[string]interface {{}}"
    }


def _from_json_array(text: str) -> list[Any]:
    try:
        found = jsonwriting.from_json(text)
    except GoError as fault:
        return [str(fault)]
    if found is None:
        return NilList()
    if isinstance(found, list):
        return found
    return [f"json: cannot unmarshal {_json_sort(found)} into Go value of type []interface {{}}"]


def _json(*, must: bool, escape: bool = True, indent: str = "") -> Callable[[State, Any], str]:
    def made(state: State, value: Any) -> str:
        try:
            return jsonwriting.dump(value, state, escape=escape, indent=indent)
        except GoError:
            if must:
                raise
            return ""

    return made


# TOML, as BurntSushi/toml writes it: simple keys first, tables after them, indented by two spaces a level.

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_TOML_ESCAPES: Final = {
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
    '"': '\\"',
    "\\": "\\\\",
}


def _toml_text(text: str) -> str:
    made = re.sub(r'[\b\t\n\f\r"\\]', lambda match: _TOML_ESCAPES[match.group()], text)
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match.group()):04x}", made) + '"'


def _toml_key(key: str) -> str:
    return key if _BARE.match(key) else _toml_text(key)


def _toml_value(value: Any, depth: int = 0) -> str:
    if depth > jsonwriting.DEEPEST:
        raise GoError(f"a value is nested more than {jsonwriting.DEEPEST} levels deep, or contains itself")
    if type(value) is str:
        return _toml_text(value)
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if type(value) is float:
        text = float_text(value).lower()
        if text in {"+inf", "-inf", "nan"}:
            return text.lstrip("+")
        return text if "." in text or "e" in text else f"{text}.0"
    if isinstance(value, list):
        return f"[{', '.join(_toml_value(item, depth + 1) for item in value)}]"
    if isinstance(value, dict):
        inner = ", ".join(
            f"{_toml_key(key)} = {_toml_value(value[key], depth + 1)}" for key in sorted_keys(value)
        )
        return f"{{{inner}}}"
    if isinstance(value, Struct) and value.text is not None:
        return value.text()
    raise GoError(f"unsupported type for key '': {type_name(value)}")


def _tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _toml_table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    if len(path) > jsonwriting.DEEPEST:
        raise GoError(f"a value is nested more than {jsonwriting.DEEPEST} levels deep, or contains itself")
    margin = "  " * len(path)
    keys = sorted_keys(table)
    for key in keys:
        value = table[key]
        if value is not None and not isinstance(value, dict) and not _tables(value):
            if isinstance(value, list) and any(item is None for item in value):
                raise GoError("toml: cannot encode array with nil element")
            lines.append(f"{margin}{_toml_key(key)} = {_toml_value(value)}")
    for key in keys:
        value = table[key]
        inner = (*path, _toml_key(key))
        name = ".".join(inner)
        if isinstance(value, dict):
            if len(inner) == 1 and lines:
                lines.append("")
            lines.append(f"{margin}[{name}]")
            _toml_table(value, inner, lines)
        elif _tables(value):
            for item in value:
                if lines:
                    lines.append("")
                lines.append(f"{margin}[[{name}]]")
                _toml_table(item, inner, lines)


def _to_toml(state: State, value: Any) -> str:
    lines: list[str] = []
    try:
        jsonwriting.plain(value, state)
        if not isinstance(value, dict):
            return _toml_value(value)
        _toml_table(value, (), lines)
    except GoError as fault:
        return str(fault)
    text = "\n".join(lines) + "\n" if lines else ""
    state.charge(len(text))
    return text


def _as_toml(value: Any) -> Any:
    if type(value) is int:
        return Int64(value)
    if isinstance(value, dict):
        return {key: _as_toml(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_toml(item) for item in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat().replace("+00:00", "Z")
    return value


def _from_toml(text: str) -> dict[str, Any]:
    try:
        found = _as_toml(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        return {"Error": f"toml: {fault}"}
    assert isinstance(found, dict)
    return found


def _decoded(decode: Callable[[bytes], bytes], alphabet: str, name: str, group: int) -> Callable[[str], str]:
    """What undoes an encoding, or returns what Go says of the first byte that does not belong there."""
    belongs = re.compile(f"[{alphabet}]*={{0,6}}")

    def decoded(text: str) -> str:
        bare = text.replace("\n", "").replace("\r", "")
        match = belongs.match(bare)
        end = match.end() if match is not None else 0
        if end != len(bare):
            return f"illegal {name} data at input byte {end}"
        try:
            return textual(decode(bare.encode("ascii")))
        except (binascii.Error, ValueError):
            return f"illegal {name} data at input byte {len(bare.rstrip('=')) // group * group}"

    return decoded


ENCODING: Final[Mapping[str, Function]] = {
    "b32dec": Function(_decoded(base64.b32decode, "A-Z2-7", "base32", 8), "s"),
    "b32enc": Function(lambda text: base64.b32encode(octets(text)).decode(), "s"),
    "b64dec": Function(
        _decoded(lambda data: base64.b64decode(data, validate=True), "A-Za-z0-9+/", "base64", 4), "s"
    ),
    "b64enc": Function(lambda text: base64.b64encode(octets(text)).decode(), "s"),
    "fromJson": Function(_from_json, "s"),
    "fromJsonArray": Function(_from_json_array, "s"),
    "fromToml": Function(_from_toml, "s"),
    "fromYaml": Function(_from_yaml, "s"),
    "fromYamlArray": Function(_from_yaml_array, "s"),
    "mustFromJson": Function(jsonwriting.from_json, "s"),
    "mustToJson": Function(_json(must=True), "a", state=True),
    "mustToPrettyJson": Function(_json(must=True, indent="  "), "a", state=True),
    "mustToRawJson": Function(_json(must=True, escape=False), "a", state=True),
    "toJson": Function(_json(must=False), "a", state=True),
    "toPrettyJson": Function(_json(must=False, indent="  "), "a", state=True),
    "toRawJson": Function(_json(must=True, escape=False), "a", state=True),
    "toToml": Function(_to_toml, "a", state=True),
    "toYaml": Function(_quietly(yamlwriting.dump), "a", state=True),
    "toYamlPretty": Function(
        _quietly(lambda value, state: yamlwriting.dump(value, state, pretty=True)), "a", state=True
    ),
}
"""The functions by name."""
