"""HorizontalPodAutoscalers: keep a target within its bounds, and say honestly that there are no metrics.

Source: k8s.io/kubernetes/pkg/controller/podautoscaler. fairlead serves no metrics API yet, so every metric fails as
it does on a cluster without one; the bounds of minReplicas and maxReplicas hold all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from fairlead.orchestrate import conditions, moments, namespaces, owning, proposing
from fairlead.orchestrate.replicasets import desired
from fairlead.orchestrate.steps import Controller, Step
from fairlead.words import Change, Ref, Resource, View

KIND = ("autoscaling", "HorizontalPodAutoscaler")
COMPONENT = "horizontal-pod-autoscaler"
NO_METRICS = (
    "unable to get metrics for resource {name}: unable to fetch metrics from resource metrics API: "
    "the server could not find the requested resource (get pods.metrics.k8s.io)"
)
SCALABLE = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"})


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    scaler = view.get(*KIND, ref.namespace, ref.name)
    if scaler is None or owning.is_deleted(scaler):
        return Step()
    spec = scaler.get("spec") or {}
    wanted = spec.get("scaleTargetRef") or {}
    group = (wanted.get("apiVersion") or "").rpartition("/")[0]
    target = view.get(group, wanted.get("kind", ""), ref.namespace, wanted.get("name", ""))
    if target is None or (
        target["kind"] not in SCALABLE and (target.get("spec") or {}).get("replicas") is None
    ):
        return _no_target(scaler, group, wanted, now)
    text = "the HPA controller was able to get the target's current scale"
    found = _put(scaler, [], "AbleToScale", "True", "SucceededGetScale", text, now)
    current = desired(target)
    if current == 0 and spec.get("minReplicas") != 0:
        text = "scaling is disabled since the replica count of the target is zero"
        found = _put(scaler, found, "ScalingActive", "False", "ScalingDisabled", text, now)
        return Step(_status(scaler, found, target, 0, now))
    low = 1 if spec.get("minReplicas") is None else int(spec["minReplicas"])
    high = int(spec.get("maxReplicas") or current)
    if current > high:
        return _rescale(scaler, found, target, high, "Current number of replicas above Spec.MaxReplicas", now)
    if current < low:
        return _rescale(scaler, found, target, low, "Current number of replicas below Spec.MinReplicas", now)
    return _unmeasured(scaler, found, target, now)


def _put(
    scaler: Resource,
    found: list[conditions.Condition],
    kind: str,
    status: str,
    reason: str,
    message: str,
    now: datetime,
) -> list[conditions.Condition]:
    """Add a condition to those found so far; its transition time is that of the old status where it stays."""
    old = conditions.find(scaler, kind)
    made = conditions.make(kind, status, reason, message, now)
    if old is not None and old.get("status") == status:
        made["lastTransitionTime"] = old.get("lastTransitionTime")
    return [*found, made]


def _status(
    scaler: Resource, found: list[conditions.Condition], target: Resource | None, goal: int, now: datetime
) -> tuple[Change, ...]:
    old = scaler.get("status") or {}
    status = {key: old[key] for key in ("lastScaleTime", "currentMetrics") if key in old}
    actual = int(((target or {}).get("status") or {}).get("replicas") or 0)
    status |= {"currentReplicas": actual, "desiredReplicas": goal, "conditions": found}
    if target is not None and goal != desired(target):
        status["lastScaleTime"] = moments.stamp(now)
    return proposing.status(scaler, status)


def _told(changes: tuple[Change, ...], *events: Change) -> Step:
    """Tell only together with a change of status: what stays as it is has been told."""
    return Step((*changes, *events) if changes else ())


def _no_target(scaler: Resource, group: str, wanted: Mapping[str, Any], now: datetime) -> Step:
    plural = namespaces.plural(wanted.get("kind", ""))
    place = f"{plural}.{group}" if group else plural
    why = f'{place} "{wanted.get("name", "")}" not found'
    text = f"the HPA controller was unable to get the target's current scale: {why}"
    found = _put(scaler, [], "AbleToScale", "False", "FailedGetScale", text, now)
    told = proposing.event(scaler, "Warning", "FailedGetScale", why, now, COMPONENT)
    return _told(_status(scaler, found, None, 0, now), told)


def _rescale(
    scaler: Resource,
    found: list[conditions.Condition],
    target: Resource,
    size: int,
    why: str,
    now: datetime,
) -> Step:
    text = f"the HPA controller was able to update the target scale to {size}"
    found = [entry for entry in found if entry["type"] != "AbleToScale"]
    found = _put(scaler, found, "AbleToScale", "True", "SucceededRescale", text, now)
    change = proposing.patch(target, {"spec": {"replicas": size}}, why)
    told = proposing.event(
        scaler, "Normal", "SuccessfulRescale", f"New size: {size}; reason: {why}", now, COMPONENT
    )
    return Step((change, told, *_status(scaler, found, target, size, now)))


def _unmeasured(scaler: Resource, found: list[conditions.Condition], target: Resource, now: datetime) -> Step:
    metrics = (scaler.get("spec") or {}).get("metrics") or []
    if not metrics:
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]
    reason, why, first = _failure(metrics[0])
    found = _put(
        scaler,
        found,
        "ScalingActive",
        "False",
        reason,
        f"the HPA was unable to compute the replica count: {why}",
        now,
    )
    changes = _status(scaler, found, target, desired(target), now)
    count = len(metrics)
    text = f"invalid metrics ({count} invalid out of {count}), first error is: {first}"
    return _told(
        changes,
        proposing.event(scaler, "Warning", reason, why, now, COMPONENT),
        proposing.event(scaler, "Warning", "FailedComputeMetricsReplicas", text, now, COMPONENT),
    )


def _failure(metric: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the reason, what went wrong, and what went wrong as the whole computation tells it."""
    kind = metric.get("type")
    if kind in {"Resource", "ContainerResource"}:
        source = metric.get("resource") or metric.get("containerResource") or {}
        name = source.get("name", "")
        lacking = NO_METRICS.format(name=name)
        if (
            (source.get("target") or {}).get("averageUtilization") is not None
            or kind == "ContainerResource"
            or ((source.get("target") or {}).get("type") == "Utilization")
        ):
            lacking = f"failed to get {name} utilization: {lacking}"
        if kind == "ContainerResource":
            return (
                "FailedGetContainerResourceMetric",
                lacking,
                f"failed to get {name} container metric value: {lacking}",
            )
        return "FailedGetResourceMetric", lacking, f"failed to get {name} resource metric value: {lacking}"
    if kind == "External":
        why = "unable to fetch metrics from external metrics API: the server could not find the requested resource"
        return "FailedGetExternalMetric", why, f"failed to get external metric value: {why}"
    why = "unable to fetch metrics from custom metrics API: the server could not find the requested resource"
    if kind == "Object":
        return "FailedGetObjectMetric", why, f"failed to get object metric value: {why}"
    return "FailedGetPodsMetric", why, f"failed to get pods metric value: {why}"


def _of_target(view: View, target: Resource) -> Iterable[Ref]:
    meta = target["metadata"]
    for scaler in view.list(*KIND, meta.get("namespace", "")):
        wanted = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
        if (wanted.get("kind"), wanted.get("name")) == (target["kind"], meta["name"]):
            yield Ref.of(scaler)


AUTOSCALERS = Controller(
    name="horizontalpodautoscaler",
    kind=KIND,
    reconcile=_reconcile,
    watches={
        ("apps", "Deployment"): _of_target,
        ("apps", "StatefulSet"): _of_target,
        ("apps", "ReplicaSet"): _of_target,
        ("", "ReplicationController"): _of_target,
    },
)
