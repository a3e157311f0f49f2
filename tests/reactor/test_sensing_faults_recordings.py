"""Recordings of runs with detections: the same again, and what there is of one that was cut, damaged, or met a full disk."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stage import actor, script
from stage.pumping import pumping, run

from fairlead.dialects import falco
from fairlead.faces.cli.main import main
from fairlead.reactor.sensing_recordings import BadRecording
from fairlead.reactor.sensing_replaying import Replaying
from fairlead.reactor.sensing_steps import Options
from fairlead.sense.rules import Detection

LOOK = """
import os, sys
os.chdir(sys.argv[1])
for one in sorted(os.listdir(b".")):
    if b"marked" in one:
        os.close(os.open(one, 0))
"""  # names with line ends cannot be said in a script of the actor's

pytestmark = [pytest.mark.kernel, pytest.mark.root]

RULES = """
- rule: Looked
  desc: Somebody looked at a marked file
  condition: evt.type in (open, openat, openat2) and fd.name contains /fl-marked
  output: looked (name=%proc.name parent=%proc.pname tree=%proc.aname[2] user=%user.name file=%fd.name)
  priority: WARNING
- rule: Started
  desc: The marked program was started
  condition: evt.type in (execve, execveat) and evt.dir=< and proc.exepath endswith /fl-program
  output: started (name=%proc.name args=%proc.cmdline parent=%proc.pname)
  priority: NOTICE
"""
FILES = [("own.yaml", RULES)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A recording, and the lines of what was detected while it was made."""
    folder = tmp_path_factory.mktemp("recorded")
    path = folder / "run.fls"
    program = folder / "fl-program"
    program.write_bytes(actor().read_bytes())
    program.chmod(0o755)
    for number in range(20):
        (folder / f"fl-marked{number}\n\x1b[2J\udcff").write_text("x")

    def act() -> None:
        for _ in range(2):
            subprocess.run([str(program), "a b", "\udcfe"], env={"ACT": script(("say", "x"))}, check=True, capture_output=True)  # fmt: skip
            subprocess.run([sys.executable, "-S", "-c", LOOK, str(folder)], check=True)

    async def test() -> list[str]:
        async with pumping(worded, files=FILES, record=path) as pump:
            await pump.settle()
            for _ in range(3):
                await pump.during(act)
            return pump.said

    return path, run(test())


def worded(detection: Detection) -> str:
    return falco.json_line(detection, "stage")


def replay(path: Path) -> tuple[list[str], list[str]]:
    """Return the lines of what is detected in a recording, and what is said of the recording itself."""
    said: list[str] = []
    options = Options(files=FILES, heard=lambda _, detections: said.extend(map(worded, detections)))
    replaying = Replaying(path, options)
    assert not replaying.started.findings
    findings: list[str] = []
    for step in replaying.steps():
        findings += [one.message for one in step.findings]
    return said, findings


def test_a_recording_gives_the_same_in_the_same_order(recorded: tuple[Path, list[str]]) -> None:
    path, told = recorded
    assert len([one for one in told if '"rule":"Looked"' in one]) == 120
    assert len([one for one in told if '"rule":"Started"' in one]) == 6
    assert replay(path) == (told, [])


