"""What a policy asks of an image's signatures, and what it makes of the answer. Used by rules, and by whoever pulls artifacts.

An authority that cannot be asked for has failed. One authority that passes is enough for a policy, as policy-controller has it.
Source: sigstore/policy-controller pkg/webhook/validator.go.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fairlead.dialects.imagepolicy.policies import Authority, ImagePolicy, Secret, TrustRoot, Wanted
from fairlead.judge.signatures import SIGNING, AuthorityAsked, Found, IdentityAsked
from fairlead.judge.surroundings import Surroundings
from fairlead.words import Resource

_GITHUB = {
    "githubWorkflowTrigger": "githubWorkflowTrigger", "githubWorkflowSha": "githubWorkflowSha",
    "githubWorkflowName": "githubWorkflowName", "githubWorkflowRepo": "githubWorkflowRepository",
    "githubWorkflowRef": "githubWorkflowRef",
}  # fmt: skip

Look: TypeAlias = Callable[[Secret], "Resource | None"]
"""Return a Secret, where there is one."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for one authority: a question for its signature, or one for each sort of attestation. `error`: why nothing can be."""

    authority: Authority
    asked: tuple[AuthorityAsked, ...]
    error: str = ""


def questions(policy: ImagePolicy, roots: Mapping[str, TrustRoot], look: Look) -> list[Question]:
    """Return what a policy asks, for each of its authorities but static ones."""
    return [_question(one, roots, look) for one in policy.authorities if not one.static]


def _question(one: Authority, roots: Mapping[str, TrustRoot], look: Look) -> Question:
    if one.faults:
        return Question(one, (), one.faults[0])
    try:
        root = _root(one, roots, look)
        keys = _keys(one, look)
    except LookupError as error:
        return Question(one, (), str(error.args[0]))
    log, stamped = _proofs(one)
    made: AuthorityAsked = {
        "name": one.name,
        "root": root,
        "log": log,
        "stamped": stamped,
        "promised": one.keyless and not one.unpromised,
        "legacy": not one.bundles,
        "bundles": one.bundles,
        "sources": [dict(source) for source in one.sources],
    }
    if keys:
        made["keys"] = [{"pem": keys, "hash": one.hash}]
    if one.keyless:
        made["identities"] = [_identity(identity) for identity in one.identities]
    predicates = list(dict.fromkeys(wanted.predicate for wanted in one.attestations)) or [SIGNING]
    return Question(one, tuple({**made, "predicate": predicate} for predicate in predicates))


def _identity(found: Mapping[str, str]) -> IdentityAsked:
    made: IdentityAsked = {}
    for key in ("subject", "subjectRegExp", "issuer", "issuerRegExp"):
        if found.get(key):
            made[key] = found[key]
    return made


def _proofs(one: Authority) -> tuple[Literal["require", "check", "ignore"], bool]:
    """Return what is asked of logs, and whether a timestamp is: with a timestamp no log; with an empty `ctlog` none either.

    By default a certificate needs a log, where sigstore's own services are trusted or bundles are asked for; a key does not.
    """
    if one.stamp is not None:
        return "check", True
    if one.log is not None:
        return ("require" if one.log.get("url") or one.log.get("trustRootRef") else "ignore"), False
    return ("require" if one.keyless and (one.bundles or not one.trust) else "check"), False


def _root(one: Authority, roots: Mapping[str, TrustRoot], look: Look) -> dict[str, Any]:
    """Return where trust comes from, part by part: a TrustRoot that is named for just this part, or sigstore's own."""
    log = (one.log or {}).get("trustRootRef", "")
    named = {
        "certificateAuthorities": one.trust,
        "ctLogs": one.trust,
        "tLogs": log or ("" if one.log is not None else one.trust),
        "timestampAuthorities": one.stamp or one.trust,
    }
    held: dict[str, Any] = {}
    for part, name in named.items():
        if name:
            root = roots.get(name)
            if root is None:
                raise LookupError(f"trustRootRef {name} not found")
            if root.fault:
                raise LookupError(f"TrustRoot {name}: {root.fault}")
            held[part] = root.keys.get(part) or []
    authorities = one.authorities or (_data(look, one.authorities_secret) if one.authorities_secret else "")
    found: dict[str, Any] = {}
    if held:
        found = {"sigstoreKeys": held, "own": [part for part, name in named.items() if not name]}
    if authorities:
        found["certificates"] = authorities
    return found


