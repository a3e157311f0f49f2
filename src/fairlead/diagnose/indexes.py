"""Under which keys each object is found: a table of indexes, the shelves that hold them, and what was read of them.

An index is a function from one object to keys. It looks at that object alone, so that after a change only the keys before and after it are
touched. Judges nothing, and must never read a second object, the clock or the scope. To add an index, add a row to INDEXES.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterable, Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from fairlead.diagnose.references import CLUSTER_SCOPED, template_path
from fairlead.tongues.paths import mapping, mappings, text, words
from fairlead.words import Ref, Resource

Place: TypeAlias = tuple[str, str, str, str]
"""Group, kind, namespace and name of an object: the order in which everything is told."""
Item = TypeVar("Item")

PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable",
     "ImageInspectError"}
)  # fmt: skip
"""The reasons of a waiting container that has no image."""

_POD = frozenset({("", "Pod")})
_SERVICE = frozenset({("", "Service")})
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
_CONTAINERS = ("initContainers", "containers")


@dataclass(frozen=True, slots=True)
class Index:
    """How objects of some kinds (None: of every kind but Events) are found: `keys` gives the keys of one, in any order."""

    keys: Callable[[Resource], Iterable[Hashable]]
    kinds: frozenset[tuple[str, str]] | None = None

    def covers(self, group: str, kind: str) -> bool:
        """Say whether objects of the kind are in this index."""
        return kind != "Event" if self.kinds is None else (group, kind) in self.kinds


def place(resource: Resource) -> Place:
    """Return where the object stands in the order of all."""
    meta = resource.get("metadata") or {}
    version = resource.get("apiVersion") or ""
    return (
        version.rpartition("/")[0],
        resource.get("kind") or "",
        meta.get("namespace") or "",
        meta.get("name") or meta.get("generateName") or "",
    )


def _space(resource: Resource) -> str:
    """Return the namespace of a namespaced object, `default` where files leave it open."""
    return mapping(resource, "metadata").get("namespace") or "default"


def _labels(content: Any, *path: str | int) -> Iterator[tuple[str, str]]:
    for key, value in mapping(content, *path).items():
        if isinstance(value, str):
            yield key, value


def _namespace(resource: Resource) -> Iterator[Hashable]:
    group, kind, namespace, _ = place(resource)
    if (group, kind) not in CLUSTER_SCOPED:
        yield namespace


def _name(resource: Resource) -> Iterator[Hashable]:
    yield place(resource)[3]


def _owners(resource: Resource) -> Iterator[Hashable]:
    for _, owner in mappings(resource, "metadata", "ownerReferences"):
        yield text(owner, "uid")


def _controllers(resource: Resource) -> Iterator[Hashable]:
    for _, owner in mappings(resource, "metadata", "ownerReferences"):
        if owner.get("controller") is True:
            yield text(owner, "uid")


def _pod_labels(pod: Resource) -> Iterator[Hashable]:
    space = text(pod, "metadata", "namespace")
    for key, value in _labels(pod, "metadata", "labels"):
        yield space, key, value


def _template_labels(resource: Resource) -> Iterator[Hashable]:
    path = template_path(resource)
    if path is not None:
        space = _space(resource)
        for key, value in _labels(resource, *path, "metadata", "labels"):
            yield space, key, value


def _template(resource: Resource) -> Iterator[Hashable]:
    if template_path(resource) is not None:
        yield _space(resource)


def _containers(resource: Resource) -> Iterator[dict[str, Any]]:
    path = template_path(resource)
    if path is not None:
        for field in _CONTAINERS:
            for _, container in mappings(resource, *path, "spec", field):
                yield container


def _images(resource: Resource) -> Iterator[Hashable]:
    for container in _containers(resource):
        yield text(container, "image")


def _variables(resource: Resource) -> Iterator[Hashable]:
    for container in _containers(resource):
        for _, entry in mappings(container, "env"):
            yield _space(resource), text(entry, "name")


def _ports(resource: Resource) -> Iterator[Hashable]:
    for container in _containers(resource):
        for _, port in mappings(container, "ports"):
            for said in (port.get("containerPort"), port.get("name")):
                if isinstance(said, (int, str)):
                    yield _space(resource), said


def _service_ports(service: Resource) -> Iterator[Hashable]:
    for _, port in mappings(service, "spec", "ports"):
        for said in (port.get("port"), port.get("name")):
            if isinstance(said, (int, str)):
                yield _space(service), said


def _selects(service: Resource) -> Iterator[Hashable]:
    for key, value in _labels(service, "spec", "selector"):
        yield _space(service), key, value


def _node(pod: Resource) -> Iterator[Hashable]:
    name = text(pod, "spec", "nodeName")
    if name:
        yield name


def _unscheduled(pod: Resource) -> Iterator[Hashable]:
    if not text(pod, "spec", "nodeName"):
        for _, item in mappings(pod, "status", "conditions"):
            if item.get("type") == "PodScheduled" and item.get("status") == "False":
                yield ""


def _statuses(pod: Resource) -> Iterator[dict[str, Any]]:
    for part in _STATUSES:
        for _, status in mappings(pod, "status", part):
            yield status


def _pulling(pod: Resource) -> Iterator[Hashable]:
    waiting = {
        text(status, "name")
        for status in _statuses(pod)
        if text(status, "state", "waiting", "reason") in PULL_REASONS
    }
    if waiting:
        for container in _containers(pod):
            if text(container, "name") in waiting:
                yield text(container, "image")


def _pulling_on(pod: Resource) -> Iterator[Hashable]:
    for _ in _pulling(pod):
        yield text(pod, "spec", "nodeName")


def _ran(pod: Resource) -> Iterator[Hashable]:
    if mapping(pod, "metadata").get("deletionTimestamp"):
        return
    began = {
        text(status, "name")
        for status in _statuses(pod)
        if mapping(status, "lastState") or mapping(status, "state").keys() & {"running", "terminated"}
    }
    for container in _containers(pod):
        if text(container, "name") in began and text(container, "image"):
            yield text(container, "image")


def _held(node: Resource) -> Iterator[Hashable]:
    for _, image in mappings(node, "status", "images"):
        yield from words(image, "names")


def _addresses(resource: Resource) -> Iterator[Hashable]:
    if resource.get("kind") == "Service":
        yield from {text(resource, "spec", "clusterIP"), *words(resource, "spec", "clusterIPs")} - {
            "",
            "None",
        }
    else:
        said = {text(one, "ip") for _, one in mappings(resource, "status", "podIPs")}
        yield from {text(resource, "status", "podIP"), *said} - {""}


def _about(event: Resource) -> Iterator[Hashable]:
    yield subject(event)


def _record(record: Resource) -> Iterator[Hashable]:
    yield text(record, "metadata", "namespace"), text(record, "pod"), text(record, "container")


def subject(event: Resource) -> Ref:
    """Return what a Kubernetes Event (of either group) is about."""
    about = mapping(event, "regarding") or mapping(event, "involvedObject")
    return Ref(
        text(about, "apiVersion").rpartition("/")[0],
        text(about, "kind"),
        text(about, "namespace"),
        text(about, "name"),
        text(about, "uid"),
    )


INDEXES: Mapping[str, Index] = {
    "namespace": Index(_namespace),
    "name": Index(_name),
    "owner": Index(_owners),
    "controller": Index(_controllers),
    "label": Index(_pod_labels, _POD),
    "template": Index(_template),
    "template label": Index(_template_labels),
    "image": Index(_images),
    "variable": Index(_variables),
    "port": Index(_ports),
    "service port": Index(_service_ports, _SERVICE),
    "service label": Index(_selects, _SERVICE),
    "address": Index(_addresses, _SERVICE | _POD),
    "node": Index(_node, _POD),
    "unscheduled": Index(_unscheduled, _POD),
    "pulling": Index(_pulling, _POD),
    "pulling on": Index(_pulling_on, _POD),
    "ran": Index(_ran, _POD),
    "held": Index(_held, frozenset({("", "Node")})),
    "about": Index(_about, frozenset({("", "Event"), ("events.k8s.io", "Event")})),
    "record": Index(_record, frozenset({("fairlead.dev", "FlightRecord")})),
}
"""What `Inventory.at(index, key)` knows, by the index's name. The keys:

