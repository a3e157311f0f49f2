"""Where signatures of an artifact are: cosign's tags beside it, and what refers to it. Finds and attaches; believes nothing.

`sha256-<hex>.sig` and `.att` hold cosign's legacy layout; referrers hold sigstore bundles, and what cosign tried before.
Source: sigstore/cosign specs/SIGNATURE_SPEC.md, BUNDLE_SPEC.md and pkg/oci/remote.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fairlead.drivers.oci.descriptors import EMPTY, MANIFEST, Descriptor, Manifest
from fairlead.drivers.oci.errors import NotFound, RegistryError
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.stores import Store
from fairlead.drivers.signatures.bundles import (
    BUNDLE,
    BUNDLES,
    ENVELOPE,
    IN_TOTO,
    LARGEST_BUNDLE,
    SIGNATURE,
    SIMPLE,
    Candidate,
    read_bundle,
    read_layer,
)
from fairlead.drivers.signatures.faults import BadProof
from fairlead.judge.signatures import SIGNING

MOST: Final = 128
"""Signatures of one artifact that are looked at. What comes after is not: it is one reason more to refuse."""
MOST_BYTES: Final = 128 << 20
"""Bytes of signatures and attestations of one artifact that are fetched."""
_REFERRING: Final = frozenset({"application/vnd.dev.cosign.artifact.sig.v1+json", IN_TOTO, ENVELOPE, SIMPLE})
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_PREDICATE: Final = "dev.sigstore.bundle.predicateType"
_CONTENT: Final = "dev.sigstore.bundle.content"
_CREATED: Final = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True)
class Source:
    """Where to look for signatures: another repository (`host/name`), and a prefix of tags. Empty: beside the artifact."""

    repository: str = ""
    prefix: str = ""


def tag_of(digest: str, suffix: str, prefix: str = "") -> str:
    """Return cosign's tag for what belongs to a digest: `sha256-<hex>.sig`, with `prefix-` before it where there is one."""
    return f"{prefix + '-' if prefix else ''}{digest.replace(':', '-')}.{suffix}"


async def find(
    store: Store, ref: Reference, digest: str, *, predicate: str = SIGNING, source: Source = Source(), legacy: bool = True,
    bundles: bool = True,
) -> list[Candidate]:  # fmt: skip
    """Return what claims to be a signature of the digest, or an attestation of this predicate type ("*": of any). At most MOST.

    What cannot be read is among them, and says why. Raises RegistryError where the store cannot be asked.
    """
    where = Reference.parse(source.repository) if source.repository else ref
    found: list[Candidate] = []
    purse = [MOST_BYTES]
    if legacy:
        suffix = "sig" if predicate == SIGNING else "att"
        found += await _tagged(store, where, tag_of(digest, suffix, source.prefix), purse)
    if bundles or legacy:
        found += await _referring(
            store, where, digest, predicate, MOST - len(found), purse, legacy=legacy, bundles=bundles
        )
    if len(found) > MOST:
        found = [
            *found[:MOST],
            Candidate(f"{len(found) - MOST} more", "legacy", broken=f"only the first {MOST} are looked at"),
        ]
    return found


async def _tagged(store: Store, ref: Reference, tag: str, purse: list[int]) -> list[Candidate]:
    at = Reference(ref.host, ref.repository, tag)
    try:
        descriptor, body = await store.manifest(at)
    except NotFound:
        return []
    return await _layers(store, at, descriptor, body, tag, MOST, purse)


async def _layers(
    store: Store,
    at: Reference,
    descriptor: Descriptor,
    body: bytes,
    name: str,
    most: int,
    purse: list[int],
) -> list[Candidate]:
    """Read the layers of a manifest, each a signature."""
    manifest = Manifest.read(body, descriptor.media_type, str(at))
    found: list[Candidate] = []
    for index, layer in enumerate(manifest.layers):
        where = f"{name} [{index}]" if len(manifest.layers) > 1 else name
        if len(found) >= most:
            left = len(manifest.layers) - index
            found.append(
                Candidate(
                    where, "legacy", broken=f"{left} more signatures, and only the first {most} are looked at"
                )
            )
            break
        try:
            _spend(layer, purse)
            data = await store.blob(at, layer, LARGEST_BUNDLE)
            if layer.media_type.startswith(BUNDLES):
                found += read_bundle(data, where)
            else:
                found += read_layer(layer.media_type, data, layer.annotations, where)
        except (BadProof, NotFound) as error:
            found.append(Candidate(where, "legacy", broken=str(error).removeprefix(f"{where}: ")))
    return found


