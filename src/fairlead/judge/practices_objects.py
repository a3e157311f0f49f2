"""Practices about objects that are not workloads: autoscalers, budgets, ingresses, ConfigMaps, roles and gateways.

Each looks at one object and says what is wrong with it. Knows nothing of severities and names.
"""

from __future__ import annotations

from typing import Final

from fairlead.judge.practices_containers import AWKWARD_NAME, PRIVATE_KEY
from fairlead.judge.practices_shapes import Fault, Thing
from fairlead.tongues.paths import Path, find, mapping, mappings, text, whole, words

_VERBS: Final = frozenset({"get", "list", "watch", "create", "update", "patch", "delete"})
_OWN_ROLES: Final = frozenset({"admin", "cluster-admin", "edit"})
_CALICO: Final = "gce:podsecuritypolicy:calico-sa"
_INSECURE: Final = "AllowInsecureFallback"


def hpa_minimum(thing: Thing) -> Fault | None:
    """An autoscaler keeps at least two replicas, where it states a minimum."""
    least = find(thing.content, ("spec", "minReplicas"))
    if not isinstance(least, int) or least >= 2:
        return None
    return Fault(f"may scale down to {least}", (("spec", "minReplicas"),), "minReplicas of 2 or more")


def hpa_range(thing: Thing) -> Fault | None:
    """An autoscaler has room between its minimum and its maximum."""
    most, least = (
        find(thing.content, ("spec", "maxReplicas")),
        whole(thing.content, "spec", "minReplicas", default=1),
    )
    if not isinstance(most, int) or most > least:
        return None
    told = f"has no room to scale: between {least} and {most} replicas"
    return Fault(told, (("spec", "maxReplicas"),), "maxReplicas over minReplicas")


def budget(thing: Thing) -> Fault | None:
    """A disruption budget lets at least one pod go."""
    for field, none in (("minAvailable", {"100%"}), ("maxUnavailable", {0, "0", "0%"})):
        value = find(thing.content, ("spec", field))
        if isinstance(value, int | str) and not isinstance(value, bool) and value in none:
            told = f"lets no pod go, so that no node can be drained ({field}: {value})"
            return Fault(told, (("spec", field),), "a budget that lets one pod go")
    return None


def ingress_tls(thing: Thing) -> Fault | None:
    """An Ingress has TLS."""
    if mappings(thing.content, "spec", "tls"):
        return None
    return Fault("serves without TLS", (("spec",),), "spec.tls with a certificate's secret")


def sensitive_config(thing: Thing) -> Fault | None:
    """A ConfigMap holds nothing that belongs in a Secret."""
    found = [
        key
        for key, value in mapping(thing.content, "data").items()
        if AWKWARD_NAME.search(key) or (isinstance(value, str) and PRIVATE_KEY.search(value))
    ]
    if not found:
        return None
    told = f"holds what may be secret ({', '.join(found)})"
    return Fault(told, tuple(("data", key) for key in found), "a Secret for it")


def _built_in(thing: Thing) -> bool:
    """Whether Kubernetes (or its hoster) made the role or binding for itself."""
    made = text(thing.content, "metadata", "labels", "kubernetes.io/bootstrapping")
    return bool(made) or thing.name.startswith("system:") or thing.name == _CALICO


def _grants(
    thing: Thing, resources: frozenset[str], groups: frozenset[str], verbs: frozenset[str]
) -> list[Path]:
    """Return the places of a role's rules that allow one of the verbs on one of the resources."""
    return [
        ("rules", index)
        for index, rule in mappings(thing.content, "rules")
        if groups & set(words(rule, "apiGroups"))
        and resources & set(words(rule, "resources"))
        and verbs & set(words(rule, "verbs"))
    ]


def exec_rights(thing: Thing) -> Fault | None:
    """No role lets people into running containers: pods/exec or pods/attach, to create or (by a web socket) to get."""
    if _built_in(thing) or (thing.kind == "ClusterRole" and thing.name in _OWN_ROLES):
        return None
    places = _grants(
        thing,
        frozenset({"*", "pods/exec", "pods/attach", "*/exec", "*/attach"}),
        frozenset({"", "*"}),
        frozenset({"*", "get", "create"}),
    )
    if not places:
        return None
    return Fault(
        "lets its holders run commands in any container (pods/exec, pods/attach)",
        tuple(places),
        "neither of the two",
    )


