"""Rendering Timoni modules: the dialect asks, the confined evaluator of CUE answers, the dialect reads.

The evaluator is a process of its own without rights, so this runs in front of it and not in a rendering's worker. Holds no rules of
Timoni's. Without the extra it says what to install.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fairlead.dialects import timoni
from fairlead.dialects.timoni.documenting import SEEK
from fairlead.drivers import cue
from fairlead.render.evaluations import Evaluated, Evaluation
from fairlead.render.packages import Answers, Context, Layer, Mistake, Mistaken, Package, Rendered
from fairlead.words import Where

INSTALL: Final = "pip install 'fairlead[cue]'"


def render(
    package: Package,
    values: Sequence[Layer],
    context: Context,
    answers: Answers,  # noqa: ARG001  Timoni asks nobody while it builds
    *,
    seconds: float = cue.SECONDS,
    memory: int = cue.MEMORY,
) -> Rendered:
    """Build a module. Raises Mistaken, also for one that takes more than its time (seconds) or memory (bytes)."""
    question = timoni.prepare(package, values, context)
    answer = evaluated(question, package.where, seconds=seconds, memory=memory)
    return timoni.finish(package, values, answer)


def reference(
    package: Package, context: Context | None = None
) -> tuple[list[tuple[str, str, str, str]], dict[str, Any]]:
    """Return a module's values for people (name, type, default, description) and as a JSON Schema. Raises Mistaken."""
    question = timoni.prepare(package, (), context or Context("app"), seek=(SEEK,))
    answer = evaluated(question, package.where)
    if answer.problems:
        raise timoni.mistaken(answer.problems, package.files, {}, about=package.where)
    rows = timoni.read_rows(answer)
    return timoni.table(rows), timoni.document(rows, timoni.module_name(package.files))


def evaluated(
    question: Evaluation, where: str, *, seconds: float = cue.SECONDS, memory: int = cue.MEMORY
) -> Evaluated:
    """Ask CUE. Raises Mistaken where there is no evaluator, and where it came to no end; `where` is what it is about."""
    try:
        return cue.evaluate(question, seconds=seconds, memory=memory)
    except cue.NoCue as error:
        raise Mistaken(
            Mistake(f"Timoni modules need CUE: {INSTALL}", Where(where), hint=_unlike(error))
        ) from error
    except cue.CueFailed as error:
        raise Mistaken(Mistake(str(error), Where(where))) from error


def _unlike(error: cue.NoCue) -> str:
    """Return what is wrong beyond that it is not installed."""
    return "" if str(error) == "CUE is not installed" else str(error)
