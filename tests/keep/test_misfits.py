from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fairlead.keep.errors import Refusal
from fairlead.keep.misfits import go_value

if TYPE_CHECKING:
    from tests.keep.conftest import Cluster

CASES: list[tuple[Any, str, str]] = [
    ({"replicas": "x"}, "map[spec:map[replicas:x]]", "unrecognized type: int32"),
    ({"replicas": 1.5}, "map[spec:map[replicas:1.5]]", "cannot convert float64 to int32"),
    ({"paused": "no"}, "map[spec:map[paused:no]]", "unrecognized type: bool"),
    ({"selector": "x"}, "map[spec:map[selector:x]]", "cannot restore struct from: string"),
]


def deployment() -> dict[str, Any]:
    return {
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web"}]},
            },
        },
    }


@pytest.mark.parametrize(("spec", "value", "text"), CASES)
def test_a_strategic_patch_that_leaves_no_deployment_is_told_in_the_converters_words(
    cluster: Cluster, spec: Any, value: str, text: str
) -> None:
    cluster.create("deployments.apps", deployment())
    with pytest.raises(Refusal) as caught:
        cluster.patch("deployments.apps", "web", {"spec": spec}, "strategic")
    assert caught.value.code == 422
    assert caught.value.message == f' "" is invalid: patch: Invalid value: "{value}": {text}'
    assert caught.value.details is not None
    assert [cause["field"] for cause in caught.value.details["causes"]] == ["patch"]


def test_a_merge_patch_that_leaves_no_deployment_is_told_with_the_whole_result(cluster: Cluster) -> None:
    cluster.create("deployments.apps", deployment())
    with pytest.raises(Refusal) as caught:
        cluster.patch("deployments.apps", "web", {"spec": {"replicas": "x"}}, "merge")
    assert caught.value.code == 422
    assert '\\"replicas\\":\\"x\\"' in caught.value.message
    assert caught.value.message.endswith(
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    )


def test_an_unknown_field_of_a_strict_patch_is_a_misfit_too(cluster: Cluster) -> None:
    cluster.create("deployments.apps", deployment())
    with pytest.raises(Refusal) as caught:
        cluster.patch("deployments.apps", "web", {"spec": {"nonsense": 1}}, "strategic")
    assert caught.value.code == 422
    assert caught.value.message.endswith('strict decoding error: unknown field "spec.nonsense"')


def test_values_are_printed_as_go_prints_them() -> None:
    assert go_value({"b": [1, "x", None], "a": {"c": True}}) == "map[a:map[c:true] b:[1 x <nil>]]"
