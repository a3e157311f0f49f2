"""The whole platform in processes of its own, with images built from what is on the machine, and ways to speak to it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import wasmtime

from fairlead.drivers import images
from fairlead.drivers.containers.daemon import missing

T = TypeVar("T")
Manifest = dict[str, Any]
BUSYBOX = "test/busybox:1"
SECONDS = 60.0
"""How long things may take on a machine that is busy with other things."""
GUEST = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "hello from wasm\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 4) (i32.const 16))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
    BODY))
"""
GUESTS = {
    "test/ok:1": "(call $exit (i32.const 0))",
    "test/seven:1": "(call $exit (i32.const 7))",
    "test/forever:1": "(loop $on (br $on))",
    "test/hog:1": "(loop $on (br_if $on (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) unreachable",
}


class Platform:
    """One `fairlead up` on a directory of its own."""

    def __init__(self, data: Path, kubectl: str) -> None:
        self.data = data
        self.program = kubectl

    # --- its life

    def fairlead(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "fairlead.faces.cli.main",
            verb,
            *words,
            "--data-dir",
            str(self.data),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)

    def up(self, *words: str) -> None:
        done = self.fairlead(
            "up", "--port", "0", "--registry-port", "0", "--detach", "--crash-backoff", "1", *words
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def down(self) -> str:
        done = self.fairlead("down")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pid(self, name: str) -> int:
        return int(json.loads((self.data / "run" / f"{name}.json").read_text())["pid"])

    def bring_images(self, folder: Path) -> None:
        archives = []
        for name, layer, config in _images():
            archive = folder / f"{name.replace('/', '-').replace(':', '-')}.tar"
            images.build_archive(archive, name, [layer], config)
            archives.append(str(archive))
        done = self.fairlead("image", "import", *archives)
        assert done.returncode == 0, done.stdout + done.stderr

    def processes(self, words: str) -> list[int]:
        """The processes whose command line has the words."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and words in (entry / "cmdline").read_bytes().decode(
                    errors="replace"
                ):
                    found.append(int(entry.name))
        return found

    # --- kubectl

    def run(
        self, *words: str, text: str | None = None, namespace: str = ""
    ) -> subprocess.CompletedProcess[str]:
        where = ["--namespace", namespace] if namespace else []
        return subprocess.run(
            [self.program, "--kubeconfig", str(self.data / "kubeconfig"), *where, *words],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )

    def kubectl(self, *words: str, text: str | None = None, namespace: str = "") -> str:
        done = self.run(*words, text=text, namespace=namespace)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *words: str, namespace: str = "") -> subprocess.Popen[str]:
        where = ["--namespace", namespace] if namespace else []
        return subprocess.Popen(
            [self.program, "--kubeconfig", str(self.data / "kubeconfig"), *where, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def said(self) -> str:
        """The end of the node's own log, for a failing test to show."""
        with contextlib.suppress(FileNotFoundError):
            return (self.data / "logs" / "node.log").read_text()[-3000:]
        return ""

    def eventually(self, look: Callable[[], T | None], seconds: float = SECONDS) -> T:
        """Return what `look` finds as soon as it finds something."""
        deadline = time.monotonic() + seconds
        while True:
            found: T | None
            problem = ""
            try:
                found = look()
            except (AssertionError, KeyError, IndexError) as error:
                found, problem = None, repr(error)
            if found:
                return found
            assert time.monotonic() < deadline, f"{problem}\n{self.said()}"
            time.sleep(0.2)


def container(script: str = "sleep 1000", name: str = "main", **more: Any) -> Manifest:
    """A container that runs a shell script."""
    return {"name": name, "image": BUSYBOX, "command": ["sh", "-c", script], **more}


def pod(name: str, *containers: Manifest, labels: Mapping[str, str] | None = None, **spec: Any) -> Manifest:
    """A pod that is quick to end."""
    spec = {"terminationGracePeriodSeconds": 1, **spec, "containers": list(containers) or [container()]}
    meta = {"name": name, "labels": dict(labels or {"app": name})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def state(status: Manifest, name: str = "main", key: str = "state") -> Manifest:
    """The state of one container, {} while there is none."""
    entries = [*status.get("containerStatuses", []), *status.get("initContainerStatuses", [])]
    return next((each.get(key) or {} for each in entries if each["name"] == name), {})


def waits(status: Manifest, name: str = "main") -> str:
    """Why a container waits, "" when it does not."""
    return str(state(status, name).get("waiting", {}).get("reason", ""))


def ready(status: Manifest) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))


