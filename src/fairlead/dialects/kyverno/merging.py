"""Kyverno's strategic merge patches: anchors that say where and whether, then a merge by the kind's merge keys.

`compile_merge` looks once at what a patch is made of; `merge` applies one whose variables are filled in. Neither the object nor the
patch is changed, and the result shares with both what stayed as it was. Lists of the kinds that Kubernetes defines are merged by their keys, new
items first; those of other kinds are replaced.

| anchor | on a key means |
| --- | --- |
| `(key)` | only where the value matches; in a list, only for the items that match |
| `<(key)` | as above, but if nothing matches, nothing at all is patched |
| `+(key)` | only where the key is absent |

Source: kyverno/kyverno pkg/engine/mutate/patch, and kyaml's merge2 (sigs.k8s.io/kustomize), which it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from fairlead.judge import patterns, patterns_words
from fairlead.words import Resource

Schema: TypeAlias = "Mapping[str, Any] | None"
"""What is known of a mapping's fields: a nested Schema, or a tuple of merge keys with the items' Schema. None: nothing is known."""

anchor_of = lru_cache(maxsize=8192)(patterns_words.anchor_of)
"""The anchor of a key, and the key without it: patches have few keys, and each is asked for again and again."""

_CONDITIONS = frozenset({"", "<"})
_WORKING = frozenset({"", "<", "+"})
_DIRECTIVE = "$patch"
_DEEPEST = 200

_CONTAINER: Schema = {
    "ports": (("containerPort", "protocol"), {}),
    "env": (("name",), {}),
    "volumeMounts": (("mountPath",), {}),
    "volumeDevices": (("devicePath",), {}),
}
_META: Mapping[str, Any] = {"finalizers": ((), None), "ownerReferences": (("uid",), {})}
_POD: Schema = {
    **dict.fromkeys(("containers", "initContainers", "ephemeralContainers"), (("name",), _CONTAINER)),
    "volumes": (("name",), {}),
    "imagePullSecrets": (("name",), {}),
    "hostAliases": (("ip",), {}),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"), {}),
    "schedulingGates": (("name",), {}),
    "resourceClaims": (("name",), {}),
}
_TEMPLATE: Schema = {"metadata": _META, "spec": _POD}
_WORKLOAD: Schema = {
    "metadata": _META,
    "spec": {"template": _TEMPLATE},
    "status": {"conditions": (("type",), {})},
}
_PLAIN: Mapping[str, Any] = {"metadata": _META, "status": {"conditions": (("type",), {})}}

_SCHEMAS: Mapping[tuple[str, str], Schema] = {
    ("", "Pod"): {"metadata": _META, "spec": _POD, "status": {"conditions": (("type",), {})}},
    ("", "PodTemplate"): {"metadata": _META, "template": _TEMPLATE},
    ("", "ReplicationController"): _WORKLOAD,
    **{("apps", kind): _WORKLOAD for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet")},
    ("batch", "Job"): _WORKLOAD,
    ("batch", "CronJob"): {"metadata": _META, "spec": {"jobTemplate": {"metadata": _META, "spec": {"template": _TEMPLATE}}}},
    ("", "Service"): {**_PLAIN, "spec": {"ports": (("port", "protocol"), {})}},
    ("", "ServiceAccount"): {"metadata": _META, "secrets": (("name",), {})},
    ("", "Node"): {"metadata": _META, "spec": {"podCIDRs": ((), None)},
                   "status": {"addresses": (("type",), {}), "conditions": (("type",), {})}},
    **{("admissionregistration.k8s.io", kind): {"metadata": _META, "webhooks": (("name",), {"matchConditions": (("name",), {})})}
       for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")},
}  # fmt: skip

_BUILT_IN = frozenset({
    "", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io",
    "coordination.k8s.io", "discovery.k8s.io", "node.k8s.io", "scheduling.k8s.io", "certificates.k8s.io",
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
})  # fmt: skip


class Unmergeable(Exception):
    """The patch does not fit the object; the message says where."""


class _Unmet(Exception):
    """A condition does not hold here."""


class _UnmetEverywhere(Exception):
    """A global condition does not hold."""


def schema_of(resource: Resource) -> Schema:
    """Return what is known of a kind's lists; None for kinds that Kubernetes does not define."""
    group, _, _ = str(resource.get("apiVersion") or "").rpartition("/")
    found = _SCHEMAS.get((group, str(resource.get("kind") or "")))
    return found if found is not None else _PLAIN if group in _BUILT_IN else None


def compile_merge(patch: Any) -> Callable[[Resource, Any], Resource]:
    """Return the function (object, the patch with its variables filled in) -> patched object, for a patch shaped like this one.

    It raises Unmergeable. When a condition does not hold, the object itself is returned.
    """
    return _merge_anchored if _has(patch, _WORKING) else _merge_plain


