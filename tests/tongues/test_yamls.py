"""YAML as Kubernetes' tools read it, and what is written back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.tongues import yamls

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029\ufeff")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abyn01.-~ #:", max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert yamls.load(yamls.dump(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("n", "n"),
        ("0o17", 15),
        ("017", 15),
        ("1_000", 1000),
        ("2020-01-01", "2020-01-01"),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        ("~", None),
        ("'~'", "~"),
        ("{1: a, true: b, null: c}", {"1": "a", "true": "b", "null": "c"}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_scalars_and_keys_mean_what_they_mean_to_kubernetes(text: str, value: Any) -> None:
    assert yamls.load(text) == value


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("a: 1\nb: 2\na: 3", 'the key "a" is written twice in one mapping', (3, 1)),
        ("a: &a [*a]", "found unconstructable recursive node", (1, 4)),
        ("? [a]\n: 1", "a key must be a text", (1, 3)),
        ("a: 1\n---\nb: 2", "2 documents where one is expected", (0, 0)),
        ("[" * 200 + "]" * 200, "nested more than 100 levels deep, or contains itself", (0, 0)),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, message: str, place: tuple[int, int]) -> None:
    with pytest.raises(yamls.BadYaml) as caught:
        yamls.load(text)
    assert caught.value.message == message
    assert (caught.value.line, caught.value.column) == place


def test_aliases_cannot_grow_without_end() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(yamls.BadYaml, match="once its aliases are expanded"):
        yamls.load("\n".join(lines))


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[" * 50_000 + "]" * 50_000, "- " * 100_000 + "x", "{a: " * 100_000, "? " * 100_000],
)
def test_what_would_overflow_the_stack_is_not_read(text: str) -> None:
    with pytest.raises(yamls.BadYaml, match="nested more than 100 levels deep"):
        yamls.load_all(text)
    with pytest.raises(yamls.BadYaml):
        yamls.check_depth(text)


def test_what_is_long_is_not_deep() -> None:
    for text in (
        "a: " + "[" + "[1]," * 5000 + "]",
        "a: " + "x" * 100_000,
        'a: "' + "{" * 5000 + '"',
        "# " + "[" * 5000,
    ):
        yamls.check_depth(text)
        yamls.load_all(text)
