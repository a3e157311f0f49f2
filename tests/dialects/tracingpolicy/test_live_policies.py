"""Policies on a real kernel: real programs set each one off, and similar ones do not; what acts, acts on nobody else."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from stage import Room
from stage.watching import Watch, around

from fairlead.dialects.tracingpolicy.assembling import Loaded, load
from fairlead.dialects.tracingpolicy.events import Exporter
from fairlead.dialects.tracingpolicy.filters import Host
from fairlead.drivers import kernel, procfs
from fairlead.sense.syscalls import number_of

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

MACHINE = platform.machine()
Script = Sequence[Sequence[object]]


def kprobe(
    call: str, *args: tuple[int, str], selectors: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    declared = [
        {"index": index, "type": kind, **({"sizeArgIndex": 3} if kind == "char_buf" else {})}
        for index, kind in args
    ]
    return {"kprobes": [{"call": call, "args": declared, "selectors": selectors or [{}], **more}]}


def where(index: int, operator: str, *values: str) -> dict[str, Any]:
    return {"matchArgs": [{"index": index, "operator": operator, "values": list(values)}]}


def limited(spec: dict[str, Any], binary: str) -> dict[str, Any]:
    """Return the spec with every selector limited to one program."""
    for section in ("kprobes", "lsmhooks", "tracepoints", "uprobes"):
        for probe in spec.get(section, ()):
            probe["selectors"] = [
                {"matchBinaries": [{"operator": "In", "values": [binary]}], **one}
                for one in probe.get("selectors") or [{}]
            ]
    return spec


# name, what is watched, what sets it off, what does not, what the first event must hold; {at} is the stage's folder
CASES: list[tuple[str, dict[str, Any], Script, Script, dict[str, Any]]] = [
    ("write", kprobe("sys_write", (0, "fd"), (1, "char_buf"), (2, "size_t"), selectors=[where(0, "Postfix", "/log")]),
     [("write", "{at}/log", "hello")], [("write", "{at}/other", "hello")],
     {"function_name": "__x64_sys_write", "args": [{"file_arg": {"path": "{at}/log", "permission": "-rw-r--r--"}}, {"bytes_arg": "aGVsbG8="}, {"size_arg": "5"}]}),
    ("fd-install", kprobe("fd_install", (0, "int"), (1, "file"), syscall=False, selectors=[where(1, "Equal", "{at}/seen")]),
     [("open", "{at}/seen", "c")], [("open", "{at}/unseen", "c")], {"function_name": "fd_install"}),
    ("file-open", {"lsmhooks": [{"hook": "file_open", "args": [{"index": 0, "type": "file"}], "selectors": [where(0, "Prefix", "{at}/lsm/")]}]},
     [("mkdir", "{at}/lsm"), ("open", "{at}/lsm/x", "c")], [("open", "{at}/lsmx", "c")],
     {"function_name": "file_open", "args": [{"file_arg": {"path": "{at}/lsm/x", "permission": "-rw-r--r--"}}]}),
    ("permission", kprobe("security_file_permission", (0, "file"), (1, "int"), syscall=False, **{"return": True}, returnArg={"index": 0, "type": "int"},
                                     selectors=[{"matchArgs": [{"index": 0, "operator": "Prefix", "values": ["{at}/perm"]}, {"index": 1, "operator": "Equal", "values": ["2"]}]}]),
     [("write", "{at}/perm1", "x")], [("read", "{at}/perm1")], {"return": {"int_arg": 0}}),
    ("mkdir", kprobe("security_inode_mkdir", (1, "dentry"), syscall=False, selectors=[where(1, "Postfix", "/made")]),
     [("chdir", "{at}"), ("mkdir", "made")], [("mkdir", "{at}/made2")], {"args": [{"path_arg": {"path": "{at}/made"}}]}),
    ("capability", kprobe("cap_capable", (2, "capability"), syscall=False, selectors=[where(2, "Equal", "18")]),
     [("chroot", "/")], [("write", "{at}/plain", "x")],
     {"function_name": "cap_capable", "args": [{"capability_arg": {"value": 18, "name": "CAP_SYS_CHROOT"}}]}),
    ("unlink", kprobe("security_path_unlink", (1, "dentry"), syscall=False, selectors=[where(1, "Prefix", "{at}/gone")]),
     [("write", "{at}/gone", ""), ("unlinkat", "{at}/gone")], [("unlinkat", "{at}/kept")], {}),
    ("rename", kprobe("sys_renameat2", (1, "string"), (3, "string"), selectors=[where(3, "SubString", "new-na")]),
     [("renameat2", "{at}/a", "{at}/new-name")], [("renameat2", "{at}/a", "{at}/old")], {"args": [{"string_arg": "{at}/a"}, {"string_arg": "{at}/new-name"}]}),
    ("symlink", kprobe("sys_symlinkat", (0, "string"), (1, "int"), (2, "string"), selectors=[where(0, "Equal", "/etc/passwd")]),
     [("symlinkat", "/etc/passwd", "{at}/pw")], [("symlinkat", "/etc/group", "{at}/gr")], {}),
    ("link", kprobe("sys_linkat", (0, "int"), (1, "string"), (2, "int"), (3, "string"), (4, "int"), selectors=[where(1, "Postfix", "/secret")]),
     [("linkat", "{at}/secret", "{at}/l1")], [("linkat", "{at}/public", "{at}/l2")], {}),
    ("truncate", kprobe("security_path_truncate", (0, "path"), syscall=False, selectors=[where(0, "Prefix", "{at}/cut")]),
     [("write", "{at}/cut", "long")], [("append", "{at}/cut", "x")], {}),
    ("mmap", kprobe("security_mmap_file", (0, "file"), (1, "uint32"), (2, "nop"), syscall=False, selectors=[where(1, "Mask", "4")]),
     [("keep", "{at}/bin/prog"), ("call", number_of("mmap", MACHINE), 0, 4096, 5, 2, 3, 0)], [("keep", "{at}/bin/prog"), ("call", number_of("mmap", MACHINE), 0, 4096, 1, 2, 3, 0)],
     {"args": [{"file_arg": {"path": "{at}/bin/prog", "permission": "-rwxr-xr-x"}}, {"uint_arg": 5}]}),
    ("mount", kprobe("sys_mount", (0, "string"), (1, "string"), selectors=[where(1, "Prefix", "{at}/mnt")]),
     [("mount", "none", "{at}/mnt-absent", "tmpfs", 0)], [("mount", "none", "{at}/other-absent", "tmpfs", 0)], {"args": [{"string_arg": "none"}, {"string_arg": "{at}/mnt-absent"}]}),
    ("pivot", kprobe("sys_pivot_root", (0, "string"), (1, "string")),
     [("call-with-text", number_of("pivot_root", MACHINE), "{at}/absent", 0)], [("chdir", "{at}")], {"args": [{"string_arg": "{at}/absent"}, {"string_arg": ""}]}),
    ("clock", kprobe("sys_clock_settime", (0, "int"), selectors=[{"matchPIDs": [{"operator": "NotIn", "followForks": False, "isNamespacePID": True, "values": [1]}]}]),
     [("call", number_of("clock_settime", MACHINE), 99, 0)], [("call", number_of("clock_getres", MACHINE), 99, 0)], {"args": [{"int_arg": 99}]}),
    ("setuid", kprobe("sys_setuid", (0, "int"), selectors=[where(0, "InRange", "1000:1999")]),
     [("fork",), ("setuid", 1234)], [("setuid", 0)], {"function_name": "__x64_sys_setuid", "args": [{"int_arg": 1234}]}),
    ("creds", kprobe("commit_creds", (0, "cred"), syscall=False, selectors=[{"matchCapabilities": [{"operator": "NotIn", "values": ["CAP_SETUID"]}]}]),
     [("fork",), ("setuid", 1234)], [("setgid", 0)], {}),
    ("ptrace", kprobe("security_ptrace_access_check", (1, "int"), syscall=False, selectors=[where(1, "Equal", "2")]),
     [("ptrace", "attach")], [("ptrace", "traceme")], {"args": [{"int_arg": 2}]}),
    ("kill", kprobe("security_task_kill", (2, "int"), syscall=False, selectors=[where(2, "GT", "10")]),
     [("kill", 0x7FFFFFF, 12)], [("kill", 0x7FFFFFF, 0)], {"args": [{"int_arg": 12}]}),
    ("connect", kprobe("tcp_connect", (0, "sock"), syscall=False, selectors=[{"matchArgs": [{"index": 0, "operator": "DAddr", "values": ["127.0.0.0/8"]}, {"index": 0, "operator": "DPort", "values": ["9000:9010"]}]}]),
     [("connect", "127.0.0.1", 9009)], [("connect", "127.0.0.1", 9011)], {}),
    ("sockaddr", kprobe("sys_connect", (1, "sockaddr"), selectors=[where(1, "SPort", "9005")]),
     [("connect", "127.0.0.1", 9005)], [("connect", "127.0.0.1", 9006)], {"args": [{"sockaddr_arg": {"family": "AF_INET", "addr": "127.0.0.1", "port": 9005}}]}),
    ("listen", kprobe("inet_csk_listen_start", (0, "sock"), syscall=False, selectors=[where(0, "SPort", "31337")]),
     [("listen", "127.0.0.1", 31337)], [("listen", "127.0.0.1", 31338)], {}),
    ("udp", kprobe("udp_sendmsg", (0, "sock"), (2, "int"), syscall=False, selectors=[where(0, "DPort", "9053")]),
     [("sendto", "127.0.0.1", 9053, "hi")], [("sendto", "127.0.0.1", 9054, "hi")], {}),
    ("socket", kprobe("sk_alloc", (1, "int"), syscall=False, selectors=[where(1, "Equal", "17")]),
     [("socket", 17, 3, 0)], [("socket", 2, 1, 0)], {"args": [{"int_arg": 17}]}),
    ("bpf", kprobe("security_bpf", (0, "bpf_cmd"), syscall=False, selectors=[where(0, "Equal", "5")]),
     [("bpf",)], [("call", number_of("bpf", MACHINE), 11, 0, 0)], {"args": [{"bpf_cmd_arg": "BPF_PROG_LOAD"}]}),
    ("userns", kprobe("security_create_user_ns", (0, "cred"), syscall=False), [("unshare", 0x10000000)], [("unshare", 0x400)], {}),
    ("exec", {"lsmhooks": [{"hook": "bprm_check_security", "args": [{"index": 0, "type": "linux_binprm"}], "selectors": [where(0, "Postfix", "/nop")]}]},
     [("run", "{at}/bin/nop", "nop", "arg")], [("run", "{at}/bin/yop", "yop")],
     {"function_name": "bprm_check_security", "args": [{"linux_binprm_arg": {"path": "{at}/bin/nop", "permission": "-rwxr-xr-x"}}]}),
    ("tracepoint", {"tracepoints": [{"subsystem": "signal", "event": "signal_generate", "args": [{"index": 4, "type": "int"}], "selectors": [where(4, "Equal", "10")]}]},
     [("fork",), ("raise", 10)], [("fork",), ("raise", 12)], {"subsys": "signal", "args": [{"int_arg": 10}]}),
    ("raw-syscalls", {"lists": [{"name": "dups", "type": "syscalls", "values": ["sys_dup", "sys_dup3"]}],
                                 "tracepoints": [{"subsystem": "raw_syscalls", "event": "sys_enter", "args": [{"index": 4, "type": "syscall64"}],
                                                  "selectors": [where(4, "InMap", "list:dups")]}]},
     [("dup", 1)], [("chdir", "/")], {"args": [{"syscall_id": {"id": number_of("dup", MACHINE), "abi": "x64"}}]}),
    ("tracepoint-call", {"tracepoints": [{"subsystem": "syscalls", "event": "sys_enter_chdir", "args": [{"index": 5, "type": "string"}], "selectors": [where(5, "Prefix", "{at}/cd")]}]},
     [("chdir", "{at}/cd-absent")], [("chdir", "{at}")], {"args": [{"string_arg": "{at}/cd-absent"}]}),
    ("drop", kprobe("sys_prctl", (0, "int"), (1, "uint64"), selectors=[where(0, "Equal", "24")]),
     [("dropcap", 21)], [("name", "x")], {"args": [{"int_arg": 24}, {"size_arg": "21"}]}),
]  # fmt: skip


class Stage:
    """A folder with programs, policies that watch one of them, and what they said."""

    def __init__(self, folder: Path, make: Callable[[str], list[dict[str, Any]]]) -> None:
        self.room = Room(folder, Path(kernel.hierarchy().mount))
        self.at = str(folder)
        for name in ("prog", "nop", "yop", "spared"):
            self.room.install(f"/bin/{name}")
        abilities = kernel.probe().names
        told = procfs.namespaces(1)
        self.home = told if all(told) else procfs.namespaces(os.getpid())  # this process is not contained
        self.loaded: Loaded = load(
            [("live.yaml", one) for one in make(self.at)],
            abilities,
            Host(namespaces=self.home, machine=MACHINE),
        )
        about, containers = around()
        self.watch = Watch(self.loaded.rules, about, containers)
        self.exporter = Exporter(node="stage", home=self.home, machine=MACHINE)

    def act(
        self, *steps: Sequence[object], program: str = "prog", **how: Any
    ) -> subprocess.CompletedProcess[bytes]:
        how.setdefault("host", True)
        path = f"{self.at}/bin/{program}" if how["host"] else f"/bin/{program}"
        return self.room.run(path, act=list(steps), **how)

    def told(self, policy: str) -> list[dict[str, Any]]:
        """Settle, and return the events of one policy since the last time."""
        self.watch.settle()
        found = [one for one in self.watch.detections if one.rule.detail.name == policy]
        self.watch.detections = [one for one in self.watch.detections if one not in found]
        return [event for one in found if (event := self.exporter.detected(one)) is not None]

    def close(self) -> None:
        self.watch.close()
        self.room.close()


def document(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "cilium.io/v1alpha1",
        "kind": "TracingPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(
        tmp_path_factory.mktemp("watched"),
        lambda at: [document(name, limited(filled(spec, at), f"{at}/bin/prog")) for name, spec, *_ in CASES],
    )
    yield made
    made.close()


def filled(wanted: Any, at: str) -> Any:
    if isinstance(wanted, str):
        return wanted.replace("{at}", at)
    if isinstance(wanted, list | tuple):
        return [filled(one, at) for one in wanted]
    return {key: filled(one, at) for key, one in wanted.items()} if isinstance(wanted, dict) else wanted


@pytest.mark.parametrize(("name", "spec", "does", "spares", "wanted"), CASES, ids=[one[0] for one in CASES])
def test_what_sets_a_policy_off(
    stage: Stage, name: str, spec: dict[str, Any], does: Script, spares: Script, wanted: dict[str, Any]
) -> None:
    placed = {one.hook.name: one.how for one in stage.watch.sensor.placed}
    stage.told(name)  # what other cases have set off
    stage.act(*filled(spares, stage.at))
    assert not stage.told(name)
    said = stage.act(*filled(does, stage.at))
    found = stage.told(name)
    assert found, (said.stderr, placed)
    [(kind, body)] = [(key, value) for key, value in found[0].items() if key.startswith("process_")]
    assert body["policy_name"] == name
    assert body["process"]["binary"] in {f"{stage.at}/bin/prog", f"{stage.at}/bin/nop"}
    for key, value in filled(wanted, stage.at).items():
        assert body[key] == value, (kind, body)
    stage.act(*filled(does, stage.at), program="spared")
    assert not stage.told(name)


def killing(at: str) -> list[dict[str, Any]]:
    def spec(section: str, **probe: Any) -> dict[str, Any]:
        return limited({section: [probe]}, f"{at}/bin/prog")

    sigkill = [{"action": "Sigkill"}]
    return [
        document("kill-exec", spec("lsmhooks", hook="bprm_check_security", args=[{"index": 0, "type": "linux_binprm"}],
                                   selectors=[{**where(0, "Postfix", "/nop"), "matchActions": sigkill}])),
        document("kill-connect", spec("kprobes", call="tcp_connect", syscall=False, args=[{"index": 0, "type": "sock"}],
                                      selectors=[{**where(0, "NotDAddr", "127.0.0.2"), "matchActions": sigkill}])),
        document("kill-write", spec("kprobes", call="sys_write", args=[{"index": 0, "type": "fd"}],
                                    selectors=[{**where(0, "Postfix", "/guarded"), "matchActions": sigkill}])),
        document("kill-link", spec("kprobes", call="sys_symlinkat", args=[{"index": 0, "type": "string"}],
                                   selectors=[{**where(0, "Equal", "/etc/shadow"), "matchActions": [{"action": "Signal", "argSig": 9}]}])),
        document("no-connect", spec("kprobes", call="sys_connect", args=[{"index": 1, "type": "sockaddr"}],
                                    selectors=[{**where(1, "SPort", "9099"), "matchActions": [{"action": "Override", "argError": -1}]}])),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def enforced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("enforced"), killing)
    yield made
    made.close()


def test_an_exec_is_killed_before_its_first_instruction(enforced: Stage) -> None:
    marker = Path(enforced.at, "ran")
    for _ in range(20):
        enforced.act(("run", f"{enforced.at}/bin/nop", "nop"), then=[[("write", str(marker), "x")]])
        assert not marker.exists()
    found = enforced.told("kill-exec")
    assert len(found) == 20
    assert {one["process_lsm"]["action"] for one in found} == {"KPROBE_ACTION_SIGKILL"}
    enforced.act(("run", f"{enforced.at}/bin/yop", "yop"), then=[[("write", str(marker), "x")]])
    assert marker.exists()


def test_a_connection_is_killed_and_another_is_not(enforced: Stage) -> None:
    assert enforced.act(("connect", "127.0.0.1", 9001), ("say", "alive")).returncode == -9
    assert enforced.act(("connect", "127.0.0.2", 9001), ("say", "alive")).stdout == b"alive\n"
    assert (
        enforced.act(("connect", "127.0.0.1", 9001), ("say", "alive"), program="spared").stdout == b"alive\n"
    )
    assert len(enforced.told("kill-connect")) == 1


def test_a_write_is_killed_before_it_is_done(enforced: Stage) -> None:
    assert enforced.act(("write", f"{enforced.at}/guarded", "spoilt")).returncode == -9
    assert Path(enforced.at, "guarded").read_text() == ""
    assert enforced.act(("write", f"{enforced.at}/free", "fine")).returncode == 0
    assert [one["process_kprobe"]["action"] for one in enforced.told("kill-write")] == [
        "KPROBE_ACTION_SIGKILL"
    ]


def test_a_signal_is_sent_for_a_text(enforced: Stage) -> None:
    assert enforced.act(("symlinkat", "/etc/shadow", f"{enforced.at}/sh"), ("say", "alive")).returncode == -9
    assert (
        enforced.act(("symlinkat", "/etc/shadow2", f"{enforced.at}/sh2"), ("say", "alive")).stdout
        == b"alive\n"
    )
    assert len(enforced.told("kill-link")) == 1


def test_a_connection_is_prevented(enforced: Stage) -> None:
    said = enforced.act(("connect", "127.0.0.2", 9099))
    assert b"Operation not permitted" in said.stderr
    assert b"Operation not permitted" not in enforced.act(("connect", "127.0.0.2", 9098)).stderr
    assert (
        b"Operation not permitted"
        not in enforced.act(("connect", "127.0.0.2", 9099), program="spared").stderr
    )
    assert [one["process_kprobe"]["action"] for one in enforced.told("no-connect")] == [
        "KPROBE_ACTION_OVERRIDE"
    ]
