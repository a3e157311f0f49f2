"""Routes of the Gateway API that lead nowhere: to no Gateway, to a listener that does not take them, to no Service or port.

Where the controller has looked at the route as it is and resolved its references, it is believed. On files what is absent is unknown.
Source: the Gateway API, v1 (attaching routes, ReferenceGrant).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from fairlead.diagnose.analyzers.gateways import GROUP, granted, renamed, ungranted
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.netpaths import in_space
from fairlead.diagnose.references import ROUTES, Edge, edges
from fairlead.diagnose.states import lasting, said
from fairlead.tongues.paths import mapping, mappings, text, whole, words
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_KINDS = {
    "HTTP": {"HTTPRoute", "GRPCRoute"},
    "HTTPS": {"HTTPRoute", "GRPCRoute"},
    "TLS": {"TLSRoute", "TCPRoute"},
    "TCP": {"TCPRoute"},
    "UDP": {"UDPRoute"},
}
"""The routes that a listener of a protocol takes unless it says otherwise."""
_SOON = timedelta(minutes=1)


def look(inventory: Inventory, route: Resource) -> Iterator[Fact]:
    """What keeps a route from leading anywhere."""
    if mapping(route, "metadata").get("deletionTimestamp"):
        return
    found: list[Fact] = []
    for edge in edges(route):
        if edge.relation == "parent":
            found += _parent(inventory, route, edge)
        elif edge.relation == "backend" and not _resolved(route):
            found += _backend(inventory, route, edge)
    yield from found
    if inventory.live:
        for edge in edges(route):
            if edge.relation == "backend" and inventory.get(edge.target) is not None:
                yield Fact(rule="route.endpoints", subject=edge.source, detail=str(edge.target), message=f"leads to {edge.target.kind} {edge.target.name}",
                           because=(edge.target,), weak=True)  # fmt: skip
        yield from _status(inventory, route, found)


def _resolved(route: Resource) -> bool:
    """Say whether a controller has looked at the route as it is and found all that it names."""
    now = mapping(route, "metadata").get("generation")
    items = [
        item
        for _, parent in mappings(route, "status", "parents")
        for _, item in mappings(parent, "conditions")
        if item.get("type") == "ResolvedRefs"
        and item.get("observedGeneration") == now
        and isinstance(now, int)
    ]
    return bool(items) and all(item.get("status") == "True" for item in items)


def _dangling(
    inventory: Inventory, route: Resource, edge: Edge, rule: str, says: str, way: str
) -> Iterator[Fact]:
    """A reference to what is not there: known not to be, or with something there whose name is near, which is the `way` out."""
    target = edge.target
    sure = inventory.missing(target)
    near = nearest(target.name, inventory.names(target, target), loose=sure)
    if not sure and near is None:
        return
    path = (*edge.path, "name")
    yield Fact(
        rule=rule,
        subject=edge.source,
        detail=str(target),
        message=f"{says} {target.name}, which {'does not exist' if sure else 'is not among these files'}",
        cause=f"{target.kind} {near} exists: probably that one is meant." if near else "",
        evidence=(inventory.field(edge.source, path, target.name),),
        fixes=(renamed(route, path, near, f"{way} {near}"),) if near else (),
        where=inventory.where(edge.source, path),
        confidence="certain" if sure else "likely",
    )


# Upwards: the Gateway and its listeners


def _parent(inventory: Inventory, route: Resource, edge: Edge) -> Iterator[Fact]:
    target = edge.target
    holder = inventory.get(target)
    if holder is None:
        yield from _dangling(
            inventory, route, edge, "route.parent", f"attaches to {target.kind}", "attach to"
        )
        return
    if (target.group, target.kind) == (GROUP, "Gateway"):
        yield from _attached(inventory, route, edge, holder)


def _attached(inventory: Inventory, route: Resource, edge: Edge, holder: Resource) -> Iterator[Fact]:
    """Narrow the Gateway's listeners down as a controller does, and tell at which step none is left."""
    ref, name = edge.source, edge.target.name
    listeners = [one for _, one in mappings(holder, "spec", "listeners")]
    if not listeners:
        return
    names = [text(one, "name") for one in listeners]
    left = [one for one in listeners if not edge.key or text(one, "name") == edge.key]
    if not left:
        near = nearest(edge.key, names) or (names[0] if len(names) == 1 else None)
        path = (*edge.path, "sectionName")
        fix = renamed(route, path, near, f"attach to listener {near}") if near else None
        yield _unattached(inventory, edge, f"attaches to listener {edge.key} of Gateway {name}, which has none of that name",
                          f"It has {', '.join(names)}.", "sectionName", fix)  # fmt: skip
        return
    ports = sorted({whole(one, "port") for one in left})
    left = [one for one in left if edge.port in {"", whole(one, "port")}]
    if not left:
        fix = (
            renamed(route, (*edge.path, "port"), ports[0], f"attach to port {ports[0]}")
            if len(ports) == 1
            else None
        )
        yield _unattached(inventory, edge, f"attaches to port {edge.port} of Gateway {name}, where no listener is",
                          f"It listens on {', '.join(map(str, ports))}.", "port", fix)  # fmt: skip
        return
    taken = [one for one in left if ref.kind in _kinds(one)]
    if not taken:
        protocols = ", ".join(f"{text(one, 'name')} ({text(one, 'protocol')})" for one in left)
        yield _unattached(inventory, edge, f"attaches to Gateway {name}, whose listeners take no {ref.kind}", f"They are {protocols}.", "")  # fmt: skip
        return
    near_ones = [one for one in taken if _lets_in(inventory, one, holder, ref) is not False]
    if not near_ones:
        said_so = {text(one, "allowedRoutes", "namespaces", "from") or "Same" for one in taken}
        why = (
            "They take routes of their own namespace only."
            if said_so == {"Same"}
            else f"They take routes from: {', '.join(sorted(said_so))}."
        )
        yield _unattached(inventory, edge, f"attaches to Gateway {name}, whose listeners take no routes of namespace {inventory.space(ref)}", why, "")  # fmt: skip
        return
    hosts = words(route, "spec", "hostnames")
    if hosts and not any(_meet(host, text(one, "hostname")) for one in near_ones for host in hosts):
        served = ", ".join(text(one, "hostname") for one in near_ones)
        yield Fact(
            rule="route.host",
            subject=ref,
            detail=str(edge.target),
            message=f"is for {', '.join(hosts[:3])}, which no listener of Gateway {name} serves",
            cause=f"The listeners serve {served}.",
            evidence=(inventory.field(ref, ("spec", "hostnames"), ", ".join(hosts[:4])),),
            where=inventory.where(ref, ("spec", "hostnames")),
        )


