"""What `fairlead sense` says where nothing is watched: rule files checked, the doctor's report, and commands that cannot be."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from fairlead.drivers.kernel.probing import Abilities, Ability
from fairlead.faces.cli import sensedoctor
from fairlead.faces.cli.main import main
from fairlead.faces.cli.pens import Pen

COMMAND = [sys.executable, "-m", "fairlead.faces.cli.main", "sense"]
GOOD = """\
- macro: spawned
  condition: evt.type = execve
- rule: Shell
  desc: a shell
  condition: spawned and proc.name = sh
  output: "%proc.cmdline"
  priority: NOTICE
- rule: Secrets read
  desc: x
  condition: ka.verb = get
  output: "%ka.user.name"
  priority: WARNING
  source: k8s_audit
"""
BAD = """\
- rule: Unknown field
  desc: x
  condition: >
    evt.type = openat and
    proc.nam = x
  output: x
  priority: WARNING
- rule: No macro
  desc: x
  condition: nowhere and proc.name = x
  output: x
  priority: WARNING
- rule: Wrong priority
  desc: x
  condition: proc.name = x
  output: x
  priority: URGENT
- rule: Fine
  desc: x
  condition: evt.type = execve and proc.name = sh
  output: x
  priority: WARNING
  colour: red
"""
POLICY = """\
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: links}
spec:
  kprobes:
    - call: security_inode_follow_link
      syscall: false
    - call: tcp_connect
      syscall: false
      args: [{index: 0, type: sock}]
      selectors: [{matchArgs: [{index: 0, operator: Resembles, values: ["x"]}]}]
"""


def said(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run the command; return its exit code, output and errors."""
    try:
        code = main(["sense", *map(str, words)])
    except SystemExit as end:  # what argparse refuses
        code = int(end.code or 0)
    out, errors = capfd.readouterr()
    assert "Traceback" not in errors
    return code, out, errors


# --- --check


def test_good_rules_are_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    told = "1 rule about processes, 1 about audit events, 0 findings\n"
    assert said(capfd, "--rules", tmp_path, "--check") == (0, told, "")
    told = "0 rules about processes, 1 about audit events, 0 findings\n"
    assert said(capfd, "--rules", tmp_path / "good.yaml", "--check", "--priority", "warning") == (0, told, "")


def test_what_is_wrong_with_rules_is_told_with_file_and_line_and_the_rest_is_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(BAD)
    (tmp_path / "b.yaml").write_text(POLICY)
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "d.yaml").write_text("kind: Pod\n")
    (tmp_path / "e.txt").write_text("not looked at")
    code, out, errors = said(capfd, "--rules", tmp_path, "--check")
    assert (code, errors) == (1, "")
    *told, count = out.splitlines()
    places = [
        (one.partition(": ")[0], one.partition(": ")[2].removeprefix(f"{tmp_path}/").partition(": ")[0]) for one in told
    ]  # fmt: skip
    assert {
        ("critical", "c.yaml"),
        ("warning", "d.yaml"),
        ("critical", "a.yaml:5 [0].condition"),
        ("critical", "a.yaml:10 [1].condition"),
        ("critical", "a.yaml:17 [2].priority"),
        ("warning", "a.yaml:23 [3].colour"),
    } <= set(places)
    assert any(
        place.startswith("b.yaml") and ".selectors[0].matchArgs[0].operator" in place for _, place in places
    )
    assert count.startswith("2 rules about processes, 0 about audit events, ")
    assert count.endswith(f" {len(told)} findings")


