"""What somebody broke in a cluster, as data: objects added, dropped, merged; pods that ail; nodes that are lost.

Each fault of an incident is a verb with its object; see the methods of Incident. Used by tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from estate_words import Resource, ago, condition, digest, image_of, merged, named
from estates import Estate


class Incident(Estate):
    """An Estate in which something breaks."""

    def breaks(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Carry out what an incident says, in order."""
        for fault in faults:
            for verb, what in fault.items():
                getattr(self, f"_do_{verb}")(what)

    def _do_add(self, what: Iterable[Mapping[str, Any]]) -> None:
        for one in what:
            self.add(one)

    def _do_work(self, what: Mapping[str, Any]) -> None:
        self.work(**what)

    def _do_drop(self, what: Iterable[str]) -> None:
        for place in what:
            kind, *rest = place.split("/")
            key = (kind, rest[0] if len(rest) > 1 else "", rest[-1])
            for one in self.pods(self.objects[key]):
                self._forget(one)
            self._forget(self.objects[key])

    def _forget(self, one: Resource) -> None:
        meta = one["metadata"]
        del self.objects[one["kind"], meta.get("namespace", ""), meta["name"]]

    def _do_empty(self, what: Iterable[str]) -> None:
        """A workload has no pods any more."""
        for place in what:
            top = self.at(place)
            for one in self.pods(top):
                self._forget(one)
            if top["kind"] == "Deployment":
                self.current(top)["spec"]["replicas"] = top["spec"]["replicas"]
            self.tell(top)

    def _do_tell(self, what: Iterable[str]) -> None:
        for place in what:
            self.tell(self.at(place))

    def _do_owned(self, what: Mapping[str, str]) -> None:
        for place, owner in what.items():
            its = self.at(owner)
            self.at(place)["metadata"]["ownerReferences"] = [
                {
                    "apiVersion": its["apiVersion"],
                    "kind": its["kind"],
                    "name": its["metadata"]["name"],
                    "uid": its["metadata"]["uid"],
                    "controller": True,
                }
            ]

    def _do_refused(self, what: Mapping[str, Any]) -> None:
        """The API server refuses the pods of a Deployment's new revision; there are no others."""
        top = self.at(what["at"])
        for one in self.pods(top):
            self._forget(one)
        self.current(top)["spec"]["replicas"] = 0
        top["metadata"] |= {"generation": 4, "annotations": {"deployment.kubernetes.io/revision": "4"}}
        new = self._set(top, 4, replicas=top["spec"]["replicas"], age="20m")
        self.tell(top)
        said = what["message"].format(name=new["metadata"]["name"])
        failure = condition(
            "ReplicaFailure", "True", "FailedCreate", said.removeprefix("Error creating: "), "20m"
        )
        new["status"] = {"replicas": 0, "observedGeneration": 1, "conditions": [failure]}
        top["status"]["conditions"].append(failure)
        self.note(new, "FailedCreate", said, kind="Warning", by="replicaset-controller", count=17, age="3m")

    def _do_lost(self, name: str) -> None:
        """A node is not heard of any more; its pods are marked so and being deleted."""
        node = self.at(f"Node/{name}")
        for one in node["status"]["conditions"]:
            if one["type"] in {"MemoryPressure", "DiskPressure", "PIDPressure", "Ready"}:
                one.update(
                    condition(
                        one["type"],
                        "Unknown",
                        "NodeStatusUnknown",
                        "Kubelet stopped posting node status.",
                        "12m",
                    )
                )
                one["lastHeartbeatTime"] = ago("13m")
        node["spec"]["taints"] = [
            {"key": "node.kubernetes.io/unreachable", "effect": effect, "timeAdded": ago("12m")}
            for effect in ("NoSchedule", "NoExecute")
        ]
        self.note(
            node, "NodeNotReady", f"Node {name} status is now: NodeNotReady", by="node-controller", age="12m"
        )
        tops: dict[str, Resource] = {}
        for one in list(self.objects.values()):
            if (
                one["kind"] != "Pod"
                or one["spec"].get("nodeName") != name
                or one["status"]["phase"] != "Running"
            ):
                continue
            for its in one["status"]["conditions"]:
                if its["type"] == "Ready":
                    its.update(condition("Ready", "False", "", "", "12m"))
            self.note(
                one, "NodeNotReady", "Node is not ready", kind="Warning", by="node-controller", age="12m"
            )
            top = self._top(one)
            if top is not None:
                tops[top["metadata"]["uid"]] = top
            if top is not None and top["kind"] != "DaemonSet":
                one["metadata"] |= {"deletionTimestamp": ago("6m"), "deletionGracePeriodSeconds": 30}
                self.note(
                    one,
                    "TaintManagerEviction",
                    f"Marking for deletion Pod {one['metadata']['namespace']}/{one['metadata']['name']}",
                    by="taint-eviction-controller",
                    age="7m",
                )
                if top["kind"] == "Deployment":
                    its = self.current(top)["metadata"]["name"]
                    fresh = self.pod(
                        top,
                        f"{its}-{digest(one['metadata']['name'], size=5)}",
                        f"ReplicaSet/{its}",
                        next(other for other in self.nodes if other != name),
                        age="7m",
                    )
                    fresh["metadata"]["labels"] |= {}
        for top in tops.values():
            self.tell(top)

    def _top(self, one: Resource) -> Resource | None:
        owners = one["metadata"].get("ownerReferences") or ()
        if not owners:
            return one if one["kind"] != "Pod" else None
        found = self.objects.get((owners[0]["kind"], one["metadata"].get("namespace", ""), owners[0]["name"]))
        return self._top(found) if found is not None else None

    def _do_pressure(self, what: Mapping[str, str]) -> None:
        for one in self.at(f"Node/{what['node']}")["status"]["conditions"]:
            if one["type"] == what["kind"]:
                one.update(condition(what["kind"], "True", what["reason"], what["message"], "20m"))

    def _do_merge(self, what: Mapping[str, Mapping[str, Any]]) -> None:
        for place, patch in what.items():
            one = self.at(place)
            one.update(merged({key: value for key, value in one.items() if key in patch}, patch))

    def _do_note(self, what: Iterable[Mapping[str, Any]]) -> None:
        for one in what:
            rest = {key: value for key, value in one.items() if key != "about"}
            self.note(self.at(one["about"]), **rest)

    def _do_ail(self, what: Mapping[str, Any]) -> None:
        """How pods of a workload are: `at`, `set` (of the pod template), `roll` (a new revision), `pods` (how many), `state` and Events."""
        top = self.at(what["at"])
        name = what.get("container") or top["spec"]["template"]["spec"]["containers"][0]["name"]
        pods = self.pods(top)
        age = what.get("age", "20m")
        pods = [one for one in pods if one["status"]["phase"] == "Running"]
        if "set" in what:
            top["spec"]["template"] = merged(
                top["spec"]["template"],
                {"spec": named(what["set"], name)} if "spec" not in what["set"] else what["set"],
            )
        if what.get("roll") and top["kind"] == "Deployment":
            top["metadata"] |= {"generation": 4, "annotations": {"deployment.kubernetes.io/revision": "4"}}
            old = self.current(top)
            self._set(top, 4, replicas=1, age=age)
            keep = top["spec"]["replicas"] if what["roll"] == "beside" else 0
            old["spec"]["replicas"] = keep
            for one in pods[keep:]:
                self._forget(one)
            before = {one["metadata"]["name"] for one in pods}
            self._pods(top, 1 if keep else top["spec"]["replicas"], age=age)
            self.current(top)["spec"]["replicas"] = 1 if keep else top["spec"]["replicas"]
            pods = [one for one in self.pods(self.current(top)) if one["metadata"]["name"] not in before]
        elif "set" in what or what.get("fresh"):
            fresh = []
            for one in pods:
                self._forget(one)
                fresh.append(
                    self.pod(
                        top,
                        one["metadata"]["name"],
                        "{kind}/{name}".format(**one["metadata"]["ownerReferences"][0]),
                        one["spec"]["nodeName"],
                        age=age,
                    )
                )
            pods = fresh
        for one in pods[: what.get("pods", len(pods))]:
            self._ill(one, name, what.get("state") or {}, age)
            for note in what.get("notes", ()):
                rest = dict(note)
                rest["message"] = rest["message"].format(
                    pod=one["metadata"]["name"],
                    node=one["spec"].get("nodeName", ""),
                    uid=one["metadata"]["uid"],
                    ip=one["status"].get("podIP", ""),
                    image=image_of(one, name),
                )
                self.note(one, **{"kind": "Warning", "age": "40s", **rest})
        self.tell(top)

    def _ill(self, pod: Resource, name: str, state: Mapping[str, Any], age: str) -> None:
        status = pod["status"]
        if not state:
            return
        conditions = {one["type"]: one for one in status["conditions"]}
        ready = {"Ready", "ContainersReady"}
        if "unscheduled" in state:
            pod["spec"].pop("nodeName")
            pod["status"] = {
                "phase": "Pending",
                "qosClass": "Burstable",
                "conditions": [
                    condition(
                        "PodScheduled",
                        "False",
                        state.get("reason", "Unschedulable"),
                        state["unscheduled"],
                        age,
                    )
                ],
            }
            if state.get("reason", "Unschedulable") == "Unschedulable":
                self.note(
                    pod,
                    "FailedScheduling",
                    state["unscheduled"],
                    kind="Warning",
                    by="default-scheduler",
                    count=5,
                    age="90s",
                )
            return
        if state.get("ready", False) is False:
            for kind in ready:
                conditions[kind] |= condition(
                    kind, "False", "ContainersNotReady", f"containers with unready status: [{name}]", age
                )
        status["phase"] = state.get("phase", "Running")
        creating = (state.get("waiting") or {}).get("reason") in {"ContainerCreating", "PodInitializing"}
        for its in (*status["containerStatuses"], *status.get("initContainerStatuses", ())):
            if its["name"] == name or creating:
                where = its if not creating or its["name"] == name else None
                if where is None:
                    its |= {
                        "state": {
                            "waiting": {
                                "reason": "PodInitializing"
                                if "initContainerStatuses" in status
                                else "ContainerCreating"
                            }
                        },
                        "ready": False,
                        "started": False,
                    }
                    continue
                its |= {
                    "ready": state.get("ready", False),
                    "restartCount": state.get("restarts", 0),
                    "started": bool(state.get("running")),
                }
                if "waiting" in state:
                    words = {
                        key: value.format(
                            pod=pod["metadata"]["name"],
                            image=image_of(pod, name),
                            uid=pod["metadata"]["uid"],
                            container=name,
                            space=pod["metadata"]["namespace"],
                        )
                        for key, value in state["waiting"].items()
                    }
                    its["state"] = {"waiting": words}
                elif "terminated" in state:
                    its["state"] = {
                        "terminated": {
                            "startedAt": ago("60s"),
                            "finishedAt": ago("55s"),
                            **state["terminated"],
                        }
                    }
                elif "running" in state:
                    its["state"] = {"running": {"startedAt": ago(state["running"])}}
                if "last" in state:
                    its["lastState"] = {
                        "terminated": {
                            "startedAt": ago("95s"),
                            "finishedAt": ago("90s"),
                            "containerID": "containerd://bb",
                            **state["last"],
                        }
                    }
        if any(name == one["name"] for one in status.get("initContainerStatuses", ())):
            conditions["Initialized"] |= condition(
                "Initialized",
                "False",
                "ContainersNotInitialized",
                f"containers with incomplete status: [{name}]",
                age,
            )
            for its in status["containerStatuses"]:
                its |= {"state": {"waiting": {"reason": "PodInitializing"}}, "ready": False, "started": False}
        status |= state.get("status", {})
