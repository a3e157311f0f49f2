"""Findings written down as JSON, and read back: the one shape of files, objects and answers.

`finding` and its parts give plain JSON; `read` gives the Finding again, as far as the document says one. What a reader may rely on is
told by docs/findings.md. Never decides what is shown, and never raises over a document's content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, get_args

from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import (
    Change,
    Confidence,
    Evidence,
    Finding,
    Fix,
    Need,
    PatchType,
    Ref,
    Severity,
    Symptom,
    Where,
)

_T = TypeVar("_T")
_VERBS = ("create", "update", "patch", "delete")


def ref(one: Ref) -> dict[str, Any]:
    """Return a Ref as JSON, without an empty group or namespace."""
    found = {"group": one.group, "kind": one.kind, "namespace": one.namespace, "name": one.name}
    return {key: value for key, value in found.items() if value or key in {"kind", "name"}}


def where(one: Where) -> dict[str, Any]:
    """Return a place as JSON, its known parts only."""
    found = {"file": one.file, "line": one.line, "path": one.path}
    return {key: value for key, value in found.items() if value}


def evidence(one: Evidence) -> dict[str, Any]:
    """Return one observed fact as JSON."""
    return {"kind": one.kind, "subject": ref(one.subject), "text": one.text, "where": where(one.where)}


def symptom(one: Symptom) -> dict[str, Any]:
    """Return a symptom as JSON; `after` is left out where it is not known."""
    found = {"subject": ref(one.subject), "message": one.message, "rule": one.rule}
    return found if one.after is None else {**found, "after": ref(one.after)}


def change(one: Change) -> dict[str, Any]:
    """Return a Change as JSON."""
    found = {
        "verb": one.verb,
        "apiVersion": one.api_version,
        "ref": ref(one.ref),
        "subresource": one.subresource,
        "patch": one.patch,
        "body": one.body,
        "why": one.why,
        "ifUid": one.if_uid,
    }
    return {key: value for key, value in found.items() if value}


def fix(one: Fix) -> dict[str, Any]:
    """Return a Fix as JSON."""
    return {
        "title": one.title,
        "risk": one.risk,
        "origin": one.origin or "rules",
        "changes": [change(item) for item in one.changes],
    }


def finding(one: Finding) -> dict[str, Any]:
    """Return a Finding as JSON."""
    return {
        "id": one.id,
        "rule": one.rule,
        "severity": str(one.severity),
        "confidence": one.confidence,
        "subject": ref(one.subject),
        "message": one.message,
        "cause": one.cause,
        "evidence": [evidence(item) for item in one.evidence],
        "symptoms": [symptom(item) for item in one.symptoms],
        "fixes": [fix(item) for item in one.fixes],
        "where": where(one.where),
    }


def need(one: Need) -> dict[str, Any]:
    """Return a Need as JSON."""
    return {"what": one.what, "about": ref(one.about), "detail": dict(one.detail)}


# And back


def _each(document: Any, key: str, read_one: Callable[[Mapping[str, Any]], _T]) -> tuple[_T, ...]:
    return tuple(read_one(item) for _, item in mappings(document, key))


def read_ref(document: Mapping[str, Any]) -> Ref:
    """Return the Ref that `ref` wrote; missing parts become ""."""
    return Ref(
        text(document, "group"), text(document, "kind"), text(document, "namespace"), text(document, "name")
    )


def read_where(document: Mapping[str, Any]) -> Where:
    """Return the place that `where` wrote."""
    line = document.get("line")
    return Where(text(document, "file"), line if isinstance(line, int) else 0, text(document, "path"))


def read_need(document: Mapping[str, Any]) -> Need:
    """Return the Need that `need` wrote."""
    detail = tuple((str(key), str(value)) for key, value in mapping(document, "detail").items())
    return Need(text(document, "what"), read_ref(mapping(document, "about")), detail)


def read_change(document: Mapping[str, Any]) -> Change:
    """Return the Change that `change` wrote; an unknown verb becomes a patch of nothing."""
    verb, patch = text(document, "verb"), text(document, "patch")
    return Change(
        verb=cast("Any", verb if verb in _VERBS else "patch"),
        ref=read_ref(mapping(document, "ref")),
        api_version=text(document, "apiVersion"),
        body=document.get("body"),
        patch=cast("PatchType", patch) if patch in get_args(PatchType) else None,
        subresource=text(document, "subresource"),
        why=text(document, "why"),
        if_uid=text(document, "ifUid"),
    )


def _read_evidence(document: Mapping[str, Any]) -> Evidence:
    return Evidence(
        text(document, "kind"),
        read_ref(mapping(document, "subject")),
        text(document, "text"),
        read_where(mapping(document, "where")),
    )


def _read_symptom(document: Mapping[str, Any]) -> Symptom:
    after = mapping(document, "after")
    return Symptom(
        read_ref(mapping(document, "subject")),
        text(document, "message"),
        text(document, "rule"),
        read_ref(after) if after else None,
    )


def _read_fix(document: Mapping[str, Any]) -> Fix:
    origin = text(document, "origin")
    return Fix(
        title=text(document, "title"),
        risk=text(document, "risk"),
        origin="" if origin == "rules" else origin,
        changes=_each(document, "changes", read_change),
    )


def read(document: Mapping[str, Any]) -> Finding:
    """Return the Finding that `finding` wrote. What is absent or of another type is empty; its id follows from its parts."""
    severity, confidence = text(document, "severity"), text(document, "confidence")
    return Finding(
        rule=text(document, "rule"),
        severity=Severity(severity) if severity in set(Severity) else Severity.WARNING,
        confidence=cast("Confidence", confidence) if confidence in get_args(Confidence) else "possible",
        subject=read_ref(mapping(document, "subject")),
        message=text(document, "message"),
        cause=text(document, "cause"),
        evidence=_each(document, "evidence", _read_evidence),
        symptoms=_each(document, "symptoms", _read_symptom),
        fixes=_each(document, "fixes", _read_fix),
        where=read_where(mapping(document, "where")),
    )
