"""The demonstration: a shop comes up with five mistakes in it; each is found, explained, tried on a copy and fixed.

Uses fairlead as its users do: the command line, and a client of the Kubernetes API. Leaves nothing behind. Where there are no
containers (not root, or not Linux) the same shop runs as Wasm, and what that leaves out is said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import wasmtime
import yaml

from fairlead.drivers import images
from fairlead.drivers.cluster import AsyncCluster
from fairlead.keep.errors import Refusal

HERE = Path(__file__).resolve().parent
SHOP = HERE / "shop"
NAMESPACE = "shop"
HEALTHY_SECONDS = 90.0
FAULTY_SECONDS = 60.0
BUSYBOX = next((path for path in (Path("/bin/busybox"), Path("/usr/bin/busybox")) if path.exists()), None)
FAIRLEAD = [sys.executable, "-m", "fairlead.faces.cli.main"]


class Failed(Exception):
    """The demonstration did not show what it promises."""


class Story:
    """Prints what happens, with the seconds that it took. Colour only on a terminal."""

    def __init__(self) -> None:
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.begun = time.monotonic()
        self.timings: dict[str, float] = {}
        self._title = ""
        self._since = 0.0

    def paint(self, text: str, code: str) -> str:
        """Return the text in a colour."""
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def step(self, title: str) -> None:
        """Begin a step."""
        self._title, self._since = title, time.monotonic()
        print(self.paint(f"\n{len(self.timings) + 1}  {title}", "1"), flush=True)

    def done(self, text: str) -> None:
        """End the step with what came of it."""
        self.timings[self._title] = seconds = time.monotonic() - self._since
        print(f"   {self.paint('✓', '32')} {text} {self.paint(f'{seconds:.1f} s', '2')}", flush=True)

    def say(self, text: str, code: str = "0") -> None:
        """Print a line under the step."""
        print(f"   {self.paint(text, code)}", flush=True)


def fairlead(data: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command line. With `check`, any exit code but 0 ends the demonstration."""
    verb, *rest = arguments
    command = [*FAIRLEAD, verb, "--data-dir", str(data), *rest]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and result.returncode:
        raise Failed(
            f"`fairlead {' '.join(arguments)}` ended with {result.returncode}:\n{result.stdout}{result.stderr}"
        )
    return result


def build(folder: Path, *, wasm: bool) -> list[Path]:
    """Build the shop's images from what is on this machine. Return the archives."""
    archives = []
    for source in sorted((SHOP / "images").iterdir()):
        archive = folder / f"{source.name}.tar"
        if wasm:
            guest = SHOP / "wasm" / ("once.wat" if source.name == "migrate" else "steady.wat")
            files: images.Layer = {"/main.wasm": images.File(bytes(wasmtime.wat2wasm(guest.read_text())))}
            config = images.Config(entrypoint=("/main.wasm",))
        else:
            files = {"/start": images.File(source / "start", 0o755), **busybox()}
            config = images.Config(entrypoint=("/start",), env={"PATH": "/bin"})
        images.build_archive(archive, f"shop/{source.name}:1.0", [files], config)
        archives.append(archive)
    return archives


def busybox() -> dict[str, images.File | images.Link | images.Directory]:
    """Return the files of a tiny userland: busybox and a link for each of its programs."""
    if BUSYBOX is None:
        raise Failed(
            "there is no busybox on this machine to build images from; `make setup` as root installs it"
        )
    programs = subprocess.run(
        [str(BUSYBOX), "--list"], capture_output=True, text=True, check=True
    ).stdout.split()
    files: dict[str, images.File | images.Link | images.Directory] = {
        "/bin/busybox": images.File(BUSYBOX, 0o755)
    }
    for program in programs:
        if program != "busybox":
            files[f"/bin/{program}"] = images.Link("busybox")
    files["/tmp"] = images.Directory(0o1777)
    return files


def objects(*, wasm: bool) -> Iterator[dict[str, Any]]:
    """Yield the shop's objects; as Wasm pods, which have no network and so no Services, where that is asked for."""
    names = ("00-shop", "catalog", "api", "web", "worker", "migrate")
    for name in names:
        for item in yaml.safe_load_all((SHOP / f"{name}.yaml").read_text()):
            if wasm and item["kind"] == "Service":
                continue
            if wasm and "template" in item.get("spec", {}):
                pod = item["spec"]["template"]["spec"]
                pod["runtimeClassName"] = "wasm"
                pod.pop("volumes", None)
                for container in pod["containers"]:
                    for field in ("readinessProbe", "livenessProbe", "volumeMounts", "resources"):
                        container.pop(field, None)
            yield item


