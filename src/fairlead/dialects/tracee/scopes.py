"""Who an event must be of: a policy's scope and the scope filters of its rules, both written `uid=0`, `container`, `comm!=sh`.

A Scope is filled by expressions and then asked about events; it also says what of itself the kernel can decide. Pure.
Source: aquasecurity/tracee, docs/flags/scope, pkg/cmd/flags/policy.go and pkg/filters/scope.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fairlead.dialects.tracee.filters import ALL, Alternatives, BadFilter, Numbers, Texts, both, split
from fairlead.sense import behaviours_acts as acts
from fairlead.sense.events import CONTAINED, Container, Event, Process, make_event
from fairlead.sense.plans import Op, Test, What

_MNT, _PID = 2, 3
_NOTE = "followed by tracee"
BINARIES = frozenset({"exec", "executable", "bin", "binary"})


@dataclass(frozen=True, slots=True)
class _Number:
    """A number that an event is known by: of the event, and where the kernel finds it."""

    get: Callable[[Event], int | None]
    place: tuple[What, int] | None = None
    signed: bool = True


@dataclass(frozen=True, slots=True)
class _Word:
    """A text that an event is known by. `inside`: asked for by `=` it is of containers only."""

    get: Callable[[Event], str | None]
    place: tuple[What, int] | None = None
    inside: bool = False


def _of(get: Callable[[Container], str]) -> Callable[[Event], str]:
    return lambda event: get(event.process.container) if event.process.container else ""


def _thread(event: Event) -> int | None:
    """The thread in its own namespace, where that can be known: without one, or when it is the first."""
    process = event.process
    if process.vpid == process.pid:
        return event.tid
    return process.vpid if event.tid == event.pid else None


_POLICY: dict[str, _Number | _Word] = {
    "uid": _Number(lambda event: event.uid, (What.UID, 0), signed=False),
    "pid": _Number(lambda event: event.pid, (What.TGID, 0), signed=False),
    "mntns": _Number(lambda event: event.process.ns[_MNT] or None, (What.NS, _MNT), signed=False),
    "pidns": _Number(lambda event: event.process.ns[_PID] or None, (What.NS, _PID), signed=False),
    "comm": _Word(lambda event: event.comm, (What.COMM, 0)),
}
_RULE: dict[str, _Number | _Word] = {
    "timestamp": _Number(lambda event: event.time),
    "pid": _Number(lambda event: event.process.vpid, (What.VPID, 0)),
    "tid": _Number(_thread),
    "ppid": _Number(lambda event: event.process.vppid),
    "hostPid": _Number(lambda event: event.pid, (What.TGID, 0)),
    "hostTid": _Number(lambda event: event.tid, (What.TID, 0)),
    "hostPpid": _Number(lambda event: event.process.ppid),
    "uid": _Number(lambda event: event.uid, (What.UID, 0)),
    "mntns": _Number(lambda event: event.process.ns[_MNT] or None, (What.NS, _MNT)),
    "pidns": _Number(lambda event: event.process.ns[_PID] or None, (What.NS, _PID)),
    "cgroupId": _Number(lambda event: event.cgroup, (What.CGROUP, 0), signed=False),
    "comm": _Word(lambda event: event.comm, (What.COMM, 0)),
    "syscall": _Word(lambda event: event.kind),
    "containerId": _Word(_of(lambda one: one.id), inside=True),
    "containerImage": _Word(_of(lambda one: one.image), inside=True),
    "containerImageDigest": _Word(_of(lambda one: one.digest), inside=True),
    "containerName": _Word(_of(lambda one: one.name), inside=True),
    "podName": _Word(_of(lambda one: one.pod), inside=True),
    "podNamespace": _Word(_of(lambda one: one.pod_namespace), inside=True),
    "podUid": _Word(_of(lambda one: one.pod_uid), inside=True),
}
_ALSO = {
    "p": "pid", "processId": "pid", "threadId": "tid", "parentProcessId": "ppid", "hostThreadId": "hostTid", "hostProcessId": "hostPid",
    "hostParentProcessId": "hostPpid", "userId": "uid", "mountNamespace": "mntns", "pidNamespace": "pidns", "processName": "comm",
}  # fmt: skip
_UNKNOWN = {
    "uts": "the name of a process' UTS namespace is not among what the kernel's side reads",
    "hostName": "the name of a process' UTS namespace is not among what the kernel's side reads",
    "processorId": "which processor it happened on is not among what the kernel's side reads",
}


class Unsupported(ValueError):
    """A filter is right, but what it asks about is not known here. Its text says why."""


@dataclass(slots=True)
class Scope:
    """Who an event must be of. `begun` is ns since the epoch: what started later is new."""

    begun: int = 0
    follow: bool = False
    filters: dict[str, Numbers | Texts] = field(default_factory=dict)
    getters: dict[str, _Number | _Word] = field(default_factory=dict)
    inside: bool | None = None
    begun_inside: bool = False
    new_container: bool | None = None
    new_process: bool | None = None
    binaries: list[tuple[bool, str, str]] = field(default_factory=list)  # wanted, mount namespace, path
    trees: Numbers | None = None
    sandbox: bool | None = None
    owner: str = ""

    # ---- filling -------------------------------------------------------------------------------------------------------

    def policy(self, expressions: Iterable[str]) -> list[tuple[int, str]]:
        """Add a policy's scope; return what is wrong: (index of the expression, why). A scope with faults must not be used."""
        faults: list[tuple[int, str]] = []
        given = [one.replace(" ", "") for one in expressions]
        if "global" in given:
            return [] if len(given) == 1 else [(given.index("global"), "global scope must be unique")]
        for at, one in enumerate(given):
            try:
                self._policy(one)
            except (BadFilter, Unsupported) as error:
                faults.append((at, str(error)))
        return faults

    def _policy(self, text: str) -> None:
        name, operator, values = split(text)
        if text == "follow":
            self.follow = True
        elif name in {"container", "not-container"}:
            self._container(text, operator, values)
        elif name == "pid" and values == "new" and operator in {"=", "!="}:
            self.new_process = operator == "="
        elif name in BINARIES:
            self._binary(operator, values)
        elif name == "tree":
            if operator not in {"=", "!="}:
                raise BadFilter(f"invalid filter expression: {text}")
            self.trees = self.trees or Numbers()
            self.trees.add(operator, values)
        elif name in _UNKNOWN:
            raise Unsupported(_UNKNOWN[name])
        elif name in _POLICY and operator:
            if name in {"mntns", "pidns"} and operator not in {"=", "!="}:
                raise BadFilter(f"invalid filter expression: {text}")
            self._add(name, _POLICY[name], operator, values)
        else:
            raise BadFilter(f"scope {name} is not valid")

    def _container(self, text: str, operator: str, values: str) -> None:
        if not operator:
            self.inside = text == "container"
        elif text.startswith("not-"):
            raise BadFilter(f"scope {text} is not valid")
        elif values == "new" and operator in {"=", "!="}:
            self.inside, self.new_container = True, operator == "="
        elif values == "started" and operator == "=":
            self.inside = self.begun_inside = True
        elif operator == "=":
            self.inside = True
            for one in values.split(","):  # an id may be shortened
                self._add("container", _RULE["containerId"], "=", one if one.endswith("*") else f"{one}*")
        elif operator == "!=":
            for one in values.split(","):
                self._add("container", _RULE["containerId"], "!=", one if one.endswith("*") else f"{one}*")
        else:
            raise BadFilter(f"invalid filter expression: {text}")

    def _binary(self, operator: str, values: str) -> None:
        if operator not in {"=", "!="}:
            raise BadFilter(f"unsupported operator: {operator or 'none'}")
        for value in values.split(","):
            namespace, colon, path = value.rpartition(":")
            if not path.startswith("/") or ":" in namespace or (colon and not _names_mount(namespace)):
                raise BadFilter(f"invalid filter value: {value!r}")
            self.binaries.append((operator == "=", namespace, path))

    def _add(self, name: str, getter: _Number | _Word, operator: str, values: str) -> None:
        held = self.filters.get(name)
        if held is None:
            held = Numbers(signed=getter.signed) if isinstance(getter, _Number) else Texts()
        held.add(operator, values)
        self.filters[name], self.getters[name] = held, getter

    def rule(self, text: str) -> None:
        """Add a rule's scope filter. Raises BadFilter or Unsupported."""
        name, operator, values = split(text)
        name = name.removeprefix("scope.")
        name = _ALSO.get(name, name)
        if name in {"host", "not-container"} and not operator:
            self.inside = False
        elif name == "container":
            self._rule_container(operator, values)
        elif name == "podSandbox":
            if operator != "=" or values not in {"true", "false"}:
                raise BadFilter(f"invalid filter expression: {text}")
            self.inside, self.sandbox = True, values == "true"
        elif name in BINARIES:
            self._binary(operator, values)
        elif name in _UNKNOWN:
            raise Unsupported(_UNKNOWN[name])
        elif name in _RULE and operator:
            getter = _RULE[name]
            self._add(name, getter, operator, values)
            if isinstance(getter, _Word) and getter.inside and operator != "!=":
                self.inside = True
        else:
            raise BadFilter(f"invalid scope field: {name}")

    def _rule_container(self, operator: str, values: str) -> None:
        if not operator or (operator, values) == ("=", "true"):
            self.inside = True
        elif (operator, values) in {("=", "false"), ("!=", "true")}:
            self.inside = False
        elif (operator, values) == ("=", "started"):
            self.inside = self.begun_inside = True
        elif operator == "=":  # older policies name a container so
            self._container("container", operator, values)
        else:
            raise BadFilter(f"invalid filter expression: container{operator}{values}")

    # ---- asking --------------------------------------------------------------------------------------------------------

    def tests(self) -> Alternatives:
        """What the kernel can decide. Nothing where descendants are followed: they need not be as their ancestors are."""
        if self.follow:
            return ALL
        found = ALL
        if self.inside:
            found = both(found, ((acts.IN_CONTAINER,),))
        for name, held in self.filters.items():
            place = self.getters[name].place
            if place is not None:
                found = both(found, held.tests(*place))
        if self.binaries and all(wanted for wanted, _, _ in self.binaries):
            paths = tuple(path.encode("utf-8", "surrogateescape") for _, _, path in self.binaries)
            found = both(found, ((Test(What.EXE, Op.TEXT_IN, paths),),))
        return found

    def __call__(self, event: Event) -> bool:
        """Whether an event is of whom it must be."""
        if not self.follow:
            return self._fits(event)
        process = event.process
        if self._fits(event):
            self._mark(process)
            return True
        if self._marked(process):
            return True
        for one in process.ancestors():
            as_it_is = make_event("", one, flags=CONTAINED if one.contained else 0)
            if self._marked(one) or self._fits(as_it_is):
                self._mark(process)
                return True
        return False

    def _mark(self, process: Process) -> None:
        """Remember that a process was once as it must be: it and its descendants are followed, whatever they become."""
        if process.notes is None:
            process.notes = {}
        process.notes.setdefault(_NOTE, set()).add(self.owner)

    def _marked(self, process: Process) -> bool:
        return bool(process.notes) and self.owner in (process.notes or {}).get(_NOTE, ())

    def _fits(self, event: Event) -> bool:
        process = event.process
        if self.inside is not None and acts.contained(event) is not self.inside:
            return False
        if self.begun_inside and not acts.started(event):
            return False
        for name, held in self.filters.items():
            value: Any = self.getters[name].get(event)
            if value is None or not held(value):
                return False
        container = process.container
        if self.new_container is not None:
            fresh = container is not None and container.started > self.begun
            if fresh is not self.new_container:
                return False
        if self.new_process is not None and (process.started > self.begun) is not self.new_process:
            return False
        if self.sandbox is not None and (container is not None and container.sandbox) is not self.sandbox:
            return False
        return self._runs(process, event) and self._grows(process)

    def _runs(self, process: Process, event: Event) -> bool:
        """Whether its executable is asked for; what is asked for passes even where it is excluded."""
        if not self.binaries:
            return True
        excluded = False
        for wanted, namespace, path in self.binaries:
            here = process.exe == path and (
                not namespace
                or (namespace == "host" and not acts.contained(event) and not process.contained)
                or namespace == str(process.ns[_MNT])
            )
            if here and wanted:
                return True
            excluded = excluded or here
        return not excluded and not all(wanted for wanted, _, _ in self.binaries)

    def _grows(self, process: Process) -> bool:
        """Whether it is in a tree that is asked for: the nearest ancestor that is named decides."""
        trees = self.trees
        if trees is None:
            return True
        for one in (process, *process.ancestors()):
            if one.pid in trees.whole:
                return True
            if one.pid in trees.not_whole:
                return False
        return not trees.whole


def _names_mount(text: str) -> bool:
    return text == "host" or (text.isascii() and text.isdigit())
