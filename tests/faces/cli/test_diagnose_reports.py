"""What a diagnosis is for other programs and for a browser: SARIF, JUnit XML and the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from fairlead.diagnose import records
from fairlead.diagnose.histories import Sighting
from fairlead.diagnose.suppressing import Suppression
from fairlead.faces.cli import findings, htmlgraph, htmlreport, reports, reports_diagnosis, stories
from fairlead.faces.cli.answers import Answer, Seen, diffs, meaning
from fairlead.faces.cli.htmlgraph import Box
from fairlead.faces.cli.main import main
from fairlead.faces.cli.pens import Pen
from fairlead.judge.practices import NAMES
from fairlead.reactor.examine import Examined
from fairlead.words import Change, Evidence, Finding, Fix, Ref, Severity, Snapshot, Symptom, Where

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
HOSTILE = "</style></script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\x00]]>&amp;"
WEB = Ref("apps", "Deployment", "shop", "web")
OBJECT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}},
}


def pod(name: str, namespace: str = "shop") -> Ref:
    return Ref("", "Pod", namespace, name)


def finding(**more: Any) -> Finding:
    change = Change(
        verb="patch",
        ref=WEB,
        api_version="apps/v1",
        patch="json",
        body=[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "web:1"}],
        why="the image is there",
    )
    parts: dict[str, Any] = {
        "rule": "image.pull",
        "severity": Severity.CRITICAL,
        "subject": WEB,
        "message": "image web:2 cannot be pulled",
        "cause": "web:1 is there: probably that image is meant.",
        "evidence": (Evidence("event", pod("web-1"), "Failed: no such image"),),
        "symptoms": (
            Symptom(pod("web-1"), "waits for its image", "pod.waiting", WEB),
            Symptom(pod("web-2"), "waits for its image", "pod.waiting", WEB),
            Symptom(
                Ref("", "Service", "shop", "web"), "has no ready endpoints", "service.endpoints", pod("web-1")
            ),
        ),
        "fixes": (Fix(title="use image web:1", risk="The pods are made anew.", changes=(change,)),),
        "where": Where(path=".spec.template.spec.containers[0].image"),
    }
    return Finding(**{**parts, **more})


def answer(*shown: Finding, **more: Any) -> Answer:
    examined = Examined(list(shown), Snapshot([OBJECT]), "live", more.pop("unseen", frozenset()))
    return Answer(Seen(examined, NOW, more.pop("source", "cluster")), list(shown), **more)


KNOWN = Suppression(
    name="known", reason="the new node comes on Monday", rule="node.*", until=NOW + timedelta(days=3)
)
CORDONED = Finding(
    rule="node.cordoned", severity=Severity.WARNING, subject=Ref("", "Node", "", "one"), message="takes no new pods"
)  # fmt: skip
NOTE = Finding(
    rule="service.idle", severity=Severity.INFO, subject=Ref("", "Service", "shop", "old"), message="is idle"
)
EVIL = finding(
    rule="config.key",
    subject=pod(HOSTILE),
    message=HOSTILE,
    cause=HOSTILE,
    evidence=(Evidence("log", pod(HOSTILE), HOSTILE, Where(HOSTILE, 1, HOSTILE)),),
    symptoms=(Symptom(pod(HOSTILE + "2"), HOSTILE),),
    fixes=(Fix(title=HOSTILE, risk=HOSTILE, origin=HOSTILE, changes=()),),
    where=Where(HOSTILE, 1, HOSTILE),
)


# SARIF


def valid_sarif(log: dict[str, Any]) -> list[dict[str, Any]]:
    """Check what the schema and GitHub's reader ask of a log, and return its results."""
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids))
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
        for location in result["locations"] + result.get("relatedLocations", []):
            assert set(location) <= {"id", "physicalLocation", "logicalLocations", "message"}
            physical = location.get("physicalLocation")
            if physical is not None:
                assert re.fullmatch(r"[A-Za-z0-9/:@!$&'()*+,;=~._%-]+", physical["artifactLocation"]["uri"])
                assert physical["region"]["startLine"] >= 1
        for fix in result.get("fixes", []):
            assert fix["artifactChanges"]
            for change in fix["artifactChanges"]:
                assert change["replacements"]
                for replacement in change["replacements"]:
                    assert replacement["deletedRegion"]["startLine"] >= 1
    return list(run["results"])


