"""Carries a plan out on a cluster, stage by stage, so that it can be interrupted anywhere and gone on with.

The revision is recorded before the first write, with an inventory of all that may be written; what is no longer wanted is deleted after
everything else is well. Holds no rules: what is to be done, what is healthy and what may be deleted the engine says. Must never write
when anything of the plan was refused, nor without the instance's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from fairlead.converge import owning, planning, resuming, revisions, stages
from fairlead.converge.inventory import Entry, Inventory
from fairlead.converge.ordering import removal_waves
from fairlead.converge.planning import Plan, Policy, Step
from fairlead.converge.revisions import Record
from fairlead.converge.stages import Desired, Instance
from fairlead.converge.waiting import Blocker
from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor import converging_records as records
from fairlead.reactor.converging_locking import Lock, forget_dead
from fairlead.reactor.converging_planning import Draft, draft, ready
from fairlead.reactor.converging_releases import release
from fairlead.reactor.converging_requests import Requests, raise_first
from fairlead.reactor.converging_stages import Failed, Writer
from fairlead.reactor.converging_waiting import Target, targets, wait
from fairlead.words import Ref, Resource

State: TypeAlias = Literal[
    "planned", "unchanged", "deployed", "blocked", "failed", "rolled back", "deleted", "absent"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to apply. `seconds` is how long each stage may take to become healthy; `policies` are texts by file."""

    policy: Policy = field(default_factory=Policy)
    dry_run: bool = False
    wait: bool = True
    seconds: float = 300.0
    create_namespace: bool = False
    rollback_on_failure: bool = False
    test: bool = False
    policies: Mapping[str, str] = field(default_factory=dict)
    lock_seconds: float = 30.0
    holder: str = ""
    kept: int = revisions.KEPT


class Told:
    """Hears how it goes. Whoever wants to tell it overrides what it wants to know."""

    def planned(self, draft: Draft) -> None:
        """The plan is made."""

    async def allows(self, plan: Plan) -> bool:  # noqa: ARG002  whoever asks somebody overrides it
        """Say whether the plan may be carried out. Asked once, before anything is written."""
        return True

    def did(self, step: Step) -> None:
        """A step was carried out."""

    def waits(self, blockers: Sequence[Blocker]) -> None:
        """These block, the gravest first."""

    def says(self, text: str) -> None:
        """Something else to know."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How it ended. `revision` is the number of the record that was written, 0 for none; `blockers` what was not healthy in time."""

    instance: Instance
    state: State
    plan: Plan = field(default_factory=Plan)
    revision: int = 0
    message: str = ""
    blockers: Sequence[Blocker] = ()
    notes: list[str] = field(default_factory=list)
    back: Outcome | None = None
    requests: int = 0

    @property
    def good(self) -> bool:
        """Whether the cluster is as it is wanted, or would be."""
        return self.state in {"planned", "unchanged", "deployed", "deleted"}

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        document: dict[str, Any] = {
            "name": self.instance.name,
            "namespace": self.instance.namespace,
            "state": self.state,
            "revision": self.revision,
            "summary": self.plan.counts(),
            "steps": [one.as_json() for one in (*self.plan.steps, *self.plan.prunes)],
        }
        if self.message:
            document["message"] = self.message
        if self.blockers:
            document["blockers"] = [
                {
                    "object": str(one.ref),
                    "state": one.health.state,
                    "message": one.health.message,
                    "hint": one.hint,
                }
                for one in self.blockers
            ]
        if self.notes:
            document["notes"] = self.notes
        if self.back is not None:
            document["rollback"] = self.back.as_json()
        return document


def _now() -> datetime:
    return datetime.now(UTC)


