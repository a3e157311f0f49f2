"""The commit that broke a file is told, and nothing is told where Git knows nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from dulwich import porcelain

from fairlead.reactor.blaming import with_commits
from fairlead.reactor.examine import examine_files
from fairlead.words import Finding

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
SHOP = """\
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
  selector: {app: web}
  ports: [{port: 80}]
"""


def commit(folder: Path, text: str, message: str, hours: int) -> None:
    (folder / "shop.yaml").write_text(text)
    porcelain.add(str(folder), [str(folder / "shop.yaml")])
    porcelain.commit(
        str(folder), message=message.encode(), author=b"Ann <a@b.example>", committer=b"Ann <a@b.example>",
        commit_timestamp=int(NOW.timestamp()) - hours * 3600,
    )  # fmt: skip


def examined(folder: Path) -> Finding:
    file = folder / "shop.yaml"
    (finding,) = with_commits(examine_files({str(file): file.read_text()}, NOW).findings, NOW)
    return finding


def changes(finding: Finding) -> list[str]:
    return [one.text for one in finding.evidence if one.kind == "change"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    porcelain.init(str(tmp_path))
    return tmp_path


def test_the_commit_that_changed_the_value(folder: Path) -> None:
    commit(folder, SHOP, "a shop", 50)
    broken = SHOP.replace("  selector: {app: web}\n  ports", "  selector: {app: wbe}\n  ports")
    commit(folder, broken, "tidy up", 5)
    commit(folder, broken + "# more\n", "a comment", 2)
    (said,) = changes(examined(folder))
    assert said.startswith("was changed from web to wbe 5h ago by Ann in ")
    assert said.endswith(": tidy up")


def test_what_is_not_committed_yet(folder: Path) -> None:
    commit(folder, SHOP, "a shop", 50)
    (folder / "shop.yaml").write_text(
        SHOP.replace("  selector: {app: web}\n  ports", "  selector: {app: wbe}\n  ports")
    )
    assert changes(examined(folder)) == ["was changed from web to wbe in the working tree, not committed yet"]


def test_what_was_so_from_the_start_has_no_culprit(folder: Path) -> None:
    commit(folder, SHOP.replace("{app: web}\n  ports", "{app: wbe}\n  ports"), "a shop", 50)
    assert changes(examined(folder)) == []


def test_a_file_that_git_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP.replace("{app: web}\n  ports", "{app: wbe}\n  ports"))
    assert changes(examined(tmp_path)) == []
