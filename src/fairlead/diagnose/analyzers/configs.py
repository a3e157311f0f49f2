"""ConfigMaps, Secrets, their keys, service accounts and claims that pods name and that are not there.

What an object names is a fact of the object alone, so these facts hold on files too; but there an absent object is
unknown, unless a near name shows what was meant. Values are never shown, keys are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from fairlead.diagnose.analyzers import customs
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import ANY_MAKER, Inventory, Template, ready
from fairlead.diagnose.likening import nearest, renamed
from fairlead.diagnose.proposing import Edit, edit_template, joined
from fairlead.diagnose.references import Edge, edges, pod_edges
from fairlead.tongues.paths import find, mapping
from fairlead.words import Fix, Ref, Resource, Severity

_NAME_FIELDS = ("name", "secretName", "claimName")
_RULES = {
    "config": "config.missing",
    "secret": "secret.missing",
    "claim": "claim.missing",
    "account": "account.missing",
}
_KEY_RULES = {"config": "config.key", "secret": "secret.key"}


def missing_key(target: Ref, relation: str) -> Key:
    """Return the name of the fact that this object is missing."""
    return (_RULES[relation], target, "")


def key_key(target: Ref, relation: str, key: str) -> Key:
    """Return the name of the fact that this object lacks a key."""
    return (_KEY_RULES[relation], target, key)


def keys_of(resource: Resource) -> set[str]:
    """Return the keys that a ConfigMap or Secret holds."""
    return {key for field in ("data", "binaryData", "stringData") for key in mapping(resource, field)}


def lacks(template: Template) -> list[Key]:
    """Return the names of all facts of this module that would keep the template's pods from starting."""
    found: list[Key] = []
    for edge in pod_edges(template.ref, template.spec, template.spec_path):
        if edge.relation not in _RULES or edge.optional:
            continue
        found.append(missing_key(edge.target, edge.relation))
        if edge.key:
            found.append(key_key(edge.target, edge.relation, edge.key))
    return list(dict.fromkeys(found))


