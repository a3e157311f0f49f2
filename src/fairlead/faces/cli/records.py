"""What `fairlead fix` has done, one file for each time: written before anything is changed, so that it can always be undone.

The files are their owner's alone (0600, in a folder of 0700). They lie beside the platform's own data, or for other clusters in
$XDG_STATE_HOME/fairlead/fixes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli import findings
from fairlead.words import Change, Ref

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.reactor.heal import Healing
    from fairlead.reactor.trial import Trial

STANDING = frozenset({"begun", "healthy", "unhealthy"})
"""Outcomes after which something of a fix may still stand."""


@dataclass(slots=True)
class Record:
    """One file: a Fix as `fairlead fix -o json` prints it."""

    path: Path
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """The file's name without its end: when, and the finding's id."""
        return self.path.stem

    @property
    def finding(self) -> str:
        """The id of the finding that was fixed."""
        return str((self.content.get("finding") or {}).get("id") or "")

    @property
    def applied(self) -> dict[str, Any]:
        """What was done."""
        return self.content.get("applied") or {}

    @property
    def outcome(self) -> str:
        """What came of it: undone, or as heal has it."""
        return "undone" if self.content.get("undone") else str(self.applied.get("outcome") or "")

    def undo(self) -> list[Change]:
        """Return the changes that take it back."""
        return [change_of(one) for one in self.applied.get("undo") or ()]

    def save(self) -> None:
        """Write the file anew, whole or not at all. Raises OSError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".tmp")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self.content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


def folder(kubeconfig: Path) -> Path:
    """Return where the records of a cluster's fixes lie."""
    if (kubeconfig.parent / "pki").is_dir():
        return kubeconfig.parent / "fixes"
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "fairlead" / "fixes"


def name_of(started: str, finding: str) -> str:
    """Return a record's file name: when it began (RFC 3339), then the finding's id."""
    return f"{started.replace(':', '').replace('+0000', 'Z')}-{finding}.json"


def every(place: Path) -> Iterator[Record]:
    """Yield the records in a folder, the newest first; what cannot be read as one is passed over."""
    for path in sorted(place.glob("*.json"), reverse=True) if place.is_dir() else ():
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and content.get("kind") == "Fix" and content.get("applied"):
            yield Record(path, content)


def keeper(place: Path, trial: Trial) -> Callable[[Healing], None]:
    """Return what writes a fix's record each time that something of it was done. It raises OSError."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)

    def note(healing: Healing) -> None:
        path = place / name_of(healing.started, trial.finding.id)
        Record(path, findings.trial(trial, healing, str(path))).save()

    return note


async def take_back(record: Record, cluster: AsyncCluster, now: Callable[[], datetime]) -> list[str]:
    """Undo a record's fix and mark it so; return what could not be done. Raises Refusal before anything is changed, Unreachable and OSError."""
    from fairlead.reactor import heal

    changes = record.undo()
    await heal.rehearse(cluster, changes)
    failures = await heal.take_back(cluster, changes, now)
    if not failures:
        record.content["undone"] = {"at": now().isoformat(timespec="seconds")}
        record.save()
    return failures


def change_of(content: dict[str, Any]) -> Change:
    """Return the Change that faces/cli/findings wrote as JSON. Raises KeyError."""
    ref = content["ref"]
    return Change(
        verb=content["verb"],
        ref=Ref(ref.get("group", ""), ref["kind"], ref.get("namespace", ""), ref["name"]),
        api_version=content["apiVersion"],
        body=content.get("body"),
        patch=content.get("patch"),
        subresource=content.get("subresource", ""),
        why=content.get("why", ""),
    )
