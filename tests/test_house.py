"""The house rules that no linter knows: sizes, names, docstrings and the absence of clocks in engines."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "fairlead"
MODULES = sorted(SOURCE.rglob("*.py"))
BANNED = {"utils", "util", "common", "base", "manager", "helpers", "helper", "misc"}
PURE = (
    "words.py",
    "tongues",
    "keep",
    "orchestrate",
    "diagnose",
    "judge",
    "sense",
    "render",
    "converge",
    "dialects",
)
LONGEST = 600
DEEPEST = 4


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))], ids=str)
def test_a_file_stays_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_room_is_not_deep_and_its_name_says_something(path: Path) -> None:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    assert len(parts) <= DEEPEST
    assert not BANNED & set(parts)


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Yield the public functions and classes of a module, and the public methods of its public classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
            yield node
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name[0] != "_":
                        yield inner


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_and_public_names_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "the module says nothing of itself"
    silent = [f"{node.name} (line {node.lineno})" for node in public(tree) if not ast.get_docstring(node)]
    assert not silent


@pytest.mark.parametrize("path", [path for path in MODULES if name(path).startswith(PURE)], ids=name)
def test_engines_have_no_clock(path: Path) -> None:
    found = re.findall(r"\b(?:datetime|date)\.(?:now|utcnow|today)\(", path.read_text())
    assert not found


def test_every_lint_exception_says_why() -> None:
    config = (ROOT / "pyproject.toml").read_text()
    block = config[config.index("[tool.ruff.lint]") : config.index("[tool.ruff.lint.flake8-type-checking]")]
    groups: list[str] = re.findall(r"^    \".*$", block, flags=re.MULTILINE)
    assert groups
    assert all("# " in line for line in groups), "an ignored rule must say why"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_silenced_rule_is_named(path: Path) -> None:
    bare = [line for line in path.read_text().splitlines() if re.search(r"# (?:noqa|type: ignore)\s*$", line)]
    assert not bare


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f'__version__ = "{project["version"]}"' in (SOURCE / "__init__.py").read_text()
