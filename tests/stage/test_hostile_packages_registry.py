"""Registries that mean harm, as whole commands meet them: each is refused in words, nothing is written, nothing is left, and the next works."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.oci import clients
from fairlead.faces.cli.main import main

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.fairlead.module.config.v1+json"
LAYER = "application/vnd.fairlead.module.content.v1.tar+gzip"
DESCRIBED = "apiVersion: fairlead.dev/v1alpha1\nkind: Module\nmetadata: {name: web}\nspec: {version: 1.0.0}\n"
GOOD = 'def build(context, values):\n    return [config_map("good", {})]\n'
EVIL = GOOD.replace("good", "evil")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Said:
    """An answer. `endless` goes on until nobody listens; `cut` hangs up after what there is of the body."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    cut: bool = False


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Nothing: who asked has heard enough."""


class Registry:
    """A registry in memory that keeps what it is given. `lie` may answer in its place; `asked` is all that was asked of it."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}
        self.asked: list[str] = []
        self.lie: Callable[[str, str], Said | None] = lambda _method, _path: None
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = 65536

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                registry.asked.append(f"{self.command} {self.path}")
                said = registry.lie(self.command, self.path) or registry.honest(
                    self.command, self.path, self.headers, body
                )
                self.send_response(said.status)
                for key, value in {"Content-Type": said.kind, **said.headers}.items():
                    self.send_header(key, value)
                if said.endless or said.cut:
                    self.close_connection = True
                if "Content-Length" not in said.headers and not said.endless:
                    self.send_header("Content-Length", str(len(said.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said.body)
                    while said.endless:
                        self.wfile.write(said.body)

            do_GET = do_HEAD = do_PUT = do_POST = answer  # noqa: N815  http.server calls them so

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def honest(self, method: str, path: str, headers: Any, body: bytes) -> Said:
        route = path.partition("?")[0]
        if route == "/v2/":
            return Said()
        name = route.rpartition("/")[2]
        if "/blobs/uploads/" in route:
            if method == "POST":
                return Said(202, headers={"Location": f"{route}1"})
            self.blobs[digest_of(body)] = body
            return Said(201, headers={"Docker-Content-Digest": digest_of(body)})
        if "/blobs/" in route:
            return Said(body=self.blobs[name]) if name in self.blobs else Said(404)
        if "/referrers/" in route:
            return Said(body=self.referring(name), kind=INDEX)
        if "/tags/list" in route:
            return Said(
                body=json.dumps({"name": "a/web", "tags": sorted(self.tags)}).encode(),
                kind="application/json",
            )
        if "/manifests/" in route and method == "PUT":
            self.keep(body, headers["Content-Type"], "" if ":" in name else name)
            return Said(201, headers={"Docker-Content-Digest": digest_of(body), "OCI-Subject": "x"})
        if "/manifests/" in route:
            return self.manifest(self.tags.get(name, name))
        return Said(404)

    def manifest(self, digest: str) -> Said:
        if digest not in self.manifests:
            return Said(404)
        kind, body = self.manifests[digest]
        return Said(body=body, kind=kind, headers={"Docker-Content-Digest": digest})

    def keep(self, body: bytes, kind: str = MANIFEST, tag: str = "") -> str:
        digest = digest_of(body)
        self.manifests[digest] = (kind, body)
        if tag:
            self.tags[tag] = digest
        return digest

    def referring(self, digest: str) -> bytes:
        found = []
        for name, (kind, body) in self.manifests.items():
            document = json.loads(body)
            if (document.get("subject") or {}).get("digest") == digest:
                found.append(
                    {
                        "mediaType": kind, "digest": name, "size": len(body), "artifactType": document.get("artifactType", ""),
                        "annotations": document.get("annotations", {}),
                    }
                )  # fmt: skip
        return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": found}).encode()

    def blob(self, data: bytes, kind: str, **more: Any) -> dict[str, Any]:
        self.blobs[digest_of(data)] = data
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data), **more}

    def module(self, code: str = GOOD, tag: str = "1.0.0", **more: Any) -> str:
        """Keep a module and return its digest; `layers` and other fields of its manifest may be anything."""
        layer = self.blob(archive(("module.yaml", DESCRIBED), ("module.star", code)), LAYER)
        document = {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": CONFIG,
            "config": self.blob(b"{}", CONFIG), "layers": [layer], **more,
        }  # fmt: skip
        return self.keep(json.dumps(document).encode(), MANIFEST, tag)