def break_it(items: Sequence[dict[str, Any]], *, wasm: bool) -> list[str]:
    """Plant the mistakes. Return a line for each."""
    planted = []
    for fault in yaml.safe_load((HERE / "faults.yaml").read_text()):
        target = next(
            (i for i in items if (i["kind"], i["metadata"]["name"]) == (fault["kind"], fault["name"])), None
        )
        try:
            for operation in fault["patch"]:
                _replace(target, operation)
        except KeyError:
            if not wasm:
                raise
            continue  # what the network would need is not there
        planted.append(f"{fault['kind']} {fault['name']}: {fault['title']}")
    return planted


def _replace(target: Any, operation: dict[str, Any]) -> None:
    """Carry out a `replace` of a JSON patch. Raises KeyError where there is nothing to replace."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    if target is None:
        raise KeyError(operation["path"])
    for part in parents:
        target = target[int(part) if isinstance(target, list) else part]
    target[last] = operation["value"]


async def apply(data: Path, items: Sequence[dict[str, Any]]) -> None:
    """Apply the objects server-side, as `kubectl apply --server-side` does."""
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        for item in items:
            meta = item["metadata"]
            await cluster.patch(
                item["apiVersion"],
                item["kind"],
                meta.get("namespace", ""),
                meta["name"],
                item,
                how="apply",
                manager="demo",
            )


def workloads(items: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return (apiVersion, kind, name) of everything that should become healthy."""
    kinds = ("Deployment", "Job", "Service")
    return [(i["apiVersion"], i["kind"], i["metadata"]["name"]) for i in items if i["kind"] in kinds]


async def health(
    cluster: AsyncCluster, wanted: Sequence[tuple[str, str, str]]
) -> dict[str, tuple[bool, str]]:
    """Return for each workload whether it is healthy, and how it stands."""
    found = {}
    for api_version, kind, name in wanted:
        if kind == "Service":
            slices, _ = await cluster.list(
                "discovery.k8s.io/v1", "EndpointSlice", NAMESPACE, labels=f"kubernetes.io/service-name={name}"
            )
            ends = [end for item in slices for end in item.get("endpoints") or ()]
            ready = [end for end in ends if end.get("conditions", {}).get("ready")]
            found[f"{kind} {name}"] = (bool(ready), f"{len(ready)} endpoints ready")
            continue
        item = await cluster.get(api_version, kind, NAMESPACE, name)
        status = item.get("status", {})
        if kind == "Job":
            found[f"{kind} {name}"] = (
                bool(status.get("succeeded")),
                "complete" if status.get("succeeded") else "waiting",
            )
        else:
            want, have = item["spec"]["replicas"], status.get("readyReplicas", 0)
            settled = status.get("observedGeneration") == item["metadata"]["generation"] and status.get(
                "updatedReplicas"
            ) == want == have == status.get("replicas")
            found[f"{kind} {name}"] = (settled, f"{have} of {want} ready")
    return found


