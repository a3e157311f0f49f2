"""Modules that mean harm, rendered as they are in earnest: in a worker. Each is a clear refusal, in time."""

from __future__ import annotations

import pytest

from fairlead.reactor import rendering
from fairlead.render.packages import Context, Mistaken, Package

MANIFEST = b"apiVersion: fairlead.dev/v1alpha1\nkind: Module\nmetadata: {name: web}\nspec: {version: 1.0.0}\n"
HEAD = "def build(context, values):\n"
THING = "{'apiVersion': 'a/v1', 'kind': 'B', 'metadata': {'name': 'x'}, 'spec': x}"
MEMORY = "here: the package cannot be rendered: it used more than 512 MiB of memory; does it build something without end, or double it again and again?"
DEPTH = "here: the package cannot be rendered: it nests too deeply; does something contain itself, or call itself without end?"
NESTED = "module.star:1: calls are nested more than 500 deep: does a function call itself, or a value contain itself?"

CASES = {
    "a text that doubles": ("    x = 'a'\n    for i in range(60):\n        x += x\n    return []\n", MEMORY),
    "a text that is repeated": ("    x = 'a' * 2000000000\n    return []\n", MEMORY),
    "a list that doubles": ("    x = [0]\n    for i in range(60):\n        x = x + x\n    return []\n", MEMORY),
    "lists in lists": ("    x = [[j for j in range(1000)] for i in range(10000000)]\n    return []\n", MEMORY),
    "a shift": ("    x = 1 << 100000000000\n    return []\n", "module.star:2:9: Integer overflow computing left shift"),
    "a loop": (
        "    for i in range(1000000000):\n        for j in range(1000000000):\n            pass\n",
        "module.star:3:9: the evaluation does not end within 100000000 steps: is there an endless loop?",
    ),
    "recursion": (
        "    return build(context, values)\n",
        "module.star:2:12: calls are nested more than 500 deep: does a function call itself, or a value contain itself?",
    ),
    "a deep value": (f"    x = []\n    for i in range(100000):\n        x = [x]\n    return [{THING}]\n", NESTED),
    "a value that contains itself": (f"    x = {{}}\n    x['a'] = x\n    return [{THING}]\n", NESTED),
    "a deep value as a text": ("    x = []\n    for i in range(1000000):\n        x = [x]\n    return str(x)\n", DEPTH),
    "a number that no object holds": (
        f"    x = 1 << 90\n    return [{THING}]\n",
        "module.star:1: .spec: the number 1237940039285380274899124224 is larger than any object can hold",
    ),
    "no number": (f"    x = float('nan')\n    return [{THING}]\n", "module.star:1: .spec: nan is no number that an object can hold"),
    "too many objects": (
        "    return [{'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'a%d' % i}} for i in range(20001)]\n",
        "module.star: the module makes 20001 objects, more than 20000",
    ),
    "too many stages": ("    return [stage('a%d' % i, []) for i in range(1001)]\n", "module.star:1: build() returns 1001 stages, more than 1000"),
    "too large an object": (
        "    return [config_map('a', {'x': 'y' * 2000000})]\n",
        "module.star:2:13: the object has 2000106 bytes, more than the 1500000 that a cluster keeps",
    ),
    "too many lines": ("    for i in range(100000):\n        print(i)\n", "module.star:3:9: more than 1000 lines are printed"),
}  # fmt: skip


def source(code: str) -> rendering.Source:
    return rendering.Source(
        "module", Package({"module.yaml": MANIFEST, "module.star": code.encode()}, "here"), "here"
    )


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_module_is_refused(name: str) -> None:
    body, message = CASES[name]
    with pytest.raises(Mistaken) as told:
        rendering.render_source(source(HEAD + body), [], Context("web", "shop"))
    assert str(told.value) == message


@pytest.mark.parametrize(
    "code",
    [f"x = {'(' * 200000}{')' * 200000}\n", f"x = {'-' * 300000}1\n", f"x = {'1+' * 200000}1\n", f"x = {'[' * 300000}", "x = '''", "\0", "\ufeff", "x" * 2000000],
    ids=["parentheses", "signs", "sums", "brackets", "quotes", "zero", "mark", "long"],
)  # fmt: skip
def test_hostile_text_is_refused_or_read(code: str) -> None:
    try:
        rendering.render_source(source(code + "\n" + HEAD + "    return []\n"), [], Context("web", "shop"))
    except Mistaken as told:
        assert str(told)  # noqa: PT017  it may be read, too


def test_many_mistakes_are_told_up_to_a_limit() -> None:
    body = "    return [config_map('a%d' % i, labels = {'x y': str(i)}) for i in range(300)]\n"
    with pytest.raises(Mistaken) as told:
        rendering.render_source(source(HEAD + body), [], Context("web", "shop"))
    assert len(told.value.mistakes) <= 101