- `namespace`: a namespace ("" for what files put in none); `name`: a name
- `owner`, `controller`: the uid of an owner, of the one that controls
- `label`: (namespace, key, value) of a Pod; `template label`: the same of the pods that an object makes (or of a Pod itself)
- `template`: the namespace of what makes pods, Pods included; `image`: an image's name as it is written in one
- `variable`: (namespace, name) of an environment variable in one; `port`: (namespace, number or name) of a port declared in one
- `service port`: (namespace, number or name); `service label`: (namespace, key, value) of a Service's selector
- `address`: an IP of a Service or Pod; `node`: the node that a Pod was bound to
- `unscheduled`: "" for the Pods that the scheduler could not place
- `pulling`: an image that containers of a Pod wait for; `pulling on`: the node where they wait
- `ran`: an image that runs or ran in a Pod; `held`: an image's name that a Node says it holds
- `about`: the Ref that an Event is about; `record`: (namespace, pod, container) of a FlightRecord

The namespace in keys of templates, ports, variables and services is `default` where files leave it open. Beside these there are, answered by
the Inventory itself: `kind` (group, kind), `kind in` (group, kind, namespace) and `target` (the Ref that an object refers to).
"""


class Shelf(Generic[Item]):
    """One index, built: items in the order of their objects under each key, kept current by `add` and `remove`."""

    __slots__ = ("_buckets", "_rank")

    def __init__(self, rank: Callable[[Item], Place]) -> None:
        self._buckets: dict[Hashable, list[Item]] = {}
        self._rank = rank

    def append(self, pairs: Iterable[tuple[Hashable, Item]]) -> None:
        """Add the items of an object that stands behind all that are here."""
        buckets = self._buckets
        for key, item in pairs:
            bucket = buckets.get(key)
            if bucket is None:
                buckets[key] = [item]
            else:
                bucket.append(item)

    def add(self, pairs: Iterable[tuple[Hashable, Item]]) -> None:
        """Add the items of an object where it belongs."""
        for key, item in pairs:
            insort(self._buckets.setdefault(key, []), item, key=self._rank)

    def remove(self, where: Place, keys: Iterable[Hashable]) -> None:
        """Take away the items of the object at the place, found under these keys."""
        for key in keys:
            bucket = self._buckets.get(key)
            if bucket is None:
                continue
            start = bisect_left(bucket, where, key=self._rank)
            end = start
            while end < len(bucket) and self._rank(bucket[end]) == where:
                end += 1
            del bucket[start:end]
            if not bucket:
                del self._buckets[key]

    def at(self, key: Hashable) -> Sequence[Item]:
        """Return what is found under the key. Not a copy: it must not be changed."""
        return self._buckets.get(key, ())

    def keys(self) -> KeysView[Hashable]:
        """Return every key under which there is something."""
        return self._buckets.keys()


@dataclass(slots=True)
class Reads:
    """What somebody read: the tokens of the answers, and until when those hold that hang on the clock (None: for ever)."""

    tokens: set[Hashable] = field(default_factory=set)
    until: datetime | None = None

    def add(self, other: Reads) -> None:
        """Count in what another read."""
        self.tokens |= other.tokens
        self.hold(other.until)

    def hold(self, until: datetime | None) -> None:
        """Count in a time until which an answer holds."""
        if until is not None and (self.until is None or until < self.until):
            self.until = until
