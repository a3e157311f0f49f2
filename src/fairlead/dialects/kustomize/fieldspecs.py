"""Field specs: which fields of which kinds a transformer is about, and the walk to them.

A spec selects by group, version and kind (empty: any) and has a path of names; lists on the way are walked through whether or not the
path says so with `[]`. With `create` what is missing on the way is made.
Source: sigs.k8s.io/kustomize/api/filters/fieldspec and api/types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from fairlead.dialects.kustomize.items import Item
from fairlead.dialects.kustomize.scalars import nothing
from fairlead.render.packages import Mistake, Mistaken
from fairlead.words import Where


class FieldSpec(NamedTuple):
    """One kind of place. Empty group, version and kind mean any."""

    path: str
    group: str = ""
    version: str = ""
    kind: str = ""
    create: bool = False

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> FieldSpec:
        """Return the spec that a checked document says."""
        group, version, kind = (document.get(key, "") for key in ("group", "version", "kind"))
        return cls(document.get("path", ""), group, version, kind, document.get("create", False))

    def selects(self, api_version: str, kind: str) -> bool:
        """Whether objects of the kind are meant."""
        if self.kind and self.kind != kind:
            return False
        if not self.group and not self.version:
            return True
        group, slash, version = api_version.partition("/")
        if not slash:
            group, version = "", api_version
        return (not self.group or self.group == group) and (not self.version or self.version == version)

    def covers(self, other: FieldSpec) -> bool:
        """Whether this, in a list, makes another one needless: their paths are equal, and this is of what the other selects."""
        return (
            self.path == other.path
            and (not other.kind or self.kind == other.kind)
            and (not other.group or self.group == other.group)
            and (not other.version or self.version == other.version)
        )


Specs: TypeAlias = tuple[FieldSpec, ...]

Put: TypeAlias = Callable[[Any, Any], None]
"""Called with a mapping or list and the key or index of the field in it."""


class Unfit(Exception):
    """A field on the way is not what the path needs; the message says what."""


@lru_cache(maxsize=4096)
def split(path: str) -> tuple[str, ...]:
    """Return the names of a path; a slash after a backslash belongs to a name."""
    parts = path.split("/")
    if len(parts) > 1 and not parts[0]:
        del parts[0]
    found = [parts[0]]
    for part in parts[1:]:
        if found[-1].endswith("\\"):
            found[-1] = f"{found[-1][:-1]}/{part}"
        else:
            found.append(part)
    return tuple(found)


def visit(item: Item, spec: FieldSpec, put: Put, made: Callable[[], Any] | None = None) -> None:
    """Call `put` for each field of an item that the spec means. Raises Mistaken.

    `made` returns what a field that the spec creates holds before it is set; without it nothing is created.
    """
    if spec.selects(item.api_version, item.kind):
        follow(item, spec, put, made)


def follow(item: Item, spec: FieldSpec, put: Put, made: Callable[[], Any] | None = None) -> None:
    """Do what `visit` does, for an item that the spec is known to select."""
    try:
        _walk(item.data, split(spec.path), 0, put, made if spec.create else None)
    except Unfit as unfit:
        raise unfitting(item, spec.path, str(unfit)) from None


def unfitting(item: Item, path: str, message: str) -> Mistaken:
    """Return the error that says that a field spec does not fit an item."""
    return Mistaken(
        Mistake(f"considering field '{path}' of object {item.kind} {item.name}: {message}", Where(item.file))
    )


class Visitor:
    """Goes to the fields that specs mean, in many items; which specs are about a kind is found once for each."""

    def __init__(self, specs: Iterable[FieldSpec]) -> None:
        self._specs = tuple(specs)
        self._chosen: dict[tuple[str, str], tuple[FieldSpec, ...]] = {}

    def specs(self, item: Item) -> tuple[FieldSpec, ...]:
        """Return the specs that are about an item's kind, in order."""
        key = (item.api_version, item.kind)
        found = self._chosen.get(key)
        if found is None:
            found = self._chosen[key] = tuple(spec for spec in self._specs if spec.selects(*key))
        return found

    def visit(self, item: Item, put: Put, made: Callable[[], Any] | None = None) -> None:
        """Call `put` for each field that any of the specs means, in their order. Raises Mistaken."""
        for spec in self.specs(item):
            follow(item, spec, put, made)


def _walk(holder: Any, names: tuple[str, ...], at: int, put: Put, made: Callable[[], Any] | None) -> None:
    """Go from a mapping (or a list of them) to the field that is named."""
    kind = type(holder)
    if kind is list:
        for one in holder:
            if not nothing(one):
                _walk(one, names, at, put, made)
        return
    if kind is not dict:
        raise Unfit("expected sequence or mapping node")
    name = names[at]
    if name.endswith("[]"):
        name, creates, listed = name[:-2], None, True
    else:
        creates, listed = made, False
    if not name:
        raise Unfit("cannot set or create an empty field name")
    last = at + 1 == len(names)
    if name not in holder:
        if creates is None:
            return
        holder[name] = creates() if last else {}
    elif nothing(holder[name]):
        if listed:
            holder[name] = []
        elif creates is not None:
            holder[name] = creates() if last else {}
        elif not last:
            return
    if last:
        put(holder, name)
        return
    _walk(holder[name], names, at + 1, put, made)
