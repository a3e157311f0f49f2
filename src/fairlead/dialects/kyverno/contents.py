"""What lies where in objects of known kinds: the images of pods and of what makes pods. Nothing is fetched or changed.

Source: kyverno/kyverno pkg/utils/api/image.go, the registered image extractors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.tongues import jmespath
from fairlead.tongues.jmespath import images
from fairlead.words import Resource

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_TEMPLATE = ("spec", "template", "spec")
_POD_SPECS: Mapping[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "Deployment": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "Job": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "ReplicationController": _TEMPLATE,
    "Knative": _TEMPLATE,
}


def images_of(
    resource: Resource, extractors: Mapping[str, Any] | None = None, registry: str = "docker.io"
) -> dict[str, dict[str, Any]]:
    """Return the images by the list they are in and the container's name, each taken apart, with its JSON pointer.

    `extractors` are a rule's `imageExtractors`: kind -> list of {path, value, key, name, jmesPath}; for a kind that they name they
    take the place of the known ones.
    """
    kind = resource.get("kind") or ""
    own = (extractors or {}).get(kind)
    if own:
        return _extracted(resource, own, registry)
    path = _POD_SPECS.get(kind)
    if path is None:
        return {}
    spec: Any = resource
    for step in path:
        spec = spec.get(step) if isinstance(spec, dict) else None
    found: dict[str, dict[str, Any]] = {}
    if not isinstance(spec, dict):
        return found
    for group in _CONTAINERS:
        containers = spec.get(group)
        if not isinstance(containers, list):
            continue
        for index, container in enumerate(containers):
            if isinstance(container, dict) and isinstance(container.get("image"), str):
                pointer = f"/{'/'.join(path)}/{group}/{index}/image"
                shown = _shown(container["image"], pointer, registry)
                if shown is not None:
                    found.setdefault(group, {})[str(container.get("name", index))] = shown
    return found


def _shown(text: str, pointer: str, registry: str) -> dict[str, Any] | None:
    try:
        image = images.read(text, registry)
    except ValueError:
        return None
    return {**image.fields(), "jsonPointer": pointer}


def _extracted(resource: Resource, extractors: Any, registry: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for extractor in extractors if isinstance(extractors, list) else []:
        if not isinstance(extractor, dict):
            continue
        steps = [step for step in str(extractor.get("path", "")).split("/") if step]
        value, key = extractor.get("value"), extractor.get("key")
        group = extractor.get("name") or "custom"
        if not value and steps:
            value = steps.pop()
        for place, holder in _walk(resource, steps, ""):
            text = holder.get(value) if isinstance(holder, dict) else None
            if extractor.get("jmesPath") and text is not None:
                text = jmespath.compile(extractor["jmesPath"]).search(text)
            if not isinstance(text, str):
                continue
            pointer = f"{place}/{value}"
            shown = _shown(text, pointer, registry)
            if shown is not None:
                name = holder.get(key) if key else pointer
                found.setdefault(group, {})[str(name)] = shown
    return found


def _walk(value: Any, steps: list[str], place: str) -> list[tuple[str, Any]]:
    """Return what lies at the path, `*` standing for every key or index, each with its pointer."""
    if not steps:
        return [(place, value)]
    step, rest = steps[0], steps[1:]
    if step == "*":
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        return [one for key, item in items for one in _walk(item, rest, f"{place}/{key}")]
    if isinstance(value, dict) and step in value:
        return _walk(value[step], rest, f"{place}/{step}")
    if isinstance(value, list):
        return [one for i, item in enumerate(value) for one in _walk(item, steps, f"{place}/{i}")]
    return []
