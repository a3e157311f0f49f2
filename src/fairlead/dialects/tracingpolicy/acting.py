"""What a selector's actions come to on this kernel: a signal or an error where a clause passes, a guard, a prevention, or a refusal with its reason.

Nothing acts unless the kernel itself can decide the whole selector, or a part of it that hits nobody else. Pure; findings are noted, nothing is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from fairlead.dialects.tracingpolicy import operators
from fairlead.dialects.tracingpolicy.filters import NEVER, Alternatives, Filter, Host, both, meant
from fairlead.dialects.tracingpolicy.noting import Notes
from fairlead.dialects.tracingpolicy.policies import Action, ArgumentFilter, Policy, Probe, Selector
from fairlead.sense.plans import MOST_TESTS, Clause, Guard, Hook, Op, Prevention, Test, What
from fairlead.words import Where

At = Literal["connect", "bind", "sendmsg", "socket"]

_CONNECTING: Final = (
    "connect", "security_socket_connect", "socket_connect", "__sys_connect", "inet_stream_connect", "__inet_stream_connect", "inet_dgram_connect",
    "tcp_connect", "tcp_v4_connect", "tcp_v6_connect",
)  # fmt: skip
_TCP: Final = frozenset({"tcp_connect", "tcp_v4_connect", "tcp_v6_connect"})
PREVENTED: Final[dict[str, At]] = {
    **dict.fromkeys(_CONNECTING, "connect"),
    **dict.fromkeys(
        ("bind", "security_socket_bind", "socket_bind", "inet_bind", "inet6_bind", "__inet_bind"), "bind"
    ),
    **dict.fromkeys(("sendto", "sendmsg", "sendmmsg", "udp_sendmsg", "udpv6_sendmsg"), "sendmsg"),
    **dict.fromkeys(
        ("socket", "security_socket_create", "socket_create", "__sock_create", "sock_create"), "socket"
    ),
}
"""Function, LSM hook or system call -> the cgroup hook that can refuse it."""
OPENED: Final = frozenset({
    "open", "openat", "openat2", "security_file_open", "file_open", "security_file_post_open", "file_post_open", "do_sys_open", "do_sys_openat2",
    "do_filp_open", "vfs_open", "do_dentry_open",
})  # fmt: skip
EXECUTED: Final = frozenset({
    "execve", "execveat", "security_bprm_check", "bprm_check_security", "security_bprm_creds_for_exec", "bprm_creds_for_exec",
    "security_bprm_creds_from_file", "bprm_creds_from_file", "exec_binprm", "bprm_execve",
})  # fmt: skip
IDLE: Final = {
    "FollowFD": "the path of a descriptor is read from the file itself, so nothing has to be followed",
    "UnfollowFD": "the path of a descriptor is read from the file itself, so nothing has to be followed",
    "CopyFD": "the path of a descriptor is read from the file itself, so nothing has to be followed",
    "TrackSock": "a socket's owner is not kept; events that the network causes name the process that was interrupted",
    "UntrackSock": "a socket's owner is not kept",
    "CleanupEnforcerNotification": "nothing is kept that would have to be cleaned up",
}
"""Actions that are not carried out because there is nothing to do for them here, with the reason."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a selector's actions ask for, whatever comes of it. `deny` is an errno; `late`: only once the return value is known."""

    post: bool = True
    signal: int = 0
    deny: int = 0
    rate: Action | None = None
    deeds: tuple[Action, ...] = ()
    name: str = "Post"
    return_name: str = "Post"
    late_signal: int = 0
    path: str = ""


