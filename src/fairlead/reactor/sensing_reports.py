"""What rules found, as Detection objects in the Kubernetes API: one for each rule and subject, counted up, with a limit on rate and number.

Takes sightings at any rate and writes the latest state of each every so often; what was not seen for long is removed, and so is the oldest
where there are too many. Must never hold up the reader of events, nor lose a count: what could not be written is written later.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor.flights import stamp
from fairlead.reactor.sensing_kinds import API_VERSION
from fairlead.sense.findings import cut
from fairlead.tongues.paths import mapping, text, whole
from fairlead.words import Ref, Resource, Severity

log = logging.getLogger("fairlead.detections")

EVERY: Final = 1.0
"""Seconds between two rounds of writing."""
AT_A_TIME: Final = 20
"""Objects that are written in a round at most."""
MOST: Final = 1000
"""Detections that one node keeps."""
KEPT: Final = timedelta(hours=24)
"""How long a detection is kept after it was seen last."""
TREES: Final = 5
"""Lines of processes that are kept of each detection."""
HOME: Final = "default"
"""The namespace of detections on nodes: where Kubernetes keeps Events about them, too."""
NODE_LABEL: Final = "fairlead.dev/node"
_LONGEST: Final = 4096
_PLAIN = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A rule said yes, `count` times, the last at `at` (ns since the epoch). `processes` is a line of ancestors, the eldest first."""

    rule: str
    dialect: str
    severity: Severity
    subject: Ref
    at: int
    message: str = ""
    description: str = ""
    priority: str = ""
    container: str = ""
    processes: str = ""
    tags: tuple[str, ...] = ()
    count: int = 1


@dataclass(slots=True)
class _Kept:
    """One Detection: what it says, and whether the API knows that."""

    latest: Sighting
    first: int
    last: int
    count: int = 0
    trees: OrderedDict[str, None] = field(default_factory=OrderedDict)
    there: bool = False
    dirty: bool = True


class Reports:
    """See the module. `cluster` is the API, `node` this machine's name there."""

    def __init__(
        self, cluster: AsyncCluster, node: str, *, clock: Callable[[], int] = time.time_ns, most: int = MOST
    ) -> None:
        self._cluster = cluster
        self._node = node
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._dirty: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._stale: list[tuple[str, str]] = []
        self._stir = asyncio.Event()
        self.written = 0
        self.failed = 0

    def __len__(self) -> int:
        return len(self._kept)

    def seen(self, sighting: Sighting) -> None:
        """Take note of a sighting."""
        key = place_of(sighting)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(sighting, sighting.at, sighting.at)
            while len(self._kept) > self._most:
                self._forget(next(iter(self._kept)))
        self._kept.move_to_end(key)
        kept.latest = sighting
        kept.count += sighting.count
        kept.first, kept.last = min(kept.first, sighting.at), max(kept.last, sighting.at)
        if sighting.processes:
            kept.trees[sighting.processes[:_LONGEST]] = None
            kept.trees.move_to_end(sighting.processes[:_LONGEST])
            while len(kept.trees) > TREES:
                kept.trees.popitem(last=False)
        kept.dirty = True
        self._dirty[key] = None
        self._stir.set()

    async def run(self) -> None:
        """Write for ever; first take up what an earlier sensor of this node left."""
        while True:
            try:
                await self.adopt()
                break
            except (Refusal, Unreachable) as error:
                log.warning("the detections cannot be read: %s", error)
                await asyncio.sleep(10 * EVERY)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(3600 if not self._dirty and not self._stale else EVERY):
                    await self._stir.wait()
            self._stir.clear()
            self.expire()
            await self.flush()
            await asyncio.sleep(EVERY)

    async def adopt(self) -> None:
        """Read what there is already, so that counts go on and what is old can go."""
        found, _ = await self._cluster.list(API_VERSION, "Detection", labels=f"{NODE_LABEL}={self._node}")
        for one in sorted(found, key=lambda one: text(one, "lastSeen")):
            key = (one["metadata"].get("namespace") or HOME, one["metadata"]["name"])
            read = _read(one)
            if read is None:
                self._stale.append(key)
                continue
            kept = self._kept.get(key)
            if kept is None:
                self._kept[key] = read
            else:
                kept.first, kept.count, kept.there = (
                    min(kept.first, read.first),
                    kept.count + read.count,
                    True,
                )
        while len(self._kept) > self._most:
            self._forget(next(iter(self._kept)))

    def expire(self) -> None:
        """Let go of what was not seen for long."""
        limit = self._clock() - int(KEPT.total_seconds()) * 1_000_000_000
        for key in [key for key, kept in self._kept.items() if kept.last < limit]:
            self._forget(key)

    async def flush(self, most: int = AT_A_TIME) -> None:
        """Write what has changed, the longest waiting first, so many at most; remove what was let go."""
        for _ in range(min(most, len(self._dirty))):
            key, _ = self._dirty.popitem(last=False)
            kept = self._kept.get(key)
            if kept is not None and kept.dirty and not await self._write(key, kept):
                return
        for key in self._stale[:most]:
            try:
                await self._cluster.delete(API_VERSION, "Detection", *key)
            except Refusal as refusal:
                if refusal.code != 404:
                    log.warning("the detection %s/%s cannot be removed: %s", *key, refusal.message)
            except Unreachable as error:
                log.warning("detections cannot be removed: %s", error)
                return
            self._stale.remove(key)

    def _forget(self, key: tuple[str, str]) -> None:
        kept = self._kept.pop(key)
        self._dirty.pop(key, None)
        if kept.there:
            self._stale.append(key)
            self._stir.set()

    async def _write(self, key: tuple[str, str], kept: _Kept) -> bool:
        """Write one; return whether it makes sense to go on with others."""
        kept.dirty = False
        body = document(key, kept.latest, kept.first, kept.last, kept.count, list(kept.trees), self._node)
        try:
            await self._put(key, kept, body)
        except Refusal as refusal:
            self.failed += 1
            if refusal.code in {401, 403, 404}:  # its namespace is gone, or closing
                log.warning("the detection %s/%s cannot be written: %s", *key, refusal.message)
                self._kept.pop(key, None)
                return refusal.code != 401
            kept.dirty, self._dirty[key] = True, None
            log.warning("the detection %s/%s is written later: %s", *key, refusal.message)
        except Unreachable as error:
            self.failed += 1
            kept.dirty, self._dirty[key] = True, None
            log.warning("detections are written later: %s", error)
            return False
        else:
            self.written += 1
        return True

    async def _put(self, key: tuple[str, str], kept: _Kept, body: Resource) -> None:
        if kept.there:
            patch = {
                name: value for name, value in body.items() if name not in {"apiVersion", "kind", "metadata"}
            }
            try:
                await self._cluster.patch(API_VERSION, "Detection", *key, patch)
            except Refusal as refusal:
                if refusal.code != 404:
                    raise
                kept.there = False  # somebody has seen to it: it begins anew
                kept.first, kept.count = kept.last, kept.latest.count
                body |= {"firstSeen": stamp(kept.first), "count": kept.count}
        if not kept.there:
            try:
                await self._cluster.create(body)
            except Refusal as refusal:
                if refusal.code != 409:
                    raise
                await self._cluster.patch(
                    API_VERSION, "Detection", *key, {k: v for k, v in body.items() if k != "metadata"}
                )
            kept.there = True


