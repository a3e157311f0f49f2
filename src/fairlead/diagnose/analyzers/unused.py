"""What nothing refers to: settings, credentials, accounts, roles, claims, volumes and namespaces that may be left over.

Hygiene: told only where advice is asked for, and only on a cluster where those who could refer to it were listed. What has an owner,
or belongs to Kubernetes itself, is never called unused; a program may still read an object through the API, so nothing here is certain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fairlead.diagnose.analyzers.configs import keys_of
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import labels, reads, staying
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.references import ROOT_CA, TEMPLATES, Edge
from fairlead.tongues.paths import find, mapping, mappings, strings, text
from fairlead.words import Evidence, Ref, Resource, Severity

RBAC = "rbac.authorization.k8s.io"
GATEWAYS = "gateway.networking.k8s.io"
SYSTEM = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Namespaces whose objects Kubernetes' own parts read through the API."""

_LIMIT = 1_048_576
_LARGE = 1_000_000
_TOLD = 5
_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105  # the name of a type
_OWN_TYPES = ("helm.sh/release", "bootstrap.kubernetes.io/token", "kubernetes.io/service-account-token")
_OWN_KEYS: Mapping[str, frozenset[str]] = {
    _TOKEN: frozenset({"token", "ca.crt", "namespace", "service-ca.crt"}),
    "kubernetes.io/tls": frozenset({"tls.crt", "tls.key", "ca.crt"}),
}
"""Keys that come with a type of Secret, whether anybody reads each of them or not."""
_TALKERS = frozenset({"fairlead.dev", "metrics.k8s.io", "wgpolicyk8s.io", "events.k8s.io"})
"""Groups whose objects talk of others without using them."""
_NOTED = ("kubectl.kubernetes.io/", "meta.helm.sh/", "argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/")
_WORDS = re.compile(r"[\s,;:/=\"'{}\[\]]+")
_LONGEST, _DEEPEST = 2_000, 12
_LOCK = "control-plane.alpha.kubernetes.io/leader"
_PENDING = (
    "claim.class",
    "claim.mode",
    "claim.provisioning",
    "claim.size",
    "claim.taken",
    "claim.volume",
    "claim.waiting",
)
_BUILT_IN = frozenset({"admin", "cluster-admin", "edit", "view"})
_LIVED_IN: Sequence[tuple[str, str]] = (
    *TEMPLATES,
    ("", "Service"),
    ("", "ConfigMap"),
    ("", "Secret"),
    ("", "ServiceAccount"),
    ("", "PersistentVolumeClaim"),
    ("networking.k8s.io", "Ingress"),
    (RBAC, "RoleBinding"),
)


def _spared(inventory: Inventory, resource: Resource) -> bool:
    """Say whether an object is not to be called unused: nothing is known, or somebody looks after it."""
    return (
        not inventory.live
        or not staying(resource)
        or bool(mappings(resource, "metadata", "ownerReferences"))
        or text(resource, "metadata", "namespace") in SYSTEM
    )


def _unlisted(inventory: Inventory) -> str:
    """Return the kinds that could refer to settings and could not be listed, as words."""
    kinds = [kind for group, kind in TEMPLATES if not inventory.seen_all(group, kind)]
    return f" Not listed, so not looked at: {', '.join(kinds)}." if kinds else ""


def _idle(inventory: Inventory, resource: Resource, rule: str, message: str, cause: str) -> Fact:
    ref = Ref.of(resource)
    return Fact(
        rule=rule,
        subject=ref,
        severity=Severity.INFO,
        message=message,
        cause=cause,
        evidence=(Evidence("absence", ref, "no reference to it was found"),),
        where=inventory.where(ref, ("metadata", "name")),
        confidence="possible",
    )


