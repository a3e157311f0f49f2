"""What is taken from a process is refused, and what is left works: files, TCP ports and system calls, 200 times each."""

from __future__ import annotations

import errno
import json
import os
import platform
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers import confining
from fairlead.drivers.wasm import worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has Landlock and seccomp")

needs_landlock = pytest.mark.skipif(confining.landlock_abi() == 0, reason="the kernel has no Landlock")

_TRIES = """
import ctypes, errno, os, socket, subprocess, sys, threading
from fairlead.drivers import confining

def count(deed):
    said = {}
    for _ in range(200):
        try:
            deed()
            key = "fine"
        except OSError as error:
            key = errno.errorcode[error.errno]
        said[key] = said.get(key, 0) + 1
    return said

def connect(port):
    with socket.socket() as one:
        one.connect(("127.0.0.1", port))
"""


def tried(script: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", _TRIES + script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return eval(done.stdout)  # a dictionary that the script printed


@needs_landlock
def test_files_outside_are_refused_and_those_inside_are_not(tmp_path: Path) -> None:
    seen, made, other = tmp_path / "seen", tmp_path / "made", tmp_path / "other"
    for folder in (seen, made, other):
        folder.mkdir()
        (folder / "file").write_text("x")
    assert tried(f"""
confining.confine_files(reads=[{str(seen)!r}], writes=[{str(made)!r}, "/no/such"])
print({{
    "read inside": count(lambda: open({str(seen / "file")!r}).close()),
    "write to what may be read": count(lambda: open({str(seen / "file")!r}, "w").close()),
    "write inside": count(lambda: open({str(made / "new")!r}, "w").close()),
    "read outside": count(lambda: open({str(other / "file")!r}).close()),
    "through a link": count(lambda: (os.path.lexists({str(made / "link")!r}) or os.symlink({str(other / "file")!r}, {str(made / "link")!r}), open({str(made / "link")!r}))),
    "execute": count(lambda: os.execv("/bin/true", ["true"])),
}})""") == {
        "read inside": {"fine": 200},
        "write to what may be read": {"EACCES": 200},
        "write inside": {"fine": 200},
        "read outside": {"EACCES": 200},
        "through a link": {"EACCES": 200},
        "execute": {"EACCES": 200},
    }


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        one.listen(500)
        two.listen(500)
        yield one.getsockname()[1], two.getsockname()[1]


@pytest.mark.skipif(confining.rights(confining.landlock_abi()).tcp == 0, reason="this Landlock has no TCP")
def test_ports_that_were_not_left_are_refused(ports: tuple[int, int]) -> None:
    left, taken = ports
    assert tried(f"""
confining.confine_files(connects=[{left}])
print({{"left": count(lambda: connect({left})), "taken": count(lambda: connect({taken})),
       "bind": count(lambda: socket.socket().bind(("127.0.0.1", 0)))}})""") == {
        "left": {"fine": 200},
        "taken": {"EACCES": 200},
        "bind": {"EACCES": 200},
    }


def test_calls_that_computing_has_no_use_for_are_refused() -> None:
    said = tried("""
done = []
confining.confine_calls()
thread = threading.Thread(target=lambda: done.append(1))
thread.start()
thread.join()
print({
    "socket": count(socket.socket),
    "fork": count(os.fork),
    "exec": count(lambda: os.execv("/bin/true", ["true"])),
    "kill": count(lambda: os.kill(1, 0)),
    "mount": count(lambda: os.unshare(0) if hasattr(os, "unshare") else os.chroot("/")),
    "file": count(lambda: open("/dev/null").close()),
    "thread": done,
})""")
    refused = {"EPERM": 200}
    assert said == {
        "socket": refused,
        "fork": refused,
        "exec": refused,
        "kill": refused,
        "mount": refused,
        "file": {"fine": 200},
        "thread": [1],
    }


def test_a_filter_reaches_threads_that_run_already() -> None:
    assert tried("""
said = []
go, ready = threading.Event(), threading.Event()
thread = threading.Thread(target=lambda: (ready.set(), go.wait(), said.append(count(socket.socket))))
thread.start()
ready.wait()
confining.confine_calls(threads=False)
go.set()
thread.join()
print(said[0])""") == {"EPERM": 200}


def run_filter(program: bytes, arch: int, number: int, argument: int = 0) -> int:
    """What a filter answers: the few instructions of classic BPF that `assemble` uses."""
    data = struct.pack("=IIQQQQQQQ", number, arch, 0, argument, 0, 0, 0, 0, 0)
    steps = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        code, then, otherwise, value = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            held = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[
                code
            ]
            at += then if held else otherwise


@pytest.mark.parametrize(
    ("machine", "arch", "socket_number", "read", "clone", "clone3"),
    [("x86_64", 0xC000003E, 41, 0, 56, 435), ("aarch64", 0xC00000B7, 198, 63, 220, 435)],
)
def test_filters_of_both_machines(
    machine: str, arch: int, socket_number: int, read: int, clone: int, clone3: int
) -> None:
    program = confining.assemble({"socket": errno.EACCES}, machine)
    allowed, failed = 0x7FFF0000, 0x00050000
    assert run_filter(program, arch, socket_number) == failed | errno.EACCES
    assert run_filter(program, arch, read) == allowed
    assert run_filter(program, arch, clone3) == failed | errno.ENOSYS
    assert run_filter(program, arch, clone, 17) == failed | errno.EPERM
    assert run_filter(program, arch, clone, 0x10000 | 0x100) == allowed
    assert run_filter(program, arch ^ 0x80000000, read) == 0x80000000  # another machine's calls
    strict = confining.assemble({}, machine, threads=False)
    assert run_filter(strict, arch, clone, 0x10000) == failed | errno.EPERM


def test_a_machine_that_is_not_known_is_said() -> None:
    with pytest.raises(ValueError, match="no filter can be made for vax"):
        confining.assemble({}, "vax")
    assert all(": " in words for words in confining.lacking())


def test_older_versions_of_landlock_take_what_they_know() -> None:
    assert confining.rights(0) == (0, 0, 0)
    assert confining.rights(1) == ((1 << 13) - 1, 0, 0)
    assert confining.rights(4) == ((1 << 15) - 1, 3, 0)
    assert confining.rights(7) == ((1 << 16) - 1, 3, 3)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that nobody may enter too, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


_TAKEN_OVER = """
import json, os, socket, sys
class WasmtimeError(Exception): pass
class ExitTrap(Exception): pass
class Trap(Exception): pass
class Any:
    def __init__(self, *a): pass
    def __getattr__(self, name): return Any()
    def __call__(self, *a, **k): return self
    def __bytes__(self): return b''
class WasiConfig(Any): pass
class Memory: pass
class Func: pass
Config = Engine = Store = Any
class Module:
    deserialize_file = from_file = staticmethod(lambda *a: Any())
    serialize = lambda self: b""
def attempt(deed):
    try:
        deed()
        return "fine"
    except OSError as error:
        return error.strerror
class Linker(Any):
    def instantiate(self, store, module):
        tries = json.loads(os.read(os.open(MOUNT + "/tries", os.O_RDONLY), 4096))
        said = {mode + " " + path: attempt(lambda: open(path, mode).close()) for path, mode in tries}
        said["socket"] = attempt(socket.socket)
        said["fork"] = attempt(lambda: os.fork() or os._exit(0))
        print(json.dumps(said), flush=True)
        os._exit(0)
"""


@needs_landlock
@pytest.mark.skipif(platform.machine() not in {"x86_64", "aarch64"}, reason="no filter for this machine")
@pytest.mark.parametrize("confined", [True, False])
def test_an_engine_that_was_taken_over_reaches_the_mounts_only(public: Path, confined: bool) -> None:
    """In the place of the engine stands a module that tries what a guest that broke out of it would try."""
    tmp_path = public
    mounted, config, outside = tmp_path / "mounted", tmp_path / "config", tmp_path / "outside"
    for folder in (mounted, config, outside):
        folder.mkdir()
        folder.chmod(0o777)
        (folder / "file").write_text("x")
        (folder / "file").chmod(0o666)
    tries = [
        (str(mounted / "new"), "w"), (str(config / "file"), "r"), (str(config / "file"), "w"),
        (str(outside / "file"), "r"), (str(outside / "new"), "w"), ("/etc/passwd", "r"),
    ]  # fmt: skip
    (config / "tries").write_text(json.dumps(tries))
    engine = tmp_path / "engine"
    engine.mkdir()
    (engine / "wasmtime.py").write_text(f"MOUNT = {str(config)!r}\n" + _TAKEN_OVER)
    plan = {
        "module": "none", "cache": str(tmp_path / "cache"), "argv": ["main"], "env": [], "log": str(tmp_path / "log"),
        "mounts": [[str(mounted), "/data", False], [str(config), "/config", True]],
    }  # fmt: skip
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    paths = os.pathsep.join([str(engine), str(Path(worker.__file__).resolve().parents[3])])
    free = "confining.confine_files = confining.confine_calls = lambda **_: None"
    script = f"import sys; from fairlead.drivers import confining; {'' if confined else free}\n"
    script += "from fairlead.drivers.wasm import worker; worker.main(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "plan.json")],
        env={"PYTHONPATH": paths, "PATH": os.environ["PATH"]},
        check=True,
        timeout=30,
    )
    said = json.loads((tmp_path / "log").read_text().split(" ", 3)[3])
    fine = "fine"
    denied, refused = (os.strerror(errno.EACCES), os.strerror(errno.EPERM)) if confined else (fine, fine)
    assert said == {
        f"w {mounted}/new": fine,
        f"r {config}/file": fine,
        f"w {config}/file": denied,
        f"r {outside}/file": denied,
        f"w {outside}/new": denied,
        "r /etc/passwd": denied,
        "socket": refused,
        "fork": refused,
    }
