"""What pods and nodes use against what they ask for, where metrics exist; and autoscalers that may ask for more than there is.

All of it is a moment's look, so it is told only where advice is asked for. Without metrics of an object nothing is said of its usage,
but for a node that alone has none. Amounts are exact; a percentage is of what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from fairlead.diagnose.analyzers.scheduling import quantity
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import pods, staying
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.references import Container, containers, edges
from fairlead.tongues import quantities
from fairlead.tongues.paths import Path, mapping, mappings, text, whole
from fairlead.words import Evidence, Ref, Resource, Severity

METRICS = "metrics.k8s.io"
RESOURCES = ("cpu", "memory")
_BUSY = Fraction(80, 100)
_UNDER = Fraction(2)
_OVER = Fraction(1, 2)
_WORTH = {"cpu": Fraction(1, 2), "memory": Fraction(512 * 2**20)}
"""What is asked for and not used is worth a word only from here on: half a processor, half a gibibyte."""
_SCALED = "scales"


def said(resource: str, amount: Fraction) -> str:
    """Return an amount as people write it: `250m`, `1500Mi`."""
    if resource == "cpu":
        return quantities.write(Fraction(quantities.milli(amount), 1000))
    size = next((size for size in (2**30, 2**20, 2**10) if amount >= size * 10 or not amount % size), 1)
    return quantities.write(Fraction(round(amount / size) * size), "BinarySI")


def told(resource: str, amount: Fraction) -> str:
    """Return an amount with what it is of: `250m CPU`, `1500Mi memory`."""
    return f"{said(resource, amount)} {'CPU' if resource == 'cpu' else resource}"


def percent(part: Fraction, of: Fraction) -> str:
    """Return a share in whole percent."""
    return f"{int(part * 100 / of)}%"


def used(inventory: Inventory, pod: Ref) -> dict[str, dict[str, Fraction]]:
    """Return what each container of a pod uses, by its name; empty where there are no metrics of it."""
    metrics = inventory.get(Ref(METRICS, "PodMetrics", pod.namespace, pod.name))
    found: dict[str, dict[str, Fraction]] = {}
    for _, item in mappings(metrics, "containers"):
        found[text(item, "name")] = amounts(mapping(item, "usage"))
    return found


def amounts(content: Mapping[str, Any]) -> dict[str, Fraction]:
    """Return the amounts of processor and memory in a mapping, without what cannot be read."""
    return {name: one for name in RESOURCES if (one := quantity(content.get(name))) is not None}


def asked(container: Container) -> dict[str, Fraction]:
    """Return what a container asks for: its requests, and where it has only a limit, that (as admission would have it)."""
    limits = amounts(mapping(container.content, "resources", "limits"))
    return {**limits, **amounts(mapping(container.content, "resources", "requests"))}


def demanded(spec: Mapping[str, Any]) -> dict[str, Fraction]:
    """Return what a pod asks for: its containers and sidecars together, or its largest init container where that is more."""
    together, largest = dict.fromkeys(RESOURCES, Fraction(0)), dict.fromkeys(RESOURCES, Fraction(0))
    for container in containers(spec, ()):
        for name, amount in asked(container).items():
            if container.role == "init":
                largest[name] = max(largest[name], together[name] + amount)
            else:
                together[name] += amount
    return {name: max(together[name], largest[name]) for name in RESOURCES}


def pod(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Containers that use nearly all that they may, or more than they ask for."""
    ref = Ref.of(resource)
    measured = used(inventory, ref) if inventory.live else {}
    if not measured or not staying(resource):
        return
    top = Ref.of(inventory.top(resource))
    for container in containers(mapping(resource, "spec"), ("spec",)):
        usage = measured.get(container.name, {})
        limits = amounts(mapping(container.content, "resources", "limits"))
        wanted = amounts(mapping(container.content, "resources", "requests"))
        for name, amount in usage.items():
            limit, request = limits.get(name), wanted.get(name)
            if limit and amount > limit * _BUSY:
                what = "will be slowed down" if name == "cpu" else "is killed when it reaches it"
                yield _used(
                    ref, top, container, "usage.limit", name, amount, limit, f"of its limit: it {what}"
                )
            elif request and amount > request:
                what = "" if name == "cpu" else ": it is among the first to go when its node runs short"
                yield _used(
                    ref, top, container, "usage.request", name, amount, request, f"of what it asks for{what}"
                )


