"""Hostile policies are refused or stopped, in bounded time and memory, and others go on."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.tongues import rego

BUDGET = 200_000


def doubling(first: str, line: str, times: int = 60) -> str:
    lines = [f"x0 := {first}", *[line.format(new=f"x{n}", old=f"x{n - 1}") for n in range(1, times + 1)]]
    return f"p := x{times} if {{\n" + "\n".join(lines) + "\n}"


REFUSED = {
    "arrays in arrays": "p := " + "[" * 50_000 + "]" * 50_000,
    "objects in objects": "p := " + '{"a":' * 3000 + "1" + "}" * 3000,
    "parentheses": "p := " + "(" * 3000 + "1" + ")" * 3000,
    "comprehensions": "p := " + "[x | x := " * 300 + "1" + "]" * 300,
    "ambiguous braces": "p := " + "{a | " * 60 + "!",
    "ambiguous brackets": "p := " + "[a | " * 60,
    "references in references": "p := input" + "[input.x" * 500 + "]" * 500,
    "templates in templates": "p := " + '$"{' * 60 + "1" + '}"' * 60,
    "a huge number": "p := 1e999999999",
    "a long number": "p := " + "9" * 100_000,
    "loops in loops": "p if {\n" + "\n".join(f"some v{n} in [1]\nv{n} == 1" for n in range(200)) + "\n}",
    "a huge module": "p := 1 #" + "a" * (5 << 20),
    "recursion": "p if q\nq if r\nr if p",
    "recursion by data": "p if data[x].p",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_module_is_refused(name: str) -> None:
    with pytest.raises(rego.BadModule) as caught:
        rego.compile({"h.rego": f"package h\n{REFUSED[name]}"})
    assert len(str(caught.value)) < 1000


STOPPED = {
    "a cross product": "xs := numbers.range(1, 1000)\n"
    "p := count([1 | some a in xs; some b in xs; some c in xs; a + b + c == 0])",
    "calls that double": "\n".join(
        [
            "f0(x, _) := x",
            *[f"f{n}(x, y) := f{n - 1}(x, y) + f{n - 1}(x, y + 1)" for n in range(1, 60)],
            "p := f59(1, 1)",
        ]
    ),
    "walks in walks": "p := count([1 | walk(input, _); walk(input, _); walk(input, _)])",
    "a huge object": "p[i][j] := 1 if { some i in numbers.range(1, 2000); some j in numbers.range(1, 2000) }",
    "every in every": "xs := numbers.range(1, 1000)\n"
    "p if every a in xs { every b in xs { every c in xs { a + b + c > 0 } } }",
    "a long print": "xs := numbers.range(1, 1000)\np if print(xs[_], xs[_], xs[_], xs[_])",
}


@pytest.mark.parametrize("name", STOPPED)
def test_a_long_evaluation_is_stopped(name: str) -> None:
    program = rego.compile({"h.rego": f"package h\n{STOPPED[name]}"})
    given: Any = [[n] * 10 for n in range(50)]
    with pytest.raises(rego.TooCostly, match="took more than 200000 steps"):
        program.query("data.h.p", given, budget=BUDGET)
    assert rego.compile({"h.rego": "package h\np := 1"}).query("data.h.p", budget=BUDGET) == 1


GROWING = {
    "text": doubling('"aaaaaaaaaa"', '{new} := concat("", [{old}, {old}])'),
    "arrays": doubling("[1]", "{new} := array.concat({old}, {old})"),
    "numbers": doubling("99999999999", "{new} := {old} * {old}"),
    "a range": "p := numbers.range(1, 1000000000)",
}


@pytest.mark.parametrize("name", GROWING)
def test_what_grows_without_end_gives_nothing(name: str) -> None:
    program = rego.compile({"h.rego": f"package h\n{GROWING[name]}"})
    try:
        found = program.query("data.h.p", budget=BUDGET)
    except rego.Failed as error:
        found = rego.UNDEFINED
        said = str(error)
    else:
        said = ""
    assert found is rego.UNDEFINED
    assert len(said) < 300


@pytest.mark.parametrize(
    "use", ["p contains x60", "p := count({x60})", "p if x60 == y60", "p := json.marshal(x60)"]
)
def test_values_that_unfold_without_end_are_stopped(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.tongues.rego.values.MOST_PARTS", 100_000)
    lines = "\n".join(f"x{n} := [x{n - 1}, x{n - 1}]\ny{n} := [y{n - 1}, y{n - 1}]" for n in range(1, 61))
    head, _, condition = use.partition(" if ")
    program = rego.compile({"h.rego": f"package h\n{head} if {{\nx0 := 1\ny0 := 1\n{lines}\n{condition}\n}}"})
    with pytest.raises(rego.Failed, match="more than 100000 parts"):
        rego.to_json(program.query("data.h.p", budget=BUDGET))


def test_documents_may_be_deep() -> None:
    deep: Any = 1
    for _ in range(20_000):
        deep = {"a": deep}
    program = rego.compile(
        {"h.rego": "package h\np contains input\nq := count([1 | walk(input, _)])\nr := 1"}
    )
    with pytest.raises(rego.Failed, match="nested too deeply"):
        program.query("data.h.p", deep)
    assert program.query("data.h.r", deep) == 1


def test_many_loops_inside_one_another_run() -> None:
    names = [f"v{n}" for n in range(50)]
    body = "\n".join(f"some {name} in [1]" for name in names) + f"\nsum([{', '.join(names)}]) == 50"
    nested = "".join(f"every w{n} in [1] {{ w{n} == 1\n" for n in range(14)) + "}" * 14
    text = f"package h\np if {{\n{body}\n}}\nq if {{\n{nested}\n}}\nr := [v49 | {body}]\ns if not t\nt if {{ {body}\nfalse }}"
    found = rego.compile({"h.rego": text}).query("data.h", budget=BUDGET)
    assert found == {"p": True, "q": True, "r": [1], "s": True}


def test_what_is_long_is_not_deep() -> None:
    count = 2500
    chain = "p := 0 if input == -1\n" + "".join(f"else := {n} if input == {n}\n" for n in range(count))
    lines = "\n".join(f"x{n} := input + {n}" for n in range(count))
    module = f"""package h
{chain}
q := {"+".join(["input"] * count)}
r := count({"|".join(f"{{{n}}}" for n in range(count))})
s if {{
{lines}
}}
"""
    found = rego.compile({"h.rego": module}).query("data.h", 2400)
    assert found == {"p": 2400, "q": 2400 * count, "r": count, "s": True}


def test_text_never_becomes_code() -> None:
    evil = "'\"); raise SystemExit #\\\n\u2028\x00{}"
    text = f"package h\np := {rego.values.quote(evil)}\nq[x] := y if {{ x := input[{rego.values.quote(evil)}]; y := 1 }}"
    program = rego.compile({f"{evil}.rego": text})
    assert program.query("data.h", {evil: evil}) == {"p": evil, "q": {evil: 1}}
