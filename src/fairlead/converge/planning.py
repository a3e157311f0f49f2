"""What is to be done to make what is wanted of what is there: an ordered Plan of Steps, each with its reason.

Made in two looks: the first decides what it can from objects and records alone and says of what the server must be asked (a dry run); the second takes
the server's answers. Must never plan a write that was refused, and never a deletion of what is not the instance's own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from fairlead.converge import owning
from fairlead.converge.differing import Difference, differences, same
from fairlead.converge.inventory import Entry, Inventory
from fairlead.converge.ordering import DEFINITION, NAMESPACE, removal_waves
from fairlead.converge.owning import Conflict
from fairlead.converge.stages import Instance, Stage, Wishes, wishes
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Ref, Resource

Action: TypeAlias = Literal[
    "create",
    "configure",
    "unchanged",
    "recreate",
    "take over",
    "skip",
    "conflict",
    "refused",
    "ask",
    "prune",
    "keep",
]
"""`ask`: only a dry run can tell. `keep`: no longer wanted, but not to be deleted either."""

WRITES: Final[frozenset[Action]] = frozenset({"create", "configure", "recreate", "take over"})
BLOCKS: Final[frozenset[Action]] = frozenset({"conflict", "refused"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What whoever applies allows: to recreate what is immutable, to take fields or objects from others, to delete."""

    recreate: bool = False
    force_conflicts: bool = False
    take_over: bool = False
    prune: bool = True
    delete_definitions: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to a dry run: the object as it would be, or why not, in the fields of its Status."""

    object: Resource | None = None
    code: int = 0
    reason: str = ""
    message: str = ""
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One object and what is to be done about it. `rehearsed` is whether the server has agreed in a dry run.

    `force` says that fields are taken from their managers; `live` is the object as it is.
    """

    action: Action
    ref: Ref
    api_version: str
    stage: str = ""
    body: Resource | None = field(default=None, repr=False)
    live: Resource | None = field(default=None, repr=False)
    why: str = ""
    differences: tuple[Difference, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    force: bool = False
    rehearsed: bool = False

    @property
    def writes(self) -> bool:
        """Whether something is written."""
        return self.action in WRITES

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, without the objects themselves."""
        document: dict[str, Any] = {
            "action": self.action,
            "apiVersion": self.api_version,
            "kind": self.ref.kind,
            "name": self.ref.name,
        }
        if self.ref.namespace:
            document["namespace"] = self.ref.namespace
        if self.stage:
            document["stage"] = self.stage
        if self.why:
            document["why"] = self.why
        if self.differences:
            document["differences"] = [one.as_json() for one in self.differences]
        if self.conflicts:
            document["conflicts"] = [{"manager": one.manager, "field": one.field} for one in self.conflicts]
        return document


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps stage by stage in the order of writing, and what is to be deleted at the end, in groups."""

    steps: tuple[Step, ...] = ()
    prunes: tuple[Step, ...] = ()

    @property
    def blocked(self) -> tuple[Step, ...]:
        """The steps for which nothing at all may be written."""
        return tuple(one for one in self.steps if one.action in BLOCKS)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to write and nothing to delete."""
        return not any(one.writes for one in self.steps) and not self.removals

    @property
    def removals(self) -> tuple[Step, ...]:
        """What is to be deleted."""
        return tuple(one for one in self.prunes if one.action == "prune")

    def of(self, stage: str) -> tuple[Step, ...]:
        """Return the steps of a stage."""
        return tuple(one for one in self.steps if one.stage == stage)

    def counts(self) -> dict[str, int]:
        """Return how many steps of each action there are."""
        return dict(Counter(one.action for one in (*self.steps, *self.prunes)))

    def summary(self) -> str:
        """Return the counts in words: `2 created, 1 configured, 5 unchanged`."""
        counts = self.counts()
        told = [f"{counts[action]} {word}" for action, word in DONE.items() if counts.get(action)]
        return ", ".join(told) or "nothing"


DONE: Final[Mapping[Action, str]] = {
    "create": "created",
    "configure": "configured",
    "recreate": "recreated",
    "take over": "taken over",
    "unchanged": "unchanged",
    "skip": "skipped",
    "prune": "pruned",
    "keep": "kept",
    "conflict": "in conflict",
    "refused": "refused",
}


# The first look


def first_look(
    stage: Stage,
    live: Mapping[Ref, Resource],
    instance: Instance,
    policy: Policy,
    proofs: Mapping[str, str],
) -> list[Step]:
    """Return a step for each object of the stage, by what can be told without asking the server.

    `live` has the objects that are there, `proofs` what the record says of how they were left.
    """
    return [_first(one, stage.name, live.get(Ref.of(one)), instance, policy, proofs) for one in stage.objects]


def _first(
    body: Resource,
    stage: str,
    live: Resource | None,
    instance: Instance,
    policy: Policy,
    proofs: Mapping[str, str],
) -> Step:
    entry = Entry.of(body)
    asked = wishes(body, live)
    step = Step(action="ask", ref=entry.ref, api_version=entry.api_version, stage=stage, body=body, live=live)
    if asked.ignore:
        return replace(step, action="skip", why="its annotations say that it is not to be reconciled")
    if live is None:
        return replace(step, action="create")
    if asked.once:
        return replace(step, action="skip", why="it is there, and is to be made only where it is not")
    other = owning.owner(live, instance)
    if other is not None and not policy.take_over:
        return replace(
            step, action="conflict", why=f"it belongs to {other}; --take-over makes it this instance's"
        )
    if other is not None or (policy.take_over and owning.applied_by_hand(live)):
        who = str(other) if other is not None else "kubectl apply"
        return replace(step, action="take over", force=True, why=f"from {who}")
    if owning.proven(proofs, entry.id, body, live, instance.manager):
        return replace(step, action="unchanged", rehearsed=True)
    return replace(step, force=policy.force_conflicts)


# The second look


_IMMUTABLE: Final = re.compile(
    r"immutable|updates to \w+ spec for fields other than|cannot change roleRef|may not change once set|"
    r"updates to parameters are forbidden|is forbidden after creation|field can not be modified|may not be changed",
    re.IGNORECASE,
)


def is_immutable(answer: Answer) -> bool:
    """Say whether an object was refused only because it cannot be changed in place."""
    if answer.code not in {400, 403, 409, 422}:
        return False
    causes = [text(cause, "message") for _, cause in mappings(dict(answer.details or {}), "causes")]
    told = causes if answer.code == 422 and causes else [answer.message]
    return bool(told) and all(_IMMUTABLE.search(one) for one in told)


def second_look(step: Step, answer: Answer, policy: Policy, coming: Coming) -> Step:
    """Return the step as it stands after the server was asked.

    `coming` says what the plan itself makes, so that what lacks only that is no refusal: it is asked again when that is there.
    """
    if answer.object is not None:
        return _agreed(step, answer.object)
    found = owning.conflicts(answer.details) if answer.code == 409 else ()
    if found:
        names = ", ".join(dict.fromkeys(one.manager for one in found))
        return replace(
            step,
            action="conflict",
            conflicts=found,
            why=f"fields belong to {names}; --force-conflicts takes them",
        )
    if answer.code == 404 and coming.explains(step):
        return replace(step, action="create", rehearsed=False, why="")
    if step.live is not None and is_immutable(answer):
        if policy.recreate or wishes(step.body, step.live).force:
            return replace(step, action="recreate", why=answer.message, rehearsed=True)
        return replace(step, action="refused", why=f"{answer.message}; --force deletes it and makes it anew")
    return replace(step, action="refused", why=answer.message or f"the server answers {answer.code}")


def contested(step: Step, answer: Answer) -> Step:
    """Return a step in conflict with what it would change if the fields were taken, as a dry run that takes them tells."""
    if answer.object is None or step.live is None:
        return step
    return replace(step, differences=tuple(differences(step.live, answer.object)))


def _agreed(step: Step, merged: Resource) -> Step:
    if step.live is None:
        return replace(step, action="create", rehearsed=True)
    if text(step.live, "metadata", "deletionTimestamp"):
        return replace(step, action="recreate", rehearsed=True, why="the one that is there is being deleted")
    if step.action == "take over":
        return replace(step, rehearsed=True, differences=tuple(differences(step.live, merged)))
    if same(step.live, merged) and _owned(merged, step.live):
        return replace(step, action="unchanged", rehearsed=True)
    return replace(
        step, action="configure", rehearsed=True, differences=tuple(differences(step.live, merged))
    )


def _owned(merged: Resource, live: Resource) -> bool:
    """Whether the dry run would leave every manager with the fields that it has: else somebody must write to own them."""

    def fields(one: Resource) -> dict[tuple[str, str, str], Any]:
        return {
            (text(entry, "manager"), text(entry, "operation"), text(entry, "subresource")): entry.get(
                "fieldsV1"
            )
            for _, entry in mappings(one, "metadata", "managedFields")
        }

    after, before = fields(merged), fields(live)
    return not after or after == before


@dataclass(frozen=True, slots=True)
class Coming:
    """What a plan makes that others of its objects need: namespaces by name, and kinds by (group, kind)."""

    namespaces: frozenset[str] = frozenset()
    kinds: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, objects: Iterable[Resource], namespaces: Iterable[str] = ()) -> Coming:
        """Return what the objects bring, besides the namespaces that are made for them."""
        spaces, kinds = set(namespaces), set[tuple[str, str]]()
        for one in objects:
            ref = Ref.of(one)
            if (ref.group, ref.kind) == NAMESPACE:
                spaces.add(ref.name)
            elif (ref.group, ref.kind) == DEFINITION:
                spec = mapping(one, "spec")
                kinds.add((text(spec, "group"), text(spec, "names", "kind")))
        return cls(frozenset(spaces), frozenset(kinds))

    def explains(self, step: Step) -> bool:
        """Say whether what the server does not find for a step is yet to be made."""
        return step.ref.namespace in self.namespaces or (step.ref.group, step.ref.kind) in self.kinds


# What is no longer wanted


def removals(
    known: Inventory,
    wanted: Inventory,
    live: Mapping[Ref, Resource],
    instance: Instance,
    policy: Policy,
) -> tuple[Step, ...]:
    """Return what to do about each object of the record that is no longer wanted and still there, the last written first."""
    left = {one.ref: one for one in known - wanted if one.ref in live}
    return tuple(
        _removal(left[ref], live[ref], instance, policy) for wave in removal_waves(left) for ref in wave
    )


def _removal(entry: Entry, live: Resource, instance: Instance, policy: Policy) -> Step:
    asked: Wishes = wishes(live)
    step = Step(action="keep", ref=entry.ref, api_version=entry.api_version, live=live)
    if not instance.owns(live):
        return replace(step, why="it is not this instance's any more")
    if not asked.prune:
        return replace(step, why="its annotations say that it is not to be pruned")
    if not policy.prune:
        return replace(step, why="pruning is off")
    if (entry.ref.group, entry.ref.kind) == DEFINITION and not policy.delete_definitions:
        return replace(
            step, why="deleting a definition deletes every object of its kind; --delete-crds does that"
        )
    return replace(step, action="prune")


def drift(plan: Plan) -> Sequence[Step]:
    """Return the steps of a plan that show where a cluster is no longer as it was left."""
    return [one for one in plan.steps if one.action not in {"unchanged", "skip"}] + list(plan.removals)
