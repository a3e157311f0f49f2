"""Volumes and claims: binding by hand-made PersistentVolumes, protection while in use, and what is missing.

Source: k8s.io/kubernetes/pkg/controller/volume/persistentvolume, pvcprotection, pvprotection. fairlead has no
provisioner of its own; a class that names one waits for it, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fairlead.orchestrate import demands, fitting, lives, owning, proposing
from fairlead.orchestrate.steps import Controller, Step
from fairlead.tongues import selectors
from fairlead.words import Change, Ref, Resource, View

COMPONENT = "persistentvolume-controller"
CLAIM = ("", "PersistentVolumeClaim")
VOLUME = ("", "PersistentVolume")
COMPLETED = "pv.kubernetes.io/bind-completed"
BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


def class_of(resource: Resource) -> str:
    """Return the storage class of a claim or a volume, "" for none; the old annotation still wins."""
    annotations = resource["metadata"].get("annotations") or {}
    old = annotations.get("volume.beta.kubernetes.io/storage-class")
    return old if old is not None else (resource.get("spec") or {}).get("storageClassName") or ""


def _storage(values: Mapping[str, Any] | None) -> int:
    return demands.amounts(values).get("storage", 0)


def _is_for(volume: Resource, claim: Resource) -> bool:
    """Whether the volume's claimRef names this claim (and, where it has a uid, this very one)."""
    reference = (volume.get("spec") or {}).get("claimRef") or {}
    meta = claim["metadata"]
    same = (reference.get("namespace"), reference.get("name")) == (meta.get("namespace"), meta.get("name"))
    return same and reference.get("uid") in {None, "", meta.get("uid")}


def _suits(volume: Resource, claim: Resource) -> bool:
    want, have = claim.get("spec") or {}, volume.get("spec") or {}
    return (
        set(want.get("accessModes") or ()) <= set(have.get("accessModes") or ())
        and (want.get("volumeMode") or "Filesystem") == (have.get("volumeMode") or "Filesystem")
        and _storage((want.get("resources") or {}).get("requests")) <= _storage(have.get("capacity"))
        and not owning.is_deleted(volume)
    )


def match(claim: Resource, volumes: Sequence[Resource], node: Resource | None = None) -> Resource | None:
    """Return the volume to bind: one reserved for the claim, else the smallest free one of its class that suits.

    With a node, only volumes that this node can reach count.
    """
    selector = (claim.get("spec") or {}).get("selector")
    chosen = selectors.from_object(selector) if selector else None
    candidates = []
    for volume in volumes:
        if not _suits(volume, claim):
            continue
        required = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required")
        if node is not None and not fitting.selector_holds(required, node):
            continue
        if (volume.get("spec") or {}).get("claimRef"):
            if _is_for(volume, claim):
                return volume
            continue
        if (volume.get("status") or {}).get("phase") != "Available" or class_of(volume) != class_of(claim):
            continue
        if chosen is not None and not chosen.matches(owning.labels(volume)):
            continue
        candidates.append(volume)
    return min(
        candidates,
        key=lambda volume: (_storage(volume["spec"].get("capacity")), volume["metadata"]["name"]),
        default=None,
    )


def _reconcile_claim(view: View, ref: Ref, now: datetime) -> Step:
    claim = view.get(*CLAIM, ref.namespace, ref.name)
    if claim is None:
        return Step()
    protected = _protect(claim, CLAIM_PROTECTION, used=_in_use(claim, view))
    if protected or owning.is_deleted(claim):
        return Step(protected)
    annotations = claim["metadata"].get("annotations") or {}
    if COMPLETED in annotations:
        return Step(tuple(_check_bound(claim, view, now)))
    name = (claim.get("spec") or {}).get("volumeName")
    if name:
        return Step(tuple(_bind_named(claim, view.get(*VOLUME, "", name), now)))
    waits, kind = _binding_mode(claim, view)
    node = view.get("", "Node", "", annotations.get(SELECTED_NODE, "")) if waits else None
    if waits and node is None:
        text = "waiting for first consumer to be created before binding"
        return Step(_pending(claim, view, "Normal", "WaitForFirstConsumer", text, now))
    volume = match(claim, view.list(*VOLUME), node)
    if volume is not None:
        return Step(tuple(_bind(claim, volume)))
    return Step(_missing(claim, kind, view, now))


def _binding_mode(claim: Resource, view: View) -> tuple[bool, Resource | None]:
    name = class_of(claim)
    kind = view.get("storage.k8s.io", "StorageClass", "", name) if name else None
    return kind is not None and kind.get("volumeBindingMode") == "WaitForFirstConsumer", kind


