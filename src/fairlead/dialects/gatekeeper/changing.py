"""Applies one mutator's change to an object at a location. Objects are never changed in place: what changes is made anew.

Source: github.com/open-policy-agent/gatekeeper pkg/mutation/mutators/core, error texts included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from fairlead.dialects.gatekeeper.locations import Field, Item, Location

Setter: TypeAlias = Callable[[Any, bool], Any]
"""(the value that is there, whether there is one) -> the value to be. May return NOTHING."""


class _Nothing:
    """Marks that a value is to be left as it is."""


NOTHING: Final = _Nothing()


class Unfit(Exception):
    """An object is not shaped as a location says."""


def _type(value: Any) -> str:
    names = {dict: "map[string]interface {}", list: "[]interface {}", str: "string", bool: "bool"}
    if value is None:
        return "<nil>"
    return names.get(type(value), "int64" if isinstance(value, int) else "float64")


class Change:
    """What to do at a location. `tests` are conditions by the index of a step (see locations.conditions_of).

    `keyed` gives the item to put where the location ends in a list; None where the mutator cannot.
    """

    def __init__(
        self,
        location: Location,
        tests: Mapping[int, str],
        setter: Setter,
        keyed: Callable[[], Any] | None = None,
    ) -> None:
        self.location = location
        self.setter = setter
        self.keyed = keyed
        self.exists_fine = [tests.get(index, "MustExist") == "MustExist" for index in range(len(location))]
        self.missing_fine = [
            tests.get(index, "MustNotExist") == "MustNotExist" for index in range(len(location))
        ]

    def apply(self, object_: dict[str, Any]) -> dict[str, Any]:
        """Return the changed object, or the very same one when nothing changes. Raises Unfit."""
        changed = self._step(object_, 0)
        return object_ if changed is NOTHING else changed

    def _step(self, current: Any, depth: int) -> Any:
        step = self.location[depth]
        if isinstance(step, Field):
            return self._field(current, step, depth)
        return self._item(current, step, depth)

    def _field(self, current: Any, step: Field, depth: int) -> Any:
        if not isinstance(current, dict):
            raise Unfit(
                "mismatch between path entry (type: object) and received object "
                f"(type: {_type(current)}). Path: {step}"
            )
        exists = step.name in current
        if not (self.exists_fine if exists else self.missing_fine)[depth]:
            return NOTHING
        before = current.get(step.name)
        if depth == len(self.location) - 1:
            after = self.setter(before, exists)
        else:
            after = self._step(before if exists else self._missing(depth), depth + 1)
        if after is NOTHING or (exists and same(after, before)):
            return NOTHING
        return {**current, step.name: after}

    def _item(self, current: Any, step: Item, depth: int) -> Any:
        if not isinstance(current, list):
            raise Unfit(
                "mismatch between path entry (type: List) and received object "
                f"(type: {_type(current)}). Path: {step}"
            )
        if depth == len(self.location) - 1:
            return self._put(current, step, depth)
        if step.value is None and not self.exists_fine[depth]:
            return NOTHING
        found = mutated = False
        items = list(current)
        for index, one in enumerate(current):
            if step.value is not None and not (isinstance(one, dict) and one.get(step.key) == step.value):
                continue
            if step.value is not None and not self.exists_fine[depth]:
                return NOTHING
            found = True
            after = self._step(one, depth + 1)
            if after is not NOTHING:
                items[index], mutated = after, True
        if step.value is not None and not found:
            if not self.missing_fine[depth]:
                return NOTHING
            after = self._step(self._missing(depth), depth + 1)
            if after is not NOTHING:
                items.append(after)
                mutated = True
        return items if mutated else NOTHING

    def _put(self, current: list[Any], step: Item, depth: int) -> Any:
        if step.value is None:
            raise Unfit("last path entry can not be globbed")
        if self.keyed is None:
            raise Unfit("mutator does not support keyed lists")
        value = self.keyed()
        if not isinstance(value, dict):
            raise Unfit("assign.value for keyed list is not an object")
        for index, one in enumerate(current):
            if not isinstance(one, dict):
                raise Unfit(f"cast error, unable to case {_type(one)} to map[string]interface{{}}")
            if one.get(step.key) == step.value:
                if value.get(step.key) != step.value:
                    raise Unfit("key value of replaced object must not change")
                if not self.exists_fine[depth] or same(one, value):
                    return NOTHING
                return [*current[:index], value, *current[index + 1 :]]
        return [*current, value] if self.missing_fine[depth] else NOTHING

    def _missing(self, depth: int) -> Any:
        """Return what is to stand at a step that is not there yet."""
        step, following = self.location[depth], self.location[depth + 1]
        if isinstance(step, Item):
            if isinstance(following, Item):
                raise Unfit(f"two consecutive list path entries not allowed: {step} {following}")
            return {step.key: step.value}
        return [] if isinstance(following, Item) else {}


def same(one: Any, other: Any) -> bool:
    """Deep equality as JSON has it: true is not 1."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(one[key], other[key]) for key in one)
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def assigning(value: Any) -> Setter:
    """Return the setter that puts a value, whatever is there."""
    return lambda _before, _exists: value


