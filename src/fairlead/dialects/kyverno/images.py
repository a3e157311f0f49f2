"""verifyImages: which images of a subject a rule is about, and what must hold of each: a digest, signatures, attestations.

Parsed in full; signatures are verified by whoever answers the Need `image.verification`, never here. Until somebody does, a rule that
asks for signatures is an error for every image that it is about, and a finding says so when the policy is read.
Source: kyverno/kyverno api/kyverno/v1/image_verification_types.go, pkg/engine/handlers/validation/validate_image.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.dialects.kyverno.fields import Fields, take
from fairlead.dialects.kyverno.rules import AUDIT, Actions, read_actions
from fairlead.dialects.kyverno.templates import compile_template
from fairlead.dialects.kyverno.validating import BadRule
from fairlead.judge.policies import Outcome
from fairlead.judge.reading import Source, unsupported
from fairlead.judge.surroundings import Lacking
from fairlead.tongues import globs
from fairlead.tongues.jmespath import to_json
from fairlead.tongues.paths import dotted, mapping
from fairlead.words import Finding, Need, Page, Ref, Severity, Where

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
    """One entry: the images it is about, and what it asks of them."""

    meant: tuple[Callable[[str], bool], ...]
    spared: tuple[Callable[[str], bool], ...]
    signed: bool
    digest: bool
    fill: Callable[[Context], Any]
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
                "signatures cannot be verified yet: the rule is an error for the images that it is about"
            )
        if entry.get("mutateDigest") is not False:
            lacks.append("tags are not replaced by digests (mutateDigest)")
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

    The Need is `image.verification` about the image, whose detail has `what` = `entry` and the entry, its variables filled in, as
    JSON. Its answer is a mapping: `verified`, and a `message` where that is false.
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
    return _Entry(
        tuple(globs.compile(one) for one in names),
        tuple(globs.compile(one) for one in _texts(document.get("skipImageReferences"))),
        any(document.get(name) for name in _SIGNED),
        document.get("verifyDigest") is not False,
        compile_template(dict(document)),
        read_actions(document.get("failureAction"), None, usual, path),
    )


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
            asked = (("what", "entry"), ("entry", to_json(entry.fill(context))))
            answer = context.around.ask(Need("image.verification", Ref("", "", "", image), asked))
        except (Lacking, RecursionError):
            raise
        except Unresolved as error:
            return Outcome(result="error", message=str(error), actions=actions, paths=where)
        except Exception as error:  # noqa: BLE001  whatever the one who was asked gave as the reason
            message = f"failed to verify image {image}: signatures cannot be verified yet: {error}"
            return Outcome(result="error", message=message, actions=actions, paths=where)
        if not mapping(answer).get("verified"):
            why = str(mapping(answer).get("message") or f"unverified image {image}")
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
