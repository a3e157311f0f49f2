"""Hostile expressions: whatever is compiled or run, it ends soon, in bounded memory, with a clear error; and parsers never crash."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.tongues import cel

ENVIRONMENT = cel.Environment(("object", "x"), (*cel.kubernetes.LIBRARIES, *cel.kubernetes.MUTATION))
BUDGET = 1_000_000
HARNESS = Path(__file__).parents[2] / "tools" / "fuzz_cel.py"


@pytest.mark.parametrize(
    "text",
    [
        "x.all(a, x.all(b, x.all(c, x.all(d, a + b + c + d >= 0))))",
        "x.map(a, x.map(b, x.map(c, [a, b, c])))",
        "x.exists(a, x.exists(b, x.exists(c, a * b * c < 0)))",
        "x.filter(a, x.filter(b, x.filter(c, true).size() > 0).size() > 0)",
        "x.transformList(i, v, x.transformMap(j, w, x.sum()))",
        "x.map(a, x.sortBy(b, -b)).size() > 0",
        "x.map(a, x.map(b, string(b)).join(',')).size() > 0",
        "x.map(a, sets.equivalent(x, x)).size() > 0",
        "lists.range(1000000).map(i, lists.range(1000000)).size() > 0",
    ],
)
def test_a_comprehension_over_comprehensions_runs_out_of_budget(text: str) -> None:
    with pytest.raises(cel.TooCostly, match="operation cancelled"):
        ENVIRONMENT.compile(text)({"x": list(range(2000))}, BUDGET)


def test_the_budget_is_not_absorbed() -> None:
    text = "x.all(a, x.all(b, x.all(c, a + b + c >= 0))) || true"
    with pytest.raises(cel.TooCostly):
        ENVIRONMENT.compile(text)({"x": list(range(2000))}, BUDGET)
    failing = "x.exists(a, x.exists(b, x.exists(c, 1 / 0 == 1))) || true"
    with pytest.raises(cel.TooCostly):
        ENVIRONMENT.compile(failing)({"x": list(range(2000))}, BUDGET)


@pytest.mark.parametrize("budget", [None, BUDGET])
def test_texts_that_double_are_stopped(budget: int | None) -> None:
    names = ["x", *(f"v{at}" for at in range(60))]
    binds = "".join(f"cel.bind({name}, {before} + {before}, " for before, name in pairwise(names))
    text = f"{binds}v59.size(){')' * 60}"
    with pytest.raises(cel.TooCostly):
        ENVIRONMENT.compile(text)({"x": "0123456789" * 100}, budget)


@pytest.mark.parametrize(
    "text",
    [
        "x.replace('', x).replace('', x).replace('', x)",
        "x.split('').join(x).split('').join(x).split('').join(x)",
        "'%s%s%s%s'.format([x, x, x, x]).replace('', x).replace('', x)",
        "lists.range(100000000)",
    ],
)
def test_functions_that_blow_up_are_stopped_without_a_budget_too(text: str) -> None:
    with pytest.raises(cel.TooCostly):
        ENVIRONMENT.compile(text)({"x": "0123456789" * 500})


def test_a_regular_expression_cannot_stall() -> None:
    program = ENVIRONMENT.compile("x.matches('(a+)+$')")
    assert program({"x": "a" * 50_000 + "b"}, BUDGET * 1000) is False


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "[" * 5000 + "]" * 5000,
        "{1:" * 5000 + "1" + "}" * 5000,
        "!" * 5000 + "-" * 5000 + "1",
        "f(" * 5000,
        "x" + ".y" * 5000,
        "x" + "[0]" * 5000,
        "1" + " + 1" * 5000,
        "has(" * 5000,
        "cel.bind(a, 1, " * 5000,
        "x.all(a, " * 5000,
        "Object{a: " * 5000,
        "true ? " * 5000,
        "x.?a" + ".?b" * 5000,
        "'" + "\\" * 9999,
        "1" * 9999,
        "0x" + "f" * 9999,
        "1e" + "9" * 9999,
    ],
)
def test_what_is_nested_too_deeply_is_refused(text: str) -> None:
    with pytest.raises(cel.BadExpression):
        ENVIRONMENT.compile(text)


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(cel.BadExpression, match="code point size exceeds limit"):
        ENVIRONMENT.compile("'" + "x" * 100_000_000 + "'")


@pytest.mark.parametrize(
    "text",
    [
        "true" + " && true" * 9000,
        "false" + " || false" * 5000 + " || true",
        "[" + "1, " * 20_000 + "1].size() > 0",
        " ? true : ".join(["true"] * 40) + " ? true : false",
        "(" * 60 + "1 == 1" + ")" * 60,
        "1" + " + 1" * 190 + " > 0",
        "".join(f"[{at}].all(x{at}, " for at in range(60)) + "true" + ")" * 60,
        "".join(f"cel.bind(x{at}, {at}, " for at in range(90)) + "x0 == 0 && x89 == 89" + ")" * 90,
        "[[1]].all(a, a.all(b, [b].all(c, [a, [c]].all(d, d.size() == 1 && b == c))))",
    ],
)
def test_what_is_merely_long_or_deep_works_both_ways(text: str) -> None:
    program = ENVIRONMENT.compile(text)
    assert program({"x": 1}) is True
    assert program({"x": 1}, BUDGET * 10) is True
    assert program._carefully({"x": 1}, cel.Meter(1e12)) is True


def test_deep_data_is_a_failure() -> None:
    deep, other = [1], [1]
    for _ in range(100_000):
        deep, other = [deep], [other]  # type: ignore[list-item]
    with pytest.raises(cel.Failed):
        ENVIRONMENT.compile("x == object")({"x": deep, "object": other}, BUDGET)


def test_costs_are_those_of_the_steps() -> None:
    def cost(text: str, **bindings: Any) -> float:
        meter = cel.Meter(1000)
        ENVIRONMENT.compile(text)._carefully(bindings, meter)
        return 1000 - meter.left

    assert cost("1 + 1") == 1
    assert cost("x.a.b == 1", x={"a": {"b": 1}}) == 4
    assert cost("[1, 2]") == 10
    assert cost("{'a': 1}") == 30
    assert cost("x + x", x="a" * 100) == 2 + 20
    assert cost("x.contains('b')", x="a" * 100) == 1 + 10


SOURCES = st.sampled_from(
    [
        "object.spec.replicas <= 5 && has(object.metadata.labels)",
        "object.x.all(c, c.image.startsWith('a') || !has(c['b']))",
        "[1, 2u, 3.5, 'a', b'\\x00', null, true].map(x, type(x))",
        "{'a': 1, ?'b': x.?c[?0].orValue({})}.transformMap(k, v, k + string(v))",
        "Object{spec: Object.spec{a: [1, ?optional.none()]}}",
        "cel.bind(a, r'x\\d', a.matches('''(y)''')) ? -x.y : 1.5e3 / 2.0",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=80), st.text(alphabet="()[]{}.?:,'\"\\|&!=<>+-*/%abx01u_ \n`@$", max_size=80))
)
def test_any_text_is_compiled_or_refused(text: str) -> None:
    survives(text)


@settings(max_examples=300, deadline=None)
@given(SOURCES, st.data())
def test_a_broken_expression_is_compiled_or_refused(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        at, end = sorted((data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))))
        piece = data.draw(
            st.sampled_from(
                ["", "(", ")", "'", ".", "?", "[0]", "9" * 20, "x.", "\\", "all(", text[at:end] * 2]
            )
        )
        text = text[:at] + piece + text[end:]
    survives(text)


def survives(text: str) -> None:
    try:
        program = ENVIRONMENT.compile(text)
    except cel.BadExpression:
        return
    for budget in (None, 100_000):
        try:
            program({"object": {"spec": {}}, "x": [1, {"y": "z"}]}, budget)
        except cel.Failed:
            continue


@pytest.mark.skipif(find_spec("atheris") is None, reason="no build of atheris for this machine")
def test_coverage_guided_fuzzing_finds_no_crash(tmp_path: Path) -> None:
    found = subprocess.run(
        [
            sys.executable,
            str(HARNESS),
            "-runs=3000",
            "-max_len=120",
            "-timeout=10",
            f"-artifact_prefix={tmp_path}/",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
