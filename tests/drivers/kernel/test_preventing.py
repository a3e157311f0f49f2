"""Cgroup hooks with real processes: what a clause names fails with its error, each of 200 times, and everything beside it goes on.

Each clause is limited to one user's number that no other process here has, or to an executable of the test's own.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.kernel import cgroups, preventing
from fairlead.drivers.kernel.encoding import SETTINGS, Encoder, Sets
from fairlead.drivers.kernel.libbpf import Refused
from fairlead.drivers.kernel.rings import Ring
from fairlead.sense import records
from fairlead.sense.plans import Clause, Op, Prevention, What
from fairlead.sense.plans import Test as Ask
from fairlead.sense.records import Flag, HookSort, Kind

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        os.geteuid() != 0 or sys.platform != "linux", reason="cgroup hooks need root on Linux"
    ),
]

UID = 54000 + os.getpid() % 10000
ME = Ask(What.UID, Op.EQ, (UID,))

_TRIES = """
import errno, os, socket, sys
os.setuid(int(sys.argv[1]))
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
def connect(host, port, family=socket.AF_INET):
    with socket.socket(family) as one:
        one.connect((host, port))
def send(host, port, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", (host, port))
def bind(port, family=socket.AF_INET):
    with socket.socket(family) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("", port))
def make(*what):
    socket.socket(*what).close()
"""
FINE, EPERM = {"fine": 200}, {"EPERM": 200}


def tried(script: str, uid: int = UID, python: str = sys.executable) -> list[dict[str, int]]:
    done = subprocess.run(
        [python, "-S", "-c", f"{_TRIES}\nprint([{script}])", str(uid)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, int]] = eval(done.stdout)
    return found


class Alone:
    """The prevention's programs without a sensor: maps of their own, written here."""

    def __init__(self, stack: ExitStack) -> None:
        self.preventer = preventing.Preventer({})
        stack.callback(self.preventer.close)
        alerts = self.preventer.map("alerts")
        self._ring = Ring("alerts", alerts.fd, alerts.most)
        stack.callback(self._ring.close)

    def ask(self, *preventions: Prevention, acting: int = 1, spared: tuple[int, ...] = ()) -> list[str]:
        sets = Sets()
        encoder = Encoder(sets)
        hooks, remarks = preventing.hooks(preventions)
        for sort, hook in hooks.items():
            slot = preventing.slot(sort)
            self.preventer.map("hooks").put(struct.pack("=I", slot), encoder.hook(hook, Kind.PREVENTED))
            for at, clause in enumerate(encoder.clauses(hook)):
                self.preventer.map("clauses").put(struct.pack("=I", slot * 64 + at), clause)
        for table, rows in sets.entries().items():
            self.preventer.map(table).put_all(list(rows.items()))
        here = Path("/proc/self/ns/mnt").stat().st_ino
        chosen = cgroups.hierarchy().controller
        number = cgroups.subsystem(chosen) + 1 if chosen else 0
        settings = SETTINGS.pack(os.getpid(), here, number, 0, 0, 0, acting, sets.exe_sets, 1, 0)
        self.preventer.map("settings").put(bytes(4), settings)
        for pid in spared:
            self.preventer.map("spared").put(struct.pack("=I", pid), b"\1")
        self.preventer.serve(hooks)
        assert encoder.remarks == []
        return remarks

    def told(self) -> list[Any]:
        return [records.call_of(one) for one in self._ring.read()]


@pytest.fixture
def alone() -> Iterator[Alone]:
    with ExitStack() as stack:
        try:
            made = Alone(stack)
        except Refused as error:
            pytest.skip(str(error))
        yield made


Listen = Callable[..., int]


