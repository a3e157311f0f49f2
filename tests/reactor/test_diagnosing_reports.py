"""What was found is kept as objects: written when it is news, put right when somebody changes it, and gone when it is over."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.diagnose import records
from fairlead.diagnose.suppressing import Suppression
from fairlead.drivers.cluster import Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor import diagnosing_documents as documents
from fairlead.reactor import diagnosing_reports as reports
from fairlead.reactor.diagnosing_documents import Veil, of_finding
from fairlead.reactor.diagnosing_events import camel
from fairlead.reactor.diagnosing_reports import Book, News
from fairlead.words import Change, Evidence, Finding, Fix, Ref, Severity, Snapshot, Symptom

START = datetime(2026, 1, 1, tzinfo=UTC)


class Api:
    """Holds Findings by namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.fault: Exception | None = None

    def _note(self, verb: str) -> None:
        self.calls.append(verb)
        if self.fault is not None:
            raise self.fault

    async def list(self, _version: str, _kind: str, labels: str = "") -> tuple[list[Any], str]:
        self._note("list")
        key, _, value = labels.partition("=")
        return [one for one in self.objects.values() if one["metadata"]["labels"].get(key) == value], "1"

    async def patch(
        self, _version: str, _kind: str, namespace: str, name: str, patch: dict[str, Any], **how: Any
    ) -> None:
        self._note("apply")
        assert how == {"how": "apply", "manager": "fairlead-platform", "force": True}
        self.objects[namespace, name] = copy.deepcopy(patch)

    async def delete(self, _version: str, _kind: str, namespace: str, name: str) -> None:
        self._note("delete")
        if self.objects.pop((namespace, name), None) is None:
            raise Refusal(404, "NotFound", name)


class Stage:
    """A book with a clock that is turned by hand."""

    def __init__(self, api: Api | None = None) -> None:
        self.api = api or Api()
        self.at = 100.0
        self.book = Book(self.api, seconds=lambda: self.at)  # type: ignore[arg-type]  # what it asks of a cluster is there

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.at)

    def see(self, *found: Finding, after: float = 1.0, **more: Any) -> list[tuple[str, str]]:
        """Look, go on for a while, look again, and write; return what was new."""
        news: list[News] = []
        veil = Veil(Snapshot())
        for wait in (0.0, after):
            self.at += wait
            news += self.book.see([(one, of_finding(one, veil)) for one in found], self.now, **more)
        self.flush()
        return [(one.entry.id, one.state) for one in news]

    def flush(self) -> None:
        asyncio.run(self.book.flush())

    def status(self, finding: Finding, namespace: str = "shop") -> dict[str, Any]:
        found: dict[str, Any] = self.api.objects[namespace, finding.id]["status"]
        return found


def finding(name: str = "web", message: str = "selects nothing", **more: Any) -> Finding:
    known: dict[str, Any] = {
        "rule": "service.selector",
        "severity": Severity.CRITICAL,
        "subject": Ref("", "Service", "shop", name),
        "message": message,
    }
    return Finding(**(known | more))


def test_a_finding_is_an_object_beside_its_subject() -> None:
    stage = Stage()
    change = Change(
        verb="patch",
        ref=Ref("", "Service", "shop", "web"),
        api_version="v1",
        body=[{"op": "x"}],
        patch="json",
    )
    one = finding(
        cause="a typo",
        evidence=(Evidence("field", Ref("", "Service", "shop", "web"), "app=wbe"),),
        symptoms=(Symptom(Ref("networking.k8s.io", "Ingress", "shop", "web"), "leads nowhere"),),
        fixes=(Fix(title="select app=web", changes=(change,)),),
    )
    assert stage.see(one) == [(one.id, "active")]
    found = stage.api.objects["shop", one.id]
    assert (found["apiVersion"], found["kind"], found["subject"]) == (
        "fairlead.dev/v1alpha1",
        "Finding",
        "Service/web",
    )
    assert found["finding"]["fixes"][0]["changes"] == [
        {"verb": "patch", "apiVersion": "v1", "ref": records.ref(change.ref), "patch": "json"}
    ]
    assert {key: value for key, value in found["finding"].items() if key != "fixes"} == {
        key: value for key, value in records.finding(one).items() if key != "fixes"
    }
    assert stage.status(one)["state"] == "active"
    node = finding(rule="node.unready", subject=Ref("", "Node", "", "one"))
    stage.see(one, node)
    assert ("default", node.id) in stage.api.objects


def test_any_rule_makes_a_label() -> None:
    stage = Stage()
    one = finding(rule="sense.falco.Write below etc (root) " + "x" * 80 + "/")
    stage.see(one)
    label = stage.api.objects["shop", one.id]["metadata"]["labels"]["fairlead.dev/rule"]
    assert label.startswith("sense.falco.Write-below-etc-root-x")
    assert len(label) == 63


