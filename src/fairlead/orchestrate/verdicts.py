"""What a Job's policies say of its pods: pod failure policy, success policy, exceeded limits.

Source: k8s.io/kubernetes/pkg/controller/job (pod_failure_policy.go, success_policy.go). Reads only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.orchestrate import indexes, lives
from fairlead.words import Resource


@dataclass(frozen=True, slots=True)
class Verdict:
    """A condition's reason and message."""

    reason: str
    message: str


def judge(job: Resource, pod: Resource) -> tuple[str, str]:
    """Return the action of the first rule of the pod failure policy that a failed pod matches, and why.

    The action is FailJob, FailIndex, Ignore, Count, or "" when no rule matches.
    """
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        text = _exit_codes(rule, number, pod) or _conditions(rule, number, pod)
        if text:
            return str(rule.get("action")), text
    return "", ""


def _exit_codes(rule: Mapping[str, Any], number: int, pod: Resource) -> str:
    wanted = rule.get("onExitCodes")
    if not wanted:
        return ""
    status = pod.get("status") or {}
    for entry in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        ended = (entry.get("state") or {}).get("terminated")
        if not ended or not ended.get("exitCode"):
            continue
        if wanted.get("containerName") not in {None, entry.get("name")}:
            continue
        inside = ended["exitCode"] in (wanted.get("values") or ())
        if inside == (wanted.get("operator") == "In"):
            meta = pod["metadata"]
            return (
                f"Container {entry.get('name')} for pod {meta.get('namespace', '')}/{meta['name']} failed with exit "
                f"code {ended['exitCode']} matching {rule.get('action')} rule at index {number}"
            )
    return ""


def _conditions(rule: Mapping[str, Any], number: int, pod: Resource) -> str:
    for pattern in rule.get("onPodConditions") or ():
        for condition in (pod.get("status") or {}).get("conditions") or ():
            wanted = pattern.get("status") or "True"
            if (condition.get("type"), condition.get("status")) == (pattern.get("type"), wanted):
                meta = pod["metadata"]
                return (
                    f"Pod {meta.get('namespace', '')}/{meta['name']} has condition {pattern['type']} matching "
                    f"{rule.get('action')} rule at index {number}"
                )
    return ""


def met(job: Resource, succeeded: set[int]) -> Verdict | None:
    """Return which rule of the success policy the succeeded indexes fulfil, if any."""
    completions = int(job["spec"].get("completions") or 0)
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        wanted = (
            indexes.read(rule.get("succeededIndexes"), completions) if rule.get("succeededIndexes") else None
        )
        counted = succeeded if wanted is None else succeeded & wanted
        goal = rule.get("succeededCount")
        if goal is not None and len(counted) >= int(goal):
            return Verdict("SuccessPolicy", f"Matched rules at index {number}")
        if goal is None and wanted is not None and counted == wanted:
            return Verdict("SuccessPolicy", f"Matched rules at index {number}")
    return None


def over_restarts(job: Resource, active: Iterable[Resource]) -> bool:
    """Whether the containers of the active pods have together restarted too often, where restarting is their policy."""
    policy = ((job["spec"].get("template") or {}).get("spec") or {}).get("restartPolicy")
    if policy != "OnFailure":
        return False
    limit = backoff_limit(job)
    count = sum(
        int(entry.get("restartCount") or 0)
        for pod in active
        if lives.phase(pod) in {"Running", "Pending"}
        for key in ("initContainerStatuses", "containerStatuses")
        for entry in (pod.get("status") or {}).get(key) or ()
    )
    return count > 0 if limit == 0 else count >= limit


def backoff_limit(job: Resource) -> int:
    """Return backoffLimit, 6 by default, and as good as none where each index has its own limit."""
    limit = job["spec"].get("backoffLimit")
    if limit is not None:
        return int(limit)
    return 2**31 - 1 if job["spec"].get("backoffLimitPerIndex") is not None else 6


def failed_indexes(job: Resource, failed: Sequence[Resource]) -> Iterator[int]:
    """Return the indexes that have failed for good: too often, or by a FailIndex rule."""
    limit = job["spec"].get("backoffLimitPerIndex")
    if limit is None:
        return
    for pod in failed:
        index = indexes.of(pod)
        if index is None:
            continue
        action, _ = judge(job, pod)
        if action == "FailIndex" or (action != "Ignore" and indexes.failures(pod) >= int(limit)):
            yield index
