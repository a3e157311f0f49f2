"""Workloads that do not run as they are written: paused, scaled to nothing while they are called, on no node, held up by one ordinal.

What fails in their pods is told elsewhere and explains what is told here. A rollout on its way is no trouble.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairlead.diagnose.callers import callers
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory, Template, ready
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.proposing import Edit, edit_template, patch
from fairlead.tongues.paths import Path, mapping, mappings, strings, text, whole
from fairlead.words import Change, Evidence, Fix, Ref, Resource, Severity

_TO_ZERO = ("serving.knative.dev/", "com.openfaas.scale", "faas_function", "httpscaledobject")
"""Marks of those who scale workloads to nothing on purpose, and back."""
_SCALED = re.compile(r"^Scaled down replica set \S+ (?:to 0 from (\d+)|from (\d+) to 0|to 0)\Z")
_ORDINAL = re.compile(r"-(\d+)\Z")
_BLOCKING = frozenset({"NoSchedule", "NoExecute"})


def deployment(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A Deployment that is paused in the middle of a change, or has no pods though it is called."""
    if not _stays(inventory, resource):
        return
    ref = Ref.of(resource)
    wanted = whole(resource, "spec", "replicas", default=1)
    updated = whole(resource, "status", "updatedReplicas")
    if mapping(resource, "spec").get("paused") is True and updated < wanted:
        path = ("spec", "paused")
        title = "go on with the rollout"
        fix = Fix(
            title=title,
            changes=(patch(resource, [Edit(path, None)], title),),
            risk=f"Rolls out the pending change of {ref}.",
        )
        yield Fact(
            rule="workload.paused",
            subject=ref,
            severity=Severity.WARNING,
            message=f"is paused with a change that is not rolled out: {updated} of {wanted} pods have it",
            evidence=(
                inventory.field(ref, path, "paused: true"),
                inventory.field(ref, ("status", "updatedReplicas"), f"updatedReplicas: {updated}"),
            ),
            fixes=(fix,),
            where=inventory.where(ref, path),
        )
    yield from _idle(inventory, resource)


def _stays(inventory: Inventory, resource: Resource) -> bool:
    """Say whether the object is there to stay and made by hand: live, not deleted, without an owner here."""
    return (
        inventory.live
        and not mapping(resource, "metadata").get("deletionTimestamp")
        and inventory.owner(resource) is None
    )


