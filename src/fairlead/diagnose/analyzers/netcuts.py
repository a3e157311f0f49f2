"""NetworkPolicies that cut a path which something shows is used: a variable, an argument, a setting, an Ingress, a webhook.

Kubelet's probes are never named: networks let the node reach its own pods. Only what the evaluator knows to be cut is told, with the policy that
comes nearest to letting it through (or denies everything), the path, and what shows that it is used. Whether the cluster's network
heeds policies at all is not in the objects, so nothing here is certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.diagnose.callers import Call, callers, calls, meant, pods_port, serving
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory, Template, ready
from fairlead.diagnose.likening import slip
from fairlead.diagnose.netopenings import (
    dns,
    dns_rule,
    nameless,
    new_policy,
    own_labels,
    peer,
    selected_by,
    there,
    written,
)
from fairlead.diagnose.netpaths import (
    DIRECTIONS,
    GROUP,
    NAME_LABEL,
    Direction,
    End,
    end,
    in_space,
    isolated,
    matches,
    one_way,
    others_decide,
    passes_peer,
    passes_ports,
    peers,
    rules,
    types,
)
from fairlead.diagnose.proposing import Edit, patch
from fairlead.tongues.paths import Path, dotted, mapping, mappings, strings, text, whole
from fairlead.words import Change, Fix, Ref, Resource, Severity

_NEAR, _DENIES, _OTHER = 2, 1, 0
_MANY = 6


@dataclass(frozen=True, slots=True)
class _Path:
    """A path that is used: who opens it, to which pods and port, through which Service, and what shows it."""

    source: Template
    target: Template
    service: Ref
    port: int | str
    protocol: str
    call: Call

    def __str__(self) -> str:
        return f"{self.source.ref.kind} {self.source.ref.name} to Service {self.service.name}"


@dataclass(frozen=True, slots=True)
class _Near:
    """How near a policy comes to letting a path through: the edit of it that would, in words, if one is evident."""

    rank: int
    edit: Edit | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Cut:
    """A used path that a policy cuts in one direction, and how near it comes to letting it through."""

    path: _Path
    direction: Direction
    near: _Near


def look(inventory: Inventory, policy: Resource) -> Iterator[Fact]:
    """Each used path that this policy cuts, where it is the one to blame."""
    if mapping(policy, "metadata").get("deletionTimestamp") or others_decide(inventory):
        return
    ref = Ref.of(policy)
    groups: dict[str, list[_Cut]] = {}
    for direction in sorted(types(policy)):
        for template in selected_by(inventory, policy):
            for path, (blamed, near) in inventory.kept(_closed, template.ref, direction):
                if blamed == ref:
                    place = dotted(near.edit.path) if near.edit else ""
                    groups.setdefault(place, []).append(_Cut(path, direction, near))
    for place, cuts in groups.items():
        yield from _facts(inventory, policy, place, cuts)


def _closed(
    inventory: Inventory, ref: Ref, direction: Direction
) -> Sequence[tuple[_Path, tuple[Ref, _Near]]]:
    """Return the used paths into or out of a template's pods that are cut in the direction, each with the policy to blame."""
    template = inventory.template_of(inventory.get(ref) or {})
    if template is None:
        return ()
    paths = _into(inventory, template) if direction == "ingress" else _out_of(inventory, template)
    found = ((path, _blamed(inventory, direction, path)) for path in paths)
    return [(path, blamed) for path, blamed in found if blamed is not None]


def _into(inventory: Inventory, target: Template) -> Iterator[_Path]:
    """The used paths to the pods of a template: by each Service that selects them, from each that calls it."""
    for service in serving(inventory, target):
        for call in callers(inventory, Ref.of(service)):
            yield from _paths(call, target, service)


def _out_of(inventory: Inventory, source: Template) -> Iterator[_Path]:
    for call in calls(inventory, source):
        found = meant(inventory, call)
        if found is None:
            continue
        ref, service = found
        selector = strings(service, "spec", "selector")
        for target in inventory.described(selector, ref) if selector else ():
            yield from _paths(call, target, service)


def _paths(call: Call, target: Template, service: Resource) -> Iterator[_Path]:
    if (
        call.template.ref == target.ref
        or not call.port
        or _idle(call.template)
        or text(service, "spec", "type") == "ExternalName"
    ):
        return
    ports = pods_port(service, call.port)
    if not ports and text(service, "spec", "clusterIP") == "None":
        ports = [("TCP", call.port)]
    for protocol, port in ports:
        yield _Path(call.template, target, Ref.of(service), port, protocol, call)


def _idle(template: Template) -> bool:
    """Say whether the template makes no pods now: scaled to nothing, or a Job that is done."""
    spec, status = mapping(template.resource, "spec"), mapping(template.resource, "status")
    return spec.get("replicas") == 0 or spec.get("suspend") is True or bool(status.get("completionTime"))


def _number(target: End, path: _Path) -> int | None:
    return target.ports.get((path.protocol, path.port)) if isinstance(path.port, str) else path.port


