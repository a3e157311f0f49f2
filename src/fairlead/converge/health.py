"""How an object is: Current, InProgress, Failed, Terminating, NotFound or Unknown, with why, by the rules that kstatus has.

An object alone decides, with the time handed in. `whole` asks for more than kstatus does where that is what waiting is for: a Job is awaited
until it has completed, a Pod that failed has failed. Must never raise over what a status holds.
Source: sigs.k8s.io/cli-utils pkg/kstatus/status; fluxcd.io/flux/components/kustomize/kustomizations, healthCheckExprs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from fairlead.converge.stages import Check
from fairlead.tongues.paths import find, mapping, mappings, text, whole
from fairlead.words import Resource

if TYPE_CHECKING:
    from fairlead.tongues import cel

State: TypeAlias = Literal["Current", "InProgress", "Failed", "Terminating", "NotFound", "Unknown"]

UNSCHEDULED: Final = timedelta(seconds=15)
"""So long may a pod look for a node before it counts as failed."""
_NO_DEADLINE: Final = 2**31 - 1
_BUDGET: Final = 1_000_000
"""What one expression of a check may cost, in CEL's units."""


@dataclass(frozen=True, slots=True)
class Health:
    """A state and, in a few words, why. `reason` is one CamelCase word, "" where there is none."""

    state: State
    message: str = ""
    reason: str = ""

    @property
    def current(self) -> bool:
        """Whether it is as it should be."""
        return self.state == "Current"


GONE: Final = Health("NotFound", "Resource not found")


@dataclass(frozen=True, slots=True)
class _Condition:
    type: str
    status: str
    reason: str
    message: str


def _conditions(resource: Resource) -> list[_Condition]:
    return [
        _Condition(text(one, "type"), text(one, "status"), text(one, "reason"), text(one, "message"))
        for _, one in mappings(resource, "status", "conditions")
    ]


def _waits(reason: str, message: str) -> Health:
    return Health("InProgress", message, reason)


def _failed(reason: str, message: str) -> Health:
    return Health("Failed", message, reason)


def health(
    resource: Resource | None, now: datetime, checks: Iterable[Check] = (), *, complete: bool = False
) -> Health:
    """Return how the object is. None is one that is not there.

    `checks` are those of its stage: those that fit take the place of what the kind says, once the object is not being deleted.
    With `complete` a Job counts only when it has ended, and a Pod's failure as one.
    """
    if resource is None:
        return GONE
    early = _generic(resource, own=[one for one in checks if one.fits(resource)])
    if early is not None:
        return early
    fitting = [one for one in checks if one.fits(resource)]
    if fitting:
        worst = [found for one in fitting if not (found := custom(resource, one)).current]
        if worst:
            return next((one for one in worst if one.state == "Failed"), worst[0])
        return Health("Current", "Resource passes its health checks")
    rule = _RULES.get((_group(resource), text(resource, "kind")))
    found = rule(resource, now) if rule is not None else _ready(resource)
    return _completed(found) if complete else found


def _group(resource: Resource) -> str:
    return text(resource, "apiVersion").rpartition("/")[0]


def _generic(resource: Resource, own: list[Check]) -> Health | None:
    """What is asked of every object first: is it going, has its controller seen it, and do its conditions say all."""
    if text(resource, "metadata", "deletionTimestamp"):
        finalizers = find(resource, ("metadata", "finalizers"))
        held = (
            f", finalizers: {', '.join(map(str, finalizers))}"
            if isinstance(finalizers, list) and finalizers
            else ""
        )
        return Health("Terminating", f"Resource scheduled for deletion{held}")
    generation, observed = (
        find(resource, ("metadata", "generation")),
        find(resource, ("status", "observedGeneration")),
    )
    if isinstance(generation, int) and isinstance(observed, int) and generation != observed:
        kind = text(resource, "kind")
        return _waits(
            "LatestGenerationNotObserved",
            f"{kind} generation is {generation}, but latest observed generation is {observed}",
        )
    if own:
        return None
    for one in _conditions(resource):
        if one.type == "Reconciling" and one.status == "True":
            return _waits(one.reason, one.message)
        if one.type == "Stalled" and one.status == "True":
            return _failed(one.reason, one.message)
    return None


def _ready(resource: Resource) -> Health:
    for one in _conditions(resource):
        if one.type == "Ready":
            if one.status == "True":
                return Health("Current", "Resource is Ready")
            return _waits(
                one.reason if one.status == "False" else "Unknown", one.message or f"Ready is {one.status}"
            )
    return Health("Current", "Resource is current")


