"""DaemonSets: one pod on every node that wants it.

Source: k8s.io/kubernetes/pkg/controller/daemon. The scheduler binds the pods; each is made for one node by its
affinity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fairlead.orchestrate import conditions, fitting, lives, moments, owning, proposing, revisions
from fairlead.orchestrate.rollouts import scaled
from fairlead.orchestrate.steps import Controller, Refused, Step
from fairlead.tongues import selectors
from fairlead.words import Change, Ref, Resource, View

KIND = ("apps", "DaemonSet")
COMPONENT = "daemonset-controller"
GENERATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"
BURST = 250


@dataclass(slots=True)
class _Work:
    view: View
    owner: Resource
    now: datetime
    digest: str
    nodes: Mapping[str, Resource]
    pods: Mapping[str, list[Resource]]
    create: list[str] = field(default_factory=list)
    delete: list[Resource] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def tell(self, severity: str, reason: str, message: str) -> None:
        self.changes.append(proposing.event(self.owner, severity, reason, message, self.now, COMPONENT))

    def is_available(self, pod: Resource) -> bool:
        return lives.is_available(pod, int(self.owner["spec"].get("minReadySeconds") or 0), self.now)

    def is_new(self, pod: Resource) -> bool:
        if owning.labels(pod).get(revisions.LABEL) == self.digest:
            return True
        generation = _generation(self.owner)
        return generation is not None and owning.labels(pod).get(GENERATION_LABEL) == generation


def _generation(owner: Resource) -> str | None:
    found: str | None = (owner["metadata"].get("annotations") or {}).get(GENERATION)
    return found


def tolerations(template: Resource) -> list[dict[str, Any]]:
    """Return the template's tolerations with those that every daemon has: trouble of a node does not drive it away."""
    spec = template.get("spec") or {}
    more = [
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ]
    if spec.get("hostNetwork"):
        more.append(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    found = [dict(entry) for entry in spec.get("tolerations") or ()]
    for key, effect in more:
        entry = {"key": key, "operator": "Exists", "effect": effect}
        if entry not in found:
            found.append(entry)
    return found


def suits(owner: Resource, node: Resource) -> tuple[bool, bool]:
    """Return whether a daemon should be started on the node, and whether one that runs there may stay."""
    template = owner["spec"]["template"]
    spec = {**(template.get("spec") or {}), "tolerations": tolerations(template)}
    pod = {"spec": spec}
    if spec.get("nodeName") and spec["nodeName"] != node["metadata"]["name"]:
        return False, False
    if not fitting.wants_node(pod, node):
        return False, False
    if fitting.untolerated(spec["tolerations"], fitting.taints(node)) is None:
        return True, True
    banned = fitting.untolerated(spec["tolerations"], fitting.taints(node), "NoExecute".__eq__)
    return False, banned is None


def node_of(pod: Resource) -> str:
    """Return the node that a daemon is on or was made for."""
    if lives.node_of(pod):
        return lives.node_of(pod)
    names = fitting.named_nodes(pod) or set()
    return next(iter(sorted(names)), "")


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    owner = view.get(*KIND, ref.namespace, ref.name)
    if owner is None or owning.is_deleted(owner):
        return Step()
    selector = owner["spec"].get("selector") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        text = "This daemon set is selecting all pods. A non-empty selector is required."
        return Step((proposing.event(owner, "Warning", "SelectingAll", text, now, COMPONENT),))
    claim = owning.claim(view, owner, selectors.from_object(selector), ("", "Pod"))
    history = revisions.history(view, owner, revisions.LABEL, annotate=True)
    digest = owning.labels(history.newest).get(revisions.LABEL, "")
    by_node: dict[str, list[Resource]] = {}
    for pod in claim.mine:
        by_node.setdefault(node_of(pod), []).append(pod)
    nodes = {node["metadata"]["name"]: node for node in view.list("", "Node")}
    work = _Work(view, owner, now, digest, nodes, by_node)
    work.changes += [*claim.changes, *history.changes]
    _manage(work)
    if not work.create and not work.delete and _strategy(owner) == "RollingUpdate":
        _roll(work)
    _propose(work)
    used = [
        item["metadata"]["name"]
        for item in history.revisions
        for pod in claim.mine
        if owning.labels(pod).get(revisions.LABEL) == owning.labels(item).get(revisions.LABEL)
    ]
    work.changes += revisions.truncate(history, owner, used)
    work.changes += proposing.status(owner, _status(work))
    seconds = int(owner["spec"].get("minReadySeconds") or 0)
    waits = [lives.available_in(pod, seconds, now) for pod in claim.mine]
    return Step(tuple(work.changes), moments.soonest(wait for wait in waits if wait))


def _strategy(owner: Resource) -> str:
    return (owner["spec"].get("updateStrategy") or {}).get("type") or "RollingUpdate"


def _manage(work: _Work) -> None:
    """Find nodes without their daemon, and daemons that are finished, too many or in the wrong place."""
    namespace = work.owner["metadata"].get("namespace", "")
    surge = _margins(work)[0] > 0
    for name, node in work.nodes.items():
        should, may_stay = suits(work.owner, node)
        pods = work.pods.get(name, [])
        if not may_stay:
            work.delete += [pod for pod in pods if not owning.is_deleted(pod)]
            continue
        if not pods:
            if should:
                work.create.append(name)
            continue
        living = []
        for pod in pods:
            if owning.is_deleted(pod):
                continue
            what = f"daemon pod {namespace}/{pod['metadata']['name']} on node {name}"
            if lives.phase(pod) == "Failed":
                work.tell("Warning", "FailedDaemonPod", f"Found failed {what}, will try to kill it")
                work.delete.append(pod)
            elif lives.phase(pod) == "Succeeded":
                work.tell("Normal", "SucceededDaemonPod", f"Found succeeded {what}, will try to delete it")
                work.delete.append(pod)
            else:
                living.append(pod)
        if len(living) > 1:
            _thin(work, lives.oldest_first(living), surge=surge)
    gone = set(work.pods) - set(work.nodes)
    work.delete += [
        pod
        for name in gone
        for pod in work.pods[name]
        if not lives.node_of(pod) and not owning.is_deleted(pod)
    ]


def _thin(work: _Work, living: list[Resource], *, surge: bool) -> None:
    """Of several daemons on a node keep the oldest; during a surge, the oldest of each side of the update."""
    if not surge:
        work.delete += living[1:]
        return
    old = [pod for pod in living if not work.is_new(pod)]
    new = [pod for pod in living if work.is_new(pod)]
    work.delete += [*old[1:], *new[1:]]


def _margins(work: _Work) -> tuple[int, int]:
    """Return maxSurge and maxUnavailable of a rolling update, both rounded up, of the nodes that want a daemon."""
    rolling = (work.owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    wanted = sum(suits(work.owner, node)[0] for node in work.nodes.values())
    surge = scaled(rolling.get("maxSurge"), wanted, up=True)
    unavailable = scaled(rolling.get("maxUnavailable"), wanted, up=True, default=0 if surge else 1)
    if _strategy(work.owner) != "RollingUpdate":
        return 0, 0
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def _sides(work: _Work, name: str) -> tuple[Resource | None, Resource | None, bool]:
    """Return the node's new and its old daemon, and whether it has at most one of each."""
    living = [pod for pod in work.pods.get(name, ()) if not owning.is_deleted(pod)]
    new = [pod for pod in living if work.is_new(pod)]
    old = [pod for pod in living if not work.is_new(pod)]
    clear = len(new) <= 1 and len(old) <= 1
    return (new[0] if new else None), (old[0] if old else None), clear


def _roll(work: _Work) -> None:
    surge, unavailable = _margins(work)
    wanted = [name for name, node in work.nodes.items() if suits(work.owner, node)[0]]
    if surge == 0:
        _replace(work, wanted, unavailable)
    else:
        _surge(work, wanted, surge)


def _replace(work: _Work, wanted: Iterable[str], unavailable: int) -> None:
    missing = 0
    broken: list[Resource] = []
    candidates: list[Resource] = []
    for name in wanted:
        new, old, clear = _sides(work, name)
        if not clear or (new is None) == (old is None):
            missing += 1
        elif new is not None:
            missing += not work.is_available(new)
        elif old is not None and not work.is_available(old):
            missing += 1
            broken.append(old)
        elif old is not None:
            candidates.append(old)
    work.delete += [*broken, *candidates[: max(unavailable - missing, 0)]]


def _surge(work: _Work, wanted: Iterable[str], surge: int) -> None:
    moving = 0
    now: list[str] = []
    candidates: list[str] = []
    for name in wanted:
        new, old, clear = _sides(work, name)
        if not clear:
            moving += 1
        elif old is None:
            moving += new is None
        elif new is None:
            (candidates if work.is_available(old) else now).append(name)
        elif work.is_available(new):
            work.delete.append(old)
        else:
            moving += 1
    work.create += [*now, *candidates[: max(surge - moving, 0)]]


def _propose(work: _Work) -> None:
    owner = work.owner
    name = owner["metadata"]["name"]
    stem = f"{name}-"
    namespace = owner["metadata"].get("namespace", "")
    taken = [pod["metadata"]["name"] for pod in work.view.list("", "Pod", namespace)]
    chosen = work.create[:BURST]
    names = owning.fresh_names(stem, len(chosen), taken, owner["metadata"].get("uid"), work.now.isoformat())
    for node, own in zip(chosen, names, strict=True):
        work.changes.append(proposing.create(_daemon(work, own, stem, node), f"node {node} lacks its daemon"))
        work.tell("Normal", "SuccessfulCreate", f"Created pod: {own}")
    for pod in work.delete[:BURST]:
        work.changes.append(proposing.delete(pod, f"DaemonSet {name} does not want it any more"))
        work.tell("Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")


def _daemon(work: _Work, name: str, stem: str, node: str) -> Resource:
    template = work.owner["spec"]["template"]
    pod = owning.pod_from(template, work.owner, name, stem)
    marks = {**(pod["metadata"].get("labels") or {}), revisions.LABEL: work.digest}
    generation = _generation(work.owner)
    if generation is not None:
        marks[GENERATION_LABEL] = generation
    pod["metadata"]["labels"] = marks
    pod["spec"]["tolerations"] = tolerations(template)
    pod["spec"]["affinity"] = _bound_to(node, pod["spec"].get("affinity") or {})
    return pod


def _bound_to(node: str, affinity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the affinity with every required node term replaced by one that names the node."""
    field_term = {"key": "metadata.name", "operator": "In", "values": [node]}
    by_node = {
        **(affinity.get("nodeAffinity") or {}),
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [field_term]}]
        },
    }
    return {**affinity, "nodeAffinity": by_node}


def _status(work: _Work) -> dict[str, Any]:
    counts = dict.fromkeys(("desired", "current", "misscheduled", "ready", "available", "updated"), 0)
    for name, node in work.nodes.items():
        pods = work.pods.get(name, [])
        if not suits(work.owner, node)[0]:
            counts["misscheduled"] += bool(pods)
            continue
        counts["desired"] += 1
        if not pods:
            continue
        counts["current"] += 1
        oldest_ready = min(pods, key=lambda pod: (not lives.is_ready(pod), lives.created(pod)))
        if lives.is_ready(oldest_ready):
            counts["ready"] += 1
            counts["available"] += work.is_available(oldest_ready)
        counts["updated"] += any(work.is_new(pod) for pod in pods)
    status: dict[str, Any] = {
        "currentNumberScheduled": counts["current"],
        "numberMisscheduled": counts["misscheduled"],
        "desiredNumberScheduled": counts["desired"],
        "numberReady": counts["ready"],
        "observedGeneration": work.owner["metadata"].get("generation", 0),
    }
    more = {
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
    }
    kept: list[conditions.Condition] = (work.owner.get("status") or {}).get("conditions") or []
    status |= {key: value for key, value in more.items() if value}
    return {**status, "conditions": kept} if kept else status


def _refused(view: View, ref: Ref, change: Change, refusal: Refused, now: datetime) -> Step:
    owner = view.get(*KIND, ref.namespace, ref.name)
    if owner is None or change.ref.kind != "Pod" or refusal.reason in {"AlreadyExists", "Conflict"}:
        return Step()
    made = change.verb == "create"
    text = f"Error {'creating' if made else 'deleting'}: {refusal.message}"
    reason = "FailedCreate" if made else "FailedDelete"
    return Step((proposing.event(owner, "Warning", reason, text, now, COMPONENT),))


def _of_pod(view: View, pod: Resource) -> list[Ref]:
    return owning.concerned(view, pod, *KIND)


def _of_revision(view: View, revision: Resource) -> list[Ref]:
    del view
    return owning.controller_ref(revision, *KIND)


def _of_node(view: View, node: Resource) -> list[Ref]:
    del node
    return [Ref.of(owner) for owner in view.list(*KIND)]


DAEMON_SETS = Controller(
    name="daemonset",
    kind=KIND,
    reconcile=_reconcile,
    watches={
        ("", "Pod"): _of_pod,
        ("", "Node"): _of_node,
        revisions.KIND: _of_revision,
    },
    refused=_refused,
)
