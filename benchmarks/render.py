"""Rendering 10, 100 and 1,000 Deployments from each sort of package: `python benchmarks/render.py [SIZE ...]`.

Warm is a renderer called again in one process, without the confined worker; worker is the same through it; cold is the whole command, from
the start of the interpreter to the last line of JSON. Peers run on the same tree in the same run: `kubectl kustomize`, `helm template`
where there is a helm, and gotpl, which renders Go templates in Python. What is not installed is left out, and it says so.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from fairlead.reactor.rendering import attempt
from fairlead.reactor.rendering_loading import load_source
from fairlead.render.packages import Context, Layer, Mistaken

SIZES = (10, 100, 1000)
WARM_MS_OF_A_MODULE = 50.0
COLD_MS = 300.0
IMAGE = "registry.example/app:1.2.3"

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-%(index)s
  labels: {app: web-%(index)s}
spec:
  replicas: 2
  selector: {matchLabels: {app: web-%(index)s}}
  template:
    metadata: {labels: {app: web-%(index)s}}
    spec:
      containers:
        - name: web
          image: registry.example/app:1.2.3
          ports: [{name: http, containerPort: 8080}]
          env: [{name: PORT, value: "8080"}]
          resources: {limits: {memory: 64Mi}, requests: {cpu: 10m}}
"""
STARLARK = """\
load("@kubernetes/apps/v1", "Deployment", "DeploymentSpec")
load("@kubernetes/v1", "Container", "ContainerPort", "EnvVar", "PodSpec", "PodTemplateSpec", "ResourceRequirements")
load("@kubernetes/meta/v1", "LabelSelector", "ObjectMeta")

Values = group(count = integer(10, minimum = 0, doc = "how many"))

def build(context, values):
    return [deployment(index) for index in range(values.count)]

def deployment(index):
    labels = {"app": "web-%d" % index}
    return Deployment(
        metadata = ObjectMeta(name = "web-%d" % index, labels = labels),
        spec = DeploymentSpec(
            replicas = 2,
            selector = LabelSelector(matchLabels = labels),
            template = PodTemplateSpec(
                metadata = ObjectMeta(labels = labels),
                spec = PodSpec(containers = [Container(
                    name = "web",
                    image = "registry.example/app:1.2.3",
                    ports = [ContainerPort(name = "http", containerPort = 8080)],
                    env = [EnvVar(name = "PORT", value = "8080")],
                    resources = ResourceRequirements(limits = {"memory": "64Mi"}, requests = {"cpu": "10m"}),
                )]),
            ),
        ),
    )
"""
CUE = """\
package main

values: count: *10 | int
timoni: {
	apiVersion: "v1alpha1"
	instance: config: values
	apply: app: [for i in [for n in #list {n}] {
		apiVersion: "apps/v1"
		kind:       "Deployment"
		metadata: {name: "web-\\(i)", labels: app: "web-\\(i)"}
		spec: {
			replicas: 2
			selector: matchLabels: app: "web-\\(i)"
			template: {
				metadata: labels: app: "web-\\(i)"
				spec: containers: [{
					name:  "web"
					image: "registry.example/app:1.2.3"
					ports: [{name: "http", containerPort: 8080}]
					env: [{name: "PORT", value: "8080"}]
					resources: {limits: memory: "64Mi", requests: cpu: "10m"}
				}]
			}
		}
	}]
}
#list: [for n in list.Range(0, values.count, 1) {n}]
"""


def packages(folder: Path, size: int) -> Mapping[str, Path]:
    """Write a package of each sort that renders so many Deployments, and return their folders."""
    all_of_them = "---\n".join(DEPLOYMENT % {"index": index} for index in range(size))
    looped = "{{- range $index := until (int .Values.count) }}\n---\n" + DEPLOYMENT.replace(
        "%(index)s", "{{ $index }}"
    ).replace('"8080"', "{{ $.Values.port | quote }}")
    kustomization = {
        "resources": ["all.yaml"],
        "namePrefix": "team-",
        "labels": [{"pairs": {"team": "one"}, "includeSelectors": True}],
        "images": [{"name": "registry.example/app", "newTag": "1.2.4"}],
        "configMapGenerator": [{"name": "settings", "literals": ["a=b"]}],
    }
    module = {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "Module",
        "metadata": {"name": "many"},
        "spec": {"version": "1.0.0"},
    }
    trees = {
        "module": {"module.yaml": json.dumps(module), "module.star": STARLARK},
        "chart": {
            "Chart.yaml": "apiVersion: v2\nname: many\nversion: 1.0.0\n",
            "values.yaml": f"count: {size}\nport: 8080\n",
            "templates/all.yaml": looped + "{{- end }}\n",
        },
        "kustomization": {"kustomization.yaml": json.dumps(kustomization), "all.yaml": all_of_them},
        "manifests": {"all.yaml": all_of_them.replace(IMAGE, "${image:=" + IMAGE + "}")},
        "timoni": {
            "timoni.cue": CUE.replace("package main\n", 'package main\n\nimport "list"\n', 1),
            "values.cue": "package main\n\nvalues: {}\n",
            "cue.mod/module.cue": 'module: "timoni.sh/many"\nlanguage: version: "v0.9.0"\n',
        },
    }
    made = {}
    for sort, files in trees.items():
        for name, text in files.items():
            path = folder / str(size) / sort / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        made[sort] = folder / str(size) / sort
    return made


