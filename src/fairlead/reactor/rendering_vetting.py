"""Is a module as it should be: its code, its values, its tests, and what it builds, held against Kubernetes' own rules.

Mistakes are what has to be put right; notes are what could be better. Writes nothing and asks no cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from fairlead.reactor.rendering import Source, render_source
from fairlead.reactor.rendering_describing import describe
from fairlead.reactor.rendering_trials import cases_of, context_of, layers_of
from fairlead.render.packages import Context, Layer, Mistake, Mistaken, Rendered
from fairlead.tongues import yamls
from fairlead.words import Finding, Severity, Where

if TYPE_CHECKING:
    from fairlead.render.values import ValuesType

DEFAULTS: Final = "the defaults"
_WITH: Final = ", with "
_UNTOLD: Final = frozenset({"object.foreign", "document.foreign", "document.doubled"})
"""What is said of files, and is no matter where objects were built."""


@dataclass(slots=True)
class Vetted:
    """What was found: mistakes, notes (each a text with its place), and with how many sets of values the module was built."""

    mistakes: list[Mistake] = field(default_factory=list)
    notes: list[Mistake] = field(default_factory=list)
    builds: int = 0
    objects: int = 0


def vet(
    source: Source, name: str, now: datetime, *, layers: Sequence[Layer] = (), worker: bool = True
) -> Vetted:
    """Look at a module of any sort; `layers` are values to build it with besides its defaults and its tests'."""
    found = Vetted()
    if source.sort == "module":
        made = _described(source, found)
        if made is None or _is_library(source):
            return found
    try:
        cases = [case for case in cases_of(source) if not case.fails]
    except Mistaken as mistaken:
        found.mistakes += mistaken.mistakes
        cases = []
    trials: list[tuple[str, Sequence[Layer], Context]] = [(DEFAULTS, layers, Context(name))]
    for case in cases:
        try:
            trials.append((f'the test "{case.name}"', layers_of(case, source), context_of(case, name)))
        except Mistaken as mistaken:
            found.mistakes += mistaken.mistakes
    first: Mistaken | None = None
    for what, values, context in trials:
        try:
            rendered = render_source(source, values, context, worker=worker)
        except Mistaken as mistaken:
            if what == DEFAULTS and not layers and len(trials) > 1 and _only_lacks(mistaken):
                first = mistaken
                continue
            found.mistakes += [one for one in mistaken.mistakes if one not in found.mistakes]
            continue
        found.builds += 1
        _built(source, rendered, what, now, found)
    if first is not None and not found.builds:
        found.mistakes += first.mistakes
    return found


def _is_library(source: Source) -> bool:
    """Return whether a module is there for others to load, and has nothing to build."""
    from fairlead.render.modules_manifest import read

    at = f"{source.package.target}/" if source.package.target else ""
    return read({path.removeprefix(at): body for path, body in source.package.files.items()}, at).library


def _only_lacks(mistaken: Mistaken) -> bool:
    """Return whether the defaults fail only since values are required, which a test may give."""
    return all("is required, and nothing sets it" in one.message for one in mistaken.mistakes)


def _described(source: Source, found: Vetted) -> ValuesType | None:
    """Note what is wrong with the manifest and the declared values, and which values say nothing of themselves."""
    try:
        description = describe(source)
        found.notes += description.notes
        made = _type_of(description.tree)
    except Mistaken as mistaken:
        found.mistakes += mistaken.mistakes
        return None
    stack: list[tuple[str, ValuesType]] = [("", made)]
    while stack:
        path, one = stack.pop()
        for name, inner in one.fields.items():
            at = f"{path}.{name}" if path else name
            if not inner.doc and inner.sort != "group":
                found.notes.append(
                    Mistake(
                        "says nothing of what it means",
                        Where(inner.where.file, inner.where.line, f"Values.{at}"),
                        hint='add doc = "..."',
                    )
                )
            stack.append((at, inner))
    found.notes.sort(key=lambda one: (one.where.file, one.where.line))
    return made


def values_type(source: Source) -> ValuesType:
    """Return the type of a native module's values. Raises Mistaken."""
    return _type_of(describe(source).tree)


def _type_of(tree: object) -> ValuesType:
    from fairlead.render.values import type_of

    return type_of(tree or {"type": "group", "fields": {}}, Where("module.star"))


def _built(source: Source, rendered: Rendered, what: str, now: datetime, found: Vetted) -> None:
    """Hold what was built against the API server's rules, and against good practice."""
    from fairlead.reactor.examine import examine_files

    objects = [item for stage in rendered.stages for item in stage.objects]
    found.objects = max(found.objects, len(objects))
    files = {
        path: body.decode("utf-8", "replace")
        for path, body in source.package.files.items()
        if "/schemas/" in f"/{path}"
    }
    examined = examine_files({**files, "rendered.yaml": yamls.dump_all(objects)}, now, advice=True)
    for finding in (*examined.findings, *rendered.findings):
        if finding.rule in _UNTOLD or finding.where.file in files:
            continue
        known = found.mistakes if finding.severity == Severity.CRITICAL else found.notes
        said = f"{finding.subject}: {finding.message}"
        if all(
            (one.message.partition(_WITH)[0], one.where.path) != (said, finding.where.path) for one in known
        ):
            known.append(_told(finding, said if what == DEFAULTS else f"{said}{_WITH}{what}"))


def _told(finding: Finding, said: str) -> Mistake:
    cause, _, hint = finding.cause.partition("Would pass: ")
    if finding.severity == Severity.CRITICAL and cause:
        said += f" ({cause.strip().rstrip('.')})"
    where = Where("" if finding.where.file == "rendered.yaml" else finding.where.file, 0, finding.where.path)
    return Mistake(said, where, hint=f"write {hint.rstrip('.')}" if hint else "")
