"""Guards with real processes: what is guarded cannot be opened or executed, under whatever name, and everything else can."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fairlead.drivers.kernel import cgroups, guarding
from fairlead.drivers.kernel.guarding import Guards, GuardsRefused
from fairlead.sense.plans import Guard

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        os.geteuid() != 0 or sys.platform != "linux", reason="guarding files needs root on Linux"
    ),
]

Start = Callable[..., Guards]

_OPENS = """
import sys
fine = 0
for _ in range(200):
    try:
        open(sys.argv[1], 'rb').close()
        fine += 1
    except PermissionError:
        pass
print(fine)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(*guards: Guard, **how: object) -> Guards:
            found = Guards(**how)  # type: ignore[arg-type]
            stack.callback(found.close)
            try:
                found.update(guards)
            except GuardsRefused as error:
                pytest.skip(f"the kernel has no fanotify permission events: {error}")
            return found

        yield begin


def opened(path: Path) -> int:
    """How many of 200 times another process could open the file."""
    done = subprocess.run([sys.executable, "-S", "-c", _OPENS, str(path)], capture_output=True, check=True)
    return int(done.stdout)


def cat(path: Path | str, *before: str) -> bool:
    return subprocess.run([*before, "cat", str(path)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "vault" / "secret"
    path.parent.mkdir()
    path.write_text("x")
    (tmp_path / "vault" / "leaflet").write_text("y")
    return path


def test_each_open_is_prevented_and_the_file_beside_is_not(secret: Path, start: Start) -> None:
    guards = start(Guard(at="open", paths=(str(secret),), owner="vault"))
    assert opened(secret) == 0
    assert opened(secret.with_name("leaflet")) == 200
    told = guards.read()
    assert len(told) == 200
    assert guards.lost == 0
    assert {(one.what, one.path, one.owner, one.uid) for one in told} == {("open", str(secret), "vault", 0)}
    assert Path(told[0].exe).samefile(sys.executable)
    guards.close()
    assert opened(secret) == 200


def test_each_execution_is_prevented_and_leaves_nothing(tmp_path: Path, start: Start) -> None:
    bad, good, mark = tmp_path / "bad", tmp_path / "good", tmp_path / "mark"
    for program in (bad, good):
        shutil.copy(shutil.which("touch") or "", program)
    guards = start(Guard(at="exec", paths=(str(bad),), owner="no-bad"))
    script = (
        'n=0; i=0; while [ $i -lt 200 ]; do "$0" "$1" 2>/dev/null && n=$((n+1)); i=$((i+1)); done; echo $n'
    )
    for program, times in ((bad, 0), (good, 200)):
        done = subprocess.run(["sh", "-c", script, program, mark], capture_output=True, check=True)
        assert int(done.stdout) == times
        assert mark.exists() is (times > 0)
    assert [one.what for one in guards.read()] == ["exec"] * 200
    assert cat(bad)  # to read it is another thing


def test_a_file_is_guarded_under_its_other_names(secret: Path, tmp_path: Path, start: Start) -> None:
    (tmp_path / "link").symlink_to(secret)
    os.link(secret, tmp_path / "hard")
    start(Guard(at="open", paths=(str(secret),)))
    assert not cat(tmp_path / "link")
    assert not cat(tmp_path / "hard")
    (tmp_path / "shown").mkdir()
    bind = f"mount --bind {secret.parent} {tmp_path}/shown && exec cat {tmp_path}/shown/"
    assert subprocess.run(
        ["unshare", "-m", "sh", "-c", bind + "secret"], check=False, capture_output=True
    ).returncode
    subprocess.run(["unshare", "-m", "sh", "-c", bind + "leaflet"], check=True, capture_output=True)


def test_what_takes_a_guarded_name_is_guarded(secret: Path, start: Start) -> None:
    start(Guard(at="open", paths=(str(secret), str(secret.with_name("later")))))
    fresh = secret.with_name("fresh")
    fresh.write_text("new")
    assert cat(fresh)  # allowed, and not asked about again
    fresh.rename(secret)
    for _ in range(100):
        if not cat(secret):
            break
        time.sleep(0.01)
    assert opened(secret) == 0
    secret.with_name("later").write_text("new")
    assert not cat(secret.with_name("later"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield place
    subprocess.run(["umount", "-R", str(place)], check=True)


def test_a_tree_is_guarded_through_any_mount(disk: Path, tmp_path: Path, start: Start) -> None:
    tree = disk / "keys"
    (tree / "deep").mkdir(parents=True)
    for path in (tree / "deep" / "one", disk / "keyring", disk / "benign"):
        path.write_text("x")
    guards = start(Guard(at="open", paths=(f"{tree}/",), prefix=True))
    assert opened(tree / "deep" / "one") == 0
    assert opened(disk / "keyring") == opened(disk / "benign") == 200
    (disk / "later").write_text("x")
    (disk / "later").rename(tree / "later")
    assert not cat(tree / "later")
    other = tmp_path / "other"
    other.mkdir()
    bind = f"mount --bind {tree}/deep {other} && exec cat {other}/one"
    assert subprocess.run(["unshare", "-m", "sh", "-c", bind], check=False, capture_output=True).returncode
    inner = tree / "mounted"
    subprocess.run(["mkdir", str(inner)], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(inner)], check=True)
    (inner / "two").write_text("x")
    assert cat(inner / "two")  # a file system that came later
    guards.cover(os.getpid())
    assert not cat(inner / "two")


def test_what_comes_into_a_tree_by_a_mount_is_asked_about_again(disk: Path, start: Start) -> None:
    tree, other = disk / "keys", disk / "other"
    (tree / "shown").mkdir(parents=True)
    other.mkdir()
    (other / "file").write_text("x")
    guards = start(Guard(at="open", paths=(f"{tree}/",), prefix=True))
    assert cat(other / "file")  # allowed, and not asked about again
    subprocess.run(["mount", "--bind", str(other), str(tree / "shown")], check=True)
    guards.cover(os.getpid())
    assert opened(tree / "shown" / "file") == 0
    assert opened(other / "file") == 0  # it is the same directory now
    guards.read()
    assert guards.holding


def test_what_is_not_there_yet_is_guarded_when_it_comes(tmp_path: Path, start: Start) -> None:
    place = tmp_path / "a" / "b" / "c"
    start(
        Guard(at="open", paths=(str(place / "secret"),)),
        Guard(at="exec", paths=(f"{tmp_path}/a/b/bin/",), prefix=True),
    )
    place.mkdir(parents=True)
    (tmp_path / "a" / "b" / "bin").mkdir()
    (place / "secret").write_text("x")
    shutil.copy(shutil.which("true") or "", tmp_path / "a" / "b" / "bin" / "program")
    eventually(lambda: not cat(place / "secret"))
    assert opened(place / "secret") == 0
    program = [str(tmp_path / "a" / "b" / "bin" / "program")]

    def refused() -> bool:
        try:
            subprocess.run(program, check=True)
        except PermissionError:
            return True
        return False

    eventually(refused)


def eventually(holds: Callable[[], bool]) -> None:
    for _ in range(300):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to hold")


def test_a_container_that_comes_later_with_a_root_of_its_own(tmp_path: Path, start: Start) -> None:
    """A mount namespace with another root, as runtimes make them; the path is the one that its processes see."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is missing: apt-get install busybox-static")
    folder = f"fairlead-{os.getpid()}"
    start(Guard(at="open", paths=(f"/{folder}/secret",), owner="inside"))
    script = f"""set -e
mount -t tmpfs none {tmp_path}; cd {tmp_path}; mkdir bin old {folder}; cp {busybox} bin/sh; cp {busybox} bin/cat; cp {busybox} bin/sleep
echo x > {folder}/secret; echo y > {folder}/leaflet; pivot_root . old
exec bin/sh -c 'umount -l /old; n=0
while cat /{folder}/secret > /out 2> /err && [ $n -lt 500 ]; do n=$((n+1)); sleep 0.02; done
n=0; i=0; while [ $i -lt 200 ]; do cat /{folder}/secret > /out && n=$((n+1)); i=$((i+1)); done 2> /err; echo $n; cat /{folder}/leaflet'
"""
    line = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout == "0\ny\n"


def test_only_some_are_refused(secret: Path, start: Start) -> None:
    cat_path = os.path.realpath(shutil.which("cat") or "")
    head_path = os.path.realpath(shutil.which("head") or "")
    path = (str(secret),)
    for guard, cat_fine, head_fine in (
        (Guard(at="open", paths=path, binaries=(cat_path,)), False, True),
        (Guard(at="open", paths=path, not_binaries=(cat_path,)), True, False),
        (Guard(at="open", paths=path, binaries=(head_path, "/none")), True, False),
    ):
        guards = start(guard)
        assert cat(secret) is cat_fine
        done = subprocess.run(["head", str(secret)], capture_output=True, check=False)
        assert (done.returncode == 0) is head_fine
        guards.close()


def test_only_a_cgroup_is_refused(secret: Path, start: Start) -> None:
    group = Path(cgroups.hierarchy().mount, f"fairlead-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        start(Guard(at="open", paths=(str(secret),), cgroups=(group.stat().st_ino,)))
        join = f"echo $$ > {group}/cgroup.procs && exec cat {secret}"
        assert cat(secret)
        assert subprocess.run(["sh", "-c", join], check=False, capture_output=True).returncode
        inner = group / "inner"
        inner.mkdir()
        join = f"echo $$ > {inner}/cgroup.procs && exec cat {secret}"
        assert subprocess.run(["sh", "-c", join], check=False, capture_output=True).returncode
        inner.rmdir()
    finally:
        group.rmdir()


def test_guards_are_changed_without_a_gap(secret: Path, start: Start) -> None:
    guards = start(Guard(at="open", paths=(str(secret),), owner="0"))
    script = "import sys; opens = sys.argv[1]\n" + _OPENS.replace("range(200)", "range(20000)")
    with subprocess.Popen(
        [sys.executable, "-S", "-c", script, str(secret)], stdout=subprocess.PIPE
    ) as meanwhile:
        for name in ("1", "2", "3"):
            guards.update([Guard(at="open", paths=(str(secret),), owner=name)])
        assert meanwhile.communicate()[0] == b"0\n"
    guards.update([])
    told = guards.read()
    assert len(told) + guards.lost == 20000
    assert {one.owner for one in told} <= {"0", "1", "2", "3"}
    assert cat(secret)
    assert guards.holding


def test_who_is_spared_is_not_refused(secret: Path, start: Start) -> None:
    guards = start(Guard(at="open", paths=(str(secret),)))
    assert secret.read_text() == "x"  # this process
    script = f"import sys\nprint(flush=True)\nsys.stdin.readline()\nprint(open({str(secret)!r}).read())"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        guards.spare(child.pid)
        assert child.communicate("\n")[0] == "x\n"
    assert guards.read() == []


def test_with_the_responder_dead_everything_passes(secret: Path, start: Start) -> None:
    guards = start(Guard(at="open", paths=(str(secret),)))
    assert guards._responder is not None
    held = [guards.holding]
    guards._responder.process.kill()
    guards._responder.process.wait()
    assert cat(secret)
    held.append(guards.holding)
    assert held == [True, False]
    assert guards.read() == []
    assert guards.tend()
    assert not guards.tend()
    assert opened(secret) == 0
    assert len(guards.read()) == 200


def test_a_responder_that_hangs_is_killed_by_the_kernel(secret: Path, start: Start) -> None:
    guards = start(Guard(at="open", paths=(str(secret),)), patience=0.5)
    assert guards._responder is not None
    responder = guards._responder.process
    responder.send_signal(signal.SIGSTOP)
    assert cat(secret)
    assert responder.wait(10) == -signal.SIGKILL


def test_guards_that_are_kept_outlive_their_starter(secret: Path, tmp_path: Path) -> None:
    note = tmp_path / "run" / "guards"
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom fairlead.drivers.kernel.guarding import Guards\n"
        "from fairlead.sense.plans import Guard\n"
        f"guards = Guards()\nguards.update([Guard(at='open', paths=({str(secret)!r},))])\n"
        f"guards.keep(Path({str(note)!r}))\nos._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    try:
        assert not cat(secret)
        again = Guards()
        again.update([Guard(at="open", paths=(str(secret),))])
        again.keep(note)
        assert not cat(secret)
        again.update([Guard(at="open", paths=(str(secret),), owner="another")])
        again.close()
        assert not cat(secret)
    finally:
        assert guarding.release(note)
    for _ in range(100):
        if cat(secret):
            break
        time.sleep(0.01)
    assert cat(secret)
    assert not guarding.release(note)


def test_hostile_names(disk: Path, start: Start) -> None:
    tree = disk / "keys"
    tree.mkdir()
    names = [b"new\nline", b"\xff\xfe", b" (deleted)", b"x" * 255, "\udcff".encode("utf-8", "surrogatepass")]
    for name in names:
        Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).write_text("x")
    here = Path.cwd()
    try:  # deeper than any path can tell
        os.chdir(tree)
        for _ in range(20):
            Path("d" * 250).mkdir()
            os.chdir("d" * 250)
        Path("deep").write_text("x")
        guards = start(Guard(at="open", paths=(f"{tree}/",), prefix=True))
        assert subprocess.run(["cat", "deep"], check=False, capture_output=True).returncode
    finally:
        os.chdir(here)
    for name in names:
        assert subprocess.run(
            [b"cat", os.fsencode(tree) + b"/" + name], check=False, capture_output=True
        ).returncode
    (disk / "benign").write_text("x")
    assert cat(disk / "benign")
    told = guards.read()
    assert [os.fsencode(one.path) for one in told[1:]] == [os.fsencode(tree) + b"/" + name for name in names]
    shutil.rmtree(tree)


def test_many_at_once(secret: Path, start: Start) -> None:
    guards = start(Guard(at="open", paths=(str(secret),)))
    both = f"import threading\nfiles = [{str(secret)!r}, {str(secret.with_name('leaflet'))!r}]\n"
    script = both + (
        "fine = [[], []]\n"
        "def tries(which):\n"
        "    for _ in range(100):\n"
        "        try:\n"
        "            open(files[which]).close()\n"
        "            fine[which].append(1)\n"
        "        except PermissionError: pass\n"
        "threads = [threading.Thread(target=tries, args=(at % 2,)) for at in range(8)]\n"
        "[one.start() for one in threads]\n"
        "[one.join() for one in threads]\n"
        "print(len(fine[0]), len(fine[1]))\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    assert [one.communicate()[0] for one in children] == ["0 400\n"] * 6
    assert len(guards.read()) + guards.lost == 6 * 400


def test_what_cannot_be_guarded_is_told(secret: Path, start: Start) -> None:
    guards = start(Guard(at="open", paths=("/proc/version", str(secret)), owner="both"))
    assert [(one.owner, one.path) for one in guards.lacking] == [("both", "/proc/version")]
    assert cat("/proc/version")
    assert not cat(secret)