def _idle(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Scaled to nothing, while an Ingress leads to it or others call it."""
    ref = Ref.of(resource)
    if whole(resource, "spec", "replicas", default=1) != 0 or _on_purpose(inventory, resource):
        return
    template = inventory.template_of(resource)
    if template is None:
        return
    wanting: list[Evidence] = []
    for service in _services(inventory, template):
        selector = strings(inventory.get(service), "spec", "selector")
        others = inventory.described(selector, service)
        if any(whole(one.resource, "spec", "replicas", default=1) != 0 for one in others):
            continue
        for edge in inventory.referrers(service):
            if edge.relation == "backend":
                wanting += [inventory.field(edge.source, edge.path, f"{edge.source} sends to {service}")]
        for call in callers(inventory, service):
            asker = call.template
            if asker.ref != ref and _runs(asker.resource):
                wanting.append(
                    Evidence(
                        "field", asker.ref, f"{asker.ref}: {call}", inventory.where(call.holder, call.path)
                    )
                )
    if not wanting:
        yield from _emptied(inventory, resource, ref, template)
        return
    path = ("spec", "replicas")
    title = f"run one pod of {ref.name}"
    fix = Fix(
        title=title,
        changes=(patch(resource, [Edit(path, 1)], title),),
        risk="Somebody may have scaled it to nothing on purpose; how many it had is not known.",
    )
    who = ", ".join(dict.fromkeys(str(one.subject) for one in wanting))
    yield Fact(
        rule="workload.idle",
        subject=ref,
        message=f"is scaled to nothing, and {who} need{'s' if ',' not in who else ''} it",
        evidence=(inventory.field(ref, path, "replicas: 0"), *tuple(dict.fromkeys(wanting))[:4]),
        fixes=(fix,),
        where=inventory.where(ref, path),
    )


def _emptied(inventory: Inventory, resource: Resource, ref: Ref, template: Template) -> Iterator[Fact]:
    """Scaled to nothing a while ago, by hand, though a Service leads to it and others of its namespace run."""
    notes = inventory.events(ref, "ScalingReplicaSet")[-1:]
    found = [(one, match) for one in notes if (match := _SCALED.search(one.message)) is not None]
    services = _services(inventory, template) if found else []
    if not services or any(edge.relation == "scales" for edge in inventory.referrers(ref)):
        return
    if not any(ready(pod) for pod in inventory.of_kind("", "Pod", ref.namespace)):
        return  # all of it sleeps
    note, match = found[0]
    path = ("spec", "replicas")
    before = int(match.group(1) or match.group(2) or 1)
    title = f"scale it to {before} again"
    fix = Fix(
        title=title,
        changes=(patch(resource, [Edit(path, before)], title),),
        risk="Somebody may have scaled it to nothing on purpose.",
    )
    yield Fact(
        rule="workload.idle",
        subject=ref,
        severity=Severity.WARNING,
        message=f"was scaled to nothing, and {services[0]} leads to it",
        evidence=(inventory.field(ref, path, "replicas: 0"), inventory.noted(ref, note)),
        fixes=(fix,),
        where=inventory.where(ref, path),
        confidence="likely",
    )


def _runs(resource: Resource) -> bool:
    """Say whether a workload is to have pods at all (a suspended CronJob is not, a finished Job has had them)."""
    spec = mapping(resource, "spec")
    if spec.get("suspend") is True or text(resource, "status", "phase") in {"Succeeded", "Failed"}:
        return False
    done = any(
        item.get("type") in {"Complete", "Failed"} and item.get("status") == "True"
        for _, item in mappings(resource, "status", "conditions")
    )
    return spec.get("replicas", 1) != 0 and not done


def _on_purpose(inventory: Inventory, resource: Resource) -> bool:
    """Say whether something that scales to nothing and back looks after the workload."""
    meta = mapping(resource, "metadata")
    marks = (*strings(meta, "annotations"), *strings(meta, "labels"))
    if any(mark.startswith(_TO_ZERO) for mark in marks):
        return True
    return any(
        edge.relation == "scales" and edge.source.kind != "HorizontalPodAutoscaler"
        for edge in inventory.referrers(Ref.of(resource))
    )


def _services(inventory: Inventory, template: Template) -> list[Ref]:
    """Return the Services beside the template that select its pods."""
    found: dict[Ref, None] = {}
    for key, value in template.labels.items():
        for service in inventory.at("service label", (inventory.space(template.ref), key, value)):
            if strings(service, "spec", "selector").items() <= template.labels.items():
                found[Ref.of(service)] = None
    return list(found)


def stateful(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A StatefulSet without what it names, or held up by one of its pods."""
    if not _stays(inventory, resource):
        return
    yield from _governing(inventory, resource)
    yield from _classes(inventory, resource)
    yield from _held_up(inventory, resource)
    yield from _idle(inventory, resource)


def _governing(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """The Service that gives the pods their names does not exist."""
    ref = Ref.of(resource)
    service = Ref("", "Service", ref.namespace, text(resource, "spec", "serviceName"))
    if not service.name or not inventory.missing(service):
        return
    wanted = whole(resource, "spec", "replicas", default=1)
    well = whole(resource, "status", "readyReplicas") >= wanted
    path = ("spec", "serviceName")
    selector = strings(resource, "spec", "selector", "matchLabels")
    fix = None
    if selector:
        body: Resource = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service.name, "namespace": ref.namespace},
            "spec": {"clusterIP": "None", "selector": selector, "publishNotReadyAddresses": True},
        }
        title = f"make headless Service {service.name}"
        fix = Fix(
            title=title,
            changes=(Change(verb="create", ref=service, api_version="v1", body=body, why=title),),
            risk="Gives the pods names; sends no traffic by itself.",
        )
    near = nearest(service.name, inventory.names(service, ref), loose=True)
    yield Fact(
        rule="stateful.service",
        subject=ref,
        severity=Severity.INFO if well else Severity.WARNING,
        message=f"names Service {service.name}, which does not exist: its pods have no names of their own",
        cause=f"Service {near} is there: probably that one is meant." if near else "",
        evidence=(inventory.field(ref, path, f"serviceName: {service.name}"),),
        fixes=(fix,) if fix and not near else (),
        where=inventory.where(ref, path),
    )


