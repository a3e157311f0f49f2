"""Sets of field paths, on FieldsV1 as it is stored."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.keep import fields
from fairlead.keep.fields import Fields
from fairlead.keep.nodes import Node

TEXT = Node("scalar", scalar="string")
ITEM = Node("struct", fields=lambda: {"name": TEXT, "image": TEXT}, struct="Item")
LIST = Node("list", items=lambda: ITEM, list_type="map", keys=("name",))
WHOLE = Node("list", items=lambda: TEXT)
MAP = Node("map", items=lambda: TEXT)
SPEC = Node("struct", fields=lambda: {"items": LIST, "whole": WHOLE, "labels": MAP}, struct="Spec")
THING = Node("struct", fields=lambda: {"spec": SPEC}, struct="Thing")

KEYS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"'])


def _sets(leaves: st.SearchStrategy[Fields]) -> st.SearchStrategy[Fields]:
    def extended(inner: st.SearchStrategy[Fields]) -> st.SearchStrategy[Fields]:
        children = st.dictionaries(KEYS, inner, min_size=1, max_size=3)
        return children | children.map(lambda found: {".": {}, **found})

    return st.dictionaries(KEYS, st.recursive(leaves, extended, max_leaves=6), max_size=3)


SETS = _sets(st.just({}))


def members(found: Fields) -> set[tuple[str, ...]]:
    return set(fields.paths(found))


@given(SETS, SETS)
def test_sets_are_sets_of_their_paths(left: Fields, right: Fields) -> None:
    assert members(fields.union(left, right)) == members(left) | members(right)
    assert members(fields.intersection(left, right)) == members(left) & members(right)
    assert members(fields.difference(left, right)) == members(left) - members(right)


@given(SETS)
def test_paths_are_what_is_contained(found: Fields) -> None:
    for path in fields.paths(found):
        assert fields.contains(found, path)
        assert not fields.contains(found, (*path, "f:zz"))
    assert not fields.contains(found, ())


@given(SETS)
def test_what_is_written_can_be_read(found: Fields) -> None:
    assert members(fields.parsed(fields.ordered(found))) == members(found)


def test_keys_are_sorted_when_written() -> None:
    written = fields.ordered({"f:b": {"f:z": {}, ".": {}}, "f:a": {}})
    assert list(written) == ["f:a", "f:b"]
    assert list(written["f:b"]) == [".", "f:z"]


def test_paths_as_people_read_them() -> None:
    path = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', 'v:"a"', "f:name", "i:3")
    assert fields.path_text(path) == '.spec[containerPort=80,protocol="TCP"][="a"].name[3]'


def test_what_a_client_sends_is_put_in_form() -> None:
    sent: dict[str, Any] = {"f:a": {'k:{"b": 1, "a": "x"}': {".": {}}}, "x:unknown": {}}
    assert fields.parsed(sent) == {"f:a": {'k:{"a":"x","b":1}': {}}}


@pytest.mark.parametrize("sent", [[], {"a": {}}, {"k:[]": {}}, {"k:{": {}}, {"f:a": 1}])
def test_what_is_no_set_is_refused(sent: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        fields.parsed(sent)


def test_structs_around_a_field_count_as_owned() -> None:
    found: Fields = {"f:spec": {"f:items": {'k:{"name":"x"}': {"f:image": {}}}, "f:labels": {"f:a": {}}}}
    assert fields.with_named(found, THING) == {
        "f:spec": {
            ".": {},
            "f:items": {".": {}, 'k:{"name":"x"}': {"f:image": {}}},
            "f:labels": {".": {}, "f:a": {}},
        }
    }


def test_what_became_atomic_is_owned_whole() -> None:
    found: Fields = {"f:spec": {"f:whole": {'v:"a"': {}}, "f:labels": {"f:a": {}}}}
    assert fields.reconciled(found, THING) == {"f:spec": {"f:whole": {}, "f:labels": {"f:a": {}}}}
    same: Fields = {"f:spec": {"f:labels": {"f:a": {}}}}
    assert fields.reconciled(same, THING) is same


def test_bottomless_sets_are_refused() -> None:
    deep: Fields = {}
    for _ in range(5000):
        deep = {"f:a": deep}
    with pytest.raises(ValueError, match="nested too deeply"):
        fields.parsed(deep)
