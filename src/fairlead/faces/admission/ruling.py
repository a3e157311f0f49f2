"""Judges one request in bounded time: each policy has the time that it states, all together what the API server waits.

What a policy asks of outside is waited for beside the other policies and the other requests. A policy that is late refuses the
request in its own words, or, where its failurePolicy is Ignore, is passed over with a warning. Holds no rules.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from fairlead.judge.judging import Verdict, conclude, mutate, run
from fairlead.judge.policies import Book, Judged, Outcome, Policy, Rule
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.reactor.admit import Unanswered
from fairlead.words import Need

log = logging.getLogger("fairlead.admission")

ROUNDS = 32
"""How often a policy may ask for something more about one request."""

Answering: TypeAlias = Callable[[Sequence[Need], float], Awaitable[Mapping[Need, Any]]]
"""Answers Needs within so many seconds: the answer, or an Exception that says why there is none."""


class Answers(dict[Need, Any]):
    """What is known about one request: the answers so far, and what is said of the policies whose time is over."""

    def __init__(self) -> None:
        super().__init__()
        self.late: dict[Policy, Outcome] = {}


class _Late(Lacking):
    """A policy of a mutating book lacks something."""

    def __init__(self, policy: Policy, needs: Sequence[Need]) -> None:
        super().__init__(*needs)
        self.policy = policy


class Ruling:
    """Judges requests. `answering` fetches what policies ask for."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._telling: WeakKeyDictionary[Book, Book] = WeakKeyDictionary()

    async def mutate(self, subject: Subject, book: Book, around: Surroundings, seconds: float) -> Verdict:
        """Return what the mutating rules make of the subject. `around.answers` must be Answers."""
        answers = around.answers
        assert isinstance(answers, Answers)
        telling = self._telling.get(book)
        if telling is None:
            telling = self._telling[book] = Book(replace(one, rules=_telling(one)) for one in book.policies)
        end = time.monotonic() + seconds
        spent: dict[Policy, float] = {}
        rounds: Counter[Policy] = Counter()
        for _ in range((ROUNDS + 2) * (1 + len(book.policies))):
            try:
                after, outcomes = mutate(subject, telling, around)
                break
            except _Late as lacking:
                policy = lacking.policy
                left = min(policy.timeout - spent.get(policy, 0.0), end - time.monotonic())
                rounds[policy] += 1
                if rounds[policy] > ROUNDS:
                    left = 0.0
                began = time.monotonic()
                await self._fetch(policy, lacking.needs, answers, left, min(policy.timeout, seconds))
                spent[policy] = spent.get(policy, 0.0) + time.monotonic() - began
        else:  # pragma: no cover  every policy is late by then
            after, outcomes = subject, []
        return _concluded(Verdict(after, outcomes))

    async def validate(self, subject: Subject, book: Book, around: Surroundings, seconds: float) -> Verdict:
        """Return what the validating rules say of the subject. `around.answers` must be Answers."""
        answers = around.answers
        assert isinstance(answers, Answers)
        end = time.monotonic() + seconds
        found: list[list[Judged]] = []
        waiting: list[tuple[int, Policy, Rule, Lacking]] = []
        for policy, rule in book.rules(subject.target, "validate"):
            if not policy.admission:
                continue
            try:
                found.append(run(subject, policy, rule, around))
            except Lacking as lacking:
                waiting.append((len(found), policy, rule, lacking))
                found.append([])
        if waiting:
            said = await asyncio.gather(
                *(
                    self._wait(
                        partial(run, subject, policy, rule, around), lacking, policy, rule, answers, end
                    )
                    for _, policy, rule, lacking in waiting
                )
            )
            for (place, *_), outcomes in zip(waiting, said, strict=True):
                found[place] = outcomes
        return _concluded(Verdict(subject, [one for outcomes in found for one in outcomes]))

    async def _wait(
        self,
        step: Callable[[], list[Judged]],
        lacking: Lacking,
        policy: Policy,
        rule: Rule,
        answers: Answers,
        end: float,
    ) -> list[Judged]:
        """Run one rule again and again, with what it lacks, until it lacks nothing or its time is over."""
        now = time.monotonic()
        most = min(policy.timeout, end - now)
        own_end = now + most
        for round_ in range(ROUNDS + 1):
            left = own_end - time.monotonic() if round_ < ROUNDS else 0.0
            await self._fetch(policy, lacking.needs, answers, left, most)
            if policy in answers.late:
                return [Judged(policy, rule, answers.late[policy])]
            try:
                return step()
            except Lacking as again:
                lacking = again
        raise AssertionError("unreachable")  # pragma: no cover  the last round is always late

    async def _fetch(
        self, policy: Policy, needs: Sequence[Need], answers: Answers, left: float, most: float
    ) -> None:
        """Answer Needs within the time that is left, or note that the policy is late."""
        if left <= 0:
            _note_late(policy, needs, answers, most)
            return
        try:
            async with asyncio.timeout(left):
                answers.update(await self._answering(needs, left))
        except TimeoutError:
            _note_late(policy, needs, answers, most)
        except Exception as error:
            log.exception("what %s asks for cannot be fetched", policy.name)
            answers.update(dict.fromkeys(needs, Unanswered(str(error) or type(error).__name__)))


def _note_late(policy: Policy, needs: Sequence[Need], answers: Answers, most: float) -> None:
    asked = ", ".join(dict.fromkeys(f"{one.what} of {one.about.name or one.about}" for one in needs))
    said = f"policy {policy.name} came to no verdict within {max(most, 0.0):.3g} s: waiting for {asked}"
    answers.late[policy] = Outcome(result="error", message=said, code=504, reason="Timeout")


def _telling(policy: Policy) -> tuple[Rule, ...]:
    """Return the rules of a policy, each telling whose it is when it lacks something, and silent once the policy is late."""

    def telling(rule: Rule) -> Rule:
        def step(subject: Subject, around: Surroundings) -> Outcome | Sequence[Outcome] | None:
            answers = around.answers
            assert isinstance(answers, Answers)
            if policy in answers.late:
                return answers.late[policy]
            try:
                return rule.run(subject, around)
            except Lacking as lacking:
                raise _Late(policy, lacking.needs) from None

        return replace(rule, run=step)

    return tuple(telling(rule) for rule in policy.rules)


def _concluded(verdict: Verdict) -> Verdict:
    conclude(verdict)
    return verdict


def passed_over(verdict: Verdict) -> list[str]:
    """Return a warning for each policy that was late and whose failurePolicy says to go on without it."""
    return [
        f"{one.outcome.message}; its failurePolicy is Ignore"
        for one in verdict.outcomes
        if one.outcome.result == "error" and one.outcome.code == 504 and one.policy.open
    ]


__all__ = ["Answering", "Answers", "Ruling", "passed_over"]
