"""YAML as Kubernetes' tools read and write it: text in, JSON values out, and back.

Scalars mean what they mean to kubectl (YAML 1.1, but timestamps and sexagesimal numbers stay text), keys become texts, and a key that is
written twice is refused. Text is hostile until it was read: nesting, and what aliases expand to, are limited. Values that an alias
repeats are shared: a caller that changes what it was given copies first. Source: sigs.k8s.io/yaml over gopkg.in/yaml.v2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import yaml

DEEPEST = 100
_DANGEROUS = 2_000
"""Levels that are still far from the end of a stack."""
"""Levels of nesting that a document may have."""
LARGEST = 1_000_000
"""Values that a document may have once its aliases are expanded."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z")
_BASED = re.compile(r"([-+]?)(0x[0-9a-fA-F_]+|0b[01_]+|0o[0-7_]+|0[0-7_]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_PLAIN = "plain"
"""The tag that unquoted scalars without a tag get here."""


class BadYaml(ValueError):
    """The text is no YAML, or more than is allowed. `line` and `column` count from 1; 0: unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.message, self.line, self.column = message, line, column


def check_depth(text: str) -> None:
    """Raise BadYaml for a text that nests so deeply that composing it, which libyaml's reader does on the stack, would end the process.

    Says nothing of what is no YAML, and lets pass what is merely too deep: whoever reads it tells that better.
    """
    if (
        text.count("[") + text.count("{") < _DANGEROUS
        and max(map(len, text.splitlines()), default=0) < _DANGEROUS
    ):
        return  # each level has a bracket or a column of its own, a list within a mapping excepted
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _DANGEROUS:
                    line = event.start_mark.line + 1 if event.start_mark else 0
                    raise BadYaml(f"nested more than {DEEPEST} levels deep", line)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError:
        return


def scalar(value: str) -> Any:
    """Return what an unquoted scalar means: null, boolean, number or the text itself."""
    if value in _WORDS:
        return _WORDS[value]
    if value[0] not in "+-.0123456789":
        return value
    if _INTEGER.match(value):
        return int(value.replace("_", "")) if len(value) < 400 else value
    based = _BASED.match(value)
    if based is not None:
        digits = based.group(2).replace("_", "")
        number = int(digits, 0) if digits[1:2] in {"x", "b", "o"} else int(digits or "0", 8)
        return -number if based.group(1) == "-" else number
    if _FLOAT.match(value):
        number_f = float(value.replace("_", ""))
        return number_f if number_f not in {float("inf"), float("-inf")} else value
    return value


def load(text: str) -> Any:
    """Return the value of the only document (None when there is none). Raises BadYaml, also for a second document."""
    found = load_all(text)
    if len(found) > 1:
        raise BadYaml(f"{len(found)} documents where one is expected")
    return found[0] if found else None


def load_all(
    text: str,
    scalars: Callable[[str], Any] = scalar,
    *,
    texts: Callable[[str], str] = str,
    repeats: bool = False,
) -> list[Any]:
    """Return the value of each document; empty ones are None. Raises BadYaml.

    `scalars` says what an unquoted scalar means, for formats whose tools read YAML by other rules than kubectl, and `texts` what a quoted
    one becomes. With `repeats` a key may be written twice, and the last one counts.
    """
    check_depth(text)
    usual = scalars is scalar and texts is str and not repeats
    try:
        loader = (_Reader if usual else _reader(scalars, texts, repeats))(text)
    except (yaml.YAMLError, ValueError) as fault:
        raise BadYaml(str(fault).splitlines()[0]) from fault
    try:
        found = []
        while loader.check_data():
            found.append(loader.get_data())
            _measure(found[-1])
        return found
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        problem = fault.problem or fault.context or "not YAML"
        raise BadYaml(problem, mark.line + 1 if mark else 0, mark.column + 1 if mark else 0) from fault
    except yaml.YAMLError as fault:
        raise BadYaml(str(fault).splitlines()[0]) from fault
    except RecursionError:
        raise BadYaml(f"nested more than {DEEPEST} levels deep") from None
    finally:
        loader.dispose()


def dump(value: Any, *, sort: bool = False) -> str:
    """Return a document, in the order of the mappings or sorted by key. What another YAML reader could misread is quoted."""
    text: str = yaml.dump(
        value, Dumper=_Writer, sort_keys=sort, default_flow_style=False, allow_unicode=True, width=1 << 30
    )
    return text


def dump_all(values: Iterable[Any], *, sort: bool = False) -> str:
    """Return documents, separated by `---`."""
    return "---\n".join(dump(value, sort=sort) for value in values)


class _Reader(_LOADER):  # type: ignore[misc]  # libyaml's or not
    """Reads scalars by Kubernetes' rules and makes keys texts."""

    repeats = False

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Tell unquoted scalars, which may stand for something, from texts."""
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return super().resolve(kind, value, implicit)


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
                    raise yaml.constructor.ConstructorError(
                        None, None, "<< wants a mapping or a list of mappings", value_node.start_mark
                    )
                merged.update(source)
            continue
        key = _key(reader.construct_object(key_node, deep=True), key_node)
        if key in own and not reader.repeats:
            raise yaml.constructor.ConstructorError(
                None, None, f'the key "{key}" is written twice in one mapping', key_node.start_mark
            )
        own[key] = reader.construct_object(value_node, deep=True)
    result.update({**merged, **own} if merged else own)


def _key(value: Any, node: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str(value)
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) in {int, float}:
        return str(value)
    if value is None:
        return "null"
    raise yaml.constructor.ConstructorError(None, None, "a key must be a text", node.start_mark)


_Reader.add_constructor(_TEXT, lambda _, node: node.value)
for _tag in (
    _PLAIN,
    *(f"tag:yaml.org,2002:{_name}" for _name in ("null", "bool", "int", "float", "timestamp")),
):
    _Reader.add_constructor(_tag, lambda _, node: scalar(node.value))
_Reader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Reader.add_constructor("tag:yaml.org,2002:seq", _LOADER.construct_yaml_seq)
_Reader.add_constructor("tag:yaml.org,2002:binary", lambda _, node: "".join(node.value.split()))


@lru_cache(maxsize=8)
def _reader(scalars: Callable[[str], Any], texts: Callable[[str], str], repeats: bool) -> Any:
    """Return a reader for which scalars mean what the functions say."""
    made = type("_OtherReader", (_Reader,), {"repeats": repeats})
    made.add_constructor(_PLAIN, lambda _, node: scalars(node.value))  # type: ignore[attr-defined]  # of PyYAML
    if texts is not str:
        made.add_constructor(_TEXT, lambda _, node: texts(node.value))  # type: ignore[attr-defined]  # as above
    return made


def _measure(value: Any) -> None:
    """Refuse what is too deep, too large once expanded, or contains itself."""
    sizes: dict[int, int] = {}
    stack: list[tuple[Any, int, bool]] = [(value, 0, False)]
    while stack:
        item, depth, done = stack.pop()
        if type(item) is not dict and type(item) is not list:
            continue
        parts = item.values() if type(item) is dict else item
        if done:
            size = 1 + sum(sizes.get(id(part), 1) if type(part) in {dict, list} else 1 for part in parts)
            if size > LARGEST:
                raise BadYaml(f"more than {LARGEST} values once its aliases are expanded")
            sizes[id(item)] = size
        elif id(item) not in sizes:
            if depth >= DEEPEST:
                raise BadYaml(f"nested more than {DEEPEST} levels deep, or contains itself")
            stack.append((item, depth, True))
            stack.extend((part, depth + 1, False) for part in parts)


class _Writer(_DUMPER):  # type: ignore[misc]  # libyaml's or not
    """Writes texts so that every reader of YAML 1.1 or 1.2 reads texts, and repeats shared values instead of aliasing them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  whatever it is
        return True


_AMBIGUOUS = re.compile(
    r"(?:[yYnN]|~|null|Null|NULL|true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|=|<<"
    r"|[-+]?(?:\.(?:inf|Inf|INF)|\.nan|\.NaN|\.NAN)|[-+.]?[0-9][-+0-9_.:eExXoOa-fA-FTtZz ]*)\Z"
)


def _write_text(writer: Any, value: str) -> Any:
    if "\n" in value and not re.search(r"[ \t]\n|\A[ \n]|[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\n\t]", value):
        return writer.represent_scalar(_TEXT, value, style="|")
    quoted = '"' if not value or _AMBIGUOUS.match(value) else None
    return writer.represent_scalar(_TEXT, value, style=quoted)


_Writer.add_representer(str, _write_text)
