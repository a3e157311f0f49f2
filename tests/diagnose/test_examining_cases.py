"""The golden cases, told to an examination that goes on piece by piece: it says what a fresh one says after each change."""

from __future__ import annotations

import copy
import importlib.util
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.diagnose.examining import Examination, examine
from fairlead.words import Need, Ref

HERE = Path(__file__).parent
FILES = (
    "certificates",
    "customs",
    "gateways",
    "hosts",
    "moves",
    "networks",
    "services",
    "variables",
    "webhooks",
)


def golden() -> Any:
    spec = importlib.util.spec_from_file_location("golden_cases", HERE / "test_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOLDEN = golden()


@pytest.mark.parametrize("name", FILES)
def test_piece_by_piece(name: str) -> None:
    for number, case in enumerate(yaml.safe_load_all((HERE / "cases" / f"{name}.yaml").read_text())):
        if case.get("scope", "live") != "live":
            continue
        rng = random.Random(number)
        objects = [GOLDEN.fill(copy.deepcopy(one), "live") for one in case["objects"]]
        going, now = Examination(advice=True), GOLDEN.NOW
        answers = dict[Need, str]()
        rng.shuffle(objects)
        half = len(objects) // 2
        steps: list[tuple[list[Any], list[Ref]]] = [(objects[:half], [])]
        steps += [([one], []) for one in objects[half:]]
        steps += [([], [Ref.of(one)]) for one in rng.sample(objects, min(2, len(objects)))]
        steps.append((objects, []))
        for puts, drops in steps:
            now += timedelta(seconds=rng.choice((0, 1, 70, 700)))
            found = going.update(puts, drops, now=now, answers=answers)
            fresh = examine(going.view, scope="live", now=now, answers=answers, advice=True)
            assert found == fresh, (name, case["case"])
