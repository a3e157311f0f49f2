"""Any object that can be decoded can be defaulted and judged: no rule may stumble over what is missing or odd."""

import copy
import random
from typing import Any

import pytest

from fairlead.drivers import definitions
from fairlead.keep.defaulting import default
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import BUILT_IN, Kind
from fairlead.keep.nodes import Node
from fairlead.keep.schemas import Schemas
from fairlead.keep.validating import validate

SCHEMAS = Schemas(definitions.load())
ROUNDS = 60
WORDS = (
    "",
    "a",
    "A/b",
    "x.y.z",
    "80%",
    "Always",
    "None",
    "RollingUpdate",
    "In",
    "*",
    "10.0.0.1",
    "10.0.0.0/8",
    "é",
    "-",
)
VALUES: dict[str, tuple[Any, ...]] = {
    "string": WORDS,
    "int32": (0, 1, -1, 80, 70000, 2**31 - 1),
    "int64": (0, 1, -1, 2**40),
    "float": (0, 1.5, -2),
    "bool": (True, False),
    "bytes": ("", "eA=="),
    "quantity": ("0", "1", "-1", "100m", "1Gi", "1.5", "5n"),
    "int-or-string": (0, 80, -1, "80%", "http", ""),
    "time": ("2026-01-01T00:00:00Z",),
    "micro-time": ("2026-01-01T00:00:00.000000Z",),
}


def grown(node: Node, rng: random.Random, depth: int) -> Any:
    """Return a random value of the type; small, and smaller the deeper."""
    if node.type == "scalar":
        return rng.choice(VALUES[node.scalar])
    if node.type == "list":
        return [grown(node.items, rng, depth + 1) for _ in range(rng.choice((0, 1, 1, 2)))]
    if node.type == "map":
        return {rng.choice(("a", "cpu", "storage", "x/y", "")): grown(node.values, rng, depth + 1)}
    if node.type == "untyped":
        return rng.choice(({}, {"a": 1})) if not node.either else {"type": rng.choice(("object", "array"))}
    fields = list(node.fields.items())
    chance = min(1.0, 4 / len(fields)) if fields else 0
    share = (0.9, 0.7, 0.5)[depth] if depth < 3 else chance
    return {
        name: grown(field, rng, depth + 1)
        for name, field in fields
        if depth < 14 and rng.random() < (share if name != "status" else 0.1)
    }


@pytest.mark.parametrize(
    "kind", [one for one in BUILT_IN if one.stored], ids=lambda one: f"{one.group}-{one.version}-{one.plural}"
)
def test_any_object_is_defaulted_and_judged(kind: Kind) -> None:
    rng = random.Random(f"{kind.group}/{kind.version}/{kind.kind}")
    before: dict[str, Any] | None = None
    for _ in range(ROUNDS):
        try:
            obj, warnings = SCHEMAS.check(kind, grown(SCHEMAS.node(kind), rng, 0), "Strict")
        except Refusal as refusal:
            pytest.fail(refusal.message)
        assert warnings == []
        default(kind, obj)
        filled = copy.deepcopy(obj)
        default(kind, obj)
        assert obj == filled, "a second time changes nothing"
        for old in (None, before, copy.deepcopy(obj)):
            for cause in validate(kind, obj, old):
                assert cause.reason.startswith("FieldValue")
                assert cause.message
        assert obj == filled, "validation changes nothing"
        again, _ = SCHEMAS.check(kind, copy.deepcopy(obj), "Strict")
        default(kind, again)
        assert again == obj, "defaults have the right types"
        before = obj
