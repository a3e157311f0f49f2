"""Rules in CEL of a custom resource's schema: `x-kubernetes-validations`.

Compiled once a schema; what they say is in Kubernetes' words. A rule sees its own part of the object as `self`, typed by the
schema, and where the two can be told to be the same thing, what was there before as `oldSelf`. A rule that fails on what an update
left unchanged is not held against it. Every evaluation has a budget; the whole object has one too.
Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from fairlead.keep import validating_values as v
from fairlead.keep.errors import Cause
from fairlead.keep.ruletypes import converting, type_of_schema
from fairlead.keep.validating_values import Causes, Verbatim
from fairlead.tongues import cel

Schema: TypeAlias = Mapping[str, Any]

PER_CALL = 1_000_000
"""The cost that one evaluation may have."""
PER_OBJECT = 10_000_000
"""The cost that all evaluations for one object may have."""
_LONGEST = 5 * 1024
_REASONS = ("FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired", "FieldValueDuplicate")
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
_MISSING: Any = object()
_SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"
_ENVIRONMENT = cel.Environment(libraries=cel.kubernetes.LIBRARIES)

Validate: TypeAlias = Callable[[Any, Any], list[Cause]]
"""(object, what it was before or None) -> what the rules refuse."""


@dataclass(slots=True)
class _Rule:
    """One rule, compiled. `place` is the field that its failure is told at, below its own."""

    raw: Mapping[str, Any]
    program: cel.Program
    message: cel.Program | None
    place: str
    transition: bool
    optional: bool

    @property
    def shown(self) -> str:
        return str(self.raw.get("message") or self.raw["rule"]).strip()

    @property
    def detail(self) -> str:
        said = str(self.raw.get("message") or "").strip()
        return said or f"failed rule: {self.shown}"


@dataclass(slots=True)
class _Node:
    """A part of the schema that has rules, itself or below. `same` says which items of two lists are the same thing."""

    kind: str
    rules: list[_Rule]
    convert: Callable[[Any], Any] | None
    fields: dict[str, _Node]
    items: _Node | None
    values: _Node | None
    more: list[_Node]
    keys: tuple[str, ...] | None
    atomic: bool


class _Spent(Exception):
    """The budget is used up."""


def blocked(causes: Sequence[Cause]) -> Cause | None:
    """Return what to say instead of judging rules when the object breaks its schema so that they could mislead."""
    if not any(one.reason in _BLOCKING for one in causes):
        return None
    text = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
    return v.invalid("<nil>", None, text)


def ruling(schema: Schema) -> Validate | None:
    """Return what judges the rules of a resource's schema, or None when it has none."""
    node = _node(schema, root=True)
    if node is None:
        return None

    def validate(obj: Any, old: Any) -> list[Cause]:
        causes: Causes = []
        judge = _Judge(causes)
        with suppress(_Spent):
            judge.visit(node, obj, _MISSING if old is None else old, "", unchanged=False)
        return causes

    return validate


