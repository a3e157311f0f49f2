"""Where functions are seen: with kprobes themselves, without them the nearest place; the tables of hooks are sound."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.dialects.tracingpolicy import placing
from fairlead.dialects.tracingpolicy.places import condition, source
from fairlead.sense import syscalls
from fairlead.sense.events import File, Process, Sock, make_event
from fairlead.sense.plans import Arg, Op, What

PLAIN = frozenset({"tracepoint", "uprobe"})


@pytest.mark.parametrize("function", sorted(placing.ROWS))
def test_every_row_names_what_there_is(function: str) -> None:
    row = placing.ROWS[function]
    assert bool(row.spots) != bool(row.why)
    for spot in row.spots:
        if spot.sort != "syscall":
            continue
        assert spot.name in syscalls.EVERY
        call = syscalls.call_of(spot.name)
        wanted = [*spot.sources.values(), *([spot.returned] if spot.returned else [])]
        for one in wanted:
            if one.how in {"text", "path", "buffer"}:
                assert one.name in call.names
            if one.how in {"place", "sock", "local", "peer", "accmode"}:
                assert call.has_place


@pytest.mark.parametrize(
    ("function", "call"),
    [("sys_openat", "openat"), ("__x64_sys_openat", "openat"), ("__arm64_sys_openat", "openat"), ("ksys_write", "write"), ("__se_sys_mount", "mount"),
     ("sys_umount", "umount2"), ("sys_newstat", "stat"), ("sys_pivot_root", "pivot_root"), ("sys_bpf", "bpf")],
)  # fmt: skip
def test_system_calls_are_seen_as_themselves(function: str, call: str) -> None:
    found = placing.place(function, PLAIN)
    assert [(one.hook.sort, one.hook.name, one.hook.enter) for one in found.placed] == [
        ("syscall", call, True)
    ]
    assert not found.lost


def test_a_call_that_wants_texts_or_results_is_seen_at_the_return(bench: Any) -> None:
    for fields in (
        {"args": [{"index": 1, "type": "string"}]},
        {"return": True, "returnArg": {"index": 0, "type": "int"}},
    ):
        [hook] = bench.probe(call="sys_openat", **fields).rules[0].hooks
        assert not hook.enter
    [hook] = bench.probe(call="sys_execve", args=[{"index": 0, "type": "string"}]).rules[0].hooks
    assert hook.enter  # nothing is left of it at the return


def test_an_unknown_call_and_an_unknown_function_are_told(bench: Any) -> None:
    for call, syscall, said in (
        ("sys_nonsense", True, "no system call"),
        ("do_something", False, "nothing near"),
    ):
        loaded = bench.probe(call=call, syscall=syscall)
        assert not loaded.rules
        assert [(one.rule, one.where.path) for one in loaded.findings] == [
            ("tracingpolicy.unsupported", ".spec.kprobes[0]")
        ]
        assert said in loaded.findings[0].message
    optional = bench.probe(call="do_something", syscall=False, ignore={"callNotFound": True})
    assert [one.rule for one in optional.findings] == ["tracingpolicy.note"]


def test_with_kprobes_the_function_itself_is_hooked(bench: Any, policy: Any) -> None:
    probe = {"call": "fd_install", "syscall": False, "args": [{"index": 0, "type": "int"}, {"index": 1, "type": "file"}],
             "selectors": [{"matchArgs": [{"index": 1, "operator": "Prefix", "values": ["/etc"]}]}]}  # fmt: skip
    loaded = bench.load(policy({"kprobes": [probe]}), abilities=frozenset({"kprobe"}))
    [hook] = loaded.rules[0].hooks
    assert (hook.sort, hook.name, hook.args[:2], hook.about) == (
        "kprobe",
        "fd_install",
        (Arg.INT, Arg.K_FILE),
        1,
    )
    assert [(test.what, test.op, test.index) for test in hook.clauses[0].tests] == [(What.TEXT, Op.PREFIX, 0)]
    assert not loaded.findings
    loaded = bench.load(policy({"fentries": [probe]}), abilities=frozenset({"fentry", "kprobe"}))
    assert loaded.rules[0].hooks[0].sort == "fentry"
    loaded = bench.load(
        policy({"lsmhooks": [{"hook": "file_open", "args": [{"index": 0, "type": "file"}]}]}),
        abilities=frozenset({"lsm"}),
    )
    assert [(hook.sort, hook.name) for hook in loaded.rules[0].hooks] == [("lsm", "file_open")]


def test_lsm_hooks_without_lsm_are_seen_by_the_nearest(bench: Any, policy: Any) -> None:
    hook = {"hook": "file_open", "args": [{"index": 0, "type": "file"}]}
    near = bench.load(policy({"lsmhooks": [hook]}))
    assert {one.name for one in near.rules[0].hooks} >= {"openat", "openat2"}
    [one] = bench.load(policy({"lsmhooks": [hook]}), abilities=frozenset({"kprobe"})).rules[0].hooks
    assert (one.sort, one.name) == ("kprobe", "security_file_open")


def test_the_rights_asked_for_are_told_by_the_call(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        call="security_file_permission", syscall=False, args=[{"index": 0, "type": "file"}, {"index": 1, "type": "int"}],
        selectors=[{"matchArgs": [{"index": 0, "operator": "Prefix", "values": ["/etc/"]}, {"index": 1, "operator": "Equal", "values": ["2"]}]}],
    )  # fmt: skip
    rule = loaded.rules[0]
    assert "write" in {hook.name for hook in rule.hooks}
    assert "read" not in {hook.name for hook in rule.hooks}  # a read is never a write, so it is not attached
    assert bench.judge(rule, make_event("write", cat, ret=1, texts=["/etc/hosts"], file=File(mode=0o100644)))
    assert rule.residue is not None
    assert not rule.residue(make_event("read", cat, ret=1, texts=["/etc/hosts"], file=File(mode=0o100644)))


def test_a_file_that_is_named_by_path_is_made_absolute(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        call="security_inode_mkdir", syscall=False, args=[{"index": 1, "type": "dentry"}],
        selectors=[{"matchArgs": [{"index": 1, "operator": "Prefix", "values": ["/etc/"]}]}],
    )  # fmt: skip
    rule = loaded.rules[0]
    for text, start in (("/etc/x", ""), ("x", "/etc"), ("../etc/x", "/usr"), ("/usr/../etc//x", "")):
        assert bench.judge(rule, make_event("mkdirat", cat, texts=[text, start]))
    assert not bench.judge(rule, make_event("mkdirat", cat, texts=["etc", "/"]))
    cat.cwd = "/etc"
    assert bench.judge(rule, make_event("mkdirat", cat, texts=["x", ""]))


def test_a_terminal_is_one(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        call="tty_write",
        syscall=False,
        args=[{"index": 0, "type": "file"}, {"index": 1, "type": "char_buf", "sizeArgIndex": 3}],
    )
    rule = loaded.rules[0]
    assert {hook.limit for hook in rule.hooks} == {4096}
    found = bench.judge(
        rule, make_event("write", cat, ret=2, texts=["/dev/pts/3", b"hi"], file=File(mode=0o020620))
    )
    assert found is not None
    assert not bench.judge(
        rule, make_event("write", cat, ret=2, texts=["/dev/null", b"hi"], file=File(mode=0o020666))
    )
    assert not bench.judge(
        rule, make_event("write", cat, ret=2, texts=["/tmp/x", b"hi"], file=File(mode=0o100666))
    )


@pytest.mark.parametrize(
    ("call", "event", "met"),
    [
        ("tcp_close", {"args": [1, 7]}, True), ("tcp_close", {"args": [7, 2]}, False), ("inet_csk_listen_start", {"args": [7, 10]}, True),
        ("inet_csk_listen_start", {"args": [10, 7]}, False),
    ],
)  # fmt: skip
def test_states_of_sockets(bench: Any, cat: Process, call: str, event: dict[str, Any], met: bool) -> None:
    loaded = bench.probe(call=call, syscall=False, args=[{"index": 0, "type": "sock"}])
    assert (
        bool(bench.judge(loaded.rules[0], make_event("sock_state", cat, sock=Sock(2, 1, 6), **event))) is met
    )


def test_processes_and_their_credentials(bench: Any, cat: Process) -> None:
    rule = bench.probe(call="commit_creds", syscall=False, args=[{"index": 0, "type": "cred"}]).rules[0]
    assert rule.kinds == ("exec",)
    assert {"setuid", "capset", "unshare"} <= {hook.name for hook in rule.hooks}
    assert bench.judge(rule, make_event("setuid", cat))
    assert not bench.judge(rule, make_event("setuid", cat, ret=-1))
    assert not bench.judge(rule, make_event("unshare", cat, args=[0x20000]))
    assert bench.judge(rule, make_event("unshare", cat, args=[0x10000000]))


def test_tracepoints_of_system_calls_become_the_calls(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        "tracepoints", subsystem="syscalls", event="sys_enter_openat", args=[{"index": 6, "type": "string"}],
        selectors=[{"matchArgs": [{"index": 6, "operator": "Equal", "values": ["/etc/shadow"]}]}],
    )  # fmt: skip
    assert bench.judge(loaded.rules[0], make_event("openat", cat, texts=["", "/etc/shadow", ""]))
    back = bench.probe(
        "tracepoints", subsystem="syscalls", event="sys_exit_openat", args=[{"index": 5, "type": "int64"}],
        selectors=[{"matchArgs": [{"index": 5, "operator": "LT", "values": ["0"]}]}],
    )  # fmt: skip
    assert bench.judge(back.rules[0], make_event("openat", cat, ret=-2))
    assert not bench.judge(back.rules[0], make_event("openat", cat, ret=3))


def test_other_tracepoints_are_hooked_by_their_fields(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        "tracepoints", subsystem="signal", event="signal_generate", args=[{"index": 4, "type": "int"}, {"index": 7, "type": "string"}, {"index": 30, "type": "int"}],
        selectors=[{"matchArgs": [{"index": 4, "operator": "Equal", "values": ["11"]}]}],
    )  # fmt: skip
    [hook] = loaded.rules[0].hooks
    assert (hook.sort, hook.name, hook.args[0], hook.args[3]) == (
        "tracepoint",
        "signal/signal_generate",
        Arg.INT,
        Arg.STRING,
    )
    assert [one.rule for one in loaded.findings] == ["tracingpolicy.lost"]
    assert bench.judge(loaded.rules[0], make_event("tracepoint", cat, args=[11]))


def test_raw_tracepoints(bench: Any) -> None:
    loaded = bench.probe(
        "tracepoints",
        subsystem="sched",
        event="sched_process_exec",
        raw=True,
        args=[{"index": 2, "type": "linux_binprm"}],
    )
    assert loaded.rules[0].kinds == ("exec",)
    loaded = bench.probe(
        "tracepoints", subsystem="sched", event="sched_switch", raw=True, args=[{"index": 0, "type": "int"}]
    )
    assert [(hook.sort, hook.name) for hook in loaded.rules[0].hooks] == [("rawtracepoint", "sched_switch")]


def test_uprobes_and_usdt(bench: Any) -> None:
    loaded = bench.probe(
        "uprobes",
        path="/lib/libc.so.6",
        symbols=["malloc", "free"],
        offsets=[4096],
        args=[{"index": 0, "type": "uint64"}],
    )
    hooks = [hook for rule in loaded.rules for hook in rule.hooks]
    assert [(hook.name, hook.detail, hook.path) for hook in hooks] == [
        ("malloc", "", "/lib/libc.so.6"), ("free", "", "/lib/libc.so.6"), ("", "4096", "/lib/libc.so.6"),
    ]  # fmt: skip
    loaded = bench.probe("usdts", path="/bin/x", provider="p", name="n", args=[{"index": 0, "type": "int32"}])
    assert [(hook.sort, hook.detail) for rule in loaded.rules for hook in rule.hooks] == [("usdt", "p:n")]
    loaded = bench.probe("uprobes", path="/x", symbols=["f"], resolvePathInContainer=True)
    assert not loaded.rules


def test_all_system_calls_are_one_tracepoint(bench: Any, policy: Any, cat: Process) -> None:
    spec = {
        "lists": [
            {"name": "all", "type": "generated_syscalls"},
            {"name": "dups", "type": "generated_syscalls", "pattern": "^sys_dup"},
        ],
        "kprobes": [
            {
                "call": "list:all",
                "selectors": [{"matchBinaries": [{"operator": "In", "values": ["/usr/bin/cat"]}]}],
            },
            {"call": "list:dups"},
        ],
    }
    loaded = bench.load(policy(spec))
    assert [hook.name for hook in loaded.rules[0].hooks] == ["raw_syscalls/sys_enter"]
    assert [hook.name for rule in loaded.rules[1:] for hook in rule.hooks] == ["dup", "dup2", "dup3"]
    found = bench.judge(loaded.rules[0], make_event("tracepoint", cat, args=[257]))
    assert found is not None
    assert found.data.function == "__x64_sys_openat"


def test_what_is_told_to_people(policy: Any, bench: Any) -> None:
    loaded = bench.load(
        policy(
            {
                "kprobes": [
                    {"call": "tcp_connect", "syscall": False},
                    {"call": "override_creds", "syscall": False},
                ]
            }
        )
    )
    assert [(one.path, one.function, bool(one.used), bool(one.lost)) for one in loaded.placements] == [
        (".spec.kprobes[0]", "tcp_connect", True, True), (".spec.kprobes[1]", "override_creds", False, True),
    ]  # fmt: skip


def test_the_short_forms_of_the_tables() -> None:
    assert source("=-100").at == -100
    assert source("path:name").name == "name"
    assert condition("mode/61440==8192").mask == 0o170000
    assert condition("arg1==2").mask == 0xFFFFFFFF
    assert condition("ret>=0").what is What.RET


TASK = [
    ("pid", "int", 71),
    ("comm", "string", "cat"),
    ("real_parent.comm", "string", "bash"),
    ("real_parent.real_parent.comm", "string", "init"),
    ("cred.euid.val", "uint32", 7),
]


@pytest.mark.parametrize(("path", "kind", "value"), TASK)
def test_data_of_the_task(bench: Any, cat: Process, path: str, kind: str, value: object) -> None:
    cat.euid = 7
    data = [{"type": kind, "source": "current_task", "resolve": path}]
    for values, met in (([str(value)], True), (["12345"], False)):
        loaded = bench.probe(
            call="sys_setuid",
            data=data,
            selectors=[{"matchData": [{"index": 0, "operator": "Equal", "values": values}]}],
        )
        assert not loaded.findings
        assert bool(bench.judge(loaded.rules[0], make_event("setuid", cat, flags=1))) is met


def test_what_lies_behind_an_argument(bench: Any, cat: Process) -> None:
    name = [{"index": 0, "type": "string", "resolve": "f_path.dentry.d_name.name"}]
    loaded = bench.probe(
        call="security_file_open",
        args=name,
        selectors=[{"matchArgs": [{"index": 0, "operator": "Equal", "values": ["id_rsa"]}]}],
    )
    assert bench.judge(
        loaded.rules[0],
        make_event("openat", cat, ret=3, texts=["/root/.ssh/id_rsa"], file=File(mode=0o100600)),
    )
    assert not bench.judge(
        loaded.rules[0], make_event("openat", cat, ret=3, texts=["/root/id_rsa/x"], file=File(mode=0o100600))
    )
    grand = [{"index": 0, "type": "string", "resolve": "mm.owner.real_parent.real_parent.comm"}]
    loaded = bench.probe("lsmhooks", hook="bprm_check_security", args=grand)
    found = bench.judge(loaded.rules[0], make_event("exec", cat))
    assert found is not None
    assert found.data.args[0].subject.get(found.event) == "init"
    odd = bench.probe(
        call="security_file_open", args=[{"index": 0, "type": "string", "resolve": "f_op.owner.name"}]
    )
    assert any(
        one.where.path == ".spec.kprobes[0].args[0]"
        for one in odd.findings
        if one.rule == "tracingpolicy.lost"
    )
