"""Detections become findings: one a key, counted, with trees; bounded."""

from __future__ import annotations

from fairlead.sense.events import Container, Event, Process, make_event
from fairlead.sense.findings import Ledger, tree_of
from fairlead.sense.rules import Detection, Rule
from fairlead.words import Ref, Severity

RULE = Rule(
    key="falco/A",
    dialect="falco",
    name="A",
    severity=Severity.CRITICAL,
    message=lambda event: f"A by {event.process.name}",
    description="why",
)


def process(pid: int, name: str, parent: Process | None = None) -> Process:
    one = Process(pid)
    one.name, one.exe, one.args, one.parent = name, f"/bin/{name}", [name, "-x"], parent
    return one


def event(of: Process, time: int = 5 * 10**9) -> Event:
    return make_event("openat", of, time=time)


def test_the_same_again_is_counted() -> None:
    ledger = Ledger("node1")
    shell = process(2, "bash", process(1, "init"))
    assert ledger.add(Detection(RULE, event(shell)))
    assert not ledger.add(Detection(RULE, event(shell, 9 * 10**9)))
    (one,) = ledger.findings()
    assert one.rule == "falco/A"
    assert one.severity == "critical"
    assert one.subject == Ref("", "Node", "", "node1")
    assert one.message == "A by bash (2 times)"
    assert one.cause == "why"
    assert one.evidence[0].text == "init(1) > bash(2): bash -x"
    assert (
        one.evidence[1].text == "seen 2 times, first 1970-01-01T00:00:05.000Z, last 1970-01-01T00:00:09.000Z"
    )


def test_pods_and_executables_are_told_apart() -> None:
    ledger = Ledger("node1")
    inside = process(3, "nc")
    inside.container = Container(
        id="c" * 64, name="web", image="nginx:1", pod="web-1", pod_namespace="shop", pod_uid="u"
    )
    ledger.add_all(
        [
            Detection(RULE, event(process(2, "bash"))),
            Detection(RULE, event(inside)),
            Detection(RULE, event(process(4, "nc"))),
        ]
    )
    assert len(ledger) == 3
    found = {str(one.subject) for one in ledger.findings()}
    assert found == {"Node node1", "Pod shop/web-1"}
    assert len(ledger.news()) == 3
    assert not ledger.news()
    ledger.add(Detection(RULE, event(inside)))
    (news,) = ledger.news()
    assert any("container web (cccccccccccc, image nginx:1)" in one.text for one in news.evidence)


def test_it_stays_small() -> None:
    ledger = Ledger(most=10)
    for pid in range(100):
        ledger.add(Detection(RULE, event(process(pid, f"p{pid}"))))
    assert len(ledger) == 10
    assert ledger.forgotten == 90


def test_hostile_texts_and_messages_that_fail() -> None:
    def message(event: Event) -> str:
        raise ValueError("no")

    bad = Rule(key="x", dialect="t", name="X", message=message)
    ledger = Ledger()
    ledger.add(Detection(bad, event(process(2, "a\n\udcff" + "b" * 3000))))
    (one,) = ledger.findings()
    assert one.message == "X (its message cannot be made: no)"
    assert one.evidence[0].text.startswith("a\\n\\xffbbb")
    assert len(one.evidence[0].text) == 1000
    quiet = Rule(key="y", dialect="t", name="Y", findings=False)
    assert not ledger.add(Detection(quiet, event(process(2, "a"))))


def test_deep_trees_are_cut() -> None:
    one = process(1, "p1")
    for pid in range(2, 400):
        one = process(pid, f"p{pid}", one)
    line = tree_of(one)
    assert line.startswith("... > p387(387) > ")
    assert line.endswith("p399(399): p399 -x")
