"""Folders that are packed: which files are in them, and what Git knows of where they come from.

Must never follow a link or open what is no plain file; what is left out for that is named, not dropped in silence.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fairlead.drivers.oci.archives import Content
from fairlead.drivers.oci.artifacts import CREATED, REVISION, SOURCE, created_at
from fairlead.drivers.oci.errors import RegistryError

_DEEPEST: Final = 64
_MOST: Final = 100_000


@dataclass(slots=True)
class Found:
    """The files of a folder by relative name, and what was left out because it is no plain file."""

    files: dict[str, Content] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def read_folder(root: Path, ignored: Callable[[str, bool], bool]) -> Found:
    """Return a folder's files. `ignored` is asked for each path and whether it is a folder. Raises RegistryError."""
    found = Found()
    try:
        _walk(root, "", ignored, found, 0)
    except OSError as error:
        raise RegistryError(f"{error.filename or root}: {error.strerror}") from error
    return found


def _walk(folder: Path, above: str, ignored: Callable[[str, bool], bool], found: Found, depth: int) -> None:
    if depth > _DEEPEST:
        raise RegistryError(f"{folder}: folders within folders, more than {_DEEPEST} deep")
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = f"{above}{entry.name}"
        mode = entry.stat(follow_symlinks=False).st_mode
        is_folder = stat.S_ISDIR(mode)
        if ignored(name, is_folder):
            continue
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise RegistryError(
                f"{os.fsencode(entry.path)!r}: a name that is not UTF-8 cannot be packed"
            ) from error
        if is_folder:
            _walk(Path(entry.path), f"{name}/", ignored, found, depth + 1)
        elif stat.S_ISREG(mode):
            if len(found.files) >= _MOST:
                raise RegistryError(f"{folder}: more than {_MOST} files")
            found.files[name] = Content(Path(entry.path), bool(mode & stat.S_IXUSR))
        else:
            found.left_out.append(name)


def origin_notes(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the annotations that say where a folder comes from: created, and in a Git repository its source and revision.

    An address' user and password are left out. Raises RegistryError for a SOURCE_DATE_EPOCH that is no number.
    """
    from dulwich.errors import NotGitRepository
    from dulwich.objects import Commit
    from dulwich.repo import Repo

    notes: dict[str, str] = {}
    changed: float | None = None
    try:
        with Repo.discover(str(folder.resolve())) as repo:
            head = repo[repo.head()]
            if isinstance(head, Commit):
                changed = float(head.commit_time)
                notes[REVISION] = head.id.decode()
            try:
                url = repo.get_config().get((b"remote", b"origin"), b"url").decode(errors="replace")
            except KeyError:
                url = ""
            if url:
                notes[SOURCE] = public_url(url)
    except (NotGitRepository, KeyError, OSError, ValueError, AssertionError):
        pass
    notes[CREATED] = created_at(environment, changed)
    return notes


def public_url(url: str) -> str:
    """Return a repository's address as others may see it: without a user and a password, `git@host:path` as https."""
    short = re.fullmatch(r"(?:[^@/\s]+@)?([^@/:\s]+):(?!//)(.+)", url)
    if short is not None:
        return f"https://{short[1]}/{short[2].removesuffix('.git')}"
    try:
        parts = urlsplit(url)
        if not parts.hostname:
            return url
        place = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
        return parts._replace(netloc=place, query="", fragment="").geturl()
    except ValueError:
        return ""
