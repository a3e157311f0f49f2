"""Tries fixes of findings on copies, and carries out those that HealPolicies let it: one after another, watched, undone if they harm.

A finding that is dealt with by no policy is left alone. What was carried out is written down before it is begun, in the Finding and in a file, and
what an earlier process had begun is finished or taken back. Never carries out what was not proven, what was taken back once and is the same still,
and nothing where somebody has said `fairlead.dev/heal: "off"`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from fairlead.diagnose.inventories import moment
from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor import healings
from fairlead.reactor.diagnosing_documents import Veil, healing, print_of, proposal, stamp
from fairlead.reactor.diagnosing_kinds import API_VERSION, HEAL
from fairlead.reactor.diagnosing_policies import (
    HOUR,
    HealPolicy,
    Labels,
    chosen,
    is_off,
    out_of_reach,
    status_of,
)
from fairlead.reactor.diagnosing_reports import Book, Entry
from fairlead.reactor.examine import Examined
from fairlead.reactor.heal import Healing, heal
from fairlead.reactor.planning import look, try_fixes
from fairlead.reactor.trial import Step, Trial
from fairlead.reactor.undoing import assess, rehearse, take_back
from fairlead.tongues.paths import mappings, text, whole
from fairlead.words import Finding, Ref, Resource

log = logging.getLogger("fairlead.healing")

STANDS: Final = timedelta(seconds=5)
"""So long must a finding stand before a fix is tried: a rollout that goes on is no fault."""
LOOK: Final = 2.0
"""Seconds between two looks for something to do, at least."""
SHARE: Final = 2.0
"""So many times as long as a round took at least is rested before the next: trials on a large cluster take their time."""
AGAIN: Final = 60.0
"""Seconds until a fix that was not proven is tried again, doubled each time up to an hour."""
SAME: Final = 2
"""So often within an hour may the same be healed: what comes back every time has another cause, or somebody else who puts it there."""
AT_ONCE: Final = 5
"""Fixes that are tried from one look at the cluster."""
_RANK: Final = {"critical": 0, "warning": 1, "info": 2}
_NEVER_AGAIN: Final = frozenset({"rolled back", "unhealthy", "interrupted", "dry run", "undone"})


class Unwritten(Exception):
    """What would take a fix back could not be written down, so that it must not be begun."""


@dataclass(slots=True)
class World:
    """What a healer knows of the world around it: `find` an object, `labels` of a namespace, and a `look` at what is wrong now.

    `own` is the namespace of fairlead itself, `folder` where records are written (None: nowhere), `tell` is told of what was done:
    the entry, Normal or Warning, a reason, and what to say.
    """

    find: Callable[[Ref], Resource | None]
    labels: Labels
    look: Callable[[], Awaitable[Examined]]
    policies: Callable[[], Sequence[HealPolicy]]
    tell: Callable[[Entry, str, str, str], None]
    own: str = ""
    folder: Path | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    seconds: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class _Turn:
    """When a finding's fixes were tried last, and when they may be again."""

    of: str
    delay: float
    after: float


