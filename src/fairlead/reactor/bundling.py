"""Carries bundles out: cluster after cluster, member after member, each rendered with what the ones before it export.

The waist between `converge.bundles`, which says in which order and with what values, and rendering and applying, which know nothing of
bundles. Holds no rules of its own. Stops at the first member that fails: what comes later would stand on it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from fairlead.converge import bundles
from fairlead.converge.bundles import BadBundle, Bundle, Cluster, Fault, Member, Reading
from fairlead.converge.revisions import upcoming
from fairlead.converge.stages import Desired, Instance
from fairlead.drivers import sops
from fairlead.drivers.cluster import AsyncCluster
from fairlead.keep.errors import Refusal
from fairlead.reactor.converging import Converger, Options, Outcome
from fairlead.reactor.converging_records import last
from fairlead.reactor.converging_rendered import desired
from fairlead.reactor.rendering import Source, render_source_async
from fairlead.reactor.rendering_fetching import Accept, capabilities_of, cluster_answers, package_files
from fairlead.render.packages import Context, Layer
from fairlead.words import Need, Ref, Resource


class Book(Protocol):
    """A bundle of any format: its name, where it goes, and what it says for one cluster, to which it may look."""

    @property
    def name(self) -> str:
        """What the bundle is called."""

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """Where it goes, in order."""

    async def settled(self, cluster: Cluster, client: AsyncCluster) -> Bundle:
        """Return the bundle for that cluster. Raises BadBundle and Mistaken."""


@dataclass(frozen=True, slots=True)
class Native:
    """A bundle in our own format: the same for every cluster."""

    bundle: Bundle

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.bundle.name

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """Where it goes."""
        return self.bundle.clusters

    async def settled(self, cluster: Cluster, client: AsyncCluster) -> Bundle:  # noqa: ARG002  a Book's shape
        """Return the bundle."""
        return self.bundle


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a bundle may ask of the world: packages by their address, files beside it, and the environment."""

    open: Callable[[Member], Awaitable[Source]]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    accept: Accept | None = None
    """Says of each artifact whether it may be used."""

    def layers(self, member: Member, values: Any) -> list[Layer]:
        """Return the member's values: its files in order, decrypted where SOPS encrypted them, then what the bundle itself says.

        Raises BadBundle for a file that cannot be read.
        """
        made = []
        for name in member.files:
            path = self.folder / name
            try:
                text = path.read_text()
                if sops.is_encrypted(text, sops.format_of(name)):
                    text = sops.decrypt(text, name, sops.identities(self.environment))
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is no text"
                raise BadBundle(Fault(f"{name}: {why}", member.where)) from error
            except sops.SopsError as error:
                raise BadBundle(Fault(str(error), member.where)) from error
            made.append(Layer(name, text))
        if values:
            made.append(Layer(f"{member.where.file or 'bundle'}#{member.name}.json", json.dumps(values)))
        return made


