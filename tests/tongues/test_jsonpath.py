"""JSONPath as kubectl understands it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.tongues.jsonpath import column, parse

DOCUMENT = {
    "kind": "List",
    "items": [
        {"name": "a", "size": 1, "ready": True, "at": {"zone": "x"}},
        {"name": "b", "size": 2, "tags": ["p", "q", "r", "s"]},
        {"name": "c", "size": 3.5},
    ],
    "metadata": {"labels": {"app.kubernetes.io/name": "web", "a b": "c"}, "empty": None},
    "big": 1234567.0,
    "html": {"t": "<&>"},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{.kind}", "List"),
        ("kind is {.kind}!", "kind is List!"),
        ("{$.kind}{@.kind}", "ListList"),
        ("{.items[*].name}", "a b c"),
        ("{.items[0].name}", "a"),
        ("{.items[-1].name}", "c"),
        ("{.items[1:].name}", "b c"),
        ("{.items[:2].name}", "a b"),
        ("{.items[::2].name}", "a c"),
        ("{.items[-2:].name}", "b c"),
        ("{.items[0,2].name}", "a c"),
        ("{.items[*]['name','size']}", "a b c 1 2 3.5"),
        (r"{.metadata.labels.app\.kubernetes\.io/name}", "web"),
        ("{..zone}", "x"),
        ('{.items[?(@.name=="b")].size}', "2"),
        ("{.items[?(@.size>1)].name}", "b c"),
        ("{.items[?(@.tags)].name}", "b"),
        ("{.items[?(@.ready==true)].name}", "a"),
        ('{.items[?(@.name!="b")].name}', "a c"),
        ('{.items[?(@.at.zone=="x")].name}', "a"),
        ('{range .items[*]}{.name}={.size}{"\\n"}{end}', "a=1\nb=2\nc=3.5\n"),
        ("{range .items[*]}{range .tags[*]}{@},{end};{end}", ";p,q,r,s,;;"),
        ("{range .none[*]}{.name}{end}done", "done"),
        ("{.items[0].at}", '{"zone":"x"}'),
        ("{.big}", "1.234567e+06"),
        ("{.html}", '{"t":"\\u003c\\u0026\\u003e"}'),
        ("{.none.deeper[0]}", ""),
        ("{.metadata.empty}", "<nil>"),
    ],
)
def test_what_a_template_prints(template: str, text: str) -> None:
    assert parse(template).render(DOCUMENT) == text


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{.kind", "unclosed action"),
        ("{.items[0}", "unterminated array"),
        ("{.items[x]}", "invalid array index x"),
        ("{.items[?(@.a]}", "unterminated filter"),
        ("{'open}", "unterminated quoted string"),
        ("{.a....b}", "invalid multiple recursive descent"),
        ("{end}", "not in range, nothing to end"),
        ("{nonsense}", "unrecognized identifier nonsense"),
        ("{;}", "unrecognized character in action: U+003B ';'"),
        ("{.items[?(@.a===1)]}", "unrecognized filter operator ==="),
    ],
)
def test_what_is_no_template(template: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole text is compared
        parse(template)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{.items[7]}", "array index out of bounds: index 7, length 3"),
        ("{.kind[0]}", "string is not array or slice"),
        ("{.metadata[?(@.a==1)]}", "is not array or slice and cannot be filtered"),
        ('{.items[?(@.size=="x")]}', "incompatible types for comparison"),
        ("{.items[*]['size'][0:1:0]}", "is not array or slice"),
    ],
)
def test_what_cannot_be_run(template: str, error: str) -> None:
    with pytest.raises(ValueError, match=error.replace("[", r"\[")):
        parse(template).render(DOCUMENT)


def test_missing_keys_can_be_refused() -> None:
    with pytest.raises(ValueError, match="none is not found"):
        parse("{.none}").find(DOCUMENT, allow_missing=False)


def test_a_printer_column_has_no_braces() -> None:
    assert column(".items[0].size").find(DOCUMENT) == [[1]]
    assert column(".none.at.all").find(DOCUMENT) == [[]]


@given(st.text(alphabet="{}.[]*?()@$\"'\\=<>!:,-0a\n rangeend", max_size=24))
def test_any_text_is_a_template_or_an_error(text: str) -> None:
    try:
        parse(text).render(DOCUMENT)
    except ValueError:
        return
