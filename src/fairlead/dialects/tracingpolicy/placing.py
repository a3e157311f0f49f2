"""Where the functions that policies hook can be seen, given what this kernel allows: the function itself, or the nearest place.

`place` answers for one function; `placements` for a whole policy, as rows that a person reads. Pure; what the kernel allows is handed in as names:
kprobe, fentry, lsm, uprobe, usdt, tracepoint, rawtracepoint, syscalls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from fairlead.dialects.tracingpolicy import argtypes, operators, resolving, seeing
from fairlead.dialects.tracingpolicy.hooks_files import FILES
from fairlead.dialects.tracingpolicy.hooks_network import NETWORK
from fairlead.dialects.tracingpolicy.hooks_processes import PROCESSES
from fairlead.dialects.tracingpolicy.places import Row, Source, Spot
from fairlead.dialects.tracingpolicy.policies import Argument, Policy, Probe
from fairlead.sense import syscalls
from fairlead.sense.plans import Arg, Hook

ROWS: Final[Mapping[str, Row]] = {**FILES, **PROCESSES, **NETWORK}
"""Every function that has a row, by name."""
LSM: Final[Mapping[str, str]] = {
    "bprm_check_security": "security_bprm_check",
    "file_open": "security_file_open",
    "socket_connect": "security_socket_connect",
    "sb_mount": "security_sb_mount",
    "userns_create": "security_create_user_ns",
    "kernel_module_request": "security_kernel_module_request",
}
"""LSM hooks whose function is not simply `security_` and their name."""
NEVER_RETURN: Final = frozenset({"execve", "execveat", "exit", "exit_group", "rt_sigreturn"})
"""Calls whose arguments are gone at the return, or that have none."""

_KERNEL_ARGS: Final[Mapping[str, Arg]] = {
    "string": Arg.K_STRING, "filename": Arg.K_STRING, "data_loc": Arg.STRING, "net_device": Arg.K_STRING, "file": Arg.K_FILE, "fd": Arg.FD,
    "path": Arg.K_PATH, "dentry": Arg.K_DENTRY, "linux_binprm": Arg.K_BPRM, "kiocb": Arg.K_KIOCB, "iov_iter": Arg.K_IOVITER, "sock": Arg.K_SOCK,
    "socket": Arg.K_SOCKET, "skb": Arg.K_SKB, "sockaddr": Arg.K_SOCKADDR, "cred": Arg.K_CRED, "user_namespace": Arg.K_USERNS,
    "load_info": Arg.K_LOADINFO, "module": Arg.K_MODULE, "char_buf": Arg.BUFFER, "const_buf": Arg.BUFFER, "char_iovec": Arg.IOVEC,
}  # fmt: skip
_MOST_NAMES: Final = 8
_PLACES: Final = frozenset({Arg.K_FILE, Arg.K_SOCK, Arg.K_SOCKET, Arg.K_KIOCB, Arg.K_SKB, Arg.FD})


@dataclass(frozen=True, slots=True)
class Placed:
    """One hook that serves a function: the plan's hook without clauses, and its spot (whose sources are complete)."""

    hook: Hook
    spot: Spot


@dataclass(frozen=True, slots=True)
class Placement:
    """How one function of a probe is seen. `used` names what serves it, "" where nothing does and `why` says why not."""

    function: str
    placed: tuple[Placed, ...] = ()
    used: str = ""
    differs: str = ""
    lost: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """One row for people: the hook's path in the policy, the function, what is used for it, what differs and what is lost."""

    path: str
    function: str
    used: str
    differs: str
    lost: str


def place(function: str, abilities: frozenset[str], probe: Probe | None = None) -> Placement:
    """Return how a kernel function is seen. `probe` says which arguments are wanted; without one, what is there is told all the same."""
    probe = probe or Probe(section="kprobes", path="", calls=(function,))
    call = operators.bare_syscall(function)
    if call is not None:
        return _syscall(function, call, probe)
    if (
        probe.syscall or function.startswith(("sys_", "__x64_sys_", "__arm64_sys_"))
    ) and function not in ROWS:
        name = re.sub(r"^(__\w+?_)?sys_", "", function)
        if name in syscalls.EVERY:
            return _syscall(function, name, probe)
        if function.startswith(("sys_", "__")):
            return Placement(function, why=f"there is no system call {name}")
    sort = next((one for one in ("fentry", "kprobe") if one in abilities), "")
    if probe.section == "kprobes" and "kprobe" in abilities:
        sort = "kprobe"
    if sort:
        return _direct(function, "fentry" if sort == "fentry" else "kprobe", probe)
    found = ROWS.get(function)
    if found is None and function.startswith("__sys_") and function.removeprefix("__sys_") in syscalls.EVERY:
        return _syscall(
            function, function.removeprefix("__sys_"), probe
        )  # what the call hands its arguments to
    if found is None:
        return Placement(
            function, why="this kernel takes no kprobes, and nothing near this function is known"
        )
    return _near(function, found, probe)


