"""Detections in Tracee's own JSON: one object an event, in the schema that its `--output json` prints.

Source: aquasecurity/tracee, types/trace/trace.go. What is not known here is left as Tracee leaves what is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.dialects.tracee.detectors import Detected
from fairlead.dialects.tracee.expressions import entity
from fairlead.dialects.tracee.happenings import Named, Sort
from fairlead.dialects.tracee.policies import Seen, Watched, threat_of
from fairlead.sense import behaviours_acts as acts
from fairlead.sense.behaviours_models import Behaviour
from fairlead.sense.events import Event, printable
from fairlead.sense.rules import Detection
from fairlead.sense.syscalls import EVERY

_MNT, _PID = 2, 3


def event(detection: Detection, host: str = "") -> dict[str, Any]:
    """Return one detection of a rule of Tracee's, or of a behaviour. `host` is the machine's name."""
    seen = detection.event
    watched, sort, told = _of(detection)
    args = [{"name": name, "type": kind, "value": _json(value)} for name, kind, value in told]
    if sort.alarming:
        args = [_trigger(sort, seen), *args]
    made: dict[str, Any] = {
        **_context(seen, host),
        "eventId": str(_number(sort)),
        "eventName": sort.name,
        "matchedPolicies": list(watched.policies) if watched else [],
        "argsNum": len(args),
        "returnValue": 0 if sort.alarming else seen.ret,
        "syscall": seen.kind if seen.kind in EVERY else "execve" if seen.kind == "exec" else "",
        "stackAddresses": None,
        "contextFlags": {"containerStarted": acts.started(seen), "isCompat": False},
        **_entities(seen),
        "args": args,
    }
    metadata = _metadata(sort)
    if metadata:
        made["metadata"] = metadata
    return made


def _of(detection: Detection) -> tuple[Watched | None, Sort, list[tuple[str, str, Any]]]:
    detail = detection.rule.detail
    if isinstance(detail, Watched):
        data = detection.data
        told = data.told if isinstance(data, Seen) else []
        return detail, detail.sort, told
    if isinstance(detail, Behaviour):
        sort = Named(detail, detail.event)
        data = detection.data if isinstance(detection.data, Mapping) else {}
        return None, sort, sort.told(detection.event, data)
    raise TypeError(f"no rule of Tracee's: {detection.rule.key}")


def _context(seen: Event, host: str) -> dict[str, Any]:
    process = seen.process
    container = process.container
    inside = process.vpid != process.pid
    return {
        "timestamp": seen.time,
        "threadStartTime": process.started,
        "processorId": 0,
        "processId": process.vpid,
        "cgroupId": seen.cgroup,
        "threadId": process.vpid if inside and seen.tid == seen.pid else seen.tid,
        "parentProcessId": process.vppid,
        "hostProcessId": seen.pid,
        "hostThreadId": seen.tid,
        "hostParentProcessId": process.ppid,
        "userId": seen.uid,
        "mountNamespace": process.ns[_MNT],
        "pidNamespace": process.ns[_PID],
        "processName": printable(seen.comm),
        "executable": {"path": printable(process.exe)},
        "hostName": host,
        "containerId": container.id if container else "",
        "container": {
            key: value
            for key, value in (
                ("id", container.id), ("name", container.name), ("image", container.image), ("imageDigest", container.digest),
            )
            if value
        } if container else {},
        "kubernetes": {
            key: value
            for key, value in (
                ("podName", container.pod), ("podNamespace", container.pod_namespace), ("podUID", container.pod_uid),
                ("podSandbox", container.sandbox),
            )
            if value
        } if container else {},
    }  # fmt: skip


def _entities(seen: Event) -> dict[str, int]:
    parent = seen.process.parent
    return {
        "threadEntityId": entity(seen.process),
        "processEntityId": entity(seen.process),
        "parentEntityId": entity(parent) if parent is not None else 0,
    }


def _trigger(sort: Sort, seen: Event) -> dict[str, Any]:
    """What a signature was set off by."""
    name, args = seen.kind, []
    if isinstance(sort, Detected):
        origin = sort.origin(seen)
        if origin is not None:
            name = origin[0]
            args = [
                {"name": key, "value": _json(value)} for key, value in origin[1].items() if value is not None
            ]
    return {
        "name": "triggeredBy",
        "type": "unknown",
        "value": {"args": args, "id": 0, "name": name, "returnValue": seen.ret},
    }


def _metadata(sort: Sort) -> dict[str, Any] | None:
    threat = threat_of(sort)
    if isinstance(sort, Named):
        one = sort.behaviour
        return {
            "Version": one.version, "Description": one.description, "Tags": None, "Properties": one.properties,
        }  # fmt: skip
    if threat is None or not isinstance(sort, Detected):
        return None
    properties = {
        **threat["properties"], "Category": threat["tactic"], "Severity": threat["severity"], "Technique": threat["technique_name"],
        "external_id": threat["technique"], "signatureID": sort.id, "signatureName": threat["name"],
    }  # fmt: skip
    return {
        "Version": sort.version, "Description": threat["description"], "Tags": list(sort.sets[1:]) or None, "Properties": properties,
    }  # fmt: skip


def _number(sort: Sort) -> int:
    """Tracee's number of an event: a system call's own, else one that stays the same for the same name."""
    from fairlead.sense.syscalls import number_of

    found = number_of(sort.name)
    if found is not None:
        return found
    return (6000 if sort.alarming else 700) + sum(at * ord(one) for at, one in enumerate(sort.name, 1)) % 999


def _json(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, Mapping):
        return {key: _json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    return value
