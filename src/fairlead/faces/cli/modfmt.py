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
    from fairlead.render.formatting import BadCode, formatted

    changed = broken = seen = 0
    for path in _files(args.paths or [Path()]):
        seen += 1
        try:
            text = path.read_text(encoding="utf-8")
            made = formatted(text, str(path))
            if made == text:
                continue
            changed += 1
            if args.check:
                print(f"{path}: would be written otherwise")
                continue
            replace(path, lambda file, made=made: file.write(made.encode()))  # type: ignore[misc]
            print(f"{path}: formatted")
        except BadCode as bad:
            broken += 1
            print(f"{path}:{bad.line}:{bad.column}: is no Starlark: {bad}", file=sys.stderr)
        except UnicodeDecodeError:
            broken += 1
            print(f"{path}: is not text in UTF-8", file=sys.stderr)
        except OSError as error:
            raise Problem(f"{path}: {error.strerror}", code=2) from error
    if not seen:
        raise Problem("there are no .star files", "name a file or the folder of a module", code=2)
    if not changed and not broken:
        print(f"{seen} file{'s' if seen != 1 else ''}: nothing to change")
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
