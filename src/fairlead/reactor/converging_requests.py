"""The requests that carry a plan out: so many at a time, tried again where that is safe, dry runs and applies by one field manager.

Every write here may be sent twice without harm: applies by their nature, deletions by the uid that they name. Decides nothing.
Source: kubernetes.io/docs/reference/using-api/server-side-apply and api-concepts.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import httpx
import orjson

from fairlead.converge.inventory import Entry
from fairlead.converge.planning import Answer
from fairlead.drivers.cluster import PATCH_TYPES, AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import BUILT_IN
from fairlead.words import Ref, Resource

T = TypeVar("T")

AT_ONCE: Final = 16
"""Requests under way at a time."""
TRIES: Final = 8
"""So often is a request sent that did not get through, once the cluster has answered at all."""
FEW: Final = 3
"""Objects of one kind and namespace up to which each is asked for by name."""
MANY: Final = 8
"""New objects of one kind and namespace from which on all of the kind are listed."""
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_YOUNG: Final = (
    "error looking up service account",
    "object has been modified",
    "no API token found for service account",
)
"""What servers say for a moment about what has just been made or changed."""
_TYPED: Final = (
    "failed to create typed patch object",
    "failed to create typed live object",
    "field not declared in schema",
)
"""What servers say, with a code of 500, of an object that does not fit its schema."""
_FAULTS: Final = 3
"""So often is a request sent again that the server itself has failed at."""
_SCOPES: Final = {(one.group, one.kind): one.namespaced for one in BUILT_IN}


class Patient(AsyncCluster):
    """A client that shares another's connections, sends so many requests at a time, and sends again what did not get through.

    Whatever is sent through it must do no harm twice. `renew` makes a client with fresh credentials when the old ones have expired.
    """

    def __init__(
        self,
        inner: AsyncCluster,
        *,
        at_once: int = AT_ONCE,
        tries: int = TRIES,
        renew: Callable[[], AsyncCluster] | None = None,
    ) -> None:
        self.access = inner.access
        self._inner, self._plurals = inner, inner._plurals  # noqa: SLF001  it is one of its kind
        self._gate = asyncio.Semaphore(at_once)
        self._tries, self._renew = tries, renew
        self._met = False
        self._renewed: list[AsyncCluster] = []
        self.sent = 0

    async def close(self) -> None:
        """Close the clients that were made here; the one that is shared stays open."""
        for one in self._renewed:
            await one.close()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> httpx.Response:
        """Send a request until it gets through or is refused for good. Raises Refusal and Unreachable."""
        renewed, applies = False, content_type == PATCH_TYPES["apply"]
        for attempt in range(self._tries):
            try:
                async with self._gate:
                    self.sent += 1
                    found = await self._inner.raw(
                        method, path, params=params, body=body, content_type=content_type
                    )
                self._met = True
                return found
            except Refusal as refusal:
                self._met = True
                if refusal.code == 401 and self._renew is not None and not renewed:
                    renewed = True
                    self._inner = self._renew()
                    self._renewed.append(self._inner)
                    continue
                wait = _pause(refusal, attempt, applies=applies)
                if wait is None or attempt == self._tries - 1:
                    raise
            except Unreachable:
                if attempt >= (self._tries if self._met else 2) - 1:
                    raise
                wait = _backoff(attempt)
            await asyncio.sleep(wait)
        raise AssertionError("the last try has returned or raised")


class Requests:
    """Requests to one cluster, by a patient client."""

    def __init__(
        self,
        cluster: AsyncCluster,
        *,
        at_once: int = AT_ONCE,
        tries: int = TRIES,
        renew: Callable[[], AsyncCluster] | None = None,
    ) -> None:
        self.cluster = Patient(cluster, at_once=at_once, tries=tries, renew=renew)
        for one in BUILT_IN:
            self.cluster.learn(one.api_version, one.kind, one.plural, one.namespaced)

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return self.cluster.sent

    async def close(self) -> None:
        """Close the clients that were made here."""
        await self.cluster.close()

    async def each(self, items: Iterable[T], do: Callable[[T], Awaitable[Any]]) -> list[Any]:
        """Do something for each item, all at once as far as requests may be; what is raised is among the results."""
        return await asyncio.gather(*(do(one) for one in items), return_exceptions=True)

    async def get(self, api_version: str, ref: Ref) -> Resource | None:
        """Return an object, or None where there is none, be it that nobody serves its kind."""
        try:
            return await self.cluster.get(api_version, ref.kind, ref.namespace, ref.name)
        except Refusal as refusal:
            if refusal.code == 404:
                return None
            raise

    async def list(
        self, api_version: str, kind: str, namespace: str = "", *, labels: str = "", cap: int = 0
    ) -> tuple[list[Resource], bool]:
        """Return objects, and whether these are all. A kind that nobody serves has none."""
        try:
            found, version = await self.cluster.list(api_version, kind, namespace, labels=labels, cap=cap)
        except Refusal as refusal:
            if refusal.code == 404:
                return [], True
            raise
        return found, bool(version) or not cap or len(found) < cap

    async def listed(
        self, api_version: str, kind: str, namespace: str = "", *, labels: str = "", cap: int = 0
    ) -> tuple[Sequence[Resource], bool]:
        """Do what `list` does; of what may not be listed there are none, and these are not all."""
        try:
            return await self.list(api_version, kind, namespace, labels=labels, cap=cap)
        except Refusal as refusal:
            if refusal.code == 403:
                return [], False
            raise

    async def apply(
        self, body: Resource, manager: str, *, force: bool = False, dry_run: bool = False
    ) -> Resource:
        """Apply an object on the server's side, every field checked. Raises Refusal, also for conflicts, and Unreachable."""
        ref = Ref.of(body)
        params = {
            "fieldManager": manager,
            "fieldValidation": "Strict",
            "force": "true" if force else "",
            "dryRun": "All" if dry_run else "",
        }

        path = await self.cluster.path(body["apiVersion"], ref.kind, ref.namespace, ref.name)
        response = await self.cluster.raw(
            "PATCH", path, params=params, body=orjson.dumps(body), content_type=PATCH_TYPES["apply"]
        )
        answer: Resource = orjson.loads(response.content)
        return answer

    async def rehearse(self, body: Resource, manager: str, *, force: bool = False) -> Answer:
        """Return what the server would make of an apply. Raises Unreachable, and Refusal where nobody may ask."""
        try:
            return Answer(object=await self.apply(body, manager, force=force, dry_run=True))
        except Refusal as refusal:
            if refusal.code == 401:
                raise
            return Answer(
                code=refusal.code, reason=refusal.reason, message=refusal.message, details=refusal.details
            )

    async def patch(self, api_version: str, ref: Ref, patch: Any, how: str, manager: str) -> Resource:
        """Patch an object. Raises Refusal and Unreachable."""
        return await self.cluster.patch(
            api_version,
            ref.kind,
            ref.namespace,
            ref.name,
            patch,
            how="json" if how == "json" else "merge",
            manager=manager,
        )

    async def delete(self, api_version: str, ref: Ref, uid: str) -> bool:
        """Delete an object if it still is that one; return whether it was there. Raises Refusal and Unreachable."""
        try:
            await self.cluster.delete(
                api_version, ref.kind, ref.namespace, ref.name, uid=uid, propagation="Background"
            )
        except Refusal as refusal:
            if refusal.code == 404 or (
                refusal.code == 409 and uid
            ):  # another one of its name is not ours to delete
                return False
            raise
        return True

    # --- many objects

    async def scopes(self, objects: Iterable[Resource]) -> dict[tuple[str, str], bool]:
        """Return of each kind among the objects whether it lives in namespaces; kinds that nobody serves yet are left out."""
        objects = list(objects)
        found: dict[tuple[str, str], bool] = {}
        for one in objects:
            if one.get("kind") == "CustomResourceDefinition":
                spec = one.get("spec") or {}
                names = spec.get("names") or {}
                found[str(spec.get("group") or ""), str(names.get("kind") or "")] = (
                    spec.get("scope") != "Cluster"
                )
        asked: set[tuple[str, str, str]] = set()
        for one in objects:
            ref = Ref.of(one)
            key = (ref.group, ref.kind)
            if key in _SCOPES:
                found[key] = _SCOPES[key]
            elif key not in found:
                asked.add((str(one.get("apiVersion") or ""), ref.group, ref.kind))
        for api_version, group, kind in sorted(asked):
            try:
                path = await self.cluster.path(api_version, kind, "x")
            except Refusal as refusal:
                if refusal.code != 404:
                    raise
            else:
                found[group, kind] = "/namespaces/x/" in path
        return found

    async def live(
        self, entries: Iterable[Entry], labels: str, known: Iterable[Ref] = ()
    ) -> dict[Ref, Resource]:
        """Return the objects that are there, by as few requests as that takes: one LIST instead of many GETs.

        Those that carry the labels come by LISTs; of the others, `known` ones are asked for by name, and where many are new, all of
        their kind are listed.
        """
        groups: dict[tuple[str, str, str], list[Ref]] = {}
        for one in entries:
            groups.setdefault((one.api_version, one.ref.kind, one.ref.namespace), []).append(one.ref)
        before = set(known)
        found: dict[Ref, Resource] = {}

        async def group(item: tuple[tuple[str, str, str], list[Ref]]) -> None:
            (api_version, kind, namespace), refs = item
            missing = list(refs)
            if len(refs) > FEW:
                items, _ = await self.listed(api_version, kind, namespace, labels=labels)
                missing = _taken(items, refs, found)
            new = [one for one in missing if one not in before]
            if len(new) > MANY:
                items, whole = await self.listed(api_version, kind, namespace, cap=max(2000, 4 * len(new)))
                left = _taken(items, missing, found)
                missing = [] if whole else left
            await self.by_name(api_version, missing, found)

        raise_first(await self.each(groups.items(), group))
        return found

    async def by_name(self, api_version: str, refs: Sequence[Ref], found: dict[Ref, Resource]) -> None:
        """Ask for each of the objects, and put those that are there into `found`."""

        async def one(ref: Ref) -> None:
            item = await self.get(api_version, ref)
            if item is not None:
                found[ref] = item

        raise_first(await self.each(refs, one))


