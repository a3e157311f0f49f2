"""Popeye's own cases: a cluster's objects with status and metrics -> the (object, code) pairs that Popeye expects.

A code stands for what it means, not for its words: EQUIVALENT says which rules of ours tell the same, REASONS why a code has none. Only the
kinds that a case loads count as seen; of everything else the examination must know nothing. A pair is found where a finding, or a symptom
or observation under one, says of that object (or of what stands over it) what the code says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from conformance import Rates
from fairlead.diagnose.examining import examine
from fairlead.judge.practices import BY_POPEYE, PRACTICES
from fairlead.reactor.examine import KINDS, OPTIONAL
from fairlead.reactor.practising import advise
from fairlead.words import Finding, Ref, Resource, Snapshot

NOW = datetime(2024, 2, 1, 12, 0, 0, tzinfo=UTC)
REGISTRIES = ("dorker.io",)
"""The registries that Popeye's tests allow, where they ask for allowed ones; its file of expectations does not say."""

EQUIVALENT: Mapping[int, tuple[str, ...]] = {
    109: ("usage.request", "usage.limit"),
    110: ("usage.request", "usage.limit"),
    111: ("usage.limit",),
    112: ("usage.limit",),
    200: ("container.crash", "container.memory", "pod.unready"),
    201: ("container.crash", "container.memory", "pod.unready"),
    202: ("pod.stuck", "pod.unready", "container.start", "container.config"),
    203: ("container.crash", "container.memory", "container.start", "container.config", "image.pull", "image.invalid",
          "image.never", "config.missing", "config.key", "secret.missing", "secret.key", "volume.mount", "pod.sandbox", "pod.unready"),
    204: ("pod.unready", "probe.failing", "probe.port", "container.crash", "pod.failing"),
    205: ("container.restarts", "container.crash", "container.memory"),
    206: ("budget.absent",),
    207: ("schedule.unnoticed", "pod.evicted", "pod.unscheduled", "pod.waiting", "pod.failing", "pod.stuck", "pod.unready"),
    209: ("budget.doubled",),
    303: ("account.token",),
    304: ("account.secret",),
    305: ("account.pull",),
    307: ("account.missing",),
    308: ("account.bound", "account.shared"),
    400: ("config.unused", "secret.unused", "account.unused", "role.unused", "claim.unused", "volume.unused",
          "namespace.unused", "gateway.unused"),
    401: ("config.spare", "secret.spare"),
    403: ("version.gone", "object.kind"),
    405: ("node.version",),
    407: ("gateway.class", "route.backend", "route.parent"),
    500: ("workload.idle",),
    501: ("workload.short", "workload.empty", "workload.partly"),
    503: ("usage.under",),
    504: ("usage.over",),
    505: ("usage.under",),
    506: ("usage.over",),
    507: ("account.missing",),
    508: ("workload.empty", "workload.selector"),
    600: ("autoscaler.kind", "autoscaler.target"),
    602: ("autoscaler.burst",),
    603: ("autoscaler.burst",),
    604: ("autoscaler.together",),
    605: ("autoscaler.together",),
    700: ("node.reserved", "node.tainted"),
    701: ("node.unknown", "node.unready"),
    702: ("node.unready",),
    703: ("node.pressure", "node.problem"),
    704: ("node.pressure",),
    705: ("node.pressure",),
    706: ("node.pressure",),
    707: ("node.pressure",),
    708: ("usage.unmeasured",),
    709: ("usage.node",),
    710: ("usage.node",),
    711: ("node.cordoned",),
    712: ("node.single",),
    800: ("namespace.inactive", "namespace.terminating"),
    900: ("budget.unused",),
    901: ("budget.blocking", "budget.least"),
    1000: ("volume.unused",),
    1001: ("volume.pending",),
    1002: ("volume.failed",),
    1003: ("claim.pending", "claim.class", "claim.mode", "claim.provisioning", "claim.size", "claim.taken", "claim.volume", "claim.waiting"),
    1004: ("claim.lost",),
    1100: ("service.selector",),
    1101: ("service.undeclared",),
    1102: ("service.number",),
    1103: ("service.balancer",),
    1104: ("service.nodeport",),
    1105: ("service.endpoints", "service.selector", "service.idle"),
    1106: ("service.port", "route.port"),
    1107: ("service.traffic",),
    1108: ("service.traffic",),
    1109: ("service.single",),
    1110: ("service.endpoints", "service.selector", "service.idle"),
    1120: ("workload.short", "workload.empty", "workload.partly"),
    1200: ("policy.selector",),
    1201: ("policy.namespaces",),
    1202: ("policy.peer",),
    1203: ("policy.closed", "policy.open"),
    1204: ("policy.lacking", "policy.absent"),
    1205: ("policy.lacking", "policy.absent"),
    1206: ("policy.block",),
    1207: ("policy.except",),
    1208: ("policy.peer",),
    1300: ("binding.role", "binding.account"),
    1400: ("ingress.error",),
    1401: ("ingress.backend",),
    1402: ("ingress.port", "ingress.portless"),
    1403: ("ingress.number",),
    1404: ("ingress.portless",),
    1500: ("cron.suspended", "job.suspended"),
    1501: ("cron.suspended", "cron.missed", "cron.never"),
    1502: ("cron.untried", "cron.suspended", "cron.missed", "cron.never"),
    1503: ("cron.missed", "cron.schedule", "job.failed", "workload.refused"),
}  # fmt: skip
"""By code: the rules of the diagnosis that tell the same. Those of the judge's practices are told by the practices themselves."""

REASONS: Mapping[int, str] = {
    402: "A cluster without metrics is no trouble of an object; an autoscaler that lacks them is (autoscaler.stopped).",
    404: "A failure inside Popeye.",
    406: "Praise, not trouble.",
    666: "A failure inside Popeye.",
}
"""Why a code has no rule of ours."""

