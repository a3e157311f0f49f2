"""Where a Pod may go: the scheduler's filters, and why not, in the words of Kubernetes' own plugins.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins. Each filter takes the Pod, one node and the whole board and
returns its objections. Must never bind or change anything but the Board that it was given to add pods to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fairlead.orchestrate import demands, fitting, lives, owning, volumes
from fairlead.tongues import selectors
from fairlead.words import Resource, View

HELPLESS = "Preemption is not helpful for scheduling"


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a node is no place for a Pod; `final` when evicting others from it would not help."""

    text: str
    final: bool = False


@dataclass(slots=True)
class Seat:
    """A node and the pods on it."""

    node: Resource
    room: dict[str, int]
    pods: dict[str, Resource] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    floor: dict[str, int] = field(default_factory=dict)
    wary: dict[str, Resource] = field(default_factory=dict)
    """Those of the pods that want others kept away."""

    @property
    def name(self) -> str:
        """The node's name."""
        name: str = self.node["metadata"]["name"]
        return name

    def add(self, pod: Resource) -> None:
        """Count the Pod as running here."""
        key = pod["metadata"].get("uid") or pod["metadata"]["name"]
        self.pods[key] = pod
        if terms(pod, "podAntiAffinity"):
            self.wary[key] = pod
        demands.add(self.used, demands.requests(pod))
        demands.add(self.floor, demands.requests(pod, floor=True))

    def remove(self, pod: Resource) -> None:
        """Take the Pod away again."""
        key = pod["metadata"].get("uid") or pod["metadata"]["name"]
        del self.pods[key]
        self.wary.pop(key, None)
        demands.add(self.used, demands.requests(pod), -1)
        demands.add(self.floor, demands.requests(pod, floor=True), -1)


@dataclass(slots=True)
class Board:
    """All nodes with their pods, and the rest of the cluster to look things up in."""

    view: View
    seats: dict[str, Seat]

    @classmethod
    def of(cls, view: View) -> Board:
        """Set up the board: every node, every pod that is bound and has not finished."""
        board = cls(view, {})
        for node in view.list("", "Node"):
            board.seats[node["metadata"]["name"]] = Seat(node, demands.allocatable(node))
        for pod in view.list("", "Pod"):
            seat = board.seats.get(lives.node_of(pod))
            if seat is not None and not lives.is_finished(pod):
                seat.add(pod)
        return board

    def pods(self) -> Iterator[tuple[Seat, Resource]]:
        """Every pod with its seat."""
        for seat in self.seats.values():
            for pod in seat.pods.values():
                yield seat, pod


Filter = Callable[[Resource, Seat, Board], Iterable[Objection]]


def _unschedulable(pod: Resource, seat: Seat, board: Board) -> Iterable[Objection]:
    del board
    if (seat.node.get("spec") or {}).get("unschedulable"):
        taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        if fitting.untolerated(fitting.tolerations(pod), [taint]):
            yield Objection("node(s) were unschedulable", final=True)


def _taints(pod: Resource, seat: Seat, board: Board) -> Iterable[Objection]:
    del board
    taint = fitting.untolerated(fitting.tolerations(pod), fitting.taints(seat.node))
    if taint is not None:
        pair = f"{{{taint.get('key')}: {taint.get('value') or ''}}}"
        yield Objection(f"node(s) had untolerated taint {pair}", final=True)


def _affinity(pod: Resource, seat: Seat, board: Board) -> Iterable[Objection]:
    del board
    if not fitting.wants_node(pod, seat.node):
        yield Objection("node(s) didn't match Pod's node affinity/selector", final=True)


def _ports(pod: Resource, seat: Seat, board: Board) -> Iterable[Objection]:
    del board
    wanted = demands.host_ports(pod)
    if wanted and demands.ports_clash(
        wanted, [port for other in seat.pods.values() for port in demands.host_ports(other)]
    ):
        yield Objection("node(s) didn't have free ports for the requested pod ports")


def _resources(pod: Resource, seat: Seat, board: Board) -> Iterable[Objection]:
    del board
    if len(seat.pods) + 1 > seat.room.get("pods", 0):
        yield Objection("Too many pods")
    first = {"cpu": 0, "memory": 1, "ephemeral-storage": 2}
    asked = demands.requests(pod)
    for resource in sorted(asked, key=lambda name: (first.get(name, 3), name)):
        amount = asked[resource]
        if amount > 0 and amount > seat.room.get(resource, 0) - seat.used.get(resource, 0):
            yield Objection(f"Insufficient {resource}")


