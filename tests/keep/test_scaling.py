from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fairlead.keep.errors import Refusal

if TYPE_CHECKING:
    from tests.keep.conftest import Cluster


def deployment(replicas: int | None) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            **({"replicas": replicas} if replicas is not None else {}),
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web"}]},
            },
        },
    }


def scale(replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas},
    }


def owners(obj: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Who owns spec.replicas: manager, operation, subresource."""
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", ""))
        for entry in obj["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }


def apply_scale(cluster: Cluster, replicas: int, manager: str, *, force: bool = False) -> dict[str, Any]:
    kind = cluster.kind("deployments.apps")
    request = cluster.request(manager=manager, force=force)
    outcome = cluster.world.patch(kind, "default", "web", scale(replicas), "apply", request, "scale")
    return cluster.rest(outcome).object


def test_an_applied_scale_owns_the_replicas_of_its_object(cluster: Cluster) -> None:
    cluster.patch("deployments.apps", "web", deployment(None), "apply", manager="owner")
    shown = apply_scale(
        cluster, 3, "scaler", force=True
    )  # the default replicas are nobody's, as in Kubernetes
    assert (shown["kind"], shown["spec"]) == ("Scale", {"replicas": 3})
    assert "managedFields" not in shown["metadata"]
    live = cluster.get("deployments.apps", "web")
    assert live["spec"]["replicas"] == 3
    assert ("scaler", "Apply", "scale") in owners(live)
    assert {entry["apiVersion"] for entry in live["metadata"]["managedFields"]} == {"apps/v1"}


def test_an_applied_scale_conflicts_with_the_owner_of_the_replicas(cluster: Cluster) -> None:
    cluster.patch("deployments.apps", "web", deployment(2), "apply", manager="owner")
    with pytest.raises(Refusal) as caught:
        apply_scale(cluster, 3, "scaler")
    assert caught.value.code == 409
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "owner": .spec.replicas'
    apply_scale(cluster, 3, "scaler", force=True)
    live = cluster.get("deployments.apps", "web")
    assert owners(live) == {("scaler", "Apply", "scale")}
    assert any(entry["manager"] == "owner" for entry in live["metadata"]["managedFields"])


def test_an_applied_scale_of_the_same_number_is_shared(cluster: Cluster) -> None:
    cluster.patch("deployments.apps", "web", deployment(2), "apply", manager="owner")
    apply_scale(cluster, 2, "scaler")
    assert owners(cluster.get("deployments.apps", "web")) == {
        ("owner", "Apply", ""),
        ("scaler", "Apply", "scale"),
    }


def test_another_kind_cannot_be_applied_to_a_scale(cluster: Cluster) -> None:
    cluster.patch("deployments.apps", "web", deployment(2), "apply", manager="owner")
    kind = cluster.kind("deployments.apps")
    with pytest.raises(Refusal) as caught:
        cluster.world.patch(
            kind,
            "default",
            "web",
            {**scale(1), "apiVersion": "apps/v1"},
            "apply",
            cluster.request(),
            "scale",
        )
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"spec": "x"}, 400),
        ({"spec": {"replicas": [1]}}, 400),
        ({"metadata": 1}, 400),
        ({"kind": "Deployment", "apiVersion": "apps/v1"}, 400),
        ({"spec": {"replicas": -1}}, 422),
    ],
)
def test_a_scale_that_is_none_is_refused(cluster: Cluster, body: dict[str, Any], code: int) -> None:
    cluster.patch("deployments.apps", "web", deployment(2), "apply", manager="owner")
    kind = cluster.kind("deployments.apps")
    with pytest.raises(Refusal) as caught:
        cluster.world.update(kind, "default", "web", {**scale(1), **body}, cluster.request(), "scale")
    assert caught.value.code == code


def test_a_patch_that_leaves_no_scale_is_a_misfit(cluster: Cluster) -> None:
    cluster.patch("deployments.apps", "web", deployment(2), "apply", manager="owner")
    with pytest.raises(Refusal) as caught:
        cluster.patch("deployments.apps", "web", {"spec": {"replicas": "x"}}, "merge", "scale")
    assert caught.value.code == 422
    assert "patch: Invalid value" in caught.value.message