def _verdict(inventory: Inventory, direction: Direction, path: _Path) -> tuple[Ref, ...]:
    """Return the policies that isolate an end of the path where it is cut, or nothing."""
    source, target = end(inventory, path.source), end(inventory, path.target)
    number = _number(target, path)
    if number is None:
        return ()
    own, other = (source, target) if direction == "egress" else (target, source)
    verdict = one_way(inventory, direction, own, other, target, number, path.protocol)
    return verdict.policies if verdict.open is False else ()


def _blamed(inventory: Inventory, direction: Direction, path: _Path) -> tuple[Ref, _Near] | None:
    """Return the policy to blame for a cut, and how near it comes to letting the path through."""
    isolating = _verdict(inventory, direction, path)
    if not isolating:
        return None
    ranked = [(_nearness(inventory, one, direction, path), one) for one in isolating]
    near, ref = max(ranked, key=lambda one: one[0].rank)
    return ref, near


def _nearness(inventory: Inventory, ref: Ref, direction: Direction, path: _Path) -> _Near:
    policy = inventory.get(ref)
    if policy is None:
        return _Near(_OTHER)
    source, target = end(inventory, path.source), end(inventory, path.target)
    other, number = (target if direction == "egress" else source), _number(target, path)
    if number is None:
        return _Near(_OTHER)
    found = rules(policy, direction)
    for index, rule in found:
        place: Path = ("spec", direction, index)
        fits = passes_ports(rule, target, number, path.protocol)
        if fits:
            near = _near_peer(
                inventory,
                policy,
                rule,
                (*place, "from" if direction == "ingress" else "to"),
                direction,
                other,
            )
        elif peers(rule, direction) and passes_peer(inventory, policy, rule, direction, other):
            near = _near_port(inventory, rule, (*place, "ports"), target, number, path)
        else:
            continue
        if near is not None:
            return near
    return _Near(_OTHER if found else _DENIES)


def _near_port(
    inventory: Inventory, rule: Mapping[str, Any], place: Path, target: End, number: int, path: _Path
) -> _Near | None:
    """The rule names the right peer and another port: the Service's, a former one, one that the pods do not have."""
    service = inventory.get(path.service)
    front = {whole(one, "port") for _, one in mappings(service, "spec", "ports")}
    wrong = [
        (index, one)
        for index, one in mappings(rule, "ports")
        if (text(one, "protocol") or "TCP") == path.protocol
        and isinstance(one.get("port"), (str, int))
        and (path.protocol, one["port"]) not in target.ports
        and "endPort" not in one
    ]  # fmt: skip
    if len(wrong) != 1:
        return None
    index, one = wrong[0]
    said = one.get("port")
    why = f"It lets through port {said}, and the pods listen on {number}."
    if said in front and said != number:
        why = f"It lets through port {said}, which is the Service's; policies are about the pods' own, {number}."
    return _Near(_NEAR, Edit((*place, index, "port"), number), why)


def _near_peer(
    inventory: Inventory,
    policy: Resource,
    rule: Mapping[str, Any],
    place: Path,
    direction: Direction,
    other: End,
) -> _Near | None:
    """The rule names the right port, and a peer that is this one but for a label."""
    for index, one in peers(rule, direction):
        if "ipBlock" in one:
            continue
        spaces = one.get("namespaceSelector")
        wanted = strings(one, "podSelector", "matchLabels")
        labels = other.labels or {}
        wrong = {key: value for key, value in wanted.items() if labels.get(key) != value}
        if spaces is None and other.namespace != inventory.space(Ref.of(policy)):
            if wanted and not wrong:
                edit = Edit(
                    (*place, index, "namespaceSelector"), {"matchLabels": {NAME_LABEL: other.namespace}}
                )
                return _Near(_NEAR, edit, f"It lets in such pods of its own namespace only, and these are in {other.namespace}.")  # fmt: skip
            continue
        if spaces is not None and in_space(inventory, spaces, other.namespace) is False:
            held = strings(spaces, "matchLabels")
            if not wrong and len(held) == 1 and other.namespace in held.values():
                key = next(iter(held))
                edit = Edit(
                    (*place, index, "namespaceSelector", "matchLabels"), {NAME_LABEL: other.namespace}
                )
                return _Near(
                    _NEAR, edit, f"Namespace {other.namespace} has no label {key}={other.namespace}."
                )
            continue
        if len(wrong) != 1 or mapping(one, "podSelector").get("matchExpressions"):
            continue
        key, value = next(iter(wrong.items()))
        path = (*place, index, "podSelector", "matchLabels")
        if key in labels and slip(value, labels[key]) is not None and not _somebody(inventory, policy, one):
            return _Near(_NEAR, Edit((*path, key), labels[key]), f"It names pods labelled {key}={value}, and these are labelled {key}={labels[key]}.")  # fmt: skip
        renamed = [own for own, held in labels.items() if held == value and own not in wanted]
        if key not in labels and len(renamed) == 1 and not _somebody(inventory, policy, one):
            kept = {own: held for own, held in wanted.items() if own != key}
            return _Near(_NEAR, Edit(path, {**kept, renamed[0]: value}), f"It names pods labelled {key}={value}, and these are labelled {renamed[0]}={value}.")  # fmt: skip
    return None


