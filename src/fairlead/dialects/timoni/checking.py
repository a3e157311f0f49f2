"""A module's own health checks, as far as they can be said in CEL.

Timoni's checks are CUE over the live object. Those of its library that look at a condition (`conditionType`) say the same in CEL; for others,
written in CUE by hand, what the object's kind says has to do, and a finding tells so. Source: timoni.sh/core/v1alpha1, #HealthCheck.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fairlead.render.packages import Check
from fairlead.words import Finding, Ref, Resource, Severity, Where

PATH: Final = "timoni.healthChecks"

_FRESH: Final = "(!has(c.observedGeneration) || c.observedGeneration == object.metadata.generation)"
_STALE: Final = (
    "has(object.status) && has(object.status.observedGeneration)"
    " && object.status.observedGeneration != object.metadata.generation"
)


def checks(
    declared: Any, objects: Iterable[Resource], findings: list[Finding], where: str
) -> tuple[Check, ...]:
    """Return a check for each kind of object that a declared check is about; `declared` is what is concrete of them, by name.

    A check that only says a group is for every kind of it. What cannot be said in CEL becomes a finding.
    """
    if not isinstance(declared, Mapping):
        return ()
    kinds: dict[tuple[str, str], str] = {}
    for item in objects:
        kinds.setdefault((Ref.of(item).group, item["kind"]), item["apiVersion"])
    found: dict[tuple[str, str], Check] = {}
    for name, check in declared.items():
        group, kind = (
            (check.get(key, "") for key in ("group", "kind")) if isinstance(check, Mapping) else ("", "")
        )
        fitting = [one for one in kinds if one[0] == group and kind in {"", one[1]}]
        if not fitting:
            continue
        condition = check.get("conditionType")
        if not isinstance(condition, str):
            findings.append(
                Finding(
                    rule="timoni.healthcheck",
                    severity=Severity.INFO,
                    subject=Ref(group, kind, "", ""),
                    message="the check is an expression of CUE, which is not asked: the object's own status decides",
                    where=Where(where, 0, f".{PATH}.{name}"),
                )
            )
            continue
        failed = check.get("failedConditionType")
        for one in fitting:
            if kind or one not in found:  # a check of a kind goes before one of its group
                found[one] = Check(
                    kinds[one],
                    one[1],
                    current=_condition(condition),
                    failed=_condition(failed) if isinstance(failed, str) and failed else "",
                    in_progress=_STALE,
                )
    return tuple(found.values())


def _condition(wanted: str) -> str:
    return (
        "has(object.status) && has(object.status.conditions) && object.status.conditions.exists("
        f"c, c.type == {json.dumps(wanted)} && c.status == 'True' && {_FRESH})"
    )
