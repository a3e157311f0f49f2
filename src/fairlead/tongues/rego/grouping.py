"""Which definitions make one document: rules by path, functions by path, and the conflicts among them.

A group is complete (one value), a set, an object (one key that varies) or general (several rules that contribute to one document
at paths that vary). Must never write code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .errors import BadModule
from .syntax import Rule, Scalar, Term, Var
from .values import equal

Path: TypeAlias = tuple[str, ...]


@dataclass(slots=True, eq=False)
class Group:
    """The definitions of one document at a path; each with the steps below the path that its head adds."""

    path: Path
    kind: Literal["complete", "set", "object", "general"]
    members: list[tuple[Rule, tuple[Term, ...]]] = field(default_factory=list)

    @property
    def defaults(self) -> list[tuple[Rule, tuple[Term, ...]]]:
        """The default definitions."""
        return [(rule, rest) for rule, rest in self.members if rule.default]

    @property
    def definitions(self) -> list[tuple[Rule, tuple[Term, ...]]]:
        """The definitions with bodies."""
        return [(rule, rest) for rule, rest in self.members if not rule.default]

    def reaches(self, path: Sequence[Term]) -> tuple[int, ...]:
        """Return the members, by place, that may have something at the known start of a path below the group's."""
        known: list[Scalar] = []
        for step in path:
            if not isinstance(step, Scalar):
                break
            known.append(step)
        return tuple(
            place
            for place, (_, rest) in enumerate(self.members)
            if all(
                not isinstance(theirs, Scalar) or equal(ours.value, theirs.value)
                for ours, theirs in zip(known, rest, strict=False)
            )
        )


def part_of(path: Path, place: int) -> Path:
    """Return the name, among those that need others, of one of the definitions of a document."""
    return (*path, f"\0{place}")


def whole(path: Path) -> Path:
    """Return the document's path for any such name."""
    return path[:-1] if path and path[-1].startswith("\0") else path


def split(rule: Rule) -> tuple[Path, tuple[Term, ...]]:
    """Return the part of a rule's head that is known and the steps from the first one on that varies."""
    head = rule.ref[0]
    assert isinstance(head, Var)
    path = [*rule.package, head.name]
    for place, step in enumerate(rule.ref[1:], 1):
        if not isinstance(step, Scalar) or type(step.value) is not str:
            return tuple(path), rule.ref[place:]
        path.append(step.value)
    return tuple(path), ()


def dotted(path: Iterable[str]) -> str:
    """Return a path in `data` as text."""
    return ".".join(("data", *path))


def grouped(rules: Sequence[Rule]) -> tuple[list[Group], dict[Path, list[Rule]], list[BadModule]]:
    """Return the groups, the functions and what conflicts."""
    errors: list[BadModule] = []
    functions: dict[Path, list[Rule]] = {}
    values: dict[Path, list[tuple[Rule, tuple[Term, ...]]]] = {}
    for rule in rules:
        path, rest = split(rule)
        if rule.args is not None:
            functions.setdefault(path, []).append(rule)
        else:
            values.setdefault(path, []).append((rule, rest))
    roots = _roots(values)
    made: dict[Path, Group] = {}
    for path, members in values.items():
        root = next((path[:length] for length in range(1, len(path) + 1) if path[:length] in roots), None)
        if root is None:
            kind: Literal["complete", "set"] = "set" if members[0][0].kind == "set" else "complete"
            made[path] = Group(path, kind, members)
            continue
        group = made.setdefault(root, Group(root, roots[root]))
        above = tuple([Scalar(step) for step in path[len(root) :]])
        group.members.extend([(rule, (*above, *rest)) for rule, rest in members])
    for path, defined in functions.items():
        _check_function(path, defined, made, errors)
    for group in made.values():
        _check_group(group, errors)
    _check_nesting(made, errors)
    return list(made.values()), functions, errors


def _roots(
    values: dict[Path, list[tuple[Rule, tuple[Term, ...]]]],
) -> dict[Path, Literal["object", "general"]]:
    """Return the paths at which documents are put together from heads that vary."""
    varying = {path for path, members in values.items() if any(rest for _, rest in members)}
    found: dict[Path, Literal["object", "general"]] = {}
    for path in varying:
        if any(path[:length] in varying for length in range(1, len(path))):
            continue
        alone = not any(len(other) > len(path) and other[: len(path)] == path for other in values)
        simple = alone and all(len(rest) == 1 and rule.kind == "single" for rule, rest in values[path])
        found[path] = "object" if simple else "general"
    return found


def _error(rule: Rule, message: str) -> BadModule:
    return BadModule(message, rule.file, *rule.at, code="rego_type_error")


def _defaults(path: Path, rules: Iterable[Rule]) -> str:
    places = ", ".join(f"{rule.file}:{rule.at[0]}" for rule in rules if rule.default)
    return f"multiple default rules {dotted(path)} found at {places}"


def _check_function(
    path: Path, rules: list[Rule], groups: dict[Path, Group], errors: list[BadModule]
) -> None:
    arities = {len(rule.args or ()) for rule in rules}
    if path in groups or len(arities) > 1:
        errors.append(_error(rules[0], f"conflicting rules {dotted(path)} found"))
    elif sum(rule.default for rule in rules) > 1:
        errors.append(_error(rules[0], _defaults(path, rules)))


def _check_group(group: Group, errors: list[BadModule]) -> None:
    kinds = {(rule.kind, not rest) for rule, rest in group.members}
    first = group.members[0][0]
    if group.kind == "general":
        if any(not rest and rule.kind == "single" for rule, rest in group.members) or len(
            {rule.kind for rule, rest in group.members if not rest}
        ) > (0 if any(rest for _, rest in group.members) else 1):
            errors.append(_error(first, f"conflicting rules {dotted(group.path)} found"))
    elif len(kinds) > 1:
        errors.append(_error(first, f"conflicting rules {dotted(group.path)} found"))
    elif len(group.defaults) > 1:
        errors.append(_error(first, _defaults(group.path, [rule for rule, _ in group.members])))


def _check_nesting(groups: dict[Path, Group], errors: list[BadModule]) -> None:
    for path, group in groups.items():
        for length in range(1, len(path)):
            above = groups.get(path[:length])
            if above is not None:
                first = group.members[0][0]
                place = f"{first.file}:{first.at[0]}"
                if tuple(first.package) == path[: len(first.package)] and length > len(first.package):
                    message = f"rule {dotted(above.path)} conflicts with [{dotted(path)}]"
                else:
                    message = f"package {dotted(first.package)} conflicts with rule {dotted(above.path)} defined at {place}"
                errors.append(_error(above.members[0][0], message))
