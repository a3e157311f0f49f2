"""mutate: strategic merge patches, JSON patches, foreach and existing targets; each rule compiled once to a function.

A rule that changes the request's object gives the changed one; a rule with targets gives a Change for each. An object is never
changed in place. A patch that changes nothing is a skip, as in Kyverno; so is one whose conditions do not hold.
Source: kyverno/kyverno pkg/engine/mutate, pkg/engine/handlers/mutation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import yaml

from fairlead.dialects.kyverno.conditions import Conditions
from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.dialects.kyverno.entries import Entries
from fairlead.dialects.kyverno.generating import asks_for_deletes
from fairlead.dialects.kyverno.merging import Unmergeable, compile_merge
from fairlead.dialects.kyverno.templates import compile_template, compile_text, has_variables
from fairlead.dialects.kyverno.validating import (
    BadRule,
    compile_elements,
    conditions_of,
    entries_of,
    names_of,
)
from fairlead.judge.policies import Outcome
from fairlead.judge.reading import Source
from fairlead.tongues import globs, jsonpatch, selectors, yamls
from fairlead.tongues.jmespath import BadExpression, Failed
from fairlead.words import Change, Ref, Resource

Mutation: TypeAlias = Callable[[Context], "Outcome | list[Outcome] | None"]
"""Mutate for one subject. None: there is no object, or no target, to mutate. Raises Lacking."""

_Patch: TypeAlias = Callable[[Context, Resource], Resource]
"""Returns the patched object, or the very same one if nothing changes. Raises Unpatched and Unresolved."""

_DEEPEST = 5


class Unpatched(Exception):
    """A patch cannot be applied; the message says why in Kyverno's words."""


def compile_mutation(rule: Mapping[str, Any], source: Source, path: str) -> Mutation:
    """Compile a rule's `mutate` (`path` is the rule's place in the document). Raises BadRule."""
    document = rule.get("mutate")
    path = f"{path}.mutate"
    if not isinstance(document, Mapping):
        raise BadRule(path, "mutate must be a mapping")
    patch = _compile_patch(document, source, path, 0)
    targets = document.get("targets")
    if targets is None:
        return _of_object(patch)
    if not isinstance(targets, list) or not all(isinstance(one, Mapping) for one in targets):
        raise BadRule(f"{path}.targets", "targets must be a list of mappings")
    made = [_target(one, source, f"{path}.targets[{index}]") for index, one in enumerate(targets)]
    return _of_targets(patch, made, source, rule)


