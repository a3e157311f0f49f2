"""What Kubernetes' definitions do not say of their fields: which words are allowed, which numbers, and which form a text has.

Tables only: `Type.field` -> shape, for the short name of a type in any group and version. A shape is what constructors.py puts into the
table of a type. Source: Kubernetes' API reference and its validation, 1.32.
"""

from __future__ import annotations

from typing import Any, Final

_PORT: Final = ["int", 1, 65535]
_COUNT: Final = ["int", 0, None]
_POSITIVE: Final = ["int", 1, None]
_SHARE: Final = ["share"]

_ENUMS: Final = {
    "Container.imagePullPolicy EphemeralContainer.imagePullPolicy ImageVolumeSource.pullPolicy": "Always IfNotPresent Never",
    "Container.terminationMessagePolicy EphemeralContainer.terminationMessagePolicy": "File FallbackToLogsOnError",
    "PodSpec.restartPolicy": "Always OnFailure Never",
    "Container.restartPolicy": "Always",
    "PodSpec.dnsPolicy": "ClusterFirst ClusterFirstWithHostNet Default None",
    "PodSpec.preemptionPolicy PriorityClass.preemptionPolicy": "PreemptLowerPriority Never",
    "ContainerPort.protocol ServicePort.protocol NetworkPolicyPort.protocol EndpointPort.protocol PortStatus.protocol": "TCP UDP SCTP",
    "HTTPGetAction.scheme": "HTTP HTTPS",
    "ServiceSpec.type": "ClusterIP NodePort LoadBalancer ExternalName",
    "ServiceSpec.sessionAffinity": "None ClientIP",
    "ServiceSpec.externalTrafficPolicy ServiceSpec.internalTrafficPolicy": "Cluster Local",
    "ServiceSpec.ipFamilyPolicy": "SingleStack PreferDualStack RequireDualStack",
    "DeploymentStrategy.type": "Recreate RollingUpdate",
    "StatefulSetUpdateStrategy.type DaemonSetUpdateStrategy.type": "RollingUpdate OnDelete",
    "StatefulSetSpec.podManagementPolicy": "OrderedReady Parallel",
    "StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled": "Retain Delete",
    "CronJobSpec.concurrencyPolicy": "Allow Forbid Replace",
    "JobSpec.completionMode": "NonIndexed Indexed",
    "JobSpec.podReplacementPolicy": "TerminatingOrFailed Failed",
    "PodFailurePolicyRule.action": "FailJob FailIndex Ignore Count",
    "PodFailurePolicyOnExitCodesRequirement.operator": "In NotIn",
    "LabelSelectorRequirement.operator": "In NotIn Exists DoesNotExist",
    "NodeSelectorRequirement.operator": "In NotIn Exists DoesNotExist Gt Lt",
    "Toleration.operator": "Exists Equal",
    "Toleration.effect Taint.effect": "NoSchedule PreferNoSchedule NoExecute",
    "TopologySpreadConstraint.whenUnsatisfiable": "DoNotSchedule ScheduleAnyway",
    "TopologySpreadConstraint.nodeAffinityPolicy TopologySpreadConstraint.nodeTaintsPolicy": "Honor Ignore",
    "VolumeMount.mountPropagation": "None HostToContainer Bidirectional",
    "VolumeMount.recursiveReadOnly": "Disabled IfPossible Enabled",
    "PersistentVolumeClaimSpec.volumeMode PersistentVolumeSpec.volumeMode": "Filesystem Block",
    "PersistentVolumeSpec.persistentVolumeReclaimPolicy": "Retain Delete Recycle",
    "StorageClass.reclaimPolicy": "Retain Delete",
    "StorageClass.volumeBindingMode": "Immediate WaitForFirstConsumer",
    "PersistentVolumeClaimSpec.accessModes[] PersistentVolumeSpec.accessModes[]": "ReadWriteOnce ReadOnlyMany ReadWriteMany ReadWriteOncePod",
    "NetworkPolicySpec.policyTypes[]": "Ingress Egress",
    "HTTPIngressPath.pathType": "Exact Prefix ImplementationSpecific",
    "MetricSpec.type": "Resource Pods Object External ContainerResource",
    "MetricTarget.type": "Utilization Value AverageValue",
    "HPAScalingRules.selectPolicy": "Max Min Disabled",
    "HPAScalingPolicy.type": "Pods Percent",
    "SeccompProfile.type AppArmorProfile.type": "Localhost RuntimeDefault Unconfined",
    "PodSecurityContext.fsGroupChangePolicy": "Always OnRootMismatch",
    "PodSecurityContext.supplementalGroupsPolicy": "Merge Strict",
    "SecurityContext.procMount": "Default Unmasked",
    "PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy": "IfHealthyBudget AlwaysAllow",
    "ContainerResizePolicy.restartPolicy": "NotRequired RestartContainer",
    "HostPathVolumeSource.type": " DirectoryOrCreate Directory FileOrCreate File Socket CharDevice BlockDevice",
    "ValidatingWebhook.failurePolicy MutatingWebhook.failurePolicy ValidatingAdmissionPolicySpec.failurePolicy": "Ignore Fail",
    "ValidatingWebhook.matchPolicy MutatingWebhook.matchPolicy MatchResources.matchPolicy": "Exact Equivalent",
    "ValidatingWebhook.sideEffects MutatingWebhook.sideEffects": "None NoneOnDryRun Some Unknown",
    "MutatingWebhook.reinvocationPolicy": "Never IfNeeded",
    "ValidatingAdmissionPolicyBindingSpec.validationActions[]": "Deny Warn Audit",
    "RuleWithOperations.operations[] NamedRuleWithOperations.operations[]": "CREATE UPDATE DELETE CONNECT *",
    "RuleWithOperations.scope NamedRuleWithOperations.scope": "Cluster Namespaced *",
    "CustomResourceDefinitionSpec.scope": "Cluster Namespaced",
    "CustomResourceConversion.strategy": "None Webhook",
    "Subject.kind": "User Group ServiceAccount",
    "RoleRef.kind": "Role ClusterRole",
    "ResourceQuotaSpec.scopes[]": "Terminating NotTerminating BestEffort NotBestEffort PriorityClass CrossNamespacePodAffinity",
    "LimitRangeItem.type": "Pod Container PersistentVolumeClaim",
    "NamespaceSpec.finalizers[]": "kubernetes",
    "EndpointSlice.addressType": "IPv4 IPv6 FQDN",
    "CSIDriverSpec.volumeLifecycleModes[]": "Persistent Ephemeral",
    "CSIDriverSpec.fsGroupPolicy": "ReadWriteOnceWithFSType File None",
    "EmptyDirVolumeSource.medium": " Memory HugePages HugePages-2Mi HugePages-1Gi",
}

