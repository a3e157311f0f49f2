"""Kustomize's own cases: all of them are built as expected, in their order, and what is an error there is one here."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance import kustomize


@pytest.mark.corpus
def test_kustomize_s_cases_hold(corpus: Path) -> None:
    rates = kustomize.run(corpus)
    assert rates.total >= 100
    assert not rates.missed, rates.missed


def test_what_is_no_yaml_is_no_expectation() -> None:
    assert kustomize.wanted("\t// apiVersion: v1\n") is None
    assert kustomize.wanted("---\na: 1\n---\n") == [{"a": 1}]


def test_errors_are_told_as_texts() -> None:
    assert "unable to find one of" in kustomize.built({"a.yaml": ""}, "")
