"""Reads and writes the records of revisions on a cluster: Secrets in the instance's namespace.

A record's parts are written before its head, so that a head that is there is whole. Knows how records look; decides nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from fairlead.converge import revisions
from fairlead.converge.revisions import BadRecord, Line, Record
from fairlead.converge.stages import Instance
from fairlead.keep.errors import Refusal
from fairlead.reactor.converging_requests import Requests, raise_first
from fairlead.words import Ref, Resource

MANAGER: Final = "fairlead-record"


def moment(now: datetime) -> str:
    """Return a time as records have it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _ref(instance: Instance, name: str) -> Ref:
    return Ref("", "Secret", instance.namespace, name)


async def heads(requests: Requests, instance: Instance) -> list[Resource]:
    """Return the heads of an instance's records, the oldest first. Raises Refusal and Unreachable."""
    found, _ = await requests.list(
        "v1", "Secret", instance.namespace, labels=revisions.selector(instance.name)
    )
    return sorted((one for one in found if revisions.is_record(one)), key=revisions.number_of)


async def last(requests: Requests, instance: Instance) -> tuple[Record | None, list[Line]]:
    """Return the last record, unopened, and the whole history. Raises BadRecord, Refusal and Unreachable."""
    found = await heads(requests, instance)
    return (revisions.decode(found[-1]) if found else None), revisions.lines(found)


async def history(requests: Requests, instance: Instance) -> list[Line]:
    """Return what is told of the revisions, the oldest first; none of them is opened. Raises Refusal and Unreachable."""
    return revisions.lines(await heads(requests, instance))


async def read(requests: Requests, instance: Instance, number: int) -> Record:
    """Return a record with its stages. Raises BadRecord, also where there is none, Refusal and Unreachable."""
    head = await requests.get("v1", _ref(instance, revisions.name_of(instance.name, number)))
    if head is None:
        raise BadRecord(f"there is no revision {number} of {instance}")
    return await opened(requests, revisions.decode(head))


async def opened(requests: Requests, record: Record) -> Record:
    """Return the record with its stages. Raises BadRecord, Refusal and Unreachable."""
    if record.opened:
        return record
    parts = [await requests.get("v1", _ref(record.instance, name)) for name in revisions.parts_of(record)]
    return revisions.opened(record, [one for one in parts if one is not None])


async def write(requests: Requests, record: Record) -> Record:
    """Write a new record and return it as it is kept. Raises BadRecord, Refusal and Unreachable."""
    *parts, head = revisions.encode(record)
    raise_first(await requests.each(parts, lambda one: requests.apply(one, MANAGER, force=True)))
    kept = await requests.apply(head, MANAGER, force=True)
    return replace(record, chunks=len(parts), version=str(kept["metadata"].get("resourceVersion") or ""))


async def update(requests: Requests, record: Record, **changes: object) -> Record:
    """Write down how it goes with a record; return it as it is kept. Raises Refusal(409) where somebody else has written it since."""
    record = replace(record, **changes)  # type: ignore[arg-type]
    ref, patch = _ref(record.instance, record.name), revisions.changed(record)
    try:
        kept = await requests.patch("v1", ref, patch, "merge", MANAGER)
    except Refusal as refusal:
        found = await requests.get("v1", ref) if refusal.code == 409 else None
        if found is None or found.get("data") != patch["data"]:
            raise
        kept = found  # it was carried out, and only its answer was lost
    return replace(record, version=str(kept["metadata"].get("resourceVersion") or ""))


async def supersede(requests: Requests, instance: Instance, number: int, now: datetime) -> None:
    """Write down that the deployed revisions before this one are no longer what is there."""
    for head in await heads(requests, instance):
        record = revisions.decode(head)
        if record.number >= number:
            continue
        after = _AFTERWARDS.get(record.state)
        if after is not None:
            state, message = after
            await update(
                requests,
                record,
                state=state,
                message=message or record.message,
                proofs={},
                # what was deployed keeps the time at which it was
                updated=record.updated if record.state == "deployed" else moment(now),
            )


_AFTERWARDS: Final[Mapping[str, tuple[str, str]]] = {
    "deployed": ("superseded", ""),
    "pending": ("failed", "was interrupted, and another revision took its place"),
    "deleting": ("superseded", "was being deleted when another revision took its place"),
}
"""What becomes of the state of a record when a later one is deployed, and what is said of it."""


async def forget(requests: Requests, instance: Instance, numbers: list[int]) -> None:
    """Delete the records of these revisions, heads last, so that what is left of one can be deleted again."""
    for number in numbers:
        name = revisions.name_of(instance.name, number)
        head = await requests.get("v1", _ref(instance, name))
        parts: list[str] = []
        if head is not None:
            with contextlib.suppress(BadRecord):
                parts = revisions.parts_of(revisions.decode(head))
        for one in [*parts, name]:
            with contextlib.suppress(Refusal):
                await requests.delete("v1", _ref(instance, one), "")


async def forget_all(requests: Requests, instance: Instance) -> None:
    """Delete everything that is kept of an instance, heads last."""
    found, _ = await requests.list(
        "v1", "Secret", instance.namespace, labels=f"{revisions.OF}={instance.name}"
    )
    for one in sorted(found, key=revisions.is_record):
        ref = Ref.of(one)
        await requests.delete("v1", ref, ref.uid)


async def instances(requests: Requests, namespace: str = "") -> list[Line]:
    """Return the last line of each instance of a namespace, or of all. Raises Refusal and Unreachable."""
    found, _ = await requests.list("v1", "Secret", namespace, labels=revisions.selector())
    latest: dict[tuple[str, str], Line] = {}
    for line in revisions.lines(found):
        latest[line.instance.namespace, line.instance.name] = line
    return list(latest.values())
