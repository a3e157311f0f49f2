"""Hosts in variables, arguments and settings that lead nowhere: no such Service, in the wrong namespace, or without that port.

Only what is evidently meant to be in the cluster counts: a name that ends in .svc, one behind which stands a namespace that exists, or
one that a container's own log could not resolve. Every other unknown host may be anywhere, and proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from fairlead.diagnose.analyzers.addresses import siblings
from fairlead.diagnose.analyzers.crashes import log_need
from fairlead.diagnose.callers import Call, callers, calls, detail, meant, pods_port
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.hosts import Named, hostly
from fairlead.diagnose.inventories import ANY_MAKER, Inventory, Template
from fairlead.diagnose.likening import nearest, slip
from fairlead.diagnose.moves import applied_port
from fairlead.diagnose.proposing import Edit, edit_template, patch
from fairlead.tongues.paths import find, mapping, mappings, strings, text, whole, words
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_WIDE = 2_000
"""Of a line of a log, so many characters are read for names."""
_UNRESOLVED = re.compile(
    r"no such host|name or service not known|could not (?:resolve|translate) host|temporary failure in name resolution|"
    r"enotfound|eai_again|unknown ?host|nodename nor servname|name does not resolve|bad address|can't find|nxdomain|"
    r"failed to (?:resolve|lookup)|getaddrinfo|server can't find",
    re.IGNORECASE,
)


def look(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Each host that an object which makes pods tells its containers, and that leads nowhere."""
    template = inventory.maker(resource)
    if template is None:
        return
    aliases = {name for _, one in mappings(template.spec, "hostAliases") for name in words(one, "hostnames")}
    inner = False
    for call in calls(inventory, template):
        if call.host in aliases or not call.candidates:
            continue
        target = meant(inventory, call)
        if target is None:
            yield from _nowhere(inventory, call)
            continue
        inner = inner or call.literal
        ref, service = target
        yield from _pod(inventory, call, ref)
        yield from _port(inventory, call, ref, service)
    if inner:
        yield from _policy(inventory, template)


# Names


def _nowhere(inventory: Inventory, call: Call) -> Iterator[Fact]:
    one = call.candidates[0]
    if one.form == "short":
        yield from _short(inventory, call, one)
        return
    there = _there(inventory, one.namespace)
    known = there or one.namespace == call.template.ref.namespace
    others = _homes(inventory, one.service)
    if one.form == "spaced" and not known:
        # It may be a name of the world outside, unless its end is a slip for a namespace that has the Service.
        others = [space for space in others if slip(one.namespace, space) is not None]
        if len(others) == 1:
            yield _astray(inventory, call, one, others[0], sure=False)
        return
    sure = inventory.seen_all("", "Service") and (known or _whole(inventory))
    if not sure:
        own = inventory.space(call.template.ref)
        others = [s for s in others if (s or "default") == own or slip(one.namespace, s) is not None]
        if there:
            others = []
    if len(others) == 1:
        yield _astray(inventory, call, one, others[0], sure=sure)
        return
    here = [Ref.of(item).name for item in inventory.of_kind("", "Service", one.namespace)]
    near = nearest(one.service, here, loose=inventory.live)
    if near is not None and _told_elsewhere(inventory, call, one, near):
        return
    if sure or near is not None:
        yield _missing(inventory, call, one, near, sure=sure)


def _told_elsewhere(inventory: Inventory, call: Call, one: Named, near: str) -> bool:
    """Say whether service.name tells of it: a slip in a variable for a Service beside the pod."""
    beside = (one.namespace or "default") == inventory.space(call.template.ref)
    variable = call.literal and "env" in call.path and bool(call.scheme or call.told)
    return beside and variable and slip(one.service, near) is not None


def _there(inventory: Inventory, namespace: str) -> bool:
    """Say whether a namespace is evidently there."""
    return inventory.get(Ref("", "Namespace", "", namespace)) is not None or bool(
        inventory.of_kind("", "Service", namespace)
    )


def _homes(inventory: Inventory, service: str) -> list[str]:
    """Return the namespaces that have a Service of the name."""
    refs = [Ref.of(one) for one in inventory.at("name", service)]
    return [ref.namespace for ref in refs if (ref.group, ref.kind) == ("", "Service")]


