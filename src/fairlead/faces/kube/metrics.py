"""Counters that the server keeps about itself, and their Prometheus text. Counts only; labels come from fixed sets."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)
"""Seconds."""


class Metrics:
    """Requests by verb, resource and code; their latency by verb; watches that are open; other gauges at scraping."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str, int]] = Counter()
        self.watches: Counter[tuple[str, str]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()

    def count(self, tags: Mapping[str, str], code: int, seconds: float | None) -> None:
        """Count one request; `seconds` is None for one that has no end of its own (a watch)."""
        verb = tags.get("verb", "")
        self.requests[verb, tags.get("group", ""), tags.get("resource", ""), code] += 1
        if seconds is not None:
            buckets = self._buckets.setdefault(verb, [0] * (len(BUCKETS) + 1))
            buckets[bisect_left(BUCKETS, seconds)] += 1
            self._seconds[verb] += seconds  # type: ignore[assignment]  # a Counter adds any number

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Return everything in the Prometheus text format. `gauges`: name -> (help, value)."""
        lines = _head("apiserver_request_total", "counter", "Requests by verb, resource and HTTP code.")
        for (verb, group, resource, code), count in sorted(self.requests.items()):
            labels = _labels({"verb": verb, "group": group, "resource": resource, "code": str(code)})
            lines.append(f"apiserver_request_total{labels} {count}")
        name = "apiserver_request_duration_seconds"
        lines += _head(name, "histogram", "Time to answer a request, by verb, without watches.")
        for verb, buckets in sorted(self._buckets.items()):
            total = 0
            for limit, count in zip((*map(str, BUCKETS), "+Inf"), buckets, strict=True):
                total += count
                lines.append(f"{name}_bucket{_labels({'verb': verb, 'le': limit})} {total}")
            lines.append(f"{name}_sum{_labels({'verb': verb})} {self._seconds[verb]:.6f}")
            lines.append(f"{name}_count{_labels({'verb': verb})} {total}")
        lines += _head("apiserver_longrunning_requests", "gauge", "Watches that are open, by resource.")
        for (group, resource), count in sorted(self.watches.items()):
            labels = _labels({"verb": "WATCH", "group": group, "resource": resource})
            lines.append(f"apiserver_longrunning_requests{labels} {count}")
        for gauge, (text, value) in gauges.items():
            lines += _head(gauge, "gauge", text)
            lines.append(f"{gauge} {value:g}" if value < 1e6 else f"{gauge} {value:.0f}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(pairs: Mapping[str, str]) -> str:
    return "{" + ",".join(_label(key, value) for key, value in pairs.items()) + "}"


def _label(key: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{key}="{escaped}"'


def resources(tags: Iterable[str]) -> str:
    """Return the text of a resource with its subresource: `pods/log`."""
    return "/".join(tag for tag in tags if tag)
