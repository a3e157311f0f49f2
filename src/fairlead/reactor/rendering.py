"""Rendering any package: who renders which sort, and the loop that answers what a renderer lacks until it is done.

Holds no rules of rendering. What is rendered is foreign: it runs in a worker without rights (`worker=False` is for tests, and for what
the user wrote a moment ago and nobody else has touched). Renderers are imported when one of their sort is rendered, since a command
line that prints ten objects has no time for all of them.
"""

from __future__ import annotations

import importlib
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fairlead.render.packages import (
    Answers,
    Context,
    Lacking,
    Layer,
    Mistake,
    Mistaken,
    Package,
    Rendered,
    Sort,
)
from fairlead.words import Need, Where

RENDERERS: Final[Mapping[Sort, tuple[str, str]]] = {
    "module": ("fairlead.reactor.rendering_modules", "render"),
    "timoni": ("fairlead.reactor.rendering_timoni", "render"),
    "chart": ("fairlead.dialects.helm", "render"),
    "kustomization": ("fairlead.dialects.kustomize", "render"),
    "manifests": ("fairlead.reactor.rendering_manifests", "render"),
}
"""Who renders a package of each sort: a module, and the name of a function `(package, values, context, answers) -> Rendered`."""

CONFINED: Final = frozenset({"timoni"})
"""Sorts whose renderer has a process without rights of its own; in a worker it could not start that."""

MOST_ROUNDS: Final = 20
"""How often a rendering may be begun again because it lacks something more."""

Render: TypeAlias = Callable[[Package, Sequence[Layer], Context, Answers], Rendered]
Fetch: TypeAlias = Callable[[Sequence[Need]], Mapping[Need, Any]]
"""Answers Needs: an object or None, a list of objects, or the files of a package by path. What it leaves out is answered as absent."""

KUSTOMIZATIONS: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
MANIFESTS: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Source:
    """A package that was loaded: its sort and files, and where it came from: `where` as the user wrote it.

    `digest` is that of the artifact for what came from a registry (`sha256:...`), and "" for files.
    """

    sort: Sort
    package: Package
    where: str
    digest: str = ""


def sort_of(files: Mapping[str, bytes], target: str = "") -> Sort | None:
    """Return what the files below `target` are written in, by the file that describes a package; None: nothing that can be rendered."""
    at = f"{target}/" if target else ""
    if f"{at}module.yaml" in files and (f"{at}module.star" in files or f"{at}library.star" in files):
        return "module"
    if f"{at}timoni.cue" in files:
        return "timoni"
    if f"{at}Chart.yaml" in files:
        return "chart"
    if any(f"{at}{name}" in files for name in KUSTOMIZATIONS):
        return "kustomization"
    if any(path.startswith(at) and path.endswith(MANIFESTS) for path in files):
        return "manifests"
    return None


def renderer(sort: Sort) -> Render:
    """Return who renders packages of this sort. Raises Mistaken where this installation cannot."""
    module, name = RENDERERS[sort]
    try:
        found: Render = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise Mistaken(
            Mistake(
                f"packages of the sort {sort} cannot be rendered here: {error}", hint=_LACKING.get(sort, "")
            )
        ) from error
    return found


_LACKING: Final[Mapping[str, str]] = {"timoni": "install the extra: pip install 'fairlead[cue]'"}


def render_source(
    source: Source,
    layers: Sequence[Layer],
    context: Context,
    *,
    fetch: Fetch | None = None,
    worker: bool = True,
) -> Rendered:
    """Render a source with these values; what it lacks is asked of `fetch`, and without one answered as absent.

    Raises Mistaken: for what the package or its values have wrong, and for what a renderer needs and nobody can fetch.
    """
    answers: dict[Need, Any] = {}
    for _ in range(MOST_ROUNDS):
        try:
            return attempt(source, layers, context, answers, worker=worker)
        except Lacking as lacking:
            needs = _new(source, lacking.needs, answers)
            _take(answers, needs, fetch(needs) if fetch is not None else {})
    raise _endless(source)


async def render_source_async(
    source: Source,
    layers: Sequence[Layer],
    context: Context,
    *,
    fetch: Callable[[Sequence[Need]], Awaitable[Mapping[Need, Any]]] | None = None,
    worker: bool = True,
) -> Rendered:
    """Do what `render_source` does, for loops: the rendering happens in a thread, and `fetch` is awaited."""
    import asyncio

    answers: dict[Need, Any] = {}
    for _ in range(MOST_ROUNDS):
        try:
            return await asyncio.to_thread(attempt, source, layers, context, dict(answers), worker=worker)
        except Lacking as lacking:
            needs = _new(source, lacking.needs, answers)
            _take(answers, needs, await fetch(needs) if fetch is not None else {})
    raise _endless(source)


def attempt(
    source: Source,
    layers: Sequence[Layer],
    context: Context,
    answers: Answers,
    *,
    worker: bool = True,
) -> Rendered:
    """Render once with what is known. Raises Mistaken, and Lacking for what is still missing.

    A renderer that evaluates what is foreign in a process of its own needs no worker around it.
    """
    if not worker or source.sort in CONFINED:
        return renderer(source.sort)(source.package, layers, context, answers)
    from fairlead.reactor import rendering_worker

    return rendering_worker.ask(source, layers, context, answers)


def _new(source: Source, needs: Sequence[Need], answers: Answers) -> list[Need]:
    """Return the needs that are not answered yet; asking again for what was answered would never end."""
    found = [need for need in dict.fromkeys(needs) if need not in answers]
    if not found:
        raise _endless(source)
    return found


def _take(answers: dict[Need, Any], needs: Sequence[Need], fetched: Mapping[Need, Any]) -> None:
    """Add what was fetched. Objects that nobody fetched are absent; files that nobody fetched cannot be done without.

    Randomness and the moment are answered here: templates may make passwords and dates, and have no dice and no clock themselves.
    """
    missing = []
    for need in needs:
        if need in fetched:
            answers[need] = fetched[need]
        elif need.what == "cluster.object":
            answers[need] = None
        elif need.what == "cluster.list":
            answers[need] = []
        elif need.what == "render.seed":
            answers[need] = secrets.token_hex(32)
        elif need.what == "render.moment":
            answers[need] = time.time()
        else:
            missing.append(
                Mistake(
                    f"{need.about.name} is needed and not here",
                    hint="fetch it into the package first (fairlead mod vendor, helm dependency build), or allow it with --allow-fetch",
                )
            )
    if missing:
        raise Mistaken(*missing)


def _endless(source: Source) -> Mistaken:
    return Mistaken(
        Mistake(
            f"the package asks the cluster more than {MOST_ROUNDS} times, one question after another",
            Where(source.where),
        )
    )
