"""URLs are read as Kubernetes reads them."""

from __future__ import annotations

import pytest

from fairlead.faces.kube.paths import Target, split, target


def _read(path: str) -> Target | None:
    segments = split(path)
    assert segments is not None
    return target(segments)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", Target("", "v1", "pods")),
        ("/api/v1/pods/", Target("", "v1", "pods")),
        ("/api/v1/namespaces", Target("", "v1", "namespaces")),
        ("/api/v1/namespaces/a", Target("", "v1", "namespaces", None, "a")),
        ("/api/v1/namespaces/a/status", Target("", "v1", "namespaces", None, "a", "status")),
        ("/api/v1/namespaces/a/finalize", Target("", "v1", "namespaces", None, "a", "finalize")),
        ("/api/v1/namespaces/a/pods", Target("", "v1", "pods", "a")),
        ("/api/v1/namespaces/a/pods/p/log", Target("", "v1", "pods", "a", "p", "log")),
        ("/api/v1/namespaces/a/pods/p/proxy/x/y", Target("", "v1", "pods", "a", "p", "proxy", "x/y")),
        ("/apis/apps/v1/deployments", Target("apps", "v1", "deployments")),
        ("/apis/apps/v1/namespaces/a/deployments/d/scale", Target("apps", "v1", "deployments", "a", "d", "scale")),
        ("/api/v1/watch/namespaces/a/pods/p", Target("", "v1", "pods", "a", "p", watch=True)),
        ("/api/v1/nodes/one%2Ftwo", Target("", "v1", "nodes", None, "one/two")),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
         Target("rbac.authorization.k8s.io", "v1", "clusterroles", None, "system:node")),
        ("/api", None),
        ("/api/v1", None),
        ("/apis/apps", None),
        ("/apis/apps/v1", None),
        ("/apis/apps/v1//x", None),
        ("/api/v1/watch", None),
        ("/healthz", None),
    ],
)  # fmt: skip
def test_targets(path: str, expected: Target | None) -> None:
    assert _read(path) == expected


def test_a_path_that_is_not_utf8_is_not_read() -> None:
    assert split("/api/%ff") is None


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", "/api/v1/pods", "list"),
        ("GET", "/api/v1/namespaces/a/pods/p", "get"),
        ("HEAD", "/api/v1/namespaces/a/pods/p", "get"),
        ("POST", "/api/v1/namespaces/a/pods", "create"),
        ("PUT", "/api/v1/namespaces/a/pods/p", "update"),
        ("PATCH", "/api/v1/namespaces/a/pods/p", "patch"),
        ("DELETE", "/api/v1/namespaces/a/pods/p", "delete"),
        ("DELETE", "/api/v1/namespaces/a/pods", "deletecollection"),
        ("GET", "/api/v1/watch/pods", "watch"),
        ("BREW", "/api/v1/pods", ""),
    ],
)
def test_verbs(method: str, path: str, verb: str) -> None:
    found = _read(path)
    assert found is not None
    assert found.verb(method) == verb
