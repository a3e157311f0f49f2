"""Where each hook of a plan is attached on this kernel, what serves in the place of what, and what is lost by it. Decides; attaches nothing.

`choices` gives the ways for one hook, the best first; the loader takes the first that the kernel accepts. The programs' names are those of
bpf/programs.h. kprobe, fentry, fmod_ret and LSM are written for kernels that have them, and were not exercised where those are refused.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fairlead.drivers.kernel.probing import lacks_call
from fairlead.sense.plans import Arg, Hook
from fairlead.sense.records import Kind
from fairlead.sense.syscalls import call_of, number_of

How = Literal[
    "section", "trace", "lsm", "tracepoint", "raw", "kprobe", "kretprobe", "uprobe", "uretprobe", "usdt"
]


@dataclass(frozen=True, slots=True)
class Way:
    """One attachment: which program of which object file, and to what.

    `where` is what `how` needs: (category, name) of a tracepoint, a kernel function, or binary, symbol and offset. With `cookie` the program
    learns its hook's slot from its attachment; without, one attachment serves every hook that needs it. `target` is the function that a
    copy of the program is loaded for.
    """

    file: Literal["sensor", "probes"]
    program: str
    how: How
    where: tuple[str, ...] = ()
    cookie: bool = False
    target: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to serve a hook: what is attached, how that is called, what it lacks, and whether a clause can make the call fail."""

    ways: tuple[Way, ...]
    how: str
    lost: str = ""
    denies: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """Which real hook serves a hook of the plan. `how` is "" when none does; `lost` then says why, else what is lost.

    Records of the hook carry `slot` (0 for exec; -1 when there are none).
    """

    hook: Hook
    how: str
    lost: str = ""
    slot: int = -1


EVERY: Final = frozenset({"leave_any", "enter_any", "lacking"})
"""The programs that see every system call."""
_LACKING: Final = "this kernel has no such call: attempts are seen, all of which fail, and every system call is looked at for them"


class Unplaceable(Exception):
    """No hook of any kernel serves; the text says why."""


TRACEPOINT_NAMES: Final = {
    "fstat": "newfstat", "lstat": "newlstat", "stat": "newstat", "sendfile": "sendfile64", "umount2": "umount", "uname": "newuname",
}  # fmt: skip
"""System calls whose tracepoints go by the name of the kernel's function."""
KERNEL: Final[Mapping[str, tuple[Kind, tuple[tuple[str, ...], ...], str]]] = {
    "signal": (Kind.SIGNAL, (("signal",),), "tp_btf signal_generate"),
    "oom": (Kind.OOM, (("oom",), ("oom_pid",)), "mark_victim"),
    "module": (Kind.MODULE, (("module",),), "tp_btf module_load"),
    "module_wanted": (Kind.MODULE_WANTED, (("module_wanted",),), "tp_btf module_request"),
    "sock_state": (Kind.SOCK_STATE, (("sock_state",),), "tp_btf inet_sock_set_state"),
    "sock_send": (Kind.SOCK_SEND, (("sock_send",),), "tp_btf sock_send_length"),
    "skb_drop": (Kind.SKB_DROP, (("skb_drop",),), "tp_btf kfree_skb"),
    "cgroup": (Kind.CGROUP, (("cgroup_made", "cgroup_gone"),), "tp_btf cgroup_mkdir, cgroup_rmdir"),
}
"""The kernel's own events: their kind, the programs that may serve (all of a group, the first group that loads), and what those hang on."""
GENERIC: Final[Mapping[str, Kind]] = {
    "kprobe": Kind.KPROBE, "fentry": Kind.KPROBE, "lsm": Kind.LSM, "tracepoint": Kind.TRACEPOINT,
    "rawtracepoint": Kind.TRACEPOINT, "uprobe": Kind.UPROBE, "usdt": Kind.UPROBE,
}  # fmt: skip
"""The sorts of hooks that are known by their slots alone, and their records' kind."""
PROCESS: Final = ("exec", "fork", "exit")
_LSM_FUNCTIONS: Final = {
    "bprm_check_security": "security_bprm_check", "userns_create": "security_create_user_ns",
}  # fmt: skip

# What the flight recorder keeps: enum fl_failing.
_FAILS, _FAILS_PATH, _FAILS_ADDRESS = 1, 16, 32
RECORDED: Final = (
    "open", "openat", "openat2", "execve", "execveat", "connect", "bind", "listen", "socket", "sendto", "mkdir", "mkdirat", "unlink",
    "unlinkat", "rename", "renameat2", "chmod", "fchmodat", "chown", "fchownat", "mknodat", "mount", "chdir", "setuid", "setgid",
    "setgroups", "setresuid", "unshare", "ptrace", "clone", "clone3",
)  # fmt: skip
"""The calls whose failures the flight recorder keeps: those that make programs give up, and none that programs make all the time.

To detach from each takes the kernel some hundredths of a second, so the list is not longer than it must be.
"""


