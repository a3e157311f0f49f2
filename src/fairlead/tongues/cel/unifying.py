"""Whether a type may stand where another is expected, and what that says about the types that are still to be found out.

The rules are cel-go's (checker/types.go), so that expressions mean the same and the same ones are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.tongues.cel.types import DYN, TYPE, Type

_ANYTHING = frozenset({"dyn", "any", "error"})
_NULLABLE = frozenset({"opaque", "message", "null", "wrapper"})


class Unifier:
    """What has been found out so far: variable -> type. `assignable` adds to it when it says yes, and only then."""

    def __init__(self) -> None:
        self.found: dict[str, Type] = {}
        self._count = 0

    def fresh(self) -> Type:
        """Return a variable that nothing is known about."""
        self._count += 1
        return Type(f"_var{self._count}", (), "variable")

    def assignable(self, given: Sequence[Type], wanted: Sequence[Type]) -> bool:
        """Return whether types may stand for others, one by one."""
        kept = dict(self.found)
        if len(given) == len(wanted) and all(map(self._fits, given, wanted)):
            return True
        self.found = kept
        return False

    def join(self, left: Type, right: Type) -> Type | None:
        """Return the more general of two types that agree, or None."""
        if self.assignable((left,), (right,)):
            return general(left, right)
        if right.sort == "null" and self.assignable((right,), (left,)):
            return left
        return None

    def _fits(self, given: Type, wanted: Type) -> bool:
        if wanted.sort == "variable":
            valid, known = self._stands(given, wanted)
            if valid or known:
                return valid
        if given.sort == "variable":
            return self._stands(wanted, given)[0]
        if given.sort in _ANYTHING or wanted.sort in _ANYTHING:
            return True
        if given.sort == "null":
            return wanted.sort in _NULLABLE or wanted.name.startswith("google.protobuf.")
        if given.sort == "wrapper":
            return self._fits(given.params[0], wanted)
        if wanted.sort == "wrapper":
            return given == wanted.params[0]
        if given.sort == "type" or wanted.sort == "type":
            return given.sort == wanted.sort
        if given.sort != wanted.sort or given.name != wanted.name:
            return False
        if given.sort in {"list", "map"} and (not given.params or not wanted.params):
            return True
        return len(given.params) == len(wanted.params) and all(map(self._fits, given.params, wanted.params))

    def _stands(self, other: Type, unknown: Type) -> tuple[bool, bool]:
        """Return whether the unknown may stand for the other, and whether something was known about it."""
        known = self.found.get(unknown.name)
        if known is not None:
            if other == known:
                return True, True
            if self._fits(other, known):
                if not self._occurs(unknown, other):
                    self.found[unknown.name] = general(other, known)
                return True, True
            return False, True
        if self._occurs(unknown, other):
            return False, False
        self.found[unknown.name] = other
        return True, False

    def _occurs(self, unknown: Type, within: Type) -> bool:
        if unknown == within:
            return True
        if within.sort == "variable":
            known = self.found.get(within.name)
            return known is not None and self._occurs(unknown, known)
        return any(self._occurs(unknown, one) for one in within.params)

    def resolve(self, kind: Type, *, final: bool = False) -> Type:
        """Return a type with what was found out put in; at the end, what is still unknown is dyn."""
        if kind.sort == "variable":
            known = self.found.get(kind.name)
            if known is not None:
                return self.resolve(known, final=final)
            return DYN if final else kind
        if not kind.params:
            return kind
        params = tuple(self.resolve(one, final=final) for one in kind.params)
        return kind if params == kind.params else Type(kind.name, params, kind.sort, kind.fields)


def renamed(kinds: Sequence[Type], unifier: Unifier) -> list[Type]:
    """Return the types with each of their variables replaced by a fresh one."""
    names: dict[str, Type] = {}

    def replaced(kind: Type) -> Type:
        if kind.sort == "variable":
            if kind.name not in names:
                names[kind.name] = unifier.fresh()
            return names[kind.name]
        if not kind.params:
            return kind
        return Type(kind.name, tuple(map(replaced, kind.params)), kind.sort, kind.fields)

    return [replaced(kind) for kind in kinds]


def general(left: Type, right: Type) -> Type:
    """Return the more general of two types that agree."""
    if left.sort == "wrapper" and left.params[0] == right:
        return left
    return left if _vaguer(left, right) else right


def _vaguer(left: Type, right: Type) -> bool:
    if left.sort in {"dyn", "any", "variable"}:
        return True
    if right.sort in {"dyn", "any", "variable"} or left.sort != right.sort:
        return False
    if left.sort == "type":
        return True
    return (
        left.name == right.name
        and len(left.params) == len(right.params)
        and all(map(_vaguer, left.params, right.params))
    ) or left is TYPE
