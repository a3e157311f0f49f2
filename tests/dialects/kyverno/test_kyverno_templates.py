"""Variables and references in texts and documents."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.dialects.kyverno.templates import compile_template, compile_text, expressions
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Snapshot, User

KINDS = KindNames(Catalogue())

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "labels": {"app": "web", "key": "app", "odd": "{{ request }}"},
    },
    "spec": {"containers": [{"name": "a", "ports": [80, 81]}], "replicas": 3, "on": True, "none": None},
}


def context(operation: Any = "CREATE", user: str = "") -> Context:
    around = Surroundings(view=Snapshot(), now=datetime(2024, 1, 1, tzinfo=UTC), kinds=KINDS)
    return Context(subject_of(POD, "pods", operation=operation, user=User(name=user)), around)


def fill(document: Any, of: Context | None = None) -> Any:
    return compile_template(document)(of or context())


FILLED: list[tuple[Any, Any]] = [
    ("plain", "plain"),
    (5, 5),
    ("{{ request.object.metadata.name }}", "web"),
    ("{{request.object.metadata.name}}-{{ request.namespace }}", "web-shop"),
    ("{{request.namespace}}{{request.namespace}}", "shopshop"),
    ("{{ request.object.spec.replicas }}", 3),
    ("n={{ request.object.spec.replicas }}", "n=3"),
    ("{{ request.object.spec.containers[0].ports }}", [80, 81]),
    ("p={{ request.object.spec.containers[0].ports }}", "p=[80,81]"),
    ("{{ request.object.spec.none }}", None),
    ("x{{ request.object.spec.none }}", "xnull"),
    ("{{ request.object.spec.on }}!", "true!"),
    ('{{ request.object.metadata.labels."{{ request.object.metadata.labels.key }}" }}', "web"),
    ("{{ request.object.metadata.labels.{{ request.object.metadata.labels.key }} }}-1", "web-1"),
    ("{{ {a: request.namespace} }}", {"a": "shop"}),
    ("\\{{ kept }}", "{{ kept }}"),
    ("\\{{ kept }} {{ request.namespace }}", "{{ kept }} shop"),
    ("{{ request.object.metadata.labels.odd }}", "{{ request }}"),
    ("<{{ request.object.metadata.labels.odd }}>", "<{{ request }}>"),
    ({"a{{ request.namespace }}": ["{{ request.namespace }}", 1]}, {"ashop": ["shop", 1]}),
    ("{{ request.userInfo.username || 'nobody' }}", "nobody"),
    ("{{ serviceAccountName || 'none' }}", "none"),
    ("{ {x} }", "{ {x} }"),
    ("\\$(./x)", "$(./x)"),
]


@pytest.mark.parametrize(("document", "wanted"), FILLED, ids=str)
def test_a_template_is_filled_in(document: Any, wanted: Any) -> None:
    assert fill(document) == wanted


def test_a_document_without_variables_is_itself() -> None:
    document = {"a": [1, {"b": "c"}]}
    assert fill(document) is document


def test_texts_stay_texts() -> None:
    assert compile_text("{{ request.object.spec.replicas }}")(context()) == "3"


def test_the_object_that_goes_away_is_the_object() -> None:
    assert (
        fill("{{ request.object.metadata.name }} {{ request.operation }}", context("DELETE")) == "web DELETE"
    )


def test_service_accounts_have_names() -> None:
    account = context(user="system:serviceaccount:ci:bot")
    assert fill("{{ serviceAccountNamespace }}/{{ serviceAccountName }}", account) == "ci/bot"
    assert fill("{{ serviceAccountName }}", context(user="jo")) == ""


def test_a_place_of_its_own() -> None:
    document = {"metadata": {"=(labels)": {"app": "{{ @ }}-x"}}, "spec": {"containers": [{"name": "{{@}}"}]}}
    assert fill(document) == {
        "metadata": {"=(labels)": {"app": "web-x"}},
        "spec": {"containers": [{"name": "a"}]},
    }


REFERENCES: list[tuple[Any, Any]] = [
    ({"a": {"b": "$(./../../c)", "d": 1}, "c": "x"}, {"a": {"b": "x", "d": 1}, "c": "x"}),
    ({"a": "$(<=./../b)", "b": "2Gi"}, {"a": "<=2Gi", "b": "2Gi"}),
    ({"a": "$(>./../=(b))", "b": 2}, None),
    ({"a": "$(>./../b)", "=(b)": 2}, {"a": ">2", "=(b)": 2}),
    ({"a": "x $(/b/0/c)", "b": [{"c": "y"}]}, {"a": "x y", "b": [{"c": "y"}]}),
    ({"a": "$(./../b)", "b": 2}, None),
    ({"a": "$(./../nowhere)"}, None),
]


@pytest.mark.parametrize(("document", "wanted"), REFERENCES, ids=str)
def test_references_point_into_the_document(document: Any, wanted: Any) -> None:
    if wanted is None:
        with pytest.raises(Unresolved):
            fill(document)
    else:
        assert fill(document) == wanted


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            "{{ nobody }}",
            'failed to resolve nobody at path : JMESPath query failed: Unknown key "nobody" in path',
        ),
        ({"a": ["{{ request.x }}"]}, "failed to resolve request.x at path /a/0"),
        ("{{ length(request.object.spec.replicas) }}", "invalid type for: 3"),
        ("{{ a. }}", "incorrect query a.: SyntaxError"),
        ("{{ }}", "invalid query"),
        ("{{ request.oldObject.x }}-{{ y }}", "failed to resolve y"),
    ],
)
def test_what_cannot_be_filled_in_says_why(document: Any, message: str) -> None:
    with pytest.raises(Unresolved) as raised:
        fill(document)
    assert message in str(raised.value)


def test_the_expressions_of_a_document_are_listed() -> None:
    assert expressions({"{{ a }}": ["{{ b.c }} {{ d }}", 1]}) == ["a", "b.c", "d"]


def test_scopes_end() -> None:
    of = context()
    of.add("x", lambda _: 1)
    with of.scope({"element": "e"}):
        of.add("x", lambda inner: inner.data["element"] + "!")
        assert fill("{{ x }} {{ element }} {{ request.namespace }}", of) == "e! e shop"
    assert fill("{{ x }} {{ element || 'gone' }}", of) == "1 gone"


def test_an_entry_sees_only_those_before_it() -> None:
    of = context()
    of.add("a", lambda inner: f"{inner.data['b'] or 'no'} b")
    of.add("b", lambda _: "x")
    assert fill("{{ a }} {{ b }}", of) == "no b x"


@given(st.text(alphabet="{}$()\\ abc.@|'[]", max_size=30))
def test_any_text_is_a_template(text: str) -> None:
    with contextlib.suppress(Unresolved):
        fill({"k": text})
