"""Volumes, claims and classes beyond what keeps a claim waiting by itself: consumers that cannot come, sizes, modes, nodes that are gone.

A claim that waits for its first consumer waits for whatever keeps that consumer from being scheduled; without a consumer it is well. What a claim's own class or
provisioner lacks is told with what workloads stand on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from fairlead.diagnose.analyzers.scheduling import quantity
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.homes import HOST, hosts
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.proposing import Edit, anew, edit_template
from fairlead.diagnose.states import condition, created, lasting, said
from fairlead.tongues.paths import Path, find, mapping, mappings, strings, text, whole, words
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_LATE = timedelta(minutes=5)
_LONG = timedelta(minutes=10)
_NONE = "kubernetes.io/no-provisioner"
_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_MULTI = re.compile(r'Multi-Attach error for volume "([^"]+)"')
_HELD = re.compile(r"already used by pod\(s\) (.+)$")
_UNSCHEDULED = ("schedule.resources", "schedule.selector", "schedule.taint", "schedule.cordoned", "schedule.nodes",
                "schedule.port", "schedule.gated", "schedule.other")  # fmt: skip


def claim(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What keeps a claim from its volume, or its volume from growing."""
    if not inventory.live or mapping(resource, "metadata").get("deletionTimestamp"):
        return
    phase = text(resource, "status", "phase")
    if phase == "Pending":
        yield from _pending(inventory, resource)
    elif phase == "Bound":
        yield from _resizing(inventory, resource)


