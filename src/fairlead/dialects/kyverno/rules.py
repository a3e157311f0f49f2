"""One rule of a policy: match, exceptions, context and preconditions around what the rule does; made into the judge's Rule.

What a rule does is compiled by the modules validating*, mutating, generating and images; which action follows is decided here.
Source: kyverno/kyverno pkg/engine (invokeRuleHandler).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

from fairlead.dialects.kyverno.conditions import Conditions
from fairlead.dialects.kyverno.contexts import Context, Unresolved, given_for
from fairlead.dialects.kyverno.entries import Entries
from fairlead.dialects.kyverno.exceptions import PolicyException, sparing
from fairlead.dialects.kyverno.matching import BadMatch, Matching, label_test
from fairlead.dialects.kyverno.validating import (
    BadRule,
    Check,
    Compiled,
    Said,
    compile_checks,
    conditions_of,
    entries_of,
)
from fairlead.dialects.kyverno.validating_pods import Exclusion, compile_pod_security
from fairlead.judge.policies import Action, Outcome, Phase, Rule
from fairlead.judge.reading import Source, broken
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.tongues import globs
from fairlead.words import Finding, Resource

DENY: frozenset[Action] = frozenset({"deny"})
AUDIT: frozenset[Action] = frozenset({"audit"})
_BACKGROUND = "system:serviceaccount:kyverno:kyverno-background-controller"
_ALLOWED = "skipping the rule evaluation as pre-existing violations are allowed"
_BODIES = ("validate", "mutate", "generate", "verifyImages")

Act: TypeAlias = Callable[[Context], "Outcome | Sequence[Outcome] | None"]
Gate: TypeAlias = Callable[[Subject, Surroundings], bool]


class Override(NamedTuple):
    """An action that holds in some namespaces."""

    action: frozenset[Action]
    namespaces: tuple[Callable[[str], bool], ...]
    labels: Callable[[Mapping[str, str]], bool] | None


@dataclass(frozen=True, slots=True)
class Actions:
    """What follows a failure: the usual action, those of some namespaces, and whether an audited one is told as a warning."""

    usual: frozenset[Action]
    overrides: tuple[Override, ...] = ()
    warn: bool = False

    def of(self, subject: Subject, around: Surroundings) -> frozenset[Action]:
        """Return the action for a subject."""
        for override in self.overrides:
            if override.namespaces and not any(fits(subject.namespace) for fits in override.namespaces):
                continue
            if override.labels is not None and not override.labels(_space_labels(subject, around)):
                continue
            return override.action
        return self.usual


def _space_labels(subject: Subject, around: Surroundings) -> Mapping[str, str]:
    space = subject.space
    if space is None and subject.namespace:
        space = around.view.get("", "Namespace", "", subject.namespace)
    return ((space or {}).get("metadata") or {}).get("labels") or {}


def read_actions(usual: Any, overrides: Any, default: Actions, path: str) -> Actions:
    """Return the actions that a document states, those of `default` where it states none. Raises BadRule."""
    action = default.usual if usual in (None, "") else action_of(usual)
    if not overrides:
        return Actions(action, default.overrides if usual in (None, "") else (), default.warn)
    if not isinstance(overrides, list) or not all(isinstance(one, Mapping) for one in overrides):
        raise BadRule(path, "overrides must be a list of mappings")
    made = []
    for index, one in enumerate(overrides):
        labels = None
        if one.get("namespaceSelector"):
            try:
                labels = label_test(one["namespaceSelector"])
            except BadMatch as error:
                raise BadRule(f"{path}[{index}].namespaceSelector", str(error)) from None
        names = one.get("namespaces")
        fits = tuple(globs.compile(str(name)) for name in (names if isinstance(names, list) else ()))
        made.append(Override(action_of(one.get("action")), fits, labels))
    return Actions(action, tuple(made), default.warn)


def action_of(text: Any) -> frozenset[Action]:
    """Return what `Enforce` and `Audit`, in any letters, stand for."""
    return DENY if str(text).lower() == "enforce" else AUDIT


@dataclass(frozen=True, slots=True)
class Whose:
    """What rules know of their policy. `key` is how exceptions name it."""

    name: str
    key: str
    namespace: str
    actions: Actions
    gate: Gate | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class RuleModel:
    """A compiled rule. `make` gives the judge's Rule, once the exceptions are known."""

    name: str
    phase: Phase
    whose: Whose
    matching: Matching
    check_of: Callable[[Sequence[Exclusion]], Check] | None
    act: Act | None
    quick: Callable[[Resource], Said | None] | None
    entries: Entries | None
    conditions: Conditions
    actions: Actions
    existing: bool
    extractors: Mapping[str, Any] | None
    skip_background: bool

    def make(self, exceptions: Sequence[PolicyException]) -> Rule:
        """Return the judge's Rule, with the exceptions that are about it."""
        mine = [one for one in exceptions if one.names(self.whose.key, self.name)]
        run = self._acting(mine) if self.act is not None else self._checking(mine)
        return Rule(name=self.name, phase=self.phase, concerns=self.matching.concerns, run=run)

    def _outcome(self, said: Said, subject: Subject, around: Surroundings) -> Outcome:
        actions = self.actions.of(subject, around) if self.actions.overrides else self.actions.usual
        warnings: tuple[str, ...] = ()
        if self.actions.warn and said.result == "fail" and actions == AUDIT:
            warnings = (f"policy {self.whose.name}.{self.name}: {said.message}",)
        return Outcome(
            result=said.result,
            message=said.message,
            actions=actions,
            paths=said.paths,
            wanted=said.wanted,
            find=said.find,
            warnings=warnings,
            properties={**self.whose.properties, **said.properties}
            if said.properties
            else self.whose.properties,
        )

    def _checking(
        self, exceptions: Sequence[PolicyException]
    ) -> Callable[[Subject, Surroundings], Outcome | None]:
        assert self.check_of is not None  # asked for by make
        check_of, matching, gate, existing = self.check_of, self.matching, self.whose.gate, self.existing
        check = check_of(())
        plain = self.entries is None and not self.conditions and not exceptions and gate is None
        quick = self.quick if plain and not self.actions.overrides else None
        passed = Outcome(
            result="pass",
            message=f"validation rule '{self.name}' passed.",
            actions=self.actions.usual,
            properties=self.whose.properties,
        )
        usual = not self.actions.overrides

        def judge(subject: Subject, around: Surroundings, *, before: bool = False) -> Said | None:
            stated = given_for(around, self.whose.name, self.name, subject)
            if before and stated:
                stated = {key: value for key, value in stated.items() if key != "request.operation"}
            context = Context(subject, around, stated, self.extractors)
            try:
                chosen = check
                if exceptions:
                    spared, left_out = sparing(exceptions, context)
                    if spared:
                        return _spared(spared)
                    if left_out:
                        chosen = check_of(left_out)
                return self._within(context, chosen)
            finally:
                context.close()

        def run(subject: Subject, around: Surroundings) -> Outcome | None:
            if not matching.matches(subject, around):
                return None
            said: Said | None
            if quick is not None and subject.object is not None:
                said = quick(subject.object)
                if said is None:
                    return passed
                if self._passes_by(subject, around):
                    return None
            else:
                if self._passes_by(subject, around):
                    return None
                said = judge(subject, around)
                if said is None:
                    return None
            if usual and said.result == "pass" and said.message == passed.message and not said.properties:
                return passed
            made = self._outcome(said, subject, around)
            if (
                existing
                and made.result == "fail"
                and made.actions == DENY
                and subject.target.operation == "UPDATE"
                and subject.old is not None
                and self._failed_before(subject, around, judge)
            ):
                return self._outcome(Said("skip", _ALLOWED), subject, around)
            return made

        return run

    def _passes_by(self, subject: Subject, around: Surroundings) -> bool:
        if self.skip_background and subject.user.name == _BACKGROUND:
            return True
        return self.whose.gate is not None and not subject.scan and not self.whose.gate(subject, around)

    def _within(self, context: Context, check: Check) -> Said | None:
        """Load the context, ask the preconditions, and check."""
        try:
            said = self._held_back(context)
            return said if said is not None else check(context)
        except Lacking:
            raise
        except RecursionError:
            return Said("error", "the rule is nested too deeply to be judged")
        except Exception as error:  # noqa: BLE001  a rule is foreign code; whatever it raises is its own error
            return Said("error", str(error) or type(error).__name__)

    def _held_back(self, context: Context) -> Said | None:
        if self.entries is not None:
            self.entries(context)
        if not self.conditions:
            return None
        try:
            held, why = self.conditions.explain(context)
        except Unresolved as error:
            return Said("error", f"failed to evaluate preconditions: {error}")
        if held:
            return None
        return Said("skip", "; ".join(part for part in ("preconditions not met", why) if part))

    def _failed_before(
        self, subject: Subject, around: Surroundings, judge: Callable[..., Said | None]
    ) -> bool:
        """Return whether the old object would have failed at its creation: an update may leave as it was what was wrong."""
        before = replace(
            subject, target=subject.target._replace(operation="CREATE"), object=subject.old, old=None
        )
        if not self.matching.matches(before, around):
            return False
        said = judge(before, around, before=True)
        return said is not None and said.result == "fail"

    def _acting(
        self, exceptions: Sequence[PolicyException]
    ) -> Callable[[Subject, Surroundings], Outcome | Sequence[Outcome] | None]:
        assert self.act is not None  # asked for by make
        act = self.act
        matches = self.matching.matches_present if self.phase == "generate" else self.matching.matches

        def run(subject: Subject, around: Surroundings) -> Outcome | Sequence[Outcome] | None:
            if not matches(subject, around) or self._passes_by(subject, around):
                return None
            context = Context(
                subject, around, given_for(around, self.whose.name, self.name, subject), self.extractors
            )
            try:
                if exceptions and (spared := sparing(exceptions, context)[0]):
                    return self._outcome(_spared(spared), subject, around)
                back = self._held_back(context)
                if back is not None:
                    return self._outcome(back, subject, around)
                return act(context)
            except Unresolved as error:
                return self._outcome(Said("error", str(error)), subject, around)
            finally:
                context.close()

        return run


