"""Reads Git: where a repository begins, which commits touched a file, and what the file said then.

Reads only, with dulwich, so that no git has to be installed. Must never write to a repository, fetch, or run hooks.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from dulwich.errors import NotGitRepository, NotTreeError
from dulwich.object_store import iter_tree_contents, tree_lookup_path
from dulwich.objects import Blob, Commit, SubmoduleEncountered
from dulwich.objectspec import parse_commit, parse_object
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

    def resolve(self, revision: str) -> str | None:
        """Return the commit (40 hex digits) that a branch, tag, id or `main~2` names, or None."""
        for parse in (parse_commit, parse_object):  # the one knows short ids and tags, the other `~` and `^`
            with contextlib.suppress(KeyError, ValueError):
                found = parse(self._repo, revision.encode())
                if isinstance(found, Commit):
                    return found.id.decode()
        return None

    def texts(self, commit: str, under: str, suffixes: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield the name and text of each file of a commit under a folder ("" for all of it), or of the one file of that name.

        Hidden files and folders, links, other suffixes and what is no text are passed over.
        """
        found = self._repo[commit.encode()]
        assert isinstance(found, Commit)
        for entry in iter_tree_contents(self._repo.object_store, found.tree):
            name = entry.path.decode(errors="replace")
            inner = name.removeprefix(f"{under}/") if under else name
            alone = name == under
            if not alone and (
                (under and inner == name)
                or PurePosixPath(name).suffix not in suffixes
                or any(part.startswith(".") for part in PurePosixPath(inner).parts)
            ):
                continue
            text = self.text(commit, name) if stat.S_ISREG(entry.mode) else None
            if text is not None:
                yield name, text

    def names(self, commit: str, under: str) -> list[str]:
        """Return the names of all files of a commit under a folder ("" for all of it): no links, and nothing in hidden folders."""
        found = self._repo[commit.encode()]
        assert isinstance(found, Commit)
        lead = f"{under}/" if under else ""
        names = (
            entry.path.decode(errors="replace")
            for entry in iter_tree_contents(self._repo.object_store, found.tree)
            if stat.S_ISREG(entry.mode)
        )
        return [
            name
            for name in names
            if name.startswith(lead)
            and not any(part.startswith(".") for part in PurePosixPath(name[len(lead) :]).parts[:-1])
        ]

    def body(self, commit: str, name: str) -> bytes:
        """Return the bytes of a file in a commit. Raises KeyError where it is not there."""
        found = self._repo[commit.encode()]
        assert isinstance(found, Commit)
        _, sha = tree_lookup_path(self._repo.get_object, found.tree, name.encode())
        blob = self._repo[sha]
        assert isinstance(blob, Blob)
        return bytes(blob.data)

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
