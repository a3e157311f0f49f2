"""The types of kinds as CEL knows them, made lazily from the types that the keeper knows.

The waist between `keep`, whose types merge and check objects, and the type checking of admission policies; holds no rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fairlead.dialects.admissionpolicies.typechecking import Typed, Types
from fairlead.keep.kinds import Catalogue
from fairlead.keep.nodes import Node
from fairlead.keep.schemas import Schemas
from fairlead.tongues import cel
from fairlead.tongues.cel import types as t

_SCALARS: Mapping[str, cel.Type] = {
    "string": t.STRING,
    "int32": t.INT,
    "int64": t.INT,
    "float": t.DOUBLE,
    "bool": t.BOOL,
}
"""What is not here (quantities, times, numbers or texts) may be anything."""

_META = {"apiVersion": t.STRING, "kind": t.STRING}


class _Fields(Mapping[str, cel.Type]):
    """The fields of a struct, each type made when it is asked for: structs may hold themselves."""

    def __init__(self, node: Node) -> None:
        self._fields = node.fields

    def __getitem__(self, name: str) -> cel.Type:
        return type_of(self._fields[name])

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def type_of(node: Node) -> cel.Type:
    """Return the type of values at a place."""
    if node.type == "struct":
        return t.message(node.struct or node.definition or "object", _Fields(node))
    if node.type == "map":
        return t.map_of(t.STRING, type_of(node.values))
    if node.type == "list":
        return t.list_of(type_of(node.items))
    return _SCALARS.get(node.scalar, t.DYN) if node.type == "scalar" else t.DYN


def types_of(catalogue: Catalogue, schemas: Schemas) -> Types:
    """Return what finds the type of a resource's objects."""

    def find(group: str, version: str, plural: str) -> Typed | None:
        for kind in catalogue.all():
            if (kind.group, kind.version, kind.plural) == (group, version, plural):
                node = schemas.node(kind)
                return Typed(kind.kind, type_of(node)) if node.type == "struct" else None
        return None

    return find