@pytest.fixture
def listen() -> Iterator[Listen]:
    with ExitStack() as stack:

        def begin(family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> int:
            one = stack.enter_context(socket.socket(family, kind))
            one.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                one.listen(1000)
            port: int = one.getsockname()[1]
            return port

        yield begin


def clause(*tests: Ask, **more: object) -> Clause:
    return Clause(tests=(ME, *tests), owner="test", deny=1, **more)  # type: ignore[arg-type]


def test_one_port_is_refused_and_another_is_not(alone: Alone, listen: Listen) -> None:
    bad, good = listen(), listen()
    alone.ask(Prevention(at="connect", clauses=(clause(Ask(What.RPORT, Op.EQ, (bad,))),)))
    script = f"count(lambda: connect('127.0.0.1', {bad})), count(lambda: connect('127.0.0.1', {good}))"
    assert tried(script) == [EPERM, FINE]
    told = alone.told()
    assert len(told) == 200
    first = told[0]
    assert (first["kind"], first["ret"], first["uid"], first["clauses"]) == (Kind.PREVENTED, -1, UID, 1)
    assert first["flags"] & (Flag.DENIED | Flag.PLACE_SOCK) == Flag.DENIED | Flag.PLACE_SOCK
    assert (first["args"][0], first["args"][2]) == (HookSort.CONNECT4, bad)
    assert (first["sock"]["rport"], bytes(first["sock"]["raddr"][:4])) == (bad, bytes([127, 0, 0, 1]))
    assert tried(script, uid=UID + 1) == [FINE, FINE]  # a neighbour
    assert alone.told() == []


def test_networks_and_both_families(alone: Alone, listen: Listen) -> None:
    four, six = listen(), listen(socket.AF_INET6)
    alone.ask(Prevention(at="connect", clauses=(clause(Ask(What.RADDR, Op.NET, ("127.0.0.0/9", "::1"))),)))
    assert tried(
        f"""count(lambda: connect('127.0.0.1', {four})), count(lambda: connect('::1', {six}, socket.AF_INET6)),
        count(lambda: connect('::ffff:127.0.0.1', {four}, socket.AF_INET6)), count(lambda: connect('127.128.0.1', {four}))"""
    ) == [EPERM, EPERM, EPERM, {"ECONNREFUSED": 200}]


def test_datagrams_without_a_connection(alone: Alone, listen: Listen) -> None:
    bad, good = (listen(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    six = listen(socket.AF_INET6, socket.SOCK_DGRAM)
    alone.ask(Prevention(at="sendmsg", clauses=(clause(Ask(What.RPORT, Op.INSET, (bad, six))),)))
    assert tried(
        f"""count(lambda: send('127.0.0.1', {bad})), count(lambda: send('127.0.0.1', {good})),
        count(lambda: send('::1', {six}, socket.AF_INET6))"""
    ) == [EPERM, FINE, EPERM]


def test_addresses_to_listen_at(alone: Alone) -> None:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("", 0))
        two.bind(("", 0))
        bad, good = one.getsockname()[1], two.getsockname()[1]
    alone.ask(Prevention(at="bind", clauses=(clause(Ask(What.LPORT, Op.EQ, (bad,))),)))
    assert tried(
        f"count(lambda: bind({bad})), count(lambda: bind({good})), count(lambda: bind({bad}, socket.AF_INET6))"
    ) == [EPERM, FINE, EPERM]


def test_sorts_of_sockets(alone: Alone) -> None:
    asked = (
        clause(Ask(What.FAMILY, Op.EQ, (socket.AF_INET,)), Ask(What.SOCKTYPE, Op.EQ, (socket.SOCK_DGRAM,))),
        clause(Ask(What.FAMILY, Op.EQ, (socket.AF_INET6,))),
    )
    alone.ask(Prevention(at="socket", clauses=asked))
    assert tried(
        """count(lambda: make(socket.AF_INET, socket.SOCK_DGRAM)), count(lambda: make(socket.AF_INET, socket.SOCK_STREAM)),
        count(lambda: make(socket.AF_INET6, socket.SOCK_STREAM)), count(lambda: make(socket.AF_UNIX, socket.SOCK_STREAM))"""
    ) == [EPERM, FINE, EPERM, FINE]
    assert [one["clauses"] for one in alone.told()] == [1] * 200 + [2] * 200


def test_another_error(alone: Alone, listen: Listen) -> None:
    port = listen()
    asked = Clause(tests=(ME, Ask(What.RPORT, Op.EQ, (port,))), deny=errno.EHOSTUNREACH)
    alone.ask(Prevention(at="connect", clauses=(asked,)))
    assert tried(f"count(lambda: connect('127.0.0.1', {port}))") == [{"EHOSTUNREACH": 200}]


def test_one_executable_is_refused_and_its_twin_is_not(
    alone: Alone, listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listen()
    monkeypatch.setenv("PYTHONHOME", sys.base_prefix)
    bad, good = tmp_path / "bad", tmp_path / "good"
    for path in (bad, good):
        shutil.copy(Path(sys.executable).resolve(), path)
    asked = Clause(tests=(Ask(What.EXE, Op.TEXT_IN, (os.fsencode(bad),)),), deny=1)
    alone.ask(Prevention(at="connect", clauses=(asked,)))
    script = f"count(lambda: connect('127.0.0.1', {port}))"
    assert tried(script, python=str(bad)) == [EPERM]
    assert tried(script, python=str(good)) == [FINE]


def test_only_a_cgroup_is_refused(alone: Alone, listen: Listen) -> None:
    port = listen()
    group = Path(cgroups.hierarchy().mount, f"fairlead-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        alone.ask(
            Prevention(at="connect", clauses=(clause(Ask(What.CGROUP, Op.EQ, (group.stat().st_ino,))),))
        )
        script = f"count(lambda: connect('127.0.0.1', {port}))"
        assert tried(script) == [FINE]
        joined = (
            f"(open('{group}/cgroup.procs', 'w').write(str(os.getpid())), os.setuid({UID})) and {{}}, "
            + script
        )
        assert tried(joined, uid=0)[1] == EPERM
        assert {int(one["cgroup"]) for one in alone.told()} == {group.stat().st_ino}
    finally:
        group.rmdir()


def test_nothing_is_refused_before_it_is_asked_for_nor_to_who_is_spared(alone: Alone, listen: Listen) -> None:
    port = listen()
    everybody = Clause(tests=(Ask(What.RPORT, Op.EQ, (port,)),), owner="test", deny=1)
    script = f"count(lambda: connect('127.0.0.1', {port}))"
    alone.ask(Prevention(at="connect", clauses=(everybody,)), acting=0)
    assert tried(script) == [FINE]
    alone.ask(Prevention(at="connect", clauses=(everybody,)))
    assert tried(script) == [EPERM]
    socket.create_connection(("127.0.0.1", port)).close()  # this process is the sensor
    with subprocess.Popen(
        [sys.executable, "-S", "-c", f"{_TRIES}\nsys.stdin.readline()\nprint({script})", "0"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        alone.ask(Prevention(at="connect", clauses=(everybody,)), spared=(child.pid,))
        assert eval(child.communicate("\n")[0]) == FINE


def test_silent_and_seldom(alone: Alone, listen: Listen) -> None:
    quiet, seldom = listen(), listen()
    alone.ask(
        Prevention(
            at="connect",
            clauses=(
                clause(Ask(What.RPORT, Op.EQ, (quiet,)), silent=True),
                clause(Ask(What.RPORT, Op.EQ, (seldom,)), rate_ms=3_600_000),
            ),
        )
    )
    assert tried(
        f"count(lambda: connect('127.0.0.1', {quiet})), count(lambda: connect('127.0.0.1', {seldom}))"
    ) == [EPERM, EPERM]
    told = alone.told()
    silent = [one for one in told if one["flags"] & Flag.SILENT]
    assert {int(one["args"][2]) for one in silent} == {quiet}
    assert [int(one["args"][2]) for one in told if not one["flags"] & Flag.SILENT] == [seldom]


def test_what_is_not_wanted_is_detached(alone: Alone, listen: Listen) -> None:
    port = listen()
    asked = Prevention(at="connect", clauses=(clause(Ask(What.RPORT, Op.EQ, (port,))),))
    alone.ask(asked)
    assert set(alone.preventer.links) == {HookSort.CONNECT4, HookSort.CONNECT6}
    alone.preventer.serve(())
    assert tried(f"count(lambda: connect('127.0.0.1', {port}))") == [FINE]


def test_what_cannot_be_asked_there_is_said() -> None:
    hooks, remarks = preventing.hooks(
        [
            Prevention(at="bind", clauses=(clause(Ask(What.RPORT, Op.EQ, (1,))),)),
            Prevention(at="socket", clauses=(clause(Ask(What.TEXT, Op.TEXT_IN, (b"x",))),)),
            Prevention(at="connect", clauses=(Clause(tests=(ME,), owner="killer", signal=9),)),
        ]
    )
    assert remarks == [
        "test does not prevent at bind: RPORT is not known there",
        "test does not prevent at socket: TEXT is not known there",
        "killer prevents, and does not kill, at connect",
    ]
    assert {sort: [(one.deny, one.signal) for one in hook.clauses] for sort, hook in hooks.items()} == {
        HookSort.CONNECT4: [(1, 0)],
        HookSort.CONNECT6: [(1, 0)],
    }
