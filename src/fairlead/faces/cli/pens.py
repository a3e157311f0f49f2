"""How to write for people: in colour or not, on lines that fit, with nothing in them that a terminal would obey.

Knows no finding; light to load, since every command that prints needs it.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from fairlead.diagnose.hiding import visible


@dataclass(frozen=True, slots=True)
class Pen:
    """How to write: in colour or not, and how many columns there are."""

    colour: bool = False
    width: int = 100

    def paint(self, text: str, code: str) -> str:
        """Return the text in a colour (an SGR code), if colours are wanted; what a terminal would obey is taken out of it."""
        text = visible(text)
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text and code else text

    def wrap(self, text: str, indent: str, code: str = "", *, hang: str | None = None) -> list[str]:
        """Return the text as lines that fit, each indented; `hang` indents those after the first."""
        lines = textwrap.wrap(
            visible(text),
            max(40, self.width),
            initial_indent=indent,
            subsequent_indent=indent if hang is None else hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return [self.paint(line, code) for line in lines]
