"""Whether a Pod and a node suit each other: node selectors, node affinity, taints and tolerations.

Source: k8s.io/component-helpers/scheduling/corev1. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fairlead.orchestrate import owning
from fairlead.words import Resource

BLOCKING = frozenset({"NoSchedule", "NoExecute"})


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def requirement_holds(requirement: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    """Whether a node selector requirement (In, NotIn, Exists, DoesNotExist, Gt, Lt) holds; unknown operators do not."""
    key, wanted = requirement.get("key", ""), requirement.get("values") or []
    value = values.get(key)
    operator = requirement.get("operator")
    if operator == "In":
        return value in wanted
    if operator == "NotIn":
        return value not in wanted
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator in {"Gt", "Lt"} and len(wanted) == 1:
        have, limit = _number(value), _number(wanted[0])
        if have is None or limit is None:
            return False
        return have > limit if operator == "Gt" else have < limit
    return False


def term_holds(term: Mapping[str, Any], node: Resource) -> bool:
    """Whether all requirements of a node selector term hold; a term without any holds for no node."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(requirement_holds(entry, owning.labels(node)) for entry in expressions) and all(
        requirement_holds(entry, {"metadata.name": node["metadata"]["name"]}) for entry in fields
    )


def selector_holds(selector: Mapping[str, Any] | None, node: Resource) -> bool:
    """Whether any term of a v1 NodeSelector holds; no selector holds always."""
    if selector is None:
        return True
    return any(term_holds(term, node) for term in selector.get("nodeSelectorTerms") or ())


def required_affinity(pod: Resource) -> Mapping[str, Any] | None:
    """Return the Pod's required node affinity, a v1 NodeSelector, or None."""
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get("nodeAffinity") or {}
    found: Mapping[str, Any] | None = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return found


def wants_node(pod: Resource, node: Resource) -> bool:
    """Whether the Pod's nodeSelector and required node affinity accept the node."""
    selector = (pod.get("spec") or {}).get("nodeSelector") or {}
    return selector.items() <= owning.labels(node).items() and selector_holds(required_affinity(pod), node)


def named_nodes(pod: Resource) -> set[str] | None:
    """Return the only nodes that the required affinity can accept, where every term names nodes; else None."""
    affinity = required_affinity(pod)
    terms = (affinity or {}).get("nodeSelectorTerms") or []
    names: set[str] = set()
    for term in terms:
        given = [
            set(entry.get("values") or ())
            for entry in term.get("matchFields") or ()
            if entry.get("key") == "metadata.name" and entry.get("operator") == "In"
        ]
        if not given:
            return None
        names |= set.intersection(*given)
    return names if terms else None


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether the toleration covers the taint: effect, key, and value unless the operator is Exists."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    same: bool = (toleration.get("value") or "") == (taint.get("value") or "")
    return operator == "Equal" and same and bool(toleration.get("key"))


def tolerations(pod: Resource) -> Sequence[Mapping[str, Any]]:
    """Return the Pod's tolerations."""
    return (pod.get("spec") or {}).get("tolerations") or ()


def taints(node: Resource) -> Sequence[Mapping[str, Any]]:
    """Return the node's taints."""
    return (node.get("spec") or {}).get("taints") or ()


def untolerated(
    pod_tolerations: Iterable[Mapping[str, Any]],
    node_taints: Iterable[Mapping[str, Any]],
    matters: Callable[[str], bool] = BLOCKING.__contains__,
) -> Mapping[str, Any] | None:
    """Return the first taint, among those whose effect matters, that no toleration covers."""
    covers = list(pod_tolerations)
    for taint in node_taints:
        if matters(str(taint.get("effect"))) and not any(tolerates(entry, taint) for entry in covers):
            return taint
    return None
