"""References by name: what names an object that was renamed or moved is made to name it still.

An object counts as named when it once had the name that is written; of several those are chosen that share the namespace and the
prefixes and suffixes of whoever names them. Each object's fields are gone through once, by a tree of all paths at which its kind names others.
Source: sigs.k8s.io/kustomize/api/filters/nameref and api/internal/accumulator/namereferencetransformer.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fairlead.dialects.kustomize.configurations import Kind, References
from fairlead.dialects.kustomize.fieldspecs import FieldSpec, Unfit, split, unfitting
from fairlead.dialects.kustomize.items import CLUSTER, Item, Items
from fairlead.dialects.kustomize.scalars import nothing, text
from fairlead.render.packages import Mistake, Mistaken
from fairlead.words import Where


class _Node:
    """One name of a path: what follows it, and the kinds of what is named there, in the order in which they are tried."""

    __slots__ = ("below", "targets")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.targets: list[tuple[Kind, str]] = []


def fix(items: Items, references: References) -> None:
    """Make references name what they mean by its present name. Raises Mistaken."""
    trees: dict[tuple[str, str, str], _Node] = {}
    index = _Index(items)
    for item in items:
        first = item.former[0].kind if item.former else item.kind
        key = (item.api_version, item.kind, first)
        tree = trees.get(key)
        if tree is None:
            tree = trees[key] = _tree(references, *key)
        if tree.below:
            _Referrer(item, index).walk(item.data, tree, "")
    items.touched()


def _tree(references: References, api_version: str, kind: str, first: str) -> _Node:
    top = _Node()
    for target, specs in references:
        for spec in specs:
            if not spec.selects(api_version, first):
                continue
            # who is selected by its first kind is gone through by the present one
            at = top
            for name in split(spec.path):
                at = at.below.setdefault(name.removesuffix("[]"), _Node())
            at.targets.append((target, spec.path))
    del kind
    return top


class _Index:
    """The items by the names that they once had."""

    def __init__(self, items: Items) -> None:
        self.schemas = items.schemas
        self.all = items.list
        self.named: dict[str, list[Item]] = {}
        for item in items:
            for name in dict.fromkeys(one.name for one in item.former):
                self.named.setdefault(name, []).append(item)


class _Referrer:
    """One item that may name others."""

    def __init__(self, item: Item, index: _Index) -> None:
        self._item = item
        self._index = index
        self._now = item.id(index.schemas)
        self._binding: set[str] | None = None
        if item.kind == "RoleBinding":
            self._bound()  # tells of subjects without a namespace, whoever they name

    def walk(self, holder: Any, node: _Node, path: str) -> None:
        """Go through a mapping, or a list of them."""
        kind = type(holder)
        if kind is list:
            for one in holder:
                if not nothing(one):
                    self.walk(one, node, path)
            return
        if kind is not dict:
            raise unfitting(self._item, path, "expected sequence or mapping node")
        for name, below in node.below.items():
            if name not in holder or nothing(holder[name]):
                continue
            for target, whole in below.targets:
                try:
                    self._set(holder, name, target, whole)
                except Unfit as unfit:
                    raise self._failed(whole, str(unfit)) from None
            if below.below:
                self.walk(holder[name], below, f"{path}/{name}" if path else name)

    def _set(self, holder: dict[str, Any], key: str, target: Kind, path: str) -> None:
        value = holder[key]
        if type(value) is dict:
            self._mapping(value, target, path)
        elif type(value) is list:
            for at, one in enumerate(value):
                if nothing(one):
                    continue
                if type(one) is dict:
                    self._mapping(one, target, path)
                elif type(one) is list:
                    raise Unfit("is expected to be either a string or a map of string")
                else:
                    self._scalar(value, at, target, path)
        else:
            self._scalar(holder, key, target, path)

    def _scalar(self, holder: Any, key: Any, target: Kind, path: str) -> None:
        old = text(holder[key])
        found = self._referral(old, self._candidates(old), target, path, by_namespace=False)
        if found is not None and found.name != old:
            holder[key] = found.name

    def _mapping(self, value: dict[str, Any], target: Kind, path: str) -> None:
        if "name" not in value:
            raise Unfit("path config error; no 'name' field in node")
        old = text(value["name"])
        candidates = self._candidates(old)
        if "namespace" in value:
            candidates = self._in_namespace(text(value["namespace"]), candidates)
        found = self._referral(old, candidates, target, path, by_namespace=True)
        if found is None or (found.name == old and not found.namespace):
            return
        value["name"] = found.name
        if found.namespace:
            value["namespace"] = found.namespace

    def _in_namespace(self, namespace: str, candidates: list[Item]) -> list[Item]:
        """Return the candidates of a namespace: by the first that they had, or if nothing at all had it, by the present one."""
        schemas = self._index.schemas
        if namespace != CLUSTER and any(
            one.original(schemas).namespace == namespace for one in self._reachable(self._index.all)
        ):
            return [one for one in candidates if one.original(schemas).namespace == namespace]
        return [one for one in candidates if one.id(schemas).namespace == namespace != CLUSTER]

    def _candidates(self, name: str) -> list[Item]:
        found = self._index.named.get(name)
        return list(self._reachable(found)) if found else []

    def _reachable(self, items: Iterable[Item]) -> Iterable[Item]:
        """Yield what this item could name at all: without a namespace, in its own, or in one that a role binding speaks of."""
        now, schemas = self._now, self._index.schemas
        if now.namespace == CLUSTER:
            yield from items
            return
        for item in items:
            space = item.id(schemas).namespace
            if space in {CLUSTER, now.namespace} or item.namespace in self._bound():
                yield item

    def _bound(self) -> set[str]:
        if self._binding is None:
            self._binding = set()
            subjects = self._item.data.get("subjects") if self._item.kind == "RoleBinding" else None
            for one in subjects if type(subjects) is list else ():
                if type(one) is dict and "namespace" in one and text(one.get("kind", "")) == "ServiceAccount":
                    if nothing(one["namespace"]):
                        raise Mistaken(
                            Mistake(
                                f'Invalid Input: namespace is blank for resource "{self._now}"',
                                Where(self._item.file, 0, ".subjects"),
                                hint="name the service account's namespace, or leave the field out",
                            )
                        )
                    self._binding.add(text(one["namespace"]))
        return self._binding

    def _referral(
        self, name: str, candidates: list[Item], target: Kind, path: str, *, by_namespace: bool
    ) -> Item | None:
        if not candidates:
            return None
        found = [one for one in candidates if _was(one, target)]
        if path.endswith("roleRef/name"):
            role = self._role()
            if role is not None:
                found = [one for one in found if _was(one, role)]
        now, schemas = self._now, self._index.schemas
        if now.namespace != CLUSTER:
            found = [
                one
                for one in found
                if one.kind == "ServiceAccount" or one.id(schemas).namespace in {CLUSTER, now.namespace}
            ]
        if len(found) == 1:
            return found[0]
        found = [one for one in found if self._alike(one, lenient=True)]
        if len(found) > 1:
            found = [one for one in found if self._alike(one, lenient=False)]
        if len(found) <= 1:
            return found[0] if found else None
        kinds = {(one.name, one.namespace) if by_namespace else one.name for one in found}
        if len(kinds) == 1:
            return found[0]
        ids = ", ".join(str(one.id(schemas)) for one in found)
        raise Unfit(f"found multiple possible referrals to {name}: {ids}")

    def _role(self) -> Kind | None:
        role = self._item.data.get("roleRef")
        if type(role) is not dict or nothing(role.get("apiGroup")) or nothing(role.get("kind")):
            return None
        return text(role["apiGroup"]), "", text(role["kind"])

    def _alike(self, other: Item, *, lenient: bool) -> bool:
        """Whether two have the prefixes and suffixes in common that the shorter list of them has."""
        for mine, theirs in ((self._item.prefixes, other.prefixes), (self._item.suffixes, other.suffixes)):
            if lenient and (not mine or not theirs):
                continue
            shorter = min(len(mine), len(theirs))
            if not shorter:
                if mine or theirs:
                    return False
            elif mine[-shorter:] != theirs[-shorter:]:
                return False
        return True

    def _failed(self, path: str, message: str) -> Mistaken:
        return Mistaken(
            Mistake(
                f"updating name reference in '{path}' field of '{self._now}': {message}",
                Where(self._item.file),
            )
        )


def _was(item: Item, target: Kind) -> bool:
    """Whether an item was of the kind that a reference means, under any of its former names."""
    group, version, kind = target
    spec = FieldSpec("", group, version, kind)
    return any(spec.selects(item.api_version, one.kind) for one in item.former)
