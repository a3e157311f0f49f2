"""Packages as artifacts: the layouts of fairlead, Timoni, Flux and Helm, there and back, and stores of files."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.oci import artifacts, folders
from fairlead.drivers.oci.archives import Content
from fairlead.drivers.oci.artifacts import Kind, Packed, pack, pack_blobs, push, unpack, write_files
from fairlead.drivers.oci.descriptors import EMPTY, INDEX, MANIFEST, Descriptor, Manifest, digest_of
from fairlead.drivers.oci.errors import BadDigest, BadReference, NotFound, RegistryError, TooLarge
from fairlead.drivers.oci.layouts import Layout, is_layout, parse_layout
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.stores import Store, copy
from fairlead.drivers.oci.unpacking import Limits, Member

HERE = Reference("", "", "1.0.0")
FILES = {
    "timoni.cue": Content(b"package main"),
    "cue.mod/pkg/a.cue": Content(b"package a"),
    "templates/x_test.cue": Content(b"t"),
}


def document(packed: Packed) -> dict[str, Any]:
    found = json.loads(packed.body)
    assert isinstance(found, dict)
    return found


def test_the_stores_are_stores(tmp_path: Path) -> None:
    from fairlead.drivers.oci.clients import Client

    assert isinstance(Layout(tmp_path), Store)
    assert isinstance(Client(), Store)


def test_timonis_layout(tmp_path: Path) -> None:
    packed = pack(FILES, "timoni", tmp_path, annotations={artifacts.VERSION: "1.0.0"})
    found = document(packed)
    assert list(found) == ["schemaVersion", "mediaType", "config", "layers", "annotations"]
    assert found["config"]["mediaType"] == "application/vnd.timoni.config.v1+json"
    assert [layer["mediaType"] for layer in found["layers"]] == [
        "application/vnd.timoni.content.v1.tar+gzip"
    ] * 2
    assert [layer["annotations"] for layer in found["layers"]] == [
        {"sh.timoni.content.type": "module/vendor"},
        {"sh.timoni.content.type": "module"},
    ]
    made = packed.blobs[0][1]
    assert isinstance(made, bytes)
    config = json.loads(made)
    assert list(config) == ["architecture", "created", "history", "os", "rootfs", "config"]
    for (layer, path), diff in zip(packed.blobs[1:], config["rootfs"]["diff_ids"], strict=True):
        assert isinstance(path, Path)
        data = path.read_bytes()
        assert digest_of(data) == layer.digest
        assert digest_of(gzip.decompress(data)) == diff
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
            names = tar.getnames()
        assert names == (["cue.mod/pkg/a.cue"] if layer is packed.blobs[1][0] else ["timoni.cue"])
    one = pack(FILES, "timoni", tmp_path / ".", content_type="cue.mod/gen")
    assert [layer["annotations"]["sh.timoni.content.type"] for layer in document(one)["layers"]] == [
        "cue.mod/gen"
    ]


@pytest.mark.parametrize(
    ("kind", "config", "layer", "typed"),
    [
        (
            "module",
            "application/vnd.fairlead.module.config.v1+json",
            "application/vnd.fairlead.module.content.v1.tar+gzip",
            True,
        ),
        (
            "flux",
            "application/vnd.cncf.flux.config.v1+json",
            "application/vnd.cncf.flux.content.v1.tar+gzip",
            False,
        ),
        (
            "chart",
            "application/vnd.cncf.helm.config.v1+json",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            False,
        ),
    ],
)
def test_the_other_layouts(kind: Kind, config: str, layer: str, typed: bool, tmp_path: Path) -> None:
    under = "web" if kind == "chart" else ""
    packed = pack({"Chart.yaml": Content(b"name: web")}, kind, tmp_path, config={"name": "web"}, under=under)
    found = document(packed)
    assert (found["config"]["mediaType"], found["layers"][0]["mediaType"]) == (config, layer)
    assert (found.get("artifactType") == config) == typed

    async def work() -> dict[str, bytes]:
        store = Layout(tmp_path / "layout")
        await push(store, HERE, packed)
        pulled = await unpack(store, HERE)
        assert pulled.kind == kind
        assert set(pulled.files) == {f"{under}/Chart.yaml" if under else "Chart.yaml"}
        return pulled.package

    assert asyncio.run(work()) == {"Chart.yaml": b"name: web"}


def test_the_same_content_has_the_same_digest(tmp_path: Path) -> None:
    packs = []
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_text("x")
        (folder / "run").write_text("y")
        (folder / "run").chmod(0o700)
        (folder / "link").symlink_to("run")
        found = folders.read_folder(folder, lambda _, __: False)
        assert found.left_out == ["link"]
        notes = {"org.opencontainers.image.created": artifacts.created_at({"SOURCE_DATE_EPOCH": "86400"})}
        (tmp_path / f"{name}-scratch").mkdir()
        packs.append(pack(found.files, "module", tmp_path / f"{name}-scratch", annotations=notes))
    assert packs[0].body == packs[1].body
    assert document(packs[0])["annotations"] == {"org.opencontainers.image.created": "1970-01-02T00:00:00Z"}
    with pytest.raises(RegistryError, match="SOURCE_DATE_EPOCH"):
        artifacts.created_at({"SOURCE_DATE_EPOCH": "today"})
    with pytest.raises(RegistryError, match="nothing to pack"):
        pack({}, "module", tmp_path)


def test_where_a_folder_comes_from_is_told_without_a_password() -> None:
    for url, shown in (
        ("https://me:secret@github.com/org/repo.git", "https://github.com/org/repo.git"),
        ("git@github.com:org/repo.git", "https://github.com/org/repo"),
        ("ssh://git@host:22/x", "ssh://host:22/x"),
        ("/srv/repo", "/srv/repo"),
    ):
        assert folders.public_url(url) == shown


def test_files_as_they_are(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("{}")
    packed = pack_blobs([(report, "application/json")], artifact_type="application/vnd.report")
    found = document(packed)
    assert found["artifactType"] == "application/vnd.report"
    assert found["config"]["mediaType"] == EMPTY
    assert found["layers"][0]["annotations"] == {"org.opencontainers.image.title": "report.json"}


def test_layers_are_refused_before_they_are_fetched(tmp_path: Path) -> None:
    async def work() -> None:
        store = Layout(tmp_path / "layout")
        packed = pack({"a": Content(b"x" * 5000), "b": Content(b"y")}, "module", tmp_path)
        done = await push(store, HERE, packed)
        with pytest.raises(TooLarge):
            await unpack(store, HERE, Limits(total=50))
        with pytest.raises(TooLarge, match="more than 1 entries"):
            await unpack(store, HERE, Limits(files=1))

        def refuse(descriptor: Descriptor, manifest: Manifest) -> None:
            assert manifest.layers
            raise RegistryError(f"{descriptor.digest} is not signed")

        with pytest.raises(RegistryError, match="is not signed"):
            await unpack(store, HERE, accept=refuse)
        with pytest.raises(NotFound, match="no layer"):
            await unpack(store, HERE, content_type="module")
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [done.document()]}
        await store.push_manifest("", json.dumps(index).encode(), INDEX, "indexed")
        assert len((await unpack(store, Reference("", "", "indexed"))).files) == 2

    asyncio.run(work())


def test_what_is_named_a_thousand_times_is_copied_once_and_too_deep_is_too_deep(tmp_path: Path) -> None:
    async def work() -> None:
        store, target = Layout(tmp_path / "a"), Layout(tmp_path / "b")
        below = await push(store, HERE, pack({"a": Content(b"1")}, "module", tmp_path))
        for depth in range(6):
            entries = [Descriptor(below.media_type, below.digest, below.size).document()] * 200
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
            below = await store.push_manifest("", json.dumps(index).encode(), INDEX, f"deep{depth}")
        assert (await copy(store, HERE.with_tag("deep3"), target, HERE)).media_type == INDEX
        with pytest.raises(RegistryError, match="more than 4 deep"):
            await copy(store, HERE.with_tag("deep5"), target, HERE)
        many = {**json.loads((await store.manifest(HERE))[1])}
        many["layers"] *= 200
        await store.push_manifest("", json.dumps(many).encode(), MANIFEST, "many")
        with pytest.raises(TooLarge, match="200 layers"):
            await unpack(store, HERE.with_tag("many"))

    asyncio.run(work())


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    files = {"a/b": Member(b"1", executable=True), "c": Member(b"2")}
    target = tmp_path / "target"
    write_files(files, target)
    assert (target / "a/b").stat().st_mode & 0o777 == 0o755
    with pytest.raises(RegistryError, match="not empty"):
        write_files({"d": Member(b"3")}, target)
    write_files({"d": Member(b"3"), "c": Member(b"4")}, target, replace=True)
    assert sorted(path.name for path in target.rglob("*")) == ["a", "b", "c", "d"]
    assert (target / "c").read_bytes() == b"4"
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / "link").symlink_to(outside)
    with pytest.raises(RegistryError, match="a link"):
        write_files({"link/evil": Member(b"x")}, target, replace=True)
    assert list(outside.iterdir()) == []
    with pytest.raises(RegistryError):
        write_files({"x": Member(b""), "x/y": Member(b"")}, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_local_layouts_are_named_by_their_path(tmp_path: Path) -> None:
    assert is_layout("layout:x:1")
    assert is_layout("oci-layout:///a/b")
    assert not is_layout("oci://h/a")
    digest = digest_of(b"")
    for text, path, tag, pinned in (
        ("layout:a/b:1.0.0", "a/b", "1.0.0", ""),
        ("oci-layout:///a/b", "/a/b", "", ""),
        (f"layout:x:latest@{digest}", "x", "latest", digest),
        (f"layout:{tmp_path}", str(tmp_path), "", ""),
        ("layout:a:b/c", "a:b/c", "", ""),
    ):
        found, ref = parse_layout(text)
        assert (str(found), ref.tag, ref.digest) == (path, tag, pinned)
    with pytest.raises(BadReference):
        parse_layout("layout:")


def test_a_layout_keeps_tags_and_gives_them_up(tmp_path: Path) -> None:
    async def work() -> None:
        store = Layout(tmp_path / "l")
        with pytest.raises(NotFound, match="not an OCI layout"):
            await store.tags("")
        (tmp_path / "s1").mkdir()
        one = await push(store, HERE, pack({"a": Content(b"1")}, "module", tmp_path / "s1"))
        assert await store.resolve(Reference("", "")) == await store.resolve(HERE)
        two = await push(store, HERE, pack({"a": Content(b"2")}, "module", tmp_path / "s1"), "2.0.0")
        await store.tag(HERE.with_tag("2.0.0"), "latest")
        assert await store.tags("") == ["1.0.0", "2.0.0", "latest"]
        assert (await store.resolve(Reference("", ""))).digest == two.digest
        await push(store, HERE, pack({"a": Content(b"3")}, "module", tmp_path / "s1"), "latest")
        assert (await store.resolve(HERE.with_tag("2.0.0"))).digest == two.digest
        await store.delete(HERE.with_tag("2.0.0"))
        with pytest.raises(NotFound, match=r"there is no 2\.0\.0; there is 1\.0\.0, latest"):
            await store.resolve(HERE.with_tag("2.0.0"))
        await store.delete(HERE.at(one.digest))
        assert await store.tags("") == ["latest"]
        body = {"schemaVersion": 2, "config": Descriptor.of(b"gone", EMPTY).document(), "layers": []}
        with pytest.raises(NotFound, match="which is not there"):
            await store.push_manifest("", json.dumps(body).encode(), MANIFEST)
        for _ in range(2):
            await asyncio.gather(
                *(store.tag(Reference("", "", "latest"), f"t{number}") for number in range(8))
            )
        assert len(await store.tags("")) == 9
        assert not list((tmp_path / "l").rglob("*.fairlead-part"))

    asyncio.run(work())


def test_what_a_layout_says_is_checked_too(tmp_path: Path) -> None:
    async def work() -> None:
        store = Layout(tmp_path / "l")
        (tmp_path / "s").mkdir()
        packed = pack({"a": Content(b"1")}, "module", tmp_path / "s")
        await push(store, HERE, packed)
        layer = packed.blobs[1][0]
        place = tmp_path / "l" / "blobs" / "sha256" / layer.digest[7:]
        place.write_bytes(b"y" * layer.size)
        with pytest.raises(BadDigest):
            await unpack(store, HERE)
        place.write_bytes(b"y" * (layer.size + 1))
        with pytest.raises(TooLarge):
            await store.fetch(HERE, layer, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        for content in (
            "{",
            "[]",
            '{"manifests": [{"digest": "sha256:../../x", "size": 1, "mediaType": "x"}]}',
        ):
            (tmp_path / "l" / "index.json").write_text(content)
            with pytest.raises(RegistryError):
                await store.resolve(HERE)
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").touch()
        with pytest.raises(RegistryError, match="neither empty nor"):
            await Layout(tmp_path / "full").push_blob("", b"x")

    asyncio.run(work())


def test_a_tar_of_a_layout_is_read(tmp_path: Path) -> None:
    async def work() -> None:
        store = Layout(tmp_path / "l")
        (tmp_path / "s").mkdir()
        done = await push(store, HERE, pack({"a": Content(b"1")}, "module", tmp_path / "s"))
        with tarfile.open(tmp_path / "l.tar", "w") as tar:
            tar.add(tmp_path / "l", ".")
        packed = Layout(tmp_path / "l.tar")
        assert (await unpack(packed, HERE)).package == {"a": b"1"}
        target = Layout(tmp_path / "copy")
        assert (await copy(packed, HERE, target, HERE)).digest == done.digest
        with pytest.raises(RegistryError, match="only read"):
            await packed.push_blob("", b"x")
        (tmp_path / "no.tar").write_bytes(b"x" * 2000)
        with pytest.raises(RegistryError, match="not a tar"):
            await Layout(tmp_path / "no.tar").resolve(HERE)

    asyncio.run(work())
