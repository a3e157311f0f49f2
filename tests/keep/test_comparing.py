"""How objects differ and are laid over one another, on types made by hand."""

from typing import Any

import pytest

from fairlead.keep.comparing import Mistyped, compare, element, merged, owned, without, without_nulls
from fairlead.keep.nodes import Node, untyped

TEXT = Node("scalar", scalar="string")
NUMBER = Node("scalar", scalar="int32")
SET = Node("list", items=lambda: TEXT, list_type="set")
ITEM = Node("struct", fields=lambda: {"name": TEXT, "port": NUMBER, "tags": SET}, struct="Item")
ITEMS = Node("list", items=lambda: ITEM, list_type="map", keys=("name",))
THING = Node(
    "struct",
    fields=lambda: {
        "text": TEXT,
        "set": SET,
        "items": ITEMS,
        "plain": Node("list", items=lambda: TEXT),
        "labels": Node("map", items=lambda: TEXT),
        "whole": Node("map", items=lambda: TEXT, map_type="atomic"),
        "any": untyped,
    },
    struct="Thing",
)
A, B = 'k:{"name":"a"}', 'k:{"name":"b"}'


def items(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, **more} for name in names]


DIFFERENCES: dict[str, tuple[Any, Any, Any, Any]] = {
    "nothing": ({"text": "x"}, {"text": "x"}, {}, {}),
    "a scalar": ({"text": "x"}, {"text": "y"}, {"f:text": {}}, {}),
    "a scalar gone": ({"text": "x"}, {}, {}, {"f:text": {}}),
    "a set": ({"set": ["a", "b"]}, {"set": ["b", "c"]}, {"f:set": {'v:"c"': {}}}, {"f:set": {'v:"a"': {}}}),
    "the order of a set": ({"set": ["a", "b"]}, {"set": ["b", "a"]}, {}, {}),
    "an atomic list": ({"plain": ["a"]}, {"plain": ["a", "b"]}, {"f:plain": {}}, {}),
    "an atomic map": ({"whole": {"a": "1"}}, {"whole": {}}, {"f:whole": {}}, {}),
    "a map": (
        {"labels": {"a": "1"}},
        {"labels": {"b": "1"}},
        {"f:labels": {"f:b": {}}},
        {"f:labels": {"f:a": {}}},
    ),
    "a map come": ({}, {"labels": {"a": "1"}}, {"f:labels": {".": {}, "f:a": {}}}, {}),
    "a map emptied and null": ({"labels": {}}, {"labels": None}, {"f:labels": {}}, {}),
    "an item": (
        {"items": items("a", port=1)},
        {"items": items("a", port=2) + items("b")},
        {"f:items": {A: {"f:port": {}}, B: {".": {}, "f:name": {}}}},
        {},
    ),
    "an item gone": ({"items": items("a")}, {"items": []}, {}, {"f:items": {A: {".": {}, "f:name": {}}}}),
    "duplicates come": (
        {"items": items("a")},
        {"items": items("a", "a")},
        {"f:items": {A: {}}},
        {"f:items": {A: {".": {}, "f:name": {}}}},
    ),
    "duplicates go": (
        {"items": items("a", "a")},
        {"items": items("a")},
        {"f:items": {A: {".": {}, "f:name": {}}}},
        {"f:items": {A: {}}},
    ),
    "duplicates change": (
        {"items": items("a", "a")},
        {"items": items("a", "a", port=1)},
        {"f:items": {A: {}}},
        {},
    ),
    "items without their key": ({"items": [{}]}, {"items": items("a")}, {"f:items": {}}, {}),
    "a deduced map": ({"any": {"x": 1}}, {"any": {"x": 2}}, {"f:any": {"f:x": {}}}, {}),
    "a deduced type": ({"any": {"x": 1}}, {"any": "s"}, {"f:any": {}}, {"f:any": {"f:x": {}}}),
    "a deduced type the other way": ({"any": "s"}, {"any": {"x": 1}}, {"f:any": {".": {}, "f:x": {}}}, {}),
    "a deduced list": ({"any": [1]}, {"any": [1, 2]}, {"f:any": {}}, {}),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences(name: str) -> None:
    old, new, changed, removed = DIFFERENCES[name]
    assert compare(old, new, THING) == (changed, removed)


def test_what_go_always_writes_is_no_change() -> None:
    spec = Node("struct", fields=lambda: {"template": untyped, "strategy": untyped}, struct="DeploymentSpec")
    assert compare({}, {"template": {}, "strategy": {}}, spec) == ({}, {})
    assert compare({"strategy": {}}, {"strategy": {"type": "x"}}, spec) == (
        {"f:strategy": {"f:type": {}}},
        {},
    )


@pytest.mark.parametrize(
    ("live", "applied", "expected"),
    [
        ({"text": "x"}, {}, {"text": "x"}),
        ({"text": "x"}, {"text": "y"}, {"text": "y"}),
        ({"labels": {"a": "1"}}, {"labels": {"b": "2"}}, {"labels": {"a": "1", "b": "2"}}),
        ({"labels": {"a": "1"}}, {"labels": {}}, {"labels": {"a": "1"}}),
        ({"whole": {"a": "1"}}, {"whole": {"b": "2"}}, {"whole": {"b": "2"}}),
        ({"plain": ["a"]}, {"plain": ["b"]}, {"plain": ["b"]}),
        ({"set": ["a", "b", "c"]}, {"set": ["c", "d", "a"]}, {"set": ["b", "c", "d", "a"]}),
        ({"set": ["a"]}, {"set": []}, {"set": ["a"]}),
        ({"set": []}, {"set": None}, {"set": None}),
        (
            {"items": items("a", port=1)},
            {"items": items("b", "a")},
            {"items": items("b") + items("a", port=1)},
        ),
        ({"any": {"a": 1}}, {"any": None}, {"any": {"a": 1}}),
        ({"any": {"a": 1}}, {"any": [1]}, {"any": [1]}),
    ],
)
def test_laying_over(live: Any, applied: Any, expected: Any) -> None:
    assert merged(live, applied, THING) == expected


def test_a_laid_over_object_shares_nothing() -> None:
    live, applied = {"items": items("a", tags=["x"])}, {"labels": {"a": "1"}}
    found = merged(live, applied, THING)
    found["items"][0]["tags"].append("y")
    found["labels"]["b"] = "2"
    assert (live, applied) == ({"items": items("a", tags=["x"])}, {"labels": {"a": "1"}})


def test_taking_away() -> None:
    value = {"text": "x", "labels": {"a": "1", "b": "2"}, "items": items("a", "b", port=1), "set": ["a"]}
    gone: dict[str, Any] = {
        "f:text": {},
        "f:labels": {"f:a": {}},
        "f:items": {A: {}, B: {"f:port": {}}},
        "f:set": {'v:"a"': {}},
    }
    left = without(value, THING, gone)
    assert left == {"labels": {"b": "2"}, "items": [{"name": "b"}], "set": None}
    assert without_nulls(left, THING) == {"labels": {"b": "2"}, "items": [{"name": "b"}]}
    assert without({"text": "x"}, THING, {"f:text": {}}) is None


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        ({"set": "x"}, [(".set", "expected list, got &{x}")]),
        ({"labels": [1]}, [(".labels", "expected map, got &{[1]}")]),
        (
            {"whole": {"a": {}}},
            [(".whole.a", "expected string, got &value.valueUnstructured{Value:map[string]interface {}{}}")],
        ),
        ({"plain": [1]}, [(".plain[0]", "expected string, got &value.valueUnstructured{Value:1}")]),
        (
            {"set": [None]},
            [(".set", "element 0: associative list without keys has an element that's an explicit null")],
        ),
        (
            {"items": ["a"]},
            [(".items", "element 0: associative list with keys may not have non-map elements")],
        ),
        (
            {"items": items("a", port="x")},
            [('.items[name="a"].port', "expected numeric (int or float), got string")],
        ),
    ],
)
def test_what_does_not_fit(value: Any, faults: Any) -> None:
    with pytest.raises(Mistyped) as caught:
        owned(value, THING)
    assert list(caught.value.faults) == faults


def test_keys_of_items_are_sorted() -> None:
    node = Node("list", items=lambda: ITEM, list_type="map", keys=("port", "name"), key_defaults={"port": 80})
    assert element({"name": "a"}, node) == 'k:{"name":"a","port":80}'
