"""Runs Polaris's own cases: each check's `failure*` files must be told of by the practice or rule that means the same, no `success*` file may.

A `mutated*` file is the golden fix of the `failure*` file of the same name: the practice's remedy must make the one into the other, in effect. A
folder with a `check.yaml` is a check of somebody's own, judged as it is written.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from conformance import Rates
from fairlead.dialects import manifests
from fairlead.dialects.polaris import check_of
from fairlead.dialects.polaris.checks import judged
from fairlead.judge.practices import BY_POLARIS, faults, repaired
from fairlead.judge.reading import Source
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.practising import PAIRINGS, paired
from fairlead.words import Page, Ref, Resource, Snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def parse(path: Path) -> list[Resource]:
    """Return the documents of a file. What cannot be read is none."""
    return [one.content for one in manifests.parse(str(path), path.read_text())[0]]


def told(check: str, documents: Sequence[Resource]) -> list[str]:
    """Return what is said of the documents by whatever means the same as the check."""
    view = Snapshot(documents)
    said = [
        f"{practice.rule}: {fault.message}"
        for one in documents
        for practice, fault in faults(one, BY_POLARIS.get(check, ()), view)
    ]
    if check in PAIRINGS:
        said += [f"{one.rule}: {one.message}" for one in paired(documents, NOW, checks=(check,))]
    return said


def detected(root: Path) -> Rates:
    """Judge every `failure*` and `success*` file of every check."""
    rates = Rates("polaris")
    for folder in sorted(one for one in root.iterdir() if one.is_dir()):
        known = folder.name in BY_POLARIS or folder.name in PAIRINGS
        own = folder / "check.yaml"
        for path in sorted(folder.glob("*.yaml")):
            name = f"{folder.name}/{path.stem}"
            wanted = path.name.startswith("failure")
            if not wanted and not path.name.startswith("success"):
                continue
            if not known and not own.exists():
                rates.missed[name] = "nothing here means the same as this check"
                continue
            try:
                said = custom(own, parse(path)) if own.exists() else told(folder.name, parse(path))
            except Unsupported as error:
                rates.missed[name] = f"the check is not supported: {error}"
                continue
            if bool(said) == wanted:
                rates.passed += 1
            else:
                rates.missed[name] = (
                    "nothing was told" if wanted else f"told of, though it is fine: {'; '.join(said)}"
                )
    return rates


class Unsupported(Exception):
    """A check of somebody's own that cannot be judged; the message says why."""


def custom(path: Path, documents: Sequence[Resource]) -> list[str]:
    """Return what a check of somebody's own says of the documents. Raises Unsupported."""
    content = yaml.safe_load(path.read_text())
    check, findings = check_of(path.parent.name, Page(content), Source(content), "")
    if check is None:
        raise Unsupported("; ".join(one.message for one in findings))
    around = Surroundings(view=Snapshot(documents), now=NOW, kinds=KindNames(Catalogue()))
    said = []
    for one in documents:
        if check.concerns(Ref.of(one).group, Ref.of(one).kind):
            outcome = judged(check, subject_of(one, ""), around)
            if outcome is not None and outcome.result == "fail":
                said.append(outcome.message)
    return said


def fixed(root: Path) -> Rates:
    """Mend each `failure*` file that has a golden fix, and compare what comes of it with the fix, in effect."""
    rates = Rates("polaris-fixes")
    for path in sorted(root.glob("*/mutated*.yaml")):
        name = f"{path.parent.name}/{path.stem}"
        before = path.with_name(path.name.replace("mutated", "failure", 1))
        if not before.exists():
            rates.skipped[name] = "no failure of the same name"
            continue
        documents, wanted = parse(before), parse(path)
        view = Snapshot(documents)
        got = [repaired(one, BY_POLARIS.get(path.parent.name, ()), view)[0] for one in documents]
        if [effect(one) for one in got] == [effect(one) for one in wanted]:
            rates.passed += 1
        elif got == documents:
            rates.missed[name] = "no remedy is known that would be right"
        else:
            rates.missed[name] = "; ".join(
                f"{place}: {mine!r}, wanted {theirs!r}"
                for one, other in zip(got, wanted, strict=False)
                for place, mine, theirs in differing(effect(one), effect(other), "")
            )
    return rates


_DEFAULTS: Mapping[str, Any] = {
    "hostIPC": False,
    "hostNetwork": False,
    "hostPID": False,
    "hostPort": 0,
    "privileged": False,
    "procMount": "Default",
}
"""Fields whose value means the same as their absence."""


def effect(content: Any) -> Any:
    """Return an object without what says nothing: empty mappings and lists, nulls, defaults that are written out."""
    if isinstance(content, dict):
        made = {key: effect(value) for key, value in content.items()}
        return {
            key: value
            for key, value in made.items()
            if value not in (None, {}, []) and (key not in _DEFAULTS or value != _DEFAULTS[key])
        }
    if isinstance(content, list):
        return [effect(one) for one in content]
    return copy.copy(content)


def differing(one: Any, other: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the places where two objects differ, with what is there."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from differing(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from differing(mine, theirs, f"{path}[{index}]")
    elif one != other:
        yield path, one, other


def run(corpus: Path) -> Rates:
    """Run every case and golden fix of the corpus' folder `polaris`."""
    root = corpus / "polaris"
    found, mended = detected(root), fixed(root)
    return Rates(
        "polaris",
        found.passed + mended.passed,
        {**found.missed, **{f"fix {name}": why for name, why in mended.missed.items()}},
        {**found.skipped, **mended.skipped},
    )


if __name__ == "__main__":
    import sys

    for title, rates in (
        ("cases", detected(Path(sys.argv[1]) / "polaris")),
        ("golden fixes", fixed(Path(sys.argv[1]) / "polaris")),
    ):
        print(f"{title}: {rates.passed} of {rates.total} ({rates.rate:.1%})")
        for case, reason in rates.missed.items():
            print(f"    {case}: {reason}")
