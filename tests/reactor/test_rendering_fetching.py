"""Packages from registries: which version is taken, for sources, for what they depend on, and for members of bundles."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fairlead.converge.bundles import BadBundle, Member
from fairlead.drivers.oci import artifacts
from fairlead.drivers.oci.archives import Content
from fairlead.drivers.oci.layouts import Layout
from fairlead.drivers.oci.references import Reference
from fairlead.reactor.bundling_books import opened
from fairlead.reactor.rendering import Source
from fairlead.reactor.rendering_fetching import open_source, package_files
from fairlead.reactor.rendering_vendoring import dependencies
from fairlead.render.modules_manifest import Dependency
from fairlead.render.packages import Mistaken
from fairlead.words import Need, Ref, Where

TAGS = ("1.0.0", "1.2.0", "1.10.1", "2.0.0-rc.1", "main")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A chart without a `latest`."""
    folder = tmp_path_factory.mktemp("layout")
    layout = Layout(folder / "store")

    async def push() -> None:
        for tag in TAGS:
            version = tag if tag != "main" else "0.0.0"
            chart = f"apiVersion: v2\nname: web\nversion: {version}\n".encode()
            (folder / tag).mkdir()
            packed = artifacts.pack({"Chart.yaml": Content(chart)}, "chart", folder / tag, under="web")
            await artifacts.push(layout, Reference("registry.test", "charts/web", tag), packed)

    asyncio.run(push())
    return layout


def version_in(source: Source) -> str:
    return source.package.files["Chart.yaml"].decode().split()[-1]


@pytest.mark.parametrize(
    ("address", "wanted", "version"),
    [
        ("oci://registry.test/charts/web", "", "1.10.1"),
        ("oci://registry.test/charts/web:1.2.0", "", "1.2.0"),
        ("oci://registry.test/charts/web", "1.0.0", "1.0.0"),
        ("oci://registry.test/charts/web", "<1.10", "1.2.0"),
        ("oci://registry.test/charts/web", "1.x", "1.10.1"),
        ("oci://registry.test/charts/web", ">=2.0.0-0", "2.0.0-rc.1"),
        ("oci://registry.test/charts/web", "main", "0.0.0"),
    ],
)
def test_the_newest_version_that_fits_is_taken(
    store: Layout, address: str, wanted: str, version: str
) -> None:
    source = asyncio.run(open_source(address, store=store, version=wanted))
    assert version_in(source) == version


@pytest.mark.parametrize("wanted", ["^3", "3.0.0"])
def test_a_version_that_is_not_there_is_told(store: Layout, wanted: str) -> None:
    with pytest.raises(Mistaken, match=r"charts/web"):
        asyncio.run(open_source("oci://registry.test/charts/web", store=store, version=wanted))


def test_a_digest_decides(store: Layout) -> None:
    whole = asyncio.run(open_source("oci://registry.test/charts/web:1.0.0", store=store))
    again = asyncio.run(
        open_source("oci://registry.test/charts/web", store=store, digest=whole.digest, version="^1")
    )
    assert version_in(again) == "1.0.0"


def test_dependencies_may_name_a_range(store: Layout) -> None:
    needs = [
        Need(
            "package.files", Ref("", "", "", f"oci://registry.test/charts/web{tag}"), (("version", version),)
        )
        for tag, version in (("", "~1.2"), (":1.0.0", "^1"))
    ]
    found = asyncio.run(package_files(needs, store=store))
    assert [found[need]["Chart.yaml"].split()[-1] for need in needs] == [b"1.2.0", b"1.0.0"]


def test_members_of_bundles_too_and_what_is_wrong_is_told_at_their_place(
    store: Layout, tmp_path: Path
) -> None:
    source = f"layout:{store.path}"
    with pytest.raises(BadBundle) as told:
        asyncio.run(opened(Member("web", source, "", ">=9", "", {}, where=Where("b.yaml", 7)), tmp_path))
    assert str(told.value).startswith("b.yaml:7: ")


def test_of_a_range_what_was_locked_stays_until_an_update_is_wanted(store: Layout) -> None:
    locked = asyncio.run(open_source("oci://registry.test/charts/web:1.2.0", store=store)).digest
    wanted = [Dependency("web", "oci://registry.test/charts/web", "^1")]
    lock = {"web": {"source": wanted[0].source, "version": "^1", "digest": locked}}
    for known, update, version in ((lock, False, "1.2.0"), (lock, True, "1.10.1"), ({}, False, "1.10.1")):
        (found,) = asyncio.run(dependencies(wanted, known, update=update, store=store))
        assert found.files["Chart.yaml"].decode().split()[-1] == version
    exact = [Dependency("web", wanted[0].source, "1.0.0")]
    moved = {"web": {**lock["web"], "version": "1.0.0"}}
    with pytest.raises(Mistaken, match=r"web:1\.0\.0 is sha256:.* now, and was"):
        asyncio.run(dependencies(exact, moved, store=store))
