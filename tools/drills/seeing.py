"""What can be seen of objects: whether a check holds, and whether an app is well. Data in, data out."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from drills.reading import Check, Manifest, Thing

Objects = Mapping[str, Sequence[Manifest]]
"""Objects by their kind."""


def kinds_for(checks: Iterable[Check]) -> dict[str, str]:
    """Return the kinds that are to be listed for some checks, with the apiVersion of those that Kubernetes has not ("")."""
    found: dict[str, str] = {}
    for check in checks:
        found[check.thing.kind] = check.seen.get("apiVersion", "")
        if "event" in check.seen:
            found["Event"] = ""
        if "endpoints" in check.seen:
            found["EndpointSlice"] = ""
    return found


def named(thing: Thing, objects: Objects) -> Iterator[Manifest]:
    """Yield the objects that a thing may mean."""
    for one in objects.get(thing.kind, ()):
        meta = one["metadata"]
        if fnmatch.fnmatchcase(meta["name"], thing.name) and thing.namespace in {
            "",
            meta.get("namespace", ""),
        }:
            yield one


def holds(check: Check, objects: Objects) -> bool:
    """Say whether the check holds of some object."""
    found = list(named(check.thing, objects))
    if "gone" in check.seen:
        return not found
    return any(all(_holds(word, check.seen, one, objects) for word in check.seen) for one in found)


def _holds(word: str, seen: Mapping[str, Any], one: Manifest, objects: Objects) -> bool:
    value = seen[word]
    status = one.get("status") or {}
    match word:
        case "waiting":
            return any(text in _any(value) for text in _states(status, "waiting", "state"))
        case "terminated":
            return any(
                text in _any(value)
                for field in ("state", "lastState")
                for text in _states(status, "terminated", field)
            )
        case "restarts":
            return any(bool(each.get("restartCount", 0) >= value) for each in _containers(status))
        case "condition":
            return any(_condition(each, value) for each in status.get("conditions") or ())
        case "event":
            return any(True for _ in _events(one, value, seen.get("says", ""), objects))
        case "phase":
            return bool(status.get("phase") == value)
        case "endpoints":
            return bool(ready_endpoints(one, objects) == value)
        case "path":
            return bool(at(one, value) == seen.get("is"))
        case _:
            return word in {"says", "is", "apiVersion"}  # they say more about another word


def _any(value: Any) -> Sequence[str]:
    return value if isinstance(value, list) else [value]


def _containers(status: Manifest) -> Iterator[Manifest]:
    for field in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(field) or ()


def _states(status: Manifest, state: str, field: str) -> Iterator[str]:
    for each in _containers(status):
        found = (each.get(field) or {}).get(state)
        if found is not None:
            yield found.get("reason", "")


def _condition(condition: Manifest, wanted: str) -> bool:
    """Say whether a condition is as `Type=Status` or `Type=Status/Reason` says."""
    kind, _, rest = wanted.partition("=")
    status, _, reason = rest.partition("/")
    if condition.get("type") != kind or condition.get("status") != status:
        return False
    return reason in {"", condition.get("reason", "")}


def _events(about: Manifest, reason: str, says: str, objects: Objects) -> Iterator[Manifest]:
    meta = about["metadata"]
    for event in objects.get("Event", ()):
        subject = event.get("involvedObject") or {}
        if (subject.get("kind"), subject.get("name")) != (about["kind"], meta["name"]):
            continue
        if event.get("reason") == reason and re.search(says, event.get("message", "")):
            yield event


def ready_endpoints(service: Manifest, objects: Objects) -> int:
    """Return how many ready endpoints a Service has."""
    name = service["metadata"]["name"]
    ends = [
        end
        for one in objects.get("EndpointSlice", ())
        if (one["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name
        for end in one.get("endpoints") or ()
    ]
    return sum(1 for end in ends if (end.get("conditions") or {}).get("ready"))


def at(one: Any, path: str) -> Any:
    """Return what stands at a path such as `spec.ports.0.port`, None where nothing does; `~` in a part stands for a dot."""
    for part in path.split("."):
        key = part.replace("~", ".")
        if isinstance(one, list):
            one = one[int(key)] if key.isdigit() and int(key) < len(one) else None
        elif isinstance(one, dict):
            one = one.get(key)
        else:
            return None
    return one


HEALTH: Mapping[str, str] = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "Pod": "v1",
    "Service": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
}
"""What is looked at to say whether an app is well."""


def ill(objects: Objects) -> list[str]:
    """Return what is not well, in words; [] when all is. What is being deleted or is scaled to nothing does not count."""
    found: list[str] = []
    for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "Service", "Pod"):
        for one in objects.get(kind, ()):
            if one["metadata"].get("deletionTimestamp"):
                continue
            said = _ill(kind, one, objects)
            if said:
                found.append(f"{kind} {one['metadata']['name']}: {said}")
    return found


def _ill(kind: str, one: Manifest, objects: Objects) -> str:
    status, spec = one.get("status") or {}, one.get("spec") or {}
    if kind == "Service":
        lacks = (
            spec.get("selector") and not ready_endpoints(one, objects) and spec.get("type") != "ExternalName"
        )
        return "no endpoints" if lacks else ""
    if kind == "Job":
        waits = not status.get("succeeded") and not spec.get("suspend")
        return "not done" if waits else ""
    if kind == "Pod":
        owned = one["metadata"].get("ownerReferences")
        ready = any(
            each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ()
        )
        return "" if owned or ready or status.get("phase") == "Succeeded" else "not ready"
    if status.get("observedGeneration") != one["metadata"].get("generation"):
        return "not looked at yet"
    if kind == "DaemonSet":
        wanted, have = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
        return (
            "" if wanted == have == status.get("updatedNumberScheduled", 0) else f"{have} of {wanted} ready"
        )
    wanted = spec.get("replicas", 1)
    counts = [status.get(field) or 0 for field in ("replicas", "updatedReplicas", "readyReplicas")]
    return "" if counts == [wanted] * 3 else f"{counts[2]} of {wanted} ready"
