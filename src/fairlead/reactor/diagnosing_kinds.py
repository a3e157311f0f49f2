"""The kinds of continuous diagnosis, with their schemas: tables, and nothing that acts.

Finding: one root cause as an object, in the namespace of its subject; where the subject has none (a Node, a PersistentVolume), in `default`,
where Kubernetes keeps its Events about them too. Its name is the finding's id. fairlead alone writes it; what somebody else puts into its own
parts is put right again, labels and annotations of others stay. It holds no value of a Secret.
Suppression: a finding, or all of a rule, that is not to be told, why, and until when.
HealPolicy: which findings may be tried to fix, and which fixed, where, when and how often. Without one, nothing is but told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from fairlead.keep.entries import Entry, Outcome
from fairlead.keep.requests import Request
from fairlead.keep.worlds import World
from fairlead.reactor.policing_kinds import MANAGER, USER, Row, definition
from fairlead.words import Resource

GROUP: Final = "fairlead.dev"
API_VERSION: Final = "fairlead.dev/v1alpha1"
CATEGORY: Final = "diagnose"
DIGEST: Final = "fairlead.dev/digest"
"""The annotation of a definition that tells whether it is this version's."""
HEAL: Final = "fairlead.dev/heal"
"""The annotation that keeps healing away, with the value `off`: on a namespace, on an object, on a Finding."""
UNDONE: Final = "fairlead.dev/undone"
"""The annotation of a Finding that says which healing somebody has taken back: when it was started."""
HOME: Final = "default"
"""The namespace of findings about what has none."""

Schema = dict[str, Any]


def _text(description: str = "", **more: Any) -> Schema:
    return {"type": "string", **({"description": description} if description else {}), **more}


def _object(description: str = "", *, required: Sequence[str] = (), **properties: Schema) -> Schema:
    found: Schema = {
        "type": "object",
        "properties": {name.rstrip("_"): one for name, one in properties.items()},
    }
    if description:
        found["description"] = description
    if required:
        found["required"] = list(required)
    return found


def _array(items: Schema, description: str = "", **more: Any) -> Schema:
    return {"type": "array", "items": items, **({"description": description} if description else {}), **more}


def _whole(description: str = "", **more: Any) -> Schema:
    return {"type": "integer", **({"description": description} if description else {}), **more}


def _flag(description: str = "", **more: Any) -> Schema:
    return {"type": "boolean", **({"description": description} if description else {}), **more}


_TIME: Schema = _text(format="date-time")
_SEVERITIES = ["critical", "warning", "info"]
_CONFIDENCES = ["certain", "likely", "possible"]
_REF: Schema = _object(
    group=_text(), kind=_text(), namespace=_text(), name=_text(), required=["kind", "name"]
)
_PLACE: Schema = _object(file=_text(), line=_whole(), path=_text())
_STEPS: Schema = _array(_object(name=_text(), ok=_flag(), detail=_text()))
_CHANGE: Schema = _object(
    verb=_text(), apiVersion=_text(), ref=_REF, subresource=_text(), patch=_text(), why=_text(),
    ifUid=_text("the object that is meant, where others may have its name later"),
    body={"x-kubernetes-preserve-unknown-fields": True},
)  # fmt: skip

