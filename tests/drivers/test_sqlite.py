"""The log on a real disk: what was acknowledged is there, whatever happens to the process; faults are explained."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import wait
from pathlib import Path

import pytest

from fairlead.drivers.sqlite import FORMAT, Log, LogCorrupt, LogDenied, LogFull, LogLocked, LogTooNew
from fairlead.keep.entries import Entry, EntryType

PODS = ("", "pods")
LEASES = ("coordination.k8s.io", "leases")


def entry(
    rv: int,
    name: str = "a",
    type_: EntryType = "ADDED",
    previous: int = 0,
    storage: tuple[str, str] = PODS,
    size: int = 0,
) -> Entry:
    body = (
        b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","namespace":"n","uid":"u","resourceVersion":"%d"},'
        b'"data":"%s"}' % (name.encode(), rv, b"x" * size)
    )
    return Entry(rv, type_, storage, "n", name, body, previous)


def test_what_was_appended_is_there_again(tmp_path: Path) -> None:
    log = Log(tmp_path / "s.db")
    log.append([entry(1, "a"), entry(2, "b")]).result()
    log.append([entry(3, "a", "MODIFIED", 1)]).result()
    log.append([entry(4, "b", "DELETED", 2)]).result()
    log.close()
    again = Log(tmp_path / "s.db")
    loaded = again.load()
    assert [(found.rv, found.name) for found in loaded.current] == [(3, "a")]
    assert [(found.rv, found.type, found.previous) for found in loaded.window] == [
        (1, "ADDED", 0),
        (2, "ADDED", 0),
        (3, "MODIFIED", 1),
        (4, "DELETED", 2),
    ]
    assert loaded.rv == 4
    assert loaded.window[2].body == entry(3).body
    before = loaded.window[3].before
    assert before is not None
    assert (before.rv, before.uid) == (2, "u")
    again.close()


def test_waiting_appends_share_a_transaction(tmp_path: Path) -> None:
    log = Log(tmp_path / "s.db")
    futures = [log.append([entry(rv, f"p{rv}")]) for rv in range(1, 2001)]
    wait(futures)
    assert all(future.exception() is None for future in futures)
    assert len(log.load().current) == 2000
    log.close()


def test_each_value_is_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    log = Log(path)
    log.append([entry(rv, f"p{rv}", size=10_000) for rv in range(1, 101)]).result()
    log.close()
    assert path.stat().st_size < 1.4 * 100 * 10_000


def test_compaction_keeps_current_objects_and_what_the_window_needs(tmp_path: Path) -> None:
    log = Log(tmp_path / "s.db")
    log.append([entry(1, "a"), entry(2, "b"), entry(3, "c")]).result()
    log.append([entry(4, "b", "MODIFIED", 2), entry(5, "a", "DELETED", 1)]).result()
    log.append([entry(rv, "l", "MODIFIED", rv - 1, LEASES) for rv in range(6, 16)]).result()
    log.compact({("", ""): 3, LEASES: 12}).result()
    loaded = log.load()
    assert [found.rv for found in loaded.current] == [3, 4, 15]
    assert [found.rv for found in loaded.window] == [4, 5, 13, 14, 15]
    assert loaded.floors == {("", ""): 3, LEASES: 12}
    assert [found.before.rv for found in loaded.window if found.before] == [2, 1, 12, 13, 14]
    log.compact({("", ""): 15}).result()
    loaded = log.load()
    assert [found.rv for found in loaded.current] == [3, 4, 15]
    assert loaded.window == []
    assert loaded.rv == 15
    log.close()


def test_the_version_goes_on_after_everything_was_compacted(tmp_path: Path) -> None:
    log = Log(tmp_path / "s.db")
    log.append([entry(1)]).result()
    log.append([entry(2, "a", "DELETED", 1)]).result()
    log.compact({("", ""): 2}).result()
    log.close()
    log = Log(tmp_path / "s.db")
    assert log.load().rv == 2
    assert log.load().current == []
    log.close()


class TestFaults:
    def test_a_second_process_is_refused(self, tmp_path: Path) -> None:
        log = Log(tmp_path / "s.db")
        program = (
            "import sys\n"
            "from fairlead.drivers.sqlite import Log, LogLocked\n"
            "try:\n"
            "    Log(sys.argv[1])\n"
            "except LogLocked as error:\n"
            "    print(error)\n"
        )
        said = subprocess.run(
            [sys.executable, "-c", program, str(log.path)], capture_output=True, text=True, check=True
        ).stdout
        assert said == f"{log.path}: another process has this store open; stop it first (`fairlead down`)\n"
        with pytest.raises(LogLocked):
            Log(tmp_path / "s.db")
        log.close()
        Log(tmp_path / "s.db").close()

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "s.db"
        path.write_bytes(b"this is not a database, it is a text" * 200)
        with pytest.raises(LogCorrupt, match=r"s\.db: this is not an intact store") as broken:
            Log(path)
        assert "move it away" in str(broken.value)
        assert path.read_bytes().startswith(b"this is not")

    def test_a_damaged_file(self, tmp_path: Path) -> None:
        path = tmp_path / "s.db"
        log = Log(path)
        log.append([entry(rv, f"p{rv}", size=5000) for rv in range(1, 200)]).result()
        log.close()
        content = bytearray(path.read_bytes())
        for start in range(8192, len(content) - 4096, 4096):
            content[start : start + 64] = b"\xff" * 64
        path.write_bytes(content)
        log = Log(path)
        with pytest.raises(LogCorrupt):
            log.load()
        log.close()

    def test_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(LogDenied, match="check that its directory exists"):
            Log(tmp_path / "nowhere" / "s.db")

    def test_a_place_that_may_not_be_written(self, tmp_path: Path) -> None:
        if os.geteuid() == 0:
            place = Path("/proc")  # where not even root may create a file
        else:
            place = tmp_path
            place.chmod(0o500)
        with pytest.raises(LogDenied, match="cannot be opened for writing"):
            Log(place / "s.db")

    def test_a_newer_format_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "s.db"
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA user_version={FORMAT + 1}")
        connection.close()
        with pytest.raises(LogTooNew, match="newer fairlead"):
            Log(path)

    def test_a_full_disk_refuses_the_write_and_the_log_goes_on(self, tmp_path: Path) -> None:
        log = Log(tmp_path / "s.db")
        log.append([entry(1)]).result()
        log._connection.execute("PRAGMA max_page_count=40")
        failed = log.append([entry(2, "b"), entry(3, "big", size=1_000_000)])
        with pytest.raises(LogFull, match="the disk is full: nothing was written"):
            failed.result()
        log._connection.execute("PRAGMA max_page_count=100000")
        log.append([entry(4, "c")]).result()
        assert [found.name for found in log.load().current] == ["a", "c"]
        log.close()

    def test_a_closed_log_refuses(self, tmp_path: Path) -> None:
        log = Log(tmp_path / "s.db")
        log.close()
        log.close()
        assert "closed" in str(log.append([entry(1)]).exception())


CHILD = """
import os, sys
from fairlead.drivers.sqlite import Log
from fairlead.keep.entries import Entry

log, rv = Log(sys.argv[1]), 0
while True:
    batch = []
    for _ in range(8):
        rv += 1
        name = f"p{rv}"
        body = b'{"metadata":{"name":"%s","namespace":"n"}}' % name.encode()
        batch.append((rv, log.append([Entry(rv, "ADDED", ("", "pods"), "n", name, body)])))
    for number, future in batch:
        future.result()
        os.write(1, b"%d\\n" % number)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(1500)]
    child.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in child.stdout.read().splitlines()]
    child.wait()
    child.stdout.close()
    log = Log(path)
    loaded = log.load()
    log.close()
    assert {found.rv for found in loaded.current} >= set(acknowledged)
    assert [found.rv for found in loaded.window] == list(range(1, loaded.rv + 1))
