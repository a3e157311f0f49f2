"""Runs a Book's rules over a subject: mutations first, then validation; one failing rule never hides another.

Every exception of a rule becomes an `error` outcome of that rule alone, apart from `Lacking`, which goes up: the reactor fetches
what is lacking and judges again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fairlead.judge.policies import Book, Judged, Outcome, Phase, Policy, Rule
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.words import Change, Need, Resource

_STABLE_AFTER = 10


@dataclass(slots=True)
class Verdict:
    """What came of a request.

    `object` is the object after all mutations (None for DELETE). `message` is the denial, in the words of the dialects that
    deny; `code` and `reason` go into the Status.
    """

    subject: Subject
    outcomes: list[Judged] = field(default_factory=list)
    message: str = ""
    code: int = 0
    reason: str = ""

    @property
    def allowed(self) -> bool:
        """Whether nothing refuses the request."""
        return not any(one.denies for one in self.outcomes)

    @property
    def object(self) -> Resource | None:
        """The object as it is after the mutations."""
        return self.subject.object

    @property
    def warnings(self) -> list[str]:
        """What the client is warned of, in order, each once."""
        return list(dict.fromkeys(text for one in self.outcomes for text in one.outcome.warnings))

    @property
    def changes(self) -> list[Change]:
        """What rules propose beyond the request."""
        return [change for one in self.outcomes for change in one.outcome.changes]

    @property
    def audit(self) -> dict[str, str]:
        """The audit annotations of all rules."""
        return {key: text for one in self.outcomes for key, text in one.outcome.audit.items()}


def run(subject: Subject, policy: Policy, rule: Rule, around: Surroundings) -> list[Judged]:
    """Return what one rule says of the subject: nothing, if it does not concern it. Raises Lacking only."""
    try:
        said = rule.run(subject, around)
    except Lacking:
        raise
    except RecursionError:
        said = Outcome(result="error", message="the rule is nested too deeply to be judged")
    except Exception as error:  # noqa: BLE001  a policy is foreign code; whatever it raises is its own error
        said = Outcome(result="error", message=str(error) or type(error).__name__)
    if said is None:
        return []
    if isinstance(said, Outcome):
        return [Judged(policy, rule, said)]
    return [Judged(policy, rule, one) for one in said]


def judge(subject: Subject, book: Book, around: Surroundings, phase: Phase = "validate") -> list[Judged]:
    """Return what every rule of a phase that concerns the subject says of it, in order.

    Raises Lacking with the Needs of all rules together, so that they can be fetched at once.
    """
    found: list[Judged] = []
    needs: dict[Need, None] = {}
    for policy, rule in book.rules(subject.target, phase):
        if policy.background if subject.scan else policy.admission:
            try:
                found += run(subject, policy, rule, around)
            except Lacking as lacking:
                needs.update(dict.fromkeys(lacking.needs))
    if needs:
        raise Lacking(*needs)
    return found


def mutate(subject: Subject, book: Book, around: Surroundings) -> tuple[Subject, list[Judged]]:
    """Return the subject as the mutating rules leave it, and what they say.

    Rules run in order, each on what the ones before it made. Those that ask for it run again when a later one changed the
    object: once, or until nothing changes.
    """
    rules = [
        pair
        for pair in book.rules(subject.target, "mutate")
        if (pair[0].background if subject.scan else pair[0].admission)
    ]
    found: list[Judged] = []
    changed_at = -1
    for index, (policy, rule) in enumerate(rules):
        subject, said, changed = _mutate_once(subject, policy, rule, around)
        found += said
        if changed:
            changed_at = index
    for round_ in range(_STABLE_AFTER):
        again = [
            (index, pair)
            for index, pair in enumerate(rules)
            if (pair[0].again == "until-stable" or (pair[0].again == "if-needed" and round_ == 0))
            and (index < changed_at or (round_ > 0 and changed_at >= 0))
        ]
        changed_at = -1
        for index, (policy, rule) in again:
            subject, said, changed = _mutate_once(subject, policy, rule, around)
            if changed:
                changed_at = index
                found += said
        if changed_at < 0:
            break
    return subject, found


def _mutate_once(
    subject: Subject, policy: Policy, rule: Rule, around: Surroundings
) -> tuple[Subject, list[Judged], bool]:
    said = run(subject, policy, rule, around)
    changed = False
    for one in said:
        after = one.outcome.object
        if after is not None and after != subject.object:
            subject, changed = subject.become(after), True
    return subject, said, changed


def admit(subject: Subject, book: Book, around: Surroundings) -> Verdict:
    """Mutate, then validate, as for a request that is to be admitted at once. Raises Lacking."""
    subject, found = mutate(subject, book, around)
    verdict = Verdict(subject, found)
    if verdict.allowed:
        verdict.outcomes += judge(subject, book, around)
    conclude(verdict)
    return verdict


def conclude(verdict: Verdict) -> None:
    """Word the denial, if there is one: each dialect tells of all its denying outcomes, the dialects one after another."""
    denying = [one for one in verdict.outcomes if one.denies]
    if not denying:
        return
    verdict.message = "\n".join(_refusals(verdict.subject, denying))
    verdict.code = next((one.outcome.code for one in denying if one.outcome.code), 403)
    verdict.reason = next((one.outcome.reason for one in denying if one.outcome.reason), "")


def _refusals(subject: Subject, denying: Sequence[Judged]) -> Iterator[str]:
    voices = list(dict.fromkeys(one.policy.refusal for one in denying))
    for voice in voices:
        those = [one for one in denying if one.policy.refusal is voice]
        if voice is not None:
            yield voice(subject, those)
        else:
            yield "; ".join(f"{one.policy.name}: {one.outcome.message}" for one in those)
