"""`fairlead registry login|logout`: against the platform's registry, with a file of one's own."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from fairlead.faces.cli.main import main


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_CONFIG_HOME", "FAIRLEAD_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    return tmp_path / "docker" / "config.json"


def say(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_login_is_kept_and_forgotten(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say(monkeypatch, "s3cret\n")
    assert main(["registry", "login", "https://ghcr.io/", "-u", "me", "--password-stdin", "--no-check"]) == 0
    out = capsys.readouterr().out
    assert "logged in to ghcr.io" in out
    assert "s3cret" not in out
    assert own_home.stat().st_mode & 0o777 == 0o600
    assert list(json.loads(own_home.read_text())["auths"]) == ["ghcr.io"]
    assert main(["registry", "logout", "ghcr.io"]) == 0
    assert json.loads(own_home.read_text())["auths"] == {}
    assert main(["registry", "logout", "ghcr.io"]) == 1


@pytest.mark.parametrize(
    ("words", "text", "says"),
    [
        (["ghcr.io", "-u", "me", "--password-stdin"], "", "the password is empty"),
        (["ghcr.io", "-u", "me"], "x", "--password-stdin"),
        (["ghcr.io", "--password-stdin"], "x", "-u"),
        (["127.0.0.1:1", "-u", "me", "--password-stdin"], "s3cret", "cannot be reached"),
        (["not a host", "-u", "me", "--password-stdin"], "s3cret", "no host"),
    ],
)
def test_a_login_that_cannot_be_is_not_kept(
    words: list[str],
    text: str,
    says: str,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(monkeypatch, text)
    assert main(["registry", "login", *words]) in {1, 2}
    err = capsys.readouterr().err
    assert says in err
    assert "s3cret" not in err
    assert not own_home.exists()
