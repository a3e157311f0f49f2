"""Plans as the kernel's maps hold them: hooks, clauses, and the sets that clauses name, as keys and values in bytes. Touches nothing.

A clause may pass too much and never too little, so what cannot be said exactly is said widely: a prefix that is longer than a key
is cut, a 65th set of executables is not asked about. A clause that acts must be exact instead: what cannot be said exactly takes its
action away, and is told as a remark. Layouts: bpf/records.h and bpf/programs.h.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from fairlead.drivers.kernel.libbpf import Refused
from fairlead.sense.plans import MOST_CLAUSES, MOST_TESTS, Clause, Hook, Op, Test, What

HOOK: Final = struct.Struct("<HBB6sBB6sHII")
CLAUSE: Final = struct.Struct("<BBBBIQ")
TEST: Final = struct.Struct("<BBHIQQ")
NUMBER: Final = struct.Struct("<IIQ")
WORD: Final = struct.Struct("<QII")
PREFIX: Final = struct.Struct("<II120s")
NETWORK: Final = struct.Struct("<IHH16s")
SETTINGS: Final = struct.Struct("<10I")
FIELD: Final = struct.Struct("<HBB")

PREFIX_TEXT: Final = 120
"""Bytes of a text that a key of the tries holds."""
CONTAINED_TEXT: Final = 8
"""Bytes that CONTAINS looks for."""
EXE_SETS: Final = 64
"""Sets of executables that one sensor can tell apart."""
MOST_SETS: Final = 65535
SHARED: Final = 63
"""Tests of one hook that the kernel can remember the outcome of."""
_WORD: Final = (1 << 64) - 1
_HALF: Final = (1 << 32) - 1

_NOT: Final = {
    Op.TEXT_NOTIN: Op.TEXT_IN, Op.NOTPREFIX: Op.PREFIX, Op.NOTSUFFIX: Op.SUFFIX, Op.NOTINSET: Op.INSET, Op.NOTNET: Op.NET,
    Op.NE: Op.EQ,
}  # fmt: skip
_TEXTS: Final = {What.COMM, What.TEXT}
_EXES: Final = {What.EXE, What.PEXE}
_HALVES: Final = frozenset(
    {What.UID, What.GID, What.TGID, What.TID, What.VPID, What.FAMILY, What.SOCKTYPE, What.PROTO, What.STATE, What.LPORT,
     What.RPORT, What.FILEMODE, What.OFLAGS, What.NS}
)  # fmt: skip
"""What the kernel compares as a number of 32 bits without a sign."""

Table = Literal["numbers", "words", "prefixes", "networks", "exe_words", "exe_prefixes"]
TABLES: Final[tuple[Table, ...]] = ("numbers", "words", "prefixes", "networks", "exe_words", "exe_prefixes")


@lru_cache(maxsize=1 << 15)
def fnv(text: bytes) -> int:
    """Return the 64-bit FNV-1a hash of a text, which stands for it in the kernel."""
    value = 0xCBF29CE484222325
    for one in text:
        value = (value ^ one) * 0x100000001B3 & _WORD
    return value


def word(text: bytes, named: int = 0) -> bytes:
    """Return the key of a whole text in a set."""
    return WORD.pack(fnv(text), len(text), named)


def prefix(text: bytes, named: int) -> bytes:
    """Return the key of a text's beginning in a set; what is longer than a key holds is cut."""
    kept = text[:PREFIX_TEXT]
    return PREFIX.pack(32 + 8 * len(kept), named, kept)


def network(text: str, named: int) -> bytes:
    """Return the key of a network ("10.0.0.0/8", or one address) in a set. IPv4 within IPv6 is IPv4.

    Raises:
        ValueError: it is no network.

    """
    net = ipaddress.ip_network(text, strict=False)
    address, bits = net.network_address, net.prefixlen
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None and bits >= 96:
        address, bits = address.ipv4_mapped, bits - 96
    return NETWORK.pack(32 + bits, named, 2 if address.version == 4 else 10, address.packed)


class _Inexact(Exception):
    """A test would pass too much. `args` is why."""


@dataclass(slots=True)
class Remark:
    """What the kernel's part of a hook does not do as asked: which clause of it, and why."""

    hook: Hook
    clause: int
    text: str

    @property
    def words(self) -> str:
        """The remark in one line."""
        owner = self.hook.clauses[self.clause].owner or f"clause {self.clause}"
        return f"{owner} at {self.hook.sort} {self.hook.name}: {self.text}"


