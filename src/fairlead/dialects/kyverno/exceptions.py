"""PolicyException: which rules leave which requests alone, wholly or for some controls of the Pod Security Standards.

A document becomes a Spared for the rules that it names. Whether it applies is asked anew for each subject.
Source: kyverno/kyverno api/kyverno/v2/policy_exception_types.go, pkg/engine/utils/exceptions.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairlead.dialects.kyverno import fields
from fairlead.dialects.kyverno.conditions import BadCondition, Conditions, compile_conditions
from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.dialects.kyverno.matching import BadMatch, Matching
from fairlead.dialects.kyverno.validating import BadRule
from fairlead.dialects.kyverno.validating_pods import Exclusion, read_exclusions
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.tongues import globs
from fairlead.words import Finding


@dataclass(frozen=True, slots=True, eq=False)
class PolicyException:
    """One exception. `key` is its namespace and name; `rules` are pairs of a policy's name and rule names with wildcards."""

    key: str
    rules: tuple[tuple[str, tuple[str, ...]], ...]
    matching: Matching
    conditions: Conditions
    exclusions: tuple[Exclusion, ...]
    background: bool

    def names(self, policy: str, rule: str) -> bool:
        """Return whether the exception is about a rule; `policy` is `namespace/name` for a namespaced one."""
        return any(
            name == policy and any(globs.matches(one, rule) for one in rules) for name, rules in self.rules
        )

    def applies(self, context: Context) -> bool:
        """Return whether the exception is about the subject. An exception whose conditions cannot be evaluated is none."""
        if context.subject.scan and not self.background:
            return False
        if not self.matching.matches(context.subject, context.around):
            return False
        try:
            return not self.conditions or self.conditions(context)
        except Unresolved:
            return False


def read_policy_exception(source: Source) -> tuple[list[PolicyException], list[Finding]]:
    """Read a PolicyException. Never raises over its content."""
    try:
        return _read(source)
    except RecursionError:
        return [], [broken(source, "", "the document is nested too deeply")]


def _read(source: Source) -> tuple[list[PolicyException], list[Finding]]:
    page = source.page()
    fields.take(page, fields.EXCEPTION)
    findings = unsupported(page, source)
    spec = source.content.get("spec")
    spec = spec if isinstance(spec, Mapping) else {}
    place = ".spec.match"
    try:
        matching = Matching(spec.get("match") or {}, None)
        place = ".spec.conditions"
        conditions = compile_conditions(spec.get("conditions"))
        exclusions = read_exclusions(spec.get("podSecurity"), ".spec.podSecurity")
        rules = _rules(spec.get("exceptions"))
    except BadMatch as error:
        return [], [*findings, broken(source, place + error.path, str(error))]
    except BadCondition as error:
        return [], [*findings, broken(source, place, str(error))]
    except BadRule as error:
        return [], [*findings, broken(source, error.path, str(error))]
    ref = source.ref
    key = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    background = spec.get("background") is not False
    return [PolicyException(key, rules, matching, conditions, exclusions, background)], findings


def _rules(document: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(document, list) or not all(isinstance(one, Mapping) for one in document):
        raise BadRule(".spec.exceptions", "exceptions must be a list of policyName and ruleNames")
    found = []
    for index, one in enumerate(document):
        names = one.get("ruleNames")
        if not isinstance(names, list):
            raise BadRule(f".spec.exceptions[{index}].ruleNames", "ruleNames must be a list")
        found.append((str(one.get("policyName") or ""), tuple(map(str, names))))
    return tuple(found)


def sparing(
    exceptions: Sequence[PolicyException], context: Context
) -> tuple[list[PolicyException], list[Exclusion]]:
    """Return the exceptions that spare the subject wholly, and what the others leave out of the Pod Security Standards."""
    applying = [one for one in exceptions if one.applies(context)]
    whole = [one for one in applying if not one.exclusions]
    return whole, [exclusion for one in applying for exclusion in one.exclusions]
