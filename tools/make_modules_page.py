"""Print docs/modules.md with the tables of the prelude as they are now: `python tools/make_modules_page.py > page && mv page docs/modules.md`."""

from __future__ import annotations

import re
from pathlib import Path

from fairlead.render.prelude_reference import tables

PAGE = Path(__file__).resolve().parent.parent / "docs" / "modules.md"
BLOCK = re.compile(r"(<!-- made by tools/make_modules_page.py -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Print the page."""
    print(BLOCK.sub(lambda found: f"{found[1]}\n{tables()}\n{found[2]}", PAGE.read_text()), end="")


if __name__ == "__main__":
    main()
