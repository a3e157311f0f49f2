"""Types: what can never succeed is refused in OPA's words, and what might is not."""

from __future__ import annotations

import pytest

from fairlead.tongues import rego
from fairlead.tongues.rego import shapes
from fairlead.tongues.rego.builtins import BUILTINS
from fairlead.tongues.rego.builtins.signatures import declared

WRONG = [
    (
        "p := count(5)",
        "count: invalid argument(s)\n\thave: (number, ???)\n\twant: (collection: any<string, array[any], object[any: any], set[any]>, n: number)",
    ),
    (
        'p if startswith(1, "a")',
        "startswith: invalid argument(s)\n\thave: (number, string)\n\twant: (search: string, base: string, result: boolean)",
    ),
    ("p if { x := [1, 2]; x = {3} }", "match error\n\tleft  : array<number, number>\n\tright : set[number]"),
    ('p if 1 == "a"', "match error\n\tleft  : number\n\tright : string"),
    (
        "f(x) := upper(x)\np := f(1)",
        "data.t.f: invalid argument(s)\n\thave: (number, ???)\n\twant: (string, string)",
    ),
    ('q := {"a": 1}\np := upper(q.a)', "upper: invalid argument(s)"),
    (
        'q := {"a": 1}\np := q.b',
        'undefined ref: data.t.q.b\n\tdata.t.q.b\n\t         ^\n\t         have: "b"',
    ),
    ("q if input.x\np if q[_]", "undefined ref: data.t.q[_]\n\tdata.t.q[_]\n\t^^^^^^^^\n\thave: boolean"),
    ("q contains 1 if input.x\np if q.foo", "undefined ref: data.t.q.foo"),
    ("q := true\np := 1 if { x := q; x; q.k }", "undefined ref: data.t.q.k"),
    ("f(x) := x\np := f", "undefined ref: data.t.f"),
    ("p if { x := 1; some y in x }", "undefined ref: x["),
    ("p if { [x, y] = [1, 2, 3]; x; y }", "match error"),
    ("p := [y | x := 5; y := lower(x)]", "lower: invalid argument(s)"),
    ("f([x, y]) := x + y\np := f([1])", "data.t.f: invalid argument(s)"),
]
RIGHT = [
    "p := count(input.x)",
    'f(x) := upper(x)\nf(x) := x + 1 if x > 3\np := [f("a"), f(1)]',
    'q := {"a": 1}\nq := {"b": 2} if input.x\np := q.b',
    "q[x] := 1 if some x in input\np := q.foo",
    'p if { some x in [1, "a"]; upper(x) }',
    "q := input.x\nq := 1\np := upper(q)",
    "q[false] := 1\np := q[1]",
    "p if { x = input.y; x == 1 }",
    "p := data.elsewhere.x.y[0]",
    "p := data.t.nothing",
    "f(x) := 1\np if count([1]) == 1 with count as f",
    'p := json.unmarshal("1") + 1',
    'p := {"a": 1, input.k: 2}.zzz',
    "p if { [x, 1] = input.y; upper(x) }",
    'p if { {"a": x} = input.y; upper(x) }',
    "p if { [x, 2] = [y, y]; y = {1} }",
    "p if { every x in input.xs { upper(x) } }",
]


@pytest.mark.parametrize(("module", "told"), WRONG)
def test_what_can_never_succeed_is_refused(module: str, told: str) -> None:
    with pytest.raises(rego.BadModule) as refused:
        rego.compile({"t.rego": f"package t\n{module}\n"})
    assert refused.value.code == "rego_type_error"
    assert told in refused.value.message


@pytest.mark.parametrize("module", RIGHT)
def test_what_may_succeed_is_taken(module: str) -> None:
    rego.compile({"t.rego": f"package t\n{module}\n"})


def test_a_query_is_checked_against_the_rules() -> None:
    program = rego.compile({"t.rego": 'package t\nq := "a"\n'})
    with pytest.raises(rego.BadModule, match="abs: invalid argument"):
        program.prepare("x := abs(data.t.q)")


def test_every_built_in_takes_as_many_arguments_as_it_declares() -> None:
    for name, builtin in BUILTINS.items():
        function = declared(name)
        if function is not None:
            assert len(function.args) == builtin.arity, name


def test_types_are_written_and_joined() -> None:
    pair = shapes.array_of([shapes.NUMBER, shapes.STRING])
    known = shapes.object_of([('"b"', shapes.NULL), ('"a"', pair)], (shapes.STRING, shapes.ANY))
    assert shapes.written(known) == "object<a: array<number, string>, b: null>[string: any]"
    assert shapes.written(shapes.any_of(shapes.set_of(None), shapes.STRING)) == "any<string, set[any]>"
    assert shapes.any_of(shapes.STRING, None) == shapes.ANY
    assert not shapes.unifies(pair, shapes.array_of([shapes.NUMBER]))
    assert shapes.unifies(pair, shapes.array_of((), shapes.ANY))
    assert shapes.values(known) == shapes.ANY
    assert shapes.keys(shapes.NUMBER) is None
    assert shapes.select(pair, 1) == shapes.STRING
    assert shapes.select(pair, 2) is None
