"""Whatever a client sends, the server answers for itself: never with a fault of its own, and it goes on."""

from __future__ import annotations

import string
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SEGMENTS = st.sampled_from([
    "api", "apis", "v1", "v2", "apps", "batch", "namespaces", "default", "pods", "configmaps", "deployments", "nodes",
    "services", "secrets", "status", "scale", "log", "exec", "watch", "proxy", "token", "binding", "eviction", "finalize",
    "serviceaccounts", "customresourcedefinitions", "apiextensions.k8s.io", "tokenreviews", "authentication.k8s.io",
    "selfsubjectaccessreviews", "authorization.k8s.io", "openapi", "v3", "healthz", "version", "..", "%2e%2e", "%00", "%ff", "é",
    "", "a" * 300, "kube-root-ca.crt", "resourcequotas", "limitranges", "ingresses", "networking.k8s.io", "jobs",
])  # fmt: skip
PATHS = st.lists(SEGMENTS, max_size=8).map(lambda parts: "/" + "/".join(parts)) | st.sampled_from([
    "/api/v1/namespaces/default/configmaps",
    "/api/v1/namespaces/default/configmaps/kube-root-ca.crt",
    "/api/v1/namespaces/default/serviceaccounts/default/token",
    "/apis/apps/v1/namespaces/default/deployments",
    "/apis/batch/v1/namespaces/default/cronjobs",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    "/apis/authentication.k8s.io/v1/tokenreviews",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/view",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/api/v1/namespaces/default/services",
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/bindings",
])  # fmt: skip
MEDIA = st.sampled_from([
    "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json-patch+json",
    "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml", "text/plain",
    "", ";;;", "application/json;as=Table",
])  # fmt: skip
KEYS = st.sampled_from([
    "apiVersion", "kind", "metadata", "name", "namespace", "spec", "status", "labels", "annotations", "finalizers",
    "ownerReferences", "data", "rules", "subjects", "roleRef", "template", "containers", "selector", "ports", "replicas",
    "managedFields", "generateName", "resourceVersion", "uid", "op", "path", "value", "$patch", "schedule", "versions", "schema",
    "openAPIV3Schema", "names", "resourceAttributes", "user", "groups", "extra", "token", "audiences", "boundObjectRef", "target",
    "deleteOptions", "preconditions", "clusterIP", "names", "group", "aggregationRule", "clusterRoleSelectors", "image",
])  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8) | st.sampled_from([
    "v1", "ConfigMap", "Deployment", "Pod", "a", "default", "kube-root-ca.crt", "10.96.0.5", "* * * * *", "1", "None", "{}",
])  # fmt: skip
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
QUERIES = st.dictionaries(
    st.sampled_from([
        "watch", "limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch", "dryRun",
        "fieldManager", "fieldValidation", "force", "pretty", "sendInitialEvents", "allowWatchBookmarks", "gracePeriodSeconds",
        "propagationPolicy", "orphanDependents", "includeObject", "tailLines", "sinceTime", "container", "command", "verbose",
    ]),
    st.text(string.printable, max_size=6) | st.sampled_from(["true", "0", "All", "a=b", "metadata.name=a", "Strict", "NotOlderThan"]),
    max_size=3,
)  # fmt: skip
ACCEPTS = st.sampled_from([
    "", "*/*", "application/json", "application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io", "text/html", "q=;,,/",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json", "application/json;q=x",
])  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"]),
    path=PATHS,
    query=QUERIES,
    accept=ACCEPTS,
    media=MEDIA,
    body=DOCUMENTS | st.binary(max_size=64),
)
def test_no_request_is_a_fault_of_the_server(
    api: httpx.Client, method: str, path: str, query: dict[str, str], accept: str, media: str, body: Any
) -> None:
    if "watch" in query:
        query = {**query, "timeoutSeconds": "1"} if method == "BREW" else {**query, "watch": "0"}
    if path.startswith("/api/v1/watch") or "/watch/" in path:
        query = {**query, "timeoutSeconds": "-1"}
    if method == "DELETE":
        query = {**query, "dryRun": "All"}
    content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = api.request(
        method, path, params=query, headers={"accept": accept, "content-type": media}, **content
    )
    assert answer.status_code < 500 or answer.status_code in {501, 503, 504}, answer.text
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.json()["kind"] == "Status"
    assert api.get("/readyz").text == "ok"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.dictionaries(
        st.sampled_from([
            "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-a%20b", "authorization", "user-agent",
            "if-none-match", "accept-encoding", "content-encoding", "x-forwarded-for", "upgrade", "connection", "range", "expect",
        ]),
        st.text(string.ascii_letters + string.digits + ':;,=/"%', max_size=12).map(str.strip),
        max_size=4,
    )
)  # fmt: skip
def test_no_header_is_a_fault_of_the_server(api: httpx.Client, headers: dict[str, str]) -> None:
    if headers.get("expect") or headers.get("connection") or headers.get("upgrade"):
        headers = {**headers, "expect": "", "connection": "close"}
    answer = api.get("/api/v1/namespaces/default/configmaps", headers=headers)
    assert answer.status_code < 500, answer.text


def test_bodies_that_are_nested_very_deeply(api: httpx.Client) -> None:
    for text in ("[" * 100_000, '{"a":' * 100_000, '{"metadata":{"annotations":' * 900 + "1" + "}}" * 900):
        for media in (
            "application/json",
            "application/yaml",
            "application/apply-patch+yaml",
            "application/merge-patch+json",
        ):
            method = "PATCH" if "patch" in media else "POST"
            path = "/api/v1/namespaces/default/configmaps" + (
                "/a?fieldManager=x" if method == "PATCH" else ""
            )
            answer = api.request(method, path, content=text, headers={"content-type": media})
            assert answer.status_code in {400, 404, 422}, answer.text
    assert api.get("/readyz").text == "ok"
