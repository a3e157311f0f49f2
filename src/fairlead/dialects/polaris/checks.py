"""Checks of somebody's own in JSON schema, as Polaris has them: what they are about, and the function that they become.

A check looks at an object, or at the pod, the pod's template or each container that it describes, and may want another object of some kind beside
it. Never raises over the content of what it judges: what cannot be rendered or compiled for an object is an error of the check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import yaml

from fairlead.dialects.polaris import schemas, templates
from fairlead.judge.policies import Outcome
from fairlead.judge.practices_shapes import Container, Thing, thing_of
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import quantities
from fairlead.tongues.paths import Path, dotted, find, mapping, text
from fairlead.words import Resource

CONTAINER: Final = "Container"
CONTROLLER: Final = "Controller"
POD_SPEC: Final = "PodSpec"
POD_TEMPLATE: Final = "PodTemplate"
OF_PODS: Final = frozenset({CONTAINER, CONTROLLER, POD_SPEC, POD_TEMPLATE})
"""Targets that are about whatever describes a pod; any other is a kind, with its group before a slash or any group."""

Maker: TypeAlias = Callable[[Any], "schemas.Check | None"]
"""Make the check of a schema for the data of one object: None, where its template comes out empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check, as it was read.

    `beside` are schemas by the kind of an object that must be there besides: group/Kind. `without` are kinds of workloads that it is not about,
    `only` those that it is about (empty: all). `containers` says which lists of containers it looks at. `remedies` are values at places
    under the target that make it pass.
    """

    id: str
    target: str
    schema: Maker
    beside: Mapping[str, Maker]
    failure: str
    category: str = ""
    of_pod: bool = False
    only: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    init: bool = True
    ordinary: bool = True
    remedies: tuple[tuple[Path, Any], ...] = ()

    def concerns(self, group: str, kind: str) -> bool:
        """Whether it may be about objects of a kind."""
        if (self.only and kind not in self.only) or kind in self.without:
            return False
        if self.target in OF_PODS:
            return True
        wanted, slash, name = self.target.rpartition("/")
        return kind == name and (not slash or group == wanted)


def maker_of(schema: Any) -> Maker:
    """Return what makes the check of a schema: a mapping, or the text of one. Both may hold templates. Raises BadSchema, BadTemplate."""
    if isinstance(schema, str):
        if "{{" not in schema:
            return _fixed(_compiled(schema))
        render = templates.compile(schema)
        return lambda data: _compiled(render(data))
    if not _templated(schema):
        return _fixed(schemas.compile(schema))
    fill = _filler(schema)
    return lambda data: schemas.compile(fill(data))


def _fixed(check: schemas.Check | None) -> Maker:
    return lambda _: check


@lru_cache(maxsize=512)
def _compiled(written: str) -> schemas.Check | None:
    try:
        content = yaml.safe_load(written)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise schemas.BadSchema(f"the schema is not YAML: {error}") from error
    return None if content is None else schemas.compile(content)


def _templated(content: Any) -> bool:
    if isinstance(content, dict):
        return any(_templated(one) for pair in content.items() for one in pair)
    if isinstance(content, list):
        return any(map(_templated, content))
    return isinstance(content, str) and "{{" in content


def _filler(content: Any) -> Callable[[Any], Any]:
    """Return what fills the templates in the texts of a schema."""
    if isinstance(content, dict):
        pairs = [(_filler(key), _filler(value)) for key, value in content.items()]
        return lambda data: {key(data): value(data) for key, value in pairs}
    if isinstance(content, list):
        items = [_filler(one) for one in content]
        return lambda data: [one(data) for one in items]
    if isinstance(content, str) and "{{" in content:
        return templates.compile(content)
    return lambda _: content


def judged(check: Check, subject: Subject, around: Surroundings) -> Outcome | None:
    """Return what a check says of a subject; None where it is not about it. Raises BadSchema, BadTemplate."""
    thing = thing_of(subject.present, around.view)
    if check.target in OF_PODS and thing.pod is None:
        return None
    if check.target != CONTAINER:
        return _said(check, [_faults(check, thing, None, around)], thing)
    assert thing.pod is not None
    containers = [one for one in thing.pod.written if (check.init if one.init else check.ordinary)]
    return (
        _said(check, [_faults(check, thing, one, around) for one in containers], thing)
        if containers
        else None
    )


def _faults(
    check: Check, thing: Thing, container: Container | None, around: Surroundings
) -> tuple[Path, list[schemas.Fault] | None]:
    """Return where the target is and what is wrong with it; None where it is what is not beside it."""
    data = _data(thing, container)
    path, value = _target(check, thing, container)
    made = check.schema(data)
    found = made(value) if made is not None else []
    if found:
        return path, [((*path, *where), said) for where, said in found]
    for kind, maker in check.beside.items():
        wanted = maker(data)
        if wanted is not None and not any(not wanted(one) for one in _objects(kind, thing, around)):
            return path, None
    return path, []


def _said(check: Check, targets: Sequence[tuple[Path, list[schemas.Fault] | None]], thing: Thing) -> Outcome:
    bad = [(path, found) for path, found in targets if found is None or found]
    if not bad:
        return Outcome(result="pass")
    places = [where for path, found in bad for where, _ in (found or [(path, "")])[:3]]
    said = [f"{dotted(where) or 'it'} {what}" for _, found in bad for where, what in (found or [])[:1]]
    detail = f" ({'; '.join(dict.fromkeys(said))})" if said else ""
    return Outcome(
        result="fail",
        message=f"{check.failure}{detail}",
        paths=tuple(dict.fromkeys(dotted(_written(thing.content, where)) for where in places)),
        wanted="" if said else f"a fitting {', '.join(check.beside)} beside it",
        remedies=tuple(
            ((*path, *where), value) for path, found in bad if found for where, value in check.remedies
        ),
    )


def _written(content: Resource, path: Path) -> Path:
    while path and find(content, path) is None:
        path = path[:-1]
    return path


def _data(thing: Thing, container: Container | None) -> dict[str, Any]:
    """Return what templates see: the object, with what Polaris adds to it."""
    if thing.pod is None:
        return thing.content
    template = {"metadata": thing.pod.meta, "spec": thing.pod.spec}
    added: dict[str, Any] = {"PodSpec": thing.pod.spec, "PodTemplate": template}
    if container is not None:
        added["Container"] = container.content
    return {**thing.content, "Polaris": added}


def _target(check: Check, thing: Thing, container: Container | None) -> tuple[Path, Any]:
    if thing.pod is None or check.target not in OF_PODS or check.target == CONTROLLER:
        return (), thing.content
    if container is not None:
        if check.of_pod:  # the pod as it would be with this container alone
            alone = {**thing.pod.spec, "initContainers": [], "containers": [_typed(container.content)]}
            return thing.pod.path, alone
        return container.path, _typed(container.content)
    if check.target == POD_TEMPLATE:
        return thing.pod.path[:-1], {"metadata": dict(thing.pod.meta), "spec": _typed_pod(thing.pod.spec)}
    return thing.pod.path, _typed_pod(thing.pod.spec)


def _typed_pod(spec: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(spec)
    for key in ("initContainers", "containers"):
        if isinstance(made.get(key), list):
            made[key] = [_typed(one) if isinstance(one, dict) else one for one in made[key]]
    return made


def _typed(container: Mapping[str, Any]) -> dict[str, Any]:
    """Return a container as Kubernetes would write it: amounts of resources are texts, and there are always resources."""
    resources = mapping(container, "resources")
    return {
        **container,
        "resources": {
            side: {name: _amount(value) for name, value in amounts.items()}
            if isinstance(amounts, dict)
            else amounts
            for side, amounts in resources.items()
            if amounts is not None
        },
    }


def _amount(value: Any) -> Any:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return value
    try:
        return quantities.canonical(value)
    except ValueError:
        return value


def _objects(kind: str, thing: Thing, around: Surroundings) -> list[Resource]:
    """Return the objects of a kind (`group/Kind`, or a core one alone) that live where the thing does."""
    group, _, name = kind.rpartition("/")
    space = thing.name if thing.kind == "Namespace" and not thing.group else thing.namespace
    spaces = {space, "", "default"} if space in {"", "default"} else {space}
    everywhere = not around.kinds.namespaced(group, name)
    return [
        one
        for one in around.view.list(group, name)
        if everywhere or text(one, "metadata", "namespace") in spaces
    ]
