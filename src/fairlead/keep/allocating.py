"""Addresses and ports of Services: what is taken, what a new or changed Service gets, what is refused.

`Taken` follows the head of the store. Nothing here routes a packet.
Source: k8s.io/kubernetes pkg/registry/core/service (storage/alloc.go, ipallocator, portallocator, strategy.go).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

from fairlead.keep.entries import Storage, Stored
from fairlead.keep.errors import Cause, Refusal, internal, invalid
from fairlead.words import Resource

if TYPE_CHECKING:
    from fairlead.keep.admitting import Admission

NETWORK = IPv4Network("10.96.0.0/16")
"""The range of ClusterIPs; the first address is the API's own Service."""
NODE_PORTS = range(30000, 32768)
_STATIC = 256
"""The lower part of the range is left to those who ask for an address by its number."""
_SERVICES: Storage = ("", "services")
_TRIES = 64


class Taken:
    """Which ClusterIPs and node ports the Services in the head hold."""

    __slots__ = ("ips", "ports")

    def __init__(self) -> None:
        self.ips: dict[str, tuple[str, str]] = {}
        self.ports: dict[int, tuple[str, str]] = {}

    def change(self, storage: Storage, before: Stored | None, after: Stored | None) -> None:
        """Follow one Service from one state to the next."""
        if storage != _SERVICES:
            return
        if before is not None:
            owner = (before.namespace, before.name)
            ips, ports = held(before.object)
            for ip in ips:
                if self.ips.get(ip) == owner:
                    del self.ips[ip]
            for port in ports:
                if self.ports.get(port) == owner:
                    del self.ports[port]
        if after is not None:
            owner = (after.namespace, after.name)
            ips, ports = held(after.object)
            self.ips.update(dict.fromkeys(ips, owner))
            self.ports.update(dict.fromkeys(ports, owner))

    def copy(self) -> Taken:
        """Return an independent copy."""
        other = Taken()
        other.ips, other.ports = self.ips.copy(), self.ports.copy()
        return other


def held(service: Resource) -> tuple[list[str], list[int]]:
    """Return the cluster addresses and the node ports that a Service holds."""
    spec = service.get("spec") or {}
    ips = [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip and ip != "None"]
    ports = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        ports.append(spec["healthCheckNodePort"])
    return ips, ports


def place(admission: Admission) -> None:
    """Fill in the Service's addresses, families and node ports; Refusal 422 for what is taken or out of range."""
    taken = admission.store.indexes["services"]
    assert isinstance(taken, Taken)
    service, old = admission.obj, admission.old
    spec: dict[str, Any] = service["spec"]
    if old is not None:
        _carry(spec, old.get("spec") or {})
    if spec.get("type") == "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            spec.pop(key, None)
        return
    _agree(spec)
    causes = _families(spec)
    owner = (admission.namespace, service["metadata"].get("name") or "")
    if not causes:
        causes += _address(spec, taken, owner, admission.rng)
    causes += _ports(spec, taken, owner, admission.rng)
    if causes:
        raise invalid("", "Service", owner[1], causes)


def _carry(spec: dict[str, Any], before: dict[str, Any]) -> None:
    if spec.get("type") != "ExternalName" and before.get("type") != "ExternalName":
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            for key in ("clusterIP", "clusterIPs"):
                if key in before:
                    spec[key] = before[key]
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(key) and key in before:
                spec[key] = before[key]
    wants, wanted = _wants_node_ports(spec), _wants_node_ports(before)
    old_ports = {
        (port.get("protocol"), port.get("port")): port.get("nodePort") for port in before.get("ports") or ()
    }
    held_before = {port for port in old_ports.values() if port}
    for port in spec.get("ports") or ():
        if wants and wanted and not port.get("nodePort"):
            kept = old_ports.get((port.get("protocol"), port.get("port")))
            if kept:
                port["nodePort"] = kept
        elif wanted and not wants and port.get("nodePort") in held_before:
            port.pop("nodePort", None)
    if _wants_health_port(spec) and _wants_health_port(before):
        if not spec.get("healthCheckNodePort") and before.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = before["healthCheckNodePort"]
    elif not _wants_health_port(spec):
        spec.pop("healthCheckNodePort", None)


def _agree(spec: dict[str, Any]) -> None:
    """Bring clusterIP and clusterIPs in line: either may have been given alone."""
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]


def _families(spec: dict[str, Any]) -> list[Cause]:
    families = spec.get("ipFamilies") or []
    policy = spec.get("ipFamilyPolicy")
    headless_alone = spec.get("clusterIP") == "None" and not spec.get("selector")
    if headless_alone and not families and policy is None:
        spec["ipFamilies"], spec["ipFamilyPolicy"] = ["IPv4", "IPv6"], "RequireDualStack"
        return []
    if headless_alone:
        spec["ipFamilies"] = families or ["IPv4"]
        spec["ipFamilyPolicy"] = policy or "SingleStack"
        return []
    causes = []
    if policy == "RequireDualStack":
        causes.append(
            Cause(
                "FieldValueInvalid",
                'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
                "spec.ipFamilyPolicy",
            )
        )
    if "IPv6" in families:
        causes.append(
            Cause(
                "FieldValueInvalid",
                'Invalid value: "IPv6": not configured on this cluster',
                f"spec.ipFamilies[{families.index('IPv6')}]",
            )
        )
    spec["ipFamilies"] = families or ["IPv4"]
    spec["ipFamilyPolicy"] = policy or "SingleStack"
    return causes


