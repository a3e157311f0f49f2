"""A pod's status from what a runtime reports: phases, states, conditions and their times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.orchestrate.podstatus import Place, status
from fairlead.orchestrate.podsteps import Memory, Observed, recall
from fairlead.orchestrate.probes import Health, Kind, State
from fairlead.orchestrate.runtimes import ContainerSeen, SandboxSeen
from fairlead.words import Resource

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STARTED = int(NOW.timestamp()) * 10**9
SANDBOX = SandboxSeen(id="s0", uid="u1", namespace="shop", name="web-1", attempt=0, ready=True, created_at=1)
PLACE = Place("containerd", ("10.0.0.1",), ("10.244.0.7",))


def pod(*names: str, policy: str = "Always", **spec: Any) -> Resource:
    return {
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1"},
        "spec": {
            "restartPolicy": policy,
            "containers": [{"name": name, "image": f"{name}:1"} for name in names or ("web",)],
            **spec,
        },
    }


def seen(
    name: str = "web", state: Any = "running", code: int = 0, attempt: int = 0, **more: Any
) -> ContainerSeen:
    ended = STARTED + 10**9 if state == "exited" else 0
    return ContainerSeen(
        id=f"{name}{attempt}",
        sandbox="s0",
        uid="u1",
        name=name,
        attempt=attempt,
        state=state,
        started_at=STARTED,
        finished_at=ended,
        exit_code=code,
        **more,
    )


def well(*found: ContainerSeen) -> Memory:
    """All of them pass their probes, having none."""
    return Memory(health={each.id: Health(each.id, {}, frozenset()) for each in found})


def look(
    one: Resource, *found: ContainerSeen, memory: Memory | None = None, sandbox: bool = True
) -> Resource:
    observed = recall(one, Observed((SANDBOX,) if sandbox else (), found))
    return status(one, observed, memory or well(*found), PLACE, NOW)


def condition(of: Resource, kind: str) -> tuple[str, str, str]:
    found = next(each for each in of["conditions"] if each["type"] == kind)
    return found["status"], found.get("reason", ""), found.get("message", "")


def entry(of: Resource, name: str = "web") -> dict[str, Any]:
    entries = [*of.get("initContainerStatuses", []), *of["containerStatuses"]]
    return dict(next(each for each in entries if each["name"] == name))


def test_before_anything() -> None:
    found = look(pod(), sandbox=False)
    assert found["phase"] == "Pending"
    assert entry(found)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert condition(found, "PodReadyToStartContainers")[0] == "False"
    assert condition(found, "Ready") == (
        "False",
        "ContainersNotReady",
        "containers with unready status: [web]",
    )
    assert (found["qosClass"], found["startTime"]) == ("BestEffort", "2026-01-01T12:00:00Z")


def test_all_runs() -> None:
    found = look(pod("web", "log"), seen(), seen("log"))
    assert found["phase"] == "Running"
    assert [each["name"] for each in found["containerStatuses"]] == ["log", "web"]
    web = entry(found)
    assert (web["ready"], web["started"], web["restartCount"]) == (True, True, 0)
    assert web["containerID"] == "containerd://web0"
    assert web["state"] == {"running": {"startedAt": "2026-01-01T12:00:00Z"}}
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    assert [condition(found, kind)[0] for kind in kinds] == ["True"] * 5
    assert (found["podIP"], found["hostIPs"]) == ("10.244.0.7", [{"ip": "10.0.0.1"}])


@pytest.mark.parametrize(
    ("policy", "code", "phase", "reason"),
    [
        ("Never", 0, "Succeeded", "PodCompleted"),
        ("Never", 1, "Failed", "PodFailed"),
        ("OnFailure", 0, "Succeeded", "PodCompleted"),
        ("OnFailure", 1, "Running", "ContainersNotReady"),
        ("Always", 0, "Running", "ContainersNotReady"),
    ],
)
def test_ends(policy: str, code: int, phase: str, reason: str) -> None:
    found = look(pod(policy=policy), seen(state="exited", code=code))
    assert found["phase"] == phase
    assert condition(found, "Ready")[:2] == ("False", reason)
    ended = entry(found)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (code, "Error" if code else "Completed")


def test_one_of_two_has_ended() -> None:
    found = look(pod("web", "log", policy="Never"), seen(state="exited"), seen("log"))
    assert found["phase"] == "Running"
    assert condition(found, "Ready")[2] == "containers with unready status: [web]"


def test_a_crash_loop() -> None:
    memory = Memory(waiting={"web": ("CrashLoopBackOff", "back-off 10s")})
    found = look(pod(), seen(state="exited", code=3, attempt=2, message="bad"), memory=memory)
    web = entry(found)
    assert found["phase"] == "Running"
    assert web["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert (web["lastState"]["terminated"]["exitCode"], web["lastState"]["terminated"]["message"]) == (
        3,
        "bad",
    )
    assert web["restartCount"] == 2


def test_the_run_before_is_the_last_state() -> None:
    now = seen(attempt=1)
    found = look(pod(), seen(state="exited", code=137, reason="OOMKilled"), now, memory=well(now))
    assert entry(found)["lastState"]["terminated"]["reason"] == "OOMKilled"


def test_the_last_state_is_kept_when_the_runtime_forgets_it() -> None:
    one = pod()
    before, after = seen(state="exited", code=3), seen(attempt=1)
    one["status"] = look(one, before)
    one["status"] = look(one, after)
    assert entry(one["status"])["lastState"]["terminated"]["exitCode"] == 3
    assert entry(look(one, after))["lastState"]["terminated"]["exitCode"] == 3


def test_init_containers_come_first() -> None:
    one = pod(initContainers=[{"name": "setup", "image": "s"}])
    begun = look(one, seen("setup"))
    assert begun["phase"] == "Pending"
    assert condition(begun, "Initialized") == (
        "False",
        "ContainersNotInitialized",
        "containers with incomplete status: [setup]",
    )
    assert entry(begun)["state"] == {"waiting": {"reason": "PodInitializing"}}
    done = look(one, seen("setup", "exited"), seen())
    assert (done["phase"], entry(done, "setup")["ready"]) == ("Running", True)
    assert condition(done, "Initialized")[0] == "True"
    assert look(pod(policy="Never", initContainers=[{"name": "setup"}]), seen("setup", "exited", 1))[
        "phase"
    ] == ("Failed")
    assert look(one, seen("setup", "exited", 1))["phase"] == "Pending"


def test_sidecars_count_for_readiness_and_not_for_the_end() -> None:
    side = [{"name": "side", "image": "s", "restartPolicy": "Always"}]
    ready = look(pod(initContainers=side), seen("side"), seen(), memory=well(seen()))
    assert condition(ready, "Ready")[2] == "containers with unready status: [side]"
    ended = look(pod(policy="Never", initContainers=side), seen("side", "exited", 137), seen(state="exited"))
    assert ended["phase"] == "Succeeded"


def test_a_pod_is_not_over_while_a_sidecar_runs() -> None:
    side = [{"name": "side", "image": "s", "restartPolicy": "Always"}]
    one = pod(policy="Never", initContainers=side)
    for code in (0, 1):
        ending = look(one, seen("side"), seen(state="exited", code=code))
        assert (ending["phase"], condition(ending, "Initialized")[0]) == ("Running", "True")


def test_readiness_and_gates() -> None:
    states: dict[Kind, State] = {"Readiness": State(passing=False)}
    sick = Memory(health={"web0": Health("web0", states, frozenset({"Readiness"}))})
    assert condition(look(pod(), seen(), memory=sick), "Ready")[0] == "False"
    gated = look(pod(readinessGates=[{"conditionType": "x/y"}]), seen())
    assert condition(gated, "ContainersReady")[0] == "True"
    assert condition(gated, "Ready") == (
        "False",
        "ReadinessGatesNotReady",
        'corresponding condition of pod readiness gate "x/y" does not exist.',
    )


def test_times_move_only_with_their_condition_and_others_conditions_stay() -> None:
    one = pod()
    old = {"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"}
    foreign = {"type": "DisruptionTarget", "status": "True"}
    one["status"] = {"conditions": [old, foreign], "startTime": "2025-01-01T00:00:00Z"}
    found = look(one, seen())
    times = {each["type"]: each.get("lastTransitionTime") for each in found["conditions"]}
    assert times["Ready"] == "2025-01-01T00:00:00Z"
    assert times["Initialized"] == "2026-01-01T12:00:00Z"
    assert foreign in found["conditions"]
    assert found["startTime"] == "2025-01-01T00:00:00Z"
    again = {**one, "status": found}
    assert look(again, seen()) == found


def test_a_pod_that_the_node_gave_up() -> None:
    memory = Memory(ended=("DeadlineExceeded", "too long"))
    found = look(pod(), seen(state="exited", code=143), memory=memory)
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "DeadlineExceeded", "too long")


def test_what_is_over_stays_over() -> None:
    one = pod(policy="Never")
    one["status"] = look(one, seen(state="exited"))
    assert look(one, sandbox=False)["phase"] == "Succeeded"
    assert entry(look(one, sandbox=False))["state"]["terminated"]["exitCode"] == 0
