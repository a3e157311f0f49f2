"""What was done to a cluster, written down before it is done: a file for each fix, or the Finding that the loop keeps; and what takes it back.

The files are their owner's alone (0600, in a folder of 0700). They lie beside the platform's own data, or for other clusters in
$XDG_STATE_HOME/fairlead/fixes. A file that others could have written is never carried out, and neither is one about another cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fairlead.diagnose import records
from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor import undoing
from fairlead.reactor.diagnosing_documents import print_of
from fairlead.reactor.diagnosing_kinds import API_VERSION, UNDONE
from fairlead.reactor.heal import Healing
from fairlead.reactor.trial import Step, Trial
from fairlead.tongues.paths import mapping, mappings, strings, text
from fairlead.words import Change, Resource

STANDING: Final = frozenset({"begun", "healthy", "unhealthy", "interrupted"})
"""Outcomes after which something of a fix may still stand."""
LARGEST: Final = 16 << 20
"""Bytes of a record that are read at most."""
MOST: Final = 10_000
_VERBS: Final = frozenset({"create", "patch", "delete", "update"})
_OPERATIONS: Final = frozenset({"add", "remove", "replace", "test"})


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster something was done to: the uid of its namespace kube-system, where that may be read, and its server."""

    uid: str = ""
    server: str = ""

    def other(self, told: Mapping[str, Any]) -> bool:
        """Whether a record tells of another cluster than this one. One that tells nothing is held for this one's: uids guard it."""
        if self.uid and told.get("uid"):
            return bool(told["uid"] != self.uid)
        return bool(told.get("server")) and told["server"] != self.server


async def identity(cluster: AsyncCluster) -> Cluster:
    """Return which cluster this is. Raises Unreachable."""
    try:
        found = await cluster.get("v1", "Namespace", "", "kube-system")
    except Refusal:
        found = {}
    return Cluster(text(found, "metadata", "uid"), cluster.access.server)


@dataclass(slots=True)
class Record:
    """A Fix as `fairlead fix -o json` prints it: in a file (`path`), or what a Finding tells of one (`place`: namespace and name)."""

    content: dict[str, Any]
    path: Path | None = None
    place: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """The file's name without its end (when, and the finding's id), or the Finding's namespace and name."""
        return self.path.stem if self.path is not None else "/".join(self.place or ())

    @property
    def finding(self) -> str:
        """The id of the finding that was fixed."""
        return text(self.content, "finding", "id")

    @property
    def title(self) -> str:
        """What the fix does."""
        return text(self.content, "title")

    @property
    def applied(self) -> dict[str, Any]:
        """What was done."""
        return mapping(self.content, "applied")

    @property
    def started(self) -> str:
        """When it was begun."""
        return text(self.applied, "started")

    @property
    def outcome(self) -> str:
        """What came of it: undone, or as heal has it."""
        return "undone" if self.content.get("undone") else text(self.applied, "outcome")

    @property
    def stands(self) -> bool:
        """Whether something of it may stand, and what takes it back is known."""
        return self.outcome in STANDING and bool(self.undo())

    def undo(self) -> list[Change]:
        """Return the changes that take it back."""
        return [records.read_change(one) for _, one in mappings(self.applied, "undo")]

    def save(self) -> None:
        """Write the file anew, whole or not at all. Raises OSError."""
        if self.path is not None:
            _write(self.path, self.content)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    fresh = path.with_suffix(".tmp")
    try:
        fresh.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(fresh, flags, 0o600), "w") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    held = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def folder(kubeconfig: Path) -> Path:
    """Return where the records of a cluster's fixes lie."""
    if (kubeconfig.parent / "pki").is_dir():
        return kubeconfig.parent / "fixes"
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "fairlead" / "fixes"


def name_of(started: str, finding: str) -> str:
    """Return a record's file name: when it began (RFC 3339), then the finding's id."""
    return f"{started.replace(':', '').replace('+0000', 'Z')}-{finding}.json"


def document(
    trial: Trial, healing: Healing | None = None, path: str = "", cluster: Cluster = Cluster()
) -> dict[str, Any]:
    """Return a trial, and what was done after it, as JSON."""
    found: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "Fix",
        "finding": records.finding(trial.finding),
        "title": trial.fix.title,
        "fix": records.fix(trial.fix),
        "diffs": trial.diffs,
        "trial": {"proven": trial.proven, "steps": steps(trial.steps), "unproven": trial.unproven},
        "applied": None,
    }
    if healing is not None:
        found["applied"] = {
            "outcome": healing.outcome,
            "started": healing.started,
            "seconds": round(healing.seconds, 2),
            "steps": steps(healing.steps),
            "undo": [records.change(one) for one in healing.undo],
            "left": [one.id for one in healing.left],
            "record": path,
            "of": print_of(trial.finding),
        }
    told = {key: value for key, value in (("uid", cluster.uid), ("server", cluster.server)) if value}
    return {**found, "cluster": told} if told else found


