"""Incidents on clusters as their providers leave them: the root is found, nothing else is said, and what is well stays unsaid.

Incidents are data (incidents/*.yaml): a flavour of cluster, applications, what somebody broke, and the roots that must come out above info.
`roots_any` lists roots one of which is right; names may end in `*`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import estate_apps
import estate_flavours
import estates
import pytest
import yaml
from estate_faults import Incident
from estate_words import NOW

from fairlead.diagnose.examining import examine, needs
from fairlead.words import Finding, Need, Severity, Snapshot

INCIDENTS = Path(__file__).parent / "incidents"


def _incidents() -> Iterator[Any]:
    for path in sorted(INCIDENTS.glob("*.yaml")):
        for incident in yaml.safe_load_all(path.read_text()):
            yield pytest.param(incident, id=incident["incident"])


def look(estate: estates.Estate, logs: Mapping[str, str] | None = None) -> list[Finding]:
    view = Snapshot(estate.objects.values())
    answers: dict[Need, str] = {}
    for need in needs(view, now=NOW):
        for start, text in (logs or {}).items():
            if need.about.name.startswith(f"{start}-"):
                answers[need] = text
    found = examine(view, scope="live", now=NOW, answers=answers)
    return [one for one in found if one.severity != Severity.INFO]


def told(one: Finding) -> str:
    subject = one.subject
    place = f"{subject.namespace}/{subject.name}" if subject.namespace else subject.name
    return f"{one.rule} {subject.kind}/{place}"


@pytest.mark.parametrize("incident", list(_incidents()))
def test_an_incident_has_its_root_and_no_other(incident: dict[str, Any]) -> None:
    estate = Incident(incident["flavour"], incident["apps"])
    estate.breaks(incident["faults"])
    found = look(estate, incident.get("answers"))
    said = sorted(map(told, found))
    choices = incident.get("roots_any") or [incident["roots"]]
    assert any(len(said) == len(roots) and all(map(fnmatchcase, said, sorted(roots))) for roots in choices), [
        (told(one), one.message, one.cause, [str(its.subject) for its in one.symptoms]) for one in found
    ]
    symptoms = {
        f"{its.subject.kind}/{its.subject.namespace}/{its.subject.name}"
        for one in found
        for its in one.symptoms
    }
    assert set(incident.get("symptoms", ())) <= symptoms


@pytest.mark.parametrize("flavour", estate_flavours.FLAVOURS)
@pytest.mark.parametrize("app", estate_apps.APPS)
def test_what_is_well_gives_nothing_above_a_note(flavour: str, app: str) -> None:
    estate = estates.Estate(flavour, {"shop": app} if app != "train" else {"train": app})
    assert [(told(one), one.message, one.cause) for one in look(estate)] == []
