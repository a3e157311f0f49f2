"""`fairlead fix --patch` and `-f`: a fix as a change of the files that the objects came from.

Prints one patch for `git apply`, or writes the files. A finding of the cluster is proven on the copy as ever; one of files alone by
examining the patched files.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.faces.cli import diagnose, packaged
from fairlead.faces.cli.fix import chosen
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.dialects.manifests import Document
    from fairlead.reactor.examine import Examined
    from fairlead.reactor.patching import Patched
    from fairlead.reactor.trial import Trial


def patch_for(trial: Trial, looked: Examined, args: argparse.Namespace) -> int:
    """Write a fix that was tried on a copy of the cluster into files. Return the exit code."""
    from fairlead.faces.cli import stories
    from fairlead.reactor.patching import write

    if not trial.proven:
        print(
            stories.tame("\n".join(stories.trial(trial, diagnose.pen(args), applying=False))), file=sys.stderr
        )
        return 1
    held = packaged.given(args, args.patch)
    texts, documents = held.texts, _written(held)
    originals = {
        change.ref: found
        for change in trial.fix.changes
        if (
            found := looked.view.get(change.ref.group, change.ref.kind, change.ref.namespace, change.ref.name)
        )
    }
    patched = write(trial.fix, texts, documents, originals, _rendered(held))
    return _give(patched, args)


def fix_files(args: argparse.Namespace) -> int:
    """Fix findings of files, prove it by examining what they would say, and print or write it. Return the exit code."""
    from fairlead.reactor.examine import examine_files
    from fairlead.reactor.patching import proof, write

    given = packaged.given(args, args.filename)
    texts, packages = given.texts, given.packages
    before = examine_files(texts, diagnose.now(), packages=packages).findings
    wanted = [one for one in before if one.fixes] if args.all else [chosen(before, args.finding)]
    changed: Patched | None = None
    held = True
    current = dict(texts)
    for finding in wanted:
        documents = _written(packaged.Given(current, packages))
        patched = write(finding.fixes[0], current, documents, rendered=_rendered(given))
        trial = {**current, **patched.texts}
        after = examine_files(trial, diagnose.now(), packages=packages).findings if patched.whole else []
        steps = proof(before, after, finding) if patched.whole else []
        for name, ok, detail in steps:
            if not ok:
                patched.left.append(f"{finding.subject}: not proven: {name}: {detail}")
        if patched.left:
            held = False
            for said in patched.left:
                print(f"fairlead: {said}", file=sys.stderr)
            continue
        current = trial
        changed = patched if changed is None else _joined(changed, patched)
    if changed is None:
        return 0 if held else 1
    return max(_give(changed, args), 0 if held else 1)


def _written(held: packaged.Given) -> list[Document]:
    """Return the objects as the files have them, without what packages render."""
    from fairlead.reactor.examine import read_files

    return read_files(held.texts, packages=held.packages.bare() if held.packages is not None else None)[0]


def _rendered(held: packaged.Given) -> list[Document]:
    return held.packages.documents if held.packages is not None else []


def _joined(first: Patched, second: Patched) -> Patched:
    first.before = {**second.before, **first.before}
    first.texts = {**first.texts, **second.texts}
    return first


def _give(patched: Patched, args: argparse.Namespace) -> int:
    """Print the patch, or write the files."""
    for said in patched.left:
        print(f"fairlead: {said}", file=sys.stderr)
    if patched.left:
        return 1
    if not patched.texts:
        print("fairlead: the files say this already: apply them", file=sys.stderr)
        return 0
    if not args.write:
        print(patched.diff(_names(patched)), end="")
        return 0
    for name, text in patched.texts.items():
        replace(Path(name), text)
        print(f"{name} is mended")
    return 0


def replace(path: Path, text: str) -> None:
    """Write a file anew, whole or not at all, with the rights that it has. Raises Problem."""
    from fairlead.drivers import replacing

    try:
        replacing.replace(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise Problem(f"cannot write {path}: {error.strerror}", code=2) from error


def _names(patched: Patched) -> dict[str, str]:
    """Return the files' names from the top of their repository, for those in one."""
    from fairlead.drivers.git import Repository

    names: dict[str, str] = {}
    for file in patched.texts:
        repository = Repository.around(Path(file))
        if repository is not None:
            with repository:
                names[file] = repository.name_of(Path(file))
    return names
