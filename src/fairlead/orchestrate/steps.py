"""The shape of a controller: from what is there to a Step of proposed changes.

Types only. A Step is carried out by somebody else, in order, and its controller is asked again when that is visible
or when something it watches changes: a controller may never count on having been heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from fairlead.words import Change, Ref, Resource, View

Kind: TypeAlias = tuple[str, str]
"""Group and kind; the core group is ""."""

ANY: Kind = ("*", "*")
"""As a key of `watches`: every kind that there is."""


class Refused(Exception):
    """A change that the API refused: the Status' code, reason and message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Step:
    """What to change now, in this order, and how soon to look again even if nothing happens.

    A Kubernetes Event in `changes` tells of the change before it, and is dropped when that one is refused. A refused
    change ends the Step.
    """

    changes: tuple[Change, ...] = ()
    again: timedelta | None = None


Reconcile: TypeAlias = Callable[[View, Ref, datetime], Step]
Watch: TypeAlias = Callable[[View, Resource], Iterable[Ref]]
OnRefusal: TypeAlias = Callable[[View, Ref, Change, Refused, datetime], Step]


@dataclass(frozen=True, slots=True)
class Controller:
    """A rule that keeps the objects of one kind as they are declared.

    `reconcile` is called with the Ref of an object of `kind`, which may be gone by then. `watches` maps other kinds to
    the Refs that an object of them (as it is, or as it was) concerns. `refused` says what to write down when one of
    the changes was refused. `kind[1]` is "" for a controller that has one single task for the whole cluster: its key is `Ref("", "", "", name)`.
    """

    name: str
    kind: Kind
    reconcile: Reconcile
    watches: Mapping[Kind, Watch] = field(default_factory=dict)
    refused: OnRefusal | None = None
    patience: timedelta = timedelta(0)
    """How long after a start nothing should be concluded, because those who report must first be heard again."""
