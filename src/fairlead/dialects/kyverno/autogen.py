"""Rules for pods made to hold for what makes pods, too: `autogen-x` for controllers and `autogen-cronjob-x` for CronJobs.

Documents in, documents out: the given rule is never changed. Whether a policy's rules may be carried over is decided for all of
them together.
Source: kyverno/kyverno pkg/autogen/v1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ANNOTATION = "pod-policies.kyverno.io/autogen-controllers"

CONTROLLERS = ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet")
_CRON = "CronJob"
_ALL = frozenset({*CONTROLLERS, _CRON})
_PODS = frozenset({*_ALL, "Pod"})
_PREFIX = "autogen-"
_LONGEST = 63
_REFERENCE = re.compile(r"\$\([^ )]*\)")
_VERSION = re.compile(r"v\d((alpha|beta)\d)?")


def controllers_of(metadata: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the kinds of controllers that a policy's rules are carried over to."""
    if not _allowed(rules):
        return frozenset()
    annotations = metadata.get("annotations")
    asked = annotations.get(ANNOTATION) if isinstance(annotations, Mapping) else None
    if asked is None:
        return _ALL
    if asked == "all":
        return _ALL
    return frozenset(part.strip() for part in str(asked).split(",")) & _ALL


def variants(rule: Mapping[str, Any], controllers: frozenset[str]) -> list[Mapping[str, Any]]:
    """Return the rules that are made of one rule for the controllers: none, one or two."""
    name = str(rule.get("name") or "")
    if name.startswith(_PREFIX) or not _is_for_pods(rule):
        return []
    made: list[Mapping[str, Any]] = []
    plain = sorted(controllers - {_CRON})
    if plain:
        carried = _carried(rule, f"autogen-{name}", plain, "template", only_pods=True)
        if carried is not None:
            made.append(_rewritten(carried, "spec.template"))
    if _CRON in controllers:
        first = _carried(rule, name, plain or [_CRON], "template", only_pods=True)
        second = (
            _carried(first, f"autogen-cronjob-{name}", [_CRON], "jobTemplate", only_pods=False)
            if first
            else None
        )
        if second is not None:
            made.append(_rewritten(second, "spec.jobTemplate.spec.template"))
    return made


def _filters(document: Any) -> list[Mapping[str, Any]]:
    """Return the resource descriptions of a match or exclude, the old plain one included."""
    if not isinstance(document, Mapping):
        return []
    filters = [document]
    for name in ("any", "all"):
        listed = document.get(name)
        if isinstance(listed, list):
            filters += [one for one in listed if isinstance(one, Mapping)]
    found = [one.get("resources") for one in filters]
    return [one for one in found if isinstance(one, Mapping)]


def _kinds(description: Mapping[str, Any]) -> list[str]:
    kinds = description.get("kinds")
    return [str(kind) for kind in kinds] if isinstance(kinds, list) else []


def _bare(kind: str) -> str:
    """Return the kind that an entry of `kinds` names, without group, version and subresource."""
    parts = kind.split("/")
    if len(parts) == 1:
        return kind.split(".", maxsplit=1)[0]
    if len(parts) == 2:
        return parts[1].split(".")[0] if _VERSION.match(parts[0]) or parts[0] == "*" else parts[0]
    if len(parts) == 3 and (_VERSION.match(parts[0]) or parts[0] == "*"):
        return parts[1]
    return parts[2].split(".")[0]


def _names(kinds: Sequence[str], kind: str) -> bool:
    return any(_bare(one) == kind for one in kinds)


