"""Places inside an object, and how they are written.

A path is a tuple of keys and indexes. It is written `.spec.ports[0].port` for people and `/spec/ports/0/port`
(RFC 6901) in patches. Nothing here changes an object.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*\Z")


def dotted(path: Path) -> str:
    """Return the path for people: `.spec.ports[0].port`, with `['a/b']` for keys that are not plain words."""
    return "".join(written(step) for step in path)


def written(step: str | int) -> str:
    """Return one step of a path as `dotted` writes it; the path of a child is its parent's with this behind it."""
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN.match(step) else f"['{step}']"


_STEP = re.compile(r"\.([A-Za-z_$][A-Za-z0-9_$-]*)|\[(\d+)\]|\['([^']*)'\]")


def parse(text: str) -> Path | None:
    """Return the path that `dotted` wrote so, or None for a text that it would not write."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            return None
        plain, index, quoted = found.groups()
        steps.append(plain if plain is not None else quoted if quoted is not None else int(index))
        at = found.end()
    return tuple(steps)


def pointer(path: Path) -> str:
    """Return the path as a JSON pointer: `/spec/ports/0/port`."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def find(content: Any, path: Path) -> Any:
    """Return what lies at the path, or None where something on the way is absent or of another type."""
    for step in path:
        if isinstance(content, dict):
            content = content.get(step)
        elif isinstance(content, list) and isinstance(step, int) and -len(content) <= step < len(content):
            content = content[step]
        else:
            return None
    return content


def pointed(content: Any, pointer: str) -> Any:
    """Return what lies at a JSON pointer. Raises KeyError, IndexError, ValueError or TypeError where there is no such place."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        content = content[int(name)] if isinstance(content, list) else content[name]
    return content


# The ways to read below are called for every field of every object: each goes down by itself where all steps are keys.


def mapping(content: Any, *path: str | int) -> dict[str, Any]:
    """Return the mapping at the path, or an empty one: foreign objects may hold anything anywhere."""
    for step in path:
        content = content.get(step) if isinstance(content, dict) else find(content, (step,))
    return content if isinstance(content, dict) else {}


def mappings(content: Any, *path: str | int) -> list[tuple[int, dict[str, Any]]]:
    """Return the mappings in the list at the path, each with its index."""
    for step in path:
        content = content.get(step) if isinstance(content, dict) else find(content, (step,))
    if not isinstance(content, list):
        return []
    return [(index, item) for index, item in enumerate(content) if isinstance(item, dict)]


def text(content: Any, *path: str | int) -> str:
    """Return the string at the path, or ""."""
    for step in path:
        content = content.get(step) if isinstance(content, dict) else find(content, (step,))
    return content if isinstance(content, str) else ""


def strings(content: Any, *path: str | int) -> dict[str, str]:
    """Return the entries of the mapping at the path whose values are text: labels, selectors, annotations."""
    return {key: value for key, value in mapping(content, *path).items() if isinstance(value, str)}


def words(content: Any, *path: str | int) -> list[str]:
    """Return the texts in the list at the path."""
    found = find(content, path)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def whole(content: Any, *path: str | int, default: int = 0) -> int:
    """Return the whole number at the path, or the default."""
    found = find(content, path)
    return found if isinstance(found, int) and not isinstance(found, bool) else default