def best(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Return the best time of a call in milliseconds, over as many as fit into the time but at least three."""
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - begun < seconds and len(times) < 50):
        at = time.perf_counter()
        call()
        times.append(time.perf_counter() - at)
    return min(times) * 1000


def process(words: list[str]) -> float:
    """Return the median time of a whole process in milliseconds."""
    times = []
    for _ in range(5):
        at = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - at)
    return statistics.median(times) * 1000


def values(sort: str, size: int) -> list[Layer]:
    """Return what makes a package of that sort render so many."""
    if sort in {"module", "timoni"}:
        return [Layer("--set-json", f"count={size}", "set-json")]
    return [Layer("--set", "image=registry.example/app:1.2.4", "set")] if sort == "manifests" else []


def gotpl(chart: Path) -> float | None:
    """Return the time that gotpl takes for the text of the chart's one template alone, or None where it is not installed."""
    try:
        from gotpl import Template
    except ImportError:
        return None
    text = (chart / "templates" / "all.yaml").read_text()
    functions = {"until": lambda n: list(range(n)), "int": int, "quote": lambda value: f'"{value}"'}
    template = Template(text, functions=functions)
    return best(lambda: template.render({"Values": {"count": int(chart.parent.name), "port": 8080}}))


def main() -> int:
    """Print the tables; exit code 1 where a limit does not hold."""
    sizes = [int(one) for one in sys.argv[1:]] or list(SIZES)
    command = [sys.executable, "-m", "fairlead.faces.cli.main", "render"]
    kubectl, helm = (
        shutil.which("kubectl") or str(Path(sys.executable).parent / "kubectl"),
        shutil.which("helm"),
    )
    checks: list[tuple[str, float, float]] = []
    print("# Rendering, in milliseconds\n")
    print(f"{'objects':>7}  {'sort':<14}{'warm':>8}{'worker':>9}{'cold':>8}  peer")
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            for sort, path in packages(Path(folder), size).items():
                source, given = load_source(str(path)), values(sort, size)
                try:
                    rendered = attempt(source, given, Context("many"), {}, worker=False)
                except Mistaken as mistaken:
                    print(f"{size:>7}  {sort:<14}left out: {mistaken.mistakes[0].message}")
                    continue
                assert len([one for one in rendered.objects if one["kind"] == "Deployment"]) == size
                warm = best(lambda s=source, g=given: attempt(s, g, Context("many"), {}, worker=False))  # type: ignore[misc]
                worker = best(lambda s=source, g=given: attempt(s, g, Context("many"), {}))  # type: ignore[misc]
                options = [word for layer in given for word in (layer.name, layer.text)]
                cold = process([*command, str(path), "-o", "json", *options])
                peer = ""
                if sort == "kustomization" and Path(kubectl).exists():
                    other = process([kubectl, "kustomize", str(path)])
                    peer = f"kubectl kustomize {other:.0f} ms: cold is {cold / other:.2f} of it"
                    checks.append(
                        (f"kustomization {size}, cold against kubectl kustomize", cold / other, 1.0)
                    )
                if sort == "chart":
                    other_ms = gotpl(path)
                    peer = (
                        f"gotpl {other_ms:.1f} ms for the text alone: warm, objects included, is {warm / other_ms:.2f} of it"
                        if other_ms
                        else ""
                    )
                    if helm:
                        other = process([helm, "template", "many", str(path)])
                        peer += f"; helm template {other:.0f} ms: cold is {cold / other:.2f} of it"
                if sort == "module" and size == 1000:
                    checks.append(("a native module of 1,000 objects, warm ms", warm, WARM_MS_OF_A_MODULE))
                if sort == "module":
                    checks.append((f"a native module of {size} objects, cold ms", cold, COLD_MS))
                print(f"{size:>7}  {sort:<14}{warm:>8.1f}{worker:>9.1f}{cold:>8.0f}  {peer}", flush=True)
    print("\n# Limits\n")
    for what, value, limit in checks:
        print(f"{'ok ' if value <= limit else 'NOT'}  {what}: {value:.2f} (limit {limit:g})")
    return int(any(value > limit for _, value, limit in checks))


if __name__ == "__main__":
    sys.exit(main())
