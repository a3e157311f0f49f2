"""A HealPolicy chooses rules, namespaces, times and rates, and everything must allow a healing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.reactor.diagnosing_policies import HealPolicy, chosen, is_off, out_of_reach, read, status_of
from fairlead.words import Change, Finding, Fix, Ref, Severity

NOW = datetime(2026, 3, 4, 22, 30, tzinfo=UTC)  # a Wednesday
OWN = "fairlead-system"


def policy(name: str = "p", **spec: Any) -> HealPolicy:
    recent = spec.pop("recent", [])
    known = {"mode": "auto", "rules": ["service.*"], "namespaces": ["shop*"]}
    return read(
        {"metadata": {"name": name, "generation": 3}, "spec": known | spec, "status": {"recent": recent}}
    )


def finding(
    namespace: str = "shop", rule: str = "service.selector", kind: str = "Service", **more: Any
) -> Finding:
    known: dict[str, Any] = {"severity": Severity.CRITICAL, "message": "m"}
    return Finding(rule=rule, subject=Ref("", kind, namespace, "web"), **(known | more))


def labels(space: str) -> Mapping[str, str]:
    return {"team": "a"} if space == "shop" else {}


@pytest.mark.parametrize(
    ("spec", "about", "concerned"),
    [
        ({}, {}, True),
        ({}, {"namespace": "other"}, False),
        ({}, {"rule": "image.pull"}, False),
        ({"rules": ["*"]}, {"rule": "image.pull"}, True),
        ({"severity": "critical"}, {"severity": Severity.WARNING}, False),
        ({"severity": "info"}, {"severity": Severity.INFO}, True),
        ({}, {"severity": Severity.INFO}, False),
        ({}, {"confidence": "likely"}, False),
        ({"minConfidence": "likely"}, {"confidence": "likely"}, True),
        ({"namespaces": [], "namespaceSelector": {"matchLabels": {"team": "a"}}}, {}, True),
        ({"namespaces": [], "namespaceSelector": {"matchLabels": {"team": "a"}}}, {"namespace": "other"}, False),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, {}, False),
        ({"namespaces": ["*"]}, {"namespace": "kube-system"}, False),
        ({"namespaces": ["kube-system"]}, {"namespace": "kube-system"}, True),
        ({"namespaces": ["*"]}, {"namespace": OWN}, False),
        ({"namespaces": [OWN]}, {"namespace": OWN}, True),
        ({"namespaces": ["*"]}, {"namespace": "", "kind": "Node"}, False),
        ({"namespaces": ["*"], "clusterScoped": True}, {"namespace": "", "kind": "Node"}, True),
        ({"mode": "propose", "rules": [], "namespaces": []}, {"namespace": "", "kind": "Node", "rule": "node.cordoned"}, True),
        ({"mode": "off", "namespaces": ["*"], "rules": []}, {"namespace": "kube-system"}, True),
        ({"requireProven": False}, {}, False),
    ],
)  # fmt: skip
def test_who_is_concerned(spec: dict[str, Any], about: dict[str, Any], concerned: bool) -> None:
    assert policy(**spec).concerns(finding(**about), labels, OWN) is concerned


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"mode": "always"}, "spec.mode is one of off, propose, auto"),
        ({"requireProven": False}, "spec.requireProven is true: nothing is carried out that was not proven"),
        ({"rules": []}, "auto is for chosen rules: name them in spec.rules"),
        ({"namespaces": []}, "auto is for chosen namespaces: name them in spec.namespaces or spec.namespaceSelector"),
        ({"window": {"schedule": "0 25 * * *", "duration": "1h"}}, "spec.window: end of range (25) above maximum (23): 25"),
        ({"window": {"schedule": "0 1 * * *", "duration": "long"}}, 'spec.window.duration: time: invalid duration "long"'),
        ({"window": {"schedule": "0 1 * * *", "duration": "1h", "timeZone": "Mars/One"}}, "spec.window: unknown time zone Mars/One"),
        ({"patience": "0s"}, "spec.patience is not longer than nothing"),
        ({"severity": "grave"}, "spec.severity is one of critical, warning, info"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_holds_for_nothing(spec: dict[str, Any], said: str) -> None:
    found = policy(**spec)
    assert found.problem == said
    assert not found.concerns(finding(), labels, OWN)
    assert status_of(found, NOW) == {"observedGeneration": 3, "state": "invalid", "message": said}


def test_off_wins_then_auto() -> None:
    off, auto, propose = (
        policy("z", mode="off", namespaces=["shop"]),
        policy("y"),
        policy("x", mode="propose"),
    )

    def won(*policies: HealPolicy) -> str:
        found = chosen(policies, finding(), labels, OWN)
        return found.name if found else ""

    assert won(propose, auto, off) == "z"
    assert won(propose, auto) == "y"
    assert won(propose) == "x"
    assert won() == ""


@pytest.mark.parametrize(
    ("window", "waits"),
    [
        ({"schedule": "0 22 * * *", "duration": "1h"}, ""),
        ({"schedule": "0 22 * * *", "duration": "30m"}, "its window is closed until 2026-03-05 22:00 UTC"),
        ({"schedule": "30 22 * * *", "duration": "1m"}, ""),
        ({"schedule": "0 23 * * *", "duration": "2h"}, "its window is closed until 2026-03-04 23:00 UTC"),
        ({"schedule": "0 23 * * *", "duration": "1h", "timeZone": "Europe/Berlin"}, ""),
        ({"schedule": "0 22 * * 1", "duration": "3h"}, "its window is closed until 2026-03-09 22:00 UTC"),
        ({"schedule": "0 0 30 2 *", "duration": "3h"}, "its window is closed"),
    ],
)  # fmt: skip
def test_a_window_opens_and_closes(window: dict[str, str], waits: str) -> None:
    found = policy(window=window)
    assert found.waits(NOW) == waits
    assert status_of(found, NOW)["state"] == ("waiting" if waits else "active")


def test_a_rate_is_kept() -> None:
    recent = [(NOW - timedelta(minutes=ago)).strftime("%Y-%m-%dT%H:%M:%SZ") for ago in (5, 20, 70)]
    assert policy(maxPerHour=3, recent=recent).waits(NOW) == ""
    assert (
        policy(maxPerHour=2, recent=recent).waits(NOW)
        == "2 fixes were carried out within an hour, which is its limit"
    )
    assert policy(maxPerHour=0).waits(NOW)


def test_a_fix_may_only_touch_what_the_policy_is_about() -> None:
    def fix(group: str, kind: str, namespace: str) -> Fix:
        return Fix(
            title="t", changes=(Change(verb="patch", ref=Ref(group, kind, namespace, "x"), api_version="v1"),)
        )

    assert out_of_reach(policy(), fix("apps", "Deployment", "shop"), labels, OWN) == ""
    assert (
        out_of_reach(policy(), fix("apps", "Deployment", "other"), labels, OWN)
        == "Deployment other/x is not among what p is about"
    )
    assert out_of_reach(policy(), fix("", "Node", ""), labels, OWN) == "Node x is not among what p is about"
    assert (
        out_of_reach(policy(), fix("", "Secret", "shop"), labels, OWN)
        == "Secret shop/x: what Secrets hold is left to people"
    )


def test_somebody_may_keep_healing_away() -> None:
    assert is_off({"metadata": {"annotations": {"fairlead.dev/heal": "off"}}})
    assert is_off({"metadata": {"annotations": {"fairlead.dev/heal": "Off"}}})
    assert not is_off({"metadata": {"annotations": {"fairlead.dev/heal": "on"}}})
    assert not is_off({"metadata": {}})
    assert not is_off(None)
