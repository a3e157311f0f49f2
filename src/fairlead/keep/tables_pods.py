"""How pods, and what is made of pod templates, are shown as table rows.

The words of a pod's status are kubelet's and kubectl's; nothing here decides what a pod's state is.
Source: kubernetes pkg/printers/internalversion, v1.32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fairlead.keep.tables_texts import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    NONE,
    SELECTOR,
    UNSET,
    Cells,
    Column,
    Layout,
    age,
    at,
    duration,
    integer,
    is_true,
    labels_text,
    moment,
    name_of,
    selector_text,
    since,
    template_cells,
    yes_no,
)
from fairlead.words import Resource


def _restartable(container: Mapping[str, Any] | None) -> bool:
    return container is not None and container.get("restartPolicy") == "Always"


class _Restarts:
    """How often containers were restarted, and when last."""

    def __init__(self) -> None:
        self.count = 0
        self.last: datetime | None = None

    def add(self, status: Mapping[str, Any]) -> None:
        self.count += status.get("restartCount") or 0
        ended = at(status, "lastState", "terminated", "finishedAt")
        found = moment(ended) if ended else None
        if found is not None and (self.last is None or self.last < found):
            self.last = found

    def text(self, now: datetime) -> str:
        if not self.count or self.last is None:
            return str(self.count)
        return f"{self.count} ({duration((now - self.last).total_seconds())} ago)"


def pod_state(pod: Resource) -> tuple[str, int, int, _Restarts]:
    """Return the word for the pod's state, how many containers are ready, of how many, and the restarts."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    phase = status.get("phase") or ""
    word = status.get("reason") or phase
    conditions = status.get("conditions") or ()
    for found in conditions:
        if found.get("type") == "PodScheduled" and found.get("reason") == "SchedulingGated":
            word = "SchedulingGated"
    inits = {container.get("name"): container for container in spec.get("initContainers") or ()}
    total = len(spec.get("containers") or ()) + sum(map(_restartable, inits.values()))
    ready = 0
    restarts, sidecar_restarts = _Restarts(), _Restarts()
    initializing = False
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        sidecar = _restartable(inits.get(container.get("name")))
        restarts.add(container)
        if sidecar:
            sidecar_restarts.add(container)
        state = container.get("state") or {}
        ended = state.get("terminated")
        if ended is not None and not ended.get("exitCode"):
            continue
        if sidecar and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        initializing = True
        waiting = at(state, "waiting", "reason")
        if ended is not None:
            word = f"Init:{_ended(ended)}"
        elif waiting and waiting != "PodInitializing":
            word = f"Init:{waiting}"
        else:
            word = f"Init:{index}/{len(inits)}"
        break
    if not initializing or is_true(pod, "Initialized"):
        restarts = sidecar_restarts
        running = False
        for container in reversed(status.get("containerStatuses") or ()):
            restarts.add(container)
            state = container.get("state") or {}
            waiting, ended = at(state, "waiting", "reason"), state.get("terminated")
            if waiting:
                word = waiting
            elif ended is not None:
                word = _ended(ended)
            elif container.get("ready") and state.get("running") is not None:
                running = True
                ready += 1
        if word == "Completed" and running:
            word = "Running" if is_true(pod, "Ready") else "NotReady"
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            word = "Unknown"
        elif phase not in ("Succeeded", "Failed"):
            word = "Terminating"
    return word, ready, total, restarts


def _ended(ended: Mapping[str, Any]) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode') or 0}"


