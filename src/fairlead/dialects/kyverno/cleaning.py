"""CleanupPolicy and ClusterCleanupPolicy, and the label that lets an object expire: what is to be deleted, and when.

A policy becomes a rule of the phase `cleanup`, its schedule the policy's label `schedule`; `due` asks such a rule (of whatever format)
of everything that is there. Nothing is deleted here, and no clock is looked at: time is handed in.
Source: kyverno/kyverno api/kyverno/v2 cleanup_policy_types.go, cmd/cleanup-controller, pkg/controllers/ttl.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fairlead.dialects.kyverno import fields
from fairlead.dialects.kyverno.conditions import Conditions
from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.dialects.kyverno.entries import Entries
from fairlead.dialects.kyverno.matching import BadMatch, Matching
from fairlead.dialects.kyverno.validating import BadRule, conditions_of, entries_of
from fairlead.judge.judging import run
from fairlead.judge.policies import Outcome, Policy, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject, Target, subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import cron, durations
from fairlead.tongues.paths import mapping, strings, text
from fairlead.words import Change, Finding, Ref, Resource

TTL: Final = "cleanup.kyverno.io/ttl"
PROPAGATION: Final = "cleanup.kyverno.io/propagation-policy"
SCHEDULE: Final = "schedule"
"""The label of the judge's Policy that holds the schedule."""

FIELDS: Final[fields.Fields] = {
    "metadata": None,
    "spec": {
        "schedule": None,
        "match": fields.MATCH,
        "exclude": fields.MATCH,
        "conditions": None,
        "context": [fields.CONTEXT],
        "deletionPropagationPolicy": None,
    },
}
_PROPAGATIONS = frozenset({"Foreground", "Background", "Orphan"})
_NOTES = "policies.kyverno.io/"


def read_cleanup_policy(source: Source) -> tuple[list[Policy], list[Finding]]:
    """Read a CleanupPolicy or a ClusterCleanupPolicy. Never raises over its content."""
    page = source.page()
    fields.take(page, FIELDS)
    findings = unsupported(page, source)
    spec = mapping(source.content, "spec")
    ref = source.ref
    schedule = text(spec, "schedule")
    propagation = spec.get("deletionPropagationPolicy")
    if propagation is not None and propagation not in _PROPAGATIONS:
        at = ".spec.deletionPropagationPolicy"
        return [], [*findings, broken(source, at, f'{at}: Unsupported value: "{propagation}"')]
    try:
        cron.parse(schedule)
        matching = Matching(spec.get("match") or {}, spec.get("exclude"), ref.namespace)
        entries = entries_of(spec.get("context"), source, ".spec.context")
        conditions = conditions_of(spec.get("conditions"), ".spec.conditions")
    except BadRule as error:
        return [], [*findings, broken(source, error.path, str(error))]
    except BadMatch as error:
        return [], [*findings, broken(source, f".spec.match{error.path}", str(error))]
    except ValueError as error:
        said = f'.spec.schedule: Invalid value: "{schedule}": {error}'
        return [], [*findings, broken(source, ".spec.schedule", said)]
    notes = strings(source.content, "metadata", "annotations")
    policy = Policy(
        source=ref,
        name=f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name,
        dialect="kyverno",
        rules=(_deletion(ref, matching, entries, conditions, propagation),),
        where=source.locate(""),
        admission=False,
        title=notes.get(f"{_NOTES}title", ""),
        category=notes.get(f"{_NOTES}category", ""),
        severity=notes.get(f"{_NOTES}severity", ""),
        labels={SCHEDULE: schedule},
    )
    return [policy], findings


def _deletion(
    ref: Ref, matching: Matching, entries: Entries | None, conditions: Conditions, propagation: Any
) -> Rule:
    def judge(subject: Subject, around: Surroundings) -> Outcome | None:
        if not matching.matches(subject, around):
            return None
        context = Context(subject, around)
        with context.scope({"target": subject.present}):
            if entries is not None:
                entries(context)
            try:
                if not conditions(context):
                    return None
            except Unresolved as error:
                return Outcome(result="error", message=f"failed to evaluate conditions: {error}")
        return _gone(subject, str(propagation or ""), f"{ref} deletes it")

    return Rule(name="", phase="cleanup", concerns=matching.concerns, run=judge)


def _gone(subject: Subject, propagation: str, why: str) -> Outcome:
    change = _deleting(subject.present, subject.ref, propagation, why)
    return Outcome(result="pass", message="resource matched and deleted", changes=(change,))


