"""What killed processes leave is taken away by the next, and nothing that somebody holds or that is not ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.drivers.oci.scratch import arriving, scratch

HOLDS = """
import sys, time
from pathlib import Path
from fairlead.drivers.oci.scratch import arriving, scratch
with scratch(Path({beside!r})) as folder, arriving(Path({file!r})) as file:
    (folder / "half").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""
WRITES = """
from pathlib import Path
from fairlead.drivers.oci.scratch import arriving
with arriving(Path({file!r})) as file:
    file.write(b"whole")
"""


def test_what_was_left_is_taken_away_and_what_is_held_stays(tmp_path: Path) -> None:
    beside, file = tmp_path / "module", tmp_path / "blob"
    unrelated = tmp_path / ".blob.half"
    unrelated.touch()
    code = HOLDS.format(beside=str(beside), file=str(file))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        held = {*tmp_path.iterdir()}
        assert len(held) == 3
        with scratch(beside) as folder:
            assert list(folder.iterdir()) == []
            assert {*tmp_path.iterdir()} == {*held, folder}
        other.kill()
    with scratch(beside):
        pass
    code = WRITES.format(file=str(file))
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {*tmp_path.iterdir()} == {file, unrelated}
    assert file.read_bytes() == b"whole"


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch(tmp_path / "x") as folder, arriving(folder / "y"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
