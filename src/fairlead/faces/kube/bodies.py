"""Request bodies: JSON, YAML and protobuf in, plain objects out, with the texts Kubernetes refuses them with.

What an object must look like is for `keep` to say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import orjson
import yaml

from fairlead.faces.kube import protobuf
from fairlead.faces.kube.negotiating import JSON, OFFERED, PROTOBUF, YAML, media
from fairlead.keep.errors import bad_request, unsupported_media_type
from fairlead.keep.schemas import duplicates
from fairlead.words import PatchType

PATCH_TYPES: dict[str, PatchType] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
DEEPEST = 100
"""Levels of nesting in a body. What Kubernetes' own schemas allow is far less."""
_NODE_LIMIT = 500_000
"""Values in one YAML document, its aliases expanded: what a few hundred bytes of aliases could become is far more."""


_KEY = re.compile(rb'"[ \t\r\n]*:')


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


def from_yaml(text: bytes) -> Any:
    """Return the one document of a YAML text. Raises ValueError with the line where it breaks."""
    try:
        _bound(text)
        return yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader with fewer tags
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"error converting YAML to JSON: yaml: {where}{fault.problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as fault:
        raise ValueError(
            f"error converting YAML to JSON: yaml: {' '.join(str(fault).split())[:200]}"
        ) from None


def _bound(text: bytes) -> None:
    """Refuse what would take the process's stack or memory: deep nesting, and aliases of aliases.

    Looks at the parser's events only, since building a deeply nested document is what breaks.
    """
    sizes: dict[str, int] = {}
    open_: list[tuple[str, int]] = []
    total = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor or "", total))
            if len(open_) > DEEPEST:
                raise ValueError(f"exceeded max depth of {DEEPEST}")
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.AliasEvent):
            total += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
        if total > _NODE_LIMIT:
            raise ValueError("document contains excessive aliasing")


def from_json(text: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError with line and column where it breaks."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as fault:
        raise ValueError(f"json parse error: {fault}") from None
    if text.count(b"{") + text.count(b"[") > DEEPEST and _measure(document)[1] > DEEPEST:
        raise ValueError(f"json parse error: exceeded max depth of {DEEPEST}")
    return document


def _measure(document: Any) -> tuple[int, int]:
    """Return how many keys a document has, and how deeply it is nested."""
    keys, deepest = 0, 0
    level = [document]
    while level:
        deepest += 1
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                keys += len(value)
                below.extend(one for one in value.values() if isinstance(one, dict | list))
            elif isinstance(value, list):
                below.extend(one for one in value if isinstance(one, dict | list))
        level = below
    return keys, deepest


def decode(text: bytes, content_type: str, kind: str, *, accept_protobuf: bool = True) -> Any:
    """Return the object in a body. `kind` is what is expected there, for the text of the Refusal (400 or 415).

    Custom resources have no protobuf form.
    """
    declared = media(content_type).type or JSON
    try:
        if declared in {JSON, "*/*"}:
            return from_json(text)
        if declared in {YAML, "application/x-yaml", "text/yaml"}:
            return _plain(from_yaml(text))
    except ValueError as fault:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            f"{fault} ({_glimpse(text)})"
        ) from None
    if declared == PROTOBUF and accept_protobuf:
        return protobuf.decode(text)
    raise unsupported_media_type(OFFERED if accept_protobuf else (JSON, YAML))


def repeated(text: bytes, content_type: str) -> list[str]:
    """Return a text for each key that a JSON body has twice. Only a body that may have one is looked at closely."""
    if media(content_type).type not in {JSON, ""}:
        return []
    try:
        if _measure(orjson.loads(text))[0] == len(_KEY.findall(text)):
            return []
        return duplicates(text)
    except ValueError:
        return []


def patch_type(content_type: str, accepted: Iterable[str] = tuple(PATCH_TYPES)) -> PatchType:
    """Return the sort of patch that a Content-Type declares; raises the 415 Refusal for others."""
    declared = media(content_type).type
    allowed = tuple(accepted)
    if declared not in allowed:
        raise unsupported_media_type(allowed)
    return PATCH_TYPES[declared]


def decode_patch(text: bytes, patch: PatchType) -> Any:
    """Return the patch document. Raises the 400 Refusal for one that cannot be read."""
    try:
        if patch == "apply":
            return _plain(from_yaml(text)) if not text.lstrip().startswith(b"{") else from_json(text)
        return from_json(text)
    except ValueError as fault:
        what = "error decoding YAML: " if patch == "apply" else "error decoding patch: "
        raise bad_request(f"{what}{fault}") from None


def _plain(document: Any) -> Any:
    """Return the document without values that two places share (a YAML alias), so that one can be changed alone."""
    try:
        return orjson.loads(orjson.dumps(document))
    except TypeError as fault:
        raise ValueError(f"error converting YAML to JSON: {fault}") from None


def _glimpse(text: bytes) -> str:
    return text[:64].hex() + ("..." if len(text) > 64 else "")
