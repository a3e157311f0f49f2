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
        env={"PYTHONPATH": str(folder / "src"), "COLUMNS": "300", "TERM": "xterm"},
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


FLOORS = "A room imports only from floors below it"
PURE = "Engines and tongues touch nothing: no socket, process, thread, clock, environment or file"


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("keep/planted.py", "from fairlead.drivers import sqlite", FLOORS),
        ("diagnose/planted.py", "import fairlead.keep", FLOORS),
        ("orchestrate/planted.py", "import subprocess", PURE),
        ("keep/planted.py", "import time", PURE),
        (
            "dialects/planted.py",
            "from fairlead.dialects import manifests",
            "Dialects know nothing of each other",
        ),
        (
            "tongues/planted.py",
            "from fairlead.tongues import cron",
            "Tongues know nothing of each other, but may share the words below them",
        ),
        ("attic.py", "", FLOORS),
    ],
)
def test_what_does_not_belong_fails_the_build(copy: Path, file: str, line: str, contract: str) -> None:
    (copy / "src/fairlead" / file).write_text(f'"""Planted."""\n\n{line}\n')
    result = lint(copy)
    assert result.returncode == 1
    assert f"{contract} BROKEN" in result.stdout
