"""The node process: `python -m fairlead.reactor.node --data-dir D [--no-containers] [--crash-backoff SECONDS]`.

Registers the machine as a Node, keeps its Lease and status fresh, runs its pods, and serves their logs. It knows the control
plane only by D/node.kubeconfig. With `--sweep` it only ends what an earlier node left behind. Told to stop, it ends every
container: nothing outlives the platform.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import platform
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fairlead import __version__
from fairlead.drivers import pki, serving
from fairlead.drivers.cluster import AsyncCluster, BadKubeconfig, Unreachable
from fairlead.drivers.wasm.runtime import Wasm
from fairlead.keep.errors import Refusal
from fairlead.orchestrate import proposing
from fairlead.orchestrate.podspecs import stamp
from fairlead.orchestrate.runtimes import RuntimeFailed
from fairlead.reactor import services
from fairlead.reactor.nodeserver import NodeServer
from fairlead.reactor.podnode import WASM, Machine, Node, Runtime, bytes_of_memory
from fairlead.reactor.pods import Pods
from fairlead.reactor.sweeping import sweep
from fairlead.words import Resource

if sys.platform == "linux":
    from fairlead.drivers.containers import daemon
    from fairlead.drivers.containers.runtime import Containerd

LEASES = "kube-node-lease"
LEASE_SECONDS = 10.0
STATUS_SECONDS = 60.0
LEAVE_SECONDS = 3.0
"""How long containers may take to end when the node is told to stop; their own grace where that is shorter."""
PODS = 110
KUBELET_VERSION = f"v1.32.0+fairlead-{__version__}"
log = logging.getLogger("fairlead.node")


class StartError(Exception):
    """The node cannot start; the text is for people."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node until it is told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fairlead.reactor.node", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--no-containers", action="store_true", help="Wasm only")
    parser.add_argument("--crash-backoff", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument(
        "--sweep", action="store_true", help="end what an earlier node left, and nothing else"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    data_dir: Path = options.data_dir.absolute()
    try:
        if options.sweep:
            asyncio.run(sweep(data_dir))
        else:
            asyncio.run(
                run(data_dir, containers=not options.no_containers, crash_backoff=options.crash_backoff)
            )
    except (StartError, BadKubeconfig, serving.ListenError) as fault:
        print(f"fairlead: error: {fault}", file=sys.stderr)
        return 1
    return 0


async def run(data_dir: Path, *, containers: bool, crash_backoff: float) -> None:
    """Run the node. Raises StartError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    cluster = AsyncCluster.from_kubeconfig(data_dir / "node.kubeconfig")
    runtimes, without = await _runtimes(data_dir, containers=containers)
    machine = _machine(data_dir)
    node = Node(
        machine=machine,
        data_dir=data_dir,
        cluster=cluster,
        runtimes=runtimes,
        without=without,
        crash_backoff=timedelta(seconds=crash_backoff),
    )
    pods = Pods(node)
    listener = serving.listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = serving.build(
        NodeServer(pods.works, cluster.access.token), listener, *_certificate(data_dir, machine)
    )
    tasks = [asyncio.create_task(server.serve(), name="server")]
    try:
        await _register(node, port)
        tasks += [
            asyncio.create_task(pods.run(), name="pods"),
            asyncio.create_task(_heartbeat(node, port), name="heartbeat"),
            *_services(node, runtimes),
        ]
        _record(data_dir, node, without)
        waiter = asyncio.create_task(stop.wait(), name="stop")
        done, _ = await asyncio.wait({waiter, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        for task in done - {waiter}:
            error = task.exception()
            raise StartError(f"its {task.get_name()} ended: {_first(error) if error else 'without a reason'}")
    finally:
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)
        await pods.leave(LEAVE_SECONDS)
        await serving.stop(server, tasks[0])
        listener.close()
        (data_dir / "run" / "node.json").unlink(missing_ok=True)
        with contextlib.suppress(Refusal, Unreachable, TimeoutError):
            async with asyncio.timeout(2):
                await _say_not_ready(node, port)
        await node.close()
        await cluster.close()
        await sweep(data_dir)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _runtimes(data_dir: Path, *, containers: bool) -> tuple[dict[str, Runtime], dict[str, str]]:
    """Return what can run here by RuntimeClass name, and why anything is missing."""
    found: dict[str, Runtime] = {WASM: Wasm(data_dir)}
    why = ""
    if not containers:
        why = "containers were switched off with --no-containers"
    elif sys.platform != "linux":
        why = "containers need Linux"
    else:
        try:
            found[""] = await Containerd.open(data_dir)
        except daemon.ContainersUnavailable as error:
            why = str(error)
    if why:
        log.warning("no containers: %s", why)
    return found, {"": why} if why else {}


def _machine(data_dir: Path) -> Machine:
    return Machine(
        name=pki.machine_name(),
        addresses=("127.0.0.1",),
        cpus=os.cpu_count() or 1,
        memory=bytes_of_memory(),
        storage=shutil.disk_usage(data_dir).total,
    )


def _certificate(data_dir: Path, machine: Machine) -> tuple[Path, Path]:
    """Make a certificate for this node's server, new at every start."""
    certificate, key = pki.issue(
        data_dir / "pki",
        common_name=f"system:node:{machine.name}",
        names=(machine.name, "localhost"),
        addresses=machine.addresses,
        groups=("system:nodes",),
    )
    folder = data_dir / "node"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki.write_private(folder / "server.crt", certificate)
    pki.write_private(folder / "server.key", key)
    return folder / "server.crt", folder / "server.key"


def _services(node: Node, runtimes: Mapping[str, Runtime]) -> list[asyncio.Task[None]]:
    """Start the loop that makes Services reachable, where there are containers to reach."""
    runtime = runtimes.get("")
    if sys.platform != "linux" or not isinstance(runtime, Containerd):
        return []
    net = runtime.net
    node.nameservers = (net.gateway,)

    async def report(reason: str, text: str) -> None:
        about = _object(node, 0)
        node.tell(
            proposing.event(about, "Warning", reason, text, datetime.now(UTC), "fairlead", host=node.name)
        )

    return [asyncio.create_task(services.run(node.cluster, net, report), name="services")]


def _record(data_dir: Path, node: Node, without: Mapping[str, str]) -> None:
    """Say that the node is ready, what it runs and what it cannot."""
    names = {"": "containers", WASM: "Wasm"}
    runs = " and ".join(names[key] for key in ("", WASM) if key in node.runtimes)
    left_out = [f"{names[key]}: {why}" for key, why in without.items()]
    path = data_dir / "run" / "node.json"
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps({"pid": os.getpid(), "runs": runs, "without": left_out, "name": node.name}))
    fresh.replace(path)


# --- the Node object


async def _register(node: Node, port: int) -> None:
    """Make the Node object, or bring it up to date, and mark it ready. Raises StartError."""
    body = _object(node, port)
    status = {**body.pop("status"), "images": await _images(node)}
    deadline = asyncio.get_running_loop().time() + 20
    while True:
        try:
            try:
                await node.cluster.create(body, manager="kubelet")
            except Refusal as refusal:
                if refusal.reason != "AlreadyExists":
                    raise
                labels = {"metadata": {"labels": body["metadata"]["labels"]}}
                await node.cluster.patch("v1", "Node", "", node.name, labels, manager="kubelet")
            await _write_status(node, status)
            await _renew(node)
        except Refusal as refusal:
            raise StartError(f"the API refuses this node: {refusal.message}") from refusal
        except Unreachable as error:
            if asyncio.get_running_loop().time() > deadline:
                raise StartError(f"the API cannot be reached: {error}") from error
            await asyncio.sleep(0.2)
        else:
            return


async def _images(node: Node) -> list[dict[str, Any]]:
    """Return the images of every runtime, as a Node's status lists them."""
    return [
        {"names": list(image.names), "sizeBytes": image.size}
        for runtime in node.runtimes.values()
        for image in await runtime.images()
    ]


async def _write_status(node: Node, status: Mapping[str, Any]) -> None:
    await node.cluster.patch(
        "v1", "Node", "", node.name, {"status": status}, subresource="status", manager="kubelet"
    )


async def _say_not_ready(node: Node, port: int) -> None:
    body = _object(node, port)
    for condition in body["status"]["conditions"]:
        if condition["type"] == "Ready":
            condition |= {
                "status": "False",
                "reason": "NodeStopped",
                "message": "the node process was stopped",
            }
    await _write_status(node, body["status"])


async def _heartbeat(node: Node, port: int) -> None:
    """Renew the Lease every ten seconds, the status every minute, and the list of images when it changes."""
    turn = 0
    images = await _images(node)
    while True:
        await asyncio.sleep(1)
        turn += 1
        try:
            if turn % int(LEASE_SECONDS) == 0:
                await _renew(node)
            if turn % int(STATUS_SECONDS) == 0:
                await _write_status(node, _object(node, port)["status"])
            if (now := await _images(node)) != images:
                await _write_status(node, {"images": now})
                images = now
        except RuntimeFailed as error:
            log.warning("the runtime does not answer: %s", error)
        except (Refusal, Unreachable) as error:
            log.warning("heartbeat: %s", error)


async def _renew(node: Node) -> None:
    spec = {
        "holderIdentity": node.name,
        "leaseDurationSeconds": 40,
        "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    lease: Resource = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node.name, "namespace": LEASES},
        "spec": spec,
    }
    try:
        await node.cluster.patch(
            lease["apiVersion"], "Lease", LEASES, node.name, {"spec": spec}, manager="kubelet"
        )
    except Refusal as refusal:
        if refusal.code != 404:
            raise
        await node.cluster.create(lease, manager="kubelet")


def _object(node: Node, port: int) -> Resource:
    """Return the Node as it is now."""
    machine = node.machine
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    system = platform.system().lower()
    labels = {"kubernetes.io/hostname": machine.name, "kubernetes.io/os": system, "kubernetes.io/arch": arch}
    for name in node.runtimes:
        labels[f"fairlead.dev/{name or 'containers'}"] = "true"
    labels |= {"beta.kubernetes.io/os": system, "beta.kubernetes.io/arch": arch}
    amounts = {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory // 1024}Ki",
        "ephemeral-storage": f"{machine.storage // 1024}Ki",
        "pods": str(PODS),
    }
    runtime = node.runtimes.get("") or node.runtimes[WASM]
    now = stamp(datetime.now(UTC))
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": machine.name, "labels": labels},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{**each, "lastHeartbeatTime": now} for each in _conditions(node, now)],
            "addresses": [
                *({"type": "InternalIP", "address": address} for address in machine.addresses),
                {"type": "Hostname", "address": machine.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "nodeInfo": {
                "machineID": _text("/etc/machine-id"),
                "systemUUID": _text("/sys/class/dmi/id/product_uuid"),
                "bootID": _text("/proc/sys/kernel/random/boot_id"),
                "kernelVersion": platform.release(),
                "osImage": _os_image(),
                "containerRuntimeVersion": f"{runtime.name}://{runtime.version}",
                "kubeletVersion": KUBELET_VERSION,
                "kubeProxyVersion": KUBELET_VERSION,
                "operatingSystem": system,
                "architecture": arch,
            },
        },
    }


_SINCE: dict[tuple[str, str], str] = {}
"""When each condition came to what it is, as this process saw it."""


def _conditions(node: Node, now: str) -> list[dict[str, str]]:
    free = shutil.disk_usage(node.data_dir)
    full = free.free < free.total * 0.05
    rows = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        (
            ("DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure")
            if full
            else ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
        ),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": _SINCE.setdefault((kind, status), now),
        }
        for kind, status, reason, message in rows
    ]


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text().strip()
    return ""


def _os_image() -> str:
    with contextlib.suppress(OSError):
        return str(platform.freedesktop_os_release().get("PRETTY_NAME", ""))
    return f"{platform.system()} {platform.release()}"


if __name__ == "__main__":
    sys.exit(main())
