"""The page about modules says what the code does: its examples run, and its tables tell of every function."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fairlead.drivers import definitions
from fairlead.render import modules, modules_manifest, prelude, prelude_reference
from fairlead.render.packages import Context, Mistaken, Package

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "modules.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"```(python|yaml|text)\n(.*?)```", PAGE, re.DOTALL)
DEFINITIONS = definitions.load()
MANIFEST = next(text for sort, text in BLOCKS if sort == "yaml").encode()
CODE = [text for sort, text in BLOCKS if sort == "python"]


def render(code: str) -> list[str]:
    """Return the kinds of what an example makes."""
    package = Package({"module.yaml": MANIFEST, "module.star": code.encode()}, "page")
    found = modules.render(package, (), Context("web", "shop"), {}, definitions=DEFINITIONS)
    return [item["kind"] for stage in found.stages for item in stage.objects]


@pytest.mark.parametrize("code", [code for code in CODE if code.startswith("# module.star")])
def test_examples_run(code: str) -> None:
    assert render(code)


def test_the_wrong_example_says_what_the_page_says() -> None:
    code = next(code for code in CODE if code.startswith("# wrong"))
    with pytest.raises(Mistaken) as told:
        render(code.partition("\n")[2])
    said = next(text for sort, text in BLOCKS if sort == "text")
    assert said in f"{told.value}\n"


@pytest.mark.parametrize("manifest", [text for sort, text in BLOCKS if sort == "yaml"])
def test_manifests_can_be_read(manifest: str) -> None:
    assert modules_manifest.read({"module.yaml": manifest.encode()}).name == "shop"


def test_every_function_is_told_of() -> None:
    told = {*prelude_reference.DESCRIBING, *prelude_reference.BUILDING}
    told |= {name.partition(".")[0] for name in prelude_reference.NAMESPACES if "." in name} - {"json"}
    assert told == set(prelude.AMBIENT)
    for name in (*prelude_reference.DESCRIBING, *prelude_reference.BUILDING):
        assert prelude_reference.signature(name) != name


def test_every_field_of_the_context_is_there() -> None:
    fields = [name for name in prelude_reference.CONTEXT if "(" not in name]
    asked = ", ".join(f"str(context.{name})" for name in fields)
    assert render(
        f'def build(context, values):\n    return [config_map("a", {{"x": " ".join([{asked}])}})]\n'
    )
