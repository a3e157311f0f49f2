"""Which of the names that exist was probably meant by one that does not.

Soundness over reach: where two candidates are equally near, none is returned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SPLIT = re.compile(r"[-_./:]+")


def distance(one: str, other: str, limit: int = 4) -> int:
    """Return the edits between two strings (insert, delete, replace, swap neighbours), or limit + 1 if there are more."""
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    before: list[int] = []
    previous = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        row = [i]
        for j, right in enumerate(other, 1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, previous = previous, row
    return min(previous[-1], limit + 1)


def slip(wrong: str, right: str) -> int | None:
    """Return how far `wrong` is from `right` if it may be a slip of the pen for it, else None; 0 is the nearest.

    A slip is a difference in case or separators only, or one edit in a name of three or more letters, two from
    six on, three from twelve on. Names that differ in nothing but a number are not a slip: `db-1` and `db-2` are two.
    """
    if wrong == right:
        return 0
    if _SPLIT.sub("", wrong).lower() == _SPLIT.sub("", right).lower():
        return 1
    if _digitless(wrong) == _digitless(right):
        return None
    shorter = min(len(wrong), len(right))
    allowed = 3 if shorter >= 12 else 2 if shorter >= 6 else 1 if shorter >= 3 else 0
    edits = distance(wrong.lower(), right.lower(), allowed)
    return edits + 1 if edits <= allowed else None


def _digitless(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def related(wrong: str, right: str) -> int | None:
    """Like `slip`, but names where one has all the words of the other (`api-config`, `shop-api-config`) count too."""
    near = slip(wrong, right)
    if near is not None:
        return near
    mine, theirs = set(_SPLIT.split(wrong.lower())), set(_SPLIT.split(right.lower()))
    if mine and theirs and (mine < theirs or theirs < mine) and len(mine ^ theirs) == 1:
        return 10
    return None


def renamed(wrong: str, candidates: Iterable[str]) -> str | None:
    """Return the one candidate that the name may have been changed into: they begin alike for most of their length (`CURRENCY`, `CURRENCIES`)."""
    found = [name for name in set(candidates) if name != wrong and _alike(wrong.lower(), name.lower())]
    return found[0] if len(found) == 1 else None


def _alike(one: str, other: str) -> bool:
    if _digitless(one) == _digitless(other):
        return False
    shared = next(
        (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right),
        min(len(one), len(other)),
    )
    return shared >= 4 and shared >= 0.6 * min(len(one), len(other))


def nearest(wrong: str, candidates: Iterable[str], *, loose: bool = False) -> str | None:
    """Return the one candidate that is nearest, or None if none is near or several are equally so."""
    judge = related if loose else slip
    ranked = sorted(
        (near, name) for name in set(candidates) if name != wrong and (near := judge(wrong, name)) is not None
    )
    if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
        return None
    return ranked[0][1]
