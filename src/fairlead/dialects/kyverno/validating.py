"""validate: what each of its ways (pattern, anyPattern, deny, foreach) says of one subject, in Kyverno's words.

A document becomes a Check, made once; the others ways (podSecurity, cel, assert) have modules of their own. A Check knows
nothing of what its verdict leads to.
Source: kyverno/kyverno pkg/engine/handlers/validation/validate_resource.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from fairlead.dialects.kyverno.conditions import BadCondition, Conditions, compile_conditions
from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.dialects.kyverno.entries import BadEntry, Entries, compile_entries
from fairlead.dialects.kyverno.templates import compile_template, expressions, has_variables
from fairlead.judge import patterns
from fairlead.judge.patterns import Match, Mismatch
from fairlead.judge.policies import Result
from fairlead.judge.reading import Source
from fairlead.tongues import jmespath
from fairlead.tongues.jmespath import BadExpression, Failed
from fairlead.tongues.paths import Path, dotted
from fairlead.words import Resource

_SIMPLE_PATH = re.compile(r"request\.object((?:\.[A-Za-z_][A-Za-z0-9_]*)+)\Z")
_WAYS = ("deny", "pattern", "anyPattern", "foreach")
_MOST_NESTED = 20
_ELEMENT_NAMES = tuple((f"element{depth}", f"elementIndex{depth}") for depth in range(_MOST_NESTED + 2))
_AN_ELEMENT = 50
"""What one element of a loop costs of what a rule may take for one subject."""


class Said(NamedTuple):
    """What a check says: a result, its message, the places in the object that it is about, and what would pass there.

    `remedies` are values that are sure to pass, and their places. `find` tells paths and wanted later, where finding them costs.
    """

    result: Result
    message: str
    paths: tuple[str, ...] = ()
    wanted: str = ""
    properties: Mapping[str, Any] = {}
    find: Callable[[], tuple[tuple[str, ...], str]] | None = None
    remedies: tuple[tuple[Path, Any], ...] = ()


Check: TypeAlias = Callable[[Context], "Said | None"]
"""Judge one subject. None: there is nothing to say. Raises Unresolved and Lacking."""


class BadRule(ValueError):
    """A rule cannot be used as it is written. `path` is the place in the document."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class Compiled(NamedTuple):
    """A check and, where the object alone decides, a shorter way to its verdict: None if the object passes."""

    check: Check
    quick: Callable[[Resource], Said | None] | None = None


def failed(prefix: str, error: Exception) -> Said:
    """Return the verdict that something could not be evaluated."""
    return Said("error", f"{prefix}: {error}")


def compile_checks(document: Mapping[str, Any], name: str, source: Source, path: str) -> Compiled:
    """Compile the first way of a validate document that is there. Raises BadRule."""
    way = next(
        (one for one in ("deny", "pattern", "anyPattern", "foreach") if document.get(one) is not None), None
    )
    if way is None:
        raise BadRule(
            path,
            "validate requires one of pattern, anyPattern, deny, foreach, podSecurity, cel, assert or manifests",
        )
    message = document.get("message")
    told = _Message(name, message if isinstance(message, str) else "")
    return _compile_way(document, way, told, source, path, 0)


def conditions_of(document: Any, path: str) -> Conditions:
    """Compile conditions. Raises BadRule."""
    try:
        return compile_conditions(document)
    except BadCondition as error:
        raise BadRule(path, str(error)) from None


def entries_of(document: Any, source: Source, path: str) -> Entries | None:
    """Compile context entries. Raises BadRule."""
    try:
        return compile_entries(document, source, path)
    except BadEntry as error:
        raise BadRule(error.path, str(error)) from None


def _compile_way(
    document: Mapping[str, Any], way: str, told: _Message, source: Source, path: str, nesting: int
) -> Compiled:
    if way == "deny":
        return Compiled(_deny(document["deny"], told, f"{path}.deny"))
    if way == "pattern":
        return _pattern(document["pattern"], told, f"{path}.pattern")
    if way == "anyPattern":
        return Compiled(_any_pattern(document["anyPattern"], told, f"{path}.anyPattern"))
    return Compiled(_foreach(document["foreach"], told, source, f"{path}.foreach", nesting))


class _Message:
    """A rule's message and how failures are told with it."""

    def __init__(self, rule: str, text: str) -> None:
        self.rule = rule
        self.text = text
        self._fill = compile_template(text) if text else None
        self.passed = Said("pass", f"validation rule '{rule}' passed.")

    def filled(self, context: Context, more: str = "") -> str:
        """Return the message with its variables filled in, and the conditions' own messages after it. Raises Unresolved."""
        if self._fill is None:
            return more
        found = self._fill(context)
        text = (
            found
            if isinstance(found, str)
            else "the produced message didn't resolve to a string, check your policy definition."
        )
        return "; ".join(part for part in (text, more) if part)

    def failing(self, context: Context | None, pointer: str, error: str) -> str:
        """Return what is told of a pattern that failed at a place, or could not be compared (no place)."""
        what = f"failed at path {pointer}" if pointer else f"execution error: {error}"
        if not self.text:
            return f"validation error: rule {self.rule} {what}"
        try:
            text = self.text if context is None else self.filled(context)
        except Unresolved:
            return (
                f"validation error: variables substitution error in rule {self.rule} execution error: {error}"
            )
        return f"validation error: {text}{'' if text.endswith('.') else '.'} rule {self.rule} {what}"

    def failing_all(self, errors: str) -> str:
        """Return what is told when no pattern of several matches."""
        if not self.text:
            return f"validation error: {errors}"
        return f"validation error: {self.text}{'' if self.text.endswith('.') else '.'} {errors}"


