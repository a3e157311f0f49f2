"""What a process takes from itself before it runs what it does not trust: files and TCP ports by Landlock, system calls by seccomp.

For workers that the embedded node starts: WASI guests, and the guests of policies. Containers get their seccomp profile from
containerd (drivers/containers), by the pod's own field. What is taken is refused from then on, in every thread and child, and cannot
be taken back ("prevented", with EACCES or EPERM). Sources: Documentation/userspace-api/landlock.rst and seccomp_filter.rst of the kernel.
Must never confine the process that starts the workers: call it in the worker only. Where the kernel has neither, the functions say so
and the caller goes on with what else it does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from fairlead.sense import callnumbers

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every machine
_PATH_BENEATH, _NET_PORT = 1, 2
_VERSION: Final = 1
_NO_NEW_PRIVS: Final = 38
_SECCOMP, _MODE_FILTER = 22, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_CHANGES: Final = 0x1FF0  # remove and make of every sort
_BIND, _CONNECT = 1, 2
_NO_ABSTRACT_UNIX, _NO_SIGNALS = 1, 2
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_TCP_ABI, _SCOPE_ABI = 4, 6


class Rights(NamedTuple):
    """What the kernel's Landlock knows: all rights over files, over TCP, and scopes (signals, abstract sockets)."""

    files: int
    tcp: int
    scopes: int


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    found = int(libc.syscall(ctypes.c_long(number), *arguments))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def landlock_abi() -> int:
    """Return the version of Landlock that the kernel speaks; 0: none."""
    if sys.platform != "linux":
        return 0
    try:
        return _call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def rights(abi: int) -> Rights:
    """Return what a version of Landlock can take."""
    files = (1 << 13) - 1
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL)):
        files |= right if abi >= since else 0
    return Rights(
        files if abi else 0,
        _BIND | _CONNECT if abi >= _TCP_ABI else 0,
        _NO_ABSTRACT_UNIX | _NO_SIGNALS if abi >= _SCOPE_ABI else 0,
    )


def lacking() -> list[str]:
    """Return what this kernel cannot take from a process, in words: what the other functions leave undone."""
    abi = landlock_abi()
    known = rights(abi)
    out = []
    if not abi:
        out.append("files and TCP ports: the kernel has no Landlock")
    elif not known.tcp:
        out.append(f"TCP ports: Landlock has them from version {_TCP_ABI}, this kernel speaks {abi}")
    if abi and not known.scopes:
        out.append(
            f"signals to others: Landlock has them from version {_SCOPE_ABI}, this kernel speaks {abi}"
        )
    if sys.platform != "linux":
        out.append("system calls: only Linux has seccomp")
    elif os.uname().machine not in _MACHINES:
        out.append(f"system calls: no filter can be made for {os.uname().machine}")
    elif not _has_seccomp():
        out.append("system calls: the kernel has no seccomp filters")
    return out


