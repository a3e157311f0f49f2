"""What Kubernetes refuses in the volumes of a pod.

Source: kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.keep import validating_values as v
from fairlead.keep.validating_values import Causes

_SOURCES = frozenset(
    {
        "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "configMap", "csi", "downwardAPI",
        "emptyDir", "ephemeral", "fc", "flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "glusterfs",
        "hostPath", "image", "iscsi", "nfs", "persistentVolumeClaim", "photonPersistentDisk", "portworxVolume",
        "projected", "quobyte", "rbd", "scaleIO", "secret", "storageos", "vsphereVolume",
    }
)  # fmt: skip
_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_ONE = "may not specify more than 1 volume type"
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_NEEDED: dict[str, tuple[str, ...]] = {
    "awsElasticBlockStore": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "csi": ("driver",),
    "flexVolume": ("driver",),
    "gcePersistentDisk": ("pdName",),
    "gitRepo": ("repository",),
    "glusterfs": ("endpoints", "path"),
    "iscsi": ("targetPortal", "iqn"),
    "local": ("path",),
    "nfs": ("server", "path"),
    "persistentVolumeClaim": ("claimName",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "quobyte": ("registry", "volume"),
    "rbd": ("image", "monitors"),
    "scaleIO": ("gateway", "system"),
    "vsphereVolume": ("volumePath",),
}
VOLUME_MODES = ("Block", "Filesystem")
_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_POD_FIELDS = frozenset(
    {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}
)
_AMOUNTS = frozenset(
    {
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
    }
)


def volume_list(volumes: Any, field: str) -> Causes:
    """Return what is wrong with the volumes of a pod."""
    causes: Causes = []
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        place = f"{field}[{index}]"
        name = volume.get("name", "")
        if not name:
            causes.append(v.required(f"{place}.name"))
        else:
            faults = v.label(name)
            causes += [v.invalid(f"{place}.name", name, fault) for fault in faults]
            if name in names:
                causes.append(v.duplicate(f"{place}.name", name))
            names.add(name)
        causes += source(volume, place)
    return causes


def source(volume: Mapping[str, Any], field: str) -> Causes:
    """Return what is wrong with the source of a volume; exactly one must be given."""
    found = [name for name in volume if name in _SOURCES]
    if not found:
        return [v.required(field, "must specify a volume type")]
    causes: Causes = [v.forbidden(f"{field}.{name}", _ONE) for name in found[1:]]
    name = found[0]
    place = f"{field}.{name}"
    body = volume[name]
    causes += needed(name, body, place)
    if name == "hostPath":
        causes += host_path(body, place)
    elif name == "emptyDir" and "sizeLimit" in body:
        if v.amount(body["sizeLimit"]) < 0:
            causes.append(
                v.forbidden(f"{place}.sizeLimit", "SizeLimit field must be a valid resource quantity")
            )
    elif name == "secret":
        if not body.get("secretName"):
            causes.append(v.required(f"{place}.secretName"))
        causes += _items(body, place)
    elif name == "configMap":
        if not body.get("name"):
            causes.append(v.required(f"{place}.name"))
        causes += _items(body, place)
    elif name == "downwardAPI":
        causes += _mode(body, place, "defaultMode")
        for index, item in enumerate(body.get("items", ())):
            causes += _downward(item, f"{place}.items[{index}]")
    elif name == "projected":
        causes += _projected(body, place)
    elif name == "ephemeral":
        claim = body.get("volumeClaimTemplate")
        if claim is None:
            causes.append(v.required(f"{place}.volumeClaimTemplate"))
        else:
            causes += claim_spec(claim.get("spec", {}), f"{place}.volumeClaimTemplate.spec")
    elif name == "image":
        if not body.get("reference"):
            causes.append(v.required(f"{place}.reference"))
        causes += v.one_of(body.get("pullPolicy"), f"{place}.pullPolicy", ("Always", "IfNotPresent", "Never"))
    return causes


def needed(name: str, body: Mapping[str, Any], field: str) -> Causes:
    """Return what a source of the given name lacks."""
    causes: Causes = [v.required(f"{field}.{part}") for part in _NEEDED.get(name, ()) if not body.get(part)]
    if name == "nfs" and body.get("path") and not body["path"].startswith("/"):
        causes.append(v.invalid(f"{field}.path", body["path"], "must be an absolute path"))
    return causes


def claim_spec(spec: Mapping[str, Any], field: str) -> Causes:
    """Return what is wrong with the spec of a claim, wherever it stands."""
    causes: Causes = []
    modes = spec.get("accessModes", ())
    if not modes:
        causes.append(v.required(f"{field}.accessModes", "at least 1 access mode is required"))
    causes += v.selector(spec.get("selector"), f"{field}.selector")
    causes += access(modes, f"{field}.accessModes")
    amount = spec.get("resources", {}).get("requests", {}).get("storage")
    if amount is None:
        causes.append(v.required(f"{field}.resources[storage]"))
    elif v.amount(amount) <= 0:
        causes.append(v.invalid(f"{field}.resources[storage]", amount, "must be greater than zero"))
    name = spec.get("storageClassName")
    if name:
        causes += [v.invalid(f"{field}.storageClassName", name, fault) for fault in v.subdomain(name)]
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        causes.append(v.not_supported(f"{field}.volumeMode", mode, VOLUME_MODES))
    for kind in ("dataSource", "dataSourceRef"):
        source = spec.get(kind)
        if source is not None:
            for part in ("kind", "name"):
                if not source.get(part):
                    causes.append(v.required(f"{field}.{kind}.{part}"))
    return causes


def access(modes: Any, field: str) -> Causes:
    """Return what is wrong with a list of access modes."""
    causes: Causes = [
        v.not_supported(field, mode, _ACCESS_MODES) for mode in modes if mode not in _ACCESS_MODES
    ]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        text = "may not use ReadWriteOncePod with other access modes"
        causes.append(v.forbidden(field, text))
    return causes


def host_path(body: Mapping[str, Any], field: str) -> Causes:
    """Return what is wrong with a hostPath source."""
    path = body.get("path", "")
    if not path:
        return [v.required(f"{field}.path")]
    causes: Causes = []
    if ".." in path.split("/"):
        causes.append(v.invalid(f"{field}.path", path, "must not contain '..'"))
    kind = body.get("type", "")
    if kind not in _HOST_PATH_TYPES:
        causes.append(v.not_supported(f"{field}.type", kind, _HOST_PATH_TYPES))
    return causes


def relative(path: str, field: str) -> Causes:
    """Return what is wrong with a path that must stay inside: relative and without `..`."""
    if path.startswith("/"):
        return [v.invalid(field, path, "must be a relative path")]
    if ".." in path.split("/"):
        return [v.invalid(field, path, "must not contain '..'")]
    return []


def _mode(body: Mapping[str, Any], field: str, name: str) -> Causes:
    mode = body.get(name)
    if mode is None or 0 <= mode <= 0o777:
        return []
    return [v.invalid(f"{field}.{name}", mode, _MODE)]


def _items(body: Mapping[str, Any], field: str) -> Causes:
    causes = _mode(body, field, "defaultMode")
    for index, item in enumerate(body.get("items", ())):
        place = f"{field}.items[{index}]"
        if not item.get("key"):
            causes.append(v.required(f"{place}.key"))
        if not item.get("path"):
            causes.append(v.required(f"{place}.path"))
        else:
            causes += _local(item["path"], f"{place}.path")
        causes += _mode(item, place, "mode")
    return causes


def _local(path: str, field: str) -> Causes:
    causes = relative(path, field)
    if not causes and path.startswith(".."):
        causes.append(v.invalid(field, path, "must not start with '..'"))
    return causes


def _downward(item: Mapping[str, Any], field: str) -> Causes:
    path = item.get("path", "")
    causes: Causes = _local(path, f"{field}.path") if path else [v.required(f"{field}.path")]
    if "fieldRef" in item:
        if "resourceFieldRef" in item:
            causes.append(
                v.invalid(
                    field, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"
                )
            )
        causes += field_ref(item["fieldRef"], f"{field}.fieldRef", _POD_FIELDS)
    elif "resourceFieldRef" in item:
        causes += resource_ref(item["resourceFieldRef"], f"{field}.resourceFieldRef", in_volume=True)
    else:
        causes.append(v.required(field, "one of fieldRef and resourceFieldRef is required"))
    return causes + _mode(item, field, "mode")


def field_ref(reference: Mapping[str, Any], field: str, supported: frozenset[str]) -> Causes:
    """Return what is wrong with a reference to a field of the pod."""
    path = reference.get("fieldPath", "")
    if reference.get("apiVersion", "v1") != "v1":
        return [
            v.invalid(
                f"{field}.fieldPath",
                path,
                f"error converting fieldPath: unsupported pod version: {reference['apiVersion']}",
            )
        ]
    if not path:
        return [v.required(f"{field}.fieldPath")]
    base, bracket, rest = path.partition("['")
    if bracket and rest.endswith("']"):
        key = rest[:-2]
        if base == "metadata.labels":
            return [v.invalid(field, path, fault) for fault in v.qualified(key)]
        if base == "metadata.annotations":
            return [v.invalid(field, path, fault) for fault in v.qualified(key.lower())]
        return [v.invalid(field, path, "does not support subscript")]
    if path not in supported:
        return [v.not_supported(f"{field}.fieldPath", path, sorted(supported))]
    return []


def resource_ref(reference: Mapping[str, Any], field: str, *, in_volume: bool) -> Causes:
    """Return what is wrong with a reference to an amount of resources of a container."""
    if in_volume and not reference.get("containerName"):
        return [v.required(f"{field}.containerName")]
    resource = reference.get("resource", "")
    if not resource:
        return [v.required(f"{field}.resource")]
    if resource not in _AMOUNTS and not resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        return [v.not_supported(f"{field}.resource", resource, sorted(_AMOUNTS))]
    return []


def _projected(body: Mapping[str, Any], field: str) -> Causes:
    causes = _mode(body, field, "defaultMode")
    paths: set[str] = set()
    for index, one in enumerate(body.get("sources", ())):
        place = f"{field}.sources[{index}]"
        found = [
            name
            for name in one
            if name in {"secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"}
        ]
        causes += [v.forbidden(f"{place}.{name}", _ONE) for name in found[1:]]
        for name in found[:1]:
            part = one[name]
            here = f"{place}.{name}"
            if name in {"secret", "configMap"}:
                if not part.get("name"):
                    causes.append(v.required(f"{here}.name"))
                causes += _items(part, here)
            elif name == "downwardAPI":
                for at, item in enumerate(part.get("items", ())):
                    causes += _downward(item, f"{here}.items[{at}]")
            elif name == "serviceAccountToken":
                seconds = part.get("expirationSeconds", 3600)
                if seconds < 600:
                    text = "may not specify a duration less than 10 minutes"
                    causes.append(v.invalid(f"{here}.expirationSeconds", seconds, text))
                if seconds > 1 << 32:
                    text = "may not specify a duration larger than 2^32 seconds"
                    causes.append(v.invalid(f"{here}.expirationSeconds", seconds, text))
                if not part.get("path"):
                    causes.append(v.required(f"{here}.path"))
                else:
                    causes += _local(part["path"], f"{here}.path")
            targets = [item.get("path", "") for item in part.get("items", ())] or [part.get("path", "")]
            for target in filter(None, targets):
                if target in paths:
                    text = "conflicting duplicate paths"
                    causes.append(v.invalid(f"{here}.path", target, text))
                paths.add(target)
    return causes
