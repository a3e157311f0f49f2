"""What a rule's expressions see of one subject: the request, its images, and the entries of `context`, each made when first asked for.

A Context belongs to one rule and one subject. Entries see only those before them; a scope (one element of a foreach) adds names
for as long as it lasts. Nothing here fetches: what only the world knows is raised as Lacking by the entry that wants it.
Source: kyverno/kyverno pkg/engine/context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from fairlead.judge.standards_pods import Pod
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import jmespath
from fairlead.tongues.jmespath import Failed, Missing, Moment
from fairlead.words import Need, Ref

_ACCOUNT = "system:serviceaccount:"
_KEPT = "kyverno.contexts"


class Unresolved(Exception):
    """A variable or a context entry came to nothing; the message says which and why, in Kyverno's words."""


class Root(dict[str, Any]):
    """The names that expressions start from. A name that is not here yet is made, by an entry or from the request.

    A Root within another is a scope: entered with `with`, it is what the context's expressions start from until it is left.
    """

    __slots__ = ("_context", "_element", "_entries", "_limit", "_parent")

    def __init__(self, context: Context, parent: Root | None, names: Mapping[str, Any]) -> None:
        super().__init__(names)
        self._context = context
        self._parent = parent
        self._element: Any = None
        self._entries: list[tuple[str, Load]] = []
        self._limit = 0

    def __enter__(self) -> Context:
        context = self._context
        context.data, self._element = self, context.element
        return context

    def __exit__(self, *_: object) -> None:
        context = self._context
        assert self._parent is not None  # only what lies within another Root is entered
        context.data, context.element = self._parent, self._element

    def add(self, name: str, load: Load) -> None:
        """Let a name be made by `load` when it is first asked for. A later entry of the same name hides the earlier one."""
        self._entries.append((name, load))
        self._limit = len(self._entries)
        self.pop(name, None)

    def __missing__(self, key: str) -> Any:
        for index in range(self._limit - 1, -1, -1):
            name, load = self._entries[index]
            if name == key:
                value = self._load(key, load, index)
                self[key] = value
                return value
        if self._parent is not None:
            return self._parent[key]
        make = _BUILT_IN.get(key)
        if make is None:
            return Missing(key)
        value = make(self._context)
        if value.__class__ is not Missing:
            self[key] = value
        return value

    def _load(self, key: str, load: Load, index: int) -> Any:
        """Make an entry's value with only the entries before it in sight. What goes wrong is kept as the value."""
        context, limit = self._context, self._limit
        before, context.data, self._limit = context.data, self, index
        try:
            return load(context)
        except (Unresolved, Failed) as error:
            return Missing(key, str(error))
        finally:
            context.data, self._limit = before, limit


class Context:
    """What one rule's expressions see of one subject.

    `data` is the innermost Root: ask it with `[]`. `deleting` says that the request is a DELETE, in which `request.object` stands for
    the old object. `element` is the element of the innermost foreach that is to be looked at in the object's place, or None.
    `given` are values that somebody handed in for this rule, by their dotted names (`request.operation`, `podcounts`): they stand
    where only the world would know better. `extractors` are the rule's `imageExtractors`.
    """

    __slots__ = (
        "around", "data", "deleting", "element", "extractors", "given", "moment", "shared", "subject",
    )  # fmt: skip

    def __init__(
        self,
        subject: Subject,
        around: Surroundings,
        given: Mapping[str, Any] | None = None,
        extractors: Mapping[str, Any] | None = None,
    ) -> None:
        self.given: Mapping[str, Any] = given or {}
        self.subject = subject
        self.around = around
        self.deleting = subject.target.operation == "DELETE"
        self.element: Any = None
        self.extractors = extractors
        self.shared = shared = _shared(subject, around)
        self.moment = Moment(around.now, shared.seed, shared.resolve)
        self.data = Root(self, None, _nested(self) if given else {"request": shared.request})

    def add(self, name: str, load: Load) -> None:
        """Let `load` make the name's value when it is first asked for, in the innermost scope."""
        self.data.add(name, load)

    def scope(self, names: Mapping[str, Any]) -> Root:
        """Return what, used with `with`, adds names and whatever entries are added meanwhile for as long as it lasts."""
        return Root(self, self.data, names)

    def close(self) -> None:
        """Say that nothing more is asked: without the circle of context and names, both go now, not when the collector comes by."""
        del self.data

    def states(self, name: str) -> bool:
        """Return whether a value is given for a name, or for something below it."""
        return any(one == name or one.startswith(f"{name}.") for one in self.given)

    def query(self, text: str) -> Any:
        """Return what an expression comes to. Raises jmespath's BadExpression, NotFound or Failed."""
        if self.deleting and "request.object" in text:
            text = text.replace("request.object", "request.oldObject")
        return jmespath.compile(text)(self.data, self.moment)


