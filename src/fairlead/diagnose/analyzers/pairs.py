"""Good practice that only two objects together show: who is bound to which rights, budgets against autoscalers, policies of templates.

Told only where advice is asked for. In files an object that is not there proves nothing: what is said then is that it is not among the
files, for whoever keeps both together. What one object shows alone is the judge's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import labels, reads, staying
from fairlead.diagnose.inventories import ANY_MAKER, Inventory, Template
from fairlead.tongues.paths import Path, find, mapping, mappings, text, words
from fairlead.words import Evidence, Ref, Resource, Severity

_RBAC: Final = "rbac.authorization.k8s.io"
_NETWORKING: Final = "networking.k8s.io"
_POLICY: Final = "policy"
_VERBS: Final = frozenset({"get", "list", "watch", "create", "update", "patch", "delete"})
_INTO: Final = frozenset({"*", "pods/exec", "pods/attach", "*/exec", "*/attach"})
_OWN: Final = {
    "admin": frozenset({"access.exec"}),
    "cluster-admin": frozenset({"access.exec", "access.everything"}),
    "edit": frozenset({"access.exec"}),
    "view": frozenset[str](),
}
"""What the roles that every cluster has allow of what is looked for here, where they are not at hand."""
_CALICO: Final = "gce:podsecuritypolicy:calico-sa"


def _by_kubernetes(resource: Resource, ref: Ref) -> bool:
    """Say whether Kubernetes, or who hosts it, made the binding for itself."""
    return (
        ref.name.startswith("system:")
        or ref.name == _CALICO
        or (ref.kind == "ClusterRoleBinding" and ref.name == "cluster-admin")
        or "kubernetes.io/bootstrapping" in labels(resource)
    )


def granted(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A binding of a role that lets its holders into containers, or do everything; one of a role that is not among the files."""
    ref = Ref.of(resource)
    if not staying(resource) or _by_kubernetes(resource, ref):
        return
    kind, name = text(resource, "roleRef", "kind"), text(resource, "roleRef", "name")
    if not name or kind not in {"Role", "ClusterRole"}:
        return
    target = Ref(_RBAC, kind, ref.namespace if kind == "Role" else "", name)
    role = inventory.get(target)
    if role is not None:
        rights = _rights(role)
    elif kind == "ClusterRole" and name in _OWN:
        rights = dict.fromkeys(sorted(_OWN[name]), ())
    elif inventory.live or name.startswith("system:"):
        return
    else:
        yield _told(
            inventory,
            ref,
            "access.unknown",
            kind,
            f"binds {kind} {name}, which is not among these files: what it allows is not known here",
        )
        return
    where = "in the cluster" if ref.kind == "ClusterRoleBinding" else "in its namespace"
    for rule, said in (
        ("access.exec", f"lets its subjects run commands in any container {where}"),
        ("access.everything", f"lets its subjects do everything {where}"),
    ):
        if rule in rights:
            place = rights[rule]
            proof = () if not place else (inventory.field(target, place, f"{kind} {name} allows it"),)
            yield _told(inventory, ref, rule, kind, f"{said}, by {kind} {name}", proof)


def _told(
    inventory: Inventory, ref: Ref, rule: str, kind: str, message: str, proof: tuple[Evidence, ...] = ()
) -> Fact:
    return Fact(
        rule=rule,
        subject=ref,
        detail=kind,
        severity=Severity.INFO,
        message=message,
        evidence=proof or (inventory.field(ref, ("roleRef", "name"), message),),
        where=inventory.where(ref, ("roleRef", "name")),
    )


def _rights(role: Resource) -> dict[str, Path]:
    """Return which of the rights that matter here a role allows, and by which of its rules."""
    found: dict[str, Path] = {}
    for index, rule in mappings(role, "rules"):
        groups, resources = set(words(rule, "apiGroups")), set(words(rule, "resources"))
        verbs = set(words(rule, "verbs"))
        if groups & {"", "*"} and resources & _INTO and verbs & {"*", "get", "create"}:
            found.setdefault("access.exec", ("rules", index))
        if "*" in groups and "*" in resources and ("*" in verbs or verbs >= _VERBS):
            found.setdefault("access.everything", ("rules", index))
    return found


