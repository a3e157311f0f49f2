"""Typed values: what holds when layers and defaults come together, and every word that is said of what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.render.packages import Layer, Mistaken
from fairlead.render.values import ValuesType, deprecations, secrets, settle, type_of
from fairlead.tongues import yamls

CASES = yamls.load((Path(__file__).parent / "cases" / "typed_errors_values.yaml").read_text())


def group(**fields: Any) -> ValuesType:
    return type_of({"type": "group", "fields": fields})


def settled(made: ValuesType, *files: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
    layers = [Layer(f"{number}.yaml", text) for number, text in enumerate(files)]
    return settle(made, [*layers, *(Layer("--set", text, "set") for text in options)])


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
def test_what_is_wrong_is_said_exactly_so(case: dict[str, Any]) -> None:
    layers = [Layer("values.yaml", case["file"])] if "file" in case else []
    layers += [Layer("--set", text, "set") for text in case.get("set", [])]
    with pytest.raises(Mistaken) as caught:
        settle(type_of(CASES["type"]), layers)
    assert [str(one) for one in caught.value.mistakes] == case["says"]
    assert "hunter2" not in str([one.excerpt for one in caught.value.mistakes])


def test_there_are_many_cases() -> None:
    assert len(CASES["cases"]) >= 40


def test_defaults_fill_what_nobody_says() -> None:
    made = group(
        a={"type": "integer", "default": 1},
        b={"type": "group", "fields": {"c": {"type": "text"}, "d": {"type": "port", "default": 80}}},
        e={"type": "listing", "of": {"type": "text"}},
        f={"type": "mapping", "of": {"type": "text"}, "default": {"x": "1"}},
        g={"type": "group", "nullable": True, "fields": {"h": {"type": "text", "required": True}}},
    )
    assert settled(made) == {"a": 1, "b": {"c": None, "d": 80}, "e": [], "f": {"x": "1"}, "g": None}
    assert settled(made, "g: {h: x}\n")["g"] == {"h": "x"}


def test_layers_merge_as_helm_merges_them() -> None:
    made = group(
        m={"type": "mapping", "of": {"type": "text"}, "default": {"x": "1", "y": "2"}},
        i={"type": "listing", "of": {"type": "integer"}, "default": [1]},
        a={"type": "anything", "default": {"k": {"l": 1}}},
    )
    found = settled(made, "m: {z: '3'}\na: {k: {n: 2}}\n", "m: {x: ~}\ni: [4, 5]\n", options=("i[0]=9",))
    assert found == {"m": {"y": "2", "z": "3"}, "i": [9, 5], "a": {"k": {"l": 1, "n": 2}}}


def test_null_takes_back_what_was_said_and_is_a_value_where_it_may_be() -> None:
    made = group(
        a={"type": "integer", "default": 1},
        b={"type": "integer", "default": 1, "nullable": True},
        c={"type": "group", "fields": {"d": {"type": "integer", "default": 3}}},
    )
    assert settled(made, "a: 5\nb: 5\nc: {d: 7}\n", "a: ~\nb: ~\nc: ~\n") == {
        "a": 1,
        "b": None,
        "c": {"d": 3},
    }


def test_a_default_of_a_group_lies_over_those_of_its_fields() -> None:
    fields = {"x": {"type": "integer", "default": 1}, "y": {"type": "integer", "default": 2}}
    made = group(g={"type": "group", "fields": fields, "default": {"x": 7}})
    assert settled(made) == {"g": {"x": 7, "y": 2}}
    assert settled(made, "g: {y: 5}\n") == {"g": {"x": 7, "y": 5}}


def test_amounts_given_as_numbers_are_texts() -> None:
    assert settled(group(cpu={"type": "quantity"}), "cpu: 0.5\n") == {"cpu": "0.5"}


def test_an_open_group_lets_others_pass() -> None:
    made = group(g={"type": "group", "open": True, "fields": {"a": {"type": "integer"}}})
    assert settled(made, "g: {b: 1}\n") == {"g": {"a": None, "b": 1}}


def test_the_last_layer_that_says_it_is_to_blame() -> None:
    made = group(a={"type": "integer"})
    with pytest.raises(Mistaken, match=r"1\.yaml:2:4: \.a: must be"):
        settled(made, "a: 1\n", "\na: x\n")
    assert settled(made, "a: x\n", "a: 1\n") == {"a": 1}


def test_what_is_deprecated_and_what_is_secret_is_found() -> None:
    made = group(
        old={"type": "text", "deprecated": "use new"},
        keys={"type": "mapping", "of": {"type": "secret_text"}},
    )
    layers = [Layer("v.yaml", "keys: {a: s3cret}\nold: x\n")]
    assert [(str(where), text) for where, text in deprecations(made, layers)] == [
        ("v.yaml:2 .old", "use new")
    ]
    assert secrets(made, settle(made, layers)) == ["s3cret"]


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"type": "txt"}, "Values.a: there is no type txt; did you mean text?"),
        ("hello", 'Values.a: a type of values is due, such as text() or integer(), is the text "hello"; write text(default = "hello")'),
        ({"type": "integer", "defualt": 1}, "Values.a: integer takes no defualt; did you mean default?"),
        ({"type": "port", "default": "80"}, 'Values.a: the default must be a port, a whole number from 1 to 65535, is the text "80"; write 80, without quotes'),
        ({"type": "choice"}, 'Values.a: a choice has something to choose from; write choice("one", "two")'),
        ({"type": "text", "pattern": "("}, 'Values.a: "(" is no regular expression: missing ): ('),
        ({"type": "integer", "minimum": 3, "examples": [1]}, "Values.a: the example must be at least 3, is 1"),
        ({"type": "text", "required": True, "default": "x"}, "Values.a: is required and has a default: it can only be one of both"),
        ({"type": "listing", "of": {"type": "integer"}, "default": ["x"]}, 'Values.a[0]: the default must be a whole number, is the text "x"'),
    ],
)  # fmt: skip
def test_what_an_author_declares_wrongly(tree: Any, said: str) -> None:
    with pytest.raises(Mistaken) as caught:
        group(a=tree)
    assert str(caught.value) == said


def test_a_declaration_is_pointed_at() -> None:
    tree = {"type": "group", "fields": {"a": {"type": "txt", "where": "module.star:7"}}}
    with pytest.raises(Mistaken, match=r"^module\.star:7: Values\.a: "):
        type_of(tree)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["web", "port", "ports", "host", "name", "x"]), inner, max_size=3
            )
        ),
        max_leaves=12,
    )
)
def test_no_values_break_it(value: Any) -> None:
    made = type_of(CASES["type"])
    try:
        found = settle(made, [Layer("v.yaml", yamls.dump(value))])
    except Mistaken:
        return
    assert settle(made, [Layer("v.yaml", yamls.dump(found))]) == found
