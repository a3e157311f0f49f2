"""Label and field selectors: what Kubernetes' own parsers make of the same text."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.tongues import selectors
from fairlead.tongues.selectors import EVERYTHING, NOTHING, from_labels, from_object, parse, parse_fields

LABELS = {"app": "web", "tier": "front", "size": "5", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("  ", True),
        ("app", True),
        ("!app", False),
        ("!gone", True),
        ("app=web", True),
        ("app == web , tier=front", True),
        ("app!=web", False),
        ("gone!=web", True),
        ("app in (web,api)", True),
        ("app notin (web,api)", False),
        ("gone notin (web)", True),
        ("empty in ()", True),
        ("empty in (,x)", True),
        ("empty=", True),
        ("empty", True),
        ("size>4", True),
        ("size<5", False),
        ("app>4", False),
        ("gone>4", False),
    ],
)
def test_text_selects(text: str, matches: bool) -> None:
    assert parse(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("b=1,a==2", "a==2,b=1"),
        ("k in (c,a,,b)", "k in (,a,b,c)"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("x>3,!y", "x>3,!y"),
        ("a notin()", "a notin ()"),
    ],
)
def test_a_selector_is_written_sorted(text: str, written: str) -> None:
    assert str(parse(text)) == written
    assert str(parse(written)) == written


NAME = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("-a=b", f'unable to parse requirement: <nil>: Invalid value: "-a": {NAME}'),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ],
)
def test_errors_are_kubernetes_own(text: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole text is compared
        parse(text)
    assert str(caught.value) == error


def test_long_and_ill_formed_values_are_refused() -> None:
    with pytest.raises(ValueError, match="must be no more than 63 characters"):
        parse("a=" + "b" * 64)
    with pytest.raises(ValueError, match=r"values\[0\]\[a\]: Invalid value: \"-\": a valid label must be"):
        parse("a=-")
    assert selectors.key_faults("x/y/z")[0].endswith("(e.g. 'example.com/MyName')")
    assert selectors.key_faults("/a") == ["prefix part must be non-empty"]
    assert selectors.key_faults("example.com/" + "a" * 64) == ["name part must be no more than 63 characters"]
    assert selectors.key_faults("example.com/a") == []
    assert selectors.value_faults("") == []


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "api"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "gone", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_objects_select(selector: dict[str, Any] | None, matches: bool) -> None:
    assert from_object(selector).matches(LABELS) is matches


def test_objects_are_checked() -> None:
    with pytest.raises(ValueError, match='"Near" is not a valid label selector operator'):
        from_object({"matchExpressions": [{"key": "a", "operator": "Near"}]})
    with pytest.raises(
        ValueError, match=r"values: Invalid value: \[\]string\{\}: for 'in', 'notin' operators"
    ):
        from_object({"matchExpressions": [{"key": "a", "operator": "In", "values": []}]})
    with pytest.raises(ValueError, match="values set must be empty"):
        from_object({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]})


def test_everything_and_nothing() -> None:
    assert EVERYTHING.matches(None)
    assert EVERYTHING.empty
    assert not NOTHING.matches(LABELS)
    assert not NOTHING.empty
    assert from_labels({"app": "web", "tier": "front"}).matches(LABELS)
    assert not from_labels({"app": "web", "tier": "back"}).matches(LABELS)


def test_fields() -> None:
    assert parse_fields("metadata.name=a,spec.nodeName!=b,status.phase==Running") == (
        ("metadata.name", "=", "a"),
        ("spec.nodeName", "!=", "b"),
        ("status.phase", "=", "Running"),
    )
    assert parse_fields(r"a=x\,y\=z\\") == (("a", "=", r"x,y=z\\"[:-1]),)
    assert parse_fields("") == ()
    assert parse_fields(",a=") == (("a", "=", ""),)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_field_errors(text: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole text is compared
        parse_fields(text)
    assert str(caught.value) == error


@given(st.text(alphabet="ab/-.=!<>(), \tin\0é", max_size=20))
def test_any_text_is_a_selector_or_an_error(text: str) -> None:
    try:
        expr = parse(text)
    except ValueError:
        return
    assert parse(str(expr)) == expr
    expr.matches(LABELS)


@given(st.text(max_size=20))
def test_any_text_is_a_field_selector_or_an_error(text: str) -> None:
    try:
        parse_fields(text)
    except ValueError:
        return