def archive(*entries: tuple[str, str] | tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
                continue
            info = tarfile.TarInfo(entry[0])
            info.size = len(entry[1].encode())
            tar.addfile(info, io.BytesIO(entry[1].encode()))
    return made.getvalue()


@dataclass
class Person:
    """Who types commands: in a folder of their own, in which nothing is to be left but what they asked for."""

    registry: Registry
    folder: Path
    scratch: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def address(self) -> str:
        return f"oci://{self.registry.host}/a/web"

    def run(self, *words: str) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = main(list(words))
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def keys(self, *names: str) -> None:
        for name in names:
            assert self.run("sign", "generate-key", "--output-key-prefix", str(self.folder / name))[0] == 0

    def sign(self, digest: str, key: str = "mine") -> None:
        code, _, err = self.run("sign", f"{self.address}@{digest}", "--key", str(self.folder / f"{key}.key"))
        assert code == 0, err

    def refused(self, *words: str, says: str) -> None:
        """Run a command that is to be refused: with a short text on standard error, and nothing else to be seen of it."""
        there = sorted(self.folder.rglob("*"))
        code, out, err = self.run(*words)
        assert (code, out) in {(1, ""), (2, "")}, (code, out, err)
        assert re.search(says, err), err
        assert "Traceback" not in err
        assert len(err) < 4000
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", err), repr(err)
        assert sorted(self.folder.rglob("*")) == there
        assert list(self.scratch.iterdir()) == []

    def works(self, *more: str) -> None:
        """Render the good module: what was refused before leaves nothing that hurts."""
        self.registry.lie = lambda _method, _path: None
        self.registry.module(tag="good")
        code, out, err = self.run("render", f"{self.address}:good", *more)
        assert (code, "name: good" in out) == (0, True), err


@pytest.fixture
def person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Person]:
    folder, scratch, home = (tmp_path / name for name in ("work", "scratch", "home"))
    for one in (folder, scratch, home):
        one.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "DOCKER_CONFIG", "FAIRLEAD_DATA_DIR", "COSIGN_PASSWORD", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FAIRLEAD_DATA_DIR", str(home / "none"))
    monkeypatch.setenv("COSIGN_PASSWORD", "secret")
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    registry = Registry()
    try:
        yield Person(registry, folder, scratch, capsys)
    finally:
        registry.close()


