"""Practices about pods: what they share with the node, what their programs may do, and how they are kept available.

Each looks at one object and says what is wrong with the pod that it describes. Knows nothing of severities and names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fairlead.judge.practices_shapes import GONE, Container, Fault, Look, Thing, deepest, every, labels
from fairlead.tongues.paths import Path, find, mapping, mappings, strings, text, whole, words

_DEFAULT_CAPABILITIES: Final = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE",
    "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
"""What must be dropped by name where ALL is not: what runtimes give unasked, and NET_ADMIN."""
_DANGEROUS: Final = frozenset({"ALL", "SYS_ADMIN", "NET_ADMIN"})
_MIRROR: Final = "kubernetes.io/config.mirror"
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_INSTANCE: Final = "app.kubernetes.io/instance"
_NAME: Final = "app.kubernetes.io/name"


def _shares(field: str, what: str) -> Look:
    """Make the practice that a pod does not share something with its node."""

    def practice(thing: Thing) -> Fault | None:
        assert thing.pod is not None
        if thing.pod.spec.get(field) is not True:
            return None
        path = (*thing.pod.path, field)
        return Fault(f"shares the node's {what}", (path,), f"no {field}", ((path, GONE),))

    return practice


host_ipc = _shares("hostIPC", "inter-process communication")
host_pid = _shares("hostPID", "processes")
host_network = _shares("hostNetwork", "network")


def host_path(thing: Thing) -> Fault | None:
    """No volume is a directory of the node."""
    assert thing.pod is not None
    found = [(index, one) for index, one in mappings(thing.pod.spec, "volumes") if "hostPath" in one]
    if not found:
        return None
    told = ", ".join(text(one, "hostPath", "path") or text(one, "name") for _, one in found)
    places = tuple((*thing.pod.path, "volumes", index, "hostPath") for index, _ in found)
    return Fault(f"mounts directories of the node ({told})", places, "a volume that is not the node's own")


def host_process(thing: Thing) -> Fault | None:
    """No Windows container is a process of the node."""
    assert thing.pod is not None
    field = ("securityContext", "windowsOptions", "hostProcess")
    places: list[Path] = []
    if find(thing.pod.spec, field) is True:
        places.append((*thing.pod.path, *field))
    places += [(*one.path, *field) for one in thing.pod.containers if find(one.content, field) is True]
    return Fault("runs as a process of the Windows node", tuple(places), "no hostProcess") if places else None


def privileged(thing: Thing) -> Fault | None:
    """No container is privileged."""
    assert thing.pod is not None

    def look(one: Container) -> Fault | None:
        if one.security.get("privileged") is not True:
            return None
        path = (*one.path, "securityContext", "privileged")
        return Fault("", (path,), "privileged: false", ((path, False),))

    return every(
        ((one, look(one)) for one in thing.pod.written), "runs {} with all the node's rights (privileged)"
    )


def privilege_escalation(thing: Thing) -> Fault | None:
    """No process gains more rights than its parent has."""
    assert thing.pod is not None
    if thing.pod.windows:
        return None

    def look(one: Container) -> Fault | None:
        if one.security.get("allowPrivilegeEscalation") is False:
            return None
        path = (*one.path, "securityContext", "allowPrivilegeEscalation")
        # Kubernetes refuses the two together: whoever has these rights has nothing left to gain
        bound = one.security.get("privileged") is True or "SYS_ADMIN" in _capabilities(one, "add")
        remedies = () if bound else ((path, False),)
        return Fault("", (deepest(thing.content, path),), "allowPrivilegeEscalation: false", remedies)

    return every(
        ((one, look(one)) for one in thing.pod.written), "allows {} to gain rights (privilege escalation)"
    )


def run_as_root(thing: Thing) -> Fault | None:
    """Every container states that it does not run as root: a user that is not 0, or runAsNonRoot."""
    assert thing.pod is not None
    pod = thing.pod
    if pod.windows:
        return None

    def look(one: Container) -> Fault | None:
        user = one.security.get("runAsUser", pod.security.get("runAsUser"))
        sworn = one.security.get("runAsNonRoot", pod.security.get("runAsNonRoot"))
        if sworn is True or (isinstance(user, int) and user > 0):
            return None
        path = (*one.path, "securityContext", "runAsNonRoot")
        if user == 0:
            field = ("securityContext", "runAsUser")
            place = (*one.path, *field) if "runAsUser" in one.security else (*pod.path, *field)
            return Fault("runAsUser: 0", (place,), "a runAsUser that is not 0")
        return Fault("", (deepest(thing.content, path),), "runAsNonRoot: true", ((path, True),))

    return every(((one, look(one)) for one in pod.written), "lets {} run as root")


def root_filesystem(thing: Thing) -> Fault | None:
    """Every container's root file system is read-only."""
    assert thing.pod is not None
    if thing.pod.windows:
        return None

    def look(one: Container) -> Fault | None:
        if one.security.get("readOnlyRootFilesystem") is True:
            return None
        path = (*one.path, "securityContext", "readOnlyRootFilesystem")
        return Fault("", (deepest(thing.content, path),), "readOnlyRootFilesystem: true", ((path, True),))

    return every(((one, look(one)) for one in thing.pod.written), "lets {} write to the image's own files")


