"""ExpansionTemplate: what an object will create, so that constraints judge it already when its creator is asked for.

Source: github.com/open-policy-agent/gatekeeper pkg/expansion, error texts included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from fairlead.dialects.gatekeeper.matching import meta_of
from fairlead.dialects.gatekeeper.mutations import Mutations, Unsettled
from fairlead.dialects.gatekeeper.mutators import Binding
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.words import Finding, Resource

DEEPEST: Final = 30
"""How often what was expanded may be expanded again."""

ACTIONS: Final = frozenset({"deny", "warn", "dryrun"})


class Inexpansible(Exception):
    """An object is not shaped as an ExpansionTemplate says."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """One ExpansionTemplate. `action` overrides the constraints' enforcementAction, unless it is ""."""

    source: Source
    name: str
    applies: frozenset[Binding]
    path: tuple[str, ...]
    makes: Binding
    action: str

    def expand(self, parent: Resource, namespace: str) -> Resource:
        """Return what the parent creates, under a name made of the parent's. Raises Inexpansible."""
        found: Any = parent
        for step in self.path:
            found = found.get(step) if isinstance(found, dict) else None
        parent_name = str(meta_of(parent).get("name") or "")
        if not isinstance(found, dict):
            raise Inexpansible(
                f'could not find source field "{".".join(self.path)}" in resource {parent_name}'
            )
        group, version, kind = self.makes
        meta: dict[str, Any] = {**meta_of(found), "name": f"{parent_name}-{kind}".lower()}
        namespace = namespace or str(meta_of(parent).get("namespace") or "")
        if namespace:
            meta["namespace"] = namespace
        owner = {"apiVersion": parent.get("apiVersion"), "kind": parent.get("kind"), "name": parent_name}
        owners = list(meta.get("ownerReferences") or ())
        if all(owner.values()) and not any(owner.items() <= one.items() for one in owners):
            meta["ownerReferences"] = [*owners, owner]
        api_version = f"{group}/{version}" if group else version
        return {**found, "apiVersion": api_version, "kind": kind, "metadata": meta}


class Expanded(NamedTuple):
    """What was expanded, and by what: the names of the templates are told before messages."""

    object: Resource
    template: str
    action: str


def read(source: Source) -> tuple[list[Expansion], list[Finding]]:
    """Read an ExpansionTemplate."""
    page = source.page()
    page.take("metadata")
    spec = page.page("spec")
    name = source.ref.name
    applies = frozenset(
        (group, version, kind)
        for one in spec.pages("applyTo")
        for group in one.texts("groups")
        for version in one.texts("versions")
        for kind in one.texts("kinds")
    )
    path = spec.take("templateSource", "")
    made = spec.page("generatedGVK")
    makes = (str(made.take("group", "")), str(made.take("version", "")), str(made.take("kind", "")))
    action = str(spec.take("enforcementAction", ""))
    fault = ""
    where = ".spec"
    if not name:
        fault, where = "ExpansionTemplate has empty name field", ".metadata.name"
    elif len(name) >= 64:
        fault, where = "ExpansionTemplate name must be less than 64 characters", ".metadata.name"
    elif not isinstance(path, str) or not path:
        fault = f"ExpansionTemplate {name} has empty source field"
    elif not any(makes):
        fault = f"ExpansionTemplate {name} has empty generatedGVK field"
    elif not applies:
        fault = f"ExpansionTemplate {name} must specify ApplyTo"
    elif makes in applies:
        told = f"{makes[0]}/{makes[1]}, Kind={makes[2]}"
        fault = f"ExpansionTemplate {name} generates GVK {told}, but also applies to that same GVK"
    elif action and action not in ACTIONS:
        fault, where = (
            f"ExpansionTemplate {name} has an unknown enforcementAction {action}",
            ".spec.enforcementAction",
        )
    findings = unsupported(page, source)
    if fault:
        return [], [broken(source, where, fault), *findings]
    return [Expansion(source, name, applies, tuple(path.split(".")), makes, action)], findings


def _circles(expansions: list[Expansion]) -> set[str]:
    """Return the names of templates that expand, by way of others, what they make."""
    bad: set[str] = set()
    for one in expansions:
        seen: set[Binding] = set()
        ahead = [one.makes]
        while ahead:
            binding = ahead.pop()
            if binding in one.applies:
                bad.add(one.name)
                break
            if binding not in seen:
                seen.add(binding)
                ahead += [other.makes for other in expansions if binding in other.applies]
    return bad


class Expansions:
    """All ExpansionTemplates. Immutable; one instance serves all objects."""

    def __init__(self, expansions: Iterable[Expansion], mutations: Mutations) -> None:
        every = list({one.name: one for one in expansions}.values())
        bad = _circles(every)
        self.findings = [
            broken(one.source, ".spec.generatedGVK", f"template forms expansion cycle: {one.name}")
            for one in every
            if one.name in bad
        ]
        self.expansions = sorted((one for one in every if one.name not in bad), key=lambda one: one.name)
        self.mutations = mutations
        self.applies = frozenset(binding for one in self.expansions for binding in one.applies)

    def made_by(self, binding: Binding) -> frozenset[tuple[str, str]]:
        """Return the (group, kind) of everything that objects of a kind may expand to."""
        found: set[Binding] = set()
        ahead = [binding]
        while ahead:
            here = ahead.pop()
            for one in self.expansions:
                if here in one.applies and one.makes not in found:
                    found.add(one.makes)
                    ahead.append(one.makes)
        return frozenset((group, kind) for group, _, kind in found)

    def of(self, object_: Resource, space: Resource | None) -> Iterator[Expanded]:
        """Yield what an object expands to, deepest first. Raises Inexpansible."""
        yield from self._of(object_, space, 0)

    def _of(self, object_: Resource, space: Resource | None, depth: int) -> Iterator[Expanded]:
        if depth >= DEEPEST:
            raise Inexpansible(f"maximum recursion depth of {DEEPEST} reached")
        group, _, version = str(object_.get("apiVersion") or "").rpartition("/")
        binding = (group, version, str(object_.get("kind") or ""))
        if binding not in self.applies:
            return
        namespace = str(meta_of(space or {}).get("name") or "")
        for one in self.expansions:
            if binding in one.applies:
                made = one.expand(object_, namespace)
                try:
                    made, _ = self.mutations.mutate(made, space, "Generated")
                except Unsettled as error:
                    name = meta_of(made).get("name")
                    raise Inexpansible(f"failed to mutate resultant resource {name}: {error}") from None
                yield from self._of(made, space, depth + 1)
                yield Expanded(made, one.name, one.action)
