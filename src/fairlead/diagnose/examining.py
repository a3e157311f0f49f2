"""The whole examination: what is there in, findings out.

`needs` says what would help (the ends of some logs), `examine` takes the answers. Both are pure and may be called on any
View: a live cluster, files, a copy with a change tried on it. An Examination goes on: changes in, findings out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from fairlead.diagnose.analyzers import (
    addresses,
    autoscaling,
    bindings,
    budgets,
    catalogs,
    certificates,
    configs,
    crashes,
    credentials,
    cronjobs,
    customs,
    deprecations,
    detections,
    devices,
    disruption,
    evictions,
    gateways,
    grounds,
    hygiene_nodes,
    hygiene_pods,
    hygiene_services,
    images,
    jobs,
    levels,
    monitors,
    netborders,
    netcuts,
    pairs,
    pairs_routes,
    policies_network,
    probes,
    quotas,
    reports,
    resolving,
    rights,
    rollouts,
    routes,
    scalers,
    scheduling,
    scrapes,
    services,
    starts,
    storage,
    unused,
    usage,
    variables,
    webhooks,
    workloads,
)
from fairlead.diagnose.causes import Fact, Ledger, roots
from fairlead.diagnose.changes import with_changes
from fairlead.diagnose.inventories import ALWAYS, ANY_KIND, ANY_MAKER, Inventory, Locate, Reads, Scope
from fairlead.diagnose.revisions import way_back
from fairlead.words import Finding, Need, Ref, Resource, Severity, Snapshot, View

Look: TypeAlias = Callable[[Inventory, Resource], Iterator[Fact]]
"""What an analyzer asks of one object. It reads the world through the Inventory alone."""
Table: TypeAlias = Mapping[tuple[str, str], Look]
"""By (group, kind); ANY_KIND is for every object but Events, ANY_MAKER for every object that makes pods and that no other made."""

UNITS: Sequence[Table] = (
    configs.UNITS,
    addresses.UNITS,
    detections.UNITS,
    grounds.UNITS,
    services.UNITS,
    crashes.UNITS,
    probes.UNITS,
    images.UNITS,
    starts.UNITS,
    scheduling.UNITS,
    workloads.UNITS,
    resolving.UNITS,
    netcuts.UNITS,
    netborders.UNITS,
    certificates.UNITS,
    credentials.UNITS,
    variables.UNITS,
    webhooks.UNITS,
    gateways.UNITS,
    routes.UNITS,
    customs.UNITS,
    bindings.UNITS,
    budgets.UNITS,
    hygiene_pods.UNITS,
    hygiene_services.UNITS,
    autoscaling.UNITS,
    cronjobs.UNITS,
    devices.UNITS,
    disruption.UNITS,
    evictions.UNITS,
    jobs.UNITS,
    levels.UNITS,
    quotas.UNITS,
    rights.UNITS,
    rollouts.UNITS,
    storage.UNITS,
    catalogs.UNITS,
    monitors.UNITS,
    reports.UNITS,
    scalers.UNITS,
    scrapes.UNITS,
)
"""Tables of what is asked of each object of a kind: what is broken, or will be."""
NEEDS: Sequence[Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Need]]]] = (
    crashes.NEEDS,
    probes.NEEDS,
    starts.NEEDS,
)
"""Tables of what each object of a kind makes worth fetching."""
ADVICE: Sequence[Table] = (
    bindings.ADVICE,
    budgets.ADVICE,
    customs.ADVICE,
    deprecations.ADVICE,
    hygiene_nodes.ADVICE,
    hygiene_pods.ADVICE,
    hygiene_services.ADVICE,
    pairs.ADVICE,
    pairs_routes.ADVICE,
    policies_network.ADVICE,
    rights.ADVICE,
    unused.ADVICE,
    usage.ADVICE,
)
"""Tables of what is asked only when advice is wanted: hygiene, of severity info."""


class _Plan:
    """Tables turned round: what to ask of an object of a kind, in the order of the tables."""

    def __init__(self, tables: Sequence[Mapping[tuple[str, str], Callable[..., Any]]]) -> None:
        self._rows = [
            (number, kind, look) for number, table in enumerate(tables) for kind, look in table.items()
        ]
        self._looks: dict[tuple[str, str], tuple[list[Callable[..., Any]], list[Callable[..., Any]]]] = {}

    def of(self, kind: tuple[str, str]) -> tuple[list[Callable[..., Any]], list[Callable[..., Any]]]:
        """Return what is asked of each object of the kind, and what is asked of it only if it makes pods."""
        held = self._looks.get(kind)
        if held is None:
            wanted = {kind} if kind[1] == "Event" else {kind, ANY_KIND}
            always = [look for _, its, look in self._rows if its in wanted]
            makers = [look for _, its, look in self._rows if its == ANY_MAKER and kind[1] != "Event"]
            held = self._looks[kind] = (always, makers)
        return held

    def ask(self, inventory: Inventory, resource: Resource, kind: tuple[str, str]) -> Iterator[Any]:
        """Ask one object."""
        always, makers = self.of(kind)
        for look in always:
            yield from look(inventory, resource)
        if makers and inventory.maker(resource) is not None:
            for look in makers:
                yield from look(inventory, resource)

    def answers(
        self, inventory: Inventory, resource: Resource, kind: tuple[str, str]
    ) -> tuple[list[Any], Exception | None]:
        """Return what one object makes of all that it is asked, and the fault of an analyzer that could not go on."""
        found: list[Any] = []
        try:
            found.extend(self.ask(inventory, resource, kind))
        except Exception as error:  # noqa: BLE001  what one object holds must not cost the others
            return found, error
        return found, None

    def every(self, inventory: Inventory) -> Iterator[tuple[Resource, list[Any], Exception | None]]:
        """Ask every object, kind by kind."""
        for kind in sorted(inventory.view.kinds()):
            if any(self.of(kind)):
                for one in inventory.view.list(*kind):
                    yield one, *self.answers(inventory, one, kind)


_BROKEN, _ALL, _WANTED = _Plan(UNITS), _Plan((*UNITS, *ADVICE)), _Plan(NEEDS)


def needs(view: View, *, now: datetime) -> list[Need]:
    """Return what the reactor may fetch from a live cluster to make the answer better.

    Each is `Need("log", pod, (("container", name), ("previous", "true"|"false"), ("tail", lines)))`.
    """
    return needs_in(Inventory(view, scope="live", now=now))


def needs_in(inventory: Inventory) -> list[Need]:
    """Return the needs of an inventory that is to be examined: put the answers into it, then ask `findings_in`."""
    # A fault here is one of the examination to come too, which tells of it.
    return list(dict.fromkeys(need for _, found, _ in _WANTED.every(inventory) for need in found))


def examine(
    view: View,
    *,
    scope: Scope,
    now: datetime,
    answers: Mapping[Need, str] | None = None,
    unseen: Collection[tuple[str, str]] = (),
    locate: Locate | None = None,
    advice: bool = False,
) -> list[Finding]:
    """Return one Finding per root cause, the gravest first.

    `now` is aware UTC. `unseen` names the (group, kind) pairs that could not be listed: their absence proves nothing.
    `locate` turns an object and a path in it into a place in a file. `advice` asks for hygiene too.
    """
    inventory = Inventory(view, scope=scope, now=now, answers=answers, unseen=unseen, locate=locate)
    return findings_in(inventory, advice=advice)


def findings_in(inventory: Inventory, *, advice: bool = False) -> list[Finding]:
    """Return one Finding per root cause of what an inventory holds, the gravest first."""
    plan = _ALL if advice else _BROKEN
    return _with_ways_back(inventory, roots(_facts(plan.every(inventory))))


def _facts(told: Iterable[tuple[Resource, list[Fact], Exception | None]]) -> Iterator[Fact]:
    for one, found, fault in told:
        yield from found
        if fault is not None:
            yield _unexamined(Ref.of(one), fault)


def _unexamined(ref: Ref, fault: Exception) -> Fact:
    return Fact(
        rule="object.unexamined",
        subject=ref,
        severity=Severity.INFO,
        message="could not be examined in full",
        cause=f"{type(fault).__name__} in an analyzer: a fault of fairlead's, worth a report.",
    )


def _with_ways_back(inventory: Inventory, findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with the last resort among fixes (what worked before, where that still runs), and what was changed lately."""
    return [_finished(inventory, one) for one in findings] if inventory.live else list(findings)


