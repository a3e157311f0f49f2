"""Pods of WASI guests: the same face as the containers driver, over worker processes and plain files.

What is known of a container lies in its folder, so a node that was killed finds its guests again; a worker holds its folder's
lock for as long as it lives. Guests have no network, so a pod of them has no address. Must never decide what should run.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.metadata
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairlead.drivers.wasm.guests import Guest, Shelf
from fairlead.orchestrate.runtimes import (
    ContainerPlan,
    ContainerSeen,
    ExecResult,
    ImageSeen,
    Mount,
    PullFailed,
    RuntimeFailed,
    SandboxPlan,
    SandboxSeen,
    StartFailed,
)

_STARTED_SECONDS = 10.0


class Wasm:
    """WASI guests of one data directory. Methods raise RuntimeFailed for what should not happen."""

    name = "wasmtime"

    def __init__(self, data_dir: Path) -> None:
        self.version = importlib.metadata.version("wasmtime")
        self.shelf = Shelf(data_dir / "node" / "images" / "wasm")
        home = data_dir / "node" / "wasm"
        self._containers, self._sandboxes, self._cache = (
            home / "containers",
            home / "sandboxes",
            home / "compiled",
        )
        for folder in (self._containers, self._sandboxes, self._cache):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    # --- images

    async def pull(self, image: str, auth: Mapping[str, str] | None = None) -> str:
        """Return the id of an image that was imported. Raises PullFailed: registries of guests are not supported yet."""
        del auth
        guest = self.shelf.find(image)
        if guest is None:
            raise PullFailed(
                f'failed to pull "{image}": it is not among the imported Wasm images, and pulling Wasm images from a '
                "registry is not supported yet"
            )
        return guest.id

    async def find_image(self, image: str) -> ImageSeen | None:
        """Return the image of that name or id, or None."""
        guest = self.shelf.find(image)
        return guest.seen if guest else None

    async def images(self) -> list[ImageSeen]:
        """Return every image, sorted by name."""
        return [guest.seen for guest in self.shelf.all()]

    async def import_image(self, path: Path, name: str = "") -> list[str]:
        """Import an OCI archive or layout; return the full names. Raises images.ImageInvalid, OSError."""
        return await asyncio.to_thread(self.shelf.import_archive, path, name)

    async def remove_image(self, name: str) -> bool:
        """Remove a name, and the image with its last one; False if there was none."""
        return self.shelf.remove(name)

    # --- sandboxes

    async def run_sandbox(self, plan: SandboxPlan) -> str:
        """Note down the pod: its guests share nothing but their volumes."""
        sandbox = secrets.token_hex(16)
        await asyncio.to_thread(os.makedirs, plan.log_dir, exist_ok=True)
        record = {"id": sandbox, "created_at": time.time_ns(), "ready": True, "plan": asdict(plan)}
        _write(self._sandboxes / f"{sandbox}.json", record)
        return sandbox

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """End the pod's guests."""
        path = self._sandboxes / f"{sandbox_id}.json"
        record = _read(path)
        if record:
            await asyncio.gather(*(self.stop(name, 0) for name in self._of(sandbox_id)))
            _write(path, record | {"ready": False})

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Forget the pod and its containers."""
        await self.stop_sandbox(sandbox_id)
        for name in self._of(sandbox_id):
            await self.remove(name)
        (self._sandboxes / f"{sandbox_id}.json").unlink(missing_ok=True)

    def _of(self, sandbox_id: str) -> list[str]:
        return [
            folder.name
            for folder in self._folders()
            if _read(folder / "about.json").get("sandbox") == sandbox_id
        ]

    def _folders(self) -> list[Path]:
        return [folder for folder in self._containers.iterdir() if folder.is_dir()]

    # --- containers

    async def start(self, sandbox_id: str, sandbox: SandboxPlan, plan: ContainerPlan) -> str:
        """Start a guest's worker; return the container's id once it has begun. Raises StartFailed."""
        guest = self.shelf.find(plan.image)
        if guest is None:
            raise StartFailed("CreateContainerError", f'image "{plan.image}" not found')
        if plan.tty or plan.stdin:
            raise StartFailed("CreateContainerError", "stdin and tty are not supported yet for Wasm guests")
        container = secrets.token_hex(32)
        folder = self._containers / container
        folder.mkdir(mode=0o700)
        about = {
            "sandbox": sandbox_id,
            "uid": sandbox.uid,
            "name": plan.name,
            "attempt": plan.attempt,
            "created_at": time.time_ns(),
            "image": plan.image,
            "image_id": guest.id,
        }
        _write(folder / "about.json", about)
        _write(folder / "plan.json", self._plan(folder, guest, sandbox, plan))
        worker = self._workers[container] = _worker(folder)
        deadline = time.monotonic() + _STARTED_SECONDS
        while not (folder / "state.json").exists():
            if worker.poll() is not None or time.monotonic() > deadline:
                words = (folder / "worker.log").read_text(errors="replace").strip().splitlines()
                await self.remove(container)
                raise StartFailed("RunContainerError", words[-1] if words else "the worker did not start")
            await asyncio.sleep(0.01)
        return container

    def _plan(self, folder: Path, guest: Guest, sandbox: SandboxPlan, plan: ContainerPlan) -> dict[str, Any]:
        entrypoint = plan.command if plan.command is not None else guest.entrypoint
        arguments = plan.args if plan.args is not None else (() if plan.command is not None else guest.cmd)
        image_env = {name: value for name, _, value in (pair.partition("=") for pair in guest.env)}
        env = image_env | dict(plan.env)
        digest = guest.module.partition(":")[2]
        return {
            "module": str(self.shelf.path(guest)),
            "cache": str(self._cache / f"{digest}-{self.version}.cwasm"),
            "argv": [*entrypoint, *arguments] or ["main"],
            "env": list(env.items()),
            "mounts": _mounts(folder, plan.mounts),
            "log": str(Path(sandbox.log_dir) / plan.log_path),
            "memory_limit": plan.memory_limit,
            "cpu_limit": plan.cpu_limit,
        }

    async def stop(self, container_id: str, grace_seconds: float) -> None:
        """End a guest. It cannot hear a signal, so there is nothing to wait for but its worker's last note."""
        folder = self._containers / container_id
        pid = _read(folder / "state.json").get("pid")
        if not isinstance(pid, int) or not _held(folder):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + max(grace_seconds, 2.0)
        while _held(folder):
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        self._reap()

    async def remove(self, container_id: str) -> None:
        """Forget an ended guest; one that runs is ended first."""
        await self.stop(container_id, 0)
        self._reap()
        shutil.rmtree(self._containers / container_id, ignore_errors=True)

    async def seen(self) -> tuple[list[SandboxSeen], list[ContainerSeen]]:
        """Return every sandbox and container that is known here."""
        self._reap()
        sandboxes = []
        for path in self._sandboxes.glob("*.json"):
            record = _read(path)
            if record:
                plan = record["plan"]
                sandboxes.append(
                    SandboxSeen(
                        id=record["id"],
                        uid=plan["uid"],
                        namespace=plan["namespace"],
                        name=plan["name"],
                        attempt=plan["attempt"],
                        ready=record["ready"],
                        created_at=record["created_at"],
                    )
                )
        containers = [found for folder in self._folders() if (found := _seen(folder)) is not None]
        return sandboxes, containers

    async def exec(self, container_id: str, command: Sequence[str], timeout: float | None) -> ExecResult:  # noqa: ASYNC109  the protocol's
        """Refuse: a WASI guest has no second process."""
        del container_id, command, timeout
        raise RuntimeFailed(
            "exec is not supported in Wasm guests: a guest is one module without other programs"
        )

    async def close(self) -> None:
        """Let the guests run on; nothing is held open but the workers that are just ending."""
        for container, worker in self._workers.items():
            if not _held(self._containers / container):
                worker.wait(5)
        self._reap()

    def _reap(self) -> None:
        for container in [name for name, worker in self._workers.items() if worker.poll() is not None]:
            del self._workers[container]


