"""The built-in policies of good practice: what one object shows alone, by rules that nobody has to write.

A table of practices, each with a name, a weight and what the same thing is called in Polaris and Popeye; `policies` compiles those that
are wanted into the judge's model. What only several objects together show is not here. Nothing here changes an object in place.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias

from fairlead.judge import practices_containers as containers
from fairlead.judge import practices_objects as objects
from fairlead.judge import practices_pods as pods
from fairlead.judge.policies import Outcome, Policy, Rule
from fairlead.judge.practices_shapes import Fault, Look, Thing, notes, put, thing_of
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues.paths import dotted, mappings
from fairlead.words import Ref, Resource, View

Weight: TypeAlias = Literal["danger", "warning", "info"]
WEIGHTS: Final[tuple[Weight, ...]] = ("danger", "warning", "info")
"""How much a practice matters, the gravest first. Danger fails; the others warn."""

FAMILY: Final = "practice"
DIALECT: Final = "practices"
EXEMPT: Final = "practices.fairlead.dev/exempt"
"""The annotation that spares an object: `all`, or names of practices with commas between them."""

SYSTEM: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Namespaces of Kubernetes' own, on a cluster: nobody who asks for advice wrote what is in them."""

_POLARIS: Final = "polaris.fairwinds.com/"
_SEVERITIES: Final = {"danger": "high", "warning": "medium", "info": "low"}

PODS: Final = "*"
"""Stands among a practice's kinds for every kind that is a pod or has a template of one."""

