"""Who may do what: role-based access control over the cluster's own roles and bindings.

`Policies` is compiled from the four RBAC kinds and then answers questions; it never reads the store and keeps
nothing between questions. There is no rule here for a program of fairlead's own except the node's, which
Kubernetes itself treats apart.
Source: k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac, pkg/registry/rbac/validation, and the texts of
k8s.io/apiserver/pkg/endpoints/handlers/responsewriters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from fairlead.keep.errors import Refusal, forbidden
from fairlead.tongues import selectors
from fairlead.words import Resource, User

MASTERS = "system:masters"
NODES = "system:nodes"
NODE_PREFIX = "system:node:"
ACCOUNT_PREFIX = "system:serviceaccount:"
RBAC_GROUP = "rbac.authorization.k8s.io"

Rule: TypeAlias = Mapping[str, Any]
"""A PolicyRule: verbs, and apiGroups + resources (+ resourceNames) or nonResourceURLs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May this user do this? Either `resource` (with its group, namespace, name) or `path` is set.

    An empty namespace means the cluster scope, or all namespaces. `subresource` is "log" for pods/log.
    """

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """`pods/log`, or `pods`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and the reason as Kubernetes words it (may be empty when nothing allowed it)."""

    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Binding:
    role_kind: str
    role: str
    namespace: str
    subject: str
    text: str


class Policies:
    """The rules of one moment: roles and bindings, indexed by whom they concern."""

    def __init__(
        self,
        *,
        roles: Iterable[Resource] = (),
        cluster_roles: Iterable[Resource] = (),
        role_bindings: Iterable[Resource] = (),
        cluster_role_bindings: Iterable[Resource] = (),
    ) -> None:
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        for role in roles:
            meta = role["metadata"]
            self._roles[meta["namespace"], meta["name"]] = _rules(role)
        self._cluster_roles = aggregated(cluster_roles)
        self._bindings: dict[tuple[str, str], list[_Binding]] = {}
        for binding in cluster_role_bindings:
            self._bind(binding, "")
        for binding in role_bindings:
            self._bind(binding, binding["metadata"]["namespace"])

    def _bind(self, binding: Resource, namespace: str) -> None:
        name = binding["metadata"]["name"]
        ref = binding.get("roleRef") or {}
        title = f'RoleBinding "{name}/{namespace}"' if namespace else f'ClusterRoleBinding "{name}"'
        for subject in binding.get("subjects") or ():
            kind = subject.get("kind", "")
            who = subject.get("name", "")
            shown = who
            if kind == "ServiceAccount":
                place = subject.get("namespace") or namespace
                if not place:
                    continue
                shown = f"{who}/{place}"
                who = f"{ACCOUNT_PREFIX}{place}:{who}"
            role_kind, role = ref.get("kind", ""), ref.get("name", "")
            text = f'{title} of {role_kind} "{role}" to {kind} "{shown}"'
            index = ("Group" if kind == "Group" else "User", who)
            self._bindings.setdefault(index, []).append(_Binding(role_kind, role, namespace, who, text))

    def _applying(self, user: User, namespace: str) -> Iterator[_Binding]:
        for index in (("User", user.name), *(("Group", group) for group in user.groups)):
            for binding in self._bindings.get(index, ()):
                if not binding.namespace or binding.namespace == namespace:
                    yield binding

    def bound(self, user: User) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the roles (`namespace:name`) and the cluster roles that any binding gives to the user."""
        roles: dict[str, None] = {}
        cluster_roles: dict[str, None] = {}
        for index in (("User", user.name), *(("Group", group) for group in user.groups)):
            for binding in self._bindings.get(index, ()):
                if binding.role_kind == "ClusterRole":
                    cluster_roles[binding.role] = None
                else:
                    roles[f"{binding.namespace}:{binding.role}"] = None
        return tuple(roles), tuple(cluster_roles)

    def _bound_rules(self, binding: _Binding) -> tuple[Rule, ...] | None:
        if binding.role_kind == "ClusterRole":
            return self._cluster_roles.get(binding.role)
        return self._roles.get((binding.namespace, binding.role))

    def decide(self, question: Question) -> Decision:
        """Answer the question. Members of system:masters may do everything; a node may do what nodes do."""
        user = question.user
        if MASTERS in user.groups:
            return Decision(True)
        if _node_may(question):
            return Decision(True)
        missing: list[str] = []
        for binding in self._applying(user, question.namespace):
            rules = self._bound_rules(binding)
            if rules is None:
                kind = "clusterrole" if binding.role_kind == "ClusterRole" else "role"
                missing.append(f'{kind}.{RBAC_GROUP} "{binding.role}" not found')
            elif any(allows(rule, question) for rule in rules):
                return Decision(True, f"RBAC: allowed by {binding.text}")
        if not missing:
            return Decision(False)
        told = list(dict.fromkeys(missing))
        return Decision(False, f"RBAC: {told[0] if len(told) == 1 else '[' + ', '.join(told) + ']'}")

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """Return every rule that applies to the user in a namespace ("" for the cluster scope)."""
        found: list[Rule] = []
        if MASTERS in user.groups:
            found += [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        if _is_node(user):
            found.extend(NODE_RULES)
        for binding in self._applying(user, namespace):
            found.extend(rule for rule in self._bound_rules(binding) or () if rule not in found)
        return found

    def role_rules(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...]:
        """Return the rules of a Role or ClusterRole, aggregation included; none for one that is not there."""
        if kind == "ClusterRole":
            return self._cluster_roles.get(name, ())
        return self._roles.get((namespace, name), ())

    def uncovered(self, user: User, namespace: str, wanted: Iterable[Rule]) -> list[Rule]:
        """Return the parts of wanted rules that the user does not have: what granting them would escalate."""
        if MASTERS in user.groups:
            return []
        held = self.rules(user, namespace)
        return [piece for rule in wanted for piece in _pieces(rule) if not _covered(piece, held)]


def aggregated(cluster_roles: Iterable[Resource]) -> dict[str, tuple[Rule, ...]]:
    """Return each ClusterRole's rules; one with an aggregationRule gets those of the roles that it selects."""
    roles = list(cluster_roles)
    plain = {role["metadata"]["name"]: _rules(role) for role in roles}
    result = dict(plain)
    for role in roles:
        if not role.get("aggregationRule"):
            continue
        name = role["metadata"]["name"]
        result[name] = _gather(role, roles, frozenset())
    return result


def _gather(role: Resource, roles: Sequence[Resource], seen: frozenset[str]) -> tuple[Rule, ...]:
    name = role["metadata"]["name"]
    wanted = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    if not wanted or name in seen:
        return _rules(role)
    gathered: list[Rule] = []
    for other in sorted(roles, key=lambda one: str(one["metadata"]["name"])):
        labels = other["metadata"].get("labels") or {}
        if other["metadata"]["name"] != name and any(_selects(selector, labels) for selector in wanted):
            gathered.extend(rule for rule in _gather(other, roles, seen | {name}) if rule not in gathered)
    return tuple(gathered)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    try:
        return selectors.from_object(selector).matches(labels)
    except ValueError:
        return False


def _rules(role: Resource) -> tuple[Rule, ...]:
    return tuple(role.get("rules") or ())


def allows(rule: Rule, question: Question) -> bool:
    """Whether one PolicyRule covers the question."""
    verbs = rule.get("verbs") or ()
    if "*" not in verbs and question.verb not in verbs:
        return False
    if not question.resource:
        return any(_path_matches(pattern, question.path) for pattern in rule.get("nonResourceURLs") or ())
    groups = rule.get("apiGroups") or ()
    if "*" not in groups and question.group not in groups:
        return False
    names = rule.get("resourceNames") or ()
    if names and question.name not in names:
        return False
    return any(
        _resource_matches(wanted, question.resource, question.subresource)
        for wanted in rule.get("resources") or ()
    )


def _resource_matches(wanted: str, resource: str, subresource: str) -> bool:
    if wanted == "*":
        return True
    if not subresource:
        return wanted == resource
    return wanted in {f"{resource}/{subresource}", f"*/{subresource}"}


def _path_matches(pattern: str, path: str) -> bool:
    if pattern in {"*", path}:
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def _pieces(rule: Rule) -> Iterator[Rule]:
    for verb in rule.get("verbs") or ():
        for url in rule.get("nonResourceURLs") or ():
            yield {"verbs": [verb], "nonResourceURLs": [url]}
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                piece = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                names = rule.get("resourceNames") or ()
                for name in names:
                    yield {**piece, "resourceNames": [name]}
                if not names:
                    yield piece


def _covered(piece: Rule, held: Iterable[Rule]) -> bool:
    return any(_covers(rule, piece) for rule in held)


def _covers(rule: Rule, piece: Rule) -> bool:
    if not _has(rule.get("verbs"), piece["verbs"][0]):
        return False
    if "nonResourceURLs" in piece:
        url = piece["nonResourceURLs"][0]
        return any(_path_matches(pattern, url) for pattern in rule.get("nonResourceURLs") or ())
    names = rule.get("resourceNames") or ()
    if names and (piece.get("resourceNames") or [None])[0] not in names:
        return False
    resource, _, subresource = piece["resources"][0].partition("/")
    return _has(rule.get("apiGroups"), piece["apiGroups"][0]) and any(
        _resource_matches(wanted, resource, subresource) for wanted in rule.get("resources") or ()
    )


def _has(values: Sequence[str] | None, wanted: str) -> bool:
    return values is not None and ("*" in values or wanted in values)


_READ = ["get", "list", "watch"]
NODE_RULES: tuple[Rule, ...] = (
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"]},
    {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["subjectaccessreviews", "localsubjectaccessreviews"],
    },
    {"verbs": ["create", *_READ], "apiGroups": [""], "resources": ["nodes"]},
    {"verbs": ["update", "patch", "delete"], "apiGroups": [""], "resources": ["nodes", "nodes/status"]},
    {"verbs": [*_READ, "create", "delete"], "apiGroups": [""], "resources": ["pods"]},
    {"verbs": ["update", "patch"], "apiGroups": [""], "resources": ["pods/status"]},
    {"verbs": ["create"], "apiGroups": [""], "resources": ["pods/eviction", "serviceaccounts/token"]},
    {
        "verbs": _READ,
        "apiGroups": [""],
        "resources": [
            "services",
            "endpoints",
            "secrets",
            "configmaps",
            "serviceaccounts",
            "persistentvolumeclaims",
            "persistentvolumes",
            "namespaces",
            "resourcequotas",
        ],
    },
    {
        "verbs": ["get", "create", "update", "patch"],
        "apiGroups": ["", "events.k8s.io"],
        "resources": ["events"],
    },
    {
        "verbs": ["create", *_READ, "update", "patch", "delete"],
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
    },
    {
        "verbs": ["create", *_READ, "update", "patch", "delete"],
        "apiGroups": ["storage.k8s.io"],
        "resources": ["csinodes"],
    },
    {"verbs": _READ, "apiGroups": ["storage.k8s.io"], "resources": ["csidrivers", "volumeattachments"]},
    {"verbs": _READ, "apiGroups": ["node.k8s.io"], "resources": ["runtimeclasses"]},
    {"verbs": _READ, "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"]},
    {"verbs": _READ, "apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"]},
    {
        "verbs": ["get"],
        "nonResourceURLs": [
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/openapi",
            "/openapi/*",
            "/healthz",
            "/version",
        ],
    },
)
"""What a node's own credentials allow. A node changes only the Node object of its own name."""


def _is_node(user: User) -> bool:
    return NODES in user.groups and user.name.startswith(NODE_PREFIX)


def _node_may(question: Question) -> bool:
    if not _is_node(question.user) or not any(allows(rule, question) for rule in NODE_RULES):
        return False
    if question.resource == "nodes" and question.verb in {"update", "patch", "delete"}:
        return question.name == question.user.name.removeprefix(NODE_PREFIX)
    return True


def refusal(question: Question, decision: Decision) -> Refusal:
    """The 403 that tells a caller what they may not do, in Kubernetes' words."""
    user = question.user.name
    if not question.resource:
        why = f'User "{user}" cannot {question.verb} path "{question.path}"'
        if decision.reason:
            why += f": {decision.reason}"
        return Refusal(403, "Forbidden", f"forbidden: {why}", {})
    scope = f'in the namespace "{question.namespace}"' if question.namespace else "at the cluster scope"
    why = (
        f'User "{user}" cannot {question.verb} resource "{question.full_resource}" '
        f'in API group "{question.group}" {scope}'
    )
    if decision.reason:
        why += f": {decision.reason}"
    return forbidden(question.group, question.resource, question.name, why)