@dataclass(slots=True)
class Sets:
    """The sets that clauses name, each with a number, kept over updates so that what stays keeps its number.

    `entries` is what the maps ought to hold: table -> key -> value.
    """

    _numbers: dict[tuple[Table, tuple[object, ...]], int] = field(default_factory=dict)
    _bits: dict[tuple[Op, tuple[bytes, ...]], int] = field(default_factory=dict)
    _used: set[object] = field(default_factory=set)
    _free: list[int] = field(default_factory=list)
    _next: int = 1

    def begin(self) -> None:
        """Start to note which sets are asked for."""
        self._used = set()

    def forget(self) -> None:
        """Give up the sets that nobody asked for since `begin`."""
        for key in [key for key in self._numbers if key not in self._used]:
            self._free.append(self._numbers.pop(key))
        for one in [one for one in self._bits if one not in self._used]:
            del self._bits[one]

    def number(self, table: Table, members: Iterable[int | bytes | str]) -> int:
        """Return the number of the set with these members in a table."""
        key = (table, tuple(sorted(set(members), key=repr)))
        self._used.add(key)
        known = self._numbers.get(key)
        if known is None:
            if self._next <= MOST_SETS:
                known, self._next = self._next, self._next + 1
            elif self._free:
                known = self._free.pop(0)
            else:
                raise Refused(f"the rules need more than {MOST_SETS} sets")
            self._numbers[key] = known
        return known

    def bit(self, op: Op, members: tuple[bytes, ...]) -> int | None:
        """Return the bit of a set of executables, None when all are taken."""
        key = (op, tuple(sorted(set(members))))
        self._used.add(key)
        if key not in self._bits:
            free = set(range(EXE_SETS)) - set(self._bits.values())
            if not free:
                return None
            self._bits[key] = min(free)
        return 1 << self._bits[key]

    @property
    def exe_sets(self) -> int:
        """How many bits of executables are in use."""
        return len(self._bits)

    def entries(self) -> dict[Table, dict[bytes, bytes]]:
        """Return what the maps ought to hold."""
        found: dict[Table, dict[bytes, bytes]] = {table: {} for table in TABLES}
        for (table, members), named in self._numbers.items():
            for member in members:
                found[table][_key(table, member, named)] = b"\1"
        whole: dict[bytes, int] = {}
        starts: dict[tuple[int, bytes], int] = {}
        for (op, texts), bit in self._bits.items():
            for text in texts:
                if op is Op.TEXT_IN:
                    whole[text] = whole.get(text, 0) | 1 << bit
                else:
                    at = (1, text[::-1][:PREFIX_TEXT]) if op is Op.SUFFIX else (0, text[:PREFIX_TEXT])
                    starts[at] = starts.get(at, 0) | 1 << bit
        for text, bits in whole.items():
            found["exe_words"][word(text)] = bits.to_bytes(8, "little")
        for (side, text), bits in starts.items():
            joined = bits
            for length in range(len(text)):
                joined |= starts.get((side, text[:length]), 0)
            found["exe_prefixes"][prefix(text, side)] = joined.to_bytes(8, "little")
        return found


def _key(table: Table, member: object, named: int) -> bytes:
    if isinstance(member, int):
        return NUMBER.pack(named, 0, member)
    if isinstance(member, str):
        return network(member, named)
    assert isinstance(member, bytes)
    return prefix(member, named) if table == "prefixes" else word(member, named)


def _bytes(values: Iterable[int | bytes | str]) -> tuple[bytes, ...]:
    return tuple(
        one if isinstance(one, bytes) else str(one).encode("utf-8", "surrogateescape") for one in values
    )


def _rank(test: Test) -> int:
    """Cheap tests first: numbers, who the process is, the place, texts."""
    if test.what in _TEXTS:
        return 3
    if test.what >= What.FAMILY:
        return 2
    return 1 if test.what in _EXES else 0


