"""What is known of a finding over time: when it was first and last seen, how often it came, and whether it comes and goes.

A Sighting is the memory of one finding; `observe` takes what one look found and gives the memories that hold from then on. Time comes in.
Never looks at anything itself, and keeps no more than a bounded part of the past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from fairlead.diagnose import records
from fairlead.diagnose.inventories import moment, span
from fairlead.tongues.paths import find, mapping, text
from fairlead.words import Finding

State: TypeAlias = Literal["active", "resolved"]

CHANGES = 16
"""How many changes of state are remembered of one finding."""
FLAPS, FLAP_WINDOW = 4, timedelta(hours=1)
"""So many changes of state in so much time are flapping: it came, went, came and went."""
KEEP = timedelta(days=7)
"""How long a finding that is gone is remembered."""
MOST = 2000
"""How many findings that are gone are remembered at most: the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The memory of one finding. `finding` is its JSON as it was seen last; times are aware UTC.

    `times` counts how often it came; `changes` are the moments at which it came or went, the latest last, CHANGES at most.
    """

    id: str
    finding: Mapping[str, Any]
    first_seen: datetime
    last_seen: datetime
    times: int = 1
    state: State = "active"
    changes: tuple[datetime, ...] = ()

    @property
    def since(self) -> datetime:
        """When its state began."""
        return self.changes[-1] if self.changes else self.first_seen

    @property
    def flapping(self) -> bool:
        """Whether it came and went FLAPS times within FLAP_WINDOW, and has not been calm for so long since."""
        if len(self.changes) < FLAPS:
            return False
        latest = self.changes[-1]
        return (
            latest - self.changes[-FLAPS] <= FLAP_WINDOW
            and max(self.last_seen, latest) - latest <= FLAP_WINDOW
        )


def observe(
    past: Mapping[str, Sighting],
    findings: Iterable[Finding],
    now: datetime,
    *,
    looked: Callable[[Sighting], bool] = lambda _: True,
) -> dict[str, Sighting]:
    """Return the memories after a look that found these findings, by id: what came, what stays, what is gone.

    `looked` says whether the look would have found a remembered one again: it says no where its kind or namespace could not be
    seen, and such a memory stays as it was. What has been gone for longer than KEEP is forgotten.
    """
    found: dict[str, Sighting] = {}
    for one in findings:
        before = past.get(one.id)
        told = records.finding(one)
        if before is None:
            sighting = Sighting(id=one.id, finding=told, first_seen=now, last_seen=now, changes=(now,))
        elif before.state == "active":
            sighting = replace(before, finding=told, last_seen=now)
        else:
            sighting = replace(
                before,
                finding=told,
                last_seen=now,
                times=before.times + 1,
                state="active",
                changes=(*before.changes, now)[-CHANGES:],
            )
        found[one.id] = sighting
    gone: list[Sighting] = []
    for before in past.values():
        if before.id in found:
            continue
        if before.state == "active" and not looked(before):
            found[before.id] = before
        elif before.state == "active":
            gone.append(replace(before, state="resolved", changes=(*before.changes, now)[-CHANGES:]))
        elif now - before.since <= KEEP:
            gone.append(before)
    gone.sort(key=lambda one: one.since, reverse=True)
    found.update((one.id, one) for one in gone[:MOST])
    return found


def told(sighting: Sighting, now: datetime) -> str:
    """Return the memory in words: `since 3h, the 4th time, flapping`, `gone for 5m, was there 2 times`."""
    ago = span(now - sighting.since)
    if sighting.state == "resolved":
        parts = [f"gone for {ago}"]
        if sighting.times > 1:
            parts.append(f"was there {sighting.times} times")
    else:
        parts = [f"since {ago}"]
        if sighting.times > 1:
            parts.append(f"{sighting.times} times in {span(now - sighting.first_seen)}")
    if sighting.flapping:
        parts.append("flapping")
    return ", ".join(parts)


def _written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def status(one: Sighting) -> dict[str, Any]:
    """Return what a Finding object's status says of the memory; times in RFC 3339."""
    return {
        "state": one.state,
        "firstSeen": _written(one.first_seen),
        "lastSeen": _written(one.last_seen),
        "times": one.times,
        "flapping": one.flapping,
        "changes": [_written(at) for at in one.changes],
    }


def record(one: Sighting) -> dict[str, Any]:
    """Return the memory as JSON: its finding, and what `status` says."""
    return {"finding": dict(one.finding), "status": status(one)}


def read(document: Mapping[str, Any]) -> Sighting | None:
    """Return the memory that `record` wrote, or that a Finding object holds; None where it is none."""
    finding, said = mapping(document, "finding"), mapping(document, "status")
    name = text(finding, "id") or text(document, "metadata", "name")
    first = moment(said.get("firstSeen")) or moment(find(document, ("metadata", "creationTimestamp")))
    if not name or not finding or first is None:
        return None
    times, changes = said.get("times"), said.get("changes")
    return Sighting(
        id=name,
        finding=finding,
        first_seen=first,
        last_seen=moment(said.get("lastSeen")) or first,
        times=times if isinstance(times, int) and times > 0 else 1,
        state="resolved" if said.get("state") == "resolved" else "active",
        changes=tuple(
            at for at in map(moment, changes[-CHANGES:] if isinstance(changes, list) else ()) if at
        ),
    )
