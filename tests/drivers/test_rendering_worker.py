"""Processes that have nothing to lose: what runs there cannot get out, take long, or take much; and nothing is left of it."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairlead.drivers import rendering
from fairlead.drivers.rendering import running

MODULE = """
import os, socket, sys

def tell(call):
    try:
        return repr(call()).encode()
    except BaseException as error:
        return type(error).__name__.encode()

def echo(data): return data[::-1]
def opens(data): return tell(lambda: open("/etc/passwd").read())
def lists(data): return tell(lambda: os.listdir("/"))
def writes(data): return tell(lambda: open("/tmp/fairlead-was-here", "w"))
def connects(data): return tell(socket.socket)
def forks(data): return tell(os.fork)
def executes(data): return tell(lambda: os.execv(sys.executable, ["python"]))
def kills(data): return tell(lambda: os.kill(os.getppid(), 0))
def imports(data):
    import wave, xml.dom.minidom
    return wave.__name__.encode()
def guesses(data): return tell(lambda: __import__(data.decode()))
def environment(data): return repr(dict(os.environ)).encode()
def descriptors(data):
    found = []
    for number in range(3, 200):
        try:
            os.fstat(number)
            found.append(number)
        except OSError:
            pass
    return repr(found).encode()
def identity(data): return b"%d" % os.getuid()
def loops(data):
    while True: pass
def hoards(data):
    kept = []
    while True: kept.append(bytes(1 << 20))
def nests(data):
    kept = []
    for _ in range(100000): kept = [kept]
    return repr(kept).encode()
def ends(data): os._exit(3)
def aborts(data): os.abort()
def raises(data): raise KeyError("x")
def floods(data): return b"x" * (300 << 20)
KEPT = []
def remembers(data):
    KEPT.append(data)
    return b"%d" % len(KEPT)
"""


@pytest.fixture(scope="module", autouse=True)
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "hostilecode.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    yield
    rendering.close()
    sys.path.remove(str(folder))


@pytest.fixture(params=["fork", "template"])
def call(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """A call from a process of one thread, and of several."""
    monkeypatch.setattr(running, "_alone", lambda: request.param == "fork")

    def run(name: str, data: bytes = b"abc", *, seconds: float = 20, memory: int = 256 << 20) -> bytes:
        return rendering.run(f"hostilecode:{name}", data, seconds=seconds, memory=memory)

    return run


Call = Callable[..., bytes]
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux confines")


def test_bytes_go_in_and_bytes_come_out(call: Call) -> None:
    assert call("echo") == b"cba"
    assert call("echo", b"x" * (5 << 20)) == b"x" * (5 << 20)


@linux
@pytest.mark.parametrize("name", ["opens", "lists", "writes", "connects", "forks", "executes", "kills"])
def test_there_is_no_way_out(call: Call, name: str) -> None:
    assert call(name) in {b"PermissionError", b"OSError"}
    assert not Path("/tmp/fairlead-was-here").exists()


def test_what_was_not_imported_before_is_imported_outside_and_the_call_begun_again(call: Call) -> None:
    assert call("imports") == b"wave"


@pytest.mark.parametrize("name", ["nowhere", "fairlead.nowhere", "this", "../x", "os.nowhere"])
def test_what_is_not_there_or_has_a_say_of_its_own_is_not_imported(call: Call, name: str) -> None:
    assert call("guesses", name.encode()) in {b"ModuleNotFoundError", b"ImportError"}
    assert "this" not in sys.modules


def test_nothing_of_the_parents_is_there(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    assert call("environment") == b"{}"
    with socket.socket() as ours:
        assert ours.fileno() > 2
        assert call("descriptors") == b"[]"
    if os.geteuid() == 0:
        assert call("identity") == b"65534"


@pytest.mark.parametrize(
    ("name", "reason", "message"),
    [
        ("loops", "time", "it took more than 0.5 s"),
        pytest.param("hoards", "memory", "it used more than 256 MiB of memory", marks=linux),
        ("nests", "depth", "it nests too deeply"),
        ("ends", "crash", "its process ended: it ended with 3"),
        ("aborts", "crash", "its process ended: it ended with -6"),
        ("raises", "crash", "its process ended: KeyError: 'x'"),
    ],
)
def test_what_goes_wrong_has_a_reason(call: Call, name: str, reason: str, message: str) -> None:
    with pytest.raises(rendering.WorkerFailed) as told:
        call(name, seconds=0.5 if name == "loops" else 20)
    assert (told.value.reason, str(told.value)) == (reason, message)
    assert call("echo") == b"cba"


def test_an_answer_that_is_too_large_is_not_taken(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(rendering.WorkerFailed, match="it gives more than 256 MiB"):
        call("floods", memory=1 << 30)


def test_nothing_is_left_for_the_next_call(call: Call) -> None:
    assert [call("remembers") for _ in range(3)] == [b"1"] * 3


def test_threads_call_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bytes] = []

    def work(number: int) -> None:
        data = b"%d" % number
        found.append(rendering.run("hostilecode:echo", data))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10, 18)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(
        number.encode() for number in ("01", "11", "21", "31", "41", "51", "61", "71")
    )


def test_a_template_that_has_died_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_alone", lambda: False)
    assert rendering.run("hostilecode:echo", b"ab") == b"ba"
    running._TEMPLATES[0]._process.kill()
    running._TEMPLATES[0]._process.wait()
    assert rendering.run("hostilecode:echo", b"ab") == b"ba"


def test_what_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_alone", lambda: False)
    with pytest.raises(rendering.WorkerFailed, match="No module named 'nowhere'"):
        rendering.run("nowhere:f", b"")
