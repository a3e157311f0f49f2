"""Role-based access control decides as Kubernetes does, and says why in its words."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.keep.authorizing import Policies, Question, aggregated, refusal
from fairlead.words import User

JANE = User(name="jane", groups=("dev", "system:authenticated"))
ACCOUNT = User(name="system:serviceaccount:shop:web", groups=("system:serviceaccounts",))
NODE = User(name="system:node:one", groups=("system:nodes",))


def _role(name: str, *rules: dict[str, Any], namespace: str = "", **more: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, **more.pop("metadata", {})}
    if namespace:
        meta["namespace"] = namespace
    return {"metadata": meta, "rules": list(rules), **more}


def _rule(verbs: str, resources: str, *, groups: str = "", names: str = "") -> dict[str, Any]:
    rule: dict[str, Any] = {
        "verbs": verbs.split(),
        "apiGroups": groups.split(",") if groups else [""],
        "resources": resources.split(),
    }
    if names:
        rule["resourceNames"] = names.split()
    return rule


def _bind(
    role: str, *subjects: tuple[str, str], namespace: str = "", kind: str = "ClusterRole", name: str = "b"
) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {
        "metadata": meta,
        "roleRef": {"kind": kind, "name": role},
        "subjects": [
            {"kind": kind, "name": who.rpartition("/")[2], "namespace": who.rpartition("/")[0]}
            for kind, who in subjects
        ],
    }


def _ask(
    user: User, verb: str, resource: str, namespace: str = "", name: str = "", group: str = ""
) -> Question:
    plural, _, sub = resource.partition("/")
    return Question(
        user=user, verb=verb, resource=plural, subresource=sub, namespace=namespace, name=name, group=group
    )


def test_masters_may_do_everything_without_any_role() -> None:
    root = User(name="admin", groups=("system:masters",))
    assert Policies().decide(_ask(root, "delete", "nodes")).allowed
    assert Policies().decide(Question(user=root, verb="get", path="/metrics")).allowed


@pytest.mark.parametrize(
    ("verbs", "resources", "asked", "verdict"),
    [
        ("get", "pods", ("get", "pods"), True),
        ("get", "pods", ("list", "pods"), False),
        ("get", "pods", ("get", "pods/log"), False),
        ("get", "pods/log", ("get", "pods/log"), True),
        ("get", "pods/log", ("get", "pods"), False),
        ("*", "*", ("patch", "pods/status"), True),
        ("update", "*/scale", ("update", "deployments/scale"), True),
        ("update", "*/scale", ("update", "deployments"), False),
    ],
)
def test_rules_match(verbs: str, resources: str, asked: tuple[str, str], verdict: bool) -> None:
    policies = Policies(
        cluster_roles=[_role("r", _rule(verbs, resources))],
        cluster_role_bindings=[_bind("r", ("User", "jane"))],
    )
    assert policies.decide(_ask(JANE, *asked, namespace="shop")).allowed is verdict


def test_names_limit_a_rule() -> None:
    policies = Policies(
        cluster_roles=[_role("r", _rule("get list", "secrets", names="a b"))],
        cluster_role_bindings=[_bind("r", ("Group", "dev"))],
    )
    assert policies.decide(_ask(JANE, "get", "secrets", "shop", "a")).allowed
    assert not policies.decide(_ask(JANE, "get", "secrets", "shop", "c")).allowed
    assert not policies.decide(_ask(JANE, "list", "secrets", "shop")).allowed


def test_a_role_binding_reaches_its_own_namespace_only() -> None:
    policies = Policies(
        cluster_roles=[_role("view", _rule("get", "pods"))],
        role_bindings=[_bind("view", ("ServiceAccount", "web"), namespace="shop")],
    )
    decision = policies.decide(_ask(ACCOUNT, "get", "pods", "shop"))
    assert decision.allowed
    assert decision.reason == (
        'RBAC: allowed by RoleBinding "b/shop" of ClusterRole "view" to ServiceAccount "web/shop"'
    )
    assert not policies.decide(_ask(ACCOUNT, "get", "pods", "other")).allowed
    assert not policies.decide(_ask(ACCOUNT, "get", "pods")).allowed


def test_a_missing_role_is_the_reason() -> None:
    policies = Policies(role_bindings=[_bind("gone", ("User", "jane"), namespace="shop", kind="Role")])
    decision = policies.decide(_ask(JANE, "get", "pods", "shop"))
    assert decision.reason == 'RBAC: role.rbac.authorization.k8s.io "gone" not found'


def test_paths_match_exactly_or_by_a_trailing_star() -> None:
    policies = Policies(
        cluster_roles=[_role("r", {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/logs/*"]})],
        cluster_role_bindings=[_bind("r", ("User", "jane"))],
    )
    for path, verdict in {
        "/healthz": True,
        "/logs/a/b": True,
        "/healthz/x": False,
        "/metrics": False,
    }.items():
        assert policies.decide(Question(user=JANE, verb="get", path=path)).allowed is verdict


def test_aggregation_gathers_rules_through_levels_and_stands_loops() -> None:
    def aggregate(name: str, wanted: str, **labels: str) -> dict[str, Any]:
        rule = {"clusterRoleSelectors": [{"matchLabels": {wanted: "true"}}]}
        return _role(name, metadata={"labels": labels}, aggregationRule=rule)

    roles = [
        aggregate("admin", "to-admin"),
        aggregate("edit", "to-edit", **{"to-admin": "true"}),
        aggregate("loop", "to-loop", **{"to-loop": "true"}),
        _role("one", _rule("get", "pods"), metadata={"labels": {"to-edit": "true"}}),
        _role("two", _rule("create", "pods"), metadata={"labels": {"to-admin": "true"}}),
    ]
    rules = aggregated(roles)
    assert list(rules["admin"]) == [_rule("get", "pods"), _rule("create", "pods")]
    assert list(rules["edit"]) == [_rule("get", "pods")]
    assert rules["loop"] == ()


def test_a_node_changes_its_own_node_only() -> None:
    policies = Policies()
    assert policies.decide(_ask(NODE, "patch", "nodes/status", name="one")).allowed
    assert not policies.decide(_ask(NODE, "patch", "nodes/status", name="two")).allowed
    assert policies.decide(_ask(NODE, "update", "pods/status", "shop", "web")).allowed
    assert not policies.decide(_ask(NODE, "update", "pods", "shop", "web")).allowed
    assert not policies.decide(_ask(NODE, "create", "deployments", "shop", group="apps")).allowed
    assert not policies.decide(
        _ask(User(name="mallory", groups=("system:nodes",)), "get", "secrets", "shop")
    ).allowed


def test_rules_are_listed_for_a_namespace() -> None:
    policies = Policies(
        cluster_roles=[_role("a", _rule("get", "pods"))],
        roles=[_role("b", _rule("create", "pods"), namespace="shop")],
        cluster_role_bindings=[_bind("a", ("User", "jane"))],
        role_bindings=[_bind("b", ("User", "jane"), namespace="shop", kind="Role")],
    )
    assert policies.rules(JANE, "shop") == [_rule("get", "pods"), _rule("create", "pods")]
    assert policies.rules(JANE, "other") == [_rule("get", "pods")]


def test_granting_more_than_one_has_is_found() -> None:
    policies = Policies(
        cluster_roles=[_role("a", _rule("get list", "pods"))],
        cluster_role_bindings=[_bind("a", ("User", "jane"))],
    )
    assert policies.uncovered(JANE, "", [_rule("get", "pods")]) == []
    assert policies.uncovered(JANE, "", [_rule("get", "pods", names="x")]) == []
    assert policies.uncovered(JANE, "", [_rule("get delete", "pods")]) == [_rule("delete", "pods")]


def test_refusals_read_as_kubernetes_writes_them() -> None:
    policies = Policies()

    def told(question: Question) -> str:
        return refusal(question, policies.decide(question)).message

    assert told(_ask(JANE, "list", "pods", "shop")) == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "shop"'
    )
    assert told(_ask(JANE, "get", "deployments/scale", "shop", "web", "apps")) == (
        'deployments.apps "web" is forbidden: User "jane" cannot get resource "deployments/scale" '
        'in API group "apps" in the namespace "shop"'
    )
    assert told(_ask(JANE, "list", "nodes")) == (
        'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope'
    )
    assert told(Question(user=JANE, verb="get", path="/metrics")) == (
        'forbidden: User "jane" cannot get path "/metrics"'
    )
