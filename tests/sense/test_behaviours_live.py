"""The behaviours on a real kernel: actions of our own in throw-away containers, each with a similar one that is none."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from stage import Room

from fairlead.drivers import kernel
from fairlead.sense import behaviours
from fairlead.sense.decoding import Decoder
from fairlead.sense.plans import Plan, merge
from fairlead.sense.processes import Processes
from fairlead.sense.rules import Rule
from fairlead.sense.syscalls import number_of

pytestmark = pytest.mark.kernel

TOKEN = "/run/secrets/kubernetes.io/serviceaccount/token"
Script = Sequence[Sequence[object]]
MACHINE = platform.machine()


class Watch:
    """A sensor for all behaviours, and what they said of what happened in a cgroup."""

    def __init__(self) -> None:
        self.rules = behaviours.rules()
        plan = merge(tuple(Plan(hooks=rule.hooks, recorder=False) for rule in self.rules))
        self.sensor = kernel.open(plan, contained_only=False)
        epoch = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.processes = Processes(epoch=epoch)
        self.decoder = Decoder(self.processes)
        self.by_kind: dict[str, list[Rule]] = {}
        for rule in self.rules:
            for kind in {*rule.kinds, *(hook.name for hook in rule.hooks)}:
                self.by_kind.setdefault(kind, []).append(rule)
        self.drain()

    def drain(self) -> list[tuple[str, int, Any]]:
        """Return (behaviour, cgroup, data) of each detection since the last time."""
        found = []
        for event in self.decoder.feed(self.sensor.read()):
            for rule in self.by_kind.get(event.kind, ()):
                said = rule.residue(event) if rule.residue else True
                if said:
                    found.append((rule.name, event.cgroup, said))
        return found

    def during(self, room: Room, act: Callable[[], object]) -> dict[str, Any]:
        """Return what was seen in a room while something was done in it."""
        self.drain()
        act()
        return {name: said for name, cgroup, said in self.drain() if cgroup == room.cgroup_id}


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.sensor.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path / "root", Path(kernel.hierarchy().mount))
    (made.path / TOKEN.lstrip("/")).parent.mkdir(parents=True)
    (made.path / TOKEN.lstrip("/")).write_text("t")
    for name in (
        "etc/cron.d",
        "etc/kubernetes/pki",
        "etc/sudoers.d",
        "usr/lib/x86_64-linux-gnu",
        "sys/fs/cgroup",
        "home/.u",
        "dev/shm",
    ):
        (made.path / name).mkdir(parents=True, exist_ok=True)
    (made.path / "etc/kubernetes/pki/ca.key").write_text("k")
    for name in ("notify_on_release", "release_agent"):
        (made.path / "sys/fs/cgroup" / name).write_text("")
    yield made
    made.close()


FALSE_PROC: Script = [
    ("mount", "none", "/proc", "tmpfs", 0),
    ("mkdir", "/proc/sys"),
    ("mkdir", "/proc/sys/kernel"),
]
"""Not every kernel has these files, and none of them is to be touched for a test."""

CASES: list[tuple[str, Script, Script]] = [
    ("anti_debugging", [("ptrace", "traceme")], [("name", "traceme")]),
    ("ptrace_code_injection", [("ptrace", "poke")], [("ptrace", "attach")]),
    ("process_vm_write_inject", [("ptrace", "vm")], [("ptrace", "seize")]),
    ("dynamic_code_loading", [("mmap", 7, 5)], [("mmap", 3, 5)]),
    ("fileless_execution", [("memfd", "hidden")], [("run", "/bin/actor", "actor")]),
    ("dropped_executable", [("copy", "/bin/actor", "/tmp/new")], [("write", "/tmp/new", "words")]),
    ("hidden_file_created", [("copy", "/bin/actor", "/tmp/.new")], [("copy", "/bin/actor", "/tmp/new")]),
    ("hidden_file_created", [("copy", "/bin/actor", "/home/.u/new")], [("write", "/tmp/.new", "words")]),
    ("ld_preload", [("setenv", "LD_PRELOAD", "/x.so"), ("run", "/bin/actor", "actor")], [("setenv", "LD_OTHER", "/x.so"), ("run", "/bin/actor", "actor")]),
    ("ld_preload", [("write", "/etc/ld.so.preload", "/x.so")], [("write", "/etc/ld.so.conf", "/x")]),
    ("ld_preload", [("write", "/tmp/x", "/x.so"), ("chdir", "/etc"), ("rename", "../tmp/x", "ld.so.preload")], [("write", "/tmp/x", "x"), ("rename", "/tmp/x", "/tmp/ld.so.preload")]),
    ("aslr_inspection", [("read", "/proc/sys/kernel/randomize_va_space")], [("read", "/proc/sys/kernel/osrelease")]),
    ("cgroup_notify_on_release", [("append", "/sys/fs/cgroup/notify_on_release", "1")], [("read", "/sys/fs/cgroup/notify_on_release")]),
    ("cgroup_release_agent", [("append", "/sys/fs/cgroup/release_agent", "/x")], [("read", "/sys/fs/cgroup/release_agent")]),
    ("core_pattern_modification", [("open", "/proc/sys/kernel/core_pattern", "w")], [("read", "/proc/sys/kernel/core_pattern")]),
    ("default_loader_mod", [("write", "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "x")], [("write", "/usr/lib/x86_64-linux-gnu/libx.so", "x")]),
    ("default_loader_mod", [("write", "/tmp/x", "x"), ("renameat2", "/tmp/x", "/lib/ld-musl.so.1")], [("write", "/tmp/x", "x"), ("renameat2", "/tmp/x", "/lib/x")]),
    ("k8s_service_account_token", [("read", TOKEN)], [("read", "/etc/passwd")]),
    ("k8s_cert_theft", [("read", "/etc/kubernetes/pki/ca.key")], [("read", "/etc/passwd")]),
    ("k8s_cert_theft", [("renameat", "/etc/kubernetes/pki/ca.key", "/tmp/x")], [("renameat", "/etc/passwd", "/tmp/x")]),
    ("proc_mem_access", [("open", "/proc/self/mem")], [("read", "/proc/self/maps")]),
    ("proc_mem_code_injection", [("open", "/proc/self/mem", "w")], [("open", "/proc/self/mem")]),
    ("rcd_modification", [("write", "/etc/rc.local", "x")], [("write", "/etc/motd", "x")]),
    ("rcd_modification", [("run", "/usr/sbin/update-rc.d", "update-rc.d")], [("run", "/usr/sbin/update-x", "update-x")]),
    ("scheduled_task_mod", [("write", "/etc/cron.d/x", "x")], [("write", "/tmp/x", "x")]),
    ("scheduled_task_mod", [("run", "/usr/bin/crontab", "crontab")], [("run", "/usr/bin/cron", "cron")]),
    ("sudoers_modification", [("write", "/etc/sudoers.d/x", "x")], [("write", "/etc/sudo.conf", "x")]),
    ("sudoers_modification", [("write", "/etc/x", "x"), ("chdir", "/etc"), ("rename", "x", "sudoers")], [("read", "/etc/passwd")]),
    ("system_request_key_mod", [*FALSE_PROC, ("write", "/proc/sys/kernel/sysrq", "1")], [*FALSE_PROC, ("write", "/proc/sys/kernel/other", "1")]),
    ("sched_debug_recon", [*FALSE_PROC, ("write", "/proc/sched_debug", ""), ("read", "/proc/sched_debug")], [*FALSE_PROC, ("write", "/proc/sched_debug", "")]),
    ("proc_kcore_read", [*FALSE_PROC, ("write", "/proc/kcore", ""), ("read", "/proc/kcore")], [*FALSE_PROC, ("write", "/proc/kcore", "")]),
    ("illegitimate_shell", [("name", "x"), ("run", "/usr/sbin/nginx", "nginx")], [("run", "/bin/sh", "sh")]),
    ("kernel_module_loading", [("call", number_of("init_module", MACHINE), 0, 0, 0)], [("call", number_of("delete_module", MACHINE), 0, 0)]),
    ("disk_mount", [("mknod", "/dev/nothing", 0o60600, 0), ("mount", "/dev/nothing", "/tmp", "ext4", 0)], [("mount", "none", "/tmp", "tmpfs", 0)]),
    ("stdio_over_socket", [("address", "127.0.0.1"), ("accept", "127.0.0.1", 4444), ("dup2", 4, 0)], [("address", "127.0.0.1"), ("accept", "127.0.0.1", 4444), ("dup2", 4, 9)]),
    ("docker_abuse", [("listen", "/tmp/docker.sock", 0), ("connect", "/tmp/docker.sock", 0)], [("listen", "/tmp/other.sock", 0), ("connect", "/tmp/other.sock", 0)]),
    ("k8s_api_connection", [("address", "127.0.0.1"), ("setenv", "KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("run", "/bin/caller", "caller")],
     [("address", "127.0.0.1"), ("setenv", "KUBERNETES_SERVICE_HOST", "127.0.0.2"), ("run", "/bin/caller", "caller")]),
]  # fmt: skip

THEN: dict[str, Script] = {
    "illegitimate_shell": [("run", "/bin/sh", "sh")],
    "k8s_api_connection": [("accept", "127.0.0.1", 4446)],
}


def perform(room: Room, name: str, steps: Script) -> Callable[[], object]:
    for step in steps:
        if step[0] == "run" and step[1] != "/bin/actor":
            room.install(str(step[1]))
    room.install("/bin/sh")
    then = [THEN[name]] if name in THEN else []
    return lambda: room.run("/bin/actor", act=steps, then=then, new=("mnt", "uts", "ipc", "pid", "net"))


@pytest.mark.parametrize(
    ("name", "bad", "good"), CASES, ids=[f"{case[0]}-{at}" for at, case in enumerate(CASES)]
)
def test_a_behaviour_is_seen_when_it_happens(
    watch: Watch, room: Room, name: str, bad: Script, good: Script
) -> None:
    assert name in watch.during(room, perform(room, name, bad))
    assert name not in watch.during(room, perform(room, name, good))


def test_a_copied_program_that_is_run_is_a_dropped_one(watch: Watch, room: Room) -> None:
    seen = watch.during(
        room, lambda: room.run("/bin/actor", act=[("run", "/bin/actor", "actor")], layered=True)
    )
    assert "dropped_executable" not in seen
    steps = [("copy", "/bin/actor", "/opt/x"), ("run", "/opt/x", "x")]
    seen = watch.during(room, lambda: room.run("/bin/actor", act=steps, layered=True))
    assert seen["dropped_executable"] == {"path": "/opt/x"}


def test_every_behaviour_that_can_be_seen_is_tried() -> None:
    assert {case[0] for case in CASES} == {rule.name for rule in behaviours.rules()}
