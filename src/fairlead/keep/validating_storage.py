"""What Kubernetes refuses in volumes, claims and storage classes.

Reads defaulted objects, changes nothing. Sources: kubernetes/pkg/apis/{core,storage}/validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.keep import validating_values as v
from fairlead.keep.validating_pods import node_selector
from fairlead.keep.validating_values import Causes
from fairlead.keep.validating_volumes import VOLUME_MODES, access, claim_spec, host_path, needed
from fairlead.words import Resource

_RECLAIM = ("Delete", "Recycle", "Retain")
_SOURCES = frozenset(
    {
        "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker",
        "gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk",
        "portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
    }
)  # fmt: skip


def claim(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a PersistentVolumeClaim, and with the way it changes."""
    spec = obj.get("spec", {})
    causes = claim_spec(spec, "spec")
    if old is not None:
        causes += _claim_update(spec, old)
    return causes


def _claim_update(spec: Mapping[str, Any], old: Resource) -> Causes:
    before = old.get("spec", {})
    bound = old.get("status", {}).get("phase") == "Bound"
    new = dict(spec)
    if not before.get("volumeName"):
        new["volumeName"] = before.get("volumeName")
    if bound:
        new["resources"] = {
            **new.get("resources", {}),
            "requests": before.get("resources", {}).get("requests"),
        }
        new["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
    if before.get("storageClassName") is None and "storageClassName" in new:
        new["storageClassName"] = None
    keys = {*new, *before}
    causes: Causes = []
    if any(_plain(new.get(key)) != _plain(before.get(key)) for key in keys):
        text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        causes.append(v.forbidden("spec", text))
    asked = spec.get("resources", {}).get("requests", {}).get("storage", "0")
    was = before.get("resources", {}).get("requests", {}).get("storage", "0")
    capacity = old.get("status", {}).get("capacity", {}).get("storage", was)
    if v.amount(asked) < v.amount(was) and v.amount(asked) <= v.amount(capacity):
        text = "field can not be less than status.capacity"
        causes.append(v.forbidden("spec.resources.requests.storage", text))
    return causes


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item not in (None, {}, [])} or None
    return value


