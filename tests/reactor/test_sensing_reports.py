"""What rules found is written as objects: counted up, few at a time, within bounds, and again where the API was away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from fairlead.drivers.cluster import Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor.sensing_audit import Tail, own, subject_of
from fairlead.reactor.sensing_reports import KEPT, TREES, Reports, Sighting
from fairlead.words import Ref, Severity

NOW = 1_700_000_000_000_000_000
DAY = int(KEPT.total_seconds()) * 1_000_000_000


class Api:
    """Holds Detections by namespace and name; enough of a cluster for reports."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.fault: Exception | None = None

    def _note(self, verb: str) -> None:
        self.calls.append(verb)
        if self.fault is not None:
            raise self.fault

    async def list(self, _version: str, _kind: str, labels: str = "") -> tuple[list[Any], str]:
        self._note("list")
        key, _, value = labels.partition("=")
        return [one for one in self.objects.values() if one["metadata"]["labels"].get(key) == value], "1"

    async def create(self, body: dict[str, Any]) -> None:
        self._note("create")
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        if key in self.objects:
            raise Refusal(409, "AlreadyExists", "there")
        self.objects[key] = body

    async def patch(
        self, _version: str, _kind: str, namespace: str, name: str, patch: dict[str, Any]
    ) -> None:
        self._note("patch")
        if (namespace, name) not in self.objects:
            raise Refusal(404, "NotFound", name)
        self.objects[namespace, name] |= patch

    async def delete(self, _version: str, _kind: str, namespace: str, name: str) -> None:
        self._note("delete")
        if self.objects.pop((namespace, name), None) is None:
            raise Refusal(404, "NotFound", name)

    def only(self) -> dict[str, Any]:
        (found,) = self.objects.values()
        return found


def sighting(rule: str = "Shell", pod: str = "web", at: int = NOW, **more: Any) -> Sighting:
    about = Ref("", "Pod", "shop", pod, "u1") if pod else Ref("", "Node", "", "one")
    return Sighting(rule=rule, dialect="falco", severity=Severity.WARNING, subject=about, at=at, **more)


def reports(api: Api, **more: Any) -> Reports:
    return Reports(api, "one", clock=lambda: NOW, **more)  # type: ignore[arg-type]  # what it asks of a cluster is there


def test_the_same_again_is_counted_up_in_one_object() -> None:
    api = Api()
    kept = reports(api)
    for index in range(TREES + 3):
        kept.seen(sighting(at=NOW + index * 1000, message=f"m{index}", processes=f"sh ({index})"))
    asyncio.run(kept.flush())
    found = api.only()
    assert (found["count"], found["message"], found["rule"], found["severity"]) == (
        8,
        "m7",
        "Shell",
        "warning",
    )
    assert found["processes"] == [f"sh ({index})" for index in range(7, 2, -1)]
    assert found["firstSeen"] < found["lastSeen"]
    assert found["subject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "shop",
        "name": "web",
        "uid": "u1",
    }
    assert found["metadata"]["namespace"] == "shop"
    kept.seen(sighting(at=NOW + 10_000))
    asyncio.run(kept.flush())
    assert api.only()["count"] == 9
    assert api.calls == ["create", "patch"]


def test_other_subjects_and_rules_are_other_objects_and_nodes_have_a_home() -> None:
    api = Api()
    kept = reports(api)
    for one in (
        sighting(),
        sighting(pod="db"),
        sighting(rule="Shéll / two"),
        sighting(pod=""),
        sighting(container="x"),
    ):
        kept.seen(one)
    asyncio.run(kept.flush())
    assert len(api.objects) == 5
    assert sorted({space for space, _ in api.objects}) == ["default", "shop"]
    assert all(len(name) < 253 and name[0].isalnum() for _, name in api.objects)


def test_few_are_written_at_a_time_and_the_rest_is_not_lost() -> None:
    api = Api()
    kept = reports(api)
    for index in range(7):
        kept.seen(sighting(pod=f"p{index}"))
    asyncio.run(kept.flush(3))
    assert len(api.objects) == 3
    asyncio.run(kept.flush(100))
    assert len(api.objects) == 7


