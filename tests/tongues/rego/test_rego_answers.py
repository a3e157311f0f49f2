"""What modules answer, and how bad ones are refused: tables of modules whose results OPA's own program gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.tongues import rego
from fairlead.tongues.rego.builtins import Builtin, Context
from fairlead.tongues.rego.values import equal

HERE = Path(__file__).parent
ANSWERS = yaml.safe_load((HERE / "answers.yaml").read_text())
REFUSALS = yaml.safe_load((HERE / "refusals.yaml").read_text())


def label(case: dict[str, Any]) -> str:
    return " ".join(case["module"].split()[2:12])


@pytest.mark.parametrize("case", ANSWERS, ids=label)
def test_a_module_answers(case: dict[str, Any]) -> None:
    program = rego.compile({"t.rego": case["module"]}, version=case.get("version", "v1"))
    given = case.get("input", rego.UNDEFINED)
    before = json.dumps(given, default=str)
    found = rego.to_json(program.query("data.t", given, {}, budget=100_000))
    assert equal(found, case["want"]), (found, case["want"])
    assert json.dumps(given, default=str) == before


@pytest.mark.parametrize("case", REFUSALS, ids=label)
def test_a_bad_module_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(rego.BadModule) as caught:
        rego.compile({"m.rego": case["module"]}, version=case.get("version", "v1"))
    assert [str(error) for error in caught.value.errors] == case["errors"]


def test_errors_of_several_modules_come_together() -> None:
    with pytest.raises(rego.BadModules) as caught:
        rego.compile({"a.rego": "package a\np if {", "b.rego": "p := 1", "c.rego": ""})
    assert [(error.file, error.line) for error in caught.value.errors] == [
        ("a.rego", 2),
        ("b.rego", 1),
        ("c.rego", 1),
    ]
    assert str(caught.value).startswith("3 errors occurred:\na.rego:2:")


MULTIPLE = "complete rules must not produce multiple outputs"
SAME_INPUTS = "functions must not produce multiple outputs for same inputs"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p := 1\np := 2", f"m.rego:3: eval_conflict_error: {MULTIPLE}"),
        ("p := x if some x in [1, 2]", f"m.rego:2: eval_conflict_error: {MULTIPLE}"),
        ("p := f(1)\nf(_) := 1\nf(_) := 2", f"m.rego:4: eval_conflict_error: {SAME_INPUTS}"),
        (
            "p[k] := v if { some v in [1, 2]; k := 0 }",
            "m.rego:2: eval_conflict_error: object keys must be unique",
        ),
        ("p := {1: x | some x in [1, 2]}", "m.rego:2: eval_conflict_error: object keys must be unique"),
        (
            "p[x].y := 1 if x := 0\np[0] := 2",
            "m.rego:3: eval_conflict_error: object keys must be unique",
        ),
    ],
)
def test_a_document_with_two_values_fails(text: str, said: str) -> None:
    program = rego.compile({"m.rego": f"package test\n{text}"})
    with pytest.raises(rego.Failed) as caught:
        program.query("data.test.p")
    assert str(caught.value) == said


def test_a_built_in_that_fails_is_undefined_unless_strict() -> None:
    program = rego.compile({"m.rego": "package test\n\np := 1 / input"})
    assert program.query("data.test.p", 0) is rego.UNDEFINED
    with pytest.raises(rego.Failed, match=r"^m\.rego:3: eval_builtin_error: div: divide by zero$"):
        program.query("data.test.p", 0, strict=True)


def test_base_documents_lie_under_rules() -> None:
    program = rego.compile(
        {"m.rego": "package a.b\np := 1\nq := data.a.c[2]\nr if false", "n.rego": "package a.e"}
    )
    data = {"a": {"b": {"p": 7, "r": "base", "s": 8}, "c": {"2": "two"}}, "z": [1]}
    wanted = {"a": {"b": {"p": 1, "q": "two", "r": "base", "s": 8}, "c": {"2": "two"}, "e": {}}, "z": [1]}
    assert program.query("data", {}, data) == wanted
    assert program.query("data.z", {}, data) is data["z"]
    assert program.query("data.a.none", {}, data) is rego.UNDEFINED


def test_a_query_gives_its_bindings() -> None:
    program = rego.compile({"m.rego": "package a\nf(x) := x + 1"})
    assert program.prepare("x := data.xs[i]; y = data.a.f(x); y > 2")({}, {"xs": [1, 2, 3]}) == [
        {"i": 1, "x": 2, "y": 3},
        {"i": 2, "x": 3, "y": 4},
    ]
    assert program.prepare("input.a == 1")({"a": 1}) == [{}]
    assert program.prepare("input.a == 1")({"a": 2}) == []
    assert program.prepare("x := f(1)", package="data.a")() == [{"x": 2}]
    with pytest.raises(rego.BadModule, match="var y is unsafe"):
        program.prepare("x := y")


def test_a_query_may_replace_functions_that_no_module_replaces() -> None:
    program = rego.compile({"m.rego": "package a\np := count([1])\nf(x) := x\nq := f(1)"})
    assert program.query("data.a.p") == 1
    assert program.prepare("x := data.a.p with count as 5")() == [{"x": 5}]
    assert program.prepare("x := data.a.q with data.a.f as 6")() == [{"x": 6}]
    assert program.query("data.a.p") == 1


def test_given_built_ins_stand_beside_opas() -> None:
    made = {"house.twice": Builtin("house.twice", 1, lambda _context, value: 2 * value)}
    program = rego.compile({"m.rego": "package a\np := house.twice(count([1, 2]))"}, builtins=made)
    assert program.query("data.a.p") == 4


def test_what_is_printed_is_kept() -> None:
    context = Context()
    program = rego.compile(
        {"m.rego": 'package a\np if { print("x", input.a, input.none, {1}); input.a == 1 }'}
    )
    assert program.query("data.a.p", {"a": 1}, context=context) is True
    assert context.printed == ["x 1 <undefined> {1}"]


def test_time_is_handed_in() -> None:
    program = rego.compile({"m.rego": "package a\np := time.now_ns()"})
    assert program.query("data.a.p", now_ns=17) == 17


def test_rego_v1_may_be_asked_for_by_an_import() -> None:
    program = rego.compile({"m.rego": "package a\nimport rego.v1\np contains 1 if true"}, version="v0")
    assert rego.to_json(program.query("data.a.p")) == [1]


def test_a_value_may_be_written_as_a_term() -> None:
    assert rego.to_json(rego.read_value('{"a": {1, 2}, "b": [null, -1.5]}')) == {
        "a": [1, 2],
        "b": [None, -1.5],
    }
    with pytest.raises(rego.BadModule):
        rego.read_value("[x]")
