"""In which order objects are written, and in which they are taken away again.

Definitions and namespaces come before what lives in them, what others refer to before those, and what judges requests comes last, so that
it cannot refuse what it needs itself. Holds no state; equal input gives equal order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fairlead.words import Ref, Resource

_FIRST: Final = (
    "Namespace", "CustomResourceDefinition", "PriorityClass", "StorageClass", "CSIDriver", "RuntimeClass", "IngressClass", "GatewayClass",
    "ResourceQuota", "LimitRange", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ConfigMap", "Secret",
    "PersistentVolume", "PersistentVolumeClaim", "NetworkPolicy", "Service",
)  # fmt: skip
_WORK: Final = (
    "DaemonSet", "Pod", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "Job", "CronJob", "HorizontalPodAutoscaler",
    "PodDisruptionBudget", "Ingress",
)  # fmt: skip
_LAST: Final = (
    "APIService", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
)  # fmt: skip
_MIDDLE: Final = len(_FIRST) + len(_WORK)
_RANKS: Final = {
    **{kind: rank for rank, kind in enumerate((*_FIRST, *_WORK))},
    **{kind: _MIDDLE + 1 + rank for rank, kind in enumerate(_LAST)},
}
_OWN_GROUPS: Final = frozenset({"", "apps", "batch", "autoscaling", "policy", "extensions"})
"""Groups of Kubernetes' own beside those that end in k8s.io."""

DEFINITION: Final = ("apiextensions.k8s.io", "CustomResourceDefinition")
NAMESPACE: Final = ("", "Namespace")


def rank(group: str, kind: str) -> int:
    """Return the place of a kind: a smaller one is written earlier. Kinds that are not Kubernetes' own come after the workloads."""
    if group not in _OWN_GROUPS and not group.endswith("k8s.io"):
        return _MIDDLE
    return _RANKS.get(kind, _MIDDLE)


def _key(ref: Ref) -> tuple[int, str, str, str, str]:
    return (rank(ref.group, ref.kind), ref.group, ref.kind, ref.namespace, ref.name)


def ordered(objects: Iterable[Resource]) -> list[Resource]:
    """Return the objects of one stage in the order in which they are written."""
    return sorted(objects, key=lambda one: _key(Ref.of(one)))


def waves(objects: Iterable[Resource]) -> list[list[Resource]]:
    """Return the objects in groups: those of a group may be written at once, a group only after the one before it."""
    found: dict[int, list[Resource]] = {}
    for one in ordered(objects):
        ref = Ref.of(one)
        found.setdefault(rank(ref.group, ref.kind), []).append(one)
    return [found[key] for key in sorted(found)]


def halves(objects: Sequence[Resource]) -> tuple[list[Resource], list[Resource]]:
    """Return what others are made of (namespaces and definitions of kinds), which is awaited first, and the rest."""
    first: list[Resource] = []
    rest: list[Resource] = []
    for one in ordered(objects):
        ref = Ref.of(one)
        (first if (ref.group, ref.kind) in {DEFINITION, NAMESPACE} else rest).append(one)
    return first, rest


def removal_waves(refs: Iterable[Ref]) -> list[list[Ref]]:
    """Return what is to be deleted in groups, the last written first; a group goes only when the one before it is gone."""
    found: dict[int, list[Ref]] = {}
    for ref in sorted(refs, key=_key, reverse=True):
        found.setdefault(_removal(ref), []).append(ref)
    return [found[key] for key in sorted(found, reverse=True)]


def _removal(ref: Ref) -> int:
    """Workloads and what they use go in few steps: each step is waited for."""
    place = rank(ref.group, ref.kind)
    if place > _MIDDLE:
        return 5  # what judges goes first: it may be served by what goes next
    if place == _MIDDLE:
        return 4  # custom resources, while their controllers still run and can take their finalizers away
    if place >= len(_FIRST):
        return 3
    if (ref.group, ref.kind) == NAMESPACE:
        return 0
    return 1 if (ref.group, ref.kind) == DEFINITION else 2
