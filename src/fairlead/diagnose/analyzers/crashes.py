"""Containers that end, cannot start, or run out of memory.

One fact for each container of each workload, whatever the number of pods. The last exit, the telling line of the log and the calls that
the kernel refused last are the evidence. A crash that a failing liveness probe brought about, or whose last words name a Service that has trouble of its own,
is explained by that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fairlead.diagnose import nameservers
from fairlead.diagnose.analyzers import certificates
from fairlead.diagnose.analyzers.jobs import outdated
from fairlead.diagnose.callers import misled
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.denials import denials
from fairlead.diagnose.inventories import Inventory, Member, Noted, moment, ready
from fairlead.diagnose.lastcalls import EXPLAINING, Call, Death, last_death
from fairlead.diagnose.lastcalls import telling as telling_calls
from fairlead.diagnose.logs import Telling, telling
from fairlead.diagnose.references import Container
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Evidence, Need, Ref, Resource, Severity

START_REASONS = frozenset(
    {"RunContainerError", "CreateContainerError", "StartError", "ContainerCannotRun", "PreStartHookError",
     "PreCreateHookError", "PostStartHookError"}
)  # fmt: skip
"""The reasons of a container that was never running."""

_SIGNALS = {1: "SIGHUP", 2: "SIGINT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
            11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM"}  # fmt: skip
_FROM_OUTSIDE = frozenset({"SIGKILL", "SIGTERM"})
"""Signals that a process is sent, whatever it did last."""
_NOBODY = Container("", "main", {}, ())
_LATELY = timedelta(minutes=10)
_SETTLED = timedelta(seconds=10)
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
    if (
        waiting in START_REASONS
        or hook_failure(inventory, member, container, status) is not None
        or (end is not None and end.reason in START_REASONS and "running" not in state)
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


def hook_failure(
    inventory: Inventory, member: Member, container: Container, status: Mapping[str, Any]
) -> Noted | None:
    """Return what was noted last of a postStart hook that fails, for which a container is killed as soon as it runs."""
    if status.get("ready") is True or not mapping(container.content, "lifecycle", "postStart"):
        return None
    notes = inventory.events(member.ref, "FailedPostStartHook")
    lately = notes and (notes[-1].last is None or not inventory.past(notes[-1].last, _LATELY))
    return notes[-1] if lately else None


def ended_by_startup(inventory: Inventory, member: Member, container: str) -> bool:
    """Say whether kubelet has ended the container because its startup probe gave up."""
    return any(
        "startup" in one.message and container in one.message
        for one in inventory.events(member.ref, "Killing")
    )


def _always(member: Member) -> bool:
    return text(member.pod, "spec", "restartPolicy") in {"", "Always"}


def _recent(inventory: Inventory, status: Mapping[str, object]) -> bool:
    """Say whether the last end is not long past (or the container is not running again)."""
    if "running" not in mapping(status, "state"):
        return True
    if _outlived(inventory, status):
        return False
    ended = moment(mapping(status, "lastState", "terminated").get("finishedAt"))
    return ended is None or not inventory.past(ended, _LATELY)


def _outlived(inventory: Inventory, status: Mapping[str, object]) -> bool:
    """Say whether the container is ready and runs for much longer than the last time: what ended it then is over."""
    began = moment(mapping(status, "state", "running").get("startedAt"))
    last = mapping(status, "lastState", "terminated")
    before, ended = moment(last.get("startedAt")), moment(last.get("finishedAt"))
    if status.get("ready") is not True or began is None or before is None or ended is None:
        return False
    return inventory.past(began, max(_SETTLED, 3 * (ended - before)))


def _finished_job(inventory: Inventory, member: Member) -> bool:
    """Say whether the pod belongs to a Job that has succeeded after all, or to a run that a later one has made history."""
    for ref in inventory.chain(member.pod):
        if (ref.group, ref.kind) == ("batch", "Job"):
            job = inventory.get(ref) or {}
            return outdated(inventory, job) or any(
                text(item, "type") in {"Complete", "SuccessCriteriaMet"} and item.get("status") == "True"
                for _, item in mappings(job, "status", "conditions")
            )
    return False


def _in_trouble(inventory: Inventory, member: Member) -> Iterator[tuple[Container, dict[str, Any], str]]:
    """Each container of a pod that is in such trouble, with its status and the sort of trouble."""
    if (
        text(member.pod, "status", "reason") == "Evicted"
        or text(member.pod, "status", "phase") == "Succeeded"
    ):
        return
    for container, status in member.statuses():
        sort = _sort(inventory, member, container, status)
        if sort:
            if _finished_job(inventory, member):
                return
            yield container, status, sort


def _first(inventory: Inventory, member: Member, container: str, sort: str) -> bool:
    """Say whether the pod is the first of its crew whose container has such trouble: it tells of all."""
    for one in inventory.crew(member.top.ref):
        if any(
            sort == its_sort and held.name == container for held, _, its_sort in _in_trouble(inventory, one)
        ):
            return one.ref == member.ref
    return True


def _trouble(inventory: Inventory, top: Ref, container: str, sort: str) -> _Trouble:
    """Return the trouble of one container of a workload, over all its pods."""
    trouble = _Trouble(sort, container)
    for member in inventory.crew(top):
        for held, status, its_sort in _in_trouble(inventory, member):
            if held.name != container or its_sort != sort:
                continue
            trouble.members.append((member, held, last_end(status), _state(status)))
            restarts = status.get("restartCount")
            trouble.restarts += restarts if isinstance(restarts, int) else 0
    return trouble


def _state(status: Mapping[str, Any]) -> str:
    return text(status, "state", "waiting", "reason") or next(iter(mapping(status, "state")), "")


def _needs(inventory: Inventory, pod: Resource) -> Iterator[Need]:
    """The log ends worth reading: of one pod for each container in trouble."""
    member = inventory.member(pod)
    if member is None:
        return
    for container, status, sort in _in_trouble(inventory, member):
        if sort != "start" and _first(inventory, member, container.name, sort):
            end = last_end(status)
            yield log_need(member, container.name, previous=end is not None and not end.current)
    for container, status in member.statuses():
        if container.role == "init" and "running" in mapping(status, "state"):
            yield log_need(member, container.name, previous=False)  # it may say what it waits for


def _pod(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """Each container of a pod that is in trouble: the pod suffers from it; the first pod of a workload tells of it."""
    member = inventory.member(pod)
    if member is None:
        return
    top = member.top.ref
    for container, status, sort in _in_trouble(inventory, member):
        rule = {"memory": "container.memory", "start": "container.start", "crash": "container.crash"}[sort]
        name = container.name
        if _first(inventory, member, name, sort):
            yield _fact(inventory, rule, top, _trouble(inventory, top, name, sort))
            last = _log(inventory, member, container, last_end(status))
            if last is not None:
                yield from nameservers.suspicion(inventory, member, last.line)
        state = _state(status)
        said = f"container {name} " + (
            f"waits: {state}" if state not in {"running", "terminated"} else f"ended: {last_end(status)}"
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
    killed = end is not None and end.signal in _FROM_OUTSIDE
    if said is None and rule == "container.crash" and calls and calls[0][0] >= EXPLAINING and not killed:
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
        for reason in ("Failed", "FailedPostStartHook")
        for note in inventory.events(member.ref, reason)[-1:]
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
    for host in sorted(hosts):
        yield from (Ref.of(one) for one in inventory.at("address", host) if one.get("kind") == "Service")


def _log(inventory: Inventory, member: Member, container: Container, end: End | None) -> Telling | None:
    for previous in (end is not None and not end.current, end is None or end.current):
        log = inventory.answer(log_need(member, container.name, previous=previous))
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
        first, held, _, _ = trouble.members[0]
        status = next((status for one, status in first.statuses() if one.name == held.name), {})
        hook = hook_failure(inventory, first, held, status)
        if hook is not None:
            return f"the postStart hook of {name} fails", inventory.quote(hook.message, first.ref), severity
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
        yield ("probe.port", top, f"{container}/liveness")
        if ended_by_startup(inventory, member, container):
            yield ("probe.failing", top, f"{container}/startup")
            yield ("probe.port", top, f"{container}/startup")
    if rule in {"container.crash", "container.start"}:
        yield ("config.file", top, container)
        yield ("config.variable", top, container)
    if said is not None:
        for _, entry in mappings((member.top.container(container) or _NOBODY).content, "env"):
            host = entry.get("value")
            if isinstance(host, str) and host and host in said.line:
                yield ("service.name", top, f"{container}/{text(entry, 'name')}")
        yield from refusals(inventory, member, container)
        yield from misled(inventory, member.top, container, said.line)
        yield from certificates.behind(member.top, said.line)
        yield from named_services(inventory, said.line, member.ref)
        if nameservers.unanswered(inventory, said.line, member.ref):
            yield nameservers.KEY


def refusals(inventory: Inventory, member: Member, container: str) -> Iterator[Key]:
    """The facts about rights that a container's log says it was refused, if they hold."""
    for previous in (False, True):
        log = inventory.answer(log_need(member, container, previous=previous))
        for denial, _ in denials(log) if log else ():
            yield denial.key


def named_services(inventory: Inventory, line: str, ref: Ref) -> Sequence[Ref]:
    """Return the Services beside the object that a line names as a host: alone, or with the namespace behind."""
    found: dict[Ref, None] = {}
    for host in sorted(set(_HOST.findall(line.lower()))):
        name, _, rest = host.partition(".")
        namespace, _, domain = rest.partition(".")
        service = Ref("", "Service", namespace or ref.namespace, name)
        near = not rest and _as_host(line, name)
        if (near or (rest and domain in {"", "svc", "svc.cluster.local"})) and inventory.get(service):
            found[service] = None
    return sorted(found, key=lambda one: (one.namespace, one.name))


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


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {("", "Pod"): _pod}
NEEDS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Need]]] = {("", "Pod"): _needs}
