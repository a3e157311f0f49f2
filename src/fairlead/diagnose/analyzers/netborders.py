"""NetworkPolicies that keep pods from the cluster's DNS, or keep out what must come from outside: load balancers, Ingresses, the API server.

Only what is shut to everything outside the namespace is told: which addresses a load balancer or the API server comes from is not
in the objects. Kubelet's probes are never named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fairlead.diagnose.callers import Call, calls, meant, pods_port, serving
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory, Template, ready
from fairlead.diagnose.netopenings import dns, dns_rule, nameless, new_policy, selected_by, there, written
from fairlead.diagnose.netpaths import GROUP, end, opens_outwards, others_decide, rules, types
from fairlead.diagnose.proposing import Edit, patch
from fairlead.tongues.paths import find, mapping, mappings, text
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_NEAR, _DENIES, _OTHER = 2, 1, 0
_SERVES = re.compile(r"ingress|traefik|haproxy|kong|contour|envoy|gateway", re.IGNORECASE)


def look(inventory: Inventory, policy: Resource) -> Iterator[Fact]:
    """What this policy keeps from the cluster's DNS, and from what comes from outside, where it is the one to blame."""
    if mapping(policy, "metadata").get("deletionTimestamp") or others_decide(inventory):
        return
    if "egress" in types(policy):
        yield from _names(inventory, policy, selected_by(inventory, policy))
    if "ingress" in types(policy):
        yield from _outside(inventory, policy, selected_by(inventory, policy))


# Names


def _names(inventory: Inventory, policy: Resource, selected: Sequence[Template]) -> Iterator[Fact]:
    """Pods that are told names of Services and may not ask the cluster's DNS."""
    ref = Ref.of(policy)
    suffering: list[tuple[Template, Call | None]] = []
    servers = dns(inventory)
    for template in selected if servers else ():
        if text(template.spec, "dnsPolicy") in {"None", "Default"}:
            continue
        if inventory.kept(_silencing, template.ref) != ref:
            continue
        told = next((one for one in calls(inventory, template) if meant(inventory, one)), None)
        if told is not None or _unwell(inventory, template):
            suffering.append((template, told))
    if not suffering:
        return
    who = ", ".join(f"{one.ref.kind} {one.ref.name}" for one, _ in suffering[:3])
    more = f" and {len(suffering) - 3} more" if len(suffering) > 3 else ""
    held = find(policy, ("spec", "egress"))
    title = "let through questions to the cluster's DNS"
    edit = Edit(("spec", "egress"), [*(held if isinstance(held, list) else []), dns_rule(servers)])
    yield Fact(
        rule="network.dns",
        subject=ref,
        severity=Severity.WARNING if any(call for _, call in suffering) else Severity.INFO,
        message=f"lets no questions through to the cluster's DNS, which {who}{more} must {'ask' if any(call for _, call in suffering) else 'ask where they look up names'}",
        cause="Its rules for egress name no port 53, so names of Services are not resolved.",
        evidence=tuple(inventory.field(call.holder, call.path, f"{one.ref.kind} {one.ref.name}: {call}") for one, call in suffering[:3] if call)
        or (written(inventory, policy, ("spec", "egress")),),
        fixes=(Fix(title=title, changes=(patch(policy, [edit], title),), risk="Opens port 53 to the cluster's DNS, at once."),),
        where=inventory.where(ref, there(policy, ("spec", "egress"))),
        confidence="likely",
        because=(("network.cut", ref, ""),),
    )  # fmt: skip
    for template, _ in suffering:
        for about in ("DNS", ""):
            yield Fact(
                rule="path.cut",
                subject=template.ref,
                severity=Severity.INFO,
                detail=about,
                message="cannot ask the cluster's DNS",
                because=(("network.dns", ref, ""),),
                weak=True,
            )


def _silencing(inventory: Inventory, ref: Ref) -> Ref | None:
    """Return the policy to blame for what keeps a template's pods from the cluster's DNS."""
    template = inventory.template_of(inventory.get(ref) or {})
    isolating = nameless(inventory, template, dns(inventory)) if template is not None else ()
    return max(isolating, key=lambda one: _dns_rank(inventory, one)) if isolating else None


def _unwell(inventory: Inventory, template: Template) -> bool:
    """Say whether none of the template's pods is well: their logs may tell what they miss, whatever they are told."""
    members = inventory.crew(template.ref)
    return bool(members) and not any(ready(one.pod) for one in members)


def _dns_rank(inventory: Inventory, ref: Ref) -> int:
    found = rules(inventory.get(ref) or {}, "egress")
    if any(one.get("port") == 53 for _, rule in found for _, one in mappings(rule, "ports")):
        return _NEAR
    return _OTHER if found else _DENIES


# What comes from outside


