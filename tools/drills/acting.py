"""Carries out what a scenario says, through the Kubernetes API, and takes back what would outlive its namespace.

Must never do more than the scenario says: whatever else becomes of it is the cluster's own doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from drills import certificates
from drills.reading import CLUSTER_WIDE, PATCHES, BadScenario, Manifest, Step
from fairlead.drivers.cluster import AsyncCluster
from fairlead.keep.errors import Refusal

MANAGER = "drill"
_TRIES = 100


@dataclass(slots=True)
class Stage:
    """Where a scenario is played: a namespace, and what was done outside of it."""

    cluster: AsyncCluster
    space: str
    made: list[Manifest] = field(default_factory=list)
    originals: dict[tuple[str, str, str], Manifest] = field(default_factory=dict)

    async def open(self) -> None:
        """Make the namespace, and wait until pods may be made in it."""
        await self.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.space}})
        for _ in range(_TRIES):
            with contextlib.suppress(Refusal):
                await self.cluster.get("v1", "ServiceAccount", self.space, "default")
                return
            await asyncio.sleep(0.05)

    async def apply(self, manifest: Manifest) -> None:
        """Make the object, or make it as the manifest says; a status goes to where statuses go."""
        body = copy.deepcopy(manifest)
        meta = body["metadata"]
        namespace = meta.get("namespace", "")
        if not namespace:
            meta.pop("namespace", None)
        if namespace != self.space:
            await self._remember(body["apiVersion"], body["kind"], namespace, meta["name"])
            self.made.append(body)
        status = body.pop("status", None)
        for attempt in range(_TRIES):
            try:
                await self.cluster.patch(
                    body["apiVersion"], body["kind"], namespace, meta["name"], body, how="apply", manager=MANAGER, force=True
                )  # fmt: skip
                break
            except Refusal as refusal:
                # a definition that is being taken up, an account that is being made
                if refusal.code not in {404, 403} or attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(0.05)
        if status is not None:
            await self.cluster.patch(
                body["apiVersion"], body["kind"], namespace, meta["name"], {"status": status}, subresource="status"
            )  # fmt: skip

    async def do(self, steps: Sequence[Step]) -> None:
        """Carry out the steps one after another."""
        for step in steps:
            await self._do(step)

    async def _do(self, step: Step) -> None:
        if step.verb == "pause":
            await asyncio.sleep(step.body)
            return
        if step.verb == "apply":
            for manifest in step.body:
                await self.apply(manifest)
            return
        thing = step.thing
        if thing is None:
            raise BadScenario(f"{step.verb} of nothing")
        if step.verb == "certificate":
            await self.apply(certificates.secret(thing.name, self.space, **step.body))
            return
        namespace = "" if thing.kind in CLUSTER_WIDE else thing.namespace or self.space
        where = (step.api_version, thing.kind, namespace, thing.name)
        if namespace != self.space:
            await self._remember(*where)
        if step.verb == "delete":
            await self.cluster.delete(*where)
        elif step.verb == "scale":
            await self.cluster.patch(*where, {"spec": {"replicas": step.body}})
        elif step.verb == "restart":
            stamp = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat(timespec="seconds")}
            await self.cluster.patch(*where, {"spec": {"template": {"metadata": {"annotations": stamp}}}})
        elif step.how == "status":
            await self.cluster.patch(*where, {"status": step.body}, subresource="status")
        else:
            how: Any = PATCHES[step.how]
            await self.cluster.patch(*where, step.body, how=how)

    async def _remember(self, api_version: str, kind: str, namespace: str, name: str) -> None:
        if (kind, namespace, name) not in self.originals:
            with contextlib.suppress(Refusal):
                found = await self.cluster.get(api_version, kind, namespace, name)
                self.originals[kind, namespace, name] = found

    async def close(self) -> None:
        """Let the namespace go, and put back what was changed outside of it."""
        await self._unstick()
        with contextlib.suppress(Refusal):
            await self.cluster.delete("v1", "Namespace", "", self.space)
        if any(one["kind"] == "CustomResourceDefinition" for one in self.made):
            await self._gone()
        for one in reversed(self.made):
            meta = one["metadata"]
            if (one["kind"], meta.get("namespace", ""), meta["name"]) not in self.originals:
                with contextlib.suppress(Refusal):
                    await self.cluster.delete(
                        one["apiVersion"], one["kind"], meta.get("namespace", ""), meta["name"]
                    )
        for original in self.originals.values():
            await self._put_back(original)

    async def _gone(self) -> None:
        """Wait until nothing is left of the namespace: what a definition goes before is harder to end."""
        for _ in range(_TRIES):
            try:
                await self.cluster.get("v1", "Namespace", "", self.space)
            except Refusal:
                return
            await asyncio.sleep(0.2)

    async def _put_back(self, original: Manifest) -> None:
        meta = {key: value for key, value in original["metadata"].items() if key in {"name", "namespace", "labels", "annotations", "finalizers"}}  # fmt: skip
        body = {**{key: value for key, value in original.items() if key != "status"}, "metadata": meta}
        try:
            await self.cluster.update(body, manager=MANAGER)
        except Refusal as refusal:
            if refusal.code == 404:
                await self.cluster.create(body, manager=MANAGER)

    async def _unstick(self) -> None:
        """Take away finalizers that nobody would, so that the namespace can go."""
        for api_version, kind in (
            ("v1", "ConfigMap"),
            ("v1", "PersistentVolumeClaim"),
            ("v1", "Pod"),
            ("v1", "Service"),
        ):
            items, _ = await self.cluster.list(api_version, kind, self.space)
            for one in items:
                if one["metadata"].get("finalizers"):
                    with contextlib.suppress(Refusal):
                        await self.cluster.patch(
                            api_version, kind, self.space, one["metadata"]["name"], {"metadata": {"finalizers": None}}
                        )  # fmt: skip
