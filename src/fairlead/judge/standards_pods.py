"""A pod as the checks of the Pod Security Standards look at it, and the words in which they tell what they find.

Takes a pod apart once for all checks; decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

PROFILES: Final = ("RuntimeDefault", "Localhost")
"""The types of seccomp and AppArmor profiles that confine."""

_NOTHING: Final[Mapping[str, Any]] = {}


class Field(NamedTuple):
    """One place that a check forbids.

    `path` is concrete (`spec.containers[0].securityContext.privileged`), `pattern` the same with `[*]` for every index, as the
    standards' page and Kyverno's `restrictedField` write it. `value` is what stands there, None when it is missing. `container`
    and `image` are those of the container, "" for a place of the pod itself.
    """

    path: str
    pattern: str
    value: Any
    container: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod: which list it is in, its index there, the object and its securityContext (empty when unset)."""

    group: str
    index: int
    content: Mapping[str, Any]
    security: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.content.get("name") or "")

    def at(self, path: str, value: Any) -> Field:
        """Return a Field under this container: `securityContext.privileged`."""
        image = str(self.content.get("image") or "")
        return Field(
            f"spec.{self.group}[{self.index}].{path}",
            f"spec.{self.group}[*].{path}",
            value,
            self.name,
            image,
        )


@dataclass(frozen=True, slots=True)
class Pod:
    """What every check looks at, taken apart once. `said` remembers what checks have said: levels have most checks in common."""

    annotations: Mapping[str, Any]
    spec: Mapping[str, Any]
    security: Mapping[str, Any]
    containers: tuple[Container, ...]
    said: dict[Check, Said | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def windows(self) -> bool:
        """Whether the pod says that it runs on Windows."""
        return mapping(self.spec.get("os")).get("name") == "windows"

    @property
    def own_users(self) -> bool:
        """Whether the pod has a user namespace of its own."""
        return self.spec.get("hostUsers") is False


@dataclass(frozen=True, slots=True)
class Said:
    """What a check forbids: Kubernetes' reason and detail, and the places."""

    reason: str
    detail: str
    fields: tuple[Field, ...] = ()


Check: TypeAlias = Callable[[Pod], "Said | None"]


def mapping(value: Any) -> Mapping[str, Any]:
    """Return the value if it is a mapping, else an empty one."""
    # asked dozens of times for each pod: looking for a plain dict first is three times as fast as asking the abstract class
    return value if value.__class__ is dict or isinstance(value, Mapping) else _NOTHING


def items(value: Any) -> list[Any]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def pod_of(metadata: Any, spec: Any) -> Pod:
    """Take a pod apart. Containers come in Kubernetes' order: init, then ordinary, then ephemeral ones."""
    spec = mapping(spec)
    containers = tuple(
        Container(group, index, one, mapping(one.get("securityContext")))
        for group in ("initContainers", "containers", "ephemeralContainers")
        for index, one in enumerate(items(spec.get(group)))
        if isinstance(one, Mapping)
    )
    annotations = mapping(mapping(metadata).get("annotations"))
    return Pod(annotations, spec, mapping(spec.get("securityContext")), containers)


def quoted(texts: Iterable[str]) -> str:
    """`"a", "b"`."""
    return ", ".join(json.dumps(text, ensure_ascii=False) for text in texts)


def many(number: int, one: str, more: str) -> str:
    """Return the singular for one, else the plural."""
    return one if number == 1 else more


def who(names: list[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{many(len(names), 'container', 'containers')} {quoted(names)}"


def setters_of(pod: bool, names: list[str]) -> str:
    """`pod and containers "a", "b"`, without what is not at fault."""
    parts = ["pod"] if pod else []
    return " and ".join([*parts, who(names)] if names else parts)


def of_pod_field(path: str, value: Any) -> Field:
    """Return a Field of the pod itself, under its spec."""
    return Field(f"spec.{path}", f"spec.{path}", value)
