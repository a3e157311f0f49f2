"""Bodies are decoded, or refused with their place."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.faces.kube import bodies
from fairlead.keep.errors import Refusal


def test_json_and_yaml() -> None:
    expected = {"a": 1, "b": [True, None]}
    assert bodies.decode(b'{"a":1,"b":[true,null]}', "application/json", "Pod") == expected
    assert bodies.decode(b"a: 1\nb: [true, null]\n", "application/yaml", "Pod") == expected
    assert bodies.decode(b"{}", "", "Pod") == {}
    assert bodies.decode(b"{}", "application/json; charset=utf-8", "Pod") == {}


def test_yaml_reads_as_kubernetes_reads_it() -> None:
    text = b"date: 2024-01-01\ntime: 12:30\nyes: no\noctal: 0o17\n1: one\nexp: 1e3\nbase: &b {x: 1}\ncopy: {<<: *b, y: 2}\n"
    found = bodies.decode(text, "application/yaml", "ConfigMap")
    assert found["date"] == "2024-01-01"
    assert found["time"] == "12:30"
    assert found["true"] is False
    assert found["1"] == "one"
    assert found["copy"] == {"x": 1, "y": 2}


def test_broken_json_is_400_with_its_place() -> None:
    with pytest.raises(Refusal, match=r"must be of type Pod.*line 1 column 6") as told:
        bodies.decode(b'{"a":]', "application/json", "Pod")
    assert told.value.code == 400


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"a: [1\nb: 2\n", "line 2, column 2"),
        (b"a: 1\na: 2\n", 'key "a" already set in map'),
        (b"a: !!python/object:os.system x\n", "line 1"),
        (b"? [1, 2]\n: x\n", "a key is not a string"),
        (b"a: 1\n---\nb: 2\n", "line 2"),
        (b"\x00", "yaml: "),
        (b"\xff\xfe\x00\x01\x02", "yaml: "),
    ],
)
def test_broken_yaml_is_400_with_its_place(text: bytes, place: str) -> None:
    with pytest.raises(Refusal) as told:
        bodies.decode(text, "application/yaml", "Pod")
    assert told.value.code == 400
    assert place in told.value.message


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(Refusal, match="excessive aliasing"):
        bodies.decode("\n".join(lines).encode(), "application/yaml", "Pod")


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"a":' * 100_000, b"- " * 100_000, b'{"a":[' * 99 + b"1" + b"]}" * 99]
)
@pytest.mark.parametrize("media", ["application/json", "application/yaml"])
def test_deep_nesting_is_refused(text: bytes, media: str) -> None:
    with pytest.raises(Refusal) as told:
        bodies.decode(text, media, "Pod")
    assert told.value.code == 400


def test_unknown_media_types_are_415() -> None:
    with pytest.raises(Refusal, match="accepted media types include: application/json") as told:
        bodies.decode(b"x", "text/plain", "Pod")
    assert told.value.code == 415
    with pytest.raises(Refusal, match="include: application/json-patch") as told:
        bodies.patch_type("application/json")
    assert told.value.code == 415


def test_undecodable_protobuf() -> None:
    proto = "application/vnd.kubernetes.protobuf"
    with pytest.raises(Refusal, match="does not appear to be a protobuf message") as told:
        bodies.decode(b"nonsense", proto, "Pod")
    assert told.value.code == 400
    with pytest.raises(Refusal, match=r"include: application/json, application/yaml$") as told:
        bodies.decode(b"k8s\0", proto, "Boat", accept_protobuf=False)
    assert told.value.code == 415


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"a": {"b" : 1, "b": 2}}', ['duplicate field "a.b"']),
        (b'{"a": "\\"b\\":", "c": 1}', []),
        (b'{"a": "\\u0022:", "b": 1, "b": 2}', ['duplicate field "b"']),
        (b'{"a": "\\"\\u003a", "b": 1, "b": 2}', ['duplicate field "b"']),
        (b'{"a": "\\"  :", "a": "\\" :"}', ['duplicate field "a"']),
        (b'{"\\u0061": 1, "a": 2}', ['duplicate field "a"']),
        (b'{"a": ["\\"", {":": ":"}]}', []),
    ],
)
def test_keys_that_come_twice_are_told(text: bytes, told: list[str]) -> None:
    assert bodies.repeated(text, "application/json", bodies.from_json(text)) == told


def test_keys_that_come_twice_are_told_of_json_only() -> None:
    assert bodies.repeated(b"a: 1", "application/yaml", {"a": 1}) == []


@given(
    st.binary(max_size=200), st.sampled_from(["application/json", "application/yaml", "", "application/x"])
)
def test_any_bytes_are_decoded_or_refused(text: bytes, media: str) -> None:
    with contextlib.suppress(Refusal):
        bodies.repeated(text, media, bodies.decode(text, media, "Pod"))
