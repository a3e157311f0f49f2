"""Which form of an answer a client asks for, and which form of a body it sends.

Answers are JSON or YAML, as the object itself, as a Table or as its metadata only. Protobuf is never answered: its
clients accept JSON. Nothing here encodes.
Source: k8s.io/apiserver/pkg/endpoints/handlers/negotiation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from fairlead.keep.errors import not_acceptable

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
OFFERED = (JSON, YAML, PROTOBUF)

As: TypeAlias = Literal[
    "", "Table", "PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList"
]
_META_SHAPES: dict[str, As] = {
    "Table": "Table",
    "PartialObjectMetadata": "PartialObjectMetadata",
    "PartialObjectMetadataList": "PartialObjectMetadataList",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The form of an answer: JSON or YAML, the shape, and the version of the shape's own API group."""

    media: str = JSON
    shape: As = ""
    version: str = "v1"


PLAIN = Wanted()


@dataclass(frozen=True, slots=True)
class Media:
    """One media type with its parameters, as it stands in a header."""

    type: str
    params: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """Return a parameter's value, "" when it is absent."""
        return dict(self.params).get(name, "")

    @property
    def weight(self) -> float:
        """The q parameter."""
        try:
            return float(self.get("q") or 1)
        except ValueError:
            return 0.0


@lru_cache(maxsize=256)
def media(text: str) -> Media:
    """Return one media type with its parameters, lower-cased where case does not count."""
    kind, *params = (part.strip() for part in text.split(";"))
    pairs = (param.partition("=") for param in params if param)
    return Media(
        kind.lower(),
        tuple((key.strip().lower(), value.strip().strip('"')) for key, _, value in pairs),
    )


@lru_cache(maxsize=256)
def wanted(accept: str, shapes: frozenset[As] = frozenset({""})) -> Wanted:
    """Return the first form that the Accept header lists and that is among the shapes on offer.

    Raises the 406 Refusal when nothing fits. An absent header means JSON.
    """
    if not accept.strip():
        return PLAIN
    listed = sorted((media(part) for part in accept.split(",")), key=lambda one: -one.weight)
    for one in listed:
        form = _form(one, shapes)
        if form is not None:
            return form
    raise not_acceptable(OFFERED)


def _form(one: Media, shapes: frozenset[As]) -> Wanted | None:
    if one.weight <= 0:
        return None
    if one.type in {JSON, "*/*", "application/*", PROTOBUF}:
        kind = JSON
    elif one.type in {YAML, "application/x-yaml", "text/yaml"}:
        kind = YAML
    else:
        return None
    shape, group, version = one.get("as"), one.get("g"), one.get("v")
    if not shape:
        return Wanted(kind)
    if shape == "APIGroupDiscoveryList":
        fits = group == "apidiscovery.k8s.io" and version in {"v2", "v2beta1"} and shape in shapes
        return Wanted(kind, "APIGroupDiscoveryList", version) if fits else None
    known = _META_SHAPES.get(shape, "")
    fits = bool(known) and known in shapes and group == "meta.k8s.io" and version in {"v1", "v1beta1"}
    return Wanted(kind, known, version) if fits else None