def _classes(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A storage class that its claims would ask for, and that does not exist; told of the claims where there are any."""
    ref = Ref.of(resource)
    for index, template in mappings(resource, "spec", "volumeClaimTemplates"):
        name = text(template, "spec", "storageClassName")
        held = Ref("storage.k8s.io", "StorageClass", "", name)
        first = Ref(
            "", "PersistentVolumeClaim", ref.namespace, f"{text(template, 'metadata', 'name')}-{ref.name}-0"
        )
        if not name or not inventory.missing(held) or inventory.get(first) is not None:
            continue
        path: Path = ("spec", "volumeClaimTemplates", index, "spec", "storageClassName")
        near = nearest(name, inventory.names(held, ref))
        yield Fact(
            rule="stateful.class",
            subject=ref,
            detail=name,
            severity=Severity.WARNING,
            message=f"will ask for storage class {name}, which does not exist",
            cause=f"{near} exists: probably that class is meant." if near else "",
            evidence=(inventory.field(ref, path, f"storageClassName: {name}"),),
            where=inventory.where(ref, path),
        )


def _held_up(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """One ordinal is not ready or does not go, and those after it wait: a symptom of what ails that one."""
    ref = Ref.of(resource)
    if not ref.uid:
        return
    pods: dict[int, Resource] = {}
    for pod in inventory.at("controller", ref.uid):
        found = _ORDINAL.search(text(pod, "metadata", "name"))
        if found is not None and pod.get("kind") == "Pod":
            pods[int(found.group(1))] = pod
    ordered = text(resource, "spec", "podManagementPolicy") != "Parallel"
    sick = [
        (ordinal, Ref.of(pod))
        for ordinal, pod in sorted(pods.items())
        if not ready(pod) or mapping(pod, "metadata").get("deletionTimestamp")
    ]
    if not sick:
        return
    start = whole(resource, "spec", "ordinals", "start")
    wanted = whole(resource, "spec", "replicas", default=1)
    absent = [one for one in range(start, start + min(wanted, 1000)) if one not in pods]
    first, blocker = sick[0]
    waits = ordered and any(one > first for one in absent)
    yield Fact(
        rule="stateful.blocked",
        subject=ref,
        message=f"waits for {blocker.name}"
        + (f": {len(absent)} pods after it are not made" if waits else ""),
        because=tuple(one for _, one in (sick[:1] if ordered else sick)),
        weak=True,
    )


def daemon(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A DaemonSet that runs nowhere although there are nodes."""
    status = mapping(resource, "status")
    if not _stays(inventory, resource) or status.get("desiredNumberScheduled") != 0:
        return
    nodes = inventory.of_kind("", "Node")
    template = inventory.template_of(resource)
    if not nodes or template is None or not inventory.seen_all("", "Node"):
        return
    ref = Ref.of(resource)
    selector = strings(template.spec, "nodeSelector")
    for key, value in selector.items():
        values = {labels[key] for node in nodes if key in (labels := strings(node, "metadata", "labels"))}
        if value in values:
            continue
        path = (*template.spec_path, "nodeSelector", key)
        right = nearest(value, values)
        near_key = nearest(key, {one for node in nodes for one in strings(node, "metadata", "labels")})
        fix = (
            edit_template(inventory, template, [Edit(path, right)], f"select nodes with {key}={right}")
            if right
            else None
        )
        has = f"they have {key}={', '.join(sorted(values)[:5])}" if values else f"none has the label {key}"
        hint = f" ({near_key} is there)" if near_key and not values else ""
        yield _nowhere(inventory, ref, path, f"{key}={value}", f"It selects nodes labelled {key}={value}; {has}{hint}.", fix,
                       sure=right is not None or bool(hint))  # fmt: skip
        return
    refusing = {taint for node in nodes if (taint := _refusal(node, template.spec))}
    if (
        selector
        or not refusing
        or mapping(template.spec, "affinity")
        or any(not _refusal(node, template.spec) for node in nodes)
    ):
        return
    path = (*template.spec_path, "tolerations")
    yield _nowhere(inventory, ref, path, "no toleration fits",
                   f"Every node has a taint that it does not tolerate: {', '.join(sorted(refusing)[:3])}.", None, sure=True)  # fmt: skip


def _nowhere(
    inventory: Inventory, ref: Ref, path: Path, shown: str, cause: str, fix: Fix | None, *, sure: bool
) -> Fact:
    return Fact(
        rule="daemon.nowhere",
        subject=ref,
        severity=Severity.WARNING if sure else Severity.INFO,
        message="runs on no node",
        cause=cause,
        evidence=(inventory.field(ref, path, shown),),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, path),
        confidence="certain" if sure else "possible",
    )


def _refusal(node: Resource, spec: Mapping[str, Any]) -> str:
    """Return the taint of a node that the pods do not tolerate, or ""."""
    tolerations = [one for _, one in mappings(spec, "tolerations")]
    for _, taint in mappings(node, "spec", "taints"):
        key, value, effect = text(taint, "key"), text(taint, "value"), text(taint, "effect")
        if (
            effect in _BLOCKING
            and not key.startswith("node.kubernetes.io/")
            and not _tolerated(tolerations, key, value, effect)
        ):
            return f"{key}={value}:{effect}" if value else f"{key}:{effect}"
    return ""


def _tolerated(tolerations: Sequence[Mapping[str, Any]], key: str, value: str, effect: str) -> bool:
    return any(
        text(one, "effect") in {"", effect}
        and text(one, "key") in {"", key}
        and (text(one, "operator") == "Exists" or (text(one, "key") == key and text(one, "value") == value))
        for one in tolerations
    )


UNITS = {
    ("apps", "Deployment"): deployment,
    ("apps", "StatefulSet"): stateful,
    ("apps", "DaemonSet"): daemon,
}
