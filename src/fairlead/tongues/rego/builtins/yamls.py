"""YAML as Kubernetes' tools read and write it: 1.1, into JSON, with Go's rules for what is a number or a boolean.

Aliases are followed, but not without end: a document that grows beyond the limit is refused, as is one that contains itself.
Source: sigs.k8s.io/yaml over gopkg.in/yaml.v2.
"""

from __future__ import annotations

import re
from functools import cmp_to_key
from typing import Any

import yaml

from fairlead.tongues.rego.values import number, number_text, to_json
from fairlead.tongues.yamls import BadYaml, check_depth

from .encodings import clean
from .formats import general
from .kinds import MOST_ITEMS, Builtin, BuiltinError, Context, bounded, short, table, text

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""With libyaml where PyYAML has it: it is faster, and its complaints are those of Go's YAML."""

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WHOLE = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)")
_BASE60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST = 4 << 20
"""YAML needs a hundred times its length to be read."""
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_PLAIN = "plain"
"""The tag that unquoted scalars without a tag get here."""


def plain(value: str) -> Any:
    """Return what an unquoted scalar stands for: null, a boolean, a number, or the text itself."""
    if value in _WORDS:
        return _WORDS[value]
    if value[0] not in "+-.0123456789" or len(value) > 4000:
        return value
    digits = value.replace("_", "")
    if _WHOLE.fullmatch(digits):
        body = digits.lstrip("+-").lower()
        base = (
            16
            if body[:2] == "0x"
            else 2
            if body[:2] == "0b"
            else 8
            if body[:1] == "0" and len(body) > 1
            else 10
        )
        found = int(body[2:] if body[1:2] in {"x", "b", "o"} else body, base)
        if found < 1 << 64:
            return -found if digits[0] == "-" else found
    if _FLOAT.fullmatch(digits):
        return number(float(digits))
    if _SPECIAL.fullmatch(value):
        raise BuiltinError(f"json: unsupported value: {'NaN' if 'n' in value[1:3].lower()[:1] else value[0]}")
    return value


class _Reader(_LOADER):  # type: ignore[misc]  # libyaml's or not
    """Reads scalars by Go's rules and makes keys strings."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Tell unquoted scalars, which may stand for something, from texts."""
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return super().resolve(kind, value, implicit)


def _key(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) in {int, float}:
        return number_text(value)
    if value is None:
        return "null"
    raise BuiltinError("error converting YAML to JSON: yaml: invalid map key")


def _mapping(reader: Any, node: Any) -> Any:
    result: dict[str, Any] = {}
    yield result
    merged: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if key_node.tag == _MERGE or (key_node.tag == _PLAIN and key_node.value == "<<"):
            found = reader.construct_object(value_node, deep=True)
            for source in reversed(found) if type(found) is list else [found]:
                if type(source) is not dict:
                    raise BuiltinError("yaml: map merge requires map or sequence of maps as the value")
                merged.update(source)
        else:
            own[_key(reader.construct_object(key_node, deep=True))] = reader.construct_object(
                value_node, deep=True
            )
    result.update({**merged, **own})


_Reader.add_constructor(_TEXT, lambda reader, node: reader.construct_scalar(node))
for _tag in (
    _PLAIN,
    *(f"tag:yaml.org,2002:{_name}" for _name in ("null", "bool", "int", "float", "timestamp")),
):
    _Reader.add_constructor(_tag, lambda _, node: plain(node.value))
_Reader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Reader.add_constructor("tag:yaml.org,2002:seq", _LOADER.construct_yaml_seq)


def parse(value: str) -> Any:
    """Return the first document as JSON. Raises BuiltinError as Go's parser words it."""
    bounded(len(value), _LONGEST, "characters of YAML")
    reader = None
    try:
        check_depth(value)
        reader = _Reader(clean(value))
        found = _read(reader)
    except yaml.MarkedYAMLError as error:
        raise BuiltinError(_said(error)) from None
    except yaml.YAMLError as error:
        raise BuiltinError(f"yaml: {error}") from None
    except (BadYaml, RecursionError):
        raise BuiltinError("yaml: exceeded max depth") from None
    finally:
        if reader is not None:
            reader.dispose()
    _weigh(found)
    return found


def _read(reader: Any) -> Any:
    if not reader.check_node():
        return None
    return reader.construct_document(reader.get_node())


