"""Carries out what policies propose beyond a request: objects generated, kept alike, cleaned up, changed where they are.

One loop over the log. A committed write is judged by the rules that the gate found to concern it, objects that were generated follow
their trigger, source and policy, new policies look at what is there, and schedules and deadlines are kept. How far the log was
worked through is written down, so that a restart goes on from there. Holds no rules; with no such policies it only reads labels.

The requests that were under way when a control plane ended are judged again without their user: rules that ask who it was pass by.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fairlead.judge.policies import Policy, Rule
from fairlead.judge.subjects import Operation, Subject, Target, subject_of
from fairlead.keep.entries import Entry, Storage, Stored
from fairlead.keep.errors import Refusal
from fairlead.keep.extending import DEFINITIONS
from fairlead.keep.kinds import Kind
from fairlead.reactor.admit import PolicyGate
from fairlead.reactor.exempting import SYSTEM_NAMESPACES, never_judged
from fairlead.reactor.keeping import Keeper, Lagged, Subscription
from fairlead.reactor.policies import GROUPS, Loaded
from fairlead.reactor.policing_deeds import CLEANUP, ERROR, Deeds, is_mine
from fairlead.reactor.policing_jobs import Jobs
from fairlead.reactor.policing_judging import FIRST_DELAY, TRIES, Bench, Pair
from fairlead.reactor.policing_marks import STORAGE, Mark
from fairlead.reactor.policing_origins import POLICY_GROUPS, Origins, generated
from fairlead.reactor.policing_schedules import TTL, Deadlines, Schedules
from fairlead.reactor.policing_statuses import TEMPLATES, Statuses
from fairlead.reactor.policing_triggers import Triggers
from fairlead.words import Ref, Resource, User

log = logging.getLogger("fairlead.policing")

SETTLE = 0.5
"""Seconds that changes of policies may come together before their statuses are written."""
TICK = 1.0
"""Seconds between two looks at the clock while there are schedules or deadlines."""
IDLE = 3600.0
MARK = 10.0
"""Seconds between two notes of how far the log was worked through."""
SLICE = 0.005
"""Seconds of work before others have their turn."""
UNKNOWN = User(name="system:anonymous", groups=("system:unauthenticated",))
"""Who made a request that nobody remembers."""
_SCRIPTED = "jspolicy"


def _now() -> datetime:
    return datetime.now(UTC)


async def police(keeper: Keeper, clock: Callable[[], datetime] = _now) -> None:
    """Carry out what the policies of a keeper's gate propose until the keeper closes; end at once if it has no gate."""
    if keeper.gate is not None:
        await Policing(keeper, keeper.gate, clock).run()


