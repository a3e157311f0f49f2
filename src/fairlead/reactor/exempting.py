"""Whom policies may never lock out: what the control plane does for itself, and what policies are repaired with.

One table of exemptions, for the gate of the embedded cluster and the webhook server alike. Knows no policy.

- Policy documents, CustomResourceDefinitions and webhook configurations are never judged, so that a bad policy can always be mended.
- Leases, Events, access reviews and tokens, policy reports and what sensors find are never judged: they are how the platform lives and speaks.
- In kube-system, kube-public and kube-node-lease only Kubernetes' own policies (ValidatingAdmissionPolicy, MutatingAdmissionPolicy
  and pod security labels) are asked, and the platform's own programs are never.
- What the platform's own programs (API server, controllers, scheduler, garbage collector, nodes) write is judged only where a
  controller makes for a user what the user asked for: a created Pod, ReplicaSet, Job or PersistentVolumeClaim.
"""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.keep.gating import Passage
from fairlead.reactor.policies import GROUPS
from fairlead.words import User

SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})

PLATFORM_USERS = frozenset(
    {"system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy"}
)
PLATFORM_GROUPS = frozenset({"system:nodes", "system:serviceaccounts:kube-system"})

NEVER_GROUPS = frozenset(
    {
        *GROUPS,
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "coordination.k8s.io",
        "events.k8s.io",
        "fairlead.dev",
        "openreports.io",
        "reports.kyverno.io",
        "wgpolicyk8s.io",
    }
)
"""API groups whose objects are never judged."""

NEVER_KINDS = frozenset(
    {("", "events"), ("", "componentstatuses"), ("flowcontrol.apiserver.k8s.io", "flowschemas")}
)
"""(group, plural) that are never judged."""

ON_BEHALF = frozenset(
    {("", "pods"), ("apps", "replicasets"), ("batch", "jobs"), ("", "persistentvolumeclaims")}
)
"""What a controller makes because a user asked for it."""


def is_platform(user: User) -> bool:
    """Whether a program of the platform itself asks."""
    return user.name in PLATFORM_USERS or any(group in PLATFORM_GROUPS for group in user.groups)


def never_judged(group: str, plural: str) -> bool:
    """Whether objects of a kind are never judged."""
    return group in NEVER_GROUPS or (group, plural) in NEVER_KINDS


def exempt(passage: Passage) -> bool:
    """Whether no policy is asked about a request at all."""
    kind, request = passage.kind, passage.request
    if never_judged(kind.group, kind.plural):
        return True
    if not is_platform(request.user):
        return False
    if passage.namespace in SYSTEM_NAMESPACES or passage.operation != "CREATE" or passage.subresource:
        return True
    return (kind.group, kind.plural) not in ON_BEHALF


def only_own(namespace: str) -> bool:
    """Whether in a namespace only Kubernetes' own policies are asked."""
    return namespace in SYSTEM_NAMESPACES


OWN_DIALECTS = frozenset({"admissionpolicies", "podsecurity"})
"""The dialects of Kubernetes' own policies."""


def exempting_groups() -> Iterable[str]:
    """Return the API groups that are never judged, sorted: for webhook rules and for the docs."""
    return sorted(NEVER_GROUPS)
