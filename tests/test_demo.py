"""The demonstration is the proof: what `make demo` shows is what this checks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo.py"


def demonstrate(tmp_path: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """Run the demonstration; return what it printed and what it reports."""
    report = tmp_path / "report.json"
    command = [sys.executable, str(DEMO), "--report", str(report), *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout, json.loads(report.read_text())


def proven(report: dict[str, Any]) -> bool:
    return all(
        fix["trial"]["proven"]
        and all(step["ok"] for step in fix["trial"]["steps"])
        and fix["applied"]["outcome"] == "healthy"
        for fix in report["fixed"]
    )


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(450)
def test_five_mistakes_are_found_explained_fixed_and_proven(tmp_path: Path) -> None:
    told, report = demonstrate(tmp_path)
    assert len(report["planted"]) == len(report["found"]) == len(report["fixed"]) == 5
    rules = {(found["subject"]["kind"], found["subject"]["name"]): found["rule"] for found in report["found"]}
    assert rules == {
        ("Deployment", "worker"): "image.pull",
        ("Deployment", "api"): "config.key",
        ("Deployment", "web"): "probe.failing",
        ("Service", "catalog"): "service.selector",
        ("Job", "migrate"): "schedule.selector",
    }
    assert proven(report)
    assert all(healthy for healthy, _ in report["health"].values())
    assert len(report["health"]) == 8
    assert "nothing is left running" in told


@pytest.mark.slow
@pytest.mark.timeout(450)
def test_without_containers_the_same_shop_runs_as_wasm(tmp_path: Path) -> None:
    told, report = demonstrate(tmp_path, "--wasm")
    assert len(report["planted"]) == len(report["found"]) == len(report["fixed"]) == 3
    assert proven(report)
    assert all(healthy for healthy, _ in report["health"].values())
    assert "left out" in told
