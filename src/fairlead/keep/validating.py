"""What Kubernetes refuses in its built-in kinds: names and metadata here, the rest by kind in the modules beside.

Takes objects that were checked and defaulted, changes nothing, and needs no other object: what does is admission's.
Custom resources are validated by their schemas; only their metadata is judged here.
Sources: k8s.io/apimachinery/pkg/api/validation and kubernetes/pkg/apis/*/validation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from fairlead.keep import validating_cluster as cluster
from fairlead.keep import validating_definitions as definitions
from fairlead.keep import validating_networks as networks
from fairlead.keep import validating_pods as pods
from fairlead.keep import validating_policies as policies
from fairlead.keep import validating_storage as storage
from fairlead.keep import validating_values as v
from fairlead.keep import validating_workloads as workloads
from fairlead.keep.errors import Cause
from fairlead.keep.kinds import Kind
from fairlead.keep.validating_values import Causes, NameCheck
from fairlead.words import Resource

Rule: TypeAlias = Callable[[Resource, Resource | None], Causes]

_RBAC = "rbac.authorization.k8s.io"
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_KEPT = ("name", "namespace", "uid", "creationTimestamp")


def validate(kind: Kind, obj: Resource, old: Resource | None = None) -> list[Cause]:
    """Return what is wrong with the object and, given the old one, with the change. Nothing if it may be stored."""
    causes = metadata(kind, obj.get("metadata", {}), (old or {}).get("metadata") if old is not None else None)
    rule = _RULES.get((kind.group, kind.kind))
    if rule is not None:
        causes += rule(obj, old)
    return causes


def metadata(kind: Kind, found: Mapping[str, Any], old: Mapping[str, Any] | None) -> Causes:
    """Return what is wrong with the metadata of an object of the kind."""
    causes: Causes = []
    check = _NAMES.get((kind.group, kind.kind), v.subdomain)
    name, prefix = found.get("name", ""), found.get("generateName", "")
    if prefix:
        shown = prefix[:-1] + "a" if prefix.endswith("-") else prefix
        causes += [v.invalid("metadata.generateName", prefix, fault) for fault in check(shown)]
    if name:
        causes += [v.invalid("metadata.name", name, fault) for fault in check(name)]
    elif not prefix:
        causes.append(v.required("metadata.name", "name or generateName is required"))
    namespace = found.get("namespace", "")
    if not kind.namespaced:
        if namespace:
            causes.append(v.forbidden("metadata.namespace", "not allowed on this type"))
    elif namespace and namespace != "default":
        causes += [v.invalid("metadata.namespace", namespace, fault) for fault in v.label(namespace)]
    if "labels" in found:
        causes += v.label_map(found["labels"], "metadata.labels")
    if "annotations" in found:
        causes += v.annotation_map(found["annotations"], "metadata.annotations")
    if found.get("ownerReferences"):
        causes += _owners(found["ownerReferences"])
    for one in found.get("finalizers") or ():
        causes += _finalizer(one)
    if old is not None:
        causes += _changed(found, old)
    return causes


def _finalizer(name: str) -> Causes:
    causes = [v.invalid("metadata.finalizers", name, fault) for fault in v.qualified(name)]
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        text = "name is neither a standard finalizer name nor is it fully qualified"
        causes.append(v.invalid("metadata.finalizers", name, text))
    return causes


def _owners(references: Any) -> Causes:
    causes: Causes = []
    controller = ""
    for reference in references:
        version = reference.get("apiVersion", "")
        if not version.rpartition("/")[2]:
            causes.append(
                v.invalid("metadata.ownerReferences.apiVersion", version, "version must not be empty")
            )
        for name in ("kind", "name", "uid"):
            if not reference.get(name):
                text = f"{name} must not be empty"
                causes.append(v.invalid(f"metadata.ownerReferences.{name}", "", text))
        if reference.get("kind") == "Event" and version in {"v1", "events.k8s.io/v1"}:
            text = f"{version}, Kind=Event is disallowed from being an owner"
            causes.append(v.invalid("metadata.ownerReferences", reference, text))
        if reference.get("controller"):
            shown = f"{reference.get('kind')}/{reference.get('name')}"
            if controller:
                text = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {shown}"
                )
                causes.append(v.invalid("metadata.ownerReferences", references, text))
            else:
                controller = shown
    return causes


def _changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> Causes:
    causes: Causes = []
    for name in _KEPT:
        causes += v.same(new.get(name), old.get(name), f"metadata.{name}")
    if old.get("deletionTimestamp"):
        before = set(old.get("finalizers") or ())
        added = [one for one in new.get("finalizers") or () if one not in before]
        if added:
            text = (
                "no new finalizers can be added if the object is being deleted, found new finalizers "
                f"{v.printed(added)}"
            )
            causes.append(v.forbidden("metadata.finalizers", text))
    return causes


_NAMES: dict[tuple[str, str], NameCheck] = {
    ("", "Namespace"): v.label,
    ("", "Service"): v.label_1035,
    ("apps", "StatefulSet"): v.label,
    (_RBAC, "Role"): v.path_segment,
    (_RBAC, "RoleBinding"): v.path_segment,
    (_RBAC, "ClusterRole"): v.path_segment,
    (_RBAC, "ClusterRoleBinding"): v.path_segment,
    ("apiregistration.k8s.io", "APIService"): v.path_segment,
}
"""Kinds whose names are not DNS-1123 subdomains."""

_RULES: dict[tuple[str, str], Rule] = {
    ("", "Pod"): pods.pod,
    ("", "PodTemplate"): lambda obj, _old: pods.template(obj.get("template"), "template"),
    ("", "ReplicationController"): workloads.replication_controller,
    ("", "Service"): networks.service,
    ("", "Endpoints"): networks.endpoints,
    ("", "ConfigMap"): cluster.config_map,
    ("", "Secret"): cluster.secret,
    ("", "Namespace"): cluster.namespace,
    ("", "Node"): cluster.node,
    ("", "Event"): cluster.event,
    ("events.k8s.io", "Event"): cluster.new_event,
    ("", "ResourceQuota"): policies.resource_quota,
    ("", "LimitRange"): policies.limit_range,
    ("", "PersistentVolume"): storage.volume,
    ("", "PersistentVolumeClaim"): storage.claim,
    ("apps", "Deployment"): workloads.deployment,
    ("apps", "ReplicaSet"): workloads.replica_set,
    ("apps", "DaemonSet"): workloads.daemon_set,
    ("apps", "StatefulSet"): workloads.stateful_set,
    ("apps", "ControllerRevision"): workloads.controller_revision,
    ("batch", "Job"): workloads.job,
    ("batch", "CronJob"): workloads.cron_job,
    ("policy", "PodDisruptionBudget"): workloads.disruption_budget,
    ("autoscaling", "HorizontalPodAutoscaler"): workloads.autoscaler,
    ("networking.k8s.io", "Ingress"): networks.ingress,
    ("networking.k8s.io", "IngressClass"): networks.ingress_class,
    ("networking.k8s.io", "NetworkPolicy"): networks.network_policy,
    ("discovery.k8s.io", "EndpointSlice"): networks.endpoint_slice,
    (_RBAC, "Role"): policies.role,
    (_RBAC, "ClusterRole"): policies.cluster_role,
    (_RBAC, "RoleBinding"): policies.role_binding,
    (_RBAC, "ClusterRoleBinding"): policies.cluster_role_binding,
    ("scheduling.k8s.io", "PriorityClass"): policies.priority_class,
    ("coordination.k8s.io", "Lease"): cluster.lease,
    ("node.k8s.io", "RuntimeClass"): cluster.runtime_class,
    ("certificates.k8s.io", "CertificateSigningRequest"): cluster.signing_request,
    ("storage.k8s.io", "StorageClass"): storage.storage_class,
    ("storage.k8s.io", "CSIDriver"): storage.csi_driver,
    ("storage.k8s.io", "CSINode"): storage.csi_node,
    ("storage.k8s.io", "CSIStorageCapacity"): storage.storage_capacity,
    ("storage.k8s.io", "VolumeAttachment"): storage.volume_attachment,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): policies.webhooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): policies.webhooks,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): policies.admission_policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): policies.admission_binding,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): definitions.definition,
    ("apiregistration.k8s.io", "APIService"): cluster.api_service,
}
