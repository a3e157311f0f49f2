"""Time zones by name, all of them read when this is imported: where templates run there may be no files left to read them from.

Imported only once a template names a zone. Must never be asked for a zone that is not in the table and then look further.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones


def _read() -> dict[str, tzinfo]:
    found: dict[str, tzinfo] = {}
    for name in available_timezones():
        try:
            found[name] = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return found


ZONES: Final[Mapping[str, tzinfo]] = _read()
"""Every zone that there is."""
