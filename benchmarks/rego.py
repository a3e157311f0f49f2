"""Rego: microseconds an evaluation of policies in Gatekeeper's style, against OPA on the same machine.

    .venv/bin/python benchmarks/rego.py [SECONDS]

OPA is $OPA, or the one in PATH; its figure is that of `opa bench`, which prepares the query and parses the input once, as is done
here. Without it only the own figures are printed. Each figure is the best of several rounds of the process's own CPU time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fairlead.tongues import rego

ROUNDS = 5

LABELS = """package bench
violation[{"msg": msg, "details": {"missing_labels": missing}}] {
  provided := {label | input.review.object.metadata.labels[label]}
  required := {label | label := input.parameters.labels[_].key}
  missing := required - provided
  count(missing) > 0
  msg := sprintf("you must provide labels: %v", [missing])
}
violation[{"msg": msg}] {
  value := input.review.object.metadata.labels[key]
  expected := input.parameters.labels[_]
  expected.key == key
  expected.allowedRegex != ""
  not regex.match(expected.allowedRegex, value)
  msg := sprintf("Label <%v: %v> does not satisfy allowed regex: %v", [key, value, expected.allowedRegex])
}
"""

REPOSITORIES = """package bench
violation[{"msg": msg}] {
  container := input_containers[_]
  satisfied := [good | repo = input.parameters.repos[_]; good = startswith(container.image, repo)]
  not any(satisfied)
  msg := sprintf("container <%v> has an invalid image repo <%v>", [container.name, container.image])
}
input_containers[c] { c := input.review.object.spec.containers[_] }
input_containers[c] { c := input.review.object.spec.initContainers[_] }
"""

PRIVILEGED = """package bench
import data.lib.exempt.is_exempt
violation[{"msg": msg, "details": {}}] {
  c := containers[_]
  not is_exempt(c)
  c.securityContext.privileged
  msg := sprintf("Privileged container is not allowed: %v", [c.name])
}
containers[c] { c := input.review.object.spec.containers[_] }
containers[c] { c := input.review.object.spec.initContainers[_] }
"""

EXEMPT = """package lib.exempt
is_exempt(container) {
  images := object.get(object.get(input, "parameters", {}), "exemptImages", [])
  image := container.image
  exemption := images[_]
  matches(image, exemption)
}
matches(image, exemption) { not endswith(exemption, "*"); exemption == image }
matches(image, exemption) { endswith(exemption, "*"); startswith(image, trim_suffix(exemption, "*")) }
"""

LIMITS = """package bench
missing(obj, field) { not obj[field] }
missing(obj, field) { obj[field] == "" }
factor("Ki") = 1024
factor("Mi") = 1048576
factor("Gi") = 1073741824
suffix(mem) = s { count(mem) > 2; s := substring(mem, count(mem) - 2, -1); factor(s) }
bytes(mem) = n { s := suffix(mem); n := to_number(replace(mem, s, "")) * factor(s) }
violation[{"msg": msg}] {
  c := input.review.object.spec.containers[_]
  missing(c.resources.limits, "cpu")
  msg := sprintf("container <%v> has no cpu limit", [c.name])
}
violation[{"msg": msg}] {
  c := input.review.object.spec.containers[_]
  mem := bytes(c.resources.limits.memory)
  most := bytes(input.parameters.memory)
  mem > most
  msg := sprintf("container <%v> memory limit <%v> is higher than the maximum allowed of <%v>",
    [c.name, c.resources.limits.memory, input.parameters.memory])
}
"""

HOSTPORTS = """package bench
violation contains {"msg": msg} if {
  some c in input.review.object.spec.containers
  some port in c.ports
  not allowed(port.hostPort)
  msg := sprintf("The host port %v of %v is not allowed", [port.hostPort, c.name])
}
allowed(port) if {
  some range in input.parameters.ranges
  port >= range.min
  port <= range.max
}
"""

CASES: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "required labels": (
        "v0",
        [LABELS],
        {"labels": [{"key": "team", "allowedRegex": "^[a-z]+$"}, {"key": "owner", "allowedRegex": ""}]},
    ),
    "allowed repositories": (
        "v0",
        [REPOSITORIES],
        {"repos": ["registry.example.com/", "other.example.com/"]},
    ),
    "privileged containers": ("v0", [PRIVILEGED, EXEMPT], {"exemptImages": ["trusted.example.com/*"]}),
    "memory limits": ("v0", [LIMITS], {"memory": "1Gi"}),
    "host ports": ("v1", [HOSTPORTS], {"ranges": [{"min": 8000, "max": 9000}]}),
}

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "labels": {"app": "web", "tier": "front", "team": "checkout"},
    },
    "spec": {
        "initContainers": [{"name": "prepare", "image": "registry.example.com/prepare:1.4"}],
        "containers": [
            {
                "name": name,
                "image": f"registry.example.com/{name}:2.0",
                "ports": [{"containerPort": 8080, "hostPort": 8080 + place}],
                "resources": {"limits": {"cpu": "500m", "memory": f"{256 << place}Mi"}},
                "securityContext": {"runAsNonRoot": True, "privileged": place == 1},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
            for place, name in enumerate(("web", "proxy", "logs"))
        ],
        "volumes": [{"name": "data", "emptyDir": {}}],
    },
}


def ours(version: str, modules: list[str], document: dict[str, Any], seconds: float) -> tuple[float, Any]:
    """Return microseconds an evaluation, and the answer."""
    program = rego.compile({f"{place}.rego": text for place, text in enumerate(modules)}, version=version)
    answer = rego.to_json(program.query("data.bench.violation", document))
    best, times = float("inf"), 10
    for _ in range(ROUNDS):
        while True:
            start = time.process_time()
            for _ in range(times):
                program.query("data.bench.violation", document)
            spent = time.process_time() - start
            if spent >= seconds / ROUNDS:
                break
            times *= 2
        best = min(best, spent / times)
    return best * 1e6, answer


def peers(program: str, version: str, modules: list[str], document: dict[str, Any]) -> tuple[float, Any]:
    """Return OPA's microseconds an evaluation, and its answer."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        files: list[str] = []
        for number, text in enumerate(modules):
            (place / f"{number}.rego").write_text(text)
            files += ["-d", str(place / f"{number}.rego")]
        (place / "input.json").write_text(json.dumps(document))
        rest = [*files, "-i", str(place / "input.json"), "-f", "json", "data.bench.violation"]
        if version == "v0":
            rest.insert(0, "--v0-compatible")
        bench = subprocess.run(
            [program, "bench", "--count", "3", *rest], capture_output=True, text=True, check=True
        )
        asked = subprocess.run([program, "eval", *rest], capture_output=True, text=True, check=True)
    decoder, text, figures = json.JSONDecoder(), bench.stdout.strip(), list[float]()
    while text:
        found, end = decoder.raw_decode(text)
        figures.append(found["T"] / found["N"] / 1000)
        text = text[end:].strip()
    return min(figures), json.loads(asked.stdout)["result"][0]["expressions"][0]["value"]


def main() -> None:
    """Print a line a policy, and the ratio to the peer where it is there."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    opa = os.environ.get("OPA") or shutil.which("opa")
    print(f"{'policy':24}{'fairlead us':>12}" + (f"{'OPA us':>10}{'ratio':>8}" if opa else ""))
    totals = [0.0, 0.0]
    for name, (version, modules, parameters) in CASES.items():
        document = {"review": {"object": POD, "operation": "CREATE"}, "parameters": parameters}
        own, answer = ours(version, modules, document, seconds)
        totals[0] += own
        line = f"{name:24}{own:12.1f}"
        if opa:
            theirs, said = peers(opa, version, modules, document)
            totals[1] += theirs
            line += f"{theirs:10.1f}{theirs / own:8.1f}" + ("" if answer == said else "  (answers differ)")
        print(line)
    print(f"{'mean':24}{totals[0] / len(CASES):12.1f}", end="")
    print(
        f"{totals[1] / len(CASES):10.1f}{totals[1] / totals[0]:8.1f}" if opa else "  (no opa in PATH or $OPA)"
    )


if __name__ == "__main__":
    main()
