"""The cluster's name server: answers pods on their gateway's address, and passes every other name on to the machine's own.

What the cluster's names mean is orchestrate/names.py's to say, how they travel drivers/dns.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fairlead.drivers import dns
from fairlead.orchestrate.names import Answer, Names, Record

_RESOLV: Final = Path("/etc/resolv.conf")


class NameServer:
    """Answers DNS messages from a view of the cluster. `resolv` is the file that lists who else to ask."""

    def __init__(
        self, names: Names, own_address: str, resolv: Path = _RESOLV, upstream_port: int = 53
    ) -> None:
        self._names = names
        self._own = own_address
        self._resolv = resolv
        self._port = upstream_port

    async def run(self, port: int = 53, started: Callable[[int], None] | None = None) -> None:
        """Serve until cancelled. Raises OSError when the address cannot be had."""
        await dns.serve(self._own, port, self.answer, started)

    async def answer(self, data: bytes, stream: bool) -> bytes | None:
        """Return the answer to a message, or None for what is no question."""
        try:
            query = dns.parse(data)
        except dns.BadMessage:
            return None
        size = 65_535 if stream else query.size
        if query.opcode != 0:
            return dns.respond(query, dns.NOT_IMPLEMENTED, authoritative=False)
        name = query.name.lower().rstrip(".")
        said = self._names.answer(name, dns.TYPES.get(query.type, "")) if query.klass == 1 else None
        if said is None:
            return await self._pass_on(data, query, stream)
        if not said.exists and not self._names.known():
            return dns.respond(query, dns.FAILED, authoritative=False)
        records = [_row(record, query.name, name) for record in said.records]
        if said.outside:
            records += await self._outside(said, query.type)
        code = dns.NO_ERROR if said.exists else dns.NO_NAME
        authority = [] if records else [_row(self._names.authority)]
        extra = [_row(record) for record in said.extra]
        return dns.respond(query, code, records, authority, extra, size=size)

    async def _servers(self) -> list[str]:
        return await asyncio.to_thread(dns.resolvers, self._resolv, (self._own,))

    async def _pass_on(self, data: bytes, query: dns.Query, stream: bool) -> bytes:
        said = await dns.forward(data, await self._servers(), stream=stream, port=self._port)
        return said if said is not None else dns.respond(query, dns.FAILED, authoritative=False)

    async def _outside(self, said: Answer, kind: int) -> list[dns.Row]:
        """Look up what an alias leads to: the resolvers in many images do not follow one by themselves."""
        inner = self._names.answer(said.outside, dns.TYPES.get(kind, ""))
        if inner is not None:
            return [_row(record) for record in inner.records]
        question = dns.ask(said.outside, kind)
        servers = await self._servers()
        answer = await dns.forward(question, servers, stream=False, port=self._port)
        if answer is not None and dns.was_cut(answer):
            answer = await dns.forward(question, servers, stream=True, port=self._port)
        try:
            return dns.addresses(answer) if answer else []
        except dns.BadMessage:
            return []


def _row(record: Record, asked: str = "", name: str = "") -> dns.Row:
    """Turn a record into what is sent; one about the name asked for repeats it in the asker's own letters."""
    return (asked if record.name == name else record.name), record.type, record.value, record.ttl
