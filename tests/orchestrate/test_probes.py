"""Probes: what they ask, what their answers add up to, and what is told."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.orchestrate.probes import (
    Answer,
    Exec,
    Grpc,
    Health,
    Http,
    Kind,
    Probe,
    State,
    Tcp,
    action_of,
    add,
    note,
    probes,
)

WEB: dict[str, Any] = {"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}


@pytest.mark.parametrize(
    ("handler", "action"),
    [
        ({"exec": {"command": ["a", "b"]}}, Exec(command=("a", "b"))),
        ({"httpGet": {"port": "http"}}, Http(scheme="http", host="", port=8080, path="/")),
        (
            {
                "httpGet": {
                    "scheme": "HTTPS",
                    "host": "h",
                    "port": 1,
                    "path": "x",
                    "httpHeaders": [{"name": "A", "value": "1"}],
                }
            },
            Http(scheme="https", host="h", port=1, path="/x", headers=(("A", "1"),)),
        ),
        ({"tcpSocket": {"port": "http"}}, Tcp(host="", port=8080)),
        ({"grpc": {"port": 9, "service": "s"}}, Grpc(port=9, service="s")),
        ({}, None),
    ],
)
def test_actions(handler: dict[str, Any], action: object) -> None:
    assert action_of(WEB, handler) == action


def test_a_probe_of_a_port_that_is_not_there_has_no_action() -> None:
    container = {**WEB, "readinessProbe": {"httpGet": {"port": "admin"}, "timeoutSeconds": 3}}
    found = probes(container)["Readiness"]
    assert (found.action, found.timeout, found.period, found.failures) == (None, 3.0, 10.0, 3)


def test_verdicts_need_a_run_of_answers() -> None:
    probe = Probe(kind="Readiness", action=None, successes=2, failures=2)
    state = State()
    verdicts = []
    for ok in (True, True, False, True, False, False, True, True):
        state = add(probe, state, Answer(ok))
        verdicts.append(state.passing)
    assert verdicts == [None, True, True, True, True, False, False, True]


def test_what_cannot_be_asked_changes_nothing() -> None:
    probe = Probe(kind="Liveness", action=None, failures=1)
    assert add(probe, State(), Answer(ok=False, unsupported=True)) == State()


def test_notes() -> None:
    probe = Probe(kind="Liveness", action=None)

    def told(answer: Answer) -> str | None:
        found = note(probe, answer, "f")
        return found.message if found else None

    assert told(Answer(ok=True)) is None
    assert told(Answer(False, "sick")) == "Liveness probe failed: sick"
    assert told(Answer(False, "broken", errored=True)) == "Liveness probe errored: broken"
    assert told(Answer(False, "no", unsupported=True)) == "Liveness probe is not supported here: no"


@pytest.mark.parametrize(
    ("verdicts", "started", "ready", "failed"),
    [
        ({}, True, True, None),
        ({"Startup": None}, False, False, None),
        ({"Startup": True, "Readiness": None}, True, False, None),
        ({"Readiness": True}, True, True, None),
        ({"Readiness": False, "Liveness": None}, True, False, None),
        ({"Liveness": False}, True, True, "Liveness"),
        ({"Startup": False, "Liveness": None}, False, False, "Startup"),
    ],
)
def test_health(verdicts: dict[Kind, bool | None], started: bool, ready: bool, failed: str | None) -> None:
    health = Health("c", {kind: State(value) for kind, value in verdicts.items()}, frozenset(verdicts))
    assert (health.started, health.ready, health.failed) == (started, ready, failed)


def test_what_was_ready_before_stays_ready_until_it_is_asked() -> None:
    health = Health("c", {}, frozenset({"Readiness"}), assumed_ready=True)
    assert health.ready
