"""Raw records become Events in order, and the table of processes follows them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from fairlead.sense import records
from fairlead.sense.decoding import Decoder
from fairlead.sense.events import AF_INET, HEAD, Container, Process, address, make_event, printable
from fairlead.sense.processes import Processes
from fairlead.sense.syscalls import NUMBERS

OPENAT = NUMBERS["x86_64"]["openat"]


def call(time: int, pid: int, kind: int, **more: Any) -> bytes:
    """A record of the calls ring."""
    texts: list[bytes] = more.get("texts", [])
    lens = [len(one) for one in texts] + [0] * (4 - len(texts))
    args = [*more.get("args", []), 0, 0, 0, 0, 0, 0][:6]
    return HEAD.pack(
        time, more.get("start", pid * 1000), more.get("cgroup", 7), more.get("clauses", 0), more.get("ret", 0), pid, pid, kind,
        more.get("slot", 1), more.get("flags", 0), more.get("uid", 0), 0, more.get("comm", b"x"), *lens, *args, bytes(64),
    )  # fmt: skip


def named(time: int, pid: int, kind: int, **more: Any) -> bytes:
    return call(time, pid, kind, **more) + b"".join(more.get("texts", [])).ljust(records.NAMED_TEXT, b"\xaa")


def executed(time: int, pid: int, path: bytes, args: list[bytes], **more: Any) -> bytes:
    texts = [path, more.get("cwd", b"/"), b"\0".join(args), b"A=1\0B=2"]
    body = records.EXEC_STRUCT.pack(
        more.get("parent_start", 1000), 1, 2, 3, 4, 5, 11, 12, 13, more.get("ppid", 1), more.get("vpid", pid), 1, more.get("pgid", pid), pid,
        more.get("sid", pid), pid, 34816, *([more.get("uid", 0)] * 8), 1000, 1, *range(10), 0, 0o100755, 1, more.get("exe_flags", 0), 0, 0, len(args),
    )  # fmt: skip
    comm = path.rpartition(b"/")[2][:15]
    return call(time, pid, 1024, comm=comm, **more, texts=texts) + body + b"".join(texts)


def forked(time: int, pid: int, child: int) -> bytes:
    return call(time, pid, 1025, args=[child, child * 1000, pid], comm=b"sh")


def array(*found: bytes, named: bool = False) -> Any:
    return np.frombuffer(b"".join(found), records.NAMED if named else records.CALL)


def test_records_of_all_rings_come_in_the_order_of_time() -> None:
    table = Processes(epoch=10**18)
    decoder = Decoder(table)
    seen = list(
        decoder.feed(
            [
                array(named(40, 20, OPENAT, texts=[b"/etc/x", b"x", b"/etc"], ret=3), named=True),
                array(forked(10, 5, 20), call(50, 20, 1026, ret=256)),
                [executed(30, 20, b"/bin/cat", [b"cat", b"x y", b"\xff"], ppid=5, parent_start=5000)],
            ]
        )
    )
    assert [one.kind for one in seen] == ["forked", "exec", "openat", "exited"]
    assert seen[2].texts == ("/etc/x", "x", "/etc", "")
    assert seen[2].time == 10**18 + 40
    cat = seen[1].process
    assert (cat.name, cat.exe, cat.args, cat.env) == (
        "cat",
        "/bin/cat",
        ["cat", "x y", "\udcff"],
        ["A=1", "B=2"],
    )
    assert cat.cmdline == "cat x y \udcff"
    assert printable(cat.cmdline) == r"cat x y \xff"
    assert cat.parent is table.get(5)
    assert cat.exited == 10**18 + 50
    assert cat.exit_code == 256
    assert [one.serial for one in seen] == [1, 2, 3, 4]


def test_what_is_younger_than_the_reading_waits() -> None:
    decoder = Decoder(Processes())
    first = list(decoder.feed([array(call(10, 2, OPENAT), call(30, 2, OPENAT))], until=20))
    second = list(decoder.feed([array(call(15, 2, OPENAT))], until=40))
    assert [one.boot_time for one in first] == [10]
    assert [one.boot_time for one in second] == [15, 30]


def test_an_unknown_process_is_told_of_and_filled_later() -> None:
    asked: list[int] = []
    table = Processes({9: Container(id="c" * 64)})
    table.missing = asked.append
    (event,) = Decoder(table).feed([array(call(10, 77, OPENAT, cgroup=9))])
    assert asked == [77]
    assert not event.process.known
    assert event.process.container is not None
    assert event.process.container.short == "c" * 12
    told = Process(77, 77_000 + 5_000_000)
    told.name, told.ppid = "late", 1
    table.adopt([Process(1, 1), told])
    assert event.process.name == "late"
    assert event.process.start == 77_000
    assert event.process.parent is table.get(1)


def test_a_pid_given_away_is_another_process() -> None:
    table = Processes()
    decoder = Decoder(table)
    list(decoder.feed([[executed(5, 8, b"/bin/a", [b"a"], start=10**9)]]))
    first = table.get(8)
    list(decoder.feed([[executed(6, 8, b"/bin/b", [b"b"], start=9 * 10**9)]]))
    second = table.get(8)
    assert first is not None
    assert second is not None
    assert first is not second
    assert first.exited
    (late,) = decoder.feed([array(call(7, 8, OPENAT, start=10**9))])
    assert late.process is first


def test_damaged_and_silent_records_are_not_events() -> None:
    decoder = Decoder(Processes())
    assert not list(decoder.feed([[b"short"], array(call(1, 2, OPENAT, flags=128))]))
    assert decoder.damaged == 1


def test_fork_exec_storms_stay_bounded() -> None:
    table = Processes(most=100, kept=10**9)
    decoder = Decoder(table)
    for at in range(2, 5000):
        list(
            decoder.feed(
                [
                    array(forked(at * 10, 1, at), call(at * 10 + 5, at, 1026)),
                    [executed(at * 10 + 2, at, b"/bin/x", [b"x"])],
                ]
            )
        )
        assert len(table) <= 101
    table.tick(10**15)
    assert len(table) < 5


def test_sessions_and_groups_have_leaders() -> None:
    table = Processes()
    decoder = Decoder(table)
    list(
        decoder.feed(
            [
                [
                    executed(1, 10, b"/bin/bash", [b"bash"], start=1),
                    executed(3, 11, b"/bin/sh", [b"sh"], ppid=10, parent_start=1, start=2, sid=10),
                    executed(5, 12, b"/bin/id", [b"id"], ppid=11, parent_start=2, start=3, sid=10, pgid=11),
                ]
            ]
        )
    )
    one = table.get(12)
    assert one is not None
    assert [each.name for each in one.ancestors()][:2] == ["sh", "bash"]
    session, group = table.leader_of_session(one), table.leader_of_group(one)
    assert session is not None
    assert group is not None
    assert (session.name, group.name) == ("bash", "sh")


def test_calls_change_their_process() -> None:
    table = Processes()
    one = Process(4)
    one.cwd = "/srv"
    table.note(make_event("chdir", one, texts=["data", "/srv"]))
    assert one.cwd == "/srv/data"
    table.note(make_event("chdir", one, ret=-2, texts=["/nowhere", ""]))
    assert one.cwd == "/srv/data"
    table.note(make_event("capset", one, texts=[struct.pack("<6I", 1, 2, 4, 8, 0, 0)]))
    assert one.caps[:3] == (1 | 8 << 32, 2, 4)
    table.note(make_event("setsid", one))
    assert (one.sid, one.pgid) == (4, 4)


ROOT = (0xFF, 0xFF, 0, 0xFF, 0)
NOBODY = 0xFFFFFFFF


def became(*calls: tuple[str, tuple[int, ...]], secbits: int = 0) -> tuple[int, int]:
    """Return the effective and permitted capabilities of a root process after calls."""
    table = Processes()
    one = Process(4)
    one.known, one.caps, one.secbits = True, ROOT, secbits
    for name, args in calls:
        table.note(make_event(name, one, args=args))
    return one.caps[:2]


def test_who_stops_being_root_loses_its_capabilities() -> None:
    assert became(("setuid", (1000,))) == (0, 0)
    assert became(("setresuid", (1000, 1000, 1000))) == (0, 0)
    assert became(("setreuid", (1000, 1000))) == (0, 0)
    assert became(("setresuid", (NOBODY, 1000, NOBODY))) == (0, 0xFF)
    assert became(("setresuid", (NOBODY, 1000, NOBODY)), ("setresuid", (NOBODY, 0, NOBODY))) == (0xFF, 0xFF)
    assert became(("setuid", (0,))) == (0xFF, 0xFF)
    assert became(("setuid", (1000,)), secbits=4) == (0xFF, 0xFF)


def test_addresses_are_written_as_usual() -> None:
    assert address(AF_INET, bytes([10, 0, 0, 1]) + bytes(12)) == "10.0.0.1"
    assert address(10, bytes.fromhex("20010db8000000000000000000000001")) == "2001:db8::1"
    assert address(10, bytes(16)) == "::"
    assert address(10, bytes(10) + b"\xff\xff" + bytes([1, 2, 3, 4])) == "1.2.3.4"
    assert not address(1, bytes(16))


def test_flags_of_another_machine_are_renumbered() -> None:
    opening = NUMBERS["aarch64"]["openat"]
    how = NUMBERS["aarch64"]["openat2"]
    flags = (0x4000 | 0o100).to_bytes(8, "little")
    decoder = Decoder(Processes(), machine="aarch64")
    first, second = decoder.feed(
        [
            array(named(1, 2, opening, args=[0, 0, 0x4000 | 0o1101], texts=[b"/a", b"/a"]), named=True),
            array(named(2, 2, how, texts=[b"/a", b"/a", b"", flags + bytes(16)]), named=True),
        ]
    )
    assert first.args[2] == 0x10000 | 0o1101
    assert second.blobs[3][:8] == (0x10000 | 0o100).to_bytes(8, "little")
