"""Judges one trigger by rules that propose something beyond the request, and has what they propose carried out.

What a rule proposes on an old picture (a conflict) is proposed anew. What fails is told on the policy and tried again a few times,
less and less often. Knows of no format but how to follow what Kyverno's rules once generated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from fairlead.judge.judging import run
from fairlead.judge.policies import Judged, Policy, Rule
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.errors import Refusal
from fairlead.reactor.admit import PolicyGate
from fairlead.reactor.judging import asking
from fairlead.reactor.policing_deeds import APPLIED, DEEPEST, ERROR, IDENTITIES, OWN, Deeds
from fairlead.words import Change, Ref, User, View

CONFLICTS = 5
"""How often a rule proposes anew because the object was another one by then."""
TRIES = 5
"""How often what failed is tried again ..."""
FIRST_DELAY = 1.0
"""... after so many seconds, then four times as many."""
LONGEST_TURN = 300.0
"""A controller that asks for another turn gets one after so many seconds at most."""
_PASSING = frozenset({404, 409, 429, 500, 503, 504})
"""Refusals that may be over soon: a namespace that comes yet, a busy server."""

Pair = tuple[Policy, Rule]


class Said(NamedTuple):
    """What came of one rule: whether it has something to say of the trigger, to try again, another turn."""

    speaks: bool = False
    failed: bool = False
    requeue: bool = False


class Bench:
    """See the module. `clock` gives the time, aware UTC; `noted` hears of violations by controllers.

    `narrow` leaves of a view only what was generated for an object.
    """

    def __init__(
        self,
        gate: PolicyGate,
        deeds: Deeds,
        clock: Callable[[], datetime],
        noted: Callable[[Subject, Judged], None] = lambda _subject, _judged: None,
        narrow: Callable[[View, Ref, str], View] = lambda view, _ref, _uid: view,
    ) -> None:
        self._gate = gate
        self._deeds = deeds
        self._clock = clock
        self._noted = noted
        self._narrow = narrow
        self._seed = 0

    def around(self) -> Surroundings:
        """Return what is around a trigger now."""
        self._seed += 1
        return self._gate.around(self._clock(), self._seed)

    async def judge(
        self, subject: Subject, pairs: Sequence[Pair], depth: int, tries: int = 0, *, follow: bool = False
    ) -> float | None:
        """Judge a trigger and carry out what its rules propose; return in how many seconds to do it again, None if not.

        `depth` is that of the write that triggered it. With `follow`, what the rules once generated for the trigger and are no longer
        about is withdrawn.
        """
        speaking: set[tuple[Ref, str]] = set()
        failed = requeue = False
        for policy, rule in pairs:
            if subject.object is not None and not self.there(subject):
                return None
            said = await self.one(subject, policy, rule, depth)
            failed, requeue = failed or said.failed, requeue or said.requeue
            if said.speaks or said.failed:
                speaking.add((policy.source, rule.name))
        if follow and subject.object is not None:
            await self._withdraw(subject, speaking, depth)
        if requeue:
            return float(min(FIRST_DELAY * 2.0 ** min(tries, 20), LONGEST_TURN))
        return FIRST_DELAY * 4.0**tries if failed and tries < TRIES else None

    def there(self, subject: Subject) -> bool:
        """Whether the trigger is still there."""
        ref = subject.ref
        if subject.target.subresource:
            return True
        found = self.around().view.get(ref.group, ref.kind, ref.namespace, ref.name)
        return found is not None and (not ref.uid or found["metadata"].get("uid") == ref.uid)

    def _ending(self, namespace: str) -> bool:
        """Whether a namespace is being deleted: nothing comes into it any more, and what is there goes by itself."""
        space = self.around().view.get("", "Namespace", "", namespace) if namespace else None
        return space is not None and bool(space["metadata"].get("deletionTimestamp"))

    async def one(
        self, subject: Subject, policy: Policy, rule: Rule, depth: int, user: User | None = None
    ) -> Said:
        """Judge a trigger by one rule and carry out what it proposes, under a name that is usually its format's."""
        user = user or IDENTITIES.get(policy.dialect, OWN)
        if depth >= DEEPEST:
            message = f"{subject.ref}: not judged: {depth} writes of policies have led to one another already"
            await self._deeds.tell(policy.source, ERROR, message)
            return Said()
        conflict: Refusal | None = None
        for _ in range(CONFLICTS):
            judged = await asking(
                lambda around: run(subject, policy, rule, around), self.around(), self._gate.fetch
            )
            conflict, said = await self._all(subject, judged, user, depth)
            if conflict is None:
                return said
        assert conflict is not None
        await self._fail(policy, rule, subject, conflict.message)
        return Said(speaks=True, failed=True)

    async def _all(
        self, subject: Subject, judged: Sequence[Judged], user: User, depth: int
    ) -> tuple[Refusal | None, Said]:
        speaks = failed = requeue = False
        for one in judged:
            outcome = one.outcome
            requeue = requeue or bool(outcome.properties.get("requeue"))
            speaks = speaks or bool(outcome.properties.get("generated") or outcome.changes)
            if outcome.result == "error":
                failed = True
                await self._fail(one.policy, one.rule, subject, outcome.message)
            elif outcome.result == "fail":
                self._noted(subject, one)
                await self._fail(one.policy, one.rule, subject, outcome.message)
            for change in outcome.changes:
                if self._ending(change.ref.namespace):
                    continue
                try:
                    changed = await self._deeds.carry_out(change, user, depth + 1)
                except Refusal as refusal:
                    if refusal.code == 409 and change.verb != "delete":
                        return refusal, Said(speaks=True)
                    failed = failed or refusal.code in _PASSING
                    await self._fail(one.policy, one.rule, subject, f"{_named(change)}: {refusal.message}")
                    continue
                if changed:
                    await self._deeds.tell(one.policy.source, APPLIED, _told(one, change, subject))
        return None, Said(speaks, failed, requeue)

    async def _fail(self, policy: Policy, rule: Rule, subject: Subject, message: str) -> None:
        head = f"policy {policy.name}/{rule.name} error" if rule.name else f"policy {policy.name} error"
        await self._deeds.tell(policy.source, ERROR, f"{subject.ref}: {head}: {message}")

    async def _withdraw(self, subject: Subject, speaking: set[tuple[Ref, str]], depth: int) -> None:
        from fairlead.dialects.kyverno.generating_following import withdrawn

        target = subject.target
        book = self._gate.loaded.book
        silent = {
            (policy.source, rule.name)
            for policy in book.policies
            for rule in policy.rules
            if rule.phase == "generate" and not rule.concerns(target)
        }
        around = self.around()
        around = replace(around, view=self._narrow(around.view, subject.ref, subject.ref.uid), memo={})
        await self.carry(withdrawn(subject.present, speaking | silent, around), depth)

    async def carry(self, changes: Sequence[Change], depth: int, user: User = IDENTITIES["kyverno"]) -> bool:
        """Carry out what follows from a change; whether all of it went well, or failed for good."""
        fine = True
        for change in changes:
            if change.verb != "delete" and self._ending(change.ref.namespace):
                continue
            try:
                await self._deeds.carry_out(change, user, depth + 1)
            except Refusal as refusal:
                fine = fine and refusal.code not in _PASSING
                await self._deeds.tell(change.ref, ERROR, f"{change.why}: {refusal.message}")
        return fine


def _named(change: Change) -> str:
    return f"failed to {change.verb} {change.ref}"


_WORDS: dict[str, str] = {
    "create": "generated",
    "update": "updated",
    "patch": "updated",
    "delete": "deleted",
}


def _told(judged: Judged, change: Change, subject: Subject) -> str:
    ref: Any = change.ref
    by = f" by rule {judged.rule.name}" if judged.rule.name else ""
    cause = f", for {subject.ref}" if subject.ref != change.ref else ""
    return f"{ref} {_WORDS[change.verb]}{by}{cause}"
