"""Tracee's policies: a scope and rules, each an event with filters and actions, as `kind: Policy` and in the older plain form.

Reads documents into rules of sense. What is wrong or cannot be seen becomes a finding with its path, and the rest is used; a policy whose scope
is wrong is not, since it would watch too much or too little. Never raises over a document's content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fairlead.dialects.tracee.events import of_set
from fairlead.dialects.tracee.filters import BadFilter, Numbers, Texts, both, split
from fairlead.dialects.tracee.happenings import Data, Sort
from fairlead.dialects.tracee.scopes import Scope, Unsupported
from fairlead.sense.behaviours import LEVELS, SEVERITIES
from fairlead.sense.events import Event, printable
from fairlead.sense.plans import What
from fairlead.sense.rules import Rule
from fairlead.words import Finding, Page, Ref, Severity, Where

KINDS = {("tracee.aquasec.com/v1beta1", "Policy"), ("aquasecurity.github.io/v1beta1", "TraceePolicy")}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\Z")
_ACTIONS = re.compile(r"(?:log|print|none|webhook(?::.*)?|forward(?::.*)?)\Z")
_NOWHERE = Where()
_SEVERITIES = {name: at for at, name in enumerate(LEVELS)} | {str(at): at for at in range(5)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a rule of Tracee's is, kept with the house's rule: for its output. `policies` are the names it prints."""

    sort: Sort
    policies: tuple[str, ...]
    actions: tuple[str, ...] = ("print",)
    description: str = ""


@dataclass(slots=True)
class Document:
    """One document that is being read: where it lies, and what was found wrong in it."""

    page: Page
    ref: Ref
    findings: list[Finding] = field(default_factory=list)
    locate: Callable[[str], Where] = lambda path: Where(path=path)

    def broken(self, path: str, message: str) -> None:
        """Note that a part cannot be used as it is written."""
        self._note("policy.broken", Severity.CRITICAL, path, message)

    def unsupported(self, path: str, message: str) -> None:
        """Note that a part is right but cannot be done here."""
        self._note("policy.unsupported", Severity.WARNING, path, message)

    def _note(self, rule: str, severity: Severity, path: str, message: str) -> None:
        where = self.locate(path)
        self.findings.append(
            Finding(rule=rule, severity=severity, subject=self.ref, message=message, where=where)
        )

    def left(self) -> None:
        """Note every field that nobody took."""
        for place in self.page.left():
            self.unsupported(place.path, f"{place.path} is not supported: it is read as if it were not there")


def texts_of(page: Page, key: str) -> list[str]:
    """Return a list of texts; numbers and truth values in it count as texts, as in YAML."""
    value = page.take(key, [])
    return (
        [str(one) for one in value if isinstance(one, str | int | float)] if isinstance(value, list) else []
    )


def policy(document: Document, sorts: Mapping[str, Sort], begun: int = 0) -> list[Rule]:
    """Return the rules of one policy."""
    page, plain = document.page, "spec" not in document.page.keys()  # noqa: SIM118 - Page is no mapping
    page.take("apiVersion"), page.take("kind"), page.take("status")
    meta = page.page("metadata")
    name = str((page.take("name") if plain else None) or meta.take("name", "") or "")
    notes = meta.take("annotations", {})
    description = str(
        page.take("description") or (notes.get("description") if isinstance(notes, Mapping) else "") or ""
    )
    for one in (
        "labels",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "namespace",
        "managedFields",
    ):
        meta.take(one)
    page.take("type") if plain else None
    if not name or (not plain and not _NAME.match(name)):
        document.broken(".metadata.name" if not plain else ".name", f"policy name {name!r} is invalid")
        return []
    spec, root = (page, "") if plain else (page.page("spec"), ".spec")
    actions = _actions(document, spec, "defaultActions", root)
    scope = Scope(begun=begun, owner=f"tracee/{name}")
    scopes = texts_of(spec, "scope")
    if not scopes:
        document.broken(f"{root}.scope", f"policy {name}, scope cannot be empty")
    faults = scope.policy(scopes)
    for at, why in faults:
        document.broken(f"{root}.scope[{at}]", f"policy {name}, {scopes[at]}: {why}")
    pages = spec.pages("rules")
    if not pages:
        document.broken(f"{root}.rules", f"policy {name}, rules cannot be empty")
    reader = _Rules(document, name, description, sorts, scope, actions)
    rules = [one for at, each in enumerate(pages) for one in reader.read(each, f"{root}.rules[{at}]")]
    document.left()
    return [] if faults or not scopes else reader.kept(rules)