def _used(
    ref: Ref, top: Ref, container: Container, rule: str, name: str, amount: Fraction, of: Fraction, words: str
) -> Fact:
    return Fact(
        rule=rule,
        subject=top,
        detail=f"{container.name}/{name}",
        severity=Severity.INFO,
        message=f"container {container.name} uses {told(name, amount)}, {percent(amount, of)} {words}",
        evidence=(
            Evidence("metric", ref, f"{container.name}: {name} {said(name, amount)} of {said(name, of)}"),
        ),
        confidence="likely",
    )


def workload(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A workload whose pods together use far more, or far less, than they ask for."""
    ref = Ref.of(resource)
    if not inventory.live or not staying(resource) or inventory.owner(resource) is not None:
        return
    asks, uses = dict.fromkeys(RESOURCES, Fraction(0)), dict.fromkeys(RESOURCES, Fraction(0))
    seen = 0
    for one in _crew(inventory, resource):
        measured = used(inventory, Ref.of(one))
        if not measured:
            continue
        seen += 1
        for name, amount in demanded(mapping(one, "spec")).items():
            asks[name] += amount
            uses[name] += sum((usage.get(name, Fraction(0)) for usage in measured.values()), Fraction(0))
    for name in RESOURCES:
        if not seen or not asks[name]:
            continue
        numbers = f"{told(name, uses[name])} for {said(name, asks[name])} asked for"
        share = f"{percent(uses[name], asks[name])}, {seen} pod{'s' if seen > 1 else ''}"
        rule = message = ""
        if uses[name] > asks[name] * _UNDER:
            rule, message = "usage.under", f"uses {numbers} ({share}): it asks for too little"
        elif uses[name] < asks[name] * _OVER and asks[name] - uses[name] >= _WORTH[name]:
            rule, message = "usage.over", f"uses {numbers} ({share}): it asks for too much"
        if rule:
            yield Fact(
                rule=rule,
                subject=ref,
                detail=name,
                severity=Severity.INFO,
                message=message,
                cause="At this moment's load.",
                evidence=(
                    Evidence(
                        "metric",
                        ref,
                        f"{name}: {said(name, uses[name])} used, {said(name, asks[name])} asked for",
                    ),
                ),
                confidence="possible",
            )


def _crew(inventory: Inventory, resource: Resource) -> list[Resource]:
    """Return the pods that a workload owns, else those that it selects and nobody owns."""
    ref = Ref.of(resource)
    owned = [one.pod for one in inventory.crew(ref)]
    if owned:
        return owned
    selector = mapping(resource, "spec", "selector")
    found = pods(inventory, selector, ref.namespace) if mapping(selector, "matchLabels") else ()
    return [one for one in found if not mappings(one, "metadata", "ownerReferences")]


def node(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A node that is nearly used up, or that has no metrics while others do."""
    ref = Ref.of(resource)
    if not inventory.live or not inventory.seen_all(METRICS, "NodeMetrics"):
        return
    metrics = inventory.get(Ref(METRICS, "NodeMetrics", "", ref.name))
    if metrics is None:
        yield from _unmeasured(inventory, resource, ref)
        return
    room = amounts(mapping(resource, "status", "allocatable"))
    for name, amount in amounts(mapping(metrics, "usage")).items():
        of = room.get(name)
        if of and amount > of * _BUSY:
            yield Fact(
                rule="usage.node",
                subject=ref,
                detail=name,
                severity=Severity.INFO,
                message=f"uses {told(name, amount)}, {percent(amount, of)} of what it has for pods",
                evidence=(Evidence("metric", ref, f"{name}: {said(name, amount)} of {said(name, of)}"),),
                confidence="likely",
            )


def _unmeasured(inventory: Inventory, resource: Resource, ref: Ref) -> Iterator[Fact]:
    silent = any(
        item.get("type") == "Ready" and item.get("status") == "Unknown"
        for _, item in mappings(resource, "status", "conditions")
    )
    if silent or not inventory.of_kind(METRICS, "NodeMetrics"):
        return
    yield Fact(
        rule="usage.unmeasured",
        subject=ref,
        severity=Severity.INFO,
        message="has no metrics, while other nodes have",
        cause="The metrics server does not reach its kubelet, so autoscalers do not see its pods.",
        evidence=(Evidence("absence", ref, "no NodeMetrics of this name"),),
        confidence="likely",
    )


def _room(inventory: Inventory) -> dict[str, Fraction]:
    """Return what all nodes that take pods have for them."""
    room = dict.fromkeys(RESOURCES, Fraction(0))
    for one in inventory.of_kind("", "Node"):
        if mapping(one, "spec").get("unschedulable") is not True:
            for name, amount in amounts(mapping(one, "status", "allocatable")).items():
                room[name] += amount
    return room


def _burst(inventory: Inventory, resource: Resource) -> tuple[int, dict[str, Fraction]]:
    """Return how many pods an autoscaler may ask for, and what they would ask for together."""
    most = whole(resource, "spec", "maxReplicas")
    for edge in edges(resource):
        target = inventory.get(edge.target) if edge.relation == _SCALED else None
        template = inventory.template_of(target) if target is not None else None
        if template is not None:
            return most, {name: amount * most for name, amount in demanded(template.spec).items()}
    return most, {}


def _bursts(inventory: Inventory) -> dict[Ref, dict[str, Fraction]]:
    """Return what the most pods of each autoscaler would ask for."""
    return {
        Ref.of(one): _burst(inventory, one)[1]
        for one in inventory.of_kind("autoscaling", "HorizontalPodAutoscaler")
    }


def autoscaler(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """An autoscaler whose most pods do not fit into the cluster, alone or together with all the others at theirs."""
    ref = Ref.of(resource)
    if not inventory.seen_all("", "Node") or not staying(resource):
        return
    room = inventory.kept(_room)
    if not all(room.values()):
        return
    most, wanted = _burst(inventory, resource)
    path: Path = ("spec", "maxReplicas")
    alone = [name for name, amount in wanted.items() if amount > room[name]]
    for name in alone:
        yield _unfit(
            inventory,
            ref,
            "autoscaler.burst",
            name,
            f"may ask for {most} pods",
            wanted[name],
            room[name],
            path,
        )
    everyone = inventory.kept(_bursts)
    if len(everyone) < 2:
        return
    for name in RESOURCES:
        largest = max(everyone, key=lambda one, name=name: (everyone[one].get(name, Fraction(0)), str(one)))  # type: ignore[misc]
        together = sum((one.get(name, Fraction(0)) for one in everyone.values()), Fraction(0))
        if largest == ref and name not in alone and together > room[name]:
            message = f"and all {len(everyone)} autoscalers at their most"
            yield _unfit(inventory, ref, "autoscaler.together", name, message, together, room[name], path)


def _unfit(
    inventory: Inventory,
    ref: Ref,
    rule: str,
    name: str,
    who: str,
    amount: Fraction,
    room: Fraction,
    path: Path,
) -> Fact:
    return Fact(
        rule=rule,
        subject=ref,
        detail=name,
        severity=Severity.INFO,
        message=f"{who}: {told(name, amount)}, and all nodes have {said(name, room)}",
        cause="The last of the pods will find no place, unless nodes are added.",
        evidence=(Evidence("metric", ref, f"{name}: {said(name, amount)} wanted, {said(name, room)} there"),),
        where=inventory.where(ref, path),
        confidence="likely",
    )


_MAKERS = (
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
)
Look = Callable[[Inventory, Resource], Iterator[Fact]]
ADVICE: Mapping[tuple[str, str], Look] = {
    ("", "Pod"): pod,
    ("", "Node"): node,
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaler,
    **dict.fromkeys(_MAKERS, workload),
}
"""What is asked of each object of a kind, where advice is wanted."""
