"""What a policy is to the engine, whatever language it came in.

A dialect compiles a document to a Policy: rules that are plain functions. The engine knows which rules may concern a request,
in which order they run, and what to do with their outcomes; what a rule means is in its function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues.paths import Path
from fairlead.words import Change, Finding, Ref, Resource, Where

NOWHERE = Where()

Result: TypeAlias = Literal["pass", "fail", "warn", "error", "skip"]
"""The PolicyReport's five words. `skip`: the rule concerns the subject, but its preconditions, or an exception, spare it."""

Phase: TypeAlias = Literal["mutate", "validate", "generate", "cleanup"]

Action: TypeAlias = Literal["deny", "warn", "audit"]

Again: TypeAlias = Literal["never", "if-needed", "until-stable"]
"""Whether a mutating rule runs again after later ones changed the object: not; once; or until nothing changes (at most 10 times)."""


# Not frozen, though nobody may change one: a frozen dataclass takes three times as long to make, and every rule makes one.
@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one rule says of one subject. Never changed once made.

    `actions` say what a fail asks for (a fail with `deny` refuses the request). `paths` are the places in the object, each as
    `.spec.containers[0].image`, and `wanted` says in words what would pass there; `remedies` are values that, put at those
    places, would make it pass, where that is known for sure. `object` is a mutation's result. `changes` are
    what generate, cleanup and mutate-existing rules propose. `audit` are audit annotations. `properties` go into reports. `find`
    tells `paths` and `wanted` later, where finding them costs and few ask: ask `told`.
    """

    result: Result
    message: str = ""
    actions: frozenset[Action] = frozenset({"deny"})
    paths: tuple[str, ...] = ()
    wanted: str = ""
    remedies: tuple[tuple[Path, Any], ...] = ()
    object: Resource | None = None
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    audit: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    code: int = 0
    find: Callable[[], tuple[tuple[str, ...], str]] | None = field(default=None, compare=False, repr=False)

    def told(self) -> tuple[tuple[str, ...], str]:
        """Return `paths` and `wanted`, found now if they were not yet."""
        return (self.paths, self.wanted) if self.find is None else self.find()


Run: TypeAlias = Callable[[Subject, Surroundings], "Outcome | Sequence[Outcome] | None"]
"""Judge one subject. None: the rule does not concern it. May raise Lacking; any other exception becomes an `error` outcome."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """One rule. `concerns` is asked once for each sort of request and its answer kept: it must depend on the Target alone."""

    name: str
    phase: Phase
    concerns: Callable[[Target], bool]
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """One policy with its rules, in their order.

    `source` is the object that it came from and `name` how its own tools call it. `rank` orders mutating policies; equal ranks go by
    name. `open` is failurePolicy Ignore: an error lets the request pass. `admission` and `background` say where it is used.
    `refusal` words the denial of a request by this policy in the words of the
    format (it gets the subject and all denying outcomes of the policies that share this very function, so that
    they can be told in one text). `timeout` is in seconds.
    """

    source: Ref
    name: str
    dialect: str
    rules: tuple[Rule, ...]
    where: Where = NOWHERE
    rank: int = 0
    again: Again = "never"
    open: bool = False
    admission: bool = True
    background: bool = True
    refusal: Callable[[Subject, Sequence[Judged]], str] | None = None
    timeout: float = 10.0
    title: str = ""
    category: str = ""
    severity: str = ""
    scored: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)


class Judged(NamedTuple):
    """An outcome and whose it is."""

    policy: Policy
    rule: Rule
    outcome: Outcome

    @property
    def denies(self) -> bool:
        """Whether it refuses the request: a fail that asks for it, or an error of a policy that fails closed."""
        if self.outcome.result == "error":
            return not self.policy.open and "deny" in self.outcome.actions
        return self.outcome.result == "fail" and "deny" in self.outcome.actions


@dataclass(frozen=True, slots=True)
class Assembled:
    """What a dialect makes of all documents it read: policies, and what is wrong with, or unsupported in, the documents.

    `wanted` are kinds whose objects the policies look at in the view (an inventory, parameters), so that the reactor keeps them
    at hand: (group, kind), with ("*", "*") for everything.
    """

    policies: tuple[Policy, ...] = ()
    findings: tuple[Finding, ...] = ()
    wanted: frozenset[tuple[str, str]] = frozenset()


class Book:
    """Policies, indexed by what they may concern. Immutable once made; making one is cheap, rules are compiled already."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self.policies: tuple[Policy, ...] = tuple(
            sorted(policies, key=lambda one: (one.rank, one.dialect, one.name))
        )
        self._found: dict[tuple[Target, Phase], tuple[tuple[Policy, Rule], ...]] = {}

    def rules(self, target: Target, phase: Phase) -> tuple[tuple[Policy, Rule], ...]:
        """Return the rules of a phase that may concern a sort of request, in their order."""
        key = (target, phase)
        found = self._found.get(key)
        if found is None:
            found = tuple(
                (policy, rule)
                for policy in self.policies
                for rule in policy.rules
                if rule.phase == phase and rule.concerns(target)
            )
            self._found[key] = found
        return found
