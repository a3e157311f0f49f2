"""Published policies on a real kernel, watching: each that can be seen here is set off by a real program in a throw-away container."""

from __future__ import annotations

import copy
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from stage import Room
from stage.watching import Watch, around

from fairlead.dialects.tracingpolicy.assembling import load
from fairlead.dialects.tracingpolicy.events import Exporter
from fairlead.dialects.tracingpolicy.filters import Host
from fairlead.drivers import kernel, procfs
from fairlead.sense.syscalls import number_of

pytestmark = [pytest.mark.kernel, pytest.mark.corpus, pytest.mark.slow]

MACHINE = platform.machine()
Script = Sequence[Sequence[object]]


def call(name: str, *args: object) -> tuple[object, ...]:
    return ("call", number_of(name, MACHINE), *args)


ELSEWHERE = ("net",)
NEW = ("mnt", "uts", "ipc", "pid")
# file, program, what it does, what it does not mind, and the functions that must be told of; options of the room behind that
CASES: list[tuple[str, str, Script, Script, set[str]]] = [
    ("write", "/bin/actor", [("leave",), ("say-to", 1, "hello")], [("say-to", 2, "hello")], set()),
    ("sys_mount", "/bin/actor", [("mount", "none", "/tmp", "tmpfs", 0)], [], {"__x64_sys_mount"}),
    ("symlink-override", "/bin/actor", [("symlinkat", "/etc/passwd", "/tmp/a")], [("symlinkat", "/etc/group", "/tmp/a")], {"__x64_sys_symlinkat"}),
    ("hardlink-override", "/bin/actor", [("linkat", "/etc/passwd", "/tmp/a")], [("linkat", "/etc/group", "/tmp/a")], {"__x64_sys_linkat"}),
    ("override-security", "/usr/bin/bash", [("mkdir", "/tmp/x"), ("mkdirat", "/tmp/y")], [("rmdir", "/tmp/x")], {"security_inode_mkdir"}),
    ("filename_monitoring", "/bin/actor",
     [("write", "/etc/x", "text"), ("read", "/etc/x"), ("truncate", "/etc/x", 1), ("keep", "/etc/x"), call("mmap", 0, 4096, 1, 2, 3, 0)],
     [("write", "/tmp/x", "text"), ("read", "/tmp/x"), ("truncate", "/tmp/x", 1)], {"security_file_permission", "security_mmap_file", "security_path_truncate"}),
    ("cve-2024-3094-xz-ssh", "/usr/sbin/sshd", [("copy", "/etc/passwd", "/lib/liblzma.so.5.6.1"), ("keep", "/lib/liblzma.so.5.6.1"), call("mmap", 0, 4096, 1, 2, 3, 0)],
     [("keep", "/etc/passwd"), call("mmap", 0, 4096, 1, 2, 3, 0)], {"security_mmap_file"}),
    ("open_dnsrequest", "/bin/actor", [("open", "/etc/passwd")], [("open", "/etc/group")], {"fd_install"}),
    ("process.credentials.changes.at.syscalls", "/bin/actor",
     [call("setfsuid", 0), call("setfsgid", 0), call("setreuid", 0, 0), call("setregid", 0, 0), call("setresuid", 0, 0, 0), call("setresgid", 0, 0, 0), ("setgid", 0), ("setuid", 0)],
     [("chdir", "/")],
     {f"__x64_sys_{one}" for one in ("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid")}),
    ("process-creds-changed", "/bin/actor", [("setgid", 0)], [], {"commit_creds"}),
    ("tcp-connect", "/bin/actor", [("listen", "127.0.0.1", 4444), ("send", "127.0.0.1", 4444, "hello")], [("sendto", "127.0.0.1", 4444, "hello")], {"tcp_connect", "tcp_close", "tcp_sendmsg"}),
    ("tcp-connect-only-local-addrs", "/usr/bin/curl", [("address", "10.9.9.9"), ("connect", "10.9.9.9", 80)], [("connect", "127.0.0.1", 81)], {"tcp_connect"}),
    ("tcp-listen", "/bin/actor", [("listen", "127.0.0.1", 31337)], [("listen", "127.0.0.1", 31338)], {"inet_csk_listen_start"}),
    ("datagram_518", "/bin/actor", [("sendto", "127.0.0.1", 4445, "hi")], [("connect", "127.0.0.1", 4446)], {"ip_output"}),
    ("datagram-with-selectors", "/bin/actor", [("sendto", "127.0.0.1", 4445, "hi")], [("connect", "127.0.0.1", 4446)], {"__cgroup_bpf_run_filter_skb"}),
    ("stack_traces", "/bin/actor", [("connect", "127.0.0.1", 4447)], [], {"kfree_skb_reason"}),
    ("list-syscalls-generated", "/usr/bin/kill", [("chdir", "/")], [], {"__x64_sys_chdir"}),
    ("list-generated-ftrace", "/usr/bin/kill", [("write", "/tmp/kw", "y")], [], {"ksys_write"}),
    ("lsm_bprm_check", "/usr/bin/bash", [("run", "/opt/contrib/tester-progs/nop", "nop")], [("run", "/bin/actor", "actor")], {"bprm_check_security"}),
    ("monitor-signed-kernel-modules", "/bin/actor", [("keep", "/etc/passwd"), call("finit_module", 3, 0, 0)], [], {"security_kernel_read_file"}),
    ("loader", "/bin/actor", [("keep", "/bin/actor"), call("mmap", 0, 4096, 5, 2, 3, 0)], [("keep", "/bin/actor"), call("mmap", 0, 4096, 1, 2, 3, 0)], set()),
    ("tty", "/bin/actor", [("tty",), ("say-to", 0, "hello")], [("write", "/tmp/x", "y")], {"tty_write"}),
    ("tty_54", "/bin/actor", [("tty",), ("say-to", 0, "hello")], [("write", "/tmp/x", "y")], {"tty_write"}),
]  # fmt: skip
ON_HOST = ("fd_install_ns", "fd_install_ns_host")
FROM_OUTSIDE = ("sys_clock_settime", "sys_pivot_root", "write")
ABSENT = {"uprobe-binaries", "usdt-set"}
"""Policies whose binaries are not on every machine."""
NEVER = {"security_inode_follow_link"}