def steps(found: Iterable[Step]) -> list[dict[str, Any]]:
    """Return steps as JSON."""
    return [{"name": one.name, "ok": one.ok, "detail": one.detail} for one in found]


# Files


@dataclass(slots=True)
class Keeper:
    """Writes a fix's record each time that something of it was done. `path` is its file, from the first time on; calls raise OSError."""

    place: Path
    trial: Trial
    cluster: Cluster = field(default_factory=Cluster)
    path: Path | None = None

    def __call__(self, healing: Healing) -> None:
        """Write what was done until now. Before anything is begun there is nothing to write."""
        path = self.path or _reserved(self.place, name_of(healing.started, self.trial.finding.id))
        try:
            _write(path, document(self.trial, healing, str(path), self.cluster))
        except OSError:
            if self.path is None:
                path.unlink(missing_ok=True)
            raise
        self.path = path


def _reserved(place: Path, name: str) -> Path:
    """Return the path of a file that is ours: two may fix the same within a second."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if place.stat().st_uid == os.geteuid():
        place.chmod(0o700)
    stem = name.removesuffix(".json")
    for turn in range(1, MOST):
        path = place / (f"{stem}.json" if turn == 1 else f"{stem}-{turn}.json")
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
            return path
    raise FileExistsError(f"{place} holds too many records of {name}")


def every(place: Path, told: Callable[[str], None] = lambda _: None) -> Iterator[Record]:
    """Yield the records in a folder, the newest first; `told` is told of what cannot be read as one, or is not to be trusted."""
    try:
        paths = sorted(place.glob("*.json"), reverse=True)[:MOST] if place.is_dir() else []
        problem = _untrusted(place.stat()) if paths else ""
    except OSError as error:
        told(f"{place}: {error.strerror}")
        return
    if problem:
        told(f"{place} {problem}: what lies there is not carried out")
        return
    for path in paths:
        try:
            content = _content(path)
        except ValueError as error:
            told(f"{path} {error}")
        except OSError as error:
            told(f"{path}: {error.strerror}")
        else:
            yield Record(content, path)


def _untrusted(seen: os.stat_result) -> str:
    """Return why what lies there may be somebody else's words, "" if it may not."""
    if seen.st_uid not in {os.geteuid(), 0}:
        return "belongs to somebody else"
    return "can be written by others" if seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def _content(path: Path) -> dict[str, Any]:
    """Return what a file holds, if it is a record. Raises ValueError, which tells what is wrong with it, and OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        seen = os.fstat(file.fileno())
        if not stat.S_ISREG(seen.st_mode):
            raise ValueError("is no file")
        if problem := _untrusted(seen):
            raise ValueError(f"{problem}: it is not carried out")
        if seen.st_mode & 0o077 and seen.st_uid == os.geteuid():
            os.fchmod(file.fileno(), 0o600)
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise ValueError(f"is larger than {LARGEST >> 20} MiB")
    if not raw:
        raise ValueError("is empty: nothing was changed")
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("is damaged") from None
    if not isinstance(content, dict) or content.get("kind") != "Fix" or not _sound(content):
        raise ValueError("is no record of a fix")
    return content


def _sound(content: Mapping[str, Any]) -> bool:
    """Whether all that an undo reads is of its type."""
    applied = mapping(content, "applied")
    listed = applied.get("undo")
    return (
        bool(applied)
        and all(isinstance(mapping(content, "finding").get(key), str) for key in ("id",))
        and isinstance(content.get("title"), str)
        and isinstance(applied.get("outcome"), str)
        and isinstance(listed, list)
        and all(isinstance(one, dict) and _is_change(one) for one in listed)
    )


def _is_change(one: Mapping[str, Any]) -> bool:
    verb, ref, body = one.get("verb"), mapping(one, "ref"), one.get("body")
    named = all(text(ref, key) for key in ("kind", "name")) and bool(text(one, "apiVersion"))
    if verb not in _VERBS or not named:
        return False
    if verb == "patch":
        return one.get("patch") == "json" and isinstance(body, list) and all(map(_is_operation, body))
    return verb == "delete" or (
        isinstance(body, dict)
        and (text(body, "kind"), text(body, "metadata", "name")) == (text(ref, "kind"), text(ref, "name"))
        and text(body, "metadata", "namespace") == text(ref, "namespace")
    )


def _is_operation(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and one.get("op") in _OPERATIONS
        and isinstance(one.get("path"), str)
        and one["path"].startswith("/")
        and (one["op"] == "remove" or "value" in one)
    )


def refused(place: Path, finding: str, of: str) -> bool:
    """Whether somebody has taken back the same fix for the same finding, by a record in the folder."""
    return any(
        one.finding == finding and one.outcome == "undone" and text(one.applied, "of") == of
        for one in every(place)
    )


# Findings


def of_finding(resource: Resource) -> Record | None:
    """Return what a Finding object tells of a fix that the loop has carried out, None where it tells of none."""
    healed = mapping(resource, "status", "healing")
    if not mappings(healed, "undo"):
        return None
    outcome = text(healed, "outcome") or ("begun" if text(healed, "phase") == "begun" else "")
    content: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "Fix",
        "finding": mapping(resource, "finding"),
        "title": text(healed, "title"),
        "applied": {**{key: healed[key] for key in ("started", "steps", "undo", "record", "of") if key in healed}, "outcome": outcome},
    }  # fmt: skip
    if outcome == "undone" or is_undone(resource):
        content["undone"] = {"at": text(healed, "ended")}
    if not _sound(content):
        return None
    return Record(
        content, place=(text(resource, "metadata", "namespace"), text(resource, "metadata", "name"))
    )


def is_undone(resource: Resource) -> bool:
    """Whether somebody has marked the healing that a Finding tells of as taken back."""
    started = text(resource, "status", "healing", "started")
    return bool(started) and strings(resource, "metadata", "annotations").get(UNDONE) == started


async def of_cluster(cluster: AsyncCluster, known: Sequence[Record] = ()) -> list[Record]:
    """Return what Findings tell of fixes that are not among the known, the newest first. Raises Refusal and Unreachable."""
    try:
        found, _ = await cluster.list(API_VERSION, "Finding")
    except Refusal as refusal:
        if refusal.code == 404:
            return []
        raise
    paths = {str(one.path) for one in known}
    told = [one for one in map(of_finding, found) if one and text(one.applied, "record") not in paths]
    return sorted(told, key=lambda one: one.started, reverse=True)


# Taking back


async def take_back(record: Record, cluster: AsyncCluster, now: Callable[[], datetime]) -> list[str]:
    """Undo a record's fix and mark it so; return what could not be done.

    Raises Refusal before anything is changed: where the record is of another cluster, where somebody has changed what the fix has
    made, and where the server would not take it. Raises Unreachable, and OSError when it was taken back but cannot be marked.
    """
    if (await identity(cluster)).other(mapping(record.content, "cluster")):
        raise Refusal(409, "Conflict", f"{record.name} is of another cluster")
    changes = record.undo()
    seen = await undoing.assess(cluster, changes)
    lost = [one.why for one in seen if one.state == "lost"]
    if lost:
        raise Refusal(409, "Conflict", "; ".join(lost))
    await undoing.rehearse(cluster, [one.change for one in seen if one.state == "stands"])
    failures = await undoing.take_back(cluster, changes, now)
    if not failures:
        record.content["undone"] = {"at": now().isoformat(timespec="seconds")}
        failures += await _mark(record, cluster, now())
        record.save()
    return failures


async def _mark(record: Record, cluster: AsyncCluster, at: datetime) -> list[str]:
    """Have the loop know that a fix was taken back; return what kept that from being said, where nothing else says so."""
    place = record.place or await _place_of(record, cluster)
    if place is None:
        return []
    ended = {"outcome": "undone", "phase": "done", "ended": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    try:
        told = await cluster.get(API_VERSION, "Finding", *place)
        started = text(told, "status", "healing", "started")
        body = {"metadata": {"annotations": {UNDONE: started}}, "status": {"healing": ended}}
        await cluster.patch(API_VERSION, "Finding", *place, body, manager=undoing.MANAGER)
    except (Refusal, Unreachable) as error:
        said = error.message if isinstance(error, Refusal) else str(error)
        return (
            []
            if record.path
            else [f"it is taken back, but the Finding {'/'.join(place)} cannot say so: {said}"]
        )
    return []


async def _place_of(record: Record, cluster: AsyncCluster) -> tuple[str, str] | None:
    """Return the Finding that tells of the same healing as a file, None where there is none."""
    with contextlib.suppress(Refusal, Unreachable):
        for one in (await cluster.list(API_VERSION, "Finding", fields=f"metadata.name={record.finding}"))[0]:
            if text(one, "status", "healing", "record") == str(record.path):
                return text(one, "metadata", "namespace"), text(one, "metadata", "name")
    return None
