"""Operators by the Operator Lifecycle Manager, old and new: catalogs, subscriptions, install plans, versions and extensions that do not come to be.

A subscription waits for its catalog, a version for its install plan: the first that fails is the cause. What waits for a person's approval is a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory, moment
from fairlead.diagnose.states import condition, created, lasting, said
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Evidence, Ref, Resource, Severity

V0 = "operators.coreos.com"
V1 = "olm.operatorframework.io"
_SOON = timedelta(minutes=5)


def _old(inventory: Inventory, resource: Resource) -> bool:
    at = created(resource)
    return at is None or inventory.past(at, _SOON)


def catalog(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A catalog that does not serve."""
    ref = Ref.of(resource)
    state = text(resource, "status", "connectionState", "lastObservedState")
    if not inventory.live or state.upper() in {"", "READY"} or not _old(inventory, resource):
        return
    address = text(resource, "status", "connectionState", "address")
    selector = {"olm.catalogSource": ref.name}
    yield Fact(
        rule="olm.catalog",
        subject=ref,
        severity=Severity.WARNING,
        message=f"does not serve: its connection is {state}",
        cause=f"It is asked at {address}." if address else "",
        evidence=(inventory.field(ref, ("status", "connectionState", "lastObservedState"), state),),
        because=tuple(one.ref for one in inventory.selected(selector, ref)),
    )


