"""Images that a node cannot have: a name that is wrong, a registry that cannot be reached, or one that refuses.

The same image in many pods is one fact. A name that is near to one that the node holds, or that another workload runs
well, outweighs whatever the registry said: with a slip in the name no registry could have helped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from fairlead.diagnose import indexes
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory, Member, Template
from fairlead.diagnose.likening import distance, nearest
from fairlead.diagnose.proposing import Edit, edit_template, joined
from fairlead.diagnose.references import Container, edges
from fairlead.tongues.paths import mapping, mappings, text, words
from fairlead.words import Evidence, Fix, Ref, Resource, Severity, Where

PULL_REASONS = indexes.PULL_REASONS
"""The reasons of a waiting container that has no image."""

_UNREACHABLE = re.compile(
    r"no such host|connection refused|connection reset|i/o timeout|network is unreachable|no route to host"
    r"|TLS handshake timeout|server misbehaving|deadline exceeded|proxyconnect|x509:|certificate|temporary failure in name"
    r"|name or service not known|could not resolve|Client\.Timeout|EOF\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"401|403|unauthori[sz]ed|authentication required|access denied|denied:|forbidden", re.IGNORECASE
)
_UNKNOWN = re.compile(r"not found|manifest unknown|404|does not exist|name unknown", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Name:
    """The parts of an image's name, with Docker's defaults filled in."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def full(self) -> str:
        """The whole name."""
        tail = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"{self.registry}/{self.repository}{tail}"


def parse(image: str) -> Name:
    """Split an image's name as container runtimes do: docker.io, library/ and latest are the defaults."""
    rest, _, digest = image.partition("@")
    tag = ""
    head, colon, tail = rest.rpartition(":")
    if colon and "/" not in tail:
        rest, tag = head, tail
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first, remainder
    else:
        registry, repository = "docker.io", rest
    if registry in {"index.docker.io", "registry-1.docker.io"}:
        registry = "docker.io"
    if registry == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    return Name(registry, repository, tag if tag or digest else "latest", digest)


def on_node(inventory: Inventory, node: str = "") -> set[str]:
    """Return the full names of the images that a node, or any node, says it holds."""
    if not node:
        return {parse(name).full for name in inventory.keys("held")}
    one = inventory.get(Ref("", "Node", "", node))
    return {
        parse(name).full for _, image in mappings(one, "status", "images") for name in words(image, "names")
    }


def _known(inventory: Inventory) -> frozenset[Name]:
    """Return the images that some node holds or some container runs or ran."""
    return frozenset(parse(name) for index in ("held", "ran") for name in inventory.keys(index))


def meant(inventory: Inventory, image: str) -> str | None:
    """Return the image that was probably meant, written as the wrong one is: on a node, or run by another container."""
    wrong = parse(image)
    known = {
        one
        for one in inventory.kept(_known)
        if one.registry == wrong.registry and not one.digest and one != wrong
    }
    same = {one.tag for one in known if one.repository == wrong.repository}
    if same and not wrong.digest:
        if len(same) == 1:
            return _written(image, wrong, Name(wrong.registry, wrong.repository, next(iter(same)), ""))
        near = sorted((distance(wrong.tag, tag), tag) for tag in same)
        if near[0][0] < near[1][0]:
            return _written(image, wrong, Name(wrong.registry, wrong.repository, near[0][1], ""))
        return None
    if same:
        return None
    repository = nearest(wrong.repository, {one.repository for one in known if one.tag == wrong.tag})
    if repository is None:
        return None
    return _written(image, wrong, Name(wrong.registry, repository, wrong.tag, ""))


def _written(image: str, wrong: Name, right: Name) -> str:
    """Write the right name with what the wrong one left out left out too."""
    name = right.repository
    if wrong.registry != "docker.io" or image.startswith("docker.io/"):
        name = f"{right.registry}/{name}"
    elif name.startswith("library/") and not image.startswith("library/"):
        name = name.removeprefix("library/")
    return name if right.tag == "latest" and ":" not in image.rpartition("/")[2] else f"{name}:{right.tag}"


@dataclass(slots=True)
class _Failure:
    """All that is known about one image that cannot be had."""

    image: str
    reason: str = ""
    said: str = ""
    templates: dict[Ref, tuple[Template, Container]] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)
    nodes: set[str] = field(default_factory=set)
    pods: list[Member] = field(default_factory=list)