def _capabilities(one: Container, side: str) -> set[str]:
    """Return the capabilities that a container adds or drops, as Linux names them but without CAP_."""
    return {name.upper().removeprefix("CAP_") for name in words(one.security, "capabilities", side)}


def _kept(one: Container) -> list[str]:
    """Return what a container adds of capabilities and is not dangerous."""
    return [
        name
        for name in words(one.security, "capabilities", "add")
        if name.upper().removeprefix("CAP_") not in _DANGEROUS
    ]


def dangerous_capabilities(thing: Thing) -> Fault | None:
    """No container adds a capability that is as good as root on the node."""
    assert thing.pod is not None

    def look(one: Container) -> Fault | None:
        found = _capabilities(one, "add") & _DANGEROUS
        if not found:
            return None
        path = (*one.path, "securityContext", "capabilities", "add")
        value: Any = _kept(one) or GONE
        return Fault(
            ", ".join(sorted(found)), (path,), f"none of {', '.join(sorted(_DANGEROUS))}", ((path, value),)
        )

    return every(
        ((one, look(one)) for one in thing.pod.written), "gives {} capabilities of the node's administrator"
    )


def insecure_capabilities(thing: Thing) -> Fault | None:
    """Every container drops all capabilities, or by name all those that it would get unasked."""
    assert thing.pod is not None
    if thing.pod.windows:
        return None

    def look(one: Container) -> Fault | None:
        dropped = _capabilities(one, "drop")
        if "ALL" in dropped or dropped >= _DEFAULT_CAPABILITIES:
            return None
        path = (*one.path, "securityContext", "capabilities")
        kept = _kept(one)
        value = {"drop": ["ALL"]} | ({"add": kept} if kept else {})
        left = sorted(_DEFAULT_CAPABILITIES - dropped) if dropped else []
        return Fault(
            ", ".join(left), (deepest(thing.content, path),), 'capabilities.drop: ["ALL"]', ((path, value),)
        )

    return every(
        ((one, look(one)) for one in thing.pod.written), "leaves {} with capabilities that few programs need"
    )


def proc_mount(thing: Thing) -> Fault | None:
    """No container sees more of /proc than containers usually do."""
    assert thing.pod is not None

    def look(one: Container) -> Fault | None:
        if one.security.get("procMount") in (None, "Default"):
            return None
        path = (*one.path, "securityContext", "procMount")
        return Fault("", (path,), "procMount: Default", ((path, "Default"),))

    return every(
        ((one, look(one)) for one in thing.pod.written), "shows {} parts of /proc that are usually masked"
    )


def hardening(thing: Thing) -> Fault | None:
    """Every container is confined by one of AppArmor, seccomp, SELinux, or fewer capabilities."""
    assert thing.pod is not None
    pod = thing.pod
    if pod.windows:
        return None
    place = (*pod.path, "securityContext", "seccompProfile", "type")

    def confined(one: Container) -> bool:
        seccomp = text(one.security, "seccompProfile", "type") or text(pod.security, "seccompProfile", "type")
        apparmor = text(one.security, "appArmorProfile", "type") or text(
            pod.security, "appArmorProfile", "type"
        )
        noted = strings(pod.meta, "annotations").get(f"{_APPARMOR}{one.name}", "").lower()
        return bool(
            (seccomp and seccomp != "Unconfined")
            or (apparmor and apparmor != "Unconfined")
            or (noted and noted != "unconfined")
            or mapping(one.security, "seLinuxOptions")
            or mapping(pod.security, "seLinuxOptions")
            or (_capabilities(one, "drop") and "ALL" not in _capabilities(one, "add"))
        )

    def look(one: Container) -> Fault | None:
        if confined(one):
            return None
        path = (*one.path, "securityContext")
        loose = text(one.security, "seccompProfile", "type") == "Unconfined"
        where = (*path, "seccompProfile", "type") if loose else place
        return Fault(
            "",
            (deepest(thing.content, path),),
            "seccompProfile.type: RuntimeDefault",
            ((where, "RuntimeDefault"),),
        )

    return every(
        ((one, look(one)) for one in pod.written),
        "confines {} by none of AppArmor, seccomp, SELinux and capabilities",
    )


def default_account(thing: Thing) -> Fault | None:
    """The pod has a service account of its own."""
    assert thing.pod is not None
    spec = thing.pod.spec
    name = text(spec, "serviceAccountName") or text(spec, "serviceAccount")
    if name not in {"", "default"}:
        return None
    path = deepest(thing.content, (*thing.pod.path, "serviceAccountName"))
    return Fault("runs as the namespace's default service account", (path,), "a service account of its own")


