"""What a module's tests expect of a rendering: cases as they are written in `tests/*.yaml`, and what of them does not hold.

A case gives values and says what comes of them: which objects are there or not, what their fields are, which mistakes are told, or that
all is as a snapshot says. Plain data in and out; who renders hands the rendering in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead.render.packages import Layer, Mistake, Mistaken
from fairlead.render.values_checks import nearest, shown
from fairlead.render.values_reading import located
from fairlead.tongues import paths, yamls
from fairlead.words import Ref, Resource, Where

KEYS: Final = (
    "name",
    "values",
    "files",
    "set",
    "context",
    "objects",
    "only",
    "absent",
    "expect",
    "fields",
    "fails",
    "snapshot",
)
"""What a case may say."""

CONTEXT: Final = ("name", "namespace", "revision", "moment", "kubernetes", "serves")


@dataclass(frozen=True, slots=True)
class Case:
    """One case: what goes in, and what is expected to come out."""

    name: str
    file: str
    line: int = 0
    layers: tuple[Layer, ...] = ()
    files: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    only: bool = False
    absent: tuple[str, ...] = ()
    expect: tuple[Mapping[str, Any], ...] = ()
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fails: tuple[str, ...] = ()
    snapshot: bool = False

    @property
    def expects_something(self) -> bool:
        """Whether there is anything that could fail beyond the rendering itself."""
        return bool(
            self.objects
            or self.absent
            or self.expect
            or self.fields
            or self.fails
            or self.snapshot
            or self.only
        )


def read(file: str, text: str) -> list[Case]:
    """Return the cases of a file: one, or those under `cases`. Raises Mistaken with all that is wrong with it."""
    try:
        found = yamls.load(text)
    except yamls.BadYaml as fault:
        raise Mistaken(Mistake(f"is not YAML: {fault.message}", Where(file, fault.line))) from fault
    if not isinstance(found, dict):
        raise Mistaken(Mistake("a test is a mapping, or has a list of them under cases", Where(file, 1)))
    listed = found.get("cases")
    many = isinstance(listed, list) and set(found) <= {"cases", "name"}
    mistakes: list[Mistake] = []
    cases: list[Case] = []
    for index, one in enumerate(listed if many and isinstance(listed, list) else [found]):
        path: paths.Path = ("cases", index) if many else ()
        case = _case(file, text, one, path, mistakes)
        if case is not None:
            cases.append(case)
    if mistakes:
        raise Mistaken(*mistakes)
    return cases


def _case(file: str, text: str, found: Any, path: paths.Path, mistakes: list[Mistake]) -> Case | None:
    def wrong(message: str, *step: str, hint: str = "") -> None:
        where, column, excerpt = located(file, text, (*path, *step), key=True)
        mistakes.append(Mistake(message, where, column, excerpt, hint))

    if not isinstance(found, dict):
        wrong(f"a case is a mapping, is {shown(found)}")
        return None
    before = len(mistakes)
    for key in found:
        if key not in KEYS:
            near = nearest(key, KEYS)
            wrong(
                f'a case says no "{key}"',
                key,
                hint=f"did you mean {near}?" if near else f"it may say {', '.join(KEYS)}",
            )
    for key in ("files", "set", "objects", "absent"):
        if not _texts(found.get(key)):
            wrong("must be a list of texts", key)
    for key in ("values", "context", "fields"):
        if not isinstance(found.get(key) or {}, dict):
            wrong("must be a mapping", key)
    given = found.get("context")
    for key in given if isinstance(given, dict) else ():
        if key not in CONTEXT:
            wrong(f'a context has no "{key}"', "context", key, hint=f"it has {', '.join(CONTEXT)}")
    fields = found.get("fields") or {}
    for name, wanted in fields.items() if isinstance(fields, dict) else ():
        if not isinstance(wanted, dict):
            wrong("must be a mapping of paths to values", "fields", name, hint="write .spec.replicas: 3")
            continue
        for at in wanted:
            if paths.parse(_dotted(at)) is None:
                wrong(f'"{at}" is no path', "fields", name, at, hint="write .spec.ports[0].port")
    expect = found.get("expect") or []
    if not isinstance(expect, list) or not all(isinstance(one, dict) and "kind" in one for one in expect):
        wrong("must be a list of parts of objects, each with its kind", "expect")
    fails = found.get("fails") or []
    fails = [fails] if isinstance(fails, str) else fails
    if not isinstance(fails, list) or not all(isinstance(one, str) for one in fails):
        wrong("must be a text, or a list of them, that the messages contain", "fails")
    if len(mistakes) > before:
        return None
    where, _, _ = located(file, text, path, key=False)
    layers = [Layer(f"{file} (values)", yamls.dump(found["values"]))] if found.get("values") else []
    layers += [Layer("--set", one, "set") for one in found.get("set") or ()]
    stem = file.rpartition("/")[2].rpartition(".")[0]
    return Case(
        str(found.get("name") or (f"{stem} {path[1]}" if path else stem)),
        file,
        where.line,
        tuple(layers),
        tuple(found.get("files") or ()),
        dict(found.get("context") or {}),
        tuple(found.get("objects") or ()),
        bool(found.get("only")),
        tuple(found.get("absent") or ()),
        tuple(expect),
        fields,
        tuple(fails),
        bool(found.get("snapshot")),
    )


def _texts(found: Any) -> bool:
    return found is None or (isinstance(found, list) and all(isinstance(one, str) for one in found))


def _dotted(path: str) -> str:
    return path if path[:1] in {".", "["} else f".{path}"


def unmet(case: Case, objects: Sequence[Resource]) -> list[str]:
    """Return what a case expects of the objects and does not hold, in words."""
    names = {_title(item): item for item in objects}
    said = []
    for wanted in case.objects:
        if not _matching(wanted, objects):
            near = nearest(wanted, names)
            said.append(
                f"{wanted} is not there" + (f"; {near} is" if near else f"; there is {_listed(names)}")
            )
    if case.only:
        said += [
            f"{name} is there and was not expected"
            for name, item in names.items()
            if not any(_is(one, item) for one in case.objects)
        ]
    said += [f"{wanted} is there" for wanted in case.absent if _matching(wanted, objects)]
    for name, fields in case.fields.items():
        found = _matching(name, objects)
        if len(found) != 1:
            said.append(
                f"{name} is not there; there is {_listed(names)}"
                if not found
                else f"{name} is {len(found)} objects: name it"
            )
            continue
        said += _fields(name, found[0], fields)
    for part in case.expect:
        said += _part(part, objects)
    return said


def _fields(name: str, item: Resource, fields: Mapping[str, Any]) -> list[str]:
    said = []
    for path, wanted in fields.items():
        steps = paths.parse(_dotted(path)) or ()
        found = paths.find(item, steps)
        if found != wanted or type(found) is not type(wanted):
            said.append(f"{name} {_dotted(path)} is {_said(found)}, expected {_said(wanted)}")
    return said


def _part(part: Mapping[str, Any], objects: Sequence[Resource]) -> list[str]:
    ref = Ref.of(dict(part))
    title = f"{ref.kind}/{ref.name}" if ref.name else ref.kind
    found = [
        item
        for item in objects
        if item.get("kind") == ref.kind and (not ref.name or Ref.of(item).name == ref.name)
    ]
    if not found:
        return [f"{title} is not there; there is {_listed({_title(item): item for item in objects})}"]
    differing = [_differences(part, item, ()) for item in found]
    best = min(differing, key=len)
    return [f"{title} {line}" for line in best]


def _differences(wanted: Any, found: Any, path: paths.Path) -> list[str]:
    """Return where an object lacks what is wanted of it. Mappings may have more; lists are as long as wanted."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return [
            line
            for key, value in wanted.items()
            for line in _differences(value, found.get(key), (*path, key))
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [
            line
            for index, value in enumerate(wanted)
            for line in _differences(value, found[index], (*path, index))
        ]
    if wanted == found and isinstance(wanted, bool) == isinstance(found, bool):
        return []
    return [f"{paths.dotted(path)} is {_said(found)}, expected {_said(wanted)}"]


