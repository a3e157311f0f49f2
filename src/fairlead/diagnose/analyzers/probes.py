"""Probes that fail, and probes that cannot succeed.

A named port that the container does not declare can be told from the object alone. That a probe fails is kubelet's
Unhealthy event about a pod that is not ready, or was restarted for it, now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fairlead.diagnose.analyzers.crashes import ended_by_startup, log_need, named_services, refusals
from fairlead.diagnose.callers import misled
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import ANY_MAKER, Inventory, Member, Noted, Template, moment
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.logs import telling
from fairlead.diagnose.proposing import Edit, edit_template
from fairlead.diagnose.references import Container
from fairlead.tongues.paths import Path, mapping, mappings, strings, text
from fairlead.words import Evidence, Fix, Need, Ref, Resource, Severity

FIELDS = {"readiness": "readinessProbe", "liveness": "livenessProbe", "startup": "startupProbe"}
_HANDLERS = ("httpGet", "tcpSocket", "grpc", "exec")
_UNHEALTHY = re.compile(
    r"^(Readiness|Liveness|Startup) probe (?:failed|errored)(?: and resulted in [^:]*)?:?\s*(.*)", re.DOTALL
)
_LATELY = timedelta(minutes=5)
_SUFFERS = {"readiness": "not ready", "startup": "not started", "liveness": "killed and started again"}
_CODE = re.compile(r"statuscode: (\d{3})")


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of a container: its sort, its handler and where that lies in the object."""

    sort: str
    handler: str
    content: dict[str, Any]
    path: Path

    @property
    def port(self) -> int | str | None:
        """The port it asks, by number or name."""
        port = self.content.get("port")
        return int(port) if isinstance(port, str) and port.isdigit() else port

    def __str__(self) -> str:
        """For people: `GET :8080/healthz`."""
        if self.handler == "httpGet":
            return f"GET :{self.port}{self.content.get('path') or '/'}"
        if self.handler == "exec":
            command = self.content.get("command")
            return " ".join(str(word) for word in command) if isinstance(command, list) else "exec"
        return f"{'TCP' if self.handler == 'tcpSocket' else 'gRPC'} :{self.port}"


def probes(container: Container) -> dict[str, Probe]:
    """Return the container's probes by their sort."""
    found = {}
    for sort, name in FIELDS.items():
        for handler in _HANDLERS:
            content = mapping(container.content, name, handler)
            if content:
                found[sort] = Probe(sort, handler, content, (*container.path, name, handler))
    return found


def declared(container: Container, protocol: str = "TCP") -> dict[str | int, int]:
    """Return the container's declared ports of a protocol, by name and by number."""
    found: dict[str | int, int] = {}
    for _, port in mappings(container.content, "ports"):
        number = port.get("containerPort")
        if isinstance(number, int) and (port.get("protocol") or "TCP") == protocol:
            found[number] = number
            if text(port, "name"):
                found[port["name"]] = number
    return found