class _Judge:
    """Judges one object; `left` is what remains of its budget."""

    def __init__(self, causes: Causes) -> None:
        self.causes = causes
        self.left = PER_OBJECT

    def visit(self, node: _Node, obj: Any, old: Any, path: str, *, unchanged: bool) -> None:
        if obj is None:
            return
        if old is not _MISSING:
            unchanged = old == obj and cel.equal(old, obj)
        if node.rules:
            self.judge(node, obj, old, path, unchanged=unchanged)
        for one in node.more:
            self.visit(one, obj, old, path, unchanged=False)
        if isinstance(obj, dict):
            self.map_(node, obj, old, path, unchanged=unchanged)
        elif isinstance(obj, list) and node.items is not None:
            before = _same_items(node, old)
            for at, item in enumerate(obj):
                was = before(item) if before is not None else _MISSING
                self.visit(node.items, item, was, f"{path}[{at}]", unchanged=unchanged)

    def map_(self, node: _Node, obj: Mapping[str, Any], old: Any, path: str, *, unchanged: bool) -> None:
        before = old if isinstance(old, dict) and not node.atomic else {}
        if node.values is not None:
            for key, value in obj.items():
                self.visit(
                    node.values, value, before.get(key, _MISSING), f"{path}[{key}]", unchanged=unchanged
                )
        for name, inner in node.fields.items():
            if name in obj:
                place = f"{path}.{name}" if path else name
                self.visit(inner, obj[name], before.get(name, _MISSING), place, unchanged=unchanged)

    def judge(self, node: _Node, obj: Any, old: Any, path: str, *, unchanged: bool) -> None:
        convert = node.convert
        value = convert(obj) if convert is not None else obj
        was = old if old is _MISSING or convert is None else convert(old)
        kind = Verbatim(f'"{node.kind}"')
        for rule in node.rules:
            if rule.transition and old in (_MISSING, None) and not rule.optional:
                continue
            bindings = {"self": value}
            if rule.optional:
                bindings["oldSelf"] = cel.NONE if was in (_MISSING, None) else cel.Optional(was)
            elif rule.transition:
                bindings["oldSelf"] = was
            try:
                if self.spend(rule.program, bindings) is True:
                    continue
            except _Spent:
                self.causes.append(v.invalid(path or "<nil>", kind, _SPENT))
                raise
            except cel.Failed as error:
                self.causes.append(v.invalid(path or "<nil>", kind, _why(error, rule)))
                if isinstance(error, cel.TooCostly):
                    raise _Spent from None
                continue
            if unchanged and not rule.transition:
                continue
            shown = kind if node.kind in {"object", "array"} else obj
            place = f"{path}{rule.place}" if path else rule.place.removeprefix(".") or "<nil>"
            self.causes.append(_refused(place, shown, self.detail(rule, bindings), rule.raw.get("reason")))

    def detail(self, rule: _Rule, bindings: Mapping[str, Any]) -> str:
        if rule.message is not None:
            try:
                said = self.spend(rule.message, bindings)
            except (cel.Failed, _Spent):
                said = ""
            text = said.strip() if isinstance(said, str) else ""
            if text and "\n" not in text and len(text.encode()) <= _LONGEST:
                return text
        return rule.detail

    def spend(self, program: cel.Program, bindings: Mapping[str, Any]) -> Any:
        if self.left <= 0:
            raise _Spent
        meter = cel.Meter(min(PER_CALL, self.left))
        before = meter.left
        try:
            return program.metered(bindings, meter)
        except cel.TooCostly:
            if before < PER_CALL:
                raise _Spent from None
            raise
        finally:
            self.left -= int(before - max(meter.left, 0))


def _why(error: cel.Failed, rule: _Rule) -> str:
    text = str(error)
    if text.startswith("no such overload"):
        return f"'{text}': call arguments did not match a supported operator, function or macro signature for rule: {rule.shown}"
    if isinstance(error, cel.TooCostly):
        return f"'{text}': no further validation rules will be run due to call cost exceeds limit for rule: {rule.shown}"
    return f"{text} evaluating rule: {rule.shown}"


def _refused(place: str, value: Any, detail: str, reason: str | None) -> Cause:
    if reason == "FieldValueForbidden":
        return v.forbidden(place, detail)
    if reason == "FieldValueRequired":
        return v.required(place, detail)
    if reason == "FieldValueDuplicate":
        return v.duplicate(place, value)
    return v.invalid(place, value, detail)


def _same_items(node: _Node, old: Any) -> Callable[[Any], Any] | None:
    """Return what finds the item of the old list that an item was, by the list's map keys; None where that cannot be said."""
    if node.keys is None or not isinstance(old, list):
        return None
    known: dict[Any, Any] = {}
    keys = node.keys
    for item in old:
        if isinstance(item, dict):
            known.setdefault(tuple(repr(item.get(key)) for key in keys), item)
    return lambda item: (
        known.get(tuple(repr(item.get(key)) for key in keys), _MISSING)
        if isinstance(item, dict)
        else _MISSING
    )


# --- compiling


def _node(schema: Schema, *, root: bool = False, shape: Schema | None = None) -> _Node | None:
    """Return the rules of a schema and of what is below; `shape` is the schema that types it, where that is another."""
    shape = schema if shape is None else shape
    rules = _compiled(schema, shape, root=root)
    fields: dict[str, _Node] = {}
    for name, inner in schema.get("properties", {}).items():
        typed = shape.get("properties", {}).get(name)
        found = (
            _node(inner, root=bool(typed.get("x-kubernetes-embedded-resource")), shape=typed)
            if typed
            else None
        )
        if found is not None:
            fields[name] = found
    below: dict[str, _Node | None] = {}
    for name in ("items", "additionalProperties"):
        inner, typed = schema.get(name), shape.get(name)
        below[name] = None
        if isinstance(inner, Mapping) and isinstance(typed, Mapping):
            embedded = bool(typed.get("x-kubernetes-embedded-resource"))
            below[name] = _node(inner, root=embedded, shape=typed)
    more = [one for one in (_node(inner, root=root, shape=shape) for inner in schema.get("allOf", ())) if one]
    if not (rules or fields or any(below.values()) or more):
        return None
    mapped = shape.get("x-kubernetes-list-type") == "map"
    return _Node(
        kind=shape.get("type", ""),
        rules=rules,
        convert=converting(shape, root=root) if rules else None,
        fields=fields,
        items=below["items"],
        values=below["additionalProperties"],
        more=more,
        keys=tuple(shape.get("x-kubernetes-list-map-keys", ())) if mapped else None,
        atomic=shape.get("x-kubernetes-map-type") == "atomic",
    )


