"""The Pod Security Standards: what a pod does that a level, at a version of Kubernetes, forbids.

Which checks make up a level at a version, and Kubernetes' words for what they find. Which level holds for whom, and what to do
about a violation, is the caller's. Source: k8s.io/pod-security-admission.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from fairlead.judge import standards_baseline as base
from fairlead.judge import standards_restricted as strict
from fairlead.judge.standards_pods import Check, Field, Pod, pod_of

__all__ = [
    "CHECKS",
    "CONTROLS",
    "LEVELS",
    "NEWEST",
    "BadVersion",
    "Field",
    "Violation",
    "check",
    "examine",
    "minor",
    "pod_of",
    "reasons",
    "told",
]


class Revisions(NamedTuple):
    """One check: its id, level, control name on the standards' page, and its revisions by the minor version that began each.

    `replaces` are the ids of baseline checks that it stands in for at its own level.
    """

    id: str
    level: str
    control: str
    revisions: tuple[tuple[int, Check], ...]
    replaces: tuple[str, ...] = ()


CHECKS: Final[tuple[Revisions, ...]] = (
    Revisions("appArmorProfile", "baseline", "AppArmor", ((0, base.app_armor),)),
    Revisions("capabilities_baseline", "baseline", "Capabilities", ((0, base.capabilities_baseline),)),
    Revisions("hostNamespaces", "baseline", "Host Namespaces", ((0, base.host_namespaces),)),
    Revisions("hostPathVolumes", "baseline", "HostPath Volumes", ((0, base.host_path_volumes),)),
    Revisions("hostPorts", "baseline", "Host Ports", ((0, base.host_ports),)),
    Revisions(
        "hostProbesAndHostLifecycle", "baseline", "Host Probes / Lifecycle Hooks", ((34, base.host_probes),)
    ),
    Revisions("privileged", "baseline", "Privileged Containers", ((0, base.privileged),)),
    Revisions(
        "procMount", "baseline", "/proc Mount Type", ((0, base.proc_mount), (35, base.proc_mount_1_35))
    ),
    Revisions("seLinuxOptions", "baseline", "SELinux", ((0, base.selinux_1_0), (31, base.selinux_1_31))),
    Revisions(
        "seccompProfile_baseline",
        "baseline",
        "Seccomp",
        ((0, base.seccomp_baseline_1_0), (19, base.seccomp_baseline_1_19)),
    ),
    Revisions(
        "sysctls",
        "baseline",
        "Sysctls",
        (
            (0, base.sysctls(base.SYSCTLS)),
            (27, base.sysctls(base.SYSCTLS_27)),
            (29, base.sysctls(base.SYSCTLS_29)),
            (32, base.sysctls(base.SYSCTLS_32)),
            (37, base.sysctls(base.SYSCTLS_37)),
        ),
    ),
    Revisions("windowsHostProcess", "baseline", "HostProcess", ((0, base.windows_host_process),)),
    Revisions(
        "allowPrivilegeEscalation",
        "restricted",
        "Privilege Escalation",
        ((8, strict.privilege_escalation), (25, strict.unless_windows(strict.privilege_escalation))),
    ),
    Revisions(
        "capabilities_restricted",
        "restricted",
        "Capabilities",
        ((22, strict.capabilities_restricted), (25, strict.unless_windows(strict.capabilities_restricted))),
        ("capabilities_baseline",),
    ),
    Revisions(
        "procMount_restricted", "restricted", "/proc Mount Type", ((35, base.proc_mount),), ("procMount",)
    ),
    Revisions(
        "restrictedVolumes",
        "restricted",
        "Volume Types",
        ((0, strict.restricted_volumes),),
        ("hostPathVolumes",),
    ),
    Revisions(
        "runAsNonRoot",
        "restricted",
        "Running as Non-root",
        ((0, strict.run_as_non_root), (35, strict.unless_own_users(strict.run_as_non_root))),
    ),
    Revisions(
        "runAsUser",
        "restricted",
        "Running as Non-root user",
        ((23, strict.run_as_user), (35, strict.unless_own_users(strict.run_as_user))),
    ),
    Revisions(
        "seccompProfile_restricted",
        "restricted",
        "Seccomp",
        ((19, strict.seccomp_restricted), (25, strict.unless_windows(strict.seccomp_restricted))),
        ("seccompProfile_baseline",),
    ),
)
"""Every check, baseline ones first and each level by id: the order in which Kubernetes tells of them."""

LEVELS: Final = ("privileged", "baseline", "restricted")
"""The levels, each stricter than the one before."""

NEWEST: Final = 37
"""The newest minor version with a revision of its own; `latest` and whatever is newer mean this one."""

CONTROLS: Final[dict[str, tuple[str, ...]]] = {}
"""The ids of checks by the control's name on the standards' page."""
for _one in CHECKS:
    CONTROLS[_one.control] = (*CONTROLS.get(_one.control, ()), _one.id)

_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII)


class BadVersion(ValueError):
    """A policy version is neither `latest` nor like `v1.30`."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What one check forbids.

    `control` is its name on the standards' page ("Host Namespaces"), `id` its own ("hostNamespaces"), `level` the level that
    it belongs to. `forbidden` is the reason and `detail` the rest, as Kubernetes words them.
    """

    control: str
    id: str
    level: str
    forbidden: str
    detail: str
    fields: tuple[Field, ...]

    @property
    def containers(self) -> tuple[str, ...]:
        """The names of the containers at fault, each once; none when only the pod itself is."""
        return tuple(dict.fromkeys(one.container for one in self.fields if one.container))

    @property
    def images(self) -> tuple[str, ...]:
        """The images of the containers at fault, each once."""
        return tuple(dict.fromkeys(one.image for one in self.fields if one.container))

    def __str__(self) -> str:
        """`reason (detail)`."""
        return f"{self.forbidden} ({self.detail})" if self.detail else self.forbidden


def minor(version: str) -> int:
    """Return the minor number of a version (`latest`, `v1.30`). Raises BadVersion."""
    if version == "latest":
        return NEWEST
    found = _VERSION.fullmatch(version)
    if found is None:
        raise BadVersion('must be "latest" or "v1.x"')
    return min(int(found[1][:4]), NEWEST)


@lru_cache(maxsize=256)
def _checks(level: str, version: int) -> tuple[tuple[Revisions, Check], ...]:
    if level not in LEVELS:
        raise ValueError(f"must be one of {', '.join(LEVELS)}")
    if level == "privileged":
        return ()
    chosen: list[tuple[Revisions, Check]] = []
    for one in CHECKS:
        revisions = [check for since, check in one.revisions if since <= version]
        if revisions and (level == "restricted" or one.level == "baseline"):
            chosen.append((one, revisions[-1]))
    replaced = {id_ for one, _ in chosen for id_ in one.replaces}
    return tuple((one, check) for one, check in chosen if one.id not in replaced)


def check(metadata: Any, spec: Any, level: str, version: str = "latest") -> list[Violation]:
    """Return what the level at the version forbids of a pod (or a pod template), in Kubernetes' order.

    Never raises over the pod's content. Raises BadVersion, and ValueError for an unknown level.
    """
    return examine(pod_of(metadata, spec), level, version)


def examine(pod: Pod, level: str, version: str = "latest") -> list[Violation]:
    """Return the same of a pod that is taken apart already; what other levels asked before is not asked again."""
    found: list[Violation] = []
    for one, run in _checks(level, minor(version)):
        if run not in pod.said:
            pod.said[run] = run(pod)
        said = pod.said[run]
        if said is not None:
            found.append(Violation(one.control, one.id, one.level, said.reason, said.detail, said.fields))
    return found


def told(violations: Iterable[Violation]) -> str:
    """Return all violations in one line, as in a denial: `host namespaces (hostPID=true), privileged (...)`."""
    return ", ".join(map(str, violations))


def reasons(violations: Iterable[Violation]) -> str:
    """Return only the reasons: `host namespaces, privileged`."""
    return ", ".join(one.forbidden for one in violations)
