"""Hostile names and arguments, done for real: every form of output stays valid and harmless, and says what was cut."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import orjson
import pytest
from stage import Room, actor
from stage.pumping import pumping, run

from fairlead.dialects import falco
from fairlead.drivers import kernel
from fairlead.faces.cli.main import main
from fairlead.reactor.sensing_reports import document, place_of
from fairlead.reactor.sensing_serving import sighting_of
from fairlead.sense.findings import Ledger
from fairlead.sense.rules import Detection

pytestmark = [pytest.mark.kernel, pytest.mark.root]

NAMES = [
    b"fl-\n\x1b[2J\x1b[31mred\x07 \xff\xfe\xc3",
    b"fl-" + b"\xe2\x82\xac" * 84,
    b'fl-"quoted\' \\back $(reboot) `id` {"json": 1}',
    b"fl-\x7f\r\xc2\x9b31m\xe2\x80\xae\xef\xbb\xbf<script>",
    "fl-\U0001f980\u202e".encode(),
]
CONTAINER = "lxc.payload.fl-\x1b[2J\x9b\udcff"
FALCO = """
- rule: Hostile file
  desc: x
  condition: evt.type in (open, openat, openat2) and fd.name contains fl-
  output: "opened (file=%fd.name name=%proc.name command=%proc.cmdline cwd=%proc.cwd args=%proc.args env=%proc.env container=%container.id %container.name arg=%evt.arg.name raw=%fd.nameraw all=%evt.args)"
  priority: WARNING
- rule: Hostile program
  desc: x
  condition: evt.type in (execve, execveat) and evt.dir=< and proc.exepath contains fl-
  output: "started (exe=%proc.exepath name=%proc.name command=%proc.cmdline parent=%proc.pname cwd=%proc.cwd)"
  priority: WARNING
"""
POLICY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: hostile}
spec:
  kprobes:
  - call: fd_install
    syscall: false
    args: [{index: 0, type: int}, {index: 1, type: file}]
    selectors: [{matchArgs: [{index: 1, operator: Postfix, values: ["fl-marked"]}]}]
  - call: sys_openat
    syscall: true
    args: [{index: 0, type: int}, {index: 1, type: string}]
    selectors: [{matchArgs: [{index: 1, operator: SubString, values: ["fl-"]}]}]
"""
TRACEE = """
apiVersion: tracee.aquasec.com/v1beta1
kind: Policy
metadata: {name: hostile}
spec:
  scope: [global]
  rules:
  - {event: security_file_open, filters: ["data.pathname=*fl-*"]}
  - {event: sched_process_exec, filters: ["data.pathname=*fl-*"]}
"""
Hostile: TypeAlias = "tuple[Path, list[Detection], list[str]]"

FILES = {"falco.yaml": FALCO, "policy.yaml": POLICY, "tracee.yaml": TRACEE}

DEEDS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
folder, program = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2])
names = [bytes.fromhex(one) for one in sys.argv[3:]]
os.chdir(folder)

def look(path):
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT))

def start(path, args, env):
    pid = os.fork()
    if not pid:
        pointers = lambda words: (ctypes.c_char_p * (len(words) + 1))(*words, None)
        libc.execve(path, pointers(args), pointers(env))
        os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

for name in names:
    look(name)                      # files
    look(folder + b"/" + name)
    libc.prctl(15, ctypes.c_char_p(name[:15]), 0, 0, 0)
    pid = os.fork()                 # a name given by itself, which a child has from the start
    if not pid:
        look(name)
        os._exit(0)
    os.waitpid(pid, 0)
    os.mkdir(b"in-" + name[:250])   # working directories
    os.chdir(b"in-" + name[:250])
    look(b"fl-marked")
    os.chdir(folder)
    os.link(program, b"run-" + name[:250])    # programs and their arguments
    assert start(folder + b"/run-" + name[:250], [b"run", name, b"", b"\\xff" * 9], [b"X=" + name, name]) == 0
prog = folder + b"/fl-program"
os.link(program, prog)
assert start(prog, [], []) == 0                         # argc 0
assert start(prog, [b""], [b""]) == 0
assert start(prog, [b"big"] + [b"a" * 1000] * 100, []) == 0     # 100 KB of arguments
assert start(prog, [b"long", b"b" * 100000], []) == 0
assert start(prog, [b"env"], [b"E%d=" % at + b"c" * 1000 for at in range(100)]) == 0
assert start(prog, [b"many"] + [b""] * 5000, []) == 0
for _ in range(20):                                     # a path of more than 4 KB, of parts of 255 bytes
    os.mkdir(b"d" * 255)
    os.chdir(b"d" * 255)
