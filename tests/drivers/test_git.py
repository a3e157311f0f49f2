"""Git is read as git itself would tell it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from dulwich import porcelain

from fairlead.drivers.git import Repository


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    porcelain.init(str(tmp_path))
    for number, text in enumerate(("one\n", "two\n", "three\n")):
        (tmp_path / "deploy").mkdir(exist_ok=True)
        (tmp_path / "deploy" / "a.yaml").write_text(text)
        (tmp_path / "other.txt").write_text(f"{number}")
        names = [str(tmp_path / "deploy" / "a.yaml")] if number != 1 else [str(tmp_path / "other.txt")]
        porcelain.add(str(tmp_path), names)
        porcelain.commit(
            str(tmp_path), message=f"commit {number}\n\nmore".encode(), author=b"Ann <a@b.example>", committer=b"Ann <a@b.example>",
            commit_timestamp=1_767_268_800 + number,
        )  # fmt: skip
    return tmp_path


def test_commits_of_a_file_and_what_it_said_then(tree: Path) -> None:
    repository = Repository.around(tree / "deploy" / "a.yaml")
    assert repository is not None
    with repository:
        name = repository.name_of(tree / "deploy" / "a.yaml")
        assert name == "deploy/a.yaml"
        commits = list(repository.commits(name, 10))
        assert [one.subject for one in commits] == ["commit 2", "commit 0"]
        assert (commits[0].author, commits[0].at) == ("Ann", datetime(2026, 1, 1, 12, 0, 2, tzinfo=UTC))
        assert [repository.text(one.id, name) for one in commits] == ["three\n", "one\n"]
        assert repository.text(commits[0].id, "deploy/none.yaml") is None
        assert repository.text(commits[0].id, "deploy/a.yaml/deeper") is None
        assert repository.text(commits[0].id, "deploy") is None
        assert list(repository.commits(name, 1)) == commits[:1]
        assert list(repository.commits("none", 5)) == []


def test_no_repository_and_an_empty_one(tmp_path: Path) -> None:
    assert Repository.around(tmp_path) is None
    porcelain.init(str(tmp_path))
    repository = Repository.around(tmp_path)
    assert repository is not None
    with repository:
        assert list(repository.commits("a.yaml", 5)) == []
        with pytest.raises(ValueError, match="subpath"):
            repository.name_of(Path("/"))


def test_files_of_a_revision(tree: Path) -> None:
    (tree / "deploy" / ".hidden.yaml").write_text("x")
    (tree / "deploy" / "link.yaml").symlink_to("a.yaml")
    (tree / "deploy" / "raw.yaml").write_bytes(b"\xff\xfe")
    porcelain.add(str(tree), [str(one) for one in (tree / "deploy").iterdir()])
    porcelain.commit(str(tree), message=b"more", author=b"A <a>", committer=b"A <a>")
    repository = Repository.around(tree)
    assert repository is not None
    with repository:
        head, before = repository.resolve("HEAD"), repository.resolve("HEAD~2")
        assert head is not None
        assert before is not None
        assert repository.resolve(head[:10]) == head
        assert repository.resolve("nowhere") is None
        assert list(repository.texts(head, "deploy", {".yaml"})) == [("deploy/a.yaml", "three\n")]
        assert list(repository.texts(before, "", {".yaml"})) == [("deploy/a.yaml", "one\n")]
        assert list(repository.texts(head, "other.txt", {".yaml"})) == [("other.txt", "1")]
        assert list(repository.texts(head, "dep", {".yaml"})) == []
