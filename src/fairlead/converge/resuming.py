"""What comes next when an instance's history is read: a fresh revision, or going on with one that was interrupted; and where a rollback leads.

Pure: records in, a decision out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fairlead.converge.inventory import Inventory
from fairlead.converge.revisions import Line, Record, wants
from fairlead.converge.stages import Desired

Way: TypeAlias = Literal["first", "next", "resume", "supersede"]


@dataclass(frozen=True, slots=True)
class Start:
    """How to begin: the number of the revision, whether one that was interrupted is gone on with, and what may be there already."""

    way: Way
    number: int
    known: Inventory

    @property
    def resumes(self) -> bool:
        """Whether the last record is gone on with."""
        return self.way == "resume"


def start(desired: Desired, last: Record | None) -> Start:
    """Return how to begin, given the last record of the instance.

    A pending record of the same objects is gone on with. One of others is superseded: what it may have written stays known.
    """
    if last is None:
        return Start("first", 1, Inventory())
    if last.state == "pending":
        if wants(desired.stages, desired.moment) == last.fingerprint and desired.moment == last.moment:
            return Start("resume", last.number, last.inventory)
        return Start("supersede", last.number + 1, last.inventory)
    return Start("next", last.number + 1, last.inventory)


class NoWayBack(ValueError):
    """There is no revision to go back to; the text says why."""


def back(history: Sequence[Line], wanted: int = 0) -> int:
    """Return the revision that a rollback leads to: the one that is named, or the last that was good before the last. Raises NoWayBack."""
    if not history:
        raise NoWayBack("there are no revisions")
    numbers = [one.number for one in history]
    if wanted:
        if wanted not in numbers:
            raise NoWayBack(f"there is no revision {wanted}: there are {', '.join(map(str, numbers))}")
        return wanted
    good = [one.number for one in history[:-1] if one.state in {"deployed", "superseded"}]
    if not good:
        raise NoWayBack(f"no revision before {numbers[-1]} was ever deployed")
    return good[-1]
