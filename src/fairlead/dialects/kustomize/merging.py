"""Strategic merge patches as kustomize applies them: mappings merge, lists merge by their keys where their type says so.

The patched value is changed in place, and may share parts with the patch afterwards: callers hand in a copy of a patch that they want
to use again. What a patch adds to a merged list comes before what was there. `$patch` says `delete`, `replace` or `merge`, for a mapping
or as an element of a list; the other directives of Kubernetes mean nothing here.
Source: sigs.k8s.io/kustomize/kyaml/yaml/merge2 and walk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import setitem
from typing import Any, Final

from fairlead.dialects.kustomize.scalars import Null, nothing, over, resource_scalar, text
from fairlead.dialects.kustomize.schemas import Merges, Schemas, Type

DIRECTIVE: Final = "$patch"


class Unmergeable(Exception):
    """A patch that does not fit what it patches; the message says where."""


class _Gone:
    """What is not there, or is to be removed."""


GONE: Final[Any] = _Gone()
_KEPT: Final = Null("null")
"""A null that stays in the result."""


def merge(
    value: dict[str, Any],
    patch: dict[str, Any],
    schemas: Schemas,
    put: Callable[[Any, Any, Any], None] = setitem,
) -> dict[str, Any] | None:
    """Return the value with the patch merged into it; None: it is deleted. Raises Unmergeable.

    `put` sets a scalar that was there: called with the mapping, the key and the new value.
    """
    found = _Merge(schemas, put).walk(value, patch, None, None, "")
    if found is GONE or nothing(found):
        return None
    # a replacement of everything is built, and then not used
    return value


def _absent(value: Any) -> bool:
    return value is GONE or nothing(value)


def _sort(value: Any) -> str:
    kind = type(value)
    return "mapping" if kind is dict else "list" if kind is list else "scalar"


class _Merge:
    def __init__(self, schemas: Schemas, put: Callable[[Any, Any, Any], None]) -> None:
        self._schemas = schemas
        self._put = put

    def walk(self, dest: Any, patch: Any, schema: Type | None, keys: Merges, path: str) -> Any:
        """Return the merged value, or GONE. `schema` is the type of the value, or of a list's elements; None: unknown."""
        leading = patch if _absent(dest) else dest
        if not _absent(leading):
            kind = _sort(leading)
            if not _absent(patch) and patch is not leading and _sort(patch) != kind:
                raise Unmergeable(
                    f"{path or 'the object'} is a {kind}, and the patch has a {_sort(patch)} there"
                )
            if kind == "scalar":
                return dest if patch is GONE else patch
            if kind == "list":
                if keys is None:
                    return dest if patch is GONE else patch
                return self._list(dest, patch, schema, keys, path)
        return self._mapping(dest, patch, schema, path)

    def _mapping(self, dest: Any, patch: Any, schema: Type | None, path: str) -> Any:
        if schema is None:
            schema = self._known(dest, patch)
        if _absent(dest):
            if type(patch) is dict and _directive(patch, lenient=True) == "delete":
                return GONE
            if patch is GONE:
                written = dest is not GONE and text(dest)
                return _KEPT if written else GONE
            dest = patch
        elif nothing(patch):
            return GONE
        elif patch is not GONE:
            directive = _directive(patch)
            if directive == "delete":
                return GONE
            if directive == "replace":
                dest = patch
        if type(dest) is not dict:
            return dest
        other = patch if type(patch) is dict else {}
        names = sorted({*dest, *other})
        for name in names:
            before = dest.get(name, GONE)
            there = other.get(name, GONE)
            if there is GONE and type(before) not in _TOUCHED:
                continue  # a scalar that the patch says nothing about
            merges, below = self._schemas.field(schema, name) if schema is not None else (None, None)
            found = self.walk(before, there, below, merges, f"{path}.{name}")
            if found is _KEPT:
                continue
            if found is GONE or nothing(found):
                dest.pop(name, None)
            elif found is not before and before is not GONE and type(before) not in {dict, list}:
                self._put(dest, name, over(before, found))
            else:
                dest[name] = found
        return dest

    def _known(self, *values: Any) -> Type | None:
        for value in values:
            if (
                type(value) is dict
                and not nothing(value.get("kind"))
                and not nothing(value.get("apiVersion"))
            ):
                found = self._schemas.of(value)
                if found is not None:
                    return found
        return None

    def _list(self, dest: Any, patch: Any, schema: Type | None, keys: Sequence[str], path: str) -> Any:
        if _absent(dest):
            if patch is GONE:
                return GONE
            dest = patch
        elif nothing(patch):
            return GONE
        elif patch is not GONE:
            directive = _list_directive(patch)
            if directive == "delete":
                return GONE
            if directive == "replace":
                dest = patch
        if type(dest) is not list:
            return dest
        sources = [dest, patch if type(patch) is list else None]
        if keys:
            return self._elements(_key_values(sources, keys), list(keys), sources, schema, path)
        return self._elements(_scalar_values(sources), [""], sources, schema, path)

    def _elements(
        self, found: list[list[str]], keys: list[str], sources: list[Any], schema: Type | None, path: str
    ) -> Any:
        dest: list[Any] = sources[0]
        added: list[Any] = []
        if len(keys) > 1:
            _join(found)
        valid_keys: list[str] = []
        for values in found:
            if not values:
                continue
            valid_keys, valid_values = _valid(found, values, keys)
            used_keys, used_values = _valid([valid_values], valid_values, valid_keys)
            pair = [
                GONE if source is None else _element(source, used_keys, used_values) for source in sources
            ]
            shown = ",".join(
                f"{key}={value}" if key else value
                for key, value in zip(valid_keys, valid_values, strict=False)
            )
            value = self.walk(pair[0], pair[1], schema, None, f"{path}[{shown}]")
            if _absent(value) or value == {}:
                _set(dest, valid_keys, valid_values, GONE)
                continue
            for key, wanted in zip(valid_keys, valid_values, strict=False):
                if wanted and key and type(value) is dict and key not in value:
                    value[key] = resource_scalar(wanted)
            _set(added, valid_keys, valid_values, value)
        if not found:
            return dest
        return _append(added, dest, valid_keys)


