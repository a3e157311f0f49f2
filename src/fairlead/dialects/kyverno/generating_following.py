"""What happens to generated objects later: when their trigger, source, policy, or they themselves change or go.

A pure step: one object before and after, and what is there, give Changes and the triggers to be judged again. Only rules that
synchronise are followed.

| what changed | data | clone, cloneList |
| --- | --- | --- |
| the trigger is deleted, or the rule is no longer about it | deleted | deleted |
| the source is changed, deleted | | made the same, deleted |
| the policy or the rule is deleted | deleted, unless orphanDownstreamOnPolicyDelete | kept |
| the generated object is changed or deleted | the trigger is judged again | the trigger is judged again |

Source: kyverno/kyverno pkg/webhooks/updaterequest, pkg/policy/generate.go, pkg/background/generate/cleanup.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fairlead.dialects.kyverno.generating import PREFIX, Maker, changes_for, cloned
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Change, Ref, Resource

_GROUP: Final = "kyverno.io"
_POLICIES: Final = ("ClusterPolicy", "Policy")


@dataclass(frozen=True, slots=True)
class Origin:
    """By which policy and rule an object came to be, what triggered it, and what it is a clone of (None: of nothing)."""

    policy: Ref
    rule: str
    trigger: Ref
    source: Ref | None


@dataclass(frozen=True, slots=True)
class Followed:
    """What follows from a change: Changes, and the origins whose triggers are to be judged again."""

    changes: tuple[Change, ...] = ()
    again: tuple[Origin, ...] = ()


def origin_of(resource: Resource) -> Origin | None:
    """Return where a generated object comes from, by its labels; None for any other object."""
    labels = mapping(resource, "metadata", "labels")
    name, rule = text(labels, f"{PREFIX}policy-name"), text(labels, f"{PREFIX}rule-name")
    if not name or not rule:
        return None
    namespace = text(labels, f"{PREFIX}policy-namespace")
    policy = Ref(_GROUP, "Policy" if namespace else "ClusterPolicy", namespace, name)
    trigger, source = _marked(labels, "trigger"), _marked(labels, "source")
    return Origin(policy, rule, trigger, source if source.kind else None)


def _marked(labels: Mapping[str, Any], role: str) -> Ref:
    return Ref(
        *(text(labels, f"{PREFIX}{role}-{part}") for part in ("group", "kind", "namespace", "name", "uid"))
    )


def _same(marked: Ref | None, resource: Resource) -> bool:
    """Return whether labels mean an object: by its uid where both know it, else by its name."""
    if marked is None:
        return False
    ref = Ref.of(resource)
    if marked.uid and ref.uid:
        return marked.uid == ref.uid
    return bool(marked.name) and marked == ref


def follow(before: Resource | None, after: Resource | None, around: Surroundings) -> Followed:
    """Return what follows for generated objects from one object's change; the view is what is there after it."""
    there = after if after is not None else before
    if there is None:
        return Followed()
    ref = Ref.of(there)
    if ref.group == _GROUP and ref.kind in _POLICIES:
        return _policy_changed(ref, before, after, around)
    changes: list[Change] = []
    for one, origin in _generated(around):
        rule = _rule(origin, around)
        if not _synchronised(rule):
            continue
        if _same(origin.source, there):
            changes += _source_changed(one, origin, after, around)
        elif after is None and _same(origin.trigger, there):
            changes.append(_delete(one, f"its trigger {ref} is gone"))
    again: tuple[Origin, ...] = ()
    own = origin_of(before) if before is not None else None
    if own is not None and before != after and _synchronised(_rule(own, around)):
        again = (own,)
    return Followed(tuple(changes), again)


def withdrawn(
    trigger: Resource, speaking: Collection[tuple[Ref, str]], around: Surroundings
) -> tuple[Change, ...]:
    """Return the deletion of what rules once generated for a trigger that they are no longer about.

    `speaking` are the policies and names of the rules that still have something to generate for it.
    """
    ref = Ref.of(trigger)
    return tuple(
        _delete(one, f"rule {origin.rule} of {origin.policy} is no longer about {ref}")
        for one, origin in _generated(around)
        if _same(origin.trigger, trigger)
        and (origin.policy, origin.rule) not in speaking
        and _synchronised(_rule(origin, around))
    )