def _pod(pod: Resource, now: datetime) -> Cells:
    word, ready, total, restarts = pod_state(pod)
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    addresses = status.get("podIPs") or ()
    gates = spec.get("readinessGates") or ()
    return (
        name_of(pod),
        f"{ready}/{total}",
        word,
        restarts.text(now),
        age(pod, now),
        (addresses[0].get("ip") if addresses else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{sum(is_true(pod, gate.get('conditionType')) for gate in gates)}/{len(gates)}" if gates else NONE,
    )


_ENDS = {"Succeeded": "The pod ended well.", "Failed": "The pod ended in failure."}


def _pod_conditions(pod: Resource) -> Sequence[Mapping[str, Any]]:
    phase = at(pod, "status", "phase")
    if phase not in _ENDS:
        return ()
    return ({"type": "Completed", "status": "True", "reason": phase, "message": _ENDS[phase]},)


def _count(resource: Resource, *keys: str) -> int:
    return at(resource, *keys) or 0


def _pod_template(resource: Resource, _now: datetime) -> Cells:
    template = resource.get("template")
    return name_of(resource), *template_cells(template), labels_text(at(template, "metadata", "labels"))


def _replicas(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    selector = spec.get("selector")
    return (
        name_of(resource),
        _count(resource, "spec", "replicas"),
        _count(resource, "status", "replicas"),
        _count(resource, "status", "readyReplicas"),
        age(resource, now),
        *template_cells(spec.get("template")),
        selector_text(selector) if resource.get("kind") == "ReplicaSet" else labels_text(selector),
    )


def _deployment(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    return (
        name_of(resource),
        f"{_count(resource, 'status', 'readyReplicas')}/{_count(resource, 'spec', 'replicas')}",
        _count(resource, "status", "updatedReplicas"),
        _count(resource, "status", "availableReplicas"),
        age(resource, now),
        *template_cells(spec.get("template")),
        selector_text(spec.get("selector")),
    )


def _stateful_set(resource: Resource, now: datetime) -> Cells:
    return (
        name_of(resource),
        f"{_count(resource, 'status', 'readyReplicas')}/{_count(resource, 'spec', 'replicas')}",
        age(resource, now),
        *template_cells(at(resource, "spec", "template")),
    )


def _daemon_set(resource: Resource, now: datetime) -> Cells:
    spec, status = resource.get("spec") or {}, resource.get("status") or {}
    return (
        name_of(resource),
        *(
            status.get(key) or 0
            for key in (
                "desiredNumberScheduled",
                "currentNumberScheduled",
                "numberReady",
                "updatedNumberScheduled",
                "numberAvailable",
            )
        ),
        labels_text(at(spec, "template", "spec", "nodeSelector")),
        age(resource, now),
        *template_cells(spec.get("template")),
        selector_text(spec.get("selector")),
    )


def _job(resource: Resource, now: datetime) -> Cells:
    spec, status = resource.get("spec") or {}, resource.get("status") or {}
    done = status.get("succeeded") or 0
    parallel = spec.get("parallelism") or 0
    if spec.get("completions") is not None:
        completions = f"{done}/{spec['completions']}"
    else:
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    begun, ended = moment(status.get("startTime")), moment(status.get("completionTime"))
    return (
        name_of(resource),
        _job_word(resource),
        completions,
        "" if begun is None else duration(((ended or now) - begun).total_seconds()),
        age(resource, now),
        *template_cells(spec.get("template")),
        selector_text(spec.get("selector")),
    )


def _job_word(job: Resource) -> str:
    if is_true(job, "Complete"):
        return "Complete"
    if is_true(job, "Failed"):
        return "Failed"
    if job["metadata"].get("deletionTimestamp"):
        return "Terminating"
    words = {
        "Suspended": "Suspended",
        "FailureTarget": "FailureTarget",
        "SuccessCriteriaMet": "SuccessCriteriaMet",
    }
    return next((word for name, word in words.items() if is_true(job, name)), "Running")


def _cron_job(resource: Resource, now: datetime) -> Cells:
    spec, status = resource.get("spec") or {}, resource.get("status") or {}
    last = status.get("lastScheduleTime")
    job = at(spec, "jobTemplate", "spec") or {}
    return (
        name_of(resource),
        spec.get("schedule") or "",
        spec.get("timeZone") or NONE,
        yes_no(spec.get("suspend")),
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age(resource, now),
        *template_cells(job.get("template")),
        selector_text(job.get("selector")),
    )


def _budget(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    return (
        name_of(resource),
        "N/A" if least is None else str(least),
        "N/A" if most is None else str(most),
        _count(resource, "status", "disruptionsAllowed"),
        age(resource, now),
    )


def _revision(resource: Resource, now: datetime) -> Cells:
    owners = [owner for owner in resource["metadata"].get("ownerReferences") or () if owner.get("controller")]
    controller = NONE
    if owners:
        group = (owners[0].get("apiVersion") or "").rpartition("/")[0]
        kind = (owners[0].get("kind") or "").lower()
        controller = f"{kind}.{group}/{owners[0].get('name')}" if group else f"{kind}/{owners[0].get('name')}"
    return name_of(resource), controller, resource.get("revision") or 0, age(resource, now)


def _target(metric: Mapping[str, Any], current: Mapping[str, Any] | None) -> str:
    """Return `cpu: 12%/80%` for one metric of an autoscaler and what it is at now."""
    kind = metric.get("type") or ""
    place = {
        "External": "external",
        "Pods": "pods",
        "Object": "object",
        "Resource": "resource",
        "ContainerResource": "containerResource",
    }.get(kind)
    if place is None:
        return "<unknown type>"
    wanted = at(metric, place, "target") or {}
    now = at(current, place, "current") or {}
    if kind in ("Resource", "ContainerResource"):
        name = at(metric, place, "name") or ""
        if wanted.get("averageValue") is not None:
            return f"{name}: {now.get('averageValue') or '<unknown>'}/{wanted['averageValue']}"
        used = now.get("averageUtilization")
        limit = wanted.get("averageUtilization")
        target = "<auto>" if limit is None else f"{limit}%"
        return f"{name}: {'<unknown>' if used is None else f'{used}%'}/{target}"
    if wanted.get("averageValue") is not None:
        suffix = "" if kind == "Pods" else " (avg)"
        return f"{now.get('averageValue') or '<unknown>'}/{wanted['averageValue']}{suffix}"
    return f"{now.get('value') or '<unknown>'}/{wanted.get('value') or ''}"


def _autoscaler(resource: Resource, now: datetime) -> Cells:
    spec, status = resource.get("spec") or {}, resource.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    metrics = spec.get("metrics") or []
    current = status.get("currentMetrics") or []
    limit = spec.get("targetCPUUtilizationPercentage")
    if limit is not None:
        used = status.get("currentCPUUtilizationPercentage")
        texts = [f"cpu: {'<unknown>' if used is None else f'{used}%'}/{limit}%"]
    else:
        texts = [
            _target(metric, current[index] if index < len(current) else None)
            for index, metric in enumerate(metrics)
        ]
    targets = ", ".join(texts[:2]) if texts else NONE
    if len(texts) > 2:
        targets += f" + {len(texts) - 2} more..."
    least = spec.get("minReplicas")
    return (
        name_of(resource),
        f"{target.get('kind') or ''}/{target.get('name') or ''}",
        targets,
        UNSET if least is None else str(least),
        spec.get("maxReplicas") or 0,
        status.get("currentReplicas") or 0,
        age(resource, now),
    )


_READY = Column("Ready", "How many replicas are ready, of how many wanted.")
_COUNTS = (
    integer("Desired", "How many replicas are wanted."),
    integer("Current", "How many replicas there are."),
    integer("Ready", "How many replicas are ready."),
)
_REPLICAS = Layout((NAME, *_COUNTS, AGE, CONTAINERS, IMAGES, SELECTOR), _replicas)

LAYOUTS: Mapping[tuple[str, str], Layout] = {
    ("", "Pod"): Layout(
        (
            NAME,
            Column("Ready", "How many containers are ready, of how many."),
            Column("Status", "The state of the pod in a word."),
            Column("Restarts", "How often containers of the pod were restarted, and when last."),
            AGE,
            Column("IP", "The address of the pod.", priority=1),
            Column("Node", "The node that the pod runs on.", priority=1),
            Column("Nominated Node", "The node that room is being made on for the pod.", priority=1),
            Column("Readiness Gates", "How many of the pod's readiness gates are open.", priority=1),
        ),
        _pod,
        _pod_conditions,
    ),
    ("", "PodTemplate"): Layout(
        (
            NAME,
            Column("Containers", CONTAINERS.description),
            Column("Images", IMAGES.description),
            Column("Pod Labels", "The labels of the template's pods."),
        ),
        _pod_template,
    ),
    ("", "ReplicationController"): _REPLICAS,
    ("apps", "ReplicaSet"): _REPLICAS,
    ("apps", "Deployment"): Layout(
        (
            NAME,
            _READY,
            integer("Up-to-date", "How many replicas are of the present template."),
            integer("Available", "How many replicas have been ready for long enough."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ),
        _deployment,
    ),
    ("apps", "StatefulSet"): Layout((NAME, _READY, AGE, CONTAINERS, IMAGES), _stateful_set),
    ("apps", "DaemonSet"): Layout(
        (
            NAME,
            integer("Desired", "How many nodes should run the pod."),
            integer("Current", "How many nodes that should run the pod do."),
            integer("Ready", "On how many nodes the pod is ready."),
            integer("Up-to-date", "How many nodes run the pod of the present template."),
            integer("Available", "On how many nodes the pod has been ready for long enough."),
            Column("Node Selector", "Which nodes run the pod, by their labels."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ),
        _daemon_set,
    ),
    ("apps", "ControllerRevision"): Layout(
        (
            NAME,
            Column("Controller", "The object that this is a revision of."),
            integer("Revision", "The number of the revision."),
            AGE,
        ),
        _revision,
    ),
    ("batch", "Job"): Layout(
        (
            NAME,
            Column("Status", "The state of the job in a word."),
            Column("Completions", "How many pods have ended well, of how many wanted."),
            Column("Duration", "How long the job took, or has been running."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ),
        _job,
    ),
    ("batch", "CronJob"): Layout(
        (
            NAME,
            Column("Schedule", "When jobs are started, in cron's notation."),
            Column("Timezone", "The time zone of the schedule."),
            Column("Suspend", "Whether no further jobs are started.", "boolean"),
            integer("Active", "How many jobs are running."),
            Column("Last Schedule", "How long ago a job was last started."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ),
        _cron_job,
    ),
    ("policy", "PodDisruptionBudget"): Layout(
        (
            NAME,
            Column("Min Available", "How many pods must stay available."),
            Column("Max Unavailable", "How many pods may be unavailable."),
            integer("Allowed Disruptions", "How many pods may be disrupted now."),
            AGE,
        ),
        _budget,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): Layout(
        (
            NAME,
            Column("Reference", "The object that is scaled."),
            Column("Targets", "Each metric, as it is and as it should be."),
            Column("MinPods", "The fewest replicas."),
            integer("MaxPods", "The most replicas."),
            integer("Replicas", "How many replicas there are."),
            AGE,
        ),
        _autoscaler,
    ),
}
"""By (group, kind)."""
