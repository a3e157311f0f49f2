"""What continuous diagnosis counts of itself, as Prometheus text. Counts; decides nothing.

Labels come from fixed sets, from the names of rules and from the namespaces that have findings now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from fairlead.reactor.diagnosing_reports import Entry
from fairlead.reactor.exposing import Histogram, head, labels
from fairlead.tongues.paths import text

SECONDS: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MOST: Final = 2000
"""Combinations of rule, severity and namespace that are told one by one."""


class Metrics:
    """Counters and histograms. `gauges` are asked when somebody looks: name -> (help, value)."""

    def __init__(
        self,
        entries: Callable[[], Iterable[Entry]] = tuple,
        calls: Callable[[], Mapping[tuple[str, str], int]] = dict,
        gauges: Callable[[], Mapping[str, tuple[str, float]]] = dict,
    ) -> None:
        self.updates = Histogram(SECONDS)
        self.lag = Histogram(SECONDS)
        self.changes, self.asked = 0, 0
        self.news: Counter[tuple[str, str, str]] = Counter()
        """By rule, severity and what became of it."""
        self.proposals: Counter[str] = Counter()
        self.healings: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.notifications: Mapping[str, int] = {}
        self.events: Mapping[str, int] = {}
        self._entries, self._calls, self._gauges = entries, calls, gauges

    def text(self) -> str:
        """Return everything in the Prometheus text format."""
        lines = self._findings()
        lines += _counter(
            "fairlead_findings_total", "What became of findings, by rule and severity.",
            {(("rule", rule), ("severity", severity), ("state", state)): count for (rule, severity, state), count in self.news.items()},
        )  # fmt: skip
        lines += self.updates.lines("fairlead_diagnosis_update_seconds", "Time to examine what has changed.")
        lines += self.lag.lines(
            "fairlead_diagnosis_lag_seconds", "Time from hearing of a change to knowing what it means."
        )
        totals = (
            ("fairlead_diagnosis_changes_total", "Changes of objects that were heard of.", self.changes),
            (
                "fairlead_diagnosis_asked_total",
                "Objects that were examined, for the first time or again.",
                self.asked,
            ),
        )
        for name, said, total in totals:
            lines += [*head(name, "counter", said), f"{name} {total}"]
        lines += _counter(
            "fairlead_diagnosis_api_calls_total", "Calls of the Kubernetes API, by verb and how they ended.",
            {(("verb", verb), ("outcome", outcome)): count for (verb, outcome), count in self._calls().items()},
        )  # fmt: skip
        for name, said, counts in (
            (
                "fairlead_proposals_total",
                "Fixes that were tried on a copy, by what came of it.",
                self.proposals,
            ),
            ("fairlead_healings_total", "Fixes that were carried out, by what came of it.", self.healings),
            (
                "fairlead_notifications_total",
                "Messages to receivers, by what came of it.",
                self.notifications,
            ),
            ("fairlead_diagnosis_events_total", "Kubernetes Events, by what came of it.", self.events),
            (
                "fairlead_diagnosis_faults_total",
                "What went wrong in the diagnosis itself, by where.",
                self.faults,
            ),
        ):
            label = "where" if name.endswith("faults_total") else "outcome"
            lines += _counter(name, said, {((label, key),): count for key, count in counts.items()})
        for gauge, (said, value) in self._gauges().items():
            lines += [*head(gauge, "gauge", said), f"{gauge} {value:g}"]
        return "\n".join(lines) + "\n"

    def _findings(self) -> list[str]:
        counts: Counter[tuple[str, str, str, str]] = Counter()
        for entry in self._entries():
            told = entry.told or entry.sighting.finding
            key = (text(told, "rule"), text(told, "severity"), entry.namespace, entry.state)
            if key not in counts and len(counts) >= _MOST:
                key = (key[0], key[1], "", key[3])
            counts[key] += 1
        name = "fairlead_findings"
        lines = head(name, "gauge", "Findings there are, by rule, severity, namespace and state.")
        for (rule, severity, space, state), count in sorted(counts.items()):
            pairs = {"rule": rule, "severity": severity, "namespace": space, "state": state}
            lines.append(f"{name}{labels(pairs)} {count}")
        return lines


def _counter(name: str, said: str, counts: Mapping[tuple[tuple[str, str], ...], int]) -> list[str]:
    lines = head(name, "counter", said)
    lines += [f"{name}{labels(dict(key))} {count}" for key, count in sorted(counts.items())]
    return lines
