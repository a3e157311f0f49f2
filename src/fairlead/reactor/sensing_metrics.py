"""What the sensor counts of itself, as Prometheus text, and the small server that hands it out. Counts; decides nothing.

The server speaks just enough HTTP for a scraper and listens where it is told to, on loopback by default. Labels come from fixed sets and from the
names of rules, of which there is a bounded number.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from fairlead.sense.rules import Detection

BUCKETS: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
"""Seconds."""
MOST_RULES: Final = 4096
_REQUEST: Final = 8192
_SECONDS: Final = 5.0


class Histogram:
    """How long something took, in buckets."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str, text: str) -> Iterable[str]:
        """Return it in the Prometheus text format."""
        yield from _head(name, "histogram", text)
        total = 0
        for limit, count in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{limit}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """Counters of the reader. `gauges` are asked when somebody looks: name -> (help, value)."""

    def __init__(self, gauges: Callable[[], Mapping[str, tuple[str, float]]] = dict) -> None:
        self.gauges = gauges
        self.classes: Mapping[str, Any] = {}
        """The kernel's counts by class: objects with seen, sent, dropped and rated."""
        self.reads = Histogram()
        self.delays = Histogram()
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
        lines = _head(
            name,
            "counter",
            "Events in the kernel by class: seen by a program, sent to the reader, dropped for want of room, held back by a rate.",
        )
        for one, count in sorted(self.classes.items()):
            for what in ("seen", "sent", "dropped", "rated"):
                lines.append(f"{name}{_labels({'class': one, 'what': what})} {int(getattr(count, what, 0))}")
        name = "fairlead_sense_events_total"
        lines += [*_head(name, "counter", "Events that were read and judged."), f"{name} {self.events}"]
        name = "fairlead_sense_detections_total"
        lines += _head(name, "counter", "Times that a rule said yes.")
        for (dialect, rule, severity), total in sorted(self.detections.items()):
            lines.append(f"{name}{_labels({'dialect': dialect, 'rule': rule, 'severity': severity})} {total}")
        name = "fairlead_sense_faults_total"
        lines += _head(name, "counter", "What went wrong in the sensor, by where.")
        lines += [
            f"{name}{_labels({'where': where})} {total}" for where, total in sorted(self.faults.items())
        ]
        lines += self.reads.lines("fairlead_sense_read_seconds", "Time to read and judge one batch.")
        lines += self.delays.lines("fairlead_sense_delay_seconds", "Time from an event to its detection.")
        for gauge, (text, value) in self.gauges().items():
            lines += [
                *_head(gauge, "gauge", text),
                f"{gauge} {value:g}" if value < 1e6 else f"{gauge} {value:.0f}",
            ]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(pairs: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in pairs.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


async def serve(metrics: Metrics, port: int, host: str = "127.0.0.1") -> asyncio.Server:
    """Serve /metrics and /healthz; return the server, which is closed by `close`. Raises OSError where the port is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                words = head.split(b" ", 2)
                path = (
                    words[1].partition(b"?")[0] if len(words) > 1 and words[0] in {b"GET", b"HEAD"} else b""
                )
                code, body = _page(metrics, path)
                content = body.encode()
                writer.write(
                    f"HTTP/1.1 {code}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                    f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
                )
                writer.write(content if words[0] == b"GET" else b"")
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked is not there any more, or did not ask in HTTP
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    return await asyncio.start_server(answer, host, port, limit=_REQUEST)


def _page(metrics: Metrics, path: bytes) -> tuple[str, str]:
    if path == b"/metrics":
        return "200 OK", metrics.text()
    if path in {b"/healthz", b"/readyz", b"/livez"}:
        return "200 OK", "ok\n"
    return ("404 Not Found", "there is /metrics\n") if path else ("405 Method Not Allowed", "only GET\n")
