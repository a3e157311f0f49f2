"""Chains of certificates, verified from a leaf to the root that was given with it.

At the context's time and by Go's rules: names of issuers, signatures, validity, authority, path lengths, key usages, constraints
on names. A constraint that is not known makes a chain invalid, never valid.
Source: Go's crypto/x509, Certificate.Verify.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from fairlead.tongues.rego.values import Set

from .certificates import USAGES, extension, load, unhandled, value_of
from .kinds import Builtin, BuiltinError, Context, an_object, table, text

_MOST = 1000
_USAGE_NAMES = (
    "Any",
    "ServerAuth",
    "ClientAuth",
    "CodeSigning",
    "EmailProtection",
    "IPSECEndSystem",
    "IPSECTunnel",
    "IPSECUser",
    "TimeStamping",
    "OCSPSigning",
    "MicrosoftServerGatedCrypto",
    "NetscapeServerGatedCrypto",
    "MicrosoftCommercialCodeSigning",
    "MicrosoftKernelCodeSigning",
)


@dataclass(slots=True)
class _Options:
    """What a chain must satisfy: a time, a host, one of some usages (numbers as Go's)."""

    at: datetime
    host: str = ""
    usages: tuple[int, ...] = (1,)


def _at(nanoseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)


def _options(context: Context, options: dict[Any, Any]) -> _Options:
    result = _Options(_at(context.now_ns))
    for name, option in options.items():
        if type(name) is not str:
            continue
        if name == "DNSName":
            if type(option) is not str:
                raise BuiltinError("'DNSName' should be a string")
            result.host = option.strip('"')
        elif name in {"CurrentTime", "MaxConstraintComparisons"}:
            if type(option) not in {int, float}:
                raise BuiltinError(f"'{name}' should be a number")
            if type(option) is not int or abs(option) >= 1 << 63:
                raise BuiltinError(
                    f"'{name}' should be a valid {'int64 ' if name == 'CurrentTime' else ''}number"
                )
            if name == "CurrentTime":
                result.at = _at(option)
        elif name == "KeyUsages":
            if type(option) is not list and type(option) is not Set:
                raise BuiltinError("'KeyUsages' should be an Array or Set")
            asked = [usage.strip('"') for usage in option if type(usage) is str]
            strange = [usage for usage in asked if usage.removeprefix("KeyUsage") not in _USAGE_NAMES]
            if strange:
                raise BuiltinError(f"invalid entries for 'KeyUsages' found: [{' '.join(strange)}]")
            result.usages = tuple(_USAGE_NAMES.index(usage.removeprefix("KeyUsage")) for usage in asked) or (
                1,
            )
        else:
            raise BuiltinError("invalid key option")
    return result


def _verified(context: Context, source: Any, options: _Options) -> list[Any]:
    """Return [true, chain from the leaf to the root], or [false, []]."""
    try:
        found = load(text(source, 1))
        if not 2 <= len(found) <= _MOST:
            return [False, []]
        chain = _chain(context, found[-1], found[1:-1], found[0], options)
    except (BuiltinError, ValueError, UnsupportedAlgorithm):
        return [False, []]
    return [bool(chain), [value_of(one) for one in chain]]


def _chain(
    context: Context,
    leaf: x509.Certificate,
    between: list[x509.Certificate],
    root: x509.Certificate,
    options: _Options,
) -> list[x509.Certificate]:
    """Return the shortest chain from the leaf over some of those between to the root, or nothing."""
    if not _fit(leaf, options) or (options.host and not _named(leaf, options.host)):
        return []
    waiting = [[leaf]]
    while waiting:
        chain = waiting.pop(0)
        context.spend(len(between) + 1)
        if chain[-1] == root or (_issued(chain[-1], root) and _may_issue(root, chain, options)):
            whole = chain if chain[-1] == root else [*chain, root]
            if _usable(whole, options) and _constrained(whole):
                return whole
        if len(chain) > 10 or len(waiting) > _MOST:
            continue
        waiting.extend(
            [*chain, issuer]
            for issuer in between
            if issuer not in chain and _issued(chain[-1], issuer) and _may_issue(issuer, chain, options)
        )
    return []


def _issued(child: x509.Certificate, issuer: x509.Certificate) -> bool:
    if child.issuer != issuer.subject:
        return False
    try:
        child.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _fit(found: x509.Certificate, options: _Options) -> bool:
    return found.not_valid_before_utc <= options.at <= found.not_valid_after_utc and not unhandled(found)


def _may_issue(issuer: x509.Certificate, chain: list[x509.Certificate], options: _Options) -> bool:
    basic = extension(issuer, x509.BasicConstraints)
    if not _fit(issuer, options):
        return False
    if issuer.version is x509.Version.v3 and (basic is None or not basic.ca):
        return False
    usage = extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return False
    beneath = sum(one.subject != one.issuer for one in chain[1:])
    return basic is None or basic.path_length is None or beneath <= basic.path_length


def _usable(chain: list[x509.Certificate], options: _Options) -> bool:
    if 0 in options.usages:
        return True
    left = set(options.usages)
    for found in reversed(chain):
        usages = extension(found, x509.ExtendedKeyUsage)
        if usages is None:
            continue
        known = {USAGES.get(usage.dotted_string) for usage in usages}
        if 0 not in known:
            left &= known
    return bool(left)


def _named(leaf: x509.Certificate, host: str) -> bool:
    names = extension(leaf, x509.SubjectAlternativeName) or []
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        wanted = host.rstrip(".").lower().split(".")
        return any(
            _same_host(name.value.rstrip(".").lower().split("."), wanted)
            for name in names
            if isinstance(name, x509.DNSName)
        )
    return any(name.value == address for name in names if isinstance(name, x509.IPAddress))


def _same_host(pattern: list[str], host: list[str]) -> bool:
    if len(pattern) != len(host) or not all(host):
        return False
    first = (pattern[0] == "*" and len(pattern) > 1) or pattern[0] == host[0]
    return first and pattern[1:] == host[1:]


def _constrained(chain: list[x509.Certificate]) -> bool:
    """Tell whether the leaf's names keep to the constraints of those above it."""
    names = list(extension(chain[0], x509.SubjectAlternativeName) or [])
    for issuer in chain[1:]:
        constraints = extension(issuer, x509.NameConstraints)
        if constraints is None:
            continue
        for name in names:
            within = _WITHIN.get(type(name))
            permitted = [tree for tree in constraints.permitted_subtrees or [] if type(tree) is type(name)]
            excluded = [tree for tree in constraints.excluded_subtrees or [] if type(tree) is type(name)]
            if within is None:
                if permitted or excluded:
                    return False
                continue
            if any(within(name.value, tree.value) for tree in excluded):
                return False
            if permitted and not any(within(name.value, tree.value) for tree in permitted):
                return False
    return True


def _in_domain(name: str, domain: str) -> bool:
    name, domain = name.lower().rstrip("."), domain.lower()
    if not domain:
        return True
    return name.endswith(domain) if domain.startswith(".") else name == domain or name.endswith(f".{domain}")


def _in_mail(address: str, constraint: str) -> bool:
    if "@" in constraint:
        return address.lower() == constraint.lower()
    host = address.rpartition("@")[2].lower()
    return host.endswith(constraint.lower()) if constraint.startswith(".") else host == constraint.lower()


def _in_network(address: Any, network: Any) -> bool:
    return address.version == network.version and address in network


_WITHIN: dict[type[Any], Callable[[Any, Any], bool]] = {
    x509.DNSName: _in_domain,
    x509.RFC822Name: _in_mail,
    x509.IPAddress: _in_network,
}


def verify(context: Context, value: Any) -> list[Any]:
    """Verify a chain: the first certificate is the root, the last the leaf."""
    return _verified(context, value, _Options(_at(context.now_ns)))


def verify_with_options(context: Context, value: Any, options: Any) -> list[Any]:
    """Verify a chain for a host, a time, or other usages than a server's."""
    text(value, 1)
    asked = an_object(options, 2)
    try:
        load(value)
    except BuiltinError:
        return [False, []]
    fine, chain = _verified(context, value, _options(context, asked))
    for one in chain:
        del one["URIStrings"]  # OPA adds these to the other function's only
    return [fine, chain]


BUILTINS = table(
    Builtin("crypto.x509.parse_and_verify_certificates", 1, verify),
    Builtin("crypto.x509.parse_and_verify_certificates_with_options", 2, verify_with_options),
)
