"""Gatekeeper's constraints over pods: microseconds a constraint and pod, against `gator test` on the same machine.

    .venv/bin/python benchmarks/gatekeeper.py CORPUS [PODS]

CORPUS is the folder with `gatekeeper/` in it. Nineteen templates of its library that are about pods, a constraint each, over a
thousand pods of sixty lines. gator is $GATOR, or the one in PATH; without it only the own figures are printed. gator's figure is
the difference between many pods and one, so that starting up and compiling do not count for it; parsing the pods does, and the
own figure is given both ways.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from fairlead.dialects import gatekeeper, manifests
from fairlead.judge.judging import judge
from fairlead.judge.policies import Book, Policy
from fairlead.judge.reading import Source
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Snapshot

CONSTRAINTS = 19
ROUNDS = 5

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels: {app: web, tier: front, team: checkout}
  annotations: {note: a pod of an ordinary size}
spec:
  serviceAccountName: web
  automountServiceAccountToken: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    fsGroup: 2000
    seccompProfile: {type: RuntimeDefault}
  initContainers:
  - name: prepare
    image: openpolicyagent/prepare:1.4.2
    command: [sh, -c, prepare]
    resources:
      limits: {cpu: 100m, memory: 128Mi}
      requests: {cpu: 50m, memory: 64Mi}
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
  containers:
  - name: main
    image: openpolicyagent/opa:0.9.2
    ports:
    - {name: http, containerPort: 8080}
    env:
    - {name: MODE, value: production}
    - {name: LEVEL, value: info}
    livenessProbe: {httpGet: {path: /live, port: 8080}, periodSeconds: 10}
    readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 5}
    resources:
      limits: {cpu: 200m, memory: 512Mi, ephemeral-storage: 500Mi}
      requests: {cpu: 100m, memory: 256Mi}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      privileged: false
      capabilities: {drop: [ALL]}
    volumeMounts:
    - {name: data, mountPath: /data}
    - {name: config, mountPath: /etc/web, readOnly: true}
  - name: side
    image: openpolicyagent/side:2.0.1
    resources:
      limits: {cpu: 100m, memory: 64Mi}
      requests: {cpu: 10m, memory: 32Mi}
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
  volumes:
  - {name: data, emptyDir: {}}
  - {name: config, configMap: {name: web}}
"""


def about_pods(constraint: dict[str, Any]) -> bool:
    kinds = ((constraint.get("spec") or {}).get("match") or {}).get("kinds") or []
    return any("Pod" in (one.get("kinds") or ()) for one in kinds)


def chosen(corpus: Path) -> list[Path]:
    """The files of the templates and constraints, in the order of their names: one constraint a template, then further ones."""
    templates: list[Path] = []
    first: list[Path] = []
    further: list[Path] = []
    names: set[tuple[str, str]] = set()
    for template in sorted((corpus / "gatekeeper").rglob("template.yaml")):
        found = []
        for file in sorted(template.parent.rglob("constraint.yaml")):
            content = yaml.safe_load(file.read_text())
            name = (content["kind"], content["metadata"]["name"])
            if about_pods(content) and name not in names:
                names.add(name)
                found.append(file)
        if found:
            templates.append(template)
            first += found[:1]
            further += found[1:]
    return [*templates, *[*first, *further][:CONSTRAINTS]]


def pods(count: int) -> list[dict[str, Any]]:
    made = []
    for number in range(count):
        pod = copy.deepcopy(yaml.safe_load(POD))
        pod["metadata"]["name"] = f"web-{number}"
        if number % 10 == 0:
            pod["spec"]["containers"][0]["image"] = "elsewhere/web:latest"
        if number % 25 == 0:
            pod["spec"]["containers"][1]["securityContext"] = {"privileged": True}
        made.append(pod)
    return made


def load(files: list[Path]) -> tuple[Policy, ...]:
    models: list[Any] = []
    for file in files:
        for one in manifests.parse(str(file), file.read_text())[0]:
            source = Source(one.content, one.where)
            reads = gatekeeper.READS
            reader = reads.get((source.ref.group, source.ref.kind)) or reads[source.ref.group, "*"]
            made, findings = reader(source)
            models += made
            for finding in findings:
                print("finding:", finding.message, file=sys.stderr)
    return gatekeeper.assemble(models).policies


def own(policies: tuple[Policy, ...], objects: list[dict[str, Any]]) -> tuple[float, int]:
    """Seconds of processor time for all pairs (the best of the rounds), and how many violations there are."""
    kinds = KindNames(Catalogue())
    book = Book(policies)
    spent, violations = [], 0
    for _ in range(ROUNDS):
        around = Surroundings(view=Snapshot(), now=datetime.now(UTC), kinds=kinds)
        start = time.process_time()
        violations = 0
        for pod in objects:
            subject = subject_of(pod, "pods", scan=True)
            violations += sum(1 for one in judge(subject, book, around) if one.outcome.result == "fail")
        spent.append(time.process_time() - start)
    return min(spent), violations


def each(policies: tuple[Policy, ...], objects: list[dict[str, Any]]) -> None:
    pairs = len(objects)
    for policy in policies:
        seconds, _ = own((policy,), objects)
        print(f"  {policy.source.kind:32} {seconds / pairs * 1e6:8.1f} us")


def parsing(objects: list[dict[str, Any]]) -> float:
    text = yaml.safe_dump_all(objects)
    start = time.process_time()
    manifests.parse("pods.yaml", text)
    return time.process_time() - start


def gator(program: str, files: list[Path], objects: list[dict[str, Any]]) -> tuple[float, int]:
    """Wall seconds of `gator test`, and how many violations it finds."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for number, file in enumerate(files):
            shutil.copy(file, place / f"policy-{number}.yaml")
        (place / "pods.yaml").write_text(yaml.safe_dump_all(objects))
        spent, found = [], 0
        for _ in range(3):
            start = time.perf_counter()
            said = subprocess.run(
                [program, "test", "--filename", folder, "--output", "json"], capture_output=True, check=False
            )
            spent.append(time.perf_counter() - start)
            found = len(json.loads(said.stdout or b"[]") or [])
    return statistics.median(spent), found


def main() -> None:
    beside = Path(__file__).resolve().parents[2] / "shared" / "corpus"
    named = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FAIRLEAD_CORPUS") or str(beside)
    corpus, count = Path(named), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    files, objects = chosen(corpus), pods(count)
    start = time.process_time()
    policies = load(files)
    print(f"{len(policies)} constraints compiled in {time.process_time() - start:.2f} s")
    pairs = len(policies) * count
    seconds, violations = own(policies, objects)
    parsed = parsing(objects)
    mine = seconds / pairs * 1e6
    print(f"fairlead: {mine:.1f} us a pair ({pairs} pairs, {violations} violations)")
    print(f"fairlead with parsing the pods: {(seconds + parsed) / pairs * 1e6:.1f} us a pair")
    if "--each" in sys.argv:
        each(policies, objects)
    program = os.environ.get("GATOR") or shutil.which("gator")
    if not program:
        print("no gator to compare with ($GATOR, or in PATH)")
        return
    one, _ = gator(program, files, objects[:1])
    many, found = gator(program, files, objects)
    theirs = (many - one) / (pairs - len(policies)) * 1e6
    print(
        f"gator test: {theirs:.1f} us a pair ({many:.2f} s in all, {one:.2f} s with one pod, {found} violations)"
    )
    print(
        f"ratio: {theirs / mine:.1f} times as fast; {theirs * pairs / (seconds + parsed) / 1e6:.1f} with parsing"
    )


if __name__ == "__main__":
    main()
