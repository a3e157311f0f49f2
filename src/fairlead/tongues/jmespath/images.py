"""Image references taken apart: registry, path, name, tag and digest. Nothing is fetched.

Source: kyverno/kyverno pkg/utils/image, distribution/reference grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*"
_REFERENCE = re.compile(
    rf"(?:(?P<domain>(?:{_DOMAIN}|\[[a-fA-F0-9:]+\])(?::[0-9]+)?)/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Image:
    """The parts of a reference. `path` is the repository within the registry, `name` its last part."""

    registry: str
    path: str
    name: str
    tag: str
    digest: str

    @property
    def reference(self) -> str:
        """The whole reference, with the digest rather than the tag where both are there."""
        if self.digest:
            return f"{self.registry}/{self.path}@{self.digest}"
        return f"{self.registry}/{self.path}:{self.tag}"

    @property
    def with_tag(self) -> str:
        """The reference by its tag."""
        return f"{self.registry}/{self.path}:{self.tag}"

    def fields(self) -> dict[str, Any]:
        """Return what Kyverno's variable `images` holds of an image, without its place."""
        found = {
            "registry": self.registry,
            "name": self.name,
            "path": self.path,
            "tag": self.tag,
            "digest": self.digest,
        }
        return {key: text for key, text in found.items() if text or key in {"name", "path"}} | {
            "reference": self.reference,
            "referenceWithTag": self.with_tag,
        }


@lru_cache(maxsize=8192)
def read(text: str, registry: str = "docker.io") -> Image:
    """Return the parts of an image reference; without a registry it is the given one's, without tag and digest `latest`.

    Raises ValueError with Kyverno's text.
    """
    whole = text
    first, slash, _ = text.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        whole = f"{registry}/{text}"
    found = _REFERENCE.fullmatch(whole) if len(whole) <= _LONGEST else None
    if found is None or found["domain"] is None:
        raise ValueError(
            f"bad image: {text}, defaultRegistry: {registry}, enableDefaultRegistryMutation: true"
        )
    path = found["path"]
    tag, digest = found["tag"] or "", found["digest"] or ""
    if not tag and not digest:
        tag = "latest"
    return Image(found["domain"], path, path.rpartition("/")[2], tag, digest)
