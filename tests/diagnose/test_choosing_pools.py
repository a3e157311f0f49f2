"""A pool of selectors finds what asking each selector in turn would find."""

from __future__ import annotations

import random
from typing import Any

from fairlead.diagnose.choosing import Pool, reads

KEYS, VALUES = ("app", "tier", "zone"), ("a", "b", "c")


def selector(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.5:
        found["matchLabels"] = {rng.choice(KEYS): rng.choice(VALUES) for _ in range(rng.randrange(3))}
    if rng.random() < 0.7:
        found["matchExpressions"] = [
            {"key": rng.choice(KEYS), "operator": operator}
            | ({"values": rng.sample(VALUES, rng.randrange(1, 3))} if operator in {"In", "NotIn"} else {})
            for operator in rng.sample(("In", "NotIn", "Exists", "DoesNotExist"), rng.randrange(3))
        ]
    return found


def test_a_pool_finds_what_each_selector_alone_would() -> None:
    rng = random.Random(7)
    for _ in range(200):
        exprs = [(expr, place) for place in range(12) if (expr := reads(selector(rng))) is not None]
        pool = Pool(exprs)
        for _ in range(10):
            has = {key: rng.choice(VALUES) for key in KEYS if rng.random() < 0.6}
            assert sorted(pool.over(has)) == [place for expr, place in exprs if expr.matches(has)], has


def test_what_is_no_selector_chooses_nothing() -> None:
    assert reads(None) is None
    assert reads("app=web") is None
    assert reads({"matchExpressions": [{"key": "app", "operator": "Resembles", "values": ["web"]}]}) is None
    assert not Pool[int]([])
