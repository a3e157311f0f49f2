"""validate.manifests: a signature over the object itself, in its annotations. Parsed here; verified by whoever answers the Need.

Nothing is verified in this module: an object without a signature fails, one with a signature is judged by the answer.
Source: kyverno/kyverno pkg/engine/handlers/validation/validate_manifest.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.dialects.kyverno.contexts import Context
from fairlead.dialects.kyverno.validating import BadRule, Check, Said
from fairlead.tongues.jmespath import to_json
from fairlead.tongues.paths import strings
from fairlead.words import Need

_DOMAIN = "cosign.sigstore.dev"
_FIELDS = frozenset({"attestors", "annotationDomain", "ignoreFields", "dryRun", "repository"})


def compile_manifests(document: Any, name: str, path: str) -> Check:
    """Compile the rule. Raises BadRule.

    The Need is `manifest.signature` about the object, with the rule's document as JSON; its answer is a mapping with
    `verified` and, where that is false, `message`.
    """
    if not isinstance(document, Mapping):
        raise BadRule(path, "manifests must be a mapping")
    unknown = set(document) - _FIELDS
    if unknown:
        raise BadRule(f"{path}.{min(map(str, unknown))}", "the field is unknown")
    if not isinstance(document.get("attestors"), list) or not document["attestors"]:
        raise BadRule(f"{path}.attestors", "manifests requires attestors")
    domain = str(document.get("annotationDomain") or _DOMAIN)
    detail = to_json(dict(document))
    passed = Said("pass", "verified manifest signatures")

    def check(context: Context) -> Said | None:
        resource = context.subject.object
        if resource is None:
            return None
        annotations = strings(resource, "metadata", "annotations")
        if not any(key.startswith(f"{domain}/signature") for key in annotations):
            return Said(
                "fail",
                "manifest verification failed; verifiedCount 0; requiredCount 1; message .attestors[0].entries[0].keys: "
                "failed to verify signature: no signature found",
                (".metadata.annotations",),
                f"a signature in the annotation {domain}/signature",
            )
        need = Need(
            "manifest.signature", context.subject.ref, (("manifests", detail), ("object", to_json(resource)))
        )
        answer = context.around.ask(need)
        if isinstance(answer, Mapping) and answer.get("verified"):
            return passed
        said = answer.get("message") if isinstance(answer, Mapping) else answer
        return Said("fail", f"manifest verification failed; message {said or f'rule {name} failed'}")

    return check
