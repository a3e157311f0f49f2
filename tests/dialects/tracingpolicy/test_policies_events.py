"""Events as Tetragon exports them: names, forms and words of its JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from fairlead.dialects.tracingpolicy.events import Exporter, line, signal_name, timestamp
from fairlead.sense.events import CUT, Container, File, Process, Sock, make_event

NOW = 1_700_000_000_123_456_789


@pytest.fixture
def exporter(bench: Any) -> Exporter:
    return Exporter(node="one", home=bench.host.namespaces, namespaces=True, credentials=True)


def detected(bench: Any, exporter: Exporter, loaded: Any, event: Any) -> dict[str, Any]:
    found = bench.judge(loaded.rules[0], event)
    assert found is not None
    told = exporter.detected(found)
    assert told is not None
    assert json.loads(line(told)) == told
    return told


def test_an_exec(exporter: Exporter, cat: Process) -> None:
    cat.started, cat.exec_at, cat.loginuid, cat.uid, cat.euid = NOW - 50, NOW, 1000, 0, 0
    told = exporter.executed(make_event("exec", cat, time=NOW))
    assert list(told) == ["process_exec", "node_name", "time"]
    process = told["process_exec"]["process"]
    assert base64.b64decode(process["exec_id"]).decode() == "one:71050:71"
    assert process["parent_exec_id"] == told["process_exec"]["parent"]["exec_id"]
    assert {key: process[key] for key in ("pid", "uid", "cwd", "binary", "arguments", "flags", "start_time", "auid", "tid")} == {
        "pid": 71, "uid": 0, "cwd": "/root", "binary": "/usr/bin/cat", "arguments": '/etc/passwd "a b"', "flags": "execve clone",
        "start_time": "2023-11-14T22:13:20.123456789Z", "auid": 1000, "tid": 71,
    }  # fmt: skip
    assert process["ns"]["pid"] == {"inum": exporter.home[3], "is_host": True}
    assert told["node_name"] == "one"


def test_an_exec_that_gains_rights_or_runs_from_memory(exporter: Exporter, cat: Process) -> None:
    cat.exe_flags, cat.exe_ino, cat.euid = 2 | 4, 99, 0
    told = exporter.executed(make_event("exec", cat, time=NOW))
    assert told["process_exec"]["process"]["binary_properties"] == {
        "setuid": 0, "privileges_changed": ["PRIVILEGES_RAISED_EXEC_FILE_SETUID"], "file": {"inode": {"number": "99", "links": 0}},
    }  # fmt: skip


@pytest.mark.parametrize(("raw", "told"), [(9, {"signal": "SIGKILL"}), (0, {}), (3 << 8, {"status": 3})])
def test_an_exit(exporter: Exporter, cat: Process, raw: int, told: dict[str, Any]) -> None:
    body = exporter.ended(make_event("exited", cat, ret=raw, time=NOW))["process_exit"]
    assert {key: body[key] for key in ("signal", "status") if key in body} == told
    assert body["time"] == "2023-11-14T22:13:20.123456789Z"


def test_a_process_of_a_pod(exporter: Exporter, cat: Process) -> None:
    cat.container = Container(
        id="abc" * 20, name="web", image="web:1", image_id="web@sha256:0", runtime="containerd", pod="web-1", pod_namespace="shop", pod_uid="u",
        pod_labels={"app": "web"}, workload="web", workload_kind="Deployment", privileged=True, started=NOW, probes=(("liveness", "cat /etc/passwd a b"),),
    )  # fmt: skip
    cat.contained, cat.vpid, cat.ns = True, 7, tuple(one + 100 for one in cat.ns)
    told = exporter.process(cat)
    assert told["docker"] == "abcabcabcabcabc"
    assert told["in_init_tree"] is False
    assert told["pod"] == {
        "namespace": "shop", "name": "web-1", "uid": "u", "pod_labels": {"app": "web"}, "workload": "web", "workload_kind": "Deployment",
        "container": {
            "id": f"containerd://{'abc' * 20}", "name": "web", "image": {"id": "web@sha256:0", "name": "web:1"}, "pid": 7, "maybe_exec_probe": True,
            "start_time": "2023-11-14T22:13:20.123456789Z", "security_context": {"privileged": True},
        },
    }  # fmt: skip


def test_a_kprobe_on_a_system_call(bench: Any, exporter: Exporter, cat: Process) -> None:
    loaded = bench.probe(
        call="sys_write", syscall=True, **{"return": True}, returnArg={"index": 0, "type": "size_t"}, message="writes", tags=["files"],
        args=[{"index": 0, "type": "int", "label": "fd"}, {"index": 1, "type": "char_buf", "sizeArgIndex": 3}, {"index": 2, "type": "size_t"},
              {"index": 3, "type": "nop"}],
    )  # fmt: skip
    event = make_event(
        "write",
        cat,
        args=[1, 0xFFFF, 5],
        ret=5,
        texts=["/dev/pts/0", b"hello"],
        file=File(mode=0o020620),
        time=NOW,
        tid=72,
    )
    told = detected(bench, exporter, loaded, event)["process_kprobe"]
    assert told["function_name"] == "__x64_sys_write"
    assert told["args"] == [{"int_arg": 1, "label": "fd"}, {"bytes_arg": "aGVsbG8="}, {"size_arg": "5"}]
    assert told["return"] == {"size_arg": "5"}
    assert (told["action"], told["return_action"]) == ("KPROBE_ACTION_POST", "KPROBE_ACTION_POST")
    assert (told["policy_name"], told["message"], told["tags"]) == ("tried", "writes", ["files"])
    assert told["process"]["tid"] == 72


ARGUMENTS: list[tuple[str, str, int, dict[str, Any], dict[str, Any]]] = [
    ("sys_kill", "int", 1, {"args": [0, 0], "kind": "kill", "flags": 1}, {"int_arg": 0}),
    ("sys_kill", "uint32", 1, {"args": [0, 1 << 31], "kind": "kill", "flags": 1}, {"uint_arg": 1 << 31}),
    ("sys_kill", "int64", 1, {"args": [0, -1], "kind": "kill", "flags": 1}, {"long_arg": "-1"}),
    ("sys_kill", "uint64", 1, {"args": [0, -1], "kind": "kill", "flags": 1}, {"size_arg": "18446744073709551615"}),
    ("sys_kill", "capability", 1, {"args": [0, 21], "kind": "kill", "flags": 1}, {"capability_arg": {"value": 21, "name": "CAP_SYS_ADMIN"}}),
    ("sys_bpf", "bpf_cmd", 0, {"args": [5], "kind": "bpf", "flags": 1}, {"bpf_cmd_arg": "BPF_PROG_LOAD"}),
    ("sys_symlink", "string", 0, {"texts": [b"a\xff"], "kind": "symlink"}, {"string_arg": "a\ufffd"}),
    ("sys_write", "char_buf", 1, {"texts": ["", b"x"], "ret": 9, "kind": "write", "flags": CUT}, {"truncated_bytes_arg": {"bytes_arg": "eA==", "orig_size": "9"}}),
    ("security_file_open", "file", 0, {"texts": ["/etc/passwd"], "file": File(mode=0o100644), "ret": 3, "kind": "openat"},
     {"file_arg": {"path": "/etc/passwd", "permission": "-rw-r--r--"}}),
    ("security_file_open", "path", 0, {"texts": ["/etc"], "file": File(mode=0o040755), "ret": 3, "kind": "openat"},
     {"path_arg": {"path": "/etc", "permission": "drwxr-xr-x"}}),
    ("security_inode_mkdir", "dentry", 1, {"texts": ["x", "/etc"], "kind": "mkdirat"}, {"path_arg": {"path": "/etc/x"}}),
    ("sys_connect", "sockaddr", 1, {"sock": Sock(2, 1, 6, 1, 4000, 443, 3, bytes(16), bytes([192, 0, 2, 1]).ljust(16, b"\0")), "kind": "connect"},
     {"sockaddr_arg": {"family": "AF_INET", "addr": "192.0.2.1", "port": 443}}),
    ("sys_connect", "sockaddr", 1, {"sock": Sock(1, 1), "texts": ["/run/x.sock"], "kind": "connect"}, {"sockaddr_arg": {"family": "AF_UNIX", "addr": "/run/x.sock"}}),
    ("tcp_connect", "sock", 0, {"args": [7, 2], "sock": Sock(2, 1, 6, 2, 0, 443, 0, bytes([10, 0, 0, 5]).ljust(16, b"\0"), bytes([192, 0, 2, 1]).ljust(16, b"\0")),
                                "kind": "sock_state"},
     {"sock_arg": {"family": "AF_INET", "type": "SOCK_STREAM", "protocol": "IPPROTO_TCP", "saddr": "10.0.0.5", "daddr": "192.0.2.1", "dport": 443, "state": "TCP_SYN_SENT"}}),
    ("kfree_skb_reason", "skb", 0, {"sock": Sock(2, 1, 17, 0, 53, 9), "kind": "skb_drop"},
     {"skb_arg": {"saddr": "0.0.0.0", "daddr": "0.0.0.0", "sport": 53, "dport": 9, "proto": 17, "protocol": "IPPROTO_UDP", "family": "AF_INET"}}),
    ("find_module_sections", "load_info", 1, {"texts": ["dummy"], "kind": "module"}, {"module_arg": {"name": "dummy"}}),
    ("sys_pipe2", "int32_arr", 0, {"texts": [bytes([3, 0, 0, 0, 4, 0, 0, 0])], "kind": "pipe2"}, {"int32_list_arg": {"values": [3, 4]}}),
    ("security_bpf", "bpf_attr", 1, {"kind": "bpf"}, {"bpf_attr_arg": {}}),
    ("security_bprm_check", "linux_binprm", 0, {"texts": ["/usr/bin/cat"], "kind": "exec"}, {"linux_binprm_arg": {"path": "/usr/bin/cat"}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "index", "event", "told"),
    ARGUMENTS,
    ids=[f"{call}-{kind}" for call, kind, *_ in ARGUMENTS],
)
def test_arguments(
    bench: Any,
    exporter: Exporter,
    cat: Process,
    call: str,
    kind: str,
    index: int,
    event: dict[str, Any],
    told: dict[str, Any],
) -> None:
    loaded = bench.probe(call=call, args=[{"index": index, "type": kind}])
    event = dict(event)
    found = detected(bench, exporter, loaded, make_event(event.pop("kind"), cat, time=NOW, **event))[
        "process_kprobe"
    ]
    assert found["args"] == [told]


def test_credentials_are_those_of_the_process(bench: Any, exporter: Exporter, cat: Process) -> None:
    cat.uid, cat.euid, cat.caps = 5, 0, (1 << 21, 1 << 21 | 2, 0, 0, 0)
    loaded = bench.probe(call="commit_creds", args=[{"index": 0, "type": "cred"}])
    told = detected(bench, exporter, loaded, make_event("setuid", cat, time=NOW))["process_kprobe"]["args"][
        0
    ]["process_credentials_arg"]
    assert (told["uid"], told["euid"]) == (5, 0)
    assert told["caps"] == {"effective": ["CAP_SYS_ADMIN"], "permitted": ["DAC_OVERRIDE", "CAP_SYS_ADMIN"]}


def test_the_other_sorts_of_events(bench: Any, exporter: Exporter, cat: Process, policy: Any) -> None:
    args = [{"index": 4, "type": "syscall64"}]
    loaded = bench.probe("tracepoints", subsystem="raw_syscalls", event="sys_enter", args=args)
    body = detected(bench, exporter, loaded, make_event("tracepoint", cat, args=[257], time=NOW))[
        "process_tracepoint"
    ]
    assert (body["subsys"], body["event"], body["args"]) == (
        "raw_syscalls",
        "sys_enter",
        [{"syscall_id": {"id": 257, "abi": "x64"}}],
    )
    loaded = bench.probe(
        "uprobes", path="/lib/libc.so.6", symbols=["malloc"], args=[{"index": 0, "type": "uint64"}]
    )
    body = detected(bench, exporter, loaded, make_event("uprobe", cat, args=[64], flags=1, time=NOW))[
        "process_uprobe"
    ]
    assert (body["path"], body["symbol"], body["args"]) == ("/lib/libc.so.6", "malloc", [{"size_arg": "64"}])
    loaded = bench.probe("usdts", path="/bin/x", provider="p", name="n")
    body = detected(bench, exporter, loaded, make_event("uprobe", cat, flags=1, time=NOW))["process_usdt"]
    assert (body["path"], body["provider"], body["name"]) == ("/bin/x", "p", "n")
    assert "args" not in body
    loaded = bench.probe("lsmhooks", hook="file_open", args=[{"index": 0, "type": "file"}])
    body = detected(
        bench,
        exporter,
        loaded,
        make_event("openat", cat, texts=["/x"], ret=3, file=File(mode=0o100600), time=NOW),
    )["process_lsm"]
    assert (body["function_name"], body["args"]) == (
        "file_open",
        [{"file_arg": {"path": "/x", "permission": "-rw-------"}}],
    )
    loaded = bench.load(policy({"loader": True}))
    event = make_event(
        "mmap", cat, args=[0, 0, 5, 2], ret=1, texts=["/lib/x.so"], file=File(mode=0o100755), time=NOW
    )
    assert detected(bench, exporter, loaded, event)["process_loader"]["path"] == "/lib/x.so"


def test_actions_are_named_as_they_were_asked_for(bench: Any, exporter: Exporter, cat: Process) -> None:
    loaded = bench.probe(
        call="sys_setuid", selectors=[{"matchActions": [{"action": "Post"}, {"action": "Sigkill"}]}]
    )
    told = detected(bench, exporter, loaded, make_event("setuid", cat, flags=1, time=NOW))["process_kprobe"]
    assert told["action"] == "KPROBE_ACTION_SIGKILL"


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_500_000_000, "1970-01-01T00:00:01.500Z"), (1_000_001_000, "1970-01-01T00:00:01.000001Z"), (1, "1970-01-01T00:00:00.000000001Z")],
)  # fmt: skip
def test_times(ns: int, text: str) -> None:
    assert timestamp(ns) == text


def test_signals_have_names() -> None:
    assert [signal_name(one) for one in (9, 15, 31, 40)] == ["SIGKILL", "SIGTERM", "SIGSYS", "40"]
