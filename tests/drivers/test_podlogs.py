"""Logs in the CRI's format: ends, times, pieces of lines, rotation, and following."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drivers.podlogs import Wanted, files, follow, read


def line(number: int, text: str = "", tag: str = "F", stream: str = "stdout") -> str:
    return f"2026-01-01T00:00:{number % 60:02}.{number:09}Z {stream} {tag} {text or f'line {number}'}\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_text("".join(line(number) for number in range(10)))
    return path


def shown(path: Path, wanted: Wanted | None = None) -> str:
    return b"".join(read(path, wanted or Wanted())).decode()


def test_all_of_it(log: Path) -> None:
    assert shown(log) == "".join(f"line {number}\n" for number in range(10))


def test_the_end(log: Path) -> None:
    assert shown(log, Wanted(tail=2)) == "line 8\nline 9\n"
    assert shown(log, Wanted(tail=0)) == ""
    assert shown(log, Wanted(tail=99)) == shown(log)


def test_times(log: Path) -> None:
    assert shown(log, Wanted(tail=1, timestamps=True)) == "2026-01-01T00:00:09.000000009Z line 9\n"
    since = datetime(2026, 1, 1, 0, 0, 8, tzinfo=UTC)
    assert shown(log, Wanted(since=since)) == "line 8\nline 9\n"


def test_a_limit_of_bytes(log: Path) -> None:
    assert shown(log, Wanted(limit=10)) == "line 0\nlin"


def test_pieces_of_a_long_line_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line(0) + line(1, "a" * 100, "P") + line(2, "b" * 100, "P") + line(3, "c") + line(4))
    assert shown(path) == "line 0\n" + "a" * 100 + "b" * 100 + "c\nline 4\n"
    assert shown(path, Wanted(tail=2)) == "a" * 100 + "b" * 100 + "c\nline 4\n"
    assert shown(path, Wanted(tail=2, timestamps=True)).startswith("2026-01-01T00:00:01.000000001Z aaa")


def test_empty_lines_and_what_is_no_log_line(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("2026-01-01T00:00:00.000000000Z stdout F \nnonsense\n" + line(1))
    assert shown(path) == "\nline 1\n"


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert shown(tmp_path / "0.log") == ""


def test_rotated_files_come_first(log: Path) -> None:
    log.rename(log.with_name("0.log.20260101-000010"))
    log.write_text(line(10))
    assert len(files(log)) == 2
    assert shown(log, Wanted(tail=2)) == "line 9\nline 10\n"
    assert shown(log).endswith("line 9\nline 10\n")


class Follower:
    """Follows a log's end, and lets something happen to it after each of the first pieces."""

    def __init__(self, log: Path, *happenings: Callable[[], None]) -> None:
        self.log = log
        self.left = list(happenings)
        self.got = b""

    async def run(self) -> str:
        async with asyncio.timeout(10):
            async for piece in follow(self.log, Wanted(tail=1), lambda: bool(self.left)):
                self.got += piece
                if self.left and self.got.endswith(b"\n"):
                    self.left.pop(0)()
        return self.got.decode()


def test_following_ends_with_the_container(log: Path) -> None:
    def more(text: str) -> None:
        with log.open("a") as file:
            file.write(text)

    def halves() -> None:
        more(line(10)[:20])
        more(line(10)[20:])

    follower = Follower(log, halves, lambda: more(line(11)))
    assert asyncio.run(follower.run()) == "line 9\nline 10\nline 11\n"


def test_following_goes_on_after_a_rotation(log: Path) -> None:
    def rotate() -> None:
        with log.open("a") as file:
            file.write(line(10))
        log.rename(log.with_name("0.log.20260101-000010"))
        log.write_text(line(11))

    assert asyncio.run(Follower(log, rotate).run()) == "line 9\nline 10\nline 11\n"


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=30), max_size=40),
    st.integers(0, 50),
)
def test_the_end_is_the_end_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], count: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "0.log"
    path.write_text("".join(f"2026-01-01T00:00:00.000000000Z stdout F {text}\n" for text in texts))
    whole = b"".join(read(path, Wanted()))
    assert whole == "".join(f"{text}\n" for text in texts).encode()
    end = b"".join(read(path, Wanted(tail=count)))
    assert end == b"".join(whole.splitlines(keepends=True)[-count:] if count else []) or "\x85" in "".join(
        texts
    )
