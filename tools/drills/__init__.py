"""Failures of our own, run for real: a healthy app in a namespace of its own, a fault, and what an expert expects to be told of it.

The scenarios lie in `scenarios/`, one file each; `tools/scenarios.py` runs them. Must never know a rule's reasons or a scenario by its name:
it carries out, waits, asks the diagnosis as its users do, and compares.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
"""Where the scenarios are."""
