"""What 50 policies cost the embedded control plane: added latency of a create, and an audit of 10,000 objects.

Creates are measured against the same control plane without policies, in the same run; the audit as a process of its own (its time,
and its peak memory), and as the loop of the control plane that it is by default (what it leaves to others). Policies are of four
formats, and all of them concern every pod; the pods pass. `python benchmarks/admission.py [OBJECTS]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from keep import POD, Server, fairlead

CREATES = 1000
REPORTS = "/apis/wgpolicyk8s.io/v1alpha2/policyreports?limit=1"


def policies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, document) of 50 policies (and what they need) that concern every pod."""
    pods = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    admission = "/apis/admissionregistration.k8s.io/v1"
    for n in range(20):
        pattern = {
            "spec": {"containers": [{"image": f"!*:v{n}", "=(securityContext)": {"=(privileged)": False}}]}
        }
        deny = {"conditions": {"any": [{"key": "{{ request.object.metadata.labels.app || '' }}", "operator": "Equals",
                                        "value": f"app-{n}"}]}}  # fmt: skip
        check = {"pattern": pattern} if n % 2 else {"deny": deny}
        rule = {"name": "rule", "match": pods, "validate": {"message": "no", **check}}
        spec = {"validationFailureAction": "Enforce", "rules": [rule]}
        yield "/apis/kyverno.io/v1/clusterpolicies", {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
                                                     "metadata": {"name": f"kyverno-{n}"}, "spec": spec}  # fmt: skip
    for n in range(15):
        name = f"cel-{n}"
        expression = f"object.spec.containers.all(c, !c.image.endsWith(':v{n}') && (!has(c.ports) || c.ports.all(p, p.containerPort != {n})))"
        yield f"{admission}/validatingadmissionpolicies", {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": expression}]},
        }  # fmt: skip
        yield f"{admission}/validatingadmissionpolicybindings", {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
        }  # fmt: skip
    code = """package images
violation[{"msg": msg}] {
  container := input.review.object.spec.containers[_]
  endswith(container.image, input.parameters.tag)
  msg := sprintf("container <%v> has a forbidden image <%v>", [container.name, container.image])
}
"""
    yield "/apis/templates.gatekeeper.sh/v1/constrainttemplates", {
        "apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate", "metadata": {"name": "images"},
        "spec": {"crd": {"spec": {"names": {"kind": "Images"}}},
                 "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": code}]},
    }  # fmt: skip
    for n in range(10):
        yield "/apis/constraints.gatekeeper.sh/v1beta1/images", {
            "apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "Images", "metadata": {"name": f"images-{n}"},
            "spec": {"match": {"kinds": [{"apiGroups": [""], "kinds": ["Pod"]}]}, "parameters": {"tag": f":v{n}"}},
        }  # fmt: skip
    for n in range(5):
        mutate = {"patchStrategicMerge": {"metadata": {"annotations": {f"+(made-{n})": "yes"}}}}
        yield "/apis/kyverno.io/v1/clusterpolicies", {
            "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": f"mutate-{n}"},
            "spec": {"rules": [{"name": "rule", "match": pods, "mutate": mutate}]},
        }  # fmt: skip


