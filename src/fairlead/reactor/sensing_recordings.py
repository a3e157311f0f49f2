"""What the kernel told, kept in a file and read again: the same batches, processes and containers, so the same findings, on any machine.

A file is frames in a gzip stream: a letter, a length, and that many bytes. `H` what was recorded and on what machine; `P` processes that
ran; `C` a container, by its cgroup; `N` names of users and groups, and of hosts; `B` the batches of one read; `F` what the recorder held of a dead cgroup. Of a file
that ends in the middle of a frame, as one does whose writer was killed, and of one that is damaged, what comes before is given, and then
where and why it ends. Never judges; a file's content is data: nothing in it is run, and nothing in it is trusted to be what it should be.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
import orjson

from fairlead.sense import records
from fairlead.sense.events import Container, Mount, Process
from fairlead.sense.fieldcode import Account
from fairlead.sense.plans import Arg, Clause, Hook, Op, Sort, Test, What
from fairlead.sense.syscalls import NAMES

T = TypeVar("T")

FORMAT: Final = "fairlead recording 1"
_FRAME: Final = struct.Struct("<cI")
_BATCH: Final = struct.Struct("<BI")
_LENGTH: Final = struct.Struct("<I")
_UNTIL: Final = struct.Struct("<Q")
_RINGS: Final = ("calls", "named", "long", "alerts")
LARGEST: Final = 256 << 20
"""Bytes of one frame at most."""
_FLUSH_EVERY: Final = 1_000_000_000
"""ns between two times that what was written is made readable."""
_SIP: Final = 512
"""Bytes that are unpacked at once: so much of what precedes damage is lost with it."""
_LAYOUTS: Final = {"calls": records.CALL, "named": records.NAMED}
_LINKED: Final = frozenset({"parent", "container", "notes", "_args", "_env", "_cmdline"})
_LATEST: Final = 1 << 62
"""ns since the epoch, or since boot, that no clock shows in this age."""
_TIMES: Final = frozenset({"epoch", "until", "started", "exec_at", "exited", "start"})
_AHEAD: Final = 3_600_000_000_000
"""ns that a record may be younger than the read that brought it."""


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


class Damage(NamedTuple):
    """The last thing of a recording that cannot be read to its end: how many frames were whole, where (bytes, unpacked), and why."""

    frames: int
    at: int
    why: str

    def __str__(self) -> str:
        """Return it in words."""
        return (
            f"the recording ends after {self.frames} frames, at byte {self.at} of what it holds: {self.why}"
        )


Frame: TypeAlias = "Header | list[Process] | Identified | Names | Read | Flight | Damage"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What was recorded: the machine, when it booted (ns since the epoch), its own namespaces, and the hook behind each slot."""

    machine: str
    epoch: int
    node: str = ""
    namespaces: tuple[int, ...] = ()
    hooks: Mapping[int, Hook] = dataclasses.field(default_factory=dict)


