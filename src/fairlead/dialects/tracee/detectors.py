"""Tracee's YAML detectors, and the lists that they share: an event made of others, by filters and conditions, with fields of its own.

Reads documents into sorts, which policies and other detectors can name, and which become rules of their own where no policy names them. What is
wrong in one becomes a finding, and the others are used. Never raises over a document's content.
Source: aquasecurity/tracee, docs/detectors/yaml-detectors.md; the plain form, the form with `spec`, and the older names of fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.dialects.tracee import expressions
from fairlead.dialects.tracee.filters import BadFilter, Texts, both, split
from fairlead.dialects.tracee.happenings import Data, Sort, Wanted, sprint
from fairlead.dialects.tracee.policies import Document, add_data_filter, texts_of
from fairlead.dialects.tracee.scopes import Scope, Unsupported
from fairlead.sense.behaviours import LEVELS
from fairlead.sense.events import Event
from fairlead.sense.plans import Hook
from fairlead.words import Page

SPEAKS = (0, 24, 0)
"""The version of Tracee whose files are understood."""
_TYPES = frozenset({"string", "int32", "int64", "uint32", "uint64", "bool", "bytes"})
_NAMES_OF_LISTS = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?\Z")
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}
_MOST_STEPS = 16
"""Detectors that may stand on one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event that a detector is made of, and of what and whom it must be."""

    sort: Sort
    wanted: Wanted
    scope: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One field of the event that a detector makes."""

    name: str
    type: str
    find: Callable[[Mapping[str, Any]], Any]
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """A detector as an event (see happenings.Sort)."""

    id: str
    name: str
    version: str
    description: str
    sets: tuple[str, ...]
    steps: tuple[Step, ...]
    conditions: tuple[Callable[[Mapping[str, Any]], Any], ...]
    outputs: tuple[Output, ...]
    threat: dict[str, Any] | None
    populate: frozenset[str]
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    why_not: str = ""

    @property
    def alarming(self) -> bool:
        """See Sort."""
        return self.threat is not None

    def knows(self, name: str) -> bool | str:
        """See Sort."""
        return any(one.name == name for one in self.outputs)

    def kinds(self) -> tuple[str, ...]:
        """See Sort."""
        return tuple(dict.fromkeys(kind for step in self.steps for kind in step.sort.kinds()))

    def hooks(self, wanted: Wanted, also: Any, owner: str) -> tuple[Hook, ...]:  # noqa: ARG002 - what it makes the kernel cannot see
        """See Sort."""
        return tuple(
            hook
            for step in self.steps
            for hook in step.sort.hooks(step.wanted, both(step.scope.tests(), also), owner)
        )

    def data(self, event: Event) -> Data | None:
        """See Sort."""
        for step in self.steps:
            data = step.sort.data(event)
            if data is None or not step.scope(event) or not step.sort.passes(event, step.wanted, data):
                continue
            found = self._made(step.sort, event, data)
            if found is not None:
                return found
        return None

    def _made(self, sort: Sort, event: Event, data: Data) -> Data | None:
        given = expressions.bindings(sort.name, event, sort.told(event, data), self.lists)
        if not all(one(given) is True for one in self.conditions):
            return None
        made: dict[str, Any] = {}
        for output in self.outputs:
            value = output.find(given)
            if value is None or isinstance(value, Mapping | list | tuple):
                if output.optional:
                    continue
                return None  # a field that must be there is not: Tracee detects nothing then
            made[output.name] = value
        return made

    def passes(self, event: Event, wanted: Wanted, data: Data) -> bool:  # noqa: ARG002 - the shape is Sort's
        """See Sort."""
        return all(name in data and texts(sprint(data[name])) for name, texts in wanted.items())

    def told(self, event: Event, data: Data) -> list[tuple[str, str, Any]]:  # noqa: ARG002 - the shape is Sort's
        """See Sort."""
        types = {one.name: one.type for one in self.outputs}
        return [(name, types[name], value) for name, value in data.items()]

    def origin(self, event: Event) -> tuple[str, Data] | None:
        """The event that it was made of: name and data."""
        for step in self.steps:
            data = step.sort.data(event)
            if data is not None and step.scope(event) and step.sort.passes(event, step.wanted, data):
                return step.sort.name, data
        return None


# ---- lists ------------------------------------------------------------------------------------------------------------


