"""`fairlead mod init`: a module that is good to read, and to begin with. Writes new files only."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from fairlead.faces.cli.problems import Problem

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,51}[a-z0-9])?")

MANIFEST = """\
apiVersion: fairlead.dev/v1alpha1
kind: Module
metadata:
  name: NAME
spec:
  version: 0.1.0
  description: DESCRIPTION
  kubernetes: ">=1.28"
"""

CODE = '''\
"""NAME: a web application, its configuration and its Service."""

load("@kubernetes/apps/v1", "Deployment", "DeploymentSpec")
load("@kubernetes/v1", "Capabilities", "ConfigMapVolumeSource", "Container", "ContainerPort", "EmptyDirVolumeSource", "HTTPGetAction", "PodSecurityContext", "PodSpec", "PodTemplateSpec", "Probe", "ResourceRequirements", "SeccompProfile", "SecurityContext", "Service", "ServicePort", "ServiceSpec", "Volume", "VolumeMount")
load("@kubernetes/meta/v1", "LabelSelector", "ObjectMeta")

# What users may set: the type of each value, its default and its meaning. README.md and values.schema.json are made from this.
Values = group(
    replicas = integer(2, "How many pods there are", minimum = 0, maximum = 100),
    image = group(
        "The image of the application",
        repository = text("docker.io/nginxinc/nginx-unprivileged", "Where it is pulled from", min_length = 1),
        tag = text("1.29.3", "Its version; a tag such as 1.10 has quotes around it", min_length = 1),
    ),
    port = port(8080, "Where the application listens"),
    service = group(
        "How others reach it",
        type = choice("ClusterIP", "NodePort", "LoadBalancer", default = "ClusterIP", doc = "The type of the Service"),
        port = port(80, "The port of the Service"),
    ),
    greeting = text("Hello!", "What the front page says"),
    resources = group(
        "What each pod needs and may use",
        cpu = quantity("50m", "CPU that is kept for it", measures = "cpu"),
        memory = quantity("64Mi", "Memory that it needs and may use", measures = "memory", minimum = "16Mi"),
    ),
)

def build(context, values):
    """What the module comes to: objects in stages. A stage begins when the one before it is healthy."""
    config = config_map(context.name, {"index.html": values.greeting + "\\n"}, labels = labels(context))
    return [
        stage("config", [config]),
        stage("app", [deployment(context, values, config), service(context, values)]),
    ]

def deployment(context, values, config):
    # The name of the ConfigMap ends with a hash of what it holds: when that changes, the pods start anew.
    return Deployment(
        metadata = ObjectMeta(name = context.name, labels = labels(context)),
        spec = DeploymentSpec(
            replicas = values.replicas,
            selector = LabelSelector(matchLabels = selector_labels(context)),
            template = PodTemplateSpec(
                metadata = ObjectMeta(labels = labels(context)),
                spec = PodSpec(
                    automountServiceAccountToken = False,
                    securityContext = PodSecurityContext(runAsNonRoot = True, seccompProfile = SeccompProfile(type = "RuntimeDefault")),
                    containers = [container(values)],
                    volumes = [
                        Volume(name = "pages", configMap = ConfigMapVolumeSource(name = config.metadata.name)),
                        Volume(name = "scratch", emptyDir = EmptyDirVolumeSource()),
                    ],
                ),
            ),
        ),
    )

def container(values):
    return Container(
        name = "app",
        image = image(values.image.repository, values.image.tag),
        ports = [ContainerPort(name = "http", containerPort = values.port)],
        readinessProbe = Probe(httpGet = HTTPGetAction(path = "/", port = "http")),
        livenessProbe = Probe(httpGet = HTTPGetAction(path = "/", port = "http"), periodSeconds = 20),
        resources = ResourceRequirements(
            requests = {"cpu": values.resources.cpu, "memory": values.resources.memory},
            limits = {"memory": values.resources.memory},
        ),
        securityContext = SecurityContext(
            allowPrivilegeEscalation = False,
            readOnlyRootFilesystem = True,
            capabilities = Capabilities(drop = ["ALL"]),
        ),
        volumeMounts = [
            VolumeMount(name = "pages", mountPath = "/usr/share/nginx/html", readOnly = True),
            VolumeMount(name = "scratch", mountPath = "/tmp"),
        ],
    )

def service(context, values):
    return Service(
        metadata = ObjectMeta(name = context.name, labels = labels(context)),
        spec = ServiceSpec(
            type = values.service.type,
            selector = selector_labels(context),
            ports = [ServicePort(name = "http", port = values.service.port, targetPort = "http")],
        ),
    )
'''

TESTS = """\
# Values, and what is expected of them. Run them with: fairlead mod test
cases:
- name: defaults
  objects: [ConfigMap, Deployment/NAME, Service/NAME]
  absent: [Ingress]
  fields:
    Deployment/NAME:
      .spec.replicas: 2

