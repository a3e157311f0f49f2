"""Paths of replacements and variables: `spec.template.spec.containers.[name=web].env.0.value`, with `*` for each element of a list.

A dot after a backslash, or in brackets, belongs to a name. Source: sigs.k8s.io/kustomize/kyaml/utils and kyaml/yaml (PathGetter, PathMatcher).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeAlias

from fairlead.dialects.kustomize.merging import GONE
from fairlead.dialects.kustomize.scalars import nothing, resource_scalar, text

Sort: TypeAlias = Literal["scalar", "mapping", "list"]
Place: TypeAlias = tuple[Any, Any]
"""A mapping or list, and the key or index of a field in it."""

_SLICED = re.compile(r"(.*)\[(\d+)\]\Z")


class Astray(Exception):
    """A path that does not lead through the value; the message says where."""


class Fresh:
    """What a path has made where nothing was: it takes the type of the text that is put there."""


FRESH: Final[Any] = Fresh()


def split(path: str) -> list[str]:
    """Return the names of a path."""
    parts = path.split(".")
    if len(parts) > 1 and not parts[0]:
        del parts[0]
    joined = [parts[0]]
    for part in parts[1:]:
        if joined[-1].endswith("\\"):
            joined[-1] = f"{joined[-1][:-1]}.{part}"
        else:
            joined.append(part)
    found: list[str] = []
    rest = iter(joined)
    for part in rest:
        if not part.startswith("[") or part.endswith("]"):
            found.append(part)
            continue
        bracketed = [part]
        for more in rest:
            bracketed.append(more)
            if more.endswith("]"):
                break
        whole = ".".join(bracketed)
        found.append(whole if "=" in whole else whole.strip("[]"))
    return found


def sliced(names: list[str]) -> list[str]:
    """Return the names with `ports[0]` taken apart."""
    found: list[str] = []
    for name in names:
        match = _SLICED.match(name)
        found += [name] if match is None else [one for one in match.groups() if one]
    return found


def look_up(value: Any, names: list[str]) -> Any:
    """Return what a path leads to, or GONE. Raises Astray."""
    for raw in names:
        name = raw.strip()
        if not name:
            continue
        if nothing(value):
            return GONE
        if name.isdecimal() or name == "-":
            if type(value) is not list:
                raise Astray(f"{name} is an index, but there is no list")
            at = len(value) - 1 if name == "-" else int(name)
            if not 0 <= at < len(value):
                return GONE
            value = value[at]
        elif name == "*":
            raise Astray("wildcard is not supported here")
        elif _is_query(name):
            value = _element(value, *_query(name))
        elif type(value) is not dict:
            raise Astray(f"{name} is looked up in what is no mapping")
        else:
            value = value.get(name, GONE)
        if value is GONE:
            return GONE
    return value


def places(holder: Any, key: Any, names: list[str], create: Sort | None) -> Iterator[Place]:
    """Yield the places to which a path leads from a value, made on the way if `create` says of what sort the last is. Raises Astray."""
    if not names:
        yield holder, key
        return
    name, rest = names[0], names[1:]
    value = holder[key]
    if name.isdecimal():
        elements = _list(value, name)
        at = int(name)
        if len(elements) == at and create:
            elements.append(_made(rest, create))
        if len(elements) <= at:
            raise Astray(f"index {at} specified but only {len(elements)} elements found")
        yield from places(elements, at, rest, create)
    elif _is_query(name):
        yield from _queried(_list(value, name), name, rest, create)
    elif name == "*":
        elements = _list(value, name)
        for at in range(len(elements)):
            yield from places(elements, at, rest, create)
    else:
        if nothing(value) and create:
            value = holder[key] = {}
        if nothing(value):
            return
        if type(value) is not dict:
            raise Astray(f"{name} is looked up in what is no mapping")
        if name not in value:
            if not create:
                return
            value[name] = _made(rest, create)
        yield from places(value, name, rest, create)


def _queried(elements: list[Any], name: str, rest: list[str], create: Sort | None) -> Iterator[Place]:
    field, pattern = _query(name)
    matches = _matcher(pattern)
    found: list[Place] = []
    for _ in range(2):
        found = [
            place
            for at, element in enumerate(elements)
            if _fits(element, field, matches)
            for place in (places(elements, at, rest, create) if field else ((elements, at),))
        ]
        if found or not create:
            break
        elements.append({field: resource_scalar(pattern)} if field else resource_scalar(pattern))
    yield from found


def _fits(element: Any, field: str, matches: Callable[[str], Any]) -> bool:
    if not field:
        return type(element) not in {dict, list} and bool(matches(text(element)))
    return type(element) is dict and field in element and bool(matches(text(element[field])))


def _matcher(pattern: str) -> Callable[[str], Any]:
    if re.fullmatch(r"[\w/-]*", pattern):
        return lambda value: pattern in value
    from fairlead.tongues import regexes  # only where a path needs expressions

    try:
        return regexes.finder(pattern)
    except regexes.BadPattern as fault:
        raise Astray(f"{pattern!r} is no regular expression: {fault}") from None


def _made(rest: list[str], create: Sort) -> Any:
    following = rest[0] if rest else ""
    sort: Sort = create
    if _is_query(following) or following.isdecimal():
        sort = "list"
    elif following:
        sort = "mapping"
    return {} if sort == "mapping" else [] if sort == "list" else FRESH


def _list(value: Any, name: str) -> list[Any]:
    if nothing(value):
        return []
    if type(value) is not list:
        raise Astray(f"{name} is looked up in what is no list")
    return value


def _is_query(name: str) -> bool:
    return name.startswith("[") and name.endswith("]")


def _query(name: str) -> tuple[str, str]:
    field, equals, value = name.removesuffix("]").removeprefix("[").partition("=")
    if not equals:
        raise Astray(f"{name}: list path element must contain fieldName=fieldValue for element to match")
    return field, value


def _element(value: Any, field: str, wanted: str) -> Any:
    if type(value) is not list:
        raise Astray(f"[{field}={wanted}] is looked up in what is no list")
    for element in value:
        if not field:
            if type(element) not in {dict, list} and text(element) == wanted:
                return element
        elif type(element) is dict and field in element and text(element[field]) == wanted:
            return element
    return GONE
