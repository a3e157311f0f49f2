"""Garbage collection: who owns whom, what must go because its owners went, what a delete waits for.

`Owners` follows objects one by one and proposes Changes for what that touched; `collect` looks at a whole View once.
An object goes when all of its owners are gone; a foreground delete waits for the dependents that block it; an orphaning
delete lets go of its dependents first. Nothing here deletes anything.
Source: k8s.io/kubernetes pkg/controller/garbagecollector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fairlead.words import Change, Ref, Resource, View

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(slots=True)
class _Thing:
    """What is known about one object. `owners` are its ownerReferences as they are."""

    ref: Ref
    api_version: str
    rv: str
    owners: list[dict[str, Any]]
    finalizers: list[str]
    deleting: bool
    dependents: dict[str, None] = field(default_factory=dict)

    @property
    def waits(self) -> bool:
        """Whether its foreground delete waits for dependents."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans(self) -> bool:
        """Whether its delete must let go of its dependents first."""
        return self.deleting and ORPHAN in self.finalizers


class Owners:
    """The graph of owners and dependents.

    `served` says whether an (apiVersion, kind) is known here at all: an owner of an unknown kind is never taken for absent.
    """

    def __init__(self, served: Callable[[str, str], bool]) -> None:
        self._served = served
        self._things: dict[str, _Thing] = {}
        self._absent: dict[str, dict[str, None]] = {}
        self._dirty: dict[str, None] = {}

    def put(self, resource: Resource) -> None:
        """Take in an object, or its new state. The graph keeps parts of it: it must not be changed afterwards."""
        meta = resource["metadata"]
        uid = meta.get("uid") or ""
        if not uid:
            return
        old = self._things.get(uid)
        thing = _Thing(
            Ref.of(resource),
            resource["apiVersion"],
            meta.get("resourceVersion") or "",
            meta.get("ownerReferences") or [],
            meta.get("finalizers") or [],
            bool(meta.get("deletionTimestamp")),
            old.dependents if old is not None else self._absent.pop(uid, {}),
        )
        self._things[uid] = thing
        before = {owner["uid"] for owner in old.owners} if old is not None else set()
        after = {owner["uid"]: None for owner in thing.owners}
        for owner in before - after.keys():
            self._of(owner).pop(uid, None)
            self._touch(owner)
        for owner in after:
            self._of(owner)[uid] = None
            known = self._things.get(owner)
            if known is not None and known.deleting:
                self._touch(owner)
        if thing.owners or thing.deleting:
            self._touch(uid)
        if thing.deleting and (old is None or not old.deleting or old.finalizers != thing.finalizers):
            for dependent in thing.dependents:
                self._touch(dependent)

    def drop(self, uid: str) -> None:
        """Forget an object that is gone: its dependents may have to go, its owners may have waited for it."""
        thing = self._things.pop(uid, None)
        self._dirty.pop(uid, None)
        if thing is None:
            return
        for owner in thing.owners:
            self._of(owner["uid"]).pop(uid, None)
            self._touch(owner["uid"])
            if not self._absent.get(owner["uid"], True):
                del self._absent[owner["uid"]]
        if thing.dependents:
            self._absent[uid] = thing.dependents
        for dependent in thing.dependents:
            self._touch(dependent)

    def again(self, uid: str) -> None:
        """Look at an object again: what was proposed for it did not come about."""
        self._touch(uid)

    def changes(self) -> list[Change]:
        """Return what is due for the objects that were touched since the last call."""
        dirty, self._dirty = self._dirty, {}
        proposed: list[Change] = []
        for uid in dirty:
            thing = self._things.get(uid)
            if thing is not None:
                proposed += self._judge(uid, thing)
        return proposed

    def _judge(self, uid: str, thing: _Thing) -> list[Change]:
        if thing.orphans:
            return self._let_go(uid, thing)
        if thing.waits:
            blocking = [
                name for name in thing.dependents if name in self._things and _blocks(self._things[name], uid)
            ]
            return [] if blocking else [_release(thing, FOREGROUND, uid)]
        if thing.deleting or not thing.owners:
            return []
        solid: list[str] = []
        dangling: list[str] = []
        waiting: list[str] = []
        for owner in thing.owners:
            found = self._things.get(owner["uid"])
            if found is None or not _same(found, owner, thing):
                known = self._served(owner.get("apiVersion") or "", owner.get("kind") or "")
                (dangling if known else solid).append(owner["uid"])
            elif found.waits:
                waiting.append(owner["uid"])
            else:
                solid.append(owner["uid"])
        gone = {*dangling, *waiting}
        if solid:
            if not gone:
                return []
            left = [owner for owner in thing.owners if owner["uid"] not in gone]
            return [_patch(thing, uid, {"ownerReferences": left}, "some of its owners are gone")]
        if waiting and thing.dependents:
            return [_delete(thing, uid, "Foreground", "its owner is being deleted in the foreground")]
        if waiting:
            return [_delete(thing, uid, "Background", "its owner is being deleted in the foreground")]
        if ORPHAN in thing.finalizers:
            policy = "Orphan"
        else:
            policy = "Foreground" if FOREGROUND in thing.finalizers else "Background"
        return [_delete(thing, uid, policy, "its owners are gone")]

    def _let_go(self, uid: str, thing: _Thing) -> list[Change]:
        """First every dependent loses its reference, then the object its finalizer."""
        proposed = []
        for name in thing.dependents:
            dependent = self._things.get(name)
            if dependent is None:
                continue
            left = [owner for owner in dependent.owners if owner["uid"] != uid]
            if len(left) != len(dependent.owners):
                proposed.append(
                    _patch(dependent, name, {"ownerReferences": left or None}, "its owner lets go of it")
                )
        return proposed or [_release(thing, ORPHAN, uid)]

    def _of(self, owner: str) -> dict[str, None]:
        thing = self._things.get(owner)
        return thing.dependents if thing is not None else self._absent.setdefault(owner, {})

    def _touch(self, uid: str) -> None:
        self._dirty[uid] = None


