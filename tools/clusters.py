"""Clusters that never were: objects of many kinds that fit together, from a seed, healthy or with faults. For tests and benchmarks.

The same arguments give the same objects. What a healthy one holds is as a real API server would show it: owners with uids, statuses, server-set
fields. Must never use the clock or the machine it runs on.
"""

from __future__ import annotations

import base64
import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

Resource: TypeAlias = dict[str, Any]

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
"""The time at which they are looked at."""
_LONG_AGO = "2025-11-03T08:00:00Z"
_TIERS = (
    "web",
    "api",
    "auth",
    "cart",
    "mail",
    "search",
    "stock",
    "bills",
    "queue",
    "report",
    "media",
    "chat",
)
_CLASS, _CONTROLLER = "standard", "nginx"
_PODS_A_NODE = 40
_PULL = base64.b64encode(b'{"auths":{"registry.example.com":{"auth":"Ym90OnNlc2FtZQ=="}}}').decode()


class Cluster:
    """Objects under construction. `objects` are in the order in which they were made."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.rng = random.Random(f"{seed}/{size}")
        self.size = size
        self.objects: list[Resource] = []
        self.nodes: list[str] = []
        self._number = 0
        self._shared()
        while len(self.objects) < size:
            self._namespace(f"team-{self._number // 1000:03d}-{len(self.objects):05d}")
        del self.objects[size:]
        self._whole()

    def add(self, api_version: str, kind: str, name: str, namespace: str = "", **more: Any) -> Resource:
        """Add an object as the server would keep it."""
        self._number += 1
        meta: Resource = {
            "name": name,
            "uid": f"00000000-0000-4000-8000-{self._number:012d}",
            "resourceVersion": str(1000 + self._number),
            "creationTimestamp": _LONG_AGO,
            **more.pop("metadata", {}),
        }
        if namespace:
            meta["namespace"] = namespace
        one: Resource = {"apiVersion": api_version, "kind": kind, "metadata": meta, **more}
        self.objects.append(one)
        return one

    def _shared(self) -> None:
        for number in range(max(3, self.size // (_PODS_A_NODE * 5))):
            self._node(f"node-{number:04d}")
        for space in ("default", "kube-system", "kube-public", "kube-node-lease"):
            self._space(space)
        self.add("storage.k8s.io/v1", "StorageClass", _CLASS, provisioner="csi.example.com", reclaimPolicy="Delete",
                 volumeBindingMode="WaitForFirstConsumer",
                 metadata={"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}})  # fmt: skip
        self.add(
            "networking.k8s.io/v1", "IngressClass", _CONTROLLER, spec={"controller": "example.com/ingress"}
        )
        for name in ("system-cluster-critical", "system-node-critical"):
            self.add("scheduling.k8s.io/v1", "PriorityClass", name, value=2_000_000_000)
        for group, kind, plural in (
            ("cert-manager.io", "Certificate", "certificates"),
            ("monitoring.coreos.com", "ServiceMonitor", "servicemonitors"),
            ("widgets.example.com", "Widget", "widgets"),
        ):
            self._definition(group, kind, plural)
        for name, labels in (
            ("certs", "cert-manager"),
            ("widgets", "widget-controller"),
            ("watch", "prometheus-operator"),
        ):
            self._workload("kube-system", name, labels, slim=True)

    def _definition(self, group: str, kind: str, plural: str) -> None:
        names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
        self.add("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{group}",
                 spec={"group": group, "scope": "Namespaced", "names": names,
                       "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
                 status={"conditions": [_condition("NamesAccepted"), _condition("Established")], "acceptedNames": names,
                         "storedVersions": ["v1"]})  # fmt: skip

    def _node(self, name: str) -> None:
        self.nodes.append(name)
        room = {"cpu": "64", "memory": "256Gi", "pods": "250", "ephemeral-storage": "500Gi"}
        self.add("v1", "Node", name,
                 metadata={"labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}},
                 spec={"podCIDR": f"10.{len(self.nodes) % 250}.0.0/16"},
                 status={
                     "capacity": room, "allocatable": room,
                     "conditions": [
                         *({**_condition(kind, status="False"), "lastHeartbeatTime": "2026-01-01T11:59:00Z"}
                           for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")),
                         {**_condition("Ready"), "lastHeartbeatTime": "2026-01-01T11:59:00Z", "reason": "KubeletReady"},
                     ],
                     "nodeInfo": {"kubeletVersion": "v1.32.0", "osImage": "Linux", "containerRuntimeVersion": "containerd://2.0.0"},
                     "images": [{"names": [f"registry.example.com/shop/{tier}:1.4.2"], "sizeBytes": 90_000_000} for tier in _TIERS],
                 })  # fmt: skip

    def _space(self, name: str) -> None:
        self.add("v1", "Namespace", name, metadata={"labels": {"kubernetes.io/metadata.name": name}},
                 spec={"finalizers": ["kubernetes"]}, status={"phase": "Active"})  # fmt: skip
        self.add("v1", "ServiceAccount", "default", name)
        self.add(
            "v1",
            "ConfigMap",
            "kube-root-ca.crt",
            name,
            data={"ca.crt": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"},
        )

    def _namespace(self, name: str) -> None:
        self._space(name)
        self.add(
            "v1",
            "Secret",
            "registry",
            name,
            type="kubernetes.io/dockerconfigjson",
            data={".dockerconfigjson": _PULL},
        )
        self.add(
            "v1",
            "ResourceQuota",
            "compute",
            name,
            spec={"hard": {"pods": "1000"}},
            status={"hard": {"pods": "1000"}, "used": {"pods": "60"}},
        )
        self.add("networking.k8s.io/v1", "NetworkPolicy", "inside", name,
                 spec={"podSelector": {}, "policyTypes": ["Ingress"],
                       "ingress": [{"from": [{"podSelector": {}}]}, {"from": [{"namespaceSelector": {}}]}]})  # fmt: skip
        for number, tier in enumerate(self.rng.sample(_TIERS, len(_TIERS))):
            if len(self.objects) >= self.size:
                break
            if number % 6 == 5:
                self._stateful(name, f"{tier}-db")
            else:
                self._workload(name, tier, tier)
            if number % 8 == 4:
                self._cron(name, f"{tier}-clean")
            if number % 4 == 1:
                self.add("widgets.example.com/v1", "Widget", tier, name, spec={"size": 3},
                         status={"observedGeneration": 1, "conditions": [_condition("Ready"), _condition("Progressing", status="False")]})  # fmt: skip

    def _template(self, name: str, namespace: str, app: str, *, slim: bool, claim: str = "") -> Resource:
        container: Resource = {
            "name": "main",
            "image": f"registry.example.com/shop/{app if app in _TIERS else _TIERS[len(app) % len(_TIERS)]}:1.4.2",
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "resources": {
                "requests": {"cpu": "50m", "memory": "64Mi"},
                "limits": {"cpu": "1", "memory": "256Mi"},
            },
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "volumeMounts": [],
        }
        spec: Resource = {
            "containers": [container],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "serviceAccountName": "default" if slim else name,
            "securityContext": {"runAsNonRoot": True},
            "volumes": [],
        }
        if not slim:
            container["env"] = [
                {"name": "LEVEL", "value": "info"},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": name, "key": "password"}}},
                {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": name, "key": "mode"}}},
                {
                    "name": "POD_IP",
                    "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}},
                },
            ]
            for field, path in (("readinessProbe", "/ready"), ("livenessProbe", "/live")):
                container[field] = {"httpGet": {"path": path, "port": "http", "scheme": "HTTP"}, "periodSeconds": 10,
                                    "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}  # fmt: skip
            container["volumeMounts"].append({"name": "settings", "mountPath": "/etc/app", "readOnly": True})
            spec["volumes"].append({"name": "settings", "configMap": {"name": name, "defaultMode": 420}})
            spec["imagePullSecrets"] = [{"name": "registry"}]
        if claim:
            container["volumeMounts"].append({"name": "data", "mountPath": "/data"})
        labels = {"app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "shop", "app": name}
        return {
            "metadata": {
                "labels": labels,
                "annotations": {"checksum/config": f"{abs(hash_of(namespace + name)):032x}"},
            },
            "spec": spec,
        }

    def _beside(self, namespace: str, name: str, app: str, *, headless: bool = False) -> None:
        self.add(
            "v1",
            "ConfigMap",
            name,
            namespace,
            data={"mode": "fast", "app.yaml": "listen: 8080\nlevel: info\n" * 8},
        )
        self.add(
            "v1", "Secret", name, namespace, type="Opaque", data={"password": f"{hash_of(name):032x}"[:24]}
        )
        self.add("v1", "ServiceAccount", name, namespace)
        address = f"10.96.{self._number // 250 % 250}.{self._number % 250}"
        self.add("v1", "Service", name, namespace, metadata={"labels": {"app": name}},
                 spec={"type": "ClusterIP", "clusterIP": "None" if headless else address, "clusterIPs": ["None" if headless else address],
                       "selector": {"app": name, "app.kubernetes.io/name": app}, "sessionAffinity": "None",
                       "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]},
                 status={"loadBalancer": {}})  # fmt: skip

    def _workload(self, namespace: str, name: str, app: str, *, slim: bool = False) -> None:
        replicas = self.rng.randint(2, 4)
        template = self._template(name, namespace, app, slim=slim)
        if not slim:
            self._beside(namespace, name, app)
        labels = template["metadata"]["labels"]
        status = {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
                  "availableReplicas": replicas,
                  "conditions": [_condition("Available", reason="MinimumReplicasAvailable"),
                                 _condition("Progressing", reason="NewReplicaSetAvailable")]}  # fmt: skip
        deployment = self.add("apps/v1", "Deployment", name, namespace,
                              metadata={"labels": labels, "generation": 1, "annotations": {"deployment.kubernetes.io/revision": "2"},
                                        "managedFields": _managed("helm")},
                              spec={"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, "revisionHistoryLimit": 2,
                                    "progressDeadlineSeconds": 600, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}},
                              status=status)  # fmt: skip
        for revision, count in ((1, 0), (2, replicas)):
            stamp = f"{hash_of(f'{namespace}/{name}/{revision}'):010x}"[:10]
            made = copy.deepcopy(template)
            made["metadata"]["labels"]["pod-template-hash"] = stamp
            held = {"replicas": count, "observedGeneration": 1}
            if count:
                held |= {"readyReplicas": count, "availableReplicas": count, "fullyLabeledReplicas": count}
            replica_set = self.add("apps/v1", "ReplicaSet", f"{name}-{stamp}", namespace,
                                   metadata={"labels": made["metadata"]["labels"], "generation": 1, "ownerReferences": [_owner(deployment)],
                                             "annotations": {"deployment.kubernetes.io/revision": str(revision)}},
                                   spec={"replicas": count, "selector": {"matchLabels": made["metadata"]["labels"]}, "template": made},
                                   status=held)  # fmt: skip
            for number in range(count):
                self._pod(f"{name}-{stamp}-{number:05d}", namespace, made, replica_set)
        if slim:
            return
        chance = self.rng.random()
        if chance < 0.35:
            self.add("autoscaling/v2", "HorizontalPodAutoscaler", name, namespace,
                     spec={"minReplicas": 2, "maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                           "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]},
                     status={"currentReplicas": replicas, "desiredReplicas": replicas,
                             "conditions": [_condition("AbleToScale"), _condition("ScalingActive"), _condition("ScalingLimited", status="False")]})  # fmt: skip
        if chance > 0.55:
            self.add("policy/v1", "PodDisruptionBudget", name, namespace, metadata={"generation": 1},
                     spec={"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}},
                     status={"currentHealthy": replicas, "desiredHealthy": replicas - 1, "expectedPods": replicas, "disruptionsAllowed": 1,
                             "observedGeneration": 1, "conditions": [_condition("DisruptionAllowed", reason="SufficientPods")]})  # fmt: skip
        if chance > 0.7:
            self.add("networking.k8s.io/v1", "Ingress", name, namespace,
                     spec={"ingressClassName": _CONTROLLER,
                           "rules": [{"host": f"{name}.{namespace}.example.com", "http": {"paths": [
                               {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"name": "http"}}}}]}}]},
                     status={"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}})  # fmt: skip
            self.add("monitoring.coreos.com/v1", "ServiceMonitor", name, namespace,
                     spec={"selector": {"matchLabels": {"app": name}}, "endpoints": [{"port": "http"}]})  # fmt: skip

    def _stateful(self, namespace: str, name: str) -> None:
        template = self._template(name, namespace, name, slim=False, claim="data")
        self._beside(namespace, name, name, headless=True)
        labels = template["metadata"]["labels"]
        owner = self.add("apps/v1", "StatefulSet", name, namespace,
                         metadata={"labels": labels, "generation": 1},
                         spec={"replicas": 2, "serviceName": name, "selector": {"matchLabels": labels}, "template": template,
                               "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                                   "accessModes": ["ReadWriteOnce"], "storageClassName": _CLASS, "resources": {"requests": {"storage": "1Gi"}}}}]},
                         status={"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "currentReplicas": 2, "updatedReplicas": 2,
                                 "availableReplicas": 2, "currentRevision": f"{name}-1", "updateRevision": f"{name}-1"})  # fmt: skip
        for number in range(2):
            claim, volume = f"data-{name}-{number}", f"pvc-{namespace}-{name}-{number}"
            ref = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim}
            self.add("v1", "PersistentVolume", volume,
                     spec={"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": _CLASS,
                           "persistentVolumeReclaimPolicy": "Delete", "csi": {"driver": "csi.example.com", "volumeHandle": volume}, "claimRef": ref},
                     status={"phase": "Bound"})  # fmt: skip
            self.add("v1", "PersistentVolumeClaim", claim, namespace,
                     spec={"accessModes": ["ReadWriteOnce"], "storageClassName": _CLASS, "volumeName": volume,
                           "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem"},
                     status={"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}})  # fmt: skip
            made = copy.deepcopy(template)
            made["metadata"]["labels"] |= {
                "statefulset.kubernetes.io/pod-name": f"{name}-{number}",
                "apps.kubernetes.io/pod-index": str(number),
            }
            made["spec"]["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
            self._pod(f"{name}-{number}", namespace, made, owner)

    def _cron(self, namespace: str, name: str) -> None:
        template = self._template(name, namespace, name, slim=True)
        template["spec"]["restartPolicy"] = "OnFailure"
        owner = self.add("batch/v1", "CronJob", name, namespace,
                         spec={"schedule": "0 * * * *", "concurrencyPolicy": "Forbid", "suspend": False, "successfulJobsHistoryLimit": 1,
                               "failedJobsHistoryLimit": 1, "jobTemplate": {"spec": {"template": template}}},
                         status={"lastScheduleTime": "2026-01-01T12:00:00Z", "lastSuccessfulTime": "2026-01-01T11:00:09Z"})  # fmt: skip
        job = self.add("batch/v1", "Job", f"{name}-29453940", namespace,
                       metadata={"ownerReferences": [_owner(owner)]},
                       spec={"completions": 1, "parallelism": 1, "backoffLimit": 6, "template": template,
                             "selector": {"matchLabels": {"batch.kubernetes.io/job-name": f"{name}-29453940"}}},
                       status={"startTime": "2026-01-01T11:00:00Z", "completionTime": "2026-01-01T11:00:09Z", "succeeded": 1,
                               "conditions": [_condition("SuccessCriteriaMet"), _condition("Complete")]})  # fmt: skip
        pod = self._pod(f"{name}-29453940-x7k2p", namespace, copy.deepcopy(template), job)
        ended = {
            "terminated": {
                "exitCode": 0,
                "reason": "Completed",
                "startedAt": "2026-01-01T11:00:01Z",
                "finishedAt": "2026-01-01T11:00:08Z",
            }
        }
        pod["status"]["phase"] = "Succeeded"
        pod["status"]["conditions"] = [_condition("Initialized"), _condition("Ready", status="False", reason="PodCompleted"),
                                       _condition("ContainersReady", status="False", reason="PodCompleted"), _condition("PodScheduled")]  # fmt: skip
        pod["status"]["containerStatuses"][0] |= {"ready": False, "started": False, "state": ended}

    def _pod(self, name: str, namespace: str, template: Mapping[str, Any], owner: Resource) -> Resource:
        spec = copy.deepcopy(template["spec"])
        node = self.rng.choice(self.nodes)
        spec |= {"nodeName": node, "enableServiceLinks": True, "preemptionPolicy": "PreemptLowerPriority", "priority": 0,
                 "tolerations": [{"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
                                 for key in ("not-ready", "unreachable")]}  # fmt: skip
        spec["volumes"].append({"name": "kube-api-access-9xk2v", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}})  # fmt: skip
        address = f"10.{self._number % 200}.{self._number // 200 % 250}.{self._number % 250}"
        image = spec["containers"][0]["image"]
        status = {
            "phase": "Running", "hostIP": "192.0.2.1", "podIP": address, "podIPs": [{"ip": address}], "startTime": _LONG_AGO, "qosClass": "Burstable",
            "conditions": [_condition(kind) for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")],
            "containerStatuses": [{"name": "main", "image": image, "imageID": f"{image}@sha256:{hash_of(image):064x}", "ready": True, "started": True,
                                   "restartCount": 0, "containerID": f"containerd://{hash_of(namespace + name):064x}", "lastState": {},
                                   "state": {"running": {"startedAt": _LONG_AGO}}}],
        }  # fmt: skip
        pod = self.add("v1", "Pod", name, namespace,
                       metadata={"labels": template["metadata"]["labels"], "annotations": template["metadata"]["annotations"],
                                 "ownerReferences": [_owner(owner)], "managedFields": _managed("kube-controller-manager")},
                       spec=spec, status=status)  # fmt: skip
        if self.rng.random() < 0.15:
            self.event(pod, "Scheduled", f"Successfully assigned {namespace}/{name} to {node}", kind="Normal")
        return pod

    def event(
        self, about: Resource, reason: str, message: str, *, kind: str = "Warning", count: int = 1
    ) -> None:
        """Add a Kubernetes Event about an object."""
        meta = about["metadata"]
        self.add("v1", "Event", f"{meta['name']}.{self._number:016x}", meta.get("namespace", "default"),
                 involvedObject={"apiVersion": about["apiVersion"], "kind": about["kind"], "name": meta["name"],
                                 "namespace": meta.get("namespace", ""), "uid": meta["uid"]},
                 reason=reason, message=message, type=kind, count=count,
                 firstTimestamp="2026-01-01T11:30:00Z", lastTimestamp="2026-01-01T11:58:30Z", source={"component": "kubelet"})  # fmt: skip

    def _whole(self) -> None:
        """Let nothing hang on what the size cut off: the last namespace is dropped but for what stands alone, and space filled with settings."""
        last = self.objects[-1]["metadata"].get("namespace") or "default"
        if last.startswith("team-"):
            gone = {one["metadata"]["uid"] for one in self.objects if _in(one, last)}
            self.objects = [
                one
                for one in self.objects
                if one["metadata"]["uid"] not in gone
                and (one.get("spec") or {}).get("claimRef", {}).get("namespace") != last
            ]
        while len(self.objects) < self.size:
            self.add(
                "v1", "ConfigMap", f"filler-{len(self.objects):06d}", "default", data={"text": "x" * 200}
            )


def _in(one: Mapping[str, Any], namespace: str) -> bool:
    meta = one["metadata"]
    return bool(
        meta.get("namespace") == namespace or (one["kind"] == "Namespace" and meta["name"] == namespace)
    )


def hash_of(text: str) -> int:
    """Return a number that a text always gives."""
    return random.Random(text).getrandbits(120)


def _condition(kind: str, *, status: str = "True", reason: str = "") -> Resource:
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": _LONG_AGO,
        "reason": reason or kind,
        "message": "",
    }


def _owner(one: Resource) -> Resource:
    meta = one["metadata"]
    return {"apiVersion": one["apiVersion"], "kind": one["kind"], "name": meta["name"], "uid": meta["uid"], "controller": True,
            "blockOwnerDeletion": True}  # fmt: skip


def _managed(manager: str) -> list[Resource]:
    fields: Resource = {
        "f:spec": {
            "f:containers": {
                'k:{"name":"main"}': {
                    f"f:{field}": {} for field in (".", "env", "image", "name", "ports", "resources")
                }
            }
        }
    }
    return [
        {
            "manager": manager,
            "operation": "Update",
            "apiVersion": "v1",
            "time": _LONG_AGO,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
    ]


# Faults: each takes a cluster and one of its Deployments, and breaks it as it would be seen


def _pods_of(cluster: Cluster, deployment: Resource) -> Iterator[Resource]:
    labels, space = deployment["spec"]["selector"]["matchLabels"], deployment["metadata"]["namespace"]
    for one in cluster.objects:
        if (
            one["kind"] == "Pod"
            and one["metadata"]["namespace"] == space
            and labels.items() <= one["metadata"]["labels"].items()
        ):
            yield one


def _wait(pod: Resource, reason: str, message: str, **more: Any) -> None:
    status = pod["status"]
    status["phase"] = "Pending" if reason != "CrashLoopBackOff" else "Running"
    for item in status["conditions"]:
        if item["type"] in {"Ready", "ContainersReady"}:
            item["status"] = "False"
    status["containerStatuses"][0] |= {
        "ready": False,
        "started": False,
        "state": {"waiting": {"reason": reason, "message": message}},
        **more,
    }


def _short(deployment: Resource) -> None:
    status = deployment["status"]
    status |= {"readyReplicas": 0, "availableReplicas": 0, "unavailableReplicas": status["replicas"]}
    status["conditions"][0] |= {"status": "False", "reason": "MinimumReplicasUnavailable"}


def _image(cluster: Cluster, deployment: Resource) -> None:
    _short(deployment)
    for pod in _pods_of(cluster, deployment):
        wrong = pod["spec"]["containers"][0]["image"].replace("1.4.2", "1.4.3")
        for one in (pod, deployment["spec"]["template"]):
            one["spec"]["containers"][0]["image"] = wrong
        _wait(pod, "ImagePullBackOff", f'Back-off pulling image "{wrong}"')
        cluster.event(
            pod,
            "Failed",
            f'Failed to pull image "{wrong}": rpc error: code = NotFound desc = {wrong}: not found',
            count=5,
        )


def _crash(cluster: Cluster, deployment: Resource) -> None:
    _short(deployment)
    ended = {
        "terminated": {
            "exitCode": 1,
            "reason": "Error",
            "startedAt": "2026-01-01T11:58:00Z",
            "finishedAt": "2026-01-01T11:58:10Z",
        }
    }
    for pod in _pods_of(cluster, deployment):
        _wait(
            pod,
            "CrashLoopBackOff",
            "back-off 5m0s restarting failed container",
            restartCount=9,
            lastState=ended,
        )
        cluster.event(pod, "BackOff", "Back-off restarting failed container main", count=40)


def _config(cluster: Cluster, deployment: Resource) -> None:
    _short(deployment)
    name, space = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    cluster.objects[:] = [
        one
        for one in cluster.objects
        if (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
        != ("ConfigMap", space, name)
    ]
    for pod in _pods_of(cluster, deployment):
        _wait(pod, "CreateContainerConfigError", f'configmap "{name}" not found')


def _selector(cluster: Cluster, deployment: Resource) -> None:
    name, space = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    for one in cluster.objects:
        if (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) == (
            "Service",
            space,
            name,
        ):
            one["spec"]["selector"]["app"] = f"{name}s"


def _probe(cluster: Cluster, deployment: Resource) -> None:
    _short(deployment)
    for pod in _pods_of(cluster, deployment):
        for item in pod["status"]["conditions"]:
            if item["type"] in {"Ready", "ContainersReady"}:
                item["status"] = "False"
        pod["status"]["containerStatuses"][0]["ready"] = False
        cluster.event(
            pod, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500", count=30
        )


def _unschedulable(cluster: Cluster, deployment: Resource) -> None:
    _short(deployment)
    for pod in _pods_of(cluster, deployment):
        pod["spec"].pop("nodeName")
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "900"
        pod["status"] = {"phase": "Pending", "conditions": [{**_condition("PodScheduled", status="False", reason="Unschedulable"),
                         "message": f"0/{len(cluster.nodes)} nodes are available: {len(cluster.nodes)} Insufficient cpu."}]}  # fmt: skip


FAULTS: Mapping[str, Callable[[Cluster, Resource], None]] = {
    "image": _image,
    "crash": _crash,
    "config": _config,
    "selector": _selector,
    "probe": _probe,
    "unschedulable": _unschedulable,
}
"""What can be wrong with a Deployment, by name."""


def generate(size: int, seed: int = 0, *, faults: float = 0.0) -> list[Resource]:
    """Return about so many objects that belong together; of its Deployments a share (0 to 1) has one of the FAULTS."""
    cluster = Cluster(size, seed)
    names: Sequence[str] = sorted(FAULTS)
    deployments = [
        one
        for one in cluster.objects
        if one["kind"] == "Deployment" and one["metadata"]["namespace"].startswith("team-")
    ]
    for one in cluster.rng.sample(deployments, round(len(deployments) * faults)):
        FAULTS[cluster.rng.choice(names)](cluster, one)
    return cluster.objects


def tick(now: datetime, seconds: float) -> datetime:
    """Return a time so many seconds later."""
    return now + timedelta(seconds=seconds)
