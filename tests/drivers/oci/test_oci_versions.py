"""Versions and ranges, as Timoni, Flux and Helm read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drivers.oci.versions import (
    BadVersion,
    Version,
    is_range,
    newest,
    parse_range,
    tag_of,
    version_of,
)

TAGS = [
    "latest",
    "0.2.4",
    "0.3.0",
    "1.0.0",
    "1.2.0",
    "1.2.9",
    "1.3.0-rc.1",
    "1.4.9",
    "2.0.0-rc.1",
    "2.0.0-rc.2",
    "v3.0.0",
]


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("^1", "1.4.9"), ("^1.2.0", "1.4.9"), ("^0.2.3", "0.2.4"), ("^0.2", "0.2.4"), ("^0", "0.3.0"), ("~1.2", "1.2.9"),
        ("~1", "1.4.9"), ("~1.2.1", "1.2.9"), (">=1.0 <2.0", "1.4.9"), (">=1.0, <1.3", "1.2.9"), ("1.2.x", "1.2.9"), ("1.2", "1.2.9"),
        ("1", "1.4.9"), ("*", "1.4.9"), ("=1.2.0", "1.2.0"), ("1.0 - 1.2", "1.2.9"), ("<=1.2", "1.2.9"), ("<1.2", "1.0.0"), (">1.2", "1.4.9"),
        ("!=1.4.9", "1.2.9"), ("!=1.x", "0.3.0"), ("^0.1 || ~1.0", "1.0.0"), (">=2.0.0-0", "2.0.0-rc.2"), ("^3", ""), (">= 1.0.0 , < 1.1", "1.0.0"),
    ],
)  # fmt: skip
def test_the_newest_in_a_range(text: str, tag: str) -> None:
    assert newest(TAGS, text) == tag


@pytest.mark.parametrize(
    "text", ["", "latest", ">=", "1.2.3.4", "^^1", "1.2 -", ">=1 and <2", "x" * 300, "01.2.x.y"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(BadVersion):
        parse_range(text)
    assert not is_range(text)


def test_versions_are_strict_and_ordered() -> None:
    for bad, says in (
        ("v1.2.3", "1.2.3 would be one"),
        ("1.2", "looks like"),
        ("1.02.3", "no semantic"),
        ("1.2.3-01", "no semantic"),
        ("1.2.3\n", "no semantic"),
    ):
        with pytest.raises(BadVersion, match=says):
            Version.parse(bad)
    order = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
    ]
    assert sorted(order, key=Version.parse) == order
    assert Version.parse("1.0.0+a") == Version.parse("1.0.0+b")
    assert tag_of(Version.parse("1.0.0-rc.1+build.5")) == "1.0.0-rc.1_build.5"
    assert str(version_of("1.0.0-rc.1_build.5")) == "1.0.0-rc.1+build.5"
    assert version_of("latest") is None
    assert is_range("^1")
    assert not is_range("1.2.3")


@given(st.text(alphabet="0123456789.-+x*^~<>=!|, rc", max_size=30))
def test_any_text_is_a_range_or_a_bad_version(text: str) -> None:
    try:
        fits = parse_range(text)
    except BadVersion:
        return
    fits(Version(1, 2, 3))
