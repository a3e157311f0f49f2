"""The registry's protocol, spoken to over HTTP: pull, push, mount, referrers, deletion, garbage, tokens, and clients that err."""

from __future__ import annotations

import hashlib
import json
import socket
import sqlite3
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from tests.faces.registry.conftest import Registry

from fairlead.drivers.blobs import BlobError, Blobs
from fairlead.faces.registry.tokens import Guard

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
SIGNATURE = "application/vnd.test.signature"


@pytest.fixture
def client(registry: Registry) -> Iterator[httpx.Client]:
    with registry.client() as one:
        yield one


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


def test_what_is_pushed_is_pulled_by_tag_and_by_digest_in_whole_and_in_part(
    registry: Registry, client: httpx.Client
) -> None:
    layer = bytes(range(256)) * 5000
    digest = registry.push(client, "shop/web", "1.0.0", layer)
    with registry.client(account=False) as anybody:
        for reference in ("1.0.0", digest):
            found = anybody.get(f"/v2/shop/web/manifests/{reference}")
            assert found.headers["docker-content-digest"] == digest
            assert found.headers["content-type"] == MANIFEST
            head = anybody.head(f"/v2/shop/web/manifests/{reference}")
            assert (head.status_code, head.headers["content-length"]) == (200, str(len(found.content)))
        blob = anybody.get("/v2/shop/web/manifests/1.0.0").json()["layers"][0]["digest"]
        path = f"/v2/shop/web/blobs/{blob}"
        assert anybody.get(path).content == layer
        assert anybody.head(path).headers["content-length"] == str(len(layer))
        part = anybody.get(path, headers={"range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, layer[1000:2000])
        assert part.headers["content-range"] == f"bytes 1000-1999/{len(layer)}"
        assert anybody.get(path, headers={"range": "bytes=1279000-"}).content == layer[1279000:]
        assert anybody.get(path, headers={"range": "bytes=-10"}).content == layer[-10:]
        assert code(anybody.get(path, headers={"range": "bytes=9999999-"})) == (416, "SIZE_INVALID")
        assert anybody.get("/v2/shop/web/tags/list").json() == {"name": "shop/web", "tags": ["1.0.0"]}


def test_an_upload_in_pieces_is_gone_on_with_after_a_cut(registry: Registry, client: httpx.Client) -> None:
    data = b"0123456789" * 300_000
    where = client.post("/v2/pieces/blobs/uploads/").headers["location"]
    first = client.patch(where, content=data[:1_000_000], headers={"content-range": "0-999999"})
    assert (first.status_code, first.headers["range"]) == (202, "0-999999")
    host, port = registry.url.split(":")
    with socket.create_connection((host, int(port))) as cut:
        token = client.get("/token", params={"scope": "repository:pieces:pull,push"}).json()["token"]
        head = f"PATCH {where} HTTP/1.1\r\nHost: {registry.url}\r\nAuthorization: Bearer {token}\r\nContent-Length: 2000000\r\n\r\n"
        cut.sendall(head.encode() + data[1_000_000:1_500_000])
    sizes = [0]
    while sizes[-1] <= 1_000_000 or sizes[-3:] != [sizes[-1]] * 3:  # what was cut may still arrive
        time.sleep(0.05)
        sizes.append(int(client.get(where).headers["range"].partition("-")[2]) + 1)
    size = sizes[-1]
    assert 1_000_000 < size <= 1_500_000
    wrong = client.patch(where, content=b"x", headers={"content-range": "5-5"})
    assert code(wrong) == (416, "BLOB_UPLOAD_INVALID")
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    done = client.put(where, params={"digest": digest}, content=data[size:])
    assert done.status_code == 201
    assert client.get(f"/v2/pieces/blobs/{digest}").content == data


def test_an_upload_outlives_the_process_and_nothing_pushed_is_lost(
    registries: Callable[[], Registry],
) -> None:
    registry = registries()
    registry.start("--port", "0")
    with registry.client() as client:
        kept = registry.push(client, "kept", "1.0.0", b"layer")
        where = client.post("/v2/kept/blobs/uploads/").headers["location"]
        client.patch(where, content=b"first half, ")
    registry.stop(kill=True)
    registry.start()
    with registry.client() as client:
        assert client.get("/v2/kept/manifests/1.0.0").headers["docker-content-digest"] == kept
        digest = f"sha256:{hashlib.sha256(b'first half, second half').hexdigest()}"
        assert client.put(where, params={"digest": digest}, content=b"second half").status_code == 201
        assert client.get(f"/v2/kept/blobs/{digest}").content == b"first half, second half"


def test_one_data_directory_has_one_registry(registries: Callable[[], Registry]) -> None:
    registry = registries()
    registry.start("--port", "0")
    with pytest.raises(BlobError, match="another process serves"):
        Blobs(registry.data / "registry")


def test_a_blob_is_mounted_from_another_repository_and_asked_for_where_it_is_not(
    registry: Registry, client: httpx.Client
) -> None:
    digest = registry.push_blob(client, "mount/from", b"shared")
    params = {"mount": digest, "from": "mount/from"}
    assert client.post("/v2/mount/to/blobs/uploads/", params=params).status_code == 201
    assert client.get(f"/v2/mount/to/blobs/{digest}").content == b"shared"
    absent = {"mount": "sha256:" + "0" * 64, "from": "mount/from"}
    assert client.post("/v2/mount/to/blobs/uploads/", params=absent).status_code == 202
    assert code(client.get(f"/v2/mount/other/blobs/{digest}")) == (404, "BLOB_UNKNOWN")


def test_referrers_are_found_by_their_subject_also_before_it_is_there(
    registry: Registry, client: httpx.Client
) -> None:
    subject = registry.push(client, "signed", "1.0.0", b"what is signed")
    about: dict[str, Any] = {"subject": {"mediaType": MANIFEST, "digest": subject, "size": 1}}
    one = registry.push(
        client, "signed", "", b"one", artifactType=SIGNATURE, annotations={"by": "me"}, **about
    )
    two = registry.push(client, "signed", "", b"two", artifactType="application/other", **about)
    found = client.get(f"/v2/signed/referrers/{subject}")
    assert found.headers["content-type"] == INDEX
    assert {entry["digest"] for entry in found.json()["manifests"]} == {one, two}
    filtered = client.get(f"/v2/signed/referrers/{subject}", params={"artifactType": SIGNATURE})
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    [entry] = filtered.json()["manifests"]
    assert (entry["digest"], entry["artifactType"], entry["annotations"]) == (one, SIGNATURE, {"by": "me"})
    nothing = client.get(f"/v2/signed/referrers/sha256:{'0' * 64}")
    assert nothing.json()["manifests"] == []


def test_deletion_takes_tags_and_manifests_and_leaves_what_is_used(
    registry: Registry, client: httpx.Client
) -> None:
    digest = registry.push(client, "gone", "1.0.0", b"one")
    blob = client.get("/v2/gone/manifests/1.0.0").json()["layers"][0]["digest"]
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{"mediaType": MANIFEST, "digest": digest, "size": 1}],
    }
    client.put("/v2/gone/manifests/all", json=index, headers={"content-type": INDEX}).raise_for_status()
    assert code(client.delete(f"/v2/gone/blobs/{blob}")) == (403, "DENIED")
    assert code(client.delete(f"/v2/gone/manifests/{digest}")) == (403, "DENIED")
    listed = client.get("/v2/gone/manifests/all").headers["docker-content-digest"]
    assert client.delete(f"/v2/gone/manifests/{listed}").status_code == 202
    assert client.delete("/v2/gone/manifests/1.0.0").status_code == 202
    assert client.get(f"/v2/gone/manifests/{digest}").status_code == 200
    assert client.delete(f"/v2/gone/manifests/{digest}").status_code == 202
    assert code(client.get(f"/v2/gone/manifests/{digest}")) == (404, "MANIFEST_UNKNOWN")
    assert client.delete(f"/v2/gone/blobs/{blob}").status_code == 202
    assert code(client.get("/v2/gone/tags/list")) == (404, "NAME_UNKNOWN")


