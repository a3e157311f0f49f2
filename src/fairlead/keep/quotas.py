"""ResourceQuotas: what objects use, what a namespace has used, and the refusal of what would exceed it.

A create adds its use to the quota's status in the same write; deletes are counted by recounting (`recount`), which a
loop does when objects went away. Nothing here carries anything out.
Source: k8s.io/kubernetes pkg/quota/v1/evaluator/core and k8s.io/apiserver plugin/resourcequota.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

from fairlead.keep.entries import Storage
from fairlead.keep.limits import pod_total
from fairlead.keep.strategies import qos_class
from fairlead.tongues import quantities
from fairlead.words import Resource

if TYPE_CHECKING:
    from fairlead.keep.admitting import Admission

QUOTAS: Storage = ("", "resourcequotas")
Usage: TypeAlias = dict[str, Fraction]

_PODS: Storage = ("", "pods")
_COUNTED = frozenset({"configmaps", "replicationcontrollers", "resourcequotas", "secrets"})
_CLASS = ".storageclass.storage.k8s.io/"
_POD_NAMES = ("cpu", "memory", "ephemeral-storage")


def usage(storage: Storage, obj: Resource) -> Usage:
    """Return what one object counts for, by the names that a quota's `hard` uses."""
    group, plural = storage
    used: Usage = {f"count/{plural}.{group}" if group else f"count/{plural}": Fraction(1)}
    if storage == _PODS:
        if (obj.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            return used
        used["pods"] = Fraction(1)
        used.update(_pod_usage(obj["spec"]))
    elif storage == ("", "services"):
        used.update(_service_usage(obj["spec"]))
    elif storage == ("", "persistentvolumeclaims"):
        used.update(_claim_usage(obj))
    elif not group and plural in _COUNTED:
        used[plural] = Fraction(1)
    return used


def _pod_usage(spec: Resource) -> Usage:
    used: Usage = {}
    for name, value in pod_total(spec, "requests").items():
        amount = quantities.parse(value)
        used[f"requests.{name}"] = amount
        if name in _POD_NAMES or name.startswith("hugepages-"):
            used[name] = amount
    for name, value in pod_total(spec, "limits").items():
        if name in _POD_NAMES:
            used[f"limits.{name}"] = quantities.parse(value)
    return used


def _service_usage(spec: Resource) -> Usage:
    used = {"services": Fraction(1), "services.nodeports": Fraction(0), "services.loadbalancers": Fraction(0)}
    if spec.get("type") == "LoadBalancer":
        used["services.loadbalancers"] = Fraction(1)
    if spec.get("type") in {"NodePort", "LoadBalancer"}:
        used["services.nodeports"] = Fraction(
            sum(1 for port in spec.get("ports") or () if port.get("nodePort"))
        )
    return used


def _claim_usage(claim: Resource) -> Usage:
    spec = claim["spec"]
    used = {"persistentvolumeclaims": Fraction(1)}
    annotations = claim["metadata"].get("annotations") or {}
    name = annotations.get("volume.beta.kubernetes.io/storage-class") or spec.get("storageClassName")
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if asked is not None:
        used["requests.storage"] = quantities.parse(asked)
    if name:
        used[f"{name}{_CLASS}persistentvolumeclaims"] = Fraction(1)
        if asked is not None:
            used[f"{name}{_CLASS}requests.storage"] = quantities.parse(asked)
    return used


def covers(quota: Resource, storage: Storage, obj: Resource) -> bool:
    """Whether the quota's scopes include the object. Scopes only speak of pods."""
    spec = quota.get("spec") or {}
    demands = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    demands += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    if not demands:
        return True
    return storage == _PODS and all(_in_scope(obj["spec"], demand) for demand in demands)


def _in_scope(spec: Resource, demand: Resource) -> bool:
    match demand.get("scopeName"):
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return qos_class(spec) == "BestEffort"
        case "NotBestEffort":
            return qos_class(spec) != "BestEffort"
        case "CrossNamespacePodAffinity":
            return _crosses(spec)
        case "PriorityClass":
            name = spec.get("priorityClassName") or ""
            values = demand.get("values") or ()
            match demand.get("operator"):
                case "In":
                    return name in values
                case "NotIn":
                    return name not in values
                case "DoesNotExist":
                    return not name
            return bool(name)
    return False


def _crosses(spec: Resource) -> bool:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [
            weighted.get("podAffinityTerm") or {}
            for weighted in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def judge(admission: Admission) -> None:
    """Refuse a write that exceeds a quota of its namespace (403), and count what it uses."""
    storage = admission.kind.storage
    quotas = admission.store.head.items(QUOTAS, admission.namespace)
    if not quotas or (admission.operation == "UPDATE" and storage not in _CHANGING):
        return
    if storage == QUOTAS and admission.operation == "UPDATE":
        return
    used_now = usage(storage, admission.obj)
    used_before = usage(storage, admission.old) if admission.old is not None else {}
    for kept in quotas:
        quota = kept.object
        hard: dict[str, str] = (quota.get("spec") or {}).get("hard") or {}
        relevant = [name for name in sorted(hard) if name in used_now or _missing_name(storage, name)]
        if not relevant or not covers(quota, storage, admission.obj):
            continue
        if storage == _PODS and admission.operation == "CREATE":
            _demand(admission, quota, hard)
        delta = {
            name: used_now.get(name, Fraction(0)) - used_before.get(name, Fraction(0)) for name in relevant
        }
        if not any(delta.values()):
            continue
        status = quota.get("status") or {}
        if status.get("hard") != hard or set(status.get("used") or ()) != set(hard):
            status = recount(quota, lambda place: admission.items(place, admission.namespace))
        used: dict[str, str] = dict(status["used"])
        exceeded = [
            name
            for name in relevant
            if delta[name] > 0 and quantities.parse(used[name]) + delta[name] > quantities.parse(hard[name])
        ]
        if exceeded:
            asked = ",".join(f"{name}={_written(delta[name], hard[name], used[name])}" for name in exceeded)
            was = ",".join(f"{name}={used[name]}" for name in exceeded)
            limited = ",".join(f"{name}={hard[name]}" for name in exceeded)
            raise admission.forbid(
                f"exceeded quota: {quota['metadata']['name']}, requested: {asked}, used: {was}, limited: {limited}"
            )
        for name in relevant:
            if delta[name]:
                used[name] = _written(quantities.parse(used[name]) + delta[name], used[name], hard[name])
        quota["status"] = {**status, "used": used}
        admission.elsewhere.append((QUOTAS, quota, kept))


_CHANGING = frozenset({_PODS, ("", "services"), ("", "persistentvolumeclaims")})


def _missing_name(storage: Storage, name: str) -> bool:
    """Whether a quota on this name concerns pods that do not say how much of it they use."""
    return storage == _PODS and name.removeprefix("requests.").removeprefix("limits.") in _POD_NAMES


def _demand(admission: Admission, quota: Resource, hard: Mapping[str, str]) -> None:
    missing: dict[str, set[str]] = {}
    spec = admission.obj["spec"]
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        for name in hard:
            what, _, rest = name.partition(".")
            if what == "limits" and rest in _POD_NAMES:
                given = rest in (resources.get("limits") or {})
            elif name.removeprefix("requests.") in {"cpu", "memory"}:
                given = name.removeprefix("requests.") in (resources.get("requests") or {})
            else:
                continue
            if not given:
                missing.setdefault(name, set()).add(container.get("name") or "")
    if missing:
        text = "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
        raise admission.forbid(f"failed quota: {quota['metadata']['name']}: must specify {text}")


def recount(quota: Resource, items: Callable[[Storage], Iterable[Resource]]) -> dict[str, dict[str, str]]:
    """Return the quota's status, counted afresh. `items` gives the namespace's objects of a storage."""
    hard: dict[str, str] = dict((quota.get("spec") or {}).get("hard") or {})
    total: Usage = dict.fromkeys(hard, Fraction(0))
    for storage in sorted({place for name in hard for place in storages_of(name)}):
        for obj in items(storage):
            if covers(quota, storage, obj):
                for name, amount in usage(storage, obj).items():
                    if name in total:
                        total[name] += amount
    return {"hard": hard, "used": {name: _written(total[name], hard[name], "0") for name in hard}}


def storages_of(name: str) -> list[Storage]:
    """Return the storages whose objects count for a name in a quota's `hard`."""
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        return [(group, plural)]
    if name.startswith("services"):
        return [("", "services")]
    if name == "persistentvolumeclaims" or name.endswith("requests.storage") or _CLASS in name:
        return [("", "persistentvolumeclaims")]
    if name in _COUNTED:
        return [("", name)]
    return [_PODS]


def _written(amount: Fraction, *like: Any) -> str:
    for text in like:
        form = quantities.form_of(text)
        if form != "DecimalSI":
            return quantities.write(amount, form)
    return quantities.write(amount)
