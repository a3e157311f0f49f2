"""Files are written whole or not at all, through links, and never in the place of what is no file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import pytest

from fairlead.drivers.replacing import replace


def test_a_fault_while_it_is_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(file: IO[bytes]) -> None:
        file.write(b"new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace(path, full)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_link_is_followed_and_stays_one(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    target, link = tmp_path / "deep" / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    replace(link, lambda file: file.write(b"new"))
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640, "its mode stays"
    replace(link, lambda file: file.write(b"secret"), private=True)
    assert target.stat().st_mode & 0o777 == 0o600


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    replace(pipe, lambda file: file.write(b"said"))
    assert os.read(held, 10) == b"said"
    os.close(held)
    assert pipe.is_fifo()
    with pytest.raises(IsADirectoryError):
        replace(tmp_path, lambda file: file.write(b"x"))
    (tmp_path / "null").symlink_to("/dev/null")
    replace(tmp_path / "null", lambda file: file.write(b"x"))
    assert Path("/dev/null").is_char_device()


def test_loops_and_places_that_are_not_there_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for path in (tmp_path / "a", tmp_path / "none" / "file", tmp_path / ("x" * 300)):
        with pytest.raises(OSError, match=r"\w"):
            replace(path, lambda file: file.write(b"x"))
