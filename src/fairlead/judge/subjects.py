"""What is judged: a request as the API server sees it, or an object as it stands.

Data only. A Subject never changes; a mutation gives a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

from fairlead.words import Ref, Resource, User

Operation: TypeAlias = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]

ANONYMOUS = User(name="")
"""Nobody in particular: files have no author."""


class Target(NamedTuple):
    """The sort of request: what decides which rules may concern it at all. `plural` is the resource's name in paths."""

    group: str
    version: str
    kind: str
    plural: str
    subresource: str = ""
    operation: Operation = "CREATE"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """One request, or one object under scan.

    `object` is None for DELETE, `old` for CREATE and CONNECT. `namespace` is "" for cluster scope; for a Namespace itself it is its
    own name, as in Kubernetes' requests. `space` is the Namespace object, where it is known. `options` are the request's
    CreateOptions and the like. `scan` is set when nobody asked for anything: the object is looked at as it stands. `roles` and
    `cluster_roles` name what the user is bound to (roles as `namespace:name`), for the dialects that match on them.
    """

    target: Target
    name: str
    namespace: str = ""
    object: Resource | None = None
    old: Resource | None = None
    space: Resource | None = None
    user: User = ANONYMOUS
    roles: tuple[str, ...] = ()
    cluster_roles: tuple[str, ...] = ()
    dry_run: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    uid: str = ""
    scan: bool = False

    @property
    def ref(self) -> Ref:
        """The name of what is judged."""
        meta = (self.object or self.old or {}).get("metadata") or {}
        namespace = "" if self.target.kind == "Namespace" and not self.target.group else self.namespace
        return Ref(self.target.group, self.target.kind, namespace, self.name, meta.get("uid") or "")

    @property
    def present(self) -> Resource:
        """The object, or what it was when it is being deleted."""
        return self.object if self.object is not None else (self.old or {})

    def become(self, object_: Resource) -> Subject:
        """Return the same request about a changed object."""
        return replace(self, object=object_)


def subject_of(
    resource: Resource,
    plural: str,
    *,
    space: Resource | None = None,
    user: User = ANONYMOUS,
    operation: Operation = "CREATE",
    scan: bool = False,
) -> Subject:
    """Return the Subject for an object as it stands, as though it were created (or, with `operation`, otherwise) by `user`."""
    ref = Ref.of(resource)
    version = (resource.get("apiVersion") or "").rpartition("/")[2]
    target = Target(ref.group, version, ref.kind, plural, "", operation)
    namespace = ref.name if (ref.group, ref.kind) == ("", "Namespace") else ref.namespace
    return Subject(
        target=target,
        name=ref.name,
        namespace=namespace,
        object=None if operation == "DELETE" else resource,
        old=resource if operation in {"DELETE", "UPDATE"} else None,
        space=space,
        user=user,
        scan=scan,
    )
