"""Signs artifacts: with a key of one's own, offline, as a sigstore bundle and in cosign's legacy layout; or with what a service gave.

Must never push anything but the signature, nor a private key anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

from fairlead.drivers.oci.descriptors import Descriptor
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.stores import Store
from fairlead.drivers.signatures.attachments import attach_bundle, attach_layer, signature_annotation, tag_of
from fairlead.drivers.signatures.bundles import BUNDLE, ENVELOPE, IN_TOTO, SIMPLE, encoding
from fairlead.drivers.signatures.keys import Private, public_of, sign
from fairlead.drivers.signatures.statements import simple_signing, statement
from fairlead.judge.signatures import SIGNING

Form: TypeAlias = Literal["bundle", "legacy"]


class Signer(Protocol):
    """Who makes a sigstore bundle of a statement."""

    async def bundle(self, statement: bytes) -> bytes:
        """Return a bundle of version 0.3 with the statement in an envelope."""


class KeySigner:
    """Signs with a private key. No service is asked, so nothing proves when."""

    def __init__(self, private: Private) -> None:
        self._private = private
        self.key = public_of(private)

    async def bundle(self, statement: bytes) -> bytes:
        """See Signer."""
        hint = base64.b64encode(hashlib.sha256(self.key.der).digest()).decode()
        document = {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": hint}},
            "dsseEnvelope": self.envelope(statement),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    def envelope(self, statement: bytes) -> dict[str, Any]:
        """Return the statement in a DSSE envelope."""
        signature = sign(self._private, encoding(IN_TOTO, statement))
        return {
            "payload": base64.b64encode(statement).decode(),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        }

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message."""
        return sign(self._private, message)


async def sign_artifact(
    store: Store,
    ref: Reference,
    artifact: Descriptor,
    signer: Signer,
    now: datetime,
    *,
    forms: frozenset[Form] = frozenset({"bundle"}),
    annotations: Mapping[str, str] | None = None,
    to: Reference | None = None,
    prefix: str = "",
) -> list[Descriptor]:
    """Sign an artifact and attach the signature, in each form; return what was attached. `to` is another repository for it.

    The legacy layout takes a KeySigner. Raises RegistryError, ValueError.
    """
    where, digest = to or ref, artifact.digest
    made: list[Descriptor] = []
    if "legacy" in forms:
        if not isinstance(signer, KeySigner):
            raise ValueError(
                "cosign's legacy layout is written with a key only; keyless signatures are attached as bundles"
            )
        payload = simple_signing(ref.name, digest, annotations or {})
        notes = signature_annotation(signer.sign(payload))
        made.append(await attach_layer(store, where, tag_of(digest, "sig", prefix), payload, SIMPLE, notes))
    if "bundle" in forms:
        body = await signer.bundle(statement(digest, SIGNING, {}, annotations=annotations))
        made.append(await attach_bundle(store, where, artifact, body, SIGNING, _text(now)))
    return made


async def attest_artifact(
    store: Store,
    ref: Reference,
    artifact: Descriptor,
    signer: Signer,
    now: datetime,
    *,
    predicate_type: str,
    predicate: Any,
    forms: frozenset[Form] = frozenset({"bundle"}),
    to: Reference | None = None,
    prefix: str = "",
) -> list[Descriptor]:
    """Attest something of an artifact: sign a statement with this predicate and attach it. Raises RegistryError, ValueError."""
    where, digest = to or ref, artifact.digest
    body = statement(digest, predicate_type, predicate, name=ref.name)
    made: list[Descriptor] = []
    if "legacy" in forms:
        if not isinstance(signer, KeySigner):
            raise ValueError(
                "cosign's legacy layout is written with a key only; keyless attestations are attached as bundles"
            )
        envelope = json.dumps(signer.envelope(body), separators=(",", ":")).encode()
        notes = {"dev.cosignproject.cosign/signature": "", "predicateType": predicate_type}
        made.append(
            await attach_layer(store, where, tag_of(digest, "att", prefix), envelope, ENVELOPE, notes)
        )
    if "bundle" in forms:
        made.append(
            await attach_bundle(store, where, artifact, await signer.bundle(body), predicate_type, _text(now))
        )
    return made


def _text(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
