"""Applying 1,000 objects to a control plane of its own: `python benchmarks/converge.py [OBJECTS]`.

Ours is one plan with bounded parallel requests; the peer is `kubectl apply --server-side` with the same objects on the same control plane.
Each is measured as a whole process: the first apply, the same again without a change, and again with one object in ten changed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 1000
SHARE = 10
"""One object in so many is changed."""


def objects(size: int, changed: bool, namespace: str) -> str:
    """Return a List of ConfigMaps, Services and Deployments of one namespace."""
    items = []
    for index in range(size):
        name = f"web-{index}"
        value = "new" if changed and index % SHARE == 0 else "old"
        meta = {"name": name, "namespace": namespace, "labels": {"app": name}}
        if index % 3 == 0:
            items.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": value}})
        elif index % 3 == 1:
            spec = {"ports": [{"port": 80}], "selector": {"app": name, "value": value}}
            items.append({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
        else:
            container = {
                "name": "web",
                "image": "registry.example/app:1",
                "env": [{"name": "A", "value": value}],
            }
            template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
            spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
            items.append({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


@contextmanager
def control_plane(folder: Path) -> Iterator[Path]:
    """Run a control plane alone; give its kubeconfig."""
    words = [
        sys.executable,
        "-m",
        "fairlead.faces.kube",
        "--data-dir",
        str(folder),
        "--port",
        "0",
        "--no-audit",
    ]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (folder / "run" / "control-plane.json").exists():
            if process.poll() is not None:
                sys.exit("the control plane did not start")
            time.sleep(0.05)
        yield folder / "kubeconfig"
    finally:
        process.terminate()
        process.wait(30)


def timed(words: list[str]) -> float:
    """Return the seconds of a process, which must end well."""
    begun = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{words}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return time.perf_counter() - begun


def main() -> int:
    """Print the table."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE
    kubectl = shutil.which("kubectl") or str(Path(sys.executable).parent / "kubectl")
    print(f"# Applying {size} objects, whole processes, seconds\n")
    with tempfile.TemporaryDirectory() as name, control_plane(Path(name) / "data") as config:
        files = {}
        for space in ("ours", "theirs"):
            timed([kubectl, "--kubeconfig", str(config), "create", "namespace", space])
            for changed in (False, True):
                files[space, changed] = Path(name) / f"{space}-{changed}.json"
                files[space, changed].write_text(objects(size, changed, space))
        ours = [sys.executable, "-m", "fairlead.faces.cli.main", "apply", "--kubeconfig", str(config)]
        ours += ["-n", "ours", "--name", "many", "--no-wait", "--yes"]
        theirs = [kubectl, "--kubeconfig", str(config), "apply", "--server-side", "-f"]
        print(f"{'':<28}{'fairlead apply':>15}{'kubectl apply':>15}{'ratio':>8}")
        for what, changed in (
            ("first", False),
            ("no change", False),
            ("one in ten changed", True),
            ("no change", True),
        ):
            mine = timed([*ours, str(files["ours", changed])])
            peer = timed([*theirs, str(files["theirs", changed])])
            print(f"{what:<28}{mine:>15.2f}{peer:>15.2f}{mine / peer:>8.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
