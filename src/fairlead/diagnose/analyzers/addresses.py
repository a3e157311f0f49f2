"""Hosts in the environment that are no Service, where what is beside them shows which Service was meant.

A host that is unknown proves nothing: it may be anywhere. It counts only if it is a slip for a Service here, or if another
workload has the same variable and there it leads to a Service with a name that is close.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import ANY_MAKER, Inventory, Template
from fairlead.diagnose.likening import related, slip
from fairlead.diagnose.proposing import Edit, edit_template
from fairlead.tongues.paths import Path, mapping, mappings, text
from fairlead.words import Ref, Resource, Severity

_URL = re.compile(
    r"^(?P<head>[a-z][a-z0-9+.-]*://(?:[^/@]*@)?)(?P<host>[a-z0-9.-]+)(?P<tail>(?::\d+)?(?:/.*)?)$",
    re.IGNORECASE,
)
_PAIR = re.compile(r"^(?P<head>)(?P<host>[a-z0-9.-]+)(?P<tail>:\d{1,5})$")
_BARE = re.compile(r"^(?P<head>)(?P<host>[a-z0-9-]*[a-z][a-z0-9-]*)(?P<tail>)$")
_HOSTLY = re.compile(r"(?:^|_)(?:HOST|HOSTNAME|ADDR|ADDRESS|SERVER|ENDPOINT)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A host named in an environment variable of a container; `edit` is where it stands, None if in another object."""

    template: Template
    variable: str
    container: str
    host: str
    head: str
    tail: str
    path: Path
    literal: bool


def _addresses(inventory: Inventory, template: Template, variable: str = "") -> Iterator[Address]:
    """Each host that the environment of a template's containers names, in one variable or in all."""
    for container in template.containers():
        for index, entry in mappings(container.content, "env"):
            if variable and text(entry, "name") != variable:
                continue
            path = (*container.path, "env", index)
            value, literal = entry.get("value"), True
            if not isinstance(value, str):
                ref = mapping(entry, "valueFrom", "configMapKeyRef")
                target = Ref("", "ConfigMap", template.ref.namespace, text(ref, "name"))
                held = inventory.get(target) if target.name else None
                value, literal = text(held, "data", text(ref, "key")), False
            match = _URL.match(value) or _PAIR.match(value) or _BARE.match(value)
            if match is None:
                continue
            yield Address(template, text(entry, "name"), container.name, match["host"], match["head"], match["tail"],
                          (*path, "value"), literal)  # fmt: skip


def _short(host: str, namespace: str) -> str | None:
    """Return the name of the Service that a host stands for in its namespace, None if it may be something else."""
    name, dot, rest = host.partition(".")
    if not dot or rest in {namespace, f"{namespace}.svc", f"{namespace}.svc.cluster.local"}:
        return name
    return None


def _template(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Each variable whose host is a slip for a Service."""
    template = inventory.template_of(resource)
    if template is None or (inventory.live and not inventory.seen_all("", "Service")):
        return
    space = inventory.space(template.ref)
    for one in _addresses(inventory, template):
        name = _short(one.host, space)
        if name is None or not one.literal or name == "localhost" or _service(inventory, space, name):
            continue
        right = _right(inventory, one, name, space)
        if right is not None:
            yield _fact(inventory, one, name, right)


def _service(inventory: Inventory, space: str, name: str) -> bool:
    return inventory.get(Ref("", "Service", space, name)) is not None


def siblings(inventory: Inventory, space: str, variable: str) -> set[str]:
    """Return the Services that the same variable names in any workload beside this one."""
    found = set()
    for resource in inventory.at("variable", (space, variable)):
        template = inventory.maker(resource)
        for one in _addresses(inventory, template, variable) if template is not None else ():
            name = _short(one.host, space)
            if name is not None and _service(inventory, space, name):
                found.add(name)
    return found


def _alike(inventory: Inventory, space: str, name: str) -> frozenset[str]:
    """Return the Services whose names are like the one that is no Service."""
    asked = Ref("", "Service", space, name)
    return frozenset(one for one in inventory.names(asked, asked) if related(name, one) is not None)


def _right(inventory: Inventory, one: Address, name: str, space: str) -> str | None:
    """Return the Service that was meant, if just one is near enough."""
    alike = inventory.kept(_alike, space, name)
    near = alike & inventory.kept(siblings, space, one.variable) if alike else alike
    if not near and (one.tail or one.head or _HOSTLY.search(one.variable)):
        near = frozenset(service for service in alike if slip(name, service) is not None)
    return next(iter(near)) if len(near) == 1 else None


def _fact(inventory: Inventory, one: Address, name: str, right: str) -> Fact:
    ref = one.template.ref
    value = f"{one.head}{one.host.replace(name, right, 1)}{one.tail}"
    fix = edit_template(inventory, one.template, [Edit(one.path, value)], f"point {one.variable} at {right}")
    said = "there is no such Service" if inventory.live else "there is no such Service among these files"
    return Fact(
        rule="service.name",
        subject=ref,
        detail=f"{one.container}/{one.variable}",
        severity=Severity.WARNING,
        message=f"{one.variable} of container {one.container} names host {name}, and {said}",
        cause=f"Service {right} is there: probably that one is meant.",
        evidence=(
            inventory.field(ref, one.path, f"{one.variable}={inventory.quote(one.host, ref)}{one.tail[:6]}"),
        ),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, one.path),
        confidence="likely",
    )


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {ANY_MAKER: _template}
