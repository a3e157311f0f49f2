"""Who calls whom, as far as the objects tell: the hosts in variables, arguments and settings, and the Services that they stand for.

Reads what a container is told, wherever that is written: in its template, or in a ConfigMap or Secret that it gets its variables or files
from. Judges nothing; a text of a Secret is read for its host alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fairlead.diagnose.causes import Key
from fairlead.diagnose.hosts import Named, Spoken, arguments, commands, hostly, named, setting, written
from fairlead.diagnose.inventories import Inventory, Template
from fairlead.diagnose.references import Container
from fairlead.tongues.paths import Path, mapping, mappings, strings, text, words
from fairlead.words import Ref, Resource

_UNREACHED = re.compile(
    r"time(?:d )?-?out|deadline exceeded|unreachable|no route to host|ETIMEDOUT|EHOSTUNREACH", re.IGNORECASE
)
_VARIABLE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a container: its value, the object that it is written in, where, and whether that is the template itself."""

    name: str
    value: str
    holder: Ref
    path: Path
    literal: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A host that a container is told. `port` is 0 where nothing tells it, `told` whether a text does (not the scheme alone).

    `path` lies in `holder`; where the host stands in the template itself, `literal` is true and `start` is its place in the text.
    """

    template: Template
    container: str
    setting: str
    host: str
    port: int
    told: bool
    scheme: str
    holder: Ref
    path: Path
    start: int
    literal: bool

    @property
    def candidates(self) -> list[Named]:
        """What the host may stand for, the likeliest first."""
        return named(self.host, self.template.ref.namespace)

    @property
    def address(self) -> str:
        """The host with its port, where there is one: `db:5432`."""
        return f"{self.host}:{self.port}" if self.port else self.host

    def __str__(self) -> str:
        """For people: `DB_HOST names db:5432`."""
        return f"{self.setting} names {self.address}" if self.setting else f"names {self.address}"


def texts(inventory: Inventory, holder: Ref) -> Mapping[str, str]:
    """Return the settings of a ConfigMap or Secret as text, without what is none."""
    resource = inventory.get(holder)
    if resource is None:
        return {}
    found = dict(strings(resource, "data"))
    if holder.kind == "Secret":
        decoded = {}
        for key, value in found.items():
            try:
                decoded[key] = base64.b64decode(value, validate=True).decode()
            except (binascii.Error, ValueError):
                continue
        found = {**decoded, **strings(resource, "stringData")}
    return found


def variables(inventory: Inventory, template: Template, container: Container) -> dict[str, Variable]:
    """Return the container's variables whose values are known, by name: what stands later wins, as for kubelet."""
    space = template.ref.namespace
    found: dict[str, Variable] = {}
    for _, entry in mappings(container.content, "envFrom"):
        prefix = text(entry, "prefix")
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            name = text(entry, field, "name")
            if name:
                holder = Ref("", kind, space, name)
                for key, value in texts(inventory, holder).items():
                    variable = Variable(prefix + key, value, holder, ("data", key), literal=False)
                    found[variable.name] = variable
    for index, entry in mappings(container.content, "env"):
        name = text(entry, "name")
        path = (*container.path, "env", index, "value")
        if isinstance(entry.get("value"), str):
            value = _VARIABLE.sub(lambda match: _expanded(match, found), entry["value"])
            literal = value == entry["value"]
            found[name] = Variable(name, value, template.ref, path, literal)
            continue
        found.pop(name, None)
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            ref = mapping(entry, "valueFrom", field)
            holder = Ref("", kind, space, text(ref, "name"))
            held = texts(inventory, holder).get(text(ref, "key")) if holder.name else None
            if held is not None:
                found[name] = Variable(name, held, holder, ("data", text(ref, "key")), literal=False)
    return found


def _expanded(match: re.Match[str], known: Mapping[str, Variable]) -> str:
    variable = known.get(match[1])
    return variable.value.strip() if variable is not None else match[0]


def calls(inventory: Inventory, template: Template) -> Sequence[Call]:
    """Return every host that the template's containers are told, in the order of its writing."""
    if inventory.get(template.ref) is template.resource:
        return inventory.kept(_calls_by, template.ref)
    return _calls(inventory, template)


def _calls_by(inventory: Inventory, ref: Ref) -> Sequence[Call]:
    resource = inventory.get(ref)
    template = inventory.template_of(resource) if resource is not None else None
    return _calls(inventory, template) if template is not None else ()


def _calls(inventory: Inventory, template: Template) -> Sequence[Call]:
    found: list[Call] = []
    for container in template.containers():
        known = variables(inventory, template, container)
        for variable in known.values():
            for one in setting(variable.name, variable.value.strip()):
                call = _call(template, container.name, variable.name, one, variable.holder, variable.path)
                found.append(replace(_with_port(call, known), literal=variable.literal))
        found += _told(template, container, known)
    found += _mounted(inventory, template)
    return found


def _call(template: Template, container: str, name: str, one: Spoken, holder: Ref, path: Path) -> Call:
    return Call(
        template, container, name, one.host, one.port, one.told, one.scheme, holder, path, one.start, literal=True
    )  # fmt: skip


def _with_port(call: Call, known: Mapping[str, Variable]) -> Call:
    """Return the call with the port of the variable beside it: DB_HOST with DB_PORT."""
    if call.port or not hostly(call.setting) or "." in call.setting:
        return call
    stem = call.setting.upper().rpartition("_")[0]
    for name in (f"{stem}_PORT", f"{call.setting.upper()}_PORT") if stem else ():
        beside = known.get(name)
        value = beside.value.strip() if beside is not None else ""
        if value.isdigit() and 0 < int(value) < 65536:
            return replace(call, port=int(value), told=True)
    return call


