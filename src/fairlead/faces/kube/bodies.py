"""Request bodies: JSON, YAML and protobuf in, plain objects out, with the texts Kubernetes refuses them with.

What an object must look like is for `keep` to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

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
_ODD = (b"\\u0022", b"\\u003a", b"\\u003A", b" :", b"\t:", b"\n:", b"\r:")
"""What makes it unclear where a key ends: an escaped quote or colon, and white space before a colon."""


def from_json(text: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError with line and column where it breaks."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as fault:
        raise ValueError(f"json parse error: {fault}") from None
    if text.count(b"{") + text.count(b"[") > DEEPEST and _depth(document) > DEEPEST:
        raise ValueError(f"json parse error: exceeded max depth of {DEEPEST}")
    return document


def _depth(document: Any) -> int:
    """Return how deeply a document is nested."""
    deepest = 0
    level = [document]
    while level:
        deepest += 1
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(one for one in value.values() if isinstance(one, dict | list))
            elif isinstance(value, list):
                below.extend(one for one in value if isinstance(one, dict | list))
        level = below
    return deepest


def decode(text: bytes, content_type: str, kind: str, *, accept_protobuf: bool = True) -> Any:
    """Return the object in a body. `kind` is what is expected there, for the text of the Refusal (400 or 415).

    Custom resources have no protobuf form.
    """
    declared = media(content_type).type or JSON
    try:
        if declared in {JSON, "*/*"}:
            return from_json(text)
        if declared in {YAML, "application/x-yaml", "text/yaml"}:
            return _from_yaml(text)
    except ValueError as fault:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            f"{fault} ({_glimpse(text)})"
        ) from None
    if declared == PROTOBUF and accept_protobuf:
        return protobuf.decode(text)
    raise unsupported_media_type(OFFERED if accept_protobuf else (JSON, YAML))


def repeated(text: bytes, content_type: str, document: Any) -> list[str]:
    """Return a text for each key that a JSON body has twice. `document` is the decoded body.

    Only a body that may have one is looked at closely: encoded again, it has fewer keys.
    """
    if media(content_type).type not in {JSON, ""}:
        return []
    try:
        again = orjson.dumps(document)
        if not any(odd in text for odd in _ODD) and text.count(b'":') == again.count(b'":'):
            return []
        return duplicates(text)
    except (TypeError, ValueError):
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
            return _from_yaml(text) if not text.lstrip().startswith(b"{") else from_json(text)
        return from_json(text)
    except ValueError as fault:
        what = "error decoding YAML: " if patch == "apply" else "error decoding patch: "
        raise bad_request(f"{what}{fault}") from None


def _from_yaml(text: bytes) -> Any:
    from fairlead.faces.kube import yamls  # few clients send YAML

    return yamls.read(text, DEEPEST)


def _glimpse(text: bytes) -> str:
    return text[:64].hex() + ("..." if len(text) > 64 else "")