async def until_healthy(data: Path, wanted: Sequence[tuple[str, str, str]]) -> dict[str, tuple[bool, str]]:
    """Wait until every workload is healthy; a deadline ends the demonstration with what is not."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        while True:
            state = await health(cluster, wanted)
            if all(healthy for healthy, _ in state.values()):
                return state
            if time.monotonic() > deadline:
                ill = ", ".join(f"{name} ({text})" for name, (healthy, text) in state.items() if not healthy)
                raise Failed(f"not healthy after {HEALTHY_SECONDS:.0f} s: {ill}")
            await asyncio.sleep(0.2)


def findings(data: Path) -> list[dict[str, Any]]:
    """Return what `fairlead diagnose` finds in the shop."""
    result = fairlead(data, "diagnose", "-n", NAMESPACE, "-o", "json", check=False)
    if result.returncode not in (0, 1):
        raise Failed(f"`fairlead diagnose` ended with {result.returncode}:\n{result.stderr}")
    found: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
    return found


def until_found(data: Path, count: int) -> list[dict[str, Any]]:
    """Wait until as many roots as were planted have shown themselves."""
    deadline = time.monotonic() + FAULTY_SECONDS
    while True:
        found = findings(data)
        if len(found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.3)


def tell(story: Story, data: Path, *, wasm: bool) -> dict[str, Any]:
    """Run the steps; return what happened, for the test."""
    story.step("fairlead up --detach")
    options = ["--no-containers"] if wasm else []
    lines = fairlead(
        data, "up", "--port", "0", "--detach", "--crash-backoff", "1", *options
    ).stdout.splitlines()
    for line in lines[:-1]:
        story.say(line.strip(), "2")
    story.done("a Kubernetes cluster, from nothing, in")

    story.step("images, built from what is on this machine and imported without a registry")
    archives = build(data, wasm=wasm)
    fairlead(data, "image", "import", *map(str, archives))
    story.done(f"{len(archives)} images in")

    story.step("deploy the shop, with mistakes in it")
    items = list(objects(wasm=wasm))
    planted = break_it(items, wasm=wasm)
    asyncio.run(apply(data, items))
    for line in planted:
        story.say(line, "33")
    story.done(f"{len(items)} objects applied, {len(planted)} of them wrong, in")

    story.step("fairlead diagnose")
    found = until_found(data, len(planted))
    for line in fairlead(data, "diagnose", "-n", NAMESPACE, check=False).stdout.strip().splitlines():
        story.say(line)
    if len(found) != len(planted):
        raise Failed(f"{len(planted)} mistakes were planted, and {len(found)} roots were found")
    story.done(f"{len(found)} mistakes, {len(found)} causes, in")

    story.step("fairlead fix, each tried on a copy of the cluster before it is applied")
    fixed = []
    for finding in found:
        report = json.loads(fairlead(data, "fix", finding["id"], "--apply", "--yes", "-o", "json").stdout)
        changed = [
            line
            for diff in report["diffs"]
            for line in diff.splitlines()
            if line[:1] in "+-" and line[:3] not in {"+++", "---"}
        ]
        before, after = (next((line[1:].strip() for line in changed if line[0] == sign), "") for sign in "-+")
        subject = finding["subject"]
        story.say(f"{finding['id']}  {subject['kind']} {subject['name']:<9}{before}  ->  {after}")
        steps, applied = report["trial"]["steps"], report["applied"]
        held = f"{sum(step['ok'] for step in steps)} of {len(steps)} steps of the trial held"
        story.say(f"{'':10}{held}; {applied['outcome']} {applied['seconds']:.1f} s after it was applied", "2")
        fixed.append(report)
    state = asyncio.run(until_healthy(data, workloads(items)))
    for name, (_, text) in state.items():
        story.say(f"{name:<20} {text}", "32")
    left = findings(data)
    if left:
        raise Failed(f"healthy, and yet there is a finding: {left[0]['message']}")
    story.done("every workload is healthy, and nothing is found any more, after")

    story.step("fairlead down")
    fairlead(data, "down")
    story.done("nothing is left running, in")
    return {"planted": planted, "found": found, "fixed": fixed, "health": state, "timings": story.timings}


def main() -> int:
    """Run the demonstration; exit code 0 only when all of it came true."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wasm", action="store_true", help="without containers, even where they would work")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what happened as JSON")
    args = parser.parse_args()
    story = Story()
    wasm = args.wasm or sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("containerd")
    print(story.paint("fairlead: a shop with mistakes in it, and what becomes of them", "1;36"))
    if wasm:
        why = "as asked" if args.wasm else "containers need root, Linux and containerd"
        story.say(f"without containers ({why}): the shop runs as Wasm guests, which have no network, so the")
        story.say("Services, the probes and the two mistakes that are about them are left out")
    data = Path(tempfile.mkdtemp(prefix="fairlead-demo-"))
    try:
        report = tell(story, data, wasm=wasm)
    except (Failed, Refusal) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        for log in sorted((data / "logs").glob("*.log")):
            print(f"--- the end of {log.name}\n{log.read_text(errors='replace')[-1500:]}", file=sys.stderr)
        return 1
    finally:
        fairlead(data, "down", check=False)
        shutil.rmtree(data, ignore_errors=True)
    print(story.paint(f"\nall of it in {time.monotonic() - story.begun:.1f} s", "1"))
    if args.report:
        args.report.write_text(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
