"""Custom resources of any kind, by their conditions, and their controllers, by what these may write.

Nothing is known of the kinds but what is common to all: a condition Ready, Available, Synced or Reconciled that is False, Stalled
that is True, an observedGeneration that stays behind. What a custom resource made, and what it names, explains it where that is in trouble
itself. A controller is sought by rights: who may write the status of the kind. That one is absent is told only of objects that bear no trace
of one, where nobody who might be it is at work.
Source: the conventions of Kubernetes' API (conditions), and kstatus.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory, Template, moment, ready
from fairlead.diagnose.proposing import Edit, patch
from fairlead.diagnose.states import created, lasting, leaving, said
from fairlead.tongues.paths import Path, mapping, mappings, text, words
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

DEFINITIONS = "apiextensions.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_GOOD = ("Ready", "Available", "Synced", "Reconciled", "Healthy", "Released")
_BAD = ("Stalled", "Degraded", "ReconcileFailed", "Failed")
_OWN_RULES = frozenset(
    {
        "gateway.networking.k8s.io",
        "fairlead.dev",
        "wgpolicyk8s.io",
        "operators.coreos.com",
        "olm.operatorframework.io",
        "keda.sh",
        "metrics.k8s.io",
    }
)
"""Groups whose kinds have rules of their own."""
_PATIENCE = timedelta(minutes=5)
_SOON = timedelta(minutes=2)
_LONG = timedelta(minutes=15)
_UNDER_WAY = re.compile(
    r"Progress|Pending|Waiting|Creating|Provisioning|Initiali[sz]|Installing|Reconciling|Upgrading|Scaling"
)
_DEEP = 3


def definition_of(inventory: Inventory, group: str, kind: str) -> Resource | None:
    """Return the CustomResourceDefinition of a kind, if it is here."""
    return inventory.kept(_definition_of, group, kind)


def _definition_of(inventory: Inventory, group: str, kind: str) -> Resource | None:
    for one in inventory.of_kind(DEFINITIONS, "CustomResourceDefinition"):
        if text(one, "spec", "group") == group and text(one, "spec", "names", "kind") == kind:
            return one
    return None


def custom(group: str) -> bool:
    """Say whether kinds of a group are custom ones that have no rules of their own here."""
    return "." in group and not group.endswith((".k8s.io", ".kubernetes.io")) and group not in _OWN_RULES


def look(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What a custom resource says of itself, or that nobody says anything of it."""
    group = text(resource, "apiVersion").rpartition("/")[0]
    if not inventory.live or not custom(group) or leaving(resource) is not None:
        return
    told = _failing(inventory, resource)
    if told is not None:
        yield told
        return
    definition = definition_of(inventory, group, text(resource, "kind"))
    if definition is None:
        return
    waiting = _untouched(inventory, resource, definition) or _behind(inventory, resource)
    if waiting:
        yield from _unserved(inventory, resource, definition, waiting)


# What it says of itself


def _failing(inventory: Inventory, resource: Resource) -> Fact | None:
    items = {text(item, "type"): item for _, item in mappings(resource, "status", "conditions")}
    health = mapping(resource, "status", "health")
    if text(health, "status") == "Degraded":  # Argo CD sums up what it applied
        items.setdefault(
            "Degraded", {"type": "Degraded", "status": "True", "message": text(health, "message")}
        )
    paused = (
        mapping(resource, "spec").get("suspend") is True or mapping(resource, "spec").get("paused") is True
    )
    for kind, bad in (*((one, "True") for one in _BAD), *((one, "False") for one in _GOOD)):
        item = items.get(kind, {})
        if (
            item.get("status") != bad
            or paused
            or not _current(resource, item)
            or not lasting(inventory, item, _patience(items, item))
        ):
            continue
        ref = Ref.of(resource)
        reason = text(item, "reason")
        state = f"is not {kind.lower()}" if bad == "False" else f"is {_spaced(kind)}"
        named = list(_named(inventory, resource))
        absent = next(
            (
                f"{one}, which it names at {place}, does not exist."
                for one, place in named
                if inventory.missing(one)
            ),
            "",
        )
        quoted = inventory.quote(text(item, "message"), ref)
        because: list[Key | Ref] = [*_made(inventory, resource), *(one for one, _ in named)]
        controllers = _controllers(inventory, resource)
        because += [("controller.idle", one.ref, "") for one in controllers]
        return Fact(
            rule="custom.failing",
            subject=ref,
            severity=Severity.CRITICAL if kind == "Stalled" else Severity.WARNING,
            message=f"{state}: {reason}" if reason else state,
            cause=" ".join(part for part in (quoted, absent) if part),
            evidence=(said(inventory, resource, item),),
            where=inventory.where(ref, ("spec",)),
            confidence="likely",
            because=tuple(because),
        )
    return None


