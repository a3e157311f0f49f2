"""Makes the plan of an instance: reads its records and what is live, asks the server in a dry run what only it can tell, and judges the rest.

Writes nothing. What a dry run says is what admission in the cluster says, so only objects that cannot be rehearsed yet are judged here by the
cluster's policies, and all that are written by policies from files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from fairlead.converge import planning, resuming, stages
from fairlead.converge.health import compiled
from fairlead.converge.inventory import Inventory
from fairlead.converge.planning import Coming, Plan, Policy, Step
from fairlead.converge.revisions import Line, Record, check_name, wants
from fairlead.converge.stages import Desired, Stage
from fairlead.reactor import converging_records as records
from fairlead.reactor.converging_requests import Requests, raise_first
from fairlead.words import Ref, Resource, Severity

if TYPE_CHECKING:
    from fairlead.reactor.judge import Bench

_NAMESPACE: Final = ("", "Namespace")


class NoNamespace(Exception):
    """The namespace that the instance is to live in is not there, and nobody said that it be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A plan with what it was made of: stages as they are sent, the last record and the history, and what is live."""

    desired: Desired
    plan: Plan
    start: resuming.Start
    last: Record | None = None
    history: tuple[Line, ...] = ()
    live: Mapping[Ref, Resource] = field(default_factory=dict)
    makes_namespace: bool = False
    coming: Coming = field(default_factory=Coming)

    @property
    def idle(self) -> bool:
        """Whether the cluster is already as it is wanted, by a record that says so."""
        return (
            self.plan.idle
            and self.last is not None
            and self.last.state == "deployed"
            and self.last.fingerprint == wants(self.desired.stages, self.desired.moment)
        )


async def ready(requests: Requests, desired: Desired) -> Desired:
    """Return what is wanted as it is sent. Raises stages.Unfit, BadRecord for a bad name, BadCheck, Refusal and Unreachable."""
    check_name(desired.instance.name)
    for one in desired.stages:
        for item in one.objects:
            stages.check_names(item)
    scopes = await requests.scopes(one for stage in desired.stages for one in stage.objects)
    made = tuple(stages.prepared(one, desired.instance, scopes) for one in desired.stages)
    for stage in made:
        for check in stage.checks:
            compiled(check)
    twice = stages.duplicates(stages.in_turn(made, desired.moment))
    if twice:
        raise stages.Unfit(f"more than once in the package: {', '.join(map(str, twice))}")
    return replace(desired, stages=_named(made))


def _named(made: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages with names that tell them apart."""
    seen: dict[str, int] = {}
    found = []
    for stage in made:
        seen[stage.name] = seen.get(stage.name, 0) + 1
        found.append(
            stage if seen[stage.name] == 1 else replace(stage, name=f"{stage.name}-{seen[stage.name]}")
        )
    return tuple(found)


async def draft(
    requests: Requests,
    desired: Desired,
    policy: Policy,
    *,
    create_namespace: bool = False,
    policies: Mapping[str, str] | None = None,
    now: datetime,
) -> Draft:
    """Return what is to be done. `desired` is `ready`; `policies` are texts by file. Raises NoNamespace, BadRecord, Refusal and Unreachable."""
    instance = desired.instance
    last, history = await records.last(requests, instance)
    begin = resuming.start(desired, last)
    kept = [one for one in stages.in_turn(desired.stages, desired.moment) if not one.one_off]
    objects = [one for stage in kept for one in stage.objects]
    wanted = Inventory.of(objects)
    missing = False
    if last is None and (await requests.get("v1", Ref("", "Namespace", "", instance.namespace))) is None:
        brings = any(Ref.of(one) == Ref("", "Namespace", "", instance.namespace) for one in objects)
        if not create_namespace and not brings:
            raise NoNamespace(f"there is no namespace {instance.namespace}")
        missing = True
    live = await requests.live(begin.known | wanted, instance.selector, [one.ref for one in begin.known])
    coming = Coming.of(objects, [instance.namespace] if missing else [])
    proofs = last.proofs if last is not None else {}
    steps = [step for stage in kept for step in planning.first_look(stage, live, instance, policy, proofs)]
    now_possible = [one for one in steps if not (missing and one.ref.namespace == instance.namespace)]
    answered = {
        one.ref: one for one in await rehearsed(requests, now_possible, instance.manager, policy, coming)
    }
    steps = await judged(requests, [answered.get(one.ref, one) for one in steps], policies or {}, now)
    prunes = planning.removals(begin.known, wanted, live, instance, policy)
    return Draft(
        desired=desired,
        plan=Plan(tuple(steps), prunes),
        start=begin,
        last=last,
        history=tuple(history),
        live=live,
        makes_namespace=missing,
        coming=coming,
    )


