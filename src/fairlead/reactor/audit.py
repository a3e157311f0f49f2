"""The background audit: keeps a PolicyReport on every resource current, judging only what changed.

A full pass goes over everything page by page, after a start, when policies (or what they look up) have changed, and once in a while;
in between only what was written is judged again. Holds no objects: of each report only a digest. Writes only reports that say
something new and removes those of resources that nobody judges any more. Holds no rules, and must leave room for others: it works in
slices, and rests in proportion to its work.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import orjson

from fairlead.dialects import policyreport
from fairlead.judge.judging import judge
from fairlead.judge.policies import Book, Judged
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, Target, subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.reactor.exempting import OWN_DIALECTS, never_judged, only_own
from fairlead.reactor.judging import asking
from fairlead.reactor.policies import DIALECTS, GROUPS, Loaded
from fairlead.words import Finding, Need, Ref, Resource

log = logging.getLogger("fairlead.audit")

SETTLE = 0.5
"""Seconds that changes may come together before they are judged."""
EVERY = 3600.0
"""Seconds between two passes over everything: policies may depend on the time."""
LOOKED_UP = 30.0
"""Seconds at least between two passes that are made because what policies look up has changed."""
MOST_DUE = 20_000
"""More changed resources than so many are a reason to look at everything."""
KEPT = 100
"""Violations of a constraint that are kept for its status."""
LONGEST_REST = 0.1
"""Seconds that it rests at a time, at most."""


class Pace(NamedTuple):
    """How fast it goes: seconds of work before others have their turn, how many times as long it rests, writes at the same time."""

    slice: float
    rest: float
    writing: int


BESIDE = Pace(0.002, 1.0, 1)
"""On the event loop of a control plane: whoever waits for an answer waits for one resource's turn at most."""
ALONE = Pace(0.02, 0.0, 4)
"""In a process of its own."""


class Changed(NamedTuple):
    """Something was written: which object, and whether it is gone."""

    group: str
    kind: str
    namespace: str
    name: str
    uid: str
    gone: bool


class Place(Protocol):
    """Where the resources, the policies and the reports are: the store of a control plane, or a cluster."""

    @property
    def loaded(self) -> Loaded:
        """The policies of this moment: the same object as long as they are the same."""

    @property
    def catalogue(self) -> Catalogue:
        """The kinds that are served."""

    def around(self, now: datetime) -> Surroundings:
        """Return what is around the resources."""

    def changes(self) -> AsyncIterator[Sequence[Changed]]:
        """What is written from now on, for ever; an empty list says that some may have been missed."""

    def pages(self, kind: Kind) -> AsyncIterator[Sequence[Resource]]:
        """All objects of a kind, page by page."""

    async def find(self, kind: Kind, namespace: str, name: str) -> Resource | None:
        """Return one object, or None."""

    async def answer(self, needs: Sequence[Need]) -> Mapping[Need, Any]:
        """Return answers to what policies ask of the outside."""

    async def put(self, document: Resource, *, there: bool) -> None:
        """Create a report, or replace it. Raises Refusal."""

    async def drop(self, kind: str, namespace: str, name: str) -> None:
        """Delete a report. Raises Refusal."""

    async def put_status(self, document: Resource, status: Resource) -> None:
        """Write the status of a policy document. Raises Refusal."""


@dataclass(slots=True)
class _Report:
    """What is known of one report."""

    kind: str
    namespace: str
    digest: bytes
    orphan: bool = False
    """Whether what it is about is gone: the garbage collector takes it, or the next pass does."""


@dataclass(slots=True)
class _Tally:
    """The violations of one constraint: how many each resource has, and the first of them."""

    counts: dict[str, int] = field(default_factory=dict)
    kept: dict[str, list[tuple[Subject, Judged]]] = field(default_factory=dict)
    changed: bool = True


