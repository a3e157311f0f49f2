"""Services that select nothing or send to a port that nobody has, and Ingresses that lead nowhere.

A selector is wrong only where it matches nothing at all: on a live cluster that is a fact, on files only if a label nearby shows
what was meant. A Service whose pods are merely not ready is a symptom of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from fairlead.diagnose.analyzers import customs
from fairlead.diagnose.analyzers.probes import declared
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory, Member, Template, ready
from fairlead.diagnose.likening import nearest, slip
from fairlead.diagnose.moves import applied_target, declared_before
from fairlead.diagnose.proposing import Edit, patch
from fairlead.diagnose.references import Container, Edge, edges
from fairlead.tongues.paths import Path, find, mapping, mappings, strings, text, whole, words
from fairlead.words import Fix, Ref, Resource, Severity

_LISTENS = re.compile(
    r"(?:^|listen(?:ing)?[-_]?(?:addr(?:ess)?)?[= ]|address[= ]|port[= ]|bind[= ])(?:0\.0\.0\.0:|\[::\]:|\*:|:)?(\d{1,5})$",
    re.IGNORECASE,
)
"""How a program is told where to listen: `8080`, `:8080`, `--port=8080`, `--listen-address=0.0.0.0:8080`."""


def _labels(selector: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))


def _fix(resource: Resource, path: Path, new: Any, title: str) -> Fix:
    return Fix(
        title=title, changes=(patch(resource, [Edit(path, new)], title),), risk="Takes effect at once."
    )


def _service(inventory: Inventory, service: Resource) -> Iterator[Fact]:
    if mapping(service, "metadata").get("deletionTimestamp"):
        return
    ref = Ref.of(service)
    selector = strings(service, "spec", "selector")
    if not selector or text(service, "spec", "type") == "ExternalName":
        return
    templates = inventory.described(selector, ref)
    members = inventory.selected(selector, ref)
    if not templates and not members:
        yield from _unmatched(inventory, service, ref, selector)
        return
    for index, port in mappings(service, "spec", "ports"):
        yield from _port(inventory, service, ref, index, port, templates, members)
    if inventory.live:
        yield from _endpoints(ref, templates, members)


def _endpoints(ref: Ref, templates: Sequence[Template], members: Sequence[Member]) -> Iterator[Fact]:
    if any(ready(member.pod) for member in members):
        return
    if members and all(text(member.pod, "status", "phase") == "Succeeded" for member in members):
        return
    because: list[Key | Ref] = [member.ref for member in members]
    because += [template.ref for template in templates]
    if not members:
        idle = [template for template in templates if _replicas(template.resource) == 0]
        if len(idle) == len(templates):
            names = ", ".join(str(template.ref) for template in idle)
            yield Fact(
                rule="service.idle",
                subject=ref,
                severity=Severity.INFO,
                message="has no endpoints: what it selects is scaled to zero",
                cause=f"{names} has 0 replicas.",
                because=tuple(("workload.idle", template.ref, "") for template in idle),
            )
            return
    yield Fact(
        rule="service.endpoints",
        subject=ref,
        message="has no ready endpoints",
        because=tuple(because),
        weak=True,
    )


def _replicas(resource: Resource) -> int | None:
    replicas = mapping(resource, "spec").get("replicas")
    return replicas if isinstance(replicas, int) else None


def _unmatched(
    inventory: Inventory, service: Resource, ref: Ref, selector: Mapping[str, str]
) -> Iterator[Fact]:
    found = _meant(inventory, ref, selector)
    if found is None and not inventory.seen_all("", "Pod"):
        return
    fix, cause = None, "No pod beside it has these labels."
    path: Path = ("spec", "selector")
    if found is not None:
        template, wrong = found
        right = {key: template.labels.get(other, "") for key, other in wrong.items()}
        if not all(wrong.values()):
            rest = {key: value for key, value in selector.items() if key not in wrong}
            path = ("spec", "selector", next(iter(wrong)))
            fix = _fix(service, path, None, f"select {_labels(rest)} alone")
            cause = f"{template.ref.kind} {template.ref.name} makes pods labelled {_labels(rest)}, without {', '.join(wrong)}."
        elif all(key == other for key, other in wrong.items()):
            key = next(iter(wrong))
            path = ("spec", "selector", key)
            fix = _fix(service, path, right[key], f"select {key}={right[key]}")
            cause = f"{template.ref.kind} {template.ref.name} makes pods labelled {key}={right[key]}: probably those are meant."
        else:
            key, other = next(iter(wrong.items()))
            renamed = {other if one == key else one: value for one, value in selector.items()}
            renamed[other] = template.labels[other]
            fix = _fix(service, path, renamed, f"select {_labels(renamed)}")
            cause = f"{template.ref.kind} {template.ref.name} makes pods labelled {other}={template.labels[other]}: probably those are meant."
    yield Fact(
        rule="service.selector",
        subject=ref,
        message=f"selects {_labels(selector)}, which no pod has"
        if inventory.live
        else f"selects {_labels(selector)}, which nothing in these files makes",
        cause=cause,
        evidence=(inventory.field(ref, ("spec", "selector"), _labels(selector)),),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, path),
        confidence="certain" if inventory.live else "likely",
    )


def _meant(
    inventory: Inventory, ref: Ref, selector: Mapping[str, str]
) -> tuple[Template, dict[str, str]] | None:
    """Return the template that was probably meant, with the selector's wrong key and the label it should have been ("" if none)."""
    candidates: list[tuple[int, Template, dict[str, str]]] = []
    taken = _selected_by_others(inventory, ref)
    for template in inventory.templates_in(inventory.space(ref)):
        wrong = {key: value for key, value in selector.items() if template.labels.get(key) != value}
        if len(wrong) != 1:
            continue
        key, value = next(iter(wrong.items()))
        same_name = template.ref.name == ref.name
        if template.ref in taken and not same_name:
            continue
        near = _near(key, value, template.labels, same_name=same_name, others=len(selector) > 1)
        if near is not None:
            candidates.append((near[0] - (5 if same_name else 0), template, {key: near[1]}))
    candidates.sort(key=lambda one: one[0])
    if not candidates or (len(candidates) > 1 and candidates[0][0] == candidates[1][0]):
        return None
    return candidates[0][1], candidates[0][2]