def _patience(items: Mapping[str, Mapping[str, Any]], item: Mapping[str, Any]) -> timedelta:
    """Return how long a condition may be so before it is trouble: longer while somebody is at work on it."""
    working = (
        items.get("Reconciling", {}).get("status") == "True"
        or items.get("Issuing", {}).get("status") == "True"
    )
    return _LONG if working or _UNDER_WAY.search(text(item, "reason")) else _SOON


def _spaced(kind: str) -> str:
    return {"ReconcileFailed": "not reconciled", "Stalled": "stalled"}.get(kind, kind.lower())


def _current(resource: Resource, item: Mapping[str, Any]) -> bool:
    """Say whether a condition is about the object as it is now."""
    now = mapping(resource, "metadata").get("generation")
    for seen in (item.get("observedGeneration"), mapping(resource, "status").get("observedGeneration")):
        if isinstance(seen, int) and isinstance(now, int):
            return seen >= now
    return True


def _made(inventory: Inventory, resource: Resource) -> list[Ref]:
    """Return what the object made, and what that made, down to pods."""
    found: dict[Ref, None] = {}
    level = [resource]
    for _ in range(_DEEP):
        below = [
            one
            for parent in level
            if text(parent, "metadata", "uid")
            for one in inventory.at("owner", text(parent, "metadata", "uid"))
        ]
        found.update({Ref.of(one): None for one in below})
        level = below[:50]
    return [*found, *_listed(resource)]


def _listed(resource: Resource) -> Iterator[Ref]:
    """Yield what the object's status lists as its own: as Flux does (inventory.entries), and as Argo CD does (resources)."""
    for _, entry in mappings(resource, "status", "inventory", "entries"):
        parts = text(entry, "id").split("_")
        if len(parts) == 4:
            yield Ref(parts[2], parts[3], parts[0], parts[1])
    for _, entry in mappings(resource, "status", "resources"):
        if text(entry, "kind") and text(entry, "name"):
            yield Ref(
                text(entry, "group"), text(entry, "kind"), text(entry, "namespace"), text(entry, "name")
            )


def _named(inventory: Inventory, resource: Resource) -> Iterator[tuple[Ref, str]]:
    """Yield what the object's spec names by kind and name, and Secrets and ConfigMaps that it names, with the place."""
    space = Ref.of(resource).namespace
    for holder, key, place in _references(mapping(resource, "spec"), ("spec",)):
        name, kind = text(holder, "name"), text(holder, "kind")
        group = (
            text(holder, "group") or text(holder, "apiGroup") or text(holder, "apiVersion").rpartition("/")[0]
        )
        lower = key.lower()
        if not kind and "secret" in lower:
            yield Ref("", "Secret", text(holder, "namespace") or space, name), place
        elif not kind and "configmap" in lower:
            yield Ref("", "ConfigMap", text(holder, "namespace") or space, name), place
        elif kind:
            for one in inventory.at("name", name):
                ref = Ref.of(one)
                fits = ref.kind == kind and (not group or ref.group == group)
                if fits and ref.namespace in {"", text(holder, "namespace") or space} and one is not resource:
                    yield ref, place