class Auditor:
    """See the module. `clock` gives the time, aware UTC."""

    def __init__(
        self,
        place: Place,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pace: Pace = BESIDE,
    ) -> None:
        self.passes = 0
        """Full passes that came to their end."""
        self.judged = 0
        """Resources that were judged."""
        self.written = 0
        """Reports that were created, replaced or removed."""
        self._place = place
        self._clock = clock
        self._pace = pace
        self._reports: dict[str, _Report] = {}
        self._tallies: dict[Ref, _Tally] = {}
        self._due: dict[Changed, None] = {}
        self._lost: set[str] = set()
        self._spaces: dict[str, bytes] = {}
        self._stir = asyncio.Event()
        self._everything = True
        self._by: Loaded | None = None
        self._own: Book | None = None
        self._last_pass = 0.0
        self._since = 0.0
        self._writes: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keep the reports current until cancelled, or until the place has no more changes."""
        listening = asyncio.create_task(self._listen())
        try:
            await self._remember()
            while not listening.done():
                await self.once()
                self._stir.clear()
                if self._due or self._everything or self._lost:
                    await asyncio.sleep(SETTLE)
                    continue
                waiting = asyncio.create_task(self._stir.wait())
                await asyncio.wait({waiting, listening}, timeout=EVERY, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    waiting.cancel()
                    self._everything = not listening.done()
                await asyncio.sleep(SETTLE)
            listening.result()
        finally:
            listening.cancel()
            for task in self._writes:
                task.cancel()
            await asyncio.gather(listening, *self._writes, return_exceptions=True)

    async def once(self) -> None:
        """Judge what is due, once; make a full pass if one is."""
        loaded = self._place.loaded
        if loaded is not self._by:
            self._everything = True
        if self._everything:
            self._everything = False
            self._due.clear()
            self._lost.clear()
            await self._pass(loaded)
        else:
            due, self._due = list(self._due), {}
            await self._some(due)
        await self._settle()
        await self._tell()

    # Listening

    async def _listen(self) -> None:
        async for changes in self._place.changes():
            if not changes:
                self._everything = True
            for one in changes:
                self._note(one)
            self._stir.set()

    def _note(self, one: Changed) -> None:
        if one.group in GROUPS or one.group == "apiextensions.k8s.io":
            return  # whether that changes the policies, `loaded` tells
        if one.group == policyreport.GROUP:
            if one.gone and one.name in self._reports:
                self._lost.add(one.name)
            return
        if (one.group, one.kind) == ("", "Namespace"):
            self._note_space(one)
        wanted = self._by.wanted if self._by is not None else frozenset()
        if (one.group, one.kind) in wanted and time.monotonic() - self._last_pass > LOOKED_UP:
            self._everything = True
        self._due[one] = None
        if len(self._due) > MOST_DUE:
            self._due.clear()
            self._everything = True

    def _note_space(self, one: Changed) -> None:
        """A namespace's labels may matter to everything in it; a new one has nothing in it."""
        if one.gone:
            self._spaces.pop(one.name, None)
            return
        space = self._place.around(self._clock()).view.get("", "Namespace", "", one.name)
        if space is not None:
            fresh = _face(space)
            self._everything |= self._spaces.get(one.name, fresh) != fresh
            self._spaces[one.name] = fresh

    async def _remember(self) -> None:
        """Read the digests of the reports that are there already."""
        for name in ("PolicyReport", "ClusterPolicyReport"):
            kind = self._place.catalogue.kind(policyreport.GROUP, name)
            if kind is None:
                continue
            async for page in self._place.pages(kind):
                for one in page:
                    meta = one["metadata"]
                    if (meta.get("labels") or {}).get(policyreport.MANAGED_BY) == policyreport.MANAGER:
                        self._reports[meta["name"]] = _Report(name, meta.get("namespace") or "", _digest(one))
                    await self._breathe()

    # Judging

    async def _pass(self, loaded: Loaded) -> None:
        self._by, self._last_pass = loaded, time.monotonic()
        own = (one for one in loaded.book.policies if one.dialect in OWN_DIALECTS)
        self._own = Book(own)
        self._tallies = {one.source: _Tally() for one in loaded.book.policies if one.dialect == "gatekeeper"}
        self._since = time.monotonic()
        seen: set[str] = set()
        if loaded.book.policies:
            around = self._place.around(self._clock())
            self._spaces = {one["metadata"]["name"]: _face(one) for one in around.view.list("", "Namespace")}
            for kind in judged_kinds(loaded.book, self._place.catalogue):
                async for page in self._place.pages(kind):
                    for one in page:
                        name = await self._judge(kind, one, around)
                        if name:
                            seen.add(name)
                    if self._place.loaded is not loaded:
                        self._everything = True
                        return
        for name in [name for name in self._reports if name not in seen]:
            await self._remove(name)
            await self._breathe()
        self.passes += 1

    async def _some(self, due: Iterable[Changed]) -> None:
        around = self._place.around(self._clock())
        self._since = time.monotonic()
        for one in due:
            if one.gone:
                self._forget(one.uid)
                if one.uid in self._reports:
                    self._reports[one.uid].orphan = True
                continue
            kind = self._place.catalogue.kind(one.group, one.kind)
            if kind is None or self._by is None or not _background(self._by.book, _target(kind)):
                continue
            if never_judged(kind.group, kind.plural):
                continue
            found = await self._place.find(kind, one.namespace, one.name)
            if found is not None and not await self._judge(kind, found, around):
                await self._remove(one.uid)
        lost, self._lost = self._lost, set()
        reports = [self._reports.pop(name) for name in lost if name in self._reports]
        self._everything |= not all(one.orphan for one in reports)

    async def _judge(self, kind: Kind, resource: Resource, around: Surroundings) -> str:
        """Judge one resource and have its report written if it says something new; return the report's name, "" for none."""
        assert self._by is not None
        assert self._own is not None
        meta = resource["metadata"]
        namespace = meta.get("namespace") or ""
        book = self._own if only_own(namespace) else self._by.book
        space = around.view.get("", "Namespace", "", namespace) if namespace else None
        subject = subject_of(resource, kind.plural, space=space, scan=True)
        outcomes = await asking(lambda around: judge(subject, book, around), around, self._place.answer)
        self.judged += 1
        self._count(subject, outcomes)
        await self._breathe()
        outcomes = [one for one in outcomes if one.outcome.result != "skip" or one.outcome.message]
        if not outcomes:
            return ""
        document = policyreport.report(subject, outcomes, self._clock().isoformat())
        name, digest = document["metadata"]["name"], _digest(document)
        known = self._reports.get(name)
        if known is None or known.digest != digest:
            self._reports[name] = _Report(document["kind"], namespace, digest)
            await self._write(self._put(document, there=known is not None))
            await self._breathe()
        return str(name)

    def _count(self, subject: Subject, outcomes: Iterable[Judged]) -> None:
        if not self._tallies:
            return
        uid = subject.ref.uid
        self._forget(uid)
        for one in outcomes:
            tally = self._tallies.get(one.policy.source)
            if tally is None or one.outcome.result not in {"fail", "error"}:
                continue
            tally.changed = True
            tally.counts[uid] = tally.counts.get(uid, 0) + 1
            if len(tally.kept) < KEPT:
                slim = replace(subject, object=None, old=None, space=None)
                tally.kept.setdefault(uid, []).append((slim, one))

    def _forget(self, uid: str) -> None:
        for tally in self._tallies.values():
            if tally.counts.pop(uid, None) is not None:
                tally.changed = True
                tally.kept.pop(uid, None)

    async def _breathe(self) -> None:
        worked = time.monotonic() - self._since
        if worked > self._pace.slice:
            await asyncio.sleep(min(worked * self._pace.rest, LONGEST_REST))
            self._since = time.monotonic()

    # Writing

    async def _write(self, step: Coroutine[Any, Any, None]) -> None:
        if self._pace.writing == 1:
            await step
            return
        while len(self._writes) >= self._pace.writing:
            await asyncio.wait(self._writes, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(step)
        self._writes.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a report cannot be written", exc_info=task.exception())

    async def _settle(self) -> None:
        if self._writes:
            await asyncio.wait(set(self._writes))

    async def _put(self, document: Resource, *, there: bool) -> None:
        meta = document["metadata"]
        try:
            if there:
                kind = self._place.catalogue.kind(policyreport.GROUP, document["kind"])
                before = None
                if kind is not None:
                    before = await self._place.find(kind, meta.get("namespace") or "", meta["name"])
                there = before is not None
                if before is not None:
                    _keep_times(document, before)
            await self._place.put(document, there=there)
            self.written += 1
        except Refusal as refusal:
            self._reports.pop(meta["name"], None)
            if refusal.code not in {404, 409}:  # its resource, or the namespace, is about to go
                log.warning("the report %s cannot be written: %s", meta["name"], refusal.message)

    async def _remove(self, name: str) -> None:
        known = self._reports.pop(name, None)
        if known is None:
            return
        try:
            await self._place.drop(known.kind, known.namespace, name)
            self.written += 1
        except Refusal as refusal:
            if refusal.code != 404:
                log.warning("the report %s cannot be removed: %s", name, refusal.message)

    async def _tell(self) -> None:
        """Write the status of the constraints whose violations have changed."""
        for ref, tally in self._tallies.items():
            if not tally.changed:
                continue
            tally.changed = False
            kind = self._place.catalogue.kind(ref.group, ref.kind)
            document = await self._place.find(kind, ref.namespace, ref.name) if kind is not None else None
            if document is None:
                continue
            status = constraint_status(document, tally, self._by.findings if self._by else (), self._clock())
            if _lasting(status) == _lasting(document.get("status") or {}):
                continue
            try:
                await self._place.put_status(document, status)
            except Refusal as refusal:
                log.warning("the status of %s cannot be written: %s", ref, refusal.message)


def constraint_status(
    document: Resource, tally: _Tally, findings: Sequence[Finding], now: datetime
) -> Resource:
    """Return the status of a constraint as its dialect words it."""
    ref = Source(document).ref
    writes = DIALECTS[GROUPS[ref.group]].WRITES
    write = writes.get((ref.group, ref.kind)) or writes[ref.group, "*"]
    kept = [one for those in tally.kept.values() for one in those]
    status: Resource = write(document, kept, findings, now)
    return {**status, "totalViolations": sum(tally.counts.values())}


def _lasting(status: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key != "auditTimestamp"}


def _keep_times(document: Resource, before: Resource) -> None:
    policyreport.keep_times(document["results"], before.get("results") or ())
    version = before["metadata"].get("resourceVersion")
    if version:
        document["metadata"]["resourceVersion"] = version


def _digest(document: Resource) -> bytes:
    text = orjson.dumps(policyreport.essence(document), option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=12).digest()


def _face(space: Resource) -> bytes:
    """Return what policies may ask of a namespace about the things in it."""
    meta = space.get("metadata") or {}
    parts = [meta.get("labels"), meta.get("annotations"), meta.get("deletionTimestamp"), space.get("spec")]
    return hashlib.blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=12).digest()


def judged_kinds(book: Book, catalogue: Catalogue) -> list[Kind]:
    """Return the kinds that any background rule concerns, each in its preferred version."""
    found: dict[tuple[str, str], Kind] = {}
    for kind in catalogue.all():
        if {"list", "get"} <= kind.verbs and not never_judged(kind.group, kind.plural):
            preferred = catalogue.kind(kind.group, kind.kind) or kind
            found.setdefault(preferred.storage, preferred)
    return [kind for kind in found.values() if _background(book, _target(kind))]


def _target(kind: Kind) -> Target:
    return Target(kind.group, kind.version, kind.kind, kind.plural)


def _background(book: Book, target: Target) -> bool:
    return any(policy.background for policy, _ in book.rules(target, "validate"))
