"""ClusterPolicy and Policy: the documents read, their rules compiled with those made for pods' controllers, and the refusal's words.

Reading never raises over content: a rule that cannot be used costs only itself.
Source: kyverno/kyverno api/kyverno/v1, pkg/webhooks/utils/block.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from fairlead.dialects.kyverno import autogen, fields
from fairlead.dialects.kyverno.exceptions import PolicyException
from fairlead.dialects.kyverno.rules import (
    AUDIT,
    Actions,
    Gate,
    RuleModel,
    Whose,
    compile_rule,
    read_actions,
)
from fairlead.dialects.kyverno.validating import BadRule
from fairlead.judge.policies import Judged, Outcome, Policy, Rule, Run
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues.paths import mapping, strings
from fairlead.words import Finding

_TIMEOUT = 10.0
_NOTES = "policies.kyverno.io/"


@dataclass(frozen=True, slots=True, eq=False)
class PolicyModel:
    """A policy with its compiled rules. `make` gives the judge's Policy, once the exceptions are known."""

    source: Source
    name: str
    rules: tuple[RuleModel, ...]
    open: bool
    admission: bool
    background: bool
    one: bool
    timeout: float
    wanted: frozenset[tuple[str, str]]

    def make(self, exceptions: Sequence[PolicyException]) -> Policy:
        """Return the judge's Policy."""
        rules = tuple(model.make(exceptions) for model in self.rules)
        notes = strings(self.source.content, "metadata", "annotations")
        return Policy(
            source=self.source.ref,
            name=self.name,
            dialect="kyverno",
            rules=_only_first(rules) if self.one else rules,
            where=self.source.locate(""),
            again="if-needed",
            open=self.open,
            admission=self.admission,
            background=self.background,
            refusal=refusal,
            timeout=self.timeout,
            title=notes.get(f"{_NOTES}title", ""),
            category=notes.get(f"{_NOTES}category", ""),
            severity=notes.get(f"{_NOTES}severity", ""),
            scored=notes.get(f"{_NOTES}scored") != "false",
            labels=strings(self.source.content, "metadata", "labels"),
        )


def read_policy(source: Source) -> tuple[list[PolicyModel], list[Finding]]:
    """Read a ClusterPolicy or a Policy. Never raises over its content."""
    try:
        return _read(source)
    except RecursionError:
        return [], [broken(source, "", "the document is nested too deeply")]


def _read(source: Source) -> tuple[list[PolicyModel], list[Finding]]:
    page = source.page()
    fields.take(page, fields.POLICY)
    findings = unsupported(page, source)
    spec = mapping(source.content, "spec")
    ref = source.ref
    try:
        actions = _actions(spec)
        gate = _gate(spec, source, findings)
    except BadRule as error:
        return [], [*findings, broken(source, error.path, str(error))]
    whose = Whose(
        ref.name,
        f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name,
        ref.namespace if ref.kind == "Policy" else "",
        actions,
        gate,
    )
    documents = spec.get("rules")
    documents = documents if isinstance(documents, list) else []
    rules = [one for one in documents if isinstance(one, Mapping)]
    controllers = autogen.controllers_of(mapping(source.content, "metadata"), rules)
    models: list[RuleModel] = []
    made: list[RuleModel] = []
    for index, document in enumerate(documents):
        path = f".spec.rules[{index}]"
        if not isinstance(document, Mapping):
            findings.append(broken(source, path, "a rule must be a mapping"))
            continue
        compiled, said = compile_rule(document, whose, source, path)
        models += compiled
        findings += said
        if compiled:
            for variant in autogen.variants(document, controllers):
                carried, said = compile_rule(variant, whose, source, path)
                made += carried
                findings += [one for one in said if one not in findings]
    if not documents:
        findings.append(broken(source, ".spec.rules", "a policy requires rules"))
    webhook = mapping(spec, "webhookConfiguration")
    failure = webhook.get("failurePolicy") or spec.get("failurePolicy")
    timeout = webhook.get("timeoutSeconds") or spec.get("webhookTimeoutSeconds")
    model = PolicyModel(
        source,
        ref.name,
        (*models, *made),
        open=str(failure).lower() == "ignore",
        admission=spec.get("admission") is not False,
        background=spec.get("background") is not False,
        one=spec.get("applyRules") == "One",
        timeout=float(timeout) if isinstance(timeout, int) and timeout > 0 else _TIMEOUT,
        wanted=_wanted(spec),
    )
    return [model], findings


