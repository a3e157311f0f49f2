"""Which kinds continuous diagnosis follows on a cluster: the built-in ones, those that it may have, and its custom resources.

Decided anew when definitions come and go. Definitions that fairlead itself has brought are left out, but for those that an examination asks for:
a connection for each of a hundred kinds without objects helps nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import BUILT_IN
from fairlead.reactor.diagnosing_following import Batch, Kind
from fairlead.reactor.examine import KINDS, OPTIONAL
from fairlead.reactor.gathering import CUSTOM_KINDS
from fairlead.tongues.paths import mapping, mappings, strings, text
from fairlead.words import Resource

DEFINITION: Kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
OPTIONALS = frozenset(OPTIONAL)
BUILT_INS = frozenset(KINDS)


def learn(cluster: AsyncCluster) -> None:
    """Tell a client of the kinds that every cluster has, so that it need not ask."""
    for one in BUILT_IN:
        cluster.learn(one.api_version, one.kind, one.plural, one.namespaced)


async def served(cluster: AsyncCluster) -> frozenset[str] | None:
    """Return every apiVersion of the groups that the cluster serves, None where it does not say."""
    try:
        answer = (await cluster.raw("GET", "/apis")).json()
    except (Refusal, Unreachable, ValueError):
        return None
    return frozenset(
        text(version, "groupVersion")
        for _, group in mappings(answer, "groups")
        for _, version in mappings(group, "versions")
    )


def custom(definition: Resource) -> Kind | None:
    """Return the kind that a definition brings, in the version that is stored; None for one that serves nothing, or is ours."""
    if strings(definition, "metadata", "labels").get("app.kubernetes.io/managed-by") == "fairlead":
        return None
    spec = mapping(definition, "spec")
    versions = [one for _, one in mappings(spec, "versions") if one.get("served") is True]
    chosen = next((one for one in versions if one.get("storage") is True), versions[0] if versions else {})
    version, group, kind = text(chosen, "name"), text(spec, "group"), text(spec, "names", "kind")
    return (f"{group}/{version}", kind) if version and group and kind else None


def wanted(definitions: Iterable[Resource], versions: frozenset[str] | None) -> Sequence[Kind]:
    """Return what is to be followed, given the definitions that are there and the versions that are served (None: not known)."""
    found = [*KINDS, *(one for one in OPTIONAL if versions is None or one[0] in versions)]
    known = {(version.rpartition("/")[0], kind) for version, kind in (*KINDS, *OPTIONAL)}
    customs = []
    for definition in definitions:
        one = custom(definition)
        if one is not None and (one[0].rpartition("/")[0], one[1]) not in known:
            customs.append(one)
    return [*found, *sorted(customs)[:CUSTOM_KINDS]]


def without_schema(definition: Resource) -> Resource:
    """Return a definition without the schemas of its versions, which are most of it and which nothing reads here."""
    spec = mapping(definition, "spec")
    versions = [
        {key: value for key, value in one.items() if key != "schema"} for _, one in mappings(spec, "versions")
    ]
    return {**definition, "spec": {**spec, "versions": versions}}


def defines(batch: Batch) -> bool:
    """Whether definitions have come or gone."""
    return any(one["kind"] == DEFINITION[1] for one in batch.puts) or any(
        ref.kind == DEFINITION[1] for ref in batch.drops
    )
