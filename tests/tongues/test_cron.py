"""Cron schedules: what they say, when they ring, and what is wrong with the bad ones."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.tongues import cron

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)  # a Friday

NEXT = [
    ("* * * * *", "2026-01-02T03:05"),
    ("*/15 * * * *", "2026-01-02T03:15"),
    ("3/20 * * * *", "2026-01-02T03:23"),
    ("10-20/5 * * * *", "2026-01-02T03:10"),
    ("4 3 * * *", "2026-01-03T03:04"),
    ("0 0 1 * *", "2026-02-01T00:00"),
    ("0 0 31 * *", "2026-01-31T00:00"),
    ("0 0 29 2 *", "2028-02-29T00:00"),
    ("0 12 * * mon-fri", "2026-01-02T12:00"),
    ("0 12 * * SUN", "2026-01-04T12:00"),
    ("0 12 * * 1,3", "2026-01-05T12:00"),
    ("0 0 13 * fri", "2026-01-09T00:00"),
    ("0 0 ? jul-aug ?", "2026-07-01T00:00"),
    ("0 0 13 * *", "2026-01-13T00:00"),
    ("@hourly", "2026-01-02T04:00"),
    ("@daily", "2026-01-03T00:00"),
    ("@midnight", "2026-01-03T00:00"),
    ("@weekly", "2026-01-04T00:00"),
    ("@monthly", "2026-02-01T00:00"),
    ("@yearly", "2027-01-01T00:00"),
    ("@annually", "2027-01-01T00:00"),
    ("TZ=Asia/Tokyo 0 13 * * *", "2026-01-02T04:00"),
    ("CRON_TZ=America/New_York 0 0 * * *", "2026-01-02T05:00"),
]


@pytest.mark.parametrize(("text", "moment"), NEXT)
def test_the_next_moment(text: str, moment: str) -> None:
    assert cron.parse(text).next(START) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


BAD = [
    ("", "empty spec string"),
    ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
    ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
    ("60 * * * *", "end of range (60) above maximum (59): 60"),
    ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
    ("* * * * 7", "end of range (7) above maximum (6): 7"),
    ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
    ("*/0 * * * *", "step of range should be a positive number: */0"),
    ("*/1/2 * * * *", "too many slashes: */1/2"),
    ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
    ("* * L * *", 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'),
    ("@reboot", "unrecognized descriptor: @reboot"),
    ("TZ=Nowhere/At/All * * * * *", "provided bad location Nowhere/At/All: unknown time zone Nowhere/At/All"),
    ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cron.parse(text)


def test_an_impossible_day_never_comes() -> None:
    assert cron.parse("0 0 30 2 *").next(START) is None


def test_every_counts_from_the_moment_before() -> None:
    assert cron.parse("@every 1h30m").next(START) == START + timedelta(minutes=90)


def test_a_skipped_hour_is_not_run_and_a_double_one_once() -> None:
    schedule = cron.parse("30 2 * * *", "Europe/Berlin")
    before = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    assert schedule.next(before) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)
    before = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
    first = schedule.next(before)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert schedule.next(first) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_an_unknown_zone_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown time zone Mars/Olympus"):
        cron.parse("* * * * *", "Mars/Olympus")


FIELD = st.sampled_from(["*", "*/7", "1-5", "3", "2,4", "1-9/3"])


@settings(max_examples=100, deadline=None)
@given(st.tuples(FIELD, FIELD, FIELD, FIELD, FIELD), st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1)))  # noqa: DTZ001 -- Hypothesis wants them naive
def test_the_next_moment_is_later_whole_and_stable(fields: tuple[str, ...], moment: datetime) -> None:
    text = " ".join((*fields[:4], fields[4].replace("1-9/3", "1-6/3")))
    after = moment.replace(tzinfo=UTC)
    found = cron.parse(text).next(after)
    assert found is not None
    assert found > after
    assert (found.second, found.microsecond) == (0, 0)
    assert cron.parse(text).next(found - timedelta(seconds=1)) == found
