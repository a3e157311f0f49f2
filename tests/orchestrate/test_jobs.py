"""Jobs: pods that run to completion, counted once each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fairlead.orchestrate import conditions, indexes
from fairlead.orchestrate.jobs import JOBS, ORPHANS, TRACKING
from fairlead.orchestrate.steps import Refused
from fairlead.words import Resource


def job(**spec: Any) -> Resource:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "pi", "namespace": "default"},
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 6,
            "template": {
                "metadata": {"labels": {"job-name": "pi"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "a"}]},
            },
            **spec,
        },
    }


def pods(cluster: Any, phase: str = "") -> list[Resource]:
    return [
        pod
        for pod in cluster.list("", "Pod")
        if (not phase or pod["status"]["phase"] == phase) and not pod["metadata"].get("deletionTimestamp")
    ]


def end(cluster: Any, phase: str = "Succeeded", code: int = 1) -> None:
    """End every pod that runs."""
    for pod in pods(cluster, "Running"):
        ended = {
            "exitCode": 0 if phase == "Succeeded" else code,
            "finishedAt": cluster.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        cluster.report(pod, phase, ready=False)
        statuses = [{"name": "main", "restartCount": 0, "state": {"terminated": ended}}]
        cluster.edit(
            cluster.find("Pod", pod["metadata"]["name"]), {"status": {"containerStatuses": statuses}}
        )


def status(cluster: Any) -> Resource:
    found: Resource = cluster.find("Job", "pi", "batch")["status"]
    return found


def verdict(cluster: Any) -> dict[str, tuple[str, str]]:
    return {
        entry["type"]: (entry["reason"], entry["message"])
        for entry in status(cluster).get("conditions", ())
        if entry["status"] == "True"
    }


def test_a_job_completes(cluster: Any) -> None:
    cluster.node()
    cluster.add(job())
    cluster.run()
    (pod,) = pods(cluster)
    assert pod["metadata"]["finalizers"] == [TRACKING]
    assert status(cluster)["active"] == 1
    cluster.tick(5)
    end(cluster)
    cluster.run()
    assert verdict(cluster) == {
        "SuccessCriteriaMet": ("CompletionsReached", "Reached expected number of succeeded pods"),
        "Complete": ("CompletionsReached", "Reached expected number of succeeded pods"),
    }
    found = status(cluster)
    assert (found["succeeded"], found.get("active"), found["ready"]) == (1, None, 0)
    assert found["uncountedTerminatedPods"] == {}
    assert found["startTime"] < found["completionTime"]
    assert not pods(cluster)[0]["metadata"]["finalizers"]
    assert cluster.said("Completed") == ["Job completed"]
    assert cluster.said("SuccessfulCreate") == [f"Created pod: {pod['metadata']['name']}"]


def test_a_pod_is_counted_once_wherever_it_stops(cluster: Any) -> None:
    cluster.node()
    cluster.add(job(completions=2, parallelism=2))
    cluster.run()
    end(cluster)
    for _ in range(8):
        cluster.step(JOBS)
        found = status(cluster)
        waiting = found["uncountedTerminatedPods"].get("succeeded", [])
        assert found.get("succeeded", 0) + len(waiting) <= 2
    assert status(cluster)["succeeded"] == 2


def test_parallelism_bounds_what_runs(cluster: Any) -> None:
    cluster.node()
    cluster.add(job(completions=5, parallelism=2))
    counts = []
    for _ in range(6):
        cluster.run()
        counts.append(len(pods(cluster, "Running")))
        end(cluster)
        cluster.tick()
    assert counts == [2, 2, 1, 0, 0, 0]
    assert status(cluster)["succeeded"] == 5


def test_failures_are_retried_with_growing_delays_until_the_limit(cluster: Any) -> None:
    cluster.node()
    cluster.add(job(backoffLimit=2))
    delays = []
    for _ in range(3):
        cluster.run()
        end(cluster, "Failed")
        settled = cluster.settle()
        wait = next((value for (name, _), value in settled.waiting.items() if name == "job"), None)
        delays.append(wait)
        cluster.tick((wait or timedelta(0)).total_seconds())
    assert delays == [timedelta(seconds=10), timedelta(seconds=20), None]
    assert verdict(cluster) == {
        "FailureTarget": ("BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        "Failed": ("BackoffLimitExceeded", "Job has reached the specified backoff limit"),
    }
    assert status(cluster)["failed"] == 3
    assert cluster.said("BackoffLimitExceeded") == ["Job has reached the specified backoff limit"]


def test_a_deadline_ends_it(cluster: Any) -> None:
    cluster.node()
    cluster.add(job(activeDeadlineSeconds=30))
    cluster.run()
    cluster.tick(31)
    cluster.run()
    assert verdict(cluster)["Failed"] == ("DeadlineExceeded", "Job was active longer than specified deadline")
    assert not pods(cluster)


def test_restarts_in_place_count_where_that_is_the_policy(cluster: Any) -> None:
    cluster.node()
    body = job(backoffLimit=3)
    body["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    cluster.add(body)
    cluster.run()
    (pod,) = pods(cluster)
    cluster.edit(pod, {"status": {"containerStatuses": [{"name": "main", "restartCount": 3}]}})
    cluster.run()
    assert verdict(cluster)["Failed"][0] == "BackoffLimitExceeded"


def test_a_suspended_job_waits_and_resumes(cluster: Any) -> None:
    cluster.node()
    made = cluster.add(job(suspend=True))
    cluster.run()
    assert not pods(cluster)
    assert verdict(cluster) == {"Suspended": ("JobSuspended", "Job suspended")}
    assert "startTime" not in status(cluster)
    cluster.edit(made, {"spec": {"suspend": False}})
    cluster.run()
    assert len(pods(cluster)) == 1
    condition = conditions.find(cluster.find("Job", "pi", "batch"), "Suspended")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "JobResumed")
    cluster.edit(made, {"spec": {"suspend": True}})
    cluster.run()
    assert not pods(cluster)
    assert cluster.said("Suspended") == ["Job suspended"]
    assert cluster.said("Resumed") == ["Job resumed"]


def test_indexed_pods_know_their_index(cluster: Any) -> None:
    cluster.node()
    cluster.add(job(completions=3, parallelism=2, completionMode="Indexed"))
    cluster.run()
    first, second = pods(cluster)
    assert first["metadata"]["name"].startswith("pi-0-")
    assert second["metadata"]["annotations"][indexes.ANNOTATION] == "1"
    assert second["spec"]["hostname"] == "pi-1"
    assert second["spec"]["containers"][0]["env"] == [
        {
            "name": "JOB_COMPLETION_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{indexes.ANNOTATION}']"}},
        }
    ]
    for _ in range(3):
        end(cluster)
        cluster.run()
    assert status(cluster)["completedIndexes"] == "0-2"
    assert "Complete" in verdict(cluster)


def test_an_index_that_fails_too_often_fails_the_job_at_the_end(cluster: Any) -> None:
    cluster.node()
    cluster.add(
        job(
            completions=2,
            parallelism=1,
            completionMode="Indexed",
            backoffLimitPerIndex=0,
            backoffLimit=2**31 - 1,
        )
    )
    cluster.run()
    end(cluster, "Failed")
    for _ in range(3):
        cluster.tick(20)
        cluster.run()
        end(cluster)
    cluster.run()
    found = status(cluster)
    assert (found["failedIndexes"], found["completedIndexes"]) == ("0", "1")
    assert verdict(cluster)["Failed"] == ("FailedIndexes", "Job has failed indexes")


def test_a_success_policy_ends_it_early(cluster: Any) -> None:
    cluster.node()
    policy = {"rules": [{"succeededIndexes": "0"}]}
    cluster.add(job(completions=3, parallelism=3, completionMode="Indexed", successPolicy=policy))
    cluster.run()
    first = pods(cluster)[0]
    cluster.report(first, "Succeeded", ready=False)
    cluster.run()
    assert verdict(cluster)["Complete"] == ("SuccessPolicy", "Matched rules at index 0")
    assert not pods(cluster, "Running")


FAIL = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}
IGNORE = {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [42]}}]}


def test_a_failure_policy_fails_the_job_at_once(cluster: Any) -> None:
    cluster.node()
    cluster.add(job(podFailurePolicy=FAIL))
    cluster.run()
    name = pods(cluster)[0]["metadata"]["name"]
    end(cluster, "Failed", 42)
    cluster.run()
    assert verdict(cluster)["Failed"] == (
        "PodFailurePolicy",
        f"Container main for pod default/{name} failed with exit code 42 matching FailJob rule at index 0",
    )


def test_an_ignored_failure_does_not_count(cluster: Any) -> None:
    cluster.node()
    cluster.add(job(podFailurePolicy=IGNORE, backoffLimit=0))
    cluster.run()
    end(cluster, "Failed", 1)
    cluster.run()
    assert not verdict(cluster)
    assert not status(cluster).get("failed")
    cluster.tick(11)
    cluster.run()
    assert len(pods(cluster, "Running")) == 1


def test_a_finished_job_goes_when_its_time_is_over(cluster: Any) -> None:
    cluster.node()
    cluster.add(job(ttlSecondsAfterFinished=60))
    cluster.run()
    end(cluster)
    cluster.run()
    cluster.tick(59)
    cluster.run()
    assert cluster.named("Job", "batch") == ["pi"]
    cluster.tick(2)
    cluster.run()
    assert not cluster.named("Job", "batch")


def test_pods_of_a_deleted_job_are_let_go(cluster: Any) -> None:
    cluster.node()
    made = cluster.add(job())
    cluster.run()
    cluster.drop_only(made)
    cluster.settle(ORPHANS)
    assert not cluster.list("", "Pod")[0]["metadata"]["finalizers"]


def test_a_job_managed_by_another_is_left_alone(cluster: Any) -> None:
    cluster.add(job(managedBy="example.com/mine"))
    cluster.settle(JOBS)
    assert not cluster.list("", "Pod")


@pytest.mark.parametrize(
    ("found", "text"),
    [([], ""), ([3], "3"), ([0, 1], "0,1"), ([0, 1, 2], "0-2"), ([1, 3, 4, 5, 9, 10], "1,3-5,9,10")],
)
def test_indexes_are_written_as_kubernetes_does(found: list[int], text: str) -> None:
    assert indexes.write(found) == text
    assert indexes.read(text, 100) == set(found)


def test_unreadable_indexes_are_left_out() -> None:
    assert indexes.read("x,2,5-7,-1", 6) == {2, 5}


def test_a_job_whose_pods_are_refused_has_begun_all_the_same(cluster: Any) -> None:
    cluster.add(job())
    cluster.refuse = lambda change: (
        Refused(403, "Forbidden", "exceeded quota") if change.ref.kind == "Pod" else None
    )
    cluster.settle(JOBS)
    assert status(cluster)["startTime"]
    assert not pods(cluster)
