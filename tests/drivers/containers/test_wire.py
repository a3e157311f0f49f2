from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drivers.containers import messages, records
from fairlead.drivers.containers.wire import WireError, decode, encode


@dataclass(slots=True)
class Inner:
    number: Annotated[int, 1] = 0
    text: Annotated[str, 2] = ""


@dataclass(slots=True)
class Less:
    text: Annotated[str, 3] = ""


@dataclass(slots=True)
class Outer:
    number: Annotated[int, 1] = 0
    flag: Annotated[bool, 2] = False
    text: Annotated[str, 3] = ""
    data: Annotated[bytes, 4] = b""
    inner: Annotated[Inner | None, 5] = None
    texts: Annotated[tuple[str, ...], 6] = ()
    numbers: Annotated[tuple[int, ...], 7] = ()
    inners: Annotated[tuple[Inner, ...], 16] = ()
    pairs: Annotated[dict[str, str], 2000] = field(default_factory=dict)


def _peer() -> tuple[Any, Any]:
    """The same messages for Google's own implementation."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="wire.proto", package="wire", syntax="proto3")
    inner = file.message_type.add(name="Inner")
    outer = file.message_type.add(name="Outer")
    entry = outer.nested_type.add(name="PairsEntry")
    entry.options.map_entry = True
    one, many = types.LABEL_OPTIONAL, types.LABEL_REPEATED
    for message, name, number, kind, label, of in (
        (inner, "number", 1, types.TYPE_INT64, one, ""),
        (inner, "text", 2, types.TYPE_STRING, one, ""),
        (entry, "key", 1, types.TYPE_STRING, one, ""),
        (entry, "value", 2, types.TYPE_STRING, one, ""),
        (outer, "number", 1, types.TYPE_INT64, one, ""),
        (outer, "flag", 2, types.TYPE_BOOL, one, ""),
        (outer, "text", 3, types.TYPE_STRING, one, ""),
        (outer, "data", 4, types.TYPE_BYTES, one, ""),
        (outer, "inner", 5, types.TYPE_MESSAGE, one, ".wire.Inner"),
        (outer, "texts", 6, types.TYPE_STRING, many, ""),
        (outer, "numbers", 7, types.TYPE_INT64, many, ""),
        (outer, "inners", 16, types.TYPE_MESSAGE, many, ".wire.Inner"),
        (outer, "pairs", 2000, types.TYPE_MESSAGE, many, ".wire.Outer.PairsEntry"),
    ):
        message.field.add(name=name, number=number, type=kind, label=label, type_name=of or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = message_factory.GetMessageClass
    return made(pool.FindMessageTypeByName("wire.Inner")), made(pool.FindMessageTypeByName("wire.Outer"))


PeerInner, PeerOuter = _peer()
numbers = st.integers(-(1 << 63), (1 << 63) - 1)
inners = st.builds(Inner, numbers, st.text())
outers = st.builds(
    Outer,
    numbers,
    st.booleans(),
    st.text(),
    st.binary(),
    st.none() | inners,
    st.lists(st.text()).map(tuple),
    st.lists(numbers).map(tuple),
    st.lists(inners).map(tuple),
    st.dictionaries(st.text(), st.text()),
)


def _as_peer(message: Outer) -> Any:
    def inner(item: Inner) -> Any:
        return PeerInner(number=item.number, text=item.text)

    return PeerOuter(
        number=message.number,
        flag=message.flag,
        text=message.text,
        data=message.data,
        inner=None if message.inner is None else inner(message.inner),
        texts=message.texts,
        numbers=message.numbers,
        inners=[inner(item) for item in message.inners],
        pairs=message.pairs,
    )


@given(outers)
def test_the_peer_reads_what_we_write_and_we_read_what_it_writes(message: Outer) -> None:
    peer = _as_peer(message)
    read = PeerOuter()
    read.ParseFromString(encode(message))
    assert read == peer
    assert decode(Outer, peer.SerializeToString()) == message


@given(st.binary())
def test_no_bytes_raise_anything_but_a_wire_error(data: bytes) -> None:
    try:
        decode(Outer, data)
    except WireError:
        return


def test_what_is_unknown_is_skipped() -> None:
    data = encode(Outer(number=5, text="kept", pairs={"a": "b"}))
    assert decode(Less, data) == Less("kept")
    fixed = b"\x09" + bytes(8) + b"\x15" + bytes(4)
    with pytest.raises(WireError):
        decode(Outer, fixed)


@pytest.mark.parametrize("module", [messages, records])
def test_every_message_can_be_written_and_read(module: Any) -> None:
    classes = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and item.__module__ == module.__name__
    ]
    assert classes
    for cls in classes:
        assert decode(cls, encode(cls())) == cls()


def test_a_field_without_a_number_is_refused() -> None:
    @dataclass
    class Bad:
        text: str = ""

    with pytest.raises(TypeError, match="text has no number"):
        encode(Bad())