def _near(
    key: str, value: str, labels: Mapping[str, str], *, same_name: bool, others: bool
) -> tuple[int, str] | None:
    """Return how near the labels are to `key: value`, and which label it is."""
    if key in labels:
        distance = slip(value, labels[key])
        if distance is not None:
            return distance, key
        if same_name or others:
            return 8, key
        return None
    if same_name and others and value not in labels.values():
        return 9, ""
    keys = [other for other, held in labels.items() if held == value]
    if len(keys) == 1 and (
        same_name
        or slip(key, keys[0]) is not None
        or keys[0].endswith(f"/{key}")
        or key.endswith(f"/{keys[0]}")
    ):
        return 4, keys[0]
    return None


def _selected_by_others(inventory: Inventory, ref: Ref) -> set[Ref]:
    found: set[Ref] = set()
    for other in inventory.beside("", "Service", ref):
        selector = strings(other, "spec", "selector")
        if selector and Ref.of(other) != ref:
            found.update(template.ref for template in inventory.described(selector, ref))
    return found


def _holders(
    templates: Sequence[Template], members: Sequence[Member]
) -> dict[Ref, tuple[dict[str | int, int], int]]:
    """Return each selected thing's declared TCP ports, and how many of its containers declare any."""
    found: dict[Ref, tuple[dict[str | int, int], int]] = {}
    things = {template.ref: template for template in templates}
    for member in members:
        things.setdefault(member.top.ref, Template(member.ref, member.pod, ()))
    for ref, template in things.items():
        ports: dict[str | int, int] = {}
        declaring = 0
        for container in template.containers():
            if container.role != "init" and (its := declared(container)):
                ports.update(its)
                declaring += 1
        found[ref] = (ports, declaring)
    return found


