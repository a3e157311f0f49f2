"""Mutators: what each does, in which order they run, when they stop, and which contradict each other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from fairlead.words import Resource


def mutator(kind: str, name: str = "m", *, to: str = "Pod", **spec: Any) -> str:
    spec.setdefault("match", {})
    if kind != "AssignMetadata":
        spec.setdefault("applyTo", [{"groups": [""], "versions": ["v1"], "kinds": [to]}])
    content = {
        "apiVersion": "mutations.gatekeeper.sh/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    return f"---\n{yaml.safe_dump(content)}\n"


def value(location: str, value_: Any, name: str = "m", *tests: tuple[str, str], **more: Any) -> str:
    parameters: dict[str, Any] = {"assign": {"value": value_}}
    if tests:
        parameters["pathTests"] = [{"subPath": path, "condition": condition} for path, condition in tests]
    return mutator("Assign", name, location=location, parameters=parameters, **more)


def merge(location: str, *values: Any, operation: str = "merge", name: str = "m") -> str:
    parameters = {"operation": operation, "values": {"fromList": list(values)}}
    return mutator("ModifySet", name, location=location, parameters=parameters)


def changed(cluster: Callable[..., Any], text: str, thing: Resource) -> Any:
    before = copy.deepcopy(thing)
    made = cluster(text)
    assert not made.findings, made.said()
    verdict = made.request(thing)
    assert thing == before, "the object that was asked for must stay as it was"
    assert verdict.allowed
    return verdict.object


def test_a_value_is_put_where_nothing_was(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    after = changed(cluster, value("spec.securityContext.runAsNonRoot", True), pod())
    assert after["spec"]["securityContext"] == {"runAsNonRoot": True}


def test_every_item_and_one_item(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    two = pod(containers=[{"name": "a"}, {"name": "b"}])
    every = changed(cluster, value("spec.containers[name: *].tty", True), two)
    assert [one["tty"] for one in every["spec"]["containers"]] == [True, True]
    single = changed(cluster, value("spec.containers[name: b].tty", True), two)
    assert single["spec"]["containers"] == [{"name": "a"}, {"name": "b", "tty": True}]


def test_an_item_that_is_missing_is_made(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    after = changed(cluster, value("spec.containers[name: c].image", "c:1"), pod())
    assert after["spec"]["containers"][1] == {"name": "c", "image": "c:1"}


def test_a_whole_item_is_put_into_a_list(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    text = value("spec.containers[name: side]", {"name": "side", "image": "s:1"})
    after = changed(cluster, text, pod())
    assert [one["name"] for one in after["spec"]["containers"]] == ["a", "side"]
    assert changed(cluster, text, after) is after


@pytest.mark.parametrize(
    ("tests", "there", "wanted"),
    [
        ((("spec.dnsConfig", "MustExist"),), {}, None),
        ((("spec.dnsConfig", "MustExist"),), {"dnsConfig": {}}, {"options": 1}),
        ((("spec.dnsConfig", "MustNotExist"),), {"dnsConfig": {}}, {}),
        ((("spec.dnsConfig", "MustNotExist"),), {}, {"options": 1}),
        ((("spec.dnsConfig.options", "MustNotExist"),), {"dnsConfig": {"options": 0}}, {"options": 0}),
    ],
)
def test_path_tests(
    cluster: Callable[..., Any],
    pod: Callable[..., Resource],
    tests: Any,
    there: dict[str, Any],
    wanted: Any,
) -> None:
    after = changed(cluster, value("spec.dnsConfig.options", 1, "m", *tests), pod(**there))
    assert after["spec"].get("dnsConfig") == wanted


def test_a_glob_never_satisfies_must_not_exist(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    tests = ("spec.containers[name: *]", "MustNotExist")
    thing = pod()
    assert changed(cluster, value("spec.containers[name: *].tty", True, "m", tests), thing) is thing


def test_metadata_is_added_and_never_changed(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    text = mutator(
        "AssignMetadata", location='metadata.labels."a.b/c"', parameters={"assign": {"value": "x"}}
    )
    after = changed(cluster, text, pod())
    assert after["metadata"]["labels"] == {"a.b/c": "x"}
    labelled = pod()
    labelled["metadata"]["labels"] = {"a.b/c": "y"}
    assert changed(cluster, text, labelled) is labelled


def test_values_from_metadata(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    text = mutator(
        "AssignMetadata",
        location="metadata.annotations.owner",
        parameters={"assign": {"fromMetadata": {"field": "namespace"}}},
    ) + mutator(
        "Assign",
        location="spec.hostname",
        parameters={"assign": {"fromMetadata": {"field": "name"}}},
    )
    after = changed(cluster, text, pod())
    assert after["metadata"]["annotations"] == {"owner": "shop"}
    assert after["spec"]["hostname"] == "web"


def test_sets_are_merged_and_pruned(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    thing = pod(containers=[{"name": "a", "args": ["-v", "-x"]}])
    location = "spec.containers[name: *].args"
    assert changed(cluster, merge(location, "-x", "-y"), thing)["spec"]["containers"][0]["args"] == [
        "-v",
        "-x",
        "-y",
    ]
    pruned = changed(cluster, merge(location, "-x", operation="prune"), thing)
    assert pruned["spec"]["containers"][0]["args"] == ["-v"]
    assert changed(cluster, merge(location, "-z"), pod())["spec"]["containers"][0]["args"] == ["-z"]
    bare = pod()
    assert changed(cluster, merge(location, "-z", operation="prune"), bare) is bare


def test_true_is_not_one(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    after = changed(cluster, merge("spec.values", 1), pod(values=[True]))
    assert after["spec"]["values"] == [True, 1]


@pytest.mark.parametrize(
    ("parameters", "before", "after"),
    [
        ({"assignTag": ":2"}, "repo/a:1", "repo/a:2"),
        ({"assignTag": "@sha256:" + "a" * 64}, "a", "a@sha256:" + "a" * 64),
        ({"assignDomain": "mirror.example:5000"}, "repo/a:1", "mirror.example:5000/repo/a:1"),
        ({"assignDomain": "mirror.example"}, "old.example/a", "mirror.example/a"),
        ({"assignDomain": "localhost"}, "localhost:1/a", "localhost/a"),
        ({"assignPath": "other/b"}, "old.example/a:1", "old.example/other/b:1"),
        ({"assignDomain": "x.y", "assignPath": "p", "assignTag": ":t"}, "", "x.y/p:t"),
    ],
)
def test_parts_of_images(
    cluster: Callable[..., Any],
    pod: Callable[..., Resource],
    parameters: dict[str, str],
    before: str,
    after: str,
) -> None:
    text = mutator("AssignImage", location="spec.containers[name: *].image", parameters=parameters)
    thing = pod(containers=[{"name": "a", "image": before}])
    made = changed(cluster, text, thing)
    assert made["spec"]["containers"][0]["image"] == after
    assert changed(cluster, text, made) is made


def test_mutators_run_by_kind_and_name_until_nothing_changes(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    text = value("spec.priority", 1, "b") + value("spec.priority", 2, "a") + value("spec.x.y", 1, "c")
    verdict = cluster(text).request(pod())
    assert verdict.object["spec"]["priority"] == 1, "the last by name has the last word, again and again"
    (one,) = verdict.outcomes
    assert one.outcome.properties["mutators"] == ["Assign/a", "Assign/b", "Assign/c"]
    assert one.policy.name == "mutation.gatekeeper.sh"


def test_one_mutators_work_is_anothers_condition(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    text = value("spec.both.first", 1, "a", ("spec.both", "MustExist")) + value("spec.both.second", 2, "b")
    assert changed(cluster, text, pod())["spec"]["both"] == {"first": 1, "second": 2}


def test_mutators_that_never_agree_are_an_error_that_lets_pass(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    def turn(name: str, before: int, after: int) -> str:
        parameters = {"assign": {"value": after}, "assignIf": {"in": [before]}}
        return mutator("Assign", name, location="spec.a", parameters=parameters)

    verdict = cluster(turn("c", 1, 2) + turn("b", 2, 3) + turn("a", 3, 1)).request(pod(a=1))
    (one,) = verdict.outcomes
    assert one.outcome.message == "mutation not converging for  Pod shop web"
    assert verdict.allowed
    assert verdict.object["spec"]["a"] == 1


def test_what_comes_back_to_itself_is_left_alone(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    text = merge("spec.args", "x", name="a") + merge("spec.args", "x", operation="prune", name="b")
    thing = pod(args=["y"])
    assert changed(cluster, text, thing) is thing
    assert changed(cluster, text, pod(args=["x", "y"]))["spec"]["args"] == ["y"]


def test_a_misfit_is_an_error_that_lets_pass(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    made = cluster(value("spec.containers.image", "x"))
    verdict = made.request(pod())
    (one,) = verdict.outcomes
    assert one.outcome.result == "error"
    assert one.outcome.message.startswith(
        "mutation for mutator Assign.mutations.gatekeeper.sh /m failed for  Pod shop web: mismatch between path entry "
        "(type: object) and received object (type: []interface {})"
    )
    assert verdict.allowed
    assert verdict.object == pod()


def test_schemas_that_contradict_each_other_disable_both(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    text = (
        value("spec.containers[name: a].tty", True, "list")
        + value("spec.containers.tty", True, "object")
        + value("spec.fine", 1, "fine")
    )
    made = cluster(text)
    told = '["Assign.mutations.gatekeeper.sh /list","Assign.mutations.gatekeeper.sh /object"]'
    message = f".spec.location: the following mutators have conflicting schemas: {told}"
    assert made.said() == [message, message]
    after = made.request(pod()).object
    assert after["spec"]["fine"] == 1
    assert "tty" not in after["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        (value("spec.a[k: 1].x", 1, "1"), value("spec.a[j: 1].x", 1, "2"), True),
        (value("spec.a[k: 1].x", 1, "1"), value("spec.a[k: '*'].x", 1, "2"), False),
        (value("spec.a", 1, "1"), value("spec.a.b", 1, "2"), False),
        (merge("spec.a", 1, name="1"), value("spec.a.b", 1, "2"), True),
        (merge("spec.a", 1, name="1"), value("spec.a[k: 1].x", 1, "2"), True),
        (value("spec.a[k: 1].x", 1, "1"), value("spec.a.x", 1, "2", to="Node"), False),
    ],
)
def test_conflicts(cluster: Callable[..., Any], one: str, other: str, *, conflict: bool) -> None:
    assert bool(cluster(one + other).findings) is conflict


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (value("metadata.labels.a", "x"), ".spec.location", "assign m can't change metadata"),
        (value("spec.a[k: v].k", "x"), ".spec.location", "changing the item key is not allowed"),
        (value("spec.a[k: v]", "x"), ".spec.location", "only objects can be added to keyed lists"),
        (value("spec.a[k: v]", {"k": "w"}), ".spec.location", "adding object to list with different key k"),
        (value("spec.a[k: *]", {}), ".spec.location", "can't append to a globbed list"),
        (value("spec.a[", 1), ".spec.location", "invalid location format `spec.a[` for Assign m"),
        (value("spec.a", 1, "m", ("spec.b", "MustExist")), ".spec.parameters.pathTests", "must be a prefix"),
        (value("spec.a", 1, applyTo=[]), ".spec.applyTo", "applyTo required for Assign mutator m"),
        (value("spec.a", 1, applyTo=[{"kinds": ["Pod"]}]), ".spec.applyTo[0]", "invalid applyTo"),
        (
            mutator("Assign", location="spec.a", parameters={}),
            ".spec.parameters.assign",
            "assign must set one of",
        ),
        (
            mutator("Assign", location="spec.a", parameters={"assign": {"externalData": {"provider": "p"}}}),
            ".spec.parameters.assign.externalData",
            "not supported",
        ),
        (
            mutator("AssignMetadata", location="spec.a", parameters={"assign": {"value": "x"}}),
            ".spec.location",
            "invalid location for assignmetadata m: spec.a",
        ),
        (
            mutator("AssignMetadata", location="metadata.labels.a", parameters={"assign": {"value": 1}}),
            ".spec.parameters.assign.value",
            "must be a string",
        ),
        (merge("spec.a[k: v]", 1), ".spec.location", "cannot be a keyed list"),
        (merge("spec.a", 1, operation="toggle"), ".spec.parameters.operation", "unrecognized operation"),
        (
            mutator("AssignImage", location="spec.image", parameters={}),
            ".spec.parameters",
            "at least one of [assignDomain, assignPath, assignTag] must be set",
        ),
        (
            mutator("AssignImage", location="spec.image", parameters={"assignPath": "x.y/z"}),
            ".spec.parameters",
            "assignDomain must be set",
        ),
        (
            mutator("AssignImage", location="spec.image", parameters={"assignTag": "latest"}),
            ".spec.parameters",
            'assignTag "latest" does not match pattern',
        ),
    ],
)
def test_what_makes_no_sense_is_a_finding(
    cluster: Callable[..., Any], text: str, path: str, message: str
) -> None:
    made = cluster(text)
    assert any(said.startswith(f"{path}: ") and message in said for said in made.said("policy.broken")), (
        made.said()
    )
    assert not made.book.policies


def test_unknown_fields_are_told(cluster: Callable[..., Any]) -> None:
    text = mutator(
        "Assign", location="spec.a", parameters={"assign": {"value": 1}, "assignIf": {"in": [1]}}, extra=1
    )
    assert cluster(text).said() == [
        ".spec.extra: .spec.extra is not supported: the policy is judged as if it were not there"
    ]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 3), (None, None)])
def test_assign_if_of_older_versions(
    cluster: Callable[..., Any], pod: Callable[..., Resource], before: Any, after: Any
) -> None:
    text = mutator("Assign", location="spec.a", parameters={"assign": {"value": 2}, "assignIf": {"in": [1]}})
    there = {} if before is None else {"a": before}
    assert cluster(text).request(pod(**there)).object["spec"].get("a") == after


def test_operations_kinds_and_namespaces(
    cluster: Callable[..., Any], pod: Callable[..., Resource], space: Callable[..., Resource]
) -> None:
    bound = [{"groups": [""], "versions": ["v1"], "kinds": ["Pod"], "operations": ["CREATE"]}]
    text = value("spec.a", 1, applyTo=bound, match={"excludedNamespaces": ["kube-*"]})
    made = cluster(text, [space("off", **{"admission.gatekeeper.sh/ignore": "yes"})])
    assert made.request(pod()).object["spec"]["a"] == 1
    assert "a" not in made.request(pod(), "UPDATE", old=pod()).object["spec"]
    assert "a" not in made.request(pod(namespace="kube-system")).object["spec"]
    assert "a" not in made.request(pod(namespace="off")).object["spec"]
    assert not made.audit(pod())
