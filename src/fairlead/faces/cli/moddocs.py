"""`fairlead mod docs`: the reference of a module's values in its README, and their JSON Schema, made from their types."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.faces.cli import sources
from fairlead.faces.cli.problems import Problem
from fairlead.render.packages import Mistaken

if TYPE_CHECKING:
    from fairlead.reactor.rendering import Source

README = "README.md"


def run(args: argparse.Namespace) -> int:
    """Write both, or say what is out of date."""
    source: Source | None = None
    try:
        try:
            source = sources.load(args.source)
        except Mistaken as mistaken:
            sources.say(mistaken)
            return 2
        table, schema = made(source)
    except Mistaken as mistaken:
        sources.say(mistaken, source)
        return 1
    if args.only:
        sys.stdout.write(table)
        return 0
    changed = outdated(Path(args.source), table, schema)
    if args.check:
        for path in changed:
            print(f"{path}: out of date; fairlead mod docs writes it", file=sys.stderr)
        return int(bool(changed))
    _save(changed)
    for path in changed:
        print(f"{path}: written")
    if not changed:
        print("all is up to date")
    return 0


def made(source: Source) -> tuple[str, str]:
    """Return the table and the schema of a package's values. Raises Mistaken, and Problem for packages without typed values."""
    import orjson

    from fairlead.render.references import reference, table
    from fairlead.render.schemas import schema

    if source.sort == "module":
        from fairlead.reactor.rendering_vetting import values_type
        from fairlead.render.modules_manifest import read as manifest

        at = f"{source.package.target}/" if source.package.target else ""
        files = {path.removeprefix(at): body for path, body in source.package.files.items()}
        about = manifest(files, at)
        kind = values_type(source)
        document = schema(kind, about.name, about.description)
        text = reference(kind)
    elif source.sort == "timoni":
        from fairlead.reactor.rendering_timoni import reference as timoni_reference

        found, document = timoni_reference(source.package)
        text = table((f"`{row[0]}`", *row[1:]) for row in found)
    else:
        raise Problem(
            f"a {source.sort} has no typed values to document",
            "modules of fairlead's and Timoni's have",
            code=2,
        )
    return text, orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


def outdated(folder: Path, table: str, schema: str) -> dict[Path, str]:
    """Return the files that are not as they should be, with what they should hold. Raises Problem."""
    from fairlead.render.references import placed
    from fairlead.render.schemas import FILE

    folder = folder if folder.is_dir() else folder.parent
    readme = folder / README
    try:
        before = readme.read_text(encoding="utf-8") if readme.exists() else ""
        old = (folder / FILE).read_text(encoding="utf-8") if (folder / FILE).exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(
            f"{folder}: {getattr(error, 'strerror', None) or 'README.md is not text in UTF-8'}"
        ) from error
    head = before or f"# {folder.resolve().name}\n"
    wanted = {readme: placed(head, table), folder / FILE: schema}
    return {path: text for path, text in wanted.items() if text != {readme: before, folder / FILE: old}[path]}


def write(folder: Path) -> None:
    """Write both for a module that is known to be right."""
    _save(outdated(folder, *made(sources.load(str(folder)))))


def _save(files: dict[Path, str]) -> None:
    from fairlead.drivers.replacing import replace

    for path, text in files.items():
        try:
            replace(path, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
        except OSError as error:
            raise Problem(f"{path}: {error.strerror}") from error
