"""What the shape of a PromQL expression shows, and what it must not be blamed for."""

from __future__ import annotations

import pytest

from fairlead.diagnose.queries import fault, hopeless


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("sum(rate(x[5m])", "( is not closed"),
        ("sum(x))", ") closes nothing"),
        ('x{a="b}', '" is not closed'),
        ("x{a='b'} >", "ends with an operator"),
        ("sum by", "ends with an operator"),
        ("rate(x[5x])", "[5x] is no range"),
        ("x[1h:2y3q]", "is no range"),
        ("  # nothing but words", "it is empty"),
        ("sum(x]", "] closes nothing"),
    ],
)
def test_faults(expr: str, said: str) -> None:
    assert said in fault(expr)


@pytest.mark.parametrize(
    "expr",
    [
        "up == 0",
        "x{path=\"/a(b\", q='}'} # ((",
        "max_over_time(rate(x[5m])[1h30m:1m] offset 1d) > bool 1.5e-3",
        "x[5m:]",
        "x @ end() unless on(a) y",
        'label_replace(x, `a`, "$1", \'b\', "\\"(.*)")',
        "rate(x[{{ .Values.window }}",
        "time() - x > 300",
        "-x",
    ],
)
def test_what_may_be_right(expr: str) -> None:
    assert fault(expr) == ""


def test_a_set_that_is_matched_with_itself() -> None:
    assert hopeless("a{x='1'} / on (n) group_left (p) a{x='1'}")
    assert hopeless("a * ignoring(p)\n group_right() a")
    assert not hopeless("a / on(n) group_left(p) b")
    assert not hopeless("a{x='1'} / on(n) group_left(p) a{x='2'}")
    assert not hopeless("a / on(n) a")
    assert not hopeless("a / on(n) group_left(p) sum by (n) (a)")
