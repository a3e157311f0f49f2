"""The entries of a `context`: variable, configMap, apiCall, imageRegistry, globalReference; compiled once, loaded when asked for.

What lies in the cluster comes from the view; what lies beyond it (registries, services, raw paths that are no resources) is
raised as Lacking. Nothing here fetches.
Source: kyverno/kyverno pkg/engine/context/loaders/*.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from fairlead.dialects.kyverno import calls
from fairlead.dialects.kyverno.contexts import Context, Load, Unresolved
from fairlead.dialects.kyverno.templates import Template, compile_template
from fairlead.judge.reading import Source
from fairlead.tongues import jmespath
from fairlead.tongues.jmespath import BadExpression, Failed, Missing, sprint
from fairlead.words import Need, Ref

Entries: TypeAlias = Callable[[Context], None]
"""Adds the entries to a Context; none is loaded before it is asked for."""


class BadEntry(ValueError):
    """An entry cannot be used as it is written. `path` is its place in the document."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def compile_entries(document: Any, source: Source, path: str) -> Entries | None:
    """Return the function that adds the entries to a Context, or None where there are none. Raises BadEntry."""
    if not document:
        return None
    if not isinstance(document, list):
        raise BadEntry(path, "context must be a list of entries")
    made: list[tuple[str, Load, bool]] = []
    for index, entry in enumerate(document):
        place = f"{path}[{index}]"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise BadEntry(place, "a context entry requires a name")
        kinds = [kind for kind in _KINDS if isinstance(entry.get(kind), Mapping)]
        if len(kinds) != 1:
            raise BadEntry(
                place,
                "exactly one of configMap or apiCall or imageRegistry or variable or globalReference is required",
            )
        kind = kinds[0]
        made.append((entry["name"], _KINDS[kind](entry["name"], entry[kind], source), kind == "variable"))
    entries = tuple(made)

    def add(context: Context) -> None:
        given = context.given
        for name, load, own in entries:
            if own or not given or not context.states(name):
                context.data.add(name, load)

    return add


def _searching(path: Any) -> Callable[[Context, Any], Any]:
    """Return the function that applies a JMESPath, itself a template, to a value. It raises Unresolved."""
    fill = compile_template(path)

    def run(context: Context, value: Any) -> Any:
        text = fill(context)
        if not isinstance(text, str):
            raise Unresolved(f"jmespath value must be a string {path}")
        try:
            return jmespath.compile(text)(value, context.moment)
        except BadExpression as error:
            raise Unresolved(f"failed to compile JMESPath: {text}, error: {error}") from None
        except Failed as error:
            raise Unresolved(
                f"failed to apply jmespath {text} to variable {_short(value)}: {error}"
            ) from None

    return run


def _short(value: Any) -> str:
    text = sprint(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _variable(name: str, entry: Mapping[str, Any], _: Source) -> Load:
    path, default, value = entry.get("jmesPath"), entry.get("default"), entry.get("value")
    search = _searching(path) if path else None
    fill_default: Template | None = None if default is None else compile_template(default)
    fill_value: Template | None = None if value is None else compile_template(value)

    def load(context: Context) -> Any:
        fallback = fill_default(context) if fill_default is not None else None
        found: Any = None
        try:
            if fill_value is not None:
                found = fill_value(context)
                if search is not None:
                    found = search(context, found)
            elif search is not None:
                found = _query(search, context)
        except Unresolved:
            if fallback is None:
                raise
            found = None
        if found is None:
            found = fallback
        if found is None:
            raise Unresolved(f"failed to add context entry for variable {name} since it evaluated to nil")
        return found

    return load


def _query(search: Callable[[Context, Any], Any], context: Context) -> Any:
    """Search the context itself; a DELETE request's object is the old one only inside of `{{ }}`, not here."""
    return search(context, context.data)


def _config_map(name: str, entry: Mapping[str, Any], _: Source) -> Load:
    of_name = compile_template(entry.get("name") or "")
    of_namespace = compile_template(entry.get("namespace") or "default")

    def load(context: Context) -> Any:
        who, where = str(of_name(context)), str(of_namespace(context))
        found = context.around.view.get("", "ConfigMap", where, who)
        if found is None:
            raise Unresolved(
                f"failed to retrieve config map for context entry {name}: configmap {where}/{who} not found"
            )
        return {"data": found.get("data") or {}, "metadata": found.get("metadata") or {}}

    return load


def _after(entry: Mapping[str, Any], load: Load) -> Load:
    """Apply the entry's jmesPath to what was loaded, and its default where nothing was."""
    search = _searching(entry["jmesPath"]) if entry.get("jmesPath") else None
    fill = compile_template(entry["default"]) if entry.get("default") is not None else None
    if search is None and fill is None:
        return load

    def run(context: Context) -> Any:
        try:
            found = load(context)
            if search is not None:
                found = search(context, found)
        except Unresolved:
            if fill is None:
                raise
            return fill(context)
        if found is None and fill is not None:
            return fill(context)
        return found

    return run


def _api_call(name: str, entry: Mapping[str, Any], _: Source) -> Load:
    return _after(entry, calls.compile_call(name, entry))


def _image_registry(name: str, entry: Mapping[str, Any], _: Source) -> Load:
    of_reference = compile_template(entry.get("reference") or "")

    def load(context: Context) -> Any:
        reference = of_reference(context)
        if not isinstance(reference, str) or not reference:
            raise Unresolved(f"invalid image reference {sprint(reference)} in context entry {name}")
        return calls.answer(
            context, Need("image.data", Ref("", "", "", reference)), f"image registry entry {name}"
        )

    return _after(entry, load)


def _global_reference(name: str, entry: Mapping[str, Any], _: Source) -> Load:
    of_name = compile_template(entry.get("name") or "")

    def load(context: Context) -> Any:
        who = str(of_name(context))
        found = calls.global_entry(context, who)
        if found.__class__ is Missing:
            raise Unresolved(f"failed to fetch entry key={who} for context entry {name}: {found.reason}")
        return found

    return _after(entry, load)


_KINDS: Mapping[str, Callable[[str, Mapping[str, Any], Source], Load]] = {
    "variable": _variable,
    "configMap": _config_map,
    "apiCall": _api_call,
    "imageRegistry": _image_registry,
    "globalReference": _global_reference,
}
