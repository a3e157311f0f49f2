from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.tongues import globs


@pytest.mark.parametrize(
    ("pattern", "text", "wanted"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*", "anything\nat all", True),
        ("**", "x", True),
        ("?", "", False),
        ("?", "é", True),
        ("?", "ab", False),
        ("web", "web", True),
        ("web", "webs", False),
        ("web-*", "web-1", True),
        ("*-web", "my-web", True),
        ("*web*", "a web b", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("ab*bc", "abc", False),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "acb", False),
        ("?a*d?", "xad-dy", True),
        ("a?c*", "abcdef", True),
        ("*?", "", False),
        ("*?*", "x", True),
        ("a.c", "abc", False),
        ("[a]*", "[a]b", True),
        ("registry.io/*:?*", "registry.io/app:1", True),
        ("registry.io/*:?*", "registry.io/app:", False),
    ],
)
def test_a_pattern_matches_the_whole_text(pattern: str, text: str, wanted: bool) -> None:
    assert globs.compile(pattern)(text) is wanted
    assert globs.matches(pattern, text) is wanted


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_every_way_of_matching_agrees_with_an_expression(pattern: str, text: str) -> None:
    expression = "".join(".*" if sign == "*" else "." if sign == "?" else sign for sign in pattern)
    assert globs.matches(pattern, text) == (re.fullmatch(expression, text, re.DOTALL) is not None)


def test_many_stars_take_no_time() -> None:
    assert not globs.matches("*a" * 50 + "b", "a" * 20_000)
    assert not globs.matches("*a?" * 50 + "b", "a" * 20_000)


def test_what_a_pattern_is() -> None:
    assert globs.has_wildcard("a*")
    assert globs.has_wildcard("a?")
    assert not globs.has_wildcard("a.[b]")
