"""What a rendering needs from outside: packages in registries, the files of dependencies, objects of a cluster.

Everything that is pulled can be required to be signed: `accept` is asked for each artifact, with its digest, before anything of it is
unpacked. Objects are only read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from fairlead.reactor.rendering import Source, sort_of
from fairlead.reactor.rendering_loading import load_source, of_files
from fairlead.render.packages import Capabilities, Mistake, Mistaken
from fairlead.words import Need, Where

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.drivers.oci.references import Reference
    from fairlead.drivers.oci.stores import Store

Accept: TypeAlias = Callable[["Store", "Reference", str], Awaitable[None]]
"""(store, name, digest): raises Mistaken where an artifact may not be used, such as for want of a signature."""

REMOTE = ("oci://", "layout:", "oci-layout://")


def is_remote(text: str) -> bool:
    """Return whether a source lies in a registry or a local layout of one."""
    return text.startswith(REMOTE)


def is_tagged(address: str) -> bool:
    """Return whether an address says itself which version is meant, by a tag or a digest."""
    return ":" in address.rpartition("/")[2]


async def open_source(
    text: str,
    *,
    store: Store | None = None,
    accept: Accept | None = None,
    digest: str = "",
    version: str = "",
    stdin: IO[bytes] | None = None,
) -> Source:
    """Return the package at a place of any sort. Raises Mistaken.

    `store` is where artifacts come from (registries, with the user's logins, unless given); `digest` is what the artifact must have, which
    decides; `version` is a version, a range of which the newest is taken, or a tag. With neither, and no tag in the address, it is
    `latest`, or where nothing is called so the newest version.
    """
    if not is_remote(text):
        return load_source(text, stdin=stdin)
    from fairlead.drivers.oci import artifacts
    from fairlead.drivers.oci.clients import Client
    from fairlead.drivers.oci.errors import RegistryError
    from fairlead.drivers.oci.layouts import Layout, is_layout, parse_layout
    from fairlead.drivers.oci.references import Reference

    client: Client | None = None
    try:
        if is_layout(text):
            path, ref = parse_layout(text)
            store = store or Layout(path)
        else:
            ref = Reference.parse(text)
            if store is None:
                store = client = Client()
        if digest and ref.digest not in {"", digest}:
            raise Mistaken(Mistake(f"names {ref.digest}, and {digest} is wanted", Where(text)))
        ref = ref.at(digest) if digest else await _chosen(store, ref, version)
        if accept is not None:
            found, _ = await artifacts.read_manifest(store, ref)
            ref = ref.at(found.digest)
            await accept(store, ref, found.digest)
        pulled = await artifacts.unpack(store, ref)
    except RegistryError as error:
        raise Mistaken(_unreachable(text, error)) from error
    finally:
        if client is not None:
            await client.close()
    files = pulled.package
    if sort_of(files) is None:
        raise Mistaken(
            Mistake(
                f"is an artifact of another sort ({pulled.manifest.artifact_type or pulled.manifest.media_type})",
                Where(text),
                hint="modules, Timoni modules, charts and folders of manifests can be rendered",
            )
        )
    return of_files(files, text, digest=pulled.descriptor.digest)


async def _chosen(store: Store, ref: Reference, version: str) -> Reference:
    """Return the name of a version, of the newest in a range, or of a tag that is no version, such as `main`. Raises RegistryError."""
    from fairlead.drivers.oci.artifacts import choose_version
    from fairlead.drivers.oci.versions import is_range, version_of

    if version and not (ref.tag or ref.digest) and version_of(version) is None and not is_range(version):
        return ref.with_tag(version)
    return await choose_version(store, ref, version)


def _unreachable(text: str, error: Exception) -> Mistake:
    hints = {
        "NotFound": f"see what is there: fairlead mod list {text.rpartition(':')[0] if text.count(':') > 1 else text}",
        "Denied": "log in with: fairlead registry login HOST",
        "Unreachable": "is the registry up, and its name right?",
        "BadDigest": "what was sent is not what was asked for: nothing of it is used",
    }
    said = str(error).removeprefix(f"{text}: ")
    return Mistake(said, Where(text), hint=hints.get(type(error).__name__, ""))


async def package_files(
    needs: Sequence[Need], *, store: Store | None = None, accept: Accept | None = None
) -> dict[Need, Mapping[str, bytes]]:
    """Return the files that Needs of packages ask for. Raises Mistaken for what cannot be had, and for addresses that are not a registry's."""
    found: dict[Need, Mapping[str, bytes]] = {}
    for need in needs:
        address, detail = need.about.name, dict(need.detail)
        if not is_remote(address):
            raise Mistaken(
                Mistake(
                    f"{address} is needed, and only registries (oci://) are asked for packages",
                    hint="fetch it into the package first: fairlead mod vendor, helm dependency build",
                )
            )
        version = detail.get("version", "")
        if is_tagged(address):
            version = ""
        source = await open_source(
            address, store=store, accept=accept, digest=detail.get("digest", ""), version=version
        )
        found[need] = source.package.files
    return found


async def cluster_answers(cluster: AsyncCluster, needs: Sequence[Need]) -> dict[Need, Any]:
    """Return the objects and lists that Needs ask for, as they are on a cluster: what is not there, or of no known kind, is None or []."""
    from fairlead.keep.errors import Refusal

    found: dict[Need, Any] = {}
    for need in needs:
        ref, version = need.about, dict(need.detail).get("apiVersion", "v1")
        try:
            if need.what == "cluster.object":
                found[need] = await cluster.get(version, ref.kind, ref.namespace, ref.name)
            elif need.what == "cluster.list":
                found[need], _ = await cluster.list(version, ref.kind, ref.namespace)
        except Refusal as refusal:
            if refusal.code not in {403, 404}:
                raise
            if refusal.code == 403:
                raise Mistaken(
                    Mistake(f"the package looks at {ref.kind} objects, which you may not: {refusal}")
                ) from refusal
            found[need] = None if need.what == "cluster.object" else []
    return found


async def capabilities_of(cluster: AsyncCluster) -> Capabilities:
    """Return what a cluster can do: its version, and each group, version and kind that it serves."""
    import json

    from fairlead.reactor.discovering import discover

    said = json.loads((await cluster.raw("GET", "/version")).content)
    catalogue = await discover(cluster)
    kinds = {f"{kind.api_version}/{kind.kind}" for kind in catalogue.all()}
    return Capabilities(
        str(said.get("gitVersion") or "v1.32.0"),
        frozenset(kinds | {kind.rpartition("/")[0] for kind in kinds}),
    )
