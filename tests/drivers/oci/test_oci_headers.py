"""Challenges, links, ranges and waits, as registries write them and as nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drivers.oci.headers import (
    Challenge,
    challenges,
    content_range_start,
    next_link,
    retry_after,
    upload_offset,
)
from fairlead.drivers.oci.tokens import merged_scopes


def test_challenges_are_read_as_registries_write_them() -> None:
    text = 'Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull,push"'
    (found,) = challenges([text])
    assert found.scheme == "bearer"
    assert found.parameters == {
        "realm": "https://auth.example.com/token",
        "service": "registry",
        "scope": "repository:a/b:pull,push",
    }
    both = challenges(['Basic realm="a, \\"b\\"", bearer realm=x , error="insufficient_scope"', "Negotiate"])
    assert [one.scheme for one in both] == ["basic", "bearer", "negotiate"]
    assert both[0].parameters == {"realm": 'a, "b"'}
    assert both[1].parameters["error"] == "insufficient_scope"
    assert challenges(["Negotiate YWJj=, Basic realm=r"]) == [
        Challenge("negotiate"),
        Challenge("basic", {"realm": "r"}),
    ]
    assert challenges([]) == []


@given(st.text(alphabet='ab=",\\ \t/<>;', max_size=60) | st.text(max_size=60))
def test_no_header_is_too_strange_to_be_read(text: str) -> None:
    for one in challenges([text, text]):
        assert one.scheme == one.scheme.lower()
    next_link([text])
    upload_offset(text)
    content_range_start(text)
    wait = retry_after(text, 0.0)
    assert wait is None or wait >= 0
    merged_scopes([text])


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ('</v2/a/tags/list?n=2&last=b>; rel="next"', "/v2/a/tags/list?n=2&last=b"),
        ("<https://h/x>;rel=next", "https://h/x"),
        ('<a>; rel="prev", <b>; title="x"; rel="first next"', "b"),
        ('<a>; rel="prev"', ""),
        ("a; rel=next", ""),
        ("", ""),
    ],
)
def test_the_next_page_is_found(text: str, target: str) -> None:
    assert next_link([text]) == target


def test_ranges_and_waits() -> None:
    assert upload_offset("0-99") == 100
    assert upload_offset("bytes=0-99") == 100
    assert upload_offset("0-0") == 0
    assert upload_offset("5-9") is None
    assert content_range_start("bytes 100-199/200") == 100
    assert content_range_start("bytes 0-1/*") == 0
    assert content_range_start("bytes */200") is None
    assert retry_after("7", 0) == 7
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 30) == 30
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 100) == 0
    assert retry_after("soon", 0) is None


def test_equal_rights_are_equal_texts() -> None:
    assert merged_scopes(["repository:h:5000/a:push,pull repository:b:pull", "repository:b:delete", ""]) == (
        "repository:b:delete,pull repository:h:5000/a:pull,push"
    )
