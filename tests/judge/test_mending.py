"""Objects are mended by mutations and by values that were tried; nothing that passed before fails after."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from fairlead.judge.mending import mend
from fairlead.judge.policies import Book, Outcome, Policy, Rule
from fairlead.judge.subjects import Subject, subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.tongues.paths import dotted, find, parse
from fairlead.words import Ref, Snapshot

Check = Callable[[dict[str, Any]], Outcome]
BAD = Outcome(result="fail")
GOOD = Outcome(result="pass")


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "a"},
        "spec": {"containers": [{"name": f"c{n}", **one} for n, one in enumerate(containers)], **spec},
    }


def judged(check: Check, subject: Subject, _: Surroundings) -> Outcome:
    return check(subject.object or {})


def mended(resource: dict[str, Any], *checks: Check) -> tuple[dict[str, Any], list[str], int]:
    policies = [
        Policy(
            source=Ref("", "P", "", f"p{n}"),
            name=f"p{n}",
            dialect="test",
            rules=(Rule(name="r", phase="validate", concerns=lambda _: True,
                        run=partial(judged, check)),),
        )
        for n, check in enumerate(checks)
    ]  # fmt: skip
    around = Surroundings(view=Snapshot(), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue()))
    found = mend(subject_of(resource, "pods"), Book(policies), around)
    return found.object, found.by, len(found.left)


def each(*field: str, value: Any) -> Check:
    """Want a field of every container to have a value; say nothing of places, as Rego does not."""

    def check(resource: dict[str, Any]) -> Outcome:
        containers = resource["spec"]["containers"]
        return GOOD if all(find(one, field) == value for one in containers) else BAD

    return check


def test_a_rule_that_names_no_place_is_mended_by_what_was_tried() -> None:
    wanted = each("securityContext", "allowPrivilegeEscalation", value=False)
    after, by, left = mended(pod({}, {"securityContext": {"privileged": True}}), wanted)
    assert [one["securityContext"] for one in after["spec"]["containers"]] == [
        {"allowPrivilegeEscalation": False},
        {"privileged": True, "allowPrivilegeEscalation": False},
    ]
    assert (by, left) == (["p0/r"], 0)


def test_all_places_of_one_outcome_are_mended_together() -> None:
    def check(resource: dict[str, Any]) -> Outcome:
        paths = [
            path
            for path, value in {
                ".spec.hostNetwork": False,
                ".spec.containers[0].securityContext.capabilities.drop": ["ALL"],
            }.items()
            if find(resource, parse(path) or ()) != value
        ]
        return Outcome(result="fail", paths=tuple(paths)) if paths else GOOD

    after, _, left = mended(pod({}, hostNetwork=True), check)
    assert left == 0
    assert after["spec"]["hostNetwork"] is False
    assert after["spec"]["containers"][0]["securityContext"] == {"capabilities": {"drop": ["ALL"]}}


def test_an_outcome_may_bring_its_own_remedy() -> None:
    def check(resource: dict[str, Any]) -> Outcome:
        if resource["metadata"].get("labels", {}).get("team"):
            return GOOD
        return Outcome(result="fail", remedies=((("metadata", "labels", "team"), "unknown"),))

    after, _, left = mended(pod({}), check)
    assert (after["metadata"]["labels"], left) == ({"team": "unknown"}, 0)


def test_what_would_break_another_rule_is_not_done() -> None:
    def never(resource: dict[str, Any]) -> Outcome:
        return (
            BAD
            if find(resource["spec"]["containers"][0], ("securityContext", "privileged")) is False
            else GOOD
        )

    before = pod({})
    after, by, left = mended(before, each("securityContext", "privileged", value=False), never)
    assert (after, by, left) == (before, [], 1)


def test_what_nobody_knows_a_remedy_for_is_left() -> None:
    before = pod({})
    assert mended(before, lambda _: BAD) == (before, [], 1)


@pytest.mark.parametrize(
    "path", [(), ("spec", "containers", 0, "image"), ("metadata", "labels", "a/b", "c-d")]
)
def test_paths_are_read_as_they_are_written(path: Any) -> None:
    assert parse(dotted(path)) == path


@pytest.mark.parametrize("text", ["spec", ".a..b", "[x]", ".a b"])
def test_other_texts_are_no_paths(text: str) -> None:
    assert parse(text) is None
