from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.tongues import durations


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", 0),
        ("+0", 0),
        ("5s", 5_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("5.s", 5_000_000_000),
        ("-100ms", -100_000_000),
        ("+5.3s", 5_300_000_000),
        ("12µs", 12_000),
        ("12μs", 12_000),
        ("12us", 12_000),
        ("1ns", 1),
        ("0.9ns", 0),
        ("3m1.5s", 181_500_000_000),
        ("2562047h47m16.854775807s", 2**63 - 1),
        ("-2562047h47m16.854775808s", -(2**63)),
        ("0.100000000000000000000h", 360_000_000_000),
    ],
)
def test_reading(text: str, wanted: int) -> None:
    assert durations.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", 'time: invalid duration ""'),
        ("3", 'time: missing unit in duration "3"'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        (".", 'time: invalid duration "."'),
        (".s", 'time: invalid duration ".s"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1h 5m", 'time: unknown unit "h " in duration "1h 5m"'),
        ("1\x80s", 'time: unknown unit "\\xc2\\x80s" in duration "1\\xc2\\x80s"'),
        ('1"', 'time: unknown unit "\\"" in duration "1\\""'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
        ("--1s", 'time: invalid duration "--1s"'),
    ],
)
def test_what_is_no_duration(text: str, error: str) -> None:
    with pytest.raises(ValueError, match="time: ") as raised:
        durations.parse(text)
    assert str(raised.value) == error


@pytest.mark.parametrize(
    ("nanoseconds", "wanted"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (60_000_000_000, "1m0s"),
        (5_400_000_000_000, "1h30m0s"),
        (3_600_000_000_000, "1h0m0s"),
        (245_001_000_000, "4m5.001s"),
        (-1_500_000, "-1.5ms"),
        (2**63 - 1, "2562047h47m16.854775807s"),
        (-(2**63), "-2562047h47m16.854775808s"),
    ],
)
def test_writing(nanoseconds: int, wanted: str) -> None:
    assert durations.text(nanoseconds) == wanted


@given(st.integers(-(2**63), 2**63 - 1))
def test_what_is_written_reads_the_same(nanoseconds: int) -> None:
    assert durations.parse(durations.text(nanoseconds)) == nanoseconds


@given(st.text(max_size=20))
def test_reading_never_fails_otherwise(text: str) -> None:
    try:
        durations.parse(text)
    except ValueError as error:
        assert str(error).startswith("time: ")  # noqa: PT017
