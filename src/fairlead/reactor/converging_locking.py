"""Keeps two runs from changing one instance at once: a Lease that is renewed while the run lives.

A holder that died is found out at once where it ran on this machine, and elsewhere by its Lease not being renewed for as long as it lasts, by
our own clock: others' may be wrong. Source: coordination.k8s.io/v1 Lease, k8s.io/client-go/tools/leaderelection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from fairlead.converge.stages import Instance
from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.tongues.paths import mapping, text, whole
from fairlead.words import Resource

LEASE: Final = "coordination.k8s.io/v1"
LASTS: Final = 15
"""Seconds that a Lease is good for after it was renewed."""
RENEWED: Final = 5.0
"""Seconds between two renewals."""
PATIENCE: Final = 30.0
"""Seconds that the end of another run is waited for."""


class Locked(Exception):
    """Another run holds the instance; the text says which."""


def identity() -> str:
    """Return a name for this run that tells on the same machine whether it still lives."""
    return f"{_machine()}/{os.getpid()}/{_begun(os.getpid())}/{secrets.token_hex(4)}"


def _machine() -> str:
    space = ""
    with contextlib.suppress(OSError):
        space = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    return f"{socket.gethostname()}-{space}"


def _begun(pid: int) -> str:
    """Return when a process began, in ticks since the machine did; "" where that cannot be told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def dead(holder: str) -> bool:
    """Say whether a holder is known not to live any more."""
    machine, _, rest = holder.partition("/")
    pid, _, more = rest.partition("/")
    if machine != _machine() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    begun = more.partition("/")[0]
    return bool(begun) and _begun(int(pid)) != begun


async def forget_dead(cluster: AsyncCluster, instance: Instance) -> None:
    """Take away the Lease of a run that was killed when all its work was done. Raises Unreachable."""
    place = (instance.namespace, f"fairlead-{instance.name}")
    with contextlib.suppress(
        Refusal
    ):  # it is gone, or another has taken it: it is theirs; or we may only read
        found = await cluster.get(LEASE, "Lease", *place)
        if dead(text(found, "spec", "holderIdentity")):
            await cluster.delete(LEASE, "Lease", *place, uid=text(found, "metadata", "uid"))


class Lock:
    """The Lease `fairlead-<instance>`. Use it as a context; `check` raises when it was lost."""

    def __init__(
        self,
        cluster: AsyncCluster,
        instance: Instance,
        *,
        holder: str = "",
        patience: float = PATIENCE,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._cluster, self._instance = cluster, instance
        self._place = (instance.namespace, f"fairlead-{instance.name}")
        self.holder = holder or identity()
        self._patience, self._told = patience, told
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = 0.0
        self._renewed_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._lost = ""

    async def __aenter__(self) -> Self:
        begun, told = time.monotonic(), False
        while not await self._try():
            if not told:
                self._told(f"waiting for another run of {self._instance}: {self._seen[0]}")
                told = True
            if time.monotonic() - begun > self._patience:
                raise Locked(
                    f"another run holds {self._instance}: {self._seen[0]}, who renewed it at {self._seen[1]}"
                )
            await asyncio.sleep(1.0)
        self._task = asyncio.create_task(self._renew(), name="renew the lock")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(Refusal, Unreachable, TimeoutError):
            async with asyncio.timeout(3):
                found = await self._cluster.get(LEASE, "Lease", *self._place)
                if text(found, "spec", "holderIdentity") == self.holder:
                    await self._cluster.delete(
                        LEASE, "Lease", *self._place, uid=text(found, "metadata", "uid")
                    )

    def check(self) -> None:
        """Raise Locked where the Lease is no longer this run's."""
        if self._lost or time.monotonic() - self._renewed_at > LASTS:
            raise Locked(f"the lock of {self._instance} was lost{self._lost}: another run may have begun")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWED)
            with contextlib.suppress(Refusal, Unreachable, TimeoutError):
                async with asyncio.timeout(RENEWED):
                    if not await self._try() and self._seen[0] not in {"", self.holder}:
                        self._lost = f" to {self._seen[0]}"
                        return

    async def _try(self) -> bool:
        """Take or renew the Lease; return whether it is ours now. Raises Refusal and Unreachable."""
        begun = time.monotonic()
        try:
            found = await self._cluster.get(LEASE, "Lease", *self._place)
        except Refusal as refusal:
            if refusal.code != 404:
                raise
            found = {}
        try:
            if not found:
                await self._cluster.create(self._lease({}))
            elif self._may_take(found):
                await self._cluster.update(self._lease(found))
            else:
                return False
        except Refusal as refusal:
            if refusal.code == 409:  # another was quicker
                return False
            raise
        self._renewed_at = begun
        return True

    def _may_take(self, found: Resource) -> bool:
        spec = mapping(found, "spec")
        holder, renewed = text(spec, "holderIdentity"), text(spec, "renewTime")
        if self._seen != (holder, renewed):
            self._seen, self._seen_at = (holder, renewed), time.monotonic()
        if holder in {"", self.holder} or dead(holder):
            return True
        return time.monotonic() - self._seen_at > whole(spec, "leaseDurationSeconds", default=LASTS)

    def _lease(self, found: Resource) -> Resource:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = mapping(found, "spec")
        same = text(before, "holderIdentity") == self.holder
        spec: dict[str, Any] = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": LASTS,
            "acquireTime": before.get("acquireTime") if same else now,
            "renewTime": now,
            "leaseTransitions": whole(before, "leaseTransitions") + (0 if same or not found else 1),
        }
        meta = mapping(found, "metadata") or {"namespace": self._place[0], "name": self._place[1]}
        return {"apiVersion": LEASE, "kind": "Lease", "metadata": meta, "spec": spec}
