"""match and exclude: which requests a rule is about, decided by kind first and by everything else only where that is left open.

For each sort of request the blocks whose kinds and operations fit are found once; what remains are tests on the subject. Nothing
here knows what a rule does.
Source: kyverno/kyverno pkg/engine/utils/match.go, pkg/utils/match, pkg/utils/kube/kind.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from fairlead.dialects.kyverno.contexts import is_anonymous
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import globs, selectors
from fairlead.words import Resource

_VERSION = re.compile(r"v\d+((alpha|beta)\d+)?\Z|\*\Z")
_ACCOUNT = "system:serviceaccount:"
_FILTER_FIELDS = frozenset({"resources", "subjects", "roles", "clusterRoles"})
_RESOURCE_FIELDS = frozenset(
    {
        "kinds",
        "name",
        "names",
        "namespaces",
        "annotations",
        "selector",
        "namespaceSelector",
        "operations",
    }
)


class BadMatch(ValueError):
    """The document cannot say what it is about; the message says why, `path` where (relative to the document)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class Kind(NamedTuple):
    """What one entry of `kinds` names; each part may have wildcards."""

    group: str
    version: str
    kind: str
    subresource: str


def parse_kind(text: str) -> Kind:
    """Read `Kind`, `version/Kind`, `group/version/Kind`, each with `/subresource` or `.subresource`, `*` and wildcards."""
    *front, last = text.split("/")
    parts = [*front, *last.split(".", 1)]
    if len(parts) == 1:
        return Kind("*", "*", parts[0], "")
    if len(parts) == 2:
        if parts == ["*", "*"]:
            return Kind("*", "*", "*", "*")
        if parts[0] == "*" and parts[1][:1].islower():
            return Kind("*", "*", "*", parts[1])
        if _VERSION.match(parts[0]):
            return Kind("*", parts[0], parts[1], "")
        return Kind("*", "*", parts[0], parts[1])
    if parts == ["*"] * 3:
        return Kind("*", "*", "*", "*")
    if len(parts) == 3:
        if _VERSION.match(parts[0]) and not _VERSION.match(parts[1]):
            return Kind("*", parts[0], parts[1], parts[2])
        return Kind(parts[0], parts[1], parts[2], "")
    if len(parts) == 4:
        return Kind(*parts)
    return Kind("", "", "", "")


def kind_matches(kind: Kind, target: Target) -> bool:
    """Return whether a request is for the kind. Ephemeral containers belong to pods even where nobody asks for them."""
    if not (
        globs.matches(kind.group, target.group)
        and globs.matches(kind.version, target.version)
        and globs.matches(kind.kind, target.kind)
    ):
        return False
    if globs.matches(kind.subresource, target.subresource):
        return True
    return (target.group, target.kind, target.subresource) == ("", "Pod", "ephemeralcontainers")


class Look(NamedTuple):
    """What a test may look at: one object of the request, and the request."""

    resource: Resource
    meta: Mapping[str, Any]
    subject: Subject
    around: Surroundings


_Test: TypeAlias = Callable[[Look], bool]


class _Block(NamedTuple):
    """One filter: the kinds and operations it is about, and what else must hold. `people` are the tests of who asks."""

    kinds: tuple[Kind, ...]
    operations: frozenset[str]
    tests: tuple[_Test, ...]
    people: tuple[_Test, ...]
    describes: bool

    def fits(self, target: Target) -> bool:
        """Return whether kinds and operations leave the question open."""
        if self.operations and target.operation not in self.operations:
            return False
        return not self.kinds or any(kind_matches(kind, target) for kind in self.kinds)

    def holds(self, look: Look, *, anonymous: bool) -> bool:
        """Return whether everything else holds. Who asks is no question when nobody does."""
        if anonymous:
            return self.describes and all(test(look) for test in self.tests)
        return all(test(look) for test in self.tests) and all(test(look) for test in self.people)


class _Plan(NamedTuple):
    """What is left to ask for one sort of request. `every`: all of the blocks must hold, not just one."""

    matching: tuple[_Block, ...]
    match_every: bool
    excluding: tuple[_Block, ...]
    exclude_every: bool
    free: bool


