"""ImageValidatingPolicy and NamespacedImageValidatingPolicy: which images must be signed, by whom, with which attestations.

Everything is read and compiled, and what needs no registry is evaluated here. Signatures, attestations and what a registry
says of an image are raised as Lacking, each with what its answer must tell.
Source: kyverno/kyverno pkg/cel/policies/ivpol, pkg/cel/libs/imageverify.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.dialects.kyverno import celpolicies_autogen as autogen
from fairlead.dialects.kyverno.cellibraries import ENVIRONMENT, MOMENT, asked
from fairlead.dialects.kyverno.celpolicies_evaluating import CelPolicy, Head, Meeting, meet, read_head
from fairlead.dialects.kyverno.celpolicies_exceptions import CelException
from fairlead.dialects.kyverno.celpolicies_refusing import refusal_of_images
from fairlead.dialects.kyverno.celpolicies_validating import Part, concerned, evaluate, part_of
from fairlead.dialects.kyverno.imageattestors import NOTARY, BadAttestor, credentials_of, read_attestor
from fairlead.judge.expressions import Compiler, Expression
from fairlead.judge.policies import Outcome, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.signatures import (
    SIGNING,
    AuthorityAsked,
    Found,
    data_need,
    read_answer,
    verification_need,
)
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import cel
from fairlead.tongues.cel import syntax, types
from fairlead.tongues.globs import matches as glob_matches
from fairlead.tongues.paths import mapping
from fairlead.words import Finding, Page, Severity, Where

_ATTESTORS = ("cosign", "notary")
_VERIFIER = "__verifier"


class Verifier:
    """What verifies images, for one policy and one subject: the images that count, and whom to ask."""

    __slots__ = ("_around", "_policy", "_said", "_seen", "verified")
    cel_type = types.opaque("kyverno.imageverify")

    def __init__(self, policy: ImagePolicy, around: Surroundings, bindings: Mapping[str, Any]) -> None:
        self._policy = policy
        self._around = around
        self._seen = bindings
        self._said: dict[tuple[str, str], Any] = {}
        self.verified: dict[str, bool] = {}

    def meant(self, image: str) -> bool:
        """Whether the policy's matchImageReferences mean an image; without any, all are meant."""
        references = self._policy.references
        return not references or any(one.meant(image, self._seen) for one in references)

    def signatures(self, image: str, attestors: Any) -> int:
        """Return by how many of the attestors an image is signed."""
        if not self.meant(image):
            return 0
        return self._count(image, attestors)

    def attestations(self, image: str, attestation: str, attestors: Any) -> int:
        """Return by how many of the attestors an attestation of an image is signed."""
        if not self.meant(image):
            return 0
        return self._count(image, attestors, attestation)

    def payload(self, image: str, attestation: str) -> Any:
        """Return what an attestation says that was verified before: its predicate."""
        for (about, named), predicate in self._said.items():
            if (about, named) == (image, attestation):
                return predicate
        raise cel.Failed(
            f"attestation {attestation} of {image} has not been verified: call verifyAttestationSignatures first"
        )

    def data(self, image: str) -> Any:
        """Return what a registry says of an image."""
        return asked(self._around, data_need(image), "failed to get imagedata")

    def _count(self, image: str, attestors: Any, attestation: str = "") -> int:
        """Return by how many attestors an image is signed, or attested, and keep what they said."""
        predicate = SIGNING
        if attestation:
            found = self._policy.attestations.get(attestation)
            if found is None:
                raise cel.Failed(f"attestation not found in policy: {attestation}")
            if mapping(found, "referrer"):
                raise cel.Failed(f"attestation {attestation}: {NOTARY}")
            predicate = str(mapping(found, "intoto").get("type") or "")
            if not predicate:
                raise cel.Failed(f"attestation {attestation}: no type is given")
        listed = cel.to_json(attestors)
        try:
            asked = [
                read_attestor(mapping(one), self._look, predicate)
                for one in (listed if isinstance(listed, list) else [])
            ]
        except BadAttestor as error:
            raise cel.Failed(f"failed to verify image: {error}") from None
        found_ = self._answers(image, asked) if asked else ()
        good = [one for one in found_ if one.proven]
        if attestation and good:
            self._said[image, attestation] = mapping(good[0].proven[0].get("statement")).get("predicate")
        self.verified[image] = self.verified.get(image, False) or bool(good)
        return len(good)

    def _look(self, namespace: str, name: str) -> Any:
        return self._around.view.get("", "Secret", namespace, name)

    def _answers(self, image: str, attestors: list[AuthorityAsked]) -> Sequence[Found]:
        need = verification_need(image, attestors, credentials_of(self._policy.credentials))
        found = read_answer(asked(self._around, need, "failed to verify image")).found
        if len(found) != len(attestors):
            raise cel.Failed("failed to verify image: the answer is not about what was asked")
        return found