class Run:
    """One bundle on one cluster: prepares its members in order, and remembers what they export."""

    def __init__(
        self, bundle: Bundle, cluster: Cluster, client: AsyncCluster, around: Surroundings, worker: Converger
    ) -> None:
        self.bundle, self.cluster, self.client, self.worker = bundle, cluster, client, worker
        self._around = around
        self._facts: dict[str, Any] = {}
        self._capabilities: Any = None

    async def begin(self) -> None:
        """Gather what expressions may use before the first member. Raises BadBundle with everything that is missing."""
        faults: list[Fault] = []
        env: dict[str, str] = {}
        for name, default in self.bundle.environment.items():
            value = self._around.environment.get(name, default)
            if value is None:
                faults.append(
                    Fault(f"the bundle wants ${name}, which is not set in the environment", bundles.NOWHERE)
                )
            else:
                env[name] = value
        values: dict[str, Any] = {}
        for reading in self.bundle.readings:
            try:
                values[reading.name] = bundles.taken(reading, await self._get(reading))
            except BadBundle as bad:
                faults += bad.faults
        if faults:
            raise BadBundle(*faults)
        known = {"name": self.cluster.name, "group": self.cluster.group}
        self._facts = {"env": env, "cluster": known, "values": values, "instances": {}}
        self._capabilities = await capabilities_of(self.client)

    async def prepared(self, member: Member) -> Desired:
        """Return what a member asks to be. Raises BadBundle and Mistaken."""
        values = member.values
        if self.bundle.expressions:
            at = replace(member.where, path=f"{member.where.path}.values")
            values = bundles.settle(values, self._facts, at)
        source = await self._around.open(member)
        instance = Instance(member.name, member.namespace)
        number, moment = upcoming(*await last(self.worker.requests, instance))
        context = Context(member.name, member.namespace, number, moment, self._capabilities)
        layers = self._around.layers(member, values)
        made = await render_source_async(source, layers, context, fetch=self._answers)
        return desired(made, instance, source=source.where, digest=source.digest, moment=moment)

    async def exported(self, member: Member, made: Desired) -> None:
        """Remember what a member exports: from the cluster, and for what is not there yet from what is to be applied. Raises BadBundle."""
        fresh = {Ref.of(item): item for stage in made.stages for item in stage.objects}
        found: dict[str, Any] = {}
        faults: list[Fault] = []
        for export in member.exports:
            near = next((item for ref, item in fresh.items() if _same(ref, export.ref)), None)
            try:
                found[export.name] = bundles.taken(export, await self._get(export) or near)
            except BadBundle as bad:
                faults += bad.faults
        if faults:
            raise BadBundle(*faults)
        self._facts["instances"][member.name] = found

    async def _answers(self, needs: Sequence[Need]) -> Mapping[Need, Any]:
        packages = [need for need in needs if need.what == "package.files"]
        found: dict[Need, Any] = dict(await package_files(packages, accept=self._around.accept))
        return found | await cluster_answers(self.client, [need for need in needs if need not in found])

    async def _get(self, reading: Reading) -> Resource | None:
        try:
            scopes = await self.worker.requests.scopes(
                [{"apiVersion": reading.api_version, "kind": reading.ref.kind, "metadata": {}}]
            )
            spaced = scopes.get((reading.ref.group, reading.ref.kind), True)
            ref = reading.ref if spaced else replace(reading.ref, namespace="")
            return await self.worker.requests.get(reading.api_version, ref)
        except Refusal as refusal:
            if refusal.code == 404:
                return None
            raise BadBundle(
                Fault(f"{reading.ref} cannot be read: {refusal.message}", reading.where)
            ) from refusal


@dataclass(frozen=True, slots=True)
class Carried:
    """How one member ended on one cluster."""

    cluster: Cluster
    member: Member
    outcome: Outcome


async def apply(run: Run, options: Options) -> AsyncIterator[Carried]:
    """Apply the members in order; ends after the first that fails. Raises BadBundle, Mistaken, and what Converger.apply raises."""
    await run.begin()
    for member in run.bundle.members:
        made = await run.prepared(member)
        outcome = await run.worker.apply(made, options)
        yield Carried(run.cluster, member, outcome)
        if not outcome.good:
            return
        await run.exported(member, made)


async def delete(run: Run, options: Options) -> AsyncIterator[Carried]:
    """Delete the members, the last first; ends after the first that cannot be deleted."""
    for member in reversed(run.bundle.members):
        outcome = await run.worker.delete(Instance(member.name, member.namespace), options)
        yield Carried(run.cluster, member, outcome)
        if outcome.state not in {"deleted", "absent"}:
            return


def _same(ref: Ref, wanted: Ref) -> bool:
    return (ref.group, ref.kind, ref.name) == (wanted.group, wanted.kind, wanted.name) and ref.namespace in {
        "",
        wanted.namespace,
    }


def selected(clusters: Sequence[Cluster], name: str = "", group: str = "") -> list[Cluster]:
    """Return the clusters of that name and group, in order; empty texts stand for any."""
    return [each for each in clusters if name in {"", each.name} and group in {"", each.group}]
