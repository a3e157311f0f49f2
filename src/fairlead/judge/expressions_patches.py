"""Mutations in CEL: apply configurations written as `Object{...}`, and JSON patches written as `JSONPatch{...}`.

Compiles them and applies their results to an object, which is never changed in place. Merging by the kind's schema is the
surroundings' work. Source: k8s.io/apiserver pkg/admission/plugin/policy/mutating/patch, error texts included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fairlead.judge.expressions import Compiler, Expression, Purse
from fairlead.judge.reading import broken
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import cel, jsonpatch
from fairlead.words import Page, Resource

_ROOT = "Object"
_OPERATION = "JSONPatch"


class Unpatched(Exception):
    """Why a mutation cannot be applied."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mutation of a policy. `guarded`: an apply configuration may not set a whole atomic list or map."""

    kind: Literal["apply", "json"]
    expression: Expression
    guarded: bool = True

    def apply(
        self, bindings: Mapping[str, Any], purse: Purse, around: Surroundings, live: Resource
    ) -> Resource:
        """Return the object as it is after the mutation. Raises Unpatched, cel.Failed, OutOfBudget, Lacking."""
        value = self.expression.value(bindings, purse)
        if self.kind == "apply":
            return _merged(value, around, live, guarded=self.guarded)
        return _patched(value, live)


def mutations(compiler: Compiler, pages: Iterable[Page], *, guarded: bool = True) -> tuple[Mutation, ...]:
    """Compile a policy's mutations: patchType with applyConfiguration.expression or jsonPatch.expression."""
    found = []
    for page in pages:
        path = page.where.path
        sort = page.take("patchType")
        if sort == "ApplyConfiguration":
            text = page.page("applyConfiguration").take("expression")
            expression = compiler.expression(text, f"{path}.applyConfiguration.expression", _ROOT)
            found.append(Mutation("apply", expression, guarded))
        elif sort == "JSONPatch":
            text = page.page("jsonPatch").take("expression")
            expression = compiler.expression(
                text, f"{path}.jsonPatch.expression", f"list({_OPERATION})", "list(dyn)", "dyn"
            )
            found.append(Mutation("json", expression))
        else:
            message = f"{path}.patchType: Unsupported value: {sort!r}: supported values: ApplyConfiguration, JSONPatch"
            compiler.findings.append(broken(compiler.source, path, message))
            found.append(Mutation("json", Expression("", path, None, message)))
    return tuple(found)


def _merged(value: Any, around: Surroundings, live: Resource, *, guarded: bool) -> Resource:
    if not isinstance(value, cel.Message):
        raise Unpatched(
            f"unsupported return type from ApplyConfiguration expression: {cel.type_of(value).name}"
        )
    _check(value, _ROOT)
    if around.merge is None:
        raise Unpatched("error applying patch: nothing here knows the kind's schema")
    applied = _plain(value)
    for key in ("apiVersion", "kind"):
        if key in live:
            applied[key] = live[key]
    api_version, kind = live.get("apiVersion") or "", live.get("kind") or ""
    if guarded and around.atomics is not None:
        whole = around.atomics(api_version, kind, applied)
        if whole:
            raise Unpatched(
                "error applying patch: invalid ApplyConfiguration: "
                f"may not mutate atomic arrays, maps or structs: {', '.join(whole)}"
            )
    try:
        return around.merge(api_version, kind, live, applied)
    except ValueError as error:
        raise Unpatched(f"error applying patch: {error}") from error


def _patched(value: Any, live: Resource) -> Resource:
    if not isinstance(value, (list, tuple)):
        raise Unpatched("type mismatch: JSONPatchType.expression should evaluate to array")
    operations = [_operation(one) for one in value]
    try:
        patched: Resource = jsonpatch.apply(live, operations)
    except jsonpatch.TestFailed:
        return live
    except jsonpatch.Unpatchable as error:
        raise Unpatched(f"JSONPath: {error}") from error
    return patched


def _operation(value: Any) -> dict[str, Any]:
    if not isinstance(value, cel.Message) or value.type_name != _OPERATION:
        raise Unpatched(
            "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, "
            f"got element of {cel.type_of(value).name}"
        )
    fields = value.fields
    found = {key: fields[key] for key in ("op", "path", "from") if fields.get(key)}
    if "value" in fields:
        inner = fields["value"]
        if isinstance(inner, cel.Message):
            _check(inner, inner.type_name)
        try:
            found["value"] = _plain(inner)
        except cel.Failed as error:
            raise Unpatched(
                f"JSONPath valueExpression evaluated to a type that could not marshal to JSON: {error}"
            ) from error
    return found


def _check(value: Any, path: str) -> None:
    """Refuse objects whose type does not say where they stand: `Object.spec{}` belongs under `spec` of the root."""
    if isinstance(value, cel.Message):
        if value.type_name != path:
            raise Unpatched(
                f'type mismatch: unexpected type name "{value.type_name}", expected "{path}", '
                "which matches field name path from root Object type"
            )
        for key, inner in value.fields.items():
            _check(inner, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check(inner, path)
    elif isinstance(value, dict):
        for inner in value.values():
            _check(inner, path)


def _plain(value: Any) -> Any:
    """Return the value as JSON, all the way down; it shares nothing with what the expression looked at."""
    return cel.to_json(value)
