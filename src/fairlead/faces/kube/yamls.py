"""YAML in and out, as Kubernetes reads and writes it. Apart from `bodies` because most servers never need it.

Must never build more than the text is worth: depth and aliases are bounded before anything is built.
"""

from __future__ import annotations

import math
from typing import Any

import orjson
import yaml

_NODE_LIMIT = 500_000
"""Values in one document, its aliases expanded: what a few hundred bytes of aliases could become is far more."""
_TEXT_LIMIT = 16 * 1024 * 1024
"""Characters in them: one long text and many aliases of it are no better."""


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: no dates, no base-60 numbers; a merge key works, a tag of an application does not."""


def _resolvers() -> dict[str, list[tuple[str, Any]]]:
    dropped = {"tag:yaml.org,2002:timestamp"}
    return {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in dropped]
        for first, pairs in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def _number(kind: type) -> Any:
    base = "int" if kind is int else "float"

    def construct(loader: _Loader, node: yaml.ScalarNode) -> Any:
        if ":" in node.value:
            return node.value
        value = getattr(yaml.constructor.SafeConstructor, f"construct_yaml_{base}")(loader, node)
        if isinstance(value, float) and not math.isfinite(value):
            text = f"json: unsupported value: {node.value}"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)
        return value

    return construct


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    loader.flatten_mapping(node)
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _key(loader.construct_object(key_node, deep=True), key_node)
        if key in found:
            line = key_node.start_mark.line + 1
            raise yaml.constructor.ConstructorError(
                None, None, f'key "{key}" already set in map (line {line})', None
            )
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _key(value: Any, node: yaml.Node) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise yaml.constructor.ConstructorError(None, None, "a key is not a string", node.start_mark)


_Loader.yaml_implicit_resolvers = _resolvers()
_Loader.add_constructor("tag:yaml.org,2002:int", _number(int))
_Loader.add_constructor("tag:yaml.org,2002:float", _number(float))
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read(text: bytes, deepest: int) -> Any:
    """Return the one document of a YAML text, at most so many levels deep. Raises ValueError with the line where it breaks.

    No value is shared between two places, as aliases would: each can be changed alone.
    """
    try:
        _bound(text, deepest)
        document = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader with fewer tags
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"error converting YAML to JSON: yaml: {where}{fault.problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as fault:
        raise ValueError(
            f"error converting YAML to JSON: yaml: {' '.join(str(fault).split())[:200]}"
        ) from None
    try:
        return orjson.loads(orjson.dumps(document))
    except TypeError as fault:
        raise ValueError(f"error converting YAML to JSON: {fault}") from None


def _bound(text: bytes, deepest: int) -> None:
    """Refuse what would take the process's stack or memory: deep nesting, and aliases of aliases.

    Looks at the parser's events only, since building a deeply nested document is what breaks.
    """
    sizes: dict[str, tuple[int, int]] = {}
    open_: list[tuple[str, int, int]] = []
    total = characters = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor or "", total, characters))
            if len(open_) > deepest:
                raise ValueError(f"exceeded max depth of {deepest}")
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before, written_before = open_.pop()
            if anchor:
                sizes[anchor] = (total - before, characters - written_before)
        elif isinstance(event, yaml.AliasEvent):
            values, size = sizes.get(event.anchor or "", (1, 0))
            total += values
            characters += size
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            characters += len(event.value)
            if event.anchor:
                sizes[event.anchor] = (1, len(event.value))
        if total > _NODE_LIMIT or characters > _TEXT_LIMIT:
            raise ValueError("document contains excessive aliasing")


def written(document: bytes) -> bytes:
    """Return a JSON text as YAML."""
    return yaml.dump(orjson.loads(document), Dumper=yaml.CSafeDumper, allow_unicode=True).encode()
