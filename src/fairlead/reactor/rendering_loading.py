"""A package from where the user says it is: a folder, a file, an archive, standard input or a registry -> its files in memory.

What is loaded is foreign. Nothing outside the package is read: links are followed only to what lies inside, devices and pipes are never
opened, sizes and counts are bounded, and an archive is read as a stream whose members are checked one by one and never written to a disk.
A Kustomize tree may refer to folders beside its own, as `kubectl kustomize` allows: of those, what is referred to is read.
Everything wrong is told as `Mistaken`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from fairlead.reactor.rendering import KUSTOMIZATIONS, MANIFESTS, Source, sort_of
from fairlead.reactor.rendering_ignoring import NAMES, BadPattern, Ignored, ignoring, nothing
from fairlead.render.packages import Mistake, Mistaken, Package, Sort
from fairlead.tongues import yamls
from fairlead.words import Where

if TYPE_CHECKING:
    from typing import IO

MOST_FILES: Final = 20_000
LARGEST_FILE: Final = 32 << 20
LARGEST_PACKAGE: Final = 128 << 20
DEEPEST: Final = 40
_LARGEST_IGNORE: Final = 1 << 20
STDIN: Final = "stdin.yaml"
"""What messages call a manifest from standard input."""

_DESCRIBES: Final = (("module.yaml", "module"), ("timoni.cue", "timoni"), ("Chart.yaml", "chart"))
_WANTED = "a package has a module.yaml with a module.star, a timoni.cue, a Chart.yaml, a kustomization.yaml, or manifests (*.yaml, *.yml, *.json)"


def load_source(text: str, *, stdin: IO[bytes] | None = None) -> Source:
    """Return the package at a folder, a file, a .tgz or `-` (standard input, handed in as `stdin`). Raises Mistaken.

    What lies in a registry is loaded by `rendering_fetching.open_source`.
    """
    if text == "-":
        if stdin is None:
            _refuse("standard input cannot be read here", text)
        data = stdin.read(LARGEST_PACKAGE + 1)
        return unpacked(data, text) if data[:2] == b"\x1f\x8b" else _one(STDIN, data, text)
    if "://" in text:
        scheme = text.partition("://")[0]
        _refuse(
            f"a package cannot be loaded over {scheme}",
            text,
            hint="say oci://host/repository:tag for a registry, or fetch it first and name its folder",
        )
    path = Path(text)
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or "not a path"
        missing = isinstance(error, FileNotFoundError)
        _refuse("there is no such file or directory" if missing else f"cannot be read: {said}", text)
    if stat.S_ISDIR(kind):
        return _folder(path, text)
    if not stat.S_ISREG(kind):
        _refuse("is neither a file nor a directory", text)
    if path.name in {name for name, _ in _DESCRIBES} or path.name in KUSTOMIZATIONS:
        return _folder(path.parent, text)
    data = _read(path, text)
    return unpacked(data, text) if data[:2] == b"\x1f\x8b" else _one(path.name, data, text)


def unpacked(data: bytes, where: str, digest: str = "") -> Source:
    """Return the package in a .tar.gz. A folder that holds all of it (as Helm writes archives) is taken off. Raises Mistaken."""
    files = untarred(data, where)
    if sort_of(files) in {None, "manifests"}:
        tops = {path.partition("/")[0] for path in files}
        if len(tops) == 1 and all("/" in path for path in files):
            top = tops.pop()
            inner = {path[len(top) + 1 :]: body for path, body in files.items()}
            if sort_of(inner) not in {None, "manifests"}:
                files = inner
    return of_files(files, where, digest=digest)


def of_files(files: Mapping[str, bytes], where: str, *, digest: str = "", target: str = "") -> Source:
    """Return files as a Source of the sort that they are. Raises Mistaken where they are no package."""
    sort = sort_of(files, target)
    if sort is None:
        _refuse("there is nothing to render", where, hint=_WANTED)
    return Source(sort, Package(files, where, target), where, digest)


def default_name(source: Source) -> str:
    """Return the name that an instance has when nobody names it: the package's, or that of its folder or file."""
    named = {"module": ("module.yaml", "metadata"), "chart": ("Chart.yaml", "")}.get(source.sort)
    if named is not None:
        at = f"{source.package.target}/" if source.package.target else ""
        try:
            found = yamls.load(source.package.files.get(f"{at}{named[0]}", b"").decode())
            found = (found or {}).get(named[1], {}) if named[1] else found
            if isinstance(found, dict) and isinstance(found.get("name"), str):
                return str(found["name"])
        except (ValueError, AttributeError):
            pass  # the renderer says what is wrong with it
    if source.where == "-":
        return "stdin"
    bare = source.where.partition("@")[0].rstrip("/")
    last = bare.rpartition("/")[2].partition(":")[0] if "://" in bare else Path(bare).resolve().name
    last = re.sub(r"\.(tgz|tar\.gz|yaml|yml|json)$", "", last)
    return re.sub(r"[^a-z0-9-]+", "-", last.lower()).strip("-")[:53].strip("-") or "instance"


def untarred(data: bytes, where: str) -> dict[str, bytes]:
    """Return the files of a .tar.gz by path. Links, devices, paths that lead out, doubles and too much of anything are refused."""
    import io

    from fairlead.drivers.oci.errors import RegistryError
    from fairlead.drivers.oci.unpacking import Limits, unpacked

    try:
        found = unpacked(io.BytesIO(data), where, Limits(LARGEST_PACKAGE, MOST_FILES, LARGEST_FILE))
    except RegistryError as error:
        _refuse(str(error).removeprefix(f"{where}: "), where)
    return {path: member.data for path, member in found.items()}


