"""The shared vocabulary: what every room may say to every other.

Standard library only. Nothing here decides, fetches, prints or remembers; a word that needs to know a room does
not belong here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias

Resource: TypeAlias = dict[str, Any]
"""A plain Kubernetes-style object: apiVersion, kind, metadata and what the kind adds."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Names one Resource: group and kind, namespace ("" for cluster scope), name, and its uid where known.

    The version is not part of a name: the same object is served in several. `group` is "" for the core group.
    Two Refs are equal whether or not their uids are known.
    """

    group: str
    kind: str
    namespace: str
    name: str
    uid: str = field(default="", compare=False)

    @classmethod
    def of(cls, resource: Resource) -> Ref:
        """Return the Ref of an object that has apiVersion, kind and metadata (missing parts become "")."""
        api_version = resource.get("apiVersion") or ""
        meta = resource.get("metadata") or {}
        return cls(
            group=api_version.rpartition("/")[0],
            kind=resource.get("kind") or "",
            namespace=meta.get("namespace") or "",
            name=meta.get("name") or meta.get("generateName") or "",
            uid=meta.get("uid") or "",
        )

    def __str__(self) -> str:
        """Kind, then namespace/name: `Deployment shop/web`, `Node one`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Where:
    """A place that something came from: a file, its 1-based line, and a JSON path such as `.spec.ports[0].port`."""

    file: str = ""
    line: int = 0
    path: str = ""

    def __str__(self) -> str:
        """`file:line path`, without the parts that are unknown."""
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        return " ".join(part for part in (place, self.path) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An authenticated caller: Kubernetes' user info. `extra` is pairs of a key and its values, sorted by key."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened, at a time (seconds since the epoch), to or around a Resource. Not Kubernetes' kind Event."""

    kind: str
    at: float
    about: Ref | None
    detail: Mapping[str, Any]


class Severity(StrEnum):
    """How much a Finding matters. `critical`: something is down; `warning`: it will be, or is worse than it looks."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observed fact behind a Finding: what kind of fact, whose, its text, and the place to look it up.

    `kind` is one of field, event, log, exit, condition, absence, call (one that the kernel refused), process (a line of ancestors),
    metric (usage against a request or limit), change (what was changed before it broke).
    """

    kind: str
    subject: Ref
    text: str
    where: Where = Where()


PatchType: TypeAlias = Literal["json", "merge", "strategic", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A proposal: what to create, replace, patch or delete, and why. Nothing alters the world but one of these, carried out.

    `body` is the whole object (create, update), the patch document (patch), or DeleteOptions or None (delete). `subresource` is "" or
    a name such as "status". With `if_uid` or `if_version` set, the change must be refused when the object is
    another one by now. A created Event whose name is taken bumps that Event's count.
    """

    verb: Literal["create", "update", "patch", "delete"]
    ref: Ref
    api_version: str
    body: Any = None
    patch: PatchType | None = None
    subresource: str = ""
    why: str = ""
    if_uid: str = ""
    if_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A way out that an engine knows: typed, minimal changes, what they do in one line, and what they risk.

    A Fix is a proposal: it is offered to a person only together with the outcome of a trial on a copy.
    """

    title: str
    changes: tuple[Change, ...]
    risk: str = ""
    origin: str = ""
    """"" for what the rules propose, else who does: `model`."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """Something that is wrong only because the Finding it hangs under is.

    `rule` is the name of the fact, and `after` the object that it directly follows from: another symptom's subject, or the finding's.
    """

    subject: Ref
    message: str
    rule: str = ""
    after: Ref | None = None


Confidence: TypeAlias = Literal["certain", "likely", "possible"]
"""`certain`: the objects alone prove it. `likely`: everything seen fits. `possible`: worth a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A judgement about a Resource or an Event.

    `rule` is a stable dotted name (`image.pull`). `message` says what is wrong in one sentence; `cause` says why, as
    far as it is known. `where` is the place to change.
    """

    rule: str
    severity: Severity
    subject: Ref
    message: str
    cause: str = ""
    evidence: tuple[Evidence, ...] = ()
    symptoms: tuple[Symptom, ...] = ()
    fixes: tuple[Fix, ...] = ()
    where: Where = Where()
    confidence: Confidence = "certain"

    @property
    def id(self) -> str:
        """Eight hex digits that stay the same for the same rule, subject and place."""
        s = self.subject
        parts = (self.rule, s.group, s.kind, s.namespace, s.name, self.where.path)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Need:
    """What an engine lacks and the reactor may fetch: `what` names the sort of thing, `about` whose, `detail` the rest.

    The answer is handed back in a mapping with the Need as its key. `detail` is a tuple of pairs so that a Need can be a key.
    """

    what: str
    about: Ref
    detail: tuple[tuple[str, str], ...] = ()


class View(Protocol):
    """What is there, to be read: one moment of a cluster, a directory of manifests or a copy.

    The Resources are shared: a reader must never change one.
    """

    def get(self, group: str, kind: str, namespace: str, name: str) -> Resource | None:
        """Return the object, or None."""

    def list(self, group: str, kind: str, namespace: str | None = None) -> Sequence[Resource]:
        """Return the objects of a kind in one namespace, or in all, sorted by namespace and name."""

    def owned(self, uid: str) -> Sequence[Resource]:
        """Return the objects that name this uid among their ownerReferences."""

    def kinds(self) -> Sequence[tuple[str, str]]:
        """Return each (group, kind) that has objects here."""


class Snapshot:
    """A View over objects in memory, kept current by `put` and `drop`."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self._kinds: dict[tuple[str, str], dict[str, dict[str, Resource]]] = {}
        self._lists: dict[tuple[str, str], dict[str | None, list[Resource]]] = {}
        self._owned: dict[str, dict[Ref, Resource]] = {}
        for resource in resources:
            self.put(resource)

    def put(self, resource: Resource) -> None:
        """Add the object, or replace the one of the same name."""
        ref = Ref.of(resource)
        here = self._kinds.setdefault((ref.group, ref.kind), {}).setdefault(ref.namespace, {})
        before = here.get(ref.name)
        if before is not None:
            self._disown(ref, before)
        here[ref.name] = resource
        self._forget(ref)
        for owner in resource.get("metadata", {}).get("ownerReferences") or ():
            if owner.get("uid"):
                self._owned.setdefault(owner["uid"], {})[ref] = resource

    def drop(self, ref: Ref) -> None:
        """Forget the object, if it is here."""
        spaces = self._kinds.get((ref.group, ref.kind), {})
        here = spaces.get(ref.namespace, {})
        before = here.pop(ref.name, None)
        if before is not None:
            self._disown(ref, before)
            self._forget(ref)
            if not here:
                del spaces[ref.namespace]

    def _forget(self, ref: Ref) -> None:
        """Forget the sorted lists that the object is in."""
        lists = self._lists.get((ref.group, ref.kind))
        if lists:
            lists.pop(ref.namespace, None)
            lists.pop(None, None)

    def _disown(self, ref: Ref, before: Resource) -> None:
        for owner in before.get("metadata", {}).get("ownerReferences") or ():
            children = self._owned.get(owner.get("uid"), {})
            children.pop(ref, None)
            if not children:
                self._owned.pop(owner.get("uid"), None)

    def get(self, group: str, kind: str, namespace: str, name: str) -> Resource | None:
        """See View."""
        return self._kinds.get((group, kind), {}).get(namespace, {}).get(name)

    def list(self, group: str, kind: str, namespace: str | None = None) -> Sequence[Resource]:
        """See View."""
        lists = self._lists.setdefault((group, kind), {})
        found = lists.get(namespace)
        if found is None:
            spaces = self._kinds.get((group, kind), {})
            if namespace is not None:
                here = spaces.get(namespace, {})
                found = [here[name] for name in sorted(here)]
            else:
                found = [item for space in sorted(spaces) for item in self.list(group, kind, space)]
            lists[namespace] = found
        return found

    def owned(self, uid: str) -> Sequence[Resource]:
        """See View."""
        return list(self._owned.get(uid, {}).values())

    def kinds(self) -> Sequence[tuple[str, str]]:
        """See View."""
        return [kind for kind, spaces in self._kinds.items() if spaces]

    def __iter__(self) -> Iterator[Resource]:
        """Every object, kind by kind."""
        for spaces in self._kinds.values():
            for here in spaces.values():
                yield from here.values()

    def __len__(self) -> int:
        return sum(len(here) for spaces in self._kinds.values() for here in spaces.values())


class Page:
    """A cursor over a mapping of a foreign document that remembers what was taken.

    A dialect takes what it understands; `left` lists the paths that nobody took, each of which becomes a Finding.
    """

    def __init__(self, content: Mapping[str, Any], where: Where = Where()) -> None:
        self.where = where
        self._content = content
        self._taken: set[str] = set()
        self._pages: list[Page] = []

    def take(self, key: str, default: Any = None) -> Any:
        """Return the value under the key and count all of it as understood."""
        self._taken.add(key)
        value = self._content.get(key)
        return default if value is None else value

    def page(self, key: str) -> Page:
        """Return a cursor over the mapping under the key; an absent or wrongly typed value gives an empty one.

        A value that is not a mapping stays untaken, so it is reported.
        """
        value = self._content.get(key)
        if isinstance(value, Mapping):
            self._taken.add(key)
        page = Page(value if isinstance(value, Mapping) else {}, self._at(f".{key}"))
        self._pages.append(page)
        return page

    def pages(self, key: str) -> list[Page]:
        """Return a cursor for each mapping in the list under the key."""
        value = self._content.get(key)
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            return []
        self._taken.add(key)
        pages = [Page(item, self._at(f".{key}[{index}]")) for index, item in enumerate(value)]
        self._pages.extend(pages)
        return pages

    def keys(self) -> list[str]:
        """Return the keys here, taken or not."""
        return list(self._content)

    def texts(self, key: str) -> list[str]:
        """Return the list of texts under the key; anything else stays untaken, so it is reported."""
        value = self._content.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return []
        self._taken.add(key)
        return value

    def left(self) -> list[Where]:
        """Return the place of each key that nobody took, here and in every page below."""
        mine = [self._at(f".{key}") for key in self._content if key not in self._taken]
        return mine + [where for page in self._pages for where in page.left()]

    def _at(self, suffix: str) -> Where:
        return Where(self.where.file, self.where.line, self.where.path + suffix)
