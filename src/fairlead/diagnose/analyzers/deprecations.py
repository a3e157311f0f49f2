"""API versions that Kubernetes has given up or will: in which an object is written, was applied, or is kept by somebody.

What a cluster answers with is always a version that it serves, so there the traces of those who write are looked at: the annotation of
`kubectl apply`, and the managed fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import staying
from fairlead.diagnose.inventories import Inventory
from fairlead.tongues.paths import Path, mappings, strings, text
from fairlead.words import Ref, Resource, Severity

GONE: Mapping[tuple[str, str], tuple[str, str]] = {
    ("extensions/v1beta1", "DaemonSet"): ("apps/v1", "1.16"),
    ("extensions/v1beta1", "Deployment"): ("apps/v1", "1.16"),
    ("extensions/v1beta1", "ReplicaSet"): ("apps/v1", "1.16"),
    ("extensions/v1beta1", "NetworkPolicy"): ("networking.k8s.io/v1", "1.16"),
    ("extensions/v1beta1", "PodSecurityPolicy"): ("", "1.16"),
    ("extensions/v1beta1", "Ingress"): ("networking.k8s.io/v1", "1.22"),
    ("networking.k8s.io/v1beta1", "Ingress"): ("networking.k8s.io/v1", "1.22"),
    ("networking.k8s.io/v1beta1", "IngressClass"): ("networking.k8s.io/v1", "1.22"),
    ("apps/v1beta1", "Deployment"): ("apps/v1", "1.16"),
    ("apps/v1beta1", "StatefulSet"): ("apps/v1", "1.16"),
    ("apps/v1beta2", "DaemonSet"): ("apps/v1", "1.16"),
    ("apps/v1beta2", "Deployment"): ("apps/v1", "1.16"),
    ("apps/v1beta2", "ReplicaSet"): ("apps/v1", "1.16"),
    ("apps/v1beta2", "StatefulSet"): ("apps/v1", "1.16"),
    ("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration"): ("admissionregistration.k8s.io/v1", "1.22"),
    ("admissionregistration.k8s.io/v1beta1", "ValidatingWebhookConfiguration"): ("admissionregistration.k8s.io/v1", "1.22"),
    ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition"): ("apiextensions.k8s.io/v1", "1.22"),
    ("apiregistration.k8s.io/v1beta1", "APIService"): ("apiregistration.k8s.io/v1", "1.22"),
    ("certificates.k8s.io/v1beta1", "CertificateSigningRequest"): ("certificates.k8s.io/v1", "1.22"),
    ("coordination.k8s.io/v1beta1", "Lease"): ("coordination.k8s.io/v1", "1.22"),
    ("rbac.authorization.k8s.io/v1beta1", "ClusterRole"): ("rbac.authorization.k8s.io/v1", "1.22"),
    ("rbac.authorization.k8s.io/v1beta1", "ClusterRoleBinding"): ("rbac.authorization.k8s.io/v1", "1.22"),
    ("rbac.authorization.k8s.io/v1beta1", "Role"): ("rbac.authorization.k8s.io/v1", "1.22"),
    ("rbac.authorization.k8s.io/v1beta1", "RoleBinding"): ("rbac.authorization.k8s.io/v1", "1.22"),
    ("scheduling.k8s.io/v1beta1", "PriorityClass"): ("scheduling.k8s.io/v1", "1.22"),
    ("storage.k8s.io/v1beta1", "CSIDriver"): ("storage.k8s.io/v1", "1.22"),
    ("storage.k8s.io/v1beta1", "StorageClass"): ("storage.k8s.io/v1", "1.22"),
    ("batch/v1beta1", "CronJob"): ("batch/v1", "1.25"),
    ("batch/v2alpha1", "CronJob"): ("batch/v1", "1.21"),
    ("discovery.k8s.io/v1beta1", "EndpointSlice"): ("discovery.k8s.io/v1", "1.25"),
    ("policy/v1beta1", "PodDisruptionBudget"): ("policy/v1", "1.25"),
    ("policy/v1beta1", "PodSecurityPolicy"): ("", "1.25"),
    ("node.k8s.io/v1beta1", "RuntimeClass"): ("node.k8s.io/v1", "1.25"),
    ("autoscaling/v2beta1", "HorizontalPodAutoscaler"): ("autoscaling/v2", "1.25"),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"): ("autoscaling/v2", "1.26"),
    ("flowcontrol.apiserver.k8s.io/v1beta1", "FlowSchema"): ("flowcontrol.apiserver.k8s.io/v1", "1.26"),
    ("flowcontrol.apiserver.k8s.io/v1beta2", "FlowSchema"): ("flowcontrol.apiserver.k8s.io/v1", "1.29"),
    ("flowcontrol.apiserver.k8s.io/v1beta3", "FlowSchema"): ("flowcontrol.apiserver.k8s.io/v1", "1.32"),
    ("flowcontrol.apiserver.k8s.io/v1beta3", "PriorityLevelConfiguration"): ("flowcontrol.apiserver.k8s.io/v1", "1.32"),
    ("storage.k8s.io/v1beta1", "CSIStorageCapacity"): ("storage.k8s.io/v1", "1.27"),
}  # fmt: skip
"""Versions of a kind that are no longer served: what to write instead ("": nothing), and since which Kubernetes they are gone."""

_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LONGEST = 262_144


def version(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """An object of a cluster that somebody writes in a version that is gone; in files that is an object that is refused."""
    if not inventory.live or not staying(resource):
        return
    ref, kind = Ref.of(resource), text(resource, "kind")
    for written, path, how in _writings(resource):
        instead = GONE.get((written, kind))
        if instead is None:
            continue
        new, since = instead
        yield Fact(
            rule="version.gone",
            subject=ref,
            severity=Severity.INFO,
            message=f"{how} {written}, which Kubernetes {since} and later do not serve",
            cause=f"Write apiVersion {new}." if new else "There is nothing in its place.",
            evidence=(inventory.field(ref, path, f"apiVersion: {written}"),),
            where=inventory.where(ref, path),
        )
        return


def _writings(resource: Resource) -> Iterator[tuple[str, Path, str]]:
    yield text(resource, "apiVersion"), ("apiVersion",), "is written in"
    applied = strings(resource, "metadata", "annotations").get(_APPLIED, "")
    if applied and len(applied) <= _LONGEST:
        try:
            content = json.loads(applied)
        except (ValueError, RecursionError):
            content = None
        yield text(content, "apiVersion"), ("metadata", "annotations", _APPLIED), "was last applied in"
    for index, entry in mappings(resource, "metadata", "managedFields"):
        who = text(entry, "manager") or "somebody"
        yield text(entry, "apiVersion"), ("metadata", "managedFields", index), f"is written by {who} in"


Look = Callable[[Inventory, Resource], Iterator[Fact]]
ADVICE: Mapping[tuple[str, str], Look] = {("*", "*"): version}
"""What is asked of every object, where advice is wanted."""
