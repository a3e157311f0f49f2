"""Looks at an instance: what a revision of it wanted, and how each of its objects is now. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fairlead.converge.health import Health, health
from fairlead.converge.resuming import NoWayBack
from fairlead.converge.revisions import Record
from fairlead.converge.stages import Check, Desired, Instance
from fairlead.converge.waiting import hint, pods_of
from fairlead.reactor import converging_records as records
from fairlead.reactor.converging_requests import Requests
from fairlead.reactor.converging_waiting import fleeting
from fairlead.words import Ref


@dataclass(frozen=True, slots=True)
class Row:
    """One object of an instance, and how it is; `hint` is what is wrong with its pods."""

    ref: Ref
    api_version: str
    health: Health
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """An instance's last record, and each object that may be there."""

    record: Record
    rows: Sequence[Row]

    @property
    def well(self) -> bool:
        """Whether the last revision is deployed and everything of it is healthy."""
        return self.record.state == "deployed" and all(one.health.current for one in self.rows)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        record = self.record
        return {
            "name": record.instance.name,
            "namespace": record.instance.namespace,
            "revision": record.number,
            "state": record.state,
            "message": record.message,
            "package": record.package,
            "packageVersion": record.package_version,
            "source": record.source,
            "digest": record.digest,
            "updated": record.updated,
            "objects": [
                {
                    "apiVersion": one.api_version,
                    "kind": one.ref.kind,
                    "namespace": one.ref.namespace,
                    "name": one.ref.name,
                    "state": one.health.state,
                    "message": one.health.message,
                    **({"hint": one.hint} if one.hint else {}),
                }
                for one in self.rows
            ],
        }


async def survey(requests: Requests, instance: Instance, now: datetime) -> Survey | None:
    """Return how an instance is, None where there is none. Raises BadRecord, Refusal and Unreachable."""
    last, _ = await records.last(requests, instance)
    if last is None:
        return None
    record = await records.opened(requests, last)
    checks: list[tuple[Ref, Sequence[Check]]] = [
        (Ref.of(one), stage.checks) for stage in record.stages for one in stage.objects
    ]
    by_ref = dict(checks)
    ending = {Ref.of(one) for stage in record.stages for one in stage.objects if fleeting(one)}
    live = await requests.live(record.inventory, instance.selector, [one.ref for one in record.inventory])
    rows = []
    for entry in record.inventory:
        item = live.get(entry.ref)
        found = health(item, now, by_ref.get(entry.ref, ()), complete=True)
        if item is None and entry.ref in ending:
            found = Health("Current", "has ended and was removed")
        why = ""
        if item is not None and not found.current and (selector := pods_of(item)):
            labels = ",".join(f"{key}={value}" for key, value in selector.items())
            why = hint((await requests.list("v1", "Pod", entry.ref.namespace, labels=labels))[0])
        rows.append(Row(entry.ref, entry.api_version, found, why))
    return Survey(record, sorted(rows, key=lambda row: (row.health.current, str(row.ref))))


async def revision(requests: Requests, instance: Instance, number: int = 0) -> Desired:
    """Return what a revision of the instance wanted (0: the one that is deployed). Raises NoWayBack, BadRecord, Refusal and Unreachable."""
    _, history = await records.last(requests, instance)
    if not number:
        deployed = [one.number for one in history if one.state == "deployed"]
        if not deployed:
            raise NoWayBack(f"no revision of {instance} is deployed")
        number = deployed[-1]
    record = await records.read(requests, instance, number)
    return Desired(
        instance=record.instance,
        stages=record.stages,
        source=record.source,
        package=record.package,
        version=record.package_version,
        digest=record.digest,
        notes=record.notes,
        moment=record.moment,
    )
