"""Findings that somebody has decided to live with: hidden with a reason, for a time, and never silently for ever.

A Suppression names one finding by its id, or a rule, a subject, or both. What has run out hides nothing any more and is told as a note.
Holds no file and no cluster: documents come in. Never decides what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fairlead.diagnose.inventories import moment
from fairlead.tongues import globs
from fairlead.tongues.paths import mapping, text
from fairlead.words import Finding, Ref, Resource

API_VERSION = "fairlead.dev/v1alpha1"
KIND = "Suppression"

_ID = re.compile(r"[0-9a-f]{8}")
_SPAN = re.compile(r"(\d{1,6})(s|m|h|d|w)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PARTS = ("group", "kind", "namespace", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One decision to hide findings: this one, or all of a rule, of a subject, or of both.

    `subject` holds the parts that must fit, by the names group, kind, namespace and name; a part that is not there fits anything.
    Rules, namespaces and names may have wildcards: `image.*`, `web-*`. `until` None is for good.
    """

    name: str
    reason: str
    finding: str = ""
    rule: str = ""
    subject: tuple[tuple[str, str], ...] = ()
    until: datetime | None = None
    by: str = ""

    def expired(self, now: datetime) -> bool:
        """Say whether its time is over."""
        return self.until is not None and self.until <= now

    def matches(self, finding: Finding) -> bool:
        """Say whether it means this finding, whatever the time."""
        if self.finding:
            return self.finding == finding.id
        if self.rule and not globs.matches(self.rule, finding.rule):
            return False
        return bool(self.rule or self.subject) and all(
            _fits(part, wanted, finding.subject) for part, wanted in self.subject
        )

    def __str__(self) -> str:
        """What it hides, in words: `finding 1a2b3c4d`, `image.pull on Deployment shop/web`."""
        if self.finding:
            return f"finding {self.finding}"
        parts = dict(self.subject)
        place = "/".join(parts[key] for key in ("namespace", "name") if key in parts)
        whose = " ".join(part for part in (parts.get("kind", ""), place) if part)
        return " on ".join(part for part in (self.rule, whose) if part)


def _fits(part: str, wanted: str, subject: Ref) -> bool:
    held: str = getattr(subject, part)
    return held.lower() == wanted.lower() if part == "kind" else globs.matches(wanted, held)


def suppressed(
    findings: Iterable[Finding], suppressions: Iterable[Suppression], now: datetime
) -> tuple[list[Finding], list[tuple[Finding, Suppression]]]:
    """Part findings into those to show and those that a suppression which still holds hides, each in their order."""
    holding = [one for one in suppressions if not one.expired(now)]
    shown: list[Finding] = []
    hidden: list[tuple[Finding, Suppression]] = []
    for finding in findings:
        by = next((one for one in holding if one.matches(finding)), None)
        if by is None:
            shown.append(finding)
        else:
            hidden.append((finding, by))
    return shown, hidden


def returned(
    findings: Iterable[Finding], suppressions: Iterable[Suppression], now: datetime
) -> list[tuple[Finding, Suppression]]:
    """Return the findings that were hidden once and are not any more, because the time for it is over."""
    past = [one for one in suppressions if one.expired(now)]
    pairs = [(finding, next((one for one in past if one.matches(finding)), None)) for finding in findings]
    return [(finding, one) for finding, one in pairs if one is not None]


def span(text: str) -> timedelta:
    """Return the length of time that `30d`, `12h` or `2w` stands for. Raises ValueError."""
    found = _SPAN.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise ValueError(f"{text!r} is no length of time: write 30m, 12h, 30d or 2w")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def deadline(text: str) -> datetime:
    """Return the moment that a date (its end, in UTC) or an RFC 3339 time stands for. Raises ValueError."""
    said = text.strip()
    if re.fullmatch(r"\d{4}-\d\d-\d\d", said):
        day = moment(f"{said}T00:00:00Z")
        at = day + timedelta(days=1) if day is not None else None
    else:
        at = moment(said)
    if at is None:
        raise ValueError(f"{text!r} is no date: write 2026-12-31 or 2026-12-31T18:00:00Z")
    return at


def write(one: Suppression) -> Resource:
    """Return the object that `read` reads."""
    spec: dict[str, Any] = {}
    if one.finding:
        spec["finding"] = one.finding
    if one.rule:
        spec["rule"] = one.rule
    if one.subject:
        spec["subject"] = dict(one.subject)
    spec["reason"] = one.reason
    spec["until"] = one.until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if one.until else None
    spec["by"] = one.by
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": one.name},
        "spec": {key: value for key, value in spec.items() if value},
    }


def read(documents: Iterable[Any]) -> tuple[list[Suppression], list[str]]:
    """Return the suppressions among documents, and what is wrong with those that are none, in one sentence each.

    One that cannot be understood in full hides nothing.
    """
    found: list[Suppression] = []
    problems: list[str] = []
    for document in documents:
        if not isinstance(document, dict) or document.get("kind") != KIND:
            problems.append("is no Suppression of fairlead.dev/v1alpha1")
            continue
        name = text(document, "metadata", "name")
        spec = mapping(document, "spec")
        problem = _problem(spec)
        if problem:
            problems.append(f"Suppression {name or '(without a name)'}: {problem}")
            continue
        found.append(
            Suppression(
                name=name,
                finding=text(spec, "finding"),
                rule=text(spec, "rule"),
                subject=tuple(
                    (key, value)
                    for key in _PARTS
                    if isinstance(value := mapping(spec, "subject").get(key), str) and value
                ),
                reason=text(spec, "reason"),
                until=moment(spec.get("until")),
                by=text(spec, "by"),
            )
        )
    return found, problems


def _problem(spec: Mapping[str, Any]) -> str:
    """Return what is wrong with a suppression's spec, or ""."""
    unknown = sorted(set(spec) - {"finding", "rule", "subject", "reason", "until", "by"})
    subject = spec.get("subject")
    if unknown:
        return f"spec.{unknown[0]} is not known"
    if subject is not None and not (
        isinstance(subject, dict)
        and set(subject) <= set(_PARTS)
        and all(isinstance(value, str) for value in subject.values())
    ):
        return "spec.subject may have group, kind, namespace and name, each a text"
    if spec.get("until") is not None and moment(spec.get("until")) is None:
        return "spec.until is no RFC 3339 time"
    if text(spec, "finding"):
        return "" if _ID.fullmatch(text(spec, "finding")) else "spec.finding is not eight hex digits"
    if not text(spec, "rule") and not any(mapping(spec, "subject").values()):
        return "spec names neither a finding, nor a rule, nor a subject"
    return ""