def link(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


LAYERS: dict[str, tuple[Callable[[Registry], list[dict[str, Any]]], str]] = {
    "leads out": (
        lambda it: [it.blob(archive(("module.yaml", DESCRIBED), ("../../evil", "x")), LAYER)],
        "leads out of the archive",
    ),
    "a link": (lambda it: [it.blob(archive(("module.yaml", DESCRIBED), link("module.star")), LAYER)], "a symbolic link"),
    "a bomb": (
        lambda it: [it.blob(archive(("module.yaml", DESCRIBED), ("module.star", "#" * (30 << 20))), LAYER)],
        "as only a bomb does",
    ),
    "gigantic": (
        lambda _: [{"mediaType": LAYER, "digest": f"sha256:{'0' * 64}", "size": 1 << 40}],
        "more than the 104857600 bytes",
    ),
    "below nothing": (lambda _: [{"mediaType": LAYER, "digest": f"sha256:{'0' * 64}", "size": -1}], "size"),
    "a digest that is a path": (
        lambda _: [{"mediaType": LAYER, "digest": "sha256:../../../../etc/passwd", "size": 1}],
        "digest",
    ),
    "many": (lambda it: [it.blob(archive((f"f{n}", "x")), LAYER) for n in range(200)], "200 layers"),
    "of another sort": (lambda it: [it.blob(b"x", "text/\x1b[2Jplain")], "no layer of the media type"),
    "a file and a folder": (
        lambda it: [it.blob(archive(("module.yaml", DESCRIBED), ("a", "")), LAYER), it.blob(archive(("a/b", "")), LAYER)],
        "lies below a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_that_mean_harm(person: Person, name: str) -> None:
    make, says = LAYERS[name]
    person.registry.module(layers=make(person.registry))
    person.refused("render", f"{person.address}:1.0.0", says=says)
    person.refused("mod", "pull", f"{person.address}:1.0.0", "-o", "out", says=says)
    person.works()


def lies(registry: Registry) -> dict[str, tuple[Callable[[str, str], Said | None], str]]:
    """Return lies by name, with what is said of them. The module with the tag 1.0.0 is good, and another one is bad."""
    evil = registry.module(EVIL, tag="")
    good = registry.module()
    layer = json.loads(registry.manifests[good][1])["layers"][0]
    other = json.loads(registry.manifests[evil][1])["layers"][0]

    def at(part: str, said: Callable[[], Said]) -> Callable[[str, str], Said | None]:
        return lambda method, path: said() if method in {"GET", "HEAD"} and part in path else None

    return {
        "another manifest under the digest": (
            at(f"/manifests/{good}", lambda: registry.manifest(evil)),
            "digest|sha256",
        ),
        "another layer": (at(layer["digest"], lambda: Said(body=registry.blobs[other["digest"]])), "digest|announces"),
        "a manifest without end": (
            at("/manifests/", lambda: Said(body=b" " * 65536, kind=MANIFEST, endless=True)),
            "more than",
        ),
        "a layer without end": (at(layer["digest"], lambda: Said(body=b" " * 65536, endless=True)), "more than the"),
        "no manifest": (at("/manifests/", lambda: Said(body=b"<html>\x1b[2J", kind=MANIFEST)), "have the digest"),
        "a deep manifest": (at("/manifests/", lambda: Said(body=b"[" * 100_000, kind=MANIFEST)), "have the digest"),
        "another host": (
            at(layer["digest"], lambda: Said(302, headers={"Location": "http://169.254.169.254/latest/meta-data"})),
            "169.254.169.254 without TLS",
        ),
        "a file": (at(layer["digest"], lambda: Said(307, headers={"Location": "file:///etc/passwd"})), "no address"),
        "words for a terminal": (
            at("/manifests/", lambda: Said(400, b'{"errors": [{"code": "X", "message": "\\u001b[2J\\u001b]0;x\\u0007"}]}')),
            "400",
        ),
    }  # fmt: skip


NAMES = (
    "another manifest under the digest", "another layer", "a manifest without end", "a layer without end", "no manifest", "a deep manifest",
    "another host", "a file", "words for a terminal",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_registry_that_lies(person: Person, name: str) -> None:
    said = lies(person.registry)
    assert set(said) == set(NAMES)
    digest = person.registry.tags["1.0.0"]
    person.registry.lie, says = said[name]
    person.refused("render", f"{person.address}:1.0.0@{digest}", says=says)
    person.refused("mod", "pull", f"{person.address}@{digest}", "-o", "out", says=says)
    person.works()


def test_what_was_verified_is_what_is_unpacked(person: Person) -> None:
    """A tag that leads to what is signed when it is asked for the first time, and to something else from then on."""
    person.keys("mine")
    evil, good = person.registry.module(EVIL, tag=""), person.registry.module()
    person.sign(good)
    verify = ("--verify-key", str(person.folder / "mine.pub"))
    for first in range(4):
        seen = [0]

        def turning(method: str, path: str, first: int = first, seen: list[int] = seen) -> Said | None:
            if not path.endswith("/manifests/1.0.0"):
                return None
            seen[0] += 1
            return person.registry.manifest(good if seen[0] <= first else evil)

        person.registry.lie = turning
        code, out, err = person.run("render", f"{person.address}:1.0.0", *verify)
        assert "evil" not in out
        assert (code, "good" in out) == ((0, True) if first else (2, False)), err
        code, _, err = person.run("mod", "pull", f"{person.address}:1.0.0", "-o", f"out{first}", *verify)
        pulled = person.folder / f"out{first}" / "module.star"
        assert (code, pulled.exists()) in {(0, True), (1, False)}, err
        assert not pulled.exists() or "evil" not in pulled.read_text()
    assert list(person.scratch.iterdir()) == []


def test_signatures_that_prove_nothing(person: Person) -> None:
    person.keys("mine", "other")
    evil, good = person.registry.module(EVIL, tag="evil"), person.registry.module()
    verify = ("--verify-key", str(person.folder / "mine.pub"))
    render = ("render", f"{person.address}:evil", *verify)
    person.refused(*render, says="not signed")
    person.sign(evil, "other")
    person.refused(*render, says="by anybody who is trusted")
    person.sign(good)
    kind, body = next(
        one
        for one in person.registry.manifests.values()
        if good in one[1].decode() and b'"subject"' in one[1]
    )
    moved = json.loads(body)
    moved["subject"]["digest"] = evil
    person.registry.keep(json.dumps(moved).encode(), kind)  # the signature of the one, attached to the other
    person.refused(*render, says="by anybody who is trusted")
    person.refused(
        "mod", "pull", f"{person.address}:evil", "-o", "out", *verify, says="by anybody who is trusted"
    )
    assert person.run("render", f"{person.address}:1.0.0", *verify)[0] == 0


def test_signatures_without_number(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand of them cost no more than some, and hide none of the first."""
    person.keys("mine")
    digest = person.registry.module()
    junk = person.registry.blob(b"{}", "application/vnd.dev.sigstore.bundle.v0.3+json")
    for number in range(200):
        person.registry.keep(
            json.dumps(
                {
                    "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": junk["mediaType"], "config": person.registry.blob(b"{}", CONFIG),
                    "layers": [junk], "annotations": {"n": str(number)}, "subject": {"mediaType": MANIFEST, "digest": digest, "size": 1},
                }
            ).encode()
        )  # fmt: skip
    listed = json.loads(person.registry.referring(digest))
    listed["manifests"] *= 50
    many = Said(body=json.dumps(listed).encode(), kind=INDEX)
    person.registry.lie = lambda _, path: many if "/referrers/" in path else None
    verify = ("--verify-key", str(person.folder / "mine.pub"))
    person.refused(
        "render", f"{person.address}:1.0.0", *verify, says="by anybody who is trusted|only the first"
    )
    assert len(person.registry.asked) < 1000

    def pages(_: str, path: str) -> Said | None:
        if "/referrers/" not in path:
            return None
        empty = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
        return Said(
            body=empty,
            kind=INDEX,
            headers={"Link": f'<{path.partition("?")[0]}?n={len(person.registry.asked)}>; rel="next"'},
        )

    person.registry.lie = pages
    monkeypatch.setattr(clients, "_PAGES_OF_REFERRERS", 10)
    person.refused("render", f"{person.address}:1.0.0", *verify, says="do not end")
    person.works()


def test_what_is_pulled_for_a_module_is_verified_too(person: Person) -> None:
    """A signed module may ask for one that is not: with a demand for signatures it gets nothing."""
    person.keys("mine")
    library = person.registry.module(EVIL, tag="lib")
    needs = DESCRIBED.replace(
        "{version: 1.0.0}",
        f'{{version: 1.0.0, dependencies: [{{name: lib, source: "{person.address}", version: lib, digest: "{library}"}}]}}',
    )
    layer = person.registry.blob(
        archive(("module.yaml", needs), ("module.star", f'load("@lib", "x")\n{GOOD}')), LAYER
    )
    person.sign(person.registry.module(layers=[layer]))
    verify = ("--verify-key", str(person.folder / "mine.pub"))
    person.refused("render", f"{person.address}:1.0.0", *verify, "--allow-fetch", says="not signed")
    person.refused("render", f"{person.address}:1.0.0", *verify, says="--allow-fetch")
