"""What a runtime is told of a pod and its containers."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.orchestrate.podenv import ConfigFault
from fairlead.orchestrate.podplans import (
    Resolver,
    container_plan,
    hosts_file,
    oom_score,
    sandbox_plan,
    sub_path,
    unsupported,
)
from fairlead.orchestrate.podspecs import qos_class
from fairlead.orchestrate.runtimes import ContainerPlan, ImageSeen
from fairlead.words import Resource

IMAGE = ImageSeen(id="sha256:1", names=("web:1",), size=1)


def pod(container: dict[str, Any] | None = None, **spec: Any) -> Resource:
    return {
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1"},
        "spec": {"containers": [{"name": "web", "image": "web:1", **(container or {})}], **spec},
    }


def planned(one: Resource, image: ImageSeen = IMAGE, env: tuple[tuple[str, str], ...] = ()) -> ContainerPlan:
    container = one["spec"]["containers"][0]
    return container_plan(one, container, image, attempt=2, env=env, mounts=(), node_memory=1 << 30)


def test_commands_are_expanded() -> None:
    found = planned(pod({"command": ["sh", "-c"], "args": ["echo $(A) $$(A) $(B)"]}), env=(("A", "1"),))
    assert (found.command, found.args) == (("sh", "-c"), ("echo 1 $(A) $(B)",))
    assert planned(pod()).command is None
    assert found.log_path == "web/2.log"


def test_resources() -> None:
    limits = {"limits": {"cpu": "250m", "memory": "64Mi"}, "requests": {"cpu": "100m"}}
    found = planned(pod({"resources": limits}))
    assert (found.cpu_limit, found.cpu_request, found.memory_limit) == (250, 100, 64 << 20)
    only_limit = planned(pod({"resources": {"limits": {"cpu": "1"}}}))
    assert only_limit.cpu_request == 1000


def test_security() -> None:
    context = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        "runAsUser": 7,
    }
    wide = {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4, 3]}
    found = planned(pod({"securityContext": context}, securityContext=wide))
    assert (found.run_as_user, found.run_as_group, found.supplemental_groups) == (7, 2, (4, 3))
    assert (found.no_new_privileges, found.read_only_root, found.privileged) == (True, True, False)
    assert (found.add_capabilities, found.drop_capabilities) == (("NET_ADMIN",), ("ALL",))


@pytest.mark.parametrize(
    ("context", "user", "text"),
    [
        ({"runAsNonRoot": True, "runAsUser": 0}, "", "container's runAsUser breaks non-root policy"),
        ({"runAsNonRoot": True}, "", "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True}, "0:0", "container has runAsNonRoot and image will run as root"),
        (
            {"runAsNonRoot": True},
            "www",
            "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root",
        ),
        ({"runAsNonRoot": True}, "101", ""),
        ({"runAsNonRoot": True, "runAsUser": 5}, "0", ""),
        ({}, "", ""),
    ],
)
def test_promises_not_to_be_root(context: dict[str, Any], user: str, text: str) -> None:
    image = ImageSeen(id="x", names=(), size=1, user=user)
    one = pod({"securityContext": context})
    if not text:
        planned(one, image)
        return
    with pytest.raises(ConfigFault) as caught:
        planned(one, image)
    assert str(caught.value) == f'{text} (pod: "web-1_shop(u1)", container: web)'


@pytest.mark.parametrize(
    ("resources", "kind", "score"),
    [
        ({}, "BestEffort", 1000),
        ({"limits": {"cpu": "1", "memory": "1Mi"}}, "Guaranteed", -997),
        ({"requests": {"memory": "512Mi"}}, "Burstable", 500),
        ({"requests": {"memory": "2Gi"}}, "Burstable", 3),
        ({"limits": {"cpu": "1"}}, "Burstable", 999),
    ],
)
def test_quality_of_service(resources: dict[str, Any], kind: str, score: int) -> None:
    one = pod({"resources": resources})
    assert qos_class(one) == kind
    assert oom_score(one, one["spec"]["containers"][0], 1 << 30) == score


@pytest.mark.parametrize(
    ("spec", "servers", "searches"),
    [
        ({}, ("10.244.0.1",), ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan")),
        ({"dnsPolicy": "Default"}, ("1.1.1.1",), ("lan",)),
        ({"hostNetwork": True}, ("1.1.1.1",), ("lan",)),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"], "searches": ["a"]}},
            ("9.9.9.9",),
            ("a",),
        ),
    ],
)
def test_name_servers(spec: dict[str, Any], servers: tuple[str, ...], searches: tuple[str, ...]) -> None:
    found = sandbox_plan(pod(**spec), 1, "/logs", Resolver(("1.1.1.1",), ("lan",), ("10.244.0.1",)))
    assert (found.nameservers, found.searches) == (servers, searches)


def test_sandboxes() -> None:
    found = sandbox_plan(
        pod({"ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]}, hostname="box"),
        1,
        "/logs",
        Resolver(),
    )
    assert (found.hostname, found.attempt, found.ports) == ("box", 1, ((8080, 80, "TCP"),))


def test_hosts_file() -> None:
    one = pod(subdomain="db", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    assert hosts_file(one, ["10.244.0.7"], "").splitlines()[7:] == [
        "10.244.0.7\tweb-1.db.shop.svc.cluster.local\tweb-1",
        "",
        "# Entries added by HostAliases.",
        "1.2.3.4\ta\tb",
    ]
    shared = hosts_file(pod(hostNetwork=True), [], "127.0.0.1 localhost\n")
    assert shared == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n"


def test_sub_paths() -> None:
    assert sub_path({"name": "v", "subPath": "a/b/"}, {}) == "a/b"
    assert sub_path({"name": "v", "subPathExpr": "$(POD)/x"}, {"POD": "web-1"}) == "web-1/x"
    for mount in ({"subPath": "../x"}, {"subPath": "/x"}, {"subPathExpr": "$(NO)"}):
        with pytest.raises(ConfigFault):
            sub_path({"name": "v", **mount}, {})


def test_what_is_not_supported_is_named() -> None:
    one = pod(
        {"volumeDevices": [{}], "securityContext": {"appArmorProfile": {"type": "Localhost"}}},
        hostPID=True,
        securityContext={"sysctls": [{}]},
    )
    assert unsupported(one) == [
        "spec.hostPID",
        "spec.securityContext.sysctls",
        "container web: volumeDevices",
        "container web: securityContext.appArmorProfile of type Localhost",
    ]
    assert unsupported(pod()) == []


@pytest.mark.parametrize(
    ("of_pod", "of_container", "plan"),
    [
        (None, None, ("Unconfined", "")),
        ({"type": "RuntimeDefault"}, None, ("RuntimeDefault", "")),
        ({"type": "RuntimeDefault"}, {"type": "Unconfined"}, ("Unconfined", "")),
        (
            None,
            {"type": "Localhost", "localhostProfile": "teams/strict.json"},
            ("Localhost", "teams/strict.json"),
        ),
    ],
)
def test_a_containers_seccomp_profile_comes_before_its_pods(
    of_pod: dict[str, str] | None, of_container: dict[str, str] | None, plan: tuple[str, str]
) -> None:
    def context(profile: dict[str, str] | None) -> dict[str, Any]:
        return {"securityContext": {"seccompProfile": profile}} if profile else {}

    one = pod(context(of_container), **context(of_pod))
    assert planned(one).seccomp == plan