def wish(selector: Selector, policy: Policy, probe: Probe, notes: Notes) -> Wish:
    """Return what a selector asks for, and note what of it means nothing here."""
    post, signal, deny, rate, deeds = True, 0, 0, None, []
    for one in selector.actions:
        where = Where(path=one.path)
        match one.kind:
            case "Post":
                rate = one if one.rate_ms else rate
                _traces(one, where, notes)
            case "NoPost":
                post = False
            case "Sigkill" | "Signal":
                signal = one.signal
            case "Override":
                deny = one.error or 1
            case "NotifyEnforcer":
                signal, deny = one.signal or signal, one.error or deny
                if not policy.enforced_calls:
                    notes.told(
                        where,
                        "no enforcers are declared; the action is carried out where the selector is met",
                    )
            case "GetUrl" | "DnsLookup":
                deeds.append(one)
                notes.told(
                    where, f"{one.kind} is handed to whoever runs the sensor: it never reaches out by itself"
                )
            case "Set":
                notes.refused(
                    where, "arguments of USDT probes are never written: programs' memory is left alone"
                )
            case _:
                notes.told(where, IDLE[one.kind])
    late = 0
    for one in selector.return_actions:
        where = Where(path=one.path)
        match one.kind:
            case "Sigkill" | "Signal":
                late = one.signal
            case "NoPost":
                post = False
            case "Post":
                rate = one if one.rate_ms else rate
                _traces(one, where, notes)
            case "Override" | "NotifyEnforcer" | "Set":
                notes.refused(where, f"{one.kind} comes too late once the call has returned")
            case "GetUrl" | "DnsLookup":
                deeds.append(one)
            case _:
                notes.told(where, IDLE[one.kind])
    name = selector.actions[-1].kind if selector.actions else "Post"
    after = selector.return_actions[-1].kind if selector.return_actions else "Post"
    if (signal or deny or late) and policy.monitor:
        notes.told(
            Where(path=selector.path),
            "the policy is in monitor mode: its actions are told and not carried out",
        )
        signal = deny = late = 0
    if (signal or deny or late) and probe.broken:
        notes.refused(
            Where(path=probe.path),
            "a part of this probe was not understood, so that it could hit too many: it only watches",
        )
        signal = deny = late = 0
    return Wish(post, signal, deny, rate, tuple(deeds), name, after, late, selector.path)


def _traces(one: Action, where: Where, notes: Notes) -> None:
    if one.kernel_stack:
        notes.lost(where, "kernel stacks are not taken: events carry no kernel_stack_trace")
    if one.user_stack:
        notes.lost(where, "user stacks are not taken: events carry no user_stack_trace")
    if one.ima_hash:
        notes.lost(where, "hashes of IMA need LSM programs that may sleep: events carry no ima_hash")


def narrow(
    filters: Sequence[Filter], before: Sequence[Sequence[Filter]], fixed: tuple[Test, ...]
) -> tuple[Alternatives | None, str]:
    """Return the rows in which the kernel is sure that a selector is the first that is met, and, with None, why there are none.

    `before` are the filters of the selectors in front of it, whose contrary must hold.
    """
    rows: Alternatives = (fixed,)
    for one in filters:
        if one.narrow is None:
            return None, one.why or "the kernel cannot decide it"
        joined = both(rows, one.narrow, MOST_TESTS)
        if joined is None:
            return None, f"it needs more than {MOST_TESTS} tests at once"
        rows = joined
    for selector in before:
        contrary: list[tuple[Test, ...]] = []
        for one in selector:
            if one.against is not None:
                contrary += one.against
        joined = both(rows, tuple(dict.fromkeys(contrary)) if selector else NEVER, MOST_TESTS)
        if joined is None:
            return None, "the selectors before it need too many tests"
        rows = joined
        if not rows:
            return None, "a selector before it takes the events, or cannot be told apart in the kernel"
    return rows, ""


def signals(rows: Alternatives, ask: Wish, owner: str) -> tuple[Clause, ...]:
    """Return the clauses that send a signal. They post as well where the selector does."""
    return tuple(Clause(tests=row, owner=owner, signal=ask.signal, silent=not ask.post) for row in rows)


