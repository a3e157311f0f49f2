"""Carry out Changes: on the keeper, on a copy of its world, or on a remote cluster.

One Change is one API request, with the same refusals. Also here: what becomes of an Event that repeats itself. Must
hold no rule about what ought to be changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from fairlead.keep.entries import Entry, Outcome
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Kind
from fairlead.keep.requests import Request
from fairlead.keep.worlds import World
from fairlead.orchestrate.steps import Refused
from fairlead.reactor.keeping import Keeper
from fairlead.words import Change, Ref, Resource, Snapshot, User

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster  # a control plane of its own needs no HTTP client

CONTROLLER = User(name="system:kube-controller-manager", groups=("system:masters", "system:authenticated"))
MANAGER = "kube-controller-manager"


def request(now: datetime, user: User = CONTROLLER, manager: str = MANAGER) -> Request:
    """Return the circumstances of a controller's own write."""
    return Request(user=user, now=now, manager=manager, field_validation="Ignore")


def apply(world: World, change: Change, asked: Request) -> Outcome:
    """Make the Change as one write to a world. Raises Refusal.

    The Change's body is copied: it may share parts with what a View holds.
    """
    kind = kind_of(world, change)
    ref = change.ref
    if change.verb == "create":
        if ref.kind == "Event" and not change.subresource:
            return _tell(world, kind, change, asked)
        name = ref.name if change.subresource else ""
        return world.create(kind, ref.namespace, _copied(change.body), asked, name, change.subresource)
    if change.verb == "delete":
        return world.delete(kind, ref.namespace, ref.name, _options(change), asked)
    if change.verb == "update":
        body = _copied(change.body)
        _condition(body, change)
        return world.update(kind, ref.namespace, ref.name, body, asked, change.subresource)
    how = change.patch or "merge"
    document = _copied(change.body)
    if isinstance(document, dict):
        _condition(document, change)
    elif change.if_uid or change.if_version:
        document = [*_tests(change), *document]
    return world.patch(kind, ref.namespace, ref.name, document, how, asked, change.subresource)


def kind_of(world: World, change: Change) -> Kind:
    """Return the kind that a Change is about, in its version; Refusal 404 if no such kind is served."""
    group, _, version = change.api_version.rpartition("/")
    found = world.catalogue.kind(group, change.ref.kind, version)
    if found is None:
        text = f'no matches for kind "{change.ref.kind}" in version "{change.api_version}"'
        raise Refusal(404, "NotFound", text)
    return found


def _copied(body: Any) -> Any:
    return orjson.loads(orjson.dumps(body))


def _condition(document: Resource, change: Change) -> None:
    """Put the Change's preconditions where the API looks for them: into the metadata."""
    wanted = {"uid": change.if_uid, "resourceVersion": change.if_version}
    given = {key: value for key, value in wanted.items() if value}
    if given:
        document["metadata"] = {**(document.get("metadata") or {}), **given}


def _tests(change: Change) -> list[dict[str, str]]:
    wanted = {"uid": change.if_uid, "resourceVersion": change.if_version}
    return [
        {"op": "test", "path": f"/metadata/{key}", "value": value} for key, value in wanted.items() if value
    ]


def _options(change: Change) -> dict[str, Any]:
    options: dict[str, Any] = _copied(change.body) if change.body else {}
    wanted = {"uid": change.if_uid, "resourceVersion": change.if_version}
    given = {key: value for key, value in wanted.items() if value}
    if given:
        options["preconditions"] = {**(options.get("preconditions") or {}), **given}
    return options


def _tell(world: World, kind: Kind, change: Change, asked: Request) -> Outcome:
    """Create the Event, or count it where it is there already."""
    name = change.body["metadata"]["name"]
    if not world.has(kind, change.ref.namespace, name):
        return world.create(kind, change.ref.namespace, _copied(change.body), asked)
    old = world.get(kind, change.ref.namespace, name, overlay=True).object
    return world.patch(kind, change.ref.namespace, name, _again(old, change.body), "merge", asked)


def _again(old: Resource, new: Resource) -> Resource:
    return {
        "count": int(old.get("count") or 1) + 1,
        "lastTimestamp": new["lastTimestamp"],
        "message": new["message"],
    }


async def carry_out(
    change: Change,
    target: Keeper | AsyncCluster,
    now: datetime,
    user: User = CONTROLLER,
    manager: str = MANAGER,
) -> int:
    """Make the Change and wait until it is durable; return the resourceVersion of its last entry, 0 if unknown.

    Raises Refusal; on a remote cluster also cluster.Unreachable. `user` counts only on the keeper: a remote cluster
    knows who asks by the credentials.
    """
    if isinstance(target, Keeper):
        asked = request(now, user, manager)
        outcome = await target.write(lambda world: apply(world, change, asked))
        return outcome.entries[-1].rv if outcome.entries else 0
    await _carry_far(change, target, manager)
    return 0


