"""Files of others, read and shown: snapshots and ignore files that would steer a terminal, bring the program down or fill its memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fairlead.faces.cli.main import main
from fairlead.faces.cli.pens import Pen
from fairlead.faces.cli.stories import tame

ESCAPES = "\x1b]0;title\x07\x1b[2J\x1b[8m\x9b31m\r\u202e"


def snapshot(path: Path, **more: Any) -> Path:
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"web{ESCAPES}", "namespace": f"shop{ESCAPES}", "uid": "u"},
        "spec": {"nodeName": "n", "containers": [{"name": f"c{ESCAPES}", "image": f"a{ESCAPES}b:1"}]},
        "status": {"phase": "Pending", "containerStatuses": [{"name": f"c{ESCAPES}", "image": "x", "ready": False, "restartCount": 0,
                   "state": {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off {ESCAPES} pulling"}}}]},
    }  # fmt: skip
    known = {
        "apiVersion": "fairlead.dev/v1alpha1", "kind": "Snapshot", "takenAt": "2026-01-01T00:00:00Z", "scope": "live",
        "objects": [pod], "answers": [], "unseen": [],
    }  # fmt: skip
    path.write_text(json.dumps(known | more))
    return path


@pytest.mark.parametrize("words", [(), ("--explain",), ("--color", "always"), ("-o", "wide")])
def test_names_and_messages_do_not_steer_a_terminal(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["diagnose", "--snapshot", str(snapshot(tmp_path / "s")), *words])
    said = capsys.readouterr()
    for part in ("\x1b]", "\x07", "\x1b[2J", "\x1b[8m", "\x9b", "\r", "\u202e"):
        assert part not in said.out
        assert part not in said.err


def test_colours_of_its_own_stay() -> None:
    painted = Pen(colour=True).paint("text", "31;1")
    assert tame(painted) == painted
    assert tame(f"{painted}\x1b[5m\x1b") == f"{painted}\ufffd[5m\ufffd"
    assert tame("plain\n\tä 漢") == "plain\n\tä 漢"


@pytest.mark.parametrize("text", ['"\\ud800"', "NaN", "Infinity", '"\\udcff"'])
def test_what_is_no_text_and_no_number_is_said_at_once(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = snapshot(tmp_path / "s")
    path.write_text(path.read_text().replace('"answers": []', f'"answers": [], "more": {text}'))
    assert main(["diagnose", "--snapshot", str(path)]) == 2
    assert "is not JSON" in capsys.readouterr().err


def test_the_last_of_two_same_keys_holds_and_nothing_breaks(tmp_path: Path) -> None:
    path = snapshot(tmp_path / "s")
    path.write_text(path.read_text().replace('"objects":', '"objects": 7, "objects":'))
    assert main(["diagnose", "--snapshot", str(path)]) == 1


def test_reports_go_through_links_and_leave_devices_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(snapshot(tmp_path / "s"))
    (tmp_path / "report.json").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "report.json")
    for target in (tmp_path / "link", Path("/dev/null")):
        main(["diagnose", "--snapshot", path, "-o", "json", "--output-file", str(target)])
    assert "kind" in json.loads((tmp_path / "report.json").read_text())
    assert Path("/dev/null").is_char_device()
    capsys.readouterr()
    assert main(["diagnose", "--snapshot", path, "--output-file", str(tmp_path / "none" / "x")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_an_ignore_file_that_is_too_large_or_no_text_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, ignored = str(snapshot(tmp_path / "s")), tmp_path / "ignore.yaml"
    for content, said in (
        (b"a: b\n" * (1 << 20), "is larger than"),
        (b"\xff\xfe", "cannot read"),
        (b"a: &a [*a, *a]\n", ""),
    ):
        ignored.write_bytes(content)
        code = main(["diagnose", "--snapshot", path, "--ignore-file", str(ignored)])
        err = capsys.readouterr().err
        assert (code == 2) == bool(said)
        assert said in err


def test_reasons_do_not_steer_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ignored = tmp_path / "ignore.yaml"
    one = {
        "apiVersion": "fairlead.dev/v1alpha1", "kind": "Suppression", "metadata": {"name": f"x{ESCAPES}"},
        "spec": {"rule": "image.*", "reason": f"because {ESCAPES}", "by": ESCAPES},
    }  # fmt: skip
    ignored.write_text(json.dumps(one))
    words = ["--snapshot", str(snapshot(tmp_path / "s")), "--ignore-file", str(ignored)]
    assert main(["diagnose", "ignore", "--list", *words]) == 0
    assert main(["diagnose", *words, "--show-ignored"]) in {0, 1}
    said = capsys.readouterr()
    for part in ("\x1b]", "\x07", "\x1b[2J", "\x9b", "\r", "\u202e"):
        assert part not in said.out + said.err