def claims_of(pod: Resource) -> list[tuple[str, bool]]:
    """Return the names of the claims that the Pod's volumes use; with True for those made for an ephemeral volume."""
    names = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            names.append((volume["persistentVolumeClaim"]["claimName"], False))
        elif volume.get("ephemeral") is not None:
            names.append((f"{pod['metadata']['name']}-{volume['name']}", True))
    return names


def blocked(pod: Resource, view: View) -> str:
    """Return why no node whatever can take the Pod, because of its volumes; "" if nothing is known to stop it."""
    namespace = pod["metadata"].get("namespace", "")
    for name, ephemeral in claims_of(pod):
        claim = view.get("", "PersistentVolumeClaim", namespace, name)
        if claim is None:
            if ephemeral:
                return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            return f'persistentvolumeclaim "{name}" not found'
        if owning.is_deleted(claim):
            return f'persistentvolumeclaim "{name}" is being deleted'
        if (claim.get("status") or {}).get("phase") == "Lost":
            volume = (claim.get("spec") or {}).get("volumeName", "")
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
        if not is_bound(claim) and not waits_for_consumer(claim, view):
            return "pod has unbound immediate PersistentVolumeClaims"
    return ""


def is_bound(claim: Resource) -> bool:
    """Whether the claim has its volume."""
    annotations = claim["metadata"].get("annotations") or {}
    return (
        bool((claim.get("spec") or {}).get("volumeName")) and "pv.kubernetes.io/bind-completed" in annotations
    )


def waits_for_consumer(claim: Resource, view: View) -> bool:
    """Whether the claim's storage class binds only when a pod needs it."""
    name = (claim.get("spec") or {}).get("storageClassName")
    kind = view.get("storage.k8s.io", "StorageClass", "", name) if name else None
    return kind is not None and kind.get("volumeBindingMode") == "WaitForFirstConsumer"


def _volumes(pod: Resource, seat: Seat, board: Board) -> Iterable[Objection]:
    namespace = pod["metadata"].get("namespace", "")
    for name, _ in claims_of(pod):
        claim = board.view.get("", "PersistentVolumeClaim", namespace, name)
        if claim is None:
            continue
        if not is_bound(claim):
            if not _could_bind(claim, seat.node, board.view):
                yield Objection("node(s) didn't find available persistent volumes to bind", final=True)
                return
            continue
        volume = board.view.get("", "PersistentVolume", "", claim["spec"]["volumeName"])
        if volume is None:
            yield Objection(
                "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", final=True
            )
            return
        if not fitting.selector_holds(
            ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required"), seat.node
        ):
            yield Objection("node(s) had volume node affinity conflict", final=True)
            return


def _could_bind(claim: Resource, node: Resource, view: View) -> bool:
    """Whether a volume that the node can reach is there for the claim, or somebody would provide one."""
    name = volumes.class_of(claim)
    kind = view.get("storage.k8s.io", "StorageClass", "", name) if name else None
    if kind is not None and kind.get("provisioner") != volumes.NO_PROVISIONER:
        return True
    return volumes.match(claim, view.list("", "PersistentVolume"), node) is not None


def waiting_claims(pod: Resource, view: View) -> list[Resource]:
    """Return the Pod's claims that are bound only after it has been given a node."""
    namespace = pod["metadata"].get("namespace", "")
    found = [view.get("", "PersistentVolumeClaim", namespace, name) for name, _ in claims_of(pod)]
    return [claim for claim in found if claim is not None and not is_bound(claim)]


def _spread(pod: Resource, seat: Seat, board: Board) -> Iterable[Objection]:
    for constraint in (pod.get("spec") or {}).get("topologySpreadConstraints") or ():
        if constraint.get("whenUnsatisfiable") == "ScheduleAnyway":
            continue
        text = "node(s) didn't match pod topology spread constraints"
        domain = owning.labels(seat.node).get(constraint["topologyKey"])
        if domain is None:
            yield Objection(f"{text} (missing required label)", final=True)
            return
        counts = spread_counts(pod, constraint, board)
        selector = spread_selector(pod, constraint)
        least = min(counts.values(), default=0)
        if len(counts) < (constraint.get("minDomains") or 1):
            least = 0
        mine = int(selector.matches(owning.labels(pod)))
        if counts.get(domain, 0) + mine - least > constraint.get("maxSkew", 1):
            yield Objection(text)
            return


def spread_selector(pod: Resource, constraint: Mapping[str, Any]) -> selectors.Expr:
    """Return the constraint's selector with its matchLabelKeys filled in from the Pod."""
    return selectors.from_object(
        _with_keys(pod, constraint.get("labelSelector"), constraint, "matchLabelKeys")
    )