def merging(values: Sequence[Any]) -> Setter:
    """Return the setter that adds to a list what it lacks of the values."""

    def merge(before: Any, exists: bool) -> Any:
        if not exists:
            return list(values)
        if not isinstance(before, list):
            raise Unfit(f"{before} is not a list of values, cannot treat it as a set")
        missing = [value for value in values if not any(same(value, one) for one in before)]
        return [*before, *missing] if missing else NOTHING

    return merge


def pruning(values: Sequence[Any]) -> Setter:
    """Return the setter that takes the values out of a list."""

    def prune(before: Any, exists: bool) -> Any:
        if not exists:
            return NOTHING
        if not isinstance(before, list):
            raise Unfit(f"{before} is not a list of values, cannot treat it as a set")
        kept = [one for one in before if not any(same(value, one) for value in values)]
        return kept if len(kept) < len(before) else NOTHING

    return prune


_DOMAIN = r"(^\w[\w\-_]*\.[\w\-_\.]*[\w](:\d+)?$)|(^localhost(:\d+)?$)"
_PATH = r"^[a-z0-9]+(?:(?:(?:[._/]|__|[-]*)[a-z0-9]+)+)?"
_TAG = r"(^:[\w][\w.-]{0,127}$)|(^@[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*[:][0-9A-Fa-f]{32,}$)"
_domain = re.compile(r"(?:\w[\w\-]*\.[\w\-.]*\w|localhost)(?::\d+)?", re.ASCII).fullmatch
_tag = re.compile(
    r":\w[\w.-]{0,127}|@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}", re.ASCII
).fullmatch
_part = re.compile(r"[a-z0-9]+").fullmatch
_between = re.compile(r"__|[._/]|-+").fullmatch
_pieces = re.compile(r"[a-z0-9]+|[^a-z0-9]+").findall
_LONGEST = 4096


def _is_path(path: str) -> bool:
    """Whether a text is made of alphanumeric parts with one separator between any two."""
    pieces = _pieces(path)
    return len(pieces) % 2 == 1 and all(
        (_part if index % 2 == 0 else _between)(piece) for index, piece in enumerate(pieces)
    )


def split_domain(reference: str) -> tuple[str, str]:
    """Return the registry ("" where none is named) and the rest of an image's reference."""
    head, slash, rest = reference.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        return "", reference
    return head, rest


def image_faults(domain: str, path: str, tag: str) -> str:
    """Return what is wrong with the parts that an AssignImage sets, or ""."""
    if not domain and not path and not tag:
        return "at least one of [assignDomain, assignPath, assignTag] must be set"
    if max(len(domain), len(path), len(tag)) > _LONGEST:
        return f"a part of an image must not be longer than {_LONGEST} characters"
    if domain and not _domain(domain):
        return f'assignDomain "{domain}" does not match pattern {_DOMAIN}'
    if path and not _is_path(path):
        return f'assignPath "{path}" does not match pattern {_PATH}'
    if tag and not _tag(tag):
        return f'assignTag "{tag}" does not match pattern {_TAG}'
    if not domain and path and split_domain(path)[0]:
        return (
            f'assignDomain must be set if the first part of assignPath "{path}" can be interpreted as part of a '
            "domain"
        )
    return ""


def imaging(domain: str, path: str, tag: str) -> Setter:
    """Return the setter that replaces parts of an image's reference. `tag` begins with `:` or `@`."""

    def change(before: Any, exists: bool) -> Any:
        if exists and not isinstance(before, str):
            raise Unfit(
                f"expected value at AssignImage location to be a string, got {before} of type {_type(before)}"
            )
        old_domain, rest = split_domain(before or "")
        cut = min((place for place in (rest.find(":"), rest.find("@")) if place >= 0), default=len(rest))
        host = domain or old_domain
        return f"{host}/" * bool(host) + (path or rest[:cut]) + (tag or rest[cut:])

    return change
