"""How fast a cluster is diagnosed: `python benchmarks/diagnose.py [SIZE ...]`.

For each size a cluster is made from a seed (tools/clusters.py), once healthy and once with a fault in every twentieth Deployment, and written down as the
pages of its lists. A process of its own then examines it through the ordinary client, whose transport answers from those pages: decoding counts,
sockets do not. After that the same objects are put into an examination that goes on, and single changes are timed, each a second after the last.
Limits stand beside what they limit.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tools")]

SIZES = (1_000, 10_000, 50_000)
PAGE = 500
CHANGES = 200
SECONDS_AT_10000 = 3.0
UPDATE_MS_AT_10000 = 20.0
GROWTH = 1.25
"""What an object may cost more at the largest size than at 10,000 for growth to be called linear: noise of the machine."""


def prepare(size: int, faults: float, folder: Path) -> None:
    """Write the pages of every list, and a table of where they are by their URL path."""
    import clusters

    from fairlead.keep.kinds import BUILT_IN

    plurals = {(one.api_version, one.kind): one.plural for one in BUILT_IN}
    lists: dict[str, list[Any]] = {}
    groups = {one.api_version for one in BUILT_IN if one.group}
    objects = clusters.generate(size, 7, faults=faults)
    for one in objects:
        if one["kind"] == "CustomResourceDefinition":
            spec = one["spec"]
            plurals[f"{spec['group']}/v1", spec["names"]["kind"]] = spec["names"]["plural"]
            groups.add(f"{spec['group']}/v1")
    for one in objects:
        version = one["apiVersion"]
        path = (
            f"{f'/apis/{version}' if '/' in version else f'/api/{version}'}/{plurals[version, one['kind']]}"
        )
        lists.setdefault(path, []).append(one)
    table: dict[str, list[str]] = {}
    for path, items in lists.items():
        for start in range(0, len(items), PAGE):
            more = str(start + PAGE) if start + PAGE < len(items) else ""
            file = folder / f"{len(table)}-{start}.json"
            file.write_text(
                json.dumps(
                    {
                        "metadata": {"resourceVersion": "9", "continue": more},
                        "items": items[start : start + PAGE],
                    }
                )
            )
            table.setdefault(path, []).append(str(file))
    known = sorted(
        f"{f'/apis/{version}' if '/' in version else f'/api/{version}'}/{plural}"
        for (version, _), plural in plurals.items()
    )
    (folder / "table.json").write_text(json.dumps({"table": table, "groups": sorted(groups), "known": known}))


def measure(folder: Path) -> None:
    """Examine what the folder holds, time single changes, and print what it took as JSON."""
    import httpx

    from fairlead.drivers.cluster import Access, AsyncCluster
    from fairlead.reactor.examine import examine_cluster

    described = json.loads((folder / "table.json").read_text())
    table, known = described["table"], set(described["known"])
    calls: Counter[str] = Counter()

    def serve(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/apis":
            calls["discovery"] += 1
            versions = [{"versions": [{"groupVersion": one}]} for one in described["groups"]]
            return httpx.Response(200, json={"groups": versions})
        if path.endswith("/log"):
            calls["logs"] += 1
            return httpx.Response(200, text="ERROR cannot go on\n")
        if path not in known:
            calls["refused"] += 1
            return httpx.Response(404, json={"kind": "Status", "code": 404, "message": "not found"})
        start = request.url.params.get("continue")
        calls["pages" if start else "lists"] += 1
        files = table.get(path)
        if not files:
            return httpx.Response(200, json={"metadata": {"resourceVersion": "9"}, "items": []})
        return httpx.Response(200, content=Path(files[int(start or 0) // PAGE]).read_bytes())

    async def examine() -> Any:
        cluster = AsyncCluster(Access(server="http://cluster.invalid"))
        await cluster.close()
        client = httpx.AsyncClient(base_url="http://cluster.invalid", transport=httpx.MockTransport(serve))
        cluster._http = client  # noqa: SLF001
        async with cluster:
            return await examine_cluster(cluster, lambda: clusters.NOW)

    import clusters

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    examined = asyncio.run(examine())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    found = {
        "objects": len(examined.view),
        "findings": len(examined.findings),
        "cpu": cpu,
        "wall": wall,
        "before": before * unit,
        "peak": peak * unit,
        "calls": calls,
    }
    found |= _changes(list(examined.view))
    found["lasting"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps(found))


def _changes(objects: list[Any]) -> dict[str, float]:
    import clusters

    from fairlead.diagnose.examining import Examination

    going = Examination()
    cpu = time.process_time()
    going.update(objects, now=clusters.NOW)
    first = time.process_time() - cpu
    gc.collect()
    gc.freeze()
    rng, now, times, asked = random.Random(3), clusters.NOW, [], []
    for number in range(CHANGES + 10):
        one = copy.deepcopy(rng.choice(objects))
        one["metadata"]["resourceVersion"] = f"{number + 10**6}"
        for status in (one.get("status") or {}).get("containerStatuses") or ():
            status["restartCount"] += 1
        now += timedelta(seconds=1)
        began = time.process_time()
        going.update([one], now=now)
        times.append((time.process_time() - began) * 1000)
        asked.append(going.asked)
    times, asked = sorted(times[10:]), asked[10:]
    return {
        "first": first,
        "median": statistics.median(times),
        "p95": times[int(len(times) * 0.95)],
        "worst": times[-1],
        "asked": statistics.median(asked),
    }


def run(size: int, faults: float) -> dict[str, Any]:
    """Return what one size took, measured in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        for step in ("prepare", "measure"):
            command = [sys.executable, str(HERE / "diagnose.py"), f"--{step}", str(size), str(faults), name]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode:
                sys.exit(ran.stderr)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def main() -> int:
    """Print the table; exit code 1 where a limit does not hold."""
    if len(sys.argv) > 4 and sys.argv[1] in {"--prepare", "--measure"}:
        folder = Path(sys.argv[4])
        if sys.argv[1] == "--prepare":
            prepare(int(sys.argv[2]), float(sys.argv[3]), folder)
        else:
            measure(folder)
        return 0
    sizes = [int(one) for one in sys.argv[1:]] or list(SIZES)
    print("# Diagnosis of a whole cluster, through the client, in one process\n")
    print(
        "objects  cluster      CPU s  us/object  peak MB  bytes/object  lists  pages  other calls  findings"
    )
    rows: dict[tuple[int, float], dict[str, Any]] = {}
    for size in sizes:
        for faults in (0.0, 0.05):
            row = rows[size, faults] = run(size, faults)
            calls = row["calls"]
            more = sum(count for name, count in calls.items() if name not in {"lists", "pages"})
            print(
                f"{row['objects']:>7}  {'with faults' if faults else 'healthy':<11}  {row['cpu']:>5.2f}  {row['cpu'] / size * 1e6:>9.0f}"
                f"  {row['peak'] / 1e6:>7.0f}  {(row['peak'] - row['before']) / size:>12.0f}  {calls.get('lists', 0):>5}"
                f"  {calls.get('pages', 0):>5}  {more:>11}  {row['findings']:>8}",
                flush=True,
            )
    print("\n# One change, in an examination that goes on (CPU)\n")
    print("objects  cluster      first s  median ms  95% ms  worst ms  objects asked  bytes/object")
    for (size, faults), row in rows.items():
        print(
            f"{row['objects']:>7}  {'with faults' if faults else 'healthy':<11}  {row['first']:>7.2f}  {row['median']:>9.2f}"
            f"  {row['p95']:>6.1f}  {row['worst']:>8.1f}  {row['asked']:>13.0f}  {(row['lasting'] - row['before']) / size:>12.0f}"
        )
    return _limits(rows)


def _limits(rows: dict[tuple[int, float], dict[str, Any]]) -> int:
    print("\n# Limits\n")
    failed = False
    for (size, faults), row in rows.items():
        checks = []
        if size == 10_000:
            checks.append(("CPU seconds", row["cpu"], SECONDS_AT_10000))
            checks.append(("median ms of an update", row["median"], UPDATE_MS_AT_10000))
        base = rows.get((10_000, faults))
        if size > 10_000 and base is not None:
            checks.append(
                ("cost of an object against 10,000", row["cpu"] / size / (base["cpu"] / 10_000), GROWTH)
            )
        for what, value, limit in checks:
            good = value <= limit
            failed = failed or not good
            kind = "with faults" if faults else "healthy"
            print(f"{'ok ' if good else 'NOT'}  {size:>6} {kind:<11}  {what}: {value:.2f} (limit {limit:g})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
