"""Aggregated ClusterRoles: their rules are those of all roles that their selectors pick, in the order of names.

Source: k8s.io/kubernetes/pkg/controller/clusterroleaggregation. A role without an aggregationRule is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fairlead.orchestrate import owning, proposing
from fairlead.orchestrate.steps import Controller, Step
from fairlead.tongues import selectors
from fairlead.words import Ref, Resource, View

KIND = ("rbac.authorization.k8s.io", "ClusterRole")


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    del now
    role = view.get(*KIND, "", ref.name)
    if role is None or not role.get("aggregationRule") or owning.is_deleted(role):
        return Step()
    rules: list[dict[str, Any]] = []
    for wanted in role["aggregationRule"].get("clusterRoleSelectors") or ():
        chosen = selectors.from_object(wanted)
        for other in view.list(*KIND):
            if other["metadata"]["name"] != ref.name and chosen.matches(owning.labels(other)):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    if rules == (role.get("rules") or []):
        return Step()
    return Step((proposing.patch(role, {"rules": rules}, "the roles that it gathers have changed"),))


def _gatherers(view: View, role: Resource) -> Iterable[Ref]:
    """Return every aggregated role: what a role was before is not known, and they are few."""
    del role
    return [Ref.of(other) for other in view.list(*KIND) if other.get("aggregationRule")]


AGGREGATED_ROLES = Controller(
    name="clusterrole-aggregation", kind=KIND, reconcile=_reconcile, watches={KIND: _gatherers}
)
