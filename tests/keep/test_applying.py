"""Server-side apply, on Kubernetes' own types."""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drivers import definitions
from fairlead.keep.applying import LAST_APPLIED, apply, track
from fairlead.keep.errors import Refusal
from fairlead.keep.nodes import Definitions, Node

TYPES = Definitions(definitions.load())
DEPLOYMENT = TYPES["io.k8s.api.apps.v1.Deployment"]
NOW = datetime(2024, 5, 10, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def deployment(
    *, metadata: dict[str, Any] | None = None, containers: Any = None, **spec: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {"apiVersion": "apps/v1", "kind": "Deployment"}
    found["metadata"] = {"name": "web", "namespace": "shop", **(metadata or {})}
    if containers is not None:
        spec["template"] = {"spec": {"containers": containers}}
    if spec:
        found["spec"] = spec
    return found


def put(
    live: dict[str, Any] | None,
    applied: dict[str, Any],
    manager: str = "one",
    *,
    force: bool = False,
    now: datetime = NOW,
    node: Node = DEPLOYMENT,
    **more: Any,
) -> dict[str, Any]:
    before = copy.deepcopy((live, applied))
    found = apply(live, applied, node, manager, applied["apiVersion"], now, force, **more)
    assert (live, applied) == before
    return found


def write(
    live: dict[str, Any] | None,
    new: dict[str, Any],
    manager: str = "editor",
    *,
    now: datetime = NOW,
    subresource: str = "",
) -> dict[str, Any]:
    """Store an object as an update does."""
    new = copy.deepcopy(new)
    entries = track(live, new, DEPLOYMENT, manager, "apps/v1", now, subresource)
    new["metadata"].pop("managedFields", None)
    if entries:
        new["metadata"]["managedFields"] = entries
    return new


def changed(live: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {**live, "spec": {**live["spec"], **spec}}


def owner(resource: dict[str, Any], manager: str, operation: str = "Apply", subresource: str = "") -> Any:
    """Return what a manager owns, None if it has no entry."""
    for entry in resource["metadata"].get("managedFields", ()):
        if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
            manager,
            operation,
            subresource,
        ):
            return entry["fieldsV1"]
    return None


def bare(resource: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(resource)
    found["metadata"].pop("managedFields", None)
    return found


def test_what_is_applied_is_owned_and_identity_is_not() -> None:
    applied = deployment(
        metadata={"labels": {"a": "1"}, "finalizers": ["f.example/x"]},
        replicas=2,
        containers=[{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "args": ["a"]}],
        selector={"matchLabels": {"a": "1"}},
    )
    live = put(None, applied)
    assert bare(live) == applied
    assert live["metadata"]["managedFields"] == [
        {
            "manager": "one",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": "2024-05-10T12:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:finalizers": {'v:"f.example/x"': {}}, "f:labels": {"f:a": {}}},
                "f:spec": {
                    "f:replicas": {},
                    "f:selector": {},
                    "f:template": {
                        "f:spec": {
                            "f:containers": {
                                'k:{"name":"c"}': {
                                    ".": {},
                                    "f:args": {},
                                    "f:image": {},
                                    "f:name": {},
                                    "f:ports": {
                                        'k:{"containerPort":80,"protocol":"TCP"}': {
                                            ".": {},
                                            "f:containerPort": {},
                                        }
                                    },
                                }
                            }
                        }
                    },
                },
            },
        }
    ]


def test_a_change_of_what_another_owns_is_a_conflict() -> None:
    live = put(None, deployment(replicas=2))
    with pytest.raises(Refusal) as caught:
        put(live, deployment(replicas=3), "two")
    refusal = caught.value
    assert (refusal.code, refusal.reason) == (409, "Conflict")
    assert refusal.message == 'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    assert refusal.details == {
        "causes": [
            {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.replicas"}
        ]
    }


def test_many_conflicts_are_told_by_manager() -> None:
    live = put(None, deployment(replicas=2, containers=[{"name": "c", "image": "i"}]))
    live = write(live, changed(live, paused=True), "kubectl-edit")
    live = write(live, {**live, "status": {"replicas": 1}}, "kube-controller", subresource="status")
    applied = deployment(replicas=3, paused=False, containers=[{"name": "c", "image": "j"}])
    applied["status"] = {"replicas": 9}
    with pytest.raises(Refusal) as caught:
        put(live, applied, "two")
    assert caught.value.message == (
        "Apply failed with 4 conflicts: "
        'conflicts with "kube-controller" with subresource "status" using apps/v1:\n'
        "- .status.replicas\n"
        'conflicts with "kubectl-edit" using apps/v1:\n'
        "- .spec.paused\n"
        'conflicts with "one":\n'
        "- .spec.replicas\n"
        '- .spec.template.spec.containers[name="c"].image'
    )


def test_force_takes_ownership() -> None:
    live = put(None, deployment(replicas=2, paused=True))
    live = put(live, deployment(replicas=3), "two", force=True, now=LATER)
    assert live["spec"]["replicas"] == 3
    assert owner(live, "one") == {"f:spec": {"f:paused": {}}}
    assert owner(live, "two") == {"f:spec": {"f:replicas": {}}}


def test_the_same_value_is_shared_and_outlives_one_owner() -> None:
    live = put(None, deployment(replicas=2, paused=True))
    live = put(live, deployment(replicas=2), "two")
    assert owner(live, "two") == {"f:spec": {"f:replicas": {}}}
    live = put(live, deployment(paused=True))
    assert live["spec"] == {"replicas": 2, "paused": True}
    live = put(live, deployment(), "two")
    assert live["spec"] == {"paused": True}


def test_what_is_no_longer_applied_goes_and_what_nobody_applied_stays() -> None:
    first = [
        {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
        {"name": "b", "image": "2"},
    ]
    live = put(None, deployment(metadata={"labels": {"a": "1", "b": "2"}}, containers=first))
    live["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    live["spec"]["template"]["spec"]["dnsPolicy"] = "Default"
    second = [{"name": "a", "image": "1", "env": [{"name": "Y", "value": "2"}]}]
    live = put(live, deployment(metadata={"labels": {"b": "2"}}, containers=second), now=LATER)
    assert live["metadata"]["labels"] == {"b": "2"}
    assert live["spec"]["template"]["spec"] == {
        "containers": [
            {
                "name": "a",
                "image": "1",
                "env": [{"name": "Y", "value": "2"}],
                "imagePullPolicy": "Always",
            }
        ],
        "dnsPolicy": "Default",
    }


def test_items_of_others_are_kept_and_ordered() -> None:
    live = put(None, deployment(containers=[{"name": "a"}, {"name": "b"}, {"name": "c"}]))
    live = put(live, deployment(containers=[{"name": "d"}, {"name": "c"}, {"name": "a"}]), "two")
    found = [container["name"] for container in live["spec"]["template"]["spec"]["containers"]]
    assert sorted(found) == ["a", "b", "c", "d"]
    assert [name for name in found if name != "b"] == ["d", "c", "a"]


def test_ports_are_told_apart_by_protocol_too() -> None:
    def ports(*found: dict[str, Any]) -> Any:
        return deployment(containers=[{"name": "c", "ports": list(found)}])

    live = put(None, ports({"containerPort": 53, "protocol": "UDP"}))
    live = put(live, ports({"containerPort": 53}), "two")
    assert live["spec"]["template"]["spec"]["containers"][0]["ports"] == [
        {"containerPort": 53, "protocol": "UDP"},
        {"containerPort": 53},
    ]


def test_atomic_values_are_taken_whole() -> None:
    live = put(None, deployment(selector={"matchLabels": {"a": "1"}}))
    with pytest.raises(Refusal, match=r"conflict with \"one\": \.spec\.selector"):
        put(live, deployment(selector={"matchLabels": {"b": "1"}}), "two")
    live = put(live, deployment(selector={"matchLabels": {"b": "1"}}))
    assert live["spec"]["selector"] == {"matchLabels": {"b": "1"}}


def test_applying_again_changes_nothing_not_even_times() -> None:
    applied = deployment(replicas=2, containers=[{"name": "c"}])
    live = put(None, applied)
    assert put(live, applied, now=LATER) == live


def test_times_move_only_where_something_changed() -> None:
    live = put(None, deployment(replicas=2))
    live = put(live, deployment(paused=True), "two", now=LATER)
    times = {entry["manager"]: entry["time"] for entry in live["metadata"]["managedFields"]}
    assert times == {"one": "2024-05-10T12:00:00Z", "two": "2024-05-10T13:00:00Z"}


def test_what_was_there_before_the_first_apply_has_an_owner() -> None:
    live = deployment(metadata={"uid": "u"}, replicas=2, paused=True)
    with pytest.raises(Refusal, match=r'conflict with "before-first-apply" using apps/v1: \.spec\.replicas'):
        put(live, deployment(replicas=3))
    live = put(live, deployment(replicas=3), force=True)
    assert owner(live, "before-first-apply", "Update") == {"f:spec": {"f:paused": {}}}


def test_what_cannot_be_applied_here_is_passed_over() -> None:
    applied = deployment(replicas=2)
    applied["status"] = {"replicas": 5}
    live = put(None, applied, reset=("status",))
    assert "status" not in live
    assert owner(live, "one") == {"f:spec": {"f:replicas": {}}}
    live = put(live, {**applied, "spec": {"replicas": 9}}, subresource="status", reset=("spec", "metadata"))
    assert live["spec"] == {"replicas": 2}
    assert owner(live, "one", "Apply", "status") == {"f:status": {"f:replicas": {}}}


UNTYPED = "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): "


@pytest.mark.parametrize(
    ("applied", "code", "message"),
    [
        (
            {**deployment(), "apiVersion": "apps/v1beta1"},
            400,
            "Incorrect version specified in apply patch. Specified patch version: apps/v1beta1, expected: apps/v1",
        ),
        (deployment(metadata={"managedFields": []}), 400, "metadata.managedFields must be nil"),
        (
            deployment(replicas="x"),
            500,
            f"{UNTYPED}.spec.replicas: expected numeric (int or float), got string",
        ),
        (
            deployment(nonsense=1),
            500,
            f"{UNTYPED}.spec.nonsense: field not declared in schema",
        ),
        (
            deployment(metadata={"labels": {"a": 1}}, containers=[{"name": "c"}, {"name": "c"}]),
            500,
            f'{UNTYPED}errors:\n  .metadata.labels.a: expected string, got &value.valueUnstructured{{Value:1}}\n  .spec.template.spec.containers: duplicate entries for key [name="c"]',
        ),
        (
            deployment(containers=[{"image": "i"}]),
            500,
            f'{UNTYPED}.spec.template.spec.containers: element 0: associative list with keys has an element that omits key field "name" (and doesn\'t have default value)',
        ),
        (
            deployment(metadata={"finalizers": ["a", "a"]}, paused="yes"),
            500,
            f'{UNTYPED}errors:\n  .metadata.finalizers: duplicate entries for key [="a"]\n  .spec.paused: expected boolean, got &{{yes}}',
        ),
    ],
)
def test_what_cannot_be_applied(applied: dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        apply(None, applied, DEPLOYMENT, "one", "apps/v1", NOW)
    assert (caught.value.code, caught.value.message) == (code, message)


def test_kubectl_takes_over_what_it_applied_from_the_client_side() -> None:
    config = deployment(replicas=2, paused=True)
    text = json.dumps(config)
    created = deployment(metadata={"annotations": {LAST_APPLIED: text}}, replicas=2, paused=True)
    live = write(None, created, "kubectl-client-side-apply")
    live = put(live, deployment(replicas=3, paused=True), "kubectl", now=LATER)
    assert live["spec"]["replicas"] == 3
    assert json.loads(live["metadata"]["annotations"][LAST_APPLIED])["spec"] == {
        "replicas": 3,
        "paused": True,
    }
    scaled = write(live, changed(live, replicas=9), "kubectl-scale")
    with pytest.raises(Refusal, match="kubectl-scale"):
        put(scaled, deployment(replicas=4, paused=True), "kubectl")
    with pytest.raises(Refusal, match="kubectl-client-side-apply"):
        put(write(None, created, "kubectl-client-side-apply"), deployment(replicas=3), "another")


def test_kubectl_moves_ownership_by_patching_managed_fields() -> None:
    live = write(None, deployment(replicas=2), "kubectl-client-side-apply")
    moved = copy.deepcopy(live)
    moved["metadata"]["managedFields"][0] |= {"manager": "kubectl", "operation": "Apply"}
    live = write(live, moved, "kubectl")
    assert owner(live, "kubectl") == {"f:spec": {"f:replicas": {}}}
    assert owner(live, "kubectl-client-side-apply", "Update") is None
    live = put(live, deployment(paused=True), "kubectl")
    assert live["spec"] == {"paused": True}


# Updates.


def test_a_create_owns_what_it_says() -> None:
    live = write(None, deployment(metadata={"labels": {"a": "1"}}, replicas=2, containers=[{"name": "c"}]))
    assert owner(live, "editor", "Update") == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:template": {
                "f:spec": {
                    "f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:resources": {}}},
                }
            },
        },
    }


