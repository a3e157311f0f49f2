"""Tries a fix on a copy of the cluster's state before anybody is asked to believe in it.

The copy is a fork of a World that was filled from one LIST a kind, with a gate that judges by the policies among them: the fix, and
every pod that follows from it, must pass them too. The change goes through validation, defaulting and admission,
the controllers and the scheduler run until they rest, what the node would do is foreseen from the objects, and then
the diagnosis is made again: the cause must be gone and nothing new may have come. Touches nothing but the copy.
"""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from fairlead.diagnose.examining import examine
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.predicting import Forecast, Oracle, expected
from fairlead.diagnose.proposing import bare
from fairlead.dialects import manifests
from fairlead.keep import extending
from fairlead.keep.collecting import collect
from fairlead.keep.entries import Entry
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import BUILT_IN, Kind
from fairlead.keep.versions import STORED_AS
from fairlead.keep.worlds import World
from fairlead.orchestrate.controllers import CONTROLLERS
from fairlead.orchestrate.settling import Settled, settle
from fairlead.orchestrate.steps import Refused
from fairlead.reactor.admit import PolicyGate
from fairlead.reactor.carrying import CONTROLLER, Copy
from fairlead.tongues.paths import mapping, text
from fairlead.words import Change, Finding, Fix, Ref, Resource, Severity, Snapshot, User

ADMIN = User(name="fairlead", groups=("system:masters", "system:authenticated"))
_BY_TIME = frozenset({"node", "eviction", "cronjob", "ttl-after-finished"})
"""Controllers that act because time passes, which it does not on a copy."""
_ROUNDS = 30
_HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the trial looked at, whether it holds, and what was seen."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(slots=True)
class Trial:
    """What came of it. `diffs` are unified diffs of YAML, one for each object changed."""

    finding: Finding
    fix: Fix
    objects: int
    steps: list[Step] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    diffs: list[str] = field(default_factory=list)
    after: list[Finding] = field(default_factory=list)
    state: Snapshot | None = field(default=None, repr=False)
    """The copy as the fix has left it, for the next fix to be tried on."""
    originals: dict[Ref, Resource] = field(default_factory=dict, repr=False)
    """What the fix changes, as it was when this was tried."""

    @property
    def proven(self) -> bool:
        """Whether every step holds."""
        return bool(self.steps) and all(step.ok for step in self.steps)


def kinds_to_copy() -> list[tuple[str, str]]:
    """Return (apiVersion, kind) of everything that a copy needs: each stored kind once, in the version it is stored in."""
    chosen: dict[tuple[str, str], Kind] = {}
    for kind in BUILT_IN:
        if not kind.stored or "list" not in kind.verbs:
            continue
        group, version = STORED_AS.get(kind.storage, (kind.group, kind.version))
        if (kind.group, kind.version) == (group, version):
            chosen.setdefault(kind.storage, kind)
    return [(kind.api_version, kind.kind) for kind in chosen.values()]


def world_of(resources: Iterable[Resource], definitions: Mapping[str, Any]) -> World:
    """Return a World that holds the objects as they are, apart from what it has no kind for, and judges by its policies."""
    world = World(definitions, random.Random(0))
    entries: list[Entry] = []
    resources = list(resources)
    for resource in resources:
        if resource.get("kind") == "CustomResourceDefinition":
            extending.take_up(resource, world.catalogue, world.schemas)
    for resource in resources:
        ref = Ref.of(resource)
        version = text(resource, "apiVersion").rpartition("/")[2]
        kind = world.catalogue.kind(ref.group, ref.kind, version)
        if kind is None:
            continue
        rv = len(entries) + 1
        body = {**resource, "metadata": {**resource["metadata"], "resourceVersion": str(rv)}}
        entries.append(Entry(rv, "ADDED", kind.storage, ref.namespace, ref.name, orjson.dumps(body)))
    world.restore(entries, (), len(entries))
    world.guard(PolicyGate())
    return world


def try_fix(
    view: Snapshot,
    finding: Finding,
    fix: Fix,
    *,
    now: datetime,
    before: Sequence[Finding],
    definitions: Mapping[str, Any],
    unseen: AbstractSet[tuple[str, str]] = frozenset(),
) -> Trial:
    """Try a fix for a finding on a copy of what the view holds. `before` is all that was found on it.

    `definitions` are Kubernetes' OpenAPI definitions, `now` is aware UTC. Raises nothing: what fails is a step that does not hold.
    """
    trial = Trial(finding, fix, len(view))
    for ref in {change.ref for change in fix.changes}:
        if (found := view.get(ref.group, ref.kind, ref.namespace, ref.name)) is not None:
            trial.originals[ref] = found
    copied = Copy(world_of(view, definitions).fork(), now, ADMIN)
    _show_rest(copied, view)
    if not _apply(copied, fix, trial):
        return trial
    copied.user = CONTROLLER
    trial.diffs = diffs(view, copied, fix.changes)
    cured = {symptom.subject for symptom in finding.symptoms} | {finding.subject}
    oracle = Oracle(Inventory(view, scope="live", now=now, unseen=unseen), cured)
    forecasts, settled = _run(copied, oracle, unseen)
    _judge_rest(trial, view, copied, settled)
    forecasts = _concerned(forecasts, view, copied, cured)
    _judge_pods(trial, forecasts, copied)
    trial.after = examine(copied, scope="live", now=copied.now, unseen=unseen)
    trial.state = copied
    _judge_findings(trial, before)
    trial.unproven = list(expected(forecasts.values())) or [_doubt(fix)]
    return trial


