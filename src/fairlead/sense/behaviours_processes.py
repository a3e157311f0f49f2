"""Behaviours that show in how programs start and what they do to memory: injection, programs without files, dropped programs.

The only one that remembers is the detector of loaded code: it keeps, with each process, which regions were writable and executable at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairlead.sense import behaviours_acts as acts
from fairlead.sense.behaviours_models import Behaviour
from fairlead.sense.events import Event, Process
from fairlead.sense.plans import Hook, Op, Test, What

_TRACEME, _POKETEXT, _POKEDATA = 0, 4, 5
_WRITE, _EXEC = 2, 4
_REGIONS = 64
"""Regions that are remembered of one process; the oldest go first."""
_NOTE = "writable and executable"
SHELLS = frozenset({"ash", "bash", "csh", "ksh", "sh", "tcsh", "zsh", "dash", "busybox", "mksh", "fish"})
WEB_SERVERS = frozenset(
    {"nginx", "httpd", "httpd-foregroun", "http-nio", "lighttpd", "apache", "apache2", "caddy", "tomcat"}
)
_PRELOADS = ("LD_PRELOAD=", "LD_LIBRARY_PATH=")
_IN_MEMORY = ("memfd:", "/memfd:", "/dev/shm/", "/run/shm/")  # noqa: S108 - what is looked for, not used


# ---- memory of others ----------------------------------------------------------------------------------------------


def _ptrace(*requests: int) -> Callable[[str], tuple[Hook, ...]]:
    def watch(owner: str) -> tuple[Hook, ...]:
        return acts.hooks_of(("ptrace",), owner, [(Test(What.ARG, Op.INSET, requests, index=0),)])

    return watch


def _traced_me(event: Event) -> bool:
    return event.kind == "ptrace" and event.args[0] == _TRACEME


def _poked(event: Event) -> dict[str, Any] | None:
    if event.kind != "ptrace" or event.args[0] not in {_POKETEXT, _POKEDATA}:
        return None
    return {"target": event.args[1] & 0xFFFFFFFF, "address": hex(event.args[2])}


def _watch_vm_writes(owner: str) -> tuple[Hook, ...]:
    return acts.hooks_of(("process_vm_writev",), owner)


def _wrote_to_another(event: Event) -> dict[str, Any] | None:
    target = event.args[0] & 0xFFFFFFFF
    if event.kind != "process_vm_writev" or target in {event.process.vpid, event.pid}:
        return None
    return {"target": target}


# ---- code that was written and then run ----------------------------------------------------------------------------


def _watch_protections(owner: str) -> tuple[Hook, ...]:
    both = (acts.SUCCEEDED, Test(What.ARG, Op.ALLBITS, (_WRITE | _EXEC,), index=2))
    runs = (acts.SUCCEEDED, Test(What.ARG, Op.ALLBITS, (_EXEC,), index=2))
    clause = acts.hooks_of(("mmap",), owner, [both])
    return (*clause, *acts.hooks_of(("mprotect", "pkey_mprotect"), owner, [runs]))


class _Held:
    """What is remembered of a process: its regions, since which exec, and what was said of the last event that changed them."""

    __slots__ = ("exec_id", "last", "regions", "said")

    def __init__(self, exec_id: int, regions: list[tuple[int, int]]) -> None:
        self.exec_id = exec_id
        self.regions = regions
        self.last: Event | None = None
        self.said: dict[str, Any] | None = None


def _held(process: Process) -> _Held:
    """What is held of this program; exec begins anew, and what only forked begins with its parent's."""
    notes = process.notes
    if notes is None:
        notes = process.notes = {}
    held = notes.get(_NOTE)
    if isinstance(held, _Held) and held.exec_id == process.exec_id:
        return held
    parent = process.parent
    theirs = parent.notes.get(_NOTE) if process.forked_only and parent is not None and parent.notes else None
    notes[_NOTE] = held = _Held(process.exec_id, list(theirs.regions) if isinstance(theirs, _Held) else [])
    return held


