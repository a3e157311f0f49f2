"""Autoscalers that do not scale: no metrics, no requests to measure against, the wrong target, the end of their range.

One absent metrics API is one cause, whatever the number of autoscalers. What has just begun (a target whose pods are young) is no
trouble. A target that does not exist at all is told with the workloads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory, Template
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.proposing import Edit, patch
from fairlead.diagnose.references import Container
from fairlead.diagnose.states import condition, lasting, said, since
from fairlead.tongues.paths import Path, mapping, mappings, text, whole
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_SOON = timedelta(minutes=2)
_LONG = timedelta(minutes=5)
_TARGET = ("spec", "scaleTargetRef")
_SCALED = {"Deployment": "apps", "ReplicaSet": "apps", "StatefulSet": "apps", "ReplicationController": ""}
"""The built-in kinds that have a scale, with their groups."""
_UNSCALED = {("apps", "DaemonSet"), ("batch", "Job"), ("batch", "CronJob"), ("", "Pod"), ("", "Service")}
_ASKED = re.compile(r"\(get (?:pods|nodes|[\w.*-]+?)\.((?:custom\.|external\.)?metrics\.k8s\.io)")
_ABSENT = (
    "could not find the requested resource",
    "no matches for kind",
    "no custom metrics API",
    "no external metrics API",
)
_DOWN = (
    "currently unable to handle the request",
    "service unavailable",
    "connection refused",
    "i/o timeout",
    "context deadline exceeded",
)
_SERVERS = {
    "metrics.k8s.io": "metrics-server",
    "custom.metrics.k8s.io": "an adapter for custom metrics",
    "external.metrics.k8s.io": "an adapter for external metrics",
}
_MISSING = re.compile(r"missing request for (\S+)(?: in container (\S+))?")


def api_service(group: str) -> Ref:
    """Return the Ref of the APIService under which a group of metrics is served."""
    return Ref("apiregistration.k8s.io", "APIService", "", f"v1beta1.{group}")


def autoscaler(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Each thing that keeps a HorizontalPodAutoscaler from scaling as it should."""
    ref = Ref.of(resource)
    if mapping(resource, "metadata").get("deletionTimestamp"):
        return
    wanted = mapping(resource, *_TARGET)
    kind, group = text(wanted, "kind"), text(wanted, "apiVersion").rpartition("/")[0]
    target = Ref(group, kind, ref.namespace, text(wanted, "name"))
    yield from wrong_kind(inventory, resource, target, "autoscaler.kind")
    yield from near_target(inventory, resource, target, "autoscaler.target")
    yield from _doubled(inventory, ref, target)
    held = inventory.get(target)
    template = inventory.template_of(held) if held is not None else None
    if not inventory.live:
        if template is not None:
            yield from _unmeasured(inventory, resource, template)
        return
    yield from _conditions(inventory, resource, target, template)


def wrong_kind(inventory: Inventory, resource: Resource, target: Ref, rule: str) -> Iterator[Fact]:
    """A target of a kind that has no scale, or of a built-in kind in the wrong group."""
    ref = Ref.of(resource)
    right = _SCALED.get(target.kind)
    if (target.group, target.kind) in _UNSCALED:
        cause = f"A {target.kind} has no number of replicas to set."
        fix = None
    elif right is not None and target.group != right and target.group in {"", "extensions", "apps", "batch"}:
        version = f"{right}/v1" if right else "v1"
        cause = f"{target.kind} is of {version}."
        title = f"scale {target.kind} of {version}"
        fix = Fix(title=title, changes=(patch(resource, [Edit((*_TARGET, "apiVersion"), version)], title),))
    else:
        return
    yield Fact(
        rule=rule,
        subject=ref,
        severity=Severity.WARNING,
        message=f"scales {target.kind} {target.name} of {target.group or 'v1'}, which cannot be scaled",
        cause=cause,
        evidence=(inventory.field(ref, _TARGET, f"{target.group or 'v1'} {target.kind}"),),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, (*_TARGET, "kind")),
    )


def near_target(inventory: Inventory, resource: Resource, target: Ref, rule: str) -> Iterator[Fact]:
    """A target that is not there, where one of a near name is: the name is a slip."""
    ref = Ref.of(resource)
    if _SCALED.get(target.kind) != target.group or not target.name or inventory.get(target) is not None:
        return
    sure = inventory.missing(target)
    if not sure and inventory.live:
        return
    right = nearest(target.name, inventory.names(target, ref), loose=sure)
    path: Path = (*_TARGET, "name")
    if right is None:
        return
    title = f"scale {target.kind} {right}"
    where = "does not exist" if sure else "is not among these files"
    yield Fact(
        rule=rule,
        subject=ref,
        severity=Severity.WARNING,
        message=f"scales {target.kind} {target.name}, which {where}",
        cause=f"{target.kind} {right} is there: probably that one is meant.",
        evidence=(inventory.field(ref, path, target.name),),
        fixes=(
            Fix(
                title=title,
                changes=(patch(resource, [Edit(path, right)], title),),
                risk="Takes effect at once.",
            ),
        ),
        where=inventory.where(ref, _TARGET),
        confidence="certain" if sure else "likely",
    )


