"""What is to be: stages of objects in order, and what each object says about how it wants to be treated.

Shapes of converge's own: whoever has a rendering, a Git tree or an old revision makes these of it. Must never look at what is live.
Sources of the annotations: fluxcd.io kustomize-controller, timoni.sh, helm.sh/docs/topics/charts_hooks.
"""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from fairlead.tongues.paths import strings
from fairlead.words import Ref, Resource

Moment: TypeAlias = Literal["install", "upgrade", "rollback", "delete", "test"]
Cleanup: TypeAlias = Literal["before", "succeeded", "failed"]

INSTANCE: Final = "fairlead.dev/instance"
"""The label that says which instance an object belongs to."""
SPACE: Final = "fairlead.dev/namespace"
"""The label that says which namespace that instance lives in."""
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER_PREFIX: Final = "fairlead/"
"""What the field managers of instances begin with."""

_FLUX = "kustomize.toolkit.fluxcd.io/"
_TIMONI = "action.timoni.sh/"
_OWN = "fairlead.dev/"


@dataclass(frozen=True, slots=True)
class Check:
    """When an object counts as healthy, beyond what its kind says.

    Expressions are CEL over the object's fields (`status`, `metadata`, `spec`, ...) and over the whole of it (`object`, `self`); `current` must be true for it
    to be healthy, `failed` and `in_progress` tell, where they are true, that it is not. `conditions` are types of status conditions
    that must be True. Empty names mean "any".
    """

    api_version: str
    kind: str
    namespace: str = ""
    name: str = ""
    current: str = ""
    failed: str = ""
    in_progress: str = ""
    conditions: tuple[str, ...] = ()

    def fits(self, resource: Resource) -> bool:
        """Say whether the check is about the object."""
        ref = Ref.of(resource)
        return (
            self.kind == ref.kind
            and self.api_version.rpartition("/")[0] == ref.group
            and self.namespace in {"", ref.namespace}
            and self.name in {"", ref.name}
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """Objects that are applied together, and awaited before the next stage where `wait` says so.

    A `one_off` stage is run, not kept: its objects do not belong to the inventory, and `cleanup` says when they are deleted again.
    `moments` tells when the stage has its turn; one that is applied has install, upgrade and rollback.
    """

    name: str
    objects: tuple[Resource, ...]
    checks: tuple[Check, ...] = ()
    moments: frozenset[Moment] = frozenset({"install", "upgrade", "rollback"})
    one_off: bool = False
    cleanup: frozenset[Cleanup] = frozenset()
    wait: bool = True


@dataclass(frozen=True, slots=True)
class Instance:
    """Who owns what is applied: a name in a namespace."""

    name: str
    namespace: str

    @property
    def manager(self) -> str:
        """The field manager that the instance applies with."""
        return f"{MANAGER_PREFIX}{self.name}"

    @property
    def labels(self) -> dict[str, str]:
        """The labels that every object of the instance carries."""
        return {INSTANCE: self.name, SPACE: self.namespace}

    @property
    def selector(self) -> str:
        """The same as a label selector."""
        return ",".join(f"{key}={value}" for key, value in self.labels.items())

    def owns(self, live: Resource) -> bool:
        """Say whether a live object carries the instance's labels."""
        labels = strings(live, "metadata", "labels")
        return all(labels.get(key) == value for key, value in self.labels.items())

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the annotations and labels of an object ask of whoever applies it."""

    prune: bool = True
    wait: bool = True
    force: bool = False
    once: bool = False
    """Made where it is not there, and left alone where it is."""
    ignore: bool = False
    """Neither made nor changed, only known."""


_FORCE: Mapping[str, frozenset[str]] = {
    f"{_OWN}force": frozenset({"enabled"}),
    f"{_TIMONI}force": frozenset({"enabled"}),
    f"{_FLUX}force": frozenset({"enabled"}),
}
_KEEP: Mapping[str, frozenset[str]] = {
    f"{_OWN}prune": frozenset({"disabled"}),
    f"{_TIMONI}prune": frozenset({"disabled"}),
    f"{_FLUX}prune": frozenset({"disabled"}),
    "helm.sh/resource-policy": frozenset({"keep"}),
}
_UNAWAITED: Mapping[str, frozenset[str]] = {
    f"{_OWN}wait": frozenset({"disabled"}),
    f"{_TIMONI}wait": frozenset({"disabled"}),
}
_ONCE: Mapping[str, frozenset[str]] = {
    f"{_OWN}one-off": frozenset({"IfNotPresent", "enabled"}),
    f"{_TIMONI}one-off": frozenset({"enabled", "IfNotPresent"}),
    f"{_FLUX}ssa": frozenset({"IfNotPresent"}),
}
_IGNORE: Mapping[str, frozenset[str]] = {
    f"{_FLUX}ssa": frozenset({"Ignore"}),
    f"{_FLUX}reconcile": frozenset({"disabled"}),
}


def wishes(*objects: Resource | None) -> Wishes:
    """Return what the objects (the desired one, the live one) ask for together; letters' case does not matter, as in Flux."""
    marks: list[tuple[str, str]] = []
    for one in objects:
        if one is not None:
            marks += strings(one, "metadata", "labels").items()
            marks += strings(one, "metadata", "annotations").items()

    def asked(table: Mapping[str, frozenset[str]]) -> bool:
        return any(
            key in table and value.lower() in {one.lower() for one in table[key]} for key, value in marks
        )

    return Wishes(
        prune=not asked(_KEEP),
        wait=not asked(_UNAWAITED),
        force=asked(_FORCE),
        once=asked(_ONCE),
        ignore=asked(_IGNORE),
    )


# What is sent


class Unfit(ValueError):
    """Objects that cannot be one instance's: the text names them and says why."""


def check_names(one: Resource) -> None:
    """Raise Unfit for an object without the names that a request needs, or with one that would make it another request."""
    meta = one.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    api, kind, name, space = (
        one.get("apiVersion"),
        one.get("kind"),
        meta.get("name"),
        meta.get("namespace") or "",
    )
    shown = f"{kind if isinstance(kind, str) and kind else 'an object'} {name if isinstance(name, str) else ''}".strip()
    if not all(isinstance(part, str) and part for part in (api, kind, name)):
        raise Unfit(f"{shown}: apiVersion, kind and metadata.name are wanted, and are texts")
    if not isinstance(space, str):
        raise Unfit(f"{shown}: metadata.namespace is no text")
    if not _API.fullmatch(str(api)) or not _KIND.fullmatch(str(kind)):
        raise Unfit(f"{shown}: {str(api)[:80]!r} and {str(kind)[:80]!r} are no version of an API and no kind")
    for part in (str(name), space):
        if part in {".", ".."} or "/" in part or "%" in part or not part.isprintable():
            raise Unfit(f"{kind}: {part[:80]!r} is no name that an object can have")


def prepared(stage: Stage, instance: Instance, namespaced: Mapping[tuple[str, str], bool]) -> Stage:
    """Return the stage with its objects as they are sent: in a namespace, with the instance's labels, without what only servers write.

    `namespaced` says of each (group, kind) whether it lives in namespaces; a kind that is not in it keeps the namespace that it has, and
    gets the instance's where it has none. Raises Unfit.
    """
    return replace(stage, objects=tuple(_prepared(one, instance, namespaced) for one in stage.objects))


def _prepared(one: Resource, instance: Instance, namespaced: Mapping[tuple[str, str], bool]) -> Resource:
    check_names(one)
    ref = Ref.of(one)
    body = copy.deepcopy(one)
    body.pop("status", None)
    meta = body["metadata"]
    for key in ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"):
        meta.pop(key, None)
    if namespaced.get((ref.group, ref.kind), True):
        meta["namespace"] = ref.namespace or instance.namespace
    else:
        meta.pop("namespace", None)
    labels = meta.get("labels")
    labels = dict(labels) if isinstance(labels, dict) else {}
    labels.setdefault(MANAGED_BY, "fairlead")
    meta["labels"] = labels | instance.labels
    if meta.get("annotations") is None:
        meta.pop("annotations", None)
    if (ref.group, ref.kind) == ("", "Secret"):
        _encode(body)
    return body


def _encode(secret: Resource) -> None:
    """Write `stringData` as the `data` that a server makes of it, so that what is applied is what is owned."""
    plain = secret.pop("stringData", None)
    if isinstance(plain, dict) and plain:
        data = dict(secret.get("data") or {})
        for key, value in plain.items():
            written = value if isinstance(value, str) else ""
            data[key] = base64.b64encode(written.encode()).decode()
        secret["data"] = data


def duplicates(stages: Iterable[Stage]) -> list[Ref]:
    """Return the objects that are in the stages more than once, counting only those that are kept."""
    seen: set[Ref] = set()
    twice: dict[Ref, None] = {}
    for stage in stages:
        if not stage.one_off:
            for one in stage.objects:
                ref = Ref.of(one)
                if ref in seen:
                    twice[ref] = None
                seen.add(ref)
    return list(twice)


def in_turn(stages: Iterable[Stage], moment: Moment) -> tuple[Stage, ...]:
    """Return the stages that have their turn at the moment."""
    return tuple(one for one in stages if moment in one.moments)


def before_and_after(stages: Iterable[Stage]) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """Return the one-off stages of a deletion that come before what is kept, and those after it, by their place in the order."""
    before: list[Stage] = []
    after: list[Stage] = []
    met = False
    for stage in stages:
        if not stage.one_off:
            met = True
        elif "delete" in stage.moments:
            (after if met else before).append(stage)
    return tuple(before), tuple(after)


# Written down and read again


def as_json(stage: Stage) -> dict[str, Any]:
    """Return the stage as JSON values."""
    document: dict[str, Any] = {"name": stage.name, "objects": list(stage.objects)}
    if stage.checks:
        document["checks"] = [
            {
                name: list(value) if isinstance(value, tuple) else value
                for name in _CHECK
                if (value := getattr(check, name))
            }
            for check in stage.checks
        ]
    if stage.moments != _ALWAYS:
        document["moments"] = sorted(stage.moments)
    if stage.one_off:
        document |= {"oneOff": True, "cleanup": sorted(stage.cleanup)}
    if not stage.wait:
        document["wait"] = False
    return document


_CHECK: Final = tuple(Check.__dataclass_fields__)
_API: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9]+")
_KIND: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_ALWAYS: Final[frozenset[Moment]] = frozenset({"install", "upgrade", "rollback"})


def from_json(document: Mapping[str, Any]) -> Stage:
    """Return the stage that `as_json` wrote."""
    checks = []
    for one in document.get("checks") or ():
        known = {key: value for key, value in one.items() if key in _CHECK}
        known["conditions"] = tuple(known.get("conditions") or ())
        checks.append(Check(**known))
    return Stage(
        name=str(document.get("name") or ""),
        objects=tuple(document.get("objects") or ()),
        checks=tuple(checks),
        moments=frozenset(document["moments"]) if "moments" in document else _ALWAYS,
        one_off=bool(document.get("oneOff")),
        cleanup=frozenset(document.get("cleanup") or ()),
        wait=bool(document.get("wait", True)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What an instance is to be: its stages, and what they were made from."""

    instance: Instance
    stages: tuple[Stage, ...] = ()
    source: str = ""
    package: str = ""
    version: str = ""
    digest: str = ""
    notes: str = ""
    moment: Moment = "install"
    extra: Mapping[str, Any] = field(default_factory=dict)
