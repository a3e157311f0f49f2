"""Practices about containers: images, resources, probes and ports.

Each looks at one object and says what is wrong with the containers that it describes. Knows nothing of severities and names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from fairlead.judge.practices_shapes import GONE, Container, Fault, Look, Thing, deepest, every
from fairlead.tongues import quantities
from fairlead.tongues.paths import find, mapping, mappings, text

_FIRST: Final = {"cpu": "100m", "memory": "512Mi"}
"""What a container without an amount gets until somebody has measured it: the numbers that Polaris begins with."""
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")

AWKWARD_NAME: Final = re.compile(
    r"^(aws_secret_access_key|google_application_credentials|azure_.+key|oci_cli_key_content)$"
    r"|password|token|bearer|secret",
    re.IGNORECASE,
)
"""Names of variables and keys whose values belong in a Secret; the same that Polaris looks for."""
PRIVATE_KEY: Final = re.compile(r"-BEGIN\s+.*PRIVATE KEY-", re.IGNORECASE)


def tag_of(image: str) -> str | None:
    """Return the tag of an image: "" where it has neither tag nor digest, None where only a digest names it."""
    name, at, _ = image.partition("@")
    last = name.rpartition("/")[2]
    _, colon, tag = last.partition(":")
    return tag if colon else None if at else ""


def registry_of(image: str) -> str:
    """Return the registry of an image: `docker.io` where the image names none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def _each(
    containers: Iterable[Container], look: Callable[[Container], Fault | None], message: str
) -> Fault | None:
    return every(((one, look(one)) for one in containers), message)


def image_tag(thing: Thing) -> Fault | None:
    """Every image has a tag or a digest."""
    assert thing.pod is not None

    def look(one: Container) -> Fault | None:
        image = text(one.content, "image")
        if image and tag_of(image) != "":
            return None
        return Fault(
            image, ((*one.path, "image"),) if image else (one.path,), "an image with a tag or a digest"
        )

    return _each(thing.pod.written, look, "runs {} of an image without a tag")


def image_latest(thing: Thing) -> Fault | None:
    """No image is asked for by `latest`, unless a digest says which one."""
    assert thing.pod is not None

    def look(one: Container) -> Fault | None:
        image = text(one.content, "image")
        if tag_of(image) != "latest" or "@" in image:
            return None
        return Fault(image, ((*one.path, "image"),), "the tag of one version, or a digest")

    return _each(thing.pod.written, look, "runs {} of whatever is the latest image")


def pull_policy(thing: Thing) -> Fault | None:
    """Images are looked up whenever a container starts."""
    assert thing.pod is not None

    def look(one: Container) -> Fault | None:
        path = (*one.path, "imagePullPolicy")
        if one.content.get("imagePullPolicy") == "Always":
            return None
        return Fault("", (deepest(thing.content, path),), "imagePullPolicy: Always", ((path, "Always"),))

    return _each(
        thing.pod.written,
        look,
        "starts {} without asking the registry for the image (imagePullPolicy is not Always)",
    )


def image_registry(thing: Thing) -> Fault | None:
    """Images come from the registries that are allowed: a host, or a host and a beginning of the path."""
    assert thing.pod is not None
    if not thing.registries:
        return None

    def look(one: Container) -> Fault | None:
        image = text(one.content, "image")
        whole = image if registry_of(image) == image.partition("/")[0] else f"docker.io/{image}"
        if not image or any(
            whole == one or whole.startswith(f"{one.rstrip('/')}/") for one in thing.registries
        ):
            return None
        return Fault(image, ((*one.path, "image"),), f"an image from {' or '.join(thing.registries)}")

    return _each(thing.pod.written, look, "runs {} of an image from a registry that is not allowed")


def _amount(side: str, other: str, resource: str) -> Look:
    """Make the practice that each lasting container has a request or a limit for a resource."""
    word = {"limits": "limit", "requests": "request"}[side]
    name = {"cpu": "CPU", "memory": "memory"}[resource]

    def practice(thing: Thing) -> Fault | None:
        assert thing.pod is not None

        def look(one: Container) -> Fault | None:
            path = (*one.path, "resources", side, resource)
            if find(thing.content, path) not in (None, ""):
                return None
            value = _fitting(side, _FIRST[resource], find(one.content, ("resources", other, resource)))
            return Fault(
                "", (deepest(thing.content, path),), f"resources.{side}.{resource}", ((path, value),)
            )

        return _each(thing.pod.lasting, look, f"runs {{}} without a {name} {word}")

    return practice