def _doubled(inventory: Inventory, ref: Ref, target: Ref) -> Iterator[Fact]:
    """Two autoscalers of one target: each undoes what the other does."""
    others = sorted(
        {
            edge.source.name
            for edge in inventory.referrers(target)
            if edge.relation == "scales" and edge.source.kind == ref.kind and edge.source != ref
        }
    )
    if not others or others[0] < ref.name:  # told once, at the first by name
        return
    yield Fact(
        rule="autoscaler.doubled",
        subject=ref,
        severity=Severity.WARNING,
        message=f"scales {target.kind} {target.name}, and so does {', '.join(others)}",
        cause="Kubernetes scales by neither of them (AmbiguousSelector).",
        evidence=(inventory.field(ref, _TARGET, str(target)),),
        where=inventory.where(ref, _TARGET),
    )


def resources(resource: Resource) -> Iterator[tuple[str, str, Path]]:
    """Each resource that is measured against requests: its name, the container ("" for all), and where it is asked."""
    for index, metric in mappings(resource, "spec", "metrics"):
        for sort in ("resource", "containerResource"):
            entry = mapping(metric, sort)
            target = mapping(entry, "target")
            if text(entry, "name") and (
                text(target, "type") == "Utilization" or "averageUtilization" in target
            ):
                yield text(entry, "name"), text(entry, "container"), ("spec", "metrics", index, sort)


def lacking(template: Template, name: str, container: str) -> list[Container]:
    """Return the containers that request none of a resource (limits count as requests)."""
    return [
        one
        for one in template.containers()
        if one.role != "init"
        and (not container or one.name == container)
        and name not in mapping(one.content, "resources", "requests")
        and name not in mapping(one.content, "resources", "limits")
    ]


def _unmeasured(
    inventory: Inventory,
    resource: Resource,
    template: Template,
    only: str = "",
    evidence: Evidence | None = None,
) -> Iterator[Fact]:
    """Containers without the request that utilization is a share of."""
    ref = Ref.of(resource)
    if not inventory.live and any(
        "defaultRequest" in limit or "default" in limit
        for one in inventory.beside("", "LimitRange", template.ref)
        for _, limit in mappings(one, "spec", "limits")
    ):
        return
    for name, container, path in resources(resource):
        bare = lacking(template, name, container)
        if not bare or (only and name != only):
            continue
        place: Path = (*bare[0].path, "resources", "requests")
        yield Fact(
            rule="autoscaler.requests",
            subject=ref,
            detail=name,
            severity=Severity.WARNING,
            message=f"scales by the use of {name}, but container {bare[0].name} of {template.ref.kind} {template.ref.name} requests none",
            cause=f"Utilization is a share of what is requested: without a request for {name} it cannot be computed.",
            evidence=(
                *((evidence,) if evidence else ()),
                inventory.field(template.ref, place, f"no request for {name}"),
                inventory.field(ref, path, f"utilization of {name}"),
            ),
            where=inventory.where(template.ref, place),
            confidence="certain" if inventory.live else "likely",
        )


def _conditions(
    inventory: Inventory, resource: Resource, target: Ref, template: Template | None
) -> Iterator[Fact]:
    able, active = condition(resource, "AbleToScale"), condition(resource, "ScalingActive")
    limited = condition(resource, "ScalingLimited")
    crew = tuple(member.ref for member in inventory.crew(target))
    if able.get("status") == "False" and not text(able, "reason").startswith("Backoff"):
        yield _stopped(inventory, resource, able, (("autoscaler.target", Ref.of(resource), ""), target))
    elif active.get("status") == "False":
        yield from _inactive(inventory, resource, active, target, template, crew)
    elif limited.get("status") == "True" and text(limited, "reason") == "TooManyReplicas":
        yield from _limited(inventory, resource, limited)


def _stopped(
    inventory: Inventory,
    resource: Resource,
    item: Mapping[str, Any],
    because: tuple[Key | Ref, ...],
    *,
    weak: bool = False,
) -> Fact:
    return Fact(
        rule="autoscaler.stopped",
        subject=Ref.of(resource),
        severity=Severity.WARNING,
        message=f"does not scale: {text(item, 'reason')}",
        cause=inventory.quote(text(item, "message"), Ref.of(resource)),
        evidence=(said(inventory, resource, item),),
        because=because,
        weak=weak,
    )


