"""What the names of Services and pods mean: the cluster's part of the domain name system, as data.

Says which records a name has; knows nothing of packets. Source: the Kubernetes DNS specification 1.1.0
(github.com/kubernetes/dns, docs/specification.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from fairlead.orchestrate.routing import endpoints
from fairlead.words import Resource, View

DOMAIN: Final = "cluster.local"
TTL: Final = 5
_VERSION: Final = "1.1.0"

Type = Literal["A", "AAAA", "CNAME", "SRV", "PTR", "TXT", "SOA", "NS"]


def searches(namespace: str, domain: str = DOMAIN) -> tuple[str, ...]:
    """Return the domains under which a pod looks a short name up, as kubelet sets them for ClusterFirst."""
    return f"{namespace}.svc.{domain}", f"svc.{domain}", domain


@dataclass(frozen=True, slots=True)
class Record:
    """One record: whose, of what type, and its value as text (SRV: priority, weight, port and target)."""

    name: str
    type: Type
    value: str
    ttl: int = TTL


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is to say to a question about our part.

    `exists` tells a name without such records from no name at all. `outside` is a name elsewhere that must be
    looked up to make the answer whole.
    """

    records: tuple[Record, ...] = ()
    extra: tuple[Record, ...] = ()
    exists: bool = True
    outside: str = ""


NOTHING: Final = Answer(exists=False)


class Names:
    """The names that a view gives, under one domain. Names are lower case and end without a dot."""

    def __init__(self, view: View, domain: str = DOMAIN) -> None:
        self._view = view
        self._domain = domain

    @property
    def authority(self) -> Record:
        """The record that says who answers for the domain, for answers that are empty."""
        text = f"ns.dns.{self._domain} hostmaster.{self._domain} 1 7200 1800 86400 {TTL}"
        return Record(self._domain, "SOA", text)

    def known(self) -> bool:
        """Tell whether there is anything to answer from; before that, "no such name" would be a lie."""
        return bool(self._view.list("", "Service"))

    def answer(self, name: str, kind: str) -> Answer | None:
        """Return what a name has of a type of record; None when the name is not ours to speak for."""
        if name == self._domain:
            return Answer((self.authority,) if kind in {"SOA", "ANY"} else ())
        if name.endswith(".in-addr.arpa"):
            return self._reverse(name) if kind in {"PTR", "ANY"} else None
        if not name.endswith(f".{self._domain}"):
            return None
        labels = name.removesuffix(f".{self._domain}").split(".")
        if labels == ["dns-version"]:
            return Answer((Record(name, "TXT", _VERSION),) if kind in {"TXT", "ANY"} else ())
        if labels[-1] == "svc":
            return self._service(name, labels[:-1], kind)
        if labels[-1] == "pod":
            return self._pod(name, labels[:-1], kind)
        return NOTHING

    def _pod(self, name: str, labels: list[str], kind: str) -> Answer:
        if len(labels) == 2:
            address = labels[0].replace("-", ".")
            if _is_address(address):
                return Answer((Record(name, "A", address),) if kind in {"A", "ANY"} else ())
        return Answer() if not labels else NOTHING

    def _service(self, name: str, labels: list[str], kind: str) -> Answer:
        """Answer for `[who.]service.namespace`, where who is `_port._protocol`, a host name or an address with dashes."""
        if len(labels) < 2:
            there = (
                not labels or self._view.get("", "Namespace", "", labels[0]) or self._in_namespace(labels[0])
            )
            return Answer() if there else NOTHING
        *who, service_name, namespace = labels
        service = self._view.get("", "Service", namespace, service_name)
        if service is None:
            return NOTHING
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            target = str(spec.get("externalName") or "").rstrip(".").lower()
            if who or not target:
                return NOTHING
            alias = (Record(name, "CNAME", target),)
            return Answer(alias, outside=target if kind in {"A", "AAAA", "ANY"} else "")
        if len(who) == 2 and all(label.startswith("_") for label in who):
            return self._srv(name, service, who[0][1:], who[1][1:], kind)
        addresses = self._addresses(service)
        if len(who) == 1:
            found = [address for host, address, _ in self._hosts(service) if host == who[0]]
            return _addressed(name, found, kind) if found else NOTHING
        return NOTHING if who else _addressed(name, addresses, kind)

    def _in_namespace(self, namespace: str) -> bool:
        return bool(self._view.list("", "Service", namespace))

    def _slices(self, service: Resource) -> list[Resource]:
        meta = service["metadata"]
        return [
            item
            for item in self._view.list("discovery.k8s.io", "EndpointSlice", meta.get("namespace"))
            if (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == meta["name"]
        ]

    def _addresses(self, service: Resource) -> list[str]:
        spec = service["spec"]
        if not _headless(service):
            listed = spec.get("clusterIPs") or [spec.get("clusterIP")]
            return [address for address in listed if address and _is_address(address)]
        return list(dict.fromkeys(address for _, address, _ in self._hosts(service)))

    def _hosts(self, service: Resource) -> Iterator[tuple[str, str, Resource]]:
        """Yield host name, address and slice of each pod behind a headless Service that should be found."""
        if not _headless(service):
            return
        for item in self._slices(service):
            if item.get("addressType", "IPv4") != "IPv4":
                continue
            for endpoint in item.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True) is False:
                    continue
                for address in endpoint.get("addresses") or ():
                    yield endpoint.get("hostname") or address.replace(".", "-"), address, item

    def _srv(self, name: str, service: Resource, port: str, protocol: str, kind: str) -> Answer:
        meta, spec = service["metadata"], service["spec"]
        own = f"{meta['name']}.{meta.get('namespace')}.svc.{self._domain}"
        records: list[Record] = []
        extra: list[Record] = []
        for entry in spec.get("ports") or ():
            if (entry.get("name") or "") != port or (entry.get("protocol") or "TCP").lower() != protocol:
                continue
            if not _headless(service):
                records.append(Record(name, "SRV", f"0 100 {entry['port']} {own}"))
                extra += [Record(own, "A", address) for address in self._addresses(service)]
                continue
            numbers = dict(endpoints(service, entry, self._slices(service)))
            for host, address, _ in self._hosts(service):
                if address in numbers:
                    records.append(Record(name, "SRV", f"0 100 {numbers[address]} {host}.{own}"))
                    extra.append(Record(f"{host}.{own}", "A", address))
        if not records:
            return NOTHING
        return Answer(tuple(records), tuple(extra)) if kind in {"SRV", "ANY"} else Answer()

    def _reverse(self, name: str) -> Answer | None:
        address = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
        if not _is_address(address):
            return None
        for service in self._view.list("", "Service"):
            meta, spec = service["metadata"], service.get("spec") or {}
            own = f"{meta['name']}.{meta.get('namespace')}.svc.{self._domain}"
            if address in {spec.get("clusterIP"), *(spec.get("clusterIPs") or ())}:
                return Answer((Record(name, "PTR", own),))
            for host, its, _ in self._hosts(service):
                if its == address:
                    return Answer((Record(name, "PTR", f"{host}.{own}"),))
        return None


def _headless(service: Resource) -> bool:
    return (service.get("spec") or {}).get("clusterIP") == "None"


def _is_address(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(part.isdecimal() and len(part) <= 3 and int(part) < 256 for part in parts)


def _addressed(name: str, addresses: Iterable[str], kind: str) -> Answer:
    """Answer with addresses; a name with none behind it has no records, which is an answer too."""
    wanted = kind in {"A", "ANY"}
    return Answer(tuple(Record(name, "A", address) for address in addresses) if wanted else ())
