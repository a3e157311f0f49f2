"""Which objects policies generated, of what and for what: an index over labels, so that most writes need no second look.

Holds names only. What follows from a change is the dialect's to say; it gets a view of the generated objects alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from fairlead.keep.entries import Stored
from fairlead.words import Ref, Resource, View

PREFIX = "generate.kyverno.io/"
"""What the labels begin with that say where an object comes from."""
_POLICY = f"{PREFIX}policy-name"
_ROLES = ("trigger", "source")
POLICY_GROUPS = frozenset({"kyverno.io", "policies.kyverno.io"})

_Known: TypeAlias = str | Ref | tuple[str, str]
"""An object by its uid, or by its name; a policy by its name and namespace."""


class Origins:
    """See the module."""

    def __init__(self) -> None:
        self._made: dict[Ref, tuple[_Known, ...]] = {}
        self._for: dict[_Known, dict[Ref, None]] = {}

    def __len__(self) -> int:
        return len(self._made)

    def clear(self) -> None:
        """Forget everything."""
        self._made.clear()
        self._for.clear()

    def put(self, ref: Ref, labels: Mapping[str, str]) -> None:
        """Take an object in, or forget it when its labels no longer say that it was generated."""
        self.drop(ref)
        if _POLICY not in labels:
            return
        policy = (labels[_POLICY], labels.get(f"{PREFIX}policy-namespace", ""))
        known = (policy, *(one for role in _ROLES for one in _marked(labels, role)))
        self._made[ref] = known
        for one in known:
            self._for.setdefault(one, {})[ref] = None

    def drop(self, ref: Ref) -> None:
        """Forget an object."""
        for one in self._made.pop(ref, ()):
            mine = self._for[one]
            mine.pop(ref, None)
            if not mine:
                del self._for[one]

    def refs(self) -> Sequence[Ref]:
        """Return every generated object."""
        return list(self._made)

    def concerned(self, ref: Ref, uid: str) -> bool:
        """Whether an object was generated, or others were of it or for it."""
        return ref in self._made or uid in self._for or ref in self._for

    def view(self, around: View, ref: Ref, uid: str) -> View:
        """Return a view whose lists hold policies, and what was generated of, for or by an object, and nothing else."""
        found: dict[Ref, None] = {ref: None} if ref in self._made else {}
        for one in (uid, ref, (ref.name, ref.namespace) if ref.group in POLICY_GROUPS else ""):
            found |= self._for.get(one, {})
        kinds: dict[tuple[str, str], list[Ref]] = {}
        for each in found:
            kinds.setdefault((each.group, each.kind), []).append(each)
        return _Generated(around, kinds)


def generated(stored: Stored | None) -> bool:
    """Whether the labels of an object say that a policy made it."""
    return stored is not None and _POLICY in stored.labels


def _marked(labels: Mapping[str, str], role: str) -> Sequence[_Known]:
    parts = [labels.get(f"{PREFIX}{role}-{part}", "") for part in ("group", "kind", "namespace", "name")]
    uid = labels.get(f"{PREFIX}{role}-uid", "")
    found: list[_Known] = [uid] if uid else []
    if parts[1] and parts[3]:
        found.append(Ref(*parts))
    return found


class _Generated:
    """A View: single objects as they are, but of lists only what was generated, and policies."""

    def __init__(self, around: View, kinds: Mapping[tuple[str, str], Sequence[Ref]]) -> None:
        self._around = around
        self._kinds = kinds

    def get(self, group: str, kind: str, namespace: str, name: str) -> Resource | None:
        return self._around.get(group, kind, namespace, name)

    def list(self, group: str, kind: str, namespace: str | None = None) -> Sequence[Resource]:
        if group in POLICY_GROUPS:
            return self._around.list(group, kind, namespace)
        found = (
            self._around.get(ref.group, ref.kind, ref.namespace, ref.name)
            for ref in self._kinds.get((group, kind), ())
            if namespace is None or ref.namespace == namespace
        )
        return [one for one in found if one is not None]

    def owned(self, uid: str) -> Sequence[Resource]:
        return self._around.owned(uid)

    def kinds(self) -> Sequence[tuple[str, str]]:
        return list(self._kinds)
