"""A client for registries of the distribution specification: pull, push, mount, list, tag, delete, and who refers to what.

One for a process, for many hosts: `async with Client() as client`. It is a `Store`. Must never return bytes that it did not check.
Source: the distribution specification 1.1.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from fairlead.drivers.oci import downloads
from fairlead.drivers.oci.credentials import Credentials
from fairlead.drivers.oci.descriptors import (
    ACCEPTED,
    ARTIFACT_MANIFEST,
    INDEX,
    INDEXES,
    LARGEST_MANIFEST,
    Descriptor,
    Manifest,
    check_bytes,
    digest_of,
)
from fairlead.drivers.oci.errors import BadDigest, BadReference, Denied, NotFound, RegistryError
from fairlead.drivers.oci.headers import next_link
from fairlead.drivers.oci.references import Reference, check_digest
from fairlead.drivers.oci.stores import LARGEST_BLOB, Progress, fallback_tag
from fairlead.drivers.oci.tokens import scope_of
from fairlead.drivers.oci.uploads import Source, Upload, measure
from fairlead.drivers.oci.wire import TURNS, Body, Manners, Wire

_PAGES: Final = 1000
_PAGES_OF_REFERRERS: Final = 100
_LARGEST_LISTING: Final = 32 << 20
"""Bytes of all pages of one listing at most: hundreds of thousands of entries."""
_WITHOUT_REFERRERS: Final = frozenset({400, 404, 405, 406, 501})
"""What registries answer that do not know the referrers API."""


class Client:
    """Talks to any number of registries. `chunk` is the size of chunks that blobs are sent in, 0 for one piece where possible."""

    def __init__(
        self,
        credentials: Credentials | None = None,
        manners: Manners | None = None,
        *,
        chunk: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self._wire = Wire(credentials or Credentials(), manners or Manners())
        self._chunk = chunk
        self._progress = progress
        self._turns: dict[str, asyncio.Lock] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def ping(self, host: str) -> None:
        """Ask whether a registry is there and lets us in. Raises Denied, Unreachable, NotFound."""
        ref = Reference(host, "")
        async with self._wire.exchange("GET", "/v2/", ref, actions="", accept={404}) as answer:
            if answer.status_code == 404:
                raise NotFound(f"{host}: there is no registry (nothing at /v2/)")

    # --- manifests

    async def resolve(self, ref: Reference) -> Descriptor:
        """See Store. Asks for the head alone, where the registry says enough in it."""
        headers = {"Accept": ", ".join(ACCEPTED)}
        async with self._wire.exchange(
            "HEAD", _manifest_path(ref), ref, headers=headers, accept={405, 501}
        ) as answer:
            found = answer.headers if answer.status_code == 200 else httpx.Headers()
        kind = found.get("content-type", "").partition(";")[0].strip()
        digest, size = found.get("docker-content-digest", ""), found.get("content-length", "")
        if kind not in ACCEPTED or not digest or not size.isdigit():
            return (await self.manifest(ref))[0]
        try:
            check_digest(digest)
        except BadReference as error:
            raise RegistryError(f"{ref.url}: {error}") from error
        if ref.digest and digest != ref.digest:
            return (await self.manifest(ref))[0]  # perhaps of another algorithm: the bytes decide
        return Descriptor(kind, ref.digest or digest, int(size))

    async def manifest(self, ref: Reference) -> tuple[Descriptor, bytes]:
        """See Store."""
        headers = {"Accept": ", ".join(ACCEPTED)}
        async with self._wire.exchange("GET", _manifest_path(ref), ref, headers=headers) as answer:
            body = await self._wire.read(answer, LARGEST_MANIFEST, ref.url)
            said = answer.headers.get("docker-content-digest", "")
            media_type = answer.headers.get("content-type", "")
        digest = _checked(ref, body, said)
        manifest = Manifest.read(body, media_type, ref.url)
        return (
            Descriptor(manifest.media_type, digest, len(body), manifest.annotations, manifest.artifact_type),
            body,
        )

    async def push_manifest(
        self,
        repository: str | Reference,
        body: bytes,
        media_type: str,
        tag: str = "",
        *,
        algorithm: str = "sha256",
    ) -> Descriptor:
        """See Store. Where the registry does not keep account of subjects, the index of the tag schema is kept up."""
        ref = Reference.of(repository)
        manifest = Manifest.read(body, media_type, ref.url)
        digest = digest_of(body, algorithm)
        to = ref.with_tag(tag) if tag else ref.at(digest)
        kept = await self._put(to, body, media_type)
        said = kept.get("docker-content-digest", "")
        if said.startswith(f"{algorithm}:") and said != digest:
            raise BadDigest(f"{to.url}: the registry says that it has {said}, and was sent {digest}")
        found = Descriptor(media_type, digest, len(body), manifest.annotations, manifest.artifact_type)
        if manifest.subject is not None and not kept.get("oci-subject"):
            await self._note(ref, manifest.subject.digest, found, there=True)
        return found

    async def _put(self, ref: Reference, body: bytes, media_type: str) -> httpx.Headers:
        source = Source(body, len(body))
        async with self._wire.exchange(
            "PUT",
            _manifest_path(ref),
            ref,
            actions="pull,push",
            headers={"Content-Type": media_type},
            body=Body(len(body), lambda: source.pieces(0, len(body))),
        ) as answer:
            return answer.headers

    async def tag(self, ref: Reference, tag: str) -> Descriptor:
        """See Store."""
        to = ref.with_tag(tag)
        descriptor, body = await self.manifest(ref)
        await self._put(to, body, descriptor.media_type)
        return descriptor

    async def tags(self, repository: str | Reference) -> list[str]:
        """See Store."""
        ref = Reference.of(repository)
        found: set[str] = set()
        async for page in self._pages(f"/v2/{ref.repository}/tags/list?n=1000", ref):
            listed = page.get("tags") or []
            if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
                raise RegistryError(f"{ref.url}: the registry's tags are no list of texts")
            found.update(listed)
        return sorted(found)

    async def _pages(self, url: str, ref: Reference) -> Any:
        """Yield the documents of a listing, page by page."""
        seen: set[str] = set()
        left = _LARGEST_LISTING
        while url:
            if url in seen or len(seen) >= _PAGES or left < 0:
                raise RegistryError(f"{ref.url}: the registry's pages do not end")
            seen.add(url)
            async with self._wire.exchange("GET", url, ref) as answer:
                body = await self._wire.read(answer, LARGEST_MANIFEST, ref.url)
                left -= len(body)
                link = next_link(answer.headers.get_list("link"))
                here = str(answer.request.url)
            yield _document(body, ref)
            url = self._wire.joined(here, link, ref) if link else ""

    async def delete(self, ref: Reference) -> None:
        """See Store. What referred to something is also taken out of the tag schema's index, where that is in use."""
        subject = None
        if ref.digest:
            _, body = await self.manifest(ref)
            subject = Manifest.read(body, "", ref.url).subject if b'"subject"' in body else None
        async with self._wire.exchange(
            "DELETE", _manifest_path(ref), ref, actions="delete,pull", accept={400, 405}
        ) as answer:
            status = answer.status_code
        if status in {400, 405}:
            raise RegistryError(
                f"{ref.url}: the registry does not delete tags alone; name the digest, which deletes all of its tags"
                if not ref.digest
                else f"{ref.url}: the registry does not delete manifests"
            )
        if subject is not None and await self._index(ref, subject.digest) is not None:
            gone = Descriptor(INDEX, ref.digest, 0)
            await self._note(ref, subject.digest, gone, there=False)

    # --- blobs

    async def blob(self, ref: Reference, descriptor: Descriptor, limit: int = LARGEST_BLOB) -> bytes:
        """See Store."""
        return await downloads.read(self._wire, ref, descriptor, limit, self._progress)

    async def fetch(self, ref: Reference, descriptor: Descriptor, path: Path) -> None:
        """See Store. Taken up again where it was cut, as often as bytes still come."""
        await downloads.download(self._wire, ref, descriptor, path, self._progress)

    async def has_blob(self, repository: str | Reference, digest: str) -> bool:
        """See Store."""
        ref = Reference.of(repository)
        path = f"/v2/{ref.repository}/blobs/{check_digest(digest)}"
        async with self._wire.exchange("HEAD", path, ref, accept=TURNS | {404}) as answer:
            return (
                answer.status_code != 404
            )  # what leads to where it lies is there; that place may not know HEAD

    async def mount(self, repository: str | Reference, digest: str, origin: str | Reference) -> bool:
        """See Store."""
        ref, other = Reference.of(repository), Reference.of(origin)
        if ref.host != other.host:
            return False
        query = f"mount={quote(check_digest(digest), safe='')}&from={quote(other.repository, safe='')}"
        url, both = f"/v2/{ref.repository}/blobs/uploads/?{query}", scope_of(other.repository, "pull")
        try:
            async with self._wire.exchange(
                "POST", url, ref, actions="pull,push", also=both, accept={400, 404, 405}
            ) as answer:
                if answer.status_code == 201:
                    return True
                opened = answer.headers.get("location") if answer.status_code == 202 else ""
                here = str(answer.request.url)
        except Denied:  # perhaps of the other repository only; whoever sends the blob will know
            return False
        if opened:  # it has opened an upload instead, which nobody needs
            place = self._wire.joined(here, opened, ref)
            async with self._wire.exchange(
                "DELETE", place, ref, actions="pull,push", accept=range(400, 600), repeat=False
            ):
                pass
        return False

    async def push_blob(
        self,
        repository: str | Reference,
        data: bytes | Path,
        media_type: str = "application/octet-stream",
        *,
        algorithm: str = "sha256",
    ) -> Descriptor:
        """See Store."""
        ref = Reference.of(repository)
        blob = await measure(data, media_type, algorithm)
        if await self.has_blob(ref, blob.digest):
            if self._progress is not None:
                self._progress(blob.digest, blob.size, blob.size)
            return blob
        to = Reference(ref.host, ref.repository)
        await Upload(self._wire, to, Source(data, blob.size), blob, self._chunk, self._progress).run()
        return blob

    # --- what refers to what

    async def referrers(
        self, repository: str | Reference, digest: str, artifact_type: str = ""
    ) -> list[Descriptor]:
        """See Store. Asks the referrers API, and where there is none reads the index of the tag schema."""
        ref = Reference.of(repository).at(digest)
        found = await self._ask_referrers(ref, artifact_type)
        if found is None:
            found = await self._index(ref, digest) or []
        once = {one.digest: one for one in found}
        return [one for one in once.values() if not artifact_type or one.artifact_type == artifact_type]

    async def _ask_referrers(self, ref: Reference, artifact_type: str) -> list[Descriptor] | None:
        query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
        url = f"/v2/{ref.repository}/referrers/{ref.digest}{query}"
        found: list[Descriptor] = []
        seen: set[str] = set()
        left = _LARGEST_LISTING
        while url:
            if url in seen or len(seen) >= _PAGES_OF_REFERRERS or left < 0:
                raise RegistryError(f"{ref.url}: the registry's pages do not end")
            seen.add(url)
            async with self._wire.exchange(
                "GET", url, ref, headers={"Accept": INDEX}, accept=_WITHOUT_REFERRERS
            ) as answer:
                kind = answer.headers.get("content-type", "").partition(";")[0].strip()
                if not answer.is_success or (not found and kind not in {INDEX, "application/json"}):
                    return None
                body = await self._wire.read(answer, LARGEST_MANIFEST, ref.url)
                left -= len(body)
                link = next_link(answer.headers.get_list("link"))
                here = str(answer.request.url)
            page = Manifest.read(body, INDEX, f"{ref.url}: what refers to it")
            found += page.manifests
            url = self._wire.joined(here, link, ref) if link else ""
        return found

    async def _index(self, ref: Reference, digest: str) -> list[Descriptor] | None:
        """Return what the index of the tag schema lists, None where there is none."""
        place = Reference(ref.host, ref.repository, fallback_tag(digest))
        try:
            descriptor, body = await self.manifest(place)
        except NotFound:
            return None
        if descriptor.media_type not in INDEXES:
            return None
        return list(Manifest.read(body, descriptor.media_type, place.url).manifests)

    async def _note(self, ref: Reference, digest: str, entry: Descriptor, *, there: bool) -> None:
        """Put an entry into the index of the tag schema, or take it out. Two processes at once may lose one of theirs."""
        place = Reference(ref.host, ref.repository, fallback_tag(digest))
        async with self._turns.setdefault(str(place), asyncio.Lock()):
            before = await self._listed(place)
            after = [one for one in before if one.get("digest") != entry.digest]
            after += [entry.document()] if there else []
            if after != before:
                index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": after}
                await self._put(place, json.dumps(index, separators=(",", ":")).encode(), INDEX)

    async def _listed(self, place: Reference) -> list[dict[str, Any]]:
        """Return the entries of an index as they are, [] where there is none."""
        try:
            descriptor, body = await self.manifest(place)
        except NotFound:
            return []
        if descriptor.media_type not in INDEXES:
            raise RegistryError(
                f"{place.url}: the tag of what refers to a manifest is taken by something else"
            )
        return list(Manifest.read(body, descriptor.media_type, place.url).document["manifests"])


def _manifest_path(ref: Reference) -> str:
    return f"/v2/{ref.repository}/manifests/{ref.version}"


def _checked(ref: Reference, body: bytes, said: str) -> str:
    """Return the digest of a manifest's bytes, which has to be the one asked for, and the one that the registry names."""
    if ref.digest:
        algorithm = ref.digest.partition(":")[0]
        check_bytes(body, Descriptor(ARTIFACT_MANIFEST, ref.digest, len(body)), ref.url)
        return digest_of(body, algorithm)
    if said:
        try:
            check_digest(said)
        except BadReference as error:
            raise RegistryError(f"{ref.url}: {error}") from error
        check_bytes(body, Descriptor(ARTIFACT_MANIFEST, said, len(body)), ref.url)
        return said
    return digest_of(body)


def _document(body: bytes, ref: Reference) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{ref.url}: the registry's answer is not JSON") from error
    if not isinstance(document, dict):
        raise RegistryError(f"{ref.url}: the registry's answer is not a JSON object")
    return document