def _failure(inventory: Inventory, image: str) -> _Failure:
    failure = _Failure(image)
    for pod in inventory.at("pulling", image):
        member = inventory.member(pod)
        for container, status in member.statuses() if member is not None else ():
            waiting = mapping(status, "state", "waiting")
            if (
                text(waiting, "reason") in PULL_REASONS
                and text(container.content, "image") == image
                and member is not None
            ):
                _note(inventory, failure, member, container, waiting)
    return failure


def _right(inventory: Inventory, image: str) -> str | None:
    """Return the image that was probably meant, None where the name is no name or none is near."""
    failure = inventory.kept(_failure, image)
    return meant(inventory, image) if failure.reason != "InvalidImageName" else None


def _unreachable(inventory: Inventory, image: str) -> bool:
    """Say whether the image's registry, and nothing else, stands in the way."""
    failure = inventory.kept(_failure, image)
    return (
        _classified(failure.said) == "unreachable"
        and failure.reason != "ErrImageNeverPull"
        and inventory.kept(_right, image) is None
    )


def _note(
    inventory: Inventory, failure: _Failure, member: Member, container: Container, waiting: Mapping[str, str]
) -> None:
    reason, message = text(waiting, "reason"), text(waiting, "message")
    notes = [
        note
        for note in inventory.events(member.ref, "Failed")
        if failure.image in note.message and ":" in note.message
    ]
    telling = max((note.message for note in notes), key=len, default="")
    said = max(message, telling, key=len) if not _classified(message) else message
    if not failure.said or (_classified(said) and not _classified(failure.said)):
        failure.said = said
    if failure.reason in {"", "ImagePullBackOff"}:
        failure.reason = reason
    failure.nodes.add(member.node)
    failure.pods.append(member)
    holder = member.top.container(container.name)
    if holder is not None and text(holder.content, "image") == failure.image:
        failure.templates.setdefault(member.top.ref, (member.top, holder))
    if len(failure.evidence) < 3:
        state = f"container {container.name} waits: {reason}"
        if message:
            state += f": {inventory.quote(_cut(message), member.ref)}"
        failure.evidence.append(Evidence("field", member.ref, state))
        for note in notes[-1:]:
            if note.message != message:
                told = inventory.noted(member.ref, replace(note, message=_cut(note.message)))
                failure.evidence.append(told)


def _classified(said: str) -> str:
    """Return unreachable, denied, unknown or "" for what a runtime said."""
    # A registry's host or a proxy may carry any words; the end of the text is what went wrong.
    if _UNREACHABLE.search(said):
        return "unreachable"
    if _DENIED.search(said):
        return "denied"
    if _UNKNOWN.search(said):
        return "unknown"
    return ""


