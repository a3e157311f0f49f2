"""What a module's values may be, for people and for tools: a table and a JSON Schema, from the fields that its `#Config` declares.

Fields that Timoni itself sets, and those that the author marked with `+nodoc`, are left out. CUE can say more than a JSON Schema: the
schema has sorts, defaults and descriptions, and the type as CUE has it beside them; whether values fit is CUE's to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fairlead.render.evaluations import Evaluated, Row, Seek

SEEK: Final = Seek("values", fields=True)
"""What a module is asked for its documentation (see `modules.prepare`)."""
_INJECTED: Final = frozenset(
    {
        ("kubeVersion",),
        ("clusterVersion",),
        ("moduleVersion",),
        ("metadata", "name"),
        ("metadata", "namespace"),
    }
)
_SORTS: Final[Mapping[str, str]] = {
    "null": "null",
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "string": "string",
    "bytes": "string",
    "list": "array",
    "struct": "object",
}


def read_rows(answer: Evaluated) -> tuple[Row, ...]:
    """Return the fields that are to be documented, in the order in which the module declares them."""
    hidden: set[tuple[str, ...]] = set()
    found = []
    for row in answer.rows.get(SEEK.path, ()):
        if (
            row.hidden
            or row.path in _INJECTED
            or any(row.path[:end] in hidden for end in range(len(row.path)))
        ):
            hidden.add(row.path)
            continue
        found.append(row)
    return tuple(found)


def table(rows: Iterable[Row]) -> list[tuple[str, str, str, str]]:
    """Return a line for each field that has no fields below it: its name (`image.tag`), type, default and description."""
    rows = tuple(rows)
    parents = {row.path[:-1] for row in rows}
    told = {row.path: row.doc for row in rows}
    return [
        (_dotted(row.path), row.type, row.default, row.doc or _above(row.path, told))
        for row in rows
        if row.path not in parents
    ]


def _above(path: tuple[str, ...], told: Mapping[tuple[str, ...], str]) -> str:
    """Return what is said of the struct that a field is in, for its first field alone would have it to itself."""
    return told.get(path[:-1], "") if len(path) > 1 else ""


def _dotted(path: Sequence[str]) -> str:
    return ".".join(json.dumps(part) if not part or set(part) & set('./ "') else part for part in path)


def document(rows: Iterable[Row], title: str = "") -> dict[str, Any]:
    """Return a JSON Schema (2020-12) of the values. It refuses nothing that CUE takes: types it cannot say are left open."""
    top: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    if title:
        top["title"] = title
    top["type"] = "object"
    nodes: dict[tuple[str, ...], dict[str, Any]] = {(): top}
    for row in rows:
        parent = nodes.get(row.path[:-1])
        if parent is None:
            continue
        sorts = list(dict.fromkeys(_SORTS[kind] for kind in row.kinds if kind in _SORTS))
        if {"integer", "number"} <= set(sorts):
            sorts.remove("integer")
        node: dict[str, Any] = {}
        if sorts and len(sorts) < len(set(_SORTS.values())) - 1:
            node["type"] = sorts[0] if len(sorts) == 1 else sorts
        if row.doc:
            node["description"] = row.doc
        if row.default:
            node["default"] = json.loads(row.default)
        if row.type not in {*_SORTS, ""}:
            node["x-cue"] = row.type
        parent.setdefault("properties", {})[row.path[-1]] = node
        if row.required:
            parent.setdefault("required", []).append(row.path[-1])
        nodes[row.path] = node
    return top
