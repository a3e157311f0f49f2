"""What was found against what was expected, and what it comes to over all scenarios. Data in, data out."""

from __future__ import annotations

import fnmatch
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from drills.reading import Root, Scenario, Thing
from fairlead.words import Finding, Ref, Severity

FIXED_GOAL: Final = 0.85
SECONDS_GOAL: Final = 2.0


@dataclass(slots=True)
class Result:
    """What became of one scenario. Everything that is not as expected has a line in `said`."""

    name: str
    title: str
    roots: int = 0
    found: int = 0
    false: list[str] = field(default_factory=list)
    symptoms: list[str] = field(default_factory=list)
    """Expected symptoms and evidence that were not told."""
    seconds: list[float] = field(default_factory=list)
    """From when Kubernetes showed the fault to when each root was told."""
    fixable: bool = False
    fixed: bool = False
    worse: bool = False
    broken: str = ""
    """Why it could not be run; "" when it was."""
    said: list[str] = field(default_factory=list)
    told: list[Finding] = field(default_factory=list)
    """All that the last look before the cure found."""
    took: float = 0.0

    @property
    def right(self) -> bool:
        """Whether all was found as expected, and nothing else."""
        return (
            not self.broken and self.found == self.roots and not (self.false or self.symptoms or self.worse)
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        document = {key: value for key, value in asdict(self).items() if key != "told"}
        return {**document, "told": [told(one) for one in self.told], "right": self.right}


def means(thing: Thing, ref: Ref, space: str) -> bool:
    """Say whether an object is one that a thing may mean, in the scenario's namespace unless it says another."""
    if thing.kind != ref.kind or not fnmatch.fnmatchcase(ref.name, thing.name):
        return False
    return not ref.namespace or ref.namespace == (thing.namespace or space)


def is_root(root: Root, finding: Finding, space: str) -> bool:
    """Say whether a finding is the root that is expected."""
    return finding.rule == root.rule and means(root.at, finding.subject, space)


def find(root: Root, findings: Iterable[Finding], space: str) -> Finding | None:
    """Return the finding of an expected root."""
    return next((one for one in findings if is_root(root, one, space)), None)


def told(finding: Finding) -> str:
    """Return a finding in a line."""
    return f"{finding.rule} at {finding.subject}: {finding.message}"


def false_roots(scenario: Scenario, findings: Iterable[Finding], space: str) -> list[str]:
    """Return the findings above a note that no expert would give, in words."""
    return [
        told(one)
        for one in findings
        if one.severity != Severity.INFO and not any(is_root(root, one, space) for root in scenario.roots)
    ]


def lacking(root: Root, finding: Finding, space: str) -> list[str]:
    """Return which symptoms and evidence of a root are not told."""
    lacks = [
        f"{thing} is not under {finding.subject}"
        for thing in root.symptoms
        if not any(means(thing, symptom.subject, space) for symptom in finding.symptoms)
    ]
    said = [f"{one.kind} {one.text}" for one in finding.evidence] + [f"cause {finding.cause}"]
    lacks += [
        f"no evidence {pattern!r} at {finding.subject}"
        for pattern in root.evidence
        if not any(re.search(pattern, one) for one in said)
    ]
    return lacks


@dataclass(frozen=True, slots=True)
class Totals:
    """All scenarios together. `fixed` counts those where every root was fixed with proof."""

    scenarios: int
    roots: int
    found: int
    false: int
    symptoms: int
    fixed: int
    fixable: int
    worse: int
    broken: int
    median: float

    @property
    def hold(self) -> bool:
        """Whether the goals hold."""
        whole = self.found == self.roots and not (self.false or self.symptoms or self.worse or self.broken)
        return whole and self.fixed >= FIXED_GOAL * self.scenarios and self.median < SECONDS_GOAL

    def as_json(self) -> Mapping[str, Any]:
        """Return it as JSON can hold it."""
        return {**asdict(self), "hold": self.hold}


def totals(results: Sequence[Result]) -> Totals:
    """Return what it comes to."""
    seconds = [second for one in results for second in one.seconds]
    return Totals(
        scenarios=len(results),
        roots=sum(one.roots for one in results),
        found=sum(one.found for one in results),
        false=sum(len(one.false) for one in results),
        symptoms=sum(len(one.symptoms) for one in results),
        fixed=sum(one.fixed for one in results),
        fixable=sum(one.fixable for one in results),
        worse=sum(one.worse for one in results),
        broken=sum(bool(one.broken) for one in results),
        median=round(statistics.median(seconds), 2) if seconds else 0.0,
    )
