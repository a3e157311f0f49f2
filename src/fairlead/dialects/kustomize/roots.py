"""The files of a tree, and what a kustomization in one of its directories may load: files in or below it, and other directories.

Paths are those of the package, whose top is where `..` ends. What lies elsewhere (an address) is asked for as a Need, once for each
address, and then stands beside the package's files. Source: sigs.k8s.io/kustomize/api/internal/loader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fairlead.render.packages import Answers, Lacking, Mistake, Mistaken
from fairlead.words import Need, Ref, Where

NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""The file names that kustomize looks for."""


class Refused(Exception):
    """A path that cannot be loaded, with why and what would be right."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


_ADDRESS = re.compile(
    r"(?:git::|oci://|https?://|ssh://|file://|gh:|git@|[\w.-]+@[\w.-]+:|(?:[\w-]+\.)*github\.com[/:])"
)


def is_address(path: str) -> bool:
    """Whether a path of a kustomization lies in a repository, on a server or in a registry."""
    return _ADDRESS.match(path) is not None


def clean(path: str) -> str:
    """Return a path below the package's top, without dots; "" for the top."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


class Tree:
    """All files that a rendering may read."""

    def __init__(self, files: Mapping[str, bytes], answers: Answers) -> None:
        self.files = {clean(path): body for path, body in files.items()}
        self.answers = answers
        self.used: set[str] = set()
        """The files that were loaded."""
        self._folders: set[str] | None = None
        self._fetched: dict[str, str] = {}

    def is_folder(self, path: str) -> bool:
        """Whether there are files below a path."""
        if self._folders is None:
            self._folders = {""}
            for file in self.files:
                folder = file.rpartition("/")[0]
                while folder and folder not in self._folders:
                    self._folders.add(folder)
                    folder = folder.rpartition("/")[0]
        return path in self._folders

    def fetched(self, address: str) -> str:
        """Return the path at which the files of an address stand here. Raises Lacking, and Refused where nobody has them."""
        if address not in self._fetched:
            need = Need("package.files", Ref("", "", "", address), (("version", ""),))
            if need not in self.answers:
                raise Lacking(need)
            found = self.answers[need]
            if not found:
                raise Refused(
                    f"{address} cannot be fetched",
                    "copy it beside this kustomization and refer to the copy",
                )
            at = f"\0{len(self._fetched)}"
            for path, body in found.items():
                self.files[f"{at}/{clean(path)}"] = body
            self._folders = None
            self._fetched[address] = at
        return self._fetched[address]


@dataclass(frozen=True, slots=True)
class Root:
    """A directory whose kustomization is being followed, and those that led to it."""

    tree: Tree
    path: str
    referrer: Root | None = None
    confined: str = ""
    """The top of what an address gave: what is found in it must stay in it."""

    def file(self, name: str) -> str:
        """Return the path of a file as messages call it."""
        return shown(f"{self.path}/{name}" if self.path else name)

    def find(self, path: str) -> str:
        """Return the place of a file that this directory names. Raises Refused and Lacking."""
        if is_address(path):
            at = self.tree.fetched(path)
            inside = [file for file in self.tree.files if file.startswith(f"{at}/")]
            if len(inside) != 1 or inside[0].rpartition("/")[2] in NAMES:
                raise Refused(f"{path} is no file")
            self.tree.used.add(inside[0])
            return inside[0]
        place = clean(path if path.startswith("/") else f"{self.path}/{path}")
        if place not in self.tree.files:
            what = "must resolve to a file" if self.tree.is_folder(place) else "doesn't exist"
            raise Refused(f"'{shown(place)}' {what}")
        if not _below(place, self.path):
            raise Refused(
                f"security; file '{shown(place)}' is not in or below '{shown(self.path)}'",
                "a kustomization may load files of its own directory only: refer to a directory with a kustomization instead",
            )
        self.tree.used.add(place)
        return place

    def load(self, path: str) -> bytes:
        """Return what a file that this directory names holds. Raises Refused and Lacking."""
        return self.tree.files[self.find(path)]

    def below(self, path: str) -> Root:
        """Return the directory that this one names. Raises Refused and Lacking."""
        if not path:
            raise Refused("new root cannot be empty")
        if is_address(path):
            at = self.tree.fetched(path)
            return Root(self.tree, at, self, at)
        if path.startswith("/"):
            raise Refused(f"new root '{path}' cannot be absolute", "say it relative to the kustomization")
        place = clean(f"{self.path}/{path}")
        if place in self.tree.files:
            raise Refused(f"must build at directory: '{shown(place)}': file is not directory")
        if not self.tree.is_folder(place):
            raise Refused(f"must build at directory: not a valid directory: '{shown(place)}' doesn't exist")
        if self.confined and not _below(place, self.confined):
            raise Refused(f"security; '{path}' is outside of what was fetched")
        visited: Root | None = self
        while visited is not None:
            if _below(visited.path, place):
                raise Refused(
                    f"cycle detected: candidate root '{shown(place)}' contains visited root '{shown(visited.path)}'"
                )
            visited = visited.referrer
        return Root(self.tree, place, self, self.confined)

    def kustomization(self) -> tuple[str, bytes]:
        """Return the name of this directory's kustomization, and what it holds. Raises Mistaken."""
        found = [name for name in NAMES if (f"{self.path}/{name}" if self.path else name) in self.tree.files]
        if not found:
            names = "', '".join(NAMES[:-1])
            raise Mistaken(
                Mistake(
                    f"unable to find one of '{names}' or '{NAMES[-1]}' in directory '{shown(self.path) or '.'}'",
                    Where(shown(self.path)),
                )
            )
        if len(found) > 1:
            raise Mistaken(
                Mistake(
                    f"Found multiple kustomization files: {', '.join(found)}",
                    Where(shown(self.path)),
                    hint="one directory has one",
                )
            )
        place = f"{self.path}/{found[0]}" if self.path else found[0]
        self.tree.used.add(place)
        return found[0], self.tree.files[place]


def shown(path: str) -> str:
    """Return a path for people."""
    return path.partition("/")[2] if path.startswith("\0") else path


def _below(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")