def _keys(one: Authority, look: Look) -> str:
    return one.key or (_data(look, one.secret) if one.secret else "")


def _data(look: Look, secret: Secret) -> str:
    found = look(secret)
    data = (found or {}).get("data")
    if not isinstance(data, Mapping) or not data:
        raise LookupError(f"secret {secret.namespace}/{secret.name} not found, or empty")
    if len(data) > 1:
        raise LookupError(f"secret {secret.namespace}/{secret.name}: has {len(data)} keys, and one is wanted")
    try:
        return base64.b64decode(str(next(iter(data.values()))), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise LookupError(f"secret {secret.namespace}/{secret.name}: not text in base64") from error


@dataclass(frozen=True, slots=True)
class Concluded:
    """What came of a policy for an image. `matches` is what each authority that passes has verified; without any, `errors` say why."""

    matches: Mapping[str, Any]
    errors: tuple[str, ...]


def conclude(
    policy: ImagePolicy,
    asked: Sequence[Question],
    answers: Mapping[str, Sequence[Found]],
    image: str,
    around: Surroundings,
) -> Concluded:
    """Return what the answers make of a policy. `answers` are by the authority's name, one for each question. Raises Lacking."""
    matches: dict[str, Any] = {}
    errors: list[str] = []
    by_name = {one.authority.name: one for one in asked}
    for authority in policy.authorities:
        if authority.static == "pass" and not authority.faults:
            matches[authority.name] = {"static": True}
        elif authority.static:
            errors.append(f"disallowed by static policy: {authority.message}")
        else:
            question = by_name[authority.name]
            found = answers.get(authority.name, ())
            match, why = _passed(question, found, image, around)
            if match is not None:
                matches[authority.name] = match
            else:
                errors.append(why)
    return Concluded(matches, tuple(errors))


def _passed(
    question: Question, found: Sequence[Found], image: str, around: Surroundings
) -> tuple[dict[str, Any] | None, str]:
    authority = question.authority
    if question.error:
        return None, question.error
    sort = "key" if not authority.keyless else "keyless"
    if not authority.attestations:
        if len(found) == 1 and found[0].proven:
            return {"signatures": [_signature(one) for one in found[0].proven]}, ""
        why = found[0].error if found else "not verified"
        return None, f"signature {sort} validation failed for authority {authority.name} for {image}: {why}"
    passed: dict[str, list[dict[str, Any]]] = {}
    by_type = {asked["predicate"]: one for asked, one in zip(question.asked, found, strict=False)}
    for wanted in authority.attestations:
        good, why = _complying(wanted, by_type.get(wanted.predicate), around)
        if not good:
            where = f"attestation {sort} validation failed for authority {authority.name} for {image}"
            return None, f"{where}: {why}"
        passed[wanted.name] = good
    return {"attestations": passed}, ""


def _complying(wanted: Wanted, found: Found | None, around: Surroundings) -> tuple[list[dict[str, Any]], str]:
    if found is None or not found.proven:
        why = found.error if found is not None else "not verified"
        return [], f"no matching attestations with type {wanted.type}: {why}"
    good: list[dict[str, Any]] = []
    why = ""
    for one in found.proven:
        said = wanted.compliance.judge(one.get("statement"), around) if wanted.compliance is not None else ""
        if said:
            why = why or f"failed policy validation for {wanted.name}: {said}"
        else:
            good.append({**_signature(one), "predicateType": wanted.type, "payload": one.get("statement")})
    return good, why


def _signature(one: Mapping[str, Any]) -> dict[str, Any]:
    said = one.get("extensions")
    extensions: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    made = {"id": one.get("id"), "subject": one.get("subject"), "issuer": one.get("issuer")}
    made |= {key: extensions.get(name) for key, name in _GITHUB.items()}
    return {key: value for key, value in made.items() if value}
