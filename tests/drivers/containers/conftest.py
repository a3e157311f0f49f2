"""A real containerd for the tests of a module, in a data directory of its own."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fairlead.drivers.containers.daemon import missing
from fairlead.drivers.containers.runtime import Containerd, take_down
from fairlead.drivers.images import Config, Directory, File, Link, build_archive
from fairlead.orchestrate.runtimes import ContainerPlan, ContainerSeen, SandboxPlan

T = TypeVar("T")
IMAGE = "fairlead-test/busybox:1"
APPLETS = (
    "cat",
    "dd",
    "echo",
    "httpd",
    "id",
    "kill",
    "ls",
    "mkdir",
    "nc",
    "nslookup",
    "sh",
    "sleep",
    "tail",
    "wget",
)
_numbers = itertools.count(1)


def busybox() -> Path:
    found = shutil.which("busybox")
    if found is None:
        pytest.skip("busybox is missing: apt-get install busybox-static")
    return Path(found)


def archive(path: Path, name: str = IMAGE, **config: Any) -> Path:
    """Write an image archive with busybox and its applets."""
    layer: dict[str, File | Link | Directory] = {f"/bin/{applet}": Link("busybox") for applet in APPLETS}
    layer |= {"/bin/busybox": File(busybox(), 0o755), "/tmp": Directory(0o1777)}
    build_archive(path, name, [layer], Config(**{"cmd": ("sh",), "env": {"PATH": "/bin"}} | config))
    return path


class Live:
    """A runtime with the event loop that it lives in."""

    def __init__(self, data_dir: Path, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.data_dir = data_dir
        self._run = run
        self.runtime: Containerd = self.do(Containerd.open(data_dir))

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        result: T = self._run(coroutine)
        return result

    def reopen(self) -> None:
        self.do(self.runtime.close())
        self.runtime = self.do(Containerd.open(self.data_dir))

    def pod(self, **plan: Any) -> tuple[str, SandboxPlan]:
        number = next(_numbers)
        logs = self.data_dir / "pods" / f"u{number}"
        made = SandboxPlan(
            **{"uid": f"u{number}", "namespace": "test", "name": f"pod-{number}", "log_dir": str(logs)} | plan
        )
        return self.do(self.runtime.run_sandbox(made)), made

    def start(self, sandbox: tuple[str, SandboxPlan], script: str, **plan: Any) -> str:
        fields: dict[str, Any] = {"name": "main", "attempt": 0, "image": IMAGE, "log_path": "main/0.log"}
        made = ContainerPlan(**fields | {"command": ("sh", "-c"), "args": (script,)} | plan)
        return self.do(self.runtime.start(*sandbox, made))

    def look(self, container_id: str) -> ContainerSeen:
        containers = self.do(self.runtime.seen())[1]
        return next(item for item in containers if item.id == container_id)

    def ended(self, container_id: str) -> ContainerSeen:
        """Wait for a container's end and return what the runtime says of it."""

        async def wait() -> ContainerSeen:
            while True:
                for item in (await self.runtime.seen())[1]:
                    if item.id == container_id and item.state == "exited":
                        return item
                await asyncio.sleep(0.05)

        return self.do(asyncio.wait_for(wait(), 60))

    def log(self, sandbox: SandboxPlan, path: str = "main/0.log") -> list[str]:
        """Return the lines that a container wrote, without the runtime's prefixes."""
        lines = Path(sandbox.log_dir, path).read_text().splitlines()
        return [line.split(" ", 3)[3] for line in lines]

    def down(self) -> None:
        self.do(self.runtime.close())
        self.do(take_down(self.data_dir, grace_seconds=0))


@pytest.fixture(scope="module")
def loop_run() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="module")
def live(
    tmp_path_factory: pytest.TempPathFactory, loop_run: Callable[[Coroutine[Any, Any, Any]], Any]
) -> Iterator[Live]:
    """A containerd that has the test image."""
    if reason := missing():
        pytest.skip(reason)
    data_dir = tmp_path_factory.mktemp("data")
    made = Live(data_dir, loop_run)
    try:
        made.do(made.runtime.import_image(archive(data_dir / "busybox.tar")))
        yield made
    finally:
        made.down()
