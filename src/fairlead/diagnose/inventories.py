"""One indexed look at everything there is: owners, references, selections, events, and what may be believed.

The inventory answers questions about objects and judges none of them. Absent facts are unknown unless the scope says
that everything of a kind was seen.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, TypeAlias

from fairlead.diagnose.references import (
    CLUSTER_SCOPED,
    Container,
    Edge,
    containers,
    edges,
    template_path,
)
from fairlead.tongues.paths import Path, dotted, mapping, mappings, strings, text
from fairlead.words import Evidence, Need, Ref, Resource, View, Where

Scope: TypeAlias = Literal["live", "files"]
Locate: TypeAlias = Callable[[Ref, str], Where]

_SHORTEST_SECRET = 6


@dataclass(frozen=True, slots=True)
class Template:
    """An object that makes pods (or is one), with the pod's labels and spec and where they lie in it."""

    ref: Ref
    resource: Resource
    path: Path

    @property
    def labels(self) -> dict[str, str]:
        """The labels that its pods get."""
        return strings(self.resource, *self.path, "metadata", "labels")

    @property
    def spec(self) -> dict[str, Any]:
        """The pod spec."""
        return mapping(self.resource, *self.path, "spec")

    @property
    def spec_path(self) -> Path:
        """Where the pod spec lies in the object."""
        return (*self.path, "spec")

    def containers(self) -> list[Container]:
        """Its containers, with paths in the object."""
        return list(containers(self.spec, self.spec_path))

    def container(self, name: str) -> Container | None:
        """The container of that name."""
        return next((one for one in self.containers() if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Member:
    """A live pod and the object at the top of its owners (itself, where nobody owns it)."""

    ref: Ref
    pod: Resource
    top: Template

    @property
    def node(self) -> str:
        """The node it was bound to, or ""."""
        return text(self.pod, "spec", "nodeName")

    def statuses(self) -> Iterator[tuple[Container, dict[str, Any]]]:
        """Each container of the pod with its status ({} before there is one)."""
        seen = {
            text(status, "name"): status
            for field in ("initContainerStatuses", "containerStatuses")
            for _, status in mappings(self.pod, "status", field)
        }
        for container in containers(mapping(self.pod, "spec"), ("spec",)):
            yield container, seen.get(container.name, {})


@dataclass(frozen=True, slots=True)
class Noted:
    """A Kubernetes Event about an object. `last` is None where it bears no readable time."""

    reason: str
    message: str
    count: int
    last: datetime | None
    warning: bool
    source: Ref


def moment(value: Any) -> datetime | None:
    """Return the time of an RFC 3339 text, or None."""
    if not isinstance(value, str) or not value:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def ready(pod: Resource) -> bool:
    """Say whether the pod's Ready condition is True."""
    return any(
        text(item, "type") == "Ready" and item.get("status") == "True"
        for _, item in mappings(pod, "status", "conditions")
    )


class Inventory:
    """Everything that is there, indexed. Indexes are built when first asked for; the View must not change meanwhile."""

    def __init__(
        self,
        view: View,
        *,
        scope: Scope,
        now: datetime,
        answers: Mapping[Need, str] | None = None,
        unseen: Collection[tuple[str, str]] = (),
        locate: Locate | None = None,
    ) -> None:
        self.view = view
        self.scope: Scope = scope
        self.now = now
        self.answers: Mapping[Need, str] = answers or {}
        self._unseen = frozenset(unseen)
        self._locate = locate

    @property
    def live(self) -> bool:
        """Whether status can be trusted and what is absent is missing."""
        return self.scope == "live"

    def seen_all(self, group: str, kind: str) -> bool:
        """Say whether an absent object of this kind is known to be missing."""
        return self.live and (group, kind) not in self._unseen

    def missing(self, ref: Ref) -> bool:
        """Say whether the object is known not to exist."""
        return self.seen_all(ref.group, ref.kind) and self.get(ref) is None

    def get(self, ref: Ref) -> Resource | None:
        """Return the object; in files, no namespace and `default` are one, as kubectl would have it."""
        found = self.view.get(ref.group, ref.kind, ref.namespace, ref.name)
        if found is None and not self.live and ref.namespace in {"", "default"}:
            other = "" if ref.namespace else "default"
            found = self.view.get(ref.group, ref.kind, other, ref.name)
        return found

    def space(self, ref: Ref) -> str:
        """Return the namespace of a namespaced object, `default` where files leave it open."""
        return ref.namespace or "default"

    def of_kind(self, group: str, kind: str, namespace: str | None = None) -> Sequence[Resource]:
        """Return the objects of a kind, in one namespace or in all, sorted by namespace and name."""
        return self.view.list(group, kind, namespace)

    def beside(self, group: str, kind: str, ref: Ref) -> list[Resource]:
        """Return the objects of a kind that live where the given object lives (everywhere, for kinds without a namespace)."""
        everyone = self.view.list(group, kind)
        if (group, kind) in CLUSTER_SCOPED:
            return list(everyone)
        space = self.space(ref)
        return [one for one in everyone if self.space(Ref.of(one)) == space]

    def names(self, target: Ref, asker: Ref) -> list[str]:
        """Return the names of the objects of the target's kind that the asker could have meant."""
        return [Ref.of(one).name for one in self.beside(target.group, target.kind, asker)]

    @cached_property
    def everything(self) -> list[Resource]:
        """Every object but Events."""
        return [
            one
            for group, kind in sorted(self.view.kinds())
            if kind != "Event"
            for one in self.view.list(group, kind)
        ]

    @cached_property
    def edges(self) -> list[Edge]:
        """Every reference between objects."""
        return [edge for one in self.everything for edge in edges(one)]

    @cached_property
    def _referrers(self) -> Mapping[Ref, Sequence[Edge]]:
        found: dict[Ref, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.target, []).append(edge)
        return found

    def referrers(self, target: Ref) -> Sequence[Edge]:
        """Return every reference to the object, by whatever names it."""
        return self._referrers.get(target, ())

    def owner(self, resource: Resource) -> Resource | None:
        """Return the object that controls this one, if it is here."""
        space = Ref.of(resource).namespace
        for _, owner in mappings(resource, "metadata", "ownerReferences"):
            if owner.get("controller") is not True:
                continue
            group, kind = text(owner, "apiVersion").rpartition("/")[0], text(owner, "kind")
            where = "" if (group, kind) in CLUSTER_SCOPED else space
            found = self.view.get(group, kind, where, text(owner, "name"))
            if found is not None and text(found, "metadata", "uid") == text(owner, "uid"):
                return found
        return None

    def top(self, resource: Resource) -> Resource:
        """Return the object at the top of the chain of controllers."""
        for _ in range(8):
            owner = self.owner(resource)
            if owner is None:
                break
            resource = owner
        return resource

    def chain(self, resource: Resource) -> list[Ref]:
        """Return the controllers above the object, nearest first."""
        found: list[Ref] = []
        owner = self.owner(resource)
        while owner is not None and len(found) < 8:
            found.append(Ref.of(owner))
            owner = self.owner(owner)
        return found

    def template_of(self, resource: Resource) -> Template | None:
        """Return the object as something that makes pods, or None."""
        path = template_path(resource)
        return None if path is None else Template(Ref.of(resource), resource, path)

    @cached_property
    def templates(self) -> list[Template]:
        """Every object that makes pods and that no other object here made."""
        found = []
        for one in self.everything:
            template = self.template_of(one)
            if template is None or self.owner(one) is not None:
                continue
            if mapping(one, "metadata").get("deletionTimestamp"):
                continue
            found.append(template)
        return found

    @cached_property
    def members(self) -> list[Member]:
        """Every live pod that is not finished and not being deleted; none in files."""
        if not self.live:
            return []
        found = []
        for pod in self.view.list("", "Pod"):
            if mapping(pod, "metadata").get("deletionTimestamp"):
                continue
            ref = Ref.of(pod)
            top = self.template_of(self.top(pod)) or Template(ref, pod, ())
            found.append(Member(ref, pod, top))
        return found

    @cached_property
    def crews(self) -> Mapping[Ref, Sequence[Member]]:
        """The live pods of each object that makes pods."""
        found: dict[Ref, list[Member]] = {}
        for member in self.members:
            found.setdefault(member.top.ref, []).append(member)
        return found

    def selected(self, selector: Mapping[str, str], ref: Ref) -> list[Member]:
        """Return the live pods beside the object that have all these labels."""
        key, value = next(iter(selector.items()), ("", ""))
        return [
            one
            for one in self._labelled.get((ref.namespace, key, str(value)), ())
            if selector.items() <= strings(one.pod, "metadata", "labels").items()
        ]

    @cached_property
    def _labelled(self) -> Mapping[tuple[str, str, str], Sequence[Member]]:
        """The live pods by namespace and label."""
        found: dict[tuple[str, str, str], list[Member]] = {}
        for one in self.members:
            for key, value in strings(one.pod, "metadata", "labels").items():
                found.setdefault((one.ref.namespace, key, str(value)), []).append(one)
        return found

    def described(self, selector: Mapping[str, str], ref: Ref) -> list[Template]:
        """Return the templates beside the object whose pods have all these labels."""
        key, value = next(iter(selector.items()), ("", ""))
        return [
            one
            for one in self._describing.get((self.space(ref), key, str(value)), ())
            if selector.items() <= one.labels.items()
        ]

    @cached_property
    def _describing(self) -> Mapping[tuple[str, str, str], Sequence[Template]]:
        """The templates by namespace and label of their pods."""
        found: dict[tuple[str, str, str], list[Template]] = {}
        for one in self.templates:
            for key, value in one.labels.items():
                found.setdefault((self.space(one.ref), key, str(value)), []).append(one)
        return found

    @cached_property
    def _events(self) -> Mapping[Ref, Sequence[Noted]]:
        found: dict[Ref, list[Noted]] = {}
        for group, field in (("", "involvedObject"), ("events.k8s.io", "regarding")):
            for event in self.view.list(group, "Event"):
                about = mapping(event, field) or mapping(event, "involvedObject")
                ref = Ref(
                    text(about, "apiVersion").rpartition("/")[0],
                    text(about, "kind"),
                    text(about, "namespace"),
                    text(about, "name"),
                    text(about, "uid"),
                )
                found.setdefault(ref, []).append(_noted(event, ref))
        for notes in found.values():
            notes.sort(key=lambda note: note.last.timestamp() if note.last else 0.0)
        return found

    def events(self, ref: Ref, *reasons: str) -> list[Noted]:
        """Return the Kubernetes Events about the object, the oldest first, of these reasons only if any are given.

        Events of an earlier object of the same name are left out.
        """
        return [
            note
            for note in self._events.get(ref, ())
            if (not reasons or note.reason in reasons)
            and (not note.source.uid or not ref.uid or note.source.uid == ref.uid)
        ]

    def where(self, ref: Ref, path: Path) -> Where:
        """Return the place of a path in an object, with file and line where they are known."""
        written = dotted(path)
        return self._locate(ref, written) if self._locate is not None else Where(path=written)

    def field(self, ref: Ref, path: Path, said: str) -> Evidence:
        """Return a field of an object as evidence."""
        return Evidence("field", ref, said, self.where(ref, path))

    def noted(self, ref: Ref, note: Noted) -> Evidence:
        """Return a Kubernetes Event as evidence, with how often and how long ago."""
        times = f" (x{note.count}" if note.count > 1 else " ("
        ago = f"{span(self.now - note.last)} ago" if note.last else "at an unknown time"
        joint = " over time, last " if note.count > 1 else ""
        return Evidence("event", ref, f"{note.reason}: {self.quote(note.message, ref)}{times}{joint}{ago})")

    @cached_property
    def _names(self) -> frozenset[str]:
        """Every name of an object or namespace: a secret that is one is no secret."""
        refs = [Ref.of(one) for one in self.everything]
        return frozenset({ref.name for ref in refs} | {ref.namespace for ref in refs})

    @cached_property
    def _secrets(self) -> Mapping[str, Mapping[str, str]]:
        """For each namespace, the secret texts that must never be shown, with what stands for them."""
        found: dict[str, dict[str, str]] = {}
        for one in self.view.list("", "Secret"):
            ref = Ref.of(one)
            for key, value in _secret_texts(one):
                if len(value) >= _SHORTEST_SECRET and value not in self._names:
                    found.setdefault(self.space(ref), {})[value] = f"[secret {ref.name}/{key}]"
        return found

    def quote(self, foreign: str, ref: Ref, limit: int = 400) -> str:
        """Return text that came from outside (logs, events), on one line, shortened, with secret values replaced."""
        for value, stand_in in self._secrets.get(self.space(ref), {}).items():
            foreign = foreign.replace(value, stand_in)
        line = " ".join(foreign.split())
        return line if len(line) <= limit else line[: limit - 1] + "…"


def _secret_texts(secret: Resource) -> Iterable[tuple[str, str]]:
    for key, value in mapping(secret, "stringData").items():
        if isinstance(value, str):
            yield key, value.strip()
    for key, value in mapping(secret, "data").items():
        if not isinstance(value, str):
            continue
        yield key, value
        try:
            yield key, base64.b64decode(value, validate=True).decode().strip()
        except (binascii.Error, ValueError):
            continue


def _noted(event: Resource, ref: Ref) -> Noted:
    series = mapping(event, "series")
    last = (
        moment(series.get("lastObservedTime"))
        or moment(event.get("lastTimestamp"))
        or moment(event.get("deprecatedLastTimestamp"))
        or moment(event.get("eventTime"))
        or moment(event.get("firstTimestamp"))
        or moment(mapping(event, "metadata").get("creationTimestamp"))
    )
    counts = (series.get("count"), event.get("count"), event.get("deprecatedCount"))
    count = next((one for one in counts if isinstance(one, int) and one > 0), 1)
    return Noted(
        reason=text(event, "reason"),
        message=text(event, "message") or text(event, "note"),
        count=count,
        last=last,
        warning=event.get("type") == "Warning",
        source=ref,
    )


def span(length: timedelta) -> str:
    """Return a length of time in its largest unit: `42s`, `7m`, `3h`, `12d`."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size * (1 if unit != "m" else 2):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
