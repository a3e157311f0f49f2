"""The sieve in the kernel: every operator and operand as a clause of its own, on real calls of a process that has a user of its own."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fairlead.drivers import kernel
from fairlead.sense.plans import Arg, Clause, Hook, Op, Test, What
from fairlead.sense.records import Class, Flag
from fairlead.sense.syscalls import number_of

if TYPE_CHECKING:
    from tests.drivers.kernel.conftest import Listen, Seen

pytestmark = pytest.mark.kernel
USER = 54000 + os.getpid() % 10000
ME = Test(What.UID, Op.EQ, (USER,))
EXE = os.path.realpath(sys.executable).encode()
MNT = Path("/proc/self/ns/mnt").stat().st_ino
OPEN = {"sort": "syscall", "name": "openat", "args": (Arg.DIRFD, Arg.PATH, Arg.INT), "ret": Arg.FD}
CONNECT = {"sort": "syscall", "name": "connect", "args": (Arg.FD, Arg.SOCKADDR, Arg.INT), "about": 0}


def act(script: str, *arguments: str) -> None:
    """Run a script of Python as the user."""
    begin = f"import os, socket, sys\nos.setgid({USER})\nos.setuid({USER})\n"
    subprocess.run([sys.executable, "-c", begin + script, *arguments], check=True, timeout=60)


def hook(shape: Mapping[str, object], *clauses: Clause) -> Hook:
    return Hook(**shape, clauses=clauses)  # type: ignore[arg-type]


def number(name: str) -> int:
    found = number_of(name, os.uname().machine)
    assert found is not None
    return found


def judged(
    listen: Listen, shape: Mapping[str, object], cases: list[tuple[Test, bool]], script: str, *arguments: str
) -> list[str]:
    """Return the cases whose test came out otherwise than expected, for the one call of the script that they can be asked of."""
    always = Clause(tests=(ME, Test(What.TID, Op.NE, (0,))))
    listener = listen(hook(shape, *(Clause(tests=(ME, test)) for test, _ in cases), always))
    act(script, *arguments)
    kind = number(str(shape["name"]))
    last = 1 << len(cases)
    found = listener.until(lambda one: one.kind == kind and bool(one.clauses & last))[-1]
    return [
        f"{test}: {not wanted}"
        for at, (test, wanted) in enumerate(cases)
        if bool(found.clauses >> at & 1) != wanted
    ]


def test_tests_of_a_file(listen: Listen, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    (tmp_path / "name.txt").write_text("x" * 10)
    (tmp_path / "name.txt").chmod(0o644)
    here = str(tmp_path).encode()
    whole = here + b"/name.txt"
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    cases: list[tuple[Test, bool]] = [
        (Test(What.TEXT, Op.TEXT_IN, (b"other", whole), 0), True),
        (Test(What.TEXT, Op.TEXT_IN, (b"name.tx", b"name.txt\0"), 1), False),
        (Test(What.TEXT, Op.TEXT_NOTIN, (b"name.txt",), 1), False),
        (Test(What.TEXT, Op.TEXT_NOTIN, (b"name.txt",), 0), True),
        (Test(What.TEXT, Op.TEXT_IN, (here,), 2), True),
        (Test(What.TEXT, Op.TEXT_IN, (b"",), 3), True),
        (Test(What.TEXT, Op.PREFIX, (b"/nowhere", here), 0), True),
        (Test(What.TEXT, Op.PREFIX, (whole,), 0), True),
        (Test(What.TEXT, Op.PREFIX, (whole + b"x",), 0), False),
        (Test(What.TEXT, Op.NOTPREFIX, (here,), 0), False),
        (Test(What.TEXT, Op.NOTPREFIX, (here,), 1), True),
        (Test(What.TEXT, Op.SUFFIX, (b".png", b".txt"), 1), True),
        (Test(What.TEXT, Op.SUFFIX, (b"x.txt",), 0), False),
        (Test(What.TEXT, Op.NOTSUFFIX, (b".txt",), 0), False),
        (Test(What.TEXT, Op.CONTAINS, (b"me.t",), 1), True),
        (Test(What.TEXT, Op.CONTAINS, (b"t",), 1), True),
        (Test(What.TEXT, Op.CONTAINS, (b"name.txt",), 0), True),
        (Test(What.TEXT, Op.CONTAINS, (b"txt.",), 0), False),
        (Test(What.TEXT, Op.RELATIVE, (), 1), True),
        (Test(What.TEXT, Op.RELATIVE, (), 0), False),
        (Test(What.COMM, Op.PREFIX, (b"py",)), True),
        (Test(What.COMM, Op.TEXT_IN, (b"py",)), False),
        (Test(What.ARG, Op.EQ, (flags,), 2), True),
        (Test(What.ARG, Op.ALLBITS, (os.O_CLOEXEC | os.O_NOFOLLOW,), 2), True),
        (Test(What.ARG, Op.ALLBITS, (os.O_CLOEXEC | os.O_CREAT,), 2), False),
        (Test(What.ARG, Op.ANYBITS, (os.O_CLOEXEC | os.O_CREAT,), 2), True),
        (Test(What.ARG, Op.NOBITS, (os.O_CREAT | os.O_WRONLY,), 2), True),
        (Test(What.ARG, Op.EQ, (os.O_CLOEXEC,), 2, os.O_CLOEXEC), True),
        (Test(What.ARG, Op.NE, (os.O_CLOEXEC,), 2, os.O_CLOEXEC), False),
        (Test(What.ARG, Op.EQ, (0xFFFFFF9C,), 0, 0xFFFFFFFF), True),
        (Test(What.RET, Op.GE, (0,)), True),
        (Test(What.RET, Op.LT, (0,)), False),
        (Test(What.RET, Op.GT, (-1,)), True),
        (Test(What.RET, Op.GTU, (-4096,)), False),
        (Test(What.RET, Op.LEU, (1 << 20,)), True),
        (Test(What.UID, Op.INSET, (1, USER, 3)), True),
        (Test(What.UID, Op.NOTINSET, (1, USER, 3)), False),
        (Test(What.GID, Op.EQ, (USER,)), True),
        (Test(What.TGID, Op.LE, (1,)), False),
        (Test(What.VPID, Op.GT, (1,)), True),
        (Test(What.CONTAINED, Op.EQ, (0,)), True),
        (Test(What.NS, Op.EQ, (MNT,), 2), True),
        (Test(What.NS, Op.NE, (MNT,), 2), False),
        (Test(What.NS, Op.EQ, (MNT,), 9), False),
        (Test(What.CAP_EFF, Op.EQ, (0,)), True),
        (Test(What.CAP_INH, Op.ANYBITS, (1,)), False),
        (Test(What.EXE, Op.TEXT_IN, (b"/bin/other", EXE)), True),
        (Test(What.EXE, Op.TEXT_NOTIN, (EXE,)), False),
        (Test(What.EXE, Op.PREFIX, (EXE[:4],)), True),
        (Test(What.EXE, Op.SUFFIX, (EXE[-6:],)), True),
        (Test(What.EXE, Op.NOTSUFFIX, (b"/sh",)), True),
        (Test(What.PEXE, Op.TEXT_IN, (EXE,)), True),
        (Test(What.PEXE, Op.NOTPREFIX, (b"/bin/",)), not EXE.startswith(b"/bin/")),
        (Test(What.FILEMODE, Op.EQ, (stat.S_IFREG,), 0, stat.S_IFMT(0o777777)), True),
        (Test(What.FILEMODE, Op.ANYBITS, (0o111,)), False),
        (Test(What.OFLAGS, Op.ANYBITS, (os.O_NOFOLLOW,)), True),
        (Test(What.FAMILY, Op.EQ, (0,)), True),
        (Test(What.RADDR, Op.NET, ("0.0.0.0/0",)), False),
        (Test(What.RADDR, Op.NOTNET, ("0.0.0.0/0",)), True),
    ]  # fmt: skip
    script = f"os.chdir(sys.argv[1])\nos.close(os.open('name.txt', {flags}))"
    assert judged(listen, OPEN, cases, script, str(tmp_path)) == []


def test_tests_of_a_connection(listen: Listen) -> None:
    cases: list[tuple[Test, bool]] = [
        (Test(What.FAMILY, Op.EQ, (2,)), True),
        (Test(What.SOCKTYPE, Op.EQ, (1,)), True),
        (Test(What.PROTO, Op.EQ, (6,)), True),
        (Test(What.RPORT, Op.INSET, (1, 2, 3)), True),
        (Test(What.RPORT, Op.LT, (1,)), False),
        (Test(What.RADDR, Op.NET, ("10.0.0.0/8", "127.0.0.0/8")), True),
        (Test(What.RADDR, Op.NET, ("127.0.0.2",)), False),
        (Test(What.RADDR, Op.NET, ("::ffff:127.0.0.1",)), True),
        (Test(What.RADDR, Op.NET, ("::/0",)), False),
        (Test(What.RADDR, Op.NOTNET, ("127.0.0.0/8",)), False),
        (Test(What.RET, Op.EQ, (-111,)), True),
        (Test(What.FILEMODE, Op.EQ, (0,)), True),
    ]
    script = "s = socket.socket()\ntry:\n    s.connect(('127.0.0.1', 1))\nexcept OSError:\n    pass"
    assert judged(listen, CONNECT, cases, script) == []
    mapped = "s = socket.socket(socket.AF_INET6)\ntry:\n    s.connect(('::ffff:127.0.0.1', 1))\nexcept OSError:\n    pass"
    wanted = [(test, passes) for test, passes in cases if test.what is What.RADDR]
    assert judged(listen, CONNECT, wanted, mapped) == []


def test_what_is_posted_too_often_is_counted(listen: Listen, tmp_path: Path) -> None:
    listener = listen(
        hook(OPEN, Clause(tests=(ME, Test(What.TEXT, Op.PREFIX, (b"/nowhere/",), 1)), rate_ms=60_000))
    )
    before = listener.sensor.counters()[Class.CALLS.name.lower()].rated
    act(
        "for name in 'abab' * 5:\n    try:\n        open(f'/nowhere/{name}')\n    except OSError:\n        pass"
    )
    found = listener.until(lambda one: one.slot != 0 and one.clauses == 1, 2)
    assert sorted(one.texts[1] for one in found) == [b"/nowhere/a", b"/nowhere/b"]
    assert listener.sensor.counters()[Class.CALLS.name.lower()].rated - before == 18


def test_two_paths_and_what_they_are_relative_to(listen: Listen, tmp_path: Path) -> None:
    shape = {
        "sort": "syscall",
        "name": "renameat2",
        "args": (Arg.DIRFD, Arg.PATH, Arg.DIRFD, Arg.PATH, Arg.INT),
    }
    other = {"sort": "syscall", "name": "renameat", "args": (Arg.DIRFD, Arg.PATH, Arg.DIRFD, Arg.PATH)}
    listener = listen(
        *(hook(one, Clause(tests=(Test(What.TEXT, Op.SUFFIX, (b"-before",), 0),))) for one in (shape, other))
    )
    (tmp_path / "a-before").write_text("")
    (tmp_path / "in").mkdir()
    script = (
        "import os, sys\nos.chdir(sys.argv[1])\nfd = os.open('in', os.O_RDONLY)\n"
        "os.rename('a-before', b'b\\xff\\n', dst_dir_fd=fd)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    here = str(tmp_path).encode()
    (found,) = listener.until(lambda one: one.texts[0] == b"a-before")
    assert list(found.texts) == [b"a-before", here, b"b\xff\n", here + b"/in"]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare (util-linux) is not here")
def test_a_path_goes_through_the_mounts_of_its_own_namespace(listen: Listen, tmp_path: Path) -> None:
    listener = listen(hook(OPEN, Clause(tests=(Test(What.TEXT, Op.SUFFIX, (b"/mounted/deep/file",), 0),))))
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "deep" / "file").write_text("")
    (tmp_path / "mounted").mkdir()
    script = f"cd {tmp_path} && mount --bind real mounted && cat mounted/deep/file"
    subprocess.run(["unshare", "-m", "sh", "-c", script], check=True)
    found: Seen = listener.until(lambda one: one.slot != 0)[0]
    assert found.texts[0] == str(tmp_path).encode() + b"/mounted/deep/file"
    assert found.flags & Flag.CONTAINED


def test_a_path_that_is_too_long_is_marked_and_passes(listen: Listen, tmp_path: Path) -> None:
    listener = listen(hook(OPEN, Clause(tests=(ME, Test(What.TEXT, Op.PREFIX, (b"/nowhere/",), 0)))))
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o777)
    script = (
        "os.chdir(sys.argv[1])\nfor _ in range(25):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)\n"
        "os.close(os.open('file', os.O_CREAT | os.O_RDONLY))\n"
        "os.unlink('file')\nfor _ in range(25):\n    os.chdir('..')\n    os.rmdir('d' * 200)"
    )
    act(script, str(tmp_path))
    found = listener.until(lambda one: one.texts[1] == b"file")[0]
    assert found.flags & Flag.CUT
    assert found.texts[0].endswith(b"d/file")
    assert len(found.texts[0]) > 3800


def test_counters_tell_of_every_class(listen: Listen) -> None:
    listener = listen()
    subprocess.run(["true"], check=True)
    listener.until(lambda one: one.kind == 1024)
    counts: dict[str, kernel.Count] = dict(listener.sensor.counters())
    assert set(counts) >= {one.name.lower() for one in Class}
    assert counts["process"].seen >= counts["process"].sent > 0