class Encoder:
    """Turns hooks into the values of maps. `remarks` tells what is not done as asked."""

    def __init__(self, sets: Sets) -> None:
        self._sets = sets
        self.remarks: list[Remark] = []
        self.exhausted = False
        """Whether there were more sets of executables than bits."""

    def hook(self, hook: Hook, kind: int, *, every: bool = False) -> bytes:
        """Return the fl_hook of a hook that records of a kind (a system call's number, or a records.Kind) come from.

        With `every` the programs that see all system calls serve it, and only they.
        """
        sizes = [0] * 6
        for at, length in hook.sizes:
            sizes[at] = 7 if length < 0 else length + 1
        args = bytes(hook.args[:6])
        return HOOK.pack(
            kind,
            hook.enter,
            2 if every else 1,
            args,
            hook.ret,
            hook.about + 1,
            bytes(sizes),
            len(hook.clauses),
            hook.limit,
            0,
        )

    def clauses(self, hook: Hook) -> list[bytes]:
        """Return the fl_clause of each of a hook's clauses, in their order.

        Raises:
            Refused: there are more than the kernel's part knows (plans.merge joins what is too much).

        """
        if len(hook.clauses) > MOST_CLAUSES:
            raise Refused(
                f"{hook.sort} {hook.name} has {len(hook.clauses)} clauses; {MOST_CLAUSES} is the most"
            )
        return sharing([self._clause(hook, at, clause) for at, clause in enumerate(hook.clauses)])

    def _clause(self, hook: Hook, at: int, clause: Clause) -> bytes:
        acting = bool(clause.signal or clause.deny)
        tests, inexact = [], ""
        for test in sorted(clause.tests, key=_rank):
            try:
                encoded = self._test(test, exact=acting)
            except _Inexact as why:
                inexact = str(why)
                encoded = self._test(test, exact=False)
            if encoded is not None:
                tests.append(encoded)
        if len(tests) > MOST_TESTS:
            tests, inexact = (
                tests[:MOST_TESTS],
                f"it has {len(tests)} tests, and {MOST_TESTS} is the most" if acting else "",
            )
        signal, deny, silent = clause.signal, clause.deny, clause.silent
        if inexact:
            self.remarks.append(Remark(hook, at, f"it does not act: {inexact}"))
            signal, deny, silent = 0, 0, False
        head = CLAUSE.pack(len(tests), signal, deny, silent, min(clause.rate_ms, _HALF), 0)
        return head + b"".join(tests) + bytes(TEST.size * (MOST_TESTS - len(tests)))

    def _test(self, test: Test, *, exact: bool) -> bytes | None:
        """Return the fl_test, or None where every event passes. Raises _Inexact when that would be wider than asked."""
        if test.what in _EXES:
            return self._exe(test, exact=exact)
        what = test.what + (test.index if test.what in {What.ARG, What.TEXT, What.NS} else 0)
        op = test.op
        if op is Op.RELATIVE:
            return TEST.pack(what, op, 0, 0, 0, 0)
        if op is Op.CONTAINS:
            return self._contains(what, test, exact=exact)
        if test.what in _TEXTS:
            return self._text(what, test, exact=exact)
        if op in {Op.NET, Op.NOTNET}:
            return TEST.pack(what, op, self._sets.number("networks", test.values), 0, 0, 0)
        width = _HALF if test.what in _HALVES else _WORD
        values = [_number(one) & width for one in test.values]
        if op in {Op.EQ, Op.NE} and len(values) > 1:
            op = Op.INSET if op is Op.EQ else Op.NOTINSET
        if op in {Op.INSET, Op.NOTINSET} and len(values) == 1:
            op = Op.EQ if op is Op.INSET else Op.NE
        if op in {Op.INSET, Op.NOTINSET}:
            return TEST.pack(what, op, self._sets.number("numbers", values), 0, 0, test.mask & _WORD)
        if len(values) != 1:
            raise Refused(f"{op.name} compares with one number, not with {len(values)}")
        return TEST.pack(what, op, 0, 0, values[0], test.mask & _WORD)

    def _text(self, what: int, test: Test, *, exact: bool) -> bytes:
        op = {Op.EQ: Op.TEXT_IN, Op.INSET: Op.TEXT_IN, Op.NE: Op.TEXT_NOTIN, Op.NOTINSET: Op.TEXT_NOTIN}.get(
            test.op, test.op
        )
        values = _bytes(test.values)
        if op in {Op.TEXT_IN, Op.TEXT_NOTIN}:
            return TEST.pack(what, op, self._sets.number("words", values), 0, 0, 0)
        if op not in {Op.PREFIX, Op.NOTPREFIX, Op.SUFFIX, Op.NOTSUFFIX}:
            raise Refused(f"{op.name} does not compare texts")
        values = _fitting(op, values, exact=exact)
        if op in {Op.SUFFIX, Op.NOTSUFFIX}:
            values = tuple(one[::-1] for one in values)
        return TEST.pack(what, op, self._sets.number("prefixes", values), 0, 0, 0)

    def _contains(self, what: int, test: Test, *, exact: bool) -> bytes | None:
        values = _bytes(test.values)
        if len(values) != 1:
            raise Refused(f"CONTAINS looks for one text, not for {len(values)}")
        sought = values[0]
        if not sought:
            return None
        if exact and len(sought) > CONTAINED_TEXT:
            raise _Inexact(f"the kernel looks for at most {CONTAINED_TEXT} bytes in a text: {sought!r}")
        sought = sought[:CONTAINED_TEXT]
        return TEST.pack(what, test.op, 0, 0, int.from_bytes(sought, "little"), len(sought))

    def _exe(self, test: Test, *, exact: bool) -> bytes | None:
        op = {Op.EQ: Op.TEXT_IN, Op.INSET: Op.TEXT_IN, Op.NE: Op.TEXT_NOTIN, Op.NOTINSET: Op.TEXT_NOTIN}.get(
            test.op, test.op
        )
        plain = _NOT.get(op, op)
        if plain not in {Op.TEXT_IN, Op.PREFIX, Op.SUFFIX}:
            raise Refused(f"{test.op.name} does not compare executables")
        values = _bytes(test.values)
        if plain is not Op.TEXT_IN:
            values = _fitting(op, values, exact=exact)
        bits = self._sets.bit(plain, values)
        if bits is None:
            self.exhausted = True
            if exact:
                raise _Inexact(f"more than {EXE_SETS} sets of executables are asked about")
            return None
        return TEST.pack(test.what, Op.ANYBITS if plain is op else Op.NOBITS, 0, 0, bits, 0)


