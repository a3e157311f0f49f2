"""Patches that a client sends as a document: RFC 6902 (json) and RFC 7386 (merge).

Each takes an object and a patch and returns a new object; neither argument is changed. What the result must look like
is checked elsewhere. Strategic merge patches are in `merging`, server-side apply is in `applying`.
Sources: the RFCs, and where Kubernetes' library departs from them (gopkg.in/evanphx/json-patch v4), the library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.keep.errors import Refusal, bad_request
from fairlead.keep.merging import TOO_DEEP, copied, strategic_patch
from fairlead.tongues import jsonpatch
from fairlead.words import Resource

__all__ = ["json_patch", "merge_patch", "strategic_patch", "unprocessable"]

_MOST_OPERATIONS = 10_000


def unprocessable(why: str) -> Refusal:
    """422 for a patch that is well formed but cannot be applied; Kubernetes' message does not say why, the cause does."""
    return Refusal(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
        {"causes": [{"reason": "UnexpectedServerResponse", "message": why, "field": "patch"}]},
    )


def merge_patch(target: Resource, patch: Any) -> Resource:
    """Return the object with the RFC 7386 patch merged in: null removes, objects merge, anything else replaces.

    As in Kubernetes, fields that are null are removed from objects within lists as well.
    Raises Refusal 400 for a patch that is not an object.
    """
    if not isinstance(patch, dict):
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {_json_type(patch)} into Go value of type "
            "map[string]interface {}"
        )
    try:
        return _merged(target, patch)
    except RecursionError:
        raise bad_request(TOO_DEEP) from None


def _merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> Resource:
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
            continue
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            result[key] = _merged(before, value)
        else:
            result[key] = _without_nulls(value)
    return result


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def json_patch(target: Resource, operations: Any) -> Resource:
    """Return the object with the RFC 6902 operations applied in order.

    As in Kubernetes, `replace` also adds an absent key of an object, and negative indices count from the end. Raises
    Refusal 400 for what is no list of operations, 413 for too many, 422 for one that does not apply.
    """
    if not isinstance(operations, list):
        raise bad_request(
            f"json: cannot unmarshal {_json_type(operations)} into Go value of type jsonpatch.Patch"
        )
    for operation in operations:
        if not isinstance(operation, dict):
            raise bad_request(
                f"json: cannot unmarshal {_json_type(operation)} into Go value of type jsonpatch.Operation"
            )
    if len(operations) > _MOST_OPERATIONS:
        raise Refusal(
            413,
            "RequestEntityTooLarge",
            "Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{_MOST_OPERATIONS}, got {len(operations)}",
        )
    try:
        result = copied(jsonpatch.apply(target, operations))
    except jsonpatch.Unpatchable as fault:
        raise unprocessable(str(fault)) from None
    except RecursionError:
        raise unprocessable(TOO_DEEP) from None
    if not isinstance(result, dict):
        raise unprocessable(
            f"json: cannot unmarshal {_json_type(result)} into Go value of type map[string]interface {{}}"
        )
    return result


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
    return names.get(type(value), "null")
