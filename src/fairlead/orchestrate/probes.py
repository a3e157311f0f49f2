"""When a container is probed, what a probe asks, and what its answers add up to.

Pure: the answers are handed in, and nothing here opens a connection. Source: pkg/kubelet/prober and its worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from fairlead.orchestrate.podspecs import Note, Spec

Kind = Literal["Startup", "Liveness", "Readiness"]
KINDS: tuple[Kind, ...] = ("Startup", "Liveness", "Readiness")
OUTPUT_LIMIT = 10 * 1024
"""Bytes of a probe's answer that an Event may quote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """Run a command in the container; exit code 0 is success."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """Ask a URL; 200 to 399 is success. `host` is "" for the pod's own address."""

    scheme: str
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    """Open a connection. `host` is "" for the pod's own address."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grpc:
    """Ask the standard health service of the port; `SERVING` is success."""

    port: int
    service: str


Action = Exec | Http | Tcp | Grpc


@dataclass(frozen=True, slots=True)
class Answer:
    """What one probe got. `errored`: the probe itself could not be made, which says nothing good either.

    `unsupported`: this node cannot make such a probe at all; that must neither pass nor restart anything.
    """

    ok: bool
    output: str = ""
    errored: bool = False
    unsupported: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe of a container, its numbers filled in. Times are seconds."""

    kind: Kind
    action: Action | None
    delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What the answers of one probe add up to: its last verdict (None before any), and how long a run of them it is."""

    passing: bool | None = None
    last: bool | None = None
    run: int = 0


class BadPort(ValueError):
    """A probe or hook names a port that its container does not have."""


def port_number(container: Spec, port: Any) -> int:
    """Return the number of a port given by number or by name. Raises BadPort with kubelet's text."""
    if isinstance(port, int):
        if 0 < port < 65536:
            return port
        raise BadPort(f"invalid port number: {port}")
    for candidate in container.get("ports") or ():
        if candidate.get("name") == port:
            return int(candidate["containerPort"])
    if str(port).isdigit() and 0 < int(port) < 65536:
        return int(port)
    raise BadPort(f"couldn't find port: {port}")


def action_of(container: Spec, handler: Mapping[str, Any]) -> Action | None:
    """Return what a probe or a lifecycle hook is to do, or None when it names nothing known. Raises BadPort."""
    if "exec" in handler:
        return Exec(command=tuple(handler["exec"].get("command") or ()))
    if "httpGet" in handler:
        get = handler["httpGet"]
        path = get.get("path") or "/"
        return Http(
            scheme=(get.get("scheme") or "HTTP").lower(),
            host=get.get("host") or "",
            port=port_number(container, get["port"]),
            path=path if path.startswith("/") else f"/{path}",
            headers=tuple(
                (header["name"], header.get("value") or "") for header in get.get("httpHeaders") or ()
            ),
        )
    if "tcpSocket" in handler:
        tcp = handler["tcpSocket"]
        return Tcp(host=tcp.get("host") or "", port=port_number(container, tcp["port"]))
    if "grpc" in handler:
        return Grpc(port=int(handler["grpc"]["port"]), service=handler["grpc"].get("service") or "")
    return None


def probes(container: Spec) -> dict[Kind, Probe]:
    """Return the probes of a container. One that names a port which is not there has no action."""
    found: dict[Kind, Probe] = {}
    for kind in KINDS:
        spec = container.get(f"{kind.lower()}Probe")
        if not spec:
            continue
        try:
            action = action_of(container, spec)
        except BadPort:
            action = None
        grace = spec.get("terminationGracePeriodSeconds")
        found[kind] = Probe(
            kind=kind,
            action=action,
            delay=float(spec.get("initialDelaySeconds") or 0),
            period=float(spec.get("periodSeconds") or 10),
            timeout=float(spec.get("timeoutSeconds") or 1),
            successes=int(spec.get("successThreshold") or 1),
            failures=int(spec.get("failureThreshold") or 3),
            grace=None if grace is None else float(grace),
        )
    return found


def add(probe: Probe, state: State, answer: Answer) -> State:
    """Return what the answers add up to with one more."""
    if answer.unsupported:
        return state
    run = state.run + 1 if state.last == answer.ok else 1
    state = replace(state, last=answer.ok, run=run)
    if run >= (probe.successes if answer.ok else probe.failures):
        return replace(state, passing=answer.ok)
    return state


def note(probe: Probe, answer: Answer, field: str) -> Note | None:
    """Return the Event that an answer deserves: none for a success."""
    if answer.ok and not answer.unsupported:
        return None
    said = answer.output[:OUTPUT_LIMIT]
    if answer.unsupported:
        return Note("Warning", "Unhealthy", f"{probe.kind} probe is not supported here: {said}", field)
    if answer.errored:
        return Note("Warning", "Unhealthy", f"{probe.kind} probe errored: {said}", field)
    return Note("Warning", "Unhealthy", f"{probe.kind} probe failed: {said}", field)


def kill_message(name: str, kind: Kind) -> str:
    """Return why a container whose probe has failed is stopped."""
    return f"Container {name} failed {kind.lower()} probe"


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes of one running container (by id) add up to. Missing probes count as passing."""

    container: str
    states: Mapping[Kind, State]
    has: frozenset[Kind]
    assumed_ready: bool = False
    """The container was ready before this node process was started, and has not been probed since."""

    @property
    def started(self) -> bool:
        """Whether the startup probe has passed, or there is none."""
        return "Startup" not in self.has or self._passing("Startup") is True

    @property
    def ready(self) -> bool:
        """Whether the container has started and its readiness probe passes, or there is none."""
        if not self.started:
            return False
        if "Readiness" not in self.has:
            return True
        passing = self._passing("Readiness")
        return self.assumed_ready if passing is None else passing

    @property
    def failed(self) -> Kind | None:
        """The probe whose verdict asks for the container to be stopped."""
        for kind in ("Startup", "Liveness"):
            if kind in self.has and self._passing(kind) is False:
                return kind
        return None

    def _passing(self, kind: Kind) -> bool | None:
        state = self.states.get(kind)
        return state.passing if state else None