def _whole(inventory: Inventory) -> bool:
    """Say whether all namespaces were looked at: one that is not there then does not exist."""
    return (
        inventory.seen_all("", "Namespace")
        and inventory.get(Ref("", "Namespace", "", "kube-system")) is not None
    )


def _short(inventory: Inventory, call: Call, one: Named) -> Iterator[Fact]:
    """A host of one word: its namespace's Service, unless something outside bears the name."""
    if not inventory.live or not inventory.seen_all("", "Service"):
        return
    said = _unresolved(inventory, call)
    own = inventory.of_kind("", "Service", one.namespace)
    if any(slip(one.service, Ref.of(item).name) is not None for item in own) and not said:
        return  # service.name tells
    others = [
        Ref.of(item).namespace
        for item in inventory.of_kind("", "Service")
        if Ref.of(item).name == one.service
    ]
    if len(others) == 1 and (call.scheme or call.port or hostly(call.setting)):
        yield _astray(inventory, call, one, others[0], sure=bool(said))
    elif said and not others:
        near = nearest(one.service, [Ref.of(item).name for item in own], loose=True)
        if near is None or not _told_of(inventory, call, one, near):
            yield _missing(inventory, call, one, near, sure=False, said=said)


def _told_of(inventory: Inventory, call: Call, one: Named, near: str) -> bool:
    """Say whether service.name tells of it: a slip, or a Service that the same variable names elsewhere."""
    if slip(one.service, near) is not None:
        return True
    return near in inventory.kept(siblings, inventory.space(call.template.ref), call.setting)


def _unresolved(inventory: Inventory, call: Call) -> str:
    """Return the line of the container's log that says that the host could not be resolved, or ""."""
    for ref, line in inventory.kept(_nameless, call.template.ref, call.container):
        if call.host in line.lower():
            return inventory.quote(line, ref)
    return ""


def _nameless(inventory: Inventory, ref: Ref, container: str) -> Sequence[tuple[Ref, str]]:
    """Return the lines of a container's logs that say that a name could not be resolved, the last first, each once."""
    found: dict[tuple[Ref, str], None] = {}
    for member in inventory.crew(ref):
        for previous in (True, False):
            log = inventory.answer(log_need(member, container, previous=previous))
            for line in reversed(log.splitlines()):
                if _UNRESOLVED.search(line):
                    found[member.ref, line[:_WIDE]] = None
    return list(found)


def _missing(
    inventory: Inventory, call: Call, one: Named, near: str | None, *, sure: bool, said: str = ""
) -> Fact:
    space = one.namespace or "default"
    where = f"there is no Service {one.service} in namespace {space}"
    if not inventory.live:
        where += " among these files"
    cause = f"Service {near} is there: probably that one is meant." if near else ""
    if said and not near:
        cause = "Its log says that the name cannot be resolved."
    evidence = [_evidence(inventory, call)]
    if said:
        evidence.append(Evidence("log", call.template.ref, said))
    fix = _fix(inventory, call, call.host.replace(one.service, near, 1), f"{near}") if near else None
    # Not everything that is told is called: without a sign of trouble (a near name, a log) it is a note, which a crash that it explains raises.
    severity = Severity.WARNING if near or said else Severity.INFO
    return _fact(
        inventory,
        call,
        "host.missing",
        where,
        cause,
        evidence,
        fix,
        sure=sure and not near,
        severity=severity,
    )


def _astray(inventory: Inventory, call: Call, one: Named, right: str, *, sure: bool) -> Fact:
    space = right or "default"
    where = f"Service {one.service} is in namespace {space}, not in {one.namespace or 'default'}"
    parts = call.host.split(".")
    at = parts.index(one.service)
    host = ".".join([*parts[: at + 1], space, *parts[at + 2 :]])
    cause = "A name without a namespace is looked for beside the pod only." if one.form == "short" else ""
    fix = _fix(inventory, call, host, host)
    return _fact(
        inventory, call, "host.namespace", where, cause, [_evidence(inventory, call)], fix, sure=sure
    )


def _evidence(inventory: Inventory, call: Call) -> Evidence:
    return inventory.field(call.holder, call.path, str(call))


