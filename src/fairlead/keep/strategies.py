"""What each kind's storage does around a write: generation, status, finalizers, what a delete answers.

A table of facts and the two preparations, before a create and before an update. Nothing here validates or stores.
Source: the strategies under k8s.io/kubernetes pkg/registry in 1.32, and apiextensions' custom resource strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fairlead.keep.defaulting import select_own_pods
from fairlead.keep.entries import Storage
from fairlead.keep.kinds import BUILT_IN, Kind
from fairlead.words import Resource

Policy: TypeAlias = Literal["Background", "Orphan"]

SPEC = ("spec",)
ALL = ("*",)


@dataclass(frozen=True, slots=True)
class Strategy:
    """How one storage behaves.

    `generation` names the top-level fields whose change raises metadata.generation ("*" is all but metadata and
    status; none: the kind has no generation). `unconditional` updates need no resourceVersion. `upsert`: a PUT may
    create. `returns_object`: a finished delete answers with the object. `policy`: what a delete without a
    propagation policy does with dependents; None: dependents are never waited for.
    """

    generation: tuple[str, ...] = ()
    unconditional: bool = True
    upsert: bool = False
    returns_object: bool = False
    policy: Policy | None = "Background"
    registry: str = ""
    """The prefix of the storage key where it is not the plural."""


_CUSTOM = Strategy(generation=ALL, unconditional=False)
_PLAIN = Strategy()
_ADMISSION = "admissionregistration.k8s.io"

STRATEGIES: Mapping[Storage, Strategy] = {
    ("", "endpoints"): Strategy(upsert=True, registry="services/endpoints"),
    ("", "events"): Strategy(upsert=True, policy=None),
    ("", "limitranges"): Strategy(upsert=True),
    ("", "nodes"): Strategy(registry="minions"),
    ("", "persistentvolumeclaims"): Strategy(returns_object=True),
    ("", "persistentvolumes"): Strategy(returns_object=True),
    ("", "pods"): Strategy(returns_object=True),
    ("", "podtemplates"): Strategy(generation=("template",), upsert=True, returns_object=True),
    ("", "replicationcontrollers"): Strategy(generation=SPEC, policy="Orphan", registry="controllers"),
    ("", "resourcequotas"): Strategy(returns_object=True),
    ("", "serviceaccounts"): Strategy(returns_object=True),
    ("", "services"): Strategy(upsert=True, returns_object=True, registry="services/specs"),
    (_ADMISSION, "mutatingwebhookconfigurations"): Strategy(generation=("webhooks",), unconditional=False),
    (_ADMISSION, "validatingwebhookconfigurations"): Strategy(generation=("webhooks",), unconditional=False),
    (_ADMISSION, "mutatingadmissionpolicies"): Strategy(generation=SPEC, unconditional=False),
    (_ADMISSION, "mutatingadmissionpolicybindings"): Strategy(generation=SPEC, unconditional=False),
    (_ADMISSION, "validatingadmissionpolicies"): Strategy(generation=SPEC, unconditional=False),
    (_ADMISSION, "validatingadmissionpolicybindings"): Strategy(generation=SPEC, unconditional=False),
    ("apiextensions.k8s.io", "customresourcedefinitions"): Strategy(generation=SPEC, unconditional=False),
    ("apiregistration.k8s.io", "apiservices"): Strategy(unconditional=False),
    ("apps", "daemonsets"): Strategy(generation=SPEC),
    ("apps", "deployments"): Strategy(generation=SPEC),
    ("apps", "replicasets"): Strategy(generation=SPEC),
    ("apps", "statefulsets"): Strategy(generation=SPEC),
    ("batch", "cronjobs"): Strategy(generation=SPEC),
    ("batch", "jobs"): Strategy(generation=SPEC, policy="Orphan"),
    ("coordination.k8s.io", "leases"): Strategy(unconditional=False, upsert=True),
    ("discovery.k8s.io", "endpointslices"): Strategy(generation=ALL),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): Strategy(generation=SPEC),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): Strategy(generation=SPEC),
    ("networking.k8s.io", "ingressclasses"): Strategy(generation=SPEC),
    ("networking.k8s.io", "ingresses"): Strategy(generation=SPEC, registry="ingress"),
    ("networking.k8s.io", "networkpolicies"): Strategy(generation=SPEC),
    ("node.k8s.io", "runtimeclasses"): Strategy(unconditional=False),
    ("policy", "poddisruptionbudgets"): Strategy(generation=SPEC, unconditional=False),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): Strategy(upsert=True),
    ("rbac.authorization.k8s.io", "clusterroles"): Strategy(upsert=True),
    ("rbac.authorization.k8s.io", "rolebindings"): Strategy(upsert=True),
    ("rbac.authorization.k8s.io", "roles"): Strategy(upsert=True),
    ("scheduling.k8s.io", "priorityclasses"): Strategy(generation=ALL),
    ("storage.k8s.io", "csinodes"): Strategy(unconditional=False),
    ("storage.k8s.io", "csidrivers"): Strategy(generation=SPEC, unconditional=False),
    ("storage.k8s.io", "volumeattachments"): Strategy(unconditional=False),
}
"""The kinds that differ from the plain: no generation, unconditional updates, a Status after a delete."""

_BUILT_IN: frozenset[Storage] = frozenset(kind.storage for kind in BUILT_IN)
_KEEPS_STATUS = frozenset({("", "nodes")})
_STATUS_KEEPS_LABELS = frozenset({("apps", "deployments")})


def custom(kind: Kind) -> bool:
    """Whether a CustomResourceDefinition brought the kind."""
    return kind.storage not in _BUILT_IN


def strategy(kind: Kind) -> Strategy:
    """Return how the kind's storage behaves."""
    found = STRATEGIES.get(kind.storage)
    if found is not None:
        return found
    return _CUSTOM if kind.storage not in _BUILT_IN else _PLAIN


