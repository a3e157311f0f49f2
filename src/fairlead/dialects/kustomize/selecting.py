"""Which items a target means: expressions over group, version, kind, name and namespace, and selectors of labels and annotations.

An expression must match the whole of a value. A name or namespace may be the present one or the first one.
Source: sigs.k8s.io/kustomize/api/types (Selector) and api/resmap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from fairlead.dialects.kustomize.items import Id, Item
from fairlead.dialects.kustomize.schemas import Schemas

if TYPE_CHECKING:
    from fairlead.tongues.selectors import Expr

_LITERAL = re.compile(r"[\w/-]*\Z")
_PARTS: Final = ("group", "version", "kind", "name", "namespace")


class BadSelector(ValueError):
    """A part of a selector that is no expression; the message says which and why."""


def matcher(pattern: str) -> Callable[[str], bool] | None:
    """Return what tells whether a value matches an expression as a whole; None: any does. Raises BadSelector."""
    if not pattern or pattern == ".*":
        return None
    if _LITERAL.match(pattern):
        return lambda value: value == pattern
    from fairlead.tongues import regexes  # only where a tree needs expressions

    try:
        return regexes.finder(f"^(?:{pattern})$")
    except regexes.BadPattern as fault:
        raise BadSelector(f"{pattern!r} is no regular expression: {fault}") from None


class Selector:
    """A compiled selector. `names_something` tells whether it says anything but labels and annotations."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._group, self._version, self._kind, self._name, self._namespace = (
            matcher(document.get(part, "")) for part in _PARTS
        )
        self.names_something = any(document.get(part) for part in _PARTS)
        self._labels = _expression(document.get("labelSelector", ""))
        self._annotations = _expression(document.get("annotationSelector", ""))

    def select(self, items: Iterable[Item], schemas: Schemas) -> list[Item]:
        """Return the items that are meant, in order."""
        return [item for item in items if item.data and self._selects(item, schemas)]

    def _selects(self, item: Item, schemas: Schemas) -> bool:
        now = item.id(schemas)
        if not self.matches_kind(now):
            return False
        first = item.original(schemas) if item.former else now
        if self._name is not None and not self._name(now.name) and not self._name(first.name):
            return False
        if (
            self._namespace is not None
            and not self._namespace(now.namespace)
            and not self._namespace(first.namespace)
        ):
            return False
        return self.matches_marks(item)

    def matches_kind(self, identity: Id) -> bool:
        """Whether the group, version and kind are meant."""
        return (
            (self._kind is None or self._kind(identity.kind))
            and (self._group is None or self._group(identity.group))
            and (self._version is None or self._version(identity.version))
        )

    def matches_written(self, identity: Id, namespace: str) -> bool:
        """Whether an identity is meant, by the namespace that is written in it."""
        return (
            self.matches_kind(identity)
            and (self._name is None or self._name(identity.name))
            and (self._namespace is None or self._namespace(namespace))
        )

    @property
    def marks(self) -> bool:
        """Whether labels or annotations matter."""
        return self._labels is not None or self._annotations is not None

    def matches_marks(self, item: Item) -> bool:
        """Whether labels and annotations are meant."""
        return (self._labels is None or self._labels.matches(item.texts("labels"))) and (
            self._annotations is None or self._annotations.matches(item.texts("annotations"))
        )


def _expression(text: str) -> Expr | None:
    if not text.strip():
        return None
    from fairlead.tongues import selectors  # only where a tree selects by labels or annotations

    try:
        return selectors.parse(text)
    except ValueError as fault:
        raise BadSelector(f"{text!r} is no selector: {fault}") from None