def _spared(exceptions: Sequence[PolicyException]) -> Said:
    """Return the verdict that exceptions spare a subject."""
    keys = ", ".join(one.key for one in exceptions)
    return Said("skip", f"rule is skipped due to policy exceptions {keys}", properties={"exceptions": keys})


def compile_rule(
    document: Mapping[str, Any], whose: Whose, source: Source, path: str
) -> tuple[list[RuleModel], list[Finding]]:
    """Compile one rule (after autogen). What cannot be used becomes a finding; nothing is raised."""
    findings: list[Finding] = []
    try:
        return _compile(document, whose, source, path, findings), findings
    except BadRule as error:
        findings.append(broken(source, error.path, str(error)))
    except RecursionError:
        findings.append(broken(source, path, "the rule is nested too deeply"))
    return [], findings


def _compile(
    document: Mapping[str, Any], whose: Whose, source: Source, path: str, findings: list[Finding]
) -> list[RuleModel]:
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise BadRule(f"{path}.name", "a rule requires a name")
    bodies = [body for body in _BODIES if document.get(body)]
    if len(bodies) != 1:
        raise BadRule(path, f"exactly one of {', '.join(_BODIES)} is required in a rule")
    try:
        matching = Matching(document.get("match") or {}, document.get("exclude"), whose.namespace)
    except BadMatch as error:
        raise BadRule(f"{path}.match{error.path}", str(error)) from None
    body = document[bodies[0]]
    if bodies[0] != "verifyImages" and not isinstance(body, Mapping):
        raise BadRule(f"{path}.{bodies[0]}", f"{bodies[0]} must be a mapping")
    actions, existing = whose.actions, True
    compiled: tuple[
        Callable[[Sequence[Exclusion]], Check] | None,
        Act | None,
        Callable[[Resource], Said | None] | None,
    ]
    phase: Phase = "validate"
    if bodies[0] == "validate":
        actions = read_actions(
            body.get("failureAction"),
            body.get("failureActionOverrides"),
            actions,
            f"{path}.validate.failureActionOverrides",
        )
        existing = body.get("allowExistingViolations") is not False
        check_of, quick = _validation(document, body, name, source, path, findings)
        compiled = (check_of, None, quick)
    else:
        phase, act = _action(bodies[0], document, source, path, findings)
        compiled = (None, act, None)
        if phase == "mutate":
            actions = Actions(
                DENY
            )  # what cannot be mutated is refused, whatever the policy says of validation
    extractors = document.get("imageExtractors")
    properties = document.get("reportProperties")
    if isinstance(properties, Mapping):
        whose = replace(whose, properties={str(key): str(value) for key, value in properties.items()})
    models = [
        RuleModel(
            name=name,
            phase=phase,
            whose=whose,
            matching=matching,
            check_of=compiled[0],
            act=compiled[1],
            quick=compiled[2],
            entries=entries_of(document.get("context"), source, f"{path}.context"),
            conditions=conditions_of(document.get("preconditions"), f"{path}.preconditions"),
            actions=actions,
            existing=existing,
            extractors=extractors if isinstance(extractors, Mapping) else None,
            skip_background=document.get("skipBackgroundRequests") is not False,
        )
    ]
    if bodies[0] == "verifyImages":
        from fairlead.dialects.kyverno.images import compile_pinning

        pinning = compile_pinning(document, source, path)
        if pinning is not None:
            models.insert(0, replace(models[0], phase="mutate", act=pinning, actions=Actions(DENY)))
    return models


