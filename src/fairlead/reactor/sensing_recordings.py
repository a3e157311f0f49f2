"""What the kernel told, kept in a file and read again: the same batches, processes and containers, so the same findings, on any machine.

A file is frames in a gzip stream: a letter, a length, and that many bytes. `H` what was recorded and on what machine; `P` processes that
ran; `C` a container, by its cgroup; `N` names of users and groups, and of hosts; `B` the batches of one read; `F` what the recorder held of a dead cgroup. A file that ends in the middle of a frame
gives what is whole, as one does whose writer was killed. Never judges; a file's content is data, and nothing in it is run.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import orjson

from fairlead.sense import records
from fairlead.sense.events import Container, Mount, Process
from fairlead.sense.fieldcode import Account
from fairlead.sense.plans import Arg, Clause, Hook, Op, Test, What

FORMAT: Final = "fairlead recording 1"
_FRAME: Final = struct.Struct("<cI")
_BATCH: Final = struct.Struct("<BI")
_LENGTH: Final = struct.Struct("<I")
_UNTIL: Final = struct.Struct("<Q")
_RINGS: Final = ("calls", "named", "long", "alerts")
LARGEST: Final = 256 << 20
"""Bytes of one frame at most."""
_LAYOUTS: Final = {"calls": records.CALL, "named": records.NAMED}
_LINKED: Final = frozenset({"parent", "container", "notes", "_args", "_env"})


class BadRecording(Exception):
    """The file is no recording, or of another make; the text says which."""


class Batch(NamedTuple):
    """As drivers.kernel.Batch."""

    ring: str
    records: Any


class Read(NamedTuple):
    """What one read of the kernel brought: batches, and the moment (ns since boot) at which the reading began."""

    until: int
    batches: Sequence[Batch]


class Flight(NamedTuple):
    """What the flight recorder held of a cgroup."""

    cgroup: int
    records: Sequence[bytes]


class Identified(NamedTuple):
    """A container, and its cgroup."""

    cgroup: int
    container: Container


class Names(NamedTuple):
    """Users and groups of a container ("": the host) by their numbers, and names of hosts by their packed addresses."""

    container: str
    users: Mapping[int, Account]
    groups: Mapping[int, str]
    hosts: Mapping[bytes, Sequence[str]]


Frame: TypeAlias = "Header | list[Process] | Identified | Names | Read | Flight"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What was recorded: the machine, when it booted (ns since the epoch), its own namespaces, and the hook behind each slot."""

    machine: str
    epoch: int
    node: str = ""
    namespaces: tuple[int, ...] = ()
    hooks: Mapping[int, Hook] = dataclasses.field(default_factory=dict)


class Recorder:
    """Writes a recording. Raises OSError as the file system does."""

    def __init__(self, path: Path) -> None:
        self._file = gzip.open(path, "wb", compresslevel=1)  # noqa: SIM115  closed by `close`
        self._told: dict[int, tuple[Any, ...]] = {}
        self._named: dict[str, Names] = {}

    def header(self, header: Header) -> None:
        """Write what is recorded; again whenever the hooks behind slots change."""
        content = {
            "format": FORMAT,
            "machine": header.machine,
            "epoch": header.epoch,
            "node": header.node,
            "namespaces": list(header.namespaces),
            "hooks": [[slot, _hook_out(hook)] for slot, hook in header.hooks.items()],
        }
        self._frame(b"H", orjson.dumps(content))

    def processes(self, processes: Sequence[Process]) -> None:
        """Write processes that run already."""
        self._frame(b"P", orjson.dumps([_process_out(one) for one in processes]))

    def container(self, cgroup: int, container: Container) -> None:
        """Write whose a cgroup is, unless that is written already."""
        state = dataclasses.astuple(container)
        if self._told.get(cgroup) != state:
            self._told[cgroup] = state
            content = {
                "cgroup": cgroup,
                **{one.name: getattr(container, one.name) for one in dataclasses.fields(Container)},
            }
            self._frame(b"C", orjson.dumps(content, default=list, option=orjson.OPT_NON_STR_KEYS))

    def names(self, names: Names) -> None:
        """Write what users, groups and hosts are called, unless that is written already."""
        if self._named.get(names.container) != names:
            self._named[names.container] = names
            hosts = [[address.hex(), list(called)] for address, called in names.hosts.items()]
            users = [[uid, list(one)] for uid, one in names.users.items()]
            content = [names.container, users, list(names.groups.items()), hosts]
            self._frame(b"N", orjson.dumps(content))

    def batches(self, until: int, batches: Sequence[Any]) -> None:
        """Write what one read brought."""
        out = io.BytesIO()
        out.write(_UNTIL.pack(until))
        for batch in batches:
            found = batch.records
            if isinstance(found, np.ndarray):
                pieces = [np.ascontiguousarray(found).tobytes()]
            else:
                pieces = [_LENGTH.pack(len(one)) + bytes(one) for one in found]
            size = sum(len(one) for one in pieces)
            out.write(_BATCH.pack(_RINGS.index(batch.ring), size))
            out.writelines(pieces)
        self._frame(b"B", out.getvalue())

    def flight(self, cgroup: int, raw: Sequence[bytes]) -> None:
        """Write what the flight recorder held of a cgroup."""
        self._frame(b"F", _UNTIL.pack(cgroup) + b"".join(raw))

    def close(self) -> None:
        """Write the end."""
        self._file.close()

    def _frame(self, letter: bytes, content: bytes) -> None:
        self._file.write(_FRAME.pack(letter, len(content)) + content)