def _show_rest(copied: Copy, view: Snapshot) -> None:
    """Show what the copy has no kind for (metrics, reports), as it is: it says the same before and after."""
    for one in view:
        ref = Ref.of(one)
        version = text(one, "apiVersion").rpartition("/")[2]
        if copied.world.catalogue.kind(ref.group, ref.kind, version) is None:
            copied.put(one)


def _doubt(fix: Fix) -> str:
    kind = fix.changes[0].ref.kind if fix.changes else ""
    if kind in {"Service", "Ingress"}:
        return "that what listens behind it answers as its clients expect"
    return "that the running processes take it well"


def _apply(copied: Copy, fix: Fix, trial: Trial) -> bool:
    for change in fix.changes:
        try:
            copied.carry_out(change)
        except Refused as refused:
            trial.steps.append(Step("the API server takes the change", False, refused.message))
            return False
        if change.verb == "delete":
            _let_go(copied, change.ref)
    what = ", ".join(dict.fromkeys(f"{_past(change)} {change.ref}" for change in fix.changes))
    trial.steps.append(Step("the API server takes the change", True, what))
    return True


def _past(change: Change) -> str:
    return {"patch": "patched", "create": "created", "update": "replaced", "delete": "deleted"}[change.verb]


def _let_go(copied: Copy, ref: Ref) -> None:
    """End what is being deleted, as the node and the garbage collector would, so that its name is free."""
    _collect(copied)
    resource = copied.get(ref.group, ref.kind, ref.namespace, ref.name)
    if resource is not None and ref.kind == "Pod":
        _end(copied, resource)
    elif resource is not None and mapping(resource, "metadata").get("finalizers"):
        settle(copied, copied.now, [one for one in CONTROLLERS if one.name not in _BY_TIME])


def _end(copied: Copy, pod: Resource) -> None:
    ref = Ref.of(pod)
    change = Change(
        verb="delete",
        ref=ref,
        api_version="v1",
        body={"gracePeriodSeconds": 0},
        why="its containers have ended",
    )
    _quietly(copied, change)


def _quietly(copied: Copy, change: Change) -> bool:
    try:
        copied.carry_out(change)
    except Refused:
        return False
    return True


def _collect(copied: Copy) -> bool:
    def served(api_version: str, kind: str) -> bool:
        group, _, version = api_version.rpartition("/")
        return copied.world.catalogue.kind(group, kind, version) is not None

    moved = False
    for change in collect(copied, served):
        moved |= _quietly(copied, change)
    return moved


def _run(
    copied: Copy, oracle: Oracle, unseen: AbstractSet[tuple[str, str]]
) -> tuple[dict[Ref, Forecast], Settled]:
    """Let controllers, garbage collector and the foreseen node act in turn until nothing moves."""
    controllers = [one for one in CONTROLLERS if one.name not in _BY_TIME]
    forecasts: dict[Ref, Forecast] = {}
    settled = Settled()
    waited = False
    for _ in range(_ROUNDS):
        settled = settle(copied, copied.now, controllers)
        moved = _collect(copied)
        moved |= _node(copied, oracle, forecasts, unseen)
        if moved:
            continue
        if waited or not (pause := _patience(copied)):
            break
        copied.now += pause
        waited = True
    return forecasts, settled


def _patience(copied: Copy) -> timedelta:
    """Return how long controllers wait for pods to have been ready, if any does."""
    seconds = [
        mapping(one, "spec").get("minReadySeconds") or 0
        for kind in ("Deployment", "StatefulSet", "DaemonSet")
        for one in copied.list("apps", kind)
    ]
    longest = max((one for one in seconds if isinstance(one, int)), default=0)
    return timedelta(seconds=longest + 1) if longest else timedelta(0)


def _node(
    copied: Copy, oracle: Oracle, forecasts: dict[Ref, Forecast], unseen: AbstractSet[tuple[str, str]]
) -> bool:
    moved = False
    for pod in list(copied.list("", "Pod")):
        if mapping(pod, "metadata").get("deletionTimestamp"):
            _end(copied, pod)
            moved = True
    inventory = Inventory(copied, scope="live", now=copied.now, unseen=unseen)
    stamp = copied.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    for member in inventory.members:
        forecast = oracle.foresee(inventory, member, stamp)
        if forecast is None:
            continue
        known = forecasts.get(member.ref)
        forecasts[member.ref] = forecast
        if known is not None and (known.blockers, known.remaining) == (forecast.blockers, forecast.remaining):
            continue
        body = {**member.pod, "status": forecast.status}
        change = Change(
            verb="update",
            ref=member.ref,
            api_version="v1",
            body=body,
            subresource="status",
            why="the node reports",
        )
        moved |= _quietly(copied, change)
    return moved