def _missing(claim: Resource, kind: Resource | None, view: View, now: datetime) -> tuple[Change, ...]:
    name = class_of(claim)
    if not name:
        text = "no persistent volumes available for this claim and no storage class is set"
        return _pending(claim, view, "Normal", "FailedBinding", text, now)
    if kind is None:
        text = f'storageclass.storage.k8s.io "{name}" not found'
        return _pending(claim, view, "Warning", "ProvisioningFailed", text, now)
    provisioner = kind.get("provisioner") or ""
    if provisioner == NO_PROVISIONER:
        text = f"no volume plugin matched name: {provisioner}"
        return _pending(claim, view, "Warning", "ProvisioningFailed", text, now)
    text = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    changes: tuple[Change, ...] = ()
    if (claim["metadata"].get("annotations") or {}).get(PROVISIONER) != provisioner:
        document = {"metadata": {"annotations": {PROVISIONER: provisioner}}}
        changes = (proposing.patch(claim, document, "its class names a provisioner"),)
    return changes + _pending(claim, view, "Normal", "ExternalProvisioning", text, now)


def _pending(
    claim: Resource, view: View, severity: str, reason: str, text: str, now: datetime
) -> tuple[Change, ...]:
    """Return what keeps the claim Pending, told once as long as that Event is remembered."""
    status = {**(claim.get("status") or {}), "phase": "Pending"}
    told = proposing.event(claim, severity, reason, text, now, COMPONENT)
    known = view.get("", "Event", told.ref.namespace, told.ref.name) is not None
    return (*proposing.status(claim, status), *(() if known else (told,)))


def _bind_named(claim: Resource, volume: Resource | None, now: datetime) -> Iterable[Change]:
    if volume is None:
        return proposing.status(claim, {**(claim.get("status") or {}), "phase": "Pending"})
    if (volume.get("spec") or {}).get("claimRef") and not _is_for(volume, claim):
        name = volume["metadata"]["name"]
        text = f'volume "{name}" already bound to a different claim.'
        status = {**(claim.get("status") or {}), "phase": "Pending"}
        moved = proposing.status(claim, status)
        told = proposing.event(claim, "Warning", "FailedBinding", text, now, COMPONENT)
        return (*moved, told) if moved else ()
    return _bind(claim, volume)


def _bind(claim: Resource, volume: Resource) -> list[Change]:
    """Bind both sides: first the volume, then the claim, so that a half-done binding is finished the next time."""
    meta = claim["metadata"]
    name = volume["metadata"]["name"]
    reference = (volume.get("spec") or {}).get("claimRef") or {}
    changes: list[Change] = []
    if reference.get("uid") != meta.get("uid"):
        document: dict[str, Any] = {"spec": {"claimRef": proposing.reference(claim)}}
        if not reference:
            document["metadata"] = {"annotations": {BY_CONTROLLER: "yes"}}
        changes.append(
            proposing.patch(
                volume, document, f"bound to claim {meta.get('namespace')}/{meta['name']}", exact=True
            )
        )
    changes += proposing.status(volume, {**(volume.get("status") or {}), "phase": "Bound"})
    marks = {COMPLETED: "yes"}
    wanted: dict[str, Any] = {}
    if not (claim.get("spec") or {}).get("volumeName"):
        wanted["spec"] = {"volumeName": name}
        marks[BY_CONTROLLER] = "yes"
    wanted["metadata"] = {"annotations": marks}
    changes.append(proposing.patch(claim, wanted, f"bound to volume {name}"))
    return [*changes, *proposing.status(claim, _bound_status(claim, volume))]


def _bound_status(claim: Resource, volume: Resource) -> dict[str, Any]:
    spec = volume.get("spec") or {}
    return {
        **(claim.get("status") or {}),
        "phase": "Bound",
        "accessModes": list(spec.get("accessModes") or ()),
        "capacity": dict(spec.get("capacity") or {}),
    }


def _check_bound(claim: Resource, view: View, now: datetime) -> Iterable[Change]:
    volume = view.get(*VOLUME, "", (claim.get("spec") or {}).get("volumeName") or "")
    if volume is not None and _is_for(volume, claim):
        return proposing.status(claim, _bound_status(claim, volume))
    if volume is not None and not (volume.get("spec") or {}).get("claimRef"):
        return _bind(claim, volume)
    if volume is None:
        reason, text = "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    else:
        reason = "ClaimMisbound"
        text = "Two claims are bound to the same volume, this one is bound incorrectly"
    moved = proposing.status(claim, {"phase": "Lost"})
    return (*moved, proposing.event(claim, "Warning", reason, text, now, COMPONENT)) if moved else ()


