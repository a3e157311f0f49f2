"""Attestors: who must have signed an image, as Kyverno's old and new kinds write it, turned into what is asked of signatures.

Sets count: all of their entries by default, or as many as `count` says; an empty set is satisfied by nothing. Notary signatures, keys of
management services and TUF roots are refused with a text that says so. Nothing here is verified.
Source: kyverno/kyverno pkg/imageverification, pkg/cosign, api/kyverno/v1/image_verification_types.go, api/policies.kyverno.io Attestor.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fairlead.judge.signatures import SIGNING, AuthorityAsked, Found, IdentityAsked, KeyAsked
from fairlead.tongues.paths import mapping
from fairlead.words import Resource

Look: TypeAlias = Callable[[str, str], "Resource | None"]
"""(namespace, name) -> the Secret, where there is one."""
_BLOCK = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_KYVERNO = "kyverno"
_ANYBODY: IdentityAsked = {"subjectRegExp": "."}
NOTARY = "Notary signatures are not supported: sign with cosign, or with sigstore bundles"


class BadAttestor(ValueError):
    """An attestor cannot be asked for; the text says why."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One attestor: what is asked, or why nothing can be."""

    path: str
    asked: AuthorityAsked | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Attestors of which `count` must have signed (0: all of them)."""

    path: str
    count: int
    members: tuple[Leaf | Group, ...]


@dataclass(frozen=True, slots=True)
class Usual:
    """What an entry says for all of its attestors: where to look, and in which form."""

    repository: str = ""
    bundles: bool = False
    annotations: Mapping[str, str] | None = None


def read_sets(listed: Any, path: str, usual: Usual, look: Look, predicate: str = SIGNING) -> list[Group]:
    """Return the attestor sets of a filled-in document."""
    sets = listed if isinstance(listed, list) else []
    return [_set(mapping(one), f"{path}[{index}]", usual, look, predicate) for index, one in enumerate(sets)]


def _set(document: Mapping[str, Any], path: str, usual: Usual, look: Look, predicate: str) -> Group:
    entries = document.get("entries")
    members: list[Leaf | Group] = []
    for index, one in enumerate(entries if isinstance(entries, list) else []):
        here = f"{path}.entries[{index}]"
        entry = mapping(one)
        if entry.get("attestor") is not None:
            members.append(_set(mapping(entry["attestor"]), f"{here}.attestor", usual, look, predicate))
            continue
        members += _expanded(entry, here, usual, look, predicate)
    count = document.get("count")
    return Group(path, count if isinstance(count, int) and count > 0 else 0, tuple(members))


def _expanded(entry: Mapping[str, Any], path: str, usual: Usual, look: Look, predicate: str) -> list[Leaf]:
    """Return an entry's attestors: several keys in one text are several attestors."""
    keys = mapping(entry, "keys").get("publicKeys")
    found = _BLOCK.findall(keys) if isinstance(keys, str) else []
    if len(found) > 1:
        each = [{**entry, "keys": {**mapping(entry, "keys"), "publicKeys": one}} for one in found]
        return [_leaf(one, path, usual, look, predicate) for one in each]
    return [_leaf(entry, path, usual, look, predicate)]


def _leaf(entry: Mapping[str, Any], path: str, usual: Usual, look: Look, predicate: str) -> Leaf:
    kinds = [kind for kind in ("keys", "certificates", "keyless") if entry.get(kind)]
    if len(kinds) != 1:
        return Leaf(path, None, "exactly one of keys, certificates and keyless is wanted")
    here = f"{path}.{kinds[0]}"
    body = mapping(entry, kinds[0])
    annotations = {**(usual.annotations or {}), **_texts(entry.get("annotations"))}
    repository = str(entry.get("repository") or usual.repository)
    asked: AuthorityAsked = {
        "name": here,
        "predicate": predicate,
        "annotations": annotations,
        "legacy": not usual.bundles,
        "bundles": usual.bundles,
        "sources": [{"repository": repository, "prefix": ""}],
        **_proofs(body),
    }
    try:
        if kinds == ["keys"]:
            asked["keys"] = [_key(body, entry, look)]
        elif kinds == ["certificates"]:
            _certificates(body, asked)
        else:
            _keyless(body, asked)
    except BadAttestor as error:
        return Leaf(here, None, str(error))
    return Leaf(here, asked)


def _texts(found: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in mapping(found).items()}


