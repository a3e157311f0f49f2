"""Source k8s_audit: the fields of Kubernetes audit events (`ka.*`, `jevt.*`, `json.*`, and `evt.*` that every source has).

An event is a plain audit.k8s.io/v1 Event object in an `Audited`. Absent and wrongly typed values are absent, never an error.
Source of names and meanings: the fields of falcosecurity/plugins' k8saudit and json plugins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from fairlead.dialects.falco import outputs
from fairlead.tongues import conditions
from fairlead.tongues.conditions import Field, FieldRef, Many, Tree, Type, UnknownField
from fairlead.words import Where

SOURCE = "k8s_audit"

Extract: TypeAlias = Callable[["Audited"], Any]


@dataclass(frozen=True, slots=True)
class Audited:
    """One audit event: the object, when it was received (ns since the epoch), and its number among those that were."""

    object: Mapping[str, Any]
    time: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class AuditRule:
    """A rule over audit events, compiled elsewhere into one function for all of them."""

    model: outputs.Model
    tree: Tree
    where: Where
    enabled: bool


@dataclass(frozen=True, slots=True)
class AuditDetection:
    """A rule said yes to an audit event."""

    rule: AuditRule
    event: Audited

    def line(self, zone: int = 0) -> str:
        """Return Falco's line."""
        return self.rule.model.line(self.event, self.event.time, zone)

    def json(self, hostname: str, zone: int = 0) -> str:
        """Return Falco's JSON line."""
        return self.rule.model.json(self.event, self.event.time, hostname, zone)


class Auditor:
    """All enabled rules over audit events as one function."""

    def __init__(self, rules: tuple[AuditRule, ...]) -> None:
        self.rules = rules
        enabled = {index: rule.tree for index, rule in enumerate(rules) if rule.enabled}
        self._judge = conditions.compile_all(enabled, AuditFields())

    def judge(self, event: Audited) -> list[AuditDetection]:
        """Return what the rules say of an event. One event may meet several rules."""
        return [AuditDetection(self.rules[index], event) for index in self._judge(event)]


def events(document: Any, received: int, number: int = 0) -> list[Audited]:
    """Return the audit events in what a webhook was sent or a line of a log holds: an EventList, an Event, or a list of either.

    Their time is that of their stage; `received` (ns since the epoch) where they say none. They are numbered from `number` on. What is no
    object is left out.
    """
    found: list[Audited] = []
    stack = [document]
    while stack:
        one = stack.pop()
        if isinstance(one, list):
            stack.extend(reversed(one))
        elif isinstance(one, Mapping) and isinstance(one.get("items"), list) and "auditID" not in one:
            stack.extend(reversed(one["items"]))
        elif isinstance(one, Mapping):
            found.append(Audited(one, _moment_of(one) or received, number + len(found)))
    return found


def _moment_of(event: Mapping[str, Any]) -> int:
    """When a stage was reached, in ns since the epoch; 0 where the event does not say."""
    for key in ("stageTimestamp", "requestReceivedTimestamp"):
        text = event.get(key)
        if isinstance(text, str):
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                continue
            if moment.tzinfo is not None:
                past = moment - datetime(1970, 1, 1, tzinfo=UTC)
                return (past.days * 86_400 + past.seconds) * 1_000_000_000 + past.microseconds * 1_000
    return 0


# ---- how values are read ------------------------------------------------------------------------------------------