_FORMS: Final = {
    "dns-label": "Container.name EphemeralContainer.name Volume.name VolumeMount.name VolumeDevice.name PodSpec.hostname PodSpec.subdomain",
    "dns-subdomain": (
        "PodSpec.serviceAccountName PodSpec.nodeName PodSpec.priorityClassName LocalObjectReference.name ConfigMapKeySelector.name "
        "SecretKeySelector.name ConfigMapEnvSource.name SecretEnvSource.name ConfigMapVolumeSource.name ConfigMapProjection.name "
        "SecretVolumeSource.secretName SecretProjection.name PersistentVolumeClaimVolumeSource.claimName PersistentVolumeClaimSpec.storageClassName "
        "ServiceSpec.externalName IngressSpec.ingressClassName IngressTLS.secretName CrossVersionObjectReference.name"
    ),
    "path-segment": "RoleRef.name Subject.name",
    "dns-label-alpha": "IngressServiceBackend.name",
    "host": "IngressRule.host IngressTLS.hosts[] HostAlias.hostnames[]",
    "port-name": "ContainerPort.name ServiceBackendPort.name",
    "env-name": "EnvVar.name",
    "config-key": "ConfigMapKeySelector.key SecretKeySelector.key KeyToPath.key",
    "relative-path": "KeyToPath.path VolumeMount.subPath",
    "mount-path": "VolumeMount.mountPath",
    "absolute-path": "HTTPGetAction.path",
    "image": "Container.image EphemeralContainer.image ImageVolumeSource.reference",
    "cron": "CronJobSpec.schedule",
    "time-zone": "CronJobSpec.timeZone",
    "ip": "HostAlias.ip ServiceSpec.externalIPs[] PodDNSConfig.nameservers[]",
    "cidr": "IPBlock.cidr IPBlock.except[] ServiceSpec.loadBalancerSourceRanges[]",
    "label-key": "LabelSelectorRequirement.key NodeSelectorRequirement.key",
}

