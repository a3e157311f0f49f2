"""`fairlead mod vet` and `fairlead mod test`: is a module right, and does it do what its tests expect."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli import sources
from fairlead.faces.cli.problems import Problem
from fairlead.render.packages import Mistake, Mistaken

if TYPE_CHECKING:
    from fairlead.reactor.rendering import Source
    from fairlead.reactor.rendering_trials import Trial


def _loaded(text: str) -> Source | None:
    try:
        return sources.load(text)
    except Mistaken as mistaken:
        sources.say(mistaken)
        return None


def run_vet(args: argparse.Namespace) -> int:
    """Tell mistakes and notes."""
    from fairlead.reactor.rendering_vetting import vet

    args.substitute = False
    layers = sources.layers(args)
    source = _loaded(args.source)
    if source is None:
        return 2
    found = vet(source, args.name or sources.default_name(source), datetime.now(UTC), layers=layers)
    bad = bool(found.mistakes or (args.strict and found.notes))
    if args.output == "json":
        import orjson

        body = {"mistakes": [_plain(one, source) for one in found.mistakes], "notes": [_plain(one, source) for one in found.notes],
                "builds": found.builds, "objects": found.objects}  # fmt: skip
        print(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
        return int(bad)
    if found.mistakes:
        sources.say(Mistaken(*found.mistakes), source)
    if not args.quiet:
        for note in found.notes:
            print(_note(note, source), file=sys.stderr)
    counts = f"{_count(found.builds, 'build')}, {_count(found.objects, 'object')}"
    notes = f", {_count(len(found.notes), 'note')}" if found.notes else ""
    if bad:
        print(f"{args.source}: {_count(len(found.mistakes), 'mistake')}{notes} ({counts})")
    else:
        print(f"{args.source}: right ({counts}{notes})")
    return int(bad)


def _plain(one: Mistake, source: Source) -> dict[str, Any]:
    file = sources.located(one.where.file, source)
    return {
        "message": one.message,
        "file": file,
        "line": one.where.line,
        "column": one.column,
        "path": one.where.path,
        "hint": one.hint,
    }


def _note(one: Mistake, source: Source) -> str:
    from fairlead.diagnose.hiding import visible

    file = sources.located(one.where.file, source)
    place = f"{file}:{one.where.line}: " if one.where.line else f"{file}: " if file else ""
    path = f"{one.where.path.lstrip('.')}: " if one.where.path else ""
    return visible(f"note: {place}{path}{one.message}" + (f"; {one.hint}" if one.hint else ""))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def run_test(args: argparse.Namespace) -> int:
    """Run the tests and tell how each went."""
    from fairlead.reactor.rendering_trials import cases_of, tried

    source = _loaded(args.source)
    if source is None:
        return 2
    try:
        cases = cases_of(source)
    except Mistaken as mistaken:
        sources.say(mistaken, source)
        return 2
    wanted = [case for case in cases if args.word.lower() in case.name.lower()]
    if not wanted:
        raise Problem(
            f'no test has "{args.word}" in its name' if cases else f"{args.source} has no tests",
            f"there are: {', '.join(case.name for case in cases[:10])}"
            if cases
            else "they are files under tests/: see fairlead mod test --help",
            code=2,
        )
    if args.update and not Path(args.source).is_dir():
        raise Problem("--update writes into the module's folder, and this is none", code=2)
    failed = updated = 0
    for trial in tried(source, wanted, args.name or sources.default_name(source)):
        told = trial
        if args.update and trial.snapshot is not None:
            updated += 1
            told = _taken(trial, source)
        failed += not told.passed
        _tell(told, source)
    print(
        f"{len(wanted) - failed} of {_count(len(wanted), 'test')} passed"
        + (f", {_count(updated, 'snapshot')} written" if updated else "")
    )
    return int(bool(failed))


def _taken(trial: Trial, source: Source) -> Trial:
    """Write a trial's snapshot; return the trial without what differed."""
    from dataclasses import replace

    from fairlead.drivers import replacing

    assert trial.snapshot is not None
    name, text = trial.snapshot
    path = Path(source.where) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replacing.replace(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from error
    return replace(trial, problems=tuple(one for one in trial.problems if name not in one), snapshot=None)


def _tell(trial: Trial, source: Source) -> None:
    from fairlead.diagnose.hiding import visible

    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    word, code = ("ok", "32") if trial.passed else ("FAILED", "31")
    shown = f"\x1b[{code}m{word}\x1b[0m" if colour else word
    print(f"{shown} {visible(trial.case.name)}")
    if trial.passed:
        return
    print(f"  {sources.located(trial.case.file, source)}:{trial.case.line}")
    for problem in trial.problems:
        for line in problem.splitlines():
            print(f"  {visible(line)}")
    for mistake in trial.mistakes:
        for line in sources.shown(mistake, source, colour=colour):
            print(f"  {line}")
