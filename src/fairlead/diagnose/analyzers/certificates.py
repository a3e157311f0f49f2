"""Certificates that are in use and cannot serve: expired, about to, not for the host, not of the key, not of the authority.

In use is what an Ingress or a Gateway names, or a pod gets. Keys are compared and never shown; of a certificate its names and dates are.
A certificate is about to expire when less than a fifth of its life is left, and less than 30 days: whoever renews it by machine
has done so before (cert-manager at a third, kubelet at a fifth).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from fairlead.diagnose import halves
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory, Template
from fairlead.diagnose.references import ROOT_CA, Edge, pod_edges
from fairlead.tongues.paths import find, mapping, text, words
from fairlead.words import Evidence, Ref, Resource, Severity

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

RULES = ("certificate.broken", "certificate.expired", "certificate.early", "certificate.key", "certificate.host",
         "certificate.order", "certificate.authority")  # fmt: skip
"""What may be wrong with a certificate now."""
_TLS = "kubernetes.io/tls"
_SOON = timedelta(days=30)
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_ABOUT = re.compile(
    r"certificate|x509|\btls\b|\bssl\b|\bpem\b|private key|\.crt|\.key|handshake", re.IGNORECASE
)
_MOST = 6
"""More certificates than this are a bundle of authorities, which has its own life."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate as it lies in an object: the chain by its own order, the private key beside it ("" for none), and the keys of both."""

    name: str
    chain: tuple[Certificate, ...]
    key: str
    key_name: str
    authority: str


