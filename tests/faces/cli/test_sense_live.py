"""`fairlead sense` as a user runs it: live in the kernel, told to end, and a recording of that judged again in every form."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, TextIO

import httpx
import pytest

from fairlead.drivers.kernel import loaded_programs
from fairlead.faces.cli.happenings import columns
from fairlead.faces.cli.main import main
from fairlead.reactor.sensing_recordings import Header, Identified, Names, Read, Recorder, frames
from fairlead.sense.events import Container

pytestmark = pytest.mark.kernel

COMMAND = [sys.executable, "-m", "fairlead.faces.cli.main"]
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
VILE = "vi\x1b[31mle\n\x9bx"

FALCO = """
- rule: Secret read
  desc: somebody reads it
  condition: evt.type in (open, openat, openat2) and evt.is_open_read = true and fd.name = "{0}/secret"
  output: "%proc.name read %fd.name (parent=%proc.pname)"
  priority: WARNING
  tags: [mine]
- rule: Tool run
  desc: the tool is run
  condition: evt.type = execve and proc.exepath startswith "{0}/tools/"
  output: "%proc.exepath ran"
  priority: NOTICE
"""
POLICY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: deletes}}
spec:
  kprobes:
    - call: sys_unlinkat
      syscall: true
      args: [{{index: 0, type: int}}, {{index: 1, type: string}}]
      selectors:
        - matchArgs: [{{index: 1, operator: Prefix, values: ["{0}/"]}}]
"""
TRACEE = """
apiVersion: tracee.aquasec.com/v1beta1
kind: Policy
metadata: {{name: tools}}
spec:
  scope: [global]
  rules:
    - event: sched_process_exec
      filters: ["data.pathname={0}/tools/tool"]
"""
DEEDS = """
read go
cat "$PLACE/secret" >/dev/null
"$PLACE/tools/tool" 0
"$PLACE/tools/$VILE" 0
(cat "$PLACE/secret"; exec "$PLACE/tools/tool" 0) >/dev/null
rm "$PLACE/victim"
sh -c 'exit 3'
sh -c 'kill -9 $$'
exit 0
"""


@dataclass
class Place:
    """A folder with rules, and programs and files that they are about."""

    path: Path

    @property
    def rules(self) -> Path:
        return self.path / "rules"

    def deeds(self) -> subprocess.Popen[str]:
        """Start a shell that does what the rules are about once it is told to go on."""
        (self.path / "victim").touch()
        env = {**os.environ, "PLACE": str(self.path), "VILE": VILE}
        return subprocess.Popen(["sh", "-c", DEEDS], stdin=subprocess.PIPE, text=True, env=env)


