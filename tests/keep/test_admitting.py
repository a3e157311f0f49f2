"""Built-in admission: limits, quotas, priorities, classes, service accounts, and the addresses of Services."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from fairlead.keep.errors import Refusal
from fairlead.words import Resource


def with_resources(pod: Resource, **resources: Any) -> Resource:
    pod = deepcopy(pod)
    pod["spec"]["containers"][0]["resources"] = resources
    return pod


class TestPods:
    def test_what_every_pod_gets(self, cluster: Any, pod: Resource) -> None:
        spec = cluster.create("pods", pod)["spec"]
        assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
        assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
        assert [item["key"] for item in spec["tolerations"]] == [
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        ]

    def test_service_accounts(self, cluster: Any, pod: Resource) -> None:
        pod["spec"]["serviceAccountName"] = "robot"
        with pytest.raises(Refusal) as refused:
            cluster.create("pods", deepcopy(pod))
        assert refused.value.message == (
            'pods "web" is forbidden: error looking up service account default/robot: serviceaccount "robot" not found'
        )
        account = {"metadata": {"name": "robot"}, "imagePullSecrets": [{"name": "key"}]}
        cluster.create("serviceaccounts", account)
        assert cluster.create("pods", pod)["spec"]["imagePullSecrets"] == [{"name": "key"}]

    def test_tokens_are_mounted_unless_nobody_wants_them(self, cluster: Any, pod: Resource) -> None:
        spec = cluster.create("pods", deepcopy(pod), dry_run=True)["spec"]
        (volume,) = spec["volumes"]
        assert volume["name"].startswith("kube-api-access-")
        assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
            "serviceAccountToken",
            "configMap",
            "downwardAPI",
        ]
        assert spec["containers"][0]["volumeMounts"] == [
            {
                "name": volume["name"],
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }
        ]
        pod["spec"]["automountServiceAccountToken"] = False
        assert "volumes" not in cluster.create("pods", pod)["spec"]

    def test_priorities(self, cluster: Any, pod: Resource) -> None:
        pod["spec"]["priorityClassName"] = "high"
        with pytest.raises(
            Refusal, match='pods "web" is forbidden: no PriorityClass with name high was found'
        ):
            cluster.create("pods", deepcopy(pod))
        classes = "priorityclasses.scheduling.k8s.io"
        cluster.create(classes, {"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"})
        spec = cluster.create("pods", deepcopy(pod))["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (7, "Never")
        pod["spec"]["priority"] = 8
        with pytest.raises(
            Refusal, match=r"the integer value of priority \(8\) must not be provided in pod spec"
        ):
            cluster.create("pods", pod)

    def test_the_default_priority(self, cluster: Any, pod: Resource) -> None:
        classes = "priorityclasses.scheduling.k8s.io"
        cluster.create(classes, {"metadata": {"name": "usual"}, "value": 3, "globalDefault": True})
        assert cluster.create("pods", pod)["spec"]["priorityClassName"] == "usual"
        with pytest.raises(Refusal, match="PriorityClass usual is already marked as default"):
            cluster.create(classes, {"metadata": {"name": "other"}, "value": 4, "globalDefault": True})

    def test_runtime_classes(self, cluster: Any, pod: Resource) -> None:
        pod["spec"]["runtimeClassName"] = "gvisor"
        with pytest.raises(Refusal) as refused:
            cluster.create("pods", deepcopy(pod))
        assert refused.value.message == (
            'pods "web" is forbidden: pod rejected: RuntimeClass "gvisor" not found'
        )
        pod["spec"]["runtimeClassName"] = "wasm"
        assert cluster.create("pods", pod)["spec"]["runtimeClassName"] == "wasm"


def test_limit_ranges(cluster: Any, pod: Resource) -> None:
    limits = [
        {
            "type": "Container",
            "default": {"cpu": "500m", "memory": "256Mi"},
            "defaultRequest": {"cpu": "100m"},
            "max": {"cpu": "1"},
            "min": {"memory": "64Mi"},
        },
        {"type": "Pod", "max": {"memory": "1Gi"}},
    ]
    cluster.create("limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    made = cluster.create("pods", deepcopy(pod))
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "100m", "memory": "256Mi"},
        "limits": {"cpu": "500m", "memory": "256Mi"},
    }
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"].startswith(
        "LimitRanger plugin set: "
    )
    too_much = with_resources(pod, limits={"cpu": "2", "memory": "2Gi"}, requests={"memory": "32Mi"})
    too_much["metadata"]["name"] = "big"
    with pytest.raises(Refusal) as refused:
        cluster.create("pods", too_much)
    assert refused.value.message == (
        'pods "big" is forbidden: [minimum memory usage per Container is 64Mi, but request is 32Mi, '
        "maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Pod is 1Gi, but limit is 2Gi]"
    )


class TestQuotas:
    def quota(self, cluster: Any, **hard: str) -> None:
        named = {name.replace("_", "."): value for name, value in hard.items()}
        cluster.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": named}})

    def test_objects_are_counted_as_they_are_made(self, cluster: Any) -> None:
        self.quota(cluster, configmaps="2", secrets="1")
        for name in ("a", "b"):
            cluster.create("configmaps", {"metadata": {"name": name}})
        assert cluster.get("resourcequotas", "q")["status"] == {
            "hard": {"configmaps": "2", "secrets": "1"},
            "used": {"configmaps": "2", "secrets": "0"},
        }
        with pytest.raises(Refusal) as refused:
            cluster.create("configmaps", {"metadata": {"name": "c"}})
        assert refused.value.code == 403
        assert refused.value.message == (
            'configmaps "c" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, '
            "limited: configmaps=2"
        )

    def test_pods_must_say_what_they_want(self, cluster: Any, pod: Resource) -> None:
        self.quota(cluster, requests_cpu="1", limits_memory="1Gi", pods="5")
        with pytest.raises(Refusal) as refused:
            cluster.create("pods", deepcopy(pod))
        assert refused.value.message == (
            'pods "web" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c'
        )
        made = with_resources(pod, requests={"cpu": "600m"}, limits={"memory": "512Mi"})
        cluster.create("pods", deepcopy(made))
        assert cluster.get("resourcequotas", "q")["status"]["used"] == {
            "requests.cpu": "600m",
            "limits.memory": "512Mi",
            "pods": "1",
        }
        made["metadata"]["name"] = "two"
        with pytest.raises(Refusal) as refused:
            cluster.create("pods", made)
        assert refused.value.message == (
            'pods "two" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, '
            "limited: requests.cpu=1"
        )

    def test_a_dry_run_counts_nothing(self, cluster: Any) -> None:
        self.quota(cluster, configmaps="2")
        cluster.create("configmaps", {"metadata": {"name": "a"}}, dry_run=True)
        assert cluster.get("resourcequotas", "q").get("status") == {}

    def test_scopes(self, cluster: Any, pod: Resource) -> None:
        spec = {"hard": {"pods": "0"}, "scopes": ["BestEffort"]}
        cluster.create("resourcequotas", {"metadata": {"name": "q"}, "spec": spec})
        with pytest.raises(Refusal, match="exceeded quota: q, requested: pods=1"):
            cluster.create("pods", deepcopy(pod))
        cluster.create("pods", with_resources(pod, requests={"cpu": "1m"}))


def test_default_classes(cluster: Any) -> None:
    marked = {"storageclass.kubernetes.io/is-default-class": "true"}
    for name in ("old", "new"):
        meta = {"name": name, "annotations": dict(marked)}
        cluster.create("storageclasses.storage.k8s.io", {"metadata": meta, "provisioner": "a.io/b"})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert (
        cluster.create("persistentvolumeclaims", {"metadata": {"name": "p"}, "spec": spec})["spec"][
            "storageClassName"
        ]
        == "new"
    )
    meta = {"name": "front", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}
    cluster.create("ingressclasses.networking.k8s.io", {"metadata": meta, "spec": {"controller": "a.io/b"}})
    backend = {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
    ingress = cluster.create("ingresses.networking.k8s.io", {"metadata": {"name": "i"}, "spec": backend})
    assert ingress["spec"]["ingressClassName"] == "front"


class TestServices:
    def make(self, cluster: Any, name: str, **spec: Any) -> Resource:
        ports = [{"port": 80, "protocol": "TCP"}]
        made: Resource = cluster.create(
            "services", {"metadata": {"name": name}, "spec": {"ports": ports, **spec}}
        )
        return made

    def test_addresses(self, cluster: Any) -> None:
        assert cluster.get("services", "kubernetes")["spec"]["clusterIP"] == "10.96.0.1"
        spec = self.make(cluster, "a")["spec"]
        assert spec["clusterIP"].startswith("10.96.")
        assert spec["clusterIPs"] == [spec["clusterIP"]]
        assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
        with pytest.raises(Refusal) as refused:
            self.make(cluster, "b", clusterIP="10.96.0.1")
        assert refused.value.message == (
            'Service "b" is invalid: spec.clusterIPs: Invalid value: []string{"10.96.0.1"}: failed to allocate IP '
            "10.96.0.1: provided IP is already allocated"
        )
        with pytest.raises(Refusal, match=r"The range of valid IPs is 10\.96\.0\.0/16"):
            self.make(cluster, "b", clusterIP="192.168.0.1")
        assert self.make(cluster, "b", clusterIP="None", selector={"a": "b"})["spec"]["clusterIPs"] == [
            "None"
        ]

    def test_an_address_is_free_again_after_its_service(self, cluster: Any) -> None:
        self.make(cluster, "a", clusterIP="10.96.7.7")
        cluster.delete("services", "a")
        assert self.make(cluster, "b", clusterIP="10.96.7.7")["spec"]["clusterIP"] == "10.96.7.7"

    def test_an_update_keeps_them(self, cluster: Any) -> None:
        made = self.make(cluster, "a", type="NodePort")
        new = deepcopy(made)
        new["spec"] = {"ports": [{"port": 80}, {"port": 81, "name": "b"}], "type": "NodePort"}
        new["spec"]["ports"][0]["name"] = "a"
        changed = cluster.update("services", new)["spec"]
        assert changed["clusterIP"] == made["spec"]["clusterIP"]
        assert changed["ports"][0]["nodePort"] == made["spec"]["ports"][0]["nodePort"]
        assert changed["ports"][1]["nodePort"] in range(30000, 32768)
        plain = cluster.patch("services", "a", {"spec": {"type": "ClusterIP"}})["spec"]
        assert all("nodePort" not in port for port in plain["ports"])
        outside = cluster.patch("services", "a", {"spec": {"type": "ExternalName", "externalName": "a.io"}})
        assert "clusterIP" not in outside["spec"]

    def test_node_ports(self, cluster: Any) -> None:
        self.make(cluster, "a", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
        for number, text in (
            (30080, "provided port is already allocated"),
            (80, "provided port is not in the valid range. The range of valid ports is 30000-32767"),
        ):
            with pytest.raises(Refusal) as refused:
                self.make(cluster, "b", type="NodePort", ports=[{"port": 80, "nodePort": number}])
            assert refused.value.message == (
                f'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: {number}: {text}'
            )

    def test_a_rollback_frees_what_was_taken(self, cluster: Any) -> None:
        kind, world = cluster.kind("services"), cluster.world
        body = {"metadata": {"name": "a"}, "spec": {"clusterIP": "10.96.9.9", "ports": [{"port": 80}]}}
        world.create(kind, "default", deepcopy(body), cluster.request())
        copy = world.fork()
        copy.create(kind, "default", deepcopy(body), cluster.request())
        world.rollback()
        assert cluster.create("services", body)["spec"]["clusterIP"] == "10.96.9.9"
