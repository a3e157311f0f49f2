"""Services in front of pods as packet filter rules: Services and EndpointSlices in, a text for iptables-restore out.

Knows nothing of the machine but the few facts in `Net`. The same input gives the same text, so whoever carries it
out can tell by comparing whether there is anything to do. Every chain is ours alone, and a restore replaces its whole
content. IPv4 only. Must never name a chain of anyone else but to jump from it.

What each Service means: kubernetes.io/docs/reference/networking/virtual-ips.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fairlead.words import Resource

_PROTOCOLS: Final = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
_EVERY: Final = "0.0.0.0"  # noqa: S104 (a hostIP that means no particular one)
_AFFINITY_SECONDS: Final = 10_800
LOOPBACK: Final = "127.0.0.0/8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """The pods' network on one machine.

    `bridged` says whether the packet filter sees what one pod sends another over the bridge (the kernel's
    bridge-nf-call-iptables); where it does not, a Service's answers must be led through the machine.
    Node ports are open on `node_port_addresses` (networks) and on the gateway. `api` is where this machine reaches the
    API: what the Service default/kubernetes leads to as long as no EndpointSlice says otherwise.
    """

    key: str
    bridge: str
    subnet: str
    gateway: str
    bridged: bool
    node_port_addresses: tuple[str, ...] = (LOOPBACK,)
    api: tuple[str, int] | None = None

    def chain(self, name: str) -> str:
        """Return the full name of one of our chains; the kernel allows 28 characters."""
        return f"FAIRLEAD-{self.key}-{name}"

    @property
    def jumps(self) -> tuple[tuple[str, str, str], ...]:
        """Table, the kernel's chain, and the rule that must lead from there to a chain of ours before all others.

        Services are for our own pods and for this machine: another's pods may know the same address for their own.
        """
        return (
            ("nat", "PREROUTING", f"-i {self.bridge} -j {self.chain('SVC')}"),
            ("nat", "PREROUTING", f"-j {self.chain('HOST')}"),
            ("nat", "OUTPUT", f"-j {self.chain('SVC')}"),
            ("nat", "OUTPUT", f"-j {self.chain('HOST')}"),
            ("nat", "POSTROUTING", f"-j {self.chain('POST')}"),
            ("filter", "INPUT", f"-j {self.chain('IN')}"),
            ("filter", "FORWARD", f"-j {self.chain('FWD')}"),
            ("filter", "OUTPUT", f"-j {self.chain('OUT')}"),
        )


@dataclass(frozen=True, slots=True)
class Target:
    """One way in: an address and port that clients use, the pods behind it, and for how long a client stays at one."""

    name: str
    match: str
    endpoints: tuple[tuple[str, int], ...]
    affinity: int = 0


def endpoints(
    service: Resource, port: Mapping[str, object], slices: Iterable[Resource]
) -> list[tuple[str, int]]:
    """Return address and port of each pod that should get a Service port's connections, sorted.

    Those that are ready; where none is, those that still serve while they end, as Kubernetes has it.
    """
    meta = service["metadata"]
    ready: set[tuple[str, int]] = set()
    ending: set[tuple[str, int]] = set()
    for item in slices:
        its = item["metadata"]
        owner = (its.get("labels") or {}).get("kubernetes.io/service-name")
        if owner != meta["name"] or its.get("namespace") != meta.get("namespace"):
            continue
        if item.get("addressType", "IPv4") != "IPv4":
            continue
        numbers = [
            int(entry["port"])
            for entry in item.get("ports") or ()
            if (entry.get("name") or "") == (port.get("name") or "")
            and (entry.get("protocol") or "TCP") == (port.get("protocol") or "TCP")
            and entry.get("port")
        ]
        for endpoint in item.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            places = {(address, number) for address in endpoint.get("addresses") or () for number in numbers}
            if conditions.get("ready", True) is not False:
                ready |= places
            elif conditions.get("serving") and conditions.get("terminating"):
                ending |= places
    return sorted(ready or ending, key=_address_order)


def _address_order(place: tuple[str, int]) -> tuple[list[int], int]:
    return [int(part) if part.isdigit() else 0 for part in place[0].split(".")], place[1]


def _is_ipv4(address: str) -> bool:
    return "." in address and ":" not in address


def _services(services: Iterable[Resource]) -> list[Resource]:
    """Return the Services that have an address, by namespace and name."""
    out = []
    for service in services:
        spec = service.get("spec") or {}
        if spec.get("type") != "ExternalName" and spec.get("clusterIP") not in {None, "", "None"}:
            out.append(service)
    return sorted(out, key=lambda item: (item["metadata"].get("namespace") or "", item["metadata"]["name"]))


def targets(net: Net, services: Iterable[Resource], slices: Sequence[Resource]) -> Iterator[Target]:
    """Yield every way into every Service, those without an endpoint included."""
    for service in _services(services):
        spec, meta = service["spec"], service["metadata"]
        affinity = 0
        if spec.get("sessionAffinity") == "ClientIP":
            config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
            affinity = int(config.get("timeoutSeconds") or _AFFINITY_SECONDS)
        addresses = [*(spec.get("clusterIPs") or [spec["clusterIP"]]), *(spec.get("externalIPs") or ())]
        for port in spec.get("ports") or ():
            protocol = _PROTOCOLS.get(port.get("protocol") or "TCP")
            if protocol is None:
                continue
            found = tuple(endpoints(service, port, slices))
            if not found and net.api and (meta.get("namespace"), meta["name"]) == ("default", "kubernetes"):
                found = (net.api,)
            label = port.get("name") or str(port["port"])
            name = f"{meta.get('namespace')}/{meta['name']}:{label}"
            transport = f"-p {protocol} -m {protocol} --dport"
            for address in dict.fromkeys(filter(_is_ipv4, addresses)):
                yield Target(name, f"-d {address}/32 {transport} {port['port']}", found, affinity)
            if port.get("nodePort"):
                for network in (*net.node_port_addresses, f"{net.gateway}/32"):
                    match = f"-d {network} {transport} {port['nodePort']} -m addrtype --dst-type LOCAL"
                    yield Target(name, match, found, affinity)


def host_ports(pods: Iterable[Resource]) -> Iterator[Target]:
    """Yield the host ports of pods that have an address and have not ended, by namespace and name."""
    ordered = sorted(
        pods, key=lambda item: (item["metadata"].get("namespace") or "", item["metadata"]["name"])
    )
    for pod in ordered:
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        address = status.get("podIP") or ""
        over = status.get("phase") in {"Succeeded", "Failed"}
        if spec.get("hostNetwork") or over or not _is_ipv4(address):
            continue
        name = f"{pod['metadata'].get('namespace')}/{pod['metadata']['name']}"
        for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
            for port in container.get("ports") or ():
                protocol = _PROTOCOLS.get(port.get("protocol") or "TCP")
                if not port.get("hostPort") or protocol is None:
                    continue
                host = port.get("hostIP") or ""
                place = f"-d {host}/32 " if host not in {"", _EVERY} else ""
                match = f"{place}-p {protocol} -m {protocol} --dport {port['hostPort']} -m addrtype --dst-type LOCAL"
                yield Target(name, match, ((address, int(port["containerPort"])),))


def _ways(net: Net, chain: str, target: Target) -> Iterator[str]:
    """Yield the rules that spread a target's new connections evenly over its endpoints."""
    start = f'-A {chain} {target.match} -m comment --comment "{target.name}"'
    names = [f"FL{net.key}-{address}-{number}" for address, number in target.endpoints]
    if target.affinity:
        for (address, number), name in zip(target.endpoints, names, strict=True):
            seen = f"-m recent --name {name} --rcheck --seconds {target.affinity} --reap --rsource"
            yield f"{start} {seen} -j DNAT --to-destination {address}:{number}"
    for at, ((address, number), name) in enumerate(zip(target.endpoints, names, strict=True)):
        left = len(target.endpoints) - at
        chance = f" -m statistic --mode random --probability {1 / left:.10f}" if left > 1 else ""
        mark = f" -m recent --name {name} --set --rsource" if target.affinity else ""
        yield f"{start}{chance}{mark} -j DNAT --to-destination {address}:{number}"


