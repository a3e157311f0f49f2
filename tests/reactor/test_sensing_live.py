"""The sensor of a real platform: why a pod died is told by the calls that failed last, rules find, policies are told what came of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.kernel, pytest.mark.kubectl, pytest.mark.slow]

RULES = """
- list: readers
  items: [cat]
- rule: Shadow read in container
  desc: Somebody read the passwords
  condition: evt.type in (open, openat) and evt.is_open_read=true and fd.name=/etc/secret-shadow and container.id != host and proc.exe in (readers)
  output: shadow was read (process=%proc.exe pod=%k8s.pod.name user=%user.name)
  priority: CRITICAL
  tags: [mitre]
- rule: Broken
  condition: proc.nam = x
  desc: it cannot be
  output: x
  priority: NOTICE
"""
POLICY = {
    "apiVersion": "cilium.io/v1alpha1",
    "kind": "TracingPolicy",
    "metadata": {"name": "connects"},
    "spec": {
        "kprobes": [{"call": "tcp_connect", "syscall": False, "args": [{"index": 0, "type": "sock"}],
                     "selectors": [{"matchArgs": [{"index": 0, "operator": "DPort", "values": ["9"]}]}]}]
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def sensor(space: Any) -> dict[str, Any]:
    """What the sensor says of itself; without it there is nothing to test."""
    record: dict[str, Any] = json.loads((space.platform.data / "run" / "sensor.json").read_text())
    if not record["pid"]:
        pytest.skip("; ".join(record["without"]))
    return record


def crashed(space: Any, name: str, script: str, times: int = 1) -> None:
    space.apply(space.pod(name, space.container(script)))
    space.until(name, lambda s: (s.get("containerStatuses") or [{}])[0].get("restartCount", 0) >= times)


def record(space: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = space.platform.eventually(lambda: space.get("flightrecord", f"{name}-main"))
    return found


def diagnosis(space: Any) -> list[dict[str, Any]]:
    done = space.platform.fairlead("diagnose", "-n", space.name, "-o", "json")
    assert done.returncode in {0, 1}, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return found


def test_a_missing_file_is_the_cause_of_a_crash(space: Any, sensor: dict[str, Any]) -> None:
    crashed(space, "misses", "cat /etc/app/config.yaml 2>/dev/null || exit 1")
    found = record(space, "misses")
    assert found["metadata"]["ownerReferences"][0]["kind"] == "Pod"
    death = found["deaths"][0]
    assert (found["pod"], found["container"], death["exitCode"]) == ("misses", "main", 1)
    assert ("open", "/etc/app/config.yaml", "ENOENT") in {
        (call["call"].removesuffix("at"), call.get("path"), call["error"]) for call in death["calls"]
    }

    def look() -> dict[str, Any] | None:
        told = [one for one in diagnosis(space) if one["subject"]["name"] == "misses"]
        return told[0] if told and "last failed call" in told[0]["cause"] else None

    told = space.platform.eventually(look)
    assert told["rule"] == "container.crash"
    assert "open /etc/app/config.yaml: ENOENT (No such file or directory)" in told["cause"]
    assert [one["kind"] for one in told["evidence"] if "last failed calls" in one["text"]] == ["call"]
    text = space.platform.fairlead("diagnose", "-n", space.name).stdout
    assert "ENOENT (No such file or directory)" in " ".join(text.split())
    space.kubectl("delete", "pod", "misses")
    space.platform.eventually(lambda: space.run("get", "flightrecord", "misses-main").returncode == 1)


def test_a_refused_connection_is_told_beside_the_log(space: Any, sensor: dict[str, Any]) -> None:
    crashed(space, "refused", "nc 127.0.0.1 5432 </dev/null; echo ERROR: no database; exit 3")
    calls = record(space, "refused")["deaths"][0]["calls"]
    assert ("connect", "127.0.0.1:5432", "ECONNREFUSED") in {
        (call["call"], call.get("peer"), call["error"]) for call in calls
    }

    def look() -> bool:
        told = next(one for one in diagnosis(space) if one["subject"]["name"] == "refused")
        return "no database" in told["cause"] and any(
            "connect 127.0.0.1:5432: ECONNREFUSED" in one["text"] for one in told["evidence"]
        )

    assert space.platform.eventually(look)


def test_a_container_of_a_moment_is_named(space: Any, sensor: dict[str, Any]) -> None:
    space.apply(space.pod("moment", space.container("exit 9"), restartPolicy="Never"))
    space.until("moment", lambda s: s.get("phase") == "Failed")
    assert record(space, "moment")["deaths"][0]["exitCode"] == 9


def test_rule_files_are_followed_and_what_they_find_is_diagnosed(space: Any, sensor: dict[str, Any]) -> None:
    folder = space.platform.data / "sense" / "rules.d"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(RULES)
    log = space.platform.data / "logs" / "sensor.log"
    space.platform.eventually(lambda: "now there are 1 rules" in log.read_text())
    assert "own.yaml:" in log.read_text()  # the broken rule is told of with its place
    script = "echo x > /etc/secret-shadow; while true; do cat /etc/secret-shadow >/dev/null; sleep 1; done"
    space.apply(space.pod("reader", space.container(script)))

    def look() -> dict[str, Any] | None:
        found = json.loads(space.kubectl("get", "detections", "-o", "json"))["items"]
        return next((one for one in found if one["count"] > 1), None)

    found = space.platform.eventually(look)
    assert (found["rule"], found["dialect"], found["severity"], found["tags"]) == (
        "Shadow read in container", "falco", "critical", ["mitre"],
    )  # fmt: skip
    assert found["subject"]["name"] == "reader"
    assert "shadow was read (process=cat pod=reader user=root)" in found["message"]
    assert any(" > sh(" in line for line in found["processes"])
    told = next(one for one in diagnosis(space) if one["rule"].startswith("sense."))
    assert told["rule"] == "sense.falco.shadow-read-in-container"
    assert told["subject"]["name"] == "reader"
    assert {one["kind"] for one in told["evidence"]} == {"event", "process"}
    space.kubectl("delete", "pod", "reader", "--wait=false")


def test_policies_are_followed_and_told_where_they_are_seen(space: Any, sensor: dict[str, Any]) -> None:
    space.kubectl("apply", "-f", "-", text=json.dumps(POLICY))
    try:

        def look() -> dict[str, Any] | None:
            status: dict[str, Any] = space.get("tracingpolicy", "connects").get("status") or {}
            return next(iter(status["nodes"].values())) if status.get("nodes") else None

        told = space.platform.eventually(look)
        assert told["state"] == "enabled", told
        assert told["hooks"][0]["function"] == "tcp_connect"
        assert told["hooks"][0]["seenBy"]
    finally:
        space.kubectl("delete", "tracingpolicy", "connects")


def test_the_sensor_has_few_rights(space: Any, sensor: dict[str, Any]) -> None:
    config = str(space.platform.data / "sensor.kubeconfig")

    def can(*words: str) -> str:
        return str(space.run("--kubeconfig", config, "auth", "can-i", *words).stdout.strip())

    assert can("create", "detections.fairlead.dev", "-n", space.name) == "yes"
    assert can("list", "pods") == "yes"
    assert can("get", "secrets") == "no"
    assert can("delete", "pods") == "no"
    assert can("create", "tracingpolicies.cilium.io") == "no"