@dataclass(frozen=True, slots=True)
class Reference:
    """One of matchImageReferences: a glob, or an expression over `ref`."""

    glob: str
    expression: Expression | None

    def meant(self, image: str, bindings: Mapping[str, Any]) -> bool:
        """Whether an image is meant. Raises cel.Failed."""
        if self.expression is None:
            return glob_matches(self.glob, image)
        if self.expression.program is None:
            raise cel.Failed(self.expression.fault)
        return self.expression.program({**bindings, "ref": image}) is True


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """What an ImageValidatingPolicy says beyond its validations."""

    head: Head
    references: tuple[Reference, ...]
    extractors: tuple[tuple[str, Expression], ...]
    attestors: Mapping[str, Any]
    attestations: Mapping[str, Any]
    credentials: Mapping[str, Any]
    verify_digest: bool
    required: bool


def _hidden(function: str) -> Any:
    def expand(pos: int, target: Any, args: list[Any]) -> Any:  # noqa: ARG001  the face of all macros
        return syntax.Call(pos, function, None, [syntax.Ident(pos, _VERIFIER), *args])

    return expand


_V = "kyverno.imageverify"
_LIBRARY = cel.Library(
    _V,
    functions={
        f"kyverno.signatures({_V}, string, list(dyn)) int": Verifier.signatures,
        f"kyverno.attestations({_V}, string, string, list(dyn)) int": Verifier.attestations,
        f"kyverno.imageData({_V}, string) dyn": Verifier.data,
        f"kyverno.payload({_V}, string, string) dyn": Verifier.payload,
    },
    macros={
        ("verifyImageSignatures", 2, False): _hidden("kyverno.signatures"),
        ("verifyAttestationSignatures", 3, False): _hidden("kyverno.attestations"),
        ("getImageData", 1, False): _hidden("kyverno.imageData"),
        ("extractPayload", 2, False): _hidden("kyverno.payload"),
    },
)
_ENVIRONMENT = ENVIRONMENT.extend(
    variables={
        "attestors": types.DYN,
        "attestations": types.DYN,
        "ref": types.STRING,
        _VERIFIER: Verifier.cel_type,
    },
    libraries=(_LIBRARY,),
)


def read_images(source: Source) -> tuple[list[CelPolicy], list[Finding]]:
    """Read an ImageValidatingPolicy or a NamespacedImageValidatingPolicy."""
    page = source.page()
    spec = page.page("spec")
    head = read_head(page, spec, source)
    spec.page("autogen").take("podControllers")
    own, findings = part_of(spec, source, _ENVIRONMENT)
    if not own.expressions.validations:
        findings.append(broken(source, ".spec", ".spec.validations: Required value"))
    policy = _policy(head, spec, source, findings)
    findings += unsupported(page, source)
    parts = [own]
    content = source.content.get("spec")
    if isinstance(content, dict) and not head.json:
        parts += [
            part_of(Page(made, Where(path=".spec")), source, _ENVIRONMENT)[0]
            for _, made in autogen.validating(content)
        ]

    def make(exceptions: Sequence[CelException]) -> Any:
        return head.policy([_rule(policy, part, exceptions) for part in parts], refusal=refusal_of_images)

    return [CelPolicy(source, head.kind, head.name, make)], findings


