"""Which objects a `match` is about."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.dialects.gatekeeper.matching import Match, Unmatchable, compile_match
from fairlead.judge.reading import Source
from fairlead.words import Page, Resource


def match_of(**content: Any) -> Match:
    source = Source({"spec": {"match": content}})
    made, findings = compile_match(Page({"match": content}).page("match"), source)
    assert not findings
    return made


def thing(kind: str = "Pod", version: str = "v1", **meta: Any) -> Resource:
    return {"apiVersion": version, "kind": kind, "metadata": meta}


POD = thing(name="web", namespace="shop", labels={"app": "web"})
NODE = thing("Node", name="one")
SPACE = thing("Namespace", name="shop", labels={"team": "a"})


@pytest.mark.parametrize(
    ("content", "object_", "space", "wanted"),
    [
        ({}, POD, None, True),
        ({"kinds": [{"apiGroups": [""], "kinds": ["Pod"]}]}, POD, None, True),
        ({"kinds": [{"apiGroups": ["apps"], "kinds": ["Pod"]}]}, POD, None, False),
        ({"kinds": [{"apiGroups": ["*"], "kinds": ["*"]}]}, POD, None, True),
        ({"kinds": [{"kinds": ["Pod"]}]}, POD, None, True),
        ({"kinds": [{"apiGroups": ["x"]}, {"apiGroups": [""]}]}, POD, None, True),
        ({"namespaces": ["shop"]}, POD, None, True),
        ({"namespaces": ["sh*"]}, POD, None, True),
        ({"namespaces": ["*op"]}, POD, None, True),
        ({"namespaces": ["*ho*"]}, POD, None, True),
        ({"namespaces": ["s*p"]}, POD, None, False),
        ({"namespaces": ["other"]}, POD, None, False),
        ({"namespaces": ["other"]}, NODE, None, True),
        ({"namespaces": ["shop"]}, SPACE, None, True),
        ({"namespaces": ["other"]}, SPACE, None, False),
        ({"excludedNamespaces": ["shop"]}, POD, None, False),
        ({"excludedNamespaces": ["kube-*"]}, POD, None, True),
        ({"excludedNamespaces": ["shop"]}, NODE, None, True),
        ({"excludedNamespaces": ["shop"]}, SPACE, None, False),
        ({"namespaces": ["sh*"]}, thing("Namespace", generateName="shop-"), None, False),
        ({"excludedNamespaces": ["sh*"]}, thing("Namespace", generateName="shop-"), None, True),
        ({"scope": "Namespaced"}, POD, None, True),
        ({"scope": "Namespaced"}, NODE, None, False),
        ({"scope": "Namespaced"}, SPACE, None, False),
        ({"scope": "Cluster"}, NODE, None, True),
        ({"scope": "Cluster"}, SPACE, SPACE, True),
        ({"scope": "Cluster"}, POD, None, False),
        ({"scope": "cluster"}, POD, None, True),
        ({"name": "web"}, POD, None, True),
        ({"name": "w*"}, POD, None, True),
        ({"name": "*x"}, POD, None, False),
        ({"name": "web-*"}, thing(generateName="web-"), None, True),
        ({"name": "web-"}, thing(generateName="web-"), None, False),
        ({"labelSelector": {"matchLabels": {"app": "web"}}}, POD, None, True),
        (
            {"labelSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}},
            POD,
            None,
            False,
        ),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, POD, SPACE, True),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, POD, SPACE, False),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, NODE, None, True),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, SPACE, None, False),
        ({"source": "Generated"}, POD, None, False),
        ({"source": "Original"}, POD, None, True),
    ],
)
def test_match(content: dict[str, Any], object_: Resource, space: Resource | None, wanted: bool) -> None:
    assert match_of(**content).matches(object_, space) is wanted


def test_a_namespace_that_nobody_knows_cannot_be_selected() -> None:
    match = match_of(namespaceSelector={"matchLabels": {"team": "a"}})
    with pytest.raises(Unmatchable, match="missing Namespace"):
        match.matches(POD, None)


def test_what_was_expanded_has_its_own_source() -> None:
    assert match_of(source="Generated").matches(POD, None, "Generated")
    assert not match_of(source="Original").matches(POD, None, "Generated")
    assert match_of(source="All").matches(POD, None, "Generated")


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}, ".match.labelSelector"),
        ({"namespaceSelector": 3}, ".match.namespaceSelector"),
        ({"source": "Else"}, ".match.source"),
    ],
)
def test_what_cannot_be_used_is_a_finding(content: dict[str, Any], path: str) -> None:
    _, findings = compile_match(Page({"match": content}).page("match"), Source({}))
    assert [one.where.path for one in findings] == [path]
