"""KEDA: ScaledObjects without a target, without what their triggers measure against, paused, failing or living on their fallback.

What a ScaledObject's own autoscaler says is told with the autoscalers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from fairlead.diagnose.analyzers.autoscaling import lacking, near_target, wrong_kind
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.references import TEMPLATES, scaled
from fairlead.diagnose.states import condition, lasting, said
from fairlead.tongues.paths import mapping, mappings, strings, text
from fairlead.words import Ref, Resource, Severity

KEDA = "keda.sh"
_PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
_SOON = timedelta(minutes=2)
_TARGET = ("spec", "scaleTargetRef")


def scaled_object(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Each thing that keeps a ScaledObject from scaling as it should."""
    ref, target = Ref.of(resource), scaled(resource)
    if mapping(resource, "metadata").get("deletionTimestamp") or not target.name:
        return
    yield from wrong_kind(inventory, resource, target, "scaler.kind")
    yield from near_target(inventory, resource, target, "scaler.target")
    if (target.group, target.kind) in TEMPLATES and inventory.missing(target):
        yield Fact(
            rule="scaler.target",
            subject=ref,
            severity=Severity.WARNING,
            message=f"scales {target.kind} {target.name}, which does not exist",
            evidence=(inventory.field(ref, _TARGET, str(target)),),
            where=inventory.where(ref, _TARGET),
        )
    yield from _triggers(inventory, resource, target)
    annotations = strings(resource, "metadata", "annotations")
    paused = next((key for key in _PAUSED if annotations.get(key, "false") != "false"), "")
    if paused:
        path = ("metadata", "annotations", paused)
        yield Fact(
            rule="scaler.paused",
            subject=ref,
            severity=Severity.INFO,
            message=f"is paused: {target.kind} {target.name} is not scaled",
            evidence=(inventory.field(ref, path, f"{paused}: {annotations[paused]}"),),
            where=inventory.where(ref, path),
        )
    elif inventory.live:
        yield from _conditions(inventory, resource, target)


def _triggers(inventory: Inventory, resource: Resource, target: Ref) -> Iterator[Fact]:
    ref = Ref.of(resource)
    held = inventory.get(target)
    template = inventory.template_of(held) if held is not None else None
    for index, trigger in mappings(resource, "spec", "triggers"):
        path = ("spec", "triggers", index)
        kind, name = text(trigger, "type"), text(trigger, "metadata", "containerName")
        share = (
            text(trigger, "metricType") or text(trigger, "metadata", "type") or "Utilization"
        ) == "Utilization"
        bare = (
            lacking(template, kind, name)
            if template is not None and kind in {"cpu", "memory"} and share
            else []
        )
        if bare and template is not None and not inventory.beside("", "LimitRange", template.ref):
            place = (*bare[0].path, "resources", "requests")
            yield Fact(
                rule="scaler.requests",
                subject=ref,
                detail=kind,
                severity=Severity.WARNING,
                message=f"scales by the use of {kind}, but container {bare[0].name} of {target.kind} {target.name} requests none",
                cause=f"Utilization is a share of what is requested: without a request for {kind} it cannot be computed.",
                evidence=(
                    inventory.field(template.ref, place, f"no request for {kind}"),
                    inventory.field(ref, path, kind),
                ),
                where=inventory.where(template.ref, place),
                confidence="certain" if inventory.live else "likely",
            )
        auth = mapping(trigger, "authenticationRef")
        if not text(auth, "name"):
            continue
        wide = text(auth, "kind") == "ClusterTriggerAuthentication"
        needed = Ref(
            KEDA, text(auth, "kind") or "TriggerAuthentication", "" if wide else ref.namespace, auth["name"]
        )
        others = inventory.of_kind(KEDA, needed.kind)
        if (
            inventory.missing(needed) and others
        ):  # where there is none at all, the kind may not have been listed
            yield Fact(
                rule="scaler.auth",
                subject=ref,
                detail=needed.name,
                severity=Severity.WARNING,
                message=f"asks {needed.kind} {needed.name} for credentials, which does not exist",
                evidence=(inventory.field(ref, (*path, "authenticationRef"), needed.name),),
                where=inventory.where(ref, (*path, "authenticationRef", "name")),
            )


def _conditions(inventory: Inventory, resource: Resource, target: Ref) -> Iterator[Fact]:
    ref = Ref.of(resource)
    item, fallback = condition(resource, "Ready"), condition(resource, "Fallback")
    notes = [note for note in inventory.events(ref) if note.warning]
    if item.get("status") == "False" and lasting(inventory, item, _SOON):
        yield Fact(
            rule="scaler.failing",
            subject=ref,
            severity=Severity.WARNING,
            message=f"does not scale: {text(item, 'reason') or 'not ready'}",
            cause=inventory.quote(text(item, "message"), ref),
            evidence=(said(inventory, resource, item), *(inventory.noted(ref, note) for note in notes[-1:])),
            because=(target, *((rule, ref, "") for rule in ("scaler.target", "scaler.kind"))),
        )
    elif fallback.get("status") == "True":
        yield Fact(
            rule="scaler.fallback",
            subject=ref,
            severity=Severity.WARNING,
            message="lives on its fallback: a trigger's source does not answer",
            cause=inventory.quote(notes[-1].message if notes else text(fallback, "message"), ref),
            evidence=(
                said(inventory, resource, fallback),
                *(inventory.noted(ref, note) for note in notes[-1:]),
            ),
        )


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {
    (KEDA, "ScaledObject"): scaled_object
}
