"""The control plane against Debian's etcd: start-up, memory at rest, durable writes, reads, lists and watches.

etcd does less for each call (no validation, defaulting, admission, field tracking or selectors), so a ratio near 1 means
that all of those are free. Both speak HTTP/1.1 over TLS on loopback, both sync each acknowledged write to the same disk, and
both are called by the same load generator. Run it with `make bench`; it needs Debian's etcd-server.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import load
import yaml

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "", "labels": {"app": "bench", "tier": "load"}, "annotations": {"note": "x" * 1200}},
    "spec": {
        "schedulerName": "nobody",
        "containers": [
            {
                "name": "main",
                "image": "bench/none:1.0",
                "env": [{"name": f"VARIABLE_{n}", "value": f"value-{n}"} for n in range(8)],
                "ports": [{"name": "http", "containerPort": 8080}],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            }
        ],
    },
}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
ROUNDS = 3
CREATES = 2000


@dataclass(slots=True)
class Server:
    """One that is measured."""

    name: str
    port: int
    pid: int
    context: ssl.SSLContext
    ready_seconds: float
    token: str = ""

    def memory(self) -> float:
        """Resident memory in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"no memory of {self.pid}")


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def trust(ca: Path) -> ssl.SSLContext:
    """Return a client context that trusts this authority alone."""
    return ssl.create_default_context(cafile=str(ca))


