"""What a pod's volumes hold: files to be written, directories to be made, paths of the host to be checked.

Pure: ConfigMaps, Secrets, claims and tokens are handed in, and what is missing comes back as a `Fault` in kubelet's words.
Nothing here touches a disk. Source: pkg/volume/{configmap,secret,downwardapi,projected,emptydir,hostpath}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from fairlead.orchestrate.podenv import (
    ConfigFault,
    Surroundings,
    decoded,
    field_value,
    missing,
    resource_value,
)
from fairlead.orchestrate.podspecs import Spec, every
from fairlead.tongues import quantities
from fairlead.words import Ref, Resource, View


@dataclass(frozen=True, slots=True)
class Token:
    """A service account token that a volume wants: whose, for whom, for how many seconds."""

    account: str
    audience: str
    seconds: int


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume: its content and mode bits."""

    body: bytes
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A volume of files that are replaced all at once. Keys are relative paths with `/`."""

    name: str
    files: Mapping[str, File]
    group: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """A directory that starts empty and lives as long as the pod. `size` is bytes, 0 for no limit."""

    name: str
    memory: bool = False
    size: int = 0
    group: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A path of the host. `type` is a HostPathType, "" for no check."""

    name: str
    path: str
    type: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A volume that cannot be set up; `message` follows `MountVolume.SetUp failed for volume "x" : `."""

    name: str
    message: str

    @property
    def text(self) -> str:
        """The FailedMount Event's message."""
        return f'MountVolume.SetUp failed for volume "{self.name}" : {self.message}'


Plan = Files | Empty | Host | Fault


@dataclass(frozen=True, slots=True)
class Given:
    """What the plans are made from. `tokens` holds those already had; one that lacks is a Fault."""

    view: View
    around: Surroundings
    tokens: Mapping[Token, str] = field(default_factory=dict)


def needed(pod: Resource) -> set[Ref]:
    """Return the ConfigMaps, Secrets and claims that the pod's volumes refer to."""
    namespace = pod["metadata"]["namespace"]
    refs: set[Ref] = set()
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            if "configMap" in source:
                refs.add(Ref("", "ConfigMap", namespace, source["configMap"].get("name") or ""))
            if "secret" in source:
                secret = source["secret"]
                refs.add(Ref("", "Secret", namespace, secret.get("secretName") or secret.get("name") or ""))
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            refs.add(Ref("", "PersistentVolumeClaim", namespace, claim))
        if "ephemeral" in volume:
            claim = f"{pod['metadata']['name']}-{volume['name']}"
            refs.add(Ref("", "PersistentVolumeClaim", namespace, claim))
    return refs


def tokens_needed(pod: Resource) -> set[Token]:
    """Return the service account tokens that the pod's projected volumes ask for."""
    account = pod["spec"].get("serviceAccountName") or "default"
    found: set[Token] = set()
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in source:
                found.add(_token(account, source["serviceAccountToken"]))
    return found


def _token(account: str, source: Mapping[str, Any]) -> Token:
    return Token(account, source.get("audience") or "", int(source.get("expirationSeconds") or 3600))


def plan(pod: Resource, given: Given) -> list[Plan]:
    """Return a plan for every volume that a container of the pod mounts, in the spec's order."""
    mounted = {mount["name"] for container in every(pod) for mount in container.get("volumeMounts") or ()}
    plans: list[Plan] = []
    for volume in pod["spec"].get("volumes") or ():
        if volume["name"] not in mounted:
            continue
        try:
            plans.append(_plan(pod, volume, given))
        except ConfigFault as error:
            plans.append(Fault(name=volume["name"], message=str(error)))
    return plans


def _plan(pod: Resource, volume: Mapping[str, Any], given: Given) -> Plan:
    name = volume["name"]
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    if "configMap" in volume:
        source = volume["configMap"]
        return Files(name=name, group=group, files=_config_map(pod, source, _mode(source), given))
    if "secret" in volume:
        source = volume["secret"]
        named = {**source, "name": source.get("secretName")}
        return Files(name=name, group=group, files=_secret(pod, named, _mode(source), given))
    if "downwardAPI" in volume:
        source = volume["downwardAPI"]
        return Files(name=name, group=group, files=_downward(pod, source, _mode(source), given))
    if "projected" in volume:
        return Files(name=name, group=group, files=_projected(pod, volume["projected"], given))
    if "emptyDir" in volume:
        source = volume["emptyDir"] or {}
        medium = source.get("medium") or ""
        if medium not in {"", "Memory"}:
            raise ConfigFault(f'unknown storage medium "{medium}": huge pages are not supported yet')
        size = int(Fraction(quantities.parse(str(source.get("sizeLimit") or "0"))))
        return Empty(name=name, memory=medium == "Memory", size=size, group=group)
    if "hostPath" in volume:
        source = volume["hostPath"]
        return Host(name=name, path=source["path"], type=source.get("type") or "")
    if "persistentVolumeClaim" in volume:
        source = volume["persistentVolumeClaim"]
        return _claim(pod, name, source["claimName"], bool(source.get("readOnly")), given)
    if "ephemeral" in volume:
        return _claim(pod, name, f"{pod['metadata']['name']}-{name}", False, given)
    kinds = sorted(key for key in volume if key != "name")
    raise ConfigFault(f"volumes of type {', '.join(kinds) or 'none'} are not supported yet")


