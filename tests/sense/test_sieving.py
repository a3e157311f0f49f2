"""The kernel's sieve in Python, test by test."""

from __future__ import annotations

import pytest

from fairlead.sense import sieving
from fairlead.sense.events import CONTAINED, Event, File, Process, Sock, make_event
from fairlead.sense.plans import Clause, Hook, Op, Test, What


def event() -> Event:
    one = Process(7)
    one.exe, one.vpid, one.caps = "/usr/bin/nc", 3, (0b101, 0, 0, 0, 0)
    one.parent = Process(6)
    one.parent.exe = "/bin/sh"
    return make_event(
        "connect", one, args=[3, 0xFFFFFFFFFFFFFFFF, 16], ret=-13, texts=["/etc/shadow", "x"], flags=CONTAINED, uid=1000, comm="nc",
        sock=Sock(2, 1, 6, 1, 4000, 443, 3, bytes([10, 0, 0, 1]) + bytes(12), bytes([93, 184, 216, 34]) + bytes(12)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        (Test(What.RET, Op.LT, (0,)), True),
        (Test(What.RET, Op.INSET, (-2, -13)), True),
        (Test(What.RET, Op.GE, (0,)), False),
        (Test(What.RET, Op.GEU, (0,)), True),
        (Test(What.ARG, Op.EQ, (3,)), True),
        (Test(What.ARG, Op.LT, (0,), 1), True),
        (Test(What.ARG, Op.LTU, (5,), 1), False),
        (Test(What.ARG, Op.EQ, (3,), 1, 3), True),
        (Test(What.ARG, Op.ANYBITS, (24,), 2), True),
        (Test(What.ARG, Op.ALLBITS, (24,), 2), False),
        (Test(What.ARG, Op.NOBITS, (7,), 2), True),
        (Test(What.UID, Op.NE, (0,)), True),
        (Test(What.UID, Op.NOTINSET, (0, 1000)), False),
        (Test(What.VPID, Op.EQ, (3,)), True),
        (Test(What.CONTAINED, Op.EQ, (1,)), True),
        (Test(What.CAP_EFF, Op.ANYBITS, (4,)), True),
        (Test(What.COMM, Op.TEXT_IN, (b"nc", b"ncat")), True),
        (Test(What.EXE, Op.TEXT_IN, (b"/usr/bin/nc",)), True),
        (Test(What.PEXE, Op.SUFFIX, (b"/bash",)), False),
        (Test(What.TEXT, Op.PREFIX, (b"/etc/",)), True),
        (Test(What.TEXT, Op.NOTPREFIX, (b"/etc/",)), False),
        (Test(What.TEXT, Op.SUFFIX, (b"passwd", b"shadow")), True),
        (Test(What.TEXT, Op.CONTAINS, (b"/sha",)), True),
        (Test(What.TEXT, Op.RELATIVE, ()), False),
        (Test(What.TEXT, Op.RELATIVE, (), 1), True),
        (Test(What.TEXT, Op.RELATIVE, (), 3), True),
        (Test(What.TEXT, Op.TEXT_NOTIN, (b"x",), 1), False),
        (Test(What.FAMILY, Op.INSET, (2, 10)), True),
        (Test(What.RPORT, Op.EQ, (443,)), True),
        (Test(What.RADDR, Op.NET, ("93.184.0.0/16",)), True),
        (Test(What.LADDR, Op.NOTNET, ("10.0.0.0/8", "127.0.0.0/8")), False),
        (Test(What.RADDR, Op.NET, ("::/0",)), False),
        (Test(What.FILEMODE, Op.EQ, (0,)), True),
    ],
)  # fmt: skip
def test_each_test(test: Test, wanted: bool) -> None:
    assert sieving.holds(test, event()) is wanted


def test_a_clause_needs_all_of_its_tests_and_a_hook_tells_which_passed() -> None:
    hook = Hook(
        sort="syscall", name="connect",
        clauses=(Clause(tests=(Test(What.RET, Op.GE, (0,)),)), Clause(), Clause(tests=(Test(What.UID, Op.EQ, (1000,)), Test(What.RPORT, Op.EQ, (80,))))),
    )  # fmt: skip
    assert sieving.passed(hook, event()) == 0b010
    assert sieving.passed(Hook(sort="syscall", name="connect"), event()) == 0


def test_ipv4_in_the_clothes_of_ipv6_is_ipv4() -> None:
    mapped = bytes(10) + b"\xff\xff" + bytes([10, 0, 0, 1])
    one = make_event("connect", Process(1), sock=Sock(10, 1, laddr=mapped, raddr=bytes(15) + b"\1"))
    assert sieving.holds(Test(What.LADDR, Op.NET, ("10.0.0.0/8",)), one)
    assert sieving.holds(Test(What.RADDR, Op.NET, ("::1",)), one)
    assert not sieving.holds(
        Test(What.LADDR, Op.NET, ("10.0.0.0/8",)), make_event("open", Process(1), file=File())
    )
