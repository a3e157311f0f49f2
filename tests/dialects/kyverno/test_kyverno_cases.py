"""Golden cases: one file each, with documents, what is there, who asks for what, and what every rule says of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.dialects import kyverno
from fairlead.judge.judging import admit, run
from fairlead.judge.policies import Assembled, Book
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Lacking, Question, Surroundings
from fairlead.words import Finding, Need, Ref, Snapshot, User

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))

PLURALS = {
    ("", "Pod"): "pods",
    ("", "Service"): "services",
    ("", "Namespace"): "namespaces",
    ("", "ConfigMap"): "configmaps",
    ("apps", "Deployment"): "deployments",
    ("batch", "CronJob"): "cronjobs",
    ("example.io", "Limit"): "limits",
    ("authorization.k8s.io", "SubjectAccessReview"): "subjectaccessreviews",
}


class Kinds:
    """The few kinds that cases speak of."""

    def plural(self, group: str, kind: str) -> str:
        return PLURALS.get((group, kind), f"{kind.lower()}s")

    def kind(self, group: str, plural: str) -> str:
        return next((kind for (of, kind), name in PLURALS.items() if (of, name) == (group, plural)), "")

    def version(self, group: str, kind: str) -> str:
        return "v1" if (group, kind) in PLURALS else ""

    def namespaced(self, group: str, kind: str) -> bool:
        return (group, kind) not in {("", "Namespace"), ("example.io", "Limit")}


def read(documents: list[Any]) -> tuple[Assembled, list[Finding]]:
    models: list[Any] = []
    findings: list[Finding] = []
    for document in documents:
        source = Source(document)
        made, said = kyverno.READS[source.ref.group, source.ref.kind](source)
        models += made
        findings += said
    assembled = kyverno.assemble(models)
    return assembled, findings + list(assembled.findings)


def subject(asked: dict[str, Any]) -> Subject:
    resource = asked.get("object") or asked["old"]
    ref = Ref.of(resource)
    user = asked.get("user") or {}
    target = Target(
        ref.group,
        resource["apiVersion"].rpartition("/")[2],
        ref.kind,
        Kinds().plural(ref.group, ref.kind),
        asked.get("subresource", ""),
        asked.get("operation", "CREATE"),
    )
    return Subject(
        target=target,
        name=ref.name,
        namespace=ref.name if ref.kind == "Namespace" else ref.namespace,
        object=asked.get("object"),
        old=asked.get("old"),
        user=User(name=user.get("name", ""), groups=tuple(user.get("groups", ()))),
        roles=tuple(user.get("roles", ())),
        cluster_roles=tuple(user.get("clusterRoles", ())),
        scan=asked.get("scan", False),
    )


def surroundings(case: dict[str, Any]) -> Surroundings:
    needs = {
        Need(one["what"], Ref("", "", "", one["about"]), tuple(map(tuple, one.get("detail", ())))): (
            OSError(one["error"]) if "error" in one else one["answer"]
        )
        for one in case.get("answers", ())
    }
    given = case.get("given")
    granted = case.get("granted", [])

    def allowed(question: Question) -> tuple[bool, str]:
        return question.resource in granted, "as the case says"

    return Surroundings(
        view=Snapshot(case.get("view", ())),
        now=datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        kinds=Kinds(),
        answers=needs,
        given=(lambda *_: given) if given else None,
        allowed=allowed,
    )


def told(book: Book, about: Subject, around: Surroundings) -> Iterator[dict[str, Any]]:
    """Yield what each rule says, with only what is not usual."""
    for policy, rule in book.rules(about.target, "validate"):
        try:
            judged = run(about, policy, rule, around)
        except Lacking as lacking:
            yield {
                rule.name: "lacking",
                "needs": [f"{need.what} {need.about.name}" for need in lacking.needs],
            }
            continue
        for one in judged:
            said: dict[str, Any] = {rule.name: one.outcome.result, "message": one.outcome.message}
            if one.outcome.paths:
                said["paths"] = list(one.outcome.paths)
            if one.outcome.warnings:
                said["warnings"] = list(one.outcome.warnings)
            if one.outcome.properties:
                said["properties"] = dict(one.outcome.properties)
            yield said


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_a_case(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    assembled, findings = read(case["documents"])
    assert [f"{one.where.path}: {one.message}" for one in findings] == case.get("findings", [])
    book, around = Book(assembled.policies), surroundings(case)
    for asked in case.get("asked", ()):
        about = subject(asked)
        said = list(told(book, about, around))
        wanted = asked["wants"]
        assert len(said) == len(wanted), said
        for one, want in zip(said, wanted, strict=True):
            assert {key: one.get(key) for key in want} == want
        if "denied" in asked:
            verdict = admit(about, book, around)
            assert verdict.message == asked["denied"]
            assert verdict.allowed is not bool(asked["denied"])


BROKEN: tuple[Any, ...] = (
    None,
    [],
    "x",
    1,
    {"rules": 1},
    {"rules": [1, None, {}, {"name": 1}, {"name": "x", "match": 1}]},
    {
        "rules": [{"name": "x", "match": {"any": 1}, "validate": {"foreach": [{}]}}],
        "exceptions": [1],
        "match": 1,
    },
)


def test_all_readers_survive_anything() -> None:
    for group, kind in (one for one in kyverno.READS if one[0] == "kyverno.io"):
        for spec in BROKEN:
            read([{"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}])


def judged(rule: dict[str, Any], resource: dict[str, Any]) -> dict[str, Any]:
    match = {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}
    policy = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "hostile"},
        "spec": {"rules": [{"name": "hostile", "match": match, **rule}]},
    }
    assembled, findings = read([policy])
    if findings:
        return {"finding": findings[0].message}
    about = subject(
        {"object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, **resource}}
    )
    return next(told(Book(assembled.policies), about, surroundings({})), {})


def nested(levels: int) -> Any:
    made: Any = "x"
    for _ in range(levels):
        made = {"a": made}
    return made


def test_loops_in_loops_come_to_an_end() -> None:
    inner: dict[str, Any] = {"list": "request.object.data", "deny": {"conditions": {"any": []}}}
    for _ in range(4):
        inner = {"list": "request.object.data", "foreach": [inner]}
    said = judged({"validate": {"foreach": [inner]}}, {"data": list(range(2000))})
    assert said["hostile"] == "error"
    assert "too many steps" in said["message"]


@pytest.mark.parametrize(
    "rule",
    [
        {"validate": {"pattern": nested(5000)}},
        {
            "validate": {
                "deny": {
                    "conditions": {"any": [{"key": nested(5000), "operator": "Equals", "value": "{{ x }}"}]}
                }
            }
        },
        {"preconditions": nested(5000), "validate": {"deny": {}}},
        {"validate": {"assert": nested(5000)}},
        {
            "context": [{"name": "x", "variable": {"value": nested(5000)}}],
            "validate": {"message": "{{ x }}", "deny": {}},
        },
    ],
)
def test_documents_that_are_too_deep_are_refused(rule: dict[str, Any]) -> None:
    said = judged(rule, {})
    assert "finding" in said or said["hostile"] in {"error", "fail"}


def test_texts_full_of_braces_are_read_in_time() -> None:
    texts = ["{{" * 50_000, "{{ a" * 20_000 + "}}" * 20_000, "$(" * 50_000, "{" * 100_000 + "}" * 100_000]
    for text in texts:
        said = judged({"validate": {"message": text, "deny": {}}}, {})
        assert said["hostile"] in {"fail", "error"}
