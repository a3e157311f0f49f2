"""Mends an object: what mutating rules would change, and values that are known to satisfy a failed rule.

A remedy is kept only when the rule then passes and no rule that passed before fails. Decides nothing about files.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fairlead.judge.judging import judge, mutate
from fairlead.judge.policies import Book, Judged
from fairlead.judge.remedies import attempts
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues.paths import Path
from fairlead.words import Resource

_ROUNDS = 20


@dataclass(slots=True)
class Mended:
    """The object as far as it could be mended, the rules that did it, and what is left to a person."""

    object: Resource
    by: list[str] = field(default_factory=list)
    left: list[Judged] = field(default_factory=list)


def mend(subject: Subject, book: Book, around: Surroundings) -> Mended:
    """Return the subject's object mended. Raises Lacking."""
    if subject.object is None:
        return Mended({})
    subject, said = mutate(subject, book, around)
    by = [_name(one) for one in said if one.outcome.object is not None]
    failed = _failed(judge(subject, book, around))
    for _ in range(_ROUNDS):
        for one in failed.values():
            better = _try(subject, one, failed, book, around)
            if better is not None:
                subject, failed = better
                by.append(_name(one))
                break
        else:
            break
    assert subject.object is not None
    return Mended(subject.object, list(dict.fromkeys(by)), list(failed.values()))


def _name(one: Judged) -> str:
    return f"{one.policy.name}/{one.rule.name}" if one.rule.name else one.policy.name


def _failed(outcomes: Iterable[Judged]) -> dict[tuple[str, str, str, tuple[str, ...]], Judged]:
    return {
        (one.policy.name, one.rule.name, one.outcome.message, one.outcome.told()[0]): one
        for one in outcomes
        if one.outcome.result == "fail"
    }


def _try(
    subject: Subject, one: Judged, failed: dict[Any, Judged], book: Book, around: Surroundings
) -> tuple[Subject, dict[Any, Judged]] | None:
    """Return the subject with one outcome's remedies, and what fails then, if that is better than before."""
    assert subject.object is not None
    for remedies in attempts(subject.object, one.outcome):
        changed = copy.deepcopy(subject.object)
        if not all(put(changed, path, value) for path, value in remedies):
            continue
        candidate = subject.become(changed or {})
        after = _failed(judge(candidate, book, around))
        rules = {key[:2] for key in failed}
        if len(after) < len(failed) and {key[:2] for key in after} <= rules:
            return candidate, after
    return None


def put(content: Any, path: Path, value: Any) -> bool:
    """Put a value at a path in an object, making the mappings on the way; False where something else is in the way."""
    for step, following in itertools.pairwise(path):
        if isinstance(step, int):
            if not isinstance(content, list) or step >= len(content):
                return False
            content = content[step]
        else:
            if not isinstance(content, dict):
                return False
            if content.get(step) is None:
                if isinstance(following, int):
                    return False
                content[step] = {}
            content = content[step]
    last = path[-1]
    if isinstance(last, int):
        if not isinstance(content, list) or last >= len(content):
            return False
    elif not isinstance(content, dict):
        return False
    content[last] = copy.deepcopy(value)
    return True