_FINDING: Schema = _object(
    "What was found, as `fairlead diagnose -o json` tells it. Bodies of changes are left out: `fairlead fix` shows them.",
    required=["id", "rule", "severity", "subject", "message"],
    id=_text("eight hex digits: the same as long as rule, subject and place are"),
    rule=_text("a stable dotted name"),
    severity=_text(enum=_SEVERITIES),
    confidence=_text(enum=_CONFIDENCES),
    subject=_REF,
    message=_text("what is wrong, in one sentence that follows the subject"),
    cause=_text("why, as far as it is known"),
    evidence=_array(_object(kind=_text(), subject=_REF, text=_text(), where=_PLACE), "observed facts"),
    symptoms=_array(
        _object(subject=_REF, message=_text(), rule=_text(), after=_REF), "what is wrong only because of this"
    ),
    fixes=_array(_object(title=_text(), risk=_text(), origin=_text(), changes=_array(_CHANGE)), "ways out"),
    where=_PLACE,
)
_PROPOSAL: Schema = _object(
    "A fix that was tried on a copy of the cluster; nothing was changed.",
    policy=_text("the HealPolicy that asked for it"),
    of=_text("what was tried: another proposal comes when this changes"),
    at=_TIME,
    proven=_flag("whether every step holds"),
    title=_text(),
    risk=_text(),
    diffs=_array(_text(), "unified diffs of YAML, one for each object; values of Secrets are hidden"),
    steps=_STEPS,
    unproven=_array(_text(), "what a copy cannot show"),
    command=_text("what carries it out"),
    note=_text("why nothing was tried, where nothing was"),
)
_HEALING: Schema = _object(
    "What was done about it.",
    policy=_text(),
    of=_text("what was carried out: it is not carried out again after a roll-back until this changes"),
    phase=_text("how far it is", enum=["begun", "done"]),
    outcome=_text(
        enum=["", "healthy", "unhealthy", "rolled back", "refused", "dry run", "interrupted", "undone"]
    ),
    title=_text(),
    started=_TIME,
    ended=_TIME,
    times=_whole("how often this was carried out within the last hour"),
    steps=_STEPS,
    undo=_array(_CHANGE, "the changes that take it back, in their order"),
    record=_text("the file in which all of it is written down, on the machine that did it"),
    note=_text(),
)
_SUPPRESSED: Schema = _object(name=_text(), reason=_text(), until=_TIME)
_STATUS: Schema = _object(
    state=_text(enum=["active", "resolved", "suppressed"]),
    firstSeen=_TIME,
    lastSeen=_text("when it was last written that it is there", format="date-time"),
    times=_whole("how often it has come"),
    flapping=_flag("whether it comes and goes"),
    changes=_array(_TIME, "when it came and went, the last few"),
    notified=_text("what receivers of notifications were told last"),
    suppression=_SUPPRESSED,
    proposal=_PROPOSAL,
    healing=_HEALING,
)

_SUPPRESSION: Schema = _object(
    "Names a finding by its id, or findings by rule, by subject, or by both.",
    finding=_text("the id of one finding", pattern="^[0-9a-f]{8}$"),
    rule=_text("a rule's name, or a pattern with `*`", maxLength=253),
    subject=_object(
        "whose findings of the rule; what is left out is any",
        group=_text(), kind=_text(), namespace=_text(), name=_text(),
    ),
    reason=_text("why it is not to be told", maxLength=4096),
    until={**_TIME, "nullable": True, "description": "when it is told again; without it, never"},
    by=_text("who has decided so", maxLength=253),
)  # fmt: skip
_SUPPRESSION["x-kubernetes-validations"] = [
    {
        "rule": "has(self.finding) || has(self.rule) || has(self.subject)",
        "message": "names neither a finding, nor a rule, nor a subject",
    }
]

_SELECTOR: Schema = _object(
    matchLabels={"type": "object", "additionalProperties": {"type": "string"}},
    matchExpressions=_array(
        _object(
            required=["key", "operator"],
            key=_text(),
            operator=_text(enum=["In", "NotIn", "Exists", "DoesNotExist"]),
            values=_array(_text()),
        )
    ),
)
_POLICY: Schema = _object(
    "Of several policies that concern a finding, `off` wins over `auto`, and `auto` over `propose`.",
    required=["mode"],
    mode=_text(
        "off: nothing is tried. propose: the fix is tried on a copy and shown. auto: what is proven is carried out, watched, and undone if it harms",
        enum=["off", "propose", "auto"],
    ),
    rules=_array(_text(maxLength=253), "names of rules, with `*`; without any, all", maxItems=256),
    namespaces=_array(
        _text(maxLength=253),
        "names of namespaces, with `*`; kube-system and fairlead's own count only by their full names",
        maxItems=256,
    ),
    namespaceSelector={**_SELECTOR, "description": "labels of namespaces, besides the names"},
    clusterScoped=_flag(
        "whether findings about, and changes of, what has no namespace count too", default=False
    ),
    severity=_text("findings below this are left alone", enum=_SEVERITIES, default="warning"),
    minConfidence=_text("findings that are less sure are left alone", enum=_CONFIDENCES, default="certain"),
    maxPerHour=_whole(
        "so many fixes are carried out within an hour at most", minimum=0, maximum=1000, default=4
    ),
    window=_object(
        "when fixes may be carried out; always, without it",
        required=["schedule", "duration"],
        schedule=_text("when it opens, as in a CronJob", maxLength=256),
        duration=_text("for how long, such as 2h or 90m", maxLength=32),
        timeZone=_text("whose clock the schedule follows; UTC by default", maxLength=64),
    ),
    requireProven=_flag(
        "a fix must have been proven on a copy: there is no other way", enum=[True], default=True
    ),
    dryRun=_flag("do everything but the change itself", default=False),
    patience=_text("for how long a fix is watched, such as 3m", maxLength=32, default="3m"),
)
_POLICY["x-kubernetes-validations"] = [
    {
        "rule": "self.mode != 'auto' || (has(self.rules) && size(self.rules) > 0)",
        "message": "auto is for chosen rules: name them in spec.rules",
    },
    {
        "rule": "self.mode != 'auto' || (has(self.namespaces) && size(self.namespaces) > 0) || has(self.namespaceSelector)"
        " || self.clusterScoped",
        "message": "auto is for chosen namespaces: name them in spec.namespaces or spec.namespaceSelector",
    },
]
_POLICY_STATUS: Schema = _object(
    observedGeneration=_whole(),
    state=_text(enum=["active", "waiting", "invalid"]),
    message=_text(),
    recent=_array(_TIME, "when fixes were begun within the last hour"),
    last=_object(finding=_text(), namespace=_text(), outcome=_text(), at=_TIME),
)