def test_sarif_of_a_cluster() -> None:
    told = answer(finding(), NOTE, hidden=[(CORDONED, KNOWN)], unseen=frozenset({("", "Secret")}))
    log = reports_diagnosis.sarif(told)
    one, note, hidden = valid_sarif(json.loads(json.dumps(log)))
    assert one["level"] == "error"
    assert one["fingerprints"] == {"fairlead/v1": finding().id}
    assert one["locations"][0]["logicalLocations"] == [
        {"fullyQualifiedName": "Deployment shop/web.spec.template.spec.containers[0].image"}
    ]
    assert [item["logicalLocations"][0]["fullyQualifiedName"] for item in one["relatedLocations"]] == [
        "Pod shop/web-1",
        "Pod shop/web-2",
        "Service shop/web",
    ]
    assert "suppressions" not in one
    assert note["level"] == "note"
    assert hidden["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "the new node comes on Monday"}
    ]
    notifications = log["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    assert notifications[0]["message"]["text"] == "could not be listed: Secret"


BAD = """\
# kept
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: web, ports: [{name: http, containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: wbe}   # here
  ports: [{port: 80}]
"""


def test_sarif_of_files_has_lines_and_fixes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "bad.yaml").write_text(BAD)
    assert main(["diagnose", "-f", "a b", "-o", "sarif", "--output-file", "out.sarif"]) == 1
    assert capsys.readouterr().out == ""
    (one,) = valid_sarif(json.loads((tmp_path / "out.sarif").read_text()))
    physical = one["locations"][0]["physicalLocation"]
    assert physical == {"artifactLocation": {"uri": "a%20b/bad.yaml"}, "region": {"startLine": 16}}
    (change,) = one["fixes"][0]["artifactChanges"]
    assert _rewritten(BAD, change["replacements"]) == BAD.replace("wbe", "web")


def _rewritten(text: str, replacements: Sequence[dict[str, Any]]) -> str:
    """Do to a text what the replacements say, from its end."""
    lines = text.splitlines(keepends=True)
    for one in sorted(replacements, key=lambda one: -one["deletedRegion"]["startLine"]):
        region = one["deletedRegion"]
        lines[region["startLine"] - 1 : region["endLine"] - 1] = [one["insertedContent"]["text"]]
    return "".join(lines)


@pytest.mark.parametrize("after", ["", "b\n", "x\na\nb\nc\n", "a\nb\nc\nd", "A\nb\nC\n"])
def test_replacements_say_what_has_changed(after: str) -> None:
    before = "a\nb\nc\n"
    mark = reports.Mark(
        rule="a.b",
        level="error",
        text="x",
        subject="Pod a",
        fixes=[("fix", [reports.Rewrite(file="a.yaml", before=before, after=after)])],
    )
    (result,) = valid_sarif(reports.sarif([mark], {}))
    assert _rewritten(before, result["fixes"][0]["artifactChanges"][0]["replacements"]) == after


# JUnit


def test_junit() -> None:
    root = ET.fromstring(reports_diagnosis.junit(answer(finding(), NOTE, hidden=[(CORDONED, KNOWN)])))
    counts = {one.get("name"): (one.get("tests"), one.get("failures"), one.get("skipped")) for one in root}
    assert counts == {"image": ("1", "1", "0"), "service": ("1", "0", "0"), "node": ("1", "0", "1")}
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "image web:2 cannot be pulled"
    assert "fix: use image web:1" in (failure.text or "")
    skipped = root.find(".//skipped")
    assert skipped is not None
    assert skipped.get("message") == "ignored: the new node comes on Monday"


def test_junit_of_nothing_is_one_case_that_passes() -> None:
    root = ET.fromstring(reports_diagnosis.junit(answer()))
    assert [case.get("name") for case in root.iter("testcase")] == ["nothing is wrong"]
    assert root.find(".//failure") is None


def test_hostile_names_break_no_format() -> None:
    told = answer(EVIL)
    ET.fromstring(reports_diagnosis.junit(told))
    valid_sarif(json.loads(json.dumps(reports_diagnosis.sarif(told))))


