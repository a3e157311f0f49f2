"""A fix in files, as a user asks for it: a patch that git takes, or the files themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from dulwich import porcelain

from fairlead.faces.cli.main import main

SHOP = """\
# ours
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: a}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: wbe}   # who
  ports: [{port: 80}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    porcelain.init(str(tmp_path))
    folder = tmp_path / "deploy"
    folder.mkdir()
    (folder / "shop.yaml").write_text(SHOP)
    return folder / "shop.yaml"


def test_a_patch_from_the_top_of_the_repository(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", "--all", "-f", str(file.parent)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("--- a/deploy/shop.yaml\n+++ b/deploy/shop.yaml\n")
    assert "-  selector: {app: wbe}   # who\n+  selector: {app: web}   # who\n" in said
    assert file.read_text() == SHOP


def test_the_file_is_mended_and_nothing_else_of_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.chmod(0o640)
    assert main(["diagnose", "-f", str(file)]) == 1
    assert main(["fix", "--all", "-f", str(file), "--write"]) == 0
    assert file.read_text() == SHOP.replace("wbe", "web")
    assert file.stat().st_mode & 0o777 == 0o640
    capsys.readouterr()
    assert main(["diagnose", "-f", str(file)]) == 0
    assert main(["fix", "abc", "-f", str(file)]) == 2
    assert "there is no finding abc" in capsys.readouterr().err


def test_a_revision_is_examined_and_the_commit_is_told(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top = str(file.parent.parent)
    for message, text in (("a shop", SHOP.replace("wbe", "web")), ("tidy up", SHOP)):
        file.write_text(text)
        porcelain.add(top, [str(file)])
        porcelain.commit(
            top, message=message.encode(), author=b"Ann <a@b.example>", committer=b"Ann <a@b.example>"
        )
    assert main(["diagnose", "-f", str(file.parent)]) == 1
    assert "was changed from web to wbe" in capsys.readouterr().out
    assert main(["diagnose", "-f", str(file.parent), "--rev", "HEAD~1"]) == 0
    assert main(["diagnose", "-f", str(file.parent), "--rev", "HEAD", "-o", "json"]) == 1
    assert '"file": "HEAD:deploy/shop.yaml"' in capsys.readouterr().out
    assert main(["diagnose", "-f", str(file.parent), "--rev", "nowhere"]) == 2
    assert "Git has no revision nowhere" in capsys.readouterr().err
