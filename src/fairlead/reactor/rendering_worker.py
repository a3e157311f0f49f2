"""What a rendering's worker runs, and how it is asked: bytes in, bytes out.

`answer` runs in the worker: it gets everything with the question, and has no files, no network and no identity. `ask` runs in front of it.
Whatever a worker does (ends, hangs, grows, lies) becomes `Mistaken`: the package is to blame, and nothing else is hurt.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import orjson

from fairlead.drivers import rendering
from fairlead.reactor import rendering_wire as wire
from fairlead.reactor.rendering import RENDERERS, Source, renderer
from fairlead.render.packages import Answers, Context, Lacking, Layer, Mistake, Mistaken, Rendered
from fairlead.words import Where

FRAMES: Final = 6000
"""How deep calls may be nested while a chart is rendered: its templates include each other, and each takes about ten."""


def answer(question: bytes) -> bytes:
    """Render what the question says and return the answer. Never raises: what goes wrong inside is part of the answer."""
    try:
        sort, package, layers, context, answers = wire.asked(question)
        if sort == "chart":
            sys.setrecursionlimit(FRAMES)
        try:
            return wire.said(renderer(sort)(package, layers, context, answers))
        except (Mistaken, Lacking) as outcome:
            return wire.said(outcome)
    except RecursionError:
        return wire.said("it nests too deeply")
    except MemoryError:
        return wire.said("it needs more memory than a rendering may have")
    except orjson.JSONEncodeError as error:
        return wire.said(f"it makes something that is no JSON: {error}")
    except Exception as error:  # noqa: BLE001  a renderer's own fault must be told, by its name
        return wire.said(f"{type(error).__name__}: {error}")


def ask(source: Source, layers: Sequence[Layer], context: Context, answers: Answers) -> Rendered:
    """Have a worker render the source. Raises Mistaken (also for a worker that ends or takes too long) and Lacking."""
    renderer(source.sort)  # who cannot be imported is told here, with what to install
    question = wire.request(source.sort, source.package, layers, context, answers)
    try:
        return wire.heard(rendering.run(f"{__name__}:answer", question, warm=_warm(source)))
    except wire.BadAnswer as error:
        raise Mistaken(Mistake(f"the rendering failed: {error}", Where(source.where))) from error
    except rendering.WorkerFailed as error:
        said = f"the package cannot be rendered: {error}"
        raise Mistaken(Mistake(said, Where(source.where), hint=_HINTS.get(error.reason, ""))) from error


_HINTS: Final = {
    "time": "is there a loop that does not end, or takes forever?",
    "memory": "does it build something without end, or double it again and again?",
    "depth": "does something contain itself, or call itself without end?",
}


def _warm(source: Source) -> tuple[str, ...]:
    """Return what has to be imported before the worker gives up its files."""
    renderer_module, _ = RENDERERS[source.sort]
    if source.sort == "module" and any(
        b"health(" in body for path, body in source.package.files.items() if path.endswith(".star")
    ):
        return renderer_module, "fairlead.tongues.cel"
    return (renderer_module,)