class Matching:
    """A compiled match and exclude. `concerns` decides on the sort of request alone, `matches` on the subject."""

    __slots__ = ("_exclude", "_exclude_every", "_match", "_match_every", "_namespace", "_plans")

    def __init__(self, match: Any, exclude: Any, namespace: str = "") -> None:
        """Compile the documents; with `namespace`, only what is in it is concerned. Raises BadMatch."""
        self._match, self._match_every = _compile_blocks(match, "match")
        self._exclude, self._exclude_every = _compile_blocks(exclude, "exclude") if exclude else ((), False)
        self._namespace = namespace
        self._plans: dict[Target, _Plan | None] = {}

    def concerns(self, target: Target) -> bool:
        """Return whether requests of this sort may match."""
        return self._plan(target) is not None

    def matches(self, subject: Subject, around: Surroundings) -> bool:
        """Return whether the rule is about the subject: about its new object, or else about its old one."""
        plan = self._plan(subject.target)
        if plan is None:
            return False
        if plan.free:
            return True
        if subject.object is not None and self._about(plan, subject.object, subject, around):
            return True
        return subject.old is not None and self._about(plan, subject.old, subject, around)

    def matches_present(self, subject: Subject, around: Surroundings) -> bool:
        """Return whether the rule is about the subject as it is now, or as it was last if it is being deleted."""
        plan = self._plan(subject.target)
        return plan is not None and (plan.free or self._about(plan, subject.present, subject, around))

    def _plan(self, target: Target) -> _Plan | None:
        try:
            return self._plans[target]
        except KeyError:
            if len(self._plans) > 4096:
                self._plans.clear()
            plan = self._plans[target] = self._make_plan(target)
            return plan

    def _make_plan(self, target: Target) -> _Plan | None:
        fitting = tuple(block for block in self._match if block.fits(target))
        if not fitting or (self._match_every and len(fitting) < len(self._match)):
            return None
        excluding = tuple(block for block in self._exclude if block.fits(target))
        if self._exclude_every and len(excluding) < len(self._exclude):
            excluding = ()
        # a block that asks for nothing but kinds settles the matter at once
        settled = [block for block in fitting if block.describes and not block.tests and not block.people]
        free = (
            not excluding
            and not self._namespace
            and (len(settled) == len(fitting) if self._match_every else bool(settled))
        )
        return _Plan(fitting, self._match_every, excluding, self._exclude_every, free)

    def _about(self, plan: _Plan, resource: Resource, subject: Subject, around: Surroundings) -> bool:
        meta = resource.get("metadata")
        look = Look(resource, meta if isinstance(meta, dict) else {}, subject, around)
        if self._namespace and look.meta.get("namespace", subject.namespace) != self._namespace:
            return False
        anonymous = is_anonymous(subject)
        every = all if plan.match_every else any
        if not every(block.holds(look, anonymous=anonymous) for block in plan.matching):
            return False
        if not plan.excluding:
            return True
        every = all if plan.exclude_every else any
        return not every(block.holds(look, anonymous=False) for block in plan.excluding)


def _compile_blocks(document: Any, where: str) -> tuple[tuple[_Block, ...], bool]:
    """Return the filters, and whether all of them must hold."""
    if not isinstance(document, Mapping):
        raise BadMatch("", f"{where} must be a mapping")
    for name in ("any", "all"):
        filters = document.get(name)
        if filters:
            if not isinstance(filters, list):
                raise BadMatch(f".{name}", f"{where}.{name} must be a list of filters")
            made = [_block(one, f".{name}[{index}]") for index, one in enumerate(filters)]
            return tuple(block for block in made if block is not None), name == "all"
    block = _block({key: value for key, value in document.items() if key not in {"any", "all"}}, "")
    return ((block,) if block is not None else ()), False


def _block(document: Any, path: str) -> _Block | None:
    """Return the compiled filter, None for one that says nothing (it matches nothing and excludes nothing)."""
    if not isinstance(document, Mapping):
        raise BadMatch(path, "a filter must be a mapping")
    resources = document.get("resources") or {}
    if not isinstance(resources, Mapping):
        raise BadMatch(f"{path}.resources", "resources must be a mapping")
    described = {key: value for key, value in resources.items() if value not in (None, "", [])}
    people = _people(document)
    if not described and not people:
        return None
    kinds = _strings(described.get("kinds"), f"{path}.resources.kinds")
    operations = frozenset(_strings(described.get("operations"), f"{path}.resources.operations"))
    tests = tuple(_tests(described, f"{path}.resources"))
    return _Block(tuple(map(parse_kind, kinds)), operations, tests, tuple(people), bool(described))


