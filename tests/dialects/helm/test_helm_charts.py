"""Whole charts: what is rendered, in which stages, and what is refused, as Helm does it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fairlead.dialects import helm
from fairlead.render.packages import (
    Answers,
    Capabilities,
    Context,
    Lacking,
    Layer,
    Mistaken,
    Package,
    Rendered,
)
from fairlead.tongues import yamls
from fairlead.words import Need, Ref

CASES = yamls.load((Path(__file__).parent / "cases" / "charts.yaml").read_text())
RELEASE = Ref("", "Release", "default", "rel")
ANSWERS: dict[Need, Any] = {Need("render.seed", RELEASE): "seed", Need("render.moment", RELEASE): 1.7e9}
CONFIG_MAP = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: one}\n"


def chart(files: dict[str, str], more: str = "") -> Package:
    named = {"Chart.yaml": f"apiVersion: v2\nname: app\nversion: 1.0.0\n{more}", **files}
    return Package({path: text.encode() for path, text in named.items()})


def render(package: Package, *layers: Layer, answers: Answers = ANSWERS, **more: Any) -> Rendered:
    return helm.render(package, layers, Context("rel", **more), answers)


def said(caught: pytest.ExceptionInfo[Mistaken]) -> str:
    return "\n".join(map(str, caught.value.mistakes))


def in_our_words(error: str) -> list[str]:
    """What has to be in the mistakes for Helm's error: its parts, with the place in front."""
    if error.startswith("values don't meet"):
        lines = error.splitlines()[2:]
        return [line.strip() for line in lines if line.strip().startswith("- ")]
    error = re.sub(r"^template: ", "", error)
    return [re.sub(r"^(parse|execution) error at \((.*?)\): ", r"\2: \1 error: ", error)]


@pytest.mark.parametrize("case", CASES, ids=[case["title"] for case in CASES])
def test_charts_give_what_helm_gives(case: dict[str, Any]) -> None:
    package = Package({path: text.encode() for path, text in case["files"].items()})
    layers = [Layer("values.yaml", case.get("values", ""))]
    layers += [Layer(f"--{sort}", text, sort) for sort, text in case.get("sets", ())]
    capabilities = Capabilities(case.get("kv", "v1.32.0"), frozenset(case.get("apis", ())))
    if "error" in case:
        with pytest.raises(Mistaken) as caught:
            render(package, *layers, capabilities=capabilities)
        for part in in_our_words(case["error"].replace("%!t(float64=5)", "5")):
            assert part in said(caught)
        return
    rendered = render(package, *layers, capabilities=capabilities)
    expected = [item for item in yamls.load_all(case["manifest"]) if item is not None]
    assert list(rendered.objects) == expected
    assert rendered.notes == case.get("notes", "")
    hooks = {stage.objects[0]["metadata"]["name"]: stage for stage in rendered.stages if stage.one_off}
    assert sorted(hooks) == sorted(hook["name"] for hook in case.get("hooks", ()))
    for hook in case.get("hooks", ()):
        moments = {event.rpartition("-")[2] for event in hook["events"]}
        assert hooks[hook["name"]].moments == moments


def test_hooks_become_stages_around_what_stays() -> None:
    case = next(case for case in CASES if case["title"] == "hooks by weight, then by name")
    rendered = render(Package({path: text.encode() for path, text in case["files"].items()}))
    stages = [(stage.name, sorted(stage.moments), sorted(stage.cleanup)) for stage in rendered.stages]
    assert stages == [
        ("pre: Job x", ["delete"], ["before"]),
        ("pre: Job a", ["install"], ["failed", "succeeded"]),
        ("pre: Job b", ["install", "upgrade"], ["before"]),
        ("main", ["install", "rollback", "upgrade"], []),
        ("post: Job z", ["install"], ["before"]),
        ("test: Job w", ["test"], ["before"]),
    ]
    (finding,) = rendered.findings
    assert 'the hook "sometimes" is none that Helm knows' in finding.message


def test_what_is_there_to_be_said_is_a_finding() -> None:
    package = chart(
        {"values.yaml": "a: {b: 1}\nc: 2\n", "templates/a.yaml": CONFIG_MAP}, "deprecated: true\nodd: 1\n"
    )
    rendered = render(package, Layer("v.yaml", "a: 5\nc: {d: 1}\n"))
    assert [finding.message for finding in rendered.findings] == [
        "This chart is deprecated: app 1.0.0",
        "Chart.yaml has a field that Helm does not know: odd",
        "skipped value for app.c: Not a table.",
    ]


def test_images_values_and_version_are_told() -> None:
    pod = (
        "kind: Pod\napiVersion: v1\nmetadata: {name: p}\nspec:\n  containers: [{name: a, image: '{{ .Values.image }}'}]\n"
        "  initContainers: [{name: b, image: init}]\n"
    )
    rendered = render(chart({"values.yaml": "image: one\nport: 80\n", "templates/p.yaml": pod}))
    assert (rendered.package, rendered.version, rendered.sort) == ("app", "1.0.0", "chart")
    assert rendered.images == ("init", "one")
    assert rendered.values == {"image": "one", "port": 80}