def place_of(sighting: Sighting) -> tuple[str, str]:
    """Return namespace and name of a sighting's Detection: the same for the same rule, subject and container."""
    about = sighting.subject
    parts = (
        sighting.dialect,
        sighting.rule,
        about.group,
        about.kind,
        about.namespace,
        about.name,
        sighting.container,
    )
    digest = hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:10]
    plain = _PLAIN.sub("-", sighting.rule.lower()).strip("-")[:180].rstrip("-") or "rule"
    return about.namespace or HOME, f"{plain}-{digest}"


def document(
    key: tuple[str, str], latest: Sighting, first: int, last: int, count: int, trees: list[str], node: str
) -> Resource:
    """Return a Detection object."""
    about = latest.subject
    subject = {
        "apiVersion": f"{about.group}/v1" if about.group else "v1",
        "kind": about.kind,
        "namespace": about.namespace,
        "name": about.name,
        "uid": about.uid,
    }
    body: Resource = {
        "apiVersion": API_VERSION,
        "kind": "Detection",
        "metadata": {
            "namespace": key[0],
            "name": key[1],
            "labels": {"app.kubernetes.io/managed-by": "fairlead", NODE_LABEL: node},
        },
        "rule": latest.rule[:_LONGEST],
        "dialect": latest.dialect,
        "severity": str(latest.severity),
        "priority": latest.priority,
        "subject": {name: value for name, value in subject.items() if value},
        "node": node,
        "container": latest.container,
        "message": cut(latest.message, _LONGEST),
        "description": cut(latest.description, _LONGEST),
        "tags": list(latest.tags),
        "count": count,
        "firstSeen": stamp(first),
        "lastSeen": stamp(last),
        "processes": list(reversed(trees)),
    }
    return {name: value for name, value in body.items() if value not in ("", [])}


def _read(found: Mapping[str, Any]) -> _Kept | None:
    """Return what a Detection tells, None for one that this did not write."""
    about = mapping(found, "subject")
    first, last = _nanoseconds(text(found, "firstSeen")), _nanoseconds(text(found, "lastSeen"))
    if not text(found, "rule") or not last:
        return None
    severity = text(found, "severity")
    ref = Ref(
        text(about, "apiVersion").rpartition("/")[0],
        text(about, "kind"),
        text(about, "namespace"),
        text(about, "name"),
        text(about, "uid"),
    )
    latest = Sighting(
        rule=text(found, "rule"), dialect=text(found, "dialect"),
        severity=Severity(severity) if severity in set(Severity) else Severity.WARNING,
        subject=ref, at=last, message=text(found, "message"), container=text(found, "container"),
    )  # fmt: skip
    return _Kept(latest, first or last, last, whole(found, "count", default=1), there=True, dirty=False)


def _nanoseconds(at: str) -> int:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return 0
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e9)