def test_what_passes_is_not_news() -> None:
    stage = Stage()
    one = finding()
    assert stage.see(one, after=reports.APPEAR / 2) == []
    assert stage.book.waits() == pytest.approx(reports.APPEAR / 2)
    assert stage.see() == []
    assert stage.api.calls == []
    stage.see(one)
    assert stage.see(after=reports.VANISH / 2) == []
    assert stage.see(one) == [], "it was away for a moment only"
    assert stage.see(after=reports.VANISH + 0.1) == [(one.id, "resolved")]
    assert stage.status(one)["state"] == "resolved"
    assert stage.see(one) == [(one.id, "active")]
    assert stage.status(one)["times"] == 2


def test_nothing_is_written_that_is_written_already() -> None:
    stage = Stage()
    stage.see(finding(message="3 pods fail"))
    for index in range(20):
        stage.see(finding(message=f"{index} pods fail"))
    assert stage.api.calls == ["apply"], "a count is no news"
    stage.see(finding(message="all pods fail"))
    assert stage.api.calls == ["apply", "apply"]
    stage.at += reports.REWORD
    stage.see(finding(message="all pods fail", cause="it says: x"))
    assert stage.api.calls[2:] == ["apply"]
    aged = finding(
        message="all pods fail",
        cause="it says: x",
        evidence=(Evidence("event", Ref("", "Pod", "shop", "a"), "5s ago"),),
    )
    stage.see(aged)
    assert len(stage.api.calls) == 3
    stage.at += reports.REFRESH
    stage.flush()
    assert len(stage.api.calls) == 4


def test_what_gets_worse_is_news() -> None:
    stage = Stage()
    light, grave = finding(severity=Severity.WARNING), finding()
    stage.see(light)
    veil = Veil(Snapshot())
    (news,) = stage.book.see([(grave, of_finding(grave, veil))], stage.now)
    assert (news.state, news.graver) == ("active", True)
    assert stage.book.see([(light, of_finding(light, veil))], stage.now) == []
    stage.flush()
    assert stage.api.objects["shop", light.id]["metadata"]["labels"]["fairlead.dev/severity"] == "warning"


def test_what_could_not_be_looked_at_stays_as_it_was() -> None:
    stage = Stage()
    one = finding()
    stage.see(one)
    assert stage.see(after=60, looked=lambda _: False) == []
    assert stage.book.entries[one.id].state == "active"


def test_what_somebody_lives_with_is_told_as_such() -> None:
    stage = Stage()
    one = finding()
    stage.see(one)
    by = Suppression(name="known", reason="it is known", finding=one.id)
    assert stage.see(one, hidden={one.id: by}) == [(one.id, "suppressed")]
    assert stage.status(one)["suppression"] == {"name": "known", "reason": "it is known"}
    assert stage.book.active() == []
    assert stage.see(one) == [(one.id, "active")]
    assert "suppression" not in stage.status(one)


def test_what_others_change_is_put_right_and_not_fought_over() -> None:
    stage = Stage()
    one = finding()
    stage.see(one)
    edited = copy.deepcopy(stage.api.objects["shop", one.id])
    edited["finding"]["message"] = "all is well"
    edited["metadata"]["annotations"] = {"fairlead.dev/heal": "off"}
    stage.book.heard([edited], [])
    stage.flush()
    assert len(stage.api.calls) == 1, "not at once"
    assert stage.book.entries[one.id].annotations == {"fairlead.dev/heal": "off"}
    stage.at += reports.CONTEST
    stage.flush()
    assert stage.api.objects["shop", one.id]["finding"]["message"] == one.message
    stage.book.heard([stage.api.objects["shop", one.id]], [])
    stage.at += reports.CONTEST
    stage.flush()
    assert stage.api.calls == ["apply", "apply"]


def test_what_others_delete_comes_back_while_it_is_there() -> None:
    stage = Stage()
    one = finding()
    place = Ref("fairlead.dev", "Finding", "shop", one.id)
    stage.see(one)
    del stage.api.objects["shop", one.id]
    stage.book.heard([], [place])
    stage.at += reports.CONTEST
    stage.flush()
    assert stage.status(one)["firstSeen"] == documents.stamp(START + timedelta(seconds=101))
    stage.see(after=reports.VANISH + 1)
    stage.book.heard([], [place])
    assert not stage.book.entries