def machine() -> str:
    """Return the machine as the table of system calls names it."""
    return "aarch64" if platform.machine() in {"aarch64", "arm64"} else platform.machine()


def kind_of(hook: Hook) -> int:
    """Return the kind of a hook's records: a system call's number, or a records.Kind.

    Raises:
        Unplaceable: this machine has no such call, or nobody knows such an event.

    """
    if hook.sort == "syscall":
        number = number_of(hook.name, machine())
        if number is None:
            raise Unplaceable(f"{machine()} has no system call {hook.name}")
        return number
    if hook.sort == "kernel":
        if hook.name not in KERNEL:
            raise Unplaceable(f"there is no kernel event {hook.name}: {', '.join(KERNEL)}")
        return KERNEL[hook.name][0]
    if hook.sort == "process":
        if hook.name not in PROCESS:
            raise Unplaceable(f"there is no event {hook.name} of processes: {', '.join(PROCESS)}")
        return {"exec": Kind.EXEC, "fork": Kind.FORK, "exit": Kind.EXIT}[hook.name]
    return GENERIC[hook.sort]


def recorded() -> dict[int, int]:
    """Return what the flight recorder keeps of each call on this machine: its number, and the value of the map `failing`."""
    found = {}
    for name in RECORDED:
        number = number_of(name, machine())
        if number is None:
            continue
        args = call_of(name).args
        if Arg.PATH in args:
            found[number] = _FAILS_PATH | args.index(Arg.PATH)
        elif Arg.SOCKADDR in args:
            found[number] = _FAILS_ADDRESS | args.index(Arg.SOCKADDR)
        else:
            found[number] = _FAILS
    return found


def choices(
    hook: Hook,
    abilities: frozenset[str],
    has: Callable[[str, str], bool],
    lacks: Callable[[str], bool] = lacks_call,
) -> Sequence[Choice]:
    """Return the ways to serve a hook on a kernel with these abilities, the best first.

    `has` tells whether a tracepoint is there, and `lacks` whether the kernel was built without a system call.

    Raises:
        Unplaceable: there is none.

    """
    kind_of(hook)
    event = f"sys_exit_{TRACEPOINT_NAMES.get(hook.name, hook.name)}"
    returns = hook.sort == "syscall" and not hook.enter
    if returns and "tp_btf" in abilities and not has("syscalls", event) and lacks(hook.name):
        return [Choice((Way("sensor", "lacking", "section"),), "tp_btf sys_enter", _LACKING)]
    found = _SORTS[hook.sort](hook, abilities, has)
    if not found:
        raise Unplaceable(f"this kernel has nothing that serves {hook.sort} {hook.name}")
    return found


def always(abilities: frozenset[str]) -> tuple[Way, ...]:
    """Return what is always on: exec, fork and exit."""
    suffix = "" if "tp_btf" in abilities else "_raw"
    return tuple(Way("sensor", name + suffix, "section") for name in PROCESS)


def recorder(has: Callable[[str, str], bool]) -> tuple[Way, ...]:
    """Return what the flight recorder needs besides exits: failures of calls, of connections, and out-of-memory kills."""
    named = {number_of(name, machine()): name for name in RECORDED}
    events = [f"sys_exit_{TRACEPOINT_NAMES.get(name, name)}" for at, name in named.items() if at is not None]
    calls = [
        Way("sensor", "flight", "tracepoint", ("syscalls", one)) for one in events if has("syscalls", one)
    ]
    return (*calls, Way("sensor", "sock_state", "section"), Way("sensor", "oom", "section"))


def _process(hook: Hook, abilities: frozenset[str], _: Callable[[str, str], bool]) -> list[Choice]:
    where = f"{'tp_btf' if 'tp_btf' in abilities else 'raw tracepoint'} sched_process_{hook.name}"
    lost = (
        "" if hook.name == "exec" or not hook.clauses else "clauses are not tried in the kernel: all are sent"
    )
    return [Choice((), where, lost)]


def _syscall(hook: Hook, abilities: frozenset[str], has: Callable[[str, str], bool]) -> list[Choice]:
    side, program = ("enter", "enter") if hook.enter else ("exit", "leave")
    event = f"sys_{side}_{TRACEPOINT_NAMES.get(hook.name, hook.name)}"
    found = []
    if has("syscalls", event):
        found.append(
            Choice(
                (Way("sensor", program, "tracepoint", ("syscalls", event)),), f"tracepoint syscalls/{event}"
            )
        )
    if "tp_btf" in abilities:
        found.append(
            Choice(
                (Way("sensor", f"{program}_any", "section"),),
                f"tp_btf sys_{side}",
                "dearer: every system call is looked at, since this one has no tracepoint of its own",
            )
        )
    return found


