"""The loop that keeps the machine's packet filter and name server in step with Services, EndpointSlices and host ports.

Follows the API, has orchestrate/routing.py say what the rules are, and lets drivers/network.py apply them. Without a
packet filter it says so once and goes on: pods still reach each other by their addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from fairlead.drivers import network
from fairlead.drivers.cluster import AsyncCluster, Seen
from fairlead.keep.errors import Refusal
from fairlead.orchestrate.names import Names
from fairlead.orchestrate.routing import Net, missing_jumps, rules
from fairlead.reactor.names import NameServer
from fairlead.words import Ref, Snapshot

_KINDS: Final = (("v1", "Service"), ("discovery.k8s.io/v1", "EndpointSlice"), ("v1", "Pod"))
_CHECK_SECONDS: Final = 60
_GATHER_SECONDS: Final = 0.05
_RETRY_SECONDS: Final = 10
_log = logging.getLogger(__name__)

Report = Callable[[str, str], Awaitable[None]]
"""Tells the cluster of trouble: a CamelCase reason, and a sentence."""


async def run(
    cluster: AsyncCluster, net: Net, report: Report | None = None, view: Snapshot | None = None
) -> None:
    """Keep the rules current, and answer for the cluster's names on the gateway's address, until cancelled.

    `view`, where given, is kept current too and may be read by others. Raises an ExceptionGroup with the Refusal when
    the API will not let us read what we need.
    """
    net = replace(net, api=_api(cluster.access.server))
    loop = _Loop(cluster, net, report, Snapshot() if view is None else view)
    async with asyncio.TaskGroup() as group:
        for api_version, kind in _KINDS:
            group.create_task(loop.follow(api_version, kind))
        group.create_task(loop.apply())
        group.create_task(loop.answer())
        group.create_task(loop.warn())


def _api(server: str) -> tuple[str, int] | None:
    """Return the API's address and port where its URL has them as numbers, as a node's own kubeconfig does."""
    url = urlsplit(server)
    try:
        return str(ipaddress.IPv4Address(url.hostname or "")), url.port or 443
    except ValueError:
        return None


class _Loop:
    def __init__(self, cluster: AsyncCluster, net: Net, report: Report | None, view: Snapshot) -> None:
        self._cluster = cluster
        self._net = net
        self._report = report
        self._view = view
        self._waiting = set(_KINDS)
        self._dirty = asyncio.Event()
        self._applied = ""
        self._told: dict[str, str] = {}

    async def follow(self, api_version: str, kind: str) -> None:
        changes = self._cluster.follow(api_version, kind)
        async with contextlib.aclosing(changes):
            async for seen in changes:
                if seen.type == "SYNCED":
                    self._waiting.discard((api_version, kind))
                elif seen.type == "DELETED":
                    self._view.drop(Ref.of(seen.object))
                else:
                    self._view.put(seen.object)
                if not self._waiting:
                    self._dirty.set()

    async def apply(self) -> None:
        await self._dirty.wait()
        while True:
            await asyncio.sleep(_GATHER_SECONDS)
            self._dirty.clear()
            text = rules(
                self._net,
                self._view.list("", "Service"),
                self._view.list("discovery.k8s.io", "EndpointSlice"),
                self._view.list("", "Pod"),
            )
            # The bridge comes with the first pod, and anyone may have dropped our jumps: looked at now and then.
            due = _CHECK_SECONDS
            try:
                await asyncio.to_thread(self._carry_out, text)
                self._told.pop("ServicesUnavailable", None)
            except network.FilterUnavailable as error:
                due = _RETRY_SECONDS
                await self._tell("ServicesUnavailable", str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._dirty.wait(), due)

    def _carry_out(self, text: str) -> None:
        network.open_loopback(self._net.bridge)
        saved = network.saved()
        jumps = missing_jumps(self._net, saved)
        if text != self._applied or jumps:
            network.restore(text)
            network.restore(jumps)
            self._applied = text

    async def answer(self) -> None:
        server = NameServer(Names(self._view), self._net.gateway)
        while True:
            try:
                await server.run()
            except OSError as error:
                text = f"pods cannot look up names: {self._net.gateway} port 53: {error.strerror}"
                await self._tell("NamesUnavailable", text)
            await asyncio.sleep(_RETRY_SECONDS)

    async def warn(self) -> None:
        """Say of each NetworkPolicy that it has no effect here: its author may count on it."""
        policies = self._cluster.follow("networking.k8s.io/v1", "NetworkPolicy")
        with contextlib.suppress(Refusal):  # without the right to read them, the rest still works
            await self._warn_of(policies)

    async def _warn_of(self, policies: AsyncGenerator[Seen, None]) -> None:
        async with contextlib.aclosing(policies):
            async for seen in policies:
                if seen.type == "ADDED":
                    ref = Ref.of(seen.object)
                    text = f"NetworkPolicy {ref.namespace}/{ref.name} has no effect: policies are not supported yet"
                    await self._tell("NetworkPolicyUnsupported", text)

    async def _tell(self, reason: str, trouble: str) -> None:
        if trouble == self._told.get(reason):
            return
        self._told[reason] = trouble
        _log.warning("%s: %s", reason, trouble)
        if self._report is not None:
            await self._report(reason, trouble)
