"""Objects as the practices look at them: the pod that an object describes, its containers, and what a practice says of them.

Takes an object apart by its shape and not by its group, so that a kind that nobody knows and that has a pod template is looked at
like a Deployment. Decides nothing, and never raises over an object's content.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fairlead.tongues.paths import Path, find, mapping, mappings, strings, text
from fairlead.words import Resource, View

_TEMPLATES: Final[tuple[Path, ...]] = (
    ("spec", "jobTemplate", "spec", "template"),
    ("spec", "template"),
    ("template",),
)
_BARE: Final = frozenset({
    "Pod", "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController", "Job",
})  # fmt: skip
"""Kinds whose `spec` is taken for a pod's when it lists containers: Pods, and workloads that somebody wrote so."""
_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")


class Gone:
    """Stands in a remedy for a value that is to be taken away."""

    def __repr__(self) -> str:
        return "GONE"


GONE: Final = Gone()


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod: where it is in the object, what it is, and its name for people."""

    path: Path
    content: Mapping[str, Any]
    name: str
    init: bool = False
    ephemeral: bool = False

    @property
    def sidecar(self) -> bool:
        """Whether it is an init container that keeps running."""
        return self.init and self.content.get("restartPolicy") == "Always"

    @property
    def runs(self) -> bool:
        """Whether it runs as long as the pod does: an ordinary container or a sidecar."""
        return self.sidecar or not (self.init or self.ephemeral)

    @property
    def security(self) -> Mapping[str, Any]:
        """Its securityContext, empty when unset."""
        return mapping(self.content, "securityContext")


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod that an object describes: the place of its spec, the spec, and the metadata that its pods get."""

    path: Path
    spec: dict[str, Any]
    meta: Mapping[str, Any]
    containers: tuple[Container, ...]

    @property
    def security(self) -> Mapping[str, Any]:
        """The pod's securityContext, empty when unset."""
        return mapping(self.spec, "securityContext")

    @property
    def lasting(self) -> tuple[Container, ...]:
        """The containers that run as long as the pod does."""
        return tuple(one for one in self.containers if one.runs)

    @property
    def ordinary(self) -> tuple[Container, ...]:
        """The containers of the list `containers`."""
        return tuple(one for one in self.containers if not (one.init or one.ephemeral))

    @property
    def written(self) -> tuple[Container, ...]:
        """All containers but ephemeral ones, which nobody writes into a manifest."""
        return tuple(one for one in self.containers if not one.ephemeral)

    @property
    def windows(self) -> bool:
        """Whether the pod says that it runs on Windows."""
        return text(self.spec, "os", "name") == "windows"


