"""`data.inventory`: what is in the cluster, in the shape that templates look it up in.

`namespace[namespace][groupVersion][kind][name]` and `cluster[groupVersion][kind][name]`. Only what is wanted is in it. A tree
is made once and kept as long as the view gives the very same lists. Source: Gatekeeper's documentation of replicated data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fairlead.dialects.gatekeeper.matching import any_of, meta_of
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.surroundings import Surroundings
from fairlead.words import Finding, Page, Resource, Snapshot, View

EVERYTHING: Final = ("*", "*")
"""Stands for every (group, kind)."""

REQUIRES: Final = "metadata.gatekeeper.sh/requires-sync-data"
"""The annotation by which a template says which kinds it looks up."""


def required(source: Source, annotations: Any) -> tuple[frozenset[tuple[str, str]], list[Finding]]:
    """Return the (group, kind) that a template's annotation asks for, and what is wrong with it."""
    text = annotations.get(REQUIRES) if isinstance(annotations, Mapping) else None
    if not isinstance(text, str):
        return frozenset(), []
    path = f".metadata.annotations.{REQUIRES}"
    try:
        every = json.loads(text.strip().strip('"'))
        found = frozenset(
            (str(group), str(kind))
            for either in every
            for one in either
            for group in one["groups"]
            for kind in one["kinds"]
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return frozenset(), [broken(source, path, f"{path} is no list of lists of kinds: {error}")]
    return found, []


class Exclusion:
    """Namespaces that a Config leaves out of some processes."""

    def __init__(self, processes: Iterable[str], namespaces: Sequence[str]) -> None:
        self.processes = frozenset(processes)
        self.meant = any_of(namespaces)

    def excludes(self, process: str, namespace: str) -> bool:
        """Whether a process leaves a namespace alone."""
        return bool(self.processes & {"*", process}) and self.meant(namespace)


class Sync:
    """What a Config or a SyncSet says: which kinds are looked up, and what is left alone."""

    def __init__(self, kinds: frozenset[tuple[str, str]], exclusions: Sequence[Exclusion] = ()) -> None:
        self.kinds = kinds
        self.exclusions = tuple(exclusions)


def _kinds(pages: Sequence[Page]) -> frozenset[tuple[str, str]]:
    found = set()
    for one in pages:
        one.take("version")
        found.add((str(one.take("group", "")), str(one.take("kind", ""))))
    return frozenset(found)


def read_config(source: Source) -> tuple[list[Sync], list[Finding]]:
    """Read a Config: sync.syncOnly and match."""
    page = source.page()
    page.take("metadata")
    spec = page.page("spec")
    kinds = _kinds(spec.page("sync").pages("syncOnly"))
    exclusions = [
        Exclusion(one.texts("processes"), one.texts("excludedNamespaces")) for one in spec.pages("match")
    ]
    spec.take("validation")  # traces are for debugging Gatekeeper itself
    spec.take("readiness")
    findings = unsupported(page, source)
    if source.ref.name != "config":
        return [], [broken(source, ".metadata.name", "config resource must have name 'config'"), *findings]
    return [Sync(kinds, exclusions)], findings


def read_sync_set(source: Source) -> tuple[list[Sync], list[Finding]]:
    """Read a SyncSet: gvks."""
    page = source.page()
    page.take("metadata")
    kinds = _kinds(page.page("spec").pages("gvks"))
    return [Sync(kinds)], unsupported(page, source)


Tree = dict[str, Any]


def tree_of(objects: Iterable[Resource]) -> Tree:
    """Return the inventory of some objects."""
    spaces: dict[str, Any] = {}
    cluster: dict[str, Any] = {}
    for one in objects:
        meta = meta_of(one)
        namespace = meta.get("namespace")
        place = spaces.setdefault(namespace, {}) if namespace else cluster
        kinds = place.setdefault(one.get("apiVersion") or "", {})
        kinds.setdefault(one.get("kind") or "", {})[meta.get("name") or ""] = one
    return {"namespace": spaces, "cluster": cluster}


class Inventory:
    """The wanted kinds of a view as a tree.

    The tree of a Snapshot is kept as long as the Snapshot gives the very same lists: it makes new ones when something changes.
    """

    def __init__(self, wanted: frozenset[tuple[str, str]], exclusions: Sequence[Exclusion] = ()) -> None:
        self.wanted = wanted
        self.exclusions = [one for one in exclusions if one.processes & {"*", "sync"}]
        self._lists: list[Sequence[Resource]] = []
        self._tree: Tree = {"namespace": {}, "cluster": {}}

    def of(self, around: Surroundings) -> Tree:
        """Return the tree of what is there. It is shared: nobody may change it."""
        tree: Tree | None = around.memo.get(self)
        if tree is None:
            tree = around.memo[self] = self._current(around.view)
        return tree

    def _current(self, view: View) -> Tree:
        kinds = view.kinds() if EVERYTHING in self.wanted else self.wanted
        lists = [view.list(group, kind) for group, kind in sorted(kinds)]
        if isinstance(view, Snapshot) and list(map(id, lists)) == list(map(id, self._lists)):
            return self._tree
        self._tree = tree_of(one for objects in lists for one in objects if not self._left_out(one))
        self._lists = lists if isinstance(view, Snapshot) else []
        return self._tree

    def _left_out(self, object_: Resource) -> bool:
        namespace = str(meta_of(object_).get("namespace") or "")
        return bool(namespace) and any(one.excludes("sync", namespace) for one in self.exclusions)


class Given(Inventory):
    """An inventory of objects that are handed in, whatever the view has."""

    def __init__(self, objects: Iterable[Resource]) -> None:
        super().__init__(frozenset())
        self._tree = tree_of(objects)

    def of(self, around: Surroundings) -> Tree:  # noqa: ARG002  it needs no view
        """Return the tree of the objects."""
        return self._tree
