"""The renderer of Timoni modules: the dialect asks, CUE answers in a process of its own, and the dialect reads.

CUE's driver confines the evaluation itself, so that no worker is needed around it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.dialects import timoni
from fairlead.drivers import cue
from fairlead.render.packages import Answers, Context, Layer, Mistake, Mistaken, Package, Rendered
from fairlead.words import Where


def render(package: Package, values: Sequence[Layer], context: Context, answers: Answers) -> Rendered:  # noqa: ARG001  a renderer's shape
    """Return the stages of a Timoni module. Raises Mistaken: for what CUE finds wrong, for what takes too long, and where CUE is not installed."""
    question = timoni.prepare(package, values, context)
    try:
        answer = cue.evaluate(question)
    except cue.NoCue as error:
        raise Mistaken(
            Mistake(
                f"Timoni modules need CUE: {error}", Where(package.where), hint="pip install 'fairlead[cue]'"
            )
        ) from error
    except cue.CueFailed as error:
        raise Mistaken(Mistake(str(error), Where(package.where))) from error
    return timoni.finish(package, values, answer)
