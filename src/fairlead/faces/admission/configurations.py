"""Keeps the caBundle of the server's webhook configurations what its certificate is known by. Changes nothing else in them."""

from __future__ import annotations

import base64
import logging

from fairlead.drivers.cluster import AsyncCluster
from fairlead.keep.errors import Refusal
from fairlead.words import Resource

log = logging.getLogger("fairlead.admission")

VERSION = "admissionregistration.k8s.io/v1"
KINDS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


async def trust(cluster: AsyncCluster, name: str, authorities: bytes) -> int:
    """Have the configurations of a name trust these authorities (PEM); return how many had to be changed.

    Those that do not exist are passed over. Raises Refusal and Unreachable.
    """
    changed = 0
    bundle = base64.b64encode(authorities).decode()
    for kind in KINDS:
        try:
            found = await cluster.get(VERSION, kind, "", name)
            operations = _operations(found, bundle)
            if operations:
                await cluster.patch(VERSION, kind, "", name, operations, how="json")
                log.info("%s %s trusts the server's authority now", kind, name)
                changed += 1
        except Refusal as refusal:
            if refusal.code not in {
                404,
                409,
                422,
            }:  # it is not there, or has just been changed: there is a next time
                raise
    return changed


def _operations(configuration: Resource, bundle: str) -> list[Resource]:
    """Return the operations that put the bundle into each webhook."""
    version = configuration["metadata"].get("resourceVersion")
    found: list[Resource] = [
        {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle}
        for index, one in enumerate(configuration.get("webhooks") or ())
        if (one.get("clientConfig") or {}).get("caBundle") != bundle
    ]
    if found and version:
        found.insert(0, {"op": "test", "path": "/metadata/resourceVersion", "value": version})
    return found
