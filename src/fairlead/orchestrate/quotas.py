"""How much of each ResourceQuota is in use.

Source: k8s.io/kubernetes/pkg/quota/v1/evaluator. Admission refuses what would exceed a quota; this only counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from fairlead.orchestrate import lives, namespaces, placements, proposing, volumes
from fairlead.orchestrate.steps import ANY, Controller, Step
from fairlead.tongues import quantities
from fairlead.words import Ref, Resource, View

KIND = ("", "ResourceQuota")
COUNTED: Mapping[str, tuple[str, str]] = {
    "pods": ("", "Pod"),
    "services": ("", "Service"),
    "replicationcontrollers": ("", "ReplicationController"),
    "resourcequotas": ("", "ResourceQuota"),
    "secrets": ("", "Secret"),
    "configmaps": ("", "ConfigMap"),
    "persistentvolumeclaims": ("", "PersistentVolumeClaim"),
}
COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage"})
CLASS_SUFFIX = ".storageclass.storage.k8s.io/"


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    del now
    quota = view.get(*KIND, ref.namespace, ref.name)
    if quota is None:
        return Step()
    hard = (quota.get("spec") or {}).get("hard") or {}
    used = {name: _used(view, quota, ref.namespace, name) for name in hard}
    return Step(proposing.status(quota, {"hard": dict(hard), "used": used}, "usage has changed"))


def _used(view: View, quota: Resource, namespace: str, name: str) -> str:
    pods = [
        pod for pod in view.list("", "Pod", namespace) if not lives.is_finished(pod) and _in_scope(quota, pod)
    ]
    if name == "pods":
        return str(len(pods))
    if name.startswith("count/"):
        return str(_count(view, namespace, name.removeprefix("count/")))
    if name in COUNTED:
        return str(len(view.list(*COUNTED[name], namespace)))
    if name in {"services.loadbalancers", "services.nodeports"}:
        return str(sum(_service(service, name) for service in view.list("", "Service", namespace)))
    if name == "requests.storage" or CLASS_SUFFIX in name:
        return _storage(view.list("", "PersistentVolumeClaim", namespace), name)
    if name.startswith(("requests.", "limits.")):
        field, _, resource = name.partition(".")
        return _sum(pods, field, resource)
    return _sum(pods, "requests", name)


def _count(view: View, namespace: str, plural: str) -> int:
    resource, _, group = plural.partition(".")
    return sum(
        len(view.list(*kind, namespace))
        for kind in view.kinds()
        if kind[0] == group and namespaces.plural(kind[1]) == resource
    )


def _service(service: Resource, name: str) -> int:
    spec = service.get("spec") or {}
    if name == "services.loadbalancers":
        return int(spec.get("type") == "LoadBalancer")
    if spec.get("type") not in {"NodePort", "LoadBalancer"}:
        return 0
    return sum(bool(port.get("nodePort")) for port in spec.get("ports") or ())


def _storage(claims: Sequence[Resource], name: str) -> str:
    chosen = list(claims)
    if CLASS_SUFFIX in name:
        wanted, _, what = name.partition(CLASS_SUFFIX)
        chosen = [claim for claim in claims if volumes.class_of(claim) == wanted]
        if what == "persistentvolumeclaims":
            return str(len(chosen))
    return quantities.total(
        *(
            str(asked["storage"])
            for claim in chosen
            if (asked := ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get(
                "storage"
            )
        )
    )


def _sum(pods: Iterable[Resource], field: str, resource: str) -> str:
    """Add up what pods ask for: containers together, or the hungriest init container, and overhead."""
    texts: list[str] = []
    for pod in pods:
        spec = pod.get("spec") or {}
        amount, form = _of_pod(spec, field, resource)
        if amount:
            texts.append(quantities.write(amount, form))
    return quantities.total(*texts)


def _of_pod(spec: Mapping[str, Any], field: str, resource: str) -> tuple[Fraction, quantities.Form]:
    form: quantities.Form = "DecimalSI"

    def asked(values: Mapping[str, Any] | None) -> Fraction:
        nonlocal form
        text = (values or {}).get(resource)
        if text is None:
            return Fraction(0)
        form = quantities.form_of(str(text))
        return quantities.parse(str(text))

    running = sum(
        (asked((item.get("resources") or {}).get(field)) for item in spec.get("containers") or ()),
        Fraction(0),
    )
    sidecars = Fraction(0)
    peak = Fraction(0)
    for item in spec.get("initContainers") or ():
        amount = asked((item.get("resources") or {}).get(field))
        if item.get("restartPolicy") == "Always":
            running += amount
            sidecars += amount
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + amount)
    return max(running, peak) + asked(spec.get("overhead")), form


def _in_scope(quota: Resource, pod: Resource) -> bool:
    spec = quota.get("spec") or {}
    simple = all(_scope(scope, pod) for scope in spec.get("scopes") or ())
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return simple and all(_expression(expression, pod) for expression in expressions)


def _is_best_effort(pod: Resource) -> bool:
    spec = pod.get("spec") or {}
    return not any(
        resource in COMPUTE
        for item in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
        for field in ("requests", "limits")
        for resource in (item.get("resources") or {}).get(field) or ()
    )


_SCOPES: Mapping[str, Callable[[Resource], bool]] = {
    "Terminating": lambda pod: pod["spec"].get("activeDeadlineSeconds") is not None,
    "NotTerminating": lambda pod: pod["spec"].get("activeDeadlineSeconds") is None,
    "BestEffort": _is_best_effort,
    "NotBestEffort": lambda pod: not _is_best_effort(pod),
    "PriorityClass": lambda pod: bool(pod["spec"].get("priorityClassName")),
    "CrossNamespacePodAffinity": lambda pod: any(
        term.get("namespaces") or term.get("namespaceSelector") is not None
        for side in ("podAffinity", "podAntiAffinity")
        for strength in ("required", "preferred")
        for entry in placements.terms(pod, side, strength)
        for term in (entry.get("podAffinityTerm") or entry,)
    ),
}


def _scope(name: str, pod: Resource) -> bool:
    check = _SCOPES.get(name)
    return check is not None and check(pod)


def _expression(expression: Mapping[str, Any], pod: Resource) -> bool:
    name = str(expression.get("scopeName"))
    operator = expression.get("operator")
    if name != "PriorityClass" or operator in {"Exists", "DoesNotExist"}:
        return _scope(name, pod) != (operator == "DoesNotExist")
    inside = pod["spec"].get("priorityClassName") in (expression.get("values") or ())
    return inside if operator == "In" else not inside


def _quotas_of(view: View, resource: Resource) -> Iterable[Ref]:
    if resource["kind"] in {"Event", "ResourceQuota", "Lease"}:
        return []
    namespace = resource["metadata"].get("namespace")
    return [Ref.of(quota) for quota in view.list(*KIND, namespace)] if namespace else []


QUOTAS = Controller(name="resourcequota", kind=KIND, reconcile=_reconcile, watches={ANY: _quotas_of})
