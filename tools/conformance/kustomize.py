"""Builds Kustomize's own cases: a tree of files and a target give the documents that are expected, in their order, or an error.

The documents are compared as data. Expected texts that are no YAML (cases that are commented out) count as skipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from conformance import Rates
from fairlead.dialects import kustomize
from fairlead.render.packages import Context, Lacking, Mistaken, Package
from fairlead.tongues import yamls
from fairlead.words import Resource


def built(files: Mapping[str, str], target: str) -> tuple[Resource, ...] | str:
    """Return the objects of a tree, or the error's text."""
    package = Package({path: text.encode() for path, text in files.items()}, "tree", target)
    try:
        return kustomize.render(package, (), Context("case"), {}).objects
    except (Mistaken, Lacking) as fault:
        return str(fault)


def wanted(expected: str) -> list[Any] | None:
    """Return the documents that a text says, or None where it is no YAML."""
    try:
        found = [one for one in yamls.load_all(expected) if one is not None]
    except yamls.BadYaml:
        return None
    return [one for one in found if isinstance(one, dict)]


def run(corpus: Path) -> Rates:
    """Build every case."""
    rates = Rates("kustomize")
    seen: dict[str, int] = {}
    cases: Sequence[Mapping[str, Any]] = json.loads((corpus / "kustomize" / "cases.json").read_text())
    for case in cases:
        seen[case["name"]] = times = seen.get(case["name"], 0) + 1
        name = f"{case['name']}/{times}" if times > 1 else case["name"]
        found = built(case["files"], case["target"])
        expected = None if case["expect"] is None else wanted(case["expect"])
        if expected is None and case["expect"] is not None:
            rates.skipped[name] = "what is expected is no YAML"
        elif expected is None:
            if isinstance(found, str):
                rates.passed += 1
            else:
                rates.missed[name] = "built, where an error is expected"
        elif isinstance(found, str):
            rates.missed[name] = found
        elif list(found) == expected:
            rates.passed += 1
        else:
            rates.missed[name] = f"got\n{yaml.safe_dump_all(found)}\nwanted\n{yaml.safe_dump_all(expected)}"
    return rates