def all_rights(thing: Thing) -> Fault | None:
    """No role allows everything."""
    if _built_in(thing) or (thing.kind == "ClusterRole" and thing.name in _OWN_ROLES):
        return None
    places: list[Path] = [
        ("rules", index)
        for index, rule in mappings(thing.content, "rules")
        if "*" in words(rule, "apiGroups")
        and "*" in words(rule, "resources")
        and ("*" in words(rule, "verbs") or set(words(rule, "verbs")) >= _VERBS)
    ]
    return (
        Fault("allows everything", tuple(places), "the resources and verbs that are needed")
        if places
        else None
    )


def cluster_admin(thing: Thing) -> Fault | None:
    """Nobody is bound to the cluster-admin role."""
    if _built_in(thing) or (thing.kind == "ClusterRoleBinding" and thing.name == "cluster-admin"):
        return None
    role = mapping(thing.content, "roleRef")
    if role.get("kind") != "ClusterRole" or role.get("name") != "cluster-admin":
        return None
    told = "makes its subjects administrators of " + (
        "the cluster" if thing.kind == "ClusterRoleBinding" else "the namespace"
    )
    return Fault(told, (("roleRef", "name"),), "a role with the rights that are needed")


def _listeners(thing: Thing) -> list[tuple[Path, dict[str, object]]]:
    return [
        (("spec", "listeners", index), one) for index, one in mappings(thing.content, "spec", "listeners")
    ]


def gateway_routes(thing: Thing) -> Fault | None:
    """A Gateway's listeners do not take routes of every namespace."""
    places = [
        (*path, "allowedRoutes", "namespaces", "from")
        for path, one in _listeners(thing)
        if text(one, "allowedRoutes", "namespaces", "from") == "All"
    ]
    return (
        Fault("takes routes of every namespace", tuple(places), "from: Same or Selector") if places else None
    )


def gateway_certificates(thing: Thing) -> Fault | None:
    """A Gateway's listeners that end TLS have certificates."""
    places = [
        path
        for path, one in _listeners(thing)
        if text(one, "protocol") in {"HTTPS", "GRPC", "TLS"}
        and not (one.get("protocol") == "TLS" and text(one, "tls", "mode") == "Passthrough")
        and not mappings(one, "tls", "certificateRefs")
    ]
    return (
        Fault("has listeners that end TLS without a certificate", tuple(places), "tls.certificateRefs")
        if places
        else None
    )


def gateway_clients(thing: Thing) -> Fault | None:
    """A Gateway that asks clients for certificates does not serve those without a valid one."""
    front = ("spec", "tls", "frontend")
    places: list[Path] = []
    if text(thing.content, *front, "default", "validation", "mode") == _INSECURE:
        places.append((*front, "default", "validation", "mode"))
    for index, one in mappings(thing.content, *front, "perPort"):
        if text(one, "tls", "validation", "mode") == _INSECURE:
            places.append((*front, "perPort", index, "tls", "validation", "mode"))
    return (
        Fault("serves clients without a valid certificate", tuple(places), "mode: AllowValidOnly")
        if places
        else None
    )


def route_hosts(thing: Thing) -> Fault | None:
    """An HTTPRoute names its hosts."""
    hosts = find(thing.content, ("spec", "hostnames"))
    if not isinstance(hosts, list) or not hosts:
        return Fault("is for every host name", (("spec",),), "hostnames")
    wild: list[Path] = [("spec", "hostnames", index) for index, one in enumerate(hosts) if "*" in str(one)]
    return Fault("is for host names by a wildcard", tuple(wild), "hostnames without *") if wild else None


def backend_verification(thing: Thing) -> Fault | None:
    """A kgateway backend's certificate is verified."""
    path = ("spec", "tls", "insecureSkipVerify")
    if find(thing.content, path) is not True:
        return None
    return Fault(
        "does not verify the backend's certificate", (path,), "no insecureSkipVerify", ((path, False),)
    )
