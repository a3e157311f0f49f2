"""What a native module says of itself, found out where its code can do no harm: the description of its values, and a linter's advice.

Describing a module evaluates it. So `answer` runs in a worker, as a rendering does, and `describe` asks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from fairlead.drivers import rendering
from fairlead.reactor import rendering_wire as wire
from fairlead.reactor.rendering import Source
from fairlead.render.formatting import BadCode, formatted
from fairlead.render.packages import Context, Lacking, Mistake, Mistaken, Rendered
from fairlead.words import Where

_WARM = ("fairlead.reactor.rendering_modules",)


@dataclass(frozen=True, slots=True)
class Description:
    """The values as the tree that `render.values.type_of` reads, and notes of a linter: each with its place and line."""

    tree: Any
    notes: tuple[Mistake, ...] = ()


def describe(source: Source) -> Description:
    """Return what a module says of itself. Raises Mistaken: for what is wrong with its code, and for dependencies that are not here."""
    question = wire.request(source.sort, source.package, (), Context("app"), {})
    try:
        found = wire.heard(rendering.run(f"{__name__}:answer", question, warm=_WARM)).values
    except Lacking as lacking:
        raise Mistaken(
            *(
                Mistake(
                    f"the dependency {need.about.name} is not here",
                    Where("module.yaml"),
                    hint="fairlead mod vendor",
                )
                for need in lacking.needs
            )
        ) from lacking
    except wire.BadAnswer as error:
        raise Mistaken(Mistake(f"the module cannot be read: {error}", Where(source.where))) from error
    except rendering.WorkerFailed as error:
        raise Mistaken(Mistake(f"the module cannot be read: {error}", Where(source.where))) from error
    notes = found.get("notes")
    return Description(
        found.get("tree"),
        tuple(wire.shaped(Mistake, one) for one in notes) if isinstance(notes, list) else (),
    )


def answer(question: bytes) -> bytes:
    """Describe the module of a question. Never raises: what goes wrong inside is part of the answer."""
    try:
        _, package, _, _, answers = wire.asked(question)
        try:
            from fairlead.reactor.rendering_modules import described

            tree = described(package, answers).values
            notes = _notes(package.files, f"{package.target}/" if package.target else "")
            return wire.said(Rendered(sort="module", values={"tree": tree, "notes": notes}))
        except (Mistaken, Lacking) as outcome:
            return wire.said(outcome)
    except RecursionError:
        return wire.said("it nests too deeply")
    except MemoryError:
        return wire.said("it needs more memory than it may have")
    except Exception as error:  # noqa: BLE001  a fault of ours must be told, by its name
        return wire.said(f"{type(error).__name__}: {error}")


_SPARED = frozenset({"unused-argument", "missing-return", "misplaced-load", "no-effect"})
"""What the linter says of code that is right."""


def _notes(files: Any, at: str) -> list[Mistake]:
    from fairlead.tongues import starlark

    notes = []
    for path, body in sorted(files.items()):
        inner = path.removeprefix(at)
        if not inner.endswith(".star") or inner.startswith("vendor/"):
            continue
        text = body.decode("utf-8", "replace")
        lines = text.splitlines()
        try:
            advice = starlark.advice(path, text)
        except starlark.Failed as failed:
            excerpt = lines[failed.line - 1] if 0 < failed.line <= len(lines) else ""
            raise Mistaken(
                Mistake(failed.message, Where(path, failed.line), failed.column, excerpt)
            ) from failed
        for one in advice:
            if one.rule not in _SPARED:
                excerpt = lines[one.line - 1] if 0 < one.line <= len(lines) else ""
                notes.append(
                    Mistake(one.message.replace("`", '"'), Where(path, one.line), one.column, excerpt)
                )
    return notes


def format_texts(texts: dict[str, str]) -> dict[str, str | BadCode]:
    """Return how each text is written, by file, or what is wrong with it. The parser is foreign code's first chance, so it runs in a worker.

    Raises Mistaken where that ends.
    """
    try:
        data = rendering.run(
            f"{__name__}:format_answer", orjson.dumps(texts), warm=("fairlead.render.formatting",)
        )
    except rendering.WorkerFailed as error:
        raise Mistaken(Mistake(f"the code cannot be read: {error}", Where(", ".join(texts)[:200]))) from error
    found: dict[str, str | BadCode] = {}
    for name, one in orjson.loads(data).items():
        found[name] = one if isinstance(one, str) else BadCode(str(one[0]), int(one[1]), int(one[2]))
    return found


def format_answer(question: bytes) -> bytes:
    """Format the texts of a question."""
    made: dict[str, Any] = {}
    for name, text in orjson.loads(question).items():
        try:
            made[name] = formatted(text, name)
        except BadCode as bad:
            made[name] = [str(bad), bad.line, bad.column]
    return orjson.dumps(made)
