"""Watches: from entries of the log to lines of events, each encoded once for all watchers of the same shape.

Which entries exist and which a selector sees is decided in keep; the queue between is the keeper's.
Source: k8s.io/apiserver pkg/endpoints/handlers/watch.go and pkg/storage/cacher.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fairlead.faces.kube.answers import partial
from fairlead.faces.kube.negotiating import Wanted
from fairlead.keep.entries import Entry, Listing
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Kind
from fairlead.keep.selecting import Fields, seen_as
from fairlead.keep.versions import shown_entry
from fairlead.reactor.keeping import Keeper, Lagged, Subscription
from fairlead.tongues.selectors import Expr
from fairlead.words import Resource

BOOKMARK_SECONDS = 55.0
SHORTEST_SECONDS = 1800
_SHARED = 2048
_CHUNK = 64 * 1024
"""Bytes of initial events that are sent at once."""
INITIAL_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What one client wants to see. `shape` names the form of the events: watchers of one shape share their bytes."""

    kind: Kind
    namespace: str | None
    labels: Expr | None
    fields: Fields
    start: int | None
    """The resourceVersion to go on from; None: begin with what is there."""
    bookmarks: bool
    initial_end: bool
    """Whether the end of the initial events is to be marked."""
    seconds: float
    wanted: Wanted
    shape: str
    form: Callable[[bytes], bytes]
    frame: Callable[[bytes], bytes]


class Encodings:
    """The bytes of recent events, by resourceVersion and shape, so that many watchers cost one encoding."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str, str, str], bytes] = OrderedDict()

    def line(self, watch: Watch, entry: Entry, type_: str) -> bytes:
        """Return one event as the watch wants it."""
        key = (entry.rv, type_, watch.kind.api_version, watch.shape)
        known = self._kept.get(key)
        if known is not None:
            return known
        body = _body(entry, type_, watch.kind)
        made = watch.frame(_event(type_, watch.form(body)))
        self._kept[key] = made
        if len(self._kept) > _SHARED:
            self._kept.popitem(last=False)
        return made


def _event(type_: str, body: bytes) -> bytes:
    return b'{"type":"%s","object":%s}' % (type_.encode(), body)


def _body(entry: Entry, type_: str, kind: Kind) -> bytes:
    entry = shown_entry(entry, kind)
    if type_ == "DELETED" and entry.type != "DELETED" and entry.before is not None:
        # The object has left the selection: the client is told its last state inside, with this write's version.
        obj = entry.before.object
        obj["metadata"]["resourceVersion"] = str(entry.rv)
        return orjson.dumps(obj)
    return entry.body


def error_event(refusal: Refusal) -> bytes:
    """Return the event that ends a watch."""
    return _event("ERROR", orjson.dumps(refusal.status))


def bookmark(watch: Watch, rv: int, *, initial_end: bool = False) -> bytes:
    """Return the event that only tells how far the watch has come."""
    meta: dict[str, Any] = {"resourceVersion": str(rv), "creationTimestamp": None}
    if initial_end:
        meta["annotations"] = {INITIAL_END: "true"}
    obj: Resource = {"kind": watch.kind.kind, "apiVersion": watch.kind.api_version, "metadata": meta}
    if watch.wanted.shape == "Table":
        obj = {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{watch.wanted.version}",
            "metadata": {key: value for key, value in meta.items() if value is not None},
            "columnDefinitions": [],
            "rows": [],
        }
    elif watch.wanted.shape:
        obj = partial(obj, watch.wanted.version)
    return _event("BOOKMARK", orjson.dumps(obj))


def default_seconds() -> float:
    """Return how long a watch lasts whose client does not say: 30 to 60 minutes, so that not all end at once."""
    return SHORTEST_SECONDS * (1 + random.random())


async def events(keeper: Keeper, watch: Watch, encodings: Encodings) -> AsyncIterator[bytes]:
    """Yield the events of a watch, framed, until its time is up or it has fallen too far behind."""
    start, initial = watch.start, None
    try:
        if start is None:
            initial = keeper.world.list(watch.kind, watch.namespace, watch.labels, watch.fields)
            start = initial.rv
        subscription = keeper.subscribe(watch.kind, watch.namespace, since=start)
    except Refusal as refusal:
        yield watch.frame(error_event(refusal))
        return
    with subscription:
        if initial is not None:
            for chunk in _opening(watch, initial):
                yield chunk
            if watch.initial_end and watch.bookmarks:
                yield watch.frame(bookmark(watch, start, initial_end=True))
        async for chunk in _following(keeper, watch, encodings, subscription, start):
            yield chunk


def _opening(watch: Watch, initial: Listing) -> Iterator[bytes]:
    """Yield what is there as ADDED events, many in a chunk."""
    lines: list[bytes] = []
    size = 0
    for item in initial.items:
        line = watch.frame(_event("ADDED", watch.form(item.body)))
        lines.append(line)
        size += len(line)
        if size >= _CHUNK:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)


async def _following(
    keeper: Keeper, watch: Watch, encodings: Encodings, subscription: Subscription, start: int
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    end = loop.time() + watch.seconds
    due = loop.time() + BOOKMARK_SECONDS
    while True:
        try:
            until = min(end, due) if watch.bookmarks else end
            entries = await subscription.within(max(until - loop.time(), 0.0))
        except (StopAsyncIteration, Lagged):
            return
        chunk = _lines(watch, encodings, entries, start)
        if watch.bookmarks and loop.time() >= until:
            # Nothing is waiting at this moment, so the watch has seen everything up to the world's version.
            chunk += watch.frame(bookmark(watch, keeper.world.rv))
            due = loop.time() + BOOKMARK_SECONDS
        if chunk:
            yield chunk
        if loop.time() >= end:
            return


def _lines(watch: Watch, encodings: Encodings, entries: Sequence[Entry], start: int) -> bytes:
    lines = []
    for entry in entries:
        type_ = seen_as(entry, watch.labels, watch.fields) if entry.rv > start else None
        if type_ is not None:
            lines.append(encodings.line(watch, entry, type_))
    return b"".join(lines)
