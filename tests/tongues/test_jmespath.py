"""The expression language: the specification's part against the library's own interpreter, and what Kyverno's is stricter about."""

from __future__ import annotations

import warnings
from typing import Any

import jmespath as peer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.tongues import jmespath
from fairlead.tongues.jmespath import BadExpression, Failed, Missing, NotFound

DATA: dict[str, Any] = {
    "a": {"b": {"c": 1}, "d": [1, 2, 3], "e": None, "with-dash": "x", "": "empty"},
    "list": [{"n": 1, "t": "x"}, {"n": 2, "t": "y"}, {"n": 3}, {"n": True, "t": None}],
    "nested": [[1, 2], [3, [4]], 5],
    "texts": ["b", "a", "c"],
    "numbers": [3, 1.5, 2],
    "objects": {"x": {"v": 1}, "y": {"v": 2}, "z": {}},
    "yes": True,
    "no": False,
    "nothing": None,
    "empty": [],
    "text": "héllo",
    "people": [{"name": "Bob", "age": 30}, {"name": "Al", "age": 25}],
}

EXPRESSIONS = """
@
a
a.b
a.b.c
a.b.c.d
a."with-dash"
a.d[0]
a.d[-1]
a.d[9]
a.d[1:]
a.d[::-1]
a.d[:2]
a.d[::2]
a.d[5:]
list[*].n
list[*].t
list[].n
list[?n > `1`].n
list[?n >= `2`]
list[?n == `1`]
list[?n != `1`].n
list[?t == 'x'].n | [0]
list[?t]
list[?!t].n
list[?t && n < `2`]
list[?t || n == `3`].n
list[0].n
list[0:2].t
nested[]
nested[][]
nested[*][0]
nested[0][1]
objects.*.v
objects.* | [0]
*.b
a.*.c
people[*].[name, age]
people[*].{who: name, years: age}
{x: a.b.c, y: yes}
[a.b, no]
a.b || no
nothing || a.b.c
empty || texts
yes && no
yes && a.b.c
!yes
!empty
a.e
a | b
a.b | c
`1`
`"x"`
`{"a": [1, null]}`
'raw'
`true` == yes
`1` == yes
a.b == `{"c": 1}`
nothing == `null`
length(texts)
length(text)
length(a)
length(empty)
keys(objects)
values(objects)
sort(texts)
sort(numbers)
max(numbers)
min(texts)
sum(numbers)
avg(numbers)
avg(empty)
abs(`-2`)
ceil(`1.2`)
floor(`1.8`)
join('-', texts)
reverse(texts)
reverse(text)
contains(texts, 'a')
contains(text, 'llo')
contains(numbers, `2`)
starts_with(text, 'h')
ends_with(text, 'o')
map(&n, list)
sort_by(people, &age)[*].name
max_by(people, &age).name
min_by(people, &name).name
merge(a.b, `{"d": 2}`)
not_null(nothing, a.e, text)
to_array(text)
to_array(texts)
to_number('1.5')
to_number('x')
to_number(text)
type(nothing)
type(texts)
type(text)
type(a)
type(yes)
type(`1.5`)
texts[?@ != 'a']
numbers[?@ > `1.6`]
list[?n == `1`] | [0].t
(a.b || nothing).c
a.b.c == `1` && text == 'héllo'
list[?contains(t || '', 'x')].n
""".strip().splitlines()


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_the_specification_holds_as_in_the_library(text: str) -> None:
    assert jmespath.compile(text).search(DATA) == peer.search(text, DATA)


MISSING = [
    "zzz",
    "a.zzz",
    "a.b.c.zzz.y",
    "list[?zzz].n",
    "zzz[0]",
    "zzz[*].a",
    "a.d[9].x",
    "nothing.x",
    "text.x",
]


@pytest.mark.parametrize("text", MISSING)
def test_what_is_not_there_is_null_to_a_search(text: str) -> None:
    assert jmespath.compile(text).search(DATA) == peer.search(text, DATA)


@pytest.mark.parametrize(
    ("text", "key"),
    [("zzz", "zzz"), ("a.zzz", "zzz"), ("a.b.zzz.y", "zzz"), ("yes && zzz", "zzz"), ("zzz[0]", "zzz")],
)
def test_an_unknown_key_is_told(text: str, key: str) -> None:
    with pytest.raises(NotFound, match=f'Unknown key "{key}" in path'):
        jmespath.compile(text)(DATA)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.e", None),
        ("nothing.x", None),
        ("zzz || 'd'", "d"),
        ("zzz.y || 'd'", "d"),
        ("not_null(zzz, 'd')", "d"),
        ("zzz == `null`", True),
        ("!zzz", True),
        ("[zzz]", [None]),
        ("{k: zzz}", {"k": None}),
        ("zzz | @", None),
        ("zzz[*].a", None),
        ("list[*].zzz", []),
        ("to_string(zzz)", "null"),
        ("'b' < 'a'", None),
        ("yes > `0`", None),
        ("list[?n == `1`].n", [1]),
    ],
)
def test_an_unknown_key_is_null_to_everything_else(text: str, value: Any) -> None:
    assert jmespath.compile(text)(DATA) == value


