"""Findings as JSON and back."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fairlead.diagnose import records
from fairlead.words import Change, Evidence, Finding, Fix, Need, Ref, Severity, Symptom, Where

WEB = Ref("apps", "Deployment", "shop", "web")
POD = Ref("", "Pod", "shop", "web-1")
WHOLE = Finding(
    rule="image.pull",
    severity=Severity.WARNING,
    confidence="likely",
    subject=WEB,
    message="cannot",
    cause="because",
    evidence=(Evidence("event", POD, "Failed", Where(path=".spec")),),
    symptoms=(Symptom(POD, "waits", "pod.waiting", WEB), Symptom(POD, "waits")),
    fixes=(
        Fix(
            title="use another",
            risk="none",
            origin="model",
            changes=(
                Change(verb="patch", ref=WEB, api_version="apps/v1", patch="json", body=[{"op": "remove", "path": "/spec"}]),
            ),
        ),
        Fix(title="or not", changes=()),
    ),
    where=Where("a.yaml", 3, ".spec"),
)  # fmt: skip


def test_a_finding_comes_back_whole() -> None:
    written = json.loads(json.dumps(records.finding(WHOLE)))
    assert records.read(written) == WHOLE
    assert written["id"] == WHOLE.id == records.read(written).id
    assert written["symptoms"][0]["after"] == {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "web"}  # fmt: skip
    assert "after" not in written["symptoms"][1]
    assert [one["origin"] for one in written["fixes"]] == ["model", "rules"]


def test_a_need_comes_back_whole() -> None:
    need = Need("log", POD, (("container", "web"), ("previous", "true")))
    assert records.read_need(records.need(need)) == need


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*records.finding(WHOLE), "after", "kind", "changes"]), inner)
    ),
    max_leaves=20,
)


@given(JUNK)
def test_reading_never_raises(document: object) -> None:
    if isinstance(document, dict):
        records.read(document)