def _unattached(
    inventory: Inventory, edge: Edge, message: str, cause: str, field: str, fix: Fix | None = None
) -> Fact:
    path = (*edge.path, field) if field else edge.path
    return Fact(
        rule="route.listener",
        subject=edge.source,
        detail=str(edge.target),
        message=message,
        cause=cause,
        evidence=(
            inventory.field(
                edge.source,
                path,
                f"Gateway {edge.target.name}{f', {field} {edge.key or edge.port}' if field else ''}",
            ),
        ),
        fixes=(fix,) if fix else (),
        where=inventory.where(edge.source, path),
    )


def _kinds(listener: Resource) -> set[str]:
    told = {text(one, "kind") for _, one in mappings(listener, "allowedRoutes", "kinds")}
    return told or _KINDS.get(text(listener, "protocol"), set(ROUTES))


def _lets_in(inventory: Inventory, listener: Resource, holder: Resource, route: Ref) -> bool | None:
    """Say whether a listener takes routes of a namespace; None where that cannot be known."""
    spaces = mapping(listener, "allowedRoutes", "namespaces")
    match text(spaces, "from") or "Same":
        case "All":
            return True
        case "None":
            return False
        case "Selector":
            return in_space(inventory, mapping(spaces, "selector"), inventory.space(route))
    return inventory.space(Ref.of(holder)) == inventory.space(route)


def _meet(host: str, served: str) -> bool:
    """Say whether a route's host and a listener's have names in common; a wildcard stands for one label and more."""
    if not served:
        return True
    host, served = host.lower(), served.lower()
    if host == served:
        return True
    if served.startswith("*."):
        return host.endswith(served[1:])
    return host.startswith("*.") and served.endswith(host[1:])


# Downwards: Services and their ports


def _backend(inventory: Inventory, route: Resource, edge: Edge) -> Iterator[Fact]:
    ref, target = edge.source, edge.target
    if (target.group, target.kind) != ("", "Service"):
        return
    service = inventory.get(target)
    if service is None:
        yield from _dangling(inventory, route, edge, "route.backend", "sends to Service", "send to Service")
        return
    ports = [whole(one, "port") for _, one in mappings(service, "spec", "ports")]
    path = (*edge.path, "port")
    if ports and edge.port and edge.port not in ports and text(service, "spec", "type") != "ExternalName":
        right = ports[0] if len(ports) == 1 else None
        yield Fact(
            rule="route.port",
            subject=ref,
            detail=f"{target}/{edge.port}",
            message=f"sends to port {edge.port} of Service {target.name}, which has no such port",
            cause=f"The Service has {', '.join(map(str, ports))}.",
            evidence=(inventory.field(ref, path, str(edge.port)),),
            fixes=(renamed(route, path, right, f"send to port {right} of Service {target.name}"),)
            if right
            else (),
            where=inventory.where(ref, path),
        )
    elif not granted(inventory, ref, target):
        yield ungranted(inventory, edge, "route.backend")


# What the controllers say


def _status(inventory: Inventory, route: Resource, found: Sequence[Fact]) -> Iterator[Fact]:
    ref = Ref.of(route)
    now = mapping(route, "metadata").get("generation")
    gateways = {edge.target for edge in edges(route) if edge.relation == "parent"}
    for _, parent in mappings(route, "status", "parents"):
        for _, item in mappings(parent, "conditions"):
            stale = (
                isinstance(now, int)
                and isinstance(item.get("observedGeneration"), int)
                and item["observedGeneration"] < now
            )
            if (
                text(item, "type") not in {"Accepted", "ResolvedRefs"}
                or item.get("status") != "False"
                or stale
            ):
                continue
            if not lasting(inventory, item, _SOON):
                continue
            name = text(parent, "parentRef", "name")
            what = "does not take it" if text(item, "type") == "Accepted" else "cannot resolve what it names"
            yield Fact(
                rule="route.refused",
                subject=ref,
                detail=f"{name}/{text(item, 'type')}",
                message=f"is not served: Gateway {name} {what} ({text(item, 'reason')})",
                cause=inventory.quote(text(item, "message"), ref),
                evidence=(
                    said(inventory, route, item),
                    Evidence("field", ref, f"controller {text(parent, 'controllerName')}"),
                ),
                severity=Severity.CRITICAL,
                where=inventory.where(ref, ("spec",)),
                because=(*(one.key for one in found), *gateways),
            )


UNITS = {(GROUP, kind): look for kind in ROUTES}