def _fitting(side: str, first: str, opposite: Any) -> Any:
    """Return an amount that is not at odds with the opposite one: a limit is never under the request."""
    if not isinstance(opposite, str | int | float) or isinstance(opposite, bool):
        return first
    try:
        more = quantities.parse(opposite) > quantities.parse(first)
    except ValueError:
        return first
    return opposite if more == (side == "limits") else first


cpu_limit = _amount("limits", "requests", "cpu")
cpu_request = _amount("requests", "limits", "cpu")
memory_limit = _amount("limits", "requests", "memory")
memory_request = _amount("requests", "limits", "memory")


def _probe(field: str) -> Look:
    word = field.removesuffix("Probe")

    def practice(thing: Thing) -> Fault | None:
        assert thing.pod is not None
        if thing.runs_to_completion:
            return None

        def look(one: Container) -> Fault | None:
            if mapping(one.content, field):
                return None
            return Fault("", (one.path,), f"a {field} that asks what the program knows of itself")

        return _each(thing.pod.ordinary, look, f"runs {{}} without a {word} probe")

    return practice


liveness_probe = _probe("livenessProbe")
readiness_probe = _probe("readinessProbe")


def probe_port(thing: Thing) -> Fault | None:
    """Probes name a port by its name, so that it is written once."""
    assert thing.pod is not None

    def look(one: Container) -> Fault | None:
        places = []
        for field in _PROBES:
            for handler in ("httpGet", "tcpSocket"):
                port = find(one.content, (field, handler, "port"))
                if isinstance(port, int) or (isinstance(port, str) and port.isdigit()):
                    places.append((*one.path, field, handler, "port"))
        return Fault("", tuple(places), "the name of one of the container's ports") if places else None

    return _each(thing.pod.lasting, look, "has {} probed at a port's number, not its name")


def port_name(thing: Thing) -> Fault | None:
    """Ports of containers have names, for services and probes to refer to."""
    assert thing.pod is not None

    def look(one: Container) -> Fault | None:
        nameless = [index for index, port in mappings(one.content, "ports") if not text(port, "name")]
        ports = ", ".join(str(find(one.content, ("ports", index, "containerPort"))) for index in nameless)
        places = tuple((*one.path, "ports", index) for index in nameless)
        return Fault(ports, places, "a name for each port") if nameless else None

    return _each(thing.pod.lasting, look, "opens ports of {} that have no name")


def host_port(thing: Thing) -> Fault | None:
    """No container takes a port of the node."""
    assert thing.pod is not None

    def look(one: Container) -> Fault | None:
        taken = [
            ((*one.path, "ports", index, "hostPort"), port["hostPort"])
            for index, port in mappings(one.content, "ports")
            if port.get("hostPort") not in (None, 0)
        ]
        if not taken:
            return None
        return Fault(
            ", ".join(str(port) for _, port in taken),
            tuple(path for path, _ in taken),
            "no hostPort: a Service reaches the pod wherever it runs",
            tuple((path, GONE) for path, _ in taken),
        )

    return _each(thing.pod.written, look, "takes ports of the node for {}")


def sensitive_env(thing: Thing) -> Fault | None:
    """No variable holds a secret's text in the open."""
    assert thing.pod is not None

    def look(one: Container) -> Fault | None:
        open_ = [
            (index, text(entry, "name"))
            for index, entry in mappings(one.content, "env")
            if entry.get("value") is not None
            and (AWKWARD_NAME.search(text(entry, "name")) or PRIVATE_KEY.search(text(entry, "value")))
        ]
        if not open_:
            return None
        places = tuple((*one.path, "env", index) for index, _ in open_)
        return Fault(", ".join(name for _, name in open_), places, "valueFrom.secretKeyRef")

    return _each(thing.pod.written, look, "writes what may be secret into variables of {}")


__all__ = [
    "AWKWARD_NAME",
    "PRIVATE_KEY",
    "cpu_limit",
    "cpu_request",
    "host_port",
    "image_latest",
    "image_registry",
    "image_tag",
    "liveness_probe",
    "memory_limit",
    "memory_request",
    "port_name",
    "probe_port",
    "pull_policy",
    "readiness_probe",
    "registry_of",
    "sensitive_env",
    "tag_of",
]
