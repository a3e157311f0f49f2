"""Polaris's own cases: failures are told of, successes are clean, golden fixes are equal in effect, and exactly the known ones are missed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from conformance import polaris

MISSES = Path(__file__).parent / "misses" / "polaris.yaml"


@pytest.mark.corpus
def test_polaris_s_cases_and_golden_fixes_hold(corpus: Path) -> None:
    rates = polaris.run(corpus)
    assert rates.total > 150
    assert polaris.fixed(corpus / "polaris").rate >= 0.8
    assert sorted(rates.missed) == sorted(yaml.safe_load(MISSES.read_text())), rates.missed


def test_what_says_nothing_makes_no_difference() -> None:
    one = {
        "spec": {"hostNetwork": False, "containers": [{"name": "a", "securityContext": {"capabilities": {}}}]}
    }
    assert polaris.effect(one) == {"spec": {"containers": [{"name": "a"}]}}
    assert list(polaris.differing({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "")) == [(".a[1].b", 2, 3)]
