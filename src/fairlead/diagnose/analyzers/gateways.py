"""Gateways that cannot serve: a class that nobody has or accepts, listeners that conflict or lack their certificate, and what their status says.

What the objects show is told as a cause; a condition of the controller's is told where nothing here explains it. On files only a
near name or a contradiction within one Gateway counts.
Source: the Gateway API, v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from fairlead.diagnose.analyzers import customs
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.proposing import Edit, patch
from fairlead.diagnose.references import Edge, edges
from fairlead.diagnose.states import condition, created, lasting, said
from fairlead.tongues.paths import Path, mapping, mappings, text, whole
from fairlead.words import Change, Evidence, Fix, Ref, Resource

GROUP = "gateway.networking.k8s.io"
_PATIENCE = timedelta(minutes=5)
_SOON = timedelta(minutes=1)


def granted(inventory: Inventory, source: Ref, target: Ref) -> bool:
    """Say whether a ReferenceGrant lets the object name one of another namespace; what was not looked at counts as granted."""
    if target.namespace == source.namespace:
        return True
    if (
        not inventory.seen_all(GROUP, "ReferenceGrant")
        or inventory.get(Ref("", "Namespace", "", target.namespace)) is None
    ):
        return True
    for grant in inventory.of_kind(GROUP, "ReferenceGrant", target.namespace):
        by = any(
            (text(one, "group"), text(one, "kind"), text(one, "namespace"))
            == (source.group, source.kind, source.namespace)
            for _, one in mappings(grant, "spec", "from")
        )
        to = any(
            (text(one, "group"), text(one, "kind")) == (target.group, target.kind)
            and text(one, "name") in {"", target.name}
            for _, one in mappings(grant, "spec", "to")
        )
        if by and to:
            return True
    return False


def ungranted(inventory: Inventory, edge: Edge, rule: str) -> Fact:
    """Return the fact that a reference to another namespace is granted by nobody, with the grant that would."""
    source, target = edge.source, edge.target
    body: Resource = {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {
            "name": f"{source.kind.lower()}s-of-{source.namespace}"[:63],
            "namespace": target.namespace,
        },
        "spec": {
            "from": [{"group": source.group, "kind": source.kind, "namespace": source.namespace}],
            "to": [{"group": target.group, "kind": target.kind, "name": target.name}],
        },
    }
    title = f"let {source.kind}s of namespace {source.namespace} name {target.kind} {target.name}"
    change = Change(verb="create", ref=Ref.of(body), api_version=body["apiVersion"], body=body, why=title)
    return Fact(
        rule=rule,
        subject=source,
        detail=f"grant/{target}",
        message=f"names {target.kind} {target.name} of namespace {target.namespace}, which no ReferenceGrant there lets it",
        cause="A reference to another namespace needs a ReferenceGrant in that namespace.",
        evidence=(inventory.field(source, edge.path, f"{target.kind} {target.namespace}/{target.name}"),),
        fixes=(Fix(title=title, changes=(change,), risk=f"Every {source.kind} of namespace {source.namespace} may then name it."),),
        where=inventory.where(source, edge.path),
    )  # fmt: skip


def renamed(resource: Resource, path: Path, right: str | int, title: str) -> Fix:
    """Return the Fix that writes another name or port."""
    return Fix(
        title=title, changes=(patch(resource, [Edit(path, right)], title),), risk="Takes effect at once."
    )


def class_of(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A GatewayClass that its controller refuses, or that no controller has ever looked at."""
    ref = Ref.of(resource)
    used = [edge.source for edge in inventory.referrers(ref) if edge.relation == "class"]
    if not inventory.live or not used:
        return
    item = condition(resource, "Accepted")
    controller = text(resource, "spec", "controllerName")
    if item.get("status") == "False":
        yield Fact(
            rule="gateway.controller",
            subject=ref,
            message=f"is not accepted by its controller: {text(item, 'reason')}",
            cause=inventory.quote(text(item, "message"), ref),
            evidence=(said(inventory, resource, item),),
            where=inventory.where(ref, ("spec",)),
        )
    elif not item or (item.get("status") == "Unknown" and text(item, "reason") in {"Pending", "Waiting"}):
        at = created(resource)
        if at is not None and inventory.past(at, _PATIENCE):
            evidence = (
                said(inventory, resource, item) if item else Evidence("absence", ref, "no condition Accepted")
            )
            yield Fact(
                rule="gateway.controller",
                subject=ref,
                message=f"is served by no controller: nobody has accepted it for {inventory.ago(at)}",
                cause=f"The controller {controller} is not there, or does not work.",
                evidence=(evidence, inventory.field(ref, ("spec", "controllerName"), controller)),
                where=inventory.where(ref, ("spec", "controllerName")),
                confidence="likely",
            )


