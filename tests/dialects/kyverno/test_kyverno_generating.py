"""generate: data, clone, cloneList, foreach; and what follows when triggers, sources and policies change or go."""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from fairlead.dialects.kyverno.generating_following import follow, origin_of, withdrawn
from fairlead.judge.judging import judge
from fairlead.judge.policies import Outcome
from fairlead.judge.reading import Source
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.policies import load
from fairlead.words import Change, Ref, Snapshot

KINDS = KindNames(Catalogue())
NOW = datetime(2024, 5, 1, tzinfo=UTC)
SPACE: Any = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "uid": "u1"}}
SOURCE: Any = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "pull", "namespace": "base", "uid": "s1", "resourceVersion": "4", "labels": {"own": "x"},
        "ownerReferences": [{"uid": "o"}],
    },
    "data": {"a": "Yg=="},
}  # fmt: skip


def around(*objects: Any) -> Surroundings:
    return Surroundings(view=Snapshot(objects), now=NOW, kinds=KINDS)


def policy(generate: str, *, more: str = "", match: str = "kinds: [Namespace]", name: str = "g") -> Any:
    indented = "\n".join(f"      {line}" for line in generate.strip("\n").splitlines())
    return yaml.safe_load(f"""
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: {name}}}
spec:
  {more}
  rules:
  - name: make
    match: {{any: [{{resources: {{{match}}}}}]}}
    generate:
{indented}
""")


DATA = """
apiVersion: v1
kind: ConfigMap
name: "settings-{{request.object.metadata.name}}"
namespace: "{{request.object.metadata.name}}"
synchronize: %s
data:
  metadata: {labels: {mine: x}}
  data: {who: "{{request.object.metadata.name}}"}
"""
CLONE = """
apiVersion: v1
kind: Secret
name: pulled
namespace: "{{request.object.metadata.name}}"
synchronize: true
clone: {namespace: base, name: pull}
"""


def generated(document: Any, trigger: Any, *objects: Any, **how: Any) -> list[Outcome]:
    found = load([Source(document)])
    assert not [one for one in found.findings if one.rule == "policy.broken"], found.findings
    subject = subject_of(trigger, "namespaces", **how)
    return [one.outcome for one in judge(subject, found.book, around(*objects), "generate")]


def change(document: Any, *objects: Any) -> Change:
    (said,) = generated(document, SPACE, *objects)
    (one,) = said.changes
    return one


def applied(one: Change, uid: str = "d1") -> Any:
    """What a cluster makes of a created object."""
    return {**one.body, "metadata": {**one.body["metadata"], "uid": uid, "resourceVersion": "9"}}


def test_data_is_created_with_labels_that_say_whence() -> None:
    one = change(policy(DATA % "false"))
    assert (one.verb, str(one.ref), one.api_version) == ("create", "ConfigMap team/settings-team", "v1")
    assert one.body["data"] == {"who": "team"}
    labels = one.body["metadata"]["labels"]
    assert labels["mine"] == "x"
    assert labels["app.kubernetes.io/managed-by"] == "kyverno"
    assert {key.partition("/")[2]: text for key, text in labels.items() if key.startswith("generate.")} == {
        "policy-name": "g", "policy-namespace": "", "rule-name": "make", "trigger-group": "", "trigger-version": "v1",
        "trigger-kind": "Namespace", "trigger-namespace": "", "trigger-name": "team", "trigger-uid": "u1",
    }  # fmt: skip
    origin = origin_of(one.body)
    assert origin is not None
    assert (origin.policy, origin.rule) == (Ref("kyverno.io", "ClusterPolicy", "", "g"), "make")
    assert (origin.trigger, origin.source) == (Ref.of(SPACE), None)


def test_what_is_there_is_kept_unless_it_is_synchronised() -> None:
    there = applied(change(policy(DATA % "false")))
    drifted = {**there, "data": {"who": "me"}}
    assert not generated(policy(DATA % "false"), SPACE, drifted)[0].changes
    assert not generated(policy(DATA % "true"), SPACE, there)[0].changes
    one = change(policy(DATA % "true"), drifted)
    assert (one.verb, one.body["data"]) == ("update", {"who": "team"})
    assert one.body["metadata"]["resourceVersion"] == "9"


def test_server_side_apply() -> None:
    one = change(policy(DATA % "true", more="useServerSideApply: true"))
    assert (one.verb, one.patch) == ("patch", "apply")


def test_a_clone_leaves_behind_what_is_the_original_s_own() -> None:
    one = change(policy(CLONE), SOURCE)
    meta = one.body["metadata"]
    assert (str(one.ref), one.body["data"]) == ("Secret team/pulled", {"a": "Yg=="})
    assert not {"uid", "resourceVersion", "ownerReferences"} & meta.keys()
    assert (meta["labels"]["own"], meta["labels"]["generate.kyverno.io/source-uid"]) == ("x", "s1")
    origin = origin_of(one.body)
    assert origin is not None
    assert origin.source == Ref.of(SOURCE)


def test_a_clone_of_nothing_is_an_error() -> None:
    (said,) = generated(policy(CLONE), SPACE)
    assert (said.result, said.message) == ("error", "source resource v1/Secret/base/pull not found")


def test_a_list_of_clones() -> None:
    cloning = """
namespace: "{{request.object.metadata.name}}"
cloneList:
  namespace: base
  kinds: [v1/Secret, v1/ConfigMap]
  selector: {matchLabels: {own: x}}
"""
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "base"}}
    (said,) = generated(policy(cloning), SPACE, SOURCE, settings, {**SPACE, "kind": "Secret"})
    assert [str(one.ref) for one in said.changes] == ["Secret team/pull"]