def merge(resource: Resource, patch: Any) -> Resource:
    """Return the object with a patch merged in. Raises Unmergeable."""
    try:
        return compile_merge(patch)(resource, patch)
    except RecursionError:
        raise Unmergeable("the patch is nested too deeply") from None


def _merge_anchored(resource: Resource, patch: Any) -> Resource:
    try:
        patch = _copied(patch)
        _prepare(patch, resource)
    except (_Unmet, _UnmetEverywhere):
        return resource
    except RecursionError:
        raise Unmergeable("the patch is nested too deeply") from None
    _drop_conditions(patch)
    return _merge_plain(resource, patch)


def _merge_plain(resource: Resource, patch: Any) -> Resource:
    if not isinstance(patch, dict):
        raise Unmergeable("wrong Node Kind for patch: expected a mapping")
    try:
        merged = _merge(resource, patch, schema_of(resource), ())
    except RecursionError:
        raise Unmergeable("the patch is nested too deeply") from None
    return merged if isinstance(merged, dict) else {}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def _has(value: Any, anchors: frozenset[str]) -> bool:
    """Return whether any key, at any depth, has one of the anchors."""
    if isinstance(value, dict):
        return any(anchor_of(key)[0] in anchors or _has(item, anchors) for key, item in value.items())
    return isinstance(value, list) and any(_has(item, anchors) for item in value)


def _prepare(pattern: Any, resource: Any) -> None:
    """Settle a patch's anchors against the object, in place. Raises _Unmet or _UnmetEverywhere."""
    if isinstance(pattern, dict):
        _add_if_absent(pattern, resource)
        _check(pattern, resource, "<", _UnmetEverywhere)
        _check(pattern, resource, "", _Unmet)
        for key in [key for key in pattern if anchor_of(key)[0] not in _WORKING]:
            _prepare(pattern[key], resource.get(key) if isinstance(resource, dict) else None)
    elif isinstance(pattern, list) and pattern and isinstance(pattern[0], dict):
        _prepare_items(pattern, resource)


def _prepare_items(pattern: list[Any], resource: Any) -> None:
    """Make, of each item with anchors, one item for each of the object's items that it is about."""
    items = resource if isinstance(resource, list) else []
    for item in list(pattern):
        if not _has(item, _WORKING):
            continue
        everywhere = _has(item, frozenset("<"))
        held = False
        unmet: _UnmetEverywhere | None = None
        for element in items:
            settled = _copied(item)
            try:
                _prepare(settled, element)
            except _Unmet:
                continue
            except _UnmetEverywhere as error:
                unmet = error
                continue
            held = True
            if not everywhere:
                _aim(pattern, settled, element)
        if resource is None:
            try:
                _prepare(_copied(item), None)
            except _Unmet:
                continue
        if unmet is not None and not (everywhere and held):
            raise unmet


def _aim(pattern: list[Any], settled: Any, element: Any) -> None:
    """Add an item to the patch that is about one of the object's items, by its name. Items without a name are passed over."""
    name = element.get("name") if isinstance(element, dict) else None
    if not name or not isinstance(settled, dict):
        return
    if not _drop(settled, scalars=True):
        settled["name"] = name
        pattern.append(settled)


def _add_if_absent(pattern: Any, resource: Any) -> int:
    """Settle `+(key)`: the key without its anchor where it is absent, nothing where it is there. Returns how many there were."""
    if not isinstance(pattern, dict):
        return 0
    anchored = [key for key in pattern if anchor_of(key)[0] == "+"]
    if anchored:
        settled = {}
        for key, value in pattern.items():
            anchor, bare = anchor_of(key)
            if anchor != "+":
                settled[key] = value
            elif not (isinstance(resource, dict) and bare in resource):
                settled[bare] = value
        pattern.clear()
        pattern.update(settled)
    return len(anchored)


def _check(pattern: dict[str, Any], resource: Any, anchor: str, unmet: type[Exception]) -> None:
    for key in list(pattern):
        found, bare = anchor_of(key)
        if found != anchor:
            continue
        if not isinstance(resource, dict) or bare not in resource:
            raise unmet(f'could not found "{bare}" key in the resource')
        wanted, value = pattern[key], resource[bare]
        if _add_if_absent(wanted, value):
            continue
        if not _matches(wanted, value):
            raise unmet(f"{bare} does not match")


def _matches(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict | list):
        return patterns.compile(wanted)(value) is None
    if isinstance(value, dict | list):
        return isinstance(value, list) and all(patterns.matches(_text(one), _text(wanted)) for one in value)
    return patterns.matches(_text(value), _text(wanted))


