"""The indexes of an Indexed Job: which are done, which have failed, which come next, and how they are written.

Source: k8s.io/kubernetes/pkg/controller/job/indexed_job_utils.go. Sets of numbers in, sets and texts out.
"""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.orchestrate import owning
from fairlead.words import Resource

ANNOTATION = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"


def write(indexes: Iterable[int]) -> str:
    """Return `1,3-5,7` for a set of indexes; two neighbours are written `1,2`."""
    parts: list[str] = []
    run: list[int] = []

    def end() -> None:
        if len(run) > 2:
            parts.append(f"{run[0]}-{run[-1]}")
        else:
            parts.extend(map(str, run))

    for index in sorted(set(indexes)):
        if run and index != run[-1] + 1:
            end()
            run = []
        run.append(index)
    end()
    return ",".join(parts)


def read(text: str | None, completions: int) -> set[int]:
    """Return the set that a text such as `1,3-5` stands for; what is unreadable or beyond the completions is left out."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            continue
        found.update(range(int(first), min(int(last) if dash else int(first), completions - 1) + 1))
    return {index for index in found if index < completions}


def of(pod: Resource) -> int | None:
    """Return the index that a pod works on."""
    meta = pod["metadata"]
    text = (meta.get("annotations") or {}).get(ANNOTATION) or owning.labels(pod).get(ANNOTATION) or ""
    return int(text) if text.isdecimal() else None


def failures(pod: Resource) -> int:
    """Return how often the pod's index had failed when the pod was made."""
    text = (pod["metadata"].get("annotations") or {}).get(FAILURES) or ""
    return int(text) if text.isdecimal() else 0


def pending(count: int, completions: int, taken: set[int]) -> list[int]:
    """Return the first `count` indexes that are not taken."""
    found: list[int] = []
    for index in range(completions):
        if len(found) == count:
            break
        if index not in taken:
            found.append(index)
    return found
