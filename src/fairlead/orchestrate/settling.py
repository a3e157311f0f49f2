"""Run the controllers over a copy of a cluster until nothing more would change: what-if, and tests.

It looks at no clock: the moment is handed in and does not pass, so what waits for time (back-off, deadlines) is
reported as waiting. Must only be given a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from fairlead.orchestrate.proposing import is_event
from fairlead.orchestrate.steps import Controller, Refused, Step
from fairlead.words import Change, Ref, View


class Target(View, Protocol):
    """A copy that can be read and changed. What was carried out must be visible at once."""

    def carry_out(self, change: Change) -> None:
        """Make the change, or raise Refused."""


@dataclass(slots=True)
class Settled:
    """What came of it: whether all came to rest, in how many rounds, what was changed and what was refused.

    `waiting` maps a controller's name and the Ref to how long from now it would look again.
    """

    quiet: bool = False
    rounds: int = 0
    changes: list[Change] = field(default_factory=list)
    refusals: list[tuple[str, Change, Refused]] = field(default_factory=list)
    waiting: dict[tuple[str, Ref], timedelta] = field(default_factory=dict)
    faults: list[tuple[str, Ref, Exception]] = field(default_factory=list)


def keys(controller: Controller, view: View) -> list[Ref]:
    """Return every Ref that the controller should be asked about."""
    if not controller.kind[1]:
        return [Ref("", "", "", controller.name)]
    return [Ref.of(resource) for resource in view.list(*controller.kind)]


def settle(target: Target, now: datetime, controllers: Sequence[Controller], rounds: int = 100) -> Settled:
    """Ask every controller about every object, again and again, until a whole round changes nothing.

    Events are carried out but do not count as changes. A controller that fails with an exception is noted in
    `faults` and does not stop the others. What is refused is told to the controller and tried again each round; a
    round of nothing but refusals is rest.
    """
    settled = Settled()
    for number in range(1, rounds + 1):
        settled.rounds = number
        settled.waiting.clear()
        settled.refusals.clear()
        settled.faults.clear()
        moved = False
        for controller in controllers:
            for ref in keys(controller, target):
                moved |= _one(controller, ref, target, now, settled)
        if not moved:
            settled.quiet = True
            break
    return settled


def _one(controller: Controller, ref: Ref, target: Target, now: datetime, settled: Settled) -> bool:
    try:
        step = controller.reconcile(target, ref, now)
    except Exception as fault:  # noqa: BLE001 -- one bad object must not sink the rest; it is reported
        settled.faults.append((controller.name, ref, fault))
        return False
    if step.again is not None:
        settled.waiting[controller.name, ref] = step.again
    moved, refusal = _carry_out(step.changes, target, settled)
    if refusal is not None:
        change, why = refusal
        settled.refusals.append((controller.name, change, why))
        if controller.refused is not None:
            more: Step = controller.refused(target, ref, change, why, now)
            again, _ = _carry_out(more.changes, target, settled)
            moved = moved or again
    return moved


def _carry_out(
    changes: Iterable[Change], target: Target, settled: Settled
) -> tuple[bool, tuple[Change, Refused] | None]:
    moved = False
    for change in changes:
        try:
            target.carry_out(change)
        except Refused as refusal:
            if refusal.code == 404 and change.verb != "create":
                continue
            if is_event(change):
                continue
            return moved, (change, refusal)
        settled.changes.append(change)
        moved = moved or not is_event(change)
    return moved, None
