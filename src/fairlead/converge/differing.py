"""What differs between an object as it is and as it would be, field by field, with secrets that nobody gets to see.

Only what somebody wrote counts: not status, nor what servers keep account of. Must never show a value of a Secret, plain or encoded, nor
anything that one could be guessed from.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fairlead.tongues.paths import Path, dotted
from fairlead.words import Ref, Resource

_UNSEEN: Final = frozenset({
    "managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink", "deletionTimestamp",
    "deletionGracePeriodSeconds",
})  # fmt: skip
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
MASK: Final = "*** (secret)"
BEFORE: Final = "*** (before)"
AFTER: Final = "*** (after)"


class _Absent:
    """There is no such field."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs: its path, and its value before and after, ABSENT where there is none. Values are fit to be shown."""

    path: Path
    before: Any
    after: Any

    @property
    def at(self) -> str:
        """The path for people."""
        return dotted(self.path)

    def __str__(self) -> str:
        if self.before is ABSENT:
            return f"+ {self.at}: {shown(self.after)}"
        if self.after is ABSENT:
            return f"- {self.at}: {shown(self.before)}"
        return f"~ {self.at}: {shown(self.before)} -> {shown(self.after)}"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        document: dict[str, Any] = {"path": self.at}
        if self.before is not ABSENT:
            document["before"] = self.before
        if self.after is not ABSENT:
            document["after"] = self.after
        return document


def shown(value: Any) -> str:
    """Return a value on one line: texts bare where that is clear, else JSON."""
    if isinstance(value, str) and value and value.isprintable() and value.strip() == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def essence(resource: Resource) -> Resource:
    """Return what somebody wrote of an object. The object stays as it is, and parts of it are shared."""
    kept = {key: value for key, value in resource.items() if key != "status"}
    meta = resource.get("metadata")
    if isinstance(meta, dict):
        kept["metadata"] = {
            key: value for key, value in meta.items() if key not in _UNSEEN and value not in ({}, [])
        }
    return kept


def same(live: Resource, merged: Resource) -> bool:
    """Say whether nothing that somebody wrote differs."""
    return not _differ(essence(live), essence(merged))


def _differ(before: Any, after: Any) -> bool:
    """Whether values differ; absent and empty are one, as they are to Kubernetes, and numbers count by their value."""
    if before is after:
        return False
    if isinstance(before, dict) and isinstance(after, dict):
        return any(_differ(before.get(key), after.get(key)) for key in before.keys() | after.keys())
    if isinstance(before, list) and isinstance(after, list):
        return len(before) != len(after) or any(map(_differ, before, after))
    if _empty(before) and _empty(after):
        return False
    return (type(before) is not type(after) and not _numbers(before, after)) or bool(before != after)


def _numbers(before: Any, after: Any) -> bool:
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in (before, after))


def _empty(value: Any) -> bool:
    return value is None or value in ({}, [])


def differences(live: Resource | None, merged: Resource) -> list[Difference]:
    """Return what would change, secrets masked. Without a live object it is one difference: all of it."""
    if live is None:
        return [Difference((), ABSENT, masked(essence(merged)))]
    before, after = masked_pair(essence(live), essence(merged))
    found: list[Difference] = []
    _walk((), before, after, found)
    return found


def _walk(path: Path, before: Any, after: Any, found: list[Difference]) -> None:
    if not _differ(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            _walk((*path, key), before.get(key, ABSENT), after.get(key, ABSENT), found)
    elif isinstance(before, list) and isinstance(after, list):
        _lists(path, before, after, found)
    elif not (_empty_or_absent(before) and _empty_or_absent(after)):
        found.append(Difference(path, before, after))


def _empty_or_absent(value: Any) -> bool:
    return value is ABSENT or _empty(value)


_KEYS: Final = ("name", "containerPort", "mountPath", "key", "type", "ip", "topologyKey", "port")


def _lists(path: Path, before: list[Any], after: list[Any], found: list[Difference]) -> None:
    """Compare lists of named things by their names, others place by place."""
    for key in _KEYS:
        if _named(before, key) and _named(after, key):
            old, new = {one[key]: one for one in before}, {one[key]: one for one in after}
            if before and after and not old.keys() & new.keys():
                continue
            places = {
                one[key]: index
                for index, one in enumerate([*before, *(one for one in after if one[key] not in old)])
            }
            for name, index in places.items():
                _walk((*path, index), old.get(name, ABSENT), new.get(name, ABSENT), found)
            if [name for name in old if name in new] != [name for name in new if name in old]:
                found.append(
                    Difference(
                        path, f"order: {', '.join(map(str, old))}", f"order: {', '.join(map(str, new))}"
                    )
                )
            return
    for index in range(max(len(before), len(after))):
        _walk(
            (*path, index),
            before[index] if index < len(before) else ABSENT,
            after[index] if index < len(after) else ABSENT,
            found,
        )


def _named(items: list[Any], key: str) -> bool:
    names = [one.get(key) if isinstance(one, dict) else None for one in items]
    return bool(names) and all(isinstance(one, str | int) for one in names) and len(set(names)) == len(names)


# Secrets


def is_secret(resource: Mapping[str, Any]) -> bool:
    """Say whether the object is a Secret."""
    return Ref.of(dict(resource)).kind == "Secret" and "/" not in str(resource.get("apiVersion") or "")


def masked(resource: Resource) -> Resource:
    """Return the object as it may be shown."""
    hidden = _hidden(resource)
    if is_secret(resource):
        hidden = dict(hidden)
        for part in ("data", "stringData"):
            if isinstance(hidden.get(part), dict):
                hidden[part] = dict.fromkeys(hidden[part], MASK)
            elif part in hidden:
                hidden[part] = MASK
    return hidden


def masked_pair(before: Resource, after: Resource) -> tuple[Resource, Resource]:
    """Return both as they may be shown: of a Secret's values only whether they differ can be seen."""
    if not (is_secret(before) or is_secret(after)):
        return _hidden(before), _hidden(after)
    old, new = dict(_hidden(before)), dict(_hidden(after))
    for part in ("data", "stringData"):
        was, will = before.get(part), after.get(part)
        if not isinstance(was, dict) or not isinstance(will, dict):
            for one, value, mark in ((old, was, BEFORE), (new, will, AFTER)):
                if isinstance(value, dict):
                    one[part] = dict.fromkeys(value, mark)
                elif value is not None:
                    one[part] = mark
            continue
        equal = {key for key in was.keys() & will.keys() if was[key] == will[key]}
        old[part] = {key: MASK if key in equal else BEFORE for key in was}
        new[part] = {key: MASK if key in equal else AFTER for key in will}
    return old, new


def _hidden(resource: Resource) -> Resource:
    """Return the object without what it says of itself when it was applied, which is all of it once more."""
    meta = resource.get("metadata")
    notes = meta.get("annotations") if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or not isinstance(notes, dict):
        return resource
    if LAST_APPLIED not in notes:
        return resource
    kept = {key: value for key, value in notes.items() if key != LAST_APPLIED}
    return {**resource, "metadata": {**meta, "annotations": kept}}


def fit_to_show(resource: Resource) -> Resource:
    """Return a deep copy of the object without secrets and without managedFields."""
    shown_ = copy.deepcopy(masked(resource))
    meta = shown_.get("metadata")
    if isinstance(meta, dict):
        meta.pop("managedFields", None)
    return shown_
