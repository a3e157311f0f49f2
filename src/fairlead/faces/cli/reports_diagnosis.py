"""A diagnosis for other programs: SARIF and JUnit XML.

What a finding says is said in the words of the text output; only the form is another's. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli import reports, stories
from fairlead.faces.cli.answers import meaning
from fairlead.faces.cli.pens import Pen
from fairlead.faces.cli.reports import Case, Level, Mark, Outcome, Rewrite
from fairlead.words import Finding, Severity

if TYPE_CHECKING:
    from fairlead.faces.cli.answers import Answer

_LEVELS: Mapping[Severity, Level] = {Severity.CRITICAL: "error", Severity.WARNING: "warning"}
_RELATED = 20


def sarif(answer: Answer) -> dict[str, Any]:
    """Return the findings as SARIF 2.1.0, with those that are ignored as suppressed results.

    A result's fingerprint is the finding's id; a finding about a file has the file's line, one about a live object its name alone.
    """
    marks = [_mark(one, answer, None) for one in answer.shown]
    marks += [_mark(one, answer, by.reason) for one, by in answer.hidden]
    unseen = ", ".join(sorted(kind for _, kind in answer.examined.unseen))
    notes = [*answer.notes, *([f"could not be listed: {unseen}"] if unseen else ())]
    meanings = {mark.rule: meaning(mark.rule) for mark in marks}
    return reports.sarif(marks, meanings, notifications=notes)


def _mark(one: Finding, answer: Answer, suppressed: str | None) -> Mark:
    properties: dict[str, Any] = {"confidence": one.confidence, "severity": str(one.severity)}
    if one.symptoms:
        properties["symptoms"] = len(one.symptoms)
    return Mark(
        rule=one.rule,
        level=_LEVELS.get(one.severity, "note"),
        text=" ".join(part for part in (f"{one.subject} {one.message}.", one.cause) if part),
        subject=str(one.subject),
        places=(one.where,),
        id=one.id,
        suppressed=suppressed,
        related=[(str(symptom.subject), symptom.message) for symptom in one.symptoms[:_RELATED]],
        fixes=[(fix.title, rewrites) for fix in one.fixes if (rewrites := _rewrites(one, answer))],
        properties=properties,
    )


def _rewrites(one: Finding, answer: Answer) -> list[Rewrite]:
    """Return what the first fix makes of the files, nothing where it cannot be written into them."""
    if not answer.seen.texts or not one.fixes:
        return []
    from fairlead.reactor.patching import write

    patched = write(one.fixes[0], answer.seen.texts, answer.examined.places.values())
    if not patched.whole:
        return []
    return [
        Rewrite(file=file, before=patched.before[file], after=text) for file, text in patched.texts.items()
    ]


def junit(answer: Answer) -> str:
    """Return the findings as JUnit XML: a case for each; what is grave fails, what is ignored is skipped, a note passes with its story."""
    suites: dict[str, list[Case]] = {}
    pen = Pen(width=100)
    hidden = {id(one): by for one, by in answer.hidden}
    for one in [*answer.shown, *(each for each, _ in answer.hidden)]:
        by = hidden.get(id(one))
        outcome: Outcome = "skipped" if by else "pass" if one.severity == Severity.INFO else "failure"
        case = Case(
            group=one.rule,
            name=f"{one.subject} ({one.id})",
            outcome=outcome,
            message=f"ignored: {by.reason}" if by else one.message,
            story="\n".join(stories.finding(one, pen, command="", whole=True)),
            place=one.where,
        )
        suites.setdefault(one.rule.partition(".")[0], []).append(case)
    if not suites:
        suites["diagnosis"] = [Case(group="fairlead", name="nothing is wrong")]
    return reports.junit("fairlead diagnose", suites)
