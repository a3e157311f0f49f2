"""Rows of Kyverno's own test files: the rate, and that exactly the known ones are missed."""

from pathlib import Path

import pytest
import yaml

from conformance import kyverno

MISSES = Path(__file__).parent / "misses" / "kyverno.yaml"


@pytest.mark.corpus
def test_rows_of_kyverno_tests_hold(corpus: Path) -> None:
    rates = kyverno.run(corpus)
    known = yaml.safe_load(MISSES.read_text()) or {}
    assert rates.total > 2000
    assert rates.rate >= 0.97
    assert sorted(rates.missed) == sorted(known), rates.missed