def _references(
    content: Any, path: Path, key: str = "", depth: int = 0
) -> Iterator[tuple[dict[str, Any], str, str]]:
    if depth > 6:
        return
    if isinstance(content, list):
        for item in content[:20]:
            yield from _references(item, path, key, depth + 1)
    elif isinstance(content, dict):
        if text(content, "name") and (key.endswith(("Ref", "Refs", "Reference")) or text(content, "kind")):
            yield content, key, "." + ".".join(str(one) for one in path)
        for inner, item in content.items():
            if isinstance(item, (dict, list)):
                yield from _references(item, (*path, str(inner)), str(inner), depth + 1)


# Whether anybody looks after it


def _untouched(inventory: Inventory, resource: Resource, definition: Resource) -> str:
    """Say since when the object has waited for a first word of a controller, "" where it has one or has not waited long."""
    version = text(resource, "apiVersion").rpartition("/")[2]
    reporting = any(
        "status" in mapping(one, "subresources")
        for _, one in mappings(definition, "spec", "versions")
        if one.get("name") == version
    )
    at = created(resource)
    if not reporting or resource.get("status") or at is None or not inventory.past(at, _PATIENCE):
        return ""
    if words(resource, "metadata", "finalizers"):
        return ""
    return f"bears no status after {inventory.ago(at)}"


def _behind(inventory: Inventory, resource: Resource) -> str:
    """Say that the controller has not looked at the object since it was changed, "" where it has, or that is not long ago."""
    now, seen = (
        mapping(resource, "metadata").get("generation"),
        mapping(resource, "status").get("observedGeneration"),
    )
    if not isinstance(now, int) or not isinstance(seen, int) or seen >= now:
        return ""
    times = [
        at
        for _, one in mappings(resource, "metadata", "managedFields")
        if not text(one, "subresource") and (at := moment(one.get("time"))) is not None
    ]
    if not times or not inventory.past(max(times), _PATIENCE):
        return ""
    return f"was changed {inventory.ago(max(times))} ago, and its status is still about generation {seen}, not {now}"


def _unserved(inventory: Inventory, resource: Resource, definition: Resource, waiting: str) -> Iterator[Fact]:
    ref, kind = Ref.of(resource), Ref.of(definition)
    if any(
        not inventory.seen_all(*one)
        for one in (("apps", "Deployment"), (_RBAC, "ClusterRole"), (_RBAC, "ClusterRoleBinding"))
    ):
        return
    controllers = _controllers(inventory, resource)
    alive = [one for one in controllers if any(ready(member.pod) for member in inventory.crew(one.ref))]
    if alive:
        return  # it may have nothing to say
    evidence = Evidence("absence", ref, waiting)
    if controllers:
        names = ", ".join(f"{one.ref.kind} {one.ref.namespace}/{one.ref.name}" for one in controllers[:3])
        because: list[Key | Ref] = [("controller.idle", one.ref, "") for one in controllers]
        because += [one.ref for one in controllers]
        because += [member.ref for one in controllers for member in inventory.crew(one.ref)]
        yield Fact(
            rule="custom.unserved",
            subject=ref,
            severity=Severity.WARNING,
            message=f"{waiting}: its controller is down",
            cause=f"{names} would look after it, and has no ready pod.",
            evidence=(evidence,),
            where=inventory.where(ref, ()),
            confidence="likely",
            because=tuple(because),
        )
        return
    if not _whole(inventory) or _ever_served(inventory, ref):
        return
    siblings = inventory.of_kind(ref.group, ref.kind)
    yield Fact(
        rule="custom.orphaned",
        subject=kind,
        severity=Severity.WARNING,
        message=f"has no controller: no {ref.kind} bears a status, and nobody in the cluster may write one",
        cause="No role that is bound to a running ServiceAccount lets anybody write the status of this kind.",
        evidence=(evidence,),
        where=inventory.where(ref, ()),
        confidence="likely",
        blame=ref if len(siblings) == 1 else None,
    )
    if len(siblings) > 1:
        yield Fact(
            rule="custom.waiting",
            subject=ref,
            severity=Severity.INFO,
            message=waiting,
            because=(("custom.orphaned", kind, ""),),
            weak=True,
        )