class Api:
    """A client of the control plane."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{server.port}",
            headers={"Authorization": f"Bearer {server.token}"},
            verify=server.context,
            timeout=60,
        )

    async def post(self, path: str, body: dict[str, Any]) -> None:
        """Create an object; what is not there yet (a constraint's kind) is waited for."""
        for _ in range(100):
            answer = await self.http.post(path, json=body)
            if answer.status_code != 404:
                answer.raise_for_status()
                return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{path} does not come")

    async def apply_policies(self) -> None:
        """Create the policies."""
        for path, document in policies():
            await self.post(path, document)

    async def creates(self, prefix: str, count: int) -> list[float]:
        """Create pods one after another; return the seconds that each took."""
        spent = []
        for n in range(count):
            body = json.dumps({**POD, "metadata": {**POD["metadata"], "name": f"{prefix}-{n}"}})
            started = time.perf_counter()
            answer = await self.http.post("/api/v1/namespaces/default/pods", content=body,
                                          headers={"Content-Type": "application/json"})  # fmt: skip
            spent.append(time.perf_counter() - started)
            answer.raise_for_status()
        return spent

    async def results(self) -> int:
        """Return how many results there are in a report."""
        return len((await self.http.get(REPORTS)).json()["items"][0]["results"])

    async def reports(self) -> int:
        """Return how many reports there are."""
        found = (await self.http.get(REPORTS)).json()
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount") or 0)


def percentile(values: list[float], share: float) -> float:
    """Return a percentile, in milliseconds."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] * 1000


def peak(pid: int) -> float:
    """Return the most memory that a process has had, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no memory of {pid}")


async def latency(server: Server) -> None:
    """Print what a create takes without and with policies; the rounds alternate by namespace label of the policies' absence."""
    api = Api(server)
    await api.creates("warm", 200)
    before = await api.creates("before", CREATES)
    await api.apply_policies()
    await api.creates("settle", 200)
    after = await api.creates("after", CREATES)
    print(f"{'a create, ms':<28}{'p50':>8}{'p99':>8}{'mean':>8}")
    row("without policies", before)
    row("with 50 policies", after)
    added = percentile(after, 0.99) - percentile(before, 0.99)
    ratio = percentile(after, 0.5) / percentile(before, 0.5)
    print(f"added at p99: {added:.2f} ms (goal: under 5); {ratio:.2f} times at p50")


@contextlib.contextmanager
def auditing(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`fairlead serve audit` beside the control plane of a folder."""
    command = [sys.executable, "-m", "fairlead.faces.cli.main", "serve", "audit", "--data-dir", str(folder)]
    with (folder / "audit.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


async def fill(api: Api, objects: int) -> int:
    """Create many pods, then the policies; return how many pods there are."""
    started = time.perf_counter()
    await asyncio.gather(*(api.creates(f"p{n}", objects // 20) for n in range(20)))
    print(f"{objects // 20 * 20} pods created in {time.perf_counter() - started:.1f} s")
    await api.apply_policies()
    return objects // 20 * 20


async def audit(server: Server, folder: Path, objects: int) -> None:
    """Print how long an audit of many objects takes a process of its own, and its peak memory."""
    api = Api(server)
    count = await fill(api, objects)
    print(f"{'the control plane':<40}{server.memory():>8.0f} MiB")
    started = time.perf_counter()
    with auditing(folder) as process:
        while await api.reports() < count:
            if process.poll() is not None:
                raise RuntimeError((folder / "audit.log").read_text())
            await asyncio.sleep(0.25)
        spent = time.perf_counter() - started
        results = await api.results()
        pairs = count * results
        print(f"{'reports on all of them, from its start':<40}{spent:>8.1f} s")
        print(f"{'results in each report':<40}{results:>8}")
        print(f"{'pairs of object and policy':<40}{pairs / spent:>8,.0f} /s")
        print(f"{'peak of the audit process':<40}{peak(process.pid):>8.0f} MiB (goal: under 300)")
        print(f"{'the control plane, with all reports':<40}{server.memory():>8.0f} MiB")


async def beside(server: Server, objects: int) -> None:
    """Print what a create takes while the control plane's own audit goes over many objects, and how long that takes it."""
    api = Api(server)
    count = await fill(api, objects)
    started = time.perf_counter()
    meanwhile: list[float] = []
    while await api.reports() < count - 20:  # what was created a moment ago is still to come
        for _ in range(10):
            meanwhile += await api.creates(f"meanwhile-{len(meanwhile)}", 1)
            await asyncio.sleep(0.05)
        count += 10
    spent = time.perf_counter() - started
    print(f"{'reports on all of them':<40}{spent:>8.1f} s, beside {len(meanwhile)} creates")
    row("a create meanwhile, ms", meanwhile)


def row(name: str, values: list[float]) -> None:
    """Print the percentiles of some creates."""
    mean = statistics.fmean(values) * 1000
    print(f"{name:<28}{percentile(values, 0.5):>8.2f}{percentile(values, 0.99):>8.2f}{mean:>8.2f}")


def main() -> None:
    """Run all three."""
    objects = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print("## what 50 policies add to a create (the audit runs beside, as it does by default)")
    with tempfile.TemporaryDirectory() as folder, fairlead(Path(folder)) as server:
        asyncio.run(latency(server))
    print(f"## an audit of {objects} objects by 50 policies, as a process of its own")
    with tempfile.TemporaryDirectory() as folder, fairlead(Path(folder), "--no-audit") as server:
        asyncio.run(audit(server, Path(folder), objects))
    print("## the same in the control plane, which must go on answering: p50, p99, mean of a create")
    with tempfile.TemporaryDirectory() as folder, fairlead(Path(folder)) as server:
        asyncio.run(beside(server, objects))


if __name__ == "__main__":
    main()
