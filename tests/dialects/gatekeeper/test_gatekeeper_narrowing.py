"""Rules of sets are told which constants can matter, and only where nothing else can ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.dialects.gatekeeper.narrowing import narrow
from fairlead.tongues import rego

ASK = 'violation[{"msg": m}] { found[{"msg": m, "field": "a"}] }\nviolation[{"msg": m}] { found[{"msg": m, "field": "b"}] }\n'
RULE = 'found[{"msg": m, "field": f}] { m := input[f][_] }\n'
INPUT = {"a": ["one"], "b": ["two"], "c": ["three"], "d": {"e": "four"}}


def violations(text: str, *, narrowed: bool) -> Any:
    module = rego.parse(f"package template\n{text}", "t.rego", "v0")
    if narrowed:
        narrow(module)
    program = rego.compile({"t.rego": module}, version="v0")
    return rego.to_json(program.query("data.template.violation", INPUT))


def lengths(text: str) -> list[int]:
    module = rego.parse(f"package template\n{text}", "t.rego", "v0")
    narrow(module)
    return [len(rule.body) for rule in module.rules]


@pytest.mark.parametrize(
    "text",
    [
        ASK + RULE,
        ASK + RULE + 'found[{"msg": "fixed", "field": "a"}] { true }\n',
        ASK + 'found[{"msg": m, "field": f}] { f := "a"; m := input[f][_] }\n',
        ASK + 'found[{"msg": m, "field": f}] { some f; m := input[f][_] }\n',
        ASK + RULE + 'violation[{"msg": m}] { m := sprintf("%v", [count(found)]) }\n',
        ASK + RULE + 'violation[{"msg": m}] { found[x]; m := x.msg }\n',
        ASK + RULE + 'violation[{"msg": m}] { found[{"msg": m, "field": f}]; f == "c" }\n',
        ASK + 'found[{"msg": m, "field": f}] { m := f with input as {} ; f = "a" }\n',
    ],
)
def test_what_a_template_says_stays_the_same(text: str) -> None:
    wanted = violations(text, narrowed=False)
    assert wanted
    assert violations(text, narrowed=True) == wanted


def test_a_rule_is_told_the_constants() -> None:
    assert lengths(ASK + RULE) == [1, 1, 2]


@pytest.mark.parametrize(
    "more",
    [
        'violation[{"msg": m}] { found[x]; m := x.msg }\n',
        'violation[{"msg": m}] { found[{"msg": m, "field": _}] }\n',
        'violation[{"msg": "n"}] { count(found) > 3 }\n',
        'violation[{"msg": "n"}] { data.template.found[_] }\n',
        'violation[{"msg": "n"}] { data[x].found[_] }\n',
    ],
)
def test_a_set_that_others_ask_for_is_left_alone(more: str) -> None:
    assert lengths(ASK + RULE + more)[2] == 1


def test_a_set_that_lists_itself_by_constants_in_two_places() -> None:
    text = (
        'violation[{"msg": m}] { found[{"msg": m, "field": "a", "n": "x"}] }\n'
        'found[{"msg": m, "field": f, "n": n}] { m := input[f][_]; n := "x" }\n'
    )
    assert lengths(text) == [1, 3]
    assert violations(text, narrowed=True) == violations(text, narrowed=False) == [{"msg": "one"}]
