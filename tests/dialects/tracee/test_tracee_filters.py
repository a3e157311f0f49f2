"""Filters as Tracee understands them, and that the kernel's part of one never holds back what passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dialects.tracee.filters import ALL, BadFilter, Numbers, Texts, both, split
from fairlead.sense import plans
from fairlead.sense.plans import Op, What


def texts(*expressions: str) -> Texts:
    made = Texts()
    for one in expressions:
        _, operator, values = split(one)
        made.add(operator, values)
    return made


def numbers(*expressions: str, signed: bool = True) -> Numbers:
    made = Numbers(signed=signed)
    for one in expressions:
        _, operator, values = split(one)
        made.add(operator, values)
    return made


@pytest.mark.parametrize(
    ("expressions", "yes", "no"),
    [
        (["=/etc/passwd"], ["/etc/passwd"], ["/etc/passwd2", ""]),
        (["=/etc/*"], ["/etc/x", "/etc/"], ["/etc", "x/etc/"]),
        (["=*.so"], ["a.so", ".so"], ["a.so.1"]),
        (["=*tmp*"], ["/tmp/x", "tmp"], ["/var"]),
        (["=a,b*"], ["a", "b", "bc"], ["c"]),
        (["=a", "=b"], ["a", "b"], ["c"]),
        (["!=/etc/*"], ["/tmp"], ["/etc/x"]),
        (["!=a", "!=*b"], ["c"], ["a", "ab"]),
        (["=/etc/passwd", "!=/etc/*"], ["/etc/passwd", "/tmp"], ["/etc/shadow"]),
        (["!=*x*"], ["y"], ["axb"]),
    ],
)
def test_texts(expressions: list[str], yes: list[str], no: list[str]) -> None:
    made = texts(*expressions)
    assert [made(one) for one in yes] == [True] * len(yes)
    assert [made(one) for one in no] == [False] * len(no)


@pytest.mark.parametrize(
    ("expressions", "yes", "no"),
    [
        (["=1,2"], [1, 2], [3]),
        (["!=0"], [1, -1], [0]),
        ([">5"], [6], [5]),
        ([">=5"], [5, 6], [4]),
        (["<0"], [-1], [0]),
        ([">5", "<9"], [6, 8], [5, 9]),
        (["<5", "<9"], [8], [9]),
        (["=20", "<5"], [20, 4], [5]),
        (["!=3", "<5"], [4], [3, 5]),
    ],
)
def test_numbers(expressions: list[str], yes: list[int], no: list[int]) -> None:
    made = numbers(*expressions)
    assert [made(one) for one in yes] == [True] * len(yes)
    assert [made(one) for one in no] == [False] * len(no)


@pytest.mark.parametrize("bad", ["=*", "=**", "=a,", "!=", "=", "<a", "!a"])
def test_what_is_no_filter_of_texts(bad: str) -> None:
    with pytest.raises(BadFilter):
        texts(bad)


@pytest.mark.parametrize("bad", ["=a", "=", ">", "=1,", "=99999999999999999999", "=0x1", "=1_0"])
def test_what_is_no_filter_of_numbers(bad: str) -> None:
    with pytest.raises(BadFilter):
        numbers(bad)


def test_unsigned_numbers_are_not_below_nothing() -> None:
    for bad in ("=-1", "<0", "<=0"):
        with pytest.raises(BadFilter):
            numbers(bad, signed=False)


def holds(test: plans.Test, value: str | int) -> bool:
    """What a test says, for the few operators that filters use."""
    if isinstance(value, int):
        masked = value & test.mask if test.mask else value
        told = {
            Op.EQ: masked == test.values[0], Op.NE: masked != test.values[0], Op.INSET: masked in test.values,
            Op.NOTINSET: masked not in test.values,
        }  # fmt: skip
        if test.op in told:
            return told[test.op]
        bound = test.values[0]
        assert isinstance(bound, int)
        return masked > bound if test.op in {Op.GT, Op.GTU} else masked < bound
    raw = value.encode()
    parts = tuple(one for one in test.values if isinstance(one, bytes))
    return {
        Op.TEXT_IN: raw in parts, Op.TEXT_NOTIN: raw not in parts, Op.PREFIX: raw.startswith(parts), Op.NOTPREFIX: not raw.startswith(parts),
        Op.SUFFIX: raw.endswith(parts), Op.NOTSUFFIX: not raw.endswith(parts),
    }[test.op]  # fmt: skip


WORDS = st.text("ab/*", min_size=1, max_size=4).filter(
    lambda one: one not in {"*", "**"} and "*" not in one[1:-1]
)


@given(
    st.lists(st.tuples(st.sampled_from(["=", "!="]), WORDS), min_size=1, max_size=4),
    st.text("ab/", max_size=4),
)
def test_the_kernels_part_of_texts_passes_what_the_filter_does(
    asked: list[tuple[str, str]], value: str
) -> None:
    made = Texts()
    for operator, values in asked:
        made.add(operator, values)
    if made(value):
        alternatives = made.tests(What.TEXT, 0)
        assert any(all(holds(test, value) for test in one) for one in alternatives)


BOUNDS = st.tuples(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.integers(-4, 4).map(str))


@given(st.lists(BOUNDS, min_size=1, max_size=4), st.integers(-6, 6))
def test_the_kernels_part_of_numbers_passes_what_the_filter_does(
    asked: list[tuple[str, str]], value: int
) -> None:
    made = Numbers()
    for operator, values in asked:
        made.add(operator, values)
    passed = any(all(holds(test, value) for test in one) for one in made.tests(What.RET))
    assert passed or not made(value)


def test_long_values_are_cut_where_that_passes_more() -> None:
    path = "/a" * 100
    (begins,) = texts(f"={path}*").tests(What.TEXT)
    assert [len(one) for one in begins[0].values if isinstance(one, bytes)] == [120]
    assert texts(f"!={path}*").tests(What.TEXT) == ALL
    (whole,) = texts(f"={path}").tests(What.TEXT)
    assert whole[0].values == (path.encode(),)


def test_too_many_alternatives_are_left_to_the_residue() -> None:
    many = tuple((plans.Test(What.UID, Op.EQ, (at,)),) for at in range(7))
    assert both(many, many) == many
    assert both(ALL, many) == many
    long = (tuple(plans.Test(What.ARG, Op.EQ, (at,), at % 6) for at in range(8)),)
    assert both(long, many) == long
