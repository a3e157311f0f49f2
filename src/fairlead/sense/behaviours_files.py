"""Behaviours that show in which files are opened, renamed or written: escapes, theft of credentials, and ways to stay.

A table. Which paths matter is Linux' and Kubernetes' knowledge; each row says what to look for, and one function decides for all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fairlead.sense import behaviours_acts as acts
from fairlead.sense.behaviours_models import Behaviour
from fairlead.sense.events import Event
from fairlead.sense.plans import Hook, Test


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files that one behaviour is about: whole paths, beginnings, ends or last parts of paths, and who may touch them."""

    whole: tuple[str, ...] = ()
    begins: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None  # must match as well
    allowed: frozenset[str] = frozenset()  # names of programs
    contained: bool = False

    def matches(self, path: str) -> bool:
        """Whether the path is one of them."""
        return (
            path in self.whole
            or path.startswith(self.begins)
            or path.endswith(self.ends)
            or acts.basename(path) in self.names
        ) and (self.pattern is None or self.pattern.search(path) is not None)

    def paths(self) -> list[tuple[Test, ...]]:
        """What the kernel can test of an opened path."""
        ends = self.ends + tuple(f"/{name}" for name in self.names)
        return [
            *(acts.whole(*self.whole) if self.whole else ()),
            *(acts.begins(*self.begins) if self.begins else ()),
            *(acts.ends(*ends) if ends else ()),
        ]


def _watch(files: Files, access: Test, *, renames: bool) -> Callable[[str], tuple[Hook, ...]]:
    needs = (acts.IN_CONTAINER,) if files.contained else ()

    def watch(owner: str) -> tuple[Hook, ...]:
        hooks = acts.opening(owner, *needs, access, paths=files.paths())
        return (*hooks, *acts.renaming(owner, *needs)) if renames else hooks

    return watch


def _judge(
    files: Files, access: Literal["read", "write"], moved: Literal["", "old", "new"]
) -> Callable[[Event], dict[str, Any] | None]:
    def judge(event: Event) -> dict[str, Any] | None:
        if files.contained and not acts.started(event):
            return None
        if files.allowed and event.comm in files.allowed:
            return None
        opened = acts.opened(event)
        if opened is not None:
            wanted = opened.writes if access == "write" else opened.reads
            return {"path": opened.path} if wanted and files.matches(opened.path) else None
        if not moved:
            return None
        renamed = acts.renamed(event)
        if renamed is None:
            return None
        path = renamed.new if moved == "new" else renamed.old
        return {"path": path} if files.matches(path) else None

    return judge


def _of_files(
    files: Files,
    access: Literal["read", "write"],
    *,
    moved: Literal["", "old", "new"] = "",
    **told: Any,
) -> Behaviour:
    test = acts.FOR_WRITING if access == "write" else acts.FOR_READING
    return Behaviour(
        watch=_watch(files, test, renames=bool(moved)), judge=_judge(files, access, moved), **told
    )


def _with_programs(behaviour: Behaviour, programs: frozenset[str]) -> Behaviour:
    """Return the behaviour extended: running one of the programs is as good as touching the files."""
    inner, watch = behaviour.judge, behaviour.watch

    def judge(event: Event) -> dict[str, Any] | bool | None:
        if event.kind == "exec":
            path = event.texts[0] or event.process.exe
            return {"command": path} if acts.basename(path) in programs else None
        return inner(event)

    return Behaviour(
        event=behaviour.event, id=behaviour.id, title=behaviour.title, description=behaviour.description, severity=behaviour.severity,
        category=behaviour.category, technique=behaviour.technique, technique_id=behaviour.technique_id, watch=watch, kinds=("exec",),
        judge=judge, version=behaviour.version, aliases=behaviour.aliases,
    )  # fmt: skip


_ESCAPE: dict[str, Any] = {
    "category": "privilege-escalation",
    "technique": "Escape to Host",
    "technique_id": "T1611",
}
_MEMORY = re.compile(r"/proc/\d[^/]*(?:/.*)?/mem\Z")
_TOKEN = re.compile(r"secrets/kubernetes\.io/serviceaccount.+token\Z")
_LOADER = re.compile(r"\A/(?:lib|usr/lib).*/ld[^/]*\.so[^/]*\Z")

