"""Services and Ingresses as they are written: what works and is worth a word, and Ingresses whose load balancer reports an error.

Whether a Service or an Ingress leads anywhere is not told here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fairlead.diagnose.analyzers.probes import declared
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import staying
from fairlead.diagnose.inventories import Inventory, Template
from fairlead.diagnose.proposing import Edit, patch
from fairlead.diagnose.references import edges
from fairlead.tongues.paths import Path, find, mapping, mappings, strings, text, whole
from fairlead.words import Fix, Ref, Resource, Severity


def _note(
    inventory: Inventory, resource: Resource, rule: str, message: str, path: Path, cause: str = ""
) -> Fact:
    ref = Ref.of(resource)
    value = find(resource, path)
    said = f"{path[-1]}: {value}" if isinstance(value, (str, int)) else message
    return Fact(
        rule=rule,
        subject=ref,
        severity=Severity.INFO,
        message=message,
        cause=cause,
        evidence=(inventory.field(ref, path, said),),
        where=inventory.where(ref, path),
    )


def service(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What a Service's type, traffic policy and ports are worth a word for, and one that a single pod serves."""
    if not staying(resource):
        return
    sort = text(resource, "spec", "type") or "ClusterIP"
    policy = text(resource, "spec", "externalTrafficPolicy")
    kind, traffic = ("spec", "type"), ("spec", "externalTrafficPolicy")
    if sort == "LoadBalancer":
        yield _note(inventory, resource, "service.balancer", "has a load balancer of its own", kind,
                    "Each costs money; an Ingress or a Gateway shares one.")  # fmt: skip
        if policy == "Cluster":
            yield _note(inventory, resource, "service.traffic", "hides the addresses of its clients: its external traffic may take a second hop",
                        traffic, "externalTrafficPolicy Local keeps them.")  # fmt: skip
    elif sort == "NodePort":
        yield _note(inventory, resource, "service.nodeport", "opens a port on every node", kind)
        if policy == "Local":
            yield _note(inventory, resource, "service.traffic", "answers only on the nodes that have one of its pods", traffic,
                        "externalTrafficPolicy Cluster lets every node answer.")  # fmt: skip
    selector = strings(resource, "spec", "selector")
    if selector and sort != "ExternalName":
        yield from _behind(inventory, resource, selector)


def _behind(inventory: Inventory, resource: Resource, selector: Mapping[str, str]) -> Iterator[Fact]:
    ref = Ref.of(resource)
    templates, members = inventory.described(selector, ref), inventory.selected(selector, ref)
    holders = templates or [Template(one.ref, one.pod, ()) for one in members]
    found = [declared(one) for holder in holders for one in holder.containers() if one.role != "init"]
    if found and not any(found):
        yield _note(inventory, resource, "service.undeclared", "sends to pods that declare no ports", ("spec", "ports"),
                    "So whether its target ports are right cannot be told.")  # fmt: skip
    names = {number: name for ports in found for name, number in ports.items() if isinstance(name, str)}
    for index, port in mappings(resource, "spec", "ports"):
        target = port.get("targetPort", port.get("port"))
        if (port.get("protocol") or "TCP") == "TCP" and isinstance(target, int) and target in names:
            yield _numbered(inventory, resource, index, target, names[target])
    serving = [one for one in members if text(one.pod, "status", "phase") not in {"Succeeded", "Failed"}]
    if len(serving) == 1:
        yield _note(inventory, resource, "service.single", f"has a single pod behind it: {serving[0].ref.name}", ("spec", "selector"),
                    "While that pod is gone, nobody answers.")  # fmt: skip


def _numbered(inventory: Inventory, resource: Resource, index: int, target: int, name: str) -> Fact:
    ref = Ref.of(resource)
    path: Path = ("spec", "ports", index, "targetPort")
    title = f"send to port {name}"
    fix = Fix(
        title=title, changes=(patch(resource, [Edit(path, name)], title),), risk="Takes effect at once."
    )
    return Fact(
        rule="service.number",
        subject=ref,
        detail=str(index),
        severity=Severity.INFO,
        message=f"sends to port {target} by its number, while its pods call it {name}",
        cause="A name goes on working when the number changes.",
        evidence=(inventory.field(ref, path, f"targetPort: {target}"),),
        fixes=(fix,) if find(resource, path) is not None else (),
        where=inventory.where(ref, path),
    )


