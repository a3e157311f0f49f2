"""Snapshots: nothing secret in them, the same findings from them, and nothing that a hostile one could do."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from fairlead.diagnose import halves, records
from fairlead.diagnose.examining import examine, needs
from fairlead.reactor import snapshots
from fairlead.words import Need, Resource, Snapshot

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----\n"

PASSWORD = 'Tr0ub4dor&3 "x"'
TOKEN = "q8Zk2LmP0vR7tY4w"
PLANTED = {
    "password": PASSWORD,
    "token": TOKEN,
    "in-url": "Ur1S3cr3tWord",
    "in-config": "C0nf1gM4pS3cret",
    "in-env": "3nvS3cretValue",
    "in-arg": "Fl4gS3cretValue",
    "in-file": "s3cr3t-of-a-file",
    "registry": "R3gistryPassw0rd",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jK",
    "unlikely": "Zx9Qw7Er5Ty3Ui1Op8As6Df4",
    "weak": "swordfish",
}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def encodings(value: str) -> dict[str, str]:
    """Every form in which a value could be found by somebody who looks for it."""
    raw = value.encode()
    return {
        "plain": value,
        "json": json.dumps(value)[1:-1],
        "html": html.escape(value),
        "url": quote(value, safe=""),
        "form": quote_plus(value),
        "hex": raw.hex(),
        "base64": base64.b64encode(raw).decode().rstrip("="),
        "url-safe base64": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        **{
            f"base64 from {before}": base64.b64encode(b"\0" * before + raw).decode()[
                -(-before * 8 // 6) : (before + len(raw)) * 8 // 6
            ]
            for before in (1, 2)
        },
    }


def objects() -> list[Resource]:
    applied = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "db", "namespace": "shop"},
            "data": {"password": b64(PASSWORD)},
        }
    )
    pair = b64(f"robot:{PLANTED['registry']}")
    docker = json.dumps(
        {"auths": {"registry.test": {"username": "robot", "password": PLANTED["registry"], "auth": pair}}}
    )

    def secret(name: str, data: Mapping[str, str], sort: str = "Opaque", **notes: str) -> Resource:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": sort,
            "metadata": {"name": name, "namespace": "shop", "uid": name, "annotations": notes},
            "data": {key: b64(value) for key, value in data.items()},
        }

    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "containers": [
                {
                    "name": "web",
                    "image": "web:1",
                    "args": [
                        "--db-password",
                        PLANTED["in-arg"],
                        f"--token={TOKEN}",
                        "--listen=:8080",
                        f"--header=Authorization: Basic {b64('web:' + PASSWORD)}",
                    ],
                    "env": [
                        {"name": "API_TOKEN", "value": PLANTED["in-env"]},
                        {"name": "DB_URL", "value": f"postgres://web:{PLANTED['in-url']}@db.shop:5432/web"},
                        {"name": "TOKEN_FILE", "value": "/var/run/token"},
                        {"name": "SECRET_NAME", "value": "db"},
                        {"name": "KEY_ID", "value": PLANTED["aws"]},
                        {"name": "SESSION", "value": PLANTED["jwt"]},
                        {
                            "name": "PASSWORD",
                            "valueFrom": {"secretKeyRef": {"name": "db", "key": "passwort"}},
                        },
                    ],
                }
            ]
        },
    }
    return [
        secret(
            "db",
            {
                "password": PASSWORD + "\n",
                "token": TOKEN,
                "user": PLANTED["weak"],
                "url": f"postgres://web:{PLANTED['in-url']}@cache.shop:6379/0",
                ".env": f"A=b\nPASS={PLANTED['in-file']}\n",
            },
            **{"kubectl.kubernetes.io/last-applied-configuration": applied},
        ),
        secret("tls", {"tls.key": PEM, "tls.crt": CERTIFICATE}, "kubernetes.io/tls"),
        secret("pull", {".dockerconfigjson": docker}, "kubernetes.io/dockerconfigjson"),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "annotations": {"note": f"rotated to {quote(PASSWORD)} and {PLANTED['weak']}"},
            },
            "data": {
                "app.yaml": f"db:\n  host: db.shop\n  password: {PLANTED['in-config']}\n  n: {PLANTED['unlikely']}\n",
                "page.html": html.escape(PASSWORD),
                "KEY": PEM,
                "LOG_LEVEL": "debug",
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "uid": "d",
                "creationTimestamp": "2026-01-01T09:00:00Z",
                "managedFields": [
                    {
                        "manager": "kubectl",
                        "operation": "Update",
                        "apiVersion": "apps/v1",
                        "time": "2026-01-01T11:58:00Z",
                        "fieldsV1": {"f:spec": {"f:template": {"f:spec": {f'k:{{"x":"{TOKEN}"}}': {}}}}},
                    }
                ],
            },
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
            "status": {"replicas": 1, "unavailableReplicas": 1},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": "web-1",
                "namespace": "shop",
                "uid": "r",
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": True}
                ],
            },
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "web-1-a",
                "namespace": "shop",
                "uid": "p",
                "labels": labels,
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": True}
                ],
            },
            "spec": {**template["spec"], "nodeName": "one"},  # type: ignore[dict-item]  # a spec is a mapping
            "status": {
                "phase": "Running",
                "containerStatuses": [
                    {
                        "name": "web",
                        "restartCount": 4,
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": f"bad {TOKEN}"}},
                    }
                ],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e", "namespace": "shop"},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-1-a", "uid": "p", "apiVersion": "v1"},
            "reason": "BackOff",
            "type": "Warning",
            "message": f"login of {PLANTED['weak']} with {TOKEN} failed",
            "lastTimestamp": "2026-01-01T11:59:30Z",
        },
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "shop"},
         "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        {"apiVersion": "acme.test/v1", "kind": "Gadget", "metadata": {"name": "g", "namespace": "shop"},
         "spec": {"adminPassword": PLANTED["in-config"], "replicas": 2, "secretName": "db"}},
    ]  # fmt: skip


def logs(view: Snapshot) -> dict[Need, str]:
    line = f"panic: login {PLANTED['weak']} at postgres://web:{PLANTED['in-url']}@db:5432 with {TOKEN} {json.dumps(PASSWORD)}"
    return dict.fromkeys(needs(view, now=NOW), f"starting\n{line}\n")


@pytest.fixture(scope="module")
def taken() -> snapshots.Taken:
    view = Snapshot(objects())
    return snapshots.redacted(view, {("", "Node")}, logs(view), NOW, b"k" * 32)


@pytest.fixture(scope="module")
def written(taken: snapshots.Taken) -> str:
    return snapshots.dump(taken.document).decode()


@pytest.mark.parametrize("name", PLANTED)
def test_no_planted_secret_is_in_it_in_any_encoding(name: str, written: str) -> None:
    everything = json.loads(written)
    texts = "\n".join([written, *_texts(everything)])
    for encoding, form in encodings(PLANTED[name]).items():
        assert form not in texts, encoding


def _texts(item: Any) -> list[str]:
    """Every text in it, and what each is when it is decoded."""
    if isinstance(item, dict):
        return [text for pair in item.items() for part in pair for text in _texts(part)]
    if isinstance(item, list):
        return [text for one in item for text in _texts(one)]
    if not isinstance(item, str):
        return []
    try:
        return [item, base64.b64decode(item, validate=True).decode()]
    except ValueError:
        return [item]


def test_no_line_of_a_private_key_is_in_it(written: str) -> None:
    for line in PEM.splitlines()[1:-1]:
        assert line[:40] not in written
        assert line[:40] not in "\n".join(_texts(json.loads(written)))


def test_the_findings_are_those_of_the_cluster(taken: snapshots.Taken, written: str) -> None:
    view = Snapshot(objects())
    live = examine(view, scope="live", now=NOW, answers=logs(view), unseen={("", "Node")})
    again = snapshots.examine_snapshot(json.loads(written), snapshots.taken(taken.document, NOW)).findings
    assert live
    assert "secret.key" in {one.rule for one in live}
    assert [_told(one) for one in again] == [_told(one) for one in live]


def _told(one: Any) -> Any:
    """A finding's JSON without what was redacted, whose stand-ins differ from what a live diagnosis puts in its place."""
    found = records.finding(one)
    found["cause"] = found["cause"][:40]
    found["evidence"] = [(item["kind"], item["subject"], item["text"][:24]) for item in found["evidence"]]
    return found


