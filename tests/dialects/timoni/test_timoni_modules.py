"""What the dialect asks and how it reads answers, without an evaluator."""

from __future__ import annotations

import pytest

from fairlead.dialects import timoni
from fairlead.dialects.timoni import modules
from fairlead.render.evaluations import Evaluated, Overlay, Place, Problem, Row
from fairlead.render.packages import Capabilities, Context, Layer, Mistaken, Package

MAIN = b"package main\n"


@pytest.mark.parametrize(
    ("where", "version"),
    [
        ("oci://ghcr.io/org/modules/app:1.2.3", "1.2.3"),
        ("oci://localhost:5000/app:2.0.0-rc.1@sha256:abc", "2.0.0-rc.1"),
        ("oci://localhost:5000/app", "0.0.0-devel"),
        ("oci://localhost:5000/app:latest", "0.0.0-devel"),
        ("oci://localhost:5000/app@sha256:abc", "0.0.0-devel"),
        ("./modules/app", "0.0.0-devel"),
    ],
)
def test_a_released_module_has_the_version_of_its_tag(where: str, version: str) -> None:
    assert modules.module_version(where) == version


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b'module: "timoni.sh/app"\nlanguage: version: "v0.9.0"', "timoni.sh/app"),
        (b'// what\nmodule: "example.com/app@v0"', "example.com/app"),
        (b"module: 3", ""),
    ],
)
def test_a_module_is_named_by_its_cue_module(text: bytes, name: str) -> None:
    assert timoni.module_name({"cue.mod/module.cue": text}) == name
    assert not timoni.module_name({})


def test_a_module_below_the_root_of_a_package_is_asked_for_alone() -> None:
    package = Package({"a/timoni.cue": MAIN, "a/cue.mod/module.cue": b"", "b/x.cue": b""}, target="a")
    context = Context("app", "shop", capabilities=Capabilities("v1.31.4"))
    question = timoni.prepare(package, (), context)
    assert set(question.files) == {"timoni.cue", "cue.mod/module.cue", "timoni.schema.cue"}
    assert question.tags == {"name": "app", "namespace": "shop"}
    assert question.variables == {"moduleVersion": "0.0.0-devel", "kubeVersion": "1.31.4"}
    assert question.merge is None


def test_files_of_values_come_before_options_and_keep_their_names() -> None:
    layers = [
        Layer("--set", "a.b=1", "set"),
        Layer("one.cue", "values: {}"),
        Layer("-", "a: 2"),
        Layer("--set-string", "c=2", "set-string"),
    ]
    assert modules.overlays(layers) == (
        Overlay("one.cue", b"values: {}", "one.cue"),
        Overlay("values.yaml", b"a: 2", "-"),
        Overlay("options.json", b'{"values": {"a": {"b": 1}, "c": "2"}}', "--set", holes=True),
    )


def test_what_has_no_timoni_cue_is_no_module() -> None:
    with pytest.raises(Mistaken, match=r"here: there is no timoni.cue; a Timoni module has one"):
        timoni.prepare(Package({"main.cue": MAIN}, "here"), (), Context("app"))


def test_images_are_found_however_deep_and_told_once() -> None:
    image = {"repository": "a/b", "tag": "1", "digest": "", "reference": "a/b:1"}
    config = {
        "image": image,
        "sidecars": [{"image": {**image, "reference": "c:2"}}, {"image": image}],
        "tag": "x",
    }
    deep: object = image
    for _ in range(1000):
        deep = [deep]
    assert modules.images({**config, "deep": deep}) == ("a/b:1", "c:2")


@pytest.mark.parametrize("apply", [None, [], "x", {"app": {}}, {"app": "x"}])
def test_what_is_applied_is_lists_of_objects(apply: object) -> None:
    with pytest.raises(Mistaken, match=r"\.timoni\.apply"):
        timoni.finish(Package({"timoni.cue": MAIN}, "m"), (), Evaluated({"timoni.apply": apply}))


def test_the_nearest_place_to_the_user_comes_first() -> None:
    problem = Problem(
        "conflicting values 1 and 2",
        "values.a.0.b",
        (
            Place("cue.mod/pkg/x/y.cue", 9, 1),
            Place("templates/config.cue", 2, 3),
            Place("mine.yaml", 1, 4),
            Place("timoni.schema.cue", 1, 1),
            Place("mine.yaml", 1, 9),
        ),
    )
    package = Package({"timoni.cue": MAIN, "templates/config.cue": b"\nx: 2"}, "m")
    with pytest.raises(Mistaken) as raised:
        timoni.finish(package, [Layer("mine.yaml", "a: 1")], Evaluated(problems=(problem, problem)))
    (mistake,) = raised.value.mistakes
    assert str(mistake) == "mine.yaml:1:4: .values.a[0].b: conflicting values 1 and 2"
    assert mistake.excerpt == "a: 1"
    assert [str(where) for where in mistake.trail] == ["templates/config.cue:2", "cue.mod/pkg/x/y.cue:9"]


def row(path: str, **more: object) -> Row:
    return Row(tuple(path.split(".")), **{"type": "string", "kinds": ("string",), **more})  # type: ignore[arg-type]


def test_the_reference_leaves_out_what_timoni_sets_and_what_is_not_to_be_told() -> None:
    rows = (
        row("kubeVersion"),
        row("metadata", type="struct", kinds=("struct",), doc="About it."),
        row("metadata.name"),
        row("metadata.labels", type="#Labels", kinds=("struct",), optional=True),
        row("secret", hidden=True, kinds=("struct",)),
        row("secret.part"),
        row("port", type="int & >0", kinds=("int",), default="80", doc="The port."),
        row("any", type="_", kinds=("null", "bool", "int", "float", "string", "bytes", "list", "struct")),
        row("size", type="number", kinds=("int", "float"), required=True),
        row("a/b", type="string", kinds=("string", "null")),
    )
    told = timoni.read_rows(Evaluated(rows={"values": rows}))
    assert timoni.table(told) == [
        ("metadata.labels", "#Labels", "", "About it."),
        ("port", "int & >0", "80", "The port."),
        ("any", "_", "", ""),
        ("size", "number", "", ""),
        ('"a/b"', "string", "", ""),
    ]
    assert timoni.document(told, "app") == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "app",
        "type": "object",
        "properties": {
            "metadata": {
                "type": "object",
                "description": "About it.",
                "properties": {"labels": {"type": "object", "x-cue": "#Labels"}},
            },
            "port": {"type": "integer", "description": "The port.", "default": 80, "x-cue": "int & >0"},
            "any": {"x-cue": "_"},
            "size": {"type": "number", "x-cue": "number"},
            "a/b": {"type": ["string", "null"]},
        },
        "required": ["size"],
    }