def _one(name: str, data: bytes, where: str) -> Source:
    if len(data) > LARGEST_FILE:
        _refuse(f"is larger than {LARGEST_FILE >> 20} MiB", where)
    return Source("manifests", Package({name: data}, where), where)


def _folder(path: Path, text: str) -> Source:
    """Return the package of a folder; which files belong to it depends on its sort."""
    try:
        names = {one.name for one in path.iterdir()}
    except OSError as error:
        _refuse(f"cannot be read: {error.strerror}", text)
    if "module.yaml" in names and not names & {"module.star", "library.star", "Chart.yaml", "timoni.cue"}:
        _refuse("has a module.yaml but no module.star", text, hint="fairlead mod init writes both")
    sort: Sort | None = sort_of(dict.fromkeys(names, b""))
    if sort == "kustomization":
        from fairlead.reactor.rendering_kustomizations import gather

        files, target = gather(path, text)
        return Source(sort, Package(files, text, target), text)
    walk = _Walk(path, text, only=MANIFESTS if sort in {None, "manifests"} else ())
    walk.go("", Path(os.path.realpath(path)), ())
    return of_files(walk.files, text)


class _Walk:
    """Reads a folder and what is below it. `only`: the endings of the files that count; empty for all."""

    def __init__(self, root: Path, where: str, only: tuple[str, ...] = ()) -> None:
        self.files: dict[str, bytes] = {}
        self._root = os.path.realpath(root)
        self._where, self._only = where, only
        self._size = 0
        self._ignored = ignore_file(root, where)

    def go(self, at: str, folder: Path, above: tuple[str, ...]) -> None:
        real = os.path.realpath(folder)
        if real in above:
            return  # a link to a folder that holds it
        if len(above) > DEEPEST:
            _refuse(f"has folders more than {DEEPEST} deep", self._where)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            _refuse(f"{at or '.'} cannot be read: {error.strerror}", self._where)
        for entry in entries:
            path = f"{at}/{entry.name}" if at else entry.name
            leads = os.path.realpath(entry.path) if entry.is_symlink() else ""
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:
                is_folder = is_file = False
            if self._ignored(path, is_folder) or (self._only and entry.name.startswith(".")):
                continue
            if leads and not within(leads, self._root):
                if self._only and not entry.name.endswith(self._only):
                    continue
                _refuse(
                    f"{path} is a link that leads out of the package",
                    self._where,
                    hint="put a copy there, or leave it out with a line in .fairleadignore",
                )
            if is_folder:
                self.go(path, Path(entry.path), (*above, real))
            elif is_file:
                if not self._only or entry.name.endswith(self._only):
                    self.files[path] = _read(Path(entry.path), f"{self._where}/{path}")
                    self._size += len(self.files[path])
                    if len(self.files) > MOST_FILES or self._size > LARGEST_PACKAGE:
                        _bound(self.files, self._where)
            elif not self._only:
                what = "is a link to nothing" if leads else "is neither a file nor a folder"
                _refuse(f"{path} {what}", self._where)


def within(path: str, root: str) -> bool:
    """Return whether a resolved path is the root or lies below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def ignore_file(root: Path, where: str) -> Ignored:
    """Return what the ignore file of a folder leaves out of its package. Raises Mistaken, and so does what is returned."""
    file = next((found for name in NAMES if (found := root / name).is_file()), None)
    if file is None:
        return nothing
    place = f"{where}/{file.name}"
    data = _read(file, place)
    if len(data) > _LARGEST_IGNORE:
        _refuse(f"is larger than {_LARGEST_IGNORE >> 20} MiB", place)
    try:
        fits = ignoring(data.decode(), helm=file.name == ".helmignore")
    except UnicodeDecodeError:
        _refuse("is not UTF-8", place)
    except BadPattern as error:
        raise Mistaken(Mistake(str(error), Where(place, error.line))) from error

    def left_out(path: str, folder: bool) -> bool:
        try:
            return fits(path, folder)
        except BadPattern as error:
            raise Mistaken(Mistake(str(error), Where(place))) from error

    return left_out


def _read(path: Path, where: str) -> bytes:
    """Return a file's bytes; never opens what could block."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        _refuse(f"cannot be read: {error.strerror}", where)
    if len(data) > LARGEST_FILE:
        _refuse(f"is larger than {LARGEST_FILE >> 20} MiB", where)
    return data


def read_regular(path: Path, where: str) -> bytes:
    """Return the bytes of a regular file. Raises Mistaken for anything else, without opening it."""
    if not path.is_file():
        _refuse("is no file", where)
    return _read(path, where)


def bounded(files: Mapping[str, bytes], where: str) -> None:
    """Refuse more than a package may hold."""
    _bound(files, where)


def _bound(files: Mapping[str, bytes], where: str) -> None:
    if len(files) > MOST_FILES:
        _refuse(f"has more than {MOST_FILES:,} files", where, hint="leave some out with a .fairleadignore")
    if sum(map(len, _values(files))) > LARGEST_PACKAGE:
        _refuse(
            f"is larger than {LARGEST_PACKAGE >> 20} MiB",
            where,
            hint="leave files out with a .fairleadignore",
        )


def _values(files: Mapping[str, bytes]) -> Iterable[bytes]:
    return files.values()


def _refuse(message: str, where: str, hint: str = "") -> NoReturn:
    raise Mistaken(Mistake(message, Where(where), hint=hint))