_NUMBERS: Final[dict[str, list[Any]]] = {
    "ContainerPort.containerPort ContainerPort.hostPort ServicePort.port ServicePort.nodePort ServiceBackendPort.number": _PORT,
    "GRPCAction.port EndpointPort.port ServiceSpec.healthCheckNodePort NetworkPolicyPort.endPort ServiceReference.port": _PORT,
    "HTTPGetAction.port TCPSocketAction.port ServicePort.targetPort NetworkPolicyPort.port": ["port"],
    "DeploymentSpec.replicas StatefulSetSpec.replicas ReplicaSetSpec.replicas ReplicationControllerSpec.replicas": _COUNT,
    "DeploymentSpec.minReadySeconds StatefulSetSpec.minReadySeconds DaemonSetSpec.minReadySeconds DeploymentSpec.revisionHistoryLimit": _COUNT,
    "DeploymentSpec.progressDeadlineSeconds": _POSITIVE,
    "JobSpec.parallelism JobSpec.completions JobSpec.backoffLimit JobSpec.ttlSecondsAfterFinished": _COUNT,
    "CronJobSpec.successfulJobsHistoryLimit CronJobSpec.failedJobsHistoryLimit CronJobSpec.startingDeadlineSeconds": _COUNT,
    "HorizontalPodAutoscalerSpec.maxReplicas": _POSITIVE,
    "HorizontalPodAutoscalerSpec.minReplicas": _COUNT,
    "Probe.periodSeconds Probe.timeoutSeconds Probe.successThreshold Probe.failureThreshold": _POSITIVE,
    "Probe.initialDelaySeconds PodSpec.terminationGracePeriodSeconds": _COUNT,
    "TopologySpreadConstraint.maxSkew": _POSITIVE,
    "PreferredSchedulingTerm.weight WeightedPodAffinityTerm.weight": ["int", 1, 100],
    "SecurityContext.runAsUser SecurityContext.runAsGroup PodSecurityContext.runAsUser PodSecurityContext.runAsGroup": [
        "int",
        0,
        2147483647,
    ],
    "PodSecurityContext.fsGroup": ["int", 0, 2147483647],
    "KeyToPath.mode ConfigMapVolumeSource.defaultMode SecretVolumeSource.defaultMode ProjectedVolumeSource.defaultMode": [
        "int",
        0,
        511,
    ],
    "ValidatingWebhook.timeoutSeconds MutatingWebhook.timeoutSeconds": ["int", 1, 30],
    "ClientIPConfig.timeoutSeconds": ["int", 1, 86400],
    "RollingUpdateDeployment.maxSurge RollingUpdateDeployment.maxUnavailable RollingUpdateDaemonSet.maxSurge": _SHARE,
    "RollingUpdateDaemonSet.maxUnavailable RollingUpdateStatefulSetStrategy.maxUnavailable": _SHARE,
    "PodDisruptionBudgetSpec.minAvailable PodDisruptionBudgetSpec.maxUnavailable": _SHARE,
}

_KEYS: Final = {
    "label-key": "ObjectMeta.labels ObjectMeta.annotations LabelSelector.matchLabels PodSpec.nodeSelector ServiceSpec.selector",
    "config-key": "ConfigMap.data ConfigMap.binaryData Secret.data Secret.stringData",
}

_VALUES: Final = {
    "label-value": "ObjectMeta.labels LabelSelector.matchLabels PodSpec.nodeSelector ServiceSpec.selector",
    "base64": "Secret.data ConfigMap.binaryData",
}

_REQUIRED: Final = {
    "Container": "image",
    "IngressRule": "",
    "DeploymentSpec": "selector template",
    "StatefulSetSpec": "selector template",
    "DaemonSetSpec": "selector template",
    "Job": "spec",
    "CronJob": "spec",
    "Deployment": "spec",
    "StatefulSet": "spec",
    "DaemonSet": "spec",
    "Service": "spec",
    "Pod": "spec",
    "Ingress": "spec",
    "NetworkPolicy": "spec",
    "HorizontalPodAutoscaler": "spec",
    "PersistentVolumeClaim": "spec",
    "PodTemplateSpec": "spec",
    "CronJobSpec": "jobTemplate schedule",
    "JobTemplateSpec": "spec",
    "ConfigMapKeySelector": "name",
    "SecretKeySelector": "name",
    "ConfigMapEnvSource": "name",
    "SecretEnvSource": "name",
    "ConfigMapVolumeSource": "name",
    "SecretVolumeSource": "secretName",
}
"""What Kubernetes' validation wants though its definitions do not say so."""

HINTS: Final = {
    "image": 'write image = "repository:tag", or image(values.image)',
    "selector": "write selector = LabelSelector(matchLabels = ...), with labels that the template has",
    "name": "",
}

NAMES: Final = {
    **dict.fromkeys(("Service",), "dns-label-alpha"),
    **dict.fromkeys(("Namespace",), "dns-label"),
    **dict.fromkeys(("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"), "path-segment"),
}
"""Which form the name of a kind has; of any other it is a `dns-subdomain`."""


def _rows(table: dict[str, str]) -> dict[str, str]:
    return {field: form for form, fields in table.items() for field in fields.split()}


SHAPES: Final[dict[str, list[Any]]] = {
    **{field: ["enum", words.split(" ")] for fields, words in _ENUMS.items() for field in fields.split()},
    **{field: ["text", form] for field, form in _rows(_FORMS).items()},
    **{field: shape for fields, shape in _NUMBERS.items() for field in fields.split()},
}
"""The shape of a field, or with `[]` of the items of a list."""

KEY_FORMS: Final = _rows(_KEYS)
VALUE_FORMS: Final = _rows(_VALUES)
REQUIRED: Final = {name: tuple(fields.split()) for name, fields in _REQUIRED.items()}
DISTINCT: Final[dict[str, list[str]]] = {
    "PodSpec.containers": ["name"],
    "PodSpec.initContainers": ["name"],
    "PodSpec.volumes": ["name"],
    "Container.env": ["name"],
    "Container.volumeMounts": ["mountPath"],
    "Container.ports": ["containerPort", "protocol"],
    "ServiceSpec.ports": ["port", "protocol"],
}
"""By which fields the items of a list differ, where the definitions merge them otherwise or say nothing."""