def confine_files(
    *,
    reads: Iterable[str] = (),
    writes: Iterable[str] = (),
    executes: Iterable[str] = (),
    binds: Iterable[int] | None = (),
    connects: Iterable[int] | None = (),
) -> None:
    """Take every file that is not below these paths, and every TCP port that is not among these (None: leave them all).

    What is below `writes` may be read too. Also takes signals to processes outside and abstract sockets of theirs. A path that is not
    there allows nothing. Open descriptors stay as they are, but what is opened below an open directory is asked about. What this kernel
    cannot take it leaves (see `lacking`). Raises OSError when the kernel refuses what it says that it can.
    """
    abi = landlock_abi()
    if not abi:
        return
    known = rights(abi)
    tcp = (_BIND if binds is not None else 0) | (_CONNECT if connects is not None else 0)
    attribute = struct.pack("=QQQ", known.files, tcp & known.tcp, known.scopes)
    size = 24 if known.scopes else 16 if known.tcp else 8
    ruleset = _call(_CREATE, attribute, ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        read = _READ_FILE | _READ_DIR
        write = read | _WRITE_FILE | _CHANGES | _REFER | _TRUNCATE
        for paths, wanted in ((reads, read), (writes, write), (executes, read | _EXECUTE)):
            for path in paths:
                _allow_path(ruleset, path, wanted & known.files)
        for ports, right in ((binds, _BIND), (connects, _CONNECT)):
            for port in (ports or ()) if known.tcp & right else ():
                rule = struct.pack("=QQ", right, port)
                _call(_ADD, ruleset, _NET_PORT, rule, ctypes.c_uint32(0))
        no_new_privileges()
        _call(_RESTRICT, ruleset, ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow_path(ruleset: int, path: str, wanted: int) -> None:
    with suppress(FileNotFoundError):
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(parent).st_mode):
                wanted &= _OF_FILES
            rule = struct.pack("=Qi", wanted, parent)
            _call(_ADD, ruleset, _PATH_BENEATH, rule, ctypes.c_uint32(0))
        finally:
            os.close(parent)


def no_new_privileges() -> None:
    """Never gain rights by executing something: what Landlock and seccomp ask of who has none."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)


# --- seccomp

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of classic BPF, on words
_NR, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_ALLOWED, _ERROR, _KILLED = 0x7FFF0000, 0x00050000, 0x80000000
_MACHINES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32: Final = 0x40000000
_CLONE_THREAD: Final = 0x00010000
_SET_FILTER, _ALL_THREADS = 1, 1

FOREIGN: Final = (
    *("execve", "execveat", "fork", "vfork"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp"),
    *("kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_getfd", "pidfd_send_signal"),
    *("socket", "connect", "bind", "listen", "accept", "accept4"),
    *("mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("mount_setattr", "unshare", "setns", "open_by_handle_at", "name_to_handle_at", "mknod", "mknodat"),
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups", "capset"),
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "fanotify_init"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff"),
    *("add_key", "request_key", "keyctl", "syslog", "acct", "quotactl", "quotactl_fd", "personality", "modify_ldt"),
    *("iopl", "ioperm", "vhangup", "sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime"),
    *("adjtimex", "memfd_secret", "landlock_create_ruleset", "lookup_dcookie", "uselib", "nfsservctl", "ustat"),
)  # fmt: skip
"""Calls that code which only computes has no use for: other processes, sockets, mounts, namespaces, identities, the kernel itself."""


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def assemble(denied: Mapping[str, int], machine: str, *, threads: bool = True) -> bytes:
    """Return a filter that fails the named calls with their error numbers and allows the rest, in the kernel's classic BPF.

    Calls that the machine lacks are left out. `clone` may make threads, when `threads`, but no processes; `clone3`, whose flags a filter
    cannot see, is said not to exist, so that libraries use clone. Another machine's calls (32 bits, x32) end the process.
    Raises ValueError for a machine that is not known.
    """
    if machine not in _MACHINES:
        raise ValueError(f"no filter can be made for {machine}")
    steps = [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, _MACHINES[machine], 1, 0),
        _step(_RETURN, _KILLED),
        _step(_LOAD, _NR),
    ]
    if machine == "x86_64":
        steps += [_step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _KILLED)]
    numbers = _numbers(machine)
    for name, error in {**denied, "clone3": errno.ENOSYS}.items():
        if name in numbers:
            steps += [_step(_EQUAL, numbers[name], 0, 1), _step(_RETURN, _ERROR | error)]
    clone = numbers["clone"]
    refused = _step(_RETURN, _ERROR | errno.EPERM)
    if threads:
        steps += [
            _step(_EQUAL, clone, 0, 3),
            _step(_LOAD, _ARGUMENTS),  # the low half: flags
            _step(_ANY_BIT, _CLONE_THREAD, 1, 0),
            refused,
        ]
    else:
        steps += [_step(_EQUAL, clone, 0, 1), refused]
    steps.append(_step(_RETURN, _ALLOWED))
    return b"".join(steps)


def confine_calls(denied: Iterable[str] = FOREIGN, *, threads: bool = True) -> None:
    """Fail these system calls with EPERM from now on, in every thread; nothing where there is no seccomp (see `lacking`).

    Raises OSError when the kernel refuses.
    """
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in _MACHINES or not _has_seccomp():
        return
    program = assemble(dict.fromkeys(denied, errno.EPERM), machine, threads=threads)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    no_new_privileges()
    _call(_numbers(machine)["seccomp"], _SET_FILTER, ctypes.c_uint32(_ALL_THREADS), header)


def _has_seccomp() -> bool:
    """Ask by offering a filter that is nowhere: no file may have to be read for it, as those may be taken by now."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_SECCOMP, _MODE_FILTER, None, 0, 0) != 0 and ctypes.get_errno() == errno.EFAULT)


def _numbers(machine: str) -> dict[str, int]:
    text = callnumbers.X86_64 if machine == "x86_64" else callnumbers.AARCH64
    return {words[0]: int(words[1]) for words in map(str.split, text.replace("\n", " ").split(",")) if words}