def test_what_is_long_gone_is_removed() -> None:
    stage = Stage()
    one = finding()
    stage.see(one)
    stage.see(after=reports.VANISH + 1)
    stage.book.expire(stage.now + timedelta(minutes=30))
    assert stage.book.entries
    stage.book.expire(stage.now + timedelta(hours=2))
    stage.flush()
    assert (stage.book.entries, stage.api.objects) == ({}, {})
    many = [finding(f"web-{index}") for index in range(reports.MOST_RESOLVED + 3)]
    stage.see(*many)
    stage.see(after=reports.VANISH + 1)
    stage.book.expire(stage.now)
    assert len(stage.book.entries) == reports.MOST_RESOLVED


@pytest.mark.parametrize(
    ("fault", "wait"),
    [(Unreachable("away"), 1.5), (Refusal(403, "Forbidden", "no"), reports.LATER + 1)],
    ids=["away", "refused"],
)
def test_what_the_api_does_not_take_is_written_later(fault: Exception, wait: float) -> None:
    stage = Stage()
    stage.api.fault = fault
    one = finding()
    stage.see(one)
    assert (stage.api.objects, stage.book.failed) == ({}, 1)
    stage.api.fault = None
    stage.flush()
    assert stage.api.objects == {}
    stage.at += wait
    stage.flush()
    assert stage.status(one)["state"] == "active"


def test_a_later_process_takes_up_what_there_is() -> None:
    before = Stage()
    one, other = finding(), finding("api")
    before.see(one, other)
    before.book.entries[one.id].notified = "active"
    before.book.entries[one.id].proposal = {"of": "x", "title": "t"}
    before.book.touch(before.book.entries[one.id])
    before.flush()
    before.api.objects["shop", "strange"] = {
        "metadata": {"name": "strange", "namespace": "shop", "labels": {reports.LABEL: "fairlead"}}
    }
    after = Stage(before.api)
    after.at += 60
    asyncio.run(after.book.adopt())
    calls = len(after.api.calls)
    assert after.see(one, after=reports.VANISH + 1) == [(other.id, "resolved")]
    entry = after.book.entries[one.id]
    assert (entry.notified, entry.proposal, entry.sighting.times) == ("active", {"of": "x", "title": "t"}, 1)
    assert after.status(one)["firstSeen"] == before.status(one)["firstSeen"]
    assert after.api.calls[calls:] == ["apply", "delete"], (
        "the one that is gone is told, the strange one removed"
    )


def test_no_value_of_a_secret_is_told() -> None:
    view = Snapshot(
        [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"namespace": "shop", "name": "db"},
                "stringData": {"password": "hunter22x"},
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"namespace": "shop", "name": "other"},
                "stringData": {"name": "frontend"},
            },
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "frontend"}},
        ]
    )
    one = finding(
        cause="it says: login hunter22x failed",
        evidence=(Evidence("log", Ref("", "Pod", "shop", "frontend"), "frontend: aHVudGVyMjJ4 hunter22x"),),
    )
    told = of_finding(one, Veil(view))
    assert "hunter22x" not in str(told)
    assert told["cause"] == "it says: login [secret db/password] failed"
    assert told["evidence"][0]["text"].startswith("frontend: "), "what is a name anyway is no secret"


def test_undo_is_told_where_it_reveals_nothing() -> None:
    def change(kind: str, namespace: str) -> Change:
        return Change(
            verb="patch",
            ref=Ref("", kind, namespace, "x"),
            api_version="v1",
            body=[{"op": "add"}],
            patch="json",
        )

    assert documents.tellable([change("Service", "shop"), change("Node", "")], "shop")
    assert not documents.tellable([change("Secret", "shop")], "shop")
    assert not documents.tellable([change("Service", "other")], "shop")


def test_a_fix_is_the_same_whatever_pods_are_called() -> None:
    def fixed(pod: str, value: str) -> Finding:
        patch = Change(
            verb="patch",
            ref=Ref("apps", "StatefulSet", "shop", "db"),
            api_version="apps/v1",
            body=[{"value": value}],
            patch="json",
        )
        gone = Change(verb="delete", ref=Ref("", "Pod", "shop", pod), api_version="v1")
        return finding(fixes=(Fix(title="t", changes=(patch, gone)),))

    assert documents.print_of(fixed("a", "1")) == documents.print_of(fixed("b", "1"))
    assert documents.print_of(fixed("a", "1")) != documents.print_of(fixed("a", "2"))


def test_a_rule_is_the_reason_of_an_event() -> None:
    rules: Sequence[tuple[str, str]] = (
        ("service.selector", "ServiceSelector"),
        ("sense.falco.Shell in x", "SenseFalcoShellInX"),
    )
    assert [camel(rule) for rule, _ in rules] == [reason for _, reason in rules]
