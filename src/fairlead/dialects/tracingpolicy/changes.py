"""Filters of changes since the exec: of namespaces and of capabilities. They are told by pairs of clauses, of which the kernel passes one.

A record does not carry what namespaces and capabilities a thread has now. So each thing that is asked about gets two clauses, one for each answer,
and the record says which passed. What was is known from the exec; once a change was told, it is what was.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from fairlead.dialects.tracingpolicy.filters import ALWAYS, Filter, Host
from fairlead.dialects.tracingpolicy.policies import CapabilityFilter, ChangeFilter
from fairlead.sense.events import Event
from fairlead.sense.plans import Op, Test, What

_MOST_KNOWN: Final = 16384
_MOST_BITS: Final = 10
_CAPS: Final = (What.CAP_EFF, What.CAP_PERM, What.CAP_INH)


class _States:
    """What was told last of each process, within bounds."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int, int], bool] = OrderedDict()

    def changed(self, event: Event, bit: int, was: bool, now: bool) -> bool:
        """Whether this differs from what was known; from now on, this is."""
        key = (event.process.pid, event.process.start, bit)
        before = self._known.get(key, was)
        if before == now and key not in self._known:
            return False
        self._known[key] = now
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return before != now


def _answer(event: Event, yes: Test, no: Test) -> bool | None:
    """Return which of a pair of tests the kernel passed, None where it asked neither."""
    hook = event.hook
    if hook is None:
        return None
    for at, clause in enumerate(hook.clauses):
        if event.clauses >> at & 1:
            if yes in clause.tests:
                return True
            if no in clause.tests:
                return False
    return None


def _pairs(pairs: dict[int, tuple[Test, Test]], was: Callable[[Event, int], bool]) -> Filter:
    states = _States()

    def check(event: Event) -> bool:
        found = False
        for bit, (yes, no) in pairs.items():
            now = _answer(event, yes, no)
            if now is not None:
                found |= states.changed(event, bit, was(event, bit), now)
        return found

    rows = tuple((test,) for pair in pairs.values() for test in pair)
    return Filter(check, rows or ALWAYS, why="changes are known after the fact")


def namespaces(one: ChangeFilter, host: Host) -> Filter | str:
    """Return the filter of changed namespaces, or why there is none. Seen is the way into the host's namespace, and out of it."""
    mask = ~one.mask & 0x3FF if one.negated else one.mask
    wanted = [bit for bit in range(10) if mask >> bit & 1]
    if any(not host.home[bit] for bit in wanted):
        return "the host's namespaces are not known"
    pairs = {
        bit: (
            Test(What.NS, Op.EQ, (host.home[bit],), bit),
            Test(What.NS, Op.NE, (host.home[bit],), bit),
        )
        for bit in wanted
    }
    return _pairs(pairs, lambda event, bit: event.process.ns[bit] == host.home[bit])


def capabilities(one: CapabilityFilter) -> Filter | str:
    """Return the filter of changed capabilities, or why there is none."""
    wanted = [bit for bit in range(64) if one.mask >> bit & 1]
    if one.negated:
        return "changes of all capabilities but some cannot be told"
    if one.namespaced:
        return "changes of capabilities cannot be told for user namespaces apart"
    if len(wanted) > _MOST_BITS:
        return f"changes of more than {_MOST_BITS} capabilities at once cannot be told"
    what = _CAPS[one.which]
    pairs = {bit: (Test(what, Op.ANYBITS, (1 << bit,)), Test(what, Op.NOBITS, (1 << bit,))) for bit in wanted}
    return _pairs(pairs, lambda event, bit: bool(event.process.caps[one.which] >> bit & 1))
