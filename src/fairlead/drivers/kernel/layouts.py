"""Where the fields of a tracepoint lie in its record, as tracefs tells it, in the form of the map `layouts`. Reads; decides nothing.

Arguments of such a hook are the fields after the four that every tracepoint has, in the order of the format file
(Documentation/trace/events.rst).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from fairlead.drivers.kernel.encoding import FIELD
from fairlead.drivers.kernel.libbpf import Refused
from fairlead.drivers.kernel.probing import mounted
from fairlead.sense.plans import Arg

FIELDS: Final = 6
_COMMON: Final = 4
_SIGNED, _DATA_LOC = 1, 2
_LINE: Final = re.compile(
    r"\s+field:(?P<type>.*?);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);\s*signed:(?P<signed>\d);"
)


class Field(NamedTuple):
    """A field of a tracepoint's record: its declaration in C, and where it is, in bytes."""

    declaration: str
    offset: int
    size: int
    signed: bool

    @property
    def name(self) -> str:
        """Its name."""
        return re.sub(r"\[.*\]$", "", self.declaration.split()[-1]).lstrip("*")

    @property
    def is_located(self) -> bool:
        """Whether it tells where a text is, and is none itself."""
        return self.declaration.startswith("__data_loc ")


def fields(category: str, name: str) -> list[Field]:
    """Return the fields of a tracepoint, without the common ones.

    Raises:
        Refused: tracefs does not tell.

    """
    place = Path(mounted("tracefs") or "/sys/kernel/tracing", "events", category, name, "format")
    try:
        text = place.read_text()
    except OSError as error:
        raise Refused(f"the format of {category}/{name} is not told: {error.strerror}") from None
    found = [
        Field(one["type"], int(one["offset"]), int(one["size"]), one["signed"] == "1")
        for one in _LINE.finditer(text)
    ]
    return [one for one in found if not one.name.startswith("common_")]


def layout(category: str, name: str, args: Sequence[Arg]) -> bytes:
    """Return the fl_layout of a tracepoint's first six fields, as a hook's arguments read them.

    Raises:
        Refused: an argument is read as what its field is not.

    """
    packed = []
    known = fields(category, name)
    for at in range(FIELDS):
        how = args[at] if at < len(args) else Arg.NONE
        if how is Arg.NONE or at >= len(known):
            packed.append(FIELD.pack(0, 0, 0))
            continue
        one = known[at]
        flags = (_SIGNED if one.signed else 0) | (_DATA_LOC if one.is_located else 0)
        if not one.is_located and how is Arg.INT and one.size not in {1, 2, 4, 8}:
            raise Refused(f"the field {one.name} of {category}/{name} is no number")
        packed.append(FIELD.pack(one.offset, min(one.size, 255), flags))
    return b"".join(packed)


def raw_layout(args: Sequence[Arg]) -> bytes:
    """Return the fl_layout of a raw tracepoint: its arguments, eight bytes each, as far as the hook reads them."""
    wanted = [at < len(args) and args[at] is not Arg.NONE for at in range(FIELDS)]
    return b"".join(FIELD.pack(8 * at, 8 if one else 0, 0) for at, one in enumerate(wanted))
