"""What the kernel is asked to do for a set of rules: hooks, and at each the clauses that let an event through.

A clause is an over-approximation of what its rule wants: it may pass too much (the residue decides), it must never pass too little.
A hook with a clause without tests passes everything. Plans of several dialects are joined by `merge`, which keeps each clause's owner,
so that the clause bits of a record say which rules to ask. The numbers behind What and Op are those of bpf/records.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Literal, TypeAlias

Sort: TypeAlias = Literal[
    "process", "syscall", "kprobe", "fentry", "lsm", "tracepoint", "rawtracepoint", "uprobe", "usdt", "kernel"
]
"""`process`: exec, fork, exit. `syscall`: by its name, as in the tables. `kernel`: one of the fixed kernel events
(signal, oom, module, module_wanted, sock_state, sock_send, skb_drop, cgroup). The others are generic, by name."""


class Arg(IntEnum):
    """How an argument is understood (enum fl_arg)."""

    NONE = 0
    INT = 1
    FD = 2
    STRING = 3
    PATH = 4
    SOCKADDR = 5
    BUFFER = 6
    IOVEC = 7
    MSGHDR = 8
    DIRFD = 9
    FDPATH = 10  # a descriptor whose file's path is a text
    K_FILE = 32
    K_PATH = 33
    K_DENTRY = 34
    K_SOCK = 35
    K_SKB = 36
    K_CRED = 37
    K_BPRM = 38
    K_STRING = 39
    K_USERNS = 40
    K_INODE = 41
    K_SOCKADDR = 42
    K_KIOCB = 43
    K_LOADINFO = 44
    K_MODULE = 45
    K_SOCKET = 46
    K_IOVITER = 47


class What(IntEnum):
    """What a test looks at (enum fl_what). ARG, TEXT and NS take an index on top."""

    ARG = 0
    RET = 8
    UID = 9
    GID = 10
    TGID = 11
    TID = 12
    VPID = 13
    CGROUP = 14
    CONTAINED = 15
    COMM = 16
    EXE = 17
    PEXE = 18
    TEXT = 19
    NS = 24
    CAP_EFF = 40
    CAP_PERM = 41
    CAP_INH = 42
    FAMILY = 43
    SOCKTYPE = 44
    PROTO = 45
    STATE = 46
    LPORT = 47
    RPORT = 48
    LADDR = 49
    RADDR = 50
    FILEMODE = 51
    OFLAGS = 52


class Op(IntEnum):
    """How a test compares (enum fl_op)."""

    EQ = 0
    NE = 1
    LT = 2
    LE = 3
    GT = 4
    GE = 5
    ANYBITS = 6
    ALLBITS = 7
    NOBITS = 8
    INSET = 9
    NOTINSET = 10
    TEXT_IN = 11
    TEXT_NOTIN = 12
    PREFIX = 13
    NOTPREFIX = 14
    SUFFIX = 15
    NOTSUFFIX = 16
    NET = 17
    NOTNET = 18
    RELATIVE = 19
    LTU = 20
    LEU = 21
    GTU = 22
    GEU = 23
    CONTAINS = 24


MOST_TESTS = 8
MOST_CLAUSES = 64


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison. `values` holds one number, or the members of a set: numbers, texts (bytes) or networks ("10.0.0.0/8").

    With EXE and PEXE the values are paths of executables (bytes); `op` is TEXT_IN, TEXT_NOTIN, PREFIX, NOTPREFIX, SUFFIX or NOTSUFFIX.
    """

    __test__: ClassVar[bool] = False  # no test of pytest's

    what: What
    op: Op
    values: tuple[int | bytes | str, ...] = ()
    index: int = 0
    mask: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """Tests that must all pass, what happens then, and whose they are (`owner`: a rule's key)."""

    tests: tuple[Test, ...] = ()
    owner: str = ""
    signal: int = 0
    deny: int = 0
    silent: bool = False
    rate_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A place in the kernel to look from.

    `name` is the system call, kernel function, tracepoint (`subsystem/event`) or symbol; `path` the binary of an uprobe; `detail` what
    the sort needs besides (`provider:name` of USDT, an offset). `args` and `ret` say how to read arguments; empty for system calls, whose
    table knows. `sizes` are pairs (buffer's index, index of the argument with its length, or -1 for the return value).
    """

    sort: Sort
    name: str
    enter: bool = False
    args: tuple[Arg, ...] = ()
    ret: Arg = Arg.NONE
    sizes: tuple[tuple[int, int], ...] = ()
    about: int = -1
    limit: int = 0
    path: str = ""
    detail: str = ""
    clauses: tuple[Clause, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """What two hooks must share to be one."""
        return (self.sort, self.name, self.enter, self.path, self.detail, self.args, self.ret, self.about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prevention:
    """Connections and sockets that cgroup hooks refuse: where, by which tests, and for whom."""

    at: Literal["connect", "bind", "sendmsg", "socket"]
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Files that fanotify keeps from being opened or executed. `paths` are globs-free prefixes or whole paths; `tests` is who is refused."""

    at: Literal["open", "exec"]
    paths: tuple[str, ...]
    prefix: bool = False
    owner: str = ""
    binaries: tuple[str, ...] = ()
    not_binaries: tuple[str, ...] = ()
    cgroups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything the kernel is asked for. exec, fork and exit are always there and need no hook unless clauses act on them."""

    hooks: tuple[Hook, ...] = ()
    preventions: tuple[Prevention, ...] = ()
    guards: tuple[Guard, ...] = ()
    recorder: bool = True


def merge(plans: tuple[Plan, ...]) -> Plan:
    """Return one plan that asks for all of them. A hook that would have too many clauses passes everything instead.

    Clauses that act (signal, deny, silence or rate) are never given up: what is widened is what merely posts.
    """
    hooks: dict[tuple[object, ...], Hook] = {}
    for plan in plans:
        for hook in plan.hooks:
            before = hooks.get(hook.key)
            joined = (before.clauses if before else ()) + (hook.clauses or (Clause(),))
            hooks[hook.key] = Hook(
                sort=hook.sort, name=hook.name, enter=hook.enter, args=hook.args, ret=hook.ret, about=hook.about,
                sizes=hook.sizes or (before.sizes if before else ()), limit=max(hook.limit, before.limit if before else 0),
                path=hook.path, detail=hook.detail, clauses=_narrowed(joined),
            )  # fmt: skip
    return Plan(
        hooks=tuple(hooks.values()),
        preventions=tuple(one for plan in plans for one in plan.preventions),
        guards=tuple(one for plan in plans for one in plan.guards),
        recorder=any(plan.recorder for plan in plans) or not plans,
    )


def _narrowed(clauses: tuple[Clause, ...]) -> tuple[Clause, ...]:
    """Return at most MOST_CLAUSES of them, those that only post made one where there are too many."""
    distinct = tuple(dict.fromkeys(clauses))
    if len(distinct) <= MOST_CLAUSES:
        return distinct
    acting = tuple(one for one in distinct if one.signal or one.deny or one.silent or one.rate_ms)
    return (*acting[: MOST_CLAUSES - 1], Clause())
