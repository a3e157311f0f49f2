"""Whether a container's image must be pulled, may be used, or has to wait, with kubelet's reasons and texts.

Pure: what is on the node and what the last pull said is handed in. Source: pkg/kubelet/images and
distribution/reference's grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from fairlead.orchestrate.backoffs import Backoffs
from fairlead.orchestrate.podspecs import Note, Spec
from fairlead.orchestrate.runtimes import ImageSeen

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?"
)


@dataclass(frozen=True, slots=True)
class Use:
    """The image is here and is to be used."""

    image: ImageSeen
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Pull:
    """The image must be fetched first. `image` is its full reference."""

    image: str
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """The container cannot start now: why, in kubelet's words."""

    reason: str
    message: str
    notes: tuple[Note, ...] = ()


def reference(image: str) -> str:
    """Return the reference with `:latest` where it has neither tag nor digest. Raises ValueError with the parser's text."""
    match = _REFERENCE.fullmatch(image)
    if match is None:
        why = "invalid reference format"
        if _REFERENCE.fullmatch(image.lower()):
            why = "invalid reference format: repository name must be lowercase"
        raise ValueError(f'couldn\'t parse image name "{image}": {why}')
    return image if match["tag"] or match["digest"] else f"{image}:latest"


def pull_policy(container: Spec) -> str:
    """Return the policy, or what the API would have set: Always for `latest`, else IfNotPresent."""
    policy = container.get("imagePullPolicy")
    if policy:
        return str(policy)
    match = _REFERENCE.fullmatch(container.get("image") or "")
    tag = (match["tag"] or ("" if match["digest"] else "latest")) if match else ""
    return "Always" if tag == "latest" else "IfNotPresent"


def image_step(
    container: Spec, found: ImageSeen | None, backoffs: Backoffs, said: str, *, now: datetime, field: str
) -> Use | Pull | Wait:
    """Return what to do about a container's image.

    `found` is the image as the node has it, `said` what the last failed pull said ("" when none did), `backoffs` are
    keyed by the image as the spec names it.
    """
    image = container.get("image") or ""
    try:
        full = reference(image)
    except ValueError as error:
        text = f'Failed to apply default image tag "{image}": {error}'
        notes = (Note("Warning", "InspectFailed", text, field), failed("InvalidImageName", field))
        return Wait("InvalidImageName", text, notes)
    policy = pull_policy(container)
    if found is not None and policy != "Always":
        text = f'Container image "{image}" already present on machine'
        return Use(found, (Note("Normal", "Pulled", text, field),))
    if policy == "Never":
        text = f'Container image "{image}" is not present with pull policy of Never'
        notes = (Note("Warning", "ErrImageNeverPull", text, field), failed("ErrImageNeverPull", field))
        return Wait("ErrImageNeverPull", text, notes)
    entry = backoffs.entries.get(image)
    if entry is not None and backoffs.left(image, entry.updated, now) is not None:
        text = f'Back-off pulling image "{image}"'
        notes = (Note("Normal", "BackOff", text, field), failed("ImagePullBackOff", field))
        return Wait("ImagePullBackOff", f"{text}: ErrImagePull: {said}" if said else text, notes)
    return Pull(full, (Note("Normal", "Pulling", f'Pulling image "{image}"', field),))


def pull_failed(container: Spec, error: str, field: str) -> Wait:
    """Return what a failed pull means for the container."""
    text = f'Failed to pull image "{container.get("image")}": {error}'
    return Wait(
        "ErrImagePull", error, (Note("Warning", "Failed", text, field), failed("ErrImagePull", field))
    )


def pulled(container: Spec, took: str, size: int, field: str) -> Note:
    """Return the Event for a pull that worked; `took` is a duration in Go's form, `size` bytes."""
    text = (
        f'Successfully pulled image "{container.get("image")}" in {took} ({took} including waiting). '
        f"Image size: {size} bytes."
    )
    return Note("Normal", "Pulled", text, field)


def failed(reason: str, field: str) -> Note:
    """Return the `Error: X` Event that kubelet posts with every failure to start a container."""
    return Note("Warning", "Failed", f"Error: {reason}", field)
