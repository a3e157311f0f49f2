"""Cgroups get names: by their paths, by runtimes that answer late or never, by the API's word of pods; and users get theirs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from fairlead.drivers import procfs
from fairlead.drivers.containers.inspecting import Unanswered
from fairlead.reactor.identities import Accounts, Identities, Named, parse, workload
from fairlead.sense.events import Container, Mount
from fairlead.sense.fieldcode import Account

ID = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
UID = "12345678-1234-1234-1234-123456789abc"
LOW = UID.replace("-", "_")


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (f"/kubepods/besteffort/pod{UID}/{ID}", Named(ID, "", UID)),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{LOW}.slice/cri-containerd-{ID}.scope",
            Named(ID, "containerd", UID),
        ),
        (f"/kubepods.slice/kubepods-pod{LOW}.slice/crio-{ID}.scope", Named(ID, "cri-o", UID)),
        (f"/kubepods.slice/kubepods-pod{LOW}.slice/crio-{ID}.scope/container", Named(ID, "cri-o", UID)),
        (f"/kubepods.slice/kubepods-pod{LOW}.slice/crio-conmon-{ID}.scope", None),
        (
            f"/system.slice/containerd.service/kubepods-besteffort-pod{LOW}.slice:cri-containerd:{ID}",
            Named(ID, "containerd", UID),
        ),
        (f"/docker/{ID}", Named(ID, "docker", "")),
        (f"/docker/{ID}/init.scope", Named(ID, "docker", "")),
        (f"/system.slice/docker-{ID}.scope", Named(ID, "docker", "")),
        (f"/machine.slice/libpod-{ID}.scope/container", Named(ID, "podman", "")),
        (f"/machine.slice/libpod-conmon-{ID}.scope", None),
        (f"/libpod_parent/libpod-{ID}", Named(ID, "podman", "")),
        (f"/docker/{OTHER}/kubelet/kubepods/burstable/pod{UID}/{ID}", Named(ID, "", UID)),
        (f"/fairlead-0a1b2c3d/pod{UID}/{ID}", Named(ID, "", UID)),
        (f"/fairlead-0a1b2c3d/pod{UID}", None),
        (f"/room-0123/{ID}", Named(ID, "", "")),
        (f"/ecs/task/{ID[:32]}-1234567890", Named(f"{ID[:32]}-1234567890", "containerd", "")),
        ("/lxc/web", Named("web", "lxc", "")),
        ("/lxc.payload.web/system.slice", Named("web", "lxc", "")),
        (r"/machine.slice/machine-my\x2dbox.scope", Named("my-box", "nspawn", "")),
        ("/user.slice/user-1000.slice/session-2.scope", None),
        ("/system.slice/ssh.service", None),
        ("/", None),
        ("", None),
    ],
)
def test_what_a_path_names(path: str, named: Named | None) -> None:
    assert parse(path) == named


class Runtime:
    """Answers from a table; `late` tries find nothing, and `mute` never answers."""

    def __init__(self, name: str, *known: Container, late: int = 0, mute: bool = False) -> None:
        self.name = name
        self.known = {one.id: one for one in known}
        self.late = late
        self.mute = mute
        self.asked: list[str] = []

    async def find(self, container_id: str) -> Container | None:
        self.asked.append(container_id)
        if self.mute:
            raise Unanswered("gone")
        if len(self.asked) <= self.late:
            return None
        return self.known.get(container_id)

    async def close(self) -> None:
        self.known = {}


class Machine:
    def __init__(self, paths: Mapping[int, str], pids: Mapping[int, int] | None = None) -> None:
        self.paths, self.pids = dict(paths), dict(pids or {})
        self.walks = 0

    def path_of(self, pid: int) -> tuple[int, str]:
        cgroup = self.pids.get(pid, 0)
        return cgroup, self.paths.get(cgroup, "")

    def walk(self) -> Mapping[int, str]:
        self.walks += 1
        return self.paths


WEB = Container(
    id=ID, name="web", image="docker.io/library/nginx:1", repository="docker.io/library/nginx", tag="1",
    runtime="containerd", privileged=False, mounts=(Mount("/data", "/var/data"),), pod="web-1", pod_namespace="shop",
    pod_uid=UID, pod_labels={"app": "web"}, started=5,
)  # fmt: skip
FAST = (0.0, 0.001, 0.001, 0.001)


def test_a_container_is_there_at_once_and_completed_when_a_runtime_tells() -> None:
    async def go() -> None:
        runtime = Runtime("containerd", WEB, late=2)
        identities = Identities([runtime], Machine({}), delays=FAST)
        told = asyncio.Event()
        identities.completed = lambda _one: told.set()
        identities.made(7, f"/kubepods/pod{UID}/{ID}")
        found = identities[7]
        assert (found.id, found.name, found.pod_uid, found.image) == (ID, "", UID, "")
        await asyncio.wait_for(told.wait(), 10)
        assert identities.of(7) is found
        assert (found.name, found.image, found.pod, found.privileged) == ("web", WEB.image, "web-1", False)
        assert found.mounts == WEB.mounts
        assert runtime.asked == [ID] * 3
        await identities.close()

    asyncio.run(go())


def test_settling_waits_for_the_first_answer_only() -> None:
    async def go() -> None:
        identities = Identities([Runtime("containerd", WEB, late=1)], Machine({}), delays=(0.0, 60.0))
        identities.made(7, f"/docker/{ID}")
        await asyncio.wait_for(identities.settle(30), 5)
        assert identities[7].name == ""
        known = Identities([Runtime("containerd", WEB)], Machine({}), delays=(0.0, 60.0))
        known.made(7, f"/docker/{ID}")
        await asyncio.wait_for(known.settle(30), 5)
        assert known[7].name == "web"
        await identities.close()
        await known.close()

    asyncio.run(go())


def test_the_runtime_that_the_path_names_is_asked_first_and_one_that_is_mute_hides_no_other() -> None:
    async def go() -> None:
        first, second = Runtime("containerd", mute=True), Runtime("docker")
        identities = Identities([first, second], Machine({}), delays=(0.0,))
        identities.made(7, f"/docker/{ID}")
        await identities.settle(5)
        assert (first.asked, second.asked) == ([ID], [ID])
        assert identities[7].id == ID  # nobody knows it, and still it is a container
        await identities.close()

    asyncio.run(go())


def test_cgroups_are_found_by_a_process_or_by_a_walk_and_what_is_not_there_is_not_sought_again() -> None:
    now = [100.0]
    machine = Machine({3: "/system.slice", 7: f"/docker/{ID}", 8: f"/docker/{ID}/init"}, {42: 8})
    identities = Identities([], machine, clock=lambda: now[0])
    assert identities.of(8, 42) is not None
    assert machine.walks == 0
    assert identities.get(7) is identities.get(8)
    assert machine.walks == 1
    assert identities.get(3) is None
    assert identities.get(99) is None
    assert identities.get(99) is None
    assert machine.walks == 1
    machine.paths[99] = f"/docker/{OTHER}"
    now[0] += 6
    assert identities[99].id == OTHER
    assert len(identities) == 3
    assert sorted(identities) == [7, 8, 99]


def test_the_api_completes_what_a_runtime_does_not_know() -> None:
    pod = {
        "metadata": {
            "name": "web-7d9-x", "namespace": "shop", "uid": UID, "labels": {"app": "web", "pod-template-hash": "7d9"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d9", "controller": True}],
        },
        "spec": {"hostNetwork": True, "containers": [{"name": "web", "livenessProbe": {"exec": {"command": ["cat", "/ok"]}}}]},
        "status": {"podIP": "10.0.0.9"},
    }  # fmt: skip
    identities = Identities([], Machine({7: f"/kubepods/pod{UID}/{ID}"}))
    identities.start()
    found = identities[7]
    found.name = "web"
    identities.pod(pod)
    assert (found.pod, found.pod_namespace, found.pod_ip) == ("web-7d9-x", "shop", "10.0.0.9")
    assert (found.workload, found.workload_kind, found.host_network) == ("web", "Deployment", True)
    assert found.probes == (("liveness", "cat /ok"),)
    later = Identities([], Machine({7: f"/kubepods/pod{UID}/{ID}"}))
    later.pod(pod)
    assert later[7].pod == "web-7d9-x"


@pytest.mark.parametrize(
    ("owner", "labels", "expected"),
    [
        (None, {}, ("p", "Pod")),
        (("ReplicaSet", "web-7d9"), {}, ("web-7d9", "ReplicaSet")),
        (("Job", "backup-29012345"), {}, ("backup", "CronJob")),
        (("Job", "migrate"), {}, ("migrate", "Job")),
        (("DaemonSet", "logs"), {}, ("logs", "DaemonSet")),
    ],
)
def test_what_a_pod_belongs_to(
    owner: tuple[str, str] | None, labels: dict[str, str], expected: tuple[str, str]
) -> None:
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    assert workload({"metadata": {"name": "p", "labels": labels, "ownerReferences": owners}}) == expected


def test_users_of_this_machine_and_of_a_container() -> None:
    now = [0.0]
    living: list[int] = []
    accounts = Accounts(lambda _container: living, clock=lambda: now[0])
    assert accounts.users["", 0] == Account("root", "/root", accounts.users["", 0].shell)
    assert accounts.groups["", 0] == "root"
    assert accounts.users.get(("", 4_000_000_000)) is None
    assert accounts.users.get((ID, 0)) is None  # nobody is there to show its files
    living += [2**22 + 1, os.getpid()]
    assert accounts.users.get((ID, 0)) is None
    now[0] += 10
    assert accounts.users[ID, 0].name == "root"
    living.clear()
    assert accounts.groups[ID, 0] == "root"  # remembered


def test_no_link_of_a_root_is_followed(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/etc/passwd")
    handle = os.open(tmp_path, os.O_RDONLY)
    assert procfs._etc(handle, "passwd", 1 << 20) == b""
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    assert procfs._etc(handle, "group", 1 << 20) == b"root:x:0:\n"
    assert procfs._etc(handle, "group", 3) == b""
    os.close(handle)


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="needs Linux")
def test_this_process_is_found_in_proc() -> None:
    cgroups = procfs.Cgroups(("", "/nowhere"))
    found = next(one for one in procfs.processes(cgroups) if one.pid == os.getpid())
    assert found.known
    assert found.ppid == os.getppid()
    assert (found.uid, found.euid, found.gid) == (os.getuid(), os.geteuid(), os.getgid())
    assert found.args[0] in {"", *Path("/proc/self/cmdline").read_text().split("\0")}
    assert Path(found.exe) == Path("/proc/self/exe").resolve()
    assert found.cwd == str(Path.cwd())
    assert found.ns[2] == Path("/proc/self/ns/mnt").stat().st_ino
    assert abs(found.started - procfs.booted() - found.start) < 1_000_000_000
    assert procfs.process(2**22 + 1, cgroups) is None


@pytest.mark.parametrize(
    ("raw", "controller", "path"),
    [
        (b"0::/a/b\n", "", "/a/b"),
        (b"5:memory:/m\n0::/\n", "memory", "/m"),
        (b"5:cpu,cpuacct:/m\n0::/u\n", "cpu", "/m"),
        (b"0::/../../kubepods/x\n", "", "/kubepods/x"),
        (b"0::/\n", "memory", ""),
        (b"", "", ""),
    ],
)
def test_lines_of_a_cgroup_file(raw: bytes, controller: str, path: str) -> None:
    assert procfs._line_of(raw, controller) == path
