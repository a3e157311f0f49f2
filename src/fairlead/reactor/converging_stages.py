"""Writes the stages of a plan: objects in waves, one-off stages, and the waits between them, keeping account of what was done.

Part of `converging`, which says when. Must never go on after a failure, nor write what the server has not agreed to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from fairlead.converge import owning, stages
from fairlead.converge.inventory import Entry
from fairlead.converge.ordering import halves, waves
from fairlead.converge.planning import BLOCKS, Plan, Step
from fairlead.converge.revisions import Record
from fairlead.converge.stages import Moment, Stage
from fairlead.converge.waiting import Blocker
from fairlead.keep.errors import Refusal
from fairlead.reactor import converging_records as records
from fairlead.reactor.converging_locking import Lock
from fairlead.reactor.converging_planning import Draft, judged, rehearsed
from fairlead.reactor.converging_requests import Requests, raise_first
from fairlead.reactor.converging_waiting import Target, target, targets, wait
from fairlead.words import Ref, Resource

if TYPE_CHECKING:
    from fairlead.reactor.converging import Options, Told

_SOON: Final = 20
"""So often is an object of a new kind tried that its server does not know yet."""
_SOON_SECONDS: Final = 0.5


class Failed(Exception):
    """A stage did not succeed; `blockers` are the objects that were not as they should be."""

    def __init__(self, message: str, blockers: Sequence[Blocker] = ()) -> None:
        super().__init__(message)
        self.blockers = blockers


class Writer:
    """Writes stages for one run. `proofs` tell how objects were left, `record` is the record as it is kept now."""

    def __init__(
        self,
        requests: Requests,
        drafted: Draft,
        options: Options,
        now: Callable[[], datetime],
        told: Told,
        lock: Lock,
        record: Record,
    ) -> None:
        self._requests, self._draft, self._options = requests, drafted, options
        self._now, self._told, self._lock = now, told, lock
        self._steps: dict[Ref, Step] = {one.ref: one for one in drafted.plan.steps}
        self._instance = drafted.desired.instance
        self._live: dict[Ref, Resource] = dict(drafted.live)
        self.record = record
        self.proofs: dict[str, str] = {}
        self.notes: list[str] = []

    def plan(self) -> Plan:
        """Return the plan as it was carried out."""
        return Plan(tuple(self._steps.values()), self._draft.plan.prunes)

    # --- what is kept

    async def stage(self, stage: Stage) -> None:
        """Write a stage and wait for it. Raises Failed, Refusal, Unreachable and Locked."""
        first, rest = halves(stage.objects)
        if first:
            await self._write(first)
            await self._wait(first, stage, force=True)
        late = [self._steps[Ref.of(one)] for one in rest if not self._steps[Ref.of(one)].rehearsed]
        late = [one for one in late if one.writes]
        if late:
            await self._ask_again(late)
        for wave in waves(rest):
            await self._write(wave)
        await self._wait(rest, stage)

    async def _ask_again(self, late: Sequence[Step]) -> None:
        """Rehearse what could not be before its namespace or kind was there; go on only if all of it is agreed to."""
        coming = self._draft.coming
        policy, manager = self._options.policy, self._instance.manager
        answered: Sequence[Step] = late
        for attempt in range(_SOON):
            answered = await rehearsed(self._requests, late, manager, policy, coming)
            if all(one.rehearsed or one.action in BLOCKS for one in answered):
                break
            await asyncio.sleep(_SOON_SECONDS if attempt else 0.05)
        else:
            unknown = next(one for one in answered if not one.rehearsed)
            raise Failed(f"{unknown.ref}: the server does not know its namespace or kind yet")
        answered = await judged(self._requests, answered, {}, self._now())
        for one in answered:
            self._steps[one.ref] = one
        refused = [one for one in answered if one.action in BLOCKS]
        if refused:
            raise Failed("; ".join(f"{one.ref}: {one.why}" for one in refused))

    async def _write(self, objects: Sequence[Resource]) -> None:
        self._lock.check()
        steps = [self._steps[Ref.of(one)] for one in objects]
        results = await self._requests.each(steps, self._carry_out)
        problems = [
            (step, one) for step, one in zip(steps, results, strict=True) if isinstance(one, BaseException)
        ]
        for _, problem in problems:
            if not isinstance(problem, Refusal):
                raise problem
        if problems:
            raise Failed("; ".join(f"{step.ref}: {problem}" for step, problem in problems))

    async def _carry_out(self, step: Step) -> None:
        if step.action == "unchanged" and step.live is not None and step.body is not None:
            self._left(step.body, step.live)
            return
        if not step.writes or step.body is None:
            return
        live = step.live
        if step.action == "take over" and live is not None:
            await self._hand_over(step, live)
        elif step.action == "recreate" and live is not None:
            await self._remove(step.api_version, step.ref, live)
        made = await self._requests.apply(step.body, self._instance.manager, force=step.force)
        self._left(step.body, made)
        self._told.did(step)

    def _left(self, body: Resource, live: Resource) -> None:
        """Keep how an object was left."""
        proof = owning.proof(body, live, self._instance.manager)
        if proof:
            self.proofs[Entry.of(body).id] = proof
        self._live[Ref.of(body)] = live

    async def _hand_over(self, step: Step, live: Resource) -> None:
        """Make the instance own what others wrote. Another writer in between only means that it is looked at again."""
        for _ in range(5):
            operations = owning.handover(live, self._instance)
            if not operations:
                return
            try:
                await self._requests.patch(
                    step.api_version, step.ref, operations, "json", self._instance.manager
                )
                return
            except Refusal as refusal:
                if refusal.code not in {409, 422}:
                    raise
            fresh = await self._requests.get(step.api_version, step.ref)
            if fresh is None:
                return
            live = fresh
        raise Failed(f"{step.ref} is written by others all the time: its ownership cannot be taken over")

    async def _remove(self, api_version: str, ref: Ref, live: Resource) -> None:
        """Delete an object and wait until it is gone."""
        uid = str(live["metadata"].get("uid") or "")
        await self._requests.delete(api_version, ref, uid)
        found = await wait(
            self._requests,
            [Target(Entry(ref, api_version), gone=True, uid=uid)],
            self._options.seconds,
            now=self._now,
            told=self._told.waits,
            check=self._lock.check,
        )
        if not found.well:
            raise Failed(f"{ref} was deleted, but does not go", found.blockers)

    async def _wait(self, objects: Sequence[Resource], stage: Stage, *, force: bool = False) -> None:
        """Wait for a stage's objects; definitions and namespaces are waited for in any case."""
        if not force and not (self._options.wait and stage.wait):
            return
        there = [
            one for one in objects if self._steps[Ref.of(one)].action != "skip" or Ref.of(one) in self._live
        ]
        found = await wait(
            self._requests,
            targets(there, stage.checks),
            self._options.seconds,
            now=self._now,
            told=self._told.waits,
            labels=self._instance.selector,
            seen=self._live,
            check=self._lock.check,
        )
        if not found.well:
            how = "has failed" if found.lost else f"is not healthy after {self._options.seconds:g} s"
            more = f" (and {len(found.blockers) - 1} more)" if len(found.blockers) > 1 else ""
            first = found.blockers[0]
            raise Failed(
                f"stage {stage.name}: {first.ref} {how}: {first.health.message}{more}", found.blockers
            )

    # --- what is run

    async def moment(self, moment: Moment) -> None:
        """Run the one-off stages of a moment."""
        for stage in stages.in_turn(self._draft.desired.stages, moment):
            await self.once(stage)

    async def once(self, stage: Stage) -> None:
        """Run a one-off stage: make its objects, wait until they have ended well, and clean up. One that is done is not repeated.

        What an earlier run has left is deleted before, unless the stage says when else.
        """
        if stage.name in self.record.done:
            return
        self._lock.check()
        instance = self._instance
        if "before" in stage.cleanup or not stage.cleanup:
            for one in reversed(stage.objects):
                entry = Entry.of(one)
                old = await self._requests.get(entry.api_version, entry.ref)
                if old is not None:
                    await self._remove(entry.api_version, entry.ref, old)
        made: dict[Ref, Resource] = {}
        try:
            for wave in waves(stage.objects):
                results = await self._requests.each(
                    wave, lambda one: self._requests.apply(one, instance.manager, force=True)
                )
                raise_first(results)
                made |= {Ref.of(one): one for one in results}
        except Refusal as refusal:
            raise Failed(f"stage {stage.name}: {refusal.message}") from refusal
        found = await wait(
            self._requests,
            [target(one, stage.checks, ends=True) for one in stage.objects],
            self._options.seconds,
            now=self._now,
            told=self._told.waits,
            labels=instance.selector,
            seen=made,
            check=self._lock.check,
        )
        if "failed" in stage.cleanup and not found.well:
            await self._clean(stage)
        if not found.well:
            first = found.blockers[0]
            how = "has failed" if found.lost else f"has not ended after {self._options.seconds:g} s"
            raise Failed(f"stage {stage.name}: {first.ref} {how}: {first.health.message}", found.blockers)
        if "succeeded" in stage.cleanup:
            await self._clean(stage)
        self.record = await records.update(self._requests, self.record, done=(*self.record.done, stage.name))
        self._told.says(f"stage {stage.name} has ended well")

    async def _clean(self, stage: Stage) -> None:
        """Delete the objects of a one-off stage."""
        for one in reversed(stage.objects):
            entry = Entry.of(one)
            old = await self._requests.get(entry.api_version, entry.ref)
            if old is not None:
                await self._remove(entry.api_version, entry.ref, old)
