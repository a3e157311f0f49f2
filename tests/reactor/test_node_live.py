"""Pods on a real node, driven by the real kubectl: they run, log, answer, crash, start again and end as kubelet's do."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.kubectl, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def _cast(space: Any) -> None:
    """Start most pods of this module at once: they take their time side by side."""
    c, p = space.container, space.pod
    chatty = "for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2; sleep 1000"
    graceful = "trap 'echo asked to end; exit 0' TERM; echo up; while true; do sleep 0.1; done"
    unready_init = c("exit 3", name="setup")
    sidecar = c("echo beside; sleep 1000", name="side", restartPolicy="Always")
    space.apply(
        p("chatty", c(chatty)),
        p("brief", c("for i in 1 2 3; do echo $i; sleep 0.5; done"), restartPolicy="Never"),
        p("seven", c("exit 7"), restartPolicy="Never"),
        p("crash", c("echo run; exit 3")),
        p("twice", c("test -e /keep/was && sleep 1000; touch /keep/was; echo first; exit 1",
                     volumeMounts=[{"name": "keep", "mountPath": "/keep"}]),
          volumes=[{"name": "keep", "emptyDir": {}}]),
        p("inits", c("cat /keep/said; sleep 1000", volumeMounts=[{"name": "keep", "mountPath": "/keep"}]),
          initContainers=[
              c("echo from the first > /keep/said", name="first", volumeMounts=[{"name": "keep", "mountPath": "/keep"}]),
              c("test -e /keep/said", name="second", volumeMounts=[{"name": "keep", "mountPath": "/keep"}])],
          volumes=[{"name": "keep", "emptyDir": {}}]),
        p("init-fails", c(), initContainers=[unready_init]),
        p("init-ends", c(), initContainers=[unready_init], restartPolicy="Never"),
        p("sidecar", c("echo work; exit 0"), initContainers=[sidecar], restartPolicy="Never"),
        p("words", c("echo -n told you > /dev/termination-log; exit 4"), restartPolicy="Never"),
        p("fallback", c("echo the last line; exit 5", terminationMessagePolicy="FallbackToLogsOnError"),
          restartPolicy="Never"),
        p("hungry", c("tail /dev/zero", resources={"limits": {"memory": "16Mi"}}), restartPolicy="Never"),
        p("deadline", c(), activeDeadlineSeconds=2),
        p("graceful", c(graceful), terminationGracePeriodSeconds=30),
        p("hooked", c("sleep 1000", lifecycle={
              "postStart": {"exec": {"command": ["sh", "-c", "echo began > /tmp/began"]}},
              "preStop": {"exec": {"command": ["sh", "-c", "echo stopping > /proc/1/fd/1"]}}})),
        p("hook-fails", c("sleep 1000", lifecycle={"postStart": {"exec": {"command": ["false"]}}})),
        p("no-command", {"name": "main", "image": c()["image"], "command": ["/no/such/thing"]}),
    )  # fmt: skip


def test_a_pod_runs(space: Any) -> None:
    status = space.until("chatty", space.ready)
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.")
    assert status["qosClass"] == "BestEffort"
    entry = status["containerStatuses"][0]
    assert entry["containerID"].startswith("containerd://")
    assert (entry["ready"], entry["started"], entry["restartCount"]) == (True, True, 0)
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        space.was_told("chatty", reason, "")
    assert "1/1     Running" in space.kubectl("get", "pod", "chatty")
    assert "Started container main" in space.kubectl("describe", "pod", "chatty")


def test_logs(space: Any) -> None:
    space.until("chatty", space.ready)
    lines = [f"line {i}" for i in range(1, 6)]
    space.platform.eventually(lambda: "oops" in space.kubectl("logs", "chatty"))
    assert sorted(space.kubectl("logs", "chatty").splitlines()) == [*lines, "oops"]
    assert len(space.kubectl("logs", "chatty", "--tail=2").splitlines()) == 2
    assert (
        len(space.kubectl("logs", "chatty", "--limit-bytes=6")) == 6
    )  # which stream comes first is nobody's promise
    stamped = space.kubectl("logs", "chatty", "--timestamps").splitlines()
    assert all(line[:2] == "20" and line.split(" ", 1)[0].endswith("Z") for line in stamped)
    assert "oops" in space.kubectl("logs", "chatty", "--since=1h")
    assert "not found" in space.run("logs", "chatty", "-p").stderr


def test_following_a_log_ends_with_the_container(space: Any) -> None:
    space.until("brief", lambda s: s.get("phase") in {"Running", "Succeeded"})
    assert space.kubectl("logs", "-f", "brief") == "1\n2\n3\n"
    status = space.until("brief", lambda s: s.get("phase") == "Succeeded")
    assert space.state(status)["terminated"]["reason"] == "Completed"
    assert space.kubectl("logs", "brief") == "1\n2\n3\n"


def test_a_log_is_followed_while_it_grows(space: Any) -> None:
    space.apply(space.pod("ticks", space.container("while true; do echo tick; sleep 0.2; done")))
    space.until("ticks", space.ready)
    follower = space.platform.start("logs", "-f", "ticks", namespace=space.name)
    assert follower.stdout is not None
    assert [follower.stdout.readline() for _ in range(4)] == ["tick\n"] * 4
    space.kubectl("delete", "pod", "ticks")
    assert follower.wait(60) == 0
    follower.stdout.close()


def test_the_log_of_the_run_before(space: Any) -> None:
    space.until("twice", lambda s: space.ready(s) and s["containerStatuses"][0]["restartCount"] == 1)
    assert space.kubectl("logs", "-p", "twice") == "first\n"
    assert space.kubectl("logs", "twice") == ""


def test_exec(space: Any) -> None:
    space.until("chatty", space.ready)
    done = space.run("exec", "chatty", "--", "sh", "-c", "echo out; echo err >&2; exit 9")
    assert (done.returncode, done.stdout) == (9, "out\n")
    assert "err\n" in done.stderr
    assert space.kubectl("exec", "chatty", "--", "hostname") == "chatty\n"
    assert "no such file" in space.run("exec", "chatty", "--", "/no/such").stderr.lower()


@pytest.mark.parametrize("words", [("exec", "-it", "chatty", "--", "sh"), ("attach", "chatty"),
                                   ("port-forward", "chatty", "0:80")])  # fmt: skip
def test_what_is_not_supported_yet(space: Any, words: tuple[str, ...]) -> None:
    space.until("chatty", space.ready)
    done = space.run(*words)
    assert done.returncode != 0
    assert "not supported yet" in done.stderr


def test_a_crash_loop(space: Any) -> None:
    status = space.until("crash", lambda s: space.waits(s) == "CrashLoopBackOff"
                         and s["containerStatuses"][0]["restartCount"] >= 2)  # fmt: skip
    assert status["phase"] == "Running"
    assert space.state(status, key="lastState")["terminated"]["exitCode"] == 3
    assert space.state(status, key="lastState")["terminated"]["reason"] == "Error"
    message = space.state(status)["waiting"]["message"]
    assert message.startswith("back-off ")
    assert f"restarting failed container=main pod=crash_{space.name}(" in message
    space.was_told("crash", "BackOff", "Back-off restarting failed container main in pod crash_")
    assert space.kubectl("logs", "-p", "crash") == "run\n"


def test_exit_codes(space: Any) -> None:
    status = space.until("seven", lambda s: s.get("phase") == "Failed")
    ended = space.state(status)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (7, "Error")
    assert ended["startedAt"] <= ended["finishedAt"]


def test_init_containers(space: Any) -> None:
    status = space.until("inits", space.ready)
    assert [each["state"]["terminated"]["exitCode"] for each in status["initContainerStatuses"]] == [0, 0]
    assert space.kubectl("logs", "inits") == "from the first\n"


def test_a_failing_init_container(space: Any) -> None:
    status = space.until("init-fails", lambda s: space.waits(s, "setup") == "CrashLoopBackOff")
    assert status["phase"] == "Pending"
    assert space.waits(status) == "PodInitializing"
    status = space.until("init-ends", lambda s: s.get("phase") == "Failed")
    assert space.state(status, "setup")["terminated"]["exitCode"] == 3
    assert "Init:Error" in space.kubectl("get", "pod", "init-ends")


def test_a_sidecar_ends_with_the_work(space: Any) -> None:
    status = space.until("sidecar", lambda s: s.get("phase") == "Succeeded")
    assert space.state(status)["terminated"]["reason"] == "Completed"
    status = space.until("sidecar", lambda s: "terminated" in space.state(s, "side"))
    assert space.kubectl("logs", "sidecar", "-c", "side") == "beside\n"


def test_last_words(space: Any) -> None:
    status = space.until("words", lambda s: s.get("phase") == "Failed")
    assert space.state(status)["terminated"]["message"] == "told you"
    status = space.until("fallback", lambda s: s.get("phase") == "Failed")
    assert space.state(status)["terminated"]["message"] == "the last line\n"


def test_too_much_memory(space: Any) -> None:
    def told(status: Any) -> bool:  # containerd may hear of the exit before it hears why
        return status.get("phase") == "Failed" and bool(
            space.state(status)["terminated"]["reason"] != "Error"
        )

    ended = space.state(space.until("hungry", told))["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_a_deadline(space: Any) -> None:
    status = space.until("deadline", lambda s: s.get("phase") == "Failed")
    assert status["reason"] == "DeadlineExceeded"
    assert status["message"] == "Pod was active on the node longer than the specified deadline"
    space.until("deadline", lambda s: "terminated" in space.state(s))


def test_a_process_is_asked_to_end(space: Any) -> None:
    space.until("graceful", space.ready)
    space.platform.eventually(lambda: space.kubectl("logs", "graceful") == "up\n")
    follower = space.platform.start("logs", "-f", "graceful", namespace=space.name)
    assert follower.stdout.readline() == "up\n"
    space.kubectl("delete", "pod", "graceful")
    assert "asked to end" in follower.stdout.read()
    follower.stdout.close()
    follower.wait(30)
    assert "NotFound" in space.run("get", "pod", "graceful").stderr
    space.was_told("graceful", "Killing", "Stopping container main")


def test_a_pod_can_be_forced_away(space: Any) -> None:
    deaf = space.container("trap '' TERM; while true; do sleep 0.777; done")
    space.apply(space.pod("deaf", deaf, terminationGracePeriodSeconds=600))
    space.until("deaf", space.ready)
    assert space.platform.processes("while true; do sleep 0.777; done")
    space.kubectl("delete", "pod", "deaf", "--wait=false")
    space.was_told("deaf", "Killing", "Stopping container main")
    space.kubectl("delete", "pod", "deaf", "--force", "--grace-period=0")
    assert "NotFound" in space.run("get", "pod", "deaf").stderr
    space.platform.eventually(lambda: not space.platform.processes("while true; do sleep 0.777; done"))


def test_hooks(space: Any) -> None:
    space.until("hooked", space.ready)
    assert space.kubectl("exec", "hooked", "--", "cat", "/tmp/began") == "began\n"
    follower = space.platform.start("logs", "-f", "hooked", namespace=space.name)
    time.sleep(0.5)
    space.kubectl("delete", "pod", "hooked")
    assert "stopping" in follower.stdout.read()
    follower.stdout.close()
    follower.wait(30)
    space.was_told("hook-fails", "FailedPostStartHook", "PostStartHook failed")
    space.until("hook-fails", lambda s: s["containerStatuses"][0]["restartCount"] >= 1)


def test_a_program_that_is_not_there(space: Any) -> None:
    status = space.until("no-command", lambda s: space.waits(s) in {"RunContainerError", "CrashLoopBackOff"})
    assert status["phase"] in {"Pending", "Running"}
    space.was_told("no-command", "Failed", "no such file or directory")


def test_a_pod_of_the_same_name_has_logs_of_its_own(space: Any) -> None:
    for number in (1, 2, 3):
        space.apply(space.pod("again", space.container(f"echo {number}; sleep 1000")))
        space.platform.eventually(lambda n=number: space.run("logs", "again").stdout == f"{n}\n")
        space.kubectl("delete", "pod", "again")


def test_hostile_pods_harm_nobody(space: Any) -> None:
    big = [{"name": f"V{number}", "value": "x" * 1000} for number in range(200)]
    odd = [{"name": "a.b-c d", "value": "$(A)$$(B)$("}, {"name": "LOOP", "value": "$(LOOP)$(LATER)"}]
    huge = [{"name": "HUGE", "value": "x" * 200_000}]
    space.apply(
        space.pod("big-env", space.container("echo ${#V199}; sleep 1000", env=big + odd)),
        space.pod("huge-env", space.container("sleep 1000", env=huge)),
        space.pod("odd-command", space.container("echo $(printf '\\377\\376'); printf 'a\\0b'; sleep 1000")),
        space.pod("no-dir", space.container("sleep 1000", workingDir="/etc/hostname/x")),
        space.pod("after"),
    )
    space.until("after", space.ready)
    space.until("big-env", space.ready)
    assert space.kubectl("logs", "big-env") == "1000\n"
    space.was_told("huge-env", "BackOff", "restarting failed container main")
    space.was_told("no-dir", "Failed", "Error")
    assert json.loads(space.kubectl("get", "nodes", "-o", "json"))["items"]
