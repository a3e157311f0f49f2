"""`fairlead mod vendor`: dependencies and definitions of kinds, written into a module so that it builds without the network."""

from __future__ import annotations

import argparse
import asyncio
import shutil
from pathlib import Path

from fairlead.faces.cli import sources
from fairlead.faces.cli.problems import Problem
from fairlead.render.packages import Mistaken


def run(args: argparse.Namespace) -> int:
    """Fetch, check and write."""
    words = list(args.words)
    try:
        if words[:1] == ["crd"]:
            return _definitions(args, words[1:])
        if len(words) > 1:
            raise Problem(
                f"{words[1]}: it is fairlead mod vendor [DIR], or fairlead mod vendor crd FILE [DIR]", code=2
            )
        return _dependencies(args, Path(words[0] if words else "."))
    except Mistaken as mistaken:
        sources.say(mistaken)
        return 1


def _dependencies(args: argparse.Namespace, folder: Path) -> int:
    from fairlead.reactor.rendering_vendoring import LOCK, dependencies, lock_text, read_lock
    from fairlead.render.modules_manifest import MANIFEST
    from fairlead.render.modules_manifest import read as manifest

    try:
        described = manifest({MANIFEST: (folder / MANIFEST).read_bytes()}, "")
        lock = read_lock((folder / LOCK).read_text()) if (folder / LOCK).exists() else {}
    except OSError as error:
        raise Problem(
            f"{folder / MANIFEST}: {error.strerror}", "name the folder of a module", code=2
        ) from error
    if not described.dependencies:
        print(f"{folder}: the module has no dependencies")
        return 0
    found = asyncio.run(dependencies(described.dependencies, lock, update=args.update))
    try:
        for one in found:
            _replace(folder / "vendor" / one.name, one.files)
            print(f"vendor/{one.name}: {one.source} {one.version} {one.digest}".rstrip())
        _save(folder / LOCK, lock_text(found).encode())
    except OSError as error:
        raise Problem(f"{error.filename or folder}: {error.strerror}") from error
    return 0


def _replace(folder: Path, files: object) -> None:
    """Write a dependency's files in the place of those that were there; they are complete before the old ones go."""
    from collections.abc import Mapping

    assert isinstance(files, Mapping)
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for name, body in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _save(path: Path, body: bytes) -> None:
    from fairlead.drivers.replacing import replace

    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, lambda file: file.write(body))


def _definitions(args: argparse.Namespace, words: list[str]) -> int:
    from fairlead.reactor.rendering_vendoring import definitions, download

    if args.from_cluster:
        where, text = f"cluster {args.from_cluster}", _from_cluster(args)
    elif not words:
        raise Problem(
            "crd: say where the definitions are",
            "fairlead mod vendor crd FILE|URL [DIR], or --from-cluster NAME",
            code=2,
        )
    else:
        where = words.pop(0)
        if "://" in where:
            text = asyncio.run(download(where))
        else:
            try:
                text = Path(where).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise Problem(
                    f"{where}: {getattr(error, 'strerror', None) or 'not text in UTF-8'}", code=2
                ) from error
    folder = Path(words[0] if words else ".")
    if not (folder / "module.yaml").exists():
        raise Problem(
            f"{folder} is no module: it has no module.yaml", "name the module's folder last", code=2
        )
    for name, body in definitions(text, where).items():
        _save(folder / name, body.encode())
        print(f"{name}: written")
    return 0


def _from_cluster(args: argparse.Namespace) -> str:
    from fairlead.drivers.cluster import Unreachable
    from fairlead.faces.cli import diagnose
    from fairlead.keep.errors import Refusal
    from fairlead.tongues import yamls

    async def get() -> str:
        async with diagnose.open_cluster(args) as cluster:
            return yamls.dump(
                await cluster.get(
                    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "", args.from_cluster
                )
            )

    args.namespace = ""
    try:
        return asyncio.run(get())
    except Refusal as refusal:
        hint = "kubectl get crds lists what there is" if refusal.code == 404 else ""
        raise Problem(str(refusal), hint) from refusal
    except Unreachable as error:
        raise Problem(f"the cluster does not answer: {error}") from error