class Space:
    """A namespace of a test's own."""

    container = staticmethod(container)
    pod = staticmethod(pod)
    state = staticmethod(state)
    waits = staticmethod(waits)
    ready = staticmethod(ready)

    def __init__(self, platform: Platform, name: str) -> None:
        self.platform = platform
        self.name = name
        self.last: Manifest = {}
        platform.kubectl("create", "namespace", name)

    def kubectl(self, *words: str, text: str | None = None) -> str:
        return self.platform.kubectl(*words, text=text, namespace=self.name)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.platform.run(*words, namespace=self.name)

    def apply(self, *manifests: Manifest) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", text=json.dumps(items))

    def get(self, kind: str, name: str) -> Manifest:
        found: Manifest = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def status(self, pod: str) -> Manifest:
        found: Manifest = self.get("pod", pod).get("status") or {}
        return found

    def until(self, pod: str, holds: Callable[[Manifest], Any]) -> Manifest:
        """Wait until something holds of a pod's status, and return the status."""

        def look() -> Manifest | None:
            status = self.status(pod)
            self.last = status
            return status if holds(status) else None

        try:
            return self.platform.eventually(look)
        except AssertionError as error:
            raise AssertionError(f"{json.dumps(self.last, indent=1)}\n{self.told(pod)}\n{error}") from None

    def told(self, about: str) -> list[tuple[str, str]]:
        """Reason and message of every Event about an object."""
        events = json.loads(self.kubectl("get", "events", "-o", "json"))["items"]
        return [
            (each["reason"], each["message"]) for each in events if each["involvedObject"]["name"] == about
        ]

    def was_told(self, about: str, reason: str, text: str) -> None:
        def look() -> bool:
            events = self.told(about)
            assert any(why == reason and text in message for why, message in events), events
            return True

        self.platform.eventually(look)


def _images() -> Iterator[tuple[str, images.Layer, images.Config]]:
    found = shutil.which("busybox")
    assert found is not None
    programs = subprocess.run([found, "--list"], capture_output=True, text=True, check=True).stdout.split()
    layer: dict[str, images.File | images.Link | images.Directory] = {
        f"/bin/{program}": images.Link("busybox") for program in programs if program != "busybox"
    }
    layer |= {"/bin/busybox": images.File(Path(found), 0o755), "/tmp": images.Directory(0o1777)}
    for name, user in (
        (BUSYBOX, ""),
        ("test/busybox:2", ""),
        ("test/nobody:1", "65534"),
        ("test/named:1", "web"),
    ):
        yield name, layer, images.Config(cmd=("sh",), env={"PATH": "/bin"}, user=user)
    for name, body in GUESTS.items():
        module = images.File(bytes(wasmtime.wat2wasm(GUEST.replace("BODY", body))))
        yield name, {"/main.wasm": module}, images.Config(entrypoint=("/main.wasm",))


@pytest.fixture
def new_platform(tmp_path_factory: pytest.TempPathFactory, kubectl: str) -> Iterator[Callable[[], Platform]]:
    """Makes platforms of the test's own, with the images, and takes down what still runs at its end."""
    made: list[Platform] = []

    def new() -> Platform:
        made.append(_platform(tmp_path_factory, kubectl))
        return made[-1]

    yield new
    for one in made:
        one.down()


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, kubectl: str) -> Iterator[Platform]:
    """The platform that most tests share: each has a namespace of its own."""
    one = _platform(tmp_path_factory, kubectl)
    try:
        yield one
    finally:
        one.down()
    words = (one.data / "logs" / "node.log").read_text()
    assert "Traceback" not in words, words


def _platform(tmp_path_factory: pytest.TempPathFactory, kubectl: str) -> Platform:
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("platform")
    one = Platform(folder / "data", kubectl)
    one.up()
    one.bring_images(folder)
    return one


@pytest.fixture(scope="module")
def space(platform: Platform, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A namespace for the tests of a module, gone at its end."""
    name = request.module.__name__.rpartition(".")[2].replace("_", "-")
    yield Space(platform, name)
    platform.kubectl("delete", "namespace", name, "--wait=false")


def end(pid: int) -> None:
    """End a process the hard way."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
