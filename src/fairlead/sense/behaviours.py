"""Detectors of fairlead's own for the named behaviours that Tracee's users know: by event name, id and severity.

Each is a model (Behaviour) that `rule` makes a rule of; the detectors themselves are written afresh. What this design cannot see is
in the table too, and says why: nobody shall believe that it is watched for. Pure: what a detector remembers it keeps with the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fairlead.sense.behaviours_files import FILES
from fairlead.sense.behaviours_models import Behaviour
from fairlead.sense.behaviours_processes import PROCESSES
from fairlead.sense.behaviours_reach import REACH
from fairlead.sense.events import Event, printable
from fairlead.sense.rules import Rule
from fairlead.words import Finding, Ref, Severity, Where

__all__ = ["BEHAVIOURS", "Behaviour", "SEVERITIES", "missing", "rule", "rules"]

SEVERITIES = (Severity.INFO, Severity.INFO, Severity.WARNING, Severity.CRITICAL, Severity.CRITICAL)
"""Tracee's severities 0 to 4 (information, low, medium, high, critical) in the house's words."""
LEVELS = ("info", "low", "medium", "high", "critical")

_UNSEEN = (
    Behaviour(
        event="proc_fops_hooking",
        id="TRC-1020",
        title="File operations hooking on proc filesystem detected",
        description="A rootkit put functions of its own in the place of those that list /proc.",
        severity=3,
        category="defense-evasion",
        technique="Rootkit",
        technique_id="T1014",
        why_not="the file operations of /proc lie in kernel memory, and which function an address belongs to is a kernel symbol: neither may be read here",
    ),
    Behaviour(
        event="syscall_hooking",
        aliases=("syscall_table_hooking",),
        id="TRC-1030",
        title="Syscall table hooking detected",
        description="A rootkit put functions of its own in the table of system calls.",
        severity=3,
        category="defense-evasion",
        technique="Rootkit",
        technique_id="T1014",
        why_not="the table of system calls lies in kernel memory, and which function an address belongs to is a kernel symbol: neither may be read here",
    ),
    Behaviour(
        event="hooked_syscall_detector",
        aliases=("hooked_syscall",),
        id="DRV-002",
        title="Syscall Table Hooking Detected",
        description="An entry of the table of system calls leads to where no system call is.",
        severity=4,
        category="defense-evasion",
        technique="Rootkit",
        technique_id="T1014",
        why_not="the table of system calls lies in kernel memory, and which function an address belongs to is a kernel symbol: neither may be read here",
    ),
    Behaviour(
        event="hooked_seq_ops_detector",
        aliases=("hooked_seq_ops",),
        id="DRV-003",
        title="Network Seq_ops Hooking Detected",
        description="The functions that list connections in /proc/net were replaced, so that some can be hidden.",
        severity=4,
        category="defense-evasion",
        technique="Rootkit",
        technique_id="T1014",
        why_not="the functions that list connections are named in kernel memory, and which function an address belongs to is a kernel symbol: neither may be read here",
    ),
)

BEHAVIOURS: Mapping[str, Behaviour] = {
    name: one
    for one in (*FILES, *PROCESSES, *REACH, *_UNSEEN)
    for name in (one.event, *one.aliases)
}  # fmt: skip
"""Each behaviour by the name of its event; some have a second name."""


@dataclass(frozen=True, slots=True)
class _Message:
    """What a finding of a behaviour says: its title, who did it, and what the detector saw of it."""

    behaviour: Behaviour
    seen: Callable[[Event], object]

    def __call__(self, event: Event) -> str:
        process = event.process
        who = printable(process.name or event.comm or "?")
        found = self.seen(event)
        told = (
            ", ".join(f"{key} {printable(str(value))}" for key, value in found.items())
            if isinstance(found, dict)
            else ""
        )
        where = f" in {process.container.name or process.container.short}" if process.container else ""
        return f"{self.behaviour.title}: {who} (pid {event.pid}){where}{': ' if told else ''}{told}"


def rule(behaviour: Behaviour, key: str = "") -> Rule:
    """Return the rule that detects it. `key` is what its clauses are owned by; the data of a detection are a mapping or None."""
    if behaviour.why_not or behaviour.watch is None:
        raise ValueError(f"{behaviour.event} cannot be detected: {behaviour.why_not}")
    key = key or f"behaviour/{behaviour.event}"
    return Rule(
        key=key,
        dialect="behaviour",
        name=behaviour.event,
        severity=SEVERITIES[behaviour.severity],
        priority=LEVELS[behaviour.severity],
        message=_Message(behaviour, behaviour.judge),
        description=behaviour.description,
        tags=behaviour.tags,
        kinds=behaviour.kinds,
        hooks=behaviour.watch(key),
        residue=behaviour.judge,
        detail=behaviour,
    )


def rules() -> list[Rule]:
    """Return a rule for each behaviour that can be detected."""
    return [rule(one) for one in dict.fromkeys(BEHAVIOURS.values()) if not one.why_not]


def missing() -> list[Finding]:
    """Return a finding for each behaviour that cannot be detected, which says why."""
    return [
        Finding(
            rule="sense.unsupported",
            severity=Severity.INFO,
            subject=Ref("fairlead.dev", "Behaviour", "", one.event),
            message=f"{one.title} ({one.id}) is not watched for",
            cause=one.why_not,
            where=Where(path=f".{one.event}"),
        )
        for one in dict.fromkeys(BEHAVIOURS.values())
        if one.why_not
    ]