look(b"fl-marked")
look(b"./" * 1900 + b"fl-marked")
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """What hostile deeds were recorded as, and what came of them at once: a folder with the recording and the rules, detections, said."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "rules").mkdir()
    for name, text in FILES.items():
        (folder / "rules" / name).write_text(text)
    (folder / "at").mkdir()
    ledger = Ledger("node")

    def word(one: Detection) -> str:
        ledger.add(one)
        sighting = sighting_of(one, "node")
        body = document(place_of(sighting), sighting, 1, 1, 2, [sighting.processes], "node")
        orjson.dumps(body)
        harmless(sighting.message, *sighting.processes.splitlines())
        if one.rule.dialect == "falco":
            harmless(falco.line(one))
            json.loads(falco.json_line(one, "node"))
        return str(body["message"])

    async def test() -> tuple[list[Detection], list[str]]:
        files = list(FILES.items())
        async with pumping(word, files=files, record=folder / "run.fls", always=True) as pump:
            await pump.settle()
            command = [
                sys.executable,
                "-S",
                "-c",
                DEEDS,
                str(folder / "at"),
                str(actor()),
                *(one.hex() for one in NAMES),
            ]
            done = await pump.during(lambda: subprocess.run(command, capture_output=True, check=False))
            assert done.returncode == 0, done.stderr.decode()
            (folder / "room").mkdir()
            room = Room(folder / "room", Path(kernel.hierarchy().mount), id_=CONTAINER)
            try:
                await pump.during(lambda: room.run("/bin/actor", act=[("open", "/tmp/fl-marked", "c")]))
            finally:
                room.close()
            assert not pump.sensing.engine.errors
            assert not pump.dropped
            return pump.detections, pump.said

    detections, said = run(test())
    for finding in ledger.findings():
        harmless(finding.message, *(one.text for one in finding.evidence))
        assert all(len(one.text) <= 1000 for one in finding.evidence)
    yield folder, detections, said
    shutil.rmtree(folder / "at")


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff\ufeff]")


def harmless(*texts: str) -> None:
    """See that there is nothing that a terminal would obey, and that any encoder takes it."""
    for text in texts:
        assert not CONTROL.search(text), repr(text)
        assert "\n" not in text
        text.encode()


def test_what_was_done_was_seen(hostile: Hostile) -> None:
    _, detections, said = hostile
    per = {
        name: [one for one in detections if one.rule.dialect == name]
        for name in ("falco", "tracingpolicy", "tracee")
    }
    opened = [one for one in per["falco"] if one.rule.name == "Hostile file" and one.event.process.title]
    for name in NAMES:
        told = name.decode("utf-8", "surrogateescape")
        assert len([one for one in opened if one.event.texts[0].endswith(told)]) >= 3, told
    started = [one for one in per["falco"] if one.rule.name == "Hostile program"]
    assert len(started) == len(NAMES) + 6
    assert len(per["tracingpolicy"]) >= len(NAMES) * 3
    assert len(per["tracee"]) >= len(opened)
    assert len(said) == len(detections)
    [inside] = [one for one in opened if one.event.process.container is not None]
    assert inside.event.process.container is not None
    assert inside.event.process.container.name == "fl-\\x1b[2J\\x9b\\xff"
    cut = {one.event.process.args[0] for one in started if one.event.process.cut}
    assert cut == {"big", "long", "many"}
    assert all(
        len(one.event.process.args_raw) <= 4096 and len(one.event.process.env_raw) <= 4096 for one in started
    )
    assert sum(one.endswith("...") for one in said) >= 2  # what 4 KB of arguments came to
    assert max(map(len, said)) <= 4096


def replayed(folder: Path, form: str, capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    command = [
        "sense",
        "--replay",
        str(folder / "run.fls"),
        "--rules",
        str(folder / "rules"),
        "-o",
        form,
        *more,
    ]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    lines = out.split("\n")
    assert lines.pop() == ""
    return lines


def test_text(hostile: Hostile, capsys: pytest.CaptureFixture[str]) -> None:
    lines = replayed(hostile[0], "text", capsys, "--events")
    harmless(*lines)
    assert any("\\x1b[2J" in one for one in lines)
    assert any("…" in one for one in lines)
    coloured = replayed(hostile[0], "text", capsys, "--color", "always")
    harmless(*(re.sub(r"\x1b\[[0-9;]*m", "", one) for one in coloured))


@pytest.mark.parametrize("form", ["json", "falco", "tetragon", "tracee"])
def test_json(form: str, hostile: Hostile, capsys: pytest.CaptureFixture[str]) -> None:
    lines = replayed(hostile[0], form, capsys, "--events")
    assert len(lines) > 20
    for line in lines:
        harmless(line)
        json.loads(line)
    marks = {"json": '"argsCut": true', "tetragon": "truncArgs"}
    assert form not in marks or sum(marks[form] in line for line in lines) >= 3
