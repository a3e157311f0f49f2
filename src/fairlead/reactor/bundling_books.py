"""Reads bundles, of our own format and of Timoni's, and finds the packages that they name.

Files come as texts by name; the first is where relative addresses start from. Timoni's are evaluated by CUE, for each cluster anew, since
their attributes may take values from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from fairlead.converge import bundles
from fairlead.converge.bundles import BadBundle, Bundle, Cluster, Fault, Member
from fairlead.dialects.manifests import Document
from fairlead.dialects.manifests import read as read_manifests
from fairlead.dialects.timoni import bundles as timoni
from fairlead.drivers.cluster import AsyncCluster
from fairlead.keep.errors import Refusal
from fairlead.reactor.bundling import Book, Native
from fairlead.reactor.rendering import Source
from fairlead.reactor.rendering_fetching import is_remote, open_source
from fairlead.reactor.rendering_timoni import evaluated
from fairlead.render.packages import Layer, Mistaken
from fairlead.words import Where

_FILE: Final = "file://"


def book(
    files: Sequence[Layer], runtime: Sequence[Layer] = (), environment: Mapping[str, str] | None = None
) -> Book:
    """Return the bundle that the files say. `environment` is for Timoni's attributes, where the user lets them have it.

    Raises BadBundle and Mistaken.
    """
    if all(each.name.endswith((".yaml", ".yml", ".json", "-")) for each in files):
        documents = [one for each in files for one in _documents(each)]
        if any(one.content.get("kind") == bundles.KIND for one in documents):
            return _native(documents, runtime)
    question = timoni.runtime_question(runtime) if runtime else None
    found = (
        timoni.read_runtime(runtime, evaluated(question, "the runtime")) if question else timoni.Runtime("")
    )
    clusters = tuple(Cluster(each.name, each.group, each.context) for each in found.clusters)
    made = _Timoni("", clusters or (Cluster(),), tuple(files), found, dict(environment or {}))
    return (
        replace(made, name=", ".join(each.name for each in files))
        if found.queries
        else replace(made, name=made.read({}).name)
    )


def _documents(layer: Layer) -> list[Document]:
    documents, findings = read_manifests(layer.name, layer.text)
    wrong = [Fault(each.message, each.where) for each in findings if each.severity != "info"]
    if wrong:
        raise BadBundle(*wrong)
    return [each for each in documents if isinstance(each.content, dict)]


def _native(documents: Sequence[Document], runtime: Sequence[Layer]) -> Native:
    if runtime:
        told = "a runtime belongs to Timoni bundles; this one names its clusters itself (spec.clusters)"
        raise BadBundle(Fault(told, Where(runtime[0].name)))
    if len(documents) > 1:
        other = documents[1]
        raise BadBundle(Fault("one bundle is wanted, and this is a second document", other.where("")))
    [only] = documents
    return Native(bundles.read(only.content, only.where))


@dataclass(frozen=True, slots=True)
class _Timoni:
    """A Timoni bundle with its runtime."""

    name: str
    clusters: tuple[Cluster, ...]
    files: tuple[Layer, ...]
    runtime: timoni.Runtime
    environment: Mapping[str, str] = field(default_factory=dict)

    def read(self, values: Mapping[str, str]) -> timoni.Bundle:
        """Ask CUE for the bundle with these values for its attributes."""
        question = timoni.bundle_question(self.files, {**self.environment, **values})
        return timoni.read_bundle(self.files, evaluated(question, "the bundle"))

    async def settled(self, cluster: Cluster, client: AsyncCluster) -> Bundle:
        """Return the bundle for a cluster: what it reads there goes into its attributes."""
        values: dict[str, str] = {}
        if self.runtime.queries:
            objects: dict[timoni.Query, Any] = {}
            for query in self.runtime.queries:
                try:
                    objects[query] = await client.get(
                        query.api_version, query.ref.kind, query.ref.namespace, query.ref.name
                    )
                except Refusal as refusal:
                    if refusal.code != 404:
                        told = f"{query.ref} cannot be read: {refusal.message}"
                        raise BadBundle(Fault(told, query.where)) from refusal
            question = timoni.queries_question(self.runtime.queries, objects)
            values = timoni.read_queries(
                await asyncio.to_thread(evaluated, question, "the values of the runtime")
            )
        mine = timoni.Cluster(cluster.name, cluster.group, cluster.context).values() if cluster.name else {}
        found = await asyncio.to_thread(self.read, {**values, **mine})
        return Bundle(found.name, tuple(map(_member, found.instances)), expressions=False)


def _member(one: timoni.Instance) -> Member:
    version = "" if one.version == timoni.LATEST and not one.url.startswith("oci://") else one.version
    return Member(one.name, one.url, one.namespace, version, one.digest, one.values, where=one.written)


async def opened(
    member: Member, folder: Path, fetch: Callable[..., Awaitable[Source]] = open_source
) -> Source:
    """Return the package that a member names: a folder beside the bundle, or an artifact of that version or range.

    `fetch` takes the address of an artifact, a `version` and a `digest`, as `open_source` does.
    Raises BadBundle: at the member's place, for what is wrong with the artifact too; and Mistaken for folders.
    """
    if not is_remote(member.source):
        return await open_source(str(folder / member.source.removeprefix(_FILE)))
    try:
        return await fetch(member.source, digest=member.digest, version=member.version)
    except Mistaken as mistaken:
        raise BadBundle(*(Fault(str(one), member.where) for one in mistaken.mistakes)) from mistaken
