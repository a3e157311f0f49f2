"""Access decisions over the cluster's own roles and bindings, compiled again only after they changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fairlead.keep.authorizing import MASTERS, RBAC_GROUP, Decision, Policies, Question, Rule, refusal
from fairlead.keep.entries import Stored
from fairlead.keep.errors import forbidden
from fairlead.keep.worlds import World
from fairlead.words import Resource

_PLURALS = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")


class Access:
    """Asks the policies of the moment."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stamp: tuple[object, ...] | None = None
        self._seen = -1
        self._policies = Policies()

    @property
    def policies(self) -> Policies:
        """The policies as they are now."""
        if self._seen == self._world.rv:
            return self._policies
        self._seen = self._world.rv
        stamp = tuple(tuple(item.rv for item in self._stored(plural)) for plural in _PLURALS)
        if stamp != self._stamp:
            roles, cluster_roles, bindings, cluster_bindings = (self._objects(plural) for plural in _PLURALS)
            self._policies = Policies(
                roles=roles,
                cluster_roles=cluster_roles,
                role_bindings=bindings,
                cluster_role_bindings=cluster_bindings,
            )
            self._stamp = stamp
        return self._policies

    def _stored(self, plural: str) -> Iterable[Stored]:
        return self._world.stored((RBAC_GROUP, plural))

    def _objects(self, plural: str) -> list[Resource]:
        return [item.object for item in self._stored(plural)]

    def decide(self, question: Question) -> Decision:
        """Answer one question."""
        if MASTERS in question.user.groups:
            return Decision(True)
        return self.policies.decide(question)

    def require(self, question: Question) -> Decision:
        """Return the decision when the question's answer is yes; else raise the 403 Refusal."""
        decision = self.decide(question)
        if not decision.allowed:
            raise refusal(question, decision)
        return decision

    def guard_grant(self, question: Question, body: Resource) -> None:
        """Refuse (403) a role or binding by which the caller would give away more than they have.

        Whoever may `escalate` roles or `bind` a role may do so all the same, as in Kubernetes.
        """
        user, namespace = question.user, question.namespace
        if MASTERS in user.groups or question.group != RBAC_GROUP:
            return
        if question.resource in {"roles", "clusterroles"}:
            wanted = body.get("rules") or ()
            if body.get("aggregationRule"):
                wanted = [*wanted, {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
            pardon = replace(question, verb="escalate")
        elif question.resource in {"rolebindings", "clusterrolebindings"}:
            ref = body.get("roleRef") or {}
            kind, name = str(ref.get("kind") or ""), str(ref.get("name") or "")
            wanted = self.policies.role_rules(kind, namespace, name)
            resource = "clusterroles" if kind == "ClusterRole" else "roles"
            pardon = replace(question, verb="bind", resource=resource, name=name)
        else:
            return
        if self.decide(pardon).allowed:
            return
        lacking = self.policies.uncovered(user, namespace, wanted)
        if lacking:
            name = question.name or str((body.get("metadata") or {}).get("name") or "")
            groups = ", ".join(f'"{group}"' for group in user.groups)
            raise forbidden(
                question.group,
                question.resource,
                name,
                f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
                + "\n".join(sorted(_compact(rule) for rule in lacking)),
            )


def _compact(rule: Rule) -> str:
    """Return a rule as Kubernetes prints it: `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}`."""
    names = {
        "apiGroups": "APIGroups",
        "resources": "Resources",
        "resourceNames": "ResourceNames",
        "nonResourceURLs": "NonResourceURLs",
        "verbs": "Verbs",
    }
    parts = [
        f"{title}:[" + ", ".join(f'"{value}"' for value in rule[key]) + "]"
        for key, title in names.items()
        if rule.get(key)
    ]
    return "{" + ", ".join(parts) + "}"
