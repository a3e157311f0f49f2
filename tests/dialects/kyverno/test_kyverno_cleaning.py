"""Cleanup policies and the ttl label."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from fairlead.dialects.kyverno.cleaning import deadline, due, expired, next_run, read_cleanup_policy
from fairlead.judge.policies import Policy
from fairlead.judge.reading import Source
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.policies import load
from fairlead.words import Snapshot

NOW = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)


def policy(spec: str, kind: str = "ClusterCleanupPolicy") -> Any:
    indented = "\n".join(f"  {line}" for line in spec.strip("\n").splitlines())
    return yaml.safe_load(
        f"apiVersion: kyverno.io/v2\nkind: {kind}\nmetadata: {{name: c, namespace: n}}\nspec:\n{indented}"
    )


def pod(name: str, namespace: str = "n", **meta: Any) -> Any:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": f"u-{name}", **meta},
        "spec": {"replicas": len(name)},
    }


def made(document: Any) -> Policy:
    found = load([Source(document)])
    assert not [one for one in found.findings if one.subject.name == "c"], found.findings
    assert ("*", "*") in found.wanted
    return next(one for one in found.book.policies if one.source.name == "c")


def around(*objects: Any) -> Surroundings:
    return Surroundings(view=Snapshot(objects), now=NOW, kinds=KindNames(Catalogue()))


SPEC = """
schedule: "*/5 * * * *"
match: {any: [{resources: {kinds: [Pod]}}]}
exclude: {any: [{resources: {selector: {matchLabels: {keep: "yes"}}}}]}
context:
- name: least
  variable: {value: 3}
conditions:
  all:
  - {key: "{{ target.spec.replicas }}", operator: GreaterThan, value: "{{ least }}"}
deletionPropagationPolicy: Foreground
"""


def test_what_matches_and_meets_the_conditions_is_deleted() -> None:
    objects = (
        pod("long-one"),
        pod("abc"),
        pod("kept-one", labels={"keep": "yes"}),
        pod("going", deletionTimestamp="2024-01-01T00:00:00Z"),
        {**pod("a-secret"), "kind": "Secret"},
    )
    changes, errors = due(made(policy(SPEC)), around(*objects))
    assert not errors
    (change,) = changes
    assert (change.verb, str(change.ref), change.if_uid) == ("delete", "Pod n/long-one", "u-long-one")
    assert change.body == {"propagationPolicy": "Foreground"}


def test_a_namespaced_policy_cleans_its_namespace() -> None:
    changes, _ = due(made(policy(SPEC, "CleanupPolicy")), around(pod("long-one"), pod("long-two", "m")))
    assert [str(one.ref) for one in changes] == ["Pod n/long-one"]


def test_a_condition_that_cannot_be_evaluated_deletes_nothing_and_says_so() -> None:
    changes, errors = due(
        made(policy(SPEC.replace("target.spec.replicas", "target.spec.x"))), around(pod("long-one"))
    )
    assert not changes
    assert "target.spec.x" in errors[0].message


def test_the_schedule() -> None:
    assert next_run(made(policy(SPEC)), NOW) == NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('"*/5 * * * *"', '"often"', ".spec.schedule"),
        ("Foreground", "Never", ".spec.deletionPropagationPolicy"),
        ("{resources: {kinds: [Pod]}}", "x", ".spec.match.any[0]"),
        ("GreaterThan", "Bigger", ".spec.conditions"),
    ],
)
def test_what_cannot_be_used_is_a_finding(old: str, new: str, path: str) -> None:
    policies, findings = read_cleanup_policy(Source(policy(SPEC.replace(old, new))))
    assert not policies
    assert [one.where.path for one in findings if one.rule == "policy.broken"] == [path]


def test_an_unknown_field_is_a_finding() -> None:
    _, findings = read_cleanup_policy(Source(policy(SPEC + "\nwhat: 1")))
    assert [one.where.path for one in findings] == [".spec.what"]


CREATED = "2024-05-01T12:00:00Z"


@pytest.mark.parametrize(
    ("label", "when"),
    [
        ("30m", NOW),
        ("1h30m", datetime(2024, 5, 1, 13, 30, tzinfo=UTC)),
        ("2d", datetime(2024, 5, 3, 12, tzinfo=UTC)),
        ("1w", datetime(2024, 5, 8, 12, tzinfo=UTC)),
        ("2024-06-01", datetime(2024, 6, 1, tzinfo=UTC)),
        ("2024-06-01T101500Z", datetime(2024, 6, 1, 10, 15, tzinfo=UTC)),
    ],
)
def test_when_an_object_expires(label: str, when: datetime) -> None:
    labels = {"cleanup.kyverno.io/ttl": label}
    assert deadline(pod("p", labels=labels, creationTimestamp=CREATED)) == when


@pytest.mark.parametrize("label", ["", "soon", "5x", "2024-13-01", "9999999999999w"])
def test_labels_that_say_no_time_are_findings(label: str) -> None:
    one = pod("p", labels={"cleanup.kyverno.io/ttl": label}, creationTimestamp=CREATED)
    changes, soonest, findings = expired([one], NOW)
    assert (changes, soonest) == ([], None)
    assert findings[0].where.path == ".metadata.labels['cleanup.kyverno.io/ttl']"


def test_what_has_expired_is_deleted_once() -> None:
    def labelled(name: str, ttl: str, **meta: Any) -> Any:
        return pod(name, labels={"cleanup.kyverno.io/ttl": ttl}, creationTimestamp=CREATED, **meta)

    orphaning = {"cleanup.kyverno.io/propagation-policy": "Orphan"}
    objects = [
        labelled("over", "30m", annotations=orphaning),
        labelled("going", "1m", deletionTimestamp=CREATED),
        labelled("later", "2h"),
        labelled("sooner", "1h"),
        pod("plain"),
    ]
    changes, soonest, findings = expired(objects, NOW)
    assert [(str(one.ref), one.body) for one in changes] == [("Pod n/over", {"propagationPolicy": "Orphan"})]
    assert (soonest, findings) == (NOW + timedelta(minutes=30), [])