def _environments(shape: Schema, *, root: bool) -> tuple[cel.Environment, cel.Environment] | None:
    """Return where rules are compiled, with `oldSelf` and with an optional one; None for a schema that has no type."""
    kind = type_of_schema(shape, root=root)
    if kind is None:
        return None
    plain = _ENVIRONMENT.extend({"self": kind, "oldSelf": kind})
    return plain, _ENVIRONMENT.extend({"self": kind, "oldSelf": cel.optionals.of_type(kind)})


def _compiled(schema: Schema, shape: Schema, *, root: bool) -> list[_Rule]:
    raws = schema.get("x-kubernetes-validations", ())
    environments = _environments(shape, root=root) if raws else None
    found: list[_Rule] = []
    if environments is None:
        return found
    for raw in raws:
        optional = bool(raw.get("optionalOldSelf"))
        environment = environments[optional]
        try:
            program = environment.compile(raw["rule"])
            said = raw.get("messageExpression")
            message = environment.compile(said) if said else None
        except cel.BadExpression:
            continue  # it was refused when the definition was written
        transition = "oldSelf" in program.names
        found.append(_Rule(raw, program, message, _place(raw.get("fieldPath", "")), transition, optional))
    return found


def _place(path: str) -> str:
    """Return a field path as errors show it: `.spec['a.b']` -> `.spec.a.b`."""
    return path.replace("['", ".").replace("']", "")


# --- checking a definition


def check(schema: Schema, field: str) -> Causes:
    """Return what is wrong with the rules of a structural schema, as its definition is written."""
    causes: Causes = []
    _check(schema, schema, field, causes, root=True, unsure="")
    return causes


def _check(schema: Schema, shape: Schema, field: str, causes: Causes, *, root: bool, unsure: str) -> None:
    """`unsure` is the nearest place below which nobody can say what was what before."""
    raws = schema.get("x-kubernetes-validations") or ()
    if raws:
        environments = _environments(shape, root=root)
        for at, raw in enumerate(raws):
            _check_rule(raw, shape, f"{field}.x-kubernetes-validations[{at}]", causes, environments, unsure)
    atomic = shape.get("x-kubernetes-map-type") == "atomic"
    for name, inner in schema.get("properties", {}).items():
        typed = shape.get("properties", {}).get(name)
        if isinstance(typed, Mapping):
            embedded = bool(typed.get("x-kubernetes-embedded-resource"))
            place = f"{field}.properties[{name}]"
            _check(inner, typed, place, causes, root=embedded, unsure=unsure or (field if atomic else ""))
    for name in ("items", "additionalProperties"):
        inner, typed = schema.get(name), shape.get(name)
        if isinstance(inner, Mapping) and isinstance(typed, Mapping):
            lost = atomic if name != "items" else shape.get("x-kubernetes-list-type") != "map"
            embedded = bool(typed.get("x-kubernetes-embedded-resource"))
            _check(
                inner,
                typed,
                f"{field}.{name}",
                causes,
                root=embedded,
                unsure=unsure or (field if lost else ""),
            )
    for at, inner in enumerate(schema.get("allOf", ())):
        _check(inner, shape, f"{field}.allOf[{at}]", causes, root=root, unsure=unsure)