def shared_list(document: Document) -> tuple[str, tuple[str, ...]] | None:
    """Return a list's name and values, or None where it cannot be used."""
    page = document.page
    page.take("type"), page.take("description")
    name = str(page.take("name", ""))
    if not _NAMES_OF_LISTS.match(name):
        document.broken(".name", f"list name {name!r} must be uppercase snake_case")
        return None
    values = page.take("values", [])
    if not isinstance(values, list) or not values or not all(isinstance(one, str) for one in values):
        document.broken(".values", f"list {name} must have values, all of them texts")
        return None
    document.left()
    return name, tuple(values)


# ---- detectors --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Draft:
    """A detector whose document was read, before the events that it is made of are looked up."""

    document: Document
    path: str
    id: str
    name: str
    version: str
    description: str
    tags: tuple[str, ...]
    fields: dict[str, str]
    events: list[
        tuple[str, str, bool, list[tuple[str, str]]]
    ]  # path, name, required, filters with their paths
    conditions: list[tuple[str, str]]
    outputs: list[tuple[str, str, str, bool]]  # path, name, expression, optional
    threat: dict[str, Any] | None
    populate: frozenset[str]


def draft(document: Document, machine: str = "x86_64") -> Draft | None:
    """Return a detector as it is written, or None where it lacks what it must have."""
    page = document.page
    for key in ("apiVersion", "kind", "type", "status"):
        page.take(key)
    page.take("metadata")
    nested = "spec" in page.keys()  # noqa: SIM118 - Page is no mapping
    spec, root = (page.page("spec"), ".spec") if nested else (page, "")
    faults = len(document.findings)
    name = str(spec.take("id", "") or "")
    if not name:
        document.broken(f"{root}.id", "detector ID is required")
    event = spec.page("produced_event")
    called, version = str(event.take("name", "") or ""), str(event.take("version", "") or "")
    if not called:
        document.broken(f"{root}.produced_event.name", "produced_event.name is required")
    if version and not _VERSION.match(version):
        document.broken(f"{root}.produced_event.version", f"invalid version {version!r}")
    made = Draft(
        document=document,
        path=root,
        id=name,
        name=called,
        version=version,
        description=str(event.take("description", "") or ""),
        tags=tuple(texts_of(event, "tags")),
        fields=_fields(document, event, f"{root}.produced_event.fields"),
        events=_requirements(document, spec.page("requirements"), f"{root}.requirements", machine),
        conditions=[(f"{root}.conditions[{at}]", one) for at, one in enumerate(texts_of(spec, "conditions"))],
        outputs=_outputs(document, spec.page("output"), f"{root}.output"),
        threat=_threat(document, spec, f"{root}.threat", name),
        populate=_populate(spec.page("auto_populate")),
    )
    _agree(made)
    document.left()
    return None if any(one.rule == "policy.broken" for one in document.findings[faults:]) else made


def _fields(document: Document, page: Page, path: str) -> dict[str, str]:
    made: dict[str, str] = {}
    for at, one in enumerate(page.pages("fields")):
        name, kind = str(one.take("name", "")), str(one.take("type", ""))
        one.take("description"), one.take("optional")
        if not name or name in made:
            document.broken(
                f"{path}[{at}].name",
                f"duplicate field name '{name}'" if name else "event field name is required",
            )
        elif kind not in _TYPES:
            document.broken(f"{path}[{at}].type", f"invalid field type '{kind}' for field '{name}'")
        made[name] = kind
    return made


