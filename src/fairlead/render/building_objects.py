"""What the objects of a build say about each other, once all are there: names taken twice, references that lead nowhere.

Only what is wrong for certain is told: what is not among the objects may be in the cluster. Must never change an object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fairlead.render.building_texts import nearest
from fairlead.render.packages import Mistake
from fairlead.words import Resource

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


Key: TypeAlias = tuple[str, str, str, str]
Place: TypeAlias = Callable[[int, str, str, Sequence[str | int]], Mistake]
Note: TypeAlias = Callable[..., None]
MOST_MISTAKES: Final = 100


@dataclass(slots=True)
class Made:
    """An object of a build: its stage, its number among all, (group, kind, namespace, name), and whether its kind is not known."""

    object: Resource
    stage: str
    number: int
    key: Key
    untyped: bool = False


def made(item: Resource, stage: str, number: int, namespace: str, *, untyped: bool = False) -> Made:
    """Return an object of a build with its name; what has no namespace goes into that of the instance."""
    kind = item["kind"]
    meta = item.get("metadata") or {}
    space = "" if kind in CLUSTER_WIDE else meta.get("namespace") or namespace
    return Made(
        item,
        stage,
        number,
        (item["apiVersion"].rpartition("/")[0], kind, space, meta.get("name") or ""),
        untyped,
    )


def mistakes(objects: Sequence[Made], place: Place) -> list[Mistake]:
    """Return what is wrong between the objects; `place` makes a mistake of (number of an object, message, hint, path)."""
    out: list[Mistake] = []

    def note(one: Made, message: str, hint: str, *keys: str | int) -> None:
        if len(out) < MOST_MISTAKES:
            out.append(place(one.number, message, hint, keys))

    _names(objects, place, note)
    _selectors(objects, note)
    _hashed(objects, note)
    _scaled(objects, note)
    return out


def _names(objects: Sequence[Made], place: Place, note: Note) -> None:
    seen: dict[Key, Made] = {}
    for one in objects:
        if not one.key[3]:
            continue
        first = seen.setdefault(one.key, one)
        if first is not one:
            where = place(first.number, "", "", ("metadata", "name")).where
            stages = f" (in the stages {first.stage} and {one.stage})" if first.stage != one.stage else ""
            said = f", the first at {where.file}:{where.line}" if where.line else ""
            note(
                one,
                f"two objects are named {one.key[1]} {one.key[3]}{stages}{said}",
                "each must be another one",
                "metadata",
                "name",
            )


@dataclass(slots=True)
class Pods:
    """Pods that an object is, or has a template of."""

    made: Made
    labels: Mapping[str, Any]
    spec: Mapping[str, Any]

    @property
    def space(self) -> str:
        """Their namespace."""
        return self.made.key[2]


def _pods(objects: Iterable[Made]) -> Iterator[Pods]:
    for one in objects:
        if one.untyped:
            continue
        kind = one.key[1]
        spec = one.object.get("spec") or {}
        if kind == "Pod":
            template: Any = one.object
        elif kind in _TEMPLATES:
            template = spec.get("template") or {}
        elif kind == "CronJob":
            template = spec["jobTemplate"]["spec"]["template"]
        else:
            continue
        yield Pods(one, (template.get("metadata") or {}).get("labels") or {}, template.get("spec") or {})


def _containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def _selectors(objects: Sequence[Made], note: Note) -> None:
    """A Service whose selector fits no pod of the module, or names a port that those have not."""
    services = [one for one in objects if one.key[:2] == ("", "Service")]
    if not services:
        return
    pods = list(_pods(objects))
    labelled: dict[tuple[str, str, Any], set[int]] = {}
    spaces = {one.space for one in pods}
    for number, pod in enumerate(pods):
        for key, value in pod.labels.items():
            labelled.setdefault((pod.space, key, value), set()).add(number)
    for one in services:
        if one.key[2] not in spaces:
            continue
        spec = one.object.get("spec") or {}
        selector = spec.get("selector")
        if not selector or spec.get("type") == "ExternalName":
            continue
        found = sorted((labelled.get((one.key[2], *pair), set()) for pair in selector.items()), key=len)
        fit = set.intersection(*found)
        if fit:
            _targets(one, spec, [pods[number] for number in fit], note)
            continue
        best = max(
            pods, key=lambda each: sum(each.labels.get(key) == value for key, value in selector.items())
        )
        wrong = [f"{key}={value}" for key, value in selector.items() if best.labels.get(key) != value]
        note(
            one,
            f"the selector fits no pod of the module: {', '.join(wrong)} is no label of the pods of {best.made.key[1]} {best.made.key[3]}",
            "give both the same labels",
            "spec",
            "selector",
        )


def _targets(one: Made, spec: Mapping[str, Any], pods: Sequence[Pods], note: Note) -> None:
    for index, port in enumerate(spec.get("ports") or ()):
        target = port.get("targetPort")
        if not isinstance(target, str):
            continue
        names = {
            has["name"]
            for each in pods
            for container in _containers(each.spec)
            for has in container.get("ports") or ()
            if has.get("name")
        }
        if target not in names:
            near = nearest(target, names)
            have = ", ".join(f'"{name}"' for name in sorted(names)) or "none that has a name"
            note(
                one,
                f'`targetPort` is "{target}", which is no port of the pods that are selected',
                f'did you mean "{near}"?' if near else f"they have {have}",
                "spec",
                "ports",
                index,
                "targetPort",
            )


def _hashed(objects: Sequence[Made], note: Note) -> None:
    """A reference by the plain name to what is named by its hash: it would find nothing."""
    hashed: dict[tuple[str, str, str], str] = {}
    there: set[tuple[str, str, str]] = set()
    for one in objects:
        _, kind, space, name = one.key
        if kind in {"ConfigMap", "Secret"}:
            there.add((space, kind, name))
            found = _HASHED.fullmatch(name) if one.object.get("immutable") else None
            if found is not None:
                hashed[space, kind, found[1]] = name
    if not hashed:
        return
    for each in _pods(objects):
        for kind, name in references(each.spec):
            key = (each.space, kind, name)
            if key in hashed and key not in there:
                maker = "config_map" if kind == "ConfigMap" else "secret"
                note(
                    each.made,
                    f'the pods refer to the {kind} "{name}", which is named "{hashed[key]}" by its content',
                    f"refer to it by what {maker}() returns: name = its .metadata.name",
                )


def _scaled(objects: Sequence[Made], note: Note) -> None:
    """A HorizontalPodAutoscaler of what the module has under another apiVersion."""
    scalers = [one for one in objects if one.key[1] == "HorizontalPodAutoscaler" and not one.untyped]
    if not scalers:
        return
    here = {one.key[1:]: one for one in objects}
    for one in scalers:
        target = one.object["spec"]["scaleTargetRef"]
        found = here.get((target["kind"], one.key[2], target["name"]))
        if found is not None and target.get("apiVersion") not in {None, found.object["apiVersion"]}:
            note(
                one,
                f"`scaleTargetRef` names a {target['kind']} of {target['apiVersion']}, the module's is of {found.object['apiVersion']}",
                "",
                "spec",
                "scaleTargetRef",
                "apiVersion",
            )


def images(objects: Iterable[Made]) -> set[str]:
    """Return the images that these objects run."""
    return {
        container["image"]
        for each in _pods(objects)
        for container in _containers(each.spec)
        if container.get("image")
    }


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
    for container in _containers(spec):
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