def ingress(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """An Ingress whose load balancer reports an error, and a backend without a port."""
    ref = Ref.of(resource)
    if not staying(resource):
        return
    for index, balancer in mappings(resource, "status", "loadBalancer", "ingress"):
        for inner, port in mappings(balancer, "ports"):
            if text(port, "error") and inventory.live:
                path: Path = ("status", "loadBalancer", "ingress", index, "ports", inner, "error")
                yield Fact(
                    rule="ingress.error",
                    subject=ref,
                    detail=f"{index}/{inner}",
                    severity=Severity.WARNING,
                    message=f"its load balancer reports an error for port {port.get('port', 'unknown')}",
                    cause=inventory.quote(text(port, "error"), ref),
                    evidence=(inventory.field(ref, path, inventory.quote(text(port, "error"), ref)),),
                    where=inventory.where(ref, path),
                )
    for edge in edges(resource):
        if edge.relation != "backend" or edge.port != "":
            continue
        ports = mappings(inventory.get(edge.target), "spec", "ports")
        fix = None
        if len(ports) == 1:
            right = (
                {"name": text(ports[0][1], "name")}
                if text(ports[0][1], "name")
                else {"number": whole(ports[0][1], "port")}
            )
            title = f"send to port {next(iter(right.values()))}"
            edits = [Edit((*edge.path, "port"), right)]
            fix = Fix(title=title, changes=(patch(resource, edits, title),), risk="Takes effect at once.")
        yield Fact(
            rule="ingress.portless",
            subject=ref,
            detail=edge.target.name,
            severity=Severity.WARNING,
            message=f"sends to Service {edge.target.name} without saying to which port",
            cause="The API server refuses a backend that names neither a port's name nor its number.",
            evidence=(inventory.field(ref, edge.path, f"{edge.target.name}: no port"),),
            fixes=(fix,) if fix else (),
            where=inventory.where(ref, edge.path),
        )


def numbered_backend(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """An Ingress that names by its number a port of a Service that gives its ports names."""
    ref = Ref.of(resource)
    if not staying(resource):
        return
    for edge in edges(resource):
        if edge.relation != "backend" or not isinstance(edge.port, int):
            continue
        target = inventory.get(edge.target)
        ports = [port for _, port in mappings(target, "spec", "ports")] if target is not None else []
        names = {whole(port, "port"): text(port, "name") for port in ports if text(port, "name")}
        if not names:
            continue
        path = (*edge.path, "port")
        name = names.get(edge.port)
        fix = None
        if name and mapping(resource, *path):
            title = f"send to port {name}"
            fix = Fix(title=title, changes=(patch(resource, [Edit(path, {"name": name})], title),),
                      risk="Takes effect at once.")  # fmt: skip
        called = (
            f"which it calls {name}" if name else f"while its ports have names ({', '.join(names.values())})"
        )
        yield Fact(
            rule="ingress.number",
            subject=ref,
            detail=f"{edge.target.name}/{edge.port}",
            severity=Severity.INFO,
            message=f"sends to port {edge.port} of Service {edge.target.name} by its number, {called}",
            cause="A name goes on working when the number changes.",
            evidence=(inventory.field(ref, (*path, "number"), f"number: {edge.port}"),),
            fixes=(fix,) if fix else (),
            where=inventory.where(ref, (*path, "number")),
        )


Look = Callable[[Inventory, Resource], Iterator[Fact]]
UNITS: Mapping[tuple[str, str], Look] = {("networking.k8s.io", "Ingress"): ingress}
"""What is asked of each object of a kind."""
ADVICE: Mapping[tuple[str, str], Look] = {
    ("", "Service"): service,
    ("networking.k8s.io", "Ingress"): numbered_backend,
}
"""What is asked of each object of a kind, where advice is wanted."""