def _loaded_code(event: Event) -> dict[str, Any] | None:
    """Several rules may ask about one event: it changes what is held once, and all get the same answer."""
    if event.kind not in {"mmap", "mprotect", "pkey_mprotect"} or event.ret < 0:
        return None
    held = _held(event.process)
    if held.last is not event:
        held.last, held.said = event, _protected(event, held.regions)
    return held.said


def _protected(event: Event, regions: list[tuple[int, int]]) -> dict[str, Any] | None:
    length, prot = event.args[1], event.args[2]
    start = event.ret if event.kind == "mmap" else event.args[0]
    if prot & _WRITE and prot & _EXEC:
        regions.append((start, start + length))
        del regions[:-_REGIONS]
        return None
    if event.kind == "mmap" or not prot & _EXEC:
        return None
    hit = [one for one in regions if one[0] < start + length and start < one[1]]
    if not hit:
        return None
    regions[:] = [one for one in regions if one not in hit]
    return {"address": hex(start), "length": length, "alert": "Protection changed from W+E to E!"}


# ---- programs ---------------------------------------------------------------------------------------------------------


def in_memory(path: str) -> bool:
    """Whether a path is of a file that lies in memory only."""
    return path.startswith(_IN_MEMORY)


def _fileless(event: Event) -> dict[str, Any] | None:
    process = event.process
    path = event.texts[0] or process.exe
    if event.kind != "exec" or not (process.exe_memfd or in_memory(path)):
        return None
    parent = process.parent
    if "memfd:runc_cloned" in path and not acts.contained(event) and parent is not None:
        # A runtime runs a copy of itself from memory, so that no container can reach its file.
        own = parent.name.startswith("runc") or acts.basename(parent.exe) in acts.RUNTIMES
        return None if own else {"path": path}
    return {"path": path}


def _watch_dropped(owner: str) -> tuple[Hook, ...]:
    return acts.writing_programs(owner, acts.IN_CONTAINER)


def _dropped(event: Event) -> dict[str, Any] | None:
    if not acts.started(event):
        return None
    if event.kind == "exec":  # copied without a write that shows its bytes, and run
        process = event.process
        fresh = process.exe_upper and not process.exe_memfd and process.vpid != 1
        return {"path": event.texts[0] or process.exe} if fresh else None
    path = acts.wrote_program(event)
    return {"path": path} if path and not path.startswith(("memfd:", "/memfd:")) else None


def _watch_programs(owner: str) -> tuple[Hook, ...]:
    return acts.writing_programs(owner)


def _hidden(event: Event) -> dict[str, Any] | None:
    path = acts.wrote_program(event)
    return {"path": path} if path and "/." in path else None


def _watch_preload(owner: str) -> tuple[Hook, ...]:
    return (
        *acts.opening(owner, acts.FOR_WRITING, paths=acts.ends("/etc/ld.so.preload")),
        *acts.renaming(owner),
    )


def _preloaded(event: Event) -> dict[str, Any] | None:
    if event.kind == "exec":
        for pair in event.process.env:
            if pair.startswith(_PRELOADS):
                name, _, value = pair.partition("=")
                return {name: value}
        return None
    opened = acts.opened(event)
    if opened is not None:
        found = opened.writes and opened.path.endswith("/etc/ld.so.preload")
        return {"path": opened.path} if found else None
    renamed = acts.renamed(event)
    if renamed is not None and renamed.new.endswith("/etc/ld.so.preload"):
        return {"path": renamed.new}
    return None


def _shell_of_server(event: Event) -> dict[str, Any] | None:
    process, parent = event.process, event.process.parent
    if event.kind != "exec" or process.name not in SHELLS or parent is None:
        return None
    served = parent.name in WEB_SERVERS or parent.title in WEB_SERVERS or parent.title.startswith("http-nio")
    return {"shell": process.name, "server": parent.name} if served else None


def _watch_modules(owner: str) -> tuple[Hook, ...]:
    loaded = Hook(sort="kernel", name="module", clauses=acts.hooks_of(("init_module",), owner)[0].clauses)
    return (loaded, *acts.hooks_of(("init_module", "finit_module"), owner))


