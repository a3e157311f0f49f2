"""Numbers in words, as Tracee writes them: `O_WRONLY|O_CREAT`, `PTRACE_TRACEME`, `AF_INET`.

What has no word is written as a number. Tables of the Linux interface (uapi headers), and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

_OPEN = {
    0o100: "O_CREAT", 0o200: "O_EXCL", 0o400: "O_NOCTTY", 0o1000: "O_TRUNC", 0o2000: "O_APPEND", 0o4000: "O_NONBLOCK", 0o10000: "O_DSYNC",
    0o20000: "O_ASYNC", 0o40000: "O_DIRECT", 0o100000: "O_LARGEFILE", 0o200000: "O_DIRECTORY", 0o400000: "O_NOFOLLOW",
    0o1000000: "O_NOATIME", 0o2000000: "O_CLOEXEC", 0o4000000: "O_SYNC", 0o10000000: "O_PATH", 0o20000000: "O_TMPFILE",
}  # fmt: skip
_PROT = {
    1: "PROT_READ",
    2: "PROT_WRITE",
    4: "PROT_EXEC",
    8: "PROT_SEM",
    1 << 24: "PROT_GROWSDOWN",
    1 << 25: "PROT_GROWSUP",
}
_MAP = {
    0x10: "MAP_FIXED", 0x20: "MAP_ANONYMOUS", 0x40: "MAP_32BIT", 0x100: "MAP_GROWSDOWN", 0x800: "MAP_DENYWRITE", 0x1000: "MAP_EXECUTABLE",
    0x2000: "MAP_LOCKED", 0x4000: "MAP_NORESERVE", 0x8000: "MAP_POPULATE", 0x10000: "MAP_NONBLOCK", 0x20000: "MAP_STACK",
    0x40000: "MAP_HUGETLB", 0x80000: "MAP_SYNC", 0x100000: "MAP_FIXED_NOREPLACE", 0x4000000: "MAP_UNINITIALIZED",
}  # fmt: skip
_CLONE = {
    0x80: "CLONE_NEWTIME", 0x100: "CLONE_VM", 0x200: "CLONE_FS", 0x400: "CLONE_FILES", 0x800: "CLONE_SIGHAND", 0x1000: "CLONE_PIDFD",
    0x2000: "CLONE_PTRACE", 0x4000: "CLONE_VFORK", 0x8000: "CLONE_PARENT", 0x10000: "CLONE_THREAD", 0x20000: "CLONE_NEWNS",
    0x40000: "CLONE_SYSVSEM", 0x80000: "CLONE_SETTLS", 0x100000: "CLONE_PARENT_SETTID", 0x200000: "CLONE_CHILD_CLEARTID",
    0x400000: "CLONE_DETACHED", 0x800000: "CLONE_UNTRACED", 0x1000000: "CLONE_CHILD_SETTID", 0x2000000: "CLONE_NEWCGROUP",
    0x4000000: "CLONE_NEWUTS", 0x8000000: "CLONE_NEWIPC", 0x10000000: "CLONE_NEWUSER", 0x20000000: "CLONE_NEWPID",
    0x40000000: "CLONE_NEWNET", 0x80000000: "CLONE_IO",
}  # fmt: skip
_FAMILIES = {
    0: "AF_UNSPEC", 1: "AF_UNIX", 2: "AF_INET", 3: "AF_AX25", 4: "AF_IPX", 5: "AF_APPLETALK", 9: "AF_X25", 10: "AF_INET6", 15: "AF_KEY",
    16: "AF_NETLINK", 17: "AF_PACKET", 18: "AF_ASH", 21: "AF_RDS", 26: "AF_LLC", 29: "AF_CAN", 30: "AF_TIPC", 31: "AF_BLUETOOTH",
    33: "AF_RXRPC", 38: "AF_ALG", 40: "AF_VSOCK", 41: "AF_KCM", 42: "AF_QIPCRTR", 43: "AF_SMC", 44: "AF_XDP",
}  # fmt: skip
_KINDS = {
    1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET", 6: "SOCK_DCCP", 10: "SOCK_PACKET",
}  # fmt: skip
_PROTOCOLS = {
    0: "IPPROTO_IP", 1: "IPPROTO_ICMP", 2: "IPPROTO_IGMP", 4: "IPPROTO_IPIP", 6: "IPPROTO_TCP", 8: "IPPROTO_EGP", 12: "IPPROTO_PUP",
    17: "IPPROTO_UDP", 22: "IPPROTO_IDP", 33: "IPPROTO_DCCP", 41: "IPPROTO_IPV6", 47: "IPPROTO_GRE", 50: "IPPROTO_ESP",
    51: "IPPROTO_AH", 58: "IPPROTO_ICMPV6", 103: "IPPROTO_PIM", 132: "IPPROTO_SCTP", 136: "IPPROTO_UDPLITE", 255: "IPPROTO_RAW",
}  # fmt: skip
_PTRACE = {
    0: "PTRACE_TRACEME", 1: "PTRACE_PEEKTEXT", 2: "PTRACE_PEEKDATA", 3: "PTRACE_PEEKUSR", 4: "PTRACE_POKETEXT", 5: "PTRACE_POKEDATA",
    6: "PTRACE_POKEUSR", 7: "PTRACE_CONT", 8: "PTRACE_KILL", 9: "PTRACE_SINGLESTEP", 12: "PTRACE_GETREGS", 13: "PTRACE_SETREGS",
    14: "PTRACE_GETFPREGS", 15: "PTRACE_SETFPREGS", 16: "PTRACE_ATTACH", 17: "PTRACE_DETACH", 18: "PTRACE_GETFPXREGS",
    19: "PTRACE_SETFPXREGS", 21: "PTRACE_OLDSETOPTIONS", 24: "PTRACE_SYSCALL", 25: "PTRACE_GET_THREAD_AREA",
    26: "PTRACE_SET_THREAD_AREA", 30: "PTRACE_ARCH_PRCTL", 31: "PTRACE_SYSEMU", 32: "PTRACE_SYSEMU_SINGLESTEP", 33: "PTRACE_SINGLEBLOCK",
    0x4200: "PTRACE_SETOPTIONS", 0x4201: "PTRACE_GETEVENTMSG", 0x4202: "PTRACE_GETSIGINFO", 0x4203: "PTRACE_SETSIGINFO",
    0x4204: "PTRACE_GETREGSET", 0x4205: "PTRACE_SETREGSET", 0x4206: "PTRACE_SEIZE", 0x4207: "PTRACE_INTERRUPT", 0x4208: "PTRACE_LISTEN",
    0x4209: "PTRACE_PEEKSIGINFO", 0x420A: "PTRACE_GETSIGMASK", 0x420B: "PTRACE_SETSIGMASK", 0x420C: "PTRACE_SECCOMP_GET_FILTER",
    0x420D: "PTRACE_SECCOMP_GET_METADATA", 0x420E: "PTRACE_GET_SYSCALL_INFO", 0x420F: "PTRACE_GET_RSEQ_CONFIGURATION",
}  # fmt: skip
_PRCTL = {
    1: "PR_SET_PDEATHSIG", 2: "PR_GET_PDEATHSIG", 3: "PR_GET_DUMPABLE", 4: "PR_SET_DUMPABLE", 5: "PR_GET_UNALIGN", 6: "PR_SET_UNALIGN",
    7: "PR_GET_KEEPCAPS", 8: "PR_SET_KEEPCAPS", 9: "PR_GET_FPEMU", 10: "PR_SET_FPEMU", 11: "PR_GET_FPEXC", 12: "PR_SET_FPEXC",
    13: "PR_GET_TIMING", 14: "PR_SET_TIMING", 15: "PR_SET_NAME", 16: "PR_GET_NAME", 19: "PR_GET_ENDIAN", 20: "PR_SET_ENDIAN",
    21: "PR_GET_SECCOMP", 22: "PR_SET_SECCOMP", 23: "PR_CAPBSET_READ", 24: "PR_CAPBSET_DROP", 25: "PR_GET_TSC", 26: "PR_SET_TSC",
    27: "PR_GET_SECUREBITS", 28: "PR_SET_SECUREBITS", 29: "PR_SET_TIMERSLACK", 30: "PR_GET_TIMERSLACK",
    31: "PR_TASK_PERF_EVENTS_DISABLE", 32: "PR_TASK_PERF_EVENTS_ENABLE", 33: "PR_MCE_KILL", 34: "PR_MCE_KILL_GET", 35: "PR_SET_MM",
    36: "PR_SET_CHILD_SUBREAPER", 37: "PR_GET_CHILD_SUBREAPER", 38: "PR_SET_NO_NEW_PRIVS", 39: "PR_GET_NO_NEW_PRIVS",
    40: "PR_GET_TID_ADDRESS", 41: "PR_SET_THP_DISABLE", 42: "PR_GET_THP_DISABLE", 43: "PR_MPX_ENABLE_MANAGEMENT",
    44: "PR_MPX_DISABLE_MANAGEMENT", 45: "PR_SET_FP_MODE", 46: "PR_GET_FP_MODE", 47: "PR_CAP_AMBIENT", 50: "PR_SVE_SET_VL",
    51: "PR_SVE_GET_VL", 52: "PR_GET_SPECULATION_CTRL", 53: "PR_SET_SPECULATION_CTRL", 54: "PR_PAC_RESET_KEYS",
    55: "PR_SET_TAGGED_ADDR_CTRL", 56: "PR_GET_TAGGED_ADDR_CTRL",
}  # fmt: skip
_BPF = [
    "BPF_MAP_CREATE",
    "BPF_MAP_LOOKUP_ELEM",
    "BPF_MAP_UPDATE_ELEM",
    "BPF_MAP_DELETE_ELEM",
    "BPF_MAP_GET_NEXT_KEY",
    "BPF_PROG_LOAD",
    "BPF_OBJ_PIN",
    "BPF_OBJ_GET",
    "BPF_PROG_ATTACH",
    "BPF_PROG_DETACH",
    "BPF_PROG_TEST_RUN",
    "BPF_PROG_GET_NEXT_ID",
    "BPF_MAP_GET_NEXT_ID",
    "BPF_PROG_GET_FD_BY_ID",
    "BPF_MAP_GET_FD_BY_ID",
    "BPF_OBJ_GET_INFO_BY_FD",
    "BPF_PROG_QUERY",
    "BPF_RAW_TRACEPOINT_OPEN",
    "BPF_BTF_LOAD",
    "BPF_BTF_GET_FD_BY_ID",
    "BPF_TASK_FD_QUERY",
    "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
    "BPF_MAP_FREEZE",
    "BPF_BTF_GET_NEXT_ID",
    "BPF_MAP_LOOKUP_BATCH",
    "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
    "BPF_MAP_UPDATE_BATCH",
    "BPF_MAP_DELETE_BATCH",
    "BPF_LINK_CREATE",
    "BPF_LINK_UPDATE",
    "BPF_LINK_GET_FD_BY_ID",
    "BPF_LINK_GET_NEXT_ID",
    "BPF_ENABLE_STATS",
    "BPF_ITER_CREATE",
    "BPF_LINK_DETACH",
]
_MOUNT = {
    1: "MS_RDONLY", 2: "MS_NOSUID", 4: "MS_NODEV", 8: "MS_NOEXEC", 16: "MS_SYNCHRONOUS", 32: "MS_REMOUNT", 64: "MS_MANDLOCK",
    128: "MS_DIRSYNC", 1024: "MS_NOATIME", 2048: "MS_NODIRATIME", 4096: "MS_BIND", 8192: "MS_MOVE", 16384: "MS_REC", 32768: "MS_SILENT",
    65536: "MS_POSIXACL", 1 << 17: "MS_UNBINDABLE", 1 << 18: "MS_PRIVATE", 1 << 19: "MS_SLAVE", 1 << 20: "MS_SHARED",
    1 << 21: "MS_RELATIME", 1 << 24: "MS_STRICTATIME", 1 << 25: "MS_LAZYTIME",
}  # fmt: skip
_AT = {
    0x100: "AT_SYMLINK_NOFOLLOW",
    0x200: "AT_REMOVEDIR",
    0x400: "AT_SYMLINK_FOLLOW",
    0x800: "AT_NO_AUTOMOUNT",
    0x1000: "AT_EMPTY_PATH",
}
_ACCESS = {1: "X_OK", 2: "W_OK", 4: "R_OK"}
_SIGNALS = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
]
ALERTS = {
    1: "Mmaped region with W+E permissions!",
    2: "Protection changed to Executable!",
    3: "Protection changed from E to W+E!",
    4: "Protection changed from W+E to E!",
}
"""What mem_prot_alert tells of."""


def _bits(value: int, names: Mapping[int, str]) -> list[str]:
    found = []
    for bit, name in names.items():
        if value & bit == bit:
            found.append(name)
            value &= ~bit
    return [*found, *([hex(value)] if value else [])]


def _joined(names: Mapping[int, str], empty: str = "0") -> Callable[[int], str]:
    return lambda value: "|".join(_bits(value & 0xFFFFFFFF, names)) or empty


def _one(names: Mapping[int, str]) -> Callable[[int], str]:
    return lambda value: names.get(value & 0xFFFFFFFF, str(value))


def open_flags(value: int) -> str:
    """Return flags of open: the way of access first."""
    value &= 0xFFFFFFFF
    way = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_RDWR|O_WRONLY")[value & 3]
    return "|".join([way, *_bits(value & ~3 & ~0x20, _OPEN)])


def mode(value: int) -> str:
    """Return a file's mode: the sort of file, and its permissions."""
    sorts = {
        0o140000: "S_IFSOCK", 0o120000: "S_IFLNK", 0o100000: "S_IFREG", 0o060000: "S_IFBLK", 0o040000: "S_IFDIR", 0o020000: "S_IFCHR",
        0o010000: "S_IFIFO",
    }  # fmt: skip
    parts = [sorts[value & 0o170000]] if value & 0o170000 in sorts else []
    for shift, who in ((6, "USR"), (3, "GRP"), (0, "OTH")):
        held = value >> shift & 7
        if held == 7:
            parts.append(f"S_IRWX{who[0]}")
        else:
            parts += [f"S_I{letter}{who}" for bit, letter in ((4, "R"), (2, "W"), (1, "X")) if held & bit]
    return "|".join(parts)