def early(rows: Alternatives, hook: Hook, ask: Wish, owner: str) -> Hook | None:
    """Return the hook at a call's entry that sends the signal before the call has any effect, where the rows can be tested there.

    Only positive tests of texts serve: one that could not be read at the entry must not count as different.
    """
    if hook.sort != "syscall" or hook.enter:
        return None
    fitting = []
    for row in rows:
        bad = any(
            test.what is What.RET
            or (test.what is What.TEXT and test.op not in {Op.TEXT_IN, Op.PREFIX, Op.SUFFIX})
            or (What.FAMILY <= test.what <= What.OFLAGS and hook.about < 0)
            for test in row
        )
        if not bad:
            fitting.append(Clause(tests=row, owner=owner, signal=ask.signal, silent=True))
    if not fitting:
        return None
    return replace(hook, enter=True, clauses=tuple(fitting))


# ---- refusing ------------------------------------------------------------------------------------------------------


def _translated(row: tuple[Test, ...], at: At) -> tuple[Test, ...] | None:
    """Return a row of a call's tests in the terms of a cgroup hook, None where it has no such terms."""
    found = []
    for test in row:
        if test.what is What.ARG:
            if at != "socket" or test.index not in {0, 1, 2}:
                return None
            what = (What.FAMILY, What.SOCKTYPE, What.PROTO)[test.index]
            found.append(Test(what, test.op, test.values))
        elif test.what in {What.RET, What.TEXT, What.FILEMODE, What.OFLAGS, What.COMM}:
            return None
        else:
            found.append(test)
    return tuple(found)


def needs(at: At) -> frozenset[str]:
    """Return the abilities of a kernel that a prevention needs."""
    return frozenset({"cgroup_sock_create"} if at == "socket" else {f"cgroup_{at}4", f"cgroup_{at}6"})


def prevention(function: str, rows: Alternatives, ask: Wish, owner: str) -> Prevention | str:
    """Return the cgroup hooks that refuse what a selector means, or why there are none."""
    at = PREVENTED[function]
    clauses = []
    for row in rows:
        tests = _translated(row, at)
        if tests is None:
            return f"cgroup hooks see addresses, ports and who asks, and the selector asks for more of {function}"
        if function in _TCP:
            tests = (*tests, Test(What.PROTO, Op.EQ, (6,)))
        clauses.append(Clause(tests=tests, owner=owner, deny=ask.deny, silent=not ask.post))
    return Prevention(at=at, clauses=tuple(clauses))


def guards(
    function: str, selector: Selector, policy: Policy, host: Host, owner: str
) -> tuple[Guard, ...] | str:
    """Return the guards that keep files from being opened or executed, or why there are none."""
    at: Literal["open", "exec"] = "exec" if function in EXECUTED else "open"
    paths: list[ArgumentFilter] = list(selector.args)
    if len(paths) != 1:
        return "one filter of the file's path is needed, and no other of arguments"
    wanted = paths[0]
    values = tuple(operators.plain(value) for value in wanted.values)
    if wanted.operator not in {"Equal", "Prefix"}:
        return f"files are guarded by whole paths and by what they begin with, and not by {wanted.operator}"
    if not all(value.startswith("/") for value in values):
        return "files are guarded by absolute paths"
    others = (
        selector.data, selector.returns, selector.pids, selector.parents, selector.namespaces, selector.changes, selector.capabilities,
        selector.capability_changes, selector.credentials,
    )  # fmt: skip
    if any(others):
        return "who opens a file can be told by the binary and the container only"
    binaries: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()
    for one in selector.binaries:
        if one.follow or one.operator not in {"In", "NotIn"}:
            return f"binaries are told by In and NotIn, without children, and not by {one.operator}{' with followChildren' if one.follow else ''}"
        if one.operator == "In":
            binaries = one.values
        else:
            excepted += one.values
    cgroups: tuple[int, ...] = ()
    for workloads in filter(None, (selector.workloads, None if policy.workloads.all else policy.workloads)):
        if workloads.hosts:
            return "files are guarded for chosen containers or for everybody, and not for the host alone"
        cgroups = tuple(
            sorted(cgroup for cgroup, container in host.containers.items() if meant(workloads, container))
        )
        if not cgroups:
            return "no container that is meant runs now"
    return (
        Guard(
            at=at, paths=values, prefix=wanted.operator == "Prefix", owner=owner, binaries=binaries, not_binaries=excepted, cgroups=cgroups
        ),
    )  # fmt: skip
