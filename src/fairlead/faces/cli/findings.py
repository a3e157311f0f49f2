"""Findings, diagnoses, trials and healings as JSON, and the description of that JSON.

One shape for `diagnose -o json|yaml` and `fix -o json`. docs/findings.md is what `document` returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fairlead.diagnose.records import change, finding, fix, ref, where
from fairlead.diagnose.rules import RULES

if TYPE_CHECKING:
    from fairlead.reactor.examine import Examined
    from fairlead.reactor.heal import Healing
    from fairlead.reactor.trial import Step, Trial

__all__ = [
    "FIELDS",
    "VERSION",
    "change",
    "diagnosis",
    "document",
    "finding",
    "fix",
    "healing",
    "ref",
    "trial",
    "where",
]

VERSION = "fairlead.dev/v1alpha1"

FIELDS: Sequence[tuple[str, str, str]] = (
    ("Diagnosis", "scope", "`live` (a cluster) or `files`"),
    ("Diagnosis", "objects", "how many objects were looked at"),
    ("Diagnosis", "unseen", "kinds that could not be listed; nothing is concluded from their absence"),
    ("Diagnosis", "findings", "one for each root cause, the gravest first"),
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
    ("Change", "verb", "`create`, `update`, `patch` or `delete`"),
    ("Change", "apiVersion, ref", "the object"),
    ("Change", "patch", "for a patch: `json`, `merge`, `strategic` or `apply`"),
    ("Change", "body", "the patch, or the whole object"),
    ("Change", "why", "the reason"),
    ("Fix", "finding, fix, title", "which fix for which finding"),
    ("Fix", "diffs", "unified diffs of YAML, one for each object"),
    ("Fix", "trial", "proven (true or false), steps (name, ok, detail), unproven (what a copy cannot show)"),
    (
        "Fix",
        "applied",
        "null, or: outcome (healthy, unhealthy, rolled back, refused), seconds, steps, undo, record",
    ),
)
"""What each field of the JSON means: (object, field, meaning)."""


def diagnosis(examined: Examined) -> dict[str, Any]:
    """Return a whole examination as JSON."""
    return {
        "apiVersion": VERSION,
        "kind": "Diagnosis",
        "scope": examined.scope,
        "objects": len(examined.view),
        "unseen": [{"group": group, "kind": kind} for group, kind in sorted(examined.unseen)],
        "findings": [finding(one) for one in examined.findings],
    }


def _steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [{"name": one.name, "ok": one.ok, "detail": one.detail} for one in steps]


def healing(one: Healing, record: str = "") -> dict[str, Any]:
    """Return what was done as JSON; `record` is where it was written down."""
    return {
        "outcome": one.outcome,
        "started": one.started,
        "seconds": round(one.seconds, 2),
        "steps": _steps(one.steps),
        "undo": [change(item) for item in one.undo],
        "left": [item.id for item in one.left],
        "record": record,
    }


def trial(one: Trial, healed: Healing | None = None, record: str = "") -> dict[str, Any]:
    """Return a trial, and what was done after it, as JSON."""
    return {
        "apiVersion": VERSION,
        "kind": "Fix",
        "finding": finding(one.finding),
        "title": one.fix.title,
        "fix": fix(one.fix),
        "diffs": one.diffs,
        "trial": {"proven": one.proven, "steps": _steps(one.steps), "unproven": one.unproven},
        "applied": None if healed is None else healing(healed, record),
    }


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