def _ever_served(inventory: Inventory, ref: Ref) -> bool:
    """Say whether an object of the kind bears a status: then somebody looks after them, from wherever."""
    return any(one.get("status") for one in inventory.of_kind(ref.group, ref.kind))


def _whole(inventory: Inventory) -> bool:
    """Say whether all namespaces were looked at: a controller may live in any."""
    return (
        inventory.seen_all("", "Namespace")
        and inventory.get(Ref("", "Namespace", "", "kube-system")) is not None
    )


def _controllers(inventory: Inventory, resource: Resource) -> Sequence[Template]:
    """Return what makes the pods that may write the status of the object's kind."""
    group = text(resource, "apiVersion").rpartition("/")[0]
    definition = definition_of(inventory, group, text(resource, "kind"))
    plural = text(definition, "spec", "names", "plural")
    refs = inventory.kept(_writers, group, plural) if plural else ()
    found = []
    for ref in refs:
        held = inventory.get(ref)
        template = inventory.maker(held) if held is not None else None
        if template is not None:
            found.append(template)
    return found


def _writers(inventory: Inventory, group: str, plural: str) -> tuple[Ref, ...]:
    """Return what makes the pods that may look after a kind.

    Those that may write its status; where there are none, those that may watch it; where there are none, those that may do everything.
    """
    for may in (_writes, _watches, _does_all):
        accounts: set[tuple[str, str]] = set()
        for kind in ("ClusterRole", "Role"):
            for role in inventory.of_kind(_RBAC, kind):
                if any(may(rule, group, plural) for _, rule in mappings(role, "rules")):
                    accounts |= _bound(inventory, Ref.of(role))
        found = tuple(_running_as(inventory, accounts)) if accounts else ()
        if found:
            return found
    return ()


def _bound(inventory: Inventory, role: Ref) -> set[tuple[str, str]]:
    """The ServiceAccounts that a role is bound to, by namespace and name."""
    found = set()
    for edge in inventory.referrers(role):
        if edge.relation == "role":
            for _, one in mappings(inventory.get(edge.source), "subjects"):
                if one.get("kind") == "ServiceAccount":
                    found.add((text(one, "namespace") or edge.source.namespace, text(one, "name")))
    return found


def _running_as(inventory: Inventory, accounts: set[tuple[str, str]]) -> Iterator[Ref]:
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        for one in inventory.of_kind("apps", kind):
            spec = mapping(one, "spec", "template", "spec")
            account = text(spec, "serviceAccountName") or text(spec, "serviceAccount") or "default"
            if (inventory.space(Ref.of(one)), account) in accounts:
                yield Ref.of(one)


def _writes(rule: Mapping[str, Any], group: str, plural: str) -> bool:
    """Say whether a rule that names the group lets the status of the kind be written."""
    named = group in words(rule, "apiGroups") and {"update", "patch", "*"} & set(words(rule, "verbs"))
    return bool(named and {f"{plural}/status", plural, "*", "*/status"} & set(words(rule, "resources")))


def _watches(rule: Mapping[str, Any], group: str, plural: str) -> bool:
    named = group in words(rule, "apiGroups") and {"list", "watch", "*"} & set(words(rule, "verbs"))
    return bool(named and {plural, "*"} & set(words(rule, "resources")))


def _does_all(rule: Mapping[str, Any], group: str, plural: str) -> bool:
    del group
    everything = "*" in words(rule, "apiGroups") and {"update", "patch", "*"} & set(words(rule, "verbs"))
    return bool(everything and {plural, "*"} & set(words(rule, "resources")))