def _taken(items: Iterable[Resource], refs: Iterable[Ref], found: dict[Ref, Resource]) -> list[Ref]:
    """Put the objects that are asked for into `found`, and return those that are not among them."""
    there = {Ref.of(one): one for one in items}
    missing = []
    for ref in refs:
        if ref in there:
            found[ref] = there[ref]
        elif ref not in found:
            missing.append(ref)
    return missing


def raise_first(results: Iterable[Any]) -> None:
    """Raise the first exception among results."""
    for one in results:
        if isinstance(one, BaseException):
            raise one


def _pause(refusal: Refusal, attempt: int, *, applies: bool) -> float | None:
    """Return how long to wait before a refused request is sent again, None where that is of no use."""
    details: Mapping[str, Any] = refusal.details or {}
    if refusal.code == 500 and (attempt >= _FAULTS or any(one in refusal.message for one in _TYPED)):
        return None
    if refusal.code in _BUSY:
        asked = details.get("retryAfterSeconds")
        return min(float(asked), 30.0) if isinstance(asked, int | float) and asked > 0 else _backoff(attempt)
    if applies and any(one in refusal.message for one in _YOUNG) and not details.get("causes"):
        return _backoff(attempt)
    return None


def _backoff(attempt: int) -> float:
    return float(min(5.0, 0.1 * 2**attempt) * random.uniform(0.8, 1.2))
