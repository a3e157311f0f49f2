"""Hooks that are one place in the kernel become one, and lose nothing by it."""

from __future__ import annotations

from fairlead.drivers.kernel.joining import joined
from fairlead.sense.plans import MOST_CLAUSES, Arg, Clause, Hook, Op, Test, What
from fairlead.sense.syscalls import hook_of, texts


def test_equal_hooks_are_one_and_others_stay() -> None:
    one = hook_of("openat", [Clause(owner="a")])
    other = hook_of("openat", [Clause(owner="a")], enter=True)
    assert joined([one, one, other]) == (one, other)


def test_clauses_of_both_are_kept() -> None:
    [found] = joined(
        [hook_of("openat", [Clause(owner="a")]), hook_of("openat", [Clause(owner="b", signal=9)])]
    )
    assert [(one.owner, one.signal) for one in found.clauses] == [("a", 0), ("b", 9)]


def test_a_hook_without_clauses_still_passes_everything() -> None:
    [found] = joined([
        hook_of("openat", [Clause(owner="a", tests=(Test(What.UID, Op.EQ, (0,)),))]), hook_of("openat"),
    ])  # fmt: skip
    assert Clause() in found.clauses


def test_texts_are_found_where_they_then_are() -> None:
    plain = Hook(
        sort="syscall", name="renameat", args=(Arg.INT, Arg.INT, Arg.DIRFD, Arg.PATH),
        clauses=(Clause(owner="new", tests=(Test(What.TEXT, Op.PREFIX, (b"/x",), index=0),)),),
    )  # fmt: skip
    full = hook_of("renameat", [Clause(owner="old", tests=(Test(What.TEXT, Op.PREFIX, (b"/y",), index=0),))])
    [found] = joined([plain, full])
    names = texts(found)
    by_owner = {one.owner: names[one.tests[0].index] for one in found.clauses}
    assert by_owner == {"new": "newname", "old": "oldname"}
    assert found.args == full.args


def test_a_text_without_room_is_not_tested_and_its_clause_does_not_act() -> None:
    args = (Arg.STRING, Arg.STRING, Arg.STRING, Arg.STRING, Arg.STRING)
    wide = Hook(sort="syscall", name="mount", args=args, clauses=(Clause(owner="a"),))
    late = Hook(
        sort="syscall", name="mount", args=(Arg.INT, Arg.INT, Arg.INT, Arg.INT, Arg.STRING),
        clauses=(Clause(owner="b", tests=(Test(What.TEXT, Op.TEXT_IN, (b"x",)), Test(What.UID, Op.EQ, (0,))), signal=9),),
    )  # fmt: skip
    [found] = joined([wide, late])
    [clause] = [one for one in found.clauses if one.owner == "b"]
    assert [one.what for one in clause.tests] == [What.UID]
    assert clause.signal == 0


def test_what_one_reads_of_a_call_both_do() -> None:
    one = Hook(sort="syscall", name="write", args=(Arg.INT, Arg.BUFFER, Arg.INT), sizes=((1, -1),), limit=64)
    other = Hook(sort="syscall", name="write", args=(Arg.FD, Arg.INT, Arg.INT), about=0, ret=Arg.INT)
    [found] = joined([one, other])
    assert found.args == (Arg.FD, Arg.BUFFER, Arg.INT)
    assert (found.about, found.ret, found.sizes, found.limit) == (0, Arg.INT, ((1, -1),), 64)
    assert found.clauses == (Clause(),)


def test_too_many_clauses_widen_what_posts() -> None:
    many = [hook_of("openat", [Clause(owner=str(at)) for at in range(50)]) for _ in range(1)]
    more = hook_of("openat", [Clause(owner=f"x{at}") for at in range(50)], limit=10)
    [found] = joined([*many, more])
    assert len(found.clauses) <= MOST_CLAUSES
    assert found.clauses[-1] == Clause()


def test_hooks_with_slots_of_their_own_are_not_joined() -> None:
    one = Hook(sort="uprobe", name="f", path="/lib/a", args=(Arg.INT,))
    other = Hook(sort="uprobe", name="f", path="/lib/a", args=(Arg.STRING,))
    assert joined([one, other]) == (one, other)
