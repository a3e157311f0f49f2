"""Kyverno's policies over pods: rules a second and core, against the goal, and what single rules cost.

    .venv/bin/python benchmarks/kyverno.py [FOLDER] [PODS]

FOLDER holds policies, at any depth ($FAIRLEAD_CORPUS/kyverno, or shared/corpus/kyverno beside the checkout, if none is given); test
resources in it are passed over. Every rule that concerns pods, older and newer ones alike, is judged for each of a thousand pods of
sixty lines. A rule that the match leaves out after its kinds were looked at counts like any other. Rules that lack an answer (an
image's data) count by the time until they say so.
"""

from __future__ import annotations

import copy
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from fairlead.dialects import kyverno, manifests
from fairlead.judge.judging import run
from fairlead.judge.policies import Book, Phase, Policy, Rule
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, subject_of
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Snapshot

GOAL, LEAST = 50_000, 25_000
ROUNDS = 3
PHASES: tuple[Phase, ...] = ("validate", "mutate", "generate")

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
    image: ghcr.io/example/prepare:1.4.2
    command: [sh, -c, prepare]
    resources:
      limits: {cpu: 100m, memory: 128Mi}
      requests: {cpu: 50m, memory: 64Mi}
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
  containers:
  - name: main
    image: ghcr.io/example/web:0.9.2
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
    image: ghcr.io/example/side:2.0.1
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


def default_folder() -> Path:
    corpus = os.environ.get("FAIRLEAD_CORPUS")
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "corpus"
    return (Path(corpus) if corpus else beside) / "kyverno"


def load(folder: Path) -> list[Policy]:
    """All policies under a folder, each named once."""
    models: list[Any] = []
    seen = set()
    for file in sorted(folder.rglob("*.yaml")):
        if any(part.startswith(".") for part in file.relative_to(folder).parts):
            continue
        for one in manifests.parse(str(file), file.read_text())[0]:
            if not isinstance(one.content, dict):
                continue
            reader = kyverno.READS.get((one.ref.group, one.ref.kind))
            if reader is not None and one.ref not in seen:
                seen.add(one.ref)
                models += reader(Source(one.content, one.where))[0]
    return list(kyverno.assemble(models).policies)


def pods(count: int) -> list[dict[str, Any]]:
    """Pods of which some are wrong."""
    made = []
    for number in range(count):
        pod = copy.deepcopy(yaml.safe_load(POD)) if not made else copy.deepcopy(made[0])
        pod["metadata"]["name"] = f"web-{number}"
        pod["spec"]["containers"][0]["image"] = f"ghcr.io/example/web:{number % 40}"
        if number % 10 == 0:
            pod["spec"]["containers"][0]["image"] = "elsewhere/web:latest"
        if number % 25 == 0:
            pod["spec"]["containers"][1]["securityContext"] = {"privileged": True}
        made.append(pod)
    return made


def judged(pairs: Sequence[tuple[Policy, Rule]], subjects: Sequence[Subject], around: Surroundings) -> float:
    """Seconds of processor time for every rule and pod."""
    start = time.process_time()
    for subject in subjects:
        for policy, rule in pairs:
            with suppress(Lacking):
                run(subject, policy, rule, around)
    return time.process_time() - start


def best(pairs: Sequence[tuple[Policy, Rule]], objects: Sequence[dict[str, Any]]) -> float:
    kinds = KindNames(Catalogue())
    spent = []
    for _ in range(ROUNDS):
        around = Surroundings(view=Snapshot(), now=datetime.now(UTC), kinds=kinds)
        spent.append(judged(pairs, [subject_of(one, "pods") for one in objects], around))
    return min(spent)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default_folder()
    objects = pods(int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
    start = time.process_time()
    policies = load(folder)
    rules = sum(len(policy.rules) for policy in policies)
    print(f"{len(policies)} policies, {rules} rules, compiled in {time.process_time() - start:.2f} s")
    book, target = Book(policies), subject_of(objects[0], "pods").target
    groups: dict[str, list[tuple[Policy, Rule]]] = defaultdict(list)
    for phase in PHASES:
        for pair in book.rules(target, phase):
            newer = pair[0].source.group == "policies.kyverno.io"
            groups[f"{phase} ({'CEL kinds' if newer else 'older kinds'})"].append(pair)
    total_rules, total_seconds = 0, 0.0
    print(f"{len(objects)} pods; rules a second and core, process time, best of {ROUNDS}:")
    for name, pairs in groups.items():
        seconds = best(pairs, objects)
        total_rules, total_seconds = total_rules + len(pairs), total_seconds + seconds
        count = len(pairs) * len(objects)
        print(f"  {name:28} {len(pairs):4} rules {count / seconds:10,.0f}/s {seconds / count * 1e6:8.2f} us")
    rate = total_rules * len(objects) / total_seconds
    print(f"  {'all':28} {total_rules:4} rules {rate:10,.0f}/s {1e6 / rate:8.2f} us")
    print(f"goal {GOAL:,}: {rate / GOAL:.2f} times; at least {LEAST:,}: {rate / LEAST:.2f} times")
    costs = sorted(
        ((best([pair], objects[:100]) / 100, pair) for pairs in groups.values() for pair in pairs),
        key=lambda one: one[0],
        reverse=True,
    )
    print("what single rules cost: the dearest, the median, the cheapest")
    for seconds, (policy, rule) in (*costs[:12], costs[len(costs) // 2], costs[-1]):
        print(f"  {seconds * 1e6:8.2f} us  {rule.phase:8} {policy.name}/{rule.name}")


if __name__ == "__main__":
    main()
