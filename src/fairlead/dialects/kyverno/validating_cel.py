"""validate.cel and celPreconditions: CEL expressions as admission policies have them, inside of a Kyverno rule.

The expressions themselves are the judge's; here are the parameters that they ask for and Kyverno's words for the outcome.
Source: kyverno/kyverno pkg/engine/handlers/validation/validate_cel.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from fairlead.dialects.kyverno.contexts import Context
from fairlead.dialects.kyverno.matching import BadMatch, label_test
from fairlead.dialects.kyverno.validating import BadRule, Check, Said
from fairlead.judge import expressions
from fairlead.judge.expressions import Expressions, OutOfBudget, Purse, Unmet
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import cel
from fairlead.words import Finding, Page, Resource, Where

Gate: TypeAlias = Callable[[Subject, Surroundings], bool]

_NO_PARAMS = object()


def compile_cel(
    document: Any, preconditions: Any, name: str, source: Source, path: str
) -> tuple[Check, list[Finding]]:
    """Compile the expressions of a rule (`path` is the rule's place). Raises BadRule."""
    if not isinstance(document, Mapping):
        raise BadRule(f"{path}.validate.cel", "cel must be a mapping")
    here = f"{path}.validate.cel"
    conditions = preconditions if isinstance(preconditions, list) else []
    compiled, findings = expressions.compile_expressions(
        source,
        variables=_pages(document.get("variables"), f"{here}.variables"),
        conditions=_pages(conditions, f"{path}.celPreconditions"),
        validations=_pages(document.get("expressions"), f"{here}.expressions"),
        annotations=_pages(document.get("auditAnnotations"), f"{here}.auditAnnotations"),
    )
    params = _Params(document, here)
    passed = Said("pass", f"Validation rule '{name}' passed.")

    def check(context: Context) -> Said:
        found = params.find(context)
        if isinstance(found, Said):
            return found
        for one in found or ():
            said = _judged(compiled, context, None if one is _NO_PARAMS else one)
            if said is not None:
                return said
        return passed

    return check, findings


def _pages(document: Any, path: str) -> list[Page]:
    if document is None:
        return []
    if not isinstance(document, list) or not all(isinstance(one, Mapping) for one in document):
        raise BadRule(path, "must be a list of mappings")
    return [Page(one, Where(path=f"{path}[{index}]")) for index, one in enumerate(document)]


def _judged(compiled: Expressions, context: Context, params: Any) -> Said | None:
    purse = Purse()
    bindings = compiled.bindings(context.subject, context.around, params, purse)
    try:
        if not compiled.matches(bindings):
            return Said("skip", "cel preconditions not met")
    except Unmet as error:
        return Said("error", f"error evaluating match conditions: {error}")
    faults = compiled.faults(bindings, purse)
    notes = {}
    try:
        notes = {note.key: note.value for note in compiled.notes(bindings, purse) if not note.error}
    except (OutOfBudget, cel.Failed):
        notes = {}
    bindings.pop("variables", None)  # they hold each other, and would wait for the collector
    if not faults:
        return Said("pass", "", properties=notes) if notes else None
    # an expression that cannot be evaluated denies, as the webhook's failurePolicy Fail has it
    return Said("fail", faults[0].message, properties=notes, find=faults[0].find)


class _Params:
    """Where a rule's parameters are: of one kind, by name or by labels."""

    def __init__(self, document: Mapping[str, Any], path: str) -> None:
        kind, ref = document.get("paramKind"), document.get("paramRef")
        self.wanted = isinstance(kind, Mapping)
        self.group = self.kind = self.name = self.namespace = ""
        self.required = True
        self.chosen = None
        if not isinstance(kind, Mapping):
            return
        self.group = str(kind.get("apiVersion") or "").rpartition("/")[0]
        self.kind = str(kind.get("kind") or "")
        if not isinstance(ref, Mapping):
            raise BadRule(f"{path}.paramRef", "paramKind requires a paramRef")
        self.name, self.namespace = str(ref.get("name") or ""), str(ref.get("namespace") or "")
        self.required = str(ref.get("parameterNotFoundAction") or "Deny") != "Allow"
        if ref.get("selector") is not None:
            try:
                self.chosen = label_test(ref["selector"])
            except BadMatch as error:
                raise BadRule(f"{path}.paramRef.selector", str(error)) from None
        elif not self.name:
            raise BadRule(f"{path}.paramRef", "one of name or selector must be set")

    def find(self, context: Context) -> Sequence[Any] | Said:
        """Return the parameters to judge with, one after another, or what is said when there are none."""
        if not self.wanted:
            return (_NO_PARAMS,)
        around = context.around
        namespace = ""
        if around.kinds.namespaced(self.group, self.kind):
            namespace = self.namespace or context.subject.namespace
            if not namespace:
                text = "can't use namespaced paramRef to match cluster-scoped resources"
                return Said("error", f"error in parsing the parameter resource.: {text}")
        found: list[Resource] = []
        if self.chosen is not None:
            found = [
                one
                for one in around.view.list(self.group, self.kind, namespace or None)
                if self.chosen((one.get("metadata") or {}).get("labels") or {})
            ]
        else:
            one_ = around.view.get(self.group, self.kind, namespace, self.name)
            found = [] if one_ is None else [one_]
        if found or not self.required:
            return found
        text = "no params found for policy binding with `Deny` parameterNotFoundAction"
        return Said("error", f"error in parsing the parameter resource.: {text}")


def compile_gate(document: Any, source: Source, path: str) -> tuple[Gate, list[Finding]]:
    """Compile a policy's webhook matchConditions: whether a request reaches its rules. Raises BadRule."""
    compiled, findings = expressions.compile_expressions(source, conditions=_pages(document, path))
    return (lambda subject, around: compiled.matches(compiled.bindings(subject, around))), findings
