"""OPA's built-in functions: one table by name, whose parts load when a policy first uses them.

A part is a module with a table BUILTINS. Must never import what is slow to load (cryptography, graphql, schemas) before it is
asked for. Source: OPA's capabilities, v1.10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from .kinds import Builtin, BuiltinError, Context, Halt, OperandError

__all__ = ["BUILTINS", "Builtin", "BuiltinError", "Context", "Halt", "OperandError"]


class _Table(Mapping[str, Builtin]):
    """The parts' tables as one; the part that holds a name is known by the name's first words."""

    def __init__(self) -> None:
        self._known: dict[str, Builtin] = {}
        self._loaded: set[Callable[[], Mapping[str, Builtin]]] = set()

    def __getitem__(self, name: str) -> Builtin:
        found = self._known.get(name)
        if found is None:
            words = name.split(".")
            self._load(_LATER.get(".".join(words[:2])) or _LATER.get(words[0], _core))
            found = self._known[name]
        return found

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        self._all()
        return iter(self._known)

    def __len__(self) -> int:
        self._all()
        return len(self._known)

    def _all(self) -> None:
        for part in (_core, *_LATER.values()):
            self._load(part)

    def _load(self, part: Callable[[], Mapping[str, Builtin]]) -> None:
        if part not in self._loaded:
            self._loaded.add(part)
            self._known.update(part())


def _core() -> Mapping[str, Builtin]:
    from . import (
        arithmetic,
        collections,
        encodings,
        identifiers,
        networks,
        objects,
        patterns,
        strings,
        surroundings,
        templates,
        times,
    )

    parts = (
        arithmetic,
        collections,
        encodings,
        identifiers,
        networks,
        objects,
        patterns,
        strings,
        surroundings,
        templates,
        times,
    )
    return {name: found for part in parts for name, found in part.BUILTINS.items()}


def _yaml() -> Mapping[str, Builtin]:
    from . import yamls

    return yamls.BUILTINS


def _crypto() -> Mapping[str, Builtin]:
    from . import digests

    return digests.BUILTINS


def _x509() -> Mapping[str, Builtin]:
    from . import certificates, chains, keys

    return {**keys.BUILTINS, **certificates.BUILTINS, **chains.BUILTINS}


def _graphql() -> Mapping[str, Builtin]:
    from . import graphqls

    return graphqls.BUILTINS


def _schemas() -> Mapping[str, Builtin]:
    from . import schemas

    return schemas.BUILTINS


def _tokens() -> Mapping[str, Builtin]:
    from . import tokens

    return tokens.BUILTINS


def _providers() -> Mapping[str, Builtin]:
    from . import providers

    return providers.BUILTINS


_LATER: dict[str, Callable[[], Mapping[str, Builtin]]] = {
    "crypto": _crypto,
    "crypto.parse_private_keys": _x509,
    "crypto.x509": _x509,
    "graphql": _graphql,
    "io": _tokens,
    "json.match_schema": _schemas,
    "json.verify_schema": _schemas,
    "providers": _providers,
    "yaml": _yaml,
}
"""What the first words of a name say of where it is; everything else is in the core."""

BUILTINS: Mapping[str, Builtin] = _Table()
"""Every built-in by its full name, such as `json.patch`. Operators are here under OPA's names (`plus`, `equal`)."""
