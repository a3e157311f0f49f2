"""The Pod Security Standards: which check belongs to which level and version, and Kubernetes' words for what is found."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.judge.standards import CONTROLS, BadVersion, check, minor, reasons, told

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "a",
            "image": "a:1",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


def said(spec: dict[str, Any], level: str = "baseline", version: str = "latest", **meta: Any) -> str:
    return told(check(meta, spec, level, version))


def one(security: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "image": "a:1", "securityContext": security, **more}]}


def test_what_is_restricted_passes_everything() -> None:
    for version in ("v1.0", "v1.19", "v1.25", "v1.30", "latest"):
        assert check({}, GOOD, "restricted", version) == []


def test_privileged_forbids_nothing() -> None:
    assert check({}, one({"privileged": True}), "privileged") == []


def test_a_plain_pod_misses_what_restricted_wants_in_kubernetes_words() -> None:
    assert said({"containers": [{"name": "a"}, {"name": "b"}]}, "restricted") == (
        "allowPrivilegeEscalation != false "
        '(containers "a", "b" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or containers "a", "b" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")'
    )


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        (
            one({"privileged": True}),
            'privileged (container "a" must not set securityContext.privileged=true)',
        ),
        (
            one({"capabilities": {"add": ["NET_RAW", "CHOWN", "BPF"]}}),
            (
                'non-default capabilities (container "a" must not include "BPF", "NET_RAW" in '
                "securityContext.capabilities.add)"
            ),
        ),
        (
            {"volumes": [{"name": "x", "hostPath": {"path": "/"}}, {"name": "y", "emptyDir": {}}]},
            'hostPath volumes (volume "x")',
        ),
        (
            one({}, ports=[{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]),
            'hostPort (container "a" uses hostPorts 443, 80)',
        ),
        (
            one({}, livenessProbe={"httpGet": {"host": "10.0.0.1"}}),
            'probe or lifecycle host (container "a" uses probe or lifecycle host "10.0.0.1")',
        ),
        (
            one({"procMount": "Unmasked"}),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            {"securityContext": {"seLinuxOptions": {"type": "spc_t", "user": "u", "role": "r"}}},
            (
                'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; '
                "role may not be set)"
            ),
        ),
        (
            one({"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}, "forbidden sysctls (kernel.msgmax)"),
        (
            {"securityContext": {"windowsOptions": {"hostProcess": True}}},
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
            'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
        ),
    ],
)
def test_baseline_in_kubernetes_words(spec: dict[str, Any], wanted: str) -> None:
    assert said(spec) == wanted


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (
            {
                **GOOD,
                "volumes": [
                    {"name": "n", "nfs": {}},
                    {"name": "h", "hostPath": {}},
                    {"name": "i", "image": {}},
                ],
            },
            'restricted volume types (volumes "n", "h" use restricted volume types "hostPath", "nfs")',
        ),
        (
            {**GOOD, "securityContext": {**GOOD["securityContext"], "runAsNonRoot": False}},
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            {**GOOD, "securityContext": {**GOOD["securityContext"], "runAsUser": 0}},
            "runAsUser=0 (pod must not set runAsUser=0)",
        ),
        (
            {
                **GOOD,
                "ephemeralContainers": [
                    {
                        "name": "e",
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
                        },
                    }
                ],
            },
            'unrestricted capabilities (container "e" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
    ],
)
def test_restricted_in_kubernetes_words(spec: dict[str, Any], wanted: str) -> None:
    assert said(spec, "restricted") == wanted


def test_annotations_count_where_they_did() -> None:
    apparmor = {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}
    assert said({}, annotations=apparmor) == (
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
        'container.apparmor.security.beta.kubernetes.io/a="unconfined")'
    )
    seccomp = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    assert said({}, version="v1.18", annotations=seccomp) == (
        'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    )
    assert not said({}, version="v1.19", annotations=seccomp)


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("net.ipv4.ip_local_reserved_ports", 27),
        ("net.ipv4.tcp_keepalive_time", 29),
        ("net.ipv4.tcp_rmem", 32),
    ],
)
def test_sysctls_become_safe_with_versions(name: str, since: int) -> None:
    spec = {"securityContext": {"sysctls": [{"name": name}]}}
    assert said(spec, version=f"v1.{since - 1}")
    assert not said(spec, version=f"v1.{since}")


def test_checks_begin_with_their_versions() -> None:
    plain = {"containers": [{"name": "a"}]}
    assert reasons(check({}, plain, "restricted", "v1.7")) == "runAsNonRoot != true"
    assert reasons(check({}, plain, "restricted", "v1.21")) == (
        "allowPrivilegeEscalation != false, runAsNonRoot != true, seccompProfile"
    )
    probe = one({}, readinessProbe={"tcpSocket": {"host": "x"}})
    assert not said(probe, version="v1.33")
    assert said(probe, version="v1.34")
    engine = one({"seLinuxOptions": {"type": "container_engine_t"}})
    assert said(engine, version="v1.30")
    assert not said(engine, version="v1.31")


def test_windows_is_spared_what_only_linux_has() -> None:
    windows = {"os": {"name": "windows"}, "containers": [{"name": "a"}]}
    assert reasons(check({}, windows, "restricted", "v1.25")) == "runAsNonRoot != true"
    assert "unrestricted capabilities" in reasons(check({}, windows, "restricted", "v1.24"))


def test_users_of_its_own_relax_from_1_35() -> None:
    own = {**one({"procMount": "Unmasked", "runAsUser": 0}), "hostUsers": False}
    assert said(own, version="v1.34")
    assert not said(own)
    assert [found.id for found in check({}, own, "restricted")] == [
        "allowPrivilegeEscalation",
        "capabilities_restricted",
        "procMount_restricted",
        "seccompProfile_restricted",
    ]


def test_a_violation_names_containers_images_and_places() -> None:
    spec = {
        "initContainers": [{"name": "i", "image": "i:1", "ports": [{}, {"hostPort": 9}]}],
        "containers": [{"name": "c", "image": "c:1", "ports": [{"hostPort": 8}]}],
    }
    (found,) = check({}, spec, "baseline")
    assert (found.control, found.id, found.level) == ("Host Ports", "hostPorts", "baseline")
    assert found.containers == ("i", "c")
    assert found.images == ("i:1", "c:1")
    assert [(field.path, field.pattern, field.value) for field in found.fields] == [
        ("spec.initContainers[0].ports[1].hostPort", "spec.initContainers[*].ports[*].hostPort", 9),
        ("spec.containers[0].ports[0].hostPort", "spec.containers[*].ports[*].hostPort", 8),
    ]


def test_controls_map_to_ids() -> None:
    assert CONTROLS["Seccomp"] == ("seccompProfile_baseline", "seccompProfile_restricted")
    assert CONTROLS["Volume Types"] == ("restrictedVolumes",)


def test_versions() -> None:
    assert minor("v1.99") == minor("latest")
    for bad in ("1.30", "v2.1", "v1.x", "", "v1.030"):
        with pytest.raises(BadVersion):
            minor(bad)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        {"containers": None},
        {"containers": [None, 3, {"securityContext": []}]},
        {"containers": [{"securityContext": {"capabilities": {"add": [{}, 1]}, "procMount": []}}]},
        {
            "containers": [
                {"securityContext": {"seccompProfile": {"type": []}, "seLinuxOptions": {"type": {}}}}
            ]
        },
        {"volumes": [None, {}], "securityContext": {"sysctls": [None, {"name": []}]}},
    ],
)
def test_content_never_raises(spec: Any) -> None:
    check(None, spec, "restricted")
    check({"annotations": []}, spec, "baseline", "v1.0")
