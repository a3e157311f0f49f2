"""Containers that end, cannot start, or run out of memory.

One fact for each container of each workload, whatever the number of pods. The last exit, the telling line of the log and the calls that
the kernel refused last are the evidence. A crash that a failing liveness probe brought about, or whose last words name a Service that has trouble of its own,
is explained by that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from fairlead.diagnose.callers import misled
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory, Member, moment, ready
from fairlead.diagnose.lastcalls import EXPLAINING, Call, Death, last_death
from fairlead.diagnose.lastcalls import telling as telling_calls
from fairlead.diagnose.logs import Telling, telling
from fairlead.diagnose.references import Container
from fairlead.tongues.paths import mapping, mappings, text, words
from fairlead.words import Evidence, Need, Ref, Severity

START_REASONS = frozenset(
    {"RunContainerError", "CreateContainerError", "StartError", "ContainerCannotRun", "PreStartHookError",
     "PreCreateHookError", "PostStartHookError"}
)  # fmt: skip
"""The reasons of a container that was never running."""

_SIGNALS = {1: "SIGHUP", 2: "SIGINT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
            11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM"}  # fmt: skip
_NOBODY = Container("", "main", {}, ())
_LATELY = timedelta(minutes=10)
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9-]+)*")


def log_need(member: Member, container: str, *, previous: bool) -> Need:
    """Return the question for the end of a container's log."""
    return Need(
        "log", member.ref, (("container", container), ("previous", str(previous).lower()), ("tail", "100"))
    )


@dataclass(frozen=True, slots=True)
class End:
    """How a container ended last: kubelet's reason, the exit code, the signal and what the runtime said."""

    reason: str
    code: int | None
    message: str
    current: bool
    """Whether it has not been started again: the log is then the current one."""

    @property
    def signal(self) -> str:
        """The name of the signal behind the exit code, or ""."""
        if self.code is None or self.code <= 128:
            return ""
        return _SIGNALS.get(self.code - 128, f"signal {self.code - 128}")

    def __str__(self) -> str:
        """For people: `exit code 137 (SIGKILL), OOMKilled`."""
        parts = (
            []
            if self.code is None
            else [f"exit code {self.code}" + (f" ({self.signal})" if self.signal else "")]
        )
        if self.reason not in {"Error", "Completed", ""}:
            parts.append(self.reason)
        return ", ".join(parts) or "an unknown end"


def last_end(status: Mapping[str, object]) -> End | None:
    """Return how the container ended last, or None if it never did."""
    for field_name, current in (("state", True), ("lastState", False)):
        ended = mapping(status, field_name, "terminated")
        if ended:
            code = ended.get("exitCode")
            return End(
                text(ended, "reason"),
                code if isinstance(code, int) else None,
                text(ended, "message"),
                current,
            )
    return None


@dataclass(slots=True)
class _Trouble:
    """One container of one workload, over all its pods."""

    sort: str
    container: str
    members: list[tuple[Member, Container, End | None, str]] = field(default_factory=list)
    restarts: int = 0


def _sort(inventory: Inventory, member: Member, container: Container, status: Mapping[str, object]) -> str:
    """Return memory, start or crash for a container in such trouble, else ""."""
    state = mapping(status, "state")
    waiting = text(state, "waiting", "reason")
    end = last_end(status)
    restarts = status.get("restartCount")
    if waiting in START_REASONS or (
        end is not None and end.reason in START_REASONS and "running" not in state
    ):
        return "start"
    failing = end is not None and (end.code != 0 or end.reason == "OOMKilled")
    if end is not None and end.reason == "OOMKilled" and _recent(inventory, status):
        return "memory"
    if waiting == "CrashLoopBackOff":
        return "crash"
    if "terminated" in state and failing:
        return "crash"
    if (
        "terminated" in state
        and container.role == "main"
        and _always(member)
        and isinstance(restarts, int)
        and restarts
    ):
        return "crash"
    if (
        "running" in state
        and failing
        and isinstance(restarts, int)
        and restarts >= 2
        and _recent(inventory, status)
    ):
        return "crash"
    return ""


def _always(member: Member) -> bool:
    return text(member.pod, "spec", "restartPolicy") in {"", "Always"}


def _recent(inventory: Inventory, status: Mapping[str, object]) -> bool:
    """Say whether the last end is not long past (or the container is not running again)."""
    if "running" not in mapping(status, "state"):
        return True
    ended = moment(mapping(status, "lastState", "terminated").get("finishedAt"))
    return ended is None or inventory.now - ended < _LATELY


def _finished_job(inventory: Inventory, member: Member) -> bool:
    """Say whether the pod belongs to a Job that has succeeded after all."""
    for ref in inventory.chain(member.pod):
        if (ref.group, ref.kind) == ("batch", "Job"):
            job = inventory.get(ref) or {}
            return any(
                text(item, "type") in {"Complete", "SuccessCriteriaMet"} and item.get("status") == "True"
                for _, item in mappings(job, "status", "conditions")
            )
    return False


