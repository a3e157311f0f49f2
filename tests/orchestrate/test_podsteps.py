"""What a node does next, case by case: pod, what the runtime reports and what is remembered in, a decision out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.orchestrate.backoffs import Backoffs
from fairlead.orchestrate.podspecs import fingerprint
from fairlead.orchestrate.podsteps import (
    DEADLINE_MESSAGE,
    Decision,
    Memory,
    Observed,
    Start,
    decide,
    recall,
    stale,
)
from fairlead.orchestrate.probes import Health, Kind, State
from fairlead.orchestrate.runtimes import ContainerSeen, SandboxSeen
from fairlead.words import Resource

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
SANDBOX = SandboxSeen(id="s0", uid="u1", namespace="shop", name="web-1", attempt=0, ready=True, created_at=1)


def nanoseconds(at: datetime) -> int:
    return int(at.timestamp()) * 10**9


def pod(
    *names: str, init: list[dict[str, Any]] | None = None, policy: str = "Always", **spec: Any
) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1"},
        "spec": {
            "restartPolicy": policy,
            "containers": [{"name": name, "image": f"{name}:1"} for name in names or ("web",)],
            "initContainers": init or [],
            **spec,
        },
    }


def seen(
    name: str, state: Any = "running", code: int = 0, attempt: int = 0, ago: float = 0, sandbox: str = "s0"
) -> ContainerSeen:
    """A container; one that has ended did so `ago` seconds ago."""
    ended = nanoseconds(NOW - timedelta(seconds=ago)) if state == "exited" else 0
    return ContainerSeen(
        id=f"{name}{attempt}",
        sandbox=sandbox,
        uid="u1",
        name=name,
        attempt=attempt,
        state=state,
        created_at=attempt + 1,
        started_at=nanoseconds(NOW - timedelta(seconds=ago + 1)),
        finished_at=ended,
        exit_code=code,
    )


def health(name: str, attempt: int = 0, **passing: bool | None) -> dict[str, Health]:
    states: dict[Kind, State] = {kind: State(value) for kind, value in passing.items()}  # type: ignore[misc]
    key = f"{name}{attempt}"
    return {key: Health(key, states, frozenset(states))}


def look(
    one: Resource, *found: ContainerSeen, memory: Memory | None = None, sandbox: SandboxSeen | None = SANDBOX
) -> Decision:
    sandboxes = (sandbox,) if sandbox else ()
    return decide(one, Observed(sandboxes, found), memory or Memory(), NOW)


def started(decision: Decision) -> list[str]:
    return [f"{start.name}{start.attempt}" for start in decision.start]


# --- sandboxes


def test_a_new_pod_needs_a_sandbox_first() -> None:
    decision = look(pod(), sandbox=None)
    assert (decision.sandbox, decision.start, decision.end) == (0, (), False)


def test_a_dead_sandbox_is_followed_by_the_next() -> None:
    decision = look(pod(), seen("web", "exited", 137), sandbox=replace(SANDBOX, ready=False, attempt=3))
    assert decision.sandbox == 4


def test_a_pod_that_is_done_needs_no_new_sandbox() -> None:
    gone = replace(SANDBOX, ready=False)
    assert look(pod(policy="Never"), seen("web", "exited", 1), sandbox=gone).end
    assert look(pod(policy="OnFailure"), seen("web", "exited", 0), sandbox=gone).end
    assert look(pod(policy="OnFailure"), seen("web", "exited", 1), sandbox=gone).sandbox == 1


def test_in_a_new_sandbox_everything_runs_again_init_containers_first() -> None:
    one = pod(init=[{"name": "setup"}])
    old = (
        seen("setup", "exited", sandbox="s9"),
        seen("web", "exited", 137, attempt=2, sandbox="s9", ago=900),
    )
    assert started(look(one, *old)) == ["setup1"]
    assert started(look(one, *old, seen("setup", "exited", attempt=1))) == ["web3"]


def test_what_succeeded_for_good_is_not_run_again_in_a_new_sandbox() -> None:
    one = pod("web", "job", policy="OnFailure")
    old = (seen("web", "exited", 1, sandbox="s9", ago=900), seen("job", "exited", 0, sandbox="s9"))
    assert started(look(one, *old)) == ["web1"]


# --- regular containers


def test_all_containers_of_a_new_pod_start() -> None:
    assert started(look(pod("web", "log"))) == ["web0", "log0"]


def test_nothing_is_done_while_all_runs() -> None:
    decision = look(pod("web", "log"), seen("web"), seen("log"))
    assert (decision.start, decision.stop, decision.end, decision.sandbox) == ((), (), False, None)


@pytest.mark.parametrize(
    ("policy", "code", "again", "end"),
    [
        ("Always", 0, ["web1"], False),
        ("Always", 1, ["web1"], False),
        ("OnFailure", 1, ["web1"], False),
        ("OnFailure", 0, [], True),
        ("Never", 1, [], True),
        ("Never", 0, [], True),
    ],
)
def test_restart_policies(policy: str, code: int, again: list[str], end: bool) -> None:
    decision = look(pod(policy=policy), seen("web", "exited", code))
    assert (started(decision), decision.end) == (again, end)


def test_one_container_may_end_while_another_runs() -> None:
    decision = look(pod("web", "log", policy="Never"), seen("web", "exited", 1), seen("log"))
    assert (decision.start, decision.end) == ((), False)


def test_a_container_that_was_made_and_never_started_is_tried_again() -> None:
    assert started(look(pod(), seen("web", "created"))) == ["web1"]


def test_an_unknown_container_is_stopped_first() -> None:
    decision = look(pod(), seen("web", "unknown"))
    assert [stop.container.id for stop in decision.stop] == ["web0"]
    assert not decision.start


# --- crash loops


def test_the_second_crash_waits() -> None:
    first = look(pod(), seen("web", "exited", 1))
    assert started(first) == ["web1"]
    second = look(pod(), seen("web", "exited", 1, attempt=1, ago=4), memory=first.memory)
    assert not second.start
    assert second.again == timedelta(seconds=6)
    assert second.memory.waiting["web"] == (
        "CrashLoopBackOff",
        "back-off 10s restarting failed container=web pod=web-1_shop(u1)",
    )
    assert [(note.type, note.reason, note.message, note.field) for note in second.notes] == [
        (
            "Warning",
            "BackOff",
            "Back-off restarting failed container web in pod web-1_shop(u1)",
            "spec.containers{web}",
        )
    ]


def test_when_the_wait_is_over_it_starts_and_the_next_wait_is_longer() -> None:
    memory = look(pod(), seen("web", "exited", 1, ago=11)).memory
    decision = look(pod(), seen("web", "exited", 1, attempt=1, ago=10), memory=memory)
    assert started(decision) == ["web2"]
    assert decision.memory.crashes.delay("web") == timedelta(seconds=20)


def test_the_base_can_be_shorter() -> None:
    memory = Memory(crashes=Backoffs(base=timedelta(seconds=0.5)))
    memory = look(pod(), seen("web", "exited", 1), memory=memory).memory
    decision = look(pod(), seen("web", "exited", 1, attempt=1), memory=memory)
    assert decision.again == timedelta(seconds=0.5)
    assert "back-off 500ms restarting" in decision.memory.waiting["web"][1]


def test_one_crashing_container_does_not_hold_up_the_others() -> None:
    memory = look(pod("web", "log"), seen("web", "exited", 1), seen("log")).memory
    decision = look(pod("web", "log"), seen("web", "exited", 1, 1), seen("log", "exited", 0), memory=memory)
    assert started(decision) == ["log1"]


def test_why_it_waits_is_forgotten_once_it_runs() -> None:
    memory = Memory(waiting={"web": ("ErrImagePull", "x"), "old": ("X", "")})
    assert look(pod(), seen("web"), memory=memory).memory.waiting == {}


# --- init containers


def test_init_containers_run_one_after_the_other() -> None:
    one = pod(init=[{"name": "a"}, {"name": "b"}])
    assert started(look(one)) == ["a0"]
    assert started(look(one, seen("a"))) == []
    assert started(look(one, seen("a", "exited"))) == ["b0"]
    assert started(look(one, seen("a", "exited"), seen("b", "exited"))) == ["web0"]


@pytest.mark.parametrize(
    ("policy", "again", "end"), [("Always", ["a1"], False), ("OnFailure", ["a1"], False), ("Never", [], True)]
)
def test_a_failed_init_container(policy: str, again: list[str], end: bool) -> None:
    decision = look(pod(init=[{"name": "a"}], policy=policy), seen("a", "exited", 1))
    assert (started(decision), decision.end) == (again, end)


def test_a_sidecar_must_have_started_before_the_next() -> None:
    one = pod(init=[{"name": "proxy", "restartPolicy": "Always"}, {"name": "b"}])
    assert started(look(one)) == ["proxy0"]
    assert started(look(one, seen("proxy"))) == []
    waiting = Memory(health=health("proxy", Startup=None))
    assert started(look(one, seen("proxy"), memory=waiting)) == []
    ready = Memory(health=health("proxy", Startup=True))
    assert started(look(one, seen("proxy"), memory=ready)) == ["b0"]


def test_a_sidecar_is_restarted_and_does_not_keep_the_pod_alive() -> None:
    one = pod(init=[{"name": "proxy", "restartPolicy": "Always"}], policy="Never")
    assert started(look(one, seen("proxy", "exited", 1), seen("web"))) == ["proxy1"]
    assert look(one, seen("proxy"), seen("web", "exited", 0)).end


# --- probes, changes, deadlines


@pytest.mark.parametrize(
    ("kind", "policy", "message"),
    [
        ("Liveness", "Always", "Container web failed liveness probe, will be restarted"),
        ("Startup", "OnFailure", "Container web failed startup probe, will be restarted"),
        ("Liveness", "Never", "Container web failed liveness probe"),
    ],
)
def test_a_failed_probe_stops_its_container(kind: str, policy: str, message: str) -> None:
    decision = look(pod(policy=policy), seen("web"), memory=Memory(health=health("web", **{kind: False})))
    assert [stop.message for stop in decision.stop] == [message]
    assert decision.memory.killed == {"web0"}


def test_a_failed_readiness_probe_stops_nothing() -> None:
    assert not look(pod(), seen("web"), memory=Memory(health=health("web", Readiness=False))).stop


def test_what_a_probe_ended_is_measured_from_its_start() -> None:
    """It ran for longer than the delay: no further wait."""
    memory = Memory(
        killed=frozenset({"web1"}), crashes=Backoffs().lengthen("web", NOW, NOW - timedelta(seconds=60))
    )
    ended = replace(
        seen("web", "exited", 137, attempt=1), started_at=nanoseconds(NOW - timedelta(seconds=30))
    )
    assert started(look(pod(), ended, memory=memory)) == ["web2"]


def test_a_changed_image_replaces_the_container() -> None:
    one = pod()
    same = Memory(fingerprints={"web0": fingerprint(one["spec"]["containers"][0])})
    assert not look(one, seen("web"), memory=same).stop
    other = Memory(fingerprints={"web0": fingerprint({"name": "web", "image": "web:0"})})
    decision = look(one, seen("web"), memory=other)
    assert [stop.message for stop in decision.stop] == ["Container web definition changed, will be restarted"]


def test_the_deadline_ends_the_pod() -> None:
    one = pod(activeDeadlineSeconds=60)
    one["status"] = {"startTime": "2026-01-01T11:59:30Z"}
    assert look(one, seen("web")).again == timedelta(seconds=30)
    one["status"] = {"startTime": "2026-01-01T11:59:00Z"}
    decision = look(one, seen("web"))
    assert decision.end
    assert decision.memory.ended == ("DeadlineExceeded", DEADLINE_MESSAGE)
    assert [(note.type, note.reason) for note in decision.notes] == [("Normal", "DeadlineExceeded")]
    later = look(one, seen("web"), memory=decision.memory)
    assert later.end
    assert not later.notes


# --- what was lost, what is spare


def test_a_container_that_the_runtime_has_lost_is_known_from_the_status() -> None:
    one = pod()
    one["status"] = {
        "containerStatuses": [
            {
                "name": "web",
                "restartCount": 2,
                "containerID": "containerd://x",
                "state": {"running": {"startedAt": "2026-01-01T11:00:00Z"}},
            }
        ]
    }
    found = recall(one, Observed((SANDBOX,))).latest("web")
    assert found is not None
    assert (found.state, found.exit_code, found.reason) == ("exited", 137, "ContainerStatusUnknown")
    assert decide(one, recall(one, Observed((SANDBOX,))), Memory(), NOW).start == (Start("web", 3),)


def test_an_ended_container_of_before_keeps_its_exit() -> None:
    one = pod(policy="Never")
    ended = {
        "exitCode": 3,
        "reason": "Error",
        "containerID": "containerd://x",
        "finishedAt": "2026-01-01T11:00:00Z",
    }
    one["status"] = {
        "containerStatuses": [{"name": "web", "restartCount": 0, "state": {"terminated": ended}}]
    }
    observed = recall(one, Observed())
    found = observed.latest("web")
    assert found is not None
    assert (found.id, found.exit_code) == ("x", 3)
    assert decide(one, observed, Memory(), NOW).end


def test_only_the_last_ended_container_is_kept() -> None:
    crashed = [seen("web", "exited", 1, attempt) for attempt in range(4)]
    assert [each.attempt for each in stale(Observed((), tuple(crashed)))] == [0, 1, 2]
    running = [*crashed[:3], seen("web", "running", attempt=3)]
    assert [each.attempt for each in stale(Observed((), tuple(running)))] == [0, 1]
