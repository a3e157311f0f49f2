"""The kinds that rules name, and carrying rules over to what makes pods."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.dialects.kyverno import autogen
from fairlead.dialects.kyverno.matching import BadMatch, Matching, kind_matches, parse_kind
from fairlead.judge.subjects import Target

KINDS = {
    "*": ("*", "*", "*", ""),
    "*.*": ("*", "*", "*", "*"),
    "*/*": ("*", "*", "*", "*"),
    "Pod": ("*", "*", "Pod", ""),
    "v1/Pod": ("*", "v1", "Pod", ""),
    "*/Pod": ("*", "*", "Pod", ""),
    "batch/*/CronJob": ("batch", "*", "CronJob", ""),
    "storage.k8s.io/v1/CSIDriver": ("storage.k8s.io", "v1", "CSIDriver", ""),
    "tekton.dev/v1beta1/TaskRun/status": ("tekton.dev", "v1beta1", "TaskRun", "status"),
    "v1/Pod.status": ("*", "v1", "Pod", "status"),
    "Pod/status": ("*", "*", "Pod", "status"),
    "Pod/*": ("*", "*", "Pod", "*"),
    "apps/v1/Deployment.scale": ("apps", "v1", "Deployment", "scale"),
    "*/Deployment/scale": ("*", "*", "Deployment", "scale"),
    "*/Deployment.scale": ("*", "*", "Deployment", "scale"),
    "v1.demo/v1/Demo": ("v1.demo", "v1", "Demo", ""),
    "*/scale": ("*", "*", "*", "scale"),
    "*/*/*": ("*", "*", "*", "*"),
    "*/*/*/*": ("*", "*", "*", "*"),
    "*/*/*/*/*": ("", "", "", ""),
}


@pytest.mark.parametrize(("text", "parts"), KINDS.items())
def test_a_kind_is_read(text: str, parts: tuple[str, ...]) -> None:
    assert parse_kind(text) == parts


def test_ephemeral_containers_belong_to_pods() -> None:
    target = Target("", "v1", "Pod", "pods", "ephemeralcontainers", "UPDATE")
    assert kind_matches(parse_kind("Pod"), target)
    assert not kind_matches(parse_kind("Pod"), target._replace(subresource="status"))
    assert kind_matches(parse_kind("P?d/stat*"), target._replace(subresource="status"))


def concerned(match: Any, target: Target, exclude: Any = None) -> bool:
    return Matching(match, exclude).concerns(target)


def test_requests_are_sorted_out_by_their_sort() -> None:
    pod = Target("", "v1", "Pod", "pods")
    assert concerned(
        {"any": [{"resources": {"kinds": ["Deployment"]}}, {"resources": {"kinds": ["Pod"]}}]}, pod
    )
    assert not concerned(
        {"all": [{"resources": {"kinds": ["Deployment"]}}, {"resources": {"kinds": ["Pod"]}}]}, pod
    )
    assert concerned({"resources": {"names": ["x"]}}, pod)
    assert not concerned({"resources": {"kinds": ["Pod"], "operations": ["DELETE"]}}, pod)
    assert not concerned({}, pod)
    assert not concerned({"any": [{}]}, pod)
    assert concerned({"any": [{"roles": ["a:b"]}]}, pod)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ("x", ""),
        ({"any": 1}, ".any"),
        ({"any": [1]}, ".any[0]"),
        ({"any": [{"resources": 1}]}, ".any[0].resources"),
        ({"resources": {"kinds": [1]}}, ".resources.kinds"),
        ({"resources": {"annotations": 1}}, ".resources.annotations"),
        ({"resources": {"selector": {"matchLabels": 1}}}, ".resources.selector.matchLabels"),
        ({"subjects": 1}, ".subjects"),
    ],
)
def test_a_match_that_is_none_says_where(document: Any, path: str) -> None:
    with pytest.raises(BadMatch) as raised:
        Matching(document, None)
    assert raised.value.path == path


def rule(**more: Any) -> dict[str, Any]:
    return {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "validate": {"message": "m", "pattern": {"spec": {"a": "b"}}},
        **more,
    }


def made(*rules: dict[str, Any], annotation: str | None = None) -> list[Any]:
    metadata = {} if annotation is None else {"annotations": {autogen.ANNOTATION: annotation}}
    controllers = autogen.controllers_of(metadata, rules)
    return [variant for one in rules for variant in autogen.variants(one, controllers)]


def test_a_rule_for_pods_is_carried_over() -> None:
    first, second = made(rule())
    assert first["name"] == "autogen-r"
    assert first["match"]["any"][0]["resources"]["kinds"] == list(autogen.CONTROLLERS)
    assert first["validate"]["pattern"] == {"spec": {"template": {"spec": {"a": "b"}}}}
    assert second["name"] == "autogen-cronjob-r"
    assert second["match"]["any"][0]["resources"]["kinds"] == ["CronJob"]
    assert second["validate"]["pattern"] == {
        "spec": {"jobTemplate": {"spec": {"template": {"spec": {"a": "b"}}}}}
    }


def test_the_annotation_chooses() -> None:
    assert [one["name"] for one in made(rule(), annotation="Deployment,CronJob")] == [
        "autogen-r",
        "autogen-cronjob-r",
    ]
    assert made(rule(), annotation="Deployment, CronJob")[0]["match"]["any"][0]["resources"]["kinds"] == [
        "Deployment"
    ]
    assert [one["name"] for one in made(rule(), annotation="CronJob")] == ["autogen-cronjob-r"]
    assert made(rule(), annotation="none") == []
    assert len(made(rule(), annotation="all")) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"match": {"any": [{"resources": {"kinds": ["Service"]}}]}},
        {"match": {"any": [{"resources": {"kinds": ["Pod", "Service"]}}]}},
        {"match": {"any": [{"resources": {"kinds": ["Pod"], "names": ["x"]}}]}},
        {"match": {"resources": {"kinds": ["Pod"], "selector": {}}}},
        {"exclude": {"any": [{"resources": {"annotations": {"a": "b"}}}]}},
        {"exclude": {"any": [{"resources": {"kinds": ["Service"]}}]}},
        {"generate": {"kind": "Pod"}},
        {"validate": None, "mutate": {"patchesJson6902": "[]"}},
        {"name": "autogen-r"},
        {"validate": None},
    ],
)
def test_what_is_not_carried_over(more: dict[str, Any]) -> None:
    assert made(rule(**more)) == []


def test_one_rule_may_forbid_it_for_all() -> None:
    assert made(rule(), rule(match={"any": [{"resources": {"kinds": ["Pod"], "names": ["x"]}}]})) == []


def test_expressions_move_with_the_spec() -> None:
    conditions = [
        {
            "key": "{{ request.object.spec.a }}",
            "operator": "Equals",
            "value": "{{request.oldObject.metadata.b}}",
        }
    ]
    first, second = made(
        rule(validate={"deny": {"conditions": conditions}}, context=[{"name": "request.object.spec"}])
    )
    assert first["validate"]["deny"]["conditions"][0] == {
        "key": "{{ request.object.spec.template.spec.a }}",
        "operator": "Equals",
        "value": "{{request.oldObject.spec.template.metadata.b}}",
    }
    assert "jobTemplate.spec.template.spec.a" in second["validate"]["deny"]["conditions"][0]["key"]
    cel = {"cel": {"expressions": [{"expression": "object.spec.a == oldObject.metadata.b"}]}}
    assert made(rule(validate=cel))[0]["validate"]["cel"]["expressions"][0]["expression"] == (
        "object.spec.template.spec.a == oldObject.spec.template.metadata.b"
    )


def test_all_ways_are_carried_over() -> None:
    first = made(rule(validate={"anyPattern": [{"a": "b"}]}))[0]
    assert first["validate"]["anyPattern"] == [{"spec": {"template": {"a": "b"}}}]
    tree = made(rule(validate={"assert": {"object": {"a": "b"}, "operation": "x"}}))[0]
    assert tree["validate"]["assert"] == {"object": {"spec": {"template": {"a": "b"}}}, "operation": "x"}
    merge = made(rule(validate=None, mutate={"patchStrategicMerge": {"a": "b"}}))
    assert merge[0]["mutate"] == {"patchStrategicMerge": {"spec": {"template": {"a": "b"}}}}
    loop = made(
        rule(validate=None, mutate={"foreach": [{"list": "x", "patchStrategicMerge": {"a": "b"}, "more": 1}]})
    )
    assert loop[0]["mutate"]["foreach"] == [
        {"list": "x", "patchStrategicMerge": {"spec": {"template": {"a": "b"}}}}
    ]
    assert len(made(rule(validate=None, verifyImages=[{}]))) == 2


def test_the_given_rule_is_left_alone() -> None:
    one = rule()
    before = repr(one)
    made(one)
    assert repr(one) == before
    assert len(made(rule(name="x" * 80))[0]["name"]) == 63
