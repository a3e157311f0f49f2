"""A write at the gate: what policies make of its object, and whether they let it pass.

Puts what a gate returns through defaulting and Kubernetes' own plug-ins once more. Must never stage anything, and asks nobody where
there is no gate, or nothing to judge by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairlead.keep import admitting, strategies
from fairlead.keep.gating import Lens, Operation, Passage, options_of
from fairlead.keep.kinds import Kind
from fairlead.keep.merging import copied
from fairlead.keep.requests import Request
from fairlead.words import Resource

if TYPE_CHECKING:
    from fairlead.keep.writing import Writer

_FIXED = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
)
"""Metadata that no policy may change."""


def passage(
    writer: Writer,
    operation: Operation,
    kind: Kind,
    namespace: str,
    name: str,
    obj: Resource | None,
    old: Resource | None,
    request: Request,
    subresource: str = "",
    spoken: Kind | None = None,
    options: dict[str, Any] | None = None,
) -> Passage:
    """Return a request as the gate sees it. `options` are DeleteOptions."""
    return Passage(
        operation,
        kind,
        namespace,
        name,
        obj,
        old,
        request,
        writer.rng,
        subresource,
        spoken,
        options_of(operation, request, options),
    )


def change(writer: Writer, admission: admitting.Admission, lens: Lens | None = None) -> None:
    """Put what policies make of the object in its place; Kubernetes' own plug-ins see a new object once more."""
    if writer.gate is None or not writer.gate.closed:
        return
    asked = _at_gate(writer, admission, lens)
    changed = writer.gate.mutate(asked)
    admission.warnings += asked.warnings
    if changed is None:
        return
    kind, before, old = admission.kind, admission.obj, admission.old
    if lens is not None:
        admission.obj = lens.back(before, copied(changed))
        return
    obj, _ = writer.schemas.check(kind, copied(changed), "Ignore")
    obj["apiVersion"], obj["kind"] = before["apiVersion"], before["kind"]
    meta, given = obj.setdefault("metadata", {}), before["metadata"]
    for key in _FIXED:
        if key in given:
            meta[key] = given[key]
        else:
            meta.pop(key, None)
    if old is None:
        strategies.prepare_create(kind, obj)
    writer.default(kind, obj)
    if old is not None:
        obj = strategies.prepare_update(kind, obj, old, admission.subresource)
    admission.obj = obj
    if old is None:
        admitting.change(admission)


def judge(writer: Writer, admission: admitting.Admission, lens: Lens | None = None) -> None:
    """Let the object as it is about to be stored pass, or refuse it. A Namespace's labels may be its first policy."""
    if writer.gate is not None and (writer.gate.closed or admission.kind.storage == admitting.NAMESPACES):
        asked = _at_gate(writer, admission, lens)
        writer.gate.validate(asked)
        admission.warnings += asked.warnings


def _at_gate(writer: Writer, admission: admitting.Admission, lens: Lens | None) -> Passage:
    obj, old, spoken = admission.obj, admission.old, None
    if lens is not None:
        obj, old, spoken = lens.show(obj), lens.show(old) if old is not None else None, lens.kind
    return passage(
        writer,
        admission.operation,
        admission.kind,
        admission.namespace,
        admission.obj["metadata"].get("name") or "",
        obj,
        old,
        admission.request,
        admission.subresource,
        spoken,
    )
