"""Quantities: what Kubernetes' own parser makes of the same text."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.tongues import quantities

CANONICAL = [
    ("0", "0"),
    ("-0", "0"),
    ("+0Gi", "0"),
    ("100m", "100m"),
    ("1.5", "1500m"),
    ("1.500", "1.500"),
    ("0.500", "500m"),
    ("1000", "1k"),
    ("1024", "1024"),
    ("1024Ki", "1Mi"),
    ("1500Ki", "1500Ki"),
    ("1.5Gi", "1536Mi"),
    ("0.1Ki", "102400m"),
    ("1000Ki", "1000Ki"),
    ("1e3", "1e3"),
    ("12E6", "12E6"),
    ("0.1n", "1n"),
    ("-0.1n", "-1n"),
    ("1e-12", "1e-9"),
    ("1e21", "1e21"),
    ("10Ei", "9223372036854775807"),
    ("1000000E", "1000000E"),
    ("+5", "+5"),
    (".5Gi", "512Mi"),
    ("5.", "5."),
    (2, "2"),
    (0.25, "250m"),
]


@pytest.mark.parametrize(("text", "expected"), CANONICAL)
def test_canonical_text(text: str | float, expected: str) -> None:
    assert quantities.canonical(text) == expected


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", quantities.WRONG_FORM),
        ("one", quantities.WRONG_FORM),
        (" 1", quantities.WRONG_FORM),
        ("1.2.3", quantities.WRONG_FORM),
        ("1Gib", quantities.WRONG_FORM),
        ("1K", quantities.WRONG_SUFFIX),
        ("1ki", quantities.WRONG_SUFFIX),
        ("1e", quantities.WRONG_SUFFIX),
        ("1e99999", quantities.WRONG_SUFFIX),
        ("1e999999999999999", quantities.WRONG_SUFFIX),
        ("Pi", quantities.WRONG_NUMBER),
        ("e-10", quantities.WRONG_NUMBER),
        ("9" * 5000, quantities.WRONG_NUMBER),
        ("٣", quantities.WRONG_FORM),
    ],
)
def test_what_is_no_quantity(text: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole text is compared
        quantities.parse(text)
    assert str(caught.value) == error


def test_amounts_compare_across_ways_of_writing() -> None:
    assert quantities.compare("1Gi", "1073741824") == 0
    assert quantities.compare("1G", "1Gi") == -1
    assert quantities.compare("1", "999m") == 1


def test_a_sum_is_written_like_its_first_amount() -> None:
    assert quantities.total("1Gi", "512Mi") == "1536Mi"
    assert quantities.total("0", "512Mi", "1k") == "536871912"
    assert quantities.total("100m", "0.9") == "1"
    assert quantities.total() == "0"


def test_rounding_goes_away_from_zero() -> None:
    assert quantities.whole(Fraction(1, 10)) == 1
    assert quantities.milli(Fraction(1, 10_000)) == 1
    assert quantities.whole(Fraction(-1, 10)) == -1


@given(
    st.integers(-(10**15), 10**15),
    st.sampled_from(["", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "e3"]),
)
def test_canonical_text_loses_nothing_and_is_stable(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    once = quantities.canonical(text)
    assert quantities.parse(once) == quantities.parse(text)
    assert quantities.canonical(once) == once


@given(st.text(alphabet="0123456789.+-eEinumkKMGTP ", max_size=12))
def test_any_text_is_an_amount_or_a_clear_error(text: str) -> None:
    try:
        amount = quantities.parse(text)
    except ValueError:
        return
    assert quantities.parse(quantities.write(amount, quantities.form_of(text))) == amount
