"""Records of revisions, how an interrupted one is gone on with, and what a run waits for."""

from __future__ import annotations

import base64
import copy
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.converge import resuming, revisions
from fairlead.converge.health import Health
from fairlead.converge.inventory import Inventory
from fairlead.converge.revisions import BadRecord, Line, Record
from fairlead.converge.stages import Desired, Instance, Stage
from fairlead.converge.waiting import Waiting, hint, pods_of
from fairlead.words import Ref

SHOP = Instance("shop", "n")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def config(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "n"},
        "data": data,
    }


def desired(*objects: dict[str, Any], **more: Any) -> Desired:
    return Desired(
        instance=SHOP, stages=(Stage("s", objects),), source="here", package="p", version="1.0.0", **more
    )


def record(*objects: dict[str, Any], known: Inventory | None = None) -> Record:
    return revisions.record_of(desired(*objects), 3, known or Inventory(), "2026-01-01T00:00:00Z")


def test_a_record_comes_back_as_it_was() -> None:
    before = replace(
        record(config("a", k="v"), known=Inventory.of([config("old")])), proofs={"x": "y"}, done=("hook",)
    )
    *parts, head = revisions.encode(before)
    assert (head["metadata"]["name"], head["type"], len(parts)) == (
        "fairlead.shop.v3",
        "fairlead.dev/revision",
        1,
    )
    assert revisions.is_record(head)
    assert not revisions.is_record(parts[0])
    closed = revisions.decode(head)
    assert [one.id for one in closed.inventory] == ["n_a__ConfigMap", "n_old__ConfigMap"]
    assert not closed.opened
    found = revisions.opened(closed, parts)
    assert found == replace(before, chunks=1)
    assert revisions.parts_of(closed) == ["fairlead.shop.v3.0"]


def test_what_is_too_big_for_one_secret_is_kept_in_several() -> None:
    noise = {f"k{index}": hashlib.sha512(str(index).encode()).hexdigest() for index in range(20_000)}
    *parts, head = revisions.encode(record(config("big", **noise)))
    assert len(parts) > 1
    for one in (*parts, head):
        assert sum(len(base64.b64decode(value)) for value in one["data"].values()) < 2**20
    assert revisions.opened(revisions.decode(head), parts).stages[0].objects[0]["data"] == noise
    with pytest.raises(BadRecord, match=r"is kept in \d parts, and 1 are there"):
        revisions.opened(revisions.decode(head), parts[:1])


def test_broken_records_are_told() -> None:
    head = revisions.encode(record(config("a")))[-1]
    for broken in ("!", base64.b64encode(b"no").decode(), head["data"]["outcome"][:40]):
        bad = copy.deepcopy(head)
        bad["data"]["outcome"] = broken
        with pytest.raises(BadRecord, match=r"Secret n/fairlead\.shop\.v3"):
            revisions.decode(bad)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a" * 54, "a.b", "../x"])
def test_names_that_no_instance_can_have(name: str) -> None:
    with pytest.raises(BadRecord, match="is no name of an instance"):
        revisions.check_name(name)


def line(number: int, state: str) -> Line:
    return Line(SHOP, number, state, {})


def test_ten_revisions_are_kept_and_never_less_than_the_deployed_one() -> None:
    history = [line(1, "deployed"), *(line(number, "failed") for number in range(2, 15))]
    assert revisions.to_forget(history) == [2, 3, 4]
    assert revisions.to_forget(history[:5]) == []


def test_an_interrupted_revision_is_gone_on_with_or_superseded() -> None:
    last = record(config("a"), known=Inventory.of([config("old")]))
    assert resuming.start(desired(config("a")), None).way == "first"
    same = resuming.start(desired(config("a")), last)
    assert (same.way, same.number, same.resumes) == ("resume", 3, True)
    other = resuming.start(desired(config("b")), last)
    assert (other.way, other.number) == ("supersede", 4)
    assert [one.ref.name for one in other.known] == ["old", "a"]
    done = resuming.start(desired(config("a")), replace(last, state="deployed"))
    assert (done.way, done.number) == ("next", 4)


def test_where_a_rollback_leads() -> None:
    history = [line(1, "superseded"), line(2, "failed"), line(3, "superseded"), line(4, "failed")]
    assert resuming.back(history) == 3
    assert resuming.back(history, 1) == 1
    with pytest.raises(resuming.NoWayBack, match="there is no revision 9: there are 1, 2, 3, 4"):
        resuming.back(history, 9)
    with pytest.raises(resuming.NoWayBack, match="no revision before 1 was ever deployed"):
        resuming.back([line(1, "deployed")])
    with pytest.raises(resuming.NoWayBack):
        resuming.back([])


def test_what_blocks_is_named_with_since_when_and_why() -> None:
    web, job, pod = (
        Ref("apps", kind, "shop", name) for kind, name in (("Deployment", "web"), ("Job", "j"), ("Pod", "p"))
    )
    waiting = Waiting()
    waiting.see(web, Health("InProgress", "Ready: 1/3"), NOW, "pod web-abc: ImagePullBackOff")
    waiting.see(job, Health("Current"), NOW)
    assert not waiting.over
    [one] = waiting.blockers()
    assert (
        one.line(NOW + timedelta(seconds=42))
        == "Deployment shop/web: Ready: 1/3: pod web-abc: ImagePullBackOff (42 s)"
    )
    assert waiting.lost(NOW) == []
    waiting.see(pod, Health("Failed", "Containers in CrashLoop state: web"), NOW)
    assert waiting.lost(NOW) == []  # it may come right
    assert [one.ref for one in waiting.lost(NOW + timedelta(seconds=11))] == [pod]
    waiting.see(job, Health("Failed", "Job Failed"), NOW)
    assert [one.ref for one in waiting.lost(NOW)] == [job]
    assert waiting.blockers()[0].health.state == "Failed"
    for ref in (web, job, pod):
        waiting.see(ref, Health("Current"), NOW)
    assert waiting.over


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ErrImagePull"}}}]}, "pod p: ErrImagePull"),
        ({"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
        ({"initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 3}}}]}, "pod p: container i ended with exit code 3"),
        ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no nodes"}]}, "pod p: Unschedulable: no nodes"),
        ({"phase": "Running"}, "pod p: is not ready"),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, ""),
    ],
)  # fmt: skip
def test_hints_from_pods(status: dict[str, Any], said: str) -> None:
    assert hint([{"metadata": {"name": "p"}, "status": status}]) == said


def test_pods_are_found_by_their_workloads_selector() -> None:
    assert pods_of({"kind": "Deployment", "spec": {"selector": {"matchLabels": {"app": "x"}}}}) == {
        "app": "x"
    }
    assert pods_of({"kind": "Service", "spec": {"selector": {"app": "x"}}}) == {}
