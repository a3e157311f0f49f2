"""Every practice tells what it is about and nothing near it, with the place; its remedy makes it pass, and no object makes one raise."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fairlead.judge.judging import judge
from fairlead.judge.policies import Book
from fairlead.judge.practices import EXEMPT, NAMES, PRACTICES, Unknown, chosen, faults, policies, repaired
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.tongues.paths import dotted
from fairlead.words import Resource, Snapshot

CASES = {
    case["practice"]: case
    for path in sorted((Path(__file__).parent / "cases").glob("practices_*.yaml"))
    for case in yaml.safe_load_all(path.read_text())
}


def merged(base: Any, over: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return copy.deepcopy(over)
    made = dict(base)
    for key, value in over.items():
        made[key] = merged(base.get(key), value) if key in base else copy.deepcopy(value)
    return made


def made_of(short: dict[str, Any]) -> Resource:
    if "object" in short:
        whole: Resource = copy.deepcopy(short["object"])
        return whole
    container = {"name": "web", "image": "web:1", **short.get("container", {})}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [container], **short.get("spec", {})}}},
    }
    built: Resource = merged(deployment, short.get("with", {}))
    return built


def each(sort: str) -> Iterator[Any]:
    for name, case in CASES.items():
        for index, short in enumerate(case[sort]):
            yield pytest.param(case, short, id=f"{name}: {sort} {index}")


def told(case: dict[str, Any], short: dict[str, Any]) -> list[tuple[str, list[str]]]:
    resource = made_of(short)
    beside = Snapshot([resource, *short.get("beside", [])])
    found = faults(resource, (NAMES[case["practice"]],), beside, case.get("registries", ()))
    return [(fault.message, [dotted(path) for path in fault.paths]) for _, fault in found]


@pytest.mark.parametrize(("case", "short"), list(each("fails")))
def test_what_is_wrong_is_told(case: dict[str, Any], short: dict[str, Any]) -> None:
    assert set(short) <= {"object", "container", "spec", "with", "beside", "message", "at", "fixed"}
    ((message, places),) = told(case, short)
    assert short.get("message", "") in message
    assert places
    assert short.get("at") in {None, places[0]}
    if "fixed" in short:
        better, made = repaired(made_of(short), (NAMES[case["practice"]],), Snapshot())
        if short["fixed"] is None:
            assert not made
        else:
            assert better == made_of(
                {**{key: short[key] for key in ("spec",) if key in short}, **short["fixed"]}
            )


@pytest.mark.parametrize(("case", "short"), list(each("passes")))
def test_what_is_near_is_fine(case: dict[str, Any], short: dict[str, Any]) -> None:
    assert told(case, short) == []


def test_every_practice_has_cases() -> None:
    assert set(CASES) == set(NAMES)


def test_a_remedy_has_a_risk_and_makes_its_practice_pass() -> None:
    bad = made_of({"spec": {"hostNetwork": True}, "container": {"securityContext": {"privileged": True}}})
    better, made = repaired(bad, PRACTICES, Snapshot())
    assert {one.name for one in made} >= {"host-network", "privileged", "privilege-escalation", "cpu-limit"}
    left = {practice.name for practice, _ in faults(better, PRACTICES, Snapshot())}
    assert not left & {one.name for one in made}
    assert all(one.risk for one in made)
    assert bad["spec"]["template"]["spec"]["hostNetwork"] is True


@pytest.mark.parametrize(
    ("annotations", "spared"),
    [
        ({EXEMPT: "host-network"}, True),
        ({EXEMPT: "cpu-limit, practice.host-network"}, True),
        ({EXEMPT: "all"}, True),
        ({EXEMPT: "host-pid"}, False),
        ({"polaris.fairwinds.com/exempt": "true"}, True),
        ({"polaris.fairwinds.com/hostNetworkSet-exempt": "True"}, True),
        ({"polaris.fairwinds.com/hostNetworkSet-exempt": "no"}, False),
        ({"polaris.fairwinds.com/hostPIDSet-exempt": "true"}, False),
    ],
)
def test_annotations_spare(annotations: dict[str, str], spared: bool) -> None:
    resource = made_of({"spec": {"hostNetwork": True}, "with": {"metadata": {"annotations": annotations}}})
    found = list(faults(resource, (NAMES["host-network"],)))
    assert bool(found) is not spared
    around = Surroundings(view=Snapshot(), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue()))
    (one,) = judge(subject_of(resource, "deployments"), Book(policies((NAMES["host-network"],))), around)
    assert one.outcome.result == ("skip" if spared else "fail")
    assert one.denies is not spared


def test_what_a_controller_made_is_not_judged() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "a",
            "ownerReferences": [{"kind": "ReplicaSet", "name": "r", "controller": True}],
        },
        "spec": {"hostNetwork": True, "containers": []},
    }
    around = Surroundings(view=Snapshot(), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue()))
    assert judge(subject_of(pod, "pods"), Book(policies(PRACTICES)), around) == []


def test_practices_are_chosen_by_name_pattern_category_weight_and_polaris_s_names() -> None:
    assert [one.name for one in chosen(["host-*"])] == ["host-ipc", "host-pid", "host-network", "host-port", "host-path", "host-process"]  # fmt: skip
    assert [one.name for one in chosen(["tagNotSpecified"])] == ["image-tag", "image-latest"]
    assert {one.category for one in chosen(["images"])} == {"images"}
    assert {one.weight for one in chosen(weight="danger")} == {"danger"}
    assert "privileged" not in {one.name for one in chosen(weight="danger", skipped=["privileged"])}
    with pytest.raises(Unknown, match="nothing-like-it"):
        chosen(["nothing-like-it"])


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "a", "*", "100%", "Always", "1Gi"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "template", "containers", "initContainers", "name", "image", "ports",
                             "securityContext", "capabilities", "add", "drop", "env", "resources", "limits", "cpu", "rules",
                             "verbs", "roleRef", "listeners", "tls", "data", "annotations", "labels", "volumes", "value"]),
            inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    junk,
    junk,
    st.sampled_from(["Pod", "Deployment", "Role", "Gateway", "ConfigMap", "HorizontalPodAutoscaler"]),
)
def test_no_object_makes_a_practice_raise(metadata: Any, spec: Any, kind: str) -> None:
    resource = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
        "rules": spec,
        "data": spec,
    }
    list(faults(resource, PRACTICES, Snapshot(), ("a.example",)))
    repaired(resource, PRACTICES, Snapshot())


SPOILT: tuple[Any, ...] = (None, True, 7, "x", [], {}, [{}], {"a": {}}, [[1]], [None])


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for step, inner in pairs:
        yield (*path, step)
        yield from places(inner, (*path, step))


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_value_of_another_type_does_no_harm(name: str) -> None:
    practice = (NAMES[name],)
    for short in (*CASES[name]["fails"], *CASES[name]["passes"]):
        whole = made_of(short)
        for path in places(whole):
            for junk_ in SPOILT:
                spoilt = copy.deepcopy(whole)
                holder = spoilt
                for step in path[:-1]:
                    holder = holder[step]
                holder[path[-1]] = junk_
                beside = Snapshot() if path[0] in {"metadata", "apiVersion", "kind"} else Snapshot([spoilt])
                list(faults(spoilt, practice, beside, ("a.example",)))
                repaired(spoilt, practice, beside)
