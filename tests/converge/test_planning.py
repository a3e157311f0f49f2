"""Plans: what is done about each object, by what is there, what is asked for and what the server says."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.converge import owning
from fairlead.converge.differing import LAST_APPLIED
from fairlead.converge.inventory import Inventory
from fairlead.converge.planning import (
    Answer,
    Coming,
    Plan,
    Policy,
    Step,
    first_look,
    is_immutable,
    removals,
    second_look,
)
from fairlead.converge.stages import (
    Instance,
    Stage,
    Unfit,
    as_json,
    before_and_after,
    duplicates,
    from_json,
    prepared,
    wishes,
)
from fairlead.words import Ref

SHOP = Instance("shop", "n")
NOTHING = Coming()


def config(name: str = "a", *, labels: Any = None, **notes: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": "n"}
    if labels is not None:
        meta["labels"] = labels
    if notes:
        meta["annotations"] = {key.replace("__", "/"): value for key, value in notes.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"k": "v"}}


def sent(one: dict[str, Any]) -> dict[str, Any]:
    return prepared(Stage("s", (one,)), SHOP, {}).objects[0]


def live(
    one: dict[str, Any] | None = None,
    *,
    manager: str = "fairlead/shop",
    operation: str = "Apply",
    **meta: Any,
) -> dict[str, Any]:
    made = sent(one or config())
    made["metadata"] |= {
        "uid": "u",
        "resourceVersion": "7",
        "managedFields": [
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": "v1",
                "time": "t",
                "fieldsV1": {"f:data": {"f:k": {}}},
            }
        ],
        **meta,
    }
    return made


def look(
    body: dict[str, Any], there: dict[str, Any] | None, policy: Policy | None = None, proofs: Any = None
) -> Step:
    found = {Ref.of(there): there} if there is not None else {}
    return first_look(Stage("s", (sent(body),)), found, SHOP, policy or Policy(), proofs or {})[0]


def test_objects_are_prepared_for_their_instance() -> None:
    made = sent(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "x"}, "status": {}}
    )
    assert made == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "a",
            "namespace": "n",
            "labels": {
                "app.kubernetes.io/managed-by": "fairlead",
                "fairlead.dev/instance": "shop",
                "fairlead.dev/namespace": "n",
            },
        },
    }
    kept = sent(config(labels={"app.kubernetes.io/managed-by": "Helm"}))
    assert kept["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    role = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "r", "namespace": "odd"}}
    assert (
        "namespace" not in prepared(Stage("s", (role,)), SHOP, {("", "Thing"): False}).objects[0]["metadata"]
    )
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"a": "MQ=="},
        "stringData": {"b": "2"},
    }
    assert sent(secret)["data"] == {"a": "MQ==", "b": "Mg=="}
    with pytest.raises(Unfit, match=r"ConfigMap: apiVersion, kind and metadata\.name are wanted"):
        sent({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})
    assert duplicates([Stage("s", (sent(config()),)), Stage("t", (sent(config()),))]) == [
        Ref("", "ConfigMap", "n", "a")
    ]


def test_what_is_not_there_is_created() -> None:
    step = look(config(), None)
    assert (step.action, step.rehearsed) == ("create", False)
    assert second_look(step, Answer(object=live()), Policy(), NOTHING).rehearsed


def test_what_is_proven_to_be_as_it_is_wanted_needs_no_question() -> None:
    there = live()
    proofs = {"n_a__ConfigMap": owning.proof(sent(config()), there, "fairlead/shop")}
    assert look(config(), there, proofs=proofs).action == "unchanged"
    changed = live()
    changed["metadata"]["managedFields"][0]["fieldsV1"] = {}
    for other in (
        changed,
        live(uid="another"),
        live(manager="else"),
        live(operation="Update"),
        live(deletionTimestamp="t"),
        {
            **live(),
            "metadata": {**live()["metadata"], "managedFields": live()["metadata"]["managedFields"] * 2},
        },
    ):
        assert look(config(), other, proofs=proofs).action == "ask"
    assert look({**config(), "data": {"k": "2"}}, there, proofs=proofs).action == "ask"


def test_status_and_other_managers_do_not_shake_a_proof() -> None:
    there = live()
    proofs = {"n_a__ConfigMap": owning.proof(sent(config()), there, "fairlead/shop")}
    there["metadata"]["resourceVersion"] = "99"
    there["metadata"]["managedFields"].append(
        {"manager": "kubelet", "operation": "Update", "subresource": "status"}
    )
    there["status"] = {"x": 1}
    assert look(config(), there, proofs=proofs).action == "unchanged"


@pytest.mark.parametrize(
    ("notes", "action"),
    [
        ({"fairlead.dev__one-off": "IfNotPresent"}, "skip"),
        ({"action.timoni.sh__one-off": "enabled"}, "skip"),
        ({"kustomize.toolkit.fluxcd.io__ssa": "IfNotPresent"}, "skip"),
        ({"kustomize.toolkit.fluxcd.io__ssa": "Ignore"}, "skip"),
        ({"kustomize.toolkit.fluxcd.io__reconcile": "disabled"}, "skip"),
        ({"fairlead.dev__prune": "disabled"}, "ask"),
    ],
)
def test_annotations_say_what_is_not_to_be_touched(notes: dict[str, str], action: str) -> None:
    assert look(config(**notes), live()).action == action


def test_wishes_of_all_three_tools() -> None:
    assert not wishes(config(**{"kustomize.toolkit.fluxcd.io__prune": "disabled"})).prune
    assert not wishes(config(**{"helm.sh__resource-policy": "keep"})).prune
    assert not wishes(config(**{"action.timoni.sh__wait": "disabled"})).wait
    assert wishes(config(**{"fairlead.dev__force": "Enabled"}), None).force
    assert wishes(config()) == wishes()


def test_the_servers_answer_decides() -> None:
    step = look(config(), live())
    assert second_look(step, Answer(object=live()), Policy(), NOTHING).action == "unchanged"
    other = live({**config(), "data": {"k": "2"}})
    found = second_look(step, Answer(object=other), Policy(), NOTHING)
    assert (found.action, [str(one) for one in found.differences]) == ("configure", ["~ .data.k: v -> 2"])
    unowned = live(manager="else")
    assert (
        second_look(look(config(), unowned), Answer(object=live()), Policy(), NOTHING).action == "configure"
    )
    dying = second_look(look(config(), live(deletionTimestamp="t")), Answer(object=live()), Policy(), NOTHING)
    assert dying.action == "recreate"


CONFLICT = Answer(
    code=409,
    message="Apply failed with 2 conflicts",
    details={
        "causes": [
            {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl-edit" using v1', "field": ".data.k"},
            {"reason": "FieldManagerConflict", "message": 'conflict with "hpa" with subresource "scale" using apps/v1', "field": ".spec.replicas"},
        ]
    },
)  # fmt: skip


def test_conflicts_name_the_manager_and_the_field() -> None:
    step = second_look(look(config(), live()), CONFLICT, Policy(), NOTHING)
    assert step.action == "conflict"
    assert [str(one) for one in step.conflicts] == [
        ".data.k belongs to kubectl-edit",
        ".spec.replicas belongs to hpa (subresource scale)",
    ]
    assert Plan((step,)).blocked == (step,)
    assert look(config(), live(), Policy(force_conflicts=True)).force


IMMUTABLE = Answer(
    code=422,
    reason="Invalid",
    message="x",
    details={"causes": [{"message": "Invalid value: {}: field is immutable"}]},
)


def test_what_is_immutable_is_recreated_only_where_that_is_allowed() -> None:
    step = look(config(), live())
    assert second_look(step, IMMUTABLE, Policy(), NOTHING).why == "x; --force deletes it and makes it anew"
    assert second_look(step, IMMUTABLE, Policy(recreate=True), NOTHING).action == "recreate"
    marked = look(config(**{"fairlead.dev__force": "enabled"}), live())
    assert second_look(marked, IMMUTABLE, Policy(), NOTHING).action == "recreate"
    assert second_look(look(config(), None), IMMUTABLE, Policy(recreate=True), NOTHING).action == "refused"


@pytest.mark.parametrize(
    ("message", "immutable"),
    [
        (
            "Forbidden: updates to statefulset spec for fields other than 'replicas', 'template' are forbidden",
            True,
        ),
        ("cannot change roleRef", True),
        ("Invalid value: 70000: must be between 1 and 65535, inclusive", False),
        ("Value is immutable", True),
    ],
)
def test_immutability_is_told_from_other_refusals(message: str, immutable: bool) -> None:
    assert (
        is_immutable(Answer(code=422, message="x", details={"causes": [{"message": message}]})) is immutable
    )


def test_one_fault_that_is_no_immutability_forbids_recreating() -> None:
    both = [{"message": "field is immutable"}, {"message": "must be positive"}]
    assert not is_immutable(Answer(code=422, message="field is immutable", details={"causes": both}))


def test_what_lacks_only_what_is_coming_is_asked_again() -> None:
    absent = Answer(code=404, message='namespaces "n" not found')
    step = look(config(), None)
    assert second_look(step, absent, Policy(), NOTHING).action == "refused"
    found = second_look(step, absent, Policy(), Coming.of([], ["n"]))
    assert (found.action, found.rehearsed) == ("create", False)


def test_what_others_own_is_taken_over_only_when_that_is_asked() -> None:
    theirs = live(annotations={"meta.helm.sh/release-name": "rel", "meta.helm.sh/release-namespace": "m"})
    assert (
        look(config(), theirs).why == "it belongs to Helm release m/rel; --take-over makes it this instance's"
    )
    other = live(labels={"fairlead.dev/instance": "x", "fairlead.dev/namespace": "m"})
    assert "instance m/x" in look(config(), other).why
    taken = look(config(), other, Policy(take_over=True))
    assert (taken.action, taken.force) == ("take over", True)


def test_handing_over_moves_fields_and_takes_marks_away() -> None:
    there = live(manager="kubectl-client-side-apply", operation="Update", annotations={LAST_APPLIED: "{}"})
    there["metadata"]["managedFields"] += [
        {
            "manager": "fairlead/shop",
            "operation": "Apply",
            "apiVersion": "v1",
            "fieldsV1": {"f:data": {"f:z": {}}},
        },
        {
            "manager": "kubelet",
            "operation": "Update",
            "apiVersion": "v1",
            "subresource": "status",
            "fieldsV1": {},
        },
    ]
    test, fields, note = owning.handover(there, SHOP)
    assert test == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    assert [one["manager"] for one in fields["value"]] == ["fairlead/shop", "kubelet"]
    assert fields["value"][0]["fieldsV1"] == {"f:data": {"f:z": {}, "f:k": {}}}
    assert note["path"] == "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration"
    assert owning.handover(live(), SHOP) == []


def test_only_what_is_still_the_instances_own_is_pruned() -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "d"},
    }
    mine, kept, lost = (
        live(config("mine")),
        live(config("kept", **{"fairlead.dev__prune": "disabled"})),
        config("lost"),
    )
    crd = prepared(
        Stage("s", (definition,)), SHOP, {("apiextensions.k8s.io", "CustomResourceDefinition"): False}
    ).objects[0]
    there = {Ref.of(one): one for one in (mine, kept, lost, crd)}
    known = Inventory.of([*there.values(), config("gone")])
    found = {one.ref.name: one for one in removals(known, Inventory(), there, SHOP, Policy())}
    assert {name: one.action for name, one in found.items()} == {
        "mine": "prune",
        "kept": "keep",
        "lost": "keep",
        "d": "keep",
    }
    assert found["lost"].why == "it is not this instance's any more"
    assert "--delete-crds" in found["d"].why
    again = removals(known, Inventory(), there, SHOP, Policy(delete_definitions=True))
    assert [one.ref.name for one in again if one.action == "prune"] == ["mine", "d"]
    assert {one.action for one in removals(known, Inventory(), there, SHOP, Policy(prune=False))} == {"keep"}
    assert removals(known, known, there, SHOP, Policy()) == ()


def test_stages_are_written_down_and_read_again() -> None:
    stage = Stage(
        "s",
        (config(),),
        one_off=True,
        cleanup=frozenset({"before"}),
        moments=frozenset({"delete"}),
        wait=False,
    )
    assert from_json(as_json(stage)) == stage
    assert from_json(as_json(Stage("t", ()))) == Stage("t", ())
    assert before_and_after([stage, Stage("t", ()), stage]) == ((stage,), (stage,))


def test_a_plan_in_words() -> None:
    plan = Plan((look(config(), None),))
    assert plan.summary() == "1 created"
    assert not plan.idle
    assert Plan().idle
    assert Plan().summary() == "nothing"
