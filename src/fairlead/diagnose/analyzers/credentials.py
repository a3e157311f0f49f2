"""Pull secrets that a node cannot use: of the wrong type, or with contents that are no registry's credentials.

What a Secret holds is read for its form alone, and never shown; hosts of registries are.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from fairlead.diagnose.analyzers.certificates import contents
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory
from fairlead.tongues.paths import mapping, text
from fairlead.words import Ref, Resource, Severity

_KEYS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
"""The types of Secrets that kubelet reads, and the key of each."""


def look(inventory: Inventory, secret: Resource) -> Iterator[Fact]:
    """What keeps a Secret that pods name as a pull secret from being one."""
    ref = Ref.of(secret)
    users = [edge for edge in inventory.referrers(ref) if edge.relation == "pull-secret"]
    if not users:
        return
    fault = _fault(secret)
    if fault is None:
        return
    message, cause, path = fault
    yield Fact(
        rule="secret.registry",
        subject=ref,
        severity=Severity.WARNING,
        message=f"is named as a pull secret, and {message}",
        cause=cause,
        evidence=tuple(
            inventory.field(one.source, one.path, f"{one.source.kind} {one.source.name} names it")
            for one in users[:3]
        ),
        where=inventory.where(ref, path),
    )


def _fault(secret: Resource) -> tuple[str, str, tuple[str, ...]] | None:
    kind = text(secret, "type") or "Opaque"
    key = _KEYS.get(kind)
    if key is None:
        return f"is of type {kind}", f"A node reads only Secrets of type {' or '.join(_KEYS)}.", ("type",)
    held = contents(secret).get(key, "")
    place = ("stringData" if key in mapping(secret, "stringData") else "data", key)
    if not held.strip():
        return f"has nothing in {key}", "", place
    try:
        content: Any = json.loads(held)
    except ValueError:
        return f"holds no JSON in {key}", "", place
    hosts = content.get("auths") if isinstance(content, dict) and key == ".dockerconfigjson" else content
    if not isinstance(hosts, dict) or not hosts:
        return "names no registry", f"{key} has no `auths`." if key == ".dockerconfigjson" else "", place
    for host, entry in hosts.items():
        if not isinstance(entry, dict) or not (
            _readable(text(entry, "auth")) or text(entry, "username") or text(entry, "identitytoken")
        ):
            return (
                f"has no credentials for {host}",
                "There must be a user's name and password, or `auth` with both, in base64.",
                place,
            )
    return None


def _readable(auth: str) -> bool:
    try:
        return b":" in base64.b64decode(auth, validate=True)
    except (binascii.Error, ValueError):
        return False


UNITS = {("", "Secret"): look}
