"""Images in Kyverno's CEL: references taken apart, the images of an object, and what a registry says of one.

Source: kyverno/sdk cel/libs/image (which reads references as go-containerregistry does), kyverno/kyverno pkg/cel/compiler/images.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.tongues import cel
from fairlead.tongues.cel import types
from fairlead.words import Need, Ref

_DEFAULT_REGISTRY = "index.docker.io"
_REPOSITORY = re.compile(r"[a-z0-9_\-./]{2,255}")
_TAG = re.compile(r"[A-Za-z0-9_\-.]{1,128}")
_REGISTRY = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]+)?|\[[0-9a-fA-F:]+\](:[0-9]+)?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TEMPLATE = ("spec", "template", "spec")
_POD_SPECS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): ("spec",),
    ("batch", "jobs"): _TEMPLATE,
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template", "spec"),
    **{
        ("apps", plural): _TEMPLATE for plural in ("deployments", "statefulsets", "daemonsets", "replicasets")
    },
}
_LISTS = ("containers", "initContainers", "ephemeralContainers")


class Picture:
    """An image reference, taken apart. `explicit` is the tag and digest as written, with their separators."""

    __slots__ = ("digest", "explicit", "registry", "repository", "tag", "text")
    cel_type = types.opaque("kyverno.Image")

    def __init__(
        self, text: str, registry: str, repository: str, tag: str, digest: str, explicit: str
    ) -> None:
        self.text = text
        self.registry = registry
        self.repository = repository
        self.tag = tag
        self.digest = digest
        self.explicit = explicit

    @property
    def identifier(self) -> str:
        """The digest, or the tag."""
        return self.digest or self.tag

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Picture) and (
            (self.registry, self.repository, self.identifier)
            == (other.registry, other.repository, other.identifier)
        )

    def __hash__(self) -> int:
        return hash((self.registry, self.repository, self.identifier))

    def to_json(self) -> str:
        """Return the reference as it was written."""
        return self.text


@lru_cache(maxsize=4096)
def read(text: str) -> Picture:
    """Take a reference apart. Raises cel.Failed with the original's text."""
    base, at, digest = text.partition("@")
    if at:
        if not _DIGEST.fullmatch(digest):
            raise cel.Failed(f"could not parse reference: {text}")
        named, explicit = base, f"@{digest}"
        last = base.rpartition("/")[2]
        tag = ""
        if ":" in last:
            named, _, tag = base.rpartition(":")
            explicit = f":{tag}@{digest}"
        tag = ""
    else:
        named, tag, explicit = base, "latest", ":latest"
        if ":" in base.rpartition("/")[2]:
            named, _, tag = base.rpartition(":")
            explicit = f":{tag}"
            if not _TAG.fullmatch(tag):
                raise cel.Failed(f"could not parse reference: {text}")
    first, slash, rest = named.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first, rest
    else:
        registry, repository = _DEFAULT_REGISTRY, named
    if registry == "docker.io":
        registry = _DEFAULT_REGISTRY
    if not _REPOSITORY.fullmatch(repository) or not _REGISTRY.fullmatch(registry):
        raise cel.Failed(f"could not parse reference: {text}")
    if registry == _DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    return Picture(text, registry, repository, tag, digest, explicit)


def _is_image(text: str) -> bool:
    try:
        read(text)
    except cel.Failed:
        return False
    return True


class Pictures:
    """The variables `image` (`image.GetMetadata`) and `images`, for one subject."""

    __slots__ = ("_around", "_subject")
    cel_type = types.opaque("kyverno.image.Context")

    def __init__(self, subject: Subject, around: Surroundings) -> None:
        self._subject = subject
        self._around = around

    def metadata(self, image: str) -> Any:
        """Return what a registry says of an image: manifest, config and the rest."""
        try:
            found = self._around.ask(Need("image.data", Ref("", "", "", image)))
        except Lacking:
            raise
        except Exception as error:  # noqa: BLE001  the answer to a Need may be any error
            raise cel.Failed(f"failed to get image data: {error}") from None
        if isinstance(found, Mapping) and "config" not in found and "configData" in found:
            return {**found, "config": found["configData"]}
        return found

    def images(self) -> dict[str, list[str]]:
        """Return the images of a pod, or of what creates pods, by the list that they are in."""
        target = self._subject.target
        path = _POD_SPECS.get((target.group, target.plural))
        if path is None:
            return {}
        spec: Any = self._subject.present
        for step in path:
            spec = spec.get(step) if isinstance(spec, Mapping) else None
        spec = spec if isinstance(spec, Mapping) else {}
        found: dict[str, list[str]] = {
            name: [one["image"] for one in _mappings(spec.get(name)) if isinstance(one.get("image"), str)]
            for name in _LISTS
        }
        volumes = (one.get("image") for one in _mappings(spec.get("volumes")))
        found["imageVolumes"] = [
            one["reference"]
            for one in volumes
            if isinstance(one, Mapping) and isinstance(one.get("reference"), str)
        ]
        return found


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


_P = "kyverno.Image"
IMAGES = cel.Library(
    "kyverno.image",
    functions={
        f"image(string) {_P}": read,
        f"parseImageReference(string) {_P}": read,
        "isImage(string) bool": _is_image,
        f".containsDigest({_P}) bool": lambda me: bool(me.digest),
        f".registry({_P}) string": lambda me: me.registry,
        f".repository({_P}) string": lambda me: me.repository,
        f".identifier({_P}) string": lambda me: me.identifier,
        f".identifierWithSeparator({_P}) string": lambda me: me.explicit,
        f".tag({_P}) string": lambda me: me.tag,
        f".digest({_P}) string": lambda me: me.digest,
        ".GetMetadata(kyverno.image.Context, string) dyn": Pictures.metadata,
        ".Get(kyverno.image.Context, string) dyn": Pictures.metadata,
    },
)
