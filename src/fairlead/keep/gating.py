"""The gate: whoever judges writes by policies, as the engine of the API sees them.

A World without a gate lets everything pass that Kubernetes' own rules let pass. What a gate decides, and by which policies, is not
known here: it is an object that is handed in. Must never wait: what a gate needs to wait for it raises, and the write is tried
again with the same chances.
Source: k8s.io/apiserver pkg/admission (Attributes) and endpoints/handlers: the mutating chain comes after defaulting, the
validating one after validation and before quota.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from fairlead.keep.chances import Chance
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.keep.requests import Request
from fairlead.keep.schemas import Schemas
from fairlead.keep.staging import Index, Store
from fairlead.words import Resource

Operation: TypeAlias = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]

GATE = "gate"
"""The name of a gate's own index in the store."""


@dataclass(slots=True)
class Passage:
    """One request at the gate. A gate must change neither `obj` nor `old`; `warnings` it may add to.

    `kind` is the resource of the request, and `spoken` the kind of its body where a subresource speaks another one (Scale,
    Binding, Eviction). `name` is "" while the server has yet to make one. `options` is the request's CreateOptions or the like.
    """

    operation: Operation
    kind: Kind
    namespace: str
    name: str
    obj: Resource | None
    old: Resource | None
    request: Request
    rng: Chance
    subresource: str = ""
    spoken: Kind | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Lens:
    """How a subresource shows an object to its callers: a Scale, say. `back` puts what is shown into the object."""

    kind: Kind
    show: Callable[[Resource], Resource]
    back: Callable[[Resource, Resource], Resource]


class Gate(Protocol):
    """Whoever judges writes. Both methods raise Refusal to refuse one."""

    @property
    def closed(self) -> bool:
        """Whether anything can be refused or changed at all: False while there are no policies."""

    def attach(self, store: Store, catalogue: Catalogue, schemas: Schemas) -> Index | None:
        """Judge what is written to this store from now on; return what is to follow every write that is staged there."""

    def mutate(self, passage: Passage) -> Resource | None:
        """Return the object as policies leave it, a new one; None when they leave it as it is."""

    def validate(self, passage: Passage) -> None:
        """Let the object as it is about to be stored pass, or refuse it."""

    def fork(self) -> Gate:
        """Return the gate of an independent copy of the world."""


class Tape:
    """Chances that can be drawn again: what was drawn is written down, and given out first the next time."""

    def __init__(self, rng: Chance, drawn: list[tuple[int, int]]) -> None:
        self._rng = rng
        self._drawn = drawn
        self._at = 0

    def getrandbits(self, k: int, /) -> int:
        """See Chance."""
        if self._at < len(self._drawn) and self._drawn[self._at][0] == k:
            bits = self._drawn[self._at][1]
        else:
            del self._drawn[self._at :]
            bits = self._rng.getrandbits(k)
            self._drawn.append((k, bits))
        self._at += 1
        return bits


def options_of(
    operation: Operation, request: Request, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the request's options object, as policies see it. `given` are DeleteOptions."""
    kind = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}.get(
        operation, ""
    )
    if not kind:
        return {}
    options: dict[str, Any] = {"kind": kind, "apiVersion": "meta.k8s.io/v1", **(given or {})}
    if operation == "DELETE":
        options["kind"], options["apiVersion"] = kind, "meta.k8s.io/v1"
    else:
        options["fieldManager"] = request.manager
        options["fieldValidation"] = request.field_validation
    if request.dry_run:
        options["dryRun"] = ["All"]
    return options