def socket_type(value: int) -> str:
    """Return a socket's type and the flags that came with it."""
    value &= 0xFFFFFFFF
    parts = [_KINDS.get(value & 0xF, str(value & 0xF))]
    return "|".join([*parts, *_bits(value & ~0xF, {0o4000: "SOCK_NONBLOCK", 0o2000000: "SOCK_CLOEXEC"})])


def map_flags(value: int) -> str:
    """Return flags of mmap."""
    value &= 0xFFFFFFFF
    way = {1: "MAP_SHARED", 2: "MAP_PRIVATE", 3: "MAP_SHARED_VALIDATE"}.get(value & 3)
    return "|".join([*([way] if way else []), *_bits(value & ~3, _MAP)]) or "0"


def clone_flags(value: int) -> str:
    """Return flags of clone, without the signal in its lowest byte."""
    return "|".join(_bits(value & 0xFFFFFFFF & ~0xFF | value & 0x80, _CLONE)) or "0"


prot = _joined(_PROT, "PROT_NONE")
mount_flags = _joined(_MOUNT)
access = _joined(_ACCESS, "F_OK")
at_flags = _joined(_AT)
family = _one(_FAMILIES)
protocol = _one(_PROTOCOLS)
ptrace = _one(_PTRACE)
prctl = _one(_PRCTL)
bpf = _one(dict(enumerate(_BPF)))
signal = _one(dict(enumerate(_SIGNALS, 1)))
alert = _one(ALERTS)

