"""What goes wrong with signatures. The texts are for the person who is refused: what was looked at, and why it does not do."""

from __future__ import annotations


class BadKey(ValueError):
    """The text is no key that can be used, or its password is wrong."""


class BadTrust(ValueError):
    """A trust root, or a certificate that should be trusted, cannot be read."""


class BadProof(Exception):
    """One signature, or one proof that belongs to it, does not hold."""


class Unverified(Exception):
    """An artifact is not signed as it has to be. `reasons` say of each signature that was looked at what is wrong with it."""

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        told = list(dict.fromkeys(reasons))
        more = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        super().__init__(f"{message}: {'; '.join(told[:_TOLD])}{more}" if told else message)
        self.message = message
        self.reasons = tuple(told)


class Unsigned(Unverified):
    """There is nothing at all that claims to be a signature (or an attestation) of the artifact."""


_TOLD = 8
