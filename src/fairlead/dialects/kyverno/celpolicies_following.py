"""What happens later to what GeneratingPolicies generated: when its trigger, source, policy, or it itself changes or goes.

A pure step beside `generating_following`, which does the same for the older kinds: one object before and after, and what is there,
give Changes and the triggers to be judged again. Only policies that synchronise are followed.
Source: kyverno/kyverno pkg/background/gpol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from fairlead.dialects.kyverno.generating import MANAGED, PREFIX
from fairlead.dialects.kyverno.generating_following import Followed, Origin
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues.paths import mapping, text
from fairlead.words import Change, Ref, Resource

_GROUP: Final = "policies.kyverno.io"
_KINDS: Final = ("GeneratingPolicy", "NamespacedGeneratingPolicy")
_LONGEST_LABEL = 63
_PARTS = ("group", "kind", "namespace", "name", "uid")


def labels_of(policy: Ref, trigger: Ref, source: Resource) -> dict[str, str]:
    """Return the labels that say by which policy an object came to be, for what, and of what it is a clone."""
    found = {
        MANAGED: "kyverno",
        f"{PREFIX}policy-name": policy.name,
        f"{PREFIX}policy-namespace": policy.namespace,
    }
    refs = {"trigger": trigger}
    if text(source, "metadata", "uid"):
        refs["source"] = Ref.of(source)
    for role, ref in refs.items():
        found |= {f"{PREFIX}{role}-{part}": getattr(ref, part) for part in _PARTS}
    return {key: value for key, value in found.items() if value and len(value) <= _LONGEST_LABEL}


def origin_of(resource: Resource) -> Origin | None:
    """Return where an object comes from that a GeneratingPolicy generated; None for any other object."""
    labels = mapping(resource, "metadata", "labels")
    name = text(labels, f"{PREFIX}policy-name")
    if not name or text(labels, f"{PREFIX}rule-name") or text(labels, MANAGED) != "kyverno":
        return None
    namespace = text(labels, f"{PREFIX}policy-namespace")
    policy = Ref(_GROUP, _KINDS[1] if namespace else _KINDS[0], namespace, name)
    source = _marked(labels, "source")
    return Origin(policy, "", _marked(labels, "trigger"), source if source.kind else None)


def _marked(labels: Mapping[str, object], role: str) -> Ref:
    return Ref(*(text(labels, f"{PREFIX}{role}-{part}") for part in _PARTS))


def follow(before: Resource | None, after: Resource | None, around: Surroundings) -> Followed:
    """Return what follows for generated objects from one object's change; the view is what is there after it."""
    there = after if after is not None else before
    if there is None:
        return Followed()
    ref = Ref.of(there)
    if ref.group == _GROUP and ref.kind in _KINDS:
        return _policy_changed(ref, before, after, around)
    changes: list[Change] = []
    again: dict[Origin, None] = {}
    for one, origin in _generated(around):
        if _same(origin.trigger, there) and after is None:
            changes.append(_delete(one, f"its trigger {ref} is gone"))
        elif origin.source is not None and _same(origin.source, there):
            if after is None:
                changes.append(_delete(one, f"its source {ref} is gone"))
            elif before != after:
                again[origin] = None
    own = origin_of(before) if before is not None else None
    if own is not None and before != after and _synchronises(_policy(own, around)):
        again[own] = None
    return Followed(tuple(changes), tuple(again))


def _policy_changed(
    ref: Ref, before: Resource | None, after: Resource | None, around: Surroundings
) -> Followed:
    mine = [(one, origin) for one, origin in _labelled(around) if origin.policy == ref]
    if after is None:
        orphan = mapping(before or {}, "spec", "evaluation", "orphanDownstreamOnPolicyDelete")
        if not _synchronises(before) or orphan.get("enabled"):
            return Followed()
        return Followed(tuple(_delete(one, f"{ref} is gone") for one, _ in mine))
    if _synchronises(after) and before is not None and before.get("spec") != after.get("spec"):
        return Followed(again=tuple(dict.fromkeys(origin for _, origin in mine)))
    return Followed()


def _generated(around: Surroundings) -> Iterator[tuple[Resource, Origin]]:
    """Yield every object that a policy generated and keeps in line."""
    if any(_synchronises(one) for kind in _KINDS for one in around.view.list(_GROUP, kind)):
        for one, origin in _labelled(around):
            if _synchronises(_policy(origin, around)):
                yield one, origin


def _labelled(around: Surroundings) -> Iterator[tuple[Resource, Origin]]:
    for group, kind in list(around.view.kinds()):
        for one in around.view.list(group, kind):
            origin = origin_of(one)
            if origin is not None:
                yield one, origin


def _policy(origin: Origin, around: Surroundings) -> Resource | None:
    ref = origin.policy
    return around.view.get(ref.group, ref.kind, ref.namespace, ref.name)


def _synchronises(policy: Resource | None) -> bool:
    return policy is not None and bool(mapping(policy, "spec", "evaluation", "synchronize").get("enabled"))


def _same(marked: Ref, resource: Resource) -> bool:
    ref = Ref.of(resource)
    if marked.uid and ref.uid:
        return marked.uid == ref.uid
    return bool(marked.name) and marked == ref


def _delete(resource: Resource, why: str) -> Change:
    ref = Ref.of(resource)
    return Change(verb="delete", ref=ref, api_version=text(resource, "apiVersion"), why=why, if_uid=ref.uid)
