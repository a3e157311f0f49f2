"""Reads Git: where a repository begins, which commits touched a file, and what the file said then.

Reads only, with dulwich, so that no git has to be installed. Must never write to a repository, fetch, or run hooks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from dulwich.errors import NotGitRepository, NotTreeError
from dulwich.object_store import tree_lookup_path
from dulwich.objects import Blob, Commit, SubmoduleEncountered
from dulwich.repo import Repo

_LARGEST = 4 << 20
"""Bytes of a file's version that are still read."""


@dataclass(frozen=True, slots=True)
class Version:
    """A commit: its 40 hex digits, who made it and when (aware UTC), and the first line of its message."""

    id: str
    author: str
    at: datetime
    subject: str


class Repository:
    """A repository that a path lies in. Close it, or use it in a `with`."""

    def __init__(self, repo: Repo, top: Path) -> None:
        self._repo = repo
        self.top = top

    @classmethod
    def around(cls, path: Path) -> Repository | None:
        """Return the repository that a file or folder lies in, or None."""
        folder = path.resolve()
        if not folder.is_dir():
            folder = folder.parent
        try:
            repo = Repo.discover(str(folder))
        except (NotGitRepository, OSError):
            return None
        return cls(repo, Path(repo.path).resolve())

    def name_of(self, path: Path) -> str:
        """Return a path as Git writes it, from the top, with slashes. Raises ValueError if it lies elsewhere."""
        return path.resolve().relative_to(self.top).as_posix()

    def commits(self, name: str, limit: int) -> Iterator[Version]:
        """Yield the commits that touched a file, the newest first, following no renames."""
        try:
            walker = self._repo.get_walker(paths=[name.encode()], max_entries=limit)
            for entry in walker:
                yield _commit(entry.commit)
        except KeyError:  # no commit yet, or a shallow clone's end
            return

    def text(self, commit: str, name: str) -> str | None:
        """Return what a file said in a commit, or None where it was not there, is too large, or is no text."""
        try:
            found = self._repo[commit.encode()]
            assert isinstance(found, Commit)
            _, sha = tree_lookup_path(self._repo.get_object, found.tree, name.encode())
            blob = self._repo[sha]
        except (KeyError, AssertionError, NotTreeError, SubmoduleEncountered):
            return None
        if not isinstance(blob, Blob) or blob.raw_length() > _LARGEST:
            return None
        try:
            return blob.data.decode()
        except UnicodeDecodeError:
            return None

    def close(self) -> None:
        """Let go of the files."""
        self._repo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _commit(found: Commit) -> Version:
    author = found.author.decode(errors="replace").partition("<")[0].strip()
    subject = found.message.decode(errors="replace").strip().partition("\n")[0]
    return Version(found.id.decode(), author, datetime.fromtimestamp(found.commit_time, UTC), subject)
