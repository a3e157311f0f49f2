"""Actions: what the kernel does for them, what is refused with the reason, and whom a kill spares."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.sense import sieving
from fairlead.sense.events import File, Process, Sock, make_event
from fairlead.sense.plans import Clause, Op, What
from fairlead.sense.rules import Rule


def acting(rule: Rule) -> list[tuple[str, bool, Clause]]:
    return [
        (hook.name, hook.enter, clause)
        for hook in rule.hooks
        for clause in hook.clauses
        if clause.signal or clause.deny
    ]


def kill(
    bench: Any,
    call: str,
    args: list[dict[str, Any]],
    actions: list[dict[str, Any]] | None = None,
    **selector: Any,
) -> Any:
    return bench.probe(
        call=call, args=args, selectors=[{**selector, "matchActions": actions or [{"action": "Sigkill"}]}]
    )


@pytest.mark.parametrize(
    ("actions", "signal", "posts"),
    [
        ([{"action": "Sigkill"}], 9, True), ([{"action": "Sigkill"}, {"action": "NoPost"}], 9, False), ([{"action": "Signal", "argSig": 15}], 15, True),
        ([{"action": "sigkill"}], 9, True), ([{"action": "NotifyEnforcer", "argSig": 9}], 9, True), ([{"action": "Post"}], 0, True),
        ([{"action": "NoPost"}], 0, False), ([{"action": "FollowFD", "argFd": 0, "argName": 1}], 0, True), ([{"action": "TrackSock"}], 0, True),
    ],
)  # fmt: skip
def test_signals(bench: Any, cat: Process, actions: list[dict[str, Any]], signal: int, posts: bool) -> None:
    loaded = kill(bench, "sys_setuid", [], actions)
    rule = loaded.rules[0]
    assert {clause.signal for _, _, clause in acting(rule)} == ({signal} if signal else set())
    assert bool(bench.judge(rule, make_event("setuid", cat, flags=1))) is posts
    if not posts and not signal:
        assert not rule.hooks  # nothing asks for it, so it is not attached


def test_a_text_is_tested_at_the_entry_and_at_the_return(bench: Any, cat: Process) -> None:
    loaded = kill(
        bench,
        "sys_symlinkat",
        [{"index": 0, "type": "string"}],
        matchArgs=[{"index": 0, "operator": "Equal", "values": ["/etc/passwd"]}],
    )
    found = acting(loaded.rules[0])
    assert [(name, enter, clause.silent) for name, enter, clause in found] == [
        ("symlinkat", True, True),
        ("symlinkat", False, False),
    ]
    hit = make_event("symlinkat", cat, texts=["/etc/passwd", "x"])
    assert all(sieving.passes(clause, hit) for _, _, clause in found)
    assert not any(
        sieving.passes(clause, make_event("symlinkat", cat, texts=["/etc/group", "x"]))
        for _, _, clause in found
    )


def test_a_text_that_must_differ_is_not_tested_at_the_entry(bench: Any) -> None:
    loaded = kill(
        bench,
        "sys_symlinkat",
        [{"index": 0, "type": "string"}],
        matchArgs=[{"index": 0, "operator": "NotEqual", "values": ["/etc/passwd"]}],
    )
    assert [enter for _, enter, _ in acting(loaded.rules[0])] == [False]


def test_the_file_of_a_descriptor_is_tested_before_it_is_written_to(bench: Any, cat: Process) -> None:
    loaded = kill(
        bench, "sys_write", [{"index": 0, "type": "fd"}, {"index": 1, "type": "char_buf", "sizeArgIndex": 3}, {"index": 2, "type": "size_t"}],
        matchArgs=[{"index": 0, "operator": "Prefix", "values": ["/etc/passwd"]}],
    )  # fmt: skip
    assert [(name, enter) for name, enter, _ in acting(loaded.rules[0])] == [
        ("write", True),
        ("write", False),
    ]
    event = make_event("write", cat, texts=["/etc/passwd", b"x"], ret=1, file=File(mode=0o100644))
    assert bench.judge(loaded.rules[0], event)


def test_a_kill_waits_for_what_the_selectors_before_it_take(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        call="sys_kill", args=[{"index": 1, "type": "int"}],
        selectors=[
            {"matchBinaries": [{"operator": "In", "values": ["/usr/bin/cat"]}], "matchActions": [{"action": "NoPost"}]},
            {"matchArgs": [{"index": 1, "operator": "Equal", "values": ["9"]}], "matchActions": [{"action": "Sigkill"}]},
        ],
    )  # fmt: skip
    [(_, _, clause)] = acting(loaded.rules[0])
    event = make_event("kill", cat, args=[0, 9], flags=1)
    assert not sieving.passes(clause, event)
    cat.exe = "/usr/bin/dog"
    assert sieving.passes(clause, event)


@pytest.mark.parametrize(
    ("selector", "why"),
    [
        ({"matchCurrentCred": [{"uid": [{"operator": "Equal", "values": ["0"]}]}]}, "real user id"),
        ({"matchPIDs": [{"operator": "NotIn", "values": [1], "followForks": True}]}, "descendants"),
        ({"matchBinaries": [{"operator": "NotIn", "values": ["/x"], "followChildren": True}]}, "children"),
        ({"matchArgs": [{"index": 0, "operator": "SubString", "values": ["x"]}]}, "SubString"),
    ],
)  # fmt: skip
def test_what_the_kernel_cannot_decide_is_not_killed(
    bench: Any, cat: Process, selector: dict[str, Any], why: str
) -> None:
    loaded = kill(bench, "sys_symlink", [{"index": 0, "type": "string"}], **selector)
    assert not acting(loaded.rules[0])
    refused = [one for one in loaded.findings if one.rule == "tracingpolicy.refused"]
    assert len(refused) == 1
    assert why in refused[0].message
    assert refused[0].where.path == ".spec.kprobes[0].selectors[0]"


def test_a_part_that_is_surely_meant_is_killed(bench: Any, cat: Process) -> None:
    loaded = kill(
        bench,
        "sys_setuid",
        [],
        matchBinaries=[{"operator": "In", "values": ["/usr/bin/cat"], "followChildren": True}],
    )
    [(_, _, clause)] = acting(loaded.rules[0])
    assert sieving.passes(clause, make_event("setuid", cat, flags=1))


def test_monitor_mode_watches_only(bench: Any, policy: Any, cat: Process) -> None:
    probe = {"call": "sys_setuid", "selectors": [{"matchActions": [{"action": "Sigkill"}]}]}
    loaded = bench.load(
        policy({"kprobes": [probe], "options": [{"name": "policy-mode", "value": "monitor"}]})
    )
    assert not acting(loaded.rules[0])
    found = bench.judge(loaded.rules[0], make_event("setuid", cat, flags=1))
    assert found is not None
    assert found.data.action == "Sigkill"  # as Tetragon: what was configured is told


def test_a_probe_with_a_fault_watches_only(bench: Any) -> None:
    loaded = bench.probe(
        call="sys_setuid",
        selectors=[
            {"matchPIDs": [{"operator": "No", "values": [1]}]},
            {"matchActions": [{"action": "Sigkill"}]},
        ],
    )
    assert not acting(loaded.rules[0])
    assert {one.rule for one in loaded.findings} == {"tracingpolicy.invalid", "tracingpolicy.refused"}


def test_a_kill_before_the_first_instruction(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        "lsmhooks", hook="bprm_check_security", args=[{"index": 0, "type": "linux_binprm"}],
        selectors=[{
            "matchArgs": [{"index": 0, "operator": "Postfix", "values": ["/miner"]}],
            "matchBinaries": [{"operator": "In", "values": ["/usr/bin/bash"]}], "matchActions": [{"action": "Sigkill"}],
        }],
    )  # fmt: skip
    rule = loaded.rules[0]
    [(name, _, clause)] = acting(rule)
    assert name == "exec"
    assert {test.what for test in clause.tests} == {What.TEXT, What.PEXE}
    assert rule.kinds == ("exec",)
    assert rule.residue is not None
    cat.exe = "/tmp/miner"
    assert rule.residue(make_event("exec", cat, texts=["/tmp/miner"]))
    cat.exe = "/tmp/other"
    assert not rule.residue(make_event("exec", cat, texts=["/tmp/other"]))


CONNECT = {"index": 1, "type": "sockaddr"}


def test_connections_are_prevented(bench: Any) -> None:
    loaded = kill(
        bench, "security_socket_connect", [CONNECT], [{"action": "Override", "argError": -13}],
        matchArgs=[{"index": 1, "operator": "SPort", "values": ["4444"]}, {"index": 1, "operator": "NotSAddr", "values": ["127.0.0.0/8"]}],
        matchBinaries=[{"operator": "In", "values": ["/usr/bin/nc"]}],
    )  # fmt: skip
    rule = loaded.rules[0]
    [prevention] = rule.preventions
    assert prevention.at == "connect"
    [clause] = prevention.clauses
    assert clause.deny == 13
    assert [(test.what, test.op, test.values) for test in clause.tests] == [
        (What.RPORT, Op.EQ, (4444,)), (What.RADDR, Op.NOTNET, ("127.0.0.0/8",)), (What.EXE, Op.TEXT_IN, (b"/usr/bin/nc",)),
    ]  # fmt: skip
    assert any("prevented" in one.message for one in loaded.findings)


@pytest.mark.parametrize(
    ("call", "at", "what"),
    [
        ("sys_socket", "socket", What.FAMILY),
        ("sys_bind", "bind", What.LPORT),
        ("sys_sendto", "sendmsg", What.RPORT),
        ("tcp_connect", "connect", What.RPORT),
    ],
)
def test_other_calls_that_cgroup_hooks_refuse(bench: Any, call: str, at: str, what: What) -> None:
    args: dict[str, Any] = {"sys_socket": {"index": 0, "type": "int"}, "sys_bind": {"index": 1, "type": "sockaddr"}, "sys_sendto": {"index": 4, "type": "sockaddr"},
            "tcp_connect": {"index": 0, "type": "sock"}}[call]  # fmt: skip
    operator = {"sys_socket": "Equal", "tcp_connect": "DPort"}.get(call, "SPort")
    loaded = kill(
        bench,
        call,
        [args],
        [{"action": "Override", "argError": -1}],
        matchArgs=[{"index": args["index"], "operator": operator, "values": ["17"]}],
    )
    [prevention] = loaded.rules[0].preventions
    assert (prevention.at, prevention.clauses[0].tests[0].what, prevention.clauses[0].deny) == (at, what, 1)


@pytest.mark.parametrize(
    ("call", "kind", "at"),
    [("security_file_open", "file", "open"), ("sys_openat", "string", "open"), ("security_bprm_check", "linux_binprm", "exec"), ("sys_execve", "string", "exec")],
)  # fmt: skip
def test_files_are_guarded(bench: Any, call: str, kind: str, at: str) -> None:
    index = 1 if call == "sys_openat" else 0
    loaded = kill(
        bench, call, [{"index": index, "type": kind}], [{"action": "Override", "argError": -1}],
        matchArgs=[{"index": index, "operator": "Prefix", "values": ["/srv/secret/"]}], matchBinaries=[{"operator": "NotIn", "values": ["/usr/bin/vault"]}],
    )  # fmt: skip
    [guard] = loaded.rules[0].guards
    assert (guard.at, guard.paths, guard.prefix, guard.not_binaries) == (
        at,
        ("/srv/secret/",),
        True,
        ("/usr/bin/vault",),
    )


@pytest.mark.parametrize(
    ("call", "selector", "why"),
    [
        ("security_inode_mkdir", {}, "neither override"), ("sys_linkat", {}, "neither override"),
        ("security_file_open", {"matchArgs": [{"index": 0, "operator": "Postfix", "values": [".key"]}]}, "not by Postfix"),
        ("security_file_open", {}, "one filter of the file's path"),
        ("security_file_open", {"matchArgs": [{"index": 0, "operator": "Equal", "values": ["key"]}]}, "absolute"),
        ("security_file_open", {"matchArgs": [{"index": 0, "operator": "Equal", "values": ["/k"]}], "matchPIDs": [{"operator": "In", "values": [3]}]}, "binary"),
    ],
)  # fmt: skip
def test_what_nothing_can_refuse_is_told(bench: Any, call: str, selector: dict[str, Any], why: str) -> None:
    args = [{"index": 0, "type": "file"}] if call == "security_file_open" else []
    loaded = kill(bench, call, args, [{"action": "Override", "argError": -1}], **selector)
    rule = loaded.rules[0]
    assert not rule.preventions
    assert not rule.guards
    assert rule.hooks  # it goes on watching
    assert any(why in one.message for one in loaded.findings if one.rule == "tracingpolicy.refused")


@pytest.mark.parametrize("call", ["sys_connect", "sys_openat"])
def test_a_kernel_without_the_means_refuses_nothing(bench: Any, policy: Any, call: str) -> None:
    probe = {"call": call, "args": [{"index": 1, "type": "string"}], "selectors": [
        {"matchArgs": [{"index": 1, "operator": "Equal", "values": ["/x"]}], "matchActions": [{"action": "Override", "argError": -1}]}]}  # fmt: skip
    loaded = bench.load(policy({"kprobes": [probe]}), abilities=frozenset({"tracepoint"}))
    assert not any(rule.preventions or rule.guards for rule in loaded.rules)
    assert any("this kernel" in one.message for one in loaded.findings if one.rule == "tracingpolicy.refused")


def test_where_the_kernel_can_override_it_does(bench: Any, policy: Any) -> None:
    probe = {"call": "security_inode_mkdir", "syscall": False, "args": [{"index": 1, "type": "dentry"}], "selectors": [
        {"matchArgs": [{"index": 1, "operator": "Prefix", "values": ["/etc"]}], "matchActions": [{"action": "Override", "argError": -1}]}]}  # fmt: skip
    loaded = bench.load(policy({"kprobes": [probe]}), abilities=frozenset({"kprobe", "override_return"}))
    [(name, _, clause)] = acting(loaded.rules[0])
    assert (name, clause.deny) == ("security_inode_mkdir", 1)
    lsm = {"hook": "inode_mkdir", "args": [{"index": 1, "type": "dentry"}], "selectors": probe["selectors"]}
    loaded = bench.load(policy({"lsmhooks": [lsm]}), abilities=frozenset({"lsm"}))
    assert [(hook.sort, hook.name) for hook in loaded.rules[0].hooks] == [("lsm", "inode_mkdir")]
    assert acting(loaded.rules[0])[0][2].deny == 1


def test_what_reaches_out_is_handed_on_and_stacks_are_lost(bench: Any, cat: Process) -> None:
    actions: list[dict[str, Any]] = [
        {"action": "DnsLookup", "argFqdn": "canary.example"},
        {"action": "Post", "kernelStackTrace": True, "userStackTrace": True, "imaHash": True},
    ]
    loaded = kill(bench, "sys_setuid", [], actions)
    found = bench.judge(loaded.rules[0], make_event("setuid", cat, flags=1))
    assert found is not None
    assert [(one.kind, one.target) for one in found.data.deeds] == [("DnsLookup", "canary.example")]
    assert sorted(one.rule for one in loaded.findings) == ["tracingpolicy.lost"] * 3 + ["tracingpolicy.note"]


def test_a_usdt_argument_is_never_written(bench: Any) -> None:
    loaded = bench.probe(
        "usdts",
        path="/bin/x",
        provider="p",
        name="n",
        selectors=[{"matchActions": [{"action": "Set", "argIndex": 0, "argValue": 1}]}],
    )
    assert {one.rule for one in loaded.findings} == {"tracingpolicy.refused"}
    assert loaded.rules


def test_enforcers_act_on_system_calls_by_number(bench: Any, policy: Any, cat: Process) -> None:
    spec = {
        "lists": [{"name": "dups", "type": "syscalls", "values": ["sys_dup", "sys_dup2"]}],
        "enforcers": [{"calls": ["list:dups"]}],
        "tracepoints": [{
            "subsystem": "raw_syscalls", "event": "sys_enter", "args": [{"index": 4, "type": "syscall64"}],
            "selectors": [{
                "matchArgs": [{"index": 4, "operator": "InMap", "values": ["list:dups"]}],
                "matchBinaries": [{"operator": "In", "values": ["/usr/bin/cat"]}], "matchActions": [{"action": "NotifyEnforcer", "argSig": 9}],
            }],
        }],
    }  # fmt: skip
    loaded = bench.load(policy(spec))
    [(name, _, clause)] = acting(loaded.rules[0])
    assert name == "raw_syscalls/sys_enter"
    assert sieving.passes(clause, make_event("tracepoint", cat, args=[33]))
    assert not sieving.passes(clause, make_event("tracepoint", cat, args=[34]))


def test_a_connection_is_killed_where_its_state_changes(bench: Any, cat: Process) -> None:
    loaded = kill(
        bench, "tcp_connect", [{"index": 0, "type": "sock"}], matchArgs=[{"index": 0, "operator": "NotDAddr", "values": ["127.0.0.0/8"]}],
        matchBinaries=[{"operator": "In", "values": ["/usr/bin/cat"]}],
    )  # fmt: skip
    [(name, _, clause)] = acting(loaded.rules[0])
    assert name == "sock_state"
    there = Sock(2, 1, 6, 2, 0, 443, 0, bytes(16), bytes([192, 0, 2, 1]).ljust(16, b"\0"))
    assert sieving.passes(clause, make_event("sock_state", cat, args=[7, 2], sock=there))
    home = there._replace(raddr=bytes([127, 0, 0, 1]).ljust(16, b"\0"))
    assert not sieving.passes(clause, make_event("sock_state", cat, args=[7, 2], sock=home))


def test_all_but_what_an_earlier_selector_allows_is_prevented(bench: Any) -> None:
    tcp = [
        {"index": 0, "operator": "Protocol", "values": ["IPPROTO_TCP"]},
        {"index": 1, "operator": "Family", "values": ["AF_INET", "AF_INET6"]},
    ]
    there = [
        {"index": 1, "operator": "SAddr", "values": ["192.168.1.1"]},
        {"index": 1, "operator": "SPort", "values": ["80"]},
    ]
    who = [{"operator": "In", "values": ["/usr/bin/cat"]}]
    loaded = bench.probe(
        call="security_socket_connect",
        syscall=False,
        args=[{"index": 0, "type": "socket"}, {"index": 1, "type": "sockaddr"}],
        selectors=[
            {"matchArgs": tcp + there, "matchBinaries": who},
            {
                "matchArgs": tcp,
                "matchBinaries": who,
                "matchActions": [{"action": "Override", "argError": -1}],
            },
        ],
    )
    [prevention] = loaded.rules[0].preventions
    process = Process(5, 5)
    process.exe = "/usr/bin/cat"

    def refused(address: bytes, port: int, exe: str = "/usr/bin/cat") -> bool:
        process.exe = exe
        sock = Sock(2, 1, 6, 0, 0, port, 0, bytes(16), address.ljust(16, b"\0"))
        return any(
            sieving.passes(clause, make_event("prevented", process, sock=sock))
            for clause in prevention.clauses
        )

    assert not refused(bytes([192, 168, 1, 1]), 80)
    assert refused(bytes([192, 168, 1, 1]), 81)
    assert refused(bytes([192, 168, 1, 2]), 80)
    assert not refused(bytes([192, 168, 1, 2]), 80, "/usr/bin/dog")


def test_a_user_namespace_is_killed_before_it_is_made(bench: Any, cat: Process) -> None:
    loaded = kill(
        bench,
        "create_user_ns",
        [{"index": 0, "type": "nop"}],
        matchNamespaces=[{"namespace": "Pid", "operator": "NotIn", "values": ["host_ns"]}],
        matchCapabilities=[{"type": "Effective", "operator": "NotIn", "values": ["CAP_SYS_ADMIN"]}],
    )
    found = acting(loaded.rules[0])
    assert {(name, enter) for name, enter, _ in found} == {("unshare", True), ("clone", True)}
    cat.ns = tuple(one + 5 for one in cat.ns)
    event = make_event("unshare", cat, args=[0x10000000], flags=1)
    assert bench.judge(loaded.rules[0], event)
    assert not bench.judge(loaded.rules[0], make_event("unshare", cat, args=[0x20000], flags=1))
