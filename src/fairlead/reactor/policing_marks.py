"""Where the policing loop notes how far it has worked through the log: an annotation of one Lease.

Knows nothing of policies. A note that is missing or garbled counts as none.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from fairlead.keep.entries import Entry, Storage
from fairlead.keep.errors import Refusal
from fairlead.reactor.keeping import Keeper
from fairlead.reactor.policing_deeds import Deeds
from fairlead.words import Change, Ref, Resource

STORAGE: Final[Storage] = ("coordination.k8s.io", "leases")
NAMESPACE: Final = "kube-system"
NAME: Final = "fairlead-policies"
ANNOTATION: Final = "fairlead.dev/worked-through"
_API = "coordination.k8s.io/v1"
_REF = Ref("coordination.k8s.io", "Lease", NAMESPACE, NAME)


class Mark:
    """See the module."""

    def __init__(self, keeper: Keeper, deeds: Deeds, clock: Callable[[], datetime]) -> None:
        self.rv = 0
        """What was noted last."""
        self._keeper = keeper
        self._deeds = deeds
        self._clock = clock

    def read(self) -> int:
        """Return the resourceVersion that was noted, 0 for none."""
        kind = self._keeper.world.catalogue.kind(_REF.group, _REF.kind)
        if kind is None:
            return 0
        try:
            found = self._keeper.world.get(kind, NAMESPACE, NAME).object
            self.rv = int((found["metadata"].get("annotations") or {}).get(ANNOTATION) or 0)
        except (Refusal, ValueError):
            self.rv = 0
        return self.rv

    def wrote(self, entry: Entry) -> None:
        """Hear of a write of a Lease: the note itself, with nothing else before it, is no progress that is worth a note."""
        if (entry.namespace, entry.name) == (NAMESPACE, NAME) and entry.rv == self.rv + 1:
            self.rv = entry.rv

    async def write(self, rv: int) -> None:
        """Note a resourceVersion, unless it is no news. Raises Refusal."""
        if rv <= self.rv:
            return
        body: Resource = {
            "apiVersion": _API,
            "kind": "Lease",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "annotations": {ANNOTATION: str(rv)}},
        }
        patch = Change(verb="patch", patch="apply", ref=_REF, api_version=_API, body=body)
        await self._deeds.carry_out(patch)
        self.rv = rv
