"""Who asks for a write, when and how: the facts about a request that the engine must be given.

Data only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fairlead.words import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call's circumstances. `now` is aware UTC; `manager` is the field manager; `force` is server-side apply's."""

    user: User
    now: datetime
    manager: str
    dry_run: bool = False
    force: bool = False
    field_validation: Literal["Strict", "Warn", "Ignore"] = "Warn"
