"""Lays apply configurations over objects for the judge, by the types that the keeper knows.

The waist between mutating policies, which write configurations, and `keep`, which merges; holds no rules of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from fairlead.drivers import definitions
from fairlead.keep.comparing import Mistyped, merged, owned
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.keep.schemas import Node, Schemas, untyped
from fairlead.words import Resource


class Applier:
    """Merges by the types of a catalogue's kinds. A kind that nobody knows is merged as its values suggest."""

    def __init__(self, catalogue: Catalogue, schemas: Schemas | None = None) -> None:
        self._catalogue = catalogue
        self._schemas = schemas

    def merge(self, api_version: str, kind: str, live: Resource, applied: Resource) -> Resource:
        """See judge.surroundings.Surroundings.merge. Raises ValueError for what does not fit the type."""
        node = self._node(api_version, kind)
        try:
            owned(applied, node)
        except Mistyped as fault:
            raise ValueError(f"failed to convert patch object to typed object: {fault}") from fault
        made: Resource = merged(live, applied, node)
        return made

    def atomics(self, api_version: str, kind: str, applied: Resource) -> list[str]:
        """See judge.surroundings.Surroundings.atomics."""
        return list(_atomics(applied, self._node(api_version, kind), ""))

    def _node(self, api_version: str, kind: str) -> Node:
        group, _, version = api_version.rpartition("/")
        found = self._catalogue.kind(group, kind, version) or Kind(group, version, kind, "")
        return (self._schemas or _built_in()).node(found)


@lru_cache(maxsize=1)
def _built_in() -> Schemas:
    return Schemas(definitions.load())


def _atomics(value: Any, node: Node, path: str) -> Iterator[str]:
    """Yield the places where a value sets a whole list, map or object at once, as its type has it."""
    if isinstance(value, dict) and node.type in {"struct", "map"}:
        if node.map_type == "atomic":
            yield path
        for key, item in value.items():
            inner = node.fields.get(key, node.values if node.type == "map" else untyped)
            yield from _atomics(item, inner, f"{path}.{key}")
    elif isinstance(value, list) and node.type == "list":
        if node.list_type == "atomic":
            yield path
        for index, item in enumerate(value):
            yield from _atomics(item, node.items, f"{path}[{index}]")
