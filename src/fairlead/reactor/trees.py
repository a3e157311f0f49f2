"""Kustomize trees among files that are examined: their objects as they would be applied, each with the place that it came from.

A tree is built from the texts alone. One that cannot be built is told of, and its resources are looked at as they are written. Where trees
are alternatives of each other (overlays over one base) an object that several have is looked at once.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fairlead.dialects import kustomize, manifests
from fairlead.dialects.kustomize import referring
from fairlead.dialects.manifests import Document, about_file
from fairlead.render.packages import Lacking, Mistaken, Package
from fairlead.words import Finding, Ref, Resource, Severity

LARGEST = 1_000_000
"""Bytes that a file which a generator takes may have, to be read for an examination."""
MOST = 2_000
"""Files that a tree may refer to outside the folder that was named."""


@dataclass(slots=True)
class Trees:
    """What the trees among some files hold. `parts` are the files that are no objects by themselves, or were built into them."""

    documents: list[Document] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)


def is_kustomization(name: str) -> bool:
    """Whether a file is a kustomization, by its name."""
    return PurePosixPath(name).name in kustomize.NAMES


def parts_of(files: Mapping[str, str]) -> set[str]:
    """Return the kustomizations among files, and the files that those use as patches, settings and data."""
    found: set[str] = set()
    for name, text in files.items():
        if is_kustomization(name):
            found.add(name)
            folder = posixpath.dirname(name)
            for key, path in referring.names(referring.document(text.encode())):
                if key not in {"resources", "bases", "components"}:
                    found.add(posixpath.normpath(posixpath.join(folder, path)))
    return found


def build(files: Mapping[str, str], *, every: bool = False) -> Trees:
    """Return what the trees among the files hold; with `every` also what several trees make of one object, where that differs."""
    found = Trees(parts=parts_of(files))
    up = max((name.split("/").count("..") for name in files), default=0)
    above = "".join(f"{at}/" for at in range(up))  # so that no name leads out of the package
    names = {posixpath.normpath(f"{above}{name.lstrip('/')}"): name for name in files}
    package = {path: files[name].encode() for path, name in names.items()}
    said = {path: referring.document(body) for path, body in package.items() if is_kustomization(path)}
    inner = {
        posixpath.normpath(posixpath.join(posixpath.dirname(path), one))
        for path, document in said.items()
        for one in referring.folders(document)
    }
    seen: dict[Ref, list[Resource]] = {}
    for path, document in said.items():
        folder = posixpath.dirname(path)
        if (folder or ".") in inner or document.get("kind") == "Component":
            continue
        _build(found, package, folder, names, files, seen, path, every=every)
    return found


def _build(
    found: Trees,
    package: Mapping[str, bytes],
    folder: str,
    names: Mapping[str, str],
    files: Mapping[str, str],
    seen: dict[Ref, list[Resource]],
    path: str,
    *,
    every: bool,
) -> None:
    try:
        items, findings, used = kustomize.build(Package(package, folder, folder), {})
    except Mistaken as mistaken:
        for one in mistaken.mistakes:
            where = names.get(one.where.file, one.where.file or names[path])
            message = f"cannot be built: {one.message}" + (f"; {one.hint}" if one.hint else "")
            found.findings.append(
                about_file(
                    "kustomization.build",
                    Severity.WARNING,
                    where,
                    message,
                    line=one.where.line,
                    path=one.where.path,
                    cause="Its resources are examined as they are written.",
                )
            )
        return
    except Lacking as lacking:
        found.findings.append(
            about_file(
                "kustomization.build",
                Severity.INFO,
                names[path],
                f"refers to {', '.join(need.about.name for need in lacking.needs)}, which is not fetched: "
                "its resources are examined as they are written",
            )
        )
        return
    found.parts |= {names[one] for one in used if one in names}
    for said in findings:
        where = names.get(said.where.file, said.where.file)
        found.findings.append(about_file(said.rule, said.severity, where, said.message, path=said.where.path))
    written: dict[str, dict[tuple[str, str, str], Document]] = {}
    for item in items:
        same = seen.setdefault(Ref.of(item.data), [])
        if item.data in same if every else same:
            continue
        same.append(item.data)
        name = names.get(item.file, item.file)
        if name not in written:
            written[name] = _written(name, files)
        place = written[name].get(item.written)
        line, lines = (place.line, place.lines) if place is not None else (0, {})
        found.documents.append(Document(item.data, name, line, lines))


def _written(name: str, files: Mapping[str, str]) -> dict[tuple[str, str, str], Document]:
    """Return the documents of a file by what their objects are called there."""
    if is_kustomization(name) or name not in files:
        return {}
    documents, _ = manifests.read(name, files[name])
    return {(one.ref.kind, one.ref.namespace or "default", one.ref.name): one for one in documents}


def beside(paths: Iterable[Path], folder: Path) -> list[Path]:
    """Return the files that kustomizations below a folder refer to and that are not among its manifests. Raises OSError."""
    given = {_name(path) for path in paths}
    found: dict[str, Path] = {
        _name(path): path
        for path in folder.rglob(kustomize.NAMES[-1])
        if path.is_file() and _name(path) not in given
    }
    files = {
        _name(path): path.read_bytes() for path in (*paths, *found.values()) if is_kustomization(path.name)
    }
    targets = [posixpath.dirname(name) for name in files]
    refused: set[str] = set()
    while targets and len(found) < MOST:
        needed = set().union(*(referring.missing(files, target) for target in targets)) - refused - given
        needed -= found.keys()
        if not needed:
            break
        refused |= needed
        homes = tuple(f"{posixpath.dirname(name)}/" for name in files if is_kustomization(name))
        for name in needed:
            for path in _take(Path("/", name), inside=name.startswith(homes)):
                known = _name(path)
                if is_kustomization(known):
                    files[known] = path.read_bytes()
                if known not in given:
                    found[known] = path if folder.is_absolute() else Path(os.path.relpath(path))
    return list(found.values())


def _name(path: Path) -> str:
    return path.absolute().as_posix().lstrip("/")


def _take(path: Path, *, inside: bool) -> list[Path]:
    """Return the file at a path, or the kustomization of the folder there."""
    if path.is_file():
        return [path] if inside and path.stat().st_size <= LARGEST else []
    return [path / name for name in kustomize.NAMES if (path / name).is_file()][:1]
