"""verifyImages: which images of a subject a rule is about, and what must hold of each: a digest, signatures, attestations.

Signatures are verified by whoever answers the Need `image.verification` (judge/signatures.py), never here; where nobody does, a rule that asks
for them is an error for every image that it is about, and a finding says so when the policy is read. Tags become digests in a rule of
their own, before anything is judged.
Source: kyverno/kyverno api/kyverno/v1/image_verification_types.go, pkg/engine/handlers/validation/validate_image.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fairlead.dialects.kyverno.conditions import BadCondition, Conditions, compile_conditions
from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.dialects.kyverno.fields import Fields, take
from fairlead.dialects.kyverno.imageattestors import (
    NOTARY,
    Group,
    Usual,
    credentials_of,
    missed,
    old_fields,
    questions,
    read_sets,
)
from fairlead.dialects.kyverno.rules import AUDIT, Actions, read_actions
from fairlead.dialects.kyverno.templates import compile_template
from fairlead.dialects.kyverno.validating import BadRule
from fairlead.judge.policies import Outcome
from fairlead.judge.reading import Source, unsupported
from fairlead.judge.signatures import Found, digest_need, verified
from fairlead.judge.surroundings import Lacking
from fairlead.tongues import globs, jsonpatch
from fairlead.tongues.paths import dotted, mapping
from fairlead.words import Finding, Need, Page, Severity, Where

Verification: TypeAlias = Callable[[Context], "Outcome | None"]
"""Judge the images of one subject. None: it has no image that the rule is about. Raises Lacking."""

_LOGS: Fields = {"url": None, "pubkey": None, "ignoreTlog": None}
_CERTIFICATE_LOG: Fields = {"ignoreSCT": None, "pubkey": None, "tsaCertChain": None}
_ATTESTOR: Fields = {
    "keys": {
        "publicKeys": None, "signatureAlgorithm": None, "kms": None, "secret": {"name": None, "namespace": None},
        "rekor": _LOGS, "ctlog": _CERTIFICATE_LOG,
    },
    "certificates": {"cert": None, "certChain": None, "rekor": _LOGS, "ctlog": _CERTIFICATE_LOG},
    "keyless": {
        "issuer": None, "issuerRegExp": None, "subject": None, "subjectRegExp": None, "roots": None,
        "additionalExtensions": None, "rekor": _LOGS, "ctlog": _CERTIFICATE_LOG,
    },
    "attestor": None,
    "annotations": None,
    "repository": None,
    "signatureAlgorithm": None,
}  # fmt: skip
_ATTESTORS: Fields = {"count": None, "entries": [_ATTESTOR]}
ENTRY: Final[Fields] = {
    "type": None,
    "imageReferences": None,
    "skipImageReferences": None,
    "attestors": [_ATTESTORS],
    "attestations": [
        {"name": None, "type": None, "predicateType": None, "attestors": [_ATTESTORS], "conditions": None}
    ],
    "annotations": None,
    "repository": None,
    "cosignOCI11": None,
    "mutateDigest": None,
    "verifyDigest": None,
    "required": None,
    "validate": None,
    "imageRegistryCredentials": {"allowInsecureRegistry": None, "providers": None, "secrets": None},
    "useCache": None,
    "failureAction": None,
    **dict.fromkeys(("image", "key", "roots", "subject", "issuer", "additionalExtensions")),
}
"""The fields of an entry of verifyImages; the last six are those of Kyverno's first versions."""

_TYPES = frozenset({"", "Cosign", "SigstoreBundle", "Notary"})
_SIGNED = ("attestors", "attestations", "key", "roots", "subject", "issuer")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry: the images it is about, and what it asks of them. `conditions` are those of each attestation."""

    meant: tuple[Callable[[str], bool], ...]
    spared: tuple[Callable[[str], bool], ...]
    signed: bool
    digest: bool
    pinned: bool
    fill: Callable[[Context], Any]
    conditions: tuple[Conditions, ...]
    actions: Actions

    def about(self, image: str) -> bool:
        """Whether the entry is about an image, given by its whole reference."""
        return any(fits(image) for fits in self.meant) and not any(fits(image) for fits in self.spared)


def doubts(document: Mapping[str, Any], source: Source, path: str) -> list[Finding]:
    """Return what of a rule's `verifyImages` is unknown, or cannot be done yet. Never raises."""
    found: list[Finding] = []
    listed = document.get("verifyImages")
    for index, entry in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(entry, Mapping):
            continue
        here = f"{path}.verifyImages[{index}]"
        place = source.locate(here)
        page = Page(entry, Where(place.file, place.line, here))
        take(page, ENTRY)
        found += unsupported(page, source)
        lacks = []
        if any(entry.get(name) for name in _SIGNED):
            lacks.append(
                "signatures are verified where something answers for them; elsewhere images that the rule is about are an error"
            )
        if entry.get("type") == "Notary":
            lacks.append(NOTARY)
        found += [
            Finding(
                rule="policy.unsupported",
                severity=Severity.WARNING,
                subject=source.ref,
                message=f"{here}: {lack}",
                where=place,
            )
            for lack in lacks
        ]
    return found


