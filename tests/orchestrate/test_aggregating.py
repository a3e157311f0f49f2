"""Aggregated ClusterRoles follow the roles that their selectors pick."""

from __future__ import annotations

from typing import Any

from fairlead.orchestrate.aggregating import AGGREGATED_ROLES, KIND

LABEL = "rbac.example.com/aggregate-to-monitoring"


def role(name: str, *resources: str, labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "namespace": "", "labels": labels or {}},
        "rules": [{"apiGroups": [""], "resources": [one], "verbs": ["get"]} for one in resources],
        **more,
    }


def monitoring(cluster: Any) -> list[str]:
    cluster.settle(AGGREGATED_ROLES)
    return [rule["resources"][0] for rule in cluster.get(*KIND, "", "monitoring")["rules"]]


def test_an_aggregated_role_has_the_rules_of_those_it_picks(cluster: Any) -> None:
    chosen = {"clusterRoleSelectors": [{"matchLabels": {LABEL: "true"}}]}
    cluster.add(role("monitoring", aggregationRule=chosen))
    assert monitoring(cluster) == []
    one = cluster.add(role("b", "pods", labels={LABEL: "true"}))
    cluster.add(role("a", "nodes", "pods", labels={LABEL: "true"}))
    cluster.add(role("c", "secrets"))
    assert monitoring(cluster) == ["nodes", "pods"]
    cluster.remove(one)
    assert monitoring(cluster) == ["nodes", "pods"]
    cluster.edit(cluster.get(*KIND, "", "a"), {"metadata": {"labels": {LABEL: "false"}}})
    assert monitoring(cluster) == []


def test_a_role_without_a_rule_of_aggregation_is_left_alone(cluster: Any) -> None:
    cluster.add(role("a", "nodes", labels={LABEL: "true"}))
    cluster.add(role("monitoring", "pods", labels={LABEL: "true"}))
    assert monitoring(cluster) == ["pods"]


def test_every_aggregated_role_is_asked_when_a_role_changes(cluster: Any) -> None:
    cluster.add(role("monitoring", aggregationRule={"clusterRoleSelectors": []}))
    other = cluster.add(role("a", "nodes"))
    assert [ref.name for ref in AGGREGATED_ROLES.watches[KIND](cluster, other)] == ["monitoring"]
