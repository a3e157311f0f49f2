"""One object in another version of its kind: core and events.k8s.io Events, autoscaling v1 and v2, custom resources.

`convert` changes the object that it is given. Custom resources follow the conversion strategy None: only the
apiVersion differs. Nothing here validates.
Source: k8s.io/kubernetes pkg/apis/core/v1, events/v1 and autoscaling/v1 conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from fairlead.keep.entries import Entry, Storage, Stored, encode
from fairlead.keep.kinds import Kind
from fairlead.words import Resource

STORED_AS: Mapping[Storage, tuple[str, str]] = {
    ("", "events"): ("", "v1"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"): ("admissionregistration.k8s.io", "v1"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"): (
        "admissionregistration.k8s.io",
        "v1",
    ),
    ("autoscaling", "horizontalpodautoscalers"): ("autoscaling", "v2"),
}
"""Built-in kinds that are served in several versions: the group and version that they are stored in."""

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_STATUSES = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"

_EVENT_NAMES = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
)
_TO_CORE = dict(_EVENT_NAMES)
_FROM_CORE = {core: new for new, core in _EVENT_NAMES}


def convert(obj: Resource, api_version: str) -> Resource:
    """Return the object in the given apiVersion of its kind; the one handed in is used up."""
    given = obj.get("apiVersion")
    if given == api_version:
        return obj
    obj["apiVersion"] = api_version
    rule = _RULES.get((given or "", api_version))
    return rule(obj) if rule else obj


def shown(stored: Stored, kind: Kind) -> Stored:
    """Return the stored object in the version of `kind`: itself where it is stored in that one."""
    api_version = kind.api_version
    if stored.body.startswith(_prefix(api_version)):
        return stored
    obj = convert(stored.object, api_version)
    return Stored(
        stored.rv, stored.namespace, stored.name, encode(obj), stored.labels, stored.uid, stored.owners
    )


def all_shown(items: Sequence[Stored], kind: Kind) -> list[Stored]:
    """Return the stored objects in the version of `kind`."""
    prefix = _prefix(kind.api_version)
    return [stored if stored.body.startswith(prefix) else shown(stored, kind) for stored in items]


def shown_entry(entry: Entry, kind: Kind) -> Entry:
    """Return the entry with its bodies in the version of `kind`."""
    if entry.body.startswith(_prefix(kind.api_version)) or entry.stored is None:
        return entry
    after = shown(entry.stored, kind)
    before = shown(entry.before, kind) if entry.before is not None else None
    return Entry(
        entry.rv,
        entry.type,
        entry.storage,
        entry.namespace,
        entry.name,
        after.body,
        entry.previous,
        after,
        before,
    )


def _prefix(api_version: str) -> bytes:
    prefix = _PREFIXES.get(api_version)
    if prefix is None:
        prefix = _PREFIXES[api_version] = b'{"apiVersion":"' + api_version.encode() + b'"'
    return prefix


_PREFIXES: dict[str, bytes] = {}


def _event_to_core(event: Resource) -> Resource:
    result = {_TO_CORE.get(key, key): value for key, value in event.items()}
    if isinstance(result.get("source"), dict) and not result["source"]:
        del result["source"]
    return result


def _event_from_core(event: Resource) -> Resource:
    return {_FROM_CORE.get(key, key): value for key, value in event.items()}


def _to_v2(hpa: Resource) -> Resource:
    spec = hpa.setdefault("spec", {})
    annotations = dict(hpa.get("metadata", {}).get("annotations") or {})
    metrics = [_metric_to_v2(metric) for metric in _take_all(annotations, _METRICS)]
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        cpu = {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}},
        }
        metrics.insert(0, cpu)
    if metrics:
        spec["metrics"] = metrics
    behavior = _take(annotations, _BEHAVIOR)
    if behavior:
        spec["behavior"] = behavior
    status = hpa.get("status")
    current = [_current_to_v2(metric) for metric in _take_all(annotations, _STATUSES)]
    conditions = _take(annotations, _CONDITIONS)
    if status is not None:
        seen = status.pop("currentCPUUtilizationPercentage", None)
        if seen is not None:
            current.insert(
                0, {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": seen}}}
            )
        if current:
            status["currentMetrics"] = current
        if conditions:
            status["conditions"] = conditions
    _put_annotations(hpa, annotations)
    return hpa


def _to_v1(hpa: Resource) -> Resource:
    spec = hpa.setdefault("spec", {})
    annotations = dict(hpa.get("metadata", {}).get("annotations") or {})
    others = []
    for metric in spec.pop("metrics", None) or []:
        target = (metric.get("resource") or {}).get("target") or {}
        plain_cpu = metric.get("type") == "Resource" and metric["resource"].get("name") == "cpu"
        if plain_cpu and target.get("averageUtilization") is not None:
            spec["targetCPUUtilizationPercentage"] = target["averageUtilization"]
        else:
            others.append(_metric_to_v1(metric))
    _leave(annotations, _METRICS, others)
    _leave(annotations, _BEHAVIOR, spec.pop("behavior", None))
    status = hpa.get("status")
    if status is not None:
        left = []
        for metric in status.pop("currentMetrics", None) or []:
            current = (metric.get("resource") or {}).get("current") or {}
            plain_cpu = metric.get("type") == "Resource" and metric["resource"].get("name") == "cpu"
            if plain_cpu and current.get("averageUtilization") is not None:
                status["currentCPUUtilizationPercentage"] = current["averageUtilization"]
            else:
                left.append(_current_to_v1(metric))
        _leave(annotations, _STATUSES, left)
        _leave(annotations, _CONDITIONS, status.pop("conditions", None))
    _put_annotations(hpa, annotations)
    return hpa


def _take(annotations: dict[str, str], name: str) -> Any:
    text = annotations.pop(name, None)
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _take_all(annotations: dict[str, str], name: str) -> list[Resource]:
    """Return the objects in a list; whatever else somebody wrote there is dropped."""
    found = _take(annotations, name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _leave(annotations: dict[str, str], name: str, value: Any) -> None:
    if value:
        annotations[name] = orjson.dumps(value).decode()


def _put_annotations(obj: Resource, annotations: dict[str, str]) -> None:
    meta = obj.setdefault("metadata", {})
    if annotations:
        meta["annotations"] = annotations
    else:
        meta.pop("annotations", None)


_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}
_TARGETS = (
    ("averageUtilization", "targetAverageUtilization"),
    ("averageValue", "targetAverageValue"),
    ("value", "targetValue"),
)
_CURRENTS = (
    ("averageUtilization", "currentAverageUtilization"),
    ("averageValue", "currentAverageValue"),
    ("value", "currentValue"),
)


def _metric_to_v1(metric: Resource) -> Resource:
    return _flatten(metric, "target", _TARGETS)


def _current_to_v1(metric: Resource) -> Resource:
    return _flatten(metric, "current", _CURRENTS)


def _flatten(metric: Resource, field: str, names: tuple[tuple[str, str], ...]) -> Resource:
    key = _SOURCES.get(metric.get("type", ""), "")
    source = dict(metric.get(key) or {})
    value = source.pop(field, None) or {}
    metric_id = source.pop("metric", None)
    if metric_id is not None:
        source["metricName"] = metric_id.get("name", "")
        if metric_id.get("selector") is not None:
            source["metricSelector" if key == "external" else "selector"] = metric_id["selector"]
    if "describedObject" in source:
        source["target"] = source.pop("describedObject")
    for new, old in names:
        if value.get(new) is not None:
            source[old] = value[new]
    return {"type": metric.get("type", ""), key: source}


def _metric_to_v2(metric: Resource) -> Resource:
    return _nest(metric, "target", _TARGETS)


def _current_to_v2(metric: Resource) -> Resource:
    return _nest(metric, "current", _CURRENTS)


def _nest(metric: Resource, field: str, names: tuple[tuple[str, str], ...]) -> Resource:
    key = _SOURCES.get(str(metric.get("type", "")), "")
    given = metric.get(key)
    source = dict(given) if isinstance(given, dict) else {}
    value: dict[str, Any] = {}
    for new, old in names:
        if old in source:
            value[new] = source.pop(old)
    if field == "target":
        kinds = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}
        value = {"type": next((kinds[new] for new in kinds if new in value), "Value"), **value}
    described = source.pop("target", None) if key == "object" else None
    name = source.pop("metricName", None)
    if name is not None:
        metric_id: dict[str, Any] = {"name": name}
        selector = source.pop("metricSelector", None) or source.pop("selector", None)
        if selector is not None:
            metric_id["selector"] = selector
        source["metric"] = metric_id
    if described is not None:
        source["describedObject"] = described
    return {"type": metric.get("type", ""), key: {**source, field: value}}


_RULES: Mapping[tuple[str, str], Callable[[Resource], Resource]] = {
    ("events.k8s.io/v1", "v1"): _event_to_core,
    ("v1", "events.k8s.io/v1"): _event_from_core,
    ("autoscaling/v1", "autoscaling/v2"): _to_v2,
    ("autoscaling/v2", "autoscaling/v1"): _to_v1,
}
