"""Renders charts beside Helm itself: `python tools/conformance/helm.py FOLDER [--helm BINARY] [--values N] [--misses]`.

Every chart below the folder is rendered with its defaults, with every switch on, and with N of its values changed one at a time; the
objects, hooks included, have to be Helm's, in Helm's order, and where Helm refuses this has to refuse too. What differs between two
runs of Helm (passwords, keys, dates) is not compared. Without a helm binary everything counts as skipped.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conformance import Rates
from fairlead.reactor.rendering import render_source
from fairlead.reactor.rendering_loading import load_source
from fairlead.render.packages import Capabilities, Context, Layer, Mistaken
from fairlead.tongues import yamls
from fairlead.tongues.gotemplate.encoding import read_yaml
from fairlead.words import Resource

VERSION = "v1.32.0"
ANYTHING = "(differs from run to run)"


def charts(folder: Path) -> list[Path]:
    """Return the charts below a folder that are in no other chart."""
    found = sorted(path.parent for path in folder.rglob("Chart.yaml"))
    return [one for one in found if not any(other in one.parents for other in found)]


def variations(chart: Path, count: int) -> Iterator[tuple[str, str]]:
    """Yield a name and a values file: nothing, everything that is false made true, and single values changed."""
    yield "defaults", ""
    values = chart / "values.yaml"
    try:
        defaults = read_yaml(values.read_text()) if values.is_file() else None
    except yamls.BadYaml:
        return
    if not isinstance(defaults, dict):
        return
    leaves = list(_leaves(defaults, ()))
    random.Random(5).shuffle(leaves)  # the same ones each time
    yield "everything on", yamls.dump(_on(defaults))
    for path, value in leaves[:count]:
        made: Any = _other(value)
        for name in reversed(path):
            made = {name: made}
        yield ".".join(path), yamls.dump(made)


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif path:
        yield path, value


def _on(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _on(item) for key, item in value.items()}
    return True if value is False else value


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return "" if value else "text"
        case list():
            return [] if value else ["one", "two"]
        case dict():
            return {"key": "value", "number": 3}
    return "some"


def helms(helm: str, chart: Path, values: str) -> list[Resource] | str:
    """Return what Helm renders, or its error."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(values)
        file.flush()
        command = [
            helm,
            "template",
            "rel",
            str(chart),
            "--include-crds",
            "--kube-version",
            VERSION,
            "-f",
            file.name,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        return done.stderr.strip()
    found: list[Resource] = []
    for document in re.split(r"^---.*$", done.stdout, flags=re.MULTILINE):
        read = read_yaml(document)
        if isinstance(read, dict):
            found += read["items"] if read.get("kind") == "List" else [read]
    return found


def ours(chart: Path, values: str) -> list[Resource] | str:
    """Return what is rendered here, in the order in which Helm prints it, or the error."""
    try:
        rendered = render_source(
            load_source(str(chart)),
            (Layer("values.yaml", values),),
            Context("rel", capabilities=Capabilities(VERSION)),
            worker=False,
        )
    except Mistaken as fault:
        return str(fault)
    staying = [item for stage in rendered.stages if not stage.one_off for item in stage.objects]
    hooks = {id(item): item for stage in rendered.stages if stage.one_off for item in stage.objects}
    return staying + list(hooks.values())


def masked(first: Any, second: Any, other: Any) -> tuple[Any, Any]:
    """Return the first and the other with what differs between the first and the second made equal."""
    if isinstance(first, dict) and isinstance(second, dict) and isinstance(other, dict):
        pairs = {key: masked(item, second.get(key), other.get(key)) for key, item in first.items()}
        mine = {key: pair[1] for key, pair in pairs.items() if key in other}
        return {key: pair[0] for key, pair in pairs.items()}, {**other, **mine}
    if isinstance(first, list) and isinstance(second, list) and isinstance(other, list):
        if len(first) == len(second) == len(other):
            both = [masked(*items) for items in zip(first, second, other, strict=True)]
            return [pair[0] for pair in both], [pair[1] for pair in both]
        return first, other
    return (first, other) if first == second or other is None else (ANYTHING, ANYTHING)


def _sorted(objects: list[Resource]) -> list[Resource]:
    """Hooks are printed in an order of Helm's own, which is not that in which they run."""
    hooks = [
        item for item in objects if "helm.sh/hook" in ((item.get("metadata") or {}).get("annotations") or {})
    ]
    staying = [item for item in objects if item not in hooks]
    return staying + sorted(hooks, key=lambda item: (item["kind"], item["metadata"].get("name", "")[:40]))


def compare(helm: str, chart: Path, values: str) -> str:
    """Return how the two differ, or nothing."""
    wanted, found = helms(helm, chart, values), ours(chart, values)
    if isinstance(wanted, str) or isinstance(found, str):
        if isinstance(wanted, str) and isinstance(found, str):
            return ""
        return f"got {_short(found)}, want {_short(wanted)}"
    again = helms(helm, chart, values)
    assert not isinstance(again, str)
    left, right = masked(_sorted(wanted), _sorted(again), _sorted(found))
    if left == right:
        return ""
    names = [
        f"{item.get('kind')} {(item.get('metadata') or {}).get('name')}" for item in left if item not in right
    ]
    return f"{len(found)} objects for {len(wanted)}; other than here: {', '.join(names[:5])}"


def _short(result: list[Resource] | str) -> str:
    return result[:300] if isinstance(result, str) else f"{len(result)} objects"


def run(corpus: Path, helm: str = "", count: int = 10) -> Rates:
    """Render every chart below a folder."""
    rates = Rates("helm")
    binary = helm or shutil.which("helm") or ""
    for chart in charts(corpus):
        if not binary:
            rates.skipped[str(chart)] = "there is no helm here"
            continue
        for name, values in variations(chart, count):
            wrong = compare(binary, chart, values)
            if wrong:
                rates.missed[f"{chart.relative_to(corpus)}: {name}"] = wrong
            else:
                rates.passed += 1
    return rates


def main() -> int:
    """Render the charts of a folder both ways and say how many agree."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("folder", type=Path)
    top.add_argument(
        "--helm", default="", help="the helm to hold this against (default: the one on the path)"
    )
    top.add_argument(
        "--values", type=int, default=10, help="how many single values are changed in each chart"
    )
    top.add_argument("--misses", action="store_true", help="tell each case that differs")
    args = top.parse_args()
    rates = run(args.folder, args.helm, args.values)
    print(f"{rates.passed} of {rates.total} alike, {len(rates.skipped)} skipped")
    for name, wrong in rates.missed.items() if args.misses else ():
        print(f"    {name}: {wrong}")
    return int(rates.rate < 1)


if __name__ == "__main__":
    sys.exit(main())