async def rehearsed(
    requests: Requests, steps: Sequence[Step], manager: str, policy: Policy, coming: Coming
) -> list[Step]:
    """Return the steps after the server was asked about those that need it. Raises Refusal and Unreachable."""

    async def one(step: Step) -> Step:
        if step.rehearsed or step.body is None or step.action not in {"ask", "create", "take over"}:
            return step
        answer = await requests.rehearse(step.body, manager, force=step.force)
        found = planning.second_look(step, answer, policy, coming)
        if not found.conflicts:
            return found
        return planning.contested(found, await requests.rehearse(step.body, manager, force=True))

    results = await requests.each(steps, one)
    raise_first(results)
    return list(results)


# Policies


async def judged(
    requests: Requests, steps: Sequence[Step], texts: Mapping[str, str], now: datetime
) -> list[Step]:
    """Return the steps, refused where policies deny what would be written. All that is denied is told. Raises Refusal and Unreachable."""
    written = [one for one in steps if one.writes and one.body is not None]
    unasked = [one for one in written if not one.rehearsed]
    denied: dict[Ref, list[str]] = {}
    if texts and written:
        await _judge(requests, written, texts, now, denied)
    if unasked:
        await _judge(requests, unasked, {}, now, denied)
    return [
        replace(one, action="refused", why="; ".join(denied[one.ref]))
        if one.ref in denied and one.writes
        else one
        for one in steps
    ]


def _all_read(bench: Bench, texts: Mapping[str, str]) -> None:
    """Raise Unfit unless all policies of the texts are there to judge by: what cannot be read forbids nothing."""
    for one in bench.findings:
        if one.severity is Severity.CRITICAL or one.rule in {"document.broken", "document.unsafe"}:
            raise stages.Unfit(f"policies that cannot be used: {one.where}: {one.message}")
    if not bench.policy_documents:
        raise stages.Unfit(f"there are no policies in {', '.join(texts)}")


async def _judge(
    requests: Requests,
    steps: Sequence[Step],
    texts: Mapping[str, str],
    now: datetime,
    denied: dict[Ref, list[str]],
) -> None:
    """Judge the objects by the policies of the texts, or where there are none, by those that the cluster holds."""
    from fairlead.judge.reading import Source
    from fairlead.reactor.discovering import discover, listable
    from fairlead.reactor.gathering import gather
    from fairlead.reactor.judge import Bench
    from fairlead.reactor.kindnames import KindNames
    from fairlead.reactor.policies import dialect_of, load

    catalogue = await discover(requests.cluster)
    served = listable(catalogue)
    kinds = [
        (version, kind)
        for version, kind in served
        if (version, kind) == ("v1", "Namespace") or dialect_of(version.rpartition("/")[0], kind)
    ]
    view, _ = await gather(requests.cluster, "", kinds)
    for step in steps:  # namespaces that are on their way, with the labels that policies go by
        if step.body is not None and (step.ref.group, step.ref.kind) == _NAMESPACE:
            view.put(step.body)
    bench = Bench(texts, {}, now=now, view=view, kinds=KindNames(catalogue))
    if texts:
        _all_read(bench, texts)
    else:
        bench.loaded = load(Source(one) for one in view)
        if not bench.loaded.book.policies:
            return
    wanted = bench.loaded.wanted - {(Ref.of(one).group, Ref.of(one).kind) for one in view}
    more = [(version, kind) for version, kind in served if (version.rpartition("/")[0], kind) in wanted]
    if more:
        others, _ = await gather(requests.cluster, "", more)
        for one in others:
            view.put(one)
    async with bench.answerer(online=False, cluster=requests.cluster):
        found = await bench.judge_objects(step.body for step in steps if step.body is not None)
    for row in found.rows:
        if (row.result == "fail" and "deny" in row.actions) or (
            row.result == "error" and "deny" in row.actions
        ):
            name = f"{row.policy}/{row.rule}" if row.rule else row.policy
            denied.setdefault(row.subject, []).append(f"policy {name}: {row.message or 'denies it'}")
