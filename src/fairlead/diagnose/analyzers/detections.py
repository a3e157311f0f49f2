"""What rules over the kernel's events have found: each of the sensor's Detections (fairlead.dev) as a fact of its own.

One fact for each rule and workload, whatever the number of pods, with how often, how lately and by which processes. Judges nothing: the
rule did. What is long past is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory, moment
from fairlead.tongues.paths import mapping, text, whole, words
from fairlead.words import Evidence, Ref, Resource, Severity

GROUP, KIND = "fairlead.dev", "Detection"
LATELY = timedelta(hours=24)
"""How long after it was seen last a detection is told of."""
_TREES = 3
_PLAIN = re.compile(r"[^a-z0-9]+")


def rule_name(dialect: str, name: str) -> str:
    """Return the stable name of a rule of a dialect: `sense.falco.terminal-shell-in-container`."""
    plain = _PLAIN.sub("-", name.lower()).strip("-")
    return f"sense.{dialect or 'rule'}.{plain or 'unnamed'}"


def _detection(inventory: Inventory, one: Resource) -> Iterator[Fact]:
    """A detection that is not long past; those of one workload's pods by one rule are one fact."""
    if not inventory.live:
        return
    last = moment(one.get("lastSeen")) or moment(mapping(one, "metadata").get("creationTimestamp"))
    if last is not None and inventory.past(last, LATELY):
        return
    about = _subject(one)
    pod = inventory.get(about) if (about.group, about.kind) == ("", "Pod") else None
    member = inventory.member(pod) if pod is not None else None
    yield Fact(
        rule=rule_name(text(one, "dialect"), text(one, "rule")),
        subject=member.top.ref if member is not None else about,
        severity=_severity(one),
        message=_message(inventory, one, about),
        cause=inventory.quote(text(one, "description"), about),
        evidence=tuple(_evidence(inventory, one, about, last)),
    )


def _subject(detection: Resource) -> Ref:
    """Return what it is about: a Pod, a Node, or the Detection itself where that is not told."""
    about: Mapping[str, Any] = mapping(detection, "subject")
    if not text(about, "kind") or not text(about, "name"):
        return Ref.of(detection)
    group = text(about, "apiVersion").rpartition("/")[0]
    return Ref(group, text(about, "kind"), text(about, "namespace"), text(about, "name"), text(about, "uid"))


def _severity(detection: Resource) -> Severity:
    told = text(detection, "severity")
    return Severity(told) if told in {one.value for one in Severity} else Severity.WARNING


def _message(inventory: Inventory, detection: Resource, about: Ref) -> str:
    name = inventory.quote(text(detection, "rule"), about, 120)
    said = inventory.quote(text(detection, "message"), about, 300)
    return f"{name}: {said}" if said and said != name else name


def _evidence(
    inventory: Inventory, detection: Resource, about: Ref, last: datetime | None
) -> Iterator[Evidence]:
    count = whole(detection, "count", default=1)
    ago = f", last {inventory.ago(last)} ago" if last is not None else ""
    inside = text(detection, "container")
    where = f" in container {inventory.quote(inside, about, 80)}" if inside else ""
    yield Evidence("event", about, f"seen {count} time{'' if count == 1 else 's'}{where}{ago}")
    for line in words(detection, "processes")[:_TREES]:
        yield Evidence("process", about, inventory.quote(line, about))


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {(GROUP, KIND): _detection}