def _proofs(body: Mapping[str, Any]) -> AuthorityAsked:
    """Return what logs have to prove: everything, unless `rekor` and `ctlog` say otherwise."""
    rekor, ctlog = mapping(body, "rekor"), mapping(body, "ctlog")
    log: Literal["require", "ignore"] = "ignore" if rekor.get("ignoreTlog") is True else "require"
    made: AuthorityAsked = {"log": log, "promised": ctlog.get("ignoreSCT") is not True}
    root: dict[str, Any] = {}
    for key, value in (("logKeys", rekor.get("pubkey")), ("certificateLogKeys", ctlog.get("pubkey")),
                       ("stampers", ctlog.get("tsaCertChain"))):  # fmt: skip
        if value:
            root[key] = str(value)
    if ctlog.get("tsaCertChain"):
        made["stamped"] = True
        made["log"] = "ignore" if log == "ignore" else "check"
    if root:
        made["root"] = root
    return made


def _key(body: Mapping[str, Any], entry: Mapping[str, Any], look: Look) -> KeyAsked:
    text, secret = str(body.get("publicKeys") or "").strip(), mapping(body, "secret")
    hashed = str(body.get("signatureAlgorithm") or entry.get("signatureAlgorithm") or "")
    if body.get("kms") or (text and "://" in text.split("\n")[0] and not text.startswith("k8s://")):
        raise BadAttestor("keys of a key management service are not supported; give the public key itself")
    if text.startswith("k8s://"):
        namespace, _, name = text.removeprefix("k8s://").partition("/")
        text = _secret(look, namespace, name)
    elif not text and secret:
        text = _secret(look, str(secret.get("namespace") or _KYVERNO), str(secret.get("name") or ""))
    if not text:
        raise BadAttestor("there is no public key")
    return {"pem": text, "hash": hashed}


