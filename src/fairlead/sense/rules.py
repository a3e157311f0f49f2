"""A rule as the engine wants it, whatever dialect it was written in, and what comes of it: Detections.

A rule is one of two sorts. With a `condition` (a tree of tongues.conditions over the fields of sense.fields) the engine finds
by itself which events it concerns, what the kernel can decide, and compiles the rest. Without one, its dialect says all that: `kinds`
or `hooks` (with clauses whose owner is the rule's key) and a `residue`. A rule never acts; what is to be done stands in its clauses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fairlead.sense.events import Event
from fairlead.sense.plans import Guard, Hook, Prevention
from fairlead.words import Severity, Where


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """One rule. `key` is unique among all dialects' rules: `falco/Terminal shell in container`.

    `kinds` are the kinds of events to be asked about (Event.kind), "*" for every event that is judged. They are not needed with a
    condition, nor with hooks: a rule is asked about an event of a hook of its own when one of its clauses there passed.
    `residue` decides finally: a false value is no, True is a detection, and any other value is one whose `data` it becomes. None says yes to
    all. Both a condition and a residue must be met where both are there. `message` is the one sentence of the finding,
    made at once, while the process is as it was.
    `priority` and `detail` are the dialect's own: its word for how bad it is, and its model for outputs.
    """

    key: str
    dialect: str
    name: str
    severity: Severity = Severity.WARNING
    priority: str = ""
    message: Callable[[Event], str] | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    condition: Any = None
    kinds: tuple[str, ...] = ()
    residue: Callable[[Event], object] | None = None
    hooks: tuple[Hook, ...] = ()
    preventions: tuple[Prevention, ...] = ()
    guards: tuple[Guard, ...] = ()
    where: Where = field(default_factory=Where)
    enabled: bool = True
    findings: bool = True  # False: its detections go to the dialect's own output only
    detail: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A rule said yes to an event. `data` is what its residue returned besides True; `clauses` the indexes of its clauses that passed."""

    rule: Rule
    event: Event
    data: Any = None
    clauses: tuple[int, ...] = ()


@dataclass(slots=True)
class RuleError:
    """A rule that raised: how often, and what it said first."""

    rule: Rule
    text: str
    count: int = 1
    last: int = field(default=0)
