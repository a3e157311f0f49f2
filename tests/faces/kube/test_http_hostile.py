"""Hostile input over HTTPS: each gets one clear error with the right code, and nothing is half-done."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.keep.kinds import BUILT_IN, Kind

if TYPE_CHECKING:
    from tests.faces.kube.conftest import Server

JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
PROTOBUF = {"Content-Type": "application/vnd.kubernetes.protobuf"}
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + level, 98 + level, b",".join([b"*%c" % (97 + level)] * 9)) for level in range(8)
)


def _maps(namespace: str, rest: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps{rest}"


def _text(body: str) -> bytes:
    return b'{"metadata":{"name":"a"},"data":' + body.encode() + b"}"


BODIES: list[tuple[str, dict[str, str], bytes, int, str]] = [
    ("nothing", JSON, b"", 400, "zero-length"),
    ("half", JSON, b'{"a":', 400, "line 1 column 6"),
    ("more after it", JSON, _text("{}") + b" x", 400, "line 1 column"),
    ("null", JSON, b"null", 422, "metadata.name: Required value: name or generateName is required"),
    ("an array", JSON, b"[]", 400, "cannot unmarshal array into Go value of type v1.ConfigMap"),
    ("no UTF-8", JSON, b'{"data":{"a":"\xff"}}', 400, "UTF-8"),
    ("half a surrogate", JSON, _text('{"a":"\\ud800"}'), 400, "surrogate"),
    ("NUL in a name", JSON, b'{"metadata":{"name":"a\\u0000b"}}', 422, 'metadata.name: Invalid value: "a'),
    ("infinity", JSON, _text('{"a":1e400}'), 400, "infinity"),
    ("NaN", JSON, _text('{"a":NaN}'), 400, "unexpected character"),
    ("depth", JSON, _text('{"a":' * 100_000 + "1" + "}" * 100_000), 400, "depth"),
    ("less depth", JSON, _text('{"a":' * 900 + "1" + "}" * 900), 400, "depth"),
    ("YAML that breaks", YAML, b"kind: ConfigMap\nmetadata:\n  name: a\n data: x\n", 400, "line 4, column"),
    ("a tab in YAML", YAML, b"kind: ConfigMap\n\tname: a\n", 400, "line 2, column 1"),
    ("NUL in YAML", YAML, b'kind: "a\x00b"\n', 400, "unacceptable character"),
    ("deep YAML", YAML, b"a: " + b"[" * 100_000, 400, "depth"),
    ("a YAML bomb", YAML, BOMB, 400, "excessive aliasing"),
    (
        "one long text often",
        YAML,
        b"a: &a " + b"x" * 900_000 + b"\nb: [" + b"*a," * 400 + b"]",
        400,
        "aliasing",
    ),
    ("YAML that holds itself", YAML, b"a: &a [*a]", 400, "line 1, column"),
    ("a tag of Python's", YAML, b'!!python/object/apply:os.system ["id"]', 400, "line 1, column 1"),
    ("NaN in YAML", YAML, b"metadata: {name: a}\ndata: {a: .nan}\n", 400, "unsupported value: .nan"),
    ("two documents", YAML, b"metadata: {name: a}\n---\nmetadata: {name: b}\n", 400, "line 2"),
    ("broken protobuf", PROTOBUF, b"k8s\x00\xff\xff\xff", 400, "unexpected EOF"),
    ("no protobuf", PROTOBUF, b"abc", 400, "does not appear to be a protobuf message"),
    ("another media type", {"Content-Type": "text/plain"}, b"{}", 415, "unknown format"),
    ("another kind", JSON, b'{"kind":"Secret","apiVersion":"v1"}', 400, "the kind in the data (Secret)"),
]


@pytest.mark.parametrize(
    ("headers", "body", "code", "text"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES]
)
def test_a_body_that_is_no_object(
    api: httpx.Client, namespace: str, headers: dict[str, str], body: bytes, code: int, text: str
) -> None:
    answer = api.post(_maps(namespace), content=body, headers=headers)
    status = answer.json()
    assert (answer.status_code, status["kind"], status["code"]) == (code, "Status", code), answer.text
    assert text in status["message"]
    names = [item["metadata"]["name"] for item in api.get(_maps(namespace)).json()["items"]]
    assert set(names) <= {"kube-root-ca.crt"}


PATCHES: list[tuple[dict[str, str], bytes, int]] = [
    (JSON, b"{}", 415),
    (MERGE, b"[]", 400),
    (MERGE, b'{"data":' * 50_000 + b"{}" + b"}" * 50_000, 400),
    (MERGE, b'{"data":{"a":1}}', 422),
    (JSON_PATCH, b"{}", 400),
    (JSON_PATCH, b'[{"op":"x"}]', 422),
    (
        JSON_PATCH,
        json.dumps([{"op": "copy", "from": "", "path": f"/a{n}"} for n in range(300)]).encode(),
        422,
    ),
    (JSON_PATCH, json.dumps([{"op": "test", "path": "/kind", "value": "X"}] * 10_001).encode(), 413),
    (APPLY, b"a: [", 400),
    (APPLY, b"- a", 400),
]


@pytest.mark.parametrize(("headers", "body", "code"), PATCHES)
def test_a_patch_that_is_none(
    api: httpx.Client, namespace: str, headers: dict[str, str], body: bytes, code: int
) -> None:
    before = api.post(_maps(namespace), json={"metadata": {"name": "a"}, "data": {"a": "1"}}).json()
    answer = api.patch(_maps(namespace, "/a?fieldManager=m"), content=body, headers=headers)
    assert answer.status_code == code, answer.text
    assert api.get(_maps(namespace, "/a")).json() == before


QUERIES: list[tuple[str, int]] = [
    ("limit=-1", 200),
    ("limit=x", 400),
    ("limit=99999999999999999999", 400),
    ("limit=1&continue=zzz", 400),
    ("limit=1&continue=%00", 400),
    ("limit=1&continue=" + "A" * 5_000, 400),
    ("resourceVersion=-1", 400),
    ("resourceVersion=abc", 400),
    ("resourceVersion=9" + "9" * 30, 504),
    ("resourceVersionMatch=Exact", 422),
    ("resourceVersion=1&resourceVersionMatch=Foo", 422),
    ("labelSelector=" + "x" * 6_000, 400),
    ("labelSelector=a%00", 400),
    ("labelSelector=%ff", 400),
    ("labelSelector=" + "a%3Db," * 2_000 + "a", 200),
    ("fieldSelector=metadata.name%3D%00", 200),
    ("fieldSelector=a+b", 400),
    ("fieldSelector=spec.x%3D1", 400),
    ("watch=1&resourceVersion=abc", 400),
    ("watch=1&sendInitialEvents=true", 422),
]


@pytest.mark.parametrize(("query", "code"), QUERIES, ids=[query[:40] for query, _ in QUERIES])
def test_parameters_of_a_list(api: httpx.Client, namespace: str, query: str, code: int) -> None:
    answer = api.get(_maps(namespace, f"?{query}"))
    assert answer.status_code == code, answer.text
    assert answer.json()["kind"] == ("ConfigMapList" if code == 200 else "Status")


def test_a_negative_limit_is_no_limit(api: httpx.Client, namespace: str) -> None:
    for name in "abc":
        api.post(_maps(namespace), json={"metadata": {"name": name}})
    found = api.get(_maps(namespace, "?limit=-2&labelSelector=!none")).json()
    assert {"a", "b", "c"} <= {item["metadata"]["name"] for item in found["items"]}
    assert "continue" not in found["metadata"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_too_large_a_body(api: httpx.Client, namespace: str, method: str, chunked: bool) -> None:
    body = b'{"metadata":{"name":"a"},"data":{"a":"' + b"x" * (10 << 20) + b'"}}'
    content: Any = iter([body[at : at + 65_536] for at in range(0, len(body), 65_536)]) if chunked else body
    path = _maps(namespace, "" if method == "POST" else "/a")
    answer = api.request(method, path, content=content, headers=MERGE if method == "PATCH" else JSON)
    assert answer.status_code == 413
    assert answer.json()["message"] == "Request entity too large: limit is 3145728"
    assert answer.json()["reason"] == "RequestEntityTooLarge"


def test_a_deprecated_version_warns(api: httpx.Client) -> None:
    name = f"g{time.monotonic_ns()}.example.com"
    old = {"name": "v1beta1", "served": True, "storage": False, "deprecated": True}
    new = {"name": "v1", "served": True, "storage": True}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{name}"},
        "spec": {
            "group": name,
            "scope": "Cluster",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{**old, "schema": schema}, {**new, "schema": schema}],
        },
    }
    made = api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=definition)
    assert made.status_code == 201, made.text
    warned = api.get(f"/apis/{name}/v1beta1/widgets")
    assert warned.status_code == 200
    assert warned.headers["warning"] == f'299 - "{name}/v1beta1 Widget is deprecated"'
    assert "warning" not in api.get(f"/apis/{name}/v1/widgets").headers


def _connect(server: Server) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", server.port), 10)
    return server.ca.wrap_socket(plain, server_hostname="localhost")


def _head(server: Server, line: str, *more: str) -> bytes:
    lines = [f"{line} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {server.token()}", *more, "", ""]
    return "\r\n".join(lines).encode()


def _until(sock: ssl.SSLSocket, count: int) -> bytes:
    """Read until so many answers have begun and the last one has its body's end."""
    found = b""
    while found.count(b"HTTP/1.1 ") < count or not found.endswith(b"ok"):
        part = sock.recv(65_536)
        if not part:
            break
        found += part
    return found


