"""What policy engines have reported (wgpolicyk8s.io): for each policy that fails, one note with how many objects fail it, not one for each object.

The reports are believed as they are; nothing is judged again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Evidence, Ref, Resource, Severity

GROUP = "wgpolicyk8s.io"
_KINDS = ("PolicyReport", "ClusterPolicyReport")
_SHOWN = 3


@dataclass(slots=True)
class _Tally:
    """What all reports together say of one policy."""

    failing: dict[Ref, str] = field(default_factory=dict)
    broken: dict[Ref, str] = field(default_factory=dict)
    first: Ref | None = None


def _policy(result: Mapping[str, object]) -> Ref:
    """Return the policy as the object that it is: Kyverno writes `namespace/name` for one that lives in a namespace."""
    name = text(result, "policy")
    owner, slash, rest = name.partition("/")
    if slash:
        return Ref("kyverno.io", "Policy", owner, rest)
    source = text(result, "source").lower()
    if source in {"", "kyverno"}:
        return Ref("kyverno.io", "ClusterPolicy", "", name)
    return Ref("", "Policy", "", name)


def _results(report: Resource) -> Iterator[tuple[Mapping[str, object], Ref]]:
    """Each result of a report with each object that it is about."""
    scope = mapping(report, "scope")
    for _, result in mappings(report, "results"):
        things = [one for _, one in mappings(result, "resources")] or ([scope] if scope else [])
        for one in things:
            group = text(one, "apiVersion").rpartition("/")[0]
            yield result, Ref(group, text(one, "kind"), text(one, "namespace"), text(one, "name"))


def _tallies(inventory: Inventory) -> Mapping[Ref, _Tally]:
    found: dict[Ref, _Tally] = {}
    for kind in _KINDS:
        for report in inventory.of_kind(GROUP, kind):
            for result, about in _results(report):
                verdict = text(result, "result")
                if verdict not in {"fail", "error"} or not text(result, "policy"):
                    continue
                tally = found.setdefault(_policy(result), _Tally())
                tally.first = tally.first or Ref.of(report)
                (tally.failing if verdict == "fail" else tally.broken).setdefault(
                    about, text(result, "message")
                )
    return found


def report(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """The policies that fail; each is told once, by the first report that speaks of it."""
    ref = Ref.of(resource)
    for policy, tally in inventory.kept(_tallies).items():
        if tally.first != ref:
            continue
        if tally.failing:
            count = len(tally.failing)
            yield Fact(
                rule="report.failing",
                subject=policy,
                severity=Severity.INFO,
                message=f"is not met by {count} object{'s' if count != 1 else ''}, its reports say",
                evidence=tuple(_shown(inventory, list(tally.failing.items()))),
            )
        if tally.broken:
            yield Fact(
                rule="report.error",
                subject=policy,
                severity=Severity.WARNING,
                message=f"could not be judged for {len(tally.broken)} object{'s' if len(tally.broken) != 1 else ''}",
                cause=inventory.quote(next(iter(tally.broken.values())), ref),
                evidence=tuple(_shown(inventory, list(tally.broken.items()))),
            )


def _shown(inventory: Inventory, said: Sequence[tuple[Ref, str]]) -> Iterator[Evidence]:
    for about, message in said[:_SHOWN]:
        yield Evidence("field", about, f"{about}: {inventory.quote(message, about, 200)}")


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {
    (GROUP, kind): report for kind in _KINDS
}
