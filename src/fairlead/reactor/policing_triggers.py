"""Which request each committed write came of: requests wait here, as the gate let them pass, for their entry in the log.

A request that never became a write (a later plug-in refused it, nothing changed) is forgotten after others have come.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from fairlead.judge.subjects import Subject
from fairlead.keep.entries import Entry, Storage
from fairlead.words import Resource

MOST = 10_000
"""Requests that wait at most; the oldest go first."""


class Triggers:
    """See the module. `coming` is where the gate puts requests."""

    def __init__(self, coming: deque[Subject]) -> None:
        self._coming = coming
        self._waiting: dict[tuple[Storage, str, str], list[Subject]] = {}

    def waits(self, entry: Entry) -> bool:
        """Whether a request waits for an entry about this object."""
        while self._coming:
            self._take(self._coming.popleft())
        return (entry.storage, entry.namespace, entry.name) in self._waiting

    def of(self, entry: Entry, after: Resource) -> Subject | None:
        """Return the request that an entry came of, about the object as it is stored; None if no policy was interested.

        `after` is the entry's object.
        """
        key = (entry.storage, entry.namespace, entry.name)
        candidates = self._waiting.pop(key, None)
        if candidates is None:
            return None
        meta = after["metadata"]
        uid, versions = meta.get("uid") or "", (str(entry.rv), str(entry.previous))
        going = entry.type == "DELETED" or bool(meta.get("deletionTimestamp"))
        rest: list[Subject] = []
        found: Subject | None = None
        for one in candidates:
            operation, about = one.target.operation, one.present.get("metadata") or {}
            if (about.get("uid") or "") != uid:
                continue  # another object of this name, refused or gone
            if operation == "CREATE":
                fits = entry.type == "ADDED"
            elif operation == "DELETE":
                fits = going
            else:
                fits = entry.type == "MODIFIED" and about.get("resourceVersion") in versions
            if fits:
                found = one
            else:
                rest.append(one)
        if rest:
            self._waiting[key] = rest
        if found is None:
            return None
        if found.object is None or found.target.subresource:
            return found
        return replace(found, object=after)

    def _take(self, subject: Subject) -> None:
        target = subject.target
        key = ((target.group, target.plural), subject.ref.namespace, subject.name)
        mine = self._waiting.pop(key, [])
        self._waiting[key] = [*(one for one in mine if one.uid != subject.uid), subject][-8:]
        while len(self._waiting) > MOST:
            del self._waiting[next(iter(self._waiting))]
