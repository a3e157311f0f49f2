"""Kyverno's pattern language: leaves, anchors, lists, wildcards in keys, and where a mismatch is said to be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.judge import patterns, patterns_words

LEAVES: list[tuple[Any, Any, bool]] = [
    # value, pattern, matches
    (True, True, True),
    (True, False, False),
    ("true", True, False),
    (1, True, False),
    (7, 7, True),
    (7.0, 7, True),
    (7.1, 7, False),
    ("7", 7, True),
    ("x", 7, False),
    (True, 1, False),
    (7.9914, 7.9914, True),
    (7, 7.0, True),
    ("7.5", 7.5, True),
    (None, None, True),
    ("", None, True),
    (0, None, True),
    (False, None, True),
    ("x", None, False),
    (1, None, False),
    ({}, None, False),
    ([], None, False),
    ("anything", "*", True),
    ("", "*", True),
    (None, "*", False),
    ("", "?*", False),
    ("x", "?*", True),
    (None, "?*", False),
    ("abbba", "ab?ba", True),
    ("abbbba", "ab?ba", False),
    ("leftright", "*right", True),
    ("10.100.11.54", "192.168.88.1 | 10.100.11.*", True),
    ("10", ">1 & <20", True),
    ("32", ">1 & <20 | >31 & <33", True),
    ("21", ">1 & <20 | >31 & <33", False),
    (4, ">= 3", True),
    (2, ">= 3", False),
    ("a|b", "a|b", True),
    ("nginx:latest", "!*:latest", False),
    ("nginx:1", "!*:latest & *:*", True),
    (None, "!x", False),
    (True, "true", True),
    (False, "true", False),
    (8, "<4|8", True),
    ("8", "<4|8", True),
    (None, "<10", True),
    (None, ">0", False),
    (None, "0", True),
    ("x", ">5", False),
    # ranges
    (0, "0-2", True),
    (3, "0-2", False),
    (0, "10!-20", True),
    (15, "10!-20", False),
    (25, "10!-20", True),
    (2.0001, "0.00001-2.00001", False),
    (2, "2-2", True),
    (2, "2!-2", False),
    (2.99999, "2.99998-3", True),
    ("256Mi", "128Mi-512Mi", True),
    ("1024Mi", "128Mi-512Mi", False),
    ("64Mi", "128Mi!-512Mi", True),
    ("1h30m", "1h-2h", True),
    # quantities and durations
    ("1024Mi", "1Gi", True),
    ("0.2", "200m", True),
    (1024, "1024", True),
    ("1Gi", ">1000Mi", True),
    ("1G", "<1Gi", True),
    ("500m", ">=0.5", True),
    ("0.2", "!.5", True),
    ("gii", "1024Gi", False),
    ("60m", "1h", True),
    ("90s", ">1m", True),
    ("5.16.5-arch1-1", "!5.10.84-1", True),
    ("5.10.84-1", "!5.10.84-1 & !5.15.2-1", False),
    # shapes
    ({"a": 1}, {"b": 2}, True),
    ("x", {"b": 2}, False),
    ([1], [1], False),
    (1.5, "1.5*", True),
    (1.5, "1.5E+00", True),
]


@pytest.mark.parametrize(("value", "pattern", "wanted"), LEAVES, ids=str)
def test_a_leaf_matches(value: Any, pattern: Any, wanted: bool) -> None:
    assert patterns.matches(value, pattern) is wanted


@pytest.mark.parametrize(
    ("text", "operator"),
    [
        ("", ""),
        ("f", ""),
        (">", ""),
        (">=1", ">="),
        ("<=1", "<="),
        (">1", ">"),
        ("<1", "<"),
        ("!x", "!"),
        ("1-2", "-"),
        ("1Mi-2Gi", "-"),
        ("1!-2", "!-"),
        ("a-b", ""),
        ("5.10.84-1", ""),
    ],
)
def test_an_operator_is_found(text: str, operator: str) -> None:
    assert patterns_words.operator_of(text) == operator


CASES: list[tuple[str, Any, Any, str]] = [
    # name, pattern, object, what comes of it: "" or kind and pointer
    ("a key is there", {"a": "x"}, {"a": "x"}, ""),
    ("a key is missing", {"a": "x"}, {}, "fail /a/"),
    ("anything but nothing", {"a": {"b": "*"}}, {"a": {"b": 1}}, ""),
    ("the place of anything is its holder", {"a": {"b": "*"}}, {"a": {"b": None}}, "fail /a/"),
    ("an object is wanted", {"a": {"b": "x"}}, {"a": "b"}, "fail /a/"),
    ("a list is wanted", {"a": [{"b": "x"}]}, {"a": {}}, "fail /a/"),
    ("each element", {"a": [{"b": "x"}]}, {"a": [{"b": "x"}, {"b": "y"}]}, "fail /a/1/b/"),
    ("no element", {"a": [{"b": "x"}]}, {"a": []}, ""),
    ("an empty pattern", {"a": []}, {"a": []}, "fail /a/"),
    ("plain values, all as the first", {"a": ["x*", "y"]}, {"a": ["x1", "x2"]}, ""),
    ("plain values, one not", {"a": ["x*"]}, {"a": ["x1", "y"]}, "fail /a/"),
    ("a value against a list", {"a": "x*"}, {"a": ["x", "y"]}, "fail /a/"),
    ("lists of lists by place", [["a"], ["b"]], [["a"], ["b"], ["c"]], ""),
    ("lists of lists, too few", [["a"], ["b"]], [["a"]], "fail /"),
    ("lists of lists, one differs", [["a"], ["b"]], [["a"], ["c"]], "fail /1/"),
    # conditional anchors
    ("if so, then", {"(a)": "1", "b": "2"}, {"a": "1", "b": "2"}, ""),
    ("if so, but not then", {"(a)": "1", "b": "2"}, {"a": "1", "b": "3"}, "fail /b/"),
    ("if not so", {"(a)": "1", "b": "2"}, {"a": "x", "b": "3"}, "skip /a/"),
    ("if it is not there", {"(a)": "1", "b": "2"}, {"b": "3"}, "skip /a/"),
    (
        "elements that an anchor skips",
        {"l": [{"(n)": "x*", "v": "1"}]},
        {"l": [{"n": "a"}, {"n": "x", "v": "1"}]},
        "",
    ),
    ("all elements skipped", {"l": [{"(n)": "x*", "v": "1"}]}, {"l": [{"n": "a"}, {"n": "b"}]}, "skip /l/"),
    ("one element fails", {"l": [{"(n)": "x*", "v": "1"}]}, {"l": [{"n": "a"}, {"n": "x"}]}, "fail /l/1/v/"),
    (
        "nested conditions come first",
        {"b": {"(c)": "x"}, "a": "1"},
        {"b": {"c": "y"}, "a": "2"},
        "skip /b/c/",
    ),
    # global anchors
    ("globally so", {"<(a)": "1", "b": "2"}, {"a": "1", "b": "3"}, "fail /b/"),
    ("globally not so", {"<(a)": "1", "b": "2"}, {"a": "x", "b": "3"}, "skip /a/"),
    ("globally absent", {"<(a)": "1", "b": "2"}, {"b": "2"}, ""),
    # equality anchors
    ("only if there: absent", {"=(a)": "1"}, {}, ""),
    ("only if there: right", {"=(a)": {"=(b)": "1"}}, {"a": {"b": "1"}}, ""),
    ("only if there: wrong", {"=(a)": {"=(b)": "1"}}, {"a": {"b": "2"}}, "fail /a/b/"),
    # negation anchors
    ("must not be there", {"X(a)": "null"}, {}, ""),
    ("but is there", {"s": {"X(a)": "null"}}, {"s": {"a": None}}, "negation /s/a/"),
    # existence anchors
    ("one is enough", {"^(l)": [{"n": "x"}]}, {"l": [{"n": "a"}, {"n": "x"}]}, ""),
    ("none is not", {"^(l)": [{"n": "x"}]}, {"l": [{"n": "a"}]}, "fail /l/"),
    ("each pattern finds its own", {"^(l)": [{"n": "x"}, {"n": "y"}]}, {"l": [{"n": "y"}, {"n": "x"}]}, ""),
    (
        "each pattern finds its own, or not",
        {"^(l)": [{"n": "x"}, {"n": "y"}]},
        {"l": [{"n": "x"}]},
        "fail /l/",
    ),
    ("no list to exist in", {"^(l)": [{"n": "x"}]}, {}, ""),
    ("existence in no list", {"^(l)": [{"n": "x"}]}, {"l": "x"}, "fail /l/"),
    ("existence of no list", {"^(l)": {"n": "x"}}, {"l": []}, "fail /l/"),
    ("existence of plain values", {"^(l)": ["x"]}, {"l": ["x"]}, "fail /l/"),
    ("an adding anchor means nothing", {"+(a)": "1"}, {"a": "1"}, "fail /+(a)/"),
    # wildcards in labels and annotations
    (
        "a label by wildcard",
        {"metadata": {"labels": {"app.*/n": "?*"}}},
        {"metadata": {"labels": {"app.io/n": "x"}}},
        "",
    ),
    (
        "a label by wildcard differs",
        {"metadata": {"labels": {"app.*/n": "?*"}}},
        {"metadata": {"labels": {"app.io/n": ""}}},
        "fail /metadata/labels/app.io/n/",
    ),
    (
        "no such label",
        {"metadata": {"annotations": {"a*": "x"}}},
        {"metadata": {"annotations": {"b": "x"}}},
        "fail /metadata/annotations/a*/",
    ),
    (
        "an anchored label by wildcard",
        {"metadata": {"=(annotations)": {"=(a.*/b)": "!x"}}},
        {"metadata": {"annotations": {"a.c/b": "x"}}},
        "fail /metadata/annotations/a.c/b/",
    ),
    ("no wildcards elsewhere", {"spec": {"a*": "x"}}, {"spec": {"ab": "x"}}, "fail /spec/a*/"),
]


@pytest.mark.parametrize(
    ("pattern", "value", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_an_object_is_compared(pattern: Any, value: Any, wanted: str) -> None:
    found = patterns.compile(pattern)(value)
    assert (
        "" if found is None else f"{found.kind} {'/' + ''.join(f'{step}/' for step in found.path)}"
    ) == wanted


def test_a_failure_without_the_anchored_key_is_an_error() -> None:
    match = patterns.compile({"X(a)": "null", "b": "1"})
    found = match({"b": "2"})
    assert found is not None
    assert (found.kind, found.error, found.pointer) == ("fail", True, "")
    assert found.message() == "resource value '2' does not match '1' at path /b/"
    assert found.path == ("b",)
    plain = patterns.compile({"=(a)": "null", "b": "1"})({"b": "2"})
    assert plain is not None
    assert plain.pointer == "/b/"


def test_messages_are_kyvernos() -> None:
    match = patterns.compile({"spec": {"l": [{"(n)": "x*", "<(m)": "1", "v": "1"}]}})
    skipped = match({"spec": {"l": [{"n": "a"}, {"n": "xa", "m": "2"}]}})
    assert skipped is not None
    assert skipped.message() == (
        "conditional anchor mismatch: resource value 'a' does not match 'x*' at path /spec/l/0/n/; "
        "global anchor mismatch: resource value '2' does not match '1' at path /spec/l/1/m/"
    )
    other = match({"spec": []})
    assert other is not None
    assert other.message() == (
        "pattern and resource have different structures. Path: /spec/. Expected map[string]interface {}, found []interface {}"
    )
    shown = patterns.compile({"a": "x"})({"a": {"b": [1, None, True]}})
    assert shown is not None
    assert shown.message().startswith("resource value 'map[b:[1 <nil> true]]' does not match 'x'")


def test_what_would_pass_is_said() -> None:
    found = patterns.compile({"a": "!x"})({"a": "x"})
    assert found is not None
    assert found.wanted == "a value that matches '!x'"
    gone = patterns.compile({"X(a)": "null"})({"a": 1})
    assert gone is not None
    assert gone.wanted == "no a"


def test_a_pattern_that_is_too_deep_is_refused() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = {"a": deep}
    with pytest.raises(patterns.BadPattern, match="too deeply"):
        patterns.compile(deep)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "*", ">1", "1-2", "!a", "a|b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "(a)", "=(a)", "X(b)", "^(a)", "<(a)", "metadata", "labels", "a*"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(json, json)
def test_anything_can_be_compared_with_anything(pattern: Any, value: Any) -> None:
    found = patterns.compile(pattern)(value)
    if found is not None:
        assert isinstance(found.message(), str)
        assert found.pointer == "" or found.pointer.startswith("/")
