"""Values of a chart over its defaults, and down into the charts inside: nulls take away, globals go to everybody.

Changes the values that it is given. What does not fit is told as a warning, in Helm's words. Must never change a chart's defaults.
Source: helm.sh/helm/v3/pkg/chartutil/coalesce.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fairlead.dialects.helm.charts import Chart
from fairlead.tongues.gotemplate.collecting import deep_copy
from fairlead.tongues.gotemplate.printing import verbatim

Warn = Callable[[str], None]
GLOBAL: Final = "global"


class Mismatch(Exception):
    """A value where the values of a chart inside are wanted is no mapping."""


def coalesced(chart: Chart, values: dict[str, Any], warn: Warn, *, merge: bool = False) -> dict[str, Any]:
    """Return the values over the chart's defaults. With `merge` nulls stay. Raises Mismatch."""
    copied: dict[str, Any] = deep_copy(values)
    return _coalesce(chart, copied, "", warn, merge)


def _prefixed(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _coalesce(chart: Chart, into: dict[str, Any], prefix: str, warn: Warn, merge: bool) -> dict[str, Any]:
    own = _prefixed(prefix, chart.name)
    defaults: dict[str, Any] = deep_copy(chart.values)
    inside = {inner.name for inner in chart.inside}
    for key, value in defaults.items():
        if key not in into:
            into[key] = value
            continue
        there = into[key]
        if there is None and not merge:
            del into[key]
        elif isinstance(there, dict):
            if isinstance(value, dict):
                tables(there, value, warn, _prefixed(own, key), merge=merge or key in inside)
            elif value is not None:
                warn(f"skipped value for {own}.{key}: Not a table.")
    for inner in chart.inside:
        there = into.setdefault(inner.name, {})
        if not isinstance(there, dict):
            raise Mismatch(f"type mismatch on {inner.name}: {verbatim(there)}")
        _globals(there, into, own, warn)
        into[inner.name] = _coalesce(inner, there, own, warn, merge)
    return into


def _globals(into: dict[str, Any], source: dict[str, Any], prefix: str, warn: Warn) -> None:
    own, given = into.get(GLOBAL, {}), source.get(GLOBAL, {})
    if not isinstance(own, dict):
        warn(f"skipping globals because destination {GLOBAL} is not a table.")
        return
    if not isinstance(given, dict):
        warn(f"skipping globals because source {GLOBAL} is not a table.")
        return
    for key, value in given.items():
        there = own.get(key)
        if isinstance(value, dict):
            if key not in own:
                own[key] = dict(value)
            elif not isinstance(there, dict):
                warn(f'Conflict: cannot merge map onto non-map for "{key}". Skipping.')
            else:
                copied = dict(value)
                tables(copied, there, warn, _prefixed(prefix, key), merge=True)
                own[key] = copied
        elif isinstance(there, dict):
            warn(f"key {key} is table. Skipping")
        else:
            own[key] = value
    into[GLOBAL] = own


def tables(
    over: dict[str, Any], under: dict[str, Any], warn: Warn, prefix: str = "", *, merge: bool = False
) -> dict[str, Any]:
    """Lay `over` on `under`, into `over`, which is returned. Both are changed."""
    given = {key for key, value in under.items() if value is not None}
    for key, value in over.items():
        if value is None:
            under[key] = None
    for key, value in under.items():
        full = _prefixed(prefix, key)
        there = over.get(key)
        if key in over and not merge and there is None and key in given:
            del over[key]
        elif key not in over:
            over[key] = value
        elif isinstance(value, dict):
            if isinstance(there, dict):
                tables(there, value, warn, full, merge=merge)
            else:
                warn(f"cannot overwrite table with non table for {full} ({verbatim(value)})")
        elif isinstance(there, dict) and value is not None:
            warn(f"destination for {full} is a table. Ignoring non-table value ({verbatim(value)})")
    return over
