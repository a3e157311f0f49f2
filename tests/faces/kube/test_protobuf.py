"""Protobuf bodies: encoded by hand, and as the real kubectl sends them."""

from __future__ import annotations

import http.server
import json
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.faces.kube import protobuf
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import BUILT_IN


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes | str | float) -> bytes:
    """Encode a field: text, bytes and messages with their length, integers as varints, floats as doubles."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def message(*parts: tuple[int, bytes | str | float]) -> bytes:
    return b"".join(field(number, value) for number, value in parts)


def envelope(api_version: str, kind: str, raw: bytes, *more: tuple[int, str]) -> bytes:
    return protobuf.MAGIC + message((1, message((1, api_version), (2, kind))), (2, raw), *more)


META = message((1, "web"), (2, ""), (8, b""), (11, message((1, "app"), (2, "web"))))
"""As writers send it: an empty generateName and a zero creationTimestamp are always there."""


def decoded(api_version: str, kind: str, *parts: tuple[int, bytes | str | float]) -> dict[str, Any]:
    found = protobuf.decode(envelope(api_version, kind, message(*parts)))
    assert found.pop("apiVersion") == api_version
    assert found.pop("kind") == kind
    return found


def test_zero_values_are_left_out_as_json_leaves_them_out() -> None:
    assert decoded("v1", "ConfigMap", (1, META)) == {"metadata": {"name": "web", "labels": {"app": "web"}}}


def test_a_deployment() -> None:
    container = message(
        (1, "c"),
        (2, "nginx"),
        (6, message((1, "http"), (2, 0), (3, 80), (4, ""), (5, ""))),
        (8, message((1, message((1, "cpu"), (2, message((1, "500m"))))))),
        (
            10,
            message((1, message((2, message((1, "/"), (2, message((1, 1), (2, 0), (3, "http"))))))), (4, 3)),
        ),
        (16, 0),
    )
    spec = message(
        (1, 2),
        (3, message((2, message((2, container), (3, "Always"), (11, 1))))),
        (4, message((1, "Recreate"))),
    )
    found = decoded("apps/v1", "Deployment", (1, META), (2, spec), (3, b""))
    assert found["spec"] == {
        "replicas": 2,
        "strategy": {"type": "Recreate"},
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "image": "nginx",
                        "ports": [{"name": "http", "containerPort": 80}],
                        "resources": {"limits": {"cpu": "500m"}},
                        "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 3},
                    }
                ],
                "restartPolicy": "Always",
                "hostNetwork": True,
            }
        },
    }


def test_maps_bytes_and_pointers() -> None:
    found = decoded(
        "v1",
        "Secret",
        (2, message((1, "k"), (2, b"\0\xff"))),
        (2, message((1, "empty"))),
        (3, "Opaque"),
        (5, 0),
    )
    assert found == {"data": {"k": "AP8=", "empty": ""}, "type": "Opaque", "immutable": False}


def test_times() -> None:
    times = message((8, message((1, 1_700_000_000))), (9, message((1, 0), (2, 0))))
    assert decoded("v1", "Pod", (1, times)) == {"metadata": {"creationTimestamp": "2023-11-14T22:13:20Z"}}
    found = decoded(
        "coordination.k8s.io/v1",
        "Lease",
        (2, message((2, -5), (3, message((1, 1_700_000_000), (2, 123_456_000))))),
    )
    assert found == {"spec": {"leaseDurationSeconds": -5, "acquireTime": "2023-11-14T22:13:20.123456Z"}}


def test_integers_may_be_packed() -> None:
    groups = message((14, message((4, varint(1) + varint(2)), (4, 3))))
    assert decoded("v1", "Pod", (2, groups)) == {
        "spec": {"securityContext": {"supplementalGroups": [1, 2, 3]}}
    }


def test_inlined_structs() -> None:
    volume = message((1, "v"), (2, message((6, message((1, "s"))))))
    assert decoded("v1", "Pod", (2, message((1, volume)))) == {
        "spec": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}
    }


def test_lists_of_strings_that_are_messages() -> None:
    spec = message((3, "u"), (5, message((1, "k"), (2, message((1, "a"), (1, "b"))))))
    assert decoded("authorization.k8s.io/v1", "SubjectAccessReview", (2, spec)) == {
        "spec": {"user": "u", "extra": {"k": ["a", "b"]}}
    }


def test_objects_within_objects() -> None:
    inner = envelope("v1", "ConfigMap", message((1, META)))
    assert decoded("apps/v1", "ControllerRevision", (2, message((1, b'{"a":1}'))), (3, 7)) == {
        "data": {"a": 1},
        "revision": 7,
    }
    found = decoded("v1", "List", (2, message((1, inner))))
    assert found["items"][0]["kind"] == "ConfigMap"


def test_schemas_of_custom_resources() -> None:
    text = message((5, "string"))
    schema = message(
        (5, "object"),
        (30, message((1, 1))),
        (32, message((1, "d"), (2, message((2, "x"), (2, "y"))))),
        (
            29,
            message(
                (1, "l"),
                (2, message((5, "array"), (24, message((1, text))), (8, message((1, b"null"))), (9, 10.0))),
            ),
        ),
    )
    version = message((1, "v1"), (2, 1), (3, 1), (4, message((1, schema))))
    found = decoded("apiextensions.k8s.io/v1", "CustomResourceDefinition", (2, message((7, version))))
    assert found["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == {
        "type": "object",
        "additionalProperties": True,
        "dependencies": {"d": ["x", "y"]},
        "properties": {"l": {"type": "array", "items": {"type": "string"}, "default": None, "maximum": 10}},
    }


def test_options_are_known_in_every_version() -> None:
    precondition = message((2, message((1, "u"))), (4, "Foreground"))
    for version in ("v1", "apps/v1", "meta.k8s.io/v1"):
        found = protobuf.decode(envelope(version, "DeleteOptions", precondition))
        assert found["preconditions"] == {"uid": "u"}
        assert found["propagationPolicy"] == "Foreground"


def test_unknown_fields_are_passed_over() -> None:
    strange = field(999, "x") + field(998, 5) + field(997, 1.5) + varint(996 << 3 | 5) + b"abcd"
    assert (
        protobuf.decode(envelope("v1", "ConfigMap", message((1, META)) + strange))["metadata"]["name"]
        == "web"
    )


def test_the_envelope_may_hold_json() -> None:
    body = envelope("v1", "ConfigMap", b'{"kind":"ConfigMap"}', (4, "application/json"))
    assert protobuf.decode(body) == {"kind": "ConfigMap"}


def test_every_served_kind_has_a_table() -> None:
    missing = [kind for kind in BUILT_IN if not protobuf.message_of(kind.api_version, kind.kind)]
    assert not missing
    for version, kind in [
        ("autoscaling/v1", "Scale"),
        ("policy/v1", "Eviction"),
        ("authentication.k8s.io/v1", "TokenRequest"),
        ("v1", "Status"),
        ("v1", "Binding"),
    ]:
        assert protobuf.message_of(version, kind), kind


DEEP = b""
for _ in range(200):
    DEEP = message((28, DEEP))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty data"),
        (b"{}", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (protobuf.MAGIC, 'no kind "" is registered for version ""'),
        (envelope("v1", "Nonsense", b""), 'no kind "Nonsense" is registered for version "v1"'),
        (envelope("v1", "Pod", b"\x0a\x05ab"), "unexpected EOF"),
        (envelope("v1", "Pod", b"\x0b"), "proto: illegal wireType 3"),
        (envelope("v1", "Pod", b"\x00\x00"), "proto: illegal tag 0 (wire type 0)"),
        (envelope("v1", "Pod", b"\xff" * 11), "proto: integer overflow"),
        (envelope("v1", "Pod", message((1, 5))), "proto: wrong wireType = 0 for field metadata"),
        (envelope("v1", "Pod", message((1, message((1, b"\xff"))))), "invalid start byte"),
        (envelope("v1", "Pod", b"", (3, "gzip")), "content encoding gzip is not supported"),
        (envelope("v1", "Pod", b"[]", (4, "application/json")), "the object is not a JSON object"),
        (
            envelope("apps/v1", "ControllerRevision", message((2, message((1, b"{"))))),
            "unexpected end of data",
        ),
        (envelope("v1", "Pod", message((1, message((8, message((1, 10**15))))))), "OverflowError"),
        (
            envelope(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                message((2, message((7, message((4, message((1, DEEP)))))))),
            ),
            "messages are nested more than 100 deep",
        ),
    ],
)
def test_malformed_bodies_are_400(body: bytes, why: str) -> None:
    with pytest.raises(Refusal) as caught:
        protobuf.decode(body)
    assert caught.value.code == 400
    assert caught.value.message.startswith("the object provided is unrecognized: ")
    if why != "OverflowError":
        assert why in caught.value.message


@given(st.binary(max_size=60))
def test_any_bytes_give_an_object_or_a_refusal(raw: bytes) -> None:
    for body in (
        raw,
        protobuf.MAGIC + raw,
        envelope("v1", "Pod", raw),
        envelope("v1", "Pod", message((2, raw))),
    ):
        try:
            protobuf.decode(body)
        except Refusal:
            continue


NUMBERS = st.integers(1, 40)
TREES = st.recursive(
    st.lists(st.tuples(NUMBERS, st.binary(max_size=6) | st.integers(-3, 300) | st.floats()), max_size=4).map(
        lambda parts: message(*parts)
    ),
    lambda inner: st.lists(st.tuples(NUMBERS, inner), max_size=4).map(lambda parts: message(*parts)),
    max_leaves=10,
)


@given(TREES, st.sampled_from([kind for kind in BUILT_IN if kind.kind != "Binding"]))
def test_any_message_gives_json_or_a_refusal(raw: bytes, kind: Any) -> None:
    try:
        found = protobuf.decode(envelope(kind.api_version, kind.kind, raw))
    except Refusal:
        return
    json.dumps(found, allow_nan=False)


class _Capture(http.server.BaseHTTPRequestHandler):
    bodies: ClassVar[list[tuple[str, bytes]]] = []

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the library's own name
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.bodies.append((self.headers.get("Content-Type") or "", body))
        self._answer(
            409, b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"AlreadyExists","code":409}'
        )

    def do_GET(self) -> None:
        self._answer(404, b"{}")

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def capture() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Capture)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.kubectl
@pytest.mark.parametrize(
    ("command", "kind", "spec"),
    [
        (
            "create deployment web --image=nginx --replicas=2 --port=80",
            "Deployment",
            {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "web"}},
                "strategy": {},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {
                        "containers": [
                            {
                                "name": "nginx",
                                "image": "nginx",
                                "ports": [{"containerPort": 80}],
                                "resources": {},
                            }
                        ]
                    },
                },
            },
        ),
        (
            "create service nodeport n --tcp=80:8080",
            "Service",
            {
                "ports": [{"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}],
                "selector": {"app": "n"},
                "type": "NodePort",
            },
        ),
        ("create quota q --hard=cpu=1,pods=2", "ResourceQuota", {"hard": {"cpu": "1", "pods": "2"}}),
        (
            "create pdb p --selector=a=b --min-available=50%",
            "PodDisruptionBudget",
            {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}},
        ),
        (
            "auth can-i get pods",
            "SelfSubjectAccessReview",
            {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}},
        ),
        ("create token default", "TokenRequest", {}),
        ("create configmap c --from-literal=a=b", "ConfigMap", None),
        ("create ns x", "Namespace", {}),
    ],
)
def test_what_kubectl_sends(
    kubectl_program: str, capture: str, tmp_path: Path, command: str, kind: str, spec: dict[str, Any] | None
) -> None:
    _Capture.bodies.clear()
    subprocess.run(
        [kubectl_program, "-s", capture, *command.split()],
        env={**os.environ, "HOME": str(tmp_path), "KUBECONFIG": os.devnull},
        capture_output=True,
        check=False,
    )
    media_type, body = _Capture.bodies[-1]
    if media_type != protobuf.MEDIA_TYPE:
        pytest.skip(f"this kubectl sends {media_type}")
    found = protobuf.decode(body)
    assert found["kind"] == kind
    assert found.get("spec") == spec
