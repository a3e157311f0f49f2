"""The files of a Kustomize tree: the folder that was named, the folders beside it that it refers to, and the files that those name.

Reads what a kustomization's texts refer to and nothing else, so that a tree in a large repository costs what it uses. What a root
refers to outside itself is a folder with a kustomization of its own (that is followed), or is not loaded; the renderer says then that
it is missing. Never leaves the file system, and never resolves an address.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fairlead.reactor.rendering import KUSTOMIZATIONS
from fairlead.reactor.rendering_loading import MOST_FILES, bounded, read_regular, within
from fairlead.render.packages import Mistake, Mistaken
from fairlead.tongues import yamls
from fairlead.words import Where

MOST_ROOTS: Final = 2_000
_FOLDERS: Final = ("charts",)
"""Folders of a root that are read whole where it inflates charts."""
_CONFIGURED: Final = ("generators", "transformers", "validators")
"""Fields whose files are configurations that name further files."""


def gather(path: Path, where: str) -> tuple[dict[str, bytes], str]:
    """Return the files of the tree by their paths below the folder that holds all of it, and where the named folder lies there.

    Raises Mistaken for what cannot be read, and for a tree that refers to too much.
    """
    first = os.path.realpath(path)
    found = _Tree(where)
    waiting, seen = [first], {first}
    while waiting:
        for root in found.root(waiting.pop()):
            if root not in seen:
                seen.add(root)
                waiting.append(root)
        if len(seen) > MOST_ROOTS:
            raise Mistaken(Mistake(f"refers to more than {MOST_ROOTS:,} folders", Where(where)))
    top = os.path.commonpath(seen)
    files = {os.path.relpath(name, top): body for name, body in sorted(found.files.items())}
    bounded(files, where)
    target = os.path.relpath(first, top)
    return files, "" if target == "." else target


class _Tree:
    def __init__(self, where: str) -> None:
        self.files: dict[str, bytes] = {}
        """By absolute path, as it is referred to: links inside a root are named by themselves and not by where they lead."""
        self._where = where

    def root(self, folder: str) -> Iterator[str]:
        """Read what the kustomization of a folder names; yield the folders that it refers to."""
        for name in KUSTOMIZATIONS:
            at = os.path.join(folder, name)  # noqa: PTH118  links must stay as they are written
            if os.path.isfile(at) and within(os.path.realpath(at), folder):  # noqa: PTH113
                yield from self._texts(self._take(at), folder, folder)

    def _texts(self, body: bytes, folder: str, root: str) -> Iterator[str]:
        try:
            documents = yamls.load_all(body.decode())
        except (yamls.BadYaml, UnicodeDecodeError):
            return  # the renderer says so, with the line
        for document in documents:
            if not isinstance(document, dict):
                continue
            for key, value in document.items():
                for text in _strings(value):
                    yield from self._refer(text, folder, root, configured=key in _CONFIGURED)
            if "helmCharts" in document or "helmChartInflationGenerator" in document:
                self._charts(document, root)

    def _refer(self, text: str, folder: str, root: str, *, configured: bool) -> Iterator[str]:
        if "\n" in text:
            if configured:  # an inline configuration
                yield from self._configuration(text.encode(), folder, root)
            return
        for name in dict.fromkeys((text, text.partition("=")[2])):
            if not name or "://" in name or "\0" in name or len(name) > 4096:
                continue
            at = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118
            if at in self.files:
                continue
            if os.path.isdir(at):  # noqa: PTH112
                real = os.path.realpath(at)
                if any(os.path.isfile(os.path.join(real, one)) for one in KUSTOMIZATIONS):  # noqa: PTH113, PTH118
                    if real != at:
                        self._alias(at, real)
                    yield real
            elif within(at, root) and os.path.isfile(at) and within(os.path.realpath(at), root):  # noqa: PTH113
                body = self._take(at)
                if configured:
                    yield from self._configuration(body, os.path.dirname(at), root)  # noqa: PTH120

    def _configuration(self, body: bytes, folder: str, root: str) -> Iterator[str]:
        try:
            documents = yamls.load_all(body.decode())
        except (yamls.BadYaml, UnicodeDecodeError):
            return
        for text in _strings(documents):
            if "\n" not in text:
                yield from self._refer(text, folder, root, configured=False)
                yield from self._refer(text, root, root, configured=False)

    def _alias(self, at: str, real: str) -> None:
        raise Mistaken(
            Mistake(
                f"refers to {os.path.basename(at)}, a link to a folder",  # noqa: PTH119
                Where(self._where),
                hint=f"refer to the folder itself: {os.path.relpath(real, os.path.dirname(at))}",  # noqa: PTH120
            )
        )

    def _charts(self, document: dict[str, Any], root: str) -> None:
        named = document.get("helmGlobals")
        home = named.get("chartHome") if isinstance(named, dict) else None
        folder = os.path.normpath(os.path.join(root, home if isinstance(home, str) else _FOLDERS[0]))  # noqa: PTH118
        if not within(os.path.realpath(folder), root):
            return  # the renderer says that it is not there; it may be the whole machine
        for at, folders, names in os.walk(folder):
            folders[:] = [one for one in folders if one != ".git"]
            for name in names:
                file = os.path.join(at, name)  # noqa: PTH118
                if within(os.path.realpath(file), root) and os.path.isfile(file):  # noqa: PTH113
                    self._take(file)

    def _take(self, at: str) -> bytes:
        if at not in self.files:
            if len(self.files) >= MOST_FILES:
                bounded(dict.fromkeys(map(str, range(MOST_FILES + 1)), b""), self._where)
            self.files[at] = read_regular(Path(at), at)
        return self.files[at]


def _strings(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        item = stack.pop()
        if type(item) is str:
            yield item
        elif type(item) is dict:
            stack.extend(item.values())
        elif type(item) is list:
            stack.extend(item)
