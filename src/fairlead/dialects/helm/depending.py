"""Which of the charts inside are wanted (conditions, tags, aliases, versions), and what their values give to the chart around them.

Changes the charts that it is given. The texts of errors are Helm's. Source: helm.sh/helm/v3/pkg/chartutil/dependencies.go.
"""

from __future__ import annotations

from typing import Any

from fairlead.dialects.helm.charts import Chart, Dependency
from fairlead.dialects.helm.coalescing import Warn, coalesced, tables
from fairlead.tongues.gotemplate import GoError, semvers
from fairlead.tongues.gotemplate.collecting import deep_copy
from fairlead.tongues.gotemplate.printing import verbatim


def missing(chart: Chart) -> list[Dependency]:
    """Return the dependencies that are in Chart.yaml and not in charts/."""
    there = {inner.name for inner in chart.inside}
    return [wanted for wanted in chart.wanted if wanted.name not in there]


def process(chart: Chart, values: dict[str, Any], warn: Warn) -> None:
    """Leave the charts inside that are wanted with these values, and give the chart what it imports from them."""
    _enable(chart, values, "", warn)
    _import_all(chart, warn)


def _compatible(wanted: str, version: str) -> bool:
    try:
        return semvers.matches(wanted, version)
    except GoError:
        return False


def table(values: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Return the mapping at a path with dots; None where there is none."""
    here: Any = values
    for name in path.split("."):
        here = here.get(name)
        if not isinstance(here, dict):
            return None
    return here if isinstance(here, dict) else None


def _value(values: dict[str, Any], path: str) -> tuple[bool, Any]:
    """Whether there is a value at the path that is no mapping, and it."""
    above, _, name = path.rpartition(".")
    around = table(values, above) if above else values
    if around is None or name not in around or isinstance(around[name], dict):
        return False, None
    return True, around[name]


def _enable(chart: Chart, values: dict[str, Any], path: str, warn: Warn) -> None:
    if not chart.wanted:
        return
    charts = [
        inner
        for inner in chart.inside
        if not any(
            inner.name == wanted.name and _compatible(wanted.version, inner.metadata["version"])
            for wanted in chart.wanted
        )
    ]
    for wanted in chart.wanted:
        found = next(
            (
                inner
                for inner in chart.inside
                if inner.name == wanted.name and _compatible(wanted.version, inner.metadata["version"])
            ),
            None,
        )
        if found is not None:
            charts.append(found.clone(wanted.alias or found.name))
        if wanted.alias:
            wanted.name = wanted.alias
    chart.hold(charts)
    for wanted in chart.wanted:
        wanted.enabled = True
    known = coalesced(chart, values, warn)
    _tags(chart.wanted, known, warn)
    _conditions(chart.wanted, known, path, warn)
    unwanted = {wanted.name for wanted in chart.wanted if not wanted.enabled}
    chart.wanted = [wanted for wanted in chart.wanted if wanted.name not in unwanted]
    charts = [inner for inner in chart.inside if inner.name not in unwanted]
    for inner in charts:
        _enable(inner, known, f"{path}{inner.name}.", warn)
    chart.hold(charts)


def _tags(all_wanted: list[Dependency], values: dict[str, Any], warn: Warn) -> None:
    tags = values.get("tags")
    if not isinstance(tags, dict):
        return
    for wanted in all_wanted:
        said = set()
        for tag in wanted.tags:
            if isinstance(tags.get(tag), bool):
                said.add(tags[tag])
            elif tag in tags:
                warn(f"Tag '{tag}' for chart {wanted.name} returned non-bool value")
        wanted.enabled = True in said or not said


def _conditions(all_wanted: list[Dependency], values: dict[str, Any], path: str, warn: Warn) -> None:
    for wanted in all_wanted:
        for condition in wanted.condition.strip().split(","):
            if not condition:
                continue
            found, value = _value(values, path + condition)
            if found and isinstance(value, bool):
                wanted.enabled = value
                break
            if found:
                warn(f"Condition path '{condition}' for chart {wanted.name} returned non-bool value")


def _import_all(chart: Chart, warn: Warn) -> None:
    for inner in chart.inside:
        _import_all(inner, warn)
    if not chart.wanted:
        return
    known = coalesced(chart, {}, warn, merge=True)
    imported: dict[str, Any] = {}
    for wanted in chart.wanted:
        for item in wanted.imports:
            if isinstance(item, dict):
                child, parent = (verbatim(item.get(key)) for key in ("child", "parent"))
            elif isinstance(item, str):
                child, parent = f"exports.{item}", "."
            else:
                continue
            found = table(known, f"{wanted.name}.{child}")
            if found is None:
                warn(f"ImportValues missing table from chart {wanted.name}: {child}")
                continue
            imported = tables(imported, _placed(parent, found), warn, merge=True)
    chart.values = tables(deep_copy(known), imported, warn, merge=True)


def _placed(path: str, values: dict[str, Any]) -> dict[str, Any]:
    """The values below a path with dots; `.` is the root."""
    if path == ".":
        return values
    for name in reversed(path.split(".")):
        values = {name: values}
    return values
