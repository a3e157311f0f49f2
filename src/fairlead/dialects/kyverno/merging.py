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
from typing import Any, Final, NamedTuple, TypeAlias

from fairlead.dialects.kyverno.templates import has_variables
from fairlead.judge import patterns, patterns_words
from fairlead.words import Resource

Schema: TypeAlias = "Mapping[str, Any] | None"
"""What is known of a mapping's fields: a nested Schema, or a tuple of merge keys with the items' Schema. None: nothing is known."""

anchor_of = lru_cache(maxsize=8192)(patterns_words.anchor_of)
"""The anchor of a key, and the key without it: patches have few keys, and each is asked for again and again."""

_CONDITIONS = frozenset({"", "<"})
_WORKING = frozenset({"", "<", "+"})
_GLOBAL = frozenset({"<"})
_DIRECTIVE = "$patch"
_TEXT_OR_NOTHING = frozenset({str, type(None)})

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
    """The patch does not fit the object; the message says where (`%s` in it becomes the path)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.steps: list[str] = []

    def __str__(self) -> str:
        return str(self.args[0]).replace("%s", ".".join(reversed(self.steps)))


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
    if not _has(patch, _WORKING):
        return _merge_plain
    shape = _shape_of(patch)
    return lambda resource, filled: _merge_anchored(resource, filled, shape)


def merge(resource: Resource, patch: Any) -> Resource:
    """Return the object with a patch merged in. Raises Unmergeable."""
    try:
        return compile_merge(patch)(resource, patch)
    except RecursionError:
        raise Unmergeable("the patch is nested too deeply") from None


def _merge_anchored(resource: Resource, patch: Any, shape: _Shape) -> Resource:
    try:
        settled = _settled(patch, resource, shape)
    except (_Unmet, _UnmetEverywhere):
        return resource
    except RecursionError:
        raise Unmergeable("the patch is nested too deeply") from None
    return _merge_plain(resource, {} if settled is _NOTHING else settled)


def _merge_plain(resource: Resource, patch: Any) -> Resource:
    if not isinstance(patch, dict):
        raise Unmergeable("wrong Node Kind for patch: expected a mapping")
    try:
        merged = _merge(resource, patch, schema_of(resource))
    except RecursionError:
        raise Unmergeable("the patch is nested too deeply") from None
    return merged if isinstance(merged, dict) else {}


def _has(value: Any, anchors: frozenset[str]) -> bool:
    """Return whether any key, at any depth, has one of the anchors."""
    if isinstance(value, dict):
        return any(anchor_of(key)[0] in anchors or _has(item, anchors) for key, item in value.items())
    return isinstance(value, list) and any(_has(item, anchors) for item in value)


_NOTHING: Final = object()
"""What is left of a part of a patch that was nothing but conditions."""

_LATE: Final = "late"


class _MapShape(NamedTuple):
    """The anchors of a mapping: its plain keys, (key, bare key) of those that add, (anchor, key, bare key) of conditions.

    `below` are the shapes of what lies under the keys that stay, where it has anchors.
    """

    plain: tuple[str, ...]
    adding: tuple[tuple[str, str], ...]
    conditions: tuple[tuple[str, str, str], ...]
    below: tuple[tuple[str, _Shape], ...]


class _ItemsShape(NamedTuple):
    """Of each of a list's items: its shape, whether it is sure to have anchors, and whether it has a global condition."""

    items: tuple[tuple[_Shape, bool, bool], ...]


_Shape: TypeAlias = "_MapShape | _ItemsShape | str | None"
"""Where a part of a patch has anchors, found at load: nowhere (None), or only known once its variables are filled in (_LATE)."""


def _shape_of(pattern: Any, *, filled: bool = False) -> _Shape:
    """Return the shape of a part of a patch; `filled`: its variables are filled in, what looks like one is none."""
    if isinstance(pattern, dict):
        return _shape_of_map(pattern, filled=filled)
    if isinstance(pattern, list):
        if not pattern or not isinstance(pattern[0], dict):
            return None if not _has(pattern, _WORKING) and (filled or not has_variables(pattern)) else _LATE
        shapes = tuple(
            (_shape_of(item, filled=filled), _has(item, _WORKING), _has(item, _GLOBAL)) for item in pattern
        )
        return _ItemsShape(shapes) if any(shape is not None for shape, _, _ in shapes) else None
    return _LATE if not filled and has_variables(pattern) else None


