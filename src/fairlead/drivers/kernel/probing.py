"""What this kernel allows, found out by trying: tiny programs are loaded, attached and let go, calls are made with nothing at stake.

A name in `Abilities.names` was seen to work a moment ago, by this process with its rights; everything else is a row with the reason why not.
Mounts tracefs, securityfs and the bpf filesystem when they are absent and this may; changes nothing else, and leaves no program behind.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ctypes import byref, c_char_p, c_long, c_uint, c_uint64, c_ulong, c_void_p, sizeof
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from fairlead.drivers.kernel import cgroups
from fairlead.drivers.kernel.libbpf import Refused, check, complaints, library, version
from fairlead.drivers.kernel.prototypes import LinkOptions, LoadOptions

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_RETURN_0: Final = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit
_RETURN_1: Final = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0)

# enum bpf_prog_type
_KPROBE, _TRACEPOINT, _PERF_EVENT, _RAW_TRACEPOINT, _TRACING, _LSM = 2, 5, 7, 17, 26, 29
# enum bpf_attach_type
_TRACE_RAW_TP, _FENTRY, _FEXIT, _MODIFY_RETURN, _LSM_MAC, _AT_PERF_EVENT = 23, 24, 25, 26, 27, 41
_RINGBUF, _TASK_STORAGE = 27, 29
_SEND_SIGNAL, _OVERRIDE_RETURN = 109, 58

CGROUP_HOOKS: Final = {
    "cgroup_connect4": (18, 10), "cgroup_connect6": (18, 11), "cgroup_bind4": (18, 8), "cgroup_bind6": (18, 9),
    "cgroup_sendmsg4": (18, 14), "cgroup_sendmsg6": (18, 15), "cgroup_sock_create": (9, 2), "cgroup_sysctl": (23, 18),
    "cgroup_device": (15, 6), "cgroup_skb": (8, 1), "cgroup_sockops": (13, 3),
}  # fmt: skip
"""Each cgroup hook's program type and attach type."""


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing that a kernel may offer: whether it does here, why not, and what it is for.

    `instead` is what serves where it is missing, and what is lost by that; "" where nothing serves.
    """

    name: str
    available: bool
    why_not: str
    what: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What this machine offers. `facts` are what no yes or no tells: versions, the lockdown mode, how cgroups are laid out."""

    rows: tuple[Ability, ...]
    facts: dict[str, str]

    @property
    def names(self) -> frozenset[str]:
        """The names of what is available."""
        return frozenset(row.name for row in self.rows if row.available)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def why_not(self, name: str) -> str:
        """Why something is not available; "" when it is."""
        return next((row.why_not for row in self.rows if row.name == name), f"nobody asked about {name}")


def architecture() -> str:
    """Return the folder of the objects for this machine: x86_64 or arm64."""
    return {"aarch64": "arm64"}.get(platform.machine(), platform.machine())


# ---- filesystems --------------------------------------------------------------------------------------------------------

_PLACES: Final = {
    "tracefs": ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"),
    "securityfs": ("/sys/kernel/security",),
    "bpf": ("/sys/fs/bpf",),
}


def mounted(kind: str, *, mount: bool = True) -> str:
    """Return where a filesystem (tracefs, securityfs, bpf) is, after mounting it at its usual place when it is not; "" when neither works."""
    for line in Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines():
        _, point, found, *_ = line.split(" ")
        if found == kind and point in _PLACES[kind]:
            return point
    target = _PLACES[kind][0]
    if not mount or not Path(target).is_dir():
        return ""
    said = _LIBC.mount(kind.encode(), target.encode(), kind.encode(), c_ulong(0x2 | 0x4 | 0x8), None)
    return target if said == 0 else ""


def has_tracepoint(category: str, name: str) -> bool:
    """Whether this kernel has a tracepoint."""
    place = mounted("tracefs")
    return bool(place) and Path(place, "events", category, name, "id").exists()


