"""Pod Security admission: labels of namespaces, Kubernetes' texts, warnings, audit annotations and exemptions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from fairlead.dialects import podsecurity
from fairlead.judge.judging import Verdict, admit
from fairlead.judge.policies import Book
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Operation, Subject, Target, subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.words import Resource, Snapshot, User

NOW = datetime(2025, 1, 1, tzinfo=UTC)
PREFIX = "pod-security.kubernetes.io/"


def space(**labels: str) -> Resource:
    named = {PREFIX + key.replace("_", "-"): value for key, value in labels.items()}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": named}}


def pod(name: str = "web", **spec: Any) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [{"name": "a", "image": "a:1"}], **spec},
    }


def deployment(**spec: Any) -> Resource:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "a"}], **spec}}},
    }


def judged(
    thing: Resource,
    namespace: Resource | None,
    *,
    config: Resource | None = None,
    user: str = "jane",
    there: tuple[Resource, ...] = (),
    operation: Operation = "CREATE",
    old: Resource | None = None,
) -> Verdict:
    models = podsecurity.configuration(Source(config))[0] if config else []
    book = Book(podsecurity.assemble(models).policies)
    plural = f"{thing['kind'].lower()}s"
    subject = subject_of(thing, plural, space=namespace, user=User(name=user))
    if operation == "UPDATE":
        target = subject.target._replace(operation="UPDATE")
        subject = Subject(
            target=target,
            name=subject.name,
            namespace=subject.namespace,
            object=thing,
            old=old,
            space=namespace,
            user=subject.user,
        )
    return admit(subject, book, Surroundings(view=Snapshot(there), now=NOW, kinds=cast("Any", None)))


def test_a_namespace_without_labels_forbids_nothing() -> None:
    verdict = judged(pod(hostPID=True), space())
    assert verdict.allowed
    assert not verdict.outcomes


def test_enforcing_refuses_in_kubernetes_words() -> None:
    verdict = judged(pod(hostPID=True), space(enforce="baseline"))
    assert verdict.message == (
        'pods "web" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostPID=true)'
    )
    assert (verdict.code, verdict.reason) == (403, "Forbidden")
    assert not verdict.warnings
    assert verdict.audit[f"{PREFIX}enforce-policy"] == "baseline:latest"


def test_a_version_is_told_as_it_is_written() -> None:
    verdict = judged(pod(hostPID=True), space(enforce="baseline", enforce_version="v1.30"))
    assert '"baseline:v1.30"' in verdict.message


def test_warnings_and_audit_let_pass() -> None:
    verdict = judged(pod(hostPID=True), space(warn="baseline", audit="baseline"))
    assert verdict.allowed
    text = 'would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)'
    assert verdict.warnings == [text]
    assert verdict.audit[f"{PREFIX}audit-violations"] == text


def test_templates_are_never_refused_but_warn_at_the_enforced_level() -> None:
    verdict = judged(deployment(hostPID=True), space(enforce="baseline"))
    assert verdict.allowed
    assert verdict.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)']
    (one,) = verdict.outcomes
    assert one.outcome.paths == (".spec.template.spec.hostPID",)


def test_a_cron_jobs_pods_are_deep_in_it() -> None:
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "shop"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": {"hostIPC": True}}}}},
    }
    assert judged(cron, space(warn="baseline")).warnings


def test_what_is_unknown_is_taken_for_strict_when_enforced() -> None:
    verdict = judged(pod(), space(enforce="strictest", warn="soft"))
    assert 'violates PodSecurity "restricted:latest"' in verdict.message
    assert verdict.audit[f"{PREFIX}error"].startswith("Failed to parse policy: [metadata.labels[")


def test_a_namespace_with_wrong_labels_is_invalid() -> None:
    verdict = judged(space(enforce="strictest"), None)
    assert verdict.message == (
        'Namespace "shop" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: '
        '"strictest": must be one of privileged, baseline, restricted'
    )
    assert (verdict.code, verdict.reason) == (422, "Invalid")
    verdict = judged(space(warn_version="1.30"), None)
    assert 'must be "latest" or "v1.x"' in verdict.message


def test_wrong_labels_that_were_there_before_do_not_block_an_update() -> None:
    old = space(enforce="strictest")
    assert judged(old, None, operation="UPDATE", old=old).allowed


def test_a_stricter_namespace_warns_of_its_pods() -> None:
    pods = (pod("b", hostPID=True), pod("a", hostPID=True), pod("c", hostIPC=True, hostNetwork=True))
    more = (pod("d", volumes=[{"name": "v", "hostPath": {}}]), pod("fine"))
    verdict = judged(space(enforce="baseline"), None, operation="UPDATE", old=space(), there=(*pods, *more))
    assert verdict.allowed
    assert verdict.warnings == [
        'existing pods in namespace "shop" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 2 other pods): host namespaces",
        "d: hostPath volumes",
    ]
    relaxed = judged(
        space(enforce="baseline"), None, operation="UPDATE", old=space(enforce="restricted"), there=pods
    )
    assert not relaxed.warnings


CONFIG: Resource = {
    "apiVersion": "pod-security.admission.config.k8s.io/v1",
    "kind": "PodSecurityConfiguration",
    "defaults": {"enforce": "baseline", "enforce-version": "latest"},
    "exemptions": {"namespaces": ["system"], "usernames": ["root"], "runtimeClasses": ["kata"]},
}


def test_defaults_hold_where_there_are_no_labels() -> None:
    assert not judged(pod(hostPID=True), space(), config=CONFIG).allowed
    assert judged(pod(hostPID=True), space(enforce="privileged"), config=CONFIG).allowed


def test_exemptions() -> None:
    assert judged(pod(hostPID=True), space(), config=CONFIG, user="root").audit == {f"{PREFIX}exempt": "user"}
    assert judged(pod(hostPID=True, runtimeClassName="kata"), space(), config=CONFIG).allowed
    other = {**pod(hostPID=True), "metadata": {"name": "x", "namespace": "system"}}
    assert judged(other, None, config=CONFIG).allowed


def test_what_a_configuration_says_beyond_is_a_finding() -> None:
    _, findings = podsecurity.configuration(Source({**CONFIG, "more": 1, "defaults": {"enforce": "x"}}))
    assert sorted(one.where.path for one in findings) == [".defaults", ".more"]


@pytest.mark.parametrize(
    ("change", "judged_again"),
    [
        ({}, False),
        ({"image": "a:2"}, True),
        ({"name": "b"}, True),
    ],
)
def test_only_significant_updates_are_judged(change: dict[str, str], judged_again: bool) -> None:
    old = pod(hostPID=True)
    new = pod(hostPID=True, containers=[{"name": "a", "image": "a:1", **change}])
    verdict = judged(new, space(enforce="baseline"), operation="UPDATE", old=old)
    assert verdict.allowed is not judged_again


def test_a_namespace_is_found_in_the_view() -> None:
    assert not judged(pod(hostPID=True), None, there=(space(enforce="baseline"),)).allowed


def test_a_generated_name_is_told() -> None:
    thing = pod(hostPID=True)
    thing["metadata"] = {"generateName": "web-", "namespace": "shop"}
    assert judged(thing, space(enforce="baseline")).message.startswith('pods "web-" is forbidden: ')


def test_deletes_and_subresources_do_not_concern_it() -> None:
    (policy,) = podsecurity.assemble([]).policies
    rule = policy.rules[0]
    assert not rule.concerns(Target("", "v1", "Pod", "pods", "", "DELETE"))
    assert not rule.concerns(Target("", "v1", "Pod", "pods", "exec", "CREATE"))
    assert rule.concerns(Target("", "v1", "Pod", "pods", "ephemeralcontainers", "UPDATE"))