def compile_verification(rule: Mapping[str, Any], source: Source, path: str) -> Verification:
    """Compile a rule's `verifyImages` (`path` is the rule's place in the document). Raises BadRule.

    What is asked has its variables filled in; conditions over what was attested see the predicate's fields.
    """
    listed = rule.get("verifyImages")
    path = f"{path}.verifyImages"
    if not isinstance(listed, list) or not listed or not all(isinstance(one, Mapping) for one in listed):
        raise BadRule(path, "verifyImages must be a list of mappings")
    entries = [_entry(one, source, f"{path}[{index}]") for index, one in enumerate(listed)]

    def run(context: Context) -> Outcome | None:
        checked = False
        if context.subject.object is None:
            return None
        for entry in entries:
            for image, pointer in _images(context):
                if not entry.about(image):
                    continue
                checked = True
                said = _verify(entry, image, pointer, context)
                if said is not None:
                    return said
        return Outcome(result="pass", message="image verified") if checked else None

    return run


def _entry(document: Mapping[str, Any], source: Source, path: str) -> _Entry:
    kind = document.get("type") or ""
    if kind not in _TYPES:
        raise BadRule(f"{path}.type", f"unknown image verification type {kind!r}")
    names = [*_texts(document.get("imageReferences")), *_texts(document.get("image"))]
    if not names:
        raise BadRule(f"{path}.imageReferences", "An image reference is required")
    spec = mapping(source.content, "spec")
    usual = read_actions(
        spec.get("validationFailureAction"),
        spec.get("validationFailureActionOverrides"),
        Actions(AUDIT),
        ".spec.validationFailureActionOverrides",
    )
    attestations = [mapping(one) for one in _listed(document.get("attestations"))]
    bare = [{key: value for key, value in one.items() if key != "conditions"} for one in attestations]
    try:
        conditions = tuple(compile_conditions(one.get("conditions")) for one in attestations)
    except BadCondition as error:
        raise BadRule(f"{path}.attestations", str(error)) from None
    return _Entry(
        tuple(globs.compile(one) for one in names),
        tuple(globs.compile(one) for one in _texts(document.get("skipImageReferences"))),
        any(document.get(name) for name in _SIGNED),
        document.get("verifyDigest") is not False,
        document.get("mutateDigest") is not False,
        compile_template({**document, "attestations": bare}),
        conditions,
        read_actions(document.get("failureAction"), None, usual, path),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _images(context: Context) -> Iterator[tuple[str, str]]:
    """Yield each image's whole reference and its pointer in the object."""
    groups = context.data["images"]
    for group in groups.values() if isinstance(groups, dict) else ():
        for image in group.values():
            yield image["reference"], image.get("jsonPointer", "")


def _verify(entry: _Entry, image: str, pointer: str, context: Context) -> Outcome | None:
    """Return what is wrong with an image, None when nothing is."""
    steps = pointer.split("/")[1:]
    where = (dotted(tuple(int(step) if step.isdigit() else step for step in steps)),) if steps else ()
    actions = entry.actions.of(context.subject, context.around)
    if entry.signed:
        try:
            why = _unsigned(entry, image, context)
        except (Lacking, RecursionError):
            raise
        except Unresolved as error:
            return Outcome(result="error", message=str(error), actions=actions, paths=where)
        except Exception as error:  # noqa: BLE001  whatever the one who was asked gave as the reason
            message = f"failed to verify image {image}: {error}"
            return Outcome(result="error", message=message, actions=actions, paths=where)
        if why:
            return Outcome(
                result="fail", message=f"failed to verify image {image}: {why}", actions=actions, paths=where
            )
    if entry.digest and "@" not in image:
        return Outcome(
            result="fail",
            message=f"missing digest for {image}",
            actions=actions,
            paths=where,
            wanted="an image with its digest: name@sha256:...",
        )
    return None


def _unsigned(entry: _Entry, image: str, context: Context) -> str:
    """Return why an image is not signed, or not attested, as the entry wants; "" where it is. Raises Lacking."""
    document = mapping(entry.fill(context))
    if document.get("type") == "Notary":
        raise ValueError(NOTARY)
    around = context.around

    def look(namespace: str, name: str) -> Any:
        return around.view.get("", "Secret", namespace, name)

    usual = Usual(
        str(document.get("repository") or ""),
        document.get("type") == "SigstoreBundle",
        {str(key): str(value) for key, value in mapping(document, "annotations").items()},
    )
    credentials = credentials_of(document.get("imageRegistryCredentials"))
    needs: list[Need] = []

    def proven(groups: Sequence[Group]) -> tuple[str, list[Mapping[str, Any]]]:
        asked = questions(groups)
        found: Sequence[Found] = ()
        if asked:
            found = verified(around, image, asked, credentials).found
        return missed(groups, found)

    sets = [*_listed(document.get("attestors")), *old_fields(document)]
    if sets:
        try:
            why, _ = proven(read_sets(sets, ".attestors", usual, look))
            if why:
                return why
        except Lacking as lacking:
            needs += lacking.needs
    for index, one in enumerate(_listed(document.get("attestations"))):
        attestation = mapping(one)
        kind = str(attestation.get("type") or attestation.get("predicateType") or "")
        if not kind:
            return f".attestations[{index}].type: a type is required"
        path = f".attestations[{index}].attestors"
        try:
            why, said = proven(read_sets(attestation.get("attestors"), path, usual, look, kind))
        except Lacking as lacking:
            needs += lacking.needs
            continue
        why = why or _unmet(entry.conditions[index], said, kind, image, context)
        if why:
            return why
    if needs:
        raise Lacking(*dict.fromkeys(needs))
    return ""


def _unmet(
    conditions: Conditions, proven: Sequence[Mapping[str, Any]], kind: str, image: str, context: Context
) -> str:
    """Return which condition what was attested does not meet: each statement must meet all."""
    if not conditions:
        return ""
    for one in proven:
        predicate = mapping(one.get("statement")).get("predicate")
        if not isinstance(predicate, Mapping):
            return f"attestation checks failed for {image} and predicate {kind}: the predicate is no object"
        with context.scope(predicate):
            held, message = conditions.explain(context)
        if not held:
            return f"attestation checks failed for {image} and predicate {kind}: {message}".rstrip(": ")
    return ""


def compile_pinning(rule: Mapping[str, Any], source: Source, path: str) -> Verification | None:
    """Compile what puts digests in place of tags (mutateDigest); None where no entry of the rule does. Raises BadRule."""
    listed = rule.get("verifyImages")
    entries = [
        _entry(one, source, f"{path}.verifyImages[{index}]")
        for index, one in enumerate(_listed(listed))
        if isinstance(one, Mapping)
    ]
    if not any(one.pinned and one.signed for one in entries):
        return None

    def run(context: Context) -> Outcome | None:
        changed: Any = context.subject.object
        if changed is None:
            return None
        needs: list[Need] = []
        for image, pointer in _images(context):
            if "@" in image or not any(one.pinned and one.signed and one.about(image) for one in entries):
                continue
            try:
                digest = str(mapping(context.around.ask(digest_need(image))).get("digest") or "")
            except Lacking as lacking:
                needs += lacking.needs
                continue
            except Exception:  # noqa: BLE001, S112  whatever the reason, the tag stays, and the rule itself says so
                continue
            if digest and pointer:
                changed = jsonpatch.apply(
                    changed, [{"op": "replace", "path": pointer, "value": f"{image}@{digest}"}]
                )
        if needs:
            raise Lacking(*dict.fromkeys(needs))
        if changed == context.subject.object:
            return None
        return Outcome(result="pass", message="mutated image digest", object=changed)

    return run
