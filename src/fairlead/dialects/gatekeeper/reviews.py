"""`input.review`: what a template sees of a request, made once for each subject and shared by all constraints.

Objects are put in as they are, never copied. Source: github.com/open-policy-agent/gatekeeper pkg/target (gkReview is the JSON
of an AdmissionRequest; older versions added `_unstable.namespace`, newer ones `namespaceObject`), pkg/webhook (what is exempt).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from fairlead.dialects.gatekeeper.expansions import Expansions, Inexpansible
from fairlead.dialects.gatekeeper.inventories import Exclusion
from fairlead.dialects.gatekeeper.matching import Match, Origin, Unmatchable, meta_of
from fairlead.judge.expressions_requests import user_info
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.words import Ref, Resource

IGNORE: Final = "admission.gatekeeper.sh/ignore"
"""A namespace with this label is left alone at admission."""

Review: TypeAlias = dict[str, Any]

_SUBRESOURCES: Final = frozenset(
    {
        "pods/ephemeralcontainers", "pods/exec", "pods/log", "pods/eviction", "pods/portforward", "pods/proxy",
        "pods/attach", "pods/binding", "pods/resize", "deployments/scale", "replicasets/scale", "statefulsets/scale",
        "replicationcontrollers/scale", "services/proxy", "nodes/proxy", "services/status",
    }
)  # fmt: skip


def asked_of(plural: str, subresource: str) -> bool:
    """Whether Gatekeeper's webhook is asked about a subresource at all."""
    return not subresource or f"{plural}/{subresource}" in _SUBRESOURCES


@dataclass(slots=True, eq=False)
class Reviewed:
    """One object under review: the document, what is matched on, and where it came from.

    `template` and `action` are of the ExpansionTemplate that it was expanded by, "" for what was asked for.
    """

    subject: Subject
    review: Review
    objects: tuple[Resource, ...]
    space: Resource | None
    origin: Origin = "Original"
    template: str = ""
    action: str = ""

    def matches(self, match: Match) -> bool:
        """Whether the new or the old object is meant. Raises Unmatchable with Gatekeeper's text."""
        for one in self.objects:
            try:
                if match.matches(one, self.space, self.origin):
                    return True
            except Unmatchable as error:
                name = meta_of(one).get("name") or ""
                raise Unmatchable(f"error matching the requested object: {name} :{error}") from None
        return False


def review_of(subject: Subject, space: Resource | None) -> Review:
    """Return the document about a subject. A deleted object stands under `object` too; a scan has no operation and no user."""
    target = subject.target
    object_ = subject.object
    if object_ is None and target.operation == "DELETE":
        object_ = subject.old
    kind = {"group": target.group, "version": target.version, "kind": target.kind}
    review: Review = {
        "uid": subject.uid,
        "kind": kind,
        "resource": {"group": target.group, "version": target.version, "resource": target.plural},
        "operation": "" if subject.scan else target.operation,
        "userInfo": {} if subject.scan else user_info(subject.user),
        "object": object_,
        "oldObject": None if subject.scan else subject.old,
        "options": dict(subject.options) or None,
    }
    if subject.scan:
        review["resource"] = {"group": "", "version": "", "resource": ""}
    else:
        review["dryRun"] = subject.dry_run
        review["requestKind"] = kind
        review["requestResource"] = review["resource"]
    if target.subresource:
        review["subResource"] = review["requestSubResource"] = target.subresource
    name = subject.name or meta_of(object_ or {}).get("name")
    if name:
        review["name"] = name
    namespace = meta_of(object_ or {}).get("namespace") if subject.scan else subject.namespace
    if namespace:
        review["namespace"] = namespace
    if space is not None:
        review["_unstable"] = {"namespace": space}
    review["namespaceObject"] = space
    return review


def space_of(subject: Subject, around: Surroundings) -> Resource | None:
    """Return the Namespace that a subject is in, where it is known."""
    if subject.space is not None:
        return subject.space
    return around.view.get("", "Namespace", "", subject.namespace) if subject.namespace else None


class Desk:
    """Makes the reviews of a subject, once for all constraints, and says which subjects are left alone."""

    def __init__(self, exclusions: Sequence[Exclusion], expansions: Expansions) -> None:
        self.exclusions = tuple(exclusions)
        self.expansions = expansions

    def excludes(self, process: str, subject: Subject, space: Resource | None) -> bool:
        """Whether a process leaves a subject's namespace alone."""
        if process != "audit" and space is not None and IGNORE in (meta_of(space).get("labels") or ()):
            return True
        namespace = subject.namespace
        return bool(namespace) and any(one.excludes(process, namespace) for one in self.exclusions)

    def mutation_excluded(self, subject: Subject, around: Surroundings) -> bool:
        """Whether mutators leave a subject's namespace alone."""
        return self.excludes("mutation-webhook", subject, space_of(subject, around))

    def reviewed(self, subject: Subject, around: Surroundings) -> tuple[Reviewed, ...]:
        """Return the reviews about a subject: its own first, then of what it expands to; nothing if it is left alone.

        Raises Inexpansible. Only the last subject's are kept: constraints ask one after another about the same.
        """
        kept: tuple[Subject, tuple[Reviewed, ...]] | None = around.memo.get(self)
        if kept is not None and kept[0] is subject:
            return kept[1]
        found = tuple(self._reviewed(subject, around))
        around.memo[self] = (subject, found)
        return found

    def _reviewed(self, subject: Subject, around: Surroundings) -> list[Reviewed]:
        space = space_of(subject, around)
        if self.excludes("audit" if subject.scan else "webhook", subject, space):
            return []
        objects = tuple(one for one in (subject.object, subject.old) if one is not None)
        found = [Reviewed(subject, review_of(subject, space), objects, space)]
        base = subject.object
        if base is not None and self.expansions.applies:
            for made, template, action in self.expansions.of(base, space):
                child = _child(subject, made, around)
                found.append(
                    Reviewed(child, review_of(child, space), (made,), space, "Generated", template, action)
                )
        return found


def _child(subject: Subject, made: Resource, around: Surroundings) -> Subject:
    ref = Ref.of(made)
    version = str(made.get("apiVersion") or "").rpartition("/")[2]
    plural = around.kinds.plural(ref.group, ref.kind)
    target = subject.target._replace(
        group=ref.group, version=version, kind=ref.kind, plural=plural, subresource=""
    )
    return replace(
        subject, target=target, name=ref.name, namespace=ref.namespace, object=made, old=None, uid=""
    )


__all__ = ["Desk", "Inexpansible", "Reviewed", "asked_of", "review_of", "space_of"]
