"""One indexed look at everything there is: owners, references, selections, events, and what may be believed.

The inventory answers questions about objects and judges none of them. Absent facts are unknown unless the scope says
that everything of a kind was seen.

Who reads through it alone can be asked again at the right time: while `reading` is on, each answer leaves a token, and `put` and `drop`
return the tokens whose answers they changed. Indexes are built when they are first asked for, and kept current from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, KeysView, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, Literal, ParamSpec, TypeAlias, TypeVar

from fairlead.diagnose.hiding import stand_ins, visible
from fairlead.diagnose.indexes import INDEXES, Place, Reads, Shelf, place
from fairlead.diagnose.makers import Member, Template, ready
from fairlead.diagnose.moments import Noted, moment, noted, span, unit_of
from fairlead.diagnose.redacting import hushed
from fairlead.diagnose.references import CLUSTER_SCOPED, Edge, done, edges, template_path
from fairlead.tongues.paths import Path, dotted, mapping, mappings, text
from fairlead.words import Evidence, Need, Ref, Resource, Snapshot, View, Where

Scope: TypeAlias = Literal["live", "files"]
Locate: TypeAlias = Callable[[Ref, str], Where]
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

ALWAYS = datetime.min.replace(tzinfo=UTC)
"""The time until which an answer holds that read the clock itself: none."""
ANY_KIND = ("*", "*")
"""In a table of what is asked: every object but Events."""
ANY_MAKER = ("*", "template")
"""In a table of what is asked: every object that makes pods, of whatever kind, and that no other object here made."""
EVERYTHING = ""
"""The token of a look at all objects."""


class Inventory:
    """Everything that is there, indexed.

    The View must not change but by `put` and `drop`. `kept` remembers what is worked out for several askers; a `lasting` inventory
    knows what that was worked out from, and forgets it when that changes.
    """

    def __init__(
        self,
        view: View,
        *,
        scope: Scope,
        now: datetime,
        answers: Mapping[Need, str] | None = None,
        unseen: Collection[tuple[str, str]] = (),
        locate: Locate | None = None,
        lasting: bool = False,
    ) -> None:
        self.view = view
        self.scope: Scope = scope
        self._now = now
        self._answers: Mapping[Need, str] = answers or {}
        self._unseen = frozenset(unseen)
        self._locate = locate
        self._shelves: dict[str, Shelf[Resource]] = {}
        self._targets: Shelf[Edge] | None = None
        self._templates: dict[int, Template] = {}
        self._tops: dict[int, tuple[Resource, Resource]] = {}
        self._lasting = lasting
        self._kept: dict[Hashable, tuple[Any, Reads]] = {}
        self._users: dict[Hashable, set[Hashable]] = {}
        self._timed: dict[Hashable, datetime] = {}
        self._reading: Reads | None = None

    # What is read, and what a change touches

    def reading(self, reads: Reads | None) -> None:
        """Note from now on what is read; None ends it."""
        self._reading = reads

    def kept(
        self,
        work: Callable[Concatenate[Inventory, Arguments], Answer],
        *args: Arguments.args,
        **more: Arguments.kwargs,
    ) -> Answer:
        """Return what the function makes of this inventory and the arguments, worked out once for all who ask.

        The function reads only through the inventory; the arguments are hashable, and given by their places. The answer is shared: nobody may change it.
        """
        key = (work, *args)
        held = self._kept.get(key)
        outer = self._reading
        if held is None:
            if not self._lasting:
                held = self._kept[key] = (work(self, *args, **more), _NOTHING)
            else:
                inner = self._reading = Reads()
                try:
                    held = self._kept[key] = (work(self, *args, **more), inner)
                finally:
                    self._reading = outer
                for token in inner.tokens:
                    self._users.setdefault(token, set()).add(key)
                if inner.until is not None:
                    self._timed[key] = inner.until
        if outer is not None:
            outer.add(held[1])
        found: Answer = held[0]
        return found

    def put(self, resource: Resource) -> set[Hashable]:
        """Add an object, or replace the one of the same name; return the tokens of the answers that changed.

        The View must be a Snapshot.
        """
        return self._change(Ref.of(resource), resource)

    def drop(self, ref: Ref) -> set[Hashable]:
        """Forget an object, if it is here; return the tokens of the answers that changed."""
        return self._change(ref, None)

    def _change(self, ref: Ref, after: Resource | None) -> set[Hashable]:
        view = self.view
        if not isinstance(view, Snapshot):
            raise TypeError("only a Snapshot can be kept current")
        before = view.get(ref.group, ref.kind, ref.namespace, ref.name)
        if before == after:
            return set()
        if after is None:
            view.drop(ref)
        else:
            view.put(after)
        touched: set[Hashable] = {ref, ("kind", (ref.group, ref.kind))}
        touched.add(("kind in", (ref.group, ref.kind, ref.namespace)))
        if ref.kind != "Event":
            touched.add(EVERYTHING)
        self._templates.pop(id(before), None)
        where = (ref.group, ref.kind, ref.namespace, ref.name)
        for name, shelf in self._shelves.items():
            index = INDEXES[name]
            if not index.covers(ref.group, ref.kind):
                continue
            old = dict.fromkeys(index.keys(before)) if before is not None else {}
            new = dict.fromkeys(index.keys(after)) if after is not None else {}
            shelf.remove(where, old)
            if after is not None:
                shelf.add((key, after) for key in new)
            touched.update((name, key) for key in old.keys() | new.keys())
            if old.keys() != new.keys():
                touched.add(name)
        if self._targets is not None and ref.kind != "Event":
            left = [edge.target for edge in edges(before)] if before is not None else []
            made = list(edges(after)) if after is not None else []
            self._targets.remove(where, dict.fromkeys(left))
            self._targets.add((edge.target, edge) for edge in made)
            touched.update(("target", target) for target in left)
            touched.update(("target", edge.target) for edge in made)
        return touched

    def forget(self, touched: Collection[Hashable]) -> None:
        """Forget what was worked out from answers that have changed, or that the time has overtaken."""
        stale = {key for key, until in self._timed.items() if until <= self._now}
        for token in touched:
            stale |= self._users.get(token, _NOBODY)
        for key in stale:
            self._timed.pop(key, None)
            _, reads = self._kept.pop(key)
            for token in reads.tokens:
                users = self._users[token]
                users.discard(key)
                if not users:
                    del self._users[token]

    # What it is about

    @property
    def now(self) -> datetime:
        """The time, aware UTC. Who reads it is asked again at every update: `ago` and `past` say when it matters."""
        if self._reading is not None:
            self._reading.hold(ALWAYS)
        return self._now

    @now.setter
    def now(self, now: datetime) -> None:
        """Let it be this time from now on; `forget` then lets go of what the time has overtaken."""
        self._now = now

    def ago(self, at: datetime) -> str:
        """Return how long ago a time was, in its largest unit: `42s`, `7m`, `3h`, `12d`."""
        length = self._now - at
        if self._reading is not None:
            seconds = max(0, int(length.total_seconds()))
            unit = unit_of(seconds)
            self._reading.hold(at + timedelta(seconds=(seconds // unit + 1) * unit))
        return span(length)

    def past(self, at: datetime, length: timedelta) -> bool:
        """Say whether a time is at least so long ago."""
        due = at + length
        if due <= self._now:
            return True
        if self._reading is not None:
            self._reading.hold(due)
        return False

    @property
    def answers(self) -> Mapping[Need, str]:
        """What the reactor fetched. `answer` is the narrow way to read it."""
        if self._reading is not None:
            self._reading.tokens.add("answers")
        return self._answers

    @answers.setter
    def answers(self, answers: Mapping[Need, str]) -> None:
        """Take the answers in place of those before, and forget what was worked out from them."""
        self.forget(self.answered(answers))

    def answered(self, answers: Mapping[Need, str]) -> set[Hashable]:
        """Take the answers in place of those before; return the tokens of what changed."""
        before, self._answers = self._answers, answers
        touched: set[Hashable] = {
            need for need in before.keys() | answers.keys() if before.get(need) != answers.get(need)
        }
        if not self._lasting:
            self._kept.clear()
        return touched | {"answers"} if touched else touched

    def answer(self, need: Need) -> str:
        """Return what the reactor fetched for a need, "" where it did not."""
        if self._reading is not None:
            self._reading.tokens.add(need)
        return self._answers.get(need, "")

    @property
    def live(self) -> bool:
        """Whether status can be trusted and what is absent is missing."""
        return self.scope == "live"

    def seen_all(self, group: str, kind: str) -> bool:
        """Say whether an absent object of this kind is known to be missing."""
        return self.live and (group, kind) not in self._unseen

    def missing(self, ref: Ref) -> bool:
        """Say whether the object is known not to exist."""
        return (
            self.seen_all(ref.group, ref.kind) and self.get(ref) is None and self.looked_into(ref.namespace)
        )

    def everywhere(self) -> bool:
        """Say whether all namespaces were looked at: a cluster has several, so where one alone was seen, only that one was asked for."""
        return len(self.of_kind("", "Namespace")) != 1

    def looked_into(self, space: str) -> bool:
        """Say whether a namespace was looked at; "" is what stands outside of them, which always is."""
        return not space or self.everywhere() or self.get(Ref("", "Namespace", "", space)) is not None

    # Objects

    def at(self, index: str, key: Hashable) -> Sequence[Resource]:
        """Return the objects that an index has under the key, in the order of their kinds, namespaces and names.

        Not a copy: it must not be changed. `diagnose/indexes.py` has the table of what there is, and the keys of each. Raises KeyError for another name.
        """
        if self._reading is not None:
            self._reading.tokens.add((index, key))
        shelf = self._shelves.get(index)
        if shelf is None:
            if index in {"kind", "kind in"}:
                parts: Any = key
                return self.view.list(*parts)
            if index == "target":
                found = {edge.source: None for edge in self._references().at(key)}
                return [
                    one
                    for ref in found
                    if (one := self.view.get(ref.group, ref.kind, ref.namespace, ref.name))
                ]
            shelf = self._built(index)
        return shelf.at(key)

    def keys(self, index: str) -> KeysView[Any]:
        """Return the keys under which an index has something."""
        if self._reading is not None:
            self._reading.tokens.add(index)
        return (self._shelves.get(index) or self._built(index)).keys()

    def _built(self, name: str) -> Shelf[Resource]:
        index = INDEXES[name]
        shelf: Shelf[Resource] = Shelf(place)
        for group, kind in sorted(self.view.kinds()):
            if index.covers(group, kind):
                for one in self.view.list(group, kind):
                    shelf.append((key, one) for key in dict.fromkeys(index.keys(one)))
        self._shelves[name] = shelf
        return shelf

    def _references(self) -> Shelf[Edge]:
        if self._targets is None:
            self._targets = Shelf(_source)
            for group, kind in sorted(self.view.kinds()):
                if kind != "Event":
                    for one in self.view.list(group, kind):
                        self._targets.append((edge.target, edge) for edge in edges(one))
        return self._targets

    def get(self, ref: Ref) -> Resource | None:
        """Return the object; in files, no namespace and `default` are one, as kubectl would have it."""
        if self._reading is not None:
            self._reading.tokens.add(ref)
        found = self.view.get(ref.group, ref.kind, ref.namespace, ref.name)
        if found is None and not self.live and ref.namespace in {"", "default"}:
            other = Ref(ref.group, ref.kind, "" if ref.namespace else "default", ref.name)
            if self._reading is not None:
                self._reading.tokens.add(other)
            found = self.view.get(other.group, other.kind, other.namespace, other.name)
        return found

    def space(self, ref: Ref) -> str:
        """Return the namespace of a namespaced object, `default` where files leave it open."""
        return ref.namespace or "default"

    def of_kind(self, group: str, kind: str, namespace: str | None = None) -> Sequence[Resource]:
        """Return the objects of a kind, in one namespace or in all, sorted by namespace and name."""
        if namespace is None:
            return self.at("kind", (group, kind))
        return self.at("kind in", (group, kind, namespace))

    def beside(self, group: str, kind: str, ref: Ref) -> list[Resource]:
        """Return the objects of a kind that live where the given object lives (everywhere, for kinds without a namespace)."""
        if (group, kind) in CLUSTER_SCOPED:
            return list(self.of_kind(group, kind))
        space = self.space(ref)
        if self.live or space != "default":
            return list(self.of_kind(group, kind, space))
        return [*self.of_kind(group, kind, ""), *self.of_kind(group, kind, space)]

    def names(self, target: Ref, asker: Ref) -> list[str]:
        """Return the names of the objects of the target's kind that the asker could have meant."""
        return [place(one)[3] for one in self.beside(target.group, target.kind, asker)]

    @property
    def everything(self) -> list[Resource]:
        """Every object but Events. A wide look: who takes it is asked again after any change."""
        if self._reading is not None:
            self._reading.tokens.add(EVERYTHING)
        return [
            one
            for group, kind in sorted(self.view.kinds())
            if kind != "Event"
            for one in self.view.list(group, kind)
        ]

    def referrers(self, target: Ref) -> Sequence[Edge]:
        """Return every reference to the object, by whatever names it. Not a copy: it must not be changed."""
        if self._reading is not None:
            self._reading.tokens.add(("target", target))
        return self._references().at(target)

    # Owners, templates and pods

    def owner(self, resource: Resource) -> Resource | None:
        """Return the object that controls this one, if it is here."""
        meta = resource.get("metadata")
        if not isinstance(meta, dict) or not meta.get("ownerReferences"):
            return None
        for _, owner in mappings(meta, "ownerReferences"):
            if owner.get("controller") is not True:
                continue
            group, kind = text(owner, "apiVersion").rpartition("/")[0], text(owner, "kind")
            where = "" if (group, kind) in CLUSTER_SCOPED else meta.get("namespace") or ""
            name = text(owner, "name")
            if self._reading is not None:
                self._reading.tokens.add(Ref(group, kind, where, name))
            found = self.view.get(group, kind, where, name)
            if found is not None and (found.get("metadata") or {}).get("uid") == owner.get("uid"):
                return found
        return None

    def top(self, resource: Resource) -> Resource:
        """Return the object at the top of the chain of controllers: the highest that makes pods, if one does.

        What stands above a Deployment (a custom resource, say) had it made, but holds no template of pods.
        """
        held = self._tops.get(id(resource))
        if held is not None and held[0] is resource:
            return held[1]
        highest, maker = resource, None
        for _ in range(9):
            if template_path(highest) is not None:
                maker = highest
            owner = self.owner(highest)
            if owner is None:
                break
            highest = owner
        found = highest if maker is None else maker
        if not self._lasting:
            self._tops[id(resource)] = (resource, found)
        return found

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
        held = self._templates.get(id(resource))
        if held is None or held.resource is not resource:
            path = template_path(resource)
            if path is None:
                return None
            held = self._templates[id(resource)] = Template(Ref.of(resource), resource, path)
        return held

    def maker(self, resource: Resource) -> Template | None:
        """Return the object as something that makes pods, and that no other such object here made, nor somebody deletes; else None.

        A Job that is complete makes none any more.
        """
        found = self.template_of(resource)
        if found is None or mapping(resource, "metadata").get("deletionTimestamp") or done(resource):
            return None
        return found if self.top(resource) is resource else None

    @property
    def templates(self) -> list[Template]:
        """Every object that makes pods and that no other object here made. A wide look."""
        return [found for one in self.everything if (found := self.maker(one)) is not None]

    def templates_in(self, namespace: str) -> list[Template]:
        """Return those of one namespace (`default` for what files put in none). Not a copy: it must not be changed."""
        return self.kept(_makers, namespace)

    def member(self, pod: Resource) -> Member | None:
        """Return a live pod with what stands at the top of its owners; None in files, and for one that is being deleted."""
        if not self.live or mapping(pod, "metadata").get("deletionTimestamp"):
            return None
        return self.kept(_member, Ref.of(pod))

    @property
    def members(self) -> list[Member]:
        """Every live pod that is not being deleted; none in files. A wide look."""
        return [found for pod in self.of_kind("", "Pod") if (found := self.member(pod)) is not None]

    def crew(self, ref: Ref) -> Sequence[Member]:
        """Return the live pods at the top of whose owners the object stands; a pod that nobody owns is its own."""
        return self.kept(_crew, ref) if self.live else ()

    def below(self, ref: Ref) -> Sequence[Member]:
        """Return the live pods that the object controls, directly or through others (a pod: itself)."""
        return self.kept(_below, ref) if self.live else ()

    def selected(self, selector: Mapping[str, str], ref: Ref) -> list[Member]:
        """Return the live pods beside the object that have all these labels."""
        return list(self.kept(_selected, ref.namespace, _hashable(selector))) if self.live else []

    def described(self, selector: Mapping[str, str], ref: Ref) -> list[Template]:
        """Return the templates beside the object whose pods have all these labels."""
        return list(self.kept(_described, self.space(ref), _hashable(selector)))

    def rarest(self, index: str, space: str, selector: frozenset[tuple[str, str]]) -> Sequence[Resource]:
        """Return the objects that have the label of the selector that the fewest have."""
        shelf = self._shelves.get(index) or self._built(index)
        keys = [(space, key, value) for key, value in selector]
        return self.at(index, min(keys, key=lambda key: len(shelf.at(key)))) if keys else ()

    # Events, places and quotes

    def events(self, ref: Ref, *reasons: str) -> list[Noted]:
        """Return the Kubernetes Events about the object, the oldest first, of these reasons only if any are given.

        Events of an earlier object of the same name are left out.
        """
        if not self.at("about", ref):
            return []
        return [
            note
            for note in self.kept(_notes, ref)
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
        ago = f"{self.ago(note.last)} ago" if note.last else "at an unknown time"
        joint = " over time, last " if note.count > 1 else ""
        return Evidence("event", ref, f"{note.reason}: {self.quote(note.message, ref)}{times}{joint}{ago})")

    def quote(self, foreign: str, ref: Ref, limit: int = 400) -> str:
        """Return text that came from outside (logs, events), on one line, shortened, without secrets and control characters."""
        for value, stand_in in self.kept(stand_ins, self.space(ref)):
            if value in foreign:
                foreign = foreign.replace(value, stand_in)
        line = " ".join(visible(hushed(foreign)).split())
        return line if len(line) <= limit else line[: limit - 1] + "…"


_NOTHING = Reads()
_NOBODY: frozenset[Hashable] = frozenset()


def _source(edge: Edge) -> Place:
    source = edge.source
    return (source.group, source.kind, source.namespace, source.name)


def _hashable(selector: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((key, str(value)) for key, value in selector.items())


def _selected(inventory: Inventory, space: str, wanted: frozenset[tuple[str, str]]) -> Sequence[Member]:
    pods = inventory.rarest("label", space, wanted)
    found = (inventory.member(pod) for pod in pods if wanted <= mapping(pod, "metadata", "labels").items())
    return [one for one in found if one is not None]


def _described(inventory: Inventory, space: str, wanted: frozenset[tuple[str, str]]) -> Sequence[Template]:
    makers = inventory.rarest("template label", space, wanted)
    found = (inventory.maker(one) for one in makers)
    return [one for one in found if one is not None and wanted <= one.labels.items()]


def _member(inventory: Inventory, ref: Ref) -> Member:
    pod = inventory.get(ref) or {}
    top = inventory.template_of(inventory.top(pod)) or Template(ref, pod, ())
    return Member(Ref.of(pod), pod, top)


def _crew(inventory: Inventory, ref: Ref) -> Sequence[Member]:
    return [one for one in inventory.below(ref) if one.top.ref == ref]


def _below(inventory: Inventory, ref: Ref) -> Sequence[Member]:
    found: list[Member] = []
    resource = inventory.get(ref)
    heads = [resource] if resource is not None else []
    seen = set()
    for head in heads:
        uid = text(head, "metadata", "uid")
        if (head.get("kind"), head.get("apiVersion")) == ("Pod", "v1"):
            member = inventory.member(head)
            if member is not None:
                found.append(member)
        if uid and uid not in seen:
            seen.add(uid)
            heads.extend(inventory.at("controller", uid))
    return sorted(found, key=lambda one: (one.ref.namespace, one.ref.name))


def _makers(inventory: Inventory, namespace: str) -> list[Template]:
    makers = (inventory.maker(one) for one in inventory.at("template", namespace))
    return [one for one in makers if one is not None]


def _notes(inventory: Inventory, ref: Ref) -> list[Noted]:
    notes = [noted(event) for event in inventory.at("about", ref)]
    return sorted(notes, key=lambda note: note.last.timestamp() if note.last else 0.0)


__all__ = [
    "ALWAYS",
    "ANY_KIND",
    "ANY_MAKER",
    "EVERYTHING",
    "Inventory",
    "Locate",
    "Member",
    "Noted",
    "Reads",
    "Scope",
    "Template",
    "moment",
    "ready",
    "span",
]
