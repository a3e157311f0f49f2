"""Policies in CEL as Kubernetes evaluates them: laziness, order, messages, budgets."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.judge.expressions import (
    ADMISSION,
    OUT_OF_BUDGET,
    Compiler,
    Expressions,
    Fault,
    Note,
    OutOfBudget,
    Purse,
    Unmet,
    compile_expressions,
)
from fairlead.judge.expressions_requests import request_of
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, Target, subject_of
from fairlead.judge.surroundings import Question, Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.tongues import cel
from fairlead.words import Finding, Page, Snapshot, User, Where

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"containers": [{"name": "main", "image": "nginx"}]},
}
SOURCE = Source({"apiVersion": "x/v1", "kind": "P", "metadata": {"name": "p"}})
NESTED = "[1,2,3,4,5,6,7,8,9]"
ENDLESS = "true"
for _name in "abcdefg":
    ENDLESS = f"{NESTED}.all({_name}, {ENDLESS})"


def around(**more: Any) -> Surroundings:
    return Surroundings(
        view=Snapshot(), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue()), **more
    )


def pages(key: str, items: list[dict[str, Any]]) -> list[Page]:
    return [Page(one, Where(path=f".spec.{key}[{index}]")) for index, one in enumerate(items)]


def compiled(**parts: list[dict[str, Any]]) -> tuple[Expressions, list[Finding]]:
    given: dict[str, Any] = {key: pages(key, items) for key, items in parts.items()}
    return compile_expressions(SOURCE, **given)


def faults(validations: list[dict[str, Any]], **parts: list[dict[str, Any]]) -> list[Fault]:
    expressions, findings = compiled(validations=validations, **parts)
    assert not findings
    purse = Purse()
    bindings = expressions.bindings(subject_of(POD, "pods"), around(), None, purse)
    return expressions.faults(bindings, purse)


def test_only_what_does_not_hold_is_told_in_order() -> None:
    found = faults(
        [
            {"expression": "true"},
            {
                "expression": "object.spec.containers.size() > 1",
                "message": " one is none ",
                "reason": "Forbidden",
            },
            {"expression": "object.spec.x == 1"},
            {"expression": " false "},
        ]
    )
    assert found == [
        Fault("fail", "one is none", 1, "Forbidden", ".spec.validations[1].expression"),
        Fault(
            "error",
            "expression 'object.spec.x == 1' resulted in error: no such key: x",
            2,
            "",
            ".spec.validations[2].expression",
        ),
        Fault("fail", "failed expression: false", 3, "", ".spec.validations[3].expression"),
    ]


@pytest.mark.parametrize(
    ("worded", "message"),
    [
        ("'said ' + object.metadata.name", "said web"),
        ("'  '", "plain"),
        ("'two\\nlines'", "plain"),
        ("string(object.spec.x)", "plain"),
        ("['a', 'b'].join('').replace('a', object.metadata.name)", "webb"),
    ],
)
def test_a_message_that_cannot_be_worded_falls_back(worded: str, message: str) -> None:
    (found,) = faults([{"expression": "false", "message": "plain", "messageExpression": worded}])
    assert found.message == message


def test_a_message_that_is_too_long_falls_back() -> None:
    (found,) = faults([{"expression": "false", "messageExpression": f"'{'x' * 5121}'"}])
    assert found.message == "failed expression: false"


def test_variables_are_evaluated_when_first_used_and_once() -> None:
    counted: list[str] = []

    def count(text: str) -> str:
        counted.append(text)
        return text

    environment = ADMISSION.extend(
        libraries=(cel.Library("count", functions={"count(string) string": count}),)
    )
    compiler = Compiler(SOURCE, environment)
    compiler.variable("unused", "count('unused')", "")
    compiler.variable("broken", "object.spec.x", "")
    compiler.variable("first", "count('first')", "")
    compiler.variable("second", "variables.first + variables.first", "")
    validations = compiler.validations(
        pages(
            "validations", [{"expression": "variables.second == 'firstfirst' && variables.first == 'first'"}]
        )
    )
    expressions = compiler.made((), validations)
    purse = Purse()
    bindings = expressions.bindings(subject_of(POD, "pods"), around(), None, purse)
    assert expressions.faults(bindings, purse) == []
    assert counted == ["first"]


def test_a_variable_is_known_only_after_it_was_defined() -> None:
    _, findings = compiled(
        variables=[{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}]
    )
    (finding,) = findings
    assert finding.where.path == ".spec.variables[0].expression"
    assert "undefined field 'b'" in finding.message


def test_what_must_be_true_or_false_is_checked_when_compiling() -> None:
    _, findings = compiled(
        validations=[
            {"expression": "object.spec.x"},
            {"expression": "'yes'"},
            {"expression": ""},
            {"expression": "true", "messageExpression": "1"},
        ],
        conditions=[{"name": "c", "expression": "1 +"}],
    )
    told = [one.message for one in findings]
    assert ".spec.conditions[0].expression: compilation failed: ERROR: <input>:1:" in told[0]
    assert told[1:] == [
        ".spec.validations[0].expression: must evaluate to bool but got dyn",
        ".spec.validations[1].expression: must evaluate to bool but got string",
        ".spec.validations[2].expression: no expression is given",
        ".spec.validations[3].messageExpression: must evaluate to string but got int",
    ]


def test_one_false_condition_outweighs_errors() -> None:
    expressions, _ = compiled(
        conditions=[
            {"name": "broken", "expression": "object.spec.x == 1"},
            {"name": "other", "expression": "object.spec.y == 1"},
            {"name": "no", "expression": "object.metadata.name == 'db'"},
        ]
    )
    bindings = expressions.bindings(subject_of(POD, "pods"), around())
    assert expressions.unmatched(bindings) == "no"
    assert expressions.matches(bindings) is False
    expressions, _ = compiled(
        conditions=[
            {"name": "broken", "expression": "object.spec.x == 1"},
            {"name": "other", "expression": "object.spec.y == 1"},
        ]
    )
    with pytest.raises(Unmet) as caught:
        expressions.matches(expressions.bindings(subject_of(POD, "pods"), around()))
    assert str(caught.value) == (
        "[expression 'object.spec.x == 1' resulted in error: no such key: x, "
        "expression 'object.spec.y == 1' resulted in error: no such key: y]"
    )


def test_notes_are_texts_or_nothing() -> None:
    expressions, _ = compiled(
        annotations=[
            {"key": "name", "valueExpression": "' ' + object.metadata.name"},
            {"key": "null", "valueExpression": "null"},
            {"key": "number", "valueExpression": "object.spec.containers.size() > 0 ? dyn(1) : dyn('')"},
            {"key": "broken", "valueExpression": "object.spec.x"},
        ]
    )
    found = expressions.notes(expressions.bindings(subject_of(POD, "pods"), around()), Purse())
    assert found == [
        Note("name", "web"),
        Note(
            "number",
            error="valueExpression 'object.spec.containers.size() > 0 ? dyn(1) : dyn('')' resulted in unsupported "
            "return type: int. Return type must be either string or null.",
        ),
        Note("broken", error="expression 'object.spec.x' resulted in error: no such key: x"),
    ]


def test_one_expression_may_not_cost_everything() -> None:
    found = faults([{"expression": "false"}, {"expression": ENDLESS}, {"expression": "false"}])
    assert [(one.verdict, one.message, one.index) for one in found] == [("error", OUT_OF_BUDGET, 1)]


def test_all_expressions_share_one_budget() -> None:
    purse = Purse(400)
    expressions, _ = compiled(
        variables=[{"name": "v", "expression": f"{NESTED}.map(i, i * 2)"}],
        validations=[{"expression": f"{NESTED}.all(i, i in variables.v || true)"}] * 9,
        annotations=[{"key": "k", "valueExpression": "object.metadata.name + 'x'"}],
    )
    bindings = expressions.bindings(subject_of(POD, "pods"), around(), None, purse)
    found = expressions.faults(bindings, purse)
    assert [one.message for one in found] == [OUT_OF_BUDGET]
    assert 0 < found[0].index < 8
    with pytest.raises(OutOfBudget):
        expressions.notes(bindings, Purse(0))


def test_the_request_is_as_webhooks_get_it() -> None:
    subject = Subject(
        target=Target("apps", "v1", "Deployment", "deployments", "scale", "UPDATE"),
        name="web",
        namespace="shop",
        object={"metadata": {"name": "web"}},
        old={"metadata": {"name": "web"}},
        user=User(name="eve", groups=("a",), uid="1", extra=(("scopes", ("x", "y")),)),
        dry_run=True,
        options={"fieldManager": "kubectl"},
        uid="u",
    )
    kind = {"group": "apps", "version": "v1", "kind": "Deployment"}
    resource = {"group": "apps", "version": "v1", "resource": "deployments"}
    assert request_of(subject) == {
        "uid": "u",
        "kind": kind,
        "resource": resource,
        "subResource": "scale",
        "requestKind": kind,
        "requestResource": resource,
        "requestSubResource": "scale",
        "name": "web",
        "namespace": "shop",
        "operation": "UPDATE",
        "userInfo": {"username": "eve", "groups": ["a"], "uid": "1", "extra": {"scopes": ["x", "y"]}},
        "dryRun": True,
        "options": {"fieldManager": "kubectl"},
    }
    assert request_of(subject, whole=True)["oldObject"] == {"metadata": {"name": "web"}}


def test_what_is_empty_is_absent_in_the_request() -> None:
    unnamed = {"apiVersion": "v1", "kind": "Node", "metadata": {"generateName": "n-"}}
    found = request_of(subject_of(unnamed, "nodes"))
    assert not {"name", "namespace", "subResource"} & found.keys()
    assert found["userInfo"] == {}
    assert found["options"] is None


def test_questions_about_access_name_the_asker_or_an_account() -> None:
    asked: list[Question] = []

    def allowed(question: Question) -> tuple[bool, str]:
        asked.append(question)
        return True, ""

    expressions, findings = compiled(
        validations=[
            {"expression": "authorizer.path('/healthz').check('get').allowed()"},
            {"expression": "authorizer.requestResource.check('update').allowed()"},
            {
                "expression": "authorizer.serviceAccount('ns', 'bot').group('apps').resource('deployments')"
                ".subresource('scale').namespace('x').name('y').check('patch').allowed()"
            },
        ]
    )
    assert not findings
    subject = subject_of(POD, "pods", user=User(name="eve"))
    bindings = expressions.bindings(subject, around(allowed=allowed))
    assert expressions.faults(bindings, Purse()) == []
    bot = User(
        name="system:serviceaccount:ns:bot",
        groups=("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
    )
    assert asked == [
        Question(User(name="eve"), "get", path="/healthz"),
        Question(User(name="eve"), "update", "", "pods", "", "shop", "web"),
        Question(bot, "patch", "apps", "deployments", "scale", "x", "y"),
    ]
    (found,) = expressions.faults(expressions.bindings(subject, around()), Purse())[:1]
    assert found.message.endswith("nothing here answers questions about access")


def test_names_are_made_anew_for_other_surroundings() -> None:
    expressions, _ = compiled(validations=[{"expression": "authorizer.path('/x').check('get').allowed()"}])
    subject = subject_of(POD, "pods")
    memo: dict[Any, Any] = {}
    for answer in (True, False):

        def allowed(_: Question, answer: bool = answer) -> tuple[bool, str]:
            return answer, ""

        bindings = expressions.bindings(subject, around(allowed=allowed, memo=memo))
        assert (expressions.faults(bindings, Purse()) == []) is answer
