"""Rights that a workload lacks, as its log shows, and the least that would give them: one rule, bound to its own account.

Read are the logs of pods that are not well. What was refused once and is granted by now is no trouble. Nothing wider than what was asked for is ever
proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from fairlead.diagnose.analyzers.crashes import log_need
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.denials import Denial, denials
from fairlead.diagnose.inventories import Inventory, Member, ready
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.proposing import Edit, delete, patch
from fairlead.diagnose.states import account
from fairlead.tongues.paths import mapping, mappings, text, whole, words
from fairlead.words import Change, Evidence, Fix, Ref, Resource, Severity

_RBAC = "rbac.authorization.k8s.io"
_MOST = 4
_OWN = frozenset({"kube-system", "kube-public", "kube-node-lease"})


def pod(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Rights that a pod which is not well was refused."""
    member = inventory.member(resource)
    if member is None or not _unwell(member):
        return
    heard: dict[Denial, str] = {}
    for container, _ in member.statuses():
        for previous in (False, True):
            log = inventory.answer(log_need(member, container.name, previous=previous))
            for denial, line in denials(log) if log else ():
                heard.setdefault(denial, line)
    mine = account(member.pod)
    for denial, line in list(heard.items())[:_MOST]:
        if denial.account == mine and allowed(inventory, denial) is False:
            yield _fact(inventory, member, denial, line)


def _unwell(member: Member) -> bool:
    return not ready(member.pod) or any(whole(status, "restartCount") > 0 for _, status in member.statuses())


def _fact(inventory: Inventory, member: Member, denial: Denial, line: str) -> Fact:
    bound = list(_bindings(inventory, denial.account, denial.where))
    missing = [one for one in bound if inventory.missing(_role(one))]
    near = _meant(inventory, denial) if not bound else None
    names = ", ".join(dict.fromkeys(str(_role(one)) for one in bound)) if bound else ""
    if missing:
        cause = f"{_role(missing[0])}, which {Ref.of(missing[0])} gives to it, does not exist."
    elif near is not None:
        cause = f"{Ref.of(near)} gives this to another account of a near name."
    elif names:
        cause = f"It has {names}, which does not include this."
    else:
        cause = "No binding gives it any rights here."
    because = [Ref.of(one) for one in (*missing, *((near,) if near is not None else ()))]
    fix = None if because else _started_anew(inventory, member, _remedy(inventory, denial, bound))
    return Fact(
        rule="rights.missing",
        subject=denial.account,
        detail=denial.key[2],
        message=f"may not {denial.what} {denial.place}, and {member.top.ref} needs to",
        cause=cause,
        evidence=(Evidence("log", member.ref, inventory.quote(line, member.ref)),),
        fixes=(fix,) if fix else (),
        because=(("account.missing", denial.account, ""), *because),
        confidence="likely",
    )


# Who may do what


def allowed(inventory: Inventory, denial: Denial) -> bool | None:
    """Say whether the account has the right by the roles and bindings that are here; None where they were not all seen."""
    kinds = ["ClusterRole", "ClusterRoleBinding"] + (["Role", "RoleBinding"] if denial.where else [])
    if not all(inventory.seen_all(_RBAC, kind) for kind in kinds):
        return None
    return any(
        _grants(rule, denial)
        for binding in _bindings(inventory, denial.account, denial.where)
        for _, rule in mappings(inventory.get(_role(binding)), "rules")
    )


def _role(binding: Resource) -> Ref:
    ref, role = Ref.of(binding), mapping(binding, "roleRef")
    kind = text(role, "kind")
    return Ref(_RBAC, kind, ref.namespace if kind == "Role" else "", text(role, "name"))


def _bindings(inventory: Inventory, who: Ref, where: str) -> Iterator[Resource]:
    """Each binding that names the account or a group that it is in, for the namespace or the whole cluster."""
    for one in inventory.of_kind(_RBAC, "ClusterRoleBinding"):
        if _names(one, who):
            yield one
    for one in inventory.of_kind(_RBAC, "RoleBinding", where) if where else ():
        if _names(one, who):
            yield one


