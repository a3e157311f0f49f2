"""What continuous diagnosis writes down: findings, proposals and healings as parts of Finding objects, and as records of what was done.

Plain data in and out. No value of a Secret is in any of it: what a text quotes of one is hidden, and a change of a Secret is told without its
body. What stands in a finding about an object of a namespace is seen by whoever may see that object, not by others: so a Finding lives there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from fairlead.diagnose import records
from fairlead.diagnose.hiding import SHORTEST, secret_texts
from fairlead.reactor.diagnosing_kinds import API_VERSION, HOME
from fairlead.reactor.heal import Healing
from fairlead.reactor.trial import Step, Trial
from fairlead.words import Change, Finding, Fix, Ref, Resource, View

LONGEST: Final = 2048
"""Characters of one text that are kept."""
MOST_SYMPTOMS: Final = 50
LONGEST_DIFF: Final = 8192
_NUMBERS = re.compile(r"\d+")
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")
"""What the value of a label may not have."""


class Veil:
    """Hides what Secrets hold. Reads the view when it is asked; the view must not change meanwhile."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._values: dict[str, list[tuple[str, str]]] = {}
        self._names: frozenset[str] | None = None

    def hide(self, text: str, spaces: Iterable[str]) -> str:
        """Return a text with the values of the Secrets in these namespaces replaced by their names."""
        for space in spaces:
            for value, stand_in in self._of(space):
                if value in text and not self._is_name(value):
                    text = text.replace(value, stand_in)
        return text

    def hide_all(self, content: Any, spaces: Sequence[str]) -> Any:
        """Return plain data with every text in it hidden."""
        if isinstance(content, str):
            return self.hide(content, spaces)
        if isinstance(content, Mapping):
            return {key: self.hide_all(value, spaces) for key, value in content.items()}
        if isinstance(content, list | tuple):
            return [self.hide_all(value, spaces) for value in content]
        return content

    def _of(self, space: str) -> list[tuple[str, str]]:
        if space not in self._values:
            found = [
                (value, f"[secret {Ref.of(one).name}/{key}]")
                for one in self._view.list("", "Secret", space)
                for key, value in secret_texts(one)
                if len(value) >= SHORTEST
            ]
            self._values[space] = sorted(found, key=lambda pair: -len(pair[0]))
        return self._values[space]

    def _is_name(self, value: str) -> bool:
        if self._names is None:
            refs = [
                Ref.of(one)
                for group, kind in self._view.kinds()
                if kind != "Event"
                for one in self._view.list(group, kind)
            ]
            self._names = frozenset({ref.name for ref in refs} | {ref.namespace for ref in refs})
        return value in self._names


def home(ref: Ref) -> str:
    """Return the namespace that a finding about the object is written into."""
    return ref.namespace or HOME


def title(ref: Ref) -> str:
    """Return an object as kubectl names it: `Deployment/web`."""
    return f"{ref.kind}/{ref.name}"