def rules(
    net: Net, services: Iterable[Resource], slices: Sequence[Resource], pods: Iterable[Resource] = ()
) -> str:
    """Return the text that makes iptables-restore --noflush replace the content of our chains. The jumps are not in it."""
    found, hosts = list(targets(net, services, slices)), list(host_ports(pods))
    post, into, forward, out = (net.chain(name) for name in ("POST", "IN", "FWD", "OUT"))
    lines = ["*nat", *(f":{net.chain(name)} - [0:0]" for name in ("SVC", "HOST", "POST"))]
    for chain, ways in ((net.chain("SVC"), found), (net.chain("HOST"), hosts)):
        for target in ways:
            lines.extend(_ways(net, chain, target))
    # A pod's way out of the machine, and answers to what came in by a loopback address.
    lines.append(f"-A {post} -s {net.subnet} ! -d {net.subnet} ! -o {net.bridge} -j MASQUERADE")
    lines.append(f"-A {post} -s {LOOPBACK} -o {net.bridge} -j MASQUERADE")
    if net.bridged:
        # Only a pod that reaches itself by a Service needs another's address, or it would answer itself directly.
        own = {address for target in (*found, *hosts) for address, _ in target.endpoints}
        own -= {net.api[0]} if net.api else set()
        lines.extend(
            f"-A {post} -s {address}/32 -d {address}/32 -m conntrack --ctstate DNAT -j MASQUERADE"
            for address in sorted(own, key=lambda item: _address_order((item, 0)))
        )
    else:
        lines.append(f"-A {post} -s {net.subnet} -d {net.subnet} -m conntrack --ctstate DNAT -j MASQUERADE")
    lines += ["COMMIT", "*filter", *(f":{chain} - [0:0]" for chain in (into, forward, out))]
    # The bridge may lead to loopback addresses (see the driver), which must open nothing but Services.
    lines.append(
        f"-A {into} -i {net.bridge} -d {LOOPBACK} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
    )
    lines.append(f"-A {into} -i {net.bridge} -m conntrack --ctstate DNAT -j ACCEPT")
    for protocol in ("udp", "tcp"):
        lines.append(
            f"-A {into} -i {net.bridge} -d {net.gateway}/32 -p {protocol} -m {protocol} --dport 53 -j ACCEPT"
        )
    for target in found:
        if not target.endpoints:
            reject = f'{target.match} -m comment --comment "{target.name} has no endpoints" -j REJECT'
            chains = (into,) if "--dst-type LOCAL" in target.match else (forward, out)
            lines.extend(f"-A {chain} {reject}" for chain in chains)
    lines.append(f"-A {forward} -i {net.bridge} -j ACCEPT")
    lines.append(f"-A {forward} -o {net.bridge} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT")
    lines += ["COMMIT", ""]
    return "\n".join(lines)


