"""Service accounts' tokens say who, for whom and how long, and die with what they are bound to."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fairlead.faces.kube.accounttokens import AUDIENCES, Claim, Issuer
from fairlead.words import Resource

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT: Resource = {"metadata": {"name": "web", "namespace": "shop", "uid": "u1"}}
POD: Resource = {"metadata": {"name": "web-1", "namespace": "shop", "uid": "u2"}}


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    return Issuer(lambda: key)


class Lookup(dict[tuple[str, str], Resource]):
    def __call__(self, group: str, plural: str, namespace: str, name: str) -> Resource | None:
        assert (group, namespace) == ("", "shop")
        return self.get((plural, name))


def _there() -> Lookup:
    return Lookup({("serviceaccounts", "web"): ACCOUNT, ("pods", "web-1"): POD})


def _claim(**more: Any) -> Claim:
    return Claim(**{"account": ACCOUNT, "audiences": AUDIENCES, "seconds": 600, **more})


def test_a_token_tells_who_holds_it(issuer: Issuer) -> None:
    token, expires = issuer.issue(_claim(bound=POD, bound_kind="Pod"), NOW)
    assert expires == NOW + timedelta(seconds=600)
    found = issuer.user(token, _there(), NOW)
    assert found is not None
    user, audiences = found
    assert audiences == AUDIENCES
    assert user.name == "system:serviceaccount:shop:web"
    assert user.uid == "u1"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    extra = dict(user.extra)
    assert extra["authentication.kubernetes.io/pod-name"] == ("web-1",)
    assert extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


def test_a_token_runs_out(issuer: Issuer) -> None:
    token, _ = issuer.issue(_claim(), NOW)
    assert issuer.user(token, _there(), NOW + timedelta(seconds=599)) is not None
    assert issuer.user(token, _there(), NOW + timedelta(seconds=600)) is None
    assert issuer.user(token, _there(), NOW - timedelta(minutes=5)) is None


@pytest.mark.parametrize("gone", [("serviceaccounts", "web"), ("pods", "web-1")])
def test_a_token_dies_with_what_it_is_bound_to(issuer: Issuer, gone: tuple[str, str]) -> None:
    token, _ = issuer.issue(_claim(bound=POD, bound_kind="Pod"), NOW)
    lookup = _there()
    del lookup[gone]
    assert issuer.user(token, lookup, NOW) is None
    lookup[gone] = {"metadata": {"uid": "another"}}
    assert issuer.user(token, lookup, NOW) is None


def test_audiences_must_match(issuer: Issuer) -> None:
    token, _ = issuer.issue(_claim(audiences=("vault",)), NOW)
    assert issuer.user(token, _there(), NOW) is None
    found = issuer.user(token, _there(), NOW, ("vault", "other"))
    assert found is not None
    assert found[1] == ("vault",)


def test_forged_tokens_are_refused(issuer: Issuer) -> None:
    token, _ = issuer.issue(_claim(), NOW)
    head, content, signature = token.split(".")
    other = Issuer(lambda: ec.generate_private_key(ec.SECP256R1())).issue(_claim(), NOW)[0]
    none = base64.urlsafe_b64encode(orjson.dumps({"alg": "none"})).decode().rstrip("=")
    longer = base64.urlsafe_b64encode(b'{"exp":99999999999}').decode().rstrip("=")
    for forged in (
        other,
        f"{none}.{content}.",
        f"{none}.{content}.{signature}",
        f"{head}.{longer}.{signature}",
        f"{head}.{content}.{signature[:-4]}AAAA",
        f"{head}.{content}",
        "a.b.c",
        "",
        "....",
        "é.é.é",
    ):
        assert issuer.user(forged, _there(), NOW) is None


def test_the_key_set_is_public(issuer: Issuer) -> None:
    (key,) = issuer.key_set()["keys"]
    assert key["kid"] == issuer.key_id
    assert set(key) == {"use", "kty", "kid", "crv", "alg", "x", "y"}