@contextlib.contextmanager
def fairlead(folder: Path, *more: str) -> Iterator[Server]:
    """A control plane without a node; `more` are further options of `up`."""
    command = [sys.executable, "-m", "fairlead.faces.cli.main"]
    data = ["--data-dir", str(folder)]
    started = time.perf_counter()
    subprocess.run(
        [*command, "up", *data, "--port", "0", "--no-node", "--detach", *more],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    ready = time.perf_counter() - started
    try:
        record = json.loads((folder / "run/control-plane.json").read_text())
        config = yaml.safe_load((folder / "kubeconfig").read_text())
        token = config["users"][0]["user"]["token"]
        yield Server("fairlead", record["port"], record["pid"], trust(folder / "pki/ca.crt"), ready, token)
    finally:
        subprocess.run([*command, "down", *data], check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def etcd(folder: Path, pki: Path) -> Iterator[Server]:
    """Debian's etcd with the same certificate, its JSON gateway, and its data on the same disk."""
    port, peer = free_port(), free_port()
    command = [
        "etcd",
        "--data-dir",
        str(folder),
        "--log-level",
        "error",
        "--listen-client-urls",
        f"https://127.0.0.1:{port}",
    ]
    command += [
        "--advertise-client-urls",
        f"https://127.0.0.1:{port}",
        "--listen-peer-urls",
        f"http://127.0.0.1:{peer}",
    ]
    command += [
        "--initial-advertise-peer-urls",
        f"http://127.0.0.1:{peer}",
        "--initial-cluster",
        f"default=http://127.0.0.1:{peer}",
    ]
    command += ["--cert-file", str(pki / "server.crt"), "--key-file", str(pki / "server.key")]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server("etcd", port, process.pid, trust(pki / "ca.crt"), 0.0)
    try:
        while True:
            with contextlib.suppress(OSError, RuntimeError, BaseExceptionGroup, asyncio.IncompleteReadError):
                load.measure(
                    port,
                    server.context,
                    lambda _: load.Call.of("POST", "/v3/maintenance/status", b"{}"),
                    1,
                    1,
                )
                break
            if process.poll() is not None or time.perf_counter() - started > 30:
                raise RuntimeError("etcd did not start")
            time.sleep(0.02)
        server.ready_seconds = time.perf_counter() - started
        yield server
    finally:
        process.terminate()
        process.wait()


def encoded(number: int) -> bytes:
    """Return pod `number` as JSON, some 2.6 KB once it is stored."""
    return json.dumps({**POD, "metadata": {**POD["metadata"], "name": f"p{number:07d}"}}).encode()


def put(number: int) -> load.Call:
    """The same bytes as an etcd write."""
    key = base64.b64encode(f"/registry/pods/default/p{number:07d}".encode()).decode()
    value = base64.b64encode(encoded(number)).decode()
    return load.Call.of("POST", "/v3/kv/put", json.dumps({"key": key, "value": value}).encode())


def ranged(number: int) -> load.Call:
    """Read one key of etcd."""
    key = base64.b64encode(f"/registry/pods/default/p{number:07d}".encode()).decode()
    return load.Call.of("POST", "/v3/kv/range", json.dumps({"key": key}).encode())


def all_keys(_: int) -> load.Call:
    """Read the first thousand keys of etcd at once."""
    start = base64.b64encode(b"/registry/pods/default/").decode()
    end = base64.b64encode(b"/registry/pods/default0").decode()
    return load.Call.of(
        "POST", "/v3/kv/range", json.dumps({"key": start, "range_end": end, "limit": 1000}).encode()
    )


async def newest(server: Server, path: str) -> str:
    """Return the resourceVersion of now."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=server.context, limit=1 << 26
    )
    writer.write(load.Call.of("GET", f"{path}?limit=1", token=server.token).data)
    _, body = await load.answer(reader)
    writer.close()
    return str(json.loads(body)["metadata"]["resourceVersion"])


async def watch_rate(server: Server, watchers: int, events: int, start: int) -> float:
    """Return events delivered a second to watchers of all pods while 8 clients create."""
    path = "/api/v1/namespaces/default/pods"
    version = await newest(server, path)
    hello = load.Call.of("GET", f"{path}?watch=1&resourceVersion={version}", token=server.token)
    seen = 0
    finished = asyncio.Event()

    async def watch() -> None:
        nonlocal seen
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=server.context, limit=1 << 26
        )
        try:
            writer.write(hello.data)
            while not finished.is_set():
                chunk = await reader.read(1 << 20)
                seen += chunk.count(b'{"type":"ADDED"')
                if not chunk:
                    return
        finally:
            writer.close()

    tasks = [asyncio.create_task(watch()) for _ in range(watchers)]
    await asyncio.sleep(1)
    calls = (load.Call.of("POST", path, encoded(start + n), server.token) for n in range(events))
    started = time.perf_counter()
    await load.run(server.port, server.context, calls, 8)
    while seen < watchers * events and time.perf_counter() - started < 60:
        await asyncio.sleep(0.01)
    seconds = time.perf_counter() - started
    finished.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seen / seconds


def median(measured: Callable[[int], float]) -> float:
    """Return the median of ROUNDS calls of `measured(round)`."""
    return statistics.median(measured(number) for number in range(ROUNDS))


def main() -> None:
    """Measure both and print a Markdown table."""
    if shutil.which("etcd") is None:
        sys.exit("benchmarks/keep.py needs a peer to compare with: apt-get install etcd-server")
    rows: list[tuple[str, float, float, str]] = []
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder:
        place = Path(folder)
        with fairlead(place / "fairlead") as ours, etcd(place / "etcd", place / "fairlead/pki") as peer:
            time.sleep(2)
            rows.append(("start until ready, s", ours.ready_seconds, peer.ready_seconds, ""))
            rows.append(("memory at rest, MiB", ours.memory(), peer.memory(), ""))
            pods = "/api/v1/namespaces/default/pods"
            base = 0
            for clients in (16, 64):

                def create(number: int) -> load.Call:
                    return load.Call.of("POST", pods, encoded(number), ours.token)

                def one_ours(turn: int, clients: int = clients, base: int = base) -> float:
                    return load.measure(
                        ours.port, ours.context, create, CREATES, clients, base + turn * CREATES
                    )

                def one_peer(turn: int, clients: int = clients, base: int = base) -> float:
                    return load.measure(peer.port, peer.context, put, CREATES, clients, base + turn * CREATES)

                rows.append(
                    (
                        f"durable creates/s, {clients} clients",
                        median(one_ours),
                        median(one_peer),
                        "full admission",
                    )
                )
                base += ROUNDS * CREATES
            get_ours = median(
                lambda _: load.measure(
                    ours.port,
                    ours.context,
                    lambda n: load.Call.of("GET", f"{pods}/p{n % CREATES:07d}", token=ours.token),
                    4000,
                    16,
                )
            )
            get_peer = median(
                lambda _: load.measure(peer.port, peer.context, lambda n: ranged(n % CREATES), 4000, 16)
            )
            rows.append(("reads of one object/s, 16 clients", get_ours, get_peer, ""))
            listing = load.Call.of("GET", f"{pods}?limit=1000", token=ours.token)
            list_ours = median(lambda _: load.measure(ours.port, ours.context, lambda _: listing, 60, 4))
            list_peer = median(lambda _: load.measure(peer.port, peer.context, all_keys, 60, 4))
            rows.append(("lists of 1,000 objects/s, 4 clients", list_ours, list_peer, ""))
            table = load.Call.of("GET", f"{pods}?limit=1000", token=ours.token, accept=TABLE)
            tables = median(lambda _: load.measure(ours.port, ours.context, lambda _: table, 60, 4))
            rows.append(("Tables of 1,000 pods/s, 4 clients", tables, float("nan"), "as kubectl asks for"))
            events = asyncio.run(watch_rate(ours, 50, 1000, base))
            rows.append(("events delivered/s to 50 watchers", events, float("nan"), "no peer"))
    print("| | fairlead | etcd | ratio | |")
    print("| --- | ---: | ---: | ---: | --- |")
    for name, mine, theirs, note in rows:
        ratio = f"{mine / theirs:.2f}" if theirs == theirs else ""  # noqa: PLR0124  NaN is not itself
        other = f"{theirs:,.2f}" if theirs == theirs else ""  # noqa: PLR0124  NaN is not itself
        print(f"| {name} | {mine:,.2f} | {other} | {ratio} | {note} |")


if __name__ == "__main__":
    main()