class Stage:
    """A container, and every published policy, watching."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        self.room = Room(folder, Path(kernel.hierarchy().mount))
        told = procfs.namespaces(1)
        self.home = told if all(told) else procfs.namespaces(os.getpid())  # this process is not contained
        contents = []
        for path in sorted((corpus / "tetragon").rglob("*.yaml")):
            content = copy.deepcopy(yaml.safe_load(path.read_text()))
            content["metadata"]["name"] = path.stem.replace("_", "-")  # two of them have one name
            content["spec"]["options"] = [{"name": "policy-mode", "value": "monitor"}]
            contents.append((path.name, content))
        self.loaded = load(contents, kernel.probe().names, Host(namespaces=self.home, machine=MACHINE))
        about, containers = around()
        self.watch = Watch(self.loaded.rules, about, containers)
        self.watch.here(self.room)
        self.exporter = Exporter(node="stage", home=self.home, machine=MACHINE)

    def told(self, policy: str, *, host: bool = False) -> list[dict[str, Any]]:
        self.watch.settle()
        name = policy.replace("_", "-")
        found = [
            one
            for one in self.watch.detections
            if one.rule.detail.name == name and (host or one.event.cgroup == self.room.cgroup_id)
        ]
        self.watch.detections = []
        return [event for one in found if (event := self.exporter.detected(one)) is not None]

    def close(self) -> None:
        self.watch.close()
        self.room.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("published"), corpus)
    yield made
    made.close()


def functions(events: list[dict[str, Any]]) -> set[str]:
    return {
        body["function_name"]
        for one in events
        for body in one.values()
        if isinstance(body, dict) and "function_name" in body
    }


@pytest.mark.parametrize(
    ("policy", "program", "does", "spares", "wanted"),
    [one for one in CASES if one[0] not in FROM_OUTSIDE],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_in_a_container(
    stage: Stage, policy: str, program: str, does: Script, spares: Script, wanted: set[str]
) -> None:
    stage.room.install(program)
    stage.room.install("/opt/contrib/tester-progs/nop")
    new = (*NEW, "net")
    before = [("address", "127.0.0.1")]
    stage.told(policy)
    if spares:
        stage.room.run(program, act=spares, new=new, before=before)
        quiet = stage.told(policy)
        assert not (wanted & functions(quiet)), quiet
    said = stage.room.run(program, act=does, new=new, before=before)
    found = stage.told(policy)
    assert found, said.stderr
    assert wanted <= functions(found), (functions(found), said.stderr)


@pytest.mark.parametrize("policy", ON_HOST)
def test_on_the_host(stage: Stage, policy: str) -> None:
    stage.told(policy)
    stage.room.run("/bin/actor", act=[("open", "/etc/passwd")])
    inside = [one for one in stage.told(policy) if one["process_kprobe"]["process"]["binary"] == "/bin/actor"]
    assert not inside
    stage.room.run(str(stage.room.outside("/bin/actor")), act=[("open", "/etc/passwd")], host=True)
    outside = [
        one["process_kprobe"]["args"][1]["file_arg"].get("path") for one in stage.told(policy, host=True)
    ]
    if policy.endswith("_host"):
        assert (
            "/etc/passwd" in outside
        )  # the other wants namespaces by number, which may or may not be the host's here
    else:
        numbers = {4026531834, 4026531835, 4026531836}
        assert ("/etc/passwd" in outside) is (
            stage.home[3] in {4026531835, 4026531836} and stage.home[2] in numbers
        )


@pytest.mark.parametrize(
    ("policy", "does"),
    [("sys_clock_settime", call("clock_settime", 99, 0)), ("sys_pivot_root", ("call-with-text", number_of("pivot_root", MACHINE), "/absent", 0)), ("write", ("say-to", 1, "hello"))],
)  # fmt: skip
def test_who_comes_into_a_container_from_outside(stage: Stage, policy: str, does: tuple[object, ...]) -> None:
    """As `kubectl exec` does: a process in the container's pid namespace that its first process did not start."""
    first = stage.room.start("/bin/actor", act=[("say", "ready"), ("await",)])
    assert first.stdout is not None
    assert first.stdout.readline() == b"ready\n"
    try:
        pid = next(
            one
            for one in stage.room.cgroup.joinpath("cgroup.procs").read_text().split()
            if int(one) != first.pid
        )
        stage.told(policy)
        stage.room.run("/bin/actor", act=[does])  # by the first process itself, and so not meant
        assert not stage.told(policy)
        setup = [
            ("must", "set", stage.room.cgroup / "cgroup.procs", "0"),
            ("must", "setns", f"/proc/{pid}/ns/pid", 0),
            ("fork",),
        ]
        stage.room.run(str(stage.room.outside("/bin/actor")), act=[*setup, does], host=True)
        assert stage.told(policy)
    finally:
        assert first.stdin is not None
        first.stdin.write(b"\n")
        first.stdin.close()
        first.wait(10)
        first.stdout.close()


def test_what_is_not_here_is_told(stage: Stage) -> None:
    seen = {rule.detail.name for rule in stage.loaded.rules}
    files = {policy.name for policy in stage.loaded.policies}
    assert files - seen == {one.replace("_", "-") for one in NEVER}
    exercised = {one[0] for one in CASES} | set(ON_HOST) | set(FROM_OUTSIDE) | ABSENT | NEVER
    assert {one.replace("_", "-") for one in exercised} == files
