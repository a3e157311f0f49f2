"""A native module of our own gives the objects of podinfo's chart and of its Kustomize tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fairlead.reactor.rendering import render_source
from fairlead.reactor.rendering_loading import load_source
from fairlead.render.packages import Context, Layer
from fairlead.words import Ref, Resource

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "examples" / "modules" / "podinfo"
pytestmark = pytest.mark.corpus


def objects(path: Path, layers: Sequence[Layer] = (), name: str = "podinfo") -> dict[Ref, Resource]:
    rendered = render_source(load_source(str(path)), layers, Context(name, "default"), worker=False)
    found = {}
    for item in rendered.objects:
        meta = item["metadata"]
        meta.pop("namespace", None)  # the instance's, whether or not a package writes it
        found[Ref.of(item)] = item
    return found


def without(item: dict[str, Any], *labels: str) -> dict[str, Any]:
    """Return an object without labels that name who rendered it."""
    kept = {key: value for key, value in (item["metadata"].get("labels") or {}).items() if key not in labels}
    return {**item, "metadata": {**item["metadata"], "labels": kept}}


@pytest.mark.parametrize(
    ("module_values", "chart_values", "name"),
    [
        ("", "", "podinfo"),
        ("", "", "web"),
        (
            "replicas: 3\nhpa: {enabled: true, cpu: 80, memory: 200Mi}\nui: {message: hello}\nlog_level: debug\nservice: {type: NodePort}\nbackends: ['http://a/echo']\n",
            "replicaCount: 3\nhpa: {enabled: true, cpu: 80, memory: 200Mi}\nui: {message: hello}\nlogLevel: debug\nservice: {type: NodePort}\nbackends: ['http://a/echo']\n",
            "podinfo",
        ),
    ],
)  # fmt: skip
def test_the_objects_are_the_charts(corpus: Path, module_values: str, chart_values: str, name: str) -> None:
    pytest.importorskip("fairlead.dialects.helm")
    chart = objects(corpus / "apps/podinfo/charts/podinfo", [Layer("values.yaml", chart_values)], name)
    module = objects(MODULE, [Layer("values.yaml", module_values)], name)
    assert module.keys() == chart.keys()
    makers = ("helm.sh/chart", "app.kubernetes.io/managed-by")
    for ref, item in chart.items():
        container = item.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [{}])[0]
        if container and container["resources"].get("limits", "") is None:
            del container["resources"]["limits"]  # null in the chart's values
        assert without(module[ref], *makers) == without(item, *makers)


def test_the_objects_are_the_kustomize_trees(corpus: Path) -> None:
    tree = objects(corpus / "apps/podinfo/kustomize")
    values = MODULE / "kustomize.yaml"
    assert objects(MODULE, [Layer("kustomize.yaml", values.read_text())]) == tree
