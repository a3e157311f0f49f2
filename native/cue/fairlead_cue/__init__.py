"""The program that evaluates CUE for fairlead: where it is. How it is asked is fairlead's matter (fairlead.drivers.cue)."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"


def program() -> str:
    """Return the path of the program. Raises FileNotFoundError where the package was installed without one."""
    found = Path(__file__).with_name("fairlead-cue")
    if not found.is_file():
        raise FileNotFoundError(str(found))
    return str(found)