def _pending(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    ref = Ref.of(resource)
    name = mapping(resource, "spec").get("storageClassName")
    held = (
        inventory.get(Ref("storage.k8s.io", "StorageClass", "", name))
        if isinstance(name, str) and name
        else None
    )
    if text(resource, "spec", "volumeName"):
        yield from _bound_elsewhere(inventory, resource)
        return
    if held is not None and text(held, "volumeBindingMode") == "WaitForFirstConsumer":
        yield from _consumer(inventory, resource)
    provisioner = text(held, "provisioner")
    if name == "" or provisioner == _NONE or (held is None and isinstance(name, str)):
        yield from _by_hand(inventory, resource, str(name))
    elif held is not None:
        yield from _unprovided(inventory, ref, held, provisioner)


def _consumers(inventory: Inventory, ref: Ref) -> list[Resource]:
    """Return the pods that use a claim and have no node yet."""
    found = []
    for edge in inventory.referrers(ref):
        if edge.relation == "claim" and edge.source.kind == "Pod":
            pod = inventory.get(edge.source)
            if pod is not None and not text(pod, "spec", "nodeName"):
                found.append(pod)
    return found


def _consumer(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """The claim waits for a pod to be scheduled, and the pod cannot be."""
    ref = Ref.of(resource)
    for pod in _consumers(inventory, ref)[:1]:
        item = condition(pod, "PodScheduled")
        if item.get("status") != "False":
            continue
        one, top = Ref.of(pod), Ref.of(inventory.top(pod))
        yield Fact(
            rule="claim.waiting",
            subject=ref,
            message=f"waits for its consumer {one.name}, which cannot be scheduled",
            because=(("pod.unscheduled", one, ""), one, *_scheduling(top)),
            weak=True,
        )


def _scheduling(top: Ref) -> Iterator[Key]:
    for rule in _UNSCHEDULED:
        yield (rule, top, "")


def _unprovided(inventory: Inventory, ref: Ref, held: Resource, provisioner: str) -> Iterator[Fact]:
    """The provisioner was asked and does not answer."""
    asked = inventory.events(ref, "ExternalProvisioning")
    if not asked or inventory.events(ref, "ProvisioningFailed", "Provisioning", "ProvisioningSucceeded"):
        return
    at = created(inventory.get(ref) or {})
    if at is None or not inventory.past(at, _LATE):
        return
    class_ref = Ref.of(held)
    yield Fact(
        rule="class.provisioner",
        subject=class_ref,
        message=f"names provisioner {provisioner}, which does not answer: claims of this class get no volume",
        cause="No provisioner of this name is running, or its name is wrong.",
        evidence=(inventory.field(class_ref, ("provisioner",), provisioner), inventory.noted(ref, asked[-1])),
        where=inventory.where(class_ref, ("provisioner",)),
        confidence="likely",
    )
    yield Fact(
        rule="claim.waiting",
        subject=ref,
        message=f"waits for provisioner {provisioner}",
        because=(("class.provisioner", class_ref, ""),),
        weak=True,
    )


def _size(resource: Resource, *path: str) -> Any:
    return quantity(find(resource, (*path, "storage")))


def _by_hand(inventory: Inventory, resource: Resource, name: str) -> Iterator[Fact]:
    """Volumes made by hand: the free ones of the class, and why none of them fits."""
    ref = Ref.of(resource)
    if not inventory.seen_all("", "PersistentVolume"):
        return
    of_class = [
        one
        for one in inventory.of_kind("", "PersistentVolume")
        if text(one, "spec", "storageClassName") == name and text(one, "status", "phase") in {"Available", ""}
    ]
    of_class = [one for one in of_class if not mapping(one, "spec", "claimRef")]
    wanted = words(resource, "spec", "accessModes")
    asked = _size(resource, "spec", "resources", "requests")
    if not of_class:
        served = inventory.get(Ref("storage.k8s.io", "StorageClass", "", name)) is not None
        if name and served and _consumers(inventory, ref):
            yield _misfit(
                inventory,
                ref,
                "volume",
                f"waits for a volume of class {name} made by hand, and there is no free one",
                ("spec", "storageClassName"),
                name,
            )
        return
    able = [one for one in of_class if set(wanted) <= set(words(one, "spec", "accessModes"))]
    if not able:
        has = ", ".join(sorted({mode for one in of_class for mode in words(one, "spec", "accessModes")}))
        yield _misfit(
            inventory,
            ref,
            "mode",
            f"asks for access mode {', '.join(wanted)}, which no free volume of its class has ({has})",
            ("spec", "accessModes"),
            ", ".join(wanted),
            _with_modes(resource, [words(one, "spec", "accessModes") for one in of_class]),
        )
        return
    sizes = [size for one in able if (size := _size(one, "spec", "capacity")) is not None]
    if asked is not None and sizes and max(sizes) < asked:
        said_size = text(resource, "spec", "resources", "requests", "storage")
        biggest = max(able, key=lambda one: _size(one, "spec", "capacity") or 0)
        yield _misfit(
            inventory,
            ref,
            "size",
            f"asks for {said_size}, and the largest free volume of its class has {text(biggest, 'spec', 'capacity', 'storage')}",
            ("spec", "resources", "requests", "storage"),
            said_size,
        )


def _with_modes(resource: Resource, held: Sequence[Sequence[str]]) -> Fix | None:
    """Make a claim that never had a volume anew with the access mode that is to be had, if there is just one."""
    modes = sorted({mode for one in held for mode in one})
    if len(modes) != 1:
        return None
    title = f"ask for {modes[0]}"
    alone = " Pods on several nodes cannot share it then." if modes[0].startswith("ReadWriteOnce") else ""
    return Fix(
        title=title,
        changes=anew(resource, [Edit(("spec", "accessModes"), modes)], title),
        risk=f"The claim, which holds nothing yet, is deleted and made again.{alone}",
    )


def _misfit(
    inventory: Inventory, ref: Ref, word: str, message: str, path: Path, value: str, fix: Fix | None = None
) -> Fact:
    rule = {"volume": "claim.volume", "mode": "claim.mode", "size": "claim.size"}[word]
    return Fact(
        rule=rule,
        subject=ref,
        message=message,
        evidence=(inventory.field(ref, path, f"{path[-1]}: {value}"),),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, path),
    )


def _bound_elsewhere(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """The claim names its volume, and that one is not to be had."""
    ref = Ref.of(resource)
    volume = Ref("", "PersistentVolume", "", text(resource, "spec", "volumeName"))
    path = ("spec", "volumeName")
    held = inventory.get(volume)
    if inventory.missing(volume):
        message = f"names PersistentVolume {volume.name}, which does not exist"
    elif held is not None and mapping(held, "spec", "claimRef"):
        owner = mapping(held, "spec", "claimRef")
        whose = f"{text(owner, 'namespace')}/{text(owner, 'name')}"
        own = whose == f"{ref.namespace}/{ref.name}"
        if own and text(owner, "uid") in {"", ref.uid}:
            return
        message = f"names PersistentVolume {volume.name}, which " + (
            "was bound to an earlier claim of this name" if own else f"belongs to claim {whose}"
        )
    else:
        return
    yield Fact(
        rule="claim.taken",
        subject=ref,
        message=message,
        evidence=(inventory.field(ref, path, volume.name),),
        where=inventory.where(ref, path),
    )


def _resizing(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A volume that was to grow and does not."""
    ref = Ref.of(resource)
    asked = _size(resource, "spec", "resources", "requests")
    has = _size(resource, "status", "capacity")
    if asked is None or has is None or asked <= has:
        return
    failed = inventory.events(ref, "VolumeResizeFailed", "FileSystemResizeFailed")
    errors = [condition(resource, one) for one in ("ControllerResizeError", "NodeResizeError")]
    broken = [item for item in errors if item.get("status") == "True"]
    pending = condition(resource, "FileSystemResizePending")
    if not failed and not broken:
        if pending.get("status") == "True" and lasting(inventory, pending, _LONG):
            yield Fact(
                rule="claim.resize",
                subject=ref,
                severity=Severity.INFO,
                message="has grown, and its file system will when a pod mounts it",
                evidence=(said(inventory, resource, pending),),
                where=inventory.where(ref, ("spec", "resources", "requests", "storage")),
            )
        return
    message = failed[-1].message if failed else text(broken[0], "message")
    yield Fact(
        rule="claim.resize",
        subject=ref,
        severity=Severity.WARNING,
        message=f"cannot grow from {text(resource, 'status', 'capacity', 'storage')} to {text(resource, 'spec', 'resources', 'requests', 'storage')}",
        cause=inventory.quote(message, ref),
        evidence=(
            *(inventory.noted(ref, note) for note in failed[-1:]),
            *(said(inventory, resource, item) for item in broken[:1]),
        ),
        where=inventory.where(ref, ("spec", "resources", "requests", "storage")),
    )


def volume(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A volume that failed, that nobody can have again, or that lies on a node that is gone."""
    ref = Ref.of(resource)
    phase = text(resource, "status", "phase")
    if not inventory.live or mapping(resource, "metadata").get("deletionTimestamp"):
        return
    if phase == "Failed":
        notes = inventory.events(ref, "VolumeFailedDelete", "VolumeFailedRecycle")
        why = text(resource, "status", "message") or (notes[-1].message if notes else "")
        yield Fact(
            rule="volume.failed",
            subject=ref,
            severity=Severity.WARNING,
            message="failed: it could not be deleted or recycled after its claim went",
            cause=inventory.quote(why, ref),
            evidence=(
                inventory.field(ref, ("status", "phase"), "phase: Failed"),
                *(inventory.noted(ref, note) for note in notes[-1:]),
            ),
        )
    elif phase == "Released":
        owner = mapping(resource, "spec", "claimRef")
        path = ("spec", "claimRef")
        yield Fact(
            rule="volume.released",
            subject=ref,
            severity=Severity.INFO,
            message=f"is released by claim {text(owner, 'namespace')}/{text(owner, 'name')}: no other claim gets it while it names that one",
            evidence=(inventory.field(ref, ("status", "phase"), "phase: Released"),),
            where=inventory.where(ref, path),
        )
    if phase in {"Bound", "Available"}:
        yield from _on_lost_node(inventory, resource, phase)


def _on_lost_node(inventory: Inventory, resource: Resource, phase: str) -> Iterator[Fact]:
    """A local volume whose node is not there any more."""
    ref = Ref.of(resource)
    named = hosts(resource)
    nodes = inventory.of_kind("", "Node")
    if not named or not inventory.seen_all("", "Node") or not nodes:
        return
    known = {strings(one, "metadata", "labels").get(HOST, Ref.of(one).name) for one in nodes}
    known |= {Ref.of(one).name for one in nodes}
    if named & known:
        return
    owner = mapping(resource, "spec", "claimRef")
    bound = Ref("", "PersistentVolumeClaim", text(owner, "namespace"), text(owner, "name"))
    path = ("spec", "nodeAffinity")
    names = ", ".join(sorted(named))
    yield Fact(
        rule="volume.node",
        subject=ref,
        severity=Severity.WARNING if phase == "Bound" else Severity.INFO,
        message=f"lies on node {names}, which does not exist any more",
        cause="Pods that use it can be scheduled nowhere else.",
        evidence=(inventory.field(ref, path, f"{HOST} in ({names})"),),
        where=inventory.where(ref, path),
    )
    if phase == "Bound" and bound.name:
        yield Fact(
            rule="claim.waiting",
            subject=bound,
            message=f"its volume {ref.name} lies on a node that is gone",
            because=(("volume.node", ref, ""),),
            weak=True,
        )


def storage_class(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Classes that cannot serve, or that are one default too many."""
    ref = Ref.of(resource)
    if not _is_default(resource):
        return
    others = sorted(
        Ref.of(one).name
        for one in inventory.of_kind("storage.k8s.io", "StorageClass")
        if _is_default(one) and Ref.of(one).name != ref.name
    )
    if not others or others[0] < ref.name:
        return
    yield Fact(
        rule="class.defaults",
        subject=ref,
        severity=Severity.INFO,
        message=f"is the default class, and so is {', '.join(others)}",
        cause="Kubernetes takes the newest of them for claims that name none.",
        evidence=(inventory.field(ref, ("metadata", "annotations"), "is-default-class: true"),),
        where=inventory.where(ref, ("metadata", "annotations")),
    )


def _is_default(resource: Resource) -> bool:
    annotations = strings(resource, "metadata", "annotations")
    return any(annotations.get(key) == "true" for key in _DEFAULT)


def attachment(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A pod that waits for a volume which another node still has."""
    ref = Ref.of(resource)
    if (
        not inventory.live
        or text(resource, "status", "phase") != "Pending"
        or not text(resource, "spec", "nodeName")
    ):
        return
    for note in inventory.events(ref, "FailedAttachVolume")[-1:]:
        found = _MULTI.search(note.message)
        if found is not None:
            yield from _attached(
                inventory, resource, found.group(1), inventory.noted(ref, note), note.message
            )


def _attached(
    inventory: Inventory, resource: Resource, name: str, evidence: Evidence, message: str
) -> Iterator[Fact]:
    ref, node = Ref.of(resource), text(resource, "spec", "nodeName")
    held = inventory.get(Ref("", "PersistentVolume", "", name))
    owner = mapping(held, "spec", "claimRef")
    named = [
        text(one, "persistentVolumeClaim", "claimName")
        for _, one in mappings(resource, "spec", "volumes")
        if mapping(one, "persistentVolumeClaim")
    ]
    claim_name = text(owner, "name") or (named[0] if len(named) == 1 else "")
    if not claim_name:
        return
    target = Ref("", "PersistentVolumeClaim", ref.namespace, claim_name)
    holders = [
        pod
        for edge in inventory.referrers(target)
        if edge.source.kind == "Pod"
        and edge.source != ref
        and (pod := inventory.get(edge.source)) is not None
        and text(pod, "spec", "nodeName") not in {"", node}
        and text(pod, "status", "phase") not in {"Succeeded", "Failed"}
    ]
    top = inventory.template_of(inventory.top(resource))
    because: list[Key | Ref] = []
    for pod in holders:
        lost = Ref("", "Node", "", text(pod, "spec", "nodeName"))
        because += [("pod.terminating", Ref.of(pod), ""), ("node.unready", lost, ""), ("node.gone", lost, "")]
    yield from _held(inventory, resource, target, holders, because, evidence, message)
    if top is not None:
        volume_name = next(
            (
                text(one, "name")
                for _, one in mappings(resource, "spec", "volumes")
                if text(one, "name") and f'"{text(one, "name")}"' in message
            ),
            "",
        )
        yield Fact(
            rule="volume.mount",
            subject=top.ref,
            detail=volume_name,
            message="a volume cannot be mounted",
            because=(("volume.attached", target, ""),),
        )


def _held(
    inventory: Inventory,
    resource: Resource,
    target: Ref,
    holders: Sequence[Resource],
    because: Sequence[Key | Ref],
    evidence: Evidence,
    message: str,
) -> Iterator[Fact]:
    """The claim that two nodes want: whose it is, and what the way out is."""
    top = inventory.template_of(inventory.top(resource))
    fix: Fix | None = None
    listed = _HELD.search(message)
    names = ", ".join(Ref.of(one).name for one in holders) or (listed.group(1) if listed else "")
    cause = f"{names} on another node has it." if names else "Another node still has it."
    path: Path = ("spec", "strategy")
    sharing = (
        top
        if top is not None
        and top.ref.kind == "Deployment"
        and text(top.resource, *path, "type") != "Recreate"
        and any(Ref.of(inventory.top(one)) == top.ref for one in holders)
        else None
    )
    if sharing is not None and whole(sharing.resource, "spec", "replicas", default=1) > 1:
        cause = f"{sharing.ref} has several pods, and only one node may have the volume."
        path = ("spec", "replicas")
    elif sharing is not None:
        cause = f"{sharing.ref} starts the new pod before the old one ends, and only one node may have the volume."
        title = "end the old pod before the new one starts"
        fix = edit_template(inventory, sharing, [Edit(path, {"type": "Recreate"})], title)
    yield Fact(
        rule="volume.attached",
        subject=target,
        message="is wanted on two nodes, and only one may have it",
        cause=cause,
        evidence=(evidence,),
        fixes=(fix,) if fix else (),
        where=inventory.where(sharing.ref, path)
        if sharing is not None
        else inventory.where(target, ("spec", "accessModes")),
        because=tuple(because),
        blame=sharing.ref if sharing is not None else None,
    )


UNITS = {
    ("", "PersistentVolumeClaim"): claim,
    ("", "PersistentVolume"): volume,
    ("storage.k8s.io", "StorageClass"): storage_class,
    ("", "Pod"): attachment,
}
