"""mutate: JSON patches, foreach, order among rules and policies, existing targets."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from fairlead.dialects.kyverno.mutating import on_policy_update
from fairlead.judge.judging import judge, mutate
from fairlead.judge.policies import Judged, Outcome
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.policies import Loaded, load
from fairlead.words import Snapshot

KINDS = KindNames(Catalogue())
NOW = datetime(2024, 5, 1, tzinfo=UTC)
POD: Any = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "n"},
    "spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]},
}


def around(*objects: Any) -> Surroundings:
    return Surroundings(view=Snapshot(objects), now=NOW, kinds=KINDS)


def loaded(*texts: str) -> Loaded:
    return load(Source(one) for text in texts for one in yaml.safe_load_all(text))


def policy(rules: str, name: str = "m", kind: str = "ClusterPolicy", spec: str = "") -> str:
    indented = "\n".join(f"  {line}" for line in rules.strip("\n").splitlines())
    return f"""
apiVersion: kyverno.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: n}}
spec:
  {spec}
  rules:
{indented}
"""


def rule(mutation: str, name: str = "r", kinds: str = "Pod", more: str = "") -> str:
    indented = "\n".join(f"    {line}" for line in mutation.strip("\n").splitlines())
    return f"""
- name: {name}
  match: {{any: [{{resources: {{kinds: [{kinds}]}}}}]}}
  {more}
  mutate:
{indented}
"""


def run(text: str | Iterable[str], resource: Any = POD, *objects: Any) -> tuple[Any, list[Judged]]:
    found = loaded(*([text] if isinstance(text, str) else text))
    assert not [one for one in found.findings if one.rule == "policy.broken"], found.findings
    subject, said = mutate(subject_of(resource, "pods"), found.book, around(*objects))
    return subject.object, said


def only(said: list[Judged]) -> Outcome:
    assert len(said) == 1
    return said[0].outcome


def test_a_json_patch_in_yaml_with_variables() -> None:
    made, said = run(
        policy(
            rule("""
patchesJson6902: |-
  - op: add
    path: /metadata/labels/who
    value: "{{ request.object.metadata.name }}"
  - op: add
    path: /spec/containers/-
    value: {"name": "c", "image": "c:1"}
  - op: remove
    path: /spec/nothing/here
""")
        )
    )
    assert made["metadata"]["labels"] == {"who": "p"}
    assert [one["name"] for one in made["spec"]["containers"]] == ["a", "b", "c"]
    assert (only(said).result, only(said).message) == ("pass", "mutated Pod/p in namespace n")
    assert "labels" not in POD["metadata"]


def test_a_json_patch_that_does_not_apply_is_an_error() -> None:
    made, said = run(policy(rule('patchesJson6902: \'[{"op": "replace", "path": "/spec/x", "value": 1}]\'')))
    assert made is POD
    assert only(said).result == "error"
    assert only(said).message.startswith(
        "failed to patch resource: failed to apply JSON Patch: replace operation"
    )


def test_a_test_operation_guards_a_patch() -> None:
    guarded = """
patchesJson6902: |
  [{"op": "test", "path": "/spec/containers/0/name", "value": "%s"}, {"op": "add", "path": "/spec/x", "value": 1}]
