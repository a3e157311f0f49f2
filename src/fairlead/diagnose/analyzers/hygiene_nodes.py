"""Nodes as they stand: taints that keep everything away, conditions that nobody knows, one control plane, old kubelets.

A node that is not ready or under pressure is not told here. A condition that is Unknown because the node stopped reporting is part of
its not being ready.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import labels, staying
from fairlead.diagnose.inventories import Inventory
from fairlead.tongues.paths import mappings, text
from fairlead.words import Evidence, Ref, Resource, Severity

_MASTERS = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_OWN = "node.kubernetes.io/"
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_SKEW = 3
_OLDEST = (1, 21)


def node(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What is worth a word about a node."""
    if not inventory.live or not staying(resource):
        return
    yield from _taints(inventory, resource)
    yield from _conditions(inventory, resource)
    yield from _alone(inventory, resource)
    yield from _version(inventory, resource)


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Say whether a toleration lets a pod pass a taint, as the scheduler sees it."""
    effect, key = text(toleration, "effect"), text(toleration, "key")
    if effect and effect != taint.get("effect"):
        return False
    exists = toleration.get("operator") == "Exists"
    if not key:
        return exists
    return key == taint.get("key") and (exists or text(toleration, "value") == text(taint, "value"))


def _tolerations(inventory: Inventory) -> list[Mapping[str, Any]]:
    """Return each toleration that some pod has, once. A wide look."""
    found: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for pod in inventory.of_kind("", "Pod"):
        for _, one in mappings(pod, "spec", "tolerations"):
            found.setdefault(tuple(text(one, field) for field in ("key", "operator", "value", "effect")), one)
    return list(found.values())


def _taints(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    ref = Ref.of(resource)
    if not inventory.seen_all("", "Pod") or not inventory.everywhere():
        return
    for index, taint in mappings(resource, "spec", "taints"):
        if taint.get("effect") == "PreferNoSchedule" or text(taint, "key").startswith(_OWN):
            continue
        if any(tolerates(one, taint) for one in inventory.kept(_tolerations)):
            continue
        value = f"={text(taint, 'value')}" if text(taint, "value") else ""
        path = ("spec", "taints", index)
        yield Fact(
            rule="node.reserved",
            subject=ref,
            detail=text(taint, "key"),
            severity=Severity.INFO,
            message=f"has the taint {text(taint, 'key')}{value}, which no pod tolerates",
            cause="Nothing will run on it.",
            evidence=(inventory.field(ref, path, f"{text(taint, 'key')}{value}:{text(taint, 'effect')}"),),
            where=inventory.where(ref, path),
        )


def _conditions(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    ref = Ref.of(resource)
    items = [item for _, item in mappings(resource, "status", "conditions")]
    if any(text(item, "type") == "Ready" and text(item, "status") == "Unknown" for item in items):
        return
    for item in items:
        kind = text(item, "type")
        if text(item, "status") == "Unknown":
            said = inventory.quote(text(item, "message"), ref)
            yield Fact(
                rule="node.unknown",
                subject=ref,
                detail=kind,
                severity=Severity.INFO,
                message=f"does not know its condition {kind}"
                if kind
                else "reports a condition of no type as Unknown",
                cause=said,
                evidence=(
                    Evidence(
                        "condition", ref, f"{kind or '(no type)'} is Unknown: {text(item, 'reason')}: {said}"
                    ),
                ),
            )


def _alone(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """The only node of the control plane, in a cluster that has others."""
    if not any(label in labels(resource) for label in _MASTERS) or not inventory.seen_all("", "Node"):
        return
    others = [one for one in inventory.of_kind("", "Node") if Ref.of(one) != Ref.of(resource)]
    if others and not any(label in labels(one) for one in others for label in _MASTERS):
        ref = Ref.of(resource)
        yield Fact(
            rule="node.single",
            subject=ref,
            severity=Severity.INFO,
            message="is the only node of the control plane",
            cause="While it is gone, nothing can be changed and nothing is made again.",
            evidence=(Evidence("absence", ref, "no other node has the role control-plane"),),
        )


def _number(resource: Resource) -> tuple[int, int] | None:
    found = _VERSION.match(text(resource, "status", "nodeInfo", "kubeletVersion"))
    return (int(found[1]), int(found[2])) if found else None


def _version(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A kubelet that is older than others by more than Kubernetes supports, or older than anything that is cared for."""
    ref, mine = Ref.of(resource), _number(resource)
    if mine is None:
        return
    newest = max((one for node in inventory.of_kind("", "Node") if (one := _number(node))), default=mine)
    if mine >= _OLDEST and (newest[0] != mine[0] or newest[1] - mine[1] <= _SKEW):
        return
    shown = text(resource, "status", "nodeInfo", "kubeletVersion")
    far = newest[1] - mine[1] > _SKEW
    path = ("status", "nodeInfo", "kubeletVersion")
    yield Fact(
        rule="node.version",
        subject=ref,
        severity=Severity.INFO,
        message=f"runs kubelet {shown}"
        + (f", while another node runs {newest[0]}.{newest[1]}" if far else ", which is very old"),
        cause=f"A kubelet may be at most {_SKEW} minor versions older than the API server." if far else "",
        evidence=(inventory.field(ref, path, f"kubeletVersion: {shown}"),),
        where=inventory.where(ref, path),
    )


Look = Callable[[Inventory, Resource], Iterator[Fact]]
ADVICE: Mapping[tuple[str, str], Look] = {("", "Node"): node}
"""What is asked of each object of a kind, where advice is wanted."""
