"""Compares a resource that rules made with the one that a test expects, as Kyverno's command line does.

What is empty counts as absent, and so do the labels that tell what generated an object. Never changes what it is given.
Source: kyverno/kyverno cmd/cli/kubectl-kyverno/resource (Tidy, FixupGenerateLabels, Compare).
"""

from __future__ import annotations

from typing import Any

from fairlead.tongues.paths import dotted, mapping
from fairlead.words import Resource

_MANAGED = {"app.kubernetes.io/managed-by": "kyverno"}


def tidied(resource: Resource) -> Resource:
    """Return a copy without empty values and without the labels of generation."""
    meta = mapping(resource, "metadata")
    labels = {
        key: value
        for key, value in mapping(meta, "labels").items()
        if not key.startswith("generate.kyverno.io/")
    }
    found = _tidy({**resource, "metadata": {**meta, "labels": {**_MANAGED, **labels}}})
    return found if isinstance(found, dict) else {}


def _tidy(value: Any) -> Any:
    if isinstance(value, dict):
        made = {key: kept for key, item in value.items() if (kept := _tidy(item)) is not None}
        return made or None
    if isinstance(value, list):
        return [kept for item in value if (kept := _tidy(item)) is not None] or None
    return value


def matching(got: Any, wanted: Any, path: tuple[str | int, ...] = ()) -> str | None:
    """Return where two values differ and how, in one line; None when they are the same."""
    if isinstance(got, dict) and isinstance(wanted, dict):
        for key in sorted({*got, *wanted}):
            if key not in got:
                return f"{dotted((*path, key))} is missing, want {wanted[key]!r}"
            if key not in wanted:
                return f"{dotted((*path, key))} is {got[key]!r}, want nothing"
            differing = matching(got[key], wanted[key], (*path, key))
            if differing is not None:
                return differing
        return None
    if isinstance(got, list) and isinstance(wanted, list):
        for index, (left, right) in enumerate(zip(got, wanted, strict=False)):
            differing = matching(left, right, (*path, index))
            if differing is not None:
                return differing
        if len(got) != len(wanted):
            return f"{dotted(path)} has {len(got)} items, want {len(wanted)}"
        return None
    if isinstance(got, bool) != isinstance(wanted, bool) or got != wanted:
        return f"{dotted(path)} is {got!r}, want {wanted!r}"
    return None


def unlike(assertion: Any, value: Any, path: tuple[str | int, ...] = ()) -> str | None:
    """Return where a value is not as an assertion says, None when it is: every field that it states must be the same."""
    if assertion is None:
        return None
    if isinstance(assertion, dict):
        if not isinstance(value, dict):
            return f"{dotted(path)}: Invalid value: {value!r}: expected a mapping"
        found = (unlike(item, value.get(key), (*path, key)) for key, item in assertion.items())
        return next((one for one in found if one is not None), None)
    return matching(value, assertion, path)
