"""The messages of containerd's own services (content, images, leases, events) that this driver uses. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

WRITE, COMMIT = 1, 2  # WriteAction


@dataclass(slots=True)
class WriteContent:
    """WriteContentRequest: a piece of a blob, or the word that it is complete."""

    action: Annotated[int, 1] = WRITE
    ref: Annotated[str, 2] = ""
    total: Annotated[int, 3] = 0
    expected: Annotated[str, 4] = ""
    offset: Annotated[int, 5] = 0
    data: Annotated[bytes, 6] = b""
    labels: Annotated[dict[str, str], 7] = field(default_factory=dict)


@dataclass(slots=True)
class WriteContentResponse:
    """How far the blob has got."""

    action: Annotated[int, 1] = 0
    offset: Annotated[int, 4] = 0
    digest: Annotated[str, 6] = ""


@dataclass(slots=True)
class Descriptor:
    """What a name points to."""

    media_type: Annotated[str, 1] = ""
    digest: Annotated[str, 2] = ""
    size: Annotated[int, 3] = 0


@dataclass(slots=True)
class ImageRecord:
    """A name and what it points to."""

    name: Annotated[str, 1] = ""
    labels: Annotated[dict[str, str], 2] = field(default_factory=dict)
    target: Annotated[Descriptor | None, 3] = None


@dataclass(slots=True)
class ImageEnvelope:
    """CreateImageRequest, UpdateImageRequest and their responses."""

    image: Annotated[ImageRecord | None, 1] = None


@dataclass(slots=True)
class CreateLease:
    """A lease keeps new content from being collected until a name points to it."""

    id: Annotated[str, 1] = ""
    labels: Annotated[dict[str, str], 3] = field(default_factory=dict)


@dataclass(slots=True)
class DeleteLease:
    """The end of a lease."""

    id: Annotated[str, 1] = ""
    sync: Annotated[bool, 2] = False


@dataclass(slots=True)
class Subscribe:
    """A wish to hear of events, by filter."""

    filters: Annotated[tuple[str, ...], 1] = ()


@dataclass(slots=True)
class Envelope:
    """One event of containerd; the payload is of no interest here."""

    namespace: Annotated[str, 2] = ""
    topic: Annotated[str, 3] = ""