def _said(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    line = (mark.line if mark is not None else 0) or 1
    if isinstance(error, yaml.scanner.ScannerError) and mark is not None:
        line = mark.line + 1
    if isinstance(error, yaml.constructor.ConstructorError) and "recursive" in str(error.problem):
        return "yaml: anchor value contains itself"
    return f"yaml: line {line}: {error.problem}"


def _weigh(found: Any) -> None:
    """Refuse what would be too large once its aliases are written out, or contains itself."""
    sizes: dict[int, int] = {}

    def weigh(value: Any) -> int:
        if type(value) is not dict and type(value) is not list:
            return 1
        known = sizes.get(id(value))
        if known is None:
            sizes[id(value)] = -1
            known = 1 + sum(map(weigh, value.values() if type(value) is dict else value))
            if known > MOST_ITEMS:
                raise BuiltinError("yaml: document contains excessive aliasing")
            sizes[id(value)] = known
        if known < 0:
            raise BuiltinError("yaml: anchor value contains itself")
        return known

    try:
        weigh(found)
    except RecursionError:
        raise BuiltinError("yaml: exceeded max depth") from None


class _Writer(_DUMPER):  # type: ignore[misc]  # libyaml's or not
    """Writes texts in the styles that Go's YAML chooses."""

    def ignore_aliases(self, _: Any) -> bool:
        """Write everything out."""
        return True


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufeff\ufffe\uffff]")


def _string(writer: Any, value: str) -> Any:
    style: str | None = None
    if _CONTROL.search(value):
        style = '"'
    elif "\n" in value:
        style = "|"
    elif _BASE60.fullmatch(value) or value in {"<<", "="}:
        style = '"'
    else:
        try:
            style = None if plain(value) is value or type(plain(value)) is str else '"'
        except BuiltinError:
            style = '"'
    return writer.represent_scalar(_TEXT, value, style=style)


def _float(writer: Any, value: float) -> Any:
    return writer.represent_scalar(_TEXT, general(value))


def _word(writer: Any, value: Any) -> Any:
    return writer.represent_scalar(_TEXT, "null" if value is None else number_text(value))


def _boolean(writer: Any, value: bool) -> Any:
    return writer.represent_scalar(_TEXT, "true" if value else "false")


def _object(writer: Any, value: dict[str, Any]) -> Any:
    ordered = sorted(value.items(), key=lambda pair: _BY_NATURE(pair[0]))
    return writer.represent_mapping("tag:yaml.org,2002:map", ordered)


def _digits(value: str, place: int) -> str:
    found = re.compile("[0-9]*").match(value, place)
    return found[0] if found is not None else ""


def _natural(one: str, other: str) -> int:
    """Order keys as Go's YAML does: numbers within them by their value, letters after all else."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left == right:
            continue
        if left.isalpha() or right.isalpha():
            if left.isalpha() and right.isalpha():
                return -1 if left < right else 1
            return -1 if right.isalpha() else 1
        lead = ""
        if "0" in {left, right}:
            begun = place
            while begun and one[begun - 1].isdigit():
                begun -= 1
            lead = "1" if one[begun:place].strip("0") else ""
        first, second = _digits(one, place), _digits(other, place)
        numbers = int((lead + first)[:4000] or "0"), int((lead + second)[:4000] or "0")
        if numbers[0] != numbers[1]:
            return -1 if numbers[0] < numbers[1] else 1
        if len(first) != len(second):
            return -1 if len(first) < len(second) else 1
        return -1 if left < right else 1
    return len(one) - len(other)


_Writer.yaml_implicit_resolvers = {}
_BY_NATURE: Any = cmp_to_key(_natural)
_Writer.add_representer(str, _string)
_Writer.add_representer(float, _float)
_Writer.add_representer(dict, _object)
_Writer.add_representer(int, _word)
_Writer.add_representer(type(None), _word)
_Writer.add_representer(bool, _boolean)


def write(value: Any) -> str:
    """Return a value as YAML text."""
    plain_value = _cleaned(to_json(value))
    found: str = yaml.dump(
        plain_value,
        Dumper=_Writer,
        default_flow_style=False,
        allow_unicode=True,
        width=1 << 30,
        sort_keys=False,
    )
    short(len(found))
    return found.removesuffix("...\n")


def _cleaned(value: Any) -> Any:
    if type(value) is str:
        return clean(value)
    if type(value) is list:
        return [_cleaned(element) for element in value]
    if type(value) is dict:
        return {clean(name): _cleaned(element) for name, element in value.items()}
    return value


def _valid(_: Context, value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        parse(value)
    except BuiltinError:
        return False
    return True


BUILTINS = table(
    Builtin("yaml.marshal", 1, lambda _, value: write(value)),
    Builtin("yaml.unmarshal", 1, lambda _, value: parse(text(value, 1))),
    Builtin("yaml.is_valid", 1, _valid),
)
