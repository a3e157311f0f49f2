"""TracingPolicies of a cluster, and rule files of a folder: what is there now, told again when it changes; and what came of each, written back.

Follows and writes status; reads no policy. A status is kept for each node: every sensor writes its own part and leaves the others' alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fairlead.dialects.tracingpolicy.placing import Told
from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor.sensing_kinds import POLICIES
from fairlead.reactor.sensing_rules import SUFFIXES
from fairlead.tongues.paths import mapping, text
from fairlead.words import Finding, Resource, Severity

log = logging.getLogger("fairlead.policies")

KINDS: Final = ("TracingPolicy", "TracingPolicyNamespaced")
AGAIN: Final = 30.0
"""Seconds until a kind that the cluster does not serve is looked for again."""
_MOST: Final = 32
"""Hooks and errors that a status tells at most."""


class Policies:
    """The TracingPolicies of a cluster. `changed` is called whenever `documents` is different."""

    def __init__(self, cluster: AsyncCluster, node: str, changed: Callable[[], None]) -> None:
        self._cluster = cluster
        self._node = node
        self._changed = changed
        self._there: dict[tuple[str, str, str], Resource] = {}
        self._told: dict[tuple[str, str, str], tuple[str, Any]] = {}
        self.synced = {kind: asyncio.Event() for kind in KINDS}
        """Set for each kind when all of it was seen once, or it is not served."""

    @property
    def documents(self) -> list[Resource]:
        """The policies, by namespace and name."""
        return [self._there[key] for key in sorted(self._there)]

    async def run(self) -> None:
        """Follow both kinds for ever."""
        await asyncio.gather(*(self._follow(kind) for kind in KINDS))

    async def _follow(self, kind: str) -> None:
        while True:
            try:
                async for seen in self._cluster.follow(POLICIES, kind):
                    if seen.type == "SYNCED":
                        self.synced[kind].set()
                    else:
                        self._take(kind, seen.object, gone=seen.type == "DELETED")
            except Refusal as refusal:
                self.synced[kind].set()
                if refusal.code not in {403, 404}:
                    raise
                log.info("no %s is followed: %s", kind, refusal.message)
                await asyncio.sleep(AGAIN)

    def _take(self, kind: str, resource: Resource, *, gone: bool) -> None:
        meta = resource["metadata"]
        key = (kind, meta.get("namespace") or "", meta["name"])
        before = self._there.get(key)
        if gone:
            self._told.pop(key, None)
            if self._there.pop(key, None) is not None:
                self._changed()
            return
        self._there[key] = {**resource, "apiVersion": POLICIES, "kind": kind}
        if (
            before is None
            or before.get("spec") != resource.get("spec")
            or before["metadata"].get("uid") != meta.get("uid")
        ):
            self._changed()

    async def tell(self, findings: Iterable[Finding], placements: Mapping[str, Sequence[Told]]) -> None:
        """Write what came of each policy into its status, where that is new."""
        said: dict[tuple[str, str, str], list[Finding]] = {}
        for finding in findings:
            about = finding.subject
            said.setdefault((about.kind, about.namespace, about.name), []).append(finding)
        for key, document in list(self._there.items()):
            name = f"{key[1]}/{key[2]}" if key[1] else key[2]
            status = status_of(said.get(key, ()), placements.get(name, ()))
            stamp = (text(document, "metadata", "uid"), status)
            if self._told.get(key) == stamp:
                continue
            self._told[key] = stamp
            if mapping(document, "status", "nodes").get(self._node) == status:
                continue
            own = {
                "hooks": None,
                "errors": None,
                "notes": None,
            } | status  # null removes what was there before
            patch = {"status": {"state": status["state"], "nodes": {self._node: own}}}
            try:
                await self._cluster.patch(POLICIES, *key, patch, subresource="status")
            except (Refusal, Unreachable) as error:
                log.warning("the status of %s %s cannot be written: %s", key[0], name, error)
                self._told.pop(key, None)


def status_of(findings: Sequence[Finding], placements: Iterable[Told]) -> dict[str, Any]:
    """Return one node's part of a policy's status: its state, where each hook is seen, what is lost, and what is wrong."""
    hooks = [
        {name: value for name, value in (("path", one.path), ("function", one.function), ("seenBy", one.used), ("differs", one.differs),
                                         ("lost", one.lost)) if value}
        for one in placements
    ]  # fmt: skip
    grave = [one for one in findings if one.severity is Severity.CRITICAL]
    errors = [_line(one) for one in grave]
    notes = [_line(one) for one in findings if one.severity is not Severity.CRITICAL]
    unseen = bool(hooks) and all("seenBy" not in one for one in hooks)
    status: dict[str, Any] = {"state": "error" if errors else "unseen" if unseen else "enabled"}
    for name, rows in (("hooks", hooks), ("errors", errors), ("notes", notes)):
        if rows:
            status[name] = rows[:_MOST]
    return status


def _line(finding: Finding) -> str:
    return f"{finding.where.path}: {finding.message}" if finding.where.path else finding.message


class Folder:
    """Rule files in a folder, which need not be there. `look` says whether anything is different from the last time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._seen: dict[str, tuple[int, int, int]] = {}

    def look(self) -> bool:
        """Return whether a file came, went or changed since the last look; the first look finds whatever is there."""
        now = {str(path): mark for path in self._files() if (mark := _mark(path)) is not None}
        changed = now != self._seen
        self._seen = now
        return changed

    def _files(self) -> Iterable[Path]:
        for path in self.paths:
            if path.is_dir():
                yield from (one for one in path.rglob("*") if one.suffix in SUFFIXES)
            else:
                yield path


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
