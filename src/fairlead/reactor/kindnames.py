"""How kinds and plurals belong together, for the judge: what the catalogue knows, and a guess for what it does not."""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.keep.kinds import Catalogue, Kind
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Resource


class KindNames:
    """The judge's Kinds over a catalogue, which may grow."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def renew(self, catalogue: Catalogue) -> None:
        """Go by another catalogue from now on."""
        self._catalogue = catalogue

    def plural(self, group: str, kind: str) -> str:
        """See judge.surroundings.Kinds."""
        found = self._catalogue.kind(group, kind)
        return found.plural if found is not None else guess(kind)

    def kind(self, group: str, plural: str) -> str:
        """See judge.surroundings.Kinds."""
        return next((one.kind for one in self._served(group, plural)), "")

    def version(self, group: str, kind: str) -> str:
        """See judge.surroundings.Kinds."""
        found = self._catalogue.kind(group, kind)
        return found.version if found is not None else ""

    def namespaced(self, group: str, kind: str) -> bool:
        """See judge.surroundings.Kinds."""
        found = self._catalogue.kind(group, kind)
        return found is None or found.namespaced

    def _served(self, group: str, plural: str) -> Iterable[Kind]:
        return (one for one in self._catalogue.all() if (one.group, one.plural) == (group, plural))


def guess(kind: str) -> str:
    """Return the plural that Kubernetes' own guess gives to a kind: `policies`, `ingresses`, `pods`, lower-cased."""
    name = kind.lower()
    if name.endswith("endpoints"):
        return name
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2:-1] not in set("aeiou"):
        return f"{name[:-1]}ies"
    return f"{name}s"


def catalogue_of(objects: Iterable[Resource]) -> Catalogue:
    """Return a catalogue of the built-in kinds and those that CustomResourceDefinitions among the objects add."""
    catalogue = Catalogue()
    for one in objects:
        if one.get("kind") == "CustomResourceDefinition":
            catalogue.add(*_defined(mapping(one, "spec")))
    return catalogue


def _defined(spec: Resource) -> Iterable[Kind]:
    names = mapping(spec, "names")
    kind, plural, group = text(names, "kind"), text(names, "plural"), text(spec, "group")
    for _, version in mappings(spec, "versions"):
        if kind and plural and group and text(version, "name"):
            namespaced = text(spec, "scope") != "Cluster"
            yield Kind(group, text(version, "name"), kind, plural, namespaced=namespaced)
