"""Decodes like the API server: types are checked, unknown fields named, empty values dropped, amounts made canonical.

A Node is compiled once into closures that walk an object in place. Nothing here knows a kind, nor which fields must
be there. Sources: sigs.k8s.io/json (texts of type errors, paths of unknown fields), Go's time and encoding/base64.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias

from fairlead.keep.nodes import Node, Scalar
from fairlead.tongues import quantities

Path: TypeAlias = tuple[Any, ...] | None
"""How a value was reached: (path of its parent, field name or index), with a third element for a map's key."""

Checker: TypeAlias = Callable[[Any, Path, list[str]], Any]
"""Checks a value in place; names unknown fields in the list; returns the value to keep, None to drop the field."""

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)
_EXPECTED: dict[Scalar, type] = {
    "string": str,
    "int32": int,
    "int64": int,
    "float": float,
    "bool": bool,
    "bytes": str,
    "quantity": str,
    "int-or-string": str,
    "time": str,
    "micro-time": str,
}
_ZERO: dict[Scalar, Any] = {
    "int32": 0,
    "int64": 0,
    "float": 0,
    "bool": False,
    "quantity": "0",
    "int-or-string": 0,
}
_STAMP = re.compile(
    r"(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)"
    r"(?:[.,](\d+))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_LAYOUT = "2006-01-02T15:04:05Z07:00"


class Undecodable(Exception):
    """A value that cannot be what its field is; the text is the one of Go's decoder."""


def compiled(node: Node) -> Checker:
    """Return the checker of a type at the root of an object."""
    return _checker(node, "", {})


def place(path: Path, key: str | int = "", *, more: bool = False) -> str:
    """Return the path with indices and keys, as in `spec.containers[0].image`; with `more`, the key is added."""
    parts: list[str] = []
    if more:
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    while path is not None:
        step = path[1]
        parts.append(f"[{step}]" if isinstance(step, int) else f".{step}")
        path = path[0]
    return "".join(reversed(parts)).removeprefix(".")


def _fields_only(path: Path) -> str:
    parts: list[str] = []
    while path is not None:
        if isinstance(path[1], str) and len(path) == 2:
            parts.append(path[1])
        path = path[0]
    return ".".join(reversed(parts))


def _mismatch(value: Any, go: str, owner: str, path: Path) -> Undecodable:
    found = {bool: "bool", str: "string", list: "array", dict: "object"}.get(type(value), "number")
    if found == "number" and go in {"int32", "int64"}:
        found = f"number {value!r}"
    where = f"struct field {owner}.{_fields_only(path)}" if path is not None else "value"
    return Undecodable(f"json: cannot unmarshal {found} into Go {where} of type {go}")


def _checker(node: Node, owner: str, made: dict[tuple[str, str], Checker]) -> Checker:
    if node.type == "struct":
        key = (node.definition or node.go, owner)
        if key not in made:
            made[key] = _struct(node, owner, made)
        return made[key]
    if node.type == "list":
        return _list(node, owner, made)
    if node.type == "map":
        return _map(node, owner, made)
    if node.type == "scalar":
        return _scalar(node, owner)
    if node.either:
        return _either(node, made)
    return _anything


def _anything(value: Any, _path: Path, _out: list[str]) -> Any:
    return value


def _struct(node: Node, owner: str, made: dict[tuple[str, str], Checker]) -> Checker:
    table: dict[str, tuple[type | None, Checker | None, Checker]] = {}

    def build() -> None:
        for name, field in node.fields.items():
            check = _checker(field, node.struct, made)
            if field.type in {"list", "map"} and name not in node.required:
                check = _unless_empty(check)
            expected, fast = _expectation(field, check)
            table[name] = (expected, fast, check)

    def check_struct(value: Any, path: Path, out: list[str]) -> Any:
        if type(value) is not dict:
            if value is None:
                return None
            raise _mismatch(value, node.go, owner, path)
        if not table:
            build()
        drop: list[str] | None = None
        for name, item in value.items():
            entry = table.get(name)
            if entry is None:
                out.append(place(path, name, more=True))
            else:
                expected, fast, slow = entry
                if type(item) is expected:
                    if fast is None:
                        continue
                    kept = fast(item, (path, name), out)
                elif item is None:
                    kept = None
                else:
                    kept = slow(item, (path, name), out)
                if kept is not None:
                    if kept is item:
                        continue
                    value[name] = kept
                    continue
            if drop is None:
                drop = []
            drop.append(name)
        if drop is not None:
            for name in drop:
                del value[name]
        return value

    return check_struct


def _expectation(field: Node, check: Checker) -> tuple[type | None, Checker | None]:
    """Return the type that a value of the field mostly has, and what still is to be checked if it has (or None)."""
    if field.type == "scalar":
        expected = _EXPECTED[field.scalar]
        return expected, None if field.scalar in {"string", "bool", "float", "int-or-string"} else check
    if field.type == "untyped":
        return None, check
    return (list if field.type == "list" else dict), check


def _unless_empty(check: Checker) -> Checker:
    def check_if_any(value: Any, path: Path, out: list[str]) -> Any:
        kept = check(value, path, out)
        return kept or None

    return check_if_any


def _list(node: Node, owner: str, made: dict[tuple[str, str], Checker]) -> Checker:
    item_node = node.items
    check = _checker(item_node, owner, made)
    expected, fast = _expectation(item_node, check)

    def check_list(value: Any, path: Path, out: list[str]) -> Any:
        if type(value) is not list:
            raise _mismatch(value, node.go, owner, path)
        for index, item in enumerate(value):
            if type(item) is expected:
                if fast is None:
                    continue
                kept = fast(item, (path, index), out)
            elif item is None:
                kept = zero(item_node)
            else:
                kept = check(item, (path, index), out)
            if kept is not item:
                value[index] = kept
        return value

    return check_list


def _map(node: Node, owner: str, made: dict[tuple[str, str], Checker]) -> Checker:
    value_node = node.values
    check = _checker(value_node, owner, made)
    expected, fast = _expectation(value_node, check)

    def check_map(value: Any, path: Path, out: list[str]) -> Any:
        if type(value) is not dict:
            raise _mismatch(value, node.go, owner, path)
        for key, item in value.items():
            if type(item) is expected:
                if fast is None:
                    continue
                kept = fast(item, (path, key, True), out)
            elif item is None:
                kept = zero(value_node)
            else:
                kept = check(item, (path, key, True), out)
            if kept is not item:
                value[key] = kept
        return value

    return check_map


def zero(node: Node) -> Any:
    """Return what Go makes of a null inside a list or a map."""
    if node.type == "scalar":
        return _ZERO.get(node.scalar, "")
    return None if node.type == "untyped" else [] if node.type == "list" else {}


def _either(node: Node, made: dict[tuple[str, str], Checker]) -> Checker:
    """The schema-or-something types of CustomResourceDefinitions; Go's own decoder of them names no unknown fields."""
    props = node.lazy_items
    cell: list[Checker] = []

    def check_either(value: Any, path: Path, _out: list[str]) -> Any:
        if not cell:
            cell.append(_checker(props() if props is not None else node, "", made))
        ignored: list[str] = []
        if isinstance(value, dict):
            return cell[0](value, path, ignored)
        if isinstance(value, list) and node.either == "list":
            return [cell[0](item, path, ignored) for item in value]
        if isinstance(value, list) and node.either == "strings":
            return value
        if isinstance(value, bool) and node.either == "bool":
            return value
        raise Undecodable(
            "boolean or JSON schema expected" if node.either == "bool" else "JSON schema expected"
        )

    return check_either


def _scalar(node: Node, owner: str) -> Checker:
    if node.scalar in {"int32", "int64"}:
        valid = _INT32 if node.scalar == "int32" else _INT64

        def check_int(value: Any, path: Path, _out: list[str]) -> Any:
            if type(value) is not int or value not in valid:
                raise _mismatch(value, node.go, owner, path)
            return value

        return check_int
    if node.scalar == "quantity":
        return _quantity
    if node.scalar == "int-or-string":

        def check_either(value: Any, path: Path, _out: list[str]) -> Any:
            if type(value) is str or (type(value) is int and value in _INT32):
                return value
            raise _mismatch(value, "int32", owner, path)

        return check_either
    if node.scalar == "bytes":

        def check_bytes(value: Any, path: Path, _out: list[str]) -> Any:
            if type(value) is not str:
                raise _mismatch(value, node.go, owner, path)
            return _base64(value)

        return check_bytes
    if node.scalar in {"time", "micro-time"}:
        micro = node.scalar == "micro-time"

        def check_time(value: Any, path: Path, _out: list[str]) -> Any:
            if type(value) is not str:
                raise _mismatch(value, "string", owner, path)
            return stamp(value, micro=micro)

        return check_time

    expected: tuple[type, ...] = (float, int) if node.scalar == "float" else (_EXPECTED[node.scalar],)

    def check_plain(value: Any, path: Path, _out: list[str]) -> Any:
        if type(value) not in expected:
            raise _mismatch(value, node.go, owner, path)
        return value

    return check_plain


def _quantity(value: Any, _path: Path, _out: list[str]) -> Any:
    if type(value) not in {str, int, float}:
        raise Undecodable(quantities.WRONG_FORM)
    try:
        text = _canonical(value.strip() if type(value) is str else value)
    except ValueError as error:
        raise Undecodable(str(error)) from None
    return value if text == value else text


@lru_cache(maxsize=4096)
def _canonical(value: str | float) -> str:
    return quantities.canonical(value)


_ALPHABET = re.compile(r"[A-Za-z0-9+/]*", re.ASCII)


def _base64(text: str) -> str:
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        pass
    else:
        return text
    plain = text.replace("\r", "").replace("\n", "")
    try:
        binascii.a2b_base64(plain, strict_mode=True)
    except (binascii.Error, ValueError):
        matched = _ALPHABET.match(plain)
        at = matched.end() if matched else 0
        if at < len(plain) and plain[at] == "=" and at % 4 >= 2:
            at = min(at - at % 4 + 4, len(plain))
        elif at == len(plain):
            at -= at % 4
        raise Undecodable(f"illegal base64 data at input byte {at}") from None
    return plain


def stamp(text: str, *, micro: bool = False) -> str:
    """Return an RFC 3339 time as Kubernetes stores it: UTC, in whole seconds or, for a MicroTime, in six digits.

    Raises Undecodable with the text of Go's time.Parse.
    """
    if (
        len(text) == (27 if micro else 20)
        and text[8:10] <= "28"
        and text[-1] == "Z"
        and _STAMP.fullmatch(text)
    ):
        return text
    if not text and not micro:
        return text
    found = _STAMP.fullmatch(text)
    if found is None:
        raise Undecodable(_unparsed(text))
    whole, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(whole + ("+00:00" if zone == "Z" else zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Undecodable(f'parsing time "{text}": day out of range') from None
    digits = f".{(fraction or '')[:6]:0<6}" if micro else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f"{digits}Z"


def _unparsed(text: str) -> str:
    """Walk the layout as time.Parse does, to name the part of the text that stops it."""
    steps = (
        ("2006", r"\d{4}"),
        ("-", "-"),
        ("01", r"\d\d"),
        ("-", "-"),
        ("02", r"\d\d"),
        ("T", "T"),
        ("15", r"\d\d"),
        (":", ":"),
        ("04", r"\d\d"),
        (":", ":"),
        ("05", r"\d\d(?:[.,]\d+)?"),
        ("Z07:00", r"Z|[+-]\d\d:\d\d"),
    )
    ranges = {
        "01": ("month", 1, 12),
        "02": ("day", 1, 31),
        "15": ("hour", 0, 23),
        "04": ("minute", 0, 59),
        "05": ("second", 0, 59),
    }
    rest = text
    for name, pattern in steps:
        found = re.match(pattern, rest, re.ASCII)
        if found is None:
            return f'parsing time "{text}" as "{_LAYOUT}": cannot parse "{rest}" as "{name}"'
        if name in ranges:
            part, low, high = ranges[name]
            if not low <= int(found[0][:2]) <= high:
                return f'parsing time "{text}": {part} out of range'
        rest = rest[found.end() :]
    return f'parsing time "{text}": extra text: "{rest}"'
