"""OPA's own compliance cases hold, but for the known ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from conformance import opa

FLOOR = 0.97
MISSES = yaml.safe_load((Path(__file__).parent / "misses" / "opa.yaml").read_text())


@pytest.mark.corpus
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_opas_cases_hold(corpus: Path) -> None:
    rates = opa.run(corpus)
    assert rates.total > 1000
    assert rates.rate >= FLOOR
    assert set(rates.missed) == set(MISSES), rates.missed