def _fact(
    inventory: Inventory,
    call: Call,
    rule: str,
    said: str,
    cause: str,
    evidence: Sequence[Evidence],
    fix: Fix | None,
    *,
    sure: bool,
    severity: Severity = Severity.WARNING,
) -> Fact:
    what = f"{call.setting} of container {call.container}" if call.setting else f"container {call.container}"
    return Fact(
        rule=rule,
        subject=call.template.ref,
        detail=detail(call),
        severity=severity,
        message=f"{what} names {call.address}, and {said}",
        cause=cause,
        evidence=tuple(evidence),
        fixes=(fix,) if fix else (),
        where=inventory.where(call.holder, call.path),
        confidence="certain" if sure else "likely",
    )


def _fix(inventory: Inventory, call: Call, host: str, said: str) -> Fix | None:
    """Return the Fix that writes another host (or host and port) where the call's own stands."""
    return _rewritten(inventory, call, call.host, host, f"point {call.setting or 'it'} at {said}")


def _rewritten(inventory: Inventory, call: Call, old: str, new: str, title: str) -> Fix | None:
    resource = call.template.resource if call.literal else inventory.get(call.holder)
    value = find(resource, call.path)
    if (
        resource is None
        or call.holder.kind == "Secret"
        or not isinstance(value, str)
        or value.count(old) != 1
    ):
        return None
    if not call.literal and call.holder == call.template.ref:
        return None  # put together from other variables
    edit = Edit(call.path, value.replace(old, new))
    if call.literal:
        return edit_template(inventory, call.template, [edit], title)
    risk = "Running pods read it when they are started again." if inventory.live else ""
    return Fix(title=title, changes=(patch(resource, [edit], title),), risk=risk)


# Pods of a headless Service


def _pod(inventory: Inventory, call: Call, ref: Ref) -> Iterator[Fact]:
    """A pod of a StatefulSet by its name, beyond those that it makes."""
    pod = next((one.pod for one in call.candidates if one.pod and one.service == ref.name), "")
    name, dash, number = pod.rpartition("-")
    if not dash or not number.isdigit():
        return
    stateful = inventory.get(Ref("apps", "StatefulSet", ref.namespace, name))
    if stateful is None or text(stateful, "spec", "serviceName") != ref.name:
        return
    owner = Ref.of(stateful)
    if any(edge.relation == "scales" for edge in inventory.referrers(owner)):
        return
    first = whole(stateful, "spec", "ordinals", "start")
    last = first + whole(stateful, "spec", "replicas", default=1) - 1
    if first <= int(number) <= last or last < first:
        return
    has = f"{name}-{first}" if first == last else f"{name}-{first} to {name}-{last}"
    said = f"{owner.kind} {name} makes no such pod"
    cause = f"With {last - first + 1} replicas it makes {has}."
    yield _fact(inventory, call, "host.pod", said, cause, [_evidence(inventory, call),
                inventory.field(owner, ("spec", "replicas"), f"replicas: {last - first + 1}")], None, sure=inventory.live)  # fmt: skip


# Ports


def _port(inventory: Inventory, call: Call, ref: Ref, service: Resource) -> Iterator[Fact]:
    ports = [whole(one, "port") for _, one in mappings(service, "spec", "ports")]
    if not call.port or not ports or call.port in ports:
        return
    if text(service, "spec", "type") == "ExternalName" or text(service, "spec", "clusterIP") == "None":
        return
    selector = strings(service, "spec", "selector")
    if selector and selector.items() <= call.template.labels.items():
        return  # it speaks of itself
    right = _right_port(service, call.port, ports)
    has = ", ".join(map(str, ports))
    others = [one for one in callers(inventory, ref) if one.port and one.template.ref != call.template.ref]
    agreeing = {one.template.ref for one in others if one.port == call.port}
    if applied_port(service, call.port) or (agreeing and not any(one.port in ports for one in others)):
        yield _moved(inventory, call, ref, service, ports, agreeing)
        return
    cause = f"The Service has {'port' if len(ports) == 1 else 'ports'} {has}."
    if right is not None and any(target == call.port for _, target in pods_port(service, right)):
        cause += f" {call.port} is the port of its pods, which the Service gives out as {right}."
    fix = None
    if right is not None and call.told:
        fix = _rewritten(inventory, call, f"{call.host}:{call.port}", f"{call.host}:{right}",
                         f"point {call.setting or 'it'} at port {right}") or _beside(inventory, call, right)  # fmt: skip
    yield _fact(
        inventory,
        call,
        "host.port",
        f"Service {ref.name} has no such port",
        cause,
        [
            _evidence(inventory, call),
            inventory.field(ref, ("spec", "ports"), f"Service {ref.name} has {has}"),
        ],
        fix,
        sure=inventory.live,
    )