def test_requests_in_a_row_are_answered_in_order(server: Server) -> None:
    with _connect(server) as sock:
        sock.sendall(_head(server, "GET /livez") * 20)
        assert _until(sock, 20).count(b"HTTP/1.1 200") == 20


def test_connections_that_say_nothing_or_little_starve_nobody(server: Server, api: httpx.Client) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(_connect(server)) for _ in range(200)]
        for number, sock in enumerate(idle):
            if number % 2:
                sock.sendall(b"POST /api/v1/namespaces HTTP/1.1\r\nHost: loc")
            else:
                sock.sendall(_head(server, "POST /api/v1/namespaces", "Content-Length: 100") + b"{")
        for _ in range(20):
            assert api.get("/livez").status_code == 200


def _watch(server: Server, path: str) -> ssl.SSLSocket:
    sock = _connect(server)
    sock.sendall(_head(server, f"GET {path}?watch=1"))
    return sock


@pytest.mark.slow
def test_five_hundred_watches_all_hear_of_it(server: Server, api: httpx.Client, namespace: str) -> None:
    with contextlib.ExitStack() as stack:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            socks = list(pool.map(lambda _: _watch(server, _maps(namespace)), range(500)))
        for sock in socks:
            stack.enter_context(sock)
            sock.settimeout(20)
        assert all(sock.recv(16) for sock in socks)  # the head: the watch is on
        api.post(_maps(namespace), json={"metadata": {"name": "news"}})
        for sock in socks:
            heard = b""
            while b'"news"' not in heard:
                heard += sock.recv(65_536)


