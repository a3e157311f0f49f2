"""Makes one Book of all policy documents, whatever format each is in.

Asks each dialect; holds no rules. A dialect is imported when the first document of its own comes along: a cluster without policies
pays for none. A dialect whose documents cannot be used costs only its own policies.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

from fairlead.judge.policies import Assembled, Book
from fairlead.judge.reading import Source, broken
from fairlead.words import Finding, Ref, Resource

GROUPS: Mapping[str, str] = {
    "admissionregistration.k8s.io": "admissionpolicies",
    "config.gatekeeper.sh": "gatekeeper",
    "constraints.gatekeeper.sh": "gatekeeper",
    "expansion.gatekeeper.sh": "gatekeeper",
    "externaldata.gatekeeper.sh": "gatekeeper",
    "kyverno.io": "kyverno",
    "mutations.gatekeeper.sh": "gatekeeper",
    "pod-security.admission.config.k8s.io": "podsecurity",
    "policies.kubewarden.io": "kubewarden",
    "policies.kyverno.io": "kyverno",
    "policy.jspolicy.com": "jspolicy",
    "policy.sigstore.dev": "imagepolicy",
    "syncset.gatekeeper.sh": "gatekeeper",
    "templates.gatekeeper.sh": "gatekeeper",
}
"""Which dialect may read the kinds of an API group; its READS say which of them it does read."""

ALWAYS = ("podsecurity",)
"""Dialects that have policies without any document."""

POD_SECURITY = "pod-security.kubernetes.io/"
"""What the labels begin with that give the policies of `podsecurity` something to judge."""


class _Dialects(Mapping[str, ModuleType]):
    """Each dialect of policies by name: a module with READS, WRITES and assemble(models) -> Assembled; imported when asked for."""

    _names = tuple(dict.fromkeys(GROUPS.values()))

    def __getitem__(self, name: str) -> ModuleType:
        if name not in self._names:
            raise KeyError(name)
        return _module(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@cache
def _module(name: str) -> ModuleType:
    return importlib.import_module(f"fairlead.dialects.{name}")


DIALECTS: Mapping[str, ModuleType] = _Dialects()


@dataclass(frozen=True, slots=True)
class Loaded:
    """The Book, what is wrong with its documents, and which kinds its policies look at in the view."""

    book: Book
    findings: tuple[Finding, ...]
    wanted: frozenset[tuple[str, str]]


NOTHING = Loaded(Book(()), (), frozenset())


def dialect_of(group: str, kind: str) -> str:
    """Return the name of the dialect that reads the kind, or ""."""
    name = GROUPS.get(group, "")
    if not name:
        return ""
    reads = DIALECTS[name].READS
    return name if (group, kind) in reads or (group, "*") in reads else ""


def _speaks(source: Source) -> str:
    ref = source.ref
    return dialect_of(ref.group, ref.kind)


@dataclass(slots=True)
class _Document:
    dialect: str
    essence: Resource
    models: list[Any]
    findings: list[Finding]
    source: Source


@dataclass(slots=True)
class _Room:
    """What one dialect has: its documents in their order of arrival, and what it made of them."""

    documents: dict[Ref, _Document] = field(default_factory=dict)
    assembled: Assembled | None = None


class Library:
    """Policy documents that come and go. Each is read once, and a dialect is asked to join its own only after one has changed."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}
        self._loaded: Loaded | None = NOTHING

    def put(self, source: Source) -> bool:
        """Take a document in, or in the place of the one of the same name; tell whether that changes anything.

        A document of no policy format takes the place of nothing.
        """
        ref, name = source.ref, _speaks(source)
        if not name:
            return self.drop(ref)
        room = self._rooms.setdefault(name, _Room())
        essence = _essence(source.content)
        known = room.documents.get(ref)
        if known is not None and known.essence == essence:
            return False
        room.documents[ref] = _read(name, source, essence)
        room.assembled = self._loaded = None
        return True

    def drop(self, ref: Ref) -> bool:
        """Forget a document, if it is here; tell whether it was."""
        room = self._rooms.get(GROUPS.get(ref.group, ""))
        if room is None or room.documents.pop(ref, None) is None:
            return False
        room.assembled = self._loaded = None
        return True

    def wake(self, name: str) -> None:
        """Ask a dialect that has policies without any document for them, from now on."""
        if name not in self._rooms:
            self._rooms[name] = _Room()
            self._loaded = None

    def refs(self) -> Iterator[Ref]:
        """Every document that is here."""
        for room in self._rooms.values():
            yield from room.documents

    def findings(self, ref: Ref) -> list[Finding]:
        """Return what is wrong with one document, as far as it can be told from it alone."""
        for room in self._rooms.values():
            if ref in room.documents:
                return room.documents[ref].findings
        return []

    def loaded(self) -> Loaded:
        """Return the Book of all documents."""
        if self._loaded is None:
            for name, room in self._rooms.items():
                if room.assembled is None:
                    room.assembled = _assembled(name, room.documents.values())
            rooms = list(self._rooms.values())
            made = [room.assembled for room in rooms if room.assembled is not None]
            self._loaded = _together(made, (room.documents.values() for room in rooms))
        return self._loaded

    def copy(self) -> Library:
        """Return an independent library that shares what is compiled."""
        other = Library()
        for name, room in self._rooms.items():
            other._rooms[name] = _Room(dict(room.documents), room.assembled)
        other._loaded = self._loaded
        return other


def _essence(content: Resource) -> Resource:
    """Return what of a document matters to its meaning: not its status, nor what every write of it changes."""
    meta = {key: value for key, value in (content.get("metadata") or {}).items() if key not in _PASSING}
    return {**{key: value for key, value in content.items() if key != "status"}, "metadata": meta}


_PASSING = frozenset({"resourceVersion", "managedFields", "generation"})


def _read(name: str, source: Source, essence: Resource) -> _Document:
    reads = DIALECTS[name].READS
    ref = source.ref
    reader = reads.get((ref.group, ref.kind)) or reads[ref.group, "*"]
    try:
        models, findings = reader(source)
    except Exception as error:  # noqa: BLE001  a document is foreign content, and no one of them may cost the others
        models, findings = [], [broken(source, "", f"cannot be read: {error}")]
    return _Document(name, essence, list(models), list(findings), source)


def _assembled(name: str, documents: Iterable[_Document]) -> Assembled:
    """Join a dialect's documents; a fault of the joining costs this dialect only."""
    everything = list(documents)
    try:
        made: Assembled = DIALECTS[name].assemble([model for one in everything for model in one.models])
    except Exception as error:  # noqa: BLE001  as above
        said = f"cannot be joined with the other documents: {error}"
        return Assembled((), tuple(broken(one.source, "", said) for one in everything))
    return made


def load(sources: Iterable[Source]) -> Loaded:
    """Read the documents and put their policies into one Book. Documents of no policy format are passed over.

    Documents may have the same name: files are not a cluster.
    """
    rooms: dict[str, list[_Document]] = {name: [] for name in ALWAYS}
    for source in sources:
        name = _speaks(source)
        if name:
            rooms.setdefault(name, []).append(_read(name, source, {}))
    return _together((_assembled(name, mine) for name, mine in rooms.items()), rooms.values())


def _together(assembled: Iterable[Assembled], rooms: Iterable[Iterable[_Document]]) -> Loaded:
    made = list(assembled)
    said = [finding for room in rooms for document in room for finding in document.findings]
    return Loaded(
        Book(policy for one in made for policy in one.policies),
        (*said, *(finding for one in made for finding in one.findings)),
        frozenset[tuple[str, str]]().union(*(one.wanted for one in made)),
    )
