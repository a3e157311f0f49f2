"""LimitRanges: the defaults that they give to containers, and what they refuse.

Nothing here counts what a namespace uses as a whole; see `quotas`.
Source: k8s.io/kubernetes plugin/pkg/admission/limitranger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from fairlead.tongues import quantities
from fairlead.words import Resource

if TYPE_CHECKING:
    from fairlead.keep.admitting import Admission

_RANGES = ("", "limitranges")
_PODS = ("", "pods")
_CLAIMS = ("", "persistentvolumeclaims")


def fill_pod(admission: Admission) -> None:
    """Give the pod's containers the namespace's default requests and limits."""
    for limit_range in admission.items(_RANGES, admission.namespace):
        for limit in (limit_range.get("spec") or {}).get("limits") or ():
            if limit.get("type") == "Container":
                _fill(admission.obj, limit)


def _fill(pod: Resource, limit: Resource) -> None:
    spec = pod["spec"]
    notes = []
    for field, what in (("initContainers", "init container"), ("containers", "container")):
        for container in spec.get(field) or ():
            resources = container.setdefault("resources", {})
            for source, target in (("defaultRequest", "requests"), ("default", "limits")):
                given = resources.get(target) or {}
                missing = {key: value for key, value in (limit.get(source) or {}).items() if key not in given}
                if missing:
                    resources[target] = {**given, **missing}
                    named = ", ".join(sorted(missing))
                    kind = "request" if target == "requests" else "limit"
                    notes.append(f"{named} {kind} for {what} {container.get('name')}")
    if notes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations["kubernetes.io/limit-ranger"] = "LimitRanger plugin set: " + "; ".join(notes)


def judge(admission: Admission) -> None:
    """Refuse a pod or a claim that is outside of a LimitRange of its namespace (403)."""
    storage = admission.kind.storage
    if storage not in {_PODS, _CLAIMS} or (storage == _PODS and admission.operation == "UPDATE"):
        return
    for limit_range in admission.items(_RANGES, admission.namespace):
        problems: list[str] = []
        for limit in (limit_range.get("spec") or {}).get("limits") or ():
            if storage == _PODS:
                problems += _pod_problems(admission.obj, limit)
            elif limit.get("type") == "PersistentVolumeClaim":
                requests = (admission.obj["spec"].get("resources") or {}).get("requests") or {}
                problems += _claim_problems(limit, requests)
        if problems:
            unique = list(dict.fromkeys(problems))
            raise admission.forbid(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")


def _pod_problems(pod: Resource, limit: Resource) -> Iterator[str]:
    spec = pod["spec"]
    kind = limit.get("type")
    if kind == "Container":
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
            resources = container.get("resources") or {}
            yield from _problems(
                "Container", limit, resources.get("requests") or {}, resources.get("limits") or {}
            )
    elif kind == "Pod":
        yield from _problems("Pod", limit, pod_total(spec, "requests"), pod_total(spec, "limits"))


def _claim_problems(limit: Resource, requests: dict[str, Any]) -> Iterator[str]:
    for name, bound in (limit.get("min") or {}).items():
        yield from _below("PersistentVolumeClaim", name, bound, requests, {})
    for name, bound in (limit.get("max") or {}).items():
        asked = requests.get(name)
        if asked is None:
            yield f"maximum {name} usage per PersistentVolumeClaim is {bound}.  No request is specified"
        elif quantities.compare(asked, bound) > 0:
            yield f"maximum {name} usage per PersistentVolumeClaim is {bound}, but request is {asked}"


def _problems(kind: str, limit: Resource, requests: dict[str, Any], limits: dict[str, Any]) -> Iterator[str]:
    for name, bound in (limit.get("min") or {}).items():
        yield from _below(kind, name, bound, requests, limits)
    for name, bound in (limit.get("max") or {}).items():
        most, asked = limits.get(name), requests.get(name)
        if most is None:
            yield f"maximum {name} usage per {kind} is {bound}.  No limit is specified"
        elif quantities.compare(most, bound) > 0:
            yield f"maximum {name} usage per {kind} is {bound}, but limit is {_shown(most)}"
        elif asked is not None and quantities.compare(asked, bound) > 0:
            yield f"maximum {name} usage per {kind} is {bound}, but request is {_shown(asked)}"
    for name, bound in (limit.get("maxLimitRequestRatio") or {}).items():
        most, asked = limits.get(name), requests.get(name)
        if asked is None or quantities.parse(asked) == 0:
            yield f"{name} max limit to request ratio per {kind} is {bound}, but no request is specified or request is 0"
        elif most is None or quantities.parse(most) == 0:
            yield f"{name} max limit to request ratio per {kind} is {bound}, but no limit is specified or limit is 0"
        else:
            ratio = quantities.parse(most) / quantities.parse(asked)
            if ratio > quantities.parse(bound):
                yield (
                    f"{name} max limit to request ratio per {kind} is {bound}, "
                    f"but provided ratio is {float(ratio):.6f}"
                )


def _below(
    kind: str, name: str, bound: str, requests: dict[str, Any], limits: dict[str, Any]
) -> Iterator[str]:
    asked, most = requests.get(name), limits.get(name)
    if asked is None:
        yield f"minimum {name} usage per {kind} is {bound}.  No request is specified"
    elif quantities.compare(asked, bound) < 0:
        yield f"minimum {name} usage per {kind} is {bound}, but request is {_shown(asked)}"
    elif most is not None and quantities.compare(most, bound) < 0:
        yield f"minimum {name} usage per {kind} is {bound}, but limit is {_shown(most)}"


def _shown(value: Any) -> str:
    return str(value)


def pod_total(spec: Resource, what: str) -> dict[str, str]:
    """Return a pod's total requests or limits by resource: containers summed, or the largest init container.

    Restartable init containers (sidecars) count with the containers and with every init container after them.
    Overhead is added where the pod asks for the resource at all.
    """
    total: dict[str, Fraction] = {}
    forms: dict[str, str] = {}
    for container in spec.get("containers") or ():
        _add(total, forms, _amounts(container, what))
    sidecars: dict[str, Fraction] = {}
    peak: dict[str, Fraction] = {}
    for container in spec.get("initContainers") or ():
        amounts = _amounts(container, what)
        if container.get("restartPolicy") == "Always":
            _add(total, forms, amounts)
            _add(sidecars, forms, amounts)
            moment = sidecars
        else:
            moment = dict(sidecars)
            _add(moment, forms, amounts)
        for name, amount in moment.items():
            peak[name] = max(peak.get(name, Fraction(0)), amount)
    for name, amount in peak.items():
        total[name] = max(total.get(name, Fraction(0)), amount)
    for name, value in (spec.get("overhead") or {}).items():
        if what == "requests" or name in total:
            total[name] = total.get(name, Fraction(0)) + quantities.parse(value)
            forms.setdefault(name, value)
    return {name: quantities.write(amount, quantities.form_of(forms[name])) for name, amount in total.items()}


def _amounts(container: Resource, what: str) -> Iterable[tuple[str, Any]]:
    resources = container.get("resources") or {}
    return (resources.get(what) or {}).items()


def _add(total: dict[str, Fraction], forms: dict[str, str], amounts: Iterable[tuple[str, Any]]) -> None:
    for name, value in amounts:
        total[name] = total.get(name, Fraction(0)) + quantities.parse(value)
        forms.setdefault(name, value)