def test_a_foreach_generates_for_each_element() -> None:
    each = """
foreach:
- list: request.object.metadata.annotations.wanted.split(@, ',')
  preconditions: {all: [{key: "{{element}}", operator: NotEquals, value: b}]}
  apiVersion: v1
  kind: ConfigMap
  name: "cm-{{element}}-{{elementIndex}}"
  namespace: team
  data: {data: {n: "{{element}}"}}
"""
    space = {**SPACE, "metadata": {**SPACE["metadata"], "annotations": {"wanted": "a,b,c"}}}
    (said,) = generated(policy(each), space)
    assert [one.ref.name for one in said.changes] == ["cm-a-0", "cm-c-2"]


def test_a_variable_that_is_missing_is_an_error() -> None:
    (said,) = generated(
        policy(DATA.replace("{{request.object.metadata.name}}", "{{request.object.x}}", 1) % "true"), SPACE
    )
    assert said.result == "error"
    assert "variable substitution failed" in said.message


def test_what_was_there_before_the_policy_is_a_trigger_only_if_asked() -> None:
    assert not generated(policy(DATA % "true"), SPACE, scan=True)
    assert generated(policy(DATA % "true", more="generateExisting: true"), SPACE, scan=True)
    assert generated(policy("generateExisting: true\n" + DATA % "true"), SPACE, scan=True)


def test_the_end_of_a_trigger_generates_only_if_asked() -> None:
    assert not generated(policy(DATA % "true"), SPACE, operation="DELETE")
    asked = policy(DATA % "true", match="kinds: [Namespace], operations: [DELETE]")
    assert generated(asked, SPACE, operation="DELETE")[0].changes


def test_a_namespaced_policy_stays_in_its_namespace() -> None:
    document = policy(DATA % "true", match="kinds: [ConfigMap]")
    document |= {"kind": "Policy", "metadata": {"name": "g", "namespace": "team"}}
    for name, result in (("team", "pass"), ("other", "error")):
        trigger = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "team"}}
        assert [one.result for one in generated(document, trigger)] == [result]


@pytest.mark.parametrize(
    ("generate", "message"),
    [
        ("kind: X\nname: x\ndata: {}\nclone: {}", "only one of"),
        ("kind: X\nname: x", "requires one of"),
        ("kind: X\ndata: {}", "requires a kind and a name"),
        ("foreach: [{kind: X, name: x, data: {}}]", "foreach requires a list"),
    ],
)
def test_what_cannot_be_used_is_a_finding(generate: str, message: str) -> None:
    found = [one for one in load([Source(policy(generate))]).findings if one.rule == "policy.broken"]
    assert len(found) == 1
    assert message in found[0].message


def told(changes: tuple[Change, ...]) -> list[tuple[str, str]]:
    return [(one.verb, str(one.ref)) for one in changes]


def test_when_the_trigger_goes_what_is_synchronised_goes_too() -> None:
    for synchronize, gone in (("true", [("delete", "ConfigMap team/settings-team")]), ("false", [])):
        document = policy(DATA % synchronize)
        there = applied(change(document))
        assert told(follow(SPACE, None, around(document, there)).changes) == gone
        other = {**SPACE, "metadata": {"name": "team", "uid": "u2"}}
        assert not follow(other, None, around(document, there)).changes


def test_a_clone_follows_its_source() -> None:
    document = policy(CLONE)
    there = applied(change(document, SOURCE))
    after = {**SOURCE, "data": {"a": "Yw=="}}
    followed = follow(SOURCE, after, around(document, there, after))
    assert told(followed.changes) == [("update", "Secret team/pulled")]
    body = followed.changes[0].body
    assert (body["data"], body["metadata"]["name"]) == ({"a": "Yw=="}, "pulled")
    assert origin_of(body) == origin_of(there)
    assert not follow(SOURCE, SOURCE, around(document, there, SOURCE)).changes
    assert told(follow(SOURCE, None, around(document, there)).changes) == [("delete", "Secret team/pulled")]


def test_when_the_policy_goes_its_data_goes_and_its_clones_stay() -> None:
    document = policy(DATA % "true")
    there = applied(change(document))
    assert told(follow(document, None, around(there)).changes) == [("delete", "ConfigMap team/settings-team")]
    orphaning = policy(DATA % "true" + "orphanDownstreamOnPolicyDelete: true")
    assert not follow(orphaning, None, around(there)).changes
    clone = applied(change(policy(CLONE), SOURCE))
    assert not follow(policy(CLONE), None, around(clone)).changes


def test_when_a_rule_changes_its_triggers_are_judged_again() -> None:
    before, after = policy(DATA % "true"), policy((DATA % "true").replace("mine: x", "mine: y"))
    there = applied(change(before))
    followed = follow(before, after, around(after, there))
    assert not followed.changes
    assert [str(one.trigger) for one in followed.again] == ["Namespace team"]
    assert not follow(after, after, around(after, there)).again


def test_what_was_generated_is_restored() -> None:
    document = policy(DATA % "true")
    there = applied(change(document))
    for after in (None, {**there, "data": {}}):
        followed = follow(there, after, around(document, SPACE))
        assert [(one.rule, str(one.trigger)) for one in followed.again] == [("make", "Namespace team")]
    assert not follow(there, None, around(policy(DATA % "false"), SPACE)).again


def test_what_no_rule_is_about_any_more_is_withdrawn() -> None:
    document = policy(DATA % "true")
    there = applied(change(document))
    made = around(document, there)
    assert told(withdrawn(SPACE, [], made)) == [("delete", "ConfigMap team/settings-team")]
    assert not withdrawn(SPACE, [(Ref("kyverno.io", "ClusterPolicy", "", "g"), "make")], made)