def _fitting(op: Op, values: tuple[bytes, ...], *, exact: bool) -> tuple[bytes, ...]:
    """Return the members that a trie's keys can hold: longer ones are cut, or left out where the test asks for their absence."""
    long = [one for one in values if len(one) > PREFIX_TEXT]
    if not long:
        return values
    if exact:
        raise _Inexact(f"the kernel compares at most {PREFIX_TEXT} bytes of a beginning or end: {long[0]!r}")
    if op in _NOT:
        return tuple(one for one in values if len(one) <= PREFIX_TEXT)
    if op is Op.SUFFIX:
        return tuple(one[-PREFIX_TEXT:] for one in values)
    return tuple(one[:PREFIX_TEXT] for one in values)


def _number(value: int | bytes | str) -> int:
    if not isinstance(value, int):
        raise Refused(f"a number is compared with {value!r}")
    return value


def sharing(clauses: list[bytes]) -> list[bytes]:
    """Return a hook's clauses with a number on each test that several of them have, so that the kernel tries it once an event.

    Tests of clauses that act are numbered apart from those of clauses that post: of a text that is not whole they make different things.
    """
    found: dict[tuple[bool, bytes], int] = {}
    rows = []
    for clause in clauses:
        count, signal, deny, silent, rate, _ = CLAUSE.unpack_from(clause)
        starts = [CLAUSE.size + TEST.size * at for at in range(count)]
        keys = [(bool(signal or deny), clause[start : start + TEST.size]) for start in starts]
        for key in set(keys):
            found[key] = found.get(key, 0) + 1
        rows.append((clause, (count, signal, deny, silent, rate), keys))
    often = sorted((key for key, times in found.items() if times > 1), key=lambda key: -found[key])
    numbers = {key: at for at, key in enumerate(often[:SHARED], 1)}
    done = []
    for clause, head, keys in rows:
        bits = sum(1 << number for number in {numbers.get(key, 0) for key in keys} - {0})
        tests = b""
        for key in keys:
            what, op, named, _, value, mask = TEST.unpack(key[1])
            tests += TEST.pack(what, op, named, numbers.get(key, 0), value, mask)
        done.append(CLAUSE.pack(*head, bits) + tests + clause[CLAUSE.size + len(tests) :])
    return done


def changes(
    before: Mapping[bytes, bytes], after: Mapping[bytes, bytes]
) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Return what to write and what to remove so that a map that holds `before` holds `after`."""
    return (
        [(key, value) for key, value in after.items() if before.get(key) != value],
        [key for key in before if key not in after],
    )