def _shape_of_map(pattern: dict[str, Any], *, filled: bool) -> _Shape:
    if not filled and any(has_variables(key) for key in pattern):
        return _LATE
    plain: list[str] = []
    adding: list[tuple[str, str]] = []
    conditions: list[tuple[str, str, str]] = []
    below: list[tuple[str, _Shape]] = []
    for key, value in pattern.items():
        anchor, bare = anchor_of(key)
        if anchor in _CONDITIONS:
            conditions.append((anchor or "", key, bare))
            continue
        if anchor == "+":
            adding.append((key, bare))
        else:
            plain.append(key)
        shape = _shape_of(value, filled=filled)
        if shape is not None:
            below.append((bare if anchor == "+" else key, shape))
    if not (adding or conditions or below):
        return None
    conditions.sort(key=lambda one: not one[0])  # global ones are asked first
    return _MapShape(tuple(plain), tuple(adding), tuple(conditions), tuple(below))


def _settled(pattern: Any, resource: Any, shape: _Shape) -> Any:
    """Return a part of a patch without anchors, settled against the object. Raises _Unmet or _UnmetEverywhere."""
    if shape is _LATE:
        if not isinstance(pattern, dict | list):
            return pattern
        if isinstance(pattern, list) and pattern and not isinstance(pattern[0], dict):
            return _without_conditions(pattern)
        shape = _shape_of(pattern, filled=True)
    if isinstance(shape, _MapShape):
        return _settled_map(pattern, resource, shape)
    return _settled_items(pattern, resource, shape) if isinstance(shape, _ItemsShape) else pattern


def _settled_map(pattern: dict[str, Any], resource: Any, shape: _MapShape) -> Any:
    there = resource if isinstance(resource, dict) else {}
    made = {key: pattern[key] for key in shape.plain}
    for key, bare in shape.adding:
        if bare not in there:
            made[bare] = pattern[key]
    left = [
        _checked(bare, pattern[key], there, _UnmetEverywhere if anchor else _Unmet)
        for anchor, key, bare in shape.conditions
    ]
    for key, inner in shape.below:
        if key in made:
            settled = _settled(made[key], there.get(key), inner)
            if settled is _NOTHING:
                del made[key]
            else:
                made[key] = settled
    made.update((bare, value) for bare, value in left if value is not _NOTHING)
    return made or _NOTHING


def _settled_items(pattern: list[Any], resource: Any, shape: _ItemsShape) -> Any:
    """Make, of each item with anchors, one item for each of the object's items that it is about; these come last."""
    items = resource if isinstance(resource, list) else []
    plain: list[Any] = []
    aimed: list[Any] = []
    for item, (inner, anchored, everywhere) in zip(pattern, shape.items, strict=True):
        if inner is None or not (anchored or _has(item, _WORKING)):
            plain.append(item)
            continue
        held = False
        unmet: _UnmetEverywhere | None = None
        for element in items if resource is not None else (None,):
            try:
                settled = _settled(item, element, inner)
            except _Unmet:
                continue
            except _UnmetEverywhere as error:
                unmet = error
                continue
            held = True
            name = element.get("name") if isinstance(element, dict) else None
            if name and not everywhere and isinstance(settled, dict):
                aimed.append({**settled, "name": name})
        if unmet is not None and not (everywhere and held):
            raise unmet
    return plain + aimed or _NOTHING


def _checked(bare: str, wanted: Any, there: dict[str, Any], unmet: type[Exception]) -> tuple[str, Any]:
    """Check one condition; return the key and what of the condition is a patch itself."""
    if bare not in there:
        raise unmet(f'could not found "{bare}" key in the resource')
    if not isinstance(wanted, dict | list):
        if not _matches(wanted, there[bare]):
            raise unmet(f"{bare} does not match")
        return bare, _NOTHING
    value = there[bare]
    if isinstance(wanted, dict) and any(anchor_of(key)[0] == "+" for key in wanted):
        inside = value if isinstance(value, dict) else {}
        wanted = {
            anchor_of(key)[1] if anchor_of(key)[0] == "+" else key: item
            for key, item in wanted.items()
            if anchor_of(key)[0] != "+" or anchor_of(key)[1] not in inside
        }
    elif not _matches(wanted, value):
        raise unmet(f"{bare} does not match")
    return bare, _without_conditions(wanted)


