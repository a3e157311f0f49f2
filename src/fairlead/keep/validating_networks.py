"""What Kubernetes refuses in Services, Ingresses, network policies and endpoints.

Reads defaulted objects, changes nothing. Sources: kubernetes/pkg/apis/{core,networking,discovery}/validation.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from fairlead.keep import validating_values as v
from fairlead.keep.validating_containers import port_or_name
from fairlead.keep.validating_values import Causes
from fairlead.tongues import selectors
from fairlead.words import Resource

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")


def service(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a Service, and with the way it changes."""
    spec = obj.get("spec", {})
    kind = spec.get("type", "")
    headless = spec.get("clusterIP") == "None"
    causes: Causes = []
    if kind not in _TYPES:
        causes += v.one_of(kind, "spec.type", _TYPES)
    ports = spec.get("ports", ())
    if not ports and not headless and kind != "ExternalName":
        causes.append(v.required("spec.ports"))
    if kind == "LoadBalancer" and headless:
        text = "may not be set to 'None' for LoadBalancer services"
        causes.append(v.invalid("spec.clusterIPs[0]", "None", text))
    if kind == "NodePort" and headless:
        text = "may not be set to 'None' for NodePort services"
        causes.append(v.invalid("spec.clusterIPs[0]", "None", text))
    if kind == "ExternalName":
        if spec.get("clusterIP"):
            causes.append(v.forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
        name = spec.get("externalName", "").removesuffix(".")
        if not name:
            causes.append(v.required("spec.externalName"))
        else:
            causes += [v.invalid("spec.externalName", spec["externalName"], f) for f in v.subdomain(name)]
    causes += _service_ports(ports, kind)
    causes += v.label_map(spec.get("selector"), "spec.selector")
    causes += v.one_of(spec.get("sessionAffinity"), "spec.sessionAffinity", ("ClientIP", "None"))
    timeout = spec.get("sessionAffinityConfig", {}).get("clientIP", {}).get("timeoutSeconds")
    if timeout is not None and not 0 < timeout <= 86400:
        place = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        causes.append(v.invalid(place, timeout, "must be greater than 0 and less than 86400"))
    if spec.get("clusterIP") and not headless:
        causes += v.address(spec["clusterIP"], "spec.clusterIPs[0]")
    for index, text in enumerate(spec.get("externalIPs", ())):
        causes += v.address(text, f"spec.externalIPs[{index}]")
    for index, text in enumerate(spec.get("loadBalancerSourceRanges", ())):
        causes += v.cidr(text, f"spec.loadBalancerSourceRanges[{index}]")
    for name in ("externalTrafficPolicy", "internalTrafficPolicy"):
        if spec.get(name) and spec[name] not in {"Cluster", "Local"}:
            causes.append(v.not_supported(f"spec.{name}", spec[name], ("Cluster", "Local")))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in {"SingleStack", "PreferDualStack", "RequireDualStack"}:
        supported = ("PreferDualStack", "RequireDualStack", "SingleStack")
        causes.append(v.not_supported("spec.ipFamilyPolicy", policy, supported))
    return causes + (_service_update(spec, old.get("spec", {})) if old is not None else [])


def _service_ports(ports: Any, kind: str) -> Causes:
    causes: Causes = []
    names: set[str] = set()
    pairs: set[tuple[Any, Any]] = set()
    outside: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        place = f"spec.ports[{index}]"
        name = port.get("name", "")
        if not name:
            if len(ports) > 1:
                causes.append(v.required(f"{place}.name"))
        else:
            causes += [v.invalid(f"{place}.name", name, fault) for fault in v.label(name)]
            if name in names:
                causes.append(v.duplicate(f"{place}.name", name))
            names.add(name)
        number, protocol = port.get("port", 0), port.get("protocol", "")
        causes += [v.invalid(f"{place}.port", number, fault) for fault in v.port(number)]
        if protocol not in _PROTOCOLS:
            causes += v.one_of(protocol, f"{place}.protocol", _PROTOCOLS)
        causes += port_or_name(port.get("targetPort", 0), f"{place}.targetPort")
        if port.get("appProtocol"):
            faults = v.qualified(port["appProtocol"])
            causes += [v.invalid(f"{place}.appProtocol", port["appProtocol"], fault) for fault in faults]
        node = port.get("nodePort", 0)
        if node and kind in {"ClusterIP", "ExternalName"}:
            text = f"may not be used when `type` is '{kind}'"
            causes.append(v.forbidden(f"{place}.nodePort", text))
        elif node:
            if (protocol, node) in outside:
                causes.append(v.duplicate(f"{place}.nodePort", node))
            outside.add((protocol, node))
        if (protocol, number) in pairs:
            causes.append(v.duplicate(place, _go_port(protocol, number)))
        pairs.add((protocol, number))
    return causes


def _go_port(protocol: str, number: int) -> v.Verbatim:
    return v.Verbatim(
        f'core.ServicePort{{Name:"", Protocol:{selectors.quote(protocol)}, AppProtocol:(*string)(nil), Port:{number}, '
        'TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}'
    )


def _service_update(spec: Mapping[str, Any], old: Mapping[str, Any]) -> Causes:
    if "ExternalName" in {spec.get("type"), old.get("type")}:
        return []
    new, was = spec.get("clusterIP", ""), old.get("clusterIP", "")
    if was and new != was:
        return [v.invalid("spec.clusterIPs[0]", [new], "may not change once set")]
    return []


def ingress(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with an Ingress."""
    spec = obj.get("spec", {})
    causes: Causes = []
    rules, backend = spec.get("rules", []), spec.get("defaultBackend")
    if not rules and backend is None:
        text = "either `defaultBackend` or `rules` must be specified"
        causes.append(v.invalid("spec", v.Verbatim("[]networking.IngressRule(nil)"), text))
    if backend is not None:
        causes += _backend(backend, "spec.defaultBackend")
    for index, entry in enumerate(spec.get("tls", ())):
        for at, host in enumerate(entry.get("hosts", ())):
            causes += _host(host, f"spec.tls[{index}].hosts[{at}]", plain=True)
        if entry.get("secretName"):
            faults = v.subdomain(entry["secretName"])
            causes += [v.invalid(f"spec.tls[{index}].secretName", entry["secretName"], f) for f in faults]
    for index, rule in enumerate(rules):
        place = f"spec.rules[{index}]"
        if rule.get("host"):
            causes += _host(rule["host"], f"{place}.host", plain=False)
        if "http" in rule:
            paths = rule["http"].get("paths", ())
            if not paths:
                causes.append(v.required(f"{place}.http.paths"))
            for at, path in enumerate(paths):
                causes += _path(path, f"{place}.http.paths[{at}]")
    name = spec.get("ingressClassName")
    if name is not None:
        causes += [v.invalid("spec.ingressClassName", name, fault) for fault in v.subdomain(name)]
        marked = obj.get("metadata", {}).get("annotations", {}).get("kubernetes.io/ingress.class")
        if old is None and marked and marked != name:
            text = "must match `ingressClassName` when both are specified"
            causes.append(v.invalid("annotations.kubernetes.io/ingress.class", marked, text))
    return causes


def _host(host: str, field: str, *, plain: bool) -> Causes:
    causes: Causes = []
    if not plain:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            causes.append(v.invalid(field, host, "must be a DNS name, not an IP address"))
    if host.startswith("*."):
        faults = v.subdomain(host[2:])
        text = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist "
            "of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. "
            "'*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*"
            "[a-z0-9])?)*')"
        )
        return causes + ([v.invalid(field, host, text)] if faults else [])
    if "*" in host and not plain:
        text = v.SUBDOMAIN_TEXT
        return [*causes, v.invalid(field, host, text)]
    return causes + [v.invalid(field, host, fault) for fault in v.subdomain(host)]


def _path(path: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    kind, text = path.get("pathType"), path.get("path", "")
    if not kind:
        causes.append(v.required(f"{field}.pathType", "pathType must be specified"))
    elif kind in {"Exact", "Prefix"}:
        if not text.startswith("/"):
            causes.append(v.invalid(f"{field}.path", text, "must be an absolute path"))
        for wrong in ("//", "/./", "/../", "%2f", "%2F"):
            if wrong in text:
                causes.append(v.invalid(f"{field}.path", text, f"must not contain '{wrong}'"))
        for wrong in ("/..", "/."):
            if text.endswith(wrong):
                causes.append(v.invalid(f"{field}.path", text, f"cannot end with '{wrong}'"))
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            causes.append(v.invalid(f"{field}.path", text, "must be an absolute path"))
    else:
        supported = ("Exact", "ImplementationSpecific", "Prefix")
        causes.append(v.not_supported(f"{field}.pathType", kind, supported))
    return causes + _backend(path.get("backend", {}), f"{field}.backend")


def _backend(backend: Mapping[str, Any], field: str) -> Causes:
    found, resource = backend.get("service"), backend.get("resource")
    if found is not None and resource is not None:
        return [v.invalid(field, "", "cannot set both resource and service backends")]
    if resource is not None:
        return [
            v.required(f"{field}.resource.{name}", f"{name} is required")
            for name in ("kind", "name")
            if not resource.get(name)
        ]
    if found is None:
        return [v.required(field, "resource or service backend is required")]
    causes: Causes = []
    name = found.get("name", "")
    if not name:
        causes.append(v.required(f"{field}.service.name"))
    else:
        causes += [v.invalid(f"{field}.service.name", name, fault) for fault in v.label_1035(name)]
    port = found.get("port", {})
    named, number = port.get("name", ""), port.get("number", 0)
    if named and number:
        causes.append(v.invalid(field, "", "cannot set both port name & port number"))
    elif named:
        causes += [v.invalid(f"{field}.service.port.name", named, fault) for fault in v.port_name(named)]
    elif number:
        causes += [v.invalid(f"{field}.service.port.number", number, fault) for fault in v.port(number)]
    else:
        causes.append(v.required(field, "port name or number is required"))
    return causes


def ingress_class(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with an IngressClass."""
    spec = obj.get("spec", {})
    causes: Causes = []
    controller = spec.get("controller", "")
    if len(controller) > 250:
        causes.append(v.too_long("spec.controller", 250))
    if controller:
        prefix = controller.partition("/")[0]
        faults = v.subdomain(prefix)
        if "/" not in controller:
            faults = [*faults, 'must be a domain-prefixed path (such as "acme.io/foo")']
        causes += [v.invalid("spec.controller", controller, fault) for fault in faults]
    elif old is None:
        causes.append(v.required("spec.controller"))
    if old is not None:
        causes += v.same(controller, old.get("spec", {}).get("controller", ""), "spec.controller")
    parameters = spec.get("parameters")
    if parameters is not None:
        for name in ("kind", "name"):
            if not parameters.get(name):
                causes.append(v.required(f"spec.parameters.{name}", f"{name} is required"))
        scope, namespace = parameters.get("scope"), parameters.get("namespace")
        if scope not in {"Cluster", "Namespace"}:
            causes += v.one_of(scope, "spec.parameters.scope", ("Cluster", "Namespace"))
        if scope == "Namespace" and not namespace:
            text = "`parameters.scope` is set to 'Namespace'"
            causes.append(v.required("spec.parameters.namespace", text))
        if scope == "Cluster" and namespace:
            text = "`parameters.scope` is set to 'Cluster'"
            causes.append(v.forbidden("spec.parameters.namespace", text))
    return causes


def network_policy(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a NetworkPolicy."""
    spec = obj.get("spec", {})
    causes = v.selector(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction, ())):
            place = f"spec.{direction}[{index}]"
            for at, port in enumerate(rule.get("ports", ())):
                causes += _policy_port(port, f"{place}.ports[{at}]")
            for at, peer in enumerate(rule.get(peers, ())):
                causes += _peer(peer, f"{place}.{peers}[{at}]")
    kinds = spec.get("policyTypes", ())
    if len(kinds) > 2:
        text = "may not specify more than two policyTypes"
        return [*causes, v.invalid("spec.policyTypes", list(kinds), text)]
    for index, kind in enumerate(kinds):
        if kind not in {"Ingress", "Egress"}:
            causes.append(v.not_supported(f"spec.policyTypes[{index}]", kind, ("Egress", "Ingress")))
    return causes


def _policy_port(port: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    if port.get("protocol", "TCP") not in _PROTOCOLS:
        causes.append(v.not_supported(f"{field}.protocol", port["protocol"], _PROTOCOLS))
    if "port" in port:
        causes += port_or_name(port["port"], f"{field}.port")
    end = port.get("endPort")
    if end is not None:
        if isinstance(port.get("port"), int):
            if end < port["port"]:
                causes.append(v.invalid(f"{field}.endPort", end, "must be greater than or equal to `port`"))
            causes += [v.invalid(f"{field}.endPort", end, fault) for fault in v.port(end)]
        elif "port" in port:
            text = "may not be specified when `port` is non-numeric"
            causes.append(v.invalid(f"{field}.endPort", end, text))
        else:
            text = "may not be specified when `port` is not specified"
            causes.append(v.invalid(f"{field}.endPort", end, text))
    return causes


def _peer(peer: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    for name in ("podSelector", "namespaceSelector"):
        causes += v.selector(peer.get(name), f"{field}.{name}")
    block = peer.get("ipBlock")
    if block is not None:
        causes += _block(block, f"{field}.ipBlock")
        if "podSelector" in peer or "namespaceSelector" in peer:
            return [*causes, v.forbidden(field, "may not specify both ipBlock and another peer")]
    if not peer:
        return [v.required(field, "must specify a peer")]
    return causes


def _block(block: Mapping[str, Any], field: str) -> Causes:
    text = block.get("cidr", "")
    if not text:
        return [v.required(f"{field}.cidr")]
    causes = v.cidr(text, f"{field}.cidr")
    if causes:
        return causes
    network = ipaddress.ip_network(text, strict=False)
    for index, excepted in enumerate(block.get("except", ())):
        place = f"{field}.except[{index}]"
        faults = v.cidr(excepted, place)
        if not faults:
            inner = ipaddress.ip_network(excepted, strict=False)
            inside = (
                inner.version == network.version
                and int(network.network_address) <= int(inner.network_address)
                and int(inner.broadcast_address) <= int(network.broadcast_address)
                and inner.prefixlen > network.prefixlen
            )
            if not inside:
                faults = [v.invalid(place, excepted, f'must be a strict subset of `cidr`: "{text}"')]
        causes += faults
    return causes


def _is_own(obj: Resource) -> bool:
    """Whether the endpoints are those of the API itself, which may well listen on the loopback."""
    meta = obj.get("metadata") or {}
    return (meta.get("namespace"), meta.get("name")) == ("default", "kubernetes")


def endpoints(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with an Endpoints."""
    causes: Causes = []
    own = _is_own(obj)
    for index, subset in enumerate(obj.get("subsets", ())):
        place = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            text = "must specify `addresses` or `notReadyAddresses`"
            causes.append(v.required(place, text))
        for name in ("addresses", "notReadyAddresses"):
            for at, one in enumerate(subset.get(name, ())):
                causes += _endpoint_address(one.get("ip", ""), f"{place}.{name}[{at}].ip", own=own)
        ports = subset.get("ports", ())
        for at, port in enumerate(ports):
            here = f"{place}.ports[{at}]"
            name = port.get("name", "")
            if len(ports) > 1 and not name:
                causes.append(v.required(f"{here}.name"))
            elif name:
                causes += [v.invalid(f"{here}.name", name, fault) for fault in v.label(name)]
            number = port.get("port", 0)
            causes += [v.invalid(f"{here}.port", number, fault) for fault in v.port(number)]
            if port.get("protocol", "TCP") not in _PROTOCOLS:
                causes += v.one_of(port.get("protocol"), f"{here}.protocol", _PROTOCOLS)
    return causes


def _endpoint_address(text: str, field: str, *, own: bool) -> Causes:
    causes = v.address(text, field)
    if causes:
        return causes
    found = ipaddress.ip_address(text)
    if found.is_unspecified:
        causes.append(v.invalid(field, text, f"may not be unspecified ({text})"))
    elif found.is_loopback and not own:
        causes.append(v.invalid(field, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    elif found.is_link_local:
        causes.append(
            v.invalid(field, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
        )
    elif found.is_multicast:
        text_ = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        causes.append(v.invalid(field, text, text_))
    return causes


def endpoint_slice(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with an EndpointSlice."""
    causes: Causes = []
    kind = obj.get("addressType", "")
    kinds = ("FQDN", "IPv4", "IPv6")
    if not kind:
        causes.append(v.required("addressType"))
    elif kind not in kinds:
        causes.append(v.not_supported("addressType", kind, kinds))
    if old is not None:
        causes += v.same(kind, old.get("addressType", ""), "addressType")
    found = obj.get("endpoints") or ()
    if len(found) > 1000:
        return [*causes, v.too_many("endpoints", len(found), 1000)]
    for index, one in enumerate(found):
        place = f"endpoints[{index}].addresses"
        addresses = one.get("addresses", ())
        if not addresses:
            causes.append(v.required(place, "must contain at least 1 address"))
        elif len(addresses) > 100:
            causes.append(v.too_many(place, len(addresses), 100))
        for at, text in enumerate(addresses):
            if kind == "FQDN":
                causes += [v.invalid(f"{place}[{at}]", text, fault) for fault in v.subdomain(text)]
            elif kind in kinds:
                causes += _endpoint_address(text, f"{place}[{at}]", own=_is_own(obj))
    names: set[str] = set()
    for index, port in enumerate(obj.get("ports") or ()):
        place = f"ports[{index}]"
        name = port.get("name", "")
        if name:
            causes += [v.invalid(f"{place}.name", name, fault) for fault in v.label(name)]
        if name in names:
            causes.append(v.duplicate(f"{place}.name", name))
        names.add(name)
        if port.get("protocol") not in _PROTOCOLS:
            causes += v.one_of(port.get("protocol"), f"{place}.protocol", _PROTOCOLS)
    return causes
