"""Variables of containers: sources, order, expansion, services, the downward API, and what is missing."""

from __future__ import annotations

import base64
from fractions import Fraction
from typing import Any

import pytest

from fairlead.orchestrate.podenv import (
    ConfigFault,
    Surroundings,
    environment,
    expand,
    needed,
    service_variables,
)
from fairlead.words import Ref, Resource, Snapshot

AROUND = Surroundings(
    node_name="one",
    host_ips=("10.0.0.1",),
    pod_ips=("10.244.0.7",),
    cpu=Fraction(4),
    memory=8 << 30,
    storage=100 << 30,
)


def pod(container: dict[str, Any], **spec: Any) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "uid": "u1",
            "labels": {"app": "web", "b": 'say "hi"\n'},
            "annotations": {"example.com/x": "y"},
        },
        "spec": {"containers": [{"name": "web", "image": "shop/web:1.0", **container}], **spec},
    }


def config(name: str, **data: str) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": "shop", "name": name},
        "data": data,
    }


def secret(name: str, **data: str) -> Resource:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": "shop", "name": name},
        "data": encoded,
    }


def service(called: str, namespace: str = "shop", ip: str = "10.96.0.9", **port: Any) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": called},
        "spec": {"clusterIP": ip, "ports": [{"port": 80, "protocol": "TCP", **port}]},
    }


def values(one: Resource, *objects: Resource) -> dict[str, str]:
    return dict(environment(one, one["spec"]["containers"][0], Snapshot(objects), AROUND)[0])


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)x", "12x"),
        ("$$(A)", "$(A)"),
        ("$(NO)", "$(NO)"),
        ("$(A", "$(A"),
        ("$A $", "$A $"),
        ("$$$(A)", "$1"),
        ("cost: $5", "cost: $5"),
    ],
)
def test_expansion(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}.get) == result


def test_later_variables_see_earlier_ones_and_unknown_ones_stay() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)$(C)"},
        {"name": "C", "value": "3"},
        {"name": "EMPTY"},
    ]
    assert values(pod({"env": env})) == {"A": "1", "B": "1$(C)", "C": "3", "EMPTY": ""}


def test_env_wins_over_env_from_and_later_sources_over_earlier() -> None:
    sources = [
        {"configMapRef": {"name": "one"}},
        {"prefix": "P_", "secretRef": {"name": "two"}},
        {"configMapRef": {"name": "three"}},
    ]
    env = [{"name": "B", "value": "own $(A)"}]
    found = values(
        pod({"envFrom": sources, "env": env}),
        config("one", A="1", B="1"),
        secret("two", X="x"),
        config("three", A="3"),
    )
    assert found == {"A": "3", "B": "own 3", "P_X": "x"}


def test_names_that_no_shell_could_hold_are_skipped_and_told() -> None:
    one = pod({"envFrom": [{"configMapRef": {"name": "one"}}]})
    found, skipped = environment(
        one, one["spec"]["containers"][0], Snapshot([config("one", **{"a=b": "1", "a.b": "2"})]), AROUND
    )
    assert (found, skipped) == ((("a.b", "2"),), ("a=b",))


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"envFrom": [{"configMapRef": {"name": "gone"}}]}, 'configmap "gone" not found'),
        ({"envFrom": [{"secretRef": {"name": "gone"}}]}, 'secret "gone" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "k"}}}]},
            'configmap "gone" not found',
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "k"}}}]},
            "couldn't find key k in ConfigMap shop/one",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "two", "key": "k"}}}]},
            "couldn't find key k in Secret shop/two",
        ),
    ],
)
def test_what_is_missing_is_said_as_kubelet_says_it(container: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        values(pod(container), config("one", A="1"), secret("two", X="x"))
    assert str(caught.value) == text


def test_optional_references_may_be_missing() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "gone", "optional": True}}],
        "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k", "optional": True}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "k", "optional": True}}},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "A"}}},
        ],
    }
    assert values(pod(container), config("one", A="1")) == {"C": "1"}


def test_a_secret_that_is_not_base64_is_a_fault() -> None:
    broken = secret("two", X="x")
    broken["data"]["X"] = "%%"
    with pytest.raises(ConfigFault, match="illegal base64"):
        values(pod({"envFrom": [{"secretRef": {"name": "two"}}]}), broken)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['example.com/x']", "y"),
        ("metadata.labels", 'app="web"\nb="say \\"hi\\"\\n"'),
        ("spec.nodeName", "one"),
        ("spec.serviceAccountName", "robot"),
        ("status.podIP", "10.244.0.7"),
        ("status.hostIP", "10.0.0.1"),
        ("status.podIPs", "10.244.0.7"),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    env = [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    assert values(pod({"env": env}, serviceAccountName="robot"))["A"] == value


def test_a_field_that_is_not_served() -> None:
    with pytest.raises(ConfigFault, match=r"unsupported fieldPath: status\.phase"):
        values(pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]}))


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "requests.memory", "divisor": "1Mi"}, "100"),
        ({"resource": "limits.memory"}, str(8 << 30)),
        ({"resource": "requests.cpu"}, "0"),
        ({"resource": "requests.memory", "divisor": "0"}, str(100 << 20)),
    ],
)
def test_resources(reference: dict[str, str], value: str) -> None:
    resources = {"limits": {"cpu": "1500m"}, "requests": {"memory": "100Mi"}}
    env = [{"name": "A", "valueFrom": {"resourceFieldRef": reference}}]
    assert values(pod({"env": env, "resources": resources}))["A"] == value


def test_services_give_their_addresses() -> None:
    ported = service("my-db", name="sql-port", port=5432)
    assert service_variables(pod({}), Snapshot([ported])) == {
        "MY_DB_SERVICE_HOST": "10.96.0.9",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_SQL_PORT": "5432",
        "MY_DB_PORT": "tcp://10.96.0.9:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.96.0.9:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.96.0.9",
    }


def test_headless_and_foreign_services_do_not_and_links_can_be_off() -> None:
    api = service("kubernetes", "default", "10.96.0.1", port=443, name="https")
    others = [service("headless", ip="None"), service("far", "other"), service("near"), api]
    with_links = service_variables(pod({}), Snapshot(others))
    assert {"NEAR_SERVICE_HOST", "KUBERNETES_SERVICE_HOST"} <= set(with_links)
    assert not [name for name in with_links if name.startswith(("HEADLESS", "FAR"))]
    without = service_variables(pod({}, enableServiceLinks=False), Snapshot(others))
    assert {name.partition("_")[0] for name in without} == {"KUBERNETES"}


def test_own_variables_win_over_those_of_services() -> None:
    env = [
        {"name": "NEAR_SERVICE_HOST", "value": "mine"},
        {"name": "URL", "value": "http://$(NEAR_SERVICE_HOST):$(NEAR_SERVICE_PORT)"},
    ]
    found = values(pod({"env": env}), service("near"))
    assert found["NEAR_SERVICE_HOST"] == "mine"
    assert found["URL"] == "http://mine:80"


def test_what_the_environment_refers_to() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}],
        "env": [
            {"name": "X", "valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}},
            {"name": "Y", "valueFrom": {"configMapKeyRef": {"name": "d", "key": "k"}}},
        ],
    }
    assert needed(pod(container)) == {
        Ref("", "ConfigMap", "shop", "a"),
        Ref("", "Secret", "shop", "b"),
        Ref("", "Secret", "shop", "c"),
        Ref("", "ConfigMap", "shop", "d"),
    }
