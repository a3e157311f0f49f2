"""kyverno-test.yaml: both forms, values, operations, users, targets, generated and patched files, exceptions, checks."""

from collections.abc import Sequence
from typing import Any

import yaml

from fairlead.dialects import manifests
from fairlead.dialects.kyverno.suites import Suite, Values, is_suite, read_asker, read_suite
from fairlead.dialects.kyverno.suites_running import judge_suite
from fairlead.judge.reading import Source
from fairlead.judge.suites import Row
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.policies import load

KINDS = KindNames(Catalogue())


def parse(file: str, text: str) -> Sequence[Source]:
    return [Source(one.content, one.where) for one in manifests.parse(file, text)[0]]


def suite_of(text: str, file: str = "t/.kyverno-test/kyverno-test.yaml") -> Suite:
    (source,) = parse(file, text)
    assert is_suite(source.content)
    suite, findings = read_suite(file, source)
    assert not findings
    return suite


def run(test: str, **files: str) -> list[Row]:
    """Run a test whose files lie beside it, each named by its first word."""
    suite = suite_of(test, "kyverno-test.yaml")
    named = {f"{name}.yaml": text for name, text in files.items()}
    rows, _ = judge_suite(suite, named, parse=parse, load=load, kinds=KINDS)
    return rows


def told(rows: Sequence[Row]) -> list[tuple[str, str, bool, str]]:
    return [(one.resource, one.got, one.ok, one.reason) for one in rows]


def policy(rules: str, name: str = "p", kind: str = "ClusterPolicy") -> str:
    return f"apiVersion: kyverno.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  rules:\n{rules}"


LABELLED = policy("""
  - name: labelled
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate:
      message: no
      pattern: {metadata: {labels: {app: "?*"}}}
""")
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: good, labels: {app: x}}
---
apiVersion: v1
kind: Pod
metadata: {name: bad, namespace: other}
---
apiVersion: v1
kind: Service
metadata: {name: good}
"""
HEAD = """
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: t}
policies: [policy.yaml]
resources: [resources.yaml]
"""


def test_each_resource_of_a_row_is_compared() -> None:
    rows = run(
        HEAD
        + """
results:
- {policy: p, rule: labelled, kind: Pod, resources: [good, other/bad], result: pass}
- {policy: p, rule: labelled, kind: Pod, resources: [bad, nowhere], result: fail}
- {policy: p, rule: labelled, kind: Service, resources: [good], result: skip}
- {policy: q, rule: labelled, kind: Pod, resources: [good], result: pass}
- {policy: p, rule: labelled, kind: Pod, result: pass}
""",
        policy=LABELLED,
        resources=PODS,
    )
    assert told(rows) == [
        ("good", "pass", True, "Ok"),
        ("other/bad", "fail", False, "Want pass, got fail"),
        ("bad", "fail", True, "Ok"),
        ("nowhere", "", False, "Not found"),
        ("good", "", True, "Excluded"),
        ("good", "", False, "Policy not found"),
        ("default/good", "pass", True, "Ok"),
        ("other/bad", "fail", False, "Want pass, got fail"),
    ]


def test_the_older_form() -> None:
    suite = suite_of("""
name: old
policies: [../policy.yaml]
resources: [r.yaml]
results:
- {policy: p, rule: r, kind: Pod, resource: a, namespace: n, status: pass, patchedResource: out.yaml}
""")
    assert (suite.name, suite.policies, suite.resources) == (
        "old",
        ("t/policy.yaml",),
        ("t/.kyverno-test/r.yaml",),
    )
    (row,) = suite.expected
    assert (row.resources, row.result, row.patched) == (("n/a",), "pass", "t/.kyverno-test/out.yaml")
    assert suite.files == ("t/policy.yaml", "t/.kyverno-test/r.yaml", "t/.kyverno-test/out.yaml")
    assert not is_suite({"kind": "Test", "apiVersion": "example.io/v1"})
    assert not is_suite({"policies": []})


def test_what_is_wrong_in_a_test_is_a_finding() -> None:
    (source,) = parse("k", HEAD + "what: 1\nresults: [{policy: p, result: maybe, colour: red}]")
    _, findings = read_suite("k", source)
    assert [one.where.path for one in findings] == [".results[0].result", ".what", ".results[0].colour"]


def test_an_invalid_policy_says_why() -> None:
    (row,) = run(
        HEAD + "results: [{policy: p, rule: r, kind: Pod, resources: [good], result: pass}]",
        policy="apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: p}\nspec: {rules: [{name: r}]}",
        resources=PODS,
    )
    assert not row.ok


def test_rules_made_for_controllers_count_as_the_rule() -> None:
    deployment = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec: {template: {metadata: {labels: {app: x}}}}
"""
    (row,) = run(
        HEAD + "results: [{policy: p, rule: labelled, kind: Deployment, resources: [d], result: pass}]",
        policy=LABELLED,
        resources=deployment,
    )
    assert (row.ok, row.got) == (True, "pass")


