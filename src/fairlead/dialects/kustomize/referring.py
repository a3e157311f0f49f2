"""What a kustomization refers to, without building it: for whoever loads a tree, and for whoever wants to know which files are parts.

Reads leniently: what is wrong is told when the tree is built. Source: sigs.k8s.io/kustomize/api/types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.dialects.kustomize.roots import NAMES, clean, is_address
from fairlead.dialects.kustomize.scalars import settings_scalar
from fairlead.tongues import yamls

_LISTS = (
    "resources",
    "bases",
    "components",
    "configurations",
    "crds",
    "generators",
    "transformers",
    "validators",
)
_FOLDERS = frozenset({"resources", "bases", "components", "generators", "transformers", "validators"})
_PATCHES = ("patches", "patchesJson6902", "replacements")


def document(body: bytes) -> dict[str, Any]:
    """Return what a kustomization says, or nothing where it cannot be read."""
    try:
        found = yamls.load_all(body.decode(), settings_scalar, repeats=True)
    except (yamls.BadYaml, UnicodeDecodeError):
        return {}
    return found[0] if found and isinstance(found[0], dict) else {}


def names(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the field and the path of everything that a kustomization refers to, addresses left out."""
    for key, path in _all(said):
        if "\n" not in path and path and not is_address(path):
            yield key, path


def _all(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in (*_LISTS, "patchesStrategicMerge"):
        for one in _texts(said.get(key)):
            yield key, one
    for key in _PATCHES:
        for entry in _mappings(said.get(key)):
            if isinstance(entry.get("path"), str):
                yield key, entry["path"]
    for key in ("configMapGenerator", "secretGenerator"):
        for entry in _mappings(said.get(key)):
            for one in _texts(entry.get("files")):
                yield key, one.partition("=")[2] or one
            yield from ((key, one) for one in (*_texts(entry.get("envs")), *_texts([entry.get("env")])))
    openapi = said.get("openapi")
    if isinstance(openapi, dict) and isinstance(openapi.get("path"), str):
        yield "openapi", openapi["path"]


def folders(said: Mapping[str, Any]) -> set[str]:
    """Return the paths that may be directories with a kustomization of their own."""
    return {path for key, path in names(said) if key in _FOLDERS}


def missing(files: Mapping[str, bytes], target: str) -> set[str]:
    """Return the paths that the tree at a directory refers to and that are not among the files: each a file or a directory.

    Of a directory its kustomization is needed first; asked again with it, this says what else is. Paths are those of the files.
    """
    needed: set[str] = set()
    waiting, seen = [clean(target)], set()
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        body = next((files[path] for name in NAMES if (path := clean(f"{at}/{name}")) in files), None)
        if body is None:
            needed.add(at)
            continue
        for key, path in names(document(body)):
            place = clean(f"{at}/{path}")
            if place in files:
                continue
            if key in _FOLDERS:
                waiting.append(place)
            elif not at or place.startswith(f"{at}/"):
                needed.add(place)  # files are loaded from below their kustomization only
    return needed


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
