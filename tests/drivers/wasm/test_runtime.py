"""Real guests in real worker processes: output, exit codes, limits, restarts of the node, and what the guest cannot do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wasmtime

from fairlead.drivers import images
from fairlead.drivers.images import ImageInvalid
from fairlead.drivers.wasm.guests import is_guest
from fairlead.drivers.wasm.runtime import Wasm, take_down
from fairlead.orchestrate.runtimes import (
    ContainerPlan,
    ContainerSeen,
    Mount,
    PullFailed,
    RuntimeFailed,
    SandboxPlan,
    StartFailed,
)

WASI = "wasi_snapshot_preview1"
HELLO = f"""(module
  (import "{WASI}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "{WASI}" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "one\\ntwo\\nthr")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 11))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
    (call $exit (i32.const 7))))"""
SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'
TRAP = '(module (memory (export "memory") 1) (func (export "_start") unreachable))'
HOG = """(module (memory (export "memory") 1)
  (func (export "_start") (loop $again
    (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable))"""
LIBRARY = '(module (func (export "add")))'
WRITER = f"""(module
  (import "{WASI}" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "{WASI}" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "made")
  (func (export "_start")
    (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 8) (i32.const 4)
      (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 64)))))"""


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Wasm]:
    runtime = Wasm(tmp_path)
    yield runtime
    asyncio.run(take_down(tmp_path))
    asyncio.run(runtime.close())


def image(tmp_path: Path, text: str, name: str = "test/guest:1") -> Path:
    path = tmp_path / f"{name.replace('/', '-').replace(':', '-')}.tar"
    layers = [{"/main.wasm": images.File(bytes(wasmtime.wat2wasm(text)))}]
    images.build_archive(path, name, layers, images.Config(entrypoint=("/main.wasm",)))
    return path


async def run(runtime: Wasm, tmp_path: Path, text: str, **options: object) -> ContainerSeen:
    """Run a guest until it ends by itself."""
    container = await begin(runtime, tmp_path, text, **options)
    return await ended(runtime, container)


async def begin(runtime: Wasm, tmp_path: Path, text: str, **options: object) -> str:
    await runtime.import_image(image(tmp_path, text))
    sandbox = SandboxPlan(uid="u1", namespace="default", name="p", log_dir=str(tmp_path / "logs"))
    plan = ContainerPlan(name="main", attempt=0, image="test/guest:1", log_path="main/0.log", **options)  # type: ignore[arg-type]
    return await runtime.start(await runtime.run_sandbox(sandbox), sandbox, plan)


def worker(tmp_path: Path, container: str) -> int:
    pid: int = json.loads((tmp_path / "node/wasm/containers" / container / "state.json").read_text())["pid"]
    return pid


async def ended(runtime: Wasm, container: str) -> ContainerSeen:
    async with asyncio.timeout(30):
        while True:
            _, containers = await runtime.seen()
            found = next(one for one in containers if one.id == container)
            if found.state == "exited":
                return found
            await asyncio.sleep(0.01)


def test_output_is_logged_and_the_exit_code_is_the_guests(runtime: Wasm, tmp_path: Path) -> None:
    seen = asyncio.run(run(runtime, tmp_path, HELLO))
    assert (seen.exit_code, seen.reason, seen.name, seen.uid) == (7, "Error", "main", "u1")
    assert 0 < seen.created_at <= seen.started_at <= seen.finished_at
    lines = (tmp_path / "logs/main/0.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["stdout F one", "stdout F two", "stdout F thr"]


def test_a_trap_ends_with_134_and_says_why(runtime: Wasm, tmp_path: Path) -> None:
    seen = asyncio.run(run(runtime, tmp_path, TRAP))
    assert seen.exit_code == 134
    assert "unreachable" in seen.message
    assert "unreachable" in (tmp_path / "logs/main/0.log").read_text()


def test_too_much_memory_is_oomkilled(runtime: Wasm, tmp_path: Path) -> None:
    seen = asyncio.run(run(runtime, tmp_path, HOG, memory_limit=4 << 20))
    assert (seen.exit_code, seen.reason) == (137, "OOMKilled")


def test_more_memory_than_the_limit_from_the_start_is_oomkilled(runtime: Wasm, tmp_path: Path) -> None:
    seen = asyncio.run(
        run(runtime, tmp_path, '(module (memory 64) (func (export "_start")))', memory_limit=1 << 20)
    )
    assert (seen.exit_code, seen.reason) == (137, "OOMKilled")


def test_a_library_is_not_a_command(runtime: Wasm, tmp_path: Path) -> None:
    seen = asyncio.run(run(runtime, tmp_path, LIBRARY))
    assert seen.reason == "ContainerCannotRun"
    assert "_start" in seen.message


def test_a_guest_that_never_ends_is_stopped(runtime: Wasm, tmp_path: Path) -> None:
    async def story() -> ContainerSeen:
        container = await begin(runtime, tmp_path, SPIN)
        _, [found] = await runtime.seen()
        assert found.state == "running"
        await runtime.stop(container, 5)
        return await ended(runtime, container)

    assert asyncio.run(story()).exit_code == 143


def test_a_new_node_finds_running_guests_and_those_whose_worker_was_killed(
    runtime: Wasm, tmp_path: Path
) -> None:
    async def story() -> tuple[ContainerSeen, ContainerSeen]:
        container = await begin(runtime, tmp_path, SPIN)
        after = Wasm(tmp_path)
        _, [running] = await after.seen()
        os.killpg(worker(tmp_path, container), signal.SIGKILL)
        return running, await ended(after, container)

    running, killed = asyncio.run(story())
    assert running.state == "running"
    assert (killed.exit_code, killed.reason) == (137, "Error")


@pytest.mark.parametrize(("read_only", "succeeds"), [(False, True), (True, False)])
def test_a_guest_sees_only_its_mounts(runtime: Wasm, tmp_path: Path, read_only: bool, succeeds: bool) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    folder.chmod(0o777)
    mounts = (Mount(str(folder), "/data", read_only),)
    seen = asyncio.run(run(runtime, tmp_path, WRITER, mounts=mounts))
    assert (seen.exit_code == 0) is succeeds
    assert (folder / "made").exists() is succeeds
    assert asyncio.run(run(runtime, tmp_path, WRITER)).exit_code != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to see it given up")
def test_a_guests_process_has_no_rights(runtime: Wasm, tmp_path: Path) -> None:
    container = asyncio.run(begin(runtime, tmp_path, SPIN))
    pid = worker(tmp_path, container)
    status, children = "", []
    deadline = time.monotonic() + 20
    while "Uid:\t65534\t65534" not in status and time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        status = Path(f"/proc/{children[0]}/status").read_text() if children else ""
        time.sleep(0.02)
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    while "Seccomp:\t2" not in status and time.monotonic() < deadline:
        status = Path(f"/proc/{children[0]}/status").read_text()
    assert "Seccomp:\t2" in status


def test_images_are_listed_renamed_and_removed(runtime: Wasm, tmp_path: Path) -> None:
    async def story() -> None:
        assert await runtime.import_image(image(tmp_path, HELLO, "test/a:1")) == ["docker.io/test/a:1"]
        await runtime.import_image(image(tmp_path, SPIN, "test/b:1"))
        assert [one.names for one in await runtime.images()] == [
            ("docker.io/test/a:1",),
            ("docker.io/test/b:1",),
        ]
        await runtime.import_image(image(tmp_path, TRAP, "test/a:1"))
        assert len(await runtime.images()) == 2
        assert await runtime.remove_image("test/a:1")
        assert not await runtime.remove_image("test/a:1")
        assert await runtime.find_image("test/a:1") is None
        assert len(list((tmp_path / "node/images/wasm").glob("*.wasm"))) == 1

    asyncio.run(story())


def test_what_is_not_supported_says_so(runtime: Wasm, tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(PullFailed, match="not among the imported"):
            await runtime.pull("no/such:1")
        with pytest.raises(StartFailed, match="not supported yet"):
            await begin(runtime, tmp_path, HELLO, tty=True)
        with pytest.raises(RuntimeFailed, match="not supported"):
            await runtime.exec("x", ["ls"], None)

    asyncio.run(story())


def test_an_image_without_a_module_is_refused(runtime: Wasm, tmp_path: Path) -> None:
    path = tmp_path / "box.tar"
    images.build_archive(
        path, "box:1", [{"/bin/sh": images.File(b"#!")}], images.Config(entrypoint=("/bin/sh",))
    )
    assert not is_guest(path)
    assert is_guest(image(tmp_path, HELLO))
    with pytest.raises(ImageInvalid, match="no WebAssembly module"):
        asyncio.run(runtime.import_image(path))


NOTE = f"""(module
  (import "{WASI}" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "{WASI}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "{WASI}" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "termination-log")
  (data (i32.const 32) "farewell")
  (func (export "_start")
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 8) (i32.const 15)
      (i32.const 0) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 64)))
    (i32.store (i32.const 72) (i32.const 32)) (i32.store (i32.const 76) (i32.const 8))
    (call $exit (call $write (i32.load (i32.const 64)) (i32.const 72) (i32.const 1) (i32.const 80)))))"""


def test_a_single_file_may_be_written(runtime: Wasm, tmp_path: Path) -> None:
    """As a pod's termination message is."""
    note = tmp_path / "note.0"
    note.touch()
    note.chmod(0o666)
    ended = asyncio.run(run(runtime, tmp_path, NOTE, mounts=(Mount(str(note), "/dev/termination-log"),)))
    assert ended.exit_code == 0
    assert note.read_text() == "farewell"
