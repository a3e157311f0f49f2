"""Which commit made a value what it is: the history of the file that a finding points into, read back until the value was another.

Adds evidence and judges nothing. Reads a bounded number of commits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.diagnose.inventories import span
from fairlead.dialects import manifests
from fairlead.tongues.paths import find, parse
from fairlead.words import Evidence, Finding, Ref, Severity

if TYPE_CHECKING:
    from fairlead.drivers.git import Version

COMMITS = 50
"""So many commits of one file are read back."""
_ABSENT = object()
_SHOWN = 60


def with_commits(findings: Iterable[Finding], now: datetime) -> list[Finding]:
    """Return the findings with the commit that last changed what each points at, for those in files that Git has."""
    found = []
    for finding in findings:
        told = _blamed(finding, now) if finding.severity != Severity.INFO else None
        found.append(replace(finding, evidence=(*finding.evidence, told)) if told is not None else finding)
    return found


def _blamed(finding: Finding, now: datetime) -> Evidence | None:
    where = finding.where
    path = parse(where.path) if where.path else None
    file = Path(where.file)
    if path is None or not where.file or not file.is_file():
        return None
    if not any((folder / ".git").exists() for folder in file.resolve().parents):
        return None
    from fairlead.drivers.git import Repository  # what reads Git takes its time to load

    repository = Repository.around(file)
    if repository is None:
        return None
    with repository:
        try:
            name = repository.name_of(file)
            text = file.read_text(errors="replace")
            current = _value(text, finding.subject, path)
        except (OSError, ValueError):
            return None
        if current is _ABSENT and "{{" in text:
            return None  # a template, which does not say what it renders
        newer: Version | None = None
        for version in repository.commits(name, COMMITS):
            was = repository.text(version.id, name)
            value = _ABSENT if was is None else _value(was, finding.subject, path)
            if value != current:
                return _told(finding, newer, value, current, now)
            newer = version
    return None  # it was so from the start, or for longer than is looked back


def _value(text: str, subject: Ref, path: tuple[str | int, ...]) -> Any:
    """Return what an object in a file's text says at a path."""
    documents, _ = manifests.read("", text)
    for document in documents:
        ref = document.ref
        if (ref.group, ref.kind, ref.name) == (
            subject.group,
            subject.kind,
            subject.name,
        ) and ref.namespace in {
            subject.namespace,
            "",
        }:
            return find(document.content, path)
    return _ABSENT


def _told(finding: Finding, made: Version | None, old: Any, new: Any, now: datetime) -> Evidence:
    if finding.subject.kind == "Secret":
        what = "was changed"
    elif old is _ABSENT or old is None:
        what = "was added"
    else:
        what = f"was changed from {_short(old)} to {_short(new)}"
    if made is None:
        return Evidence(
            "change", finding.subject, f"{what} in the working tree, not committed yet", finding.where
        )
    text = f"{what} {span(now - made.at)} ago by {made.author} in {made.id[:8]}: {made.subject[:_SHOWN]}"
    return Evidence("change", finding.subject, text, finding.where)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
