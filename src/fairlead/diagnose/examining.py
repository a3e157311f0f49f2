"""The whole examination: what is there in, findings out.

`needs` says what would help (the ends of some logs), `examine` takes the answers. Both are pure and may be called on any
View: a live cluster, files, a copy with a change tried on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from fairlead.diagnose import (
    addresses,
    autoscaling,
    bindings,
    budgets,
    configs,
    crashes,
    cronjobs,
    deprecations,
    detections,
    disruption,
    evictions,
    grounds,
    hygiene_nodes,
    hygiene_pods,
    hygiene_services,
    images,
    jobs,
    pairs,
    policies_network,
    netborders,
    netcuts,
    probes,
    resolving,
    rollouts,
    scheduling,
    services,
    starts,
    storage,
    unused,
    usage,
    workloads,
)
from fairlead.diagnose.causes import Fact, roots
from fairlead.diagnose.inventories import ANY_KIND, ANY_MAKER, Inventory, Locate, Scope
from fairlead.diagnose.revisions import way_back
from fairlead.words import Finding, Need, Resource, View

Look: TypeAlias = Callable[[Inventory, Resource], Iterator[Fact]]
"""What an analyzer asks of one object. It reads the world through the Inventory alone."""
Table: TypeAlias = Mapping[tuple[str, str], Look]
"""By (group, kind); ANY_KIND is for every object but Events, ANY_MAKER for every object that makes pods and that no other made."""

UNITS: Sequence[Table] = (
    configs.UNITS,
    addresses.UNITS,
    detections.UNITS,
    grounds.UNITS,
    services.UNITS,
    crashes.UNITS,
    probes.UNITS,
    images.UNITS,
    starts.UNITS,
    scheduling.UNITS,
    workloads.UNITS,
    resolving.UNITS,
    netcuts.UNITS,
    netborders.UNITS,
    bindings.UNITS,
    budgets.UNITS,
    hygiene_pods.UNITS,
    hygiene_services.UNITS,
    autoscaling.UNITS,
    cronjobs.UNITS,
    disruption.UNITS,
    evictions.UNITS,
    jobs.UNITS,
    rollouts.UNITS,
    storage.UNITS,
)
"""Tables of what is asked of each object of a kind: what is broken, or will be."""
NEEDS: Sequence[Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Need]]]] = (
    crashes.NEEDS,
    probes.NEEDS,
)
"""Tables of what each object of a kind makes worth fetching."""
ADVICE: Sequence[Table] = (
    bindings.ADVICE,
    budgets.ADVICE,
    deprecations.ADVICE,
    hygiene_nodes.ADVICE,
    hygiene_pods.ADVICE,
    hygiene_services.ADVICE,
    pairs.ADVICE,
    policies_network.ADVICE,
    unused.ADVICE,
    usage.ADVICE,
)
"""Tables of what is asked only when advice is wanted: hygiene, of severity info."""


def needs(view: View, *, now: datetime) -> list[Need]:
    """Return what the reactor may fetch from a live cluster to make the answer better.

    Each is `Need("log", pod, (("container", name), ("previous", "true"|"false"), ("tail", lines)))`.
    """
    inventory = Inventory(view, scope="live", now=now)
    return list(
        dict.fromkeys(
            need
            for table in NEEDS
            for (group, kind), look in table.items()
            for one in inventory.of_kind(group, kind)
            for need in look(inventory, one)
        )
    )


def examine(
    view: View,
    *,
    scope: Scope,
    now: datetime,
    answers: Mapping[Need, str] | None = None,
    unseen: Collection[tuple[str, str]] = (),
    locate: Locate | None = None,
    advice: bool = False,
) -> list[Finding]:
    """Return one Finding per root cause, the gravest first.

    `now` is aware UTC. `unseen` names the (group, kind) pairs that could not be listed: their absence proves nothing.
    `locate` turns an object and a path in it into a place in a file. `advice` asks for hygiene too.
    """
    inventory = Inventory(view, scope=scope, now=now, answers=answers, unseen=unseen, locate=locate)
    tables = (*UNITS, *ADVICE) if advice else UNITS
    found = roots(_asked(inventory, tables))
    return [_with_way_back(inventory, one) for one in found] if inventory.live else found


def _asked(inventory: Inventory, tables: Sequence[Table]) -> Iterator[Fact]:
    """Ask every object what the tables have for its kind."""
    for table in tables:
        for (group, kind), look in table.items():
            if (group, kind) == ANY_KIND:
                for one in inventory.everything:
                    yield from look(inventory, one)
            elif (group, kind) == ANY_MAKER:
                for template in inventory.templates:
                    yield from look(inventory, template.resource)
            else:
                for one in inventory.of_kind(group, kind):
                    yield from look(inventory, one)


def _with_way_back(inventory: Inventory, finding: Finding) -> Finding:
    """Return the finding with the last resort among fixes: what worked before, where that still runs."""
    fix = way_back(inventory, finding) if not finding.fixes else None
    return replace(finding, fixes=(fix,)) if fix is not None else finding
