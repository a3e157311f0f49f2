"""Where a rendering goes besides the terminal: into files, one for each object, and beside what a cluster or a revision has.

A name of an object never leads out of the folder. Must never print a Secret's value in a difference.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.faces.cli.problems import Problem
from fairlead.words import Ref, Resource

if TYPE_CHECKING:
    from fairlead.reactor.rendering import Source
    from fairlead.render.packages import Rendered, Stage

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


def file_names(objects: Sequence[Resource], ending: str) -> Iterator[tuple[str, Resource]]:
    """Yield a file name for each object: kind and name, with the namespace or a number where that is not enough."""
    bases = [_part(f"{item.get('kind')}-{Ref.of(item).name}".lower()) for item in objects]
    taken: set[str] = set()
    for item, base in zip(objects, bases, strict=True):
        namespace = Ref.of(item).namespace
        name = f"{_part(namespace)}-{base}" if bases.count(base) > 1 and namespace else base
        number = 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name)
        yield f"{name}.{ending}", item


def _part(text: str) -> str:
    return _UNFIT.sub("-", text).strip(".-")[:200] or "object"


def write(chosen: Sequence[Stage], folder: str, *, json: bool = False) -> list[str]:
    """Write each object to a file of its own; several stages get folders of their own, in order. Return the paths. Raises Problem."""
    import orjson

    from fairlead.drivers.replacing import replace
    from fairlead.tongues import yamls

    root = Path(folder)
    written = []
    try:
        for number, stage in enumerate(chosen, 1):
            place = root / f"{number:02}-{_part(stage.name)}" if len(chosen) > 1 else root
            place.mkdir(parents=True, exist_ok=True)
            for name, item in file_names(stage.objects, "json" if json else "yaml"):
                body = (
                    orjson.dumps(item, option=orjson.OPT_INDENT_2) + b"\n"
                    if json
                    else yamls.dump(item).encode()
                )
                private = item.get("kind") == "Secret"
                replace(place / name, lambda file, body=body: file.write(body), private=private)  # type: ignore[misc]
                written.append(str(place / name))
    except OSError as error:
        raise Problem(f"{error.filename or folder}: {error.strerror}") from error
    return written


async def diff(args: argparse.Namespace, source: Source, rendered: Rendered) -> int:
    """Print how the rendering differs from the cluster (asked by dry runs) or from a revision. Return 1 where it does."""
    from fairlead.faces.cli.sources import default_name

    against, _, number = args.diff.partition(":")
    if against not in {"cluster", "revision"} or (number and not number.isdigit()):
        raise Problem(f"--diff {args.diff}: it is cluster, revision or revision:N", code=2)
    name = args.name or default_name(source)
    if against == "revision":
        return await _from_revision(args, name, int(number or 0), rendered)
    from fairlead.faces.cli.converging import cluster_of, converger, instance, plan_lines
    from fairlead.faces.cli.pens import Pen
    from fairlead.reactor.converging import Options, Told
    from fairlead.reactor.converging_rendered import desired

    async with cluster_of(args) as cluster:
        worker = converger(args, cluster, Told())
        wanted = desired(rendered, instance(args, cluster, name), source=source.where, digest=source.digest)
        drafted = await worker.plan(wanted, Options(dry_run=True, create_namespace=True))
    lines = plan_lines(drafted.plan, Pen(), differences=True)
    print("\n".join(lines) or f"{wanted.instance}: nothing differs")
    return int(not drafted.plan.idle or bool(drafted.plan.blocked))


async def _from_revision(args: argparse.Namespace, name: str, number: int, rendered: Rendered) -> int:
    from fairlead.faces.cli.converging import cluster_of, converger, instance
    from fairlead.reactor import converging_records as records
    from fairlead.reactor.converging import Told
    from fairlead.reactor.converging_planning import ready
    from fairlead.reactor.converging_rendered import desired

    async with cluster_of(args) as cluster:
        worker = converger(args, cluster, Told())
        who = instance(args, cluster, name)
        if number == 0:
            found, _ = await records.last(worker.requests, who)
            if found is None:
                raise Problem(f"there is no instance {who}", "fairlead list tells which there are", code=2)
        else:
            found = await records.read(worker.requests, who, number)
        record = await records.opened(worker.requests, found)
        now = await ready(worker.requests, desired(rendered, who))
    before = [item for stage in record.stages if not stage.one_off for item in stage.objects]
    after = [item for stage in now.stages if not stage.one_off for item in stage.objects]
    lines = differences(before, after, f"revision {record.number}", "rendered")
    print("\n".join(lines) or f"{who}: nothing differs from revision {record.number}")
    return int(bool(lines))


def differences(before: Sequence[Resource], after: Sequence[Resource], old: str, new: str) -> list[str]:
    """Return how two sets of objects differ, as unified diffs of their YAML, without the values of Secrets."""
    from fairlead.converge.differing import masked, masked_pair
    from fairlead.diagnose.hiding import visible
    from fairlead.tongues import yamls

    was, will = ({Ref.of(item): item for item in items} for items in (before, after))
    lines: list[str] = []
    for ref in dict.fromkeys([*will, *was]):
        left, right = was.get(ref), will.get(ref)
        if left == right:
            continue
        if left is not None and right is not None:
            left, right = masked_pair(left, right)
        else:
            left, right = (masked(one) if one is not None else None for one in (left, right))
        a, b = (yamls.dump(one).splitlines() if one is not None else [] for one in (left, right))
        found = list(difflib.unified_diff(a, b, f"{ref} ({old})", f"{ref} ({new})", lineterm=""))
        lines += [visible(line) for line in found]
    return lines