def _policy(head: Head, spec: Page, source: Source, findings: list[Finding]) -> ImagePolicy:
    compiler = Compiler(source, _ENVIRONMENT)
    references = []
    for one in spec.pages("matchImageReferences"):
        text = one.take("expression")
        expression = compiler.expression(text, f"{one.where.path}.expression", "bool") if text else None
        references.append(Reference(str(one.take("glob", "")), expression))
    extractors = tuple(
        (
            str(one.take("name", "")),
            compiler.expression(one.take("expression"), f"{one.where.path}.expression"),
        )
        for one in spec.pages("images")
    )
    findings += compiler.findings
    attestors = {}
    for index, one in enumerate(_listed(spec.take("attestors"))):
        kinds = [kind for kind in _ATTESTORS if isinstance(one, Mapping) and one.get(kind)]
        path = f".spec.attestors[{index}]"
        if len(kinds) != 1:
            findings.append(broken(source, path, f"{path}: exactly one of cosign, notary must be given"))
            continue
        attestors[str(one.get("name"))] = one
    attestations = {
        str(one.get("name")): one for one in _listed(spec.take("attestations")) if isinstance(one, Mapping)
    }
    settings = spec.page("validationConfigurations")
    if settings.take("mutateDigest") is True:
        path = ".spec.validationConfigurations.mutateDigest"
        findings.append(_unsupported(source, path, f"{path} is not supported: images keep their tags"))
    if attestors:
        findings.append(
            _unsupported(
                source,
                ".spec.attestors",
                "signatures and attestations are verified where something answers for them; elsewhere images that "
                "the policy means are an error",
            )
        )
    return ImagePolicy(
        head,
        tuple(references),
        extractors,
        attestors,
        attestations,
        mapping(source.content, "spec", "credentials") if spec.take("credentials") else {},
        bool(settings.take("verifyDigest", True)),
        bool(settings.take("required", True)),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _unsupported(source: Source, path: str, message: str) -> Finding:
    return Finding(
        rule="policy.unsupported",
        severity=Severity.WARNING,
        subject=source.ref,
        message=message,
        where=source.locate(path),
    )


def _rule(policy: ImagePolicy, part: Part, exceptions: Sequence[CelException]) -> Rule:
    head = policy.head

    def concerns(target: Target) -> bool:
        return concerned(head, part.constraints, target)

    def run(subject: Subject, around: Surroundings) -> Outcome | None:
        met = meet(
            head,
            part.constraints,
            part.expressions,
            exceptions,
            subject,
            around,
            {"attestors": policy.attestors, "attestations": policy.attestations},
        )
        if not isinstance(met, Meeting):
            return met
        return _verified(policy, part, met, around)

    return Rule(name=head.name, phase="validate", concerns=concerns, run=run)


def _verified(policy: ImagePolicy, part: Part, met: Meeting, around: Surroundings) -> Outcome:
    head = policy.head
    verifier = Verifier(policy, around, {MOMENT: met.bindings[MOMENT]})
    met.bindings[_VERIFIER] = verifier
    try:
        images = dict(met.bindings["images"]())
        for name, expression in policy.extractors:
            images[name] = cel.to_json(expression.value(met.bindings, met.purse))
        images = {
            name: [image for image in found if isinstance(image, str) and verifier.meant(image)]
            for name, found in images.items()
            if isinstance(found, list)
        }
    except cel.Failed as error:
        return head.error(f"failed to evaluate policy: {error}")
    met.bindings["images"] = images
    meant = [image for found in images.values() for image in found]
    if policy.verify_digest:
        for image in meant:
            if "@" not in image:
                return _failed(head, f"image {image} does not have a digest")
    said = evaluate(head, part.expressions, met)
    if said is not None and said.result != "pass":
        return said
    if policy.required:
        for image in meant:
            if image not in verifier.verified:
                why = f"image {image} is not verified: no policy performed a signature or attestation check on it"
                return _failed(head, why)
            if not verifier.verified[image]:
                return _failed(head, f"image {image} failed signature or attestation verification")
    return said or Outcome(result="pass", message="success", actions=head.actions)


def _failed(head: Head, message: str) -> Outcome:
    warnings = (f"Policy {head.name} failed: {message}",) if "warn" in head.actions else ()
    return Outcome(result="fail", message=message, actions=head.actions, warnings=warnings)