def test_a_watcher_that_never_reads_holds_nobody_up(
    server: Server, api: httpx.Client, namespace: str
) -> None:
    with _watch(server, _maps(namespace)):
        for number in range(30):
            body = {"metadata": {"name": f"big-{number}"}, "data": {"a": "x" * 500_000}}
            assert api.post(_maps(namespace), json=body).status_code == 201
        assert api.get("/livez").status_code == 200


@pytest.mark.filterwarnings(  # a client whose handshake the stop cuts short leaves its socket to the collector
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_stop_under_load_loses_nothing_that_was_acknowledged(new_server: Callable[[], Server]) -> None:
    server = new_server()
    server.start()
    kept: list[str] = []
    numbers = itertools.count()
    going = threading.Event()

    def load() -> None:
        with server.client() as client:
            while True:
                name = f"n{next(numbers)}"
                try:
                    answer = client.post(_maps("default"), json={"metadata": {"name": name}})
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    kept.append(name)
                    going.set()
                else:
                    assert answer.status_code == 503, answer.text
                    return

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert going.wait(20)
    time.sleep(0.3)
    assert server.stop() == 0
    for thread in threads:
        thread.join(20)
    assert "Traceback" not in server.log.read_text()
    server.start()
    with server.client() as client:
        there = {item["metadata"]["name"] for item in client.get(_maps("default")).json()["items"]}
    assert set(kept) <= there


_JUNK = st.sampled_from(
    [
        "",
        "x",
        "kubernetes",
        "-1",
        "1e9",
        "true",
        "%00",
        "%ff",
        "a" * 300,
        "..",
        "%2e%2e",
        "*",
        "a=b",
        "a in (b)",
    ]
)
_NAMES = [
    "limit",
    "continue",
    "resourceVersion",
    "labelSelector",
    "fieldSelector",
    "dryRun",
    "fieldManager",
    "fieldValidation",
    "force",
    "propagationPolicy",
    "gracePeriodSeconds",
    "pretty",
    "includeObject",
    "sendInitialEvents",
    "container",
    "tailLines",
]
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from(["", "x", "10Gi", "\x00", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "spec", "labels", "finalizers", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
    kind=st.sampled_from([kind for kind in BUILT_IN if kind.plural != "namespaces"]),
    name=st.none() | _JUNK,
    part=st.sampled_from(["", "", "/status", "/scale", "/binding", "/eviction", "/token", "/log", "/exec"]),
    query=st.lists(st.tuples(st.sampled_from(_NAMES), _JUNK), max_size=3),
    headers=st.sampled_from([JSON, YAML, PROTOBUF, MERGE, JSON_PATCH, APPLY, {"Content-Type": "x"}]),
    meta=_VALUES,
    spec=_VALUES,
)
def test_no_request_is_a_fault_of_the_server(
    api: httpx.Client,
    method: str,
    kind: Kind,
    name: str | None,
    part: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    meta: Any,
    spec: Any,
) -> None:
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    path = f"{root}/namespaces/default/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    path += f"/{name or 'y'}{part}" if name is not None or part else ""
    if method == "DELETE" and (name is None or not kind.namespaced):
        return
    dry = "&".join(["dryRun=All", *(f"{key}={value}" for key, value in query if key != "dryRun")])
    body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": spec}
    sent = None if method in {"GET", "HEAD"} else json.dumps(body).encode()
    answer = api.request(method, f"{path}?{dry}", content=sent, headers=headers)
    typed = "failed to create typed patch object" in answer.text  # Kubernetes' own 500
    versioned = "resourceVersion should not be set" in answer.text  # and another
    assert answer.status_code < 500 or answer.status_code in {501, 504} or typed or versioned, answer.text