def _deny(document: Any, told: _Message, path: str) -> Check:
    conditions: Conditions | None = None
    paths: tuple[str, ...] = ()
    if isinstance(document, Mapping):
        conditions = conditions_of(document.get("conditions"), f"{path}.conditions")
        paths = _places(document.get("conditions"))
    elif document is not None:
        raise BadRule(path, "deny must be a mapping")

    def check(context: Context) -> Said:
        try:
            denied, why = conditions.explain(context) if conditions is not None else (True, "")
        except Unresolved as error:
            return failed("failed to check deny conditions", error)
        if not denied:
            return told.passed
        if not told.text and not why:
            return Said("fail", f"validation error: rule {told.rule} failed", paths)
        try:
            message = told.filled(context, why)
        except Unresolved:
            message = why or told.text
        return Said("fail", message, paths)

    return check


def _places(conditions: Any) -> tuple[str, ...]:
    """Return the places in the object that conditions look at, as far as their expressions are plain paths."""
    keys = [
        found[1]
        for text in expressions(conditions)
        for found in (_SIMPLE_PATH.match(text.split("||")[0].strip()),)
        if found is not None
    ]
    return tuple(dict.fromkeys(keys))


def _compiled_pattern(document: Any, path: str) -> Callable[[Context], Match]:
    """Return what gives the pattern for a subject: always the same one when it has no variables. Raises BadRule."""
    if has_variables(document):
        fill = compile_template(document)
        return lambda context: patterns.compile(fill(context))
    try:
        fixed = patterns.compile(document)
    except patterns.BadPattern as error:
        raise BadRule(path, str(error)) from None
    return lambda _: fixed


def _pattern(document: Any, told: _Message, path: str) -> Compiled:
    of_context = _compiled_pattern(document, path)

    def check(context: Context) -> Said | None:
        try:
            match = of_context(context)
        except (Unresolved, patterns.BadPattern) as error:
            return failed("variable substitution failed", error)
        resource = _looked_at(context)
        if resource is None:
            return None
        found = match(resource)
        return told.passed if found is None else _mismatched(found, context, told)

    if has_variables(document) or has_variables(told.text):
        return Compiled(check)
    fixed = patterns.compile(document)

    def quick(resource: Resource) -> Said | None:
        found = fixed(resource)
        return None if found is None else _mismatched(found, None, told)

    return Compiled(check, quick)


def _looked_at(context: Context) -> Any:
    """Return what patterns look at: the element of a foreach, or the object. None for an object that goes away."""
    if context.element is not None:
        return context.element
    return context.subject.object if not context.deleting else None


def _mismatched(found: Mismatch, context: Context | None, told: _Message) -> Said:
    """Return the verdict on what does not match; no context is needed for a message without variables."""
    if found.kind == "skip":
        return Said("skip", found.message())
    message = told.failing(context, found.pointer, found.message())
    if found.error:
        return Said("error", message, (dotted(found.path),), found.wanted)
    whole = context is None or context.element is None
    remedies = tuple((found.path, value) for value in found.remedy) if whole else ()
    return Said("fail", message, (dotted(found.path),), found.wanted, remedies=remedies)


def _any_pattern(document: Any, told: _Message, path: str) -> Check:
    if not isinstance(document, list):
        raise BadRule(path, "failed to deserialize anyPattern, expected type array")
    of_context = [_compiled_pattern(one, f"{path}[{index}]") for index, one in enumerate(document)]
    passed = [
        Said("pass", f"validation rule '{told.rule}' anyPattern[{index}] passed.")
        for index in range(len(document))
    ]

    def check(context: Context) -> Said | None:
        try:
            matches = [one(context) for one in of_context]
        except (Unresolved, patterns.BadPattern) as error:
            return failed("variable substitution failed", error)
        resource = _looked_at(context)
        if resource is None:
            return None
        skipped: list[str] = []
        fails: list[str] = []
        places: list[Mismatch] = []
        for index, match in enumerate(matches):
            found = match(resource)
            if found is None:
                return passed[index]
            whose = f"rule {told.rule}[{index}]"
            if found.kind == "skip":
                skipped.append(f"{whose} skipped: {found.message()}")
            else:
                places.append(found)
                at = f" at path {found.pointer}" if found.pointer else f": {found.message()}"
                fails.append(f"{whose} failed{at}")
        if fails:
            paths = tuple(dict.fromkeys(dotted(one.path) for one in places))
            return Said(
                "fail", told.failing_all(" ".join(fails)), paths, " or ".join(one.wanted for one in places)
            )
        return Said("skip", " ".join(skipped)) if skipped else Said("pass", told.text)

    return check


