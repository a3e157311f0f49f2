"""Variables: `$(NAME)` in fields, replaced with the value of a field of some object.

A field that is nothing but one variable takes the value's type. `$$` stands for a dollar sign, and what no variable is stays as it is.
Source: sigs.k8s.io/kustomize/api/filters/refvar and api/internal/accumulator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fairlead.dialects.kustomize.fieldspecs import Specs, Unfit, Visitor
from fairlead.dialects.kustomize.items import Id, Item, Items
from fairlead.dialects.kustomize.merging import GONE
from fairlead.dialects.kustomize.patching import refuse
from fairlead.dialects.kustomize.paths import Astray, look_up, sliced, split
from fairlead.dialects.kustomize.scalars import (
    Misfit,
    WrittenInteger,
    is_text,
    nothing,
    number_text,
    plain,
    text,
)

Variables = dict[str, Mapping[str, Any]]


def add(known: Variables, more: Iterable[Mapping[str, Any]], file: str) -> None:
    """Add variables to those that are known. Raises Mistaken for one that is there."""
    for one in more:
        name = one.get("name", "")
        if name in known:
            refuse(
                f"var '{name}' already encountered",
                file,
                ".vars",
                "each variable of a tree has a name of its own",
            )
        known[name] = one


def mark(items: Items, listed: Iterable[Mapping[str, Any]], file: str) -> None:
    """Note at each item which variables take their values from it. Raises Mistaken where several items could be meant."""
    for one in listed:
        target = one.get("objref", {})
        api_version = target.get("apiVersion", "")
        if not api_version:
            version, group = target.get("version", ""), target.get("group", "")
            api_version = f"{group}/{version}" if group else version
        wanted = Id(api_version, target.get("kind", ""), target.get("namespace", ""), target.get("name", ""))
        found = [
            item
            for item in items
            if item.data
            and any(
                (known.api_version, known.kind, known.name) == (wanted.api_version, wanted.kind, wanted.name)
                and (not wanted.namespace or wanted.namespace == known.namespace)
                for known in (*item.former_ids(), item.id(items.schemas))
            )
        ]
        if len(found) > 1:
            refuse(
                f"found {len(found)} resId matches for var {one.get('name', '')} {wanted} (unable to disambiguate)",
                file,
                ".vars",
                "say which namespace is meant",
            )
        if found:
            found[0].variables.append(one.get("name", ""))


def resolve(items: Items, variables: Variables, specs: Specs, file: str) -> list[str]:
    """Replace variables in the fields that specs mean; return those that were never used. Raises Mistaken."""
    if not variables:
        return []
    values = {name: _value(items, name, variables[name], file) for name in sorted(variables)}
    used: set[str] = set()

    def value(name: str) -> Any:
        if name not in values or type(values[name]) in {dict, list}:
            return f"$({name})"
        used.add(name)
        return values[name]

    visitor = Visitor(specs)
    for item in items:

        def put(holder: Any, key: Any, item: Item = item) -> None:
            found = holder[key]
            if type(found) is dict:
                for name, one in found.items():
                    if is_text(one) and "$" in one:
                        item.put(found, name, expand(one, value))
            elif type(found) is list:
                for at, one in enumerate(found):
                    if not is_text(one):
                        raise Unfit("invalid value type expect a string")
                    found[at] = expand(one, value)
            elif is_text(found):
                holder[key] = expand(found, value)

        visitor.visit(item, put)
    return [name for name in values if name not in used]


def _value(items: Items, name: str, variable: Mapping[str, Any], file: str) -> Any:
    path = variable.get("fieldref", {}).get("fieldPath") or "metadata.name"
    item = next((one for one in items if name in one.variables), None)
    if item is None:
        refuse(f"var '{name}' cannot be mapped to a field in the set of known resources", file, ".vars")
    try:
        found = look_up(item.data, sliced(split(path)))
    except Astray:
        found = GONE
    if found is GONE or type(found) is Misfit:
        refuse(
            f"field specified in var '{name}' not found in corresponding resource: {path} of {item.kind} {item.name}",
            file,
            ".vars",
        )
    if nothing(found):
        return text(found)
    if type(found) is WrittenInteger:
        if not found.text.lstrip("+-").isdecimal():
            refuse(f"field specified in var '{name}' is no decimal number: {found.text}", file, ".vars")
        return int(found.text)
    return plain(found)


def expand(source: str, value: Callable[[str], Any]) -> Any:
    """Return the text with its variables replaced; of the value's type where the text is nothing but one variable."""
    if "$" not in source:
        return source
    parts: list[str] = []
    at = 0
    while True:
        dollar = source.find("$", at)
        if dollar < 0 or dollar + 1 == len(source):
            return "".join(parts) + source[at:]
        parts.append(source[at:dollar])
        following = source[dollar + 1]
        if following == "$":
            parts.append("$")
            at = dollar + 2
            continue
        end = source.find(")", dollar) if following == "(" else -1
        if end < 0:
            parts.append(f"${following}")
            at = dollar + 2
            continue
        found = value(source[dollar + 2 : end])
        if dollar == 0 and end + 1 == len(source):
            return found
        parts.append(_shown(found))
        at = end + 1


def _shown(value: Any) -> str:
    return number_text(value) if type(value) is float else text(value)