def test_garbage_is_what_no_manifest_refers_to_and_nobody_waits_for(
    registries: Callable[[], Registry],
) -> None:
    registry = registries()
    registry.start("--port", "0")
    with registry.client() as client:
        digest = registry.push(client, "a", "1.0.0", b"stays")
        layer = client.get("/v2/a/manifests/1.0.0").json()["layers"][0]["digest"]
        loose = registry.push_blob(client, "a", b"goes")
        client.patch(
            client.post("/v2/a/blobs/uploads/").headers["location"], content=b"begun"
        ).raise_for_status()
    registry.stop()
    with closing(Blobs(registry.data / "registry")) as blobs:
        assert blobs.collect(time.time()) == (0, 0)
        assert blobs.collect(time.time() + 2 * 3600) == (1, len(b"goes"))
        assert blobs.collect(time.time() + 48 * 3600) == (1, len(b"begun"))
        assert blobs.path("a", layer).read_bytes() == b"stays"
        with pytest.raises(BlobError):
            blobs.path("a", loose)
        blobs.delete("a", digest)
        assert blobs.collect(time.time() + 2 * 3600) == (2, len(b"stays{}"))


def test_lists_come_in_pages(registry: Registry, client: httpx.Client) -> None:
    for number in range(5):
        registry.push(client, "pages", f"1.0.{number}", b"layer")
    found: list[list[str]] = []
    path = "/v2/pages/tags/list?n=2"
    while path:
        page = client.get(path)
        found.append(page.json()["tags"])
        path = page.links.get("next", {}).get("url", "")
    assert found == [["1.0.0", "1.0.1"], ["1.0.2", "1.0.3"], ["1.0.4"]]
    assert "pages" in client.get("/v2/_catalog").json()["repositories"]