def _check_rule(
    raw: Mapping[str, Any],
    shape: Schema,
    field: str,
    causes: Causes,
    environments: tuple[cel.Environment, cel.Environment] | None,
    unsure: str,
) -> None:
    rule, message = raw.get("rule", ""), raw.get("message", "")
    if not rule.strip():
        causes.append(v.required(f"{field}.rule", "rule is not specified"))
        return
    if message and not message.strip():
        causes.append(v.invalid(f"{field}.message", message, "message must be non-empty if specified"))
    elif "\n" in message.strip():
        causes.append(v.invalid(f"{field}.message", message, "message must not contain line breaks"))
    elif "\n" in rule.strip() and not message.strip():
        causes.append(
            v.required(f"{field}.message", "message must be specified if rule contains line breaks")
        )
    said = raw.get("messageExpression", "")
    if said and not said.strip():
        causes.append(v.required(f"{field}.messageExpression", "must be non-empty if specified"))
    reason = raw.get("reason")
    if reason is not None and reason not in _REASONS:
        causes.append(v.not_supported(f"{field}.reason", reason, _REASONS))
    if raw.get("fieldPath"):
        fault = _bad_path(raw["fieldPath"], shape)
        if fault:
            text = f"fieldPath must be a valid path: {fault}"
            causes.append(v.invalid(f"{field}.fieldPath", raw["fieldPath"], text))
    if environments is None:
        text = f"rule declared on schema that does not support validation rules type: '{shape.get('type', '')}' x-kubernetes-preserve-unknown-fields: '{str(bool(shape.get('x-kubernetes-preserve-unknown-fields'))).lower()}'"
        causes.append(v.invalid(f"{field}.rule", Verbatim(_go(raw)), text))
        return
    environment = environments[bool(raw.get("optionalOldSelf"))]
    program = _tried(
        environment, rule, f"{field}.rule", raw, causes, ("bool", "cel expression must evaluate to a bool")
    )
    if said.strip():
        wanted = ("string", "messageExpression must evaluate to a string")
        _tried(environment, said, f"{field}.messageExpression", raw, causes, wanted)
    if program is None:
        return
    transition = "oldSelf" in program.names
    if transition and unsure and not raw.get("optionalOldSelf"):
        text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {unsure}"
        causes.append(v.invalid(f"{field}.rule", rule, text))
    if raw.get("optionalOldSelf") is not None and not transition:
        text = "may not be set if oldSelf is not used in rule"
        causes.append(v.invalid(f"{field}.optionalOldSelf", raw["optionalOldSelf"], text))


def _tried(
    environment: cel.Environment,
    text: str,
    field: str,
    raw: Mapping[str, Any],
    causes: Causes,
    wanted: tuple[str, str],
) -> cel.Program | None:
    try:
        program = environment.compile(text)
    except cel.BadExpression as error:
        prefix = "" if wanted[0] == "bool" else "messageExpression "
        causes.append(v.invalid(field, Verbatim(_go(raw)), f"{prefix}compilation failed: {error}"))
        return None
    if str(program.type) != wanted[0]:
        causes.append(v.invalid(field, Verbatim(_go(raw)), wanted[1]))
        return None
    return program


def _go(raw: Mapping[str, Any]) -> str:
    """Return a rule as Go prints it in an error."""

    def text(name: str) -> str:
        return v.printed(raw.get(name) or "")

    reason = (
        "(*apiextensions.FieldValueErrorReason)(nil)" if raw.get("reason") is None else f"(*{raw['reason']})"
    )
    optional = (
        "(*bool)(nil)" if raw.get("optionalOldSelf") is None else f"(*{str(raw['optionalOldSelf']).lower()})"
    )
    return (
        f"apiextensions.ValidationRule{{Rule:{text('rule')}, Message:{text('message')}, "
        f"MessageExpression:{text('messageExpression')}, Reason:{reason}, FieldPath:{text('fieldPath')}, "
        f"OptionalOldSelf:{optional}}}"
    )


def _bad_path(path: str, schema: Schema) -> str:
    """Return what is wrong with the path of a field below a schema, or ""."""
    rest = path
    while rest:
        if rest.startswith(".") and len(rest) > 1:
            ends = [at for at in (rest.find(".", 1), rest.find("[", 1)) if at > 0]
            end = min(ends, default=len(rest))
            name, rest = rest[1:end], rest[end:]
        elif rest.startswith("['") and "']" in rest:
            end = rest.index("']")
            name, rest = rest[2:end].replace("\\'", "'"), rest[end + 2 :]
        elif rest in {".", "["}:
            return "unexpected end of JSON path"
        elif rest.startswith("["):
            return f"expected single quoted string but got {rest[1:].partition(']')[0]}"
        else:
            return f"expected [ or . but got: {rest.partition('.')[0]}"
        if "properties" in schema:
            if name not in schema["properties"]:
                return "does not refer to a valid field"
            schema = schema["properties"][name]
        elif isinstance(schema.get("additionalProperties"), Mapping):
            schema = schema["additionalProperties"]
        else:
            return "does not refer to a valid field"
    return ""
