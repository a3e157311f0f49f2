"""What pure functions gave is remembered, and nobody can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fairlead.tongues import rego
from fairlead.tongues.rego.builtins import BUILTINS, Builtin, Context
from fairlead.tongues.rego.memoising import MOST, memoised, sorted_out
from fairlead.tongues.rego.parsing import parse


class Asked:
    """A function that remembers what it was asked."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def __call__(self, _: object, *given: Any) -> Any:
        self.asked.append(given if len(given) > 1 else given[0])
        return self.answer(*given)


class State:
    """What a remembered function looks at."""

    def __init__(self, *, mocks: object = None, strict: bool = False) -> None:
        self.mocks = mocks
        self.strict = strict
        self.known: dict[Any, Any] = {}


def pure_names(text: str) -> set[str]:
    module = parse(f"package p\n{text}", "p.rego", "v1")
    functions: dict[tuple[str, ...], list[object]] = {}
    for rule in module.rules:
        if rule.args is not None:
            functions.setdefault(("p", rule.ref[0].name), []).append(rule)  # type: ignore[union-attr]
    return {path[-1] for path in sorted_out(functions, BUILTINS)[0]}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ('f(x) := upper(x) if startswith(x, "a")', True),
        ("f(x) := x + 1", True),
        ('f(x) := [y | some y in split(x, ",")]', True),
        ("f(x) := input.y if x", False),
        ("f(x) := data.q[x]", False),
        ("f(x) := time.now_ns() + x", False),
        ("f(x) := uuid.rfc4122(x)", False),
        ('f(x) := x if upper(x) == "A" with upper as lower', False),
        ("f(x) := x if print(x)", False),
        ("f(x) := x if trace(x)", False),
    ],
)
def test_which_functions_are_pure(body: str, *, wanted: bool) -> None:
    assert (pure_names(body) == {"f"}) is wanted


def test_an_answer_is_computed_once_for_a_text() -> None:
    shout = Asked(lambda x: f"{x}!")
    ask, state = memoised(shout, 1), State()
    assert [ask(state, "a"), ask(state, "a"), ask(state, 1), ask(state, True)] == ["a!", "a!", "1!", "True!"]
    assert shout.asked == ["a", 1, True]
    join = Asked(lambda x, y: x + y)
    two = memoised(join, 2)
    assert [two(state, "a", "b"), two(state, "a", "b")] == ["ab", "ab"]
    assert join.asked == [("a", "b")]


def test_nothing_is_remembered_of_another_world() -> None:
    same = Asked(lambda x: x)
    ask = memoised(same, 1)
    for state in (State(mocks={}), State(strict=True)):
        ask(state, "a")
        ask(state, "a")
    assert same.asked == ["a"] * 4


def test_memory_is_bounded() -> None:
    same = Asked(lambda x: x)
    ask = memoised(same, 1)
    for number in range(MOST + 10):
        ask(State(), str(number))
    same.asked.clear()
    for text in ("0", str(MOST + 5), "x" * 10_000, "x" * 10_000):
        ask(State(), text)
    assert same.asked == [str(MOST + 5), "x" * 10_000, "x" * 10_000]
    many = Asked(lambda x: [x])
    ask = memoised(many, 1)
    ask(State(), "a")
    ask(State(), "a")
    assert many.asked == ["a", "a"], "what is not small is made anew"


def test_within_an_evaluation_an_object_is_asked_about_once() -> None:
    size = Asked(len)
    ask, state, thing = memoised(size, 1, pure=False), State(), {"a": 1}
    assert [ask(state, thing), ask(state, thing), ask(State(), thing)] == [1, 1, 1]
    assert size.asked == [thing, thing]
    assert [ask(state, {"a": 1, "n": number}) for number in range(100)] == [2] * 100, (
        "identities are not reused"
    )


def test_what_prints_is_asked_each_time() -> None:
    text = "package p\nf(x) := 1 if { print(x) }\ng(x) := f(x)\na := [g(y) | some y in [[1], [1]]; g(y)]"
    printing = {"print": Builtin("print", 1, lambda _, __: True, void=True)}
    program = rego.compile({"p.rego": text}, builtins=printing)
    context = Context()
    assert program.query("data.p.a", context=context) == [1, 1]
    assert len(context.printed) == 4


def test_a_mock_is_seen_by_what_was_remembered() -> None:
    program = rego.compile(
        {
            "p.rego": """package p
f(x) := upper(x)
plain := f("a")
mocked := v if v := f("a") with upper as lower
again := f("a")
"""
        }
    )
    for _ in range(3):
        assert program.query("data.p") == {"plain": "A", "mocked": "a", "again": "A"}