def budgeted(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """An autoscaler that states a minimum, and a budget over the same pods that asks for as many or for more."""
    ref = Ref.of(resource)
    least, most = find(resource, ("spec", "minReplicas")), find(resource, ("spec", "maxReplicas"))
    if not staying(resource) or not isinstance(least, int):
        return
    aim = mapping(resource, "spec", "scaleTargetRef")
    group = text(aim, "apiVersion").rpartition("/")[0]
    target = inventory.get(Ref(group, text(aim, "kind"), ref.namespace, text(aim, "name")))
    made = inventory.template_of(target) if target is not None else None
    if made is None or not made.labels:
        return
    for one in inventory.beside(_POLICY, "PodDisruptionBudget", ref):
        need = _share(find(one, ("spec", "minAvailable")), least)
        if need is None or need < least or not _covers(one, made.labels):
            continue
        if isinstance(most, int) and need > most:
            rule, said = "budget.never", f"which never makes more than {most}: none can ever be evicted"
        elif need > least:
            rule, said = "budget.over", f"which may scale down to {least}: none can be evicted then"
        else:
            rule, said = "budget.level", "which may scale down to just as many: none can be evicted then"
        budget = Ref.of(one)
        yield Fact(
            rule=rule,
            subject=budget,
            detail=ref.name,
            severity=Severity.INFO,
            message=f"asks that {need} pods of {made.ref} stay up, and is at odds with {ref}, {said}",
            evidence=(
                inventory.field(
                    budget, ("spec", "minAvailable"), f"minAvailable: {find(one, ('spec', 'minAvailable'))}"
                ),
                inventory.field(ref, ("spec", "minReplicas"), f"minReplicas: {least}"),
            ),
            where=inventory.where(budget, ("spec", "minAvailable")),
        )


def _share(value: Any, of: int) -> int | None:
    """Return a number or percentage of pods as Kubernetes rounds it: up."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit():
        return math.ceil(Fraction(int(value[:-1]) * of, 100))
    return None


def _covers(budget: Resource, wanted: Mapping[str, str]) -> bool:
    said = reads(find(budget, ("spec", "selector")))
    return staying(budget) and said is not None and said.matches(wanted)


def described(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A workload in files: the NetworkPolicies and the budget that are written for its pods, and those that are not.

    On a cluster its pods themselves are looked at, elsewhere.
    """
    if inventory.live:
        return
    made = inventory.maker(resource)
    if made is None:
        return
    if made.spec.get("hostNetwork") is not True and made.spec:
        yield from _secured(inventory, made)
    replicas = mapping(resource, "spec").get("replicas")
    if made.ref.kind == "Deployment" and (replicas is None or (isinstance(replicas, int) and replicas > 1)):
        budgets = inventory.beside(_POLICY, "PodDisruptionBudget", made.ref)
        if not any(_covers(one, made.labels) for one in budgets):
            yield _unwritten(
                inventory,
                made,
                "budget.absent",
                "no PodDisruptionBudget among these files covers its pods: a drain may end them all at once",
            )


def _secured(inventory: Inventory, made: Template) -> Iterator[Fact]:
    """Which ways in and out of a workload's pods no policy is about, and which ones are shut altogether."""
    opened: dict[str, bool] = {}
    for one in inventory.beside(_NETWORKING, "NetworkPolicy", made.ref):
        said = reads(find(one, ("spec", "podSelector")))
        if not staying(one) or said is None or not said.matches(made.labels):
            continue
        for way in _ways(one):
            opened[way] = opened.get(way, False) or bool(find(one, ("spec", way.lower())))
    flows = {"Ingress": "who may reach its pods", "Egress": "what its pods may reach"}
    unsaid = [flow for way, flow in flows.items() if way not in opened]
    if unsaid:
        lacks = f"no NetworkPolicy among these files says {', nor '.join(unsaid)}"
        yield _unwritten(inventory, made, "policy.lacking", lacks)
    ends = {"Ingress": "let nobody in", "Egress": "let nothing out, not even to ask for a name"}
    shut = [end for way, end in ends.items() if opened.get(way) is False]
    if shut:
        stops = f"is shut: the NetworkPolicies for its pods {' and '.join(shut)}"
        yield _unwritten(inventory, made, "policy.shut", stops)


def _ways(policy: Resource) -> frozenset[str]:
    """Return the directions in which a policy counts."""
    written = {one.capitalize() for one in words(policy, "spec", "policyTypes")}
    return frozenset(written or ({"Ingress", "Egress"} if find(policy, ("spec", "egress")) else {"Ingress"}))


def _unwritten(inventory: Inventory, made: Template, rule: str, message: str) -> Fact:
    place: Path = (*made.path, "metadata", "labels")
    return Fact(
        rule=rule,
        subject=made.ref,
        severity=Severity.INFO,
        message=message,
        evidence=(Evidence("absence", made.ref, message, inventory.where(made.ref, place)),),
        where=inventory.where(made.ref, place),
    )


Look = Callable[[Inventory, Resource], Iterator[Fact]]
ADVICE: Mapping[tuple[str, str], Look] = {
    (_RBAC, "RoleBinding"): granted,
    (_RBAC, "ClusterRoleBinding"): granted,
    ("autoscaling", "HorizontalPodAutoscaler"): budgeted,
    ANY_MAKER: described,
}
"""What is asked of each object of a kind, where advice is wanted."""
