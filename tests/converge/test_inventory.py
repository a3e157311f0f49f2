"""Inventories, and the order in which what is in them is written and deleted."""

from __future__ import annotations

import pytest

from fairlead.converge.inventory import Entry, Inventory
from fairlead.converge.ordering import halves, ordered, removal_waves, waves
from fairlead.words import Ref


def entry(kind: str, name: str = "x", group: str = "", namespace: str = "n") -> Entry:
    return Entry(Ref(group, kind, namespace, name), f"{group}/v1" if group else "v1")


@pytest.mark.parametrize(
    ("one", "id_"),
    [
        (entry("ConfigMap", "a-b"), "n_a-b__ConfigMap"),
        (entry("Deployment", "web", "apps"), "n_web_apps_Deployment"),
        (entry("Namespace", "n", namespace=""), "_n__Namespace"),
        (
            entry("ClusterRole", "system:a:b", "rbac.authorization.k8s.io", ""),
            "_system__a__b_rbac.authorization.k8s.io_ClusterRole",
        ),
    ],
)
def test_entries_are_written_and_read_as_others_do(one: Entry, id_: str) -> None:
    assert one.id == id_
    assert Entry.parse(id_, "v1") == one


def test_a_text_that_is_no_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="is no entry of an inventory"):
        Entry.parse("a_b", "v1")


def test_inventories_join_and_differ() -> None:
    a, b, c = entry("ConfigMap", "a"), entry("ConfigMap", "b"), entry("ConfigMap", "c")
    assert list(Inventory([a, b]) - Inventory([b, c])) == [a]
    assert Inventory([a]) | Inventory([b]) == Inventory([b, a])
    assert Inventory.from_json(Inventory([a, b]).as_json()) == Inventory([a, b])
    assert Inventory.from_json([{"id": "n_a__ConfigMap", "v": "v1"}]) == Inventory([a])


KINDS = [
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apps", "Deployment"),
    ("", "Service"),
    ("", "ConfigMap"),
    ("example.io", "Widget"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("", "ServiceAccount"),
    ("", "Namespace"),
    ("example.io", "Namespace"),
]
IN_ORDER = [
    "Namespace", "CustomResourceDefinition", "ServiceAccount", "ConfigMap", "Service", "Deployment", "Namespace", "Widget",
    "ValidatingWebhookConfiguration",
]  # fmt: skip


def objects() -> list[dict[str, object]]:
    return [
        {"apiVersion": f"{group}/v1" if group else "v1", "kind": kind, "metadata": {"name": "x"}}
        for group, kind in KINDS
    ]


def test_what_others_need_is_written_first_and_what_judges_last() -> None:
    assert [one["kind"] for one in ordered(objects())] == IN_ORDER
    assert [one["kind"] for wave in waves(objects()) for one in wave] == IN_ORDER
    first, rest = halves(objects())
    assert [one["kind"] for one in first] == IN_ORDER[:2]
    assert [one["kind"] for one in rest] == IN_ORDER[2:]


def test_deletion_goes_the_other_way() -> None:
    found = [
        [one.kind for one in wave]
        for wave in removal_waves(Ref(group, kind, "", "x") for group, kind in KINDS)
    ]
    assert found == [
        ["ValidatingWebhookConfiguration"],
        ["Widget", "Namespace"],
        ["Deployment"],
        ["Service", "ConfigMap", "ServiceAccount"],
        ["CustomResourceDefinition"],
        ["Namespace"],
    ]
