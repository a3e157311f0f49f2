"""Advice by the judge's practices, told as findings beside those of an examination.

Brings objects and practices together; holds no rules. Advice is never more than a note: its severity is info.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from fairlead.judge.practices import SYSTEM, Practice, chosen, faults, owned, repaired
from fairlead.tongues import jsonpatch
from fairlead.tongues.paths import dotted
from fairlead.words import Change, Evidence, Finding, Fix, Ref, Resource, Severity, Snapshot, View, Where

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
                fixes=tuple(_fix(resource, ref, practice, beside)),
                where=places[0],
            )
        )
    return found


def _fix(resource: Resource, ref: Ref, practice: Practice, beside: View) -> Iterable[Fix]:
    better, made = repaired(resource, (practice,), beside)
    if not made:
        return
    change = Change(
        verb="patch",
        ref=ref,
        api_version=str(resource.get("apiVersion") or ""),
        body=jsonpatch.diff(resource, better),
        patch="json",
        why=practice.title,
        if_uid=ref.uid,
    )
    risk = f"{practice.risk[:1].upper()}{practice.risk[1:]}." if practice.risk else ""
    yield Fix(title=f"follow {practice.rule}", changes=(change,), risk=risk)
