"""Whatever stands in a document of policies in CEL, reading it never raises: each part in turn is replaced by something odd."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.dialects import admissionpolicies
from fairlead.dialects.kyverno import celpolicies
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Target

HERE = Path(__file__).parent
FOLDERS: dict[str, tuple[Any, Path]] = {
    "admissionpolicies": (admissionpolicies, HERE / "admissionpolicies" / "cases"),
    "celpolicies": (celpolicies, HERE / "kyverno" / "celcases"),
}
ODD: list[Any] = ["x", 7, [1], {"a": [{}]}, [{"name": 1}]]
POD = Target("", "v1", "Pod", "pods")


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*place, key))


def replaced(document: Any, place: tuple[Any, ...], odd: Any) -> Any:
    copy = deepcopy(document)
    holder = copy
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = odd
    return copy


def one_of_each_shape(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield documents that have a place which none before them had."""
    seen: set[tuple[Any, ...]] = set()
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.safe_load(path.read_text())["policies"]:
            shape = {(document["kind"], *place) for place in places(document)}
            if not shape <= seen:
                seen |= shape
                yield document


@pytest.mark.parametrize("name", FOLDERS)
def test_reading_never_raises(name: str) -> None:
    module, folder = FOLDERS[name]
    read = 0
    for document in one_of_each_shape(folder):
        group = document["apiVersion"].partition("/")[0]
        reader = module.READS[group, document["kind"]]
        for place in places(document):
            if place in {(), ("kind",), ("apiVersion",)}:
                continue
            for odd in ODD:
                models, _ = reader(Source(replaced(document, place, odd)))
                for policy in module.assemble(models).policies:
                    assert all(isinstance(rule.concerns(POD), bool) for rule in policy.rules)
                read += 1
    assert read > 1000