@pytest.mark.parametrize(
    ("manifest", "media_type", "wanted"),
    [
        (b"no JSON", MANIFEST, (400, "MANIFEST_INVALID")),
        (b"[" * 100_000, MANIFEST, (400, "MANIFEST_INVALID")),
        (b"{}", MANIFEST, (400, "MANIFEST_INVALID")),
        (b'{"schemaVersion": 2, "layers": {}}', MANIFEST, (400, "MANIFEST_INVALID")),
        (b'{"schemaVersion": 2, "layers": [1]}', MANIFEST, (400, "MANIFEST_INVALID")),
        (b'{"schemaVersion": 2, "layers": [{"digest": "md5:1"}]}', MANIFEST, (400, "DIGEST_INVALID")),
        (b'{"schemaVersion": 2, "mediaType": "a/b"}', MANIFEST, (400, "MANIFEST_INVALID")),
        (
            b'{"schemaVersion": 2, "layers": [{"digest": "sha256:' + b"0" * 64 + b'"}]}',
            MANIFEST,
            (404, "MANIFEST_BLOB_UNKNOWN"),
        ),
        (
            b'{"schemaVersion": 2, "manifests": [{"digest": "sha256:' + b"0" * 64 + b'"}]}',
            INDEX,
            (404, "MANIFEST_BLOB_UNKNOWN"),
        ),
        (b'{"schemaVersion": 2, "x": "' + b"x" * (5 << 20) + b'"}', MANIFEST, (413, "SIZE_INVALID")),
    ],
)
def test_manifests_that_are_none_are_refused(
    client: httpx.Client, manifest: bytes, media_type: str, wanted: tuple[int, str]
) -> None:
    answer = client.put("/v2/bad/manifests/1.0.0", content=manifest, headers={"content-type": media_type})
    assert code(answer) == wanted


def test_bytes_that_are_not_what_they_say_are_refused_and_forgotten(
    registry: Registry, client: httpx.Client
) -> None:
    wrong = f"sha256:{'1' * 64}"
    answer = client.post("/v2/lies/blobs/uploads/", params={"digest": wrong}, content=b"other bytes")
    assert code(answer) == (400, "DIGEST_INVALID")
    assert client.head(f"/v2/lies/blobs/{wrong}").status_code == 404
    assert not list((registry.data / "registry" / "uploads" / "lies").iterdir())


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/v2/UPPER/manifests/1", (404, "NAME_INVALID")),
        ("GET", "/v2/../../etc/manifests/1", (404, "NAME_INVALID")),
        ("GET", "/v2/a%2F..%2Fb/manifests/1", (404, "NAME_INVALID")),
        ("GET", "/v2/a/blobs/sha256:zz", (400, "DIGEST_INVALID")),
        ("GET", "/v2/a/blobs/uploads/..%2F..%2Fkey", (404, "NAME_INVALID")),
        ("GET", "/v2/a/blobs/uploads/..", (404, "BLOB_UPLOAD_UNKNOWN")),
        ("PUT", "/v2/a/manifests/not*a*tag", (400, "MANIFEST_INVALID")),
        ("POST", "/v2/a/manifests/1", (405, "UNSUPPORTED")),
        ("PATCH", "/v2/a/blobs/uploads/" + "0" * 32, (404, "BLOB_UPLOAD_UNKNOWN")),
        ("GET", f"/v2/{'a/' * 200}b/manifests/1", (404, "NAME_INVALID")),
        ("GET", "/elsewhere", (404, "NAME_INVALID")),
    ],
)
def test_requests_that_lead_nowhere(
    registry: Registry, client: httpx.Client, method: str, path: str, wanted: tuple[int, str]
) -> None:
    host, port = registry.url.split(":")
    token = client.get("/token", params={"scope": "repository:a:pull,push"}).json()["token"]
    with socket.create_connection((host, int(port))) as raw:  # a client library would tidy the path
        raw.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: {registry.url}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    status = int(answer.split(b" ", 2)[1])
    assert (status, json.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]["code"]) == wanted