NAMED: frozenset[Callable[[int], str]] = frozenset({family, protocol, ptrace, prctl, bpf, signal, alert})
"""Those that write one word for one number, so that a word can be read back."""

WORDS: Mapping[tuple[str, str], Callable[[int], str]] = {
    ("open", "flags"): open_flags,
    ("openat", "flags"): open_flags,
    ("open_by_handle_at", "flags"): open_flags,
    ("mq_open", "oflag"): open_flags,
    ("dup3", "flags"): open_flags,
    ("pipe2", "flags"): open_flags,
    **{(call, "mode"): mode for call in ("open", "openat", "creat", "mkdir", "mkdirat", "mknod", "mknodat")},
    **{(call, "mode"): mode for call in ("chmod", "fchmod", "fchmodat", "fchmodat2")},
    **{(call, "mode"): access for call in ("access", "faccessat", "faccessat2")},
    **{(call, "prot"): prot for call in ("mmap", "mprotect", "pkey_mprotect")},
    ("mmap", "flags"): map_flags,
    ("clone", "flags"): clone_flags,
    ("unshare", "flags"): clone_flags,
    ("setns", "nstype"): clone_flags,
    **{(call, "domain"): family for call in ("socket", "socketpair")},
    **{(call, "type"): socket_type for call in ("socket", "socketpair")},
    ("socket", "protocol"): protocol,
    ("ptrace", "request"): ptrace,
    ("prctl", "option"): prctl,
    ("bpf", "cmd"): bpf,
    ("mount", "mountflags"): mount_flags,
    **{
        (call, "flags"): at_flags
        for call in ("unlinkat", "fchownat", "newfstatat", "statx", "execveat", "linkat")
    },
    **{
        (call, "sig"): signal
        for call in ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
    },
    ("rt_sigaction", "signum"): signal,
}
"""(system call, argument) -> how its number is written."""