def test_while_the_api_is_away_counts_go_on() -> None:
    api = Api()
    kept = reports(api)
    api.fault = Unreachable("away")
    kept.seen(sighting())
    asyncio.run(kept.flush())
    kept.seen(sighting())
    api.fault = None
    asyncio.run(kept.flush())
    assert api.only()["count"] == 2
    api.fault = Refusal(403, "Forbidden", "because it is being terminated")
    kept.seen(sighting(pod="other"))
    asyncio.run(kept.flush())
    assert len(kept) == 1


def test_there_are_never_more_than_so_many_and_the_old_go() -> None:
    api = Api()
    kept = reports(api, most=3)
    for index in range(5):
        kept.seen(sighting(pod=f"p{index}", at=NOW + index))
        asyncio.run(kept.flush())
    assert sorted(one["subject"]["name"] for one in api.objects.values()) == ["p2", "p3", "p4"]
    kept.seen(sighting(pod="p9", at=NOW - DAY - 1))
    kept.expire()
    asyncio.run(kept.flush())
    assert len(api.objects) == 2


def test_a_sensor_that_starts_again_takes_up_what_is_there() -> None:
    api = Api()
    first = reports(api)
    first.seen(sighting())
    asyncio.run(first.flush())
    api.objects["shop", "old"] = {
        "metadata": {"namespace": "shop", "name": "old", "labels": {"fairlead.dev/node": "one"}},
        "rule": "Old", "lastSeen": "2020-01-01T00:00:00Z",
    }  # fmt: skip
    api.objects["shop", "broken"] = {
        "metadata": {"namespace": "shop", "name": "broken", "labels": {"fairlead.dev/node": "one"}}
    }
    api.objects["shop", "other"] = {
        "metadata": {"namespace": "shop", "name": "other", "labels": {"fairlead.dev/node": "two"}}
    }
    again = reports(api)
    again.seen(sighting(at=NOW + 5000))
    asyncio.run(again.adopt())
    again.expire()
    asyncio.run(again.flush())
    assert api.objects.pop(("shop", "other"))
    assert (api.only()["count"], api.only()["rule"]) == (2, "Shell")


def test_what_somebody_deleted_begins_anew() -> None:
    api = Api()
    kept = reports(api)
    for _ in range(3):
        kept.seen(sighting())
    asyncio.run(kept.flush())
    api.objects.clear()
    kept.seen(sighting())
    asyncio.run(kept.flush())
    assert api.only()["count"] == 1


def test_an_audit_log_is_followed_through_rotations(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_text('{"auditID": 0}\n')
    tail = Tail(log)
    assert list(tail.read()) == []
    with log.open("a") as file:
        file.write('{"auditID": 1}\n[]\nnonsense\n{"audit')
        file.flush()
        assert list(tail.read()) == [{"auditID": 1}]
        file.write('ID": 2}\n')
    assert list(tail.read()) == [{"auditID": 2}]
    assert tail.damaged == 2
    log.rename(tmp_path / "audit.1")
    assert list(tail.read()) == []
    log.write_text('{"auditID": 3}\n')
    assert list(tail.read()) == [{"auditID": 3}]
    log.write_text("")
    assert list(tail.read()) == []
    log.write_text(json.dumps({"auditID": 4}) + "\n")
    assert list(tail.read()) == [{"auditID": 4}]
    tail.close()


def test_an_audit_log_that_is_not_there_yet(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "audit.jsonl")
    assert list(tail.read()) == []
    tail.path.write_text('{"auditID": 1}\n')
    assert list(tail.read()) == [{"auditID": 1}]
    tail.close()


def test_what_an_audit_event_is_about() -> None:
    event = {"objectRef": {"resource": "pods", "namespace": "shop", "name": "web"}}
    assert str(subject_of(event)) == "Pod shop/web"
    assert str(subject_of({"requestURI": "/healthz"})) == "Request /healthz"
    made = {
        "objectRef": {"resource": "configmaps", "namespace": "a"},
        "responseObject": {"metadata": {"name": "x"}},
    }
    assert str(subject_of(made)) == "ConfigMap a/x"


def test_what_the_sensor_writes_is_not_found_by_it() -> None:
    assert own({"user": {"groups": ["fairlead.dev:sensors"]}}, "fairlead.dev:sensors")
    assert not own({"user": {"groups": ["system:masters"]}}, "fairlead.dev:sensors")
    assert not own({}, "fairlead.dev:sensors")