def test_what_a_diagnosis_needs_stays(taken: snapshots.Taken) -> None:
    found = {(one["kind"], one["metadata"]["name"]): one for one in taken.document["objects"]}
    config = found["ConfigMap", "web"]["data"]
    assert config["LOG_LEVEL"] == "debug"
    assert config["app.yaml"].startswith("db:\n  host: db.shop\n  password: REDACTED_")
    container = found["Deployment", "web"]["spec"]["template"]["spec"]["containers"][0]
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert env["TOKEN_FILE"] == "/var/run/token"
    assert env["SECRET_NAME"] == "db"
    assert env["DB_URL"].endswith("@db.shop:5432/web")
    assert container["args"][3] == "--listen=:8080"
    assert container["image"] == "web:1"
    secret = found["Secret", "db"]
    assert list(secret["data"]) == ["password", "token", "user", "url", ".env"]
    url = base64.b64decode(secret["data"]["url"]).decode()
    assert "@cache.shop:6379/" in url
    assert base64.b64decode(secret["data"]["password"]).decode().endswith("\n")
    assert found["Gadget", "g"]["spec"]["secretName"] == "db"
    wrote = found["Deployment", "web"]["metadata"]["managedFields"][0]
    assert wrote["fieldsV1"] == {"f:spec": {"f:template": {}}}


