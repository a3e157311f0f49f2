"""generate: data, clone, cloneList and foreach; each rule compiled once to a function that proposes what there should be.

What is generated carries labels that say by which policy, rule, trigger and source it came to be; `following` finds it again by
them. Nothing is created here: a rule gives Changes, and none for what is already as it should be.
Source: kyverno/kyverno pkg/background/generate, pkg/background/common/labels.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from fairlead.dialects.kyverno.conditions import Conditions
from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.dialects.kyverno.entries import Entries
from fairlead.dialects.kyverno.templates import compile_template
from fairlead.dialects.kyverno.validating import (
    BadRule,
    compile_elements,
    conditions_of,
    entries_of,
    names_of,
)
from fairlead.judge.policies import Outcome
from fairlead.judge.reading import Source
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import selectors
from fairlead.tongues.jmespath import BadExpression, Failed
from fairlead.tongues.paths import mapping, mappings, text, words
from fairlead.words import Change, Ref, Resource

MANAGED = "app.kubernetes.io/managed-by"
PREFIX = "generate.kyverno.io/"
CLONE_SOURCE = f"{PREFIX}clone-source"

Generation: TypeAlias = Callable[[Context], "Outcome | None"]
"""Say what a subject brings about. None: nothing. Raises Lacking."""

_LONGEST_LABEL = 63
_WAYS = ("data", "clone", "cloneList")


class Ungenerated(Exception):
    """Something cannot be generated; the message says why in Kyverno's words."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Who generates: the policy, its rule, and how it writes."""

    policy: Ref
    rule: str
    synchronize: bool
    server_side: bool
    orphans: bool

    @property
    def why(self) -> str:
        """For Changes."""
        return f"rule {self.rule} of {self.policy}"


def compile_generation(rule: Mapping[str, Any], source: Source, path: str) -> Generation:
    """Compile a rule's `generate` (`path` is the rule's place in the document). Raises BadRule."""
    document = rule.get("generate")
    path = f"{path}.generate"
    if not isinstance(document, Mapping):
        raise BadRule(path, "generate must be a mapping")
    spec = mapping(source.content, "spec")
    maker = Maker(
        policy=source.ref,
        rule=str(rule.get("name") or ""),
        synchronize=bool(document.get("synchronize")),
        server_side=bool(spec.get("useServerSideApply")),
        orphans=bool(document.get("orphanDownstreamOnPolicyDelete")),
    )
    loops = document.get("foreach")
    if loops is not None:
        if not isinstance(loops, list) or not all(isinstance(one, Mapping) for one in loops):
            raise BadRule(f"{path}.foreach", "foreach must be a list of mappings")
        make = _foreach([_loop(one, source, f"{path}.foreach[{i}]") for i, one in enumerate(loops)])
    else:
        fill = _pattern(document, path)
        make = _once(fill)
    existing, on_delete = generates_existing(spec, rule), asks_for_deletes(rule)

    def run(context: Context) -> Outcome | None:
        if (context.subject.scan and not existing) or (context.deleting and not on_delete):
            return None
        return _made(maker, make(context, maker), context.around)

    return run


def asks_for_deletes(rule: Mapping[str, Any]) -> bool:
    """Return whether a rule's match names the operation DELETE: only then does the end of a trigger bring anything about."""
    match = mapping(rule, "match")
    filters = [match, *(one for key in ("any", "all") for _, one in mappings(match, key))]
    return any("DELETE" in words(one, "resources", "operations") for one in filters)