class Converger:
    """Applies, deletes and rolls back instances on one cluster."""

    def __init__(
        self,
        cluster: AsyncCluster,
        *,
        now: Callable[[], datetime] = _now,
        told: Told | None = None,
        renew: Callable[[], AsyncCluster] | None = None,
        at_once: int = 16,
    ) -> None:
        self.requests = Requests(cluster, at_once=at_once, renew=renew)
        self.now, self.told = now, told or Told()

    # --- what would be done

    async def plan(self, desired: Desired, options: Options) -> Draft:
        """Return what would be done; nothing is written. Raises stages.Unfit, BadRecord, BadCheck, NoNamespace, Refusal and Unreachable."""
        return await draft(
            self.requests,
            await ready(self.requests, desired),
            options.policy,
            create_namespace=options.create_namespace,
            policies=options.policies,
            now=self.now(),
        )

    # --- apply

    async def apply(self, desired: Desired, options: Options, *, back_to: int = 0) -> Outcome:
        """Make the cluster as it is wanted. Raises as `plan` does, and Locked where another run is under way."""
        drafted = await self.plan(desired, options)
        self.told.planned(drafted)
        outcome = self._outcome(drafted)
        if drafted.plan.blocked:
            outcome.state = "blocked"
            count = len(drafted.plan.blocked)
            many = "1 object" if count == 1 else f"{count} objects"
            outcome.message = f"{many} would be refused, so nothing was written"
            return self._counted(outcome)
        if options.dry_run:
            return self._counted(outcome)
        if drafted.idle and not back_to:
            outcome.state = "unchanged"
            outcome.revision = drafted.last.number if drafted.last is not None else 0
            if any(one.state in {"deployed", "pending", "deleting"} for one in drafted.history[:-1]):
                await self._tidy(
                    desired.instance, outcome.revision, options
                )  # an earlier run ended just before it could
            await forget_dead(self.requests.cluster, desired.instance)
            if options.wait:
                await self._await_all(drafted, options, outcome)
            return self._counted(outcome)
        if not await self.told.allows(drafted.plan):
            outcome.state, outcome.message = "blocked", "it was not allowed: nothing was applied"
            return self._counted(outcome)
        if drafted.makes_namespace:
            await self._make_namespace(drafted)
        async with Lock(
            self.requests.cluster,
            desired.instance,
            holder=options.holder,
            patience=options.lock_seconds,
            told=self.told.says,
        ) as lock:
            last, _ = await records.last(self.requests, desired.instance)
            if _version(last) != _version(drafted.last):
                self.told.says("another run has ended meanwhile: the plan is made again")
                drafted = await self.plan(desired, options)
                self.told.planned(drafted)
                if drafted.plan.blocked:
                    return self._counted(replace(self._outcome(drafted), state="blocked"))
            return self._counted(await self._run(drafted, options, lock, back_to))

    def _outcome(self, drafted: Draft) -> Outcome:
        return Outcome(instance=drafted.desired.instance, state="planned", plan=drafted.plan)

    def _counted(self, outcome: Outcome) -> Outcome:
        outcome.requests = self.requests.sent
        return outcome

    async def _make_namespace(self, drafted: Draft) -> None:
        name = drafted.desired.instance.namespace
        body: Resource = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self.requests.apply(body, "fairlead")
        self.told.says(f"made namespace {name}")

    async def _await_all(self, drafted: Draft, options: Options, outcome: Outcome) -> None:
        """Wait for what is there unchanged."""
        for stage in stages.in_turn(drafted.desired.stages, drafted.desired.moment):
            if stage.one_off or not stage.wait:
                continue
            found = await wait(
                self.requests,
                targets(stage.objects, stage.checks),
                options.seconds,
                now=self.now,
                told=self.told.waits,
                labels=drafted.desired.instance.selector,
                seen=drafted.live,
            )
            if not found.well:
                outcome.state, outcome.blockers = "failed", found.blockers
                outcome.message = f"{found.blockers[0].ref} is not healthy"
                return

    async def _run(self, drafted: Draft, options: Options, lock: Lock, back_to: int) -> Outcome:
        """Carry a plan out under the lock, and go back where that is wanted when it fails."""
        outcome = self._outcome(drafted)
        record = await self._begin(drafted, back_to)
        outcome.revision = record.number
        writer = Writer(self.requests, drafted, options, self.now, self.told, lock, record)
        try:
            await self._stages(writer, drafted)
            await self._prune(drafted.plan.removals, options, lock, drafted.desired.instance)
            if options.test:
                await writer.moment("test")
        except Failed as failure:
            outcome.plan = writer.plan()
            outcome.state, outcome.message, outcome.blockers = "failed", str(failure), failure.blockers
            outcome.notes += writer.notes
            record = await records.update(
                self.requests,
                writer.record,
                state="failed",
                message=str(failure),
                proofs=writer.proofs,
                updated=records.moment(self.now()),
            )
            if options.rollback_on_failure:
                await self._go_back(record, outcome, drafted, options, lock)
            return outcome
        kept = Inventory.of(
            one
            for stage in stages.in_turn(drafted.desired.stages, drafted.desired.moment)
            if not stage.one_off
            for one in stage.objects
        )
        outcome.plan = writer.plan()
        outcome.notes += writer.notes
        await records.update(
            self.requests,
            writer.record,
            state="deployed",
            message=outcome.plan.summary(),
            inventory=kept,
            proofs=writer.proofs,
            updated=records.moment(self.now()),
        )
        outcome.state = "deployed"
        taken = [one.live for one in drafted.plan.steps if one.action == "take over" and one.live is not None]
        outcome.notes += await release(
            self.requests, owning.helm_releases(taken), kept, drafted.desired.instance.namespace
        )
        await self._tidy(drafted.desired.instance, record.number, options)
        return outcome

    async def _begin(self, drafted: Draft, back_to: int) -> Record:
        """Write down what is about to be done, before anything is."""
        begin, at = drafted.start, records.moment(self.now())
        instance = drafted.desired.instance
        found = tuple(
            Entry(one.ref, one.api_version).id
            for one in drafted.plan.steps
            if one.writes and one.live is not None and not instance.owns(one.live)
        )
        if begin.resumes and drafted.last is not None:
            self.told.says(f"going on with revision {begin.number}, which was interrupted")
            again = replace(drafted.last, stages=drafted.desired.stages)
            return await records.update(self.requests, again, updated=at, found=(*again.found, *found))
        record = revisions.record_of(
            drafted.desired,
            begin.number,
            begin.known,
            at,
            back_to=back_to,
            proofs=drafted.last.proofs if drafted.last is not None else {},
            made_namespace=drafted.makes_namespace,
            found=found,
        )
        return await records.write(self.requests, record)

    async def _stages(self, writer: Writer, drafted: Draft) -> None:
        for stage in stages.in_turn(drafted.desired.stages, drafted.desired.moment):
            if stage.one_off:
                await writer.once(stage)
            else:
                await writer.stage(stage)

    async def _prune(
        self, steps: Sequence[Step], options: Options, lock: Lock | None, instance: Instance
    ) -> None:
        """Delete in groups, each awaited. Raises Failed where something does not go."""
        by_ref = {one.ref: one for one in steps}
        for wave in removal_waves(by_ref):
            if lock is not None:
                lock.check()
            going = [by_ref[ref] for ref in wave]

            async def delete(step: Step) -> None:
                uid = str(((step.live or {}).get("metadata") or {}).get("uid") or "")
                await self.requests.delete(step.api_version, step.ref, uid)
                self.told.did(step)

            raise_first(await self.requests.each(going, delete))
            if not options.wait:
                continue
            found = await wait(
                self.requests,
                [_going(one) for one in going],
                options.seconds,
                now=self.now,
                told=self.told.waits,
                labels=instance.selector,
                check=lock.check if lock is not None else lambda: None,
            )
            if not found.well:
                first = found.blockers[0]
                raise Failed(
                    f"{first.ref} is not gone after {options.seconds:g} s: {first.health.message}",
                    found.blockers,
                )

    async def _tidy(self, instance: Instance, number: int, options: Options) -> None:
        """Say of older revisions that they are past, and forget the oldest."""
        await records.supersede(self.requests, instance, number, self.now())
        _, history = await records.last(self.requests, instance)
        await records.forget(self.requests, instance, revisions.to_forget(history, options.kept))

    # --- back

    async def _go_back(
        self, failed: Record, outcome: Outcome, drafted: Draft, options: Options, lock: Lock
    ) -> None:
        """Go back to the last deployed revision after a failure, or take away what a first one has made."""
        good = [
            one.number for one in drafted.history if one.state == "deployed" and one.number != failed.number
        ]
        again = replace(
            options,
            rollback_on_failure=False,
            test=False,
            policy=replace(options.policy, force_conflicts=True, recreate=True),
        )
        if not good:
            self.told.says("nothing was deployed before: what was made is taken away")
            live = await self.requests.live(
                failed.inventory, failed.instance.selector, [one.ref for one in failed.inventory]
            )
            steps = planning.removals(failed.inventory, Inventory(), live, failed.instance, options.policy)
            steps, spared = _spared(steps, failed)
            mine = [one for one in steps if one.action == "prune"]
            await self._disown(spared, failed.instance)
            try:
                await self._prune(mine, again, lock, failed.instance)
            except Failed as failure:
                outcome.message += f"; {failure}"
                return
            await records.update(
                self.requests,
                failed,
                inventory=failed.inventory.without(one.ref for one in (*mine, *spared)),
            )
            outcome.state = "rolled back"
            return
        self.told.says(f"going back to revision {good[-1]}")
        target = await records.read(self.requests, failed.instance, good[-1])
        desired = _as_desired(target)
        planned = await self.plan(desired, again)
        prunes, spared = _spared(planned.plan.prunes, failed)
        planned = replace(planned, plan=Plan(planned.plan.steps, prunes))
        back = self._outcome(planned)
        if planned.plan.blocked:
            back.state = "blocked"
        else:
            await self._disown(spared, failed.instance)
            back = await self._run(planned, again, lock, good[-1])
        outcome.back = back
        if back.state == "deployed":
            outcome.state = "rolled back"

    async def rollback(self, instance: Instance, number: int, options: Options) -> Outcome:
        """Apply an older revision again (0: the last good one before the last). Raises resuming.NoWayBack, and as `apply` does."""
        _, history = await records.last(self.requests, instance)
        number = resuming.back(history, number)
        target = await records.read(self.requests, instance, number)
        return await self.apply(_as_desired(target), options, back_to=number)

    # --- delete

    async def delete(self, instance: Instance, options: Options, *, orphan: bool = False) -> Outcome:
        """Delete an instance: its objects in reverse order, then its records. With `orphan` the objects stay, as nobody's.

        Raises Refusal, Unreachable, BadRecord and Locked.
        """
        last, _ = await records.last(self.requests, instance)
        if last is None:
            return self._counted(
                Outcome(instance=instance, state="absent", message=f"there is no instance {instance}")
            )
        outcome = Outcome(instance=instance, state="planned")
        live = await self.requests.live(
            last.inventory, instance.selector, [one.ref for one in last.inventory]
        )
        steps = planning.removals(last.inventory, Inventory(), live, instance, options.policy)
        if orphan:
            steps = tuple(replace(one, action="keep", why="it is left, as nobody's") for one in steps)
        outcome.plan = Plan((), steps)
        if options.dry_run:
            return self._counted(outcome)
        if not await self.told.allows(outcome.plan):
            outcome.state, outcome.message = "blocked", "it was not allowed: nothing was deleted"
            return self._counted(outcome)
        async with Lock(
            self.requests.cluster,
            instance,
            holder=options.holder,
            patience=options.lock_seconds,
            told=self.told.says,
        ) as lock:
            try:
                record = await records.opened(self.requests, last)
            except revisions.BadRecord:
                if last.state != "deleting":
                    raise
                record = last  # its parts are gone already
            record = await records.update(
                self.requests, record, state="deleting", updated=records.moment(self.now())
            )
            drafted = Draft(
                desired=_as_desired(record, "delete"),
                plan=outcome.plan,
                start=resuming.Start("next", record.number, record.inventory),
                last=record,
                live=live,
            )
            writer = Writer(self.requests, drafted, options, self.now, self.told, lock, record)
            before, after = stages.before_and_after(record.stages)
            home = Ref("", "Namespace", "", instance.namespace)
            try:
                if not orphan:
                    for stage in before:
                        await writer.once(stage)
                    mine = [one for one in steps if one.action == "prune" and one.ref != home]
                    await self._prune(mine, options, lock, instance)
                    for stage in after:
                        await writer.once(stage)
                else:
                    await self._disown(steps, instance)
            except Failed as failure:
                outcome.state, outcome.message, outcome.blockers = "failed", str(failure), failure.blockers
                return self._counted(outcome)
            lock.check()
            own = [one for one in steps if one.action == "prune" and one.ref == home]
            if not own:
                await records.forget_all(self.requests, instance)
            for step in own:  # its records go with it: until it is gone, another run would find them
                await self._prune([step], replace(options, wait=False), lock, instance)
        if own and options.wait:
            found = await wait(
                self.requests,
                [_going(one) for one in own],
                options.seconds,
                now=self.now,
                told=self.told.waits,
            )
            if not found.well:
                outcome.state, outcome.blockers = "failed", found.blockers
                return self._counted(outcome)
        outcome.state = "deleted"
        return self._counted(outcome)

    async def _disown(self, steps: Sequence[Step], instance: Instance) -> None:
        """Take the instance's labels off its objects."""
        patch = {"metadata": {"labels": dict.fromkeys(instance.labels)}}

        async def one(step: Step) -> None:
            if step.live is not None and instance.owns(step.live):
                await self.requests.patch(step.api_version, step.ref, patch, "merge", instance.manager)

        raise_first(await self.requests.each(steps, one))


SAFE: Final = (Refusal, Unreachable)


def _spared(steps: Sequence[Step], failed: Record) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Return the removals that take a failed revision back, and those of them that are of objects which were there before it."""
    found = set(failed.found)
    made = tuple(
        replace(one, action="keep", why="it was there before")
        if one.action == "prune" and Entry(one.ref, one.api_version).id in found
        else one
        for one in steps
    )
    return made, tuple(one for one in made if one.why == "it was there before")


def _version(record: Record | None) -> tuple[int, str]:
    return (record.number, record.version) if record is not None else (0, "")


def _as_desired(record: Record, moment: stages.Moment = "rollback") -> Desired:
    return Desired(
        instance=record.instance,
        stages=record.stages,
        source=record.source,
        package=record.package,
        version=record.package_version,
        digest=record.digest,
        notes=record.notes,
        moment=moment,
    )


def _going(step: Step) -> Target:
    uid = str(((step.live or {}).get("metadata") or {}).get("uid") or "")
    return Target(Entry(step.ref, step.api_version), gone=True, uid=uid)