@dataclass
class Run:
    """A sensor that ran while the deeds were done."""

    place: Place
    shell: int
    lines: list[dict[str, Any]]
    errors: str
    code: int
    recording: Path
    programs: set[int]

    @property
    def detections(self) -> list[tuple[str, str]]:
        """Rules and messages, without what others on this machine did."""
        return [(one["rule"]["name"], one["message"]) for one in self.lines if "rule" in one]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    path = tmp_path_factory.mktemp("sensed")
    (path / "rules").mkdir()
    (path / "tools").mkdir()
    (path / "secret").write_text("x\n")
    for name, text in (("falco", FALCO), ("policy", POLICY), ("tracee", TRACEE)):
        (path / "rules" / f"{name}.yaml").write_text(text.format(path))
    for name in ("tool", VILE):
        shutil.copy(shutil.which("sleep") or "/bin/sleep", path / "tools" / name)
    return Place(path)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def sensing(
    *words: object, verb: str = "sense", piped: bool = False
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the command until the context ends; gives the process, once it watches, and the port of its metrics."""
    port = free_port()
    command = [*COMMAND, *verb.split(), "--metrics", str(port), *map(str, words)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        env = {**os.environ, "FAIRLEAD_DATA_DIR": "/nowhere"}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE if piped else out, stderr=errors, text=True, env=env
        )
        WRITTEN[process.pid] = (out, errors)
        try:
            end = time.monotonic() + 60
            while True:
                with suppress(httpx.HTTPError):
                    httpx.get(f"http://127.0.0.1:{port}/healthz")
                    break
                assert process.poll() is None, ended(process, 0)
                assert time.monotonic() < end
                time.sleep(0.05)
            yield process, port
        finally:
            process.kill()
            process.wait()
            del WRITTEN[process.pid]


WRITTEN: dict[int, tuple[TextIO, TextIO]] = {}
"""What each sensor writes into; nobody need read it while it runs."""


def ended(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[str, str, int]:
    """Tell a sensor to end, and return what it wrote (besides that it has begun to watch) and its exit code."""
    if number:
        process.send_signal(number)
    code = process.wait(timeout=60)
    texts = []
    for file in WRITTEN[process.pid]:
        file.seek(0)
        texts.append(file.read())
    return texts[0], re.sub(r"watching [^\n]*; Ctrl-C ends it\n", "", texts[1]), code


def programs_of(pid: int) -> set[int]:
    """The programs in the kernel that a process holds."""
    found = set()
    for one in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(OSError):
            found |= {int(number) for number in re.findall(r"^prog_id:\s*(\d+)", one.read_text(), re.MULTILINE)}  # fmt: skip
    return found


@pytest.fixture(scope="module")
def run(place: Place) -> Run:
    recording = place.path / "run.fls"
    shell = place.deeds()
    with sensing("--rules", place.rules, "-o", "json", "--events", "--record", recording) as (process, _):
        programs = programs_of(process.pid)
        shell.communicate("\n", timeout=30)
        time.sleep(0.3)
        out, errors, code = ended(process)
    return Run(place, shell.pid, [json.loads(one) for one in out.splitlines()], errors, code, recording, programs)  # fmt: skip


Replay = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def replay(run: Run, capfd: pytest.CaptureFixture[str]) -> Replay:
    """Judge the recording again by the same rules; gives the exit code, the lines and the errors."""

    def again(*words: object, rules: bool = True, recording: Path = run.recording) -> tuple[int, list[str], str]:  # fmt: skip
        given = ["--rules", str(run.place.rules)] if rules else []
        code = main(["sense", *given, "--replay", str(recording), *map(str, words)])
        out, errors = capfd.readouterr()
        return code, out.splitlines(), errors

    return again


# --- live


def test_what_was_done_is_told_in_the_order_of_time_and_as_it_was_then(run: Run) -> None:
    assert run.errors == ""
    here = run.place.path
    assert [one["time"] for one in run.lines] == sorted(one["time"] for one in run.lines)
    assert run.detections.count(("Secret read", f"cat read {here}/secret (parent=sh)")) == 2
    assert run.detections.count(("Tool run", f"{here}/tools/tool ran")) == 2
    assert sum(rule == "deletes: sys_unlinkat" for rule, _ in run.detections) == 1
    assert sum("sched_process_exec" in rule for rule, _ in run.detections) == 2
    mine = [one for one in run.lines if "rule" not in one and run.shell == one["process"]["pid"]]
    assert [one["kind"] for one in mine] == ["exited"]
    ends = [one["ret"] for one in run.lines if one["kind"] == "exited" and one["ancestors"][:1] == ["sh"]]
    assert 3 << 8 in ends
    assert 9 in [one & 127 for one in ends]
    [odd] = [one for one in run.lines if "rule" not in one and "\\x1b" in one["process"]["exe"] and one["kind"] == "exec"]  # fmt: skip
    assert odd["process"]["exe"] == rf"{here}/tools/vi\x1b[31mle\n\x9bx"


def test_it_ends_when_told_and_leaves_nothing_in_the_kernel(run: Run) -> None:
    assert run.code == 0
    assert len(run.programs) >= 4
    end = time.monotonic() + 20
    while run.programs & loaded_programs().keys():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_tree_of_those_below_a_process(place: Place) -> None:
    shell = place.deeds()
    with sensing("--pid", shell.pid) as (process, port):
        shell.communicate("\n", timeout=30)
        time.sleep(0.3)
        told = httpx.get(f"http://127.0.0.1:{port}/metrics")
        out, errors, code = ended(process, signal.SIGTERM)
    assert (errors, code) == ("", 0)
    lines = [line.partition("host  ")[2] for line in out.splitlines()]
    assert lines[0].endswith(f"→ sh [{shell.pid}]")
    assert re.fullmatch(rf"├ \S+/cat {place.path}/secret \[\d+\](  exit 0, .+)?", lines[1])
    assert any(re.fullmatch(r"├ \S+ -c 'exit 3' \[\d+\](  exit 3, .+)?", line) for line in lines)
    assert any(line.endswith("ms") and "  ended by SIGKILL, " in line for line in lines)
    assert re.fullmatch(rf"╰ sh \[{shell.pid}\]  exit 0, .+", lines[-1])
    assert rf"{place.path}/tools/vi\x1b[31mle\n\x9bx' 0" in out
    assert "\x1b" not in out
    exposition(told)


def exposition(answer: httpx.Response) -> None:
    """Check a page of metrics as a scraper reads it."""
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.text.endswith("\n")
    kinds: dict[str, str] = {}
    values: dict[str, float] = {}
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            label = r'[a-z]+="(?:[^"\\\n]|\\["\\n])*"'
            found = re.fullmatch(rf"([a-z_]+)(\{{{label}(?:,{label})*\}})? ([0-9.e+-]+)", line)
            assert found is not None, line
            name = found[1]
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert kinds.get(name, kinds.get(base)) in {"counter", "gauge", "histogram"}, line
            assert found[1] + (found[2] or "") not in values
            values[found[1] + (found[2] or "")] = float(found[3])
    assert values["fairlead_sense_events_total"] >= 10
    assert values["process_resident_memory_bytes"] > 1 << 20
    assert "fairlead_sense_detections_total" in kinds


def test_a_run_of_so_many_seconds_says_whether_something_was_found(place: Place) -> None:
    shell = place.deeds()
    words = ["--rules", place.rules, "--rule", "secret*", "--seconds", "1.5"]
    with sensing(*words) as (process, _):
        shell.communicate("\n", timeout=30)
        out, errors, code = ended(process, 0)
    assert (errors, code) == ("", 1)
    heads = [line for line in out.splitlines() if "Secret read" in line]
    assert len(heads) == 2
    assert all(re.search(r"host  ▲ Secret read  falco warning$", line) for line in heads)
    assert f"    cat read {place.path}/secret (parent=sh)" in out.splitlines()
    assert re.search(rf"^    .*sh → cat {place.path}/secret \[\d+\] uid 0$", out, re.MULTILINE)
    assert "Tool run" not in out


def test_who_reads_no_longer_ends_it() -> None:
    with sensing(piped=True) as (process, _):
        assert process.stdout is not None
        process.stdout.close()
        end = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < end:
            subprocess.run(["true"], check=True)
            time.sleep(0.05)
        assert ended(process, 0)[1:] == ("", 0)


def test_a_server_without_a_cluster_tells_its_log(place: Place) -> None:
    shell = place.deeds()
    with sensing("--rules", place.rules, verb="serve sense") as (process, _):
        shell.communicate("\n", timeout=30)
        time.sleep(0.5)
        out, errors, code = ended(process, signal.SIGTERM)
    assert (out, code) == ("", 0)
    assert f"Secret read: Node {socket.gethostname().lower()}: cat read {place.path}/secret" in errors
    assert "Tool run" in errors
    assert "Traceback" not in errors


# --- a recording, again


def test_a_recording_gives_the_same_detections(run: Run, replay: Replay) -> None:
    code, lines, errors = replay("-o", "json")
    again = [json.loads(line) for line in lines]
    assert (code, errors) == (1, "")
    assert again == [one for one in run.lines if "rule" in one]
    _, lines, _ = replay("-o", "json", "--events")
    here = str(
        run.place.path
    )  # who else is busy on this machine may be in containers that were named meanwhile
    mine = [line for line in lines if here in line]
    assert len(mine) > 4
    assert [json.loads(line) for line in mine] == [one for one in run.lines if here in json.dumps(one)]


def test_the_same_again_is_one_finding_with_a_count(run: Run, replay: Replay) -> None:
    code, lines, _ = replay("-o", "findings")
    heads = [line for line in lines if line[:1] in "✖▲·"]
    assert code == 1
    assert lines[-1] == f"{len(heads)} findings"
    names = {one["rule"]["name"] for one in run.lines if one.get("rule", {}).get("dialect") == "falco"}
    assert names
    assert all(name in " ".join(" ".join(lines).split()) for name in names)
    assert replay("-o", "findings")[1] == lines


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--rule", "TOOL*"), {"Tool run"}),
        (("--rule", "secret read", "--rule", "deletes*"), {"Secret read", "deletes: sys_unlinkat"}),
        (("--rule", "none"), set()),
        (("--binary", "*/cat"), {"Secret read"}),
        (("--binary", "/nowhere"), set()),
        (("--pod", "*"), set()),
        (("--pid", "1"), {"Secret read", "Tool run"}),
        (("--pid", "999999999"), set()),
        (("--priority", "warning", "--rule", "*e*t* r*"), {"Secret read"}),
        (("--priority", "Notice", "--rule", "*e*t* r*", "--rule", "tool*"), {"Secret read", "Tool run"}),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
def test_what_is_shown_can_be_chosen(replay: Replay, words: tuple[str, ...], found: set[str]) -> None:
    code, lines, errors = replay("-o", "json", *words)
    assert errors == ""
    rules = {json.loads(line)["rule"]["name"] for line in lines}
    assert rules >= found if "--pid" in words and found else rules == found
    assert code == bool(found)


def test_a_process_and_those_that_it_starts(run: Run, replay: Replay) -> None:
    _, all_lines, _ = replay("-o", "json")
    _, lines, _ = replay("-o", "json", "--pid", run.shell)
    assert lines == all_lines
    _, lines, _ = replay("-o", "json", "--pid", os.getpid(), "--pid", 999_999_999)
    assert lines == all_lines


def cgroup_of(record: Any) -> int:
    return int.from_bytes(record[16:24], "little") if isinstance(record, bytes) else int(record["cgroup"])


def test_pods_are_chosen_by_name_and_namespace(run: Run, replay: Replay, tmp_path: Path) -> None:
    """The same recording, as if all had happened in a pod."""
    shifted = tmp_path / "pod.fls"
    recorder = Recorder(shifted)
    for frame in frames(run.recording):
        match frame:
            case Header():
                recorder.header(frame)
            case list():
                recorder.processes(frame)
            case Names():
                recorder.names(frame)
            case Identified():
                recorder.container(
                    frame.cgroup, changed(frame.container, pod="web-1", pod_namespace="shop", name="main")
                )
            case Read():
                for batch in frame.batches:
                    for cgroup in {cgroup_of(one) for one in batch.records}:
                        recorder.container(
                            cgroup, Container(id="ab" * 32, pod="web-1", pod_namespace="shop", name="main")
                        )
                recorder.batches(frame.until, frame.batches)
    recorder.close()
    for pattern in ("web-1", "shop/web-1", "web-*", "s*/web-?"):
        code, lines, _ = replay("-o", "json", "--pod", pattern, recording=shifted)
        assert code == 1, pattern
        assert json.loads(lines[0])["process"]["pod"] == {"namespace": "shop", "name": "web-1"}
    for pattern in ("web", "other/web-1", "shop/web", "shop"):
        assert replay("-o", "json", "--pod", pattern, recording=shifted)[:2] == (0, []), pattern
    _, lines, _ = replay(recording=shifted)
    assert lines[0].partition("  ")[2].startswith("shop/web-1:main  ")


def test_every_form_of_output_is_what_its_readers_expect(run: Run, replay: Replay) -> None:
    here = run.place.path
    _, lines, _ = replay("-o", "falco")
    falco = [json.loads(line) for line in lines]
    assert [one["rule"] for one in falco] == [
        "Secret read",
        "Tool run",
        "Tool run",
        "Secret read",
        "Tool run",
    ]
    assert falco[0]["priority"] == "Warning"
    assert falco[0]["output"].partition(": ")[2].startswith(f"Warning cat read {here}/secret (parent=sh)")
    assert falco[0]["output_fields"]["fd.name"] == f"{here}/secret"
    assert falco[0]["tags"] == ["mine"]
    _, lines, _ = replay("-o", "tetragon")
    tetragon = [json.loads(line) for line in lines]
    assert {next(iter(one)) for one in tetragon} >= {"process_exec", "process_exit", "process_kprobe"}
    [probe] = [one["process_kprobe"] for one in tetragon if "process_kprobe" in one]
    assert (probe["policy_name"], probe["function_name"]) == ("deletes", "__x64_sys_unlinkat" if "x64" in probe["function_name"] else "sys_unlinkat")  # fmt: skip
    assert probe["args"][1] == {"string_arg": f"{here}/victim"}
    _, lines, _ = replay("-o", "tracee")
    tracee = [json.loads(line) for line in lines]
    assert [one["eventName"] for one in tracee] == ["sched_process_exec"] * 2
    assert {"name": "pathname", "type": "const char*", "value": f"{here}/tools/tool"} in tracee[0]["args"]


def test_processes_without_rules(run: Run, replay: Replay) -> None:
    code, lines, errors = replay("--pid", run.shell, rules=False)
    assert (code, errors) == (0, "")
    assert len(lines) >= 8
    assert f"sh [{run.shell}]" in lines[0]


def test_colours_are_asked_for_and_names_never_colour(replay: Replay) -> None:
    _, plain, _ = replay("--color", "never", "--events")
    _, coloured, _ = replay("--color", "always", "--events")
    assert not [line for line in plain if "\x1b" in line]
    assert [ESCAPE.sub("", line) for line in coloured] == plain
    assert any(r"vi\x1b[31mle\n\x9bx" in line for line in plain)
    assert replay("--events")[1] == plain


def test_on_a_terminal_no_line_is_wider_than_it(run: Run) -> None:
    width = 66
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
    words = ["sense", "--rules", str(run.place.rules), "--events", "--replay", str(run.recording)]
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=slave, stderr=subprocess.DEVNULL, env={**env, "TERM": "xterm"}
    )
    os.close(slave)
    out = b""
    with suppress(OSError):  # the other end is closed
        while piece := os.read(master, 65_536):
            out += piece
    os.close(master)
    assert process.wait(30) == 1
    lines = out.decode().replace("\r\n", "\n").splitlines()
    assert any("\x1b[" in line for line in lines)
    assert max(columns(ESCAPE.sub("", line)) for line in lines) <= width
    assert any("…" in line for line in lines)


def test_head_has_seen_enough(run: Run) -> None:
    words = shlex.join([*COMMAND, "sense", "--replay", str(run.recording)])
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{words} | head -1"], capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_a_recording_that_was_cut_is_judged_as_far_as_it_goes(run: Run, replay: Replay, tmp_path: Path) -> None:  # fmt: skip
    cut = tmp_path / "cut.fls"
    cut.write_bytes(run.recording.read_bytes()[:-20])
    code, lines, errors = replay(recording=cut)
    assert code in {0, 1}
    assert str(cut) in errors or "recording" in errors
    assert "Traceback" not in errors
    assert isinstance(lines, list)


def test_anybody_may_judge_a_recording(run: Run) -> None:
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    if (
        shutil.which("setpriv") is None
        or subprocess.run([*nobody, *COMMAND, "--help"], capture_output=True, check=False).returncode
    ):
        pytest.skip("nobody may not run this installation")
    for one in (run.place.path, *run.place.path.parents):
        if one != Path("/") and not one.stat().st_mode & 1:
            one.chmod(one.stat().st_mode | 0o055)

    def tried(*words: object) -> subprocess.CompletedProcess[str]:
        command = [*nobody, *COMMAND, "sense", *map(str, words)]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in found.stderr
        return found

    again = tried("--rules", run.place.rules, "--replay", run.recording)
    assert again.returncode == 1, again.stderr
    assert "Secret read" in again.stdout
    refused = tried()
    assert refused.returncode == 1
    first, hint = refused.stderr.splitlines()
    assert first.startswith("fairlead: error: nothing can be watched here: ")
    assert "root" in hint
    doctor = tried("doctor", "--color", "never")
    assert doctor.returncode == 1
    assert doctor.stdout.splitlines()[-1] == "Processes can't be watched here."
    locked = run.place.path / "locked.yaml"
    locked.write_text("[]")
    locked.chmod(0)
    unread = tried("--rules", locked, "--check")
    assert (unread.returncode, unread.stderr) == (1, "")
    assert unread.stdout.startswith(f"critical: {locked}: cannot be read: Permission denied\n")
    assert tried("--replay", locked).returncode == 2
