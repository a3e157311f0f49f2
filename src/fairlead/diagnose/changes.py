"""What was changed before it broke: a workload's last rollout field by field, and who last wrote to what it depends on.

Told as evidence of kind `change`, and only where it came shortly before the trouble. Says what and when, never that it is the cause.
Values of Secrets, and of variables in the environment, are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from fairlead.diagnose.inventories import Inventory, moment
from fairlead.diagnose.revisions import replica_sets, revision
from fairlead.tongues.paths import Path, dotted, mapping, mappings, text
from fairlead.words import Evidence, Finding, Ref, Resource, Severity

LATELY = timedelta(hours=24)
"""What was changed longer ago is no news."""
_AUTOMATIC = frozenset(
    {"kube-controller-manager", "kube-scheduler", "kubelet", "kube-apiserver", "fairlead-heal", "fairlead"}
)
"""Field managers that are no person's."""
_LIMIT = 3
_SHOWN = 60
_HASH = "pod-template-hash"


def with_changes(inventory: Inventory, finding: Finding) -> Finding:
    """Return the finding with what was changed lately about its subject and what the subject names, newest first."""
    if finding.severity == Severity.INFO or not inventory.live:
        return finding
    told = sorted(_changes(inventory, finding), key=lambda one: one[0], reverse=True)[:_LIMIT]
    if not told:
        return finding
    return replace(finding, evidence=finding.evidence + tuple(one for _, one in told))


def _changes(inventory: Inventory, finding: Finding) -> Iterator[tuple[datetime, Evidence]]:
    subject = inventory.get(finding.subject)
    if subject is None:
        return
    yield from _rollout(inventory, finding.subject)
    yield from _writes(inventory, finding.subject, subject)
    for other in dict.fromkeys(one.subject for one in finding.evidence if one.subject != finding.subject):
        found = inventory.get(other)
        if found is not None and other.kind in {
            "ConfigMap",
            "Secret",
            "Service",
            "NetworkPolicy",
            "ResourceQuota",
            "Node",
        }:
            yield from _writes(inventory, other, found)


def _recent(inventory: Inventory, at: datetime | None) -> bool:
    return at is not None and inventory.past(at, timedelta()) and not inventory.past(at, LATELY)


def _rollout(inventory: Inventory, ref: Ref) -> Iterator[tuple[datetime, Evidence]]:
    """The newest ReplicaSet of a Deployment against the one before it."""
    if (ref.group, ref.kind) != ("apps", "Deployment"):
        return
    owned = replica_sets(inventory, ref.uid)
    if len(owned) < 2:
        return
    old, new = owned[-2], owned[-1]
    at = moment(mapping(new, "metadata").get("creationTimestamp"))
    if at is None or not _recent(inventory, at):
        return
    path: Path = ("spec", "template")
    found = list(_differences(mapping(old, *path), mapping(new, *path), path))
    if not found:
        return
    said = ", ".join(_told(inventory, ref, *one) for one in found[:_LIMIT])
    more = f" and {len(found) - _LIMIT} more" if len(found) > _LIMIT else ""
    message = f"rolled out {inventory.ago(at)} ago (revision {revision(new)}): {said}{more}"
    yield at, Evidence("change", ref, message, inventory.where(ref, found[0][0]))


def _differences(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """The leaves that differ; items of lists are matched by their name, where they have one."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key != _HASH:
                yield from _differences(old.get(key), new.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        before = {_name(one, at): one for at, one in enumerate(old)}
        now = {_name(one, at): (at, one) for at, one in enumerate(new)}
        for name, (at, one) in now.items():
            yield from _differences(before.pop(name, None), one, (*path, at))
        for gone in before.values():
            yield path, gone, None
    elif old != new:
        yield path, old, new


def _name(item: Any, at: int) -> object:
    return item["name"] if isinstance(item, dict) and isinstance(item.get("name"), str) else at


def _told(inventory: Inventory, ref: Ref, path: Path, old: Any, new: Any) -> str:
    where = dotted(path[2:])
    if "env" in path and path[-1] == "value":
        return f"{where} changed"
    if old is None:
        return (
            f"{where} added"
            if isinstance(new, dict | list)
            else f"{where} set to {_short(inventory, ref, new)}"
        )
    if new is None:
        return f"{where} taken out"
    return f"{where} from {_short(inventory, ref, old)} to {_short(inventory, ref, new)}"


def _short(inventory: Inventory, ref: Ref, value: Any) -> str:
    return inventory.quote(str(value), ref, _SHOWN)


def _writes(inventory: Inventory, ref: Ref, resource: Resource) -> Iterator[tuple[datetime, Evidence]]:
    """The last write to an object that no controller made and that was not its making."""
    made = moment(mapping(resource, "metadata").get("creationTimestamp"))
    last: tuple[datetime, str, Sequence[str]] | None = None
    for _, entry in mappings(resource, "metadata", "managedFields"):
        at, manager = moment(entry.get("time")), text(entry, "manager")
        if at is None or manager in _AUTOMATIC or entry.get("subresource"):
            continue
        if last is None or at > last[0]:
            last = at, manager, _fields(mapping(entry, "fieldsV1"))
    if (
        last is None
        or not _recent(inventory, last[0])
        or (made is not None and last[0] - made < timedelta(seconds=2))
    ):
        return
    at, manager, fields = last
    of = f" ({', '.join(fields[:_LIMIT])})" if fields else ""
    yield (
        at,
        Evidence("change", ref, f"{ref} was last written {inventory.ago(at)} ago by {manager}{of}"),
    )


def _fields(owned: Any) -> list[str]:
    """Return the top two levels of what a manager owns outside metadata: `spec.replicas`, `data.URL`."""
    found = []
    for outer, inner in owned.items():
        if not outer.startswith("f:") or outer == "f:metadata":
            continue
        names = [name[2:] for name in inner if name.startswith("f:")] if isinstance(inner, dict) else []
        found += [f"{outer[2:]}.{name}" for name in names] or [outer[2:]]
    return found