def test_lookups_are_needs_all_at_once_and_then_answered() -> None:
    text = (
        '{{ $s := lookup "v1" "Secret" "ns" "s" }}{{ $p := lookup "apps/v1" "Deployment" "" "" }}'
        + CONFIG_MAP
        + "data: {s: '{{ ($s.data).k }}', c: '{{ len $p.items }}'}\n"
    )
    package = chart({"templates/a.yaml": text})
    with pytest.raises(Lacking) as caught:
        render(package)
    secret = Need("cluster.object", Ref("", "Secret", "ns", "s"), (("apiVersion", "v1"),))
    deployments = Need("cluster.list", Ref("apps", "Deployment", "", ""), (("apiVersion", "apps/v1"),))
    assert caught.value.needs == (secret, deployments)
    rendered = render(package, answers={secret: {"data": {"k": "v"}}, deployments: [{"kind": "Deployment"}]})
    assert rendered.objects[0]["data"] == {"s": "v", "c": "1"}
    with pytest.raises(Mistaken, match=r"wrong type|nil pointer|len of nil"):
        render(package, answers={secret: None, deployments: []})


def test_dice_and_clock_are_asked_for_and_only_where_they_are_wanted() -> None:
    plain = chart({"templates/a.yaml": CONFIG_MAP})
    assert render(plain, answers={}).objects
    dice = chart(
        {
            "templates/a.yaml": CONFIG_MAP
            + "data: {a: '{{ randAlphaNum 9 }}', b: '{{ now | date \"2006\" }}'}\n"
        }
    )
    asked = []
    answers: dict[Need, Any] = {}
    for _ in range(2):
        with pytest.raises(Lacking) as caught:
            render(dice, answers=answers)
        asked += [need.what for need in caught.value.needs]
        answers[caught.value.needs[0]] = ANSWERS[caught.value.needs[0]]
    assert asked == ["render.seed", "render.moment"]
    first, again = render(dice, answers=answers), render(dice, answers=answers)
    assert first.objects == again.objects
    assert first.objects[0]["data"]["b"] == "2023"


def test_dependencies_that_are_elsewhere_are_asked_for() -> None:
    more = "dependencies:\n- {name: db, version: 1.x, repository: 'oci://example.com/charts'}\n"
    package = chart(
        {"templates/a.yaml": CONFIG_MAP, "Chart.lock": "dependencies: [{name: db, version: 1.4.2}]\n"}, more
    )
    with pytest.raises(Lacking) as caught:
        render(package)
    need = Need("package.files", Ref("", "", "", "oci://example.com/charts/db"), (("version", "1.4.2"),))
    assert caught.value.needs == (need,)
    inner = {
        "Chart.yaml": b"apiVersion: v2\nname: db\nversion: 1.4.2\n",
        "templates/a.yaml": b"kind: A\napiVersion: v1\n",
    }
    assert [item["kind"] for item in render(package, answers={need: inner}).objects] == ["ConfigMap", "A"]
    with pytest.raises(Mistaken, match=r"found in Chart.yaml, but missing in charts/ directory: db"):
        render(package, answers={need: {}})


def test_a_chart_may_depend_on_one_beside_it() -> None:
    more = "dependencies:\n- {name: db, version: 1.x, repository: 'file://../db'}\n"
    beside = chart({}, more).files
    files = {f"app/{path}": data for path, data in beside.items()} | {
        "db/Chart.yaml": b"apiVersion: v2\nname: db\nversion: 1.4.2\n",
        "db/templates/a.yaml": CONFIG_MAP.encode(),
    }
    assert len(render(Package(files, target="app")).objects) == 1


def test_upgrades_are_told_apart_from_installations() -> None:
    text = (
        CONFIG_MAP
        + "data: {a: '{{ .Release.IsUpgrade }} {{ .Release.IsInstall }} {{ .Release.Revision }}'}\n"
    )
    package = chart({"templates/a.yaml": text})
    assert render(package).objects[0]["data"]["a"] == "false true 1"
    assert render(package, moment="upgrade", revision=3).objects[0]["data"]["a"] == "true false 3"


def test_what_a_cluster_serves_is_all_that_it_serves() -> None:
    text = CONFIG_MAP + "data: {a: '{{ .Capabilities.APIVersions.Has \"apps/v1\" }}'}\n"
    package = chart({"templates/a.yaml": text})
    assert render(package).objects[0]["data"]["a"] == "true"
    bare = Capabilities("v1.32.0", frozenset({"v1", "v1/Pod"}))
    assert render(package, capabilities=bare).objects[0]["data"]["a"] == "false"


def test_objects_without_a_kind_are_refused() -> None:
    with pytest.raises(Mistaken, match=r"an object without kind in the output of app/templates/a.yaml"):
        render(chart({"templates/a.yaml": "apiVersion: v1\nmetadata: {name: x}\n"}))


def test_values_of_a_user_never_change_the_chart() -> None:
    package = chart(
        {
            "values.yaml": "a: {b: [1]}\n",
            "templates/a.yaml": CONFIG_MAP + "data: {a: '{{ set .Values.a \"c\" 1 | toJson }}'}\n",
        }
    )
    first = render(package, Layer("--set", "a.b[0]=7", "set"))
    assert render(package).objects[0]["data"]["a"] == '{"b":[1],"c":1}'
    assert first.objects[0]["data"]["a"] == '{"b":[7],"c":1}'


def test_a_library_cannot_be_installed() -> None:
    with pytest.raises(Mistaken, match="library charts are not installable"):
        render(chart({}, "type: library\n"))


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("apps/podinfo/charts/podinfo", ["Service", "Deployment"]),
        ("apps/argocd-examples/helm-guestbook", ["Service", "Deployment"]),
    ],
)
def test_charts_of_others_are_rendered(corpus: Path, path: str, kinds: list[str]) -> None:
    root = corpus / path
    files = {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}
    rendered = render(Package(files))
    assert [item["kind"] for item in rendered.objects] == kinds
    assert rendered.notes