def subscription(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A subscription that finds no version, or whose catalogs are not well."""
    ref = Ref.of(resource)
    spec = mapping(resource, "spec")
    source = Ref(V0, "CatalogSource", text(spec, "sourceNamespace"), text(spec, "source"))
    if inventory.missing(source) and source.name and inventory.of_kind(V0, "CatalogSource"):
        yield Fact(
            rule="olm.subscription",
            subject=ref,
            severity=Severity.WARNING,
            message=f"subscribes to catalog {source.namespace}/{source.name}, which does not exist",
            evidence=(inventory.field(ref, ("spec", "source"), source.name),),
            where=inventory.where(ref, ("spec", "source")),
        )
        return
    plan = Ref(V0, "InstallPlan", ref.namespace, text(resource, "status", "installPlanRef", "name"))
    groups: tuple[Key, ...] = (("olm.groups", Ref("", "Namespace", "", ref.namespace), ""),)
    for kind in ("ResolutionFailed", "BundleUnpackFailed", "CatalogSourcesUnhealthy", "InstallPlanFailed"):
        item = condition(resource, kind)
        if item.get("status") == "True" and lasting(inventory, item, _SOON):
            yield Fact(
                rule="olm.subscription",
                subject=ref,
                severity=Severity.WARNING,
                message=f"installs nothing: {text(item, 'reason') or kind}",
                cause=inventory.quote(text(item, "message"), ref),
                evidence=(said(inventory, resource, item),),
                because=(source, plan, *groups),
            )
            return


def plan(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """An install plan that failed, or that waits for approval."""
    ref, phase = Ref.of(resource), text(resource, "status", "phase")
    if not inventory.live:
        return
    if phase == "RequiresApproval" and mapping(resource, "spec").get("approved") is not True:
        names = ", ".join(
            str(one) for one in mapping(resource, "spec").get("clusterServiceVersionNames") or ()
        )
        yield Fact(
            rule="olm.approval",
            subject=ref,
            severity=Severity.INFO,
            message=f"waits for approval of {names}" if names else "waits for approval",
            evidence=(inventory.field(ref, ("spec", "approved"), "approved: false"),),
            where=inventory.where(ref, ("spec", "approved")),
        )
    elif phase == "Failed":
        item = _worst(resource)
        yield Fact(
            rule="olm.plan",
            subject=ref,
            severity=Severity.WARNING,
            message="failed",
            cause=inventory.quote(text(item, "message"), ref),
            evidence=(
                said(inventory, resource, item)
                if item
                else inventory.field(ref, ("status", "phase"), "phase: Failed"),
            ),
        )


def _worst(resource: Resource) -> dict[str, Any]:
    """Return the first condition that is not True and says why."""
    return next(
        (
            item
            for _, item in mappings(resource, "status", "conditions")
            if item.get("status") != "True" and text(item, "message")
        ),
        {},
    )


def version(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A version of an operator that is not installed for good, or whose requirements are not met."""
    ref, phase = Ref.of(resource), text(resource, "status", "phase")
    if not inventory.live or phase in {
        "",
        "Succeeded",
        "Replacing",
        "Deleting",
        "InstallReady",
        "Installing",
    }:
        return
    copied = text(resource, "metadata", "labels", "olm.copiedFrom")
    at = moment(mapping(resource, "status").get("lastTransitionTime"))
    if copied or (phase != "Failed" and at is not None and not inventory.past(at, _SOON)):
        return
    lacks = [
        f"{text(one, 'kind')} {text(one, 'name')}"
        for _, one in mappings(resource, "status", "requirementStatus")
        if text(one, "status") not in {"Present", "PresentSatisfied", "Satisfied"}
    ]
    message = text(resource, "status", "message")
    deployments = [
        Ref("apps", "Deployment", ref.namespace, text(one, "name"))
        for _, one in mappings(resource, "spec", "install", "spec", "deployments")
    ]
    members = [member.ref for one in deployments for member in inventory.crew(one)]
    yield Fact(
        rule="olm.version",
        subject=ref,
        severity=Severity.WARNING,
        message=f"is not installed: {text(resource, 'status', 'reason') or phase}",
        cause=f"It lacks {', '.join(lacks[:5])}." if lacks else inventory.quote(message, ref),
        evidence=(
            Evidence(
                "field",
                ref,
                f"phase: {phase}: {inventory.quote(message, ref)}",
                inventory.where(ref, ("status", "phase")),
            ),
        ),
        because=(("olm.groups", Ref("", "Namespace", "", ref.namespace), ""), *deployments, *members),
    )


def group(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """More than one OperatorGroup in a namespace: no version in it is installed."""
    ref = Ref.of(resource)
    names = sorted(Ref.of(one).name for one in inventory.of_kind(V0, "OperatorGroup", ref.namespace))
    if len(names) < 2 or names[0] != ref.name:
        return
    yield Fact(
        rule="olm.groups",
        subject=Ref("", "Namespace", "", ref.namespace),
        severity=Severity.WARNING,
        message=f"has {len(names)} OperatorGroups ({', '.join(names)}), and no operator is installed into it",
        cause="There may be only one in a namespace.",
        evidence=(inventory.field(ref, ("metadata", "name"), ", ".join(names)),),
    )


def extension(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """An extension (OLM v1) that is not installed, or that does not get on."""
    ref = Ref.of(resource)
    installed, progressing = condition(resource, "Installed"), condition(resource, "Progressing")
    if not inventory.live:
        return
    item = installed if installed.get("status") == "False" else progressing
    if item is progressing and text(progressing, "reason") in {"", "Succeeded"}:
        return
    if not lasting(inventory, item, _SOON):
        return
    message = text(progressing, "message") or text(item, "message")
    yield Fact(
        rule="olm.extension",
        subject=ref,
        severity=Severity.WARNING,
        message=f"is not installed: {text(progressing, 'reason') or text(item, 'reason')}"
        if item is installed
        else f"does not get on: {text(item, 'reason')}",
        cause=inventory.quote(message, ref),
        evidence=(said(inventory, resource, item),),
        because=tuple(Ref.of(one) for one in inventory.of_kind(V1, "ClusterCatalog")),
    )


def cluster_catalog(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A catalog (OLM v1) that does not serve."""
    item = condition(resource, "Serving")
    if not inventory.live or item.get("status") != "False" or not lasting(inventory, item, _SOON):
        return
    if text(item, "reason") == "UserSpecifiedUnavailable":
        return
    progressing = condition(resource, "Progressing")
    ref = Ref.of(resource)
    yield Fact(
        rule="olm.catalog",
        subject=ref,
        severity=Severity.WARNING,
        message=f"does not serve: {text(item, 'reason')}",
        cause=inventory.quote(text(progressing, "message") or text(item, "message"), ref),
        evidence=(said(inventory, resource, item),),
        where=inventory.where(ref, ("spec", "source")),
    )


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {
    (V0, "CatalogSource"): catalog,
    (V0, "Subscription"): subscription,
    (V0, "InstallPlan"): plan,
    (V0, "ClusterServiceVersion"): version,
    (V0, "OperatorGroup"): group,
    (V1, "ClusterExtension"): extension,
    (V1, "ClusterCatalog"): cluster_catalog,
}
