"""The falco dialect: rule files -> the engine's rules, and its detections -> Falco's lines.

    loaded = load([("falco_rules.yaml", text), ("local.yaml", text)], fields=Fields(around))
    loaded.rules      # sense.rules.Rule of source syscall; `detail` is an outputs.Model
    loaded.auditor    # judges audit.k8s.io/v1 events: loaded.auditor.judge(Audited(object, time)) -> [AuditDetection]
    loaded.findings   # whatever is wrong, with file, line and path; the rest runs

    line(detection), json_line(detection, hostname)  # as Falco writes them

Files are read in their order, as Falco reads them: later ones append to, override and redefine what earlier ones said. Nothing here reads a
file, asks a clock or touches the kernel; reading never raises over content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairlead.dialects.falco import auditing, compiling, outputs
from fairlead.dialects.falco.auditing import AuditDetection, Audited, Auditor, AuditRule
from fairlead.dialects.falco.collecting import PRIORITIES, SYSCALL, Collected, priority_of
from fairlead.dialects.falco.outputs import Model
from fairlead.sense.fields import Around, Fields
from fairlead.sense.rules import Detection, Rule
from fairlead.tongues.conditions import Resolver
from fairlead.words import Finding

__all__ = [
    "AuditDetection", "AuditRule", "Audited", "Auditor", "Loaded", "Model", "PRIORITIES", "json_line", "line", "load", "priority_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """What rule files came to. `rules` are those over system calls, `auditor` holds those over audit events."""

    rules: tuple[Rule, ...]
    auditor: Auditor
    findings: tuple[Finding, ...]


def load(
    files: Sequence[tuple[str, str]],
    *,
    fields: Resolver | None = None,
    minimum: str = "Debug",
    suggested: bool = True,
    enabled: Mapping[str, bool] | None = None,
) -> Loaded:
    """Return the rules of files, (name, text) each.

    `fields` gives the fields of system calls (sense.fields.Fields; without it, with nothing around). Rules below the priority `minimum`
    are not enabled. `suggested` appends the fields of containers to every output over system calls, as Falco does. `enabled` switches
    single rules on and off by their names, whatever the files say. Never raises over content.
    """
    collected = Collected()
    for name, text in files:
        collected.take(name, text)
    sources: dict[str, Resolver] = {
        SYSCALL: fields or Fields(Around()),
        auditing.SOURCE: auditing.AuditFields(),
    }
    compiler = compiling.Compiler(collected, sources, priority_of(minimum) or "Debug", suggested)
    switches = enabled or {}
    ready = [(one, switches.get(one.info.name, one.enabled)) for one in compiler.rules()]
    audits = [
        AuditRule(one.model, one.tree, one.info.where, on)
        for one, on in ready
        if one.info.source == auditing.SOURCE
    ]
    rules = [_rule(one, on) for one, on in ready if one.info.source == SYSCALL]
    order = {name: number for number, (name, _) in enumerate(files)}
    found = [*collected.findings, *compiler.findings]
    found.sort(key=lambda one: (order.get(one.where.file, 0), one.where.line))
    return Loaded(tuple(rules), Auditor(tuple(audits)), tuple(found))


def _rule(one: compiling.Ready, on: bool) -> Rule:
    info = one.info
    return Rule(
        key=f"falco/{info.name}", dialect="falco", name=info.name, severity=compiling.SEVERITIES[info.priority], priority=info.priority,
        message=one.plain.message, description=" ".join(info.desc.split()), tags=one.model.tags, condition=one.tree,
        where=info.where, enabled=on, detail=one.model,
    )  # fmt: skip


def line(detection: Detection, zone: int = 0) -> str:
    """Return a detection as Falco's line; `zone` is seconds east of Greenwich."""
    return _model(detection).line(detection.event, detection.event.time, zone)


def json_line(detection: Detection, hostname: str, zone: int = 0) -> str:
    """Return a detection as Falco's JSON line."""
    return _model(detection).json(detection.event, detection.event.time, hostname, zone)


def _model(detection: Detection) -> Model:
    model = detection.rule.detail
    assert isinstance(model, outputs.Model)
    return model