def registry_key(kind: Kind, namespace: str, name: str) -> str:
    """Return the storage key that Kubernetes shows in precondition errors."""
    prefix = strategy(kind).registry or kind.plural
    if custom(kind):
        prefix = f"{kind.group}/{kind.plural}"
    return "/".join(part for part in ("/registry", prefix, namespace, name) if part)


def prepare_create(kind: Kind, obj: Resource) -> None:
    """Reset what a client may not bring along, and set what every new object of the kind starts with."""
    meta = obj["metadata"]
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        meta.pop(name, None)
    if strategy(kind).generation:
        meta["generation"] = 1
    else:
        meta.pop("generation", None)
    if "status" in kind.subresources and kind.storage not in _KEEPS_STATUS:
        obj.pop("status", None)


def start(kind: Kind, obj: Resource) -> None:
    """Fill in the first status and the storage's own finalizers. Not owned by the creating manager."""
    match kind.storage:
        case ("", "pods"):
            obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj.get("spec") or {})}
        case ("", "namespaces"):
            obj["status"] = {"phase": "Active"}
            finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
            if "kubernetes" not in finalizers:
                finalizers.append("kubernetes")
            labels = obj["metadata"].setdefault("labels", {})
            labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name") or ""
        case ("batch", "jobs"):
            obj["status"] = {}
            select_own_pods(obj)
        case ("", "persistentvolumeclaims") | ("", "persistentvolumes"):
            obj["status"] = {"phase": "Pending"}
        case ("", "services"):
            obj["status"] = {"loadBalancer": {}}
        case ("", "replicationcontrollers") | ("apps", "replicasets"):
            obj["status"] = {"replicas": 0}
        case ("apps", "statefulsets"):
            obj["status"] = {"availableReplicas": 0, "replicas": 0}
        case ("apps", "daemonsets"):
            obj["status"] = {
                "currentNumberScheduled": 0,
                "desiredNumberScheduled": 0,
                "numberMisscheduled": 0,
                "numberReady": 0,
            }
        case ("policy", "poddisruptionbudgets"):
            obj["status"] = {
                "currentHealthy": 0,
                "desiredHealthy": 0,
                "disruptionsAllowed": 0,
                "expectedPods": 0,
            }
        case ("autoscaling", "horizontalpodautoscalers"):
            obj["status"] = {"currentReplicas": 0, "desiredReplicas": 0}
        case (
            ("apps", "deployments")
            | ("batch", "cronjobs")
            | ("", "resourcequotas")
            | ("certificates.k8s.io", "certificatesigningrequests")
        ):
            obj["status"] = {}
        case ("networking.k8s.io", "ingresses"):
            obj["status"] = {"loadBalancer": {}}