async def _carry_far(change: Change, cluster: AsyncCluster, manager: str) -> None:
    ref = change.ref
    if change.verb == "create" and change.subresource:
        path = await cluster.path(change.api_version, ref.kind, ref.namespace, ref.name)
        where = f"{path}/{quote(change.subresource)}"
        await cluster.raw("POST", where, params={"fieldManager": manager}, body=change.body)
    elif change.verb == "create":
        await _create_far(change, cluster, manager)
    elif change.verb == "delete":
        path = await cluster.path(change.api_version, ref.kind, ref.namespace, ref.name)
        options = {"apiVersion": "v1", "kind": "DeleteOptions", **_options(change)}
        await cluster.raw("DELETE", path, body=options)
    elif change.verb == "update":
        body = _copied(change.body)
        _condition(body, change)
        await cluster.update(body, subresource=change.subresource, manager=manager)
    else:
        document = _copied(change.body)
        if isinstance(document, dict):
            _condition(document, change)
        elif change.if_uid or change.if_version:
            document = [*_tests(change), *document]
        await cluster.patch(
            change.api_version,
            ref.kind,
            ref.namespace,
            ref.name,
            document,
            how=change.patch or "merge",
            subresource=change.subresource,
            manager=manager,
        )


async def _create_far(change: Change, cluster: AsyncCluster, manager: str) -> None:
    try:
        await cluster.create(change.body, manager=manager)
    except Refusal as refusal:
        if change.ref.kind != "Event" or refusal.reason != "AlreadyExists":
            raise
        ref = change.ref
        old = await cluster.get(change.api_version, ref.kind, ref.namespace, change.body["metadata"]["name"])
        if old is not None:
            name = change.body["metadata"]["name"]
            again = _again(old, change.body)
            await cluster.patch(change.api_version, ref.kind, ref.namespace, name, again, manager=manager)


class Copy(Snapshot):
    """A fork of a world as a View that Changes can be tried on: the Target of orchestrate.settling.

    `now` is the moment that all writes happen at. Nothing that is done here touches the world it came from.
    """

    def __init__(self, world: World, now: datetime, user: User = CONTROLLER) -> None:
        super().__init__(everything(world))
        self.world = world
        self.now = now
        self.user = user

    @classmethod
    def of(cls, world: World, now: datetime) -> Copy:
        """Return a copy of what a live world holds."""
        return cls(world.fork(), now)

    def carry_out(self, change: Change) -> None:
        """Make the Change on the copy, or raise Refused."""
        try:
            outcome = apply(self.world, change, request(self.now, self.user))
        except Refusal as refusal:
            raise Refused(refusal.code, refusal.reason, refusal.message) from refusal
        follow(self, outcome.entries)
        if change.verb == "delete" and change.ref.namespace:
            self._recount(change.ref.namespace)

    def _recount(self, namespace: str) -> None:
        """Give back what the deleted object used of its namespace's quotas, as a loop does on a live cluster."""
        from fairlead.reactor.counting import recount  # it writes by way of this module

        if self.list("", "ResourceQuota", namespace):
            follow(self, recount(self.world, namespace, self.now).entries)


def everything(world: World) -> Iterable[Resource]:
    """Every committed object of a world, as stored."""
    for storage in world.storages():
        for stored in world.stored(storage):
            yield stored.object


def follow(snapshot: Snapshot, entries: Iterable[Entry]) -> None:
    """Bring a Snapshot up to date with entries of the log."""
    for entry in entries:
        resource = entry.object
        if entry.type == "DELETED":
            snapshot.drop(Ref.of(resource))
        else:
            snapshot.put(resource)


# Events that repeat themselves

BURST = 25
"""How many Events about one object one component may send at once ..."""
REFILL = 300.0
"""... and after how many seconds it may send one more."""
SIMILAR = 10
"""How many Events that differ only in their message are told one by one within `WITHIN` seconds."""
WITHIN = 600.0
COMBINED = "(combined from similar events): "
REMEMBERED = 4096


class Teller:
    """Keeps Events from becoming spam: many alike are combined into one, and too many about one object are dropped.

    Source: k8s.io/client-go/tools/record/events_cache.go. `clock` tells seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, ...], tuple[float, float]] = {}
        self._alike: dict[tuple[str, ...], tuple[float, set[str]]] = {}

    def pass_on(self, change: Change) -> Change | None:
        """Return the Event to create, perhaps a combined one; None if it is one too many."""
        body = change.body
        about = body.get("involvedObject") or {}
        source = str((body.get("source") or {}).get("component") or body.get("reportingComponent") or "")
        who = (
            source,
            about.get("kind", ""),
            about.get("namespace", ""),
            about.get("name", ""),
            about.get("uid", ""),
        )
        if not self._may(who):
            return None
        key = (*who, str(body.get("type")), str(body.get("reason")))
        if not self._is_common(key, str(body.get("message"))):
            return change
        name = f"{about.get('name', '')}.{_digest(key)}"
        combined = {
            **body,
            "metadata": {**body["metadata"], "name": name},
            "message": f"{COMBINED}{body.get('message')}"[:1024],
        }
        return replace(change, ref=Ref.of(combined), body=combined)

    def _may(self, who: tuple[str, ...]) -> bool:
        now = self._clock()
        tokens, at = self._buckets.pop(who, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - at) / REFILL)
        allowed = tokens >= 1
        self._buckets[who] = (tokens - 1 if allowed else tokens, now)
        _trim(self._buckets)
        return allowed

    def _is_common(self, key: tuple[str, ...], message: str) -> bool:
        now = self._clock()
        last, messages = self._alike.pop(key, (now, set()))
        if now - last > WITHIN:
            messages = set()
        common = len(messages) >= SIMILAR and message not in messages
        if not common:
            messages.add(message)
        self._alike[key] = (now, messages)
        _trim(self._alike)
        return common


def _trim(cache: dict[tuple[str, ...], Any]) -> None:
    while len(cache) > REMEMBERED:
        del cache[next(iter(cache))]


def _digest(key: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
