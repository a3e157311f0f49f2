"""Each behaviour has an event that is one and a similar one that is not; both go through the kernel's tests as well."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.sense import behaviours, behaviours_acts, sieving
from fairlead.sense.events import (
    AF_INET,
    AF_UNIX,
    CONTAINED,
    Container,
    Event,
    File,
    Process,
    Sock,
    make_event,
)
from fairlead.sense.plans import MOST_TESTS

PEER = bytes([10, 0, 0, 1]) + bytes(12)


def program(name: str = "sh", *, inside: bool = False, exe: str = "", **told: Any) -> Process:
    process = Process(100, 1)
    process.name = process.title = name
    process.exe = exe or f"/usr/bin/{name}"
    process.vpid = 7 if inside else 100
    if inside:
        process.container = Container(id="c" * 64, name="web")
    for key, value in told.items():
        setattr(process, key, value)
    return process


def opened(
    path: str, flags: int, *, inside: bool = False, name: str = "sh", ret: int = 3, kind: str = "openat"
) -> Event:
    return make_event(
        kind,
        program(name, inside=inside),
        args=(0xFFFFFF9C, 1, flags, 0) if kind == "openat" else (1, flags, 0),
        ret=ret,
        texts=(path, path, ""),
        file=File(mode=0o100644, fd=ret, oflags=flags & ~0o1300),
        flags=CONTAINED if inside else 0,
    )


def renamed(old: str, new: str, *, inside: bool = False, base: str = "") -> Event:
    return make_event(
        "rename", program("mv", inside=inside), texts=(old, base, new, base), flags=CONTAINED if inside else 0
    )


def ran(
    exe: str, *, inside: bool = False, env: tuple[str, ...] = (), parent: Process | None = None, **told: Any
) -> Event:
    process = program(exe.rpartition("/")[2][:15], inside=inside, exe=exe, parent=parent, **told)
    process.env = list(env)
    return make_event("exec", process, texts=(exe, "/", exe), flags=CONTAINED if inside else 0)


def wrote(
    path: str, data: bytes, *, inside: bool = False, mode: int = 0o100644, kind: str = "write"
) -> Event:
    return make_event(
        kind,
        program("cp", inside=inside),
        args=(3, 1, len(data)),
        ret=len(data),
        texts=(path, data),
        file=File(mode=mode, fd=3, oflags=1),
        flags=CONTAINED if inside else 0,
    )


def called(
    kind: str, *args: int, ret: int = 0, texts: tuple[str, ...] = (), inside: bool = False, **told: Any
) -> Event:
    return make_event(
        kind,
        program(inside=inside),
        args=args,
        ret=ret,
        texts=texts,
        flags=CONTAINED if inside else 0,
        **told,
    )


def connected(
    fd: int, *, inside: bool = False, port: int = 443, env: tuple[str, ...] = (), ret: int = 0
) -> Event:
    process = program(inside=inside)
    process.env = list(env)
    sock = Sock(family=AF_INET, type=1, rport=port, fd=fd, raddr=PEER)
    return make_event("connect", process, args=(fd,), ret=ret, sock=sock, flags=CONTAINED if inside else 0)


def docked(path: str, *, inside: bool = True) -> Event:
    sock = Sock(family=AF_UNIX, type=1, fd=4)
    return make_event(
        "connect",
        program(inside=inside),
        args=(4,),
        texts=(path,),
        sock=sock,
        flags=CONTAINED if inside else 0,
    )


def duplicated(ret: int, *, port: int = 4444, kind: str = "dup2", family: int = AF_INET) -> Event:
    sock = Sock(family=family, type=1, rport=port, fd=ret, raddr=PEER)
    return make_event(kind, program(), args=(9, 0 if kind == "fcntl" else ret), ret=ret, sock=sock)


R, W, RW = 0, 1, 2
ELF = b"\x7fELF\x02\x01\x01"
TOKEN = "/run/secrets/kubernetes.io/serviceaccount/..2026_01/token"
API = ("KUBERNETES_SERVICE_HOST=10.0.0.1",)
NGINX = program("nginx", exe="/usr/sbin/nginx")

CASES: list[tuple[str, Event, Event]] = [
    ("stdio_over_socket", duplicated(0), duplicated(5)),
    ("stdio_over_socket", duplicated(1, kind="fcntl"), duplicated(1, kind="fcntl", port=0)),
    ("stdio_over_socket", connected(1, port=4444), connected(3, port=4444)),
    ("stdio_over_socket", connected(2, port=4444, ret=-115), connected(2, port=4444, ret=-111)),
    ("stdio_over_socket", duplicated(2, kind="dup"), duplicated(2, family=AF_UNIX)),
    ("anti_debugging", called("ptrace", 0), called("ptrace", 16, 5)),
    ("ptrace_code_injection", called("ptrace", 4, 5, 0x1000), called("ptrace", 1, 5, 0x1000)),
    ("ptrace_code_injection", called("ptrace", 5, 5, 0x1000), called("ptrace", 0x4200, 5)),
    ("process_vm_write_inject", called("process_vm_writev", 55), called("process_vm_writev", 100)),
    ("fileless_execution", ran("/memfd:x (deleted)", exe_flags=2), ran("/usr/bin/true")),
    ("fileless_execution", ran("/dev/shm/x"), ran("/tmp/x")),
    ("illegitimate_shell", ran("/bin/sh", parent=NGINX), ran("/bin/sh", parent=program("sshd"))),
    ("ld_preload", ran("/bin/ls", env=("A=1", "LD_PRELOAD=/x.so")), ran("/bin/ls", env=("NOT_LD_PRELOAD=/x.so",))),
    ("ld_preload", opened("/etc/ld.so.preload", W), opened("/etc/ld.so.preload", R)),
    ("ld_preload", renamed("x", "ld.so.preload", base="/etc"), renamed("/etc/ld.so.preload", "/tmp/x")),
    ("kernel_module_loading", called("module", texts=("evil",)), called("delete_module", texts=("evil",))),
    ("kernel_module_loading", called("finit_module", 3, ret=-1, texts=("/x.ko",)), called("read", 3, ret=-38)),
    ("dropped_executable", wrote("/tmp/x", ELF, inside=True), wrote("/tmp/x", ELF)),
    ("dropped_executable", wrote("/tmp/x", ELF, inside=True, kind="pwrite64"), wrote("/tmp/x", b"#!/bin/sh", inside=True)),
    ("dropped_executable", ran("/tmp/x", inside=True, exe_flags=1), ran("/bin/x", inside=True)),
    ("hidden_file_created", wrote("/home/u/.x", ELF), wrote("/home/u/x", ELF)),
    ("hidden_file_created", wrote("/home/.u/x", ELF, kind="writev"), wrote("/home/u/.x", b"text")),
    ("aslr_inspection", opened("/proc/sys/kernel/randomize_va_space", R), opened("/proc/sys/kernel/osrelease", R)),
    ("cgroup_notify_on_release", opened("/sys/fs/cgroup/x/notify_on_release", W, inside=True), opened("/sys/fs/cgroup/x/notify_on_release", W)),
    ("cgroup_release_agent", opened("/sys/fs/cgroup/release_agent", W, inside=True), opened("/sys/fs/cgroup/release_agent", R, inside=True)),
    ("cgroup_release_agent", renamed("/a", "/b/release_agent", inside=True), renamed("/b/release_agent", "/a", inside=True)),
    ("core_pattern_modification", opened("/proc/sys/kernel/core_pattern", RW, inside=True), opened("/proc/sys/kernel/core_pattern", R, inside=True)),
    ("default_loader_mod", opened("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", W), opened("/usr/lib/x86_64-linux-gnu/libc.so.6", W)),
    ("default_loader_mod", renamed("/tmp/x", "/lib64/ld-linux-x86-64.so.2"), renamed("/lib64/ld-linux-x86-64.so.2", "/tmp/x")),
    ("default_loader_mod", renamed("x", "../lib/ld-musl-x86_64.so.1", base="/etc"), renamed("x", "../lib/old", base="/etc")),
    ("k8s_service_account_token", opened(TOKEN, R, inside=True, name="cat"), opened(TOKEN, R, inside=True, name="coredns")),
    ("k8s_service_account_token", opened(TOKEN, R, inside=True, name="curl"), opened("/run/secrets/kubernetes.io/serviceaccount/ca.crt", R, inside=True)),
    ("k8s_cert_theft", opened("/etc/kubernetes/pki/ca.key", R, name="cat"), opened("/etc/kubernetes/pki/ca.key", R, name="kubelet")),
    ("k8s_cert_theft", renamed("/etc/kubernetes/pki/ca.key", "/tmp/x"), renamed("/tmp/x", "/etc/kubernetes/pki/ca.key")),
    ("proc_kcore_read", opened("/proc/kcore", R, inside=True), opened("/proc/kcore", R)),
    ("proc_mem_access", opened("/proc/77/mem", R), opened("/proc/meminfo", R)),
    ("proc_mem_access", opened("/proc/77/task/78/mem", R), opened("/proc/77/maps", R)),
    ("proc_mem_code_injection", opened("/proc/77/mem", RW), opened("/proc/77/mem", R)),
    ("rcd_modification", opened("/etc/rc.local", W), opened("/etc/rc.local", R)),
    ("rcd_modification", opened("/etc/rc5.d/S01x", W, kind="open"), opened("/etc/resolv.conf", W)),
    ("rcd_modification", ran("/usr/sbin/update-rc.d"), ran("/usr/sbin/update-passwd")),
    ("sched_debug_recon", opened("/proc/sched_debug", R, inside=True), opened("/proc/sched_debug", R)),
    ("scheduled_task_mod", opened("/etc/cron.d/x", W), opened("/etc/cron.d/x", R)),
    ("scheduled_task_mod", ran("/usr/bin/crontab"), ran("/usr/bin/cron")),
    ("scheduled_task_mod", renamed("/tmp/x", "/var/spool/cron/crontabs/root"), renamed("/tmp/x", "/var/spool/mail/root")),
    ("sudoers_modification", opened("/etc/sudoers.d/x", W), opened("/etc/sudo.conf", W)),
    ("sudoers_modification", renamed("/etc/sudoers.tmp", "/etc/sudoers"), renamed("/etc/sudoers", "/etc/sudoers.old")),
    ("system_request_key_mod", opened("/proc/sysrq-trigger", W, inside=True), opened("/proc/sysrq-trigger", W)),
    ("docker_abuse", docked("/var/run/docker.sock"), docked("/var/run/other.sock")),
    ("docker_abuse", opened("/run/docker.sock", W, inside=True), docked("/var/run/docker.sock", inside=False)),
    ("k8s_api_connection", connected(5, inside=True, env=API), connected(5, inside=True, env=("KUBERNETES_SERVICE_HOST=10.0.0.2",))),
    ("k8s_api_connection", connected(5, inside=True, env=API), connected(5, env=API)),
    ("disk_mount", called("mount", texts=("/dev/sda1", "/mnt", "", "ext4"), inside=True), called("mount", texts=("tmpfs", "/mnt", "", "tmpfs"), inside=True)),
    ("disk_mount", called("fsconfig", 3, 1, texts=("", "source", "/dev/sda1"), inside=True), called("fsconfig", 3, 1, texts=("", "source", "tmpfs"), inside=True)),
    ("disk_mount", called("fsconfig", 3, 1, texts=("", "source", "/dev/sda1"), inside=True), called("fsconfig", 3, 0, texts=("", "ro", ""), inside=True)),
    ("disk_mount", called("mount", texts=("/dev/sda1", "mnt", "/", "ext4"), inside=True, ret=-6), called("mount", texts=("/dev/sda1", "/mnt", "", "ext4"), inside=True, ret=-1)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "bad", "good"), CASES, ids=[f"{case[0]}-{at}" for at, case in enumerate(CASES)]
)
def test_a_behaviour_is_seen_and_what_is_like_it_is_not(name: str, bad: Event, good: Event) -> None:
    judge = behaviours.BEHAVIOURS[name].judge
    assert judge(bad)
    assert not judge(good)
    rule = behaviours.rule(behaviours.BEHAVIOURS[name])
    hooks = [hook for hook in rule.hooks if hook.name == bad.kind]
    assert bad.kind in rule.kinds or any(sieving.passed(hook, bad) for hook in hooks)


def test_every_behaviour_that_can_be_seen_has_a_case() -> None:
    stateful = {"dynamic_code_loading"}
    seen = {one.event for one in behaviours.BEHAVIOURS.values() if not one.why_not}
    assert seen == {case[0] for case in CASES} | stateful


def test_there_are_thirty_three_and_four_cannot_be_seen() -> None:
    every = set(behaviours.BEHAVIOURS.values())
    assert len(every) == 33
    assert len({one.id for one in every}) == 33
    assert {one.subject.name for one in behaviours.missing()} == {
        "proc_fops_hooking", "syscall_hooking", "hooked_syscall_detector", "hooked_seq_ops_detector",
    }  # fmt: skip
    assert all(one.cause for one in behaviours.missing())
    with pytest.raises(ValueError, match="cannot be detected"):
        behaviours.rule(behaviours.BEHAVIOURS["proc_fops_hooking"])


@pytest.mark.parametrize("rule", behaviours.rules(), ids=lambda rule: rule.name)
def test_clauses_belong_to_their_rule_and_fit(rule: Any) -> None:
    assert rule.hooks or rule.kinds
    for hook in rule.hooks:
        assert hook.clauses
        for clause in hook.clauses:
            assert clause.owner == rule.key
            assert len(clause.tests) <= MOST_TESTS
    assert rule.hooks == behaviours.BEHAVIOURS[rule.name].watch(rule.key)  # type: ignore[misc]


def protect(process: Process, kind: str, start: int, length: int, prot: int) -> object:
    args = (0, length, prot) if kind == "mmap" else (start, length, prot)
    ret = start if kind == "mmap" else 0
    return behaviours.BEHAVIOURS["dynamic_code_loading"].judge(make_event(kind, process, args=args, ret=ret))


def test_code_is_loaded_where_memory_was_writable_and_executable() -> None:
    process = program()
    assert not protect(process, "mmap", 0x1000, 0x1000, 7)
    assert not protect(process, "mprotect", 0x9000, 0x1000, 5)
    assert protect(process, "mprotect", 0x1800, 0x100, 5)
    assert not protect(process, "mprotect", 0x1800, 0x100, 5)


def test_memory_made_executable_after_it_was_written_is_a_compiler_at_work() -> None:
    process = program()
    assert not protect(process, "mmap", 0x1000, 0x1000, 3)
    assert not protect(process, "mprotect", 0x1000, 0x1000, 5)


def test_a_child_has_its_parents_memory_and_a_new_program_has_none() -> None:
    parent = program()
    assert not protect(parent, "pkey_mprotect", 0x1000, 0x1000, 7)
    child = program(parent=parent, forked_only=True)
    assert protect(child, "mprotect", 0x1000, 0x1000, 5)
    parent.exec_id += 1
    assert not protect(parent, "mprotect", 0x1000, 0x1000, 5)


def test_what_a_process_holds_is_bounded() -> None:
    process = program()
    for at in range(1000):
        protect(process, "mmap", 0x1000 * at, 0x1000, 7)
    assert process.notes
    assert [len(held.regions) for held in process.notes.values()] == [64]


def test_the_runtime_at_work_in_a_container_is_not_the_container() -> None:
    event = called("mount", texts=("/dev/pts", "/dev/pts", "", "devpts"), inside=True)
    event.process.name = "runc:[2:INIT]"
    assert not behaviours.BEHAVIOURS["disk_mount"].judge(event)
    shim = program("runc", exe="/usr/bin/runc")
    copied = ran("/memfd:runc_cloned:/proc/self/exe (deleted)", exe_flags=2, parent=shim)
    assert not behaviours.BEHAVIOURS["fileless_execution"].judge(copied)


def test_a_message_tells_who_and_what() -> None:
    rule = behaviours.rule(behaviours.BEHAVIOURS["sudoers_modification"])
    assert rule.message is not None
    assert rule.message(opened("/etc/sudoers", W)) == (
        "Sudoers file modification detected: sh (pid 100): path /etc/sudoers"
    )
    assert rule.message(opened("/etc/sudoers.d/a\nb", W, inside=True)).endswith(
        "in web: path /etc/sudoers.d/a\\nb"
    )


@pytest.mark.parametrize(
    ("path", "base", "said"),
    [
        ("/a/../b/./c//d", "", "/b/c/d"),
        ("../x", "/a/b", "/a/x"),
        ("x", "", "x"),
        ("", "/a", ""),
        ("/../..", "", "/"),
    ],
)
def test_paths_are_resolved_by_their_words(path: str, base: str, said: str) -> None:
    assert behaviours_acts.resolved(path, base) == said


def test_openat2_takes_its_flags_from_the_structure() -> None:
    event = make_event(
        "openat2", program(), ret=3, texts=("/x", "/x", "", (1 | 0o100).to_bytes(24, "little"))
    )
    found = behaviours_acts.opened(event)
    assert found is not None
    assert (found.writes, found.reads) == (True, False)
