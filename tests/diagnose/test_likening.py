"""Which name was meant: near enough, and only one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.diagnose.likening import distance, nearest, related, renamed, slip

NAMES = st.text("abc-", max_size=8)


@pytest.mark.parametrize(
    ("wrong", "right", "near"),
    [
        ("api-confg", "api-config", True),
        ("api_config", "api-config", True),
        ("API-Config", "api-config", True),
        ("wbe", "web", True),
        ("linus", "linux", True),
        ("db-1", "db-2", False),
        ("web", "api", False),
        ("a", "b", False),
        ("staging", "standby", False),
        ("v1", "v2", False),
    ],
)
def test_slips(wrong: str, right: str, near: bool) -> None:
    assert (slip(wrong, right) is not None) == near


def test_words_added_or_left_out_are_related() -> None:
    assert related("ticketing-db-prod", "ticketing-db") is not None
    assert related("shop-api-config", "api-config") is not None
    assert related("api", "web-api-config") is None


def test_names_that_begin_alike_may_be_one_renamed() -> None:
    assert renamed("CURRENCY", {"CURRENCIES", "GREETING"}) == "CURRENCIES"
    assert renamed("app.conf", {"app.cfg", "app-settings"}) == "app.cfg"
    assert renamed("DB_PASSWORD", {"DB_PASS", "DB_USER"}) == "DB_PASS"
    assert renamed("DB_PASSWORD", {"DB_PASS", "DB_PASSWD"}) is None, "either may be meant"
    assert renamed("DB_PASSWORD", {"DB_USER"}) is None
    assert renamed("replica-1", {"replica-2"}) is None, "two things, not two names"
    assert renamed("url", {"urn"}) is None, "too short to say"


def test_nearest_wants_one_winner() -> None:
    assert nearest("cnfig", ["config", "secret"]) == "config"
    assert nearest("config", ["configa", "configb"]) is None
    assert nearest("web", ["web"]) is None
    assert nearest("web", []) is None


@given(NAMES, NAMES)
def test_distance_is_a_distance(one: str, other: str) -> None:
    assert distance(one, other, 20) == distance(other, one, 20)
    assert (distance(one, other, 20) == 0) == (one == other)
    assert distance(one, other, 2) == min(distance(one, other, 20), 3)
