"""Good practice of routes: what is served without TLS, sent to another namespace without leave, or sent to a backend nobody verifies.

Told only where advice is asked for. A route that is not attached, or that a Gateway refuses, is not told here; what is not there to be
seen proves nothing. Source: gateway-api.sigs.k8s.io.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import labels, reads, staying
from fairlead.diagnose.inventories import Inventory
from fairlead.tongues.paths import Path, find, mapping, mappings, text, whole, words
from fairlead.words import Evidence, Ref, Resource, Severity

GATEWAY: Final = "gateway.networking.k8s.io"
_KGATEWAY: Final = "gateway.kgateway.dev"
_TLS_PORTS: Final = (443, 8443)


class _Backend(NamedTuple):
    """Where a route sends to: the object, its port (0: none), and the place that says so."""

    ref: Ref
    port: int
    path: Path


def route(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Each thing that is not good practice about an HTTPRoute."""
    if not staying(resource):
        return
    ref = Ref.of(resource)
    yield from _plain(inventory, resource, ref)
    for one in _backends(resource, ref):
        yield from _ungranted(inventory, ref, "HTTPRoute", one.ref, one.path)
        yield from _unverified(inventory, ref, one)


def gateway(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A Gateway's certificates that lie in another namespace, which does not grant them."""
    if not staying(resource):
        return
    ref = Ref.of(resource)
    for index, listener in mappings(resource, "spec", "listeners"):
        for inner, one in mappings(listener, "tls", "certificateRefs"):
            target = _target(one, "Secret", ref.namespace)
            path: Path = ("spec", "listeners", index, "tls", "certificateRefs", inner)
            yield from _ungranted(inventory, ref, "Gateway", target, path)


def _plain(inventory: Inventory, resource: Resource, ref: Ref) -> Iterator[Fact]:
    """A route that serves more than redirects to HTTPS, on a listener for HTTP that takes it."""
    if all(_redirects(rule) for _, rule in mappings(resource, "spec", "rules")):
        return
    for index, parent in mappings(resource, "spec", "parentRefs"):
        group, kind = parent.get("group", GATEWAY), parent.get("kind", "Gateway")
        if (group, kind) != (GATEWAY, "Gateway"):
            continue
        target = Ref(GATEWAY, "Gateway", text(parent, "namespace") or ref.namespace, text(parent, "name"))
        there = inventory.get(target)
        for inner, listener in mappings(there, "spec", "listeners"):
            wanted = text(parent, "sectionName")
            if wanted not in {"", text(listener, "name")} or listener.get("protocol") != "HTTP":
                continue
            if _takes(inventory, listener, target, resource, ref):
                place: Path = ("spec", "parentRefs", index)
                yield Fact(
                    rule="traffic.plain",
                    subject=ref,
                    severity=Severity.INFO,
                    message=f"serves over plain HTTP, by listener {text(listener, 'name')} of {target}",
                    evidence=(
                        inventory.field(target, ("spec", "listeners", inner, "protocol"), "protocol: HTTP"),
                    ),
                    where=inventory.where(ref, place),
                )
                return


def _redirects(rule: Mapping[str, Any]) -> bool:
    return not mappings(rule, "backendRefs") and any(
        one.get("type") == "RequestRedirect" and text(one, "requestRedirect", "scheme").lower() == "https"
        for _, one in mappings(rule, "filters")
    )


def _takes(
    inventory: Inventory, listener: Mapping[str, Any], gateway: Ref, resource: Resource, ref: Ref
) -> bool:
    """Whether a listener takes a route: by host name, kind and namespace. What cannot be seen is taken for no."""
    host, hosts = text(listener, "hostname"), words(resource, "spec", "hostnames")
    if host and hosts and not any(_meet(host, one) for one in hosts):
        return False
    allowed = mapping(listener, "allowedRoutes")
    kinds = [one for _, one in mappings(allowed, "kinds")]
    if kinds and not any(
        (one.get("group", GATEWAY), one.get("kind")) == (GATEWAY, "HTTPRoute") for one in kinds
    ):
        return False
    come = text(allowed, "namespaces", "from") or "Same"
    if come == "Selector":
        space = inventory.get(Ref("", "Namespace", "", ref.namespace))
        chosen = reads(find(allowed, ("namespaces", "selector")))
        if space is None or chosen is None:
            return False
        return chosen.matches({"kubernetes.io/metadata.name": ref.namespace, **labels(space)})
    return come == "All" or (come == "Same" and inventory.space(ref) == inventory.space(gateway))


def _meet(one: str, other: str) -> bool:
    """Whether two host names, with a wildcard for their first labels or without, have a name in common."""
    one, other = one.lower(), other.lower()
    if one.startswith("*.") and other.startswith("*."):
        return one.endswith(other[1:]) or other.endswith(one[1:])
    if one.startswith("*."):
        return other.endswith(one[1:])
    return one.endswith(other[1:]) if other.startswith("*.") else one == other


def _target(said: Mapping[str, Any], kind: str, namespace: str) -> Ref:
    return Ref(
        text(said, "group"),
        text(said, "kind") or kind,
        text(said, "namespace") or namespace,
        text(said, "name"),
    )


def _backends(resource: Resource, ref: Ref) -> Iterator[_Backend]:
    for index, rule in mappings(resource, "spec", "rules"):
        at: Path = ("spec", "rules", index)
        for inner, one in mappings(rule, "backendRefs"):
            yield _backend(one, ref, (*at, "backendRefs", inner))
        for inner, one in mappings(rule, "filters"):
            mirror = find(one, ("requestMirror", "backendRef"))
            if one.get("type") == "RequestMirror" and isinstance(mirror, dict):
                yield _backend(mirror, ref, (*at, "filters", inner, "requestMirror", "backendRef"))


def _backend(said: Mapping[str, Any], ref: Ref, path: Path) -> _Backend:
    port = said.get("port")
    return _Backend(_target(said, "Service", ref.namespace), port if isinstance(port, int) else 0, path)


def _ungranted(inventory: Inventory, ref: Ref, kind: str, target: Ref, path: Path) -> Iterator[Fact]:
    """In files, a reference to another namespace that no grant among them allows; on a cluster it is broken, and told so elsewhere."""
    if inventory.live or inventory.space(target) == inventory.space(ref):
        return
    for grant in inventory.of_kind(GATEWAY, "ReferenceGrant", target.namespace):
        froms = [one for _, one in mappings(grant, "spec", "from")]
        tos = [one for _, one in mappings(grant, "spec", "to")]
        if any(
            (text(one, "group"), text(one, "kind"), text(one, "namespace")) == (GATEWAY, kind, ref.namespace)
            for one in froms
        ) and any(
            (text(one, "group"), text(one, "kind")) == (target.group, target.kind)
            and text(one, "name") in {"", target.name}
            for one in tos
        ):
            return
    said = f"refers to {target}, and no ReferenceGrant among these files allows it"
    yield Fact(
        rule="traffic.ungranted",
        subject=ref,
        detail=str(target),
        severity=Severity.INFO,
        message=said,
        evidence=(Evidence("absence", target, said, inventory.where(ref, path)),),
        where=inventory.where(ref, path),
    )


def _unverified(inventory: Inventory, ref: Ref, backend: _Backend) -> Iterator[Fact]:
    """In files, a backend that seems to speak TLS, with no policy that says how its certificate is verified."""
    target = backend.ref
    why = "" if inventory.live else _speaks_tls(inventory, backend)
    if not why:
        return
    policies = [
        *(
            inventory.of_kind(GATEWAY, "BackendTLSPolicy", target.namespace)
            if target.kind == "Service"
            else ()
        ),
        *(
            one
            for one in inventory.of_kind(_KGATEWAY, "BackendConfigPolicy", target.namespace)
            if "tls" in mapping(one, "spec")
        ),
    ]
    if any(
        _target(aim, "Service", target.namespace) == target
        for one in policies
        for _, aim in mappings(one, "spec", "targetRefs")
    ):
        return
    yield Fact(
        rule="traffic.unverified",
        subject=ref,
        detail=str(target),
        severity=Severity.INFO,
        message=f"sends to {target}, which seems to speak TLS ({why}), and no BackendTLSPolicy among these files says how that is verified",
        evidence=(inventory.field(ref, backend.path, why),),
        where=inventory.where(ref, backend.path),
    )


def _speaks_tls(inventory: Inventory, backend: _Backend) -> str:
    """Return what shows that a backend speaks TLS, "" where nothing does."""
    if backend.port in _TLS_PORTS:
        return f"port {backend.port}"
    there = inventory.get(backend.ref)
    if there is None:
        return ""
    if (backend.ref.group, backend.ref.kind) == ("", "Service"):
        for _, port in mappings(there, "spec", "ports"):
            if backend.port not in (0, port.get("port")):
                continue
            name, speaks = text(port, "name").lower(), text(port, "appProtocol").lower()
            if name == "https" or name.startswith("https-") or speaks == "https" or speaks.endswith("/https"):
                return f"port {text(port, 'name') or port.get('port')}, {speaks or 'by its name'}"
    if (backend.ref.group, backend.ref.kind) == (_KGATEWAY, "Backend"):
        for _, host in mappings(there, "spec", "static", "hosts"):
            if whole(host, "port") in _TLS_PORTS:
                return f"port {host['port']}"
    return ""


Look = Callable[[Inventory, Resource], Iterator[Fact]]
ADVICE: Mapping[tuple[str, str], Look] = {(GATEWAY, "HTTPRoute"): route, (GATEWAY, "Gateway"): gateway}
"""What is asked of each object of a kind, where advice is wanted."""