def _same(owner: _Thing, reference: dict[str, Any], dependent: _Thing) -> bool:
    """Whether a reference names this very object: owners are of the same namespace or of the cluster."""
    ref = owner.ref
    group = (reference.get("apiVersion") or "").rpartition("/")[0]
    if ref.namespace and ref.namespace != dependent.ref.namespace:
        return False
    return (ref.group, ref.kind, ref.name) == (group, reference.get("kind"), reference.get("name"))


def _blocks(dependent: _Thing, owner: str) -> bool:
    return any(
        reference["uid"] == owner and reference.get("blockOwnerDeletion") for reference in dependent.owners
    )


def _delete(thing: _Thing, uid: str, policy: str, why: str) -> Change:
    return Change(
        verb="delete",
        ref=thing.ref,
        api_version=thing.api_version,
        body={"propagationPolicy": policy},
        why=why,
        if_uid=uid,
        if_version=thing.rv,
    )


def _release(thing: _Thing, finalizer: str, uid: str) -> Change:
    left = [name for name in thing.finalizers if name != finalizer]
    return _patch(thing, uid, {"finalizers": left or None}, "no dependents hold it back")


def _patch(thing: _Thing, uid: str, metadata: dict[str, Any], why: str) -> Change:
    return Change(
        verb="patch",
        ref=thing.ref,
        api_version=thing.api_version,
        body={"metadata": metadata},
        patch="merge",
        why=why,
        if_uid=uid,
        if_version=thing.rv,
    )


def collect(view: View, served: Callable[[str, str], bool] | None = None) -> list[Change]:
    """Return what is due for a whole View; without `served`, each kind that has objects or is an owner counts as known."""
    owners = Owners(served or (lambda _version, _kind: True))
    for resource in _all(view):
        owners.put(resource)
    return owners.changes()


def _all(view: View) -> Iterable[Resource]:
    for group, kind in view.kinds():
        yield from view.list(group, kind)