def lsm(hook: str, abilities: frozenset[str], probe: Probe) -> Placement:
    """Return how an LSM hook is seen."""
    if "lsm" in abilities:
        return _direct(hook, "lsm", probe)
    function = LSM.get(hook, f"security_{hook}")
    if "kprobe" in abilities or "fentry" in abilities:
        found = place(function, abilities, probe)
        return replace(
            found, function=hook, differs=f"the kernel takes no LSM programs: {function} is hooked instead"
        )
    row = ROWS.get(function)
    if row is None:
        return Placement(hook, why="this kernel takes no LSM programs, and nothing near this hook is known")
    return replace(_near(function, row, probe), function=hook)


def _near(function: str, row: Row, probe: Probe) -> Placement:
    if not row.spots:
        return Placement(function, why=row.why)
    wants = any(argtypes.TYPES[one.type].form == "bytes" for one in probe.args if one.type in argtypes.TYPES)
    placed = [Placed(_hook(spot, limit=4096 if wants else 0), spot) for spot in row.spots]
    every = list(dict.fromkeys(_said(spot) for spot in row.spots))
    names = ", ".join(every[:_MOST_NAMES]) + (
        f" and {len(every) - _MOST_NAMES} more" if len(every) > _MOST_NAMES else ""
    )
    lost = "; ".join(filter(None, [row.lost, _absent(probe, row)]))
    return Placement(function, tuple(placed), names, row.differs, lost)


def _said(spot: Spot) -> str:
    match spot.sort:
        case "syscall":
            return f"sys_{'enter' if spot.enter else 'exit'}_{spot.name}"
        case "kernel":
            return {"sock_state": "sock:inet_sock_set_state", "sock_send": "sock:sock_send_length", "skb_drop": "skb:kfree_skb",
                    "module": "module:module_load", "module_wanted": "module:module_request", "signal": "signal:signal_generate",
                    "oom": "oom:mark_victim"}.get(spot.name, spot.name)  # fmt: skip
        case "process":
            return {
                "exec": "sched:sched_process_exec",
                "forked": "sched:sched_process_fork",
                "exited": "sched:sched_process_exit",
            }[spot.name]
    return f"{spot.sort}:{spot.name.replace('/', ':')}"


def _absent(probe: Probe, row: Row) -> str:
    """Return which of the wanted arguments no spot of a row has."""
    missing = []
    for one in probe.args:
        kind = argtypes.named(one.type)
        if kind is None or kind.form in {"nothing", "unreadable"} or one.resolve or one.source:
            continue
        if not any(
            seeing.subject(spot.sources.get(one.index), kind, _hook(spot, limit=1)) for spot in row.spots
        ):
            missing.append(f"{one.index} ({one.type})")
    return f"argument{'s' if len(missing) > 1 else ''} {', '.join(missing)}" if missing else ""


def _hook(spot: Spot, limit: int = 0) -> Hook:
    """Return the plan's hook of a spot of the tables."""
    if spot.sort == "syscall":
        buffers = any(source.how == "buffer" for source in spot.sources.values())
        return syscalls.hook_of(spot.name, enter=spot.enter, limit=limit if buffers else 0)
    if spot.sort == "tracepoint":
        sources = [*spot.sources.values(), *([spot.returned] if spot.returned else [])]
        read = {source.at for source in sources if source.how == "arg"}
        args = tuple(Arg.INT if at in read else Arg.NONE for at in range(max(read, default=-1) + 1))
        return Hook(sort="tracepoint", name=spot.name, args=args)
    return Hook(sort=spot.sort, name=spot.name)


