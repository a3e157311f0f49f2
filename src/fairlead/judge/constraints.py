"""Match constraints in Kubernetes' form: resource rules, exclusions and selectors, as admission policies and their kin state them.

Compiled once; says which sorts of requests may be meant, and whether one request is. Never looks at what a policy then
does. Source: k8s.io/apiserver pkg/admission/plugin/policy/matching, plugin/webhook/predicates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fairlead.judge.reading import Source, broken
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import selectors
from fairlead.words import Finding, Page, Resource

_NAMESPACES = ("", "namespaces")


@dataclass(frozen=True, slots=True)
class ResourceRule:
    """One rule: what it is about, in Kubernetes' words; `*` stands for all. No names: any name."""

    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    operations: frozenset[str]
    names: frozenset[str] = frozenset()
    scope: str = "*"

    def fits(self, target: Target, *, any_version: bool = False) -> bool:
        """Whether the sort of request is meant, its name and scope apart."""
        return (
            ("*" in self.groups or target.group in self.groups)
            and (any_version or "*" in self.versions or target.version in self.versions)
            and ("*" in self.operations or target.operation in self.operations)
            and any(
                resource in ("*", target.plural) and part in ("*", target.subresource)
                for resource, part in self.resources
            )
        )

    def meets(self, subject: Subject) -> bool:
        """Whether a request of a sort that fits is meant by its name and scope."""
        if self.names and subject.name not in self.names:
            return False
        if self.scope == "*":
            return True
        target = subject.target
        cluster = not subject.namespace or (target.group, target.plural) == _NAMESPACES
        return cluster == (self.scope == "Cluster")

    @property
    def absolute(self) -> bool:
        """Whether all requests of a sort that fits are meant."""
        return not self.names and self.scope == "*"


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which rules fit one sort of request, as it is and in another version; `always`: every such request is meant."""

    rules: tuple[ResourceRule, ...]
    other: tuple[ResourceRule, ...]
    excluded: tuple[ResourceRule, ...]
    excluded_other: tuple[ResourceRule, ...]
    always: bool


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a policy, or a binding, is about. Without rules: everything that the selectors let through."""

    rules: tuple[ResourceRule, ...] = ()
    excluded: tuple[ResourceRule, ...] = ()
    spaces: selectors.Expr = selectors.EVERYTHING
    objects: selectors.Expr = selectors.EVERYTHING
    exact: bool = False
    _plans: dict[Target, _Plan] = field(default_factory=dict, init=False, compare=False, repr=False)

    def concerns(self, target: Target) -> bool:
        """Whether a request of this sort may be meant."""
        if any(rule.absolute and rule.fits(target) for rule in self.excluded):
            return False
        return not self.rules or any(rule.fits(target, any_version=not self.exact) for rule in self.rules)

    def match(self, subject: Subject, around: Surroundings) -> Subject | None:
        """Return the subject as the policy is to see it, or None if it is not meant.

        It is another one only where the policy names another version of the kind (matchPolicy Equivalent). Raises LookupError
        when the labels of its namespace are needed and not known.
        """
        plan = self._plans.get(subject.target)
        if plan is None:
            plan = self._plans[subject.target] = self._plan(subject.target)
        if plan.always:
            return subject
        if not self._object_selected(subject):
            return None
        if self.excluded and self._ruled(plan.excluded, plan.excluded_other, subject, around) is not None:
            return None
        found = self._ruled(plan.rules, plan.other, subject, around) if self.rules else subject
        if found is None or not self._space_selected(subject, around):
            return None
        return found

    def _plan(self, target: Target) -> _Plan:
        """Sort out once which rules fit a sort of request, and which would in another version."""
        rules = tuple(rule for rule in self.rules if rule.fits(target))
        excluded = tuple(rule for rule in self.excluded if rule.fits(target))
        other, excluded_other = (
            tuple(rule for rule in of if not self.exact and rule.fits(target, any_version=True))
            for of in (self.rules, self.excluded)
        )
        always = (
            (not self.rules or any(rule.absolute for rule in rules))
            and not (excluded or excluded_other)
            and self.spaces.empty
            and self.objects.empty
        )
        return _Plan(rules, other, excluded, excluded_other, always)

    @staticmethod
    def _ruled(
        rules: Sequence[ResourceRule], other: Sequence[ResourceRule], subject: Subject, around: Surroundings
    ) -> Subject | None:
        for rule in rules:
            if rule.meets(subject):
                return subject
        target = subject.target
        for rule in other:
            if rule.meets(subject):
                served = around.kinds.version(target.group, target.kind)
                if served and served != target.version and served in rule.versions and _custom(target.group):
                    return _as_version(subject, served)
        return None

    def _object_selected(self, subject: Subject) -> bool:
        if self.objects.empty:
            return True
        return any(
            one is not None and self.objects.matches(labels_of(one)) for one in (subject.object, subject.old)
        )

    def _space_selected(self, subject: Subject, around: Surroundings) -> bool:
        if self.spaces.empty:
            return True
        target = subject.target
        itself = (target.group, target.plural) == _NAMESPACES
        if not subject.namespace and not itself:
            return True
        if itself and not target.subresource and target.operation in ("CREATE", "UPDATE"):
            return self.spaces.matches(labels_of(subject.present))
        space = subject.space
        if space is None:
            space = around.view.get("", "Namespace", "", subject.namespace)
        if space is None:
            raise LookupError(f'namespaces "{subject.namespace}" not found')
        return self.spaces.matches(labels_of(space))