def _troubles(inventory: Inventory) -> dict[tuple[Ref, str, str], _Trouble]:
    found: dict[tuple[Ref, str, str], _Trouble] = {}
    for member in inventory.members:
        if text(member.pod, "status", "phase") == "Succeeded" or _finished_job(inventory, member):
            continue
        if text(member.pod, "status", "reason") == "Evicted":
            continue
        for container, status in member.statuses():
            sort = _sort(inventory, member, container, status)
            if not sort:
                continue
            trouble = found.setdefault((member.top.ref, container.name, sort), _Trouble(sort, container.name))
            state = text(status, "state", "waiting", "reason") or next(iter(mapping(status, "state")), "")
            trouble.members.append((member, container, last_end(status), state))
            restarts = status.get("restartCount")
            trouble.restarts += restarts if isinstance(restarts, int) else 0
    return found


def needs(inventory: Inventory) -> Iterator[Need]:
    """The log ends worth reading: of one pod for each container in trouble, and of what stopped there."""
    for trouble in _troubles(inventory).values():
        if trouble.sort == "start":
            continue
        for member, container, end, _ in trouble.members[:1]:
            yield log_need(member, container.name, previous=end is not None and not end.current)


def facts(inventory: Inventory) -> Iterator[Fact]:
    """Each container in trouble, and the pods that suffer from it."""
    for (top, name, sort), trouble in _troubles(inventory).items():
        rule = {"memory": "container.memory", "start": "container.start", "crash": "container.crash"}[sort]
        yield _fact(inventory, rule, top, trouble)
        for member, _, end, state in trouble.members:
            said = f"container {name} " + (
                f"waits: {state}" if state not in {"running", "terminated"} else f"ended: {end}"
            )
            yield Fact(
                rule="pod.failing",
                subject=member.ref,
                detail=name,
                message=said,
                because=((rule, top, name),),
            )


def _fact(inventory: Inventory, rule: str, top: Ref, trouble: _Trouble) -> Fact:
    member, container, end, _ = trouble.members[0]
    holder = member.top.container(trouble.container)
    path = holder.path if holder is not None else ()
    evidence: list[Evidence] = []
    said = _log(inventory, member, container, end)
    for one, _, its_end, _ in trouble.members[:2]:
        if its_end is not None:
            message = f": {inventory.quote(its_end.message, one.ref)}" if its_end.message else ""
            evidence.append(Evidence("exit", one.ref, f"container {container.name}: {its_end}{message}"))
    if said is not None:
        evidence.append(Evidence("log", member.ref, inventory.quote(said.line, member.ref)))
    seen, death = _death(inventory, rule, trouble)
    calls = telling_calls(death) if death is not None else []
    if calls:
        failed = "; ".join(str(call) for _, call in calls)
        evidence.append(Evidence("call", seen.ref, inventory.quote(f"last failed calls: {failed}", seen.ref)))
    message, cause, severity = _words(inventory, rule, trouble, end, said, holder or container)
    if said is None and rule == "container.crash" and calls and calls[0][0] >= EXPLAINING:
        cause = f"Its last failed call: {inventory.quote(str(calls[0][1]), seen.ref, 240)}."
    if rule == "container.memory":
        if death is not None and death.oom:
            evidence.append(Evidence("call", seen.ref, inventory.quote(death.oom, seen.ref)))
        limit = text(container.content, "resources", "limits", "memory")
        if limit:
            limit_path = (*path, "resources", "limits", "memory") if path else ()
            evidence.append(inventory.field(top, limit_path, f"limits memory to {limit}"))
    evidence += [
        inventory.noted(member.ref, note)
        for note in inventory.events(member.ref, "Failed")[-1:]
        if rule == "container.start"
    ]
    return Fact(
        rule=rule,
        subject=top,
        detail=trouble.container,
        severity=severity,
        message=message,
        cause=cause,
        evidence=tuple(evidence),
        where=inventory.where(top, path),
        because=(
            *_explanations(inventory, rule, member, trouble.container, said),
            *_refusing(inventory, [call for score, call in calls if score >= EXPLAINING]),
        ),
    )


def _death(inventory: Inventory, rule: str, trouble: _Trouble) -> tuple[Member, Death | None]:
    """Return what the kernel saw of the last end of one of the containers in trouble, and of which pod."""
    first = trouble.members[0][0]
    if rule == "container.start":
        return first, None  # nothing of the container ran
    for member, container, _, _ in trouble.members:
        status = next((status for one, status in member.statuses() if one.name == container.name), {})
        death = last_death(inventory, member.ref, container.name, status)
        if death is not None:
            return member, death
    return first, None


_UNANSWERED = frozenset({"ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH", "ECONNRESET"})