def test_colour_and_control_characters_of_a_file_are_not_obeyed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vile.yaml").write_text('- rule: "a\\e[31m"\n  condition: "proc.na\\e[31mme = x"\n  desc: x\n  output: x\n  priority: "\\e]0;x\\a"\n')  # fmt: skip
    code, out, _ = said(capfd, "--rules", tmp_path, "--check")
    assert code == 1
    assert "\x1b" not in out


def test_a_folder_without_rules_and_fairleads_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert said(capfd, "--rules", tmp_path, "--check")[:2] == (0, "0 rules about processes, 0 about audit events, 0 findings\n")  # fmt: skip
    code, out, _ = said(capfd, "--behaviours", "--check")
    assert code in {0, 1}
    assert int(out.splitlines()[-1].split()[0]) >= 20


# --- commands that cannot be


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rules", "/nowhere.yaml"], "/nowhere.yaml: no such file or folder"),
        (["--rules", "/nowhere.yaml", "--check"], "/nowhere.yaml: no such file or folder"),
        (["--replay", "/nowhere.fls"], "/nowhere.fls: No such file or directory"),
        (["--replay", __file__], "is no recording"),
        (["--replay", "/"], "/: Is a directory"),
        (["--record", "a", "--replay", "b"], "--record and --replay exclude each other"),
        (["-o", "yaml"], "-o yaml is for `fairlead sense doctor`"),
        (["-o", "falco"], "-o falco tells what rules find"),
        (["doctor", "-o", "tetragon"], "-o tetragon is for a stream"),
        (["--priority", "urgent"], "'urgent' is no priority: emergency, alert,"),
        (["--seconds", "-1"], "'-1' is no number of seconds"),
        (["--seconds", "nan"], "'nan' is no number of seconds"),
        (["--seconds", "soon"], "'soon' is no number of seconds"),
        (["--metrics", "70000"], "70000 is no port"),
        (["--pid", "x"], "--pid"),
        (["look"], "invalid choice: 'look'"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_understood(words: list[str], told: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, errors = said(capfd, *words)
    assert (code, out) == (2, "")
    assert told in errors


# --- the doctor

ROWS = (
    Ability("btf", True, "", "programs fit themselves to this kernel"),
    Ability("ring_buffer", True, "", "records reach the reader"),
    Ability("tp_btf", True, "", "exec, fork and exit"),
    Ability("tracepoint", True, "", "tracepoints"),
    Ability("kprobe", False, "the kernel was built without kprobes", "functions", "tracepoints; " + "much is lost by that " * 6),
)  # fmt: skip
FACTS = {"kernel": "6.1", "machine": "x86_64", "libbpf": "v1.6", "lockdown": "", "cgroups": "hybrid"}
TOLD = SimpleNamespace(
    path=".spec.kprobes[0]", function="tcp_connect", used="a, b, c", differs="later", lost="x"
)


def reported(*rows: Ability, policies: dict[str, Any] | None = None) -> dict[str, Any]:
    rules = SimpleNamespace(rules=(), policies=policies or {}, findings=())
    return sensedoctor.report(Abilities(rows or ROWS, FACTS), rules)


def test_the_doctors_table_fits_and_says_what_is_used_instead() -> None:
    lines = sensedoctor.table(reported(policies={"connects": [TOLD]}), Pen(width=80))
    assert lines[:2] == ["Linux 6.1 on x86_64, libbpf v1.6", "  cgroups: hybrid"]
    assert "✔ tp_btf       exec, fork and exit" in lines
    at = lines.index("✖ kprobe       functions")
    assert lines[at + 1 : at + 3] == [
        "    why not: the kernel was built without kprobes",
        "    instead: tracepoints; much is lost by that much is lost by that much is lost",
    ]
    assert lines[-6:] == [
        "  POLICY                     FUNCTION     SEEN BY",
        "✔ connects .spec.kprobes[0]  tcp_connect  a and 2 more",
        "    differs: later",
        "    lost: x",
        "",
        "Processes can be watched here.",
    ]
    assert max(map(len, lines)) <= 80


def test_the_doctor_says_when_nothing_can_be_watched() -> None:
    found = reported(ROWS[0])
    assert found["works"] is False
    assert sensedoctor.table(found, Pen())[-1] == "Processes can't be watched here."
    assert "\x1b[31;1m" in sensedoctor.table(found, Pen(colour=True))[-1]


@pytest.mark.kernel
def test_the_doctors_report_in_all_forms(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    code, out, _ = said(capfd, "doctor", "-o", "json", "--policies", tmp_path)
    found = json.loads(out)
    assert code == 0
    assert found["works"]
    assert {"btf", "ring_buffer", "kprobe", "fanotify_perm"} <= {one["name"] for one in found["abilities"]}
    assert all(one["available"] or one["why"] for one in found["abilities"])
    assert [one["function"] for one in found["policies"]] == ["security_inode_follow_link"]
    _, out, _ = said(capfd, "doctor", "-o", "yaml", "--policies", tmp_path)
    assert yaml.safe_load(out) == found
    for words in ([], ["-o", "table"]):
        _, out, _ = said(capfd, "doctor", "--policies", tmp_path, *words)
        assert out.splitlines()[-1] == "Processes can be watched here."
        assert "links .spec.kprobes[0]" in out


@pytest.mark.kernel
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_nothing_pinned_is_nothing_to_unpin() -> None:
    """In a mount namespace with a bpf filesystem of its own, so that nobody else's pins are meant."""
    script = 'mount -t bpf none /sys/fs/bpf && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *COMMAND, "unpin"], capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing was pinned\n", "")


def test_elsewhere_it_says_why_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert main(["sense"]) == 1
    assert "watching needs Linux" in capsys.readouterr().err
