"""Policies in CEL: what ValidatingAdmissionPolicy, Kyverno's CEL rules and Gatekeeper's CEL engine share.

Compiles variables, match conditions, validations and audit annotations once, and evaluates them over a subject as Kubernetes
does: variables when they are first used, conditions before anything else, messages only for what fails, and all of it within
one cost budget. Never decides what a failure leads to, and never fetches: what is lacking goes up as `Lacking`.
Source: k8s.io/apiserver pkg/admission/plugin/cel, plugin/webhook/matchconditions and plugin/policy/validating, error
texts included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Literal, TypeAlias

from fairlead.judge.expressions_requests import surroundings_of
from fairlead.judge.reading import Source, broken
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import cel
from fairlead.tongues.cel import kubernetes, types
from fairlead.tongues.cel.blaming import blame
from fairlead.tongues.cel.syntax import Ident, Node, Select
from fairlead.tongues.paths import dotted
from fairlead.words import Finding, Page

VARIABLES = (
    "object",
    "oldObject",
    "request",
    "params",
    "namespaceObject",
    "authorizer",
    "authorizer.requestResource",
)
"""What a policy's expressions may name, beside its own `variables.x`."""

_TEXT = types.STRING
_KIND = types.message("kubernetes.GroupVersionKind", {"group": _TEXT, "version": _TEXT, "kind": _TEXT})
_RESOURCE = types.message(
    "kubernetes.GroupVersionResource", {"group": _TEXT, "version": _TEXT, "resource": _TEXT}
)
_USER = types.message(
    "kubernetes.UserInfo",
    {
        "username": _TEXT,
        "uid": _TEXT,
        "groups": types.list_of(_TEXT),
        "extra": types.map_of(_TEXT, types.list_of(_TEXT)),
    },
)
REQUEST = types.message(
    "kubernetes.AdmissionRequest",
    {
        "kind": _KIND,
        "resource": _RESOURCE,
        "subResource": _TEXT,
        "requestKind": _KIND,
        "requestResource": _RESOURCE,
        "requestSubResource": _TEXT,
        "name": _TEXT,
        "namespace": _TEXT,
        "operation": _TEXT,
        "userInfo": _USER,
        "dryRun": types.BOOL,
        "options": types.DYN,
        "uid": _TEXT,
    },
)
"""The type of `request`: naming a field that it does not have is refused when compiling."""

ADMISSION = cel.Environment(
    variables={**dict.fromkeys(VARIABLES, types.DYN), "request": REQUEST}, libraries=kubernetes.LIBRARIES
)
"""Kubernetes' environment for admission policies. Extend it for more variables and libraries."""

MUTATION = ADMISSION.extend(libraries=kubernetes.MUTATION)
"""The same with `Object{}` and `JSONPatch{}`."""

BUDGET = 10_000_000
"""What one policy with one binding may cost for one request, in CEL's cost units."""

CALL_BUDGET = 1_000_000
"""What one expression may cost."""

CONDITIONS_BUDGET = 2_500_000
"""What all match conditions together may cost."""

OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"

_LONGEST_MESSAGE = 5 * 1024

