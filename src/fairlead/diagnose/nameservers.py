"""The cluster's name service, suspected where several workloads get no answer from it.

A lookup that was answered with `no such host` is no sign of that: only one that nobody answered is. One workload alone may have its own
trouble, so this is a supposition, which two must need; and where policies fence a namespace's traffic in, the fence is the likelier cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory, Member
from fairlead.tongues.paths import mapping, strings, words
from fairlead.words import Evidence, Ref

SERVICE = Ref("", "Service", "kube-system", "kube-dns")
"""What pods ask for names, by the name that every distribution gives it."""
KEY: Key = ("dns.failing", SERVICE, "")
_UNANSWERED = re.compile(
    r"\bEAI_AGAIN\b|temporary failure in name resolution|\blookup \S+.{0,80}?: (?:i/o timeout|server misbehaving)"
    r"|:53: (?:i/o timeout|read: connection refused|connect: connection refused)|communications error to \S+#53",
    re.IGNORECASE,
)


def unanswered(inventory: Inventory, line: str, ref: Ref) -> bool:
    """Say whether a line of a log tells that the cluster's name service did not answer, and no policy may be why."""
    if _UNANSWERED.search(line) is None or inventory.get(SERVICE) is None:
        return False
    return not any(
        "egress" in mapping(policy, "spec") or "Egress" in words(policy, "spec", "policyTypes")
        for policy in inventory.of_kind("networking.k8s.io", "NetworkPolicy", ref.namespace)
    )


def suspicion(inventory: Inventory, member: Member, line: str) -> Iterator[Fact]:
    """Suppose that the name service is down, if the last words of a container of the pod are about that."""
    if not unanswered(inventory, line, member.ref):
        return
    service = inventory.get(SERVICE) or {}
    behind = inventory.selected(strings(service, "spec", "selector"), SERVICE)
    yield Fact(
        rule=KEY[0],
        subject=SERVICE,
        message="answers no lookups of names, and several workloads cannot go on without",
        cause="That they have in common: each was told of no answer, not of a name that does not exist.",
        evidence=(Evidence("log", member.ref, inventory.quote(line, member.ref)),),
        confidence="likely",
        because=(SERVICE, *dict.fromkeys(one.top.ref for one in behind), *(one.ref for one in behind)),
        supposed=True,
    )