class Policing:
    """See the module. `clock` gives the time, aware UTC."""

    def __init__(self, keeper: Keeper, gate: PolicyGate, clock: Callable[[], datetime] = _now) -> None:
        self._keeper = keeper
        self._world = keeper.world
        self._gate = gate
        self._clock = clock
        self._jobs = Jobs()
        self._deeds = Deeds(keeper, gate, clock)
        self._origins = Origins()
        self._bench = Bench(gate, self._deeds, clock, self._violated, self._origins.view)
        self._statuses = Statuses(keeper.world, gate, self._deeds, clock)
        self._mark = Mark(keeper, self._deeds, clock)
        self._triggers = Triggers(gate.later)
        self._deadlines = Deadlines()
        self._schedules = Schedules()
        self._kinds: dict[Storage, Kind | None] = {}
        self._loaded: Loaded | None = None
        self._proposing = False
        """Whether any policy proposes something beyond requests."""
        self._scripted = False
        """Whether any policy is a controller, which looks at every write, whoever made it."""
        self._seen = 0
        self._replayed = 0
        """Entries up to this one were committed before the loop began."""
        self._marked_at = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether nothing is to be done now (something may yet rest, or be due later)."""
        return self._seen >= self._world.rv and not self._jobs.busy

    async def run(self) -> None:
        """Follow the log until cancelled or the keeper closes."""
        self._gate.stir = self._stirred
        since = self._mark.read()
        try:
            while True:
                stream, lost = self._subscribe(since)
                with stream:
                    self._seen = self._world.rv if lost else since or self._world.rv
                    self._replayed = self._world.rv
                    try:
                        await self._begin()
                        if lost:
                            self._look_over()
                        await self._follow_log(stream)
                    except Lagged:
                        log.warning("fell behind the log; looking at everything again")
                        since = self._done
                        continue
                    except StopAsyncIteration:
                        return
        finally:
            self._gate.stir = None
            with contextlib.suppress(Refusal, asyncio.CancelledError):
                await self._note()
            await self._jobs.close()

    # Following the log

    def _subscribe(self, since: int) -> tuple[Subscription, bool]:
        """Go on after an entry, or begin now; tell whether the log has lost what came between."""
        if since:
            with contextlib.suppress(Refusal):
                return self._keeper.subscribe(None, since=since), False
            log.warning("what was written after %d is no longer in the log", since)
        return self._keeper.subscribe(None), bool(since)

    def _look_over(self) -> None:
        """Bring what was generated in line with what it came of, where nobody knows what happened to either meanwhile."""
        from fairlead.dialects.kyverno import celpolicies_following, generating_following

        view = self._bench.around().view
        came: dict[Ref, None] = {}
        for ref in self._origins.refs():
            made = view.get(ref.group, ref.kind, ref.namespace, ref.name) or {}
            origin = generating_following.origin_of(made) or celpolicies_following.origin_of(made)
            if origin is not None:
                self._jobs.put(("again", origin), partial(self._again, origin, 0), self._seen)
                came |= dict.fromkeys(one for one in (origin.trigger, origin.source) if one is not None)
        for ref in came:
            there = view.get(ref.group, ref.kind, ref.namespace, ref.name) if ref.name else None
            if there is not None and ref.uid in {"", there["metadata"].get("uid")}:
                self._followed(None, there, 0, self._seen)
            elif ref.name:
                self._followed(_gone(ref), None, 0, self._seen)

    async def _begin(self) -> None:
        """Take in what is there: generated objects, deadlines, policies."""
        self._origins.clear()
        at = time.monotonic()
        for storage in list(self._world.storages()):
            for stored in self._world.stored(storage):
                if generated(stored):
                    self._origins.put(self._named(storage, stored), stored.labels)
                if TTL in stored.labels:
                    self._expires(storage, stored, stored.object)
                if time.monotonic() - at > SLICE:
                    await asyncio.sleep(0)
                    at = time.monotonic()
        self._know()
        for ref in list(self._gate.library.refs()):
            self._came(ref)

    async def _follow_log(self, stream: Subscription) -> None:
        while True:
            entries = await stream.within(self._wait())
            at = time.monotonic()
            for entry in entries:
                try:
                    self._take(entry)
                except Exception:
                    log.exception("what follows from a write of %s is unknown", entry.storage)
                self._seen = max(self._seen, entry.rv)
                if time.monotonic() - at > SLICE:
                    await asyncio.sleep(0)
                    at = time.monotonic()
                await self._jobs.room()
            self._tick()

    def _wait(self) -> float:
        if self._deadlines or self._schedules.soonest is not None:
            return TICK
        return MARK if self._proposing and self._done > self._mark.rv else IDLE

    def _take(self, entry: Entry) -> None:
        depth = self._deeds.depth(entry.rv)
        labelled = TTL in entry.labels
        if labelled or (entry.before is not None and TTL in entry.before.labels):
            self._deadlines.drop(entry.storage, entry.namespace, entry.name)
            if labelled and entry.type != "DELETED" and entry.stored is not None:
                self._expires(entry.storage, entry.stored, self._keeper.decoded(entry))
        if entry.storage == DEFINITIONS:
            self._kinds.clear()
        if entry.storage == STORAGE:
            self._mark.wrote(entry)
        if entry.storage[0] in GROUPS:
            self._policy(entry, depth)
            return
        if generated(entry.stored) or generated(entry.before) or self._origins:
            self._follow(entry, depth)
        if self._proposing:
            self._judge_write(entry, depth)

    # Policies that come, change and go

    def _policy(self, entry: Entry, depth: int) -> None:
        after = self._keeper.decoded(entry)
        before = entry.before.object if entry.before is not None else None
        if before is not None and entry.type == "MODIFIED" and _essence(before) == _essence(after):
            return
        self._know()
        if entry.storage[0] in POLICY_GROUPS and self._origins:
            self._followed(before or after, None if entry.type == "DELETED" else after, depth, entry.rv)
        if entry.type != "DELETED":
            self._came(Ref.of(after))
        else:
            self._jobs.put(("statuses",), self._settle, 0, SETTLE)

    def _came(self, ref: Ref) -> None:
        """A policy document is new, or new to this loop."""
        self._jobs.put(("statuses",), self._settle, 0, SETTLE)
        if ref.group == TEMPLATES:
            self._jobs.put(("define", ref), partial(self._define, ref))
        if ref.kind == "JsPolicyBundle":
            ref = Ref(ref.group, "JsPolicy", "", ref.name)
        if any(one.source == ref and _proposes(one) for one in self._gate.loaded.book.policies):
            self._jobs.put(("scan", ref), partial(self._scan, ref))

    def _know(self) -> None:
        """Take in the policies of the moment."""
        loaded = self._gate.loaded
        if loaded is self._loaded:
            return
        self._loaded = loaded
        policies = loaded.book.policies
        self._proposing = any(_proposes(one) for one in policies)
        self._scripted = any(one.dialect == _SCRIPTED and _proposes(one) for one in policies)
        self._schedules.know(policies, self._bench.around().view, self._clock())

    async def _settle(self, tries: int) -> float | None:
        return None if await self._statuses.look() or tries >= TRIES else FIRST_DELAY * 2.0**tries

    async def _define(self, ref: Ref, tries: int) -> float | None:
        try:
            await self._statuses.define(ref)
        except Refusal as refusal:
            await self._deeds.tell(ref, ERROR, refusal.message)
            return FIRST_DELAY * 2.0**tries if tries < TRIES else None
        return None

    def _violated(self, subject: Subject, judged: Any) -> None:
        if judged.policy.dialect == _SCRIPTED:
            self._gate.violations.append((subject, judged))
            self._stirred()

    def _stirred(self) -> None:
        if self._gate.violations:
            self._jobs.put(("violations",), self._list_violations, 0, SETTLE)

    async def _list_violations(self, _tries: int) -> None:
        try:
            await self._statuses.violated(self._gate.violations)
        except Refusal as refusal:
            log.warning("the violations of a JsPolicy cannot be written: %s", refusal.message)

    # Triggers

    def _judge_write(self, entry: Entry, depth: int) -> None:
        kind = self._kind(entry.storage)
        if kind is None or never_judged(kind.group, kind.plural):
            return
        after = None
        if self._triggers.waits(entry):
            after = self._keeper.decoded(entry)
            subject = self._triggers.of(entry, after)
            if subject is not None:
                self._judge(subject, depth, entry.rv)
        elif entry.rv <= self._replayed:
            for operation in _operations(entry):
                target = _target(kind, operation)
                if any(one.dialect != _SCRIPTED for one, _ in self._pairs(target)):
                    after = self._keeper.decoded(entry)
                    if operation != "UPDATE" or _changed(entry, after):
                        subject = self._assumed(after, kind, operation, entry.before)
                        self._judge(replace(subject, user=UNKNOWN), depth, entry.rv)
        if self._scripted and entry.namespace not in SYSTEM_NAMESPACES:
            self._control(kind, after or self._keeper.decoded(entry), depth, entry.type == "DELETED")

    def _judge(self, subject: Subject, depth: int, rv: int) -> None:
        key = ("judge", subject.ref, subject.target)
        self._jobs.put(key, partial(self._judged, subject, depth), rv)

    async def _judged(self, subject: Subject, depth: int, tries: int) -> float | None:
        pairs = [
            (policy, rule)
            for policy, rule in self._pairs(subject.target)
            if policy.admission and policy.dialect != _SCRIPTED
        ]
        ref = subject.ref
        follow = (
            subject.target.operation == "UPDATE"
            and self._origins.concerned(ref, ref.uid)
            and not is_mine(subject.user)
            and subject.user != UNKNOWN
        )
        return await self._bench.judge(subject, pairs, depth, tries, follow=follow)

    def _control(self, kind: Kind, resource: Resource, depth: int, gone: bool) -> None:
        """Have controllers look at an object that was written, or is gone."""
        operations: Sequence[Operation] = ("DELETE",) if gone else ("CREATE", "UPDATE")
        for operation in operations:
            target = _target(kind, operation)
            pairs = [pair for pair in self._pairs(target) if pair[0].dialect == _SCRIPTED]
            if pairs:
                subject = self._assumed(resource, kind, operation)
                key = ("control", subject.ref, operation)
                self._jobs.put(key, partial(self._bench.judge, subject, pairs, depth))
                return

    def _pairs(self, target: Target) -> Sequence[Pair]:
        return self._gate.loaded.book.rules(target, "generate")

    def _assumed(
        self, resource: Resource, kind: Kind, operation: Operation, before: Stored | None = None
    ) -> Subject:
        """Return the request that may have led to an object as it is; nobody knows who made it."""
        namespace = resource["metadata"].get("namespace") or ""
        space = self._bench.around().view.get("", "Namespace", "", namespace) if namespace else None
        subject = subject_of(resource, kind.plural, space=space, operation=operation)
        if operation == "UPDATE" and before is not None:
            return subject_of(before.object, kind.plural, space=space, operation=operation).become(resource)
        return subject

    # What was generated

    def _follow(self, entry: Entry, depth: int) -> None:
        if entry.stored is None:
            return
        ref = self._named(entry.storage, entry.stored)
        concerned = self._origins.concerned(ref, entry.stored.uid) or generated(entry.before)
        if entry.type == "DELETED":
            if concerned:
                self._followed((entry.before or entry.stored).object, None, depth, entry.rv)
            self._origins.drop(ref)
            return
        self._origins.put(ref, entry.stored.labels)
        if concerned:
            before = entry.before
            after = self._keeper.decoded(entry)
            self._followed(before.object if before is not None else None, after, depth, entry.rv)

    def _followed(self, before: Resource | None, after: Resource | None, depth: int, rv: int) -> None:
        from fairlead.dialects.kyverno import celpolicies_following, generating_following

        around = self._bench.around()
        ref = Ref.of(after or before or {})
        around = replace(around, view=self._origins.view(around.view, ref, ref.uid), memo={})
        for module in (generating_following, celpolicies_following):
            followed = module.follow(before, after, around)
            if followed.changes:
                key = ("follow", module.__name__, rv, ref)
                self._jobs.put(key, partial(self._carry, followed.changes, depth), rv)
            for origin in followed.again:
                self._jobs.put(("again", origin), partial(self._again, origin, depth), rv)

    async def _carry(self, changes: Any, depth: int, tries: int) -> float | None:
        fine = await self._bench.carry(changes, depth)
        return None if fine or tries >= TRIES else FIRST_DELAY * 4.0**tries

    async def _again(self, origin: Any, depth: int, tries: int) -> float | None:
        """Judge the trigger of something generated by its rule once more."""
        ref: Ref = origin.trigger
        view = self._bench.around().view
        trigger = view.get(ref.group, ref.kind, ref.namespace, ref.name) if ref.name else None
        if trigger is None and ref.uid:
            listed = view.list(ref.group, ref.kind, ref.namespace or None)
            trigger = next((one for one in listed if one["metadata"].get("uid") == ref.uid), None)
        kind = self._world.catalogue.kind(ref.group, ref.kind)
        if trigger is None or kind is None or (ref.uid and trigger["metadata"].get("uid") != ref.uid):
            return None
        for operation in ("CREATE", "UPDATE"):
            pairs = [
                (policy, rule)
                for policy, rule in self._pairs(_target(kind, operation))
                if policy.source == origin.policy and origin.rule in {"", rule.name}
            ]
            if pairs:
                subject = self._assumed(trigger, kind, operation)
                return await self._bench.judge(subject, pairs, depth, tries)
        return None

    # What is there already

    async def _scan(self, ref: Ref, _tries: int) -> None:
        """Show a policy what is there, as far as it is about that."""
        for policy in [one for one in self._gate.loaded.book.policies if one.source == ref]:
            rules = [
                rule for rule in policy.rules if rule.phase == "generate" and self._looks_back(policy, rule)
            ]
            if rules:
                await self._over(policy, rules, scan=policy.dialect != _SCRIPTED)

    def _looks_back(self, policy: Policy, rule: Rule) -> bool:
        """Whether a rule is about what was there before its policy; where only judging tells, it does."""
        if policy.source.group != "kyverno.io":
            return True
        from fairlead.dialects.kyverno.mutating import on_policy_update

        ref = policy.source
        document = self._bench.around().view.get(ref.group, ref.kind, ref.namespace, ref.name) or {}
        spec = document.get("spec") or {}
        for one in spec.get("rules") or ():
            if one.get("name") == rule.name and one.get("mutate"):
                return on_policy_update(spec, one)
        return True

    async def _over(self, policy: Policy, rules: Sequence[Rule], *, scan: bool, user: Any = None) -> None:
        """Judge everything that rules concern, in slices; what is being deleted, and the system's own, is passed over."""
        view = self._bench.around().view
        at = time.monotonic()
        for group, name in list(view.kinds()):
            kind = self._world.catalogue.kind(group, name)
            if kind is None or never_judged(group, kind.plural):
                continue
            for operation in ("CREATE", "UPDATE"):
                mine = [rule for rule in rules if rule.concerns(_target(kind, operation))]
                if mine:
                    break
            else:
                continue
            for resource in list(view.list(group, name)):
                meta = resource["metadata"]
                space = meta.get("namespace") or (meta["name"] if (group, name) == ("", "Namespace") else "")
                if meta.get("deletionTimestamp") or space in SYSTEM_NAMESPACES:
                    continue
                around = view.get("", "Namespace", "", space) if meta.get("namespace") else None
                subject = subject_of(resource, kind.plural, space=around, operation=operation, scan=scan)
                for rule in mine:
                    said = await self._bench.one(subject, policy, rule, 0, user)
                    if said.requeue:
                        self._control(kind, resource, 0, gone=False)
                if time.monotonic() - at > SLICE:
                    await asyncio.sleep(0)
                    at = time.monotonic()

    # By the clock

    def _tick(self) -> None:
        now = self._clock()
        if self._schedules.soonest is not None:
            for policy in self._schedules.due(now, self._gate.loaded.book.policies):
                self._jobs.put(("cleanup", policy.source), partial(self._clean, policy.source))
        for storage, namespace, name in self._deadlines.due(now):
            key = ("expire", storage, namespace, name)
            self._jobs.put(key, partial(self._expire, storage, namespace, name))
        if self._proposing and time.monotonic() - self._marked_at > MARK and self._done > self._mark.rv:
            self._marked_at = time.monotonic()
            self._jobs.put(("mark",), self._put_mark)

    async def _clean(self, ref: Ref, _tries: int) -> None:
        for policy in [one for one in self._gate.loaded.book.policies if one.source == ref]:
            rules = [rule for rule in policy.rules if rule.phase == "cleanup"]
            await self._over(policy, rules, scan=True, user=CLEANUP)
        with contextlib.suppress(Refusal):
            await self._statuses.ran(ref)

    def _expires(self, storage: Storage, stored: Stored, content: Resource) -> None:
        wrong = self._deadlines.put(storage, stored, content)
        if wrong:
            ref = Ref.of(content)
            self._jobs.put(("tell", ref), lambda _tries: self._deeds.tell(ref, ERROR, wrong))

    async def _expire(self, storage: Storage, namespace: str, name: str, tries: int) -> float | None:
        from fairlead.dialects.kyverno.cleaning import expired

        kind = self._kind(storage)
        if kind is None:
            return None
        try:
            found = self._world.get(kind, namespace, name, overlay=True).object
        except Refusal:
            return None
        changes, _, _ = expired([found], self._clock())
        fine = await self._bench.carry(changes, 0, CLEANUP)
        return None if fine or tries >= TRIES else FIRST_DELAY * 4.0**tries

    # How far the log was worked through

    @property
    def _done(self) -> int:
        oldest = self._jobs.oldest
        return min(self._seen, oldest - 1) if oldest else self._seen

    async def _note(self) -> None:
        if self._proposing:
            await self._mark.write(self._done)

    async def _put_mark(self, _tries: int) -> None:
        with contextlib.suppress(Refusal):
            await self._note()

    # Names

    def _kind(self, storage: Storage) -> Kind | None:
        if storage not in self._kinds:
            found = next((one for one in self._world.catalogue.all() if one.storage == storage), None)
            preferred = self._world.catalogue.kind(found.group, found.kind) if found is not None else None
            self._kinds[storage] = preferred or found
        return self._kinds[storage]

    def _named(self, storage: Storage, stored: Stored) -> Ref:
        kind = self._kind(storage)
        return Ref(
            storage[0], kind.kind if kind is not None else "", stored.namespace, stored.name, stored.uid
        )