def _refusing(inventory: Inventory, calls: Sequence[Call]) -> Iterator[Ref]:
    """The Services whose address did not answer."""
    hosts = {call.peer.rpartition(":")[0].strip("[]") for call in calls if call.error in _UNANSWERED}
    for one in inventory.view.list("", "Service") if hosts else ():
        addresses = {text(one, "spec", "clusterIP"), *words(one, "spec", "clusterIPs")}
        if addresses & hosts:
            yield Ref.of(one)


def _log(inventory: Inventory, member: Member, container: Container, end: End | None) -> Telling | None:
    for previous in (end is not None and not end.current, end is None or end.current):
        log = inventory.answers.get(log_need(member, container.name, previous=previous))
        if log:
            return telling(log)
    return None


def _words(
    inventory: Inventory,
    rule: str,
    trouble: _Trouble,
    end: End | None,
    said: Telling | None,
    container: Container,
) -> tuple[str, str, Severity]:
    name = f"init container {container.name}" if container.role == "init" else f"container {container.name}"
    running = all(ready(member.pod) for member, _, _, _ in trouble.members)
    severity = Severity.WARNING if running else Severity.CRITICAL
    if rule == "container.memory":
        limit = text(container.content, "resources", "limits", "memory")
        cause = f"It used more than its limit of {limit}." if limit else "The node itself ran out of memory."
        return f"{name} is killed for using too much memory (OOMKilled)", cause, severity
    if rule == "container.start":
        why = (end.message if end is not None else "") or next(
            (
                text(status, "state", "waiting", "message")
                for one, status in trouble.members[0][0].statuses()
                if one.name == trouble.container
            ),
            "",
        )
        return (
            f"{name} cannot be started",
            inventory.quote(_innermost(why), trouble.members[0][0].ref),
            severity,
        )
    if end is not None and end.code == 0:
        cause = "It ends by itself without an error, and its restart policy starts it again: it is no long-running process."
        return f"{name} keeps ending ({end})", cause, severity
    times = f", restarted {trouble.restarts} times" if trouble.restarts > 1 else ""
    cause = (
        f"Its last words: {inventory.quote(said.line, trouble.members[0][0].ref, 240)}"
        if said
        else _guess(end)
    )
    return f"{name} crashes with {end or 'an unknown end'}{times}", cause, severity


def _guess(end: End | None) -> str:
    if end is None or end.code is None:
        return ""
    return {
        126: "The command was found but may not be executed.",
        127: "The command was not found in the image.",
        134: "The process aborted itself.",
        137: "The process was killed from outside: by the kernel for memory, by a failing liveness probe, or by hand.",
        139: "The process touched memory that is not its own.",
    }.get(end.code, "")


def _innermost(message: str) -> str:
    """Return the part of an OCI runtime's message that names the fault: after the last of its own prefixes."""
    for mark in (
        "unable to start container process: ",
        "error during container init: ",
        "runc create failed: ",
    ):
        message = message.rpartition(mark)[2]
    return message


def _explanations(
    inventory: Inventory, rule: str, member: Member, container: str, said: Telling | None
) -> Iterator[Key | Ref]:
    top = member.top.ref
    if member.node:
        yield ("node.unready", Ref("", "Node", "", member.node), "")
    if rule == "container.crash":
        yield ("probe.failing", top, f"{container}/liveness")
        yield ("probe.failing", top, f"{container}/startup")
        yield ("probe.port", top, f"{container}/liveness")
        yield ("probe.port", top, f"{container}/startup")
    if said is not None:
        for _, entry in mappings((member.top.container(container) or _NOBODY).content, "env"):
            host = entry.get("value")
            if isinstance(host, str) and host and host in said.line:
                yield ("service.name", top, f"{container}/{text(entry, 'name')}")
        yield from misled(inventory, member.top, container, said.line)
        yield from named_services(inventory, said.line, member.ref)


def named_services(inventory: Inventory, line: str, ref: Ref) -> Sequence[Ref]:
    """Return the Services beside the object that a line names as a host: alone, or with the namespace behind."""
    hosts = set(_HOST.findall(line.lower()))
    found = []
    for one in inventory.view.list("", "Service"):
        service = Ref.of(one)
        full = f"{service.name}.{service.namespace}"
        forms = {full, f"{full}.svc", f"{full}.svc.cluster.local"}
        near = service.namespace == ref.namespace and service.name in hosts and _as_host(line, service.name)
        if near or forms & hosts:
            found.append(service)
    return found


def _as_host(line: str, name: str) -> bool:
    """Say whether the name stands where hosts stand: before a port, after `//` or `@`, quoted, or after `host`/`lookup`."""
    word = re.escape(name)
    return bool(
        re.search(rf"(?<![\w.-]){word}:\d{{2,5}}\b", line)
        or re.search(rf"(?://|@){word}(?![\w.-])", line)
        or re.search(
            rf"(?:host(?:name)?|lookup|resolve|address|server|dial(?: tcp)?)\W{{1,3}}{word}(?![\w-])",
            line,
            re.IGNORECASE,
        )
        or re.search(rf"([\"'`]){word}\1", line)
    )