_TOUCHED: Final = frozenset({dict, list, Null, type(None), _Gone})


def _directive(patch: dict[str, Any], *, lenient: bool = False) -> str:
    """Take the directive out of a mapping of a patch and return it, `merge` where there is none."""
    if DIRECTIVE not in patch:
        return "merge"
    found = text(patch[DIRECTIVE])
    if found not in {"delete", "replace", "merge"}:
        if lenient:
            return "merge"
        raise Unmergeable(f"unknown patch strategy '{found}'; $patch is one of delete, replace, merge")
    del patch[DIRECTIVE]
    return found


def _list_directive(patch: list[Any]) -> str:
    """Take the directive out of a list of a patch, where an element says nothing else, and return it."""
    for one in patch:
        if type(one) is dict and DIRECTIVE in one:
            if len(one) > 1:
                return "merge"
            found = text(one[DIRECTIVE])
            if found not in {"delete", "replace", "merge"}:
                raise Unmergeable(
                    f"unknown patch strategy '{found}'; $patch is one of delete, replace, merge"
                )
            _set(patch, [DIRECTIVE], [found], GONE)
            return found
    return "merge"


def _key_values(sources: list[Any], keys: Sequence[str]) -> list[list[str]]:
    found: list[list[str]] = []
    seen: set[tuple[str, ...]] = set()
    for source in (sources[1], sources[0]):
        for element in source or ():
            there = element if type(element) is dict else {}
            values = tuple("" if _empty(there.get(key)) else text(there[key]) for key in keys)
            if values not in seen:
                seen.add(values)
                found.append(list(values))
    return found


def _scalar_values(sources: list[Any]) -> list[list[str]]:
    found = dict.fromkeys(text(element) for source in (sources[1], sources[0]) for element in source or ())
    return [[one] for one in found]


def _empty(value: Any) -> bool:
    return nothing(value) or (type(value) in {dict, list} and not value)


def _valid(found: list[list[str]], values: list[str], keys: list[str]) -> tuple[list[str], list[str]]:
    """Return the keys that any element has, and these values of them; all of both where none has any."""
    present = {keys[at] for one in found for at, value in enumerate(one) if value and at < len(keys)}
    if not present:
        return keys, values
    chosen = [value for at, value in enumerate(values) if value or keys[at] in present]
    return [key for key in keys if key in present], chosen


def _join(found: list[list[str]]) -> None:
    """Fill in what elements leave open: two that agree in a key, and disagree in none, are the same."""
    for first in range(len(found)):
        mine = found[first]
        for second in range(len(found)):
            joined = _joined(mine, found[second])
            if joined is not None:
                found[first] = found[second] = joined


def _joined(one: list[str], other: list[str]) -> list[str] | None:
    agree = False
    joined = []
    for mine, theirs in zip(one, other, strict=True):
        if mine == theirs:
            agree = True
        elif mine and theirs:
            return None
        joined.append(mine or theirs)
    return joined if agree else None


def _element(source: list[Any], keys: list[str], values: list[str]) -> Any:
    """Return the element with these values of its keys, or GONE."""
    if not keys[0]:
        for element in source:
            if type(element) not in {dict, list} and text(element) == values[0]:
                return element
        return GONE
    for element in source:
        if type(element) is dict and all(
            key in element and _same(element[key], value) for key, value in zip(keys, values, strict=True)
        ):
            return element
    return GONE


def _same(value: Any, wanted: str) -> bool:
    return text(value) == wanted


def _set(into: list[Any], keys: list[str], values: list[str], element: Any) -> None:
    """Put an element in the place of those with the same keys, or at the end; GONE only removes those."""
    kept: list[Any] = []
    matched = False
    naming = bool(keys[0] and values and values[0])
    for one in into:
        if nothing(one) or one == {}:
            continue
        if type(one) is not dict and naming:
            kept.append(one)
            continue
        if not _matches(one, keys, values):
            if values:
                kept.append(one)
            continue
        matched = True
        if element is not GONE:
            kept.append(element)
    into[:] = kept
    if element is not GONE and not nothing(element) and not matched:
        into.append(element)


def _matches(one: Any, keys: list[str], values: list[str]) -> bool:
    if not keys[0]:
        if type(one) in {dict, list}:
            raise Unmergeable("a list of scalars has an element that is none")
        return not values or text(one) == values[0]
    if type(one) is not dict:
        return False
    last = True
    for at, key in enumerate(keys):
        if at < len(values):
            last = key in one and (not values[at] or _same(one[key], values[at]))
        if not last:
            return False
    return True


def _append(into: list[Any], elements: list[Any], keys: list[str]) -> list[Any]:
    """Put elements after what is there, each in place of the one that it is the same as."""
    for element in list(elements):
        if not keys or not keys[0]:
            _set(into, [""], [text(element)], element)
            continue
        values: list[str] = []
        for key in keys:
            value = element.get(key, GONE) if type(element) is dict else GONE
            if _absent(value):
                into.append(element)
            else:
                values.append(text(value))
        if len(keys) > 1:
            _set(into, keys, values, GONE)
        _set(into, keys, values, element)
    return into