def stamp(at: datetime) -> str:
    """Return a time as Kubernetes writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def of_finding(finding: Finding, veil: Veil) -> dict[str, Any]:
    """Return the `finding` of a Finding object: its JSON without the bodies of changes, hidden and shortened."""
    told = records.finding(finding)
    told["fixes"] = [_without_bodies(one) for one in told["fixes"]]
    more = len(finding.symptoms) - MOST_SYMPTOMS
    told["symptoms"] = told["symptoms"][:MOST_SYMPTOMS]
    if more > 0:
        told["symptoms"][-1]["message"] += f" (and {more} other symptoms)"
    about = [*(one.subject for one in finding.symptoms), *(one.subject for one in finding.evidence)]
    spaces = _spaces(finding.subject, *about)
    hidden: dict[str, Any] = _shortened(veil.hide_all(told, spaces))
    return hidden


def _spaces(*refs: Ref) -> list[str]:
    return list(dict.fromkeys(ref.namespace for ref in refs if ref.namespace))


def _without_bodies(fix: dict[str, Any]) -> dict[str, Any]:
    changes = [{key: value for key, value in one.items() if key != "body"} for one in fix["changes"]]
    return {**fix, "changes": changes}


def _shortened(content: Any) -> Any:
    if isinstance(content, str):
        return content if len(content) <= LONGEST else content[: LONGEST - 1] + "…"
    if isinstance(content, dict):
        return {key: _shortened(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_shortened(value) for value in content]
    return content


def gist(told: Mapping[str, Any]) -> tuple[str, str]:
    """Return two digests of a finding's JSON: of what matters at once, and of all that it says besides its evidence.

    Counts in a message change with every look, and so do the ages in evidence; neither is news.
    """
    plain = [_NUMBERS.sub("#", str(told.get(key) or "")) for key in ("message", "severity", "confidence")]
    subjects = [one.get("subject") for one in told.get("symptoms") or ()]
    fixes = [one.get("title") for one in told.get("fixes") or ()]
    rest = {key: value for key, value in told.items() if key != "evidence"}
    return _digest([plain, subjects, fixes]), _digest(rest)


def _digest(content: Any) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def print_of(finding: Finding) -> str:
    """Return what a finding's fixes are known by: it changes when what would be changed, or how, does.

    Pods that are deleted so that their controllers make them anew have other names every time: they do not count. What was made anew is the
    same to it: else what comes back every time would be healed every time.
    """
    return _digest([[one.title, _lasting(one)] for one in finding.fixes])


def _lasting(fix: Fix) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in records.change(one).items() if key not in {"why", "ifUid"}}
        for one in fix.changes
        if (one.verb, one.ref.kind) != ("delete", "Pod")
    ]


def document(namespace: str, told: Mapping[str, Any], status: Mapping[str, Any]) -> Resource:
    """Return a whole Finding object, as it is applied."""
    subject = told["subject"]
    return {
        "apiVersion": API_VERSION,
        "kind": "Finding",
        "metadata": {
            "name": told["id"],
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/managed-by": "fairlead",
                "fairlead.dev/rule": _UNFIT.sub("-", str(told["rule"]))[:63].strip("-_."),
                "fairlead.dev/severity": told["severity"],
            },
        },
        "subject": f"{subject['kind']}/{subject['name']}",
        "finding": dict(told),
        "status": {key: value for key, value in status.items() if value not in (None, "", [], {})},
    }


# What was tried and done


def _steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [{"name": one.name, "ok": one.ok, "detail": one.detail} for one in steps]


def proposal(trial: Trial, policy: str, at: datetime, veil: Veil, context: str = "") -> dict[str, Any]:
    """Return what a trial has shown, as a Finding's status tells it."""
    spaces = _spaces(trial.finding.subject, *(one.ref for one in trial.fix.changes))
    told = {
        "policy": policy,
        "of": print_of(trial.finding),
        "at": stamp(at),
        "proven": trial.proven,
        "title": trial.fix.title,
        "risk": trial.fix.risk,
        "diffs": [
            one if len(one) <= LONGEST_DIFF else one[:LONGEST_DIFF] + "\n(shortened)" for one in trial.diffs
        ],
        "steps": _steps(trial.steps),
        "unproven": list(trial.unproven),
        "command": f"fairlead fix {trial.finding.id} --apply{context}",
    }
    hidden: dict[str, Any] = veil.hide_all(told, spaces)
    return hidden


def healing(done: Healing, veil: Veil, namespace: str) -> dict[str, Any]:
    """Return what was done, as a Finding's status tells it. What takes it back is told only where that reveals nothing."""
    spaces = _spaces(
        done.finding.subject, *(one.ref for one in done.undo), *(one.ref for one in done.fix.changes)
    )
    undo = [records.change(one) for one in done.undo]
    told: dict[str, Any] = {
        "outcome": "" if done.outcome == "begun" else done.outcome,
        "steps": veil.hide_all(_steps(done.steps), spaces),
    }
    if tellable(done.undo, namespace) and veil.hide_all(undo, spaces) == undo:
        told["undo"] = undo
    return told


def tellable(changes: Iterable[Change], namespace: str) -> bool:
    """Whether bodies of changes may stand in a Finding: about no Secret, and about nothing of another namespace."""
    return all(
        (change.ref.group, change.ref.kind) != ("", "Secret") and change.ref.namespace in {"", namespace}
        for change in changes
    )
