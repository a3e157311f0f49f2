"""What volumes hold, and in which words they are missing."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from fairlead.orchestrate.podenv import Surroundings
from fairlead.orchestrate.podvolumes import (
    Empty,
    Fault,
    File,
    Files,
    Given,
    Host,
    Plan,
    Token,
    needed,
    plan,
    tokens_needed,
)
from fairlead.words import Ref, Resource, Snapshot


def pod(*volumes: dict[str, Any], **spec: Any) -> Resource:
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}},
        "spec": {
            "containers": [{"name": "web", "image": "web:1", "volumeMounts": mounts}],
            "volumes": list(volumes),
            **spec,
        },
    }


def thing(kind: str, name: str, namespace: str = "shop", **rest: Any) -> Resource:
    meta = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **rest}


CONFIG = thing(
    "ConfigMap", "conf", data={"a": "1", "b": "2"}, binaryData={"c": base64.b64encode(b"\0").decode()}
)
SECRET = thing("Secret", "key", data={"p": base64.b64encode(b"pw").decode()})


def only(volume: dict[str, Any], *objects: Resource, **spec: Any) -> Plan:
    given = Given(Snapshot([CONFIG, SECRET, *objects]), Surroundings())
    (found,) = plan(pod({"name": "v", **volume}, **spec), given)
    return found


def fault(volume: dict[str, Any], *objects: Resource) -> str:
    found = only(volume, *objects)
    assert isinstance(found, Fault)
    return found.text.removeprefix('MountVolume.SetUp failed for volume "v" : ')


def files(volume: dict[str, Any], *objects: Resource) -> dict[str, File]:
    found = only(volume, *objects)
    assert isinstance(found, Files), found
    return dict(found.files)


def test_config_maps() -> None:
    assert files({"configMap": {"name": "conf"}}) == {
        "a": File(b"1", 0o644),
        "b": File(b"2", 0o644),
        "c": File(b"\0", 0o644),
    }
    picked = {
        "name": "conf",
        "defaultMode": 0o400,
        "items": [{"key": "a", "path": "x/y"}, {"key": "b", "path": "z", "mode": 0o600}],
    }
    assert files({"configMap": picked}) == {"x/y": File(b"1", 0o400), "z": File(b"2", 0o600)}


def test_secrets() -> None:
    assert files({"secret": {"secretName": "key"}}) == {"p": File(b"pw", 0o644)}


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"configMap": {"name": "gone"}}, 'configmap "gone" not found'),
        ({"secret": {"secretName": "gone"}}, 'secret "gone" not found'),
        (
            {"configMap": {"name": "conf", "items": [{"key": "k", "path": "k"}]}},
            "configmap references non-existent config key: k",
        ),
        (
            {"secret": {"secretName": "key", "items": [{"key": "k", "path": "k"}]}},
            "references non-existent secret key: k",
        ),
        ({"configMap": {"name": "conf", "items": [{"key": "a", "path": "../a"}]}}, "invalid path: ../a"),
        ({"persistentVolumeClaim": {"claimName": "gone"}}, 'persistentvolumeclaim "gone" not found'),
        ({"nfs": {"server": "x", "path": "/"}}, "volumes of type nfs are not supported yet"),
        ({"csi": {"driver": "x"}}, "volumes of type csi are not supported yet"),
        (
            {"emptyDir": {"medium": "HugePages"}},
            'unknown storage medium "HugePages": huge pages are not supported yet',
        ),
    ],
)
def test_faults(volume: dict[str, Any], text: str) -> None:
    assert fault(volume) == text


def test_what_is_optional_may_be_missing() -> None:
    assert files({"configMap": {"name": "gone", "optional": True}}) == {}
    assert files({"secret": {"secretName": "gone", "optional": True}}) == {}
    items = [{"key": "k", "path": "k"}, {"key": "a", "path": "a"}]
    assert list(files({"configMap": {"name": "conf", "optional": True, "items": items}})) == ["a"]


def test_empty_directories() -> None:
    assert only({"emptyDir": {}}) == Empty(name="v")
    memory = only({"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, securityContext={"fsGroup": 7})
    assert memory == Empty(name="v", memory=True, size=1 << 20, group=7)


def test_host_paths() -> None:
    assert only({"hostPath": {"path": "/data", "type": "Directory"}}) == Host(
        name="v", path="/data", type="Directory"
    )


def test_downward_files() -> None:
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {
            "path": "cpu",
            "mode": 0o400,
            "resourceFieldRef": {"containerName": "web", "resource": "requests.cpu"},
        },
    ]
    assert files({"downwardAPI": {"items": items}}) == {
        "labels": File(b'app="web"', 0o644),
        "cpu": File(b"0", 0o400),
    }


def test_projections_join_their_sources() -> None:
    sources = [
        {"configMap": {"name": "conf", "items": [{"key": "a", "path": "a"}]}},
        {"secret": {"name": "key"}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600, "audience": "me"}},
    ]
    volume = {"name": "v", "projected": {"sources": sources, "defaultMode": 0o440}}
    one = pod(volume, serviceAccountName="robot")
    wanted = Token("robot", "me", 600)
    assert tokens_needed(one) == {wanted}
    given = Given(Snapshot([CONFIG, SECRET]), Surroundings(), {wanted: "t"})
    (found,) = plan(one, given)
    assert isinstance(found, Files)
    assert {path: file.body for path, file in found.files.items()} == {
        "a": b"1",
        "p": b"pw",
        "name": b"web-1",
        "token": b"t",
    }
    (lacking,) = plan(one, Given(Snapshot([CONFIG, SECRET]), Surroundings()))
    assert isinstance(lacking, Fault)


def test_claims_lead_to_paths_of_this_machine() -> None:
    claim = {"persistentVolumeClaim": {"claimName": "data"}}
    bound = thing("PersistentVolumeClaim", "data", spec={"volumeName": "pv"}, status={"phase": "Bound"})
    open_one = thing("PersistentVolumeClaim", "data", spec={}, status={"phase": "Pending"})
    path = thing("PersistentVolume", "pv", "", spec={"hostPath": {"path": "/d"}})
    local = thing("PersistentVolume", "pv", "", spec={"local": {"path": "/d"}})
    far = thing("PersistentVolume", "pv", "", spec={"capacity": {}, "nfs": {"server": "x"}})
    assert only(claim, bound, path) == Host(name="v", path="/d", type="DirectoryOrCreate")
    assert only(claim, bound, local) == Host(name="v", path="/d", type="Directory")
    assert "not bound" in fault(claim, open_one)
    assert fault(claim, bound) == 'persistentvolume "pv" not found'
    assert fault(claim, bound, far) == "persistent volumes of type nfs are not supported yet"


def test_volumes_that_nobody_mounts_are_left_alone() -> None:
    one = pod({"name": "v", "emptyDir": {}})
    one["spec"]["volumes"].append({"name": "unused", "secret": {"secretName": "gone"}})
    assert [each.name for each in plan(one, Given(Snapshot(), Surroundings()))] == ["v"]


def test_what_volumes_refer_to() -> None:
    one = pod(
        {"name": "a", "configMap": {"name": "conf"}},
        {"name": "b", "secret": {"secretName": "key"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "d", "projected": {"sources": [{"secret": {"name": "other"}}]}},
    )
    assert needed(one) == {
        Ref("", "ConfigMap", "shop", "conf"),
        Ref("", "Secret", "shop", "key"),
        Ref("", "PersistentVolumeClaim", "shop", "data"),
        Ref("", "Secret", "shop", "other"),
    }