ROWS: Mapping[str, Row] = {
    "Finding": Row(
        GROUP, "v1alpha1", "Finding", "findings", "fnd", True,
        (
            ("Severity", "string", ".finding.severity"),
            ("Rule", "string", ".finding.rule"),
            ("Subject", "string", ".subject"),
            ("Message", "string", ".finding.message"),
            ("Age", "date", ".status.firstSeen"),
            ("State", "string", ".status.state"),
        ),
        CATEGORY,
    ),
    "Suppression": Row(
        GROUP, "v1alpha1", "Suppression", "suppressions", "supp", False,
        (
            ("Finding", "string", ".spec.finding"),
            ("Rule", "string", ".spec.rule"),
            ("Until", "string", ".spec.until"),
            ("By", "string", ".spec.by"),
            ("Reason", "string", ".spec.reason"),
            ("Age", "date", ".metadata.creationTimestamp"),
        ),
        CATEGORY,
    ),
    "HealPolicy": Row(
        GROUP, "v1alpha1", "HealPolicy", "healpolicies", "healpol", False,
        (
            ("Mode", "string", ".spec.mode"),
            ("Rules", "string", ".spec.rules"),
            ("Namespaces", "string", ".spec.namespaces"),
            ("State", "string", ".status.state"),
            ("Message", "string", ".status.message"),
            ("Age", "date", ".metadata.creationTimestamp"),
        ),
        CATEGORY,
    ),
}  # fmt: skip
_SCHEMAS: Mapping[str, Schema] = {
    "Finding": _object(
        "One root cause that was found.",
        required=["finding"],
        subject=_text("the object at fault, for people"),
        finding=_FINDING,
        status=_STATUS,
    ),
    "Suppression": _object("What is not to be told.", required=["spec"], spec=_SUPPRESSION),
    "HealPolicy": _object("What may be healed.", required=["spec"], spec=_POLICY, status=_POLICY_STATUS),
}
_WITH_STATUS = frozenset({"HealPolicy"})
"""Whose status is a resource of its own: a Finding is written by one writer, all at once."""


def definitions() -> list[Resource]:
    """Return the CustomResourceDefinitions, which share no parts."""
    return [orjson.loads(orjson.dumps(_definition(row))) for row in ROWS.values()]


def _definition(row: Row) -> Resource:
    found = definition(row)
    (version,) = found["spec"]["versions"]
    version["schema"] = {"openAPIV3Schema": _SCHEMAS[row.kind]}
    if row.kind not in _WITH_STATUS:
        version.pop("subresources", None)
    digest = hashlib.sha256(orjson.dumps(found["spec"], option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    found["metadata"]["annotations"] = {DIGEST: digest}
    return found


def install(world: World, now: datetime) -> Outcome:
    """Create the definitions that are missing, and renew those of an earlier version of fairlead, in one step.

    One that somebody else has made is left as it is.
    """
    kind = world.catalogue.kind("apiextensions.k8s.io", "CustomResourceDefinition")
    assert kind is not None
    request = Request(user=USER, now=now, manager=MANAGER)
    entries: list[Entry] = []
    for wanted in definitions():
        name = wanted["metadata"]["name"]
        if not world.has(kind, "", name):
            entries += world.create(kind, "", wanted, request).entries
            continue
        there = world.get(kind, "", name, overlay=True).object["metadata"]
        digest = (there.get("annotations") or {}).get(DIGEST)
        if digest not in {None, wanted["metadata"]["annotations"][DIGEST]}:
            meta = {**wanted["metadata"], "resourceVersion": there["resourceVersion"]}
            entries += world.update(kind, "", name, {**wanted, "metadata": meta}, request).entries
    return Outcome({}, b"{}", tuple(entries))