def _gone(ref: Ref) -> Resource:
    """Return as much as is known of an object that is gone."""
    version = f"{ref.group}/v1" if ref.group else "v1"
    meta = {"namespace": ref.namespace, "name": ref.name, "uid": ref.uid}
    return {"apiVersion": version, "kind": ref.kind, "metadata": meta}


def _proposes(policy: Policy) -> bool:
    return any(rule.phase == "generate" for rule in policy.rules)


def _target(kind: Kind, operation: Any) -> Target:
    return Target(kind.group, kind.version, kind.kind, kind.plural, "", operation)


def _operations(entry: Entry) -> Sequence[Operation]:
    return {"ADDED": ("CREATE",), "MODIFIED": ("UPDATE",), "DELETED": ("DELETE",)}[entry.type]  # type: ignore[return-value]  # literals


_PASSING = frozenset({"resourceVersion", "managedFields", "generation"})


def _essence(content: Resource) -> Resource:
    """Return an object without its status and without what every write changes."""
    meta = {key: value for key, value in content["metadata"].items() if key not in _PASSING}
    return {**{key: value for key, value in content.items() if key != "status"}, "metadata": meta}


def _changed(entry: Entry, after: Resource) -> bool:
    return entry.before is None or _essence(entry.before.object) != _essence(after)
