"""The life of one pod on a node, against a runtime in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fairlead.orchestrate.runtimes import ExecResult, StartFailed
from fairlead.words import Resource


def pod(*containers: Mapping[str, Any], **spec: Any) -> Resource:
    """A pod as the API would have defaulted it; one container `web` unless others are given."""
    listed = [
        {"terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent", **each}
        for each in containers or ({"name": "web", "image": "web:1"},)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "uid": "u1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"restartPolicy": "Always", "terminationGracePeriodSeconds": 5, "containers": listed, **spec},
        "status": {"phase": "Pending"},
    }


def test_a_pod_runs(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.enter(pod())
            await on.until(lambda: on.container().get("ready"))
            assert on.status["phase"] == "Running"
            assert on.status["podIP"] == "127.0.0.1"
            assert {each["type"]: each["status"] for each in on.status["conditions"]} == {
                "PodReadyToStartContainers": "True",
                "Initialized": "True",
                "Ready": "True",
                "ContainersReady": "True",
                "PodScheduled": "True",
            }
            await on.until(lambda: on.api.said("Started"))
            assert on.api.said("Pulled") == ['Container image "web:1" already present on machine']
            assert on.api.said("Created") == ["Created container: web"]

    asyncio.run(play())


def test_a_crash_loop_backs_off_and_keeps_the_last_exit(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.script["web"] = 3
            on.enter(pod())
            await on.until(lambda: on.waits() == "CrashLoopBackOff" and on.container()["restartCount"] >= 2)
            assert on.container()["lastState"]["terminated"]["exitCode"] == 3
            assert on.status["phase"] == "Running"
            assert on.api.said("BackOff")[0] == (
                "Back-off restarting failed container web in pod web-1_shop(u1)"
            )
            assert len([each for each in on.actors.containers.values() if each.name == "web"]) <= 2

    asyncio.run(play())


def test_an_image_that_cannot_be_pulled_backs_off_and_comes_when_it_can(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.enter(pod({"name": "web", "image": "far:1", "imagePullPolicy": "IfNotPresent"}))
            await on.until(lambda: on.waits() == "ImagePullBackOff")
            assert on.container()["state"]["waiting"]["message"] == (
                'Back-off pulling image "far:1": ErrImagePull: far:1: not found'
            )
            assert on.status["phase"] == "Pending"
            assert "ErrImagePull" in {
                each["containerStatuses"][0]["state"].get("waiting", {}).get("reason")
                for each in on.api.statuses
                if each.get("containerStatuses")
            }
            on.actors.registry.add("far:1")
            await on.until(lambda: on.container().get("ready"))
            assert on.api.said("Failed")[:2] == [
                'Failed to pull image "far:1": far:1: not found',
                "Error: ErrImagePull",
            ]

    asyncio.run(play())


def test_a_missing_config_map_is_told_and_its_coming_is_noticed(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "a"}}}]
            on.enter(pod({"name": "web", "image": "web:1", "env": env}))
            await on.until(lambda: on.waits() == "CreateContainerConfigError")
            assert on.container()["state"]["waiting"]["message"] == 'configmap "conf" not found'
            conf = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"namespace": "shop", "name": "conf"},
                "data": {"a": "1"},
            }
            on.node.view.put(conf)
            assert on.work is not None
            on.work.mounts.stale = True
            on.work.wake.set()
            await on.until(lambda: on.container().get("ready"))
            assert dict(on.actors.plans[on.actors.one("web").id].env)["A"] == "1"

    asyncio.run(play())


def test_a_volume_that_cannot_be_mounted_holds_the_pod_up(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            mounts = [{"name": "conf", "mountPath": "/etc/conf"}]
            one = pod({"name": "web", "image": "web:1", "volumeMounts": mounts})
            one["spec"]["volumes"] = [{"name": "conf", "secret": {"secretName": "gone"}}]
            on.enter(one)
            await on.until(lambda: on.api.said("FailedMount"))
            assert on.api.said("FailedMount")[0] == (
                'MountVolume.SetUp failed for volume "conf" : secret "gone" not found'
            )
            await on.until(lambda: on.waits() == "ContainerCreating")
            assert not on.actors.sandboxes

    asyncio.run(play())


def test_a_sandbox_that_cannot_be_made_is_told_and_tried_again(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.refuse_sandbox = StartFailed("FailedCreatePodSandBox", "no network")
            on.enter(pod())
            await on.until(lambda: on.api.said("FailedCreatePodSandBox"))
            assert on.api.said("FailedCreatePodSandBox")[0] == "Failed to create pod sandbox: no network"
            await on.until(lambda: on.waits() == "ContainerCreating")
            on.actors.refuse_sandbox = None
            await on.until(lambda: on.container().get("ready"))

    asyncio.run(play())


def test_a_container_that_cannot_start_waits_and_does_not_spin(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.refuse_start["web"] = StartFailed("CreateContainerError", "no such program")
            on.enter(pod())
            await on.until(lambda: on.waits() == "CreateContainerError")
            assert on.container()["state"]["waiting"]["message"] == "no such program"
            assert on.api.said("Failed") == ["Error: no such program"]
            del on.actors.refuse_start["web"]
            await on.until(lambda: on.container().get("ready"), 15)

    asyncio.run(play())


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (4, "Failed")])
def test_a_pod_that_never_restarts_ends(stage: Any, tmp_path: Path, code: int, phase: str) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.script["web"] = code
            on.enter(pod(restartPolicy="Never"))
            await on.until(lambda: on.status.get("phase") == phase)
            assert on.container()["state"]["terminated"]["exitCode"] == code
            await on.until(lambda: not any(each.ready for each in on.actors.sandboxes.values()))
            assert len(on.actors.containers) == 1

    asyncio.run(play())


def test_init_containers_come_first_and_sidecars_stay(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.script["setup"] = 0
            init = [
                {"name": "setup", "image": "setup:1"},
                {"name": "side", "image": "side:1", "restartPolicy": "Always"},
            ]
            on.enter(pod(initContainers=init, restartPolicy="Never"))
            await on.until(lambda: on.container().get("ready"))
            order = [on.actors.plans[each.id].name for each in on.actors.containers.values()]
            assert order == ["setup", "side", "web"]
            on.actors.end(on.actors.one("web").id, 0)
            await on.until(lambda: on.status.get("phase") == "Succeeded")
            assert on.actors.one("side").state == "exited"

    asyncio.run(play())


def test_deletion_gives_the_grace_tells_the_end_and_takes_the_object_away(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.enter(pod())
            await on.until(lambda: on.container().get("ready"))
            on.change("web-1", deletionTimestamp="2026-01-01T00:01:00Z", deletionGracePeriodSeconds=7)
            await on.until(lambda: not on.api.pods)
            assert on.actors.stops == [("web", 7.0)]
            assert on.api.statuses[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
            await on.until(lambda: on.task is not None and on.task.done())
            assert (on.actors.sandboxes, on.actors.containers) == ({}, {})
            assert not list((tmp_path / "node" / "pods").iterdir())
            await on.until(lambda: on.api.said("Killing") == ["Stopping container web"])

    asyncio.run(play())


def test_deletion_does_not_wait_for_a_pull(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.slow_pull = asyncio.Event()
            on.enter(pod({"name": "web", "image": "far:1"}))
            await on.until(lambda: on.api.said("Pulling"))
            on.change("web-1", deletionTimestamp="2026-01-01T00:01:00Z", deletionGracePeriodSeconds=5)
            await on.until(lambda: not on.api.pods, 3)

    asyncio.run(play())


def test_a_forced_deletion_cuts_the_grace_short(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.ignores_term.add("web")
            on.enter(pod())
            await on.until(lambda: on.container().get("ready"))
            on.change("web-1", deletionTimestamp="2026-01-01T00:01:00Z", deletionGracePeriodSeconds=60)
            await on.until(lambda: on.actors.stops)
            on.api.pods.clear()
            on.api.tell(None)
            await on.until(lambda: on.task is not None and on.task.done(), 5)

    asyncio.run(play())


def test_a_failing_liveness_probe_restarts(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.commands["check",] = ExecResult(1, b"", b"sick")
            probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
            on.enter(pod({"name": "web", "image": "web:1", "livenessProbe": probe}))
            await on.until(lambda: on.container().get("restartCount"))
            assert on.api.said("Unhealthy")[0] == "Liveness probe failed: sick"
            assert on.api.said("Killing")[0] == "Container web failed liveness probe, will be restarted"

    asyncio.run(play())


def test_readiness_follows_its_probe(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.commands["check",] = ExecResult(1, b"not yet", b"")
            probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
            on.enter(pod({"name": "web", "image": "web:1", "readinessProbe": probe}))
            await on.until(lambda: on.api.said("Unhealthy") and on.status.get("phase") == "Running")
            ready = next(each for each in on.status["conditions"] if each["type"] == "Ready")
            assert (ready["status"], ready["message"]) == (
                "False",
                "containers with unready status: [web]",
            )
            on.actors.commands["check",] = ExecResult(0, b"", b"")
            await on.until(lambda: on.container().get("ready"))
            assert on.container()["restartCount"] == 0

    asyncio.run(play())


def test_hooks(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.commands |= {("hello",): ExecResult(0, b"", b""), ("bye",): ExecResult(0, b"", b"")}
            hooks: dict[str, Any] = {
                "postStart": {"exec": {"command": ["hello"]}},
                "preStop": {"exec": {"command": ["bye"]}},
            }
            on.enter(pod({"name": "web", "image": "web:1", "lifecycle": hooks}))
            await on.until(lambda: on.container().get("ready"))
            on.change("web-1", deletionTimestamp="2026-01-01T00:01:00Z", deletionGracePeriodSeconds=5)
            await on.until(lambda: not on.api.pods)
            assert on.actors.asked == [("hello",), ("bye",)]

    asyncio.run(play())


def test_a_failed_post_start_hook_stops_the_container(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.actors.commands["hello",] = ExecResult(2, b"", b"no")
            hooks = {"postStart": {"exec": {"command": ["hello"]}}}
            on.enter(pod({"name": "web", "image": "web:1", "lifecycle": hooks}))
            await on.until(lambda: on.api.said("FailedPostStartHook"))
            await on.until(lambda: on.container().get("restartCount"))

    asyncio.run(play())


def test_the_termination_message_is_reported(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:

            def leave_a_note(plan: Any) -> None:
                end = next(each for each in plan.mounts if each.target == "/dev/termination-log")
                Path(end.source).write_text("out of cheese")

            on.actors.on_start = leave_a_note
            on.actors.script["web"] = 1
            on.enter(pod(restartPolicy="Never"))
            await on.until(lambda: on.status.get("phase") == "Failed")
            assert on.container()["state"]["terminated"]["message"] == "out of cheese"

    asyncio.run(play())


def test_without_a_runtime_the_pod_stays_pending_and_says_why(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.enter(pod(runtimeClassName="gvisor"))
            await on.until(lambda: on.api.said("FailedCreatePodSandBox"))
            assert "gvisor" in on.api.said("FailedCreatePodSandBox")[0]
            assert on.status["phase"] == "Pending"
            on.change("web-1", deletionTimestamp="2026-01-01T00:01:00Z", deletionGracePeriodSeconds=5)
            await on.until(lambda: not on.api.pods)

    asyncio.run(play())


def test_a_node_that_comes_back_adopts_what_runs(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.enter(pod())
            await on.until(lambda: on.container().get("ready"))
            assert on.task is not None
            on.task.cancel()
            await asyncio.gather(on.task, return_exceptions=True)
            statuses = len(on.api.statuses)
            on.enter(on.api.pods["web-1"])
            await asyncio.sleep(0.3)
            assert [each.attempt for each in on.actors.containers.values()] == [0]
            assert len(on.api.statuses) == statuses

    asyncio.run(play())


def test_a_node_that_stops_ends_its_pods_in_order_and_says_so(stage: Any, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as on:
            on.enter(pod())
            await on.until(lambda: on.container().get("ready"))
            assert on.task is not None
            assert on.work is not None
            on.task.cancel()
            await asyncio.gather(on.task, return_exceptions=True)
            await on.work.leave(2.0)
            assert on.actors.stops == [("web", 2.0)]
            assert on.container()["state"]["terminated"]["exitCode"] == 143
            assert "web-1" in on.api.pods

    asyncio.run(play())
