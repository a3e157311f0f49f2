"""A sensor over real processes: what they execute, open and connect, whatever their names, and that nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fairlead.drivers import kernel
from fairlead.drivers.kernel.libbpf import loaded_programs
from fairlead.drivers.kernel.probing import lacks_call
from fairlead.sense import records
from fairlead.sense.plans import Arg, Clause, Hook, Op, Plan, Test, What
from fairlead.sense.records import Flag, Kind
from fairlead.sense.syscalls import hook_of, number_of

if TYPE_CHECKING:
    from tests.drivers.kernel.conftest import Listen, Seen

pytestmark = pytest.mark.kernel
MACHINE = os.uname().machine
TRUE = shutil.which("true") or "/bin/true"


def run(*command: str | bytes | Path, code: int = 0, **how: object) -> int:
    """Run a command to its end; return its process id."""
    done = subprocess.Popen(list(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how)  # type: ignore[call-overload]
    assert done.wait() == code
    pid: int = done.pid
    return pid


def of(pid: int, kind: int) -> Callable[[Seen], bool]:
    return lambda one: one.tgid == pid and one.kind == kind


def number(name: str) -> int:
    found = number_of(name, MACHINE)
    assert found is not None
    return found


def test_a_process_is_executed_forked_and_ended(listen: Listen) -> None:
    listener = listen()
    pid = run("sh", "-c", "exit 3", code=3, env={"HELLO": "world", "PATH": os.environ["PATH"]})
    [ended] = listener.until(of(pid, Kind.EXIT))
    [executed] = [one for one in listener.found if of(pid, Kind.EXEC)(one)]
    [forked] = [one for one in listener.found if one.kind == Kind.FORK and one.args[0] == pid]
    assert executed.texts.first == bytes(Path(shutil.which("sh") or "/bin/sh").resolve())
    assert executed.texts.second == bytes(Path.cwd())
    assert executed.texts.third == b"sh\0-c\0exit 3"
    assert b"HELLO=world" in executed.texts.fourth.split(b"\0")
    more = records.exec_of(next(b for b in _long(executed)))
    assert more["ppid"] == os.getpid()
    assert more["argc"] == 3
    assert ended.args[1] == 3
    assert ended.ret == 3 << 8
    assert forked.tgid == os.getpid()
    assert forked.args[1] == executed.raw["start"] == ended.raw["start"], (
        "(tgid, start) names a process for good"
    )
    assert executed.raw["time"] <= ended.raw["time"]


def _long(one: Seen) -> list[bytes]:
    """The bytes of an EXEC record that `seen` decoded."""
    return [one.raw.base if isinstance(one.raw.base, bytes) else bytes(one.raw.base.base)]


def hostile_names(place: Path) -> list[bytes]:
    """Paths that break readers which trust names."""
    here = os.fsencode(place)
    deep = here
    while len(deep) + 200 < 4000:
        deep += b"/" + b"d" * 190
    return [
        here + b"/new\nline\ttab \x1b[31m",
        here + b"/\xff\xfe\x80 not UTF-8",
        here + b"/quote\"'\\$(id)`id`%n{}",
        here + b"/" + "\u202egnp.elif\u202c".encode(),
        here + b"/" + b"n" * 255,
        deep + b"/" + b"f" * (4090 - len(deep) - 1),
    ]


def make(path: bytes) -> None:
    """Make a file that may lie deeper than one path can tell: step by step."""
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir("/")
        *folders, name = path.strip(b"/").split(b"/")
        for folder in folders:
            Path(os.fsdecode(folder)).mkdir(exist_ok=True)
            os.chdir(folder)
        made = Path(os.fsdecode(name))
        made.write_bytes(Path(TRUE).read_bytes())
        made.chmod(0o755)
    finally:
        os.fchdir(before)
        os.close(before)


def test_hostile_names_of_programs_come_whole(listen: Listen, tmp_path: Path) -> None:
    names = hostile_names(tmp_path)
    for name in names:
        make(name)
    listener = listen()
    for name in names:
        pid = run(name)
        [executed] = listener.until(of(pid, Kind.EXEC))
        assert executed.texts.first == name
        assert executed.texts.third == name


def test_hostile_names_of_files_come_whole(listen: Listen, tmp_path: Path) -> None:
    names = hostile_names(tmp_path)
    for name in names:
        make(name)
    here = os.fsencode(tmp_path)
    listener = listen(hook_of("openat", [Clause(tests=(Test(What.TEXT, Op.PREFIX, (here,)),))]))
    script = "import os, sys\nfor name in sys.argv[1:]: os.close(os.open(os.fsencode(name), os.O_RDONLY))"
    pid = run(sys.executable, "-S", "-c", script, *names)
    opened = listener.until(of(pid, number("openat")), len(names))
    assert [one.texts.first for one in opened] == names
    assert [one.texts.second for one in opened] == names
    assert all(one.ret >= 0 and one.flags & Flag.PLACE_FILE for one in opened)
    assert {int(one.raw["file"]["ino"]) for one in opened} == {
        Path(os.fsdecode(name)).stat().st_ino for name in names
    }


def test_what_was_opened_is_told_and_not_what_was_asked_for(listen: Listen, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    (tmp_path / "harmless").symlink_to(secret)
    listener = listen(
        hook_of("openat", [Clause(tests=(Test(What.TEXT, Op.TEXT_IN, (os.fsencode(secret),)),))])
    )
    pid = run("cat", "harmless", cwd=tmp_path)
    [opened] = listener.until(of(pid, number("openat")))
    assert opened.texts[:3] == (os.fsencode(secret), b"harmless", os.fsencode(tmp_path))


def test_a_connection_s_ends_are_told(listen: Listen) -> None:
    listener = listen(hook_of("connect"), Hook(sort="kernel", name="sock_state"))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        script = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        pid = run(sys.executable, "-S", "-c", script)
    [made] = [
        one
        for one in listener.until(of(pid, number("connect")))
        if one.flags & Flag.PLACE_SOCK and one.raw["sock"]["family"] == socket.AF_INET
    ]
    sock = made.raw["sock"]
    assert (bytes(sock["raddr"][:4]), int(sock["rport"])) == (b"\x7f\0\0\1", port)
    states = [
        one.args[:2]
        for one in listener.found
        if one.kind == Kind.SOCK_STATE and int(one.raw["sock"]["rport"]) == port
    ]
    assert [7, 2] in states, "closed to SYN sent"
    assert [2, 1] in states, "SYN sent to established"


def test_executables_are_told_apart_in_the_kernel(listen: Listen, tmp_path: Path) -> None:
    """Also those that ran before the sensor did, and by their parents."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    cat = Path(shutil.which("cat") or "/bin/cat").resolve().read_bytes()
    for one in (mine, other):
        one.write_bytes(cat)
        one.chmod(0o755)
    shell = tmp_path / "shell"
    shell.write_bytes(Path(shutil.which("sh") or "/bin/sh").resolve().read_bytes())
    shell.chmod(0o755)
    target = tmp_path / "target"
    target.write_text("x")
    before = subprocess.Popen([shell], stdin=subprocess.PIPE, text=True)
    try:
        about = Test(What.TEXT, Op.TEXT_IN, (os.fsencode(target),))
        listener = listen(
            hook_of("openat", [
                Clause(tests=(about, Test(What.EXE, Op.TEXT_IN, (os.fsencode(mine),))), owner="exe"),
                Clause(tests=(about, Test(What.PEXE, Op.PREFIX, (os.fsencode(shell),))), owner="parent"),
                Clause(tests=(about, Test(What.EXE, Op.SUFFIX, (b"/shell",))), owner="itself"),
            ])
        )  # fmt: skip
        ours, others = run(mine, target), run(other, target)
        assert before.stdin
        before.stdin.write(f": < {target}\n{other} {target} > /dev/null\nexit\n")
        before.stdin.close()
        assert before.wait(20) == 0
    finally:
        before.kill()
        before.wait()
    opened = listener.until(lambda one: one.kind == number("openat"), 3)
    assert len(opened) == 3
    by_bits = {one.clauses: one.tgid for one in opened}
    assert by_bits[1] == ours
    assert by_bits[4] == before.pid
    assert by_bits[2] not in {ours, others, before.pid}


