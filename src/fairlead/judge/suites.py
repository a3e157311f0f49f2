"""What a test of policies says, whatever tool's test file it stands in: one row for each expectation about one resource."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one expectation.

    `got` is a result, or "" when there is none; `reason` says why (not) `ok`. `skipped` was not run because its file says so; with
    `error` it could not be run as it is written. `broken`: what counts as a violation is an evaluation that failed.
    """

    policy: str
    rule: str
    kind: str
    resource: str
    wanted: str
    got: str
    ok: bool
    reason: str
    message: str = ""
    skipped: bool = False
    error: bool = False
    broken: bool = False