def _module(event: Event) -> dict[str, Any] | None:
    if event.kind == "module":
        return {"module": event.texts[0]}
    if event.kind not in {"init_module", "finit_module"}:
        return None
    if event.kind == "finit_module":
        return {"path": event.texts[0], "result": event.ret}
    return {"result": event.ret}


_INJECTION: dict[str, Any] = {"severity": 3, "category": "defense-evasion"}

PROCESSES: tuple[Behaviour, ...] = (
    Behaviour(
        event="anti_debugging",
        id="TRC-102",
        title="Anti-Debugging detected",
        description="A process asked to be traced by its parent, so that no debugger can.",
        severity=1,
        category="defense-evasion",
        technique="Debugger Evasion",
        technique_id="T1622",
        watch=_ptrace(_TRACEME),
        judge=_traced_me,
    ),
    Behaviour(
        event="ptrace_code_injection",
        id="TRC-103",
        title="Code injection detected using ptrace",
        description="A process wrote into the memory of another that it traces.",
        technique="Ptrace System Calls",
        technique_id="T1055.008",
        watch=_ptrace(_POKETEXT, _POKEDATA),
        judge=_poked,
        **_INJECTION,
    ),
    Behaviour(
        event="process_vm_write_inject",
        aliases=("process_vm_write_code_injection",),
        id="TRC-1025",
        title="Code injection detected using process_vm_writev syscall",
        description="A process wrote into the memory of another by a system call made for that.",
        technique="Process Injection",
        technique_id="T1055",
        watch=_watch_vm_writes,
        judge=_wrote_to_another,
        **_INJECTION,
    ),
    Behaviour(
        event="dynamic_code_loading",
        id="TRC-104",
        title="Dynamic code loading detected",
        description="Memory that was writable and executable at once became executable only: code was put there and is run.",
        severity=2,
        category="defense-evasion",
        technique="Software Packing",
        technique_id="T1027.002",
        watch=_watch_protections,
        judge=_loaded_code,
    ),
    Behaviour(
        event="fileless_execution",
        id="TRC-105",
        title="Fileless execution detected",
        description="A program was run from memory instead of from a file.",
        severity=3,
        category="defense-evasion",
        technique="Reflective Code Loading",
        technique_id="T1620",
        kinds=("exec",),
        watch=lambda _: (),
        judge=_fileless,
    ),
    Behaviour(
        event="dropped_executable",
        id="TRC-1022",
        title="New executable dropped",
        description="A program that its image does not have was written in a running container, or run there.",
        severity=2,
        category="defense-evasion",
        technique="Masquerading",
        technique_id="T1036",
        kinds=("exec",),
        watch=_watch_dropped,
        judge=_dropped,
    ),
    Behaviour(
        event="hidden_file_created",
        id="TRC-1015",
        title="Hidden executable creation detected",
        description="A program was written to a file, or into a directory, whose name begins with a dot.",
        severity=2,
        category="defense-evasion",
        technique="Hidden Files and Directories",
        technique_id="T1564.001",
        watch=_watch_programs,
        judge=_hidden,
    ),
    Behaviour(
        event="ld_preload",
        id="TRC-107",
        title="LD_PRELOAD code injection detected",
        description="A program was made to load a library before its own, by its environment or by the loader's list for all.",
        severity=2,
        category="persistence",
        technique="Hijack Execution Flow",
        technique_id="T1574",
        kinds=("exec",),
        watch=_watch_preload,
        judge=_preloaded,
    ),
    Behaviour(
        event="illegitimate_shell",
        id="TRC-1016",
        title="Web server spawned a shell",
        description="A web server ran a shell, which it has no need of.",
        severity=2,
        category="initial-access",
        technique="Exploit Public-Facing Application",
        technique_id="T1190",
        kinds=("exec",),
        watch=lambda _: (),
        judge=_shell_of_server,
    ),
    Behaviour(
        event="kernel_module_loading",
        id="TRC-1017",
        title="Kernel module loading detected",
        description="Code was loaded into the kernel, or somebody tried to.",
        severity=2,
        category="persistence",
        technique="Kernel Modules and Extensions",
        technique_id="T1547.006",
        watch=_watch_modules,
        judge=_module,
    ),
)