def _actions(document: Document, page: Page, key: str, root: str) -> tuple[str, ...]:
    found = texts_of(page, key)
    for at, one in enumerate(found):
        if not _ACTIONS.match(one):
            document.broken(f"{root}.{key}[{at}]", f"action {one} is not valid")
        elif one.startswith(("webhook", "forward")):
            document.unsupported(
                f"{root}.{key}[{at}]", f"{one}: detections are not sent out by a policy's order"
            )
    return tuple(found)


@dataclass(slots=True)
class _Rules:
    """Reads a policy's rules."""

    document: Document
    policy: str
    description: str
    sorts: Mapping[str, Sort]
    scope: Scope
    actions: tuple[str, ...]
    excluded: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)

    def read(self, page: Page, path: str) -> Iterator[Rule]:
        """Yield the rules that one of a policy's makes: several where it names a set."""
        named = page.take("event")
        actions = _actions(self.document, page, "actions", path)
        filters = texts_of(page, "filters")
        if not isinstance(named, str) or not named:
            self.document.broken(f"{path}.event", f"policy {self.policy}, event cannot be empty")
            return
        if named.startswith("-"):
            self.excluded.add(named[1:])
            if named[1:] not in self.sorts:
                self.document.broken(f"{path}.event", f"policy {self.policy}, event {named[1:]} is not valid")
            return
        for sort in self._sorts(named, path):
            if sort.name in self.taken:
                if sort.name == named:
                    self.document.broken(
                        f"{path}.event", f"policy {self.policy}, event {named} is duplicated"
                    )
                continue
            self.taken.add(sort.name)
            yield self._rule(sort, filters, path, actions or self.actions or ("print",))

    def kept(self, rules: Sequence[Rule]) -> list[Rule]:
        """Return rules without those of excluded events."""
        return [one for one in rules if one.name not in self.excluded]

    def _sorts(self, named: str, path: str) -> list[Sort]:
        found = self._names(named, path)
        wide = len(found) > 1
        made = []
        for name in found:
            sort = self.sorts[name]
            if not sort.why_not:
                made.append(sort)
            elif not wide:
                self.document.unsupported(f"{path}.event", f"{name} cannot be seen here: {sort.why_not}")
        if wide and len(made) < len(found):
            lost = ", ".join(sorted(name for name in found if self.sorts[name].why_not))
            self.document.unsupported(f"{path}.event", f"of {named}, these cannot be seen here: {lost}")
        return made

    def _names(self, named: str, path: str) -> list[str]:
        if named in self.sorts:
            return [named]
        found: list[str] = []
        if named.endswith("*"):
            found = sorted(name for name in self.sorts if name.startswith(named[:-1]))
        elif named.startswith("tag="):
            found = sorted({name for one in named[4:].split(",") for name in self._tagged(one.strip())})
        elif named.startswith("threat."):
            found = self._threats(named, path)
        else:
            found = self._tagged(named)
        if not found:
            self.document.broken(f"{path}.event", f"policy {self.policy}, event {named} is not valid")
        return found

    def _tagged(self, tag: str) -> list[str]:
        found = set(of_set(tag))
        return sorted(
            found | {name for name, one in self.sorts.items() if tag in one.sets and not one.why_not}
        )

    def _threats(self, named: str, path: str) -> list[str]:
        """The behaviours and detectors whose threat is as asked for: `threat.severity>=high`."""
        try:
            what, operator, values = split(named)
        except BadFilter as error:
            self.document.broken(f"{path}.event", str(error))
            return []
        found = []
        for name, one in self.sorts.items():
            threat = threat_of(one)
            if threat is not None and _threatens(threat, what.removeprefix("threat."), operator, values):
                found.append(name)
        return sorted(found)

    def _rule(self, sort: Sort, filters: Sequence[str], path: str, actions: tuple[str, ...]) -> Rule:
        wanted: dict[str, Texts] = {}
        scope, returned, unusable = Scope(begun=self.scope.begun), Numbers(), False
        for at, text in enumerate(filters):
            try:
                self._filter(sort, text.strip(), wanted, scope, returned)
            except BadFilter as error:
                self.document.broken(f"{path}.filters[{at}]", f"policy {self.policy}, {text}: {error}")
                unusable = True
            except Unsupported as error:
                self.document.unsupported(f"{path}.filters[{at}]", f"policy {self.policy}, {text}: {error}")
                unusable = True
        key = f"tracee/{self.policy}/{sort.name}"
        detail = Watched(sort=sort, policies=(self.policy,), actions=actions, description=self.description)
        made = make_rule(
            key, sort, detail, wanted, (self.scope, scope), returned if asks(returned) else None,
            where=self.document.locate(f"{path}.event"),
        )  # fmt: skip
        return replace(made, enabled=not unusable)

    def _filter(
        self, sort: Sort, text: str, wanted: dict[str, Texts], scope: Scope, returned: Numbers
    ) -> None:
        name, operator, values = split(text)
        if name == "retval":
            returned.add(operator, values)
            return
        if name.startswith(("data.", "args.")):
            add_data_filter(sort, name.partition(".")[2], operator, values, wanted)
        else:
            scope.rule(text)