def prepare_update(kind: Kind, new: Resource, old: Resource, subresource: str) -> Resource:
    """Return the new object with what this endpoint may not change taken from the old one."""
    meta, before = new.setdefault("metadata", {}), old["metadata"]
    if subresource == "status":
        status = new.get("status")
        kept = {key: value for key, value in old.items() if key not in {"metadata", "status"}}
        if status is not None:
            kept["status"] = status
        if custom(kind):
            meta = {**before, "managedFields": meta.get("managedFields") or []}
            if "resourceVersion" in new["metadata"]:
                meta["resourceVersion"] = new["metadata"]["resourceVersion"]
            else:
                meta.pop("resourceVersion", None)
            if not meta["managedFields"]:
                del meta["managedFields"]
        else:
            _keep(meta, before, "ownerReferences")
            _keep(meta, before, "finalizers")
            if kind.storage in _STATUS_KEEPS_LABELS:
                _keep(meta, before, "labels")
        kept["metadata"] = meta
        new = kept
    elif subresource == "" and "status" in kind.subresources:
        _keep(new, old, "status")
    if subresource == "" and kind.storage == ("", "namespaces"):
        finalizers = (old.get("spec") or {}).get("finalizers")
        if finalizers is not None:
            new["spec"] = {**(new.get("spec") or {}), "finalizers": finalizers}
        elif new.get("spec"):
            new["spec"].pop("finalizers", None)
    _carry_metadata(meta, before)
    if subresource != "status" and _raised(kind, new, old):
        meta["generation"] = before.get("generation", 0) + 1
    return new


def _carry_metadata(meta: dict[str, Any], before: dict[str, Any]) -> None:
    _keep(meta, before, "generation")
    _keep(meta, before, "creationTimestamp")
    if not meta.get("uid"):
        _keep(meta, before, "uid")
    if before.get("deletionTimestamp"):
        meta["deletionTimestamp"] = before["deletionTimestamp"]
        if meta.get("deletionGracePeriodSeconds") is None:
            _keep(meta, before, "deletionGracePeriodSeconds")
    meta.pop("selfLink", None)


def _raised(kind: Kind, new: Resource, old: Resource) -> bool:
    fields = strategy(kind).generation
    if not fields:
        return False
    if fields == ALL:
        skip = {"metadata", "status", "apiVersion", "kind"}
        if custom(kind) and "status" not in kind.subresources:
            skip.discard("status")
        keys = (new.keys() | old.keys()) - skip
        return any(new.get(key) != old.get(key) for key in keys)
    if any(new.get(key) != old.get(key) for key in fields):
        return True
    if kind.storage == ("apps", "deployments"):
        return bool((new["metadata"].get("annotations") or {}) != (old["metadata"].get("annotations") or {}))
    return False


def _keep(new: dict[str, Any], old: dict[str, Any], key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)


def qos_class(spec: Mapping[str, Any]) -> str:
    """Return a pod's quality of service class from its spec: Guaranteed, Burstable or BestEffort."""
    requests: dict[str, set[str]] = {}
    limits: dict[str, set[str]] = {}
    guaranteed = True
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for container in containers:
        resources = container.get("resources") or {}
        wanted = {
            name: str(value)
            for name, value in (resources.get("requests") or {}).items()
            if name in {"cpu", "memory"} and str(value) != "0"
        }
        most = {
            name: str(value)
            for name, value in (resources.get("limits") or {}).items()
            if name in {"cpu", "memory"} and str(value) != "0"
        }
        for name, value in wanted.items():
            requests.setdefault(name, set()).add(value)
        for name, value in most.items():
            limits.setdefault(name, set()).add(value)
        guaranteed = (
            guaranteed
            and set(most) == {"cpu", "memory"}
            and all(wanted.get(name, value) == value for name, value in most.items())
        )
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