def _template(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Each object or key that a template names and that is known, or evidently meant, to be another.

    What several workloads name is told once, by the first of them.
    """
    template = inventory.template_of(resource)
    if template is None:
        return
    asked: set[tuple[Ref, str]] = set()
    for edge in pod_edges(template.ref, template.spec, template.spec_path):
        if edge.relation not in _RULES or edge.optional:
            continue
        target = inventory.get(edge.target)
        if target is not None and (not edge.key or edge.key in keys_of(target)):
            continue
        key = edge.key if target is not None else ""
        if (edge.target, key) in asked:
            continue
        asked.add((edge.target, key))
        askers = _askers(inventory, edge.target, key)
        if askers and askers[0][0].ref == template.ref:
            if target is None:
                yield from _absent(inventory, edge.target, askers)
            else:
                yield _keyless(inventory, edge.target, key, askers)


def _askers(inventory: Inventory, ref: Ref, key: str) -> list[tuple[Template, Edge]]:
    """Return every template that needs the object (with a key: that key of it), with where it says so."""
    found = []
    for edge in inventory.referrers(ref):
        if edge.relation not in _RULES or edge.optional or (key and edge.key != key):
            continue
        source = inventory.get(edge.source)
        template = inventory.maker(source) if source is not None else None
        if template is not None:
            found.append((template, edge))
    return found


def _who(askers: Sequence[tuple[Template, Edge]]) -> str:
    names = list(dict.fromkeys(f"{template.ref.kind} {template.ref.name}" for template, _ in askers))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _edit(template: Template, edge: Edge, new: str, *, key: bool) -> Edit | None:
    if key:
        return Edit((*edge.path, "key"), new)
    holder = find(template.resource, edge.path)
    if isinstance(holder, str):
        return Edit(edge.path, new)
    for field in _NAME_FIELDS:
        if isinstance(holder, dict) and holder.get(field) == edge.target.name:
            return Edit((*edge.path, field), new)
    outer = find(template.resource, edge.path[:-2])  # an item of a volume: the name stands above the items
    for field in _NAME_FIELDS:
        if isinstance(outer, dict) and outer.get(field) == edge.target.name:
            return Edit((*edge.path[:-2], field), new)
    return None


def _renamed(
    inventory: Inventory, askers: Iterable[tuple[Template, Edge]], new: str, title: str, *, key: bool = False
) -> Fix | None:
    per_template: dict[Ref, tuple[Template, dict[Edit, None]]] = {}
    for template, edge in askers:
        edit = _edit(template, edge, new, key=key)
        if edit is None:
            return None
        per_template.setdefault(template.ref, (template, {}))[1][edit] = None
    return joined(
        [edit_template(inventory, template, list(edits), title) for template, edits in per_template.values()],
        title,
    )


def _absent(inventory: Inventory, ref: Ref, askers: Sequence[tuple[Template, Edge]]) -> Iterator[Fact]:
    template, edge = askers[0]
    relation = edge.relation
    meant = nearest(ref.name, inventory.names(ref, template.ref), loose=inventory.live)
    sure = inventory.seen_all(ref.group, ref.kind)
    if not sure and meant is None:
        return
    gone = sure and _in_use(inventory, ref, askers)
    if gone:
        meant = None
    if meant is not None:
        wanted = {one.key for _, one in askers if one.key}
        other = inventory.get(Ref(ref.group, ref.kind, ref.namespace, meant))
        if other is not None and wanted and not wanted <= keys_of(other) and relation in _KEY_RULES:
            meant = None  # a like name, but not what is asked for
            if not sure:
                return
    fix = _renamed(inventory, askers, meant, f"use {ref.kind} {meant}") if meant else None
    said = "does not exist" if sure else "is not among these files"
    message = f"{ref.kind} {ref.name} {said}, and {_who(askers)} needs it"
    single = len({one.ref for one, _ in askers}) == 1
    place = inventory.where(edge.source, edge.path)
    yield Fact(
        rule=_RULES[relation],
        subject=ref,
        severity=Severity.WARNING,
        message=message,
        cause=f"{ref.kind} {meant} exists: probably that one is meant."
        if meant
        else "It was there: pods that started earlier use it."
        if gone
        else "",
        evidence=tuple(
            inventory.field(one.source, one.path, f"names {ref.kind} {ref.name}") for _, one in askers[:3]
        ),
        fixes=(fix,) if fix else (),
        where=place,
        confidence="certain" if sure else "likely",
        because=tuple(customs.makers(inventory, ref)) if inventory.live else (),
        blame=template.ref if single else None,
    )


def _in_use(inventory: Inventory, ref: Ref, askers: Sequence[tuple[Template, Edge]]) -> bool:
    """Say whether a pod that is ready uses what is not there: then it was deleted, and its name is no slip."""
    return any(
        edge.target == ref
        for template, _ in askers
        for member in inventory.crew(template.ref)
        if ready(member.pod)
        for edge in pod_edges(member.ref, mapping(member.pod, "spec"), ("spec",))
    )


def _read(inventory: Inventory, ref: Ref) -> set[str]:
    """Return the keys of an object that somebody reads by their names."""
    return {edge.key for edge in inventory.referrers(ref) if edge.key}


def _keyless(inventory: Inventory, ref: Ref, key: str, askers: Sequence[tuple[Template, Edge]]) -> Fact:
    template, edge = askers[0]
    resource = inventory.get(ref)
    keys = keys_of(resource) if resource else set()
    taken = {one.key for one in edges(template.resource) if one.target == ref and one.key in keys}
    meant = nearest(key, keys - taken) or nearest(key, keys - taken, loose=True)
    meant = meant or renamed(key, keys - taken - _read(inventory, ref))
    fix = _renamed(inventory, askers, meant, f"read key {meant}", key=True) if meant else None
    if meant:
        cause = f"It has {meant}: probably that key is meant."
    elif keys:
        cause = f"Its keys are {', '.join(sorted(keys)[:8])}{' …' if len(keys) > 8 else ''}."
    else:
        cause = "It is empty."
    single = len({one.ref for one, _ in askers}) == 1
    return Fact(
        rule=_KEY_RULES[edge.relation],
        subject=ref,
        detail=key,
        severity=Severity.WARNING if inventory.live else Severity.CRITICAL,
        message=f"{ref.kind} {ref.name} has no key {key}, and {_who(askers)} needs it",
        cause=cause,
        evidence=tuple(
            inventory.field(one.source, one.path, f"names key {key} of {ref.kind} {ref.name}")
            for _, one in askers[:3]
        ),
        fixes=(fix,) if fix else (),
        where=inventory.where(edge.source, edge.path),
        blame=template.ref if single else None,
    )


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {ANY_MAKER: _template}
