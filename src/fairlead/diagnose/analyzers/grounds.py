"""What workloads stand on: nodes, volume claims, namespaces.

Trouble here explains trouble above, so it is looked at even where no pod complains yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory, moment
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.proposing import Edit, patch, unfinished
from fairlead.tongues.paths import find, mapping, mappings, strings, text, words
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_GROUPS = re.compile(r"(?<![a-z0-9.-])([a-z0-9.-]+)/(v\w+): ")
"""How the API server writes a group and version that it could not ask."""
_STUCK = timedelta(minutes=1)
_CORDON = "node.kubernetes.io/unschedulable"


def _node(inventory: Inventory, node: Resource) -> Iterator[Fact]:
    if not inventory.live:
        return
    ref = Ref.of(node)
    if mapping(node, "spec").get("unschedulable") is True:
        yield Fact(
            rule="node.cordoned",
            subject=ref,
            severity=Severity.INFO,
            message="takes no new pods: it is cordoned",
            fixes=(_uncordoned(node),),
            where=inventory.where(ref, ("spec", "unschedulable")),
        )
    for _, item in mappings(node, "status", "conditions"):
        kind, status = text(item, "type"), text(item, "status")
        said = inventory.quote(text(item, "message"), ref)
        if kind == "Ready" and status != "True":
            since = moment(item.get("lastTransitionTime"))
            ago = f" for {inventory.ago(since)}" if since else ""
            yield Fact(
                rule="node.unready",
                subject=ref,
                message=f"is not ready{ago}",
                cause=said,
                evidence=(Evidence("condition", ref, f"Ready is {status}: {text(item, 'reason')}: {said}"),),
            )
        elif kind in _PRESSURES and status == "True":
            yield Fact(
                rule="node.pressure",
                subject=ref,
                detail=str(kind),
                severity=Severity.WARNING,
                message=f"reports {kind}",
                cause=said,
                evidence=(Evidence("condition", ref, f"{kind} is True: {text(item, 'reason')}: {said}"),),
            )


def _uncordoned(node: Resource) -> Fix:
    """Let the node take pods again; the taint that stands for the cordon would be taken off by Kubernetes a moment later."""
    title = "uncordon it"
    taints = find(node, ("spec", "taints"))
    left = [one for one in taints or () if not isinstance(one, dict) or one.get("key") != _CORDON]
    edits = [Edit(("spec", "unschedulable"), None)]
    if taints and left != taints:
        edits.append(Edit(("spec", "taints"), left or None))
    change = patch(node, edits, title)
    return Fix(title=title, changes=(change,), risk="Somebody may have cordoned it to work on it.")


def _claim(inventory: Inventory, claim: Resource) -> Iterator[Fact]:
    if not inventory.live:
        return
    ref = Ref.of(claim)
    phase = text(claim, "status", "phase")
    if phase == "Lost":
        yield Fact(
            rule="claim.lost",
            subject=ref,
            message="has lost its volume",
            cause=f"PersistentVolume {text(claim, 'spec', 'volumeName')} is gone.",
            evidence=(inventory.field(ref, ("status", "phase"), "phase: Lost"),),
        )
    if phase != "Pending" or text(claim, "spec", "volumeName"):
        return
    classes = {Ref.of(one).name: one for one in inventory.of_kind("storage.k8s.io", "StorageClass")}
    name = mapping(claim, "spec").get("storageClassName")
    path = ("spec", "storageClassName")
    seen = inventory.seen_all("storage.k8s.io", "StorageClass")
    has = ", ".join(sorted(classes)) or "none"
    if name is None and seen and not any(_default(one) for one in classes.values()):
        yield Fact(
            rule="claim.class",
            subject=ref,
            message="names no storage class, and the cluster has no default one",
            cause=f"Storage classes there are: {has}. Nothing will make a volume for it.",
            evidence=(Evidence("absence", ref, "no storageClassName", inventory.where(ref, path)),),
            where=inventory.where(ref, path),
        )
    elif (
        isinstance(name, str)
        and name
        and name not in classes
        and seen
        and not _matching_volume(inventory, name)
    ):
        near = nearest(name, classes)
        yield Fact(
            rule="claim.class",
            subject=ref,
            message=f"asks for storage class {name}, which does not exist",
            cause=f"{near} exists: probably that class is meant."
            if near
            else f"Storage classes there are: {has}.",
            evidence=(inventory.field(ref, path, f"storageClassName: {name}"),),
            where=inventory.where(ref, path),
        )
    else:
        for note in inventory.events(ref, "ProvisioningFailed")[-1:]:
            yield Fact(
                rule="claim.provisioning",
                subject=ref,
                message="gets no volume",
                cause=inventory.quote(note.message, ref),
                evidence=(inventory.noted(ref, note),),
                because=tuple((rule, ref, "") for rule in ("claim.mode", "claim.size", "claim.volume")),
            )
        if name == "" and not _matching_volume(inventory, ""):
            yield Fact(
                rule="claim.volume",
                subject=ref,
                message="waits for a volume made by hand, and there is none without a class",
                evidence=(inventory.field(ref, path, 'storageClassName: ""'),),
                where=inventory.where(ref, path),
            )


def _default(storage_class: Resource) -> bool:
    annotations = strings(storage_class, "metadata", "annotations")
    return any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)


def _matching_volume(inventory: Inventory, name: str) -> bool:
    """Say whether an unbound volume bears the class's name: a class need not exist to match."""
    if not inventory.seen_all("", "PersistentVolume"):
        return True
    return any(
        text(volume, "spec", "storageClassName") == name and not mapping(volume, "spec", "claimRef")
        for volume in inventory.of_kind("", "PersistentVolume")
    )


def _namespace(inventory: Inventory, namespace: Resource) -> Iterator[Fact]:
    ref = Ref.of(namespace)
    since = moment(mapping(namespace, "metadata").get("deletionTimestamp"))
    if not inventory.live or since is None or not inventory.past(since, _STUCK):
        return
    holding = [
        Ref.of(one) for one in inventory.at("namespace", ref.name) if words(one, "metadata", "finalizers")
    ]
    said = [
        text(item, "message")
        for _, item in mappings(namespace, "status", "conditions")
        if item.get("status") == "True" and text(item, "message")
    ]
    evidence = [Evidence("condition", ref, inventory.quote(one, ref)) for one in said[:3]]
    for one in holding[:3]:
        finalizers = words(inventory.get(one), "metadata", "finalizers")
        evidence.append(inventory.field(one, ("metadata", "finalizers"), ", ".join(finalizers)))
    cause = ""
    fixes: tuple[Fix, ...] = ()
    if holding:
        fixes = unfinished(inventory, holding)
        names = ", ".join(str(one) for one in holding[:3])
        cause = f"{names} {'waits' if len(holding) == 1 else 'wait'} for finalizers that no controller has taken away."
    yield Fact(
        rule="namespace.terminating",
        subject=ref,
        severity=Severity.WARNING,
        message=f"is being deleted for {inventory.ago(since)}",
        cause=cause,
        evidence=tuple(evidence),
        because=tuple(
            (
                "apiservice.unavailable",
                Ref("apiregistration.k8s.io", "APIService", "", f"{version}.{group}"),
                "",
            )
            for one in said
            for group, version in _GROUPS.findall(one)
        ),
        fixes=fixes,
    )


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {
    ("", "Node"): _node,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Namespace"): _namespace,
}
