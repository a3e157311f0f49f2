"""A cluster in which all is well gives no finding that anybody would get up for, whatever else runs in it."""

from __future__ import annotations

import clusters
import pytest

from fairlead.diagnose.examining import examine
from fairlead.words import Severity, Snapshot

SIZE = 5_000


@pytest.mark.parametrize("seed", [0, 1])
def test_a_healthy_cluster_has_nothing_above_a_note(seed: int) -> None:
    view = Snapshot(clusters.generate(SIZE, seed))
    assert len(view) == SIZE
    found = examine(view, scope="live", now=clusters.NOW, advice=True)
    assert [
        f"{one.rule} {one.subject}: {one.message}" for one in found if one.severity != Severity.INFO
    ] == []


def test_its_manifests_alone_have_nothing_above_a_note() -> None:
    view = Snapshot({**one, "status": {}} for one in clusters.generate(SIZE // 5) if one["kind"] != "Pod")
    found = examine(view, scope="files", now=clusters.NOW, advice=True)
    assert [
        f"{one.rule} {one.subject}: {one.message}" for one in found if one.severity != Severity.INFO
    ] == []


def test_each_fault_has_one_root_that_is_it() -> None:
    rules = {
        "image": "image.pull",
        "crash": "container.crash",
        "config": "config.missing",
        "selector": "service.selector",
        "probe": "probe.failing",
        "unschedulable": "schedule.resources",
    }
    for name, rule in rules.items():
        cluster = clusters.Cluster(600, 5)
        victim = next(
            one
            for one in cluster.objects
            if one["kind"] == "Deployment" and one["metadata"]["namespace"].startswith("team-")
        )
        clusters.FAULTS[name](cluster, victim)
        found = examine(Snapshot(cluster.objects), scope="live", now=clusters.NOW)
        assert [(one.rule, one.subject.name) for one in found] == [(rule, victim["metadata"]["name"])], name
