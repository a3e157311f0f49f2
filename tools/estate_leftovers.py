"""What time leaves lying about in a cluster: evicted pods, old Events, finished Jobs, claims that wait, a namespace on its way out. For estates.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import estate_flavours
from estate_words import Resource, ago, condition, container_status, digest, uid

if TYPE_CHECKING:
    from estates import Estate


def leave(estate: Estate, space: str) -> None:
    """Leave in a namespace, whose first Deployment gets some of it, what is over."""
    work = next(
        one for (kind, its, _), one in estate.objects.items() if kind == "Deployment" and its == space
    )
    first = estate.pods(work)[0]
    _old_trouble(estate, first)
    name = estate.current(work)["metadata"]["name"]
    gone = estate.pod(
        work, f"{name}-{digest('gone', size=5)}", f"ReplicaSet/{name}", estate.nodes[0], age="5d"
    )
    gone["status"] = {"phase": "Failed", "reason": "Evicted", "startTime": ago("5d"),
                      "message": "The node was low on resource: memory. Threshold quantity: 100Mi, available: 78204Ki. Container main was using 412Mi, request is 64Mi, has larger consumption of memory. "}  # fmt: skip
    shut = estate.pod(
        work, f"{name}-{digest('shut', size=5)}", f"ReplicaSet/{name}", estate.nodes[-1], age="9d"
    )
    shut["status"] = {
        "phase": "Failed",
        "reason": "Terminated",
        "message": "Pod was terminated in response to imminent node shutdown.",
        "startTime": ago("9d"),
    }
    _runs(estate, space)
    estate.add(
        {
            "kind": "Namespace",
            "name": "preview-481",
            "age": "3d",
            "deleted": "20s",
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Terminating"},
        }
    )
    estate.add({"kind": "PersistentVolumeClaim", "name": "reports-next", "namespace": space, "age": "2d", "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": estate.setup["storage"], "resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Pending"}})  # fmt: skip
    estate.note(
        estate.at(f"PersistentVolumeClaim/{space}/reports-next"),
        "WaitForFirstConsumer",
        "waiting for first consumer to be created before binding",
        count=11_520,
        by="persistentvolume-controller",
        age="12s",
    )
    estate.add({"kind": "Pod", "name": "debug-shell", "namespace": space, "age": "6d", "spec": {"containers": [{"name": "debug-shell", "image": "busybox:1.36"}], "restartPolicy": "Never", "nodeName": estate.nodes[0], "serviceAccountName": "default"},
              "status": {"phase": "Succeeded", "conditions": [condition("Ready", "False", "PodCompleted"), condition("ContainersReady", "False", "PodCompleted"), condition("PodScheduled", "True")],
                         "containerStatuses": [container_status({"name": "debug-shell", "image": "busybox:1.36"}, {"terminated": {"exitCode": 0, "reason": "Completed"}}, ready=False)]}})  # fmt: skip
    for one in estate_flavours.LEFT:
        estate.add(one, space)


def _old_trouble(estate: Estate, pod: Resource) -> None:
    """Troubles that are over, which Events and restart counts still tell of."""
    status = pod["status"]["containerStatuses"][0]
    status["restartCount"] = 4
    status["lastState"] = {
        "terminated": {
            "exitCode": 1,
            "reason": "Error",
            "startedAt": ago("9d"),
            "finishedAt": ago("9d"),
            "containerID": "containerd://aa",
        }
    }
    status["state"] = {"running": {"startedAt": ago("9d")}}
    for reason, message, by in (
        ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", "kubelet"),
        ("BackOff", f"Back-off restarting failed container {status['name']} in pod {pod['metadata']['name']}", "kubelet"),
        ("FailedScheduling", f"0/{len(estate.nodes)} nodes are available: {len(estate.nodes)} Insufficient cpu. preemption: 0/{len(estate.nodes)} nodes are available: {len(estate.nodes)} No preemption victims found for incoming pod.", "default-scheduler"),
        ("FailedMount", 'MountVolume.SetUp failed for volume "config" : configmap "settings" not found', "kubelet"),
    ):  # fmt: skip
        estate.note(pod, reason, message, kind="Warning", count=3, by=by, age="58m")


def _runs(estate: Estate, space: str) -> None:
    """A CronJob whose runs succeed, with one that failed between them, and a Job from long ago."""
    template: Resource = {
        "spec": {
            "containers": [{"name": "prune", "image": "ghcr.io/open-apps/prune:2.0"}],
            "restartPolicy": "Never",
            "serviceAccountName": "default",
        }
    }
    estate.add({"kind": "CronJob", "name": "prune", "namespace": space, "spec": {"schedule": "0 * * * *", "concurrencyPolicy": "Forbid", "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1, "suspend": False, "jobTemplate": {"spec": {"template": template}}},
              "status": {"lastScheduleTime": ago("0m"), "lastSuccessfulTime": ago("59m")}})  # fmt: skip
    for number, (age, well) in enumerate((("3h", False), ("2h", True), ("1h", True))):
        name = f"prune-2955{number:04d}"
        kind = condition(
            "Complete" if well else "Failed",
            "True",
            "CompletionsReached" if well else "BackoffLimitExceeded",
            "" if well else "Job has reached the specified backoff limit",
            age,
        )
        estate.add({"kind": "Job", "name": name, "namespace": space, "of": "CronJob/prune", "age": age, "spec": {"backoffLimit": 0, "completions": 1, "parallelism": 1, "suspend": False, "template": template, "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid("Job", space, name)}}},
                  "status": {"conditions": [kind], "startTime": ago(age), **({"succeeded": 1, "completionTime": ago(age)} if well else {"failed": 1})}})  # fmt: skip
        estate.add({"kind": "Pod", "name": f"{name}-{digest(name, size=5)}", "namespace": space, "of": f"Job/{name}", "age": age, "metadata": {"labels": {"job-name": name}},
                  "spec": {**template["spec"], "nodeName": estate.nodes[0]},
                  "status": {"phase": "Succeeded" if well else "Failed", "startTime": ago(age), "conditions": [condition("Ready", "False", "PodCompleted" if well else "PodFailed")],
                             "containerStatuses": [container_status(template["spec"]["containers"][0], {"terminated": {"exitCode": 0 if well else 1, "reason": "Completed" if well else "Error", "startedAt": ago(age), "finishedAt": ago(age)}}, ready=False)]}})  # fmt: skip
