"""Starlark is written one way, means what it meant, and formatting it again changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.render.formatting import BadCode, formatted

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("", ""),
        ("x=1", "x = 1\n"),
        ("x  =  1   \n\n\n\n\ny=2\n\n", "x = 1\n\n\ny = 2\n"),
        ("load( 'a' ,'b')\n", 'load("a", "b")\n'),
        ("x = 'it\"s'\ny = 'a\\n'\nz = r'a'\n", "x = 'it\"s'\ny = 'a\\n'\nz = r\"a\"\n"),
        ("x=f (1)\n", "x = f(1)\n"),
        ("x = f( a=1 ,b = -1,*c,**d )\n", "x = f(a = 1, b = -1, *c, **d)\n"),
        ("x={'a':1,'b' :[1 ,2]}\n", 'x = {"a": 1, "b": [1, 2]}\n'),
        ("x = a [1 : 2]+b[ ::2 ]\n", "x = a[1:2] + b[::2]\n"),
        ("x = -1-2*-3//4%5\n", "x = -1 - 2 * -3 // 4 % 5\n"),
        ("x = not(a)and b or(c)\n", "x = not (a) and b or (c)\n"),
        ("x = lambda a,b=1:a+b\n", "x = lambda a, b = 1: a + b\n"),
        ("x = [lambda y:y, 1]\n", "x = [lambda y: y, 1]\n"),
        ("x = (1 ,)\n", "x = (1,)\n"),
        ("x = 'a'.format (1)\n", 'x = "a".format(1)\n'),
        ("x = 1 #one\n#two\n", "x = 1  # one\n# two\n"),
        ("def f(a):\n  if a:\n     return 1\n  #no\n  return 2\nx=1\n", "def f(a):\n    if a:\n        return 1\n    # no\n    return 2\n\nx = 1\n"),
        ("def f():\n        return 1\n", "def f():\n    return 1\n"),
        ("x = f(\n a,\n     b = g(1,\n  2),\n  )\n", "x = f(\n    a,\n    b = g(1,\n        2),\n)\n"),
        ("x = [\n\n  1,\n\n\n  2,\n\n]\n", "x = [\n    1,\n\n    2,\n]\n"),
        ("x = [f(\n 1,\n), g(\n 2,\n)]\n", "x = [f(\n    1,\n), g(\n    2,\n)]\n"),
        ('"""doc\n  kept\n"""\nx=1\n', '"""doc\n  kept\n"""\nx = 1\n'),
        ("x = 1 + \\\n  2\n", "x = 1 + \\\n    2\n"),
        ("x=1\r\ny=2\r\n", "x = 1\ny = 2\n"),
        ("def f():\n    pass\ndef g():\n    pass\n", "def f():\n    pass\n\ndef g():\n    pass\n"),
        ("def f():\n    pass\n# about g\ndef g():\n    pass\n", "def f():\n    pass\n\n# about g\ndef g():\n    pass\n"),
    ],
)  # fmt: skip
def test_each_form(text: str, made: str) -> None:
    assert formatted(text) == made
    assert formatted(made) == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ny = f(\n    1,\n", "2:6: nothing closes this ("),
        ("x = 1\ndef f(:\n    pass\n", "2:7: unexpected symbol ':' here"),
    ],
)
def test_what_is_no_starlark_is_told(text: str, said: str) -> None:
    with pytest.raises(BadCode) as caught:
        formatted(text)
    bad = caught.value
    assert f"{bad.line}:{bad.column}: {bad}".startswith(said)


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "modules").rglob("*.star")), ids=str)
def test_the_examples_are_written_so(path: Path) -> None:
    assert formatted(path.read_text()) == path.read_text()


WORDS = ["x", "f(", ")", "[", "]", "{", "}", ":", ",", "=", "+", "-", "*", "1", "'a'", '"b"', "\n", "\n    ", "if x:", "def f(a):", "return x",
         "# c", "lambda a: a", "for x in y:", "not ", " in ", "pass", "\\\n", "\t", "load('a', 'b')", "==", "."]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=25))
def test_no_text_breaks_it(words: list[str]) -> None:
    text = " ".join(words)
    try:
        made = formatted(text)
    except BadCode:
        return
    assert formatted(made) == made
