"""Starlark as it is evaluated here: what it may load, how long it may take, and what is said of what goes wrong."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from fairlead.tongues import starlark
from fairlead.tongues.starlark import Budget, Evaluator, Failed, Library, Text, Unit


def opened(text: str, *, budget: Budget | None = None, **files: str) -> Unit:
    def resolve(path: str, importer: str, symbols: Iterable[str]) -> Library | Text:
        name = starlark.beside(path, importer)
        if name.removesuffix(".star") not in files:
            raise ValueError(f"there is no file {name}")
        return Text(name, files[name.removesuffix(".star")])

    return Evaluator(resolve, budget=budget).open(Text("main.star", text))


def failed(text: str, *, budget: Budget | None = None, **files: str) -> Failed:
    with pytest.raises(Failed) as told:
        opened(text, budget=budget, **files)
    return told.value


def test_a_unit_is_asked_for_values() -> None:
    unit = opened("x = {'a': [1, 2.5, None, True]}\ndef f():\n    return x\n")
    assert unit.has("x")
    assert unit.has("f")
    assert not unit.has("y")
    assert unit.run("ask", "f()") == {"a": [1, 2.5, None, True]}
    unit.say("z", [1])
    assert unit.run("ask", "z + [2]") == [1, 2]


def test_what_goes_wrong_has_its_place_and_its_calls() -> None:
    fault = failed("def f(x):\n    return g(x)\n\ndef g(x):\n    return x + 'a'\n\nf(\n  1)\n")
    assert (fault.file, fault.line, fault.column, fault.reason) == ("main.star", 5, 12, "error")
    assert [(frame.line, frame.function, frame.text) for frame in fault.trail] == [
        (7, "<module>", "f("),
        (2, "f", "return g(x)"),
    ]


@pytest.mark.parametrize(
    ("text", "reason", "line", "message"),
    [
        ("def f(:\n", "syntax", 1, "unexpected symbol ':'"),
        ("while True:\n    pass\n", "syntax", 1, "cannot use reserved keyword `while`"),
        ("import os\n", "syntax", 1, "import"),
        ("x = 1\ny = nope\n", "error", 2, "Variable `nope` not found"),
        ("fail('no', 1)\n", "error", 1, "no 1"),
        ("load('other.star', 'x')\n", "load", 1, "there is no file other.star"),
        ("load('../../x.star', 'x')\n", "load", 1, '"../../x.star" leads out of the package'),
        ("def f():\n    for i in range(1000000000):\n        pass\nf()\n", "steps", 2, "does not end within 10000 steps"),
        ("[0 for i in range(10000000)]\n", "steps", 1, "does not end"),
        ("def f():\n    f()\nf()\n", "depth", 2, "nested more than 500 deep"),
        ("x = " + "(" * 3000 + ")" * 2999, "syntax", 1, "Parse error"),
    ],
)  # fmt: skip
def test_faults(text: str, reason: str, line: int, message: str) -> None:
    fault = failed(text, budget=Budget(steps=10_000))
    assert fault.reason == reason
    assert fault.line == line
    assert message.removeprefix("Parse error") in fault.message


def test_steps_are_counted_and_so_the_same_everywhere() -> None:
    text = "def f():\n    for i in range(30000):\n        pass\nf()\n"
    opened(text, budget=Budget(steps=100_000))
    for _ in range(3):
        assert failed(text, budget=Budget(steps=20_000)).reason == "steps"


def test_a_caller_may_stop_it() -> None:
    budget = Budget(cancelled=lambda: True)
    assert (
        failed("def f():\n    for i in range(30000):\n        pass\nf()\n", budget=budget).reason == "steps"
    )


def test_files_are_loaded_once_and_cannot_be_changed_by_who_loads_them() -> None:
    unit = opened(
        "load('a.star', 'x')\nload('b.star', 'y')\nz = x + y\n",
        a="load('c.star', 'w')\nx = w\n",
        b="load('c.star', 'w')\ny = w\n",
        c="w = [1]\n",
    )
    assert unit.run("ask", "z") == [1, 1]
    assert unit.has("x")
    assert not unit.has("w")
    assert "immutable" in failed("load('c.star', 'w')\nw.append(2)\n", c="w = [1]\n").message.lower()


def test_files_that_load_each_other_are_told() -> None:
    fault = failed("load('a.star', 'x')\n", a="load('b.star', 'x')\n", b="load('a.star', 'x')\n")
    assert fault.message == "files load each other in a circle: a.star loads b.star loads a.star"
    assert failed("load('main.star', 'x')\n", main="").message.startswith("files load each other in a circle")


def test_a_file_that_is_too_large_is_not_read() -> None:
    assert failed("#" * (starlark.LARGEST_FILE + 1)).reason == "syntax"


def test_libraries_and_calls() -> None:
    made: list[object] = []
    lib = starlark.library("@ours", "def f(x):\n    note(x)\n    return x * 2\n", {"note": made.append})

    def resolve(path: str, importer: str, symbols: Iterable[str]) -> Library | Text:
        raise ValueError(path)

    def refuse(x: object) -> object:
        raise ValueError("no such thing")

    evaluator = Evaluator(resolve, ambient=[(lib, ["f"])], calls=lambda _: {"refuse": refuse})
    unit = evaluator.open(Text("main.star", "x = f(2)\n"))
    assert unit.run("ask", "x") == 4
    assert made == [2]
    with pytest.raises(Failed, match="no such thing"):
        evaluator.open(Text("other.star", "refuse(1)\n"))
    assert evaluator.open(Text("own.star", "f = 3\n")).run("ask", "f") == 3
    with pytest.raises(Failed):
        starlark.library("@bad", "x = nope")


@pytest.mark.parametrize(
    ("path", "importer", "name"),
    [
        ("a.star", "m.star", "a.star"),
        ("../a.star", "x/m.star", "a.star"),
        ("./b/a.star", "x/m.star", "x/b/a.star"),
    ],
)
def test_beside(path: str, importer: str, name: str) -> None:
    assert starlark.beside(path, importer) == name


def test_advice() -> None:
    found = starlark.advice("m.star", "def f():\n    return 1\n    x = 2\n")
    assert any(item.line == 3 for item in found)
