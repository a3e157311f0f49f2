"""What is said of a patch that leaves an object which is none of its kind: 422 with the field `patch`.

Only words: whether the result fits is for `schemas` to say, whose Refusal is translated here.
Source: k8s.io/apiserver pkg/endpoints/handlers/patch.go, k8s.io/apimachinery pkg/runtime/converter.go.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from fairlead.keep.errors import Cause, Refusal, invalid
from fairlead.keep.kinds import Kind
from fairlead.words import PatchType, Resource

_UNMARSHAL = re.compile(
    r"json: cannot unmarshal (?P<given>\w+)(?: (?P<text>\S+))? into Go (?:struct field \S+|value) of type (?P<wanted>.+)"
)
_KINDS = {"object": "map", "array": "slice", "number": "int64"}
_SIMPLE = (
    "bool",
    "float32",
    "float64",
    "int",
    "int32",
    "int64",
    "string",
    "uint",
    "uint32",
    "uint64",
    "uint8",
)
_LONGEST = 64 * 1024
"""Characters of the value that a message repeats at most: a patched object may be megabytes."""


def misfit(refusal: Refusal, kind: Kind, patch: Any, patch_type: PatchType, result: Resource) -> Refusal:
    """Return what to answer instead of the 400 that decoding the result of a patch gave."""
    text = refusal.message.removeprefix(
        f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
    )
    if text == refusal.message:
        return refusal
    if patch_type == "strategic":
        value, text = go_value(patch), _converted(text)
    else:
        value = orjson.dumps(result).decode("utf-8", "replace")
    shown = value if len(value) <= _LONGEST else value[:_LONGEST] + "..."
    cause = Cause(
        "FieldValueInvalid", f"Invalid value: {json.dumps(shown, ensure_ascii=False)}: {text}", "patch"
    )
    return invalid("", "", "", [cause])


def _converted(text: str) -> str:
    """Return what Kubernetes' converter says where its JSON decoder says the text."""
    found = _UNMARSHAL.fullmatch(text)
    if found is None:
        return text
    given = _KINDS.get(found["given"], found["given"])
    if given == "int64" and "." in (found["text"] or ""):
        given = "float64"
    wanted = found["wanted"]
    if wanted in _SIMPLE:
        numbers = wanted not in {"string", "bool"}
        both = given in {"int64", "float64"} and numbers
        if both or (given == "int64" and wanted == "string"):
            return f"cannot convert {given} to {wanted}"
        return f"unrecognized type: {wanted}"
    if wanted.startswith("map["):
        return f"cannot restore map from {given}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {given}"
    return f"cannot restore struct from: {given}"


def go_value(value: Any) -> str:
    """Return a JSON value as Go's `%+v` prints it: `map[spec:map[replicas:x]]`."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case dict():
            return "map[" + " ".join(f"{key}:{go_value(value[key])}" for key in sorted(value)) + "]"
        case list():
            return "[" + " ".join(go_value(item) for item in value) + "]"
    return str(value)