def _syscall(function: str, name: str, probe: Probe, shift: int = 0) -> Placement:
    """Return how a system call is seen: at its return where a text or the result is wanted, else at its entry.

    `shift` is where its arguments begin in the probe's indexes (a tracepoint's fields have five before them).
    """
    sources: dict[int, Source] = {}
    changed: dict[int, Arg] = {}
    about, limit, late = (
        -1,
        0,
        bool(probe.returns or probe.return_arg) or any(one.returns for one in probe.selectors),
    )
    call = syscalls.call_of(name)
    lost = []
    for one in probe.args:
        index = one.index - shift
        kind = argtypes.named(one.type)
        if (
            kind is None
            or not 0 <= index < 6
            or kind.form in {"nothing", "unreadable"}
            or one.resolve
            or one.source
        ):
            continue
        if one.type == "auto":
            kind = argtypes.TYPES[_guessed(name, index)]
        source, how = seeing.syscall_source(name, index, kind)
        if kind.form in {"text", "device", "bytes", "list", "file", "sockaddr", "socket"}:
            late = True
        if how is Arg.FD:
            if call.about >= 0 or about >= 0:
                lost.append(
                    f"argument {one.index} ({one.type}): the file of one descriptor of a call is told, and another comes first"
                )
                continue
            about = index
        elif how is not None:
            changed[index] = how
        if kind.form == "bytes":
            limit = 4096
        sources[one.index] = source
    enter = name in NEVER_RETURN or not late
    hook = syscalls.hook_of(name, enter=enter, limit=limit)
    if changed or about >= 0:
        args = list(hook.args) + [Arg.INT] * (6 - len(hook.args))
        for index, how in changed.items():
            args[index] = how
        sizes = dict(hook.sizes)
        for one in probe.args:
            if changed.get(one.index - shift) is Arg.BUFFER and one.size_from:
                sizes[one.index - shift] = one.size_from - 1
        if about >= 0:
            args[about] = Arg.FD
        hook = replace(
            hook, args=tuple(args), about=about if about >= 0 else hook.about, sizes=tuple(sizes.items())
        )
    differs = "" if enter else "told at the call's return, where its texts can be read safely"
    if name in {"execve", "execveat"}:
        lost.append("texts that are not in memory yet at the entry")
    spot = Spot("syscall", name, sources, (), None if enter else Source("ret"), enter, about=about)
    if not enter and (probe.returns or probe.return_arg):
        differs = ""
    return Placement(function, (Placed(hook, spot),), _said(spot), differs, "; ".join(lost))


def _guessed(name: str, index: int) -> str:
    """Return the type that the table of calls suggests for an argument of which the policy says nothing."""
    call = syscalls.call_of(name)
    how = call.args[index] if index < len(call.args) else Arg.INT
    return {Arg.PATH: "string", Arg.STRING: "string", Arg.FD: "int", Arg.SOCKADDR: "sockaddr"}.get(
        how, "int64"
    )


def _direct(function: str, sort: str, probe: Probe) -> Placement:
    """Return the function itself as a hook. Not exercised where the project is built: its kernel takes none of these."""
    args = [Arg.NONE] * 6
    sources: dict[int, Source] = {}
    about, lost, sizes = -1, [], []
    for one in sorted(probe.args, key=lambda each: each.index):
        kind = argtypes.named(one.type)
        if one.index >= 6:
            lost.append(f"argument {one.index}: only the first six are read")
            continue
        if kind is None or kind.form in {"nothing", "unreadable"} or one.resolve or one.source:
            continue
        how = _KERNEL_ARGS.get(one.type, Arg.INT)
        args[one.index] = how
        if how in _PLACES and about < 0 and kind.form in {"file", "socket"}:
            about = one.index
            sources[one.index] = Source("place" if kind.form == "file" else "sock", one.index)
        elif kind.form in {"file", "text", "device"}:
            sources[one.index] = Source("text", one.index, f"arg{one.index}")
        elif kind.form == "bytes":
            sources[one.index] = Source("buffer", one.index, f"arg{one.index}")
            sizes.append((one.index, one.size_from - 1 if one.size_from else one.index + 1))
        elif kind.form in {"sockaddr", "socket"}:
            sources[one.index] = Source("sock", one.index)
        elif kind.form in {"credentials", "userns"}:
            sources[one.index] = Source("cred")
        elif kind.form == "module":
            sources[one.index] = Source("text", one.index, f"arg{one.index}")
        else:
            sources[one.index] = Source("arg", one.index)
    late = probe.returns or any(one.returns for one in probe.selectors)
    named = {"kprobe": "kprobe", "fentry": "fentry", "lsm": "lsm"}[sort]
    hook = Hook(
        sort="kprobe" if named == "kprobe" else "fentry" if named == "fentry" else "lsm",
        name=function, enter=not late and sort != "lsm", args=tuple(args), ret=Arg.INT if late else Arg.NONE, about=about,
        sizes=tuple(sizes), limit=4096 if sizes else 0,
    )  # fmt: skip
    spot = Spot(hook.sort, function, sources, (), Source("ret"), hook.enter)
    return Placement(function, (Placed(hook, spot),), f"{named}:{function}", "", "; ".join(lost))


