"""What is hidden, for how long, and what is said when it is not any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.diagnose import suppressing
from fairlead.diagnose.suppressing import Suppression, returned, suppressed
from fairlead.words import Finding, Ref, Severity

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
WEB = Finding(
    rule="image.pull", severity=Severity.CRITICAL, subject=Ref("apps", "Deployment", "shop", "web-1"), message="x"
)  # fmt: skip
NODE = Finding(
    rule="node.unready", severity=Severity.CRITICAL, subject=Ref("", "Node", "", "one"), message="x"
)


def rule(name: str, /, **subject: str) -> Suppression:
    return Suppression(name="s", reason="known", rule=name, subject=tuple(subject.items()))


@pytest.mark.parametrize(
    ("one", "hidden"),
    [
        (Suppression(name="s", reason="known", finding=WEB.id), [WEB]),
        (rule("image.pull"), [WEB]),
        (rule("image.*"), [WEB]),
        (rule("*"), [WEB, NODE]),
        (rule("image.pull", kind="deployment", namespace="shop", name="web-*"), [WEB]),
        (rule("image.pull", kind="Deployment", namespace="other"), []),
        (rule("", kind="Node"), [NODE]),
        (rule("", group="apps"), [WEB]),
        (rule("image"), []),
        (Suppression(name="s", reason="says nothing"), []),
    ],
)
def test_what_is_meant(one: Suppression, hidden: list[Finding]) -> None:
    shown, found = suppressed([WEB, NODE], [one], NOW)
    assert [finding for finding, _ in found] == hidden
    assert shown == [finding for finding in (WEB, NODE) if finding not in hidden]


def test_what_ran_out_hides_nothing_and_is_told() -> None:
    one = Suppression(name="s", reason="known", finding=WEB.id, until=NOW)
    assert suppressed([WEB], [one], NOW - timedelta(seconds=1))[0] == []
    assert suppressed([WEB], [one], NOW) == ([WEB], [])
    assert returned([WEB, NODE], [one], NOW) == [(WEB, one)]
    assert returned([WEB], [one], NOW - timedelta(seconds=1)) == []


def test_it_is_written_and_read() -> None:
    every = [
        Suppression(name="a", reason="known", finding=WEB.id, until=NOW, by="jane"),
        rule("image.*", kind="Deployment", name="web-*"),
    ]
    assert suppressing.read(map(suppressing.write, every)) == (every, [])
    assert [str(one) for one in every] == [f"finding {WEB.id}", "image.* on Deployment web-*"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "neither a finding"),
        ({"finding": "zz"}, "not eight hex digits"),
        ({"rule": "a.b", "until": "soon"}, "no RFC 3339 time"),
        ({"rule": "a.b", "for": "30d"}, "spec.for is not known"),
        ({"rule": "a.b", "subject": {"nam": "x"}}, "spec.subject may have"),
        ({"rule": "a.b", "subject": {"name": 5}}, "spec.subject may have"),
    ],
)
def test_what_cannot_be_understood_hides_nothing(spec: dict[str, Any], said: str) -> None:
    found, (problem,) = suppressing.read([{"kind": "Suppression", "metadata": {"name": "s"}, "spec": spec}])
    assert not found
    assert said in problem


def test_other_documents_are_named() -> None:
    assert (
        suppressing.read([{"kind": "Pod"}, 5, None])[1] == ["is no Suppression of fairlead.dev/v1alpha1"] * 3
    )


def test_times() -> None:
    assert suppressing.span("30d") == timedelta(days=30)
    assert suppressing.span("2w") == timedelta(days=14)
    assert suppressing.deadline("2026-01-31") == datetime(2026, 2, 1, tzinfo=UTC)
    assert suppressing.deadline("2026-01-31T10:00:00+02:00") == datetime(2026, 1, 31, 8, tzinfo=UTC)
    for text in ("", "0d", "30", "d", "1y"):
        with pytest.raises(ValueError, match="no length of time"):
            suppressing.span(text)
    for text in ("", "soon", "2026-02-30"):
        with pytest.raises(ValueError, match="no date"):
            suppressing.deadline(text)
