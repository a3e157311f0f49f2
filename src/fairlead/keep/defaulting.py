"""Kubernetes' own defaults for its built-in kinds, filled in place.

For objects that `schemas.check` has passed. Nothing is refused here, and defaults that need other objects (quotas,
service accounts, addresses) are admission's. The defaults of custom resources are their schemas'.
Source: kubernetes/pkg/apis/*/*/defaults.go, and what the registry strategies set before storing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, TypeAlias

from fairlead.keep import defaulting_pods as pods
from fairlead.keep.kinds import Kind
from fairlead.words import Resource

Defaults: TypeAlias = Callable[[Resource], None]

_RBAC = "rbac.authorization.k8s.io"


def default(kind: Kind, obj: Resource) -> None:
    """Fill in what Kubernetes would, in place. A second time changes nothing."""
    fill = _DEFAULTS.get((kind.group, kind.kind)) or _DEFAULTS.get((kind.group, kind.version, kind.kind))
    if fill is not None:
        fill(obj)


def _spec(obj: Resource) -> dict[str, Any]:
    spec: dict[str, Any] = obj.setdefault("spec", {})
    return spec


def _fill(holder: dict[str, Any], **values: Any) -> None:
    for key, value in values.items():
        if holder.get(key) in (None, ""):
            holder[key] = value


def _deployment(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    _fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")
    pods.template(spec)


def _daemon_set(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(spec, revisionHistoryLimit=10)
    strategy = spec.setdefault("updateStrategy", {})
    _fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)
    pods.template(spec)


def _stateful_set(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    _fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), partition=0)
    _fill(
        spec.setdefault("persistentVolumeClaimRetentionPolicy", {}),
        whenDeleted="Retain",
        whenScaled="Retain",
    )
    for claim in spec.get("volumeClaimTemplates", ()):
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        _claim(claim)
    pods.template(spec)


def _replica_set(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(spec, replicas=1)
    pods.template(spec)


def _replication_controller(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(spec, replicas=1)
    labels = spec.get("template", {}).get("metadata", {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not obj.setdefault("metadata", {}).get("labels"):
            obj["metadata"]["labels"] = dict(labels)
    pods.template(spec)


def _pod_template(obj: Resource) -> None:
    pods.template(obj)


def _job(obj: Resource) -> None:
    spec = _spec(obj)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    _fill(
        spec,
        parallelism=1,
        backoffLimit=2**31 - 1 if "backoffLimitPerIndex" in spec else 6,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed",
    )
    metadata = obj.setdefault("metadata", {})
    _label_job(spec, metadata)
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        for pattern in rule.get("onPodConditions", ()):
            _fill(pattern, status="True")
    pods.template(spec)
    select_own_pods(obj)


def _label_job(spec: dict[str, Any], metadata: dict[str, Any]) -> None:
    labels = spec.get("template", {}).get("metadata", {}).get("labels")
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def select_own_pods(job: Resource) -> None:
    """Give a Job that has its uid the selector and the template labels by which it knows its own pods."""
    spec, metadata = job["spec"], job["metadata"]
    uid, name = metadata.get("uid"), metadata.get("name")
    if not uid or not name or spec.get("manualSelector") or spec.get("selector") or "template" not in spec:
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for prefix in ("", "batch.kubernetes.io/"):
        labels[f"{prefix}controller-uid"] = uid
        labels[f"{prefix}job-name"] = name
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    _label_job(spec, metadata)


def _cron_job(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )
    template = spec.get("jobTemplate")
    if template is not None:
        template.setdefault("metadata", {})
        pods.template(template.setdefault("spec", {}))


def _service(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = spec.get("sessionAffinityConfig", {}).get("clientIP", {})
        if "timeoutSeconds" not in client:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}}
    for port in spec.get("ports", ()):
        _fill(port, protocol="TCP")
        if not port.get("targetPort") and "port" in port:
            port["targetPort"] = port["port"]
    external = spec["type"] in {"NodePort", "LoadBalancer"} or (
        spec["type"] == "ClusterIP" and bool(spec.get("externalIPs"))
    )
    if external:
        _fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] in {"ClusterIP", "NodePort", "LoadBalancer"}:
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for entry in obj.get("status", {}).get("loadBalancer", {}).get("ingress", ()):
            if entry.get("ip"):
                entry.setdefault("ipMode", "VIP")


def _endpoints(obj: Resource) -> None:
    for subset in obj.get("subsets", ()):
        for port in subset.get("ports", ()):
            _fill(port, protocol="TCP")


def _endpoint_slice(obj: Resource) -> None:
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        _fill(port, protocol="TCP")


def _secret(obj: Resource) -> None:
    _fill(obj, type="Opaque")
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.setdefault("data", {})
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()


def _namespace(obj: Resource) -> None:
    metadata = obj.setdefault("metadata", {})
    if metadata.get("name"):
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]
    if not metadata.get("deletionTimestamp"):
        spec = _spec(obj)
        if not spec.get("finalizers"):
            spec["finalizers"] = ["kubernetes"]
    _fill(obj.setdefault("status", {}), phase="Active")


def _node(obj: Resource) -> None:
    _spec(obj)
    status = obj.setdefault("status", {})
    if "capacity" in status and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def _volume(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")
    if "claimRef" in spec and spec["claimRef"].get("name"):
        spec["claimRef"].setdefault("kind", "PersistentVolumeClaim")
        spec["claimRef"].setdefault("apiVersion", "v1")
    _fill(obj.setdefault("status", {}), phase="Pending")


def _claim(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(spec, volumeMode="Filesystem")
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source and not reference:
        spec["dataSourceRef"] = dict(source)
    elif reference and not source and not reference.get("namespace"):
        group_kind = (reference.get("apiGroup", ""), reference.get("kind"))
        if group_kind in {("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")}:
            spec["dataSource"] = dict(reference)
    _fill(obj.setdefault("status", {}), phase="Pending")


def _limit_range(obj: Resource) -> None:
    for item in _spec(obj).get("limits", ()):
        for amounts in item.values():
            if isinstance(amounts, dict):
                pods.round_up(amounts)
        if item.get("type") != "Container":
            continue
        limit = {**item.get("max", {}), **item.get("default", {})}
        request = {**item.get("min", {}), **limit, **item.get("defaultRequest", {})}
        if limit:
            item["default"] = limit
        if request:
            item["defaultRequest"] = request


def _storage_class(obj: Resource) -> None:
    _fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _csi_driver(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(
        spec,
        attachRequired=True,
        podInfoOnMount=False,
        storageCapacity=False,
        fsGroupPolicy="ReadWriteOnceWithFSType",
        requiresRepublish=False,
        seLinuxMount=False,
    )
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _priority_class(obj: Resource) -> None:
    _fill(obj, preemptionPolicy="PreemptLowerPriority")


def _network_policy(obj: Resource) -> None:
    spec = _spec(obj)
    spec.setdefault("podSelector", {})
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for port in rule.get("ports", ()):
            _fill(port, protocol="TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _ingress_class(obj: Resource) -> None:
    parameters = _spec(obj).get("parameters")
    if parameters is not None:
        _fill(parameters, scope="Cluster")


def _binding(obj: Resource) -> None:
    _fill(obj.setdefault("roleRef", {}), apiGroup=_RBAC)
    for subject in obj.get("subjects", ()):
        if subject.get("kind") in {"User", "Group"}:
            _fill(subject, apiGroup=_RBAC)


def _autoscaler(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        up = behavior.setdefault("scaleUp", {})
        _fill(up, stabilizationWindowSeconds=0, selectPolicy="Max")
        if not up.get("policies"):
            up["policies"] = [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]
        down = behavior.setdefault("scaleDown", {})
        _fill(down, selectPolicy="Max")
        if not down.get("policies"):
            down["policies"] = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


def _autoscaler_v1(obj: Resource) -> None:
    _fill(_spec(obj), minReplicas=1)


def _webhooks(obj: Resource, *, mutating: bool) -> None:
    for webhook in obj.get("webhooks", ()):
        _fill(webhook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        if mutating:
            _fill(webhook, reinvocationPolicy="Never")
        _rules(webhook.get("rules", ()))
        service = webhook.get("clientConfig", {}).get("service")
        if service is not None:
            service.setdefault("port", 443)


def _rules(rules: Any) -> None:
    for rule in rules:
        _fill(rule, scope="*")


def _matching(resources: dict[str, Any]) -> None:
    _fill(resources, matchPolicy="Equivalent")
    resources.setdefault("namespaceSelector", {})
    resources.setdefault("objectSelector", {})
    _rules(resources.get("resourceRules", ()))
    _rules(resources.get("excludeResourceRules", ()))


def _admission_policy(obj: Resource) -> None:
    spec = _spec(obj)
    _fill(spec, failurePolicy="Fail")
    if "matchConstraints" in spec:
        _matching(spec["matchConstraints"])


def _admission_binding(obj: Resource) -> None:
    spec = _spec(obj)
    if "matchResources" in spec:
        _matching(spec["matchResources"])


def _definition(obj: Resource) -> None:
    spec = _spec(obj)
    names = spec.setdefault("names", {})
    if names.get("kind"):
        _fill(names, singular=names["kind"].lower(), listKind=f"{names['kind']}List")
    conversion = spec.setdefault("conversion", {})
    _fill(conversion, strategy="None")
    service = conversion.get("webhook", {}).get("clientConfig", {}).get("service")
    if service is not None:
        service.setdefault("port", 443)
    for version in spec.get("versions", ()):
        version.setdefault("served", False)
        version.setdefault("storage", False)


def _api_service(obj: Resource) -> None:
    service = _spec(obj).get("service")
    if service is not None:
        service.setdefault("port", 443)


def _flow_schema(obj: Resource) -> None:
    _fill(_spec(obj), matchingPrecedence=1000)


def _priority_level(obj: Resource) -> None:
    spec = _spec(obj)
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if exempt is not None:
        _fill(exempt, nominalConcurrencyShares=0, lendablePercent=0)
    if limited is not None:
        _fill(limited, nominalConcurrencyShares=30, lendablePercent=0)
        queuing = limited.get("limitResponse", {}).get("queuing")
        if queuing is not None:
            _fill(queuing, handSize=8, queues=64, queueLengthLimit=50)


_DEFAULTS: dict[tuple[str, ...], Defaults] = {
    ("", "Pod"): pods.pod,
    ("", "PodTemplate"): _pod_template,
    ("", "ReplicationController"): _replication_controller,
    ("", "Service"): _service,
    ("", "Endpoints"): _endpoints,
    ("", "Secret"): _secret,
    ("", "Namespace"): _namespace,
    ("", "Node"): _node,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "LimitRange"): _limit_range,
    ("apps", "Deployment"): _deployment,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _cron_job,
    ("autoscaling", "v2", "HorizontalPodAutoscaler"): _autoscaler,
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): _autoscaler_v1,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    ("networking.k8s.io", "IngressClass"): _ingress_class,
    (_RBAC, "RoleBinding"): _binding,
    (_RBAC, "ClusterRoleBinding"): _binding,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("storage.k8s.io", "CSIDriver"): _csi_driver,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): lambda obj: _webhooks(
        obj, mutating=True
    ),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): lambda obj: _webhooks(
        obj, mutating=False
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): _admission_policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _admission_binding,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): _flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): _priority_level,
}
"""Keyed by (group, kind), or (group, version, kind) where versions differ."""
