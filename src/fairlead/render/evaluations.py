"""What is asked of an evaluator of CUE, and what it answers: files in, JSON and places of mistakes out.

Dialects that are written in CUE make the questions and read the answers; a driver carries them. Neither knows the other: both know these
words. Must never say how or where CUE is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Overlay:
    """A file that is no part of a package, but laid over one: its bytes, what messages call it, and how to read it by its suffix.

    `name` ends with `.cue`, `.yaml`, `.yml` or `.json`; `called` is what the user wrote. With `holes` a null in a list stands for the element
    below it, and a shorter list leaves the rest, as an option that sets `a[2]` means it.
    """

    name: str
    data: bytes
    called: str = ""
    holes: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """Replaces `file` by one whose field `path` is its own with those of the overlays laid over it, later ones last.

    Structs are merged field by field, lists of one length element by element; of anything else the later one stays.
    """

    file: str
    path: str
    package: str
    overlays: tuple[Overlay, ...]


@dataclass(frozen=True, slots=True)
class Inject:
    """Gives each field with an attribute `@attribute(kind:TYPE:NAME)` the value of that name, where there is one."""

    attribute: str
    kind: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Seek:
    """What is wanted of the result: the value at `path` as JSON, which has to be concrete.

    `optional`: absent or not concrete is no mistake. `check`: only validate it. `partial`: what is concrete of it. `fields`: its fields and
    what is said of them, as Rows.
    """

    path: str
    optional: bool = False
    check: bool = False
    partial: bool = False
    fields: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A question. `files` are those of a CUE module by relative path; `package` is what is built, from the root or from `entry`.

    `entry` names files to build instead of a package (`package` is then `_`): CUE, YAML or JSON. `tags` are for `@tag(key)`, `variables`
    for `@tag(key, var=name)`. `called` gives files other names in messages. `support` are files that the user did not write,
    and is not told of in Rows.
    """

    files: Mapping[str, bytes]
    package: str = "main"
    entry: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    merge: Merge | None = None
    inject: Inject | None = None
    seek: tuple[Seek, ...] = ()
    called: Mapping[str, str] = field(default_factory=dict)
    support: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file; line and column count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that CUE finds wrong: its words, the path of the value, and the places that led to it, the nearest first."""

    message: str
    path: str = ""
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A field that a module declares: its path, its type as written, the sorts of JSON it may be, its default as JSON text, its comment.

    `hidden` is what the author does not want told (`+nodoc`).
    """

    path: tuple[str, ...]
    type: str
    kinds: tuple[str, ...] = ()
    default: str = ""
    doc: str = ""
    optional: bool = False
    required: bool = False
    hidden: bool = False
    place: Place = Place("", 0, 0)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An answer: the values that were sought and are there, by path, and the rows of those with `fields`. With problems, no values."""

    values: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


SUFFIXES: Final = (".cue", ".yaml", ".yml", ".json")
"""What an evaluator can read."""
