"""Where the transformers of one kustomization act: the defaults, what `configurations` and `crds` add, and what bases brought along.

Source: sigs.k8s.io/kustomize/api/internal/plugins/builtinconfig and accumulator/loadconfigfromcrds.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from fairlead.dialects.kustomize import defaults
from fairlead.dialects.kustomize.fieldspecs import FieldSpec, Specs

Kind: TypeAlias = tuple[str, str, str]
"""Group, version and kind; empty ones mean any."""

References: TypeAlias = tuple[tuple[Kind, Specs], ...]


class Conflict(Exception):
    """Two specs of the same place that disagree about whether it is created."""


@dataclass(frozen=True, slots=True, eq=False)
class Configuration:
    """The field specs of each transformer. `parts` tells what it was joined from, so that nothing is joined twice."""

    name_prefix: Specs = ()
    name_suffix: Specs = ()
    namespace: Specs = ()
    common_labels: Specs = ()
    labels: Specs = ()
    template_labels: Specs = ()
    volume_claim_labels: Specs = ()
    annotations: Specs = ()
    variables: Specs = ()
    images: Specs = ()
    replicas: Specs = ()
    references: References = ()
    parts: frozenset[int] = frozenset()

    def joined(self, other: Configuration) -> Configuration:
        """Return both together. Raises Conflict."""
        if other is self or other is NONE or (other.parts and other.parts <= self.parts):
            return self
        if other.parts and (self is NONE or (self.parts and self.parts <= other.parts)):
            return other  # joining others with nothing drops specs that a narrower one covers
        values: dict[str, Any] = {
            name: _ordered(merged(getattr(self, name), getattr(other, name))) for name in _SPECS.values()
        }
        return Configuration(
            references=_references(self.references, other.references), parts=self._parts(other), **values
        )

    def _parts(self, other: Configuration) -> frozenset[int]:
        """Return of what both are made, or nothing where that is not known of one."""
        return self.parts | other.parts if self.parts and other.parts else frozenset()


_SPECS: Final[Mapping[str, str]] = {
    "namePrefix": "name_prefix",
    "nameSuffix": "name_suffix",
    "namespace": "namespace",
    "commonLabels": "common_labels",
    "labels": "labels",
    "templateLabels": "template_labels",
    "volumeClaimTemplateLabels": "volume_claim_labels",
    "commonAnnotations": "annotations",
    "varReference": "variables",
    "images": "images",
    "replicas": "replicas",
}

NONE: Final = Configuration()


def merged(specs: Specs, more: Iterable[FieldSpec]) -> Specs:
    """Return specs with more of them, without those that are covered. Raises Conflict."""
    found = list(specs)
    by_path: dict[str, list[FieldSpec]] = {}
    for spec in found:
        by_path.setdefault(spec.path, []).append(spec)
    for spec in more:
        known = by_path.setdefault(spec.path, [])
        there = next((one for one in known if one.covers(spec)), None)
        if there is None:
            known.append(spec)
            found.append(spec)
        elif there.create != spec.create:
            raise Conflict(f"conflicting fieldspecs: {spec.path} is to be created, and is not")
    return tuple(found)


def read(document: Mapping[str, Any]) -> Configuration:
    """Return what a checked file of `configurations` says."""
    values: dict[str, Any] = {
        name: _ordered([FieldSpec.of(one) for one in document.get(key, ())]) for key, name in _SPECS.items()
    }
    references = tuple(
        (
            (one.get("group", ""), one.get("version", ""), one.get("kind", "")),
            tuple(FieldSpec.of(spec) for spec in one.get("fieldSpecs", ())),
        )
        for one in document.get("nameReference", ())
    )
    return Configuration(references=tuple(sorted(references, key=lambda one: _rank(*one[0]))), **values)


def of_crds(document: Mapping[str, Any]) -> Configuration:
    """Return what the OpenAPI definitions of custom kinds say: which of their fields are labels, annotations and names."""
    found: dict[str, Specs] = {"annotations": (), "common_labels": (), "name_prefix": ()}
    references: References = ()
    for name, api in document.items():
        if not {"kind", "apiVersion", "metadata"} <= _properties(api).keys():
            continue
        kind = name.rpartition(".")[2]
        waiting: list[tuple[str, tuple[str, ...], frozenset[str]]] = [(name, (), frozenset({name}))]
        while waiting:
            at, path, above = waiting.pop()
            for field, schema in _properties(document.get(at)).items():
                here = (*path, field)
                spec = FieldSpec("/".join(here), kind=kind)
                for key, into in _MARKS.items():
                    if isinstance(schema.get(key), str):
                        found[into] = merged(found[into], (spec,))
                version, target = schema.get(_VERSION), schema.get(_KIND)
                if isinstance(version, str) and isinstance(target, str):
                    named = spec._replace(path=f"{spec.path}/{schema.get(_NAME) or 'name'}")
                    references = _references(references, ((("", version, target), (named,)),))
                below = schema.get("$ref")
                if isinstance(below, str) and below not in above:
                    waiting.append((below, here, above | {below}))
    values: dict[str, Any] = {key: _ordered(specs) for key, specs in found.items()}
    return Configuration(references=references, **values)


_MARKS: Final = {
    "x-kubernetes-annotation": "annotations",
    "x-kubernetes-label-selector": "common_labels",
    "x-kubernetes-identity": "name_prefix",
}
_VERSION: Final = "x-kubernetes-object-ref-api-version"
_KIND: Final = "x-kubernetes-object-ref-kind"
_NAME: Final = "x-kubernetes-object-ref-name-key"


def _properties(api: Any) -> dict[str, dict[str, Any]]:
    schema = _value(api, "schema")
    found = _value(schema, "properties")
    return (
        {key: one for key, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}
    )


def _value(holder: Any, name: str) -> Any:
    if not isinstance(holder, dict):
        return None
    return next((value for key, value in holder.items() if key.lower() == name), None)


def _references(known: References, more: References) -> References:
    found = dict(known)
    for kind, specs in more:
        found[kind] = merged(found[kind], specs) if kind in found else specs
    return tuple(sorted(found.items(), key=lambda one: _rank(*one[0])))


_RANKS: Final = {
    **{kind: at - len(defaults.FIRST) for at, kind in enumerate(defaults.FIRST)},
    **{kind: at + 1 for at, kind in enumerate(defaults.LAST)},
}


def _rank(group: str, version: str, kind: str) -> tuple[int, str]:
    return _RANKS.get(kind, 0), "_".join((group or "~G", version or "~V", kind or "~K"))


def _ordered(specs: Iterable[FieldSpec]) -> Specs:
    return tuple(sorted(specs, key=lambda one: _rank(one.group, one.version, one.kind)))


DEFAULT: Final = replace(
    Configuration(
        name_prefix=defaults.NAMES,
        name_suffix=defaults.NAMES,
        namespace=_ordered(defaults.NAMESPACE),
        common_labels=_ordered(defaults.COMMON_LABELS),
        template_labels=_ordered(defaults.TEMPLATE_LABELS),
        volume_claim_labels=_ordered(defaults.VOLUME_CLAIM_LABELS),
        annotations=_ordered(defaults.ANNOTATIONS),
        variables=_ordered(defaults.VARIABLES),
        images=_ordered(defaults.IMAGES),
        replicas=_ordered(defaults.REPLICAS),
        references=tuple(sorted(defaults.REFERENCES, key=lambda one: _rank(*one[0]))),
    ),
    parts=frozenset({0}),
)
