"""What containers are told by way of others and do not get: variables that are put into variables and arguments, and single files of mounts.

A `$(NAME)` that nobody defines stays as it is written, and a shell may mean something by it; so it counts only where a name near it is
defined, or where it is defined too late. A file that a ConfigMap or Secret does not have is mounted as an empty folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fairlead.diagnose.analyzers.configs import keys_of
from fairlead.diagnose.callers import texts
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import ANY_MAKER, Inventory, Template
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.proposing import Edit, edit_template
from fairlead.diagnose.references import Container
from fairlead.tongues.paths import Path, find, mapping, mappings, text, words
from fairlead.words import Ref, Resource, Severity

_NAMED = re.compile(r"\$(\$?)\(([A-Z][A-Z0-9_]*)\)")
_BY_SERVICE = re.compile(r"_SERVICE_(?:HOST|PORT)|_PORT(?:_|\Z)")


def look(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """The variables and files that an object's containers are meant to get, and do not."""
    template = inventory.maker(resource)
    if template is None:
        return
    for container in template.containers():
        yield from _variables(inventory, template, container)
        yield from _files(inventory, template, container)


def _given(inventory: Inventory, template: Template, container: Container) -> set[str] | None:
    """Return the names of the variables that whole ConfigMaps and Secrets give; None where one of these is not here."""
    found: set[str] = set()
    for _, entry in mappings(container.content, "envFrom"):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            name = text(entry, field, "name")
            if name:
                holder = Ref("", kind, template.ref.namespace, name)
                if inventory.get(holder) is None:
                    return None
                found |= {text(entry, "prefix") + key for key in texts(inventory, holder)}
    return found


def _variables(inventory: Inventory, template: Template, container: Container) -> Iterator[Fact]:
    given = _given(inventory, template, container)
    if given is None:
        return
    entries = [(index, text(entry, "name"), entry) for index, entry in mappings(container.content, "env")]
    everything = given | {name for _, name, _ in entries}
    before = set(given)
    for index, name, entry in entries:
        path = (*container.path, "env", index, "value")
        for wanted in _wanted(text(entry, "value")):
            if wanted in before or wanted == name:
                continue
            if wanted in everything:
                yield _late(inventory, template, container, path, name, wanted)
            else:
                yield from _undefined(
                    inventory, template, container, path, f"variable {name}", wanted, before
                )
        before.add(name)
    for field in ("command", "args"):
        for index, word in enumerate(words(container.content, field)):
            for wanted in _wanted(word):
                if wanted not in everything:
                    place = (*container.path, field, index)
                    yield from _undefined(
                        inventory, template, container, place, f"{field}[{index}]", wanted, everything
                    )


def _wanted(value: str) -> list[str]:
    return [match[2] for match in _NAMED.finditer(value) if not match[1] and not _BY_SERVICE.search(match[2])]


def _undefined(
    inventory: Inventory,
    template: Template,
    container: Container,
    path: Path,
    where: str,
    wanted: str,
    known: set[str],
) -> Iterator[Fact]:
    near = nearest(wanted, known) or nearest(wanted, known, loose=True)
    value = find(template.resource, path)
    if near is None or not isinstance(value, str):
        return
    fix = edit_template(
        inventory, template, [Edit(path, value.replace(f"$({wanted})", f"$({near})"))], f"use $({near})"
    )
    yield Fact(
        rule="config.variable",
        subject=template.ref,
        detail=container.name,
        severity=Severity.WARNING,
        message=f"{where} of container {container.name} uses $({wanted}), which nothing defines",
        cause=f"{near} is defined: probably that one is meant. What is not defined stays as it is written.",
        evidence=(inventory.field(template.ref, path, f"$({wanted})"),),
        fixes=(fix,) if fix else (),
        where=inventory.where(template.ref, path),
        confidence="likely",
    )


def _late(
    inventory: Inventory, template: Template, container: Container, path: Path, name: str, wanted: str
) -> Fact:
    """A variable is used before it is defined; moving its user to the end of the list helps, where nobody uses that."""
    place = (*container.path, "env")
    entries = find(template.resource, place)
    moved = [one for one in entries if not (isinstance(one, dict) and one.get("name") == name)]
    moved += [one for one in entries if isinstance(one, dict) and one.get("name") == name]
    used = any(name in _wanted(text(one, "value")) for one in moved)
    fix = (
        None
        if used
        else edit_template(inventory, template, [Edit(place, moved)], f"define {wanted} before {name}")
    )
    return Fact(
        rule="config.variable",
        subject=template.ref,
        detail=container.name,
        severity=Severity.WARNING,
        message=f"variable {name} of container {container.name} uses $({wanted}), which is defined after it",
        cause="Only variables that stand before are put in; the text stays as it is written.",
        evidence=(inventory.field(template.ref, path, f"$({wanted})"),),
        fixes=(fix,) if fix else (),
        where=inventory.where(template.ref, path),
    )


def _files(inventory: Inventory, template: Template, container: Container) -> Iterator[Fact]:
    volumes = {text(one, "name"): one for _, one in mappings(template.spec, "volumes")}
    for index, mount in mappings(container.content, "volumeMounts"):
        wanted = text(mount, "subPath").strip("/")
        volume = volumes.get(text(mount, "name"), {})
        for field, kind, name_field in (
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
        ):
            source = mapping(volume, field)
            holder = Ref("", kind, template.ref.namespace, text(source, name_field))
            held = (
                inventory.get(holder)
                if wanted and holder.name and source.get("optional") is not True
                else None
            )
            if held is None:
                continue
            items = [text(item, "path").strip("/") for _, item in mappings(source, "items")]
            files = set(items) if items else keys_of(held)
            if any(file == wanted or file.startswith(f"{wanted}/") for file in files):
                continue
            path = (*container.path, "volumeMounts", index, "subPath")
            near = nearest(wanted, files) or (next(iter(files)) if len(files) == 1 else None)
            fix = (
                edit_template(inventory, template, [Edit(path, near)], f"mount file {near}") if near else None
            )
            yield Fact(
                rule="config.file",
                subject=template.ref,
                detail=container.name,
                severity=Severity.WARNING,
                message=f"container {container.name} mounts file {wanted} of {kind} {holder.name}, which has no such file",
                cause=f"It has {', '.join(sorted(files)[:8]) or 'none'}. An empty folder is mounted in its place.",
                evidence=(inventory.field(template.ref, path, f"subPath: {wanted}"),),
                fixes=(fix,) if fix else (),
                where=inventory.where(template.ref, path),
            )


UNITS = {ANY_MAKER: look}
