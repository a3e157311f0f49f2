"""Reads who is trusted, as rules and options ask for it, into what verifies: keys, certificates and trust roots.

Holds no rules. What cannot be read makes an authority that proves nothing, with the reason; never one that proves more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, get_args

from fairlead.drivers.signatures.attachments import Source
from fairlead.drivers.signatures.certificates import Identity, chains, holds, key_of
from fairlead.drivers.signatures.faults import BadKey, BadProof, BadTrust
from fairlead.drivers.signatures.keys import Key, read_public
from fairlead.drivers.signatures.roots import (
    Anchor,
    Chain,
    Log,
    Root,
    authority_of,
    embedded,
    read_certificates,
    read_keys,
    read_root,
)
from fairlead.drivers.signatures.verifying import Authority, Logging
from fairlead.judge.signatures import AuthorityAsked, IdentityAsked
from fairlead.tongues.paths import mapping


@lru_cache(maxsize=2)
def own() -> Root:
    """Return sigstore's own trust root, as it came with the package. Raises BadTrust."""
    return embedded()


def authority_of_asked(asked: AuthorityAsked, now: datetime, usual: Root | None = None) -> Authority:
    """Return an authority that a rule asks for. `usual` is trusted in place of sigstore's own root. Raises BadKey, BadTrust."""
    name = str(asked.get("name") or "the authority")
    root = _root(asked.get("root") or {}, name, usual, certified=bool(asked.get("identities")))
    keys = [
        key
        for one in asked.get("keys") or ()
        for key in read_public(
            str(one.get("pem") or ""),
            name if name.startswith("the ") else f"{name}: the key",
            one.get("hash") or "",
        )
    ]
    keys += _leaf(asked, name, now)
    log = asked.get("log") or "require"
    if log not in get_args(Logging):
        raise BadTrust(f"{name}: log is {log!r}")
    return Authority(
        name=name,
        keys=tuple(keys),
        identities=tuple(_identity(one) for one in asked.get("identities") or ()),
        root=root,
        log=log,
        promised=asked.get("promised") is not False,
        stamped=asked.get("stamped") is True,
        annotations=_texts(asked.get("annotations")),
        extensions=_texts(asked.get("extensions")),
        legacy=asked.get("legacy") is not False,
        bundles=asked.get("bundles") is not False,
        sources=tuple(_source(one) for one in asked.get("sources") or ()) or (Source(),),
    )


def _texts(found: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in mapping(found).items()}


def _identity(found: IdentityAsked) -> Identity:
    return Identity(
        found.get("subject") or "",
        found.get("subjectRegExp") or "",
        found.get("issuer") or "",
        found.get("issuerRegExp") or "",
        found.get("prefix") is True,
    )


def _source(found: Mapping[str, str]) -> Source:
    return Source(found.get("repository") or "", found.get("prefix") or "")


def _root(found: Mapping[str, Any], name: str, usual: Root | None, *, certified: bool) -> Root:
    """Return a trust root. Sigstore's own is read only where it is needed."""
    trusted = found.get("trustedRoot")
    if trusted is not None:
        root = read_root(json.dumps(trusted), f"{name}: trustedRoot")
    elif found.get("sigstoreKeys") is not None:
        root = read_keys(mapping(found["sigstoreKeys"]), f"{name}'s TrustRoot")
        root = _filled(root, found.get("own") or (), usual)
    elif certified or usual is not None:
        root = usual if usual is not None else own()
    else:
        root = _own_or_nothing()
    return _replaced(root, found, name)


def _own_or_nothing() -> Root:
    try:
        return own()
    except BadTrust:
        return Root("no trust root")


def _filled(root: Root, parts: Any, usual: Root | None) -> Root:
    if not parts:
        return root
    rest = usual or own()
    fields = {
        "certificateAuthorities": {"issuers": rest.issuers},
        "ctLogs": {"certificate_logs": rest.certificate_logs},
        "tLogs": {"logs": rest.logs},
        "timestampAuthorities": {"timestampers": rest.timestampers},
    }
    for part in parts:
        root = replace(root, **fields.get(part, {}))  # type: ignore[arg-type]  # each is its field's own type
    return root


def _replaced(root: Root, found: Mapping[str, Any], name: str) -> Root:
    if found.get("certificates"):
        chain = read_certificates(str(found["certificates"]), f"{name}: the authorities' certificates")
        root = replace(root, name=f"{name}'s certificates", issuers=authority_of(chain))
    if found.get("logKeys"):
        root = replace(root, logs=_logs(str(found["logKeys"]), f"{name}: the log's key"))
    if found.get("certificateLogKeys"):
        logs = _logs(str(found["certificateLogKeys"]), f"{name}: the certificate log's key")
        root = replace(root, certificate_logs=logs)
    if found.get("stampers"):
        chain = read_certificates(str(found["stampers"]), f"{name}: the timestamp authority's certificates")
        root = replace(root, timestampers=stampers_of(chain))
    return root


def stampers_of(chain: Chain) -> tuple[Anchor, ...]:
    """Return the timestamp authorities of a PEM file: the whole of it is one chain, leaf first."""
    return (Anchor(chain),) if chain else ()


def _logs(pem: str, what: str) -> tuple[Log, ...]:
    return tuple(Log(hashlib.sha256(key.der).digest(), key) for key in read_public(pem, what))


def _leaf(asked: AuthorityAsked, name: str, now: datetime) -> list[Key]:
    """Return the key of a certificate that is given as the signer's: valid now, and by the given chain where there is one."""
    if not asked.get("leaf"):
        return []
    leaf = read_certificates(asked["leaf"], f"{name}: the certificate")[0]
    if not holds(leaf, now):
        raise BadTrust(
            f"{name}: the certificate has expired or is not valid yet: {leaf.not_valid_before_utc:%Y-%m-%d} to "
            f"{leaf.not_valid_after_utc:%Y-%m-%d}"
        )
    if asked.get("chain"):
        trusted = authority_of(read_certificates(asked["chain"], f"{name}: the certificate's chain"))
        if next(chains(leaf, (), trusted, now), None) is None:
            raise BadTrust(f"{name}: the certificate was not issued by the given chain")
    try:
        return [key_of(leaf)]
    except BadProof as error:
        raise BadKey(f"{name}: {error}") from error
