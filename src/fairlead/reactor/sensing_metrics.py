"""What the sensor counts of itself, as Prometheus text. Counts; decides nothing.

Labels come from fixed sets and from the names of rules, of which there is a bounded number.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from fairlead.reactor import exposing
from fairlead.reactor.exposing import Histogram, head, labels
from fairlead.sense.rules import Detection

BUCKETS: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
"""Seconds."""
MOST_RULES: Final = 4096


class Metrics:
    """Counters of the reader. `gauges` are asked when somebody looks: name -> (help, value)."""

    def __init__(self, gauges: Callable[[], Mapping[str, tuple[str, float]]] = dict) -> None:
        self.gauges = gauges
        self.classes: Mapping[str, Any] = {}
        """The kernel's counts by class: objects with seen, sent, dropped and rated."""
        self.reads = Histogram(BUCKETS)
        self.delays = Histogram(BUCKETS)
        self.events = 0
        self.detections: Counter[tuple[str, str, str]] = Counter()
        self.faults: Counter[str] = Counter()

    def detected(self, detection: Detection) -> None:
        """Count a detection of its rule."""
        rule = detection.rule
        key = (rule.dialect, rule.name, str(rule.severity))
        if key in self.detections or len(self.detections) < MOST_RULES:
            self.detections[key] += 1

    def text(self) -> str:
        """Return everything in the Prometheus text format."""
        name = "fairlead_sense_kernel_events_total"
        lines = head(
            name,
            "counter",
            "Events in the kernel by class: seen by a program, sent to the reader, dropped for want of room, held back by a rate.",
        )
        for one, count in sorted(self.classes.items()):
            for what in ("seen", "sent", "dropped", "rated"):
                lines.append(f"{name}{labels({'class': one, 'what': what})} {int(getattr(count, what, 0))}")
        name = "fairlead_sense_events_total"
        lines += [*head(name, "counter", "Events that were read and judged."), f"{name} {self.events}"]
        name = "fairlead_sense_detections_total"
        lines += head(name, "counter", "Times that a rule said yes.")
        for (dialect, rule, severity), total in sorted(self.detections.items()):
            lines.append(f"{name}{labels({'dialect': dialect, 'rule': rule, 'severity': severity})} {total}")
        name = "fairlead_sense_faults_total"
        lines += head(name, "counter", "What went wrong in the sensor, by where.")
        lines += [f"{name}{labels({'where': where})} {total}" for where, total in sorted(self.faults.items())]
        lines += self.reads.lines("fairlead_sense_read_seconds", "Time to read and judge one batch.")
        lines += self.delays.lines("fairlead_sense_delay_seconds", "Time from an event to its detection.")
        for gauge, (text, value) in self.gauges().items():
            lines += [
                *head(gauge, "gauge", text),
                f"{gauge} {value:g}" if value < 1e6 else f"{gauge} {value:.0f}",
            ]
        return "\n".join(lines) + "\n"


async def serve(metrics: Metrics, port: int, host: str = "127.0.0.1") -> asyncio.Server:
    """Serve /metrics and /healthz; return the server, which is closed by `close`. Raises OSError where the port is taken."""
    return await exposing.serve(metrics.text, port, host)