def asks(numbers: Numbers) -> bool:
    """Whether a filter of numbers asks for anything."""
    return bool(numbers.whole or numbers.not_whole) or numbers.above is not None or numbers.below is not None


def add_data_filter(sort: Sort, name: str, operator: str, values: str, wanted: dict[str, Texts]) -> None:
    """Add a filter of an event's data. Raises BadFilter for a name that the event does not have, Unsupported for one that is never there."""
    if not name:
        raise BadFilter("data name can't be empty")
    known = sort.knows(name)
    if known is False:
        raise BadFilter(f"event {sort.name} does not have data {name}")
    if isinstance(known, str):
        raise Unsupported(known)
    wanted.setdefault(name, Texts()).add(operator, values)


def make_rule(
    key: str,
    sort: Sort,
    detail: Watched,
    wanted: Mapping[str, Texts],
    scopes: Sequence[Scope],
    returned: Numbers | None = None,
    where: Where = _NOWHERE,
) -> Rule:
    """Return the rule that watches for an event with such data, of whom the scopes ask for, that returned such a number."""

    def judge(event: Event) -> Data | None:
        data = sort.data(event)
        if data is None or (returned is not None and not returned(event.ret)):
            return None
        for scope in scopes:
            if not scope(event):
                return None
        if not sort.passes(event, wanted, data):
            return None
        return Seen(sort, event, data)

    also = both(*(scope.tests() for scope in scopes)) if len(scopes) == 2 else scopes[0].tests()
    if returned is not None:
        also = both(returned.tests(What.RET), also)
    threat = threat_of(sort)
    level = threat["severity"] if threat else 0
    return Rule(
        key=key,
        dialect="tracee",
        name=sort.name,
        severity=SEVERITIES[level],
        priority=LEVELS[level],
        message=lambda event: tell(sort, event, sort.data(event) or {}),
        description=detail.description,
        tags=tuple(threat["tags"]) if threat else sort.sets,
        kinds=sort.kinds(),
        hooks=sort.hooks(wanted, also, key),
        residue=judge,
        where=where,
        findings=sort.alarming,
        detail=detail,
    )


class Seen(dict[str, Any]):
    """An event's data as its rule saw them, with how Tracee prints them. It is true even when it is empty."""

    def __init__(self, sort: Sort, event: Event, data: Data) -> None:
        self.told = sort.told(event, data)
        super().__init__({name: value for name, _, value in self.told})

    def __bool__(self) -> bool:
        return True


def tell(sort: Sort, event: Event, data: Data) -> str:
    """Return the sentence of an event: what, by whom, and its data, shortened."""
    parts = [f"{name} {printable(str(value))[:120]}" for name, _, value in sort.told(event, data)[:6]]
    container = event.process.container
    where = f" in {container.name or container.short}" if container else ""
    threat = threat_of(sort)
    what = threat["name"] if threat else sort.name
    return f"{what}: {printable(event.comm or event.process.name)} (pid {event.pid}){where}{': ' if parts else ''}{', '.join(parts)}"


def threat_of(sort: Sort) -> dict[str, Any] | None:
    """Return what is said of a sort's threat: name, severity (0 to 4), technique, tactic, tags; None for a plain event."""
    behaviour = getattr(sort, "behaviour", None)
    if behaviour is not None:
        return {
            "name": behaviour.title, "severity": behaviour.severity, "technique": behaviour.technique_id,
            "tactic": behaviour.category, "tags": behaviour.tags,
        }  # fmt: skip
    found = getattr(sort, "threat", None)
    return found if isinstance(found, dict) else None


def _threatens(threat: Mapping[str, Any], what: str, operator: str, values: str) -> bool:
    values = values.strip("\"'")
    if what == "severity":
        level, wanted = threat["severity"], _SEVERITIES.get(values.lower())
        if wanted is None:
            return False
        return bool(
            {
                "=": level == wanted, "!=": level != wanted, "<": level < wanted, "<=": level <= wanted, ">": level > wanted, ">=": level >= wanted,
            }[operator]
        )  # fmt: skip
    told = {"name": "name", "mitre.technique": "technique", "mitre.tactic": "tactic"}.get(what)
    if told is None or operator not in {"=", "!="}:
        return False
    same = str(threat[told]).lower().replace("-", " ") == values.lower().replace("-", " ")
    return same is (operator == "=")
