"""Which pods and namespaces a LabelSelector chooses, in full: labels and expressions.

Answers about objects and judges none. A selector that the API server would refuse chooses nothing that is known: None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from fairlead.diagnose.inventories import Inventory
from fairlead.tongues import selectors
from fairlead.tongues.paths import mapping, strings
from fairlead.words import Ref, Resource

Item = TypeVar("Item")


def reads(selector: Any) -> selectors.Expr | None:
    """Return what a LabelSelector says (an empty one: everything), or None where it says nothing valid."""
    if not isinstance(selector, Mapping):
        return None
    try:
        return selectors.from_object(selector)
    except ValueError:
        return None


def labels(resource: Resource) -> dict[str, str]:
    """Return the object's labels."""
    return strings(resource, "metadata", "labels")


def pods(inventory: Inventory, selector: Mapping[str, Any], space: str) -> Sequence[Resource]:
    """Return the pods of a namespace that a LabelSelector chooses, without those that are being deleted; none in files."""
    said = reads(selector)
    if said is None or not inventory.live:
        return ()
    plain = strings(selector, "matchLabels")
    if plain:
        found = [one.pod for one in inventory.selected(plain, Ref("", "Pod", space, ""))]
    else:
        found = [one for one in inventory.of_kind("", "Pod", space) if staying(one)]
    return [one for one in found if said.matches(labels(one))]


def spaces(inventory: Inventory, selector: Mapping[str, Any]) -> list[str]:
    """Return the names of the namespaces that a LabelSelector chooses.

    Every namespace has its own name as a label, also where the object that was handed in lacks it.
    """
    said = reads(selector)
    if said is None:
        return []
    return [
        name
        for name, has in ((Ref.of(one).name, labels(one)) for one in inventory.of_kind("", "Namespace"))
        if said.matches({"kubernetes.io/metadata.name": name, **has})
    ]


class Pool(Generic[Item]):
    """Things that each select by labels, found by the labels that they ask for: most are never looked at."""

    def __init__(self, chosen: Iterable[tuple[selectors.Expr, Item]]) -> None:
        self._asking: dict[tuple[str, str], list[tuple[selectors.Expr, Item]]] = {}
        self._rest: list[tuple[selectors.Expr, Item]] = []
        for expr, item in chosen:
            equal = next((one for one in expr.requirements if one.op in {"=", "==", "in"}), None)
            if equal is None:
                self._rest.append((expr, item))
                continue
            for value in equal.values:
                self._asking.setdefault((equal.key, value), []).append((expr, item))

    def __bool__(self) -> bool:
        return bool(self._asking or self._rest)

    def over(self, has: Mapping[str, str]) -> list[Item]:
        """Return the things that select these labels."""
        asked = [one for pair in has.items() for one in self._asking.get(pair, ())]
        return [item for expr, item in (*asked, *self._rest) if expr.matches(has)]


def staying(resource: Resource) -> bool:
    """Say whether nobody deletes the object."""
    return not mapping(resource, "metadata").get("deletionTimestamp")


def shown(selector: Mapping[str, Any]) -> str:
    """Return a LabelSelector as `kubectl -l` would have it."""
    return str(reads(selector) or "")
