"""Plays our own failures for real, and says what the diagnosis made of them: `tools/scenarios.py [NAME...] [--json]`.

Brings a platform up in a temporary directory (or uses --data-dir's), plays each scenario of `scenarios/`, and prints a table. A name may be
a part or a pattern. Exit code 0 when every root was found and no false one, nothing was made worse, and 85% were fixed with proof.
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from drills import FOLDER
from drills.comparing import FIXED_GOAL, SECONDS_GOAL, Result, Totals, told, totals
from drills.platforms import Failed, Platform
from drills.reading import BadScenario, Scenario, Surroundings, names, read
from drills.registries import registry
from drills.running import play

from fairlead.drivers.cluster import AsyncCluster


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="which scenarios: a part of the name or a pattern (default: all)",
    )
    top.add_argument("--folder", type=Path, default=FOLDER, help="where the scenarios are")
    top.add_argument(
        "--data-dir", type=Path, help="a platform that is up already, with the images (see --bring)"
    )
    top.add_argument(
        "--bring", action="store_true", help="import the images into the platform of --data-dir first"
    )
    top.add_argument("--jobs", type=int, default=4, metavar="N", help="so many at once (default: 4)")
    top.add_argument("--json", action="store_true", help="print JSON instead of a table")
    top.add_argument("--list", action="store_true", help="only tell which there are")
    top.add_argument("-v", "--verbose", action="store_true", help="print everything that was found, too")
    top.add_argument("-k", "--keep", action="store_true", help="leave the platform up, and say where it is")
    return top


def chosen(folder: Path, wanted: list[str]) -> list[str]:
    """Return the names that are meant."""
    every = names(folder)
    if not wanted:
        return every
    return [name for name in every if any(part in name or fnmatch.fnmatch(name, part) for part in wanted)]


def line(result: Result) -> str:
    """Return a result in a line."""
    seconds = ", ".join(f"{second:.1f}" for second in result.seconds) or "-"
    mark = "✔" if result.right and (result.fixed or not result.fixable) else "✖"
    fixed = "yes" if result.fixed else "-" if not result.fixable else "no"
    return (
        f"{mark} {result.name:<38}{f'{result.found}/{result.roots}':>6}{len(result.false):>7}{fixed:>7}"
        f"{'yes' if result.worse else '-':>7}{seconds:>12}{result.took:>8.1f}"
    )


def details(result: Result) -> list[str]:
    """Return what is not as expected, a line each."""
    said = [result.broken] if result.broken else []
    said += [f"false root: {one}" for one in result.false]
    return [f"    {one}" for one in (*said, *result.symptoms, *result.said)]


def whole(result: Result) -> list[str]:
    """Return everything that was found before the cure."""
    lines = []
    for one in result.told:
        lines += [f"    {told(one)}", f"      {one.cause}"]
        lines += [f"      | {item.kind}: {item.text}" for item in one.evidence]
        lines += [f"      so {symptom.subject}: {symptom.message}" for symptom in one.symptoms]
        lines += [f"      fix: {fix.title} {fix.risk}" for fix in one.fixes]
    return lines


def summary(whole: Totals) -> list[str]:
    """Return what it comes to, and the goals beside it."""
    share = whole.fixed / max(1, whole.scenarios)
    return [
        f"{whole.scenarios} scenarios, {whole.broken} could not be played",
        f"{whole.found} of {whole.roots} roots found, {whole.false} false roots, {whole.symptoms} symptoms or evidence not told",
        f"{whole.fixed} fixed with proof: {share:.0%} of all (goal {FIXED_GOAL:.0%}); {whole.fixable} were expected to be",
        f"{whole.worse} made worse",
        f"{whole.median} s from what Kubernetes shows to the root, median (goal {SECONDS_GOAL:g})",
    ]


async def run(
    data: Path, folder: Path, wanted: list[str], jobs: int, *, quiet: bool, verbose: bool
) -> list[Result]:
    """Play the scenarios of these names on the platform in the directory."""
    with registry() as place:
        async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
            nodes, _ = await cluster.list("v1", "Node")
            around = Surroundings(
                nodes[0]["metadata"]["name"] if nodes else "node", place, str(data / "disks")
            )
            scenarios: list[Scenario] = [read(folder, name, around) for name in wanted]

            def done(result: Result) -> None:
                if not quiet:
                    print(
                        "\n".join([line(result), *details(result), *(whole(result) if verbose else ())]),
                        flush=True,
                    )

            return await play(cluster, scenarios, jobs=jobs, done=done)


def main() -> int:
    """Play what was asked for, and print what became of it."""
    args = parser().parse_args()
    wanted = chosen(args.folder, args.names)
    if args.list:
        print("\n".join(f"{name:<40}{read(args.folder, name).title}" for name in wanted))
        return 0
    if not wanted:
        print("no such scenario; --list tells which there are", file=sys.stderr)
        return 2
    if not args.json:
        print(
            f"  {'scenario':<38}{'roots':>6}{'false':>7}{'fixed':>7}{'worse':>7}{'found in s':>12}{'took s':>8}"
        )
    temporary = Path(tempfile.mkdtemp(prefix="fairlead-scenarios-"))
    platform = Platform(args.data_dir or temporary / "data")
    try:
        if args.data_dir is None:
            platform.up()
        if args.data_dir is None or args.bring:
            platform.bring_images(temporary)
        results = asyncio.run(
            run(platform.data, args.folder, wanted, args.jobs, quiet=args.json, verbose=args.verbose)
        )
    except (Failed, BadScenario) as error:
        print(f"scenarios: {error}", file=sys.stderr)
        return 2
    finally:
        if args.data_dir is None and not args.keep:
            platform.down()
        if not args.keep:
            shutil.rmtree(temporary, ignore_errors=True)
    sums = totals(results)
    if args.json:
        document = {"totals": sums.as_json(), "scenarios": [one.as_json() for one in results]}
        print(json.dumps(document, indent=2))
    else:
        print("\n" + "\n".join(summary(sums)))
    if args.keep:
        print(f"the platform is in {platform.data}", file=sys.stderr)
    return 0 if sums.hold else 1


if __name__ == "__main__":
    sys.exit(main())