Verdict: TypeAlias = Literal["fail", "error"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A validation that does not hold (`fail`), or could not be evaluated (`error`).

    `index` is its place in the policy's list (-1: none in particular), `reason` Kubernetes' word for the Status ("" by default).
    `path` is in the policy; `find` tells where in the object the fault is, as far as that can be told, and what would pass there.
    """

    verdict: Verdict
    message: str
    index: int = -1
    reason: str = ""
    path: str = ""
    find: Callable[[], tuple[tuple[str, ...], str]] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """An audit annotation: its key, and its value or what was wrong with it."""

    key: str
    value: str = ""
    error: str = ""


class Unmet(Exception):
    """A match condition could not be evaluated, and none was false."""


class OutOfBudget(Exception):
    """The expressions cost more than they may."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression; without a program, `fault` says why it cannot be used."""

    text: str
    path: str
    program: cel.Program | None
    fault: str = ""

    def value(self, bindings: Mapping[str, Any], purse: Purse) -> Any:
        """Evaluate. Raises cel.Failed with Kubernetes' text, OutOfBudget, Lacking."""
        if self.program is None:
            raise cel.Failed(f"compilation error: {self.fault}")
        try:
            return purse.run(self.program, bindings)
        except cel.TooCostly:
            raise OutOfBudget(OUT_OF_BUDGET) from None
        except cel.Failed as error:
            raise cel.Failed(f"expression '{self.text}' resulted in error: {error}") from None


def _variable(name: str, expression: Expression, bindings: Mapping[str, Any], purse: Purse) -> Any:
    """Evaluate a variable. Raises as Expression.value does, with Kubernetes' text for variables."""
    if expression.program is None:
        raise cel.Failed(f'composited variable "{name}" fails to compile: {expression.fault}')
    try:
        return purse.run(expression.program, bindings)
    except cel.TooCostly:
        raise OutOfBudget(OUT_OF_BUDGET) from None
    except cel.Failed as error:
        raise cel.Failed(f'composited variable "{name}" fails to evaluate: {error}') from None


def _selected(tree: Any) -> set[str] | None:
    """Return the variables that an expression selects, or None when it uses `variables` in any other way."""
    found: set[str] = set()
    ahead = [tree]
    while ahead:
        here = ahead.pop()
        if isinstance(here, list | tuple):
            ahead += here
        elif (
            isinstance(here, Select) and isinstance(here.operand, Ident) and here.operand.name == "variables"
        ):
            found.add(here.field)
        elif isinstance(here, Ident) and here.name == "variables" and not here.local:
            return None
        elif isinstance(here, Node):
            ahead += [getattr(here, one.name) for one in fields(here)]
    return found


class Purse:
    """What is left of a cost budget."""

    __slots__ = ("left",)

    def __init__(self, left: int = BUDGET) -> None:
        self.left = left

    def run(self, program: cel.Program, bindings: Mapping[str, Any]) -> Any:
        """Evaluate at the budget's expense. Raises cel.TooCostly when it, or what one expression may cost, is used up."""
        most = min(self.left, CALL_BUDGET)
        meter = cel.Meter(most)
        try:
            return program.metered(bindings, meter)
        finally:
            self.left -= int(most - meter.left)


@dataclass(frozen=True, slots=True)
class Validation:
    """One validation: what must hold, and what is said when it does not."""

    expression: Expression
    message: str
    worded: Expression | None
    reason: str


@dataclass(frozen=True, slots=True)
class Expressions:
    """The expressions of one policy. Immutable; one instance serves all subjects.

    Use: `bindings` for a subject, then `matches`, `faults`, `notes` with them and one Purse.
    """

    environment: cel.Environment
    variables: tuple[tuple[str, Expression], ...]
    conditions: tuple[tuple[str, Expression], ...]
    validations: tuple[Validation, ...]
    annotations: tuple[tuple[str, Expression], ...]

    def bindings(
        self,
        subject: Subject,
        around: Surroundings,
        params: Any = None,
        purse: Purse | None = None,
        more: Mapping[str, Any] | None = None,
        settled: Mapping[str, cel.Lazy] | None = None,
    ) -> dict[str, Any]:
        """Return what the expressions see. `more` adds names, or replaces some; variables are evaluated on first use.

        `settled` are variables that are known already (see `settled_by`).
        """
        found = surroundings_of(subject, around, params)
        if more:
            found.update(more)
        found["variables"] = self.composed(found, purse or Purse(), settled)
        return found

    def composed(
        self, bindings: Mapping[str, Any], purse: Purse, settled: Mapping[str, cel.Lazy] | None = None
    ) -> cel.Fields:
        """Return the policy's variables, each to be evaluated at most once with these bindings, when first used."""
        known = settled or {}
        made = dict(known)
        for name, one in self.variables:
            if name not in known:
                made[name] = cel.Lazy(partial(_variable, name, one, bindings, purse))
        return cel.Fields(made)

    def settled_by(self, params: Any) -> dict[str, cel.Lazy]:
        """Return the variables that follow from the parameters alone: each is evaluated once for all requests with them.

        Only for an environment whose functions give the same for the same arguments.
        """
        settled: dict[str, cel.Lazy] = {}
        bindings = {"params": params, "variables": cel.Fields(settled)}
        for name, one in self.variables:
            if one.program is None or not one.program.names <= {"params", "variables"}:
                continue
            used = _selected(one.program.tree)
            if used is not None and used <= settled.keys():
                settled[name] = cel.Lazy(partial(_variable, name, one, bindings, Purse()))
        return settled

    def matches(self, bindings: Mapping[str, Any], purse: Purse | None = None) -> bool:
        """Whether all match conditions hold. One that is false settles it; raises Unmet when others cannot be evaluated."""
        return not self.conditions or self.unmatched(bindings, purse) is None

    def unmatched(self, bindings: Mapping[str, Any], purse: Purse | None = None) -> str | None:
        """Return the name of the first match condition that is false, or None. Raises Unmet."""
        purse = purse or Purse(CONDITIONS_BUDGET)
        errors: list[str] = []
        for name, expression in self.conditions:
            try:
                if expression.value(bindings, purse) is False:
                    return name
            except (cel.Failed, OutOfBudget) as error:
                errors.append(str(error))
        if errors:
            raise Unmet(errors[0] if len(errors) == 1 else f"[{', '.join(dict.fromkeys(errors))}]")
        return None

    def faults(self, bindings: Mapping[str, Any], purse: Purse) -> list[Fault]:
        """Return what does not hold or cannot be evaluated, in order; nothing if all validations pass."""
        found: list[Fault] = []
        for index, validation in enumerate(self.validations):
            expression = validation.expression
            try:
                if expression.value(bindings, purse) is True:
                    continue
            except OutOfBudget as error:
                return [Fault("error", str(error), index, "", expression.path)]
            except cel.Failed as error:
                found.append(Fault("error", str(error), index, "", expression.path))
                continue
            message = said(validation, bindings, purse)
            find = partial(self.places, expression, bindings)
            found.append(Fault("fail", message, index, validation.reason, expression.path, find))
        return found

    def places(self, expression: Expression, bindings: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
        """Return where in the object an expression that is false finds its fault, and what would pass there.

        The variables are made again where the bindings have lost them by now.
        """
        if expression.program is None or bindings.get("object") is None:
            return (), ""
        if "variables" not in bindings:
            bindings = dict(bindings)
            bindings["variables"] = self.composed(bindings, Purse())
        variables = {name: one.program for name, one in self.variables}
        found = blame(expression.program, bindings, variables)
        wanted = dict.fromkeys(one.wanted for one in found)
        return tuple(dict.fromkeys(dotted(one.path) for one in found)), " or ".join(filter(None, wanted))

    def notes(self, bindings: Mapping[str, Any], purse: Purse) -> list[Note]:
        """Return the audit annotations that are to be written, and those that failed. Raises OutOfBudget."""
        found: list[Note] = []
        for key, expression in self.annotations:
            try:
                value = expression.value(bindings, purse)
            except cel.Failed as error:
                found.append(Note(key, error=str(error)))
                continue
            if isinstance(value, str):
                if value.strip():
                    found.append(Note(key, value.strip()))
            elif value is not None:
                found.append(
                    Note(
                        key,
                        error=f"valueExpression '{expression.text}' resulted in unsupported return type: "
                        f"{cel.type_of(value).name}. Return type must be either string or null.",
                    )
                )
        return found


def said(validation: Validation, bindings: Mapping[str, Any], purse: Purse) -> str:
    """Return the message of a validation that does not hold: its messageExpression's, its message, or the expression itself."""
    if validation.worded is not None:
        try:
            value = validation.worded.value(bindings, purse)
        except (cel.Failed, OutOfBudget):
            value = None
        if isinstance(value, str):
            text = value.strip()
            if text and "\n" not in text and len(text.encode()) <= _LONGEST_MESSAGE:
                return text
    return validation.message.strip() or f"failed expression: {validation.expression.text.strip()}"


class Compiler:
    """Compiles the parts of one document, in their order, and gathers what is wrong with them in `findings`."""

    def __init__(self, source: Source, environment: cel.Environment = ADMISSION) -> None:
        self.source = source
        self._types: dict[str, types.Type] = {}
        self.environment = environment.extend(variables={"variables": _fields(self._types)})
        self.findings: list[Finding] = []
        self._variables: list[tuple[str, Expression]] = []

    def expression(self, text: Any, path: str, *kinds: str) -> Expression:
        """Compile one text. With `kinds`, its result must be of one of them (`bool`, `string` ...)."""
        if not isinstance(text, str) or not text.strip():
            return self._unusable("" if text is None else str(text), path, "no expression is given")
        try:
            program = self.environment.compile(text)
        except cel.BadExpression as error:
            return self._unusable(text, path, f"compilation failed: {error}")
        if kinds and str(program.type) not in kinds:
            wanted = kinds[0] if len(kinds) == 1 else f"one of [{' '.join(kinds)}]"
            return self._unusable(text, path, f"must evaluate to {wanted} but got {program.type}")
        return Expression(text, path, program)

    def variable(self, name: str, text: Any, path: str) -> None:
        """Add a variable that later expressions may use as `variables.name`."""
        expression = self.expression(text, path)
        kind = expression.program.type if expression.program is not None else types.DYN
        self._variables.append((name, expression))
        self._types = {**self._types, name: kind}
        self.environment = self.environment.extend(variables={"variables": _fields(self._types)})

    def variables(self, pages: Iterable[Page]) -> None:
        """Add the variables of a list: name, expression."""
        for page in pages:
            self.variable(
                str(page.take("name", "")), page.take("expression"), f"{page.where.path}.expression"
            )

    def conditions(self, pages: Iterable[Page]) -> tuple[tuple[str, Expression], ...]:
        """Compile match conditions: name, expression."""
        return tuple(
            (
                str(page.take("name", "")),
                self.expression(page.take("expression"), f"{page.where.path}.expression", "bool"),
            )
            for page in pages
        )

    def validations(self, pages: Iterable[Page]) -> tuple[Validation, ...]:
        """Compile validations: expression, message, messageExpression, reason."""
        found = []
        for page in pages:
            expression = self.expression(page.take("expression"), f"{page.where.path}.expression", "bool")
            worded = page.take("messageExpression")
            found.append(
                Validation(
                    expression,
                    str(page.take("message", "")),
                    self.expression(worded, f"{page.where.path}.messageExpression", "string")
                    if worded
                    else None,
                    str(page.take("reason", "")),
                )
            )
        return tuple(found)

    def annotations(self, pages: Iterable[Page]) -> tuple[tuple[str, Expression], ...]:
        """Compile audit annotations: key, valueExpression."""
        return tuple(
            (
                str(page.take("key", "")),
                self.expression(
                    page.take("valueExpression"),
                    f"{page.where.path}.valueExpression",
                    "string",
                    "null",
                    "dyn",
                ),
            )
            for page in pages
        )

    def made(
        self,
        conditions: tuple[tuple[str, Expression], ...] = (),
        validations: tuple[Validation, ...] = (),
        annotations: tuple[tuple[str, Expression], ...] = (),
    ) -> Expressions:
        """Return the compiled policy with the variables added so far."""
        return Expressions(self.environment, tuple(self._variables), conditions, validations, annotations)

    def _unusable(self, text: str, path: str, fault: str) -> Expression:
        self.findings.append(broken(self.source, path, f"{path}: {fault}"))
        return Expression(text, path, None, fault)


def _fields(kinds: Mapping[str, types.Type]) -> types.Type:
    """Return the type of `variables`: an object with these fields and no others."""
    return types.message("kubernetes.variables", kinds)


def compile_expressions(
    source: Source,
    *,
    variables: Sequence[Page] = (),
    conditions: Sequence[Page] = (),
    validations: Sequence[Page] = (),
    annotations: Sequence[Page] = (),
    given: Sequence[tuple[str, str]] = (),
    environment: cel.Environment = ADMISSION,
) -> tuple[Expressions, list[Finding]]:
    """Compile the usual four lists of a policy, each from its cursors; `given` are variables (name, text) that come first.

    The findings tell of expressions that cannot be compiled; the policy made of the rest answers with an error where they are
    met.
    """
    compiler = Compiler(source, environment)
    for name, text in given:
        compiler.variable(name, text, f".variables.{name}")
    matchers = compiler.conditions(conditions)
    compiler.variables(variables)
    made = compiler.made(matchers, compiler.validations(validations), compiler.annotations(annotations))
    return made, compiler.findings