def volume(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a PersistentVolume, and with the way it changes."""
    spec = obj.get("spec", {})
    causes: Causes = []
    modes = spec.get("accessModes", ())
    if not modes:
        causes.append(v.required("spec.accessModes"))
    causes += access(modes, "spec.accessModes")
    capacity = spec.get("capacity", {})
    if not capacity:
        causes.append(v.required("spec.capacity"))
    elif set(capacity) != {"storage"}:
        causes.append(v.not_supported("spec.capacity", capacity, ("storage",)))
    elif v.amount(capacity["storage"]) <= 0:
        causes.append(v.invalid("spec.capacity[storage]", capacity["storage"], "must be greater than zero"))
    causes += v.one_of(
        spec.get("persistentVolumeReclaimPolicy"),
        "spec.persistentVolumeReclaimPolicy",
        _RECLAIM,
        optional=True,
    )
    found = [name for name in spec if name in _SOURCES]
    if not found:
        causes.append(v.required("spec", "must specify a volume type"))
    causes += [v.forbidden(f"spec.{name}", "may not specify more than 1 volume type") for name in found[1:]]
    if "hostPath" in spec:
        causes += host_path(spec["hostPath"], "spec.hostPath")
    if "local" in spec and "nodeAffinity" not in spec:
        causes.append(v.required("spec.nodeAffinity", "Local volume requires node affinity"))
    for name in found:
        causes += needed(name, spec[name], f"spec.{name}")
    if "csi" in spec and not spec["csi"].get("volumeHandle"):
        causes.append(v.required("spec.csi.volumeHandle"))
    wanted = spec.get("nodeAffinity", {}).get("required")
    if wanted is not None:
        causes += node_selector(wanted, "spec.nodeAffinity.required")
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        causes.append(v.not_supported("spec.volumeMode", mode, VOLUME_MODES))
    name = spec.get("storageClassName")
    if name:
        causes += [v.invalid("spec.storageClassName", name, fault) for fault in v.subdomain(name)]
    if old is not None:
        before = old.get("spec", {})
        if any(spec.get(one) != before.get(one) for one in _SOURCES):
            text = "spec.persistentvolumesource is immutable after creation"
            causes.append(v.forbidden("spec.persistentvolumesource", text))
        causes += v.same(mode, before.get("volumeMode"), "spec.volumeMode")
    return causes


def storage_class(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a StorageClass, and with the way it changes."""
    causes: Causes = []
    provisioner = obj.get("provisioner", "")
    if not provisioner:
        causes.append(v.required("provisioner"))
    else:
        causes += [v.invalid("provisioner", provisioner, fault) for fault in v.qualified(provisioner.lower())]
    causes += v.one_of(obj.get("reclaimPolicy"), "reclaimPolicy", ("Delete", "Retain"), optional=True)
    modes = ("Immediate", "WaitForFirstConsumer")
    causes += v.one_of(obj.get("volumeBindingMode"), "volumeBindingMode", modes)
    for key in obj.get("parameters", {}):
        if not key:
            causes.append(v.invalid("parameters", key, "field can not be empty."))
    if old is not None:
        if obj.get("parameters", {}) != old.get("parameters", {}):
            causes.append(v.forbidden("parameters", "updates to parameters are forbidden."))
        if provisioner != old.get("provisioner", ""):
            causes.append(v.forbidden("provisioner", "updates to provisioner are forbidden."))
        for name in ("reclaimPolicy", "volumeBindingMode"):
            causes += v.same(obj.get(name), old.get(name), name)
    return causes


def csi_driver(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a CSIDriver."""
    spec = obj.get("spec", {})
    causes: Causes = []
    policy = spec.get("fsGroupPolicy")
    policies = ("File", "None", "ReadWriteOnceWithFSType")
    causes += v.one_of(policy, "spec.fsGroupPolicy", policies, optional=True)
    for mode in spec.get("volumeLifecycleModes", ()):
        if mode not in {"Ephemeral", "Persistent"}:
            causes.append(v.not_supported("spec.volumeLifecycleModes", mode, ("Ephemeral", "Persistent")))
    if old is not None:
        before = old.get("spec", {})
        for name in ("attachRequired", "volumeLifecycleModes"):
            causes += v.same(spec.get(name), before.get(name), f"spec.{name}")
    return causes


def csi_node(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a CSINode."""
    causes: Causes = []
    names: set[str] = set()
    for index, driver in enumerate(obj.get("spec", {}).get("drivers") or ()):
        place = f"spec.drivers[{index}]"
        for name in ("name", "nodeID"):
            if not driver.get(name):
                causes.append(v.required(f"{place}.{name}"))
        if driver.get("name") in names:
            causes.append(v.duplicate(f"{place}.name", driver["name"]))
        names.add(driver.get("name", ""))
    return causes


def storage_capacity(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a CSIStorageCapacity."""
    name = obj.get("storageClassName", "")
    causes: Causes = [v.invalid("storageClassName", name, fault) for fault in v.subdomain(name)]
    causes += v.selector(obj.get("nodeTopology"), "nodeTopology")
    if old is not None:
        for field in ("nodeTopology", "storageClassName"):
            causes += v.same(obj.get(field), old.get(field), field)
    return causes


def volume_attachment(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a VolumeAttachment."""
    spec = obj.get("spec", {})
    causes: Causes = [v.required(f"spec.{name}") for name in ("attacher", "nodeName") if not spec.get(name)]
    source = spec.get("source", {})
    if not source.get("persistentVolumeName") and not source.get("inlineVolumeSpec"):
        causes.append(
            v.required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        )
    return causes + (v.same(spec, old.get("spec", {}), "spec") if old is not None else [])
