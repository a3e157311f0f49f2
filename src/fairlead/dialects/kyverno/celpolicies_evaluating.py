"""What all policies of policies.kyverno.io share: their head, how they are evaluated, and how a subject is met.

Reads the common parts of a document once; meets a subject with constraints, exceptions and conditions, in Kyverno's order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from fairlead.dialects.kyverno.cellibraries import bindings_of
from fairlead.dialects.kyverno.celpolicies_exceptions import NOTHING, CelException, Spared, spare
from fairlead.judge.constraints import Constraints, strings
from fairlead.judge.expressions import CONDITIONS_BUDGET, Expressions, Purse, Unmet
from fairlead.judge.policies import Action, Outcome, Policy
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues.paths import mapping
from fairlead.words import Page, Resource

ACTIONS: Mapping[str, Action] = {"Deny": "deny", "Warn": "warn", "Audit": "audit"}

Make: TypeAlias = Callable[[Sequence[CelException]], Policy]


@dataclass(frozen=True, slots=True)
class CelPolicy:
    """One policy, read and compiled; `make` gives the engine's policy once the exceptions that name it are known."""

    source: Source
    kind: str
    name: str
    make: Make


@dataclass(frozen=True, slots=True)
class Head:
    """What a policy is called, where it holds, and when it is evaluated.

    `space` is the namespace of a namespaced policy, which is about nothing beyond it. `json` says that it is about any JSON document
    rather than Kubernetes objects. `actions` are what a failure leads to.
    """

    source: Source
    kind: str
    name: str
    space: str
    open: bool
    json: bool
    admission: bool
    background: bool
    existing: bool
    synchronize: bool
    orphan: bool
    timeout: float
    actions: frozenset[Action]
    annotations: Mapping[str, str]

    def error(self, message: str) -> Outcome:
        """Return the outcome of what cannot be evaluated."""
        warnings = (
            (f"Policy {self.name} error: {message}",) if "warn" in self.actions and not self.open else ()
        )
        return Outcome(result="error", message=message, actions=self.actions, warnings=warnings)

    def policy(self, rules: Sequence[Any], **rest: Any) -> Policy:
        """Return the engine's policy, with these rules."""
        notes = self.annotations
        return Policy(
            source=self.source.ref,
            name=self.name,
            dialect="kyverno",
            rules=tuple(rules),
            where=self.source.locate(""),
            open=self.open,
            admission=self.admission,
            background=self.background,
            timeout=self.timeout,
            title=notes.get("policies.kyverno.io/title", ""),
            category=notes.get("policies.kyverno.io/category", ""),
            severity=notes.get("policies.kyverno.io/severity", ""),
            scored=notes.get("policies.kyverno.io/scored", "true") != "false",
            **rest,
        )


def read_head(page: Page, spec: Page, source: Source) -> Head:
    """Read the parts that all kinds share; what a kind does not have is simply not there."""
    page.take("metadata")
    evaluation = spec.page("evaluation")
    mode = evaluation.take("mode", "Kubernetes")
    evaluation.take("skipBackgroundRequests")

    def enabled(key: str, default: bool) -> bool:
        return bool(evaluation.page(key).take("enabled", default))

    kind = source.ref.kind
    actions = strings(spec.take("validationActions")) or ["Deny"]
    timeout = spec.page("webhookConfiguration").take("timeoutSeconds", 10)
    notes = mapping(source.content, "metadata", "annotations")
    return Head(
        source=source,
        kind=kind,
        name=source.ref.name,
        space=(source.ref.namespace or "default") if kind.startswith("Namespaced") else "",
        open=spec.take("failurePolicy", "Fail") == "Ignore",
        json=mode == "JSON",
        admission=enabled("admission", default=True),
        background=enabled("background", default=True),
        existing=enabled("mutateExisting", default=False) or enabled("generateExisting", default=False),
        synchronize=enabled("synchronize", default=False),
        orphan=enabled("orphanDownstreamOnPolicyDelete", default=False),
        timeout=float(timeout) if isinstance(timeout, (int, float)) else 10.0,
        actions=frozenset(ACTIONS[one] for one in actions if one in ACTIONS),
        annotations={key: text for key, text in notes.items() if isinstance(text, str)},
    )


class Meeting(NamedTuple):
    """A subject that a policy is about: the names that its expressions see, and what exceptions allow."""

    subject: Subject
    bindings: dict[str, Any]
    purse: Purse

    def close(self) -> None:
        """Part the names from the variables, which hold each other: else both would wait for the collector."""
        self.bindings.pop("variables", None)


def meet(
    head: Head,
    constraints: Constraints,
    expressions: Expressions,
    exceptions: Sequence[CelException],
    subject: Subject,
    around: Surroundings,
    more: Mapping[str, Any] | None = None,
) -> Meeting | Outcome | None:
    """Return how a policy meets a subject: not at all; with an outcome already (spared, skipped, an error); or ready to evaluate."""
    if head.space and subject.namespace != head.space:
        return None
    try:
        seen = subject if head.json else constraints.match(subject, around)
    except LookupError as error:
        return head.error(f"failed to execute matching: {error.args[0]}")
    if seen is None:
        return None
    purse = Purse()
    bindings = bindings_of(seen, around, head.space)
    if more:
        bindings.update(more)
    spared: Spared = NOTHING
    try:
        if exceptions:
            spared = spare(exceptions, bindings, around.now)
            if spared.outcome is not None:
                return spared.outcome
            bindings["exceptions"] = spared.allowed
        bindings["variables"] = expressions.composed(bindings, purse)
        if expressions.conditions and expressions.unmatched(bindings, Purse(CONDITIONS_BUDGET)) is not None:
            return Outcome(result="skip", message="skip", actions=head.actions)
    except Unmet as error:
        if head.open:
            return Outcome(result="skip", message="skip", actions=head.actions)
        return head.error(f"failed to load context: {error}")
    return Meeting(seen, bindings, purse)


def constant(resource: Resource) -> Resource:
    """Return the object without what a server adds, as a source of something new."""
    meta = {
        key: value
        for key, value in (resource.get("metadata") or {}).items()
        if key
        not in {"resourceVersion", "uid", "creationTimestamp", "generation", "managedFields", "selfLink"}
    }
    return {**resource, "metadata": meta}
