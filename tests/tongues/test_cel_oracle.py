"""Generated expressions: Google's own engine and this one agree on the value, or on there being none; so do the two ways to run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fairlead.tongues import cel

oracle = pytest.importorskip("cel_expr_python.cel", reason="no build of cel-expr-python for this machine")

DATA: dict[str, Any] = {
    "x": {"a": [1, 2, 3], "s": "hello", "b": True, "n": None, "f": 1.5, "m": {"k": "v", "i": 7}, "e": []},
    "i": 3,
    "s": "tacocat",
    "l": [3, 1, 2],
}
TYPES = {
    "x": oracle.Type.DYN,
    "i": oracle.Type.INT,
    "s": oracle.Type.STRING,
    "l": oracle.Type.List(oracle.Type.INT),
}
PEER = oracle.NewEnv(variables=TYPES)
OURS = cel.Environment({"x": "dyn", "i": "int", "s": "string", "l": "list(int)"})


def pick(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


def made(form: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda found: form.format(*found))


DYNAMIC = pick(
    "x", "x.a", "x.s", "x.b", "x.n", "x.f", "x.m", "x.nope", "x.m.k", "x['s']", "x.a[0]", "x.a[9]", "x.e",
    "dyn(1)", "dyn('a')", "dyn(1u)", "dyn(1.0)", "dyn(true)", "dyn([1])", "dyn({'k': 1})", "dyn(null)", "dyn({1: 2, 'a': true})",
)  # fmt: skip
INTS = pick(
    "0",
    "1",
    "-1",
    "2",
    "7",
    "9223372036854775807",
    "-9223372036854775808",
    "i",
    "size(s)",
    "l[0]",
    "l[5]",
    "int('12')",
)
UINTS = pick("0u", "1u", "2u", "18446744073709551615u", "uint(3)")
DOUBLES = pick("0.0", "1.0", "-1.5", "1e300", "double('NaN')", "double('inf')", "-0.0", "double(3)")
STRINGS = pick(
    "''", "'a'", "'tac'", "s", "'\\u00e9\\n'", "string(12)", "string(true)", "string(1.5)", "string(2u)"
)
BYTES = pick("b''", "b'a'", "b'\\xff'", "bytes('\\u00e9')")
BOOLS = pick(
    "true", "false", "has(x.s)", "has(x.nope)", "has(x.m.k)", "1 / 0 == 1", "x.b", "'a' in x", "2 in l"
)
LISTS = pick("l", "[]", "[1, 2]", "[3, 3, 1]", "l + [4]")


def ints(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    one, some = inner, st.deferred(lambda: LIST)
    return st.one_of(
        made("({} {} {})", one, pick("+", "-", "*", "/", "%"), one),
        made("(-{})", one),
        made("({} ? {} : {})", st.deferred(lambda: BOOL), one, one),
        made("{}[{}]", some, one),
        made("{}.size()", some),
        made("int({})", st.one_of(st.deferred(lambda: DOUBLE), UINTS)),
    )


INT: st.SearchStrategy[str] = st.recursive(INTS, ints, max_leaves=6)
DOUBLE: st.SearchStrategy[str] = st.one_of(
    DOUBLES, made("({} {} {})", DOUBLES, pick("+", "-", "*", "/"), DOUBLES)
)
STRING: st.SearchStrategy[str] = st.one_of(
    STRINGS, made("({} + {})", STRINGS, STRINGS), made("string({})", INTS)
)
LIST: st.SearchStrategy[str] = st.one_of(
    LISTS,
    made("{}.map(e, {})", LISTS, pick("e", "e + 1", "6 / (e - 1)", "e * i")),
    made("{}.filter(e, {})", LISTS, pick("e > 1", "6 / (e - 1) > 1", "true")),
    made("{}.map(e, e > 1, e + 1)", LISTS),
)
ANY: st.SearchStrategy[str] = st.one_of(
    INT, UINTS, DOUBLE, STRING, BYTES, LIST, DYNAMIC, st.deferred(lambda: BOOL)
)
SIMPLE_BOOL: st.SearchStrategy[str] = st.one_of(
    BOOLS,
    made("{} {} {}", INT, pick("<", "<=", "==", "!=", ">", ">="), INT),
    made("{} {} {}", STRING, pick("<", "<=", "==", "!="), STRING),
    made("{} {} {}", DOUBLE, pick("<", ">=", "==", "!="), DOUBLE),
    made("dyn({}) {} {}", ANY, pick("==", "!=", "<", ">="), DYNAMIC),
    made("{}.{}({})", STRING, pick("startsWith", "endsWith", "contains"), STRING),
    made("{}.matches({})", STRING, pick("'^t'", "'[a-c]+$'", "'('")),
    made("{} in {}", INT, LIST),
    made("{} in {}", pick("1", "1u", "2.0", "'a'", "'k'", "dyn('b')", "true"), DYNAMIC),
    made(
        "{}.{}(e, {})",
        LIST,
        pick("all", "exists", "exists_one"),
        pick("e > 1", "6 / (e - 1) > 1", "e == i", "x.nope == e"),
    ),
    made(
        "x.m.{}(k, {})",
        pick("all", "exists"),
        pick("k == 'k'", "x.m[k] == 7", "k.size() > 0", "x.m[k] > 'a'"),
    ),
)


def bools(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        made("({} && {})", inner, inner),
        made("({} || {})", inner, inner),
        made("!({})", inner),
        made("({} ? {} : {})", inner, inner, inner),
    )


BOOL: st.SearchStrategy[str] = st.recursive(SIMPLE_BOOL, bools, max_leaves=5)
ANYTHING: st.SearchStrategy[str] = st.one_of(
    ANY, BOOL, made("type({})", ANY), made("[{}, {}]", ANY, ANY), made("{{'a': {}, 'b': {}}}", ANY, ANY)
)


def peer(text: str) -> tuple[str, Any]:
    try:
        found = PEER.compile(text).eval(data=DATA)
    except (RuntimeError, ValueError):
        return "error", None
    kind = found.type().name().lower()
    if kind == "error":
        return "error", None
    value = found.plain_value()
    return kind, bytes(value) if isinstance(value, bytearray) else value


def said(value: Any) -> tuple[str, Any]:
    name = {
        "google.protobuf.Timestamp": "timestamp",
        "google.protobuf.Duration": "duration",
        "null_type": "null",
    }
    kind = cel.type_of(value).name
    return name.get(kind, kind), value


def ours(text: str) -> tuple[str, Any]:
    try:
        program = OURS.compile(text)
    except cel.BadExpression:
        return "error", None
    results = []
    ways: tuple[Callable[[], Any], ...] = (
        lambda: program(DATA),
        lambda: program(DATA, 10**9),
        lambda: program._carefully(DATA, cel.Meter(1e18)),
    )
    for at, run in enumerate((*ways, *ways[:2])):
        if at == len(ways):
            program._stumbles, program._plain, program._counted = 9, None, None  # from now on guarded
        try:
            results.append(said(run()))
        except cel.Failed:
            results.append(("error", None))
    assert all(same(one, results[0]) for one in results[1:]), f"{text}: {results}"
    return results[0]


def same(one: tuple[str, Any], other: tuple[str, Any]) -> bool:
    if one[0].partition("<")[0].removesuffix("_type") != other[0].partition("<")[0].removesuffix("_type"):
        return False
    return alike(one[1], other[1])


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, cel.Type) or isinstance(other, cel.Type):
        return True  # the peer gives names of its own
    if isinstance(other, bytearray):
        other = bytes(other)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANYTHING)
@example("false || (1 / 0 == 1)")
@example("[1, 2].all(e, 1 / (e - 1) == 1 && e == 3)")
def test_both_engines_agree(text: str) -> None:
    assert same(ours(text), peer(text)), f"{text}: {ours(text)}, the peer {peer(text)}"
