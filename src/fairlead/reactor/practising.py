"""Advice by the judge's practices, told as findings beside those of an examination.

Brings objects together with the judge, for what one object shows alone, and with the diagnosis, for what several do; holds no rules. Advice
is never more than a note: its severity is info.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from fairlead.diagnose.examining import examine
from fairlead.diagnose.inventories import Scope
from fairlead.diagnose.proposing import Edit, patch
from fairlead.judge.practices import SYSTEM, Practice, Weight, chosen, faults, owned, spared_from
from fairlead.judge.practices_shapes import GONE, Fault
from fairlead.tongues.paths import Path, dotted, find, text
from fairlead.words import Evidence, Finding, Fix, Ref, Resource, Severity, Snapshot, View, Where

Locate = Callable[[Ref, str], Where]


def _nowhere(_: Ref, path: str) -> Where:
    return Where(path=path)


def advise(
    resources: Iterable[Resource],
    locate: Locate | None = None,
    *,
    practices: Sequence[Practice] | None = None,
    registries: Sequence[str] = (),
    spared: Collection[str] = SYSTEM,
    owned_too: bool = False,
) -> list[Finding]:
    """Return what practices find wrong with objects, one Finding for each object and practice, by object.

    `practices` are those that weigh at least as much as a warning, unless they are given. What is in namespaces that are `spared` is not
    looked at, nor what a controller made (its template is), unless it is `owned_too`. `locate` turns an object and a path in it into a place
    in a file. Never raises over an object's content.
    """
    everything = list(resources)
    beside = Snapshot(everything)
    wanted = chosen(weight="warning") if practices is None else tuple(practices)
    found: list[Finding] = []
    for one in everything:
        ref = Ref.of(one)
        if ref.namespace not in spared and (owned_too or not owned(one)):
            found += _about(one, ref, wanted, beside, registries, locate or _nowhere)
    return found


def _about(
    resource: Resource,
    ref: Ref,
    practices: Sequence[Practice],
    beside: View,
    registries: Sequence[str],
    locate: Locate,
) -> list[Finding]:
    found = []
    for practice, fault in faults(resource, practices, beside, registries):
        places = [locate(ref, dotted(path)) for path in fault.paths] or [locate(ref, "")]
        wanted = f"{practice.title} Would pass: {fault.wanted}." if fault.wanted else practice.title
        found.append(
            Finding(
                rule=practice.rule,
                severity=Severity.INFO,
                subject=ref,
                message=fault.message,
                cause=wanted,
                evidence=tuple(Evidence("field", ref, fault.message, place) for place in places[:4]),
                fixes=tuple(_fix(resource, practice, fault)),
                where=places[0],
            )
        )
    return found


def _fix(resource: Resource, practice: Practice, fault: Fault) -> Iterable[Fix]:
    """Yield the practice's remedy as a fix, where it has one."""
    edits = {path: _edit(resource, path, value) for path, value in fault.remedies}
    if edits:
        risk = f"{practice.risk[:1].upper()}{practice.risk[1:]}." if practice.risk else ""
        change = patch(resource, list(edits.values()), practice.title)
        yield Fix(title=f"follow {practice.rule}", changes=(change,), risk=risk)


def _edit(resource: Resource, path: Path, value: Any) -> Edit:
    """Return the edit that puts a value at a place, with the mappings on the way that are not there; or that takes it away."""
    if value is GONE:
        return Edit(path, None)
    for length in range(1, len(path)):
        if find(resource, path[:length]) is None:
            for step in reversed(path[length:]):
                value = {step: value}
            return Edit(path[:length], value)
    return Edit(path, value)


class Pairing(NamedTuple):
    """How a check of Polaris that looks at several objects is told here: findings of these rules, about objects of this kind.

    `role` is the kind of the role that a binding is of, "" where that does not matter.
    """

    rules: frozenset[str]
    kind: str = ""
    role: str = ""


