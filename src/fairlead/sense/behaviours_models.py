"""The model of a behaviour: what it is called, how bad it is, what sees it and what decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fairlead.sense.events import Event
from fairlead.sense.plans import Hook


def _no(_: Event) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Behaviour:
    """One named behaviour.

    `event` is the name that policies select it by, `id`, `title`, `severity` (0 to 4), `category` and the MITRE technique are those that users
    of Tracee compare. `watch` makes its hooks, whose clauses belong to the owner it is given; `kinds` are the events that come without
    any (exec, forked, exited). `judge` says of an event that the hooks let through whether it is one: None or False for no, else what it
    saw, by name. With `why_not` it cannot be detected.
    """

    event: str
    id: str
    title: str
    description: str
    severity: int
    category: str
    technique: str
    technique_id: str
    watch: Callable[[str], tuple[Hook, ...]] | None = None
    kinds: tuple[str, ...] = ()
    judge: Callable[[Event], dict[str, Any] | bool | None] = _no
    version: str = "1"
    aliases: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def tags(self) -> tuple[str, ...]:
        """Its id and MITRE's words, as tags."""
        return (self.id, f"mitre_{self.category.replace('-', '_')}", self.technique_id)

    @property
    def properties(self) -> dict[str, Any]:
        """What Tracee prints of a signature."""
        return {
            "Category": self.category,
            "Kubernetes_Technique": "",
            "Severity": self.severity,
            "Technique": self.technique,
            "external_id": self.technique_id,
            "signatureID": self.id,
            "signatureName": self.title,
        }
