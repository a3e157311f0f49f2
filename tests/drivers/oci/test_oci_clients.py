"""The client against registries that behave: the platform's own, and scripted ones for what it does not do."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.drivers.oci.conftest import Asked, Said, client, run, scripted

from fairlead.drivers.oci.clients import Client
from fairlead.drivers.oci.credentials import Credentials, Login
from fairlead.drivers.oci.descriptors import EMPTY, INDEX, MANIFEST, Descriptor, digest_of
from fairlead.drivers.oci.errors import Denied, NotFound, RegistryError, Unreachable
from fairlead.drivers.oci.layouts import Layout
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.stores import Store, copy, fallback_tag


async def push(store: Store, ref: Reference, layer: bytes, tag: str = "", **more: Any) -> Descriptor:
    config = await store.push_blob(ref, b"{}", EMPTY)
    blob = await store.push_blob(ref, layer, "text/plain")
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.document(),
        "layers": [blob.document()],
    }
    return await store.push_manifest(ref, json.dumps({**document, **more}).encode(), MANIFEST, tag)


def test_an_artifact_goes_in_and_comes_out(platform_registry: tuple[str, Path], tmp_path: Path) -> None:
    host, account = platform_registry

    async def work() -> None:
        async with Client(Credentials([account], environment={})) as store:
            ref = Reference.parse(f"oci://{host}/team/app:1.0.0")
            data = os.urandom(200_000)
            done = await push(store, ref, data, "1.0.0")
            assert (await store.resolve(ref)).digest == done.digest
            found, body = await store.manifest(ref.at(done.digest))
            assert digest_of(body) == found.digest == done.digest
            layer = Descriptor.of(data, "text/plain")
            assert await store.blob(ref, layer) == data
            await store.fetch(ref, layer, tmp_path / "deep" / "blob")
            assert (tmp_path / "deep" / "blob").read_bytes() == data
            assert await store.has_blob(ref, layer.digest)
            assert not await store.has_blob(ref, digest_of(b"none"))
            await store.tag(ref, "latest")
            assert await store.tags(ref) == ["1.0.0", "latest"]
            signature = await push(
                store, ref, b"sig", subject=done.document(), artifactType="application/x-sig"
            )
            assert [one.digest for one in await store.referrers(ref, done.digest, "application/x-sig")] == [
                signature.digest
            ]
            assert await store.referrers(ref, done.digest, "application/other") == []
            other = Reference.parse(f"oci://{host}/team/other:2.0.0")
            assert await store.mount(other, layer.digest, ref)
            assert (await copy(store, ref, store, other, referrers=True)).digest == done.digest
            assert len(await store.referrers(other, done.digest)) == 1
            await store.delete(other.at(done.digest))
            with pytest.raises(NotFound, match=r"team/other:2\.0\.0"):
                await store.resolve(other)
            layout = Layout(tmp_path / "layout")
            there = Reference("", "", "x")
            assert (await copy(store, ref, layout, there, referrers=True)).digest == done.digest
            assert len(await layout.referrers(there, done.digest)) == 1
            back = Reference.parse(f"oci://{host}/team/back:x")
            assert (await copy(layout, there, store, back)).digest == done.digest

    run(work())


def test_large_blobs_go_in_chunks_and_in_one_piece(
    platform_registry: tuple[str, Path], tmp_path: Path
) -> None:
    host, account = platform_registry
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3 << 20))
    told: list[int] = []

    async def work() -> None:
        ref = Reference.parse(f"oci://{host}/large/file")
        credentials = Credentials([account], environment={})
        async with Client(
            credentials, chunk=1 << 20, progress=lambda _, count, __: told.append(count)
        ) as store:
            blob = await store.push_blob(ref, path)
            await store.fetch(ref, blob, tmp_path / "back")
        async with Client(credentials) as store:
            strong = await store.push_blob(ref, path, algorithm="sha512")
            assert strong.digest.startswith("sha512:")
            await store.fetch(ref, strong, tmp_path / "again")

    run(work())
    assert (tmp_path / "back").read_bytes() == path.read_bytes() == (tmp_path / "again").read_bytes()
    assert told[-1] == 3 << 20


def test_nobody_pushes_without_the_account(platform_registry: tuple[str, Path]) -> None:
    host, _ = platform_registry

    async def work(login: Login | None) -> None:
        async with client(login=login, host=host) as store:
            await store.push_blob(f"{host}/a/b", b"x")

    with pytest.raises(Denied, match="registry login"):
        run(work(None))
    with pytest.raises(Denied) as caught:
        run(work(Login("fairlead", "wrong-secret")))
    assert "wrong-secret" not in str(caught.value)


TOKEN = "t0k3n"


def test_tokens_are_asked_for_with_the_rights_that_are_needed_and_kept() -> None:
    def answers(asked: Asked) -> Said:
        if asked.path == "/token":
            return Said(body=json.dumps({"access_token": TOKEN, "expires_in": 300}).encode())
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            realm = f'Bearer realm="http://{asked.headers["host"]}/token",service="here",scope="repository:a/b:pull"'
            return Said(401, b"{}", {"WWW-Authenticate": realm})
        if asked.path.endswith("/tags/list"):
            return Said(body=b'{"tags": ["1", "2"]}')
        return Said(404)

    async def work(login: Login | None) -> list[Asked]:
        async with scripted(answers) as registry, client(login=login, host=registry.host) as store:
            ref = Reference.parse(f"oci://{registry.host}/a/b")
            assert await store.tags(ref) == ["1", "2"]
            await store.tags(ref)
            assert not await store.has_blob(ref, digest_of(b"x"))
            return [asked for asked in registry.asked if asked.path == "/token"]

    (asked,) = run(work(Login("me", "pw")))
    assert asked.query["scope"] == ["repository:a/b:pull"]
    assert asked.query["service"] == ["here"]
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"me:pw").decode()
    (asked,) = run(work(None))
    assert "authorization" not in asked.headers
    (asked,) = run(work(Login(identity_token="identity")))
    assert asked.method == "POST"
    assert b"grant_type=refresh_token&refresh_token=identity" in asked.body


def test_a_token_that_ran_out_is_renewed_once() -> None:
    given = 0

    def answers(asked: Asked) -> Said:
        nonlocal given
        if asked.path == "/token":
            given += 1
            return Said(body=json.dumps({"token": f"t{given}"}).encode())
        if asked.headers.get("authorization") != "Bearer t2":
            return Said(
                401, b"", {"WWW-Authenticate": f'Bearer realm="http://{asked.headers["host"]}/token"'}
            )
        return Said(body=b'{"tags": []}')

    async def work() -> None:
        async with scripted(answers) as registry, client() as store:
            assert await store.tags(f"{registry.host}/a/b") == []

    run(work())
    assert given == 2


def test_what_fails_for_a_moment_is_asked_again_after_the_time_that_it_wants() -> None:
    waits: list[float] = []
    replies = [
        Said(503),
        Said(429, headers={"Retry-After": "7"}),
        Said(cut=True, headers={"Content-Length": "9"}),
        Said(body=b'{"tags": ["1"]}'),
    ]

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    async def work() -> list[str]:
        async with scripted(lambda _: replies.pop(0)) as registry, client(pause=pause) as store:
            with pytest.raises(RegistryError, match="broke off"):
                await store.tags(f"{registry.host}/a/b")
            return await store.tags(f"{registry.host}/a/b")

    assert run(work()) == ["1"]
    assert waits[1] == 7


def test_a_registry_that_wants_to_be_left_for_long_is_left() -> None:
    async def work() -> None:
        async with (
            scripted(lambda _: Said(429, headers={"Retry-After": "3600"})) as registry,
            client() as store,
        ):
            await store.tags(f"{registry.host}/a/b")

    with pytest.raises(Unreachable, match="asked again in 3600 s"):
        run(work())


def test_a_blob_that_lies_elsewhere_is_there() -> None:
    async def work() -> None:
        gone = {"Location": "https://blobs.example.com/x"}
        async with scripted(lambda _: Said(307, headers=gone)) as registry, client() as store:
            assert await store.has_blob(f"{registry.host}/a/b", digest_of(b"x"))

    run(work())


def test_pages_are_followed() -> None:
    def answers(asked: Asked) -> Said:
        last = asked.query.get("last", [""])[0]
        following = {"": "b", "b": "d"}.get(last)
        link = {"Link": f'</v2/a/b/tags/list?n=2&last={following}>; rel="next"'} if following else {}
        return Said(
            body=json.dumps({"tags": {"": ["a", "b"], "b": ["c", "d"]}.get(last, ["e"])}).encode(),
            headers=link,
        )

    async def work() -> list[str]:
        async with scripted(answers) as registry, client() as store:
            return await store.tags(f"{registry.host}/a/b")

    assert run(work()) == ["a", "b", "c", "d", "e"]


def test_a_blob_that_is_elsewhere_is_fetched_there_without_the_login() -> None:
    data = b"content"

    async def work() -> None:
        async with scripted(lambda _: Said(body=data)) as elsewhere:

            def answers(asked: Asked) -> Said:
                if "authorization" not in asked.headers:
                    return Said(401, b"", {"WWW-Authenticate": "Basic realm=x"})
                return Said(307, b"", {"Location": f"http://{elsewhere.host}/blob?signed=1"})

            async with (
                scripted(answers) as registry,
                client(login=Login("me", "pw"), host=registry.host) as store,
            ):
                ref = Reference.parse(f"oci://{registry.host}/a/b")
                assert await store.blob(ref, Descriptor.of(data, "x")) == data
            (asked,) = elsewhere.asked
            assert asked.target == "/blob?signed=1"
            assert "authorization" not in asked.headers

    run(work())


def test_a_download_that_is_cut_goes_on_where_it_was() -> None:
    data = os.urandom(400_000)
    ranges: list[str] = []

    def answers(asked: Asked) -> Said:
        start = int(asked.headers.get("range", "bytes=0-")[6:-1])
        ranges.append(asked.headers.get("range", ""))
        headers = {
            "Content-Length": str(len(data) - start),
            "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}",
        }
        return Said(206 if start else 200, data[start : start + 150_000], headers, cut=True)

    async def work() -> None:
        async with scripted(answers) as registry, client() as store:
            assert (
                await store.blob(Reference.parse(f"oci://{registry.host}/a/b"), Descriptor.of(data, "x"))
                == data
            )

    run(work())
    assert ranges[0] == ""
    assert len(ranges) == 3


def test_a_download_begins_anew_where_ranges_are_not_known(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    count = 0

    def answers(_: Asked) -> Said:
        nonlocal count
        count += 1
        return Said(
            200, data[: 100_000 if count == 1 else None], {"Content-Length": str(len(data))}, cut=True
        )

    async def work() -> None:
        async with scripted(answers) as registry, client() as store:
            await store.fetch(
                Reference.parse(f"oci://{registry.host}/a/b"), Descriptor.of(data, "x"), tmp_path / "f"
            )

    run(work())
    assert (tmp_path / "f").read_bytes() == data
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_an_upload_that_breaks_off_goes_on_where_the_registry_is() -> None:
    data = os.urandom(500_000)
    kept = bytearray()
    broken = 0

    def answers(asked: Asked) -> Said:
        nonlocal broken
        where = {"Location": f"/upload/{len(kept)}"}
        if asked.method == "HEAD":
            return Said(404)
        if asked.method == "POST":
            return Said(202, headers=where)
        if asked.method == "PATCH" and broken == 0:
            broken += 1
            kept.extend(asked.body[:100_000])
            return Said(502)
        if asked.method == "GET":
            return Said(204, headers={**where, "Range": f"0-{len(kept) - 1}"})
        if asked.method == "PATCH":
            if int(asked.headers["content-range"].partition("-")[0]) != len(kept):
                return Said(416)
            kept.extend(asked.body)
            return Said(202, headers={**where, "Range": f"0-{len(kept) - 1}"})
        if asked.method == "PUT":
            assert asked.query["digest"] == [digest_of(data)]
            kept.extend(asked.body)
        return Said(201)

    async def work() -> None:
        async with scripted(answers) as registry, client(chunk=200_000) as store:
            await store.push_blob(f"{registry.host}/a/b", data)

    run(work())
    assert bytes(kept) == data


def test_a_registry_without_the_referrers_api_has_the_index_of_the_tag_schema() -> None:
    manifests: dict[str, tuple[str, bytes]] = {}

    def answers(asked: Asked) -> Said:
        name = asked.path.rpartition("/")[2]
        if "/referrers/" in asked.path:
            return Said(404, b"404 page not found")
        if asked.method == "PUT":
            manifests[name] = manifests[digest_of(asked.body)] = (asked.headers["content-type"], asked.body)
            return Said(201)
        if asked.method == "DELETE":
            manifests.pop(name, None)
            return Said(202)
        if "/blobs/" in asked.path:
            return Said(200)
        kind, body = manifests.get(name, ("", b""))
        return Said(200, body, {"Content-Type": kind}) if kind else Said(404)

    async def work() -> None:
        async with scripted(answers) as registry, client() as store:
            ref = Reference.parse(f"oci://{registry.host}/a/b")
            about = await push(store, ref, b"x", "1.0.0")
            assert await store.referrers(ref, about.digest) == []
            notes: dict[str, Any] = {"subject": about.document(), "annotations": {"k": "v"}}
            one = await push(store, ref, b"one", artifactType="application/one", **notes)
            two = await push(store, ref, b"two", artifactType="application/two", **notes)
            found = await store.referrers(ref, about.digest)
            assert [(item.digest, item.artifact_type, dict(item.annotations)) for item in found] == [
                (one.digest, "application/one", {"k": "v"}),
                (two.digest, "application/two", {"k": "v"}),
            ]
            assert [item.digest for item in await store.referrers(ref, about.digest, "application/two")] == [
                two.digest
            ]
            kind, _ = manifests[fallback_tag(about.digest)]
            assert kind == INDEX
            await store.delete(ref.at(one.digest))
            assert [item.digest for item in await store.referrers(ref, about.digest)] == [two.digest]

    run(work())


def test_proxies_are_those_of_the_environment_but_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> list[str]:
        async with (
            scripted(lambda _: Said(body=b'{"tags": ["1"]}')) as proxy,
            scripted(lambda _: Said(body=b"{}")) as own,
        ):
            monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
            monkeypatch.setenv("NO_PROXY", "")
            async with client(plain_http=["registry.example.com"]) as store:
                assert await store.tags("registry.example.com/a/b") == ["1"]
                assert await store.tags(f"{own.host}/a/b") == []
            return [asked.target for asked in proxy.asked]

    assert run(work()) == ["http://registry.example.com/v2/a/b/tags/list?n=1000"]
