"""Resources over HTTPS: verbs, forms of answers, parameters, and what is refused how."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest
import yaml

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIALS = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def _map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _maps(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def _refused(answer: httpx.Response, code: int, reason: str) -> dict[str, Any]:
    status: dict[str, Any] = answer.json()
    assert (answer.status_code, status["code"], status.get("reason")) == (code, code, reason), answer.text
    assert status["kind"] == "Status"
    assert status["status"] == "Failure"
    return status


def test_the_life_of_an_object(api: httpx.Client, namespace: str) -> None:
    made = api.post(_maps(namespace), json=_map("a", x="1"))
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/json"
    assert made.headers["cache-control"] == "no-cache, private"
    first = made.json()
    assert first["metadata"]["uid"]
    assert api.get(_maps(namespace, "a")).json() == first

    changed = {**first, "data": {"x": "2"}}
    put = api.put(_maps(namespace, "a"), json=changed)
    assert put.status_code == 200
    assert int(put.json()["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    stale = _refused(api.put(_maps(namespace, "a"), json={**first, "data": {}}), 409, "Conflict")
    assert stale["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )

    gone = api.delete(_maps(namespace, "a")).json()
    assert gone["status"] == "Success"
    assert gone["details"] == {"name": "a", "kind": "configmaps", "uid": first["metadata"]["uid"]}
    missing = api.get(_maps(namespace, "a"))
    assert missing.text == (
        '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"configmaps \\"a\\" not found",'
        '"reason":"NotFound","details":{"name":"a","kind":"configmaps"},"code":404}\n'
    )


@pytest.mark.parametrize(
    ("media", "patch"),
    [
        ("application/json-patch+json", [{"op": "add", "path": "/data/y", "value": "2"}]),
        ("application/merge-patch+json", {"data": {"y": "2"}}),
        ("application/strategic-merge-patch+json", {"data": {"y": "2"}}),
    ],
)
def test_patches(api: httpx.Client, namespace: str, media: str, patch: Any) -> None:
    api.post(_maps(namespace), json=_map("a", x="1"))
    answer = api.patch(_maps(namespace, "a"), content=json.dumps(patch), headers={"content-type": media})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == {"x": "1", "y": "2"}


def test_server_side_apply_and_its_conflicts(api: httpx.Client, namespace: str) -> None:
    headers = {"content-type": "application/apply-patch+yaml"}

    def apply(manager: str, value: str, **more: str) -> httpx.Response:
        body = yaml.safe_dump(_map("a", x=value))
        params = {"fieldManager": manager, **more}
        return api.patch(_maps(namespace, "a"), content=body, params=params, headers=headers)

    assert apply("one", "1").status_code == 201
    assert apply("one", "2").status_code == 200
    status = _refused(apply("two", "3"), 409, "Conflict")
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.x'
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.x"}
    ]
    assert apply("two", "3", force="true").json()["data"] == {"x": "3"}
    nameless = api.patch(_maps(namespace, "a"), content="{}", headers=headers)
    assert (
        "fieldManager: Required value: is required for apply patch"
        in _refused(nameless, 422, "Invalid")["message"]
    )


def test_lists_pages_and_selectors(api: httpx.Client, namespace: str) -> None:
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles"
    for index in range(5):
        body = {"metadata": {"name": f"m{index}", "labels": {"odd": str(index % 2)}}}
        api.post(roles, json=body)
    page = api.get(roles, params={"limit": 2}).json()
    assert page["kind"] == "RoleList"
    assert page["metadata"]["remainingItemCount"] == 3
    assert all(item["kind"] == "Role" for item in page["items"])
    names = [item["metadata"]["name"] for item in page["items"]]
    while page["metadata"].get("continue"):
        params: dict[str, Any] = {"limit": 2, "continue": page["metadata"]["continue"]}
        page = api.get(roles, params=params).json()
        names += [item["metadata"]["name"] for item in page["items"]]
    assert names == ["m0", "m1", "m2", "m3", "m4"]

    def picked(**params: str) -> list[str]:
        return [item["metadata"]["name"] for item in api.get(roles, params=params).json()["items"]]

    assert picked(labelSelector="odd=1") == ["m1", "m3"]
    assert picked(labelSelector="odd notin (1)", fieldSelector="metadata.name!=m2") == ["m0", "m4"]
    assert picked(fieldSelector="metadata.name=m2") == ["m2"]
    _refused(api.get(roles, params={"labelSelector": "a=b=c"}), 400, "BadRequest")
    _refused(api.get(roles, params={"fieldSelector": "rules=1"}), 400, "BadRequest")
    _refused(api.get(roles, params={"limit": "many"}), 400, "BadRequest")
    _refused(api.get(roles, params={"continue": "nonsense"}), 400, "BadRequest")

    gone = api.delete(roles, params={"labelSelector": "odd=1"}).json()
    assert gone["kind"] == "RoleList"
    assert picked() == ["m0", "m2", "m4"]


def test_forms_of_answers(api: httpx.Client, namespace: str) -> None:
    api.post(_maps(namespace), json=_map("a", x="1"))

    def get(path: str, accept: str, **params: str) -> httpx.Response:
        return api.get(path, params=params, headers={"accept": accept})

    one, many = _maps(namespace, "a"), _maps(namespace)
    table = get(many, TABLE, fieldSelector="metadata.name=a").json()
    assert table["kind"] == "Table"
    assert table["apiVersion"] == "meta.k8s.io/v1"
    assert table["metadata"]["resourceVersion"]
    assert table["columnDefinitions"][0]["name"] == "Name"
    row = table["rows"][0]
    assert row["cells"][0] == "a"
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert get(one, TABLE, includeObject="Object").json()["rows"][0]["object"]["data"] == {"x": "1"}
    _refused(get(many, TABLE, includeObject="Some"), 400, "BadRequest")
    assert len(get(one, TABLE).json()["rows"]) == 1

    partial = get(one, PARTIAL).json()
    assert set(partial) == {"kind", "apiVersion", "metadata"}
    partials = get(many, PARTIALS).json()
    assert partials["kind"] == "PartialObjectMetadataList"
    assert partials["items"][0]["kind"] == "PartialObjectMetadata"

    document = get(one, "application/yaml")
    assert document.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(document.text)["data"] == {"x": "1"}
    assert get(one, PROTOBUF).json()["data"] == {"x": "1"}
    assert get(one, "*/*", pretty="1").text.startswith('{\n  "apiVersion"')
    refused = get(one, "text/html")
    assert refused.status_code == 406
    assert "only the following media types are accepted: application/json" in refused.text
    _refused(get(one, PARTIALS), 406, "NotAcceptable")


def test_large_lists_are_compressed_for_those_who_ask(api: httpx.Client, namespace: str) -> None:
    for index in range(4):
        api.post(_maps(namespace), json=_map(f"m{index}", x="y" * 50_000))
    request = api.build_request("GET", _maps(namespace), headers={"accept-encoding": "gzip"})
    answer = api.send(request, stream=True)
    raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(raw))["items"]) >= 4
    plain = api.get(_maps(namespace), headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert len(raw) < len(plain.content) / 10


def test_bodies_in_yaml_and_what_is_not_understood(api: httpx.Client, namespace: str) -> None:
    text = yaml.safe_dump(_map("a", x="1"))
    made = api.post(_maps(namespace), content=text, headers={"content-type": "application/yaml"})
    assert made.status_code == 201
    broken = api.post(_maps(namespace), content='{"a":}', headers={"content-type": "application/json"})
    assert "line 1 column 6" in _refused(broken, 400, "BadRequest")["message"]
    other = api.post(_maps(namespace), content="x", headers={"content-type": "text/csv"})
    assert (
        "accepted media types include: application/json"
        in _refused(other, 415, "UnsupportedMediaType")["message"]
    )
    nonsense = api.post(_maps(namespace), content="x", headers={"content-type": PROTOBUF})
    assert "does not appear to be a protobuf message" in _refused(nonsense, 400, "BadRequest")["message"]
    for body in ("[]", '"x"', "1"):
        answer = api.post(_maps(namespace), content=body, headers={"content-type": "application/json"})
        _refused(answer, 400, "BadRequest")
    wrong = api.patch(_maps(namespace, "a"), content="{}", headers={"content-type": "application/json"})
    _refused(wrong, 415, "UnsupportedMediaType")


def test_bodies_of_another_kind_are_refused(api: httpx.Client, namespace: str) -> None:
    wrong_kind = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}
    assert (
        'Secret in version "v1" cannot be handled as a ConfigMap'
        in (_refused(api.post(_maps(namespace), json=wrong_kind), 400, "BadRequest")["message"])
    )
    wrong_version = {"apiVersion": "apps/v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    assert _refused(api.post(_maps(namespace), json=wrong_version), 400, "BadRequest")["message"] == (
        "the API version in the data (apps/v1) does not match the expected API version (v1)"
    )


def test_a_body_that_is_too_large(api: httpx.Client, namespace: str) -> None:
    body = json.dumps(_map("a", x="y" * (10 * 1024 * 1024)))
    status = _refused(
        api.post(_maps(namespace), content=body, headers={"content-type": "application/json"}),
        413,
        "RequestEntityTooLarge",
    )
    assert status["message"] == "Request entity too large: limit is 3145728"
    assert api.get(_maps(namespace, "a")).status_code == 404

    def parts() -> Any:
        for _ in range(64):
            yield b" " * 65_536

    streamed = api.post(_maps(namespace), content=parts(), headers={"content-type": "application/json"})
    _refused(streamed, 413, "RequestEntityTooLarge")


def test_dry_runs_leave_nothing(api: httpx.Client, namespace: str) -> None:
    made = api.post(_maps(namespace), json=_map("a"), params={"dryRun": "All"})
    assert made.status_code == 201
    assert made.json()["metadata"]["uid"]
    assert api.get(_maps(namespace, "a")).status_code == 404
    status = _refused(api.post(_maps(namespace), json=_map("a"), params={"dryRun": "Some"}), 422, "Invalid")
    assert status["message"] == (
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: "Some": supported values: "All"'
    )
    api.post(_maps(namespace), json=_map("b"))
    api.delete(_maps(namespace, "b"), params={"dryRun": "All"})
    assert api.get(_maps(namespace, "b")).status_code == 200


def test_field_validation(api: httpx.Client, namespace: str) -> None:
    body = (
        '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"NAME"},"dat":{},"data":{"x":"1","x":"2"}}'
    )

    def post(name: str, mode: str) -> httpx.Response:
        content = body.replace("NAME", name)
        headers = {"content-type": "application/json"}
        return api.post(_maps(namespace), content=content, params={"fieldValidation": mode}, headers=headers)

    strict = _refused(post("a", "Strict"), 400, "BadRequest")["message"]
    assert 'strict decoding error: unknown field "dat", duplicate field "data.x"' in strict
    warned = post("b", "Warn")
    assert warned.status_code == 201
    assert set(warned.headers.get_list("warning")) == {
        '299 - "unknown field \\"dat\\""',
        '299 - "duplicate field \\"data.x\\""',
    }
    assert "warning" not in post("c", "Ignore").headers
    assert "fieldValidation: Unsupported value" in _refused(post("d", "Some"), 422, "Invalid")["message"]


def test_the_field_manager_is_the_user_agent_unless_named(api: httpx.Client, namespace: str) -> None:
    agent = {"user-agent": "sailor/1.2 (linux)"}
    made = api.post(_maps(namespace), json=_map("a", x="1"), headers=agent).json()
    assert made["metadata"]["managedFields"][0]["manager"] == "sailor"
    named = api.post(_maps(namespace), json=_map("b", x="1"), params={"fieldManager": "me"}).json()
    assert named["metadata"]["managedFields"][0]["manager"] == "me"
    long = api.post(_maps(namespace), json=_map("c"), params={"fieldManager": "m" * 129})
    assert (
        "fieldManager: Too long: may not be more than 128 bytes" in _refused(long, 422, "Invalid")["message"]
    )


def test_paths_that_are_not_there(api: httpx.Client, namespace: str) -> None:
    for path in (
        "/api/v1/unicorns",
        "/apis/nowhere/v1/things",
        f"/api/v1/namespaces/{namespace}/nodes",
        "/api/v1/pods/one",
        f"/api/v1/namespaces/{namespace}/pods/one/horn",
        "/nothing",
        "/api/v2",
        "/apis/apps/v9",
        "/api/v1//pods",
    ):
        status = _refused(api.get(path), 404, "NotFound")
        assert status["message"] == "the server could not find the requested resource"
    for method, path in (("POST", "/api/v1/pods"), ("DELETE", "/api/v1/pods"), ("PUT", _maps(namespace)),
                         ("POST", _maps(namespace, "a")), ("GET", f"{_maps(namespace)[:-10]}bindings"),
                         ("POST", "/version"), ("DELETE", "/api/v1/namespaces")):  # fmt: skip
        status = _refused(api.request(method, path), 405, "MethodNotAllowed")
        assert status["message"] == "the server does not allow this method on the requested resource"


def test_status_and_scale(api: httpx.Client, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": pod}
    made = api.post(path, json={"metadata": {"name": "web"}, "spec": spec})
    assert made.status_code == 201, made.text
    scale = api.get(f"{path}/web/scale").json()
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    merge = {"content-type": "application/merge-patch+json"}
    changed = api.patch(f"{path}/web/scale", content='{"spec":{"replicas":2}}', headers=merge)
    assert changed.json()["spec"]["replicas"] == 2
    assert api.get(f"{path}/web").json()["spec"]["replicas"] == 2
    assert api.get(f"{path}/web/status").json()["kind"] == "Deployment"
    answer = api.patch(f"{path}/web/status", content='{"status":{"collisionCount":3}}', headers=merge)
    assert answer.json()["status"]["collisionCount"] == 3


def test_what_is_not_supported_yet_says_so(api: httpx.Client, namespace: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert api.post(pods, json=pod).status_code == 201
    for sub, what in {"proxy": "proxy", "proxy/x": "proxy"}.items():
        status = _refused(api.get(f"{pods}/p/{sub}"), 501, "NotImplemented")
        assert status["message"] == f"{what} is not supported yet"
    upgrade = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}
    for sub in ("exec", "attach", "portforward"):
        status = _refused(api.post(f"{pods}/p/{sub}", headers=upgrade), 501, "NotImplemented")
        assert "SPDY" in status["message"]
        _refused(api.get(f"{pods}/p/{sub}"), 400, "BadRequest")


def test_deleting_a_pod_answers_with_the_pod(api: httpx.Client, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    api.post(pods, json=pod)
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
    gone = api.request("DELETE", f"{pods}/p", json=options)
    assert gone.json()["kind"] == "Pod"
    assert api.get(f"{pods}/p").status_code == 404


def test_a_pod_is_bound_and_evicted(api: httpx.Client, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    api.post(pods, json=pod)
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "nowhere"}}
    bound = api.post(f"{pods}/p/binding", json=binding)
    assert bound.status_code == 201, bound.text
    assert bound.json()["status"] == "Success"
    assert api.get(f"{pods}/p").json()["spec"]["nodeName"] == "nowhere"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert api.post(f"{pods}/p/eviction", json=eviction).status_code == 201
    for sub in ("binding", "eviction"):
        _refused(api.post(f"{pods}/p/{sub}", json=[]), 400, "BadRequest")


def test_custom_resources(api: httpx.Client, namespace: str) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.sea.example"},
        "spec": {
            "group": "sea.example",
            "scope": "Namespaced",
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat", "shortNames": ["bt"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {"sails": {"type": "integer", "minimum": 1}},
                                }
                            },
                        }
                    },
                    "additionalPrinterColumns": [
                        {"name": "Sails", "type": "integer", "jsonPath": ".spec.sails"}
                    ],
                }
            ],
        },
    }
    made = api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=definition)
    assert made.status_code == 201, made.text
    boats = f"/apis/sea.example/v1/namespaces/{namespace}/boats"
    assert api.get("/apis/sea.example/v1").json()["resources"][0]["name"] == "boats"
    boat = {"apiVersion": "sea.example/v1", "kind": "Boat", "metadata": {"name": "b"}, "spec": {"sails": 2}}
    assert api.post(boats, json=boat).status_code == 201
    table = api.get(boats, headers={"accept": TABLE}).json()
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Sails"]
    assert table["rows"][0]["cells"] == ["b", 2]
    proto = api.post(boats, content=b"k8s\0", headers={"content-type": PROTOBUF})
    _refused(proto, 415, "UnsupportedMediaType")
    strategic = {"content-type": "application/strategic-merge-patch+json"}
    _refused(api.patch(f"{boats}/b", content="{}", headers=strategic), 415, "UnsupportedMediaType")
    bad = {**boat, "metadata": {"name": "c"}, "spec": {"sails": 0}}
    assert "spec.sails" in _refused(api.post(boats, json=bad), 422, "Invalid")["message"]
    api.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/boats.sea.example")