class Recorder:
    """Writes a recording. Raises OSError where the file cannot be made.

    What fails later (a full disk) is told by `fault`, and nothing more is written: the watching must go on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault: OSError | None = None
        self._raw = path.open(
            "wb"
        )  # buffered: what is written in part would be lost without a word otherwise
        self._file = gzip.GzipFile(fileobj=self._raw, mode="wb", compresslevel=1)
        self._flushed = 0
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
            self._frame(b"C", _packed(content))

    def names(self, names: Names) -> None:
        """Write what users, groups and hosts are called, unless that is written already."""
        if self._named.get(names.container) != names:
            self._named[names.container] = names
            hosts = [[address.hex(), list(called)] for address, called in names.hosts.items()]
            users = [[uid, list(one)] for uid, one in names.users.items()]
            content = [names.container, users, list(names.groups.items()), hosts]
            self._frame(b"N", _packed(content))

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
        if (
            until - self._flushed >= _FLUSH_EVERY and self.fault is None
        ):  # so much is lost at most when this process is killed
            self._flushed = until
            try:
                self._file.flush()
            except OSError as error:
                self.fault = error

    def flight(self, cgroup: int, raw: Sequence[bytes]) -> None:
        """Write what the flight recorder held of a cgroup."""
        self._frame(b"F", _UNTIL.pack(cgroup) + b"".join(raw))

    def close(self) -> None:
        """Write the end."""
        for file in (self._file, self._raw):
            try:
                file.close()
            except OSError as error:
                self.fault = self.fault or error

    def _frame(self, letter: bytes, content: bytes) -> None:
        if self.fault is None:
            try:
                self._file.write(_FRAME.pack(letter, len(content)) + content)
            except OSError as error:
                self.fault = error


def _packed(content: Any) -> bytes:
    """Return content as JSON. A container may call itself what is no UTF-8."""
    try:
        return orjson.dumps(content, default=list, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return json.dumps(content, default=list).encode()


def _unpacked(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return json.loads(content)


_WRONG: Final = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    struct.error,
)
"""What the content of a frame that is not what it should be raises, wherever that shows."""


def frames(path: Path) -> Iterator[Frame]:
    """Yield what a recording holds, in its order; the first is a Header, and Damage is the last where it cannot be read to its end.

    Raises BadRecording where not even the header can be read, OSError.
    """
    whole = at = 0
    try:
        with _Sips(path) as raw, gzip.GzipFile(fileobj=raw, mode="rb") as file:
            while (frame := _next(file)) is not None:
                found = _decoded(*frame)
                if not whole and not isinstance(found, Header):
                    raise BadRecording(f"{path} is no recording")
                if found is not None:
                    yield found
                whole, at = whole + 1, file.tell()
    except gzip.BadGzipFile as error:
        if not whole:
            raise BadRecording(f"{path} is no recording") from error
        yield Damage(whole, at, f"it is damaged ({error})")
    except EOFError as error:
        if not whole:
            raise BadRecording(f"{path} ends before anything was recorded") from error
        yield Damage(whole, at, "it was not written to its end")
    except (zlib.error, *_WRONG) as error:
        if not whole:
            raise BadRecording(f"{path} is damaged: {error}") from error
        yield Damage(whole, at, f"it is damaged ({error})")
    else:
        if not whole:
            raise BadRecording(f"{path} is empty")


class _Sips(io.FileIO):
    """A file that gives little at a time: what is unpacked with damaged bytes is lost as a whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most a sip."""
        return super().read(_SIP if size is None or size < 0 else min(size, _SIP))


def _next(file: gzip.GzipFile) -> tuple[bytes, bytes] | None:
    """Return a frame's letter and content, None at the end. Raises EOFError in the middle of a frame."""
    head = file.read(_FRAME.size)
    if not head:
        return None
    if len(head) < _FRAME.size:
        raise EOFError
    letter, size = _FRAME.unpack(head)
    if size > LARGEST:
        raise ValueError(f"a frame of {size} bytes")
    content = file.read(size)
    if len(content) < size:
        raise EOFError
    return letter, content


def _decoded(letter: bytes, content: bytes) -> Frame | None:
    match letter:
        case b"H":
            return _header(_unpacked(content))
        case b"P":
            return [_process_in(one) for one in _unpacked(content)]
        case b"C":
            return _container_in(_unpacked(content))
        case b"N":
            return _names_in(_unpacked(content))
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
    if content["machine"] not in NAMES:
        raise BadRecording(f"the recording is of a machine that is not known here: {content['machine']!r}")
    return Header(
        machine=content["machine"],
        epoch=_checked(content["epoch"], int, "epoch"),
        node=_checked(content["node"], str, "node"),
        namespaces=tuple(_checked(one, int, "namespaces") for one in content["namespaces"]),
        hooks={_checked(slot, int, "slot"): _hook_in(hook) for slot, hook in content["hooks"]},
    )


def _checked(value: Any, sort: type[T], what: str) -> T:
    """Return a value that is of a sort, and where it is a number one that any clock or counter may show. Raises ValueError."""
    if type(value) is not sort or (isinstance(value, int) and not -_LATEST <= value < 1 << 64):
        raise ValueError(f"{what} is {str(value)[:40]!r}")
    if what in _TIMES and isinstance(value, int) and not 0 <= value < _LATEST:
        raise ValueError(f"{what} is no time: {value}")
    return value


def _names_in(content: Any) -> Names:
    container, users, groups, hosts = content
    return Names(
        _checked(container, str, "container"),
        {
            _checked(uid, int, "user"): Account(*(_checked(part, str, "user") for part in one))
            for uid, one in users
        },
        {_checked(gid, int, "group"): _checked(name, str, "group") for gid, name in groups},
        {
            bytes.fromhex(address): tuple(_checked(one, str, "host") for one in called)
            for address, called in hosts
        },
    )


