"""Which objects a constraint, or a mutator, is about: `match`, compiled once.

Knows kinds, scopes, namespaces, selectors, names and sources; never what is done with what matches.
Source: github.com/open-policy-agent/gatekeeper pkg/mutation/match and pkg/wildcard, error texts included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fairlead.judge.reading import Source, broken
from fairlead.tongues import selectors
from fairlead.words import Finding, Page, Resource

Origin: TypeAlias = Literal["Original", "Generated"]
"""Whether somebody asked for an object, or it was expanded from one that somebody asked for."""

Test: TypeAlias = Callable[[Resource, "Resource | None"], bool]
"""Whether an object, in a namespace (None: unknown, or none), is meant. May raise Unmatchable."""


class Unmatchable(Exception):
    """It cannot be said whether an object is meant."""


def wildcard(pattern: str) -> Callable[[str], bool]:
    """Return the test for a name: a `*` may stand at its beginning, its end, or both."""
    head, tail = pattern.startswith("*"), pattern.endswith("*")
    text = pattern.removeprefix("*").removesuffix("*")
    if head and tail:
        return lambda name: text in name
    if head:
        return lambda name: name.endswith(text)
    if tail:
        return lambda name: name.startswith(text)
    return lambda name: name == text


def _generated(pattern: str) -> Callable[[str], bool]:
    """Return the test for the beginning of a name that the server is yet to complete."""
    return wildcard(pattern) if pattern.endswith("*") else lambda _: False


def any_of(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return the test whether a name is meant by one of the patterns."""
    listed = list(patterns)
    exact = frozenset(one for one in listed if "*" not in one)
    tests = [wildcard(one) for one in listed if "*" in one]
    if not tests:
        return exact.__contains__
    return lambda name: name in exact or any(test(name) for test in tests)


def is_namespace(object_: Resource) -> bool:
    """Whether an object is a Namespace."""
    return object_.get("kind") == "Namespace" and object_.get("apiVersion") == "v1"


def meta_of(object_: Resource) -> dict[str, Any]:
    """Return an object's metadata, empty where there is none."""
    meta = object_.get("metadata")
    return meta if isinstance(meta, dict) else {}


def labels_of(object_: Resource) -> dict[str, Any]:
    """Return an object's labels, empty where there are none."""
    labels = meta_of(object_).get("labels")
    return labels if isinstance(labels, dict) else {}


def group_of(object_: Resource) -> str:
    """Return an object's API group."""
    return str(object_.get("apiVersion") or "").rpartition("/")[0]


def place_of(object_: Resource, space: Resource | None) -> str:
    """Return the namespace that an object counts to: its own name for a Namespace, "" for cluster scope."""
    if is_namespace(object_):
        return str(meta_of(object_).get("name") or "")
    if space is not None:
        return str(meta_of(space).get("name") or "")
    return str(meta_of(object_).get("namespace") or "")


KindTest: TypeAlias = Callable[[str, str], bool]
"""Whether a (group, kind) is meant."""


def _every_kind(_group: str, _kind: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Match:
    """A compiled `match`. `kinds` is what can be said before there is an object."""

    kinds: KindTest
    tests: tuple[Test, ...]
    source: str = "All"

    def matches(self, object_: Resource, space: Resource | None, origin: Origin = "Original") -> bool:
        """Whether the object is meant. Raises Unmatchable."""
        if self.source not in {"All", origin}:
            return False
        if not self.kinds(group_of(object_), str(object_.get("kind") or "")):
            return False
        return all(test(object_, space) for test in self.tests)


EVERYTHING = Match(_every_kind, ())
"""No `match` at all."""


def _kinds(page: Page) -> KindTest:
    pairs = []
    for one in page.pages("kinds"):
        groups, kinds = one.texts("apiGroups"), one.texts("kinds")
        pairs.append(
            (
                frozenset(groups) if groups and "*" not in groups else None,
                frozenset(kinds) if kinds and "*" not in kinds else None,
            )
        )
    if not pairs:
        return _every_kind
    if len(pairs) == 1:
        groups_, kinds_ = pairs[0]
        return lambda group, kind: (
            (kinds_ is None or kind in kinds_) and (groups_ is None or group in groups_)
        )
    return lambda group, kind: any(
        (kinds is None or kind in kinds) and (groups is None or group in groups) for groups, kinds in pairs
    )


def _scope(wanted: str) -> Test | None:
    def spaced(object_: Resource, space: Resource | None) -> bool:
        return not is_namespace(object_) and (space is not None or bool(meta_of(object_).get("namespace")))

    if wanted == "Namespaced":
        return spaced
    if wanted == "Cluster":
        return lambda object_, space: not spaced(object_, space)
    return None


def _namespaces(patterns: list[str], *, excluded: bool) -> Test:
    test = any_of(patterns)

    def meant(object_: Resource, space: Resource | None) -> bool:
        name = place_of(object_, space)
        if not name and not is_namespace(object_):
            return True
        return test(name) is not excluded

    return meant


def _name(pattern: str) -> Test:
    test, generated = wildcard(pattern), _generated(pattern)

    def meant(object_: Resource, _space: Resource | None) -> bool:
        meta = meta_of(object_)
        return test(str(meta.get("name") or "")) or generated(str(meta.get("generateName") or ""))

    return meant


def _labels(expr: selectors.Expr) -> Test:
    return lambda object_, _space: expr.matches(labels_of(object_))


def _namespace_labels(expr: selectors.Expr) -> Test:
    def meant(object_: Resource, space: Resource | None) -> bool:
        if is_namespace(object_):
            return expr.matches(labels_of(object_))
        if space is None:
            if not meta_of(object_).get("namespace"):
                return True
            raise Unmatchable(
                "failed to run Match criteria: namespace selector for namespace-scoped object but missing Namespace"
            )
        return expr.matches(labels_of(space))

    return meant


def _selector(
    page: Page, key: str, source: Source, findings: list[Finding], make: Callable[[selectors.Expr], Test]
) -> list[Test]:
    given = page.take(key)
    if given is None:
        return []
    path = f"{page.where.path}.{key}"
    try:
        return [make(selectors.from_object(given))]
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        findings.append(broken(source, path, f"{path} is no label selector: {error}"))
        return []


def compile_match(page: Page, source: Source) -> tuple[Match, list[Finding]]:
    """Compile the `match` under the cursor. A Finding means that it cannot be used."""
    findings: list[Finding] = []
    tests: list[Test] = []
    kinds = _kinds(page)
    scope = _scope(str(page.take("scope", "*")))
    if scope is not None:
        tests.append(scope)
    for key in ("namespaces", "excludedNamespaces"):
        patterns = page.texts(key)
        if patterns:
            tests.append(_namespaces(patterns, excluded=key == "excludedNamespaces"))
    tests += _selector(page, "labelSelector", source, findings, _labels)
    tests += _selector(page, "namespaceSelector", source, findings, _namespace_labels)
    name = page.take("name", "")
    if isinstance(name, str) and name:
        tests.append(_name(name))
    origin = str(page.take("source", "All") or "All")
    if origin not in {"All", "Original", "Generated"}:
        path = f"{page.where.path}.source"
        findings.append(
            broken(
                source, path, f'{path}: invalid source field "{origin}": must be All, Original or Generated'
            )
        )
    return Match(kinds, tuple(tests), origin), findings
