"""A node that is killed, stopped and started again: what runs is adopted or ended, and nothing is left on the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.containers import leftovers
from fairlead.drivers.containers.places import Places

pytestmark = [pytest.mark.root, pytest.mark.kubectl, pytest.mark.slow]


def _apply(one: Any, *pods: dict[str, Any]) -> None:
    items = [{"apiVersion": "v1", "kind": "Pod", **each} for each in pods]
    one.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _pods() -> list[dict[str, Any]]:
    main = {"name": "main", "image": "test/busybox:1", "command": ["sh", "-c", "echo begun; sleep 1000"]}
    fast = {"name": "fast", "mountPath": "/fast"}
    spec = {
        "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "fast", "emptyDir": {"medium": "Memory"}}],
    }
    guest = {"runtimeClassName": "wasm", "containers": [{"name": "main", "image": "test/forever:1"}]}
    return [
        {"metadata": {"name": "one"}, "spec": {**spec, "containers": [{**main, "volumeMounts": [fast]}]}},
        {"metadata": {"name": "guest"}, "spec": guest},
    ]


def _status(one: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(one.kubectl("get", "pod", name, "-o", "json"))["status"]
    return found["containerStatuses"][0] if found.get("containerStatuses") else {}


def _both_run(one: Any) -> bool:
    return all(_status(one, name).get("ready") for name in ("one", "guest"))


def _left(one: Any) -> dict[str, object]:
    """What of a platform is still on the machine."""
    places = Places.of(one.data)
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=False).stdout
    groups = [str(path) for path in Path("/sys/fs/cgroup").rglob(f"*{places.key}*")]
    found: dict[str, object] = {
        "processes": one.processes(str(one.data)) + list(leftovers.processes(places)),
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines()
                   if str(one.data) in line or str(places.run) in line],
        "rules": [line for line in rules.splitlines() if places.key in line],
        "links": [line for line in links.splitlines() if places.bridge in line],
        "cgroups": groups,
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}


def test_a_killed_node_adopts_what_runs(new_platform: Callable[[], Any]) -> None:
    one = new_platform()
    _apply(one, *_pods())
    one.eventually(lambda: _both_run(one))
    before = {name: _status(one, name) for name in ("one", "guest")}
    killed = one.pid("node")
    os.kill(killed, signal.SIGKILL)
    one.eventually(lambda: (one.data / "run" / "node.json").exists() and one.pid("node") != killed)
    _apply(one, {**_pods()[0], "metadata": {"name": "after"}})
    one.eventually(lambda: _status(one, "after").get("ready"))
    for name, was in before.items():
        now = _status(one, name)
        assert (now["containerID"], now["restartCount"]) == (was["containerID"], 0)
    assert one.kubectl("logs", "one") == "begun\n"

    for name in ("supervisor", "node", "control-plane"):
        os.kill(one.pid(name), signal.SIGKILL)
    assert _left(one)
    assert "fairlead is down" in one.down()
    one.eventually(lambda: not _left(one))
    assert "not running" in one.down()

    one.up()
    one.eventually(lambda: all(_status(one, name)["restartCount"] == 1 for name in ("one", "guest")))
    one.eventually(lambda: _both_run(one))
    assert one.kubectl("logs", "one") == "begun\n"
    one.down()
    one.eventually(lambda: not _left(one))
