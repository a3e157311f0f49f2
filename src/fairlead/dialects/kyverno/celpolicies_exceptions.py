"""PolicyException of policies.kyverno.io: which policies spare which resources, and what they allow.

Reads exceptions and says which apply to a subject; what a policy then answers is said here too, for all kinds alike.
Source: kyverno/api v1alpha1 policy_exception.go, kyverno/kyverno pkg/cel/policies/*/engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fairlead.dialects.kyverno.cellibraries import ENVIRONMENT
from fairlead.judge.constraints import strings
from fairlead.judge.expressions import Compiler, Expressions, Unmet
from fairlead.judge.policies import Outcome
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.tongues.paths import mapping
from fairlead.words import Finding

PRIORITY = "polex.kyverno.io/priority"
"""The label that says which of several exceptions decides what is reported."""


@dataclass(frozen=True, slots=True)
class CelException:
    """One exception. Without `images` and `values` it spares a resource wholly; with them the policy asks for them."""

    source: Source
    key: str
    refs: frozenset[tuple[str, str]]
    conditions: Expressions
    images: tuple[str, ...]
    values: tuple[str, ...]
    passes: bool
    expires: datetime | None
    priority: int

    @property
    def whole(self) -> bool:
        """Whether it spares a resource altogether."""
        return not self.images and not self.values


@dataclass(frozen=True, slots=True)
class Spared:
    """What the exceptions come to for a subject: an outcome, if it is spared wholly; else what is allowed."""

    outcome: Outcome | None = None
    images: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    @property
    def allowed(self) -> dict[str, Any]:
        """The variable `exceptions`."""
        return {"allowedImages": list(self.images), "allowedValues": list(self.values)}


NOTHING = Spared()


def read_exception(source: Source) -> tuple[list[CelException], list[Finding]]:
    """Read a PolicyException."""
    page = source.page()
    page.take("metadata")
    name, namespace = source.ref.name, source.ref.namespace
    labels = mapping(source.content, "metadata", "labels")
    spec = page.page("spec")
    refs = frozenset(
        (str(one.take("kind", "")), str(one.take("name", ""))) for one in spec.pages("policyRefs")
    )
    findings: list[Finding] = []
    if not refs:
        findings.append(
            broken(
                source,
                ".spec.policyRefs",
                ".spec.policyRefs: Invalid value: must specify at least one policy ref",
            )
        )
    compiler = Compiler(source, ENVIRONMENT)
    conditions = compiler.conditions(spec.pages("matchConditions"))
    spec.take("properties")
    spec.take("evaluationMode")
    made = CelException(
        source,
        f"{namespace}/{name}" if namespace else name,
        refs,
        compiler.made(conditions),
        tuple(strings(spec.take("images"))),
        tuple(strings(spec.take("allowedValues"))),
        spec.take("reportResult", "skip") == "pass",
        _moment(spec.take("expiresAt"), source, findings),
        _whole(labels.get(PRIORITY)),
    )
    findings += compiler.findings + unsupported(page, source)
    return [made], findings


def _whole(text: Any) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 10 else 0


def _moment(text: Any, source: Source, findings: list[Finding]) -> datetime | None:
    if text is None:
        return None
    if isinstance(text, datetime):
        return text if text.tzinfo else text.replace(tzinfo=UTC)
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        findings.append(
            broken(source, ".spec.expiresAt", f".spec.expiresAt: Invalid value: {text!r}: not a time")
        )
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def spare(exceptions: Sequence[CelException], bindings: Mapping[str, Any], now: datetime) -> Spared:
    """Return what the exceptions come to. Raises Unmet when it cannot be told whether one applies."""
    matched: list[CelException] = []
    whole = False
    for one in exceptions:
        if one.expires is not None and now > one.expires:
            continue
        try:
            if one.conditions.matches(bindings):
                matched.append(one)
                whole = whole or one.whole
        except Unmet:
            if not whole:
                raise
    if not matched:
        return NOTHING
    if whole:
        return Spared(_outcome(matched))
    return Spared(
        None,
        tuple(image for one in matched for image in one.images),
        tuple(value for one in matched for value in one.values),
    )


def _outcome(matched: Sequence[CelException]) -> Outcome:
    first = max(matched, key=lambda one: one.priority)
    keys = ", ".join(one.key for one in matched)
    properties = {"exceptions": [one.key for one in matched]}
    if first.passes:
        return Outcome(
            result="pass", message=f"rule is passed due to policy exception: {keys}", properties=properties
        )
    return Outcome(
        result="skip", message=f"rule is skipped due to policy exception: {keys}", properties=properties
    )


def of_policy(exceptions: Iterable[CelException], kind: str, name: str) -> tuple[CelException, ...]:
    """Return the exceptions that name a policy."""
    return tuple(one for one in exceptions if (kind, name) in one.refs)
