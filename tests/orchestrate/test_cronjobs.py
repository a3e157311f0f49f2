"""CronJobs: Jobs at the times of a schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.orchestrate.cronjobs import CRON_JOBS, missed
from fairlead.tongues import cron
from fairlead.words import Resource


def cronjob(schedule: str = "*/5 * * * *", **spec: Any) -> Resource:
    template = {
        "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "m", "image": "a"}]}}
        }
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": schedule, "jobTemplate": template, "concurrencyPolicy": "Allow", **spec},
    }


def finish(cluster: Any, kind: str = "Complete") -> None:
    for job in cluster.list("batch", "Job"):
        stamp = cluster.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        if not job.get("status", {}).get("conditions"):
            condition = {"type": kind, "status": "True", "lastTransitionTime": stamp}
            cluster.edit(
                job, {"status": {"conditions": [condition], "completionTime": stamp, "startTime": stamp}}
            )


def until(cluster: Any, minute: int, second: int = 0) -> None:
    target = cluster.now.replace(minute=minute, second=second)
    cluster.tick((target - cluster.now).total_seconds())


def test_a_job_is_made_at_its_time(cluster: Any) -> None:
    cluster.add(cronjob())
    settled = cluster.settle(CRON_JOBS)
    assert not cluster.list("batch", "Job")
    (wait,) = settled.waiting.values()
    assert wait == timedelta(seconds=55.1)
    cluster.tick(wait.total_seconds())
    cluster.settle(CRON_JOBS)
    (job,) = cluster.list("batch", "Job")
    assert job["metadata"]["name"] == f"tick-{int(datetime(2026, 1, 2, 3, 5, tzinfo=UTC).timestamp()) // 60}"
    assert job["metadata"]["annotations"] == {
        "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-02T03:05:00Z"
    }
    owner = cluster.find("CronJob", "tick", "batch")
    assert owner["status"]["lastScheduleTime"] == "2026-01-02T03:05:00Z"
    assert [entry["name"] for entry in owner["status"]["active"]] == [job["metadata"]["name"]]
    assert cluster.said("SuccessfulCreate") == [f"Created job {job['metadata']['name']}"]
    finish(cluster)
    cluster.settle(CRON_JOBS)
    owner = cluster.find("CronJob", "tick", "batch")
    assert "active" not in owner["status"]
    assert owner["status"]["lastSuccessfulTime"] == "2026-01-02T03:05:00Z"
    assert cluster.said("SawCompletedJob") == [
        f"Saw completed job: {job['metadata']['name']}, condition: Complete"
    ]


def test_forbid_waits_for_the_run_before(cluster: Any) -> None:
    cluster.add(cronjob(concurrencyPolicy="Forbid"))
    for minute in (5, 10):
        until(cluster, minute, 1)
        cluster.settle(CRON_JOBS)
    assert len(cluster.list("batch", "Job")) == 1
    assert cluster.said("JobAlreadyActive") == [
        "Not starting job because prior execution is running and concurrency policy is Forbid"
    ]
    finish(cluster)
    cluster.settle(CRON_JOBS)
    assert len(cluster.list("batch", "Job")) == 2


def test_replace_deletes_the_run_before(cluster: Any) -> None:
    cluster.add(cronjob(concurrencyPolicy="Replace"))
    names = []
    for minute in (5, 10):
        until(cluster, minute, 1)
        cluster.settle(CRON_JOBS)
        names += cluster.named("Job", "batch")
    assert len(names) == 2
    assert cluster.said("SuccessfulDelete") == [f"Deleted job {names[0]}"]


def test_history_is_kept_up_to_its_limits(cluster: Any) -> None:
    cluster.add(cronjob(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1))
    for number, minute in enumerate((5, 10, 15, 20, 25, 30)):
        until(cluster, minute, 1)
        cluster.settle(CRON_JOBS)
        finish(cluster, "Complete" if number % 2 else "Failed")
    cluster.settle(CRON_JOBS)
    ended = [job["status"]["conditions"][0]["type"] for job in cluster.list("batch", "Job")]
    assert sorted(ended) == ["Complete", "Complete", "Failed"]


def test_a_missed_time_is_made_up_within_its_deadline_only(cluster: Any) -> None:
    cluster.add(cronjob("0 * * * *", startingDeadlineSeconds=60))
    cluster.tick(timedelta(hours=1, minutes=5).total_seconds())
    cluster.settle(CRON_JOBS)
    assert not cluster.list("batch", "Job")
    until(cluster, 0, 30)
    cluster.tick(3600)
    cluster.settle(CRON_JOBS)
    assert len(cluster.list("batch", "Job")) == 1


def test_only_the_latest_of_many_missed_times_is_made_up(cluster: Any) -> None:
    cluster.add(cronjob("* * * * *"))
    cluster.tick(timedelta(hours=3).total_seconds())
    cluster.settle(CRON_JOBS)
    assert len(cluster.list("batch", "Job")) == 1
    assert cluster.said("TooManyMissedTimes") == [
        "too many missed start times: 180. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
    ]


def test_a_bad_schedule_is_told_once(cluster: Any) -> None:
    cluster.add(cronjob("61 * * * *"))
    for _ in range(3):
        cluster.settle(CRON_JOBS)
    assert cluster.said("UnparseableSchedule") == [
        'unparseable schedule: "61 * * * *" : end of range (61) above maximum (59): 61'
    ]


def test_a_suspended_one_rests(cluster: Any) -> None:
    cluster.add(cronjob("* * * * *", suspend=True))
    cluster.tick(600)
    cluster.settle(CRON_JOBS)
    assert not cluster.list("batch", "Job")


def test_its_time_zone_counts(cluster: Any) -> None:
    cluster.add(cronjob("30 4 * * *", timeZone="Europe/Berlin"))
    cluster.tick(timedelta(minutes=27).total_seconds())
    cluster.settle(CRON_JOBS)
    (job,) = cluster.list("batch", "Job")
    assert (
        job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        == "2026-01-02T04:30:00+01:00"
    )


def test_an_unknown_time_zone_is_told(cluster: Any) -> None:
    cluster.add(cronjob(timeZone="Mars/Olympus"))
    cluster.settle(CRON_JOBS)
    assert cluster.said("UnknownTimeZone") == [
        'invalid timeZone: "Mars/Olympus": unknown time zone Mars/Olympus'
    ]


@pytest.mark.parametrize("years", [1, 20])
def test_years_of_missed_times_do_not_take_years(years: int) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    latest, count = missed(cron.parse("* * * * *"), now - timedelta(days=365 * years), now)
    assert latest == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert count == 2_000