def _secret(look: Look, namespace: str, name: str) -> str:
    data = mapping(look(namespace, name), "data")
    held = data.get("cosign.pub") or (next(iter(data.values())) if len(data) == 1 else None)
    if not isinstance(held, str):
        raise BadAttestor(f"the secret {namespace}/{name} is not there, or holds no cosign.pub")
    try:
        return base64.b64decode(held, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise BadAttestor(f"the secret {namespace}/{name}: not text in base64") from error


def _certificates(body: Mapping[str, Any], asked: AuthorityAsked) -> None:
    leaf, chain = str(body.get("cert") or ""), str(body.get("certChain") or "")
    if leaf:
        asked["leaf"] = leaf
        if chain:
            asked["chain"] = chain
    elif chain:
        asked["identities"] = [_ANYBODY]
        asked["root"] = {**asked.get("root", {}), "certificates": chain}
    else:
        raise BadAttestor("neither cert nor certChain is given")


def _keyless(body: Mapping[str, Any], asked: AuthorityAsked) -> None:
    identity: IdentityAsked = {}
    subject, issuer = str(body.get("subject") or ""), str(body.get("issuer") or "")
    if subject:
        _exact(subject, identity)
    if body.get("subjectRegExp"):
        identity["subjectRegExp"] = str(body["subjectRegExp"])
    if issuer:
        identity["issuer"] = issuer
    if body.get("issuerRegExp"):
        identity["issuerRegExp"] = str(body["issuerRegExp"])
    if not identity and not body.get("roots"):
        raise BadAttestor("neither a subject nor an issuer is given, so anybody could have signed")
    asked["identities"] = [identity or _ANYBODY]
    if body.get("roots"):
        asked["root"] = {**asked.get("root", {}), "certificates": str(body["roots"])}
    extra = _texts(body.get("additionalExtensions"))
    if extra:
        asked["extensions"] = extra


def _exact(subject: str, identity: IdentityAsked) -> None:
    """Take a subject, in which `*` and `?` are wildcards."""
    if "*" not in subject and "?" not in subject:
        identity["subject"] = subject
        return
    parts = [
        ".*" if part == "*" else "." if part == "?" else re.escape(part)
        for part in re.split(r"([*?])", subject)
    ]
    identity["subjectRegExp"] = f"^(?:{''.join(parts)})$"


def questions(groups: Sequence[Group]) -> list[AuthorityAsked]:
    """Return everything that is asked, in order."""
    return [leaf.asked for leaf in _leaves(groups) if leaf.asked is not None]


def _leaves(groups: Sequence[Leaf | Group]) -> Iterator[Leaf]:
    for one in groups:
        if isinstance(one, Leaf):
            yield one
        else:
            yield from _leaves(one.members)


def missed(groups: Sequence[Group], found: Sequence[Found]) -> tuple[str, list[Mapping[str, Any]]]:
    """Return why the sets are not satisfied ("": they are), and what was proven."""
    if not groups:
        return "no attestors are given", []
    if len(found) != len(questions(groups)):
        return "the answer is not about what was asked", []
    answers = iter(found)
    replies = {id(leaf): next(answers) for leaf in _leaves(groups) if leaf.asked is not None}
    proven: list[Mapping[str, Any]] = []
    for group in groups:
        ok, why = _satisfied(group, replies, proven)
        if not ok:
            return why, proven
    return "", proven


def _satisfied(
    group: Group, replies: Mapping[int, Found], proven: list[Mapping[str, Any]]
) -> tuple[bool, str]:
    if not group.members:
        return False, f"{group.path}: no entries are given"
    reasons: list[str] = []
    good = 0
    for one in group.members:
        if isinstance(one, Group):
            ok, why = _satisfied(one, replies, proven)
        else:
            reply = replies.get(id(one))
            ok = reply is not None and bool(reply.proven)
            why = f"{one.path}: {one.error or (reply.error if reply is not None else '') or 'no matching signatures'}"
            proven += reply.proven if reply is not None else ()
        good += ok
        if not ok:
            reasons.append(why)
    return good >= (group.count or len(group.members)), "; ".join(reasons)


# --- the attestors of ImageValidatingPolicy


def read_attestor(document: Mapping[str, Any], look: Look, predicate: str = SIGNING) -> AuthorityAsked:
    """Return what is asked for an attestor of the newer kinds. Raises BadAttestor."""
    name = str(document.get("name") or "attestor")
    if document.get("notary"):
        raise BadAttestor(f"{name}: {NOTARY}")
    body = mapping(document, "cosign")
    if body.get("tuf"):
        raise BadAttestor(f"{name}: TUF roots are not fetched")
    ctlog, source = mapping(body, "ctlog"), mapping(body, "source")
    sources = [
        {"repository": str(source.get("repository") or ""), "prefix": str(source.get("tagPrefix") or "")}
    ]
    made: AuthorityAsked = {
        "name": name, "predicate": predicate, "annotations": _texts(body.get("annotations")), "sources": sources,
        **_proofs({
            "rekor": {"ignoreTlog": ctlog.get("insecureIgnoreTlog"), "pubkey": ctlog.get("rekorPubKey")},
            "ctlog": {"ignoreSCT": ctlog.get("insecureIgnoreSCT"), "pubkey": ctlog.get("ctLogPubKey"),
                      "tsaCertChain": ctlog.get("tsaCertChain")},
        }),
    }  # fmt: skip
    if body.get("key"):
        made["keys"] = [_newer_key(mapping(body, "key"), look)]
        if not ctlog:
            made["log"] = "check"
    elif body.get("keyless"):
        _newer_keyless(mapping(body, "keyless"), made, name)
    elif body.get("certificate"):
        held = mapping(body, "certificate")
        _certificates({"cert": _value(held.get("cert")), "certChain": _value(held.get("certChain"))}, made)
    else:
        raise BadAttestor(f"{name}: exactly one of key, keyless and certificate is wanted")
    return made


def _value(found: Any) -> str:
    """Return a text, or the `value` of an object. What an expression gives was filled in before."""
    return str(mapping(found).get("value") or "") if isinstance(found, Mapping) else str(found or "")


def _newer_key(body: Mapping[str, Any], look: Look) -> KeyAsked:
    if body.get("kms"):
        raise BadAttestor("keys of a key management service are not supported; give the public key itself")
    text = _value(body.get("data"))
    reference = mapping(body, "secretRef")
    if not text and reference:
        text = _secret(look, str(reference.get("namespace") or _KYVERNO), str(reference.get("name") or ""))
    if not text:
        raise BadAttestor("there is no public key")
    return {"pem": text, "hash": str(body.get("hashAlgorithm") or "").lower()}


def _newer_keyless(body: Mapping[str, Any], made: AuthorityAsked, name: str) -> None:
    listed = body.get("identities")
    identities: list[IdentityAsked] = []
    for one in listed if isinstance(listed, list) else []:
        identity: IdentityAsked = {}
        for key in ("subject", "subjectRegExp", "issuer", "issuerRegExp"):
            if mapping(one).get(key):
                identity[key] = str(one[key])
        identities += [identity] if identity else []
    if not identities:
        raise BadAttestor(f"{name}: no identities are given, so anybody could have signed")
    made["identities"] = identities
    roots = _value(body.get("roots"))
    if roots:
        made["root"] = {**made.get("root", {}), "certificates": roots}


def credentials_of(document: Any) -> dict[str, Any]:
    """Return the secrets that an entry pulls with, as `namespace/name`."""
    listed = mapping(document).get("secrets")
    names = [str(one) for one in listed] if isinstance(listed, list) else []
    return {"secrets": [f"{_KYVERNO}/{one}" for one in names]} if names else {}


def old_fields(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the attestor sets that the fields of Kyverno's first versions stand for."""
    found: list[dict[str, Any]] = []
    if entry.get("key"):
        found.append({"entries": [{"keys": {"publicKeys": entry["key"]}}]})
    keyless = {
        key: entry[key] for key in ("roots", "subject", "issuer", "additionalExtensions") if entry.get(key)
    }
    if keyless:
        found.append({"entries": [{"keyless": keyless}]})
    return found
