"""Where volumes can be used: what their node affinity asks, and the nodes that it names.

Reading only: whether those nodes are well is for others to say.
"""

from __future__ import annotations

from fairlead.diagnose.inventories import Inventory
from fairlead.tongues.paths import mappings, text, words
from fairlead.words import Ref, Resource

HOST = "kubernetes.io/hostname"
"""The label by which a local volume names its node."""


def hosts(volume: Resource) -> set[str] | None:
    """Return the nodes that a volume's affinity names; None where it does not name nodes one by one."""
    found: set[str] = set()
    terms = mappings(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
    for _, term in terms:
        named = [
            set(words(one, "values"))
            for _, one in mappings(term, "matchExpressions")
            if one.get("key") == HOST and one.get("operator") == "In"
        ]
        if not named:
            return None
        found |= named[0]
    return found if terms else None


def home(volume: Resource) -> str:
    """Return what a volume's affinity asks of a node, for people: `topology.kubernetes.io/zone in (a, b)`."""
    said = []
    for _, term in mappings(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms"):
        asked = [
            f"{text(one, 'key')} {text(one, 'operator').lower()} ({', '.join(words(one, 'values'))})"
            for _, one in mappings(term, "matchExpressions")
        ]
        said.append(" and ".join(asked))
    return " or ".join(said)


def volume_of(inventory: Inventory, claim: Ref) -> Resource | None:
    """Return the volume that a claim is bound to, if it is here."""
    held = inventory.get(claim)
    name = text(held, "spec", "volumeName")
    return inventory.get(Ref("", "PersistentVolume", "", name)) if name else None
