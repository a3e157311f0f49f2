"""Kubernetes manifests: text in, objects with the line of each of their fields out; changed objects back into the same text.

`reading` takes any text, however hostile; `amending` changes a text and keeps what people wrote around it.
"""

from fairlead.dialects.manifests.amending import Unamendable, amend
from fairlead.dialects.manifests.reading import (
    LONGEST,
    READS,
    WRITES,
    Document,
    about_file,
    doubles,
    parse,
    read,
    write,
)
from fairlead.tongues.yamls import DEEPEST, LARGEST, scalar

__all__ = [
    "DEEPEST",
    "LARGEST",
    "LONGEST",
    "READS",
    "WRITES",
    "Document",
    "Unamendable",
    "about_file",
    "amend",
    "doubles",
    "parse",
    "read",
    "scalar",
    "write",
]
