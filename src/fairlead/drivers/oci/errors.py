"""What goes wrong between a store of artifacts and who uses it. Texts name the artifact and never hold a credential."""

from __future__ import annotations


class RegistryError(Exception):
    """A store refused, or what it answered cannot be used; the text says which artifact and why."""


class BadReference(RegistryError):
    """The text does not name an artifact."""


class NotFound(RegistryError):
    """There is no such repository, tag, manifest or blob."""


class Denied(RegistryError):
    """The store wants to know who is asking, or does not let them."""


class Unreachable(RegistryError):
    """The store could not be talked to, broke off too often, or stalled."""


class BadDigest(RegistryError):
    """The bytes are not those that their digest or size promises."""


class TooLarge(RegistryError):
    """More bytes than were promised, or than are allowed."""


class Unpackable(RegistryError):
    """An archive with entries that must not be unpacked; the text names the entry."""
