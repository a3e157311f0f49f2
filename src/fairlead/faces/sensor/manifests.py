"""What to apply so that every node of a cluster runs the sensor, or to install so that one machine does: objects and texts out.

Reads and writes nothing. The pod gets the capabilities that the kernel asks for and no privileged mode; of the API it may read what names
containers, and write what it finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.words import Resource

NAME = "fairlead-sensor"
RULES = "/etc/fairlead/sense"
CAPABILITIES = (
    "BPF",  # programs and maps
    "PERFMON",  # attaching them, and following the kernel's pointers
    "SYS_ADMIN",  # fanotify; kernels before 5.8 want it for all of the above
    "SYS_PTRACE",  # /proc of other users' processes
    "DAC_READ_SEARCH",  # the same, and the runtime's socket
    "NET_ADMIN",  # cgroup hooks
    "SYS_RESOURCE",  # memory of maps on kernels before 5.11
    "KILL",
)
_LABELS: dict[str, str] = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "fairlead"}
_HOST_PATHS: Mapping[str, tuple[str, bool]] = {
    "bpf": ("/sys/fs/bpf", False),
    "tracing": ("/sys/kernel/tracing", False),
    "cgroup": ("/sys/fs/cgroup", True),
    "run": ("/run", True),  # the sockets of containerd, CRI-O and Docker
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How it is to be installed. `rules` are files by their names: texts that every sensor reads; `metrics` a port, 0 for none."""

    image: str
    namespace: str = "fairlead-system"
    rules: Mapping[str, str] = field(default_factory=dict)
    metrics: int = 0


def manifests(wishes: Wishes, definitions: Sequence[Resource]) -> list[Resource]:
    """Return the objects in the order in which they are to be applied; `definitions` are the kinds that it writes and reads."""
    space = wishes.namespace
    objects = [
        *definitions,
        _namespace(space),
        _object("v1", "ServiceAccount", space, automountServiceAccountToken=False),
        _object("rbac.authorization.k8s.io/v1", "ClusterRole", "", rules=_rights()),
        _object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            "",
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
            subjects=[{"kind": "ServiceAccount", "name": NAME, "namespace": space}],
        ),
    ]
    if wishes.rules:
        objects.append(_object("v1", "ConfigMap", space, data=dict(wishes.rules)))
    return [*objects, _object("apps/v1", "DaemonSet", space, spec=_daemons(wishes))]


def unit(command: Sequence[str]) -> str:
    """Return a unit of systemd that runs the command (a path and its arguments) as the machine's sensor."""
    granted = " ".join(f"CAP_{name}" for name in CAPABILITIES)
    return f"""\
[Unit]
Description=fairlead sensor: what every process does, judged by rules
After=local-fs.target
Before=containerd.service docker.service kubelet.service

[Service]
ExecStart={" ".join(map(_quoted, command))}
Restart=always
RestartSec=2
User=root
CapabilityBoundingSet={granted}
NoNewPrivileges=yes
ProtectHome=read-only
ProtectClock=yes
PrivateTmp=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes
SystemCallArchitectures=native
MemoryMax=512M
LimitMEMLOCK=infinity
StateDirectory=fairlead
StateDirectoryMode=0700

[Install]
WantedBy=multi-user.target
"""


def _quoted(word: str) -> str:
    """Return a word as systemd reads it: it has specifiers, variables and C's escapes, and no quotes within words."""
    escaped = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    if escaped and not any(one.isspace() or one in "'\"" for one in escaped):
        return escaped
    return "'" + escaped.replace("'", "\\'").replace("\n", "\\n") + "'"


def _object(api_version: str, kind: str, namespace: str, **parts: Any) -> Resource:
    meta: dict[str, Any] = {
        "name": NAME,
        **({"namespace": namespace} if namespace else {}),
        "labels": dict(_LABELS),
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **parts}


def _namespace(name: str) -> Resource:
    """Return the namespace. Whoever watches the host cannot live by the restricted profile: the level is privileged, and says so."""
    labels = {"app.kubernetes.io/part-of": "fairlead", "pod-security.kubernetes.io/enforce": "privileged"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _rights() -> list[Resource]:
    read, write = ["get", "list", "watch"], ["get", "list", "create", "update", "patch", "delete"]
    return [
        {"apiGroups": [""], "resources": ["pods"], "verbs": read},
        {"apiGroups": ["fairlead.dev"], "resources": ["detections", "flightrecords"], "verbs": write},
        {
            "apiGroups": ["cilium.io"],
            "resources": ["tracingpolicies", "tracingpoliciesnamespaced"],
            "verbs": read,
        },
        {
            "apiGroups": ["cilium.io"],
            "resources": ["tracingpolicies/status", "tracingpoliciesnamespaced/status"],
            "verbs": ["update", "patch"],
        },
    ]


def _daemons(wishes: Wishes) -> dict[str, Any]:
    return {
        "selector": {"matchLabels": dict(_LABELS)},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
        "template": {"metadata": {"labels": dict(_LABELS)}, "spec": _pod(wishes)},
    }


def _pod(wishes: Wishes) -> dict[str, Any]:
    command = ["fairlead", "serve", "sense", "--in-cluster", "--node", "$(NODE_NAME)"]
    command += ["--rules", RULES] if wishes.rules else []
    command += ["--metrics", str(wishes.metrics), "--metrics-address", "0.0.0.0"] if wishes.metrics else []  # noqa: S104  the pod's own
    mounts = [
        {"name": name, "mountPath": path, "readOnly": reads} for name, (path, reads) in _HOST_PATHS.items()
    ]
    volumes: list[Resource] = [
        {"name": name, "hostPath": {"path": path}} for name, (path, _) in _HOST_PATHS.items()
    ]
    if wishes.rules:
        mounts.append({"name": "rules", "mountPath": RULES, "readOnly": True})
        volumes.append({"name": "rules", "configMap": {"name": NAME}})
    container: dict[str, Any] = {
        "name": "sensor",
        "image": wishes.image,
        "command": command,
        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "resources": {"requests": {"cpu": "50m", "memory": "160Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "runAsUser": 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)},
            "seccompProfile": {"type": "Unconfined"},  # runtimes' default profiles refuse bpf() and fanotify
            "appArmorProfile": {"type": "Unconfined"},
        },
        "volumeMounts": mounts,
    }
    if wishes.metrics:
        container["ports"] = [{"name": "metrics", "containerPort": wishes.metrics, "protocol": "TCP"}]
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": True,
        "priorityClassName": "system-node-critical",
        "hostPID": True,
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        "volumes": volumes,
    }
