"""Built-in admission: what Kubernetes' default plug-ins change in an object, and what they refuse.

Reads the head of the store, so that a write sees what an earlier one of the same batch did. `change` runs before the
object has its name, `place` gives addresses, `judge` comes last and may ask for writes elsewhere (a quota's use).
Policies, PodSecurity among them, are the gate's: see `gating`. Left out, because what they need is not there yet: the protection
finalizers of volumes, the not-ready taint of new nodes, and webhooks.
Source: k8s.io/kubernetes plugin/pkg/admission and k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from fairlead.keep import allocating, extending, limits, quotas
from fairlead.keep.caveats import caveats
from fairlead.keep.chances import suffix
from fairlead.keep.entries import Storage, Stored
from fairlead.keep.errors import Refusal, forbidden, not_found
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.keep.requests import Request
from fairlead.keep.staging import Store
from fairlead.words import Resource

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that cannot be deleted."""

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  # where it is mounted, no secret
_TOKEN_VOLUME = "kube-api-access-"  # noqa: S105  # as above
_TOKEN_SECONDS = 3607

NAMESPACES: Storage = ("", "namespaces")
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_DEFAULT_STORAGE = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"


@dataclass(slots=True)
class Admission:
    """One write on its way. `obj` may be changed; `elsewhere` collects (storage, new state, old) of further writes."""

    operation: Literal["CREATE", "UPDATE"]
    kind: Kind
    namespace: str
    obj: Resource
    old: Resource | None
    request: Request
    store: Store
    catalogue: Catalogue
    rng: Any
    subresource: str = ""
    warnings: list[str] = field(default_factory=list)
    elsewhere: list[tuple[Storage, Resource, Stored | None]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The object's name, or what its name will begin with."""
        meta = self.obj["metadata"]
        return meta.get("name") or meta.get("generateName") or "Unknown"

    def get(self, storage: Storage, namespace: str, name: str) -> Resource | None:
        """Return another object as it is in the head."""
        found = self.store.head.get(storage, namespace, name)
        return found.object if found is not None else None

    def items(self, storage: Storage, namespace: str = "") -> Iterator[Resource]:
        """Return other objects as they are in the head."""
        return (stored.object for stored in self.store.head.items(storage, namespace))

    def forbid(self, why: str) -> Refusal:
        """Return the 403 that a plug-in answers with."""
        return forbidden(self.kind.group, self.kind.plural, self.name, why)


def change(admission: Admission) -> None:
    """Check the namespace and let the plug-ins change the object, in Kubernetes' order."""
    if admission.kind.namespaced:
        _lifecycle(admission)
    if admission.subresource:
        return
    storage = admission.kind.storage
    creating = admission.operation == "CREATE"
    if storage == ("", "pods"):
        if creating:
            limits.fill_pod(admission)
            _service_account(admission)
            _priority(admission)
            _runtime_class(admission)
        _tolerations(admission.obj["spec"])
    elif creating and storage == ("", "persistentvolumeclaims"):
        _storage_class(admission)
    elif creating and storage == ("networking.k8s.io", "ingresses"):
        _ingress_class(admission)


def place(admission: Admission) -> None:
    """Give a Service its addresses and ports."""
    if admission.kind.storage == ("", "services") and not admission.subresource:
        allocating.place(admission)


def judge(admission: Admission) -> None:
    """Refuse what exceeds limits and quotas, and a second default PriorityClass."""
    if admission.kind.storage == ("scheduling.k8s.io", "priorityclasses"):
        _one_default(admission)
    if not admission.kind.namespaced or admission.subresource not in {"", "resize"}:
        return
    limits.judge(admission)
    quotas.judge(admission)


def establish(admission: Admission) -> None:
    """Accept the names and versions of a CustomResourceDefinition; warn of what an object will not do here."""
    if not admission.subresource:
        admission.warnings += caveats(admission.kind.storage, admission.obj, admission.old)
    if admission.kind.storage == extending.DEFINITIONS and not admission.subresource:
        admission.warnings += extending.establish(admission.obj, admission.catalogue, admission.request.now)


def refuse_delete(kind: Kind, name: str) -> None:
    """Refuse to delete a namespace that the cluster needs."""
    if kind.storage == NAMESPACES and name in IMMORTAL:
        raise forbidden("", "namespaces", name, "this namespace may not be deleted")


def _lifecycle(admission: Admission) -> None:
    name = admission.namespace
    found = admission.store.head.get(NAMESPACES, "", name)
    if found is None:
        raise not_found("", "namespaces", name)
    if admission.operation != "CREATE" or b'"deletionTimestamp"' not in found.body:
        return
    if not found.object["metadata"].get("deletionTimestamp"):
        return
    refusal = admission.forbid(
        f"unable to create new content in namespace {name} because it is being terminated"
    )
    assert refusal.details is not None
    refusal.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    raise refusal


def _service_account(admission: Admission) -> None:
    pod = admission.obj
    if "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {}):
        return
    spec = pod["spec"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = admission.get(("", "serviceaccounts"), admission.namespace, name)
    if account is None and name == "default":
        account = {}  # Kubernetes waits here for the controller that is about to create it
    if account is None:
        raise admission.forbid(
            f'error looking up service account {admission.namespace}/{name}: serviceaccount "{name}" not found'
        )
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken")
    if wanted is not False:
        _mount_token(spec, f"{_TOKEN_VOLUME}{suffix(admission.rng)}")


def _mount_token(spec: dict[str, Any], name: str) -> None:
    """Give each container that has nothing at the token's place a mount of it, and the pod the volume."""
    volumes = spec.get("volumes") or ()
    known = next((one["name"] for one in volumes if str(one.get("name")).startswith(_TOKEN_VOLUME)), "")
    name = known or name
    mounted = False
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        mounts = container.setdefault("volumeMounts", [])
        if not any(mount.get("mountPath") == TOKEN_PATH for mount in mounts):
            mounts.append({"name": name, "readOnly": True, "mountPath": TOKEN_PATH})
            mounted = True
    if mounted and not known:
        namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
        certificate = {"key": "ca.crt", "path": "ca.crt"}
        sources = [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [certificate]}},
            {"downwardAPI": {"items": [namespace]}},
        ]
        volume = {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}
        spec.setdefault("volumes", []).append(volume)