VALUED = policy("""
  - name: counted
    match: {any: [{resources: {kinds: [Pod], namespaceSelector: {matchLabels: {tier: x}}}}]}
    context:
    - name: count
      apiCall: {urlPath: /api/v1/pods, jmesPath: "length(items)"}
    - name: limits
      configMap: {name: limits, namespace: default}
    validate:
      message: "{{ count }} of {{ limits.data.most }}"
      deny:
        conditions:
          any:
          - {key: "{{ count }}", operator: GreaterThan, value: "{{ limits.data.most }}"}
          - {key: "{{ request.operation }}", operator: Equals, value: UPDATE}
          - {key: "{{ who }}", operator: Equals, value: evil}
""")


def test_values_take_the_place_of_lookups() -> None:
    values = """
apiVersion: cli.kyverno.io/v1alpha1
kind: Values
globalValues: {who: nobody}
namespaceSelector: [{name: default, labels: {tier: x}}, {name: other, labels: {tier: x}}]
policies:
- name: p
  rules: [{name: counted, values: {count: 2, limits.data.most: 3}}]
  resources: [{name: bad, values: {who: evil}}]
"""
    test = """
variables: values.yaml
results:
- {policy: p, rule: counted, kind: Pod, resources: [good], result: pass}
- {policy: p, rule: counted, kind: Pod, resources: [bad], result: fail}
"""
    rows = run(HEAD + test, policy=VALUED, resources=PODS, values=values)
    assert told(rows) == [("good", "pass", True, "Ok"), ("bad", "fail", True, "Ok")]
    assert rows[1].message == "2 of 3"


def test_values_may_stand_in_the_test_itself() -> None:
    test = """
values:
  globalValues: {who: nobody, request.operation: UPDATE}
  namespaces: [{metadata: {name: default, labels: {tier: x}}}]
  policies: [{name: p, rules: [{name: counted, values: {count: 4, limits: {data: {most: 3}}}}]}]
results:
- {policy: p, rule: counted, kind: Pod, resources: [good], result: fail}
"""
    assert [one.ok for one in run(HEAD + test, policy=VALUED, resources=PODS)] == [True]


def test_values_of_a_rule_hold_for_the_rules_made_of_it() -> None:
    values = Values()
    values.add(
        yaml.safe_load("{policies: [{name: p, rules: [{name: r, values: {x: 1}}]}], globalValues: {y: 2}}")
    )
    assert values.given("p", "autogen-cronjob-r", "any") == {"x": 1, "y": 2}
    assert values.given("q", "r", "any") == {"y": 2}
    values.add(yaml.safe_load("{policies: [{name: p, rules: [{name: r, foreachValues: {z: [3, 4]}}]}]}"))
    assert values.given("p", "r", "any") == {"x": 1, "y": 2, "z": 3}


def test_a_delete_has_no_object() -> None:
    gone = policy("""
  - name: kept
    match: {any: [{resources: {kinds: [Pod], operations: [DELETE]}}]}
    validate:
      message: no
      deny: {conditions: {any: [{key: "{{ request.oldObject.metadata.name }}", operator: Equals, value: bad}]}}
""")
    test = """
values:
  globalValues: {request.operation: DELETE}
results:
- {policy: p, rule: kept, kind: Pod, resources: [bad], result: fail}
- {policy: p, rule: kept, kind: Pod, resources: [good], result: pass}
"""
    assert [one.ok for one in run(HEAD + test, policy=gone, resources=PODS)] == [True, True]


def test_who_asks() -> None:
    asker = read_asker(
        yaml.safe_load("{userInfo: {username: ann, groups: [a]}, roles: ['n:r'], clusterRoles: [c]}")
    )
    assert (asker.user.name, asker.user.groups, asker.roles, asker.cluster_roles) == (
        "ann",
        ("a",),
        ("n:r",),
        ("c",),
    )
    mine = policy("""
  - name: mine
    match: {all: [{resources: {kinds: [Pod]}, clusterRoles: [c]}]}
    validate: {message: no, pattern: {metadata: {labels: {app: "?*"}}}}
""")
    test = (
        HEAD
        + """
userinfo: user.yaml
results: [{policy: p, rule: mine, kind: Pod, resources: [bad], result: fail}]
"""
    )
    user = (
        "apiVersion: cli.kyverno.io/v1alpha1\nkind: UserInfo\nclusterRoles: [%s]\nuserInfo: {username: ann}"
    )
    assert [one.ok for one in run(test, policy=mine, resources=PODS, user=user % "c")] == [True]
    assert [one.ok for one in run(test, policy=mine, resources=PODS, user=user % "d")] == [False]


MUTATING = policy("""
  - name: add
    match: {any: [{resources: {kinds: [Pod]}}]}
    mutate: {patchStrategicMerge: {metadata: {labels: {+(app): added}}}}
""", "m")  # fmt: skip