"""
    assert run(policy(rule(guarded % "a")))[0]["spec"]["x"] == 1
    assert only(run(policy(rule(guarded % "z")))[1]).result == "error"


def test_dates_in_a_patch_stay_texts() -> None:
    made, _ = run(
        policy(rule("patchesJson6902: |-\n  - {op: add, path: /metadata/labels/day, value: 2024-05-01}"))
    )
    assert made["metadata"]["labels"]["day"] == "2024-05-01"


def test_what_changes_nothing_is_skipped() -> None:
    made, said = run(policy(rule("patchStrategicMerge: {metadata: {+(name): x}}")))
    assert made is POD
    assert (only(said).result, only(said).message) == ("skip", "no patches applied")


def test_an_unresolved_variable_is_an_error() -> None:
    _, said = run(
        policy(rule('patchStrategicMerge: {metadata: {labels: {x: "{{ request.object.spec.nope }}"}}}'))
    )
    assert only(said).result == "error"
    assert "variable substitution failed" in only(said).message
    assert "request.object.spec.nope" in only(said).message


def test_later_rules_and_policies_see_what_earlier_ones_made() -> None:
    first = rule("patchStrategicMerge: {metadata: {labels: {one: x}}}", "first")
    second = rule(
        'patchStrategicMerge: {metadata: {labels: {two: "{{ request.object.metadata.labels.one }}y"}}}',
        "second",
    )
    third = rule(
        'patchStrategicMerge: {metadata: {labels: {three: "{{ request.object.metadata.labels.two }}z"}}}',
        "third",
    )
    made, said = run([policy(third, "zz"), policy(first + second, "aa")])
    assert made["metadata"]["labels"] == {"one": "x", "two": "xy", "three": "xyz"}
    assert [one.rule.name for one in said] == ["first", "second", "third"]


def test_a_foreach_patches_each_element() -> None:
    made, said = run(
        policy(
            rule("""
foreach:
- list: request.object.spec.containers
  context:
  - name: tagged
    variable: {value: "{{ element.image }}-x"}
  preconditions:
    all: [{key: "{{ element.name }}", operator: NotEquals, value: a}]
  patchStrategicMerge:
    spec:
      containers:
      - (name): "{{ element.name }}"
        image: "{{ tagged }}"
""")
        )
    )
    assert {one["name"]: one["image"] for one in made["spec"]["containers"]} == {"a": "a:1", "b": "b:1-x"}
    assert only(said).result == "pass"


@pytest.mark.parametrize(("order", "left"), [("Descending", []), ("Ascending", ["b"])])
def test_the_order_of_a_foreach_matters(order: str, left: list[str]) -> None:
    made, _ = run(
        policy(
            rule(f"""
foreach:
- list: request.object.spec.containers
  order: {order}
  patchesJson6902: |-
    - {{op: remove, path: "/spec/containers/{{{{elementIndex}}}}"}}
""")
        )
    )
    assert [one["name"] for one in made["spec"]["containers"]] == left


def test_later_foreach_lists_see_what_earlier_ones_made() -> None:
    made, _ = run(
        policy(
            rule("""
foreach:
- list: "['x']"
  patchesJson6902: |-
    - {op: add, path: /metadata/labels/x, value: made}
- list: request.object.metadata.labels.values(@)
  patchesJson6902: |-
    - {op: add, path: /metadata/labels/seen, value: "{{ element }}"}
""")
        )
    )
    assert made["metadata"]["labels"] == {"x": "made", "seen": "made"}


def test_a_nested_foreach() -> None:
    ports = [{"containerPort": 1}, {"containerPort": 2}]
    pod = {**POD, "spec": {"containers": [{"name": "a", "ports": ports}, {"name": "b", "ports": ports}]}}
    made, _ = run(
        policy(
            rule("""
foreach:
- list: request.object.spec.containers
  foreach:
  - list: element0.ports
    patchesJson6902: |-
      - op: add
        path: /spec/containers/{{elementIndex0}}/ports/{{elementIndex1}}/name
        value: "{{ element0.name }}-{{ element1.containerPort }}"
""")
        ),
        pod,
    )
    names = [port["name"] for one in made["spec"]["containers"] for port in one["ports"]]
    assert names == ["a-1", "a-2", "b-1", "b-2"]


def secret(name: str, namespace: str = "n", **labels: str) -> Any:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "resourceVersion": "7"},
    }


def existing(text: str, trigger: Any, *objects: Any, operation: Any = "CREATE") -> list[Outcome]:
    found = loaded(text)
    assert not [one for one in found.findings if one.rule == "policy.broken"], found.findings
    subject: Subject = subject_of(trigger, "pods", operation=operation)
    return [one.outcome for one in judge(subject, found.book, around(*objects), "generate")]


TARGETS = rule("""
targets:
- apiVersion: v1
  kind: Secret
  namespace: "{{ request.object.metadata.namespace }}"
  name: "app-*"
  preconditions:
    all: [{key: "{{ target.metadata.labels.skip || '' }}", operator: NotEquals, value: "yes"}]
