"""Constraints: a template, bound to parameters, to what it is about and to what a violation leads to.

Each becomes a Policy. The path of a request through here is short on purpose: one review for all constraints, one compiled query
for all constraints of a template. Source: github.com/open-policy-agent/gatekeeper pkg/webhook, pkg/util (enforcement actions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fairlead.dialects.gatekeeper.celcode import CelCode
from fairlead.dialects.gatekeeper.expansions import Inexpansible
from fairlead.dialects.gatekeeper.inventories import Inventory
from fairlead.dialects.gatekeeper.matching import Match, Unmatchable, compile_match
from fairlead.dialects.gatekeeper.reviews import Desk, Reviewed, asked_of
from fairlead.dialects.gatekeeper.templates import Template
from fairlead.judge.policies import Action, Judged, Outcome, Policy, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import rego
from fairlead.words import Finding, Page, Resource

WEBHOOK: Final = "validation.gatekeeper.sh"
AUDIT: Final = "audit.gatekeeper.sh"
GATOR: Final = "gator.gatekeeper.sh"
SERVER: Final = "vap.k8s.io"
"""The points at which a constraint may be enforced."""

_ACTIONS: Final[Mapping[str, Action]] = {"deny": "deny", "warn": "warn", "dryrun": "audit"}
_NO_DATA: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """One constraint as it was read. `actions` are by enforcement point, with "*" for every other."""

    source: Source
    match: Match
    action: str
    actions: Mapping[str, tuple[str, ...]]

    @property
    def kind(self) -> str:
        """The kind, which a template creates."""
        return self.source.ref.kind

    @property
    def name(self) -> str:
        """The name."""
        return self.source.ref.name

    def at(self, point: str) -> tuple[str, ...]:
        """Return the enforcement actions at a point; none: it is not enforced there."""
        if self.action != "scoped":
            return (self.action,)
        return tuple(dict.fromkeys((*self.actions.get("*", ()), *self.actions.get(point, ()))))


def read(source: Source) -> tuple[list[Constraint], list[Finding]]:
    """Read a constraint of any kind."""
    page = source.page()
    page.take("metadata")
    spec = page.page("spec")
    spec.take("parameters")
    match, findings = compile_match(spec.page("match"), source)
    action = str(spec.take("enforcementAction", "deny") or "deny")
    actions = _scoped(spec, source, findings)
    if action not in {*_ACTIONS, "scoped"}:
        text = (
            f'could not find the provided enforcementAction value within the supported list ["deny" "dryrun" "scoped" '
            f'"warn"]: {action}'
        )
        findings.append(broken(source, ".spec.enforcementAction", text))
    if action == "scoped" and not actions:
        text = "scopedEnforcementActions is required when enforcementAction is scoped"
        findings.append(broken(source, ".spec.scopedEnforcementActions", text))
    more = unsupported(page, source)
    if findings:
        return [], findings + more
    return [Constraint(source, match, action, actions)], more


def _scoped(spec: Page, source: Source, findings: list[Finding]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in spec.pages("scopedEnforcementActions"):
        action = str(one.take("action", ""))
        if action not in _ACTIONS:
            path = f"{one.where.path}.action"
            findings.append(broken(source, path, f"unknown action in scopedEnforcementActions: {action}"))
        for point in one.pages("enforcementPoints"):
            name = str(point.take("name", ""))
            found[name] = (*found.get(name, ()), action)
    return found


class Bound:
    """A constraint bound to its template. Immutable."""

    def __init__(self, constraint: Constraint, template: Template, desk: Desk, inventory: Inventory) -> None:
        self.constraint = constraint
        self.template = template
        self.desk = desk
        self.inventory = inventory
        self.content: Resource = template.filled(constraint.source.content)
        spec = self.content.get("spec")
        parameters = spec.get("parameters") if isinstance(spec, dict) else None
        self.parameters: Any = {} if parameters is None else parameters
        self.code = template.code
        self.ask = template.code.bind(self.content) if isinstance(template.code, CelCode) else None
        self.looks_up = not isinstance(template.code, CelCode) and template.code.looks_up
        self.acts = {point: self._acts(point) for point in (WEBHOOK, AUDIT, GATOR)}

    def _acts(self, point: str) -> tuple[str, ...]:
        found = self.constraint.at(point)
        if point == WEBHOOK and isinstance(self.code, CelCode) and self.code.admits:
            # the API server would enforce these by a policy of its own; here there is but one place
            found = tuple(dict.fromkeys((*found, *self.constraint.at(SERVER))))
        return found

    def concerns(self, target: Target) -> bool:
        """Whether requests of this sort may be about the constraint."""
        if not asked_of(target.plural, target.subresource):
            return False
        wanted = self.template.operations
        if "*" not in wanted and target.operation not in (wanted or {"CREATE", "UPDATE"}):
            return False
        if self.constraint.match.kinds(target.group, target.kind):
            return True
        binding = (target.group, target.version, target.kind)
        made = self.desk.expansions.made_by(binding)
        return any(self.constraint.match.kinds(*one) for one in made)

    def run(self, subject: Subject, around: Surroundings) -> Sequence[Outcome] | Outcome | None:
        """Judge a subject and what it expands to."""
        acts = self.acts[AUDIT if subject.scan else WEBHOOK]
        if not acts:
            return None
        try:
            reviews = self.desk.reviewed(subject, around)
        except Inexpansible as error:
            return Outcome(result="error", message=f"unable to expand object: {error}")
        found: list[Outcome] = []
        met = False
        for one in reviews:
            said = self.review(one, around, acts)
            if said is not None:
                met = True
                found += said
        return found or (Outcome(result="pass") if met else None)

    def review(self, one: Reviewed, around: Surroundings, acts: tuple[str, ...]) -> list[Outcome] | None:
        """Return the violations of one object, or None when the constraint is not about it."""
        try:
            if not one.matches(self.constraint.match):
                return None
        except Unmatchable as error:
            return [self._outcome(one, acts, str(error), None, "error")]
        code = self.code
        if isinstance(code, CelCode):
            assert self.ask is not None
            return [
                self._outcome(one, acts, answer.message, None, "error" if answer.failed else "fail")
                for answer in self.ask(one.subject, around)
            ]
        data = {"inventory": self.inventory.of(around)} if self.looks_up else _NO_DATA
        input_ = {"review": one.review, "parameters": self.parameters}
        try:
            violations = code.evaluate(input_, data, around)
        except rego.Failed as error:
            return [self._outcome(one, acts, str(error), None, "error")]
        return [self._outcome(one, acts, each.message, each.details, "fail") for each in violations]

    def _outcome(
        self, one: Reviewed, acts: tuple[str, ...], message: str, details: Any, result: Any
    ) -> Outcome:
        if one.template:
            message = f"[Implied by {one.template}] {message}"
            if one.action:
                acts = (one.action,)
        properties: dict[str, Any] = {"enforcementAction": acts[0]}
        if details:
            properties["details"] = details
        warned = (f"[{self.constraint.name}] {message}",) if "warn" in acts else ()
        return Outcome(
            result=result,
            message=message,
            actions=frozenset(_ACTIONS[act] for act in acts),
            warnings=warned,
            properties=properties,
            reason="Forbidden",
            code=403,
        )


def refusal(_subject: Subject, denying: Sequence[Judged]) -> str:
    """Word the denial as Gatekeeper's webhook does, through the API server."""
    messages = sorted((one.outcome.message, one.policy.name) for one in denying)
    text = "\n".join(f"[{name}] {message}" for message, name in messages)
    return f'admission webhook "{WEBHOOK}" denied the request: {text}'


def policy_of(bound: Bound) -> Policy:
    """Return the policy of a constraint."""
    constraint = bound.constraint
    ref = constraint.source.ref
    meta = constraint.source.content.get("metadata") or {}
    return Policy(
        source=ref,
        name=constraint.name,
        dialect="gatekeeper",
        where=constraint.source.locate(""),
        rules=(Rule(name=constraint.kind, phase="validate", concerns=bound.concerns, run=bound.run),),
        refusal=refusal,
        title=bound.template.title,
        category="Gatekeeper",
        labels=dict(meta.get("labels") or {}),
    )
