"""Who may do what over HTTPS: tokens, roles, reviews, impersonation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"
AUTHN = "/apis/authentication.k8s.io/v1"


@pytest.fixture
def nobody(server: Any) -> Iterator[httpx.Client]:
    with server.client("") as client:
        yield client


@pytest.fixture
def node(server: Any) -> Iterator[httpx.Client]:
    with server.client(server.token("system:nodes")) as client:
        yield client


def test_only_harmless_paths_without_credentials(nobody: httpx.Client) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/version", "/version/"):
        assert nobody.get(path).status_code == 200
    for path in ("/api", "/api/v1/pods", "/metrics", "/openapi/v3", "/"):
        answer = nobody.get(path)
        assert answer.status_code == 401
        assert answer.text == (
            '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized",'
            '"reason":"Unauthorized","code":401}\n'
        )


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer", "Basic YTpi", "Bearer a.b.c", "nonsense"])
def test_wrong_credentials_are_401(nobody: httpx.Client, header: str) -> None:
    assert nobody.get("/healthz", headers={"authorization": header}).status_code == 401


def test_a_node_does_what_nodes_do(node: httpx.Client) -> None:
    assert node.get("/api/v1/pods").status_code == 200
    refused = node.get("/apis/apps/v1/deployments")
    assert refused.status_code == 403
    who = node.post(f"{AUTHN}/selfsubjectreviews", json={}).json()["status"]["userInfo"]["username"]
    assert refused.json()["message"] == (
        f'deployments.apps is forbidden: User "{who}" cannot list resource "deployments" in API group "apps" '
        "at the cluster scope"
    )


def _account(api: httpx.Client, namespace: str, **spec: Any) -> str:
    """Make a service account and return a token of it."""
    made = api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", json={"metadata": {"name": "web"}})
    assert made.status_code == 201
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts/web/token", json=request)
    assert answer.status_code == 201, answer.text
    assert answer.json()["spec"]["expirationSeconds"] == spec.get("expirationSeconds", 3600)
    return str(answer.json()["status"]["token"])


def test_service_accounts_and_roles(server: Any, api: httpx.Client, namespace: str) -> None:
    token = _account(api, namespace, expirationSeconds=600)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with server.client(token) as account:
        who = account.post(f"{AUTHN}/selfsubjectreviews", json={}).json()["status"]["userInfo"]
        assert who["username"] == f"system:serviceaccount:{namespace}:web"
        assert "system:serviceaccounts" in who["groups"]
        assert account.get(path).status_code == 403
        rule = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["configmaps"]}
        role = {"metadata": {"name": "reader"}, "rules": [rule]}
        assert api.post(f"{RBAC}/namespaces/{namespace}/roles", json=role).status_code == 201
        binding = {
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": namespace}],
        }
        made = api.post(f"{RBAC}/namespaces/{namespace}/rolebindings", json=binding)
        assert made.status_code == 201, made.text
        assert account.get(path).status_code == 200
        assert account.get("/api/v1/configmaps").status_code == 403
        assert account.post(path, json={"metadata": {"name": "a"}}).status_code == 403
        rules = account.post(
            f"{REVIEWS}/selfsubjectrulesreviews", json={"spec": {"namespace": namespace}}
        ).json()
        assert rule in rules["status"]["resourceRules"]
        api.delete(f"/api/v1/namespaces/{namespace}/serviceaccounts/web")
        assert account.get(path).status_code == 401


def test_nobody_gives_away_what_they_do_not_have(server: Any, api: httpx.Client, namespace: str) -> None:
    token = _account(api, namespace)
    rules = [
        {"verbs": ["*"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"]}
    ]
    api.post(f"{RBAC}/namespaces/{namespace}/roles", json={"metadata": {"name": "boss"}, "rules": rules})
    subjects = [{"kind": "ServiceAccount", "name": "web", "namespace": namespace}]
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "boss"}
    binding = {"metadata": {"name": "boss"}, "roleRef": ref, "subjects": subjects}
    api.post(f"{RBAC}/namespaces/{namespace}/rolebindings", json=binding)
    with server.client(token) as account:
        wanted = [{"verbs": ["delete"], "apiGroups": [""], "resources": ["secrets"]}]
        greedy = {"metadata": {"name": "greedy"}, "rules": wanted}
        refused = account.post(f"{RBAC}/namespaces/{namespace}/roles", json=greedy)
        # The wildcard verb on roles includes `escalate`, as it does in Kubernetes.
        assert refused.status_code == 201
        rules[0]["verbs"] = ["get", "create", "update", "patch"]
        api.put(
            f"{RBAC}/namespaces/{namespace}/roles/boss", json={"metadata": {"name": "boss"}, "rules": rules}
        )
        greedy["metadata"] = {"name": "greedier"}
        refused = account.post(f"{RBAC}/namespaces/{namespace}/roles", json=greedy)
        assert refused.status_code == 403
        assert "is attempting to grant RBAC permissions not currently held" in refused.json()["message"]
        assert '{APIGroups:[""], Resources:["secrets"], Verbs:["delete"]}' in refused.json()["message"]
        patched = account.patch(
            f"{RBAC}/namespaces/{namespace}/roles/boss",
            json={"rules": wanted},
            headers={"content-type": "application/merge-patch+json"},
        )
        assert patched.status_code == 403
        admin = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        grab = {"metadata": {"name": "grab"}, "roleRef": admin, "subjects": subjects}
        assert account.post(f"{RBAC}/namespaces/{namespace}/rolebindings", json=grab).status_code == 403
    kept = api.get(f"{RBAC}/namespaces/{namespace}/roles/boss").json()
    assert kept["rules"] == rules


def test_applying_what_is_not_there_needs_the_right_to_create(
    server: Any, api: httpx.Client, namespace: str
) -> None:
    token = _account(api, namespace)
    rule = {
        "verbs": ["patch", "update"],
        "apiGroups": ["", "coordination.k8s.io"],
        "resources": ["configmaps", "leases"],
    }
    api.post(f"{RBAC}/namespaces/{namespace}/roles", json={"metadata": {"name": "patcher"}, "rules": [rule]})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "patcher"}
    subjects = [{"kind": "ServiceAccount", "name": "web", "namespace": namespace}]
    binding = {"metadata": {"name": "patcher"}, "roleRef": ref, "subjects": subjects}
    api.post(f"{RBAC}/namespaces/{namespace}/rolebindings", json=binding)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    apply = {"content-type": "application/apply-patch+yaml"}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}}
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/a"
    with server.client(token) as account:
        refused = account.patch(path, json=body, params={"fieldManager": "x"}, headers=apply)
        assert refused.status_code == 403
        assert "cannot create resource" in refused.json()["message"]
        assert account.put(leases, json=lease).status_code == 403
        assert api.get(path).status_code == 404
        assert api.get(leases).status_code == 404
        assert api.patch(path, json=body, params={"fieldManager": "x"}, headers=apply).status_code == 201
        assert account.patch(path, json=body, params={"fieldManager": "x"}, headers=apply).status_code == 200


def test_token_requests_are_checked(api: httpx.Client, namespace: str) -> None:
    _account(api, namespace)
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/web/token"
    short = api.post(path, json={"spec": {"expirationSeconds": 10}})
    assert short.status_code == 422
    assert "may not specify a duration less than 10 minutes" in short.json()["message"]
    unbound = api.post(
        path, json={"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "x"}}}
    )
    assert unbound.status_code == 404
    missing = api.post(path.replace("web", "none"), json={})
    assert missing.json()["message"] == 'serviceaccounts "none" not found'


def test_token_reviews(api: httpx.Client, server: Any) -> None:
    def review(token: str) -> dict[str, Any]:
        answer = api.post(f"{AUTHN}/tokenreviews", json={"spec": {"token": token}})
        assert answer.status_code == 201, answer.text
        status: dict[str, Any] = answer.json()["status"]
        return status

    good = review(server.token())
    assert good["authenticated"] is True
    assert good["user"]["username"] == "admin"
    assert "system:masters" in good["user"]["groups"]
    assert not review("wrong").get("authenticated")
    assert api.post(f"{AUTHN}/tokenreviews", json={"spec": {}}).status_code == 400


def test_access_reviews(api: httpx.Client, namespace: str) -> None:
    def review(kind: str, spec: dict[str, Any], where: str = "") -> httpx.Response:
        return api.post(f"{REVIEWS}{where}/{kind}", json={"spec": spec})

    mine = review("selfsubjectaccessreviews", {"resourceAttributes": {"verb": "get", "resource": "pods"}})
    assert mine.status_code == 201
    assert mine.json()["status"] == {"allowed": True}
    asked = {"verb": "get", "resource": "pods", "namespace": namespace}
    other = review("subjectaccessreviews", {"user": "jane", "resourceAttributes": asked})
    assert other.json()["status"] == {"allowed": False}
    public = review(
        "subjectaccessreviews",
        {
            "user": "x",
            "groups": ["system:unauthenticated"],
            "nonResourceAttributes": {"verb": "get", "path": "/healthz"},
        },
    )
    assert public.json()["status"]["allowed"] is True
    assert public.json()["status"]["reason"].startswith(
        'RBAC: allowed by ClusterRoleBinding "system:public-info-viewer"'
    )
    local = review(
        "localsubjectaccessreviews", {"user": "jane", "resourceAttributes": asked}, f"/namespaces/{namespace}"
    )
    assert local.json()["status"] == {"allowed": False}
    for kind, spec in (
        ("selfsubjectaccessreviews", {}),
        ("subjectaccessreviews", {"resourceAttributes": asked}),
        ("selfsubjectaccessreviews", {"resourceAttributes": asked, "nonResourceAttributes": {"path": "/"}}),
    ):
        assert review(kind, spec).status_code == 422
    elsewhere = review(
        "localsubjectaccessreviews", {"user": "jane", "resourceAttributes": asked}, "/namespaces/default"
    )
    assert "must match metadata.namespace" in elsewhere.json()["message"]
    assert review("selfsubjectrulesreviews", {}).status_code == 400


def test_impersonation(api: httpx.Client, node: httpx.Client) -> None:
    jane = {"impersonate-user": "jane", "impersonate-group": "dev"}
    who = api.post(f"{AUTHN}/selfsubjectreviews", json={}, headers=jane).json()["status"]["userInfo"]
    assert who == {"username": "jane", "groups": ["dev", "system:authenticated"]}
    assert api.get("/api/v1/nodes", headers=jane).status_code == 403
    refused = node.get("/api/v1/nodes", headers={"impersonate-user": "admin"})
    assert refused.status_code == 403
    assert (
        'cannot impersonate resource "users" in API group "" at the cluster scope'
        in refused.json()["message"]
    )
    assert api.get("/api", headers={"impersonate-group": "dev"}).status_code == 400