def _mode(source: Mapping[str, Any]) -> int:
    mode = source.get("defaultMode")
    return 0o644 if mode is None else int(mode)


def _items(
    source: Mapping[str, Any], keys: Iterable[str], mode: int, optional: bool, absent: str
) -> Iterable[tuple[str, str, int]]:
    """Yield (key, path, mode) for what a source picks."""
    items = source.get("items")
    known = set(keys)
    if not items:
        for key in sorted(known):
            yield key, key, mode
        return
    for item in items:
        if item["key"] not in known:
            if optional:
                continue
            raise ConfigFault(f"{absent}: {item['key']}")
        own = item.get("mode")
        yield item["key"], _inside(item["path"]), mode if own is None else int(own)


def _inside(path: str) -> str:
    """Refuse a path that leads out of its volume; the API refuses them too."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or not path:
        raise ConfigFault(f"invalid path: {path}")
    return "/".join(part for part in parts if part not in {"", "."})


def _config_map(pod: Resource, source: Mapping[str, Any], mode: int, given: Given) -> dict[str, File]:
    name, optional = source.get("name") or "", bool(source.get("optional"))
    found = given.view.get("", "ConfigMap", pod["metadata"]["namespace"], name)
    if found is None:
        if optional:
            return {}
        raise ConfigFault(missing("ConfigMap", name))
    data = {
        key: str(value).encode(errors="surrogateescape") for key, value in (found.get("data") or {}).items()
    }
    for key in found.get("binaryData") or {}:
        data[key] = decoded({"metadata": found["metadata"], "data": found["binaryData"]}, key)
    absent = "configmap references non-existent config key"
    return {path: File(data[key], bits) for key, path, bits in _items(source, data, mode, optional, absent)}


def _secret(pod: Resource, source: Mapping[str, Any], mode: int, given: Given) -> dict[str, File]:
    name, optional = source.get("name") or "", bool(source.get("optional"))
    found = given.view.get("", "Secret", pod["metadata"]["namespace"], name)
    if found is None:
        if optional:
            return {}
        raise ConfigFault(missing("Secret", name))
    data = found.get("data") or {}
    absent = "references non-existent secret key"
    return {
        path: File(decoded(found, key), bits)
        for key, path, bits in _items(source, data, mode, optional, absent)
    }


def _downward(pod: Resource, source: Mapping[str, Any], mode: int, given: Given) -> dict[str, File]:
    files: dict[str, File] = {}
    for item in source.get("items") or ():
        own = item.get("mode")
        bits = mode if own is None else int(own)
        if item.get("fieldRef"):
            text = field_value(pod, item["fieldRef"].get("fieldPath") or "", given.around)
        else:
            reference = item.get("resourceFieldRef") or {}
            container: Spec = {"name": reference.get("containerName") or ""}
            text = resource_value(pod, container, reference, given.around)
        files[_inside(item["path"])] = File(text.encode(errors="surrogateescape"), bits)
    return files


def _projected(pod: Resource, projected: Mapping[str, Any], given: Given) -> dict[str, File]:
    mode = _mode(projected)
    files: dict[str, File] = {}
    for source in projected.get("sources") or ():
        if "configMap" in source:
            files |= _config_map(pod, source["configMap"], mode, given)
        elif "secret" in source:
            files |= _secret(pod, source["secret"], mode, given)
        elif "downwardAPI" in source:
            files |= _downward(pod, source["downwardAPI"], mode, given)
        elif "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            account = pod["spec"].get("serviceAccountName") or "default"
            token = given.tokens.get(_token(account, wanted))
            if token is None:
                raise ConfigFault(
                    f"failed to fetch token: no token for service account {account} could be had"
                )
            files[_inside(wanted["path"])] = File(token.encode(), mode)
        else:
            raise ConfigFault(
                f"projected sources of type {', '.join(sorted(source)) or 'none'} are not supported yet"
            )
    return files


def _claim(pod: Resource, name: str, claim_name: str, read_only: bool, given: Given) -> Plan:
    namespace = pod["metadata"]["namespace"]
    claim = given.view.get("", "PersistentVolumeClaim", namespace, claim_name)
    if claim is None:
        raise ConfigFault(f'persistentvolumeclaim "{claim_name}" not found')
    volume_name = (claim.get("spec") or {}).get("volumeName") or ""
    if not volume_name or (claim.get("status") or {}).get("phase") != "Bound":
        raise ConfigFault(f"error processing PVC {namespace}/{claim_name}: PVC is not bound")
    volume = given.view.get("", "PersistentVolume", "", volume_name)
    if volume is None:
        raise ConfigFault(f'persistentvolume "{volume_name}" not found')
    spec = volume.get("spec") or {}
    read_only = read_only or (spec.get("accessModes") or []) == ["ReadOnlyMany"]
    if "hostPath" in spec:
        kind = spec["hostPath"].get("type") or "DirectoryOrCreate"
        return Host(name=name, path=spec["hostPath"]["path"], type=kind, read_only=read_only)
    if "local" in spec:
        return Host(name=name, path=spec["local"]["path"], type="Directory", read_only=read_only)
    known = {
        "capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions",
        "volumeMode", "nodeAffinity", "volumeAttributesClassName",
    }  # fmt: skip
    kinds = ", ".join(sorted(key for key in spec if key not in known))
    raise ConfigFault(f"persistent volumes of type {kinds or 'none'} are not supported yet")
