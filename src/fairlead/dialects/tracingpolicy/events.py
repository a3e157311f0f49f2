"""Events in Tetragon's JSON schema: process_exec, process_exit, and one for each sort of probe. What was seen in, a mapping out.

An Exporter turns an engine's events and detections into the objects that Tetragon's export has on its lines. Pure: it is told the node's name.
Source: Tetragon's api/v1/tetragon, and protojson with proto names.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fairlead.dialects.tracingpolicy import jsonargs, operators
from fairlead.dialects.tracingpolicy.jsonargs import clean, kept
from fairlead.dialects.tracingpolicy.verdicts import Verdict
from fairlead.sense.events import Container, Event, Process, safe_json
from fairlead.sense.records import NAMESPACES
from fairlead.sense.rules import Detection

_SIGNALS: Final = (
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE",
    "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ",
    "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
)  # fmt: skip
_NO_LOGIN: Final = 0xFFFFFFFF
_SECOND: Final = 1_000_000_000


def timestamp(ns: int) -> str:
    """Return a time in ns since the epoch as RFC 3339 with 0, 3, 6 or 9 digits behind the second, as protojson writes it."""
    whole, rest = divmod(ns, _SECOND)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if not rest:
        return f"{text}Z"
    digits = f"{rest:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


def line(event: dict[str, Any]) -> str:
    """Return an event as one line of JSON."""
    return safe_json(json.dumps(event, ensure_ascii=False, separators=(",", ":")))


def signal_name(number: int) -> str:
    """Return a signal's name, or its number where it has none."""
    return _SIGNALS[number - 1] if 0 < number <= len(_SIGNALS) else str(number)


