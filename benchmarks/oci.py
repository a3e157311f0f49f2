"""Pushing and pulling 100 MB: our client and registry against Debian's docker-registry and skopeo: `python benchmarks/oci.py [MEGABYTES]`.

Every pair of client and registry moves the same random bytes over loopback, with a fresh repository for each round; the limit is what no client can do
without: reading the file, its SHA-256, and writing it to the same disk with a sync. Peak is the resident memory of our own process.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.drivers.oci.clients import Client
from fairlead.drivers.oci.credentials import Credentials
from fairlead.drivers.oci.references import Reference

ROUNDS = 5
_TYPE = "application/octet-stream"
_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}", secret: bench}}
"""


@contextmanager
def process(words: list[str]) -> Iterator[None]:
    """Run a program as long as the block."""
    one = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        one.terminate()
        one.wait(30)


@contextmanager
def ours(folder: Path) -> Iterator[tuple[str, Path]]:
    """Run our registry; give its host and the file with its account."""
    with process([sys.executable, "-m", "fairlead.faces.registry", "--data-dir", str(folder), "--port", "0"]):
        record = folder / "run" / "registry.json"
        while not record.exists():
            time.sleep(0.02)
        yield json.loads(record.read_text())["url"], folder / "registry" / "config.json"


@contextmanager
def theirs(folder: Path, program: str) -> Iterator[str]:
    """Run docker-registry; give its host."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config.yml").write_text(_CONFIG.format(root=folder / "data", port=port))
    with process([program, "serve", str(folder / "config.yml")]):
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"127.0.0.1:{port}"


async def moved(
    host: str, account: Path | None, source: Path, target: Path, round_: int
) -> tuple[float, float]:
    """Return the seconds of a push and of a pull by our client."""
    client = Client(Credentials([account]) if account else Credentials([]))
    try:
        ref = Reference.parse(f"{host}/bench/round{round_}:1")
        begun = time.perf_counter()
        descriptor = await client.push_blob(ref, source, _TYPE)
        pushed = time.perf_counter()
        await client.fetch(ref, descriptor, target)
        return pushed - begun, time.perf_counter() - pushed
    finally:
        await client.close()


def skopeo(
    program: str, host: str, account: Path | None, layout: Path, round_: int, target: Path
) -> tuple[float, float]:
    """Return the seconds of a push and of a pull by skopeo, whole processes."""
    auth = ["--authfile", str(account)] if account else []
    plain = [program, "--insecure-policy", "copy", "--quiet", *auth]
    there = f"docker://{host}/skopeo/round{round_}:1"
    begun = time.perf_counter()
    subprocess.run([*plain, "--dest-tls-verify=false", f"oci:{layout}:1", there], check=True)
    pushed = time.perf_counter()
    subprocess.run([*plain, "--src-tls-verify=false", there, f"oci:{target}:1"], check=True)
    return pushed - begun, time.perf_counter() - pushed


def layout(folder: Path, source: Path) -> Path:
    """Write an OCI layout whose image has the file as its one layer."""
    from fairlead.drivers import images

    place = folder / "layout"
    images.build_layout(place, "bench:1", [{"/data": images.File(source)}], images.Config())
    index = json.loads((place / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (place / "index.json").write_text(json.dumps(index))
    return place


def floor(source: Path, target: Path) -> float:
    """Return the seconds that reading, hashing and writing with a sync take."""
    begun = time.perf_counter()
    digest = hashlib.sha256()
    with source.open("rb") as file, target.open("wb") as out:
        while piece := file.read(1 << 20):
            digest.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    return time.perf_counter() - begun


def main() -> int:
    """Print the table."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    registry = shutil.which("docker-registry") or str(Path(sys.executable).parent / "docker-registry")
    peer = shutil.which("skopeo")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, target = folder / "source", folder / "target"
        source.write_bytes(os.urandom(size * 1_000_000))
        limit = statistics.median(floor(source, target) for _ in range(ROUNDS))
        print(
            f"# {size} MB over loopback, median of {ROUNDS}, seconds (limit: {limit:.2f} to read, hash, write and sync)\n"
        )
        print(f"{'client':<10}{'registry':<18}{'push':>7}{'x limit':>9}{'pull':>7}{'x limit':>9}")
        with ours(folder / "ours") as (host, account):
            hosts: list[tuple[str, str, Path | None]] = [("fairlead", host, account)]
            rows(hosts, source, target, limit, folder, peer)
        if Path(registry).exists():
            with theirs(folder / "theirs", registry) as host:
                rows([("docker-registry", host, None)], source, target, limit, folder, peer)
        else:
            print("docker-registry is not here: `sh tools/setup.sh registries` fetches it")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\nour client's peak memory, random bytes and layout included: {peak:.0f} MB")
    return 0


def rows(
    hosts: list[tuple[str, str, Path | None]],
    source: Path,
    target: Path,
    limit: float,
    folder: Path,
    peer: str | None,
) -> None:
    """Measure both clients against registries and print a row each."""
    for name, host, account in hosts:
        found = [asyncio.run(moved(host, account, source, target, each)) for each in range(ROUNDS)]
        row("fairlead", name, found, limit)
        if peer:
            found = []
            for each in range(
                ROUNDS
            ):  # other bytes each time: skopeo remembers which registry has which blob
                with source.open("r+b") as file:
                    file.write(os.urandom(64))
                image = layout(folder / f"{name}-{each}", source)
                found.append(skopeo(peer, host, account, image, each, folder / f"pulled-{name}-{each}"))
                shutil.rmtree(image)
            row("skopeo", name, found, limit)


def row(client: str, registry: str, found: list[tuple[float, float]], limit: float) -> None:
    """Print one row."""
    push, pull = (statistics.median(times) for times in zip(*found, strict=True))
    print(
        f"{client:<10}{registry:<18}{push:>7.2f}{push / limit:>9.2f}{pull:>7.2f}{pull / limit:>9.2f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