@dataclass(frozen=True, slots=True)
class Thing:
    """One object that practices look at. `pod` is None where it describes none. `beside` is what is there besides it."""

    content: Resource
    group: str
    kind: str
    name: str
    namespace: str
    pod: Pod | None
    beside: View | None = None
    registries: tuple[str, ...] = ()

    @property
    def runs_to_completion(self) -> bool:
        """Whether its pods end by themselves."""
        return self.kind in {"Job", "CronJob"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What a practice finds wrong in one object.

    `message` follows the object's name: "shares the node's network". `paths` are the places, the worst first, `wanted` says what
    would pass there. `remedies` are values (or GONE) for places, which together make it pass.
    """

    message: str
    paths: tuple[Path, ...] = ()
    wanted: str = ""
    remedies: tuple[tuple[Path, Any], ...] = ()


Look: TypeAlias = Callable[[Thing], "Fault | None"]
"""Look at one object. None: nothing is wrong with it. Asked only of objects that the practice is about."""


def thing_of(resource: Resource, beside: View | None = None, registries: Sequence[str] = ()) -> Thing:
    """Take an object apart."""
    group = text(resource, "apiVersion").rpartition("/")[0]
    kind = text(resource, "kind")
    name = text(resource, "metadata", "name") or text(resource, "metadata", "generateName")
    namespace = text(resource, "metadata", "namespace")
    return Thing(resource, group, kind, name, namespace, pod_of(resource), beside, tuple(registries))


def pod_of(resource: Resource) -> Pod | None:
    """Return the pod that an object is, or has a template of; None where it has none."""
    kind = text(resource, "kind")
    if kind != "Pod":
        for path in _TEMPLATES:
            spec = find(resource, (*path, "spec"))
            if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
                return _pod((*path, "spec"), spec, mapping(resource, *path, "metadata"))
    spec = resource.get("spec")
    if (
        kind in _BARE
        and isinstance(spec, dict)
        and (kind == "Pod" or isinstance(spec.get("containers"), list))
    ):
        return _pod(("spec",), spec, mapping(resource, "metadata"))
    return None


def _pod(path: Path, spec: dict[str, Any], meta: Mapping[str, Any]) -> Pod:
    containers = tuple(
        Container(
            (*path, group, index),
            content,
            str(content.get("name") or f"{group}[{index}]"),
            init=group == "initContainers",
            ephemeral=group == "ephemeralContainers",
        )
        for group in _LISTS
        for index, content in mappings(spec, group)
    )
    return Pod(path, spec, meta, containers)


def every(faults: Iterable[tuple[Container, Fault | None]], message: str) -> Fault | None:
    """Fold what is wrong with several containers into one Fault.

    `message` has a place for their names: "runs {} without a CPU limit". What the faults' own messages say follows in brackets.
    """
    found = [(container, fault) for container, fault in faults if fault is not None]
    if not found:
        return None
    names = list(dict.fromkeys(container.name for container, _ in found))
    details = list(dict.fromkeys(fault.message for _, fault in found if fault.message))
    detail = f" ({', '.join(details)})" if details else ""
    return Fault(
        message.format(who(names)) + detail,
        tuple(path for _, fault in found for path in fault.paths),
        next((fault.wanted for _, fault in found if fault.wanted), ""),
        tuple(remedy for _, fault in found for remedy in fault.remedies)
        if all(fault.remedies for _, fault in found)
        else (),
    )


def who(names: Sequence[str]) -> str:
    """`container "a"`, `containers "a", "b"`; at most four by name."""
    told = ", ".join(json.dumps(name, ensure_ascii=False) for name in names[:4])
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{'container' if len(names) == 1 else 'containers'} {told}{more}"


def deepest(resource: Resource, path: Path) -> Path:
    """Return the part of a path that is written in the object: where to show what is missing there."""
    for length in range(len(path), 0, -1):
        if find(resource, path[:length]) is not None:
            return path[:length]
    return ()


def labels(meta: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of metadata."""
    return strings(meta, "labels")


def notes(thing: Thing) -> Iterator[tuple[str, str]]:
    """Yield the annotations of an object and of the pods it describes."""
    yield from strings(thing.content, "metadata", "annotations").items()
    if thing.pod is not None and thing.pod.path != ("spec",):
        yield from strings(thing.pod.meta, "annotations").items()


def put(content: Any, remedies: Iterable[tuple[Path, Any]]) -> bool:
    """Put values at their places in an object (or take them away), making the mappings on the way; False where one cannot be."""
    return all(_put(content, path, value) for path, value in remedies)


def _put(content: Any, path: Path, value: Any) -> bool:
    for step in path[:-1]:
        following = find(content, (step,))
        if following is None:
            if value is GONE:
                return True
            if isinstance(step, int) or not isinstance(content, dict):
                return False
            following = content[step] = {}
        content = following
    last = path[-1]
    if isinstance(last, int) or not isinstance(content, dict):
        return False
    if value is GONE:
        content.pop(last, None)
    else:
        content[last] = copy.deepcopy(value)
    return True


__all__ = [
    "GONE",
    "Container",
    "Fault",
    "Gone",
    "Look",
    "Pod",
    "Thing",
    "notes",
    "deepest",
    "every",
    "labels",
    "pod_of",
    "put",
    "thing_of",
    "who",
]