def _with_keys(
    pod: Resource, selector: Mapping[str, Any] | None, holder: Mapping[str, Any], field_name: str
) -> Mapping[str, Any] | None:
    keys = [key for key in holder.get(field_name) or () if key in owning.labels(pod)]
    if not keys or selector is None:
        return selector
    more = [{"key": key, "operator": "In", "values": [owning.labels(pod)[key]]} for key in keys]
    return {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *more]}


def spread_counts(pod: Resource, constraint: Mapping[str, Any], board: Board) -> Counter[str]:
    """Count the matching pods of the same namespace in each domain that the Pod could go to."""
    key = constraint["topologyKey"]
    selector = spread_selector(pod, constraint)
    namespace = pod["metadata"].get("namespace", "")
    honour_affinity = (constraint.get("nodeAffinityPolicy") or "Honor") == "Honor"
    honour_taints = (constraint.get("nodeTaintsPolicy") or "Ignore") == "Honor"
    counts: Counter[str] = Counter()
    for seat in board.seats.values():
        domain = owning.labels(seat.node).get(key)
        if domain is None or (honour_affinity and not fitting.wants_node(pod, seat.node)):
            continue
        if honour_taints and fitting.untolerated(fitting.tolerations(pod), fitting.taints(seat.node)):
            continue
        counts[domain] += sum(
            other["metadata"].get("namespace", "") == namespace
            and not owning.is_deleted(other)
            and selector.matches(owning.labels(other))
            for other in seat.pods.values()
        )
    return counts


def terms(pod: Resource, side: str, strength: str = "required") -> list[Mapping[str, Any]]:
    """Return the Pod's podAffinity or podAntiAffinity terms that are required or preferred."""
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get(side) or {}
    return affinity.get(f"{strength}DuringSchedulingIgnoredDuringExecution") or []


def term_selects(term: Mapping[str, Any], owner: Resource, other: Resource, view: View) -> bool:
    """Whether an affinity term of one Pod is about the other Pod: its namespace and labels."""
    namespace = other["metadata"].get("namespace", "")
    names = term.get("namespaces") or []
    elsewhere = term.get("namespaceSelector")
    if elsewhere is None:
        inside = namespace in (names or [owner["metadata"].get("namespace", "")])
    else:
        space = view.get("", "Namespace", "", namespace) or {"metadata": {}}
        inside = namespace in names or selectors.from_object(elsewhere).matches(owning.labels(space))
    selector = _with_keys(owner, term.get("labelSelector"), term, "matchLabelKeys")
    return inside and selectors.from_object(selector).matches(owning.labels(other))


def _pod_affinity(pod: Resource, seat: Seat, board: Board) -> Iterable[Objection]:
    here = owning.labels(seat.node)
    for term in terms(pod, "podAffinity"):
        key = term["topologyKey"]
        friends = [other for other, friend in board.pods() if term_selects(term, pod, friend, board.view)]
        first = not friends and term_selects(term, pod, pod, board.view)
        domains = {owning.labels(friend.node).get(key) for friend in friends}
        if key not in here or (not first and here[key] not in domains):
            yield Objection("node(s) didn't match pod affinity rules", final=True)
            return
    for term in terms(pod, "podAntiAffinity"):
        key = term["topologyKey"]
        for other, foe in board.pods():
            same = key in here and owning.labels(other.node).get(key) == here[key]
            if same and term_selects(term, pod, foe, board.view):
                yield Objection("node(s) didn't match pod anti-affinity rules")
                return
    for other in board.seats.values():
        for foe in other.wary.values():
            for term in terms(foe, "podAntiAffinity"):
                key = term["topologyKey"]
                same = key in here and owning.labels(other.node).get(key) == here[key]
                if same and term_selects(term, foe, pod, board.view):
                    yield Objection("node(s) didn't satisfy existing pods anti-affinity rules")
                    return


FILTERS: tuple[Filter, ...] = (
    _unschedulable,
    _taints,
    _affinity,
    _ports,
    _resources,
    _volumes,
    _spread,
    _pod_affinity,
)


def objections(pod: Resource, seat: Seat, board: Board) -> list[Objection]:
    """Return what the first filter that objects has to say against the node; nothing if the Pod fits."""
    for check in FILTERS:
        found = list(check(pod, seat, board))
        if found:
            return found
    return []


def histogram(total: int, counts: Mapping[str, int]) -> str:
    """Return `0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.` with the reasons sorted."""
    reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items() if count))
    return f"0/{total} nodes are available: {reasons}."
