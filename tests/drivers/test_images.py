from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.images import (
    Config,
    Directory,
    File,
    ImageInvalid,
    Link,
    Packed,
    architecture,
    build,
    build_archive,
    build_layout,
    normalise,
    opened,
    packed,
)

LAYER: dict[str, File | Link | Directory] = {
    "/bin/tool": File(b"#!/bin/sh\n", 0o755),
    "/bin/alias": Link("tool"),
    "/tmp": Directory(0o1777),
    "/home/me/file": File(b"mine", 0o600, 1000, 1000),
}
CONFIG = Config(
    entrypoint=("/bin/tool",),
    cmd=("--help",),
    env={"A": "b"},
    user="1000",
    working_dir="/home/me",
    ports=("80", "53/udp"),
    labels={"x": "y"},
    stop_signal="SIGINT",
)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("web", "docker.io/library/web:latest"),
        ("web:1", "docker.io/library/web:1"),
        ("me/web", "docker.io/me/web:latest"),
        ("docker.io/web", "docker.io/library/web:latest"),
        ("index.docker.io/web", "docker.io/library/web:latest"),
        ("localhost/web", "localhost/web:latest"),
        ("localhost:5000/web:1", "localhost:5000/web:1"),
        ("example.org/a/b/c:1", "example.org/a/b/c:1"),
        ("example.org:5000/a", "example.org:5000/a:latest"),
        ("web@sha256:" + "0" * 64, "docker.io/library/web@sha256:" + "0" * 64),
        ("web:1@sha256:" + "0" * 64, "docker.io/library/web:1@sha256:" + "0" * 64),
        ("sha256:" + "0" * 64, "sha256:" + "0" * 64),
    ],
)
def test_names(name: str, full: str) -> None:
    assert normalise(name) == full
    assert normalise(full) == full


def read(path: Path, **options: Any) -> list[Packed]:
    with opened(path) as files:
        return packed(files, str(path), **options)


def test_what_is_built_is_read_back(tmp_path: Path) -> None:
    assert build_archive(tmp_path / "a.tar", "web:1", [LAYER], CONFIG) == "docker.io/library/web:1"
    build_layout(tmp_path / "layout", "web:1", [LAYER], CONFIG)
    (from_archive,) = read(tmp_path / "a.tar")
    (from_layout,) = read(tmp_path / "layout")
    assert from_archive == from_layout
    assert from_archive.names == ("docker.io/library/web:1",)
    with opened(tmp_path / "a.tar") as files, files.open(from_archive.config.path) as reader:
        config = json.load(reader)
    assert config["architecture"] == architecture()
    assert config["config"] == {
        "Entrypoint": ["/bin/tool"],
        "Cmd": ["--help"],
        "Env": ["A=b"],
        "User": "1000",
        "WorkingDir": "/home/me",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Labels": {"x": "y"},
        "StopSignal": "SIGINT",
    }
    with opened(tmp_path / "a.tar") as files, files.open(from_archive.layers[0].path) as reader:
        data = reader.read()
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(data).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {item.name: (oct(item.mode), item.uid, item.linkname) for item in tar} == {
            "bin": ("0o755", 0, ""),
            "bin/alias": ("0o777", 0, "tool"),
            "bin/tool": ("0o755", 0, ""),
            "home": ("0o755", 0, ""),
            "home/me": ("0o755", 0, ""),
            "home/me/file": ("0o600", 1000, ""),
            "tmp": ("0o1777", 0, ""),
        }


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        build_archive(
            tmp_path / name, "web", [dict(reversed(LAYER.items()))] if name == "b" else [LAYER], CONFIG
        )
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_compressed_archive(tmp_path: Path) -> None:
    build_archive(tmp_path / "a.tar", "web", [LAYER], CONFIG)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes()))
    assert read(tmp_path / "a.tar.gz") == read(tmp_path / "a.tar")