def _read_in(content: bytes) -> Read:
    batches = []
    until = _checked(_UNTIL.unpack_from(content)[0], int, "until")
    at = _UNTIL.size
    while at < len(content):
        ring, size = _BATCH.unpack_from(content, at)
        at += _BATCH.size
        piece = content[at : at + size]
        at += size
        name = _RINGS[ring]
        layout = _LAYOUTS.get(name)
        found: Any = np.frombuffer(piece, layout) if layout is not None else list(_pieces(piece))
        if layout is not None:
            latest = int(found["time"].max()) if len(found) else 0
        else:
            latest = max((_UNTIL.unpack_from(one)[0] for one in found), default=0)
        if latest > until + _AHEAD:
            raise ValueError("a record is of a time to come")
        batches.append(Batch(name, found))
    return Read(until, batches)


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
    one = Process(_checked(content["pid"], int, "pid"))
    for name in Process.__slots__:
        if name in content and name not in _LINKED:
            usual, value = getattr(one, name), _text_in(content[name])
            if isinstance(value, list):
                value = tuple(_checked(part, int, name) for part in value)
                if len(value) != len(usual):
                    raise ValueError(f"{name} has {len(value)} parts")
            setattr(one, name, _checked(value, type(usual), name))
    return one


def _container_in(content: dict[str, Any]) -> Identified:
    cgroup = _checked(content.pop("cgroup"), int, "cgroup")
    found = Container(id=_checked(content["id"], str, "id"))
    for one in dataclasses.fields(Container):
        usual = getattr(found, one.name)
        value = content.get(one.name, usual)
        if one.name == "mounts":
            value = tuple(_mount_in(part) for part in value)
        elif one.name == "probes":
            value = tuple(
                (_checked(sort, str, "probe"), _checked(command, str, "probe")) for sort, command in value
            )
        elif isinstance(usual, tuple):
            value = tuple(_checked(part, str, one.name) for part in value)
        elif isinstance(usual, Mapping):
            value = {
                _checked(key, str, one.name): _checked(text, str, one.name) for key, text in value.items()
            }
        elif value is not None or usual is not None:
            value = _checked(value, bool if usual is None else type(usual), one.name)
        setattr(found, one.name, value)
    return Identified(cgroup, found)


def _mount_in(content: Sequence[Any]) -> Mount:
    usual = Mount("", "")
    told: list[Any] = [_checked(part, type(one), "mount") for part, one in zip(content, usual, strict=False)]
    return Mount(*told)


def _hook_out(hook: Hook) -> dict[str, Any]:
    content = dataclasses.asdict(hook)
    for clause in content["clauses"]:
        for test in clause["tests"]:
            test["values"] = [_text_out(value) for value in test["values"]]
    return content


def _hook_in(content: dict[str, Any]) -> Hook:
    told: dict[str, Any] = {
        "args": tuple(Arg(one) for one in content["args"]),
        "ret": Arg(content["ret"]),
        "sizes": tuple(
            (_checked(at, int, "sizes"), _checked(of, int, "sizes")) for at, of in content["sizes"]
        ),
        "clauses": tuple(_clause_in(one) for one in content["clauses"]),
    }
    usual = Hook(sort="syscall", name="")
    for name in ("sort", "name", "enter", "about", "limit", "path", "detail"):
        told[name] = _checked(content[name], type(getattr(usual, name)), name)
    if told["sort"] not in get_args(Sort):
        raise ValueError(f"there is no hook of the sort {told['sort'][:40]!r}")
    return Hook(**told)


def _clause_in(content: dict[str, Any]) -> Clause:
    usual = Clause()
    names = ("owner", "signal", "deny", "silent", "rate_ms")
    told: dict[str, Any] = {name: _checked(content[name], type(getattr(usual, name)), name) for name in names}
    return Clause(tests=tuple(_test_in(one) for one in content["tests"]), **told)


def _test_in(content: dict[str, Any]) -> Test:
    return Test(
        What(content["what"]),
        Op(content["op"]),
        tuple(_value_in(one) for one in content["values"]),
        _checked(content["index"], int, "index"),
        _checked(content["mask"], int, "mask"),
    )


def _value_in(content: Any) -> int | bytes | str:
    value = _text_in(content)
    if isinstance(value, bytes):
        return value
    return _checked(value, int, "values") if isinstance(value, int) else _checked(value, str, "values")
