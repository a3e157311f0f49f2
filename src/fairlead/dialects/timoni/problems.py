"""What CUE finds wrong, said as mistakes: at the place that the author or the user wrote, with what led there.

CUE's own words stay as they are. It names every place that took part; the one that is nearest to what the user wrote comes first here,
then the module's own, then what it vendors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from fairlead.render.evaluations import Place, Problem
from fairlead.render.packages import Mistake, Mistaken
from fairlead.words import Where

_MOST_PLACES: Final = 6
_DISJUNCTION: Final = re.compile(r"(\d+) errors in empty disjunction:")
_IN_WORDS: Final = re.compile(r"(?P<file>[^:\n]+):(?P<line>\d+): ")
_NOT_GIVEN: Final = re.compile(
    r"\Aincomplete value|field is required but not present|required field missing|cannot reference optional field"
)
_INDEX: Final = re.compile(r"\.(\d+)(?=\.|\Z)")
_SCHEMAS: Final = re.compile(r"\A#Fairlead\w+")
_FIELDS: Final = {"#FairleadInstance": "timoni", "#FairleadBundle": "bundle", "#FairleadRuntime": "runtime"}
"""What the schemas of this dialect are for, as CUE may name one instead of the field that it is of."""
_VENDORED: Final = "cue.mod/"
_OWN: Final = ("timoni.schema.cue", "bundle.schema.cue", "runtime.schema.cue")
"""What this dialect adds to the files; a person has nothing to put right there."""


def mistaken(
    problems: Sequence[Problem],
    files: Mapping[str, bytes],
    values: Mapping[str, bytes],
    *,
    about: str = "",
) -> Mistaken:
    """Return the problems as an error. `files` are the package's, `values` what was laid over them, both by the names in messages.

    `about` is what a problem without a place is about: the module, as the user named it. What CUE says of one place several times is
    said once.
    """
    found: dict[tuple[str, Where, int], Mistake] = {}
    for problem in _joined(problems):
        mistake = _mistake(_placed(problem, values, files), files, values, about)
        key = (mistake.message, Where(mistake.where.file, mistake.where.line), mistake.column)
        if key not in found or (mistake.where.path and not found[key].where.path):
            found[key] = mistake
    # What no part of a disjunction fits follows from other mistakes more often than they from it.
    return Mistaken(*sorted(found.values(), key=lambda one: _DISJUNCTION.match(one.message) is not None))


def _joined(problems: Sequence[Problem]) -> Iterator[Problem]:
    """Yield the problems; those of the parts of a disjunction, which CUE tells after a heading, as one."""
    rest = list(problems)
    while rest:
        head = rest.pop(0)
        heading = _DISJUNCTION.fullmatch(head.message)
        parts = [one for one in rest if heading and one.path == head.path][
            : int(heading[1]) if heading else 0
        ]
        if not parts:
            yield head
            continue
        rest = [one for one in rest if one not in parts]
        words = "; ".join(dict.fromkeys(part.message for part in parts))
        places = dict.fromkeys(place for part in parts for place in part.places)
        yield Problem(f"{head.message} {words}", head.path, tuple(places))


def _placed(problem: Problem, *known: Mapping[str, bytes]) -> Problem:
    """Return a problem whose place is only in its words, as those of YAML are, with it as a place."""
    found = None if problem.places else _IN_WORDS.match(problem.message)
    if found is None or not any(found["file"] in names for names in known):
        return problem
    place = Place(found["file"], int(found["line"]), 0)
    return Problem(problem.message[found.end() :], problem.path, (place,))


def _mistake(
    problem: Problem, files: Mapping[str, bytes], values: Mapping[str, bytes], about: str
) -> Mistake:
    known = (place for place in problem.places if not place.file.endswith(_OWN))
    places = sorted(dict.fromkeys(known), key=lambda place: _distance(place, values))
    path = _INDEX.sub(r"[\1]", f".{_SCHEMAS.sub(_schema, problem.path)}") if problem.path else ""
    if not places:
        return Mistake(problem.message, Where(about, 0, path), hint=_hint(problem.message))
    first = places[0]
    if first.file.startswith("--"):  # an option has no lines
        first = Place(first.file, 0, 0)
    source = values.get(first.file, files.get(first.file, b""))
    others = (Where(place.file, place.line) for place in places[1:])
    trail = [where for where in dict.fromkeys(others) if (where.file, where.line) != (first.file, first.line)]
    return Mistake(
        problem.message,
        Where(first.file, first.line, path),
        first.column,
        _line(source, first.line),
        _hint(problem.message),
        tuple(trail[:_MOST_PLACES]),
    )


def _schema(found: re.Match[str]) -> str:
    return _FIELDS.get(found[0], found[0])


def _distance(place: Place, values: Mapping[str, bytes]) -> int:
    if place.file in values:
        return 0
    return 2 if place.file.startswith(_VENDORED) else 1


def _line(source: bytes, number: int) -> str:
    lines = source.decode(errors="replace").splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def _hint(message: str) -> str:
    if message == "field not allowed":
        return "the schema has no such field: look for a misspelling"
    if _NOT_GIVEN.search(message):
        return "it has to be given a value"
    if "cannot find package" in message:
        return "what a module imports is below its cue.mod: nothing is fetched"
    return ""