def _strings(value: Any, path: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BadMatch(path, "must be a list of texts")
    return value


def _tests(described: Mapping[str, Any], path: str) -> list[_Test]:
    tests: list[_Test] = []
    if "name" in described:
        tests.append(_named([str(described["name"])]))
    if "names" in described:
        tests.append(_named(_strings(described["names"], f"{path}.names")))
    if "namespaces" in described:
        tests.append(_in_namespaces(_strings(described["namespaces"], f"{path}.namespaces")))
    if "annotations" in described:
        tests.append(_annotated(_mapping(described["annotations"], f"{path}.annotations")))
    if "selector" in described:
        chosen = label_test(described["selector"], f"{path}.selector")
        tests.append(lambda look: chosen(_labels(look.meta)))
    if "namespaceSelector" in described:
        of_space = label_test(described["namespaceSelector"], f"{path}.namespaceSelector")
        tests.append(lambda look: _kind_of(look) != "Namespace" and of_space(_space_labels(look)))
    return tests


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadMatch(path, "must be a mapping")
    return value


def _kind_of(look: Look) -> Any:
    return look.resource.get("kind") or look.subject.target.kind


def _name(look: Look) -> str:
    return look.meta.get("name") or look.subject.name or look.meta.get("generateName") or ""


def _named(names: Sequence[str]) -> _Test:
    fits = [globs.compile(name) for name in names]
    return lambda look: any(fit(_name(look)) for fit in fits)


def _in_namespaces(names: Sequence[str]) -> _Test:
    fits = [globs.compile(name) for name in names]

    def test(look: Look) -> bool:
        if _kind_of(look) == "Namespace":
            where = _name(look)
        else:
            where = look.meta.get("namespace") or look.subject.namespace
        return any(fit(where) for fit in fits)

    return test


def _annotated(wanted: Mapping[str, Any]) -> _Test:
    pairs = [(globs.compile(key), globs.compile(str(value))) for key, value in wanted.items()]

    def test(look: Look) -> bool:
        raw = look.meta.get("annotations")
        here = raw if isinstance(raw, dict) else {}
        return all(any(key(name) and value(str(text)) for name, text in here.items()) for key, value in pairs)

    return test


def _labels(meta: Mapping[str, Any]) -> Mapping[str, str]:
    raw = meta.get("labels")
    return raw if isinstance(raw, dict) else {}


def _space_labels(look: Look) -> Mapping[str, str]:
    space = look.subject.space
    name = look.meta.get("namespace") or look.subject.namespace
    if space is None and name:
        space = look.around.view.get("", "Namespace", "", name)
    meta = (space or {}).get("metadata")
    return _labels(meta) if isinstance(meta, dict) else {}


def label_test(selector: Any, path: str = "") -> Callable[[Mapping[str, str]], bool]:
    """Return the function that says whether labels are selected; `matchLabels` may have wildcards. Raises BadMatch."""
    document = _mapping(selector, path)
    exact: dict[str, str] = {}
    wild: list[tuple[Callable[[str], bool], Callable[[str], bool]]] = []
    for key, value in _mapping(document.get("matchLabels") or {}, f"{path}.matchLabels").items():
        if globs.has_wildcard(key) or globs.has_wildcard(str(value)):
            wild.append((globs.compile(key), globs.compile(str(value))))
        else:
            exact[key] = str(value)
    rest = dict(document)
    rest["matchLabels"] = exact
    try:
        chosen = selectors.from_object(rest)
    except (ValueError, TypeError, AttributeError) as error:
        raise BadMatch(path, f"failed to parse selector: {error}") from None
    if not wild:
        return chosen.matches

    def test(labels: Mapping[str, str]) -> bool:
        return chosen.matches(labels) and all(
            any(key(name) and value(text) for name, text in labels.items()) for key, value in wild
        )

    return test


def _people(document: Mapping[str, Any]) -> list[_Test]:
    tests: list[_Test] = []
    roles, cluster_roles = (_strings(document.get(name), f".{name}") for name in ("roles", "clusterRoles"))
    if roles:
        of_roles = [globs.compile(role) for role in roles]
        tests.append(lambda look: any(fit(role) for role in look.subject.roles for fit in of_roles))
    if cluster_roles:
        of_cluster = [globs.compile(role) for role in cluster_roles]
        tests.append(lambda look: any(fit(role) for role in look.subject.cluster_roles for fit in of_cluster))
    subjects = document.get("subjects")
    if subjects:
        if not isinstance(subjects, list) or not all(isinstance(one, Mapping) for one in subjects):
            raise BadMatch(".subjects", "subjects must be a list of mappings")
        persons = [_person(one) for one in subjects]
        tests.append(lambda look: any(person(look) for person in persons))
    return tests


def _person(document: Mapping[str, Any]) -> _Test:
    kind, name = document.get("kind"), str(document.get("name") or "")
    if kind == "ServiceAccount":
        fits = globs.compile(f"{_ACCOUNT}{document.get('namespace') or ''}:{name}")
        return lambda look: fits(look.subject.user.name)
    fits = globs.compile(name)
    if kind == "Group":
        return lambda look: any(fits(group) for group in look.subject.user.groups)
    if kind == "User":
        return lambda look: fits(look.subject.user.name)
    return lambda _: False
