"""Answers what rules ask of images' signatures, and refuses to pull what is not signed as somebody demands.

Brings stores, signatures and rules together; which signature counts is decided in drivers/signatures, what is wanted by dialects and options.
Fails closed: an answer that cannot be had is an error, and nothing is remembered of an image that has no digest.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from fairlead.drivers.oci.descriptors import INDEXES, Manifest
from fairlead.drivers.oci.errors import RegistryError
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.stores import Store
from fairlead.drivers.signatures.faults import BadKey, BadTrust, Unverified
from fairlead.drivers.signatures.roots import Root
from fairlead.drivers.signatures.verifying import Proven, verify_artifact
from fairlead.judge.signatures import SIGNING, AuthorityAsked
from fairlead.reactor.admit import Unanswered
from fairlead.reactor.verifying_authorities import authority_of_asked
from fairlead.words import Need

KEPT: Final = 1024
"""Answers that are remembered, each by the image's digest and all that was asked."""
FRESH: Final = 600.0
"""Seconds that a proof is remembered. A refusal is remembered for a twentieth of that: it may be signed any moment."""
_LARGEST_CONFIG: Final = 4 << 20

Stores: TypeAlias = Callable[[Mapping[str, Any]], "Store | Awaitable[Store]"]
"""Return where images are, for a request's credentials: {"secrets": ["namespace/name"], ...}."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What one authority proved of an artifact, or why nothing."""

    name: str
    proven: tuple[Proven, ...]
    error: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as an answer to `image.verification` (judge/signatures.py)."""
        return {"name": self.name, "proven": [_document(one) for one in self.proven], "error": self.error}


def _document(one: Proven) -> dict[str, Any]:
    return {
        "id": one.identifier,
        "subject": one.subject,
        "issuer": one.issuer,
        "key": one.key,
        "when": one.when.isoformat() if one.when else "",
        "extensions": dict(one.extensions),
        "annotations": dict(one.claim.annotations),
        "predicateType": one.claim.predicate_type,
        "statement": dict(one.claim.statement),
    }


async def ask(
    store: Store,
    ref: Reference,
    digest: str,
    asked: Sequence[AuthorityAsked],
    now: datetime,
    usual: Root | None = None,
) -> list[Reply]:
    """Return what each authority that is asked for proves of a digest, in order. Raises RegistryError where the store cannot be asked."""
    replies: list[Reply] = []
    for one in asked:
        name = str(one.get("name") or "")
        try:
            authority = authority_of_asked(one, now, usual)
            predicate = one.get("predicate") or SIGNING
            found = await verify_artifact(store, ref, digest, [authority], now, predicate=predicate)
            replies.append(Reply(name, found.proven))
        except (BadKey, BadTrust, Unverified) as error:
            replies.append(Reply(name, (), str(error)))
    return replies


class Verifier:
    """Answers `image.verification` and `image.data`. `stores` gives where images are; `clock` the time; `usual` the trust root."""

    def __init__(self, stores: Stores, clock: Callable[[], datetime], usual: Root | None = None) -> None:
        self._stores, self._clock, self._usual = stores, clock, usual
        self._kept: OrderedDict[tuple[str, ...], tuple[float, list[dict[str, Any]]]] = OrderedDict()

    def providers(self) -> dict[str, Callable[[Need, float], Awaitable[Any]]]:
        """Return the providers by the sort of Need that they answer."""
        return {"image.verification": self, "image.data": self.data, "cue.vet": vet}

    async def __call__(self, need: Need, seconds: float) -> Any:  # noqa: ARG002  the caller's clock counts
        """Return the answer to a Need of the sort `image.verification`. Raises Unanswered."""
        detail = dict(need.detail)
        store, ref = await self._place(need, detail)
        try:
            digest = ref.digest or (await store.resolve(ref)).digest
            pinned = {"digest": digest, "image": f"{ref.name}{f':{ref.tag}' if ref.tag else ''}@{digest}"}
            if detail.get("what") == "digest":
                return pinned
            if detail.get("what") != "authorities":
                raise Unanswered(f"{need.about.name}: {detail.get('what')!r} cannot be asked of an image")
            return {**pinned, "found": await self._found(store, ref, digest, detail)}
        except RegistryError as error:
            raise Unanswered(str(error)) from error

    async def _place(self, need: Need, detail: Mapping[str, str]) -> tuple[Store, Reference]:
        try:
            ref = Reference.parse(need.about.name)
            given = self._stores(json.loads(detail.get("credentials") or "{}"))
            return (await given if isinstance(given, Awaitable) else given), ref
        except RegistryError as error:
            raise Unanswered(str(error)) from error

    async def _found(
        self, store: Store, ref: Reference, digest: str, detail: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        key = (ref.name, digest, detail["authorities"], detail.get("credentials", ""))
        loop = asyncio.get_running_loop()
        kept = self._kept.get(key)
        if kept is not None and kept[0] > loop.time():
            self._kept.move_to_end(key)
            return kept[1]
        asked: list[AuthorityAsked] = json.loads(detail["authorities"])
        found = [one.document() for one in await ask(store, ref, digest, asked, self._clock(), self._usual)]
        lasts = FRESH if all(one["proven"] for one in found) else FRESH / 20
        self._kept[key] = (loop.time() + lasts, found)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    async def data(self, need: Need, seconds: float) -> Any:  # noqa: ARG002  the caller's clock counts
        """Return what a registry says of an image: names, digest, manifest and configuration. Raises Unanswered."""
        store, ref = await self._place(need, dict(need.detail))
        try:
            descriptor, body = await store.manifest(ref)
            manifest = Manifest.read(body, descriptor.media_type, str(ref))
            index = None
            if descriptor.media_type in INDEXES:
                index = dict(manifest.document)
                child = next((one for one in manifest.manifests if _runs(one.platform)), None)
                if child is None:
                    raise Unanswered(f"{ref}: there is no image for linux/amd64 in the index")
                inner, body = await store.manifest(ref.at(child.digest))
                manifest = Manifest.read(body, inner.media_type, str(ref))
            config: Any = {}
            if manifest.config is not None:
                config = json.loads(await store.blob(ref, manifest.config, _LARGEST_CONFIG))
        except RegistryError as error:
            raise Unanswered(str(error)) from error
        except ValueError as error:
            raise Unanswered(f"{ref}: its configuration is not JSON") from error
        return {
            "image": need.about.name,
            "resolvedImage": f"{ref.name}@{descriptor.digest}",
            "registry": ref.host,
            "repository": ref.repository,
            "identifier": ref.digest or ref.tag or "latest",
            "tag": ref.tag,
            "digest": descriptor.digest,
            "manifest": dict(manifest.document),
            **({"manifestList": index, "imageIndex": index} if index is not None else {}),
            "configData": config,
            "config": config,
        }


def _runs(platform: Mapping[str, Any]) -> bool:
    return (platform.get("os", "linux"), platform.get("architecture", "amd64")) == ("linux", "amd64")


async def vet(need: Need, seconds: float) -> Any:
    """Answer `cue.vet`: whether a document fits a policy in CUE: {"error": ""} if it does. Raises Unanswered where there is no CUE."""
    from fairlead.drivers.cue import CueFailed, NoCue, evaluate
    from fairlead.render.evaluations import Evaluation, Seek

    detail = dict(need.detail)
    files = {"policy.cue": detail["policy"].encode(), "document.json": detail["document"].encode()}
    evaluation = Evaluation(files, package="_", entry=tuple(files), seek=(Seek("", check=True),))
    try:
        found = await asyncio.to_thread(evaluate, evaluation, seconds=seconds)
    except NoCue as error:
        raise Unanswered(
            "policies in CUE are judged where CUE is installed: pip install 'fairlead[cue]'"
        ) from error
    except CueFailed as error:
        raise Unanswered(str(error)) from error
    told = [f"{one.path}: {one.message}" if one.path else one.message for one in found.problems]
    return {"error": "; ".join(told[:8])}