def gateway(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What keeps a Gateway from serving."""
    if mapping(resource, "metadata").get("deletionTimestamp"):
        return
    found = [*_class(inventory, resource), *_secrets(inventory, resource), *_conflicts(inventory, resource)]
    yield from found
    if inventory.live:
        because: tuple[Key | Ref, ...] = (
            *(one.key for one in found),
            *(edge.target for edge in edges(resource) if edge.relation in {"class", "tls"}),
        )
        yield from _status(inventory, resource, because)


def _class(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    ref = Ref.of(resource)
    for edge in edges(resource):
        if edge.relation != "class" or inventory.get(edge.target) is not None:
            continue
        names = inventory.names(edge.target, ref)
        sure = inventory.missing(edge.target)
        right = nearest(edge.target.name, names) or (names[0] if sure and len(names) == 1 else None)
        if not sure and right is None:
            continue
        yield Fact(
            rule="gateway.class",
            subject=ref,
            message=f"asks for class {edge.target.name}, which {'does not exist' if sure else 'is not among these files'}",
            cause=f"Classes there are: {', '.join(names) or 'none'}. No controller serves it.",
            evidence=(inventory.field(ref, edge.path, edge.target.name),),
            fixes=(renamed(resource, edge.path, right, f"use class {right}"),) if right else (),
            where=inventory.where(ref, edge.path),
            confidence="certain" if sure else "likely",
        )


def _secrets(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    ref = Ref.of(resource)
    for edge in edges(resource):
        if edge.relation != "tls" or (edge.target.group, edge.target.kind) != ("", "Secret"):
            continue
        if not granted(inventory, ref, edge.target):
            yield ungranted(inventory, edge, "gateway.tls")
        elif inventory.missing(edge.target):
            right = nearest(edge.target.name, inventory.names(edge.target, edge.target))
            path = (*edge.path, "name")
            yield Fact(
                rule="gateway.tls",
                subject=ref,
                detail=str(edge.target),
                message=f"names TLS Secret {edge.target.name}, which does not exist",
                cause=f"Secret {right} exists: probably that one is meant." if right else "",
                evidence=(inventory.field(ref, path, edge.target.name),),
                fixes=(renamed(resource, path, right, f"use Secret {right}"),) if right else (),
                where=inventory.where(ref, path),
                because=tuple(customs.makers(inventory, edge.target)),
            )
    for index, listener in mappings(resource, "spec", "listeners"):
        tls = mapping(listener, "tls")
        mode = text(tls, "mode") or "Terminate"
        if (
            text(listener, "protocol") == "HTTPS"
            and mode == "Terminate"
            and not mappings(tls, "certificateRefs")
            and not mapping(tls, "options")
        ):
            path = ("spec", "listeners", index)
            yield Fact(
                rule="gateway.tls",
                subject=ref,
                detail=f"listener/{text(listener, 'name')}",
                message=f"has listener {text(listener, 'name')} for HTTPS without a certificate",
                evidence=(
                    inventory.field(ref, (*path, "protocol"), "protocol: HTTPS, no tls.certificateRefs"),
                ),
                where=inventory.where(ref, path),
            )


def _conflicts(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Listeners that no connection can tell apart: the same port with the same host, or with another protocol."""
    ref = Ref.of(resource)
    listeners = mappings(resource, "spec", "listeners")
    for at, (index, one) in enumerate(listeners):
        for _, other in listeners[:at]:
            if whole(one, "port") != whole(other, "port") or not whole(one, "port"):
                continue
            mine, its = text(one, "protocol"), text(other, "protocol")
            if (mine == "UDP") != (its == "UDP"):
                continue
            same = text(one, "hostname") == text(other, "hostname")
            if not same and _shareable(mine, its):
                continue
            why = (
                f"Both are for {text(one, 'hostname') or 'every host'} on port {whole(one, 'port')}."
                if same
                else f"Port {whole(one, 'port')} cannot speak both {its} and {mine}."
            )
            path: Path = ("spec", "listeners", index)
            yield Fact(
                rule="gateway.conflict",
                subject=ref,
                detail=text(one, "name"),
                message=f"has listeners {text(other, 'name')} and {text(one, 'name')} in conflict",
                cause=why,
                evidence=(
                    inventory.field(ref, path, f"listener {text(one, 'name')}: {mine}:{whole(one, 'port')}"),
                ),
                where=inventory.where(ref, path),
            )
            break


def _shareable(one: str, other: str) -> bool:
    """Say whether listeners of two protocols may share a port under different hosts."""
    return (one == other and one not in {"TCP", "UDP"}) or {one, other} == {"HTTPS", "TLS"}


def _status(inventory: Inventory, resource: Resource, because: tuple[Key | Ref, ...]) -> Iterator[Fact]:
    told = False
    for _, listener in mappings(resource, "status", "listeners"):
        for kind, bad in (
            ("Conflicted", "True"),
            ("ResolvedRefs", "False"),
            ("Accepted", "False"),
            ("Programmed", "False"),
        ):
            item = condition(_as_status(listener), kind)
            if (
                item.get("status") == bad
                and text(item, "reason") != "NoConflicts"
                and lasting(inventory, item, _SOON)
                and _current(resource, item)
            ):
                told = True
                yield _refused(inventory, resource, item, f"listener {text(listener, 'name')}", because)
                break
    for kind in ("Accepted", "Programmed"):
        item = condition(resource, kind)
        if (
            item.get("status") == "False"
            and lasting(inventory, item, _SOON)
            and _current(resource, item)
            and not told
        ):
            yield _refused(inventory, resource, item, "it", because)
            return


def _as_status(listener: Mapping[str, Any]) -> Resource:
    return {"status": {"conditions": listener.get("conditions")}}


def _current(resource: Resource, item: Mapping[str, Any]) -> bool:
    """Say whether a condition is about the object as it is now."""
    seen, now = item.get("observedGeneration"), mapping(resource, "metadata").get("generation")
    return not isinstance(seen, int) or not isinstance(now, int) or seen >= now


def _refused(
    inventory: Inventory,
    resource: Resource,
    item: Mapping[str, Any],
    what: str,
    because: tuple[Key | Ref, ...],
) -> Fact:
    ref = Ref.of(resource)
    state = {
        "Conflicted": "in conflict",
        "ResolvedRefs": "without what it refers to",
        "Accepted": "not accepted",
    }
    return Fact(
        rule="gateway.refused",
        subject=ref,
        detail=what,
        message=f"does not serve: {what} is {state.get(text(item, 'type'), 'not programmed')} ({text(item, 'reason')})",
        cause=inventory.quote(text(item, "message"), ref),
        evidence=(said(inventory, resource, item),),
        where=inventory.where(ref, ("spec", "listeners")),
        because=because,
    )


UNITS = {(GROUP, "GatewayClass"): class_of, (GROUP, "Gateway"): gateway}
