"""What CUE finds wrong, said as mistakes: at the place that the author or the user wrote, with what led there.

CUE's own words stay as they are. It names every place that took part; the one that is nearest to what the user wrote comes first here,
then the module's own, then what it vendors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fairlead.render.evaluations import Place, Problem
from fairlead.render.packages import Mistake, Mistaken
from fairlead.words import Where

_MOST_PLACES: Final = 6
_VENDORED: Final = "cue.mod/"
_OWN: Final = ("timoni.schema.cue", "bundle.schema.cue", "runtime.schema.cue")
"""What this dialect adds to the files; a person has nothing to put right there."""


def mistaken(
    problems: tuple[Problem, ...],
    files: Mapping[str, bytes],
    values: Mapping[str, bytes],
    *,
    about: str = "",
) -> Mistaken:
    """Return the problems as an error. `files` are the package's, `values` what was laid over them, both by the names in messages.

    `about` is what a problem without a place is about: the module, as the user named it.
    """
    return Mistaken(*(_mistake(problem, files, values, about) for problem in problems))


def _mistake(
    problem: Problem, files: Mapping[str, bytes], values: Mapping[str, bytes], about: str
) -> Mistake:
    places = sorted(dict.fromkeys(problem.places), key=lambda place: _distance(place, values))
    path = f".{problem.path}" if problem.path else ""
    if not places:
        return Mistake(problem.message, Where(about, 0, path), hint=_hint(problem.message))
    first = places[0]
    source = values.get(first.file, files.get(first.file, b""))
    return Mistake(
        problem.message,
        Where(first.file, first.line, path),
        first.column,
        _line(source, first.line),
        _hint(problem.message),
        tuple(
            Where(place.file, place.line) for place in places[1:_MOST_PLACES] if not place.file.endswith(_OWN)
        ),
    )


def _distance(place: Place, values: Mapping[str, bytes]) -> int:
    if place.file in values:
        return 0
    if place.file.endswith(_OWN):
        return 3
    return 2 if place.file.startswith(_VENDORED) else 1


def _line(source: bytes, number: int) -> str:
    lines = source.decode(errors="replace").splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def _hint(message: str) -> str:
    if message == "field not allowed":
        return "the schema has no such field: look for a misspelling"
    if message.startswith("incomplete value"):
        return "it has to be given a value"
    if "mismatched types" in message:
        return "the schema wants another type"
    return ""