def _right_port(service: Resource, wrong: int, ports: Sequence[int]) -> int | None:
    leading = [port for port in ports if any(target == wrong for _, target in pods_port(service, port))]
    if len(leading) == 1:
        return leading[0]
    return ports[0] if len(ports) == 1 else None


def _beside(inventory: Inventory, call: Call, right: int) -> Fix | None:
    """Return the Fix of the variable beside the host's: DB_PORT of DB_HOST."""
    stem = call.setting.upper().rpartition("_")[0]
    container = call.template.container(call.container)
    if not stem or container is None:
        return None
    for index, entry in mappings(container.content, "env"):
        if text(entry, "name") == f"{stem}_PORT" and entry.get("value") == str(call.port):
            edit = Edit((*container.path, "env", index, "value"), str(right))
            return edit_template(inventory, call.template, [edit], f"set {stem}_PORT to {right}")
    return None


def _moved(
    inventory: Inventory,
    call: Call,
    ref: Ref,
    service: Resource,
    ports: Sequence[int],
    agreeing: Iterable[Ref],
) -> Fact:
    """All who call a Service use a port that it has not: the Service was changed, not they."""
    fix = None
    places = [at for at, one in mappings(service, "spec", "ports") if one.get("port") == ports[0]]
    if len(ports) == 1 and places:
        path = ("spec", "ports", places[0])
        title = f"give port {call.port} back to Service {ref.name}"
        edits = [Edit((*path, "port"), call.port)]
        if mapping(service, *path).get("targetPort") is None:
            edits.append(Edit((*path, "targetPort"), ports[0]))
        fix = Fix(title=title, changes=(patch(service, edits, title),), risk="Takes effect at once.")
    who = sorted({f"{one.kind} {one.name}" for one in (call.template.ref, *agreeing)})
    return Fact(
        rule="service.moved",
        subject=ref,
        detail=str(call.port),
        severity=Severity.WARNING,
        message=f"has no port {call.port}, which everything that calls it uses",
        cause=f"It has {', '.join(map(str, ports))}; {', '.join(who[:4])} {'call' if len(who) > 1 else 'calls'} it at {call.port}."
        + (" It was applied with that port, and changed since." if applied_port(service, call.port) else ""),
        evidence=(inventory.field(ref, ("spec", "ports"), f"ports: {', '.join(map(str, ports))}"),
                  _evidence(inventory, call)),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, ("spec", "ports")),
        confidence="likely",
    )  # fmt: skip


# Whether names are resolved at all


def _policy(inventory: Inventory, template: Template) -> Iterator[Fact]:
    """A pod that does not ask the cluster's DNS, and is told names that only that knows."""
    policy = text(template.spec, "dnsPolicy") or "ClusterFirst"
    hosted = template.spec.get("hostNetwork") is True
    if policy not in {"Default", "ClusterFirst"} or (policy == "ClusterFirst" and not hosted):
        return
    if mapping(template.spec, "dnsConfig").get("nameservers"):
        return
    for call in calls(inventory, template):
        if not call.literal or meant(inventory, call) is None:
            continue
        right = "ClusterFirstWithHostNet" if hosted else "ClusterFirst"
        path = (*template.spec_path, "dnsPolicy")
        title = f"ask the cluster's DNS: dnsPolicy {right}"
        why = (
            "A pod on the node's network asks the node's DNS"
            if hosted
            else "dnsPolicy Default asks the node's DNS"
        )
        yield _fact(
            inventory,
            call,
            "host.policy",
            "its pods do not ask the cluster's DNS",
            f"{why}, which knows no Services, unless dnsPolicy is {right}.",
            [_evidence(inventory, call), inventory.field(template.ref, path, f"dnsPolicy: {policy}")],
            edit_template(inventory, template, [Edit(path, right)], title),
            sure=False,
        )
        return


UNITS = {ANY_MAKER: look}