def look(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What is wrong with the certificates of a Secret or ConfigMap that something uses."""
    if not _may_hold(resource):
        return
    ref = Ref.of(resource)
    users = [
        edge
        for edge in inventory.referrers(ref)
        if edge.relation in {"tls", "secret", "config"}
        and inventory.owner(inventory.get(edge.source) or {}) is None
    ]
    if not users or (ref.kind, ref.name) == ("ConfigMap", ROOT_CA):
        return
    served = [edge for edge in users if edge.relation == "tls"]
    entries = contents(resource)
    if served or text(resource, "type") == _TLS:
        fault = _unreadable(entries)
        if fault:
            yield _fact(inventory, resource, users, "certificate.broken", *fault, Severity.CRITICAL if served else Severity.WARNING)  # fmt: skip
            return
    for pair in pairs(entries):
        yield from _pair(inventory, resource, users, served, pair)


def _may_hold(resource: Resource) -> bool:
    if text(resource, "type") == _TLS:
        return True
    if resource.get("kind") == "ConfigMap":
        return any(
            isinstance(value, str) and "-----BEGIN CERTIFICATE" in value
            for value in mapping(resource, "data").values()
        )
    held = any(
        isinstance(value, str) and value.startswith("LS0tLS1CRUdJTiB")
        for value in mapping(resource, "data").values()
    )
    return held or any(
        "-----BEGIN CERTIFICATE" in str(value) for value in mapping(resource, "stringData").values()
    )


def contents(resource: Resource) -> dict[str, str]:
    """Return the entries of a Secret or ConfigMap as text, without what is none."""
    found: dict[str, str] = {}
    for name, value in mapping(resource, "data").items():
        if not isinstance(value, str):
            continue
        if resource.get("kind") == "Secret":
            try:
                found[name] = base64.b64decode(value, validate=True).decode()
            except (binascii.Error, ValueError):
                continue
        else:
            found[name] = value
    found.update(
        {name: value for name, value in mapping(resource, "stringData").items() if isinstance(value, str)}
    )
    return found


def read(pem: str) -> tuple[Certificate, ...]:
    """Return the certificates in a PEM text, in its order; none where one of them cannot be read."""
    from cryptography import x509

    try:
        return tuple(
            x509.load_pem_x509_certificate(match[0].encode())
            for match in _PEM.finditer(pem)
            if match[1].endswith("CERTIFICATE")
        )
    except ValueError:
        return ()


def _key(pem: str) -> Any:
    """Return a private key (or what a snapshot has kept of it), or None for what is none, and for what a password keeps."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    kept = halves.read(pem)
    if kept is not None:
        return kept
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _point(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


def pairs(entries: dict[str, str]) -> list[Pair]:
    """Return the certificates in the entries of an object that are no bundles, with the private key that stands beside them."""
    keys = {name: value for name, value in entries.items() if "PRIVATE KEY-----" in value}
    held = [
        name
        for name, value in entries.items()
        if "-----BEGIN CERTIFICATE" in value and not name.startswith(("ca.", "ca-", "cacert"))
    ]
    found = []
    for name in held:
        value = entries[name]
        chain = read(value)
        if not chain or len(chain) > _MOST:
            continue
        beside = name if name in keys else next(
            (one for one in keys if one.rpartition(".")[0] == name.rpartition(".")[0]),
            next(iter(keys)) if len(keys) == len(held) == 1 else "",
        )  # fmt: skip
        found.append(Pair(name, chain, keys.get(beside, ""), beside, entries.get("ca.crt", "")))
    return found


def _unreadable(entries: dict[str, str]) -> tuple[str, str, str] | None:
    """Return what keeps a TLS Secret from being read: the message, the cause and the key."""
    for name, what in (("tls.crt", "certificate"), ("tls.key", "private key")):
        value = entries.get(name, "")
        if not value.strip():
            return f"has no {what}: {name} is {'empty' if name in entries else 'absent'}", "", name
        if what == "certificate" and not read(value):
            kind = "no PEM" if "-----BEGIN" not in value else "PEM, but no certificate that can be read"
            return "holds no certificate in tls.crt", f"tls.crt is {kind}.", name
        if what == "private key" and _key(value) is None:
            if "ENCRYPTED" in value:
                return (
                    "holds a key that a password keeps",
                    "What serves TLS has no password for tls.key.",
                    name,
                )
            return "holds no private key in tls.key", f"tls.key is {'no PEM' if '-----BEGIN' not in value else 'PEM, but no private key that can be read'}.", name  # fmt: skip
    return None


def _pair(
    inventory: Inventory, resource: Resource, users: Sequence[Edge], served: Sequence[Edge], pair: Pair
) -> Iterator[Fact]:
    leaf = pair.chain[0]
    grave = Severity.CRITICAL if served else Severity.WARNING
    key = _key(pair.key) if pair.key else None
    if key is not None:
        owned = [one for one in pair.chain if _point(one.public_key()) == _point(key.public_key())]
        if not owned and len(pair.chain) == 1 and _authority(leaf) and not served:
            pass  # an authority beside a key of something else
        elif not owned:
            yield _fact(inventory, resource, users, "certificate.key", f"holds a certificate that is not of its key ({pair.name}, {pair.key_name})",
                        f"The certificate for {_who(leaf)} has another public key than {pair.key_name}.", pair.name, grave)  # fmt: skip
        elif owned[0] is not leaf:
            yield _fact(inventory, resource, users, "certificate.order", f"holds its certificates in a wrong order ({pair.name})",
                        f"The certificate of the key, for {_who(owned[0])}, must come first, before those that signed it.", pair.name, grave)  # fmt: skip
            leaf = owned[0]
    yield from _dates(inventory, resource, users, pair.name, leaf, grave)
    if pair.authority and not _signed_by(leaf, pair.chain, read(pair.authority)):
        yield _fact(inventory, resource, users, "certificate.authority", f"holds a certificate that its ca.crt did not sign ({pair.name})",
                    f"The certificate for {_who(leaf)} was signed by {leaf.issuer.rfc4514_string() or 'nobody'}.", "ca.crt", Severity.WARNING)  # fmt: skip
    for edge in served:
        yield from _hosts(inventory, resource, edge, pair.name, leaf)


def _dates(
    inventory: Inventory,
    resource: Resource,
    users: Sequence[Edge],
    name: str,
    leaf: Certificate,
    grave: Severity,
) -> Iterator[Fact]:
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    who = _who(leaf)
    if inventory.past(ends, timedelta()):
        yield _fact(inventory, resource, users, "certificate.expired", f"holds a certificate that expired on {_day(ends)} ({name})",
                    f"It was for {who}, from {_day(begins)} to {_day(ends)}.", name, grave)  # fmt: skip
    elif not inventory.past(begins, timedelta()):
        yield _fact(inventory, resource, users, "certificate.early", f"holds a certificate that is not valid before {_day(begins)} ({name})",
                    f"It is for {who}, from {_day(begins)} to {_day(ends)}.", name, grave)  # fmt: skip
    elif inventory.past(ends - min(_SOON, (ends - begins) / 5), timedelta()):
        yield _fact(inventory, resource, users, "certificate.expiring", f"holds a certificate that expires on {_day(ends)} ({name})",
                    f"It is for {who}, and nobody has renewed it.", name, Severity.WARNING)  # fmt: skip


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def _who(leaf: Certificate) -> str:
    return ", ".join(names(leaf)[:3]) or leaf.subject.rfc4514_string() or "nobody"


def names(leaf: Certificate) -> list[str]:
    """Return the hosts that a certificate is for, as its alternative names say."""
    from cryptography import x509

    try:
        said = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [
        *(one.lower() for one in said.get_values_for_type(x509.DNSName)),
        *(str(one) for one in said.get_values_for_type(x509.IPAddress)),
    ]


def covers(name: str, host: str) -> bool:
    """Say whether a certificate's name covers a host: itself, or with `*.` one label in front."""
    name, host = name.lower().rstrip("."), host.lower().rstrip(".")
    return name == host or (
        name.startswith("*.") and not host.startswith("*.") and host.partition(".")[2] == name[2:]
    )


def _authority(leaf: Certificate) -> bool:
    from cryptography import x509

    try:
        return leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _issued(one: Certificate, by: Certificate) -> bool:
    if one.issuer != by.subject:
        return False
    try:
        one.verify_directly_issued_by(by)
    except Exception:  # noqa: BLE001 - each sort of key raises its own
        return False
    return True


def _signed_by(leaf: Certificate, chain: Sequence[Certificate], authorities: Sequence[Certificate]) -> bool:
    """Say whether a way leads from the certificate over its chain to one of the authorities (or there are none to ask)."""
    if not authorities:
        return True
    queue = [leaf]
    for one in queue:
        if one in authorities or any(_issued(one, by) for by in authorities):
            return True
        for by in chain:
            if by not in queue and _issued(one, by):
                queue.append(by)
    return False


def signed_by(leaf: Certificate, chain: Sequence[Certificate], bundle: str) -> bool:
    """Say whether one of the authorities of a PEM bundle signed the certificate, directly or over its chain."""
    return _signed_by(leaf, chain, read(bundle))


def _hosts(
    inventory: Inventory, resource: Resource, edge: Edge, name: str, leaf: Certificate
) -> Iterator[Fact]:
    """The hosts that an Ingress or a Gateway serves with the certificate, and that it is not for."""
    user = inventory.get(edge.source)
    if edge.source.kind == "Ingress":
        path = (*edge.path[:-1], "hosts")
        hosts = words(user, *path)
    else:
        path = (*edge.path[:3], "hostname")
        hosts = [text(user, *path)] if text(user, *path) else []
    held = names(leaf)
    wrong = [host for host in hosts if not any(covers(one, host) for one in held)]
    if user is None or not wrong:
        return
    ref = Ref.of(resource)
    yield Fact(
        rule="certificate.host",
        subject=edge.source,
        detail=f"{ref.name}/{','.join(wrong)}",
        severity=Severity.WARNING,
        message=f"serves {', '.join(wrong[:3])} with the certificate of Secret {ref.name}, which is not for {'it' if len(wrong) == 1 else 'them'}",
        cause=f"The certificate is for {', '.join(held[:4]) or 'no host at all: it has no alternative names'}.",
        evidence=(inventory.field(edge.source, path, ", ".join(hosts[:4])), _evidence(inventory, resource, name, leaf)),
        where=inventory.where(edge.source, path),
        because=tuple((rule, ref, "") for rule in RULES if rule != "certificate.host"),
    )  # fmt: skip


def _evidence(inventory: Inventory, resource: Resource, name: str, leaf: Certificate) -> Evidence:
    said = f"{name}: for {_who(leaf)}, valid {_day(leaf.not_valid_before_utc)} to {_day(leaf.not_valid_after_utc)}"
    return inventory.field(Ref.of(resource), _place(resource, name), said)


def _place(resource: Resource, name: str) -> tuple[str, str]:
    return ("stringData" if find(resource, ("stringData", name)) is not None else "data", name)


def _fact(
    inventory: Inventory,
    resource: Resource,
    users: Sequence[Edge],
    rule: str,
    message: str,
    cause: str,
    name: str,
    severity: Severity,
) -> Fact:
    ref = Ref.of(resource)
    evidence = [
        inventory.field(
            edge.source, edge.path, f"{edge.source.kind} {edge.source.name} uses {ref.kind} {ref.name}"
        )
        for edge in users[:3]
    ]
    chain = read(contents(resource).get(name, ""))
    if chain:
        evidence.insert(0, _evidence(inventory, resource, name, chain[0]))
    return Fact(
        rule=rule,
        subject=ref,
        severity=severity,
        message=message,
        cause=cause,
        evidence=tuple(evidence),
        where=inventory.where(ref, _place(resource, name)),
    )  # fmt: skip


def _issuing(resource: Resource) -> tuple[Ref, ...]:
    """The Certificate object of cert-manager that the Secret is made by: its trouble is the Secret's."""
    name = text(resource, "metadata", "annotations", "cert-manager.io/certificate-name")
    return (Ref("cert-manager.io", "Certificate", Ref.of(resource).namespace, name),) if name else ()


def behind(template: Template, line: str) -> Iterator[Key]:
    """Yield the names of the facts about certificates that would explain what a container says of one."""
    if not _ABOUT.search(line):
        return
    for edge in pod_edges(template.ref, template.spec, template.spec_path):
        if edge.relation in {"secret", "config"}:
            for rule in RULES:
                yield (rule, edge.target, "")


UNITS = {("", "Secret"): look, ("", "ConfigMap"): look}