_EXEC = frozenset({"access.exec", "access.unknown"})
_ALL = frozenset({"access.everything"})
_POLICIES = frozenset({"policy.lacking", "policy.shut", "policy.absent"})
PAIRINGS: Mapping[str, Pairing] = {
    "clusterrolebindingClusterAdmin": Pairing(_ALL, "ClusterRoleBinding"),
    "clusterrolebindingPodExecAttach": Pairing(_EXEC, "ClusterRoleBinding"),
    "gatewayCrossNamespaceCertificateRef": Pairing(frozenset({"traffic.ungranted"}), "Gateway"),
    "httpRouteBackendTLSMissing": Pairing(frozenset({"traffic.unverified"})),
    "httpRouteCrossNamespaceBackendRef": Pairing(frozenset({"traffic.ungranted"}), "HTTPRoute"),
    "httpRouteInsecureListener": Pairing(frozenset({"traffic.plain"})),
    "missingNetworkPolicy": Pairing(_POLICIES),
    "missingPodDisruptionBudget": Pairing(frozenset({"budget.absent"}), "Deployment"),
    "pdbMinAvailableEqualToHPAMinReplicas": Pairing(frozenset({"budget.level"})),
    "pdbMinAvailableGreaterThanHPAMaxReplicas": Pairing(frozenset({"budget.never"})),
    "pdbMinAvailableGreaterThanHPAMinReplicas": Pairing(frozenset({"budget.over", "budget.never"})),
    "pdbMinAvailableGreaterThanOrEqualToHPAMinReplicas": Pairing(
        frozenset({"budget.level", "budget.over", "budget.never"})
    ),
    "rolebindingClusterAdminClusterRole": Pairing(_ALL, "RoleBinding", "ClusterRole"),
    "rolebindingClusterAdminRole": Pairing(_ALL, "RoleBinding", "Role"),
    "rolebindingClusterRolePodExecAttach": Pairing(_EXEC, "RoleBinding", "ClusterRole"),
    "rolebindingRolePodExecAttach": Pairing(_EXEC, "RoleBinding", "Role"),
}
"""Polaris's checks that need several objects, by name. What one object shows is among the practices."""

GRAVE = frozenset({"access.exec", "access.everything"})
"""Those of their rules that weigh as much as danger."""

PAIRED = frozenset[str]().union(*(one.rules for one in PAIRINGS.values()))
"""The rules of the diagnosis that are good practice which several objects together show."""


def paired(
    resources: Iterable[Resource],
    now: datetime,
    locate: Locate | None = None,
    *,
    checks: Collection[str] = PAIRINGS.keys(),
    scope: Scope = "files",
    unseen: Collection[tuple[str, str]] = (),
) -> list[Finding]:
    """Return what several objects show together of good practice: findings of the diagnosis, of files or of all that a cluster holds.

    `checks` are names of Polaris's, keys of PAIRINGS. `unseen` are the kinds that could not be listed. What an annotation of the object spares
    it from is left out.
    """
    view = Snapshot(resources)
    wanted = [(check, PAIRINGS[check]) for check in PAIRINGS if check in checks]
    found = []
    for one in examine(view, scope=scope, now=now, locate=locate, unseen=unseen, advice=True):
        subject = view.get(one.subject.group, one.subject.kind, one.subject.namespace, one.subject.name) or {}
        role = text(subject, "roleRef", "kind")
        mine = [
            check
            for check, pairing in wanted
            if one.rule in pairing.rules
            and pairing.kind in {"", one.subject.kind}
            and pairing.role in {"", role}
        ]
        if mine and not spared_from(subject, one.rule, mine):
            found.append(one)
    return found


class Wanted(NamedTuple):
    """What good practice is asked for: practices of single objects, and checks of several (keys of PAIRINGS)."""

    practices: tuple[Practice, ...] = ()
    checks: frozenset[str] = frozenset()


def wanted(names: Iterable[str] = (), weight: Weight = "warning", skipped: Iterable[str] = ()) -> Wanted:
    """Return what is named, or without names what weighs at least so much; less what is skipped.

    A name is as `chosen` takes it, or that of a check of several objects or of a rule by which one is told. Raises Unknown.
    """
    asked, left_out = list(names), list(skipped)
    single = [name for name in asked if not _checks(name)]
    practices = chosen(single, weight) if single or not asked else ()
    without = {one.name for name in left_out if not _checks(name) for one in chosen([name])}
    checks = {check for name in asked for check in _checks(name)} if asked else set(PAIRINGS)
    if not asked and weight == "danger":
        checks = {check for check in PAIRINGS if PAIRINGS[check].rules & GRAVE}
    checks -= {check for name in left_out for check in _checks(name)}
    return Wanted(tuple(one for one in practices if one.name not in without), frozenset(checks))


def _checks(name: str) -> list[str]:
    """Return the checks of several objects that a name means: a check's own, a rule's, or a pattern for either."""
    return [
        check
        for check, pairing in PAIRINGS.items()
        if fnmatchcase(check, name) or any(fnmatchcase(rule, name) for rule in pairing.rules)
    ]
