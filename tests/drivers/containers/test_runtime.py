from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from pathlib import Path

import pytest

from fairlead.drivers.images import Config, File, build_layout
from fairlead.orchestrate.runtimes import (
    ContainerPlan,
    Mount,
    PullFailed,
    RuntimeFailed,
    SandboxPlan,
    StartFailed,
)

from .conftest import IMAGE, Live, archive

pytestmark = pytest.mark.root


def test_a_container_runs_writes_its_log_and_ends(live: Live) -> None:
    pod = live.pod()
    container = live.start(pod, "echo out; echo err >&2; exit 7")
    seen = live.ended(container)
    assert (seen.exit_code, seen.reason, seen.name, seen.attempt) == (7, "Error", "main", 0)
    assert 0 < seen.created_at <= seen.started_at <= seen.finished_at
    assert seen.image == f"docker.io/{IMAGE}"
    assert seen.image_id.startswith("sha256:")
    lines = Path(pod[1].log_dir, "main/0.log").read_text().splitlines()
    shape = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\S+ (stdout|stderr) [FP] (.*)")
    assert sorted(shape.fullmatch(line).groups() for line in lines) == [("stderr", "err"), ("stdout", "out")]  # type: ignore[union-attr]


def test_success_is_completed(live: Live) -> None:
    seen = live.ended(live.start(live.pod(), "exit 0"))
    assert (seen.exit_code, seen.reason) == (0, "Completed")


def test_a_sandbox_has_an_address_in_our_subnet_and_loses_it(live: Live) -> None:
    pod = live.pod()
    sandboxes = {item.id: item for item in live.do(live.runtime.seen())[0]}
    seen = sandboxes[pod[0]]
    assert seen.ready
    assert seen.ip.startswith(live.runtime.subnet.rpartition(".")[0])
    assert (seen.uid, seen.namespace, seen.name) == (pod[1].uid, "test", pod[1].name)
    live.do(live.runtime.stop_sandbox(pod[0]))
    assert not {item.id: item for item in live.do(live.runtime.seen())[0]}[pod[0]].ready
    live.do(live.runtime.remove_sandbox(pod[0]))
    live.do(live.runtime.remove_sandbox(pod[0]))  # once more is no error
    live.do(live.runtime.stop_sandbox(pod[0]))
    assert pod[0] not in {item.id for item in live.do(live.runtime.seen())[0]}


def test_environment_directory_user_and_arguments(live: Live) -> None:
    pod = live.pod(hostname="a-name")
    container = live.start(
        pod,
        'echo "$GREETING|$(cat /proc/sys/kernel/hostname)|$(id -u):$(id -g)|$(id -G)"; ls -d "$PWD"; grep NoNewPrivs /proc/self/status',
        env=(("GREETING", "hello = world"),),
        working_dir="/tmp",
        run_as_user=1001,
        run_as_group=1002,
        supplemental_groups=(2000,),
        no_new_privileges=True,
    )
    live.ended(container)
    first, directory = live.log(pod[1])[:2]
    assert first == "hello = world|a-name|1001:1002|1002 2000"
    assert directory == "/tmp"


def test_a_group_without_a_user(live: Live) -> None:
    pod = live.pod()
    live.ended(live.start(pod, "echo $(id -u):$(id -g)", run_as_group=1234))
    assert live.log(pod[1]) == ["0:1234"]


def test_capabilities_and_a_read_only_root(live: Live) -> None:
    pod = live.pod()
    script = "while read line; do case $line in CapEff*) echo $line;; esac; done < /proc/self/status; echo x > /file; echo $?"
    container = live.start(
        pod, script, drop_capabilities=("ALL",), add_capabilities=("NET_BIND_SERVICE",), read_only_root=True
    )
    live.ended(container)
    lines = live.log(pod[1])
    assert int(next(line for line in lines if "CapEff" in line).split()[1], 16) == 1 << 10
    assert "1" in lines


def test_seccomp_profiles(live: Live) -> None:
    profiles = live.runtime.places.profiles
    profiles.mkdir(parents=True, exist_ok=True)
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    (profiles / "no-folders.json").write_text(
        json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    )
    script = (
        "while read line; do case $line in Seccomp:*) echo $line;; esac; done < /proc/self/status; "
        "n=0; for i in $(seq 200); do mkdir /tmp/$i && n=$((n+1)); done 2> /dev/null; echo $n; echo x > /tmp/file && cat /tmp/file"
    ).replace("$(seq 200)", " ".join(map(str, range(200))))
    for wanted, mode, made in (
        (("Unconfined", ""), "0", "200"),
        (("RuntimeDefault", ""), "2", "200"),
        (("Localhost", "no-folders.json"), "2", "0"),
    ):
        pod = live.pod()
        live.ended(live.start(pod, script, seccomp=wanted))
        assert [line.split()[-1] for line in live.log(pod[1])] == [mode, made, "x"]
    with pytest.raises(StartFailed, match="no-such"):
        live.start(live.pod(), "exit 0", seccomp=("Localhost", "no-such.json"))


