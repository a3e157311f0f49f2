"""The language itself: what expressions give, how they fail, what is refused before they run, and the texts of it all."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.tongues import cel

ENVIRONMENT = cel.Environment(("object", "oldObject", "a", "b"), cel.kubernetes.LIBRARIES)
POD = {
    "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": None},
    "spec": {
        "replicas": 3,
        "containers": [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "redis:2"}],
    },
}


def value(text: str, **bindings: Any) -> Any:
    program = ENVIRONMENT.compile(text)
    found = program({"object": POD, **bindings})
    assert cel.equal(program({"object": POD, **bindings}, 10_000_000), found)
    return found


def failure(text: str, **bindings: Any) -> str:
    program = ENVIRONMENT.compile(text)
    with pytest.raises(cel.Failed) as plain:
        program({"object": POD, **bindings})
    with pytest.raises(cel.Failed) as counted:
        program({"object": POD, **bindings}, 10_000_000)
    assert str(plain.value) == str(counted.value)
    return str(plain.value)


def refusal(text: str, environment: cel.Environment = ENVIRONMENT) -> cel.BadExpression:
    with pytest.raises(cel.BadExpression) as found:
        environment.compile(text)
    return found.value


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("object.spec.replicas <= 5 && object.metadata.name == 'web'", True),
        ("has(object.spec.nope) || object.spec.replicas == 3", True),
        ("object.spec.nope == 1 || true", True),
        ("true || object.spec.nope == 1", True),
        ("object.spec.nope == 1 && false", False),
        ("[1, 0, 2].exists(x, 4 / x == 2)", True),
        ("[1, 0, 2].all(x, 4 / x > 5)", False),
        ("object.spec.containers.map(c, c.image)", ["nginx:1", "redis:2"]),
        ("object.spec.containers.filter(c, c.name == 'a').size()", 1),
        ("object.spec.containers.exists_one(c, c.image.startsWith('redis'))", True),
        ("object.metadata.labels.map(k, k)", ["app"]),
        ("object.metadata.labels.all(k, v, k == v || v == 'web')", True),
        ("object.metadata.?nope.orValue('x')", "x"),
        ("object.?spec.?replicas.optMap(r, r + 1).value()", 4),
        ("object.metadata.annotations == null", True),
        ("1 == 1.0 ? 'same' : 'other'", None),
        ("dyn(1) == 1.0 && dyn(1u) == 1 && dyn(true) != 1", True),
        ("dyn([1, true]) == [1, 1]", None),
        ("dyn([1, dyn(true)]) == dyn([1, dyn(1)])", False),
        ("7 / -2 == -3 && -7 % 3 == -1", True),
        ("'é'.size() == 1 && bytes('é').size() == 2", True),
        ("r'\\n'.size() == 2 && '''a\nb'''.size() == 3", True),
        ("type(1) == int && type(1u) == uint && type([]) == list", True),
        ("cel.bind(n, object.spec.replicas, n * n)", 9),
        ("[3, 1, 2].sortBy(x, -x)", [3, 2, 1]),
        ("{'a': 1, ?'b': optional.none(), ?'c': optional.of(2)}", {"a": 1, "c": 2}),
        ("timestamp('2024-02-29T12:00:00Z') + duration('24h') == timestamp('2024-03-01T12:00:00Z')", True),
        ("timestamp('2024-01-01T00:00:00Z').getHours('America/New_York')", 19),
        ("timestamp('2024-01-01T00:00:00Z').getDayOfWeek()", 1),
        ("string(1.0) + string(1e6) + string(0.1)", "11e+060.1"),
        ("a.b.c", 1),
        ("has(object.metadata.annotations.x) || has(object.spec.replicas.x)", False),
        ("object.metadata.annotations.?x.hasValue() || object.spec.replicas.?x.hasValue()", False),
    ],
)
def test_values(text: str, wanted: Any) -> None:
    if wanted is None:
        assert "no matching overload" in str(refusal(text)) or "but found" in str(refusal(text))
        return
    found = value(text, a={"b": {"c": 1}})
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("object.spec.nope", "no such key: nope"),
        ("object.spec.replicas.nope", "no such key: nope"),
        ("object.spec['nope']", "no such key: nope"),
        ("object.spec.containers[5]", "index out of bounds: 5"),
        ("object.spec.containers[-1]", "index out of bounds: -1"),
        ("object.spec.replicas / 0", "division by zero"),
        ("object.spec.replicas % 0", "modulus by zero"),
        ("object.spec.replicas + 9223372036854775807", "integer overflow"),
        ("uint(object.spec.replicas) - 4u", "unsigned integer overflow"),
        ("object.spec.replicas + 'a'", "no such overload"),
        ("object.spec && true", "no such overload"),
        ("object.spec.replicas.startsWith('a')", "no such overload: startsWith(int, string)"),
        ("object.metadata.name.matches(object.metadata.name + '(')", "error parsing regexp: missing ): web("),
        ("{object.metadata.name: 1, 'web': 2}", "Failed with repeated key: web"),
        ("optional.none().value()", "optional.none() dereference"),
        ("object.spec.containers.all(c, c.nope == 1)", "no such key: nope"),
        ("oldObject.x", "no such attribute(s): oldObject"),
        ("int('x')", "type conversion error from 'string' to 'int': x"),
        (
            "timestamp(object.metadata.name)",
            'parsing time "web" as "2006-01-02T15:04:05Z07:00": cannot parse',
        ),
        ("duration(object.metadata.name)", 'time: invalid duration "web"'),
    ],
)
def test_failures_have_the_texts_that_users_know(text: str, wanted: str) -> None:
    assert failure(text) == wanted


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("object.x + foo", 1, 12, "undeclared reference to 'foo' (in container '')"),
        ("1 + 'a'", 1, 3, "found no matching overload for '_+_' applied to '(int, string)'"),
        ("'a'.nope()", 1, 9, "undeclared reference to 'nope' (in container '')"),
        ("true &&\n  1", 1, 6, "found no matching overload for '_&&_' applied to '(bool, int)'"),
        ("[1].map(x, y)", 1, 12, "undeclared reference to 'y' (in container '')"),
        ("[1].map(x.y, 1)", 1, 10, "argument must be a simple name"),
        ("has(object)", 1, 5, "invalid argument to has() macro"),
        ("1.size()", 1, 7, "found no matching overload for 'size' applied to 'int.()'"),
        ("[1, 'a']", 1, 5, "expected type 'int' but found 'string'"),
        ("1 +", 1, 4, None),
        ("(1", 1, 3, None),
        ("1 2", 1, 3, "Syntax error: mismatched input '2' expecting <EOF>"),
        ("'abc", 1, 1, None),
        ("a ? b", 1, 6, None),
        ("for", 1, 1, "reserved identifier: for"),
        ("9223372036854775808", 1, 1, "invalid int literal"),
        ("'\\q'", 1, 1, "Syntax error: token recognition error at: '\\q'"),
        ("a\n  + b.\n", 3, 1, None),
        ("Unknown{a: 1}", 1, 8, "undeclared reference to 'Unknown' (in container '')"),
        ("1.0.all(x, true)", 1, 1, None),
    ],
)
def test_refusals_name_the_place(text: str, line: int, column: int, message: str | None) -> None:
    found = refusal(text)
    assert (found.line, found.column) == (line, column)
    if message is not None:
        assert found.message == message
    assert str(found).startswith(f"ERROR: <input>:{line}:{column}: ")


def test_all_faults_are_shown_with_their_lines() -> None:
    assert str(refusal("foo +\nbar")) == (
        "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo +\n | ^\n"
        "ERROR: <input>:2:1: undeclared reference to 'bar' (in container '')\n | bar\n | ^"
    )


def test_variables_may_be_lazy_and_are_then_evaluated_once_and_only_if_needed() -> None:
    asked: list[str] = []

    def slow() -> int:
        asked.append("a")
        return 2

    lazy = cel.Lazy(slow)
    assert value("true || a > 1", a=lazy) is True
    assert not asked
    program = ENVIRONMENT.compile("a + a > 3")
    assert program({"a": lazy}) is True
    assert asked == ["a"]


def test_a_lazy_failure_is_a_failure_and_any_other_exception_passes() -> None:
    def fails() -> int:
        raise cel.Failed("no")

    assert value("a == 1 || true", a=cel.Lazy(fails)) is True
    assert failure("a == 1", a=cel.Lazy(fails)) == "no"

    class Lacking(Exception):
        pass

    def lacks() -> int:
        raise Lacking

    with pytest.raises(Lacking):
        ENVIRONMENT.compile("a == 1 || true")({"a": cel.Lazy(lacks)})


def test_an_object_may_have_lazy_fields() -> None:
    fields = cel.Fields({"x": cel.Lazy(lambda: 2), "y": 3})
    assert value("a.x + a.y", a=fields) == 5
    assert value("has(a.x) && !has(a.z)", a=fields) is True
    assert failure("a.z", a=fields) == "no such key: z"


def test_types_are_checked_where_they_are_known() -> None:
    typed = cel.Environment({"n": "int", "names": "list(string)", "any": "dyn"})
    assert str(typed.compile("names.map(x, x.size() + n)").type) == "list(int)"
    assert str(typed.compile("any.x + 1").type) == "int"
    assert "no matching overload" in refusal("names[0] + n", typed).message
    thing = cel.Type("thing", (), "message", {"a": typed.compile("n").type})
    assert refusal("t.b", typed.extend({"t": thing})).message == "undefined field 'b'"
    assert typed.extend({"t": thing}).compile("t.a + 1")({"t": {"a": 1}}) == 2


def test_a_container_is_a_prefix_that_names_may_leave_out() -> None:
    inside = cel.Environment({"a.b.x": "int", "x": "string"}, container="a.b")
    assert inside.compile("x + 1")({"a.b.x": 1, "x": "no"}) == 2
    assert inside.compile(".x + '1'")({"a.b.x": 1, "x": "yes"}) == "yes1"


def test_a_program_knows_what_it_uses() -> None:
    program = ENVIRONMENT.compile("object.x == a && [1].all(b, b == 1)")
    assert program.names == {"object", "a"}
    assert str(program.type) == "bool"


def test_libraries_add_functions_constants_and_macros() -> None:
    class Box:
        cel_type = cel.Type("Box", (), "opaque")

        def __init__(self, inside: Any) -> None:
            self.inside = inside

    library = cel.Library(
        "boxes",
        functions={
            "box(dyn) Box": Box,
            ".open(Box) dyn": lambda box: box.inside,
            ".twice(string) string": lambda text: text * 2,
            ".twice(int) int": lambda number: number * 2,
            "resource.Get(string, string) dyn": lambda kind, name: {"kind": kind, "name": name},
        },
        constants={"limits.most": 7},
    )
    environment = ENVIRONMENT.extend(libraries=(library,))
    assert environment.compile("box(1).open() + limits.most")({}) == 8
    assert environment.compile("dyn('a').twice() + string(2.twice())")({}) == "aa4"
    assert environment.compile("resource.Get('Pod', 'x').kind")({}) == "Pod"
    with pytest.raises(cel.Failed, match="no such overload: twice"):
        environment.compile("dyn(1.0).twice()")({})
    with pytest.raises(cel.BadExpression):
        ENVIRONMENT.compile("box(1)")


def test_bindings_are_used_in_place_and_never_changed() -> None:
    data = {"list": [3, 1], "map": {"a": 1}}
    assert value("a.list", a=data) is data["list"]
    value("a.list.sort() + a.list", a=data)
    assert data == {"list": [3, 1], "map": {"a": 1}}


def test_results_as_json() -> None:
    text = "{'b': b'hi', 'u': 1u, 't': timestamp('2024-01-01T00:00:00.5Z'), 'd': duration('90s'), 'o': optional.of(1), 'n': null}"
    loose = cel.Environment(libraries=(cel.optionals.LIBRARY,))
    assert cel.to_json(loose.compile(text)({})) == {
        "b": "aGk=",
        "u": 1,
        "t": "2024-01-01T00:00:00.500Z".replace("500", "5"),
        "d": "90s",
        "o": 1,
        "n": None,
    }


def test_mutating_literals_are_messages() -> None:
    environment = cel.Environment(("object",), (*cel.kubernetes.LIBRARIES, *cel.kubernetes.MUTATION))
    made = environment.compile("Object{spec: Object.spec{replicas: object.n + 1, ?paused: optional.none()}}")(
        {"object": {"n": 1}}
    )
    assert isinstance(made, cel.Message)
    assert made.type_name == "Object"
    assert cel.to_json(made) == {"spec": {"replicas": 2}}
    patch = environment.compile(
        "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c'), value: {'x': 1}}]"
    )
    assert cel.to_json(patch({})) == [{"op": "add", "path": "/a/b~1c", "value": {"x": 1}}]
    assert refusal("JSONPatch{op: 1}", environment).message == (
        "expected type of field 'op' is 'string' but provided type is 'int'"
    )
