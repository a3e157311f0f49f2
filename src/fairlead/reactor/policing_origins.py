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

_Known: TypeAlias = str | Ref
"""An object by its uid, or by its name."""


class Origins:
    """See the module."""

    def __init__(self) -> None:
        self._made: dict[Ref, tuple[_Known, ...]] = {}
        self._kinds: dict[tuple[str, str], dict[Ref, None]] = {}
        self._for: dict[_Known, int] = {}

    def __len__(self) -> int:
        return len(self._made)

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]  # it is empty again, as new

    def put(self, ref: Ref, labels: Mapping[str, str]) -> None:
        """Take an object in, or forget it when its labels no longer say that it was generated."""
        self.drop(ref)
        if _POLICY not in labels:
            return
        known = tuple(one for role in _ROLES for one in _marked(labels, role))
        self._made[ref] = known
        self._kinds.setdefault((ref.group, ref.kind), {})[ref] = None
        for one in known:
            self._for[one] = self._for.get(one, 0) + 1

    def drop(self, ref: Ref) -> None:
        """Forget an object."""
        known = self._made.pop(ref, None)
        if known is None:
            return
        mine = self._kinds[ref.group, ref.kind]
        del mine[ref]
        if not mine:
            del self._kinds[ref.group, ref.kind]
        for one in known:
            self._for[one] -= 1
            if not self._for[one]:
                del self._for[one]

    def concerned(self, ref: Ref, uid: str) -> bool:
        """Whether an object was generated, or others were of it or for it."""
        return ref in self._made or uid in self._for or ref in self._for

    def view(self, around: View) -> View:
        """Return a view whose lists hold policies and generated objects only."""
        return _Generated(around, self._kinds)


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

    def __init__(self, around: View, kinds: Mapping[tuple[str, str], Mapping[Ref, None]]) -> None:
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
