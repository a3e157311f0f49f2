"""Objects from files and from other servers may hold anything anywhere: nothing makes the examination fail."""

from __future__ import annotations

import copy
import importlib.util
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.diagnose.examining import _WANTED, examine
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.references import edges
from fairlead.words import Snapshot

HERE = Path(__file__).parent
VALUES: tuple[Any, ...] = (
    None,
    0,
    -1,
    7.5,
    "",
    "x",
    True,
    [],
    [None],
    [1],
    {},
    {"a": None},
    [[]],
    [{}],
    {"name": {}},
    "1:2",
)


@cache
def cases() -> list[dict[str, Any]]:
    return [
        case
        for path in sorted((HERE / "cases").glob("*.yaml"))
        for case in yaml.load_all(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    ]


def fill() -> Any:
    spec = importlib.util.spec_from_file_location("golden", HERE / "test_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOLDEN = fill()


def spoil(value: Any, rng: random.Random, chance: float) -> Any:
    """Replace some of what is below with something else."""
    if rng.random() < chance:
        return copy.deepcopy(rng.choice(VALUES))
    if isinstance(value, dict):
        return {key: spoil(item, rng, chance) for key, item in value.items()}
    if isinstance(value, list):
        return [spoil(item, rng, chance) for item in value]
    return value


@pytest.mark.parametrize("seed", range(20))
def test_spoilt_objects_do_no_harm(seed: int) -> None:
    rng = random.Random(seed)
    for number, case in enumerate(cases()):
        scope = case.get("scope", "live")
        objects = []
        for short in case["objects"]:
            whole = GOLDEN.fill(copy.deepcopy(short), scope)
            body = {key: item for key, item in whole.items() if key not in {"apiVersion", "kind", "metadata"}}
            changed = spoil(whole["metadata"], rng, 0.03)
            meta = {**(changed if isinstance(changed, dict) else {}), "name": whole["metadata"]["name"]}
            if not isinstance(meta.get("namespace", ""), str):
                meta.pop("namespace")
            for field in ("uid", "ownerReferences"):  # the View itself needs these to be what they are
                meta.pop(field, None)
                if field in whole["metadata"]:
                    meta[field] = whole["metadata"][field]
            spoilt = spoil(body, rng, 0.06)
            objects.append({**whole, **(spoilt if isinstance(spoilt, dict) else {}), "metadata": meta})
        view = Snapshot(objects)
        if (
            seed + number
        ) % 2:  # each case is seen ten times as a cluster and ten times as files, spoilt otherwise each time
            found = examine(view, scope="live", now=GOLDEN.NOW, advice=True)
            inventory = Inventory(view, scope="live", now=GOLDEN.NOW)
            assert [fault for *_, fault in _WANTED.every(inventory) if fault is not None] == []
        else:
            found = examine(view, scope="files", now=GOLDEN.NOW, advice=True)
        assert [one for one in found if one.rule == "object.unexamined"] == []
        for one in objects:
            list(edges(one))