def test_mounts(live: Live, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("from outside")
    (tmp_path / "out").mkdir()
    pod = live.pod()
    mounts = (Mount(str(tmp_path / "in"), "/in", read_only=True), Mount(str(tmp_path / "out"), "/out"))
    container = live.start(pod, "cat /in/file > /out/copy; echo x > /in/file", mounts=mounts)
    assert live.ended(container).exit_code == 1
    assert (tmp_path / "out" / "copy").read_text() == "from outside"
    assert (tmp_path / "in" / "file").read_text() == "from outside"


def test_exec(live: Live) -> None:
    container = live.start(live.pod(), "sleep 1000")
    done = live.do(live.runtime.exec(container, ["sh", "-c", "echo out; echo err >&2; exit 3"], 10))
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    with pytest.raises(RuntimeFailed, match=r'exec: "nope": executable file not found in \$PATH'):
        live.do(live.runtime.exec(container, ["nope"], 10))
    with pytest.raises(TimeoutError):
        live.do(live.runtime.exec(container, ["sleep", "100"], 0.5))
    live.do(live.runtime.stop(container, 0))
    with pytest.raises(RuntimeFailed):
        live.do(live.runtime.exec(container, ["echo"], 10))


def test_stop_asks_first_and_kills_after_the_grace_period(live: Live) -> None:
    polite = live.start(live.pod(), "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.1; done")
    deaf_pod = live.pod()
    deaf = live.start(deaf_pod, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    while not live.log(deaf_pod[1]):
        time.sleep(0.05)
    live.do(live.runtime.stop(polite, 30))
    assert live.look(polite).exit_code == 4
    live.do(live.runtime.stop(deaf, 1))
    seen = live.look(deaf)
    assert (seen.state, seen.exit_code, seen.reason) == ("exited", 137, "Error")
    live.do(live.runtime.stop(deaf, 1))  # once more is no error
    live.do(live.runtime.remove(deaf))
    live.do(live.runtime.remove(deaf))
    assert deaf not in {item.id for item in live.do(live.runtime.seen())[1]}


def _limit(live: Live, uid: str, container: str, old: str, new: str) -> str:
    place = f"{live.runtime.places.cgroup}/pod{uid}/{container}".lstrip("/")
    for path in (
        Path("/sys/fs/cgroup", old.partition(".")[0], place, old),
        Path("/sys/fs/cgroup", place, new),
    ):
        with contextlib.suppress(OSError):
            return path.read_text().strip()
    raise AssertionError(f"no cgroup {place}")


def test_limits(live: Live) -> None:
    pod = live.pod()
    container = live.start(pod, "sleep 1000", memory_limit=64 << 20, cpu_limit=250, cpu_request=100)
    assert _limit(live, pod[1].uid, container, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert _limit(live, pod[1].uid, container, "cpu.cfs_quota_us", "cpu.max").split()[0] == "25000"
    used = live.do(live.runtime.stats())[container]
    assert used[1] < 64 << 20
    live.do(live.runtime.stop(container, 0))


def test_too_much_memory_is_said_to_be_so(live: Live) -> None:
    container = live.start(live.pod(), "x=a; while :; do x=$x$x; done", memory_limit=16 << 20)
    seen = live.ended(container)
    assert (seen.exit_code, seen.reason) == (137, "OOMKilled")


def test_what_cannot_start(live: Live) -> None:
    pod = live.pod()
    with pytest.raises(StartFailed, match=r"executable file not found in \$PATH") as caught:
        live.start(pod, "", command=("nope",), args=())
    assert caught.value.reason == "RunContainerError"
    left = [item for item in live.do(live.runtime.seen())[1] if item.sandbox == pod[0]]
    assert [(item.state, item.exit_code, item.reason) for item in left] == [("exited", 128, "StartError")]
    with pytest.raises(StartFailed) as caught:
        live.start(pod, "", image="nowhere/nothing:1", attempt=1)
    assert caught.value.reason == "CreateContainerError"


def test_a_pull_that_fails_says_what_the_runtime_says(live: Live) -> None:
    text = r'rpc error: code = \w+ desc = failed to pull and unpack image "localhost:1/a/b:c": failed to resolve reference'
    with pytest.raises(PullFailed, match=text):
        live.do(live.runtime.pull("localhost:1/a/b:c"))
    with pytest.raises(PullFailed):
        live.do(live.runtime.pull("localhost:1/a/b:c", {"username": "me", "password": "secret"}))


def test_images_come_and_go(live: Live, tmp_path: Path) -> None:
    runtime = live.runtime
    assert live.do(runtime.import_image(archive(tmp_path / "a.tar", "a:1", user="1000"))) == [
        "docker.io/library/a:1"
    ]
    found = live.do(runtime.find_image("a:1"))
    assert found is not None
    assert (found.names, found.user) == (("docker.io/library/a:1",), "1000")
    build_layout(tmp_path / "layout", "example.org/b", [{"/x": File(b"x")}], Config(user="me"))
    assert live.do(runtime.import_image(tmp_path / "layout")) == ["example.org/b:latest"]
    assert live.do(runtime.import_image(tmp_path / "layout", "c:2")) == ["docker.io/library/c:2"]
    both = live.do(runtime.find_image("c:2"))
    assert both is not None
    assert (sorted(both.names), both.user) == (["docker.io/library/c:2", "example.org/b:latest"], "me")
    assert live.do(runtime.remove_image("c:2"))
    assert live.do(runtime.find_image("c:2")) is None
    assert live.do(runtime.find_image("example.org/b")) is not None
    assert live.do(runtime.remove_image("example.org/b"))
    assert live.do(runtime.remove_image("a:1"))
    assert not live.do(runtime.remove_image("a:1"))
    assert {name for image in live.do(runtime.images()) for name in image.names} == {f"docker.io/{IMAGE}"}


def test_the_same_name_may_come_to_mean_another_image(live: Live, tmp_path: Path) -> None:
    seen = []
    for text in (b"one", b"two"):
        build_layout(tmp_path / text.decode(), "moving:1", [{"/x": File(text)}], Config())
        live.do(live.runtime.import_image(tmp_path / text.decode()))
        image = live.do(live.runtime.find_image("moving:1"))
        assert image is not None
        seen.append(image.id)
    assert seen[0] != seen[1]
    live.do(live.runtime.remove_image("moving:1"))


def test_a_pod_on_the_hosts_network(live: Live) -> None:
    pod = live.pod(host_network=True)
    container = live.start(pod, "cat /proc/net/dev")
    live.ended(container)
    assert any(live.runtime.places.bridge in line for line in live.log(pod[1]))


def test_name_servers(live: Live) -> None:
    pod = live.pod(nameservers=("10.9.8.7",), searches=("a.svc.cluster.local", "svc.cluster.local"))
    live.ended(live.start(pod, "cat /etc/resolv.conf"))
    lines = [line.split() for line in live.log(pod[1])]
    assert ["nameserver", "10.9.8.7"] in lines
    assert ["search", "a.svc.cluster.local", "svc.cluster.local"] in lines
    assert ["options", "ndots:5"] in lines


def test_the_pause_program_reaps_nothing_and_ends_when_asked(live: Live) -> None:
    pod = live.pod()
    plan = ContainerPlan(name="pause", attempt=0, image="fairlead.dev/pause:1", log_path="pause/0.log")
    container = live.do(live.runtime.start(*pod, plan))
    assert live.look(container).state == "running"
    live.do(live.runtime.stop(container, 30))
    assert live.look(container).exit_code == 0


def test_a_log_is_rotated_while_it_is_written(live: Live) -> None:
    pod = live.pod()
    container = live.start(pod, "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done")
    log = Path(pod[1].log_dir, "main/0.log")
    while log.stat().st_size < 1000:
        time.sleep(0.05)
    live.do(live.runtime.rotate_logs(limit=1000))
    while not log.exists() or not live.log(pod[1]):
        time.sleep(0.05)
    live.do(live.runtime.stop(container, 0))
    numbers = [
        int(line.split()[1]) for path in ("main/0.log.1", "main/0.log") for line in live.log(pod[1], path)
    ]
    assert numbers == list(range(1, len(numbers) + 1))


def test_changes_are_heard_of(live: Live) -> None:
    async def first() -> str:
        async for topic in live.runtime.changes():
            return topic
        return ""

    async def both() -> str:
        listening = asyncio.create_task(first())
        await asyncio.sleep(0.2)
        sandbox = await live.runtime.run_sandbox(SandboxPlan(uid="c", namespace="n", name="c"))
        heard = await asyncio.wait_for(listening, 30)
        await live.runtime.stop_sandbox(sandbox)
        return heard

    assert live.do(both()).startswith("/tasks/")
