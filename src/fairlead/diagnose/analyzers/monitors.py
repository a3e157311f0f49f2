"""Prometheus by its operator: monitors that find nothing, ask for a port that is not there, or that no Prometheus reads; rules that it refuses.

A monitor that reads nothing is silent: nobody misses its alerts until they are needed. What cannot be told without running a query is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import reads, shown
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.proposing import Edit, patch
from fairlead.diagnose.queries import fault, hopeless
from fairlead.tongues import durations
from fairlead.tongues.paths import Path, find, mapping, mappings, strings, text, words
from fairlead.words import Fix, Ref, Resource, Severity

GROUP = "monitoring.coreos.com"
_SELECTORS = {
    "ServiceMonitor": ("serviceMonitorSelector", "serviceMonitorNamespaceSelector"),
    "PodMonitor": ("podMonitorSelector", "podMonitorNamespaceSelector"),
    "PrometheusRule": ("ruleSelector", "ruleNamespaceSelector"),
}
"""By kind: the fields of a Prometheus that say which objects of it, and of which namespaces, it reads."""


def service_monitor(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A ServiceMonitor that selects no Service, or a port that none of them has."""
    ref = Ref.of(resource)
    if mapping(resource, "metadata").get("deletionTimestamp"):
        return
    said = reads(mapping(resource, "spec").get("selector"))
    found = [
        one
        for space in _spaces(inventory, resource, "Service")
        for one in space
        if said is not None and said.matches(strings(one, "metadata", "labels"))
    ]
    if not found:
        yield from _idle(
            inventory,
            resource,
            "Service",
            [one for space in _spaces(inventory, resource, "Service") for one in space],
        )
        return
    names = [
        text(port, "name")
        for one in found
        for _, port in mappings(one, "spec", "ports")
        if text(port, "name")
    ]
    yield from _ports(
        inventory,
        resource,
        "endpoints",
        names,
        f"Service {Ref.of(found[0]).name}" if len(found) == 1 else "Service that it selects",
    )
    yield from _unread(inventory, ref, resource)