async def take_down(data_dir: Path) -> None:
    """End and forget every guest of a data directory."""
    runtime = Wasm(data_dir)
    sandboxes, _ = await runtime.seen()
    await asyncio.gather(*(runtime.remove_sandbox(sandbox.id) for sandbox in sandboxes))
    for folder in runtime._folders():  # noqa: SLF001  its own module
        await runtime.remove(folder.name)


def _worker(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "worker.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "fairlead.drivers.wasm.worker", str(folder / "plan.json")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )


def _seen(folder: Path) -> ContainerSeen | None:
    held = _held(folder)  # before the state: a worker writes its last note while it holds the lock
    about, state = _read(folder / "about.json"), _read(folder / "state.json")
    if not about:
        return None
    base: dict[str, Any] = {"id": folder.name, **about, "started_at": state.get("started_at", 0)}
    if "finished_at" in state:
        ending = {key: state[key] for key in ("finished_at", "exit_code", "reason", "message")}
        return ContainerSeen(state="exited", **base, **ending)
    if held:
        return ContainerSeen(state="running" if state else "created", **base)
    if not state and time.time_ns() - about["created_at"] < _STARTED_SECONDS * 1e9:
        return ContainerSeen(state="created", **base)  # its worker has not come to its lock yet
    changed = (folder / "state.json") if state else folder
    return ContainerSeen(
        state="exited",
        **base,
        finished_at=max(changed.stat().st_mtime_ns, state.get("started_at", 0)),
        exit_code=137,
        reason="Error",
        message="the worker process was killed",
    )


def _held(folder: Path) -> bool:
    """Tell whether the container's worker lives: it holds the lock of its folder."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _mounts(folder: Path, mounts: Sequence[Mount]) -> list[list[Any]]:
    """Return [source, target, read only] for each directory that the guest may open.

    A guest opens directories only, so a file is shown in one of its own, under the file's name there: a hard link, that
    what the guest writes may reach the file. A file whose place lies in another mount's root stays hidden behind it.
    """
    found: dict[str, list[Any]] = {
        mount.target.rstrip("/"): [mount.source, mount.target, mount.read_only]
        for mount in mounts
        if Path(mount.source).is_dir()
    }
    shown: dict[str, Path] = {}
    for mount in mounts:
        source, target = Path(mount.source), Path(mount.target)
        parent = str(target.parent).rstrip("/")
        if not source.is_file() or (parent in found and parent not in shown):
            continue
        place = shown.setdefault(parent, folder / "files" / str(len(shown)))
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            (place / target.name).hardlink_to(source)
        except OSError:  # another file system: the guest sees what it holds now
            shutil.copy(source, place / target.name)
        known = found.get(parent)
        read_only = mount.read_only and (known is None or bool(known[2]))
        found[parent] = [str(place), parent or "/", read_only]
    return list(found.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(content))
    fresh.replace(path)