def _priority(admission: Admission) -> None:
    spec = admission.obj["spec"]
    storage = ("scheduling.k8s.io", "priorityclasses")
    name = spec.get("priorityClassName") or ""
    value, policy = 0, "PreemptLowerPriority"
    if name:
        found = admission.get(storage, "", name)
        if found is None:
            raise admission.forbid(f"no PriorityClass with name {name} was found")
        value, policy = found.get("value") or 0, found.get("preemptionPolicy") or policy
    else:
        defaults = [item for item in admission.items(storage) if item.get("globalDefault")]
        if defaults:
            lowest = min(defaults, key=lambda item: item.get("value") or 0)
            spec["priorityClassName"] = lowest["metadata"]["name"]
            value, policy = lowest.get("value") or 0, lowest.get("preemptionPolicy") or policy
    given = spec.get("priority")
    if given is not None and given != value:
        raise admission.forbid(
            f"the integer value of priority ({given}) must not be provided in pod spec; priority admission "
            f"controller computed {value} from the given PriorityClass name"
        )
    wanted = spec.get("preemptionPolicy")
    if wanted is not None and wanted != policy:
        raise admission.forbid(
            f"the string value of PreemptionPolicy ({wanted}) must not be provided in pod spec; priority admission "
            f"controller computed {policy} from the given PriorityClass name"
        )
    spec["priority"], spec["preemptionPolicy"] = value, policy


def _one_default(admission: Admission) -> None:
    if not admission.obj.get("globalDefault"):
        return
    mine = admission.obj["metadata"].get("name")
    for other in admission.items(("scheduling.k8s.io", "priorityclasses")):
        if other.get("globalDefault") and other["metadata"]["name"] != mine:
            raise admission.forbid(
                f"PriorityClass {other['metadata']['name']} is already marked as default. "
                "Only one default can exist"
            )


def _runtime_class(admission: Admission) -> None:
    spec = admission.obj["spec"]
    name = spec.get("runtimeClassName")
    if not name:
        if spec.get("overhead"):
            raise admission.forbid(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )
        return
    found = admission.get(("node.k8s.io", "runtimeclasses"), "", name)
    if found is None:
        raise admission.forbid(f'pod rejected: RuntimeClass "{name}" not found')
    overhead = (found.get("overhead") or {}).get("podFixed")
    if overhead and not spec.get("overhead"):
        spec["overhead"] = overhead
    elif (spec.get("overhead") or None) != (overhead or None):
        raise admission.forbid("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    scheduling = found.get("scheduling") or {}
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if spec.setdefault("nodeSelector", {}).setdefault(key, value) != value:
            raise admission.forbid(
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {spec['nodeSelector'][key]}"
            )
    for toleration in scheduling.get("tolerations") or ():
        if toleration not in spec.setdefault("tolerations", []):
            spec["tolerations"].append(toleration)


def _tolerations(spec: dict[str, Any]) -> None:
    present = spec.get("tolerations") or []
    for taint in _TOLERATED:
        if not any(
            item.get("key", "") in {taint, ""} and item.get("effect", "") in {"NoExecute", ""}
            for item in present
        ):
            addition = {"effect": "NoExecute", "key": taint, "operator": "Exists", "tolerationSeconds": 300}
            spec.setdefault("tolerations", []).append(addition)


def _storage_class(admission: Admission) -> None:
    claim = admission.obj
    annotations = claim["metadata"].get("annotations") or {}
    if (claim.get("spec") or {}).get(
        "storageClassName"
    ) is not None or "volume.beta.kubernetes.io/storage-class" in annotations:
        return
    defaults = [
        item
        for item in admission.items(("storage.k8s.io", "storageclasses"))
        if any((item["metadata"].get("annotations") or {}).get(name) == "true" for name in _DEFAULT_STORAGE)
    ]
    if defaults:
        claim.setdefault("spec", {})["storageClassName"] = _newest(defaults)


def _ingress_class(admission: Admission) -> None:
    ingress = admission.obj
    annotations = ingress["metadata"].get("annotations") or {}
    if (ingress.get("spec") or {}).get(
        "ingressClassName"
    ) is not None or "kubernetes.io/ingress.class" in annotations:
        return
    defaults = [
        item
        for item in admission.items(("networking.k8s.io", "ingressclasses"))
        if (item["metadata"].get("annotations") or {}).get(_DEFAULT_INGRESS) == "true"
    ]
    if defaults:
        ingress.setdefault("spec", {})["ingressClassName"] = _newest(defaults)


def _newest(items: list[Resource]) -> str:
    def by_age(item: Resource) -> str:
        return str(item["metadata"].get("creationTimestamp") or "")

    items.sort(key=lambda item: str(item["metadata"]["name"]))
    newest = max(by_age(item) for item in items)
    return str(next(item["metadata"]["name"] for item in items if by_age(item) == newest))