def pod_monitor(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A PodMonitor that selects no pods, or a port that none of them declares."""
    ref = Ref.of(resource)
    if mapping(resource, "metadata").get("deletionTimestamp"):
        return
    said = reads(mapping(resource, "spec").get("selector"))
    selected = [
        template
        for space in _names(inventory, resource)
        for template in inventory.templates_in(space)
        if said is not None and said.matches(template.labels)
    ]
    if not selected:
        yield from _idle(inventory, resource, "Pod", ())
        return
    names = [
        text(port, "name")
        for template in selected
        for container in template.containers()
        for _, port in mappings(container.content, "ports")
        if text(port, "name")
    ]
    yield from _ports(
        inventory,
        resource,
        "podMetricsEndpoints",
        names,
        str(selected[0].ref) if len(selected) == 1 else "pod that it selects",
    )
    yield from _unread(inventory, ref, resource)


def _names(inventory: Inventory, resource: Resource) -> list[str]:
    """Return the namespaces that a monitor looks into."""
    chosen = mapping(resource, "spec", "namespaceSelector")
    if chosen.get("any") is True:
        spaces = {inventory.space(Ref.of(one)) for one in inventory.of_kind("", "Service")}
        return sorted(spaces | set(inventory.keys("template")))
    return words(chosen, "matchNames") or [inventory.space(Ref.of(resource))]


def _spaces(inventory: Inventory, resource: Resource, kind: str) -> Iterator[Sequence[Resource]]:
    for name in _names(inventory, resource):
        yield inventory.beside("", kind, Ref("", kind, name, ""))


def _idle(inventory: Inventory, resource: Resource, kind: str, beside: Sequence[Resource]) -> Iterator[Fact]:
    """It selects nothing. Where a label is a slip for one that is there, that is trouble, else a note."""
    ref = Ref.of(resource)
    selector = mapping(resource, "spec", "selector")
    wanted = strings(selector, "matchLabels")
    path: Path = ("spec", "selector")
    meant: dict[tuple[str, str], str] = {}
    for one in beside:
        labels = strings(one, "metadata", "labels")
        wrong = [key for key, value in wanted.items() if labels.get(key) != value]
        right = labels.get(wrong[0]) if len(wrong) == 1 else None
        if right is not None and (len(wanted) > 1 or nearest(wanted[wrong[0]], [right]) is not None):
            meant[wrong[0], right] = Ref.of(one).name
    fix, cause = None, ""
    if len(meant) == 1:
        (key, value), name = next(iter(meant.items()))
        title = f"select {key}={value}"
        change = patch(resource, [Edit((*path, "matchLabels", key), value)], title)
        fix = Fix(title=title, changes=(change,), risk="Takes effect at once.")
        cause = f"{kind} {name} has {key}={value}: probably that one is meant."
    if fix is None and not inventory.seen_all("", kind):
        return
    yield Fact(
        rule="monitor.idle",
        subject=ref,
        severity=Severity.WARNING if fix else Severity.INFO,
        message=f"selects {shown(selector) or 'everything'}, which no {kind} has: nothing is read from it",
        cause=cause,
        evidence=(inventory.field(ref, path, shown(selector)),),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, path),
        confidence="certain" if inventory.live else "likely",
    )


def _ports(
    inventory: Inventory, resource: Resource, field: str, names: Sequence[str], who: str
) -> Iterator[Fact]:
    ref = Ref.of(resource)
    for index, endpoint in mappings(resource, "spec", field):
        name = text(endpoint, "port")
        if not name or name in names:
            continue
        path: Path = ("spec", field, index, "port")
        right = nearest(name, names) or (names[0] if len(set(names)) == 1 else None)
        fix = None
        if right is not None:
            title = f"read port {right}"
            fix = Fix(
                title=title,
                changes=(patch(resource, [Edit(path, right)], title),),
                risk="Takes effect at once.",
            )
        has = ", ".join(dict.fromkeys(names)) or "none with a name"
        yield Fact(
            rule="monitor.port",
            subject=ref,
            detail=str(index),
            severity=Severity.WARNING,
            message=f"reads port {name}, which no {who} has",
            cause=f"The ports there are: {has}.",
            evidence=(inventory.field(ref, path, f"port: {name}"),),
            fixes=(fix,) if fix else (),
            where=inventory.where(ref, path),
        )


def _unread(inventory: Inventory, ref: Ref, resource: Resource) -> Iterator[Fact]:
    """No Prometheus that is here reads the object."""
    readers = [*inventory.of_kind(GROUP, "Prometheus"), *inventory.of_kind(GROUP, "PrometheusAgent")]
    fields = _SELECTORS[ref.kind]
    if not inventory.live or not readers or any(_reads(inventory, one, resource, *fields) for one in readers):
        return
    labels = strings(resource, "metadata", "labels")
    fix, cause = None, ""
    if len(readers) == 1:
        reader = readers[0]
        wanted = strings(reader, "spec", fields[0], "matchLabels")
        lacks = {key: value for key, value in wanted.items() if labels.get(key) != value}
        if lacks and _in_space(inventory, reader, ref, fields[1]):
            title = "label it " + ",".join(f"{key}={value}" for key, value in sorted(lacks.items()))
            new = {**labels, **lacks}
            fix = Fix(
                title=title,
                changes=(patch(resource, [Edit(("metadata", "labels"), new)], title),),
                risk="Takes effect at once.",
            )
            cause = f"{Ref.of(reader)} reads what has {shown(mapping(reader, 'spec', fields[0]))}."
        elif not lacks:
            cause = f"{Ref.of(reader)} does not look into namespace {inventory.space(ref)}."
    path = ("metadata", "labels")
    yield Fact(
        rule="monitor.unread",
        subject=ref,
        severity=Severity.WARNING,
        message="is read by no Prometheus",
        cause=cause,
        evidence=(
            inventory.field(
                ref, path, ", ".join(f"{key}={value}" for key, value in labels.items()) or "no labels"
            ),
        ),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, path),
        confidence="likely",
    )


def _reads(inventory: Inventory, reader: Resource, resource: Resource, field: str, spaces: str) -> bool:
    said = reads(find(reader, ("spec", field)))
    fits = said is not None and said.matches(strings(resource, "metadata", "labels"))
    return fits and _in_space(inventory, reader, Ref.of(resource), spaces)


def _in_space(inventory: Inventory, reader: Resource, ref: Ref, field: str) -> bool:
    """Say whether a Prometheus looks into the object's namespace; one that is not here may have any labels."""
    chosen = find(reader, ("spec", field))
    space = inventory.space(ref)
    if chosen is None:
        return inventory.space(Ref.of(reader)) == space
    said = reads(chosen)
    if said is None:
        return False
    held = inventory.get(Ref("", "Namespace", "", space))
    if held is None:
        return True
    return said.matches({"kubernetes.io/metadata.name": space, **strings(held, "metadata", "labels")})


def rules(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A PrometheusRule that Prometheus would not load, or whose query cannot but fail."""
    ref = Ref.of(resource)
    seen: set[str] = set()
    for index, one in mappings(resource, "spec", "groups"):
        name = text(one, "name")
        if not name or name in seen:
            what = "has a group without a name" if not name else f"has two groups named {name}"
            yield _refused(inventory, ref, what, ("spec", "groups", index, "name"), name)
        seen.add(name)
        yield from _length(inventory, ref, one, "interval", ("spec", "groups", index))
        for inner, rule in mappings(one, "rules"):
            yield from _rule(inventory, ref, rule, ("spec", "groups", index, "rules", inner))
    if seen:
        yield from _unread(inventory, ref, resource)


def _rule(inventory: Inventory, ref: Ref, rule: Mapping[str, Any], path: Path) -> Iterator[Fact]:
    alert, record = text(rule, "alert"), text(rule, "record")
    who = f"rule {alert or record}" if alert or record else "a rule"
    if bool(alert) == bool(record):
        what = "is both an alert and a record" if alert else "is neither an alert nor a record"
        yield _refused(inventory, ref, f"{who} {what}", path, "")
    for field in ("for", "keep_firing_for"):
        yield from _length(inventory, ref, rule, field, path)
    expr = rule.get("expr")
    if isinstance(expr, (int, float)):
        return
    wrong = fault(expr) if isinstance(expr, str) else "there is no expression"
    place = (*path, "expr")
    if wrong:
        yield _refused(
            inventory, ref, f"the expression of {who} cannot be read: {wrong}", place, str(expr or "")
        )
    elif isinstance(expr, str) and hopeless(expr):
        yield Fact(
            rule="monitor.query",
            subject=ref,
            detail=alert or record,
            severity=Severity.WARNING,
            message=f"the expression of {who} matches a set of series with itself, many to many",
            cause="With group_left or group_right, one side must be unique for the labels that are matched on; here both sides are the same.",
            evidence=(inventory.field(ref, place, inventory.quote(expr, ref, 200)),),
            where=inventory.where(ref, place),
            confidence="likely",
        )


def _length(
    inventory: Inventory, ref: Ref, holder: Mapping[str, Any], field: str, path: Path
) -> Iterator[Fact]:
    value = holder.get(field)
    if value is None or value == "":
        return
    if not isinstance(value, str) or not _is_length(value):
        yield _refused(inventory, ref, f"{field} is no length of time: {value}", (*path, field), str(value))


def _is_length(value: str) -> bool:
    """Say whether Prometheus reads it: units of ms, s, m, h, d, w and y, the largest first."""
    bare = value.replace("ms", "")
    for unit in "dwy":
        bare = bare.replace(unit, "h")
    try:
        durations.parse(bare or "0s")
    except ValueError:
        return False
    return "." not in value and not value.startswith(("-", "+"))


def _refused(inventory: Inventory, ref: Ref, what: str, path: Path, value: str) -> Fact:
    return Fact(
        rule="monitor.rule",
        subject=ref,
        detail=str(path),
        severity=Severity.WARNING,
        message=what,
        cause="Prometheus does not load such rules: none of this object's alerts will fire.",
        evidence=(inventory.field(ref, path, inventory.quote(value, ref, 200) or "nothing"),),
        where=inventory.where(ref, path),
    )


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {
    (GROUP, "ServiceMonitor"): service_monitor,
    (GROUP, "PodMonitor"): pod_monitor,
    (GROUP, "PrometheusRule"): rules,
}
