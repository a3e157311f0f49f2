"""Fixes for everything that is wrong, tried one after another on one copy: what each leaves is what the next is tried on.

Decides the order and nothing else: the gravest root first, as the diagnosis has them. What went away with an earlier fix is not fixed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fairlead.diagnose.examining import examine, needs
from fairlead.drivers.cluster import AsyncCluster
from fairlead.reactor.examine import KINDS, OPTIONAL, Examined, gather
from fairlead.reactor.gathering import DEFINITION, answer
from fairlead.reactor.trial import Trial, kinds_to_copy, try_fix
from fairlead.words import Finding, Severity, Snapshot


async def look(cluster: AsyncCluster, now: datetime, namespace: str = "") -> Examined:
    """Return all that a diagnosis looks at and all that a copy of the cluster needs, and what is wrong there.

    With a namespace, only that and what stands outside of namespaces. Raises Unreachable, Refusal.
    """
    view, unseen = await gather(cluster, namespace)
    known = {_key(kind) for kind in (*KINDS, *OPTIONAL)} - {
        DEFINITION
    }  # which were seen without their schemas
    rest, more = await gather(
        cluster, namespace, [kind for kind in kinds_to_copy() if _key(kind) not in known]
    )
    for one in rest:
        view.put(one)
    unseen |= more
    answers = await answer(cluster, needs(view, now=now))
    return Examined(
        examine(view, scope="live", now=now, answers=answers, unseen=unseen), view, "live", unseen
    )


def _key(kind: tuple[str, str]) -> tuple[str, str]:
    return kind[0].rpartition("/")[0], kind[1]


@dataclass(slots=True)
class Plan:
    """The trials in their order, the findings that went away with an earlier fix, and those without a fix."""

    trials: list[Trial] = field(default_factory=list)
    gone: list[Finding] = field(default_factory=list)
    unfixed: list[Finding] = field(default_factory=list)

    @property
    def proven(self) -> list[Trial]:
        """The trials that hold."""
        return [one for one in self.trials if one.proven]


def try_fixes(
    view: Snapshot,
    finding: Finding,
    *,
    now: datetime,
    before: Sequence[Finding],
    definitions: Mapping[str, Any],
    unseen: AbstractSet[tuple[str, str]] = frozenset(),
) -> Trial:
    """Try the fixes of one finding, and return the first trial that holds, else the first of all. The finding must have a fix."""
    first: Trial | None = None
    for fix in finding.fixes:
        trial = try_fix(view, finding, fix, now=now, before=before, definitions=definitions, unseen=unseen)
        if trial.proven:
            return trial
        first = first or trial
    assert first is not None
    return first


def plan(
    view: Snapshot,
    findings: Sequence[Finding],
    *,
    wanted: Callable[[Finding], bool] = lambda _: True,
    now: datetime,
    definitions: Mapping[str, Any],
    unseen: AbstractSet[tuple[str, str]] = frozenset(),
    tried: Callable[[Trial], None] = lambda _: None,
) -> Plan:
    """Try a fix for each of the findings that is wanted. `findings` are all there are on the view; `tried` is told of each trial."""
    made = Plan()
    known, state = list(findings), view
    for finding in findings:
        if finding.severity == Severity.INFO or not wanted(finding):
            continue
        current = next((one for one in known if one.id == finding.id), None)
        if current is None:
            made.gone.append(finding)
            continue
        if not current.fixes:
            made.unfixed.append(current)
            continue
        trial = try_fixes(state, current, now=now, before=known, definitions=definitions, unseen=unseen)
        made.trials.append(trial)
        tried(trial)
        if trial.proven and trial.state is not None:
            known, state = trial.after, trial.state
        else:
            trial.state = None  # a copy of everything is not kept for nothing
    return made