def _names(binding: Resource, who: Ref) -> bool:
    groups = {"system:serviceaccounts", f"system:serviceaccounts:{who.namespace}", "system:authenticated"}
    own = Ref.of(binding).namespace
    for _, subject in mappings(binding, "subjects"):
        kind, name = text(subject, "kind"), text(subject, "name")
        if kind == "ServiceAccount" and (name, text(subject, "namespace") or own) == (
            who.name,
            who.namespace,
        ):
            return True
        if kind == "Group" and name in groups:
            return True
        if kind == "User" and name == f"system:serviceaccount:{who.namespace}:{who.name}":
            return True
    return False


def _grants(rule: Mapping[str, object], denial: Denial) -> bool:
    verbs = words(rule, "verbs")
    if denial.verb not in verbs and "*" not in verbs:
        return False
    if denial.path:
        return any(
            one in {"*", denial.path} or (one.endswith("*") and denial.path.startswith(one[:-1]))
            for one in words(rule, "nonResourceURLs")
        )
    groups, resources, only = words(rule, "apiGroups"), words(rule, "resources"), words(rule, "resourceNames")
    _, slash, sub = denial.resource.partition("/")
    fits = {denial.resource, "*"} | ({f"*/{sub}"} if slash else set())
    return (
        (denial.group in groups or "*" in groups)
        and not fits.isdisjoint(resources)
        and (not only or denial.name in only)
    )


def _meant(inventory: Inventory, denial: Denial) -> Resource | None:
    """Return a binding that would give the right, to an account of the same name elsewhere or of a near one."""
    found = []
    for one in inventory.of_kind(_RBAC, "RoleBinding", denial.where) if denial.where else ():
        rules = mappings(inventory.get(_role(one)), "rules")
        if not any(_grants(rule, denial) for _, rule in rules):
            continue
        for _, subject in mappings(one, "subjects"):
            name = text(subject, "name")
            space = text(subject, "namespace") or denial.where
            target = Ref("", "ServiceAccount", space, name)
            if text(subject, "kind") != "ServiceAccount" or not inventory.missing(target):
                continue
            if name == denial.account.name or nearest(name, [denial.account.name]):
                found.append(one)
    return found[0] if len(found) == 1 else None


# The least that gives the right


def _remedy(inventory: Inventory, denial: Denial, bound: Sequence[Resource]) -> Fix | None:
    """A rule more in the one Role that is the account's own, or a Role and a binding of their own."""
    if denial.path or "*" in {denial.verb, denial.resource, denial.group}:
        return None
    rule = {"apiGroups": [denial.group], "resources": [denial.resource], "verbs": [denial.verb]}
    title = f"let ServiceAccount {denial.account.name} {denial.what} {denial.place}"
    risk = f"Whoever runs as ServiceAccount {denial.account.name} may {denial.what} {denial.place}."
    own = [
        role
        for one in bound
        if Ref.of(one).namespace == denial.where != ""
        and (role := inventory.get(_role(one))) is not None
        and Ref.of(role).kind == "Role"
        and _alone(one, denial.account)
        and len([edge for edge in inventory.referrers(Ref.of(role)) if edge.relation == "role"]) == 1
    ]
    if len(own) == 1 and not any(rule.get("resourceNames") for _, rule in mappings(own[0], "rules")):
        rules = [*(own[0].get("rules") or ()), rule]
        return Fix(title=title, changes=(patch(own[0], [Edit(("rules",), rules)], title),), risk=risk)
    return Fix(title=title, changes=tuple(_fresh(inventory, denial, rule, title)), risk=risk)


def _started_anew(inventory: Inventory, member: Member, fix: Fix | None) -> Fix | None:
    """The fix, with the pods that crash made anew: else they wait for long before they try again."""
    if fix is None:
        return None
    broken = [
        one
        for one in inventory.crew(member.top.ref)
        if inventory.owner(one.pod) is not None and any(_crashed(status) for _, status in one.statuses())
    ]
    if not broken:
        return fix
    changes = [delete(one.pod, f"{member.top.ref} makes it anew, with the right") for one in broken]
    risk = f"{fix.risk} {len(broken)} pod(s) that crash are deleted, so that they start anew."
    return replace(fix, changes=(*fix.changes, *changes), risk=risk)


