"""What outlives what: a runtime that comes back, a containerd that is killed, two at once, and nothing left at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers import network
from fairlead.drivers.containers import daemon, leftovers
from fairlead.drivers.containers.places import Places
from fairlead.drivers.containers.runtime import Containerd, take_down
from fairlead.orchestrate.routing import missing_jumps, rules
from fairlead.orchestrate.runtimes import RuntimeFailed
from fairlead.words import Resource

from .conftest import Live, archive

pytestmark = pytest.mark.root
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def fresh(tmp_path: Path, loop_run: Run) -> Iterator[Callable[[str], Live]]:
    if reason := daemon.missing():
        pytest.skip(reason)
    made: list[Live] = []

    def make(name: str) -> Live:
        live = Live(tmp_path / name, loop_run)
        made.append(live)
        live.do(live.runtime.import_image(archive(tmp_path / f"{name}.tar")))
        return live

    yield make
    for live in made:
        live.down()


def _of_this_machine(data_dir: Path) -> dict[str, object]:
    """What must be as before once a node has ended."""
    places = Places.of(data_dir)
    links = sorted(path.name for path in Path("/sys/class/net").iterdir())
    ours = [name for name in links if name == places.bridge]
    return {
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if str(data_dir) in line],
        "our mounts": leftovers.mounts(places),
        "processes": leftovers.processes(places),
        "containerd": daemon.find(places),
        "bridge": ours,
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").glob(f"**/*{places.key}*")),
        "filter": places.key in network.saved(),
        "run": places.run.exists(),
        "records": sorted(Path("/var/lib/cni").glob(f"**/*{places.key}*")),
    }


def _web(live: Live) -> tuple[list[Resource], list[Resource]]:
    """Start a web server in a pod; return a Service and an EndpointSlice for it."""
    pod = live.pod(name="web")
    live.start(pod, "mkdir /tmp/w; echo it works > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w")
    address = next(item.ip for item in live.do(live.runtime.seen())[0] if item.id == pod[0])
    meta = {"namespace": "test", "name": "web", "labels": {"kubernetes.io/service-name": "web"}}
    spec = {"clusterIP": "10.96.77.7", "type": "NodePort", "ports": [{"port": 80, "nodePort": 31777}]}
    piece = {"metadata": meta, "ports": [{"port": 8080}], "endpoints": [{"addresses": [address]}]}
    return [{"metadata": meta, "spec": spec}], [piece]


def _get(url: str) -> str:
    said = ""
    for _ in range(100):
        done = subprocess.run(["busybox", "wget", "-qO-", url], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
        said = done.stderr
        time.sleep(0.05)
    return said


def test_services_lead_to_pods_and_nothing_is_left_at_the_end(fresh: Callable[[str], Live]) -> None:
    live = fresh("one")
    before = _of_this_machine(live.data_dir.parent / "never")
    services, slices = _web(live)
    net = live.runtime.net
    network.open_loopback(net.bridge)
    network.restore(rules(net, services, slices))
    network.restore(missing_jumps(net, network.saved()))
    assert _get("http://10.96.77.7/") == "it works\n"
    assert _get("http://127.0.0.1:31777/") == "it works\n"
    client = live.start(live.pod(), "sleep 1000")
    done = live.do(live.runtime.exec(client, ["wget", "-qO-", "http://10.96.77.7/"], 20))
    assert done.stdout == b"it works\n"
    running = _of_this_machine(live.data_dir)
    assert all(
        running[key]
        for key in ("our mounts", "processes", "containerd", "bridge", "cgroups", "filter", "run")
    )
    live.down()
    assert _of_this_machine(live.data_dir) == before
    live.reopen()  # and it can come back, with its images
    assert [image.names for image in live.do(live.runtime.images())]
    assert live.do(live.runtime.seen()) == ([], [])


def test_a_pod_reaches_itself_by_its_service(fresh: Callable[[str], Live]) -> None:
    live = fresh("one")
    services, slices = _web(live)
    net = live.runtime.net
    network.restore(rules(net, services, slices))
    network.restore(missing_jumps(net, network.saved()))
    _get("http://10.96.77.7/")
    web = live.do(live.runtime.seen())[1][0]
    done = live.do(live.runtime.exec(web.id, ["wget", "-qO-", "http://10.96.77.7/"], 20))
    assert done.stdout == b"it works\n"


def test_containers_outlive_the_runtime_and_containerd_itself(fresh: Callable[[str], Live]) -> None:
    live = fresh("one")
    pod = live.pod()
    container = live.start(pod, "echo started; sleep 1000")
    started = live.look(container).started_at
    pid = daemon.find(live.runtime.places)
    live.reopen()
    assert daemon.find(live.runtime.places) == pid
    assert live.look(container).started_at == started
    os.kill(pid, signal.SIGKILL)
    while daemon.alive(pid):
        time.sleep(0.02)
    live.reopen()
    seen = live.look(container)
    assert (seen.state, seen.started_at) == ("running", started)
    assert live.do(live.runtime.exec(container, ["echo", "alive"], 20)).stdout == b"alive\n"
    sandbox = next(item for item in live.do(live.runtime.seen())[0] if item.id == pod[0])
    assert sandbox.ready
    assert sandbox.ip
    live.do(live.runtime.stop(container, 0))


def test_containerd_comes_back_by_itself(fresh: Callable[[str], Live]) -> None:
    live = fresh("one")
    container = live.start(live.pod(), "sleep 1000")
    os.kill(daemon.find(live.runtime.places), signal.SIGKILL)

    async def back() -> None:
        while True:
            with contextlib.suppress(RuntimeFailed):
                if [item.state for item in (await live.runtime.seen())[1] if item.id == container] == [
                    "running"
                ]:
                    return
            await asyncio.sleep(0.1)

    with pytest.raises(RuntimeFailed):
        live.do(live.runtime.seen())
    live.do(asyncio.wait_for(back(), 60))


def test_after_a_power_cut_pods_are_seen_as_ended_and_can_be_removed(fresh: Callable[[str], Live]) -> None:
    live = fresh("one")
    pod = live.pod()
    container = live.start(pod, "sleep 1000")
    live.do(live.runtime.close())
    pid = daemon.find(live.runtime.places)
    os.kill(pid, signal.SIGKILL)
    while daemon.alive(pid):
        time.sleep(0.02)
    leftovers.sweep(live.runtime.places)  # what a power cut does to processes, mounts and /run
    live.reopen()
    sandboxes, containers = live.do(live.runtime.seen())
    assert [(item.id, item.ready) for item in sandboxes] == [(pod[0], False)]
    assert [(item.id, item.state) for item in containers] in (
        [(container, "exited")],
        [(container, "unknown")],
    )
    live.do(live.runtime.stop(container, 0))
    live.do(live.runtime.remove(container))
    live.do(live.runtime.stop_sandbox(pod[0]))
    live.do(live.runtime.remove_sandbox(pod[0]))
    assert live.do(live.runtime.seen()) == ([], [])
    assert live.ended(live.start(live.pod(), "exit 3")).exit_code == 3


def test_everything_goes_even_if_containerd_was_killed(fresh: Callable[[str], Live]) -> None:
    live = fresh("one")
    before = _of_this_machine(live.data_dir.parent / "never")
    live.start(live.pod(), "sleep 1000")
    os.kill(daemon.find(live.runtime.places), signal.SIGKILL)
    live.down()
    assert _of_this_machine(live.data_dir) == before


def test_what_containerd_cannot_clean_up_is_swept(fresh: Callable[[str], Live]) -> None:
    live = fresh("one")
    before = _of_this_machine(live.data_dir.parent / "never")
    live.start(live.pod(), "sleep 1000")
    live.do(live.runtime.close())
    pid = daemon.find(live.runtime.places)
    os.kill(pid, signal.SIGKILL)
    while daemon.alive(pid):
        time.sleep(0.02)
    leftovers.sweep(live.runtime.places)
    assert _of_this_machine(live.data_dir) == before


def test_a_second_process_may_use_the_same_containerd(fresh: Callable[[str], Live]) -> None:
    live = fresh("one")

    async def names() -> list[str]:
        second = await Containerd.attach(live.data_dir)
        try:
            return [name for image in await second.images() for name in image.names]
        finally:
            await second.close()

    assert live.do(names()) == ["docker.io/fairlead-test/busybox:1"]
    live.down()
    with pytest.raises(daemon.ContainersUnavailable, match="no containerd runs"):
        live.do(names())
    live.reopen()


def test_two_at_once(fresh: Callable[[str], Live]) -> None:
    one, two = fresh("one"), fresh("two")
    assert one.runtime.subnet != two.runtime.subnet
    containers = [(live, live.start(live.pod(), "sleep 1000")) for live in (one, two)]
    for live, container in containers:
        assert [item.id for item in live.do(live.runtime.seen())[1]] == [container]
    one.down()
    assert two.do(two.runtime.exec(containers[1][1], ["echo", "alive"], 20)).stdout == b"alive\n"
    one.reopen()


@pytest.mark.parametrize("name", ["long-" * 30, "with: a colon, a comma and a space"])
def test_data_directories_with_unusual_names(fresh: Callable[[str], Live], name: str) -> None:
    live = fresh(name)
    assert live.ended(live.start(live.pod(), "exit 5")).exit_code == 5


def test_taking_down_what_never_ran_is_nothing(tmp_path: Path, loop_run: Run) -> None:
    loop_run(take_down(tmp_path / "never"))
    assert not (tmp_path / "never").exists()


def test_a_configuration_that_containerd_refuses_is_reported_with_its_words(
    tmp_path: Path, loop_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "configuration", lambda *_args, **_named: "this is = = not TOML\n")
    with pytest.raises(daemon.ContainersUnavailable, match=r"toml|load"):
        Live(tmp_path / "one", loop_run)
    assert not daemon.find(Places.of(tmp_path / "one"))
    leftovers.sweep(Places.of(tmp_path / "one"))
