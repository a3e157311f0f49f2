"""What Popeye expects of its own cases is told here too, but for the known pairs; and nothing is told that the objects contradict."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from conformance import popeye
from fairlead.diagnose.rules import RULES, SYMPTOMS
from fairlead.judge.practices import BY_POPEYE

FLOOR = 0.93
MISSES = yaml.safe_load((Path(__file__).parent / "misses" / "popeye.yaml").read_text())
BEYOND = yaml.safe_load((Path(__file__).parent / "misses" / "popeye_beyond.yaml").read_text())
CODES = (
    *range(100, 114), *range(200, 210), *range(300, 309), *range(400, 408), 500, 501, *range(503, 509), 600, *range(602, 606),
    *range(700, 713), 800, 900, 901, *range(1000, 1005), *range(1100, 1111), 1120, *range(1200, 1209), 1300, *range(1400, 1405),
    *range(1500, 1504), 666,
)  # fmt: skip


@pytest.mark.corpus
def test_popeyes_pairs_are_found(corpus: Path) -> None:
    rates = popeye.run(corpus)
    assert rates.total > 100
    assert rates.rate >= FLOOR
    assert set(rates.missed) == set(MISSES), rates.missed


@pytest.mark.corpus
def test_nothing_is_told_that_the_objects_contradict(corpus: Path) -> None:
    told = popeye.beyond(corpus)
    assert [one for one in told if one not in BEYOND and one.rpartition(" ")[2] not in BEYOND] == []


def test_every_code_has_a_rule_or_a_reason() -> None:
    for code in CODES:
        assert bool(popeye.rules_of(code)) != (code in popeye.REASONS), code


def test_the_rules_that_codes_stand_for_are_there() -> None:
    practices = {one.rule for many in BY_POPEYE.values() for one in many}
    told = {rule for code in popeye.EQUIVALENT for rule in popeye.rules_of(code)} - practices
    assert told - RULES.keys() - SYMPTOMS == set()