FILES: tuple[Behaviour, ...] = (
    _of_files(
        Files(whole=("/proc/sys/kernel/randomize_va_space",)),
        "read",
        event="aslr_inspection",
        id="TRC-109",
        title="ASLR inspection detected",
        description="Somebody looked whether the kernel shuffles address spaces, as one does before exploiting a fault of memory.",
        severity=0,
        category="privilege-escalation",
        technique="Exploitation for Privilege Escalation",
        technique_id="T1068",
    ),
    _of_files(
        Files(names=("notify_on_release",), contained=True),
        "write",
        event="cgroup_notify_on_release",
        aliases=("cgroup_notify_on_release_modification",),
        id="TRC-106",
        title="Cgroups notify_on_release file modification",
        description="A container told the kernel to run the release agent when a cgroup is empty: the first half of an old escape.",
        severity=3,
        **_ESCAPE,
    ),
    _of_files(
        Files(names=("release_agent",), contained=True),
        "write",
        moved="new",
        event="cgroup_release_agent",
        aliases=("cgroup_release_agent_modification",),
        id="TRC-1010",
        title="Cgroups release agent file modification",
        description="A container named the program that the kernel runs, as root of the host, when a cgroup is empty.",
        severity=3,
        **_ESCAPE,
    ),
    _of_files(
        Files(ends=("/proc/sys/kernel/core_pattern",), contained=True),
        "write",
        event="core_pattern_modification",
        aliases=("core_dumps_config",),
        id="TRC-1011",
        title="Core dumps configuration file modification detected",
        description="A container changed what the kernel runs, as root of the host, when a program crashes.",
        severity=3,
        **_ESCAPE,
    ),
    _of_files(
        Files(begins=("/lib", "/usr/lib"), pattern=_LOADER),
        "write",
        moved="new",
        event="default_loader_mod",
        aliases=("default_loader_modification",),
        id="TRC-1012",
        title="Default dynamic loader modification detected",
        description="The loader, which runs first in every program, was replaced or written to.",
        severity=3,
        category="defense-evasion",
        technique="Hijack Execution Flow",
        technique_id="T1574",
    ),
    _of_files(
        Files(
            ends=("token",), pattern=_TOKEN, contained=True,
            allowed=frozenset({"flanneld", "kube-proxy", "etcd", "kube-apiserver", "coredns", "kube-controller", "kubectl"}),
        ),
        "read",
        event="k8s_service_account_token",
        id="TRC-108",
        title="K8s service account token file read",
        description="A program in a container read the token that speaks for the pod to the Kubernetes API.",
        severity=0,
        category="credential-access",
        technique="Exploitation for Credential Access",
        technique_id="T1212",
    ),
    _of_files(
        Files(
            begins=("/etc/kubernetes/pki/",),
            allowed=frozenset({"kube-apiserver", "kubelet", "kube-controller", "etcd"}),
        ),
        "read",
        moved="old",
        event="k8s_cert_theft",
        aliases=("kubernetes_certificate_theft_attempt",),
        id="TRC-1018",
        title="K8s TLS certificate theft detected",
        description="A certificate or key of the control plane was read or moved by a program that has no business with it.",
        severity=3,
        category="credential-access",
        technique="Steal Application Access Token",
        technique_id="T1528",
    ),
    _of_files(
        Files(ends=("/proc/kcore",), contained=True),
        "read",
        event="proc_kcore_read",
        id="TRC-1021",
        title="Kcore memory file read",
        description="A container opened the image of all memory of the host.",
        severity=2,
        **_ESCAPE,
    ),
    _of_files(
        Files(ends=("/mem",), pattern=_MEMORY),
        "read",
        event="proc_mem_access",
        id="TRC-1023",
        title="Process memory access detected",
        description="The memory of a process was opened for reading through /proc.",
        severity=3,
        category="credential-access",
        technique="Proc Filesystem",
        technique_id="T1003.007",
    ),
    _of_files(
        Files(ends=("/mem",), pattern=_MEMORY),
        "write",
        event="proc_mem_code_injection",
        id="TRC-1024",
        title="Code injection detected through /proc/<pid>/mem file",
        description="The memory of a process was opened for writing through /proc.",
        severity=3,
        category="defense-evasion",
        technique="Proc Memory",
        technique_id="T1055.009",
    ),
    _with_programs(
        _of_files(
            Files(
                whole=("/etc/rc.local", "/etc/init.d/rc.local"),
                begins=(
                    *(f"/etc/rc{level}.d" for level in (*range(7), "S", "s")), "/etc/init.d", "/etc/rc.d",
                ),
            ),
            "write",
            moved="new",
            event="rcd_modification",
            id="TRC-1026",
            title="Rcd modification detected",
            description="A script that runs when the machine starts was added or changed.",
            severity=2,
            category="persistence",
            technique="RC Scripts",
            technique_id="T1037.004",
        ),
        frozenset({"update-rc.d"}),
    ),
    _of_files(
        Files(whole=("/proc/sched_debug", "/sys/kernel/debug/sched/debug"), contained=True),
        "read",
        event="sched_debug_recon",
        id="TRC-1029",
        title="sched_debug CPU file was read",
        description="A container looked at the scheduler's list of the host's processes and containers.",
        severity=1,
        category="discovery",
        technique="Container and Resource Discovery",
        technique_id="T1613",
    ),
    _with_programs(
        _of_files(
            Files(
                whole=("/etc/crontab", "/etc/anacrontab", "/etc/cron.deny", "/etc/cron.allow"),
                begins=(
                    "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly", "/etc/cron.d",
                    "/var/spool/cron/", "/var/spool/anacron",
                ),
            ),
            "write",
            moved="new",
            event="scheduled_task_mod",
            aliases=("scheduled_task_modification",),
            id="TRC-1027",
            title="Scheduled tasks modification detected",
            description="A task that runs at set times was added or changed.",
            severity=2,
            category="persistence",
            technique="Cron",
            technique_id="T1053.003",
        ),
        frozenset({"crontab", "at", "batch", "launchd"}),
    ),
    _of_files(
        Files(
            whole=("/etc/sudoers", "/private/etc/sudoers"),
            begins=("/etc/sudoers.d/", "/private/etc/sudoers.d/"),
        ),
        "write",
        moved="new",
        event="sudoers_modification",
        id="TRC-1028",
        title="Sudoers file modification detected",
        description="Who may become another user, and how, was changed.",
        severity=2,
        category="privilege-escalation",
        technique="Sudo and Sudo Caching",
        technique_id="T1548.003",
    ),
    _of_files(
        Files(whole=("/proc/sys/kernel/sysrq", "/proc/sysrq-trigger"), contained=True),
        "write",
        event="system_request_key_mod",
        aliases=("system_request_key_config_modification",),
        id="TRC-1031",
        title="System request key configuration modification",
        description="A container reached for the keys that command the kernel at once: to restart it, or to tell all it runs.",
        severity=3,
        **_ESCAPE,
    ),
)  # fmt: skip
