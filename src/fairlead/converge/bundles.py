"""Bundles: several packages that belong together, in the order in which they need each other, on several clusters in order.

A bundle is a document of kind Bundle. Any text among its values may hold `${...}`: an expression of CEL over `env` (the variables of the
environment that the bundle lists, and no others), `cluster` (name and group), `values` (read from objects of the cluster) and
`instances.<name>.<export>` (what an instance exports once it is healthy). A text that is one expression and nothing else takes
the value's type. Nothing here reads a file, a cluster or the environment: what they say is handed in.
"""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead.tongues import cel
from fairlead.words import Page, Ref, Resource, Where

API_VERSION: Final = "fairlead.dev/v1alpha1"
KIND: Final = "Bundle"

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BUDGET: Final = 1_000_000
NOWHERE: Final = Where()
_ROOTS: Final = ("env", "cluster", "values", "instances")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a bundle, and where."""

    message: str
    where: Where

    def __str__(self) -> str:
        """The place and the message in one line."""
        return f"{self.where}: {self.message}" if str(self.where) else self.message


class BadBundle(ValueError):
    """A document is no bundle, or its expressions cannot be settled. Carries everything that was found."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Reading:
    """A value that is read from an object: `value` is CEL over `object`. With a default, the object may be absent."""

    name: str
    ref: Ref
    api_version: str
    value: str
    default: Any = None
    optional: bool = False
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of a bundle: what is applied as which name, with which values, after whom, and what it exports."""

    name: str
    source: str
    namespace: str
    version: str = ""
    digest: str = ""
    values: Any = None
    files: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    exports: tuple[Reading, ...] = ()
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a bundle goes: a name, a group, and the context of the kubeconfig ("": the current one)."""

    name: str = ""
    group: str = ""
    context: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Members in the order in which they are applied, and the clusters in theirs."""

    name: str
    members: tuple[Member, ...]
    clusters: tuple[Cluster, ...] = (Cluster(),)
    readings: tuple[Reading, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    """The variables that expressions may use, with what they are where they are not set (None: they must be)."""
    expressions: bool = True
    """Whether texts among the values may hold expressions; a bundle of another format has had its own."""


def read(content: Mapping[str, Any], locate: Callable[[str], Where]) -> Bundle:
    """Return the bundle that a document says, its members in order. Raises BadBundle with everything that is wrong."""
    reader = _Reader(locate)
    bundle = reader.bundle(Page(content))
    if reader.faults:
        raise BadBundle(*reader.faults)
    return bundle


def ordered(members: Sequence[Member]) -> tuple[Member, ...]:
    """Return members so that each comes after those that it needs, otherwise as they were written. Raises BadBundle for a circle."""
    places = {each.name: place for place, each in enumerate(members)}
    waits = [sum(name in places for name in each.after) for each in members]
    needed: dict[str, list[int]] = {}
    for place, each in enumerate(members):
        for name in each.after:
            needed.setdefault(name, []).append(place)
    ready = [place for place, count in enumerate(waits) if not count]
    done: list[Member] = []
    while ready:
        done.append(members[heapq.heappop(ready)])
        for place in needed.get(done[-1].name, ()):
            waits[place] -= 1
            if not waits[place]:
                heapq.heappush(ready, place)
    if len(done) < len(members):
        left = [each for each, count in zip(members, waits, strict=True) if count]
        raise BadBundle(Fault(f"these wait for each other: {' -> '.join(_circle(left))}", left[0].where))
    return tuple(done)


def settle(tree: Any, facts: Mapping[str, Any], where: Where) -> Any:
    """Return values with each `${...}` replaced by what it says of the facts (`env`, `cluster`, `values`, `instances`).

    Raises BadBundle with every expression that cannot be evaluated. `$${` stands for a `${` that is left alone.
    """
    faults: list[Fault] = []

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {key: walk(part, f"{path}.{key}") for key, part in value.items()}
        if isinstance(value, list):
            return [walk(part, f"{path}[{index}]") for index, part in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            try:
                return _filled(value, facts)
            except ValueError as fault:
                faults.append(Fault(str(fault), Where(where.file, where.line, path)))
        return value

    found = walk(tree, where.path)
    if faults:
        raise BadBundle(*faults)
    return found


def taken(reading: Reading, found: Resource | None) -> Any:
    """Return the value that is read from an object. Raises BadBundle where it is absent, or has no such value."""
    if found is None:
        if reading.optional:
            return reading.default
        raise BadBundle(Fault(f"{reading.ref} is not there, so {reading.name!r} has no value", reading.where))
    try:
        return _evaluated(reading.value, {"object": found})
    except ValueError as fault:
        if reading.optional:
            return reading.default
        raise BadBundle(Fault(f"{reading.ref}: {fault}", reading.where)) from fault


def used(member: Member) -> frozenset[str]:
    """Return the names of the members whose exports the member's values use."""
    return frozenset(
        name
        for text in _texts(member.values)
        for expression in _expressions(text)
        for name in re.findall(r"\binstances(?:\.|\[[\"'])([a-z0-9][-a-z0-9_]*)", expression)
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


def _expressions(text: str) -> Iterator[str]:
    for piece in _pieces(text):
        if isinstance(piece, tuple):
            yield piece[0]


def _pieces(text: str) -> list[str | tuple[str]]:
    """Return the plain parts of a text, and in tuples the expressions between `${` and the `}` that closes it."""
    found: list[str | tuple[str]] = []
    at = 0
    while at < len(text):
        begin = text.find("${", at)
        if begin < 0:
            break
        if begin > 0 and text[begin - 1] == "$":
            found.append(text[at : begin - 1] + "${")
            at = begin + 2
            continue
        end = _end(text, begin + 2)
        found += [text[at:begin], (text[begin + 2 : end].strip(),)]
        at = end + 1
    return [*found, text[at:]]


def _end(text: str, begin: int) -> int:
    """Return where the expression that begins there is closed: braces nest, and quotes hide them."""
    depth, quote, at = 0, "", begin
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\":
                at += 1
            elif letter == quote:
                quote = ""
        elif letter in "\"'":
            quote = letter
        elif letter == "{":
            depth += 1
        elif letter == "}":
            if not depth:
                return at
            depth -= 1
        at += 1
    raise ValueError(
        f"${{ is never closed in {text[max(begin - 2, 0) : begin + 40]!r}; write $${{ for the text itself"
    )


def _filled(text: str, facts: Mapping[str, Any]) -> Any:
    pieces = [piece for piece in _pieces(text) if piece != ""]
    if len(pieces) == 1 and isinstance(pieces[0], tuple):
        return _evaluated(pieces[0][0], facts)
    return "".join(
        piece if isinstance(piece, str) else _as_text(_evaluated(piece[0], facts)) for piece in pieces
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _evaluated(expression: str, facts: Mapping[str, Any]) -> Any:
    environment = cel.Environment(variables=tuple(facts), libraries=cel.kubernetes.LIBRARIES)
    try:
        program = environment.compile(expression)
        return cel.to_json(program(dict(facts), budget=_BUDGET))
    except (cel.BadExpression, cel.Failed, cel.TooCostly) as fault:
        raise ValueError(f"${{{expression}}}: {fault}") from fault


def _compiled(values: Any) -> None:
    """Raise ValueError for the first expression that can never be evaluated."""
    environment = cel.Environment(variables=_ROOTS, libraries=cel.kubernetes.LIBRARIES)
    for text in _texts(values):
        for expression in _expressions(text):
            try:
                environment.compile(expression)
            except cel.BadExpression as fault:
                raise ValueError(f"${{{expression}}}: {fault}") from fault


def _circle(left: Sequence[Member]) -> list[str]:
    """Return names that lead back to the first of them."""
    by_name = {each.name: each for each in left}
    trail = {left[0].name: 0}
    while True:
        step = next(name for name in by_name[next(reversed(trail))].after if name in by_name)
        if step in trail:
            return [*list(trail)[trail[step] :], step]
        trail[step] = len(trail)


class _Reader:
    """Reads one document and gathers what is wrong with it."""

    def __init__(self, locate: Callable[[str], Where]) -> None:
        self.faults: list[Fault] = []
        self._locate = locate

    def bundle(self, page: Page) -> Bundle:
        if page.take("apiVersion") != API_VERSION or page.take("kind") != KIND:
            self._fault(page, "apiVersion", f"a bundle has apiVersion {API_VERSION} and kind {KIND}")
        meta, spec = page.page("metadata"), page.page("spec")
        name = self._name(meta, "name")
        members = [self._member(each) for each in spec.pages("instances")]
        clusters = tuple(self._cluster(each) for each in spec.pages("clusters"))
        readings = tuple(self._reading(each) for each in spec.pages("values"))
        environment = dict(self._variables(spec))
        if not members:
            self._fault(spec, "instances", "a bundle has at least one instance")
        self._twice(spec, "instances", [each.name for each in members])
        self._twice(spec, "clusters", [each.name for each in clusters])
        known = {each.name for each in members}
        for each in members:
            for other in each.after:
                if other not in known or other == each.name:
                    self.faults.append(
                        Fault(f"it needs {other!r}, which is no other instance of this bundle", each.where)
                    )
        for where in page.left():
            self.faults.append(Fault("there is no such field in a bundle", self._locate(where.path)))
        if not self.faults:
            try:
                members = list(ordered(members))
            except BadBundle as fault:
                self.faults += fault.faults
        return Bundle(name, tuple(members), clusters or (Cluster(),), readings, environment)

    def _member(self, page: Page) -> Member:
        name = self._name(page, "name")
        source = self._text(page, "source")
        digest = self._text(page, "digest", "")
        if digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            self._fault(page, "digest", f"{digest!r} is not a digest: sha256: and 64 hexadecimal digits")
        found = Member(
            name,
            source,
            self._text(page, "namespace", "default"),
            self._text(page, "version", ""),
            digest,
            page.take("values", {}),
            tuple(page.texts("valuesFiles")),
            (),
            tuple(self._reading(each, space=False) for each in page.pages("exports")),
            self._locate(page.where.path),
        )
        try:
            _compiled(found.values)
            after = {*page.texts("dependsOn"), *used(found)}
        except ValueError as fault:
            self._fault(page, "values", str(fault))
            after = set()
        for each in found.exports:
            if not _WORD.fullmatch(each.name):
                self._fault(page, "exports", f"{each.name!r} is no name for an export: letters, digits and _")
        exports = tuple(_in_space(each, found.namespace) for each in found.exports)
        return Member(
            found.name,
            found.source,
            found.namespace,
            found.version,
            found.digest,
            found.values,
            found.files,
            tuple(sorted(after)),
            exports,
            found.where,
        )

    def _cluster(self, page: Page) -> Cluster:
        return Cluster(
            self._text(page, "name"), self._text(page, "group", ""), self._text(page, "context", "")
        )

    def _reading(self, page: Page, *, space: bool = True) -> Reading:
        target = page.page("object")
        api_version = self._text(target, "apiVersion")
        ref = Ref(
            api_version.rpartition("/")[0],
            self._text(target, "kind"),
            self._text(target, "namespace", ""),
            self._text(target, "name"),
        )
        value = self._text(page, "value")
        try:
            cel.Environment(variables=("object",), libraries=cel.kubernetes.LIBRARIES).compile(
                value or "null"
            )
        except cel.BadExpression as fault:
            self._fault(page, "value", f"it is no expression of CEL: {fault}")
        optional = "default" in page.keys() or bool(page.take("optional", False))  # noqa: SIM118  a Page is no mapping
        name = self._text(page, "name")
        if space and not _WORD.fullmatch(name):
            self._fault(page, "name", f"{name!r} is no name for a value: letters, digits and _")
        return Reading(
            name, ref, api_version, value, page.take("default"), optional, self._locate(page.where.path)
        )

    def _variables(self, page: Page) -> Iterator[tuple[str, str | None]]:
        found = page.take("environment", [])
        for index, each in enumerate(found if isinstance(found, list) else [found]):
            if isinstance(each, str) and _WORD.fullmatch(each):
                yield each, None
            elif (
                isinstance(each, dict)
                and each.keys() == {"name", "default"}
                and isinstance(each["default"], str)
            ):
                yield str(each["name"]), each["default"]
            else:
                path = f"{page.where.path}.environment[{index}]"
                told = "a variable is its name, or {name: NAME, default: text}"
                self.faults.append(Fault(told, self._locate(path)))

    def _name(self, page: Page, key: str) -> str:
        found = self._text(page, key)
        if found and not _NAME.fullmatch(found):
            self._fault(page, key, f"{found!r} is no name: small letters, digits and -, at most 63")
        return found

    def _text(self, page: Page, key: str, default: str | None = None) -> str:
        found = page.take(key, default)
        if found is None:
            self._fault(page, key, "it is missing")
            return ""
        if not isinstance(found, str):
            self._fault(page, key, f"it must be a text, and is {json.dumps(found)[:60]}")
            return ""
        return found

    def _twice(self, page: Page, key: str, names: Sequence[str]) -> None:
        for name in sorted(name for name, count in Counter(names).items() if name and count > 1):
            self._fault(page, key, f"there are two of the name {name!r}")

    def _fault(self, page: Page, key: str, message: str) -> None:
        self.faults.append(Fault(message, self._locate(f"{page.where.path}.{key}")))


def _in_space(reading: Reading, namespace: str) -> Reading:
    """Return an export about an object in the instance's own namespace, unless it names another."""
    ref = reading.ref
    inside = Ref(ref.group, ref.kind, ref.namespace or namespace, ref.name)
    return Reading(
        reading.name,
        inside,
        reading.api_version,
        reading.value,
        reading.default,
        reading.optional,
        reading.where,
    )
