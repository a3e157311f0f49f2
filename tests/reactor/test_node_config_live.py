"""What pods are given on a real node: settings, volumes, images, rights, probes, and what they are told when it is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.kubectl, pytest.mark.slow]


def _config(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _secret(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def _from(kind: str, name: str, key: str) -> dict[str, Any]:
    return {"name": "VALUE", "valueFrom": {f"{kind}KeyRef": {"name": name, "key": key}}}


def _mount(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "mountPath": path, **more}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("host")
    (folder / "there").mkdir()
    (folder / "there" / "file").write_text("of the host\n")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _cast(space: Any, host: Path) -> None:
    c, p = space.container, space.pod
    downward = [
        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {
            "path": "cpu",
            "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"},
        },
    ]
    projected = [
        {"configMap": {"name": "settings", "items": [{"key": "color", "path": "deep/color"}]}},
        {"secret": {"name": "keys"}},
        {"downwardAPI": {"items": downward[:1]}},
    ]

    def image(name: str, what: str, **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = p(name, {"name": "main", "image": what, "command": ["sleep", "1000"], **more})
        return made

    space.apply(_config("settings", color="blue", size="9"), _secret("keys", password="s3cret"))
    space.apply(
        p("env", c("env; sleep 1000", env=[
            {"name": "DOUBLE", "value": "$(PRE_color)$(PRE_color)"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            _from("secret", "keys", "password")],
            envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "PRE_"}],
            resources={"limits": {"cpu": "250m", "memory": "64Mi"}})),
        p("files", c("sleep 1000", volumeMounts=[
            _mount("settings", "/settings"), _mount("keys", "/keys"), _mount("shared", "/shared"),
            _mount("fields", "/fields"), _mount("all", "/all"), _mount("settings", "/only/color", subPath="color"),
            _mount("shared", "/part", subPath="inner/part"), _mount("fast", "/fast"), _mount("host", "/host")],
            resources={"limits": {"cpu": "250m", "memory": "64Mi"}}),
          c("echo from beside > /shared/said; sleep 1000", name="beside", volumeMounts=[_mount("shared", "/shared")]),
          volumes=[{"name": "settings", "configMap": {"name": "settings"}},
                   {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
                   {"name": "shared", "emptyDir": {}}, {"name": "fast", "emptyDir": {"medium": "Memory"}},
                   {"name": "fields", "downwardAPI": {"items": downward}},
                   {"name": "all", "projected": {"sources": projected}},
                   {"name": "host", "hostPath": {"path": str(host / "there"), "type": "Directory"}}]),
        p("no-map", c("sleep 1000", env=[_from("configMap", "later", "key")])),
        p("no-key", c("sleep 1000", env=[_from("secret", "keys", "nothing")])),
        p("no-volume", c("cat /v/key; echo; sleep 1000", volumeMounts=[_mount("v", "/v")]),
          volumes=[{"name": "v", "secret": {"secretName": "later"}}]),
        p("no-host", c(volumeMounts=[_mount("h", "/h")]),
          volumes=[{"name": "h", "hostPath": {"path": str(host / "absent"), "type": "Directory"}}]),
        image("pull", "registry.invalid/none:1"),
        image("never", "test/absent:1", imagePullPolicy="Never"),
        image("bad-name", "Not A Name"),
        image("root", c()["image"], securityContext={"runAsNonRoot": True}),
        image("named", "test/named:1", securityContext={"runAsNonRoot": True}),
        image("nobody", "test/nobody:1", securityContext={"runAsNonRoot": True}),
        p("ready-later", c("sleep 1000", readinessProbe={"exec": {"command": ["test", "-e", "/tmp/ready"]},
                                                         "periodSeconds": 1})),
        p("well", c("mkdir /www; echo fine > /www/ok; httpd -f -p 8080 -h /www",
                    ports=[{"name": "web", "containerPort": 8080}],
                    startupProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    readinessProbe={"httpGet": {"path": "/ok", "port": "web"}, "periodSeconds": 1},
                    livenessProbe={"httpGet": {"path": "/ok", "port": "web"}, "periodSeconds": 1})),
        p("ill", c("trap 'exit 0' TERM; touch /tmp/ok; sleep 2; rm /tmp/ok; while true; do sleep 0.1; done",
                   livenessProbe={"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1,
                                  "initialDelaySeconds": 1})),
        p("not-found", c("mkdir /www; httpd -f -p 8080 -h /www",
                         readinessProbe={"httpGet": {"path": "/no", "port": 8080}, "periodSeconds": 1})),
    )  # fmt: skip


def test_environment(space: Any) -> None:
    status = space.until("env", space.ready)
    lines = space.kubectl("logs", "env").splitlines()
    for wanted in ("PRE_color=blue", "PRE_size=9", "DOUBLE=blueblue", "POD=env", f"IP={status['podIP']}", "CPU=250",
                   "VALUE=s3cret", "KUBERNETES_SERVICE_HOST=10.96.0.1", "HOSTNAME=env"):  # fmt: skip
        assert wanted in lines
    assert status["qosClass"] == "Guaranteed"


def test_volumes(space: Any, host: Path) -> None:
    space.until("files", space.ready)

    def cat(path: str) -> str:
        return str(space.kubectl("exec", "files", "-c", "main", "--", "cat", path))

    assert cat("/settings/color") == "blue"
    assert cat("/keys/password") == "s3cret"
    assert "-r--------" in space.kubectl("exec", "files", "-c", "main", "--", "ls", "-lL", "/keys/password")
    assert cat("/shared/said") == "from beside\n"
    assert cat("/fields/name") == "files"
    assert cat("/fields/labels") == 'app="files"'
    assert cat("/fields/cpu") == "250"
    assert cat("/all/deep/color") == "blue"
    assert (cat("/all/password"), cat("/all/name")) == ("s3cret", "files")
    assert cat("/only/color") == "blue"
    assert cat("/host/file") == "of the host\n"
    assert " tmpfs " in space.kubectl("exec", "files", "-c", "main", "--", "grep", " /fast ", "/proc/mounts")
    space.kubectl("exec", "files", "-c", "main", "--", "touch", "/part/made", "/host/made", "/fast/made")
    assert space.kubectl("exec", "files", "-c", "beside", "--", "ls", "/shared/inner/part") == "made\n"
    assert (host / "there" / "made").exists()
    assert "Read-only" in space.run("exec", "files", "-c", "main", "--", "touch", "/settings/x").stderr


def test_a_mounted_config_map_changes_while_it_is_mounted(space: Any) -> None:
    space.until("files", space.ready)
    space.apply(_config("settings", color="red", size="9"))
    look = ("exec", "files", "-c", "main", "--", "cat", "/settings/color", "/all/deep/color")
    space.platform.eventually(lambda: space.kubectl(*look) == "redred")
    space.kubectl("label", "pod", "files", "tier=front")
    labels = ("exec", "files", "-c", "main", "--", "cat", "/fields/labels")
    space.platform.eventually(lambda: space.kubectl(*labels) == 'app="files"\ntier="front"')


def test_a_missing_setting_is_told_and_its_coming_is_noticed(space: Any) -> None:
    status = space.until("no-map", lambda s: space.waits(s) == "CreateContainerConfigError")
    assert space.state(status)["waiting"]["message"] == 'configmap "later" not found'
    space.was_told("no-map", "Failed", 'Error: configmap "later" not found')
    status = space.until("no-key", lambda s: space.waits(s) == "CreateContainerConfigError")
    wanted = f"couldn't find key nothing in Secret {space.name}/keys"
    assert space.state(status)["waiting"]["message"] == wanted
    space.was_told(
        "no-volume", "FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "later" not found'
    )
    assert space.waits(space.status("no-volume")) == "ContainerCreating"
    space.apply(
        _config("later", key="x"), _secret("later", key="at last"), _secret("keys", password="p", nothing="n")
    )
    space.until("no-map", space.ready)
    space.until("no-key", space.ready)
    space.until("no-volume", space.ready)
    space.platform.eventually(lambda: space.kubectl("logs", "no-volume") == "at last\n")


def test_a_path_of_the_host_that_is_not_there(space: Any, host: Path) -> None:
    space.was_told(
        "no-host", "FailedMount", f"hostPath type check failed: {host / 'absent'} is not a directory"
    )
    (host / "absent").mkdir()
    space.until("no-host", space.ready)


def test_images_that_cannot_be_had(space: Any) -> None:
    status = space.until("pull", lambda s: space.waits(s) == "ImagePullBackOff")
    assert space.state(status)["waiting"]["message"].startswith(
        'Back-off pulling image "registry.invalid/none:1"'
    )
    assert status["phase"] == "Pending"
    space.was_told("pull", "Failed", 'Failed to pull image "registry.invalid/none:1": ')
    space.was_told("pull", "Failed", "Error: ErrImagePull")
    assert "trying and failing to pull image" in space.run("logs", "pull").stderr
    space.until("never", lambda s: space.waits(s) == "ErrImageNeverPull")
    space.was_told("never", "ErrImageNeverPull", "is not present with pull policy of Never")
    space.until("bad-name", lambda s: space.waits(s) == "InvalidImageName")
    space.was_told("bad-name", "InspectFailed", "couldn't parse image name")


def test_who_may_not_be_root(space: Any) -> None:
    status = space.until("root", lambda s: space.waits(s) == "CreateContainerConfigError")
    assert (
        "container has runAsNonRoot and image will run as root" in space.state(status)["waiting"]["message"]
    )
    status = space.until("named", lambda s: space.waits(s) == "CreateContainerConfigError")
    assert "image has non-numeric user (web)" in space.state(status)["waiting"]["message"]
    space.until("nobody", space.ready)
    assert space.kubectl("exec", "nobody", "--", "id", "-u") == "65534\n"


def test_readiness(space: Any) -> None:
    status = space.until("ready-later", lambda s: "running" in space.state(s))
    assert not space.ready(status)
    space.was_told("ready-later", "Unhealthy", "Readiness probe failed: ")
    space.kubectl("exec", "ready-later", "--", "touch", "/tmp/ready")
    space.until("ready-later", space.ready)
    space.kubectl("exec", "ready-later", "--", "rm", "/tmp/ready")
    status = space.until("ready-later", lambda s: not space.ready(s))
    assert status["containerStatuses"][0]["restartCount"] == 0
    space.until("well", space.ready)
    space.was_told("not-found", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404")


def test_a_failing_liveness_probe_starts_the_container_again(space: Any) -> None:
    status = space.until("ill", lambda s: s["containerStatuses"][0]["restartCount"] >= 1)
    assert status["phase"] == "Running"
    space.was_told("ill", "Killing", "Container main failed liveness probe, will be restarted")
    assert space.status("well")["containerStatuses"][0]["restartCount"] == 0


def test_a_claim_with_a_volume_of_the_host(space: Any, host: Path) -> None:
    volume = {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"pv-{space.name}"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
                 "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": str(host / "pv")}},
    }  # fmt: skip
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
                 "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    keeper = space.container("echo kept >> /data/file; sleep 1000", volumeMounts=[_mount("data", "/data")])
    pod = space.pod(
        "keeper", keeper, volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "claim"}}]
    )
    try:
        space.apply(volume, claim, pod)
        space.until("keeper", space.ready)
        space.kubectl("delete", "pod", "keeper")
        space.apply(pod)
        space.until("keeper", space.ready)
        assert space.kubectl("exec", "keeper", "--", "cat", "/data/file") == "kept\nkept\n"
    finally:
        space.kubectl("delete", "pv", f"pv-{space.name}", "--wait=false")


def test_wasm_pods(space: Any) -> None:
    def guest(name: str, image: str, **more: Any) -> dict[str, Any]:
        main = {"name": "main", "image": image, **more}
        policy = "Always" if name == "w-again" else "Never"
        made: dict[str, Any] = space.pod(name, main, runtimeClassName="wasm", restartPolicy=policy)
        return made

    space.apply(
        guest("w-ok", "test/ok:1"),
        guest("w-seven", "test/seven:1"),
        guest("w-again", "test/seven:1"),
        guest("w-forever", "test/forever:1"),
        guest("w-hog", "test/hog:1", resources={"limits": {"memory": "16Mi", "cpu": "1"}}),
        guest("w-absent", "test/none:1"),
    )
    space.until("w-ok", lambda s: s.get("phase") == "Succeeded")
    assert space.kubectl("logs", "w-ok") == "hello from wasm\n"
    status = space.until("w-seven", lambda s: s.get("phase") == "Failed")
    assert space.state(status)["terminated"]["exitCode"] == 7
    assert status["containerStatuses"][0]["containerID"].startswith("wasmtime://")
    space.until("w-again", lambda s: s["containerStatuses"][0]["restartCount"] >= 1)
    status = space.until("w-hog", lambda s: s.get("phase") == "Failed")
    assert space.state(status)["terminated"]["reason"] == "OOMKilled"
    status = space.until("w-absent", lambda s: space.waits(s) in {"ErrImagePull", "ImagePullBackOff"})
    space.until("w-forever", space.ready)
    assert "not supported" in space.run("exec", "w-forever", "--", "ls").stderr
    space.kubectl("delete", "pod", "w-forever", "w-again")
    space.platform.eventually(lambda: not space.platform.processes("w-forever"))
    assert json.loads(space.kubectl("get", "pods", "-o", "json"))["items"]
