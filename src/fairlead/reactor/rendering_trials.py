"""A module's tests: the cases under `tests/`, each rendered with its values, and what of its expectations does not hold.

Writes nothing: a snapshot that is new or differs is handed back for whoever may write it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fairlead.reactor.rendering import Source, render_source
from fairlead.render import expectations
from fairlead.render.expectations import Case
from fairlead.render.packages import Capabilities, Context, Layer, Mistake, Mistaken, Rendered
from fairlead.tongues import yamls
from fairlead.words import Where

SNAPSHOTS: Final = "tests/snapshots/"
MOST_LINES: Final = 40
"""Lines of a snapshot's difference that are told."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a case went: what does not hold, the mistakes that its rendering had and nobody expected, and a snapshot to be written.

    `rendered` is what came out, None where nothing did.
    """

    case: Case
    problems: tuple[str, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    snapshot: tuple[str, str] | None = None
    rendered: Rendered | None = None

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.problems and not self.mistakes


def cases_of(source: Source) -> list[Case]:
    """Return the cases of a package's tests, by file. Raises Mistaken for those that cannot be read."""
    at = f"{source.package.target}/" if source.package.target else ""
    found: list[Case] = []
    mistakes: list[Mistake] = []
    for path, body in sorted(source.package.files.items()):
        inner = path.removeprefix(at)
        if (
            not inner.startswith("tests/")
            or inner.startswith(SNAPSHOTS)
            or not inner.endswith((".yaml", ".yml"))
        ):
            continue
        try:
            found += expectations.read(path, body.decode())
        except UnicodeDecodeError:
            mistakes.append(Mistake("is not text in UTF-8", Where(path)))
        except Mistaken as mistaken:
            mistakes += mistaken.mistakes
    if mistakes:
        raise Mistaken(*mistakes)
    return found


def context_of(case: Case, name: str) -> Context:
    """Return who a case's rendering is for."""
    given = dict(case.context)
    version = str(given.pop("kubernetes", Capabilities().version))
    serves = frozenset(str(one) for one in given.pop("serves", ()))
    version = version if version.startswith("v") else f"v{version}"
    if version.count(".") == 1:
        version += ".0"
    return Context(**{"name": name, **given}, capabilities=Capabilities(version, serves))


def layers_of(case: Case, source: Source) -> list[Layer]:
    """Return the values of a case: those of the package's files that it names, and its own. Raises Mistaken."""
    at = f"{source.package.target}/" if source.package.target else ""
    found = []
    for name in case.files:
        body = source.package.files.get(f"{at}{name}")
        if body is None:
            raise Mistaken(Mistake(f"the package has no file {name}", Where(case.file, case.line)))
        found.append(Layer(name, body.decode("utf-8", "replace")))
    return [*found, *case.layers]


def tried(source: Source, cases: Sequence[Case], name: str, *, worker: bool = True) -> Iterator[Trial]:
    """Run cases one after another."""
    for case in cases:
        yield _tried(source, case, name, worker=worker)


def _tried(source: Source, case: Case, name: str, *, worker: bool) -> Trial:
    try:
        rendered = render_source(source, layers_of(case, source), context_of(case, name), worker=worker)
    except Mistaken as mistaken:
        if not case.fails:
            return Trial(case, mistakes=mistaken.mistakes)
        said = [
            " ".join(part for part in (one.where.path.lstrip("."), one.message, one.hint) if part)
            for one in mistaken.mistakes
        ]
        return Trial(case, tuple(expectations.unmet_failures(case, said)))
    if case.fails:
        return Trial(case, tuple(expectations.unmet_failures(case, ())), rendered=rendered)
    objects = [item for stage in rendered.stages for item in stage.objects]
    problems = expectations.unmet(case, objects)
    snapshot = None
    if case.snapshot:
        path, text = snapshot_path(case, source), snapshot_text(rendered)
        before = source.package.files.get(path)
        if before is None or before.decode("utf-8", "replace") != text:
            snapshot = (path, text)
            problems += _differing(path, before, text)
    return Trial(case, tuple(problems), snapshot=snapshot, rendered=rendered)


def snapshot_path(case: Case, source: Source) -> str:
    """Return the file of a case's snapshot."""
    at = f"{source.package.target}/" if source.package.target else ""
    stem = case.file.rpartition("/")[2].rpartition(".")[0]
    name = re.sub(r"[^a-z0-9]+", "-", case.name.lower()).strip("-")
    return f"{at}{SNAPSHOTS}{stem}.yaml" if name in {stem, ""} else f"{at}{SNAPSHOTS}{stem}.{name}.yaml"


def snapshot_text(rendered: Rendered) -> str:
    """Return a rendering as a snapshot has it: every stage with its objects."""
    return "".join(
        f"---\n# stage {stage.name}\n{yamls.dump(item)}"
        for stage in rendered.stages
        for item in stage.objects
    )


def _differing(path: str, before: bytes | None, text: str) -> list[str]:
    if before is None:
        return [f"there is no snapshot {path}; --update writes it"]
    lines = difflib.unified_diff(
        before.decode("utf-8", "replace").splitlines(),
        text.splitlines(),
        "snapshot",
        "rendered",
        lineterm="",
        n=2,
    )
    told = list(lines)
    more = [f"... and {len(told) - MOST_LINES} lines more"] if len(told) > MOST_LINES else []
    return ["\n".join([f"differs from {path}; --update takes it as right", *told[:MOST_LINES], *more])]