def _requirements(
    document: Document, page: Page, path: str, machine: str
) -> list[tuple[str, str, bool, list[tuple[str, str]]]]:
    for key, later in (("min_tracee_version", True), ("max_tracee_version", False)):
        asked = _version(document, page, key, f"{path}.{key}")
        if asked is not None and (asked > SPEAKS if later else asked < SPEAKS and asked != (0, 0, 0)):
            spoken = ".".join(map(str, SPEAKS))
            document.unsupported(
                f"{path}.{key}",
                f"it asks for another version of Tracee than {spoken}, whose files are understood here",
            )
    machines = texts_of(page, "architectures")
    if machines and machine not in {_MACHINES.get(one) for one in machines}:
        document.broken(f"{path}.architectures", f"it is not for {machine}")
    _enrichments(document, page, f"{path}.enrichments")
    page.take("data_stores")
    made: list[tuple[str, str, bool, list[tuple[str, str]]]] = []
    for at, one in enumerate(page.pages("events")):
        here = f"{path}.events[{at}]"
        name, dependency = str(one.take("name", "") or ""), str(one.take("dependency", "required"))
        if not name or any(name == other for _, other, _, _ in made):
            document.broken(
                f"{here}.name",
                f"duplicate event requirement '{name}'" if name else "event requirement name is required",
            )
        if dependency not in {"required", "optional"}:
            document.broken(f"{here}.dependency", f"invalid dependency type '{dependency}'")
        for key in ("min_version", "max_version"):
            _version(document, one, key, f"{here}.{key}")
        one.take("version_constraints")
        filters = [(f"{here}.filters[{index}]", text) for index, text in enumerate(texts_of(one, "filters"))]
        for key, prefix in (("data_filters", "data."), ("scope_filters", "scope.")):
            filters += [
                (f"{here}.{key}[{index}]", text if text.startswith(prefix) else prefix + text)
                for index, text in enumerate(texts_of(one, key))
            ]
        made.append((here, name, dependency == "required", filters))
    if not made:
        document.broken(f"{path}.events", "at least one event requirement is required")
    return made


def _version(document: Document, page: Page, key: str, path: str) -> tuple[int, int, int] | None:
    text = str(page.take(key, "") or "")
    if not text:
        return None
    found = _VERSION.match(text)
    if found is None:
        document.broken(path, f"invalid version {text!r}")
        return None
    return int(found[1]), int(found[2]), int(found[3] or 0)


def _enrichments(document: Document, page: Page, path: str) -> None:
    value = page.take("enrichments", [])
    for at, one in enumerate(value if isinstance(value, list) else []):
        name = one.get("name") if isinstance(one, Mapping) else one
        required = not isinstance(one, Mapping) or one.get("dependency", "required") == "required"
        if name == "exec-hash" and required:
            document.unsupported(
                f"{path}[{at}]", "executables are not hashed: fields that hold a hash are absent"
            )
        elif name not in {"exec-env", "environment", "exec-hash", "executable-hash", "container"}:
            document.broken(f"{path}[{at}]", f"unknown enrichment '{name}'")


def _outputs(document: Document, page: Page, path: str) -> list[tuple[str, str, str, bool]]:
    made: list[tuple[str, str, str, bool]] = []
    for key, source in (("fields", "expression"), ("extract_fields", "source")):
        for at, one in enumerate(page.pages(key)):
            here = f"{path}.{key}[{at}]"
            name = str(one.take("name", "") or "")
            text = str(one.take(source) or one.take("expression" if source == "source" else "source") or "")
            if not name or any(name == other for _, other, _, _ in made):
                document.broken(
                    f"{here}.name",
                    f"duplicate output field name '{name}'" if name else "output field name is required",
                )
            if not text:
                document.broken(f"{here}.{source}", f"output field '{name}' {source} is required")
            made.append((here, name, text, bool(one.take("optional", False))))
    return made


def _threat(document: Document, spec: Page, path: str, name: str) -> dict[str, Any] | None:
    if not isinstance(spec.take("threat"), Mapping):
        return None
    page = spec.page("threat")
    level, description = str(page.take("severity", "") or "").lower(), str(page.take("description", "") or "")
    if level not in {*LEVELS, "info", "informational"}:
        document.broken(
            f"{path}.severity", "threat.severity is required" if not level else f"invalid severity '{level}'"
        )
    mitre = page.take("mitre", {})
    technique = _inner(mitre, "technique", "id")
    tactic = _inner(mitre, "tactic", "name")
    properties = page.take("properties", {})
    return {
        "name": str(page.take("name", "") or description or name),
        "description": description,
        "severity": LEVELS.index(level) if level in LEVELS else 0,
        "technique": technique,
        "technique_name": _inner(mitre, "technique", "name")
        if isinstance(_part(mitre, "technique"), Mapping)
        else "",
        "tactic": tactic,
        "properties": dict(properties) if isinstance(properties, Mapping) else {},
        "tags": tuple(
            one
            for one in (name, technique, f"mitre_{tactic.lower().replace(' ', '_')}" if tactic else "")
            if one
        ),
    }


