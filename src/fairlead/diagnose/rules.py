"""The names of everything that can be found, and what each means: the table that the documentation is made from.

A name is stable: scripts and suppressions are built on it. Names by other rooms (what cannot be read, what is not valid) are
listed too, so that there is one place to look.
"""

from __future__ import annotations

from collections.abc import Mapping

RULES: Mapping[str, str] = {
    "account.missing": "A ServiceAccount that a workload names does not exist, so its pods are refused.",
    "autoscaler.target": "A HorizontalPodAutoscaler scales something that does not exist.",
    "claim.class": "A volume claim names no storage class where there is no default, or one that does not exist.",
    "claim.lost": "A volume claim has lost its volume.",
    "claim.missing": "A pod names a volume claim that does not exist.",
    "claim.provisioning": "The provisioner could not make a volume for a claim.",
    "claim.volume": "A volume claim waits for a volume made by hand, and none fits.",
    "config.key": "A pod reads a key that its ConfigMap does not have.",
    "config.missing": "A pod names a ConfigMap that does not exist.",
    "container.config": "The node cannot configure a container, for another reason than a missing object.",
    "container.crash": "A container ends again and again, or a Job's container ended with an error.",
    "container.memory": "A container was killed for using more memory than its limit.",
    "container.start": "A container cannot be started at all: its command does not exist or may not be run.",
    "document.broken": "A document is not YAML (or JSON), with line and column.",
    "document.doubled": "A document says the same field twice.",
    "document.foreign": "A document is no Kubernetes object and was passed over.",
    "document.incomplete": "An object without apiVersion, kind or name.",
    "document.template": "A template or Helm chart that is not rendered yet.",
    "document.unsafe": "A document that is too deep, too large, or grows too large by its aliases.",
    "image.invalid": "An image's name is not a valid one.",
    "image.never": "An image is not on the node, and its pull policy is Never.",
    "image.pull": "An image cannot be pulled: its name is wrong, or the registry has none, or refuses.",
    "ingress.backend": "An Ingress sends to a Service that does not exist.",
    "ingress.class": "An Ingress asks for a class that does not exist.",
    "ingress.port": "An Ingress sends to a port that its Service does not have.",
    "ingress.tls": "An Ingress names a TLS Secret that does not exist.",
    "job.failed": "A Job failed for good, and its pods are gone or say nothing.",
    "kustomization.field": "A field of a kustomization that is not supported yet.",
    "namespace.terminating": "A namespace cannot be deleted, because something in it waits for a finalizer.",
    "node.cordoned": "A node takes no new pods because somebody cordoned it.",
    "node.full": "A node has too little left of a resource for several workloads.",
    "node.offline": "A node reaches none of several registries.",
    "node.pressure": "A node is short of memory, disk or process ids.",
    "node.tainted": "A node's taint keeps several workloads away.",
    "node.unready": "A node is not ready.",
    "object.doubled": "The same object is written more than once.",
    "object.foreign": "An object of a kind that is not known here.",
    "object.invalid": "The API server would refuse the object.",
    "object.kind": "Kubernetes has no such kind, or not in this version.",
    "pod.evicted": "Pods were evicted from a node that ran short of something.",
    "pod.sandbox": "A node cannot set up pods: network or runtime trouble.",
    "pod.stuck": "A pod is being created for long, and nothing says why.",
    "pod.unready": "A pod is not ready, and nothing says why.",
    "probe.failing": "A readiness, liveness or startup probe fails.",
    "probe.port": "A probe asks a named port that its container does not declare.",
    "quota.exceeded": "A ResourceQuota does not let a workload make its pods.",
    "registry.unreachable": "A registry cannot be reached from a node.",
    "schedule.claim": "No node can take a pod because of a volume claim.",
    "schedule.cordoned": "No node can take a pod because all are cordoned.",
    "schedule.gated": "A pod is held back by scheduling gates.",
    "schedule.nodes": "There is no node at all.",
    "schedule.other": "No node can take a pod, for another reason of the scheduler's.",
    "schedule.port": "No node can take a pod because its host port is taken.",
    "schedule.resources": "No node has what a pod requests.",
    "schedule.selector": "No node has the labels that a pod asks for.",
    "schedule.taint": "Every node has a taint that a pod does not tolerate.",
    "secret.key": "A pod reads a key that its Secret does not have.",
    "secret.missing": "A pod names a Secret that does not exist.",
    "service.idle": "A Service has no endpoints because what it selects is scaled to zero.",
    "service.name": "An environment variable names a host that is no Service, where a near one is.",
    "service.port": "A Service sends to a port that no container behind it declares.",
    "service.selector": "A Service selects nothing.",
    "volume.mount": "A volume cannot be mounted, for another reason than a missing object.",
    "webhook.failing": "An admission webhook does not answer, so what it guards is refused.",
    "workload.refused": "The API server refuses a workload's pods: admission, pod security or a limit range.",
    "workload.selector": "A workload's selector does not match its own template.",
    "workload.short": "A rollout is stuck, and nothing says why.",
}

SYMPTOMS = frozenset(
    {"ingress.endpoints", "job.waiting", "pod.failing", "pod.unscheduled", "pod.waiting", "service.endpoints",
     "workload.waiting"}
)  # fmt: skip
"""Names of facts that only ever explain nothing: they are told as symptoms of the findings above."""
