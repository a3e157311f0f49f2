"""A chosen part of the scenarios, played for real: the root and nothing else, its symptoms and evidence, and a fix that was proven and helps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from drills import FOLDER
from drills.comparing import Result
from drills.platforms import Platform
from drills.reading import Surroundings, read
from drills.registries import registry
from drills.running import play

from fairlead.drivers.cluster import AsyncCluster
from fairlead.drivers.containers.daemon import missing

pytestmark = [pytest.mark.root, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(400)]

CHOSEN = (
    "commands/missing-binary",
    "config/configmap-deleted",
    "config/secret-name",
    "images/tag-typo",
    "jobs/image",
    "kernel/connection-refused",
    "kernel/file-missing",
    "kernel/out-of-memory",
    "kernel/permission-denied",
    "names/env-url",
    "policy/quota",
    "probes/wrong-path",
    "scheduling/cpu",
    "services/selector",
    "several/two-roots",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    """What became of the chosen scenarios, played together on a platform of their own."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("drills")
    platform = Platform(folder / "data")
    platform.up()
    try:
        platform.bring_images(folder)
        yield {result.name: result for result in asyncio.run(played(platform.data))}
    finally:
        platform.down()


async def played(data: Path) -> list[Result]:
    with registry() as place:
        async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
            nodes, _ = await cluster.list("v1", "Node")
            around = Surroundings(nodes[0]["metadata"]["name"], place, str(data / "disks"))
            return await play(cluster, [read(FOLDER, name, around) for name in CHOSEN])


@pytest.mark.parametrize("name", CHOSEN)
def test_the_root_is_told_and_mended(results: dict[str, Result], name: str) -> None:
    result = results[name]
    assert not result.broken, result.broken
    assert result.found == result.roots, result.said
    assert result.false == []
    assert result.symptoms == [], "expected symptoms or evidence are not told"
    assert not result.worse, result.said
    assert result.fixed or not result.fixable, result.said
