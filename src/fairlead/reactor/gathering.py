"""Fetches what there is of many kinds from a cluster: one LIST for each kind, paged, several at once.

Kinds that may not be listed are named as unseen, so that nothing is concluded from their absence; kinds of groups that a cluster may lack are
simply not there. Custom resources are found by their definitions. Holds no rules and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fairlead.diagnose.references import CLUSTER_SCOPED
from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import BUILT_IN
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Need, Resource, Snapshot

AT_ONCE = 8
"""Requests under way at a time."""
LOG_BYTES = 64 * 1024
CUSTOM_KINDS = 300
"""Custom kinds that are listed at most; the others are unseen."""
CUSTOM_OBJECTS = 5_000
"""Custom resources of one kind that are fetched at most; a kind with more is unseen, though these take part."""
DEFINITION = ("apiextensions.k8s.io", "CustomResourceDefinition")

Told: TypeAlias = Callable[[int, int], None]
"""Hears how many kinds have answered, of how many: for who shows progress."""


@dataclass(frozen=True, slots=True)
class Sort:
    """A kind to list: where it is served, and what is made of a refusal. `most` bounds what is fetched (0: no bound)."""

    api_version: str
    kind: str
    namespaced: bool
    optional: bool = False
    most: int = 0

    @property
    def group(self) -> str:
        """The API group."""
        return self.api_version.rpartition("/")[0]


WIDE = (
    CLUSTER_SCOPED
    | {(one.group, one.kind) for one in BUILT_IN if not one.namespaced}
    | {
        ("apiregistration.k8s.io", "APIService"),
        ("gateway.networking.k8s.io", "GatewayClass"),
        ("metrics.k8s.io", "NodeMetrics"),
        ("wgpolicyk8s.io", "ClusterPolicyReport"),
    }
)
"""The kinds that are known to live outside namespaces."""


async def gather(
    cluster: AsyncCluster,
    namespace: str = "",
    kinds: Sequence[tuple[str, str]] = (),
    optional: Sequence[tuple[str, str]] = (),
    *,
    customs: bool = False,
    told: Told | None = None,
) -> tuple[Snapshot, frozenset[tuple[str, str]]]:
    """Return everything of the kinds (in one namespace, where one is given), and the (group, kind) pairs that could not be listed.

    Kinds are (apiVersion, kind). What is `optional` may be served or not. With `customs` the custom resources are fetched too of all
    definitions among the kinds, and the definitions lose their schemas. Raises Unreachable, and Refusal where not even pods may be listed.
    """
    for one in BUILT_IN:
        cluster.learn(one.api_version, one.kind, one.plural, one.namespaced)
    served = await _served(cluster) if optional else None
    sorts = [Sort(version, kind, (version.rpartition("/")[0], kind) not in WIDE) for version, kind in kinds]
    sorts += [
        Sort(version, kind, (version.rpartition("/")[0], kind) not in WIDE, optional=True)
        for version, kind in optional
        if served is None or version in served
    ]
    progress = _Progress(told, len(sorts))
    view, unseen = Snapshot(), set[tuple[str, str]]()
    await _fill(cluster, namespace, sorts, view, unseen, progress)
    if customs:
        known = {(one.group, one.kind) for one in sorts}
        more = []
        for definition in list(view.list(*DEFINITION)):
            found = _custom(cluster, definition)
            if found is not None and (found.group, found.kind) not in known:
                more.append(found)
            view.put(_without_schema(definition))
        unseen |= {(one.group, one.kind) for one in more[CUSTOM_KINDS:]}
        progress.expect(len(more[:CUSTOM_KINDS]))
        await _fill(cluster, namespace, more[:CUSTOM_KINDS], view, unseen, progress)
    return view, frozenset(unseen)


class _Progress:
    """Counts the kinds that have answered."""

    def __init__(self, told: Told | None, asked: int) -> None:
        self._told, self._asked, self._answered = told, asked, 0

    def expect(self, more: int) -> None:
        self._asked += more

    def answered(self) -> None:
        self._answered += 1
        if self._told is not None:
            self._told(self._answered, self._asked)


async def _served(cluster: AsyncCluster) -> frozenset[str] | None:
    """Return every apiVersion of the groups that the cluster serves, None where it does not say."""
    try:
        answer = (await cluster.raw("GET", "/apis")).json()
    except Refusal:
        return None
    return frozenset(
        text(version, "groupVersion")
        for _, group in mappings(answer, "groups")
        for _, version in mappings(group, "versions")
    )


async def _fill(
    cluster: AsyncCluster,
    namespace: str,
    sorts: Sequence[Sort],
    view: Snapshot,
    unseen: set[tuple[str, str]],
    progress: _Progress,
) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(sort: Sort) -> tuple[list[Resource], bool] | Refusal:
        space = namespace if sort.namespaced else ""
        async with gate:
            try:
                items, version = await cluster.list(sort.api_version, sort.kind, space, cap=sort.most)
            except Refusal as refusal:
                return refusal
            finally:
                progress.answered()
            return items, bool(version) or not sort.most

    for sort, answer in zip(sorts, await asyncio.gather(*(one(sort) for sort in sorts)), strict=True):
        if isinstance(answer, Refusal):
            if (sort.api_version, sort.kind) == ("v1", "Pod"):
                raise answer
            if not sort.optional or answer.code != 404:
                unseen.add((sort.group, sort.kind))
            continue
        items, whole = answer
        if not whole:
            unseen.add((sort.group, sort.kind))
        for item in items:
            if sort.kind != "Namespace" or not namespace or item["metadata"]["name"] == namespace:
                view.put(item)


def _custom(cluster: AsyncCluster, definition: Resource) -> Sort | None:
    """Return where the custom resources of a definition are listed, None for one that serves nothing."""
    spec = mapping(definition, "spec")
    versions = [one for _, one in mappings(spec, "versions") if one.get("served") is True]
    chosen = next((one for one in versions if one.get("storage") is True), versions[0] if versions else {})
    version, group = text(chosen, "name"), text(spec, "group")
    kind, plural = text(spec, "names", "kind"), text(spec, "names", "plural")
    if not (version and group and kind and plural):
        return None
    namespaced = spec.get("scope") != "Cluster"
    cluster.learn(f"{group}/{version}", kind, plural, namespaced)
    return Sort(f"{group}/{version}", kind, namespaced, optional=True, most=CUSTOM_OBJECTS)


def _without_schema(definition: Resource) -> Resource:
    """Return a definition without the schemas of its versions, which are most of it and which nothing here reads."""
    spec = mapping(definition, "spec")
    versions = [
        {key: value for key, value in one.items() if key != "schema"} for _, one in mappings(spec, "versions")
    ]
    return {**definition, "spec": {**spec, "versions": versions}}


@contextlib.contextmanager
def unswept() -> Iterator[None]:
    """Let no search for cycles run meanwhile: what is decoded and indexed has none, and each search would go through all of it."""
    swept = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if swept:
            gc.enable()


async def answer(cluster: AsyncCluster, wanted: Iterable[Need]) -> dict[Need, str]:
    """Fetch what the examination needs; what cannot be had is left out."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(need: Need) -> tuple[Need, str]:
        detail: Mapping[str, str] = dict(need.detail)
        path = f"/api/v1/namespaces/{need.about.namespace}/pods/{need.about.name}/log"
        params = {
            "container": detail["container"],
            "previous": detail["previous"] if detail["previous"] == "true" else "",
            "tailLines": detail["tail"],
            "limitBytes": str(LOG_BYTES),
        }
        async with gate:
            try:
                response = await cluster.raw("GET", path, params=params)
            except (Refusal, Unreachable):
                return need, ""
            return need, response.content.decode(errors="replace")

    got = await asyncio.gather(*(one(need) for need in wanted if need.what == "log"))
    return {need: text for need, text in got if text}
