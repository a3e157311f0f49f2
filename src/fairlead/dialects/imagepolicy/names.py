"""Names of images as policy-controller compares them: in full, with Docker Hub spelt out, and by its own globs.

Sources: google/go-containerregistry pkg/name (weak validation), sigstore/policy-controller pkg/apis/glob.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from fairlead.tongues import regexes

_HUB: Final = "index.docker.io"
_GLOB: Final = re.compile(r"[a-zA-Z0-9\-_:/*.@]+\Z")
_REPOSITORY: Final = re.compile(r"[a-z0-9_\-./]{2,255}\Z")
_REGISTRY: Final = re.compile(r"(?:[A-Za-z0-9.\-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\Z")
_TAG: Final = re.compile(r"[A-Za-z0-9_\-.]{1,128}\Z")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")


class BadName(ValueError):
    """The text names no image, or is no glob that is understood."""


@lru_cache(maxsize=4096)
def whole(image: str) -> str:
    """Return an image's whole name: `index.docker.io/library/nginx:latest`; with a digest, without its tag. Raises BadName."""
    base, at, digest = image.partition("@")
    if at and not _DIGEST.match(digest):
        raise BadName(f"could not parse reference: {image}")
    named, tag = base, ""
    last = base.rpartition("/")[2]
    if ":" in last:
        named, _, tag = base.rpartition(":")
        if not _TAG.match(tag):
            raise BadName(f"could not parse reference: {image}")
    first, slash, rest = named.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first, rest
    else:
        registry, repository = _HUB, named
    if registry in {"docker.io", _HUB}:
        registry = _HUB
        repository = repository if "/" in repository else f"library/{repository}"
    if not named or not _REGISTRY.match(registry) or not _REPOSITORY.match(repository):
        raise BadName(f"could not parse reference: {image}")
    return f"{registry}/{repository}@{digest}" if at else f"{registry}/{repository}:{tag or 'latest'}"


def digested(image: str) -> bool:
    """Return whether a name has a digest."""
    return "@" in image


@lru_cache(maxsize=1024)
def glob(text: str) -> Callable[[str], bool]:
    """Return what tells whether a whole name fits a glob: `*` stands for anything but a slash, `**` for anything. Raises BadName."""
    if not _GLOB.match(text):
        raise BadName(f'glob is invalid: invalid glob "{text}"')
    text = {"*": f"{_HUB}/library/*", "*/*": f"{_HUB}/*/*"}.get(text, text)
    parts = [
        ".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part)
        for part in re.split(r"(\*\*|\*)", text)
    ]
    fits = regexes.compile(f"^(?:{''.join(parts)})$")
    return lambda name: fits.search(name) is not None
