"""The architecture is held by a machine: a planted import from an engine to a driver must fail the build."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("lint-imports"))
    command = [program, "--no-cache", "--config", str(folder / "pyproject.toml")]
    return subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_house_stands(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("keep/planted.py", "from fairlead.drivers import sqlite", "imports only from floors below"),
        ("diagnose/planted.py", "import fairlead.keep", "imports only from floors below"),
        ("orchestrate/planted.py", "import subprocess", "touch nothing"),
        ("dialects/planted.py", "from fairlead.dialects import manifests", "know nothing of each other"),
        ("attic.py", "", "imports only from floors below"),
    ],
)
def test_a_planted_import_fails(copy: Path, file: str, line: str, contract: str) -> None:
    (copy / "src/fairlead" / file).write_text(f'"""Planted."""\n\n{line}\n')
    result = lint(copy)
    assert result.returncode == 1
    broken = [text for text in result.stdout.replace("\n", " ").split("KEPT") if contract in text]
    assert "BROKEN" in result.stdout or "not listed" in result.stdout + result.stderr, result.stdout
    assert broken or file == "attic.py"
