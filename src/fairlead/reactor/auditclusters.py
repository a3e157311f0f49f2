"""Where the audit looks and writes: any Kubernetes cluster, through its API.

In memory are the policies, what they look up, and the namespaces; of everything else only pages that are on their way through. What
changes is told by watches that carry metadata only. A cluster that does not answer is waited for: nothing that was due is left out.
Holds no rules, and must never have more than a few writes on their way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import quote

import orjson

from fairlead.dialects import policyreport
from fairlead.drivers.cluster import AsyncCluster, Seen, Unreachable
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.keep.listing import PageExpired
from fairlead.reactor.audit import ALONE, MOST_DUE, Auditor, Changed, judged_kinds
from fairlead.reactor.following import ACCESS, Follower, Key
from fairlead.reactor.judging import Answerer, Late
from fairlead.reactor.policies import NOTHING, Loaded
from fairlead.words import Need, Resource

log = logging.getLogger("fairlead.audit")
T = TypeVar("T")

MANAGER = "policy-audit"
PAGE = 200
"""Objects of a kind that are asked for at a time; of reports, which are larger, a quarter of it."""
RETRY = 5.0
"""Seconds before a kind that cannot be watched is tried again."""
LONGEST = 10.0
"""Seconds at most between two attempts to reach a cluster that does not answer."""
TRIES = 8
"""How often a cluster may answer that it is too busy, or broken, before it is taken at its word."""
_BUSY = frozenset({429, 500, 502, 503, 504})
_REPORTS = ("PolicyReport", "ClusterPolicyReport")


async def audit_cluster(
    cluster: AsyncCluster,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    online: bool = False,
    started: Callable[[Auditor], None] = lambda _auditor: None,
) -> None:
    """Keep the reports of a cluster current until cancelled. `online` says that modules of policies may be fetched by https."""
    async with ClusterPlace(cluster, clock, online=online) as place:
        await place.during(place.ready())
        auditor = Auditor(place, clock, ALONE)
        started(auditor)
        await place.during(auditor.run())


class ClusterPlace:
    """See audit.Place, and the module. A context; closing the cluster is the caller's."""

    def __init__(
        self,
        cluster: AsyncCluster,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        online: bool = False,
    ) -> None:
        self._cluster, self._online = cluster, online
        self._stir, self._told, self._ready = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._follower = Follower(cluster, clock, own=True, heard=self._heard, settled=self._stir.set)
        self._guests, self._images = Late(self._guest_provider), Late(self._image_provider)
        providers: dict[str, Any] = {"guest": self._guests, ACCESS: self._follower.ask_access}
        providers |= dict.fromkeys(("image.verification", "image.data", "cue.vet"), self._images)
        self._answerer = Answerer(lambda: self._follower.view, cluster=cluster, providers=providers)
        self._loaded: Loaded = NOTHING
        self._watches: dict[Key, asyncio.Task[None]] = {}
        self._begun: set[Key] = set()
        self._refused: set[Key] = set()
        self._news: dict[Changed, None] = {}
        self._missed = False
        self._away = False
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._loops = [asyncio.create_task(self._follower.run()), asyncio.create_task(self._keep_watching())]
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._loops, *self._watches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._guests.close()
        await self._images.close()

    async def ready(self) -> None:
        """Wait until the policies are known, and the cluster knows reports."""
        await self._ready.wait()

    async def during(self, step: Coroutine[Any, Any, None]) -> None:
        """Do something as long as everything is kept current. Raises what ends either."""
        doing = asyncio.create_task(step)
        try:
            await asyncio.wait({doing, *self._loops}, return_when=asyncio.FIRST_COMPLETED)
            for task in (doing, *self._loops):
                if task.done():
                    task.result()
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)

    def _guest_provider(self) -> Any:
        from fairlead.reactor.guesting import GuestProvider

        images = self._image_provider() if self._online else None
        return GuestProvider(
            lambda: self._follower.view, self._follower.kinds, online=self._online, images=images
        )

    def _image_provider(self) -> Any:
        from fairlead.reactor.verifying_images import Images

        return Images(lambda: self._follower.view)

    # What the audit asks

    @property
    def loaded(self) -> Loaded:
        """See audit.Place. New policies count from the moment at which everything that they concern is watched."""
        return self._loaded

    @property
    def catalogue(self) -> Catalogue:
        """See audit.Place."""
        assert self._follower.catalogue is not None, "ready() waits for it"
        return self._follower.catalogue

    def around(self, now: datetime) -> Surroundings:  # noqa: ARG002  the follower has the same clock
        """See audit.Place."""
        return self._follower.around({})

    async def changes(self) -> AsyncIterator[Sequence[Changed]]:
        """See audit.Place."""
        while True:
            await self._told.wait()
            self._told.clear()
            missed, self._missed = self._missed, False
            news, self._news = list(self._news), {}
            if missed:
                yield []
            if news:
                yield news

    async def pages(self, kind: Kind) -> AsyncIterator[Sequence[Resource]]:
        """See audit.Place."""
        path = self._path(kind)
        limit = PAGE // 4 if kind.group == policyreport.GROUP else PAGE
        token = ""
        while True:
            try:
                page = await self._patiently(partial(self._page, path, {"limit": limit, "continue": token}))
            except PageExpired as expired:  # it goes on from there; what changed meanwhile, a watch tells
                token = expired.continue_
                continue
            except Refusal as refusal:
                if refusal.code == 410 and token:
                    token = ""
                    continue
                self._cannot((kind.group, kind.kind), refusal)
                return
            items = page.get("items") or []
            for item in items:
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.kind)
            token = (page.get("metadata") or {}).get("continue") or ""
            del page
            yield items
            del items
            if not token:
                return

    async def _page(self, path: str, params: Mapping[str, Any]) -> Resource:
        answer = await self._cluster.raw("GET", path, params=params)
        page: Resource = orjson.loads(answer.content)
        return page

    async def find(self, kind: Kind, namespace: str, name: str) -> Resource | None:
        """See audit.Place."""
        path = self._path(kind, namespace, name)
        try:
            answer = await self._patiently(lambda: self._cluster.raw("GET", path))
        except Refusal as refusal:
            if refusal.code not in {403, 404}:
                raise
            return None
        found: Resource = orjson.loads(answer.content)
        found.setdefault("apiVersion", kind.api_version)
        found.setdefault("kind", kind.kind)
        return found

    async def answer(self, needs: Sequence[Need]) -> Mapping[Need, Any]:
        """See audit.Place."""
        return await self._answerer.answer(needs)

    async def put(self, document: Resource, *, there: bool) -> None:
        """See audit.Place. Where another was faster, this one wins: what it says is newer."""
        try:
            await self._send("PUT" if there else "POST", document)
        except Refusal as refusal:
            if refusal.code != 409 or refusal.reason not in {"AlreadyExists", "Conflict"}:
                raise
            kind = self.catalogue.kind(policyreport.GROUP, document["kind"])
            meta = document["metadata"]
            before = (
                await self.find(kind, meta.get("namespace") or "", meta["name"]) if kind is not None else None
            )
            if before is None:
                raise
            meta["resourceVersion"] = before["metadata"]["resourceVersion"]
            await self._send("PUT", document)

    async def drop(self, kind: str, namespace: str, name: str) -> None:
        """See audit.Place."""
        await self._patiently(
            lambda: self._cluster.delete(policyreport.API_VERSION, kind, namespace, name, grace_seconds=0)
        )

    async def put_status(self, document: Resource, status: Resource) -> None:
        """See audit.Place."""
        await self._send("PUT", {**document, "status": status}, "status")

    async def _send(self, method: str, document: Resource, part: str = "") -> None:
        meta = document["metadata"]
        name = "" if method == "POST" else meta["name"]
        body = orjson.dumps(document)

        async def send() -> None:
            path = await self._cluster.path(
                document["apiVersion"], document["kind"], meta.get("namespace") or "", name, part
            )
            await self._cluster.raw(method, path, params={"fieldManager": MANAGER}, body=body)

        await self._patiently(send)

    @staticmethod
    def _path(kind: Kind, namespace: str = "", name: str = "") -> str:
        """Return the path of a kind, or of one object of it."""
        version = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        space = f"/namespaces/{quote(namespace)}" if kind.namespaced and namespace else ""
        return f"{version}{space}/{kind.plural}" + (f"/{quote(name)}" if name else "")

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Return what a step gives, waiting for a cluster that does not answer, and a while for one that is too busy. Raises Refusal."""
        delay, tries = 0.2, 0
        while True:
            try:
                made = await step()
            except Unreachable as error:
                if not self._away:
                    log.warning("the cluster does not answer: %s", error)
                self._away = True
            except Refusal as refusal:
                tries += 1
                if refusal.code not in _BUSY or tries >= TRIES:
                    raise
            else:
                if self._away:
                    log.info("the cluster answers again")
                self._away = False
                return made
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST)

    # Watching

    def _heard(self, key: Key, seen: Seen | None) -> None:
        """Take a change of a kind that the follower holds in memory."""
        if seen is None:
            self._miss()
        else:
            self._note(key, seen.type, seen.object)

    def _note(self, key: Key, change: str, item: Resource) -> None:
        meta = item["metadata"]
        one = Changed(
            key[0],
            key[1],
            meta.get("namespace") or "",
            meta["name"],
            meta.get("uid") or "",
            change == "DELETED",
        )
        self._news.pop(one, None)
        self._news[one] = None
        if len(self._news) > MOST_DUE:
            self._news.clear()
            self._missed = True
        self._told.set()

    def _miss(self) -> None:
        self._missed = True
        self._told.set()

    async def _keep_watching(self) -> None:
        """Watch what the policies concern, and let new policies count once all of that is watched."""
        warned = False
        while True:
            await self._stir.wait()
            self._stir.clear()
            catalogue = self._follower.catalogue
            if catalogue is None or self._follower.missing():
                continue
            loaded = self._follower.loaded
            wanted = self._to_watch(loaded, catalogue)
            for key in [key for key in self._watches if key not in wanted or self._watches[key].done()]:
                self._watches.pop(key).cancel()
                self._begun.discard(key)
                self._refused.discard(key)
                if catalogue.kind(*key) is None:  # nobody tells of what went with it
                    self._miss()
            for key, kind in wanted.items():
                if key not in self._watches:
                    self._watches[key] = asyncio.create_task(self._watch(key, kind, loaded))
            if not wanted.keys() <= self._begun | self._refused:
                continue
            if loaded is not self._loaded:
                self._loaded = loaded
                self._miss()
            if all(catalogue.kind(policyreport.GROUP, name) for name in _REPORTS):
                self._ready.set()
            elif not warned:
                warned = True
                log.warning(
                    "the cluster does not know policy reports (%s): waiting for their definitions, which "
                    "`fairlead install audit` prints",
                    policyreport.API_VERSION,
                )

    def _to_watch(self, loaded: Loaded, catalogue: Catalogue) -> dict[Key, Kind]:
        kinds = judged_kinds(loaded.book, catalogue)
        kinds += [kind for name in _REPORTS if (kind := catalogue.kind(policyreport.GROUP, name))]
        return {
            (kind.group, kind.kind): kind
            for kind in kinds
            if "watch" in kind.verbs and not self._follower.follows((kind.group, kind.kind))
        }

    async def _watch(self, key: Key, kind: Kind, first: Loaded) -> None:
        """Note every change of a kind, until cancelled. `first` are the policies that it is begun for."""
        labels = f"{policyreport.MANAGED_BY}={policyreport.MANAGER}" if key[0] == policyreport.GROUP else ""
        since, delay = "", 0.2
        while True:
            try:
                if not since:
                    since = await self._moment(kind)
                    if key in self._begun or first is self._loaded:
                        self._miss()
                    self._begun.add(key)
                    self._refused.discard(key)
                    self._stir.set()
                events = self._cluster.watch(
                    kind.api_version, kind.kind, since=since, labels=labels, slim=True
                )
                async with contextlib.aclosing(events):
                    async for change, item in events:
                        since = str(item["metadata"].get("resourceVersion") or since)
                        delay = 0.2
                        if change in {"ADDED", "MODIFIED", "DELETED"}:
                            self._note(key, change, item)
                await asyncio.sleep(0.1)
            except Refusal as refusal:
                since = ""
                if refusal.code != 410:
                    self._cannot(key, refusal)
                    self._refused.add(key)
                    self._stir.set()
                    await asyncio.sleep(RETRY)
            except Unreachable:
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST)

    async def _moment(self, kind: Kind) -> str:
        """Return the resourceVersion of this moment."""
        answer = await self._cluster.raw("GET", self._path(kind), params={"limit": 1})
        return str(orjson.loads(answer.content)["metadata"].get("resourceVersion") or "")

    def _cannot(self, key: Key, refusal: Refusal) -> None:
        if key not in self._refused and refusal.code != 404:
            log.warning(
                "%s cannot be looked at: %s", ".".join(filter(None, (key[1], key[0]))), refusal.message
            )


__all__ = ["ClusterPlace", "audit_cluster"]