def _inactive(
    inventory: Inventory,
    resource: Resource,
    item: Mapping[str, Any],
    target: Ref,
    template: Template | None,
    crew: tuple[Ref, ...],
) -> Iterator[Fact]:
    """Scaling is off: told by what the autoscaler says it lacks."""
    ref = Ref.of(resource)
    reason, message = text(item, "reason"), text(item, "message")
    evidence = said(inventory, resource, item)
    if reason == "ScalingDisabled":
        yield Fact(
            rule="autoscaler.off",
            subject=ref,
            severity=Severity.INFO,
            message=f"is off while {target.kind} {target.name} has 0 replicas",
            evidence=(evidence,),
            because=(("workload.idle", target, ""),),
        )
        return
    lacks = _MISSING.search(message)
    if lacks is not None and template is not None:
        told = list(_unmeasured(inventory, resource, template, lacks.group(1), evidence))
        yield from told
        if told:
            return
    asked = _ASKED.search(message)
    group = asked.group(1) if asked else _group(reason)
    if any(mark in message for mark in (*_ABSENT, *_DOWN)) and group:
        yield _unserved(inventory, group, message, evidence)
        yield _stopped(inventory, resource, item, (("metrics.unserved", api_service(group), ""),))
        return
    young = not lasting(inventory, item, _SOON)
    unready = "no metrics returned" in message or "did not receive metrics" in message
    yield _stopped(inventory, resource, item, (target, *crew) if unready else (), weak=young)


def _group(reason: str) -> str:
    return {
        "FailedGetResourceMetric": "metrics.k8s.io",
        "FailedGetContainerResourceMetric": "metrics.k8s.io",
        "FailedGetPodsMetric": "custom.metrics.k8s.io",
        "FailedGetObjectMetric": "custom.metrics.k8s.io",
        "FailedGetExternalMetric": "external.metrics.k8s.io",
    }.get(reason, "")


def _unserved(inventory: Inventory, group: str, message: str, evidence: Evidence) -> Fact:
    absent = any(mark in message for mark in _ABSENT)
    ref = api_service(group)
    who = _SERVERS[group]
    return Fact(
        rule="metrics.unserved",
        subject=ref,
        severity=Severity.WARNING,
        message=f"is not served, so nothing scales by it: {who} is not installed"
        if absent
        else f"does not answer, so nothing scales by it: {who} is down",
        cause="" if absent else inventory.quote(message, evidence.subject),
        evidence=(evidence,),
        because=(("apiservice.unavailable", ref, ""),),
        confidence="certain" if absent else "likely",
    )


def _limited(inventory: Inventory, resource: Resource, item: Mapping[str, Any]) -> Iterator[Fact]:
    """More is wanted than the maximum, for more than a moment."""
    ref = Ref.of(resource)
    most = whole(resource, "spec", "maxReplicas")
    least = whole(resource, "spec", "minReplicas", default=1)
    if not lasting(inventory, item, _LONG):
        return
    begun = since(item)
    path = ("spec", "maxReplicas")
    use = _use(resource)
    yield Fact(
        rule="autoscaler.limited",
        subject=ref,
        severity=Severity.INFO if least >= most else Severity.WARNING,
        message=f"is at its maximum of {most} replicas and wants more"
        + (f" for {inventory.ago(begun)}" if begun is not None else ""),
        cause=use,
        evidence=(said(inventory, resource, item), inventory.field(ref, path, f"maxReplicas: {most}")),
        where=inventory.where(ref, path),
    )


def _use(resource: Resource) -> str:
    """Say what is used against what is aimed at, where both are shares of a request."""
    aims = {
        text(metric, "resource", "name"): whole(metric, "resource", "target", "averageUtilization")
        for _, metric in mappings(resource, "spec", "metrics")
    }
    for _, metric in mappings(resource, "status", "currentMetrics"):
        name = text(metric, "resource", "name")
        now = whole(metric, "resource", "current", "averageUtilization")
        if name and now and aims.get(name):
            return f"It uses {now}% of the {name} that it requests, and aims at {aims[name]}%."
    return ""


def api_service_down(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """An aggregated API that does not answer: whatever asks for it fails, and namespaces cannot be deleted."""
    item = condition(resource, "Available")
    if item.get("status") != "False":
        return
    if not lasting(inventory, item, _SOON):
        return
    ref = Ref.of(resource)
    service = mapping(resource, "spec", "service")
    target = Ref("", "Service", text(service, "namespace"), text(service, "name"))
    gone = bool(target.name) and inventory.missing(target)
    yield Fact(
        rule="apiservice.unavailable",
        subject=ref,
        message=f"is not available: {text(item, 'reason')}",
        cause=f"{target} does not exist." if gone else inventory.quote(text(item, "message"), ref),
        evidence=(said(inventory, resource, item),),
        where=inventory.where(ref, ("spec", "service")),
        because=(target, *(one.ref for one in _behind(inventory, target))) if target.name else (),
    )


def _behind(inventory: Inventory, service: Ref) -> list[Any]:
    held = inventory.get(service)
    selector = {
        key: value for key, value in mapping(held, "spec", "selector").items() if isinstance(value, str)
    }
    return inventory.selected(selector, service) if selector else []


UNITS = {
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaler,
    ("apiregistration.k8s.io", "APIService"): api_service_down,
}
