"""Clusters as their providers leave them: nodes, add-ons, an application and what time has left lying about, for incidents.

For tests. Objects are as a real API server would list them, with owners, statuses, conditions and Events. An incident is data: what is added,
dropped, merged, or how pods of a workload ail. The same data give the same objects. Must never use the clock or the machine it runs on.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import estate_apps
import estate_flavours
from estate_leftovers import leave
from estate_words import (
    CLUSTER,
    VERSIONS,
    Resource,
    ago,
    condition,
    container_status,
    digest,
    is_ready,
    merged,
    named,
    uid,
)


class Estate:
    """One cluster. `objects` are by kind, namespace and name."""

    def __init__(self, flavour: str, apps: Mapping[str, str]) -> None:
        self.flavour = flavour
        self.setup = estate_flavours.FLAVOURS[flavour]
        self.objects: dict[tuple[str, str, str], Resource] = {}
        self.nodes: list[str] = []
        self._meshed: set[str] = set()
        self._ip = 10
        self._events = 0
        for number, node in enumerate(self.setup["nodes"]):
            self._node(number, node)
        spaces = [
            "default",
            "kube-system",
            "kube-public",
            "kube-node-lease",
            *self.setup.get("namespaces", ()),
        ]
        for space in dict.fromkeys([*spaces, *apps]):
            self.space(space)
        for work in self.setup["workloads"]:
            self.work(**work)
        for one in (*estate_flavours.COMMON, *self.setup.get("objects", ())):
            self.add(one)
        for space, app in apps.items():
            for work in estate_apps.APPS[app]["workloads"]:
                self.work(**{"namespace": space, "mesh": bool(self.setup.get("mesh")), **work})
            for one in estate_apps.APPS[app].get("objects", ()):
                self.add(one, space)
        leave(self, next(iter(apps)))

    # Objects

    def add(self, short: Mapping[str, Any], namespace: str = "") -> Resource:
        """Add an object, with what the server would set."""
        one: Resource = {"apiVersion": VERSIONS.get(short["kind"], "v1"), **copy.deepcopy(dict(short))}
        meta = one["metadata"] = {**(one.get("metadata") or {})}
        meta["name"] = one.pop("name", meta.get("name"))
        if one["kind"] not in CLUSTER:
            meta["namespace"] = one.pop("namespace", None) or meta.get("namespace") or namespace or "default"
        meta["uid"] = meta.get("uid") or uid(one["kind"], meta.get("namespace"), meta["name"])
        meta.setdefault("resourceVersion", str(81_000 + len(self.objects)))
        meta.setdefault("creationTimestamp", ago(one.pop("age", "60d")))
        if "deleted" in one:
            meta["deletionTimestamp"] = ago(one.pop("deleted"))
        if "of" in one:
            kind, _, name = one.pop("of").partition("/")
            meta["ownerReferences"] = [{
                "apiVersion": VERSIONS.get(kind, "v1"), "kind": kind, "name": name, "controller": True,
                "blockOwnerDeletion": True, "uid": uid(kind, "" if kind in CLUSTER else meta.get("namespace"), name),
            }]  # fmt: skip
        self.objects[one["kind"], meta.get("namespace", ""), meta["name"]] = one
        return one

    def at(self, place: str) -> Resource:
        """Return the object at `Kind/namespace/name`, or `Kind/name` for cluster scope."""
        kind, *rest = place.split("/")
        return self.objects[kind, rest[0] if len(rest) > 1 else "", rest[-1]]

    def space(self, name: str) -> None:
        """Add a namespace with what every namespace has."""
        self.add({"kind": "Namespace", "name": name, "metadata": {"labels": {"kubernetes.io/metadata.name": name}},
                  "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})  # fmt: skip
        self.add({"kind": "ServiceAccount", "name": "default", "namespace": name})
        self.add({"kind": "ConfigMap", "name": "kube-root-ca.crt", "namespace": name, "data": {"ca.crt": "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"}})  # fmt: skip
        for one in self.setup.get("each namespace", ()):
            self.add(one, name)

    def note(self, about: Resource, reason: str, message: str, *, kind: str = "Normal", count: int = 1, by: str = "kubelet", age: str = "50m", path: str = "") -> None:  # fmt: skip
        """Add an Event about an object, as the component writes it: the scheduler's are of the new kind."""
        meta = about["metadata"]
        self._events += 1
        place = meta.get("namespace") or "default"
        one: Resource = {
            "kind": "Event", "namespace": place, "type": kind, "reason": reason, "message": message,
            "name": f"{meta['name']}.{17_000_000 + self._events:x}",
            "involvedObject": {"apiVersion": about["apiVersion"], "kind": about["kind"], "name": meta["name"],
                               "uid": meta["uid"], "resourceVersion": "81000", **({"namespace": meta["namespace"]} if "namespace" in meta else {}),
                               **({"fieldPath": path} if path else {})},
            "reportingComponent": by, "reportingInstance": "", "age": age,
        }  # fmt: skip
        if by == "default-scheduler":
            one |= {"eventTime": ago(age)[:-1] + ".123456Z", "firstTimestamp": None, "lastTimestamp": None, "action": "Scheduling", "source": {}}  # fmt: skip
            if count > 1:
                one["series"] = {"count": count, "lastObservedTime": ago(age)[:-1] + ".123456Z"}
        else:
            one |= {"eventTime": None, "count": count, "source": {"component": by}, "lastTimestamp": ago(age), "firstTimestamp": ago(age) if count == 1 else ago("2h")}  # fmt: skip
        self.add(one)

    # Nodes

    def _node(self, number: int, node: Mapping[str, Any]) -> None:
        name = node["name"]
        os_name = node.get("os", "linux")
        if not node.get("apart"):
            self.nodes.append(name)
        room = {"cpu": "7910m", "memory": "31483388Ki", "pods": "110", "ephemeral-storage": "95551679124", "hugepages-2Mi": "0", **node.get("room", {})}  # fmt: skip
        self.add({
            "kind": "Node", "name": name,
            "metadata": {"labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": os_name, "kubernetes.io/arch": "amd64",
                                    "topology.kubernetes.io/zone": f"zone-{'abc'[number % 3]}", **node.get("labels", {})},
                         "annotations": {"node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
            "spec": {"podCIDR": f"10.244.{number}.0/24", "providerID": f"cloud:///{name}", **({"taints": node["taints"]} if "taints" in node else {})},
            "status": {
                "capacity": {**room, "cpu": "8"}, "allocatable": room,
                "addresses": [{"type": "InternalIP", "address": f"10.0.{number}.17"}, {"type": "Hostname", "address": name}],
                "conditions": [
                    *({**condition(kind, "False", f"KubeletHasSufficient{kind.removesuffix('Pressure')}", "kubelet has sufficient room"), "lastHeartbeatTime": ago("40s")}
                      for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")),
                    {**condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"), "lastHeartbeatTime": ago("40s")},
                    *(condition(*one) for one in self.setup.get("node conditions", ())),
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                "nodeInfo": {"kubeletVersion": node.get("version", self.setup["version"]), "osImage": self.setup["os"], "kernelVersion": "6.1.115",
                             "containerRuntimeVersion": self.setup["runtime"], "operatingSystem": os_name, "architecture": "amd64"},
                "images": [],
            },
        })  # fmt: skip

    # Workloads

    def work(self, name: str, namespace: str, *, kind: str = "Deployment", image: str = "", port: int = 0, replicas: int = 1,
             template: Mapping[str, Any] | None = None, service: Mapping[str, Any] | bool = True, mesh: bool = False,
             spec: Mapping[str, Any] | None = None, account: str = "", on: Sequence[str] | None = None, age: str = "30d", labels: Mapping[str, str] | None = None) -> None:  # fmt: skip
        """Add a Deployment, StatefulSet or DaemonSet that is well, with its Service, account, ReplicaSets, pods and Events."""
        tags = labels or {"app.kubernetes.io/name": name}
        account = account or name
        self.add({"kind": "ServiceAccount", "name": account, "namespace": namespace})
        container: Resource = {
            "name": name, "image": image or f"ghcr.io/open-apps/{name}:1.12.0", "imagePullPolicy": "IfNotPresent",
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            **({"ports": [{"name": "main", "containerPort": port, "protocol": "TCP"}]} if port else {}),
        }  # fmt: skip
        inner: Resource = {
            "containers": [container], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "serviceAccountName": account,
            "serviceAccount": account, "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30, "securityContext": {},
        }  # fmt: skip
        inner = merged(inner, named(template or {}, name))
        body: Resource = {
            "selector": {"matchLabels": dict(tags)},
            "template": {"metadata": {"labels": dict(tags), "creationTimestamp": None}, "spec": inner},
        }
        if kind != "DaemonSet":
            body["replicas"] = replicas
        if kind == "StatefulSet":
            body["serviceName"] = name
        if kind == "Deployment":
            body["strategy"] = {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
            }
            body |= {"revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
        body = merged(body, spec or {})
        if service and (port or isinstance(service, Mapping)):
            self.add({"kind": "Service", "name": name, "namespace": namespace, "metadata": {"labels": dict(tags)}, "spec": {
                "type": "ClusterIP", "clusterIP": "None" if kind == "StatefulSet" else f"172.20.{len(self.objects) % 250}.{port % 250}", "selector": dict(tags),
                "ports": [{"name": "main", "port": port, "targetPort": port, "protocol": "TCP"}], "sessionAffinity": "None",
                **(service if isinstance(service, Mapping) else {})}, "status": {"loadBalancer": {}}})  # fmt: skip
        top = self.add(
            {
                "kind": kind,
                "name": name,
                "namespace": namespace,
                "metadata": {"labels": dict(tags), "generation": 3},
                "spec": body,
                "status": {},
            }
        )
        if mesh:
            self._meshed.add(top["metadata"]["uid"])
        self._old_sets(top)
        self._pods(top, replicas if kind != "DaemonSet" else 0, on=on, age=age)
        self.tell(top)

    def _old_sets(self, top: Resource) -> None:
        if top["kind"] != "Deployment":
            return
        top["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "3"}
        for revision in (1, 2, 3):
            self._set(top, revision, replicas=0 if revision < 3 else top["spec"]["replicas"])

    def _set(self, top: Resource, revision: int, *, replicas: int, age: str = "30d") -> Resource:
        meta, spec = top["metadata"], copy.deepcopy(top["spec"])
        mark = digest(meta["namespace"], meta["name"], revision)
        if 0 < revision < 3:
            spec["template"]["spec"]["containers"][0]["image"] = (
                spec["template"]["spec"]["containers"][0]["image"].rpartition(":")[0] + f":1.{8 + revision}.0"
            )
        template = spec["template"]
        template["metadata"]["labels"]["pod-template-hash"] = mark
        return self.add({
            "kind": "ReplicaSet", "name": f"{meta['name']}-{mark}", "namespace": meta["namespace"], "of": f"Deployment/{meta['name']}",
            "metadata": {"labels": dict(template["metadata"]["labels"]), "annotations": {"deployment.kubernetes.io/revision": str(revision), "deployment.kubernetes.io/desired-replicas": str(replicas)}},
            "age": age if revision >= 3 else f"{90 - 10 * revision}d",
            "spec": {"replicas": replicas, "selector": {"matchLabels": {**spec["selector"]["matchLabels"], "pod-template-hash": mark}}, "template": template},
            "status": {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas, "fullyLabeledReplicas": replicas, "observedGeneration": 2},
        })  # fmt: skip

    def _pods(
        self, top: Resource, replicas: int, *, on: Sequence[str] | None = None, age: str = "30d"
    ) -> None:
        meta, kind = top["metadata"], top["kind"]
        if kind == "DaemonSet":
            for node in self.nodes if on is None else on:
                self.pod(
                    top,
                    f"{meta['name']}-{digest(meta['name'], node, size=5)}",
                    f"DaemonSet/{meta['name']}",
                    node,
                    age=age,
                )
        elif kind == "StatefulSet":
            for number in range(replicas):
                self.pod(
                    top,
                    f"{meta['name']}-{number}",
                    f"StatefulSet/{meta['name']}",
                    self.nodes[number % len(self.nodes)],
                    age=age,
                )
        else:
            name = self.current(top)["metadata"]["name"]
            for number in range(replicas):
                node = (on or self.nodes)[(number + len(meta["name"])) % len(on or self.nodes)]
                self.pod(top, f"{name}-{digest(name, number, size=5)}", f"ReplicaSet/{name}", node, age=age)

    def current(self, top: Resource) -> Resource:
        """Return the ReplicaSet of a Deployment's latest revision."""
        sets = [one for one in self.controlled(top) if one["kind"] == "ReplicaSet"]
        return max(
            sets, key=lambda one: int(one["metadata"]["annotations"]["deployment.kubernetes.io/revision"])
        )

    def controlled(self, owner: Resource) -> list[Resource]:
        """Return what an object controls directly."""
        return [
            one for one in self.objects.values()
            if any(its["uid"] == owner["metadata"]["uid"] for its in one["metadata"].get("ownerReferences") or ())
        ]  # fmt: skip

    def pods(self, top: Resource) -> list[Resource]:
        """Return the pods that a workload made, itself or through what it controls."""
        found = []
        for one in self.controlled(top):
            found += [one] if one["kind"] == "Pod" else self.pods(one)
        return found

    def pod(self, top: Resource, name: str, owner: str, node: str, *, age: str = "30d") -> Resource:
        """Add a pod that runs and is ready."""
        self._ip += 1
        template = copy.deepcopy(top["spec"]["template"])
        space = top["metadata"]["namespace"]
        if top["metadata"]["uid"] in self._meshed:
            template["spec"] = merged(template["spec"], estate_flavours.SIDECAR)
            template["metadata"]["annotations"] = {
                "sidecar.istio.io/status": '{"initContainers":["istio-init","istio-proxy"],"containers":null}'
            }
        spec = template["spec"]
        labels = dict(template["metadata"]["labels"])
        if owner.startswith("ReplicaSet/"):
            labels["pod-template-hash"] = owner.rpartition("-")[2]
        if top["kind"] == "StatefulSet":
            labels["statefulset.kubernetes.io/pod-name"] = name
            for claim in top["spec"].get("volumeClaimTemplates", ()):
                its = f"{claim['metadata']['name']}-{name}"
                spec.setdefault("volumes", []).append(
                    {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": its}}
                )
                self.claim(its, space, claim["spec"].get("storageClassName", ""))
        token = f"kube-api-access-{digest(name, size=5)}"
        spec.setdefault("volumes", []).append({"name": token, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}, {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}})  # fmt: skip
        for one in (*spec.get("initContainers", ()), *spec["containers"]):
            one.setdefault("volumeMounts", []).append(
                {
                    "name": token,
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                    "readOnly": True,
                }
            )
        spec |= {
            "nodeName": node,
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
            "priority": 0,
            "tolerations": [*spec.get("tolerations", ()), *_TOLERATIONS],
        }
        begun = ago(age)
        running = {"running": {"startedAt": begun}}
        return self.add({
            "kind": "Pod", "name": name, "namespace": space, "of": owner, "age": age, "metadata": {"labels": labels, **({"annotations": template["metadata"]["annotations"]} if "annotations" in template["metadata"] else {}), "generateName": name.rpartition("-")[0] + "-"},
            "spec": spec,
            "status": {
                "phase": "Running", "qosClass": "Burstable", "podIP": f"10.244.{self._ip // 250}.{self._ip % 250}", "hostIP": "10.0.0.17", "startTime": begun,
                "conditions": [condition(kind, "True", age=age) for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")],
                "containerStatuses": [container_status(its, running, ready=True) for its in spec["containers"]],
                **({"initContainerStatuses": [
                    container_status(its, running if its.get("restartPolicy") == "Always" else {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": begun, "finishedAt": begun}}, ready=True)
                    for its in spec["initContainers"]]} if "initContainers" in spec else {}),
            },
        })  # fmt: skip

    def claim(self, name: str, namespace: str, storage: str) -> None:
        """Add a claim that is bound, with its volume."""
        its = storage or self.setup["storage"]
        volume = f"pvc-{uid('PersistentVolumeClaim', namespace, name)}"
        self.add({"kind": "PersistentVolumeClaim", "name": name, "namespace": namespace, "metadata": {"finalizers": ["kubernetes.io/pvc-protection"], "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
                  "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": its, "volumeName": volume, "resources": {"requests": {"storage": "8Gi"}}},
                  "status": {"phase": "Bound", "capacity": {"storage": "8Gi"}, "accessModes": ["ReadWriteOnce"]}})  # fmt: skip
        self.add({"kind": "PersistentVolume", "name": volume, "metadata": {"finalizers": ["kubernetes.io/pv-protection"]},
                  "spec": {"capacity": {"storage": "8Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": its, "persistentVolumeReclaimPolicy": "Delete",
                           "csi": {"driver": self.setup["driver"], "volumeHandle": f"vol-{digest(volume)}"},
                           "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": uid("PersistentVolumeClaim", namespace, name)}},
                  "status": {"phase": "Bound"}})  # fmt: skip

    def tell(self, top: Resource) -> None:
        """Write the status of a workload from its pods."""
        pods = self.pods(top)
        well = sum(1 for one in pods if is_ready(one))
        kind, spec = top["kind"], top["spec"]
        generation = top["metadata"].get("generation", 3)
        if kind == "DaemonSet":
            wanted = len(pods)
            top["status"] = {"currentNumberScheduled": wanted, "desiredNumberScheduled": wanted, "numberAvailable": well, "numberReady": well, "numberMisscheduled": 0, "observedGeneration": generation, "updatedNumberScheduled": wanted}  # fmt: skip
            if well < wanted:
                top["status"]["numberUnavailable"] = wanted - well
            return
        wanted = spec["replicas"]
        status: Resource = {
            "observedGeneration": generation,
            "replicas": len(pods),
            "readyReplicas": well,
            "availableReplicas": well,
            "updatedReplicas": len(pods),
        }
        if kind == "Deployment":
            newest = self.current(top)
            status["updatedReplicas"] = len(self.pods(newest))
            fine = well >= wanted - int(wanted * 0.25)
            done = (
                well >= wanted
                and status["updatedReplicas"] >= wanted
                and all(is_ready(one) for one in self.pods(newest))
            )
            status["conditions"] = [
                condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.") if fine
                else condition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", "20m"),
                condition("Progressing", "True", "NewReplicaSetAvailable", f'ReplicaSet "{newest["metadata"]["name"]}" has successfully progressed.') if done or not self._rolling(top)
                else condition("Progressing", "False", "ProgressDeadlineExceeded", f'ReplicaSet "{newest["metadata"]["name"]}" has timed out progressing.', "10m"),
            ]  # fmt: skip
            for one in self.controlled(top):
                if one["kind"] == "ReplicaSet":
                    mine = self.pods(one)
                    one["status"] |= {
                        "replicas": len(mine),
                        "readyReplicas": sum(map(is_ready, mine)),
                        "availableReplicas": sum(map(is_ready, mine)),
                    }
        if kind == "StatefulSet":
            status |= {
                "currentReplicas": len(pods),
                "currentRevision": f"{top['metadata']['name']}-7b8",
                "updateRevision": f"{top['metadata']['name']}-7b8",
                "collisionCount": 0,
            }
        if well < wanted:
            status["unavailableReplicas"] = wanted - well
        top["status"] = status

    def _rolling(self, top: Resource) -> bool:
        return int(self.current(top)["metadata"]["annotations"]["deployment.kubernetes.io/revision"]) > 3


_TOLERATIONS = [
    {
        "key": f"node.kubernetes.io/{kind}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    }
    for kind in ("not-ready", "unreachable")
]
