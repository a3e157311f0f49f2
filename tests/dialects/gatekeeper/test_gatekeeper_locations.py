"""The grammar of mutators' locations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.dialects.gatekeeper.locations import BadLocation, Field, Item, conditions_of, parse, told


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ()),
        ("spec", (Field("spec"),)),
        ("spec.a-b._c", (Field("spec"), Field("a-b"), Field("_c"))),
        (
            "spec.containers[name: *].image",
            (Field("spec"), Field("containers"), Item("name", None), Field("image")),
        ),
        ("a[b:c]", (Field("a"), Item("b", "c"))),
        ('metadata.labels."a.b/c"', (Field("metadata"), Field("labels"), Field("a.b/c"))),
        ("a['k e\\'y': \"v\"]", (Field("a"), Item("k e'y", "v"))),
        (" a . b ", (Field("a"), Field("b"))),
    ],
)
def test_locations(text: str, wanted: tuple[Field | Item, ...]) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a.", "trailing separators are forbidden"),
        (".a", "unexpected token: expected field name or eof, got: ."),
        ("a..b", "unexpected token: expected field name or eof, got: ."),
        ("a b", "expected '.' or eof, got: b"),
        ("a[b]", "expected ':' following keyField b, got: ]"),
        ("a[: b]", "expected keyField in listSpec, got: :"),
        ("a[b:]", "expected key value or glob in listSpec, got: ]"),
        ("a[b: c", "expected ']' following listSpec, got: EOF"),
        ("a[b: c][d: e]", "expected '.' or eof, got: ["),
        ("a.$", "error at position 2: invalid character"),
        ("a.'b", "error at position 4: unterminated string"),
    ],
)
def test_what_is_no_location(text: str, fault: str) -> None:
    with pytest.raises(BadLocation) as caught:
        parse(text)
    assert str(caught.value) == fault


def test_a_location_is_told_as_it_is_written() -> None:
    text = 'spec.containers[name: *].env[name: x].value."a.b"'
    assert told(parse(text)) == text


def test_tests_belong_to_steps() -> None:
    location = parse("spec.containers[name: *].image")
    assert conditions_of(location, [("spec.containers[name: *]", "MustExist"), ("spec", "MustNotExist")]) == {
        2: "MustExist",
        0: "MustNotExist",
    }


@pytest.mark.parametrize(
    ("tests", "fault"),
    [
        (
            [("spec.other", "MustExist")],
            "all subpaths must be a prefix of the `location` value of the mutation",
        ),
        ([("spec", "MayExist")], "MayExist is not a valid path test condition"),
        ([("spec", "MustExist"), ("spec", "MustNotExist")], "conflicting path test conditions"),
    ],
)
def test_tests_that_make_no_sense(tests: list[tuple[str, str]], fault: str) -> None:
    with pytest.raises(BadLocation) as caught:
        conditions_of(parse("spec.a"), tests)
    assert str(caught.value) == fault


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab.[]*:'\"\\ -_$\u00e9", max_size=20))
def test_any_text_is_a_location_or_is_refused(text: str) -> None:
    try:
        location = parse(text)
    except BadLocation:
        return
    if all(
        "\\" not in str(part) and '"' not in str(tuple(part)) and "'" not in str(part) for part in location
    ):
        assert told(location) == "" or parse(told(location)) is not None