def test_pushing_wants_a_token_that_says_so(registry: Registry, client: httpx.Client) -> None:
    with registry.client(account=False) as anybody:
        ping = anybody.get("/v2/")
        assert ping.status_code == 401
        assert ping.headers["www-authenticate"].startswith(
            f'Bearer realm="http://{registry.url}/token",service='
        )
        refused = anybody.post("/v2/mine/blobs/uploads/")
        assert 'scope="repository:mine:pull,push"' in refused.headers["www-authenticate"]
        scope = {"scope": "repository:mine:pull,push"}
        weak = anybody.get("/token", params=scope).json()["token"]
        assert anybody.get("/v2/", headers={"authorization": f"Bearer {weak}"}).status_code == 200
        denied = anybody.post("/v2/mine/blobs/uploads/", headers={"authorization": f"Bearer {weak}"})
        assert denied.status_code == 401
        assert 'error="insufficient_scope"' in denied.headers["www-authenticate"]
        assert code(anybody.get("/token", auth=("fairlead", "wrong"))) == (401, "UNAUTHORIZED")
        strong = client.get("/token", params=scope).json()["token"]
        bearer = {"authorization": f"Bearer {strong}"}
        assert anybody.post("/v2/mine/blobs/uploads/", headers=bearer).status_code == 202
        assert anybody.post("/v2/theirs/blobs/uploads/", headers=bearer).status_code == 401
        form = {"grant_type": "password", "username": "fairlead", "password": registry.password, **scope}
        posted = anybody.post("/token", data=form).json()["access_token"]
        assert (
            anybody.post("/v2/mine/blobs/uploads/", headers={"authorization": f"Bearer {posted}"}).status_code
            == 202
        )


def test_tokens_end_and_cannot_be_made_up() -> None:
    guard = Guard("password", b"k" * 32, public=False)
    now = time.time()
    good = guard.token(["repository:a:pull,push"], known=True, now=now)["token"]
    late = guard.token(["repository:a:pull"], known=True, now=now - 301)["token"]
    nobody = guard.token(["repository:a:pull"], known=False)["token"]
    other = Guard("password", b"o" * 32, public=False).token(["repository:a:pull"], known=True)["token"]
    assert guard.allows(f"Bearer {good}", "repository", "a", "push")
    for token in (late, nobody, other, good[:-1], "", ".", "x.y"):
        assert not guard.allows(f"Bearer {token}", "repository", "a", "pull")
    assert not guard.allows("", "repository", "a", "pull")


def test_only_its_own_names_are_answered_to(registry: Registry) -> None:
    with registry.client(account=False) as anybody:
        refused = anybody.get("/v2/shop/web/tags/list", headers={"host": "rebound.example:80"})
    assert code(refused) == (421, "DENIED")


def test_elsewhere_than_on_loopback_it_speaks_tls_and_wants_the_account(
    registries: Callable[[], Registry],
) -> None:
    registry = registries()
    registry.start("--port", "0", "--host", "0.0.0.0")
    ca = registry.data / "pki" / "ca.crt"
    context = ssl.create_default_context(cafile=str(ca))
    with httpx.Client(base_url=f"https://{registry.url}", verify=context) as anybody:
        assert anybody.get("/v2/a/tags/list").status_code == 401
        token = anybody.get("/token", params={"scope": "repository:a:pull"}).json()["token"]
        refused = anybody.get("/v2/a/tags/list", headers={"authorization": f"Bearer {token}"})
        assert refused.status_code == 401
        known = anybody.get("/v2/a/tags/list", auth=("fairlead", registry.password))
        assert code(known) == (404, "NAME_UNKNOWN")


def test_a_full_disk_is_said_and_nothing_half_done_stays(
    registries: Callable[[], Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Blobs(registries().data / "registry")) as blobs:
        upload = blobs.begin("a")
        upload.write(b"before")

        class Full:
            def __init__(self, file: Any) -> None:
                self._file = file

            def __getattr__(self, name: str) -> Any:
                return getattr(self._file, name)

            def write(self, data: bytes) -> int:
                self._file.write(data[: len(data) // 2])
                self._file.flush()
                raise OSError(28, "No space left on device")

        whole = upload.file
        monkeypatch.setattr(upload, "file", Full(whole))
        with pytest.raises(OSError, match="No space"):
            upload.write(b"what does not fit")
        monkeypatch.setattr(upload, "file", whole)
        upload.write(b", after")
        digest = f"sha256:{hashlib.sha256(b'before, after').hexdigest()}"
        blobs.finish(upload, digest)
        blobs.keep(upload, digest)
        assert blobs.path("a", digest).read_bytes() == b"before, after"


def test_what_was_acknowledged_is_in_the_database(registry: Registry, client: httpx.Client) -> None:
    digest = registry.push(client, "durable", "1.0.0", b"layer")
    with closing(sqlite3.connect(f"file:{registry.data}/registry/registry.db?mode=ro", uri=True)) as db:
        assert db.execute("select digest from tags where repository='durable'").fetchall() == [(digest,)]