_RBAC = "rbac.authorization.k8s.io"
_GATEWAY = "gateway.networking.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """One practice.

    `name` is stable and made of lowercase words. `kinds` are the (group, kind) pairs that it is about; (PODS, PODS) is whatever describes
    a pod. A kind with a group that the object writes wrongly is still known by its name. `title` says what is asked for. `polaris` and
    `popeye` are the checks and codes there that mean the same. `risk` says what its remedy may break, and is "" where it has none.
    """

    name: str
    weight: Weight
    category: str
    title: str
    look: Look
    kinds: tuple[tuple[str, str], ...] = ((PODS, PODS),)
    polaris: tuple[str, ...] = ()
    popeye: tuple[int, ...] = ()
    risk: str = ""

    @property
    def rule(self) -> str:
        """The name of its findings: `practice.host-network`."""
        return f"{FAMILY}.{self.name}"

    def concerns(self, group: str, kind: str) -> bool:
        """Whether it may be about objects of a kind."""
        return any(mine == PODS or (kind == mine and group in {of, ""}) for of, mine in self.kinds)

    def fault(self, thing: Thing) -> Fault | None:
        """Return what is wrong with an object, None if nothing is, or it is not about it."""
        return self.look(thing) if self.about(thing) else None

    def about(self, thing: Thing) -> bool:
        """Whether it is about an object."""
        if self.kinds[0][0] == PODS:
            return thing.pod is not None
        return self.concerns(thing.group, thing.kind)


def _pods(
    name: str, weight: Weight, category: str, title: str, look: Look,
    polaris: tuple[str, ...] = (), popeye: tuple[int, ...] = (), risk: str = "",
) -> Practice:  # fmt: skip
    return Practice(
        name=name, weight=weight, category=category, title=title, look=look,
        polaris=polaris, popeye=popeye, risk=risk,
    )  # fmt: skip


_STARTS = "a program that needs it no longer starts, or fails when it uses it"

PRACTICES: Final[tuple[Practice, ...]] = (
    # images
    _pods("image-tag", "danger", "images", "Images have a tag or a digest.", containers.image_tag,
          ("tagNotSpecified",), (100,)),
    _pods("image-latest", "danger", "images", "Images are not asked for by the tag latest.", containers.image_latest,
          ("tagNotSpecified",), (101,)),
    _pods("image-registry", "danger", "images", "Images come from registries that are allowed (asked for with --registry).",
          containers.image_registry, (), (113,)),
    _pods("pull-policy", "info", "images", "Images are looked up in the registry whenever a container starts.",
          containers.pull_policy, ("pullPolicyNotAlways",), (), "containers do not start while the registry is away"),
    # resources
    _pods("cpu-request", "warning", "resources", "Containers ask for an amount of CPU.", containers.cpu_request,
          ("cpuRequestsMissing",), (106,), "pods do not start where no node has as much to spare"),
    _pods("cpu-limit", "warning", "resources", "Containers have a limit of CPU.", containers.cpu_limit,
          ("cpuLimitsMissing",), (106, 107), "a program that needs more gets slow"),
    _pods("memory-request", "warning", "resources", "Containers ask for an amount of memory.", containers.memory_request,
          ("memoryRequestsMissing",), (106,), "pods do not start where no node has as much to spare"),
    _pods("memory-limit", "warning", "resources", "Containers have a limit of memory.", containers.memory_limit,
          ("memoryLimitsMissing",), (106, 107), "a program that needs more is killed"),
    # probes and ports
    _pods("liveness-probe", "warning", "reliability", "Containers have a liveness probe.", containers.liveness_probe,
          ("livenessProbeMissing",), (102, 103)),
    _pods("readiness-probe", "warning", "reliability", "Containers have a readiness probe.", containers.readiness_probe,
          ("readinessProbeMissing",), (102, 104)),
    _pods("probe-port", "info", "reliability", "Probes name a port, and do not number it.", containers.probe_port, (), (105,)),
    _pods("port-name", "info", "reliability", "Ports of containers have names.", containers.port_name, (), (108,)),
    # what is shared with the node
    _pods("host-ipc", "danger", "security", "Pods do not share the node's inter-process communication.", pods.host_ipc,
          ("hostIPCSet",), (), _STARTS),
    _pods("host-pid", "danger", "security", "Pods do not share the node's processes.", pods.host_pid,
          ("hostPIDSet",), (), _STARTS),
    _pods("host-network", "danger", "security", "Pods do not share the node's network.", pods.host_network,
          ("hostNetworkSet",), (), "who reaches it by the node's address no longer does"),
    _pods("host-port", "warning", "security", "Containers take no ports of the node.", containers.host_port,
          ("hostPortSet",), (), "who reaches it by the node's address no longer does"),
    _pods("host-path", "warning", "security", "Volumes are not directories of the node.", pods.host_path, ("hostPathSet",)),
    _pods("host-process", "warning", "security", "Windows containers are not processes of the node.", pods.host_process,
          ("hostProcess",)),
    # what programs may do
    _pods("privileged", "danger", "security", "Containers are not privileged.", pods.privileged,
          ("runAsPrivileged",), (), _STARTS),
    _pods("dangerous-capabilities", "danger", "security", "Containers get no capability that is as good as root on the node.",
          pods.dangerous_capabilities, ("dangerousCapabilities",), (), _STARTS),
    _pods("insecure-capabilities", "warning", "security", "Containers drop the capabilities that they would get unasked.",
          pods.insecure_capabilities, ("insecureCapabilities",), (), _STARTS),
    _pods("privilege-escalation", "danger", "security", "Processes gain no more rights than their parents have.",
          pods.privilege_escalation, ("privilegeEscalationAllowed",), (), "setuid programs, such as sudo and ping, no longer work"),
    _pods("run-as-root", "danger", "security", "Containers do not run as root.", pods.run_as_root,
          ("runAsRootAllowed",), (302, 306), "an image whose user is root no longer starts"),
    _pods("root-filesystem", "warning", "security", "Root file systems are read-only.", pods.root_filesystem,
          ("notReadOnlyRootFilesystem",), (), "a program that writes beside its volumes fails"),
    _pods("proc-mount", "warning", "security", "Containers see no more of /proc than is usual.", pods.proc_mount,
          ("procMount",), (), _STARTS),
    _pods("hardening", "warning", "security", "Containers are confined by AppArmor, seccomp, SELinux or fewer capabilities.",
          pods.hardening, ("linuxHardening",), (), "a system call that few programs make fails"),
    _pods("sensitive-env", "danger", "security", "Environment variables do not hold secrets in the open.",
          containers.sensitive_env, ("sensitiveContainerEnvVar",)),
    # who they are
    _pods("account-token", "warning", "security", "Pods get no credentials of the API server unasked.", pods.account_token,
          ("automountServiceAccountToken",), (301,), "a program that asks the API server is refused"),
    _pods("default-account", "info", "security", "Pods have a service account of their own.", pods.default_account, (), (300,)),
    # how they are kept available
    Practice(name="unmanaged-pod", weight="info", category="reliability", title="Pods belong to a controller.",
             look=pods.unmanaged_pod, kinds=(("", "Pod"),), popeye=(208,)),
    Practice(name="replicas", weight="warning", category="reliability", title="Deployments run more than one replica.",
             look=pods.replicas, kinds=(("apps", "Deployment"),), polaris=("deploymentMissingReplicas",),
             risk="a program that must run alone runs three times"),
    _pods("priority-class", "warning", "reliability", "Pods say how important they are.", pods.priority_class,
          ("priorityClassNotSet",)),
    _pods("topology-spread", "warning", "reliability", "Pods say how they are spread over nodes.", pods.topology_spread,
          ("topologySpreadConstraint",)),
    _pods("instance-label", "info", "reliability", "The label app.kubernetes.io/instance is the object's name.",
          pods.instance_label, ("metadataAndInstanceMismatched",)),
    _pods("name-label", "info", "reliability", "The label app.kubernetes.io/name is the object's name.",
          pods.name_label, ("metadataAndNameMismatched",)),
    Practice(name="autoscaler-minimum", weight="warning", category="reliability",
             title="Autoscalers keep at least two replicas.", look=objects.hpa_minimum,
             kinds=(("autoscaling", "HorizontalPodAutoscaler"),), polaris=("hpaMinAvailability",)),
    Practice(name="autoscaler-range", weight="warning", category="reliability",
             title="Autoscalers have room between their minimum and their maximum.", look=objects.hpa_range,
             kinds=(("autoscaling", "HorizontalPodAutoscaler"),), polaris=("hpaMaxAvailability",)),
    Practice(name="budget", weight="warning", category="reliability", title="Disruption budgets let a pod go.",
             look=objects.budget, kinds=(("policy", "PodDisruptionBudget"),), polaris=("pdbDisruptionsIsZero",)),
    # other objects
    Practice(name="ingress-tls", weight="warning", category="security", title="Ingresses have TLS.",
             look=objects.ingress_tls, kinds=(("networking.k8s.io", "Ingress"), ("extensions", "Ingress")),
             polaris=("tlsSettingsMissing",)),
    Practice(name="sensitive-config", weight="danger", category="security", title="ConfigMaps hold no secrets.",
             look=objects.sensitive_config, kinds=(("", "ConfigMap"),), polaris=("sensitiveConfigmapContent",)),
    Practice(name="exec-rights", weight="danger", category="access", title="Roles do not let people into containers.",
             look=objects.exec_rights, kinds=((_RBAC, "ClusterRole"), (_RBAC, "Role")),
             polaris=("clusterrolePodExecAttach", "rolePodExecAttach")),
    Practice(name="all-rights", weight="danger", category="access", title="Roles do not allow everything.",
             look=objects.all_rights, kinds=((_RBAC, "ClusterRole"), (_RBAC, "Role"))),
    Practice(name="cluster-admin", weight="danger", category="access", title="Nobody is bound to the role cluster-admin.",
             look=objects.cluster_admin, kinds=((_RBAC, "ClusterRoleBinding"), (_RBAC, "RoleBinding")),
             polaris=("clusterrolebindingClusterAdmin", "rolebindingClusterAdminClusterRole")),
    Practice(name="gateway-routes", weight="warning", category="gateways",
             title="Gateways do not take routes of every namespace.", look=objects.gateway_routes,
             kinds=((_GATEWAY, "Gateway"),), polaris=("gatewayAllowedRoutesAll",)),
    Practice(name="gateway-certificates", weight="danger", category="gateways",
             title="Listeners that end TLS have certificates.", look=objects.gateway_certificates,
             kinds=((_GATEWAY, "Gateway"),), polaris=("gatewayTLSMissing",)),
    Practice(name="gateway-clients", weight="warning", category="gateways",
             title="Clients whose certificates are asked for are not served without one.", look=objects.gateway_clients,
             kinds=((_GATEWAY, "Gateway"),), polaris=("gatewayInsecureFrontendValidation",)),
    Practice(name="route-hosts", weight="warning", category="gateways", title="HTTPRoutes name their hosts.",
             look=objects.route_hosts, kinds=((_GATEWAY, "HTTPRoute"),), polaris=("httpRouteWildcardOrEmptyHost",)),
    Practice(name="backend-verification", weight="danger", category="gateways",
             title="Certificates of backends are verified (kgateway).", look=objects.backend_verification,
             kinds=(("gateway.kgateway.dev", "BackendConfigPolicy"),), polaris=("kgatewayBackendTLSVerificationDisabled",),
             risk="a backend whose certificate is not valid is no longer reached"),
)  # fmt: skip
"""Every practice, in the order in which they are told."""

NAMES: Final = {one.name: one for one in PRACTICES}
BY_POLARIS: Final[dict[str, tuple[Practice, ...]]] = {
    check: tuple(one for one in PRACTICES if check in one.polaris)
    for check in sorted({check for one in PRACTICES for check in one.polaris})
}
BY_POPEYE: Final[dict[int, tuple[Practice, ...]]] = {
    code: tuple(one for one in PRACTICES if code in one.popeye)
    for code in sorted({code for one in PRACTICES for code in one.popeye})
}


class Unknown(ValueError):
    """No practice has the name that was asked for; the message says which."""


def chosen(
    names: Iterable[str] = (), weight: Weight = "info", skipped: Iterable[str] = ()
) -> tuple[Practice, ...]:
    """Return the practices that are named, or without names those of at least a weight; less those that are skipped.

    A name is a practice's, a pattern with *, a category, or the name of one of Polaris's checks. Raises Unknown for one that fits nothing.
    """
    wanted = {one.name for name in names for one in _named(name)} or {
        one.name for one in PRACTICES if WEIGHTS.index(one.weight) <= WEIGHTS.index(weight)
    }
    wanted -= {one.name for name in skipped for one in _named(name)}
    return tuple(one for one in PRACTICES if one.name in wanted)


def _named(name: str) -> list[Practice]:
    plain = name.removeprefix(f"{FAMILY}.")
    found = [
        one
        for one in PRACTICES
        if fnmatchcase(one.name, plain) or name in one.polaris or name == one.category
    ]
    if not found:
        raise Unknown(name)
    return found


def exempted(thing: Thing, practice: Practice) -> str:
    """Return the annotation that spares the object from a practice, or ""."""
    return _sparing(thing, {practice.name, practice.rule, *practice.polaris}, practice.polaris)


def spared_from(resource: Resource, rule: str, checks: Sequence[str] = ()) -> bool:
    """Whether an annotation spares the object from advice by another rule, which Polaris has as one of these checks."""
    return bool(_sparing(thing_of(resource), {rule, *checks}, checks))


def _sparing(thing: Thing, names: Collection[str], checks: Sequence[str]) -> str:
    for key, value in notes(thing):
        if key == EXEMPT:
            if {"all", "true", *names} & set(re.split(r"[,\s]+", value)):
                return key
        elif key.startswith(_POLARIS) and value.lower() == "true":
            said = key.removeprefix(_POLARIS)
            if said == "exempt" or said.removesuffix("-exempt") in checks:
                return key
    return ""


def faults(
    resource: Resource,
    practices: Sequence[Practice] = PRACTICES,
    beside: View | None = None,
    registries: Sequence[str] = (),
) -> Iterator[tuple[Practice, Fault]]:
    """Yield what is wrong with one object, by each practice that is about it and that no annotation spares it from.

    `beside` is asked for the object's own service account and autoscaler, where it is given. `registries` are those that are allowed:
    without any, all are.
    """
    thing = thing_of(resource, beside, registries)
    for practice in practices:
        fault = practice.fault(thing)
        if fault is not None and not exempted(thing, practice):
            yield practice, fault


def owned(resource: Resource) -> bool:
    """Whether a controller made the object: what is wrong with it is wrong with its template."""
    return any(one.get("controller") is True for _, one in mappings(resource, "metadata", "ownerReferences"))


def policies(
    practices: Iterable[Practice], registries: Sequence[str] = (), spared: Collection[str] = ()
) -> tuple[Policy, ...]:
    """Compile practices: one policy each, by the practice's rule name.

    What is in the namespaces that are `spared` is not judged, nor is what a controller made.
    """
    return tuple(
        _policy(one, tuple(registries), frozenset(spared))
        for one in practices
        if registries or one.look is not containers.image_registry
    )


def _policy(practice: Practice, registries: tuple[str, ...], spaces: frozenset[str]) -> Policy:
    deny = practice.weight == "danger"

    def run(subject: Subject, around: Surroundings) -> Outcome | None:
        if subject.object is None or subject.namespace in spaces or owned(subject.object):
            return None
        thing = thing_of(subject.object, around.view, registries)
        if not practice.about(thing):
            return None
        fault = practice.look(thing)
        if fault is None:
            return Outcome(result="pass")
        spared = exempted(thing, practice)
        if spared:
            return Outcome(result="skip", message=f"exempt by the annotation {spared}", actions=frozenset())
        return Outcome(
            result="fail",
            message=fault.message,
            actions=frozenset({"deny"} if deny else {"warn"}),
            paths=tuple(dotted(path) for path in fault.paths),
            wanted=fault.wanted,
            properties={"polaris": ", ".join(practice.polaris)} if practice.polaris else {},
        )

    return Policy(
        source=Ref("fairlead.dev", "Practice", "", practice.name),
        name=practice.rule,
        dialect=DIALECT,
        rules=(Rule(name="", phase="validate", concerns=_concerns(practice), run=run),),
        title=practice.title,
        category=practice.category,
        severity=_SEVERITIES[practice.weight],
        scored=deny,
        open=True,
    )


def _concerns(practice: Practice) -> Callable[[Target], bool]:
    return lambda target: not target.subresource and practice.concerns(target.group, target.kind)


def repaired(
    resource: Resource,
    practices: Sequence[Practice] = PRACTICES,
    beside: View | None = None,
    accept: Callable[[Resource], bool] = lambda _: True,
) -> tuple[Resource, list[Practice]]:
    """Return the object with the remedies of all practices that have one, and those practices, in order.

    A remedy is kept when its practice then passes and `accept` agrees to what the object becomes. The object itself is not changed.
    """
    made: list[Practice] = []
    if owned(resource):
        return resource, made
    for practice in practices:
        thing = thing_of(resource, beside)
        fault = practice.fault(thing)
        if fault is None or not fault.remedies or exempted(thing, practice):
            continue
        better = copy.deepcopy(resource)
        if (
            put(better, fault.remedies)
            and practice.fault(thing_of(better, beside)) is None
            and accept(better)
        ):
            resource = better
            made.append(practice)
    return resource, made