# Built-in kinds


def _always(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    return Health("Current", "Resource is always ready")


def _deployment(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    progressing = whole(resource, "spec", "progressDeadlineSeconds", default=_NO_DEADLINE) == _NO_DEADLINE
    available = False
    for one in _conditions(resource):
        if one.type == "Progressing":
            if one.reason == "ProgressDeadlineExceeded":
                return _failed(one.reason, "Progress deadline exceeded")
            progressing = progressing or (one.status == "True" and one.reason == "NewReplicaSetAvailable")
        elif one.type == "Available":
            available = one.status == "True"
    wanted = whole(resource, "spec", "replicas", default=1)
    there, updated, ready, usable = (
        whole(resource, "status", key)
        for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    )
    if wanted > there:
        return _waits("LessReplicas", f"Replicas: {there}/{wanted}")
    if wanted > updated:
        return _waits("LessUpdated", f"Updated: {updated}/{wanted}")
    if there > wanted:
        return _waits("ExtraPods", f"Pending termination: {there - wanted}")
    if updated > usable:
        return _waits("LessAvailable", f"Available: {usable}/{updated}")
    if wanted > ready:
        return _waits("LessReady", f"Ready: {ready}/{wanted}")
    if not progressing:
        return _waits("ReplicaSetNotAvailable", "ReplicaSet not Available")
    if not available:
        return _waits("DeploymentNotAvailable", "Deployment not Available")
    return Health("Current", f"Deployment is available. Replicas: {there}")


def _replicaset(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    if any(one.type == "ReplicaFailure" and one.status == "True" for one in _conditions(resource)):
        return _waits("ReplicaFailure", "Replica Failure condition. Check Pods")
    wanted = whole(resource, "spec", "replicas", default=1)
    there, ready, usable, labelled = (
        whole(resource, "status", key)
        for key in ("replicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas")
    )
    if wanted > labelled:
        return _waits("LessLabelled", f"Labelled: {labelled}/{wanted}")
    if wanted > usable:
        return _waits("LessAvailable", f"Available: {usable}/{wanted}")
    if wanted > ready:
        return _waits("LessReady", f"Ready: {ready}/{wanted}")
    if there > wanted:
        return _waits("ExtraPods", f"Pending termination: {there - wanted}")
    return Health("Current", f"ReplicaSet is available. Replicas: {there}")


def _statefulset(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    if text(resource, "spec", "updateStrategy", "type") == "OnDelete":
        return Health("Current", "StatefulSet is using the ondelete update strategy")
    wanted = whole(resource, "spec", "replicas", default=1)
    there, ready, running, updated = (
        whole(resource, "status", key)
        for key in ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas")
    )
    partition = whole(resource, "spec", "updateStrategy", "rollingUpdate", "partition", default=-1)
    if wanted > there:
        return _waits("LessReplicas", f"Replicas: {there}/{wanted}")
    if wanted > ready:
        return _waits("LessReady", f"Ready: {ready}/{wanted}")
    if there > wanted:
        return _waits("ExtraPods", f"Pending termination: {there - wanted}")
    if partition != -1:
        if updated < wanted - partition:
            return _waits("PartitionRollout", f"updated: {updated}/{wanted - partition}")
        return Health("Current", f"Partition rollout complete. updated: {updated}")
    if wanted > running:
        return _waits("LessCurrent", f"current: {running}/{wanted}")
    if text(resource, "status", "currentRevision") != text(resource, "status", "updateRevision"):
        return _waits("RevisionMismatch", "Waiting for updated revision to match current")
    return Health("Current", f"All replicas scheduled as expected. Replicas: {there}")


def _daemonset(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    if not isinstance(find(resource, ("metadata", "generation")), int):
        return _waits("NoGeneration", "DaemonSet metadata.generation not found")
    if not isinstance(find(resource, ("status", "observedGeneration")), int):
        return _waits("NoObservedGeneration", "DaemonSet status.observedGeneration not found")
    wanted = whole(resource, "status", "desiredNumberScheduled", default=-1)
    if wanted == -1:
        return _waits("NoDesiredNumber", "Missing .status.desiredNumberScheduled")
    for key, word, reason in (
        ("currentNumberScheduled", "Current", "LessCurrent"),
        ("updatedNumberScheduled", "Updated", "LessUpdated"),
        ("numberAvailable", "Available", "LessAvailable"),
        ("numberReady", "Ready", "LessReady"),
    ):
        there = whole(resource, "status", key)
        if wanted > there:
            return _waits(reason, f"{word}: {there}/{wanted}")
    return Health("Current", f"All replicas scheduled as expected. Replicas: {wanted}")


def _pod(resource: Resource, now: datetime) -> Health:
    phase = text(resource, "status", "phase")
    if phase == "Succeeded":
        return Health("Current", "Pod has completed successfully")
    if phase == "Failed":
        return Health("Current", "Pod has completed, but not successfully", "PodFailed")
    conditions = _conditions(resource)
    if phase == "Running":
        if any(one.type == "Ready" and one.status == "True" for one in conditions):
            return Health("Current", "Pod is Ready")
        looping = [
            text(one, "name")
            for _, one in mappings(resource, "status", "containerStatuses")
            if text(one, "state", "waiting", "reason") == "CrashLoopBackOff"
        ]
        if looping:
            return _failed("ContainerCrashLooping", f"Containers in CrashLoop state: {','.join(looping)}")
        return _waits("PodRunningNotReady", "Pod is running but is not Ready")
    if phase == "Pending":
        if any(
            one.type == "PodScheduled" and one.status == "False" and one.reason == "Unschedulable"
            for one in conditions
        ):
            if _age(resource, now) < UNSCHEDULED:
                return _waits("PodNotScheduled", "Pod has not been scheduled")
            return _failed("PodUnschedulable", "Pod could not be scheduled")
        return _waits("PodPending", "Pod is in the Pending phase")
    if not phase:
        return _waits("PodNotObserved", "Pod phase not available")
    return Health("Unknown", f"unknown phase {phase}")


def _age(resource: Resource, now: datetime) -> timedelta:
    try:
        return now - datetime.fromisoformat(text(resource, "metadata", "creationTimestamp"))
    except (ValueError, TypeError):
        return timedelta.max


def _job(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    wanted = whole(resource, "spec", "completions", default=whole(resource, "spec", "parallelism", default=1))
    done, active, failed = (whole(resource, "status", key) for key in ("succeeded", "active", "failed"))
    for one in _conditions(resource):
        if one.status != "True":
            continue
        if one.type == "Complete":
            return Health("Current", f"Job Completed. succeeded: {done}/{wanted}", "Completed")
        if one.type == "Failed":
            return _failed("JobFailed", f"Job Failed. failed: {failed}/{wanted}")
        if one.type == "Suspended":
            return Health("Current", "Job is suspended", "Suspended")
    if not text(resource, "status", "startTime"):
        return _waits("JobNotStarted", "Job not started")
    return Health(
        "Current", f"Job in progress. success:{done}, active: {active}, failed: {failed}", "JobInProgress"
    )


def _claim(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    phase = text(resource, "status", "phase") or "unknown"
    if phase != "Bound":
        return _waits("NotBound", f"PVC is not Bound. phase: {phase}")
    return Health("Current", "PVC is Bound")


def _service(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    if text(resource, "spec", "type") == "LoadBalancer" and not text(resource, "spec", "clusterIP"):
        return _waits("NoIPAssigned", "ClusterIP not set. Service type: LoadBalancer")
    return Health("Current", "Service is ready")


def _budget(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    return Health("Current", "AllowedDisruptions has been computed.")


def _definition(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    for one in _conditions(resource):
        if one.type == "NamesAccepted" and one.status == "False":
            return _failed(one.reason, one.message)
        if one.type == "Established":
            if one.status == "False" and one.reason != "Installing":
                return _failed(one.reason, one.message)
            if one.status == "True":
                return Health("Current", "CRD is established")
    return _waits("Installing", "Install in progress")


def _served(resource: Resource, now: datetime) -> Health:  # noqa: ARG001  every rule is called alike
    """An APIService that does not answer makes whatever asks for its group fail, so it is waited for; kstatus does not."""
    for one in _conditions(resource):
        if one.type == "Available":
            if one.status == "True":
                return Health("Current", "APIService is available")
            return _waits(one.reason, one.message or "APIService is not available")
    if not mapping(resource, "spec", "service"):
        return Health("Current", "APIService is local")
    return _waits("NotObserved", "APIService is not available yet")


_RULES: Final[Mapping[tuple[str, str], Callable[[Resource, datetime], Health]]] = {
    ("", "ConfigMap"): _always,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("", "Secret"): _always,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apiregistration.k8s.io", "APIService"): _served,
    ("apps", "DaemonSet"): _daemonset,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replicaset,
    ("apps", "StatefulSet"): _statefulset,
    ("batch", "CronJob"): _always,
    ("batch", "Job"): _job,
    ("extensions", "DaemonSet"): _daemonset,
    ("extensions", "Deployment"): _deployment,
    ("extensions", "ReplicaSet"): _replicaset,
    ("policy", "PodDisruptionBudget"): _budget,
}
"""What a kind is asked. Every other kind is asked for its Ready condition, and is Current where it has none."""


def settles(resource: Resource, checks: Iterable[Check] = ()) -> bool:
    """Say whether the object may take time to become Current, so that it is worth a look after it was written."""
    key = (_group(resource), text(resource, "kind"))
    if any(one.fits(resource) for one in checks):
        return True
    return key not in _AT_ONCE


_AT_ONCE: Final = frozenset({
    ("", "ConfigMap"), ("", "Secret"), ("", "ServiceAccount"), ("", "Endpoints"), ("", "LimitRange"), ("", "ResourceQuota"),
    ("batch", "CronJob"), ("networking.k8s.io", "NetworkPolicy"), ("networking.k8s.io", "IngressClass"),
    ("rbac.authorization.k8s.io", "Role"), ("rbac.authorization.k8s.io", "RoleBinding"), ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"), ("scheduling.k8s.io", "PriorityClass"), ("storage.k8s.io", "StorageClass"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"), ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
})  # fmt: skip


def _completed(found: Health) -> Health:
    """Return what waiting for an end makes of a kind's own health."""
    if found.reason == "JobInProgress":
        return _waits("JobInProgress", found.message)
    return _failed("PodFailed", found.message) if found.reason == "PodFailed" else found


# Checks of a package's own


class BadCheck(ValueError):
    """A check whose expression is none: the text says where and why."""


@lru_cache(maxsize=512)
def _program(expression: str) -> cel.Program:
    return _environment().compile(expression)


@lru_cache(maxsize=1)
def _environment() -> cel.Environment:
    """Return what checks are written against. CEL is read in for the first of them: few packages have any."""
    from fairlead.tongues import cel

    return cel.Environment(variables=_NAMES, libraries=cel.kubernetes.LIBRARIES)


_NAMES: Final = ("apiVersion", "kind", "metadata", "spec", "status", "data", "object", "self")


def compiled(check: Check) -> None:
    """Compile a check's expressions. Raises BadCheck."""
    from fairlead.tongues import cel

    for name in ("current", "failed", "in_progress"):
        expression = getattr(check, name)
        if expression:
            try:
                _program(expression)
            except cel.BadExpression as error:
                raise BadCheck(f"the check of {check.kind}: {name}: {error}") from error


def custom(resource: Resource, check: Check) -> Health:
    """Return how the object is by a check: in progress first, then failed, then current, as Flux asks."""
    from fairlead.tongues import cel

    names: dict[str, Any] = {
        **{key: resource.get(key, {}) for key in _NAMES[:-2]},
        "object": resource,
        "self": resource,
    }
    for expression, state in (
        (check.in_progress, "InProgress"),
        (check.failed, "Failed"),
        (check.current, "Current"),
    ):
        if not expression:
            continue
        try:
            holds = _program(expression)(names, _BUDGET)
        except cel.BadExpression as error:
            return Health("Failed", f"{expression}: {error}", "BadCheck")
        except (cel.Failed, cel.TooCostly) as error:  # what it asks for is not there yet
            if state == "Current":
                return _waits("HealthCheck", f"{expression}: {error}")
            continue
        if state == "Current":
            if holds is not True:
                return _waits("HealthCheck", f"{expression} does not hold yet")
        elif holds is True:
            return Health(
                "InProgress" if state == "InProgress" else "Failed", f"{expression} holds", "HealthCheck"
            )
    for name in check.conditions:
        one = next((one for one in _conditions(resource) if one.type == name), None)
        if one is None or one.status != "True":
            why = f": {one.message}" if one is not None and one.message else ""
            return _waits(
                one.reason if one is not None else "NoCondition",
                f"condition {name} is {one.status if one else 'absent'}{why}",
            )
    return Health("Current", "Resource passes its health checks")
