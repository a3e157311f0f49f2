"""Registries that lie, stall, or lead astray: each is a clear refusal, and leaves nothing behind."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.oci.conftest import Answers, Asked, Said, client, run, scripted

from fairlead.drivers.oci.credentials import Login
from fairlead.drivers.oci.descriptors import MANIFEST, Descriptor, digest_of
from fairlead.drivers.oci.errors import BadDigest, Denied, RegistryError, TooLarge, Unreachable
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.wire import Manners
from fairlead.drivers.pki import open_pki

DATA = b"content" * 1000
BLOB = Descriptor.of(DATA, "text/plain")
BODY = json.dumps(
    {"schemaVersion": 2, "mediaType": MANIFEST, "config": BLOB.document(), "layers": []}
).encode()
TYPED = {"Content-Type": MANIFEST}


def circle(asked: Asked) -> Said:
    return Said(302, b"", {"Location": asked.target})


def farther(asked: Asked) -> Said:
    return Said(302, b"", {"Location": f"{asked.target}x"})


@pytest.mark.parametrize(
    ("answers", "error", "says"),
    [
        (lambda _: Said(body=DATA[:-1] + b"X"), BadDigest, "digest"),
        (lambda _: Said(body=DATA[:-1]), BadDigest, "announces 6999 bytes"),
        (lambda _: Said(body=DATA + b"X"), TooLarge, "announces 7001 bytes"),
        (lambda _: Said(endless=True), TooLarge, "more than the 7000 bytes"),
        (lambda _: Said(206, DATA, {"Content-Range": "bytes 5-10/20"}), Unreachable, "broke off"),
        (circle, RegistryError, "in a circle"),
        (farther, RegistryError, "in a circle"),
        (lambda _: Said(302, b"", {"Location": "http://example.com/x"}), RegistryError, "without TLS"),
        (lambda _: Said(302, b"", {"Location": "file:///etc/passwd"}), RegistryError, "no address"),
        (lambda _: Said(302, b"", {"Location": "http://[bad/x"}), RegistryError, "no address"),
        (lambda _: Said(500, b"<html>" * 50_000), Unreachable, "fails \\(500"),
        (lambda _: Said(400, b'{"errors": [{"code": "X\\u001b[2J", "message": 7}]}'), RegistryError, "400"),
        (lambda _: Said(403, b"[" * 60_000), Denied, "403"),
        (lambda _: Said(200, DATA[:10], {"Content-Length": "7000"}, cut=True), Unreachable, "broke off"),
    ],
)
def test_a_blob_that_is_not_the_one_asked_for_is_refused_and_gone(
    answers: Answers, error: type[Exception], says: str, tmp_path: Path
) -> None:
    async def work() -> None:
        async with scripted(answers) as registry, client() as store:
            await store.fetch(Reference.parse(f"oci://{registry.host}/a/b"), BLOB, tmp_path / "blob")

    with pytest.raises(error, match=says) as caught:
        run(work())
    assert "\x1b" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "error", "says"),
    [
        (Said(body=BODY, headers={"Content-Type": "text/html"}), RegistryError, "text/html is no manifest's"),
        (Said(body=BODY, headers={**TYPED, "Docker-Content-Digest": digest_of(b"x")}), BadDigest, "digest"),
        (
            Said(body=BODY, headers={**TYPED, "Docker-Content-Digest": "sha256:../x"}),
            RegistryError,
            "hexadecimal",
        ),
        (Said(body=b" " * (5 << 20), headers=TYPED), TooLarge, "4194304"),
        (Said(endless=True, headers=TYPED), TooLarge, "4194304"),
        (Said(body=b"{", headers=TYPED), RegistryError, "not JSON"),
        (Said(body=b"", headers=TYPED), RegistryError, "not JSON"),
    ],
)
def test_a_manifest_that_cannot_be_one_is_refused(said: Said, error: type[Exception], says: str) -> None:
    async def work() -> None:
        async with scripted(lambda _: said) as registry, client() as store:
            await store.manifest(Reference.parse(f"oci://{registry.host}/a/b:1"))

    with pytest.raises(error, match=says):
        run(work())


def test_a_manifest_by_digest_is_that_one_or_none() -> None:
    async def work(digest: str) -> None:
        async with scripted(lambda _: Said(body=BODY, headers=TYPED)) as registry, client() as store:
            found, _ = await store.manifest(Reference.parse(f"oci://{registry.host}/a/b@{digest}"))
            assert found.digest == digest

    run(work(digest_of(BODY)))
    run(work(digest_of(BODY, "sha512")))
    with pytest.raises(BadDigest):
        run(work(digest_of(b"else")))


@pytest.mark.parametrize(
    "answers", [lambda _: Said(stall=20), lambda _: Said(200, b"", {"Content-Length": "7000"})]
)
def test_a_registry_that_stalls_is_left(answers: Callable[[Asked], Said]) -> None:
    async def work() -> None:
        async with scripted(answers) as registry, client(read_seconds=0.2) as store:
            await store.blob(Reference.parse(f"oci://{registry.host}/a/b"), BLOB)

    with pytest.raises(Unreachable, match=r"stalls|broke off"):
        run(work())


def test_pages_that_do_not_end_and_tags_that_are_none_are_refused() -> None:
    async def work(said: Said) -> None:
        async with scripted(lambda _: said) as registry, client() as store:
            await store.tags(f"{registry.host}/a/b")

    loop = Said(body=b'{"tags": ["a"]}', headers={"Link": '</v2/a/b/tags/list?n=1000&last=a>; rel="next"'})
    with pytest.raises(RegistryError, match="do not end"):
        run(work(loop))
    with pytest.raises(RegistryError, match="no list of texts"):
        run(work(Said(body=b'{"tags": [1]}')))
    with pytest.raises(RegistryError, match="without TLS"):
        run(work(Said(body=b'{"tags": []}', headers={"Link": '<http://example.com/x>; rel="next"'})))


@pytest.mark.parametrize(
    ("challenge", "token", "error", "says"),
    [
        ('Bearer realm="http://auth.example.com/token"', b"", RegistryError, "not safe"),
        ('Bearer realm="ftp://x"', b"", RegistryError, "no address"),
        ("Negotiate", b"", Denied, "offers negotiate"),
        ("", b"", Denied, "offers nothing"),
        ("Bearer realm=@", b"{}", RegistryError, "without a token"),
        ("Bearer realm=@", b'{"token": "a\\nInjected: x"}', RegistryError, "without a token"),
        ("Bearer realm=@", b'{"token": "never enough"}', Denied, "who is asking"),
        ("Bearer realm=@", b" " * (2 << 20), TooLarge, "issues tokens"),
        ("Basic realm=x", b"", Denied, "does not accept the login of me"),
    ],
)
def test_bad_ways_in_are_refused_and_the_secret_stays(
    challenge: str, token: bytes, error: type[Exception], says: str
) -> None:
    def answers(asked: Asked) -> Said:
        if asked.path == "/token":
            return Said(body=token)
        real = challenge.replace("@", f'"http://{asked.headers["host"]}/token"')
        return Said(401, b"", {"WWW-Authenticate": real})

    async def work() -> None:
        async with (
            scripted(answers) as registry,
            client(login=Login("me", "s3cret"), host=registry.host) as store,
        ):
            await store.tags(f"{registry.host}/a/b")

    with pytest.raises(error, match=says) as caught:
        run(work())
    assert "s3cret" not in str(caught.value)


def test_an_upload_that_is_refused_is_closed() -> None:
    def answers(asked: Asked) -> Said:
        if asked.method == "POST":
            return Said(202, headers={"Location": "/up/1"})
        if asked.method == "PUT":
            return Said(400, b'{"errors": [{"code": "DIGEST_INVALID", "message": "no"}]}')
        return Said(404 if asked.method == "HEAD" else 204)

    async def work() -> list[str]:
        async with scripted(answers) as registry, client() as store:
            with pytest.raises(BadDigest, match="DIGEST_INVALID: no"):
                await store.push_blob(f"{registry.host}/a/b", DATA)
            return [asked.method for asked in registry.asked]

    assert run(work())[-1] == "DELETE"


def test_hosts_that_are_not_this_machine_are_asked_by_tls_only_unless_named() -> None:
    async def work() -> None:
        async with client() as store:
            ref = Reference.parse("oci://registry.example.com/a/b")
            assert await store._wire.origin(ref) == "https://registry.example.com"
        async with client(plain_http=["registry.example.com"]) as store:
            assert await store._wire.origin(ref) == "http://registry.example.com"
            other = Reference.parse("oci://other.example.com/a/b")
            assert await store._wire.origin(other) == "https://other.example.com"

    run(work())
    context = Manners(insecure=True).context()
    assert context.verify_mode == ssl.CERT_NONE
    assert Manners().context().verify_mode == ssl.CERT_REQUIRED


def test_a_certificate_that_nobody_vouches_for_is_refused_and_an_authority_may_be_named(
    tmp_path: Path,
) -> None:
    pki = open_pki(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pki.certificate, pki.key)

    async def work(*, ca: str = "", insecure: bool = False) -> list[str]:
        said = Said(body=b'{"tags": ["1"]}')
        async with scripted(lambda _: said, tls) as registry, client(ca=ca, insecure=insecure) as store:
            return await store.tags(f"{registry.host}/a/b")

    with pytest.raises(Unreachable, match="certificate is not accepted"):
        run(work())
    assert run(work(ca=pki.ca.read_text())) == ["1"]
    assert run(work(insecure=True)) == ["1"]