def _get(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _text(value: Any) -> str | None:
    """A value as text: texts as they are, all else as compact JSON."""
    if value is None or isinstance(value, str):
        return value
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None


def _texts(values: list[Any]) -> list[str]:
    """Those of the values that are there, as texts."""
    return [text for value in values if (text := _text(value)) is not None]


def _spread(value: Any, index: int | None, keys: tuple[str, ...]) -> list[Any] | None:
    """The values under keys, through lists on the way: of all members (None for those that lack it), or of the one at `index`.

    None where there is nothing to go through.
    """
    for position, key in enumerate(keys):
        if isinstance(value, list):
            if index is None:
                found: list[Any] = []
                for member in value:
                    found += _spread(member, index, keys[position:]) or [None]
                return found
            if index >= len(value):
                return None
            value = value[index]
        value = _get(value, key)
        if value is None:
            return None
    return [value]


def _one(*keys: str) -> Extract:
    return lambda event: _text(_get(event.object, *keys))


def _listed(*keys: str) -> Extract:
    def get(event: Audited) -> list[str] | None:
        value = _get(event.object, *keys)
        return [_text(member) or "" for member in value] if isinstance(value, list) else None

    return get


def _all(index: int | None, *keys: str) -> Extract:
    def get(event: Audited) -> list[str] | None:
        found = _spread(event.object, index, keys)
        return None if found is None else _texts(found)

    return get


def _flat(index: int | None, *keys: str) -> Extract:
    """The members of the lists under the keys."""

    def get(event: Audited) -> list[str] | None:
        found = _spread(event.object, index, keys)
        if found is None:
            return None
        return [text for value in found if isinstance(value, list) for text in _texts(value)]

    return get


# ---- containers ---------------------------------------------------------------------------------------------------

_SPEC = ("requestObject", "spec")


def _containers(event: Audited, sort: str) -> Any:
    """The containers of a request's pod. Ephemeral containers also come as the object of their own subresource."""
    found = _get(event.object, *_SPEC, sort)
    if found is None and sort == "ephemeralContainers":
        found = _get(event.object, "requestObject", sort)
    return found


def _of_containers(sort: str, index: int | None, *keys: str) -> Extract:
    def get(event: Audited) -> list[str] | None:
        found = _spread(_containers(event, sort), index, keys)
        return None if found is None else _texts(found)

    return get


def _members_of_containers(sort: str, index: int | None, *keys: str) -> Extract:
    def get(event: Audited) -> list[str] | None:
        found = _spread(_containers(event, sort), index, keys)
        if found is None:
            return None
        return [text for value in found if isinstance(value, list) for text in _texts(value)]

    return get


def _images(sort: str, index: int | None) -> Extract:
    def get(event: Audited) -> list[str] | None:
        found = _spread(_containers(event, sort), index, ("image",))
        return None if found is None or any(image is None for image in found) else _texts(found)

    return get


def _repositories(sort: str, index: int | None) -> Extract:
    images = _images(sort, index)

    def get(event: Audited) -> list[str] | None:
        found = images(event)
        return None if found is None else [repository(image) for image in found]

    return get


def repository(image: str) -> str:
    """Return an image's reference without its tag and digest; a colon within the registry's name is its port's."""
    name = image.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    return path if colon and "/" not in tag else name


def _first(extract: Extract) -> Extract:
    def get(event: Audited) -> str | None:
        found = extract(event)
        return found[0] if found else None

    return get


def _host_ports(sort: str, index: int | None) -> Extract:
    def get(event: Audited) -> list[str] | None:
        found = _spread(_containers(event, sort), index, ("ports",))
        if found is None:
            return None
        ports = [port for ports in found if isinstance(ports, list) for port in ports]
        # With hostNetwork the port of the container is that of the host.
        return _texts([_get(port, "hostPort") or _get(port, "containerPort") for port in ports])

    return get


def _effective(sort: str, index: int | None, key: str) -> Extract:
    """What each container runs as: its own, else the pod's, else 0."""

    def get(event: Audited) -> list[str] | None:
        pod = _text(_get(event.object, *_SPEC, "securityContext", key)) or "0"
        found = _spread(_containers(event, sort), index, ("securityContext", key))
        if found is None:
            containers = _containers(event, sort)
            if not isinstance(containers, list) or (index is not None and index >= len(containers)):
                return None
            found = [None] * (len(containers) if index is None else 1)
        return [_text(value) or pod for value in found]

    return get


def _any_privileged(event: Audited) -> str | None:
    found = _spread(_containers(event, "containers"), None, ("securityContext", "privileged"))
    return None if found is None else "true" if True in found else "false"


def _volume_types(index: int | None) -> Extract:
    def get(event: Audited) -> list[str] | None:
        volumes = _get(event.object, *_SPEC, "volumes")
        if not isinstance(volumes, list):
            return None
        chosen = volumes if index is None else volumes[index : index + 1]
        return [key for volume in chosen if isinstance(volume, Mapping) for key in volume if key != "name"]

    return get


def _hostpath(wanted: str) -> Extract:
    def get(event: Audited) -> str | None:
        found = _spread(event.object, None, (*_SPEC, "volumes", "hostPath", "path"))
        if found is None:
            return None
        prefix = wanted[:-1] if wanted.endswith("*") else None
        for path in _texts(found):
            if path == wanted or (prefix is not None and path.startswith(prefix)):
                return "true"
        return "false"

    return get


def _parameter(name: str) -> Extract:
    def get(event: Audited) -> str | None:
        uri = _text(_get(event.object, "requestURI"))
        if uri is None:
            return None
        try:
            found = parse_qs(urlsplit(uri).query, keep_blank_values=True, max_num_fields=10_000).get(name)
        except ValueError:
            return None
        return found[0] if found else None

    return get


def _pointer(pointer: str) -> Extract:
    """The value at a JSON pointer (RFC 6901), as text."""
    keys = [key.replace("~1", "/").replace("~0", "~") for key in pointer.removeprefix("/").split("/")]

    def get(event: Audited) -> str | None:
        value: Any = event.object
        for key in keys:
            if isinstance(value, list):
                value = value[int(key)] if key.isascii() and key.isdigit() and int(key) < len(value) else None
            else:
                value = _get(value, key)
            if value is None:
                return None
        return _text(value)

    return get


def _whole(event: Audited) -> str | None:
    try:
        return json.dumps(event.object, indent=2, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None


# ---- the table ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A field: `make` gives its extraction, from its argument where it takes one.

    `argument` is "" for none, `index` for a number that may be given, `key` for a text that must be.
    """

    make: Callable[..., Any]
    doc: str
    many: Many = Many.ONE
    argument: str = ""
    type: Type = Type.TEXT


def _plain(doc: str, *keys: str) -> Row:
    return Row(partial(_one, *keys), doc)


def _of_each(sort: str, what: str) -> dict[str, Row]:
    """The fields of one sort of containers."""
    rows: dict[str, tuple[Callable[..., Any], str]] = {
        "name": (lambda index: _of_containers(sort, index, "name"), "names"),
        "image": (lambda index: _images(sort, index), "images"),
        "image.repository": (lambda index: _repositories(sort, index), "images without tag and digest"),
        "command": (lambda index: _members_of_containers(sort, index, "command"), "commands"),
        "args": (lambda index: _members_of_containers(sort, index, "args"), "arguments"),
        "host_port": (lambda index: _host_ports(sort, index), "ports on the host"),
        "privileged": (lambda index: _of_containers(sort, index, "securityContext", "privileged"), "privileged flags"),
        "allow_privilege_escalation": (
            lambda index: _of_containers(sort, index, "securityContext", "allowPrivilegeEscalation"), "allowPrivilegeEscalation flags",
        ),
        "read_only_fs": (lambda index: _of_containers(sort, index, "securityContext", "readOnlyRootFilesystem"), "readOnlyRootFilesystem flags"),
        "run_as_user": (lambda index: _of_containers(sort, index, "securityContext", "runAsUser"), "users"),
        "eff_run_as_user": (lambda index: _effective(sort, index, "runAsUser"), "users, the pod's or 0 where they say none"),
        "run_as_group": (lambda index: _of_containers(sort, index, "securityContext", "runAsGroup"), "groups"),
        "eff_run_as_group": (lambda index: _effective(sort, index, "runAsGroup"), "groups, the pod's or 0 where they say none"),
        "proc_mount": (lambda index: _of_containers(sort, index, "securityContext", "procMount"), "procMount types"),
        "add_capabilities": (lambda index: _members_of_containers(sort, index, "securityContext", "capabilities", "add"), "added capabilities"),
    }  # fmt: skip
    return {
        f"ka.req.pod.{sort}.{name}": Row(make, f"{what}: {doc}", Many.LIST, "index")
        for name, (make, doc) in rows.items()
    }


def _moment(show: Callable[[int], Any], of: Type = Type.TEXT) -> Row:
    return Row(lambda: lambda event: show(event.time), "when the event was received", type=of)


FIELDS: Mapping[str, Row] = {
    "ka.auditid": _plain("the event's id", "auditID"),
    "ka.stage": _plain("the stage of the request", "stage"),
    "ka.auth.decision": _plain("the authorization's decision", "annotations", "authorization.k8s.io/decision"),
    "ka.auth.reason": _plain("the authorization's reason", "annotations", "authorization.k8s.io/reason"),
    "ka.auth.openshift.decision": _plain("the authentication's decision", "annotations", "authentication.openshift.io/decision"),
    "ka.auth.openshift.username": _plain("the user who logged in", "annotations", "authentication.openshift.io/username"),
    "ka.user.name": _plain("the user", "user", "username"),
    "ka.user.groups": Row(partial(_listed, "user", "groups"), "the user's groups", Many.LIST),
    "ka.impuser.name": _plain("the impersonated user", "impersonatedUser", "username"),
    "ka.verb": _plain("the verb", "verb"),
    "ka.uri": _plain("the URI", "requestURI"),
    "ka.uri.param": Row(_parameter, "a parameter of the URI", argument="key"),
    "ka.target.name": _plain("the object's name", "objectRef", "name"),
    "ka.target.namespace": _plain("the object's namespace", "objectRef", "namespace"),
    "ka.target.resource": _plain("the resource", "objectRef", "resource"),
    "ka.target.subresource": _plain("the subresource", "objectRef", "subresource"),
    "ka.target.pod.name": Row(
        lambda: lambda event: _target_pod(event), "the pod's name, also where the request named none",  # noqa: PLW0108
    ),
    "ka.req.binding.subjects": Row(partial(_listed, "requestObject", "subjects"), "subjects of a binding", Many.LIST),
    "ka.req.binding.role": _plain("the role of a binding", "requestObject", "roleRef", "name"),
    "ka.req.binding.subject.has_name": Row(lambda _: lambda _event: "true", "deprecated: always true", argument="key"),
    "ka.req.configmap.name": _plain("a config map's name", "objectRef", "name"),
    "ka.req.configmap.obj": _plain("a config map's data", "requestObject", "data"),
    "ka.req.container.image": Row(lambda: _first(_images("containers", 0)), "deprecated: the first container's image"),
    "ka.req.container.image.repository": Row(lambda: _first(_repositories("containers", 0)), "deprecated: the same without tag"),
    "ka.req.container.host_network": _plain("deprecated: as ka.req.pod.host_network", *_SPEC, "hostNetwork"),
    "ka.req.container.privileged": Row(lambda: _any_privileged, "deprecated: whether any container is privileged"),
    "ka.req.pod.host_ipc": _plain("the pod's hostIPC", *_SPEC, "hostIPC"),
    "ka.req.pod.host_network": _plain("the pod's hostNetwork", *_SPEC, "hostNetwork"),
    "ka.req.pod.host_pid": _plain("the pod's hostPID", *_SPEC, "hostPID"),
    "ka.req.pod.run_as_user": _plain("the pod's user", *_SPEC, "securityContext", "runAsUser"),
    "ka.req.pod.run_as_group": _plain("the pod's group", *_SPEC, "securityContext", "runAsGroup"),
    "ka.req.pod.fs_group": _plain("the pod's fsGroup", *_SPEC, "securityContext", "fsGroup"),
    "ka.req.pod.supplemental_groups": Row(
        partial(_listed, *_SPEC, "securityContext", "supplementalGroups"), "the pod's supplemental groups", Many.LIST,
    ),
    **_of_each("containers", "a pod's containers"),
    **_of_each("initContainers", "a pod's init containers"),
    **_of_each("ephemeralContainers", "a pod's ephemeral containers"),
    "ka.req.pod.volumes.hostpath": Row(
        lambda index: _all(index, *_SPEC, "volumes", "hostPath", "path"), "paths of the host that a pod mounts", Many.LIST, "index",
    ),
    "ka.req.pod.volumes.flexvolume_driver": Row(
        lambda index: _all(index, *_SPEC, "volumes", "flexVolume", "driver"), "a pod's flexvolume drivers", Many.LIST, "index",
    ),
    "ka.req.pod.volumes.volume_type": Row(_volume_types, "the sorts of a pod's volumes", Many.LIST, "index"),
    "ka.req.volume.hostpath": Row(_hostpath, "deprecated: whether a pod mounts this path of the host", argument="key"),
    "ka.req.role.rules": Row(partial(_listed, "requestObject", "rules"), "a role's rules", Many.LIST),
    "ka.req.role.rules.apiGroups": Row(lambda index: _flat(index, "requestObject", "rules", "apiGroups"), "their API groups", Many.LIST, "index"),
    "ka.req.role.rules.nonResourceURLs": Row(
        lambda index: _flat(index, "requestObject", "rules", "nonResourceURLs"), "their URLs", Many.LIST, "index",
    ),
    "ka.req.role.rules.verbs": Row(lambda index: _flat(index, "requestObject", "rules", "verbs"), "their verbs", Many.LIST, "index"),
    "ka.req.role.rules.resources": Row(lambda index: _flat(index, "requestObject", "rules", "resources"), "their resources", Many.LIST, "index"),
    "ka.req.service.type": _plain("a service's type", *_SPEC, "type"),
    "ka.req.service.ports": Row(lambda index: _service_ports(index), "a service's ports", Many.LIST, "index"),  # noqa: PLW0108
    "ka.resp.name": _plain("the answered object's name", "responseObject", "metadata", "name"),
    "ka.response.code": _plain("the answer's code", "responseStatus", "code"),
    "ka.response.reason": _plain("the answer's reason", "responseStatus", "reason"),
    "ka.useragent": _plain("the client", "userAgent"),
    "ka.sourceips": Row(lambda index: _source_ips(index), "the client's addresses", Many.LIST, "index"),  # noqa: PLW0108
    "ka.cluster.name": _plain("the cluster's name, where the event says it", "annotations", "cluster_name"),
    **{
        f"{prefix}.{name}": row
        for prefix in ("jevt", "json")
        for name, row in {
            "value": Row(_pointer, "the value at a JSON pointer", argument="key"),
            "obj": Row(lambda: _whole, "the whole event"),
            "rawtime": _moment(str),
        }.items()
    },
    "evt.num": Row(lambda: lambda event: event.number, "the event's number", type=Type.INT),
    "evt.source": Row(lambda: lambda _: SOURCE, "the source"),
    "evt.type": Row(lambda: lambda _: "pluginevent", "the sort of event"),
    "evt.pluginname": Row(lambda: lambda _: "k8saudit", "the plugin"),
    "evt.plugininfo": Row(lambda: lambda event: _summary(event), "the event in short"),  # noqa: PLW0108
    "evt.time": _moment(outputs.clock),
    "evt.time.s": _moment(lambda time: outputs.clock(time).partition(".")[0]),
    "evt.time.iso8601": _moment(outputs.iso8601),
    "evt.datetime": _moment(lambda time: outputs.iso8601(time).replace("T", " ").rstrip("Z")),
    "evt.datetime.s": _moment(lambda time: outputs.iso8601(time).replace("T", " ").partition(".")[0]),
    "evt.rawtime": _moment(int, Type.INT),
    "evt.rawtime.s": _moment(lambda time: time // 1_000_000_000, Type.INT),
    "evt.rawtime.ns": _moment(lambda time: time % 1_000_000_000, Type.INT),
}  # fmt: skip
"""Every field of the source."""


def _service_ports(index: int | None) -> Extract:
    def get(event: Audited) -> list[str] | None:
        ports = _get(event.object, *_SPEC, "ports")
        if not isinstance(ports, list):
            return None
        return _texts(ports if index is None else ports[index : index + 1])

    return get


def _source_ips(index: int | None) -> Extract:
    def get(event: Audited) -> list[str] | None:
        found = _get(event.object, "sourceIPs")
        if not isinstance(found, list):
            return None
        return _texts(found if index is None else found[index : index + 1])

    return get


def _target_pod(event: Audited) -> str | None:
    if _get(event.object, "objectRef", "resource") != "pods":
        return None
    return _text(
        _get(event.object, "objectRef", "name") or _get(event.object, "responseObject", "metadata", "name")
    )


def _summary(event: Audited) -> str:
    words = (_text(_get(event.object, *keys)) for keys in (("user", "username"), ("verb",), ("requestURI",)))
    return " ".join(word for word in words if word)


class AuditFields:
    """Gives the fields of an Audited (a tongues.conditions Resolver). Raises UnknownField."""

    def __init__(self) -> None:
        self._made: dict[FieldRef, Field] = {}

    def __call__(self, ref: FieldRef) -> Field:
        """Return how to get a field."""
        found = self._made.get(ref)
        if found is None:
            found = self._made[ref] = self._make(ref)
        return found

    def _make(self, ref: FieldRef) -> Field:
        shown = conditions.show_operand(ref)
        row = FIELDS.get(ref.name)
        if row is None:
            raise UnknownField(f"nonexistent field {shown}")
        if not row.argument and ref.argument is not None:
            raise UnknownField(f"field {shown} does not take an argument")
        extract = row.make(_argument(row, ref, shown)) if row.argument else row.make()
        name = f"get_{len(self._made)}"
        return Field(
            row.type,
            f"{name}(event)",
            row.many,
            names={name: _audited(extract) if ref.name.startswith("ka.") else extract},
        )


def _audited(extract: Extract) -> Extract:
    """The same, of what is an audit event at all."""
    return lambda event: extract(event) if "auditID" in event.object else None


def _argument(row: Row, ref: FieldRef, shown: str) -> int | str | None:
    if row.argument == "index":
        if ref.argument is None:
            return None
        if not (ref.argument.isascii() and ref.argument.isdigit()):
            raise UnknownField(f"field {shown}: the argument must be a number")
        return int(ref.argument)
    if not ref.argument:
        raise UnknownField(f"field {shown} requires an argument but none provided")
    return ref.argument