def docker_archive(path: Path, *, compress: bool = False, tags: tuple[str, ...] = ("web:1",)) -> None:
    """Write what `docker save` wrote before it wrote layouts; the second layer is a link to the first."""
    image, blobs = build([LAYER], CONFIG)
    layer = blobs[image.layers[0].digest]
    if compress:
        layer = gzip.compress(layer, mtime=0)
    listed = [{"Config": "c.json", "RepoTags": list(tags), "Layers": ["one/layer.tar", "two/layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        for name, data in (
            ("c.json", blobs[image.config.digest]),
            ("one/layer.tar", layer),
            ("manifest.json", json.dumps(listed).encode()),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("two/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../one/layer.tar"
        tar.addfile(link)


@pytest.mark.parametrize("compress", [False, True])
def test_a_docker_archive(tmp_path: Path, compress: bool) -> None:
    docker_archive(tmp_path / "d.tar", compress=compress, tags=("web:1", "me/web:2"))
    (image,) = read(tmp_path / "d.tar")
    assert image.names == ("docker.io/library/web:1", "docker.io/me/web:2")
    assert image.layers[0] == type(image.layers[0])(
        image.layers[1].media_type, image.layers[1].digest, image.layers[1].size, "one/layer.tar"
    )
    assert image.layers[0].media_type.endswith("gzip" if compress else "tar")
    manifest = json.loads(image.manifest.data)
    assert manifest["config"]["digest"] == image.config.digest
    assert image.manifest.digest == f"sha256:{hashlib.sha256(image.manifest.data).hexdigest()}"


def index(layout: Path, change: Any) -> None:
    document = json.loads((layout / "index.json").read_text())
    change(document)
    (layout / "index.json").write_text(json.dumps(document))


def test_only_a_tag_takes_the_files_name(tmp_path: Path) -> None:
    layout = tmp_path / "web.layout"
    build_layout(layout, "x:1", [LAYER], CONFIG)
    index(layout, lambda d: d["manifests"][0].update(annotations={"org.opencontainers.image.ref.name": "v2"}))
    assert read(layout)[0].names == ("docker.io/library/web:v2",)


def test_a_name_that_is_given_replaces_the_others(tmp_path: Path) -> None:
    build_layout(tmp_path / "l", "x:1", [LAYER], CONFIG)
    assert read(tmp_path / "l", name="y:2")[0].names == ("docker.io/library/y:2",)
    index(tmp_path / "l", lambda d: d["manifests"][0].pop("annotations"))
    assert read(tmp_path / "l")[0].names == ()


def test_the_platform_of_this_machine_is_chosen(tmp_path: Path) -> None:
    layout = tmp_path / "l"
    entries = []
    for arch in ("s390x", "amd64", "arm64"):
        build_layout(layout, "web:1", [LAYER], Config(architecture=arch))
        entry = json.loads((layout / "index.json").read_text())["manifests"][0]
        entries.append(entry | {"platform": {"os": "linux", "architecture": arch}})
    for entry in entries:
        del entry["annotations"]
    data = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256" / digest).write_bytes(data)
    nested = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": f"sha256:{digest}",
        "size": len(data),
        "annotations": {"io.containerd.image.name": "docker.io/library/web:1"},
    }
    for manifests in ([nested], entries):
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
        for at, arch in enumerate(("s390x", "amd64", "arm64")):
            assert read(layout, arch=arch)[0].manifest.digest == entries[at]["digest"]
        with pytest.raises(
            ImageInvalid, match="no image for linux/riscv64, only linux/s390x, linux/amd64, linux/arm64"
        ):
            read(layout, arch="riscv64")


def broken(layout: Path, how: str) -> None:
    blobs = sorted((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    if how == "missing":
        blobs[-1].unlink()
    elif how == "short":
        blobs[-1].write_bytes(b"")
    elif how == "no index":
        (layout / "index.json").unlink()
    elif how == "not JSON":
        (layout / "index.json").write_text("{")
    elif how == "no manifests":
        (layout / "index.json").write_text("[]")
    elif how == "empty":
        index(layout, lambda d: d.update(manifests=[]))
    elif how == "bad digest":
        index(layout, lambda d: d["manifests"][0].update(digest="sha256:../../../etc/passwd"))


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("missing", r"the blob sha256:[0-9a-f]+ is missing"),
        ("short", r"the blob sha256:[0-9a-f]+ has 0 bytes, expected \d+"),
        ("no index", "neither an index.json nor a manifest.json"),
        ("not JSON", "index.json is not JSON"),
        ("no manifests", "index.json lists no manifests"),
        ("empty", "holds no image"),
        ("bad digest", "is not a digest"),
    ],
)
def test_what_is_broken_is_refused_with_its_place(tmp_path: Path, how: str, text: str) -> None:
    build_layout(tmp_path / "l", "x:1", [LAYER], CONFIG)
    broken(tmp_path / "l", how)
    with pytest.raises(ImageInvalid, match=text) as caught:
        read(tmp_path / "l")
    assert str(tmp_path / "l") in str(caught.value)


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello" * 1000)
    with pytest.raises(ImageInvalid, match="not an image archive"):
        read(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")


@pytest.mark.parametrize("path", ["relative", "/a/../b"])
def test_paths_that_leave_the_image_are_refused(path: str) -> None:
    with pytest.raises(ImageInvalid):
        build([{path: File(b"")}], Config())