@dataclass(slots=True)
class Healer:
    """See the module. One event loop; `stir` it when findings or policies have changed."""

    cluster: AsyncCluster
    book: Book
    world: World
    outcome: Callable[[str, str], None] = lambda _kind, _what: None
    """Told of each trial (`proposal`, proven or not) and each healing (`healing`, its outcome)."""
    stir: asyncio.Event = field(default_factory=asyncio.Event)
    busy: str = ""
    """The id of the finding that is being healed."""
    _turns: dict[str, _Turn] = field(default_factory=dict)
    _recent: dict[str, list[datetime]] = field(default_factory=dict)
    _statuses: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def run(self) -> None:
        """Heal for ever."""
        while True:
            begun = self.world.seconds()
            try:
                await self._finish_what_was_begun()
                await self._tell_policies()
                await self._round()
            except (Unreachable, Refusal) as error:
                log.warning("nothing can be tried now: %s", error)
            took = self.world.seconds() - begun
            waits = LOOK
            if not any(policy.mode != "off" for policy in self.world.policies()):
                waits = 30.0
            try:
                async with asyncio.timeout(waits):
                    await self.stir.wait()
            except TimeoutError:
                pass
            self.stir.clear()
            await asyncio.sleep(max(LOOK, SHARE * took))

    # What is to be done

    def wanted(self) -> list[tuple[Entry, Finding, HealPolicy]]:
        """Return the findings for which something is to be tried now, the gravest first, each with its policy."""
        policies = [self._with_recent(one) for one in self.world.policies()]
        if not any(policy.mode != "off" for policy in policies):
            return []
        found = []
        now, moment_ = self.world.now(), self.world.seconds()
        for entry in self.book.active():
            finding = entry.finding
            if finding is None or not finding.fixes or now - entry.sighting.since < STANDS:
                continue
            policy = chosen(policies, finding, self.world.labels, self.world.own)
            if policy is None or policy.mode == "off" or self._kept_away(entry, finding):
                continue
            if (entry.healing or {}).get("phase") == "begun":
                continue  # it is to be finished first
            print_ = print_of(finding)
            turn = self._turns.get(entry.id)
            if turn is not None and turn.of == print_ and moment_ < turn.after:
                continue
            if self._proposed(entry, print_, policy) and self._barred(entry, print_, policy, now):
                continue  # what is not proven may be one day, and is tried again at the end of its turn
            found.append((entry, finding, policy))
        found.sort(key=lambda one: (_RANK[str(one[1].severity)], one[0].sighting.since))
        return found

    def _with_recent(self, policy: HealPolicy) -> HealPolicy:
        """Return the policy with the healings that this process has begun for it, though its status may not say so yet."""
        own = self._recent.get(policy.name, [])
        return replace(policy, recent=tuple(sorted({*policy.recent, *own})))

    def _proposed(self, entry: Entry, print_: str, policy: HealPolicy) -> bool:
        told = entry.proposal or {}
        return told.get("of") == print_ and told.get("policy") == policy.name and told.get("proven") is True

    def _barred(self, entry: Entry, print_: str, policy: HealPolicy, now: datetime) -> str:
        """Return why nothing is carried out for a finding now, "" if it may be."""
        if policy.mode != "auto":
            return "the policy only proposes"
        before = entry.healing or {}
        same = before.get("of") == print_
        if self.world.folder is not None and healings.refused(self.world.folder, entry.id, print_):
            return "the same fix was undone, and nothing has changed since"
        if (
            same
            and before.get("outcome") in _NEVER_AGAIN
            and not (before.get("outcome") == "dry run" and not policy.dry_run)
        ):
            return f"the same fix was {before.get('outcome')}, and nothing has changed since"
        if same and self._times(before, now) >= SAME:
            return f"the same was healed {SAME} times within an hour and comes back: the cause is another"
        return policy.waits(now)

    @staticmethod
    def _times(before: Mapping[str, Any], now: datetime) -> int:
        started = moment(before.get("started"))
        return whole(before, "times", default=1) if started is not None and now - started < HOUR else 0

    def _kept_away(self, entry: Entry, finding: Finding) -> bool:
        """Whether somebody has said that nothing is to be done: on the namespace, on an object that a fix touches, or on the Finding."""
        if entry.annotations.get(HEAL, "").lower() in {"off", "false"}:
            return True
        touched = {finding.subject, *(change.ref for fix in finding.fixes for change in fix.changes)}
        spaces = {ref.namespace for ref in touched if ref.namespace}
        return any(
            is_off(self.world.find(ref))
            for ref in (*touched, *(Ref("", "Namespace", "", space) for space in sorted(spaces)))
        )

    # Trying

    async def _round(self) -> None:
        """Try what is to be tried, from one look at the cluster; carry out at most one of it."""
        wanted = self.wanted()
        if not wanted:
            return
        seen = await look(self.cluster, self.world.now())
        by_id = {one.id: one for one in seen.findings}
        for entry, _, policy in wanted[:AT_ONCE]:
            finding = by_id.get(entry.id)
            if finding is None or not finding.fixes:
                self._wait(entry, print_of(entry.finding) if entry.finding else "")
                continue
            trial = await asyncio.to_thread(self._try, seen, finding)
            print_ = print_of(finding)
            if not trial.proven:
                self._wait(entry, print_)
            else:
                self._turns.pop(entry.id, None)
            veil = Veil(seen.view)
            self.outcome("proposal", "proven" if trial.proven else "not proven")
            told = proposal(trial, policy.name, self.world.now(), veil)
            why = self._why_not(entry, print_, policy, trial)
            entry.proposal = {**told, "note": why if policy.mode == "auto" else ""}
            self.book.touch(entry)
            if not why:
                await self._heal(entry, trial, policy, seen, veil)
                return

    def _try(self, seen: Examined, finding: Finding) -> Trial:
        from fairlead.drivers.definitions import load

        return try_fixes(
            seen.view,
            finding,
            now=self.world.now(),
            before=seen.findings,
            definitions=load(),
            unseen=seen.unseen,
        )

    def _wait(self, entry: Entry, print_: str) -> None:
        turn = self._turns.get(entry.id)
        delay = min(turn.delay * 2, 3600.0) if turn is not None and turn.of == print_ else AGAIN
        self._turns[entry.id] = _Turn(print_, delay, self.world.seconds() + delay)

    def _why_not(self, entry: Entry, print_: str, policy: HealPolicy, trial: Trial) -> str:
        """Return why the fix of a trial is not carried out, "" if it is to be."""
        if not trial.proven:
            return "the fix is not proven"
        if why := self._barred(entry, print_, policy, self.world.now()):
            return why
        if trial.fix.origin:
            return "a model proposed it: people decide"
        return out_of_reach(policy, trial.fix, self.world.labels, self.world.own)

    # Healing

    async def _heal(self, entry: Entry, trial: Trial, policy: HealPolicy, seen: Examined, veil: Veil) -> None:
        now = self.world.now()
        before = entry.healing or {}
        print_ = print_of(trial.finding)
        times = self._times(before, now) + 1 if before.get("of") == print_ else 1
        told: dict[str, Any] = {
            "policy": policy.name,
            "of": print_,
            "phase": "begun",
            "title": trial.fix.title,
            "started": stamp(now),
            "times": times,
        }
        if policy.dry_run:
            await self._rehearse(entry, trial, told)
            return
        if not await self._spend(policy, entry, now):
            self._wait(entry, print_)
            return
        log.info("%s: %s", entry.id, trial.fix.title)
        known = (
            await self.world.look()
        ).findings  # of more kinds than a copy needs: what is there already is not the fix's doing
        keeper = None
        if self.world.folder is not None:
            keeper = healings.Keeper(self.world.folder, trial, await healings.identity(self.cluster))

        async def note(done: Healing) -> None:
            told_now = told | healing(done, veil, entry.namespace)
            if keeper is not None:
                keeper(done)
                told_now["record"] = str(keeper.path)
            entry.healing = told_now
            self.book.touch(entry)
            if done.outcome == "begun":
                kept = await self.book.keep(entry)
                if keeper is None and not (kept and told_now.get("undo")):
                    raise Unwritten

        self.busy = entry.id
        try:
            done = await heal(
                self.cluster,
                trial.finding,
                trial.fix,
                before=[*seen.findings, *known],
                now=self.world.now,
                patience=policy.patience,
                note=note,
                look=lambda: self._look_around(trial),
                basis=trial.originals,
            )
        except Unreachable as error:
            log.warning("%s: the cluster is lost while it is healed: %s", entry.id, error)
            return  # it is finished when the cluster is back
        except (OSError, Unwritten) as error:
            self._wait(entry, print_)
            said = f"what would take it back cannot be written down{f': {error}' if str(error) else ''}"
            self._end(entry, told, "refused", said)
            return
        except Exception:
            log.exception("%s cannot be healed", entry.id)
            if (entry.healing or {}).get("started") != told["started"]:  # nothing was begun
                self._end(entry, told, "interrupted", "a fault of fairlead's own: its log tells more")
            return
        finally:
            self.busy = ""
        path = {"record": str(keeper.path)} if keeper is not None and keeper.path is not None else {}
        self._end(entry, told | healing(done, veil, entry.namespace) | path, done.outcome, _last(done.steps))
        if done.outcome == "refused":
            self._wait(entry, print_)
        await self._tell_policy(
            policy, {"finding": entry.id, "namespace": entry.namespace, "outcome": done.outcome}
        )

    async def _rehearse(self, entry: Entry, trial: Trial, told: dict[str, Any]) -> None:
        """Have the server check the changes without making them."""
        try:
            await rehearse(self.cluster, trial.fix.changes)
        except Refusal as refusal:
            told["steps"] = [
                {"name": "the server takes it in a dry run", "ok": False, "detail": refusal.message}
            ]
        else:
            told["steps"] = [{"name": "the server takes it in a dry run", "ok": True, "detail": ""}]
        self._end(entry, told, "dry run", "the policy asks for no more than a dry run")

    async def _look_around(self, trial: Trial) -> Examined:
        """Look at what is wrong where the fix may have done anything; what happens elsewhere is not its doing."""
        examined = await self.world.look()
        finding, fix = trial.finding, trial.fix
        refs = [
            finding.subject,
            *(one.subject for one in finding.symptoms),
            *(one.ref for one in fix.changes),
        ]
        spaces = {ref.namespace for ref in refs}
        near = [
            one
            for one in examined.findings
            if one.id == finding.id or any(ref.namespace in spaces for ref in (one.subject, *(s.subject for s in one.symptoms)))
        ]  # fmt: skip
        return Examined(near, examined.view, examined.scope, examined.unseen)

    def _end(self, entry: Entry, told: Mapping[str, Any], outcome: str, said: str) -> None:
        ended = {"phase": "done", "outcome": outcome, "ended": stamp(self.world.now())}
        entry.healing = {**told, **ended, **({"note": said} if said else {})}
        self.book.touch(entry)
        self.outcome("healing", outcome)
        title = text(told, "title")
        level = {"healthy": "Normal", "dry run": "Normal"}.get(outcome, "Warning")
        reason = {"healthy": "Healed", "rolled back": "HealingRolledBack", "dry run": "HealingDryRun"}.get(outcome, "HealingFailed")  # fmt: skip
        log.log(
            logging.INFO if level == "Normal" else logging.WARNING,
            "%s: %s: %s %s", entry.id, title, outcome, said,
        )  # fmt: skip
        self.world.tell(entry, level, reason, f"{title}: {outcome}{f' ({said})' if said else ''}")

    # What an earlier process has begun

    async def _finish_what_was_begun(self) -> None:
        for entry in list(self.book.entries.values()):
            if (entry.healing or {}).get("phase") == "begun" and entry.id != self.busy:
                await self._finish(entry, dict(entry.healing or {}))

    async def _finish(self, entry: Entry, told: dict[str, Any]) -> None:
        """See what became of a healing that was not watched to its end; take it back if it did no good."""
        started = moment(told.get("started")) or self.world.now()
        policy = next((one for one in self.world.policies() if one.name == told.get("policy")), None)
        patience = policy.patience if policy is not None else 180.0
        if entry.sighting.state == "resolved":
            said = "it was watched to its end by a later process"
            self._written_off(await self._record(told), told, "healthy", said)
            self._end(entry, told, "healthy", said)
            return
        if self.world.now() - started < timedelta(seconds=patience):
            return  # it may become well yet
        record = await self._record(told)
        undo = record.undo() if record is not None else []
        if not undo:
            said = "nobody watched it, and what would take it back is not known here"
            self._end(entry, told, "interrupted", said)
            return
        if all(one.state == "as it was" for one in await assess(self.cluster, undo)):
            self._written_off(record, told, "refused", "it was begun, and nothing had been changed")
            self._end(entry, told, "refused", "it was begun, and nothing had been changed")
            return
        failures = await take_back(self.cluster, undo, self.world.now)
        step = Step(
            "nobody watched it and it did no good: the change is taken back",
            not failures,
            "; ".join(failures),
        )
        told["steps"] = [
            *(told.get("steps") or []),
            {"name": step.name, "ok": step.ok, "detail": step.detail},
        ]
        outcome = "rolled back" if not failures else "interrupted"
        self._written_off(record, told, outcome, step.detail)
        self._end(entry, told, outcome, step.detail)

    async def _record(self, told: Mapping[str, Any]) -> healings.Record | None:
        """Return what takes back a healing that an earlier process has begun: from its file, or else from the Finding."""
        path = text(told, "record")
        if path and self.world.folder is not None:
            found = next((one for one in healings.every(self.world.folder) if str(one.path) == path), None)
            if found is not None:
                return found
        undo = [one for _, one in mappings(told, "undo")]
        return healings.Record({"applied": {"undo": undo}}) if undo else None

    @staticmethod
    def _written_off(
        record: healings.Record | None, told: Mapping[str, Any], outcome: str, said: str
    ) -> None:
        """Write into the file of a healing, where it has one, what came of it."""
        if record is None or record.path is None:
            return
        applied = {**record.applied, "outcome": "unhealthy" if outcome == "interrupted" else outcome}
        record.content["applied"] = applied | {"steps": list(told.get("steps") or []), "note": said}
        try:
            record.save()
        except OSError as error:
            log.warning("what became of %s could not be written down: %s", record.path, error)

    # What is written down

    async def _spend(self, policy: HealPolicy, entry: Entry, now: datetime) -> bool:
        """Count a healing against the policy's rate before it begins; return whether that could be written down."""
        times = [at for at in policy.recent if now - at < HOUR]
        patch = {"status": {"recent": [stamp(at) for at in (*times, now)]}}
        try:
            await self.cluster.patch(API_VERSION, "HealPolicy", "", policy.name, patch, subresource="status")
        except (Refusal, Unreachable) as error:
            log.warning("%s is not healed: its policy's status cannot be written: %s", entry.id, error)
            return False
        mine = self._recent.setdefault(policy.name, [])
        mine[:] = [at for at in (*mine, now.replace(microsecond=0)) if now - at < HOUR]
        return True

    async def _tell_policies(self) -> None:
        for policy in self.world.policies():
            await self._tell_policy(self._with_recent(policy))

    async def _tell_policy(self, policy: HealPolicy, last: dict[str, Any] | None = None) -> None:
        """Write a policy's status, where it is to say something else."""
        now = self.world.now()
        status: dict[str, Any] = status_of(policy, now)
        before = {key: policy.status.get(key) for key in status}
        if last is None and (before == status or self._statuses.get(policy.name) == status):
            return
        self._statuses[policy.name] = status
        if last is not None:
            status = {**status, "last": {**last, "at": stamp(now)}}
        try:
            await self.cluster.patch(
                API_VERSION, "HealPolicy", "", policy.name, {"status": status}, subresource="status"
            )
        except Refusal as refusal:
            log.debug("the status of %s cannot be written: %s", policy.name, refusal.message)


def _last(steps: Sequence[Step]) -> str:
    """Return what the step that does not hold says."""
    return next((one.detail or one.name for one in reversed(steps) if not one.ok), "")