def _spoken(inventory: Inventory, space: str) -> Mapping[str, Ref | None]:
    """Return the words of a namespace that may be names, each with the one object that says it (None: several do).

    They are all texts in custom resources, and what stands in annotations of anything, but those of tools that write down what they did.
    """
    found: dict[str, Ref | None] = {}
    for one in inventory.at("namespace", space):
        ref = Ref.of(one)
        if ref.group in _TALKERS:
            continue
        said: set[str] = set()
        for key, value in strings(one, "metadata", "annotations").items():
            if len(value) <= _LONGEST and not key.startswith(_NOTED):
                said.update(_WORDS.split(value))
        if "." in ref.group and not ref.group.endswith(".k8s.io"):
            said.update(_texts(mapping(one, "spec")))
        for word in said:
            found[word] = ref if word not in found else None
    return found


def _texts(content: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(content, str) and len(content) <= _LONGEST:
        yield from _WORDS.split(content)
    elif depth < _DEEPEST and isinstance(content, (dict, list)):
        for one in content.values() if isinstance(content, dict) else content:
            yield from _texts(one, depth + 1)


def _named(inventory: Inventory, ref: Ref) -> bool:
    """Say whether a custom resource or an annotation beside the object may mean it."""
    spoken = inventory.kept(_spoken, ref.namespace)
    return ref.name in spoken and spoken[ref.name] != ref


def _wholly(inventory: Inventory, edge: Edge) -> bool:
    """Say whether a reference takes all keys: one without a list of items."""
    source = inventory.get(edge.source)
    return not mappings(find(source, edge.path), "items") if source is not None else True


def _uses(inventory: Inventory, ref: Ref) -> tuple[bool, bool, set[str]]:
    """Return whether anything refers to the object, whether anything takes all of it, and which keys are named."""
    used = whole = False
    keys: set[str] = set()
    for edge in inventory.referrers(ref):
        if edge.relation in {"owner", "image"}:
            continue
        used = True
        if edge.key:
            keys.add(edge.key)
        elif not whole:
            whole = _wholly(inventory, edge)
    return used, whole, keys


def setting(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A ConfigMap that nothing names, keys of one that nothing reads, one that is empty or nearly too large."""
    ref = Ref.of(resource)
    if not staying(resource) or ref.name == ROOT_CA:
        return
    yield from _sizes(inventory, resource)
    if not _spared(inventory, resource) and _LOCK not in strings(resource, "metadata", "annotations"):
        yield from _left_over(inventory, resource, "config", frozenset())


def secret(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A Secret that nothing names, and keys of one that nothing reads."""
    if _spared(inventory, resource):
        return
    sort = text(resource, "type")
    account = strings(resource, "metadata", "annotations").get("kubernetes.io/service-account.name", "")
    used = _uses(inventory, Ref.of(resource))[0]
    if not used and sort.startswith(_OWN_TYPES):
        bound = Ref("", "ServiceAccount", Ref.of(resource).namespace, account)
        if sort != _TOKEN or (account and not inventory.missing(bound)):
            return
    yield from _left_over(inventory, resource, "secret", _OWN_KEYS.get(sort, frozenset()))


def _left_over(inventory: Inventory, resource: Resource, family: str, own: frozenset[str]) -> Iterator[Fact]:
    ref = Ref.of(resource)
    if not inventory.seen_all("", "Pod"):
        return
    used, whole, named = _uses(inventory, ref)
    if not whole and _named(inventory, ref):
        return
    if not used:
        said = "No pod, workload, account or Ingress names it; a program may still read it through the API."
        rule = "config.unused" if family == "config" else "secret.unused"
        yield _idle(inventory, resource, rule, "is named by nothing", said + _unlisted(inventory))
    elif not whole and (spare := sorted(keys_of(resource) - named - own)):
        keys = ", ".join(spare[:_TOLD]) + (" …" if len(spare) > _TOLD else "")
        yield Fact(
            rule="config.spare" if family == "config" else "secret.spare",
            subject=ref,
            severity=Severity.INFO,
            message=f"has {'a key' if len(spare) == 1 else f'{len(spare)} keys'} that nothing reads: {keys}",
            cause=f"Only {', '.join(sorted(named)[:_TOLD])} {'is' if len(named) == 1 else 'are'} named."
            if named
            else "",
            evidence=(Evidence("absence", ref, f"no reference to {keys} was found"),),
            where=inventory.where(ref, ("data", spare[0])),
            confidence="possible",
        )


def _sizes(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    ref = Ref.of(resource)
    held = {**mapping(resource, "data"), **mapping(resource, "binaryData")}
    size = sum(len(str(key)) + len(str(value).encode()) for key, value in held.items())
    if not held and not mappings(resource, "metadata", "ownerReferences"):
        if _LOCK not in strings(resource, "metadata", "annotations"):
            yield Fact(
                rule="config.empty",
                subject=ref,
                severity=Severity.INFO,
                message="is empty",
                evidence=(Evidence("absence", ref, "no data", inventory.where(ref, ("data",))),),
                where=inventory.where(ref, ("data",)),
            )
    elif size > _LARGE:
        yield Fact(
            rule="config.large",
            subject=ref,
            severity=Severity.INFO,
            message=f"holds {size:,} bytes, near the limit of {_LIMIT:,}",
            cause="What grows past the limit is refused.",
            where=inventory.where(ref, ("data",)),
        )


def account(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A ServiceAccount that no pod runs as and no binding names."""
    ref = Ref.of(resource)
    needed = (("", "Pod"), (RBAC, "RoleBinding"), (RBAC, "ClusterRoleBinding"))
    if ref.name == "default" or _spared(inventory, resource):
        return
    if not all(inventory.seen_all(*kind) for kind in needed):
        return
    if not any(edge.relation == "account" for edge in inventory.referrers(ref)) and not _named(
        inventory, ref
    ):
        said = "No workload runs as it and no binding gives it rights." + _unlisted(inventory)
        yield _idle(inventory, resource, "account.unused", "is used by nothing", said)


def role(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A Role or ClusterRole that nothing binds; one that flows into another by aggregation is used."""
    ref = Ref.of(resource)
    wide = ref.kind == "ClusterRole"
    if wide and not inventory.everywhere():
        return
    if _spared(inventory, resource) or ref.name.startswith("system:") or (wide and ref.name in _BUILT_IN):
        return
    binders = ("RoleBinding", "ClusterRoleBinding") if wide else ("RoleBinding",)
    if not all(inventory.seen_all(RBAC, kind) for kind in binders):
        return
    has = labels(resource)
    if "kubernetes.io/bootstrapping" in has or any(
        edge.relation == "role" for edge in inventory.referrers(ref)
    ):
        return
    if wide and any(key.startswith(f"{RBAC}/aggregate-to-") for key in has) and _aggregated(inventory, has):
        return
    yield _idle(inventory, resource, "role.unused", "is bound to nobody", "No binding names it.")


def _aggregated(inventory: Inventory, has: Mapping[str, str]) -> bool:
    for one in inventory.of_kind(RBAC, "ClusterRole"):
        for _, selector in mappings(one, "aggregationRule", "clusterRoleSelectors"):
            said = reads(selector)
            if said is not None and said.matches(has):
                return True
    return False


def claim(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A volume claim that no pod mounts and no StatefulSet made, or that waits for its volume and nothing says why."""
    ref = Ref.of(resource)
    yield from _pending(inventory, resource, ref)
    if _spared(inventory, resource) or not inventory.seen_all("", "Pod"):
        return
    if any(edge.relation == "claim" for edge in inventory.referrers(ref)) or _named(inventory, ref):
        return
    for one in inventory.of_kind("apps", "StatefulSet", ref.namespace):
        for _, template in mappings(one, "spec", "volumeClaimTemplates"):
            prefix = f"{text(template, 'metadata', 'name')}-{Ref.of(one).name}-"
            if ref.name.startswith(prefix) and ref.name.removeprefix(prefix).isdigit():
                return
    size = text(resource, "status", "capacity", "storage") or text(
        resource, "spec", "resources", "requests", "storage"
    )
    message = f"is mounted by nothing{f', and holds {size}' if size else ''}"
    yield _idle(
        inventory, resource, "claim.unused", message, "No pod or workload names it." + _unlisted(inventory)
    )


def _pending(inventory: Inventory, resource: Resource, ref: Ref) -> Iterator[Fact]:
    """A claim without a volume; one whose class waits for a pod is as it should be."""
    if not inventory.live or not staying(resource) or text(resource, "status", "phase") != "Pending":
        return
    name, bound = text(resource, "spec", "storageClassName"), text(resource, "spec", "volumeName")
    sort = inventory.get(Ref("storage.k8s.io", "StorageClass", "", name))
    if not bound and (sort is None or text(sort, "volumeBindingMode") == "WaitForFirstConsumer"):
        return
    yield Fact(
        rule="claim.pending",
        subject=ref,
        severity=Severity.INFO,
        message=f"waits to be bound to volume {bound}" if bound else f"waits for a volume of class {name}",
        evidence=(inventory.field(ref, ("status", "phase"), "phase: Pending"),),
        where=inventory.where(ref, ("spec",)),
        because=tuple((rule, ref, "") for rule in _PENDING),
    )


def volume(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A PersistentVolume that nobody claims, or that is not ready to be claimed."""
    ref = Ref.of(resource)
    phase = text(resource, "status", "phase")
    if not inventory.live or not staying(resource) or phase not in {"Available", "Pending"}:
        return
    if phase == "Available":
        size = text(resource, "spec", "capacity", "storage")
        rule, message = "volume.unused", f"is claimed by nothing{f', and holds {size}' if size else ''}"
    else:
        rule, message = "volume.pending", "is not ready to be claimed yet"
    yield Fact(
        rule=rule,
        subject=ref,
        severity=Severity.INFO,
        message=message,
        evidence=(inventory.field(ref, ("status", "phase"), f"phase: {phase}"),),
        where=inventory.where(ref, ("spec",)),
    )


def namespace(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A namespace that holds nothing but what every namespace gets, or that is not active though nobody deletes it."""
    ref = Ref.of(resource)
    if not inventory.live or not staying(resource):
        return
    phase = text(resource, "status", "phase")
    if phase != "Active":
        yield Fact(
            rule="namespace.inactive",
            subject=ref,
            severity=Severity.INFO,
            message=f"is not active: its phase is {phase}" if phase else "is not active: it has no phase",
            evidence=(inventory.field(ref, ("status", "phase"), f"phase: {phase or 'none'}"),),
            where=inventory.where(ref, ("status", "phase")),
        )
        return
    if (
        ref.name in SYSTEM
        or ref.name == "default"
        or not inventory.seen_all("", "Pod")
        or not inventory.everywhere()
    ):
        return
    for group, kind in _LIVED_IN:
        for one in inventory.of_kind(group, kind, ref.name):
            if Ref.of(one).name not in {ROOT_CA, "default"}:
                return
    said = "It holds no pods, workloads, services, settings or claims; objects of other kinds were not looked at."
    yield _idle(inventory, resource, "namespace.unused", "holds nothing", said)


def gateway_class(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A GatewayClass that no Gateway asks for."""
    ref = Ref.of(resource)
    if not inventory.seen_all(GATEWAYS, "Gateway") or not staying(resource) or not inventory.everywhere():
        return
    if any(edge.relation == "class" for edge in inventory.referrers(ref)):
        return
    yield _idle(
        inventory, resource, "gateway.unused", "is used by no Gateway", "No Gateway asks for this class."
    )


Look = Callable[[Inventory, Resource], Iterator[Fact]]
ADVICE: Mapping[tuple[str, str], Look] = {
    ("", "ConfigMap"): setting,
    ("", "Secret"): secret,
    ("", "ServiceAccount"): account,
    ("", "PersistentVolumeClaim"): claim,
    ("", "PersistentVolume"): volume,
    ("", "Namespace"): namespace,
    (RBAC, "Role"): role,
    (RBAC, "ClusterRole"): role,
    (GATEWAYS, "GatewayClass"): gateway_class,
}
"""What is asked of each object of a kind, where advice is wanted."""