def account_token(thing: Thing) -> Fault | None:
    """The pod gets no credentials of the API server unasked: neither it nor its service account mounts them."""
    assert thing.pod is not None
    spec = thing.pod.spec
    path = (*thing.pod.path, "automountServiceAccountToken")
    said = spec.get("automountServiceAccountToken")
    if said is False:
        return None
    if said is None and thing.beside is not None:
        name = text(spec, "serviceAccountName") or text(spec, "serviceAccount") or "default"
        account = _account(thing, name)
        if account is not None and account.get("automountServiceAccountToken") is False:
            return None
    return Fault(
        "gives its containers credentials for the API server",
        (deepest(thing.content, path),),
        "automountServiceAccountToken: false, where the program does not call the API",
        ((path, False),),
    )


def _account(thing: Thing, name: str) -> Mapping[str, Any] | None:
    """Return the service account beside the object; files may leave the namespace open."""
    assert thing.beside is not None
    for namespace in dict.fromkeys((thing.namespace, thing.namespace or "default", "")):
        found = thing.beside.get("", "ServiceAccount", namespace, name)
        if found is not None:
            return found
    return None


def unmanaged_pod(thing: Thing) -> Fault | None:
    """A pod belongs to a controller that makes another when it is gone."""
    meta = mapping(thing.content, "metadata")
    owners = [owner for _, owner in mappings(meta, "ownerReferences")]
    if any(owner.get("controller") is True for owner in owners) or _MIRROR in mapping(meta, "annotations"):
        return None
    return Fault(
        "is a pod on its own: nothing makes another when it is gone",
        ((),),
        "a Deployment, StatefulSet or Job",
    )


def replicas(thing: Thing) -> Fault | None:
    """A Deployment runs more than one replica, or an autoscaler keeps more than one."""
    asked = find(thing.content, ("spec", "replicas"))
    if (isinstance(asked, int) and asked >= 2) or _scaled(thing):
        return None
    path = ("spec", "replicas")
    told = (
        f"asks for {asked} replica{'' if asked == 1 else 's'}"
        if isinstance(asked, int)
        else "does not say how many replicas run: one does"
    )
    # several replicas that each keep data, share a claim, or must not run twice would be worse than one
    alone = (
        _keeps_data(thing) or find(thing.content, ("spec", "strategy", "type")) == "Recreate" or asked == 0
    )
    return Fault(told, (deepest(thing.content, path),), "at least 2 replicas", () if alone else ((path, 3),))


_DATA: Final = frozenset({"persistentVolumeClaim", "emptyDir", "hostPath", "ephemeral", "csi"})


def _keeps_data(thing: Thing) -> bool:
    """Whether a volume of the pod may be written to."""
    spec = thing.pod.spec if thing.pod is not None else {}
    return any(_DATA & one.keys() for _, one in mappings(spec, "volumes"))


def _scaled(thing: Thing) -> bool:
    """Whether an autoscaler beside it keeps at least two replicas."""
    if thing.beside is None:
        return False
    return any(
        text(one, "spec", "scaleTargetRef", "kind") == thing.kind
        and text(one, "spec", "scaleTargetRef", "name") == thing.name
        and whole(one, "spec", "minReplicas", default=1) >= 2
        for one in thing.beside.list("autoscaling", "HorizontalPodAutoscaler", thing.namespace)
    )


def priority_class(thing: Thing) -> Fault | None:
    """The pod says how important it is."""
    assert thing.pod is not None
    if text(thing.pod.spec, "priorityClassName"):
        return None
    place = deepest(thing.content, thing.pod.path)
    return Fault("has no priority class", (place,), "a priorityClassName that the cluster has")


def topology_spread(thing: Thing) -> Fault | None:
    """The pods say how they are spread over nodes or zones."""
    assert thing.pod is not None
    if thing.runs_to_completion or thing.kind == "DaemonSet":  # which runs one on each node as it is
        return None
    path = (*thing.pod.path, "topologySpreadConstraints")
    if mappings(thing.pod.spec, "topologySpreadConstraints"):
        return None
    return Fault(
        "does not say how its pods are spread", (deepest(thing.content, path),), "topologySpreadConstraints"
    )


def _label(key: str) -> Look:
    def practice(thing: Thing) -> Fault | None:
        meta = mapping(thing.content, "metadata")
        found = labels(meta).get(key)
        if found is not None and found == thing.name:
            return None
        told = (
            f"has the label {key}: {found}, which is not its name"
            if found is not None
            else f"has no label {key}"
        )
        return Fault(told, (deepest(thing.content, ("metadata", "labels", key)),), f"{key}: {thing.name}")

    return practice


instance_label = _label(_INSTANCE)
name_label = _label(_NAME)