def _outside(inventory: Inventory, policy: Resource, selected: Sequence[Template]) -> Iterator[Fact]:
    """Pods that a load balancer, an Ingress or the API server must reach, and nothing from outside the namespace may."""
    ref = Ref.of(policy)
    for target in selected:
        for blamed, service, who, evidence, protocol, number in inventory.kept(_shut_out, target.ref):
            if blamed == ref:
                yield from _shut(inventory, policy, target, service, who, evidence, protocol, number)


def _shut_out(inventory: Inventory, target: Ref) -> Sequence[tuple[Ref, Ref, Ref, Evidence, str, int]]:
    """Return what must reach a template's pods from outside and may not: whom to blame, the Service, who, what shows it, the port."""
    template = inventory.template_of(inventory.get(target) or {})
    if template is None:
        return ()
    own = end(inventory, template)
    found = []
    for service in serving(inventory, template):
        for who, port, evidence in _outsiders(inventory, service):
            for protocol, to in pods_port(service, port):
                number = own.ports.get((protocol, to)) if isinstance(to, str) else to
                if number is None:
                    continue
                opened, isolating = opens_outwards(inventory, own, number, protocol)
                if opened is False:
                    blamed = max(isolating, key=lambda one: _denying(inventory, one))
                    found.append((blamed, Ref.of(service), who, evidence, protocol, number))
    return found


def _denying(inventory: Inventory, ref: Ref) -> int:
    return _OTHER if rules(inventory.get(ref) or {}, "ingress") else _DENIES


def _outsiders(inventory: Inventory, service: Resource) -> Iterator[tuple[Ref, int, Evidence]]:
    """Yield what must reach the Service from outside its namespace, at which port, and what shows it."""
    ref = Ref.of(service)
    ports = [one["port"] for _, one in mappings(service, "spec", "ports") if isinstance(one.get("port"), int)]
    if text(service, "spec", "type") == "LoadBalancer":
        for port in ports:
            yield ref, port, inventory.field(ref, ("spec", "type"), "type: LoadBalancer")
    for edge in inventory.referrers(ref):
        if edge.relation == "backend" and edge.source.kind == "Ingress" and not _controllers(inventory, ref):
            named = {text(one, "name"): one.get("port") for _, one in mappings(service, "spec", "ports")}
            port = named.get(edge.port) if isinstance(edge.port, str) else edge.port
            if isinstance(port, int):
                yield (
                    edge.source,
                    port,
                    inventory.field(edge.source, edge.path, f"sends to {ref.name}:{port}"),
                )
        elif edge.relation == "webhook":
            webhook = find(inventory.get(edge.source), edge.path)
            port = mapping(webhook).get("port", 443)
            if isinstance(port, int):
                yield (
                    edge.source,
                    port,
                    inventory.field(edge.source, edge.path, f"the API server calls {ref.name}:{port}"),
                )


def _controllers(inventory: Inventory, near: Ref) -> list[Template]:
    """The pods beside the object that look as if they served Ingresses."""
    return [
        one
        for one in inventory.templates_in(inventory.space(near))
        if any(_SERVES.search(text(container.content, "image")) for container in one.containers())
    ]


def _shut(
    inventory: Inventory,
    policy: Resource,
    target: Template,
    service: Ref,
    who: Ref,
    evidence: Evidence,
    protocol: str,
    number: int,
) -> Iterator[Fact]:
    ref = Ref.of(policy)
    told = (
        "the API server"
        if who.kind.endswith("Configuration") or who.kind == "APIService"
        else f"outside ({who.kind} {who.name})"
    )
    denies = not rules(policy, "ingress")
    change = new_policy(
        target,
        f"{target.ref.name}-from-outside",
        "ingress",
        {"ports": [{"protocol": protocol, "port": number}]},
    )
    title = f"let everybody reach port {number} of {target.ref.kind} {target.ref.name}"
    fix = Fix(
        title=title,
        changes=(change,),
        risk="Opens the port to everything in the cluster, and to what comes from outside.",
    )
    detail = f"ingress/{target.ref.kind}/{target.ref.name}/{number}"
    yield Fact(
        rule="network.cut",
        subject=ref,
        detail=detail,
        severity=Severity.WARNING,
        message=f"cuts the path from {told} to Service {service.name}",
        cause=f"{'It lets nothing in' if denies else 'No rule lets anything in from outside the namespace'} to port {number} of {target.ref.kind} {target.ref.name}.",
        evidence=(evidence, written(inventory, policy, ("spec", "ingress"))),
        fixes=(fix,),
        where=inventory.where(ref, there(policy, ("spec", "ingress"))),
        confidence="likely",
        because=(("network.cut", ref, ""),),
    )
    yield Fact(rule="path.cut", subject=who, detail=str(service), severity=Severity.INFO, message=f"does not reach Service {service.name}",
               because=(("network.cut", ref, detail),), weak=True)  # fmt: skip


UNITS = {(GROUP, "NetworkPolicy"): look}
