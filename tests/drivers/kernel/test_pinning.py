"""Pins with real processes: what was pinned holds with its maker dead, is replaced without a gap, and is let go of."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.drivers.kernel import pinning
from fairlead.drivers.kernel.libbpf import Refused

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="pinning needs root on Linux"),
]

OWNER = f"test{os.getpid()}"
UID = 44000 + os.getpid() % 10000

_HOLD = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_preventing import Alone, clause
import test_preventing
from contextlib import ExitStack
from fairlead.drivers.kernel import pinning, preventing
from fairlead.sense.plans import Clause, Op, Prevention, Test, What
tests = (Test(What.UID, Op.EQ, (int(sys.argv[3]),)), Test(What.RPORT, Op.EQ, (int(sys.argv[4]),)))
stack = ExitStack()
alone = Alone(stack)
alone.ask(Prevention(at="connect", clauses=(Clause(tests=tests, deny=1),)))
links = {sort.name.lower(): link for sort, link in alone.preventer.links.items()}
pinning.pin(links, {name: alone.preventer.map(name) for name in ("spared", "settings", "hooks")}, sys.argv[2])
print("pinned", flush=True)
if sys.argv[5] == "leave":
    alone.preventer.close(leave=True)
    os._exit(0)
sys.stdin.read()
"""


def hold(port: int, how: str = "stay") -> subprocess.Popen[str]:
    """Start a process that prevents connections to a port, and pins that."""
    tests = str(Path(__file__).parent)
    made = subprocess.Popen(
        [sys.executable, "-c", _HOLD, tests, OWNER, str(UID), str(port), how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert made.stdout is not None
    if made.stdout.readline() != "pinned\n":
        _, words = made.communicate()
        if "Refused" in words:
            pytest.skip(words.strip().splitlines()[-1])
        raise AssertionError(words)
    return made


def end(process: subprocess.Popen[str], how: int = signal.SIGKILL) -> None:
    process.send_signal(how)
    process.communicate()


_CONNECT = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
made = refused = 0
for _ in range(int(sys.argv[3])):
    with socket.socket() as one:
        try:
            one.connect(("127.0.0.1", int(sys.argv[2])))
            made += 1
        except PermissionError:
            refused += 1
print(made, refused)
"""


def connections(port: int, times: int = 200) -> list[int]:
    """How many connections were made, and how many refused."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", _CONNECT, str(UID), str(port), str(times)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(one) for one in done.stdout.split()]


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=4000) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    try:
        pinning.place()
    except Refused as error:
        pytest.skip(str(error))
    yield
    pinning.unpin(OWNER)


def test_what_was_pinned_holds_with_its_maker_killed(port: int) -> None:
    end(hold(port))
    assert connections(port) == [0, 200]
    assert {(one.kind, one.name) for one in pinning.pinned(OWNER)} == {
        ("link", "connect4"), ("link", "connect6"), ("map", "spared"), ("map", "settings"), ("map", "hooks"),
    }  # fmt: skip
    assert len(pinning.unpin(OWNER)) == 5
    assert connections(port) == [200, 0]
    assert pinning.pinned(OWNER) == []
    assert not (pinning.place() / OWNER).exists()


def test_a_maker_that_leaves_in_peace_leaves_it_too(port: int) -> None:
    hold(port, "leave").communicate()
    assert connections(port) == [0, 200]


def test_the_next_one_takes_over_without_a_gap(port: int) -> None:
    end(hold(port))
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _CONNECT, str(UID), str(port), "5000"],
        stdout=subprocess.PIPE,
        text=True,
    ) as meanwhile:
        end(hold(port))
        said, _ = meanwhile.communicate()
    assert said == "0 5000\n"
    assert len(pinning.pinned(OWNER)) == 5
    pinning.unpin(OWNER)
    assert connections(port) == [200, 0]


def test_who_comes_later_can_be_spared(port: int) -> None:
    end(hold(port))
    script = _CONNECT.replace("os.setuid", "sys.stdin.readline(); os.setuid")
    with subprocess.Popen(
        [sys.executable, "-S", "-c", script, str(UID), str(port), "200"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert pinning.spare([child.pid]) >= 1
        assert child.communicate("\n")[0] == "200 0\n"
    assert connections(port) == [0, 200]


def test_names_and_other_sets() -> None:
    with pytest.raises(Refused, match="cannot be called"):
        pinning.pin({}, {}, "../x")
    pinning.pin({}, {}, OWNER)
    assert (pinning.place() / OWNER / "links").is_dir()
    assert pinning.unpin(f"{OWNER}x") == []
    assert (pinning.place() / OWNER).is_dir()
