"""`fairlead mod fmt`: writes Starlark files one way. Changes nothing else, and no file that is vendored."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from fairlead.faces.cli.problems import Problem


def run(args: argparse.Namespace) -> int:
    """Format files, or say which would change."""
    from fairlead.drivers.replacing import replace
    from fairlead.faces.cli import sources
    from fairlead.reactor.rendering_describing import format_texts
    from fairlead.render.packages import Mistaken

    texts: dict[str, str] = {}
    changed = broken = 0
    for path in _files(args.paths or [Path()]):
        try:
            texts[str(path)] = path.read_bytes().decode()
        except UnicodeDecodeError:
            broken += 1
            print(f"{path}: is not text in UTF-8", file=sys.stderr)
        except OSError as error:
            raise Problem(f"{path}: {error.strerror}", code=2) from error
    if not texts and not broken:
        raise Problem("there are no .star files", "name a file or the folder of a module", code=2)
    try:
        found = format_texts(texts)
    except Mistaken as mistaken:
        sources.say(mistaken)
        return 1
    for name, made in found.items():
        if not isinstance(made, str):
            broken += 1
            print(f"{name}:{made.line}:{made.column}: is no Starlark: {made}", file=sys.stderr)
        elif made != texts[name]:
            changed += 1
            if args.check:
                print(f"{name}: would be written otherwise")
                continue
            try:
                replace(Path(name), lambda file, made=made: file.write(made.encode()))  # type: ignore[misc]
            except OSError as error:
                raise Problem(f"{name}: {error.strerror}") from error
            print(f"{name}: formatted")
    if not changed and not broken:
        print(f"{len(texts)} file{'s' if len(texts) != 1 else ''}: nothing to change")
    return int(bool(broken or (args.check and changed)))


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (
                one
                for one in sorted(path.rglob("*.star"))
                if one.is_file() and not {"vendor", ".git"} & set(one.relative_to(path).parts)
            )
        elif path.exists():
            yield path
        else:
            raise Problem(f"{path}: there is no such file", code=2)
