"""The domain name system on the wire: questions in, answers out, over UDP and TCP; and questions passed on to others.

Must never invent an answer: what a name means is the caller's to say. Formats: RFC 1035; sizes over UDP: RFC 6891.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

TYPES: Final[Mapping[int, str]] = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    255: "ANY",
}
_NUMBERS: Final = {name: number for number, name in TYPES.items()}
NO_ERROR, BAD_FORMAT, FAILED, NO_NAME, NOT_IMPLEMENTED, REFUSED = range(6)
_OPT: Final = 41
_IN: Final = 1
_PLAIN_SIZE: Final = 512
_LARGEST_UDP: Final = 1232
_SECONDS: Final = 3
_FREEBIND: Final = 15  # IP_FREEBIND of linux/in.h: an address may be bound before its interface is there
_MOST: Final = 200


class BadMessage(ValueError):
    """The bytes are not a message, or not one that can be answered."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question: its number, the flag bits to repeat, the name as asked (without the last dot) and what is wanted.

    `size` is how many bytes an answer over UDP may have; `extended` whether the asker said so (EDNS).
    """

    id: int
    name: str
    type: int
    klass: int
    recursion: bool
    size: int
    extended: bool
    opcode: int = 0


Row = tuple[str, str, str, int]
"""A record to be sent: name, type, value as text, seconds that it may be kept."""


def _name(data: bytes, at: int) -> tuple[str, int]:
    """Read a name and return it with the place after it."""
    labels: list[str] = []
    after, jumps = 0, 0
    while True:
        if at >= len(data):
            raise BadMessage("a name is cut short")
        size = data[at]
        if size >= 0xC0:
            if at + 1 >= len(data) or jumps > 32:
                raise BadMessage("a name's pointer leads nowhere")
            after = after or at + 2
            at, jumps = (size & 0x3F) << 8 | data[at + 1], jumps + 1
            continue
        if size > 63:
            raise BadMessage("a label is of an unknown kind")
        at += 1
        if size == 0:
            return ".".join(labels), after or at
        label = data[at : at + size]
        if len(label) < size:
            raise BadMessage("a name is cut short")
        labels.append(label.decode("latin-1"))
        at += size


def parse(data: bytes) -> Query:
    """Return the question of a message. Raises BadMessage."""
    if len(data) < 12:
        raise BadMessage("shorter than a header")
    number, flags, questions, answers, authorities, extras = struct.unpack_from("!6H", data)
    if flags & 0x8000:
        raise BadMessage("not a question")
    if questions != 1:
        raise BadMessage("not exactly one question")
    name, at = _name(data, 12)
    if at + 4 > len(data):
        raise BadMessage("the question is cut short")
    kind, klass = struct.unpack_from("!2H", data, at)
    at += 4
    size, extended = _PLAIN_SIZE, False
    with suppress(BadMessage, struct.error):
        for _ in range(min(answers + authorities + extras, 16)):
            _, at = _name(data, at)
            its, its_class, _, length = struct.unpack_from("!HHIH", data, at)
            at += 10 + length
            if its == _OPT:
                size, extended = max(_PLAIN_SIZE, min(its_class, _LARGEST_UDP)), True
    return Query(number, name, kind, klass, bool(flags & 0x0100), size, extended, flags >> 11 & 15)


def encode_name(name: str) -> bytes:
    """Return a name as labels. Raises BadMessage for one that cannot be sent."""
    out = bytearray()
    for label in name.strip(".").split("."):
        data = label.encode("latin-1", "replace")
        if name.strip(".") and not 0 < len(data) < 64:
            raise BadMessage(f"{name!r} has a label of {len(data)} bytes")
        if data:
            out.append(len(data))
            out += data
    out.append(0)
    if len(out) > 255:
        raise BadMessage(f"{name!r} is too long")
    return bytes(out)


def _value(kind: str, text: str) -> bytes:
    if kind == "A":
        return ipaddress.IPv4Address(text).packed
    if kind == "AAAA":
        return ipaddress.IPv6Address(text).packed
    if kind == "TXT":
        data = text.encode()[:255]
        return bytes([len(data)]) + data
    if kind == "SRV":
        priority, weight, port, target = text.split()
        return struct.pack("!3H", int(priority), int(weight), int(port)) + encode_name(target)
    if kind == "SOA":
        server, mail, *numbers = text.split()
        return encode_name(server) + encode_name(mail) + struct.pack("!5I", *map(int, numbers))
    return encode_name(text)  # CNAME, PTR, NS


def _row(row: Row) -> bytes:
    name, kind, text, ttl = row
    value = _value(kind, text)
    return encode_name(name) + struct.pack("!HHIH", _NUMBERS[kind], _IN, ttl, len(value)) + value


def respond(
    query: Query,
    code: int,
    answers: Sequence[Row] = (),
    authorities: Sequence[Row] = (),
    extras: Sequence[Row] = (),
    *,
    size: int = 65_535,
    authoritative: bool = True,
) -> bytes:
    """Return the answer to a question; one that exceeds `size` bytes goes without records and says that it was cut."""
    flags = 0x8000 | query.opcode << 11 | (0x0100 if query.recursion else 0) | 0x0080 | code
    flags |= 0x0400 if authoritative else 0
    question = encode_name(query.name) + struct.pack("!2H", query.type, query.klass)
    edns = b"\0" + struct.pack("!HHIH", _OPT, _LARGEST_UDP, 0, 0) if query.extended else b""
    parts = [[_row(row) for row in rows] for rows in (answers, authorities, extras)]
    shapes: tuple[list[list[bytes]], ...] = (parts, [parts[0], parts[1], []], [[], [], []])
    message = b""
    for kept in shapes:
        cut = 0x0200 if kept[0] != parts[0] else 0
        counts = [len(rows) for rows in kept]
        header = struct.pack("!6H", query.id, flags | cut, 1, counts[0], counts[1], counts[2] + bool(edns))
        message = header + question + b"".join(row for rows in kept for row in rows) + edns
        if len(message) <= size:
            break
    return message


def was_cut(data: bytes) -> bool:
    """Tell whether an answer says that it did not fit, so that one should ask again by TCP."""
    return len(data) > 3 and bool(data[2] & 0x02)


def addresses(data: bytes) -> list[Row]:
    """Return the address and alias records of an answer that someone else gave. Raises BadMessage."""
    try:
        _, _, questions, answers = struct.unpack_from("!4H", data)
        at = 12
        for _ in range(questions):
            _, at = _name(data, at)
            at += 4
        rows: list[Row] = []
        for _ in range(min(answers, _MOST)):
            name, at = _name(data, at)
            kind, _, ttl, length = struct.unpack_from("!HHIH", data, at)
            at += 10
            raw = data[at : at + length]
            if kind == _NUMBERS["A"]:
                rows.append((name, "A", str(ipaddress.IPv4Address(raw)), ttl))
            elif kind == _NUMBERS["AAAA"]:
                rows.append((name, "AAAA", str(ipaddress.IPv6Address(raw)), ttl))
            elif kind == _NUMBERS["CNAME"]:
                rows.append((name, "CNAME", _name(data, at)[0], ttl))
            at += length
    except (struct.error, ValueError) as error:
        raise BadMessage(str(error)) from error
    return rows


def ask(name: str, kind: int) -> bytes:
    """Return a new question."""
    return (
        struct.pack("!6H", secrets.randbits(16), 0x0100, 1, 0, 0, 0)
        + encode_name(name)
        + struct.pack("!2H", kind, _IN)
    )


def resolvers(path: Path, without: Iterable[str] = ()) -> list[str]:
    """Return the name servers that a resolv.conf lists, but for those that would ask us again."""
    found = []
    with suppress(OSError):
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver" and words[1] not in set(without):
                found.append(words[1].partition("%")[0])
    return found


class _Waiter(asyncio.DatagramProtocol):
    def __init__(self, number: bytes) -> None:
        self._number = number
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        if data[:2] == self._number and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def forward(data: bytes, servers: Sequence[str], *, stream: bool, port: int = 53) -> bytes | None:
    """Pass a question on, server by server, and return the first answer as it came; None if there is none."""
    for server in servers:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_SECONDS):
                return await (_by_stream if stream else _by_datagram)(data, server, port)
    return None


async def _by_datagram(data: bytes, server: str, port: int) -> bytes:
    loop = asyncio.get_running_loop()
    transport, waiter = await loop.create_datagram_endpoint(
        lambda: _Waiter(data[:2]), remote_addr=(server, port)
    )
    try:
        transport.sendto(data)
        return await waiter.answer
    finally:
        transport.close()


async def _by_stream(data: bytes, server: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(server, port)
    try:
        writer.write(struct.pack("!H", len(data)) + data)
        return await reader.readexactly(struct.unpack("!H", await reader.readexactly(2))[0])
    finally:
        writer.close()


Answerer = Callable[[bytes, bool], Awaitable[bytes | None]]
"""From a message and whether it came by TCP to the answer, or None for no answer at all."""


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer: Answerer) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.DatagramTransport", transport
        )  # by duck type: asyncio's own is no subclass

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(self._tasks) < _MOST:
            task = asyncio.create_task(self._reply(data, addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reply(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = await self._answer(data, False)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


def _bound(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if kind is socket.SOCK_STREAM else 0)
        with suppress(OSError):
            made.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
        made.setblocking(False)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


async def serve(host: str, port: int, answer: Answerer, started: Callable[[int], None] | None = None) -> None:
    """Answer on an address by UDP and TCP until cancelled; the address may be one that comes later. Raises OSError.

    `started` hears the port (of interest where 0 was asked for).
    """

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            while True:
                async with asyncio.timeout(30):
                    size = struct.unpack("!H", await reader.readexactly(2))[0]
                    said = await answer(await reader.readexactly(size), True)
                    if said is None:
                        break
                    writer.write(struct.pack("!H", len(said)) + said)
                    await writer.drain()
        writer.close()

    datagrams = _bound(socket.SOCK_DGRAM, host, port)
    try:
        real = datagrams.getsockname()[1]
        streams = _bound(socket.SOCK_STREAM, host, real)
    except BaseException:
        datagrams.close()
        raise
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(answer), sock=datagrams
    )
    try:
        server = await asyncio.start_server(stream, sock=streams)
        if started is not None:
            started(real)
        async with server:
            await server.serve_forever()
    finally:
        transport.close()
