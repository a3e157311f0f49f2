"""Debian's docker-registry and skopeo: they read what we write, and we read what they write, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.drivers.oci.conftest import run

from fairlead.drivers.oci.archives import Content
from fairlead.drivers.oci.artifacts import pack, push, unpack
from fairlead.drivers.oci.clients import Client
from fairlead.drivers.oci.credentials import Credentials
from fairlead.drivers.oci.descriptors import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    Descriptor,
    Manifest,
    digest_of,
)
from fairlead.drivers.oci.errors import NotFound, RegistryError
from fairlead.drivers.oci.layouts import Layout
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.stores import copy, fallback_tag

ROOT = Path(__file__).resolve().parents[3]
FILES = {
    "timoni.cue": Content(b"package main\n"),
    "values.cue": Content(b"values: {}\n"),
    "cue.mod/pkg/a.cue": Content(b"package a\n"),
}
CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}", secret: test}}
"""


def program(name: str) -> str:
    """Return a program's path; without it the test is skipped, but never in CI."""
    own = ROOT / ".venv" / "bin" / name
    found = str(own) if os.access(own, os.X_OK) else shutil.which(name)
    if not found:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have {name}; tools/setup.sh registries fetches it")
        pytest.skip(f"no {name}; `sh tools/setup.sh registries` fetches it")
    return found


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host of a docker-registry of the module's own."""
    where = tmp_path_factory.mktemp("docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config, log = where / "config.yml", where / "log"
    config.write_text(CONFIG.format(root=where / "data", port=port))
    with log.open("wb") as file:
        process = subprocess.Popen(
            [program("docker-registry"), "serve", str(config)], stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def skopeo(*words: str) -> str:
    done = subprocess.run(
        [program("skopeo"), "--insecure-policy", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def client() -> Client:
    return Client(Credentials([], environment={}))


def raw(host: str, name: str) -> dict[str, Any]:
    found = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{host}/{name}"))
    assert isinstance(found, dict)
    return found


def test_what_we_push_skopeo_copies_and_back_byte_for_byte(registry: str, tmp_path: Path) -> None:
    async def work() -> Descriptor:
        async with client() as store:
            done = await push(
                store, Reference.parse(f"oci://{registry}/mods/app:1.0.0"), pack(FILES, "timoni", tmp_path)
            )
            assert await store.tags(f"{registry}/mods/app") == ["1.0.0"]
            return done

    done = run(work())
    assert raw(registry, "mods/app:1.0.0")["config"]["mediaType"] == "application/vnd.timoni.config.v1+json"
    layout = tmp_path / "layout"
    skopeo("copy", "--src-tls-verify=false", f"docker://{registry}/mods/app:1.0.0", f"oci:{layout}:1.0.0")
    skopeo("copy", "--dest-tls-verify=false", f"oci:{layout}:1.0.0", f"docker://{registry}/mods/back:1.0.0")

    async def check() -> None:
        there = Layout(layout)
        assert (await there.resolve(Reference("", "", "1.0.0"))).digest == done.digest
        assert (await unpack(there, Reference("", "", "1.0.0"))).package == {
            name: content.data for name, content in FILES.items()
        }
        async with client() as store:
            back = Reference.parse(f"oci://{registry}/mods/back:1.0.0")
            assert (await store.resolve(back)).digest == done.digest
            ours = Layout(tmp_path / "ours")
            await copy(store, back, ours, Reference("", "", "x"))
            again = Reference.parse(f"oci://{registry}/mods/again:2.0.0")
            assert (await copy(ours, Reference("", "", "x"), store, again)).digest == done.digest

    run(check())
    skopeo("copy", f"oci:{tmp_path / 'ours'}:x", f"oci:{tmp_path / 'theirs'}:x")


def test_images_of_dockers_format_and_indexes_are_copied(registry: str, tmp_path: Path) -> None:
    image = tmp_path / "image"

    async def work() -> None:
        layout = Layout(image)
        packed = pack({"bin/app": Content(b"\x7fELF", executable=True)}, "flux", tmp_path, layer_type="application/vnd.oci.image.layer.v1.tar+gzip", config_type="application/vnd.oci.image.config.v1+json")  # fmt: skip
        await push(layout, Reference("", "", "1"), packed)

    run(work())
    docker = ("copy", "--format", "v2s2", "--dest-tls-verify=false", f"oci:{image}:1")
    skopeo(*docker, f"docker://{registry}/images/app:1")

    async def check() -> None:
        async with client() as store:
            ref = Reference.parse(f"oci://{registry}/images/app:1")
            found, body = await store.manifest(ref)
            assert found.media_type == DOCKER_MANIFEST
            assert len(Manifest.read(body, found.media_type).layers) == 1
            for kind in (INDEX, DOCKER_INDEX):
                entry = {**found.document(), "platform": {"architecture": "amd64", "os": "linux"}}
                entry.pop("artifactType", None)
                index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}).encode()
                pushed = await store.push_manifest(ref, index, kind, "multi")
                target = Reference.parse(
                    f"oci://{registry}/images/{'oci' if kind == INDEX else 'docker'}:multi"
                )
                assert (
                    (await copy(store, ref.with_tag("multi"), store, target)).digest
                    == pushed.digest
                    == digest_of(index)
                )
            assert (await store.resolve(ref.with_tag("multi"))).media_type == DOCKER_INDEX

    run(check())
    assert raw(registry, "images/docker:multi")["mediaType"] == DOCKER_INDEX
    assert skopeo(
        "inspect",
        "--tls-verify=false",
        "--override-os=linux",
        "--override-arch=amd64",
        f"docker://{registry}/images/app:1",
    )


def test_mounts_referrers_and_deletion(registry: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with client() as store:
            ref = Reference.parse(f"oci://{registry}/one/app:1.0.0")
            packed = pack(FILES, "module", tmp_path, config={"name": "app"})
            done = await push(store, ref, packed)
            layer = packed.blobs[1][0]
            other = Reference.parse(f"oci://{registry}/two/app:1.0.0")
            assert not await store.mount(other, digest_of(b"not there"), ref)
            assert await store.mount(other, layer.digest, ref)
            assert await store.has_blob(other, layer.digest)
            document = {
                **json.loads(packed.body),
                "subject": done.document(),
                "artifactType": "application/x-sig",
            }
            signature = await store.push_manifest(ref, json.dumps(document).encode(), done.media_type)
            assert [one.digest for one in await store.referrers(ref, done.digest)] == [signature.digest]
            assert fallback_tag(done.digest) in await store.tags(ref)
            await store.delete(ref.at(signature.digest))
            assert await store.referrers(ref, done.digest) == []
            with pytest.raises(RegistryError, match="does not delete tags alone"):
                await store.delete(ref)
            await store.delete(ref.at(done.digest))
            with pytest.raises(NotFound):
                await store.resolve(ref)
            with pytest.raises(NotFound):
                await store.tags(f"{registry}/none/app")

    run(work())


def test_large_files_go_in_one_piece_and_in_chunks(registry: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(5 << 20))

    async def work() -> None:
        for chunk in (0, 2 << 20):
            path.write_bytes(path.read_bytes() + b"x")
            async with Client(Credentials([], environment={}), chunk=chunk) as store:
                ref = Reference.parse(f"oci://{registry}/large/file")
                blob = await store.push_blob(ref, path)
                await store.fetch(ref, blob, tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == path.read_bytes()

    run(work())
