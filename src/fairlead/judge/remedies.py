"""Values that are known to satisfy what policies commonly ask of a pod, whatever language the policy is in.

Proposes only: each proposal is to be tried before anybody believes in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from fairlead.judge.policies import Outcome
from fairlead.tongues.paths import Path, find, mapping, mappings, parse
from fairlead.words import Resource

Remedy: TypeAlias = tuple[tuple[Path, Any], ...]
"""Values and their places, to be put there together."""

_POD: Final[Mapping[Path, Any]] = {
    ("hostNetwork",): False,
    ("hostPID",): False,
    ("hostIPC",): False,
    ("automountServiceAccountToken",): False,
    ("securityContext", "runAsNonRoot"): True,
    ("securityContext", "seccompProfile", "type"): "RuntimeDefault",
}
_CONTAINER: Final[Mapping[Path, Any]] = {
    ("securityContext", "allowPrivilegeEscalation"): False,
    ("securityContext", "privileged"): False,
    ("securityContext", "readOnlyRootFilesystem"): True,
    ("securityContext", "runAsNonRoot"): True,
    ("securityContext", "capabilities", "drop"): ["ALL"],
    ("securityContext", "seccompProfile", "type"): "RuntimeDefault",
    ("securityContext", "procMount"): "Default",
}
_TEMPLATES: Final[tuple[Path, ...]] = (
    ("spec", "jobTemplate", "spec", "template", "spec"),
    ("spec", "template", "spec"),
    ("spec",),
)
_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")


def attempts(resource: Resource, outcome: Outcome) -> Iterator[Remedy]:
    """Yield what may mend a failed outcome, the most likely first: what it says itself, what fits its places, what fits any."""
    if outcome.remedies:
        yield outcome.remedies
    places = _places(resource)
    blamed = [path for path in map(parse, outcome.paths) if path]
    fitting = {place: value for place, value in places.items() if any(_near(place, path) for path in blamed)}
    if fitting:
        yield tuple(fitting.items())
    for field in {**_POD, **_CONTAINER}:  # one field in all its places, then in each alone
        those = tuple((place, value) for place, value in places.items() if place[-len(field) :] == field)
        if len(those) > 1:
            yield those
    for one in places.items():
        yield (one,)


def _places(resource: Resource) -> dict[Path, Any]:
    """Return every place of the object's pod for which a value is known, apart from those that have it already."""
    root = next(
        (path for path in _TEMPLATES if isinstance(find(resource, (*path, "containers")), list)), None
    )
    if root is None:
        return {}
    found = {(*root, *field): value for field, value in _POD.items()}
    for name in _LISTS:
        for index, _ in mappings(mapping(resource, *root), name):
            found |= {(*root, name, index, *field): value for field, value in _CONTAINER.items()}
    return {place: value for place, value in found.items() if find(resource, place) != value}


def _near(place: Path, blamed: Path) -> bool:
    """Whether a place is the one that is blamed, or lies below it."""
    return place[: len(blamed)] == blamed and len(blamed) > 1