def on_policy_update(spec: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    """Return whether a rule's targets are mutated, too, when the policy itself is created or changed."""
    document = rule.get("mutate")
    own = document.get("mutateExistingOnPolicyUpdate") if isinstance(document, Mapping) else None
    return bool(spec.get("mutateExistingOnPolicyUpdate") if own is None else own)


def _of_object(patch: _Patch) -> Mutation:
    def run(context: Context) -> Outcome | None:
        before = context.subject.object
        if before is None:
            return None
        said = _outcome(patch, context, before)
        return said if isinstance(said, Outcome) else Outcome(result="pass", message=_told(said), object=said)

    return run


def _outcome(patch: _Patch, context: Context, before: Resource) -> Outcome | Resource:
    """Return the patched object, or an outcome that says why there is none."""
    try:
        after = patch(context, before)
    except Unresolved as error:
        return Outcome(result="error", message=f"variable substitution failed: {error}")
    except Unpatched as error:
        return Outcome(result="error", message=str(error))
    if jsonpatch.same(before, after):
        return Outcome(result="skip", message="no patches applied")
    return after


def _told(resource: Resource) -> str:
    meta = resource.get("metadata") or {}
    name, namespace = meta.get("name") or meta.get("generateName") or "", meta.get("namespace")
    where = f" in namespace {namespace}" if namespace else ""
    return f"mutated {resource.get('kind') or ''}/{name}{where}"


def _compile_patch(document: Mapping[str, Any], source: Source, path: str, nesting: int) -> _Patch:
    loops = document.get("foreach")
    if loops is not None:
        return _foreach(loops, source, f"{path}.foreach", nesting)
    merge = document.get("patchStrategicMerge")
    if merge is not None:
        if not isinstance(merge, Mapping):
            raise BadRule(f"{path}.patchStrategicMerge", "patchStrategicMerge must be a mapping")
        return _strategic(merge)
    operations = document.get("patchesJson6902")
    if operations:
        return _json(operations, f"{path}.patchesJson6902")
    raise BadRule(path, "mutate requires one of patchStrategicMerge, patchesJson6902 or foreach")


def _strategic(document: Mapping[str, Any]) -> _Patch:
    fill, merge = compile_template(document), compile_merge(document)

    def patch(context: Context, before: Resource) -> Resource:
        try:
            return merge(before, fill(context))
        except Unmergeable as error:
            raise Unpatched(
                f"failed to patch resource: failed to apply patchStrategicMerge: {error}"
            ) from None

    return patch


def _json(document: Any, path: str) -> _Patch:
    """Compile operations: a text in YAML or JSON, filled in before it is read, or a list, filled in as it stands."""
    if not has_variables(document):
        try:
            fixed = _read(document) if isinstance(document, str) else _compiled(document)
        except Unpatched as error:
            raise BadRule(path, str(error)) from None
        return lambda _, before: _applied(fixed, before)
    if isinstance(document, str):
        fill_text = compile_text(document)
        return lambda context, before: _applied(_read(fill_text(context)), before)
    fill = compile_template(document)
    return lambda context, before: _applied(_compiled(fill(context)), before)


def _applied(patch: jsonpatch.Patch, before: Resource) -> Resource:
    try:
        after = patch(before)
    except jsonpatch.Unpatchable as error:
        raise Unpatched(f"failed to patch resource: failed to apply JSON Patch: {error}") from None
    if not isinstance(after, dict):
        raise Unpatched("failed to patch resource: the patch leaves no object")
    return after


def _compiled(operations: Any) -> jsonpatch.Patch:
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise Unpatched("failed to patch resource: failed to decode patches: not a list of operations")
    return jsonpatch.compile(operations, jsonpatch.Manner.LENIENT)


@lru_cache(maxsize=2048)
def _read(text: str) -> jsonpatch.Patch:
    try:
        yamls.check_depth(text)
        return _compiled(yaml.load(text, Loader=_Loader))  # noqa: S506  it is a safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise Unpatched(
            f"failed to patch resource: failed to convert patchesJSON6902 to JSON: {said}"
        ) from None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # as fast as there is one
    """Reads YAML in which what looks like a date stays a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  PyYAML's own way of stating them
        first: [one for one in known if one[0] != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class _Loop:
    """One foreach. Strategic merges begin at the end of the list unless `order` says otherwise: new items are put in front."""

    elements: Callable[[Context], list[Any]]
    text: str
    entries: Entries | None
    conditions: Conditions
    patch: _Patch
    backwards: bool


def _foreach(document: Any, source: Source, path: str, nesting: int) -> _Patch:
    if not isinstance(document, list) or not document:
        raise BadRule(path, "foreach must be a list")
    if nesting >= _DEEPEST:
        raise BadRule(path, "foreach is nested too deeply")
    loops = [_loop(one, source, f"{path}[{index}]", nesting) for index, one in enumerate(document)]

    def patch(context: Context, before: Resource) -> Resource:
        current = before
        for loop in loops:
            with context.scope(_current(context, before, current)):
                try:
                    elements = loop.elements(context)
                except (Failed, BadExpression) as error:
                    raise Unpatched(f"failed to evaluate list {loop.text}: {error}") from None
                current = _over(loop, elements, context, current, nesting)
        return current

    return patch


def _current(context: Context, before: Resource, current: Resource) -> Mapping[str, Any]:
    """Return the names that a foreach sees once an earlier one has changed the object."""
    if current is before:
        return {}
    if context.data["target"] is before:
        return {"target": current}
    request = context.data["request"]
    return {"request": {**request, "object": current}} if isinstance(request, dict) else {}


def _loop(document: Any, source: Source, path: str, nesting: int) -> _Loop:
    if not isinstance(document, Mapping):
        raise BadRule(path, "foreach must be a mapping")
    text = document.get("list")
    if not isinstance(text, str):
        raise BadRule(f"{path}.list", "foreach requires a list")
    order = document.get("order")
    if order not in {None, "Ascending", "Descending"}:
        raise BadRule(f"{path}.order", f"order must be Ascending or Descending, not {order!r}")
    strategic = document.get("patchStrategicMerge") is not None
    return _Loop(
        compile_elements(text),
        text,
        entries_of(document.get("context"), source, f"{path}.context"),
        conditions_of(document.get("preconditions"), f"{path}.preconditions"),
        _compile_patch(document, source, path, nesting + 1),
        strategic if order is None else order == "Descending",
    )


def _over(
    loop: _Loop, elements: Sequence[Any], context: Context, current: Resource, nesting: int
) -> Resource:
    places = range(len(elements))
    for index in reversed(places) if loop.backwards else places:
        element = elements[index]
        if element is None:
            continue
        with context.scope(names_of(element, index, nesting)):
            if loop.entries is not None:
                loop.entries(context)
            try:
                met = loop.conditions(context)
            except Unresolved as error:
                raise Unpatched(
                    f"failed to mutate elements: failed to evaluate mutate.foreach[{index}].preconditions: {error}"
                ) from None
            if met:
                current = loop.patch(context, current)
    return current


@dataclass(frozen=True, slots=True)
class _Target:
    """Existing objects that a rule mutates: which, and what must hold of each."""

    fill: Callable[[Context], Any]
    entries: Entries | None
    conditions: Conditions


def _target(document: Mapping[str, Any], source: Source, path: str) -> _Target:
    if not isinstance(document.get("kind"), str):
        raise BadRule(f"{path}.kind", "a target requires a kind")
    named = {
        key: document[key]
        for key in ("apiVersion", "kind", "namespace", "name", "selector")
        if key in document
    }
    return _Target(
        compile_template(named),
        entries_of(document.get("context"), source, f"{path}.context"),
        conditions_of(document.get("preconditions"), f"{path}.preconditions"),
    )


def _of_targets(
    patch: _Patch, targets: Sequence[_Target], source: Source, rule: Mapping[str, Any]
) -> Mutation:
    within = source.ref.namespace if source.ref.kind == "Policy" else ""
    why = f"rule {rule.get('name')} of {source.ref}"
    on_delete = asks_for_deletes(rule)

    def run(context: Context) -> list[Outcome] | None:
        if context.deleting and not on_delete:
            return None
        said: list[Outcome] = []
        for index, target in enumerate(targets):
            try:
                found = list(_found(target.fill(context), context, within))
            except (Unresolved, ValueError) as error:
                message = f"failed to substitute variables in target[{index}]: {error}"
                said.append(Outcome(result="error", message=message))
                continue
            said += [_retargeted(patch, target, one, context, why) for one in found]
        return said or None

    return run


def _found(named: Mapping[str, Any], context: Context, within: str) -> Iterator[Resource]:
    """Yield the objects that a target names, wildcards included. A namespaced policy reaches only its own namespace."""
    view = context.around.view
    group, _, _ = str(named.get("apiVersion") or "").rpartition("/")
    kind = str(named["kind"]).partition("/")[0]
    namespace, name = within or str(named.get("namespace") or ""), str(named.get("name") or "")
    selector = named.get("selector")
    chosen = selectors.from_object(selector) if isinstance(selector, Mapping) else None
    pairs = [(group, kind)]
    if globs.has_wildcard(group + kind):
        pairs = [one for one in view.kinds() if globs.matches(group, one[0]) and globs.matches(kind, one[1])]
    for pair in pairs:
        plain = namespace if namespace and not globs.has_wildcard(namespace) else None
        if plain is not None and not context.around.kinds.namespaced(*pair):
            plain = ""
        for one in view.list(*pair, plain):
            ref = Ref.of(one)
            if (
                (not name or globs.matches(name, ref.name))
                and (not namespace or plain is not None or globs.matches(namespace, ref.namespace))
                and (chosen is None or chosen.matches(_labels(one)))
            ):
                yield one


def _labels(resource: Resource) -> Mapping[str, str]:
    meta = resource.get("metadata")
    labels = meta.get("labels") if isinstance(meta, dict) else None
    return labels if isinstance(labels, dict) else {}


def _retargeted(patch: _Patch, target: _Target, before: Resource, context: Context, why: str) -> Outcome:
    with context.scope({"target": before}):
        if target.entries is not None:
            target.entries(context)
        try:
            met, message = target.conditions.explain(context)
        except Unresolved as error:
            return Outcome(result="error", message=f"failed to evaluate preconditions: {error}")
        if not met:
            return Outcome(
                result="skip", message="; ".join(part for part in ("preconditions not met", message) if part)
            )
        said = _outcome(patch, context, before)
    if isinstance(said, Outcome):
        return said
    change = Change(
        verb="update",
        ref=Ref.of(before),
        api_version=str(before.get("apiVersion") or ""),
        body=said,
        why=why,
        if_version=str((before.get("metadata") or {}).get("resourceVersion") or ""),
    )
    return Outcome(result="pass", message=_told(said), changes=(change,))
