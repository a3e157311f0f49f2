"""Every golden case of the diagnosis, once as it is and once out of a snapshot: the same is found, and in the same words."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from fairlead.diagnose import records
from fairlead.diagnose.examining import examine, needs
from fairlead.reactor import snapshots
from fairlead.words import Finding, Need, Snapshot

FOLDER = Path(__file__).resolve().parents[1] / "diagnose"


def _golden() -> ModuleType:
    """The module that knows how cases are written short."""
    spec = importlib.util.spec_from_file_location("golden_cases", FOLDER / "test_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOLDEN = _golden()


def _files() -> Iterator[Any]:
    for path in sorted((FOLDER / "cases").glob("*.yaml")):
        yield pytest.param(path, id=path.stem)


@pytest.mark.parametrize("path", list(_files()))
def test_a_snapshot_gives_what_the_cluster_gives(path: Path) -> None:
    for case in yaml.safe_load_all(path.read_text()):
        if case.get("scope", "live") == "live":
            _same(case)


def _same(case: dict[str, Any]) -> None:
    view = Snapshot(GOLDEN.fill(one, "live") for one in case["objects"])
    unseen = {(group, kind) for group, kind in case.get("unseen", [])}
    answers = {need: said for need in needs(view, now=GOLDEN.NOW) if (said := _answer(case, need))}
    more: Any = {"scope": "live", "now": GOLDEN.NOW, "unseen": unseen}
    advice = case.get("advice", False)
    live = examine(view, answers=answers, advice=advice, **more)
    written = snapshots.dump(snapshots.redacted(view, unseen, answers, GOLDEN.NOW, b"k" * 32).document)
    again = snapshots.examine_snapshot(json.loads(written), GOLDEN.NOW, advice=advice).findings
    told = [_told(one) for one in again if not one.rule.startswith("practice.")]
    assert told == [_told(one) for one in live], case["case"]


def _answer(case: dict[str, Any], need: Need) -> str:
    detail = dict(need.detail)
    key = f"{need.about.name}/{detail.get('container')}"
    if detail.get("previous") == "true":
        key += "/previous"
    return str(case.get("answers", {}).get(key, ""))


def _told(one: Finding) -> dict[str, Any]:
    """A finding's JSON; what a fix writes may hold a password, and is another then."""
    found = records.finding(one)
    found["fixes"] = [fix["title"] for fix in found["fixes"]]
    return found
