"""Carries out what policies propose: under the name that the policies' own tools have, with a depth, and told as Events.

Every write that comes of policies is remembered with its depth (how many such writes led to it), so that policies that undo each
other's work are stopped. A Change that is refused costs only itself. Decides nothing about what is to be changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime

from fairlead.keep.entries import Outcome
from fairlead.keep.errors import Refusal
from fairlead.keep.worlds import World
from fairlead.orchestrate import proposing
from fairlead.reactor import carrying
from fairlead.reactor.admit import PolicyGate
from fairlead.reactor.keeping import Keeper
from fairlead.words import Change, Ref, User

MANAGER = "fairlead-policies"
DEEPEST = 8
"""How many writes of policies may follow from one another."""
REMEMBERED = 8192
"""Writes whose depth is known."""

APPLIED = "PolicyApplied"
ERROR = "PolicyError"
UNSUPPORTED = "PolicyUnsupported"
"""The reasons of Events on policies; the first two are Kyverno's."""

_COMPONENT = "fairlead-policies"
_LONGEST = 600


def _account(namespace: str, name: str) -> User:
    return User(
        name=f"system:serviceaccount:{namespace}:{name}",
        groups=("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
    )


BACKGROUND = _account("kyverno", "kyverno-background-controller")
CLEANUP = _account("kyverno", "kyverno-cleanup-controller")
IDENTITIES: Mapping[str, User] = {
    "kyverno": BACKGROUND,
    "jspolicy": _account("jspolicy", "jspolicy"),
}
"""Whose name Changes of a dialect's policies carry: the one that policies already know and make exceptions for."""
OWN = _account("fairlead-system", "fairlead-policies")
PLATFORM = User(name="system:apiserver", groups=("system:masters", "system:authenticated"))
"""Who writes what is the platform's own: statuses, definitions, Events."""

_MINE = frozenset(one.name for one in (*IDENTITIES.values(), CLEANUP, OWN))


def is_mine(user: User) -> bool:
    """Whether a write came of a policy."""
    return user.name in _MINE


class Deeds:
    """See the module. `clock` gives the time of writes, aware UTC."""

    def __init__(self, keeper: Keeper, gate: PolicyGate, clock: Callable[[], datetime]) -> None:
        self._keeper = keeper
        self._gate = gate
        self._clock = clock
        self._teller = carrying.Teller(time.monotonic)
        self._depths: dict[int, int] = {}

    def depth(self, rv: int) -> int:
        """Return how deep a write is: 0 for what no policy brought about."""
        return self._depths.get(rv, 0)

    async def carry_out(self, change: Change, user: User = PLATFORM, depth: int = 1) -> bool:
        """Make a Change and wait until it is durable; whether it changed anything. Raises Refusal.

        What is gone already need not be deleted.
        """
        asked = carrying.request(self._clock(), user, MANAGER)

        def step(world: World) -> Outcome:
            outcome = carrying.apply(world, change, asked)
            for entry in outcome.entries:
                self._depths[entry.rv] = depth
            return outcome

        try:
            outcome = await self._keeper.write(step)
        except Refusal as refusal:
            if change.verb == "delete" and refusal.code == 404:
                return False
            raise
        while len(self._depths) > REMEMBERED:
            del self._depths[next(iter(self._depths))]
        return bool(outcome.entries)

    async def tell(self, about: Ref, reason: str, message: str) -> None:
        """Tell of an object by an Event; the same news again is counted, and too much news dropped."""
        there = self._gate.around(self._clock()).view.get(
            about.group, about.kind, about.namespace, about.name
        )
        if there is None:
            return
        severity = "Normal" if reason == APPLIED else "Warning"
        text = message if len(message) <= _LONGEST else f"{message[: _LONGEST - 3]}..."
        change = self._teller.pass_on(
            proposing.event(there, severity, reason, text, self._clock(), _COMPONENT)
        )
        if change is None:
            return
        try:
            await self.carry_out(change)
        except Refusal as refusal:
            if refusal.code not in {403, 404, 409}:  # the namespace is about to go
                raise
