"""Findings and diagnoses as JSON, and the description of that JSON and of fixes' (which reactor/healings makes).

One shape for `diagnose -o json|yaml` and `fix -o json`. docs/findings.md is what `document` returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fairlead.diagnose.histories import status
from fairlead.diagnose.records import change, finding, fix, ref, where
from fairlead.diagnose.rules import RULES
from fairlead.faces.cli.answers import meaning
from fairlead.words import Finding

if TYPE_CHECKING:
    from fairlead.faces.cli.answers import Answer

__all__ = [
    "FIELDS",
    "VERSION",
    "change",
    "diagnosis",
    "document",
    "finding",
    "fix",
    "ref",
    "where",
]

VERSION = "fairlead.dev/v1alpha1"

FIELDS: Sequence[tuple[str, str, str]] = (
    ("Diagnosis", "scope", "`live` (a cluster) or `files`"),
    ("Diagnosis", "source", "`cluster`, `files`, `preview` (files laid over a cluster) or `snapshot`"),
    ("Diagnosis", "time", "when it was so; for a snapshot, when it was taken"),
    ("Diagnosis", "objects", "how many objects were looked at"),
    ("Diagnosis", "unseen", "kinds that could not be listed; nothing is concluded from their absence"),
    ("Diagnosis", "findings", "one for each root cause, the gravest first"),
    (
        "Diagnosis",
        "ignored",
        "what suppressions hide: finding (its id), by (the suppression's name), reason, until",
    ),
    ("Diagnosis", "notAskedFor", "how many findings kinds, labels, namespace and severity leave out"),
    ("Diagnosis", "notes", "what else is to be said, such as of a suppression that cannot be understood"),
    (
        "Finding",
        "id",
        "eight hex digits, the same as long as rule, subject and place are; what `fairlead fix` takes",
    ),
    ("Finding", "rule", "a stable name, see below"),
    ("Finding", "severity", "`critical` (something is down), `warning`, or `info`"),
    ("Finding", "confidence", "`certain` (the objects prove it), `likely` or `possible`"),
    ("Finding", "subject", "the object at fault: group, kind, namespace, name"),
    ("Finding", "message", "what is wrong, in one sentence that follows the subject"),
    ("Finding", "cause", "why, as far as it is known; may be empty"),
    (
        "Finding",
        "evidence",
        "observed facts: kind (field, event, log, exit, condition, absence, call, process, metric, change), subject, text, where",
    ),
    (
        "Finding",
        "symptoms",
        "what is wrong only because of this: subject, message, rule, and after (the object that it directly follows from)",
    ),
    (
        "Finding",
        "fixes",
        "ways out: title, risk, origin (`rules`, or `model` when a model proposed it), changes",
    ),
    ("Finding", "where", "the place to change: file, line, path; unknown parts are left out"),
    (
        "Finding, where there is something to say",
        "history",
        "where something goes on looking: state, firstSeen, lastSeen, times (how often it came), flapping, changes",
    ),
    (
        "Finding, where there is something to say",
        "ignored",
        "with `--show-ignored`: by (the suppression's name), reason, until",
    ),
    ("Finding, where there is something to say", "explanation", "with `--explain`: what it means, in words"),
    ("Change", "verb", "`create`, `update`, `patch` or `delete`"),
    ("Change", "apiVersion, ref", "the object"),
    ("Change", "patch", "for a patch: `json`, `merge`, `strategic` or `apply`"),
    ("Change", "body", "the patch, or the whole object"),
    ("Change", "why", "the reason"),
    ("Change", "ifUid", "the object that is meant, where another one may have its name by then"),
    ("Fix", "finding, fix, title", "which fix for which finding"),
    ("Fix", "diffs", "unified diffs of YAML, one for each object"),
    ("Fix", "trial", "proven (true or false), steps (name, ok, detail), unproven (what a copy cannot show)"),
    (
        "Fix",
        "applied",
        "null, or: outcome (healthy, unhealthy, rolled back, refused; begun, while it is not done), started, seconds, steps, undo, left, record, of",
    ),
    (
        "Fix",
        "cluster",
        "in a record: uid (of the namespace kube-system) and server of the cluster it is about",
    ),
    ("Fix", "undone", "in a record: at, when it was taken back"),
)
"""What each field of the JSON means: (object, field, meaning)."""


def diagnosis(answer: Answer) -> dict[str, Any]:
    """Return a whole answer as JSON: `history` and `ignored` are in a finding where there is something to say."""
    examined = answer.examined
    return {
        "apiVersion": VERSION,
        "kind": "Diagnosis",
        "scope": examined.scope,
        "source": answer.seen.source,
        "time": answer.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "objects": len(examined.view),
        "unseen": [{"group": group, "kind": kind} for group, kind in sorted(examined.unseen)],
        "findings": [told(one, answer) for one in answer.told],
        "ignored": [
            {"finding": one.id, "by": by.name, "reason": by.reason, "until": _time(by.until)}
            for one, by in answer.hidden
        ],
        "notAskedFor": answer.left_out,
        "notes": list(answer.notes),
    }


def _time(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at is not None else None


def told(one: Finding, answer: Answer) -> dict[str, Any]:
    """Return a finding as JSON, with what is known of it over time and what was decided about it."""
    found = finding(one)
    sighting = answer.histories.get(one.id)
    if sighting is not None:
        found["history"] = status(sighting)
    by = answer.suppression(one)
    if by is not None:
        found["ignored"] = {"by": by.name, "reason": by.reason, "until": _time(by.until)}
    if answer.explain:
        found["explanation"] = answer.explanations.get(one.id) or meaning(one.rule)
    return found


def document() -> str:
    """Return docs/findings.md."""
    lines = [
        "# Findings",
        "",
        "`fairlead diagnose -o json` (or `-o yaml`) prints a Diagnosis, `fairlead fix FINDING -o json` a Fix.",
        "This page is made from the program's own tables; a test keeps it so.",
        "",
        "Exit codes of `diagnose`: 0 nothing above `info` was found; 1 something was; 2 it could not look.",
        "Exit codes of `fix`: 0 proven (and, with `--apply`, all is well again); 1 not; 2 it could not try.",
        "",
    ]
    for name in dict.fromkeys(owner for owner, _, _ in FIELDS):
        lines += [f"## {name}", "", "| field | meaning |", "| --- | --- |"]
        lines += [f"| `{field}` | {meaning} |" for owner, field, meaning in FIELDS if owner == name]
        lines.append("")
    lines += ["## Rules", "", "| rule | what it means |", "| --- | --- |"]
    lines += [f"| `{rule}` | {meaning} |" for rule, meaning in sorted(RULES.items())]
    lines.append(
        "| `sense.<dialect>.<rule>` | A rule over the kernel's events saw something: a Detection of the sensor. |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":  # python -m fairlead.faces.cli.findings > docs/findings.md
    print(document(), end="")