def _crashed(status: Mapping[str, object]) -> bool:
    return whole(status, "restartCount") > 0 or bool(mapping(status, "state", "terminated"))


def _alone(binding: Resource, who: Ref) -> bool:
    subjects = mappings(binding, "subjects")
    return len(subjects) == 1 and _names(binding, who)


def _fresh(inventory: Inventory, denial: Denial, rule: Mapping[str, object], why: str) -> Iterator[Change]:
    """A role with the one rule, and a binding of it to the account."""
    prefix = "" if denial.where else "Cluster"
    stem = f"{denial.account.name}-{denial.verb}-{denial.resource.replace('/', '-')}"
    if not denial.where:
        stem = f"{denial.account.namespace}-{stem}"
    name, number = stem, 2
    while inventory.get(Ref(_RBAC, f"{prefix}Role", denial.where, name)) is not None:
        name, number = f"{stem}-{number}", number + 1
    meta = {"name": name, **({"namespace": denial.where} if denial.where else {})}
    version = f"{_RBAC}/v1"
    subject = {"kind": "ServiceAccount", "name": denial.account.name, "namespace": denial.account.namespace}
    bodies: list[Resource] = [
        {"apiVersion": version, "kind": f"{prefix}Role", "metadata": meta, "rules": [dict(rule)]},
        {
            "apiVersion": version,
            "kind": f"{prefix}RoleBinding",
            "metadata": dict(meta),
            "roleRef": {"apiGroup": _RBAC, "kind": f"{prefix}Role", "name": name},
            "subjects": [subject],
        },
    ]
    for body in bodies:
        yield Change(verb="create", ref=Ref.of(body), api_version=version, body=body, why=why)


def binding(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A binding that gives a workload's account, or all of them, any verb or any resource."""
    ref = Ref.of(resource)
    meta = mapping(resource, "metadata")
    if ref.name.startswith("system:") or "kubernetes.io/bootstrapping" in mapping(meta, "labels"):
        return
    role = _role(resource)
    wide = next(
        (
            (index, rule)
            for index, rule in mappings(inventory.get(role), "rules")
            if ("*" in words(rule, "verbs") or "*" in words(rule, "resources")) and not _everything(rule)
        ),
        None,
    )
    who = [
        text(one, "name")
        for _, one in mappings(resource, "subjects")
        if text(one, "kind") == "ServiceAccount" or text(one, "name").startswith("system:serviceaccounts")
    ]
    if (
        wide is None
        or not who
        or ref.namespace in _OWN
        or all(_system(resource, one) for _, one in mappings(resource, "subjects"))
    ):
        return
    index, rule = wide
    field = "verbs" if "*" in words(rule, "verbs") else "resources"
    yield Fact(
        rule="rights.wide",
        subject=ref,
        severity=Severity.INFO,
        message=f"gives {', '.join(who)} all {field} of a rule of {role}",
        cause="Whoever gets into such a pod may do all of that too.",
        evidence=(inventory.field(role, ("rules", index, field), f'{field}: ["*"]'),),
        where=inventory.where(ref, ("roleRef",)),
    )


def _everything(rule: Mapping[str, object]) -> bool:
    """Say whether a rule has no bounds at all: that is told of bindings of all kinds of subjects."""
    return all("*" in words(rule, field) for field in ("apiGroups", "resources", "verbs"))


def _system(resource: Resource, subject: Mapping[str, object]) -> bool:
    """Say whether a subject lives where Kubernetes keeps its own."""
    return (text(subject, "namespace") or Ref.of(resource).namespace) in _OWN


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {("", "Pod"): pod}
ADVICE: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {
    (_RBAC, "RoleBinding"): binding,
    (_RBAC, "ClusterRoleBinding"): binding,
}