def _judge_rest(trial: Trial, view: Snapshot, copied: Copy, settled: Settled) -> None:
    if settled.faults:
        name, ref, fault = settled.faults[0]
        trial.steps.append(Step("the controllers come to rest", False, f"{name} fails over {ref}: {fault}"))
        return
    made = _made(view, copied)
    trial.steps.append(Step("the controllers come to rest", settled.quiet, made or "nothing to do"))


def _made(view: Snapshot, copied: Copy) -> str:
    """Return which objects came and went, by their kinds."""

    def uids(what: Iterable[Resource]) -> dict[str, str]:
        return {
            text(one, "metadata", "uid"): text(one, "kind")
            for one in what
            if text(one, "kind") not in {"Event", "Lease"}
        }

    old, new = uids(view), uids(copied)
    parts = []
    for word, found in (("made", new.keys() - old.keys()), ("removed", old.keys() - new.keys())):
        kinds = [(new if word == "made" else old)[uid] for uid in found]
        counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        if counted:
            parts.append(f"{counted} {word}")
    return ", ".join(parts)


def _concerned(
    forecasts: Mapping[Ref, Forecast], view: Snapshot, copied: Copy, cured: AbstractSet[Ref]
) -> dict[Ref, Forecast]:
    """Return the forecasts of the pods that the fix made, or else of those that it is to cure."""
    alive = {
        ref: one for ref, one in forecasts.items() if copied.get(ref.group, ref.kind, ref.namespace, ref.name)
    }
    made = {
        ref: one
        for ref, one in alive.items()
        if view.get(ref.group, ref.kind, ref.namespace, ref.name) is None
    }
    return made or {ref: one for ref, one in alive.items() if ref in cured}


def _judge_pods(trial: Trial, forecasts: Mapping[Ref, Forecast], copied: Copy) -> None:
    if not forecasts:
        return
    blocked = {ref: one.blockers for ref, one in forecasts.items() if one.blockers}
    if blocked:
        ref, said = next(iter(blocked.items()))
        trial.steps.append(Step("nothing keeps the new pods from starting", False, f"{ref}: {said[0]}"))
        return
    nodes = {
        text(copied.get(ref.group, ref.kind, ref.namespace, ref.name) or {}, "spec", "nodeName")
        for ref in forecasts
    }
    where = f"{len(forecasts)} pod(s) on {', '.join(sorted(nodes))}"
    remaining = next((one.remaining[0] for one in forecasts.values() if one.remaining), "")
    detail = (
        f"{where}, but {remaining}"
        if remaining
        else f"{where}: references, keys, volumes and images are there"
    )
    trial.steps.append(Step("nothing keeps the new pods from starting", True, detail))


def _judge_findings(trial: Trial, before: Sequence[Finding]) -> None:
    left = {one.id for one in trial.after}
    gone = trial.finding.id not in left
    trial.steps.append(Step("the cause is gone", gone, "" if gone else trial.finding.message))
    known = {one.id for one in before}
    new = [one for one in trial.after if one.id not in known and one.severity != Severity.INFO]
    detail = "; ".join(f"{one.subject}: {one.message}" for one in new[:3])
    cured = len(known - left) - 1
    more = f"{cured} other finding(s) go too" if cured > 0 else ""
    trial.steps.append(Step("nothing new is wrong", not new, detail or more))


def diffs(view: Snapshot, after: Snapshot, changes: Sequence[Change]) -> list[str]:
    """Return a unified diff of YAML for each object that the changes are about; values of Secrets are hidden."""
    found = []
    for ref in dict.fromkeys(change.ref for change in changes):
        old = view.get(ref.group, ref.kind, ref.namespace, ref.name)
        new = after.get(ref.group, ref.kind, ref.namespace, ref.name)
        lines = difflib.unified_diff(
            _yaml(old), _yaml(new), f"{ref} (now)", f"{ref} (fixed)", n=3, lineterm=""
        )
        told = "\n".join(lines)
        if told:
            found.append(told)
    return found


def _yaml(resource: Resource | None) -> list[str]:
    if resource is None:
        return []
    shown = bare(resource)
    if shown.get("kind") == "Secret":
        for part in ("data", "stringData"):
            if isinstance(shown.get(part), dict):
                shown[part] = dict.fromkeys(shown[part], _HIDDEN)
    return manifests.write(shown).splitlines()


__all__ = [
    "ADMIN",
    "Refusal",
    "Step",
    "Trial",
    "diffs",
    "kinds_to_copy",
    "try_fix",
    "world_of",
]