def _told(template: Template, container: Container, known: Mapping[str, Variable]) -> Iterator[Call]:
    command, args = words(container.content, "command"), words(container.content, "args")
    line = [_VARIABLE.sub(lambda match: _expanded(match, known), word) for word in (*command, *args)]
    for index, option, one in arguments(line):
        field, at = ("command", index) if index < len(command) else ("args", index - len(command))
        path = (*container.path, field, at)
        call = _call(template, container.name, f"--{option}" if option else "", one, template.ref, path)
        yield replace(call, literal=line[index] == (*command, *args)[index])


def _mounted(inventory: Inventory, template: Template) -> Iterator[Call]:
    """The hosts in the files of ConfigMaps that a container mounts."""
    mounts: dict[str, str] = {}
    for container in template.containers():
        for _, mount in mappings(container.content, "volumeMounts"):
            mounts.setdefault(text(mount, "name"), container.name)
    for _, volume in mappings(template.spec, "volumes"):
        container_name = mounts.get(text(volume, "name"))
        if container_name is None:
            continue
        for source in (volume, *(one for _, one in mappings(volume, "projected", "sources"))):
            content = mapping(source, "configMap")
            if not text(content, "name"):
                continue
            holder = Ref("", "ConfigMap", template.ref.namespace, content["name"])
            wanted = {text(item, "key") for _, item in mappings(content, "items")}
            for key, value in texts(inventory, holder).items():
                if wanted and key not in wanted:
                    continue
                script = key.endswith(".sh") or value.startswith("#!")
                for one in (*written(value), *(commands(value) if script else ())):
                    call = _call(
                        template, container_name, f"{key} in {holder.name}", one, holder, ("data", key)
                    )
                    yield replace(call, literal=False)


def meant(inventory: Inventory, call: Call) -> tuple[Ref, Resource] | None:
    """Return the Service that is called, if it is here."""
    for one in call.candidates:
        ref = Ref("", "Service", one.namespace, one.service)
        service = inventory.get(ref)
        if service is not None and (not one.pod or one.form == "full" or _headless(service)):
            return Ref.of(service), service
    return None


def _headless(service: Resource) -> bool:
    return text(service, "spec", "clusterIP") == "None"


def callers(inventory: Inventory, service: Ref) -> Sequence[Call]:
    """Return the calls that go to the Service, of every template that no other object here made."""
    return inventory.kept(_callers, service)


def _callers(inventory: Inventory, service: Ref) -> Sequence[Call]:
    targets = [service]
    if not inventory.live and service.namespace in {"", "default"}:
        targets.append(Ref("", "Service", "" if service.namespace else "default", service.name))
    holders = {
        edge.source: None
        for one in targets
        for edge in inventory.referrers(one)
        if edge.relation == "address"
    }
    askers: dict[Ref, None] = {}
    for holder in holders:
        if holder.kind in {"ConfigMap", "Secret"}:
            edges = inventory.referrers(holder)
            askers.update({edge.source: None for edge in edges if edge.relation in {"config", "secret"}})
        else:
            askers[holder] = None
    found = []
    for asker in askers:
        resource = inventory.get(asker)
        template = inventory.maker(resource) if resource is not None else None
        if template is not None:
            found += [one for one in calls(inventory, template) if _goes_to(inventory, one, service)]
    return found


def serving(inventory: Inventory, template: Template) -> list[Resource]:
    """Return the Services that select the template's pods."""
    space = inventory.space(template.ref)
    found: dict[Ref, Resource] = {}
    for key, value in template.labels.items():
        for service in inventory.at("service label", (space, key, value)):
            if strings(service, "spec", "selector").items() <= template.labels.items():
                found[Ref.of(service)] = service
    return list(found.values())


HOST_RULES = ("host.missing", "host.namespace", "host.port", "host.policy", "host.pod")
"""The rules about one host that a container is told; their facts bear the `detail` of the call."""


def detail(call: Call) -> str:
    """Return what tells this call apart from others of its template."""
    return f"{call.container}/{call.setting or call.host}"


def misled(inventory: Inventory, template: Template, container: str, line: str) -> Iterator[Key]:
    """Yield the names of the facts that would explain a container's line about a host that it is told."""
    said = line.lower()
    if _UNREACHED.search(line):
        yield ("path.cut", template.ref, "")
    for call in calls(inventory, template):
        if call.container == container and call.host in said:
            for rule in HOST_RULES:
                yield (rule, template.ref, detail(call))
            for one in call.candidates:
                service = Ref("", "Service", one.namespace, one.service)
                yield ("service.moved", service, str(call.port))
                yield ("path.cut", template.ref, str(service))
            yield ("path.cut", template.ref, "DNS")


def _goes_to(inventory: Inventory, call: Call, service: Ref) -> bool:
    found = meant(inventory, call)
    return found is not None and found[0] == service


def pods_port(service: Resource, port: int) -> Sequence[tuple[str, str | int]]:
    """Return the (protocol, target port) pairs that a Service's port leads to; nothing if it has no such port."""
    found: list[tuple[str, str | int]] = []
    for _, one in mappings(service, "spec", "ports"):
        if one.get("port") == port:
            target = one.get("targetPort") or port
            if isinstance(target, str) and target.isdigit():
                target = int(target)
            if isinstance(target, (str, int)):
                found.append((text(one, "protocol") or "TCP", target))
    return found
