"""Encodes answers: objects and lists from stored bytes, Tables, metadata only, YAML, pretty JSON, gzip.

Decides nothing about requests. Must not decode a stored body where joining bytes does.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from fairlead.faces.kube.calls import Answer, Call
from fairlead.faces.kube.negotiating import JSON, PLAIN, YAML, Wanted
from fairlead.keep.entries import Listing, Stored
from fairlead.keep.errors import Refusal, bad_request
from fairlead.keep.kinds import Kind
from fairlead.keep.tables import Include, table
from fairlead.words import Resource

GZIP_FROM = 128 * 1024
"""Bytes from which an answer is worth compressing, as in Kubernetes' own server."""
_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Columns:
    """What a Table needs beside its objects: the columns of a custom resource, and the time that ages count from."""

    columns: Sequence[Mapping[str, Any]] | None
    now: datetime


def refused(refusal: Refusal, call: Call | None = None) -> Answer:
    """Answer a refusal with its Status."""
    answer = Answer(refusal.code, orjson.dumps(refusal.status) + b"\n")
    if call is not None and _pretty(call):
        answer.body = pretty(answer.body)
    seconds = (refusal.details or {}).get("retryAfterSeconds")
    if seconds:
        answer.headers["retry-after"] = str(seconds)
    if refusal.code == 401:
        answer.headers["www-authenticate"] = "Bearer"
    return answer


def success(details: dict[str, Any]) -> bytes:
    """Return the Status that says a request was done."""
    return orjson.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }
    )


def plain(text: str, status: int = 200) -> Answer:
    """Answer with text."""
    return Answer(status, text.encode(), "text/plain; charset=utf-8", {"x-content-type-options": "nosniff"})


def document(call: Call, content: Any, wanted: Wanted = PLAIN, status: int = 200) -> Answer:
    """Answer with an object that is not a stored one: a review, a discovery document."""
    return _finish(call, orjson.dumps(content), wanted, status)


def one(
    call: Call, body: bytes, wanted: Wanted, kind: Kind, columns: Callable[[], Columns], status: int = 200
) -> Answer:
    """Answer with one stored object, in the form wanted."""
    if wanted.shape == "Table":
        body = _row(body, wanted, kind, columns(), _include(call))
    elif wanted.shape == "PartialObjectMetadata":
        body = orjson.dumps(partial(orjson.loads(body), wanted.version))
    return _finish(call, body, wanted, status)


def listing(
    call: Call,
    found: Listing,
    wanted: Wanted,
    kind: Kind,
    columns: Callable[[], Columns],
    decoded: Callable[[Kind, Sequence[Stored]], Sequence[Resource]],
) -> Answer:
    """Answer with a list of stored objects, in the form wanted. `decoded` gives the objects, to be read only."""
    if wanted.shape == "Table":
        rows = _table(kind, decoded(kind, found.items), wanted, columns(), _include(call))
        rows["metadata"] = found.metadata
        body = orjson.dumps(rows)
    elif wanted.shape == "PartialObjectMetadataList":
        version = wanted.version
        body = orjson.dumps(
            {
                "kind": "PartialObjectMetadataList",
                "apiVersion": f"meta.k8s.io/{version}",
                "metadata": found.metadata,
                "items": [partial(item, version) for item in decoded(kind, found.items)],
            }
        )
    else:
        body = joined(kind, found.items, found.metadata)
    return _finish(call, body, wanted)


def joined(kind: Kind, items: Iterable[Stored], metadata: Mapping[str, Any]) -> bytes:
    """Return a list object, and the line's end, made of the bytes that its items are stored in."""
    head = orjson.dumps({"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata})
    parts = [head[:-1], b',"items":[']
    for item in items:
        parts.append(item.body)
        parts.append(b",")
    if len(parts) > 2:
        parts.pop()
    parts.append(b"]}\n")
    return b"".join(parts)


def partial(obj: Resource, version: str = "v1") -> Resource:
    """Return the PartialObjectMetadata of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj.get("metadata", {}),
    }


def shaper(
    call: Call, wanted: Wanted, kind: Kind, columns: Callable[[], Columns]
) -> Callable[[bytes], bytes]:
    """Return the function that brings the bytes of one object into the form wanted, for the events of a watch."""
    if wanted.shape == "Table":
        include = _include(call)

        def as_table(body: bytes) -> bytes:
            return _row(body, wanted, kind, columns(), include)

        return as_table
    if wanted.shape:
        return lambda body: orjson.dumps(partial(orjson.loads(body), wanted.version))
    return lambda body: body


def _include(call: Call) -> Include:
    text = call.get("includeObject")
    match text:
        case "" | "Metadata":
            return "Metadata"
        case "Object":
            return "Object"
        case "None":
            return "None"
    raise bad_request(f'unrecognized includeObject value: "{text}"')


def _row(body: bytes, wanted: Wanted, kind: Kind, columns: Columns, include: Include) -> bytes:
    obj = orjson.loads(body)
    rows = _table(kind, [obj], wanted, columns, include)
    rows["metadata"] = {"resourceVersion": obj.get("metadata", {}).get("resourceVersion", "")}
    return orjson.dumps(rows)


def _table(
    kind: Kind, objects: Sequence[Resource], wanted: Wanted, columns: Columns, include: Include
) -> dict[str, Any]:
    rows = table(kind, objects, columns.now, include, columns.columns)
    rows["apiVersion"] = f"meta.k8s.io/{wanted.version}"
    return rows


def _finish(call: Call, body: bytes, wanted: Wanted, status: int = 200) -> Answer:
    if wanted.media == YAML:
        return Answer(status, to_yaml(body), YAML)
    if _pretty(call):
        body = pretty(body)
    return Answer(status, body if body.endswith(b"\n") else body + b"\n", JSON)


def _pretty(call: Call) -> bool:
    if "pretty" in call.query:
        return call.flag("pretty")
    agent = call.headers.get("user-agent", "")
    return agent.startswith(("curl", "Wget", "Mozilla/5.0"))


def pretty(body: bytes) -> bytes:
    """Return JSON indented by two spaces."""
    return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)


def to_yaml(body: bytes) -> bytes:
    """Return JSON as YAML, keys sorted."""
    from fairlead.faces.kube import yamls  # few clients ask for YAML

    return yamls.written(body)


async def compressed(call: Call, answer: Answer) -> Answer:
    """Compress a large answer for a client that can take it, off the event loop."""
    if len(answer.body) < GZIP_FROM or "content-encoding" in answer.headers:
        return answer
    accepted = {part.partition(";")[0].strip() for part in call.headers.get("accept-encoding", "").split(",")}
    if "gzip" in accepted:
        answer.body = await asyncio.to_thread(gzip.compress, answer.body, _GZIP_LEVEL, mtime=0)
        answer.headers["content-encoding"] = "gzip"
        answer.headers["vary"] = "Accept-Encoding"
    return answer
