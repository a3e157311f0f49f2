"""What objects of each kind look like, and the check that stands before everything else.

Kubernetes' definitions are handed in; the schemas of custom resources are learnt and forgotten as they come and go.
Nothing here fills in defaults of built-in kinds or judges their values; see `defaulting` and `validating`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fairlead.keep.decoding import Checker, Undecodable, compiled
from fairlead.keep.errors import Cause, Refusal, bad_request
from fairlead.keep.kinds import Kind
from fairlead.keep.nodes import Definitions, Node, untyped
from fairlead.words import Resource

__all__ = ["Definitions", "Custom", "Mode", "Node", "Schemas", "duplicates", "untyped"]

Mode: TypeAlias = Literal["Strict", "Warn", "Ignore"]


@dataclass(frozen=True, slots=True)
class Custom:
    """A custom resource's type in one version, as functions that change an object in place or judge it.

    `decode` prunes and names unknown fields in the list; `default` fills in; `faults` says what the schema and its rules refuse,
    given the object and what it was before.
    `schema` is the definition's own; `warning` is what its users are told when the version is deprecated.
    """

    node: Node
    decode: Callable[[Resource, list[str]], object]
    default: Callable[[Resource], object]
    faults: Callable[[Resource, Resource | None], list[Cause]]
    schema: Mapping[str, Any]
    warning: str = ""


class Schemas:
    """The types of all kinds. `definitions` are Kubernetes' OpenAPI definitions by name."""

    def __init__(self, definitions: Mapping[str, Any] | Definitions) -> None:
        self.definitions = definitions if isinstance(definitions, Definitions) else Definitions(definitions)
        self._checkers: dict[tuple[str, str, str], Checker] = {}
        self._learnt: dict[tuple[str, str, str], Custom] = {}

    def node(self, kind: Kind) -> Node:
        """Return the kind's type; an untyped Node where nothing is known about it."""
        key = (kind.group, kind.version, kind.kind)
        if key in self._learnt:
            return self._learnt[key].node
        name = self.definitions.name(*key)
        return self.definitions[name] if name else untyped

    def learn(self, kind: Kind, custom: Custom) -> None:
        """Take up a custom resource's type in one version."""
        self._learnt[kind.group, kind.version, kind.kind] = custom

    def custom(self, kind: Kind) -> Custom | None:
        """Return what was learnt about a custom resource's kind; None for a built-in or unknown one."""
        return self._learnt.get((kind.group, kind.version, kind.kind))

    def default(self, kind: Kind, obj: Resource) -> None:
        """Fill in a custom resource's defaults, in place; built-in kinds are `defaulting`'s."""
        custom = self.custom(kind)
        if custom is not None:
            custom.default(obj)

    def faults(self, kind: Kind, obj: Resource, old: Resource | None = None) -> list[Cause]:
        """Return what a custom resource's schema and rules refuse; built-in kinds are `validating`'s."""
        custom = self.custom(kind)
        return custom.faults(obj, old) if custom is not None else []

    def forget(self, kind: Kind) -> None:
        """Drop what was learnt about the kind, if anything."""
        self._learnt.pop((kind.group, kind.version, kind.kind), None)

    def copy(self) -> Schemas:
        """Return an independent copy that shares what is compiled."""
        copy = Schemas(self.definitions)
        copy._checkers = self._checkers
        copy._learnt = dict(self._learnt)
        return copy

    def check(self, kind: Kind, obj: Any, mode: Mode = "Warn") -> tuple[Resource, list[str]]:
        """Decode an object as the API server would; it is changed in place and returned with warnings.

        Values of a wrong type, and in mode Strict unknown fields, raise a Refusal (400). Nulls and empty optional
        lists and maps are dropped, unknown fields too, amounts and times are written canonically. A custom
        resource is pruned; see `default` and `faults` for the rest of its schema.
        """
        key = (kind.group, kind.version, kind.kind)
        unknown: list[str] = []
        if obj is None:
            obj = {}  # as Go decodes null into a struct
        if type(obj) is not dict:
            found = {list: "array", str: "string", bool: "bool"}.get(type(obj), "number")
            raise _refusal(
                kind, f"json: cannot unmarshal {found} into Go value of type {kind.version}.{kind.kind}"
            )
        learnt = self._learnt.get(key)
        if learnt is not None:
            learnt.decode(obj, unknown)
        else:
            checker = self._checkers.get(key)
            if checker is None:
                checker = self._checkers[key] = compiled(self.node(kind))
            try:
                checker(obj, None, unknown)
            except Undecodable as error:
                raise _refusal(kind, str(error)) from None
        if not unknown or mode == "Ignore":
            return obj, []
        texts = [f'unknown field "{path}"' for path in unknown]
        if mode == "Strict":
            raise _refusal(kind, f"strict decoding error: {', '.join(texts)}")
        return obj, texts


def _refusal(kind: Kind, text: str) -> Refusal:
    return bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {text}')


def duplicates(text: bytes | str) -> list[str]:
    """Return the path of each key that a JSON object has twice, in the text that Kubernetes warns with.

    The text must be valid JSON: ValueError otherwise. The last value of such a key is the one that counts.
    """
    found: list[str] = []

    class Pairs(list[tuple[str, Any]]):
        pass

    def walk(value: Any, path: str) -> None:
        if isinstance(value, Pairs):
            seen: set[str] = set()
            for key, item in value:
                here = f"{path}.{key}" if path else key
                if key in seen:
                    found.append(f'duplicate field "{here}"')
                seen.add(key)
                walk(item, here)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk(item, f"{path}[{index}]")

    repeated = False

    def pairs(items: list[tuple[str, Any]]) -> Any:
        nonlocal repeated
        repeated = repeated or len(dict(items)) != len(items)
        return Pairs(items)

    document = json.loads(text, object_pairs_hook=pairs)
    if repeated:
        walk(document, "")
    return found
