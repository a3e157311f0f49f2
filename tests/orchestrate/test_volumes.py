"""Volumes and claims: who is bound to whom, and what is told of those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.orchestrate.ephemerals import EPHEMERALS
from fairlead.orchestrate.volumes import CLAIMS, VOLUMES
from fairlead.words import Resource


def claim(name: str = "data", size: str = "1Gi", **spec: Any) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec},
    }


def volume(name: str, size: str = "1Gi", labels: dict[str, str] | None = None, **spec: Any) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, **spec},
    }


def bound(cluster: Any, name: str = "data") -> str:
    found: str = cluster.find("PersistentVolumeClaim", name)["spec"].get("volumeName", "")
    return found


def phase(cluster: Any, name: str) -> str:
    found: str = cluster.find("PersistentVolume", name, namespace="")["status"]["phase"]
    return found


def test_the_smallest_that_is_large_enough_is_bound(cluster: Any) -> None:
    for name, size in (("small", "500Mi"), ("large", "10Gi"), ("right", "2Gi")):
        cluster.add(volume(name, size))
    cluster.add(claim())
    cluster.settle(CLAIMS, VOLUMES)
    assert bound(cluster) == "right"
    found = cluster.find("PersistentVolumeClaim", "data")
    assert found["status"] == {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "2Gi"},
    }
    assert found["metadata"]["annotations"] == {
        "pv.kubernetes.io/bind-completed": "yes",
        "pv.kubernetes.io/bound-by-controller": "yes",
    }
    assert (phase(cluster, "right"), phase(cluster, "small")) == ("Bound", "Available")
    reference = cluster.find("PersistentVolume", "right", namespace="")["spec"]["claimRef"]
    assert reference["uid"] == found["metadata"]["uid"]


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        ({"accessModes": ["ReadWriteMany"]}, {}),
        ({"storageClassName": "fast"}, {}),
        ({}, {"storageClassName": "fast"}),
        ({"volumeMode": "Block"}, {}),
        ({"selector": {"matchLabels": {"tier": "gold"}}}, {}),
        ({}, {"claimRef": {"namespace": "default", "name": "other"}}),
    ],
)
def test_what_does_not_suit_is_not_bound(cluster: Any, wanted: Resource, offered: Resource) -> None:
    cluster.add(volume("v", **offered))
    cluster.add(claim(**wanted))
    cluster.settle(CLAIMS, VOLUMES)
    assert bound(cluster) == ""
    assert cluster.find("PersistentVolumeClaim", "data")["status"]["phase"] == "Pending"


def test_a_reserved_volume_goes_to_its_claim(cluster: Any) -> None:
    cluster.add(volume("small"))
    cluster.add(volume("mine", "5Gi", claimRef={"namespace": "default", "name": "data"}))
    cluster.add(claim())
    cluster.settle(CLAIMS, VOLUMES)
    assert bound(cluster) == "mine"


def test_a_claim_may_name_its_volume(cluster: Any) -> None:
    cluster.add(volume("v"))
    cluster.add(claim(volumeName="v"))
    cluster.add(claim("late", volumeName="v"))
    cluster.settle(CLAIMS, VOLUMES)
    assert cluster.find("PersistentVolumeClaim", "data")["status"]["phase"] == "Bound"
    assert cluster.find("PersistentVolumeClaim", "late")["status"]["phase"] == "Pending"


def test_two_claims_never_share_a_volume(cluster: Any) -> None:
    cluster.add(volume("v"))
    cluster.add(claim("a"))
    cluster.add(claim("b"))
    cluster.settle(CLAIMS, VOLUMES)
    assert sorted([bound(cluster, "a"), bound(cluster, "b")]) == ["", "v"]


def storage_class(provisioner: str) -> Resource:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "fast"},
        "provisioner": provisioner,
    }


@pytest.mark.parametrize(
    ("provisioner", "reason", "message"),
    [
        ("", "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found'),
        (
            "kubernetes.io/no-provisioner",
            "ProvisioningFailed",
            "no volume plugin matched name: kubernetes.io/no-provisioner",
        ),
        (
            "example.com/disk",
            "ExternalProvisioning",
            (
                "Waiting for a volume to be created either by the external provisioner 'example.com/disk' or manually by "
                "the system administrator. If volume creation is delayed, please verify that the provisioner is running "
                "and correctly registered."
            ),
        ),
    ],
)
def test_why_a_class_gives_nothing(cluster: Any, provisioner: str, reason: str, message: str) -> None:
    if provisioner:
        cluster.add(storage_class(provisioner))
    cluster.add(claim(storageClassName="fast"))
    for _ in range(2):
        cluster.settle(CLAIMS, VOLUMES)
    assert cluster.said(reason) == [message]


def test_a_volume_outlives_its_claim(cluster: Any) -> None:
    cluster.add(volume("v"))
    cluster.add(volume("gone", "2Gi", persistentVolumeReclaimPolicy="Delete"))
    for name, size in (("a", "1Gi"), ("b", "2Gi")):
        cluster.add(claim(name, size))
    cluster.settle(CLAIMS, VOLUMES)
    for name in ("a", "b"):
        cluster.remove(cluster.find("PersistentVolumeClaim", name))
    cluster.settle(CLAIMS, VOLUMES)
    assert not cluster.named("PersistentVolumeClaim")
    assert (phase(cluster, "v"), phase(cluster, "gone")) == ("Released", "Failed")
    assert cluster.said("VolumeFailedDelete") == [
        'error getting deleter volume plugin for volume "gone": no deletable volume plugin matched'
    ]


def test_a_volume_that_was_deleted_first_goes_after_its_claim(cluster: Any) -> None:
    made = cluster.add(volume("v"))
    cluster.add(claim())
    cluster.settle(CLAIMS, VOLUMES)
    cluster.remove(cluster.find("PersistentVolume", made["metadata"]["name"], namespace=""))
    cluster.settle(CLAIMS, VOLUMES)
    assert phase(cluster, "v") == "Bound"
    cluster.remove(cluster.find("PersistentVolumeClaim", "data"))
    for _ in range(2):
        cluster.settle(CLAIMS, VOLUMES)
    assert not cluster.named("PersistentVolume")


def test_a_claim_in_use_is_protected(cluster: Any) -> None:
    cluster.add(volume("v"))
    made = cluster.add(claim())
    user = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "nodeName": "one",
            "volumes": [{"name": "x", "persistentVolumeClaim": {"claimName": "data"}}],
            "containers": [],
        },
    }
    pod = cluster.add(user)
    cluster.settle(CLAIMS, VOLUMES)
    cluster.remove(made)
    cluster.settle(CLAIMS, VOLUMES)
    assert cluster.named("PersistentVolumeClaim") == ["data"]
    cluster.vanish(pod)
    cluster.settle(CLAIMS, VOLUMES)
    assert not cluster.named("PersistentVolumeClaim")


def test_a_pod_that_has_no_node_yet_protects_no_claim(cluster: Any) -> None:
    made = cluster.add(claim())
    volumes = [{"name": "x", "persistentVolumeClaim": {"claimName": "data"}}]
    meta = {"name": "p", "namespace": "default"}
    spec = {"volumes": volumes, "containers": []}
    cluster.add({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    cluster.settle(CLAIMS, VOLUMES)
    cluster.remove(made)
    cluster.settle(CLAIMS, VOLUMES)
    assert not cluster.named("PersistentVolumeClaim")


def test_a_claim_whose_volume_is_gone_is_lost(cluster: Any) -> None:
    made = cluster.add(volume("v"))
    cluster.add(claim())
    cluster.settle(CLAIMS, VOLUMES)
    cluster.drop_only(made)
    cluster.settle(CLAIMS)
    assert cluster.find("PersistentVolumeClaim", "data")["status"]["phase"] == "Lost"
    assert cluster.said("ClaimLost") == [
        "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    ]


def test_an_ephemeral_volume_gets_a_claim_of_its_own(cluster: Any) -> None:
    template = {"metadata": {"labels": {"x": "y"}}, "spec": claim()["spec"]}
    for name in ("mine", "blocked"):
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "containers": [],
                "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}],
            },
        }
        cluster.add(body)
    cluster.add(claim("blocked-v"))
    for _ in range(2):
        cluster.settle(EPHEMERALS)
    found = cluster.find("PersistentVolumeClaim", "mine-v")
    assert found["metadata"]["labels"] == {"x": "y"}
    assert found["metadata"]["ownerReferences"][0]["name"] == "mine"
    assert cluster.said("ClaimCreationFailed") == [
        "PVC default/blocked-v was not created for pod default/blocked (pod is not owner)"
    ]
