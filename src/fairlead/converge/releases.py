"""Helm's records of releases: what a release says that it owns, so that nothing of it is forgotten when it is taken over.

Reads the Secrets that Helm keeps; writes nothing. What they hold is not trusted. Source: helm.sh/helm pkg/storage/driver.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Final

from fairlead.tongues import yamls
from fairlead.tongues.paths import strings, text
from fairlead.words import Ref, Resource

TYPE: Final = "helm.sh/release.v1"
_LARGEST: Final = 64 * 1024 * 1024


class BadRelease(ValueError):
    """A Secret that should hold a release and does not; the text names it."""


def selector(name: str) -> str:
    """Return the label selector of the records of a release."""
    return f"owner=helm,name={name}"


def latest(secrets: Iterable[Resource]) -> Resource | None:
    """Return the record of the release's last revision."""

    def number(secret: Resource) -> int:
        written = strings(secret, "metadata", "labels").get("version", "")
        return int(written) if written.isdigit() else 0

    found = [one for one in secrets if text(one, "type") == TYPE]
    return max(found, key=number, default=None)


def objects(secret: Resource, namespace: str) -> list[Ref]:
    """Return what a release says that it owns; objects without a namespace get the release's. Raises BadRelease."""
    where = f"{text(secret, 'metadata', 'namespace')}/{text(secret, 'metadata', 'name')}"
    try:
        packed = base64.b64decode(base64.b64decode(text(secret, "data", "release")))
        if packed[:2] == b"\x1f\x8b":
            opener = zlib.decompressobj(31)
            packed = opener.decompress(packed, _LARGEST)
            if opener.unconsumed_tail:
                raise BadRelease(f"Secret {where} holds a release that is too large")  # noqa: TRY301  one place says what is wrong
        manifest = json.loads(packed)["manifest"]
        documents = yamls.load_all(manifest)
    except BadRelease:
        raise
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise BadRelease(f"Secret {where} holds no release that can be read: {error}") from error
    found = []
    for one in documents:
        if isinstance(one, dict) and one.get("kind"):
            ref = Ref.of(one)
            found.append(Ref(ref.group, ref.kind, ref.namespace or namespace, ref.name))
    return found


def left_over(owned: Iterable[Ref], known: Iterable[Ref]) -> list[Ref]:
    """Return what the release owns that is not among what is known, whatever namespace a cluster-wide object is said to be in."""
    there = {(one.group, one.kind, one.name): one for one in known}
    return [
        one
        for one in owned
        if (found := there.get((one.group, one.kind, one.name))) is None
        or found.namespace not in {"", one.namespace}
    ]