def _port(
    inventory: Inventory,
    service: Resource,
    ref: Ref,
    index: int,
    port: Mapping[str, Any],
    templates: Sequence[Template],
    members: Sequence[Member],
) -> Iterator[Fact]:
    if (port.get("protocol") or "TCP") != "TCP":
        return
    target = port.get("targetPort", port.get("port"))
    if isinstance(target, str) and target.isdigit():
        target = int(target)
    holders = _holders(templates, members)
    named = isinstance(target, str)
    if not isinstance(target, (str, int)) or any(target in ports for ports, _ in holders.values()):
        return
    if not named and not all(declaring for _, declaring in holders.values()):
        return  # undeclared ports may be listened on: nothing is known
    if isinstance(target, int) and any(_listens(one, target) for one in _containers(templates, members)):
        return
    choices = {number for ports, _ in holders.values() for number in ports.values()}
    names = {name for ports, _ in holders.values() for name in ports if isinstance(name, str)}
    right: str | int | None = nearest(str(target), names) if named else None
    if right is None and len(choices) == 1:
        number = next(iter(choices))
        right = next(iter(names)) if named and len(names) == 1 else number
    elif right is None and not named and whole(port, "port") in choices:
        right = port["port"]
    was = applied_target(service, port.get("port"))
    if was is not None and was != target and any(was in ports for ports, _ in holders.values()):
        right = was
    else:
        was = None
    moved = (
        None if was is not None or len(templates) != 1 else declared_before(inventory, templates[0], target)
    )
    path = ("spec", "ports", index, "targetPort")
    fix = _fix(service, path, right, f"send to port {right}") if right is not None else None
    who = ", ".join(f"{one.kind} {one.name}" for one in sorted(holders, key=str)[:3])
    has = ", ".join(_described(holders)) or "none"
    yield Fact(
        rule="service.port",
        subject=ref,
        detail=str(index),
        severity=Severity.CRITICAL
        if named
        else Severity.WARNING
        if was is not None or moved or not _served(service, choices)
        else Severity.INFO,  # one port more than is declared: a declaration is no condition for listening
        message=f"sends port {port.get('port')} to {'port named ' if named else 'port '}{target}, which no container behind it declares",
        cause=f"{who} declares: {has}."
        + (f" The Service was applied with targetPort {was}, and changed since." if was is not None else "")
        + (f" Its pods declared {target} once: they were changed, and the Service was not." if moved else ""),
        evidence=(inventory.field(ref, path, f"targetPort: {target}"), *([moved] if moved else [])),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, path if find(service, path) is not None else path[:-1]),
        confidence="certain" if named else "likely",
        blame=templates[0].ref if moved else None,
    )


def _served(service: Resource, declared_ports: Collection[int]) -> bool:
    """Say whether the Service sends to every port that its pods declare."""
    targets = [one.get("targetPort", one.get("port")) for _, one in mappings(service, "spec", "ports")]
    return bool(declared_ports) and all(one in targets for one in declared_ports)


def _containers(templates: Sequence[Template], members: Sequence[Member]) -> Iterator[Container]:
    for template in templates:
        yield from template.containers()
    for member in members:
        yield from Template(member.ref, member.pod, ()).containers()


def _listens(container: Container, port: int) -> bool:
    """Say whether a container's probe, setting or argument shows that it listens on a port that it does not declare."""
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        for way in ("httpGet", "tcpSocket", "grpc"):
            if mapping(container.content, probe, way).get("port") == port:
                return True
    said = [text(one, "value") for _, one in mappings(container.content, "env")]
    said += [*words(container.content, "command"), *words(container.content, "args")]
    return any(
        one.endswith(str(port)) and (found := _LISTENS.search(one)) and found.group(1) == str(port)
        for one in said
    )


def _described(holders: Mapping[Ref, tuple[dict[str | int, int], int]]) -> list[str]:
    found: dict[str, None] = {}
    for ports, _ in holders.values():
        names = {number: name for name, number in ports.items() if isinstance(name, str)}
        for number in sorted(set(ports.values())):
            found[f"{number} ({names[number]})" if number in names else str(number)] = None
    return list(found)