def _allowed(rules: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether no rule forbids it and one asks for it."""
    needed = False
    for rule in rules:
        if rule.get("generate"):
            return False
        mutate = rule.get("mutate")
        if isinstance(mutate, Mapping):
            loops = mutate.get("foreach")
            steps = [mutate, *(loops if isinstance(loops, list) else [])]
            if any(isinstance(step, Mapping) and step.get("patchesJson6902") for step in steps):
                return False
        for description in (*_filters(rule.get("match")), *_filters(rule.get("exclude"))):
            kinds = _kinds(description)
            if (
                description.get("name")
                or description.get("names")
                or description.get("selector") is not None
                or description.get("annotations") is not None
                or (len(kinds) > 1 and _names(kinds, "Pod"))
            ):
                return False
            needed = needed or bool(_PODS & set(kinds))
    return needed


def _is_for_pods(rule: Mapping[str, Any]) -> bool:
    matched = [kind for one in _filters(rule.get("match")) for kind in _kinds(one)]
    excluded = [kind for one in _filters(rule.get("exclude")) for kind in _kinds(one)]
    return _names(matched, "Pod") and (not excluded or _names(excluded, "Pod"))


def _carried(
    rule: Mapping[str, Any], name: str, kinds: list[str], key: str, *, only_pods: bool
) -> dict[str, Any] | None:
    """Return the rule with its kinds replaced and its body put one level deeper, None when it has no body that can be."""
    made = dict(rule)
    made["name"] = name[:_LONGEST]
    made["match"] = _with_kinds(rule.get("match"), kinds, only_pods=only_pods, bare=True)
    if rule.get("exclude"):
        made["exclude"] = _with_kinds(rule["exclude"], kinds, only_pods=only_pods, bare=False)
    shift = "spec/template" if key == "template" else "spec/jobTemplate/spec/template"
    mutate, validate = rule.get("mutate"), rule.get("validate")
    if isinstance(mutate, Mapping) and not mutate.get("targets"):
        body = _mutation(mutate, key)
        if body is not None:
            made["mutate"] = body
            return made
    if isinstance(validate, Mapping):
        checked = _validation(validate, key, shift)
        if checked is not None:
            made["validate"] = checked
            return made
    return made if rule.get("verifyImages") else None


def _with_kinds(document: Any, kinds: list[str], *, only_pods: bool, bare: bool) -> Any:
    if not isinstance(document, Mapping):
        return document
    made = dict(document)
    for name in ("any", "all"):
        if document.get(name):
            made[name] = [_filter_with(one, kinds, only_pods=only_pods) for one in document[name]]
            return made
    resources = document.get("resources")
    resources = resources if isinstance(resources, Mapping) else {}
    if bare or resources.get("kinds"):
        made["resources"] = {**resources, "kinds": kinds}
    return made


def _filter_with(document: Any, kinds: list[str], *, only_pods: bool) -> Any:
    if not isinstance(document, Mapping):
        return document
    resources = document.get("resources")
    resources = resources if isinstance(resources, Mapping) else {}
    if only_pods and not _names(_kinds(resources), "Pod"):
        return document
    return {**document, "resources": {**resources, "kinds": kinds}}


def _mutation(mutate: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    patch = mutate.get("patchStrategicMerge")
    if patch is not None:
        return {"patchStrategicMerge": {"spec": {key: patch}}}
    loops = mutate.get("foreach")
    if isinstance(loops, list) and loops:
        kept = ("list", "context", "preconditions", "order")
        return {
            "foreach": [
                {name: loop[name] for name in kept if name in loop}
                | {"patchStrategicMerge": {"spec": {key: loop.get("patchStrategicMerge")}}}
                for loop in loops
                if isinstance(loop, Mapping)
            ]
        }
    return None


def _validation(validate: Mapping[str, Any], key: str, shift: str) -> dict[str, Any] | None:
    made = dict(validate)

    def told(pivot: str) -> None:
        if isinstance(validate.get("message"), str):
            made["message"] = _shifted(validate["message"], shift, pivot)

    if validate.get("pattern") is not None:
        told("pattern")
        made["pattern"] = {"spec": {key: validate["pattern"]}}
        return made
    if validate.get("deny") is not None:
        told("deny")
        return made
    if validate.get("podSecurity") is not None:
        told("podSecurity")
        return made
    if isinstance(validate.get("anyPattern"), list):
        told("anyPattern")
        made["anyPattern"] = [{"spec": {key: pattern}} for pattern in validate["anyPattern"]]
        return made
    if validate.get("foreach"):
        told("pattern")
        return made
    if validate.get("cel") is not None:
        return made
    tree = validate.get("assert")
    if isinstance(tree, Mapping):
        made["assert"] = {
            name: {"spec": {key: node}}
            if name in {"object", "oldObject"} and isinstance(node, Mapping)
            else node
            for name, node in tree.items()
        }
        return made
    return None


def _shifted(message: str, shift: str, pivot: str) -> str:
    """Let references of a message point one level deeper."""

    def move(found: re.Match[str]) -> str:
        mark = pivot
        if pivot == "anyPattern":
            index = found[0].partition(f"{pivot}/")[2].split("/")[0]
            mark = f"{pivot}/{index}"
        return found[0].replace(mark, f"{mark}/{shift}", 1)

    return _REFERENCE.sub(move, message)


def _rewritten(rule: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """Let expressions about a pod's spec and metadata be about those of the template."""
    validate = rule.get("validate")
    cel = isinstance(validate, Mapping) and validate.get("cel") is not None
    names = ("object", "oldObject") if cel else ("request.object", "request.oldObject")
    pairs = [(f"{name}.{part}", f"{name}.{place}.{part}") for part in ("spec", "metadata") for name in names]

    def rewrite(text: str) -> str:
        for old, new in pairs:
            text = text.replace(old, new)
        return text

    made = _texts(rule, rewrite)
    assert isinstance(made, dict)  # as the rule is
    return made


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {
            (change(key) if isinstance(key, str) else key): _texts(item, change)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_texts(item, change) for item in value]
    return value
