"""Rights and identities: bindings that lead nowhere, and service accounts whose tokens or rights reach further than they seem to.

A binding to a role that does not exist gives no rights, whoever relies on them. The rest is hygiene. What Kubernetes makes for itself
(`system:` names, its own namespaces) is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fairlead.diagnose.analyzers.unused import RBAC, SYSTEM
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import labels, staying
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.proposing import Edit, anew
from fairlead.diagnose.references import TEMPLATES, Edge, edges
from fairlead.tongues.paths import mapping, text
from fairlead.words import Fix, Ref, Resource, Severity

_AUTOMOUNT = "automountServiceAccountToken"
_ROLE_NAME = ("roleRef", "name")


def _own(resource: Resource) -> bool:
    """Say whether Kubernetes made the binding for itself."""
    return Ref.of(resource).name.startswith("system:") or "kubernetes.io/bootstrapping" in labels(resource)


def role_of(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A binding of a role that does not exist."""
    ref = Ref.of(resource)
    if _own(resource) or not staying(resource):
        return
    for edge in edges(resource):
        if edge.relation == "role":
            yield from _role(inventory, resource, ref, edge)


def _role(inventory: Inventory, resource: Resource, ref: Ref, edge: Edge) -> Iterator[Fact]:
    target = edge.target
    misplaced = ref.kind == "ClusterRoleBinding" and target.kind == "Role"
    if not misplaced and inventory.get(target) is not None:
        return
    sure = misplaced or inventory.seen_all(target.group, target.kind)
    near = None if misplaced else nearest(target.name, inventory.names(target, ref), loose=inventory.live)
    if not sure and near is None:
        return
    fix = None
    if near is not None:
        title = f"bind {target.kind} {near}"
        changes = anew(resource, [Edit(_ROLE_NAME, near)], title)
        fix = Fix(
            title=title,
            changes=changes,
            risk="The binding is deleted and made again: Kubernetes does not let a roleRef change. Who is bound gets the role's rights.",
        )
    said = "does not exist" if sure else "is not among these files"
    if misplaced:
        said = "a ClusterRoleBinding cannot bind"
    cause = "Whoever is bound gets no rights by it."
    if near is not None:
        cause = f"{target.kind} {near} exists: probably that one is meant."
    yield Fact(
        rule="binding.role",
        subject=ref,
        detail=target.name,
        severity=Severity.WARNING,
        message=f"binds {target.kind} {target.name}, which {said}",
        cause=cause,
        evidence=(inventory.field(ref, edge.path, f"roleRef: {target.kind} {target.name}"),),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, edge.path),
        confidence="certain" if sure else "likely",
    )


def bound_accounts(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A binding that gives rights to a ServiceAccount that does not exist: whoever makes one of that name gets them."""
    ref = Ref.of(resource)
    if _own(resource) or not staying(resource):
        return
    for edge in edges(resource):
        target = edge.target
        if edge.relation != "account" or target.name == "default" or target.namespace in SYSTEM:
            continue
        if inventory.missing(target):
            yield Fact(
                rule="binding.account",
                subject=ref,
                detail=f"{target.namespace}/{target.name}",
                severity=Severity.INFO,
                message=f"gives rights to ServiceAccount {target.namespace}/{target.name}, which does not exist",
                cause="Whoever may make an account of that name gets these rights.",
                evidence=(inventory.field(ref, edge.path, f"subject: {target}"),),
                where=inventory.where(ref, edge.path),
            )


def account(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """An account that names Secrets that do not exist, hands its token to every pod, or, as the default one, has rights."""
    ref = Ref.of(resource)
    if not staying(resource) or ref.namespace in SYSTEM:
        return
    for edge in edges(resource):
        if edge.relation not in {"secret", "pull-secret"} or not inventory.missing(edge.target):
            continue
        pulls = edge.relation == "pull-secret"
        yield Fact(
            rule="account.pull" if pulls else "account.secret",
            subject=ref,
            detail=edge.target.name,
            severity=Severity.INFO,
            message=f"names {'pull secret' if pulls else 'Secret'} {edge.target.name}, which does not exist",
            cause="Images are pulled without it: what is private cannot be." if pulls else "",
            evidence=(inventory.field(ref, edge.path, f"names Secret {edge.target.name}"),),
            where=inventory.where(ref, edge.path),
        )
    if resource.get(_AUTOMOUNT) is True:
        yield Fact(
            rule="account.token",
            subject=ref,
            severity=Severity.INFO,
            message="hands its token to every pod that runs as it",
            cause="A pod that does not talk to the API server needs none.",
            evidence=(inventory.field(ref, (_AUTOMOUNT,), f"{_AUTOMOUNT}: true"),),
            where=inventory.where(ref, (_AUTOMOUNT,)),
        )
    if ref.name == "default" and inventory.live:
        yield from _shared(inventory, ref)


def _shared(inventory: Inventory, ref: Ref) -> Iterator[Fact]:
    """The default account has rights: every pod of the namespace that names no account has them too."""
    for edge in inventory.referrers(ref):
        if edge.relation != "account" or edge.source.kind not in {"RoleBinding", "ClusterRoleBinding"}:
            continue
        role = mapping(inventory.get(edge.source), "roleRef")
        yield Fact(
            rule="account.bound",
            subject=ref,
            severity=Severity.INFO,
            message=f"has the rights of {text(role, 'kind')} {text(role, 'name')}, and with it every pod that names no account",
            cause="An account of its own for what needs the rights keeps them from everything else.",
            evidence=(inventory.field(edge.source, edge.path, f"{edge.source} binds it"),),
            where=inventory.where(edge.source, edge.path),
        )


def runner(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What makes pods and runs as the default account of its namespace, while that has rights: only ever a symptom."""
    template = inventory.template_of(resource)
    if template is None or inventory.owner(resource) is not None or not staying(resource):
        return
    spec, ref = template.spec, template.ref
    name = text(spec, "serviceAccountName") or text(spec, "serviceAccount") or "default"
    if name != "default" or not inventory.live:
        return
    yield Fact(
        rule="account.shared",
        subject=ref,
        message="runs as the default account of its namespace",
        severity=Severity.INFO,
        because=(("account.bound", Ref("", "ServiceAccount", ref.namespace, name), ""),),
        weak=True,
    )


Look = Callable[[Inventory, Resource], Iterator[Fact]]
UNITS: Mapping[tuple[str, str], Look] = {
    (RBAC, "RoleBinding"): role_of,
    (RBAC, "ClusterRoleBinding"): role_of,
}
"""What is asked of each object of a kind."""
ADVICE: Mapping[tuple[str, str], Look] = {
    (RBAC, "RoleBinding"): bound_accounts,
    (RBAC, "ClusterRoleBinding"): bound_accounts,
    ("", "ServiceAccount"): account,
    **dict.fromkeys(TEMPLATES, runner),
}
"""What is asked of each object of a kind, where advice is wanted."""
