"""Assign, AssignMetadata, ModifySet and AssignImage: from a document to a Mutator. Nothing is changed here.

Source: github.com/open-policy-agent/gatekeeper pkg/mutation/mutators (assign, assignmeta, modifyset, assignimage), error
texts included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from fairlead.dialects.gatekeeper import locations
from fairlead.dialects.gatekeeper.changing import (
    NOTHING,
    Change,
    Setter,
    assigning,
    image_faults,
    imaging,
    merging,
    pruning,
    same,
)
from fairlead.dialects.gatekeeper.locations import BadLocation, Location
from fairlead.dialects.gatekeeper.matching import EVERYTHING, Match, Origin, compile_match, meta_of
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.words import Finding, Page, Ref, Resource

Binding: TypeAlias = tuple[str, str, str]
"""A group, version and kind."""

Terminal: TypeAlias = Literal["unknown", "set", "string"]
"""What a mutator takes the value at its location for."""

_LONGEST_NAME: Final = 63


@dataclass(frozen=True, slots=True, eq=False)
class Mutator:
    """One mutator. `bindings` is None where it is for every kind (AssignMetadata), and then it implies no schema."""

    source: Source
    ref: Ref
    location: Location
    terminal: Terminal
    match: Match
    bindings: frozenset[Binding] | None
    change: Callable[[Resource], Change]
    of_operation: Mapping[Binding, frozenset[str] | None] = field(default_factory=dict)

    @property
    def order(self) -> tuple[str, str, str]:
        """What mutators are ordered by: kind, then name."""
        return (self.ref.kind, self.ref.namespace, self.ref.name)

    def __str__(self) -> str:
        return f"{self.ref.kind}.{self.ref.group} /{self.ref.name}"

    def concerns(self, binding: Binding, operation: str | None = None) -> bool:
        """Whether it may be for objects of a kind at all; an operation of None is any."""
        if self.bindings is None:
            return self.match.kinds(binding[0], binding[2])
        if binding not in self.bindings or not self.match.kinds(binding[0], binding[2]):
            return False
        operations = self.of_operation.get(binding)
        return operation is None or operations is None or operation in operations

    def applies(self, object_: Resource, space: Resource | None, origin: Origin) -> bool:
        """Whether it is for this object. Raises Unmatchable."""
        return self.match.matches(object_, space, origin)


@dataclass(slots=True)
class _Draft:
    """What every kind of mutator has in its document."""

    source: Source
    page: Page
    spec: Page = field(init=False)
    parameters: Page = field(init=False)
    findings: list[Finding] = field(default_factory=list)
    location: Location = ()
    match: Match = EVERYTHING
    bindings: frozenset[Binding] | None = None
    of_operation: dict[Binding, frozenset[str] | None] = field(default_factory=dict)
    tests: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.page.take("metadata")
        self.spec = self.page.page("spec")
        self.parameters = self.spec.page("parameters")

    @property
    def kind(self) -> str:
        return self.source.ref.kind

    @property
    def name(self) -> str:
        return self.source.ref.name

    def fault(self, path: str, message: str) -> None:
        self.findings.append(broken(self.source, path, message))

    def read(self, *, bound: bool = True) -> None:
        """Take name, location, match and applyTo."""
        if len(self.name) > _LONGEST_NAME:
            self.fault(".metadata.name", "maximum name length is 63 characters")
        text = self.spec.take("location", "")
        try:
            self.location = locations.parse(text if isinstance(text, str) else "")
        except BadLocation as error:
            self.fault(
                ".spec.location", f"invalid location format `{text}` for {self.kind} {self.name}: {error}"
            )
            return
        if not self.location:
            self.fault(".spec.location", "empty path")
        if bound:
            self._apply_to()
            if locations.is_metadata(self.location):
                self.fault(".spec.location", f"{self.kind.lower()} {self.name} can't change metadata")
        self.match, findings = compile_match(self.spec.page("match"), self.source)
        self.findings += findings

    def _apply_to(self) -> None:
        bindings: dict[Binding, frozenset[str] | None] = {}
        pages = self.spec.pages("applyTo")
        for page in pages:
            groups, versions, kinds = (page.texts(key) for key in ("groups", "versions", "kinds"))
            operations = page.texts("operations")
            if not groups or not versions or not kinds:
                self.fault(
                    page.where.path,
                    f"invalid applyTo for {self.kind} mutator {self.name}, all of group, version and kind must be "
                    "specified",
                )
            found = frozenset(operations) if operations and "*" not in operations else None
            for group in groups:
                for version in versions:
                    for kind in kinds:
                        binding = (group, version, kind)
                        before = bindings.get(binding, found)
                        both = before | found if before is not None and found is not None else None
                        bindings[binding] = both
        if not pages:
            self.fault(".spec.applyTo", f"applyTo required for {self.kind} mutator {self.name}")
        self.bindings = frozenset(bindings)
        self.of_operation = bindings

    def path_tests(self) -> None:
        """Take the conditions on the way to the location."""
        given = [
            (str(one.take("subPath", "")), str(one.take("condition", "")))
            for one in self.parameters.pages("pathTests")
        ]
        try:
            self.tests = locations.conditions_of(self.location, given)
        except BadLocation as error:
            self.fault(".spec.parameters.pathTests", str(error))

    def checked(self, check: Callable[..., None], *more: Any) -> None:
        """Run a check on the location, if there is one."""
        if self.location:
            try:
                check(self.location, *more)
            except BadLocation as error:
                self.fault(".spec.location", str(error))

    def made(
        self, terminal: Terminal, change: Callable[[Resource], Change]
    ) -> tuple[list[Mutator], list[Finding]]:
        """Return the mutator, unless something is wrong with it, and all findings."""
        more = unsupported(self.page, self.source)
        if self.findings:
            return [], self.findings + more
        mutator = Mutator(
            self.source,
            self.source.ref,
            self.location,
            terminal,
            self.match,
            self.bindings,
            change,
            self.of_operation,
        )
        return [mutator], more


def _assign_field(draft: _Draft) -> tuple[str, Any]:
    """Take `assign`: ("value", v), ("fromMetadata", field), or ("", None) with a finding."""
    page = draft.parameters.page("assign")
    path = page.where.path
    raw: Any = draft.source.content
    for key in ("spec", "parameters", "assign"):
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    raw = raw if isinstance(raw, Mapping) else {}
    given = [key for key in ("value", "fromMetadata", "externalData") if key in raw]
    for key in given:
        page.take(key)
    if not given:
        draft.fault(
            path, "assign must set one of `externalData`, `value` or `fromMetadata`: invalid assign field"
        )
    elif len(given) > 1:
        draft.fault(
            path,
            "assign must only set one of `externalData`, `value` or `fromMetadata`: invalid assign field",
        )
    elif given == ["externalData"]:
        draft.fault(
            f"{path}.externalData",
            f"{path}.externalData is not supported: a provider would have to be asked during the mutation",
        )
    elif given == ["fromMetadata"]:
        name = raw["fromMetadata"].get("field") if isinstance(raw["fromMetadata"], Mapping) else None
        if name not in {"name", "namespace"}:
            draft.fault(f"{path}.fromMetadata", f"field {name} is not recognized: invalid fromMetadata field")
        return "fromMetadata", name
    else:
        return "value", raw["value"]
    return "", None


def _conditional(draft: _Draft) -> Callable[[Setter], Setter]:
    """Take `assignIf`: the values that must, or must not, be there before (a field of older versions)."""
    page = draft.parameters.page("assignIf")
    wanted, unwanted = page.take("in"), page.take("notIn")
    if wanted is None and unwanted is None:
        return lambda setter: setter

    def conditional(setter: Setter) -> Setter:
        def change(before: Any, exists: bool) -> Any:
            if wanted is not None and not (exists and any(same(before, one) for one in wanted)):
                return NOTHING
            if unwanted is not None and exists and any(same(before, one) for one in unwanted):
                return NOTHING
            return setter(before, exists)

        return change

    return conditional


def assign(source: Source) -> tuple[list[Mutator], list[Finding]]:
    """Read an Assign: puts a value anywhere but into metadata."""
    draft = _Draft(source, source.page())
    draft.read()
    draft.path_tests()
    draft.checked(locations.check_key)
    sort, value = _assign_field(draft)
    if sort == "value":
        draft.checked(locations.check_value, value)
    elif draft.location and isinstance(draft.location[-1], locations.Item):
        draft.fault(".spec.parameters.assign", "cannot assign a metadata field to a list")
    wrap = _conditional(draft)
    location, tests = draft.location, draft.tests
    if sort == "fromMetadata":

        def from_metadata(object_: Resource) -> Change:
            return Change(location, tests, wrap(assigning(meta_of(object_).get(value) or "")))

        return draft.made("unknown", from_metadata)
    made = Change(location, tests, wrap(assigning(value)), lambda: value) if location else None
    return draft.made("unknown", lambda _: _there(made))


def _there(change: Change | None) -> Change:
    assert change is not None
    return change


def assign_metadata(source: Source) -> tuple[list[Mutator], list[Finding]]:
    """Read an AssignMetadata: adds a label or an annotation, and never changes one."""
    draft = _Draft(source, source.page())
    draft.read(bound=False)
    location = draft.location
    fits = (
        len(location) == 3
        and location[0] == locations.Field("metadata")
        and location[1] in {locations.Field("labels"), locations.Field("annotations")}
        and isinstance(location[2], locations.Field)
    )
    if location and not fits:
        text = locations.told(location)
        draft.fault(".spec.location", f"invalid location for assignmetadata {draft.name}: {text}")
    sort, value = _assign_field(draft)
    if sort == "value" and not isinstance(value, str):
        draft.fault(
            ".spec.parameters.assign.value",
            f'spec.parameters.assign.value field must be a string for AssignMetadata "{draft.name}"',
        )
    absent = {2: "MustNotExist"}
    if sort == "fromMetadata":
        return draft.made(
            "unknown",
            lambda object_: Change(location, absent, assigning(meta_of(object_).get(value) or "")),
        )
    made = Change(location, absent, assigning(value)) if location else None
    return draft.made("unknown", lambda _: _there(made))


def modify_set(source: Source) -> tuple[list[Mutator], list[Finding]]:
    """Read a ModifySet: adds values to a list, or takes them out."""
    draft = _Draft(source, source.page())
    draft.read()
    draft.path_tests()
    if draft.location and isinstance(draft.location[-1], locations.Item):
        draft.fault(".spec.location", "final node in a modifyset location cannot be a keyed list")
    operation = draft.parameters.take("operation", "merge")
    values = draft.parameters.page("values").take("fromList", [])
    if not isinstance(values, list):
        draft.fault(".spec.parameters.values.fromList", ".spec.parameters.values.fromList must be a list")
        values = []
    if operation not in {"merge", "prune"}:
        draft.fault(".spec.parameters.operation", f"unrecognized operation for modifyset: {operation}")
    setter = pruning(values) if operation == "prune" else merging(values)
    made = Change(draft.location, draft.tests, setter) if draft.location else None
    return draft.made("set", lambda _: _there(made))


def assign_image(source: Source) -> tuple[list[Mutator], list[Finding]]:
    """Read an AssignImage: replaces the registry, the path or the tag of an image."""
    draft = _Draft(source, source.page())
    draft.read()
    draft.path_tests()
    if draft.location and isinstance(draft.location[-1], locations.Item):
        draft.fault(".spec.location", f"assignImage {draft.name} cannot mutate list-type fields")
    draft.checked(locations.check_key)
    domain, path, tag = (
        str(draft.parameters.take(key, "")) for key in ("assignDomain", "assignPath", "assignTag")
    )
    faults = image_faults(domain, path, tag)
    if faults:
        draft.fault(".spec.parameters", f"assignImage {draft.name} has invalid parameters: {faults}")
    made = Change(draft.location, draft.tests, imaging(domain, path, tag)) if draft.location else None
    return draft.made("string", lambda _: _there(made))


READERS: Mapping[str, Callable[[Source], tuple[list[Mutator], list[Finding]]]] = {
    "Assign": assign,
    "AssignMetadata": assign_metadata,
    "ModifySet": modify_set,
    "AssignImage": assign_image,
}
"""The reader of each kind of mutator."""


def ordered(mutators: Sequence[Mutator]) -> tuple[Mutator, ...]:
    """Return the mutators in the order in which they run; of two with one name, the later document counts."""
    last = {one.ref: one for one in mutators}
    return tuple(sorted(last.values(), key=lambda one: one.order))