def _deleting(resource: Resource, ref: Ref, propagation: str, why: str) -> Change:
    return Change(
        verb="delete",
        ref=ref,
        api_version=text(resource, "apiVersion"),
        body={"propagationPolicy": propagation} if propagation else None,
        why=why,
        if_uid=ref.uid,
    )


def next_run(policy: Policy, last: datetime) -> datetime | None:
    """Return when a cleanup policy runs next after an aware moment; None when it never does again, or is no cleanup policy."""
    schedule = policy.labels.get(SCHEDULE)
    return cron.parse(schedule).next(last) if schedule else None


def due(policy: Policy, around: Surroundings) -> tuple[list[Change], list[Outcome]]:
    """Return what a cleanup policy deletes now, and its errors. Raises Lacking.

    The policy is asked of everything in the view that its kinds concern; what is being deleted already is passed over.
    """
    changes: list[Change] = []
    errors: list[Outcome] = []
    for rule in policy.rules:
        if rule.phase != "cleanup":
            continue
        for resource, target in _everything(around, rule):
            ref = Ref.of(resource)
            space = around.view.get("", "Namespace", "", ref.namespace) if ref.namespace else None
            subject = subject_of(resource, target.plural, space=space, scan=True)
            for one in run(subject, policy, rule, around):
                changes += one.outcome.changes
                if one.outcome.result == "error":
                    errors.append(one.outcome)
    return changes, errors


def _everything(around: Surroundings, rule: Rule) -> Iterator[tuple[Resource, Target]]:
    for group, kind in around.view.kinds():
        plural = around.kinds.plural(group, kind)
        for resource in around.view.list(group, kind):
            version = text(resource, "apiVersion").rpartition("/")[2]
            target = Target(group, version, kind, plural)
            if not rule.concerns(target):
                continue
            if not text(resource, "metadata", "deletionTimestamp"):
                yield resource, target


def expired(
    resources: Iterable[Resource], now: datetime
) -> tuple[list[Change], datetime | None, list[Finding]]:
    """Return what is to be deleted because its time is over, when the next object's time is, and labels that say no time."""
    changes: list[Change] = []
    findings: list[Finding] = []
    soonest: datetime | None = None
    for resource in resources:
        meta = mapping(resource, "metadata")
        if TTL not in mapping(meta, "labels") or meta.get("deletionTimestamp"):
            continue
        ref = Ref.of(resource)
        try:
            at = deadline(resource)
        except ValueError as error:
            findings.append(broken(Source(resource), f".metadata.labels['{TTL}']", str(error)))
            continue
        if at > now:
            soonest = at if soonest is None else min(soonest, at)
            continue
        propagation = text(meta, "annotations", PROPAGATION)
        propagation = propagation if propagation in _PROPAGATIONS else ""
        changes.append(_deleting(resource, ref, propagation, f"its label {TTL} says so"))
    return changes, soonest, findings


def deadline(resource: Resource) -> datetime:
    """Return when an object with the label expires: some time after it was created (`1h30m`, `2d`), or at a date. Raises ValueError."""
    label = mapping(resource, "metadata", "labels").get(TTL)
    value = label if isinstance(label, str) else ""
    lasts = _lasts(value)
    if lasts is not None:
        created = datetime.fromisoformat(text(resource, "metadata", "creationTimestamp"))
        try:
            return (created if created.tzinfo else created.replace(tzinfo=UTC)) + lasts
        except OverflowError:
            raise ValueError(f"failed to parse the label {TTL}: {value!r} is too long") from None
    for form in ("%Y-%m-%dT%H%M%SZ", "%Y-%m-%d"):
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError(f"failed to parse the label {TTL}: {value!r} is neither a duration nor a time")


_LONG = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-zµ]+)")
_UNITS: Mapping[str, float] = {
    **dict.fromkeys(("ns", "nano"), 1e-9),
    **dict.fromkeys(("us", "µs", "micro"), 1e-6),
    **dict.fromkeys(("ms", "milli"), 1e-3),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "mm", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 604_800.0),
}


def _lasts(value: str) -> timedelta | None:
    """Return the time that a text stands for: Go's durations, or numbers with longer units; None for anything else."""
    try:
        return timedelta(microseconds=durations.parse(value) / 1000)
    except ValueError:
        pass
    found = _LONG.findall(value)
    if not found or re.sub(r"\s", "", value) != "".join(number + unit for number, unit in found):
        return None
    total = 0.0
    for number, unit in found:
        if unit.lower() not in _UNITS:
            return None
        total += float(number) * _UNITS[unit.lower()]
    try:
        return timedelta(seconds=total)
    except OverflowError:
        return None