def _reconcile_volume(view: View, ref: Ref, now: datetime) -> Step:
    volume = view.get(*VOLUME, "", ref.name)
    if volume is None:
        return Step()
    status = volume.get("status") or {}
    protected = _protect(volume, VOLUME_PROTECTION, used=status.get("phase") == "Bound")
    if protected or (owning.is_deleted(volume) and status.get("phase") != "Bound"):
        return Step(protected)
    reference = (volume.get("spec") or {}).get("claimRef")
    if not reference or not reference.get("uid"):
        return Step(_phase(volume, "Available"))
    claim = view.get(*CLAIM, reference.get("namespace", ""), reference.get("name", ""))
    if claim is not None and claim["metadata"].get("uid") == reference["uid"]:
        return Step(_phase(volume, "Bound"))
    policy = (volume.get("spec") or {}).get("persistentVolumeReclaimPolicy") or "Retain"
    if policy == "Retain" or status.get("phase") == "Failed":
        return Step(_phase(volume, "Released") if policy == "Retain" else ())
    text = f'error getting deleter volume plugin for volume "{ref.name}": no deletable volume plugin matched'
    reason = "VolumeFailedDelete"
    if policy == "Recycle":
        text, reason = "No recycler plugin found for the volume!", "VolumeFailedRecycle"
    moved = _phase(volume, "Failed", text)
    return Step((*moved, proposing.event(volume, "Warning", reason, text, now, COMPONENT)))


def _phase(volume: Resource, phase: str, message: str = "") -> tuple[Change, ...]:
    status = {
        key: value for key, value in (volume.get("status") or {}).items() if key not in {"message", "reason"}
    }
    status["phase"] = phase
    if message:
        status["message"] = message
    return proposing.status(volume, status)


def _in_use(claim: Resource, view: View) -> bool:
    meta = claim["metadata"]
    return any(
        (volume.get("persistentVolumeClaim") or {}).get("claimName") == meta["name"]
        for pod in view.list("", "Pod", meta.get("namespace", ""))
        if not lives.is_finished(pod)
        and (pod.get("spec") or {}).get("nodeName")  # only then a node may mount it
        for volume in (pod.get("spec") or {}).get("volumes") or ()
    )


def _protect(resource: Resource, finalizer: str, *, used: bool) -> tuple[Change, ...]:
    """Return the change that puts the finalizer on, or takes it off something deleted that nobody uses."""
    has = resource["metadata"].get("finalizers") or []
    if owning.is_deleted(resource):
        if finalizer not in has or used:
            return ()
        left = [entry for entry in has if entry != finalizer]
        return (
            proposing.patch(resource, {"metadata": {"finalizers": left}}, "no longer in use", exact=True),
        )
    if finalizer in has:
        return ()
    document = {"metadata": {"finalizers": [*has, finalizer]}}
    return (proposing.patch(resource, document, "protected while in use", exact=True),)


def _claims_of(view: View, pod: Resource) -> Iterable[Ref]:
    del view
    namespace = pod["metadata"].get("namespace", "")
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield Ref(*CLAIM, namespace, volume["persistentVolumeClaim"]["claimName"])


def _claims_without(view: View, resource: Resource) -> Iterable[Ref]:
    """A new volume or class may be what an unbound claim waits for; a bound claim minds its own volume."""
    name = resource["metadata"]["name"]
    for claim in view.list(*CLAIM):
        volume = (claim.get("spec") or {}).get("volumeName")
        if not volume or volume == name:
            yield Ref.of(claim)


def _volume_of(view: View, claim: Resource) -> Iterable[Ref]:
    name = (claim.get("spec") or {}).get("volumeName")
    if name:
        yield Ref(*VOLUME, "", name)
    else:
        for volume in view.list(*VOLUME):
            if _is_for(volume, claim):
                yield Ref.of(volume)


CLAIMS = Controller(
    name="persistentvolumeclaim",
    kind=CLAIM,
    reconcile=_reconcile_claim,
    watches={
        VOLUME: _claims_without,
        ("storage.k8s.io", "StorageClass"): _claims_without,
        ("", "Pod"): _claims_of,
    },
)
VOLUMES = Controller(
    name="persistentvolume", kind=VOLUME, reconcile=_reconcile_volume, watches={CLAIM: _volume_of}
)