def labels_of(resource: Resource) -> Mapping[str, str]:
    """Return an object's labels."""
    meta = resource.get("metadata")
    found = meta.get("labels") if isinstance(meta, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def read_constraints(page: Page, source: Source, *, exact: bool = False) -> tuple[Constraints, list[Finding]]:
    """Read a MatchResources. `exact`: only the versions that are named are meant, unless the document says otherwise."""
    findings: list[Finding] = []

    made = Constraints(
        tuple(resource_rule(one) for one in page.pages("resourceRules")),
        tuple(resource_rule(one) for one in page.pages("excludeResourceRules")),
        read_selector(page, "namespaceSelector", source, findings),
        read_selector(page, "objectSelector", source, findings),
        page.take("matchPolicy", "Exact" if exact else "Equivalent") == "Exact",
    )
    return made, findings


def read_selector(page: Page, key: str, source: Source, findings: list[Finding]) -> selectors.Expr:
    """Read a label selector; an absent one selects everything, a broken one nothing, and adds to the findings."""
    value = page.take(key)
    if not isinstance(value, Mapping):
        return selectors.EVERYTHING
    try:
        return selectors.from_object(value)
    except (ValueError, AttributeError, TypeError) as error:
        findings.append(broken(source, f"{page.where.path}.{key}", f"{page.where.path}.{key}: {error}"))
        return selectors.NOTHING


def resource_rule(page: Page) -> ResourceRule:
    """Read one rule: apiGroups, apiVersions, resources, operations, resourceNames, scope."""
    return ResourceRule(
        frozenset(strings(page.take("apiGroups"))),
        frozenset(strings(page.take("apiVersions"))),
        tuple(
            (name, part)
            for name, _, part in (text.partition("/") for text in strings(page.take("resources")))
        ),
        frozenset(strings(page.take("operations"))),
        frozenset(strings(page.take("resourceNames"))),
        str(page.take("scope", "*")),
    )


def strings(value: Any) -> list[str]:
    """Return the texts of a list; nothing for what is none."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _custom(group: str) -> bool:
    """Whether kinds of the group come from definitions, which convert by changing the apiVersion alone."""
    return "." in group and not group.endswith(".k8s.io")


def _as_version(subject: Subject, version: str) -> Subject:
    target = subject.target._replace(version=version)
    api_version = f"{target.group}/{version}"

    def converted(resource: Resource | None) -> Resource | None:
        return None if resource is None else {**resource, "apiVersion": api_version}

    return replace(subject, target=target, object=converted(subject.object), old=converted(subject.old))