def _part(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _inner(value: Any, key: str, name: str) -> str:
    """The text under a key, written plainly or as a mapping with a name or id."""
    found = _part(value, key)
    if isinstance(found, Mapping):
        found = found.get(name)
    return found if isinstance(found, str) else ""


def _populate(page: Page) -> frozenset[str]:
    return frozenset(one for one in ("threat", "detected_from", "process_ancestry") if page.take(one) is True)


def _agree(made: Draft) -> None:
    """Note outputs that the event does not declare."""
    for path, name, _, optional in made.outputs:
        if made.fields and name not in made.fields and not optional:
            made.document.broken(
                f"{path}.name", f"extracted field '{name}' not declared in produced_event.fields"
            )


# ---- from drafts to events --------------------------------------------------------------------------------------------


def assemble(
    drafts: Sequence[Draft], sorts: Mapping[str, Sort], lists: Mapping[str, Sequence[str]], begun: int = 0
) -> dict[str, Sort]:
    """Return the detectors as events, by name; each may be made of others."""
    named: dict[str, Draft] = {}
    ids: set[str] = set()
    for one in drafts:
        if one.name in named or one.name in sorts:
            one.document.broken(f"{one.path}.produced_event.name", f"event {one.name} exists already")
        elif one.id in ids:
            one.document.broken(f"{one.path}.id", f"detector {one.id} exists already")
        else:
            named[one.name] = one
            ids.add(one.id)
    maker = _Maker(named, sorts, lists, begun)
    for name in named:
        maker.sort(name, ())
    return {name: one for name, one in maker.made.items() if one is not None}


@dataclass(slots=True)
class _Maker:
    named: Mapping[str, Draft]
    sorts: Mapping[str, Sort]
    lists: Mapping[str, Sequence[str]]
    begun: int
    made: dict[str, Sort | None] = field(default_factory=dict)

    def sort(self, name: str, above: tuple[str, ...]) -> Sort | None:
        """The event of that name; detectors are made as they are asked for."""
        if name not in self.named:
            return self.sorts.get(name)
        if name not in self.made:
            if name in above or len(above) > _MOST_STEPS:
                return None
            self.made[name] = self._make(self.named[name], (*above, name))
        return self.made[name]

    def _make(self, one: Draft, above: tuple[str, ...]) -> Sort | None:
        faults = len(one.document.findings)
        steps = [step for step in (self._step(one, *event, above) for event in one.events) if step]
        conditions = [self._compiled(one, path, text, condition=True) for path, text in one.conditions]
        outputs = [
            Output(
                name=name, type=one.fields.get(name, "string"), optional=optional,
                find=self._compiled(one, f"{path}.expression", text, condition=False),
            )
            for path, name, text, optional in one.outputs
        ]  # fmt: skip
        if not steps or any(found.rule == "policy.broken" for found in one.document.findings[faults:]):
            return None
        return Detected(
            id=one.id, name=one.name, version=one.version, description=one.description, sets=("detectors", *one.tags), steps=tuple(steps),
            conditions=tuple(conditions), outputs=tuple(outputs), threat=one.threat, populate=one.populate, lists=self.lists,
        )  # fmt: skip

    def _step(
        self,
        one: Draft,
        path: str,
        name: str,
        required: bool,
        filters: list[tuple[str, str]],
        above: tuple[str, ...],
    ) -> Step | None:
        sort = self.sort(name, above)
        if sort is None or sort.why_not:
            why = (
                f"event {name} is not valid"
                if sort is None
                else f"{name} cannot be seen here: {sort.why_not}"
            )
            (one.document.broken if required else one.document.unsupported)(f"{path}.name", why)
            return None
        wanted: dict[str, Texts] = {}
        scope = Scope(begun=self.begun, owner=f"tracee/detector/{one.id}")
        for here, text in filters:
            try:
                key, operator, values = split(text)
                if key.startswith(("data.", "args.")):
                    add_data_filter(sort, key.partition(".")[2], operator, values, wanted)
                else:
                    scope.rule(text)
            except (BadFilter, Unsupported) as error:
                one.document.broken(here, f"{text}: {error}")
        return Step(sort=sort, wanted=wanted, scope=scope)

    def _compiled(
        self, one: Draft, path: str, text: str, *, condition: bool
    ) -> Callable[[Mapping[str, Any]], Any]:
        try:
            return expressions.compile_expression(text, self.lists, condition=condition)
        except expressions.BadCondition as error:
            one.document.broken(path, str(error))
            return lambda _: None