def _kernel(hook: Hook, abilities: frozenset[str], _: Callable[[str, str], bool]) -> list[Choice]:
    groups, where = KERNEL[hook.name][1:]
    lost = {"oom_pid": "the victim's cgroup is taken for the one where memory was asked for"}
    return [
        Choice(tuple(Way("sensor", one, "section") for one in group), where, lost.get(group[0], ""))
        for group in groups
        if "tp_btf" in abilities or group == ("oom_pid",)
    ]


def _kprobe(hook: Hook, abilities: frozenset[str], _: Callable[[str, str], bool]) -> list[Choice]:
    function = hook.name
    denies = any(clause.deny for clause in hook.clauses)
    found = []
    if denies and "override_return" in abilities:
        way = Way("probes", "kdeny", "kprobe", (function,), cookie=True)
        found.append(Choice((way,), f"kprobe {function}, overriding", denies=True))
    if denies and "fmod_ret" in abilities:
        way = Way("probes", "fmodify", "trace", (function,), cookie=True, target=function)
        found.append(Choice((way,), f"fmod_ret {function}", denies=True))
    program: Literal["kprobe", "kretprobe"] = "kprobe" if hook.enter else "kretprobe"
    traced = "fentry" if hook.enter else "fexit"
    plain = []
    if "kprobe" in abilities:
        way = Way("probes", program, program, (function,), cookie=True)
        plain.append(Choice((way,), f"{program} {function}"))
    if traced in abilities:
        way = Way("probes", traced, "trace", (function,), cookie=True, target=function)
        plain.insert(0 if hook.sort == "fentry" else len(plain), Choice((way,), f"{traced} {function}"))
    return found + plain


def _lsm(hook: Hook, abilities: frozenset[str], has: Callable[[str, str], bool]) -> list[Choice]:
    found = []
    if "lsm" in abilities:
        way = Way("probes", "guard", "lsm", (hook.name,), cookie=True, target=hook.name)
        found.append(Choice((way,), f"LSM {hook.name}", denies=True))
    function = _LSM_FUNCTIONS.get(hook.name, f"security_{hook.name}")
    instead = Hook(sort="kprobe", name=function, enter=True, args=hook.args, clauses=hook.clauses)
    return found + _kprobe(instead, abilities, has)


def _tracepoint(hook: Hook, abilities: frozenset[str], has: Callable[[str, str], bool]) -> list[Choice]:
    category, _, name = hook.name.partition("/")
    if "tracepoint" not in abilities:
        return []
    if not has(category, name):
        raise Unplaceable(f"this kernel has no tracepoint {hook.name}")
    way = Way("sensor", "tracepoint", "tracepoint", (category, name), cookie=True)
    return [Choice((way,), f"tracepoint {hook.name}")]


def _rawtracepoint(hook: Hook, abilities: frozenset[str], _: Callable[[str, str], bool]) -> list[Choice]:
    if "rawtracepoint" not in abilities:
        return []
    return [Choice((Way("sensor", "raw", "raw", (hook.name,), cookie=True),), f"raw tracepoint {hook.name}")]


def _uprobe(hook: Hook, abilities: frozenset[str], _: Callable[[str, str], bool]) -> list[Choice]:
    if "uprobe" not in abilities:
        return []
    program: Literal["uprobe", "uretprobe"] = "uprobe" if hook.enter else "uretprobe"
    way = Way("sensor", program, program, (hook.path, hook.name, hook.detail or "0"), cookie=True)
    return [Choice((way,), f"{program} {hook.path}:{hook.name or hex(int(hook.detail, 0))}")]


def _usdt(hook: Hook, abilities: frozenset[str], _: Callable[[str, str], bool]) -> list[Choice]:
    provider, colon, name = hook.detail.partition(":")
    if not colon:
        raise Unplaceable("a USDT needs `provider:name`")
    if "usdt" not in abilities:
        return []
    way = Way("sensor", "usdt", "usdt", (hook.path, provider, name), cookie=True)
    return [Choice((way,), f"usdt {hook.path}:{hook.detail}")]


_SORTS: Final[Mapping[str, Callable[[Hook, frozenset[str], Callable[[str, str], bool]], list[Choice]]]] = {
    "process": _process,
    "syscall": _syscall,
    "kernel": _kernel,
    "kprobe": _kprobe,
    "fentry": _kprobe,
    "lsm": _lsm,
    "tracepoint": _tracepoint,
    "rawtracepoint": _rawtracepoint,
    "uprobe": _uprobe,
    "usdt": _usdt,
}