def test_a_recording_that_was_cut_gives_what_it_holds(
    recorded: tuple[Path, list[str]], tmp_path: Path
) -> None:
    whole, told = recorded
    content = whole.read_bytes()
    cut = tmp_path / "cut.fls"
    found = 0
    for size in (len(content) - 1, len(content) * 9 // 10, len(content) // 2):
        cut.write_bytes(content[:size])
        detected, findings = replay(cut)
        assert detected == told[: len(detected)]
        [finding] = findings
        assert "not written to its end" in finding
        assert " at byte " in finding
        found += len(detected)
    assert found > len(told)
    for size in (0, 3, 11, 30):
        cut.write_bytes(content[:size])
        with pytest.raises(BadRecording, match=r"is empty|.*no recording|.*ends before|.*damaged"):
            replay(cut)


def test_a_recording_that_is_damaged_gives_what_comes_before(
    recorded: tuple[Path, list[str]], tmp_path: Path
) -> None:
    whole, told = recorded
    content = bytearray(whole.read_bytes())
    damaged = tmp_path / "damaged.fls"
    at = len(content) * 95 // 100
    damaged.write_bytes(content[: at - 1024])
    before, _ = replay(damaged)
    content[at : at + 64] = bytes(64)
    damaged.write_bytes(content)
    detected, findings = replay(damaged)
    assert [one for one in findings if "is damaged" in one or "not written to its end" in one]
    assert before
    assert detected[: len(before)] == before == told[: len(before)]
    damaged.write_bytes(whole.read_bytes() + b"and something else")
    detected, [finding] = replay(damaged)
    assert detected == told
    assert "is damaged" in finding


def test_frames_that_are_not_what_they_should_be(recorded: tuple[Path, list[str]], tmp_path: Path) -> None:
    whole, told = recorded
    other = tmp_path / "other.fls"
    content = gzip.decompress(whole.read_bytes())
    for more in (
        b"B\4\0\0\0oops", b'P\x0f\0\0\0[{"pid": "one"}]', b"C\2\0\0\0[]", b"B\xff\xff\xff\xff",
        b"N\1\0\0\0[", b"F\1\0\0\0x",
        b'P\x2a\0\0\0[{"pid": 1, "started": 9000000000000000000}]',
        b"P\xf0\0\0\0" + b"[" * 240,
    ):  # fmt: skip
        other.write_bytes(gzip.compress(content + more))
        detected, findings = replay(other)
        assert detected == told
        [finding] = findings
        assert f" at byte {len(content)} " in finding
    other.write_bytes(gzip.compress(content + b"Z\4\0\0\0late"))
    assert replay(other) == (told, [])  # of a later make
    other.write_bytes(gzip.compress(content.replace(b"fairlead recording 1", b"fairlead recording 9", 1)))
    with pytest.raises(BadRecording, match="fairlead recording 9"):
        replay(other)
    other.write_text("- rule: no recording\n")
    with pytest.raises(BadRecording, match="no recording"):
        replay(other)


def test_the_command_says_what_a_recording_lacks(
    recorded: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, told = recorded
    rules = tmp_path / "own.yaml"
    rules.write_text(RULES)
    command = ["sense", "--rules", str(rules), "-o", "falco", "--replay"]
    assert main([*command, str(path)]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(one)["time"] for one in out.splitlines()] == [json.loads(one)["time"] for one in told]
    assert err == ""
    cut = tmp_path / "cut.fls"
    cut.write_bytes(path.read_bytes()[:-20])
    assert main([*command, str(cut)]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) > len(told) // 2
    assert "the recording ends after" in err
    assert "not written to its end" in err
    cut.write_text("no recording")
    assert main([*command, str(cut)]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"fairlead: error: {cut} is no recording\n")
    assert main([*command, str(tmp_path / "absent")]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_output_that_is_full_is_one_clear_error(
    form: str, recorded: tuple[Path, list[str]], tmp_path: Path
) -> None:
    rules = tmp_path / "own.yaml"
    rules.write_text(RULES)
    command = [sys.executable, "-m", "fairlead.faces.cli.main", "sense", "--rules", str(rules), "-o", form, "--replay", str(recorded[0])]  # fmt: skip
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "fairlead: error: the output cannot be written: No space left on device\n"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "none", place], capture_output=True, check=False)  # fmt: skip
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted: {made.stderr.decode()}")
    yield place
    subprocess.run(["umount", "-l", place], check=False)


def test_a_full_disk_ends_the_recording_and_not_the_watching(small: Path, tmp_path: Path) -> None:
    marked = tmp_path / "fl-marked"
    marked.write_text("x")
    path = small / "run.fls"

    def act() -> None:
        for _ in range(40):
            subprocess.run(
                [str(actor()), os.urandom(1500).hex()], env={"ACT": script(("open", marked))}, check=True
            )

    async def test() -> None:
        async with pumping(files=FILES, record=path) as pump:
            await pump.settle()
            await pump.during(act)
            told: list[Any] = [one for one in pump.findings if one.rule == "sense.recording"]
            assert len(told) == 1
            assert "run.fls is recorded no further: No space left on device" in told[0].message
            await pump.during(act)
            assert len(pump.of("Looked")) == 80
            assert len([one for one in pump.findings if one.rule == "sense.recording"]) == 1

    run(test())
    detected, findings = replay(path)
    assert len(detected) < 80
    assert len(findings) == 1