class _Loop(NamedTuple):
    """One foreach: the list it goes over, and what it does with an element. `base` is the list's place in the object, if plain."""

    elements: Callable[[Context], list[Any]]
    scoped: bool | None
    entries: Entries | None
    conditions: Conditions
    check: Check
    base: Path | None


def _foreach(document: Any, told: _Message, source: Source, path: str, nesting: int) -> Check:
    if not isinstance(document, list) or not all(isinstance(one, Mapping) for one in document):
        raise BadRule(path, "foreach must be a list")
    if nesting > _MOST_NESTED:
        raise BadRule(path, "foreach is nested too deeply")
    loops = [_loop(one, told, source, f"{path}[{index}]", nesting) for index, one in enumerate(document)]
    passed = Said("pass", "rule passed")

    def check(context: Context) -> Said:
        applied = 0
        for loop in loops:
            try:
                elements = loop.elements(context)
            except (Failed, BadExpression):
                continue
            said, count = _over(loop, elements, context, nesting)
            if said is not None:
                return said
            applied += count
        return passed if applied else Said("skip", "rule skipped")

    return check


def _loop(document: Mapping[str, Any], told: _Message, source: Source, path: str, nesting: int) -> _Loop:
    way = next(
        (one for one in ("deny", "pattern", "anyPattern", "foreach") if document.get(one) is not None), None
    )
    if way is None:
        raise BadRule(path, "foreach requires one of pattern, anyPattern, deny or foreach")
    text = document.get("list")
    if not isinstance(text, str):
        raise BadRule(f"{path}.list", "foreach requires a list")
    scope = document.get("elementScope")
    simple = _SIMPLE_PATH.match(text.strip())
    return _Loop(
        compile_elements(text),
        scope if isinstance(scope, bool) else None,
        entries_of(document.get("context"), source, f"{path}.context"),
        conditions_of(document.get("preconditions"), f"{path}.preconditions"),
        _compile_way(document, way, told, source, path, nesting + 1).check,
        tuple(simple[1].split(".")[1:]) if simple else None,
    )


def compile_elements(text: str) -> Callable[[Context], list[Any]]:
    """Return the function that gives the elements of a foreach's list; one that is no list is an element itself.

    It raises jmespath's Failed or BadExpression.
    """
    try:
        expression = jmespath.compile(text.strip())
    except BadExpression as error:
        return _refusing(error)

    def elements(context: Context) -> list[Any]:
        found = expression(context.data, context.moment)
        return found if isinstance(found, list) else [found]

    return elements


def _refusing(error: BadExpression) -> Callable[[Context], list[Any]]:
    def elements(_: Context) -> list[Any]:
        raise BadExpression(str(error), error.position)

    return elements


def names_of(element: Any, index: int, nesting: int) -> dict[str, Any]:
    """Return the names that an element of a foreach has in expressions."""
    own, own_index = _ELEMENT_NAMES[nesting]
    return {"element": element, own: element, "elementIndex": index, own_index: index}


def _over(loop: _Loop, elements: list[Any], context: Context, nesting: int) -> tuple[Said | None, int]:
    """Check every element; return what ends the loop (None if nothing does), and how many passed."""
    applied = 0
    for index, element in enumerate(elements):
        if element is None:
            continue
        context.moment.spend(_AN_ELEMENT)
        scoped = isinstance(element, dict) if loop.scoped is None else loop.scoped
        if loop.scoped and not isinstance(element, dict):
            message = (
                "failed to process foreach: cannot use elementScope=true foreach rules for elements that are not maps, "
                f"expected type=map got type={type(element).__name__}"
            )
            return Said("error", message), applied
        with context.scope(names_of(element, index, nesting)):
            context.element = element if scoped else context.element
            said = _element(loop, context)
        if said is None or said.result == "skip":
            continue
        if said.result == "pass":
            applied += 1
            continue
        if said.result == "error" and index < len(elements) - 1:
            continue
        return _told(said, loop, index, scoped=scoped), applied
    return None, applied


def _told(said: Said, loop: _Loop, index: int, *, scoped: bool) -> Said:
    paths = said.paths
    if loop.base is not None:
        base = dotted((*loop.base, index))
        paths = tuple(f"{base}{place}" for place in paths) if scoped and paths else (base,)
    elif scoped:
        paths = ()
    return Said(said.result, f"validation failure: {said.message}", paths, said.wanted)


def _element(loop: _Loop, context: Context) -> Said | None:
    if loop.entries is not None:
        loop.entries(context)
    if loop.conditions:
        try:
            held, why = loop.conditions.explain(context)
        except Unresolved as error:
            return failed("failed to evaluate preconditions", error)
        if not held:
            return Said("skip", "; ".join(part for part in ("preconditions not met", why) if part))
    return loop.check(context)
