"""Gatekeeper: ConstraintTemplates, their constraints, mutators, expansions and Config, as users already own them.

Reads documents and joins them to policies; `statuses` gives results back in Gatekeeper's own words, `suites` runs the tests of
its command line. Never reads a file, never asks a network. Source: github.com/open-policy-agent/gatekeeper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from fairlead.dialects.gatekeeper import constraints, expansions, inventories, mutators, templates
from fairlead.dialects.gatekeeper.constraints import Bound, Constraint
from fairlead.dialects.gatekeeper.expansions import Expansion, Expansions
from fairlead.dialects.gatekeeper.inventories import EVERYTHING, Inventory, Sync
from fairlead.dialects.gatekeeper.mutations import Mutations
from fairlead.dialects.gatekeeper.mutations import policy_of as mutating_policy
from fairlead.dialects.gatekeeper.mutators import Mutator
from fairlead.dialects.gatekeeper.reviews import Desk, space_of
from fairlead.dialects.gatekeeper.statuses import WRITES
from fairlead.dialects.gatekeeper.templates import GROUP, Template, definition_of
from fairlead.judge.policies import Assembled, Policy
from fairlead.judge.reading import Source, broken
from fairlead.words import Finding

__all__ = ["READS", "WRITES", "Model", "Parts", "assemble", "definition_of"]

Model: TypeAlias = Template | Constraint | Mutator | Expansion | Sync


class Parts:
    """The models of all documents, joined: constraints with their templates, and what they share."""

    def __init__(self, models: Iterable[Model], inventory: Inventory | None = None) -> None:
        every = list(models)
        self.findings: list[Finding] = []
        found = {one.kind: one for one in every if isinstance(one, Template)}
        syncs = [one for one in every if isinstance(one, Sync)]
        exclusions = [exclusion for one in syncs for exclusion in one.exclusions]
        self.mutations = Mutations(one for one in every if isinstance(one, Mutator))
        self.expansions = Expansions((one for one in every if isinstance(one, Expansion)), self.mutations)
        self.findings += self.mutations.findings + self.expansions.findings
        self.wanted = _wanted(found.values(), syncs)
        self.inventory = inventory or Inventory(self.wanted, exclusions)
        self.desk = Desk(exclusions, self.expansions)
        last = {one.source.ref: one for one in every if isinstance(one, Constraint)}
        self.bound = [one for one in (self._bind(each, found) for each in last.values()) if one is not None]

    def _bind(self, constraint: Constraint, found: Mapping[str, Template]) -> Bound | None:
        template = found.get(constraint.kind)
        if template is None:
            self.findings.append(
                broken(
                    constraint.source,
                    ".kind",
                    f"no ConstraintTemplate that can be used creates the kind {constraint.kind}",
                )
            )
            return None
        bound = Bound(constraint, template, self.desk, self.inventory)
        faults = template.faults(bound.content)
        self.findings += [
            broken(constraint.source, f".{one.field}", f"{one.field}: {one.message}") for one in faults
        ]
        return None if faults else bound


def _wanted(found: Iterable[Template], syncs: Sequence[Sync]) -> frozenset[tuple[str, str]]:
    """Return what templates look up: what is synced, what they say that they need, or everything if nobody says."""
    synced = frozenset(kind for one in syncs for kind in one.kinds)
    wanted = set(synced)
    for template in found:
        wanted |= template.looks_up
        if not synced and not template.looks_up and getattr(template.code, "looks_up", False):
            wanted.add(EVERYTHING)
    return frozenset(wanted)


def assemble(models: Iterable[Model]) -> Assembled:
    """Return the policies: one a constraint, and one for all mutators."""
    parts = Parts(models)
    policies: list[Policy] = [constraints.policy_of(one) for one in parts.bound]
    if parts.mutations.mutators:
        policies.append(mutating_policy(parts.mutations, parts.desk.mutation_excluded, space_of))
    return Assembled(tuple(policies), tuple(parts.findings), parts.wanted | {("", "Namespace")})


def _provider(_source: Source) -> tuple[list[Model], list[Finding]]:
    """Read a Provider: it is asked by what runs fairlead, which knows it by its name."""
    return [], []


READS: Mapping[tuple[str, str], Callable[[Source], tuple[Sequence[Model], list[Finding]]]] = {
    ("templates.gatekeeper.sh", "ConstraintTemplate"): templates.read,
    (GROUP, "*"): constraints.read,
    **{("mutations.gatekeeper.sh", kind): reader for kind, reader in mutators.READERS.items()},
    ("expansion.gatekeeper.sh", "ExpansionTemplate"): expansions.read,
    ("config.gatekeeper.sh", "Config"): inventories.read_config,
    ("syncset.gatekeeper.sh", "SyncSet"): inventories.read_sync_set,
    ("externaldata.gatekeeper.sh", "Provider"): _provider,
}