def _address(spec: dict[str, Any], taken: Taken, owner: tuple[str, str], rng: Any) -> list[Cause]:
    given = spec.get("clusterIP") or ""
    if given == "None":
        return []
    if not given:
        spec["clusterIP"] = _free_address(taken, rng)
        spec["clusterIPs"] = [spec["clusterIP"]]
        return []
    if taken.ips.get(given) == owner:
        return []
    shown = "[]string{" + ", ".join(f'"{ip}"' for ip in spec["clusterIPs"]) + "}"
    try:
        address = IPv4Address(given)
    except ValueError:
        return []  # validation says what is wrong with it
    problem = ""
    if address not in NETWORK or address in {NETWORK.network_address, NETWORK.broadcast_address}:
        problem = f"the provided IP ({given}) is not in the valid range. The range of valid IPs is {NETWORK}"
    elif given in taken.ips:
        problem = "provided IP is already allocated"
    if not problem:
        return []
    return [
        Cause(
            "FieldValueInvalid",
            f"Invalid value: {shown}: failed to allocate IP {given}: {problem}",
            "spec.clusterIPs",
        )
    ]


def _free_address(taken: Taken, rng: Any) -> str:
    first = int(NETWORK.network_address)
    size = NETWORK.num_addresses - 2 - _STATIC
    for _ in range(_TRIES):
        text = str(IPv4Address(first + _STATIC + rng.getrandbits(32) % size))
        if text not in taken.ips:
            return text
    for offset in range(_STATIC, NETWORK.num_addresses - 1):
        text = str(IPv4Address(first + offset))
        if text not in taken.ips:
            return text
    raise internal("failed to allocate a serviceIP: range is full")


def _ports(spec: dict[str, Any], taken: Taken, owner: tuple[str, str], rng: Any) -> list[Cause]:
    causes: list[Cause] = []
    mine: dict[int, set[str]] = {}
    allocate = spec.get("type") == "NodePort" or (
        spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )
    ports = spec.get("ports") or []
    if _wants_node_ports(spec):
        for index, port in enumerate(ports):
            number = port.get("nodePort")
            if not number:
                continue
            protocol = port.get("protocol") or "TCP"
            problem = _port_problem(number, taken, owner)
            if not problem and protocol in mine.get(number, set()):
                problem = "provided port is already allocated"
            if problem:
                path = f"spec.ports[{index}].nodePort"
                causes.append(Cause("FieldValueInvalid", f"Invalid value: {number}: {problem}", path))
            mine.setdefault(number, set()).add(protocol)
        for port in ports:
            if allocate and not port.get("nodePort"):
                port["nodePort"] = _twin(port, ports) or _free_port(taken, set(mine), rng)
                mine.setdefault(port["nodePort"], set()).add(port.get("protocol") or "TCP")
    if _wants_health_port(spec):
        number = spec.get("healthCheckNodePort")
        if not number:
            spec["healthCheckNodePort"] = _free_port(taken, set(mine), rng)
        else:
            problem = _port_problem(number, taken, owner)
            if problem:
                text = f"Invalid value: {number}: failed to allocate requested HealthCheck NodePort {number}: {problem}"
                causes.append(Cause("FieldValueInvalid", text, "spec.healthCheckNodePort"))
    return causes


def _twin(port: dict[str, Any], ports: list[dict[str, Any]]) -> int:
    """Return the node port of the same port number in another protocol, which Kubernetes gives to both."""
    for other in ports:
        same = other.get("port") == port.get("port") and other.get("protocol") != port.get("protocol")
        if same and other.get("nodePort"):
            return int(other["nodePort"])
    return 0


def _port_problem(number: int, taken: Taken, owner: tuple[str, str]) -> str:
    if number not in NODE_PORTS:
        return (
            "provided port is not in the valid range. "
            f"The range of valid ports is {NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
        )
    return "provided port is already allocated" if taken.ports.get(number, owner) != owner else ""


def _free_port(taken: Taken, mine: set[int], rng: Any) -> int:
    for _ in range(_TRIES):
        number = NODE_PORTS.start + rng.getrandbits(32) % len(NODE_PORTS)
        if number not in taken.ports and number not in mine:
            return int(number)
    for number in NODE_PORTS:
        if number not in taken.ports and number not in mine:
            return number
    raise Refusal(500, "InternalError", "failed to allocate a nodePort: range is full")


def _wants_node_ports(spec: dict[str, Any]) -> bool:
    return spec.get("type") in {"NodePort", "LoadBalancer"}


def _wants_health_port(spec: dict[str, Any]) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
