"""The formats that other programs read: SARIF 2.1.0 for code scanning, JUnit XML for pipelines.

One writer for judgements and diagnoses: who has results says them as Marks or Cases. Formats only; decides nothing.
Source: docs.oasis-open.org/sarif/sarif/v2.1.0, and the JUnit XML that Maven's Surefire writes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import quote
from xml.etree import ElementTree as ET

from fairlead import __version__
from fairlead.words import Where

Level: TypeAlias = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """A file as it is, and as a fix would have it."""

    file: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One result for SARIF. `subject` is an object's name as people read it; `id` stays the same from run to run.

    `suppressed` is the reason why it is hidden, None where it is not. `related` are other places with a word about each.
    """

    rule: str
    level: Level
    text: str
    subject: str
    places: Sequence[Where] = ()
    id: str = ""
    suppressed: str | None = None
    related: Sequence[tuple[str, str]] = ()
    fixes: Sequence[tuple[str, Sequence[Rewrite]]] = ()
    properties: Mapping[str, Any] | None = None


def sarif(
    marks: Iterable[Mark], meanings: Mapping[str, str], *, notifications: Sequence[str] = ()
) -> dict[str, Any]:
    """Return results as a SARIF log of one run. `meanings` say what a rule is; `notifications`, what could not be looked at."""
    indexes: dict[str, int] = {}
    results = [{**_result(mark), "ruleIndex": indexes.setdefault(mark.rule, len(indexes))} for mark in marks]
    rules = [
        {"id": rule, "name": rule, "shortDescription": {"text": meanings.get(rule) or rule}}
        for rule in indexes
    ]
    invocation: dict[str, Any] = {"executionSuccessful": True}
    if notifications:
        invocation["toolExecutionNotifications"] = [
            {"level": "warning", "message": {"text": text}} for text in notifications
        ]
    driver = {"name": "fairlead", "version": __version__, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "invocations": [invocation],
                "columnKind": "unicodeCodePoints",
                "results": results,
            }
        ],
    }


def _result(mark: Mark) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ruleId": mark.rule,
        "level": mark.level,
        "message": {"text": mark.text or mark.rule},
        "locations": [_location(mark.subject, place) for place in mark.places],
    }
    if mark.id:
        found["fingerprints"] = {"fairlead/v1": mark.id}
        found["partialFingerprints"] = {"fairlead/v1": mark.id}
    if mark.related:
        found["relatedLocations"] = [
            {
                "id": index,
                "logicalLocations": [{"fullyQualifiedName": name}],
                "message": {"text": text or name},
            }
            for index, (name, text) in enumerate(mark.related, 1)
        ]
    if mark.suppressed is not None:
        found["suppressions"] = [{"kind": "external", "status": "accepted", "justification": mark.suppressed}]
    fixes = [_fix(title, rewrites) for title, rewrites in mark.fixes if rewrites]
    if fixes:
        found["fixes"] = fixes
    if mark.properties:
        found["properties"] = dict(mark.properties)
    return found


def uri(file: str) -> str:
    """Return a file's name as the URI reference that SARIF wants: relative names stay relative."""
    return quote(file.replace("\\", "/"), safe="/:@!$&'()*+,;=~-._") if file else ""


def _location(subject: str, place: Where) -> dict[str, Any]:
    at: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": f"{subject}{place.path}"}]}
    if place.file:
        at["physicalLocation"] = {
            "artifactLocation": {"uri": uri(place.file)},
            "region": {"startLine": max(place.line, 1)},
        }
    return at


def _fix(title: str, rewrites: Sequence[Rewrite]) -> dict[str, Any]:
    return {
        "description": {"text": title},
        "artifactChanges": [
            {"artifactLocation": {"uri": uri(one.file)}, "replacements": list(_replacements(one))}
            for one in rewrites
        ],
    }


def _replacements(one: Rewrite) -> Iterator[dict[str, Any]]:
    """Yield what to put in the place of which lines; a region ends before the first column of its last line."""
    before, after = one.before.splitlines(keepends=True), one.after.splitlines(keepends=True)
    for tag, start, end, new, upto in difflib.SequenceMatcher(
        None, before, after, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            continue
        region = {"startLine": start + 1, "startColumn": 1, "endLine": end + 1, "endColumn": 1}
        yield {"deletedRegion": region, "insertedContent": {"text": "".join(after[new:upto])}}


Outcome: TypeAlias = Literal["pass", "failure", "error", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test case for JUnit: what was asked (`group`, `name`), what came out, and the story of it."""

    group: str
    name: str
    outcome: Outcome = "pass"
    message: str = ""
    story: str = ""
    place: Where = field(default_factory=Where)


def junit(title: str, suites: Mapping[str, Sequence[Case]]) -> str:
    """Return cases, by the name of their suite, as JUnit XML."""
    root = ET.Element("testsuites", name=title)
    for name, cases in suites.items():
        counts = {
            plural: str(sum(case.outcome == outcome for case in cases))
            for outcome, plural in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped"))
        }
        head = {"name": printable(name), "tests": str(len(cases)), **counts}
        suite = ET.SubElement(root, "testsuite", head)
        for case in cases:
            attributes = {"classname": printable(case.group), "name": printable(case.name)}
            if case.place.file:
                attributes |= {"file": printable(case.place.file), "line": str(case.place.line)}
            element = ET.SubElement(suite, "testcase", attributes)
            if case.outcome != "pass":
                told = ET.SubElement(element, case.outcome, message=printable(case.message))
                told.text = printable(case.story or case.message)
            elif case.story:
                ET.SubElement(element, "system-out").text = printable(case.story)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def printable(text: str) -> str:
    """Return the text without the characters that XML cannot carry."""
    return "".join(
        char
        for char in text
        if (char >= " " or char in "\n\t") and not "\ud800" <= char <= "\udfff" and char not in "\ufffe\uffff"
    )