@cache
def _lacking_calls() -> frozenset[str]:
    """Return the system calls that the kernel was built without: of those it has a weak symbol alone (kernel/sys_ni.c)."""
    prefix = f"__{'x64' if architecture() == 'x86_64' else architecture()}_sys_"
    with suppress(OSError), Path("/proc/kallsyms").open() as file:
        words = (line.split() for line in file if prefix in line)
        return frozenset(
            one[2].removeprefix(prefix) for one in words if one[1] == "W" and one[2].startswith(prefix)
        )
    return frozenset()


def lacks_call(name: str) -> bool:
    """Whether this kernel was built without a system call; False also where nobody tells."""
    return name in _lacking_calls()


# ---- tiny programs ------------------------------------------------------------------------------------------------------


def _load(kind: int, expected: int = 0, target: int = 0, code: bytes = _RETURN_0, flags: int = 0) -> int:
    """Load a program that does nothing; return its descriptor."""
    options = LoadOptions(
        sz=sizeof(LoadOptions), expected_attach_type=expected, attach_btf_id=target, prog_flags=flags
    )
    log = ctypes.create_string_buffer(4096)
    options.log_buf, options.log_size, options.log_level = ctypes.addressof(log), len(log), 1
    fd: int = library().bpf_prog_load(kind, b"fl_probe", b"GPL", code, len(code) // 8, byref(options))
    if fd < 0:
        lines = log.value.decode(errors="replace").splitlines()
        said = [one.strip() for one in lines if one.strip() and not one.startswith("processed ")]
        raise Refused(os.strerror(-fd) + (f": {said[-1]}" if said else ""))
    return fd


def _btf_target(name: str, attach: int) -> int:
    found: int = library().libbpf_find_vmlinux_btf_id(name.encode(), attach)
    if found <= 0:
        raise Refused(f"the kernel has no {name}")
    return found


def _traced(attach: int, *names: str, kind: int = _TRACING) -> None:
    """Load and attach a program that needs BTF: tp_btf, fentry, fexit, fmod_ret, LSM."""
    with ExitStack() as stack:
        why: Refused | None = None
        for name in names:
            try:
                fd = _load(kind, attach, _btf_target(name, attach))
            except Refused as error:
                why = error
                continue
            stack.callback(os.close, fd)
            link = library().bpf_raw_tracepoint_open(None, fd)
            if link >= 0:
                os.close(link)
                return
            why = Refused(f"loads, but does not attach: {os.strerror(-link)}")
        raise why or Refused("nothing to try")


def _raw_tracepoint() -> None:
    fd = _load(_RAW_TRACEPOINT)
    try:
        os.close(check(library().bpf_raw_tracepoint_open(b"sched_process_exit", fd), "attaching"))
    finally:
        os.close(fd)


class _PerfAttributes(ctypes.Structure):
    """The beginning of struct perf_event_attr."""

    _fields_ = (
        ("type", c_uint), ("size", c_uint), ("config", c_uint64), ("period", c_uint64), ("sample_type", c_uint64),
        ("read_format", c_uint64), ("flags", c_uint64), ("wakeup", c_uint), ("bp_type", c_uint),
        ("config1", c_uint64), ("config2", c_uint64), ("more", c_uint64 * 8),
    )  # fmt: skip


_NUMBERS: Final = {
    "x86_64": {"perf_event_open": 298, "fanotify_init": 300, "fanotify_mark": 301, "seccomp": 317},
    "arm64": {"perf_event_open": 241, "fanotify_init": 262, "fanotify_mark": 263, "seccomp": 277},
}
_LANDLOCK_CREATE_RULESET: Final = 444


def _syscall(name: str, *arguments: object) -> int:
    table = _NUMBERS.get(architecture())
    if table is None:
        raise Refused(f"fairlead does not know this machine's system calls: {platform.machine()}")
    return _raw(table[name], *arguments)


def _raw(number: int, *arguments: object) -> int:
    _LIBC.syscall.restype = c_long
    wide = [c_long(one) if isinstance(one, int) else one for one in arguments]
    found: int = _LIBC.syscall(c_long(number), *wide)
    if found < 0:
        code = ctypes.get_errno()
        raise Refused(os.strerror(code))
    return found


def _on_perf_event(kind: int, attributes: _PerfAttributes, pid: int, cpu: int, cookie: int = 0) -> None:
    """Open a perf event and attach a tiny program to it by a link."""
    attributes.size = sizeof(_PerfAttributes)
    with ExitStack() as stack:
        fd = _load(kind)
        stack.callback(os.close, fd)
        event = _syscall("perf_event_open", byref(attributes), pid, cpu, -1, 8)
        stack.callback(os.close, event)
        options = LinkOptions(sz=sizeof(LinkOptions), cookie=cookie)
        link = library().bpf_link_create(fd, event, _AT_PERF_EVENT, byref(options))
        if link < 0:
            raise Refused(f"loads, but does not attach: {os.strerror(-link)}")
        os.close(link)


def _tracepoint(name: str) -> None:
    place = mounted("tracefs")
    if not place:
        raise Refused("tracefs is not mounted, and cannot be")
    number = Path(place, "events", name, "id")
    if not number.exists():
        raise Refused(f"the kernel has no tracepoint {name}")
    _on_perf_event(_TRACEPOINT, _PerfAttributes(type=2, config=int(number.read_text())), -1, 0)


def _syscalls() -> None:
    try:
        _tracepoint("syscalls/sys_exit_getpid")
    except Refused:
        _traced(_TRACE_RAW_TP, "sys_exit")


def _source(name: str) -> int:
    """Return the type number of a source of perf events."""
    place = Path("/sys/bus/event_source/devices", name, "type")
    if not place.exists():
        raise Refused(f"the kernel was built without {name}s")
    return int(place.read_text())


def _kprobe() -> None:
    target = ctypes.create_string_buffer(b"do_exit")
    attributes = _PerfAttributes(type=_source("kprobe"), config1=ctypes.addressof(target))
    _on_perf_event(_KPROBE, attributes, -1, 0)


def _entry_offset(path: str) -> int:
    """Return the file offset of an ELF executable's first instruction."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        entry, table = struct.unpack_from("<QQ", data, 24)
        size, count = struct.unpack_from("<HH", data, 54)
        for at in range(table, table + size * count, size):
            kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, at)
            if kind == 1 and address <= entry < address + length:
                return int(entry - address + offset)
    raise Refused(f"{path} has no entry point")


def _uprobe(cookie: int = 0) -> None:
    program = ctypes.create_string_buffer(b"/proc/self/exe")
    attributes = _PerfAttributes(
        type=_source("uprobe"), config1=ctypes.addressof(program), config2=_entry_offset("/proc/self/exe")
    )
    _on_perf_event(_KPROBE, attributes, os.getpid(), -1, cookie)


def _perf_event() -> None:
    # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, a sample a second, disabled
    _on_perf_event(_PERF_EVENT, _PerfAttributes(type=1, config=0, period=10**9, flags=1), -1, 0)


def _lsm() -> None:
    place = mounted("securityfs")
    active = (
        Path(place, "lsm").read_text().strip().split(",") if place and Path(place, "lsm").exists() else None
    )
    if active is not None and "bpf" not in active:
        raise Refused(
            f"bpf is not among the active security modules ({','.join(active)}): boot with lsm=...,bpf"
        )
    if library().libbpf_find_vmlinux_btf_id(b"file_open", _LSM_MAC) <= 0:
        raise Refused("the kernel was built without CONFIG_BPF_LSM")
    _traced(_LSM_MAC, "file_open", kind=_LSM)


def _cgroup(kind: int, attach: int) -> None:
    top = cgroups.unified()
    if not top:
        raise Refused("cgroup2 is not mounted")
    with ExitStack() as stack:
        fd = _load(kind, attach, code=_RETURN_1)
        stack.callback(os.close, fd)
        directory = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, directory)
        link = library().bpf_link_create(fd, directory, attach, None)
        if link < 0:
            raise Refused(f"loads, but does not attach: {os.strerror(-link)}")
        os.close(link)


def _map_type(kind: int) -> None:
    said = library().libbpf_probe_bpf_map_type(kind, None)
    if said != 1:
        raise Refused("the kernel does not know maps of this type" if said == 0 else os.strerror(-said))


def _calls(helper: int, kind: int) -> None:
    """Whether programs of a kind may call a helper."""
    said = library().libbpf_probe_bpf_helper(kind, helper, None)
    if said != 1:
        raise Refused("the kernel does not let programs call it" if said == 0 else os.strerror(-said))


def _override() -> None:
    _kprobe()
    _calls(_OVERRIDE_RETURN, _KPROBE)


# ---- without programs ---------------------------------------------------------------------------------------------------


def _btf() -> None:
    if not Path("/sys/kernel/btf/vmlinux").exists():
        raise Refused("the kernel was built without BTF (CONFIG_DEBUG_INFO_BTF)")


def _fanotify() -> None:
    # FAN_CLASS_CONTENT | FAN_CLOEXEC, then FAN_MARK_ADD of FAN_OPEN_EXEC_PERM on a file of our own that nobody executes
    fd = _syscall("fanotify_init", 0x4 | 0x1, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with tempfile.NamedTemporaryFile() as file:
            _syscall("fanotify_mark", fd, 0x1, 0x40000, -100, c_char_p(os.fsencode(file.name)))
    finally:
        os.close(fd)


def landlock_abi() -> int:
    """Return the version of Landlock's interface, 0 where there is none."""
    with suppress(Refused):
        return _raw(_LANDLOCK_CREATE_RULESET, c_void_p(None), 0, 1)
    return 0


def _landlock() -> None:
    if not landlock_abi():
        raise Refused("the kernel has no Landlock, or it is off (boot with lsm=landlock,...)")


def _seccomp_notify() -> None:
    action = c_uint(0x7FC00000)  # SECCOMP_RET_USER_NOTIF
    _syscall("seccomp", 2, 0, byref(action))


def lockdown() -> str:
    """Return the kernel's lockdown mode: none, integrity, confidentiality, or "" where it has none to tell."""
    place = mounted("securityfs")
    text = ""
    with suppress(OSError):
        text = Path(place, "lockdown").read_text() if place else ""
    return text.partition("[")[2].partition("]")[0]


_CAPABILITIES: Final = {
    "sys_admin": 21,
    "sys_ptrace": 19,
    "sys_resource": 24,
    "net_admin": 12,
    "perfmon": 38,
    "bpf": 39,
}


def capabilities() -> frozenset[str]:
    """Return which of the capabilities that watching needs this process has."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return frozenset(name for name, bit in _CAPABILITIES.items() if held >> bit & 1)
    return frozenset()


# ---- all of it ----------------------------------------------------------------------------------------------------------

_TRIALS: Final[tuple[tuple[str, str, Callable[[], None]], ...]] = (
    ("btf", "programs fit themselves to this kernel", _btf),
    ("ring_buffer", "records reach the reader", lambda: _map_type(_RINGBUF)),
    ("tp_btf", "exec, fork, exit and the kernel's own events, with direct loads", lambda: _traced(_TRACE_RAW_TP, "sched_process_exec")),
    ("rawtracepoint", "the same, with slower reads", _raw_tracepoint),
    ("tracepoint", "tracepoints by name", lambda: _tracepoint("sched/sched_process_exit")),
    ("syscalls", "system calls, one at a time where the kernel has tracepoints of them", _syscalls),
    ("kprobe", "entries and returns of kernel functions", _kprobe),
    ("fentry", "entries of kernel functions, cheaper", lambda: _traced(_FENTRY, "vfs_open", "do_exit")),
    ("fexit", "returns of kernel functions, cheaper", lambda: _traced(_FEXIT, "vfs_open")),
    ("fmod_ret", "changing what a kernel function returns", lambda: _traced(_MODIFY_RETURN, "security_file_open", "bpf_modify_return_test")),
    ("override_return", "making a system call fail (kprobe)", _override),
    ("lsm", "refusing what a security hook is asked", _lsm),
    ("uprobe", "functions of programs and libraries", _uprobe),
    ("usdt", "static probes of programs", lambda: _uprobe(1)),
    ("perf_event", "sampling", _perf_event),
    ("send_signal", "killing before the next instruction", lambda: _calls(_SEND_SIGNAL, _RAW_TRACEPOINT)),
    ("task_storage", "memory of programs that goes with its thread", lambda: _map_type(_TASK_STORAGE)),
    *(
        (name, f"refusing or changing at {name.removeprefix('cgroup_')}", lambda types=types: _cgroup(*types))
        for name, types in CGROUP_HOOKS.items()
    ),
    ("fanotify_perm", "refusing to open or execute a file", _fanotify),
    ("landlock", "confining the workloads that fairlead starts", _landlock),
    ("seccomp_notify", "deciding about a call while it waits", _seccomp_notify),
)  # fmt: skip


_SEEN: Final = "tracepoints and returns of system calls; functions that none of them tells of are not seen"
_INSTEAD: Final = {
    "tp_btf": "raw tracepoints, with slower reads; the kernel's own events are lost",
    "rawtracepoint": "tp_btf; raw tracepoints by name are lost",
    "kprobe": _SEEN,
    "fentry": "kprobe, where there is; else " + _SEEN,
    "fexit": "kretprobe, where there is; else " + _SEEN,
    "fmod_ret": "cgroup hooks refuse connections, fanotify opening and executing; other calls are answered by a signal",
    "override_return": "cgroup hooks refuse connections, fanotify opening and executing; other calls are answered by a signal",
    "lsm": "cgroup hooks refuse connections, fanotify opening and executing; the rest is answered by a signal, after the call",
    "fanotify_perm": "a signal when the file has been opened, or before the new program's first instruction",
    "landlock": "fanotify, for all processes of the machine and not for one workload",
    "seccomp_notify": "a signal at the entry of the call",
    "pinning": "what acts ends with the sensor",
    "usdt": "uprobes by the offset of the probe, without its arguments",
    **dict.fromkeys(CGROUP_HOOKS, "a signal at the entry of the call"),
}
"""What serves where something is missing."""


def _try(trial: Callable[[], None]) -> str:
    """Return why a trial failed, "" when it did not."""
    try:
        trial()
    except Refused as error:
        return error.message
    except OSError as error:
        return error.strerror or str(error)
    finally:
        complaints()
    return ""


def probe() -> Abilities:
    """Try everything; it takes some tenths of a second. Without rights everything is unavailable, with that as the reason."""
    rows = []
    try:
        carried = version()
        trials = _TRIALS
    except Refused as error:
        carried = ""
        trials = ()
        rows.append(Ability("libbpf", False, error.message, "loading programs"))
    for name, what, trial in trials:
        why = _try(trial)
        rows.append(Ability(name, not why, why, what, _INSTEAD.get(name, "")))
    rows.append(_bpffs())
    hierarchy = cgroups.hierarchy()
    unified = cgroups.unified()
    held = capabilities()
    facts = {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "libbpf": carried,
        "lockdown": lockdown() or "none",
        "landlock_abi": str(landlock_abi()),
        "cgroups": "hybrid" if hierarchy.controller and unified else hierarchy.mode,
        "cgroup_hierarchy": f"{hierarchy.mount} ({hierarchy.mode})",
        "tracefs": mounted("tracefs", mount=False),
        "securityfs": mounted("securityfs", mount=False),
        "bpffs": mounted("bpf", mount=False),
        "capabilities": " ".join(sorted(held)),
        "capabilities_missing": " ".join(sorted(_CAPABILITIES.keys() - held)),
    }
    return Abilities(tuple(rows), facts)


def ready() -> str:
    """Return why no sensor can run here, "" when one can. Quick: tries one program, and changes nothing."""
    objects = Path(__file__).parent / "objects" / architecture() / "sensor.bpf.o"
    try:
        library()
        os.close(_load(_RAW_TRACEPOINT))
        _btf()
    except Refused as error:
        return error.message
    finally:
        complaints()
    return "" if objects.exists() else f"this package holds no programs for {architecture()}"


def _bpffs() -> Ability:
    place = mounted("bpf")
    return Ability(
        "pinning",
        bool(place),
        "" if place else "no bpf filesystem",
        "programs that outlive the sensor",
        _INSTEAD["pinning"],
    )