def arguments(process: Process) -> str:
    """Return the arguments behind the first, with blanks between them; one that holds blanks stands in quotation marks."""
    return clean(" ".join(f'"{one}"' if " " in one or not one else one for one in process.args[1:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """Writes events for one node.

    `home` are the inode numbers of the host's namespaces. `namespaces` and `credentials` are parts of a process that Tetragon tells when
    asked to (--enable-process-ns, --enable-process-cred); `ancestors` how many of them beyond the parent.
    """

    node: str = ""
    home: tuple[int, ...] = (0,) * 10
    machine: str = "x86_64"
    namespaces: bool = False
    credentials: bool = False
    ancestors: int = 0

    def exec_id(self, process: Process) -> str:
        """Return the id of a process since its last exec: base64 of node, ns since boot and pid."""
        since = process.start
        if process.exec_at > process.started > 0:
            since += process.exec_at - process.started
        return b64encode(f"{self.node}:{since}:{process.pid}".encode()).decode()

    def process(self, process: Process, tid: int = 0) -> dict[str, Any]:
        """Return a Process."""
        told: dict[str, Any] = {"exec_id": self.exec_id(process), "pid": process.pid, "uid": process.euid}
        told |= kept(
            {
                "cwd": clean(process.cwd),
                "binary": clean(process.exe or process.name),
                "arguments": arguments(process),
            }
        )
        told["flags"] = _flags(process)
        if process.exec_at or process.started:
            told["start_time"] = timestamp(process.exec_at or process.started)
        told["auid"] = process.loginuid
        container = process.container
        if container is not None and container.pod:
            told["pod"] = self._pod(container, process)
        if container is not None:
            told["docker"] = container.id[:15]
        if process.parent is not None:
            told["parent_exec_id"] = self.exec_id(process.parent)
        told["refcnt"] = 1
        if self.credentials:
            told["cap"] = jsonargs.caps(process)
            told["process_credentials"] = jsonargs.credentials(process)
        if self.namespaces:
            told["ns"] = {
                name: kept({"inum": number, "is_host": number == home or None})
                for name, number, home in zip(NAMESPACES, process.ns, self.home, strict=False)
                if number
            }
        told["tid"] = tid or process.pid
        if process.contained:
            told["in_init_tree"] = _in_init_tree(process)
        return told

    def _pod(self, container: Container, process: Process) -> dict[str, Any]:
        runtime = container.runtime or "containerd"
        inner = kept({
            "id": f"{runtime}://{container.id}",
            "name": container.name,
            "image": kept({"id": container.image_id or container.digest, "name": container.image}),
            "start_time": timestamp(container.started) if container.started else "",
            "security_context": kept({"privileged": container.privileged or None}),
        })  # fmt: skip
        if process.vpid != process.pid:
            inner["pid"] = process.vpid
        if any(
            process.cmdline == command or process.cmdline.endswith(f"/{command}")
            for _, command in container.probes
        ):
            inner["maybe_exec_probe"] = True
        return kept({
            "namespace": container.pod_namespace,
            "name": container.pod,
            "uid": container.pod_uid,
            "container": inner,
            "pod_labels": dict(container.pod_labels),
            "workload": container.workload,
            "workload_kind": container.workload_kind,
        })  # fmt: skip

    def _around(self, process: Process, tid: int = 0) -> dict[str, Any]:
        """Return the process of an event, its parent, and more ancestors where they are asked for."""
        told = {"process": self.process(process, tid)}
        if process.parent is not None:
            told["parent"] = self.process(process.parent)
            further = [self.process(one) for one in _some(process.parent.ancestors(), self.ancestors)]
            if further:
                told["ancestors"] = further  # type: ignore[assignment]
        return told

    def _line(self, kind: str, body: dict[str, Any], event: Event) -> dict[str, Any]:
        if not body.get("args", True):
            del body["args"]
        return {kind: body, **kept({"node_name": self.node}), "time": timestamp(event.time)}

    def executed(self, event: Event) -> dict[str, Any]:
        """Return the process_exec of an event of the kind exec."""
        body = self._around(event.process, event.tid)
        properties = _properties(event.process)
        if properties:
            body["process"]["binary_properties"] = properties
        return self._line("process_exec", body, event)

    def ended(self, event: Event) -> dict[str, Any]:
        """Return the process_exit of an event of the kind exited."""
        body = self._around(event.process, event.tid)
        raw = event.ret
        number, status = raw & 0x7F, raw >> 8 & 0xFF
        body |= kept({"signal": signal_name(number) if number else "", "status": status})
        body["time"] = timestamp(event.time)
        return self._line("process_exit", body, event)

    def event(self, event: Event) -> dict[str, Any] | None:
        """Return what Tetragon tells of an event without any policy: execs and exits; None for others."""
        if event.kind == "exec":
            return self.executed(event)
        return self.ended(event) if event.kind == "exited" else None

    def detected(self, detection: Detection) -> dict[str, Any] | None:
        """Return the event of a detection of one of this dialect's rules, None for other dialects'."""
        verdict, event = detection.data, detection.event
        if not isinstance(verdict, Verdict):
            return None
        probe = verdict.probe
        body = self._around(event.process, event.tid)
        told = [one for seen in verdict.args if (one := jsonargs.argument(seen, event)) is not None]
        data = [one for seen in verdict.data if (one := jsonargs.argument(seen, event)) is not None]
        action = f"KPROBE_ACTION_{verdict.action.upper()}"
        shared = kept(
            {"policy_name": verdict.policy.name, "message": probe.message, "tags": list(probe.tags)}
        )
        if verdict.function == "loader" and not probe.selectors and probe.path == ".spec.loader":
            return self._line("process_loader", {**body, "path": clean(event.texts[0])}, event)
        match probe.section:
            case "tracepoints":
                subsystem, _, name = verdict.function.partition("/")
                body |= {"subsys": subsystem, "event": name, "args": told, "action": action}
                return self._line("process_tracepoint", {**body, **shared}, event)
            case "uprobes":
                body |= {
                    "path": probe.binary,
                    **kept(_symbol(verdict.function)),
                    "args": told,
                    "action": action,
                }
                return self._line("process_uprobe", {**body, **shared, **kept({"data": data})}, event)
            case "usdts":
                body |= {
                    "path": probe.binary,
                    "provider": probe.provider,
                    "name": verdict.function,
                    "args": told,
                    "action": action,
                }
                return self._line("process_usdt", {**body, **shared}, event)
            case "lsmhooks":
                body |= {"function_name": verdict.function, "args": told, "action": action}
                return self._line("process_lsm", {**body, **shared}, event)
        body |= {"function_name": self._symbol_of(verdict.function), "args": told, "action": action}
        if probe.returns and verdict.returned is not None:
            returned = jsonargs.argument(verdict.returned, event)
            body |= kept(
                {"return": returned, "return_action": f"KPROBE_ACTION_{verdict.return_action.upper()}"}
            )
        return self._line("process_kprobe", {**body, **shared, **kept({"data": data})}, event)

    def _symbol_of(self, function: str) -> str:
        """Return the symbol that Tetragon hooks for a call: `sys_write` is `__x64_sys_write` here."""
        if function.startswith("sys_") and operators.bare_syscall(function):
            return f"{'__x64_' if self.machine == 'x86_64' else '__arm64_'}{function}"
        return function


def _symbol(name: str) -> dict[str, Any]:
    return {"offset": str(int(name, 16))} if name.startswith("0x") else {"symbol": name}


def _some(processes: Iterator[Process], most: int) -> Iterator[Process]:
    for at, one in enumerate(processes):
        if at >= most:
            return
        yield one


def _flags(process: Process) -> str:
    """Return how Tetragon came to know of a process, as words."""
    words = ["execve" if process.exec_id else "procFS" if not process.forked_only else "execve"]
    if process.cut:
        words.append("truncArgs")
    if process.cwd == "/":
        words.append("rootcwd")
    if process.exec_id == 1 and process.parent is not None:
        words.append("clone")
    return " ".join(words)


def _in_init_tree(process: Process) -> bool:
    """Whether a contained process descends from its container's first one."""
    if process.vpid == 1:
        return True
    own = process.ns[3]
    return any(one.vpid == 1 and one.ns[3] == own for one in process.ancestors())


def _properties(process: Process) -> dict[str, Any]:
    """Return the BinaryProperties of an exec: what it gained, and a file that has no name any more."""
    told: dict[str, Any] = {}
    reasons = []
    if process.exe_flags & 4:
        told["setuid"] = process.euid
        reasons.append("PRIVILEGES_RAISED_EXEC_FILE_SETUID")
    if process.exe_flags & 8:
        told["setgid"] = process.egid
        reasons.append("PRIVILEGES_RAISED_EXEC_FILE_SETGID")
    if reasons:
        told["privileges_changed"] = reasons
    if process.exe_ino and (process.exe_memfd or not process.exe_nlink):
        told["file"] = {"inode": {"number": str(process.exe_ino), "links": process.exe_nlink}}
    return told
