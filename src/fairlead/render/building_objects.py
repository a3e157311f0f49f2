"""What the objects of a build say about each other, once all are there: names taken twice, references that lead nowhere.

Only what is wrong for certain is told: what is not among the objects may be in the cluster. Must never change an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fairlead.render.building import Told
from fairlead.render.building_texts import nearest
from fairlead.render.packages import Mistake
from fairlead.tongues import starlark
from fairlead.words import Ref, Resource

CLUSTER_WIDE: Final = frozenset(
    {
        "Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "StorageClass", "PriorityClass",
        "IngressClass", "RuntimeClass", "APIService", "CSIDriver", "CSINode", "VolumeAttachment", "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding", "CertificateSigningRequest", "FlowSchema", "PriorityLevelConfiguration", "DeviceClass",
    }
)  # fmt: skip
_HASHED: Final = re.compile(r"(.+)-[bcdfghjklmnpqrstvwxz2456789]{10}")
_TEMPLATES: Final = {
    "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """An object of a build, the stage that it is in, the call stack of the constructor, and whether its kind is not known."""

    object: Resource
    stage: str
    stack: str
    untyped: bool = False
    moments: tuple[str, ...] = ()


def mistakes(objects: Sequence[Made], namespace: str, told: Told) -> list[Mistake]:
    """Return what is wrong between the objects."""
    out: list[Mistake] = []

    def note(made: Made, message: str, hint: str, *keys: str | int) -> None:
        out.append(told.mistake(message, hint, starlark.frames(made.stack), keys))

    _names(objects, namespace, note)
    _selectors(objects, namespace, note)
    _hashed(objects, namespace, note)
    _scaled(objects, namespace, note)
    return out


def _ref(made: Made, namespace: str) -> Ref:
    ref = Ref.of(made.object)
    if ref.kind in CLUSTER_WIDE:
        return Ref(ref.group, ref.kind, "", ref.name)
    return Ref(ref.group, ref.kind, ref.namespace or namespace, ref.name)


def _names(objects: Sequence[Made], namespace: str, note: Any) -> None:
    seen: dict[Ref, Made] = {}
    for made in objects:
        ref = _ref(made, namespace)
        if not ref.name:
            continue
        if "generateName" in (made.object.get("metadata") or {}) and "name" not in made.object["metadata"]:
            continue
        first = seen.get(ref)
        if first is None:
            seen[ref] = made
            continue
        own = [frame for frame in starlark.frames(first.stack) if not frame.file.startswith("@")]
        place = f", the first at {own[-1].file}:{own[-1].line}" if own else ""
        stages = f" (in the stages {first.stage} and {made.stage})" if first.stage != made.stage else ""
        note(
            made,
            f"two objects are named {ref.kind} {ref.name}{stages}{place}",
            "each must be another one",
            "metadata",
            "name",
        )


def _templates(
    objects: Sequence[Made], namespace: str
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any], Made]]:
    """Yield (namespace, labels, pod spec, object) of every pod and pod template."""
    for made in objects:
        item = made.object
        kind = item.get("kind")
        spec = item.get("spec") or {}
        if kind == "Pod":
            template: Any = item
        elif kind in _TEMPLATES:
            template = spec.get("template")
        elif kind == "CronJob":
            template = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("template")
        else:
            continue
        if isinstance(template, Mapping):
            labels = (template.get("metadata") or {}).get("labels") or {}
            yield _ref(made, namespace).namespace, labels, template.get("spec") or {}, made


def _selectors(objects: Sequence[Made], namespace: str, note: Any) -> None:
    """A Service whose selector fits no pod, though the module has pods that it misses by a little."""
    pods = list(_templates(objects, namespace))
    if not pods:
        return
    index: dict[str, dict[tuple[str, Any], list[int]]] = {}
    for number, (space, labels, _, _) in enumerate(pods):
        for pair in labels.items():
            index.setdefault(space, {}).setdefault(pair, []).append(number)
    for made in objects:
        item = made.object
        if item.get("kind") != "Service" or item.get("apiVersion") != "v1":
            continue
        spec = item.get("spec") or {}
        selector = spec.get("selector")
        if not selector or spec.get("type") == "ExternalName":
            continue
        space = _ref(made, namespace).namespace
        known = index.get(space, {})
        found = [set(known.get(pair, ())) for pair in selector.items()]
        fit = set.intersection(*found)
        if not fit:
            if space not in index:
                continue
            best = max(pods, key=lambda pod: sum(pod[1].get(key) == value for key, value in selector.items()))
            wrong = [f"{key}={value}" for key, value in selector.items() if best[1].get(key) != value]
            name = Ref.of(best[3].object)
            note(
                made,
                f"the selector fits no pod of the module: {', '.join(wrong)} is no label of the pods of {name.kind} {name.name}",
                "give both the same labels",
                "spec",
                "selector",
            )
            continue
        names = {
            port.get("name")
            for number in fit
            for container in [
                *(pods[number][2].get("containers") or ()),
                *(pods[number][2].get("initContainers") or ()),
            ]
            for port in container.get("ports") or ()
        }
        for place, port in enumerate(spec.get("ports") or ()):
            target = port.get("targetPort")
            if isinstance(target, str) and target not in names:
                near = nearest(target, [one for one in names if one])
                have = ", ".join(f'"{one}"' for one in sorted(one for one in names if one)) or "none"
                note(
                    made,
                    f'`targetPort` is "{target}", which is no port of the pods that are selected',
                    f'did you mean "{near}"?' if near else f"they have {have}",
                    "spec",
                    "ports",
                    place,
                    "targetPort",
                )


def _hashed(objects: Sequence[Made], namespace: str, note: Any) -> None:
    """A reference by the plain name to what is named by its hash: it would find nothing."""
    hashed: dict[tuple[str, str, str], str] = {}
    plain: set[tuple[str, str, str]] = set()
    for made in objects:
        ref = _ref(made, namespace)
        if ref.kind in {"ConfigMap", "Secret"}:
            plain.add((ref.namespace, ref.kind, ref.name))
            found = _HASHED.fullmatch(ref.name) if made.object.get("immutable") else None
            if found is not None:
                hashed[ref.namespace, ref.kind, found[1]] = ref.name
    if not hashed:
        return
    for space, _, spec, made in _templates(objects, namespace):
        for kind, name in references(spec):
            key = (space, kind, name)
            if key in hashed and key not in plain:
                maker = "config_map" if kind == "ConfigMap" else "secret"
                note(
                    made,
                    f'the pods refer to the {kind} "{name}", which is named "{hashed[key]}" by its content',
                    f"refer to it by what {maker}() returns: name = its .metadata.name",
                )


def references(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (kind, name) of each ConfigMap and Secret that a pod refers to and cannot do without."""
    for volume in spec.get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for source in sources:
            for field, kind, name in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
                found = source.get(field) or {}
                given = found.get(name) or found.get("name")
                if given and not found.get("optional"):
                    yield kind, given
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        for source in container.get("envFrom") or ():
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                found = source.get(field) or {}
                if found.get("name") and not found.get("optional"):
                    yield kind, found["name"]
        for variable in container.get("env") or ():
            given = variable.get("valueFrom") or {}
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                found = given.get(field) or {}
                if found.get("name") and not found.get("optional"):
                    yield kind, found["name"]


def _scaled(objects: Sequence[Made], namespace: str, note: Any) -> None:
    """A HorizontalPodAutoscaler beside a fixed number of replicas of what it scales."""
    here = {
        (_ref(made, namespace).namespace, made.object.get("kind"), Ref.of(made.object).name): made
        for made in objects
    }
    for made in objects:
        if made.object.get("kind") != "HorizontalPodAutoscaler":
            continue
        target = (made.object.get("spec") or {}).get("scaleTargetRef") or {}
        found = here.get((_ref(made, namespace).namespace, target.get("kind"), str(target.get("name"))))
        if found is not None and target.get("apiVersion") not in {None, found.object.get("apiVersion")}:
            note(
                made,
                f"`scaleTargetRef` names a {target.get('kind')} of {target.get('apiVersion')}, the module's is of {found.object.get('apiVersion')}",
                "",
                "spec",
                "scaleTargetRef",
                "apiVersion",
            )


def images(item: Resource) -> Iterator[str]:
    """Yield the images that an object runs."""
    for _, _, spec, _ in _templates([Made(item, "", "")], ""):
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
            image = container.get("image")
            if isinstance(image, str):
                yield image
