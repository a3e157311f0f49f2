"""Golden cases: a policy, a workload, what verifies answers, and what is said. One file a case."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.dialects import imagepolicy
from fairlead.judge.judging import Verdict, conclude, judge, mutate
from fairlead.judge.policies import Book
from fairlead.judge.reading import Source
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Need, Ref, Snapshot

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
PLURALS = {"Pod": "pods", "Deployment": "deployments", "CronJob": "cronjobs", "Job": "jobs"}


def load(documents: list[dict[str, Any]]) -> tuple[Book, list[str]]:
    models: list[Any] = []
    told: list[str] = []
    for document in documents:
        ref = Ref.of(document)
        made, said = imagepolicy.READS[ref.group, ref.kind](Source(document))
        models += made
        told += [one.message for one in said]
    assembled = imagepolicy.assemble(models)
    return Book(assembled.policies), told


def answer(need: Need, case: dict[str, Any]) -> Any:
    """Answer as the case says: `signed` names the authorities that sign each image, `attested` what each of them attests."""
    detail = dict(need.detail)
    if need.what == "cue.vet":
        return {"error": case.get("cue", "")}
    if detail["what"] == "digest":
        found = case.get("digests", {}).get(need.about.name)
        return {"digest": found} if found else ValueError("the registry does not answer")
    if "unreachable" in case:
        return ValueError(case["unreachable"])
    replies = []
    for one in json.loads(detail["authorities"]):
        who = one["name"]
        said = case.get("attested", {}).get(who, [])
        proven = [
            {"id": "1", "statement": each} for each in said if each["predicateType"] == one["predicate"]
        ]
        if one["predicate"].endswith("cosign/sign/v1") and who in case.get("signed", []):
            proven.append({"id": "1", "subject": "jane", "issuer": "i"})
        replies.append({"name": who, "proven": proven, "error": "" if proven else "not signed"})
    return {"digest": DIGEST, "image": need.about.name, "found": replies}


def run(case: dict[str, Any]) -> tuple[Verdict, list[dict[str, Any]]]:
    book, told = load(case["policies"])
    assert told == case.get("findings", [])
    asked: list[dict[str, Any]] = []
    answers: dict[Need, Any] = {}
    view = Snapshot(case.get("objects", []))
    resource = case["object"]
    space = view.get("", "Namespace", "", resource["metadata"].get("namespace", ""))
    subject = subject_of(
        resource, PLURALS[resource["kind"]], space=space, operation=case.get("operation", "CREATE")
    )
    verdict: Verdict | None = None
    while verdict is None:
        around = Surroundings(view=view, now=NOW, kinds=KindNames(Catalogue()), answers=answers)
        try:
            changed, said = mutate(subject, book, around)
            verdict = Verdict(changed, said + judge(changed, book, around))
        except Lacking as lacking:
            for need in lacking.needs:
                detail = dict(need.detail)
                asked += json.loads(detail["authorities"]) if "authorities" in detail else []
                answers[need] = answer(need, case)
    conclude(verdict)
    return verdict, asked


def test_there_are_cases() -> None:
    assert len(CASES) >= 12


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    verdict, asked = run(case)
    expected = case["expect"]
    assert verdict.message == expected.get("denied", "")
    assert verdict.warnings == expected.get("warnings", [])
    rows = [
        {"policy": one.policy.name, "result": one.outcome.result}
        for one in verdict.outcomes
        if one.rule.phase == "validate"
    ]
    assert rows == expected.get("rows", [])
    if "object" in expected:
        assert verdict.object == expected["object"]
    for one, wanted in zip(asked, expected.get("asked", []), strict=False):
        assert {key: one.get(key) for key in wanted} == wanted
    assert len(asked) >= len(expected.get("asked", []))
