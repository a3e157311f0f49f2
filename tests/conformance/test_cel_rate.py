"""Google's CEL conformance suite holds, but for the misses that are known and explained."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from conformance import cel

FLOOR = 0.995
FLOOR_OF_OTHERS = 0.80
"""Of the files about protocol buffers, which Kubernetes never shows to an expression."""
MISSES = Path(__file__).parent / "misses" / "cel.yaml"


@pytest.mark.corpus
def test_the_rate_holds_and_every_miss_is_known(corpus: Path) -> None:
    rates = cel.run(corpus)
    assert rates.rate >= FLOOR
    assert set(rates.missed) == set(yaml.safe_load(MISSES.read_text()))


@pytest.mark.corpus
def test_most_of_what_does_not_count_holds_too(corpus: Path) -> None:
    assert cel.others(corpus).rate >= FLOOR_OF_OTHERS