def test_a_mutated_resource_goes_on_to_later_policies_and_is_compared() -> None:
    test = (
        HEAD
        + """
results:
- {policy: m, rule: add, kind: Pod, resources: [bad], result: pass, patchedResources: out.yaml}
- {policy: m, rule: add, kind: Pod, resources: [good], result: skip}
- {policy: p, rule: labelled, kind: Pod, resources: [bad], result: pass}
"""
    )
    files = {"policy": f"{LABELLED}\n---\n{MUTATING}", "resources": PODS}
    right = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad, namespace: other, labels: {app: added}, annotations: {}}"
    assert [one.ok for one in run(test, **files, out=right)] == [True, True, True]
    rows = run(test, **files, out=right.replace("app: added", "app: other"))
    assert rows[0].reason == "Resource diff: .metadata.labels.app is 'added', want 'other'"


def test_a_mutation_that_must_not_come_out_so() -> None:
    test = (
        HEAD
        + "results: [{policy: m, rule: add, kind: Pod, resources: [bad], result: fail, patchedResources: out.yaml}]"
    )
    out = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad, namespace: other, labels: {app: %s}}"
    assert [one.ok for one in run(test, policy=MUTATING, resources=PODS, out=out % "else")] == [True]
    assert [one.ok for one in run(test, policy=MUTATING, resources=PODS, out=out % "added")] == [False]


def test_targets_are_compared() -> None:
    touching = policy("""
  - name: touch
    match: {any: [{resources: {kinds: [Pod]}}]}
    mutate:
      targets: [{apiVersion: v1, kind: Secret, name: s, namespace: default}]
      patchStrategicMerge: {metadata: {labels: {by: "{{ request.object.metadata.name }}"}}}
""")
    test = (
        HEAD
        + """
targetResources: [target.yaml]
results:
- {policy: p, rule: touch, kind: Secret, resources: [s], result: pass, patchedResources: out.yaml}
- {policy: p, rule: touch, kind: Pod, resources: [good], result: pass}
"""
    )
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: good}"
    target = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}"
    out = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, labels: {by: good}}"
    assert [one.ok for one in run(test, policy=touching, resources=pod, target=target, out=out)] == [
        True,
        True,
    ]


def test_what_is_generated_is_compared() -> None:
    cloning = policy("""
  - name: make
    match: {any: [{resources: {kinds: [Namespace]}}]}
    generate:
      apiVersion: v1
      kind: Secret
      name: made
      namespace: "{{ request.object.metadata.name }}"
      clone: {name: s, namespace: default}
""")
    test = (
        HEAD
        + """
results:
- {policy: p, rule: make, kind: Namespace, resources: [n], result: pass, generatedResource: out.yaml, cloneSourceResource: from.yaml}
"""
    )
    space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}"
    source = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: Yg==}"
    out = "apiVersion: v1\nkind: Secret\nmetadata: {name: made, namespace: n}\ndata: {a: %s}"
    files = {"policy": cloning, "resources": space, "from": source}
    assert [one.ok for one in run(test, **files, out=out % "Yg==")] == [True]
    assert "Resource diff: .data.a" in run(test, **files, out=out % "Yw==")[0].reason


def test_exceptions_spare_a_resource() -> None:
    spared = """
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: x, namespace: other}
spec:
  exceptions: [{policyName: p, ruleNames: [labelled, autogen-labelled, autogen-cronjob-labelled]}]
  match: {any: [{resources: {kinds: [Pod], names: [bad]}}]}
"""
    test = (
        HEAD
        + """
exceptions: [spared.yaml]
results: [{policy: p, rule: labelled, kind: Pod, resources: [bad], result: skip}]
"""
    )
    assert [one.ok for one in run(test, policy=LABELLED, resources=PODS, spared=spared)] == [True]


def test_checks() -> None:
    test = (
        HEAD
        + """
checks:
- match: {resource: {metadata: {name: bad}}, policy: {metadata: {name: p}}, rule: {name: labelled}}
  assert: {status: fail}
  error: {status: pass}
- match: {resource: {kind: Pod}}
  assert: {status: pass}
"""
    )
    rows = run(test, policy=LABELLED, resources=PODS)
    assert [(one.resource, one.ok) for one in rows] == [
        ("bad", True), ("bad", True), ("good", True), ("bad", False),
    ]  # fmt: skip


def test_files_that_are_not_there_are_told() -> None:
    suite = suite_of(HEAD, "kyverno-test.yaml")
    rows, findings = judge_suite(suite, {}, parse=parse, load=load, kinds=KINDS)
    assert not rows
    assert [one.message for one in findings if one.rule == "test.missing"] == [
        "names policy.yaml, which is not there",
        "names resources.yaml, which is not there",
    ]


def test_a_folder_of_policies() -> None:
    suite = suite_of(
        HEAD.replace("policy.yaml", "policies/")
        + "results: [{policy: p, rule: labelled, kind: Pod, resources: [good], result: pass}]",
        "kyverno-test.yaml",
    )
    files: dict[str, Any] = {
        "policies/one.yaml": LABELLED,
        "policies/deep/x.yaml": "[",
        "resources.yaml": PODS,
    }
    rows, _ = judge_suite(suite, files, parse=parse, load=load, kinds=KINDS)
    assert [one.ok for one in rows] == [True]