def _spend(layer: Descriptor, purse: list[int]) -> None:
    if layer.size > LARGEST_BUNDLE:
        raise BadProof(f"larger than {LARGEST_BUNDLE >> 20} MiB")
    purse[0] -= layer.size
    if purse[0] < 0:
        raise BadProof(f"there are more than {MOST_BYTES >> 20} MiB of signatures, and no more are fetched")


async def _referring(
    store: Store,
    ref: Reference,
    digest: str,
    predicate: str,
    most: int,
    purse: list[int],
    *,
    legacy: bool,
    bundles: bool,
) -> list[Candidate]:
    found: list[Candidate] = []
    for one in await store.referrers(ref, digest):
        is_bundle = one.artifact_type.startswith(BUNDLES)
        if not (bundles if is_bundle else legacy and one.artifact_type in _REFERRING):
            continue
        named = one.annotations.get(_PREDICATE)
        if named and predicate not in {"*", named}:
            continue  # a hint that saves fetching what is not asked for; who lies here hides what is theirs
        where = f"referrer {one.digest[:19]}"
        if len(found) >= most:
            found.append(
                Candidate(where, "bundle", broken=f"there are more, and only the first {MOST} are looked at")
            )
            break
        at = ref.at(one.digest)
        try:
            descriptor, body = await store.manifest(at)
            found += await _layers(store, at, descriptor, body, where, most, purse)
        except NotFound as error:
            found.append(Candidate(where, "bundle", broken=str(error)))
    return found


async def attach_bundle(
    store: Store, ref: Reference, subject: Descriptor, bundle: bytes, predicate: str, created: str
) -> Descriptor:
    """Attach a sigstore bundle to an artifact, as what refers to it. `created` is an RFC 3339 time. Raises RegistryError."""
    layer = await store.push_blob(ref, bundle, BUNDLE)
    config = await store.push_blob(ref, b"{}", EMPTY)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": BUNDLE,
        "config": {"mediaType": EMPTY, "size": config.size, "digest": config.digest},
        "layers": [{"mediaType": BUNDLE, "size": layer.size, "digest": layer.digest}],
        "subject": {"mediaType": subject.media_type, "size": subject.size, "digest": subject.digest},
        "annotations": {_CREATED: created, _CONTENT: "dsse-envelope", _PREDICATE: predicate},
    }
    return await store.push_manifest(ref, _json(document), MANIFEST)


async def attach_layer(
    store: Store, ref: Reference, tag: str, payload: bytes, media_type: str, annotations: Mapping[str, str]
) -> Descriptor:
    """Add a signature to those under a tag of cosign's legacy layout, beside the others. Raises RegistryError."""
    at = Reference(ref.host, ref.repository, tag)
    layers: list[dict[str, Any]] = []
    try:
        descriptor, body = await store.manifest(at)
        manifest = Manifest.read(body, descriptor.media_type, str(at))
        layers = [one.document() for one in manifest.layers]
    except NotFound:
        pass
    if len(layers) >= MOST:
        raise RegistryError(
            f"{at}: holds {len(layers)} signatures already, and more than {MOST} nobody looks at"
        )
    layer = await store.push_blob(ref, payload, media_type)
    layers.append(
        {
            "mediaType": media_type,
            "size": layer.size,
            "digest": layer.digest,
            "annotations": dict(annotations),
        }
    )
    rootfs = {"type": "layers", "diff_ids": [one["digest"] for one in layers]}
    image = {"architecture": "", "created": "0001-01-01T00:00:00Z", "history": [{"created": "0001-01-01T00:00:00Z"}] * len(layers),
             "os": "", "rootfs": rootfs, "config": {}}  # fmt: skip
    config = await store.push_blob(ref, _json(image), _CONFIG)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": _CONFIG, "size": config.size, "digest": config.digest},
        "layers": layers,
    }
    return await store.push_manifest(ref, _json(document), MANIFEST, tag)


def signature_annotation(signature: bytes) -> dict[str, str]:
    """Return the annotation that holds a signature."""
    return {SIGNATURE: base64.b64encode(signature).decode()}


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