class _Shared:
    """What all rules about one subject have in common, made once: none of it is ever changed."""

    __slots__ = ("around", "images", "pod", "request", "seed", "subject")

    def __init__(self, subject: Subject, around: Surroundings) -> None:
        self.subject = subject
        self.around = around
        self.request = request_of(subject)
        self.seed = (around.seed, subject.uid, subject.target.kind, subject.namespace, subject.name)
        self.images: Any = None
        self.pod: Pod | None = None

    def resolve(self, host: str) -> list[str]:
        """Return the addresses of a host's name. Raises Lacking."""
        found = self.around.ask(Need("dns", Ref("", "", "", host)))
        return [str(address) for address in found]


def _shared(subject: Subject, around: Surroundings) -> _Shared:
    """Return what rules about a subject share: the last subject's is kept in the moment's memo, as rules come in a row."""
    kept = around.memo.get(_KEPT)
    if kept is None or kept.subject is not subject or kept.around is not around:
        kept = around.memo[_KEPT] = _Shared(subject, around)
    made: _Shared = kept
    return made


Load: TypeAlias = Callable[[Context], Any]
"""Makes the value of a context entry. Raises Unresolved, or Lacking."""


def given_for(around: Surroundings, policy: str, rule: str, subject: Subject) -> Mapping[str, Any] | None:
    """Return the values that are stated for a rule about a subject, or None."""
    return around.given(policy, rule, subject.name) if around.given is not None else None


def _nested(context: Context) -> dict[str, Any]:
    """Return the given values by their first names; the request is completed with what it has itself."""
    names: dict[str, Any] = {}
    for dotted, value in context.given.items():
        first, *rest = dotted.split(".")
        if not rest:
            names[first] = value
            continue
        if first not in names:
            make = _BUILT_IN.get(first)
            names[first] = make(context) if make else {}
        here = names[first] = _copied(names[first])
        for step in rest[:-1]:
            here[step] = _copied(here.get(step))
            here = here[step]
        here[rest[-1]] = value
    return names


def _copied(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def request_of(subject: Subject) -> dict[str, Any]:
    """Return the request as expressions see it: an AdmissionRequest with the user's roles.

    For an object under scan there is no old object, and nobody asked: then there is no user either. For DELETE, `object` is null.
    """
    target, user = subject.target, subject.user
    kind = {"group": target.group, "version": target.version, "kind": target.kind}
    resource = {"group": target.group, "version": target.version, "resource": target.plural}
    request: dict[str, Any] = {
        "uid": subject.uid,
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": subject.name,
        "operation": target.operation,
        "object": subject.object,
        "dryRun": subject.dry_run,
    }
    if not is_anonymous(subject):
        request |= {
            "userInfo": {
                "username": user.name,
                "uid": user.uid,
                "groups": list(user.groups),
                "extra": {key: list(values) for key, values in user.extra},
            },
            "roles": list(subject.roles),
            "clusterRoles": list(subject.cluster_roles),
        }
    if target.subresource:
        request["subResource"] = request["requestSubResource"] = target.subresource
    if subject.namespace:
        request["namespace"] = subject.namespace
    if subject.old is not None or not subject.scan:
        request["oldObject"] = subject.old
    if subject.options:
        request["options"] = subject.options
    return request


def is_anonymous(subject: Subject) -> bool:
    """Return whether nobody is known to have asked: an object under scan, or a file."""
    user = subject.user
    return not (user.name or user.groups or user.uid or subject.roles or subject.cluster_roles)


def _images(context: Context) -> Any:
    from fairlead.dialects.kyverno.contents import images_of

    shared = context.shared
    if context.extractors:
        found = images_of(context.subject.present, context.extractors, context.moment.registry)
        return found or Missing("images")
    if shared.images is None:
        shared.images = images_of(context.subject.present, None, context.moment.registry) or Missing("images")
    return shared.images


def _account(context: Context, part: int) -> Any:
    """Return the service account's namespace (0) or name (1): empty when the user is none, missing when there is no user."""
    if is_anonymous(context.subject):
        return Missing("serviceAccountName" if part else "serviceAccountNamespace")
    name = context.subject.user.name
    parts = name.removeprefix(_ACCOUNT).split(":") if name.startswith(_ACCOUNT) else []
    return parts[part] if len(parts) >= 2 else ""


_BUILT_IN: Mapping[str, Load] = {
    "request": lambda context: context.shared.request,
    "images": _images,
    "serviceAccountNamespace": lambda context: _account(context, 0),
    "serviceAccountName": lambda context: _account(context, 1),
}
