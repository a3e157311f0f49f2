"""Lists: selection, pages that stay consistent, and which moment a resourceVersion asks for.

Reads committed state only. A page is taken at the resourceVersion of the first page: what changed since is undone with
the window's entries. Nothing here encodes or decodes more than a field selector needs.
Source: Kubernetes API concepts; k8s.io/apiserver storage/continue.go, registry/rest and apimachinery validation texts.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left
from typing import Any

import orjson

from fairlead.keep.entries import Listing, Storage, Stored
from fairlead.keep.errors import Cause, Refusal, bad_request, expired, invalid
from fairlead.keep.selecting import Fields, selected
from fairlead.keep.shelves import key_of
from fairlead.keep.staging import Store
from fairlead.tongues.selectors import Expr

_TOKEN = "meta.k8s.io/v1"  # noqa: S105  # the version of a continue token, no secret
_INCONSISTENT = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


class PageExpired(Refusal):
    """410 for a continue token whose moment is gone, with a token that goes on from the same place, inconsistently."""

    def __init__(self, continue_: str) -> None:
        super().__init__(410, "Expired", _INCONSISTENT)
        self.continue_ = continue_

    @property
    def status(self) -> dict[str, Any]:
        """The metav1.Status, with metadata.continue."""
        status = super().status
        status["metadata"] = {"continue": self.continue_}
        return status


def page(
    store: Store,
    storage: Storage,
    namespace: str | None,
    labels: Expr | None,
    fields: Fields,
    limit: int,
    continue_: str,
    rv: str,
    rv_match: str,
) -> Listing:
    """Return one page. A `limit` of 0 or less is no limit. Refusals: 400, 410, 422 and 504 as Kubernetes gives them."""
    limit = max(limit, 0)
    moment, after = _moment(store, limit, continue_, rv, rv_match)
    if moment == store.committed_rv and limit and namespace is not None and labels is None and not fields:
        first = key_of(namespace)
        if not after or after.startswith(first):
            items, left = store.committed.page(storage, namespace, after.removeprefix(first), limit)
            return Listing(items, moment, *((_token(moment, _next(items[-1])), left) if left else ()))
    if moment == store.committed_rv:
        items = _now(store, storage, namespace, fields)
    else:
        try:
            items = _then(store, storage, namespace, moment)
        except Refusal as refusal:
            if continue_:
                raise PageExpired(_token(-1, after)) from refusal
            raise expired() from refusal
    if after:
        items = items[bisect_left(items, after, key=lambda stored: key_of(stored.namespace, stored.name)) :]
    if labels is not None or fields:
        return _chosen(items, storage, labels, fields, limit, moment)
    if limit and len(items) > limit:
        last = items[limit - 1]
        return Listing(items[:limit], moment, _token(moment, _next(last)), len(items) - limit)
    return Listing(items, moment)


def _chosen(
    items: list[Stored], storage: Storage, labels: Expr | None, fields: Fields, limit: int, moment: int
) -> Listing:
    found: list[Stored] = []
    for stored in items:
        if selected(storage, stored, labels, fields):
            if limit and len(found) == limit:
                return Listing(found, moment, _token(moment, _next(found[-1])))
            found.append(stored)
    return Listing(found, moment)


def _now(store: Store, storage: Storage, namespace: str | None, fields: Fields) -> list[Stored]:
    for path, op, value in fields:
        if op == "!=":
            continue
        if path == "metadata.name" and namespace is not None:
            one = store.committed.get(storage, namespace, value)
            return [one] if one is not None else []
        if path == "metadata.namespace" and namespace is None:
            return store.committed.items(storage, value)
    return store.committed.items(storage, namespace)


def _then(store: Store, storage: Storage, namespace: str | None, moment: int) -> list[Stored]:
    items = {(stored.namespace, stored.name): stored for stored in store.committed.items(storage, namespace)}
    for entry in reversed(store.window.since(storage, moment)):
        if namespace is not None and entry.namespace != namespace:
            continue
        if entry.before is not None:
            items[entry.namespace, entry.name] = entry.before
        elif entry.previous:
            raise expired()
        else:
            items.pop((entry.namespace, entry.name), None)
    return sorted(items.values(), key=lambda stored: key_of(stored.namespace, stored.name))


def _moment(store: Store, limit: int, continue_: str, rv: str, rv_match: str) -> tuple[int, str]:
    limit = max(limit, 0)
    problem = _match_problem(continue_, rv, rv_match)
    if problem is not None:
        raise invalid("meta.k8s.io", "ListOptions", "", [problem])
    if continue_:
        if rv not in {"", "0"}:
            raise bad_request("specifying resource version is not allowed when using continue")
        moment, start = _read_token(continue_)
        return (store.committed_rv if moment < 0 else moment), start
    wanted = parse_rv(rv)
    if wanted > store.committed_rv:
        raise too_large_version(wanted, store.committed_rv)
    exact = rv_match == "Exact" or (not rv_match and limit > 0 and wanted > 0)
    return (wanted if exact else store.committed_rv), ""


def _match_problem(continue_: str, rv: str, rv_match: str) -> Cause | None:
    field = "resourceVersionMatch"
    if not rv_match:
        return None
    if continue_:
        return Cause(
            "FieldValueForbidden",
            "Forbidden: resourceVersionMatch is forbidden when continue is provided",
            field,
        )
    if not rv:
        return Cause(
            "FieldValueForbidden",
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            field,
        )
    if rv_match not in {"Exact", "NotOlderThan"}:
        return Cause(
            "FieldValueNotSupported",
            f'Unsupported value: "{rv_match}": supported values: "Exact", "NotOlderThan", ""',
            field,
        )
    if rv_match == "Exact" and rv == "0":
        return Cause(
            "FieldValueForbidden",
            'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
            field,
        )
    return None


def parse_rv(text: str) -> int:
    """Return the number of a resourceVersion ("" is 0); Refusal 400 if it is none."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise bad_request(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def too_large_version(asked: int, current: int) -> Refusal:
    """504 for a resourceVersion that is still to come."""
    return Refusal(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {current}",
        {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )


def _next(stored: Stored) -> str:
    return key_of(stored.namespace, stored.name) + "\0"


def _token(rv: int, start: str) -> str:
    return urlsafe_b64encode(orjson.dumps({"v": _TOKEN, "rv": rv, "start": start})).decode().rstrip("=")


def _read_token(text: str) -> tuple[int, str]:
    try:
        decoded = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError as error:
        raise bad_request(f"continue key is not valid: {error}") from None
    if not isinstance(decoded, dict) or decoded.get("v") != _TOKEN:
        raise bad_request("continue key is not valid: server does not recognize this encoded version")
    rv, start = decoded.get("rv"), decoded.get("start")
    if not isinstance(rv, int) or isinstance(rv, bool) or rv == 0 or not isinstance(start, str) or not start:
        raise bad_request(
            "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
        )
    return rv, start