def idle(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A controller that is scaled to nothing while objects of its kinds wait for it."""
    if not inventory.live or mapping(resource, "spec").get("replicas") != 0:
        return
    ref = Ref.of(resource)
    waiting = list(_waiting_for(inventory, ref))
    if not waiting:
        return
    title = f"run {ref.kind} {ref.name} again, with one pod"
    kinds = ", ".join(sorted({one.kind for one in waiting}))
    yield Fact(
        rule="controller.idle",
        subject=ref,
        severity=Severity.WARNING,
        message=f"is scaled to zero, and {len(waiting)} object{'s' if len(waiting) > 1 else ''} of kind {kinds} wait for it",
        evidence=(inventory.field(ref, ("spec", "replicas"), "replicas: 0"),),
        fixes=(Fix(title=title, changes=(patch(resource, [Edit(("spec", "replicas"), 1)], title),), risk="It acts on all that has changed meanwhile."),),
        where=inventory.where(ref, ("spec", "replicas")),
    )  # fmt: skip


def _waiting_for(inventory: Inventory, ref: Ref) -> Iterator[Ref]:
    for definition in inventory.of_kind(DEFINITIONS, "CustomResourceDefinition"):
        group, kind = text(definition, "spec", "group"), text(definition, "spec", "names", "kind")
        if not custom(group) or ref not in inventory.kept(
            _writers, group, text(definition, "spec", "names", "plural")
        ):
            continue
        for one in inventory.of_kind(group, kind):
            if leaving(one) is None and (_untouched(inventory, one, definition) or _behind(inventory, one)):
                yield Ref.of(one)


# Definitions


def definition(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A CustomResourceDefinition that the API server does not serve."""
    ref = Ref.of(resource)
    for _, item in mappings(resource, "status", "conditions"):
        kind = text(item, "type")
        if (
            kind not in {"Established", "NamesAccepted"}
            or item.get("status") != "False"
            or text(item, "reason") == "Installing"
        ):
            continue
        if not lasting(inventory, item, timedelta(minutes=1)) or (
            kind == "Established" and text(item, "reason") == "NotAccepted"
        ):
            continue
        what = "its names are taken" if kind == "NamesAccepted" else "it is not established"
        yield Fact(
            rule="definition.refused",
            subject=ref,
            message=f"is not served: {what} ({text(item, 'reason')})",
            cause=inventory.quote(text(item, "message"), ref),
            evidence=(said(inventory, resource, item),),
            where=inventory.where(ref, ("spec", "names")),
        )


def outdated(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A CustomResourceDefinition that still keeps objects in a version that it calls deprecated, or serves no more."""
    ref = Ref.of(resource)
    versions = {text(one, "name"): one for _, one in mappings(resource, "spec", "versions")}
    for name in words(resource, "status", "storedVersions"):
        held = versions.get(name, {})
        why = (
            "is deprecated"
            if held.get("deprecated") is True
            else ""
            if held.get("served") is True or not held
            else "is not served any more"
        )
        if why:
            yield Fact(
                rule="definition.outdated",
                subject=ref,
                detail=name,
                severity=Severity.INFO,
                message=f"may keep objects in version {name}, which {why}",
                cause=text(held, "deprecationWarning"),
                evidence=(inventory.field(ref, ("status", "storedVersions"), ", ".join(words(resource, "status", "storedVersions"))),),
                where=inventory.where(ref, ("spec", "versions")),
            )  # fmt: skip


def makers(inventory: Inventory, target: Ref) -> list[Ref]:
    """Return the custom resources that would make a Secret or ConfigMap: those beside it that say so by its name."""
    found = []
    for one in inventory.at("namespace", target.namespace):
        ref = Ref.of(one)
        if not custom(ref.group):
            continue
        spec = mapping(one, "spec")
        names = {text(spec, "secretName"), text(spec, "target", "name"), text(spec, "output", "secretName")}
        if ref.kind in {"ExternalSecret", "SealedSecret"} and not text(spec, "target", "name"):
            names.add(ref.name)
        if target.name in names:
            found.append(ref)
    return found


UNITS = {
    ("*", "*"): look,
    ("apps", "Deployment"): idle,
    ("apps", "StatefulSet"): idle,
    (DEFINITIONS, "CustomResourceDefinition"): definition,
}
ADVICE = {(DEFINITIONS, "CustomResourceDefinition"): outdated}
