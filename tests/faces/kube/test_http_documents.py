"""Discovery, OpenAPI, version, health and metrics."""

from __future__ import annotations

import httpx
import pytest

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


def test_plain_discovery(api: httpx.Client) -> None:
    assert api.get("/api").json()["versions"] == ["v1"]
    groups = api.get("/apis").json()["groups"]
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= {group["name"] for group in groups}
    assert api.get("/apis/apps").json()["preferredVersion"]["version"] == "v1"
    names = {resource["name"] for resource in api.get("/api/v1").json()["resources"]}
    assert {"pods", "pods/log", "nodes", "namespaces/finalize"} <= names


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery(api: httpx.Client, path: str) -> None:
    answer = api.get(path, headers={"accept": AGGREGATED})
    assert (
        answer.headers["content-type"]
        == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    assert answer.json()["kind"] == "APIGroupDiscoveryList"
    again = api.get(path, headers={"accept": AGGREGATED, "if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["/version", "/version/"])
def test_version(api: httpx.Client, path: str) -> None:
    version = api.get(path).json()
    assert (version["major"], version["minor"]) == ("1", "32")
    assert version["gitVersion"].startswith("v1.32.")


def test_health(api: httpx.Client) -> None:
    for check in ("healthz", "livez", "readyz"):
        assert api.get(f"/{check}").text == "ok"
        assert f"{check} check passed" in api.get(f"/{check}?verbose").text
    assert api.get("/readyz/ping").text == "ok"
    assert api.get("/readyz/unheard").status_code == 404


def test_openapi(api: httpx.Client) -> None:
    paths = api.get("/openapi/v3").json()["paths"]
    assert {"api/v1", "apis/apps/v1"} <= set(paths)
    document = api.get(paths["apis/apps/v1"]["serverRelativeURL"])
    assert document.status_code == 200
    assert "io.k8s.api.apps.v1.Deployment" in document.json()["components"]["schemas"]
    assert api.get("/openapi/v3/apis/unheard/v1").status_code == 404


def test_openapi_v2(api: httpx.Client) -> None:
    assert api.get("/openapi/v2").json()["swagger"] == "2.0"
    asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = api.get("/openapi/v2", headers={"accept": asked})
    assert answer.content.startswith(b"\x0a\x032.0")
    assert api.get("/openapi/v2", headers={"accept": "text/html"}).status_code == 406


def test_metrics(api: httpx.Client) -> None:
    api.get("/api/v1/nodes")
    text = api.get("/metrics").text
    assert 'apiserver_request_total{verb="LIST",group="",resource="nodes",code="200"}' in text
    assert "apiserver_storage_objects " in text
    assert "apiserver_longrunning_requests" in text


def test_openid_discovery(api: httpx.Client) -> None:
    assert (
        api.get("/.well-known/openid-configuration").json()["issuer"].startswith("https://kubernetes.default")
    )
    assert api.get("/openid/v1/jwks").json()["keys"][0]["alg"] == "ES256"


def test_the_root_lists_paths(api: httpx.Client) -> None:
    assert {"/api", "/apis/apps/v1", "/openapi/v3", "/metrics"} <= set(api.get("/").json()["paths"])