def test_names_may_be_made_when_they_are_asked_for() -> None:
    class Lazy(dict[str, Any]):
        def __missing__(self, key: str) -> Any:
            return {"x": 1} if key == "made" else Missing(key, "it could not be had" if key == "hard" else "")

    data = Lazy(here=1)
    assert jmespath.compile("made.x")(data) == 1
    assert jmespath.compile("here")(data) == 1
    assert jmespath.compile("other || 'd'")(data) == "d"
    with pytest.raises(NotFound):
        jmespath.compile("other")(data)
    with pytest.raises(Failed, match="it could not be had"):
        jmespath.compile("hard.x")(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.",
        "a[",
        "a[?",
        "a ==",
        "foo(",
        "`x`",
        "'x",
        '"x',
        "a..b",
        "a b",
        "{a}",
        "&",
        "a[::0]",
        "#",
        "=",
        "(" * 900,
        "1" * 5000,
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(BadExpression):
        jmespath.compile(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("length(`1`)", 'invalid type for: 1, expected: \\[\\]jmespath.JpType{"string", "array", "object"}'),
        ("length(zzz)", "invalid type for: <nil>"),
        ("nobody(a)", "unknown function: nobody"),
        ("length(a, b)", "incorrect number of args"),
        ("sort_by(list, &t)", "invalid type"),
        ("sort_by(people, &@)", "invalid type"),
        ("join(',', numbers)", "invalid type"),
    ],
)
def test_what_fails_says_why(text: str, message: str) -> None:
    with pytest.raises(Failed, match=message):
        jmespath.compile(text)(DATA)


def test_true_is_not_one_however_deep() -> None:
    data = {"a": [1, {"b": 0}], "b": [True, {"b": False}], "c": [1.0, {"b": 0}]}
    assert jmespath.compile("a == b")(data) is False
    assert jmespath.compile("a == c")(data) is True


def test_json_is_written_as_go_writes_it() -> None:
    data = {"v": {"b": [1.0, "<&>"], "a": None}}
    assert jmespath.compile("to_string(v)")(data) == '{"a":null,"b":[1,"\\u003c\\u0026\\u003e"]}'
    assert jmespath.sprint({"b": [1, True, None], "a": 1.5}) == "map[a:1.5 b:[1 true <nil>]]"


def deep() -> Any:
    made: Any = 1
    for _ in range(100_000):
        made = [made]
    return made


def test_data_that_is_too_deep_fails_alone() -> None:
    with pytest.raises(Failed):
        jmespath.compile("@[0] == @[1]")([deep(), deep()])


DOUBLED = " | ".join(["[@, @]"] * 60)


@pytest.mark.parametrize(
    "text",
    [
        f"{DOUBLED} | to_string(@)",
        f"{DOUBLED} | join(',', [to_string(@)])",
        f"({DOUBLED}) == ({DOUBLED})",
        " | ".join(["[@, @][]"] * 60),
        "'x' | " + " | ".join(["join('', [@, @])"] * 60),
        "'x' | " + " | ".join(["replace_all(@, 'x', 'xxxx')"] * 60),
        "'x' | " + " | ".join(["regex_replace_all('x', @, 'xxxx')"] * 60),
        "'x' | " + " | ".join(["base64_encode(@)"] * 200),
        "[@, @] | " + " | ".join(["map(&@, [@, @][])"] * 60),
    ],
)
def test_an_expression_that_grows_is_stopped(text: str) -> None:
    with pytest.raises(Failed, match=r"too (large|long|many)"):
        jmespath.compile(text)(DATA)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab.[]*?@&|!<>=(){}:,'\"`\\-012 \n", max_size=40) | st.text(max_size=30))
def test_random_text_is_an_expression_or_refused(text: str) -> None:
    try:
        expr = jmespath.compile(text)
    except BadExpression:
        return
    try:
        found = expr.search(DATA)
    except Failed:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted = peer.search(text, DATA)
        except Exception:  # noqa: BLE001  the library refuses what it does not know, in many ways
            return
    if not any(
        sign in text for sign in "<>()&"
    ):  # order of texts, functions and bare references differ on purpose
        assert found == wanted
