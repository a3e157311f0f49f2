"""A cluster in memory to run controllers on: it stores what it is told, and a pretended kubelet makes pods run."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.orchestrate import moments, settling
from fairlead.orchestrate.controllers import CONTROLLERS
from fairlead.orchestrate.steps import Controller, Refused
from fairlead.words import Change, Ref, Resource, Snapshot

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def merge(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


class Cluster(Snapshot):
    """A Target: enough of an API server for controllers, with uids, versions, generations, finalizers and owners."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.refuse: Callable[[Change], Refused | None] = lambda _: None
        self.silent: set[str] = set()
        self._uids = itertools.count(1)
        self._versions = itertools.count(1)
        self.add(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": "default"},
                "status": {"phase": "Active"},
            }
        )

    def add(self, body: Resource) -> Resource:
        body = copy.deepcopy(body)
        meta = body.setdefault("metadata", {})
        if body["kind"] not in {"Node", "Namespace", "PersistentVolume", "StorageClass", "PriorityClass"}:
            meta.setdefault("namespace", "default")
        meta.setdefault("uid", f"uid-{next(self._uids)}")
        meta.setdefault("creationTimestamp", moments.stamp(self.now))
        meta.setdefault("generation", 1)
        meta["resourceVersion"] = str(next(self._versions))
        if body["kind"] == "Pod":
            body.setdefault("status", {}).setdefault("phase", "Pending")
        self.put(body)
        return body

    def of(self, ref: Ref) -> Resource:
        found = self.get(ref.group, ref.kind, ref.namespace, ref.name)
        if found is None:
            raise Refused(404, "NotFound", f"{ref} not found")
        return found

    def find(self, kind: str, name: str, group: str = "", namespace: str = "default") -> Resource:
        return self.of(Ref(group, kind, namespace, name))

    def named(self, kind: str, group: str = "") -> list[str]:
        return [item["metadata"]["name"] for item in self.list(group, kind)]

    def said(self, reason: str) -> list[str]:
        return [event["message"] for event in self.list("", "Event") if event["reason"] == reason]

    def edit(self, resource: Resource, patch: Mapping[str, Any]) -> Resource:
        old = self.of(Ref.of(resource))
        new: Resource = merge(old, dict(patch))
        new["metadata"]["resourceVersion"] = str(next(self._versions))
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        self.put(new)
        spaces = (new.get("spec") or {}).get("finalizers")
        if new["kind"] == "Namespace" and spaces:
            return new
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            self.vanish(new)
        return new

    def vanish(self, resource: Resource) -> None:
        self.drop(Ref.of(resource))
        for child in self.owned(resource["metadata"]["uid"]):
            self.remove(child)

    def drop_only(self, resource: Resource) -> None:
        """Make the object vanish without its dependents, as they are still there for a moment."""
        self.drop(Ref.of(resource))

    def remove(self, resource: Resource) -> None:
        old = self.of(Ref.of(resource))
        runs = old["kind"] == "Pod" and (old.get("spec") or {}).get("nodeName") and not self._ended(old)
        if runs or old["metadata"].get("finalizers") or (old.get("spec") or {}).get("finalizers"):
            if not old["metadata"].get("deletionTimestamp"):
                stamp = moments.stamp(self.now)
                self.put({**old, "metadata": {**old["metadata"], "deletionTimestamp": stamp}})
            return
        self.vanish(old)

    @staticmethod
    def _ended(pod: Resource) -> bool:
        return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}

    def carry_out(self, change: Change) -> None:
        refusal = self.refuse(change)
        if refusal is not None:
            raise refusal
        if change.subresource == "binding":
            self.edit(self.of(change.ref), {"spec": {"nodeName": change.body["target"]["name"]}})
            return
        if change.verb == "create":
            self._create(change)
            return
        old = self.of(change.ref)
        meta = old["metadata"]
        if change.if_uid and change.if_uid != meta["uid"]:
            raise Refused(409, "Conflict", "uid")
        if change.if_version and change.if_version != meta["resourceVersion"]:
            raise Refused(409, "Conflict", "resourceVersion")
        if change.verb == "delete":
            self.remove(old)
        elif change.verb == "patch":
            assert change.patch == "merge"
            self.edit(old, change.body)
        else:
            self.edit(old, change.body)

    def _create(self, change: Change) -> None:
        body = change.body
        ref = Ref.of(body)
        known = self.get(ref.group, ref.kind, ref.namespace, ref.name)
        if known is not None:
            if ref.kind == "Event":
                self.edit(known, {"count": known["count"] + 1, "lastTimestamp": body["lastTimestamp"]})
                return
            raise Refused(409, "AlreadyExists", f"{ref} already exists")
        self.add(body)

    # What others do

    def node(self, name: str = "one", **allocatable: str) -> Resource:
        room = {"cpu": "4", "memory": "8Gi", "pods": "110", **allocatable}
        self.add(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": "kube-node-lease"},
                "spec": {"holderIdentity": name, "renewTime": moments.micro(self.now)},
            }
        )
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": moments.stamp(self.now)}
        return self.add(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "spec": {},
                "status": {"allocatable": room, "capacity": room, "conditions": [ready]},
            }
        )

    def tick(self, seconds: float = 1) -> None:
        self.now += timedelta(seconds=seconds)
        for node in self.list("", "Node"):
            if node["metadata"]["name"] not in self.silent:
                lease = Ref("coordination.k8s.io", "Lease", "kube-node-lease", node["metadata"]["name"])
                self.edit(self.of(lease), {"spec": {"renewTime": moments.micro(self.now)}})

    def settle(self, *controllers: Controller, rounds: int = 100) -> settling.Settled:
        settled = settling.settle(self, self.now, controllers or CONTROLLERS, rounds)
        assert not settled.faults, settled.faults
        assert settled.quiet
        return settled

    def step(self, *controllers: Controller) -> settling.Settled:
        return settling.settle(self, self.now, controllers or CONTROLLERS, 1)

    def report(self, pod: Resource, phase: str = "Running", *, ready: bool | None = None) -> Resource:
        is_ready = phase == "Running" if ready is None else ready
        stamp = moments.stamp(self.now)
        condition = {"type": "Ready", "status": str(is_ready), "lastTransitionTime": stamp}
        pod = self.of(Ref.of(pod))
        address = f"10.0.0.{int(pod['metadata']['uid'].removeprefix('uid-')) % 250 + 1}"
        status = {"phase": phase, "conditions": [condition], "podIP": address, "podIPs": [{"ip": address}]}
        return self.edit(pod, {"status": status})

    def kubelet(self, *, ready: bool = True) -> bool:
        """Start every bound pod and end every deleted one; tell whether there was anything to do."""
        busy = False
        for pod in self.list("", "Pod"):
            if not pod["spec"].get("nodeName"):
                continue
            if pod["metadata"].get("deletionTimestamp"):
                if not self._ended(pod):
                    self.report(pod, "Failed", ready=False)
                    busy = True
                if not pod["metadata"].get("finalizers"):
                    self.vanish(pod)
                    busy = True
            elif pod["status"]["phase"] == "Pending":
                self.report(pod, "Running", ready=ready)
                busy = True
        return busy

    def run(self, *controllers: Controller, ready: bool = True) -> None:
        """Let controllers and kubelet go on until nothing moves any more."""
        for _ in range(100):
            self.settle(*controllers)
            if not self.kubelet(ready=ready):
                return
            self.tick()
        raise AssertionError("the cluster never comes to rest")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture(scope="session")
def make_cluster() -> Callable[[], Cluster]:
    return Cluster