def test_a_certificate_stays_and_its_key_becomes_the_public_half(taken: snapshots.Taken) -> None:
    secret = next(one for one in taken.document["objects"] if one["metadata"]["name"] == "tls")
    assert base64.b64decode(secret["data"]["tls.crt"]).decode() == CERTIFICATE
    half = halves.read(base64.b64decode(secret["data"]["tls.key"]).decode())
    assert half is not None
    assert half.der == KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def certificate(host: str) -> tuple[str, str]:
    """A certificate for a host and its private key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return made.public_bytes(Encoding.PEM).decode(), pem


@pytest.mark.parametrize("sort", ["right", "wrong", "broken", "encrypted", "both in one"])
def test_whether_a_key_is_of_its_certificate_is_known_without_the_key(sort: str) -> None:
    chain, key = certificate("shop.test")
    other = certificate("shop.test")[1]
    locked = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x" * 8)).decode()
    held = {
        "right": {"tls.crt": chain, "tls.key": key},
        "wrong": {"tls.crt": chain, "tls.key": other},
        "broken": {"tls.crt": chain, "tls.key": key[:80] + "\n-----END PRIVATE KEY-----\n"},
        "encrypted": {"tls.crt": chain, "tls.key": locked},
        "both in one": {"tls.crt": chain + other, "tls.key": chain + other},
    }[sort]
    meta = {"name": "tls", "namespace": "shop"}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta}
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": "shop.test", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"tls": [{"hosts": ["shop.test"], "secretName": "tls"}], "rules": [rule]},
    }
    live = [{**secret, "data": {name: b64(text) for name, text in held.items()}}, ingress]
    taken = snapshots.redacted(live, (), {}, NOW, b"k" * 32)
    for line in (key + other + locked).splitlines():
        assert line[:40] not in "\n".join(_texts(taken.document)) or "-----" in line
    found = [
        one for one in examine(Snapshot(live), scope="live", now=NOW) if one.rule.startswith("certificate.")
    ]
    again = [one for one in snapshots.examine_snapshot(taken.document, NOW).findings if one.rule.startswith("certificate.")]  # fmt: skip
    assert again == found
    assert bool(found) == (sort != "right")


def test_registries_stay_and_their_credentials_go(taken: snapshots.Taken) -> None:
    secret = next(one for one in taken.document["objects"] if one["metadata"]["name"] == "pull")
    document = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert list(document["auths"]) == ["registry.test"]
    assert base64.b64decode(document["auths"]["registry.test"]["auth"]).count(b":") == 1


def test_the_cluster_s_objects_are_not_changed() -> None:
    before = objects()
    copy = json.loads(json.dumps(before))
    snapshots.redacted(before, (), {}, NOW, b"k" * 32)
    assert before == copy


def test_stand_ins_are_of_one_snapshot() -> None:
    one, same, other = (
        snapshots.redacted(objects(), (), {}, NOW, key).document for key in (b"a" * 32, b"a" * 32, b"b" * 32)
    )
    assert one == same
    assert one != other


@pytest.mark.parametrize("name", ["one.json", "one.json.gz"])
def test_it_is_written_and_read(taken: snapshots.Taken, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    snapshots.write(taken.document, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert snapshots.read(path) == taken.document
    assert [one.name for one in tmp_path.iterdir()] == [name]


def document(**more: Any) -> bytes:
    head = {"apiVersion": "fairlead.dev/v1alpha1", "kind": "Snapshot", "takenAt": "2026-01-01T12:00:00Z", "scope": "live"}  # fmt: skip
    return json.dumps({**head, "objects": [], "answers": [], "unseen": [], **more}).encode()


HOSTILE: Mapping[str, tuple[bytes, str]] = {
    "nothing": (b"", "is not JSON"),
    "text": (b"hello", "is not JSON"),
    "a list": (b"[]", "is no snapshot"),
    "another kind": (b'{"kind": "Pod"}', "is no snapshot, but a Pod"),
    "another version": (document(apiVersion="fairlead.dev/v9"), "of version fairlead.dev/v9"),
    "another scope": (document(scope="files"), "not of a cluster"),
    "no time": (document(takenAt="soon"), "does not say when"),
    "no objects": (document(objects={"a": 1}), "objects is no list"),
    "objects of another sort": (document(objects=[1]), "objects is no list"),
    "an object without a name": (document(objects=[{"apiVersion": "v1", "kind": "Pod"}]), "objects[0] has no name"),
    "owners that are none": (
        document(objects=[{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "ownerReferences": [{}]}}]),
        "objects[0] has ownerReferences that are none",
    ),
    "labels that are none": (
        document(objects=[{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": [1]}}]),
        "objects[0] has a labels that is none",
    ),
    "deep": (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "nested too deep"),
    "cut off": (gzip.compress(document() * 100)[:40], "is cut off"),
    "damaged": (gzip.compress(document())[:12] + b"\xff" * 40, "is damaged"),
    "not UTF-8": (b"\xff\xfe\xfa", "is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_one_clear_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    content, said = HOSTILE[name]
    path.write_bytes(content)
    with pytest.raises(snapshots.Unreadable) as raised:
        snapshots.read(path)
    assert said in str(raised.value)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "LARGEST", 1 << 20)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b" " * (64 << 20)))
    with pytest.raises(snapshots.Unreadable, match="too large"):
        snapshots.read(path)


def test_odd_objects_are_redacted_without_a_fault() -> None:
    odd: list[Resource] = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"a": "%%%", "b": 5, "c": None, "d": ""}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}, "data": "text", "stringData": {"x": "\ud800abcdefgh1"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c", "annotations": None}, "stringData": None, "data": {"k": b64("\0\1" * 40)}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}, "data": {"a": 5, "b": "\ud800 half"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "e", "annotations": {"a": 5}}, "spec": {"containers": [{"env": 5}]}},
    ]  # fmt: skip
    written = snapshots.dump(snapshots.redacted(odd, (), {}, NOW, b"k" * 32).document).decode()
    assert "abcdefgh1" not in written
    assert "%%%" not in written