def _validation(
    document: Mapping[str, Any],
    body: Mapping[str, Any],
    name: str,
    source: Source,
    path: str,
    findings: list[Finding],
) -> tuple[Callable[[Sequence[Exclusion]], Check], Callable[[Resource], Said | None] | None]:
    here = f"{path}.validate"
    if body.get("podSecurity") is not None:
        return compile_pod_security(body["podSecurity"], name, f"{here}.podSecurity"), None
    if body.get("cel") is not None:
        from fairlead.dialects.kyverno.validating_cel import compile_cel

        check, said = compile_cel(body["cel"], document.get("celPreconditions"), name, source, path)
        findings += said
        return (lambda _: check), None
    if body.get("assert") is not None:
        from fairlead.dialects.kyverno.validating_assert import compile_assert

        asserted = compile_assert(body["assert"], name, document.get("context"), f"{here}.assert")
        return (lambda _: asserted), None
    if body.get("manifests") is not None:
        from fairlead.dialects.kyverno.validating_manifests import compile_manifests

        signed = compile_manifests(body["manifests"], name, f"{here}.manifests")
        return (lambda _: signed), None
    compiled: Compiled = compile_checks(body, name, source, here)
    return (lambda _: compiled.check), compiled.quick


def _action(
    body: str, document: Mapping[str, Any], source: Source, path: str, findings: list[Finding]
) -> tuple[Phase, Act]:
    """Compile what changes or brings forth objects, or looks at images; each is read only when it is there."""
    if body == "mutate":
        from fairlead.dialects.kyverno import mutating

        targets = document["mutate"].get("targets")
        return ("generate" if targets else "mutate"), mutating.compile_mutation(document, source, path)
    if body == "generate":
        from fairlead.dialects.kyverno import generating

        return "generate", generating.compile_generation(document, source, path)
    from fairlead.dialects.kyverno import images

    findings += images.doubts(document, source, path)
    return "validate", images.compile_verification(document, source, path)