_SAID: Mapping[str, re.Pattern[str]] = {
    "workload.short": re.compile(r"^\d+ of \d+ pods ready"),
    "workload.empty": re.compile(r"^wants \d+ pods?, and no pod has "),
}
"""How facts read that are told as evidence: about the same object as the finding that explains them."""


def rules_of(code: int) -> frozenset[str]:
    """Return the rules that tell the same as a code."""
    mine = [practice.rule for practice in BY_POPEYE.get(code, ())]
    return frozenset([*EQUIVALENT.get(code, ()), *mine])


@dataclass(frozen=True, slots=True)
class Case:
    """One test of Popeye's: its name, the objects, and for each object that it looks at the codes that it expects."""

    name: str
    objects: tuple[Resource, ...]
    about: tuple[Resource, ...]
    expected: Mapping[str, Mapping[int, str]]

    def subject(self, key: str) -> Ref | None:
        """Return the object that a key of the expectations names: one of those that the case is about."""
        return next((Ref.of(one) for one in self.about if _named(one, key)), None)


def _named(resource: Resource, key: str) -> bool:
    space, _, name = key.rpartition("/")
    ref = Ref.of(resource)
    return ref.name == name and ref.namespace in {space, ""}


def cases(corpus: Path) -> Iterator[Case]:
    """Yield each case; lists are unfolded, and namespaces taken from what has none."""
    root = corpus / "popeye"
    for entry in json.loads((root / "expected.json").read_text()):
        files = [tuple(_objects((root / file).read_text())) for file in entry["files"]]
        expected = {
            key: {int(issue["code"]): str(issue["message"]) for issue in issues}
            for key, issues in entry["expected"].items()
        }
        about = max(files, key=lambda objects: sum(_named(one, key) for key in expected for one in objects))
        yield Case(entry["test"], tuple(one for objects in files for one in objects), about, expected)


_WIDE = {
    "PersistentVolume",
    "Node",
    "Namespace",
    "NodeMetrics",
    "ClusterRole",
    "ClusterRoleBinding",
    "GatewayClass",
}


def _objects(text: str) -> Iterator[Resource]:
    for document in yaml.safe_load_all(text):
        if not isinstance(document, dict):
            continue
        many = document.get("items") if str(document.get("kind", "")).endswith("List") else [document]
        for one in many or ():
            if one["kind"] in _WIDE:
                one["metadata"].pop("namespace", None)
            else:
                one["metadata"].setdefault("namespace", "default")
            yield one


def found(case: Case) -> list[Finding]:
    """Return what the examination says of a case's objects, with advice; what the case does not load is unseen."""
    seen = {(Ref.of(one).group, Ref.of(one).kind) for one in case.objects}
    known = {(version.rpartition("/")[0], kind) for version, kind in (*KINDS, *OPTIONAL)}
    allowed = any(113 in codes for codes in case.expected.values())
    return [
        *examine(Snapshot(case.objects), scope="live", now=NOW, unseen=known - seen, advice=True),
        *advise(
            case.objects,
            practices=PRACTICES,
            registries=REGISTRIES if allowed else (),
            spared=(),
            owned_too=True,
        ),
    ]


def told(findings: Collection[Finding]) -> dict[Ref, set[str]]:
    """Return, for each object, the rules under which something is said of it."""
    said: dict[Ref, set[str]] = {}
    for finding in findings:
        said.setdefault(finding.subject, set()).add(finding.rule)
        for symptom in finding.symptoms:
            said.setdefault(symptom.subject, set()).add(symptom.rule)
        for item in finding.evidence:
            for rule, pattern in _SAID.items():
                if item.kind == "condition" and pattern.search(item.text):
                    said.setdefault(item.subject, set()).add(rule)
    return said


def compare(case: Case) -> tuple[list[str], dict[str, str], list[str]]:
    """Return the pairs that were found, those that were missed with what was said instead, and what was said unexpectedly."""
    said = told(found(case))
    hits: list[str] = []
    missed: dict[str, str] = {}
    beyond: list[str] = []
    for key, codes in case.expected.items():
        ref = case.subject(key)
        mine = said.get(ref, set()) if ref is not None else set()
        for code, message in codes.items():
            name = f"{case.name} {key} {code}"
            if mine & rules_of(code):
                hits.append(name)
            else:
                missed[name] = f"{message!r} is not told; what is: {', '.join(sorted(mine)) or 'nothing'}"
        wanted = frozenset[str]().union(*(rules_of(code) for code in codes))
        mapped = frozenset[str]().union(*(rules_of(code) for code in (*EQUIVALENT, *BY_POPEYE)))
        beyond += [f"{case.name} {key} {rule}" for rule in sorted((mine & mapped) - wanted)]
    return hits, missed, beyond


def run(corpus: Path) -> Rates:
    """Return how many expected pairs are found."""
    rates = Rates("popeye")
    for case in cases(corpus):
        hits, missed, _ = compare(case)
        rates.passed += len(hits)
        rates.missed.update(missed)
    return rates


def beyond(corpus: Path) -> list[str]:
    """Return what is said of objects that Popeye looks at and expects nothing of the kind: to be checked by eye."""
    return [one for case in cases(corpus) for one in compare(case)[2]]


def table() -> list[tuple[int, str, Any]]:
    """Return each code with the rules that tell the same, or the reason why there is none."""
    codes = sorted({*EQUIVALENT, *BY_POPEYE, *REASONS})
    return [
        (code, ", ".join(f"`{rule}`" for rule in sorted(rules_of(code))), REASONS.get(code, ""))
        for code in codes
    ]
