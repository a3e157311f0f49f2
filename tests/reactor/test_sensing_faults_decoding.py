"""Any bytes as records, and any as recordings: nothing but the documented error comes of them."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.dialects import falco
from fairlead.faces.cli import happenings
from fairlead.faces.cli.pens import Pen
from fairlead.reactor.sensing_recordings import BadRecording, Batch, Damage, Header, Recorder, frames
from fairlead.reactor.sensing_replaying import Replaying
from fairlead.reactor.sensing_steps import Options
from fairlead.sense import records
from fairlead.sense.events import Process
from fairlead.sense.fields import Around, Fields
from fairlead.sense.findings import Ledger, message_of
from fairlead.sense.judging import Engine
from fairlead.sense.processes import Processes
from fairlead.sense.records import Kind

RULES = """
- rule: All of it
  desc: Whatever there is to say of an event
  condition: evt.type in (open, openat, openat2, execve, execveat, connect, accept, accept4, sendto, socket, clone, fork, rename, mkdir, unlink, chmod, setuid, ptrace, memfd_create, mount, bpf, read, close, dup, procexit) and (proc.name != "" or proc.name = "" or not proc.aname[3] in (sh, bash))
  output: "%proc.name %proc.cmdline %proc.exepath %proc.aname[2] %proc.pname %fd.name %fd.sip %fd.sport %evt.args %evt.res %user.name %container.id %proc.cwd %proc.env %evt.arg.flags %proc.tty %thread.cap_effective"
  priority: WARNING
"""
FILES = [("own.yaml", RULES)]
KINDS = [
    *range(6),
    41,
    42,
    43,
    49,
    56,
    57,
    59,
    80,
    82,
    87,
    90,
    101,
    125,
    126,
    157,
    165,
    257,
    263,
    319,
    321,
    322,
    425,
    435,
    437,
    900,
    *(int(one) for one in Kind),
]


def fixed(size: int) -> st.SearchStrategy[bytes]:
    """A record whose kind and lengths are likely, and the rest is anything."""

    def made(kind: int, lens: list[int], flags: int, pid: int, raw: bytes) -> bytes:
        record = bytearray(raw.ljust(size, b"\0")[:size])
        struct.pack_into("<I", record, 40, pid)
        struct.pack_into("<HHI", record, 48, kind, 0, flags)
        struct.pack_into("<4H", record, 80, *lens)
        struct.pack_into("<Q", record, 0, struct.unpack_from("<Q", record)[0] % (1 << 50))
        return bytes(record)

    sizes = st.lists(st.sampled_from([0, 1, 15, 200, 241, 4096, 65535]), min_size=4, max_size=4)
    return st.builds(
        made, st.sampled_from(KINDS), sizes, st.integers(0, 511), st.integers(0, 5), st.binary(max_size=size)
    )


LONG = st.one_of(
    st.binary(max_size=260),
    st.builds(lambda head, rest: head + rest, fixed(records.CALL_SIZE), st.binary(max_size=900)),
)
BATCHES = st.lists(
    st.one_of(
        st.lists(fixed(records.CALL_SIZE), max_size=5).map(lambda found: ("calls", found)),
        st.lists(fixed(records.NAMED_SIZE), max_size=5).map(lambda found: ("named", found)),
        st.lists(LONG, max_size=5).map(lambda found: ("long", found)),
    ),
    max_size=4,
)


def batches(found: list[tuple[str, list[bytes]]]) -> list[Batch]:
    layouts = {"calls": records.CALL, "named": records.NAMED}
    return [
        Batch(ring, np.frombuffer(b"".join(raw), layouts[ring]) if ring in layouts else raw)
        for ring, raw in found
    ]


def engine() -> Engine:
    around = Around(processes=Processes(epoch=10**18))
    loaded = falco.load(FILES, fields=Fields(around))
    assert not loaded.findings, loaded.findings
    return Engine(loaded.rules, around)


@settings(max_examples=150, deadline=None)
@given(BATCHES, st.one_of(st.none(), st.integers(0, 1 << 51)))
def test_any_records_are_decoded_judged_and_told(
    found: list[tuple[str, list[bytes]]], until: int | None
) -> None:
    made = engine()
    ledger = Ledger("node")
    stream = happenings.Stream(Pen(colour=False), 100)
    for one in [*made.feed(batches(found), until), *made.feed([], None)]:
        stream.event(one.event)
        orjson.dumps(happenings.as_json(one.event))
        for detection in one.detections:
            ledger.add(detection)
            stream.detection(detection, message_of(detection))
            falco.json_line(detection, "stage")
            falco.line(detection)
    assert not made.errors, made.errors
    ledger.findings()
    assert all(line.isprintable() for line in stream.lines())


PLAN = engine().plan


def read(path: Path) -> None:
    """Read a recording to its end, alone and with rules."""
    try:
        found = list(frames(path))
    except BadRecording:
        with pytest.raises(BadRecording):
            Replaying(path, Options(files=FILES))
        return
    assert isinstance(found[0], Header)
    assert not any(isinstance(one, Damage) for one in found[:-1])
    replaying = Replaying(path, Options(files=FILES, always=True))
    told = [one.message for step in replaying.steps() for one in step.findings]
    assert len(told) == isinstance(found[-1], Damage)
    assert not replaying.engine.errors


def recording(path: Path, found: list[list[tuple[str, list[bytes]]]]) -> bytes:
    """Write a recording of batches, and return what it holds."""
    recorder = Recorder(path)
    hooks = dict(enumerate(PLAN.hooks, 1))
    recorder.header(Header(machine="x86_64", epoch=10**18, node="n", hooks=hooks))
    recorder.processes([Process(1), Process(2, 5)])
    for at, one in enumerate(found):
        recorder.batches((1 << 50) + at, batches(one))
    recorder.close()
    return gzip.decompress(path.read_bytes())


ONCE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ONCE
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_no_recording(tmp_path: Path, content: bytes, packed: bool) -> None:
    path = tmp_path / "any"
    path.write_bytes(gzip.compress(content) if packed else content)
    read(path)


@ONCE
@given(st.lists(BATCHES, max_size=3), st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6), st.integers(0, 1 << 20), st.booleans())  # fmt: skip
def test_recordings_with_wrong_bytes(
    tmp_path: Path, found: Any, wrong: list[tuple[int, int]], cut: int, outside: bool
) -> None:
    path = tmp_path / "any"
    content = bytearray(recording(path, found))
    if outside:
        content = bytearray(path.read_bytes())
    for at, value in wrong:
        content[at % len(content)] = value
    if cut % 3 == 0:
        del content[cut % len(content) :]
    path.write_bytes(content if outside else gzip.compress(content, 1))
    read(path)
