"""Packages among files that are looked at: which are found, what they render, and the places of what is found in it."""

from __future__ import annotations

import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.reactor.examine import examine_files, files_in, read_files
from fairlead.reactor.patching import write
from fairlead.reactor.rendering_loading import load_source
from fairlead.reactor.unwrapping import Giving, Unwrapped, among, find, of_source, unrendered, unwrap
from fairlead.render.packages import Layer
from fairlead.words import Change, Fix, Ref

NOW = datetime(2026, 1, 1, tzinfo=UTC)

FILES = {
    "charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "charts/web/values.yaml": "name: replics\n",
    "charts/web/templates/_help.tpl": "",
    "charts/web/templates/all.yaml": "# one\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Release.Name }}}\n"
    "spec:\n  {{ .Values.name }}: 2\n  selector: {matchLabels: {app: web}}\n"
    "  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: a, image: 'a:1'}]}}\n",
    "charts/web/templates/hook.yaml": "apiVersion: v1\nkind: Pod\nmetadata:\n  name: check\n"
    "  annotations: {helm.sh/hook: 'pre-install,post-install'}\nspec: {containers: [{name: a, image: 'a:1'}]}\n",
    "charts/web/crds/a.yaml": "# a kind\nkind: CustomResourceDefinition\napiVersion: apiextensions.k8s.io/v1\nmetadata: {name: as.x.y}\n",
    "charts/web/charts/inner/Chart.yaml": "apiVersion: v2\nname: inner\nversion: 1.0.0\n",
    "charts/web/charts/inner/templates/s.yaml": "apiVersion: v1\nkind: Service\n"
    "metadata: {name: s, namespace: {{ .Release.Namespace }}}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n",
    "charts/web/tree/kustomization.yaml": "configMapGenerator: [{name: made, options: {disableNameSuffixHash: true}}]\n",
    "charts/lib/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.0.0\ntype: library\n",
    "charts/needy/Chart.yaml": "apiVersion: v2\nname: needy\nversion: 1.0.0\n",
    "charts/needy/templates/a.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ required "say a name" .Values.name }}\n',
    "mod/module.yaml": "apiVersion: fairlead.dev/v1alpha1\nkind: Module\nmetadata: {name: mod}\nspec: {version: 1.0.0}\n",
    "mod/module.star": 'load("@kubernetes/v1", "ConfigMap")\n\n\ndef build(context, values):\n'
    '    return [stage("all", [ConfigMap(metadata = {"name": context.name})])]\n',
    "mod/tests/plain.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: none}\n",
    "plain.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\n",
    ".cache/Chart.yaml": "apiVersion: v2\nname: hidden\nversion: 1.0.0\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("repository")
    for name, text in FILES.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return top


@pytest.fixture(scope="module")
def unwrapped(folder: Path) -> Unwrapped:
    return unwrap(list(find(folder)), Giving())


def texts(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in files_in(folder)}


def test_packages_are_found_but_those_within_others_and_hidden_ones_are_not(folder: Path) -> None:
    found = [one.file.removeprefix(f"{folder}/") for one in find(folder)]
    assert found == [
        "charts/lib/Chart.yaml",
        "charts/needy/Chart.yaml",
        "charts/web/Chart.yaml",
        "mod/module.yaml",
    ]
    names = [name for name in FILES if not name.startswith(".")]
    by_name = among(names, lambda at: load_source(str(folder / at)), "main:")
    assert sorted(one.file for one in by_name) == [f"main:{name}" for name in found]
    (web,) = find(folder / "charts" / "web")
    assert web.holds(f"{folder}/charts/web/templates/all.yaml")
    assert not web.holds(f"{folder}/charts/web/tree/kustomization.yaml")
    assert not web.holds(f"{folder}/charts/website/all.yaml")


def test_what_packages_render_has_the_place_of_the_template_or_the_call(
    folder: Path, unwrapped: Unwrapped
) -> None:
    told = [
        (str(one.ref), f"{one.file}:{one.line}".removeprefix(f"{folder}/")) for one in unwrapped.documents
    ]
    assert told == [
        ("CustomResourceDefinition as.x.y", "charts/web/crds/a.yaml:1"),
        ("Pod default/check", "charts/web/templates/hook.yaml:2"),
        ("Service default/s", "charts/web/charts/inner/templates/s.yaml:2"),
        ("Deployment default/web", "charts/web/templates/all.yaml:3"),
        ("ConfigMap mod", "mod/module.star:5"),
    ]


def test_one_that_cannot_be_rendered_is_a_warning_with_its_place_and_a_library_a_note(
    folder: Path, unwrapped: Unwrapped
) -> None:
    told = [
        (one.rule, one.severity.value, str(one.where).removeprefix(f"{folder}/"))
        for one in unwrapped.findings
    ]
    assert told == [
        ("package.library", "info", "charts/lib/Chart.yaml"),
        ("package.render", "warning", "charts/needy/templates/a.yaml:4"),
    ]
    assert "say a name" in unwrapped.findings[1].message


def test_values_and_a_namespace_are_the_package_s(folder: Path) -> None:
    giving = Giving((Layer("--set", "name=given", "set"),), "shop")
    made = unwrap(list(find(folder / "charts" / "needy")), giving)
    assert not made.findings
    assert [str(one.ref) for one in made.documents] == ["ConfigMap shop/given"]


def test_the_files_of_packages_are_no_manifests_and_all_else_is_looked_at(
    folder: Path, unwrapped: Unwrapped
) -> None:
    found = examine_files(texts(folder), NOW, packages=unwrapped)
    assert {ref.name for ref in found.places} == {"plain", "made", "web", "check", "s", "mod", "as.x.y"}
    (wrong,) = [one for one in found.findings if one.subject.name == "web" and one.severity == "critical"]
    assert 'unknown field "spec.replics"' in wrong.message
    assert str(wrong.where) == f"{folder}/charts/web/templates/all.yaml:3 .spec.replics"


def test_without_rendering_packages_are_told_of_and_trees_are_left_as_they_are(folder: Path) -> None:
    found = examine_files(texts(folder), NOW, packages=unrendered(list(find(folder))))
    assert [one.rule for one in found.findings] == ["document.template"] * 4
    assert {ref.name for ref in found.places} == {"plain"}


def test_archives_are_packages_or_texts_by_what_they_hold(folder: Path, tmp_path: Path) -> None:
    for name, part in (("web", "charts/web"), ("tree", "charts/web/tree")):
        with tarfile.open(tmp_path / f"{name}.tgz", "w:gz") as archive:
            archive.add(folder / part, arcname=Path(part).name)
    package, more = of_source(load_source(str(tmp_path / "web.tgz")))
    assert package is not None
    assert not more
    places = [one.file for one in unwrap([package], Giving()).documents]
    assert f"{tmp_path}/web.tgz/templates/all.yaml" in places
    assert of_source(load_source(str(tmp_path / "tree.tgz"))) == (
        None,
        {f"{tmp_path}/tree.tgz/kustomization.yaml": FILES["charts/web/tree/kustomization.yaml"]},
    )


def test_what_is_rendered_is_not_patched(folder: Path, unwrapped: Unwrapped) -> None:
    held = texts(folder)
    documents, _ = read_files(held, packages=unwrapped.bare())
    change = Change(
        verb="patch",
        ref=Ref("apps", "Deployment", "default", "web"),
        api_version="apps/v1",
        body=[{"op": "remove", "path": "/spec/replics"}],
        patch="json",
    )
    patched = write(
        Fix(title="take it away", changes=(change,)), held, documents, rendered=unwrapped.documents
    )
    assert not patched.texts
    (left,) = patched.left
    assert left.startswith(
        f"Deployment default/web: it is rendered from {folder}/charts/web/templates/all.yaml:3: "
    )


def test_overlays_are_each_looked_at_where_they_differ() -> None:
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]\n",
        "base/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        "dev/kustomization.yaml": "resources: [../base]\n",
        "test/kustomization.yaml": "resources: [../base]\n",
        "prod/kustomization.yaml": "resources: [../base]\ncommonAnnotations: {a: b}\n",
    }
    assert len(read_files(files, built=True)[0]) == 1
    documents, findings = read_files(files, built=True, every=True)
    assert [one.file for one in documents] == ["base/a.yaml"] * 2
    assert not [one for one in findings if one.rule == "object.doubled"]