- name: scales and moves
  values:
    replicas: 3
    port: 9090
  expect:
  - kind: Deployment
    spec:
      replicas: 3
      template:
        spec:
          containers:
          - name: app
            ports: [{containerPort: 9090}]

- name: a port is a number
  values:
    service: {port: http}
  fails: must be a port
"""

README = """\
# NAME

DESCRIPTION

```
fairlead render . --set replicas=3        what it comes to
fairlead apply . --name NAME              bring it to a cluster
fairlead mod vet && fairlead mod test     is it right
fairlead mod docs                         write the table below, and values.schema.json
```

A values file that begins with this line is completed and checked by editors:

```
# yaml-language-server: $schema=values.schema.json
```

## Values

<!-- values: begin (fairlead mod docs) -->
<!-- values: end -->
"""

LIBRARY_MANIFEST = MANIFEST + "  library: true\n"
LIBRARY = '''\
"""NAME: what several modules share. They name it as a dependency, and load("@NAME", "web_port")."""

def web_port(number, name = "http"):
    """A port of a container, as data."""
    require(number > 1023, "%d is a port that only root may listen on" % number, "choose one above 1023")
    return {"name": name, "containerPort": number}
'''
LIBRARY_README = "# NAME\n\nDESCRIPTION\n"

IGNORED = "# what is no part of the module: Git's patterns\n*.tgz\n.vscode/\n"


def run(args: argparse.Namespace) -> int:
    """Write the files, and say what comes next."""
    if not _NAME.fullmatch(args.name):
        near = re.sub(r"[^a-z0-9]+", "-", args.name.lower()).strip("-")[:53].strip("-")
        hint = f"for example: {near}" if near else ""
        raise Problem(
            f'"{args.name}" is no name of a module: lowercase letters, digits and -, at most 53', hint, code=2
        )
    folder = args.dir if args.dir is not None else Path(args.name)
    files = _library(args.name) if args.library else _module(args.name)
    try:
        _make(files, folder, library=args.library)
    except OSError as error:
        raise Problem(f"{error.filename or folder}: {error.strerror}") from error
    print(f"{folder}: a new {'library' if args.library else 'module'}\n")
    print(f"  fairlead mod vet {folder}          is it right")
    if not args.library:
        print(f"  fairlead render {folder}           what it comes to")
        print(f"  fairlead apply {folder} --name {args.name}")
    return 0


def _make(files: dict[str, str], folder: Path, *, library: bool) -> None:
    """Write a module beside the folder and put it there when it is whole; one that was put there in part is completed. Raises Problem, OSError."""
    from fairlead.drivers.oci.scratch import scratch

    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch(folder / "module" if folder.exists() else folder) as made:
        fresh = made / "module"
        for name, text in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if not library:
            from fairlead.faces.cli.moddocs import write

            write(fresh)
        if not folder.exists():
            fresh.rename(folder)
            return
        names = [
            *files,
            *(path.name for path in fresh.iterdir() if path.is_file() and path.name not in files),
        ]
        there = [name for name in names if (folder / name).exists()]
        others = [name for name in there if (folder / name).read_bytes() != (fresh / name).read_bytes()]
        if others or there == names:
            first = others[0] if others else there[0]
            raise Problem(
                f"{folder / first} is there already", "choose another folder with --dir; nothing was written"
            )
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).replace(folder / name)


def _filled(text: str, name: str, description: str) -> str:
    return text.replace("DESCRIPTION", description).replace("NAME", name)


def _module(name: str) -> dict[str, str]:
    files = {
        "module.yaml": MANIFEST,
        "module.star": CODE,
        "tests/values.yaml": TESTS,
        "README.md": README,
        ".fairleadignore": IGNORED,
    }
    return {path: _filled(text, name, "A web application") for path, text in files.items()}


def _library(name: str) -> dict[str, str]:
    files = {
        "module.yaml": LIBRARY_MANIFEST,
        "library.star": LIBRARY,
        "README.md": LIBRARY_README,
        ".fairleadignore": IGNORED,
    }
    return {path: _filled(text, name, "What several modules share") for path, text in files.items()}