def _template(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Each probe that cannot succeed."""
    template = inventory.template_of(resource)
    for container in template.containers() if template is not None else ():
        for probe in probes(container).values():
            if isinstance(probe.port, str) and probe.handler != "grpc" and template is not None:
                yield from _undeclared(inventory, template, container, probe)


def _undeclared(
    inventory: Inventory, template: Template, container: Container, probe: Probe
) -> Iterator[Fact]:
    ports = declared(container)
    if probe.port in ports:
        return
    names = [name for name in ports if isinstance(name, str)]
    numbers = sorted(set(ports.values()))
    right: str | int | None = nearest(str(probe.port), names)
    if right is None and len(numbers) == 1:
        right = names[0] if names else numbers[0]
    fix = None
    if right is not None:
        fix = edit_template(inventory, template, [Edit((*probe.path, "port"), right)], f"probe port {right}")
    has = ", ".join(f"{name} ({ports[name]})" for name in names) or ", ".join(map(str, numbers)) or "none"
    yield Fact(
        rule="probe.port",
        subject=template.ref,
        detail=f"{container.name}/{probe.sort}",
        message=f"the {probe.sort} probe of container {container.name} asks port {probe.port!r}, which the container does not declare",
        cause=f"Ports declared: {has}.",
        evidence=(inventory.field(template.ref, (*probe.path, "port"), f"port: {probe.port}"),),
        fixes=(fix,) if fix else (),
        where=inventory.where(template.ref, (*probe.path, "port")),
    )


def _failures(inventory: Inventory, member: Member) -> Iterator[tuple[Container, Probe, Noted]]:
    """Each probe of a pod that fails now, with kubelet's last event about it."""
    statuses = member.statuses()
    for container, status in statuses:
        for sort, probe in probes(container).items():
            if not _hurts(status, sort):
                continue
            note = _unhealthy(inventory, member, container, status, sort, probe, alone=_only(statuses, sort))
            if note is None:
                continue
            hopeless = (
                isinstance(probe.port, str)
                and probe.handler != "grpc"
                and probe.port not in declared(container)
            )
            if hopeless or not _starting(inventory, member, container, status, sort, note):
                yield container, probe, note


def _first(inventory: Inventory, member: Member, container: str, sort: str) -> bool:
    """Say whether the pod is the first of its crew whose probe fails: it tells of all."""
    for one in inventory.crew(member.top.ref):
        if any(held.name == container and probe.sort == sort for held, probe, _ in _failures(inventory, one)):
            return one.ref == member.ref
    return True


def _starting(
    inventory: Inventory,
    member: Member,
    container: Container,
    status: Mapping[str, Any],
    sort: str,
    note: Noted,
) -> bool:
    """Say whether the container began so lately that its probe may still be expected to fail."""
    began = moment(mapping(status, "state", "running").get("startedAt"))
    if began is None or sort == "liveness":
        return False
    if sort == "startup" and ended_by_startup(inventory, member, container.name):
        return False
    probe = mapping(container.content, FIELDS[sort])

    def whole(name: str, default: int) -> int:
        value = probe.get(name)
        return value if isinstance(value, int) else default

    failures = whole("failureThreshold", 3)
    allowed = whole("initialDelaySeconds", 0) + whole("periodSeconds", 10) * failures
    if inventory.past(began, timedelta(seconds=allowed)):
        return False
    return note.count < failures or bool(
        status.get("restartCount")
    )  # an earlier run's failures are counted too


def _only(statuses: Sequence[tuple[Container, Mapping[str, Any]]], sort: str) -> bool:
    return sum(1 for container, _ in statuses if sort in probes(container)) == 1


def _hurts(status: Mapping[str, Any], sort: str) -> bool:
    """Say whether the container is in the state that a failing probe of this sort brings about."""
    state = mapping(status, "state")
    if sort == "readiness":
        return "running" in state and status.get("ready") is not True
    if sort == "startup":
        return ("running" in state and status.get("started") is not True) or bool(status.get("restartCount"))
    return bool(status.get("restartCount")) or "running" in state


def _unhealthy(
    inventory: Inventory,
    member: Member,
    container: Container,
    status: Mapping[str, Any],
    sort: str,
    probe: Probe,
    *,
    alone: bool,
) -> Noted | None:
    """Return the last Unhealthy event of this probe, if it is about the container that runs now or ran last."""
    for note in reversed(inventory.events(member.ref, "Unhealthy")):
        match = _UNHEALTHY.match(note.message)
        if match is None or match.group(1).lower() != sort:
            continue
        if not alone and isinstance(probe.port, int) and f":{probe.port}" not in note.message:
            continue
        if sort == "liveness" and not _killed(inventory, member, container, note, status):
            continue
        return note
    return None


def _killed(
    inventory: Inventory, member: Member, container: Container, note: Noted, status: Mapping[str, Any]
) -> bool:
    """Say whether kubelet restarted the container for this probe a short while ago, or is on the way to it."""
    kills = [
        one
        for one in inventory.events(member.ref, "Killing")
        if container.name in one.message and "liveness" in one.message
    ]
    if kills and "waiting" in mapping(status, "state"):
        return True
    times = [one.last for one in (note, *kills) if one.last is not None]
    lately = bool(times) and not inventory.past(max(times), _LATELY)
    return lately and (bool(kills) or note.count >= 2)


def _needs(inventory: Inventory, pod: Resource) -> Iterator[Need]:
    """The current log of one pod for each failing probe: it may say what it waits for."""
    member = inventory.member(pod)
    for container, probe, _ in _failures(inventory, member) if member is not None else ():
        if member is not None and _first(inventory, member, container.name, probe.sort):
            yield log_need(member, container.name, previous=False)


def _pod(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """Each probe of a pod that fails: the pod suffers from it; the first pod of a workload tells of it."""
    member = inventory.member(pod)
    if member is None:
        return
    top = member.top.ref
    for container, probe, note in _failures(inventory, member):
        if _first(inventory, member, container.name, probe.sort):
            yield from _failing(inventory, member, container.name, probe.sort, note)
        yield Fact(
            rule="pod.unready",
            subject=member.ref,
            message=_SUFFERS[probe.sort],
            because=(("probe.failing", top, f"{container.name}/{probe.sort}"),),
        )


def _failing(inventory: Inventory, member: Member, name: str, sort: str, note: Noted) -> Iterator[Fact]:
    top = member.top.ref
    container = member.top.container(name) or next(one for one, _ in member.statuses() if one.name == name)
    probe = probes(container).get(sort)
    if probe is None:
        return
    match = _UNHEALTHY.match(note.message)
    said = inventory.quote(match.group(2) if match else note.message, member.ref)
    failing = {
        its_probe.sort
        for one in inventory.crew(top)
        for held, its_probe, _ in _failures(inventory, one)
        if held.name == name
    }
    healthy = FIELDS.keys() - failing
    cause, edit = _why(inventory, member, container, probe, said, healthy)
    fix: Fix | None = None
    if edit is not None and member.top.container(name) is not None:
        fix = edit_template(inventory, member.top, [edit[0]], edit[1])
    log = inventory.answer(log_need(member, name, previous=False))
    line = telling(log) if log else None
    evidence = [inventory.noted(member.ref, note)]
    if line is not None and line.shape != "last":
        evidence.append(Evidence("log", member.ref, inventory.quote(line.line, member.ref)))
    yield Fact(
        rule="probe.failing",
        subject=top,
        detail=f"{name}/{sort}",
        severity=Severity.CRITICAL,
        message=f"the {sort} probe of container {name} fails ({probe})",
        cause=cause,
        evidence=tuple(evidence),
        fixes=(fix,) if fix else (),
        where=inventory.where(top, probe.path),
        confidence="certain" if fix is None else "likely",
        because=(
            ("probe.port", top, f"{name}/{sort}"),
            *([("node.unready", Ref("", "Node", "", member.node), "")] if member.node else []),
            *(
                [(rule, top, name) for rule in ("container.crash", "container.memory", "container.start")]
                if sort == "readiness"
                or (sort == "startup" and not ended_by_startup(inventory, member, name))
                else []
            ),
            *(named_services(inventory, line.line, member.ref) if line is not None else ()),
            *named_services(inventory, said, member.ref),
            *refusals(inventory, member, name),
            *misled(inventory, member.top, name, f"{line.line if line is not None else ''} {said}"),
        ),
    )


def _why(
    inventory: Inventory,
    member: Member,
    container: Container,
    probe: Probe,
    said: str,
    healthy: AbstractSet[str],
) -> tuple[str, tuple[Edit, str] | None]:
    """Return why the probe fails, and the edit that helps where the objects show one, with its title."""
    if probe.handler == "exec":
        return (f"The command said: {said}" if said else "The command ends with an error."), None
    refused = "connection refused" in said.lower()
    ports = declared(container)
    number = ports.get(probe.port) if isinstance(probe.port, str) else probe.port
    if refused and isinstance(number, int):
        cause = f"Nothing listens on port {number}."
        others = sorted(set(ports.values()) - {number})
        if number not in ports.values() and others:
            right = _vouched(inventory, member, others)
            if right is not None:
                return f"{cause} The container declares {right}.", (
                    Edit((*probe.path, "port"), right),
                    f"probe port {right}",
                )
            return f"{cause} The container declares {', '.join(map(str, others))}.", None
        return cause, None
    if "server gave HTTP response to HTTPS client" in said:
        edit = Edit((*probe.path, "scheme"), "HTTP")
        return "The server speaks HTTP there, and the probe asks by HTTPS.", (edit, "probe by HTTP")
    code = _CODE.search(said)
    if code is not None and probe.handler == "httpGet":
        return _answered(container, probe, int(code.group(1)), healthy)
    if "timeout" in said.lower() or "deadline" in said.lower():
        limit = mapping(container.content, FIELDS[probe.sort]).get("timeoutSeconds") or 1
        return f"No answer within {limit}s.", None
    return (said, None) if said else ("", None)


def _vouched(inventory: Inventory, member: Member, ports: Sequence[int]) -> int | None:
    """Return the one declared port, or the one among several that a Service sends to."""
    if len(ports) == 1:
        return ports[0]
    sent: set[int] = set()
    labels = strings(member.pod, "metadata", "labels")
    for one in inventory.beside("", "Service", member.ref):
        selector = strings(one, "spec", "selector")
        if not selector or not selector.items() <= labels.items():
            continue
        for _, port in mappings(one, "spec", "ports"):
            target = port.get("targetPort", port.get("port"))
            if isinstance(target, int) and target in ports:
                sent.add(target)
    return next(iter(sent)) if len(sent) == 1 else None


def _answered(
    container: Container, probe: Probe, code: int, healthy: AbstractSet[str]
) -> tuple[str, tuple[Edit, str] | None]:
    asked = probe.content.get("path") or "/"
    if code in {404, 405, 410}:
        cause = f"The server answers {code}: it has no {asked}."
        for sort, other in probes(container).items():
            path = other.content.get("path")
            if (
                sort in healthy
                and other.handler == "httpGet"
                and other.port == probe.port
                and path
                and path != asked
            ):
                return f"{cause} The {sort} probe asks {path}, and passes.", (
                    Edit((*probe.path, "path"), path),
                    f"probe path {path}",
                )
        return cause, None
    if code in {401, 403}:
        return f"The server answers {code}: {asked} wants credentials, which a probe does not send.", None
    if code == 400:
        scheme = probe.content.get("scheme") or "HTTP"
        return (
            f"The server answers 400 to {scheme}: it may want {'HTTPS' if scheme == 'HTTP' else 'HTTP'} there.",
            None,
        )
    return f"The server answers {code}: the application itself says that it is not well.", None


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {
    ANY_MAKER: _template,
    ("", "Pod"): _pod,
}
NEEDS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Need]]] = {("", "Pod"): _needs}