def _said(value: Any) -> str:
    if value is None:
        return "absent"
    text = yamls.dump(value).rstrip("\n") if not isinstance(value, dict | list) else shown(value)
    if isinstance(value, list):
        text = f"a list of {len(value)}"
    return text if len(text) < 200 else text[:197] + "..."


def _title(item: Resource) -> str:
    return f"{item.get('kind')}/{Ref.of(item).name}"


def _is(wanted: str, item: Resource) -> bool:
    """Return whether an object is meant by `Kind`, `Kind/name` or `Kind/namespace/name`."""
    kind, *rest = wanted.split("/")
    ref = Ref.of(item)
    if item.get("kind") != kind:
        return False
    return not rest or (rest == [ref.name] if len(rest) == 1 else rest == [ref.namespace, ref.name])


def _matching(wanted: str, objects: Sequence[Resource]) -> list[Resource]:
    return [item for item in objects if _is(wanted, item)]


def _listed(names: Mapping[str, Any]) -> str:
    shown_names = list(names)[:8]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(shown_names) + more) or "nothing"


def unmet_failures(case: Case, messages: Sequence[str]) -> list[str]:
    """Return which messages a case expects and nobody said."""
    said = "; ".join(messages) if messages else "nothing is wrong"
    return [
        f'nothing says "{wanted}": {said}'
        for wanted in case.fails
        if not any(wanted in one for one in messages)
    ]
