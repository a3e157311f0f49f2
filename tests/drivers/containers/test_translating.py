from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.containers import messages as cri
from fairlead.drivers.containers.translating import container, container_seen, image_seen, sandbox
from fairlead.orchestrate.runtimes import ContainerPlan, SandboxPlan, StartFailed

POD = SandboxPlan(uid="u", namespace="n", name="p")


def made(**plan: Any) -> cri.LinuxContainer:
    linux = container(POD, ContainerPlan(name="c", attempt=0, image="i", **plan)).linux
    assert linux is not None
    return linux


@pytest.mark.parametrize(
    ("plan", "shares", "quota", "period"),
    [
        ({}, 2, 0, 0),
        ({"cpu_request": 1}, 2, 0, 0),
        ({"cpu_request": 250}, 256, 0, 0),
        ({"cpu_limit": 500}, 512, 50_000, 100_000),
        ({"cpu_limit": 500, "cpu_request": 100}, 102, 50_000, 100_000),
        ({"cpu_limit": 5}, 5, 1_000, 100_000),
    ],
)
def test_cpu_as_kubelet_counts_it(plan: dict[str, int], shares: int, quota: int, period: int) -> None:
    resources = made(**plan).resources
    assert resources is not None
    assert (resources.cpu_shares, resources.cpu_quota, resources.cpu_period) == (shares, quota, period)


def test_a_user_that_is_zero_is_a_user() -> None:
    security = made(run_as_user=0, run_as_group=0).security_context
    assert security is not None
    assert (security.run_as_user, security.run_as_group) == (cri.Int64Value(0), cri.Int64Value(0))


@pytest.mark.parametrize(
    ("image_user", "user", "name"),
    [
        ("", cri.Int64Value(0), ""),
        ("7", cri.Int64Value(7), ""),
        ("7:8", cri.Int64Value(7), ""),
        ("me", None, "me"),
    ],
)
def test_a_group_alone_goes_with_the_images_user(
    image_user: str, user: cri.Int64Value | None, name: str
) -> None:
    plan = ContainerPlan(name="c", attempt=0, image="i", run_as_group=5)
    linux = container(POD, plan, image_user).linux
    assert linux is not None
    security = linux.security_context
    assert security is not None
    assert (security.run_as_user, security.run_as_username, security.run_as_group) == (
        user,
        name,
        cri.Int64Value(5),
    )


def test_a_privileged_container_has_nothing_hidden() -> None:
    for privileged in (False, True):
        security = made(privileged=privileged).security_context
        assert security is not None
        assert bool(security.masked_paths) == bool(security.readonly_paths) == (not privileged)


@pytest.mark.parametrize(
    ("wanted", "profile"),
    [
        (("Unconfined", ""), cri.SecurityProfile(1)),
        (("RuntimeDefault", ""), cri.SecurityProfile(0)),
        (("Localhost", "teams/strict.json"), cri.SecurityProfile(2, "/profiles/teams/strict.json")),
    ],
)
def test_a_seccomp_profile_is_passed_on(wanted: tuple[str, str], profile: cri.SecurityProfile) -> None:
    plan = ContainerPlan(name="c", attempt=0, image="i", seccomp=wanted)
    linux = container(POD, plan, profiles=Path("/profiles")).linux
    assert linux is not None
    assert linux.security_context is not None
    assert linux.security_context.seccomp == profile


@pytest.mark.parametrize("name", ["", "/etc/x.json", "../x.json", "a/../../x.json"])
def test_a_profile_lies_below_the_nodes_own(name: str) -> None:
    with pytest.raises(StartFailed, match="must be a path below"):
        container(POD, ContainerPlan(name="c", attempt=0, image="i", seccomp=("Localhost", name)))


def test_the_hosts_network_has_no_name_of_its_own() -> None:
    for host_network in (False, True):
        config = sandbox(SandboxPlan(uid="u", namespace="n", name="p", host_network=host_network), "/group")
        assert config.hostname == ("" if host_network else "p")
        assert config.linux is not None
        assert config.linux.cgroup_parent == "/group/podu"
        assert config.dns_config is None


def test_a_quick_container_did_not_end_before_it_started() -> None:
    status = cri.ContainerStatus("c", state=2, started_at=11, finished_at=10)
    assert container_seen(status, "s", "u").started_at == 10
    running = cri.ContainerStatus("c", state=1, started_at=11)
    assert container_seen(running, "s", "u").started_at == 11
    assert container_seen(cri.ContainerStatus("c", state=99), "s", "u").state == "unknown"


def test_an_images_user() -> None:
    assert image_seen(cri.Image("i", uid=cri.Int64Value(0))).user == "0"
    assert image_seen(cri.Image("i", username="me")).user == "me"
    assert image_seen(cri.Image("i")).user == ""