def _actions(spec: Mapping[str, Any]) -> Actions:
    default = Actions(AUDIT, (), spec.get("emitWarning") is True)
    return read_actions(
        spec.get("validationFailureAction"),
        spec.get("validationFailureActionOverrides"),
        default,
        ".spec.validationFailureActionOverrides",
    )


def _gate(spec: Mapping[str, Any], source: Source, findings: list[Finding]) -> Gate | None:
    """Compile the webhook's matchConditions: requests that do not meet them never reach the policy."""
    conditions = mapping(spec, "webhookConfiguration").get("matchConditions")
    if not conditions:
        return None
    from fairlead.dialects.kyverno.validating_cel import compile_gate

    gate, said = compile_gate(conditions, source, ".spec.webhookConfiguration.matchConditions")
    findings += said
    return gate


def _wanted(spec: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Return the kinds that the rules look at: everything, as soon as one may ask for whatever it likes."""
    found: set[tuple[str, str]] = set()

    def walk(value: Any) -> None:
        if isinstance(value, Mapping):
            if "configMap" in value:
                found.add(("", "ConfigMap"))
            if "namespaceSelector" in value:
                found.add(("", "Namespace"))
            if {
                "apiCall",
                "globalReference",
                "targets",
                "clone",
                "cloneList",
                "paramKind",
                "generate",
            } & value.keys():
                found.add(("*", "*"))
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(spec.get("rules"))
    return frozenset({("*", "*")}) if ("*", "*") in found else frozenset(found)


def _only_first(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Let a rule be judged only where none before it, of its phase, had anything to say (applyRules: One)."""

    def behind(rule: Rule, before: Sequence[Rule]) -> Run:
        def run(subject: Subject, around: Surroundings) -> Outcome | Sequence[Outcome] | None:
            for one in before:
                if one.concerns(subject.target) and _applied(one.run(subject, around)):
                    return None
            return rule.run(subject, around)

        return run

    made: list[Rule] = []
    for index, rule in enumerate(rules):
        before = [one for one in rules[:index] if one.phase == rule.phase]
        run = behind(rule, before) if before else rule.run
        made.append(Rule(name=rule.name, phase=rule.phase, concerns=rule.concerns, run=run))
    return tuple(made)


def _applied(said: Outcome | Sequence[Outcome] | None) -> bool:
    outcomes = (said,) if isinstance(said, Outcome) else said or ()
    return any(one.result in {"pass", "fail"} for one in outcomes)


def refusal(subject: Subject, judged: Sequence[Judged]) -> str:
    """Word a denial as Kyverno's webhook does: policies, their rules, and what each said, as YAML."""
    told: dict[str, dict[str, str]] = {}
    for one in judged:
        told.setdefault(one.policy.name, {})[one.rule.name] = one.outcome.message
    what = "mutate" if all(one.rule.phase == "mutate" for one in judged) else "validate"
    how = "ignore" if all(one.policy.open for one in judged) else "fail"
    ref = subject.ref
    listed = yaml.safe_dump(told, default_flow_style=False, allow_unicode=True)
    return (
        f'admission webhook "{what}.kyverno.svc-{how}" denied the request: \n\n'
        f"resource {ref.kind}/{ref.namespace}/{ref.name} was blocked due to the following policies \n\n{listed}"
    )


def assemble(models: Sequence[object]) -> tuple[tuple[Policy, ...], frozenset[tuple[str, str]]]:
    """Join policies with the exceptions that name them; return the policies and the kinds they look at."""
    exceptions = [one for one in models if isinstance(one, PolicyException)]
    policies = [one for one in models if isinstance(one, PolicyModel)]
    nothing: frozenset[tuple[str, str]] = frozenset()
    return tuple(one.make(exceptions) for one in policies), nothing.union(*(one.wanted for one in policies))
