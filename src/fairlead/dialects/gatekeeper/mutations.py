"""All mutators together: which contradict each other, and what comes of an object when the rest run until nothing changes.

Source: github.com/open-policy-agent/gatekeeper pkg/mutation (system, schema), error texts included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fairlead.dialects.gatekeeper.changing import Unfit, same
from fairlead.dialects.gatekeeper.locations import Field, Item, Step
from fairlead.dialects.gatekeeper.matching import Origin, Unmatchable, meta_of
from fairlead.dialects.gatekeeper.mutators import Binding, Mutator, ordered
from fairlead.judge.policies import Outcome, Policy, Rule
from fairlead.judge.reading import broken
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.words import Finding, Ref, Resource

WEBHOOK = "mutation.gatekeeper.sh"
"""The name of Gatekeeper's mutating webhook, and of the policy that stands for all mutators."""


class Unsettled(Exception):
    """The mutators do not come to an end, or one of them cannot be applied."""


def _key(step: Step) -> str:
    return step.name if isinstance(step, Field) else step.key


class _Node:
    """A place in the schema that mutators imply together: whose it is, and its children by key and type."""

    __slots__ = ("children", "owners")

    def __init__(self) -> None:
        self.owners: set[int] = set()
        self.children: dict[str, dict[str, _Node]] = {}

    def add(self, owner: int, steps: Sequence[Step], terminal: str) -> None:
        self.owners.add(owner)
        if not steps:
            return
        sort = ("list" if isinstance(steps[1], Item) else "object") if len(steps) > 1 else terminal
        child = self.children.setdefault(_key(steps[0]), {}).setdefault(sort, _Node())
        child.add(owner, steps[1:], terminal)

    def conflicts(self) -> set[int]:
        """Return the owners of places that are taken for two things at once."""
        found: set[int] = set()
        for sorts in self.children.values():
            known = {sort: child for sort, child in sorts.items() if sort != "unknown"}
            for sort, child in known.items():
                if len(known) > 1 or (sort == "list" and len(child.children) > 1):
                    found |= child.owners
            for child in sorts.values():
                found |= child.conflicts()
        return found


def conflicting(mutators: Sequence[Mutator]) -> frozenset[int]:
    """Return the indices of the mutators whose locations contradict each other; none of them is applied."""
    schemas: dict[Binding, _Node] = {}
    for index, mutator in enumerate(mutators):
        for binding in mutator.bindings or ():
            schemas.setdefault(binding, _Node()).add(index, mutator.location, mutator.terminal)
    return frozenset(index for root in schemas.values() for index in root.conflicts())


class Mutations:
    """All mutators that can be applied, in order. Immutable; one instance serves all objects."""

    def __init__(self, mutators: Iterable[Mutator]) -> None:
        every = ordered(list(mutators))
        bad = conflicting(every)
        self.findings: list[Finding] = []
        if bad:
            told = ",".join(f'"{every[index]}"' for index in sorted(bad))
            self.findings = [
                broken(
                    every[index].source,
                    ".spec.location",
                    f"the following mutators have conflicting schemas: [{told}]",
                )
                for index in sorted(bad)
            ]
        self.mutators = tuple(one for index, one in enumerate(every) if index not in bad)
        self._found: dict[tuple[Binding, str | None], tuple[Mutator, ...]] = {}

    def concerning(self, binding: Binding, operation: str | None) -> tuple[Mutator, ...]:
        """Return the mutators that may be for a kind."""
        key = (binding, operation)
        found = self._found.get(key)
        if found is None:
            found = tuple(one for one in self.mutators if one.concerns(binding, operation))
            self._found[key] = found
        return found

    def mutate(
        self, object_: Resource, space: Resource | None, origin: Origin, operation: str | None = None
    ) -> tuple[Resource, tuple[Mutator, ...]]:
        """Return the object as the mutators leave it, and which changed it.

        Raises Unsettled. The object itself is not changed, and comes back as it is when nothing changes.
        """
        version = str(object_.get("apiVersion") or "")
        group, _, version = version.rpartition("/")
        binding = (group, version, str(object_.get("kind") or ""))
        mutators = self.concerning(binding, operation)
        applied: dict[Mutator, None] = {}
        current = object_
        for round_ in range(len(self.mutators) + 1):
            before = current
            for mutator in mutators:
                try:
                    if mutator.applies(current, space, origin):
                        after = mutator.change(current).apply(current)
                        if after is not current:
                            applied[mutator] = None
                            current = after
                except Unmatchable:
                    continue
                except Unfit as error:
                    raise Unsettled(
                        f"mutation for mutator {mutator} failed for {_told(binding, current)}: {error}"
                    ) from None
            if current is before:
                return current, tuple(applied)
            if same(before, current):
                if round_ > 0 and same(object_, current):
                    raise Unsettled(f"oscillating mutation for {_told(binding, current)}")
                return (object_, ()) if round_ == 0 else (current, tuple(applied))
        raise Unsettled(f"mutation not converging for {_told(binding, current)}")


def _told(binding: Binding, object_: Resource) -> str:
    meta = meta_of(object_)
    return f"{binding[0]} {binding[2]} {meta.get('namespace') or ''} {meta.get('name') or ''}"


def policy_of(
    mutations: Mutations,
    excluded: Callable[[Subject, Surroundings], bool],
    space_of: Callable[[Subject, Surroundings], Resource | None],
) -> Policy:
    """Return the policy that applies all mutators to a request. An error lets the request pass, as Gatekeeper's webhook does."""

    def concerns(target: Target) -> bool:
        if target.subresource or target.operation not in {"CREATE", "UPDATE"}:
            return False
        binding = (target.group, target.version, target.kind)
        return bool(mutations.concerning(binding, target.operation))

    def run(subject: Subject, around: Surroundings) -> Outcome | None:
        object_ = subject.object
        if object_ is None or excluded(subject, around):
            return None
        try:
            after, applied = mutations.mutate(
                object_, space_of(subject, around), "Original", subject.target.operation
            )
        except Unsettled as error:
            return Outcome(result="error", message=str(error))
        if after is object_:
            return None
        names = [f"{one.ref.kind}/{one.ref.name}" for one in applied]
        properties: dict[str, Any] = {"mutators": names}
        return Outcome(
            result="pass", message=f"mutated by {', '.join(names)}", object=after, properties=properties
        )

    return Policy(
        source=Ref("mutations.gatekeeper.sh", "", "", WEBHOOK),
        name=WEBHOOK,
        dialect="gatekeeper",
        rules=(Rule(name="mutators", phase="mutate", concerns=concerns, run=run),),
        open=True,
        background=False,
    )