def _pod(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """Each image that a pod waits for; the first that waits for it tells of it, and of the registries and nodes behind it."""
    member = inventory.member(pod)
    if member is None:
        return
    waiting = {
        text(container.content, "image"): None
        for container, status in member.statuses()
        if text(status, "state", "waiting", "reason") in PULL_REASONS
    }
    for image in waiting:
        failure = inventory.kept(_failure, image)
        if failure.pods[0].ref == member.ref:
            because: list[tuple[str, Ref, str]] = []
            if inventory.kept(_unreachable, image):
                registry = Ref("", "Registry", "", parse(image).registry)
                for node in sorted(failure.nodes):
                    because.append(("registry.unreachable", registry, node))
                    yield from _registries(inventory, registry, node)
            if _classified(failure.said) == "denied":
                for _, entry in mappings(member.pod, "spec", "imagePullSecrets"):
                    secret = Ref("", "Secret", member.ref.namespace, text(entry, "name"))
                    because.append(("secret.registry", secret, ""))
            right = inventory.kept(_right, image)
            yield _fact(inventory, failure, right, _classified(failure.said), tuple(because))
        key = {"InvalidImageName": "image.invalid", "ErrImageNeverPull": "image.never"}.get(
            failure.reason, "image.pull"
        )
        yield Fact(
            rule="pod.waiting",
            subject=member.ref,
            message=f"waits for its image ({failure.reason})",
            because=((key, Ref("", "Image", "", image), ""),),
        )


def _fact(
    inventory: Inventory,
    failure: _Failure,
    right: str | None,
    sort: str,
    because: tuple[tuple[str, Ref, str], ...],
) -> Fact:
    single = next(iter(failure.templates.values())) if len(failure.templates) == 1 else None
    first = next(iter(failure.templates.values()), None)
    rule = {"InvalidImageName": "image.invalid", "ErrImageNeverPull": "image.never"}.get(
        failure.reason, "image.pull"
    )
    if rule == "image.invalid":
        message, cause = f"{failure.image!r} is not a valid image name", "No registry can be asked for it."
    elif rule == "image.never":
        message = f"image {failure.image} is not on the node, and its pull policy is Never"
        cause = "With imagePullPolicy Never only images that the node already has can run."
    else:
        message = f"image {failure.image} cannot be pulled"
        cause = _why(inventory, failure, sort)
    if right is not None:
        cause = f"{right} is there: probably that image is meant."
    fixes: tuple[Fix, ...] = ()
    if right is not None and failure.templates:
        title = f"use image {right}"
        fix = joined(
            [
                edit_template(inventory, template, _edits(template, failure.image, right), title)
                for template, _ in failure.templates.values()
            ],
            title,
        )
        fixes = (fix,) if fix else ()
    return Fact(
        rule=rule,
        subject=Ref("", "Image", "", failure.image),
        message=message,
        cause=cause,
        evidence=tuple(failure.evidence),
        fixes=fixes,
        where=inventory.where(first[0].ref, (*first[1].path, "image"))
        if first
        else _nowhere(inventory, failure),
        confidence="likely" if right is not None else "certain",
        because=because,
        blame=single[0].ref if single else None,
    )


def _nowhere(inventory: Inventory, failure: _Failure) -> Where:
    member = failure.pods[0]
    return inventory.where(member.ref, ())


def _edits(template: Template, wrong: str, right: str) -> list[Edit]:
    return [
        Edit((*one.path, "image"), right)
        for one in template.containers()
        if text(one.content, "image") == wrong
    ]


def _why(inventory: Inventory, failure: _Failure, sort: str) -> str:
    name = parse(failure.image)
    if sort == "unreachable":
        return f"The registry {name.registry} cannot be reached from the node."
    if sort == "denied":
        absent = [
            edge.target.name
            for template, _ in failure.templates.values()
            for edge in edges(template.resource)
            if edge.relation == "pull-secret" and inventory.missing(edge.target)
        ]
        if absent:
            return f"The registry {name.registry} refuses, and the pull secret {absent[0]} does not exist."
        return f"The registry {name.registry} refuses: the repository does not exist there, or needs credentials."
    if sort == "unknown":
        return f"The registry {name.registry} has no {name.repository}:{name.tag or name.digest}."
    return ""


def _asked(inventory: Inventory, node: str) -> Mapping[str, str]:
    """Return the registries that cannot be reached from a node, each with what was said of it."""
    found: dict[str, str] = {}
    for pod in inventory.at("pulling on", node):
        for _, container in [*mappings(pod, "spec", "initContainers"), *mappings(pod, "spec", "containers")]:
            image = text(container, "image")
            failure = inventory.kept(_failure, image)
            if node in failure.nodes and inventory.kept(_unreachable, image):
                found.setdefault(parse(image).registry, failure.said)
    return found


def _registries(inventory: Inventory, registry: Ref, node: str) -> Iterator[Fact]:
    asked = inventory.kept(_asked, node)
    about = Ref("", "Node", "", node)
    several = len(asked) > 1
    yield Fact(
        rule="registry.unreachable",
        subject=registry,
        detail=node,
        message=f"cannot be reached from node {node or '(unknown)'}",
        cause=inventory.quote(_end(asked.get(registry.name, "")), registry),
        because=(("node.offline", about, ""), about) if several else (about,),
    )
    if several:
        yield Fact(
            rule="node.offline",
            subject=about,
            severity=Severity.WARNING,
            message=f"reaches none of the registries that its pods ask: {', '.join(sorted(asked))}",
            cause="Several registries at once: the node's network or name service is the likelier cause.",
            confidence="likely",
            because=(about,),
        )


def _cut(said: str) -> str:
    """Return a chain of errors, each wrapped in the next, without its middle: what was tried, and what went wrong."""
    parts = said.split(": ")
    return said if len(parts) < 5 else f"{parts[0]}: … {_end(said)}"


def _end(said: str) -> str:
    """Return the innermost of a chain of errors."""
    parts = said.split(": ")
    tail = next(
        (index for index, part in enumerate(parts) if part.startswith("dial tcp")), max(len(parts) - 2, 0)
    )
    return ": ".join(parts[tail:])


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {("", "Pod"): _pod}