patchStrategicMerge:
  metadata:
    labels:
      touched-by: "{{ request.object.metadata.name }}"
      was: "{{ target.metadata.name }}"
""")


def test_existing_targets_are_changed_each_by_itself() -> None:
    objects = (secret("app-1"), secret("app-2", skip="yes"), secret("other"), secret("app-3", "elsewhere"))
    said = existing(policy(TARGETS), POD, *objects)
    assert [(one.result, one.message) for one in said] == [
        ("pass", "mutated Secret/app-1 in namespace n"),
        ("skip", "preconditions not met"),
    ]
    (change,) = said[0].changes
    assert (change.verb, str(change.ref), change.if_version) == ("update", "Secret n/app-1", "7")
    assert change.body["metadata"]["labels"] == {"touched-by": "p", "was": "app-1"}
    assert objects[0]["metadata"]["labels"] == {}


def test_a_namespaced_policy_reaches_only_its_own_namespace() -> None:
    anywhere = TARGETS.replace('namespace: "{{ request.object.metadata.namespace }}"', "namespace: elsewhere")
    said = existing(policy(anywhere, kind="Policy"), POD, secret("app-3", "elsewhere"), secret("app-1"))
    assert [str(one.changes[0].ref) for one in said] == ["Secret n/app-1"]


def test_targets_by_selector_and_wildcards() -> None:
    chosen = rule("""
targets:
- apiVersion: v1
  kind: Secret
  namespace: "*"
  selector: {matchLabels: {pick: me}}
patchStrategicMerge: {metadata: {annotations: {x: y}}}
""")
    said = existing(policy(chosen), POD, secret("a", pick="me"), secret("b", "m", pick="me"), secret("c"))
    assert [str(one.changes[0].ref) for one in said] == ["Secret m/b", "Secret n/a"]


def test_the_end_of_a_trigger_counts_only_where_it_is_asked_for() -> None:
    gone = TARGETS.replace("kinds: [Pod]", "kinds: [Pod], operations: [DELETE]")
    assert not existing(policy(TARGETS), POD, secret("app-1"), operation="DELETE")
    said = existing(policy(gone), POD, secret("app-1"), operation="DELETE")
    assert said[0].changes[0].body["metadata"]["labels"]["touched-by"] == "p"


def test_whether_a_policy_update_mutates_what_exists() -> None:
    assert on_policy_update({"mutateExistingOnPolicyUpdate": True}, {"mutate": {}})
    assert not on_policy_update(
        {"mutateExistingOnPolicyUpdate": True}, {"mutate": {"mutateExistingOnPolicyUpdate": False}}
    )
    assert not on_policy_update({}, {})


@pytest.mark.parametrize(
    ("mutation", "path", "message"),
    [
        ("patchStrategicMerge: [x]", ".patchStrategicMerge", "must be a mapping"),
        ("patchesJson6902: '{a: b}'", ".patchesJson6902", "not a list of operations"),
        ("foreach: {}", ".foreach", "must be a list"),
        ("foreach: [{patchStrategicMerge: {}}]", ".foreach[0].list", "requires a list"),
        ("foreach: [{list: x, order: Up, patchStrategicMerge: {}}]", ".foreach[0].order", "Ascending"),
        ("targets: [{name: x}]\npatchStrategicMerge: {}", ".targets[0].kind", "requires a kind"),
        ("mutateExistingOnPolicyUpdate: true", "", "requires one of"),
    ],
)
def test_what_cannot_be_used_is_a_finding_with_its_path(mutation: str, path: str, message: str) -> None:
    found = [one for one in loaded(policy(rule(mutation))).findings if one.rule == "policy.broken"]
    assert [one.where.path for one in found] == [f".spec.rules[0].mutate{path}"]
    assert message in found[0].message
