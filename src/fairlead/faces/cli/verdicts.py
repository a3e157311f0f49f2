"""Judgements told to people and to programs: a table, JSON, YAML, SARIF, JUnit XML and PolicyReports.

Formats only; what counts as failed is decided before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli import findings as documents
from fairlead.faces.cli import reports as reporting
from fairlead.faces.cli.reports import Case, Level, Mark, Outcome
from fairlead.words import Severity, Where

if TYPE_CHECKING:
    from fairlead.faces.cli.pens import Pen
    from fairlead.reactor.judge import Judgement, Row

RESULTS = ("pass", "fail", "warn", "error", "skip")
_MARKS = {
    "pass": ("✔", "32"),
    "fail": ("✖", "31;1"),
    "warn": ("▲", "33;1"),
    "error": ("!", "35;1"),
    "skip": ("·", "2"),
}
_LEVELS: Mapping[str, Level] = {"fail": "error", "error": "error", "warn": "warning"}
_GRADES: Mapping[Severity, Level] = {Severity.CRITICAL: "error", Severity.WARNING: "warning"}
_OUTCOMES: Mapping[str, Outcome] = {"fail": "failure", "error": "error", "skip": "skipped"}


def summary(found: Judgement) -> dict[str, int]:
    """Return the counts of a judgement."""
    counts = {result: found.count(result) for result in RESULTS}  # type: ignore[arg-type]  # the same five words
    return {**counts, "objects": found.objects, "policies": found.policies, "rules": found.rules}


def table(found: Judgement, pen: Pen, *, every: bool) -> list[str]:
    """Return the judgement for a person: each object with what fails there, and one line that sums up.

    With `every`, also what passes and what is skipped.
    """
    lines: list[str] = []
    for one in found.findings:
        mark, code = {"critical": _MARKS["fail"], "warning": _MARKS["warn"]}.get(
            str(one.severity), _MARKS["skip"]
        )
        lines += pen.wrap(f"{mark} {one.subject}  {one.message}", "", code, hang="  ")
        if str(one.where):
            lines += pen.wrap(str(one.where), "    ", "2")
    if lines:
        lines.append("")
    shown = [row for row in found.rows if every or row.result in _LEVELS]
    for _, rows in _by_object(shown):
        lines.append(pen.paint(str(rows[0].subject), "1"))
        for row in rows:
            lines += _told(row, pen)
        lines.append("")
    told = {row.message for row in shown}
    for text in dict.fromkeys(text for row in found.rows for text in row.warnings if text not in told):
        lines += pen.wrap(f"Warning: {text}", "", "33", hang="  ")
    return [*lines, _sum(found, pen)]


def _by_object(rows: Iterable[Row]) -> Iterator[tuple[Any, list[Row]]]:
    grouped: dict[Any, list[Row]] = {}
    for row in rows:
        grouped.setdefault((row.subject, row.places[:1] and row.places[0].file), []).append(row)
    yield from grouped.items()


def _told(row: Row, pen: Pen) -> Iterator[str]:
    mark, code = _MARKS[row.result]
    name = f"{row.policy}/{row.rule}" if row.rule else row.policy
    effect = (
        ""
        if "deny" in row.actions or row.result != "fail"
        else f" ({', '.join(sorted(row.actions)) or 'audit'})"
    )
    mended = " (mutated)" if row.mutated else ""
    yield "  " + pen.paint(f"{mark} {name}", code) + effect + mended
    if row.result == "pass":
        return
    yield from (line for part in row.message.split("\n") if part.strip() for line in pen.wrap(part, "      "))
    if row.wanted:
        yield from pen.wrap(f"would pass: {row.wanted}", "      ", "32")
    for place in row.places[:3]:
        if str(place):
            yield from pen.wrap(str(place), "      ", "2")


def _sum(found: Judgement, pen: Pen) -> str:
    counts = summary(found)
    told = [f"{counts[result]} {name}" for result, name in
            (("fail", "failed"), ("warn", "warned"), ("error", "not judged"), ("pass", "passed"), ("skip", "skipped"))
            if counts[result] or result == "pass"]  # fmt: skip
    objects = "1 object" if counts["objects"] == 1 else f"{counts['objects']} objects"
    looked = f"{objects}, {'1 policy' if counts['policies'] == 1 else str(counts['policies']) + ' policies'}"
    good = not counts["fail"] and not counts["error"]
    mark = pen.paint("✔" if good else "✖", "32;1" if good else "31;1")
    return f"{mark} {', '.join(told)} ({looked})"


def _row(row: Row) -> dict[str, Any]:
    told = {
        "policy": row.policy,
        "rule": row.rule,
        "dialect": row.dialect,
        "resource": {"apiVersion": row.api_version, **documents.ref(row.subject)},
        "result": row.result,
        "message": row.message,
        "wanted": row.wanted,
        "actions": sorted(row.actions),
        "severity": row.severity,
        "category": row.category,
        "where": [documents.where(place) for place in row.places if str(place)],
        "warnings": list(row.warnings),
        "mutated": row.mutated,
    }
    return {
        key: value for key, value in told.items() if value or key in {"policy", "rule", "resource", "result"}
    }


def document(found: Judgement) -> dict[str, Any]:
    """Return the judgement as one JSON document."""
    return {
        "apiVersion": documents.VERSION,
        "kind": "Judgement",
        "summary": summary(found),
        "results": [_row(row) for row in found.rows],
        "findings": [documents.finding(one) for one in found.findings],
    }


def sarif(found: Judgement) -> dict[str, Any]:
    """Return what is not fine as SARIF 2.1.0."""
    marks: list[Mark] = []
    meanings: dict[str, str] = {}
    for row in found.rows:
        if row.result not in _LEVELS:
            continue
        name = f"{row.policy}/{row.rule}" if row.rule else row.policy
        meanings.setdefault(name, row.title or name)
        told = row.message + (f"\nWould pass: {row.wanted}" if row.wanted else "")
        level = "warning" if row.result == "fail" and "deny" not in row.actions else _LEVELS[row.result]
        marks.append(Mark(rule=name, level=level, text=told, subject=str(row.subject), places=row.places))
    for one in found.findings:
        level = _GRADES.get(one.severity, "note")
        marks.append(
            Mark(rule=one.rule, level=level, text=one.message, subject=str(one.subject), places=(one.where,))
        )
    return reporting.sarif(marks, meanings)


def junit(found: Judgement) -> str:
    """Return the judgement as JUnit XML: a suite for each policy, a case for each rule and object."""
    suites: dict[str, list[Case]] = {}
    for row in found.rows:
        case = Case(
            group=row.rule or row.policy,
            name=str(row.subject),
            outcome=_OUTCOMES.get(row.result, "pass"),
            message=row.message,
            story="" if row.result in {"pass", "warn"} else "\n".join([row.message, *map(str, row.places)]),
            place=row.places[0] if row.places else Where(),
        )
        suites.setdefault(row.policy, []).append(case)
    return reporting.junit("fairlead judge", suites)


def reports(found: Judgement, now: str) -> dict[str, Any]:
    """Return a List of PolicyReports, one for each object."""
    from fairlead.dialects import policyreport

    items = [policyreport.report(subject, outcomes, now) for subject, outcomes in found.outcomes if outcomes]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def dump(found: Judgement, output: str, now: str) -> str:
    """Return the judgement in one of the formats for programs: json, yaml, sarif, junit or policyreport."""
    if output == "junit":
        return junit(found)
    made: Mapping[str, Callable[[], dict[str, Any]]] = {
        "json": lambda: document(found),
        "yaml": lambda: document(found),
        "sarif": lambda: sarif(found),
        "policyreport": lambda: reports(found, now),
    }
    if output in {"yaml", "policyreport"}:
        import yaml

        text: str = yaml.safe_dump(made[output](), sort_keys=False, allow_unicode=True)
        return text.rstrip("\n")
    return json.dumps(made[output](), indent=2, ensure_ascii=False)
