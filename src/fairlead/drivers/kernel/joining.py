"""Hooks of a plan that are one place in the kernel made one hook: what some of them read of a call, all of them do. Touches nothing.

The kernel has one slot for the return of a system call, and one for its entry. When two hooks read its arguments in different ways, the
joined one reads all that either does, and the tests on texts are moved to where those texts then are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from fairlead.sense.plans import Arg, Clause, Hook, Plan, Test, What, merge

_SINGLE: Final = frozenset({"process", "syscall", "kernel"})
_ONE_TEXT: Final = frozenset({Arg.STRING, Arg.BUFFER, Arg.IOVEC, Arg.MSGHDR, Arg.FDPATH})
_TEXTS: Final = 4


def _positions(hook: Hook) -> dict[object, int]:
    """Return where each text of a hook's records is: of the place, of an argument, of the directory that an argument is relative to."""
    order: list[object] = ["place"] if hook.ret is Arg.FD or hook.about >= 0 else []
    for at, how in enumerate(hook.args):
        if how is Arg.PATH:
            order += [at, (at, "directory")]
        elif how in _ONE_TEXT:
            order.append(at)
    return {one: position for position, one in enumerate(order)}


def _moved(clause: Clause, before: dict[object, int], after: dict[object, int]) -> Clause:
    """Return the clause with its tests on texts moved. A text that has no room any more is not tested."""
    names = {position: name for name, position in before.items()}
    tests: list[Test] = []
    for test in clause.tests:
        if test.what is not What.TEXT:
            tests.append(test)
            continue
        position = after.get(names.get(test.index))
        if position is not None and position < _TEXTS:
            tests.append(replace(test, index=position))
    if len(tests) < len(clause.tests):
        return replace(clause, tests=tuple(tests), signal=0, deny=0)
    return replace(clause, tests=tuple(tests))


def _richer(one: Arg, other: Arg) -> Arg:
    plain = {Arg.NONE, Arg.INT}
    return other if one in plain else one


def _pair(one: Hook, other: Hook) -> Hook:
    """Return one hook for two of the same place."""
    width = max(len(one.args), len(other.args))
    padded = [hook.args + (Arg.NONE,) * (width - len(hook.args)) for hook in (one, other)]
    joined = replace(
        one,
        args=tuple(_richer(mine, theirs) for mine, theirs in zip(*padded, strict=True)),
        ret=_richer(one.ret, other.ret),
        about=one.about if one.about >= 0 else other.about,
        sizes=one.sizes + tuple(pair for pair in other.sizes if pair[0] not in dict(one.sizes)),
        limit=max(one.limit, other.limit),
        clauses=(),
    )
    after = _positions(joined)
    clauses: list[Clause] = []
    for hook in (one, other):
        before = _positions(hook)
        clauses += [_moved(clause, before, after) for clause in hook.clauses or (Clause(),)]
    [found] = merge((Plan(hooks=(replace(joined, clauses=tuple(clauses)),)),)).hooks
    return found


def joined(hooks: Iterable[Hook]) -> Sequence[Hook]:
    """Return the hooks, each place of the kernel once. Hooks that are known by their slots alone stay as they are."""
    found: dict[object, Hook] = {}
    for hook in hooks:
        place: object = (
            (hook.sort, hook.name, hook.enter) if hook.sort in _SINGLE else (hook.key, hook.clauses)
        )
        before = found.get(place)
        if before is None or before == hook:
            found[place] = hook
        else:
            found[place] = _pair(before, hook)
    return tuple(found.values())