def _ingress(inventory: Inventory, ingress: Resource) -> Iterator[Fact]:
    ref = Ref.of(ingress)
    for edge in edges(ingress):
        if edge.relation == "backend":
            yield from _backend(inventory, ingress, edge)
        elif edge.relation == "class" and inventory.missing(edge.target):
            names = inventory.names(edge.target, ref)
            right = nearest(edge.target.name, names) or (names[0] if len(names) == 1 else None)
            fix = _fix(ingress, edge.path, right, f"use class {right}") if right else None
            yield Fact(
                rule="ingress.class",
                subject=ref,
                severity=Severity.WARNING,
                message=f"asks for class {edge.target.name}, which does not exist",
                cause=f"Classes there are: {', '.join(names) or 'none'}. No controller serves it.",
                evidence=(inventory.field(ref, edge.path, edge.target.name),),
                fixes=(fix,) if fix else (),
                where=inventory.where(ref, edge.path),
            )
        elif edge.relation == "tls" and inventory.missing(edge.target):
            kept = inventory.of_kind("", "Secret", edge.target.namespace)
            held = [Ref.of(one).name for one in kept if text(one, "type") == "kubernetes.io/tls"]
            right = nearest(edge.target.name, held)
            fix = _fix(ingress, edge.path, right, f"use Secret {right}") if right else None
            yield Fact(
                rule="ingress.tls",
                subject=ref,
                detail=edge.target.name,
                severity=Severity.WARNING,
                message=f"names TLS Secret {edge.target.name}, which does not exist",
                cause=f"Secret {right} holds a certificate: probably that one is meant." if right else "",
                evidence=(inventory.field(ref, edge.path, edge.target.name),),
                fixes=(fix,) if fix else (),
                where=inventory.where(ref, edge.path),
                because=tuple(customs.makers(inventory, edge.target)),
            )


def _backend(inventory: Inventory, ingress: Resource, edge: Edge) -> Iterator[Fact]:
    ref = Ref.of(ingress)
    service = inventory.get(edge.target)
    if service is None:
        right = nearest(edge.target.name, inventory.names(edge.target, ref), loose=inventory.live)
        sure = inventory.seen_all("", "Service")
        if right is None and not sure:
            return
        path = (*edge.path, "name")
        fix = _fix(ingress, path, right, f"send to Service {right}") if right else None
        said = "does not exist" if sure else "is not among these files"
        yield Fact(
            rule="ingress.backend",
            subject=ref,
            detail=edge.target.name,
            message=f"sends to Service {edge.target.name}, which {said}",
            cause=f"Service {right} exists: probably that one is meant." if right else "",
            evidence=(inventory.field(ref, path, edge.target.name),),
            fixes=(fix,) if fix else (),
            where=inventory.where(ref, path),
            confidence="certain" if sure else "likely",
        )
        return
    ports = [port for _, port in mappings(service, "spec", "ports")]
    numbers = [whole(port, "port") for port in ports]
    names = [text(port, "name") for port in ports if text(port, "name")]
    if (
        text(service, "spec", "type") != "ExternalName"
        and edge.port != ""
        and edge.port not in [*numbers, *names]
    ):
        yield _wrong_port(inventory, ingress, edge, numbers, names)
    elif inventory.live:
        yield Fact(
            rule="ingress.endpoints",
            subject=ref,
            detail=edge.target.name,
            message=f"leads to Service {edge.target.name}",
            because=(edge.target,),
            weak=True,
        )


def _wrong_port(
    inventory: Inventory, ingress: Resource, edge: Edge, numbers: Sequence[int], names: Sequence[str]
) -> Fact:
    ref = Ref.of(ingress)
    named = isinstance(edge.port, str)
    right: object = nearest(edge.port, names) if isinstance(edge.port, str) else None
    path = (*edge.path, "port", "name" if named else "number")
    if right is None and len(numbers) == 1:
        right = {"number": numbers[0]} if named and not names else names[0] if named else numbers[0]
    change_path = (*edge.path, "port") if isinstance(right, dict) else path
    fix = None
    if right is not None:
        said = right["number"] if isinstance(right, dict) else right
        fix = _fix(ingress, change_path, right, f"send to port {said} of Service {edge.target.name}")
    has = ", ".join(str(one) for one in [*numbers, *names])
    return Fact(
        rule="ingress.port",
        subject=ref,
        detail=f"{edge.target.name}/{edge.port}",
        message=f"sends to port {edge.port} of Service {edge.target.name}, which has no such port",
        cause=f"The Service has {has or 'no ports'}.",
        evidence=(inventory.field(ref, path, str(edge.port)),),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, path),
    )


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {
    ("", "Service"): _service,
    ("networking.k8s.io", "Ingress"): _ingress,
}
