"""What differs between objects, and that nobody ever sees a secret."""

from __future__ import annotations

import json
from typing import Any

from fairlead.converge.differing import LAST_APPLIED, differences, fit_to_show, same


def config(**more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, **more}


def told(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [str(one) for one in differences(before, after)]


def test_only_what_somebody_wrote_counts() -> None:
    live = config(data={"k": "v"}, status={"x": 1})
    live["metadata"] |= {
        "resourceVersion": "5",
        "uid": "u",
        "generation": 3,
        "managedFields": [{}],
        "creationTimestamp": "t",
    }
    merged = config(data={"k": "v"})
    merged["metadata"] |= {"resourceVersion": "6", "labels": {}}
    assert same(live, merged)
    assert told(live, merged) == []


def test_fields_that_come_go_and_change() -> None:
    before = config(data={"same": "1", "old": "2", "other": "x"})
    after = config(data={"same": "1", "new": "3", "other": "y\n"})
    assert told(before, after) == ["- .data.old: 2", '~ .data.other: x -> "y\\n"', "+ .data.new: 3"]


def test_lists_of_named_things_are_compared_by_name() -> None:
    def pod(*containers: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p"},
            "spec": {"containers": list(containers)},
        }

    one, two = {"name": "one", "image": "a:1"}, {"name": "two", "image": "b:1"}
    assert told(pod(one, two), pod({**one, "image": "a:2"}, two)) == [
        "~ .spec.containers[0].image: a:1 -> a:2"
    ]
    assert told(pod(one, two), pod(two)) == ['- .spec.containers[0]: {"name": "one", "image": "a:1"}']
    assert told(pod(one, two), pod(two, one)) == ["~ .spec.containers: order: one, two -> order: two, one"]


def test_a_port_that_changes_its_number_is_one_change() -> None:
    def service(port: int) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s"},
            "spec": {"ports": [{"port": port, "protocol": "TCP"}]},
        }

    assert told(service(80), service(81)) == ["~ .spec.ports[0].port: 80 -> 81"]


def secret(data: Any, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations": {LAST_APPLIED: json.dumps(data)}}, "data": data, **more}  # fmt: skip


def test_secrets_are_never_shown() -> None:
    before = secret({"a": "aHVudGVyMg==", "b": "c2FtZQ==", "gone": "Z29uZQ=="}, stringData={"p": "hunter1"})
    after = secret({"a": "aHVudGVyMw==", "b": "c2FtZQ==", "new": "bmV3"}, stringData={"p": "hunter9"})
    found = differences(before, after)
    assert [str(one) for one in found] == [
        "~ .data.a: *** (before) -> *** (after)",
        "- .data.gone: *** (before)",
        "+ .data.new: *** (after)",
        "~ .stringData.p: *** (before) -> *** (after)",
    ]
    everything = json.dumps([one.as_json() for one in [*found, *differences(None, after)]]) + json.dumps(
        fit_to_show(after)
    )
    for word in ("aHVudGVy", "hunter", "c2FtZQ", "bmV3", "Z29u"):
        assert word not in everything


def test_odd_secrets_are_not_shown_either() -> None:
    assert "hidden" not in json.dumps(
        [one.as_json() for one in differences(secret("hidden"), secret({"k": "hidden"}))]
    )
    assert "hidden" not in json.dumps(fit_to_show(secret("hidden")))
    kept = config(data={"k": "1"})
    kept["metadata"]["annotations"] = {LAST_APPLIED: "hidden", "note": "1"}
    assert "hidden" not in json.dumps([one.as_json() for one in differences(kept, config(data={"k": "2"}))])