def _matches(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict | list):
        return patterns.compile(wanted)(value) is None
    if isinstance(value, dict | list):
        return isinstance(value, list) and all(patterns.matches(_text(one), _text(wanted)) for one in value)
    return patterns.matches(_text(value), _text(wanted))


def _text(value: Any) -> str:
    """Return a plain value as it is written: conditions compare texts."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _without_conditions(node: Any, *, within: bool = True) -> Any:
    """Return a part of a patch without its conditions; `within`: it is one itself, so that plain values are nothing."""
    if isinstance(node, dict):
        made = {}
        for key, item in node.items():
            anchor, bare = anchor_of(key)
            left = _without_conditions(item, within=anchor in _CONDITIONS)
            if left is not _NOTHING:
                made[bare if anchor in _CONDITIONS else key] = left
        return made if made or not node else _NOTHING
    if isinstance(node, list):
        kept = [
            left
            for one in node
            if not _has(one, _WORKING) and (left := _without_conditions(one, within=False)) is not _NOTHING
        ]
        return kept if kept or not node else _NOTHING
    return _NOTHING if within else node


def _merge(before: Any, patch: Any, schema: Any) -> Any:
    """Return the merged value; None when nothing is to be there."""
    if patch.__class__ is dict:
        if before is not None and not isinstance(before, dict):
            raise Unmergeable(f"wrong Node Kind for %s expected: MappingNode was {_kind(before)}")
        return _merge_map(before, patch, schema)
    if patch.__class__ is list:
        if before is not None and not isinstance(before, list):
            raise Unmergeable(f"wrong Node Kind for %s expected: SequenceNode was {_kind(before)}")
        if schema.__class__ is tuple:
            return _merge_list(before, patch, schema[0], schema[1])
        return _clean_list(patch)
    if isinstance(before, dict | list):
        raise Unmergeable(f"wrong Node Kind for %s expected: {_kind(before)} was ScalarNode")
    return patch


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "MappingNode"
    return "SequenceNode" if isinstance(value, list) else "ScalarNode"


def _merge_map(before: dict[str, Any] | None, patch: dict[str, Any], schema: Any) -> dict[str, Any] | None:
    if _DIRECTIVE in patch:
        directive = patch[_DIRECTIVE]
        if directive == "delete":
            return None
        if directive not in {"replace", "merge"}:
            raise Unmergeable(f"unknown patch strategy '{directive}'")
        patch = {key: value for key, value in patch.items() if key != _DIRECTIVE}
        if directive == "replace":
            before = None
    made = before.copy() if before is not None else {}
    fields = schema if schema is not None else {}
    key = ""
    try:
        for key, value in patch.items():
            old = made.get(key)
            if value.__class__ is str and old.__class__ in _TEXT_OR_NOTHING:  # most of what patches set
                made[key] = value
                continue
            merged = None if value is None else _merge(old, value, fields.get(key))
            if merged is None:
                made.pop(key, None)
            else:
                made[key] = merged
    except Unmergeable as error:
        error.steps.append(str(key))
        raise
    return made


def _clean_list(patch: list[Any]) -> list[Any]:
    """Return a list that takes the place of another, without directives."""
    if not any(isinstance(one, dict) and _DIRECTIVE in one for one in patch):
        return patch
    return [one for one in patch if not (isinstance(one, dict) and _DIRECTIVE in one)]


def _merge_list(before: list[Any] | None, patch: list[Any], keys: Sequence[str], schema: Any) -> list[Any]:
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
            raise Unmergeable(f"wrong Node Kind for %s expected: MappingNode was {_kind(item)}")
        named = tuple((key, _text(item[key])) for key in keys if item.get(key) is not None)
        if not named:
            loose.append(item)
            continue
        place = _place_of(named, left)
        old = left.pop(place) if place is not None else made.get(named)
        merged = _merge(old, item, schema)
        if merged:
            made[named] = merged
        else:
            made.pop(named, None)
    return [*made.values(), *loose, *left]


def _place_of(named: tuple[tuple[str, str], ...], items: list[Any]) -> int | None:
    """Return where the item with these keys stands."""
    for index, item in enumerate(items):
        if isinstance(item, dict):
            for key, text in named:
                if key not in item or _text(item[key]) != text:
                    break
            else:
                return index
    return None