def generates_existing(spec: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    """Return whether a rule holds for triggers that were there before the policy."""
    document = rule.get("generate")
    own = document.get("generateExisting") if isinstance(document, Mapping) else None
    if own is not None:
        return bool(own)
    return bool(spec.get("generateExisting") or spec.get("generateExistingOnPolicyUpdate"))


_Wanted: TypeAlias = "tuple[list[Resource], list[str]]"
"""The objects that there should be, and what went wrong with others."""


def _made(maker: Maker, wanted: _Wanted, around: Surroundings) -> Outcome | None:
    objects, errors = wanted
    changes = tuple(change for one in objects for change in changes_for(maker, one, around))
    properties = {"generated": objects, "synchronize": maker.synchronize, "orphan": maker.orphans}
    if errors:
        return Outcome(result="error", message="; ".join(errors), changes=changes, properties=properties)
    if not objects:
        return Outcome(result="skip", message="nothing to generate", properties=properties)
    return Outcome(result="pass", message="resource generated", changes=changes, properties=properties)


def changes_for(maker: Maker, wanted: Resource, around: Surroundings) -> Iterator[Change]:
    """Yield the Change that makes an object be as it should, if one is needed: what is there is kept unless it is synchronised."""
    ref, version = Ref.of(wanted), text(wanted, "apiVersion")
    there = around.view.get(ref.group, ref.kind, ref.namespace, ref.name)
    if there is None:
        if maker.server_side:
            yield Change(
                verb="patch", patch="apply", ref=ref, api_version=version, body=wanted, why=maker.why
            )
        else:
            yield Change(verb="create", ref=ref, api_version=version, body=wanted, why=maker.why)
    elif maker.synchronize and not _within(wanted, there):
        if maker.server_side:
            yield Change(
                verb="patch", patch="apply", ref=ref, api_version=version, body=wanted, why=maker.why
            )
        else:
            meta = {**mapping(wanted, "metadata")}
            for key in ("resourceVersion", "uid"):
                if text(there, "metadata", key):
                    meta[key] = text(there, "metadata", key)
            yield Change(
                verb="update", ref=ref, api_version=version, body={**wanted, "metadata": meta}, why=maker.why
            )


def _within(wanted: Any, there: Any) -> bool:
    """Return whether everything that is wanted is there: fields may be more, lists must be the same."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(_within(item, there.get(key)) for key, item in wanted.items())
    if isinstance(wanted, list):
        return isinstance(there, list) and len(wanted) == len(there) and all(map(_within, wanted, there))
    return wanted == there or (wanted == "" and there is None)


_Make: TypeAlias = Callable[[Context, Maker], "_Wanted"]
_Pattern: TypeAlias = Callable[[Context], Mapping[str, Any]]


def _pattern(document: Mapping[str, Any], path: str) -> _Pattern:
    """Compile one thing to generate: its kind and name, and data or what to clone."""
    ways = [way for way in _WAYS if document.get(way) is not None]
    if len(ways) > 1:
        raise BadRule(path, "only one of generate patterns(data, clone or cloneList) can be specified")
    if not ways:
        raise BadRule(path, "generate requires one of data, clone or cloneList")
    if ways != ["cloneList"] and not (document.get("kind") and document.get("name")):
        raise BadRule(path, "generate requires a kind and a name")
    fields = ("apiVersion", "kind", "namespace", "name", *_WAYS)
    return compile_template({key: document[key] for key in fields if document.get(key) is not None})


def _once(fill: _Pattern) -> _Make:
    def make(context: Context, maker: Maker) -> _Wanted:
        try:
            return list(_objects(fill(context), context, maker)), []
        except Unresolved as error:
            return [], [f"variable substitution failed for rule {maker.rule}: {error}"]
        except Ungenerated as error:
            return [], [str(error)]

    return make


@dataclass(frozen=True, slots=True)
class _Loop:
    elements: Callable[[Context], list[Any]]
    entries: Entries | None
    conditions: Conditions
    make: _Make


def _loop(document: Mapping[str, Any], source: Source, path: str) -> _Loop:
    listed = document.get("list")
    if not isinstance(listed, str):
        raise BadRule(f"{path}.list", "foreach requires a list")
    return _Loop(
        compile_elements(listed),
        entries_of(document.get("context"), source, f"{path}.context"),
        conditions_of(document.get("preconditions"), f"{path}.preconditions"),
        _once(_pattern(document, path)),
    )


def _foreach(loops: Sequence[_Loop]) -> _Make:
    def make(context: Context, maker: Maker) -> _Wanted:
        objects: list[Resource] = []
        errors: list[str] = []
        for index, loop in enumerate(loops):
            try:
                elements = loop.elements(context)
            except (Failed, BadExpression) as error:
                errors.append(f"failed to evaluate {index} foreach list: {error}")
                continue
            for place, element in enumerate(elements):
                if element is None:
                    continue
                with context.scope(names_of(element, place, 0)):
                    if loop.entries is not None:
                        loop.entries(context)
                    try:
                        met = loop.conditions(context)
                    except Unresolved as error:
                        errors.append(f"failed to evaluate preconditions: {error}")
                        continue
                    if met:
                        more, wrong = loop.make(context, maker)
                        objects += more
                        errors += [f"failed to process {place} element: {one}" for one in wrong]
        return objects, errors

    return make


def _objects(named: Mapping[str, Any], context: Context, maker: Maker) -> Iterator[Resource]:
    """Yield the objects that a filled in pattern asks for, labelled. Raises Ungenerated."""
    trigger = context.subject.present
    namespace = str(named.get("namespace") or "")
    if maker.policy.kind == "Policy" and namespace != maker.policy.namespace:
        raise Ungenerated(f"a namespaced policy cannot generate resources in other namespaces: {namespace!r}")
    clones = named.get("cloneList")
    if clones is not None:
        yield from _listed(clones, namespace, context.around, maker, trigger)
        return
    ref = _target(named, namespace, context.around)
    version = str(named.get("apiVersion") or _version(ref, context.around))
    clone = named.get("clone")
    if clone is None:
        data = named.get("data")
        if not isinstance(data, dict):
            raise Ungenerated("the data of a generate rule must be a mapping")
        yield labelled({**data, "apiVersion": version, "kind": ref.kind}, ref, maker, trigger)
        return
    whence, who = str(mapping(clone).get("namespace") or ""), str(mapping(clone).get("name") or "")
    if maker.policy.kind == "Policy" and whence != maker.policy.namespace:
        raise Ungenerated(
            f'generate.clone.namespace "{whence}" must equal policy namespace "{maker.policy.namespace}"'
        )
    if (whence, who) == (ref.namespace, ref.name):
        return
    source = context.around.view.get(ref.group, ref.kind, whence, who)
    if source is None:
        shown = "/".join(part for part in (version, ref.kind, whence, who) if part)
        raise Ungenerated(f"source resource {shown} not found")
    yield labelled(cloned(source, ref.namespace), ref, maker, trigger)


def _target(named: Mapping[str, Any], namespace: str, around: Surroundings) -> Ref:
    group = str(named.get("apiVersion") or "").rpartition("/")[0]
    kind, name = str(named["kind"]), str(named["name"])
    if not around.kinds.namespaced(group, kind):
        namespace = ""
    return Ref(group, kind, namespace or ("default" if around.kinds.namespaced(group, kind) else ""), name)


def _version(ref: Ref, around: Surroundings) -> str:
    version = around.kinds.version(ref.group, ref.kind) or "v1"
    return f"{ref.group}/{version}" if ref.group else version


def _listed(
    clones: Any, namespace: str, around: Surroundings, maker: Maker, trigger: Resource
) -> Iterator[Resource]:
    """Yield a clone of each object of some kinds, in another namespace."""
    whence = text(clones, "namespace")
    selector = mapping(clones).get("selector")
    try:
        chosen = selectors.from_object(selector) if isinstance(selector, dict) else selectors.EVERYTHING
    except ValueError as error:
        raise Ungenerated(f"failed to list source resource for cloneList: {error}") from None
    if maker.policy.kind == "Policy" and whence != maker.policy.namespace:
        raise Ungenerated(
            f'generate.cloneList.namespace "{whence}" must equal policy namespace "{maker.policy.namespace}"'
        )
    for kind in clones.get("kinds") or ():
        version, _, name = str(kind).rpartition("/")
        group = version.rpartition("/")[0]
        for source in around.view.list(group, name, whence or None):
            ref = Ref.of(source)
            if ref.namespace != namespace and chosen.matches(mapping(source, "metadata", "labels")):
                yield labelled(
                    cloned(source, namespace), Ref(group, name, namespace, ref.name), maker, trigger
                )


def cloned(source: Resource, namespace: str) -> Resource:
    """Return a copy of an object for another place, without what belongs to the original alone, labelled with its source."""
    ref = Ref.of(source)
    made = {key: value for key, value in source.items() if key != "status"}
    own = {"uid", "selfLink", "creationTimestamp", "managedFields", "resourceVersion", "generation"}
    if ref.namespace != namespace:
        own.add("ownerReferences")
    meta = {key: value for key, value in mapping(source, "metadata").items() if key not in own}
    kept = {
        key: value
        for key, value in mapping(meta, "labels").items()
        if not key.startswith(PREFIX) and key != MANAGED
    }
    version = text(source, "apiVersion").rpartition("/")[2]
    meta["labels"] = {**kept, **_marks("source", ref, version)}
    made["metadata"] = meta
    return made


def _marks(role: str, ref: Ref, version: str) -> dict[str, str]:
    return {
        f"{PREFIX}{role}-group": ref.group,
        f"{PREFIX}{role}-version": version,
        f"{PREFIX}{role}-kind": ref.kind,
        f"{PREFIX}{role}-namespace": ref.namespace,
        f"{PREFIX}{role}-uid": ref.uid,
        f"{PREFIX}{role}-name": ref.name if len(ref.name) <= _LONGEST_LABEL else "",
    }


def labelled(resource: Resource, ref: Ref, maker: Maker, trigger: Resource) -> Resource:
    """Return an object as it is to be created: named, and labelled with what brought it about."""
    meta = {**mapping(resource, "metadata"), "name": ref.name}
    meta.pop("namespace", None)
    if ref.namespace:
        meta["namespace"] = ref.namespace
    version = text(trigger, "apiVersion").rpartition("/")[2]
    meta["labels"] = {
        MANAGED: "kyverno",
        **mapping(meta, "labels"),
        f"{PREFIX}policy-name": maker.policy.name,
        f"{PREFIX}policy-namespace": maker.policy.namespace,
        f"{PREFIX}rule-name": maker.rule,
        **_marks("trigger", Ref.of(trigger), version),
    }
    return {**resource, "metadata": meta}