def _somebody(inventory: Inventory, policy: Resource, peer: Mapping[str, Any]) -> bool:
    """Say whether the peer is any pod that is here: then it is meant as it stands."""
    return any(matches(inventory, policy, peer, end(inventory, one)) for one in inventory.templates)


def _facts(inventory: Inventory, policy: Resource, place: str, cuts: Sequence[_Cut]) -> Iterator[Fact]:
    ref = Ref.of(policy)
    named = list(dict.fromkeys(f"{one.path}:{one.path.call.port}" for one in cuts))
    more = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
    first = cuts[0]
    at = first.near.edit.path if first.near.edit else ("spec", first.direction)
    ingress = first.direction == "ingress"
    own = first.path.target if ingress else first.path.source
    if first.near.why:
        why = first.near.why
    elif first.near.rank == _DENIES:
        way = "into" if ingress else "out of"
        why = f"It lets nothing {way} the pods that it selects, and no other policy lets this through."
    else:
        why = f"It isolates the pods of {own.ref.kind} {own.ref.name}, and no rule lets this through."
    evidence = {
        str(one.path.source.ref) + str(one.path.call): inventory.field(
            one.path.call.holder,
            one.path.call.path,
            f"{one.path.source.ref.kind} {one.path.source.ref.name}: {one.path.call}",
        )
        for one in cuts
    }
    fix = _fix(inventory, policy, cuts)
    key = ("network.cut", ref, place)
    yield Fact(
        rule="network.cut",
        subject=ref,
        detail=place,
        severity=_severity(inventory, cuts),
        message=f"cuts the path from {named[0]}{more}",
        cause=why,
        evidence=(*list(evidence.values())[:4], written(inventory, policy, at)),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, there(policy, at)),
        confidence="likely",
    )
    for source, service, port in dict.fromkeys(
        (one.path.source.ref, one.path.service, one.path.call.port) for one in cuts
    ):
        for about in (str(service), ""):
            yield Fact(
                rule="path.cut",
                subject=source,
                detail=about,
                severity=Severity.INFO,
                message=f"cannot reach Service {service.name}:{port}",
                because=(key,),
                weak=True,
            )


def _severity(inventory: Inventory, cuts: Sequence[_Cut]) -> Severity:
    """A note where a path is closed for some who are well without it; else a warning, which a symptom may raise."""
    for one in cuts:
        if one.near.rank == _NEAR or not inventory.live or _unwell(inventory, one.path.source):
            return Severity.WARNING
        target = end(inventory, one.path.target)
        number = _number(target, one.path)
        if one.direction == "ingress" and number is not None:
            opened = any(
                passes_ports(rule, target, number, one.path.protocol) is not False
                for policy in isolated(inventory, target, "ingress")
                for _, rule in rules(policy, "ingress")
            )
            if not opened:
                return Severity.WARNING  # nobody at all is let in
    return Severity.INFO


def _unwell(inventory: Inventory, template: Template) -> bool:
    members = inventory.crew(template.ref)
    return not members or any(not ready(one.pod) for one in members)


# Fixes


def _fix(inventory: Inventory, policy: Resource, cuts: Sequence[_Cut]) -> Fix | None:
    edit = cuts[0].near.edit
    if edit is not None:
        if any(one.near.edit != edit for one in cuts):
            return None
        what = f"{edit.path[-1]} {edit.new}" if not isinstance(edit.new, dict) else "the pods that are meant"
        title = f"let through {what}"
        risk = "Opens what the rule evidently means, at once."
        return Fix(title=title, changes=(patch(policy, [edit], title),), risk=risk)
    changes: dict[Ref, Change] = {}
    for path in {str(one.path): one.path for one in cuts}.values():
        for way in DIRECTIONS:
            if _verdict(inventory, way, path):
                change = _opening(inventory, path, way)
                changes.setdefault(change.ref, change)
        servers = dns(inventory)
        if servers and nameless(inventory, path.source, servers):
            change = new_policy(path.source, f"{path.source.ref.name}-to-dns", "egress", dns_rule(servers))
            changes.setdefault(change.ref, change)
    if len(changes) > _MANY:
        return None
    title = "let through what is used: " + ", ".join(dict.fromkeys(str(one.path) for one in cuts))
    return Fix(
        title=title if len(title) < 160 else "let through what is used",
        changes=tuple(changes.values()),
        risk="Opens paths that somebody may have closed on purpose; the policies that are there stay as they are.",
    )


def _opening(inventory: Inventory, path: _Path, way: Direction) -> Change:
    own, other = (path.source, path.target) if way == "egress" else (path.target, path.source)
    number = _number(end(inventory, path.target), path)
    space = "" if inventory.space(own.ref) == inventory.space(other.ref) else inventory.space(other.ref)
    rule = {
        "from" if way == "ingress" else "to": [peer(space, own_labels(other))],
        "ports": [{"protocol": path.protocol, "port": number}],
    }
    name = f"{own.ref.name}-{'to' if way == 'egress' else 'from'}-{other.ref.name}"
    return new_policy(own, name, way, rule)


UNITS = {(GROUP, "NetworkPolicy"): look}
