"""One of several replicas leads: whoever holds the Lease. The others wait, and ask nothing else of the cluster.

Who has led and cannot renew the Lease in time stops before another may begin. Source: k8s.io/client-go/tools/leaderelection, whose Lease this is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from fairlead.diagnose.inventories import moment
from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.tongues.paths import mapping, text, whole
from fairlead.words import Resource

log = logging.getLogger("fairlead.diagnosing")

LEASE: Final = "coordination.k8s.io/v1"
LASTS: Final = 15
"""Seconds that a Lease is good for after it was renewed."""
RENEWED: Final = 5.0
"""Seconds between two renewals, and between two looks of who waits."""
GIVEN_UP: Final = 10.0
"""Seconds after the last renewal at which the leader stops."""


class Leading:
    """See the module. `identity` is this replica's name, the Lease is `namespace`/`name`."""

    def __init__(
        self,
        cluster: AsyncCluster,
        namespace: str,
        name: str,
        identity: str,
        *,
        seconds: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.leads = False
        self._cluster, self._place, self._identity = cluster, (namespace, name), identity
        self._seconds, self._now = seconds, now
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = 0.0
        self._renewed_at = 0.0

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait until this replica leads, and do the work until it does no more, for ever. What the work raises is raised."""
        while True:
            if not await self._try(RENEWED):
                await asyncio.sleep(RENEWED * random.uniform(0.8, 1.2))
                continue
            log.info("%s leads", self._identity)
            self.leads = True
            working = asyncio.ensure_future(work())
            renewing = asyncio.create_task(self._renew(), name="renew the lease")
            try:
                await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.leads = False
                for task in (working, renewing):
                    task.cancel()
                results = await asyncio.gather(working, renewing, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    raise result
            log.warning("%s leads no more", self._identity)

    async def let_go(self) -> None:
        """Give the Lease back, so that another need not wait for its end."""
        with contextlib.suppress(Refusal, Unreachable, TimeoutError):
            async with asyncio.timeout(2):
                found = await self._cluster.get(LEASE, "Lease", *self._place)
                if text(found, "spec", "holderIdentity") == self._identity:
                    found["spec"] = {**found["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._cluster.update(found)

    async def _renew(self) -> None:
        """Renew until that has failed for too long, or another holds the Lease."""
        while True:
            await asyncio.sleep(RENEWED * random.uniform(0.6, 0.8))
            end = self._renewed_at + GIVEN_UP
            while not await self._try(min(RENEWED, max(end - self._seconds(), 0.1))):
                if self._seen[0] not in {"", self._identity} or self._seconds() >= end:
                    return
                await asyncio.sleep(min(1.0, max(end - self._seconds(), 0.0)))

    async def _try(self, patience: float) -> bool:
        """Take or renew the Lease; return whether it is ours now."""
        begun = self._seconds()
        try:
            async with asyncio.timeout(patience):
                try:
                    found = await self._cluster.get(LEASE, "Lease", *self._place)
                except Refusal as refusal:
                    if refusal.code != 404:
                        raise
                    await self._cluster.create(self._lease({}))
                else:
                    if not self._may_take(found):
                        return False
                    await self._cluster.update(self._lease(found))
        except (Refusal, Unreachable, TimeoutError) as error:
            if not (isinstance(error, Refusal) and error.code == 409):  # another was quicker
                log.warning("the lease %s/%s cannot be had: %s", *self._place, error)
            return False
        self._renewed_at = begun
        self._seen = (self._identity, "")
        return True

    def _may_take(self, found: Resource) -> bool:
        """Whether the Lease is ours, nobody's, or was not renewed for as long as it lasts by our own clock: others' may be wrong."""
        spec = mapping(found, "spec")
        holder, renewed = text(spec, "holderIdentity"), text(spec, "renewTime")
        if holder in {"", self._identity}:
            return True
        if self._seen != (holder, renewed):
            self._seen, self._seen_at = (holder, renewed), self._seconds()
        return self._seconds() - self._seen_at > whole(spec, "leaseDurationSeconds", default=LASTS)

    def _lease(self, found: Resource) -> Resource:
        now = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = mapping(found, "spec")
        same = text(before, "holderIdentity") == self._identity and moment(before.get("acquireTime"))
        spec: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LASTS,
            "acquireTime": before.get("acquireTime") if same else now,
            "renewTime": now,
            "leaseTransitions": whole(before, "leaseTransitions") + (0 if same or not found else 1),
        }
        meta = mapping(found, "metadata") or {"namespace": self._place[0], "name": self._place[1]}
        return {"apiVersion": LEASE, "kind": "Lease", "metadata": meta, "spec": spec}
