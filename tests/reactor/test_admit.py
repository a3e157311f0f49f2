"""The gate of a world: what policies in its store do to writes, whom they never touch, and what becomes of them in a copy."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.drivers import definitions
from fairlead.keep import bootstrapping
from fairlead.keep.entries import Outcome
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Kind
from fairlead.keep.requests import Request
from fairlead.keep.schemas import Schemas
from fairlead.keep.worlds import World
from fairlead.reactor import policing_kinds
from fairlead.reactor.admit import PolicyGate
from fairlead.words import Resource, User

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ADMIN = User(name="admin", groups=("system:masters", "system:authenticated"))
CONTROLLERS = User(name="system:kube-controller-manager", groups=("system:masters", "system:authenticated"))
NODE = User(name="system:node:one", groups=("system:nodes", "system:authenticated"))
ADMISSION = "admissionregistration.k8s.io/v1"
TEMPLATE: Resource = {
    "apiVersion": "templates.gatekeeper.sh/v1",
    "kind": "ConstraintTemplate",
    "metadata": {"name": "teams"},
    "spec": {
        "crd": {"spec": {"names": {"kind": "Teams"}}},
        "targets": [
            {
                "target": "admission.k8s.gatekeeper.sh",
                "rego": 'package teams\nviolation[{"msg": "no team"}] { not input.review.object.metadata.labels.team }',
            }
        ],
    },
}


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    return Schemas(definitions.load())


class Cluster:
    """A world with a gate, on which every write counts at once."""

    def __init__(self, schemas: Schemas) -> None:
        world = World(schemas.copy(), random.Random(1))
        bootstrapping.bootstrap(world, NOW)
        policing_kinds.install(world, NOW)
        world.commit(10**9)
        self.gate = PolicyGate()
        self.world = world
        world.guard(self.gate)
        self.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})

    def kind(self, doc: Resource) -> Kind:
        group, _, version = doc["apiVersion"].rpartition("/")
        found = self.world.catalogue.kind(group, doc["kind"], version)
        assert found is not None, doc
        return found

    def make(self, doc: Resource, user: User = ADMIN, *, dry_run: bool = False) -> Outcome:
        kind = self.kind(doc)
        space = doc["metadata"].get("namespace") or ("shop" if kind.namespaced else "")
        request = self.request(user, dry_run=dry_run)
        outcome = self.world.create(kind, space, copy.deepcopy(doc), request)
        self.world.commit(10**9)
        return outcome

    def request(self, user: User = ADMIN, *, dry_run: bool = False) -> Request:
        return Request(user=user, now=NOW, manager="test", dry_run=dry_run)

    def refused(self, doc: Resource, user: User = ADMIN, *, dry_run: bool = False) -> Refusal:
        with pytest.raises(Refusal) as caught:
            self.make(doc, user, dry_run=dry_run)
        return caught.value


@pytest.fixture
def cluster(schemas: Schemas) -> Cluster:
    return Cluster(schemas)


def pod(name: str = "web", namespace: str = "shop", **labels: str) -> Resource:
    meta: Resource = {"name": name, "namespace": namespace, "labels": {"app": "web", **labels}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
    }


def validating(
    expression: str = "has(object.metadata.labels.team)",
    resources: Sequence[str] = ("pods",),
    operations: Sequence[str] = ("*",),
    actions: Sequence[str] = ("Deny",),
    group: str = "*",
    **more: Any,
) -> list[Resource]:
    rule = {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "operations": list(operations),
        "resources": list(resources),
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression, "message": "no team", **more}],
    }
    bound = {"policyName": "t", "validationActions": list(actions)}
    return [
        {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "t"}, "spec": spec},
        {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "t"}, "spec": bound},
    ]  # fmt: skip


def kyverno(name: str, rule: Resource, kinds: Sequence[str] = ("Pod",)) -> Resource:
    match = {"any": [{"resources": {"kinds": list(kinds)}}]}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name, "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}},
        "spec": {"validationFailureAction": "Enforce", "rules": [{"name": "rule", "match": match, **rule}]},
    }


TEAM = kyverno(
    "team", {"validate": {"message": "who owns it?", "pattern": {"metadata": {"labels": {"team": "?*"}}}}}
)


def told(cluster: Cluster, *documents: Resource) -> None:
    for one in documents:
        cluster.make(one)


def judges(cluster: Cluster) -> bool:
    return cluster.gate.closed


# In whose words


def test_a_validating_admission_policy_denies_as_the_api_server_words_it(cluster: Cluster) -> None:
    told(cluster, *validating())
    said = "ValidatingAdmissionPolicy 't' with binding 't' denied request: no team"
    assert cluster.refused(pod()).status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'pods "web" is forbidden: {said}',
        "reason": "Invalid",
        "details": {"name": "web", "kind": "pods", "causes": [{"message": said}]},
        "code": 422,
    }
    cluster.make(pod(team="a"))


def test_its_own_reason_counts(cluster: Cluster) -> None:
    told(cluster, *validating(reason="Forbidden"))
    refusal = cluster.refused(pod())
    assert (refusal.code, refusal.reason) == (403, "Forbidden")


def test_kyverno_denies_in_its_webhooks_words(cluster: Cluster) -> None:
    told(cluster, TEAM)
    refusal = cluster.refused(pod())
    assert refusal.message.startswith('admission webhook "validate.kyverno.svc-fail" denied the request: ')
    assert "resource Pod/shop/web was blocked due to the following policies" in refusal.message
    assert "who owns it?" in refusal.message


def test_gatekeeper_denies_in_its_webhooks_words(cluster: Cluster) -> None:
    from fairlead.dialects.gatekeeper import definition_of

    told(cluster, TEMPLATE, definition_of(TEMPLATE))
    api = "constraints.gatekeeper.sh/v1beta1"
    match = {"kinds": [{"apiGroups": [""], "kinds": ["Pod"]}]}
    told(cluster, {"apiVersion": api, "kind": "Teams", "metadata": {"name": "all"}, "spec": {"match": match}})
    refusal = cluster.refused(pod())
    assert refusal.message == 'admission webhook "validation.gatekeeper.sh" denied the request: [all] no team'
    assert (refusal.code, refusal.reason) == (403, "Forbidden")


def test_pod_security_labels_hold_from_the_moment_they_are_there(cluster: Cluster) -> None:
    cluster.make(pod("before"))
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    namespaces = cluster.kind({"apiVersion": "v1", "kind": "Namespace"})
    outcome = cluster.world.patch(namespaces, "", "shop", label, "merge", cluster.request())
    assert (
        'existing pods in namespace "shop" violate the new PodSecurity enforce level' in outcome.warnings[0]
    )
    refusal = cluster.refused(pod())
    assert refusal.message.startswith('pods "web" is forbidden: violates PodSecurity "restricted:latest": ')
    assert (refusal.code, refusal.reason, refusal.details) == (
        403,
        "Forbidden",
        {"name": "web", "kind": "pods"},
    )


def test_a_warning_is_passed_on_and_the_write_with_it(cluster: Cluster) -> None:
    told(cluster, *validating(actions=("Warn",)))
    outcome = cluster.make(pod())
    assert outcome.warnings == (
        "Validation failed for ValidatingAdmissionPolicy 't' with binding 't': no team",
    )
    assert outcome.created


# Which requests


def test_policies_come_and_go(cluster: Cluster) -> None:
    assert not judges(cluster)
    told(cluster, TEAM)
    assert judges(cluster)
    kind = cluster.kind(TEAM)
    spec = {"spec": {"rules": [{**TEAM["spec"]["rules"][0], "validate": {"message": "x", "deny": {}}}]}}
    cluster.world.patch(kind, "", "team", spec, "merge", cluster.request())
    assert "x" in cluster.refused(pod(team="a")).message
    cluster.world.delete(kind, "", "team", {}, cluster.request())
    assert not judges(cluster)
    cluster.make(pod())


def test_a_policy_that_is_taken_back_denies_nothing(cluster: Cluster) -> None:
    def step(world: World) -> Outcome:
        world.create(cluster.kind(TEAM), "", copy.deepcopy(TEAM), cluster.request())
        assert judges(cluster)
        raise Refusal(500, "", "no")

    with pytest.raises(Refusal):
        cluster.world.attempt(step)
    assert not judges(cluster)
    cluster.make(pod())


def test_a_dry_run_is_judged_and_leaves_nothing(cluster: Cluster) -> None:
    told(cluster, *validating())
    assert cluster.refused(pod(), dry_run=True).code == 422
    cluster.make(pod(team="a"), dry_run=True)
    assert not cluster.world.has(cluster.kind(pod()), "shop", "web")


def test_changes_of_every_sort_are_judged(cluster: Cluster) -> None:
    cluster.make(pod(team="a"))
    told(cluster, *validating())
    kind, request, world = cluster.kind(pod()), cluster.request(), cluster.world
    with pytest.raises(Refusal, match="no team"):
        world.patch(kind, "shop", "web", {"metadata": {"labels": {"team": None}}}, "merge", request)
    bare = copy.deepcopy(world.get(kind, "shop", "web").object)
    del bare["metadata"]["labels"]["team"]
    without = [{"op": "remove", "path": "/metadata/labels/team"}]
    with pytest.raises(Refusal, match="no team"):
        world.patch(kind, "shop", "web", without, "json", request)
    with pytest.raises(Refusal, match="no team"):
        world.update(kind, "shop", "web", bare, request)
    with pytest.raises(Refusal, match="no team"):
        world.patch(kind, "shop", "new", pod("new"), "apply", request)
    world.patch(kind, "shop", "web", {"metadata": {"labels": {"more": "a"}}}, "merge", request)


def test_deletes_are_judged_one_and_many(cluster: Cluster) -> None:
    cluster.make(pod("web"))
    told(cluster, *validating("oldObject.metadata.name != 'web'", operations=("DELETE",)))
    kind, request = cluster.kind(pod()), cluster.request()
    with pytest.raises(Refusal, match="no team"):
        cluster.world.delete(kind, "shop", "web", {}, request)
    with pytest.raises(Refusal, match="no team"):
        cluster.world.delete_collection(kind, "shop", {}, request)
    assert cluster.world.has(kind, "shop", "web")


def test_a_scale_is_seen_as_a_scale(cluster: Cluster) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod()["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    cluster.make(deployment)
    told(
        cluster,
        *validating(
            "object.kind == 'Scale' && object.spec.replicas < 5", ["deployments/scale"], group="apps"
        ),
    )
    kind = cluster.kind(deployment)
    with pytest.raises(Refusal, match="no team"):
        cluster.world.patch(
            kind, "shop", "web", {"spec": {"replicas": 6}}, "merge", cluster.request(), "scale"
        )
    cluster.world.patch(kind, "shop", "web", {"spec": {"replicas": 4}}, "merge", cluster.request(), "scale")


@pytest.mark.parametrize(("part", "kind"), [("eviction", "Eviction"), ("binding", "Binding")])
def test_requests_about_pods_are_judged(cluster: Cluster, part: str, kind: str) -> None:
    cluster.make(pod())
    told(cluster, *validating(f"object.kind != '{kind}'", [f"pods/{part}"]))
    body = {"metadata": {"name": "web", "namespace": "shop"}, "target": {"name": "one"}}
    with pytest.raises(Refusal, match="no team"):
        cluster.world.create(cluster.kind(pod()), "shop", body, cluster.request(), "web", part)


def test_a_connection_is_judged(cluster: Cluster) -> None:
    cluster.make(pod())
    told(cluster, *validating("!('sh' in object.command)", ["pods/exec"], ["CONNECT"]))
    kind = cluster.kind(pod())
    options = {"kind": "PodExecOptions", "apiVersion": "v1", "command": ["sh"]}
    with pytest.raises(Refusal, match="no team"):
        cluster.world.connect(kind, "shop", "web", options, cluster.request(), "exec")
    cluster.world.connect(kind, "shop", "web", {**options, "command": ["ls"]}, cluster.request(), "exec")


# Mutations


def test_what_policies_add_is_defaulted_mounted_and_stored(cluster: Cluster) -> None:
    sidecar = {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}
    told(cluster, kyverno("side", {"mutate": {"patchStrategicMerge": sidecar}}))
    made = cluster.make(pod()).object
    side = next(one for one in made["spec"]["containers"] if one["name"] == "side")
    assert side["imagePullPolicy"] == "IfNotPresent"
    assert side["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert len(made["spec"]["volumes"]) == 1
    assert cluster.world.get(cluster.kind(pod()), "shop", "web").object["spec"] == made["spec"]


def test_what_policies_make_of_an_object_is_validated(cluster: Cluster) -> None:
    wrong = {"metadata": {"labels": {"bad label": "x"}}}
    told(cluster, kyverno("bad", {"mutate": {"patchStrategicMerge": wrong}}))
    refusal = cluster.refused(pod())
    assert (refusal.code, refusal.reason) == (422, "Invalid")
    assert 'metadata.labels: Invalid value: "bad label"' in refusal.message


def test_policies_validate_what_policies_made(cluster: Cluster) -> None:
    told(
        cluster, kyverno("add", {"mutate": {"patchStrategicMerge": {"metadata": {"labels": {"team": "x"}}}}})
    )
    told(cluster, TEAM, *validating())
    assert cluster.make(pod()).object["metadata"]["labels"]["team"] == "x"


def test_no_policy_changes_who_an_object_is(cluster: Cluster) -> None:
    other = {"metadata": {"name": "other", "namespace": "elsewhere", "uid": "x", "labels": {"a": "b"}}}
    told(cluster, kyverno("other", {"mutate": {"patchStrategicMerge": other}}))
    meta = cluster.make(pod()).object["metadata"]
    assert (meta["name"], meta["namespace"], meta["labels"]["a"]) == ("web", "shop", "b")
    assert meta["uid"] != "x"


# Whom policies never touch

NEVER = validating("false", ["*/*"])


def test_nothing_locks_out_what_repairs_it(cluster: Cluster) -> None:
    told(cluster, *NEVER)
    assert cluster.refused({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}).code == 422
    for doc in reversed(NEVER):
        cluster.world.delete(cluster.kind(doc), "", "t", {}, cluster.request())
    cluster.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})


@pytest.mark.parametrize(
    ("doc", "user"),
    [
        ({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}}, ADMIN),
        (TEAM, ADMIN),
        ({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}}, NODE),
        ({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}}, CONTROLLERS),
        (pod("sys", "kube-system"), CONTROLLERS),
        ({"apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": "PolicyReport", "metadata": {"name": "r"}}, ADMIN),
    ],
    ids=["lease", "policy", "node", "controllers", "system namespace", "report"],
)
def test_what_the_platform_lives_by_is_never_judged(cluster: Cluster, doc: Resource, user: User) -> None:
    told(cluster, *NEVER)
    assert cluster.make(doc, user).created


def test_what_a_controller_makes_for_a_user_is_judged(cluster: Cluster) -> None:
    told(cluster, TEAM)
    assert "who owns it?" in cluster.refused(pod(), CONTROLLERS).message
    status = {"status": {"phase": "Running"}}
    cluster.make(pod(team="a"))
    deny = kyverno("all", {"validate": {"message": "x", "deny": {}}}, ["Pod", "Pod/status"])
    told(cluster, deny)
    cluster.world.patch(cluster.kind(pod()), "shop", "web", status, "merge", cluster.request(NODE), "status")


def test_in_the_systems_namespaces_only_kubernetes_own_policies_are_asked(cluster: Cluster) -> None:
    told(cluster, TEAM)
    cluster.make(pod("a", "kube-system"))
    told(cluster, *validating())
    assert "no team" in cluster.refused(pod("b", "kube-system")).message


# What policies may ask


def test_who_asks_and_what_they_may_is_known(cluster: Cluster) -> None:
    told(
        cluster,
        *validating("authorizer.group('').resource('secrets').namespace('shop').check('get').allowed()"),
    )
    jane = User(name="jane", groups=("system:authenticated",))
    assert "no team" in cluster.refused(pod(), jane).message
    api = "rbac.authorization.k8s.io/v1"
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]
    told(cluster, {"apiVersion": api, "kind": "Role", "metadata": {"name": "r"}, "rules": rules})
    binding = {
        "apiVersion": api,
        "kind": "RoleBinding",
        "metadata": {"name": "b"},
        "roleRef": ref,
        "subjects": subjects,
    }
    told(cluster, binding)
    cluster.make(pod(), jane)


def test_roles_bound_to_the_user_count(cluster: Cluster) -> None:
    policy = copy.deepcopy(TEAM)
    policy["spec"]["rules"][0]["exclude"] = {"any": [{"clusterRoles": ["cluster-admin"]}]}
    told(cluster, policy)
    assert cluster.refused(pod(), User(name="jane", groups=("system:authenticated",))).code
    cluster.make(pod())


def test_a_parameter_written_a_moment_ago_counts(cluster: Cluster) -> None:
    policy, binding = validating("object.metadata.name in params.data")
    policy["spec"]["paramKind"] = {"apiVersion": "v1", "kind": "ConfigMap"}
    binding["spec"]["paramRef"] = {"name": "names", "namespace": "shop", "parameterNotFoundAction": "Deny"}
    told(cluster, policy, binding)
    names = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "names"}, "data": {"web": "yes"}}
    assert "no params found" in cluster.refused(pod()).message

    def step(world: World) -> Outcome:
        world.create(cluster.kind(names), "shop", copy.deepcopy(names), cluster.request())
        return world.create(cluster.kind(pod()), "shop", pod(), cluster.request())

    assert cluster.world.attempt(step)[0].created


# Copies


def test_a_copy_takes_the_gate_along_and_has_policies_of_its_own(cluster: Cluster) -> None:
    told(cluster, TEAM)
    fork = cluster.world.fork()
    with pytest.raises(Refusal, match="who owns it"):
        fork.create(cluster.kind(pod()), "shop", pod(), cluster.request())
    fork.delete(cluster.kind(TEAM), "", "team", {}, cluster.request())
    fork.create(cluster.kind(pod()), "shop", pod(), cluster.request())
    assert "who owns it" in cluster.refused(pod()).message
    assert cluster.world.fork().closed


def test_generate_rules_are_kept_for_later_and_only_for_what_is_stored(cluster: Cluster) -> None:
    data = {"kind": "NetworkPolicy", "spec": {"podSelector": {}}}
    generate = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "name": "deny", "namespace": "{{ request.object.metadata.name }}", "data": data}  # fmt: skip
    told(cluster, kyverno("deny", {"generate": generate}, ["Namespace"]))
    space: Resource = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fresh"}}
    cluster.make(space, dry_run=True)
    cluster.world.fork().create(cluster.kind(space), "", copy.deepcopy(space), cluster.request())
    assert not cluster.gate.later
    cluster.make(space)
    assert [one.name for one in cluster.gate.later] == ["fresh"]