def _finished(inventory: Inventory, finding: Finding) -> Finding:
    way = way_back(inventory, finding) if not finding.fixes else None
    return with_changes(inventory, replace(finding, fixes=(way,)) if way is not None else finding)


class Examination:
    """An examination that goes on: after a change, only what read something that changed is asked again.

    Each object is one unit. While it is asked, what it reads is noted; a change touches answers, and who read those is asked once more. Who
    read the clock is asked again when the time comes at which its answer may be another. `update` gives what `examine` would give for
    the same objects, answers and time. Not for several threads.
    """

    def __init__(self, *, scope: Scope = "live", locate: Locate | None = None, advice: bool = False) -> None:
        self.view = Snapshot()
        self._scope: Scope = scope
        self._locate = locate
        self._plan = _ALL if advice else _BROKEN
        self._unseen: frozenset[tuple[str, str]] = frozenset()
        self._start()

    def _start(self) -> None:
        self._inventory = Inventory(
            self.view,
            scope=self._scope,
            now=ALWAYS,
            unseen=self._unseen,
            locate=self._locate,
            lasting=True,
        )
        self._ledger = Ledger()
        self._reads: dict[Ref, Reads] = {}
        self._readers: dict[Hashable, set[Ref]] = {}
        self._timed: dict[Ref, datetime] = {}
        self._needs: dict[Ref, list[Need]] = {}
        self._ends: dict[int, tuple[Finding, Finding, Reads]] = {}
        self.failed: dict[Ref, Exception] = {}
        self.asked = 0

    @property
    def inventory(self) -> Inventory:
        """What it looks at."""
        return self._inventory

    @property
    def needs(self) -> list[Need]:
        """What the reactor may fetch to make the answer better, as of the last update."""
        found = (need for ref in sorted(self._needs, key=_place) for need in self._needs[ref])
        return list(dict.fromkeys(found))

    def update(
        self,
        puts: Iterable[Resource] = (),
        drops: Iterable[Ref] = (),
        *,
        now: datetime,
        answers: Mapping[Need, str] | None = None,
        unseen: Collection[tuple[str, str]] | None = None,
    ) -> list[Finding]:
        """Take in what was put and what was dropped, and return the findings of all that is there now, the gravest first.

        `now` is aware UTC. `answers` takes the place of the answers before, `unseen` of the kinds that could not be listed (where given). What
        was put must not be changed afterwards. `asked` counts the objects that were asked in this update; `failed` has those about which not
        all could be asked, with what was raised: a fault of an analyzer, which costs no other object its findings.
        """
        inventory = self._inventory
        touched: set[Hashable] = set()
        dirty: set[Ref] = set()
        for resource in puts:
            tokens = inventory.put(resource)
            if tokens:
                touched |= tokens
                dirty.add(Ref.of(resource))
        for ref in drops:
            tokens = inventory.drop(ref)
            if tokens:
                touched |= tokens
                dirty.add(ref)
        if unseen is not None and frozenset(unseen) != self._unseen:
            self._unseen = frozenset(unseen)
            before = inventory.answers
            self._start()
            inventory = self._inventory
            inventory.answers = before
            dirty = {Ref.of(one) for one in self.view}
        inventory.now = now
        if answers is not None:
            touched |= inventory.answered(answers)
        for token in touched:
            dirty |= self._readers.get(token, _NOBODY)
        dirty.update(ref for ref, until in self._timed.items() if until <= now)
        inventory.forget(touched)
        self.asked = len(dirty)
        for ref in dirty:
            self._ask(ref)
        return self._finish(self._ledger.findings(), touched, now)

    def _finish(self, findings: list[Finding], touched: set[Hashable], now: datetime) -> list[Finding]:
        """Return the findings with what is added at the end; what was added before is taken where it still holds."""
        if not self._inventory.live:
            return findings
        before, self._ends = self._ends, {}
        for one in findings:
            held = before.get(id(one))
            if held is None or held[0] is not one or _spent(held[2], touched, now):
                reads = Reads()
                self._inventory.reading(reads)
                try:
                    held = (one, _finished(self._inventory, one), reads)
                finally:
                    self._inventory.reading(None)
            self._ends[id(one)] = held
        return [self._ends[id(one)][1] for one in findings]

    def _ask(self, ref: Ref) -> None:
        before = self._reads.pop(ref, None)
        self._timed.pop(ref, None)
        self._needs.pop(ref, None)
        resource = self.view.get(ref.group, ref.kind, ref.namespace, ref.name)
        kind = (ref.group, ref.kind)
        facts: list[Fact] = []
        wanted: list[Need] = []
        reads = Reads()
        self.failed.pop(ref, None)
        if resource is not None:
            self._inventory.reading(reads)
            facts, fault = self._plan.answers(self._inventory, resource, kind)
            if fault is not None:
                self.failed[ref] = fault
                facts.append(_unexamined(ref, fault))
            if self._inventory.live:
                wanted, _ = _WANTED.answers(self._inventory, resource, kind)
            self._inventory.reading(None)
            if wanted:
                self._needs[ref] = wanted
            if reads.until is not None:
                self._timed[ref] = reads.until
        self._ledger.tell(ref, facts)
        reads.tokens.discard(ref)
        old = before.tokens if before is not None else set()
        for token in old - reads.tokens:
            readers = self._readers[token]
            readers.discard(ref)
            if not readers:
                del self._readers[token]
        for token in reads.tokens - old:
            self._readers.setdefault(token, set()).add(ref)
        if reads.tokens:
            self._reads[ref] = reads


_NOBODY: frozenset[Ref] = frozenset()


def _spent(reads: Reads, touched: set[Hashable], now: datetime) -> bool:
    """Say whether an answer that was made from these reads may be another by now."""
    return (reads.until is not None and reads.until <= now) or not reads.tokens.isdisjoint(touched)


def _place(ref: Ref) -> tuple[str, str, str, str]:
    return (ref.group, ref.kind, ref.namespace, ref.name)