def tracepoint(name: str, abilities: frozenset[str], probe: Probe) -> Placement:
    """Return how a tracepoint is seen. Indexes count the fields of its format file, of which the first four are common ones."""
    subsystem, _, event = name.partition("/")
    if probe.raw:
        if event == "sched_process_exec":
            spot = Spot("process", "exec", {2: Source("exe")})
            return Placement(name, (Placed(_hook(spot), spot),), _said(spot))
        return _generic(name, probe, 0, "rawtracepoint", abilities)
    found = re.fullmatch(r"sys_(enter|exit)_(\w+)", event) if subsystem == "syscalls" else None
    if found:
        call = operators.bare_syscall(f"sys_{found[2]}")
        if call is None:
            return Placement(name, why=f"there is no system call {found[2]}")
        if found[1] == "exit":
            spot = Spot("syscall", call, {4: Source("call"), 5: Source("ret")}, (), Source("ret"))
            return Placement(name, (Placed(_hook(spot), spot),), _said(spot))
        return _syscall(name, call, probe, shift=5)
    return _generic(name, probe, 4, "tracepoint", abilities)


def _generic(name: str, probe: Probe, first: int, sort: str, abilities: frozenset[str]) -> Placement:
    if abilities and sort not in abilities:
        return Placement(
            name, why=f"this kernel takes no {'raw ' if sort == 'rawtracepoint' else ''}tracepoints"
        )
    args = [Arg.NONE] * 6
    sources: dict[int, Source] = {}
    lost = []
    for one in probe.args:
        kind, at = argtypes.named(one.type), one.index - first
        if kind is None or kind.form in {"nothing", "unreadable"} or one.resolve or one.source:
            continue
        if not 0 <= at < 6:
            lost.append(f"argument {one.index}: only the first six fields are read")
            continue
        text = kind.form in {"text", "device", "bytes"}
        if not text and kind.form not in {"number", "syscall", "capability"}:
            lost.append(
                f"argument {one.index} ({one.type}): kernel objects behind a tracepoint's pointers are not read"
            )
            continue
        args[at] = Arg.STRING if text else Arg.INT
        sources[one.index] = Source("text" if text else "arg", at, f"arg{at}")
    event = name.partition("/")[2]
    hook = Hook(
        sort="rawtracepoint" if sort == "rawtracepoint" else "tracepoint",
        name=event if sort == "rawtracepoint" else name,
        args=tuple(args),
    )
    spot = Spot(hook.sort, hook.name, sources)
    return Placement(name, (Placed(hook, spot),), f"{sort}:{name.replace('/', ':')}", "", "; ".join(lost))


def user(probe: Probe, symbol: str, offset: int | None, abilities: frozenset[str]) -> Placement:
    """Return how a uprobe or a USDT is seen."""
    sort = "usdt" if probe.section == "usdts" else "uprobe"
    name = symbol or f"{offset:#x}"
    if abilities and "uprobe" not in abilities:
        return Placement(name, why="this kernel takes no uprobes")
    if probe.in_container:
        return Placement(
            name, why="paths within containers are not resolved for uprobes: give the path that the host sees"
        )
    args = [Arg.NONE] * 6
    sources: dict[int, Source] = {}
    sizes, lost = [], []
    for one in probe.args:
        kind, at = argtypes.named(one.type), one.index
        if kind is None or kind.form in {"nothing", "unreadable"} or one.resolve or one.source:
            continue
        if at >= 6 or kind.form not in {"number", "text", "bytes"}:
            lost.append(f"argument {at} ({one.type})")
            continue
        args[at] = Arg.STRING if kind.form == "text" else Arg.BUFFER if kind.form == "bytes" else Arg.INT
        if kind.form == "bytes":
            sizes.append((at, one.size_from - 1 if one.size_from else at + 1))
        sources[at] = Source({"text": "text", "bytes": "buffer"}.get(kind.form, "arg"), at, f"arg{at}")
    late = probe.returns
    hook = Hook(
        sort="usdt" if sort == "usdt" else "uprobe", name=symbol, enter=not late, args=tuple(args), ret=Arg.INT if late else Arg.NONE,
        sizes=tuple(sizes), limit=4096 if sizes else 0, path=probe.binary,
        detail=f"{probe.provider}:{symbol}" if sort == "usdt" else "" if offset is None else str(offset),
    )  # fmt: skip
    spot = Spot(hook.sort, symbol, sources, (), Source("ret") if late else None, not late)
    return Placement(name, (Placed(hook, spot),), f"{sort}:{probe.binary}:{name}", "", "; ".join(lost))