# The page

VOID = {"meta", "input", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """What a browser would see: the tags in their order, all closed; the attributes; the text of each tag."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def said(self) -> str:
        return " ".join(
            part for tag, parts in self.texts.items() if tag not in {"script", "style"} for part in parts
        )


def test_the_page_tells_everything() -> None:
    sighting = Sighting(
        id=finding().id,
        finding=records.finding(finding()),
        first_seen=NOW - timedelta(hours=3),
        last_seen=NOW,
        changes=(NOW - timedelta(hours=3),),
    )
    told = answer(
        finding(),
        NOTE,
        hidden=[(CORDONED, KNOWN)],
        histories={finding().id: sighting},
        unseen=frozenset({("", "Secret")}),
        explain=True,
    )
    page = Page(htmlreport.page(told))
    said = page.said()
    for text in (
        "1 cause of trouble",
        "image web:2 cannot be pulled",
        "web:1 is there: probably that image is meant.",
        "since 3h",
        "Failed: no such image",
        "use image web:1",
        "The pods are made anew.",
        "-        image: web:2",
        "+        image: web:1",
        f"fairlead fix {finding().id}",
        "ignored until 2026-01-04: the new node comes on Monday",
        "could not be listed: Secret",
        "An image cannot be pulled",
    ):
        assert text in said
    assert {one["id"] for one in page.all("article")} == {finding().id, NOTE.id, CORDONED.id}


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = htmlreport.page(answer(finding(), NOTE))
    page = Page(text)
    assert not {"link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not attributes.get("src")
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import", text)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv")]
    assert "default-src 'none'" in (policy or "")
    assert "unsafe-inline'; script" in (policy or "")
    assert "script-src 'sha256-" in (policy or "")


def test_hostile_names_are_text_on_the_page() -> None:
    plain, evil = (
        Page(htmlreport.page(answer(finding()))),
        Page(htmlreport.page(answer(EVIL, hidden=[(EVIL, KNOWN)]))),
    )
    assert len(evil.all("script")) == len(plain.all("script")) == 1
    assert not evil.all("img")
    assert not any(name.startswith("on") for _, attributes in evil.tags for name in attributes)
    assert "<script>alert(1)</script>" in evil.said()
    text = htmlreport.page(answer(EVIL))
    assert "\u202e" not in text
    assert "\x00" not in text


def test_without_findings_the_page_says_so() -> None:
    said = Page(htmlreport.page(answer())).said()
    assert "Nothing is wrong" in said
    assert not Page(htmlreport.page(answer())).all("article")


def test_advice_is_told_by_rule() -> None:
    notes = [
        Finding(rule="config.unused", severity=Severity.INFO, subject=Ref("", "ConfigMap", "shop", f"c{n}"), message="is unused")
        for n in range(9)
    ]  # fmt: skip
    page = Page(htmlreport.page(answer(*notes, advice=True)))
    assert len(page.all("details")) == 1
    assert not page.all("article")
    lines = stories.diagnosis(answer(*notes, advice=True), Pen(width=100))
    assert lines[0].startswith("· config.unused (9)  ")
    assert (
        lines[1] == "    ConfigMap shop/c0, ConfigMap shop/c1, ConfigMap shop/c2, ConfigMap shop/c3 + 5 more"
    )
    assert len(lines) == 4


# The drawing


def boxes(box: Box) -> Iterator[Box]:
    yield box
    for child in box.children:
        yield from boxes(child)


def test_symptoms_are_drawn_behind_what_they_follow_from() -> None:
    root = htmlgraph.tree(finding())
    (pods,) = root.children
    (service,) = pods.children
    assert (root.names, pods.count, pods.names, service.names) == (
        ["shop/web"],
        2,
        ["web-1", "web-2"],
        ["web"],
    )
    assert not service.children


def test_sixty_symptoms_are_a_few_boxes_that_do_not_touch() -> None:
    node = Ref("", "Node", "", "one")
    symptoms = [
        Symptom(pod(f"web-{n}"), "is on a node that is not ready", "pod.waiting", node) for n in range(40)
    ]
    symptoms += [
        Symptom(Ref("g", f"Kind{n}", "shop", f"k{n}"), f"waits {chr(97 + n)}", "a.b", node) for n in range(20)
    ]
    one = finding(subject=node, symptoms=tuple(symptoms))
    root = htmlgraph.tree(one)
    assert len(root.children) == 10
    assert sum(box.count for box in root.children[:-1]) == 48
    assert root.children[-1].names[0] == "12 more"
    drawing = Page(htmlgraph.svg(one))
    places = [
        (float(box["x"] or 0), float(box["y"] or 0)) for box in drawing.all("rect") if box["class"] == "body"
    ]
    assert len(places) == len(set(places)) == 11
    for x, y in places:
        assert not any(
            (x, y) != other and abs(x - other[0]) < htmlgraph.WIDTH and abs(y - other[1]) < htmlgraph.HEIGHT
            for other in places
        )


def test_a_ring_and_strangers_are_drawn_too() -> None:
    a, b = pod("a"), pod("b")
    ring = finding(
        symptoms=(
            Symptom(a, "x", after=b),
            Symptom(b, "y", after=a),
            Symptom(pod("c"), "z", after=pod("gone")),
        )
    )
    names = {name for box in boxes(htmlgraph.tree(ring)) for name in box.names}
    assert {"a", "b", "c"} <= names
    lines = "\n".join(stories.chain(ring, Pen()))
    assert "Pod c" in lines


def test_nothing_is_drawn_of_nothing() -> None:
    assert htmlgraph.svg(finding(symptoms=())) == ""


# The rest


def test_diffs_without_a_cluster() -> None:
    (text,) = diffs(Snapshot([OBJECT]), finding().fixes[0])
    assert [line for line in text.splitlines() if line[:1] in "+-"][2:] == [
        "-        image: web:2",
        "+        image: web:1",
    ]
    assert diffs(Snapshot(), finding().fixes[0]) == []


def test_explained() -> None:
    lines = stories.explained(finding(confidence="likely"), Pen(width=100))
    assert lines == [
        "    means: image.pull: An image cannot be pulled: its name is wrong, or the registry has none, or",
        "           refuses.",
        "    sure?  likely: everything that was seen fits, but the objects alone do not prove it.",
        "    chain: Deployment shop/web",
        "           └─ Pod web-1, web-2  waits for its image",
        "              └─ Service web  has no ready endpoints",
        "    fix:   use image web:1. the image is there. The pods are made anew.",
    ]


def test_json_says_what_is_ignored_and_since_when() -> None:
    sighting = Sighting(id=finding().id, finding={}, first_seen=NOW, last_seen=NOW, times=2)
    told = answer(finding(), hidden=[(CORDONED, KNOWN)], histories={finding().id: sighting}, show_hidden=True)
    document = findings.diagnosis(told)
    one, hidden = document["findings"]
    assert one["history"]["times"] == 2
    assert hidden["ignored"] == {
        "by": "known",
        "reason": "the new node comes on Monday",
        "until": "2026-01-04T12:00:00Z",
    }
    assert document["ignored"][0]["finding"] == CORDONED.id
    assert told.code == 1
    assert answer(hidden=[(CORDONED, KNOWN)]).code == 0


def test_the_story_tells_history_and_ignored() -> None:
    sighting = Sighting(
        id=finding().id, finding={}, first_seen=NOW - timedelta(hours=9), last_seen=NOW, times=4, changes=(NOW - timedelta(hours=3),)
    )  # fmt: skip
    told = answer(finding(), hidden=[(CORDONED, KNOWN)], histories={finding().id: sighting}, show_hidden=True)
    lines = stories.diagnosis(told, Pen(width=100))
    assert "    since 3h, 4 times in 9h" in lines
    assert "    ignored until 2026-01-04: the new node comes on Monday" in lines
    assert lines[-1] == "1 cause explains 3 symptoms (1 object in 0.0 s, 1 ignored)"


def test_what_rules_and_practices_mean() -> None:
    assert meaning("image.pull").startswith("An image cannot be pulled")
    assert meaning("practice.image-tag") == NAMES["image-tag"].title
    assert meaning("practice.nothing") == meaning("sense.falco.any") == ""
