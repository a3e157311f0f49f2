"""Plans in bytes: the layouts are the header's, sets are shared, and what cannot be said exactly is wider, or does not act."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fairlead.drivers.kernel import encoding
from fairlead.drivers.kernel.encoding import Encoder, Sets, changes, fnv
from fairlead.drivers.kernel.libbpf import Refused
from fairlead.sense.plans import Arg, Clause, Hook, Op, Test, What

HEADER = Path(__file__).resolve().parents[3] / "bpf" / "programs.h"


def hook(*clauses: Clause) -> Hook:
    return Hook(sort="syscall", name="openat", args=(Arg.DIRFD, Arg.PATH), ret=Arg.FD, clauses=clauses)


def encode(
    *tests: Test, sets: Sets | None = None, **what: int
) -> tuple[tuple[int, ...], list[tuple[int, ...]], Encoder]:
    """The head of a clause with these tests, and its tests, as numbers."""
    encoder = Encoder(sets or Sets())
    [packed] = encoder.clauses(hook(Clause(tests=tests, owner="r", **what)))  # type: ignore[arg-type]
    head = encoding.CLAUSE.unpack_from(packed)
    found = [
        encoding.TEST.unpack_from(packed, encoding.CLAUSE.size + encoding.TEST.size * at)
        for at in range(head[0])
    ]
    return head, found, encoder


def test_sizes_and_offsets_are_the_header_s(tmp_path: Path) -> None:
    if find_spec("ziglang"):
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "bpfel-freestanding"]
    elif clang := shutil.which("clang"):
        compiler = [clang, "-target", "bpfel"]
    else:
        pytest.skip("neither ziglang nor clang is here")
    sizes = {
        "fl_hook": encoding.HOOK.size,
        "fl_clause": encoding.CLAUSE.size + 8 * encoding.TEST.size,
        "fl_test": encoding.TEST.size,
        "fl_number": encoding.NUMBER.size,
        "fl_word": encoding.WORD.size,
        "fl_prefix": encoding.PREFIX.size,
        "fl_network": encoding.NETWORK.size,
        "fl_settings": encoding.SETTINGS.size,
        "fl_field": encoding.FIELD.size,
    }
    offsets = {
        "fl_hook.args": 4, "fl_hook.ret": 10, "fl_hook.about": 11, "fl_hook.sizes": 12, "fl_hook.clauses": 18, "fl_hook.limit": 20,
        "fl_clause.rate": 4, "fl_clause.test": 16, "fl_test.set": 2, "fl_test.value": 8, "fl_test.mask": 16, "fl_word.len": 8,
        "fl_prefix.text": 8, "fl_network.family": 6, "fl_network.addr": 8, "fl_settings.acting": 24, "fl_settings.generation": 32,
    }  # fmt: skip
    lines = [f'#include "{HEADER}"']
    lines += [f'_Static_assert(sizeof(struct {name}) == {size}, "{name}");' for name, size in sizes.items()]
    for place, offset in offsets.items():
        name, _, member = place.partition(".")
        lines.append(f'_Static_assert(__builtin_offsetof(struct {name}, {member}) == {offset}, "{place}");')
    source = tmp_path / "claims.c"
    source.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [*compiler, "-c", str(source), "-o", str(tmp_path / "claims.o")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_fnv_is_the_published_one() -> None:
    assert fnv(b"") == 0xCBF29CE484222325
    assert fnv(b"foobar") == 0x85944171F73967E8


def test_a_hook_tells_how_its_arguments_are_read() -> None:
    one = Hook(
        sort="syscall", name="write", args=(Arg.FD, Arg.BUFFER, Arg.INT), ret=Arg.INT, about=0, sizes=((1, -1),), limit=64,
        clauses=(Clause(), Clause()),
    )  # fmt: skip
    kind, enter, on, args, ret, about, sizes, clauses, limit, _ = encoding.HOOK.unpack(
        Encoder(Sets()).hook(one, 1)
    )
    assert (kind, enter, on, clauses, limit) == (1, 0, 1, 2, 64)
    assert args == bytes([Arg.FD, Arg.BUFFER, Arg.INT, 0, 0, 0])
    assert (ret, about) == (Arg.INT, 1)
    assert sizes == bytes([0, 7, 0, 0, 0, 0])


def test_numbers_are_compared_or_looked_up() -> None:
    sets = Sets()
    _, [one], _ = encode(Test(What.RET, Op.LT, (-1,)), sets=sets)
    assert one[:2] == (What.RET, Op.LT)
    assert one[4] == (1 << 64) - 1
    _, [many], _ = encode(Test(What.ARG, Op.EQ, (1, 2, 3), index=2, mask=0xFF), sets=sets)
    assert many[:2] == (What.ARG + 2, Op.INSET)
    assert many[5] == 0xFF
    held = sets.entries()["numbers"]
    assert {encoding.NUMBER.unpack(key) for key in held} == {(many[2], 0, value) for value in (1, 2, 3)}


def test_a_set_of_one_is_compared() -> None:
    _, [one], _ = encode(Test(What.UID, Op.NOTINSET, (-1,)))
    assert one[:2] == (What.UID, Op.NE)
    assert one[4] == (1 << 32) - 1, "a user id has 32 bits"


def test_equal_sets_are_one() -> None:
    sets = Sets()
    _, [one], _ = encode(Test(What.TEXT, Op.TEXT_IN, (b"a", b"b")), sets=sets)
    _, [two], _ = encode(Test(What.TEXT, Op.TEXT_NOTIN, (b"b", b"a"), index=1), sets=sets)
    assert one[2] == two[2]
    assert two[0] == What.TEXT + 1
    assert len(sets.entries()["words"]) == 2


def test_suffixes_are_prefixes_turned_round() -> None:
    sets = Sets()
    _, [one], _ = encode(Test(What.TEXT, Op.SUFFIX, (b".so",)), sets=sets)
    [key] = sets.entries()["prefixes"]
    bits, named, text = encoding.PREFIX.unpack(key)
    assert (bits, named, text.rstrip(b"\0")) == (32 + 24, one[2], b"os.")


def test_long_prefixes_are_cut_or_left_out() -> None:
    long = b"/" + b"x" * 200
    sets = Sets()
    encode(Test(What.TEXT, Op.PREFIX, (long,)), sets=sets)
    [key] = sets.entries()["prefixes"]
    assert encoding.PREFIX.unpack(key)[0] == 32 + 8 * 120
    sets = Sets()
    encode(Test(What.TEXT, Op.NOTPREFIX, (long, b"/a")), sets=sets)
    assert len(sets.entries()["prefixes"]) == 1, (
        "what must not begin so is not cut: that would pass too little"
    )
    sets = Sets()
    encode(Test(What.TEXT, Op.SUFFIX, (b"x" * 200 + b"end",)), sets=sets)
    [key] = sets.entries()["prefixes"]
    assert encoding.PREFIX.unpack(key)[2].startswith(b"dne")


def test_a_clause_that_acts_is_exact_or_does_not_act() -> None:
    long = Test(What.TEXT, Op.PREFIX, (b"/" + b"x" * 200,))
    head, _, encoder = encode(long, signal=9)
    assert head[1] == 0
    assert "does not act" in encoder.remarks[0].words
    assert encoder.remarks[0].words.startswith("r at syscall openat")
    head, _, encoder = encode(Test(What.TEXT, Op.PREFIX, (b"/short",)), signal=9)
    assert head[1] == 9
    assert not encoder.remarks
    head, _, encoder = encode(Test(What.TEXT, Op.CONTAINS, (b"longer than eight",)), deny=1)
    assert head[2] == 0
    assert encoder.remarks


def test_contains_looks_for_eight_bytes() -> None:
    _, [one], encoder = encode(Test(What.TEXT, Op.CONTAINS, (b"longer than eight",)))
    assert struct.pack("<Q", one[4]) == b"longer t"
    assert one[5] == 8
    assert not encoder.remarks
    _, nothing, _ = encode(Test(What.TEXT, Op.CONTAINS, (b"",)))
    assert nothing == []


def test_networks_of_both_families() -> None:
    sets = Sets()
    encode(Test(What.RADDR, Op.NET, ("10.0.0.0/8", "fd00::/8", "192.168.1.1", "::ffff:1.2.3.4")), sets=sets)
    keys = {encoding.NETWORK.unpack(key) for key in sets.entries()["networks"]}
    assert {(bits, family, addr[:4]) for bits, _, family, addr in keys} == {
        (40, 2, b"\x0a\0\0\0"), (40, 10, b"\xfd\0\0\0"), (64, 2, b"\xc0\xa8\1\1"), (64, 2, b"\1\2\3\4"),
    }  # fmt: skip


def test_executables_have_bits() -> None:
    sets = Sets()
    _, [one], _ = encode(Test(What.EXE, Op.TEXT_IN, (b"/bin/a",)), sets=sets)
    _, [two], _ = encode(Test(What.PEXE, Op.NOTPREFIX, (b"/usr/",)), sets=sets)
    _, [three], _ = encode(Test(What.EXE, Op.PREFIX, (b"/usr/bin/",)), sets=sets)
    assert (one[0], one[1], one[4]) == (What.EXE, Op.ANYBITS, 1)
    assert (two[0], two[1], two[4]) == (What.PEXE, Op.NOBITS, 2)
    assert three[4] == 4
    assert sets.exe_sets == 3
    entries = sets.entries()
    [bits] = entries["exe_words"].values()
    assert int.from_bytes(bits, "little") == 1
    prefixes = {
        encoding.PREFIX.unpack(key)[2].rstrip(b"\0"): int.from_bytes(bits, "little")
        for key, bits in entries["exe_prefixes"].items()
    }
    assert prefixes == {b"/usr/": 2, b"/usr/bin/": 6}, (
        "only the longest entry is found, so it has the bits of both"
    )


def test_more_sets_of_executables_than_bits_are_not_asked_about() -> None:
    sets = Sets()
    for at in range(64):
        encode(Test(What.EXE, Op.TEXT_IN, (b"/bin/%d" % at,)), sets=sets)
    head, tests, encoder = encode(Test(What.EXE, Op.TEXT_IN, (b"/bin/last",)), sets=sets)
    assert (head[0], tests) == (0, [])
    assert encoder.exhausted
    assert not encoder.remarks
    head, _, encoder = encode(Test(What.EXE, Op.TEXT_IN, (b"/bin/last",)), sets=sets, signal=9)
    assert head[1] == 0
    assert encoder.remarks


def test_sets_are_forgotten_when_nobody_asks() -> None:
    sets = Sets()
    _, [kept], _ = encode(Test(What.TEXT, Op.TEXT_IN, (b"a",)), sets=sets)
    encode(Test(What.EXE, Op.TEXT_IN, (b"/bin/b",)), sets=sets)
    sets.begin()
    _, [again], _ = encode(Test(What.TEXT, Op.TEXT_IN, (b"a",)), sets=sets)
    sets.forget()
    assert again[2] == kept[2]
    entries = sets.entries()
    assert len(entries["words"]) == 1
    assert not entries["exe_words"]


def test_cheap_tests_come_first() -> None:
    _, found, _ = encode(
        Test(What.TEXT, Op.RELATIVE), Test(What.RPORT, Op.EQ, (80,)), Test(What.EXE, Op.TEXT_IN, (b"/a",)), Test(What.RET, Op.GE, (0,)),
    )  # fmt: skip
    assert [one[0] for one in found] == [What.RET, What.EXE, What.RPORT, What.TEXT]


def test_too_many_tests_widen_what_posts_and_disarm_what_acts() -> None:
    tests = tuple(Test(What.ARG, Op.NE, (number,)) for number in range(10))
    head, _, encoder = encode(*tests)
    assert head[0] == 8
    assert not encoder.remarks
    head, _, encoder = encode(*tests, signal=9)
    assert (head[0], head[1]) == (8, 0)
    assert encoder.remarks


@pytest.mark.parametrize(
    "test",
    [
        Test(What.TEXT, Op.LT, (b"a",)),
        Test(What.EXE, Op.CONTAINS, (b"a",)),
        Test(What.RET, Op.LT, (1, 2)),
        Test(What.RET, Op.EQ, (b"a",)),
        Test(What.TEXT, Op.CONTAINS, (b"a", b"b")),
    ],
    ids=str,
)
def test_what_means_nothing_is_refused(test: Test) -> None:
    with pytest.raises(Refused):
        encode(test)


def test_more_clauses_than_bits_are_refused() -> None:
    with pytest.raises(Refused, match="64 is the most"):
        Encoder(Sets()).clauses(hook(*[Clause(owner=str(at)) for at in range(65)]))


def test_changes_of_a_table() -> None:
    assert changes({b"a": b"1", b"b": b"1", b"c": b"1"}, {b"a": b"1", b"b": b"2", b"d": b"1"}) == (
        [(b"b", b"2"), (b"d", b"1")], [b"c"],
    )  # fmt: skip


def test_equal_tests_are_numbered_once_a_hook_and_apart_for_what_acts() -> None:
    same, other = Test(What.UID, Op.EQ, (7,)), Test(What.GID, Op.EQ, (8,))
    found = Encoder(Sets()).clauses(
        hook(
            Clause(tests=(same, other)), Clause(tests=(same,)), Clause(tests=(same,), signal=9), Clause(tests=(other,), signal=9),
            Clause(tests=(other,), signal=9),
        )
    )  # fmt: skip
    numbers = [[struct.unpack_from("<I", one, 20 + 24 * at)[0] for at in range(one[0])] for one in found]
    bits = [struct.unpack_from("<Q", one, 8)[0] for one in found]
    assert numbers == [[1, 0], [1], [0], [2], [2]]
    assert bits == [2, 2, 0, 4, 4]