def all_of(probe: Probe, abilities: frozenset[str]) -> list[Placement]:
    """Return the placement of each function of a probe, those of generated lists included."""
    found: list[Placement] = []
    for call in probe.calls:
        if call.startswith("generated_"):
            sort, _, wanted = call.partition(":")
            found += _generated(sort, wanted, abilities, probe)
            continue
        match probe.section:
            case "kprobes" | "fentries":
                found.append(place(call, abilities, probe))
            case "lsmhooks":
                found.append(lsm(call, abilities, probe))
            case "tracepoints":
                found.append(tracepoint(call, abilities, probe))
            case _:
                found.append(user(probe, call, None, abilities))
    found += [user(probe, "", offset, abilities) for offset in probe.offsets]
    return found


def _generated(sort: str, wanted: str, abilities: frozenset[str], probe: Probe) -> Iterable[Placement]:
    """Return what a generated list comes to: every system call, or every function that is known and fits the pattern."""
    if sort == "generated_syscalls" and not wanted and not probe.args and not probe.returns:
        spot = Spot("tracepoint", "raw_syscalls/sys_enter", {0: Source("call")})
        every = Hook(sort="tracepoint", name="raw_syscalls/sys_enter", args=(Arg.INT,))
        return [
            Placement(
                "",
                (Placed(every, spot),),
                "tracepoint:raw_syscalls:sys_enter",
                "one tracepoint serves all system calls",
            )
        ]
    if sort == "generated_syscalls":
        names = sorted(f"sys_{one}" for one in syscalls.NUMBERS["x86_64"])
    else:
        names = sorted(
            {
                *ROWS,
                *(f"ksys_{one}" for one in _KSYS),
                *(f"__x64_sys_{one}" for one in syscalls.NUMBERS["x86_64"]),
            }
        )
    fitting = [one for one in names if not wanted or re.search(wanted, one)]
    if not fitting:
        return [Placement(f"{sort}:{wanted}", why="no function that is known fits the pattern")]
    return [place(one, abilities, probe) for one in fitting]


_KSYS: Final = (
    "chdir", "chroot", "dup3", "fadvise64_64", "fallocate", "fchown", "getpgid", "ioperm", "lseek", "mmap_pgoff", "msgctl", "msgget", "msgrcv", "msgsnd", "pread64", "pwrite64", "read", "readahead", "semctl", "semget", "semtimedop", "setsid", "shmctl", "shmdt", "shmget", "sync", "sync_file_range", "sync_helper", "unshare", "write",
)  # fmt: skip
"""The functions of the kernel that are called ksys_ and a system call's name (Linux 6.x)."""


def placements(policy: Policy, abilities: frozenset[str]) -> list[Told]:
    """Return a row for each function that a policy hooks. Long generated lists become one row."""
    rows: list[Told] = []
    for probe in policy.probes:
        found = all_of(probe, abilities)
        if probe.calls and probe.calls[0].startswith("generated_") and len(found) > 3:
            seen = [one for one in found if one.used]
            used = f"{len(seen)} functions" if seen else ""
            unseen = [one.function for one in found if not one.used]
            rows.append(
                Told(probe.path, probe.listed, used, "", f"{len(unseen)} functions" if unseen else "")
            )
            continue
        rows += [Told(probe.path, one.function, one.used, one.differs, one.lost or one.why) for one in found]
    return rows


def wanted(one: Argument, placed: Placed) -> seeing.Subject | None:
    """Return how an argument of a probe is had at a place, None where it is not."""
    kind = argtypes.named(one.type)
    if kind is None:
        return None
    if one.resolve or one.source:
        source = placed.spot.sources.get(one.index)
        start = argtypes.TYPES["linux_binprm" if source is not None and source.how == "exe" else "file"]
        base = None if one.source else seeing.subject(source, start, placed.hook)
        return resolving.subject(one, kind, base)
    if one.type == "auto" and placed.spot.sort == "syscall":
        kind = argtypes.TYPES[_guessed(placed.spot.name, one.index)]
    return seeing.subject(placed.spot.sources.get(one.index), kind, placed.hook)