def _tables(saved: str) -> Iterator[tuple[str, str]]:
    """Yield each line of iptables-save's output with the table that it is in."""
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        else:
            yield table, line


def missing_jumps(net: Net, saved: str) -> str:
    """Return the text that adds the jumps that iptables-save's output lacks, to be restored after `rules`; "" if none."""
    there = set(_tables(saved))
    lines: list[str] = []
    for table in ("nat", "filter"):
        wanted = [jump for jump in net.jumps if jump[0] == table]
        adds = [
            f"-I {chain} 1 {rule}"
            for _, chain, rule in reversed(wanted)
            if (table, f"-A {chain} {rule}") not in there
        ]
        if adds:
            lines += [f"*{table}", *adds, "COMMIT"]
    return "\n".join([*lines, ""]) if lines else ""


def removal(key: str, saved: str) -> str:
    """Return the text that removes every chain of ours, and every jump to one, that iptables-save's output has; or ""."""
    prefix = f"FAIRLEAD-{key}-"
    lines: list[str] = []
    for table in dict.fromkeys(table for table, _ in _tables(saved)):
        mine = [line for its, line in _tables(saved) if its == table]
        chains = [line[1:].split()[0] for line in mine if line.startswith(f":{prefix}")]
        jumps = [line for line in mine if line.startswith("-A ") and f" -j {prefix}" in line]
        outside = [f"-D{line[2:]}" for line in jumps if not line.startswith(f"-A {prefix}")]
        if chains or outside:
            flush = [f":{chain} - [0:0]" for chain in chains]
            lines += [f"*{table}", *flush, *outside, *(f"-X {chain}" for chain in chains), "COMMIT"]
    return "\n".join([*lines, ""]) if lines else ""