def test_an_update_owns_what_it_changed() -> None:
    live = put(None, deployment(replicas=2, paused=True))
    live = write(live, changed(live, replicas=3))
    assert owner(live, "one") == {"f:spec": {"f:paused": {}}}
    assert owner(live, "editor", "Update") == {"f:spec": {"f:replicas": {}}}
    gone = copy.deepcopy(live)
    del gone["spec"]["replicas"]
    live = write(live, gone, "other")
    assert owner(live, "editor", "Update") is None
    assert owner(live, "other", "Update") is None


def test_an_update_that_changes_nothing_leaves_the_entries() -> None:
    live = put(None, deployment(replicas=2))
    assert write(live, live, now=LATER) == live
    without = bare(live)
    without["metadata"] |= {"resourceVersion": "7", "generation": 3}
    assert write(live, without, now=LATER)["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_status_is_owned_through_its_subresource() -> None:
    live = write(None, deployment(replicas=2))
    live = write(live, {**live, "status": {"replicas": 1}}, "controller", subresource="status")
    entry = live["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["subresource"]) == ("controller", "status")
    assert owner(live, "controller", "Update", "status") == {"f:status": {"f:replicas": {}}}


def test_entries_are_ordered_by_operation_then_time() -> None:
    live = write(None, deployment(replicas=2), "z")
    live = write(live, changed(live, paused=True), "a", now=LATER)
    live = put(live, deployment(minReadySeconds=1), "m", now=LATER)
    assert [entry["manager"] for entry in live["metadata"]["managedFields"]] == ["m", "z", "a"]


@pytest.mark.parametrize("entries", [[], [{}]])
def test_managed_fields_can_be_forgotten(entries: list[Any]) -> None:
    live = put(None, deployment(replicas=2))
    forgotten = copy.deepcopy(live)
    forgotten["metadata"]["managedFields"] = entries
    live = write(live, forgotten)
    assert "managedFields" not in live["metadata"]
    assert "managedFields" not in write(live, changed(live, replicas=3))["metadata"]


@pytest.mark.parametrize(
    "entries",
    [
        [{"operation": "Guess"}],
        [{"operation": "Update"}],
        [{"operation": "Update", "apiVersion": "v1"}],
        [{"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV2"}],
        [{"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"x": {}}}],
        ["x"],
    ],
)
def test_managed_fields_that_are_none_are_passed_over(entries: list[Any]) -> None:
    live = put(None, deployment(replicas=2))
    wrong = copy.deepcopy(live)
    wrong["metadata"]["managedFields"] = entries
    assert write(live, wrong)["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_managed_fields_cannot_be_set_through_a_subresource() -> None:
    live = put(None, deployment(replicas=2))
    wrong = copy.deepcopy(live)
    wrong["metadata"]["managedFields"] = [{}]
    assert write(live, wrong, subresource="status") == live


def test_old_updaters_are_folded_into_one() -> None:
    live = write(None, deployment(replicas=2, metadata={"labels": {"l": "0"}}), "first")
    for number in range(15):
        labels = {**live["metadata"]["labels"], f"l{number}": "x"}
        new = {**live, "metadata": {**live["metadata"], "labels": labels}}
        live = write(live, new, f"m{number:02}", now=NOW + timedelta(minutes=number + 1))
    managers = [entry["manager"] for entry in live["metadata"]["managedFields"]]
    assert len(managers) == 10
    assert managers[0] == "ancient-changes"
    assert owner(live, "ancient-changes", "Update")["f:spec"] == {"f:replicas": {}}


def test_what_is_not_typed_is_deduced() -> None:
    custom = Node(
        "struct",
        fields=lambda: {"metadata": TYPES["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]},
        preserve_unknown=True,
    )
    first = {
        "apiVersion": "x/v1",
        "kind": "X",
        "metadata": {"name": "x"},
        "spec": {"m": {"a": 1}, "l": [1, 2]},
    }
    second = {"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"m": {"b": 2}}}
    live = put(None, first, node=custom)
    live = put(live, second, "two", node=custom)
    assert live["spec"] == {"m": {"a": 1, "b": 2}, "l": [1, 2]}
    with pytest.raises(Refusal, match=r"\.spec\.l"):
        put(live, {**second, "spec": {"l": [3]}}, "two", node=custom)


# What always holds.

NAMES = st.lists(st.sampled_from("abc"), unique=True, max_size=3)
LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)
CONTAINERS = NAMES.flatmap(
    lambda names: st.tuples(
        *(
            st.fixed_dictionaries(
                {"name": st.just(name)},
                optional={
                    "image": st.sampled_from("ij"),
                    "args": NAMES,
                    "env": NAMES.map(lambda found: [{"name": key, "value": "v"} for key in found]),
                },
            )
            for name in names
        )
    ).map(list)
)
CONFIGS = st.builds(
    lambda labels, finalizers, replicas, containers: deployment(
        metadata={"labels": labels, "finalizers": finalizers}, replicas=replicas, containers=containers
    ),
    LABELS,
    NAMES,
    st.integers(1, 3),
    CONTAINERS,
)


@given(CONFIGS, CONFIGS)
def test_applying_twice_is_applying_once(base: dict[str, Any], config: dict[str, Any]) -> None:
    live = put(None, base, "other")
    once = put(live, config, force=True)
    assert put(once, config, now=LATER) == once


@given(CONFIGS, LABELS)
def test_disjoint_fields_never_conflict(config: dict[str, Any], annotations: dict[str, str]) -> None:
    live = put(None, config)
    both = put(live, deployment(metadata={"annotations": annotations}, paused=True), "two")
    assert owner(both, "one") == owner(live, "one")
    assert both["spec"] == {**live["spec"], "paused": True}


def _holds(value: Any, applied: Any) -> bool:
    if isinstance(applied, dict):
        return all(key in value and _holds(value[key], item) for key, item in applied.items())
    if applied == []:
        return True
    if isinstance(applied, list) and isinstance(applied[0], dict):
        found = {item["name"]: item for item in value}
        return all(_holds(found[item["name"]], item) for item in applied)
    if isinstance(applied, list):
        return set(value) >= set(applied)
    return bool(value == applied)


@given(CONFIGS, CONFIGS)
def test_a_forced_apply_holds_and_owns_what_it_applies(base: dict[str, Any], config: dict[str, Any]) -> None:
    live = put(put(None, base, "other"), config, force=True)
    assert _holds(live, config)
    assert owner(live, "one") == owner(put(None, config), "one")


@given(CONFIGS, CONFIGS)
def test_applying_and_applying_nothing_leads_back(base: dict[str, Any], config: dict[str, Any]) -> None:
    live = put(None, base, "other")
    try:
        both = put(live, config)
    except Refusal:
        return
    back = put(both, deployment())
    assert owner(back, "one") is None
    assert owner(back, "other") == owner(live, "other")

    def unordered(value: Any) -> Any:
        if isinstance(value, dict):
            found = {key: unordered(item) for key, item in value.items()}
            return {key: item for key, item in found.items() if item not in ({}, [])}
        if isinstance(value, list):
            return sorted(map(unordered, value), key=json.dumps)
        return value

    assert unordered(bare(back)) == unordered(bare(live))