def _text(value: Any) -> str:
    """Return a plain value as it is written: conditions compare texts."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _drop_conditions(pattern: dict[str, Any]) -> None:
    for key in list(pattern):
        if _drop(pattern[key], scalars=anchor_of(key)[0] in _CONDITIONS):
            del pattern[key]
    for key in list(pattern):
        anchor, bare = anchor_of(key)
        if anchor in _CONDITIONS:
            pattern[bare] = pattern.pop(key)


def _drop(node: Any, *, scalars: bool) -> bool:
    """Take the conditions out of a part of a patch, in place; return whether nothing of it was but conditions."""
    if isinstance(node, dict):
        return _drop_in_map(node)
    if isinstance(node, list):
        return _drop_in_list(node)
    return scalars


def _drop_in_map(node: dict[str, Any]) -> bool:
    if not node:
        return False
    for key in [key for key in node if anchor_of(key)[0] in _CONDITIONS]:
        if _drop(node[key], scalars=True):
            del node[key]
    for key in [key for key in node if anchor_of(key)[0] in _CONDITIONS]:
        node[anchor_of(key)[1]] = node.pop(key)
    for key in list(node):
        if _drop(node[key], scalars=False):
            del node[key]
    return not node


def _drop_in_list(node: list[Any]) -> bool:
    if not node:
        return False
    node[:] = [one for one in node if not (_has(one, _WORKING) or _drop(one, scalars=False))]
    return not node


def _merge(before: Any, patch: Any, schema: Any, path: tuple[str, ...]) -> Any:
    """Return the merged value; None when nothing is to be there."""
    if isinstance(patch, dict):
        if before is not None and not isinstance(before, dict):
            raise Unmergeable(
                f"wrong Node Kind for {'.'.join(path)} expected: MappingNode was {_kind(before)}"
            )
        return _merge_map(before, patch, schema, path)
    if isinstance(patch, list):
        if before is not None and not isinstance(before, list):
            raise Unmergeable(
                f"wrong Node Kind for {'.'.join(path)} expected: SequenceNode was {_kind(before)}"
            )
        if isinstance(schema, tuple):
            return _merge_list(before, patch, schema[0], schema[1], path)
        return _clean_list(patch)
    if isinstance(before, dict | list):
        raise Unmergeable(f"wrong Node Kind for {'.'.join(path)} expected: {_kind(before)} was ScalarNode")
    return patch


def _kind(value: Any) -> str:
    return (
        "MappingNode"
        if isinstance(value, dict)
        else "SequenceNode"
        if isinstance(value, list)
        else "ScalarNode"
    )


def _merge_map(
    before: dict[str, Any] | None, patch: dict[str, Any], schema: Any, path: tuple[str, ...]
) -> dict[str, Any] | None:
    if len(path) > _DEEPEST:
        raise Unmergeable("the patch is nested too deeply")
    directive = patch.get(_DIRECTIVE)
    if directive is not None:
        if directive == "delete":
            return None
        if directive not in {"replace", "merge"}:
            raise Unmergeable(f"unknown patch strategy '{directive}'")
        patch = {key: value for key, value in patch.items() if key != _DIRECTIVE}
        if directive == "replace":
            before = None
    made = dict(before) if before is not None else {}
    fields = schema if isinstance(schema, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
            continue
        merged = _merge(made.get(key), value, fields.get(key), (*path, str(key)))
        if merged is None:
            made.pop(key, None)
        else:
            made[key] = merged
    return made


def _clean_list(patch: list[Any]) -> list[Any]:
    """Return a list that takes the place of another, without directives."""
    if not any(isinstance(one, dict) and _DIRECTIVE in one for one in patch):
        return patch
    return [one for one in patch if not (isinstance(one, dict) and _DIRECTIVE in one)]


def _merge_list(
    before: list[Any] | None, patch: list[Any], keys: Sequence[str], schema: Any, path: tuple[str, ...]
) -> list[Any]:
    """Merge items by their keys (plain values by themselves): those of the patch first, then what else there was."""
    if not keys:
        new = list(patch)
        return new + [one for one in before or () if one not in new]
    if any(isinstance(one, dict) and one.get(_DIRECTIVE) == "replace" and len(one) == 1 for one in patch):
        return [one for one in patch if not (isinstance(one, dict) and one.get(_DIRECTIVE) == "replace")]
    left = list(before or ())
    made: dict[tuple[tuple[str, str], ...], Any] = {}
    loose: list[Any] = []
    for item in patch:
        if not isinstance(item, dict):
            raise Unmergeable(f"wrong Node Kind for {'.'.join(path)} expected: MappingNode was {_kind(item)}")
        named = tuple((key, _text(item[key])) for key in keys if item.get(key) is not None)
        if not named:
            loose.append(item)
            continue
        place = next((index for index, one in enumerate(left) if _is(one, named)), None)
        old = left.pop(place) if place is not None else made.get(named)
        merged = _merge(old, item, schema, path)
        if merged:
            made[named] = merged
        else:
            made.pop(named, None)
    return [*made.values(), *loose, *left]


def _is(item: Any, named: tuple[tuple[str, str], ...]) -> bool:
    return isinstance(item, dict) and all(key in item and _text(item[key]) == text for key, text in named)