def test_ignored_processes_are_not_seen(listen: Listen, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("x")
    about = Clause(tests=(Test(What.TEXT, Op.TEXT_IN, (os.fsencode(target),)),))
    shell = subprocess.Popen(["sh"], stdin=subprocess.PIPE, text=True)
    try:
        listener = listen(hook_of("openat", [about]), ignore=(shell.pid,))
        assert shell.stdin
        shell.stdin.write(f": < {target}\ncat {target} > /dev/null\nexit\n")
        shell.stdin.close()
        assert shell.wait(20) == 0
        opened = listener.until(lambda one: one.kind == number("openat"))
    finally:
        shell.kill()
        shell.wait()
    assert shell.pid not in {one.tgid for one in opened}, "its child is seen, it is not"


def test_functions_of_libraries_and_tracepoints_by_name(listen: Listen) -> None:
    libc = next(
        line.split(None, 5)[5].strip()
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "libc.so" in line
    )
    mine = Test(What.COMM, Op.TEXT_IN, (b"fl-generic",))
    listener = listen(
        Hook(sort="uprobe", name="setenv", path=libc, enter=True, args=(Arg.STRING, Arg.STRING, Arg.INT), clauses=(Clause(tests=(mine,)),)),
        Hook(sort="uprobe", name="getppid", path=libc, ret=Arg.INT, clauses=(Clause(tests=(mine,)),)),
        Hook(sort="tracepoint", name="task/task_rename", args=(Arg.INT, Arg.STRING, Arg.STRING), clauses=(Clause(tests=(mine,)),)),
        Hook(sort="rawtracepoint", name="sched_process_exit", clauses=(Clause(tests=(mine,)),)),
    )  # fmt: skip
    assert [one.how.split()[0] for one in listener.sensor.placed] == [
        "uprobe",
        "uretprobe",
        "tracepoint",
        "raw",
    ]
    script = (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
        "libc.prctl(15, b'fl-generic')\nlibc.setenv(b'NAME', b'value', 7)\nlibc.getppid()\nlibc.prctl(15, b'fl-generic')"
    )
    pid = run(sys.executable, "-S", "-c", script)
    listener.until(lambda one: one.tgid == pid and one.kind == Kind.EXIT)
    slots = {
        listener.sensor.slots[one.slot].name: one for one in listener.found if one.tgid == pid and one.slot
    }
    assert slots["setenv"].texts[:2] == (b"NAME", b"value")
    assert slots["setenv"].args[2] == 7
    assert slots["getppid"].ret == os.getpid()
    assert slots["task/task_rename"].texts[:2] == (b"fl-generic", b"fl-generic")
    assert "sched_process_exit" in slots


def test_attempts_of_calls_that_the_kernel_lacks_are_seen(listen: Listen) -> None:
    if not lacks_call("init_module"):
        pytest.skip("this kernel loads modules")
    listener = listen(hook_of("init_module"), hook_of("mkdirat"))
    script = (
        f"import ctypes; libc = ctypes.CDLL(None); libc.syscall({number('init_module')}, 0, 5, b'name=value')"
    )
    pid = run(sys.executable, "-S", "-c", script)
    [tried] = listener.until(of(pid, number("init_module")))
    assert (tried.ret, tried.args[1]) == (-38, 5)
    assert b"name=value" in tried.texts


def test_what_is_not_there_says_why_and_keeps_nothing_away(listen: Listen) -> None:
    listener = listen(
        Hook(sort="syscall", name="no_such_call"),
        Hook(sort="tracepoint", name="no/such"),
        Hook(sort="kernel", name="weather"),
        Hook(sort="uprobe", name="nothing", path="/no/such/library", enter=True),
        Hook(sort="kernel", name="signal"),
    )
    how = {one.hook.name: (one.how, one.lost, one.slot) for one in listener.sensor.placed}
    assert "no system call" in how["no_such_call"][1]
    assert "no tracepoint" in how["no/such"][1]
    assert "no kernel event" in how["weather"][1]
    assert how["nothing"][0] == ""
    assert how["signal"][0] == "tp_btf signal_generate"
    assert len(listener.sensor.remarks) == 4
    pid = run("sh", "-c", "sleep 30 & kill -TERM $!")
    [sent] = listener.until(
        lambda one: one.tgid == pid and one.kind == Kind.SIGNAL and one.args[0] == signal.SIGTERM
    )
    assert sent.args[1] in {
        one.args[0] for one in listener.found if one.kind == Kind.FORK and one.tgid == pid
    }


def test_nothing_is_left_when_a_sensor_closes(listen: Listen) -> None:
    sensor = kernel.open(
        Plan(hooks=(hook_of("mkdirat"),), recorder=False), sizes=dict.fromkeys(kernel.SIZES, 4096)
    )
    mine = sensor.program_ids()
    assert len(mine) >= 4
    assert mine <= loaded_programs().keys()
    sensor.close()
    sensor.close()
    end = time.monotonic() + 10
    while mine & loaded_programs().keys():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_nothing_is_left_when_a_sensor_is_killed() -> None:
    script = (
        "from fairlead.drivers import kernel\nfrom fairlead.sense.plans import Plan\nimport time\n"
        "sensor = kernel.open(Plan(recorder=False), sizes={name: 4096 for name in kernel.SIZES})\n"
        "print(*sensor.program_ids(), flush=True)\ntime.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    mine = {int(one) for one in child.stdout.readline().split()}
    assert mine
    assert mine <= loaded_programs().keys()
    child.kill()
    child.wait()
    child.stdout.close()
    end = time.monotonic() + 10
    while mine & loaded_programs().keys():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_sensor_that_cannot_open_leaves_nothing() -> None:
    clauses = tuple(Clause(owner=str(at), rate_ms=1) for at in range(65))
    with pytest.raises(kernel.Refused):
        kernel.open(Plan(hooks=(hook_of("openat", clauses),), recorder=False), sizes={"calls": 4096})
    with pytest.raises(kernel.Refused, match="no ring"):
        kernel.open(Plan(recorder=False), sizes={"bells": 4096})
