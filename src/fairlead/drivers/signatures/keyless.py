"""Signs without a key of one's own: an identity token buys a certificate for a key that lives for this one signature.

The certificate authority, the log and the timestamp authority are those of a trust configuration; the `sigstore` package speaks to them.
Imported only by who signs so: the package is slow to load. Must never keep a token or the key.
Source: sigstore's client specification (signing).
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Final

from fairlead.drivers.signatures.faults import BadTrust

_CONFIGURATION: Final = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
log = logging.getLogger("fairlead.signatures")


class Unsignable(Exception):
    """No keyless signature could be had; the text says which step failed, and what would help."""


class KeylessSigner:
    """Signs statements as the identity that a token proves. `configuration` is the JSON of a client trust configuration ("": sigstore's own)."""

    def __init__(self, token: str, configuration: str = "") -> None:
        self._token, self._configuration = token, configuration
        if configuration:
            _check(configuration)

    async def bundle(self, statement: bytes) -> bytes:
        """Return a bundle with certificate, log entry and timestamp. Raises Unsignable."""
        return await asyncio.to_thread(self._sign, statement)

    def _sign(self, statement: bytes) -> bytes:
        from sigstore.dsse import Statement
        from sigstore.models import ClientTrustConfig
        from sigstore.oidc import IdentityToken
        from sigstore.sign import SigningContext

        try:
            token = IdentityToken(self._token)
        except Exception as error:
            raise Unsignable(f"the identity token cannot be used: {_first(error)}") from error
        try:
            config = (
                ClientTrustConfig.from_json(self._configuration)
                if self._configuration
                else ClientTrustConfig.production()
            )
            context = SigningContext.from_trust_config(config)
            with context.signer(token) as signer:
                return signer.sign_dsse(Statement(statement)).to_json().encode()
        except Exception as error:  # the package raises whatever its own parts raise
            log.debug("keyless signing failed", exc_info=True)
            raise Unsignable(
                f"no keyless signature could be had: {_first(error)}; it takes the certificate authority and the log of the trust "
                "configuration, over the network. Offline, sign with a key: --key"
            ) from error


def ambient_token() -> str:
    """Return the identity token that a CI system offers to its jobs, or "". Raises Unsignable where there should be one and is not."""
    from sigstore.oidc import detect_credential

    try:
        return detect_credential() or ""
    except Exception as error:
        raise Unsignable(f"the CI system's identity token cannot be had: {_first(error)}") from error


def _check(text: str) -> None:
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadTrust("the trust configuration is not JSON") from error
    if not isinstance(document, dict) or document.get("mediaType") != _CONFIGURATION:
        raise BadTrust(
            f"the trust configuration's mediaType should be {_CONFIGURATION!r}: it has a trustedRoot and a signingConfig"
        )


def _first(error: BaseException) -> str:
    while error.__cause__ is not None and not str(error):
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