def frames(path: Path) -> Iterator[Frame]:
    """Yield what a recording holds, in its order; the first is a Header. Raises BadRecording, OSError."""
    first = True
    try:
        with gzip.open(path, "rb") as file:
            while True:
                letter, content = _next(file)
                if not letter:
                    break
                found = _decoded(letter, content)
                if first and not isinstance(found, Header):
                    raise BadRecording(f"{path} is no recording")
                first = False
                if found is not None:
                    yield found
    except gzip.BadGzipFile as error:
        raise BadRecording(f"{path} is no recording") from error
    except (EOFError, zlib.error):
        pass  # its writer was killed: what came before is whole
    except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
        raise BadRecording(f"{path} is damaged: {error!r}") from error
    if first:
        raise BadRecording(f"{path} is empty")


def _next(file: gzip.GzipFile) -> tuple[bytes, bytes]:
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return b"", b""
    letter, size = _FRAME.unpack(head)
    if size > LARGEST:
        raise ValueError(f"a frame of {size} bytes")
    content = file.read(size)
    return (letter, content) if len(content) == size else (b"", b"")


def _decoded(letter: bytes, content: bytes) -> Frame | None:
    match letter:
        case b"H":
            return _header(orjson.loads(content))
        case b"P":
            return [_process_in(one) for one in orjson.loads(content)]
        case b"C":
            return _container_in(orjson.loads(content))
        case b"N":
            return _names_in(orjson.loads(content))
        case b"B":
            return _read_in(content)
        case b"F":
            rest = content[_UNTIL.size :]
            size = records.FLIGHT_SIZE
            return Flight(
                _UNTIL.unpack_from(content)[0], [rest[at : at + size] for at in range(0, len(rest), size)]
            )
    return None  # of a later make


def _header(content: Mapping[str, Any]) -> Header:
    if content["format"] != FORMAT:
        raise BadRecording(f"the recording is {content['format']!r}, and this reads {FORMAT!r}")
    return Header(
        machine=content["machine"],
        epoch=content["epoch"],
        node=content["node"],
        namespaces=tuple(content["namespaces"]),
        hooks={slot: _hook_in(hook) for slot, hook in content["hooks"]},
    )


def _names_in(content: Any) -> Names:
    container, users, groups, hosts = content
    return Names(
        container,
        {uid: Account(*one) for uid, one in users},
        dict(groups),
        {bytes.fromhex(address): tuple(called) for address, called in hosts},
    )


def _read_in(content: bytes) -> Read:
    batches = []
    at = _UNTIL.size
    while at < len(content):
        ring, size = _BATCH.unpack_from(content, at)
        at += _BATCH.size
        piece = content[at : at + size]
        at += size
        name = _RINGS[ring]
        layout = _LAYOUTS.get(name)
        batches.append(
            Batch(name, np.frombuffer(piece, layout) if layout is not None else list(_pieces(piece)))
        )
    return Read(_UNTIL.unpack_from(content)[0], batches)


def _pieces(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        (size,) = _LENGTH.unpack_from(content, at)
        yield content[at + _LENGTH.size : at + _LENGTH.size + size]
        at += _LENGTH.size + size


# --- processes, containers and hooks as JSON


def _text_out(value: Any) -> Any:
    """Bytes, and texts that are no UTF-8, as JSON can hold them."""
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode()}
    if isinstance(value, str) and not value.isascii():
        raw = value.encode("utf-8", "surrogateescape")
        return {"t": base64.b64encode(raw).decode()}
    return value


def _text_in(value: Any) -> Any:
    if isinstance(value, dict):
        raw = base64.b64decode(value.get("b") or value.get("t") or "")
        return raw if "b" in value else raw.decode("utf-8", "surrogateescape")
    return value


def _process_out(one: Process) -> dict[str, Any]:
    names = [name for name in Process.__slots__ if name not in _LINKED]
    return {name: _text_out(getattr(one, name)) for name in names}


def _process_in(content: Mapping[str, Any]) -> Process:
    one = Process(content["pid"])
    for name in Process.__slots__:
        if name in content and name not in _LINKED:
            value = _text_in(content[name])
            setattr(one, name, tuple(value) if isinstance(value, list) else value)
    return one


def _container_in(content: dict[str, Any]) -> Identified:
    cgroup = content.pop("cgroup")
    known = {one.name for one in dataclasses.fields(Container)}
    found = Container(**{name: value for name, value in content.items() if name in known})
    found.mounts = tuple(Mount(*one) for one in found.mounts)
    found.env = tuple(found.env)
    found.probes = tuple((one[0], one[1]) for one in found.probes)
    return Identified(cgroup, found)


def _hook_out(hook: Hook) -> dict[str, Any]:
    content = dataclasses.asdict(hook)
    for clause in content["clauses"]:
        for test in clause["tests"]:
            test["values"] = [_text_out(value) for value in test["values"]]
    return content


def _hook_in(content: dict[str, Any]) -> Hook:
    content = dict(content)
    content["args"] = tuple(Arg(one) for one in content["args"])
    content["ret"] = Arg(content["ret"])
    content["sizes"] = tuple((one[0], one[1]) for one in content["sizes"])
    content["clauses"] = tuple(_clause_in(one) for one in content["clauses"])
    return Hook(**content)


def _clause_in(content: dict[str, Any]) -> Clause:
    tests = tuple(
        Test(
            What(one["what"]),
            Op(one["op"]),
            tuple(_text_in(value) for value in one["values"]),
            one["index"],
            one["mask"],
        )
        for one in content["tests"]
    )
    return Clause(**{**content, "tests": tests})