def _policy_changed(
    ref: Ref, before: Resource | None, after: Resource | None, around: Surroundings
) -> Followed:
    old, new = _rules(before), _rules(after)
    changes: list[Change] = []
    again: list[Origin] = []
    for one, origin in _generated(around, before, after):
        if origin.policy != ref:
            continue
        was, now = old.get(origin.rule), new.get(origin.rule)
        if now is not None:
            if _synchronised(now) and now != was:
                again.append(origin)
        elif _synchronised(was) and origin.source is None:
            generate = mapping(was, "generate")
            if not generate.get("orphanDownstreamOnPolicyDelete"):
                changes.append(_delete(one, f"rule {origin.rule} of {ref} is gone"))
    return Followed(tuple(changes), tuple(dict.fromkeys(again)))


def _source_changed(
    one: Resource, origin: Origin, after: Resource | None, around: Surroundings
) -> Iterator[Change]:
    if after is None:
        yield _delete(one, f"its source {origin.source} is gone")
        return
    ref = Ref.of(one)
    wanted = cloned(after, ref.namespace)
    meta = wanted["metadata"]
    meta["name"] = ref.name
    meta.pop("namespace", None)
    if ref.namespace:
        meta["namespace"] = ref.namespace
    kept = {
        key: value
        for key, value in mapping(one, "metadata", "labels").items()
        if key.startswith((f"{PREFIX}policy-", f"{PREFIX}rule-", f"{PREFIX}trigger-"))
        or key == "app.kubernetes.io/managed-by"
    }
    meta["labels"] = {**meta["labels"], **kept}
    spec = mapping(
        around.view.get(_GROUP, origin.policy.kind, origin.policy.namespace, origin.policy.name), "spec"
    )
    maker = Maker(origin.policy, origin.rule, True, bool(spec.get("useServerSideApply")), False)
    yield from changes_for(maker, wanted, around)


def _delete(resource: Resource, why: str) -> Change:
    ref = Ref.of(resource)
    return Change(verb="delete", ref=ref, api_version=text(resource, "apiVersion"), why=why, if_uid=ref.uid)


def _rules(policy: Resource | None) -> dict[str, Mapping[str, Any]]:
    """Return a policy's generate rules by name."""
    found = mappings(policy, "spec", "rules") if policy is not None else []
    return {text(rule, "name"): rule for _, rule in found if rule.get("generate")}


def _rule(origin: Origin, around: Surroundings) -> Mapping[str, Any] | None:
    ref = origin.policy
    return _rules(around.view.get(ref.group, ref.kind, ref.namespace, ref.name)).get(origin.rule)


def _synchronised(rule: Mapping[str, Any] | None) -> bool:
    return rule is not None and bool(mapping(rule, "generate").get("synchronize"))


def _generated(around: Surroundings, *more: Resource | None) -> Iterator[tuple[Resource, Origin]]:
    """Yield every generated object with its origin: objects of the kinds that the policies there, and some more, may generate."""
    policies = [one for kind in _POLICIES for one in around.view.list(_GROUP, kind)]
    kinds: dict[tuple[str, str], None] = {}
    for policy in (*policies, *(one for one in more if one is not None)):
        for rule in _rules(policy).values():
            kinds |= dict.fromkeys(_kinds(mapping(rule, "generate"), around))
    for pair in kinds:
        for resource in around.view.list(*pair):
            origin = origin_of(resource)
            if origin is not None:
                yield resource, origin


def _kinds(generate: Mapping[str, Any], around: Surroundings) -> Iterator[tuple[str, str]]:
    """Yield the kinds that a rule may generate; all that are there, where a variable decides."""
    for one in (generate, *(loop for _, loop in mappings(generate, "foreach"))):
        listed = mapping(one, "cloneList").get("kinds")
        named = [f"{text(one, 'apiVersion')}/{text(one, 'kind')}"] if text(one, "kind") else []
        for name in (*named, *(listed if isinstance(listed, list) else ())):
            if "{{" in str(name):
                yield from around.view.kinds()
                continue
            version, _, kind = str(name).rpartition("/")
            yield version.rpartition("/")[0], kind
