"""Kustomize trees: golden cases, each a tree and what it gives, and the same asked of kubectl."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.dialects import kustomize
from fairlead.dialects.kustomize import mergekeys, referring
from fairlead.render.packages import Context, Lacking, Layer, Mistaken, Package
from fairlead.tongues import yamls
from fairlead.words import Need, Ref

ROOT = Path(__file__).parents[3]
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['rule']}")
    for path in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.safe_load_all(path.read_text())
]


def package(files: Mapping[str, str], target: str = "") -> Package:
    return Package({path: text.encode() for path, text in files.items()}, "tree", target)


def render(files: Mapping[str, str], target: str = "", answers: Any = None) -> list[Any]:
    return list(kustomize.render(package(files, target), (), Context("x"), answers or {}).objects)


@pytest.mark.parametrize("case", CASES)
def test_case(case: dict[str, Any]) -> None:
    target = case.get("target", "")
    if "error" in case:
        with pytest.raises(Mistaken) as caught:
            render(case["files"], target)
        assert str(caught.value) == case["error"]
    else:
        assert render(case["files"], target) == yamls.load_all(case["expect"])


def test_kubectl_says_the_same(tmp_path: Path, kubectl_program: str) -> None:
    for at, param in enumerate(CASES):
        case: Any = param.values[0]
        if case.get("newer"):  # than the kustomize in kubectl 1.32
            continue
        folder = tmp_path / str(at)
        for name, text in case["files"].items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run(
            [kubectl_program, "kustomize", str(folder / case.get("target", ""))],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode == 0) is ("error" not in case), (case["rule"], done.stderr)
        if "error" not in case:
            found = [str(one) for one in map(ordered, yamls.load_all(done.stdout))]
            wanted = [str(one) for one in map(ordered, yamls.load_all(case["expect"]))]
            if "sortOptions" not in str(case["files"]):  # kubectl orders by kind unless told otherwise
                found, wanted = sorted(found), sorted(wanted)
            assert found == wanted, case["rule"]


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(one) for one in value] if isinstance(value, list) else value


SECRET = "{apiVersion: v1, kind: Secret, metadata: {name: s}}"


def test_what_lies_at_an_address_is_asked_for_and_stands_beside_the_files_then() -> None:
    files = {
        "kustomization.yaml": "resources: ['https://example.com/base?ref=v1', 'https://example.com/s.yaml']\n"
    }
    base = Need("package.files", Ref("", "", "", "https://example.com/base?ref=v1"), (("version", ""),))
    file = Need("package.files", Ref("", "", "", "https://example.com/s.yaml"), (("version", ""),))
    with pytest.raises(Lacking) as lacking:
        render(files)
    assert lacking.value.needs == (base,)
    fetched = {"kustomization.yaml": b"namePrefix: x-\nresources: [s.yaml]\n", "s.yaml": SECRET.encode()}
    found = render(files, answers={base: fetched, file: {"s.yaml": SECRET.encode()}})
    assert [one["metadata"]["name"] for one in found] == ["x-s", "s"]
    with pytest.raises(Mistaken, match="cannot be fetched; copy it beside this kustomization"):
        render(files, answers={base: None})


def test_what_is_fetched_stays_in_what_was_fetched() -> None:
    files = {
        "kustomization.yaml": "resources: [github.com/a/b]\n",
        "mine/kustomization.yaml": "namePrefix: a\n",
    }
    need = Need("package.files", Ref("", "", "", "github.com/a/b"), (("version", ""),))
    for path in ("../mine", "../../mine"):
        fetched = {"kustomization.yaml": f"resources: [{path}]\n".encode()}
        with pytest.raises(Mistaken, match=r"not a valid directory|outside of what was fetched"):
            render(files, answers={need: fetched})


def test_values_are_refused_and_old_fields_are_told_of() -> None:
    files = {
        "kustomization.yaml": "bases: [b]\n",
        "b/kustomization.yaml": "resources: [s.yaml]\n",
        "b/s.yaml": SECRET,
    }
    with pytest.raises(Mistaken, match=r"takes no values, but --set gives some; write an overlay"):
        kustomize.render(package(files), (Layer("--set", "a=b", "set"),), Context("x"), {})
    rendered = kustomize.render(package(files), (), Context("x"), {})
    assert [(one.rule, one.message) for one in rendered.findings] == [
        ("kustomization.deprecated", "'bases' is deprecated. Please use 'resources' instead")
    ]
    assert rendered.sort == "kustomization"
    assert [stage.name for stage in rendered.stages] == ["all"]


def test_one_rendering_leaves_nothing_for_the_next() -> None:
    schema = '{"definitions": {}}'
    files = {
        "kustomization.yaml": "resources: [d.yaml]\npatches: [{path: p.yaml}]\n",
        "d.yaml": "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a}]}}",
        "p.yaml": "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: b}]}}",
    }
    own = {
        **files,
        "kustomization.yaml": f"{files['kustomization.yaml']}openapi: {{path: s.json}}\n",
        "s.json": schema,
    }
    before = render(files)
    assert render(own)[0]["spec"]["containers"] == [{"name": "b"}]
    assert render(files) == before
    assert [one["name"] for one in before[0]["spec"]["containers"]] == ["b", "a"]


def test_binary_files_go_where_they_belong() -> None:
    kustomization = (
        "configMapGenerator: [{name: c, files: [b=bin]}]\nsecretGenerator: [{name: s, files: [bin]}]\n"
    )
    files = {"kustomization.yaml": kustomization.encode(), "bin": b"\xff\x00" * 60}
    found = kustomize.render(Package(files), (), Context("x"), {}).objects
    assert "data" not in found[0]
    assert found[0]["binaryData"]["b"] == found[1]["data"]["bin"]
    assert [len(line) for line in found[1]["data"]["bin"].splitlines()] == [70, 70, 20]


def test_what_a_tree_lacks_is_known_without_building_it() -> None:
    text = b"resources: [../base, a.yaml]\npatches: [{path: p.yaml}, {patch: 'x'}]\nconfigMapGenerator: [{files: [k=f, ../out]}]\n"
    files = {"app/kustomization.yaml": text}
    assert referring.missing(files, "app") == {"base", "app/a.yaml", "app/p.yaml", "app/f"}
    files["base/kustomization.yaml"] = b"resources: [b.yaml]\n"
    assert "base/b.yaml" in referring.missing(files, "app")
    assert referring.missing(files, "other") == {"other"}


def test_the_table_of_merge_keys_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_merge_keys.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == Path(mergekeys.__file__).read_text()
